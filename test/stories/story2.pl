# Story 2: users must link to their teams.
#
# A foreign key on an existing column reads every row while nobody may write;
# NOT VALID, and VALIDATE in another transaction, does not.  And the questions
# the story left open: type changes, bloat, dropping.

use strict;
use warnings;
use Story;
use Test::More;

my $fk = 'ALTER TABLE users_user ADD CONSTRAINT fk_users_team'
  . ' FOREIGN KEY (team_id) REFERENCES teams_team(id)';
my $validate = 'ALTER TABLE users_user VALIDATE CONSTRAINT fk_users_team;';
my $fk_exists = q{SELECT count(*) FROM pg_constraint WHERE conname = 'fk_users_team'};
my ($error, @sql);

story('story 2', 'story2',
	preload => 1,
	setup => q{
		CREATE TABLE teams_team (id serial PRIMARY KEY, name text);
		INSERT INTO teams_team (name) SELECT 'team ' || i FROM generate_series(1, 50) i;
		CREATE TABLE users_user (id serial PRIMARY KEY, username varchar(150) UNIQUE);
		INSERT INTO users_user (username) SELECT 'user ' || i FROM generate_series(1, 20000) i;
		CREATE TABLE types (id int, n int, name varchar(20), code varchar(20), note text,
			amount numeric(10,2), at timestamp, seen timestamp, tag varchar(20)
			CHECK (length(tag) < 100));
		INSERT INTO types SELECT i, i, 'n' || i, 'c' || i, 'x', i, now(), now(), 'tag'
			FROM generate_series(1, 20000) i;
		CREATE INDEX types_n ON types (n);
		CREATE INDEX types_name ON types (name);
		CREATE INDEX types_lower ON types (lower(code));
		CREATE INDEX types_seen ON types (seen);
	});

# ---- the foreign key, as one writes it
passes('ADD COLUMN', 'ALTER TABLE users_user ADD COLUMN team_id INTEGER;');
explain_is('the foreign key', $fk,
	[ 'teams_team|ShareRowExclusiveLock|writes|f|t|0',
		'users_user|ShareRowExclusiveLock|writes|f|t|0' ]);
check_is('the foreign key', $fk,
	[ '1|block|add_foreign_key|MG105|users_user', '1|warn|fk_without_index|MG507|users_user' ]);
$error = refused('the foreign key',
	"$fk;",
	state => 'MG105',
	message => [ qr/^ADD FOREIGN KEY to "users_user" would block writes\b/, qr/\d.* rows/ ],
	detail => qr/ShareRowExclusiveLock/,
	indexes => 1,
	hint => [
		qr/CREATE INDEX CONCURRENTLY \S+ ON \S*users_user \(team_id\);/,
		qr/ADD CONSTRAINT "?fk_users_team"? FOREIGN KEY \("?team_id"?\) REFERENCES .*teams_team.* NOT VALID;/s,
		qr/VALIDATE CONSTRAINT "?fk_users_team"?;/
	],
	schema => 'public',
	table => 'users_user',
	constraint => 'fk_users_team');

# the hint's SQL, one transaction after the other
@sql = hint_sql($error->{HINT});
is(scalar(@sql), 3, 'story 2: the hint is three statements') or diag($error->{HINT});
passes("hint: $_", $_) foreach @sql;
value_is('hint: the foreign key is there and valid',
	q{SELECT convalidated FROM pg_constraint WHERE conname = 'fk_users_team'}, 't');
passes('start over', 'ALTER TABLE users_user DROP CONSTRAINT fk_users_team;');
passes('start over: the index', $sql[0] =~ s/^CREATE (INDEX CONCURRENTLY \S+) .*/DROP $1;/r);

# ---- the safe order
unfinished_is('nothing at first');
passes('safe order: the index', 'CREATE INDEX CONCURRENTLY users_user_team ON users_user (team_id);');
passes('safe order: NOT VALID', "$fk NOT VALID;");
explain_is('the foreign key, NOT VALID', $fk . ' NOT VALID',
	[ 'teams_team|ShareRowExclusiveLock|writes|f|f|0',
		'users_user|ShareRowExclusiveLock|writes|f|f|0' ]);
