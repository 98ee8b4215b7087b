# 062_audit.pl
#
# The guard audits itself: rewrites that it has not predicted are caught when
# they are about to begin.  Mistakes of the guard cannot be made to order, so
# the catalog is changed between judgement and execution, by an event trigger
# that fires after the guard's, or by another session for which the statement
# waits.  And what was predicted, exempt or none of its business stays silent.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $marker = qr/which migration_guard had not foreseen/;

my $node = mg_node('audit', preload => 'migration_guard');
my $offset = 0;

# Lines of the server's log since the last call that match.
sub logged
{
	my ($pattern) = @_;
	my $log = slurp_file($node->logfile, $offset);

	$offset = -s $node->logfile;
	return grep { /$pattern/ } split /\n/, $log;
}

# The counter of mispredictions; rewrites that were looked at.
sub counted
{
	my ($column) = @_;

	return mg_value($node, 'app',
		"SELECT $column FROM migration_guard.stats WHERE rule = 'unannounced_rewrite'");
}

# Run it, and expect SQLSTATEs, and so many log lines and counts of mispredictions.
sub audited
{
	my ($name, $sql, $states, $missed, %opt) = @_;
	my $before = counted('mispredicted');

	logged($marker);
	my $res = mg_psql($node, $opt{db} || 'app', $sql, %opt);
	my @lines = logged($marker);

	mg_refused($res, $states, $name);
	is(scalar(@lines), $missed, "$name: logged") or diag(join "\n", @lines);
	is(counted('mispredicted') - $before, $missed, "$name: counted");
	return ($res, @lines);
}

mg_value($node, 'postgres', 'CREATE DATABASE app TEMPLATE template0');
mg_fixture($node, 'app');
mg_value($node, 'app', <<'EOM');
CREATE EXTENSION migration_guard;
-- what changes the catalog after the guard has looked at it
CREATE TABLE meanwhile (command text);
CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$
	DECLARE c text;
	BEGIN
		FOR c IN SELECT command FROM meanwhile LOOP
			DELETE FROM meanwhile WHERE command = c;
			EXECUTE c;
		END LOOP;
	END $$;
CREATE EVENT TRIGGER zz_meddle ON ddl_command_start WHEN TAG IN ('ALTER TABLE', 'ALTER TYPE', 'ALTER MATERIALIZED VIEW')
	EXECUTE FUNCTION meddle();
CREATE FUNCTION dflt() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE DOMAIN dom AS int;
CREATE TABLE empty (a int);
CREATE TYPE pair AS (x varchar(10), y int);
CREATE TABLE typed OF pair;
INSERT INTO typed SELECT 'x' || i, i FROM generate_series(1, 2000) i;
ANALYZE typed;
EOM

my $add = 'ALTER TABLE %s ADD COLUMN z int DEFAULT dflt()';
my $volatile = "INSERT INTO meanwhile VALUES ('ALTER FUNCTION dflt() VOLATILE');\n";
my $again = "ALTER FUNCTION dflt() IMMUTABLE;\nTRUNCATE meanwhile;\n";

sub add_to
{
	return sprintf($add, $_[0]) . ";\n";
}

is( mg_value($node, 'app', q{SELECT string_agg(concat_ws(' ', evtname, evtevent, evtenabled), ', ' ORDER BY evtname) FROM pg_event_trigger WHERE evtname LIKE 'migration%'}),
	'migration_guard ddl_command_start A, migration_guard_audit table_rewrite A',
	'the event triggers fire whatever session_replication_role is');

# ---------------------------------------------------------------------
# not announced
# ---------------------------------------------------------------------
audited('without meddling', "BEGIN;\n" . add_to('big') . "ROLLBACK;\n", '', 0);

my ($res, @lines) = audited('a large table', $volatile . add_to('big') . $again, 'MG701', 1);

