# 060_restore.pl
#
# Restores are not migrations.  A restore builds its indexes
# in other transactions than its tables, on tables that are large by then: all
# ways of pg_dump, pg_restore and psql, with the library preloaded or not, by
# superusers and by others; what is documented for those that are not exempt
# by themselves; and who is exempt at all.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $off = '-c migration_guard.mode=off';
my $dir = PostgreSQL::Test::Utils::tempdir;

# The application name of the tools shall be their own.
delete $ENV{PGAPPNAME};

# Run a client program of the node as it is run by hand, with PGOPTIONS and a
# user; returns what it says on stderr, after a test that it succeeds, or that
# it fails if the name begins with "refused".
sub tool
{
	my ($node, $name, $options, $user, @cmd) = @_;
	my ($out, $err) = ('', '');
	my $program = $node->installed_command(shift @cmd);
	local %ENV = $node->_get_env(
		PGOPTIONS => $options || undef,
		PGUSER => $user || undef);

	my $ok = IPC::Run::run([ $program, @cmd ], '<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(300));
	if ($name =~ /^refused/)
	{
		ok(!$ok, $name) or diag($err);
	}
	else
	{
		ok($ok, $name) or diag($err);
	}
	return $err;
}

sub fresh
{
	my ($node, $db) = @_;

	mg_value($node, 'postgres', "DROP DATABASE IF EXISTS $db");
	mg_value($node, 'postgres', "CREATE DATABASE $db TEMPLATE template0 OWNER owner");
	return;
}

# The guard in a database.
sub guarded
{
	my ($node, $db, $name) = @_;

	is( mg_value($node, $db, <<'EOM'), "1.0\nmigration_guard|A|ddl_command_start\nmigration_guard_audit|A|table_rewrite\nt|f\nt", "$name: the extension is there");
SELECT extversion FROM pg_extension WHERE extname = 'migration_guard';
SELECT evtname, evtenabled, evtevent FROM pg_event_trigger ORDER BY 1;
SELECT has_function_privilege('keeper', 'migration_guard.stats_reset()', 'EXECUTE'), has_function_privilege('deployer', 'migration_guard.stats_reset()', 'EXECUTE');
SELECT has_table_privilege('pg_monitor', 'migration_guard.stats', 'SELECT');
EOM
	mg_refused(mg_psql($node, $db, "CREATE INDEX ON big (b);\n"), 'MG121', "$name: and guards");
	return;
}

my $expected;

sub restored
{
	my ($node, $db, $name) = @_;

	is(mg_contents($node, $db), $expected, "$name: everything is there");
	guarded($node, $db, $name);
	return;
}

# ---------------------------------------------------------------------
# what is dumped
# ---------------------------------------------------------------------
my $source = mg_node('source', preload => 'migration_guard');

mg_app($source);
mg_value($source, 'app', <<'EOM');
SET migration_guard.mode = 'off';
SET SESSION AUTHORIZATION owner;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE ids (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, p positive);
INSERT INTO ids (p) SELECT generate_series(1, 2000);
CREATE TABLE clustered AS SELECT * FROM big;
CREATE INDEX clustered_a ON clustered (a);
ALTER TABLE clustered CLUSTER ON clustered_a;
CREATE TABLE node (id int PRIMARY KEY, parent int REFERENCES node);
INSERT INTO node SELECT i, 1 FROM generate_series(1, 2000) i;
EOM
$expected = mg_contents($source, 'app');

tool($source, 'pg_dump, plain', '', '', 'pg_dump', '-f', "$dir/app.sql", '-d', 'app');
tool($source, 'pg_dump, custom', '', '', 'pg_dump', '-Fc', '-f', "$dir/app.dump", '-d', 'app');
tool($source, 'pg_dump, directory', '', '', 'pg_dump', '-Fd', '-j', 2, '-f', "$dir/app.dir", '-d', 'app');
tool($source, 'pg_dump, clean', '', '', 'pg_dump', '--clean', '--if-exists', '-f', "$dir/clean.sql", '-d', 'app');
tool($source, 'pg_dump, the tables alone, by their owner', '', 'owner', 'pg_dump', '-Fc', '-n', 'public', '-f', "$dir/public.dump", '-d', 'app');
tool($source, 'pg_dumpall', '', '', 'pg_dumpall', '-f', "$dir/all.sql");
tool($source, 'pg_dumpall, globals', '', '', 'pg_dumpall', '--globals-only', '-f', "$dir/globals.sql");

# ---------------------------------------------------------------------
# restores, by a superuser
# ---------------------------------------------------------------------
my $target = mg_node('target');
my $hint = qr/HINT:.*PGOPTIONS='-c migration_guard\.mode=off'/s;

tool($target, 'psql of the globals', '', '', 'psql', '-Xq', '-d', 'postgres', '-f', "$dir/globals.sql");

foreach my $way (
	[ 'not preloaded', "shared_preload_libraries = ''\nsession_preload_libraries = ''" ],
	[ 'session', "shared_preload_libraries = ''\nsession_preload_libraries = 'migration_guard'" ],
	[ 'shared', "shared_preload_libraries = 'migration_guard'\nsession_preload_libraries = ''" ])
{
	my ($preload, $conf) = @$way;

	$target->stop;
	$target->append_conf('postgresql.conf', $conf);
	$target->start;

	foreach my $case (
		[ 'pg_restore', '--exit-on-error', "$dir/app.dump" ],
		[ 'pg_restore -j 4', '-j', 4, '--exit-on-error', "$dir/app.dump" ],
		[ 'pg_restore -j 4 of a directory', '-j', 4, '--exit-on-error', "$dir/app.dir" ],
		[ 'pg_restore -1', '--single-transaction', "$dir/app.dump" ],
		[ 'pg_restore with SET SESSION AUTHORIZATION', '--exit-on-error', '--use-set-session-authorization', "$dir/app.dump" ])
	{
		my ($name, @args) = @$case;

		fresh($target, 'fresh');
		tool($target, "$preload: $name", '', '', 'pg_restore', '-d', 'fresh', @args);
		restored($target, 'fresh', "$preload: $name");
	}

	tool($target, "$preload: pg_restore --clean", '', '', 'pg_restore', '-d', 'fresh',
		'--clean', '--if-exists', '--exit-on-error', "$dir/app.dump");
	restored($target, 'fresh', "$preload: pg_restore --clean");

	mg_value($target, 'fresh', "SET migration_guard.mode = 'off';\nTRUNCATE big, medium, small, ref, parted, ids, clustered, node;");
	tool($target, "$preload: pg_restore --data-only", '', '', 'pg_restore', '-d', 'fresh',
		'--data-only', '--disable-triggers', '--exit-on-error', "$dir/app.dump");
	restored($target, 'fresh', "$preload: pg_restore --data-only");

	fresh($target, 'fresh');
	tool($target, "$preload: pg_restore --section=$_", '', '', 'pg_restore', '-d', 'fresh',
		"--section=$_", '--exit-on-error', "$dir/app.dump")
	  foreach qw(pre-data data post-data);
	restored($target, 'fresh', "$preload: pg_restore in sections");

	# with the settings of the database
	mg_value($target, 'postgres', 'DROP DATABASE IF EXISTS app');
	tool($target, "$preload: pg_restore --create", '', '', 'pg_restore', '-d', 'postgres',
		'--create', '--exit-on-error', "$dir/app.dump");
	restored($target, 'app', "$preload: pg_restore --create");
	is(mg_value($target, 'app', "SELECT * FROM migration_guard.check('');\nSHOW migration_guard.warn_rows;"),
		'150', "$preload: with the setting of the database");

	# psql is not exempt by itself, and says how
	fresh($target, 'fresh');
	my $err = tool($target, "refused: $preload: psql of a plain dump", '', '', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1',
		'-d', 'fresh', '-f', "$dir/app.sql");
	like($err, qr/ERROR:.*would block/, "$preload: psql of a plain dump is refused");
	like($err, $hint, "$preload: ... with the way to do it");

	fresh($target, 'fresh');
	tool($target, "$preload: psql with PGOPTIONS", $off, '', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1',
		'-d', 'fresh', '-f', "$dir/app.sql");
	restored($target, 'fresh', "$preload: psql with PGOPTIONS");

	tool($target, "$preload: psql of --clean with PGOPTIONS", $off, '', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1',
		'-d', 'fresh', '-f', "$dir/clean.sql");
	restored($target, 'fresh', "$preload: psql of --clean with PGOPTIONS");

	# in one transaction all tables are new
	fresh($target, 'fresh');
	tool($target, "$preload: psql -1", '', '', 'psql', '-Xq', '-1', '-v', 'ON_ERROR_STOP=1',
		'-d', 'fresh', '-f', "$dir/app.sql");
	restored($target, 'fresh', "$preload: psql -1");
}

# ---------------------------------------------------------------------
# by others
# ---------------------------------------------------------------------
sub owners_database
{
	fresh($target, 'fresh');
	mg_value($target, 'fresh', 'CREATE EXTENSION migration_guard');
	return;
}

my @tables = ('-d', 'fresh', '--no-acl', '-n', 'public', '--exit-on-error', "$dir/public.dump");

owners_database();
my $err = tool($target, 'refused: pg_restore by the owner', '', 'owner', 'pg_restore', @tables);

like($err, qr/ERROR:.*would block/, 'refused by the guard');
like($err, $hint, '... with the way to do it');

mg_value($target, 'postgres', 'GRANT SET ON PARAMETER migration_guard.mode TO owner');
owners_database();
tool($target, 'pg_restore by an owner who may set the mode', '', 'owner', 'pg_restore', @tables);
is(mg_contents($target, 'fresh'), $expected, '... restores everything');
mg_refused(mg_psql($target, 'fresh', "CREATE INDEX ON big (b);\n", user => 'owner'), 'MG121',
	'... and is guarded under another name');

mg_value($target, 'postgres', 'REVOKE SET ON PARAMETER migration_guard.mode FROM owner');

# as the owner, by a superuser
owners_database();
tool($target, 'pg_restore --role', '', '', 'pg_restore', '--role=owner', @tables);
is(mg_contents($target, 'fresh'), $expected, '... restores everything');

# ---------------------------------------------------------------------
# who is exempt
# ---------------------------------------------------------------------
my $ddl = 'CREATE INDEX ON big (b)';
my $try = "BEGIN;\n$ddl;\nROLLBACK;\n";

mg_value($target, 'postgres', <<'EOM');
CREATE ROLE switcher;
CREATE ROLE inherits LOGIN IN ROLE switcher, owner;
CREATE ROLE may_become LOGIN NOINHERIT IN ROLE switcher, owner;
GRANT SET ON PARAMETER migration_guard.mode TO switcher;
EOM
mg_value($target, 'fresh', <<'EOM');
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE FUNCTION by_superuser() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN CREATE INDEX by_superuser ON big (b); DROP INDEX by_superuser; END $$;
SET SESSION AUTHORIZATION owner;
CREATE FUNCTION by_owner() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN CREATE INDEX by_owner ON big (b); DROP INDEX by_owner; END $$;
CREATE FUNCTION ddl() RETURNS int LANGUAGE plpgsql AS $$ BEGIN SET application_name = 'pg_restore'; CREATE INDEX by_owner ON public.big (b); DROP INDEX public.by_owner; RETURN 1; END $$;
CREATE MATERIALIZED VIEW trap AS SELECT ddl() AS a WITH NO DATA;
EOM

# [who, statements, SQLSTATEs, options]
foreach my $case (
	[ 'superuser', $try, '' ],
	[ 'superuser, SET later', "SET application_name = 'pg_restore';\n$try", '', app => 'psql' ],
	[ 'superuser, similar name', $try, 'MG121', app => 'pg_restore2' ],
	[ 'superuser, in capitals', $try, 'MG121', app => 'PG_RESTORE' ],
	[ 'superuser, no name', "SET application_name = '';\n$try", 'MG121', app => 'psql' ],
	[ 'superuser, another list', "SET migration_guard.exempt_applications = 'load it, my tool ,x';\n$try", '', app => 'my tool' ],
	[ 'superuser, last of a list', "SET migration_guard.exempt_applications = 'load it', 'my tool';\n$try", '', app => 'my tool' ],
	[ 'superuser, not in the list', "SET migration_guard.exempt_applications = 'load it, my tool';\n$try", 'MG121' ],
	[ 'superuser, part of a name', "SET migration_guard.exempt_applications = 'load it, my tool';\n$try", 'MG121', app => 'my' ],
	[ 'superuser, empty list', "SET migration_guard.exempt_applications = '';\n$try", 'MG121' ],
	[ 'superuser as the owner', "SET ROLE owner;\n$try", '' ],
	[ 'superuser, session as the owner', "SET SESSION AUTHORIZATION owner;\n$try", '' ],
	[ 'owner', $try, 'MG121', user => 'owner' ],
	[ 'owner, SET later', "SET application_name = 'pg_restore';\n$try", 'MG121', user => 'owner', app => 'psql' ],
	[ 'owner sets the list', "SET migration_guard.exempt_applications = 'x';\n$try", '42501 MG121', user => 'owner' ],
	[ 'who inherits the right', $try, '', user => 'inherits' ],
	[ 'who could have the right', "SET ROLE owner;\n$try", 'MG121', user => 'may_become' ],
	[ 'who has taken the right', "SET ROLE switcher;\nSELECT 1;\nSET ROLE owner;\n$try", 'MG121', user => 'may_become' ],
	# code of others
	[ 'a function of a superuser', "SELECT by_superuser();\n", 'MG121', user => 'owner' ],
	[ 'a function of the owner, by a superuser', "SELECT by_owner();\n", 'MG121' ],
	[ 'a materialized view of the owner, by a superuser', "REFRESH MATERIALIZED VIEW trap;\n", 'MG121', app => 'psql' ],
	[ 'a materialized view of the owner, by a restore', "REFRESH MATERIALIZED VIEW trap;\n", 'MG121' ])
{
	my ($name, $sql, $states, %opt) = @$case;

	mg_refused(mg_psql($target, 'fresh', $sql, app => 'pg_restore', %opt), $states, "exempt? $name");
}
like( mg_psql($target, 'fresh', "SET client_min_messages = debug1;\n$try", app => 'pg_restore')->{err},
	qr/DEBUG:.*migration_guard does not judge/, 'an exempt session can be told why');
unlike(mg_psql($target, 'fresh', $try)->{err}, $hint, 'who restores nothing gets no such hint');

# ---------------------------------------------------------------------
# pg_dumpall into another cluster
# ---------------------------------------------------------------------
my $copy = mg_node('copy');

$err = tool($copy, 'psql of pg_dumpall', $off, '', 'psql', '-Xq', '-d', 'postgres', '-f', "$dir/all.sql");
is(scalar(grep { !/role "\w+" already exists/ } $err =~ /ERROR:.*/g), 0, '... without errors') or diag($err);
restored($copy, 'app', 'pg_dumpall');
is( mg_value($copy, 'app', <<'EOM'), "app||{migration_guard.warn_rows=150}\napp|deployer|{migration_guard.mode=warn}\n|deployer|{\"migration_guard.rules=create_index=warn, cluster=off\"}\nt|f", 'settings and grants have come along');
SELECT datname, rolname, setconfig FROM pg_db_role_setting
	LEFT JOIN pg_database d ON d.oid = setdatabase LEFT JOIN pg_roles r ON r.oid = setrole ORDER BY 1, 2 NULLS FIRST;
SELECT has_parameter_privilege('deployer', 'migration_guard.override', 'SET'), has_parameter_privilege('deployer', 'migration_guard.mode', 'SET');
EOM
mg_refused(mg_psql($copy, 'app', "CREATE INDEX ON big (b);\n", user => 'deployer'), '42501',
	'... and can be used');
$copy->stop;

$_->stop foreach $source, $target;
mg_quiet($_->name, $_) foreach $source, $target, $copy;

done_testing();
