/*
 * mg.h
 *
 * The types that travel through migration_guard and the functions by which
 * its files talk to each other, grouped by the file that owns them.
 *
 * One way through the code:
 *
 *   hook.c       gate: is this statement ours to judge?
 *   footprint*.c statement -> effects        (reads catalogs, never decides)
 *   relsize.c    effects   -> rows and bytes (never waits for a lock)
 *   catalog.c    rows of catalogs, for all of these
 *   situation.c  what this transaction already holds
 *   blockers.c   who else holds what a statement needs
 *   rules.c      effects + situation -> findings (one const row per rule)
 *   verdict.c    findings + settings -> verdicts (pure)
 *   report.c     the only ereport of a finding, the only one that counts
 *   locking.c    the statement's locks, politely, before core takes them
 *   stats.c      counters per rule in shared memory
 *   audit.c      rewrites that happen, compared with those that were predicted
 *   sqlfuncs.c   explain() and check(): the same, with a tuplestore at the end
 */
#ifndef MG_H
#define MG_H

#include "mg_catalog.h"
#include "mg_prelude.h"

/* ------------------------------------------------------------------------
 * Vocabulary
 * ------------------------------------------------------------------------ */

/* What a statement does with the rows of one relation, ordered by cost. */
typedef enum MgWork
{
	MG_WORK_NONE = 0,
	MG_WORK_LOOKUP, /* read by key, or in full, as the planner likes: the other side of
								 * a foreign key that is being validated */
	MG_WORK_SCAN,   /* read in full */
	MG_WORK_BUILD,  /* read in full, sorted, written as an index */
	MG_WORK_COPY,   /* files copied block by block */
	MG_WORK_FILL,   /* new files, filled from a query; the old ones are not read */
	MG_WORK_REWRITE /* a new heap and TOAST; the index builds that come with it are
								 * MG_WORK_BUILD tasks of their own, one per index */
} MgWork;

/* What asked for the work.  A rule (rules.c) stands behind each of these. */
typedef enum MgCause
{
	MG_CAUSE_NONE = 0,            /* the lock alone */
	MG_CAUSE_ADD_COLUMN,          /* default or type of a new column forces a rewrite */
	MG_CAUSE_ADD_COLUMN_CHECK,    /* CHECK written in ADD COLUMN */
	MG_CAUSE_ADD_COLUMN_NOT_NULL, /* NOT NULL without a default: cannot succeed on a table with rows */
	MG_CAUSE_ADD_CHECK,
	MG_CAUSE_ADD_FOREIGN_KEY,
	MG_CAUSE_VALIDATE, /* VALIDATE CONSTRAINT */
	MG_CAUSE_ADD_UNIQUE,
	MG_CAUSE_ADD_PRIMARY_KEY,
	MG_CAUSE_ADD_EXCLUSION,
	MG_CAUSE_PRIMARY_KEY_USING_INDEX, /* the NOT NULL it implies has to be verified */
	MG_CAUSE_SET_NOT_NULL,
	MG_CAUSE_ALTER_TYPE,            /* rewrite */
	MG_CAUSE_ALTER_TYPE_DEPENDENTS, /* no rewrite, but indexes rebuilt, checks or foreign keys
									 * verified again */
	MG_CAUSE_SET_LOGGED,            /* SET LOGGED, SET UNLOGGED */
	MG_CAUSE_SET_ACCESS_METHOD,
	MG_CAUSE_SET_TABLESPACE,
	MG_CAUSE_ATTACH_PARTITION,       /* rows of the new or of the default partition verified */
	MG_CAUSE_ATTACH_PARTITION_INDEX, /* index of the parent built on the new partition */
	MG_CAUSE_DETACH_PARTITION,       /* tables that reference the parent are read */
	MG_CAUSE_CREATE_PARTITION, /* CREATE TABLE ... PARTITION OF: the default partition is read */
	MG_CAUSE_CREATE_INDEX,
	MG_CAUSE_REINDEX,
	MG_CAUSE_VACUUM_FULL,
	MG_CAUSE_CLUSTER,
	MG_CAUSE_REPACK,           /* 19 */
	MG_CAUSE_REFRESH_MATVIEW,  /* REFRESH, not CONCURRENTLY: its query, the new files and indexes */
	MG_CAUSE_CREATE_TABLE_AS,  /* what a query reads that keeps out nobody by itself: CREATE TABLE
							   * AS, SELECT INTO, REFRESH CONCURRENTLY */
	MG_CAUSE_ALTER_DOMAIN,     /* tables with columns of the domain are verified */
	MG_CAUSE_SET_EXPRESSION,   /* of a generated column: rewrite, or verification */
	MG_CAUSE_ALTER_CONSTRAINT, /* ALTER CONSTRAINT that verifies rows */
	MG_CAUSE_ADD_NOT_NULL,     /* NOT NULL as a constraint */
	MG_CAUSE_UNANNOUNCED,      /* a rewrite that was not predicted: audit.c */
	MG_CAUSE_INVALID_INDEX /* CREATE INDEX IF NOT EXISTS would skip an invalid index (no work) */
} MgCause;

