# 070_polite.pl
#
# The guard takes a statement's locks itself, without making others queue:
# behind whom it tries, how long, what it says, what limits it, and that
# nothing is held while it tries.
#
# Sessions wait for each other by what the server shows of them.  The one thing
# that is measured is the first: for how long a bystander stands still.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util qw(max min);
use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('polite', preload => 'migration_guard',
	allows_streaming => 1,
	conf => "deadlock_timeout = '300ms'\nmax_locks_per_transaction = 10\nmax_connections = 20\n$mg_unused");

mg_fixture($node, 'postgres');
mg_value($node, 'postgres', <<'EOM');
SET migration_guard.mode = 'off';
CREATE EXTENSION migration_guard;
CREATE TABLE orders (id int PRIMARY KEY, a int);
INSERT INTO orders SELECT i, i FROM generate_series(1, 50) i;
CREATE TABLE items (id int PRIMARY KEY, order_id int);
CREATE TABLE grows (a int);
INSERT INTO grows VALUES (1);
CREATE ROLE deployer;
GRANT CREATE ON SCHEMA public TO deployer;
CREATE TABLE deployed (a int);
ALTER TABLE deployed OWNER TO deployer;
CREATE FUNCTION caught(q text) RETURNS text LANGUAGE plpgsql AS
	$f$ BEGIN EXECUTE q; RETURN 'passed'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $f$;
CREATE PROCEDURE altering() LANGUAGE plpgsql AS
	$f$ BEGIN COMMIT; ALTER TABLE orders ADD from_procedure int; COMMIT; END $f$;
EOM

my $other = mg_session($node, 'postgres', app => 'other');
my $ddl = mg_session($node, 'postgres', app => 'ddl');

# What the session of this application holds or waits for on a relation
sub locks
{
	my ($app, $relation, $where) = @_;

	return mg_value($node, 'postgres', <<"EOM");
SELECT string_agg(mode, ' ' ORDER BY mode) FROM pg_locks JOIN pg_stat_activity USING (pid)
	WHERE application_name = '$app' AND relation = '$relation'::regclass AND @{[$where || 'true']}
EOM
}

# It tries: it sleeps between two requests
sub tries
{
	my ($name) = @_;

	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'ddl' AND wait_event_type = 'Extension'}),
		"$name: tries");
	return;
}

# ---------------------------------------------------------------------
# ALTER behind a reader: what it costs a bystander
# ---------------------------------------------------------------------
my $dir = PostgreSQL::Test::Utils::tempdir();

append_to_file("$dir/bystander.sql", "SELECT count(*) FROM orders WHERE id = 1;\n");

# Milliseconds of the bystander's slowest SELECT while somebody has read the
# table two seconds ago, and ALTER TABLE wants it
sub longest_stall
{
	my ($settings, $column) = @_;
	my ($out, $err) = ('', '');

	mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');
	local %ENV = $node->_get_env(PGAPPNAME => 'bystander');
	my $bystander = IPC::Run::start(
		[
			$node->installed_command('pgbench'), '-n', '-c', 1, '-T', 4, '-f', "$dir/bystander.sql",
			'--log', "--log-prefix=$dir/$column", 'postgres'
		],
		'<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout(60));
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'bystander'}),
		'the bystander has begun');
	mg_send($ddl, "$settings\nALTER TABLE orders ADD $column int;");
	sleep 2;
	mg_tell($other, 'COMMIT;');
	mg_passes(mg_receive($ddl), "ALTER behind a reader: $column added");
	IPC::Run::finish($bystander) or die "pgbench: $err";
	return max map { (split)[2] / 1000 } map { split /\n/, slurp_file($_) } glob "$dir/$column.*";
}

my $without = longest_stall('SET migration_guard.lock_timeout = 0;', 'without');
my @with;

# a machine that is busy with something else makes everybody wait
for my $round (1 .. 3)
{
	push @with, longest_stall('SET migration_guard.lock_timeout = DEFAULT;', "with_$round");
	last if $with[-1] < 100;
}
diag(sprintf "ALTER behind a reader: a bystander's longest stall is %.0f ms without, %.0f ms with the guard",
	$without, min @with);
