# 043_strangers.pl
#
# Who may not run a statement gets core's error from the guard as well, and
# learns nothing else; and hostile expressions wait in vain for a superuser to
# call explain() or check().  Each attempt is a test.
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
CREATE TABLE mal.src (a int, b int);
INSERT INTO mal.src SELECT i, i FROM generate_series(1, 2000) i;
CREATE INDEX src_pred ON mal.src (a) WHERE mal.f(1) > 0;
CREATE MATERIALIZED VIEW mal.mv AS SELECT mal.f(a) AS a FROM mal.src WHERE mal.f(1) > 0;
CREATE UNIQUE INDEX ON mal.mv (a);
CREATE VIEW mal.vw AS SELECT * FROM mal.src WHERE mal.f(1) > 0;
CREATE TABLE mal.typed (c mal.comp);
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
	'REFRESH MATERIALIZED VIEW mal.mv',
	'REFRESH MATERIALIZED VIEW CONCURRENTLY mal.mv',
	'CREATE TABLE mal.n AS SELECT * FROM mal.src WHERE a = mal.f(2)',
	'CREATE TABLE mal.n AS SELECT a FROM mal.src WHERE a > 5',
	'CREATE TABLE mal.n AS SELECT mal.v(1) AS a',
	'SELECT a INTO mal.n FROM mal.vw',
	'CREATE MATERIALIZED VIEW mal.n AS SELECT mal.f(1) AS a FROM pg_class',
	q{CREATE TABLE mal.n AS SELECT '(1)'::mal.comp AS a},
	q{CREATE TABLE mal.n AS SELECT '{1}'::mal.checked[] AS a},
	q{CREATE TABLE mal.n AS SELECT 1::mal.checked AS a},
	q{CREATE TABLE mal.n AS SELECT c FROM mal.typed UNION ALL SELECT '(1)'},
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

scene_end();
done_testing();