like($lines[0], qr/LOG:\s+ALTER TABLE rewrites public\.big, $marker/, '... with command and table');
like($res->{err}, qr/unforeseen rewrite of "big" would block reads and writes .*2,000 rows/, '... says how much');
like($res->{err}, qr/^DETAIL:\s+The server computes a value .*AccessExclusiveLock.*Rule unannounced_rewrite\./m,
	'... and why');
like($res->{err}, qr/^HINT:\s+Nothing has been written yet\./m, '... and what to do');
like($res->{err}, qr/^TABLE NAME:\s+big/m, '... and which table');
is(mg_value($node, 'app', q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'big'::regclass AND attname = 'z'}),
	'0', '... and nothing has come of it');

mg_refused(mg_psql($node, 'app', "BEGIN;\n$volatile" . add_to('big') . "ROLLBACK;\n"),
	'MG701', 'in a transaction block');
audited('its own advice: run again, judged anew',
	"ALTER FUNCTION dflt() VOLATILE;\n" . add_to('big') . $again, 'MG101', 0);

(undef, @lines) =
  audited('a small table', "BEGIN;\n$volatile" . add_to('small') . "ROLLBACK;\n", '', 1);
like($lines[0], qr/public\.small, $marker/, '... is logged');
($res) = audited('a table over warn_rows', "BEGIN;\n$volatile" . add_to('medium') . "ROLLBACK;\n", '', 1);
is(join(' ', mg_warnings($res)), 'MG701', '... is warned about');
audited('an empty table', "BEGIN;\n$volatile" . add_to('empty') . "ROLLBACK;\n", '', 1);
audited('a table made in this transaction',
	"BEGIN;\nCREATE TABLE n AS SELECT * FROM big;\n$volatile" . add_to('n') . "ROLLBACK;\n", '', 1);
audited('a temporary table',
	"BEGIN;\nCREATE TEMP TABLE n AS SELECT * FROM big;\n$volatile" . add_to('n') . "ROLLBACK;\n", '', 1);

# each table is looked at by itself
(undef, @lines) = audited('partitions', "BEGIN;\n$volatile" . add_to('parted') . "ROLLBACK;\n", 'MG701', 1);
like($lines[0], qr/public\.parted_/, '... by name');
audited('all partitions, in mode log',
	"SET migration_guard.mode = 'log';\nBEGIN;\n$volatile" . add_to('parted') . "ROLLBACK;\n", '', 3);
audited('one table is announced, another is not',
	"SET migration_guard.mode = 'log';\nBEGIN;\nCREATE TABLE kid () INHERITS (small);\n"
	  . "INSERT INTO meanwhile VALUES ('CREATE TABLE kid2 () INHERITS (small)');\n"
	  . "ALTER TABLE small ALTER a TYPE bigint;\nROLLBACK;\n",
	'', 1);

# other reasons to rewrite, other kinds of relation
audited('a domain gets a constraint',
	"BEGIN;\nINSERT INTO meanwhile VALUES ('ALTER DOMAIN dom ADD CHECK (VALUE > 0)');\nALTER TABLE big ADD d dom DEFAULT 1;\nROLLBACK;\n",
	'MG701', 1);
($res) = audited('a column changes its type',
	"SET migration_guard.rules = 'alter_column_type=off';\nBEGIN;\nALTER TABLE big ADD v varchar(10);\n"
	  . "INSERT INTO meanwhile VALUES ('ALTER TABLE big ALTER v TYPE int USING v::int');\n"
	  . "ALTER TABLE big ALTER v TYPE text;\nROLLBACK;\n",
	'MG701', 1);
like($res->{err}, qr/The server converts the values of a column/, '... with that reason');
audited('the table of a type',
	"SET migration_guard.rules = 'alter_column_type=off';\nBEGIN;\n"
	  . "INSERT INTO meanwhile VALUES ('ALTER TYPE pair ALTER ATTRIBUTE x TYPE int USING x::int CASCADE');\n"
	  . "ALTER TYPE pair ALTER ATTRIBUTE x TYPE text CASCADE;\nROLLBACK;\n",
	'42601', 0);
