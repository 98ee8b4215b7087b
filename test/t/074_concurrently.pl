# 074_concurrently.pl
#
# CONCURRENTLY and its leftovers: timeouts that cancel it half-way while it
# waits for others, invalid indexes that IF NOT EXISTS would skip, advice where
# core refuses it, and migration_guard.unfinished.  Every leftover is made for
# real, by killing or cancelling what would have finished; and every statement
# that is advised is executed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('concurrently', preload => 'migration_guard');
my $version = mg_value($node, 'postgres', 'SHOW server_version_num');

mg_fixture($node, 'postgres');
mg_value($node, 'postgres', <<'EOM');
SET migration_guard.mode = 'off';
CREATE EXTENSION migration_guard;
CREATE INDEX big_a ON big (a);
CREATE TABLE empty (id int, a int);
CREATE TABLE "Par ts" (k int, v int) PARTITION BY LIST (k);
CREATE TABLE "Par ts1" PARTITION OF "Par ts" FOR VALUES IN (1);
CREATE TABLE "Par ts2" PARTITION OF "Par ts" FOR VALUES IN (2) PARTITION BY LIST (k);
CREATE TABLE "Par ts2a" PARTITION OF "Par ts2" FOR VALUES IN (2);
INSERT INTO "Par ts" SELECT 1 + i % 2, i FROM generate_series(1, 4000) i;
CREATE TABLE "Odd ""one" ("I d" int, a int);
INSERT INTO "Odd ""one" SELECT i, i FROM generate_series(1, 2000) i;
ANALYZE;
EOM

my $s = mg_session($node, 'postgres', app => 'mg_judged');
my $holder = mg_session($node, 'postgres', app => 'mg_holder');
my $holder_pid = mg_tell($holder, 'SELECT pg_backend_pid();')->{out};
my $warned;

# The states of all warnings and errors of the guard or the server
sub states
{
	my ($res) = @_;

	return join ' ', map { $_->{state} } grep { $_->{severity} =~ /^(WARNING|ERROR|FATAL)$/ } @{ $res->{messages} };
}

# Let the holder hold something for longer than a moment
sub hold
{
	my ($sql) = @_;

	mg_passes(mg_tell($holder, "SET migration_guard.mode = 'off';\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n$sql"), "holder: $sql");
	mg_tell($holder, '\\! sleep 0.2');
	return;
}

sub release
{
	return mg_tell($holder, 'ROLLBACK;');
}

# Start a statement in a session of its own, and wait until it waits for a lock
sub start
{
	my ($sql, %opt) = @_;
	my $t = mg_session($node, 'postgres', app => 'mg_started');

	mg_tell($t, "SET migration_guard.mode = 'off';");
	$t->{pid} = mg_tell($t, 'SELECT pg_backend_pid();')->{out};
	$t->{in} .= "$sql;\n";
	IPC::Run::pump_nb($t->{h});
	ok( $node->poll_query_until('postgres',
			qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $t->{pid} AND wait_event_type = 'Lock'}),
		"waits: $sql")
	  if !$opt{quiet};
	return $t;
}

# Interrupt what start() has started
sub interrupt
{
	my ($t, $how) = @_;

	mg_value($node, 'postgres', "SELECT pg_${how}_backend($t->{pid})");
	if ($how eq 'cancel')
	{
		mg_tell($t, 'SELECT 1;');
		mg_close($t);
	}
	else
	{
		$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $t->{pid}");
		eval { IPC::Run::finish($t->{h}); };
	}
	return;
}

# Statements of a hint: each stands on a line of its own and ends with a semicolon
sub statements
{
	my ($hint) = @_;

	return grep { /;$/ } split /\n/, $hint;
}

sub hint
{
	my ($sql) = @_;

	return mg_tell($s, "SELECT hint FROM migration_guard.check(\$mg\$$sql\$mg\$);")->{out};
}

# ---------------------------------------------------------------------
# timeouts
# ---------------------------------------------------------------------
my $snapshot = 'SELECT count(*) FROM small;';
my $reader = 'SELECT count(*) FROM big;';
my $writer = 'UPDATE big SET b = b WHERE id = 1;';
my $lock_timeout = "SET lock_timeout = '300ms';";
my $create = 'CREATE INDEX CONCURRENTLY big_new ON big (b);';
my $drop = 'DROP INDEX CONCURRENTLY big_a;';
my $reindex = 'REINDEX INDEX CONCURRENTLY big_a;';
my $detach = 'ALTER TABLE "Par ts" DETACH PARTITION "Par ts1" CONCURRENTLY;';

