--
-- From findings to verdicts: thresholds, actions, modes, override, exemptions,
-- and what reaches the client.
--
\set VERBOSITY sqlstate
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS migration_guard;
RESET client_min_messages;
SET migration_guard.warn_size = -1;
SET migration_guard.block_size = -1;
SET migration_guard.warn_rows = -1;
SET migration_guard.block_rows = -1;

CREATE TABLE r (a int, b text, c int NOT NULL);
INSERT INTO r SELECT i, 'x', i FROM generate_series(1, 1000) i;
CREATE TABLE s (a int, b text);
INSERT INTO s SELECT i, 'x' FROM generate_series(1, 10) i;
CREATE TABLE e (a int);
-- few rows, more than a megabyte
CREATE TABLE w (a int, b text);
ALTER TABLE w ALTER b SET STORAGE EXTERNAL;
INSERT INTO w SELECT i, repeat('x', 200000) FROM generate_series(1, 10) i;
ANALYZE r, s, e, w;

CREATE FUNCTION verdicts(sql text) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(string_agg(verdict || ' ' || rule, ', '), 'nothing') FROM migration_guard.check(sql) $$;

-- what a refusal carries; sizes and times differ from server to server
CREATE FUNCTION masked(message text) RETURNS text LANGUAGE sql AS
$$ SELECT regexp_replace(regexp_replace(message, 'for (about|less than) [0-9]+ \w+', 'for TIME', 'g'),
                         '[0-9.]+ (bytes|kB|MB|GB)', 'SIZE', 'g') $$;

