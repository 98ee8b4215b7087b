-- refusals.sql
--
-- Statements that would stop the shop are refused, each with the SQLSTATE of
-- its rule; the table is as it was.  throws_ok() runs the statement for real.
\ir setup.sql
SET migration_guard.block_rows = 1000;
SET client_min_messages = error;

BEGIN;
SELECT plan(16);

SELECT throws_ok(
	'CREATE INDEX customer_email ON shop.customer (email)', 'MG121', NULL,
	'an index on a large table has to be built concurrently');
SELECT throws_ok(
	'CREATE INDEX sale_customer ON shop.sale (customer_id)', 'MG121', NULL,
	'so has one on a partitioned table, partition by partition');
SELECT throws_ok(
	'ALTER TABLE shop.customer ADD CONSTRAINT customer_email_key UNIQUE (email)', 'MG107', NULL,
	'a unique constraint needs an index that is there already');
SELECT throws_ok(
	'ALTER TABLE shop.customer ADD CONSTRAINT customer_team FOREIGN KEY (team_id) REFERENCES shop.team',
	'MG105', NULL, 'a foreign key is added NOT VALID first');
SELECT throws_ok(
	'ALTER TABLE shop.customer ADD CONSTRAINT customer_email_set CHECK (email <> '''')',
	'MG104', NULL, 'a check is added NOT VALID first');
SELECT throws_ok(
	'ALTER TABLE shop.customer ALTER email SET NOT NULL', 'MG111', NULL,
	'NOT NULL needs a constraint that proves it');
SELECT throws_ok(
	'ALTER TABLE shop.customer ALTER team_id TYPE bigint', 'MG112', NULL,
	'int to bigint rewrites the table');
SELECT throws_ok(
	'ALTER TABLE shop.sale ALTER amount TYPE numeric(10,3)', 'MG112', NULL,
	'a change of scale rewrites every partition');
SELECT throws_ok(
	'ALTER TABLE shop.customer ADD token uuid DEFAULT gen_random_uuid()', 'MG101', NULL,
	'a volatile default rewrites the table');
SELECT throws_ok(
	'ALTER TABLE shop.customer ADD no serial', 'MG101', NULL,
	'a serial column rewrites the table');
SELECT throws_ok(
	'ALTER TABLE shop.customer SET UNLOGGED', 'MG114', NULL,
	'a change of persistence rewrites the table');
SELECT throws_ok(
	$$DO 'BEGIN EXECUTE ''CREATE INDEX ON shop.customer (email)''; END'$$, 'MG121', NULL,
	'a DO block hides nothing');
SELECT throws_ok(
	'REINDEX TABLE shop.customer', 'MG122', NULL,
	'a table is reindexed concurrently');
SELECT throws_like(
	'CREATE INDEX customer_email ON shop.customer (email)', '%customer%',
	'the message names the table');

SELECT hasnt_index('shop', 'customer', 'customer_email', 'no index came into being');
SELECT col_type_is('shop', 'customer', 'team_id', 'integer', 'no type has changed');

SELECT * FROM finish();
ROLLBACK;
\ir teardown.sql