mg_value($node, 'postgres', "$lock_timeout$create\nDROP INDEX CONCURRENTLY big_new;");

# [what is held, timeouts, statement, is it warned, words of the message]
my @timeouts = (
	[ $snapshot, $lock_timeout, $create, 1, qr/^CREATE INDEX CONCURRENTLY on "big" may be cancelled by "lock_timeout" and leave an invalid index behind$/ ],
	[ $snapshot, "SET statement_timeout = '5s';", $create, 1, qr/by "statement_timeout" and/ ],
	[ $snapshot, "SET lock_timeout = '1s'; SET statement_timeout = '5s';", $create, 1, qr/by "lock_timeout" or "statement_timeout" and/ ],
	[ $snapshot, 'SET lock_timeout = 0;', $create, 0 ],
	[ $snapshot, "SET idle_in_transaction_session_timeout = '1s';", $create, 0 ],
	[ $writer, $lock_timeout, $create, 1, qr/CREATE INDEX CONCURRENTLY on "big"/ ],
	[ $reader, $lock_timeout, $drop, 1, qr/^DROP INDEX CONCURRENTLY of "big_a" may be cancelled by "lock_timeout"/ ],
	[ $snapshot, $lock_timeout, $drop, 0 ],
	[ $reader, $lock_timeout, $reindex, 1, qr/^REINDEX CONCURRENTLY of "big_a" may be/ ],
	[ $snapshot, $lock_timeout, 'REINDEX TABLE CONCURRENTLY big;', 1, qr/^REINDEX CONCURRENTLY of "big" may be/ ],
	[ $snapshot, $lock_timeout, 'REINDEX SCHEMA CONCURRENTLY public;', 1, qr/^REINDEX CONCURRENTLY of/ ],
	[ 'SELECT count(*) FROM "Par ts";', $lock_timeout, $detach, 1, qr/^DETACH PARTITION CONCURRENTLY from "Par ts" may be .* leave a partition that is half detached behind$/ ],
	[ $snapshot, $lock_timeout, $detach, 0 ],
	[ $snapshot, $lock_timeout, 'CREATE INDEX ON small (a);', 0 ]);

push @timeouts, [ $snapshot, "SET transaction_timeout = '5s';", $create, 1, qr/by "transaction_timeout" and/ ]
  if $version >= 170000;
