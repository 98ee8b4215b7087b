# 010_loading.pl
#
# The three ways of loading the library (CREATE EXTENSION alone,
# session_preload_libraries, shared_preload_libraries), each in fresh sessions:
# what a session's first statement meets, that a statement is judged exactly
# once, that other hooks see it, and that the extension can be dropped, made
# again, dumped and restored.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Functions through which DDL reaches the server: the library can see nothing
# of the session before the DDL inside them.
my $wrappers = <<'EOM';
CREATE FUNCTION public.run(q text) RETURNS void LANGUAGE plpgsql AS
	$f$ BEGIN EXECUTE q; END $f$;
CREATE FUNCTION public.run_static() RETURNS void LANGUAGE plpgsql AS
	$f$ BEGIN CREATE INDEX big_static ON public.big (a); END $f$;
CREATE FUNCTION public.run_sql() RETURNS void LANGUAGE sql AS
	$f$ CREATE INDEX big_sql ON public.big (a) $f$;
CREATE PROCEDURE public.run_proc(q text) LANGUAGE plpgsql AS
	$f$ BEGIN EXECUTE q; COMMIT; END $f$;
CREATE FUNCTION public.run_three() RETURNS void LANGUAGE plpgsql AS
	$f$
	BEGIN
		CREATE INDEX ON public.big (a);
		ALTER TABLE public.big ALTER COLUMN a TYPE bigint;
		ALTER TABLE public.medium ADD CHECK (a > 0);
	END
	$f$;
EOM

