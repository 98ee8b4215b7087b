-- setup.sql
--
-- What the tests beside this file need: tables over and under the thresholds,
-- made in a transaction of their own, because a table made in the transaction
-- of the test would be new and so nobody's problem.  In a project of your own
-- this is the schema that your migrations have built so far, filled with enough
-- rows, or with thresholds low enough, to stand for production.

CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS migration_guard;

SET migration_guard.mode = 'off';
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;

CREATE TABLE shop.customer (id int PRIMARY KEY, email text, team_id int);
CREATE TABLE shop.team (id int PRIMARY KEY, name text);
CREATE TABLE shop.sale (
	id int NOT NULL, customer_id int, amount numeric(10,2), sold timestamp NOT NULL
) PARTITION BY RANGE (sold);
CREATE TABLE shop.sale_2024 PARTITION OF shop.sale
	FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE shop.sale_2025 PARTITION OF shop.sale
	FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

INSERT INTO shop.customer SELECT i, i || '@example.com', i % 5 + 1 FROM generate_series(1, 5000) i;
INSERT INTO shop.team SELECT i, 'team ' || i FROM generate_series(1, 5) i;
INSERT INTO shop.sale SELECT i, i, i, timestamp '2024-06-01' + i * interval '1 hour'
	FROM generate_series(1, 5000) i;
ANALYZE shop.customer, shop.team, shop.sale;
RESET migration_guard.mode;
