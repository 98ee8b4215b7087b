# 030_nonblocking.pl
#
# Judging waits for nobody and keeps nothing: while another session holds
# AccessExclusiveLock on everything a statement would touch, explain(), check()
# and a refused statement answer; afterwards the transaction holds the locks it
# held before, no more and no fewer.
#
# lock_timeout is 100 ms in every judging session, and its errors (55P03) are
# looked for: a single wait for a lock would show, no clock is read.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $impatient = "SET lock_timeout = '100ms';\nSET statement_timeout = '60s';\n";

my $node = mg_node('nonblocking',
	preload => 'migration_guard',
	conf => "max_locks_per_transaction = 256\n$mg_unused");

mg_fixture($node, 'postgres');
mg_value($node, 'postgres', <<'EOM');
SET migration_guard.mode = 'off';
CREATE EXTENSION migration_guard;
CREATE TABLE parent (a int, b text);
CREATE TABLE kid (c int) INHERITS (parent);
INSERT INTO kid SELECT i, i, i FROM generate_series(1, 2000) i;
CREATE TABLE lone (id int NOT NULL, v varchar(20));
INSERT INTO lone SELECT i, i FROM generate_series(10001, 12000) i;
CREATE INDEX big_a ON big (a);
CREATE MATERIALIZED VIEW mv AS SELECT g AS a FROM generate_series(1, 2000) g;
ALTER TABLE big ADD CONSTRAINT big_pos CHECK (a > 0) NOT VALID;
ALTER TABLE ref ADD CONSTRAINT ref_again FOREIGN KEY (big_id) REFERENCES big NOT VALID;
CREATE FUNCTION three() RETURNS text LANGUAGE sql AS 'SELECT text $$3$$';
ALTER TABLE lone ALTER v SET DEFAULT three();
CREATE ROLE bystander;
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.apart (a int);
INSERT INTO elsewhere.apart VALUES (1);
ALTER TABLE elsewhere.apart OWNER TO bystander;
DO $$
BEGIN
	FOR i IN 1 .. 400 LOOP
		EXECUTE format('CREATE TABLE mass_%s AS SELECT g AS a FROM generate_series(1, 1500) g', i);
	END LOOP;
END
$$;
ANALYZE;
EOM

