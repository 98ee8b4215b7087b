# 040_security.pl
#
# The owner of a table, with no further rights, tries to switch the guard off or
# to override it: by settings, wherever they can be made, and by what belongs
# to the extension.  Each attempt is a test.  At the end, who was given the right
# to override uses it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgSecurity;
use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = scene();

still_guarded('to begin with');

# ---------------------------------------------------------------------
# settings
# ---------------------------------------------------------------------
my @open = (
	[ 'mode', 'off' ],
	[ 'mode', 'log' ],
	[ 'mode', 'warn' ],
	[ 'block_rows', '-1' ],
	[ 'block_rows', '2147483647' ],
	[ 'rules', 'create_index=off' ],
	[ 'override', 'OPS-1234 I say so' ]);

# refused by the guard, or by core because of the setting
my $refused = qr/^(error|42501|MG121)$/;

foreach my $open (@open)
{
	my ($name, $value) = @$open;
	my $guc = "migration_guard.$name";
	my $what = "$name = '$value'";

	attempt("SET $what before loading", "SET $guc = '$value';\n$ddl;\n", [ 'MG121', '42501 MG121' ]);
	attempt("SET $what after loading", "$load;\nSET $guc = '$value';\n$ddl;\n", '42501 MG121');
	attempt("SET LOCAL $what", "BEGIN;\nSET LOCAL $guc = '$value';\n$ddl;\nROLLBACK;\n",
		[ 'MG121', '42501 25P02' ]);
	attempt("SET LOCAL $what after loading",
		"$load;\nBEGIN;\nSAVEPOINT s;\nSET LOCAL $guc = '$value';\nROLLBACK TO s;\n$ddl;\nROLLBACK;\n",
		'42501 MG121');
	attempt("SET SESSION $what, name in capitals",
		'SET SESSION "' . uc($guc) . "\" = '$value';\n$ddl;\n", [ 'MG121', '42501 MG121' ]);
	attempt("set_config $what", "SELECT set_config('$guc', '$value', false);\n$ddl;\n",
		[ 'MG121', '42501 MG121' ]);
	attempt("set_config $what, name in capitals",
		"SELECT set_config('" . uc($guc) . "', '$value', false);\n$ddl;\n",
		[ 'MG121', '42501 MG121' ]);
	attempt("set_config $what, local, in one statement with the DDL",
		"CREATE FUNCTION pg_temp.go() RETURNS void LANGUAGE plpgsql AS \$f\$ BEGIN EXECUTE '$ddl'; END \$f\$;\n"
		  . "SELECT set_config('$guc', '$value', true), pg_temp.go();\n",
		'42501');
	attempt("set_config $what in a DO block",
		"DO \$\$ BEGIN PERFORM set_config('$guc', '$value', false); EXECUTE '$ddl'; END \$\$;\n",
		[ 'MG121', '42501' ]);
	attempt("SET $what in a DO block, error caught",
		"DO \$\$ BEGIN BEGIN SET $guc = '$value'; EXCEPTION WHEN OTHERS THEN NULL; END; $ddl; END \$\$;\n",
		'MG121');
	attempt("SET $what in one query string with the DDL", "SET $guc = '$value'; $ddl",
		[ 'MG121', '42501' ], string => 1);
	attempt("SET $what, prepared before loading",
		"PREPARE p AS SELECT set_config('$guc', '$value', false);\nEXECUTE p;\n$load;\nEXECUTE p;\n$ddl;\n",
		[ '42501 MG121', '42501 42501 MG121' ]);
	# with some ways of loading, core refuses the connection instead
	attempt("PGOPTIONS $what", "$ddl;\n", $refused, options => "-c $guc=" . ($value =~ s/ /\\ /gr));
	attempt("PGOPTIONS $what, then RESET",
		"RESET ALL;\nDISCARD ALL;\n$ddl;\n", $refused,
		options => "-c $guc=" . ($value =~ s/ /\\ /gr));
	attempt("pg_settings $what",
		"$load;\nUPDATE pg_settings SET setting = '$value' WHERE name = '$guc';\n$ddl;\n", '42501 MG121');
	attempt("ALTER ROLE $what", "ALTER ROLE owner SET $guc = '$value';\n", '42501');
	attempt("ALTER ROLE $what after loading", "$load;\nALTER ROLE owner SET $guc = '$value';\n", '42501');
	attempt("ALTER ROLE IN DATABASE $what",
		"ALTER ROLE owner IN DATABASE lazy SET $guc = '$value';\nALTER ROLE owner IN DATABASE eager SET $guc = '$value';\n",
		'42501 42501');
	attempt("ALTER ROLE ALL $what", "ALTER ROLE ALL SET $guc = '$value';\n", '42501');
	attempt("ALTER ROLE $what by one who may create roles", "ALTER ROLE owner SET $guc = '$value';\n",
		'42501', user => 'dbowner');
	attempt("ALTER DATABASE $what by its owner",
		"ALTER DATABASE lazy SET $guc = '$value';\nALTER DATABASE eager SET $guc = '$value';\n",
		'42501 42501', user => 'dbowner');
	attempt("ALTER SYSTEM $what", "ALTER SYSTEM SET $guc = '$value';\n", '42501', user => 'dbowner');
	attempt("CREATE FUNCTION ... SET $what",
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql SET $guc = '$value' AS \$f\$ BEGIN $ddl; END \$f\$;\nSELECT f();\n",
		'42501 42883');
	attempt("ALTER FUNCTION ... SET $what",
		"CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE plpgsql AS \$f\$ BEGIN $ddl; END \$f\$;\nALTER FUNCTION pg_temp.f() SET $guc = '$value';\nSELECT pg_temp.f();\n",
		'42501 MG121');
	attempt("SECURITY DEFINER function, $what",
		"CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS \$f\$ BEGIN PERFORM set_config('$guc', '$value', false); END \$f\$;\n"
		  . "SELECT pg_temp.f();\n$ddl;\n",
		'42501 MG121');
	attempt("SET $what, then SET ROLE to one who might",
		"SET $guc = '$value';\nSET ROLE deployer;\nCREATE INDEX ON team_big (a);\n",
		[ 'MG121', '42501 MG121' ], user => 'mallory');
}
still_guarded('settings');

