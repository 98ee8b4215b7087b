# 050_clients.pl
#
# However a statement reaches the server, it is judged once and alike: query
# strings of several statements, the extended protocol, DO blocks, functions,
# procedures that commit, savepoints, aborted transactions, and the programs
# that come with PostgreSQL.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('clients', preload => 'migration_guard');

mg_fixture($node, 'postgres');
mg_value($node, 'postgres', 'CREATE EXTENSION migration_guard');

sub run
{
	my ($sql, %opt) = @_;

	return mg_psql($node, 'postgres', $sql, %opt);
}

sub has
{
	my ($what) = @_;

	return mg_value($node, 'postgres', "SELECT to_regclass('$what') IS NOT NULL");
}

# ---------------------------------------------------------------------
# one query string, several statements: an implicit transaction
# ---------------------------------------------------------------------
mg_refused(
	run('CREATE TABLE s1 (a int); CREATE INDEX ON big (a); CREATE TABLE s2 (a int)', string => 1),
	'MG121', 'query string: refused in the middle');
is(has('s1'), 'f', 'query string: the statements before are undone');
is(has('s2'), 'f', 'query string: the statements after do not run');

mg_refused(
	run('CREATE TABLE s1 (a int); COMMIT; CREATE INDEX ON big (a); CREATE TABLE s2 (a int)', string => 1),
	'MG121', 'query string: refused after a COMMIT inside');
is(has('s1'), 't', 'query string: what was committed stays');
mg_value($node, 'postgres', 'DROP TABLE s1');

is( join(' ', mg_warnings(
		run(q{SET migration_guard.mode = 'warn'; BEGIN; CREATE INDEX ON big (a); ALTER TABLE big ADD UNIQUE (b); CREATE INDEX ON small (a); ROLLBACK},
			string => 1))),
	'MG121 MG107',
	'query string: each statement judged once');
mg_refused(
	run(q{SET LOCAL migration_guard.mode = 'off'; CREATE INDEX big_off ON big (a); DROP INDEX big_off}, string => 1),
	'', 'query string: SET LOCAL counts for the rest of the string');
mg_refused(run('CREATE INDEX ON big (a)'), 'MG121', 'query string: ... and no longer');
mg_refused(
	run('CREATE TABLE s1 AS SELECT * FROM big; CREATE INDEX ON s1 (a); ALTER TABLE s1 ALTER a TYPE bigint; DROP TABLE s1', string => 1),
	'', 'query string: a table made in the same string is new');
mg_refused(
	run('ALTER TABLE big ADD c int; CREATE INDEX ON big (c)', string => 1),
	'MG121', 'query string: a table merely altered in it is not new');
mg_refused(run(';;; CREATE INDEX ON big (a);;', string => 1), 'MG121', 'query string: empty statements');
mg_refused(run("/* one; two */ CREATE INDEX ON big (a) -- three;\n", string => 1),
	'MG121', 'query string: comments');
mg_refused(
	run('CREATE INDEX ON big (a); SELECT 1/0', string => 1), 'MG121', 'query string: the first error counts');
mg_refused(
	run('SELECT 1/0; CREATE INDEX ON big (a)', string => 1), '22012', 'query string: the first error counts, another');

# ---------------------------------------------------------------------
# the extended protocol
# ---------------------------------------------------------------------
foreach my $mode (qw(extended prepared))
{
	$node->pgbench(
		"-n -t 3 -M $mode", 0,
		[ qr{number of transactions actually processed: 3/3} ],
		[ qr{WARNING.*would block}s ],
		"protocol $mode: warned, and the statement runs",
		{
			"mg_warn_$mode" =>
			  "SET migration_guard.mode = 'warn';\nCREATE INDEX big_w ON big (a);\nDROP INDEX big_w"
		},
		'postgres');
	$node->pgbench(
		"-n -t 1 -M $mode", 2, [ qr{} ], [ qr{would block} ],
		"protocol $mode: refused after statements of all kinds",
		{
			"mg_mixed_$mode" =>
			  "BEGIN;\nSELECT 1;\nUPDATE small SET a = a;\nSAVEPOINT s;\nALTER TABLE small ADD c int;\nROLLBACK TO s;\nALTER TABLE big ALTER a TYPE bigint;\nCOMMIT"
		},
		'postgres');
}
is( mg_value($node, 'postgres', q{SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'big'::regclass AND attname = 'a'}),
	'integer',
	'protocol: the table is as it was');