cmp_ok($without, '>', 1000, 'without the guard a bystander waits for as long as the reader reads');
cmp_ok(min(@with), '<', 100, 'with the guard for less than 100 ms');

# ---------------------------------------------------------------------
# Who is in the way
# ---------------------------------------------------------------------
mg_tell($ddl, "SET migration_guard.lock_timeout = '300ms'; SET migration_guard.lock_burst = '10ms';");

my $pid = mg_tell($other, 'SELECT pg_backend_pid();')->{out};

# [name, what the other session does, statement, lock mode that is missing]
my @holders = (
	[ 'idle reader', 'BEGIN; SELECT count(*) FROM orders;', 'ALTER TABLE orders ADD x int', 'AccessExclusiveLock' ],
	[ 'open cursor', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM orders; FETCH c;', 'TRUNCATE orders', 'AccessExclusiveLock' ],
	[ 'open writer', 'BEGIN; UPDATE orders SET a = a WHERE id = 1;', 'CREATE INDEX ON orders (a)', 'ShareLock' ],
	[ 'open writer of the referenced table', 'BEGIN; UPDATE orders SET a = a WHERE id = 1;',
		'ALTER TABLE items ADD FOREIGN KEY (order_id) REFERENCES orders', 'ShareRowExclusiveLock' ],
	[ 'ANALYZE', 'BEGIN; ANALYZE orders;', 'ALTER TABLE orders SET (fillfactor = 90)', 'ShareUpdateExclusiveLock' ],
	[ 'other DDL', 'BEGIN; ALTER TABLE orders ADD y int;', 'ALTER TABLE orders ADD x int', 'AccessExclusiveLock' ]);

foreach my $case (@holders)
{
	my ($name, $holds, $sql, $mode) = @$case;

	mg_tell($other, $holds);
	my $res = mg_tell($ddl, "$sql;");

	mg_refused($res, '55P03', "$name: $sql: gives up");
	like($res->{messages}[0]{text},
		qr/could not lock table "orders" within migration_guard\.lock_timeout \(300ms\)/,
		"$name: it was the guard's limit");
	like($res->{err}, qr/^DETAIL: .*\b$mode\b.*\b[Pp]rocess $pid\b/m, "$name: who was in the way");
	like($res->{err}, qr/^SELECT pg_terminate_backend\($pid\);$/m, "$name: what can be done");
	like($res->{err}, qr/^SCHEMA NAME:  public\nTABLE NAME:  orders$/m, "$name: fields of the error");
	mg_tell($other, 'ROLLBACK;');
	is(locks('ddl', 'orders'), '', "$name: no lock is left");
}

# a prepared transaction holds its locks without a process
mg_tell($other, q{BEGIN; UPDATE orders SET a = a WHERE id = 1; PREPARE TRANSACTION 'two-phase';});
my $res = mg_tell($ddl, 'ALTER TABLE orders ADD x int;');

mg_refused($res, '55P03', 'prepared transaction: gives up');
like($res->{err}, qr/^DETAIL: .*prepared transaction "two-phase"/mi, 'prepared transaction: said');
mg_tell($other, q{ROLLBACK PREPARED 'two-phase';});

# a pg_dump in progress: its output is a pipe that nobody reads
mg_value($node, 'postgres', q{CREATE TABLE dumped AS SELECT g AS a, repeat('x', 100) AS b FROM generate_series(1, 20000) g});
{
	local %ENV = $node->_get_env(PGAPPNAME => 'pg_dump');
	open(my $dump, '-|', $node->installed_command('pg_dump'), 'postgres') or die "pg_dump: $!";
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'pg_dump' AND relation = 'orders'::regclass}),
		'pg_dump has begun');
	my $dump_pid = mg_value($node, 'postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'pg_dump'});
	$res = mg_tell($ddl, 'ALTER TABLE orders ADD x int;');
	mg_refused($res, '55P03', 'pg_dump in progress: gives up');
	like($res->{err}, qr/^DETAIL: .*\b[Pp]rocess $dump_pid\b/m, 'pg_dump in progress: named');
	my $dumped = () = <$dump>;
	ok(close($dump), 'pg_dump ends well');
	cmp_ok($dumped, '>', 20000, 'and with everything');
}

