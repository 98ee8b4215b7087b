# 073_transaction.pl
#
# The transaction so far: what it holds and since when, what it has written,
# and what a statement is judged to be after that, in the hook and in a script;
# savepoints, rollbacks to them, and everything else that ends a transaction or
# does not.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('transaction', preload => 'migration_guard', conf => $mg_unused);

mg_fixture($node, 'postgres');
mg_value($node, 'postgres', <<'EOM');
SET migration_guard.mode = 'off';
CREATE EXTENSION migration_guard;
CREATE TABLE other (id int PRIMARY KEY, a int);
INSERT INTO other SELECT i, i FROM generate_series(1, 2000) i;
ALTER TABLE other ADD CONSTRAINT other_pos CHECK (a > 0) NOT VALID;
CREATE TABLE empty (id int, a int);
CREATE VIEW a_view AS SELECT a FROM small;
CREATE SEQUENCE a_sequence;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM big;
CREATE UNIQUE INDEX ON mv (id);
CREATE TABLE "Odd ""one" (id int, a int);
INSERT INTO "Odd ""one" SELECT i, i FROM generate_series(1, 2000) i;
CREATE FUNCTION verdicts(sql text) RETURNS text LANGUAGE sql AS
	$$SELECT coalesce(string_agg(format('%s %s', statement, rule), ', '), 'nothing') FROM migration_guard.check(sql)$$;
ANALYZE;
EOM

my $s = mg_session($node, 'postgres');

# the last message of the guard, and all SQLSTATEs, of statements in a
# transaction that is rolled back
sub transaction
{
	my ($sql, $states, $name) = @_;
	my $res = mg_tell($s, "BEGIN;\n$sql");
	my $got = join ' ', map { $_->{state} } grep { $_->{state} =~ /^MG|^[0-9]/ && $_->{severity} =~ /ERROR|WARNING/ } @{ $res->{messages} };

	mg_tell($s, 'ROLLBACK;');
	is($got, $states, $name) or diag($res->{err});
	my @said = grep { $_->{severity} ne 'NOTICE' } @{ $res->{messages} };

	return @said ? $said[-1]{text} : '';
}

sub check
{
	my ($sql, $expected, $name) = @_;

	return is(mg_tell($s, "SELECT verdicts(\$mg\$$sql\$mg\$);")->{out}, $expected, "check(): $name");
}

# ---------------------------------------------------------------------
# work on one relation while others are kept from another
# ---------------------------------------------------------------------
my $text;

