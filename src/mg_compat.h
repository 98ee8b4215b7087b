/*
 * mg_compat.h
 *
 * Owns every difference between the supported PostgreSQL majors: no other
 * file of the project tests PG_VERSION_NUM.
 */
#ifndef MG_COMPAT_H
#define MG_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "migration_guard needs PostgreSQL 15 or later"
#endif

#include "storage/procarray.h"
#if PG_VERSION_NUM < 170000
#include "storage/backendid.h"
#include "storage/sinvaladt.h"
#else
#include "storage/procnumber.h"
#endif
#if PG_VERSION_NUM >= 190000
#include "replication/slot.h"
#endif

/* Publications that name a table, and, from 19 on, those of all tables that leave it out. */
#if PG_VERSION_NUM >= 190000
#define mg_relation_publications(relid) GetRelationIncludedPublications(relid)
#define mg_excluding_publications(relid) GetRelationExcludedPublications(relid)
#else
#define mg_relation_publications(relid) GetRelationPublications(relid)
#define mg_excluding_publications(relid) NIL
#endif

/* When a table or index was last scanned, from 16 on. */
#if PG_VERSION_NUM >= 160000
#define mg_stat_last_scan(stats) ((stats)->lastscan)
#else
#define mg_stat_last_scan(stats) ((TimestampTz) 0)
#endif