foreach my $case (@timeouts)
{
	my ($held, $settings, $sql, $expected, $words) = @$case;
	my $name = "$settings $sql";
	my $ask = "SELECT rule, message, detail, hint FROM migration_guard.check(\$mg\$$sql\$mg\$) WHERE rule <> 'lock_queue';";

	is(mg_tell($s, "$settings\n$ask")->{out}, '', "nobody is in the way: $name");
	hold($held);
	my $said = mg_tell($s, $ask)->{out};
	if (!$expected)
	{
		is($said, '', "nothing to say: $name");
	}
	else
	{
		my ($rule, $message, $detail, $hint) = split /\|/, $said;

		is($rule, 'concurrently_timeout', "warned: $name");
		like($message, $words, "message: $name");
		like($detail, qr/[Pp]rocess $holder_pid \(.*mg_holder.*idle in transaction/, "detail names the session: $name");
		like($detail, qr/"\w+_timeout" is \d+m?s\. /, "detail says the limit: $name");
		like($hint, qr/SET \w+_timeout = 0;$/m, "hint: $name");
	}
	release();
	mg_tell($s, "RESET lock_timeout; RESET statement_timeout; RESET idle_in_transaction_session_timeout;");
	mg_tell($s, 'RESET transaction_timeout;') if $version >= 170000;
}

# a script's own settings count; explain() says who is waited for in any case
hold($snapshot);
my $explained = "SELECT relation || ': ' || reason FROM migration_guard.explain(\$mg\$%s\$mg\$);";
like(mg_tell($s, sprintf($explained, $create))->{out},
	qr/^big: .*; it would wait for others: process $holder_pid \(.*mg_holder/, 'explain(): an older snapshot');
unlike(mg_tell($s, sprintf($explained, $drop))->{out}, qr/wait for others/, 'explain(): not in the way');
is(mg_tell($s, "SELECT statement, rule FROM migration_guard.check(\$\$SET lock_timeout = '5s'; CREATE INDEX CONCURRENTLY ON big (b); RESET lock_timeout; CREATE INDEX CONCURRENTLY ON big (b); SET statement_timeout = '5s'; CREATE INDEX CONCURRENTLY ON big (b)\$\$);")->{out},
	"2|concurrently_timeout\n6|concurrently_timeout", 'the settings of a script count');
is(mg_tell($s, 'SHOW lock_timeout;')->{out}, '0', 'and are gone afterwards');

# what happens to who does not heed it
my $res = mg_tell($s, "$lock_timeout\n$create");
is(states($res), 'MG602 55P03', 'a warning, and then the timeout strikes');
is(mg_tell($s, 'SELECT indisvalid FROM pg_index WHERE indexrelid = \'big_new\'::regclass;')->{out}, 'f', 'an invalid index is left behind');
($warned) = $res->{messages}[0]{text} =~ /^HINT:  (.*?)^[A-Z ]+:/ms;
mg_tell($s, 'RESET lock_timeout;');
release();
mg_tell($s, 'DROP INDEX CONCURRENTLY big_new;');

# and to who does
hold($snapshot);
mg_tell($s, "SET lock_timeout = '300ms';\nSET statement_timeout = '10s';");
my @advised = statements(hint($create));
is(join(' ', @advised), 'SET lock_timeout = 0; SET statement_timeout = 0;', 'what is advised');
my $t = start(join("\n", @advised) . "\n" . ($create =~ s/;$//r));
mg_tell($s, "\\! sleep 0.5");
release();
mg_passes(mg_tell($t, 'SELECT 1;'), 'the holder ends, and all is well');
is(mg_tell($t, q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'big_new'::regclass; DROP INDEX CONCURRENTLY big_new;})->{out}, 't', 'the index is valid');
mg_close($t);

# a prepared transaction; work that takes too long
mg_tell($s, 'RESET statement_timeout;');
mg_tell($holder, "SET migration_guard.mode = 'off';\nBEGIN;\n$writer\nPREPARE TRANSACTION 'pending';");
like(mg_tell($s, "SELECT detail FROM migration_guard.check('$create');")->{out}, qr/prepared transaction.*pending/i, 'a prepared transaction is in the way');
mg_tell($holder, "ROLLBACK PREPARED 'pending';");
like(mg_tell($s, "SET migration_guard.index_rate = 1;\nSET statement_timeout = '10s';\nSELECT message, detail FROM migration_guard.check(\$\$SET statement_timeout = 1; $create\$\$);")->{out},
	qr/by "statement_timeout" and.*The work itself is expected to take/, 'the work itself takes longer than statement_timeout');
is(mg_tell($s, "SELECT rule FROM migration_guard.check('$create');")->{out}, '', 'or it does not');
mg_tell($s, "RESET migration_guard.index_rate; RESET statement_timeout; RESET lock_timeout;");

# ---------------------------------------------------------------------
# IF NOT EXISTS meets an invalid index
# ---------------------------------------------------------------------
my $again = 'CREATE UNIQUE INDEX IF NOT EXISTS "Odd i" ON "Odd ""one" ("I d") WHERE a > 0;';
my $again_concurrently = $again =~ s/INDEX/INDEX CONCURRENTLY/r;

hold('INSERT INTO "Odd ""one" VALUES (0, 0);');
$t = start($again_concurrently =~ s/;$//r);

# it is still at work
$res = mg_tell($s, $again_concurrently);
is(states($res), 'MG601', 'an index that is being built: refused');
like($res->{err}, qr/what builds it may still be at work.*[Pp]rocess $t->{pid} /is, 'and it is said who builds it');
interrupt($t, 'terminate');
release();
foreach my $sql ($again, $again_concurrently)
{
	is(mg_tell($s, "SELECT verdict, rule, sqlstate, relation FROM migration_guard.check(\$mg\$$sql\$mg\$);")->{out},
		'block|invalid_index|MG601|"Odd i"', "check(): $sql");
	$res = mg_tell($s, $sql);
	is(states($res), 'MG601', "refused: $sql");
	like($res->{err}, qr/^HINT:  Run outside a transaction block:\nDROP INDEX CONCURRENTLY public\."Odd i";\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "Odd i" ON public\."Odd ""one" \("I d"\) WHERE a > 0;$/m, "advice: $sql");
}
like(hint("BEGIN; $again"), qr/^Commit first, /, 'in a transaction block');
mg_passes(mg_tell($s, $_), "advised: $_") foreach statements(hint($again));
mg_passes(mg_tell($s, $again), 'and then it exists');
is(mg_tell($s, q{SELECT indisvalid FROM pg_index WHERE indexrelid = '"Odd i"'::regclass;})->{out}, 't', 'and is valid');

# tables that do not matter
mg_tell($s, "SET migration_guard.mode = 'off';");
hold($snapshot);
foreach my $table ('empty')
{
	$t = start("CREATE INDEX CONCURRENTLY left_$table ON $table (a)");
	interrupt($t, 'cancel');
	mg_passes(mg_tell($s, "RESET migration_guard.mode; CREATE INDEX IF NOT EXISTS left_$table ON $table (a);"), "IF NOT EXISTS of an invalid index on $table passes");
	is(mg_tell($s, "SELECT verdict FROM migration_guard.check('CREATE INDEX IF NOT EXISTS left_$table ON $table (a)');")->{out}, '', "check() on $table");
}
release();
mg_value($node, 'postgres', 'DROP INDEX left_empty');
is(states(mg_tell($s, "SET migration_guard.rules = 'invalid_index=warn';\nRESET migration_guard.rules;")), '', 'the action can be changed');
is(states(mg_tell($s, "CREATE TEMP TABLE mine AS SELECT 1 AS a;\nCREATE UNIQUE INDEX mine_a ON mine (a);\nCREATE INDEX IF NOT EXISTS mine_a ON mine (a);")), '', 'a temporary table');

# a partitioned table, whose index lacks the partitions'
mg_value($node, 'postgres', q{CREATE INDEX "Par v" ON ONLY "Par ts" (v)});
is(states(mg_tell($s, 'CREATE INDEX IF NOT EXISTS "Par v" ON "Par ts" (v);')), 'MG601', 'an incomplete index of a partitioned table: refused');
mg_passes(mg_tell($s, $_), "advised: $_") foreach statements(hint('CREATE INDEX IF NOT EXISTS "Par v" ON "Par ts" (v)'));
is(mg_tell($s, q{SELECT count(*) FROM pg_index WHERE NOT indisvalid;})->{out}, '0', 'it is complete');
mg_passes(mg_tell($s, 'CREATE INDEX IF NOT EXISTS "Par v" ON "Par ts" (v);'), 'and IF NOT EXISTS passes');

# a part of it is there already; one was invalid when it was attached
mg_value($node, 'postgres', q{DROP INDEX "Par v"; CREATE INDEX "Par v" ON ONLY "Par ts" (v); CREATE INDEX "fits" ON "Par ts1" (v); CREATE INDEX "Par 2v" ON ONLY "Par ts2" (v); ALTER INDEX "Par v" ATTACH PARTITION "Par 2v"}, options => '-c migration_guard.mode=off');
is(join("\n", statements(hint('CREATE INDEX IF NOT EXISTS "Par v" ON "Par ts" (v)'))),
	qq{ALTER INDEX public."Par v" ATTACH PARTITION public.fits;\nCREATE INDEX CONCURRENTLY "Par ts2a_v_idx" ON public."Par ts2a" USING btree (v);\nALTER INDEX public."Par 2v" ATTACH PARTITION public."Par ts2a_v_idx";},
	'what is there is used');
mg_passes(mg_tell($s, $_), "advised: $_") foreach statements(hint('CREATE INDEX IF NOT EXISTS "Par v" ON "Par ts" (v)'));
is(mg_tell($s, q{SELECT count(*) FROM pg_index WHERE NOT indisvalid;})->{out}, '0', 'it is complete');
mg_value($node, 'postgres', q{DROP INDEX "Par v"});

# ---------------------------------------------------------------------
# what core refuses: its own error, and advice that is possible
# ---------------------------------------------------------------------
sub refused_by_core
{
	my ($sql, $state, $says, $run) = @_;

	foreach my $function ('check', 'explain')
	{
		$res = mg_tell($s, "SELECT * FROM migration_guard.$function(\$mg\$$sql\$mg\$);");
		is(states($res), $state, "$function(): core's own error: $sql");
		like($res->{err}, $says, "$function(): advice: $sql");
	}
	my ($advice) = $res->{err} =~ /HINT:  (.*?)^[A-Z ]+:/ms;
	$res = mg_tell($s, $sql);
	is(states($res), $state, "core refuses: $sql");
	is(scalar(grep { $_->{severity} eq 'NOTICE' && $_->{text} =~ $says } @{ $res->{messages} }), 1, "and the guard says what is possible: $sql")
	  or diag($res->{err});
	if ($run)
	{
		mg_passes(mg_tell($s, $_), "advised: $_") foreach statements($advice);
		mg_tell($s, 'RESET lock_timeout;');
	}
	return;
}
refused_by_core('CREATE UNIQUE INDEX CONCURRENTLY "Par kv" ON "Par ts" (k, v);', '0A000', qr/HINT:  Build it partition by partition, each statement in a transaction of its own:\nCREATE UNIQUE INDEX "Par kv" ON ONLY public\."Par ts" \(k, v\);/, 1);
is(mg_tell($s, q{SELECT indisvalid FROM pg_index WHERE indexrelid = '"Par kv"'::regclass;})->{out}, 't', 'the index is there');
refused_by_core('DROP INDEX CONCURRENTLY "Par kv";', '0A000', qr/HINT:  There is only the form that locks.*^DROP INDEX public\."Par kv";$/ms, 1);
refused_by_core('ALTER TABLE parted DETACH PARTITION parted_1 CONCURRENTLY;', '55000', qr/HINT:  There is only the form.*^ALTER TABLE public\.parted DETACH PARTITION public\.parted_1;$/ms, 1);
mg_value($node, 'postgres', q{ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES FROM (1) TO (2001)}, options => '-c migration_guard.mode=off');

# not one word about a small one
$res = mg_tell($s, "SET migration_guard.warn_rows = 1000000;\nSET migration_guard.block_rows = 1000000;\nCREATE INDEX CONCURRENTLY ON \"Par ts\" (v);");
unlike($res->{err}, qr/NOTICE/, 'a small table: core alone speaks');
mg_tell($s, 'RESET migration_guard.warn_rows; RESET migration_guard.block_rows;');

# in a transaction block
foreach my $sql ($create, $drop, $reindex, $detach)
{
	foreach my $form ([ "BEGIN;\n$sql\nROLLBACK;" ], [ "DO \$\$BEGIN EXECUTE '$sql'; END\$\$;" ], [ "SELECT 1; $sql", string => 1 ])
	{
		my ($script, %opt) = @$form;

		$res = mg_psql($node, 'postgres', $script, %opt);
		is(states($res), '25001', "core refuses: $script");
		is(scalar(grep { $_->{severity} eq 'NOTICE' && $_->{text} =~ /HINT:  Commit first\. It has to be a statement of its own/ } @{ $res->{messages} }), 1, "with advice: $script");
	}
	$res = mg_tell($s, "SELECT * FROM migration_guard.check(\$mg\$BEGIN; $sql\$mg\$);");
	is(states($res), '25001', "check(): $sql");
	like($res->{err}, qr/HINT:  Write it before BEGIN or after COMMIT/, "check(): advice: $sql");
	is(mg_tell($s, "BEGIN;\nSELECT count(*) FROM migration_guard.check(\$mg\$$sql\$mg\$);\nCOMMIT;")->{out}, '0', "check() itself may be called in one: $sql");
}

# ---------------------------------------------------------------------
# what is unfinished
# ---------------------------------------------------------------------
mg_tell($s, "SET migration_guard.mode = 'off';");
is(mg_tell($s, 'SELECT * FROM migration_guard.unfinished;')->{out}, '', 'nothing is unfinished so far');

sub unfinished
{
	my ($columns) = @_;

	return mg_tell($s, "SELECT $columns FROM migration_guard.unfinished ORDER BY kind COLLATE \"C\", object COLLATE \"C\";")->{out};
}

# Make it, and finish it step by step; make it again, and remove it.  Before it
# is finished, something may have to be repaired.
sub leftover
{
	my ($name, $make, $kind, %opt) = @_;
	my $finish = $opt{finish} // 1;
	my $steps = 0;

	foreach my $way ($finish ? 'finish' : (), $opt{remove} // 1 ? 'remove' : ())
	{
		$make->();
		my $rows = unfinished('kind');

		is($rows, $kind, "$name: listed") or diag(unfinished('*'));
		like(unfinished('reason'), $opt{reason}, "$name: reason") if $opt{reason};
		mg_passes(mg_tell($s, $opt{repair}), "$name: repaired") if $opt{repair} && $way eq 'finish';
		for ($steps = 0; $steps < 20 && unfinished('kind') ne ''; $steps++)
		{
			my ($sql) = grep { $_ ne '' } split /\n/, unfinished("${way}_sql");

			last if !defined $sql;
			mg_passes(mg_tell($s, "$sql;"), "$name: $sql") or last;
		}
		is(unfinished('*'), '', "$name: nothing left ($way)") or mg_tell($s, 'SELECT 1;');
		mg_tell($s, $opt{restore}) if $opt{restore};
	}
	return;
}

# a build that was killed while it waited for a snapshot
leftover('CREATE INDEX killed', sub {
	mg_tell($s, 'DROP INDEX IF EXISTS "Odd k";');
	hold($snapshot);
	interrupt(start('CREATE INDEX CONCURRENTLY "Odd k" ON "Odd ""one" (a, lower("I d"::text))'), 'terminate');
	release();
}, 'invalid index', reason => qr/^CREATE INDEX, REINDEX or DROP INDEX CONCURRENTLY did not finish/);

# one that failed
leftover('CREATE UNIQUE INDEX failed', sub {
	mg_tell($s, 'DROP INDEX IF EXISTS "Odd u"; INSERT INTO "Odd ""one" VALUES (1, -1);');
	mg_tell($s, 'CREATE UNIQUE INDEX CONCURRENTLY "Odd u" ON "Odd ""one" ("I d");');
}, 'invalid index', repair => 'DELETE FROM "Odd ""one" WHERE a < 0;', restore => 'DELETE FROM "Odd ""one" WHERE a < 0;');

# one that is at work
hold($snapshot);
$t = start('CREATE INDEX CONCURRENTLY "Odd w" ON "Odd ""one" (a)');
like(unfinished('reason'), qr/process $t->{pid} has the table locked and may still be at work on it/, 'a build at work');
release();
mg_passes(mg_tell($t, 'SELECT 1;'), 'which ends well');
is(unfinished('*'), '', 'a build that has ended is not listed');
mg_close($t);

# REINDEX, before and after the exchange: the new index, or the old one
foreach my $case ([ 'ccnew', $snapshot ], [ 'ccold', undef ])
{
	my ($suffix, $held) = @$case;

	leftover("REINDEX interrupted: $suffix", sub {
		if ($held)
		{
			hold($held);
			interrupt(start('REINDEX INDEX CONCURRENTLY "Odd w"'), 'terminate');
			release();
			return;
		}

		# a reader that comes after the build, so that only the end waits for it
		hold('UPDATE "Odd ""one" SET a = a WHERE "I d" = 1;');
		my $r = start('REINDEX INDEX CONCURRENTLY "Odd w"');
		my $late = mg_session($node, 'postgres', app => 'mg_late');

		mg_tell($late, "BEGIN;\nSELECT 1 FROM \"Odd \"\"one\" LIMIT 1;");
		release();
		ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_class WHERE relname = 'Odd w_ccold'}), 'exchanged');
		ok( $node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $r->{pid} AND wait_event_type = 'Lock'}), 'waits for the reader');
		interrupt($r, 'terminate');
		mg_tell($late, 'ROLLBACK;');
		mg_close($late);
	}, 'invalid index', finish => 0, reason => qr/^REINDEX CONCURRENTLY left it behind$/);
}

