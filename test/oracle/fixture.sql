-- The schema that all oracle cases run on.  Small, analyzed, every table with rows.
-- Relation names are unique over all schemas.  Executed as one transaction by oracle.py.

create schema side;
create schema sc;
create role mg_oracle_owner;

-- functions -----------------------------------------------------------------
create function f_sql() returns int language sql as 'select 42';                      -- volatile by declaration, inlined
create function f_sql_random() returns float language sql as 'select random()';        -- volatile, inlined to a volatile one
create function f_sql_stable() returns int language sql stable as 'select 1';
create function f_sql_set() returns int language sql set work_mem = '1MB' as 'select 42';  -- SET clause: not inlined
create function f_volatile() returns int language plpgsql as 'begin return 42; end';
create function f_stable() returns int language plpgsql stable as 'begin return 42; end';
create function f_immutable() returns int language plpgsql immutable as 'begin return 42; end';
create function f_null() returns int language plpgsql stable as 'begin return null; end';
create function f_null_volatile() returns int language plpgsql volatile as 'begin return null; end';
create function f_arg(int) returns int language sql as 'select $1 + 1';
create function f_trigger() returns trigger language plpgsql as 'begin return new; end';

-- types ---------------------------------------------------------------------
create domain d_plain as int;
create domain d_check as int check (value > 0);
create domain d_notnull as int not null;
create domain d_default as int default 7;
create domain d_default_volatile as int default f_volatile();
create domain d_default_check as int default 7 check (value > 0);
create domain d_array as int[] check (array_length(value, 1) < 10);
create domain d_array_plain as int[];
create domain d_over_check as d_check;
create domain d_over_plain as d_plain;
create domain d_over_add as d_plain check (value > 0);
create domain d_text as text;
create domain d_varchar as varchar(10);
create domain d_varchar20 as varchar(20);
create type c_plain as (x int, y text);
create type c_domain as (x d_check, y int);
create domain d_composite as c_plain check ((value).x > 0);
create type mood as enum ('sad', 'ok', 'happy');
create type mytype as (a int, b text);

-- plain ---------------------------------------------------------------------
create table t (id int primary key, a int, b text, v varchar(10), ts timestamp, n numeric(10,2));
create index t_a on t (a);
create index t_v on t (v);
insert into t select i, i % 7 + 1, 'b' || i, 'v' || i, timestamp '2024-01-01' + i * interval '1 h', i from generate_series(1, 100) i;

create table bare (a int, b text, v varchar(10), nn int not null);        -- no index, no constraint
insert into bare select i, 'b' || i, 'v' || i, i from generate_series(1, 100) i;

create table narrow (a int, f float);                                     -- no TOAST table
insert into narrow select i, i from generate_series(1, 100) i;

create table empty (id int primary key, a int, t_id int, k int);

create table blob (id int primary key, doc text, meta jsonb);            -- TOASTed
alter table blob alter doc set storage external;
insert into blob select i, repeat(md5(i::text), 200), '{}' from generate_series(1, 20) i;
create index blob_meta on blob using gin (meta);

create table kinds (                                                      -- a column of many types, mostly without index
    id int primary key, v5 varchar(5), vt varchar, tx text, c5 char(5), i2 int2, i4 int4, i8 int8, f4 float4,
    n102 numeric(10,2), nu numeric, ts timestamp, ts3 timestamp(3), tz timestamptz, tz3 timestamptz(3),
    tm time, tm3 time(3), iv interval, iv3 interval(3), ivs interval day to second, bt bit(5), vb varbit(5),
    cd cidr, ip inet, js json, jb jsonb, av varchar(5)[], ai int[], nm name, en mood, rg regclass, oi oid, xm xml,
    by bytea, dp d_plain, dc d_check, dv d_varchar, cp c_plain);
insert into kinds select i, 'v', 'vt', 'tx', 'c5', i, i, i, i, i, i, 'now', 'now', 'now', 'now', 'now', 'now',
    '1 h', '1 h', '1 h', '10101', '101', '10.0.0.0/8', '10.0.0.1', '{}', '{}', '{a}', '{1}', 'nm', 'ok', 'pg_class', 1,
    '<a/>', 'x', 1, 1, 'dv', row(1, 'x'::text)::c_plain from generate_series(1, 50) i;

