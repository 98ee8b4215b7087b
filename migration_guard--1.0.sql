/* migration_guard--1.0.sql */

\echo Use "CREATE EXTENSION migration_guard" to load this file. \quit

--
-- Before anything else: not in a schema that somebody else has put there.
-- When all is done, the administrator is told about preloading.
--

CREATE FUNCTION migration_guard.install()
RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mg_install';

SELECT migration_guard.install();

DROP FUNCTION migration_guard.install();

--
-- Dry runs: nothing is executed, waited for, or locked.
--

CREATE FUNCTION migration_guard.explain(sql text)
RETURNS TABLE (
    statement integer,
    command text,
    relation regclass,
    lock_mode text,
    blocks text,
    rewrite boolean,
    scan boolean,
    index_builds integer,
    rows bigint,
    bytes bigint,
    estimate interval,
    reason text)
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'mg_explain';

COMMENT ON FUNCTION migration_guard.explain(text) IS
    'what statements would lock, rewrite, scan and build, and how much that is here';

CREATE FUNCTION migration_guard.check(sql text)
RETURNS TABLE (
    statement integer,
    command text,
    verdict text,
    rule text,
    sqlstate text,
    relation regclass,
    message text,
    detail text,
    hint text)
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'mg_check';

COMMENT ON FUNCTION migration_guard.check(text) IS
    'what the guard would say about statements under the settings in force';

--
-- Rules
--

CREATE FUNCTION migration_guard.rules()
RETURNS TABLE (
    name text,
    sqlstate text,
    category text,
    default_action text,
    action text,
    summary text,
    advice text)
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 30
AS 'MODULE_PATHNAME', 'mg_rules_list';

COMMENT ON FUNCTION migration_guard.rules() IS
    'the rules, with the actions in force';

CREATE VIEW migration_guard.rules AS
SELECT name, sqlstate, category, default_action, action, summary, advice
FROM migration_guard.rules();

COMMENT ON VIEW migration_guard.rules IS
    'the rules, with the actions in force';

--
-- Counters
--

CREATE FUNCTION migration_guard.stats()
RETURNS TABLE (
    rule text,
    checked bigint,
    logged bigint,
    warned bigint,
    blocked bigint,
    overridden bigint,
    mispredicted bigint,
    last_time timestamp with time zone)
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 30
AS 'MODULE_PATHNAME', 'mg_stats_list';

COMMENT ON FUNCTION migration_guard.stats() IS
    'how often each rule has applied since the server was started or the counters were reset';

CREATE VIEW migration_guard.stats AS
SELECT rule, checked, logged, warned, blocked, overridden, mispredicted, last_time
FROM migration_guard.stats();

COMMENT ON VIEW migration_guard.stats IS
    'how often each rule has applied since the server was started or the counters were reset';

CREATE FUNCTION migration_guard.stats_reset()
RETURNS void
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mg_stats_reset';

COMMENT ON FUNCTION migration_guard.stats_reset() IS
    'sets all counters of migration_guard.stats to 0';

-- like all statistics of the server
REVOKE ALL ON FUNCTION migration_guard.stats(), migration_guard.stats_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION migration_guard.stats() TO pg_read_all_stats;
GRANT SELECT ON migration_guard.stats TO pg_read_all_stats;

--
-- What earlier migrations have left unfinished
--

CREATE VIEW migration_guard.unfinished AS
WITH tables AS (
    SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)
),
indexes AS (
    SELECT x.indexrelid, x.indrelid, x.indislive, x.indisexclusion, i.relkind, i.relispartition,
           i.relname, t.name AS table_name,
           pg_catalog.format('%I.%I', n.nspname, i.relname) AS name,
           (SELECT con.conname
            FROM pg_catalog.pg_constraint con
            WHERE con.conindid = x.indexrelid
              AND con.conrelid = x.indrelid
              AND con.contype IN ('p', 'u', 'x')) AS conname
    FROM pg_catalog.pg_index x
    JOIN tables t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
    WHERE NOT x.indisvalid
)
SELECT 'invalid index'::text AS kind,
       x.indrelid::pg_catalog.regclass AS relation,
       x.name AS object,
       CASE
           WHEN NOT x.indislive THEN
               'DROP INDEX CONCURRENTLY did not finish'
           WHEN x.relname ~ '_cc(new|old)[0-9]*$' THEN
               'REINDEX CONCURRENTLY left it behind'
           ELSE
               'CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY failed: it costs writes, and no query uses it'
       END
       || COALESCE((
           SELECT pg_catalog.format('; process %s has the table locked and may still be at work on it',
                                    pg_catalog.string_agg(DISTINCT l.pid::text, ', '))
           FROM pg_catalog.pg_locks l
           WHERE l.locktype = 'relation'
             AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                               WHERE d.datname = pg_catalog.current_database())
             AND l.relation = x.indrelid
             AND l.mode = 'ShareUpdateExclusiveLock'
             AND l.granted
           HAVING pg_catalog.count(*) > 0), '') AS reason,
       CASE
           WHEN NOT x.indislive THEN
               pg_catalog.format('DROP INDEX CONCURRENTLY %s', x.name)
           WHEN x.relname ~ '_cc(new|old)[0-9]*$' THEN
               NULL
           WHEN x.indisexclusion THEN
               pg_catalog.format('REINDEX INDEX %s', x.name)
           ELSE
               pg_catalog.format('REINDEX INDEX CONCURRENTLY %s', x.name)
       END AS finish_sql,
       CASE
           WHEN x.relispartition THEN
               NULL
           WHEN x.conname IS NOT NULL THEN
               pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', x.table_name, x.conname)
           ELSE
               pg_catalog.format('DROP INDEX CONCURRENTLY %s', x.name)
       END AS remove_sql
