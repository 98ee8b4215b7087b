# 076_replicas.pl
#
# What a statement means to those who replicate: a physical standby, a slot
# that waits for one, and the subscribers of a publication.  A line of DETAIL
# each, of what is said anyway; and a rule about published tables that lose
# their replica identity.  What is said is compared with what happens there.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node(
	'primary',
	preload => 'migration_guard',
	conf => "wal_level = logical\nmax_wal_senders = 8\nmax_replication_slots = 8\nhot_standby = on\nmax_standby_streaming_delay = 45s\n");

my $flush = 'DO $mg$ BEGIN PERFORM pg_stat_force_next_flush(); END $mg$;';

sub quietly
{
	return mg_value($node, 'postgres', "SET migration_guard.mode = 'off';\n$_[0];\n$flush\n");
}

# What the guard says to a statement, everything in one text.
sub heard
{
	my ($sql, $settings) = @_;
	my $res = mg_psql($node, 'postgres', ($settings // '') . "\nBEGIN;\n$sql;\nROLLBACK;\n");

	return join "\n", map { "$_->{state} $_->{text}" } grep { $_->{state} =~ /^MG/ } @{ $res->{messages} };
}

sub hint
{
	my ($text) = @_;

	return grep { /^(?:ALTER|BEGIN|COMMIT|CREATE|DO|GRANT|REVOKE)\b.*;$/ } split /\n/, $text;
}

mg_fixture($node, 'postgres');
quietly(<<'EOM');
CREATE EXTENSION migration_guard;
CREATE UNLOGGED TABLE fast AS SELECT g AS a, g AS b FROM generate_series(1, 2000) g;
CREATE TABLE plain (a int);
INSERT INTO plain VALUES (1);
UPDATE ref SET big_id = big_id;
ANALYZE;
EOM

# ---------------------------------------------------------------------
# nobody
# ---------------------------------------------------------------------
my @statements = (
	'ALTER TABLE big ALTER a TYPE bigint',
	'CREATE INDEX ON big (a)',
	'DROP TABLE ref',
	'TRUNCATE ref',
	'ALTER TABLE fast ALTER a TYPE bigint');

foreach my $sql (@statements)
{
	my $text = heard($sql);

	like($text, qr/^MG/, "alone: $sql: something is said");
	unlike($text, qr/standby|WAL|publication/, "alone: $sql: nothing of replicas");
}

# ---------------------------------------------------------------------
# a slot whose standby is away, then the standby
# ---------------------------------------------------------------------
my $standby = PostgreSQL::Test::Cluster->new('standby');

# who only keeps the WAL replays nothing
{
	my $kept = PostgreSQL::Test::Utils::tempdir();
	my ($out, $err) = ('', '');

	local %ENV = %ENV;
	delete $ENV{PGAPPNAME};
	my $receiver = IPC::Run::start([ $node->installed_command('pg_receivewal'), '-D', $kept, '-h', $node->host, '-p', $node->port ],
		'<', \undef, '>', \$out, '2>', \$err);

	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'}), 'pg_receivewal streams');
	unlike(heard($statements[0]), qr/standby|WAL/, 'pg_receivewal is no standby');
	$receiver->kill_kill;
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_replication'), 'pg_receivewal has gone');
}

$node->backup('base');
quietly(q{SELECT pg_create_physical_replication_slot('away')});
unlike(heard($statements[0]), qr/standby/, 'a slot that keeps no WAL yet');
quietly(q{SELECT pg_drop_replication_slot('away'), pg_create_physical_replication_slot('there', true)});
like(heard($statements[0]), qr/^The standby behind 1 physical replication slot replays AccessExclusiveLock on "big"/m,
	'a slot whose standby is away');

$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_slot_name = 'there'\nmax_standby_streaming_delay = 0\nhot_standby_feedback = off\n");
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));

