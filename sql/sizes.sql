--
-- Sizes: rows and bytes without waiting, whatever the statistics say.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS migration_guard;
RESET client_min_messages;
CREATE SCHEMA mg_sizes;
SET search_path = mg_sizes;

-- What explain() says about a relation; bytes compared with what core counts.
CREATE FUNCTION sizes(sql text, OUT relation regclass, OUT rows bigint, OUT bytes_right boolean)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT e.relation, e.rows,
           e.bytes = (
               SELECT sum(pg_relation_size(t.oid)
                          + coalesce(pg_relation_size(nullif(t.reltoastrelid, 0)), 0)
                          + coalesce((SELECT sum(pg_relation_size(indexrelid)) FROM pg_index
                                      WHERE indrelid = t.reltoastrelid), 0))
               FROM pg_class t
               WHERE t.oid = e.relation
                  OR t.oid IN (SELECT relid FROM pg_partition_tree(e.relation)))
    FROM migration_guard.explain(sql) e
$$;
-- The estimate is good if it is off by less than a factor of 1.5.
CREATE FUNCTION about(estimate bigint, truth bigint) RETURNS boolean LANGUAGE sql AS $$
    SELECT CASE WHEN truth = 0 THEN estimate = 0
                ELSE estimate BETWEEN truth / 1.5 AND truth * 1.5 END
$$;

--
-- empty
--
CREATE TABLE empty (a integer, b text);
SELECT * FROM sizes('ALTER TABLE empty ADD COLUMN x integer');
ANALYZE empty;
SELECT * FROM sizes('ALTER TABLE empty ADD COLUMN x integer');

--
-- never analyzed
--
CREATE TABLE plain (a integer, b text);
INSERT INTO plain SELECT g, 'row number ' || g FROM generate_series(1, 20000) g;
SELECT reltuples FROM pg_class WHERE oid = 'plain'::regclass;
SELECT relation, about(rows, 20000), bytes_right FROM sizes('ALTER TABLE plain ADD COLUMN x integer');
-- a few blocks are counted to the last row
CREATE TABLE few (a integer);
INSERT INTO few SELECT generate_series(1, 777);
SELECT * FROM sizes('ALTER TABLE few ADD COLUMN x integer');

--
-- analyzed
--
ANALYZE plain;
SELECT * FROM sizes('ALTER TABLE plain ADD COLUMN x integer');
-- and grown since
INSERT INTO plain SELECT g, 'row number ' || g FROM generate_series(1, 60000) g;
SELECT relation, about(rows, 80000), bytes_right FROM sizes('ALTER TABLE plain ADD COLUMN x integer');

--
-- analyzed when it was empty, loaded since
--
INSERT INTO empty SELECT g, 'row number ' || g FROM generate_series(1, 20000) g;
SELECT reltuples, relpages FROM pg_class WHERE oid = 'empty'::regclass;
SELECT relation, about(rows, 20000), bytes_right FROM sizes('ALTER TABLE empty ADD COLUMN x integer');

--
-- truncated and loaded again
--
TRUNCATE plain;
SELECT * FROM sizes('ALTER TABLE plain ADD COLUMN x integer');
INSERT INTO plain SELECT g, 'row number ' || g FROM generate_series(1, 5000) g;
SELECT relation, about(rows, 5000), bytes_right FROM sizes('ALTER TABLE plain ADD COLUMN x integer');
-- all in one transaction
BEGIN;
TRUNCATE plain;
SELECT * FROM sizes('ALTER TABLE plain ADD COLUMN x integer');
INSERT INTO plain SELECT g, 'row number ' || g FROM generate_series(1, 3000) g;
SELECT relation, about(rows, 3000), bytes_right FROM sizes('ALTER TABLE plain ADD COLUMN x integer');
ROLLBACK;
SELECT relation, about(rows, 5000), bytes_right FROM sizes('ALTER TABLE plain ADD COLUMN x integer');

--
-- all rows deleted and vacuumed away, loaded again without new statistics
--
ANALYZE plain;
DELETE FROM plain;
VACUUM plain;
INSERT INTO plain SELECT g, 'row number ' || g FROM generate_series(1, 5000) g;
SELECT relation, about(rows, 5000), bytes_right FROM sizes('ALTER TABLE plain ADD COLUMN x integer');

--
-- partitioned: the sum of the leaves, whatever the parent's own statistics say
--
CREATE TABLE part (k integer, v text) PARTITION BY RANGE (k);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (1000);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (1000) TO (9000) PARTITION BY RANGE (k);
CREATE TABLE part2a PARTITION OF part2 FOR VALUES FROM (1000) TO (5000);
CREATE TABLE part2b PARTITION OF part2 FOR VALUES FROM (5000) TO (9000);
CREATE TABLE part3 PARTITION OF part DEFAULT;
CREATE INDEX part_v ON part (v);
SELECT * FROM sizes('ALTER TABLE part ADD COLUMN x integer');
INSERT INTO part SELECT g, 'row number ' || g FROM generate_series(0, 8999) g;
SELECT relation, about(rows, CASE relation::text WHEN 'part' THEN 9000 WHEN 'part1' THEN 1000
                             WHEN 'part2' THEN 8000 WHEN 'part3' THEN 0 ELSE 4000 END), bytes_right