/* Does this backend hold exactly this lock? */
static inline bool
mg_lock_held_by_me(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

/* What pg_stat_activity shows of a session that tries for its locks. */
static inline uint32
mg_wait_event(void)
{
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("MigrationGuardLock");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* The locks in one partition of the lock table that a backend holds, one by one. */
static inline PROCLOCK *
mg_next_proclock(PGPROC *proc, int partition, PROCLOCK *previous)
{
#if PG_VERSION_NUM >= 160000
	dlist_head *queue = &proc->myProcLocks[partition];

	if (previous == NULL)
		return dlist_is_empty(queue) ? NULL : dlist_head_element(PROCLOCK, procLink, queue);
	if (!dlist_has_next(queue, &previous->procLink))
		return NULL;
	return dlist_container(PROCLOCK, procLink, dlist_next_node(queue, &previous->procLink));
#else
	SHM_QUEUE *queue = &proc->myProcLocks[partition];

	return (PROCLOCK *) SHMQueueNext(queue, previous ? &previous->procLink : queue,
									 offsetof(PROCLOCK, procLink));
#endif
}

/* Has a relation that is not new been given another file in this transaction? */
#if PG_VERSION_NUM >= 160000
#define mg_first_file_subid(rel) ((rel)->rd_firstRelfilelocatorSubid)
#else
#define mg_first_file_subid(rel) ((rel)->rd_firstRelfilenodeSubid)
#endif

/* A transaction as a whole can be limited from 17 on. */
#if PG_VERSION_NUM >= 170000
#define mg_transaction_timeout() TransactionTimeout
#else
#define mg_transaction_timeout() 0
#endif

/* All settings of the server, and how many there are. */
static inline struct config_generic **
mg_all_settings(int *count)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(count);
#else
	*count = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/* Rows changed since a table was last analyzed. */
#if PG_VERSION_NUM >= 160000
#define mg_stat_changes_since_analyze(stats) ((stats)->mod_since_analyze)
#else
#define mg_stat_changes_since_analyze(stats) ((stats)->changes_since_analyze)
#endif

/* The number of a backend, which is in the names of its temporary tables' files. */
#if PG_VERSION_NUM >= 170000
typedef ProcNumber MgBackendNumber;
#define MG_NO_BACKEND INVALID_PROC_NUMBER
#define mg_own_temp_backend() ProcNumberForTempRelations()
#define mg_temp_backend(nspid) GetTempNamespaceProcNumber(nspid)
#else
typedef BackendId MgBackendNumber;
#define MG_NO_BACKEND InvalidBackendId
#define mg_own_temp_backend() BackendIdForTempRelations()
#define mg_temp_backend(nspid) GetTempNamespaceBackendId(nspid)
#endif

/*
 * Backends by number: the one of a virtual transaction, the entry that a
 * number means (NULL: none), and the number and the transaction of an entry.
 */
#if PG_VERSION_NUM >= 170000
#define mg_my_backend() MyProcNumber
#define mg_vxid_backend(vxid) ((vxid).procNumber)
#define mg_backend_proc(number) ProcNumberGetProc(number)
#define mg_proc_backend(proc) ((proc)->vxid.procNumber)
#define mg_proc_lxid(proc) ((proc)->vxid.lxid)
#else
#define mg_my_backend() MyBackendId
#define mg_vxid_backend(vxid) ((vxid).backendId)
#define mg_backend_proc(number) BackendIdGetProc(number)
#define mg_proc_backend(proc) ((proc)->backendId)
#define mg_proc_lxid(proc) ((proc)->lxid)
#endif

/* The file number of a relation whose pg_class row has none. */
#if PG_VERSION_NUM >= 160000
#define mg_mapped_file(relid, shared) RelationMapOidToFilenumber(relid, shared)
#else
#define mg_mapped_file(relid, shared) RelationMapOidToFilenode(relid, shared)
#endif

/* The path of a file of a relation, palloc'd. */
#if PG_VERSION_NUM >= 180000
#define mg_file_path(dbid, spcid, number, backend) \
	pstrdup(GetRelationPath(dbid, spcid, number, backend, MAIN_FORKNUM).str)
#else
#define mg_file_path(dbid, spcid, number, backend) \
	GetRelationPath(dbid, spcid, number, backend, MAIN_FORKNUM)
#endif

/* Does a domain, or one that it is made over, have constraints? */
static inline bool
mg_domain_constrained(Oid typid)
{
#if PG_VERSION_NUM >= 190000
	return DomainHasConstraints(typid, NULL);
#else
	return DomainHasConstraints(typid);
#endif
}

/*
 * The condition that a new partition's rows have to satisfy is that of its
 * bound and that of its parent, which is added to *qual here.  Returned is the
 * part of it from which the default partition's new condition is derived: up
 * to 17, core hands over the same list for both.
 */
static inline List *
mg_default_partition_base(List **qual, List *parent_qual)
{
#if PG_VERSION_NUM >= 180000
	List *bound_qual = *qual;

	*qual = list_concat_copy(bound_qual, parent_qual);
	return bound_qual;
#else
	*qual = list_concat(*qual, parent_qual);
	return *qual;
#endif
}

/* Memory for what a check hook hands over as "extra". */
static inline void *
mg_guc_alloc(size_t size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

static inline void
mg_guc_release(void *extra)
{
#if PG_VERSION_NUM >= 160000
	guc_free(extra);
#else
	free(extra);
#endif
}

/* Is the current user owner of an object?  classid: pg_class, pg_namespace, pg_database, pg_type */
static inline bool
mg_owns(Oid classid, Oid objid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(classid, objid, GetUserId());
#else
	switch (classid)
	{
		case RelationRelationId:
			return pg_class_ownercheck(objid, GetUserId());
		case NamespaceRelationId:
			return pg_namespace_ownercheck(objid, GetUserId());
		case DatabaseRelationId:
			return pg_database_ownercheck(objid, GetUserId());
		case TypeRelationId:
			return pg_type_ownercheck(objid, GetUserId());
		case PublicationRelationId:
			return pg_publication_ownercheck(objid, GetUserId());
		case StatisticExtRelationId:
			return pg_statistics_object_ownercheck(objid, GetUserId());
		default:
			return false;
	}
#endif
}

/* May the current user do it to an object?  classid: pg_namespace, pg_tablespace, pg_type */
static inline bool
mg_allowed(Oid classid, Oid objid, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(classid, objid, GetUserId(), mode) == ACLCHECK_OK;
#else
	switch (classid)
	{
		case NamespaceRelationId:
			return pg_namespace_aclcheck(objid, GetUserId(), mode) == ACLCHECK_OK;
		case TableSpaceRelationId:
			return pg_tablespace_aclcheck(objid, GetUserId(), mode) == ACLCHECK_OK;
		case TypeRelationId:
			return pg_type_aclcheck(objid, GetUserId(), mode) == ACLCHECK_OK;
		case ForeignServerRelationId:
			return pg_foreign_server_aclcheck(objid, GetUserId(), mode) == ACLCHECK_OK;
		case DatabaseRelationId:
			return pg_database_aclcheck(objid, GetUserId(), mode) == ACLCHECK_OK;
		case ProcedureRelationId:
			return pg_proc_aclcheck(objid, GetUserId(), mode) == ACLCHECK_OK;
		default:
			return false;
	}
#endif
}

/* Is this process a worker of autovacuum? */
static inline bool
mg_is_autovacuum(void)
{
#if PG_VERSION_NUM >= 170000
	return AmAutoVacuumWorkerProcess();
#else
	return IsAutoVacuumWorkerProcess();
#endif
}

/* Let the scanner not warn about backslashes; from 19 on it never does. */
static inline void
mg_scanner_quiet(core_yy_extra_type *extra)
{
#if PG_VERSION_NUM >= 190000
	(void) extra;
#else
	extra->escape_string_warning = false;
#endif
}

/* Publications of all sequences, from 19 on. */
static inline bool
mg_sets_all_sequences(AlterPublicationStmt *stmt)
{
#if PG_VERSION_NUM >= 190000
	return stmt->for_all_sequences;
#else
	(void) stmt;
	return false;
#endif
}

static inline bool
mg_has_all_sequences(Form_pg_publication form)
{
#if PG_VERSION_NUM >= 190000
	return form->puballsequences;
#else
	(void) form;
	return false;
#endif
}

/* What core says when a partition's trigger that comes from the parent's is renamed. */
#if PG_VERSION_NUM >= 180000
#define MG_PG_RENAME_CHILD_TRIGGER ERRCODE_FEATURE_NOT_SUPPORTED
#else
#define MG_PG_RENAME_CHILD_TRIGGER ERRCODE_INTERNAL_ERROR
#endif

/* From 16 on foreign tables can have TRUNCATE triggers, and tables do not become views any more. */
#if PG_VERSION_NUM >= 160000
#define MG_PG_TRUNCATE_TRIGGER_ON_FOREIGN true
#define MG_PG_TABLE_TO_VIEW false
#else
#define MG_PG_TRUNCATE_TRIGGER_ON_FOREIGN false
#define MG_PG_TABLE_TO_VIEW true
#endif

/* From 17 on the sequence of an identity column of a partition is that of the topmost parent. */
#if PG_VERSION_NUM >= 170000
#define MG_PG_IDENTITY_OF_PARTITIONS true
#else
#define MG_PG_IDENTITY_OF_PARTITIONS false
#endif

/* From 18 on ADD CONSTRAINT locks all descendants, whatever kind the constraint is of. */
#define MG_PG_ADD_CONSTRAINT_LOCKS_ALL (PG_VERSION_NUM >= 180000)

/* From 17 on partitioned tables have exclusion constraints, and an access method for partitions to come. */
#if PG_VERSION_NUM >= 170000
#define MG_PG_EXCLUSION_OF_PARTITIONED true
#define MG_PG_ACCESS_METHOD_OF_PARTITIONED true
#else
#define MG_PG_EXCLUSION_OF_PARTITIONED false
#define MG_PG_ACCESS_METHOD_OF_PARTITIONED false
#endif

/* What CLUSTER says: a statement of its own up to 18, one of the forms of REPACK from 19 on. */
typedef struct MgClusterRequest
{
	Node *node;
	RangeVar *relation;    /* NULL: all that have been clustered */
	const char *indexname; /* or NULL */
	List *params;          /* of DefElem */
	bool repack;           /* it is REPACK; the rest is only for that */
	bool using_index;      /* with or without a name */
	List *columns;         /* for ANALYZE */
} MgClusterRequest;

#if PG_VERSION_NUM >= 190000
#define MG_TAG_CLUSTER T_RepackStmt
#else
#define MG_TAG_CLUSTER T_ClusterStmt
#endif

static inline void
mg_cluster_request(Node *node, MgClusterRequest *request)
{
#if PG_VERSION_NUM >= 190000
	RepackStmt *stmt = castNode(RepackStmt, node);

	request->relation = stmt->relation ? stmt->relation->relation : NULL;
	request->columns = stmt->relation ? stmt->relation->va_cols : NIL;
	request->repack = stmt->command == REPACK_COMMAND_REPACK;
	request->using_index = stmt->usingindex;
#else
	ClusterStmt *stmt = castNode(ClusterStmt, node);

	request->relation = stmt->relation;
	request->columns = NIL;
	request->repack = false;
	request->using_index = true;
#endif
	request->node = node;
	request->indexname = stmt->indexname;
	request->params = stmt->params;
}

/* From 19 on there is REPACK, and CONCURRENTLY takes one of so many replication slots. */
#if PG_VERSION_NUM >= 190000
#define MG_PG_HAS_REPACK true
#define mg_repack_slots() max_repack_replication_slots
#else
#define MG_PG_HAS_REPACK false
#define mg_repack_slots() 0
#endif

/* Any of these privileges on a table lets a role lock it in this mode.  See LOCK TABLE. */
static inline AclMode
mg_lock_privileges(LOCKMODE lockmode)
{
	AclMode any = ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE;

#if PG_VERSION_NUM >= 160000
#if PG_VERSION_NUM >= 170000
	any |= ACL_MAINTAIN;
#endif
	if (lockmode <= AccessShareLock)
		any |= ACL_SELECT;
	if (lockmode <= RowExclusiveLock)
		any |= ACL_INSERT;
	return any;
#else
	if (lockmode == AccessShareLock)
		return ACL_SELECT;
	return lockmode == RowExclusiveLock ? any | ACL_INSERT : any;
#endif
}

/* From 19 on, ALTER DOMAIN ... VALIDATE CONSTRAINT does nothing for a constraint that is valid. */
#define MG_PG_VALID_DOMAIN_IS_SKIPPED (PG_VERSION_NUM >= 190000)

/* May the current user maintain every table?  From 17 on there is a role for that. */
static inline bool
mg_may_maintain_all(void)
{
#if PG_VERSION_NUM >= 170000
	return has_privs_of_role(GetUserId(), ROLE_PG_MAINTAIN);
#else
	return false;
#endif
}

/* May the current user make things in the name of another role? */
static inline bool
mg_can_become(Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(GetUserId(), role);
#else
	return is_member_of_role(GetUserId(), role);
#endif
}

#if PG_VERSION_NUM >= 160000
#define MG_CANNOT_BECOME "must be able to SET ROLE \"%s\""
#else
#define MG_CANNOT_BECOME "must be member of role \"%s\""
#endif

/* From 19 on, CREATE SCHEMA makes the foreign keys of its tables when all tables are there. */
#if PG_VERSION_NUM >= 190000
#define MG_PG_SCHEMA_FKEYS_LAST true
#define MG_PG_SCHEMA_ELEMENTS_BY_PATH true
#else
#define MG_PG_SCHEMA_FKEYS_LAST false
#define MG_PG_SCHEMA_ELEMENTS_BY_PATH false
#endif

/* Options of VACUUM, besides those that ANALYZE has, too. */
#if PG_VERSION_NUM >= 160000
#define MG_VACUUM_OPTIONS                                                                      \
	"analyze", "freeze", "full", "disable_page_skipping", "index_cleanup", "process_main",     \
		"process_toast", "truncate", "parallel", "skip_database_stats", "only_database_stats", \
		"buffer_usage_limit"
#define MG_IS_ANALYZE_OPTION(name) (strcmp(name, "buffer_usage_limit") == 0)
#else
#define MG_VACUUM_OPTIONS                                                                   \
	"analyze", "freeze", "full", "disable_page_skipping", "index_cleanup", "process_toast", \
		"truncate", "parallel"
#define MG_IS_ANALYZE_OPTION(name) false
#endif

/* From 18 on, VACUUM and ANALYZE of a table without ONLY go on to its children. */
#if PG_VERSION_NUM >= 180000
#define MG_PG_VACUUM_DESCENDS true
#else
#define MG_PG_VACUUM_DESCENDS false
#endif

/* From 17 on, maintenance is a privilege of its own. */
#if PG_VERSION_NUM >= 170000
#define MG_PG_MAINTAIN true
#define mg_may_maintain(relid) (pg_class_aclcheck(relid, GetUserId(), ACL_MAINTAIN) == ACLCHECK_OK)
#else
#define MG_PG_MAINTAIN false
#define mg_may_maintain(relid) mg_owns(RelationRelationId, relid)
#endif

/* May the current user read what a plan reads?  Raises core's own error if not. */
static inline void
mg_check_plan_permissions(PlannedStmt *plan)
{
#if PG_VERSION_NUM >= 160000
	(void) ExecCheckPermissions(plan->rtable, plan->permInfos, true);
#else
	(void) ExecCheckRTPerms(plan->rtable, true);
#endif
}

/* The plan of a rewritten query. */
static inline PlannedStmt *
mg_planner(Query *query, const char *source, int options, ParamListInfo params)
{
#if PG_VERSION_NUM >= 190000
	return planner(query, source, options, params, NULL);
#else
	return planner(query, source, options, params);
#endif
}

/* NOT NULL has rows of its own in pg_constraint from 18 on. */
#ifndef CONSTRAINT_NOTNULL
#define CONSTRAINT_NOTNULL 'n'
#endif

/*
 * From 18 on, NOT NULL is a constraint with a row and a name of its own, which
 * may be NOT VALID or NO INHERIT.  The row of a column, a copy, or NULL.
 */
#define MG_PG_NOT_NULL_CONSTRAINTS (PG_VERSION_NUM >= 180000)
#if PG_VERSION_NUM >= 180000
#define mg_not_null_row(relid, attnum) findNotNullConstraintAttnum(relid, attnum)
#define mg_is_not_null_row(form) ((form)->contype == CONSTRAINT_NOTNULL)
#define mg_not_null_attnum(row) extractNotNullColumn(row)
#else
#define mg_not_null_row(relid, attnum) ((HeapTuple) NULL)
#define mg_is_not_null_row(form) false
#define mg_not_null_attnum(row) InvalidAttrNumber
#endif

/* From 18 on, CHECK constraints and foreign keys may be NOT ENFORCED: in the catalog, as written. */
#if PG_VERSION_NUM >= 180000
#define mg_row_enforced(form) ((form)->conenforced)
#define mg_clause_enforced(con) ((con)->is_enforced)
#else
#define mg_row_enforced(form) true
#define mg_clause_enforced(con) true
#endif

/* A clause of a new column may say that the constraint written before it is NOT ENFORCED. */
static inline void
mg_apply_not_enforced(const Constraint *clause, Constraint *con)
{
#if PG_VERSION_NUM >= 180000
	if (clause->contype == CONSTR_ATTR_NOT_ENFORCED && con)
	{
		con->is_enforced = false;
		con->skip_validation = true;
	}
#else
	(void) clause;
	(void) con;
#endif
}

/* Before 16, columns of children may be generated where the parent's are not, by the same expression
 * where they are. */
#define MG_PG_GENERATED_LIKE_PARENT (PG_VERSION_NUM >= 160000)

#define MG_PG_ENFORCED (PG_VERSION_NUM >= 180000)

/* What core says when a constraint of another kind is to be validated. */
#if PG_VERSION_NUM >= 180000
#define MG_CANNOT_VALIDATE "cannot validate constraint \"%s\" of relation \"%s\""
#else
#define MG_CANNOT_VALIDATE \
	"constraint \"%s\" of relation \"%s\" is not a foreign key or check constraint"
#endif

/* From 19 on, CHECK constraints can be made ENFORCED later, as foreign keys can from 18 on. */
#define MG_PG_ENFORCE_CHECK (PG_VERSION_NUM >= 190000)

/* What ALTER CONSTRAINT asks for. */
typedef struct MgConstraintChange
{
	const char *name;
	bool deferrability; /* the next two are asked for */
	bool deferrable;
	bool initdeferred;
	bool enforceability; /* the next one is */
	bool enforced;
	bool inheritability; /* the next one is */
	bool noinherit;
} MgConstraintChange;

static inline void
mg_constraint_change(Node *def, MgConstraintChange *change)
{
#if PG_VERSION_NUM >= 180000
	ATAlterConstraint *con = castNode(ATAlterConstraint, def);

	change->enforceability = con->alterEnforceability;
	change->enforced = con->is_enforced;
	change->deferrability = con->alterDeferrability;
	change->inheritability = con->alterInheritability;
	change->noinherit = con->noinherit;
#else
	Constraint *con = castNode(Constraint, def);

	change->enforceability = change->enforced = false;
	change->deferrability = true;
	change->inheritability = change->noinherit = false;
#endif
	change->name = con->conname;
	change->deferrable = con->deferrable;
	change->initdeferred = con->initdeferred;
}

/* From 18 on, columns can be generated when they are read, and that is what GENERATED means. */
#define MG_GENERATED_VIRTUAL 'v'
#if PG_VERSION_NUM >= 180000
#define mg_clause_virtual(con) ((con)->generated_kind == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define mg_clause_virtual(con) false
#endif

/* From 17 on, ALTER COLUMN ... SET EXPRESSION; from 19 on, also where CHECK constraints are. */
#if PG_VERSION_NUM >= 170000
#define MG_AT_SET_EXPRESSION AT_SetExpression
#endif
#if PG_VERSION_NUM >= 190000
#define mg_has_publications(relid) RelationHasPublication(relid)
#else
#define mg_has_publications(relid) (GetRelationPublications(relid) != NIL)
#endif
#define MG_PG_VIRTUAL_CHECKED_AGAIN (PG_VERSION_NUM >= 190000)

/* From 19 on, CREATE STATISTICS takes a virtual generated column for the expression behind it. */
#define MG_PG_STATISTICS_ON_VIRTUAL (PG_VERSION_NUM >= 190000)

/* In 18, ADD PRIMARY KEY of columns that are nullable locks all descendants in spite of ONLY. */
#define MG_PG_PRIMARY_KEY_LOCKS_ALL (PG_VERSION_NUM >= 180000 && PG_VERSION_NUM < 190000)

/* From 18 on, foreign keys of partitioned tables can be NOT VALID, and those of partitions that are
 * adopted are validated then. */
#define MG_PG_NOT_VALID_FKEY_OF_PARTITIONED (PG_VERSION_NUM >= 180000)

/* From 17 on, an index that stands in for a constraint's has to belong to one of the same type. */
#define MG_PG_SAME_CONSTRAINT_TYPE (PG_VERSION_NUM >= 170000)

/* PRIMARY KEY and UNIQUE with WITHOUT OVERLAPS, from 18 on. */
#if PG_VERSION_NUM >= 180000
#define mg_clause_without_overlaps(con) ((con)->without_overlaps)
#else
#define mg_clause_without_overlaps(con) false
#endif

/* The kinds of relations, as in pg_class.relkind, that some subcommands of ALTER TABLE are for. */
#if PG_VERSION_NUM >= 180000
#define MG_ATTACH_KINDS "pI"
#define MG_DETACH_KINDS "p"
#define MG_LOGGED_KINDS "rS"
#else
#define MG_ATTACH_KINDS "rpI"
#define MG_DETACH_KINDS "rp"
#define MG_LOGGED_KINDS "rpS"
#endif

#endif /* MG_COMPAT_H */