# ---------------------------------------------------------------------
# It waits for somebody who goes, and says so after a second
# ---------------------------------------------------------------------
mg_tell($ddl, 'RESET migration_guard.lock_timeout; RESET migration_guard.lock_burst;');
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');
mg_send($ddl, 'BEGIN; SAVEPOINT s; ALTER TABLE orders ADD after_wait int;');
tries('reader that goes');
is(locks('ddl', 'orders'), '', 'nothing is held while it tries');
mg_passes(mg_psql($node, 'postgres', "SET lock_timeout = '1s'; SELECT count(*) FROM orders; UPDATE orders SET a = a;"),
	'others read and write meanwhile');
IPC::Run::pump($ddl->{h}) until $ddl->{err} =~ /NOTICE.*LOCATION/s;
mg_tell($other, 'COMMIT;');
$res = mg_receive($ddl);
mg_passes($res, 'it has the lock when the reader has gone');
like($res->{err}, qr/NOTICE:  00000: ALTER TABLE still tries to lock table "orders"\nDETAIL: .*\b[Pp]rocess $pid\b/,
	'a notice says who was in the way');
is(() = $res->{err} =~ /NOTICE/g, 1, '... once');
is(locks('ddl', 'orders'), 'AccessExclusiveLock', 'the lock is the transaction\'s');
mg_tell($ddl, 'ROLLBACK TO s;');
is(locks('ddl', 'orders'), '', 'ROLLBACK TO gives it back');
mg_tell($ddl, 'ROLLBACK;');

# ---------------------------------------------------------------------
# All or none
# ---------------------------------------------------------------------
mg_tell($other, 'BEGIN; UPDATE orders SET a = a WHERE id = 1;');
mg_send($ddl, 'ALTER TABLE items ADD CONSTRAINT items_fk FOREIGN KEY (order_id) REFERENCES orders;');
tries('foreign key');
mg_passes(
	mg_psql($node, 'postgres', "SET lock_timeout = '2s'; BEGIN; LOCK TABLE items; UPDATE items SET id = id; COMMIT;"),
	'the other table is free while one is missing');
mg_tell($other, 'COMMIT;');
mg_passes(mg_receive($ddl), 'both are had when both are free');

# ---------------------------------------------------------------------
# Limits: the session's own, and the wish to stop
# ---------------------------------------------------------------------
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');

