# 040_security.pl
#
# The owner of a table, with no further rights, tries to switch the guard off,
# to override it, or to make it look elsewhere; strangers try to learn
# something from it; and hostile expressions wait for a superuser to call
# explain() or check().  Each attempt is a test, made where the library is
# loaded by the event trigger in the middle of the session (database "lazy")
# and where it is preloaded ("eager").
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('security',
	conf => "allow_in_place_tablespaces = on\nlog_statement = none\n");
my $ddl = 'CREATE INDEX ON public.big (a)';
my $super = mg_value($node, 'postgres', 'SELECT current_user');

# owner     owns the tables, may create schemas and nothing else
# dbowner   owns the databases
# stranger  owns nothing, may create in public
# deployer  may set an override, is in the team that owns team_big
# mallory   may become deployer, inherits nothing
# mallet    waits for a superuser
mg_value($node, 'postgres', <<'EOM');
CREATE ROLE owner LOGIN;
CREATE ROLE dbowner LOGIN CREATEDB CREATEROLE;
CREATE ROLE stranger LOGIN;
CREATE ROLE team;
CREATE ROLE deployer LOGIN IN ROLE team;
CREATE ROLE mallory LOGIN NOINHERIT IN ROLE deployer;
CREATE ROLE mallet LOGIN;
CREATE DATABASE lazy OWNER dbowner TEMPLATE template0;
CREATE DATABASE eager OWNER dbowner TEMPLATE template0;
CREATE DATABASE free OWNER dbowner TEMPLATE template0;
CREATE DATABASE squat OWNER dbowner TEMPLATE template0;
CREATE TABLESPACE aside LOCATION '';
CREATE TABLESPACE elsewhere LOCATION '';
GRANT CREATE ON TABLESPACE elsewhere TO owner;
EOM

foreach my $db (qw(lazy eager free squat))
{
	mg_value($node, $db, <<EOM);
GRANT CREATE ON SCHEMA public TO owner, stranger, deployer, mallet, team;
GRANT CREATE ON DATABASE $db TO owner, mallet;
EOM
	mg_fixture($node, $db, 'owner');
	mg_value($node, $db, <<'EOM');
SET migration_guard.mode = 'off';
CREATE TABLE team_big AS SELECT * FROM big;
ALTER TABLE team_big OWNER TO team;
CREATE SCHEMA secret;
CREATE TABLE secret.t AS SELECT * FROM big;
ALTER TABLE secret.t ADD PRIMARY KEY (id);
CREATE TABLE others AS SELECT * FROM big;
ALTER TABLE others ADD PRIMARY KEY (id);
SET SESSION AUTHORIZATION owner;
CREATE TABLE half (a int);
RESET SESSION AUTHORIZATION;
CREATE TABLE half_kid () INHERITS (half);
INSERT INTO half_kid SELECT generate_series(1, 2000);
EOM
}
mg_value($node, 'lazy', 'CREATE EXTENSION migration_guard');
mg_value($node, 'eager', 'CREATE EXTENSION migration_guard');
mg_value($node, 'postgres', q{ALTER DATABASE eager SET session_preload_libraries = 'migration_guard'});

# Run a script as somebody; expect SQLSTATEs.  One expectation for both
# databases, or [lazy, eager].  Afterwards the guard still stands.
my @indexes = map { indexes($_) } qw(lazy eager);

sub indexes
{
	my ($db) = @_;

	return mg_value($node, $db,
		q{SELECT count(*) FROM pg_index WHERE indrelid::regclass::text IN ('big', 'medium', 'parted', 'team_big', 'ref')});
}

sub attempt
{
	my ($name, $sql, $states, %opt) = @_;
	my $i = 0;

	$opt{user} ||= 'owner';
	foreach my $db (qw(lazy eager))
	{
		my $expected = ref $states ? $states->[$i] : $states;
		my $res = mg_psql($node, $db, $sql, %opt);

		if (!mg_refused($res, $expected, "$db: $name"))
		{
			# so that one hole shows as one failure
			mg_psql($node, $db,
				"SET migration_guard.mode = 'off';\nALTER TABLE big DROP COLUMN IF EXISTS x;\n"
				  . "DROP INDEX IF EXISTS big_a_idx, team_big_a_idx, medium_a_idx;\n");
		}
		is(indexes($db), $indexes[$i], "$db: $name: no index came into being") if $opt{check_indexes};
		$i++;
	}
	return;
}

