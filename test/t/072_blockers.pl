# 072_blockers.pl
#
# Who is in the way: check() names, as of now, the sessions and prepared
# transactions that hold a lock which a statement would have to wait for, with
# what pg_stat_activity would show to the caller, and says what can be done.
#
# Nothing is timed.  Where a session has to be idle for a moment before it
# counts, check() is asked until it has an answer.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('blockers',
	preload => 'migration_guard',
	conf => <<'EOM');
wal_level = replica
max_wal_senders = 4
autovacuum_naptime = 1s
log_autovacuum_min_duration = 0
max_locks_per_transaction = 1024
EOM

mg_fixture($node, 'postgres');
mg_value($node, 'postgres', <<'EOM');
SET migration_guard.mode = 'off';
CREATE EXTENSION migration_guard;
CREATE EXTENSION dblink;
CREATE TABLE bare (a int);
CREATE VIEW look AS SELECT * FROM small;
CREATE ROLE app LOGIN;
CREATE ROLE other LOGIN;
CREATE ROLE friend LOGIN IN ROLE app;
CREATE ROLE monitor LOGIN IN ROLE pg_read_all_stats;
CREATE ROLE killer LOGIN IN ROLE pg_signal_backend;
CREATE ROLE deployer ROLE app, other, friend, monitor, killer;
ALTER TABLE small OWNER TO deployer;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
EOM

my $alter = 'ALTER TABLE big ADD COLUMN x int';
my $small = 'ALTER TABLE small ADD COLUMN x int';

# What check() says by the rule lock_queue: message, detail and hint of each finding
my $question = <<'EOM';
SELECT concat_ws(E'\n', message, detail, hint) FROM migration_guard.check($mg$%s$mg$)
	WHERE rule = 'lock_queue' AND sqlstate = 'MG201' AND verdict = 'warn';
EOM

sub said
{
	my ($sql, %opt) = @_;

	my $set = $opt{set} ? "SET $opt{set};\n" : '';

	return mg_value($node, 'postgres', $set . sprintf($question, $sql), %opt);
}

sub silent
{
	my ($sql, $name, %opt) = @_;

	return is(said($sql, %opt), '', $name);
}

# check() says this, sooner or later; returns what it said
sub names
{
	my ($sql, $pattern, $name, %opt) = @_;
	my $answer;

	foreach (1 .. 300)
	{
		$answer = said($sql, %opt);
		last if $answer =~ $pattern;
		select(undef, undef, undef, 0.1);
	}
	like($answer, $pattern, $name);
	return $answer;
}

sub pid_of
{
	my ($s) = @_;

	return mg_tell($s, 'SELECT pg_backend_pid();')->{out};
}

sub open_session
{
	my (%opt) = @_;
	my $s = mg_session($node, 'postgres', %opt);

	return ($s, pid_of($s));
}

# Start a statement in an open session without waiting for its end.
sub begin_to
{
	my ($s, $sql) = @_;

	$s->{in} .= "$sql\n";
	IPC::Run::pump_nb($s->{h});
	return;
}

my ($holder, $pid) = open_session(user => 'app', app => 'web shop');
my ($second, $pid2) = open_session(user => 'app', app => 'worker');

silent($alter, 'nobody in the way: nothing to say');

# ---------------------------------------------------------------------
# an idle reader
# ---------------------------------------------------------------------
my $fast = "SELECT bool_and(fastpath) FROM pg_locks WHERE pid = $pid AND relation = 'big'::regclass";

mg_tell($holder, "BEGIN;\nSELECT count(*),\n\t'x'   AS y\nFROM big;");
is(mg_value($node, 'postgres', $fast), 't', 'idle reader: its lock is a fast-path lock');
my $answer = names(
	$alter,
	qr/^ALTER TABLE would have to wait for its lock on "big"\nProcess $pid \(application "web shop", user "app"\) has been idle in transaction for /,
	'idle reader: named');
like($answer, qr/its last query was "SELECT count\(\*\), 'x' AS y FROM big;"/, 'idle reader: its query in one line');
like(
	$answer,
	qr/The guard tries for AccessExclusiveLock on "big" until migration_guard\.lock_timeout \(10s\) is over, without making others queue, and then the statement fails\. /,
	'idle reader: what a wait means to others');