# what an administrator stored, the owner cannot take away
mg_value($node, 'postgres', <<'EOM');
ALTER DATABASE lazy SET migration_guard.block_rows = 500;
ALTER DATABASE eager SET migration_guard.block_rows = 500;
ALTER ROLE owner SET migration_guard.block_rows = 250;
EOM
attempt('ALTER ROLE RESET', "ALTER ROLE owner RESET migration_guard.block_rows;\n", '42501');
attempt('ALTER ROLE RESET ALL', "ALTER ROLE owner RESET ALL;\n", '');
attempt('ALTER DATABASE RESET by its owner',
	"ALTER DATABASE lazy RESET migration_guard.block_rows;\nALTER DATABASE eager RESET migration_guard.block_rows;\n",
	'42501 42501', user => 'dbowner');
attempt('ALTER DATABASE RESET ALL by its owner',
	"ALTER DATABASE lazy RESET ALL;\nALTER DATABASE eager RESET ALL;\n", '', user => 'dbowner');
attempt('ALTER DATABASE, preloading nothing, by its owner',
	"ALTER DATABASE eager SET session_preload_libraries = '';\nALTER DATABASE eager RESET session_preload_libraries;\n",
	'42501 42501', user => 'dbowner');
attempt('ALTER ROLE, preloading nothing', "ALTER ROLE owner SET session_preload_libraries = '';\n", '42501');
is( mg_value($node, 'postgres', q{SELECT string_agg(c, ' ' ORDER BY c) FROM pg_db_role_setting, unnest(setconfig) c}),
	'migration_guard.block_rows=250 migration_guard.block_rows=500 migration_guard.block_rows=500 session_preload_libraries=migration_guard',
	'stored settings are as the administrator left them');
attempt('a setting stored for the role counts', "CREATE INDEX ON public.medium (a);\n", 'MG121');
mg_value($node, 'postgres', <<'EOM');
ALTER DATABASE lazy RESET migration_guard.block_rows;
ALTER DATABASE eager RESET migration_guard.block_rows;
ALTER ROLE owner RESET migration_guard.block_rows;
EOM