# [statements before, the work, SQLSTATE, what DETAIL says, name]
my @work = (
	[
		'ALTER TABLE small ADD x int',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/"other" would block reads and writes of "small".*nothing to do with "small".*holds AccessExclusiveLock on it since ALTER TABLE/s,
		'VALIDATE of another table'
	],
	[
		'CREATE TEMP TABLE mine AS SELECT a FROM other; ALTER TABLE small ADD x int',
		'CREATE INDEX ON mine (a)',
		'MG121', qr/"mine" would block reads and writes of "small".*HINT:  Run it before the statement that locks "small", or commit in between/s,
		'an index on a temporary table'
	],
	[
		'CREATE TABLE fresh AS SELECT a FROM other; ALTER TABLE small ADD x int',
		'CREATE INDEX ON fresh (a)',
		'MG121', qr/"fresh" would block reads and writes of "small"/,
		'an index on a new table'
	],
	[
		'ALTER TABLE small ADD x int',
		'CREATE INDEX ON other (a)',
		'MG121', qr/"other" would block writes for.*Reads and writes of "small" \(since ALTER TABLE\) are blocked as well/s,
		'an index on another table'
	],
	[
		'LOCK TABLE small IN SHARE MODE',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/"other" would block writes to "small".*holds ShareLock on it since LOCK TABLE/s,
		'a lock against writes'
	],
	[
		'CREATE OR REPLACE VIEW a_view AS SELECT a, 1 AS b FROM small',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/of "a_view"/,
		'a view that is replaced'
	],
	[
		'ALTER SEQUENCE a_sequence INCREMENT 2',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/to "a_sequence"/,
		'a sequence that is altered'
	],
	[
		'TRUNCATE small',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/of "small".*since TRUNCATE TABLE/s,
		'a table that is empty because this transaction has truncated it'
	],
	[
		'ALTER TABLE small ADD CONSTRAINT p CHECK (a > 0) NOT VALID',
		'ALTER TABLE small VALIDATE CONSTRAINT p',
		'', qr/^$/,
		'a small table: nothing'
	],
	[
		'ALTER TABLE big ADD CONSTRAINT p CHECK (a > 0) NOT VALID',
		'ALTER TABLE big VALIDATE CONSTRAINT p',
		'MG106', qr/itself needs no more than ShareUpdateExclusiveLock, but this transaction already holds AccessExclusiveLock on "big" since ALTER TABLE/,
		'VALIDATE under the lock of ADD'
	],
	[
		'ALTER TABLE big ADD x int',
		'CREATE INDEX ON big (x)',
		'MG121', qr/already holds AccessExclusiveLock on "big" since ALTER TABLE, which blocks reads, too/,
		'an index under the lock of ADD COLUMN'
	],

	# nobody waits for these
	[ 'ALTER TABLE empty ADD x int', 'ALTER TABLE other VALIDATE CONSTRAINT other_pos', '', qr/^$/, 'an empty table' ],
	[ 'CREATE TABLE fresh AS SELECT 1 AS a; ALTER TABLE fresh ADD x int', 'ALTER TABLE other VALIDATE CONSTRAINT other_pos', '', qr/^$/, 'a new table' ],
	[ 'CREATE TABLE fresh AS SELECT 1 AS a; TRUNCATE fresh; ALTER TABLE fresh ADD x int DEFAULT random()', 'ALTER TABLE other VALIDATE CONSTRAINT other_pos', '', qr/^$/, 'a new table, truncated and rewritten' ],
	[ 'CREATE TEMP TABLE mine AS SELECT 1 AS a; ALTER TABLE mine ADD x int', 'ALTER TABLE other VALIDATE CONSTRAINT other_pos', '', qr/^$/, 'a temporary table' ],
	[ 'DROP TABLE small CASCADE', 'ALTER TABLE other VALIDATE CONSTRAINT other_pos', '', qr/^$/, 'a table that is dropped' ],
	[ 'LOCK TABLE small IN ROW EXCLUSIVE MODE; LOCK TABLE small IN SHARE UPDATE EXCLUSIVE MODE', 'ALTER TABLE other VALIDATE CONSTRAINT other_pos', '', qr/^$/, 'a weak lock' ],

	# savepoints
	[
		'SAVEPOINT one; ALTER TABLE small ADD x int; ROLLBACK TO one',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'', qr/^$/, 'a lock that was rolled back'
	],
	[
		'SAVEPOINT one; ALTER TABLE small ADD x int; RELEASE one',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/since ALTER TABLE/, 'a lock of a savepoint that was released'
	],
	[
		'SAVEPOINT one; SAVEPOINT two; ALTER TABLE small ADD x int; RELEASE two; ROLLBACK TO one',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'', qr/^$/, 'a lock of a released savepoint inside of one that was rolled back'
	],
	[
		'ALTER TABLE small ADD x int; SAVEPOINT one; ALTER TABLE small ADD y int; ROLLBACK TO one',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/since ALTER TABLE/, 'a lock that was taken before the savepoint, too'
	],
	[
		'LOCK TABLE small IN SHARE MODE; SAVEPOINT one; ALTER TABLE small ADD y int; ROLLBACK TO one',
		'ALTER TABLE other VALIDATE CONSTRAINT other_pos',
		'MG106', qr/ShareLock on it since LOCK TABLE/, 'the weaker lock remains'
	],
	[
		'SAVEPOINT one; CREATE TABLE fresh AS SELECT 1 AS a; ROLLBACK TO one; CREATE TABLE fresh AS SELECT a FROM other; SAVEPOINT two; TRUNCATE fresh; ROLLBACK TO two',
		'CREATE INDEX ON fresh (a)',
		'', qr/^$/, 'a table made before the savepoint is new after ROLLBACK TO'
	],
	[
		'SAVEPOINT one; TRUNCATE big CASCADE; ROLLBACK TO one; LOCK TABLE big',
		'CREATE INDEX ON big (a)',
		'MG121', qr/"big"/, 'a truncation that was rolled back makes nothing new'
	]);

