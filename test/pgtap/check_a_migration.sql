-- check_a_migration.sql
--
-- A migration is judged before anybody runs it: check() takes the script and
-- runs none of it.  This is what a pipeline does with the file that a developer
-- has added.
\ir setup.sql
SET migration_guard.warn_rows = 100;
SET migration_guard.block_rows = 1000;
SELECT plan(10);

-- the migration under test, as it would be read from a file
\set naive 'BEGIN; ALTER TABLE shop.customer ADD COLUMN phone text; CREATE INDEX customer_phone ON shop.customer (phone); COMMIT;'
\set corrected 'ALTER TABLE shop.customer ADD COLUMN phone text; CREATE INDEX CONCURRENTLY customer_phone ON shop.customer (phone);'

SELECT isnt_empty(
	format('SELECT * FROM migration_guard.check(%L)', :'naive'),
	'the naive migration is refused');
SELECT is_empty(
	format('SELECT * FROM migration_guard.check(%L)', :'corrected'),
	'the corrected migration passes');
SELECT results_eq(
	format('SELECT statement, verdict, rule, sqlstate, relation FROM migration_guard.check(%L)', :'naive'),
	$$VALUES (3, 'block', 'create_index', 'MG121', 'shop.customer'::regclass)$$,
	'it is the third statement, for one reason, on one table');
SELECT is_empty(
	format('SELECT * FROM migration_guard.check(%L) WHERE message IS NULL OR hint IS NULL', :'naive'),
	'a finding says what is wrong and what to do');
SELECT hasnt_column('shop', 'customer', 'phone', 'nothing of it has been run');

-- thresholds and settings decide
SET migration_guard.block_rows = 100000;
SELECT results_eq(
	format('SELECT verdict FROM migration_guard.check(%L)', :'naive'),
	ARRAY['warn'], 'under block_rows it is a warning');
SET migration_guard.warn_rows = 100000;
SELECT is_empty(
	format('SELECT * FROM migration_guard.check(%L)', :'naive'),
	'under warn_rows there is nothing to say');
SET migration_guard.warn_rows = 100;
SET migration_guard.block_rows = 1000;
SET migration_guard.rules = 'create_index = warn';
SELECT results_eq(
	format('SELECT verdict FROM migration_guard.check(%L)', :'naive'),
	ARRAY['warn'], 'a rule of lower action does no more than that');
RESET migration_guard.rules;

-- what a statement would do, whatever the size
SELECT results_eq(
	$$SELECT relation, lock_mode, blocks, rewrite, scan, index_builds
		FROM migration_guard.explain('ALTER TABLE shop.customer ALTER team_id TYPE bigint')
		WHERE relation = 'shop.customer'::regclass$$,
	$$VALUES ('shop.customer'::regclass, 'AccessExclusiveLock', 'reads and writes', true, true, 1)$$,
	'explain() says what the server would do');
SELECT is_empty(
	$$SELECT * FROM migration_guard.explain('CREATE INDEX CONCURRENTLY ON shop.customer (email)')
		WHERE blocks <> 'nothing'$$,
	'nobody is blocked by an index that is built concurrently');

SELECT * FROM finish();
\ir teardown.sql