FROM indexes x
WHERE x.relkind = 'i'
UNION ALL
SELECT 'invalid partitioned index',
       x.indrelid::pg_catalog.regclass,
       x.name,
       COALESCE(
           (SELECT 'these partitions have no index attached to it: '
                   || pg_catalog.string_agg(t.name, ', ' ORDER BY t.name)
            FROM pg_catalog.pg_inherits p
            JOIN tables t ON t.oid = p.inhrelid
            WHERE p.inhparent = x.indrelid
              AND NOT p.inhdetachpending
              AND NOT EXISTS (
                  SELECT
                  FROM pg_catalog.pg_inherits a
                  JOIN pg_catalog.pg_index c ON c.indexrelid = a.inhrelid
                  WHERE a.inhparent = x.indexrelid
                    AND c.indrelid = p.inhrelid)),
           (SELECT 'these indexes attached to it are invalid: '
                   || pg_catalog.string_agg(c.name, ', ' ORDER BY c.name)
            FROM pg_catalog.pg_inherits a
            JOIN indexes c ON c.indexrelid = a.inhrelid
            WHERE a.inhparent = x.indexrelid),
           'all partitions have a valid index attached to it, but one was invalid when it was attached'),
       NULL,
       CASE
           WHEN x.relispartition THEN
               NULL
           WHEN x.conname IS NOT NULL THEN
               pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', x.table_name, x.conname)
           ELSE
               pg_catalog.format('DROP INDEX %s', x.name)
       END
FROM indexes x
WHERE x.relkind = 'I'
UNION ALL
SELECT 'constraint not valid',
       con.conrelid::pg_catalog.regclass,
       pg_catalog.quote_ident(con.conname),
       CASE con.contype
           WHEN 'f' THEN 'rows from before the foreign key were never checked'
           ELSE 'rows from before the constraint were never checked'
       END,
       pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT %I', t.name, con.conname),
       CASE
           WHEN con.coninhcount = 0 THEN
               pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', t.name, con.conname)
       END
FROM pg_catalog.pg_constraint con
JOIN tables t ON t.oid = con.conrelid
WHERE NOT con.convalidated
UNION ALL
SELECT 'domain constraint not valid',
       NULL,
       pg_catalog.quote_ident(con.conname),
       pg_catalog.format('values of domain %I.%I from before the constraint were never checked',
                         n.nspname, t.typname),
       pg_catalog.format('ALTER DOMAIN %I.%I VALIDATE CONSTRAINT %I',
                         n.nspname, t.typname, con.conname),
       pg_catalog.format('ALTER DOMAIN %I.%I DROP CONSTRAINT %I',
                         n.nspname, t.typname, con.conname)
FROM pg_catalog.pg_constraint con
JOIN pg_catalog.pg_type t ON t.oid = con.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE NOT con.convalidated
  AND n.nspname <> 'pg_catalog'
  AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)
UNION ALL
SELECT 'detach pending',
       p.inhparent::pg_catalog.regclass,
       c.name,
       'DETACH PARTITION CONCURRENTLY did not finish: queries skip the partition, and it is still attached',
       pg_catalog.format('ALTER TABLE %s DETACH PARTITION %s FINALIZE', t.name, c.name),
       NULL
FROM pg_catalog.pg_inherits p
JOIN tables t ON t.oid = p.inhparent
JOIN tables c ON c.oid = p.inhrelid
WHERE p.inhdetachpending;

COMMENT ON VIEW migration_guard.unfinished IS
    'what earlier migrations have left unfinished, with the statements that finish or remove it';

--
-- Who may see the rest: everybody, for the catalogs show it too.
--

GRANT USAGE ON SCHEMA migration_guard TO PUBLIC;
GRANT EXECUTE ON FUNCTION migration_guard.explain(text) TO PUBLIC;
GRANT EXECUTE ON FUNCTION migration_guard.check(text) TO PUBLIC;
GRANT EXECUTE ON FUNCTION migration_guard.rules() TO PUBLIC;
GRANT SELECT ON migration_guard.rules, migration_guard.unfinished TO PUBLIC;

--
-- The first DDL statement of a session loads the library, and is judged by
-- this handler; from then on the library's own hook sees them all.  ALWAYS:
-- also under session_replication_role = replica.
--

CREATE FUNCTION migration_guard.guard_ddl()
RETURNS event_trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mg_guard_ddl';

COMMENT ON FUNCTION migration_guard.guard_ddl() IS
    'judges the statement that loads the library; not to be called';

REVOKE ALL ON FUNCTION migration_guard.guard_ddl() FROM PUBLIC;

CREATE EVENT TRIGGER migration_guard ON ddl_command_start
    EXECUTE FUNCTION migration_guard.guard_ddl();

ALTER EVENT TRIGGER migration_guard ENABLE ALWAYS;

--
-- Before a table is rewritten: was that predicted?
--

CREATE FUNCTION migration_guard.audit_rewrite()
RETURNS event_trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mg_audit_rewrite';

COMMENT ON FUNCTION migration_guard.audit_rewrite() IS
    'compares rewrites with what was predicted; not to be called';

REVOKE ALL ON FUNCTION migration_guard.audit_rewrite() FROM PUBLIC;

CREATE EVENT TRIGGER migration_guard_audit ON table_rewrite
    EXECUTE FUNCTION migration_guard.audit_rewrite();

ALTER EVENT TRIGGER migration_guard_audit ENABLE ALWAYS;