foreach my $case (@work)
{
	my ($before, $sql, $states, $says, $name) = @$case;

	$text = transaction("$before;\n$sql;", $states, $name);
	like($text, $says, "$name: words") if $states ne '';

	# the same before it is done; of temporary and new tables a script knows nothing
	next if $before =~ /CREATE (TEMP )?TABLE/ && $states ne '';
	next if $sql =~ /CONSTRAINT p$|\(x\)$/;
	my $found = mg_tell($s, "SELECT count(*) FROM migration_guard.check(\$mg\$BEGIN; $before; $sql\$mg\$);")->{out};
	is($found, ($states eq '' ? 0 : 1), "$name: in a script");
}

# truncated and filled again is not new; nor is what was rewritten
transaction("TRUNCATE other;\nINSERT INTO other SELECT i, i FROM generate_series(1, 2000) i;\nCREATE INDEX ON other (a);", 'MG121', 'a table truncated and filled again is not new');
transaction("TRUNCATE other;\nCREATE INDEX ON other (a);", '', 'nor is there work on it while it is empty');
transaction("SET LOCAL migration_guard.mode = 'off';\nALTER TABLE other ALTER a TYPE bigint;\nSET LOCAL migration_guard.mode = 'enforce';\nCREATE INDEX ON other (a);", 'MG121', 'a table rewritten in this transaction is not new');

# what was locked while the guard was off counts: the lock manager is asked
$text = transaction("SET LOCAL migration_guard.mode = 'off';\nALTER TABLE small ADD x int;\nSET LOCAL migration_guard.mode = 'enforce';\nALTER TABLE other VALIDATE CONSTRAINT other_pos;", 'MG106', 'a lock that the guard has not seen being taken');
like($text, qr/already holds AccessExclusiveLock on it, which/, 'and no command is named');

# since when
mg_tell($s, "BEGIN;\nALTER TABLE small ADD x int;\nSELECT pg_sleep(1.1);");
like(mg_tell($s, 'ALTER TABLE other VALIDATE CONSTRAINT other_pos;')->{err}, qr/holds AccessExclusiveLock on it for \d+ s, since ALTER TABLE,/, 'for how long the lock has been held');
mg_tell($s, 'ROLLBACK;');
mg_tell($s, "BEGIN;\nALTER TABLE small ADD x int;\nSELECT pg_sleep(1.1);");
like(mg_tell($s, q{SELECT detail FROM migration_guard.check('ALTER TABLE other VALIDATE CONSTRAINT other_pos');})->{out}, qr/for \d+ s, since ALTER TABLE,/, 'check() inside the transaction says it, too');
like(mg_tell($s, q{SELECT detail FROM migration_guard.check('COMMIT; BEGIN; ALTER TABLE small ADD y int; ALTER TABLE other VALIDATE CONSTRAINT other_pos');})->{out}, qr/holds AccessExclusiveLock on it since ALTER TABLE,/, 'of a script only the command is known');
check('COMMIT; ALTER TABLE other VALIDATE CONSTRAINT other_pos', 'nothing', 'COMMIT ends what the calling transaction holds');
mg_tell($s, 'ROLLBACK;');