sub still_guarded
{
	my ($name) = @_;

	attempt("$name: a new session is guarded", "$ddl;\n", 'MG121', check_indexes => 1);
	return;
}

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
my $load = "CREATE TEMP TABLE n (a int)";

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
	attempt("PGOPTIONS $what", "$ddl;\n", 'MG121', options => "-c $guc=" . ($value =~ s/ /\\ /gr));
	attempt("PGOPTIONS $what, then RESET",
		"RESET $guc;\nRESET ALL;\nDISCARD ALL;\n$ddl;\n", [ 'MG121', '42501 MG121' ],
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
# names
# ---------------------------------------------------------------------
my $shadow = <<'EOM';
CREATE SCHEMA evil;
SET search_path = evil, pg_catalog;
CREATE TABLE evil.log (what text);
CREATE FUNCTION evil.int4(text) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('int4'); RETURN 0; END $f$;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('lower'); RETURN ''; END $f$;
CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('current_setting'); RETURN 'off'; END $f$;
CREATE FUNCTION evil.current_setting(text, bool) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('current_setting'); RETURN 'off'; END $f$;
CREATE FUNCTION evil.pg_relation_size(regclass) RETURNS bigint LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('pg_relation_size'); RETURN 0; END $f$;
CREATE FUNCTION evil.lie(text, text) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('='); RETURN false; END $f$;
CREATE FUNCTION evil.lie(oid, oid) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('='); RETURN false; END $f$;
CREATE FUNCTION evil.lie(name, name) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('='); RETURN false; END $f$;
CREATE FUNCTION evil.lie(int, int) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.log VALUES ('='); RETURN false; END $f$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.lie);
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.lie);
CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.lie);
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.lie);
CREATE OPERATOR evil.>= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.lie);
CREATE TABLE evil.pg_class (oid oid, relname name, reltuples float4);
CREATE TABLE evil.pg_index (indexrelid oid, indisvalid bool);
CREATE TABLE evil.pg_namespace (oid oid, nspname name);
CREATE TABLE evil.pg_settings (name text, setting text);
CREATE TABLE evil.rules (name text);
CREATE TYPE evil.regclass AS (a int);
CREATE DOMAIN evil.bigint AS text;
CREATE TYPE evil.interval AS (a int);
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC;
EOM
foreach my $db (qw(lazy eager))
{
	my $out = mg_psql($node, $db, $shadow, user => 'owner');

	is(join(' ', mg_errors($out)), '', "$db: shadow schema made") or diag($out->{err});
}
my $path = "SET search_path = evil, pg_temp, pg_catalog, public";

attempt('shadowed names: CREATE INDEX', "$path;\n$ddl;\n", 'MG121', check_indexes => 1);
attempt('shadowed names: ALTER TABLE',
	"$path;\nALTER TABLE public.big ALTER a TYPE pg_catalog.int8;\nALTER TABLE public.big ALTER a SET NOT NULL;\nALTER TABLE public.big ADD UNIQUE (a);\n",
	'MG112 MG111 MG107');
attempt('shadowed names: preload in the same session', "$path;\n$load;\nVACUUM FULL public.big;\n", 'MG123');
attempt('empty search_path', "SET search_path = '';\n$ddl;\n", 'MG121');
attempt('search_path of nothing that exists', "SET search_path = nowhere;\n$ddl;\n", 'MG121');
foreach my $db (qw(lazy eager))
{
	foreach my $user ('owner', $super)
	{
		my @user = (user => $user);

		is( mg_value($node, $db,
				"$path;\nSELECT pg_catalog.count(*), pg_catalog.min(sqlstate) FROM migration_guard.check('$ddl');\n"
				  . "SELECT lock_mode, blocks, rows OPERATOR(pg_catalog.>) 1000 FROM migration_guard.explain('$ddl');\n"
				  . "SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 20 FROM migration_guard.rules;\n", @user),
			"1|MG121\nShareLock|writes|t\nt",
			"$db: shadowed names: explain(), check() and rules, called by $user");
	}
	is(mg_value($node, $db, 'SELECT count(*) FROM evil.log'), '0', "$db: shadowed names: nothing of it was called");
}
attempt('temporary functions and tables of the same names',
	"CREATE TEMP TABLE pg_class (relname name);\nCREATE TEMP TABLE pg_index (a int);\nCREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS 'SELECT 1';\nSET search_path = pg_temp, pg_catalog, public;\n$ddl;\n",
	'MG121');

# a temporary table of the same name is another table
attempt('temporary table of the same name, the other one named',
	"CREATE TEMP TABLE big (a int);\n$ddl;\n", 'MG121');
attempt('temporary table of the same name, dropped again',
	"CREATE TEMP TABLE big (a int);\nDROP TABLE big;\nCREATE INDEX ON big (a);\n", 'MG121');
attempt('temporary table of the same name, in a path that finds it last',
	"CREATE TEMP TABLE big (a int);\nSET search_path = public, pg_temp;\nCREATE INDEX ON big (a);\n", 'MG121');
attempt('temporary table of the same name, itself',
	"CREATE TEMP TABLE big (a int);\nINSERT INTO big SELECT generate_series(1, 5000);\nCREATE INDEX ON big (a);\nSELECT 1/count(*) FROM pg_index WHERE indrelid = 'pg_temp.big'::regclass;\n", '');
