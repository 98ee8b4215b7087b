# The five stories by Django: the project under test/django, `manage.py migrate`.
#
# Of each story the migration as people write it first is refused, with a
# message that Django shows and with nothing changed; its corrected form
# passes.  The role is an ordinary one that owns the database.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use lib "$FindBin::RealBin/../stories";
use PostgreSQL::Test::Utils;
use Story;
use Test::More;

my $python = $ENV{MG_TEST_PYTHON} // '/usr/bin/python3';
my $project = "$FindBin::RealBin/../django";
my $probe = q{import django, psycopg2; print('%d.%d' % django.VERSION[:2])};
my $version = qx{$python -c "$probe" 2>/dev/null};

chomp $version;
plan skip_all => "$python has no django and psycopg2" unless $version =~ /^\d+\.\d+$/;
note("Django $version");

my $node = server();

$ENV{PYTHONDONTWRITEBYTECODE} = 1;

# Run manage.py or report.py.  Returns exit code, stdout, stderr.
sub django
{
	my ($database, $line, @command) = @_;
	my $program = $command[0] =~ /\.py$/ ? shift @command : 'manage.py';
	my ($out, $err) = ('', '');
	my $ok;

	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGUSER} = 'deploy';
	local $ENV{PGDATABASE} = $database;
	local $ENV{MIGRATION_LINE} = $line;
	$ok = IPC::Run::run([ $python, "$project/$program", @command ], '>', \$out, '2>', \$err,
		IPC::Run::timeout(180));
	return ($ok ? 0 : 1, $out, $err);
}

