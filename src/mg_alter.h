/*
 * mg_alter.h
 *
 * Owns the private face between the files that work out ALTER TABLE:
 *
 *   footprint_alter.c       one row per subcommand, passes, and the final sum
 *   footprint_property.c    owner, persistence, tablespace and the like
 *   footprint_foreign.c     which foreign keys there are already
 *   footprint_column.c      ADD COLUMN, DROP COLUMN
 *   footprint_notnull.c     NOT NULL, as a mark or as a constraint
 *   footprint_type.c        ALTER COLUMN TYPE
 *   footprint_constraint.c  ADD and DROP CONSTRAINT
 *   footprint_validate.c    VALIDATE and ALTER CONSTRAINT
 *   footprint_key.c         UNIQUE, PRIMARY KEY, EXCLUDE
 *   footprint_partition.c   ATTACH and DETACH PARTITION
 *   droplocks.c             what goes with a dropped object
 *   coredecide.c            the server's decisions about expressions
 *   coreproof.c             what constraints prove
 *   asowner.c               folding expressions as the owner of the table
 *
 * As in core, subcommands are examined in passes, whatever order they were
 * written in, and what they ask of a table is collected first: one rewrite or
 * one scan serves them all.
 */
#ifndef MG_ALTER_H
#define MG_ALTER_H

#include "mg.h"

#include "catalog/objectaddress.h"

/* The passes of core's phase 2, in their order, after what phase 1 decides. */
typedef enum MgPass
{
	MG_PASS_PREPARE = 0,
	MG_PASS_DROP,
	MG_PASS_ALTER_TYPE,
	MG_PASS_ADD_COLUMN,
	MG_PASS_SET_EXPRESSION,
	MG_PASS_SET_NOT_NULL,
	MG_PASS_ADD_INDEX,
	MG_PASS_ADD_CONSTRAINT,
	MG_PASS_MISC,
	MG_NPASSES
} MgPass;

/* What a statement asks of one table; becomes tasks of its effect at the end. */
typedef struct MgTab
{
	Oid relid;
	char relkind;
	MgEffect *eff;
	List *rewrites;     /* of MgTask: one per reason to rewrite */
	List *scans;        /* of MgTask: what has to be verified */
	List *builds;       /* of MgTask: indexes to be built */
	List *reused;       /* of MgTask: indexes whose files are kept unless the table is rewritten */
	List *copies;       /* of MgTask: SET TABLESPACE */
	List *fkeys;        /* of MgForeignKey: to be validated */
	List *retyped;      /* of MgRetyped */
	List *added;        /* of MgNewColumn: columns added by the statement */
	List *gone_columns; /* of char *: names that the statement drops */
	List *nullable;     /* of char *: columns whose NOT NULL the statement drops */
	List *plain;        /* of char *: columns that the statement takes the identity from */
	bool valued;        /* a column gets a value for existing rows, with or without a rewrite */
} MgTab;

/* A foreign key that is to be validated. */
typedef struct MgForeignKey
{
	Oid confrelid;
	bool keys_null; /* the referencing column is new and NULL everywhere */
	MgTask *task;
} MgForeignKey;

/* A column whose type is changed. */
typedef struct MgRetyped
{
	AttrNumber attnum;
	Oid oldtype;
	Oid oldcoll;
	Oid newtype;
	int32 newtypmod;
	Oid newcoll;
	bool identity;
	bool is_virtual; /* nothing is stored */
	bool expression; /* not the type, but what it is generated from */
	bool rewrite;
	Node *node; /* the subcommand */
	const char *column;
} MgRetyped;

/* A column that is added, and what core will do about its default. */
typedef struct MgNewColumn
{
	ColumnDef *def;
	Oid typid;
	int32 typmod;
	bool serial;
	bool identity;
	bool generated;
	bool is_virtual; /* generated when it is read */
	bool not_null;
	bool has_default;  /* a DEFAULT clause is written */
	bool rewrite;      /* every existing row has to be written anew */
	bool stored_value; /* existing rows get a value that is not NULL without a rewrite */
	bool valued;       /* there is an expression for existing rows, whatever it gives */
	bool known;        /* the type could be resolved */
	const char *why;   /* why it rewrites, or why not */
	List *checks;      /* of Constraint */
	List *keys;        /* of Constraint: UNIQUE, PRIMARY KEY */
	List *references;  /* of Constraint: FOREIGN KEY */
} MgNewColumn;