# the index of a TOAST table
leftover('REINDEX of a TOAST table interrupted', sub {
	hold($snapshot);
	my $toast = mg_value($node, 'postgres', q{SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'big'::regclass});

	interrupt(start("REINDEX TABLE CONCURRENTLY $toast"), 'terminate');
	release();
	is(unfinished('relation'), 'big', 'the table that it belongs to');
}, 'invalid index', finish => 0);

# DROP INDEX, in its first and in its second wait
leftover('DROP INDEX cancelled early', sub {
	mg_tell($s, 'CREATE INDEX IF NOT EXISTS "Odd d" ON "Odd ""one" (a);');
	hold('SELECT count(*) FROM "Odd ""one";');
	interrupt(start('DROP INDEX CONCURRENTLY "Odd d"'), 'cancel');
	release();
}, 'invalid index');
leftover('DROP INDEX cancelled late', sub {
	mg_tell($s, 'CREATE INDEX IF NOT EXISTS "Odd d" ON "Odd ""one" (a);');
	hold('SELECT count(*) FROM "Odd ""one";');
	my $d = start('DROP INDEX CONCURRENTLY "Odd d"');
	my $late = mg_session($node, 'postgres', app => 'mg_late');

	mg_tell($late, "BEGIN;\nSELECT 1 FROM \"Odd \"\"one\" LIMIT 1;");
	release();
	ok( $node->poll_query_until('postgres', q{SELECT NOT indislive FROM pg_index WHERE indexrelid = '"Odd d"'::regclass}), 'dead');
	interrupt($d, 'cancel');
	mg_tell($late, 'ROLLBACK;');
	mg_close($late);
}, 'invalid index', reason => qr/^DROP INDEX CONCURRENTLY did not finish/);

