# Story 4: ADD COLUMN ... REFERENCES in one statement or in two.
#
# Every way to write a new column with a foreign key, on every kind of table.
# What differs is whether rows are looked up, and under which lock.

use strict;
use warnings;
use Story;
use Test::More;

my $fk = 'ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES p (id)';
my ($run, $one, $error);

story('story 4', 'story4',
	setup => q{
		CREATE TABLE p (id int PRIMARY KEY);
		INSERT INTO p SELECT generate_series(1, 10);
		CREATE TABLE t_empty (id int, c int);
		CREATE TABLE t_small (id int, c int);
		INSERT INTO t_small SELECT i, i FROM generate_series(1, 500) i;
		CREATE TABLE t_large (id int, c int);
		INSERT INTO t_large SELECT i, i FROM generate_series(1, 20000) i;
		CREATE TABLE t_part (id int, c int) PARTITION BY RANGE (id);
		CREATE TABLE t_part_1 PARTITION OF t_part FOR VALUES FROM (0) TO (7000);
		CREATE TABLE t_part_2 PARTITION OF t_part FOR VALUES FROM (7000) TO (14000);
		CREATE TABLE t_part_3 PARTITION OF t_part FOR VALUES FROM (14000) TO (30000);
		INSERT INTO t_part SELECT i, i FROM generate_series(1, 20000) i;
		CREATE TABLE t_old (id int, c int, x int);
		INSERT INTO t_old SELECT i, i, 1 FROM generate_series(1, 20000) i;
	});

# ---- every form on every table
#
# Of a form: its name, the statements before it, the statement, whether rows
# are looked up, and whether the statement locks readers out.
my @forms = (
	[ 'inline, no default', '', 'ADD COLUMN x int NULL REFERENCES p (id)', 0, 1 ],
	[ 'inline, default 1', '', 'ADD COLUMN x int DEFAULT 1 REFERENCES p (id)', 1, 1 ],
	[ 'inline, NOT NULL DEFAULT 1', '', 'ADD COLUMN x int NOT NULL DEFAULT 1 REFERENCES p (id)', 1, 1 ],
	[ 'inline, explicit DEFAULT NULL', '', 'ADD COLUMN x int DEFAULT NULL REFERENCES p (id)', 1, 1 ],
	[ 'two statements', 'ADD COLUMN x int', $fk, 1, 0 ],
	[ 'two statements, NOT VALID', 'ADD COLUMN x int', "$fk NOT VALID", 0, 0 ],
	[ 'two subcommands', '', "ADD COLUMN x int, $fk", 1, 1 ],
	[ 'two subcommands, NOT VALID', '', "ADD COLUMN x int, $fk NOT VALID", 0, 1 ]);

# Of a table: its name, whether it is large, whether it has rows, its leaves.
my @tables = (
	[ 't_empty', 0, 0 ],
	[ 't_small', 0, 1 ],
	[ 't_large', 1, 1 ],
	[ 't_part', 1, 1, 't_part_1', 't_part_2', 't_part_3' ]);