# [relations that the other session locks, statement, SQLSTATE of its refusal
# or '' where the guard has nothing to say]
my @cases = (
	[ 'big', 'CREATE INDEX ON big (b)', 'MG121' ],
	[ 'big', 'CREATE UNIQUE INDEX IF NOT EXISTS big_new ON big (b)', 'MG121' ],
	[ 'big', 'CREATE INDEX CONCURRENTLY ON big (b)', '' ],
	[ 'big', 'ALTER TABLE big ADD c int', '' ],
	[ 'big', 'ALTER TABLE big ADD c float DEFAULT random()', 'MG101' ],
	[ 'big', 'ALTER TABLE big ALTER a TYPE bigint', 'MG112' ],
	[ 'big', q{ALTER TABLE big ALTER b TYPE varchar(10)}, 'MG112' ],
	[ 'big', 'ALTER TABLE big ALTER a SET NOT NULL', 'MG111' ],
	[ 'big', 'ALTER TABLE big ADD CHECK (a > 0)', 'MG104' ],
	[ 'big', 'ALTER TABLE big ADD CHECK (a > 0) NOT VALID', '' ],
	[ 'big', 'ALTER TABLE big VALIDATE CONSTRAINT big_pos', '' ],
	[ 'big', 'ALTER TABLE big ADD UNIQUE (a)', 'MG107' ],
	[ 'big', 'ALTER TABLE big SET UNLOGGED', 'MG114' ],
	[ 'big', 'ALTER TABLE big DROP COLUMN b', '' ],
	[ 'big', 'DROP TABLE big CASCADE', '' ],
	[ 'big', 'DROP INDEX big_a', '' ],
	[ 'big', 'REINDEX TABLE big', 'MG122' ],
	[ 'big', 'REINDEX INDEX big_a', 'MG122' ],
	[ 'big', 'VACUUM FULL big', 'MG123' ],
	[ 'big', 'CLUSTER big USING big_a', 'MG124' ],
	[ 'big', 'ALTER TABLE big RENAME TO bigger', '' ],
	[ 'mv', 'CREATE INDEX ON mv (a)', 'MG121' ],

	# the statement names no relation, or moves one
	[ 'lone', 'DROP FUNCTION three() CASCADE', '' ],
	[ 'lone', 'ALTER TABLE lone SET SCHEMA elsewhere', '' ],
	[ 'elsewhere.apart', 'DROP SCHEMA elsewhere CASCADE', '' ],
	[ 'elsewhere.apart', 'DROP OWNED BY bystander', '' ],
	[ 'elsewhere.apart', 'REASSIGN OWNED BY bystander TO CURRENT_USER', '' ],

	# only the other side of a foreign key is locked
	[ 'big', 'ALTER TABLE ref ADD FOREIGN KEY (big_id) REFERENCES big', 'MG105' ],
	[ 'big', 'ALTER TABLE ref ADD FOREIGN KEY (big_id) REFERENCES big NOT VALID', '' ],
	[ 'big', 'ALTER TABLE ref VALIDATE CONSTRAINT ref_again', '' ],
	[ 'big', 'ALTER TABLE ref DROP COLUMN big_id', '' ],
	[ 'big', 'ALTER TABLE ref ADD x int REFERENCES big', '' ],
	[ 'big', 'DROP TABLE ref', '' ],
	[ 'ref', 'ALTER TABLE big ALTER id TYPE bigint', 'MG112' ],

	# one member of a tree is locked
	[ 'parted_1', 'ALTER TABLE parted ALTER v TYPE varchar(10)', 'MG112' ],
	[ 'parted_1', 'CREATE INDEX ON parted (v)', 'MG121' ],
	[ 'parted_1', 'ALTER TABLE parted ALTER v SET NOT NULL', 'MG111' ],
	[ 'parted_1', 'ALTER TABLE parted ADD UNIQUE (id)', 'MG107' ],
	[ 'parted_1', 'ALTER TABLE parted DETACH PARTITION parted_1', '' ],
	[ 'parted_rest', 'CREATE INDEX ON parted (v)', 'MG121' ],
	[ 'parted_rest', 'CREATE TABLE n PARTITION OF parted FOR VALUES FROM (7000) TO (8000)', 'MG120' ],
	[ 'parted_rest', 'ALTER TABLE parted ATTACH PARTITION lone FOR VALUES FROM (10001) TO (12001)', 'MG117' ],
	[ 'lone', 'ALTER TABLE parted ATTACH PARTITION lone FOR VALUES FROM (10001) TO (12001)', 'MG117' ],
	[ 'parted', 'ALTER TABLE parted ADD c float DEFAULT random()', 'MG101' ],
	[ 'parted', 'CREATE INDEX ON parted (v)', 'MG121' ],
	[ 'parted', 'ALTER TABLE parted_1 ALTER v SET NOT NULL', 'MG111' ],
	[ 'kid', 'ALTER TABLE parent ALTER a TYPE bigint', 'MG112' ],
	[ 'parent', 'ALTER TABLE parent ALTER a TYPE bigint', 'MG112' ],

	# everything at once
	[
		'big, ref, parted, lone, parent, medium, small',
		'ALTER TABLE big ALTER a TYPE bigint', 'MG112'
	]);

# What a session sees of a statement: explain()'s structure and check()'s rules.
# That somebody is in the way is what makes the difference here.
sub views
{
	my ($sql) = @_;

	return <<"EOM";
SELECT relation, lock_mode, blocks, rows > 1000 FROM migration_guard.explain(\$mg\$$sql\$mg\$)
	ORDER BY relation::text;
SELECT verdict, sqlstate, relation FROM migration_guard.check(\$mg\$$sql\$mg\$)
	WHERE rule NOT IN ('lock_queue', 'concurrently_timeout');
EOM
}