# [name, statement, expected SQLSTATEs]: all that an event trigger sees
my @first = (
	[ 'CREATE INDEX', 'CREATE INDEX big_a ON big (a)', 'MG121' ],
	[ 'CREATE UNIQUE INDEX', 'CREATE UNIQUE INDEX big_u ON public.big (a)', 'MG121' ],
	[ 'CREATE INDEX IF NOT EXISTS', 'CREATE INDEX IF NOT EXISTS big_a ON big (a)', 'MG121' ],
	[ 'CREATE INDEX on a partitioned table', 'CREATE INDEX ON parted (v)', 'MG121' ],
	[ 'ALTER TABLE, rewrite', 'ALTER TABLE big ALTER COLUMN a TYPE bigint', 'MG112' ],
	[ 'ALTER TABLE, unique', 'ALTER TABLE big ADD UNIQUE (a)', 'MG107' ],
	[ 'ALTER TABLE, check', 'ALTER TABLE IF EXISTS ONLY big ADD CHECK (a > 0)', 'MG104' ],
	[ 'ALTER TABLE, not null', 'ALTER TABLE big ALTER a SET NOT NULL', 'MG111' ],
	[ 'ALTER TABLE, volatile default', 'ALTER TABLE big ADD c float DEFAULT random()', 'MG101' ],
	[ 'ALTER TABLE, serial', 'ALTER TABLE big ADD c serial', 'MG101' ],
	[
		'CREATE TABLE PARTITION OF beside a default partition',
		'CREATE TABLE parted_x PARTITION OF parted FOR VALUES FROM (7000) TO (8000)',
		'MG120'
	],
	[ 'DO block', q{DO $$ BEGIN CREATE INDEX ON public.big (a); END $$}, 'MG121' ],
	[ 'DO block, EXECUTE', q{DO $$ BEGIN EXECUTE 'CREATE INDEX ON big (a)'; END $$}, 'MG121' ],
	[ 'function, static', 'SELECT run_static()', 'MG121' ],
	[ 'function, EXECUTE', q{SELECT run('ALTER TABLE big ALTER a TYPE bigint')}, 'MG112' ],
	[ 'SQL function', 'SELECT run_sql()', 'MG121' ],
	[ 'procedure', q{CALL run_proc('CREATE INDEX ON big (a)')}, 'MG121' ],
	[ 'in a transaction block', "BEGIN;\nCREATE INDEX ON big (a);\nROLLBACK", 'MG121' ],
	[ 'after DML', "UPDATE small SET a = a;\nCREATE INDEX ON big (a)", 'MG121' ],
	[ 'ADD COLUMN', "BEGIN;\nALTER TABLE big ADD c int;\nROLLBACK", '' ],
	[ 'ADD COLUMN with a constant default', "BEGIN;\nALTER TABLE big ADD c int DEFAULT 7;\nROLLBACK", '' ],
	[ 'CREATE INDEX on a small table', "BEGIN;\nCREATE INDEX ON small (a);\nROLLBACK", '' ],
	[
		'CREATE INDEX CONCURRENTLY',
		"CREATE INDEX CONCURRENTLY big_cic ON big (a);\nDROP INDEX CONCURRENTLY big_cic",
		''
	],
	[ 'NOT VALID', "BEGIN;\nALTER TABLE big ADD CHECK (a > 0) NOT VALID;\nROLLBACK", '' ],
	[ 'CREATE TABLE', "BEGIN;\nCREATE TABLE n (id serial PRIMARY KEY, x int UNIQUE, y int REFERENCES big);\nROLLBACK", '' ],
	[ 'CREATE TABLE AS, then its index', "BEGIN;\nCREATE TABLE n AS SELECT * FROM big;\nCREATE INDEX ON n (a);\nROLLBACK", '' ],
	(
		map { [ "$_->[0] while a table is held", "BEGIN;\nALTER TABLE big ADD c int;\n$_->[1];\nROLLBACK", $_->[2] ] }
		  [ 'CREATE TABLE AS', 'CREATE TABLE n AS SELECT * FROM parted', 'MG127' ],
		[ 'SELECT INTO', 'SELECT * INTO n FROM parted', 'MG127' ],
		[ 'CREATE MATERIALIZED VIEW', 'CREATE MATERIALIZED VIEW n AS SELECT * FROM parted', 'MG127' ],
		[ 'CREATE TABLE AS EXECUTE', "PREPARE q AS SELECT * FROM parted;\nCREATE TABLE n AS EXECUTE q", 'MG127' ],
		[ 'EXPLAIN ANALYZE of it', 'EXPLAIN ANALYZE CREATE TABLE n AS SELECT * FROM parted', 'MG127' ],
		[ 'EXPLAIN (ANALYZE) of EXECUTE', "PREPARE q AS SELECT * FROM parted;\nEXPLAIN (ANALYZE) CREATE TABLE n AS EXECUTE q", 'MG127' ],
		[ 'EXPLAIN ANALYZE of SELECT INTO', 'EXPLAIN ANALYZE SELECT * INTO n FROM parted', 'MG127' ],
		[ 'EXPLAIN ANALYZE in a DO block', q{DO $$ BEGIN EXECUTE 'EXPLAIN ANALYZE CREATE TABLE n AS SELECT * FROM parted'; END $$}, 'MG127' ],
		[ 'EXPLAIN of it', 'EXPLAIN CREATE TABLE n AS SELECT * FROM parted', '' ],
		[ 'EXPLAIN (ANALYZE off) of it', 'EXPLAIN (ANALYZE off) CREATE TABLE n AS SELECT * FROM parted', '' ],
		[ 'EXPLAIN ANALYZE of a query', 'EXPLAIN ANALYZE SELECT * FROM parted', '' ],
		[ 'CREATE TABLE AS WITH NO DATA', 'CREATE TABLE n AS SELECT * FROM parted WITH NO DATA', '' ]
	),
	[ 'DROP TABLE', "BEGIN;\nDROP TABLE ref;\nROLLBACK", '' ],
	[ 'core\'s own error: missing table', 'ALTER TABLE nowhere ADD c int', '42P01' ],
	[ 'core\'s own error: missing column', 'ALTER TABLE small ALTER nope SET NOT NULL', '42703' ],
);

# ... and what only a hook sees
my @unseen = (
	[ 'VACUUM FULL', 'VACUUM FULL big', 'MG123' ],
	[ 'VACUUM (FULL, ANALYZE)', 'VACUUM (FULL, ANALYZE) small, big', 'MG123' ],
	[ 'CLUSTER', 'CLUSTER big USING big_pkey', 'MG124' ],
	[ 'REINDEX TABLE', 'REINDEX TABLE big', 'MG122' ],
	[ 'REINDEX INDEX', 'REINDEX INDEX big_pkey', 'MG122' ],
	[ 'VACUUM', 'VACUUM big', '' ],
	[ 'REINDEX CONCURRENTLY', 'REINDEX TABLE CONCURRENTLY big', '' ],
);