my @rows = unfinished_is('the constraint that is not valid',
	[ qr/^constraint not valid\|users_user\|fk_users_team\|/, qr/VALIDATE CONSTRAINT/ ]);
explain_is('VALIDATE', $validate,
	[ 'teams_team|RowShareLock|nothing|f|t|0',
		'users_user|ShareUpdateExclusiveLock|nothing|f|t|0' ]);
check_is('VALIDATE', $validate, []);

# VALIDATE while the ADD's lock is still held
passes('start over', 'ALTER TABLE users_user DROP CONSTRAINT fk_users_team;');
refused('VALIDATE in the transaction of the ADD',
	$validate,
	before => "$fk NOT VALID;",
	state => 'MG106',
	message => qr/^VALIDATE CONSTRAINT on "users_user" would block writes\b/,
	detail => [ qr/ShareUpdateExclusiveLock/,
		qr/already holds ShareRowExclusiveLock .*since ALTER TABLE/s ],
	hint => [ qr/commit first/i, qr/VALIDATE CONSTRAINT "?fk_users_team"?;/ ],
	table => 'users_user',
	constraint => 'fk_users_team');
check_is('ADD and VALIDATE in one transaction', "BEGIN; $fk NOT VALID; $validate COMMIT;",
	'3|block|validate_constraint|MG106|users_user');
check_is('ADD and VALIDATE in two', "$fk NOT VALID; $validate", []);
check_is('ADD and VALIDATE in two blocks',
	"BEGIN; $fk NOT VALID; COMMIT; BEGIN; $validate COMMIT;", []);
passes('separate transactions: ADD', "BEGIN;\n$fk NOT VALID;\nCOMMIT;");

# the statement that the view names finishes it
@rows = unfinished_is('again', [qr/fk_users_team/]);
passes("separate transactions: what unfinished names: $rows[0]{finish_sql}",
	"BEGIN;\n$rows[0]{finish_sql};\nCOMMIT;");
unfinished_is('nothing when it is valid');
value_is('the foreign key is valid',
	q{SELECT convalidated FROM pg_constraint WHERE conname = 'fk_users_team'}, 't');

# ---- changing the type of either side of it
explain_is('type change of the referencing column',
	'ALTER TABLE users_user ALTER COLUMN team_id TYPE bigint',
	[ 'teams_team|AccessExclusiveLock|reads and writes|f|t|0',
		'users_user|AccessExclusiveLock|reads and writes|t|t|3' ]);
explain_is('type change of the referenced column',
	'ALTER TABLE teams_team ALTER COLUMN id TYPE bigint',
	[ 'teams_team|AccessExclusiveLock|reads and writes|t|t|1',
		'users_user|AccessExclusiveLock|reads and writes|f|t|0' ]);
refused('type change of the referencing column',
	'ALTER TABLE users_user ALTER COLUMN team_id TYPE bigint;',
	state => 'MG112',
	message => qr/^ALTER COLUMN TYPE on "users_user" would block reads and writes\b/,
	detail => qr/"teams_team"/,
	hint => [ qr/index users_user_team\b/, qr/\bfk_users_team\b/ ],
	table => 'users_user',
	try_hint => 'runs');
refused('type change of the referenced column of a small table',
	'ALTER TABLE teams_team ALTER COLUMN id TYPE bigint;',
	state => 'MG112',
	message => qr/would block reads and writes\b/,
	detail => qr/"users_user"/,
	hint => qr/\bfk_users_team\b/,
	try_hint => 'no');

# ---- dropping the foreign key, or a table, locks both sides
explain_is('dropping the foreign key', 'ALTER TABLE users_user DROP CONSTRAINT fk_users_team',
	[ 'teams_team|AccessExclusiveLock|reads and writes|f|f|0',
		'users_user|AccessExclusiveLock|reads and writes|f|f|0' ]);
