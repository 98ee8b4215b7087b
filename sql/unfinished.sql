--
-- migration_guard.unfinished: what earlier migrations left behind, and the
-- statements that finish or remove it, which are executed here.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS migration_guard;
RESET client_min_messages;
CREATE SCHEMA "mg Left";
SET search_path = "mg Left";
CREATE VIEW "left" AS
SELECT kind, relation, object, reason, finish_sql, remove_sql
FROM migration_guard.unfinished ORDER BY kind COLLATE "C", object COLLATE "C", relation::text COLLATE "C";
\a
\t

SELECT * FROM "left";

--
-- invalid indexes
--
CREATE TABLE "Double" ("Id" integer, v integer);
INSERT INTO "Double" VALUES (1, 1), (1, 2);
CREATE UNIQUE INDEX CONCURRENTLY "double id" ON "Double" ("Id");
SELECT * FROM "left";
-- trying again leaves another one
REINDEX INDEX CONCURRENTLY "double id";
SELECT * FROM "left";
SELECT remove_sql FROM "left" WHERE finish_sql IS NULL \gexec
SELECT * FROM "left";
DELETE FROM "Double" WHERE v = 2;
SELECT finish_sql FROM "left" \gexec
SELECT * FROM "left";

--
-- constraints that are not valid
--
ALTER TABLE "Double" ADD CONSTRAINT "v >= 0" CHECK (v >= 0) NOT VALID;
ALTER TABLE "Double" ADD UNIQUE USING INDEX "double id";
CREATE TABLE refers (id integer CONSTRAINT fk REFERENCES "Double" ("Id"));
ALTER TABLE refers ADD CONSTRAINT "fk later" FOREIGN KEY (id) REFERENCES "Double" ("Id") NOT VALID;
CREATE DOMAIN "Age" AS integer;
ALTER DOMAIN "Age" ADD CONSTRAINT "not negative" CHECK (VALUE >= 0) NOT VALID;
SELECT * FROM "left";
SELECT finish_sql FROM "left" \gexec
SELECT * FROM "left";

-- a child can be finished alone, but not be rid of it
CREATE TABLE child () INHERITS ("Double");
ALTER TABLE "Double" ADD CONSTRAINT again CHECK (v <> 7) NOT VALID;
SELECT * FROM "left";
SELECT remove_sql FROM "left" WHERE remove_sql IS NOT NULL \gexec
SELECT * FROM "left";

--
-- partitioned indexes
--
CREATE TABLE parts (k integer, v integer) PARTITION BY LIST (k);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts2 PARTITION OF parts FOR VALUES IN (2) PARTITION BY LIST (k);
CREATE TABLE "parts 2a" PARTITION OF parts2 FOR VALUES IN (2);
CREATE INDEX parts_v ON ONLY parts (v);
CREATE INDEX parts2_v ON ONLY parts2 (v);
SELECT * FROM "left";
ALTER INDEX parts_v ATTACH PARTITION parts2_v;
CREATE INDEX CONCURRENTLY parts1_v ON parts1 (v);
ALTER INDEX parts_v ATTACH PARTITION parts1_v;
SELECT * FROM "left";
CREATE INDEX CONCURRENTLY parts2a_v ON "parts 2a" (v);
ALTER INDEX parts2_v ATTACH PARTITION parts2a_v;
SELECT * FROM "left";
CREATE INDEX parts_k ON ONLY parts (k);
SELECT remove_sql FROM "left" \gexec
SELECT * FROM "left";

--
-- a partition whose DETACH CONCURRENTLY was interrupted after its first transaction
--
SET allow_system_table_mods = on;
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'parts1'::regclass;
RESET allow_system_table_mods;
SELECT * FROM "left";
SELECT finish_sql FROM "left" \gexec
SELECT * FROM "left";

--
-- everybody may look, also under a hostile search_path
--
ALTER TABLE "Double" ADD CONSTRAINT positive CHECK (v > 0) NOT VALID;
CREATE ROLE regress_mg_looker;
CREATE SCHEMA mg_evil AUTHORIZATION regress_mg_looker;
GRANT USAGE ON SCHEMA "mg Left" TO regress_mg_looker;
SET ROLE regress_mg_looker;
CREATE FUNCTION mg_evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT ''evil''';
CREATE FUNCTION mg_evil.count_calls(name, name) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'called'; END$$;
CREATE OPERATOR mg_evil.<> (FUNCTION = mg_evil.count_calls, LEFTARG = name, RIGHTARG = name);
SET search_path = mg_evil, pg_catalog;
SELECT * FROM migration_guard.unfinished ORDER BY relation::text COLLATE "C";
RESET ROLE;
\a
\t

SET client_min_messages = warning;
DROP SCHEMA "mg Left", mg_evil CASCADE;
DROP ROLE regress_mg_looker;
