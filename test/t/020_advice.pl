# 020_advice.pl
#
# Advice is SQL that runs here.  Every case is a statement that is refused on a
# table over block_rows; the statements of its HINT are run as they are, line
# by line, with the guard on: none of them may fail, none may be refused or
# warned about, and the schema has to be what the refused statement wanted.
#
# A case is a hash: name; state, the SQLSTATE of the refusal; setup, run with
# the guard off; sql, what is refused; before, run before the advice, what the
# refused transaction had done by then; between, run after the first statement
# of the advice, where its words ask for it; warned, the SQLSTATEs of what the
# guard says to the advice all the same, because it ends with the removal of
# the old column, or makes a foreign key again that never had an index; leave, the number of statements at
# the end that are for later; min, the first server major that has the syntax; and
# check, a query that has to return t in the end.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use MgTest;
use Test::More;

# What ends a case's advice without being a part of it.
my $statement = qr/^(?:ALTER|BEGIN|COMMIT|CREATE|DO|DROP|REFRESH|REINDEX|REPACK|SELECT|VACUUM)\b/;

my $table = <<'EOM';
CREATE TABLE big (id bigint NOT NULL, a int, b varchar(20), c text, n int NOT NULL, p_id bigint,
  ts timestamp, block int);
INSERT INTO big SELECT i, i, i, i, i, 1 + i % 100, 'epoch' FROM generate_series(1, 3000) i;
CREATE TABLE parent (id bigint PRIMARY KEY);
INSERT INTO parent SELECT generate_series(1, 100);
ANALYZE big, parent;
EOM

my $tree = <<'EOM';
CREATE TABLE tree (k int, v varchar(5), p_id bigint) PARTITION BY RANGE (k);
CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (2000);
CREATE TABLE tree_2 PARTITION OF tree FOR VALUES FROM (2000) TO (4000) PARTITION BY RANGE (k);
CREATE TABLE tree_21 PARTITION OF tree_2 FOR VALUES FROM (2000) TO (4000);
INSERT INTO tree SELECT i, i, 1 + i % 100 FROM generate_series(0, 3999) i;
CREATE TABLE parent (id bigint PRIMARY KEY);
INSERT INTO parent SELECT generate_series(1, 100);
ANALYZE tree, parent;
EOM

