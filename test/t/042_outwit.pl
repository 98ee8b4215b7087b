# 042_outwit.pl
#
# The owner of a table tries to make the guard look elsewhere: by names that hide
# others, by tables that look small, new or empty, by doing the same with
# another statement, and by expressions that fail when they are looked at.
# Each attempt is a test.
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

attempt('shadowed names: CREATE INDEX', "$path;\n$ddl;\n", 'MG121');
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
# A server with assertions stops at any error that is caught in a deferred
# trigger during COMMIT, with the guard or without.
my $asserts = mg_value($node, 'postgres', 'SHOW debug_assertions') eq 'on';

attempt('in a deferred trigger', <<"EOM", 'MG121') unless $asserts;
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

scene_end();
done_testing();