# other ways to keep the library, the trigger or the hook away
attempt('PGOPTIONS, preloading nothing', "$ddl;\n", 'error', options => '-c session_preload_libraries=');
attempt('PGOPTIONS, replica role', "$ddl;\n", 'error', options => '-c session_replication_role=replica');
attempt('SET session_replication_role', "SET session_replication_role = 'replica';\n$ddl;\n", '42501 MG121');
attempt('LOAD another library', "LOAD 'pg_stat_statements';\n$ddl;\n", '42501 MG121');
attempt('LOAD the library itself', "LOAD 'migration_guard';\n$ddl;\n", '42501 MG121');
attempt('application_name of a restore', "$ddl;\n", 'MG121', app => 'pg_restore');
attempt('application_name set later', "SET application_name = 'pg_restore';\n$ddl;\n", 'MG121');
attempt('client_min_messages', "SET client_min_messages = 'error';\n$ddl;\n", 'MG121');
attempt('timeouts', "SET statement_timeout = 1000;\nSET lock_timeout = 1;\n$ddl;\n", 'MG121');
attempt('transaction isolation', "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\n$ddl;\nROLLBACK;\n", 'MG121');
attempt('planner settings',
	"SET enable_seqscan = off;\nSET max_parallel_maintenance_workers = 8;\nSET maintenance_work_mem = '64MB';\n$ddl;\n", 'MG121');

# ---------------------------------------------------------------------
# the extension's objects
# ---------------------------------------------------------------------
my @triggers = split /\n/,
  mg_value($node, 'lazy', q{SELECT quote_ident(evtname) FROM pg_event_trigger ORDER BY 1});

ok(scalar(@triggers), 'the extension has an event trigger');
is( mg_value($node, 'lazy', q{SELECT count(*) FROM pg_event_trigger WHERE evtenabled = 'D'}), '0',
	'the event trigger is enabled');

foreach my $user (qw(owner dbowner stranger))
{
	my @o = (user => $user);

	foreach my $t (@triggers)
	{
		attempt("$user: ALTER EVENT TRIGGER $t DISABLE", "ALTER EVENT TRIGGER $t DISABLE;\n", '42501', @o);
		attempt("$user: ALTER EVENT TRIGGER $t RENAME", "ALTER EVENT TRIGGER $t RENAME TO x;\n", '42501', @o);
		attempt("$user: ALTER EVENT TRIGGER $t OWNER", "ALTER EVENT TRIGGER $t OWNER TO $user;\n", '42501', @o);
		attempt("$user: DROP EVENT TRIGGER $t", "DROP EVENT TRIGGER $t;\n", '42501', @o);
		attempt("$user: ALTER EXTENSION DROP EVENT TRIGGER $t",
			"ALTER EXTENSION migration_guard DROP EVENT TRIGGER $t;\n", '42501', @o);
	}
	attempt("$user: DROP EXTENSION", "DROP EXTENSION migration_guard CASCADE;\n", '42501', @o);
	attempt("$user: ALTER EXTENSION UPDATE", "ALTER EXTENSION migration_guard UPDATE;\n", '42501', @o);
	attempt("$user: ALTER EXTENSION SET SCHEMA", "ALTER EXTENSION migration_guard SET SCHEMA public;\n", '42501', @o);
	attempt("$user: ALTER EXTENSION DROP FUNCTION",
		"ALTER EXTENSION migration_guard DROP FUNCTION migration_guard.check(text);\n", '42501', @o);
	attempt("$user: DROP SCHEMA", "DROP SCHEMA migration_guard CASCADE;\n", '42501', @o);
	attempt("$user: ALTER SCHEMA RENAME", "ALTER SCHEMA migration_guard RENAME TO x;\n", '42501', @o);
	attempt("$user: ALTER SCHEMA OWNER", "ALTER SCHEMA migration_guard OWNER TO $user;\n", '42501', @o);
	# core only warns that nothing was granted; has_schema_privilege() below
	attempt("$user: GRANT CREATE ON SCHEMA", "GRANT CREATE ON SCHEMA migration_guard TO $user;\n", '', @o);
	attempt("$user: CREATE SCHEMA again", "CREATE SCHEMA migration_guard;\n", $user eq 'stranger' ? '42501' : '42P06', @o);
	attempt("$user: CREATE TABLE in it", "CREATE TABLE migration_guard.x (a int);\n", '42501', @o);
	attempt("$user: CREATE FUNCTION in it",
		"CREATE FUNCTION migration_guard.helper() RETURNS int LANGUAGE sql AS 'SELECT 1';\n", '42501', @o);
	attempt("$user: CREATE OPERATOR in it",
		"CREATE OPERATOR migration_guard.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);\n", '42501', @o);
	attempt("$user: CREATE OR REPLACE of a function",
		"CREATE OR REPLACE FUNCTION migration_guard.check(sql text) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1, 2';\n",
		'42501', @o);
	attempt("$user: CREATE OR REPLACE of the view",
		"CREATE OR REPLACE VIEW migration_guard.rules AS SELECT 1;\n", '42501', @o);
	attempt("$user: DROP FUNCTION", "DROP FUNCTION migration_guard.check(text) CASCADE;\n", '42501', @o);
	attempt("$user: DROP VIEW", "DROP VIEW migration_guard.rules;\n", '42501', @o);
	attempt("$user: ALTER FUNCTION", "ALTER FUNCTION migration_guard.check(text) SET search_path = public;\n", '42501', @o);
	attempt("$user: ALTER FUNCTION RENAME", "ALTER FUNCTION migration_guard.check(text) RENAME TO x;\n", '42501', @o);
	attempt("$user: CREATE EVENT TRIGGER",
		"CREATE FUNCTION pg_temp.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';\nCREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION pg_temp.e();\n",
		'42501', @o);
	attempt("$user: GRANT SET ON PARAMETER", "GRANT SET ON PARAMETER migration_guard.mode TO $user;\n", '42501', @o);
	attempt("$user: DROP OWNED and REASSIGN OWNED",
		"REASSIGN OWNED BY CURRENT_USER TO $super;\nDROP OWNED BY $super;\n", '42501 42501', @o);
}
still_guarded('objects of the extension');
is( mg_value($node, 'lazy', q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'migration_guard'::regnamespace AND prosecdef}),
	'0', 'no function of the extension is SECURITY DEFINER');