# In mode warn: how many warnings a script makes.  One per judged statement.
my @once = (
	[ 1, 'CREATE INDEX', 'CREATE INDEX ON big (a)' ],
	[ 1, 'CREATE INDEX on a partitioned table', 'CREATE INDEX ON parted (v)' ],
	[ 1, 'a warning threshold', 'CREATE INDEX ON medium (a)' ],
	[
		1,
		'several findings of one statement',
		'ALTER TABLE big ALTER a TYPE bigint, ADD CHECK (id > 0), ADD UNIQUE (b), ADD c serial'
	],
	[ 1, 'ADD COLUMN serial', 'ALTER TABLE big ADD c serial' ],
	[ 1, 'ADD COLUMN with everything', 'ALTER TABLE big ADD c int CHECK (c > 0) UNIQUE REFERENCES small' ],
	[ 2, 'two statements', "CREATE INDEX ON big (a);\nCREATE INDEX ON big (b)" ],
	[ 2, 'DO block with two', q{DO $$ BEGIN CREATE INDEX ON big (a); CREATE INDEX ON big (b); END $$} ],
	[ 3, 'function with three', 'SELECT run_three()' ],
	[ 1, 'function in a query over three rows, one of them large',
		q{SELECT run(format('CREATE INDEX ON %I (a)', t)) FROM unnest(ARRAY['small', 'big', 'small']) t} ],
	[ 0, 'CREATE TABLE with keys', 'CREATE TABLE n (id serial PRIMARY KEY, x int UNIQUE, y int REFERENCES big CHECK (y > 0))' ],
	[ 0, 'CREATE TABLE LIKE', 'CREATE TABLE n (LIKE big INCLUDING ALL)' ],
	[ 0, 'CREATE TABLE with identity', 'CREATE TABLE n (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)' ],
	[ 0, 'CREATE SCHEMA with elements', 'CREATE SCHEMA s CREATE TABLE n (id int PRIMARY KEY) CREATE INDEX ON n (id)' ],
	[ 0, 'new table, filled, then changed',
		"CREATE TABLE n AS SELECT * FROM big;\nCREATE INDEX ON n (a);\nALTER TABLE n ALTER a TYPE bigint, ADD PRIMARY KEY (id)" ],
	[ 0, 'temporary table', "CREATE TEMP TABLE n AS SELECT * FROM big;\nCOMMIT;\nBEGIN;\nCREATE INDEX ON n (a)" ],
	[ 0, 'EXPLAIN', 'EXPLAIN CREATE TABLE n AS SELECT * FROM big' ],
	[ 0, 'small table', 'CREATE INDEX ON small (a)' ],
);

sub check_first
{
	my ($node, $db, $way, @cases) = @_;

	foreach my $case (@cases)
	{
		my ($name, $sql, $expected) = @$case;

		mg_refused(mg_psql($node, $db, "$sql;\n"), $expected, "$way: first statement, $name");
	}
	return;
}

sub check_once
{
	my ($node, $db, $way) = @_;

	foreach my $case (@once)
	{
		my ($n, $name, $sql) = @$case;
		my $res = mg_psql($node, $db,
			"SET migration_guard.mode = 'warn';\nBEGIN;\n$sql;\nROLLBACK;\n");

		is(scalar(mg_warnings($res)), $n, "$way: judged once, $name")
		  or diag($res->{err});
		mg_passes($res, "$way: runs in mode warn, $name");
	}
	return;
}

