/*
 * advice.h
 *
 * Owns the private face between the files that write advice:
 *
 *   advice.c          sentences, statements, and what all rules share
 *   advice_text.c     SQL text from parse trees and catalogs
 *   advice_source.c   SQL text from the statement's own source
 *   advice_index.c    CREATE INDEX, UNIQUE, PRIMARY KEY, EXCLUDE
 *   advice_reindex.c  REINDEX, invalid indexes
 *   advice_column.c   ADD COLUMN, SET NOT NULL
 *   advice_type.c     ALTER COLUMN TYPE with a rewrite
 *   advice_dependents.c   ALTER COLUMN TYPE without
 *   advice_check.c    CHECK, FOREIGN KEY, VALIDATE
 *   advice_partition.c   ATTACH, DETACH, CREATE TABLE PARTITION OF
 *   advice_table.c    rewrites of whole tables
 *   advice_query.c    REFRESH MATERIALIZED VIEW, CREATE TABLE AS
 *   advice_domain.c   constraints of domains
 *   advice_repack.c   REPACK, and by it VACUUM FULL and CLUSTER
 *   rule_concurrently.c  what to do about CONCURRENTLY
 *   rule_transaction.c  what has to be in a transaction of its own
 *   advice_destructive.c   DROP, TRUNCATE, RENAME of what is in use
 *   advice_since17.c  SET EXPRESSION, ALTER CONSTRAINT, NOT NULL as a constraint
 *
 * Advice is text for people and for programs: every statement stands on a
 * line of its own and ends with a semicolon, sentences never do.  Statements
 * that belong to one transaction stand between BEGIN; and COMMIT;, all others
 * are transactions of their own.  What stands there has to run as it is.
 */
#ifndef MG_ADVICE_H
#define MG_ADVICE_H

#include "mg.h"

/* Names, columns and partitions that are shown before "and N more" takes over. */
#define MG_SHOWN 3

/* ------------------------------------------------------------------------
 * advice.c
 * ------------------------------------------------------------------------ */
extern void mg_say(StringInfo buf, const char *fmt, ...) pg_attribute_printf(2, 3);
extern void mg_sql(StringInfo buf, const char *fmt, ...) pg_attribute_printf(2, 3);
extern const char *mg_target(MgFootprint *fp); /* "[ONLY ]schema.table" of ALTER TABLE */
extern const char *mg_literal(Oid relid);      /* 'schema.table' */
extern List *mg_nodes(MgFinding *finding);     /* distinct nodes of its tasks */
extern AlterTableCmd *mg_subcommand(MgFootprint *fp, Node *node); /* that holds node, or NULL */
extern ColumnDef *mg_new_column(MgFootprint *fp, Node *node);     /* that it adds, or NULL */
extern List *mg_constraints(MgFootprint *fp, MgFinding *finding, ConstrType contype);
extern bool mg_has_cause(MgFootprint *fp, Node *node, MgCause cause);
extern bool mg_does_work(MgFootprint *fp, AlterTableCmd *cmd);
extern void mg_say_rest(MgFootprint *fp, StringInfo buf);
extern void mg_sql_batches(StringInfo buf, Oid relid, const char *change);
extern void mg_sql_backfill(StringInfo buf, Oid relid, const char *set, const char *where);
extern void mg_sql_not_null(StringInfo buf, Oid relid, const char *table, const char *column);
extern void mg_sql_add_column(MgFootprint *fp, StringInfo buf, MgFinding *finding, Node *node,
							  bool fill);
extern void mg_say_apart(MgFootprint *fp, StringInfo buf, const char *what);
extern Constraint *mg_column_clause(ColumnDef *def, ConstrType contype);
extern const char *mg_base_type(ColumnDef *def);
extern const char *mg_free_column(Oid relid, const char *base, const char *label);

/* What is done about one of the nodes of a finding. */
typedef void (*MgAdviseFn)(MgFootprint *fp, MgFinding *finding, StringInfo buf, Node *node);
extern char *mg_advise_nodes(MgFootprint *fp, MgFinding *finding, MgAdviseFn fn);
/* name: quoted; definition: what follows it in ADD CONSTRAINT */
extern void mg_sql_constraint(StringInfo buf, const char *table, const char *name,
							  const char *definition);
/* a trigger that computes a column of every new row, and its function, which has the same name */
extern const char *mg_trigger_function(Oid relid, const char *trigger);
extern void mg_sql_trigger_function(StringInfo buf, Oid relid, const char *trigger,
									const char *field, const char *value);
extern void mg_sql_trigger(StringInfo buf, Oid relid, const char *trigger);