is( mg_value($node, 'lazy', q{SELECT has_schema_privilege('stranger', 'migration_guard', 'USAGE'), has_schema_privilege('stranger', 'migration_guard', 'CREATE')}),
	't|f', 'everybody may use the schema, nobody may create in it');

# a schema that waits for the extension
mg_value($node, 'squat', <<'EOM', user => 'mallet');
CREATE SCHEMA migration_guard;
EOM
my $res = mg_psql($node, 'squat', 'CREATE EXTENSION migration_guard;');

diag("CREATE EXTENSION in somebody else's schema: " . (join(' ', mg_errors($res)) || 'done'));
mg_psql($node, 'squat', "DROP SCHEMA migration_guard CASCADE;\nCREATE SCHEMA migration_guard;\n", user => 'mallet');
mg_psql($node, 'squat',
	"CREATE OR REPLACE FUNCTION migration_guard.check(sql text) RETURNS int LANGUAGE sql AS 'SELECT 0';\nDROP FUNCTION migration_guard.explain(text);\n",
	user => 'mallet');
ok( mg_errors($res) || join(' ', mg_errors(mg_psql($node, 'squat', "$ddl;\n", user => 'owner'))) eq 'MG121',
	'the owner of a schema named migration_guard cannot take the extension in it away');

# ---------------------------------------------------------------------
# override, granted
# ---------------------------------------------------------------------
mg_value($node, 'postgres', 'GRANT SET ON PARAMETER migration_guard.override TO deployer');
foreach my $db (qw(lazy eager))
{
	my $offset = -s $node->logfile;
	my $reason = "OPS-1234 window of $db";

	my $res = mg_psql($node, $db, <<EOM, user => 'deployer');
BEGIN;
SET LOCAL migration_guard.override = '$reason';
CREATE INDEX team_big_a ON team_big (a);
COMMIT;
CREATE INDEX team_big_b ON team_big (b);
EOM
	mg_refused($res, 'MG121', "$db: override lasts for its transaction");
	is(mg_value($node, $db, q{SELECT count(*) FROM pg_class WHERE relname LIKE 'team\_big\__'}),
		'1', "$db: override: the statement ran, the one after it did not");

	my $log = slurp_file($node->logfile, $offset);

	is(scalar(() = $log =~ /\Q$reason\E/g), 1, "$db: override: the server log has its reason, once")
	  or diag($log);
	mg_value($node, $db, 'DROP INDEX team_big_a');
	foreach my $empty ('', '   ')
	{
		mg_refused(
			mg_psql($node, $db,
				"BEGIN;\nSET LOCAL migration_guard.override = '$empty';\nCREATE INDEX ON team_big (a);\nROLLBACK;\n",
				user => 'deployer'),
			'MG121', "$db: override '$empty' is none");
	}
	mg_refused(
		mg_psql($node, $db,
			"$load;\nSET migration_guard.override = E'OPS-1\\n2026-01-01 LOG:  all is well';\nCREATE INDEX ON team_big (a);\n",
			user => 'deployer'),
		'22023 MG121', "$db: override: no forged log lines");
	mg_refused(
		mg_psql($node, $db,
			"BEGIN;\nSAVEPOINT s;\nSET LOCAL migration_guard.override = 'x';\nROLLBACK TO s;\nCREATE INDEX ON team_big (a);\nROLLBACK;\n",
			user => 'deployer'),
		'MG121', "$db: override is undone by ROLLBACK TO");
	mg_refused(
		mg_psql($node, $db,
			"SET migration_guard.mode = 'off';\nSET migration_guard.block_rows = -1;\nSET migration_guard.rules = 'create_index=off';\nCREATE INDEX ON team_big (a);\n",
			user => 'deployer'),
		$db eq 'lazy' ? 'MG121' : '42501 42501 42501 MG121', "$db: who may override may not change the rules");
	mg_refused(
		mg_psql($node, $db,
			"SET ROLE deployer;\nSET migration_guard.override = 'as deployer';\nBEGIN;\nCREATE INDEX ON team_big (a);\nROLLBACK;\n",
			user => 'mallory'),
		'', "$db: override by SET ROLE");
	mg_refused(
		mg_psql($node, $db,
			"SET migration_guard.override = 'as mallory';\nSET ROLE deployer;\nCREATE INDEX ON team_big (a);\n",
			user => 'mallory'),
		$db eq 'lazy' ? 'MG121' : '42501 MG121', "$db: override set by one who may not, used by one who may");
}
mg_value($node, 'postgres', 'GRANT SET ON PARAMETER migration_guard.mode TO deployer');
attempt('mode, granted',
	"SET migration_guard.mode = 'off';\nBEGIN;\nCREATE INDEX ON team_big (a);\nROLLBACK;\n", '', user => 'deployer');