create table keyed (                                                      -- the same, indexed one by one
    i4 int, v5 varchar(5), tx text, ts timestamp, tz timestamptz, n102 numeric(10,2), cd cidr, c5 char(5), oi int, vp varchar(5),
    ai int[], dp d_plain, ex varchar(5), pa varchar(5), pw varchar(5), inc varchar(5), un varchar(5), ha varchar(5), gi varchar(5)[],
    br int, cl text collate "C", two_a varchar(5), two_b int, stat varchar(5));
create index keyed_i4 on keyed (i4);
create index keyed_v5 on keyed (v5);
create index keyed_tx on keyed (tx);
create index keyed_ts on keyed (ts);
create index keyed_tz on keyed (tz);
create index keyed_n102 on keyed (n102);
create index keyed_cd on keyed (cd);
create index keyed_c5 on keyed (c5);
create index keyed_oi on keyed (oi);
create index keyed_vp on keyed (vp varchar_pattern_ops);
create index keyed_ai on keyed (ai);
create index keyed_dp on keyed (dp);
create index keyed_ex on keyed (lower(ex));
create index keyed_pa on keyed (pa) where pa > 'a';
create index keyed_pw on keyed (i4, n102) where pw is not null;
create index keyed_inc on keyed (i4, two_b) include (inc);
alter table keyed add constraint keyed_un unique (un);
create index keyed_ha on keyed using hash (ha);
create index keyed_gi on keyed using gin (gi);
create index keyed_br on keyed using brin (br);
create index keyed_cl on keyed (cl);
create index keyed_two on keyed (two_a, two_b);
create statistics keyed_stat on i4, stat from keyed;
create statistics keyed_stat2 on (lower(stat)), two_b from keyed;
insert into keyed select i, 'v', 'tx', 'now', 'now', i, '10.0.0.0/8', 'c', i, 'vp', '{1}', 1, 'ex', 'pa', 'pw', 'inc', 'u' || i, 'ha',
    '{a}', i, 'cl', 'two', i, 'st' from generate_series(1, 100) i;

-- NOT NULL proofs, CHECKs ------------------------------------------------------
create table proof (id int, ck int, ck2 int, pos int, nv int, either int, ni int, both_a int, both_b int, nn int not null, free int, tx text);
insert into proof select i, i, i, i, i, i, i, i, i, i, i, 'x' from generate_series(1, 100) i;
alter table proof add constraint proof_ck check (ck is not null);
alter table proof add constraint proof_ck2 check (ck2 is not null and ck2 > 0);
alter table proof add constraint proof_pos check (pos > 0);
alter table proof add constraint proof_nv check (nv is not null) not valid;
alter table proof add constraint proof_either check (either is not null or tx is not null);
alter table proof add constraint proof_ni check (ni is not null) no inherit;
alter table proof add constraint proof_both check (both_a is not null and both_b is not null);
alter table proof add constraint proof_nv2 check (free > 0) not valid;

-- foreign keys ------------------------------------------------------------------
create table rt (id int primary key, v varchar(10) unique, a int, x numeric(10,2) unique);          -- referenced by r
insert into rt select i, 'v' || i, i, i from generate_series(1, 100) i;
create table r (id int primary key, t_id int constraint r_t_id_fkey references rt, a int, b int, v varchar(10) constraint r_v_fkey references rt (v), z int);
insert into r select i, i, i, i, 'v' || i, i from generate_series(1, 100) i;
create table ref (id int primary key, v varchar(10), k bigint);                                      -- referenced by nobody yet
insert into ref select i, 'v' || i, i from generate_series(1, 100) i;
create unique index ref_k on ref (k);
create table child (id int primary key, ref_id int, nv_id int, a int, k bigint, empty_id int);       -- columns without foreign keys; one NOT VALID
insert into child select i, i, i, i, i from generate_series(1, 100) i;
alter table child add constraint child_nv_fkey foreign key (nv_id) references ref not valid;
create table self (id int primary key, pid int constraint self_pid_fkey references self, other int);
insert into self select i, greatest(i - 1, 1), i from generate_series(1, 100) i;
create table left_side (id int primary key, other int);
create table right_side (id int primary key, other int constraint right_fkey references left_side);
insert into left_side select i, i from generate_series(1, 50) i;
insert into right_side select i, i from generate_series(1, 50) i;
alter table left_side add constraint left_fkey foreign key (other) references right_side;
create table multi (a int, b int, c int, primary key (a, b));
insert into multi select i, i, i from generate_series(1, 50) i;
create table multi_child (id int primary key, a int, b int, constraint multi_fkey foreign key (a, b) references multi);
insert into multi_child select i, i, i from generate_series(1, 50) i;

