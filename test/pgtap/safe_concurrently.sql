-- safe_concurrently.sql
--
-- What cannot run in a transaction block is run or asked about outside of one.
\ir setup.sql
SET migration_guard.block_rows = 1000;
SELECT plan(5);

SELECT is_empty(
	$$SELECT * FROM migration_guard.check('CREATE INDEX CONCURRENTLY customer_email ON shop.customer (email)')$$,
	'an index, concurrently');
SELECT is_empty(
	$$SELECT * FROM migration_guard.check('REINDEX TABLE CONCURRENTLY shop.customer')$$,
	'a new index for an old one, concurrently');
SELECT is_empty(
	$$SELECT * FROM migration_guard.check('ALTER TABLE shop.sale DETACH PARTITION shop.sale_2024 CONCURRENTLY')$$,
	'a partition less, concurrently');

-- story 5, the way that works
CREATE UNIQUE INDEX CONCURRENTLY customer_email_idx ON shop.customer (email);
SELECT lives_ok(
	'ALTER TABLE shop.customer ADD CONSTRAINT customer_email_key UNIQUE USING INDEX customer_email_idx',
	'a unique constraint that takes over an index');

-- SET NOT NULL, the way that works
ALTER TABLE shop.customer ADD CONSTRAINT proof CHECK (email IS NOT NULL) NOT VALID;
ALTER TABLE shop.customer VALIDATE CONSTRAINT proof;
SELECT lives_ok(
	'ALTER TABLE shop.customer ALTER email SET NOT NULL', 'NOT NULL that a constraint proves');

SELECT * FROM finish();
\ir teardown.sql