# ---------------------------------------------------------------------
# a second large table
# ---------------------------------------------------------------------
my @several = (
	[ 'ALTER TABLE big ADD x int; ALTER TABLE other ADD x int', 'MG301', 'two large tables' ],
	[ 'ALTER TABLE big ADD x int; ALTER TABLE big ADD y int', '', 'the same one twice' ],
	[ 'ALTER TABLE big ADD x int; ALTER TABLE small ADD y int', '', 'a small one after it' ],
	[ 'ALTER TABLE small ADD x int; ALTER TABLE big ADD y int', '', 'a small one before it' ],
	[ 'ALTER TABLE big ADD x int; ALTER TABLE medium ADD y int', 'MG301', 'one that is warned about' ],
	[ 'ALTER TABLE big ADD x int; ALTER TABLE "Odd ""one" ADD x int', 'MG301', 'an odd name' ],
	[ 'LOCK TABLE big, other', '', 'two in one statement' ],
	[ 'LOCK TABLE big IN SHARE UPDATE EXCLUSIVE MODE; LOCK TABLE other', '', 'the first lock blocks nobody' ],
	[ 'LOCK TABLE big; LOCK TABLE other IN SHARE UPDATE EXCLUSIVE MODE', '', 'the second lock blocks nobody' ],
	[ 'LOCK TABLE big IN SHARE MODE; LOCK TABLE other IN SHARE MODE', 'MG301', 'locks against writes' ],
	[ 'LOCK TABLE big; LOCK TABLE other; LOCK TABLE other; ALTER TABLE medium ADD x int', 'MG301 MG301', 'once for each' ],
	[ 'ALTER TABLE parted_1 ADD CONSTRAINT c CHECK (id > 0) NOT VALID; ALTER TABLE parted_2 ADD CONSTRAINT c CHECK (id > 0) NOT VALID; ALTER TABLE parted ADD x int', '', 'partitions of one table' ],
	[ 'ALTER TABLE parted ADD x int; ALTER TABLE big ADD x int', 'MG301', 'a partitioned table and another' ],
	[ 'ALTER TABLE other ADD big_id int; ALTER TABLE other ADD FOREIGN KEY (big_id) REFERENCES big NOT VALID', 'MG301', 'the other side of a foreign key' ],
	[ 'ALTER TABLE ref ADD FOREIGN KEY (id) REFERENCES big NOT VALID', '', 'a foreign key alone' ],
	[ 'TRUNCATE other; ALTER TABLE big ADD x int', 'MG301', 'the first one is truncated' ],
	[ 'DROP TABLE other; ALTER TABLE big ADD x int', 'MG301', 'the first one is dropped' ],
	[ 'DROP TABLE other; CREATE TABLE other (a int); ALTER TABLE big ADD x int', 'MG301', 'and made anew' ],
	[ 'ALTER TABLE other RENAME TO another; ALTER TABLE big ADD x int', 'MG301', 'the first one is renamed' ],
	[ 'SAVEPOINT one; ALTER TABLE other ADD x int; ROLLBACK TO one; ALTER TABLE big ADD x int', '', 'the first lock is rolled back' ],
	[ 'SAVEPOINT one; TRUNCATE other; ROLLBACK TO one; ALTER TABLE big ADD x int', '', 'the truncation is rolled back' ],
	[ 'SAVEPOINT one; ALTER TABLE other ADD x int; RELEASE one; ALTER TABLE big ADD x int', 'MG301', 'the savepoint is released' ],
	[ 'ALTER TABLE mv SET (fillfactor = 90); ALTER MATERIALIZED VIEW mv RENAME TO mw; ALTER TABLE big ADD x int', 'MG301', 'a materialized view' ]);

foreach my $case (@several)
{
	my ($sql, $states, $name) = @$case;

	(my $lines = $sql) =~ s/; /;\n/g;
	transaction("$lines;", $states, $name);
	my $rules = mg_tell($s, "SELECT string_agg(sqlstate, ' ') FROM migration_guard.check(\$mg\$BEGIN; $sql\$mg\$);")->{out};
	is($rules, $states, "$name: in a script");
}
foreach my $new ('CREATE TABLE fresh AS SELECT a FROM other', 'CREATE TEMP TABLE fresh AS SELECT a FROM other')
{
	transaction("$new;\nALTER TABLE fresh ADD x int;\nALTER TABLE big ADD x int;", '', "$new is not one of them");
	transaction("LOCK TABLE small IN SHARE MODE;\nROLLBACK;\nBEGIN;\nALTER TABLE big ADD x int;\nROLLBACK;\nBEGIN;\n$new;\nALTER TABLE big ADD x int;\nALTER TABLE fresh ADD x int;", '', "$new: nor the second one");
}
$text = transaction("LOCK TABLE big;\nALTER TABLE other ADD x int;", 'MG301', 'two large tables');
like($text, qr/^ALTER TABLE "other" would lock another large table in a transaction that keeps others from "big"$/m, 'several_tables: message');
like($text, qr/DETAIL:  This transaction already holds AccessExclusiveLock on "big" since LOCK TABLE, which blocks reads and writes\. AccessExclusiveLock on "other" blocks reads and writes as well/, 'several_tables: detail');
like($text, qr/HINT:  Commit first, then run it in a transaction of its own\./, 'several_tables: hint');
like($text, qr/TABLE NAME:  other/, 'several_tables: names');
$text = transaction("ALTER TABLE other ADD big_id int;\nALTER TABLE other ADD FOREIGN KEY (big_id) REFERENCES big NOT VALID;", 'MG301', 'the other side');
like($text, qr/^ALTER TABLE "other" would lock another large table, "big", in a transaction that keeps others from "other"$/m, 'several_tables: names the other side');
transaction("SET LOCAL migration_guard.rules = 'several_tables=block';\nLOCK TABLE big;\nLOCK TABLE other;", 'MG301', 'several_tables can be refused');
transaction("SET LOCAL migration_guard.rules = 'several_tables=off';\nLOCK TABLE big;\nLOCK TABLE other;", '', 'and switched off');
transaction("SET LOCAL migration_guard.warn_rows = -1;\nSET LOCAL migration_guard.block_rows = -1;\nLOCK TABLE big;\nLOCK TABLE other;", '', 'no table is large without a threshold');