attempt('mode set by one who may not, used by one who may',
	"SET migration_guard.mode = 'off';\nSET ROLE deployer;\nCREATE INDEX ON team_big (a);\n",
	[ 'MG121', '42501 MG121' ], user => 'mallory');
mg_value($node, 'postgres', 'REVOKE SET ON PARAMETER migration_guard.mode, migration_guard.override FROM deployer');
attempt('override, revoked',
	"$load;\nSET migration_guard.override = 'x';\nCREATE INDEX ON team_big (a);\n", '42501 MG121', user => 'deployer');

scene_end();

# ---------------------------------------------------------------------
# shared_preload_libraries: the settings are known when a session starts
# ---------------------------------------------------------------------
my $shared = mg_node('shared', preload => 'migration_guard');

mg_value($shared, 'postgres', "CREATE ROLE owner LOGIN;\nGRANT CREATE ON SCHEMA public TO owner;\n");
mg_fixture($shared, 'postgres', 'owner');
foreach my $open (@open)
{
	my ($name, $value) = @$open;
	my $option = "-c migration_guard.$name=" . ($value =~ s/ /\\ /gr);

	mg_refused(mg_psql($shared, 'postgres', "$ddl;\n", user => 'owner', options => $option),
		'error', "shared preload: PGOPTIONS $name = '$value' is refused at once");
	mg_refused(mg_psql($shared, 'postgres', "SET migration_guard.$name = '$value';\n$ddl;\n", user => 'owner'),
		'42501 MG121', "shared preload: SET $name = '$value'");
	mg_refused(mg_psql($shared, 'postgres', "ALTER ROLE owner SET migration_guard.$name = '$value';\n", user => 'owner'),
		'42501', "shared preload: ALTER ROLE $name = '$value'");
}
mg_refused(mg_psql($shared, 'postgres', "$ddl;\n", user => 'owner'), 'MG121', 'shared preload: guarded to the end');

done_testing();

