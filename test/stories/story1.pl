# Story 1: a foreign key on a table with hundreds of millions of rows.
#
# Django wraps ADD COLUMN ... REFERENCES and CREATE INDEX in one transaction.
# The ALTER is metadata only; the index build would run under the
# AccessExclusiveLock that the ALTER left behind.

use strict;
use warnings;
use Story;
use Test::More;

my $tables = q{
	CREATE TABLE chat_pushnotificationtoken (id serial PRIMARY KEY, token text UNIQUE);
	INSERT INTO chat_pushnotificationtoken (token) SELECT 't' || i FROM generate_series(1, 100) i;
	CREATE TABLE chat_message (id serial PRIMARY KEY, text text)
		WITH (autovacuum_enabled = off);
};
my $alter = q{ALTER TABLE "chat_message" ADD COLUMN "push_notification_token_id" integer NULL
	CONSTRAINT "chat_message_push_fk" REFERENCES "chat_pushnotificationtoken"("id")
	DEFERRABLE INITIALLY DEFERRED;};
my $constraints = q{SET CONSTRAINTS "chat_message_push_fk" IMMEDIATE;};
my $index = q{CREATE INDEX "chat_message_push_idx" ON "chat_message" ("push_notification_token_id");};
my $naive = "BEGIN;\n$alter\n$constraints\n$index\nCOMMIT;";

# "relation|mode" of the strongest lock that the transaction holds on each
# table, readers and row lockers aside
my $strong_locks = q{
	SELECT DISTINCT ON (l.relation::regclass::text) l.relation::regclass, l.mode
	FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
	JOIN (VALUES ('RowExclusiveLock', 3), ('ShareUpdateExclusiveLock', 4), ('ShareLock', 5),
		('ShareRowExclusiveLock', 6), ('ExclusiveLock', 7), ('AccessExclusiveLock', 8)) m (mode, rank)
		ON m.mode = l.mode
	WHERE l.pid = pg_backend_pid() AND l.relation >= 16384 AND c.relkind IN ('r', 'p')
	ORDER BY l.relation::regclass::text, m.rank DESC;};

