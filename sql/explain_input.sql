--
-- explain() and check(): what they make of their input.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS migration_guard;
RESET client_min_messages;
SET migration_guard.warn_rows = 0;	-- so that a few rows are enough
SET migration_guard.block_rows = 1000;

CREATE SCHEMA mg_input;
SET search_path = mg_input;
CREATE TABLE orders (id integer PRIMARY KEY, note varchar(20));
INSERT INTO orders SELECT g, 'note ' || g FROM generate_series(1, 500) g;
ANALYZE orders;

-- short forms of what the functions return
CREATE FUNCTION says(sql text)
RETURNS TABLE (statement integer, command text, relation regclass, lock_mode text, rewrite boolean, scan boolean, builds integer)
LANGUAGE sql AS
'SELECT statement, command, relation, lock_mode, rewrite, scan, index_builds FROM migration_guard.explain(sql)';
CREATE FUNCTION finds(sql text)
RETURNS TABLE (statement integer, command text, verdict text, rule text, relation regclass)
LANGUAGE sql AS
'SELECT statement, command, verdict, rule, relation FROM migration_guard.check(sql)';
CREATE FUNCTION held(sql text)
RETURNS TABLE (statement integer, held text)
LANGUAGE sql AS
$$SELECT statement, substring(detail from 'already holds \w+ on "orders"(?: since [A-Z]+ [A-Z]+)?') FROM migration_guard.check(sql)$$;

