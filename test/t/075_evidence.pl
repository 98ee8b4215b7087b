# 075_evidence.pl
#
# What is taken away while somebody uses it is warned about, with the evidence:
# scans and writes that the statistics have counted, transactions that hold a
# lock on it now, and what goes with it.  Without evidence nothing is said.
#
# The statistics of a session arrive at the latest when it ends, so everything
# that is to be counted runs in a session of its own, which does not end before.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('evidence', preload => 'migration_guard');
my $major = mg_value($node, 'postgres', "SELECT current_setting('server_version_num')::int / 10000");

my $flush = 'DO $mg$ BEGIN PERFORM pg_stat_force_next_flush(); END $mg$;';

# Run SQL that is none of the guard's business; the counters get to know of it.
sub quietly
{
	return mg_value($node, 'postgres', "SET migration_guard.mode = 'off';\n$_[0];\n$flush\n");
}

# Statements in a transaction that is rolled back.  Nothing waits for long.
sub try
{
	my ($sql, $settings) = @_;

	return mg_psql($node, 'postgres',
		"SET lock_timeout = '100ms';\n" . ($settings // '') . "\nBEGIN;\n$sql;\nROLLBACK;\n$flush\n");
}

# The warning, or refusal, of a statement: exactly one, of this SQLSTATE, with
# these patterns in it.
sub says
{
	my ($sql, $state, $patterns, $name, $settings) = @_;
	my $res = try($sql, $settings);
	my @own = grep { $_->{state} =~ /^MG/ } @{ $res->{messages} };

	$name //= $sql;
	is(join(' ', map { $_->{state} } @own), $state, "$name: says $state") or diag($res->{err});
	like($own[0]{text} // '', $_, "$name: $_") foreach @{ $patterns // [] };
	return $own[0]{text} // '';
}

sub silent
{
	my ($sql, $name, $settings) = @_;
	my $res = try($sql, $settings);

	is(join(' ', mg_warnings($res), mg_errors($res)), '', ($name // $sql) . ': nothing is said')
	  or diag($res->{err});
	return;
}

# The statements of a HINT: whole lines.
sub hint
{
	my ($text) = @_;
	my ($hint) = $text =~ /^HINT:  (.*?)(?=^[A-Z ]+ NAME:|^LOCATION:|\z)/ms;

	return grep { /^(?:ALTER|BEGIN|COMMIT|CREATE|DO|GRANT|REVOKE|SELECT)\b.*;$/ } split /\n/, $hint // '';
}

quietly(<<'EOM');
CREATE EXTENSION migration_guard;
CREATE ROLE shop LOGIN;
CREATE ROLE reader LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO shop;
SET SESSION AUTHORIZATION shop;
CREATE TABLE customer (id int PRIMARY KEY, email text NOT NULL UNIQUE, note text);
CREATE TABLE purchase (id int PRIMARY KEY, customer_id int NOT NULL, amount int NOT NULL, memo text,
	CONSTRAINT purchase_customer FOREIGN KEY (customer_id) REFERENCES customer);
CREATE INDEX purchase_by_customer ON purchase (customer_id);
CREATE INDEX purchase_by_amount ON purchase (amount);
INSERT INTO customer SELECT i, i, i FROM generate_series(1, 300) i;
INSERT INTO purchase SELECT i, 1 + i % 300, i, i FROM generate_series(1, 2000) i;
CREATE VIEW report AS SELECT customer_id, sum(amount) FROM purchase GROUP BY 1;
CREATE MATERIALIZED VIEW summary AS SELECT customer_id, sum(amount) FROM purchase GROUP BY 1;
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(amount) FROM purchase; END;
CREATE TABLE log (day int, line text) PARTITION BY RANGE (day);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (2);
CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (2) TO (3);
CREATE INDEX log_by_line ON log (line);
INSERT INTO log SELECT 1 + i % 2, i FROM generate_series(1, 2000) i;
GRANT SELECT ON purchase TO reader;
RESET SESSION AUTHORIZATION;
CREATE SCHEMA archive AUTHORIZATION shop;
CREATE TABLE archive.old AS SELECT 1 AS a;
ALTER TABLE archive.old OWNER TO shop;
ANALYZE;
EOM

# Every kind of statement that takes something away, and the rule about it.
my @all = (
	[ 'DROP TABLE purchase CASCADE', 'MG501' ],
	[ 'DROP TABLE customer CASCADE', 'MG501' ],
	[ 'DROP TABLE log', 'MG501' ],
	[ 'DROP OWNED BY shop CASCADE', 'MG501' ],
	[ 'DROP SCHEMA public CASCADE', 'MG501' ],
	[ 'TRUNCATE purchase', 'MG502' ],
	[ 'TRUNCATE customer CASCADE', 'MG502' ],
	[ 'TRUNCATE log', 'MG502' ],
	[ 'ALTER TABLE purchase DROP COLUMN memo', 'MG503' ],
	[ 'ALTER TABLE purchase DROP COLUMN amount CASCADE', 'MG503' ],
	[ 'ALTER TABLE log DROP COLUMN line', 'MG503' ],
	[ 'ALTER TABLE purchase RENAME TO orders', 'MG504' ],
	[ 'ALTER TABLE purchase RENAME COLUMN memo TO remark', 'MG504' ],
	[ 'ALTER TABLE purchase SET SCHEMA archive', 'MG504' ],
	[ 'DROP INDEX purchase_by_amount', 'MG505' ],
	[ 'DROP INDEX log_by_line', 'MG505' ],
	[ 'ALTER TABLE customer DROP CONSTRAINT customer_email_key', 'MG505' ]);

# Everything is used: read by index and in full, and written to.
sub use_all
{
	quietly(<<'EOM');
SET enable_seqscan = off;
SELECT * FROM purchase WHERE amount = 5;
SELECT * FROM customer WHERE email = '7';
SELECT * FROM log WHERE line = '7';
UPDATE purchase SET memo = 'seen' WHERE id = 1;
UPDATE customer SET note = 'seen' WHERE id = 1;
EOM
	quietly('SELECT count(*) FROM log;');
	quietly('SELECT count(*) FROM log;');
	return;
}

# ---------------------------------------------------------------------
# no evidence, nothing is said; evidence, and it is
# ---------------------------------------------------------------------
quietly('SELECT pg_stat_reset();');
silent($_->[0]) foreach @all;

use_all();
says($_->[0], $_->[1], [ qr/^\w+ \w+ would /, qr/Since statistics were reset .* ago, "/ ]) foreach @all;

# the evidence, in numbers
quietly('SELECT pg_stat_reset();');
use_all();
my $text = says('DROP TABLE purchase CASCADE', 'MG501',
	[
		qr/^DROP TABLE would remove table "purchase", which is in use$/m,
		qr/"purchase" has seen 0 sequential scans, 2 index scans and 1 row change\b/,
		qr/1 view, 1 materialized view and 1 function go with it/,
		qr/Rule drop_table\./
	], 'numbers');

if ($major >= 16)
{
	like($text, qr/it was last scanned .* ago/, 'numbers: the last scan');
}
else
{
	unlike($text, qr/last scanned/, 'numbers: 15 does not record the last scan');
}
says('DROP TABLE customer CASCADE', 'MG501', [qr/1 foreign key goes with it/], 'dependents: of another table');
says('ALTER TABLE purchase DROP COLUMN amount CASCADE', 'MG503',
	[
		qr/^ALTER TABLE would remove column "amount" of "purchase", a table in use$/m,
		qr/1 view, 1 materialized view, 1 index and 1 function go with it/,
		qr/Whether the column itself is used is not counted/,
		qr/^COLUMN NAME:  amount$/m
	], 'dependents: of a column');
says('ALTER TABLE purchase DROP memo, DROP id', 'MG503', [qr/columns "id", "memo" of|columns "memo", "id" of/],
	'two columns: one finding');
says('DROP TABLE log', 'MG501', [qr/2 partitions go with it/, qr/"log" has seen [1-9]/], 'partitioned: the sum of its leaves');
says('TRUNCATE purchase', 'MG502', [qr/2,000 rows would be gone/], 'TRUNCATE: what is lost');
says('TRUNCATE customer CASCADE', 'MG502', [qr/2,300 rows would be gone/, qr/CASCADE reaches 1 table\b/], 'TRUNCATE: what CASCADE reaches');
says('ALTER TABLE log RENAME COLUMN line TO words', 'MG504', [qr/rename column "line" of "log"/, qr/^COLUMN NAME:  line$/m]);
says('ALTER TABLE purchase SET SCHEMA archive', 'MG504', [qr/would move table "purchase" to schema "archive"/]);
silent('ALTER TABLE purchase SET SCHEMA public', 'SET SCHEMA to where it is');
silent('ALTER INDEX purchase_by_amount RENAME TO by_amount', 'renaming an index');
silent('ALTER TABLE purchase RENAME CONSTRAINT purchase_customer TO c', 'renaming a constraint');
silent('ALTER TABLE purchase DROP COLUMN IF EXISTS nothing', 'a column that is not there');
silent('DROP TABLE IF EXISTS nothing', 'a table that is not there');
silent('DROP SCHEMA archive CASCADE', 'a table that nobody uses');

# several relations: one message, the worst first, a few by name
quietly("CREATE TABLE many_$_ AS SELECT g FROM generate_series(1, 10 * $_) g;") foreach 1 .. 6;
$text = says('DROP TABLE ' . join(', ', map { "many_$_" } 1 .. 6), 'MG501',
	[
		qr/would remove table "many_6" and 5 more relations, which are in use/,
		qr/"many_6" has seen .*"many_5" has seen .*"many_4" has seen .*3 more relations are in use as well/s
	], 'several');
unlike($text, qr/many_3/, 'several: not all of them');
is(mg_value($node, 'postgres', 'SELECT string_agg(rule || relation, $$ $$) FROM migration_guard.check($$DROP TABLE many_1; DROP TABLE many_2, many_3$$)'),
	'drop_tablemany_1 drop_tablemany_3', 'check(): one row per statement');

# ---------------------------------------------------------------------
# whose use counts
# ---------------------------------------------------------------------
quietly('SELECT pg_stat_reset();');
silent("INSERT INTO purchase VALUES (9001, 1, 1);\nSELECT count(*) FROM purchase;\nSELECT count(*) FROM purchase;\nDROP TABLE purchase CASCADE",
	'what the transaction itself has done', "SET migration_guard.rules = 'ddl_after_dml=off';");
silent("CREATE TABLE fresh AS SELECT 1 AS a;\nALTER TABLE fresh RENAME TO fresher;\nALTER TABLE fresher DROP COLUMN a;\nDROP TABLE fresher",
	'a new table');
quietly('SELECT * FROM pg_stat_user_tables;');
silent("CREATE TEMP TABLE scratch AS SELECT 1 AS a;\nCOMMIT;\nSELECT pg_sleep(1.1);\nBEGIN;\nALTER TABLE scratch RENAME a TO b;\nDROP TABLE scratch",
	'a temporary table');

# a backup reads everything once
quietly('SELECT pg_stat_reset();');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', '/dev/null' ], 'pg_dump');
is(quietly("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'purchase'"), '1', 'pg_dump reads the table');
silent('DROP TABLE purchase CASCADE', 'after a backup');
quietly('SELECT count(*) FROM purchase;');
says('DROP TABLE purchase CASCADE', 'MG501', [qr/2 sequential scans, 0 index scans and 0 row changes/], 'read more often than backups do');

# a part of it: no backup does that
quietly('SELECT pg_stat_reset();');
quietly('SELECT * FROM purchase LIMIT 1;');
says('DROP TABLE purchase CASCADE', 'MG501', [qr/1 sequential scan, /], 'read in part');

# a refresh is no use of a materialized view, a query is; a view has no counters
quietly('SELECT pg_stat_reset();');
quietly('REFRESH MATERIALIZED VIEW summary;');
silent('DROP MATERIALIZED VIEW summary', 'refreshed only');
quietly('SELECT * FROM summary LIMIT 1;');
says('DROP MATERIALIZED VIEW summary', 'MG501', [qr/remove materialized view "summary"/, qr/1 sequential scan and 0 index scans/]);
silent('DROP VIEW report', 'a view that nobody is reading');

# a partition was filled some day: only reading counts
quietly('SELECT pg_stat_reset();');
quietly("INSERT INTO log VALUES (1, 'more'), (2, 'more');");
silent('DROP TABLE log_1', 'a partition that is only filled');
silent('TRUNCATE log_1', 'TRUNCATE of a partition that is only filled');
silent('ALTER TABLE log_1 RENAME TO log_one', 'renaming a partition');
says('DROP TABLE log', 'MG501', [qr/2 row changes/], 'its parent');
quietly("SELECT * FROM log WHERE line = '7';");
quietly("SELECT * FROM log WHERE day = 1 LIMIT 1;");
says('DROP TABLE log_1', 'MG501', [qr/remove table "log_1"/], 'a partition that is read');
silent('ALTER TABLE log DETACH PARTITION log_1', 'DETACH: the rows stay');

# what was filled some day and has been left alone
quietly('CREATE TABLE filled AS SELECT g AS a FROM generate_series(1, 2000) g;');
says('DROP TABLE filled', 'MG501', [qr/2,000 row changes/], 'a table that has just been filled');
quietly('ANALYZE filled;');
silent('DROP TABLE filled', 'a table that was filled and analyzed');
silent('TRUNCATE filled', 'a table that was filled and analyzed');
quietly('INSERT INTO filled VALUES (1);');
says('DROP TABLE filled', 'MG501', [], 'a table that is still being filled');
quietly('ANALYZE filled; UPDATE filled SET a = a WHERE a = 7; ANALYZE filled;');
says('DROP TABLE filled', 'MG501', [], 'a table whose rows change');

# swapped for another one
quietly('CREATE TABLE filled_new AS SELECT * FROM filled; ANALYZE filled_new;');
silent("ALTER TABLE filled RENAME TO filled_old;\nALTER TABLE filled_new RENAME TO filled", 'a table that is swapped', "SET migration_guard.rules = 'several_tables=off';");
is( mg_value($node, 'postgres', q{SELECT count(*) FROM migration_guard.check('BEGIN; ALTER TABLE filled RENAME TO filled_old; ALTER TABLE filled_new RENAME TO filled; COMMIT') WHERE rule = 'rename'}),
	'0', 'check(): a table that is swapped');
quietly('DROP TABLE filled_new;');
says('ALTER TABLE filled RENAME TO filled_old', 'MG504', [], 'a table that is only put away');

# ---------------------------------------------------------------------
# who holds it now
# ---------------------------------------------------------------------
quietly('SELECT pg_stat_reset();');
my $holder = mg_session($node, 'postgres', app => 'till');
my $pid = mg_tell($holder, 'SELECT pg_backend_pid();')->{out};

foreach my $case (
	[ 'reader', 'SELECT 1 FROM purchase LIMIT 1;', 'purchase', 'DROP TABLE purchase CASCADE', 'MG501' ],
	[ 'reader', 'SELECT 1 FROM purchase LIMIT 1;', 'purchase', 'ALTER TABLE purchase DROP memo', 'MG503' ],
	[ 'reader', 'SELECT 1 FROM purchase LIMIT 1;', 'purchase', 'TRUNCATE purchase', 'MG502' ],
	[ 'writer', "UPDATE purchase SET memo = '' WHERE id = 2;", 'purchase', 'ALTER TABLE purchase RENAME TO orders', 'MG504' ],
	[ 'reader of a view', 'SELECT 1 FROM report LIMIT 1;', 'report', 'DROP VIEW report', 'MG501' ],
	[ 'reader of a view', 'SELECT 1 FROM report LIMIT 1;', 'report', 'ALTER VIEW report RENAME TO sums', 'MG504' ],
	[ 'reader of a partition', 'SELECT 1 FROM log_2 LIMIT 1;', 'log', 'DROP TABLE log', 'MG501' ])
{
	my ($who, $does, $what, $sql, $state) = @$case;

	mg_passes(mg_tell($holder, "BEGIN;\n$does"), "$who: holds it");
	my $res = try($sql);
	is(join(' ', mg_warnings($res)), $state, "$who: $sql: says $state") or diag($res->{err});
	like($res->{err}, qr/1 transaction is using "$what" now: process $pid \(application "till", user "\w+"\)\./, "$who: $sql: named");
	mg_tell($holder, 'ROLLBACK;');
	quietly('SELECT pg_stat_reset();');
	silent($sql, "$who has gone: $sql");
}
mg_tell($holder, "BEGIN;\nSELECT 1 FROM purchase LIMIT 1;");
quietly("BEGIN; SELECT 1 FROM purchase LIMIT 1; PREPARE TRANSACTION 'mg';");
quietly('SELECT pg_stat_reset();');
like(try('DROP TABLE purchase CASCADE')->{err}, qr/2 transactions are using "purchase" now: process $pid \(application "till", user "\w+"\), prepared transaction "mg" \(user "\w+"\)\./, 'a prepared transaction counts');

# without counters, only locks are known
my $res = try('DROP TABLE purchase CASCADE', 'SET track_counts = off;');

is(join(' ', mg_warnings($res)), 'MG501', 'track_counts = off: a holder is evidence');
like($res->{err}, qr/is not known, because track_counts is off/, 'track_counts = off: that is said');
quietly("ROLLBACK PREPARED 'mg';");
mg_tell($holder, 'ROLLBACK;');
mg_close($holder);
use_all();
silent('DROP TABLE purchase CASCADE', 'track_counts = off, and nobody holds it', 'SET track_counts = off;');

# autovacuum at work is no use
quietly(<<'EOM');
CREATE TABLE churned (a int) WITH (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
INSERT INTO churned SELECT generate_series(1, 20000);
DELETE FROM churned;
EOM
$node->append_conf('postgresql.conf', "autovacuum = on\nautovacuum_naptime = 1s\n");
$node->reload;
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_stat_progress_vacuum WHERE relid = 'churned'::regclass}),
	'autovacuum is at work');
quietly('SELECT pg_stat_reset();');
$res = mg_psql($node, 'postgres', "BEGIN;\nDROP TABLE churned;\nROLLBACK;\n");
is(join(' ', mg_warnings($res), mg_errors($res)), '', 'autovacuum at work: nothing is said');
$node->append_conf('postgresql.conf', "autovacuum = off\n");
$node->reload;

# ---------------------------------------------------------------------
# settings
# ---------------------------------------------------------------------
use_all();
says('DROP TABLE purchase CASCADE', 'MG501', [qr/^HINT:  /m], 'the default is a warning');
foreach my $case (@all)
{
	my ($sql, $state) = @$case;
	my $rule = mg_value($node, 'postgres', "SELECT name FROM migration_guard.rules WHERE sqlstate = '$state'");

	mg_refused(try($sql, "SET migration_guard.rules = '$rule=block';"), $state, "$rule=block refuses: $sql");
	silent($sql, "$rule=off: $sql", "SET migration_guard.rules = '$rule=off';");
}
foreach my $case (
	[ "SET migration_guard.mode = 'warn'; SET migration_guard.rules = 'drop_table=block';", 'WARNING' ],
	[ "SET migration_guard.mode = 'log';", '' ],
	[ "SET migration_guard.mode = 'off';", '' ],
	[ "SET migration_guard.rules = 'drop_table=log';", '' ],
	[ "SET migration_guard.override = 'test'; SET migration_guard.rules = 'drop_table=block';", '' ])
{
	my ($settings, $severity) = @$case;

	is(join(' ', map { $_->{severity} } grep { $_->{state} =~ /^MG/ } @{ try('DROP TABLE purchase CASCADE', $settings)->{messages} }),
		$severity, $settings);
}
ok($node->log_contains(qr/override "test": DROP TABLE would remove table "purchase"/), 'what is overridden is logged');

# the statistics that the session itself looks at are not disturbed
foreach my $consistency (qw(none cache snapshot))
{
	my $s = mg_session($node, 'postgres');

	mg_tell($s, "SET stats_fetch_consistency = '$consistency';");
	mg_tell($s, 'BEGIN;');
	mg_tell($s, 'SELECT count(*) FROM migration_guard.check($$DROP TABLE purchase CASCADE; TRUNCATE log$$);');
	my $before = quietly("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'purchase'");
	quietly('UPDATE purchase SET memo = memo WHERE id = 3;');
	is(mg_tell($s, "SELECT n_tup_upd - $before FROM pg_stat_user_tables WHERE relname = 'purchase';")->{out},
		'1', "stats_fetch_consistency = $consistency: nothing was remembered");
	mg_tell($s, 'SELECT count(*) FROM migration_guard.check($$DROP TABLE purchase CASCADE$$);');
	mg_passes(mg_tell($s, 'SELECT count(*) FROM pg_stat_user_tables;'), "stats_fetch_consistency = $consistency: and again");
	mg_tell($s, 'ROLLBACK;');
	mg_close($s);
}

# ---------------------------------------------------------------------
# indexes
# ---------------------------------------------------------------------
says('DROP INDEX purchase_by_amount', 'MG505',
	[ qr/would remove index "purchase_by_amount" of "purchase", which is in use/, qr/"purchase_by_amount" has seen [1-9]\d* scan/ ]);
$res = mg_psql($node, 'postgres', "SELECT rule FROM migration_guard.check('DROP INDEX CONCURRENTLY purchase_by_amount')");
is($res->{out}, 'drop_index', 'DROP INDEX CONCURRENTLY is judged alike');
says("CREATE INDEX more ON purchase (memo);\nDROP INDEX purchase_by_amount, more", 'MG505', [qr/which is in use/], 'a new index does not count',
	"SET migration_guard.rules = 'create_index=off';");
quietly('CREATE INDEX purchase_by_amount_too ON purchase (amount, memo);');
silent('DROP INDEX purchase_by_amount', 'another index stands in');
quietly('DROP INDEX purchase_by_amount_too; CREATE INDEX purchase_by_amount_too ON purchase (amount DESC);');
says('DROP INDEX purchase_by_amount', 'MG505', [], 'one in another order does not');
quietly('DROP INDEX purchase_by_amount_too; CREATE INDEX purchase_by_amount_too ON purchase (amount) WHERE amount > 5;');
says('DROP INDEX purchase_by_amount', 'MG505', [], 'nor does a partial one');
quietly('DROP INDEX purchase_by_amount_too;');
says('ALTER TABLE purchase DROP COLUMN amount CASCADE', 'MG503', [], 'the index of a column that goes is no finding of its own');

# the last index of a foreign key
my $low = 'SET migration_guard.warn_rows = 100; SET migration_guard.block_rows = 1000;';
my $fk = qr/would leave foreign key "purchase_customer" of "purchase" without an index/;

quietly('SELECT pg_stat_reset();');
says('DROP INDEX purchase_by_customer', 'MG506', [ $fk, qr/server looks for rows of "purchase" by \(customer_id\)/, qr/^CONSTRAINT NAME:  purchase_customer$/m ]);
mg_refused(try('DROP INDEX purchase_by_customer', "SET migration_guard.rules = 'drop_fk_index=block';"), 'MG506', 'drop_fk_index=block refuses');
silent('DROP INDEX purchase_by_customer', 'drop_fk_index: a table that is small enough', 'SET migration_guard.warn_rows = 5000; SET migration_guard.block_rows = 5000;');
silent('DROP INDEX purchase_by_customer', 'drop_fk_index=off', "SET migration_guard.rules = 'drop_fk_index=off';");
silent('ALTER TABLE purchase DROP CONSTRAINT purchase_customer; DROP INDEX purchase_by_customer', 'the foreign key went before');
silent('ALTER TABLE purchase DROP COLUMN customer_id CASCADE', 'the foreign key goes, too');
quietly('DELETE FROM purchase WHERE customer_id = 9; DELETE FROM customer WHERE id = 9;');
says('DROP INDEX purchase_by_customer', 'MG505', [qr/So far 1 row was deleted from "customer"/, qr/Rule drop_index.*Rule drop_fk_index/s], 'how often it is needed');
quietly('SELECT pg_stat_reset();');
foreach my $case (
	[ 'CREATE INDEX other ON purchase (customer_id, memo)', 1 ],
	[ 'CREATE INDEX other ON purchase (customer_id) WHERE customer_id IS NOT NULL', 1 ],
	[ 'CREATE INDEX other ON purchase USING hash (customer_id)', 1 ],
	[ 'CREATE INDEX other ON purchase (memo, customer_id)', 0 ],
	[ 'CREATE INDEX other ON purchase (customer_id) WHERE amount > 5', 0 ],
	[ 'CREATE INDEX other ON purchase (customer_id) WHERE amount IS NOT NULL', 0 ],
	[ 'CREATE INDEX other ON purchase ((customer_id + 0))', 0 ])
{
	my ($create, $serves) = @$case;

	quietly("$create; SELECT pg_stat_reset();");
	if ($serves)
	{
		silent('DROP INDEX purchase_by_customer', "served by: $create");
	}
	else
	{
		says('DROP INDEX purchase_by_customer', 'MG506', [], "not served by: $create");
	}
	quietly('DROP INDEX other');
}
quietly(<<'EOM');
CREATE TABLE entry (day int, customer_id int REFERENCES customer) PARTITION BY RANGE (day);
CREATE TABLE entry_1 PARTITION OF entry FOR VALUES FROM (1) TO (2);
CREATE INDEX entry_by_customer ON entry (customer_id);
INSERT INTO entry SELECT 1, 1 + i % 8 FROM generate_series(1, 2000) i;
ANALYZE entry;
SELECT pg_stat_reset();
EOM
says('DROP INDEX entry_by_customer', 'MG506', [qr/of "entry" without an index/], 'the index of a partitioned table');

like(
	join(' ', hint(says('TRUNCATE customer CASCADE', 'MG502', [ qr/Without CASCADE, the server refuses to empty a table that others reference\./, qr/CASCADE reaches 2 tables that the statement does not name/ ], 'TRUNCATE CASCADE'))),
	qr/DELETE FROM public\.entry .*DELETE FROM public\.purchase .*DELETE FROM public\.customer /,
	'TRUNCATE CASCADE: those that reference others come first');
mg_refused(try('TRUNCATE customer', "SET migration_guard.rules = 'truncate=off';"), '0A000', 'TRUNCATE without CASCADE: the server refuses');
my $twice = says('DROP INDEX purchase_by_customer, purchase_by_amount', 'MG506', [], 'one of two indexes serves a foreign key');

is(scalar(grep { /^CREATE INDEX/ } hint($twice)), 1, 'one of two indexes serves a foreign key: one takes its place');
is( mg_value($node, 'postgres', q{SELECT string_agg(rule, ' ') FROM migration_guard.check('ALTER TABLE purchase DROP CONSTRAINT purchase_customer; DROP INDEX purchase_by_customer') WHERE rule = 'drop_fk_index'}),
	'', 'check(): the foreign key went before');

# ---------------------------------------------------------------------
# a foreign key without an index
# ---------------------------------------------------------------------
my $add = 'ALTER TABLE purchase ADD CONSTRAINT by_amount FOREIGN KEY (%s) REFERENCES customer NOT VALID';

quietly('CREATE TABLE brief AS SELECT g AS a, g AS b FROM generate_series(1, 50) g; ANALYZE brief;');
says(sprintf($add, 'amount'), '', [], 'NOT VALID, with an index');
quietly('DROP INDEX purchase_by_amount;');
says(sprintf($add, 'amount'), 'MG507',
	[ qr/would add a foreign key to "purchase" without an index on \(amount\)/, qr/whenever a row of "customer" is deleted/i, qr/^CONSTRAINT NAME:  by_amount$/m ],
	'NOT VALID, without an index');
says('ALTER TABLE purchase ADD COLUMN friend int REFERENCES customer', 'MG507', [qr/without an index on \(friend\)/], 'ADD COLUMN REFERENCES');
says('ALTER TABLE purchase ADD FOREIGN KEY (amount) REFERENCES customer', 'MG105', [qr/Rule add_foreign_key.*Rule fk_without_index/s],
	'a foreign key that is validated: both, in one message', "SET migration_guard.rules = 'add_foreign_key=warn';");
silent('ALTER TABLE purchase ADD COLUMN IF NOT EXISTS amount int REFERENCES customer', 'a column that is there already');
silent('ALTER TABLE brief ADD FOREIGN KEY (a) REFERENCES customer NOT VALID', 'a small table');
silent('CREATE TABLE fresh (a int REFERENCES customer)', 'a new table');
silent("CREATE TABLE fresh AS SELECT 1 + g % 5 AS a FROM generate_series(1, 2000) g;\nALTER TABLE fresh ADD FOREIGN KEY (a) REFERENCES customer",
	'a table of the same transaction', "SET migration_guard.rules = 'add_foreign_key=off';");
silent(sprintf($add, 'amount'), 'fk_without_index=off', "SET migration_guard.rules = 'fk_without_index=off';");
mg_refused(try(sprintf($add, 'amount'), "SET migration_guard.rules = 'fk_without_index=block';"), 'MG507', 'fk_without_index=block refuses a large table');
is(join(' ', mg_warnings(try(sprintf($add, 'amount'), "SET migration_guard.rules = 'fk_without_index=block'; SET migration_guard.block_rows = 5000;"))),
	'MG507', 'fk_without_index=block: a medium table is warned about');
quietly('DROP INDEX entry_by_customer; ALTER TABLE entry DROP CONSTRAINT entry_customer_id_fkey; CREATE INDEX entry_1_alone ON entry_1 (customer_id);');
silent('ALTER TABLE entry ADD FOREIGN KEY (customer_id) REFERENCES customer', 'each partition has an index', "SET migration_guard.rules = 'add_foreign_key=off';");
quietly('DROP INDEX entry_1_alone; CREATE INDEX entry_by_customer ON entry (customer_id); ALTER TABLE entry ADD FOREIGN KEY (customer_id) REFERENCES customer;');
says('ALTER TABLE purchase ADD COLUMN friend int UNIQUE REFERENCES customer',
	'MG107',
	[
		qr/CREATE UNIQUE INDEX CONCURRENTLY .*ADD CONSTRAINT \S+ UNIQUE USING INDEX .*ADD CONSTRAINT \S+ FOREIGN KEY \(friend\) REFERENCES \S*customer NOT VALID;\n.*VALIDATE/s
	],
	'the foreign key is not lost', "SET migration_guard.rules = 'add_unique=warn';");
says('ALTER TABLE purchase ADD COLUMN friend int UNIQUE REFERENCES customer', 'MG107', [], 'a UNIQUE comes with an index', "SET migration_guard.rules = 'add_unique=warn';");
silent(sprintf($add, 'amount') =~ s/NOT VALID$/NOT ENFORCED/r, 'NOT ENFORCED') if $major >= 18;
is( mg_value($node, 'postgres', 'SELECT string_agg(rule, $$ $$) FROM migration_guard.check($$CREATE INDEX CONCURRENTLY ON purchase (amount); '
		  . sprintf($add, 'amount') . '$$)'), '', 'check(): an index that the script makes');
is( mg_value($node, 'postgres', 'SELECT string_agg(rule, $$ $$) FROM migration_guard.check($$CREATE INDEX CONCURRENTLY ON purchase (memo, amount); '
		  . sprintf($add, 'amount') . '$$)'), 'fk_without_index', 'check(): another index that the script makes');

# ---------------------------------------------------------------------
# the advice runs, and does what it says
# ---------------------------------------------------------------------
sub run_hint
{
	my ($text, $name) = @_;
	my @sql = hint($text);

	ok(@sql > 0, "$name: the hint has SQL") or diag($text);
	mg_passes(mg_psql($node, 'postgres', join("\n", @sql) . "\n"), "$name: which runs: @sql");
	return;
}

use_all();
run_hint(says('DROP TABLE purchase CASCADE', 'MG501', [qr/FROM shop, reader;/]), 'DROP TABLE');
mg_refused(mg_psql($node, 'postgres', 'SELECT 1 FROM purchase LIMIT 1;', user => 'reader'), '42501', 'DROP TABLE: readers would notice');
mg_refused(mg_psql($node, 'postgres', 'SELECT 1 FROM purchase LIMIT 1;', user => 'shop'), '42501', 'DROP TABLE: the owner, too');
quietly('GRANT SELECT, INSERT, UPDATE, DELETE ON purchase TO shop; GRANT SELECT ON purchase TO reader;');

run_hint(says('ALTER TABLE purchase RENAME TO orders', 'MG504'), 'RENAME');
is(mg_value($node, 'postgres', 'INSERT INTO purchase VALUES (9002, 1, 1) RETURNING id; UPDATE purchase SET memo = 1 WHERE id = 9002 RETURNING id; SELECT count(*) FROM orders WHERE id = 9002;', user => 'shop'),
	"9002\n9002\n1", 'RENAME: running code can go on reading and writing');
is(mg_value($node, 'postgres', 'SELECT count(*) FROM purchase WHERE id = 9002', user => 'reader'), '1', 'RENAME: readers can go on, too');
mg_refused(mg_psql($node, 'postgres', 'DELETE FROM purchase;', user => 'reader'), '42501', 'RENAME: and can do no more than before');
quietly('DROP VIEW purchase; ALTER TABLE orders RENAME TO purchase;');

run_hint(says('ALTER TABLE purchase SET SCHEMA archive', 'MG504'), 'SET SCHEMA');
is(mg_value($node, 'postgres', 'DELETE FROM public.purchase WHERE id = 9002 RETURNING id; SELECT count(*) FROM archive.purchase WHERE id = 9002;', user => 'shop'), "9002\n0", 'SET SCHEMA: running code can go on');
quietly('DROP VIEW public.purchase; ALTER TABLE archive.purchase SET SCHEMA public;');

run_hint(says('ALTER TABLE purchase DROP COLUMN amount CASCADE', 'MG503'), 'DROP COLUMN');
mg_passes(mg_psql($node, 'postgres', 'INSERT INTO purchase (id, customer_id) VALUES (9003, 1);'), 'DROP COLUMN: rows may come without it');

quietly("CREATE INDEX purchase_by_memo ON purchase (memo) WHERE amount > 5;\nSET enable_seqscan = off;\nSELECT 1 FROM purchase WHERE amount > 5 AND memo = 'x';");
$text = says('DROP INDEX purchase_by_memo', 'MG505');
quietly('DROP INDEX purchase_by_memo;');
run_hint($text, 'DROP INDEX');
is(quietly("SELECT indisvalid, pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'purchase_by_memo'::regclass"), 't|(amount > 5)', 'DROP INDEX: it is back');

quietly('SELECT pg_stat_reset();');
run_hint(says('DROP INDEX purchase_by_customer', 'MG506'), 'the last index of a foreign key');
silent('DROP INDEX purchase_by_customer', 'the last index of a foreign key: it may go now');
quietly('SELECT pg_stat_reset();');
run_hint(says('DROP INDEX entry_by_customer', 'MG506'), 'the last index of a partitioned foreign key');
silent('DROP INDEX entry_by_customer', 'the last index of a partitioned foreign key: it may go now');

quietly('UPDATE purchase SET amount = 1 + id % 8;');
$text = says(sprintf($add, 'amount'), 'MG507', [qr/CREATE INDEX CONCURRENTLY/]);
$res = mg_psql($node, 'postgres', join("\n", hint($text)));
is(join(' ', mg_errors($res), mg_warnings($res)), '', 'fk_without_index: the advice runs, and is not warned about') or diag($res->{err});
is(quietly("SELECT convalidated FROM pg_constraint WHERE conname = 'by_amount'"), 't', 'fk_without_index: the foreign key is there');
$text = says('ALTER TABLE purchase ADD COLUMN friend int REFERENCES customer', 'MG507');
$res = mg_psql($node, 'postgres', join("\n", hint($text)));
is(join(' ', mg_errors($res), mg_warnings($res)), '', 'ADD COLUMN REFERENCES: the advice runs, and is not warned about') or diag($res->{err});

run_hint(says('TRUNCATE purchase', 'MG502'), 'TRUNCATE');
is(quietly('SELECT count(*) FROM purchase'), '0', 'TRUNCATE: the rows are gone');

# the swap that ends the advice about types keeps the name
quietly('ALTER TABLE customer ADD note_new text;');
silent("ALTER TABLE customer RENAME note TO note_old;\nALTER TABLE customer RENAME note_new TO note", 'a swap of columns in one transaction');
says('ALTER TABLE customer RENAME note TO note_two', 'MG504', [], 'no swap');

$node->stop;

unlike(slurp_file($node->logfile), qr/TRAP:|cache lookup failed|leak(ed)?:|PANIC|terminated by signal/,
	'the server had nothing to complain about');

done_testing();