# Prepared by the extended protocol, as most drivers do.
sub check_extended
{
	my ($node, $db, $way) = @_;

	foreach my $mode (qw(simple extended prepared))
	{
		$node->pgbench(
			"-n -t 1 -M $mode",
			2,
			[ qr{} ],
			[ qr{would block} ],
			"$way: refused through protocol $mode",
			{ "mg_refuse_${way}_$mode" => 'CREATE INDEX ON big (a)' },
			$db);
		$node->pgbench(
			"-n -t 2 -M $mode",
			0,
			[ qr{number of transactions actually processed: 2/2} ],
			[ qr{^} ],
			"$way: passes through protocol $mode",
			{
				"mg_pass_${way}_$mode" =>
				  "ALTER TABLE big ADD c int;\nCREATE INDEX big_a ON small (a);\nDROP INDEX big_a;\nALTER TABLE big DROP c"
			},
			$db);
	}
	return;
}

# pg_stat_statements counts utility statements in its own hook: it must see
# what the guard lets pass, whatever the guard's mode and whoever comes first.
sub check_chain
{
	my ($node, $db, $way) = @_;

	foreach my $mode (qw(off log warn enforce))
	{
		my $idx = "chain_$mode";

		mg_passes(
			mg_psql(
				$node, $db,
				"SET migration_guard.mode = '$mode';\nCREATE INDEX $idx ON small (a);\n"),
			"$way: statement runs in mode $mode");
		is( mg_value(
				$node, $db,
				"SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE 'CREATE INDEX $idx %'"
			),
			'1',
			"$way: other hook saw it once in mode $mode");
		is(mg_value($node, $db, "SELECT count(*) FROM pg_class WHERE relname = '$idx'"),
			'1', "$way: index is there in mode $mode");
		mg_value($node, $db, "DROP INDEX $idx; SELECT pg_stat_statements_reset();");
	}
	mg_refused(mg_psql($node, $db, "CREATE INDEX chain_x ON big (a);\n"),
		'MG121', "$way: refused with another hook about");
	is( mg_value(
			$node, $db,
			"SELECT count(*) FROM pg_stat_statements WHERE query LIKE 'CREATE INDEX chain_x %'"),
		'0',
		"$way: a refused statement did not run");
	return;
}

# The messages of CREATE EXTENSION that speak of preloading.
sub preload_messages
{
	my ($res) = @_;

	return grep { $_->{severity} =~ /^(NOTICE|WARNING)$/ && $_->{text} =~ /session_preload_libraries/ }
	  @{ $res->{messages} };
}

# ---------------------------------------------------------------------
# CREATE EXTENSION alone
# ---------------------------------------------------------------------
my $node = mg_node('plain');