attempt('table of the same name in another schema',
	"CREATE SCHEMA mine;\nCREATE TABLE mine.big (a int);\nSET search_path = mine, public;\nCREATE INDEX ON big (a);\n$ddl;\nDROP SCHEMA mine CASCADE;\n",
	'MG121');
@indexes = map { indexes($_) } qw(lazy eager);
attempt('quoted names', qq{BEGIN;\nALTER TABLE big RENAME TO "b""i;g";\nCREATE INDEX ON "b""i;g" (a);\nROLLBACK;\n}, 'MG121');

# renaming
attempt('renamed in the same transaction',
	"BEGIN;\nALTER TABLE big RENAME TO tiny;\nCREATE INDEX ON tiny (a);\nROLLBACK;\n", 'MG121');
attempt('renamed before',
	"ALTER TABLE big RENAME TO tiny;\nCREATE INDEX ON tiny (a);\nALTER TABLE tiny RENAME TO big;\n", 'MG121');
attempt('renamed, and a new table takes the name',
	"BEGIN;\nALTER TABLE big RENAME TO tiny;\nCREATE TABLE big (a int);\nCREATE INDEX ON big (a);\nCREATE INDEX ON tiny (a);\nROLLBACK;\n", 'MG121');
attempt('column renamed',
	"BEGIN;\nALTER TABLE big RENAME a TO z;\nALTER TABLE big ALTER z TYPE bigint;\nROLLBACK;\n", 'MG112');
attempt('moved to another schema',
	"BEGIN;\nCREATE SCHEMA mine;\nALTER TABLE big SET SCHEMA mine;\nCREATE INDEX ON mine.big (a);\nROLLBACK;\n", 'MG121');
attempt('moved to the temporary schema', "CREATE TEMP TABLE n (a int);\nALTER TABLE big SET SCHEMA pg_temp;\n", '0A000');

# ---------------------------------------------------------------------
# looking small, new or empty
# ---------------------------------------------------------------------
attempt('altered in this transaction is not new',
	"BEGIN;\nALTER TABLE big ADD x int;\nALTER TABLE big ALTER a SET DEFAULT 1;\n$ddl;\nROLLBACK;\n", 'MG121');
attempt('parent made in this transaction, large child',
	"BEGIN;\nCREATE TABLE n (a int);\nALTER TABLE big INHERIT n;\nALTER TABLE n ALTER a TYPE bigint;\nROLLBACK;\n", 'MG112');
attempt('parent made before, large child',
	"BEGIN;\nCREATE TABLE n (a int);\nCOMMIT;\nALTER TABLE big INHERIT n;\nALTER TABLE n ADD CHECK (a > 0);\nALTER TABLE big NO INHERIT n;\nDROP TABLE n;\n", 'MG104');
attempt('partitioned table made in this transaction, large partition attached',
	"BEGIN;\nCREATE TABLE n (id int NOT NULL, a int, b text, ts timestamp) PARTITION BY RANGE (id);\nALTER TABLE n ATTACH PARTITION big FOR VALUES FROM (1) TO (9999);\nROLLBACK;\n", 'MG117');
attempt('... default partition attached',
	"BEGIN;\nCREATE TABLE n (id int NOT NULL, a int, b text, ts timestamp) PARTITION BY RANGE (id);\nCREATE INDEX ON n (a);\nALTER TABLE n ATTACH PARTITION big DEFAULT;\nROLLBACK;\n", 'MG118');
attempt('foreign key from a table made in this transaction is no work',
	"BEGIN;\nCREATE TABLE n (id int REFERENCES big);\nALTER TABLE n ADD FOREIGN KEY (id) REFERENCES big;\nROLLBACK;\n", '');
attempt('statistics of the time when it was empty',
	"CREATE TABLE lie (a int);\nVACUUM ANALYZE lie;\nINSERT INTO lie SELECT generate_series(1, 5000);\nCREATE INDEX ON lie (a);\nDROP TABLE lie;\n", 'MG121');
attempt('statistics of the time when it was small',
	"CREATE TABLE lie (a int);\nINSERT INTO lie SELECT generate_series(1, 10);\nVACUUM ANALYZE lie;\nINSERT INTO lie SELECT generate_series(1, 5000);\nCREATE INDEX ON lie (a);\nDROP TABLE lie;\n", 'MG121');
attempt('no statistics at all',
	"CREATE TABLE lie (a int);\nINSERT INTO lie SELECT generate_series(1, 5000);\nCREATE INDEX ON lie (a);\nDROP TABLE lie;\n", 'MG121');
attempt('truncated, then filled in the same transaction',
	"CREATE TABLE lie (a int);\nBEGIN;\nTRUNCATE lie;\nINSERT INTO lie SELECT generate_series(1, 5000);\nCREATE INDEX ON lie (a);\nROLLBACK;\nDROP TABLE lie;\n", 'MG121');
attempt('truncated, filled, committed',
	"CREATE TABLE lie (a int);\nINSERT INTO lie VALUES (1);\nANALYZE lie;\nBEGIN;\nTRUNCATE lie;\nINSERT INTO lie SELECT generate_series(1, 5000);\nCOMMIT;\nCREATE INDEX ON lie (a);\nDROP TABLE lie;\n", 'MG121');
