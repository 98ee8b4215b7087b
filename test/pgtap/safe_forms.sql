-- safe_forms.sql
--
-- The forms that do the same without stopping the shop pass, and run.
\ir setup.sql
SET migration_guard.block_rows = 1000;

BEGIN;
SELECT plan(12);

-- story 2: users must link to their teams
SELECT lives_ok(
	'ALTER TABLE shop.customer ADD COLUMN owner_id int', 'a nullable column is only written down');
SELECT lives_ok(
	'ALTER TABLE shop.customer ADD COLUMN state text NOT NULL DEFAULT ''new''',
	'so is a constant default');
SELECT lives_ok(
	'ALTER TABLE shop.customer ADD COLUMN seen timestamptz DEFAULT now()',
	'so is a default that is the same for all rows');
SELECT lives_ok(
	'ALTER TABLE shop.customer ADD COLUMN main_team int REFERENCES shop.team',
	'a foreign key on a new, empty column has nothing to check');
SELECT lives_ok(
	'ALTER TABLE shop.customer ADD CONSTRAINT customer_team FOREIGN KEY (team_id) REFERENCES shop.team NOT VALID',
	'a foreign key, NOT VALID');
SELECT lives_ok(
	'ALTER TABLE shop.customer ADD CONSTRAINT customer_email_set CHECK (email IS NOT NULL) NOT VALID',
	'a check, NOT VALID');
SELECT lives_ok(
	'ALTER TABLE shop.customer DROP COLUMN email', 'a column is dropped in no time');
SELECT lives_ok(
	'ALTER TABLE shop.customer ALTER team_id DROP DEFAULT, ALTER team_id SET STATISTICS 500',
	'defaults and statistics are only written down');
SELECT lives_ok(
	'ALTER TABLE shop.sale ALTER amount TYPE numeric(12,2)', 'a wider numeric of the same scale');
SELECT lives_ok(
	'CREATE TABLE shop.sale_2026 PARTITION OF shop.sale FOR VALUES FROM (''2026-01-01'') TO (''2027-01-01'')',
	'a new partition, where there is no default one');
SELECT lives_ok(
	'CREATE TABLE shop.visit (id serial PRIMARY KEY, customer_id int REFERENCES shop.customer, UNIQUE (customer_id))',
	'a new table that references a large one');
SELECT lives_ok(
	'CREATE INDEX ON shop.team (name)', 'an index on a small table');
SELECT * FROM finish();
ROLLBACK;
\ir teardown.sql