-- inheritance -------------------------------------------------------------------
create table it (id int, a int, b text, v varchar(10));
create table itc (extra int) inherits (it);
create table itg (more int) inherits (itc);
insert into it select i, i, 'b', 'v' from generate_series(1, 50) i;
insert into itc select i, i, 'b', 'v', i from generate_series(1, 50) i;
insert into itg select i, i, 'b', 'v', i, i from generate_series(1, 50) i;
create index it_a on it (a);
create index itc_a on itc (a);
alter table it add constraint it_nv check (id > 0) not valid;
create table ma (a int);
create table mb (a int, b int);
create table mc (c int) inherits (ma, mb);
insert into mc select i, i, i from generate_series(1, 50) i;
create table orphan (id int, a int, b text, v varchar(10), extra int);
insert into orphan select i, i, 'b', 'v', i from generate_series(1, 50) i;
alter table orphan add constraint it_nv check (id > 0);

-- partitioned: p has a primary key; no DEFAULT ----------------------------------------
create table p (k int, b text, v varchar(10), a int, primary key (k)) partition by range (k);
create table p1 partition of p for values from (0) to (100);
create table p2 partition of p for values from (100) to (200);
insert into p select i, 'b', 'v', i from generate_series(0, 199) i;
create table x_p (k int not null, b text, v varchar(10), a int);                    -- no index
insert into x_p select i, 'b', 'v', i from generate_series(200, 299) i;
create table x_p_pk (k int primary key, b text, v varchar(10), a int);
insert into x_p_pk select i, 'b', 'v', i from generate_series(200, 299) i;
create table x_p_ck (k int primary key, b text, v varchar(10), a int, check (k >= 200 and k < 300));
insert into x_p_ck select i, 'b', 'v', i from generate_series(200, 299) i;
create table x_p_ui (k int not null, b text, v varchar(10), a int);
create unique index x_p_ui_k on x_p_ui (k);
insert into x_p_ui select i, 'b', 'v', i from generate_series(200, 299) i;
create table x_empty (k int not null, b text, v varchar(10), a int);

-- partitioned with DEFAULT, no index --------------------------------------------------
create table q (k int, b text, v varchar(10)) partition by range (k);
create table q1 partition of q for values from (0) to (100);
create table q2 partition of q for values from (100) to (200);
create table qd partition of q default;
insert into q select i, 'b', 'v' from generate_series(0, 199) i;
insert into q select i, 'b', 'v' from generate_series(500, 549) i;
create table x_q (k int, b text, v varchar(10));
insert into x_q select i, 'b', 'v' from generate_series(200, 299) i;
create table x_q_ck (k int, b text, v varchar(10), constraint x_q_ck_k check (k >= 200 and k < 300));   -- k nullable: no proof
insert into x_q_ck select i, 'b', 'v' from generate_series(200, 299) i;
create table x_q_nn (k int, b text, v varchar(10), check (k >= 200 and k < 300 and k is not null));
insert into x_q_nn select i, 'b', 'v' from generate_series(200, 299) i;
create table x_q_wide (k int not null, b text, v varchar(10), check (k >= 150 and k < 350));
insert into x_q_wide select i, 'b', 'v' from generate_series(200, 299) i;
create table x_q_nv (k int not null, b text, v varchar(10));
insert into x_q_nv select i, 'b', 'v' from generate_series(200, 299) i;
alter table x_q_nv add constraint x_q_nv_k check (k >= 200 and k < 300) not valid;

