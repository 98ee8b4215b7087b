--
-- Settings: what they accept, what they refuse and with which words, and who
-- may change them.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS migration_guard;
RESET client_min_messages;

SELECT name, setting, unit, context, vartype, min_val, enumvals
FROM pg_settings WHERE name LIKE 'migration\_guard.%' ORDER BY name;

-- the prefix is reserved
SET migration_guard.modus = 'off';

--
-- mode
--
SET migration_guard.mode = 'on';
SET migration_guard.mode = WARN;
SHOW migration_guard.mode;
SET migration_guard.mode = 'log';
SET migration_guard.mode = 'off';
SET migration_guard.mode = 'enforce';
RESET migration_guard.mode;
SHOW migration_guard.mode;

--
-- thresholds: -1 is never, 0 is always, less makes no sense
--
SET migration_guard.warn_rows = -1;
SET migration_guard.warn_rows = 0;
SET migration_guard.warn_rows = -2;
SET migration_guard.block_rows = -2;
SET migration_guard.block_rows = 'many';
SET migration_guard.block_rows = '1e6';
SHOW migration_guard.block_rows;
SET migration_guard.block_rows = 3000000000;
SET migration_guard.warn_size = -1;
SHOW migration_guard.warn_size;
SET migration_guard.warn_size = 0;
SHOW migration_guard.warn_size;
SET migration_guard.warn_size = '512MB';
SHOW migration_guard.warn_size;
SET migration_guard.block_size = '2TB';
SHOW migration_guard.block_size;
SET migration_guard.block_size = 2048;
SHOW migration_guard.block_size;
\set VERBOSITY sqlstate
SET migration_guard.block_size = -2;
\set VERBOSITY default
SET migration_guard.block_size = '10 GiB';
RESET migration_guard.warn_rows;
RESET migration_guard.block_rows;
RESET migration_guard.warn_size;
RESET migration_guard.block_size;

--
-- rates
--
\set VERBOSITY sqlstate
SET migration_guard.scan_rate = 0;
SET migration_guard.rewrite_rate = -1;
SET migration_guard.index_rate = '0MB';
\set VERBOSITY default
SET migration_guard.scan_rate = '2GB';
SHOW migration_guard.scan_rate;
SET migration_guard.scan_rate = 250;
SHOW migration_guard.scan_rate;
RESET migration_guard.scan_rate;

--
-- rules
--
SET migration_guard.rules = 'create_index=warn';
SET migration_guard.rules = ' Create_Index = WARN ,cluster=off,reindex=log,  vacuum_full = block';
SHOW migration_guard.rules;
SELECT name, default_action, action FROM migration_guard.rules
WHERE name IN ('create_index', 'cluster', 'reindex', 'vacuum_full', 'add_check') ORDER BY name;
SET migration_guard.rules = 'create_index=warn', 'cluster=log';
SELECT name, action FROM migration_guard.rules WHERE action <> default_action ORDER BY name;

-- what is wrong leaves the old value alone
SET migration_guard.rules = 'create_index';
SET migration_guard.rules = 'create_index=';
SET migration_guard.rules = 'create_index=fail';
SET migration_guard.rules = 'create_index=warn,,cluster=off';
SET migration_guard.rules = 'create_index=warn,';
SET migration_guard.rules = 'create_index=warn=off';
SET migration_guard.rules = 'create_index=warn, CREATE_INDEX=off';
SET migration_guard.rules = 'create_index=warn cluster=off';
SHOW migration_guard.rules;

-- an unknown rule: the hint has them all
DO $$
DECLARE
    bad text;
    detail text;
    hint text;
BEGIN
    FOREACH bad IN ARRAY ARRAY['cluster=off, drop_everything=block', '=warn', 'create_index =warn, index = warn'] LOOP
        BEGIN
            PERFORM set_config('migration_guard.rules', bad, false);
        EXCEPTION WHEN invalid_parameter_value THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            RAISE NOTICE '%', SQLERRM
                USING DETAIL = detail,
                      HINT = CASE WHEN hint = (
                          SELECT 'The rules are: ' || string_agg(r.name, ', ' ORDER BY r.sqlstate) || '.'
                          FROM migration_guard.rules r) THEN 'all of them' ELSE hint END;
        END;
    END LOOP;
END
$$;

SET migration_guard.rules = '  ';
SELECT count(*) FROM migration_guard.rules WHERE action <> default_action;
RESET migration_guard.rules;

-- the value comes and goes with the transaction
BEGIN;
SET LOCAL migration_guard.rules = 'cluster=off';
SAVEPOINT s;
SET LOCAL migration_guard.rules = 'cluster=log';
SELECT action FROM migration_guard.rules WHERE name = 'cluster';
ROLLBACK TO s;
SELECT action FROM migration_guard.rules WHERE name = 'cluster';
COMMIT;
SELECT action FROM migration_guard.rules WHERE name = 'cluster';

--
-- override: one line of reason; only space is none
--
SET migration_guard.override = '  OPS-1234 window ';
SELECT quote_literal(current_setting('migration_guard.override'));
SET migration_guard.override = E' \t\n ';
SELECT quote_literal(current_setting('migration_guard.override'));
SET migration_guard.override = E'OPS-1\nFATAL: forged';
SET migration_guard.override = E'OPS-1\u0007';
SELECT set_config('migration_guard.override', repeat('x', 1000), false) = repeat('x', 1000) AS thousand;
SELECT set_config('migration_guard.override', repeat('x', 1001), false);
RESET migration_guard.override;

--
-- Who may change them
--
CREATE ROLE regress_mg_deployer;
SET ROLE regress_mg_deployer;
SET migration_guard.mode = 'off';
SET migration_guard.rules = '';
SET LOCAL migration_guard.override = 'please';
SELECT set_config('migration_guard.block_rows', '-1', true);
SET migration_guard.scan_rate = 1;
SHOW migration_guard.mode;
RESET ROLE;

GRANT SET ON PARAMETER migration_guard.override TO regress_mg_deployer;
SET ROLE regress_mg_deployer;
BEGIN;
SET LOCAL migration_guard.override = 'OPS-1234';
SHOW migration_guard.override;
SET LOCAL migration_guard.mode = 'off';
ROLLBACK;
SELECT quote_literal(current_setting('migration_guard.override'));
RESET ROLE;
REVOKE SET ON PARAMETER migration_guard.override FROM regress_mg_deployer;

--
-- per role and per database
--
ALTER ROLE regress_mg_deployer SET migration_guard.mode = 'warn';
ALTER ROLE regress_mg_deployer SET migration_guard.mode = 'sometimes';
ALTER ROLE regress_mg_deployer SET migration_guard.rules = 'create_index=warn', 'cluster=off';
SELECT unnest(setconfig) FROM pg_db_role_setting
WHERE setrole = 'regress_mg_deployer'::regrole;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET migration_guard.block_rows = 5000', current_database()); END $$;
\c -
SHOW migration_guard.block_rows;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET migration_guard.block_rows', current_database()); END $$;
\c -
SHOW migration_guard.block_rows;

-- a role cannot give itself what it may not set
SET ROLE regress_mg_deployer;
ALTER ROLE regress_mg_deployer SET migration_guard.mode = 'off';
RESET ROLE;
DROP ROLE regress_mg_deployer;