# partitions
leftover('DETACH cancelled', sub {
	mg_tell($s, q{ALTER TABLE "Par ts" ATTACH PARTITION "Par ts1" FOR VALUES IN (1);});
	hold('SELECT count(*) FROM "Par ts";');
	interrupt(start('ALTER TABLE "Par ts" DETACH PARTITION "Par ts1" CONCURRENTLY'), 'cancel');
	release();
}, 'detach pending', remove => 0, reason => qr/queries skip the partition/);
mg_tell($s, q{ALTER TABLE "Par ts" ATTACH PARTITION "Par ts1" FOR VALUES IN (1);});

my $partitioned = 'invalid partitioned index';

leftover('ON ONLY', sub { mg_tell($s, 'DROP INDEX IF EXISTS "Par 1"; CREATE INDEX "Par 1" ON ONLY "Par ts" (v DESC, lower(k::text)) WHERE v > 3;'); },
	$partitioned, reason => qr/^these partitions have no index attached to it: public\."Par ts1", public\."Par ts2"$/);
leftover('ON ONLY, UNIQUE', sub { mg_tell($s, 'DROP INDEX IF EXISTS "Par u"; CREATE UNIQUE INDEX "Par u" ON ONLY "Par ts" (k, v);'); }, $partitioned);
leftover('a constraint with ONLY', sub { mg_tell($s, 'ALTER TABLE "Par ts" DROP CONSTRAINT IF EXISTS "Par c"; ALTER TABLE ONLY "Par ts" ADD CONSTRAINT "Par c" UNIQUE (k, v);'); }, $partitioned);
mg_tell($s, 'ALTER TABLE "Par ts" ALTER k SET NOT NULL, ALTER v SET NOT NULL;');
leftover('a primary key with ONLY', sub { mg_tell($s, 'ALTER TABLE "Par ts" DROP CONSTRAINT IF EXISTS "Par p"; ALTER TABLE ONLY "Par ts" ADD CONSTRAINT "Par p" PRIMARY KEY (k, v);'); }, $partitioned);
leftover('an index that fits is there', sub { mg_tell($s, 'DROP INDEX IF EXISTS "Par 3"; CREATE INDEX IF NOT EXISTS fits ON "Par ts1" (v, k); CREATE INDEX "Par 3" ON ONLY "Par ts" (v, k);'); }, $partitioned);
mg_tell($s, 'DROP INDEX IF EXISTS fits;');
leftover('a partition index invalid when it was attached', sub {
	mg_tell($s, 'DROP INDEX IF EXISTS "Par 4"; ALTER TABLE "Par ts" DROP CONSTRAINT IF EXISTS "Par p", DROP CONSTRAINT IF EXISTS "Par c"; DROP INDEX IF EXISTS "Par u"; INSERT INTO "Par ts" VALUES (1, -1), (1, -1);');
	mg_tell($s, 'CREATE UNIQUE INDEX "Par 4" ON ONLY "Par ts" (k, v);');
	mg_tell($s, 'CREATE UNIQUE INDEX CONCURRENTLY leaf1 ON "Par ts1" (k, v);');
	mg_tell($s, 'ALTER INDEX "Par 4" ATTACH PARTITION leaf1;');
}, "invalid index\n$partitioned", repair => 'DELETE FROM "Par ts" WHERE v < 0;', restore => 'DELETE FROM "Par ts" WHERE v < 0;');