/* How a relation came into the footprint. */
typedef enum MgRole
{
	MG_ROLE_TARGET = 0, /* named in the statement */
	MG_ROLE_CHILD,      /* partition or inheritance child of the target */
	MG_ROLE_PARENT,     /* parent of the target */
	MG_ROLE_PEER,       /* other side of a foreign key */
	MG_ROLE_DEFAULT_PARTITION,
	MG_ROLE_INDEX,
	MG_ROLE_OTHER /* view, sequence, type's relation, ... */
} MgRole;

/* Rows and bytes of one relation as of now.  See relsize.c. */
typedef struct MgSize
{
	double rows;
	uint64 heap;    /* main fork, bytes (of an index: the index) */
	uint64 toast;   /* TOAST table and its index, bytes */
	uint64 indexes; /* all indexes of the table, bytes */
} MgSize;

/* One piece of work on one relation. */
typedef struct MgTask
{
	MgWork work;
	MgCause cause;
	Oid index;          /* MG_WORK_BUILD: existing index that is built anew, or InvalidOid for
								 * an index that the statement creates; MG_WORK_REWRITE: index
								 * that gives the order of the rows, if any */
	const char *column; /* names for messages and error fields, or NULL */
	const char *constraint;
	Node *node;         /* raw AlterTableCmd, IndexStmt, ... that asked for it; for advice */
	const char *reason; /* full sentence fragment without period: "the default of column \"x\"
								 * is volatile, so the table is rewritten" */
} MgTask;

/* What a statement does to one relation. */
typedef struct MgEffect
{
	Oid relid;
	char relkind;
	MgRole role;
	LOCKMODE lockmode; /* strongest lock taken by the statement; NoLock: read only */
	List *tasks;       /* of MgTask */
	List *reasons;     /* of char *: what is locked and why, or why there is no work */
	bool sized;        /* size is filled in */
	MgSize size;       /* of a partitioned table: the sum of its leaves */
	struct MgTab *tab; /* private to the files of ALTER TABLE */
} MgEffect;

/* Why a statement could not be analyzed; core raises the same when it runs. */
typedef struct MgProblem
{
	int sqlerrcode;
	char *message;
	char *detail;     /* or NULL */
	char *hint;       /* or NULL */
	bool by_function; /* raised inside a function that the analysis had to run */
} MgProblem;

struct MgScript;
struct mgeff_hash;
typedef struct MgFinding MgFinding;

/* All effects of one statement. */
typedef struct MgFootprint
{
	Node *stmt;               /* the utility statement, read-only */
	const char *source;       /* query string it came from */
	const char *command;      /* command tag: "ALTER TABLE" */
	Oid target;               /* the relation the statement names, or InvalidOid */
	const char *object;       /* name of what it names instead: a domain, a new table; or NULL */
	List *effects;            /* of MgEffect, in the order they were met */
	struct mgeff_hash *index; /* relid -> MgEffect */
	bool covered;             /* false: a command this version has no analysis for */
	bool concurrent;          /* commits inside (CONCURRENTLY and its kin) */
	bool no_block;            /* refuses a transaction block for another reason */
	bool target_is_new;       /* target is created earlier in the script, no OID yet */
	bool if_exists_missing;   /* IF EXISTS and the target is missing: nothing happens */
	List *dropped;            /* OIDs of constraints, rules, triggers, policies that it drops */
	List *passed;             /* of MgFinding: judged, and nothing is said about them */
	List *gone;               /* of MgDoomed (dropwalk.h): all that it drops, those named first */
	List *removed;            /* OIDs of relations that DROP drops, with what goes along */
	MgProblem *problem;       /* not NULL: not resolvable; effects are incomplete */
	uint64 seen;              /* catalog changes of others that had been heard of before it */
	struct MgScript *script;  /* NULL in the hook */
} MgFootprint;

/* ------------------------------------------------------------------------
 * footprint.c: dispatch by NodeTag, and the tools all footprint files use
 * ------------------------------------------------------------------------ */