is( mg_value($node, 'postgres', q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'small'::regclass AND attname = 'c'}),
	'0', 'protocol: the transaction is undone');

# A server-side prepared statement can hold no DDL, but what it calls can.
mg_value($node, 'postgres', <<'EOM');
CREATE FUNCTION run(q text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN EXECUTE q; END $f$;
CREATE FUNCTION run_sql() RETURNS void LANGUAGE sql AS
	$f$ CREATE INDEX big_one ON small (a); CREATE INDEX big_two ON big (a) $f$;
CREATE FUNCTION maybe(really bool) RETURNS text LANGUAGE plpgsql AS
	$f$ BEGIN IF really THEN CREATE INDEX ON big (a); END IF; RETURN 'did not'; END $f$;
CREATE FUNCTION caught(q text) RETURNS text LANGUAGE plpgsql AS
	$f$
	BEGIN
		EXECUTE q;
		RETURN 'passed';
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END
	$f$;
CREATE PROCEDURE batches(q text) LANGUAGE plpgsql AS
	$f$
	BEGIN
		FOR i IN 1 .. 3 LOOP
			UPDATE small SET a = a + 1 WHERE id = i;
			COMMIT;
		END LOOP;
		EXECUTE q;
		COMMIT;
	END
	$f$;
CREATE PROCEDURE outer_proc(q text) LANGUAGE plpgsql AS
	$f$ BEGIN CALL batches(q); END $f$;
CREATE FUNCTION on_ddl() RETURNS trigger LANGUAGE plpgsql AS
	$f$ BEGIN CREATE INDEX ON big (a); RETURN NULL; END $f$;
CREATE TABLE ddl_queue (q text);
CREATE TRIGGER go AFTER INSERT ON ddl_queue EXECUTE FUNCTION on_ddl();
EOM

mg_refused(
	run("PREPARE p(bool) AS SELECT maybe(\$1);\nEXECUTE p(false);\nEXECUTE p(true);\nEXECUTE p(false);\nEXECUTE p(true);\n"),
	'MG121 MG121', 'PREPARE: each execution that reaches the DDL is judged');
my $many = join("\n", ('SELECT maybe(true);') x 8);

mg_refused(run($many), join(' ', ('MG121') x 8), 'function: judged at every call, cached plans too');
mg_refused(run('SELECT run_sql()'), 'MG121', 'SQL function: second statement of its body');
is(has('big_one'), 'f', 'SQL function: its first statement is undone');
is( mg_value($node, 'postgres', q{SELECT caught('CREATE INDEX ON big (a)'), caught('CREATE INDEX caught_i ON small (a)'), caught('ALTER TABLE nowhere ADD a int'), caught('ALTER TABLE big ADD UNIQUE (a)')}),
	'MG121|passed|42P01|MG107',
	'function: an exception handler meets the SQLSTATE of the rule');
mg_value($node, 'postgres', 'DROP INDEX caught_i');
mg_refused(run('INSERT INTO ddl_queue VALUES (NULL)'), 'MG121', 'trigger function');
mg_refused(run(q{SELECT run('SELECT run(''CREATE INDEX ON big (a)'')')}), 'MG121', 'nested functions');
mg_refused(run(q{DO $$ BEGIN PERFORM 1; EXECUTE 'DO $i$ BEGIN CREATE INDEX ON big (a); END $i$'; END $$}),
	'MG121', 'nested DO blocks');

# procedures that commit
my $before = mg_value($node, 'postgres', 'SELECT sum(a) FROM small');

mg_refused(run(q{CALL batches('CREATE INDEX ON big (a)')}), 'MG121', 'procedure: refused after its commits');
is(mg_value($node, 'postgres', 'SELECT sum(a) FROM small'), $before + 3, 'procedure: what it committed stays');
mg_refused(run(q{CALL outer_proc('ALTER TABLE big ALTER a TYPE bigint')}), 'MG112', 'procedure that calls a procedure');
mg_refused(
	run(q{CALL batches('CREATE TABLE n AS SELECT * FROM big'); CREATE INDEX ON n (a); DROP TABLE n;}),
	'MG121', 'procedure: a table made in an earlier transaction is not new');
mg_refused(run(q{DO $$ BEGIN CREATE TABLE n AS SELECT * FROM big; COMMIT; CREATE INDEX ON n (a); END $$}),
	'MG121', 'DO block: not new after its COMMIT');
mg_refused(run('DROP TABLE n'), '', 'DO block: what it committed stays');
mg_refused(run(q{DO $$ BEGIN CREATE TABLE n AS SELECT * FROM big; CREATE INDEX ON n (a); ROLLBACK; CREATE INDEX ON big (a); END $$}),
	'MG121', 'DO block: new before its ROLLBACK, judging goes on after it');

# ---------------------------------------------------------------------
# transactions, savepoints, errors
# ---------------------------------------------------------------------
mg_refused(
	run("BEGIN;\nSAVEPOINT s;\nCREATE INDEX ON big (a);\nROLLBACK TO s;\nALTER TABLE big ADD c int;\nCREATE INDEX ON small (a);\nROLLBACK;\n"),
	'MG121', 'savepoint: work goes on after a refusal');
mg_refused(
	run("BEGIN;\nSAVEPOINT s;\nCREATE TABLE n AS SELECT * FROM big;\nCREATE INDEX ON n (a);\nRELEASE s;\nCREATE INDEX ON n (id);\nROLLBACK;\n"),
	'', 'savepoint: new after RELEASE');
mg_refused(
	run("BEGIN;\nSAVEPOINT s;\nCREATE TABLE n AS SELECT * FROM big;\nROLLBACK TO s;\nCREATE INDEX ON big (a);\nROLLBACK TO s;\nCREATE TABLE n AS SELECT * FROM big;\nCREATE INDEX ON n (a);\nROLLBACK;\n"),
	'MG121', 'savepoint: ROLLBACK TO forgets what was new, and nothing else');
mg_value($node, 'postgres', 'CREATE TABLE swap AS SELECT * FROM big');
mg_refused(
	run("BEGIN;\nSAVEPOINT s;\nDROP TABLE swap;\nCREATE TABLE swap AS SELECT * FROM big;\nCREATE INDEX ON swap (a);\nROLLBACK TO s;\nCREATE INDEX ON swap (a);\nROLLBACK;\n"),
	'MG121', 'savepoint: the old table of the same name is not new');
my $swapped = run(
	"BEGIN;\nCREATE TABLE swap_new (LIKE swap);\nINSERT INTO swap_new SELECT * FROM swap;\nCREATE INDEX ON swap_new (a);\nALTER TABLE swap RENAME TO swap_old;\nALTER TABLE swap_new RENAME TO swap;\nSAVEPOINT s;\nCREATE INDEX ON swap (b);\nROLLBACK TO s;\nCREATE INDEX ON swap_old (a);\nROLLBACK;\n");
mg_refused($swapped, 'MG121 MG121',
	'a new table passes until the old one is locked, whose name it takes');
like(
	$swapped->{err},
	qr/CREATE INDEX on "swap" would block reads and writes of "swap_old".*CREATE INDEX on "swap_old" would block/s,
	'it is those who wait for the old one that matter');
mg_refused(
	run("BEGIN;\nTRUNCATE swap;\nCREATE INDEX ON swap (a);\nINSERT INTO swap SELECT * FROM big;\nCREATE INDEX ON swap (b);\nROLLBACK;\n"),
	'MG121', 'truncated in this transaction: empty passes, filled again is judged');
mg_refused(
	run("BEGIN;\nCREATE INDEX ON big (a);\nCREATE INDEX ON big (b);\nALTER TABLE big ADD c int;\nROLLBACK;\nALTER TABLE big ADD UNIQUE (a);\n"),
	'MG121 25P02 25P02 MG107', 'aborted transaction: core speaks until ROLLBACK');
mg_refused(run("BEGIN;\nSELECT 1/0;\nCOMMIT;\nBEGIN;\nSELECT 1/0;\nROLLBACK TO nowhere;\nABORT;\n"),
	'22012 22012 3B001', 'aborted transaction: every way out');
mg_refused(run("BEGIN;\nSELECT 1/0;\nROLLBACK AND CHAIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n"),
	'22012 MG121', 'aborted transaction: AND CHAIN');
mg_refused(run("BEGIN READ ONLY;\nCREATE INDEX ON small (a);\nROLLBACK;\n"), '25006', 'read-only transaction: core speaks');
mg_refused(
	run("BEGIN;\nALTER TABLE big ADD c int;\nPREPARE TRANSACTION 'mg';\nCREATE INDEX ON small (a);\nROLLBACK PREPARED 'mg';\n"),
	'', 'prepared transaction');
mg_value($node, 'postgres', 'DROP TABLE swap; DROP INDEX IF EXISTS small_a_idx');

# ---------------------------------------------------------------------
# what is no statement of its own
# ---------------------------------------------------------------------
foreach my $sql (
	'EXPLAIN CREATE TABLE n AS SELECT * FROM big',
	'EXPLAIN ANALYZE CREATE TABLE n AS SELECT * FROM big',
	'EXPLAIN SELECT * FROM big',
	"DECLARE c CURSOR FOR SELECT * FROM big;\nFETCH 2 FROM c;\nCLOSE c",
	"COPY big TO '/dev/null'",
	'SELECT * INTO n FROM big',
	'LOCK TABLE big',
	'ANALYZE big',
	'COMMENT ON TABLE big IS NULL',
	'GRANT SELECT ON big TO PUBLIC',
	"LISTEN x;\nNOTIFY x;\nUNLISTEN x",
	'CHECKPOINT',
	'SET CONSTRAINTS ALL IMMEDIATE')
{
	my $res = run("SET migration_guard.mode = 'warn';\nBEGIN;\n$sql;\nROLLBACK;\n");

	is(scalar(mg_warnings($res)), 0, "not judged: $sql") or diag($res->{err});
	mg_passes($res, "runs: $sql");
}
is(join(' ', mg_warnings(run("SET migration_guard.mode = 'warn';\nBEGIN;\nTRUNCATE small CASCADE;\nROLLBACK;\n"))),
	'MG502', 'TRUNCATE is no work, but the table is in use');

# ---------------------------------------------------------------------
# PostgreSQL's own programs
# ---------------------------------------------------------------------
foreach my $case (
	[ 'vacuumdb --full', [ 'vacuumdb', '--full', '-t', 'big' ] ],
	[ 'clusterdb', [ 'clusterdb', '-t', 'big' ] ],
	[ 'reindexdb', [ 'reindexdb', '-t', 'big' ] ])
{
	my ($name, $cmd) = @$case;

	mg_value($node, 'postgres', 'ALTER TABLE big CLUSTER ON big_pkey') if $name eq 'clusterdb';
	$node->command_fails_like([ @$cmd, $node->connstr('postgres') ], qr{would block}, "$name is refused");
}
$node->command_ok([ 'reindexdb', '--concurrently', '-t', 'big', $node->connstr('postgres') ],
	'reindexdb --concurrently passes');
$node->command_ok([ 'vacuumdb', '--analyze', '-t', 'big', $node->connstr('postgres') ], 'vacuumdb passes');
$node->command_ok([ 'pg_dump', '-f', '/dev/null', $node->connstr('postgres') ], 'pg_dump passes');

# ---------------------------------------------------------------------
# what reaches the client of a refusal
# ---------------------------------------------------------------------
my $res = run('ALTER TABLE public.big ADD CONSTRAINT big_b_key UNIQUE (b)');

like($res->{err}, qr/^SCHEMA NAME:  public$/m, 'error field: schema');
like($res->{err}, qr/^TABLE NAME:  big$/m, 'error field: table');
like($res->{err}, qr/^CONSTRAINT NAME:  big_b_key$/m, 'error field: constraint');
like($res->{err}, qr/^HINT:  /m, 'a way forward');
$res = run('ALTER TABLE public.big ALTER COLUMN a TYPE bigint');
like($res->{err}, qr/^COLUMN NAME:  a$/m, 'error field: column');

# mode log: nothing for the client, something in the server's log
my $offset = -s $node->logfile;

$res = run("SET migration_guard.mode = 'log';\nSET client_min_messages = 'log';\nBEGIN;\nCREATE INDEX ON big (a);\nROLLBACK;\n");
mg_passes($res, 'mode log lets pass');
is(scalar(grep { $_->{state} =~ /^MG/ || $_->{text} =~ /would block/ } @{ $res->{messages} }),
	0, 'mode log says nothing to the client')
  or diag($res->{err});
is(scalar(() = slurp_file($node->logfile, $offset) =~ / MG121 LOG: /g), 1, 'mode log says it once in the server log');

done_testing();