my $text = heard($statements[0]);
like($text, qr/^1 standby replays AccessExclusiveLock on "big" and then cancels queries .*max_standby_streaming_delay \(45s on this server/m,
	'a rewrite: the lock');
like($text, qr/^What is written anew goes to 1 standby as WAL: about \d+ kB\.$/m, 'a rewrite: its size');
my ($foretold) = $text =~ /WAL: about (\d+) kB/;
my $written = quietly(<<'EOM');
SELECT pg_current_wal_insert_lsn() AS before \gset
ALTER TABLE big ALTER a TYPE bigint;
SELECT (pg_current_wal_insert_lsn() - :'before') / 1024;
EOM
cmp_ok($written, '>', $foretold / 3, "a rewrite: the size is about right: $foretold kB foretold, $written kB written");
cmp_ok($written, '<', $foretold * 3, 'a rewrite: not too small');

$text = heard('CREATE INDEX ON big (a)');
like($text, qr/^The whole index goes to 1 standby as WAL\.$/m, 'an index build: what is shipped');
unlike($text, qr/AccessExclusiveLock/, 'an index build: no lock that is replayed');
$text = heard('ALTER TABLE fast ALTER a TYPE bigint');
like($text, qr/replays AccessExclusiveLock on "fast"/, 'an unlogged table: the lock');
unlike($text, qr/WAL/, 'an unlogged table: no WAL');
like(heard('ALTER TABLE fast SET LOGGED'), qr/as WAL: about/, 'SET LOGGED: everything is written');
unlike(heard('ALTER TABLE big SET UNLOGGED'), qr/as WAL/, 'SET UNLOGGED: nothing is');
like(heard('REINDEX TABLE big'), qr/as WAL: about \d+ kB\.$/m, 'REINDEX: the indexes');
like(heard('DROP TABLE ref'), qr/^MG501.*1 standby replays AccessExclusiveLock on "ref"/s, 'DROP TABLE: said of what is destructive, too');
is(heard('ALTER TABLE small ADD COLUMN x int'), '', 'a statement about which nothing is said');
is(mg_value($node, 'postgres', q{SELECT detail ~ '\n1 standby replays' FROM migration_guard.check('DROP TABLE ref')}), 't', 'check() says it, too');

# it does happen: a query on the standby is cancelled
my $reader = mg_session($standby, 'postgres');

$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
ok( $standby->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock'}),
	'nothing is locked on the standby');
mg_passes(mg_tell($reader, "BEGIN;\nSELECT count(*) FROM ref;"), 'a reader on the standby');
quietly('ALTER TABLE ref ADD COLUMN x int');
ok($standby->poll_query_until('postgres', q{SELECT confl_lock > 0 FROM pg_stat_database_conflicts WHERE datname = 'postgres'}),
	'its query was cancelled');
$reader->{h}->kill_kill;

# a client of logical replication is no standby
$standby->stop;
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_replication'), 'the standby has gone');
quietly(q{SELECT pg_drop_replication_slot('there')});
unlike(heard($statements[0]), qr/standby|WAL/, 'the standby has gone, and its slot');

# ---------------------------------------------------------------------
# publications
# ---------------------------------------------------------------------
quietly(<<'EOM');
CREATE TABLE pub_t (id int PRIMARY KEY, other int NOT NULL, c text);
CREATE UNIQUE INDEX pub_other ON pub_t (other);
INSERT INTO pub_t SELECT g, g, g FROM generate_series(1, 2000) g;
ANALYZE pub_t;
EOM
quietly('CREATE PUBLICATION p FOR TABLE pub_t, big, parted WITH (publish_via_partition_root = true)');

foreach my $case (
	[ 'ALTER TABLE big ALTER a TYPE int', qr/"big" is published by publication "p", and logical replication does not carry DDL over: subscribers get the new values as text/ ],
	[ 'ALTER TABLE big ADD x float DEFAULT random()', qr/subscribers need the new column first/ ],
	[ 'ALTER TABLE pub_t DROP COLUMN other', qr/"pub_t" is published by .*on subscribers the column stays/ ],
	[ 'ALTER TABLE big RENAME TO large', qr/subscribers find tables and columns by their names/ ],
	[ 'ALTER TABLE big RENAME a TO aa', qr/subscribers find tables and columns by their names/ ],
	[ 'TRUNCATE pub_t', qr/subscribers empty their tables, too/ ],
	[ 'DROP TABLE pub_t', qr/subscribers keep their tables/ ],
	[ 'CREATE INDEX ON big (b)', qr/"big" is published by publication "p", and logical replication does not carry DDL over\.$/m ],
	[ 'CREATE INDEX ON parted_1 (v)', qr/"parted_1" is published by publication "p"/ ])
{
	my ($sql, $pattern) = @$case;

	like(heard($sql), $pattern, "published: $sql");
}
quietly('CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = $$insert$$)');
like(heard('CREATE INDEX ON big (b)'), qr/published by publications "p", "everything"/, 'FOR ALL TABLES counts');
like(heard('CREATE INDEX ON ref (big_id)'), qr/published by publication "everything"/, 'FOR ALL TABLES alone');
unlike(heard('ALTER TABLE fast ALTER a TYPE bigint'), qr/published/, 'an unlogged table is not published');
unlike(heard('TRUNCATE ref'), qr/subscribers empty/, 'TRUNCATE that is not published');
quietly('DROP PUBLICATION everything; CREATE PUBLICATION schema FOR TABLES IN SCHEMA public');
like(heard('CREATE INDEX ON ref (big_id)'), qr/published by publication "schema"/, 'FOR TABLES IN SCHEMA counts');
quietly('DROP PUBLICATION schema');
unlike(heard('CREATE INDEX ON ref (big_id)'), qr/published/, 'a table that is not published');

# ---------------------------------------------------------------------
# replica identity
# ---------------------------------------------------------------------
sub loses
{
	my ($sql, $name, $table) = @_;
	my $said = heard($sql);

	like($said, qr/^MG401 /m, ($name // $sql) . ': says MG401') or diag($said);
	like($said, qr/^TABLE NAME:  $table$/m, ($name // $sql) . ': about the table');
	return $said;
}

sub keeps
{
	my ($sql, $name) = @_;

	unlike(heard($sql), qr/replica_identity/, ($name // $sql) . ': the identity stays');
	return;
}

# what the guard says, and what the server then does to UPDATE
$text = loses('ALTER TABLE pub_t DROP CONSTRAINT pub_t_pkey', undef, 'pub_t');
like($text, qr/would leave "pub_t" without a replica identity, though it is published/, 'the words');
like($text, qr/UPDATE and DELETE of its rows fail, because publication "p" publishes them/, 'why');
loses('ALTER TABLE pub_t DROP COLUMN id CASCADE', undef, 'pub_t');
loses('ALTER TABLE pub_t REPLICA IDENTITY NOTHING', undef, 'pub_t');
foreach my $sql (
	'ALTER TABLE pub_t DROP CONSTRAINT pub_t_pkey',
	'ALTER TABLE pub_t REPLICA IDENTITY NOTHING')
{
	mg_refused(mg_psql($node, 'postgres', "SET migration_guard.mode = 'off';\nBEGIN;\n$sql;\nUPDATE pub_t SET c = 'x' WHERE other = 1;\nROLLBACK;\n"),
		'55000', "$sql: UPDATE does fail then");
	mg_refused(mg_psql($node, 'postgres', "SET migration_guard.rules = 'replica_identity=block, drop_column=off';\n$sql;\n"), 'MG401', "$sql: replica_identity=block refuses");
}
keeps('ALTER TABLE pub_t DROP CONSTRAINT pub_t_pkey, ADD PRIMARY KEY USING INDEX pub_other', 'another primary key in the same statement');
keeps('ALTER TABLE pub_t DROP CONSTRAINT pub_t_pkey, REPLICA IDENTITY FULL', 'FULL in the same statement');
keeps('ALTER TABLE pub_t REPLICA IDENTITY FULL');
keeps('ALTER TABLE pub_t REPLICA IDENTITY USING INDEX pub_other');
keeps('DROP INDEX pub_other');
keeps('DROP TABLE pub_t');
keeps('ALTER TABLE small DROP CONSTRAINT small_pkey', 'a table that is not published');
keeps('ALTER TABLE medium REPLICA IDENTITY NOTHING', 'a table that is not published either');

# the advice: the other unique index
my @sql = hint($text);
is("@sql", 'ALTER TABLE public.pub_t REPLICA IDENTITY USING INDEX pub_other;', 'the advice: another index');
mg_passes(mg_psql($node, 'postgres', "@sql\n"), 'the advice runs');
keeps('ALTER TABLE pub_t DROP CONSTRAINT pub_t_pkey', 'then the primary key may go');
loses('DROP INDEX pub_other', 'the index that is the identity', 'pub_t');
loses('ALTER TABLE pub_t DROP COLUMN other', 'its column', 'pub_t');
keeps('ALTER TABLE pub_t REPLICA IDENTITY DEFAULT', 'back to the primary key');
quietly('ALTER TABLE pub_t DROP CONSTRAINT pub_t_pkey');
$text = loses('ALTER TABLE pub_t REPLICA IDENTITY DEFAULT', 'DEFAULT without a primary key', 'pub_t');
loses('DROP INDEX pub_other', 'the last unique index', 'pub_t');
@sql = grep { /FULL/ } hint(heard('DROP INDEX pub_other'));
is("@sql", 'ALTER TABLE public.pub_t REPLICA IDENTITY FULL;', 'the advice: FULL, where there is nothing else');
mg_passes(mg_psql($node, 'postgres', "@sql\nDROP INDEX pub_other;\nUPDATE pub_t SET c = 'x' WHERE other = 1;\n"), 'the advice works');

# a column list, or a row filter, that does not fit the new identity
quietly(<<'SQL');
CREATE TABLE part_t (id int PRIMARY KEY, other int NOT NULL UNIQUE, c text);
INSERT INTO part_t SELECT g, g, g FROM generate_series(1, 10) g;
CREATE PUBLICATION listed FOR TABLE part_t (id, c);
SQL
foreach my $sql (
	'ALTER TABLE part_t REPLICA IDENTITY USING INDEX part_t_other_key',
	'ALTER TABLE part_t REPLICA IDENTITY FULL')
{
	like(loses($sql, undef, 'part_t'), qr/would give "part_t" a replica identity that publication "listed" does not fit/, "$sql: the words");
	mg_refused(mg_psql($node, 'postgres', "SET migration_guard.mode = 'off';\nBEGIN;\n$sql;\nUPDATE part_t SET c = 'x';\nROLLBACK;\n"),
		'42P10', "$sql: UPDATE does fail then");
}
keeps('ALTER TABLE part_t REPLICA IDENTITY DEFAULT', 'the identity that the column list has');
quietly('ALTER PUBLICATION listed SET TABLE part_t (id, other)');
keeps('ALTER TABLE part_t REPLICA IDENTITY USING INDEX part_t_other_key', 'a column list that has the new identity, too');
quietly('ALTER PUBLICATION listed SET TABLE part_t WHERE (id > 5)');
loses('ALTER TABLE part_t REPLICA IDENTITY USING INDEX part_t_other_key', 'a row filter by other columns', 'part_t');
keeps('ALTER TABLE part_t REPLICA IDENTITY FULL', 'a row filter, and FULL');
quietly('DROP PUBLICATION listed');
loses('CREATE PUBLICATION listed FOR TABLE part_t (other, c)', 'a column list without the identity', 'part_t');
keeps('CREATE PUBLICATION listed FOR TABLE part_t (id, c)', 'a column list with it');

# what publishes neither UPDATE nor DELETE needs none
quietly('ALTER PUBLICATION p DROP TABLE big; CREATE PUBLICATION inserts FOR TABLE big WITH (publish = $$insert, truncate$$)');
keeps('ALTER TABLE big DROP CONSTRAINT big_pkey CASCADE', 'only INSERT is published');

# a table without identity that is published: its UPDATEs fail from then on
quietly('CREATE TABLE bare (a int, b int); INSERT INTO bare SELECT g, g FROM generate_series(1, 100) g;');
keeps('CREATE PUBLICATION q FOR TABLE bare', 'a table that is only filled');
quietly('UPDATE bare SET b = 1 WHERE a < 10;');
$text = loses('CREATE PUBLICATION q FOR TABLE bare', 'a table without identity is published', 'bare');
like($text, qr/would publish "bare", which has no replica identity.*9 rows were updated or deleted/s, 'a table without identity is published: the words');
loses('ALTER PUBLICATION p ADD TABLE bare', 'a table without identity is added', 'bare');
keeps('ALTER PUBLICATION inserts ADD TABLE bare', 'where UPDATE is not published');
keeps('CREATE PUBLICATION q FOR TABLE bare WITH (publish = $$insert$$)', 'where UPDATE is not to be published');
keeps('CREATE PUBLICATION q FOR TABLE small', 'a table with a primary key');
mg_passes(mg_psql($node, 'postgres', join("\n", hint($text)) . "\nCREATE PUBLICATION q FOR TABLE bare;\nUPDATE bare SET b = 2 WHERE a < 10;\n"), 'its advice works');

# a partition: published by way of its parent
quietly(<<'EOM');
CREATE TABLE tree (k int PRIMARY KEY, v text) PARTITION BY RANGE (k);
CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (100);
INSERT INTO tree SELECT g, g FROM generate_series(1, 99) g;
ALTER PUBLICATION p ADD TABLE tree;
EOM
loses('ALTER TABLE tree DROP CONSTRAINT tree_pkey', 'the primary key of a partitioned table', 'tree_1');
loses('ALTER TABLE tree_1 REPLICA IDENTITY NOTHING', 'a partition', 'tree_1');

# ---------------------------------------------------------------------
# a subscriber: ADD COLUMN does stop it
# ---------------------------------------------------------------------
my $subscriber = mg_node('subscriber', conf => "wal_level = logical\n");
my $connection = $node->connstr('postgres') =~ s/'/''/gr;

quietly("CREATE TABLE copied (id int PRIMARY KEY, a int);\nCREATE PUBLICATION c FOR TABLE copied;");
mg_value($subscriber, 'postgres', "SET migration_guard.mode = 'off';\nCREATE TABLE copied (id int PRIMARY KEY, a int)");
mg_value($subscriber, 'postgres', "CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION c");
ok($subscriber->poll_query_until('postgres', q{SELECT count(*) = 1 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}), 'a subscriber is there');
unlike(heard('CREATE INDEX ON ref (big_id)'), qr/standby/, 'a walsender of logical replication is no standby');
quietly("INSERT INTO copied SELECT g, g FROM generate_series(1, 1500) g;\nANALYZE copied;");
like(heard('ALTER TABLE copied ADD COLUMN n float DEFAULT random()'), qr/^MG101.*subscribers need the new column first, or their replication stops/s, 'ADD COLUMN: what is said');
quietly("ALTER TABLE copied ADD COLUMN n int;\nINSERT INTO copied VALUES (9001, 1, 1);");
ok($subscriber->poll_query_until('postgres', q{SELECT apply_error_count > 0 FROM pg_stat_subscription_stats}), 'ADD COLUMN: replication does stop');
mg_value($subscriber, 'postgres', 'ALTER TABLE copied ADD COLUMN n int');
$node->wait_for_catchup('s');
is(mg_value($subscriber, 'postgres', 'SELECT n FROM copied WHERE id = 9001'), '1', 'ADD COLUMN: and goes on with the column');
mg_value($subscriber, 'postgres', 'DROP SUBSCRIPTION s');

$_->stop foreach $subscriber, $node;
unlike(slurp_file($node->logfile), qr/TRAP:|cache lookup failed|leak(ed)?:|PANIC|terminated by signal/,
	'the server had nothing to complain about');

done_testing();