extern bool mg_is_covered(NodeTag tag);
/* exported for the audit of the core regression suite, test/audit, which wants an answer also
 * where the hook would have nothing to say */
extern PGDLLEXPORT bool mg_thorough;
extern PGDLLEXPORT MgFootprint *mg_footprint(Node *stmt, const char *source,
											 struct MgScript *script);

/* find or add; keeps the strongest lock, appends reason (a sentence without period, or NULL) once */
extern MgEffect *mg_effect(MgFootprint *fp, Oid relid, LOCKMODE lockmode, MgRole role,
						   const char *reason);
extern MgEffect *mg_effect_find(MgFootprint *fp, Oid relid);
extern MgTask *mg_task(MgEffect *eff, MgWork work, MgCause cause, Node *node);
extern void mg_note(MgEffect *eff, const char *fmt, ...) pg_attribute_printf(2, 3);
extern bool mg_has_work(const MgEffect *eff, MgWork work);

/* psprintf() for functions that take a format themselves */
extern char *mg_vformat(const char *fmt, va_list args) pg_attribute_printf(1, 0);

/* record that core will refuse the statement itself; keeps the first */
extern void mg_problem(MgFootprint *fp, int sqlerrcode, const char *fmt, ...)
	pg_attribute_printf(3, 4);

/*
 * Look a name up without locking.  InvalidOid: missing.  Then, unless
 * missing_ok, a problem is recorded; fp->target_is_new is set if the script
 * creates it.
 */
extern Oid mg_lookup_relation(MgFootprint *fp, const RangeVar *rv, bool missing_ok);

/* the same for a relation that is not the statement's target; target_is_new is left alone */
extern Oid mg_lookup_other(MgFootprint *fp, const RangeVar *rv); /* footprint_create.c */

/* may the current user look into the schema that is written?  If not, records core's own error. */
extern bool mg_check_schema(MgFootprint *fp, const RangeVar *rv);

/* where a relation would be made; InvalidOid if that cannot be told without making something */
extern Oid mg_creation_namespace(const RangeVar *rv); /* footprint_create.c */

/* what core calls such relations when it refuses: "table", "view", ... */
extern const char *mg_relkind_name(char relkind);

/* may the current user alter it?  If not, records core's own error. */
extern bool mg_check_owner(MgFootprint *fp, Oid relid);

/* has a role one of these privileges on it?  If not, records core's own error. */
extern bool mg_check_privilege(MgFootprint *fp, Oid relid, Oid userid, AclMode mask);

/* may the current user do maintenance on it?  If not, records core's own error. */
extern bool mg_check_maintain(MgFootprint *fp, Oid relid);

/* is there such a schema, after what the script has done so far? */
extern bool mg_schema_exists(MgFootprint *fp, const char *name);

/* quoted, schema-qualified unless visible by search_path */
extern const char *mg_relation_name(Oid relid);
extern const char *mg_qualified_name(Oid relid);

/*
 * Run fn(arg) in a subtransaction and swallow what it raises.  True: it
 * returned normally.  False: *message (if not NULL) says why not.
 */
typedef void (*MgAttemptFn)(void *arg);
extern bool mg_attempt(MgAttemptFn fn, void *arg, MgProblem **problem);

/* asowner.c: the same as the owner of a relation, in a security-restricted operation */
/* The identity to return to. */
typedef struct MgIdentity
{
	Oid userid;
	int sec_context;
	int guc_level;
} MgIdentity;

extern void mg_become_role(Oid role, MgIdentity *saved);
extern void mg_become_owner(Oid relid, MgIdentity *saved);
extern void mg_become_self(const MgIdentity *saved);
extern bool mg_attempt_as_owner(Oid relid, MgAttemptFn fn, void *arg, MgProblem **problem);

/* may the current user create things there?  If not, records core's own error. */
extern bool mg_check_create_in_schema(MgFootprint *fp, Oid nspid);
extern bool mg_check_create_in_tablespace(MgFootprint *fp, const char *name);

/*
 * Conditional AccessShareLock on a relation, for a look at its relcache
 * entry; never waits.  NULL: somebody holds AccessExclusiveLock, or it is
 * gone.  Give back at once with mg_relation_close().
 */
extern Relation mg_relation_open(Oid relid);
extern void mg_relation_close(Relation rel);

/* ------------------------------------------------------------------------
 * footprint_alter*.c, footprint_index.c, footprint_table.c: one function per
 * statement kind, called by the table in footprint.c
 * ------------------------------------------------------------------------ */