explain_is('dropping the referencing table', 'DROP TABLE users_user',
	[ 'teams_team|AccessExclusiveLock|reads and writes|f|f|0',
		'users_user|AccessExclusiveLock|reads and writes|f|f|0' ]);
explain_is('dropping the referenced table', 'DROP TABLE teams_team CASCADE',
	[ 'teams_team|AccessExclusiveLock|reads and writes|f|f|0',
		'users_user|AccessExclusiveLock|reads and writes|f|f|0' ]);
explain_is('dropping the column', 'ALTER TABLE users_user DROP COLUMN team_id',
	[ 'teams_team|AccessExclusiveLock|reads and writes|f|f|0',
		'users_user|AccessExclusiveLock|reads and writes|f|f|0' ]);
value_is('the reason names the foreign key',
	q{SELECT bool_and(reason LIKE '%fk_users_team%') FROM migration_guard.explain(
	  'ALTER TABLE users_user DROP CONSTRAINT fk_users_team') WHERE relation = 'teams_team'::regclass},
	't');
passes('dropping the foreign key', 'ALTER TABLE users_user DROP CONSTRAINT fk_users_team;');
value_is('it is gone', $fk_exists, '0');

# ---- bloat: nothing that rewrites the table in one go, but there is a way
refused('VACUUM FULL',
	'VACUUM FULL users_user;',
	state => 'MG123',
	message => qr/^VACUUM FULL of "users_user" would block reads and writes\b/,
	detail => qr/AccessExclusiveLock/,
	hint => [ qr/VACUUM|pg_repack|pg_squeeze/, qr/REINDEX|pg_repack|pg_squeeze/ ],
	table => 'users_user');
refused('CLUSTER',
	'CLUSTER users_user USING users_user_pkey;',
	state => 'MG124',
	message => qr/^CLUSTER of "users_user" would block reads and writes\b/,
	detail => qr/AccessExclusiveLock/,
	hint => [ since(19) ? qr/REPACK \(CONCURRENTLY\)/ : qr/no online form/, qr/pg_repack/ ],
	table => 'users_user',
	try_hint => 'no');
passes('CLUSTER ON alone', 'ALTER TABLE users_user CLUSTER ON users_user_pkey;');
refused('CLUSTER without USING', 'CLUSTER users_user;', state => 'MG124', table => 'users_user',
	try_hint => 'no');
passes('start over', 'ALTER TABLE users_user SET WITHOUT CLUSTER;');
explain_is('VACUUM FULL', 'VACUUM FULL users_user',
	'users_user|AccessExclusiveLock|reads and writes|t|t|3');
explain_is('CLUSTER', 'CLUSTER users_user USING users_user_pkey',
	'users_user|AccessExclusiveLock|reads and writes|t|t|3');
passes('VACUUM', 'VACUUM users_user;');
passes('REINDEX CONCURRENTLY', 'REINDEX TABLE CONCURRENTLY users_user;');