sub naive_is_refused
{
	my ($size) = @_;
	my ($error, $before, $run);

	$error = refused("the index build after the ALTER ($size)",
		$index,
		before => "$alter\n$constraints",
		state => 'MG121',
		message => [
			qr/^CREATE INDEX on "chat_message" would block reads and writes/,
			qr/rows/, qr/[kMG]?B\b/
		],
		detail => [
			qr/\bShareLock\b/, qr/writes/,
			qr/already holds AccessExclusiveLock .*since ALTER TABLE/s, qr/reads/
		],
		hint => [
			qr/commit first/i, qr/outside (?:of )?a transaction block/i,
			qr/CREATE INDEX CONCURRENTLY "?chat_message_push_idx"? ON .*chat_message/,
			qr/\("?push_notification_token_id"?\);/
		],
		schema => 'public',
		table => 'chat_message',
		hint_says => 'WARNING MG507',
		try_hint => $size =~ /million/ ? 'no' : 'leads there');

	# the migration as it is written: the transaction fails as a whole
	$before = fingerprint();
	$run = run_sql($naive, go_on => 1);
	is(guard_says($run->{said}), 'WARNING MG507, ERROR MG121', "story 1: whole migration ($size): refused");
	is(fingerprint(), $before, "story 1: whole migration ($size): nothing has changed");

	# the same through the simple protocol in one string
	$run = run_sql(join(' \\; ', map { s/;\s*$//r } $alter, $constraints, $index) . ';',
		go_on => 1);
	is(guard_says($run->{said}), 'WARNING MG507, ERROR MG121', "story 1: one query string ($size): refused");
	is(fingerprint(), $before, "story 1: one query string ($size): nothing has changed");
	return $error;
}

sub corrected_passes
{
	my ($size, $hint) = @_;
	my @sql = hint_sql($hint);

	is(scalar(@sql), 1, "story 1: the hint is one statement ($size)") or diag($hint);
	passes("split ($size): ADD COLUMN in its own transaction",
		"BEGIN;\n$alter\n$constraints\nCOMMIT;",
		says => 'WARNING MG507');
	passes("split ($size): the hint's SQL", $sql[0]);
	value_is(
		"split ($size): the index is there and valid",
		q{SELECT indisvalid, pg_get_indexdef(indexrelid) ~ '\(push_notification_token_id\)$'
		  FROM pg_index WHERE indexrelid = 'chat_message_push_idx'::regclass},
		't|t');
	value_is(
		"split ($size): the foreign key is there and valid",
		q{SELECT convalidated, condeferrable, condeferred FROM pg_constraint
		  WHERE conname = 'chat_message_push_fk'},
		't|t|t');
	return;
}

# ---- low thresholds
my ($error, $run, $before);

story('story 1', 'story1',
	setup => $tables
	  . q{INSERT INTO chat_message (text) SELECT 'hello ' || i FROM generate_series(1, 20000) i;});

# what the ALTER does, asked before and seen after
explain_is('the ALTER', $alter,
	[ 'chat_message|AccessExclusiveLock|reads and writes|f|f|0',
		'chat_pushnotificationtoken|ShareRowExclusiveLock|writes|f|f|0' ]);
explain_is('the ALTER, indexes too', $alter,
	[ 'chat_message|AccessExclusiveLock|reads and writes|f|f|0',
		'chat_pushnotificationtoken|ShareRowExclusiveLock|writes|f|f|0' ],
	indexes => 1);
check_is('the ALTER', $alter, '1|warn|fk_without_index|MG507|chat_message');
$run = passes('the ALTER', "BEGIN;\n$alter\n$constraints\n$strong_locks\nROLLBACK;",
	says => 'WARNING MG507');
is($run->{out},
	"chat_message|AccessExclusiveLock\nchat_pushnotificationtoken|ShareRowExclusiveLock",
	'story 1: the ALTER: the server takes the locks that explain has said');

# the index build: alone it blocks writers, behind the ALTER readers too
explain_is('the index build', 'CREATE INDEX i ON chat_message (text)',
	'chat_message|ShareLock|writes|f|t|1');
check_is('the naive migration', $naive,
	[ '2|warn|fk_without_index|MG507|chat_message', '4|block|create_index|MG121|chat_message' ]);
check_is(
	'the naive migration, SET CONSTRAINTS left out',
	"BEGIN; $alter $index COMMIT;",
	[ '2|warn|fk_without_index|MG507|chat_message', '3|block|create_index|MG121|chat_message' ]);
refused('the index build alone',
	'CREATE INDEX chat_message_text_idx ON chat_message (text);',
	state => 'MG121',
	message => qr/^CREATE INDEX on "chat_message" would block writes\b/,
	not_message => qr/reads/,
	detail => qr/\bShareLock\b/,
	not_detail => qr/AccessExclusiveLock/,
	hint => qr/CREATE INDEX CONCURRENTLY/,
	not_hint => qr/commit first/i,
	table => 'chat_message');
$error = naive_is_refused('20,000 rows');
corrected_passes('20,000 rows', $error->{HINT});

# the through table: Django's three statements, and all in one
passes('start over', 'ALTER TABLE chat_message DROP COLUMN push_notification_token_id;',
	says => 'WARNING MG503');
my $through = q{CREATE TABLE "chat_message_push" ("id" serial NOT NULL PRIMARY KEY,
	"message_id" integer NOT NULL UNIQUE, "token_id" integer NOT NULL);};
my @references = (
	q{ALTER TABLE "chat_message_push" ADD CONSTRAINT "message_fk" FOREIGN KEY ("message_id")
		REFERENCES "chat_message" ("id") DEFERRABLE INITIALLY DEFERRED;},
	q{ALTER TABLE "chat_message_push" ADD CONSTRAINT "token_fk" FOREIGN KEY ("token_id")
		REFERENCES "chat_pushnotificationtoken" ("id") DEFERRABLE INITIALLY DEFERRED;});
my $through_index = q{CREATE INDEX "token_idx" ON "chat_message_push" ("token_id");};
my $inline = q{CREATE TABLE chat_message_push (id serial PRIMARY KEY,
	message_id integer NOT NULL UNIQUE REFERENCES chat_message (id),
	token_id integer NOT NULL REFERENCES chat_pushnotificationtoken (id))};

explain_is('the through table, references inline', $inline,
	[ 'chat_message|ShareRowExclusiveLock|writes|f|f|0',
		'chat_pushnotificationtoken|ShareRowExclusiveLock|writes|f|f|0' ],
	indexes => 1);
explain_is('the foreign key of the new table', $references[0],
	[ 'chat_message|ShareRowExclusiveLock|writes|f|f|0',
		'chat_message_push|ShareRowExclusiveLock|writes|f|t|0' ],
	before => "BEGIN; $through",
	indexes => 1);
$run = run_sql(qq{
	SELECT c.oid::regclass, e.lock_mode, e.blocks, e.rewrite, e.scan, e.index_builds
	FROM migration_guard.explain(\$mg\$BEGIN; $through @references $through_index COMMIT;\$mg\$) e
	JOIN pg_class c ON c.oid = e.relation ORDER BY c.oid::regclass::text;});
is($run->{err} . $run->{out},
	"chat_message|ShareRowExclusiveLock|writes|f|f|0\n"
	  . 'chat_pushnotificationtoken|ShareRowExclusiveLock|writes|f|f|0',
	'story 1: explain: the through table as a script');
check_is('the through table as a script', "BEGIN; $through @references $through_index COMMIT;", []);
check_is('the through table, references inline', $inline, []);
$run = passes('the through table',
	"BEGIN;\n$through\n@references\n$through_index\n$strong_locks\nCOMMIT;");
is( join("\n", grep { /^chat_message\|/ } split /\n/, $run->{out}),
	'chat_message|ShareRowExclusiveLock',
	'story 1: the through table: the server takes ShareRowExclusiveLock on the large table');
value_is('the through table: both foreign keys are valid',
	q{SELECT count(*) FROM pg_constraint WHERE conrelid = 'chat_message_push'::regclass
	  AND contype = 'f' AND convalidated}, '2');
passes('the through table, references inline', "DROP TABLE chat_message_push;\n$inline;");
passes('the through table is used',
	'INSERT INTO chat_message_push (message_id, token_id) VALUES (1, 1), (2, 1);');

# ---- the thresholds as they come, on a table that nobody ever analyzed
story('story 1', 'story1_defaults',
	thresholds => 0,
	setup => $tables
	  . q{INSERT INTO chat_message (text) SELECT 'hello ' || i FROM generate_series(1, 1100000) i;
	CREATE TABLE medium (id int, a int) WITH (autovacuum_enabled = off);
	INSERT INTO medium SELECT i, i FROM generate_series(1, 200000) i;
	CREATE TABLE small (id int, a int) WITH (autovacuum_enabled = off);
	INSERT INTO small SELECT i, i FROM generate_series(1, 20000) i;});
value_is('defaults: no table was analyzed',
	q{SELECT string_agg(DISTINCT reltuples::text, ',') FROM pg_class
	  WHERE relname IN ('medium', 'small')}, '-1');
value_is('defaults: nor the large one',
	q{SELECT reltuples FROM pg_class WHERE relname = 'chat_message'}, '-1');
$error = naive_is_refused('1.1 million rows');
like($error->{message}, qr/\b1\.[0-4] million rows/,
	'story 1: defaults: about as many rows as there are');
value_is(
	'defaults: explain has about as many rows and bytes as there are',
	q{SELECT rows BETWEEN 900000 AND 1400000, bytes BETWEEN 0.5 * pg_table_size(relation) AND
	  2 * pg_total_relation_size(relation), estimate > interval '0'
	  FROM migration_guard.explain('CREATE INDEX ON chat_message (text)')},
	't|t|t');
corrected_passes('1.1 million rows', $error->{HINT});
passes('defaults: 200,000 rows are warned about', 'CREATE INDEX medium_a ON medium (a);',
	says => 'WARNING MG121');
passes('defaults: 20,000 rows are not worth a word', 'CREATE INDEX small_a ON small (a);');

1;
