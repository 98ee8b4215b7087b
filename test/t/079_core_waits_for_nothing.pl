# 079_core_waits_for_nothing.pl
#
# Once the guard has taken a statement's locks, core has none left to wait for.
# A bystander holds a lock on one relation of a statement's footprint after the
# other: the weakest that is in the way.  lock_burst is 0, so that the guard
# itself never queues, and nothing but statement_timeout limits core.  So each
# time the statement has to fail with the guard's own error: a lock that the
# guard does not know of would make core wait until statement_timeout.
#
# And nobody can use the guard to lock what a statement of theirs could not: as
# a stranger, the same statements fail for want of rights before it tries.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('kinds', preload => 'migration_guard', allows_streaming => 1, conf => 'wal_level = logical');
my $major = mg_value($node, 'postgres', 'SHOW server_version_num') / 10000;

mg_fixture($node, 'postgres');
mg_value($node, 'postgres', <<'EOM');
SET migration_guard.mode = 'off';
CREATE EXTENSION migration_guard;
CREATE ROLE owner_of_some;
CREATE ROLE stranger;
GRANT USAGE, CREATE ON SCHEMA public TO stranger;
CREATE SCHEMA apart;
CREATE TABLE apart.one (a int PRIMARY KEY, b text);
CREATE TABLE apart.two (a int REFERENCES apart.one);
CREATE TABLE outside (a int REFERENCES apart.one);
CREATE VIEW outside_view AS SELECT a FROM apart.one;
CREATE TABLE owned (a int);
ALTER TABLE owned OWNER TO owner_of_some;
CREATE TABLE parent (a int, b text);
CREATE TABLE kid (c int) INHERITS (parent);
CREATE TABLE foundling (a int, b text);
CREATE TABLE lone (id int NOT NULL, v varchar(20));
CREATE TABLE lone_ref (id int PRIMARY KEY REFERENCES small);
CREATE TABLE checked (a int CHECK (a > 0) NO INHERIT, b text, PRIMARY KEY (a));
INSERT INTO checked SELECT i, i FROM generate_series(1, 50) i;
ALTER TABLE checked ADD CONSTRAINT later CHECK (a < 1000) NOT VALID;
ALTER TABLE ref ADD CONSTRAINT ref_again FOREIGN KEY (big_id) REFERENCES big NOT VALID;
CREATE INDEX small_a ON small (a);
CREATE VIEW small_view AS SELECT id, a FROM small;
CREATE MATERIALIZED VIEW mv AS SELECT g AS a FROM generate_series(1, 20) g;
CREATE SEQUENCE seq;
CREATE TABLE serial_table (id serial, v text);
CREATE FUNCTION three() RETURNS int LANGUAGE sql AS 'SELECT 3';
ALTER TABLE lone ALTER id SET DEFAULT three();
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER fires BEFORE INSERT ON small FOR EACH ROW EXECUTE FUNCTION fire();
CREATE POLICY some_policy ON small USING (true);
CREATE RULE some_rule AS ON DELETE TO small DO ALSO SELECT 1;
CREATE STATISTICS some_statistics ON id, a FROM small;
CREATE PUBLICATION pub FOR TABLE medium;
CREATE TYPE pair AS (x int, y int);
CREATE TABLE typed OF pair;
CREATE DOMAIN positive AS int;
CREATE TABLE with_domain (a positive);
CREATE TABLE parted_new (id int NOT NULL, v varchar(20));
CREATE INDEX parted_v ON parted (v);
CREATE TABLE toasted (id int PRIMARY KEY, doc text);
INSERT INTO toasted SELECT 1, string_agg(md5(g::text), '') FROM generate_series(1, 1000) g;
ANALYZE;
EOM