$res = mg_tell($ddl, "SET lock_timeout = '200ms'; ALTER TABLE orders ADD x int;");
mg_refused($res, '55P03', 'lock_timeout of the session');
is($res->{messages}[0]{text} =~ s/\n.*//sr, 'canceling statement due to lock timeout', '... says what core says');
is(mg_tell($ddl, 'SHOW lock_timeout;')->{out}, '200ms', '... and is what it was');
is(mg_tell($ddl, q{SELECT caught('ALTER TABLE orders ADD x int');})->{out}, '55P03', '... in a function');
is(mg_tell($ddl, 'SHOW lock_timeout;')->{out}, '200ms', '... where it is what it was, too');
mg_tell($ddl, 'RESET lock_timeout;');

mg_refused(mg_tell($ddl, "SET statement_timeout = '200ms'; ALTER TABLE orders ADD x int;"),
	'57014', 'statement_timeout of the session');
is(mg_tell($ddl, 'SHOW lock_timeout;')->{out}, '0', '... leaves lock_timeout alone');
mg_tell($ddl, 'RESET statement_timeout;');

foreach my $sql (
	'ALTER TABLE orders ADD x int;',
	'DO $$ BEGIN ALTER TABLE orders ADD x int; EXCEPTION WHEN lock_not_available THEN NULL; END $$;',
	'CALL altering();')
{
	mg_send($ddl, $sql);
	tries("cancel: $sql");
	mg_value($node, 'postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'ddl'});
	mg_refused(mg_receive($ddl), '57014', "cancel: $sql: works");
	is(locks('ddl', 'orders'), '', 'no lock is left');
}

# in functions and blocks an error is one that can be caught
mg_tell($ddl, "SET migration_guard.lock_timeout = '100ms';");
mg_tell($ddl, 'BEGIN; SELECT 1 FROM items;');
is(mg_tell($ddl, q{SELECT caught('ALTER TABLE orders ADD x int');})->{out}, '55P03', 'caught in a function');
mg_passes(mg_tell($ddl, 'DO $$ BEGIN ALTER TABLE orders ADD x int; EXCEPTION WHEN lock_not_available THEN NULL; END $$;'),
	'caught in a DO block');
mg_passes(mg_tell($ddl, 'SAVEPOINT s;'), 'a savepoint');
mg_refused(mg_tell($ddl, 'ALTER TABLE orders ADD x int;'), '55P03', 'after a savepoint');
mg_passes(mg_tell($ddl, 'ROLLBACK TO s; ALTER TABLE items ADD z int;'), 'and the transaction goes on');
is(locks('ddl', 'orders'), '', 'without a lock that it did not get');
is(locks('ddl', 'items'), 'AccessExclusiveLock AccessShareLock', 'and with those that it has');
mg_tell($ddl, 'ROLLBACK;');
mg_tell($other, 'COMMIT;');
mg_passes(mg_tell($ddl, 'CALL altering();'), 'a procedure that commits');
mg_tell($ddl, 'RESET migration_guard.lock_timeout;');

# ---------------------------------------------------------------------
# Where the guard leaves locking to core
# ---------------------------------------------------------------------
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');
foreach my $setting ("migration_guard.lock_timeout = 0", "migration_guard.mode = 'log'", "migration_guard.mode = 'off'")
{
	mg_send($ddl, "BEGIN; SET LOCAL $setting; SET LOCAL lock_timeout = '3s'; ALTER TABLE orders ADD x int;");
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'ddl' AND NOT granted}),
		"$setting: it waits in the queue");
	mg_value($node, 'postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'ddl'});
	mg_refused(mg_receive($ddl), '57014', "$setting: canceled there");
	mg_tell($ddl, 'ROLLBACK;');
}
$res = mg_tell($ddl, 'BEGIN; LOCK TABLE orders NOWAIT;');
mg_refused($res, '55P03', 'NOWAIT');
like($res->{err}, qr/could not obtain lock on relation "orders"/, '... is core\'s');
mg_tell($ddl, 'ROLLBACK;');
mg_passes(mg_tell($ddl, "SET migration_guard.mode = 'warn'; SET migration_guard.lock_timeout = '100ms';"), 'mode warn');
mg_refused(mg_tell($ddl, 'ALTER TABLE orders ADD x int;'), '55P03', 'mode warn: tries');
mg_tell($ddl, 'RESET migration_guard.mode; RESET migration_guard.lock_timeout;');
mg_tell($other, 'COMMIT;');

# CONCURRENTLY and what commits inside wait for as long as it takes
mg_value($node, 'postgres', <<'EOM');
CREATE INDEX orders_a ON orders (a);
CREATE MATERIALIZED VIEW mv AS SELECT g AS a FROM generate_series(1, 20) g;
CREATE UNIQUE INDEX ON mv (a);
EOM
mg_tell($ddl, "SET migration_guard.lock_timeout = '50ms';");
foreach my $case (
	[ 'orders', 'CREATE INDEX CONCURRENTLY orders_b ON orders (a)' ],
	[ 'orders', 'REINDEX INDEX CONCURRENTLY orders_a' ],
	[ 'orders', 'DROP INDEX CONCURRENTLY orders_a' ],
	[ 'orders', 'VACUUM FULL orders' ],
	[ 'orders', 'VACUUM orders' ],
	[ 'parted', 'ALTER TABLE parted DETACH PARTITION parted_2 CONCURRENTLY' ],
	[ 'mv', 'REFRESH MATERIALIZED VIEW CONCURRENTLY mv' ])
{
	my ($table, $sql) = @$case;
	my $lock = $table eq 'mv' ? 'REFRESH MATERIALIZED VIEW mv' : "LOCK TABLE $table IN SHARE UPDATE EXCLUSIVE MODE";

	if ($sql =~ /DETACH/)
	{
		# CONCURRENTLY cannot be, with a default partition
		mg_value($node, 'postgres', "SET migration_guard.mode = 'off'; DROP TABLE parted_rest");
	}
	mg_tell($other, "BEGIN; $lock;");
	mg_send($ddl, "$sql;");
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'ddl' AND wait_event_type = 'Lock' AND now() - query_start > '200ms'}),
		"$sql: waits for longer than the guard would");
	mg_tell($other, 'COMMIT;');
	mg_passes(mg_receive($ddl), "$sql: and does not fail");
}
mg_tell($ddl, 'RESET migration_guard.lock_timeout;');