my $rest = <<'EOM';
CREATE TABLE part (k int, t text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (1000);
CREATE TABLE part_rest PARTITION OF part DEFAULT;
INSERT INTO part SELECT i, i FROM generate_series(1000, 3999) i;
ANALYZE part;
EOM

# the column is filled, constrained and has the default
my $numbered = q{SELECT count(DISTINCT x) = 3000 AND max(x) = 3000 FROM big};

# the table has got new files
my $copied = q{SELECT pg_relation_filenode('big') <> 'big'::regclass::oid};

my @cases = (
	{
		name => 'create_index',
		state => 'MG121',
		sql => q{CREATE UNIQUE INDEX "Odd name" ON big USING btree
  (lower(c) COLLATE "C" text_pattern_ops DESC NULLS LAST, -- ; a comment
   (a + 1)) INCLUDE (n) WITH (fillfactor = 70) WHERE c <> 'a
b;' AND a > 0},
		check => q{SELECT indisvalid AND indisunique AND indpred IS NOT NULL AND indnatts = 3
  FROM pg_index WHERE indexrelid = '"Odd name"'::regclass},
	},
	{
		name => 'create_index, unnamed, after ADD COLUMN in the same transaction',
		state => 'MG121',
		sql => q{BEGIN; ALTER TABLE big ADD COLUMN x int; CREATE INDEX ON big (x)},
		before => q{ALTER TABLE big ADD COLUMN x int},
		check => q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'big_x_idx'::regclass},
	},
	{
		name => 'create_index on a partitioned table',
		state => 'MG121',
		setup => $tree,
		sql => q{CREATE INDEX tree_v ON tree (v)},
		check => q{SELECT bool_and(indisvalid) AND count(*) = 4 FROM pg_index
  WHERE indexrelid IN (SELECT relid FROM pg_partition_tree('tree_v'))},
	},
	{
		name => 'create_index on a partitioned table where a partition has it',
		state => 'MG121',
		setup => "$tree CREATE INDEX mine ON tree_1 (v);",
		sql => q{CREATE INDEX ON tree (v)},
		check => q{SELECT bool_and(indisvalid) AND count(*) = 4 FROM pg_index
  WHERE indexrelid IN (SELECT relid FROM pg_partition_tree('tree_v_idx'))},
	},
	{
		name => 'create_index on a materialized view',
		state => 'MG121',
		setup => "$table CREATE MATERIALIZED VIEW mv AS SELECT * FROM big; ANALYZE mv;",
		sql => q{CREATE INDEX IF NOT EXISTS mv_a ON mv (a)},
		check => q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'mv_a'::regclass},
	},
	{
		name => 'reindex of an index',
		state => 'MG122',
		setup => "$table CREATE INDEX big_a ON big (a);",
		sql => q{REINDEX (VERBOSE) INDEX big_a},
		check => q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'big_a'::regclass},
	},
	{
		name => 'alter_domain, ADD CONSTRAINT',
		state => 'MG126',
		setup => "CREATE DOMAIN \"Odd\" AS int; CREATE DOMAIN odder AS \"Odd\"; $table
  ALTER TABLE big ALTER a TYPE \"Odd\", ALTER n TYPE odder;",
		sql => q{ALTER DOMAIN "Odd" ADD CHECK (VALUE IS NULL OR abs(VALUE) > 0)},
		check => q{SELECT NOT convalidated FROM pg_constraint WHERE conname = 'Odd_check'},
	},
	{
		name => 'alter_domain, SET NOT NULL',
		state => 'MG126',
		setup => "CREATE DOMAIN odd AS int; $table ALTER TABLE big ALTER a TYPE odd;",
		sql => q{ALTER DOMAIN odd SET NOT NULL},
		check => q{SELECT NOT convalidated FROM pg_constraint WHERE conname = 'odd_not_null'},
	},
	{
		name => 'alter_domain, VALIDATE CONSTRAINT',
		state => 'MG126',
		setup => "CREATE DOMAIN odd AS int; ALTER DOMAIN odd ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID;
  $table ALTER TABLE big ALTER a TYPE odd;",
		sql => q{ALTER DOMAIN odd VALIDATE CONSTRAINT c},
		check => q{SELECT NOT convalidated FROM pg_constraint WHERE conname = 'c'},
	},
	{
		name => 'reindex of a table',
		state => 'MG122',
		setup => "$table CREATE INDEX big_a ON big (a);",
		sql => q{REINDEX TABLE big},
		check => q{SELECT true},
	},
	{
		name => 'add_unique',
		state => 'MG107',
		sql => q{ALTER TABLE big ADD CONSTRAINT "Uniq" UNIQUE NULLS NOT DISTINCT (a, c)
  INCLUDE (n) WITH (fillfactor = 80) DEFERRABLE INITIALLY DEFERRED},
		check => q{SELECT condeferrable AND condeferred AND indnullsnotdistinct AND indnkeyatts = 2
  FROM pg_constraint JOIN pg_index ON indexrelid = conindid WHERE conname = 'Uniq'},
	},
	{
		name => 'add_unique, unnamed, on a partitioned table',
		state => 'MG107',
		setup => $tree,
		sql => q{ALTER TABLE tree ADD UNIQUE (k)},
		check => q{SELECT bool_and(indisvalid) AND count(*) = 4 AND count(conname) = 4 FROM pg_index
  LEFT JOIN pg_constraint ON conindid = indexrelid AND contype = 'u'
  WHERE indexrelid IN (SELECT relid FROM pg_partition_tree('tree_k_key'))},
	},
	{
		name => 'add_unique next to a new column',
		state => 'MG107',
		sql => q{ALTER TABLE big ADD COLUMN x int UNIQUE},
		check => q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'big_x_key'::regclass},
	},
	{
		name => 'add_primary_key on nullable columns',
		state => 'MG108',
		sql => q{ALTER TABLE big ADD PRIMARY KEY (id, a)},
		check => q{SELECT indisvalid AND indisprimary FROM pg_index
  WHERE indexrelid = 'big_pkey'::regclass},
	},
	{
		name => 'add_primary_key on a partitioned table',
		state => 'MG108',
		setup => $tree,
		sql => q{ALTER TABLE tree ADD CONSTRAINT pk PRIMARY KEY (k)},
		check => q{SELECT bool_and(indisvalid AND indisprimary) AND count(*) = 4 FROM pg_index
  WHERE indexrelid IN (SELECT relid FROM pg_partition_tree('pk'))},
	},
	{
		name => 'primary_key_using_index',
		state => 'MG110',
		setup => "$table CREATE UNIQUE INDEX big_a ON big (a);",
		sql => q{ALTER TABLE big ADD CONSTRAINT pk PRIMARY KEY USING INDEX big_a},
		check => q{SELECT indisprimary FROM pg_index WHERE indexrelid = 'pk'::regclass},
	},
	{
		name => 'set_not_null of several columns, with another subcommand',
		state => 'MG111',
		sql => q{ALTER TABLE big ALTER a SET NOT NULL, ALTER COLUMN c SET NOT NULL,
  ALTER b SET STATISTICS 5},
		check => q{SELECT count(*) = 4 FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attnotnull AND attnum > 0},
	},
	{
		name => 'set_not_null on a partitioned table',
		state => 'MG111',
		setup => $tree,
		sql => q{ALTER TABLE tree ALTER v SET NOT NULL},
		check => q{SELECT bool_and(attnotnull) FROM pg_attribute
  WHERE attrelid IN (SELECT relid FROM pg_partition_tree('tree')) AND attname = 'v'},
	},
	{
		name => 'set_not_null with ONLY',
		state => 'MG111',
		setup => "$table CREATE TABLE kid () INHERITS (big);",
		sql => q{ALTER TABLE ONLY big ALTER a SET NOT NULL},
		check => q{SELECT attnotnull FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'a'},
	},
	{
		name => 'add_column_rewrite: volatile default',
		state => 'MG101',
		setup => "$table CREATE TABLE kid () INHERITS (big); INSERT INTO kid SELECT * FROM big LIMIT 5;",
		sql => q{ALTER TABLE big ADD COLUMN x uuid NOT NULL DEFAULT gen_random_uuid()},
		check => q{SELECT count(DISTINCT x) = 3005 FROM big},
	},
	{
		name => 'add_column_rewrite: volatile default on a partitioned table',
		state => 'MG101',
		setup => $tree,
		sql => q{ALTER TABLE tree ADD COLUMN x float8 DEFAULT random()},
		check => q{SELECT count(x) = 4000 FROM tree},
	},
	{
		name => 'add_column_rewrite: bigserial',
		state => 'MG101',
		sql => q{ALTER TABLE big ADD COLUMN x bigserial},
		check => $numbered,
	},
	{
		name => 'add_column_rewrite: identity',
		state => 'MG101',
		sql => q{ALTER TABLE big ADD COLUMN x bigint GENERATED BY DEFAULT AS IDENTITY},
		check => qq{INSERT INTO big (id, n) VALUES (0, 0);
SELECT count(DISTINCT x) = 3001 AND max(x) = 3002 AND (SELECT attidentity = 'd' FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'x') FROM big},
	},
	{
		name => 'add_column_rewrite: generated',
		state => 'MG101',
		sql => q{ALTER TABLE big ADD COLUMN x text GENERATED ALWAYS AS (lower(c) || 'x') STORED},
		check => q{INSERT INTO big (id, n, c) VALUES (0, 0, 'A');
SELECT bool_and(x = lower(c) || 'x') FROM big},
	},
	{
		name => 'add_column_rewrite: domain with constraints',
		state => 'MG101',
		setup => "$table CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE DOMAIN tiny AS small CHECK (VALUE > 0 OR VALUE = -1) NOT NULL;",
		sql => q{ALTER TABLE big ADD COLUMN x tiny DEFAULT 7},
		check => q{SELECT bool_and(x = 7) AND (SELECT pg_get_constraintdef(oid) ~ 'x < 10' AND
  pg_get_constraintdef(oid) ~ 'x IS NOT NULL' AND convalidated FROM pg_constraint
  WHERE conname = 'big_x_check') FROM big},
	},
	{
		name => 'add_column_rewrite: domain with a volatile default',
		state => 'MG101',
		setup => "$table CREATE DOMAIN rnd AS float8 DEFAULT random();",
		sql => q{ALTER TABLE big ADD COLUMN x rnd},
		check => q{SELECT count(DISTINCT x) > 2900 FROM big},
	},
	{
		name => 'add_column_rewrite and add_unique of one column',
		state => 'MG107',
		sql => q{ALTER TABLE big ADD COLUMN x uuid DEFAULT gen_random_uuid() UNIQUE},
		check => q{SELECT count(DISTINCT x) = 3000 AND (SELECT indisvalid FROM pg_index
  WHERE indexrelid = 'big_x_key'::regclass) FROM big},
	},
	{
		name => 'add_column_check',
		state => 'MG102',
		sql => q{ALTER TABLE big ADD COLUMN x int NOT NULL DEFAULT 5 CHECK (x > 0)
  CONSTRAINT "Other" CHECK (x < 10)},
		check => q{SELECT bool_and(x = 5) AND (SELECT count(*) = 2 FROM pg_constraint
  WHERE conrelid = 'big'::regclass AND contype = 'c' AND convalidated) FROM big},
	},
	{
		name => 'add_column_not_null',
		state => 'MG103',
		sql => q{ALTER TABLE big ADD COLUMN x int NOT NULL},
		between => q{UPDATE big SET x = 1},
		check => q{SELECT attnotnull FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'x'},
	},
	{
		name => 'add_check, unnamed',
		state => 'MG104',
		sql => q{ALTER TABLE big ADD CHECK (a > 0 /* ) */ AND c <> '
)')},
		check => q{SELECT convalidated FROM pg_constraint WHERE conname = 'big_check'},
	},
	{
		name => 'add_check on a partitioned table',
		state => 'MG104',
		setup => $tree,
		sql => q{ALTER TABLE tree ADD CONSTRAINT pos CHECK (k >= 0)},
		check => q{SELECT bool_and(convalidated) AND count(*) = 4 FROM pg_constraint
  WHERE conname = 'pos'},
	},
	{
		name => 'add_foreign_key',
		state => 'MG105',
		sql => q{ALTER TABLE big ADD FOREIGN KEY (p_id) REFERENCES parent (id) MATCH FULL
  ON DELETE SET NULL (p_id) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED},
		check => q{SELECT convalidated AND confmatchtype = 'f' AND confdeltype = 'n' AND
  confupdtype = 'c' AND condeferred FROM pg_constraint WHERE conname = 'big_p_id_fkey'},
	},
	{
		name => 'add_foreign_key from a partitioned table',
		state => 'MG105',
		setup => $tree,
		sql => q{ALTER TABLE tree ADD CONSTRAINT fk FOREIGN KEY (p_id) REFERENCES parent},
		check => q{SELECT bool_and(convalidated) AND count(*) = 4 FROM pg_constraint
  WHERE contype = 'f' AND confrelid = 'parent'::regclass},
	},
	{
		name => 'add_foreign_key from a partitioned table, where a partition has it',
		state => 'MG105',
		setup => "$tree ALTER TABLE tree_1 ADD CONSTRAINT mine FOREIGN KEY (p_id) REFERENCES parent;",
		sql => q{ALTER TABLE tree ADD CONSTRAINT fk FOREIGN KEY (p_id) REFERENCES parent},
		check => q{SELECT bool_and(convalidated) AND count(*) = 4 FROM pg_constraint
  WHERE contype = 'f' AND confrelid = 'parent'::regclass},
	},
	{
		name => 'add_foreign_key next to a new column with default',
		state => 'MG105',
		sql => q{ALTER TABLE big ADD COLUMN x bigint DEFAULT 1 REFERENCES parent},
		check => q{SELECT convalidated FROM pg_constraint WHERE conname = 'big_x_fkey'},
	},
	{
		name => 'validate_constraint next to another subcommand',
		state => 'MG106',
		setup => "$table ALTER TABLE big ADD CONSTRAINT ck CHECK (a > 0) NOT VALID;",
		sql => q{ALTER TABLE big VALIDATE CONSTRAINT ck, ADD COLUMN x int},
		check => q{SELECT convalidated FROM pg_constraint WHERE conname = 'ck'},
	},
	{
		name => 'validate_constraint in the transaction that added it',
		state => 'MG106',
		sql => q{BEGIN; ALTER TABLE big ADD CONSTRAINT ck CHECK (a > 0) NOT VALID;
ALTER TABLE big VALIDATE CONSTRAINT ck},
		before => q{ALTER TABLE big ADD CONSTRAINT ck CHECK (a > 0) NOT VALID},
		check => q{SELECT convalidated FROM pg_constraint WHERE conname = 'ck'},
	},
	{
		name => 'alter_column_type',
		warned => 'MG503',
		state => 'MG112',
		setup => "$table CREATE INDEX big_a ON big (a);",
		sql => q{ALTER TABLE big ALTER a TYPE bigint},
		check => q{SELECT bool_and(a = id) AND (SELECT atttypid = 'int8'::regtype FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'a') FROM big},
	},
	{
		name => 'alter_column_type with USING',
		warned => 'MG503',
		state => 'MG112',
		sql => q{ALTER TABLE big ALTER c TYPE int USING c::int + n},
		check => q{SELECT bool_and(c = 2 * n) FROM big},
	},
	{
		name => 'alter_column_type to a domain with constraints over the same type',
		state => 'MG112',
		setup => "$table CREATE DOMAIN positive AS int CHECK (VALUE > 0);",
		sql => q{ALTER TABLE big ALTER a TYPE positive},
		check => q{SELECT convalidated FROM pg_constraint WHERE conname = 'big_a_check'},
	},
	{
		name => 'alter_column_type to a domain with constraints over another type',
		warned => 'MG503',
		state => 'MG112',
		setup => "$table CREATE DOMAIN positive AS bigint CHECK (VALUE > 0);",
		sql => q{ALTER TABLE big ALTER a TYPE positive},
		check => q{SELECT convalidated AND (SELECT atttypid = 'int8'::regtype FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'a') FROM pg_constraint WHERE conname = 'big_a_new_check'},
	},
	{
		name => 'alter_column_type of a column whose name PL/pgSQL keeps to itself',
		warned => 'MG503',
		state => 'MG112',
		setup => "CREATE TABLE big (by text, loop text); INSERT INTO big SELECT i, i FROM generate_series(1, 3000) i; ANALYZE big;",
		sql => q{ALTER TABLE big ALTER by TYPE int USING by::int + length(loop)},
		check => q{SELECT count(by) = 3000 FROM big},
	},
	{
		name => 'alter_column_type between timestamps',
		warned => 'MG503',
		state => 'MG112',
		options => '-c timezone=Europe/Berlin',
		sql => q{ALTER TABLE big ALTER ts TYPE timestamptz},
		check => q{SELECT bool_and(ts = '1970-01-01 00:00:00 Europe/Berlin') AND (SELECT atttypid = 'timestamptz'::regtype
  FROM pg_attribute WHERE attrelid = 'big'::regclass AND attname = 'ts') FROM big},
	},
	{
		name => 'alter_column_type_dependents: index',
		state => 'MG113',
		setup => "$table CREATE UNIQUE INDEX big_b ON big (b) WHERE b > '';",
		sql => q{ALTER TABLE big ALTER b TYPE varchar(40)},
		check => q{SELECT indisvalid AND indisunique AND (SELECT atttypmod = 44 FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'b')
  FROM pg_index WHERE indexrelid = 'big_b'::regclass},
	},
	{
		name => 'alter_column_type_dependents: constraint and CHECK',
		state => 'MG113',
		setup => "$table ALTER TABLE big ADD CONSTRAINT u UNIQUE (c) INCLUDE (a),
  ADD CONSTRAINT ck CHECK (c <> 'x'), ADD PRIMARY KEY (id);",
		sql => q{ALTER TABLE big ALTER c TYPE text COLLATE "C"},
		check => q{SELECT count(*) = 3 AND bool_and(convalidated) FROM pg_constraint
  WHERE conname IN ('u', 'ck', 'big_pkey') AND conrelid = 'big'::regclass},
	},
	{
		name => 'alter_column_type_dependents: partitioned index',
		state => 'MG113',
		setup => "$tree CREATE INDEX tree_v ON tree (v);",
		sql => q{ALTER TABLE tree ALTER v TYPE varchar(10)},
		check => q{SELECT bool_and(indisvalid) AND count(*) = 4 AND (SELECT atttypmod = 14
  FROM pg_attribute WHERE attrelid = 'tree'::regclass AND attname = 'v') FROM pg_index
  WHERE indexrelid IN (SELECT relid FROM pg_partition_tree('tree_v'))},
	},
	{
		name => 'alter_column_type_dependents: foreign key',
		warned => 'MG507',
		state => 'MG113',
		options => '-c timezone=UTC',
		setup => "CREATE TABLE days (ts timestamp PRIMARY KEY); INSERT INTO days VALUES ('epoch');
CREATE TABLE big (id int, ts timestamp CONSTRAINT fk REFERENCES days ON DELETE CASCADE);
INSERT INTO big SELECT i, 'epoch' FROM generate_series(1, 3000) i; ANALYZE days, big;",
		sql => q{ALTER TABLE big ALTER ts TYPE timestamptz},
		check => q{SELECT convalidated AND confdeltype = 'c' AND (SELECT atttypid = 'timestamptz'::regtype
  FROM pg_attribute WHERE attrelid = 'big'::regclass AND attname = 'ts')
  FROM pg_constraint WHERE conname = 'fk'},
	},
	{
		name => 'alter_column_type_dependents: key that is referenced',
		state => 'MG113',
		setup => "CREATE TABLE big (id text PRIMARY KEY);
INSERT INTO big SELECT i FROM generate_series(1, 3000) i;
CREATE TABLE f (id text CONSTRAINT fk REFERENCES big); INSERT INTO f SELECT * FROM big; ANALYZE big, f;",
		sql => q{ALTER TABLE big ALTER id TYPE text COLLATE "C"},
		leave => 1,
		check => q{SELECT count(id) = 3000 AND (SELECT attcollation = '"C"'::regcollation FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'id') FROM big},
	},
	{
		name => 'attach_partition',
		state => 'MG117',
		setup => "$tree CREATE TABLE cand AS SELECT i AS k, 'x'::varchar(5) AS v, NULL::bigint AS p_id
  FROM generate_series(4000, 6999) i; ANALYZE cand;",
		sql => q{ALTER TABLE tree ATTACH PARTITION cand FOR VALUES FROM (4000) TO (7000)},
		check => q{SELECT relispartition AND relchecks = 0 FROM pg_class WHERE relname = 'cand'},
	},
	{
		name => 'attach_partition next to a default partition',
		state => 'MG117',
		setup => "$rest CREATE TABLE cand (t text, k int PRIMARY KEY);
INSERT INTO cand SELECT i, i FROM generate_series(5000, 7999) i; ANALYZE cand;",
		sql => q{ALTER TABLE part ATTACH PARTITION cand FOR VALUES FROM (5000) TO (8000)},
		check => q{SELECT relispartition AND relchecks = 0 FROM pg_class WHERE relname = 'cand'},
	},
	{
		name => 'attach_partition by list, below a partition',
		state => 'MG117',
		setup => "CREATE TABLE l (a text, b int) PARTITION BY RANGE (b);
CREATE TABLE l1 PARTITION OF l FOR VALUES FROM (0) TO (10000) PARTITION BY LIST (a);
CREATE TABLE cand (b int, a text); INSERT INTO cand SELECT i, 'it''s' FROM generate_series(0, 3000) i;
ANALYZE cand;",
		sql => q{ALTER TABLE l1 ATTACH PARTITION cand FOR VALUES IN ('it''s', NULL)},
		check => q{SELECT relispartition AND relchecks = 0 FROM pg_class WHERE relname = 'cand'},
	},
	{
		name => 'attach_partition by hash',
		state => 'MG117',
		setup => "CREATE TABLE h (a int) PARTITION BY HASH (a); CREATE TABLE cand (a int);
INSERT INTO cand SELECT i FROM generate_series(1, 9000) i
  WHERE satisfies_hash_partition('h'::regclass, 2, 0, i); ANALYZE cand;",
		sql => q{ALTER TABLE h ATTACH PARTITION cand FOR VALUES WITH (MODULUS 2, REMAINDER 0)},
		check => q{SELECT relispartition AND relchecks = 0 FROM pg_class WHERE relname = 'cand'},
	},
	{
		name => 'attach_partition_index',
		state => 'MG118',
		setup => "$tree CREATE INDEX tree_v ON tree (lower(v), k DESC) WHERE p_id > 0;
ALTER TABLE tree ADD UNIQUE (k);
CREATE TABLE cand AS SELECT 'x'::varchar(5) AS v, i AS k, 1::bigint AS p_id
  FROM generate_series(4000, 6999) i;
ALTER TABLE cand ADD CHECK (k IS NOT NULL AND k >= 4000 AND k < 7000); ANALYZE cand;",
		sql => q{ALTER TABLE tree ATTACH PARTITION cand FOR VALUES FROM (4000) TO (7000)},
		check => q{SELECT count(*) = 2 FROM pg_index WHERE indrelid = 'cand'::regclass},
	},
	{
		name => 'attach_partition to a parent with primary key and foreign key',
		warned => 'MG507',
		state => 'MG118',
		setup => "CREATE TABLE parent (id bigint PRIMARY KEY); INSERT INTO parent VALUES (1);
CREATE TABLE part (k int PRIMARY KEY, p_id bigint CONSTRAINT fk REFERENCES parent ON DELETE CASCADE)
  PARTITION BY RANGE (k);
CREATE TABLE part_rest PARTITION OF part DEFAULT; INSERT INTO part SELECT i, 1 FROM generate_series(1, 2000) i;
CREATE TABLE cand AS SELECT i AS k, 1::bigint AS p_id FROM generate_series(4000, 6999) i;
ANALYZE parent, part, cand;",
		sql => q{ALTER TABLE part ATTACH PARTITION cand FOR VALUES FROM (4000) TO (7000)},
		check => q{SELECT count(*) = 2 AND bool_and(conparentid <> 0) FROM pg_constraint
  WHERE conrelid = 'cand'::regclass AND contype IN ('p', 'f')},
	},
	{
		name => 'detach_partition of a referenced table',
		state => 'MG119',
		setup => "CREATE TABLE r (k int PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10000);
CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10000) TO (20000);
INSERT INTO r SELECT generate_series(0, 2999); CREATE TABLE f (k int REFERENCES r);
INSERT INTO f SELECT * FROM r; INSERT INTO r SELECT generate_series(10000, 12999);
ANALYZE r, f;",
		sql => q{ALTER TABLE r DETACH PARTITION r2},
		check => q{SELECT NOT relispartition FROM pg_class WHERE relname = 'r2'},
	},
	{
		name => 'create_partition next to a default partition',
		state => 'MG120',
		setup => $rest,
		sql => q{CREATE TABLE part_new PARTITION OF part FOR VALUES FROM (8000) TO (9000)},
		check => q{SELECT relispartition AND (SELECT relchecks = 0 FROM pg_class
  WHERE relname = 'part_rest') FROM pg_class WHERE relname = 'part_new'},
	},
	{
		name => 'set_tablespace of an index',
		state => 'MG116',
		setup => "$table CREATE INDEX big_a ON big (a);",
		sql => q{ALTER INDEX big_a SET TABLESPACE other},
		check => q{SELECT spcname = 'other' FROM pg_class
  JOIN pg_tablespace s ON s.oid = reltablespace WHERE relname = 'big_a'},
	},
	{
		name => 'set_tablespace of all indexes',
		state => 'MG116',
		setup => "$table CREATE INDEX big_a ON big (a); CREATE INDEX big_b ON big (b);",
		sql => q{ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE other},
		check => q{SELECT count(*) = 2 FROM pg_class
  JOIN pg_tablespace s ON s.oid = reltablespace WHERE relname IN ('big_a', 'big_b') AND spcname = 'other'},
	},
	{
		name => 'vacuum_full',
		state => 'MG123',
		sql => q{VACUUM FULL big},
		check => q{SELECT true},
	},
	{
		name => 'vacuum_full with a primary key',
		state => 'MG123',
		min => 19,
		setup => "$table ALTER TABLE big ADD PRIMARY KEY (id);",
		sql => q{VACUUM FULL big},
		check => $copied,
	},
	{
		name => 'cluster with a primary key',
		state => 'MG124',
		min => 19,
		setup => qq{$table ALTER TABLE big ADD PRIMARY KEY (id); CREATE INDEX "Odd i" ON big (a);},
		sql => q{BEGIN; CLUSTER big USING "Odd i"},
		check => q{SELECT indisclustered FROM pg_index WHERE indexrelid = '"Odd i"'::regclass},
	},
	{
		name => 'repack',
		state => 'MG132',
		min => 19,
		setup => "$table ALTER TABLE big ADD PRIMARY KEY (id);",
		sql => q{REPACK (ANALYZE) big},
		check => $copied,
	},
	{
		name => 'repack in an order, with a unique index and a deferrable primary key',
		state => 'MG132',
		min => 19,
		setup => "$table ALTER TABLE big ADD PRIMARY KEY (id) DEFERRABLE; CREATE UNIQUE INDEX big_n ON big (n);
CREATE INDEX big_a ON big (a);",
		sql => q{REPACK big USING INDEX big_a},
		check => q{SELECT (SELECT indisclustered FROM pg_index WHERE indexrelid = 'big_a'::regclass)
  AND (SELECT indisreplident FROM pg_index WHERE indexrelid = 'big_n'::regclass)},
	},
	{
		name => 'repack of a partitioned table',
		state => 'MG132',
		min => 19,
		setup => "$tree ALTER TABLE tree ADD PRIMARY KEY (k);",
		sql => q{REPACK tree},
		check => q{SELECT bool_and(pg_relation_filenode(oid) <> oid) FROM pg_class WHERE relname IN ('tree_1', 'tree_21')},
	},
	{
		name => 'refresh_matview with a unique index',
		state => 'MG125',
		setup => "$table CREATE MATERIALIZED VIEW mv AS SELECT id, a FROM big;
CREATE UNIQUE INDEX mv_id ON mv (id); INSERT INTO big (id, n) VALUES (0, 0);",
		sql => q{REFRESH MATERIALIZED VIEW mv},
		check => q{SELECT count(*) = 3001 FROM mv},
	},
	{
		name => 'refresh_matview without, GROUP BY, in a transaction',
		state => 'MG125',
		setup => qq{$table CREATE MATERIALIZED VIEW "M v" AS SELECT count(*), p_id AS "The id", b FROM big GROUP BY p_id, b;
INSERT INTO big (id, n, p_id) VALUES (0, 0, 101);},
		sql => q{BEGIN; REFRESH MATERIALIZED VIEW "M v"},
		check => q{SELECT (SELECT count(*) = 3001 FROM "M v")
  AND (SELECT count(*) = 1 FROM pg_index WHERE indrelid = '"M v"'::regclass AND indisunique AND indnatts = 2)},
	},
	{
		name => 'refresh_matview without, primary key of the only table',
		state => 'MG125',
		setup => "$table ALTER TABLE big ADD PRIMARY KEY (id, n);
CREATE MATERIALIZED VIEW mv AS SELECT a, n AS x, id AS y FROM big WHERE a > 0;",
		sql => q{REFRESH MATERIALIZED VIEW mv},
		check => q{SELECT count(*) = 1 FROM pg_index WHERE indrelid = 'mv'::regclass AND indisunique AND indnatts = 2},
	},
	{
		name => 'refresh_matview without, by statistics',
		state => 'MG125',
		setup => "$table CREATE MATERIALIZED VIEW mv AS SELECT p_id, id FROM big; ANALYZE mv;",
		sql => q{REFRESH MATERIALIZED VIEW mv},
		check => q{SELECT count(*) = 1 FROM pg_index WHERE indrelid = 'mv'::regclass AND indisunique},
	},
	{
		name => 'set_expression of a stored generated column',
		state => 'MG128',
		min => 17,
		setup => "$table ALTER TABLE big ADD COLUMN g bigint GENERATED ALWAYS AS (a + 1) STORED;
  ANALYZE big;",
		sql => q{ALTER TABLE big ALTER g SET EXPRESSION AS (a + 2)},
		check => q{SELECT sum(g - a) = 6000 FROM big},
	},
	{
		name => 'alter_constraint, a foreign key becomes enforced',
		warned => 'MG507',
		state => 'MG129',
		min => 18,
		setup => "$table ALTER TABLE big ADD CONSTRAINT fk FOREIGN KEY (p_id) REFERENCES parent
  ON DELETE CASCADE NOT ENFORCED;",
		sql => q{ALTER TABLE big ALTER CONSTRAINT fk ENFORCED},
		check => q{SELECT conenforced AND convalidated AND confdeltype = 'c' FROM pg_constraint
  WHERE conname = 'fk'},
	},
	{
		name => 'alter_constraint, NOT NULL becomes inherited',
		state => 'MG129',
		min => 18,
		setup => "$table CREATE TABLE kid () INHERITS (big); INSERT INTO kid SELECT * FROM big;
  ALTER TABLE big ADD CONSTRAINT nn NOT NULL a NO INHERIT; ANALYZE kid;",
		sql => q{ALTER TABLE big ALTER CONSTRAINT nn INHERIT},
		check => q{SELECT count(*) = 2 AND bool_and(convalidated) FROM pg_constraint, pg_attribute
  WHERE contype = 'n' AND attrelid = conrelid AND attnum = conkey[1] AND attname = 'a'},
	},
	{
		name => 'add_not_null',
		state => 'MG133',
		min => 18,
		setup => $tree,
		sql => q{ALTER TABLE tree ADD CONSTRAINT "Nn" NOT NULL v, ADD NOT NULL p_id},
		check => q{SELECT count(*) >= 2 AND bool_and(convalidated) FROM pg_constraint
  WHERE contype = 'n' AND conrelid = 'tree'::regclass},
	},
	{
		name => 'add_not_null of a virtual generated column',
		state => 'MG133',
		min => 18,
		sql => q{ALTER TABLE big ADD COLUMN "G" bigint GENERATED ALWAYS AS (a + 1) NOT NULL},
		check => q{SELECT attnotnull AND attgenerated = 'v' FROM pg_attribute
  WHERE attrelid = 'big'::regclass AND attname = 'G'},
	},
	{
		name => 'set_not_null where the constraint is NOT VALID',
		state => 'MG111',
		min => 18,
		setup => "$table ALTER TABLE big ADD CONSTRAINT nn NOT NULL a NOT VALID;",
		sql => q{ALTER TABLE big ALTER a SET NOT NULL},
		check => q{SELECT convalidated FROM pg_constraint WHERE conname = 'nn'},
	},
	{
		name => 'invalid_index',
		state => 'MG601',
		setup => "$table INSERT INTO big (id, n, a) VALUES (0, 0, 1);
CREATE UNIQUE INDEX CONCURRENTLY big_a ON big (a);",
		sql => q{CREATE INDEX IF NOT EXISTS big_a ON big (a)},
		check => q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'big_a'::regclass},
	},
);