extern void mg_footprint_alter_table(MgFootprint *fp, Node *stmt); /* footprint_alter.c */
extern void mg_footprint_create_index(MgFootprint *fp,
									  Node *stmt); /* footprint_index.c: IndexStmt */
extern void mg_footprint_reindex(MgFootprint *fp,
								 Node *stmt);                 /* footprint_reindex.c: ReindexStmt */
extern void mg_footprint_drop(MgFootprint *fp, Node *stmt);   /* footprint_table.c: DropStmt */
extern void mg_footprint_rename(MgFootprint *fp, Node *stmt); /* footprint_table.c: RenameStmt */
extern void mg_footprint_depends(MgFootprint *fp, Node *stmt);          /* footprint_table.c:
																 * AlterObjectDependsStmt */
extern void mg_footprint_move(MgFootprint *fp, Node *stmt);             /* footprint_move.c:
															 * AlterObjectSchemaStmt */
extern void mg_footprint_extension_member(MgFootprint *fp, Node *stmt); /* footprint_move.c:
															  * AlterExtensionContentsStmt */
extern void mg_footprint_owner(MgFootprint *fp, Node *stmt); /* footprint_owner.c: AlterOwnerStmt */
extern void mg_footprint_reassign_owned(MgFootprint *fp,
										Node *stmt); /* footprint_owner.c: ReassignOwnedStmt */
extern void mg_footprint_drop_owned(MgFootprint *fp,
									Node *stmt); /* footprint_owner.c: DropOwnedStmt */
extern void mg_footprint_move_all(MgFootprint *fp, Node *stmt); /* footprint_storage.c:
																 * AlterTableMoveAllStmt */
extern void mg_footprint_cluster(MgFootprint *fp,
								 Node *stmt); /* footprint_storage.c: ClusterStmt */
/* parts of it that REPACK shares */
extern bool mg_cluster_permitted(MgFootprint *fp, Oid relid, char relkind, const char *name);
extern Oid mg_clustered_index(Oid relid);
extern void mg_set_order(MgEffect *eff, Oid index);
extern Oid mg_cluster_index(MgFootprint *fp, MgClusterRequest *request, Oid relid);
/* footprint_repack.c */
extern void mg_footprint_repack(MgFootprint *fp, MgClusterRequest *request);
extern bool mg_cluster_options(MgFootprint *fp, MgClusterRequest *request);
extern const char *mg_repack_name(MgFootprint *fp);
extern bool mg_repack_obstacle(Oid relid, bool identity, MgProblem *problem);
extern void mg_footprint_vacuum(MgFootprint *fp, Node *stmt); /* footprint_vacuum.c: VacuumStmt */
extern void mg_footprint_create_table(MgFootprint *fp,
									  Node *stmt); /* footprint_create.c: CreateStmt */
extern void mg_footprint_alter_domain(MgFootprint *fp,
									  Node *stmt); /* footprint_domain.c: AlterDomainStmt */
extern void mg_footprint_type(MgFootprint *fp,
							  Node *stmt); /* footprint_domain.c: about types, no locks */

extern void mg_footprint_truncate(MgFootprint *fp,
								  Node *stmt);              /* footprint_truncate.c: TruncateStmt */
extern void mg_footprint_lock(MgFootprint *fp, Node *stmt); /* footprint_truncate.c: LockStmt */
extern void mg_footprint_refresh(MgFootprint *fp,
								 Node *stmt); /* footprint_query.c: RefreshMatViewStmt */
extern void mg_footprint_create_table_as(MgFootprint *fp,
										 Node *stmt); /* footprint_query.c: CreateTableAsStmt */
extern void mg_footprint_select(MgFootprint *fp, Node *stmt);  /* footprint_query.c: SelectStmt */
extern void mg_footprint_explain(MgFootprint *fp, Node *stmt); /* footprint_query.c: ExplainStmt */
extern bool mg_explain_executes(ExplainStmt *stmt);
extern void mg_footprint_create_sequence(MgFootprint *fp,
										 Node *stmt); /* footprint_sequence.c: CreateSeqStmt */
extern void mg_footprint_alter_sequence(MgFootprint *fp,
										Node *stmt); /* footprint_sequence.c: AlterSeqStmt */
extern void mg_footprint_create_schema(MgFootprint *fp,
									   Node *stmt); /* footprint_schema.c: CreateSchemaStmt */