/* One ALTER TABLE statement under examination. */
typedef struct MgAlter
{
	MgFootprint *fp;
	AlterTableStmt *stmt;
	Oid relid;
	char relkind;
	LOCKMODE lockmode;
	bool recurse;           /* no ONLY */
	List *tabs;             /* of MgTab, in the order they were met */
	List *gone_indexes;     /* OIDs of indexes that do not survive as such */
	List *gone_constraints; /* OIDs of constraints dropped by the statement, or the script */
	List *gone;             /* of ObjectAddress: all that the statement drops */
	List *primary;          /* of String: columns that a primary key makes NOT NULL */
} MgAlter;

/* footprint_alter.c */
extern MgTab *mg_tab(MgAlter *cx, Oid relid, MgRole role);
extern MgTab *mg_tab_child(MgAlter *cx, Oid relid);
extern MgTask *mg_pending(List **list, MgWork work, MgCause cause, Node *node);
extern void mg_lock_children(MgAlter *cx, Oid relid);
extern void mg_lock_descendants(MgAlter *cx);
extern AttrNumber mg_column(MgAlter *cx, Oid relid, const char *name);
extern bool mg_has_storage(char relkind);
extern MgNewColumn *mg_tab_new_column(MgTab *tab, const char *name);
extern bool mg_name_in(List *names, const char *name);
extern void mg_drop_with(MgAlter *cx, List *named, DropBehavior behavior);