# ---------------------------------------------------------------------
# DDL after many rows were written
# ---------------------------------------------------------------------
my @writes = (
	[ 'UPDATE big SET a = a + 1; ALTER TABLE big ADD x int', 'MG302', 'all rows updated' ],
	[ 'DELETE FROM ref; ALTER TABLE ref ADD x int', 'MG302', 'all rows deleted' ],
	[ 'UPDATE big SET a = a + 1 WHERE id = 1; ALTER TABLE big ADD x int', 'MG302', 'one row of a large table' ],
	[ 'UPDATE small SET a = a + 1; ALTER TABLE small ADD x int', '', 'few rows of a small table' ],
	[ 'INSERT INTO small SELECT i, i FROM generate_series(1001, 1200) i; ALTER TABLE small ADD x int', 'MG302', 'many rows into a small table' ],
	[ 'UPDATE big SET a = a + 1; ALTER TABLE other ADD x int', '', 'another table is altered' ],
	[ 'UPDATE big SET a = a + 1; ALTER TABLE big VALIDATE CONSTRAINT big_pkey', '*', 'a lock that blocks nobody' ],
	[ 'LOCK TABLE big; UPDATE big SET a = a + 1; ALTER TABLE big ADD x int', '', 'the lock was there before' ],
	[ 'UPDATE parted SET v = v; ALTER TABLE parted ADD x int', 'MG302', 'a partitioned table' ],
	[ 'UPDATE parted SET v = v WHERE id = 5; ALTER TABLE parted_1 ADD CONSTRAINT c CHECK (id > 0) NOT VALID', 'MG302', 'a partition written by its parent' ],
	[ 'WITH gone AS (DELETE FROM other RETURNING id) INSERT INTO medium SELECT id + 1000, id FROM gone; ALTER TABLE other ADD x int', 'MG302', 'written in WITH' ],
	[ 'SAVEPOINT one; UPDATE big SET a = a + 1; ROLLBACK TO one; ALTER TABLE big ADD x int', '', 'the writes are rolled back' ],
	[ 'SAVEPOINT one; UPDATE big SET a = a + 1; RELEASE one; ALTER TABLE big ADD x int', 'MG302', 'the savepoint is released' ],
	[ 'UPDATE big SET a = a + 1; TRUNCATE big CASCADE', 'MG302', 'TRUNCATE' ],
	[ 'UPDATE other SET a = a + 1; CREATE INDEX ON other (a)', 'MG121+', 'a refusal has more to say' ],
	[ 'TRUNCATE small; INSERT INTO small SELECT i, i FROM generate_series(1, 2000) i; ALTER TABLE small ADD x int', '', 'filled anew' ]);