audited('the table of a type, meddled with',
	"SET migration_guard.rules = 'alter_column_type=off';\nBEGIN;\n"
	  . "INSERT INTO meanwhile VALUES ('ALTER TYPE pair ALTER ATTRIBUTE x TYPE char(5) CASCADE');\n"
	  . "ALTER TYPE pair ALTER ATTRIBUTE x TYPE text CASCADE;\nROLLBACK;\n",
	'MG701', 1);

# through functions, with errors that are caught
audited('in a function that swallows errors',
	"SET migration_guard.mode = 'log';\nBEGIN;\n$volatile"
	  . q{DO $$ BEGIN BEGIN ALTER TABLE small ADD COLUMN z int DEFAULT dflt() / 0; EXCEPTION WHEN OTHERS THEN NULL; END;
	  ALTER TABLE small ALTER a TYPE bigint; ALTER TABLE small ADD COLUMN z int DEFAULT dflt(); END $$;} . "\nROLLBACK;\n",
	'', 0);
audited('refused, caught, and others go on',
	q{DO $$ BEGIN
		FOR i IN 1..3 LOOP
			BEGIN
				INSERT INTO meanwhile VALUES ('ALTER FUNCTION dflt() VOLATILE');
				ALTER TABLE big ADD COLUMN z int DEFAULT dflt();
			EXCEPTION WHEN SQLSTATE 'MG701' THEN
				NULL;
			END;
			ALTER TABLE small ALTER a TYPE bigint;
			ALTER TABLE small ALTER a TYPE int;
		END LOOP;
	END $$;}, '', 3);

# settings
foreach my $case (
	[ "migration_guard.rules = 'unannounced_rewrite=off'", '', 1 ],
	[ "migration_guard.rules = 'unannounced_rewrite=log'", '', 1 ],
	[ "migration_guard.rules = 'unannounced_rewrite=warn'", '', 1 ],
	[ "migration_guard.override = 'OPS-7'", '', 1 ],
	[ 'migration_guard.block_rows = -1', '', 1 ],
	[ 'migration_guard.block_rows = 2000', 'MG701', 1 ],
	[ 'migration_guard.block_rows = 2001', '', 1 ],
	[ "migration_guard.mode = 'warn'", '', 1 ],
	[ "migration_guard.mode = 'log'", '', 1 ],
	[ "migration_guard.mode = 'off'", '', 0 ],
	[ "application_name = 'pg_restore'", '', 0 ])
{
	my ($setting, $states, $missed) = @$case;

	audited($setting, "SET $setting;\nBEGIN;\n$volatile" . add_to('big') . "ROLLBACK;\n", $states, $missed);
}
audited('off when it is judged',
	"SET migration_guard.mode = 'off';\nBEGIN;\nINSERT INTO meanwhile VALUES ('SET migration_guard.mode = enforce');\n"
	  . "ALTER TABLE big ALTER a TYPE bigint;\nROLLBACK;\n",
	'', 0);
audited('off before it begins',
	"BEGIN;\n${volatile}INSERT INTO meanwhile VALUES ('SET migration_guard.mode = off');\n" . add_to('big') . "ROLLBACK;\n",
	'', 0);

# session_replication_role does not switch it off
audited('session_replication_role = replica',
	"SET session_replication_role = 'replica';\nBEGIN;\nALTER EVENT TRIGGER zz_meddle ENABLE ALWAYS;\n$volatile"
	  . add_to('big') . "ROLLBACK;\n",
	'MG701', 1);

# ---------------------------------------------------------------------
# another session changes the table while the statement waits for it
# ---------------------------------------------------------------------
mg_value($node, 'app', "SET migration_guard.mode = 'off';\nALTER TABLE big ADD v varchar(10);\nUPDATE big SET v = '1';");