attempt('savepoints',
	"BEGIN;\nSAVEPOINT a;\nCREATE TABLE n (a int);\nSAVEPOINT b;\nROLLBACK TO a;\nRELEASE a;\n$ddl;\nROLLBACK;\n", 'MG121');
attempt('materialized view',
	"CREATE MATERIALIZED VIEW mv AS SELECT * FROM big;\nCREATE INDEX ON mv (a);\nDROP MATERIALIZED VIEW mv;\n", 'MG121');

# ---------------------------------------------------------------------
# doing the same by another statement
# ---------------------------------------------------------------------
attempt('ALTER TABLE under another name', "ALTER INDEX big_pkey SET TABLESPACE elsewhere;\nALTER TABLE big_pkey SET TABLESPACE elsewhere;\n", 'MG116 MG116');
attempt('ALTER TABLE ALL IN TABLESPACE',
	"ALTER TABLE ALL IN TABLESPACE pg_default OWNED BY owner SET TABLESPACE elsewhere;\nALTER INDEX ALL IN TABLESPACE pg_default OWNED BY owner SET TABLESPACE elsewhere;\n", 'MG116 MG116');
attempt('CREATE SCHEMA with an element that reads a default partition',
	"CREATE SCHEMA mine CREATE TABLE n PARTITION OF public.parted FOR VALUES FROM (7000) TO (8000);\n", 'MG120');
attempt('VACUUM FULL of everything', "$load;\nVACUUM FULL;\n", 'MG123');
attempt('CLUSTER of everything',
	"ALTER TABLE big CLUSTER ON big_pkey;\nCLUSTER;\nALTER TABLE big SET WITHOUT CLUSTER;\n", 'MG124');
attempt('REINDEX SCHEMA',
	"CREATE SCHEMA mine;\nCREATE TABLE mine.t AS SELECT * FROM big;\nBEGIN;\nALTER TABLE mine.t ADD PRIMARY KEY (id);\nROLLBACK;\nCREATE UNIQUE INDEX CONCURRENTLY ON mine.t (id);\nREINDEX SCHEMA mine;\nDROP SCHEMA mine CASCADE;\n", 'MG108 MG122');
attempt('subcommand after harmless ones',
	"ALTER TABLE big ALTER a SET STATISTICS 10, ALTER b SET STORAGE plain, ALTER a SET DEFAULT 1, ADD CHECK (a > 0);\n", 'MG104');