my $holder = mg_session($node, 'postgres');

mg_tell($holder, "SET migration_guard.mode = 'off';");
foreach my $case (@cases)
{
	my ($locked, $sql, $state) = @$case;
	my $what = "$locked locked: $sql";
	my $quiet = mg_psql($node, 'postgres', $impatient . views($sql));

	# LOCK TABLE knows no materialized views
	my $lock =
		$locked eq 'mv'
	  ? 'ALTER MATERIALIZED VIEW mv OWNER TO CURRENT_USER;'
	  : "LOCK TABLE $locked IN ACCESS EXCLUSIVE MODE;";

	mg_passes(mg_tell($holder, "BEGIN;\n$lock"), "$what: lock taken");

	my $now = mg_psql($node, 'postgres', $impatient . views($sql));

	mg_passes($now, "$what: explain() and check() do not wait");
	is($now->{out}, $quiet->{out}, "$what: and say the same as without the lock");

	# A statement that the guard refuses is refused although its table is
	# locked; one it lets pass then runs into core's wait for the lock.
	mg_refused(
		mg_psql($node, 'postgres', "$impatient$sql;\n"),
		$state || '55P03',
		"$what: " . ($state ? 'refused at once' : 'left to core'));
	mg_passes(mg_tell($holder, 'ROLLBACK;'), "$what: lock given back");
}

# ALTER TABLE ... ADD COLUMN, DROP etc. above were rolled back by core's lock
# timeout, so everything is as it was.
is(mg_value($node, 'postgres', q{SELECT count(*) FROM pg_index WHERE NOT indisvalid}),
	'0', 'nothing was left behind');

# ---------------------------------------------------------------------
# many locked tables, many statements
# ---------------------------------------------------------------------
my $script = join('; ', map { "CREATE INDEX ON mass_$_ (a); ALTER TABLE mass_$_ ADD b int" } 1 .. 400);

mg_tell($holder, 'BEGIN;');
mg_passes(
	mg_tell($holder, join("\n", map { "LOCK TABLE mass_$_ IN ACCESS EXCLUSIVE MODE;" } 1 .. 400)),
	'400 tables locked');
my $res = mg_psql($node, 'postgres', "$impatient SELECT count(*), count(DISTINCT relation), min(verdict), max(sqlstate) FROM migration_guard.check(\$mg\$$script\$mg\$) WHERE rule <> 'lock_queue'");
mg_passes($res, '400 locked tables: check() of a script does not wait');
is($res->{out}, '400|400|block|MG121', '400 locked tables: all judged');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) || ' ' || count(DISTINCT relation) FROM migration_guard.check(\$mg\$$script\$mg\$) WHERE rule = 'lock_queue'",
		'800 400'),
	'400 locked tables: all known to be locked');
$res = mg_psql($node, 'postgres', "$impatient SELECT count(DISTINCT relation) FROM migration_guard.explain(\$mg\$$script\$mg\$) WHERE relation::text LIKE 'mass%'");
mg_passes($res, '400 locked tables: explain() of a script does not wait');
is($res->{out}, '400', '400 locked tables: all explained');
$res = mg_psql($node, 'postgres',
	$impatient . join('', map { "CREATE INDEX ON mass_$_ (a);\n" } 1 .. 400));
mg_refused($res, join(' ', ('MG121') x 400), '400 locked tables: each statement refused at once');
mg_tell($holder, 'ROLLBACK;');

# ---------------------------------------------------------------------
# a lock queue that stands already
# ---------------------------------------------------------------------
my $waiter = mg_session($node, 'postgres', app => 'mg_waiter');

mg_tell($holder, "BEGIN;\nSELECT count(*) FROM big;");
$waiter->{in} .= "SET migration_guard.mode = 'off';\nBEGIN;\nLOCK TABLE big;\n";
IPC::Run::pump_nb($waiter->{h});
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'mg_waiter' AND wait_event_type = 'Lock'}),
	'somebody waits for AccessExclusiveLock');