# The statements of the advice in a message, one string each.
sub advised
{
	my ($text) = @_;
	my @statements;

	return () unless $text =~ /^HINT:  (.*?)(?:^[A-Z]+(?: [A-Z]+)?:  |\z)/ms;
	foreach my $line (split /\n/, $1)
	{
		if (@statements && $statements[-1] !~ /;$/)
		{
			$statements[-1] .= "\n$line";
		}
		elsif ($line =~ $statement)
		{
			push @statements, $line;
		}
	}
	return @statements;
}

# A fresh schema per case, and nothing of others in the way.
sub setup
{
	my ($node, $case) = @_;

	mg_psql($node, 'postgres', "SET migration_guard.mode = 'off'; DROP SCHEMA public CASCADE;
CREATE SCHEMA public;");
	mg_psql($node, 'postgres',
		"SET migration_guard.mode = 'off';" . ($case->{setup} || $table));
	return;
}

# Refuse, take the advice, look at what became of it.
sub try
{
	my ($node, $case) = @_;
	my @options = (options => $case->{options});
	my ($res, @statements, @said);

	setup($node, $case);
	$res = mg_psql($node, 'postgres', "$case->{sql};", @options);
	@said = $case->{warns} ? mg_warnings($res) : mg_errors($res);
	is($said[0] // '', $case->{state}, 'is refused') or diag($res->{err});
	@statements = map { advised($_->{text}) }
	  grep { $_->{state} =~ /^MG/ } @{ $res->{messages} };
	ok(@statements > 0, 'has statements in its advice') or diag($res->{err});
	note("$_") foreach @statements;

	mg_psql($node, 'postgres', "$case->{before};", @options) if $case->{before};
	splice(@statements, -$case->{leave}) if $case->{leave};
	splice(@statements, 1, 0, "$case->{between};") if $case->{between};
	$res = mg_psql($node, 'postgres', join("\n", @statements), @options);
	is(join(' ', mg_errors($res), mg_warnings($res)), $case->{warned} // '', 'advice runs') or diag($res->{err});
	is(mg_value($node, 'postgres', $case->{check}), 't', 'advice leads there')
	  or diag(join "\n", @statements);
	return;
}

my $node = mg_node(
	'advice',
	preload => 'migration_guard',
	conf => 'wal_level = replica');
my $tablespace = PostgreSQL::Test::Utils::tempdir();
my $major = mg_value($node, 'postgres', "SELECT current_setting('server_version_num')::int / 10000");

mg_value($node, 'postgres', "CREATE TABLESPACE other LOCATION '$tablespace'");
foreach my $case (@cases)
{
	next if ($case->{min} // 0) > $major;
	subtest $case->{name} => sub { try($node, $case) };
}
$node->stop;
done_testing();