-- the same, default partition proven
create table qq (k int, b text) partition by range (k);
create table qq1 partition of qq for values from (0) to (100);
create table qqd partition of qq default;
alter table qqd add constraint qqd_ck check (k is null or k < 200 or k >= 300);
insert into qq select i, 'b' from generate_series(0, 99) i;
insert into qq select i, 'b' from generate_series(500, 549) i;
create table x_qq (k int, b text);
insert into x_qq select i, 'b' from generate_series(200, 299) i;
create table x_qq_nn (k int not null, b text, check (k >= 200 and k < 300));
insert into x_qq_nn select i, 'b' from generate_series(200, 299) i;

-- hash, list (NULL in the DEFAULT), multi-column range ----------------------------------
create table h (k int, b text) partition by hash (k);
create table h0 partition of h for values with (modulus 2, remainder 0);
create table x_h (k int, b text);
insert into h select i, 'b' from generate_series(1, 100) i where satisfies_hash_partition('h'::regclass, 2, 0, i);
insert into x_h select i, 'b' from generate_series(1, 100) i where satisfies_hash_partition('h'::regclass, 2, 1, i);
create table l (k text, b text) partition by list (k);
create table l1 partition of l for values in ('a', 'b');
create table ld partition of l default;
insert into l select chr(97 + i % 2), 'b' from generate_series(1, 50) i;
insert into l values ('z', 'z'), (null, 'z');
create table x_l (k text, b text);
insert into x_l select 'c', 'b' from generate_series(1, 50) i;
create table x_l_ck (k text not null, b text, check (k = any (array['c', 'd'])));
insert into x_l_ck select 'c', 'b' from generate_series(1, 50) i;
create table rr (k1 int, k2 int, b text) partition by range (k1, k2);
create table rr1 partition of rr for values from (0, 0) to (10, 0);
insert into rr select i % 10, 5, 'b' from generate_series(1, 50) i;
create table x_rr (k1 int not null, k2 int not null, b text);
insert into x_rr select 11, 5, 'b' from generate_series(1, 50) i;
create table re (k int, b text) partition by range ((k % 10));
create table re1 partition of re for values from (0) to (5);
create table x_re (k int, b text);
insert into re select i % 5, 'b' from generate_series(1, 50) i;
insert into x_re select i % 5 + 5, 'b' from generate_series(0, 49) i;

-- multi-level; the DEFAULT is partitioned itself ------------------------------------------
create table ml (k int, s text, v varchar(10)) partition by range (k);
create table ml1 partition of ml for values from (0) to (100) partition by list (s);
create table ml1a partition of ml1 for values in ('a');
create table ml1b partition of ml1 default;
create table ml2 partition of ml for values from (100) to (200);
create table mld partition of ml default partition by list (s);
create table mld1 partition of mld for values in ('a');
create table mld2 partition of mld default;
insert into ml select i, chr(97 + i % 3), 'v' from generate_series(0, 199) i;
insert into ml select i, chr(97 + i % 3), 'v' from generate_series(500, 549) i;
create table x_ml (k int, s text, v varchar(10)) partition by list (s);
create table x_ml_a partition of x_ml for values in ('a');
create table x_ml_b partition of x_ml for values in ('b', 'c');
insert into x_ml select i, chr(97 + i % 3), 'v' from generate_series(200, 299) i;
create table x_ml_leaf (k int, s text, v varchar(10));
insert into x_ml_leaf select i, 'a', 'v' from generate_series(200, 299) i;
create table x_ml1 (k int, s text, v varchar(10));
insert into x_ml1 select i, 'q', 'v' from generate_series(0, 99) i;
create index ml_v on ml (v);

