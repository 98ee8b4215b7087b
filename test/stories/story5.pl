# Story 5: a unique constraint on a table with millions of rows.

use strict;
use warnings;
use Story;
use Test::More;

my $add = 'ALTER TABLE ads_impressioncounter ADD CONSTRAINT unique_ad_impression_date'
  . ' UNIQUE (ad_id, impression_date)';
my $build = 'CREATE UNIQUE INDEX CONCURRENTLY ads_ic_idx ON ads_impressioncounter (ad_id, impression_date);';
my $using = 'ALTER TABLE ads_impressioncounter ADD CONSTRAINT unique_ad_impression_date'
  . ' UNIQUE USING INDEX ads_ic_idx;';
my $drop = 'ALTER TABLE ads_impressioncounter DROP CONSTRAINT unique_ad_impression_date;';
my ($error, @sql, $run, @rows);

story('story 5', 'story5',
	setup => q{
		CREATE TABLE ads_impressioncounter (id serial PRIMARY KEY, ad_id int NOT NULL,
			impression_date date NOT NULL, impressions int NOT NULL DEFAULT 0);
		INSERT INTO ads_impressioncounter (ad_id, impression_date)
			SELECT i % 200, date '2020-01-01' + i / 200 FROM generate_series(1, 20000) i;
		CREATE SCHEMA "Ad Server";
		CREATE TABLE "Ad Server"."Impression Counter" ("Ad" int NOT NULL, "user" int NOT NULL,
			"when" date NOT NULL);
		INSERT INTO "Ad Server"."Impression Counter"
			SELECT i, i, date '2020-01-01' FROM generate_series(1, 20000) i;
	});

sub constraint_is_valid
{
	my ($name) = @_;

	value_is(
		"$name: the constraint is there",
		q{SELECT contype, pg_get_constraintdef(oid) FROM pg_constraint
		  WHERE conname = 'unique_ad_impression_date'},
		'u|UNIQUE (ad_id, impression_date)');
	return;
}

# ---- the constraint as one writes it
explain_is('UNIQUE', $add, 'ads_impressioncounter|AccessExclusiveLock|reads and writes|f|t|1');
check_is('UNIQUE', $add, '1|block|add_unique|MG107|ads_impressioncounter');
$error = refused('UNIQUE',
	"$add;",
	state => 'MG107',
	message => qr/^ADD UNIQUE to "ads_impressioncounter" would block reads and writes\b/,
	detail => [ qr/AccessExclusiveLock/, qr/index/ ],
	hint => [
		qr/CREATE UNIQUE INDEX CONCURRENTLY \S+ ON .*ads_impressioncounter/,
		qr/\("?ad_id"?, "?impression_date"?\);/,
		qr/ADD CONSTRAINT "?unique_ad_impression_date"? UNIQUE USING INDEX \S+;/
	],
	not_hint => qr/NOT VALID/,
	schema => 'public',
	table => 'ads_impressioncounter',
	constraint => 'unique_ad_impression_date');

# the hint's SQL runs
@sql = hint_sql($error->{HINT});
is(scalar(@sql), 2, 'story 5: the hint is two statements') or diag($error->{HINT});
passes("hint: $_", $_) foreach @sql;
constraint_is_valid('hint');
unfinished_is('the hint leaves nothing behind');
passes('start over', $drop);

# the story's own SQL runs; its example of how not to write it is core's to refuse
passes('the index', $build);
explain_is('USING INDEX', $using, 'ads_impressioncounter|AccessExclusiveLock|reads and writes|f|f|0');
$run = run_sql(
	'ALTER TABLE ads_impressioncounter ADD CONSTRAINT unique_ad_impression_date'
	  . ' UNIQUE (ad_id, impression_date) USING INDEX (ads_ic_idx);',
	go_on => 1);
is($run->{said}[0]{state}, '42601', 'story 5: UNIQUE (cols) USING INDEX (name): a syntax error');
passes('USING INDEX', $using);
constraint_is_valid('USING INDEX');
passes('start over', $drop);

# in one transaction with other work the lock of the first statement still counts
refused('UNIQUE after ADD COLUMN',
	"$add;",
	before => 'ALTER TABLE ads_impressioncounter ADD COLUMN note text;',
	state => 'MG107',
	detail => qr/AccessExclusiveLock/);

# ---- names that need quoting, a schema that is not in the search_path
$error = refused('quoted names',
	'ALTER TABLE "Ad Server"."Impression Counter" ADD CONSTRAINT "one per Day"'
	  . ' UNIQUE ("Ad", "when", "user");',
	state => 'MG107',
	message => qr/"Impression Counter"/,
	schema => 'Ad Server',
	table => 'Impression Counter',
	constraint => 'one per Day');