my $holder = mg_session($node, 'app');

mg_tell($holder, "SET migration_guard.mode = 'off';\nBEGIN;\nALTER TABLE big ALTER v TYPE int USING v::int;");

my $waiter = mg_session($node, 'app', app => 'mg_waiter');

mg_tell($waiter, 'SET migration_guard.lock_timeout = 0; SELECT 1;'); # it would be judged again
logged($marker);
$waiter->{in} .= "ALTER TABLE big ALTER v TYPE text;\n";
IPC::Run::pump_nb($waiter->{h});
ok( $node->poll_query_until('app',
		q{SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'mg_waiter' AND NOT granted)}),
	'a statement waits');
mg_tell($holder, 'COMMIT;');
mg_refused(mg_tell($waiter, 'SELECT 1;'), 'MG701', 'what has become true while it waited is noticed');
is(scalar(logged($marker)), 1, '... and logged');
mg_close($holder);
mg_close($waiter);
mg_value($node, 'app', "SET migration_guard.mode = 'off';\nALTER TABLE big DROP v;");

# ---------------------------------------------------------------------
# the first statement of a session, where the library is not preloaded
# ---------------------------------------------------------------------
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$offset = -s $node->logfile;

# [name, statements, SQLSTATEs, mispredictions]
foreach my $case (
	[ 'announced and refused', "ALTER TABLE big ALTER a TYPE bigint;\n", 'MG112', 0 ],
	[ 'announced and small', "ALTER TABLE small ALTER a TYPE bigint;\nALTER TABLE small ALTER a TYPE int;\n", '', 0 ],
	[ 'not announced', add_to('big'), 'MG701', 1 ],
	[ 'not announced, in a DO block', 'DO $$ BEGIN ' . add_to('big') . ' END $$;', 'MG701', 1 ],
	[ 'not announced, after another', "ALTER TABLE small SET (fillfactor = 80);\n" . add_to('big'), 'MG701', 1, 1 ],
	[ 'announced, then not, in one function',
		'DO $$ BEGIN ALTER TABLE small ALTER a TYPE bigint; ALTER TABLE small ALTER a TYPE int; '
		  . 'ALTER TABLE small SET (fillfactor = 80); ' . add_to('big') . ' END $$;',
		'MG701', 1, 1 ])
{
	my ($name, $sql, $states, $missed, $late) = @$case;

	$name = "first statement: $name";
	# nothing may load the library before; the late meddler waits for an option of small
	mg_value($node, 'app', "ALTER TABLE small RESET (fillfactor);\nTRUNCATE meanwhile;\nALTER FUNCTION dflt() IMMUTABLE;\n");
	mg_value($node, 'app', $late
		? q{CREATE OR REPLACE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
			IF EXISTS (SELECT FROM pg_class WHERE relname = 'small' AND reloptions IS NOT NULL) THEN ALTER FUNCTION dflt() VOLATILE; END IF; END $$}
		: q{CREATE OR REPLACE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
			ALTER FUNCTION dflt() VOLATILE; END $$});
	logged($marker);
	mg_refused(mg_psql($node, 'app', $sql), $states, $name);
	is(scalar(logged($marker)), $missed, "$name: logged");
}
mg_refused(mg_psql($node, 'app', "SELECT * FROM migration_guard.stats;\n"), '55000', 'no statistics without shared memory');

# who takes the guard's own trigger away has not been judged
mg_value($node, 'app', "ALTER EVENT TRIGGER migration_guard DISABLE;\nALTER FUNCTION dflt() IMMUTABLE;\n");
mg_passes(mg_psql($node, 'app', "BEGIN;\n" . add_to('big') . "ROLLBACK;\n"),
	'a statement that was not judged is not audited');
mg_refused(mg_psql($node, 'app', "SELECT migration_guard.audit_rewrite();\n"), '39P03', 'not to be called');
$node->stop;

mg_quiet('the server', $node);

done_testing();