# ---------------------------------------------------------------------
# A lock that is held already; somebody in the queue behind it
# ---------------------------------------------------------------------
my $waiter = mg_session($node, 'postgres', app => 'waiter');

mg_tell($waiter, 'SET migration_guard.mode = off;');
mg_tell($ddl, 'BEGIN; UPDATE orders SET a = a WHERE id = 1;');
mg_send($waiter, 'BEGIN; LOCK TABLE orders IN SHARE MODE;');
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'waiter' AND NOT granted}),
	'somebody waits for this transaction');
mg_passes(mg_tell($ddl, 'ALTER TABLE orders ADD stronger int;'), 'which needs a stronger lock, and gets it before');
mg_tell($ddl, 'COMMIT;');
mg_passes(mg_receive($waiter), 'then it is their turn');
mg_tell($waiter, 'ROLLBACK;');
mg_close($waiter);

# who is in the way waits for this transaction: core cannot see that
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');
mg_tell($ddl, 'BEGIN; ALTER TABLE items ADD first int;');
mg_send($other, 'SELECT count(*) FROM items;');
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'other' AND NOT granted}),
	'a reader of another table waits for this transaction');
$res = mg_tell($ddl, 'ALTER TABLE orders ADD second int;');
mg_refused($res, '40P01', 'a deadlock is noticed, and the statement is the one to fail');
like($res->{err}, qr/could not lock table "orders" without a deadlock\nDETAIL: .*\b[Pp]rocess $pid\b/, '... and says so');
mg_passes(mg_receive($other), 'the reader goes on');
mg_tell($other, 'COMMIT;');
mg_tell($ddl, 'ROLLBACK;');

# two that both try, each for what the other one has locked
mg_tell($_, "SET migration_guard.lock_timeout = '1min'; BEGIN;") foreach $ddl, $other;
mg_tell($ddl, 'LOCK TABLE items;');
mg_tell($other, 'LOCK TABLE orders;');
mg_send($ddl, 'ALTER TABLE orders ADD third int;');
mg_send($other, 'ALTER TABLE items ADD third int;');
my @lost;
foreach ($ddl, $other)
{
	push @lost, mg_errors(mg_receive($_));
	mg_tell($_, 'ROLLBACK;');
}
like("@lost", qr/^40P01( 40P01)?$/, 'two that try for what the other one has: the deadlock is noticed');
is(mg_value($node, 'postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), '0', '... and nothing is left of it');

# through others: ddl tries for what other has read, who waits for a third one, who waits for ddl
my $third = mg_session($node, 'postgres', app => 'third');
mg_tell($ddl, 'BEGIN; LOCK TABLE items;');
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');
mg_tell($third, q{SET migration_guard.mode = off; BEGIN; LOCK TABLE grows;});
mg_send($third, 'SELECT count(*) FROM items;');
mg_send($other, q{SELECT count(*) FROM grows;});
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 2 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name IN ('other', 'third') AND NOT granted}),
	'two others wait');
mg_refused(mg_tell($ddl, 'ALTER TABLE orders ADD third int;'), '40P01', 'a deadlock of three is noticed');
mg_tell($ddl, 'ROLLBACK;');
mg_receive($third);
mg_tell($third, 'ROLLBACK;');
mg_receive($other);
mg_tell($other, 'COMMIT;');
mg_close($third);
mg_tell($ddl, "SET migration_guard.lock_timeout = '300ms';");
mg_tell($other, 'RESET migration_guard.lock_timeout;');