# The same by report.py: what the server said, as a hash.
sub report
{
	my ($database, $line, @command) = @_;
	my ($rc, $out, $err) = django($database, $line, 'report.py', @command);

	return decode_json($out) if $out =~ /^\{/;
	return { ok => JSON::PP::false, message => $err, sqlstate => '' };
}

# What the server says to a migration all the same, in order: patterns.
our @hears;

sub migrates
{
	my ($name, $database, $line, @command) = @_;
	my $said = report($database, $line, 'migrate', @command);
	my @notices = grep { !/^NOTICE/ } @{ $said->{notices} // [] };

	ok($said->{ok}, "$name: passes") or diag(explain($said));
	is(scalar(@notices), scalar(@hears), "$name: and the server says no more than that")
	  or diag(@notices);
	like($notices[$_] // '', $hears[$_], "$name: the server says $hears[$_]") foreach 0 .. $#hears;
	return;
}

# What is said of the schema that these applications are to have: their large
# tables reference others without an index, and lose a column that was in use.
my %no_index = map { ($_ => qr/^WARNING: +ALTER TABLE would add a foreign key to "$_" without an index/) }
  qw(chat_message servers_server tickets_ticket);
my $drops = qr/^WARNING: +ALTER TABLE would remove column "location_name" of "servers_server", a table in use/;

# makemigrations finds nothing to add to this line.
sub models_agree
{
	my ($name, $database, $line, $app) = @_;
	my ($rc, $out, $err) =
	  django($database, $line, 'makemigrations', '--check', '--dry-run', $app);

	is($rc, 0, "$name: the migrations say what the models say") or diag($out . $err);
	return;
}

# The SQL of a migration, by Django's own account.
sub sqlmigrate
{
	my ($database, $line, $app, $migration) = @_;
	my ($rc, $out, $err) = django($database, $line, 'sqlmigrate', $app, $migration);

	is($rc, 0, "$app $line $migration: sqlmigrate") or diag($err);
	return $out;
}

# The number of a version such as 4.2, to compare.
sub number
{
	my ($major, $minor) = $_[0] =~ /(\d+)\.(\d+)$/;

	return $major * 1000 + $minor;
}

# The SQL is what this version of Django sends: emitted/ has a file for the
# first version that sends it so.
sub emits
{
	my ($name, $sql, $file) = @_;
	my ($kept) = sort { number($b) <=> number($a) }
	  grep { number($_) <= number($version) && -e "$_/$file.sql" } glob "$project/emitted/*";

	is($sql, slurp_file("$kept/$file.sql"), "$name: Django $version emits this SQL");
	return;
}

my @cases = (
	{
		app => 'chat',
		line => 'naive',
		migration => '0002_message_push_notification_token',
		rows => q{INSERT INTO chat_pushnotificationtoken (token)
				SELECT 't' || i FROM generate_series(1, 100) i;
			INSERT INTO chat_message (text, created_at)
				SELECT 'hello', now() FROM generate_series(1, 20000);},
		state => 'MG121',
		table => 'chat_message',
		message => qr/^CREATE INDEX on "chat_message" would block reads and writes\b/,
		detail => qr/AccessExclusiveLock .*since ALTER TABLE/s,
		hint => qr/CREATE INDEX CONCURRENTLY "?chat_message_push_notification_token_id_1ceb579c"? ON/,
		first => ['ALTER TABLE chat_message ADD COLUMN push_notification_token_id integer;'],
		psql => 'WARNING MG507, ERROR MG121',
		corrected => [ $no_index{chat_message} ],
		valid => [ 'chat_message_push_notification_to_1ceb579c_fk_chat_push' ],
	},
	{
		app => 'users',
		line => 'naive',
		migration => '0003_user_team_constraint',
		rows => q{INSERT INTO teams_team (name) SELECT 't' || i FROM generate_series(1, 50) i;
			INSERT INTO users_user (username) SELECT 'u' || i FROM generate_series(1, 20000) i;},
		state => 'MG105',
		table => 'users_user',
		message => qr/^ADD FOREIGN KEY to "users_user" would block writes\b/,
		detail => qr/ShareRowExclusiveLock/,
		hint => qr/NOT VALID;.*VALIDATE CONSTRAINT/s,
		valid => ['users_user_team_id_fk'],
	},
	{
		app => 'servers',
		line => 'naive',
		migration => '0004_server_location_required',
		rows => q{INSERT INTO servers_server (name, location_name)
			SELECT 's' || i, 'l' || i % 20 FROM generate_series(1, 20000) i;},
		state => 'MG111',
		table => 'servers_server',
		before => [ $no_index{servers_server} ],
		corrected => [$drops],
		message => qr/^SET NOT NULL on "servers_server" would block reads and writes\b/,
		detail => qr/AccessExclusiveLock/,
		hint => $node->pg_version >= 18
		? qr/NOT NULL "?location_id"? NOT VALID;.*VALIDATE CONSTRAINT/s
		: qr/CHECK \("?location_id"? IS NOT NULL\) NOT VALID;.*VALIDATE CONSTRAINT/s,
		valid => ['servers_server_location_id_f9a71620_fk_servers_location_id'],
	},
	{
		app => 'tickets',
		line => 'naive',
		migration => '0003_ticket_queue',
		rows => q{INSERT INTO tickets_queue (name) SELECT 'q' || i FROM generate_series(1, 10) i;
			INSERT INTO tickets_ticket (title) SELECT 't' || i FROM generate_series(1, 20000) i;},
		state => 'MG105',
		table => 'tickets_ticket',
		before => [ $no_index{tickets_ticket} ],
		corrected => [ $no_index{tickets_ticket} ],
		message => qr/^ADD FOREIGN KEY to "tickets_ticket" would block reads and writes\b/,
		detail => qr/AccessExclusiveLock/,
		hint => qr/NOT VALID/,
		valid => ['tickets_ticket_queue_id_fk'],
	},
	{
		app => 'tickets',
		line => 'naive_two',
		migration => '0003_ticket_queue',
		rows => q{INSERT INTO tickets_queue (name) SELECT 'q' || i FROM generate_series(1, 10) i;
			INSERT INTO tickets_ticket (title) SELECT 't' || i FROM generate_series(1, 20000) i;},
		state => 'MG105',
		table => 'tickets_ticket',
		before => [ $no_index{tickets_ticket} ],
		corrected => [ $no_index{tickets_ticket} ],
		message => qr/^ADD FOREIGN KEY to "tickets_ticket" would block reads and writes\b/,
		detail => qr/AccessExclusiveLock .*since ALTER TABLE/s,
		hint => qr/NOT VALID;.*VALIDATE CONSTRAINT/s,
		first => ['ALTER TABLE tickets_ticket ADD COLUMN queue_id integer DEFAULT 1 NOT NULL;'],
		valid => ['tickets_ticket_queue_id_fk'],
	},
	{
		app => 'ads',
		line => 'naive',
		migration => '0002_unique_ad_impression_date',
		rows => q{INSERT INTO ads_impressioncounter (ad_id, impression_date, impressions)
			SELECT i % 200, date '2020-01-01' + i / 200, 0 FROM generate_series(1, 20000) i;},
		state => 'MG107',
		table => 'ads_impressioncounter',
		message => qr/^ADD UNIQUE to "ads_impressioncounter" would block reads and writes\b/,
		detail => qr/AccessExclusiveLock/,
		hint => qr/CREATE UNIQUE INDEX CONCURRENTLY .*UNIQUE USING INDEX/s,
		valid => ['unique_ad_impression_date'],
	},
	{
		app => 'ads',
		line => 'naive_index',
		migration => '0002_impression_date_index',
		rows => q{INSERT INTO ads_impressioncounter (ad_id, impression_date, impressions)
			SELECT i % 200, date '2020-01-01' + i / 200, 0 FROM generate_series(1, 20000) i;},
		state => 'MG121',
		table => 'ads_impressioncounter',
		message => qr/^CREATE INDEX on "ads_impressioncounter" would block writes\b/,
		detail => qr/\bShareLock\b/,
		hint => qr/CREATE INDEX CONCURRENTLY "?ads_ic_date_idx"? ON/,
		valid => ['unique_ad_impression_date'],
	},
	{
		app => 'ads',
		line => 'naive_type',
		migration => '0002_impressions_bigint',
		rows => q{INSERT INTO ads_impressioncounter (ad_id, impression_date, impressions)
			SELECT i % 200, date '2020-01-01' + i / 200, 0 FROM generate_series(1, 20000) i;},
		state => 'MG112',
		table => 'ads_impressioncounter',
		message => qr/^ALTER COLUMN TYPE on "ads_impressioncounter" would block reads and writes\b/,
		detail => qr/AccessExclusiveLock/,
		hint => qr/\S/,
		valid => ['unique_ad_impression_date'],
	});

foreach my $case (@cases)
{
	my ($app, $line, $migration) = @$case{qw(app line migration)};
	my $name = "$app $line";
	my $database = "${app}_$line";
	my ($previous) = sprintf('%04d', substr($migration, 0, 4) - 1);
	my $applied = "SELECT string_agg(name, ',' ORDER BY id) FROM django_migrations WHERE app = '$app'";
	my ($sql, $before, $names, $rc, $out, $err, $said, $run);

	story($name, $database);

	# the tables, with rows in them; then as far as the naive line may go
	migrates("$name: 0001_initial", $database, $line, $app, '0001');
	run_sql($case->{rows}, must => 1);
	if ($previous ne '0001')
	{
		local @hears = @{ $case->{before} // [] };
		migrates("$name: up to $previous", $database, $line, $app, $previous);
	}

	# what Django sends
	$sql = sqlmigrate($database, $line, $app, $migration);
	emits($name, $sql, "$app-$line-$migration");

	# refused, as people see it and as programs do
	$before = fingerprint();
	$names = admin($applied);
	($rc, $out, $err) = django($database, $line, 'migrate', $app);
	is($rc, 1, "$name: migrate fails") or diag($out . $err);
	like($err, qr/^django\.db\.utils\.\w*Error: .*would block/m, "$name: Django shows the guard's message");
	like($err, qr/^DETAIL:  \S/m, "$name: Django shows the detail");
	like($err, qr/^HINT:  \S/m, "$name: Django shows the hint");
	is(fingerprint(), $before, "$name: nothing has changed");
	is(admin($applied), $names, "$name: no migration was recorded");
	unlike($names, qr/\Q$migration\E/, "$name: the refused one is not in django_migrations");

	$said = report($database, $line, 'migrate', $app);
	is($said->{sqlstate}, $case->{state}, "$name: SQLSTATE") or diag(explain($said));
	like($said->{exception}, qr/^django\.db\.utils\./, "$name: it is a database error of Django's");
	like($said->{$_} // '', $case->{$_}, "$name: $_") foreach qw(message detail hint);
	is($said->{schema}, 'public', "$name: schema field");
	is($said->{table}, $case->{table}, "$name: table field");
	is(fingerprint(), $before, "$name: still nothing has changed");

	# the same SQL by psql
	$run = run_sql($sql, go_on => 1);
	is(guard_says($run->{said}), $case->{psql} // "ERROR $case->{state}", "$name: psql with Django's SQL is refused as well");
	is(fingerprint(), $before, "$name: and nothing has changed");

	# what the hint says runs, after what stands before the refused statement
	$run = in_a_copy(join("\n", @{ $case->{first} // [] }, hint_sql($said->{hint})), 'enforce');
	is($run->{rc}, 0, "$name: the hint's SQL runs") or diag($run->{err} . $said->{hint});
	is(guard_says($run->{said}), '', "$name: and the guard lets it pass") or diag($run->{err});

	# the role cannot help itself
	{
		local $ENV{PGOPTIONS} = '-c migration_guard.mode=off';
		$said = report($database, $line, 'migrate', $app);
		# it is not loaded before the DDL, which then meets the attempt: permission denied
		is($said->{sqlstate}, '42501', "$name: PGOPTIONS does not switch the guard off");
	}
	is(fingerprint(), $before, "$name: nothing has changed after that");

	# the corrected line starts from where the naive one stopped
	{
		local @hears = @{ $case->{corrected} // [] };
		migrates("$name: corrected", $database, 'corrected', $app);
	}
	($rc, $out, $err) = django($database, 'corrected', 'migrate', '--check', $app);
	is($rc, 0, "$name: corrected: nothing is left to do") or diag($out . $err);
	models_agree("$name: corrected", $database, 'corrected', $app);
	value_is("corrected: constraint $_", "SELECT convalidated FROM pg_constraint WHERE conname = '$_'", 't')
	  foreach @{ $case->{valid} };
	value_is("corrected: the rows are there", "SELECT count(*) FROM $case->{table}", '20000');
	value_is("corrected: nothing is unfinished", 'SELECT count(*) FROM migration_guard.unfinished', '0');

	# the naive line itself is sound: with the guard off it passes
	story("$name, guard off", "${database}_off");
	migrates("$name: off: 0001_initial", "${database}_off", $line, $app, '0001');
	run_sql($case->{rows}, must => 1);
	admin("ALTER DATABASE ${database}_off SET migration_guard.mode = off");
	migrates("$name: off", "${database}_off", $line, $app);
	if ($line eq 'naive' || $line eq 'naive_two')
	{
		models_agree($name, "${database}_off", $line, $app);
	}
}

# ---- story 1 by a table of its own
story('chat through', 'chat_through');
migrates('chat through: 0001_initial', 'chat_through', 'through', 'chat', '0001');
run_sql($cases[0]{rows}, must => 1);
my $through = sqlmigrate('chat_through', 'through', 'chat', '0002_messagepush');
emits('chat through', $through, 'chat-through-0002_messagepush');
check_is('chat through: what Django emits', $through, []);
migrates('chat through', 'chat_through', 'through', 'chat');
models_agree('chat through', 'chat_through', 'through', 'chat');
value_is('the foreign keys are valid',
	q{SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated
	  AND conrelid = 'chat_messagepush'::regclass}, '2');

# ---- all corrected lines, one after the other, into one database
story('all corrected', 'all_corrected');
migrates("all corrected: $_->{app}: 0001_initial", 'all_corrected', 'corrected', $_->{app}, '0001')
  foreach grep { $_->{line} eq 'naive' } @cases;
run_sql($_->{rows}, must => 1) foreach grep { $_->{line} eq 'naive' } @cases;
{
	local @hears = ($no_index{chat_message}, $no_index{servers_server}, $drops, ($no_index{tickets_ticket}) x 2);
	migrates('all corrected', 'all_corrected', 'corrected');
}

# ---- Django's own applications
foreach my $strict (0, 1)
{
	my $database = "contrib_$strict";
	my $name = 'contrib, ' . ($strict ? 'thresholds at 0' : 'thresholds as they come');
	my $log;

	story($name, $database, thresholds => 0);
	if ($strict)
	{
		admin("ALTER DATABASE $database SET migration_guard.$_ = 0")
		  foreach qw(warn_rows block_rows);
	}
	$log = -s $node->logfile;
	local $ENV{DJANGO_SETTINGS_MODULE} = 'project.settings_contrib';
	migrates($name, $database, 'corrected');
	unlike(slurp_file($node->logfile, $log), qr/(?:WARNING|ERROR):  |would block/,
		"$name: nothing in the server's log");
	value_is("the tables are there",
		q{SELECT count(*) >= 10 FROM pg_tables WHERE schemaname = 'public'}, 't');
}

$node->stop;
done_testing();