extern void mg_footprint_create_foreign(
	MgFootprint *fp, Node *stmt); /* footprint_schema.c: CreateForeignTableStmt */
extern void mg_footprint_import(MgFootprint *fp,
								Node *stmt); /* footprint_schema.c: ImportForeignSchemaStmt */

/* objects of relations */
extern void mg_footprint_comment(MgFootprint *fp, Node *stmt);        /* footprint_object.c */
extern void mg_footprint_security_label(MgFootprint *fp, Node *stmt); /* footprint_object.c */
extern void mg_footprint_create_trigger(MgFootprint *fp, Node *stmt); /* footprint_trigger.c */
extern void mg_footprint_create_rule(MgFootprint *fp, Node *stmt);    /* footprint_rule.c */
extern void mg_footprint_view(MgFootprint *fp, Node *stmt);           /* footprint_rule.c */
extern void mg_footprint_create_policy(MgFootprint *fp, Node *stmt);  /* footprint_rule.c */
extern void mg_footprint_alter_policy(MgFootprint *fp, Node *stmt);   /* footprint_rule.c */
extern void mg_footprint_create_statistics(MgFootprint *fp,
										   Node *stmt); /* footprint_statistics.c */
extern void mg_footprint_create_publication(MgFootprint *fp,
											Node *stmt); /* footprint_publication.c */
extern void mg_footprint_alter_publication(MgFootprint *fp,
										   Node *stmt); /* footprint_publication.c */

/* the parts of DROP, RENAME and DEPENDS that are about them: footprint_object.c */
extern void mg_footprint_drop_of_relation(MgFootprint *fp, DropStmt *stmt);
extern void mg_footprint_rename_of_relation(MgFootprint *fp, RenameStmt *stmt);
extern void mg_footprint_depends_of_relation(MgFootprint *fp, AlterObjectDependsStmt *stmt);

/* helpers shared by the footprint files */
extern List *mg_tree(Oid relid, bool inh); /* the relation, and its descendants if inh; OIDs */
extern bool mg_index_is_primary(Oid index);
extern void mg_lock_referenced(MgFootprint *fp, Oid relid, LOCKMODE mode, const char *reason);
/* a foreign key's other table, and all its partitions, as MG_ROLE_PEER */
/* footprint_constraint.c: may a foreign key reference it, by what lasts how long, and by
 * privilege?  Else records core's error. */
extern bool mg_fits_persistence(MgFootprint *fp, char own, Oid confrelid);
extern bool mg_may_reference(MgFootprint *fp, Oid confrelid, Constraint *con);
extern bool mg_is_virtual(Oid relid,
						  const char *column); /* footprint_column.c: generated when read */
/* footprint_storage.c: a heap and its indexes written anew */
extern void mg_rewrite_table(MgFootprint *fp, MgEffect *eff, MgCause cause, Node *node,
							 const char *reason);
extern bool mg_is_populated(Oid relid);      /* footprint_query.c: a materialized view */
extern Oid mg_refresh_index(Oid matview);    /* by which it can be refreshed CONCURRENTLY */
extern Query *mg_matview_query(Oid matview); /* a copy; NULL if it cannot be had now */
/* footprint_create.c: where a new relation will be; InvalidOid: cannot be told */
extern Oid mg_creation_namespace(const RangeVar *rv);
extern bool mg_check_new_schema(MgFootprint *fp, const RangeVar *rv); /* is it there? */
extern bool mg_name_is_taken(MgFootprint *fp, const RangeVar *rv, bool if_not_exists);
extern char *mg_relkind_unsupported(char relkind);  /* footprint_index.c: core's errdetail */
extern bool mg_option_is_on(const DefElem *option); /* footprint_reindex.c: never raises */

/* droplocks.c: what deleting objects (List of ObjectAddress *, which may depend on each other) locks;
 * lock_named: effects on those themselves, too.  Returns all that goes, those named first. */
extern List *mg_drop_objects(MgFootprint *fp, List *objects, DropBehavior behavior,
							 bool lock_named);

/* coreproof.c: do NOT NULL marks and valid CHECK constraints imply test for every row? */
extern bool mg_constraints_imply(Oid relid, List *test, List *dropped_constraints);

/* typeuse.c */
extern List *mg_type_users(Oid typid); /* of ObjectAddress *: types and relations */
extern bool mg_type_is_stored(MgFootprint *fp, Oid typid, const char *name);
/* "table.column" that has rows of relid for values, or NULL */
extern const char *mg_row_type_column(MgFootprint *fp, Oid relid);