FROM sizes('ALTER TABLE part ADD COLUMN x integer');
ANALYZE part1, part2a, part2b, part3;
SELECT * FROM sizes('ALTER TABLE part ADD COLUMN x integer');
ANALYZE part;
SELECT * FROM sizes('ALTER TABLE part ADD COLUMN x integer');
SELECT relation, rows, bytes = pg_relation_size(relation) + coalesce((
           SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(relation) WHERE isleaf), 0) AS bytes_right
FROM migration_guard.explain('DROP INDEX part_v') WHERE relation = 'part_v'::regclass;

--
-- inherited: each its own rows
--
CREATE TABLE parent (a integer);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent SELECT generate_series(1, 100);
INSERT INTO child SELECT generate_series(1, 10000);
ANALYZE parent, child;
SELECT * FROM sizes('ALTER TABLE parent ADD COLUMN x integer');
SELECT * FROM sizes('ALTER TABLE ONLY parent ALTER COLUMN a SET NOT NULL');

--
-- temporary, unlogged, materialized
--
CREATE TEMPORARY TABLE temporary (a integer);
INSERT INTO temporary SELECT generate_series(1, 1234);
SELECT * FROM sizes('ALTER TABLE temporary ADD COLUMN x integer');
CREATE UNLOGGED TABLE unlogged (a integer);
INSERT INTO unlogged SELECT generate_series(1, 1234);
SELECT * FROM sizes('ALTER TABLE unlogged ADD COLUMN x integer');
CREATE MATERIALIZED VIEW matview AS SELECT generate_series(1, 1234) AS a;
SELECT * FROM sizes('CREATE INDEX ON matview (a)');
CREATE MATERIALIZED VIEW unpopulated AS SELECT 1 AS a WITH NO DATA;
SELECT * FROM sizes('CREATE INDEX ON unpopulated (a)');

--
-- TOAST counts as bytes of its table
--
CREATE TABLE wide (id integer, document text);
ALTER TABLE wide ALTER COLUMN document SET STORAGE EXTERNAL;
INSERT INTO wide SELECT g, repeat('x', 10000) FROM generate_series(1, 300) g;
SELECT * FROM sizes('ALTER TABLE wide ADD COLUMN x integer');
SELECT bytes > 3000000 AS toast_counts
FROM migration_guard.explain('ALTER TABLE wide ADD COLUMN x integer');

--
-- indexes count where they are built anew
--
CREATE TABLE indexed (id integer PRIMARY KEY, v integer, w integer);
CREATE INDEX indexed_v ON indexed (v);
INSERT INTO indexed SELECT g, g, g FROM generate_series(1, 10000) g;
ANALYZE indexed;
SELECT rows, index_builds,
       bytes = pg_table_size('indexed') - pg_relation_size('indexed', 'fsm')
           - pg_relation_size('indexed', 'vm') AS table_alone
FROM migration_guard.explain('CREATE INDEX ON indexed (w)');
SELECT relation, rows, index_builds,
       bytes = pg_relation_size(relation)
           + CASE WHEN rewrite THEN pg_indexes_size(relation) ELSE 0 END AS indexes_too
FROM migration_guard.explain('ALTER TABLE indexed ALTER COLUMN v TYPE bigint');
SELECT relation, rows, index_builds,
       bytes = pg_relation_size(relation)
           + CASE WHEN index_builds > 0 THEN pg_relation_size('indexed_v') ELSE 0 END AS one_index
FROM migration_guard.explain('REINDEX INDEX indexed_v');

--
-- no storage, no size
--
CREATE VIEW shown AS SELECT 1 AS a;
CREATE SEQUENCE counter;
SELECT relation, rows FROM migration_guard.explain('DROP VIEW shown; DROP SEQUENCE counter');

--
-- tables made in this transaction, empty ones and temporary ones are nobody's trouble
--
SET migration_guard.warn_rows = 0;
SET migration_guard.block_rows = 0;
CREATE TABLE stays_empty (a integer);
SELECT statement, rule, relation FROM migration_guard.check('CREATE INDEX ON stays_empty (a); CREATE INDEX ON temporary (a); CREATE INDEX ON few (a)');
BEGIN;
CREATE TABLE new_here AS SELECT generate_series(1, 1000) AS a;
SELECT rule FROM migration_guard.check('CREATE INDEX ON new_here (a)');
SAVEPOINT s;
CREATE TABLE new_in_savepoint AS SELECT generate_series(1, 1000) AS a;
SELECT rule FROM migration_guard.check('CREATE INDEX ON new_in_savepoint (a)');
RELEASE s;
SELECT rule FROM migration_guard.check('CREATE INDEX ON new_in_savepoint (a)');
-- merely altered is not new, nor is truncated and filled again
ALTER TABLE few ADD COLUMN x integer;
SELECT rule FROM migration_guard.check('CREATE INDEX ON few (a)');
TRUNCATE few;
INSERT INTO few SELECT generate_series(1, 1000);
SELECT rule FROM migration_guard.check('CREATE INDEX ON few (a)');
ROLLBACK;

SET client_min_messages = warning;
DROP SCHEMA mg_sizes CASCADE;
