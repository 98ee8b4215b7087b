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
    SELECT c.oid, c.relkind, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)
),
-- definition: what follows the table's name in CREATE INDEX
indexes AS NOT MATERIALIZED (
    SELECT x.indexrelid, x.indrelid, x.indisvalid, x.indislive, x.indisexclusion, i.relkind,
           i.relispartition, i.relname, con.conname, con.contype,
           CASE
               WHEN con.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED'
               WHEN con.condeferrable THEN ' DEFERRABLE'
               ELSE ''
           END AS attributes,
           CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END AS is_unique,
           pg_catalog.format('%I.%I', n.nspname, i.relname) AS name,
           n.nspname ~ '^pg_toast' AS is_toast,
           pg_catalog.substr(
               pg_catalog.pg_get_indexdef(x.indexrelid),
               pg_catalog.length(pg_catalog.format(
                   'CREATE %sINDEX %I ON %s%I.%I',
                   CASE WHEN x.indisunique THEN 'UNIQUE ' END, i.relname,
                   CASE WHEN i.relkind = 'I' THEN 'ONLY ' END,
                   n.nspname, c.relname)) + 1) AS definition
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
    LEFT JOIN pg_catalog.pg_constraint con ON con.conindid = x.indexrelid
                                          AND con.conrelid = x.indrelid
                                          AND con.contype IN ('p', 'u', 'x')
),
-- the partitions that an invalid index of their table has a share in, or lacks one
shares AS (
    SELECT x.indexrelid, t.name, s.name AS share, s.indisvalid AS share_is_valid,
           -- the next thing to do; one by one, they lead to a valid index
           CASE
               WHEN s.indexrelid IS NOT NULL OR t.relkind NOT IN ('r', 'p') THEN
                   NULL
               WHEN f.indexrelid IS NULL AND x.conname IS NOT NULL AND t.relkind = 'p' THEN
                   pg_catalog.format('ALTER TABLE ONLY %s ADD %s', t.name,
                                     (SELECT pg_catalog.pg_get_constraintdef(con.oid)
                                      FROM pg_catalog.pg_constraint con
                                      WHERE con.conindid = x.indexrelid
                                        AND con.conrelid = x.indrelid))
               WHEN f.indexrelid IS NULL THEN
                   pg_catalog.format('CREATE %sINDEX %sON %s%s%s', x.is_unique,
                                     CASE WHEN t.relkind = 'r' THEN 'CONCURRENTLY ' END,
                                     CASE WHEN t.relkind = 'p' THEN 'ONLY ' END,
                                     t.name, x.definition)
               WHEN f.relkind = 'i' AND NOT f.indisvalid THEN
                   pg_catalog.format('REINDEX INDEX CONCURRENTLY %s', f.name)
               WHEN x.conname IS NOT NULL AND f.conname IS NULL THEN
                   pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s USING INDEX %I%s', t.name,
                                     f.relname,
                                     CASE x.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END,
                                     f.relname, x.attributes)
               ELSE
                   pg_catalog.format('ALTER INDEX %s ATTACH PARTITION %s', x.name, f.name)
           END AS step
    FROM indexes x
    JOIN pg_catalog.pg_inherits p ON p.inhparent = x.indrelid
    JOIN tables t ON t.oid = p.inhrelid
    LEFT JOIN LATERAL (
        SELECT c.indexrelid, c.name, c.indisvalid
        FROM indexes c
        JOIN pg_catalog.pg_inherits a ON a.inhrelid = c.indexrelid
        WHERE a.inhparent = x.indexrelid
          AND c.indrelid = p.inhrelid) s ON true
    -- an index that would fit
    LEFT JOIN LATERAL (
        SELECT c.*
        FROM indexes c
        WHERE c.indrelid = p.inhrelid
          AND c.indislive
          AND NOT c.relispartition
          AND c.is_unique = x.is_unique
          AND c.definition = x.definition
          AND (c.contype IS NULL AND (x.contype IS NULL OR t.relkind = 'r')
               OR c.contype = x.contype AND c.attributes = x.attributes)
        ORDER BY c.conname IS NULL, NOT c.indisvalid, c.name
        LIMIT 1) f ON true
    WHERE x.relkind = 'I'
      AND NOT x.indisvalid
      AND NOT p.inhdetachpending
),
invalid AS (
    SELECT x.*, t.oid AS table_oid, t.name AS table_name
    FROM indexes x
    JOIN tables t ON t.oid = CASE
                                 WHEN x.is_toast THEN
                                     (SELECT o.oid
                                      FROM pg_catalog.pg_class o
                                      WHERE o.reltoastrelid = x.indrelid)
                                 ELSE
                                     x.indrelid
                             END
    WHERE NOT x.indisvalid
),
-- NOT ENFORCED is known from 18 on
constraints AS (
    SELECT con.*, COALESCE((pg_catalog.to_jsonb(con) ->> 'conenforced')::boolean, true) AS enforced
    FROM pg_catalog.pg_constraint con
    WHERE NOT con.convalidated
)
SELECT 'invalid index'::text AS kind,
       x.table_oid::pg_catalog.regclass AS relation,
       x.name AS object,
       CASE
           WHEN x.relname ~ '_cc(new|old)[0-9]*$' THEN
               'REINDEX CONCURRENTLY left it behind'
           WHEN NOT x.indislive THEN
               'DROP INDEX CONCURRENTLY did not finish'
           ELSE
               'CREATE INDEX, REINDEX or DROP INDEX CONCURRENTLY did not finish: it costs writes, and no query uses it'
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
           WHEN x.relname ~ '_cc(new|old)[0-9]*$' THEN
               NULL
           WHEN NOT x.indislive THEN
               pg_catalog.format('DROP INDEX CONCURRENTLY %s', x.name)
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
FROM invalid x
WHERE x.relkind = 'i'
UNION ALL
SELECT 'invalid partitioned index',
       x.table_oid::pg_catalog.regclass,
       x.name,
       COALESCE(
           (SELECT 'these partitions have no index attached to it: '
                   || pg_catalog.string_agg(s.name, ', ' ORDER BY s.name)
            FROM shares s
            WHERE s.indexrelid = x.indexrelid
              AND s.share IS NULL),
           (SELECT 'these indexes attached to it are invalid: '
                   || pg_catalog.string_agg(s.share, ', ' ORDER BY s.share)
            FROM shares s
            WHERE s.indexrelid = x.indexrelid
              AND NOT s.share_is_valid),
           'all partitions have a valid index attached to it, but one was invalid when it was attached'),
       -- what comes next; all of it is done when the row is gone
       CASE
           WHEN EXISTS (SELECT FROM shares s
                        WHERE s.indexrelid = x.indexrelid AND s.share IS NULL) THEN
               (SELECT s.step
                FROM shares s
                WHERE s.indexrelid = x.indexrelid AND s.step IS NOT NULL
                ORDER BY s.name
                LIMIT 1)
           WHEN EXISTS (SELECT FROM shares s
                        WHERE s.indexrelid = x.indexrelid AND NOT s.share_is_valid) THEN
               NULL
           ELSE
               (SELECT pg_catalog.format('ALTER INDEX %s ATTACH PARTITION %s', x.name,
                                         pg_catalog.min(s.share))
                FROM shares s
                WHERE s.indexrelid = x.indexrelid
                HAVING pg_catalog.count(*) > 0)
       END,
       CASE
           WHEN x.relispartition THEN
               NULL
           WHEN x.conname IS NOT NULL THEN
               pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', x.table_name, x.conname)
           ELSE
               pg_catalog.format('DROP INDEX %s', x.name)
       END