foreach my $sql ('CREATE INDEX ON big (b)', 'ALTER TABLE big ALTER a TYPE bigint', 'ALTER TABLE ref ADD FOREIGN KEY (big_id) REFERENCES big')
{
	mg_passes(mg_psql($node, 'postgres', $impatient . views($sql)),
		"behind a lock queue: explain() and check() do not wait: $sql");
	like(join(' ', mg_errors(mg_psql($node, 'postgres', "$impatient$sql;\n"))),
		qr/^MG1\d\d$/, "behind a lock queue: refused at once: $sql");
}
mg_tell($holder, 'ROLLBACK;');
mg_passes(mg_tell($waiter, 'ROLLBACK;'), 'the waiter got its lock');
mg_close($waiter);

# ---------------------------------------------------------------------
# nothing is kept
# ---------------------------------------------------------------------
my $locks = <<'EOM';
SELECT coalesce(string_agg(format('%s %s', c.relname, mode), ', ' ORDER BY c.relname, mode), 'none')
	FROM pg_locks l JOIN pg_class c ON c.oid = l.relation AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	WHERE pid = pg_backend_pid() AND l.relation >= 16384 AND c.relnamespace = 'public'::regnamespace;
EOM
my @held = (
	[ 'nothing held', '' ],
	[ 'read before', 'SELECT count(*) FROM big, ref, parted, lone, kid WHERE false;' ],
	[ 'row locks before', 'SELECT 1 FROM big WHERE id = 1 FOR UPDATE; SELECT 1 FROM parted WHERE id = 1 FOR UPDATE;' ],
	[ 'written before', 'UPDATE big SET a = a WHERE id = 1; UPDATE parted SET v = v WHERE id = 1;' ],
	[ 'altered before', 'ALTER TABLE big ADD d int; ALTER TABLE parted ADD d int; ALTER TABLE lone ADD d int;' ],
	[ 'locked before', 'LOCK TABLE big, parted IN SHARE UPDATE EXCLUSIVE MODE;' ]);

foreach my $held (@held)
{
	my ($name, $prepare) = @$held;
	my $s = mg_session($node, 'postgres');

	mg_tell($s, $impatient);
	mg_tell($s, "BEGIN;\n$prepare");

	my $before = mg_tell($s, $locks)->{out};

	foreach my $case (@cases)
	{
		my $sql = $case->[1];
		my $r = mg_tell($s, views($sql));

		mg_passes($r, "$name: explain() and check(): $sql");
		my $after = mg_tell($s, $locks)->{out};

		is($after, $before, "$name: no lock more or fewer: $sql");
	}
	mg_tell($s, 'ROLLBACK;');
	mg_close($s);
}

# a refusal inside a subtransaction, and one caught inside a function, leave
# the transaction with the locks it had
mg_value($node, 'postgres', <<'EOM');
CREATE FUNCTION caught(q text) RETURNS text LANGUAGE plpgsql AS
	$f$ BEGIN EXECUTE q; RETURN 'passed'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $f$;
EOM
my $s = mg_session($node, 'postgres');

mg_tell($s, "$impatient\nBEGIN;\nSELECT 1 FROM big LIMIT 1;");
my $before = mg_tell($s, $locks)->{out};

foreach my $case (grep { $_->[2] ne '' && $_->[1] !~ /^VACUUM/ } @cases)
{
	is(mg_tell($s, "SELECT caught(\$mg\$$case->[1]\$mg\$);")->{out}, $case->[2], "refused and caught: $case->[1]");
}
is(mg_tell($s, $locks)->{out}, $before, 'refused and caught: no lock more or fewer');
mg_tell($s, 'COMMIT;');
mg_close($s);

mg_close($holder);
$node->stop;

mg_quiet('the server', $node);

done_testing();
