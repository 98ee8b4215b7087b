-- What bench/run measures on.

CREATE TABLE plain (id integer PRIMARY KEY, a integer, b text);
INSERT INTO plain SELECT i, i, 'row ' || i FROM generate_series(1, 100000) i;

-- Partitioned tables with a row in each partition.
CREATE PROCEDURE make_parted(parts integer) LANGUAGE plpgsql AS $$
DECLARE
    parent text := 'parted_' || parts;
BEGIN
    EXECUTE format('CREATE TABLE %I (id integer NOT NULL, a integer) PARTITION BY RANGE (id)', parent);
    FOR i IN 1 .. parts LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)',
                       parent || '_' || i, parent, i, i + 1);
        IF i % 500 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
    EXECUTE format('INSERT INTO %I SELECT i, i FROM generate_series(1, %s) i', parent, parts);
END;
$$;
CALL make_parted(1000);
CALL make_parted(5000);

-- A hundred tables with rows, and scripts of 10,000 statements about them: one
-- statement over and over, and what years of migrations are made of.
DO $$
BEGIN
    FOR i IN 0 .. 99 LOOP
        EXECUTE format('CREATE TABLE app_%s (id integer PRIMARY KEY, a integer, b text)', i);
        EXECUTE format('INSERT INTO app_%s SELECT i, i, i FROM generate_series(1, 1000) i', i);
    END LOOP;
END;
$$;

CREATE TABLE scripts (kind text PRIMARY KEY, sql text);

INSERT INTO scripts
SELECT 'add_column', string_agg(format('ALTER TABLE app_%s ADD COLUMN c%s integer;', i % 100, i), E'\n')
FROM generate_series(1, 10000) i;

INSERT INTO scripts
SELECT 'mixed', string_agg(
    CASE i % 10
        WHEN 0 THEN format('CREATE TABLE new_%s (id integer PRIMARY KEY, a integer);', i)
        WHEN 1 THEN format('ALTER TABLE app_%s ADD COLUMN c%s integer;', j, i)
        WHEN 2 THEN format('ALTER TABLE app_%s ADD COLUMN d%s text DEFAULT ''x'' NOT NULL;', j, i)
        WHEN 3 THEN format('CREATE INDEX CONCURRENTLY i%s ON app_%s (a);', i, j)
        WHEN 4 THEN format('ALTER TABLE app_%s ADD CONSTRAINT fk%s FOREIGN KEY (a) REFERENCES app_%s NOT VALID;', j, i, (j + 1) % 100)
        WHEN 5 THEN format('UPDATE app_%s SET a = 1 WHERE id = %s;', j, i)
        WHEN 6 THEN format('ALTER TABLE app_%s ALTER COLUMN a SET DEFAULT 7;', j)
        WHEN 7 THEN format('COMMENT ON TABLE app_%s IS ''number %s'';', j, i)
        WHEN 8 THEN format('CREATE INDEX i%s ON app_%s (b);', i, j)
        WHEN 9 THEN format('ALTER TABLE app_%s DROP COLUMN b;', j)
    END, E'\n' ORDER BY i)
FROM generate_series(1, 10000) i, LATERAL (SELECT i / 10 % 100 AS j) t;

VACUUM ANALYZE;