foreach my $table (@tables)
{
	my ($t, $large, $has_rows, @leaves) = @$table;

	foreach my $form (@forms)
	{
		my ($name, $first, $change, $looks, $shuts) = @$form;
		my $sql = "ALTER TABLE $t $change;";
		my $lock = $shuts ? 'AccessExclusiveLock|reads and writes' : 'ShareRowExclusiveLock|writes';
		my $looked_up = $looks && $has_rows && $change !~ /DEFAULT NULL/;
		my @expected = ('p|ShareRowExclusiveLock|writes|f|' . ($looked_up ? 't' : 'f') . '|0');

		if (@leaves && $change =~ /NOT VALID/)
		{
			# core refuses this up to 17, and has the word
			$run = run_sql(
				"BEGIN;\nALTER TABLE $t ADD COLUMN x int;\nALTER TABLE $t $fk NOT VALID;\nROLLBACK;",
				go_on => 1);
			is(guard_says($run->{said}), since(18) ? 'WARNING MG507' : '', "story 4: $t: $name: what the guard says");
			next;
		}

		# two statements: in two transactions
		passes("$t: $name: ADD COLUMN", "ALTER TABLE $t $first;") if $first;
		push @expected, "$t|$lock|f|" . ($looks && !@leaves ? 't' : 'f') . '|0';
		push @expected, "$_|$lock|f|" . ($looks ? 't' : 'f') . '|0' foreach @leaves;
		explain_is("$t: $name", $sql, \@expected);
		if ($looks && $large)
		{
			check_is("$t: $name", $sql,
				[ "1|block|add_foreign_key|MG105|$t", "1|warn|fk_without_index|MG507|$t" ]);
			refused("$t: $name", $sql,
				state => 'MG105',
				message => $shuts ? qr/would block reads and writes\b/ : qr/would block writes\b/,
				table => $t,
				indexes => 1,
				rest => $change =~ /^(ADD COLUMN x int), ADD/ ? "ALTER TABLE $t $1;" : '');
		}
		else
		{
			check_is("$t: $name", $sql, $large ? "1|warn|fk_without_index|MG507|$t" : []);
			passes("$t: $name", "BEGIN;\n$sql\nROLLBACK;", says => $large ? 'WARNING MG507' : '');
		}
		passes("$t: $name: start over", "ALTER TABLE $t DROP COLUMN x;",
			says => $has_rows ? 'WARNING MG503' : '') if $first;

		# two statements: in one transaction the lock of the first still counts
		next unless $first;
		if ($looks && $large)
		{
			refused("$t: $name in one transaction", $sql,
				before => "ALTER TABLE $t $first;",
				state => 'MG105',
				message => qr/would block reads and writes\b/,
				detail => qr/already holds AccessExclusiveLock .*since ALTER TABLE/s,
				indexes => 1,
				table => $t);
			check_is("$t: $name in one transaction", "BEGIN; ALTER TABLE $t $first; $sql COMMIT;",
				[ "3|block|add_foreign_key|MG105|$t", "3|warn|fk_without_index|MG507|$t" ]);
		}
		else
		{
			passes("$t: $name in one transaction", "BEGIN;\nALTER TABLE $t $first;\n$sql\nROLLBACK;",
				says => $large ? 'WARNING MG507' : '');
			check_is("$t: $name in one transaction", "BEGIN; ALTER TABLE $t $first; $sql COMMIT;",
				$large ? "3|warn|fk_without_index|MG507|$t" : []);
		}
	}
}

# ---- a table made in this transaction, filled or not
foreach my $form (@forms)
{
	my ($name, $first, $change, $looks) = @$form;
	my $sql = ($first ? "ALTER TABLE t_new $first;\n" : '') . "ALTER TABLE t_new $change;\n";

	passes("new table: $name", "BEGIN;\nCREATE TABLE t_new (id int);\n${sql}ROLLBACK;");
	check_is("new table: $name", "BEGIN; CREATE TABLE t_new (id int); $sql COMMIT;", []);
	passes("new table with 500 rows: $name",
		"BEGIN;\nCREATE TABLE t_new (id int);\n"
		  . "INSERT INTO t_new SELECT generate_series(1, 500);\n${sql}ROLLBACK;");
}
passes('new table with 20,000 rows: work that blocks nobody else',
	q{BEGIN;
	CREATE TABLE t_new AS SELECT i AS id, i AS c FROM generate_series(1, 20000) i;
	ALTER TABLE t_new ADD CHECK (c > 0);
	ALTER TABLE t_new ALTER COLUMN c SET NOT NULL;
	ALTER TABLE t_new ALTER COLUMN c TYPE bigint;
	ALTER TABLE t_new ADD PRIMARY KEY (id);
	CREATE INDEX ON t_new (c);
	ALTER TABLE t_new ADD COLUMN x int REFERENCES p (id);
	ROLLBACK;});
refused('new table with 20,000 rows: work that keeps others from writing to the old table',
	'ALTER TABLE t_new ADD COLUMN x int DEFAULT 1 REFERENCES p (id);',
	before => 'CREATE TABLE t_new AS SELECT i AS id FROM generate_series(1, 20000) i;',
	state => 'MG105',
	message => qr/"t_new" would block writes to "p"/,
	indexes => 1,
	detail => qr/ShareRowExclusiveLock/);