# Statements of each kind; those that explain() knows more than one relation of
# are tried with each of them locked.
my @kinds = (
	'ALTER TABLE small ADD c int',
	'ALTER TABLE small ADD c int DEFAULT 7 NOT NULL',
	'ALTER TABLE small ADD c int REFERENCES medium',
	'ALTER TABLE small ADD c int UNIQUE',
	'ALTER TABLE small DROP COLUMN a CASCADE',
	'ALTER TABLE medium ALTER a TYPE varchar(10)',
	'ALTER TABLE small ALTER a SET NOT NULL',
	'ALTER TABLE small ALTER a SET STATISTICS 10',
	'ALTER TABLE small ALTER a SET DEFAULT 1',
	'ALTER TABLE small ADD FOREIGN KEY (a) REFERENCES medium',
	'ALTER TABLE small ADD FOREIGN KEY (a) REFERENCES medium NOT VALID',
	'ALTER TABLE parted ADD FOREIGN KEY (id) REFERENCES medium',
	'ALTER TABLE small ADD UNIQUE USING INDEX small_u',
	'ALTER TABLE small DISABLE TRIGGER fires',
	'ALTER TABLE small ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE small SET (fillfactor = 90)',
	'ALTER TABLE small SET UNLOGGED',
	'ALTER TABLE small REPLICA IDENTITY FULL',
	'ALTER TABLE small CLUSTER ON small_a',
	'ALTER TABLE small OWNER TO owner_of_some',
	'ALTER TABLE small RENAME TO smaller',
	'ALTER TABLE small RENAME COLUMN a TO aa',
	'ALTER TABLE small RENAME CONSTRAINT small_pkey TO other_name',
	'ALTER TABLE small SET SCHEMA apart',
	'ALTER TABLE foundling INHERIT parent',
	'ALTER TABLE ref DROP CONSTRAINT ref_big_id_fkey',
	'ALTER TABLE ref VALIDATE CONSTRAINT ref_again',
	'ALTER TABLE ref ALTER CONSTRAINT ref_again DEFERRABLE',
	'ALTER TABLE checked VALIDATE CONSTRAINT later',
	'ALTER TABLE checked DROP CONSTRAINT later',
	'ALTER TABLE parent ADD d int',
	'ALTER TABLE parent ALTER a TYPE bigint',
	'ALTER TABLE kid NO INHERIT parent',
	'ALTER TABLE parted ADD d int',
	'ALTER TABLE parted ALTER v TYPE text',
	'ALTER TABLE parted ADD UNIQUE (id)',
	'ALTER TABLE parted DETACH PARTITION parted_1',
	'ALTER TABLE parted ATTACH PARTITION parted_new FOR VALUES FROM (9000) TO (9999)',
	'ALTER TABLE parted_1 ALTER v SET DEFAULT 1',
	'ALTER TABLE toasted ALTER id TYPE bigint',
	'ALTER TABLE toasted SET UNLOGGED',
	'ALTER TABLE typed NOT OF',
	'ALTER TYPE pair ADD ATTRIBUTE z int CASCADE',
	'ALTER INDEX small_a RENAME TO small_b',
	'ALTER INDEX small_a SET (fillfactor = 80)',
	'ALTER VIEW small_view RENAME TO smaller_view',
	'ALTER VIEW small_view ALTER a SET DEFAULT 1',
	'ALTER MATERIALIZED VIEW mv RENAME a TO b',
	'ALTER SEQUENCE seq INCREMENT 5',
	'ALTER SEQUENCE seq OWNED BY small.a',
	'ALTER DOMAIN positive ADD CHECK (VALUE > 0)',
	'ALTER POLICY some_policy ON small USING (false)',
	'ALTER PUBLICATION pub ADD TABLE small',
	'ALTER PUBLICATION pub DROP TABLE medium',
	'ALTER TRIGGER fires ON small RENAME TO fires_not',
	'CREATE INDEX ON small (a, id)',
	'CREATE INDEX ON parted (id)',
	'CREATE INDEX ON mv (a)',
	'CREATE TRIGGER again BEFORE INSERT ON small FOR EACH ROW EXECUTE FUNCTION fire()',
	'CREATE TRIGGER again BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION fire()',
	'CREATE RULE another AS ON UPDATE TO small DO ALSO SELECT 1',
	'CREATE OR REPLACE VIEW small_view AS SELECT id, a, 1 AS b FROM small',
	'CREATE POLICY another ON small USING (true)',
	'CREATE STATISTICS fresh ON a, id FROM small',
	'CREATE PUBLICATION another FOR TABLE small',
	'CREATE TABLE fresh (a int REFERENCES small)',
	'CREATE TABLE fresh PARTITION OF parted FOR VALUES FROM (8000) TO (8500)',
	'CREATE TABLE fresh () INHERITS (parent)',
	q{COMMENT ON TABLE small IS 'small'},
	q{COMMENT ON COLUMN small.a IS 'a'},
	'DROP TABLE lone_ref',
	'DROP TABLE small CASCADE',
	'DROP TABLE parted',
	'DROP TABLE parted_1',
	'DROP TABLE toasted',
	'DROP INDEX small_a',
	'DROP INDEX parted_v',
	'DROP VIEW small_view',
	'DROP MATERIALIZED VIEW mv',
	'DROP SEQUENCE seq',
	'DROP SEQUENCE serial_table_id_seq CASCADE',
	'DROP TRIGGER fires ON small',
	'DROP RULE some_rule ON small',
	'DROP POLICY some_policy ON small',
	'DROP STATISTICS some_statistics',
	'DROP FUNCTION three() CASCADE',
	'DROP TYPE pair CASCADE',
	'DROP DOMAIN positive CASCADE',
	'DROP SCHEMA apart CASCADE',
	'DROP OWNED BY owner_of_some',
	'REASSIGN OWNED BY owner_of_some TO CURRENT_USER',
	'TRUNCATE lone',
	'TRUNCATE small CASCADE',
	'TRUNCATE parted',
	'TRUNCATE serial_table RESTART IDENTITY',
	'TRUNCATE toasted',
	'BEGIN; LOCK TABLE small, medium; ROLLBACK',
	'BEGIN; LOCK TABLE small_view IN SHARE MODE; ROLLBACK',
	'CLUSTER small USING small_a',
	'CLUSTER toasted USING toasted_pkey',
	'REINDEX TABLE small',
	'REINDEX INDEX small_a',
	'REFRESH MATERIALIZED VIEW mv');