# somebody waits in the queue, behind one who would not be in the way
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');
my $queued = mg_session($node, 'postgres', app => 'queued');
mg_send($queued, 'SET migration_guard.mode = off; BEGIN; LOCK TABLE orders;');
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'queued' AND NOT granted}),
	'somebody waits in the queue');
$res = mg_tell($ddl, 'CREATE INDEX ON orders (a);');
mg_refused($res, '55P03', 'who waits in the queue is not overtaken');
like($res->{err}, qr/Nobody has a lock that conflicts with it at this moment; if others wait in the queue already, the guard does not overtake them\./,
	'... and nobody is blamed for a lock that is not in the way');
mg_tell($other, 'COMMIT;');
mg_receive($queued);
mg_tell($queued, 'ROLLBACK;');
mg_close($queued);

# a read-only transaction is told so by core, which locks nothing before
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders;');
mg_refused(mg_tell($ddl, 'BEGIN READ ONLY; ALTER TABLE orders ADD x int;'), '25006', 'in a read-only transaction');
mg_tell($ddl, 'ROLLBACK;');
mg_tell($other, 'COMMIT;');

# ShareLock does not include ShareUpdateExclusiveLock
mg_tell($other, 'BEGIN; LOCK TABLE orders IN SHARE MODE;');
mg_tell($ddl, "SET migration_guard.lock_timeout = '100ms'; BEGIN; LOCK TABLE orders IN SHARE MODE;");
$res = mg_tell($ddl, 'ALTER TABLE orders SET (fillfactor = 80);');
mg_refused($res, '55P03', 'held in another mode, which is not enough');
mg_tell($ddl, 'ROLLBACK; RESET migration_guard.lock_timeout;');
mg_tell($other, 'COMMIT;');

# ---------------------------------------------------------------------
# The world changes while it tries
# ---------------------------------------------------------------------
# the table grows beyond the threshold
mg_tell($other, 'BEGIN; INSERT INTO grows VALUES (2);');
mg_send($ddl, 'BEGIN; CREATE INDEX ON grows (a);');
tries('growing table');
mg_tell($other, 'INSERT INTO grows SELECT g FROM generate_series(1, 3000) g; COMMIT;');
$res = mg_receive($ddl);
mg_refused($res, 'MG121', 'the table has grown: refused after all');
unlike($res->{err}, qr/already holds/, '... and not because of the lock that was just taken');
mg_tell($ddl, 'ROLLBACK;');

# the name means another table
mg_value($node, 'postgres', 'CREATE SCHEMA front; CREATE SCHEMA behind; CREATE TABLE behind.named (a int)');
mg_tell($other, 'BEGIN; SELECT * FROM behind.named;');
mg_send($ddl, 'SET search_path = front, behind; BEGIN; ALTER TABLE named ADD b int;');
tries('name');
mg_value($node, 'postgres', 'CREATE TABLE front.named (a int)');
mg_tell($other, 'COMMIT;');
mg_passes(mg_receive($ddl), 'the name means another table: altered');
is(locks('ddl', 'front.named'), 'AccessExclusiveLock', '... which is locked');
is(locks('ddl', 'behind.named'), '', '... and the first one is not');
mg_tell($ddl, 'COMMIT; RESET search_path;');
is(mg_value($node, 'postgres', q{SELECT attrelid::regclass FROM pg_attribute WHERE attname = 'b' AND attrelid::regclass::text LIKE '%named'}),
	'front.named', '... as core would');

# the table is gone
mg_value($node, 'postgres', 'CREATE TABLE goes (a int)');
mg_tell($other, 'BEGIN; SET LOCAL migration_guard.mode = off; DROP TABLE goes;');
mg_send($ddl, 'ALTER TABLE goes ADD b int;');
tries('dropped table');
mg_tell($other, 'COMMIT;');
mg_refused(mg_receive($ddl), '42P01', 'the table is gone: core says so');

# what has been warned about is not warned about again
mg_tell($other, 'BEGIN; UPDATE medium SET a = a;');
mg_send($ddl, 'BEGIN; CREATE INDEX ON medium (a);');
tries('warning');
mg_tell($other, 'COMMIT;');
is(join(' ', mg_warnings(mg_receive($ddl))), 'MG121', 'warned about once');
mg_tell($ddl, 'ROLLBACK;');