/* indexmatch.c */
extern bool mg_index_matches(Oid leaf_index, Oid leaf, IndexStmt *stmt, Oid parent);
extern Oid mg_partition_index_match(Oid parent_index, Oid parent, Oid child);
extern Oid mg_partition_index_match_unused(Oid parent_index, Oid parent, Oid child, List *used);

/* ------------------------------------------------------------------------
 * relsize.c
 * ------------------------------------------------------------------------ */
extern void mg_relation_size(Oid relid, MgSize *size); /* one relation, constant time, no lock */
extern void mg_size_effect(
	MgEffect *eff); /* fills eff->size once; sums leaves of a partitioned table */
extern uint64 mg_effect_bytes(MgEffect *eff);   /* heap + TOAST + indexes that are built anew */
extern double mg_effect_seconds(MgEffect *eff); /* expected duration of its tasks, from the rates */
extern bool mg_relation_is_new(Oid relid);      /* created in this transaction */
extern bool mg_relation_has_new_file(Oid relid); /* emptied or rewritten in it, and not new */
extern bool mg_effect_exempt(MgEffect *eff);     /* new, temporary, empty, or a system catalog */
extern char *mg_format_rows(double rows);        /* "12.3 million rows", "1 row" */
extern char *mg_format_bytes(uint64 bytes);      /* "48 GB" */
extern char *mg_format_seconds(double seconds);  /* "3 min 40 s" */

#include "mg_situation.h" /* situation.c: what this transaction, or the script so far, holds */

#include "mg_blockers.h" /* blockers.c: who else holds what a statement needs, as of now */

/* ------------------------------------------------------------------------
 * rule_queue.c: the rule lock_queue
 * ------------------------------------------------------------------------ */
/* of MgBlocker, oldest transaction first: who holds up the lock of an effect, and lasts */
extern List *mg_in_the_way_of(MgFootprint *fp, const MgEffect *eff);
extern bool mg_would_queue(MgFootprint *fp, MgFinding *finding); /* for MgRule.applies */
extern void mg_word_queue(MgFootprint *fp, MgFinding *finding);  /* for MgCategory.word */

/* ------------------------------------------------------------------------
 * script.c: what the earlier statements of a script have done, for dry runs
 * ------------------------------------------------------------------------ */
typedef struct MgScript
{
	bool in_block;     /* between BEGIN and COMMIT, or called inside a transaction */
	bool live;         /* locks of the calling transaction still count: no COMMIT or ROLLBACK
								 * seen so far */
	List *names;       /* of MgScriptName: relations made or renamed by earlier statements */
	List *schemas;     /* of MgScriptSchema: made, renamed or dropped by earlier statements */
	List *gone;        /* of Oid: dropped or renamed away by earlier statements */
	List *altered;     /* of Oid: relations changed by earlier statements */
	List *columns;     /* of MgScriptColumn: added or renamed by earlier statements */
	List *dropped;     /* OIDs of constraints, rules, ... dropped by earlier statements */
	List *constraints; /* of MgScriptConstraint: added by earlier statements */
	List *indexes;     /* of MgScriptIndex: made by earlier statements */
	List *locks;       /* of MgScriptLock: taken in the simulated transaction */
	List *writes;      /* of MgScriptWrite: what it has written to */
	bool started;      /* there was an earlier statement */
	bool changed;      /* some earlier statement may have made functions, types, ... */
	struct MgScriptState *state; /* script.c's own */
} MgScript;

/* A relation under a name that it does not have yet. */
typedef struct MgScriptName
{
	const char *schema; /* NULL: the script's search_path leads nowhere */
	const char *name;
	bool temporary;
	Oid relid;    /* an existing relation that is renamed, or InvalidOid: it is created */
	bool present; /* false: a name that means nothing any more */
} MgScriptName;

typedef struct MgScriptSchema
{
	const char *name;
	Oid nspid;    /* an existing schema that is renamed, or InvalidOid: it is created */
	bool present; /* false: it is dropped, or called otherwise */
} MgScriptSchema;

typedef struct MgScriptColumn
{
	Oid relid;
	const char *name;
} MgScriptColumn;

typedef struct MgScriptConstraint
{
	Oid relid;
	Constraint *constraint; /* raw, with its name (given or chosen as core would) */
} MgScriptConstraint;

typedef struct MgScriptIndex
{
	Oid relid;
	List *params; /* of IndexElem */
} MgScriptIndex;

typedef struct MgScriptLock
{
	Oid relid;
	LOCKMODE lockmode;
	const char *command;
} MgScriptLock;