-- indexed partitioned ----------------------------------------------------------------------
create table pi (k int, v varchar(10), w varchar(10), x int, i int) partition by range (k);
create table pi1 partition of pi for values from (0) to (100);
create table pi2 partition of pi for values from (100) to (200);
insert into pi select i, 'v' || i, 'w', i, i from generate_series(0, 199) i;
create index pi_v on pi (v);
create index pi_lower on pi (lower(w));
alter table pi add constraint pi_k_x unique (k, x);
create index pi1_own on pi1 (i);
create table x_pi (k int, v varchar(10), w varchar(10), x int, i int);
insert into x_pi select i, 'v', 'w', i, i from generate_series(200, 299) i;
create table x_pi_all (k int, v varchar(10), w varchar(10), x int, i int, constraint x_pi_all_k_x unique (k, x));
create index x_pi_all_v on x_pi_all (v);
create index x_pi_all_lower on x_pi_all (lower(w));
insert into x_pi_all select i, 'v', 'w', i, i from generate_series(200, 299) i;
create table x_pi_some (k int, v varchar(10), w varchar(10), x int, i int);
create index x_pi_some_v on x_pi_some (v) where x > 0;
create index x_pi_some_lower on x_pi_some (lower(w));
create unique index x_pi_some_k_x on x_pi_some (k, x);
insert into x_pi_some select i, 'v', 'w', i, i from generate_series(200, 299) i;
create table po (k int, v varchar(10)) partition by range (k);
create table po1 partition of po for values from (0) to (100);
create table po2 partition of po for values from (100) to (200);
insert into po select i, 'v' from generate_series(0, 199) i;
create index po_v on only po (v);                                                      -- invalid: nothing attached
create index po1_v on po1 (v);
create table x_po (k int, v varchar(10));
insert into x_po select i, 'v' from generate_series(200, 299) i;

-- foreign keys from and to partitioned tables --------------------------------------------------
create table pf (k int, ref_id int, b int) partition by range (k);                      -- out
create table pf1 partition of pf for values from (0) to (100);
create table pf2 partition of pf for values from (100) to (200);
create table pfd partition of pf default;
insert into pf select i, i % 100 + 1, i % 100 + 1 from generate_series(0, 199) i;
alter table pf add constraint pf_ref_fkey foreign key (ref_id) references ref;
create table x_pf (k int not null, ref_id int, b int);
insert into x_pf select i, i % 100 + 1, i % 100 + 1 from generate_series(200, 299) i;
create table x_pf_fk (k int not null, ref_id int references ref, b int);
insert into x_pf_fk select i, i % 100 + 1, i % 100 + 1 from generate_series(200, 299) i;
create table pr (k int primary key, b text) partition by range (k);                     -- in
create table pr1 partition of pr for values from (0) to (100);
create table pr2 partition of pr for values from (100) to (200);
insert into pr select i, 'b' from generate_series(0, 199) i;
create table prf (id int primary key, k int constraint prf_k_fkey references pr);
insert into prf select i, i from generate_series(0, 99) i;                               -- nothing of pr2 is referenced
create table x_pr (k int not null, b text);
insert into x_pr select i, 'b' from generate_series(200, 299) i;
create table x_pr_pk (k int primary key, b text);
insert into x_pr_pk select i, 'b' from generate_series(200, 299) i;
create table pn (k int, ref_id int) partition by range (k);                              -- no foreign key yet, but pn1 has one
create table pn1 partition of pn for values from (0) to (100);
create table pn2 partition of pn for values from (100) to (200);
insert into pn select i, i % 100 + 1 from generate_series(0, 199) i;
alter table pn1 add constraint pn1_fkey foreign key (ref_id) references ref;
create table prc (id int primary key, k int);                                            -- may reference pr
insert into prc select i, i from generate_series(0, 199) i;

-- triggers, rules, policies, views ---------------------------------------------------------------
create table trig (id int primary key, a int, b text, v varchar(10), w varchar(10));
insert into trig select i, i, 'b', 'v', 'w' from generate_series(1, 50) i;
create trigger trig_plain before update on trig for each row execute function f_trigger();
create trigger trig_column before update of v on trig for each row execute function f_trigger();
create trigger trig_when before update on trig for each row when (new.w <> 'x') execute function f_trigger();
create rule trig_rule as on delete to trig where old.id < 0 do instead nothing;
create table ptrig (k int, b text) partition by range (k);
create table ptrig1 partition of ptrig for values from (0) to (100);
create table ptrig2 partition of ptrig for values from (100) to (200);
create trigger ptrig_row before insert on ptrig for each row execute function f_trigger();
insert into ptrig select i, 'b' from generate_series(0, 199) i;
create table pol (id int primary key, owner_id int, b text);
insert into pol select i, i, 'b' from generate_series(1, 50) i;
create policy pol_policy on pol using (owner_id > 0);
create table viewed (id int primary key, a int, b text, c int);
insert into viewed select i, i, 'b', i from generate_series(1, 50) i;
create view vw as select id, a from viewed;
create view vw_over as select a from vw;
create materialized view mv as select id, c from viewed;
create unique index mv_id on mv (id);
create index mv_c on mv (c);
create materialized view mv_toast as select i as id, repeat(md5(i::text), 100) as doc from generate_series(1, 20) i;
create materialized view mv_none as select id from viewed with no data;