# ---------------------------------------------------------------------
# Rights
# ---------------------------------------------------------------------
mg_tell($other, 'BEGIN; SELECT count(*) FROM orders, deployed;');
$res = mg_psql($node, 'postgres', "SET lock_timeout = '5s'; ALTER TABLE orders ADD x int", options => '-c role=deployer');
mg_refused($res, '42501', 'not the owner: refused at once, by core');
$res = mg_psql($node, 'postgres', <<'EOM');
SET migration_guard.lock_timeout = '100ms';
SET SESSION AUTHORIZATION deployer;
ALTER TABLE deployed ADD x int;
SET migration_guard.lock_timeout = 0;
EOM
mg_refused($res, '55P03 42501', 'the setting is not for everybody');
unlike($res->{messages}[0]{text}, qr/SET migration_guard/, '... and the hint does not mention it then');
mg_tell($other, 'COMMIT;');

# ---------------------------------------------------------------------
# More locks than there is room for
# ---------------------------------------------------------------------
mg_value($node, 'postgres', "SET migration_guard.mode = off; $_") foreach (
	'CREATE TABLE many (a int) PARTITION BY RANGE (a)',
	map { "DO \$\$ BEGIN FOR i IN $_ .. $_ + 99 LOOP EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES FROM (%s) TO (%s)', i, i, i + 1); END LOOP; END \$\$" }
	  map { $_ * 100 } 0 .. 14);
my $core = mg_psql($node, 'postgres', "SET migration_guard.mode = off; ALTER TABLE many ADD b int");
$res = mg_psql($node, 'postgres', 'ALTER TABLE many ADD b int');
mg_refused($core, '53200', '1500 partitions: too many locks for this server');
is($res->{err} =~ s/LOCATION.*\n//r, $core->{err} =~ s/LOCATION.*\n//r, 'the guard says the same');

mg_close($ddl);
mg_close($other);

# ---------------------------------------------------------------------
# Thousands of partitions; a session that the event trigger makes judge; autovacuum
# ---------------------------------------------------------------------
$node->adjust_conf('postgresql.conf', 'max_locks_per_transaction', '400');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{''});
$node->restart;
$other = mg_session($node, 'postgres', app => 'other');
$ddl = mg_session($node, 'postgres', app => 'ddl');

mg_tell($other, 'BEGIN; SELECT count(*) FROM many_700;');
mg_send($ddl, 'ALTER TABLE many ADD b int;');
tries('first statement of a session that has not loaded the library');
is(mg_value($node, 'postgres', q{SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'ddl' AND relation >= 16384 AND granted}),
	'0', '1500 partitions, one is read: none is held');
mg_tell($other, 'COMMIT;');
mg_passes(mg_receive($ddl), '1500 partitions: all are had');

# core asks an autovacuum worker to go after deadlock_timeout, and so does the guard
mg_value($node, 'postgres', <<'EOM');
CREATE TABLE vacuumed (a int) WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
	autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0);
INSERT INTO vacuumed SELECT g FROM generate_series(1, 100000) g;
DELETE FROM vacuumed WHERE a % 2 = 0;
EOM
$node->adjust_conf('postgresql.conf', 'autovacuum', 'on');
$node->append_conf('postgresql.conf', "autovacuum_naptime = 1\nlog_autovacuum_min_duration = 0\n");
$node->restart;
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%vacuumed%'}),
	'autovacuum is at work');
$res = mg_psql($node, 'postgres', "SET migration_guard.lock_timeout = '30s'; ALTER TABLE vacuumed ADD b int;");
mg_passes($res, 'autovacuum makes way');
$node->wait_for_log(qr/canceling autovacuum task/);
pass('... because it was asked to');

$node->stop;
unlike(
	slurp_file($node->logfile),
	qr/TRAP:|cache lookup failed|leak(ed)?:|could not open relation with OID|PANIC|terminated by signal|you don't own a lock/,
	'the server had nothing to complain about');

done_testing();