/* advice_column.c */
extern void mg_sql_domain_check(MgFootprint *fp, StringInfo buf, TypeName *type,
								const char *column);

/* advice_since17.c */
extern void mg_sql_not_null_constraint(StringInfo buf, Oid relid, const char *table,
									   const char *column);

/* advice_type.c */
extern const char *mg_text_new_type(ColumnDef *def);
extern const char *mg_text_using_expr(MgFootprint *fp, AlterTableCmd *cmd, const char *prefix);
extern bool mg_index_uses(Oid index, AttrNumber attnum);
extern void mg_sql_swap(MgFootprint *fp, StringInfo buf, AlterTableCmd *cmd);

/* advice_table.c */
extern List *mg_worked_tables(MgFinding *finding);

/* advice_repack.c */
extern List *mg_sql_repack(MgFootprint *fp, StringInfo buf, List *tables, const char *what);

/* advice_index.c */
/* What pg_index says about an index. */
typedef struct MgIndexFlags
{
	bool unique;
	bool primary;
	bool exclusion;
	bool deferrable;
} MgIndexFlags;

extern MgIndexFlags mg_index_flags(Oid index);
extern bool mg_sql_index_again(StringInfo buf, Oid index);
extern void mg_sql_create_concurrently(MgFootprint *fp, StringInfo buf, IndexStmt *stmt);
extern bool mg_sql_complete_index(StringInfo buf, Oid index);
extern void mg_sql_fkey_index(StringInfo buf, Oid relid, List *columns);
extern void mg_sql_partition_lacks(StringInfo buf, Oid parent, Oid partition);

/* A constraint with the column that it was written next to, if any. */
typedef struct MgConstraint
{
	Constraint *con;
	ColumnDef *column; /* ADD COLUMN ... CONSTRAINT, or NULL */
	Node *node;        /* the subcommand */
} MgConstraint;

/* advice_check.c */
extern void mg_sql_new_foreign_keys(MgFootprint *fp, StringInfo buf, MgConstraint *item);

/* ------------------------------------------------------------------------
 * advice_text.c: all of these return NULL when the text cannot be told
 * ------------------------------------------------------------------------ */
extern const char *mg_text_names(List *names);        /* of String: "a, b" */
extern const char *mg_text_field(const char *column); /* of a record in PL/pgSQL */
extern const char *mg_text_options(List *options);    /* of DefElem: " WITH (a='b')" or "" */
extern const char *mg_text_type(TypeName *name);
extern const char *mg_text_serial(TypeName *name); /* type behind serial, NULL if it is not */
extern const char *mg_text_expr(Oid relid, Node *raw, ParseExprKind kind, const char *prefix,
								Oid typid, int32 typmod);
extern const char *mg_text_default(ColumnDef *def, bool *is_volatile);
extern const char *mg_text_check(MgFootprint *fp, Oid relid, Constraint *con);
extern const char *mg_text_domain_check(Oid typid, const char *column);
extern const char *mg_text_index_body(MgFootprint *fp, IndexStmt *stmt);
extern const char *mg_text_index_def(Oid indexid); /* " USING btree (a)" and all that follows */
extern const char *mg_text_using(const char *method);
extern const char *mg_text_constraint(Oid conid);
extern bool mg_try_type(TypeName *name, Oid *typid, int32 *typmod);

/* advice_source.c: likewise */
extern const char *mg_source_check(MgFootprint *fp, Constraint *con);
extern const char *mg_source_index(MgFootprint *fp, IndexStmt *stmt);
extern const char *mg_replace_value(const char *check, const char *column);

/* ------------------------------------------------------------------------
 * The advice functions, one per rule (rules.c)
 * ------------------------------------------------------------------------ */
extern char *mg_advise_add_column_rewrite(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_column_check(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_column_not_null(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_check(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_foreign_key(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_validate_constraint(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_unique(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_primary_key(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_exclusion(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_primary_key_using_index(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_set_not_null(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_alter_column_type(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_alter_column_type_dependents(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_set_logged(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_set_access_method(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_set_tablespace(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_attach_partition(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_detach_partition(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_create_partition(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_create_index(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_reindex(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_vacuum_full(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_cluster(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_repack(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_alter_domain(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_refresh_matview(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_create_table_as(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_set_expression(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_alter_constraint(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_add_not_null(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_earlier(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_several_tables(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_ddl_after_dml(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_concurrently_timeout(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_invalid_index(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_drop_table(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_truncate(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_drop_column(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_rename(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_drop_index(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_drop_fk_index(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_replica_identity(MgFootprint *fp, MgFinding *finding);
extern char *mg_advise_unannounced_rewrite(MgFootprint *fp, MgFinding *finding);

#endif /* MG_ADVICE_H */