--
-- nothing to say
--
SELECT * FROM says('');
SELECT * FROM says('  ; -- a comment
  ;; /* another */ ');
SELECT * FROM says(NULL);
SELECT * FROM finds(NULL);
SELECT * FROM says('SELECT 1; INSERT INTO orders VALUES (1); UPDATE nowhere SET x = 1; WITH x AS (SELECT 1) SELECT * FROM x');
SELECT * FROM says('BEGIN; SHOW search_path; SET work_mem = ''1GB''; COMMIT; PREPARE p AS SELECT 1; EXPLAIN SELECT 1');
SELECT * FROM says('CREATE TABLE fresh (id integer PRIMARY KEY)');
SELECT * FROM finds('ALTER TABLE orders ADD COLUMN price numeric');

--
-- errors: each names the statement and says what to do
--
CREATE FUNCTION error_of(sql text, how text DEFAULT 'explain', OUT code text, OUT message text, OUT hint text, OUT context text)
LANGUAGE plpgsql AS $$
BEGIN
    IF how = 'explain' THEN
        PERFORM migration_guard.explain(sql);
    ELSE
        PERFORM migration_guard.check(sql);
    END IF;
    message := 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    context := split_part(context, E'\n', 1);
END
$$;
\x on
SELECT * FROM error_of('ALTER TABLE nowhere ADD COLUMN x integer');
SELECT * FROM error_of('ALTER TABLE nowhere ADD COLUMN x integer', 'check');
SELECT * FROM error_of('SELECT 1; ALTER TABLE orders ADD x int; CREATE INDEX ON mg_nowhere.orders (id)');
SELECT * FROM error_of('ALTER TABLE orders ALTER COLUMN nothing TYPE bigint');
SELECT * FROM error_of('ALTER TABLE orders ADD x int; ALTER TABLE orders ALTER y SET NOT NULL');
SELECT * FROM error_of('BEGIN; CREATE INDEX CONCURRENTLY ON orders (note); COMMIT');
SELECT * FROM error_of('ALTER TABLE "Orders" ADD COLUMN x integer');
\x off

-- a syntax error points into the script, not into the query around it
SELECT * FROM migration_guard.explain('ALTER TABLE orders ADD COLUMN a integer;
ALTER TABEL orders ADD COLUMN b integer');
SELECT migration_guard.check('ALTER TABLE orders ADD COLUMN (a integer)');
SELECT migration_guard.check('\d orders');

-- IF EXISTS of what is not there
SELECT * FROM says('ALTER TABLE IF EXISTS nowhere ADD COLUMN x integer; DROP TABLE IF EXISTS nowhere; DROP INDEX IF EXISTS nowhere_idx');

--
-- only who could run it gets to know
--
CREATE ROLE regress_mg_reader;
GRANT USAGE ON SCHEMA mg_input TO regress_mg_reader;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA mg_input TO regress_mg_reader;
CREATE SCHEMA mg_closed;
CREATE TABLE mg_closed.secret (id integer);
SET ROLE regress_mg_reader;
\x on
SELECT * FROM error_of('ALTER TABLE orders ADD COLUMN x integer');
SELECT * FROM error_of('CREATE INDEX ON orders (note)', 'check');
SELECT * FROM error_of('DROP TABLE orders');
SELECT * FROM error_of('ALTER TABLE mg_closed.secret ADD COLUMN x integer');
SELECT * FROM error_of('ALTER TABLE pg_catalog.pg_class ADD COLUMN x integer');
SELECT * FROM error_of('SET migration_guard.mode = ''off''; ALTER TABLE orders ADD COLUMN x integer');
\x off
SELECT count(*) > 0 AS rules_readable FROM migration_guard.rules;
SELECT * FROM migration_guard.unfinished;
SELECT migration_guard.guard_ddl();
RESET ROLE;
DROP SCHEMA mg_closed CASCADE;

--
-- scripts
--
SELECT * FROM says('
    ALTER TABLE orders ADD COLUMN a integer;
    ALTER TABLE orders ALTER COLUMN id TYPE bigint;
    CREATE INDEX ON orders (note);
    SELECT 1;
    DROP TABLE orders;');

-- what earlier statements make is known, and is not a relation yet
SELECT * FROM says('
    CREATE TABLE item (id integer PRIMARY KEY, order_id integer REFERENCES orders);
    CREATE INDEX item_order ON item (order_id);
    ALTER TABLE item ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
    ALTER TABLE item VALIDATE CONSTRAINT positive;
    ALTER TABLE mg_input.item RENAME TO items;
    ALTER TABLE items ADD COLUMN x integer;
    DROP TABLE items;');
SELECT message FROM error_of('CREATE TABLE item (id integer); DROP TABLE item; ALTER TABLE item ADD x integer');
SELECT message FROM error_of('BEGIN; CREATE TABLE item (id integer); ROLLBACK; ALTER TABLE item ADD x integer');
SELECT message FROM error_of('BEGIN; SAVEPOINT a; CREATE TABLE item (id integer); ROLLBACK TO a; ALTER TABLE item ADD x integer');
SELECT message FROM error_of('BEGIN; SAVEPOINT a; CREATE TABLE item (id integer); RELEASE a; ALTER TABLE item ADD x integer');

-- CREATE TABLE IF NOT EXISTS of an existing table makes nothing
SELECT * FROM says('CREATE TABLE IF NOT EXISTS orders (id integer); CREATE INDEX ON orders (note)');

-- a renamed table stays the table that it is
SELECT * FROM says('
    ALTER TABLE orders RENAME TO old_orders;
    CREATE TABLE orders (id integer);
    CREATE INDEX ON orders (id);
    CREATE INDEX ON old_orders (note);
    ALTER TABLE old_orders SET SCHEMA public;
    ALTER TABLE public.old_orders ALTER COLUMN note TYPE integer USING 1;');

-- BEGIN and COMMIT: locks taken before count for what comes after
SELECT * FROM finds('CREATE INDEX ON orders (note)');
SELECT * FROM finds('ALTER TABLE orders ADD COLUMN x integer; CREATE INDEX ON orders (note)');
SELECT statement, held FROM held('BEGIN; ALTER TABLE orders ADD COLUMN x integer; CREATE INDEX ON orders (note); COMMIT');
SELECT statement, held FROM held('BEGIN; ALTER TABLE orders ADD COLUMN x integer; COMMIT; CREATE INDEX ON orders (note)');
SELECT statement, held FROM held('BEGIN; SAVEPOINT a; ALTER TABLE orders ADD COLUMN x integer; ROLLBACK TO a; CREATE INDEX ON orders (note); COMMIT');
SELECT statement, held FROM held('BEGIN; ALTER TABLE orders ADD COLUMN x integer; COMMIT AND CHAIN; CREATE INDEX ON orders (note); ROLLBACK');

-- so do the locks of the calling transaction, until the script ends it
BEGIN;
LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;
SELECT statement, held FROM held('CREATE INDEX ON orders (note)');
SELECT statement, held FROM held('COMMIT; CREATE INDEX ON orders (note)');
ROLLBACK;

-- settings that change the answer, for the rest of the script only
CREATE SCHEMA mg_other;
CREATE TABLE mg_other.orders (id bigint);
SELECT * FROM says('
    SET search_path = mg_other;
    ALTER TABLE orders ALTER COLUMN id TYPE bigint;
    BEGIN;
    SET LOCAL search_path = mg_input;
    ALTER TABLE orders ALTER COLUMN id TYPE bigint;
    COMMIT;
    ALTER TABLE orders ALTER COLUMN id TYPE bigint;');
SELECT * FROM finds('
    CREATE INDEX a ON orders (note);
    SET migration_guard.rules = ''create_index=off'';
    CREATE INDEX b ON orders (note);
    RESET migration_guard.rules;
    SET migration_guard.block_rows = 0;
    CREATE INDEX c ON orders (note);
    SET migration_guard.override = ''OPS-1'';
    CREATE INDEX d ON orders (note);');
SHOW search_path;
SHOW migration_guard.block_rows;
SELECT message FROM error_of('SET search_path = mg_other; ALTER TABLE nowhere ADD x integer');
SHOW search_path;

-- what cannot be looked into
SELECT * FROM says('DO $x$ BEGIN EXECUTE ''DROP TABLE orders''; END $x$; CALL p(); DO $x$ BEGIN END $x$');

-- nothing of it is executed
SELECT * FROM says('COMMENT ON TABLE orders IS ''x''; TRUNCATE orders; COMMENT ON TABLE orders IS ''y''');
SELECT count(*) FROM orders;

-- mode off: said, not silent
SET migration_guard.mode = 'off';
SELECT * FROM finds('CREATE INDEX ON orders (note)');
SELECT * FROM says('CREATE INDEX ON orders (note)');
RESET migration_guard.mode;

--
-- names
--
CREATE TABLE "Odd ""Name" ("Some Column" integer);
SELECT * FROM says('ALTER TABLE "Odd ""Name" ADD COLUMN "x;y" integer');
SELECT * FROM says('ALTER TABLE mg_input . "Odd ""Name" DROP COLUMN "Some Column"');
SELECT * FROM says(U&'ALTER TABLE "Odd ""Name" ADD COLUMN "\00e4" integer');

-- a temporary table hides one of the same name, as it does when it is run
CREATE TEMPORARY TABLE orders (id integer);
SELECT relation, relation = 'pg_temp.orders'::regclass AS temporary FROM says('ALTER TABLE orders ADD COLUMN x integer');
SELECT relation FROM says('ALTER TABLE mg_input.orders ADD COLUMN x integer');
SELECT relation FROM says('CREATE TEMP TABLE item (id integer); ALTER TABLE item ADD COLUMN x integer; ALTER TABLE pg_temp.item ADD y integer');
DROP TABLE pg_temp.orders;

-- what another statement of the script makes of a table counts
CREATE UNLOGGED TABLE brief (id integer PRIMARY KEY);
SELECT message FROM error_of('ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES brief');
SELECT * FROM says('ALTER TABLE brief SET LOGGED; ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES brief');
DROP TABLE brief;

-- what search_path does not find has to be qualified
SET search_path = mg_other, mg_input;
SELECT * FROM says('ALTER TABLE orders ADD COLUMN x integer');
SET search_path = '';
SELECT message FROM mg_input.error_of('ALTER TABLE orders ADD COLUMN x integer');
SELECT relation FROM mg_input.says('ALTER TABLE mg_input.orders ADD COLUMN x integer');
SET search_path = mg_input;

-- a dry run works where nothing may be written
BEGIN READ ONLY;
SELECT relation, scan FROM says('CREATE INDEX ON orders (note)');
COMMIT;

-- nothing has happened
\d orders
SET client_min_messages = warning;
DROP SCHEMA mg_input, mg_other CASCADE;
DROP ROLE regress_mg_reader;