attempt('in a view\'s function', <<"EOM", 'MG121');
CREATE FUNCTION pg_temp.go() RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN $ddl; RETURN 1; END \$f\$;
BEGIN;
CREATE VIEW pg_temp.v AS SELECT pg_temp.go();
SELECT * FROM pg_temp.v;
ROLLBACK;
EOM
attempt('in a default that is evaluated by ALTER TABLE', <<"EOM", 'MG121');
CREATE FUNCTION go() RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN $ddl; RETURN 1; END \$f\$;
CREATE TABLE q AS SELECT 1 AS a;
ALTER TABLE q ADD b int DEFAULT go();
DROP TABLE q;
DROP FUNCTION go();
EOM
attempt('in a deferred trigger', <<"EOM", 'MG121');
CREATE FUNCTION go() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN $ddl; RETURN NULL; END \$f\$;
CREATE TABLE q (a int);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON q DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION go();
BEGIN;
INSERT INTO q VALUES (1);
COMMIT;
DROP TABLE q;
DROP FUNCTION go();
EOM
attempt('as SECURITY DEFINER', <<"EOM", 'MG121');
CREATE FUNCTION go() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS \$f\$ BEGIN EXECUTE '$ddl'; END \$f\$;
SELECT go();
DROP FUNCTION go();
EOM
foreach my $db (qw(lazy eager))
{
	mg_value($node, $db, <<'EOM', user => 'owner');
CREATE FUNCTION public.definer(q text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN EXECUTE q; END $f$;
EOM
}
attempt('as SECURITY DEFINER, called by somebody else', "SELECT definer('$ddl');\n", 'MG121', user => 'stranger');
attempt('as SECURITY DEFINER, switching off for a superuser',
	"SELECT definer('SET migration_guard.mode = off');\n$ddl;\n", [ 'MG121', '42501 MG121' ], user => $super);
attempt('as SECURITY DEFINER, switching off for a superuser, after loading',
	"$load;\nSELECT definer('SET migration_guard.mode = off');\n$ddl;\n", '42501 MG121', user => $super);
attempt('SET ROLE', "SET ROLE deployer;\nCREATE INDEX ON team_big (a);\n", 'MG121', user => 'mallory');
attempt('SET ROLE and back', "SET ROLE deployer;\nRESET ROLE;\nCREATE INDEX ON team_big (a);\n", '42501', user => 'mallory');
still_guarded('other ways');

# Expressions that fail while they are looked at, and work when the statement
# runs: what cannot be known is taken for work.
foreach my $db (qw(lazy eager))
{
	mg_value($node, $db, <<'EOM', user => 'owner');
CREATE FUNCTION shy_now() RETURNS void LANGUAGE plpgsql AS
	$f$ BEGIN CREATE TEMP TABLE IF NOT EXISTS shy (a int); END $f$;
CREATE FUNCTION shy(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	$f$ BEGIN PERFORM shy_now(); RETURN $1; END $f$;
CREATE TABLE shy_t (a int NOT NULL, b int, CHECK (shy(1) > 0));
INSERT INTO shy_t SELECT i, i FROM generate_series(1, 2000) i;
CREATE TABLE shy_p (a int NOT NULL, b int) PARTITION BY RANGE (a);
EOM
}
attempt('shy expression in USING', "ALTER TABLE big ALTER a TYPE bigint USING a + shy(1);\n", 'MG112');
attempt('shy expression beside a volatile default', "ALTER TABLE big ADD x float DEFAULT shy(1) + random();\n", 'MG101');
attempt('shy expression in a generated column', "ALTER TABLE big ADD x int GENERATED ALWAYS AS (a + shy(1)) STORED;\n", 'MG101');
attempt('shy expression in a CHECK that stands', "ALTER TABLE shy_t ALTER b SET NOT NULL;\n", 'MG111');
attempt('shy expression in a new CHECK', "ALTER TABLE big ADD CHECK (shy(1) > 0);\n", 'MG104');
attempt('shy expression in an index', "CREATE INDEX ON big ((a + shy(1)));\nCREATE INDEX ON big (a) WHERE shy(1) > 0;\n", 'MG121 MG121');
attempt('shy expression in a partition bound', "ALTER TABLE shy_p ATTACH PARTITION shy_t FOR VALUES FROM (shy(1)) TO (9999);\n", 'MG117');

# ---------------------------------------------------------------------
# override, granted
# ---------------------------------------------------------------------
mg_value($node, 'postgres', 'GRANT SET ON PARAMETER migration_guard.override TO deployer');
foreach my $db (qw(lazy eager))
{
	my $offset = -s $node->logfile;
	my $reason = "OPS-1234 window of $db";

	$res = mg_psql($node, $db, <<EOM, user => 'deployer');
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
@indexes = map { indexes($_) } qw(lazy eager);

# ---------------------------------------------------------------------
# core's permission errors come first, and say what they always say
# ---------------------------------------------------------------------
foreach my $db (qw(lazy eager free))
{
	mg_value($node, $db, 'REVOKE CREATE ON SCHEMA public FROM mallet');
	mg_value($node, $db, <<'EOM');
SET migration_guard.mode = 'off';
CREATE TABLE mallets AS SELECT * FROM big;
ALTER TABLE mallets OWNER TO mallet;
EOM
}
my @denied = (
	[ 'stranger', 'CREATE INDEX ON big (a)' ],
	[ 'stranger', 'CREATE INDEX IF NOT EXISTS big_pkey ON big (a)' ],
	[ 'stranger', 'CREATE INDEX ON parted (v)' ],
	[ 'stranger', 'ALTER TABLE big ADD x int' ],
	[ 'stranger', 'ALTER TABLE big ALTER a TYPE bigint' ],
	[ 'stranger', 'ALTER TABLE big ALTER a SET NOT NULL' ],
	[ 'stranger', 'ALTER TABLE big ADD UNIQUE (a)' ],
	[ 'stranger', 'ALTER TABLE parted_1 ALTER v SET NOT NULL' ],
	[ 'stranger', 'ALTER INDEX big_pkey SET TABLESPACE aside' ],
	[ 'stranger', 'DROP TABLE big' ],
	[ 'stranger', 'DROP INDEX big_pkey' ],
	[ 'stranger', 'REINDEX TABLE big' ],
	[ 'stranger', 'REINDEX INDEX big_pkey' ],
	[ 'stranger', 'CLUSTER big USING big_pkey' ],
	[ 'stranger', 'CREATE TABLE n PARTITION OF parted FOR VALUES FROM (7000) TO (8000)' ],
	[ 'stranger', 'ALTER TABLE parted ATTACH PARTITION big DEFAULT' ],
	[ 'stranger', 'ALTER TABLE secret.t ALTER a TYPE bigint' ],
	[ 'stranger', 'ALTER TABLE secret.nothere ALTER a TYPE bigint' ],
	[ 'stranger', 'CREATE INDEX ON secret.t (a)' ],
	[ 'stranger', 'CREATE INDEX ON secret.nothere (a)' ],
	[ 'stranger', 'DROP TABLE secret.t' ],
	[ 'stranger', 'REINDEX TABLE secret.t' ],
	[ 'stranger', 'ALTER TABLE pg_class ADD x float DEFAULT random()' ],
	[ 'mallet', 'CREATE INDEX ON mallets (a)' ],
	[ 'owner', 'ALTER TABLE ref ADD FOREIGN KEY (id) REFERENCES others' ],
	[ 'owner', 'ALTER TABLE ref ADD FOREIGN KEY (id) REFERENCES secret.t' ],
	[ 'owner', 'ALTER TABLE half ALTER a TYPE bigint' ],
	[ 'owner', 'ALTER TABLE half ADD CHECK (a > 0)' ],
	[ 'owner', 'ALTER TABLE big SET TABLESPACE aside' ],
	[ 'owner', 'CREATE INDEX ON big (a) TABLESPACE aside' ],
	[ 'owner', 'ALTER TABLE parted ATTACH PARTITION others DEFAULT' ],
	[ 'owner', 'CREATE INDEX ON pg_catalog.pg_class (relpages)' ],
	[ $super, 'ALTER TABLE pg_catalog.pg_class ADD x float DEFAULT random()' ],
);

foreach my $case (@denied)
{
	my ($user, $sql) = @$case;
	my $core = mg_psql($node, 'free', "$sql;\n", user => $user);
	my ($said) = map { $_->{text} } @{ $core->{messages} };

	$said =~ s/\nLOCATION:.*//s;
	mg_refused($core, '42501', "without the guard, $user: $sql");
	foreach my $db (qw(lazy eager))
	{
		my $r = mg_psql($node, $db, "$sql;\n", user => $user);

		mg_refused($r, '42501', "$db: core's error, $user: $sql");
		like($r->{err}, qr/\Q$said\E/, "$db: core's words, $user: $sql");
	}
}

# explain() and check() answer the same to who may not run it
my %words = (
	big => qr/must be owner of (table|relation) big\b/,
	secret => qr/permission denied for schema secret\b/);

foreach my $db (qw(lazy eager))
{
	foreach my $fn (qw(explain check))
	{
		foreach my $case (grep { $_->[0] eq 'stranger' && $_->[1] =~ /^(CREATE INDEX ON|ALTER TABLE) (big|secret\.\w+)\b/ } @denied)
		{
			my ($user, $sql) = @$case;
			my ($on) = $sql =~ /\b(big|secret)\b/;
			my $r = mg_psql($node, $db, "SELECT * FROM migration_guard.$fn(\$mg\$$sql\$mg\$);\n", user => $user);

			mg_refused($r, '42501', "$db: $fn() by one who may not run it: $sql");
			like($r->{err}, $words{$on}, "$db: $fn() says why: $sql");
			unlike($r->{err} =~ s/^LOCATION:.*$//mr . $r->{out}, qr/2000|rows|\bkB\b|bytes/, "$db: $fn() says nothing else: $sql");
		}
		my $r = mg_psql($node, $db, "SELECT * FROM migration_guard.$fn('CREATE INDEX ON nowhere (a)');\n", user => 'stranger');

		mg_refused($r, '42P01', "$db: $fn() of a table that is not there");
		$r = mg_psql($node, $db,
			"SELECT * FROM migration_guard.$fn('CREATE TABLE n (a int); ALTER TABLE n ADD b int; CREATE INDEX ON big (a)');\n",
			user => 'stranger');
		mg_refused($r, '42501', "$db: $fn() of a script with one statement that may not be run");
	}
}

# ---------------------------------------------------------------------
# hostile expressions and a superuser who only looks
# ---------------------------------------------------------------------
my $trap = <<'EOM';
CREATE SCHEMA mal;
BEGIN;
CREATE TABLE mal.log (who text, did text);
CREATE TABLE mal.armed (really bool);
CREATE FUNCTION mal.act() RETURNS bool LANGUAGE plpgsql AS
	$f$
	DECLARE
		super bool := (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user);
	BEGIN
		IF NOT EXISTS (SELECT FROM mal.armed) THEN
			RETURN true;
		END IF;
		RAISE WARNING 'mg-probe: user % superuser %', current_user, super;
		INSERT INTO mal.log VALUES (current_user, 'insert');
		BEGIN
			CREATE TEMP TABLE mal_temp (a int);
			RAISE WARNING 'mg-probe: temporary table made by %', current_user;
		EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN
			EXECUTE format('SET ROLE %I', (SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10));
			RAISE WARNING 'mg-probe: became %', current_user;
		EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN
			RESET SESSION AUTHORIZATION;
			RAISE WARNING 'mg-probe: became % again', current_user;
		EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN
			ALTER ROLE mallet SUPERUSER;
			RAISE WARNING 'mg-probe: mallet is superuser';
		EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN
			PERFORM set_config('migration_guard.mode', 'off', false);
			RAISE WARNING 'mg-probe: switched off';
		EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN
			PERFORM set_config('search_path', 'mal', false);
		EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN
			EXECUTE 'CREATE FUNCTION mal.later() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RAISE WARNING ''''mg-probe: deferred''''; RETURN NULL; END''';
			EXECUTE 'CREATE CONSTRAINT TRIGGER later AFTER INSERT ON mal.log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mal.later()';
			INSERT INTO mal.log VALUES (current_user, 'deferred');
		EXCEPTION WHEN OTHERS THEN NULL; END;
		RETURN true;
	END
	$f$;
CREATE FUNCTION mal.f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	$f$ BEGIN PERFORM mal.act(); RETURN $1; END $f$;
CREATE FUNCTION mal.v(int) RETURNS int LANGUAGE plpgsql VOLATILE AS
	$f$ BEGIN PERFORM mal.act(); RETURN $1; END $f$;
CREATE FUNCTION mal.ok(int) RETURNS bool LANGUAGE plpgsql AS
	$f$ BEGIN RETURN mal.act(); END $f$;
CREATE DOMAIN mal.dom AS int DEFAULT mal.f(1);
CREATE DOMAIN mal.checked AS int CHECK (mal.ok(VALUE));
CREATE TYPE mal.comp AS (a mal.checked);
CREATE TABLE mal.t (a int, b int, c text, CONSTRAINT proof CHECK (mal.f(1) > 0 AND b IS NOT NULL));
INSERT INTO mal.t SELECT i, i, i FROM generate_series(1, 2000) i;
CREATE INDEX t_expr ON mal.t ((a + mal.f(1)));
CREATE INDEX t_pred ON mal.t (a) WHERE mal.f(1) > 0;
CREATE TABLE mal.p (a int NOT NULL, b int, c text) PARTITION BY RANGE (a);
CREATE TABLE mal.p_1 PARTITION OF mal.p FOR VALUES FROM (1) TO (3000);
CREATE TABLE mal.p_rest PARTITION OF mal.p DEFAULT;
ALTER TABLE mal.p_rest ADD CHECK (mal.f(1) > 0);
INSERT INTO mal.p SELECT i, i, i FROM generate_series(1, 6000) i;
CREATE INDEX p_1_expr ON mal.p_1 ((a + mal.f(1)));
CREATE TABLE mal.q (a int, b int, c text, CHECK (mal.f(1) > 0 AND a IS NOT NULL AND a >= 7000 AND a < 8000));
INSERT INTO mal.q SELECT i, i, i FROM generate_series(7000, 7900) i;
INSERT INTO mal.armed VALUES (true);
COMMIT;
EOM
my @traps = (
	'ALTER TABLE mal.t ADD x int DEFAULT mal.f(1)',
	'ALTER TABLE mal.t ADD x int DEFAULT mal.v(1)',
	'ALTER TABLE mal.t ADD x int DEFAULT mal.f(1) + random()::int',
	'ALTER TABLE mal.t ADD x mal.dom',
	'ALTER TABLE mal.t ADD x mal.checked',
	'ALTER TABLE mal.t ADD x mal.checked DEFAULT 1',
	q{ALTER TABLE mal.t ADD x mal.checked[] DEFAULT '{1}'},
	q{ALTER TABLE mal.t ADD x mal.comp DEFAULT '(1)'},
	'ALTER TABLE mal.t ADD x int GENERATED ALWAYS AS (a + mal.f(1)) STORED',
	'ALTER TABLE mal.t ADD x int CHECK (mal.f(1) > 0)',
	'ALTER TABLE mal.t ALTER a SET NOT NULL',
	'ALTER TABLE mal.t ALTER b SET NOT NULL',
	'ALTER TABLE mal.t ADD PRIMARY KEY (b)',
	'ALTER TABLE mal.t ALTER a TYPE bigint',
	'ALTER TABLE mal.t ALTER a TYPE bigint USING mal.f(1)',
	'ALTER TABLE mal.t ALTER a TYPE int USING mal.f(a)',
	'ALTER TABLE mal.t ALTER a TYPE mal.checked',
	q{ALTER TABLE mal.t ALTER c TYPE mal.checked[] USING '{1}'},
	'ALTER TABLE mal.t ALTER a SET DEFAULT mal.f(1)',
	q{ALTER TABLE mal.t ALTER c SET DEFAULT '{1}'::mal.checked[]::text},
	'ALTER TABLE mal.t ADD CHECK (mal.f(1) > 0)',
	'ALTER TABLE mal.t ADD EXCLUDE (a WITH =) WHERE (mal.f(1) > 0)',
	'ALTER TABLE mal.t SET UNLOGGED',
	'CREATE INDEX ON mal.t ((mal.f(1) + a))',
	'CREATE INDEX ON mal.t (a) WHERE mal.f(1) > 0',
	'CREATE INDEX ON mal.p ((a + mal.f(1)))',
	'CREATE INDEX ON mal.p (a)',
	'ALTER TABLE mal.p ATTACH PARTITION mal.q FOR VALUES FROM (7000) TO (8000)',
	'ALTER TABLE mal.p ATTACH PARTITION mal.q FOR VALUES FROM (mal.f(7000)) TO (mal.v(8000))',
	'CREATE TABLE mal.p_2 PARTITION OF mal.p FOR VALUES FROM (mal.f(7000)) TO (mal.v(8000))',
	'CREATE TABLE mal.p_2 PARTITION OF mal.p FOR VALUES FROM (7000) TO (8000)',
	'REINDEX TABLE mal.t',
	'CLUSTER mal.t USING t_expr',
	'VACUUM FULL mal.t',
	'DROP TABLE mal.t',
	'ALTER TABLE mal.t VALIDATE CONSTRAINT proof',
	'CREATE TABLE mal.n (LIKE mal.t INCLUDING ALL); ALTER TABLE mal.n ALTER b SET NOT NULL',
);
my $after = <<'EOM';
SELECT 'log ' || count(*) FROM mal.log;
SELECT 'superuser ' || rolsuper FROM pg_roles WHERE rolname = 'mallet';
SELECT 'temp ' || count(*) FROM pg_class WHERE relname = 'mal_temp';
SELECT 'trigger ' || count(*) FROM pg_trigger WHERE tgname = 'later';
SELECT 'user ' || current_user, 'session ' || session_user;
SHOW migration_guard.mode;
SHOW search_path;
EOM
my $clean = qq{log 0\nsuperuser false\ntemp 0\ntrigger 0\nuser $super|session $super\nenforce\n"\$user", public};

foreach my $db (qw(lazy eager))
{
	my $made = mg_psql($node, $db, $trap, user => 'mallet');

	is(join(' ', mg_errors($made)), '', "$db: the trap is set") or diag($made->{err});
	$made = mg_psql($node, $db, "BEGIN;\nALTER TABLE mal.q ADD x int DEFAULT mal.f(1);\nROLLBACK;\n", user => 'mallet');
	like($made->{err}, qr/mg-probe: user mallet superuser f/, "$db: the trap works for its owner");

	foreach my $sql (@traps)
	{
		foreach my $how (
			[ 'explain()', "SELECT count(*) >= 0 FROM migration_guard.explain(\$mg\$$sql\$mg\$);\n" ],
			[ 'check()', "SELECT count(*) >= 0 FROM migration_guard.check(\$mg\$$sql\$mg\$);\n" ],
			[
				'check() in a transaction',
				"BEGIN;\nSELECT count(*) >= 0 FROM migration_guard.check(\$mg\$$sql\$mg\$);\nCOMMIT;\n"
			])
		{
			my ($name, $call) = @$how;
			my $r = mg_psql($node, $db, $call . $after);

			$r->{out} =~ s/^t\n//;
			is($r->{out}, $clean, "$db: trap: $name leaves nothing behind: $sql");
			unlike($r->{err}, qr/superuser t|temporary table made|became|switched off|is superuser|deferred/,
				"$db: trap: $name is nobody: $sql");
			is(join(' ', mg_errors($r)), '', "$db: trap: $name raises nothing: $sql") or diag($r->{err});
		}
	}

	# what the guard refuses has not been run by core: whatever ran, ran in it
	foreach my $case (
		[ 'MG101', 'ALTER TABLE mal.t ADD x int DEFAULT mal.v(1)' ],
		[ 'MG101', 'ALTER TABLE mal.t ADD x int DEFAULT mal.f(1) + random()::int' ],
		[ 'MG112', 'ALTER TABLE mal.t ALTER a TYPE bigint USING mal.f(1)' ],
		[ 'MG111', 'ALTER TABLE mal.t ALTER a SET NOT NULL' ],
		[ 'MG121', 'CREATE INDEX ON mal.t ((mal.f(1) + a))' ],
		[ 'MG121', 'CREATE INDEX ON mal.p ((a + mal.f(1)))' ])
	{
		my ($state, $sql) = @$case;
		my $r = mg_psql($node, $db, "$sql;\n$after");

		mg_refused($r, $state, "$db: trap: refused: $sql");
		is($r->{out}, $clean, "$db: trap: the hook leaves nothing behind: $sql");
		unlike($r->{err}, qr/superuser t|temporary table made|became|switched off|is superuser|deferred/,
			"$db: trap: the hook is nobody: $sql");
	}
}

# a superuser's own table and somebody else's function
foreach my $db (qw(lazy eager))
{
	foreach my $sql ('ALTER TABLE others ADD x int DEFAULT mal.f(1)', 'ALTER TABLE others ADD x mal.dom')
	{
		my $r = mg_psql($node, $db, "SELECT count(*) >= 0 FROM migration_guard.check(\$mg\$$sql\$mg\$);\n$after");

		$r->{out} =~ s/^t\n//;
		is($r->{out}, $clean, "$db: trap: check() leaves nothing behind on a superuser's table: $sql");
	}
}
still_guarded('at the end');
$node->stop;

my $log = slurp_file($node->logfile);

unlike($log, qr/TRAP:|cache lookup failed|leak(ed)?:|PANIC|terminated by signal|could not open relation/,
	'the server had nothing to complain about');

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