-- sequences, identity, generated, unlogged, typed, composite, exclusion, others ----------------------
create sequence seq;
create table ser (id serial primary key, a int);
insert into ser (a) select i from generate_series(1, 50) i;
create table idn (id int generated always as identity, a int not null, b int not null, c int);
insert into idn (a, b, c) select i, i, i from generate_series(1, 50) i;
create table gen (id int primary key, a int, g int generated always as (a * 2) stored, v varchar(10));
insert into gen (id, a, v) select i, i, 'v' from generate_series(1, 50) i;
create index gen_g on gen (g);
create unlogged table ul (id int primary key, a int);
insert into ul select i, i from generate_series(1, 50) i;
create unlogged table ul_ser (id serial primary key, a int);
insert into ul_ser (a) select i from generate_series(1, 50) i;
create table typed of mytype;
insert into typed select i, 'b' from generate_series(1, 50) i;
create table typable (a int, b text);
insert into typable select i, 'b' from generate_series(1, 50) i;
create table rowt (id int primary key, a int);                                            -- its row type is a column type
insert into rowt select i, i from generate_series(1, 50) i;
create table rowt_user (id int, x rowt);
create table excl (r int4range, v varchar(10), i int, exclude using gist (r with &&), constraint excl_v exclude using btree (v with =));
insert into excl select int4range(i * 10, i * 10 + 5), 'v' || i, i from generate_series(1, 50) i;
create table marked (id int primary key, a int not null, b int);                           -- clustered, replica identity
create unique index marked_a on marked (a);
alter table marked cluster on marked_a;
alter table marked replica identity using index marked_a;
insert into marked select i, i, i from generate_series(1, 50) i;
create table uniq (id int not null, a int, b int, c int, d int);                            -- unique indexes to make constraints of
insert into uniq select i, i, i, i, i from generate_series(1, 100) i;
create unique index uniq_id on uniq (id);
create unique index uniq_a on uniq (a);
create unique index uniq_b on uniq (b) where b > 0;
create index uniq_c on uniq (c);
create unique index uniq_ab on uniq (a, b);
create unique index uniq_d on uniq (d);
alter table uniq add constraint uniq_d_ck check (d is not null);
create table broken (id int primary key, a int);                                            -- an INVALID index
insert into broken select i, i from generate_series(1, 50) i;
create index broken_a on broken (a);
update pg_index set indisvalid = false where indexrelid = 'broken_a'::regclass;
create foreign data wrapper dummy;
create server dummy foreign data wrapper dummy;
create foreign table ft (a int, b text) server dummy;
create table dom_user (id int primary key, dp d_plain, dc d_check);
insert into dom_user select i, i, i from generate_series(1, 50) i;
create table owned (id int primary key, a int);
insert into owned select i, i from generate_series(1, 50) i;
alter table owned owner to mg_oracle_owner;
create table side.elsewhere (id int primary key, a int);
insert into side.elsewhere select i, i from generate_series(1, 50) i;
create table sc.sc_one (id int primary key, b text);
create table sc.sc_two (id int primary key, one int references sc.sc_one);
insert into sc.sc_one select i, 'b' from generate_series(1, 50) i;
insert into sc.sc_two select i, i from generate_series(1, 50) i;
create publication pub for table viewed;
create access method heap2 type table handler heap_tableam_handler;
create extension if not exists citext;
create table in_space (id int primary key, a int, b text) tablespace mg_oracle_ts;
insert into in_space select i, i, 'b' from generate_series(1, 50) i;