CREATE FUNCTION refusal(sql text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
    message text;
    detail text;
    hint text;
    a text;
    b text;
    c text;
    d text;
BEGIN
    EXECUTE sql;
    RETURN NEXT 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, a = SCHEMA_NAME, b = TABLE_NAME, c = COLUMN_NAME,
        d = CONSTRAINT_NAME;
    RETURN NEXT 'sqlstate    ' || SQLSTATE;
    RETURN NEXT 'message     ' || masked(message);
    RETURN NEXT 'detail      ' || masked(detail);
    RETURN NEXT 'hint        ' || hint;
    RETURN NEXT format('names       schema "%s", table "%s", column "%s", constraint "%s"', a, b, c, d);
END
$$;

\pset format unaligned
\pset tuples_only on

--
-- Thresholds by rows
--
SELECT verdicts('CREATE INDEX ON r (a)');
SET migration_guard.warn_rows = 1001;
SELECT verdicts('CREATE INDEX ON r (a)');
SET migration_guard.warn_rows = 1000;
SELECT verdicts('CREATE INDEX ON r (a)');
SET migration_guard.block_rows = 1001;
SELECT verdicts('CREATE INDEX ON r (a)');
SET migration_guard.block_rows = 1000;
SELECT verdicts('CREATE INDEX ON r (a)');
-- a block threshold below the one for warnings
SET migration_guard.warn_rows = 100000;
SET migration_guard.block_rows = 500;
SELECT verdicts('CREATE INDEX ON r (a)');
SELECT verdicts('CREATE INDEX ON s (a)');
-- zero is always, but an empty table is never worth a word
SET migration_guard.warn_rows = 0;
SELECT verdicts('CREATE INDEX ON s (a)');
SELECT verdicts('CREATE INDEX ON e (a)');
SET migration_guard.block_rows = 0;
SELECT verdicts('CREATE INDEX ON s (a)');
SELECT verdicts('CREATE INDEX ON e (a)');
SET migration_guard.block_rows = -1;
SET migration_guard.warn_rows = -1;
SELECT verdicts('CREATE INDEX ON s (a)');

--
-- Thresholds by bytes; whichever is reached first
--
SET migration_guard.warn_size = '1MB';
SELECT verdicts('ALTER TABLE w ALTER a SET NOT NULL');
SELECT verdicts('ALTER TABLE r ALTER a SET NOT NULL');
SET migration_guard.block_size = '1MB';
SELECT verdicts('ALTER TABLE w ALTER a SET NOT NULL');
SET migration_guard.block_size = '1GB';
SELECT verdicts('ALTER TABLE w ALTER a SET NOT NULL');
SET migration_guard.block_rows = 10;
SELECT verdicts('ALTER TABLE w ALTER a SET NOT NULL');
SET migration_guard.block_rows = 11;
SELECT verdicts('ALTER TABLE w ALTER a SET NOT NULL');
SET migration_guard.warn_size = 0;
SET migration_guard.block_rows = -1;
SELECT verdicts('ALTER TABLE s ALTER a SET NOT NULL');
SET migration_guard.warn_size = -1;
SET migration_guard.block_size = -1;

--
-- Modes
--
SET migration_guard.warn_rows = 100;
SET migration_guard.block_rows = 1000;
SELECT verdicts('CREATE INDEX ON r (a)');
CREATE INDEX r_a ON r (a);
SET migration_guard.mode = warn;
SELECT verdicts('CREATE INDEX ON r (a)');
CREATE INDEX r_a ON r (a);
DROP INDEX r_a;
SET migration_guard.mode = log;
SELECT verdicts('CREATE INDEX ON r (a)');
CREATE INDEX r_a ON r (a);
DROP INDEX r_a;
SET migration_guard.mode = off;
SELECT verdicts('CREATE INDEX ON r (a)');
CREATE INDEX r_a ON r (a);
DROP INDEX r_a;
RESET migration_guard.mode;

--
-- Actions per rule: the strongest verdict that a rule may give
--
SET migration_guard.rules = 'create_index = warn, set_not_null = log, add_check = off';
SELECT name, default_action, action FROM migration_guard.rules WHERE action <> default_action ORDER BY 1;
SELECT verdicts('CREATE INDEX ON r (a)');
SELECT verdicts('ALTER TABLE r ALTER a SET NOT NULL');
SELECT verdicts('ALTER TABLE r ADD CHECK (a > 0)');
SELECT verdicts('ALTER TABLE r ADD UNIQUE (a)');
CREATE INDEX r_a ON r (a);
ALTER TABLE r ALTER a SET NOT NULL;
ALTER TABLE r ADD CHECK (a > 0);
ALTER TABLE r ADD UNIQUE (a);
-- an action does not lower the threshold
SET migration_guard.block_rows = 1001;
SET migration_guard.rules = 'create_index = block';
SELECT verdicts('CREATE INDEX ON r (b)');
-- the mode comes after it
SET migration_guard.block_rows = 1000;
SET migration_guard.mode = warn;
SELECT verdicts('CREATE INDEX ON r (b)');
RESET migration_guard.mode;
RESET migration_guard.rules;
DROP INDEX r_a;
ALTER TABLE r ALTER a DROP NOT NULL;

--
-- Override
--
SET migration_guard.override = 'OPS-1234 window';
SELECT verdicts('CREATE INDEX ON r (a)');
CREATE INDEX r_a ON r (a);
DROP INDEX r_a;
-- a warning stays one
SET migration_guard.rules = 'create_index = warn';
SELECT verdicts('CREATE INDEX ON r (a)');
RESET migration_guard.rules;
-- white space is no reason
SET migration_guard.override = E' \t\n';
SELECT verdicts('CREATE INDEX ON r (a)');
SET migration_guard.override = '';
SELECT verdicts('CREATE INDEX ON r (a)');
-- it ends with the transaction
BEGIN;
SET LOCAL migration_guard.override = 'OPS-1234 window';
CREATE INDEX r_a ON r (a);
ROLLBACK;
CREATE INDEX r_a ON r (a);

--
-- Exempt: new in this transaction, temporary, empty
--
BEGIN;
CREATE TABLE n AS SELECT * FROM r;
CREATE INDEX ON n (a);
SAVEPOINT one;
ALTER TABLE n ALTER a SET NOT NULL;
ROLLBACK TO one;
ALTER TABLE n ADD UNIQUE (a);
COMMIT;
CREATE INDEX ON n (c);
BEGIN;
SAVEPOINT one;
CREATE TABLE n2 AS SELECT * FROM r;
RELEASE one;
CREATE INDEX ON n2 (a);
COMMIT;
-- altered in this transaction is not new
BEGIN;
ALTER TABLE r ADD COLUMN d int;
CREATE INDEX ON r (d);
ROLLBACK;
CREATE TEMP TABLE t AS SELECT * FROM r;
CREATE INDEX ON t (a);
ALTER TABLE e ADD PRIMARY KEY (a);
-- a new or empty table that references a large one works on no row of it
ALTER TABLE r ADD CONSTRAINT r_c UNIQUE (c);
SET migration_guard.override = 'test';
ALTER TABLE r ADD CONSTRAINT r_c UNIQUE (c);
RESET migration_guard.override;
ALTER TABLE e ADD FOREIGN KEY (a) REFERENCES r (c);
-- a large new table that references an old one keeps writes from that one
BEGIN;
CREATE TABLE n3 AS SELECT c FROM r;
ALTER TABLE n3 ADD FOREIGN KEY (c) REFERENCES r (c);
ROLLBACK;

--
-- CONCURRENTLY blocks nobody
--
SELECT verdicts('CREATE INDEX CONCURRENTLY ON r (a)');
SELECT verdicts('REINDEX TABLE CONCURRENTLY r');

--
-- What the transaction holds already counts
--
ALTER TABLE r ADD CONSTRAINT ck CHECK (a > 0) NOT VALID;
SELECT verdicts('ALTER TABLE r VALIDATE CONSTRAINT ck');
BEGIN;
LOCK TABLE r IN SHARE UPDATE EXCLUSIVE MODE;
SELECT verdicts('ALTER TABLE r VALIDATE CONSTRAINT ck');
LOCK TABLE r IN SHARE MODE;
SELECT verdicts('ALTER TABLE r VALIDATE CONSTRAINT ck');
ROLLBACK;
SELECT verdicts('ALTER TABLE r VALIDATE CONSTRAINT ck, ALTER a SET DEFAULT 1');
SELECT verdicts('BEGIN; ALTER TABLE r ADD CHECK (a > 1) NOT VALID; ALTER TABLE r VALIDATE CONSTRAINT ck; COMMIT');
SELECT verdicts('BEGIN; ALTER TABLE r ADD CHECK (a > 1) NOT VALID; COMMIT; ALTER TABLE r VALIDATE CONSTRAINT ck');

--
-- Error fields
--
SELECT refusal('CREATE INDEX r_a ON r (a)');
SELECT refusal('CREATE INDEX ON r (a)');
SELECT refusal('ALTER TABLE r ALTER b SET NOT NULL');
SELECT refusal('ALTER TABLE r ADD CONSTRAINT pos CHECK (a > 0)');

--
-- All findings in one message, worst first
--
SET migration_guard.rules = 'add_check = warn';
SELECT refusal('ALTER TABLE r ADD CHECK (a > 0), ALTER b SET NOT NULL, ALTER c TYPE bigint');
SELECT verdicts('ALTER TABLE r ADD CHECK (a > 0), ALTER b SET NOT NULL');
SET migration_guard.override = 'OPS-1234 window';
SELECT verdicts('ALTER TABLE r ADD CHECK (a > 0), ALTER b SET NOT NULL');
-- the warning remains, what was overridden goes to the log
BEGIN;
ALTER TABLE r ADD CHECK (a > 0), ALTER b SET NOT NULL;
ROLLBACK;
RESET migration_guard.override;
RESET migration_guard.rules;

--
-- The way out is shown to those who may take it
--
CREATE ROLE regress_mg_owner;
GRANT CREATE, USAGE ON SCHEMA public TO regress_mg_owner;
SET SESSION AUTHORIZATION regress_mg_owner;
CREATE TABLE o AS SELECT i AS a FROM generate_series(1, 1000) i;
ANALYZE o;
SELECT refusal('CREATE INDEX ON o (a)');
SET migration_guard.override = 'not mine';
RESET SESSION AUTHORIZATION;
GRANT SET ON PARAMETER migration_guard.override TO regress_mg_owner;
SET SESSION AUTHORIZATION regress_mg_owner;
SELECT refusal('CREATE INDEX ON o (a)');
SET migration_guard.override = 'mine';
CREATE INDEX ON o (a);
RESET migration_guard.override;
RESET SESSION AUTHORIZATION;
REVOKE SET ON PARAMETER migration_guard.override FROM regress_mg_owner;
REVOKE CREATE, USAGE ON SCHEMA public FROM regress_mg_owner;

--
-- What core refuses itself, core refuses first
--
SET SESSION AUTHORIZATION regress_mg_owner;
CREATE INDEX ON r (a);
RESET SESSION AUTHORIZATION;
CREATE INDEX ON no_such_table (a);
ALTER TABLE r ALTER no_such_column SET NOT NULL;

DROP TABLE o, n, n2, r, s, e, w, t CASCADE;
DROP ROLE regress_mg_owner;
DROP FUNCTION refusal, masked, verdicts;