typedef struct MgScriptWrite
{
	Oid relid;
	double rows; /* 0: not known */
} MgScriptWrite;

extern MgScript *mg_script_begin(void);
extern void mg_script_statement(MgScript *script, Node *stmt, MgFootprint *fp); /* after each */
extern void mg_script_end(MgScript *script); /* gives settings back that the script has changed */
extern bool mg_script_creates(MgScript *script, const RangeVar *rv);

/* existing relation that the script has renamed to this, or InvalidOid */
extern Oid mg_script_renamed(MgScript *script, const RangeVar *rv);

/* has an earlier statement given it a column of this name, by ADD COLUMN or RENAME? */
extern bool mg_script_column(MgScript *script, Oid relid, const char *name);

/* has the script dropped it, or renamed it?  Then its name in the catalogs means nothing */
extern bool mg_script_gone(MgScript *script, Oid relid);
extern bool mg_script_dropped(MgScript *script, Oid relid); /* it has no other name either */
extern bool mg_script_alters(MgScript *script, Oid relid);
extern bool mg_script_schema_exists(MgScript *script, const char *schema);
extern Oid mg_script_schema_oid(MgScript *script,
								const char *schema); /* existing one, or invalid */
extern Constraint *mg_script_constraint(MgScript *script, Oid relid, const char *name);
extern LOCKMODE mg_script_held(MgScript *script, Oid relid, const char **since);
extern bool mg_script_written(MgScript *script, Oid relid, double *rows); /* adds to *rows */

/* ------------------------------------------------------------------------
 * guc.c
 * ------------------------------------------------------------------------ */
typedef enum MgMode
{
	MG_MODE_OFF = 0,
	MG_MODE_LOG,
	MG_MODE_WARN,
	MG_MODE_ENFORCE
} MgMode;

/* verdicts, and per-rule actions, ordered by strength */
typedef enum MgVerdict
{
	MG_ALLOW = 0,
	MG_LOG,
	MG_WARN,
	MG_BLOCK
} MgVerdict;

extern int mg_mode;      /* MgMode */
extern int mg_warn_rows; /* rows; -1 never */
extern int mg_block_rows;
extern int mg_warn_size; /* MB; -1 never */
extern int mg_block_size;
extern char *mg_override;
extern bool mg_exempt_application(void); /* is application_name in exempt_applications? */
extern int mg_scan_rate;                 /* MB/s */
extern int mg_rewrite_rate;
extern int mg_index_rate;
extern int mg_lock_timeout; /* ms; 0 leaves locking to core */
extern int mg_lock_burst;   /* ms; 0 never */
extern void mg_guc_init(void);
extern MgVerdict mg_rule_action(int rule_index); /* strongest verdict the rule may give now */

/* ------------------------------------------------------------------------
 * rules.c: the const table; advice.c: the SQL that does it safely
 * ------------------------------------------------------------------------ */
typedef struct MgRule MgRule;
typedef struct MgInquiry MgInquiry; /* rules.c: what is known about a statement, for all rules */

/* What rules of one kind have in common. */
typedef struct MgCategory
{
	const char *name; /* "blocking work", "leftovers", ... */
	MgFinding *(*find)(MgInquiry *inquiry, const MgRule *rule); /* NULL: it does not apply */
	void (*word)(MgFootprint *fp, MgFinding *finding);          /* message and detail: report.c */
} MgCategory;

struct MgRule
{
	const char *name;
	const char *sqlstate; /* five characters, class MG */
	const MgCategory *category;
	const char *operation;    /* how messages begin, before the table's name: "CREATE INDEX on";
							   * NULL: the command tag, and the danger has the names */
	MgVerdict default_action; /* strongest verdict it may give */
	MgCause cause;            /* which tasks it looks at; none: at the situation */
	bool sized;               /* thresholds by rows and bytes apply */
	/* does it apply?  Of the situation: fills in relid, danger and facts.  NULL: always */
	bool (*applies)(MgFootprint *fp, MgFinding *finding);
	char *(*advise)(MgFootprint *fp, MgFinding *finding); /* HINT: SQL that runs here; or NULL */
	const char *summary;                                  /* one line, for the rules view */
	const char *advice;                                   /* one line, for the rules view */
};

extern const MgRule mg_rules[];
extern const int mg_nrules;
extern int mg_rule_find(const char *name); /* -1: no such rule */