like(said($alter, set => "lock_timeout = '2s'"), qr/until lock_timeout \(2s\) is over/, 'idle reader: the limit of the session');
foreach my $case ([ $alter, 'migration_guard.lock_timeout = 0' ], ['VACUUM FULL big'])
{
	my ($sql, $set) = @$case;

	like(
		said($sql, set => $set),
		qr/While AccessExclusiveLock on "big" is waited for in the queue, reads and writes that come later wait, too\. /,
		"idle reader: what it means to others where the guard does not take the lock: $sql: " . ($set // ''));
}
my $reason = mg_value($node, 'postgres', "SELECT string_agg(reason, '|') FROM migration_guard.explain('$alter; CREATE INDEX ON big (b)')");
like(
	$reason,
	qr/^[^|]*; in the way now: process $pid \(application "web shop", user "app"\) has been idle in transaction for [^|]*\|[^|]*$/,
	'idle reader: explain() names it, too');
unlike($reason, qr/\|.*$pid/, 'idle reader: explain(): where it is in the way');
like($answer, qr/^SELECT pg_terminate_backend\($pid\);$/m, 'idle reader: how to end it');
is(mg_value($node, 'postgres', $fast), 't', 'idle reader: looking has left the lock where it was');
silent('CREATE INDEX ON big (b)', 'idle reader: CREATE INDEX does not wait for it');
silent('ALTER TABLE ref ADD FOREIGN KEY (id) REFERENCES big NOT VALID', 'idle reader: nor does a foreign key');
silent('ALTER TABLE big ALTER a SET STATISTICS 10', 'idle reader: nor what blocks nobody');
silent('VACUUM big', 'idle reader: nor VACUUM');
silent('ALTER TABLE medium ADD COLUMN x int', 'idle reader: not in the way of another table');
silent('CREATE INDEX CONCURRENTLY ON big (b)', 'idle reader: CONCURRENTLY stands in no queue');
silent('REINDEX INDEX CONCURRENTLY big_pkey', 'idle reader: nor does REINDEX CONCURRENTLY');
foreach my $sql ('DROP TABLE big CASCADE', 'TRUNCATE big CASCADE', 'VACUUM FULL big', 'BEGIN; LOCK TABLE big',
	'ALTER TABLE big RENAME TO bigger', 'CLUSTER big USING big_pkey', 'ALTER TABLE ref DROP COLUMN big_id')
{
	names($sql, qr/on "big".*Process $pid /s, "idle reader: $sql");
}
like(said('REINDEX INDEX big_pkey'), qr/^REINDEX would have to wait for its lock on "big_pkey"\n/, 'idle reader: of an index alone');
unlike(said('DROP TABLE big CASCADE'), qr/big_pkey/, 'idle reader: an index goes with its table');

# The hook leaves it to locking to say who is in the way.
my $res = mg_psql($node, 'postgres', "SET lock_timeout = '100ms';\n$alter;\n");
mg_refused($res, '55P03', 'idle reader: the statement itself runs into the lock');
is(join(' ', mg_warnings($res)), '', 'idle reader: and is not warned about by this rule');

# each transaction of a script takes its locks once
is( mg_value($node, 'postgres', "SELECT string_agg(statement::text, ' ') FROM migration_guard.check('BEGIN; $alter; ALTER TABLE big DROP COLUMN x; COMMIT; TRUNCATE medium; ALTER TABLE big ADD y int') WHERE rule = 'lock_queue'"),
	'2 6', 'script: once in each transaction');

# what the caller has seen in pg_stat_activity stays, and check() looks again
my ($watcher) = open_session();
my $state = "SELECT state FROM pg_stat_activity WHERE pid = $pid;";

mg_tell($watcher, 'BEGIN;');
is(mg_tell($watcher, $state)->{out}, 'idle in transaction', 'pg_stat_activity: as it is');
like(mg_tell($watcher, sprintf($question, $alter))->{out}, qr/Process $pid /, 'check() in the same transaction');
mg_tell($holder, 'COMMIT;');
is(mg_tell($watcher, sprintf($question, $alter))->{out}, '', 'gone: check() looks again');
is(mg_tell($watcher, $state)->{out}, 'idle in transaction', 'gone: pg_stat_activity is left alone');
mg_tell($watcher, 'COMMIT;');
is(mg_tell($watcher, $state)->{out}, 'idle', 'gone: in the next transaction as it is');

# ---------------------------------------------------------------------
# own locks, new and temporary relations
# ---------------------------------------------------------------------
mg_tell($watcher, "BEGIN;\nSELECT count(*) FROM big;\nUPDATE medium SET a = a WHERE id = 1;");
is(mg_tell($watcher, sprintf($question, "$alter; TRUNCATE medium"))->{out}, '', 'own locks are not in the way');
mg_tell($watcher, 'CREATE TABLE fresh (a int); CREATE TEMP TABLE mine (a int);');
is(mg_tell($watcher, sprintf($question, 'ALTER TABLE fresh ADD x int; ALTER TABLE mine ADD x int'))->{out},
	'', 'new and temporary relations: nothing');
mg_tell($watcher, 'ROLLBACK;');

# ---------------------------------------------------------------------
# a writer, of a table that is empty, and one that is busy
# ---------------------------------------------------------------------
mg_tell($holder, "BEGIN;\nINSERT INTO bare VALUES (1);");
names('CREATE INDEX ON bare (a)', qr/on "bare"\nProcess $pid .*tries for ShareLock on "bare"/s, 'open writer: in the way of CREATE INDEX');
like(said('CREATE INDEX ON bare (a)', set => 'migration_guard.lock_timeout = 0'),
	qr/in the queue, writes that come later wait/, 'open writer: reads do not wait behind it');
mg_tell($holder, 'ROLLBACK;');
silent('CREATE INDEX ON bare (a)', 'open writer: gone');

mg_tell($holder, "BEGIN;\nSELECT 1 FROM big LIMIT 1;");
begin_to($holder, 'SELECT pg_sleep(1000);');
$answer = names($alter, qr/Process $pid .* has been running a query for .* \(wait event Timeout: PgSleep\)/,
	'busy: with its wait event');
like($answer, qr/its query is "SELECT pg_sleep\(1000\);"/, 'busy: with its query');

# ---------------------------------------------------------------------
# who may see what
# ---------------------------------------------------------------------
mg_tell($second, "BEGIN;\nSELECT count(*) FROM small;");
names($small, qr/Process $pid2 /, 'privileges: a reader of small');
is( mg_value($node, 'postgres', "SELECT concat_ws(',', pid, application_name, usename, state, xact_start, query) FROM pg_stat_activity WHERE pid = $pid2", user => 'other'),
	"$pid2,worker,app,<insufficient privilege>", 'privileges: what pg_stat_activity shows to others');
foreach my $case ([ 'other', 0, 0 ], [ 'monitor', 1, 0 ], [ 'killer', 0, 1 ], [ 'app', 1, 1 ], [ 'friend', 1, 1 ])
{
	my ($role, $sees, $ends) = @$case;

	$answer = said($small, user => $role);
	like(
		$answer,
		$sees ? qr/Process $pid2 \(application "worker", user "app"\) has been idle in transaction .*SELECT count/
		: qr/Process $pid2 \(application "worker", user "app"\) is in a transaction whose details are not visible to you\./,
		"privileges: what $role sees");
	unlike($answer, qr/idle|SELECT count|wait event| ago/, "privileges: and nothing else") unless $sees;
	is($answer =~ /^SELECT pg_terminate_backend\($pid2\);$/m || 0, $ends, "privileges: whether $role may end it");
}

# what a function of somebody else's says goes to the client as well
mg_value($node, 'postgres', <<'EOM');
CREATE FUNCTION tidy() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
	$f$ BEGIN ALTER TABLE small ADD tidied int; END $f$;
EOM
my $asked = mg_psql($node, 'postgres', "SET lock_timeout = '300ms'; SELECT tidy()", user => 'other');
mg_refused($asked, '55P03', 'privileges: a function that runs as its owner');
like($asked->{err}, qr/Process $pid2 \(application "worker", user "app"\) is in a transaction whose details are not visible/,
	'privileges: tells its caller no more than he may see');
unlike($asked->{err}, qr/SELECT count|pg_terminate_backend/, 'privileges: nor what he may not do');
mg_tell($second, 'COMMIT;');

# a superuser's session is ended by superusers only
my ($root, $root_pid) = open_session(app => 'root');

mg_tell($root, "BEGIN;\nSELECT count(*) FROM small;");
like(names($small, qr/Process $root_pid /, 'privileges: a session of a superuser'),
	qr/pg_terminate_backend/, 'privileges: superusers may end it');
unlike(said($small, user => 'killer'), qr/pg_terminate_backend/, 'privileges: others may not');
mg_tell($root, 'COMMIT;');

# the hint does it
mg_tell($second, "BEGIN;\nSELECT count(*) FROM medium;");
$answer = names('TRUNCATE medium', qr/Process $pid2 /, 'hint: somebody is in the way');
my ($kill) = $answer =~ /^(SELECT pg_terminate_backend\(\d+\);)$/m;
is(mg_value($node, 'postgres', $kill), 't', 'hint: its SQL runs');
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid2");
silent('TRUNCATE medium', 'hint: and nobody is in the way any more');
eval { mg_close($second) };

# ---------------------------------------------------------------------
# who is gone in a moment does not count: asked from within the holder's own
# transaction, by another connection
# ---------------------------------------------------------------------
my $dsn = sprintf('host=%s port=%s dbname=postgres', $node->host, $node->port);
my $ask = "SELECT count(*) FROM dblink('$dsn', \$d\$SELECT rule FROM migration_guard.check('$alter') WHERE detail LIKE '%%Process %s %%'\$d\$) AS d (rule text);";
my $young = 1;

# a slow machine gets several chances
foreach (1 .. 20)
{
	$young = mg_tell($root, sprintf("BEGIN; SELECT 1 FROM big LIMIT 0; $ask COMMIT;", $root_pid))->{out};
	last if $young eq '0';
}
is($young, '0', 'young: a transaction of the usual length is not named');
is( mg_tell($root, sprintf("BEGIN; SELECT 1 FROM big LIMIT 0; SELECT pg_sleep(1.1) IS NULL; $ask COMMIT;", $root_pid))->{out},
	"f\n1", 'older: the same, a second later, is');

# ---------------------------------------------------------------------
# many
# ---------------------------------------------------------------------
my @crowd = map { mg_session($node, 'postgres', app => "crowd $_") } 1 .. 4;

mg_tell($_, "BEGIN;\nSELECT count(*) FROM big;") foreach @crowd;
$answer = names($alter, qr/And 2 more are in the way/, 'many: counted');
is(() = $answer =~ /Process \d+ /g, 3, 'many: three are described');
like($answer, qr/^2 others are in the way as well\.$/m, 'many: ending those three is not enough');
like($answer, qr/^ALTER TABLE[^\n]*\nProcess $pid /, 'many: the oldest transaction first');
mg_tell($_, 'COMMIT;') foreach @crowd;

# partitions: one session holds some, another one of them
mg_value($node, 'postgres', <<'EOM');
CREATE TABLE wide (k int) PARTITION BY LIST (k);
DO $$
BEGIN
	FOR i IN 1 .. 500 LOOP
		EXECUTE format('CREATE TABLE wide_%s PARTITION OF wide FOR VALUES IN (%s)', i, i);
	END LOOP;
END
$$;
EOM
mg_tell($crowd[0], "BEGIN;\nSELECT count(*) FROM wide_7;");
$answer = names('ALTER TABLE wide ADD COLUMN x int', qr/on "wide_7"\nProcess/, 'partitions: one of them is held');
silent('CREATE INDEX ON wide (k)', 'partitions: by a reader');
mg_tell($crowd[1], "BEGIN;\nSELECT count(*) FROM wide;");
$answer = names(
	'ALTER TABLE wide ADD COLUMN x int',
	qr/on "wide" and 500 more relations\nProcess .*it has locked "wide_7"\. Process .*it has locked "wide", "wide_\d+", "wide_\d+" and 498 more\./,
	'partitions: all of them are held');
mg_tell($crowd[0], 'COMMIT;');
mg_tell($crowd[1], 'COMMIT;');

# ---------------------------------------------------------------------
# a parallel worker holds locks of its own: its leader is named, once
# ---------------------------------------------------------------------
my $force = mg_value($node, 'postgres', "SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')");
my $leader = pid_of($crowd[2]);

mg_tell($crowd[2], "SET $force = on;\nBEGIN;");
begin_to($crowd[2], 'SELECT pg_sleep(1000) FROM medium LIMIT 1;');
ok( $node->poll_query_until(
		'postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE leader_pid = $leader AND relation = 'medium'::regclass"),
	'parallel worker: it holds a lock');
$answer = names('TRUNCATE medium', qr/Process $leader /, 'parallel worker: its leader is named');
is(() = $answer =~ /Process \d+ /g, 1, 'parallel worker: nobody else is');
mg_value($node, 'postgres', "SELECT pg_terminate_backend($leader)");
eval { mg_close($crowd[2]) };

# ---------------------------------------------------------------------
# a session that does not report what it does
# ---------------------------------------------------------------------
my $mute = pid_of($crowd[3]);

mg_tell($crowd[3], "SET track_activities = off;\nBEGIN;\nSELECT count(*) FROM look;");
names('DROP VIEW look', qr/on "look"\nProcess $mute .*track_activities is off/, 'track_activities = off: named all the same');
mg_tell($crowd[3], 'COMMIT;');
mg_close($crowd[$_]) foreach (0, 1, 3);

# ---------------------------------------------------------------------
# prepared transactions, also those that have survived a restart
# ---------------------------------------------------------------------
mg_tell($watcher, "SET ROLE app;\nBEGIN;\nUPDATE medium SET a = a WHERE id = 1;\nPREPARE TRANSACTION 'it''s two';");
foreach my $when ('prepared', 'prepared, after a restart')
{
	$answer = names('CREATE INDEX ON medium (a)',
		qr/on "medium"\nPrepared transaction "it's two" \(user "app"\) was prepared .* ago\. /, $when);
	like($answer, qr/^Finish the prepared transaction: COMMIT PREPARED 'it''s two' or ROLLBACK PREPARED 'it''s two'\.$/m,
		"$when: how to finish it");
	unlike($answer, qr/Process|pg_terminate_backend/, "$when: no process is named");
	last if $when =~ /restart/;

	# the session that has prepared it is busy with something else
	mg_tell($watcher, "RESET ROLE;\nBEGIN;\nSELECT count(*) FROM big;");
	unlike(said('TRUNCATE medium'), qr/Process/, "$when: its session has nothing to do with it");
	is(mg_tell($watcher, sprintf($question, 'TRUNCATE medium'))->{out} =~ /it's two/, 1, "$when: is in the way of its own session");
	mg_value($node, 'postgres', "SELECT pg_terminate_backend($pid)");
	eval { mg_close($_) } foreach ($holder, $watcher, $root);
	$node->restart;
}
mg_value($node, 'postgres', "ROLLBACK PREPARED 'it''s two'");
silent('CREATE INDEX ON medium (a)', 'prepared: gone');
mg_value($node, 'postgres', "BEGIN; SELECT count(*) FROM small; PREPARE TRANSACTION 'theirs'", user => 'app');
like(said($small, user => 'other'), qr/^Let its user or a superuser finish the prepared transaction, by COMMIT PREPARED 'theirs' /m,
	'prepared: by another role');
mg_value($node, 'postgres', "COMMIT PREPARED 'theirs'", user => 'app');

# ---------------------------------------------------------------------
# a walsender with a transaction of its own, as for the initial copy of a subscription
# ---------------------------------------------------------------------
my $sender = mg_session($node, 'postgres', app => 'sub', replication => 1);

$pid = pid_of($sender);
mg_tell($sender, "BEGIN;\nSELECT count(*) FROM big;");
$answer = names($alter, qr/Process $pid \(walsender, application "sub", user "\w+"\) has been idle in transaction/, 'walsender: named');
unlike($answer, qr/transaction began|pg_terminate_backend/, 'walsender: without what is not kept up to date');
mg_tell($sender, 'COMMIT;');
mg_close($sender);

# ---------------------------------------------------------------------
# pg_dump, which has locked some tables and waits for another
# ---------------------------------------------------------------------
my ($locker) = open_session();
my ($out, $err) = ('', '');

mg_tell($locker, "CREATE TABLE zz_last (a int);\nBEGIN;\nLOCK TABLE zz_last;");
my $dump;
{
	# which would take the place of its own name
	delete local $ENV{PGAPPNAME};
	$dump = IPC::Run::start([ $node->installed_command('pg_dump'), '-d', $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
}
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock'}),
	'pg_dump: it is under way');
$answer = names($alter,
	qr/Process \d+ \(application "pg_dump", user "\w+"\) has been running a query for .* \(wait event Lock: relation\)/,
	'pg_dump: named');
unlike($answer, qr/pg_terminate_backend/, 'pg_dump: nobody is told to end it');
mg_tell($locker, 'COMMIT;');
ok(IPC::Run::finish($dump), 'pg_dump: has come to its end');
mg_close($locker);
silent($alter, 'pg_dump: gone');

# ---------------------------------------------------------------------
# autovacuum, of its own accord and against wraparound; slowed down
# ---------------------------------------------------------------------
foreach my $case ([ 'autovacuum', 'autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0' ],
	[ 'wraparound', 'autovacuum_enabled = off, autovacuum_freeze_max_age = 100000' ])
{
	my ($name, $options) = @$case;

	mg_value($node, 'postgres', "CREATE TABLE av_$name (a int, b text); INSERT INTO av_$name SELECT g, repeat('x', 500) FROM generate_series(1, 20000) g; DELETE FROM av_$name WHERE a % 2 = 0; ALTER TABLE av_$name SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, $options); ALTER TABLE av_$name OWNER TO deployer");
}

# a hundred thousand transactions
mg_value($node, 'postgres', <<'EOM');
CREATE PROCEDURE burn(n int) LANGUAGE plpgsql AS
	$f$ BEGIN FOR i IN 1 .. n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $f$;
ALTER SYSTEM SET autovacuum = on;
ALTER SYSTEM SET synchronous_commit = off;
SELECT pg_reload_conf();
EOM
mg_value($node, 'postgres', 'CALL burn(110000)');
names(
	'ALTER TABLE av_autovacuum ADD x int',
	qr/Process \d+ \(autovacuum worker\) has been at work for .* on "autovacuum: VACUUM .*av_autovacuum.*", and the server cancels it for others/,
	'autovacuum: named');
$answer = names(
	'ALTER TABLE av_wraparound ADD x int',
	qr/Process \d+ \(autovacuum worker\) has been at work for .* on "autovacuum: VACUUM .*av_wraparound .*", and the server does not cancel it/,
	'autovacuum against wraparound: named');
unlike($answer, qr/pg_terminate_backend/, 'autovacuum against wraparound: nobody is told to end it');
$answer = said('ALTER TABLE av_wraparound ADD x int', user => 'other');
like($answer, qr/Process \d+ is in a transaction whose details are not visible to you/, 'autovacuum: not everybody sees what it is');
unlike($answer, qr/wraparound[^"]|autovacuum/, 'autovacuum: and nothing gives it away');

# who tries for a lock asks the one to make way, and leaves the other alone
my $workers = q{SELECT pid FROM pg_locks WHERE relation = 'av_wraparound'::regclass AND mode = 'ShareUpdateExclusiveLock' AND granted};
my $worker = mg_value($node, 'postgres', $workers);
my $patient = "SET deadlock_timeout = '100ms'; SET migration_guard.lock_timeout = '2s'; ALTER TABLE";

like($worker, qr/^\d+$/, 'autovacuum against wraparound: one worker');
$res = mg_psql($node, 'postgres', "$patient av_wraparound ADD x int");
mg_refused($res, '55P03', 'autovacuum against wraparound: is waited for, and time is up');
like($res->{err}, qr/^DETAIL: .*Process $worker .*prevents transaction ID wraparound\.$/m, 'autovacuum against wraparound: it is said why');
unlike($res->{err}, qr/pg_terminate_backend/, 'autovacuum against wraparound: and not to end it');
is(mg_value($node, 'postgres', $workers), $worker, 'autovacuum against wraparound: is still at work');
mg_passes(mg_psql($node, 'postgres', "$patient av_autovacuum ADD x int"), 'autovacuum: makes way');

$node->stop('immediate');
unlike(slurp_file($node->logfile), qr/TRAP:|cache lookup failed|leak(ed)?:|could not open relation with OID|PANIC|terminated by signal (6|11)/,
	'the server had nothing to complain about');

done_testing();