refused('a table that was only altered in this transaction is not new',
	'ALTER TABLE t_large ALTER COLUMN c SET NOT NULL;',
	before => 'ALTER TABLE t_large ADD COLUMN y int;',
	state => 'MG111');

# ---- subcommands share the strongest lock
passes('a foreign key that is not valid', "ALTER TABLE t_old $fk NOT VALID;", says => 'WARNING MG507');
explain_is('VALIDATE alone', 'ALTER TABLE t_old VALIDATE CONSTRAINT f',
	[ 'p|RowShareLock|nothing|f|t|0', 't_old|ShareUpdateExclusiveLock|nothing|f|t|0' ]);
explain_is('VALIDATE next to ADD COLUMN', 'ALTER TABLE t_old VALIDATE CONSTRAINT f, ADD COLUMN z int',
	[ 'p|RowShareLock|nothing|f|t|0', 't_old|AccessExclusiveLock|reads and writes|f|t|0' ]);
refused('VALIDATE next to ADD COLUMN',
	'ALTER TABLE t_old VALIDATE CONSTRAINT f, ADD COLUMN z int;',
	state => 'MG106',
	message => qr/^VALIDATE CONSTRAINT on "t_old" would block reads and writes\b/,
	detail => qr/AccessExclusiveLock/,
	hint => qr/VALIDATE CONSTRAINT "?f"?;/,
	table => 't_old',
	constraint => 'f',
	rest => 'ALTER TABLE t_old ADD COLUMN z int;');
refused('ADD COLUMN next to VALIDATE', 'ALTER TABLE t_old ADD COLUMN z int, VALIDATE CONSTRAINT f;',
	state => 'MG106',
	rest => 'ALTER TABLE t_old ADD COLUMN z int;');
passes('one after the other',
	"ALTER TABLE t_old ADD COLUMN z int;\nALTER TABLE t_old VALIDATE CONSTRAINT f;");
explain_is('VALIDATE of what is valid', 'ALTER TABLE t_old VALIDATE CONSTRAINT f',
	't_old|ShareUpdateExclusiveLock|nothing|f|f|0');

# ---- and share one scan, or one rewrite
admin('ALTER DATABASE story4 SET migration_guard.scan_rate = 1');
admin('ALTER DATABASE story4 SET migration_guard.rewrite_rate = 1');

sub estimate
{
	my ($change) = @_;
	my $answer = run_sql(qq{SELECT extract(epoch FROM sum(estimate)) FROM migration_guard.explain(
		'ALTER TABLE t_large $change') WHERE relation = 't_large'::regclass}, must => 1);

	return $answer->{out};
}

$one = estimate('ADD CHECK (c > 0)');
cmp_ok($one, '>', 0, 'story 4: a scan takes its time');
is(estimate('ADD CHECK (c > 0), ADD CHECK (id > 0)'), $one, 'story 4: two CHECKs share one scan');
is(estimate('ADD CHECK (c > 0), ALTER COLUMN id SET NOT NULL, ALTER COLUMN c SET NOT NULL'),
	$one, 'story 4: CHECK and NOT NULL share one scan');
cmp_ok(estimate("ADD COLUMN x int, $fk, ADD CONSTRAINT g FOREIGN KEY (c) REFERENCES p (id)"),
	'>', estimate("ADD COLUMN x int, $fk"), 'story 4: two foreign keys do not');
is(estimate('ALTER COLUMN c TYPE bigint, ADD CHECK (id > 0)'),
	estimate('ALTER COLUMN c TYPE bigint'), 'story 4: a CHECK shares the scan of a rewrite');
is(estimate('ALTER COLUMN c TYPE bigint, ALTER COLUMN id TYPE bigint'),
	estimate('ALTER COLUMN c TYPE bigint'), 'story 4: two type changes share one rewrite');
$error = refused('two CHECKs and a NOT NULL',
	'ALTER TABLE t_large ADD CONSTRAINT a CHECK (c > 0), ADD CONSTRAINT b CHECK (id > 0),'
	  . ' ALTER COLUMN c SET NOT NULL;',
	state => 'MG104',
	message => qr/would block reads and writes\b/,
	table => 't_large');

1;