/* footprint_property.c */
extern void mg_alter_column_exists(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_owner(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_cluster_on(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_logged(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_access_method(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_tablespace(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_triggers(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_inherit(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_replica_identity(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_identity(MgAlter *cx, AlterTableCmd *cmd);
extern Oid mg_identity_sequence(Oid relid, AttrNumber attnum);

/* footprint_column.c */
extern void mg_alter_add_column(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_drop_column(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_drop_expression(MgAlter *cx, AlterTableCmd *cmd);
extern FormData_pg_attribute mg_column_form(Oid relid, const char *name);

/* footprint_notnull.c */
typedef enum MgNullness
{
	MG_NULLABLE = 0,
	MG_NOT_NULL_UNCHECKED, /* NOT VALID: new rows are checked, old ones may have nulls */
	MG_NOT_NULL
} MgNullness;

/* What is known of a column. */
typedef struct MgNotNull
{
	MgNullness state;
	Oid conoid; /* of its constraint, or InvalidOid: a mark alone */
	char *name; /* of its constraint, or NULL */
	bool no_inherit;
	bool local;
	bool inherited;
	bool inherited_once;
} MgNotNull;

extern MgNotNull mg_not_null(Oid relid, AttrNumber attnum, List *gone);
extern void mg_set_not_null(MgAlter *cx, const char *column, bool recurse, MgCause cause,
							Node *node);
extern void mg_alter_set_not_null(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_inherit_not_null(MgAlter *cx, Oid child, const char *column, Node *node);
extern void mg_pass_on_not_null(MgAlter *cx, Oid child, char *column, Node *node);
extern void mg_add_not_null(MgAlter *cx, Constraint *con, bool recurse, MgCause cause, Node *node);
extern List *mg_primary_key_prepare(MgAlter *cx, Constraint *con);
extern void mg_primary_key_not_null(MgAlter *cx, List *columns, Node *node);
extern void mg_index_key_not_null(MgAlter *cx, List *columns, Node *node);
extern char *mg_not_null_column(HeapTuple row);
extern void mg_alter_validate_added_not_null(MgAlter *cx, Constraint *con, AlterTableCmd *cmd);
extern void mg_alter_validate_not_null(MgAlter *cx, HeapTuple row, AlterTableCmd *cmd);
extern void mg_drop_not_null(MgAlter *cx, Oid relid, const char *column, bool recursing,
							 DropBehavior behavior);
extern void mg_alter_drop_not_null(MgAlter *cx, AlterTableCmd *cmd);

/* footprint_type.c */
extern bool mg_in_partition_key(Oid relid, AttrNumber attnum);
extern bool mg_column_is_own(MgAlter *cx, const FormData_pg_attribute *att,
							 const char *action); /* footprint_column.c */
extern void mg_alter_column_type(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_set_expression(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_type_dependents(MgAlter *cx, bool expressions);
extern void mg_alter_row_types(MgAlter *cx);

/* footprint_constraint.c */
extern void mg_alter_add_constraint(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_drop_constraint(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_add_foreign_key(MgAlter *cx, Constraint *con, Node *node, bool validate,
							   bool keys_null);
extern void mg_add_check(MgAlter *cx, Oid relid, Constraint *con, MgCause cause, Node *node,
						 const char *column);
extern void mg_adopt_invalid_fkey(MgAlter *cx, Oid partition, Oid confrelid, MgCause cause,
								  Node *node, const char *constraint);
extern void mg_validate_fkey(MgTab *tab, Oid confrelid, MgCause cause, Node *node,
							 const char *constraint, bool keys_null);
extern HeapTuple mg_constraint_tuple(Oid relid, const char *name);
extern HeapTuple mg_live_constraint(MgAlter *cx, Oid relid, const char *name);
extern void mg_no_constraint(MgAlter *cx, Oid relid, const char *name);

/* footprint_validate.c */
extern void mg_alter_constraint(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_validate(MgAlter *cx, AlterTableCmd *cmd);

/* footprint_key.c */
extern void mg_add_key(MgAlter *cx, Constraint *con, Node *node);
extern bool mg_primary_key_gone(MgAlter *cx, Oid relid);

/* footprint_foreign.c: which partitions have the foreign key already */
typedef struct MgFkeyShape
{
	Oid confrelid;
	int nkeys;
	AttrNumber conkey[INDEX_MAX_KEYS]; /* of the partition it is compared with */
	AttrNumber confkey[INDEX_MAX_KEYS];
	bool deferrable;
	bool deferred;
	char updtype;
	char deltype;
	char matchtype;
	bool enforced;
	const char *name; /* of the constraint, or NULL */
} MgFkeyShape;

/* footprint_merge.c: do columns and constraints of child fit?  If not, records core's own error. */
extern bool mg_check_merge(MgFootprint *fp, Oid child, Oid parent);

extern bool mg_referenced_columns(Oid confrelid, Constraint *con, MgFkeyShape *shape);
extern bool mg_fkey_shape_of_constraint(Oid partition, Oid confrelid, Constraint *con,
										MgFkeyShape *shape);
extern bool mg_fkey_shape_of_row(Oid partition, HeapTuple tuple, MgFkeyShape *shape);
extern Oid mg_fkey_find(MgFootprint *fp, Oid partition, const MgFkeyShape *shape, bool *valid);

/* footprint_partition.c */
extern void mg_alter_attach(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_detach(MgAlter *cx, AlterTableCmd *cmd);
extern void mg_alter_detach_finalize(MgAlter *cx, AlterTableCmd *cmd);

/* asowner.c */
extern Expr *mg_plan_as_owner(Oid relid, Node *expr);
extern Node *mg_estimate_as_owner(Oid relid, Node *expr);
extern bool mg_domain_has_constraints(Oid relid, Oid typid);

/* coredecide.c */
extern MgNewColumn *mg_decide_new_column(MgFootprint *fp, Oid relid, ColumnDef *def);
extern MgRetyped *mg_decide_type_change(MgFootprint *fp, Oid relid, AlterTableCmd *cmd);
extern bool mg_index_storage_kept(Oid index, List *retyped);
extern bool mg_fkey_still_proven(Oid constraint, Oid relid, List *retyped);

/* coreproof.c */
extern bool mg_has_checks(Oid relid);
extern bool mg_not_null_proven(Oid relid, AttrNumber attnum, List *gone_constraints);

#endif /* MG_ALTER_H */