my $holder = mg_session($node, 'postgres', app => 'holder');
my $session = mg_session($node, 'postgres', app => 'tries');

mg_value($node, 'postgres', 'CREATE UNIQUE INDEX small_u ON small (id, a)');
mg_tell($session, <<'EOM');
SET migration_guard.rules = 'add_foreign_key=off';
SET migration_guard.warn_rows = -1;
SET migration_guard.block_rows = -1;
SET migration_guard.lock_burst = 0;
SET migration_guard.lock_timeout = '20ms';
SET statement_timeout = '3s';
EOM

# The weakest lock that is in the way of a lock.
my %obstacle = (
	ShareUpdateExclusiveLock => 'SHARE UPDATE EXCLUSIVE',
	ShareLock => 'ROW EXCLUSIVE',
	ShareRowExclusiveLock => 'ROW EXCLUSIVE',
	ExclusiveLock => 'ROW SHARE',
	AccessExclusiveLock => 'ACCESS SHARE');

# What takes such a lock on a relation of a kind; indexes are locked by queries
# of their tables, so that it is those that are in the way
sub obstacle
{
	my ($relation, $kind, $mode) = @_;

	return "LOCK TABLE ONLY $relation IN $obstacle{$mode} MODE;" if $kind =~ /[rp]/;
	return "SELECT 1 FROM $relation LIMIT 1;"
	  if $kind =~ /[vmt]/ && $mode eq 'AccessExclusiveLock';
	return "SELECT nextval('$relation');"
	  if $kind eq 'S' && $mode =~ /^(Share|ShareRowExclusive|Exclusive|AccessExclusive)Lock$/;
	return;
}

# Relations of a statement's footprint, and TOAST tables of those that get new files
my $footprint = <<'EOM';
SELECT relation, relkind, lock_mode
	FROM migration_guard.explain($mg$%s$mg$) e JOIN pg_class c ON c.oid = relation
	WHERE lock_mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
EOM
my %toast = map { $_ => 1 } (
	'ALTER TABLE toasted ALTER id TYPE bigint',
	'ALTER TABLE toasted SET UNLOGGED',
	'DROP TABLE toasted', 'TRUNCATE toasted', 'CLUSTER toasted USING toasted_pkey');
my $toast = mg_value($node, 'postgres', q{SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 'toasted'});
my $tried = 0;

foreach my $sql (@kinds)
{
	my $explained = mg_psql($node, 'postgres', sprintf($footprint, $sql));

	mg_passes($explained, "$sql: can be explained");
	my @relations = split /\n/, $explained->{out};

	push @relations, "$toast|t|AccessExclusiveLock" if $toast{$sql};
	isnt("@relations", '', "$sql: locks something");
	foreach (@relations)
	{
		my ($relation, $kind, $mode) = split /\|/;
		my $lock = obstacle($relation, $kind, $mode) // next;

		mg_passes(mg_tell($holder, "BEGIN;\n$lock"), "$relation locked");
		my $res = mg_tell($session, "$sql;");

		mg_refused($res, '55P03', "$relation locked: $sql: gives up");
		like($res->{err}, qr/within migration_guard\.lock_timeout \(20ms\)/,
			'... because of the guard');
		mg_passes(mg_tell($holder, 'ROLLBACK;'), 'given back');
		$tried++;
	}
}
cmp_ok($tried, '>', @kinds, 'more relations than statements');
is( mg_value($node, 'postgres',
		q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE application_name = 'tries' AND relation IS NOT NULL}),
	'0', 'nothing has been kept');

# ---------------------------------------------------------------------
# A stranger: all relations are locked, and the guard does not even try
# ---------------------------------------------------------------------
mg_tell($session, "SET SESSION AUTHORIZATION stranger; SET lock_timeout = '50ms';");
foreach my $sql (@kinds)
{
	my @locks = map { my ($relation, $kind, $mode) = split /\|/; obstacle($relation, $kind, $mode) // () }
	  split /\n/, mg_psql($node, 'postgres', sprintf($footprint, $sql))->{out};

	mg_tell($holder, join("\n", 'BEGIN;', @locks));
	my $res = mg_tell($session, "$sql;");

	# core may wait for a lock before it looks at rights
	like(join(' ', mg_errors($res)), qr/^(42\w{3}|2BP01|55P03)$/, "stranger: $sql: refused");
	unlike($res->{err}, qr/migration_guard|It needs/, '... and not because of locks');
	mg_tell($holder, 'ROLLBACK;');
}

mg_close($session);
mg_close($holder);
$node->stop;
unlike(
	slurp_file($node->logfile),
	qr/TRAP:|cache lookup failed|leak(ed)?:|could not open relation with OID|PANIC|terminated by signal|you don't own a lock/,
	'the server had nothing to complain about');

done_testing();