foreach my $case (@writes)
{
	my ($sql, $states, $name) = @$case;

	next if $states eq '*';
	(my $lines = $sql) =~ s/; /;\n/g;
	$text = transaction("$lines;", $states =~ s/\+$//r, $name);
	like($text, qr/rule ddl_after_dml|Rule ddl_after_dml/, "$name: in DETAIL") if $states ne '';

	# how many rows a query would insert is not planned
	next if $name eq 'many rows into a small table';
	like(mg_tell($s, "SELECT string_agg(sqlstate, ' ') FROM migration_guard.check(\$mg\$BEGIN; $sql\$mg\$);")->{out},
		($states eq '' ? qr/^$/ : qr/MG302/), "$name: in a script");
}
$text = transaction("UPDATE big SET a = a + 1;\nSAVEPOINT one;\nUPDATE big SET a = 1;\nROLLBACK TO one;\nALTER TABLE big ADD x int;", 'MG302', 'a part is rolled back');
like($text, qr/^ALTER TABLE "big" would raise the lock on a table of which this transaction has written 2,000 rows$/m, 'ddl_after_dml: message, without what is rolled back');
like($text, qr/DETAIL:  This transaction has written 2,000 rows of "big"\. AccessExclusiveLock, which blocks reads and writes until it ends, has to wait/, 'ddl_after_dml: detail');
mg_tell($s, "UPDATE big SET a = a + 1;");
transaction("ALTER TABLE big ADD x int;", '', 'what another transaction of the session has written does not count');
mg_tell($s, "UPDATE big SET a = a + 1;");
transaction("UPDATE medium SET a = a WHERE id = 1;\nALTER TABLE medium ADD x int;", 'MG302', 'one row of a table that is warned about');
like(mg_tell($s, q{SELECT message, detail FROM migration_guard.check('BEGIN; UPDATE big SET a = 1 WHERE b = ''x''; ALTER TABLE big ADD x int');})->{out},
	qr/^ALTER TABLE "big" would raise the lock on a table that this transaction has locked for writing\|This transaction holds RowExclusiveLock on "big", as all do that write to it\. /, 'ddl_after_dml: a script whose rows nobody knows');
like(mg_tell($s, q{SELECT message FROM migration_guard.check('BEGIN; UPDATE parted SET v = 1; ALTER TABLE parted ADD x int');})->{out},
	qr/"parted" would raise .* written [\d,]+ rows/, 'ddl_after_dml: rows of all partitions');
transaction("CREATE TABLE fresh AS SELECT a FROM other;\nUPDATE fresh SET a = 1;\nALTER TABLE fresh ADD x int;", '', 'ddl_after_dml: not of a new table');
transaction("CREATE TEMP TABLE mine AS SELECT a FROM other;\nUPDATE mine SET a = 1;\nALTER TABLE mine ADD x int;", '', 'ddl_after_dml: not of a temporary one');
transaction("UPDATE big SET a = 1;\nSELECT pg_sleep(1.1);\nALTER TABLE big ADD x int;", 'MG302', 'a transaction that takes its time');
transaction("SET LOCAL track_counts = off;\nUPDATE big SET a = 1;\nALTER TABLE big ADD x int;", 'MG302', 'nothing is counted: the lock is there');

# two of them do deadlock
{
	my $t = mg_session($node, 'postgres');

	mg_tell($s, "SET deadlock_timeout = '100ms';\nBEGIN;\nUPDATE big SET a = 1 WHERE id = 1;");
	mg_tell($t, "SET deadlock_timeout = '100ms';\nSET migration_guard.mode = 'off';\nBEGIN;\nUPDATE big SET a = 1 WHERE id = 2;");
	$t->{in} .= "ALTER TABLE big ADD y int;\n";
	IPC::Run::pump_nb($t->{h});
	ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'big'::regclass}), 'one waits');
	my $mine = mg_tell($s, "SET LOCAL migration_guard.mode = 'warn';\nALTER TABLE big ADD x int;");
	my $theirs = mg_tell($t, 'SELECT 1;');

	like(join(' ', mg_errors($mine), mg_errors($theirs)), qr/40P01/, 'a deadlock, as the warning says');
	mg_tell($s, "ROLLBACK;\nRESET deadlock_timeout;");
	mg_tell($t, 'ROLLBACK;');
	mg_close($t);
}

# ---------------------------------------------------------------------
# what ends a transaction, and what does not
# ---------------------------------------------------------------------
my $probe = 'ALTER TABLE other VALIDATE CONSTRAINT other_pos;';

sub warned
{
	my ($before, $states, $name) = @_;
	my $res = mg_tell($s, $before);
	my $script = $before;
	my $probed = mg_tell($s, "SELECT string_agg(sqlstate, ' ') FROM migration_guard.check('$probe');")->{out};

	is($probed, $states, $name) or diag($res->{err});
	mg_tell($s, 'ROLLBACK;');
	return;
}