FROM invalid x
WHERE x.relkind = 'I'
UNION ALL
SELECT CASE WHEN con.enforced THEN 'constraint not valid' ELSE 'constraint not enforced' END,
       con.conrelid::pg_catalog.regclass,
       pg_catalog.quote_ident(con.conname),
       CASE
           WHEN NOT con.enforced THEN 'neither the rows that are there nor new ones are checked'
           WHEN con.contype = 'f' THEN 'rows from before the foreign key were never checked'
           ELSE 'rows from before the constraint were never checked'
       END,
       CASE
           WHEN con.enforced THEN
               pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT %I', t.name, con.conname)
           WHEN con.coninhcount > 0 THEN
               NULL
           WHEN con.contype = 'f'
                OR pg_catalog.current_setting('server_version_num')::integer >= 190000 THEN
               pg_catalog.format('ALTER TABLE %s ALTER CONSTRAINT %I ENFORCED', t.name, con.conname)
           ELSE
               pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', t.name,
                                 con.conname, con.conname,
                                 pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(con.oid),
                                                           ' NOT ENFORCED$', ' NOT VALID'))
       END,
       CASE
           WHEN con.coninhcount = 0 THEN
               pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', t.name, con.conname)
       END
FROM constraints con
JOIN tables t ON t.oid = con.conrelid
-- a foreign key to a partitioned table has rows of its own for the partitions
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_constraint parent
    WHERE parent.oid = con.conparentid
      AND parent.conrelid = con.conrelid)
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
FROM constraints con
JOIN pg_catalog.pg_type t ON t.oid = con.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname <> 'pg_catalog'
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