# ---- type changes: is the table rewritten, and what happens to its indexes?
#
# Each case: name, statement, rewrite, scan, index builds of the table.  The
# same statement then runs for real with the guard off, and the file numbers
# tell whether explain was right.
my @cases = (
	[ 'int to bigint', 'ALTER COLUMN n TYPE bigint', 't', 't', 4 ],
	[ 'the same type', 'ALTER COLUMN n TYPE int', 'f', 'f', 0 ],
	[ 'varchar wider', 'ALTER COLUMN name TYPE varchar(40)', 'f', 'f', 0 ],
	[ 'varchar to text', 'ALTER COLUMN name TYPE text', 'f', 'f', 0 ],
	[ 'varchar narrower', 'ALTER COLUMN name TYPE varchar(10)', 't', 't', 4 ],
	[ 'varchar wider with USING', 'ALTER COLUMN name TYPE varchar(40) USING name::varchar(40)', 'f', 'f', 0 ],
	[ 'USING that computes', 'ALTER COLUMN name TYPE text USING lower(name)', 't', 't', 4 ],
	[ 'another collation', 'ALTER COLUMN name TYPE text COLLATE "C"', 'f', 't', 1 ],
	[ 'varchar wider below an expression index', 'ALTER COLUMN code TYPE varchar(40)', 'f', 't', 1 ],
	[ 'varchar wider below a CHECK', 'ALTER COLUMN tag TYPE varchar(40)', 'f', 't', 0 ],
	[ 'text to varchar', 'ALTER COLUMN note TYPE varchar', 'f', 'f', 0 ],
	[ 'text to varchar(10)', 'ALTER COLUMN note TYPE varchar(10)', 't', 't', 4 ],
	[ 'numeric wider', 'ALTER COLUMN amount TYPE numeric(12,2)', 'f', 'f', 0 ],
	[ 'numeric without limits', 'ALTER COLUMN amount TYPE numeric', 'f', 'f', 0 ],
	[ 'numeric with another scale', 'ALTER COLUMN amount TYPE numeric(12,4)', 't', 't', 4 ],
	[ 'timestamp to timestamptz in UTC', 'ALTER COLUMN at TYPE timestamptz', 'f', 'f', 0, 'UTC' ],
	[ 'timestamp to timestamptz in Berlin', 'ALTER COLUMN at TYPE timestamptz', 't', 't', 4, 'Europe/Berlin' ],
	[ 'indexed timestamp to timestamptz in UTC', 'ALTER COLUMN seen TYPE timestamptz', 'f', 't', 1, 'UTC' ],
	[ 'timestamp to timestamp(3)', 'ALTER COLUMN at TYPE timestamp(3)', 't', 't', 4 ]);
my $files = q{SELECT relname, relfilenode FROM pg_class WHERE relname ~ '^types' ORDER BY 1;};

foreach my $case (@cases)
{
	my ($name, $change, $rewrite, $scan, $builds, $zone) = @$case;
	my $set = $zone ? "SET TimeZone = '$zone';\n" : '';
	my $sql = "ALTER TABLE types $change";
	my ($before, $after, $rewritten, $built, %old, %new);

	explain_is($name, $sql, "types|AccessExclusiveLock|reads and writes|$rewrite|$scan|$builds",
		before => $set);
	($before, $after) = split /^--\n/m,
	  admin("SET migration_guard.mode = off; $set BEGIN; $files\n\\echo --\n$sql; $files ROLLBACK;");
	%old = map { split /\|/ } split /\n/, $before;
	%new = map { split /\|/ } split /\n/, $after;
	$rewritten = $old{types} eq $new{types} ? 'f' : 't';
	$built = grep { $_ ne 'types' && $old{$_} ne $new{$_} } keys %old;
	is("$rewritten $built", "$rewrite $builds", "story 2: explain: $name: and so does the server");

	if ($rewrite eq 't' || $scan eq 't')
	{
		refused("type change: $name",
			"$sql;",
			session => $set,
			state => $rewrite eq 't' ? 'MG112' : 'MG113',
			try_hint => $rewrite eq 't' ? 'runs' : 'leads there',
			not_detail => $rewrite eq 't' ? qr/keeps its file/ : undef,
			message => qr/^ALTER COLUMN TYPE on "types" would block reads and writes\b/,
			table => 'types');
	}
	else
	{
		passes("type change: $name", "$set BEGIN; $sql; ROLLBACK;");
	}
}

# the indexes that are built anew are named
foreach my $case (
	[ 'another collation', 'ALTER COLUMN name TYPE text COLLATE "C"', 'types_name' ],
	[ 'an expression index', 'ALTER COLUMN code TYPE varchar(40)', 'types_lower' ])
{
	my ($name, $change, $index) = @$case;
	my $run = run_sql(qq{SELECT string_agg(coalesce(reason, ''), ' ')
		FROM migration_guard.explain('ALTER TABLE types $change')});

	like($run->{out}, qr/\b$index\b/, "story 2: explain: $name: says which index is built anew");
}

1;