warned("BEGIN;\nALTER TABLE small SET (fillfactor = 90);\nALTER TABLE small ADD x int;\nROLLBACK AND CHAIN;", '', 'ROLLBACK AND CHAIN');
warned("BEGIN;\nALTER TABLE small SET (fillfactor = 90);\nLOCK TABLE small;\nCOMMIT AND CHAIN;", '', 'COMMIT AND CHAIN');
warned("BEGIN;\nLOCK TABLE small;\nCOMMIT AND CHAIN;\nLOCK TABLE small;", 'MG106', 'a lock of the transaction that was chained');
warned("BEGIN;\nLOCK TABLE small;\nPREPARE TRANSACTION 'p';\nBEGIN;", '', 'PREPARE TRANSACTION');
mg_tell($s, "ROLLBACK PREPARED 'p';");
warned("BEGIN;\nDECLARE c CURSOR WITH HOLD FOR SELECT * FROM big;\nLOCK TABLE small;\nCOMMIT;\nBEGIN;\nFETCH 1 FROM c;", '', 'a cursor that outlives its transaction');
mg_tell($s, 'CLOSE c;');
warned("BEGIN;\nDECLARE c CURSOR FOR SELECT * FROM big;\nFETCH 1 FROM c;\nLOCK TABLE small;", 'MG106', 'an open cursor');
warned("PREPARE l AS SELECT 1;\nBEGIN;\nEXECUTE l;\nLOCK TABLE small;\nDEALLOCATE l;", 'MG106', 'prepared statements');
warned("BEGIN;\nDO \$\$BEGIN LOCK TABLE small; END\$\$;", 'MG106', 'a lock taken inside of DO');
warned("BEGIN;\nDO \$\$BEGIN BEGIN LOCK TABLE small; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END\$\$;", '', 'a lock given back by an exception block');
warned("DO \$\$BEGIN LOCK TABLE small; COMMIT; END\$\$;\nBEGIN;", '', 'COMMIT inside of DO');
warned("BEGIN;\nSAVEPOINT a;\nLOCK TABLE small;\nSAVEPOINT b;\nSELECT 1/0;\nROLLBACK TO b;", 'MG106', 'an error after the lock, rolled back');
warned("BEGIN;\nSAVEPOINT a;\nLOCK TABLE small;\nSELECT 1/0;\nROLLBACK TO a;", '', 'an error in the same savepoint');
warned("LISTEN x;\nSELECT pg_advisory_lock(1);\nBEGIN;", '', 'session locks are no locks on relations');
mg_tell($s, 'SELECT pg_advisory_unlock_all();');

# inside a function, and in one query string, all are statements of one transaction
mg_refused(mg_psql($node, 'postgres', q{DO $$BEGIN ALTER TABLE small ADD x int; ALTER TABLE other VALIDATE CONSTRAINT other_pos; END$$}), 'MG106', 'in a DO block');
mg_refused(mg_psql($node, 'postgres', "ALTER TABLE small ADD x int; $probe", string => 1), 'MG106', 'in one query string');
mg_passes(mg_psql($node, 'postgres', "DO \$\$BEGIN LOCK TABLE small; COMMIT; $probe ROLLBACK; END\$\$"), 'a procedure that commits in between');

