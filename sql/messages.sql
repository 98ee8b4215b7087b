--
-- The words of every rule.  Whether the advice runs is tested elsewhere, with
-- the same statements (test/t/020_advice.pl).
--
\set VERBOSITY sqlstate
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS migration_guard;
RESET client_min_messages;
SET migration_guard.mode = off;
CREATE TABLE parent (id bigint PRIMARY KEY);
INSERT INTO parent SELECT generate_series(1, 100);
CREATE TABLE big (id bigint NOT NULL, a int, "B" varchar(20), c text, p_id bigint, ts timestamp);
INSERT INTO big SELECT i, i, i, i, 1 + i % 100, 'epoch' FROM generate_series(1, 1000) i;
CREATE INDEX "big_B" ON big ("B");
CREATE UNIQUE INDEX big_a ON big (a);
ALTER TABLE big ADD CONSTRAINT big_nv CHECK (a > 0) NOT VALID;
CREATE INDEX CONCURRENTLY big_c ON big (c);
INSERT INTO big (id, c) VALUES (1001, '1');
DROP INDEX big_c;
CREATE UNIQUE INDEX CONCURRENTLY big_c ON big (c);
DELETE FROM big WHERE id = 1001;
CREATE TABLE tree (k int, v varchar(5), p_id bigint) PARTITION BY RANGE (k);
CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (100);
CREATE TABLE tree_2 PARTITION OF tree FOR VALUES FROM (100) TO (200);
CREATE TABLE tree_3 PARTITION OF tree FOR VALUES FROM (200) TO (300);
CREATE TABLE tree_4 PARTITION OF tree FOR VALUES FROM (300) TO (400);
CREATE TABLE tree_5 PARTITION OF tree FOR VALUES FROM (400) TO (500);
CREATE TABLE tree_rest PARTITION OF tree DEFAULT;
INSERT INTO tree SELECT i, i, 1 + i % 100 FROM generate_series(0, 1999) i;
CREATE TABLE cand AS SELECT i AS k, 'x'::varchar(5) AS v, 1::bigint AS p_id FROM generate_series(5000, 5999) i;
CREATE TABLE r (k int PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM (0) TO (1000);
INSERT INTO r SELECT generate_series(0, 999);
CREATE TABLE f (k int REFERENCES r);
INSERT INTO f SELECT * FROM r;
CREATE FUNCTION vol() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_mg_space LOCATION '';
VACUUM ANALYZE parent, big, tree, cand, r, f;
RESET migration_guard.mode;
SET migration_guard.block_rows = 900;

CREATE TABLE spoken (rule text);
CREATE FUNCTION words(sql text) RETURNS SETOF text LANGUAGE sql AS
$$
WITH found AS (SELECT * FROM migration_guard.check(sql)),
    noted AS (INSERT INTO spoken SELECT rule FROM found)
SELECT regexp_replace(regexp_replace(replace(format(E'%s %s %s\n%s\n%s\n', verdict, sqlstate, message, detail,
                                                            regexp_replace(hint, E'Here REPACK [^\n]*\n|The server has no online form[.] (?=The extension pg_repack orders)', '', 'g')),
                                                     ' ' || current_database(), ' DATABASE'),
                                     'for (about|less than) [0-9]+ \w+', 'for TIME', 'g'),
                      '[0-9.]+ (bytes|kB|MB|GB)', 'SIZE', 'g')
FROM found
$$;
\pset format unaligned
\pset tuples_only on

-- ADD COLUMN
SELECT words('ALTER TABLE big ADD COLUMN x int DEFAULT vol()');
SELECT words('ALTER TABLE big ADD COLUMN x serial');
SELECT words('ALTER TABLE big ADD COLUMN x int GENERATED ALWAYS AS IDENTITY');
SELECT words('ALTER TABLE big ADD COLUMN x int GENERATED ALWAYS AS (a + 1) STORED');
SELECT words('ALTER TABLE big ADD COLUMN x positive NOT NULL DEFAULT 1');
SELECT words('ALTER TABLE big ADD COLUMN x int CHECK (x > 0)');
SELECT words('ALTER TABLE big ADD COLUMN x int NOT NULL');
-- constraints
SELECT words('ALTER TABLE big ADD CHECK (a > 0), ADD COLUMN x int');
SELECT words('ALTER TABLE big ADD FOREIGN KEY (p_id) REFERENCES parent');
SELECT words('ALTER TABLE tree ADD FOREIGN KEY (p_id) REFERENCES parent');
SELECT words('ALTER TABLE big VALIDATE CONSTRAINT big_nv, ALTER a SET DEFAULT 1');
SELECT words('ALTER TABLE big ADD UNIQUE (c)');
SELECT words('ALTER TABLE big ADD PRIMARY KEY (id)');
SELECT words('ALTER TABLE big ADD EXCLUDE USING btree (c WITH =)');
SELECT words('ALTER TABLE big ADD PRIMARY KEY USING INDEX big_a');
SELECT words('ALTER TABLE big ALTER a SET NOT NULL');
-- types
SELECT words('ALTER TABLE big ALTER a TYPE bigint');
SET timezone = 'Europe/Berlin';
SELECT words('ALTER TABLE big ALTER ts TYPE timestamptz');
RESET timezone;
SELECT words('ALTER TABLE big ALTER "B" TYPE text COLLATE "C"');
-- whole tables
SELECT words('ALTER TABLE big SET UNLOGGED');
SELECT words('ALTER TABLE big SET ACCESS METHOD heap2');
SELECT words('ALTER TABLE big SET TABLESPACE regress_mg_space');
SELECT words('ALTER INDEX "big_B" SET TABLESPACE regress_mg_space');
SELECT words('VACUUM FULL big');
SELECT words('CLUSTER big USING big_a');
-- partitions
SELECT words('ALTER TABLE tree ATTACH PARTITION cand FOR VALUES FROM (5000) TO (6000)');
SELECT words('ALTER TABLE r DETACH PARTITION r_1');
SELECT words('CREATE TABLE tree_6 PARTITION OF tree FOR VALUES FROM (6000) TO (7000)');
SET migration_guard.mode = off;
CREATE INDEX tree_v ON tree (v);
ALTER TABLE cand ADD CHECK (k IS NOT NULL AND k >= 5000 AND k < 6000);
ALTER TABLE tree_rest ADD CHECK (k < 5000);
RESET migration_guard.mode;
SELECT words('ALTER TABLE tree ATTACH PARTITION cand FOR VALUES FROM (5000) TO (6000)');
-- indexes
SELECT words('CREATE INDEX ON big (lower(c)) WHERE a > 0');
SELECT words('CREATE INDEX tree_p_id ON tree (p_id)');
SELECT words('REINDEX INDEX big_a');
SELECT words('REINDEX TABLE big');
SELECT words('CREATE INDEX IF NOT EXISTS big_c ON big (c)');
SET migration_guard.index_rate = 1;
SELECT words('SET statement_timeout = ''1ms''; CREATE INDEX CONCURRENTLY ON big (c)');
SELECT words('SET statement_timeout = ''1ms''; REINDEX TABLE CONCURRENTLY big');
RESET migration_guard.index_rate;
-- with what the transaction holds
SELECT words('BEGIN; ALTER TABLE big ADD COLUMN x int; CREATE INDEX ON big (x); COMMIT');
SELECT words('BEGIN; ALTER TABLE big ADD CHECK (a > 1) NOT VALID; ALTER TABLE big VALIDATE CONSTRAINT big_nv; COMMIT');
SELECT words('BEGIN; ALTER TABLE parent ADD COLUMN x int; ALTER TABLE big VALIDATE CONSTRAINT big_nv; COMMIT');
SELECT words('BEGIN; ALTER TABLE big ADD COLUMN x int; ALTER TABLE cand ADD COLUMN x int; COMMIT');
SELECT words('BEGIN; ALTER TABLE cand ADD COLUMN p int; ALTER TABLE cand ADD FOREIGN KEY (p) REFERENCES r NOT VALID; COMMIT');
SELECT words('BEGIN; UPDATE cand SET v = v; ALTER TABLE cand ADD COLUMN x int; COMMIT');
SELECT words('BEGIN; UPDATE cand SET v = v WHERE k = 1; ALTER TABLE cand ADD COLUMN x int; COMMIT');
-- queries that are read to their end
SET migration_guard.mode = off;
CREATE MATERIALIZED VIEW mv AS SELECT a, count(*) AS n FROM big GROUP BY a;
CREATE MATERIALIZED VIEW mv_plain AS SELECT 1 AS one, p_id FROM big;
RESET migration_guard.mode;
SELECT words('REFRESH MATERIALIZED VIEW mv');
SELECT words('REFRESH MATERIALIZED VIEW mv_plain');
SET migration_guard.mode = off;
CREATE UNIQUE INDEX mv_a ON mv (a);
RESET migration_guard.mode;
SELECT words('REFRESH MATERIALIZED VIEW mv');
SELECT words('REFRESH MATERIALIZED VIEW CONCURRENTLY mv');
SELECT words('BEGIN; ALTER TABLE parent ADD COLUMN x int; CREATE TABLE n AS SELECT * FROM big; COMMIT');
SELECT words('BEGIN; ALTER TABLE parent ADD COLUMN x int; EXPLAIN ANALYZE CREATE TABLE n AS SELECT * FROM big; COMMIT');
SELECT words('BEGIN; ALTER TABLE parent ADD COLUMN x int; REFRESH MATERIALIZED VIEW CONCURRENTLY mv; COMMIT');
SET migration_guard.mode = off;
DROP MATERIALIZED VIEW mv, mv_plain;
RESET migration_guard.mode;
-- domains
SET migration_guard.mode = off;
ALTER TABLE big ADD COLUMN pos positive;
ALTER TABLE f ADD COLUMN pos positive;
DELETE FROM f WHERE k >= 500;
VACUUM ANALYZE big, f;
ALTER DOMAIN positive ADD CONSTRAINT positive_nv CHECK (VALUE < 1000000) NOT VALID;
RESET migration_guard.mode;
SELECT words('ALTER DOMAIN positive ADD CONSTRAINT positive_small CHECK (VALUE < 1000)');
SELECT words('ALTER DOMAIN positive SET NOT NULL');
SELECT words('ALTER DOMAIN positive VALIDATE CONSTRAINT positive_nv');
-- names that need quotes
SET migration_guard.mode = off;
CREATE SCHEMA "Odd one";
CREATE TABLE "Odd one"."the ""table""" ("select" int, "it's" text);
INSERT INTO "Odd one"."the ""table""" SELECT i, i FROM generate_series(1, 1000) i;
ANALYZE "Odd one"."the ""table""";
RESET migration_guard.mode;
SELECT words('ALTER TABLE "Odd one"."the ""table""" ADD CHECK ("it''s" <> '';--'')');
SELECT words('ALTER TABLE "Odd one"."the ""table""" ADD UNIQUE ("select", "it''s")');
SELECT words('ALTER TABLE "Odd one"."the ""table""" ALTER "select" TYPE bigint');
SELECT words('VACUUM FULL "Odd one"."the ""table"""');
-- somebody else holds a lock
BEGIN;
SELECT count(*) FROM big, cand, f, r WHERE false;
PREPARE TRANSACTION 'it''s mine';
SELECT regexp_replace(regexp_replace(w, 'user "\w+"', 'user "NAME"', 'g'), 'was prepared .*? ago', 'was prepared TIME ago')
  FROM words('ALTER TABLE big ADD COLUMN x int') w;
SELECT regexp_replace(regexp_replace(w, 'user "\w+"', 'user "NAME"', 'g'), 'was prepared .*? ago', 'was prepared TIME ago')
  FROM words('DROP TABLE big, cand, r CASCADE') w;
ROLLBACK PREPARED 'it''s mine';
-- a rule that has not spoken here has no test of its words; the self-audit never speaks in advance,
-- those of commands that not all majors have speak in test/t/020_advice.pl, and those that look for
-- somebody who uses a table, or replicates it, in test/t/075_evidence.pl and test/t/076_replicas.pl
SELECT name FROM migration_guard.rules WHERE category NOT IN ('self-audit', 'destructive', 'replication')
  AND name NOT IN ('set_expression', 'alter_constraint', 'add_not_null', 'repack')
EXCEPT SELECT rule FROM spoken;

SET migration_guard.mode = off;
DROP SCHEMA "Odd one" CASCADE;
DROP TABLE big, tree, cand, f, r, parent, spoken;
DROP ACCESS METHOD heap2;
DROP TABLESPACE regress_mg_space;
DROP DOMAIN positive;
DROP FUNCTION vol, words;