passes("quoted names: hint: $_", $_) foreach hint_sql($error->{HINT});
value_is('quoted names: the constraint is there',
	q{SELECT conrelid::regclass FROM pg_constraint WHERE conname = 'one per Day'},
	'"Ad Server"."Impression Counter"');
$error = refused('no name for the constraint',
	'ALTER TABLE "Ad Server"."Impression Counter" ADD UNIQUE ("user") INCLUDE ("Ad");',
	state => 'MG107');
passes("no name for the constraint: hint: $_", $_) foreach hint_sql($error->{HINT});
value_is('no name for the constraint: it is there',
	q{SELECT count(*) FROM pg_constraint WHERE contype = 'u'
	  AND pg_get_constraintdef(oid) = 'UNIQUE ("user") INCLUDE ("Ad")'}, '1');
$error = refused('a primary key',
	'ALTER TABLE "Ad Server"."Impression Counter" ADD PRIMARY KEY ("Ad");',
	state => 'MG108',
	hint => qr/PRIMARY KEY USING INDEX/);
passes("a primary key: hint: $_", $_) foreach hint_sql($error->{HINT});
value_is('a primary key: it is there',
	q{SELECT count(*) FROM pg_constraint WHERE contype = 'p'
	  AND conrelid = '"Ad Server"."Impression Counter"'::regclass}, '1');

# ---- duplicates
run_sql(q{INSERT INTO ads_impressioncounter (ad_id, impression_date)
	SELECT ad_id, impression_date FROM ads_impressioncounter WHERE id = 1;}, must => 1);
$run = run_sql($build, go_on => 1);
is($run->{said}[0]{state}, '23505', 'story 5: duplicates: the build fails, as core says');
is(guard_says($run->{said}), '', 'story 5: duplicates: the guard says nothing about it');
@rows = unfinished_is('the invalid index',
	[ qr/^invalid index\|ads_impressioncounter\|/, qr/\bads_ic_idx\b/ ]);
my ($reindex, $remove) = ($rows[0]{finish_sql}, $rows[0]{remove_sql});
like($reindex, qr/^REINDEX INDEX CONCURRENTLY .*ads_ic_idx$/, 'story 5: unfinished: it can be finished');
like($remove, qr/^DROP INDEX CONCURRENTLY .*ads_ic_idx$/, 'story 5: unfinished: it can be removed');

# a rerun would skip it; it is advised to build it again, which works without the duplicates
my $deduplicate = q{DELETE FROM ads_impressioncounter a USING ads_impressioncounter b
	WHERE a.ad_id = b.ad_id AND a.impression_date = b.impression_date AND a.id > b.id;};
foreach my $form ('UNIQUE INDEX CONCURRENTLY', 'UNIQUE INDEX', 'INDEX CONCURRENTLY')
{
	my $sql = "CREATE $form IF NOT EXISTS ads_ic_idx ON ads_impressioncounter (ad_id, impression_date);";

	check_is("a rerun with $form IF NOT EXISTS", $sql, '1|block|invalid_index|MG601|ads_ic_idx')
	  if $form =~ /CONCURRENTLY/;
	$error = refused("a rerun with $form IF NOT EXISTS", $sql,
		state => 'MG601', try_hint => 'runs', rest => $deduplicate);
	like($error->{message} // '', qr/"ads_ic_idx"/, "story 5: rerun with $form: names the index");
	like(($error->{message} // '') . ($error->{DETAIL} // ''),
		qr/invalid/i, "story 5: rerun with $form: says that it is invalid");
	like($error->{HINT} // '', qr/DROP INDEX CONCURRENTLY .*\nCREATE (?:UNIQUE )?INDEX CONCURRENTLY/,
		"story 5: rerun with $form: names a way out");
}
$run = run_sql($using, go_on => 1);
is($run->{said}[-1]{state}, '55000', 'story 5: USING INDEX with it: core refuses');

# take the duplicate out, and finish or remove the index
run_sql($deduplicate, must => 1);
passes("remove it: $remove", "$remove;");
unfinished_is('removed');
run_sql(q{INSERT INTO ads_impressioncounter (ad_id, impression_date)
	SELECT ad_id, impression_date FROM ads_impressioncounter WHERE id = 1;}, must => 1);
run_sql($build, go_on => 1);
unfinished_is('invalid again', [qr/ads_ic_idx/]);
run_sql($deduplicate, must => 1);
passes("finish it: $reindex", "$reindex;");
unfinished_is('finished');
passes('a rerun with IF NOT EXISTS finds a valid index',
	$build =~ s/CONCURRENTLY/CONCURRENTLY IF NOT EXISTS/r);
passes('USING INDEX', $using);
constraint_is_valid('after all');

1;