# constraints
leftover('CHECK NOT VALID', sub { mg_tell($s, 'ALTER TABLE "Odd ""one" DROP CONSTRAINT IF EXISTS "c k"; ALTER TABLE "Odd ""one" ADD CONSTRAINT "c k" CHECK (a > -5) NOT VALID;'); }, 'constraint not valid');
mg_tell($s, 'CREATE TABLE refs (id int); CREATE TABLE pk_parts (k int PRIMARY KEY) PARTITION BY LIST (k); CREATE TABLE pk_parts1 PARTITION OF pk_parts FOR VALUES IN (1);');
leftover('FOREIGN KEY NOT VALID', sub { mg_tell($s, 'ALTER TABLE refs DROP CONSTRAINT IF EXISTS fk; ALTER TABLE refs ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES big NOT VALID;'); }, 'constraint not valid');
leftover('FOREIGN KEY to a partitioned table', sub { mg_tell($s, 'ALTER TABLE refs DROP CONSTRAINT IF EXISTS pk; ALTER TABLE refs ADD CONSTRAINT pk FOREIGN KEY (id) REFERENCES pk_parts NOT VALID;'); }, 'constraint not valid');
leftover('a domain', sub { mg_tell($s, 'DROP DOMAIN IF EXISTS "Dom"; CREATE DOMAIN "Dom" AS int; ALTER DOMAIN "Dom" ADD CONSTRAINT "d c" CHECK (VALUE > 0) NOT VALID;'); }, 'domain constraint not valid');
if ($version >= 180000)
{
	leftover('NOT NULL NOT VALID', sub { mg_tell($s, 'ALTER TABLE refs DROP CONSTRAINT IF EXISTS nn; ALTER TABLE refs ADD CONSTRAINT nn NOT NULL id NOT VALID;'); }, 'constraint not valid');
	leftover('FOREIGN KEY NOT ENFORCED', sub { mg_tell($s, 'ALTER TABLE refs DROP CONSTRAINT IF EXISTS fke; ALTER TABLE refs ADD CONSTRAINT fke FOREIGN KEY (id) REFERENCES big NOT ENFORCED;'); },
		'constraint not enforced', reason => qr/^neither the rows/);
	leftover('CHECK NOT ENFORCED', sub { mg_tell($s, 'ALTER TABLE "Odd ""one" DROP CONSTRAINT IF EXISTS "c e"; ALTER TABLE "Odd ""one" ADD CONSTRAINT "c e" CHECK (a > -5) NO INHERIT NOT ENFORCED;'); }, 'constraint not enforced');

	# also of the partitions, each of which can be done by itself
	leftover('FOREIGN KEY NOT VALID of a partitioned table', sub { mg_tell($s, 'ALTER TABLE "Par ts" DROP CONSTRAINT IF EXISTS fp; ALTER TABLE "Par ts" ADD CONSTRAINT fp FOREIGN KEY (v) REFERENCES big NOT VALID; DELETE FROM "Par ts" WHERE v > 2000;'); },
		join("\n", ('constraint not valid') x 4));
}

# temporary tables of others are theirs
mg_tell($holder, "SET migration_guard.mode = 'off';\nCREATE TEMP TABLE theirs (id int);\nALTER TABLE theirs ADD CHECK (id > 0) NOT VALID;\nINSERT INTO theirs VALUES (1), (1);");
is(unfinished('*'), '', 'temporary tables of others are left out');
is(mg_tell($holder, 'SELECT kind FROM migration_guard.unfinished;')->{out}, 'constraint not valid', 'and theirs to see');

mg_close($holder);
mg_close($s);
$node->stop;

unlike(slurp_file($node->logfile), qr/TRAP:|cache lookup failed|leak(ed)?:|could not open relation with OID|PANIC|terminated by signal/,
	'the server had nothing to complain about');

done_testing();