/* A rule that applies to a statement. */
struct MgFinding
{
	const MgRule *rule;
	Oid relid;              /* relation that is blocked, or concerned */
	LOCKMODE lockmode;      /* strongest lock on it while the work goes on, held ones included */
	LOCKMODE held;          /* held before the statement, NoLock if none */
	const char *held_since; /* "for 12 s, since ALTER TABLE", or NULL */
	List *tasks;            /* of MgTask: the work */
	List *worked;           /* of MgEffect: relations with that work, parallel to nothing */
	List *blocked;          /* of MgEffect: relations that others are kept from */
	double rows;
	uint64 bytes;
	double seconds;
	struct MgQueue *queue; /* rule_queue.c's own */
	const char *operation; /* how its message begins, if not with the rule's operation */
	const char *danger;    /* of a rule without work: what follows the relation in the message */
	List *facts;           /* of char *: sentences for DETAIL, in small letters, without period */
	MgVerdict verdict;
	bool overridden; /* would block, but for migration_guard.override */
	char *message;   /* primary message */
	char *detail;
	char *hint;
};

extern List *mg_findings(MgFootprint *fp); /* rules.c */

/* ------------------------------------------------------------------------
 * verdict.c, report.c
 * ------------------------------------------------------------------------ */
extern bool mg_is_large(double rows, uint64 bytes); /* would work on so much be worth a word? */
extern List *mg_judge(MgFootprint *fp); /* findings with verdict > allow, worst first, worded */
extern void mg_word_work(MgFootprint *fp, MgFinding *finding);      /* for MgCategory.word */
extern void mg_word_situation(MgFootprint *fp, MgFinding *finding); /* for MgCategory.word */
extern void mg_word_finding(MgFootprint *fp,
							MgFinding *finding);        /* report.c: message, detail, hint */
extern void mg_report(MgFootprint *fp, List *findings); /* ereports; returns unless blocked */
extern void mg_report_audit(MgFootprint *fp); /* a rewrite; NULL: it was announced; returns unless
											   * blocked */
extern const char *mg_verdict_name(MgVerdict verdict);
extern const char *mg_lock_blocks(LOCKMODE mode); /* "reads and writes", "writes", "nothing" */

/* replicas.c: sentences about standbys and subscribers, in small letters, without period */
extern List *mg_replica_facts(MgFootprint *fp, MgFinding *finding);

/* ------------------------------------------------------------------------
 * locking.c: the locks of a judged statement
 * ------------------------------------------------------------------------ */

/*
 * Takes the locks of a statement that may run.  findings: what has been said
 * about it.  Returns the footprint by which it is to run, which is another one
 * if the catalog has changed meanwhile.
 */
extern MgFootprint *mg_lock_politely(MgFootprint *fp, List *findings);
extern bool mg_is_locked_politely(MgFootprint *fp); /* under the settings in force */

/* held only because the statement that is being judged again is to have it */
extern bool mg_lock_is_provisional(Oid relid, LOCKMODE lockmode);

/* report_lock.c: "migration_guard.lock_timeout (10s)", or the session's lock_timeout if that is
 * shorter */
extern const char *mg_word_lock_limit(void);
extern char *mg_blockers_hint(const char *run, List *blockers);

/* ------------------------------------------------------------------------
 * stats.c
 * ------------------------------------------------------------------------ */

/* What is counted for a rule, in the order of the view's columns. */
typedef enum MgCount
{
	MG_COUNT_CHECKED = 0, /* it applied to a statement, whatever came of it */
	MG_COUNT_LOGGED,
	MG_COUNT_WARNED,
	MG_COUNT_BLOCKED,
	MG_COUNT_OVERRIDDEN,
	MG_COUNT_MISPREDICTED
} MgCount;

#define MG_COUNTS (MG_COUNT_MISPREDICTED + 1)

extern void mg_stats_init(void);
extern void mg_stats_count(int rule_index,
						   MgCount count); /* atomic; nothing without shared memory */

/* ------------------------------------------------------------------------
 * audit.c: what was predicted for the statements that are being executed
 * ------------------------------------------------------------------------ */
typedef struct MgAnnouncement MgAnnouncement;

extern MgAnnouncement *mg_announcement_begin(Node *stmt, MemoryContext parent); /* or NULL */
extern void mg_announce(MgAnnouncement *announcement, MgFootprint *fp);
extern void mg_announcement_end(MgAnnouncement *announcement);

/* ------------------------------------------------------------------------
 * hook.c
 * ------------------------------------------------------------------------ */
extern void mg_hook_init(void);
extern EventTriggerData *mg_event(FunctionCallInfo fcinfo, const char *handler);

#endif /* MG_H */