foreach my $db ('app', 'other', q{My "App"'s}, 'dumped')
{
	(my $ident = $db) =~ s/"/""/g;
	mg_value($node, 'postgres', qq{CREATE DATABASE "$ident" TEMPLATE template0});
}
mg_fixture($node, 'app');
mg_fixture($node, 'other');
mg_value($node, 'app', $wrappers);

mg_passes(mg_psql($node, 'app', "CREATE INDEX before_guard ON big (a); DROP INDEX before_guard;"),
	'without the extension nothing is judged');

my $res = mg_psql($node, 'app', "CREATE EXTENSION migration_guard;\n");

mg_passes($res, 'CREATE EXTENSION');
my @said = preload_messages($res);
is(scalar(@said), 1, 'CREATE EXTENSION says once that the library is not preloaded')
  or diag($res->{err});
like(
	@said ? $said[0]{text} : '',
	qr/ALTER DATABASE app SET session_preload_libraries/,
	'... with the command for this database');

is(mg_value($node, 'app', q{SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'migration_guard'}),
	'migration_guard', 'the extension lives in its own schema');

check_first($node, 'app', 'extension', @first);
check_once($node, 'app', 'extension');
check_extended($node, 'app', 'extension');

# once any DDL has loaded the library, the hook sees the rest
foreach my $case (grep { $_->[2] ne '' } @unseen)
{
	my ($name, $sql, $expected) = @$case;

	mg_refused(
		mg_psql($node, 'app', "CREATE TEMP TABLE n (a int);\n$sql;\n"),
		$expected, "extension: $name after other DDL");
}
mg_refused(
	mg_psql($node, 'app', "SELECT * FROM migration_guard.explain('SELECT 1');\nVACUUM FULL big;\n"),
	'MG123', 'extension: VACUUM FULL after explain()');

# settings made before the library is there count from the first statement on
mg_passes(
	mg_psql($node, 'app', "SET migration_guard.mode = 'off';\nBEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n"),
	'extension: a superuser may switch it off before it is loaded');
mg_passes(
	mg_psql($node, 'app', "BEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n", options => '-c migration_guard.mode=off'),
	'extension: ... or by PGOPTIONS');
mg_refused(
	mg_psql($node, 'app',
		"BEGIN;\nSET LOCAL migration_guard.mode = 'off';\nCOMMIT;\nCREATE INDEX ON big (a);\n"),
	'MG121', 'extension: SET LOCAL ends with its transaction');
mg_refused(
	mg_psql($node, 'app', "BEGIN;\nSET LOCAL migration_guard.mode = 'off';\nALTER TABLE big ADD c int;\nROLLBACK;\nCREATE INDEX ON big (a);\n"),
	'MG121', 'extension: ... also when the library came in between');
mg_refused(mg_psql($node, 'app', "DISCARD ALL;\nCREATE INDEX ON big (a);\nDISCARD ALL;\nCREATE INDEX ON big (a);\n"),
	'MG121 MG121', 'extension: DISCARD ALL changes nothing');

# a setting that cannot be read leaves the default, not an open door
mg_value($node, 'postgres', q{ALTER DATABASE app SET migration_guard.mode = 'nonsense'});
mg_refused(mg_psql($node, 'app', "CREATE INDEX ON big (a);\n"),
	'MG121', 'extension: a wrong setting stored earlier does not switch it off');
mg_value($node, 'postgres', q{ALTER DATABASE app SET migration_guard.mode = 'off'});
mg_passes(mg_psql($node, 'app', "BEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n"),
	'extension: ALTER DATABASE ... SET mode = off');
mg_value($node, 'postgres', q{ALTER DATABASE app RESET migration_guard.mode});

# the guard is a matter of the database
mg_passes(mg_psql($node, 'other', "BEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n"),
	'extension: another database is not guarded');
mg_refused(
	mg_psql($node, 'other', "LOAD 'migration_guard';\nCREATE INDEX ON big (a);\nLOAD 'migration_guard';\nVACUUM FULL big;\n"),
	'MG121 MG123', 'LOAD by hand, without the extension');
is( scalar(
		mg_warnings(
			mg_psql($node, 'app', "LOAD 'migration_guard';\nSET migration_guard.mode = 'warn';\nBEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n")
		)),
	1,
	'LOAD by hand and event trigger: judged once');

# an error inside the first statement, an aborted transaction, savepoints
mg_refused(
	mg_psql($node, 'app', "BEGIN;\nSELECT 1/0;\nCREATE INDEX ON big (a);\nROLLBACK;\nCREATE INDEX ON big (a);\n"),
	'22012 25P02 MG121', 'extension: aborted transaction first');
mg_refused(
	mg_psql($node, 'app', "BEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\nBEGIN;\nALTER TABLE nowhere ADD c int;\nROLLBACK;\nCREATE INDEX ON big (a);\n"),
	'MG121 42P01 MG121', 'extension: refused, failed, refused');

# dropped and made again
mg_passes(
	mg_psql($node, 'app', "BEGIN;\nDROP EXTENSION migration_guard;\nROLLBACK;\n"),
	'DROP EXTENSION, rolled back');
mg_refused(mg_psql($node, 'app', "CREATE INDEX ON big (a);\n"), 'MG121', 'still guarded');
mg_passes(mg_psql($node, 'app', "DROP EXTENSION migration_guard;\n"), 'DROP EXTENSION');
mg_passes(mg_psql($node, 'app', "BEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n"),
	'a new session is not guarded after DROP EXTENSION');
is( mg_value(
		$node, 'app', q{SELECT count(*) FROM pg_event_trigger}),
	'0',
	'DROP EXTENSION takes the event triggers with it');
mg_refused(
	mg_psql($node, 'app', "CREATE EXTENSION migration_guard;\nDROP EXTENSION migration_guard;\nCREATE EXTENSION migration_guard;\nCREATE INDEX ON big (a);\n"),
	'MG121', 'made, dropped and made again in one session');
mg_refused(mg_psql($node, 'app', "CREATE INDEX ON big (a);\n"), 'MG121',
	'a new session is guarded after the second CREATE EXTENSION');
mg_refused(mg_psql($node, 'app', "CREATE EXTENSION migration_guard SCHEMA public;\n"),
	'42710', 'CREATE EXTENSION when it is there');
mg_refused(mg_psql($node, 'other', "CREATE EXTENSION migration_guard SCHEMA public;\n"),
	'0A000', 'CREATE EXTENSION in another schema');

# ---------------------------------------------------------------------
# dump and restore
# ---------------------------------------------------------------------
mg_value($node, 'app', 'CREATE ROLE reader');

my $dir = PostgreSQL::Test::Utils::tempdir;

$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/app.dump", $node->connstr('app') ],
	'pg_dump of a guarded database');
$node->command_ok([ 'pg_dump', '-f', "$dir/app.sql", $node->connstr('app') ],
	'pg_dump of a guarded database, plain');
$node->command_ok([ 'pg_dumpall', '-f', "$dir/all.sql" ], 'pg_dumpall');
unlike(slurp_file("$dir/app.sql"), qr/EVENT TRIGGER/, 'event triggers are the extension\'s, not the dump\'s');

{
	local $ENV{PGOPTIONS} = '-c migration_guard.mode=off';

	$node->command_ok(
		[ 'pg_restore', '--exit-on-error', '-d', $node->connstr('dumped'), "$dir/app.dump" ],
		'pg_restore with the guard switched off');
}
is(mg_value($node, 'dumped', 'SELECT count(*) FROM big'), '2000', 'restored');
is(mg_value($node, 'dumped', q{SELECT count(*) FROM pg_extension WHERE extname = 'migration_guard'}),
	'1', 'restored with the extension');
mg_refused(mg_psql($node, 'dumped', "CREATE INDEX ON big (a);\n"), 'MG121', 'the restored database is guarded');
is( mg_value(
		$node, 'dumped',
		"SET ROLE reader; SELECT count(*) FROM migration_guard.check('CREATE TABLE n (a int)')"),
	'0',
	'the restored schema is open to PUBLIC');

mg_value($node, 'postgres', 'DROP DATABASE dumped');
mg_value($node, 'postgres', 'CREATE DATABASE dumped TEMPLATE template0');
{
	local $ENV{PGOPTIONS} = '-c migration_guard.mode=off';

	$node->command_ok(
		[ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/app.sql", $node->connstr('dumped') ],
		'psql of a plain dump with the guard switched off');
}
mg_refused(mg_psql($node, 'dumped', "CREATE INDEX ON big (a);\n"), 'MG121',
	'the database restored by psql is guarded');

# ---------------------------------------------------------------------
# session_preload_libraries, by the very command that CREATE EXTENSION gave
# ---------------------------------------------------------------------
sub preload_command
{
	my ($r) = @_;
	my ($text) = map { $_->{text} } preload_messages($r);

	return $text && $text =~ /(ALTER DATABASE .*? SET session_preload_libraries\s*(?:=|TO)\s*(?:'[^']*'|"[^"]*"|[\w, ]+)(?:\s*,\s*(?:'[^']*'|"[^"]*"|\w+))*)/ ? $1 : undef;
}

my $command = preload_command($res);

ok(defined $command, 'the command can be read') or diag($res->{err});
mg_passes(mg_psql($node, 'app', "$command;\n"), 'the command can be run');
is(mg_value($node, 'app', 'SHOW session_preload_libraries'),
	'migration_guard', 'the next session preloads');

mg_passes(mg_psql($node, 'app', "SHOW migration_guard.block_rows;\n"), 'settings are there at once');
check_first($node, 'app', 'session preload and extension', @first, @unseen);
check_once($node, 'app', 'session preload and extension');
check_extended($node, 'app', 'session');

my $again = mg_psql($node, 'app', "DROP EXTENSION migration_guard;\nCREATE EXTENSION migration_guard;\n");

mg_passes($again, 'made again where it is preloaded');
is(scalar(preload_messages($again)), 0, 'nothing to say about preloading when it is preloaded')
  or diag($again->{err});

# without the extension
mg_passes(mg_psql($node, 'app', 'DROP EXTENSION migration_guard;'), 'DROP EXTENSION, preloaded');
check_first($node, 'app', 'session preload alone', @first, @unseen);
check_once($node, 'app', 'session preload alone');
mg_value($node, 'postgres', 'ALTER DATABASE app RESET session_preload_libraries');

# a database whose name needs quotes, and which preloads something already
my $odd = q{My "App"'s};

mg_value($node, 'postgres', q{ALTER DATABASE "My ""App""'s" SET session_preload_libraries = 'auto_explain'});
$res = mg_psql($node, $odd, "CREATE EXTENSION migration_guard;\n");
mg_passes($res, 'CREATE EXTENSION in a database with an odd name');
$command = preload_command($res);
ok(defined $command, 'the command can be read') or diag($res->{err});
mg_passes(mg_psql($node, $odd, "$command;\n"), 'the command can be run with quotes in the name');
like(mg_value($node, $odd, 'SHOW session_preload_libraries'),
	qr/\bmigration_guard\b/, 'the next session preloads the guard');
like(mg_value($node, $odd, 'SHOW session_preload_libraries'),
	qr/\bauto_explain\b/, '... and what was preloaded before');

# ---------------------------------------------------------------------
# other hooks
# ---------------------------------------------------------------------
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements'");
$node->start;
mg_value($node, 'app', "CREATE EXTENSION pg_stat_statements;\nCREATE EXTENSION migration_guard;\n");
check_chain($node, 'app', 'loaded by the event trigger');
mg_value($node, 'postgres', q{ALTER DATABASE app SET session_preload_libraries = 'migration_guard'});
check_chain($node, 'app', 'session preload');
$node->stop('fast');

# ---------------------------------------------------------------------
# shared_preload_libraries
# ---------------------------------------------------------------------
my $shared = mg_node('shared', preload => 'migration_guard, pg_stat_statements');

mg_value($shared, 'postgres', 'CREATE DATABASE app TEMPLATE template0');
mg_fixture($shared, 'app');
mg_value($shared, 'app', $wrappers);
check_first($shared, 'app', 'shared preload alone', @first, @unseen);
check_once($shared, 'app', 'shared preload alone');
$res = mg_psql($shared, 'app', "CREATE EXTENSION migration_guard;\n");
mg_passes($res, 'CREATE EXTENSION where it is preloaded');
is(scalar(preload_messages($res)), 0, 'nothing to say about preloading') or diag($res->{err});
check_first($shared, 'app', 'shared preload and extension', @first, @unseen);
check_once($shared, 'app', 'shared preload and extension');
check_extended($shared, 'app', 'shared');
mg_value($shared, 'postgres', q{ALTER DATABASE app SET session_preload_libraries = 'migration_guard'});
check_once($shared, 'app', 'all three ways at once');
mg_value($shared, 'postgres', 'ALTER DATABASE app RESET session_preload_libraries');

mg_value($shared, 'app', 'CREATE EXTENSION pg_stat_statements');
check_chain($shared, 'app', 'first in shared_preload_libraries');
$shared->stop;
$shared->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements, migration_guard'");
$shared->start;
check_chain($shared, 'app', 'second in shared_preload_libraries');

# a restore where nobody asked for the guard, large tables included
mg_value($shared, 'postgres', 'CREATE DATABASE dumped TEMPLATE template0');
{
	local $ENV{PGOPTIONS} = '-c migration_guard.mode=off';

	$shared->command_ok(
		[ 'pg_restore', '--no-owner', '--exit-on-error', '-d', $shared->connstr('dumped'), "$dir/app.dump" ],
		'pg_restore where the library is preloaded');
}
mg_refused(mg_psql($shared, 'dumped', "VACUUM FULL big;\n"), 'MG123', 'restored and guarded');

mg_quiet('the servers', $shared, $node);

done_testing();
