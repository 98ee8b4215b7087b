# 071_deadlocks.pl
#
# Twenty sessions run random DDL on the same five tables, each statement by
# itself, for a minute; side by side in a database without the guard's locking
# and in one with it.  Statements that lock several tables meet each other, in
# any order.  With the guard there are no more deadlocks than without it: it
# takes all locks or none, so there are none at all.
#
# MG_DEADLOCK_SECONDS=10 makes it shorter.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{MG_DEADLOCK_SECONDS} || 60;
my $clients = 20;

# deadlocks are found, and waits given up, often
my $node = mg_node('deadlocks',
	preload => 'migration_guard',
	conf => "deadlock_timeout = '50ms'\nmax_locks_per_transaction = 256\nlog_error_verbosity = verbose\n");

mg_value($node, 'postgres', <<'EOM');
CREATE TABLE t1 (id int PRIMARY KEY, a int, b text);
CREATE TABLE t2 (LIKE t1 INCLUDING ALL);
CREATE TABLE t3 (LIKE t1 INCLUDING ALL);
CREATE TABLE t4 (LIKE t1 INCLUDING ALL);
CREATE TABLE t5 (LIKE t1 INCLUDING ALL);
INSERT INTO t1 SELECT g, g, g FROM generate_series(1, 50) g;
EOM

# What a client runs over and over; errors of every kind go with random DDL
# (a constraint is there or not), so they are caught and counted by SQLSTATE.
mg_value($node, 'postgres', <<'EOM');
CREATE UNLOGGED TABLE outcome (state text);
ALTER TABLE outcome SET (autovacuum_enabled = off);
CREATE PROCEDURE step() LANGUAGE plpgsql AS $$
DECLARE
	x int := 1 + floor(random() * 5);
	y int := 1 + (x + floor(random() * 4)::int) % 5;
	state text := 'done';
	ddl text := format((ARRAY[
		'ALTER TABLE t%1$s ADD CONSTRAINT fk_%1$s_%2$s FOREIGN KEY (a) REFERENCES t%2$s NOT VALID',
		'ALTER TABLE t%1$s DROP CONSTRAINT IF EXISTS fk_%1$s_%2$s',
		'TRUNCATE t%1$s, t%2$s CASCADE',
		'TRUNCATE t%1$s CASCADE',
		'ALTER TABLE t%1$s ADD COLUMN IF NOT EXISTS c int',
		'ALTER TABLE t%1$s DROP COLUMN IF EXISTS c',
		'CREATE INDEX IF NOT EXISTS i%1$s_%2$s ON t%1$s (a, id)',
		'DROP INDEX IF EXISTS i%1$s_%2$s, i%2$s_%1$s',
		'CREATE OR REPLACE VIEW v%1$s_%2$s AS SELECT x.id FROM t%1$s x JOIN t%2$s y USING (id)',
		'DROP VIEW IF EXISTS v%1$s_%2$s, v%2$s_%1$s',
		'ALTER TABLE t%1$s RENAME b TO b',
		'ALTER TABLE t%1$s ALTER a SET DEFAULT 1',
		'ALTER TABLE t%1$s ALTER a TYPE bigint',
		'ALTER TABLE t%1$s ALTER a TYPE int',
		'LOCK TABLE t%1$s, t%2$s',
		'LOCK TABLE t%1$s, t%2$s IN SHARE ROW EXCLUSIVE MODE',
		'CREATE TRIGGER r%2$s BEFORE DELETE ON t%1$s FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
		'DROP TRIGGER IF EXISTS r%2$s ON t%1$s',
		'INSERT INTO t%1$s SELECT g, g, g FROM generate_series(1, 20) g ON CONFLICT DO NOTHING',
		'UPDATE t%1$s SET b = y.b FROM t%2$s y WHERE y.id = t%1$s.id'])
		[1 + floor(random() * 20)], x, y);
BEGIN
	BEGIN
		EXECUTE ddl;
	EXCEPTION WHEN OTHERS THEN
		state := SQLSTATE;
	END;
	COMMIT;
	INSERT INTO outcome VALUES (state);
END
$$;
EOM

my $script = PostgreSQL::Test::Utils::tempdir() . '/step.sql';

append_to_file($script, "CALL step();\n");

# Sessions at work in a database of their own, with these settings.
sub start_clients
{
	my ($db, $settings) = @_;
	my %run = (db => $db, settings => $settings, out => '', err => '');

	mg_value($node, 'template1', "CREATE DATABASE $db TEMPLATE postgres");
	local %ENV = $node->_get_env(PGOPTIONS => "$settings -c client_min_messages=error -c migration_guard.block_rows=-1");
	$run{h} = IPC::Run::start(
		[
			$node->installed_command('pgbench'), '-n', '-c', $clients, '-j', 1, '-T', $seconds, '-f', $script, $db
		],
		'<', \undef, '>', \$run{out}, '2>', \$run{err},
		IPC::Run::timeout(10 * $seconds + 120));
	return \%run;
}

# What came of it: SQLSTATE -> how often, 'done' for none; and how many deadlocks core has counted
sub finish_clients
{
	my ($run) = @_;

	ok(IPC::Run::finish($run->{h}), "$clients sessions: $run->{settings}") or diag("$run->{out}\n$run->{err}");
	my %count = map { split /\|/ }
	  split /\n/, mg_value($node, $run->{db}, 'SELECT state, count(*) FROM outcome GROUP BY 1');
	$count{deadlocks} = mg_value($node, 'postgres',
		"SELECT pg_stat_clear_snapshot(); SELECT deadlocks FROM pg_stat_database WHERE datname = '$run->{db}'") + 0;
	return \%count;
}

sub summary
{
	my ($count) = @_;
	return join ', ', map { "$_ $count->{$_}" } sort keys %$count;
}

my @runs = map { start_clients(@$_) } (
	[ 'without_it', '-c migration_guard.lock_timeout=0' ],
	[ 'with_it', '-c migration_guard.lock_timeout=10s' ]);
my ($without, $with) = map { finish_clients($_) } @runs;

diag("$seconds s without: " . summary($without));
diag("$seconds s with:    " . summary($with));
cmp_ok($without->{'40P01'} // 0, '>', 0, 'without the guard there are deadlocks');
cmp_ok($with->{'40P01'} // 0, '<=', $without->{'40P01'} // 0, 'with it there are no more');
cmp_ok($with->{done} // 0, '>', 50, 'with it statements get their locks');
is(mg_value($node, 'postgres', 'SELECT count(*) FROM pg_locks WHERE NOT granted'), '0', 'nobody waits when all is over');

$node->stop;
unlike(slurp_file($node->logfile),
	qr/TRAP:|cache lookup failed|leak(ed)?:|could not open relation with OID|PANIC|terminated by signal|you don't own a lock/,
	'the server had nothing to complain about');

done_testing();