# scripts
check("BEGIN; ALTER TABLE small ADD x int; COMMIT; $probe", 'nothing', 'COMMIT');
check("BEGIN; ALTER TABLE small ADD x int; COMMIT AND CHAIN; $probe", 'nothing', 'COMMIT AND CHAIN');
check("BEGIN; ALTER TABLE small ADD x int; COMMIT AND CHAIN; LOCK TABLE small; $probe", '5 validate_constraint', 'the chained transaction');
check("BEGIN; ALTER TABLE small ADD x int; ROLLBACK AND CHAIN; $probe", 'nothing', 'ROLLBACK AND CHAIN');
check("BEGIN; ALTER TABLE small ADD x int; PREPARE TRANSACTION 'p'; $probe", 'nothing', 'PREPARE TRANSACTION');
check("ALTER TABLE small ADD x int; $probe", 'nothing', 'no block');
check("BEGIN; SAVEPOINT a; UPDATE big SET a = 1; ROLLBACK TO a; ALTER TABLE big ADD x int", 'nothing', 'writes rolled back');
check("BEGIN; UPDATE big SET a = 1; COMMIT; ALTER TABLE big ADD x int", 'nothing', 'writes committed');
check("BEGIN; UPDATE big SET a = 1; COMMIT AND CHAIN; ALTER TABLE big ADD x int", 'nothing', 'writes committed, chained');
check("BEGIN; UPDATE big SET a = 1; ALTER TABLE big RENAME TO b2; COMMIT", '3 ddl_after_dml', 'RENAME');
check("BEGIN; ALTER TABLE big RENAME TO b2; UPDATE b2 SET a = 1; COMMIT; BEGIN; UPDATE b2 SET a = 1; ALTER TABLE b2 ADD x int", '7 ddl_after_dml', 'a name that the script has given');
check("BEGIN; CREATE TABLE n (a int); UPDATE n SET a = 1; ALTER TABLE n ADD x int; COPY big FROM STDIN; ALTER TABLE big ADD x int", '6 ddl_after_dml', 'COPY');

is(mg_tell($s, q{SELECT verdicts('BEGIN; EXPLAIN ANALYZE UPDATE other SET a = a; LOCK TABLE other');})->{out},
	'3 ddl_after_dml', 'rows that EXPLAIN ANALYZE writes, in a script');
mg_tell($s, 'CREATE TABLE par (a int); CREATE TABLE chi () INHERITS (par); INSERT INTO chi SELECT generate_series(1, 2000); ANALYZE chi;');
is(mg_tell($s, q{SELECT verdicts('BEGIN; INSERT INTO par VALUES (1); LOCK TABLE chi');})->{out},
	'nothing', 'rows inserted into a parent are none of its children, in a script');

# explain() says so, too, as of now and in a script
mg_tell($s, 'BEGIN; ALTER TABLE small ADD x int;');
like(mg_tell($s, q{SELECT reason FROM migration_guard.explain('ALTER TABLE small ADD y int');})->{out},
	qr/; this transaction already holds AccessExclusiveLock since ALTER TABLE$/, 'explain(): a lock that is held');
mg_tell($s, 'ROLLBACK;');
like(
	mg_tell($s,
		q{SELECT string_agg(reason, '|') FROM migration_guard.explain('ALTER TABLE small ADD x int; BEGIN; LOCK TABLE small IN SHARE MODE; TRUNCATE small');}
	)->{out},
	qr/^[^|]*\|[^|]*\|[^|]*; this transaction already holds ShareLock since LOCK TABLE(?:\|[^|]*)?$/,
	'explain(): a lock that the script holds');

mg_close($s);
$node->stop;

# The library comes with the first DDL of a session, after locks that it has not
# seen: LOCK TABLE fires no event trigger.
{
	my $late = mg_node('late');

	mg_fixture($late, 'postgres');
	mg_value($late, 'postgres', 'CREATE EXTENSION migration_guard');
	mg_value($late, 'postgres', q{ALTER TABLE big ADD CONSTRAINT pos CHECK (a > 0) NOT VALID});
	mg_refused(mg_psql($late, 'postgres', "BEGIN;\nLOCK TABLE small;\nALTER TABLE big VALIDATE CONSTRAINT pos;"), 'MG106', 'locked before the library was loaded');
	is(join(' ', mg_warnings(mg_psql($late, 'postgres', "BEGIN;\nLOCK TABLE ref;\nALTER TABLE big ADD x int;"))), 'MG301', 'a large table locked before the library was loaded');
	is(join(' ', mg_warnings(mg_psql($late, 'postgres', "BEGIN;\nUPDATE big SET a = 1;\nALTER TABLE big ADD x int;"))), 'MG302', 'rows written before the library was loaded');
	mg_passes(mg_psql($late, 'postgres', "BEGIN;\nSAVEPOINT a;\nLOCK TABLE small;\nROLLBACK TO a;\nALTER TABLE big VALIDATE CONSTRAINT pos;"), 'locked and rolled back before the library was loaded');
	$late->stop;
}

unlike(slurp_file($node->logfile), qr/TRAP:|cache lookup failed|leak(ed)?:|could not open relation with OID|PANIC|terminated by signal/,
	'the server had nothing to complain about');

done_testing();
