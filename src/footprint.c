/*
 * footprint.c
 *
 * Owns the way from a statement to its footprint: the table that says which
 * function knows which statement, and the tools that all those functions
 * share.  Nothing here, nor in the functions called from here, waits for a
 * lock, keeps one, or raises an error of its own: what cannot be resolved is
 * recorded as a problem, and left to core to complain about.
 */
#include "mg.h"

#include "catalog/catalog.h"
#include "commands/dbcommands.h"
#include "commands/tablespace.h"
#include "tcop/cmdtag.h"
#include "utils/inval.h"
#include "utils/resowner.h"

typedef void (*MgFootprintFn)(MgFootprint *fp, Node *stmt);

bool mg_thorough = false;

/* Who knows what.  A statement that is not here is passed through untouched. */
static const MgFootprintFn mg_by_tag[] =
	{[T_AlterTableStmt] = mg_footprint_alter_table,
	 [T_IndexStmt] = mg_footprint_create_index,
	 [T_ReindexStmt] = mg_footprint_reindex,
	 [T_DropStmt] = mg_footprint_drop,
	 [T_RenameStmt] = mg_footprint_rename,
	 [T_AlterObjectDependsStmt] = mg_footprint_depends,
	 [T_AlterObjectSchemaStmt] = mg_footprint_move,
	 [T_AlterExtensionContentsStmt] = mg_footprint_extension_member,
	 [T_AlterOwnerStmt] = mg_footprint_owner,
	 [T_ReassignOwnedStmt] = mg_footprint_reassign_owned,
	 [T_DropOwnedStmt] = mg_footprint_drop_owned,
	 [T_AlterTableMoveAllStmt] = mg_footprint_move_all,
	 [MG_TAG_CLUSTER] = mg_footprint_cluster,
	 [T_VacuumStmt] = mg_footprint_vacuum,
	 [T_TruncateStmt] = mg_footprint_truncate,
	 [T_LockStmt] = mg_footprint_lock,
	 [T_RefreshMatViewStmt] = mg_footprint_refresh,
	 [T_CreateTableAsStmt] = mg_footprint_create_table_as,
	 [T_SelectStmt] = mg_footprint_select,
	 [T_ExplainStmt] = mg_footprint_explain,
	 [T_CreateSeqStmt] = mg_footprint_create_sequence,
	 [T_AlterSeqStmt] = mg_footprint_alter_sequence,
	 [T_CreateSchemaStmt] = mg_footprint_create_schema,
	 [T_CreateForeignTableStmt] = mg_footprint_create_foreign,
	 [T_ImportForeignSchemaStmt] = mg_footprint_import,
	 [T_CreateTrigStmt] = mg_footprint_create_trigger,
	 [T_RuleStmt] = mg_footprint_create_rule,
	 [T_ViewStmt] = mg_footprint_view,
	 [T_CreatePolicyStmt] = mg_footprint_create_policy,
	 [T_AlterPolicyStmt] = mg_footprint_alter_policy,
	 [T_CreateStatsStmt] = mg_footprint_create_statistics,
	 [T_CommentStmt] = mg_footprint_comment,
	 [T_SecLabelStmt] = mg_footprint_security_label,
	 [T_CreatePublicationStmt] = mg_footprint_create_publication,
	 [T_AlterPublicationStmt] = mg_footprint_alter_publication,
	 [T_CreateStmt] = mg_footprint_create_table,
	 [T_AlterDomainStmt] = mg_footprint_alter_domain,
	 [T_AlterEnumStmt] = mg_footprint_type,
	 [T_AlterTypeStmt] = mg_footprint_type,
	 [T_CompositeTypeStmt] = mg_footprint_type,
	 [T_CreateDomainStmt] = mg_footprint_type,
	 [T_CreateEnumStmt] = mg_footprint_type,
	 [T_CreateRangeStmt] = mg_footprint_type};

/* relid -> effect, so that trees of thousands of partitions stay linear */
typedef struct MgEffectSlot
{
	Oid relid;
	char status;
	MgEffect *effect;
} MgEffectSlot;

#define SH_PREFIX mgeff
#define SH_ELEMENT_TYPE MgEffectSlot
#define SH_KEY_TYPE Oid
#define SH_KEY relid
#define SH_HASH_KEY(tb, key) ((uint32) (key) *2654435761u)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#include "mg_simplehash.h"

/*
 * Does the guard have an analysis for this kind of statement?  The first
 * question of the hook, so it is one comparison and one load.
 */
bool
mg_is_covered(NodeTag tag)
{
	return (size_t) tag < lengthof(mg_by_tag) && mg_by_tag[tag] != NULL;
}

/* Why a relation is locked on which nothing else has been said. */
static const char *
mg_plain_reason(MgRole role)
{
	switch (role)
	{
		case MG_ROLE_TARGET:
			return "only the catalog changes, and no row is read or written";
		case MG_ROLE_CHILD:
			return "it follows its parent, and no row is read or written";
		case MG_ROLE_INDEX:
			return "the index follows its table";
		default:
			return "it is kept from other changes meanwhile";
	}
}

/* Every effect has a reason: what has not been given one gets a plain one. */
static void
mg_complete_reasons(MgFootprint *fp)
{
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);

		if (eff->relkind == RELKIND_FOREIGN_TABLE)
			mg_note(eff, "it is a foreign table: its rows are elsewhere, and their number is not "
						 "known here");
		else if (eff->reasons == NIL && eff->tasks == NIL)
			eff->reasons = list_make1(unconstify(char *, mg_plain_reason(eff->role)));
	}
}

/*
 * The footprint of a raw utility statement, allocated in the current memory
 * context.  The statement is only read.  script is NULL when the statement is
 * about to run, and what earlier statements have done when it is a dry run.
 */
MgFootprint *
mg_footprint(Node *stmt, const char *source, struct MgScript *script)
{
	MgFootprint *fp = palloc0(sizeof(MgFootprint));

	fp->stmt = stmt;
	fp->source = source ? source : "";
	fp->command = GetCommandTagName(CreateCommandTag(stmt));
	fp->script = script;
	fp->seen = SharedInvalidMessageCounter;
	fp->covered = mg_is_covered(nodeTag(stmt));
	if (fp->covered)
		mg_by_tag[nodeTag(stmt)](fp, stmt);
	mg_complete_reasons(fp);
	return fp;
}

/* The effect on a relation, or NULL if the statement does not reach it. */
MgEffect *
mg_effect_find(MgFootprint *fp, Oid relid)
{
	MgEffectSlot *slot;

	if (fp->index == NULL)
		return NULL;
	slot = mgeff_lookup(fp->index, relid);
	return slot ? slot->effect : NULL;
}

/*
 * Find or add the effect on a relation.  The strongest lock wins; the role is
 * that of the first mention.  reason (a sentence without period) is kept if
 * it was not said before.  An invalid relid (a table that only the script
 * knows) gives an effect that belongs to no list.
 */
MgEffect *
mg_effect(MgFootprint *fp, Oid relid, LOCKMODE lockmode, MgRole role, const char *reason)
{
	MgEffect *eff;
	MgEffectSlot *slot;
	bool found = false;

	if (fp->index == NULL)
		fp->index = mgeff_create(CurrentMemoryContext, 8, NULL);

	slot = OidIsValid(relid) ? mgeff_insert(fp->index, relid, &found) : NULL;
	if (found)
		eff = slot->effect;
	else
	{
		eff = palloc0(sizeof(MgEffect));
		eff->relid = relid;
		eff->role = role;
		if (slot)
		{
			eff->relkind = get_rel_relkind(relid);
			slot->effect = eff;
			fp->effects = lappend(fp->effects, eff);
		}
	}
	if (lockmode > eff->lockmode)
		eff->lockmode = lockmode;
	if (reason)
		mg_note(eff, "%s", reason);
	return eff;
}

/* psprintf() for functions that take a format themselves. */
char *
mg_vformat(const char *fmt, va_list args)
{
	size_t size = 128;

	for (;;)
	{
		char *text = palloc(size);
		va_list copy;
		size_t needed;

		va_copy(copy, args);
		needed = pvsnprintf(text, size, fmt, copy);
		va_end(copy);
		if (needed < size)
			return text;
		pfree(text);
		size = needed;
	}
}

/* Say something about an effect, once. */
void
mg_note(MgEffect *eff, const char *fmt, ...)
{
	va_list args;
	char *reason;
	ListCell *lc;

	va_start(args, fmt);
	reason = mg_vformat(fmt, args);
	va_end(args);
	foreach(lc, eff->reasons)
	{
		if (strcmp((char *) lfirst(lc), reason) == 0)
			return;
	}
	eff->reasons = lappend(eff->reasons, reason);
}

/* Add a piece of work to an effect; the caller fills in names and reason. */
MgTask *
mg_task(MgEffect *eff, MgWork work, MgCause cause, Node *node)
{
	MgTask *task = palloc0(sizeof(MgTask));

	task->work = work;
	task->cause = cause;
	task->node = node;
	eff->tasks = lappend(eff->tasks, task);
	return task;
}

/* Does the statement do this kind of work on the relation? */
bool
mg_has_work(const MgEffect *eff, MgWork work)
{
	ListCell *lc;

	foreach(lc, eff->tasks)
	{
		if (((MgTask *) lfirst(lc))->work == work)
			return true;
	}
	return false;
}

/* Record that core will refuse the statement; the first problem is kept. */
void
mg_problem(MgFootprint *fp, int sqlerrcode, const char *fmt, ...)
{
	va_list args;

	if (fp->problem)
		return;
	fp->problem = palloc0(sizeof(MgProblem));
	fp->problem->sqlerrcode = sqlerrcode;
	va_start(args, fmt);
	fp->problem->message = mg_vformat(fmt, args);
	va_end(args);
}

/*
 * May the current user look into the schema of rv?  Core's lookup would raise
 * the same error itself.
 */
bool
mg_check_schema(MgFootprint *fp, const RangeVar *rv)
{
	Oid nspid;

	if (rv->catalogname && strcmp(rv->catalogname, get_database_name(MyDatabaseId)) != 0)
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cross-database references are not implemented: \"%s.%s.%s\"", rv->catalogname,
				   rv->schemaname, rv->relname);
		return false;
	}
	if (rv->schemaname == NULL || strcmp(rv->schemaname, "pg_temp") == 0)
		return true;
	nspid = get_namespace_oid(rv->schemaname, true);
	if (OidIsValid(nspid) && !mg_allowed(NamespaceRelationId, nspid, ACL_USAGE))
	{
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for schema %s",
				   rv->schemaname);
		return false;
	}
	return true;
}

/* Is there such a schema?  In a dry run: after the statements so far. */
bool
mg_schema_exists(MgFootprint *fp, const char *name)
{
	if (fp->script)
		return mg_script_schema_exists(fp->script, name);
	return OidIsValid(get_namespace_oid(name, true));
}

/*
 * Resolve a name without locking, as RangeVarGetRelidExtended(NoLock) does.
 * See mg.h.
 */
Oid
mg_lookup_relation(MgFootprint *fp, const RangeVar *rv, bool missing_ok)
{
	Oid relid;

	if (fp->script && mg_script_creates(fp->script, rv))
	{
		fp->target_is_new = true;
		return InvalidOid;
	}
	if (fp->script && OidIsValid(relid = mg_script_renamed(fp->script, rv)))
		return relid;
	if (!mg_check_schema(fp, rv))
		return InvalidOid;

	relid = RangeVarGetRelidExtended(rv, NoLock, RVR_MISSING_OK, NULL, NULL);
	if (fp->script && OidIsValid(relid) && mg_script_gone(fp->script, relid))
		relid = InvalidOid;
	if (OidIsValid(relid) || missing_ok)
		return relid;

	if (rv->schemaname && !mg_schema_exists(fp, rv->schemaname))
		mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", rv->schemaname);
	else if (rv->schemaname)
		mg_problem(fp, ERRCODE_UNDEFINED_TABLE, "relation \"%s.%s\" does not exist", rv->schemaname,
				   rv->relname);
	else
		mg_problem(fp, ERRCODE_UNDEFINED_TABLE, "relation \"%s\" does not exist", rv->relname);
	return InvalidOid;
}

/* What core calls a relation of this kind when it refuses access. */
const char *
mg_relkind_name(char relkind)
{
	switch (relkind)
	{
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			return "index";
		case RELKIND_SEQUENCE:
			return "sequence";
		case RELKIND_VIEW:
			return "view";
		case RELKIND_MATVIEW:
			return "materialized view";
		case RELKIND_FOREIGN_TABLE:
			return "foreign table";
		case RELKIND_COMPOSITE_TYPE:
			return "type";
		default:
			return "table";
	}
}

/*
 * Ownership and system catalog checks that core makes before it waits for a
 * lock (RangeVarCallbackForAlterRelation and its like).
 */
bool
mg_check_owner(MgFootprint *fp, Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	if (form == NULL)
		return false;
	if (!mg_owns(RelationRelationId, relid))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of %s %s",
				   mg_relkind_name(form->relkind), NameStr(form->relname));
	else if (!allowSystemTableMods && IsSystemClass(relid, form))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE,
				   "permission denied: \"%s\" is a system catalog", NameStr(form->relname));
	else
		return true;
	return false;
}

/*
 * Has a role one of these privileges on a relation?  If not, records core's
 * own error.
 */
bool
mg_check_privilege(MgFootprint *fp, Oid relid, Oid userid, AclMode mask)
{
	if (pg_class_aclcheck(relid, userid, mask) == ACLCHECK_OK)
		return true;
	mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for %s %s",
			   mg_relkind_name(get_rel_relkind(relid)), get_rel_name(relid));
	return false;
}

/* Core's check of who may refresh, cluster or reindex a relation. */
bool
mg_check_maintain(MgFootprint *fp, Oid relid)
{
	if (mg_may_maintain(relid))
		return true;
	if (MG_PG_MAINTAIN)
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for %s %s",
				   mg_relkind_name(get_rel_relkind(relid)), get_rel_name(relid));
	else
		(void) mg_check_owner(fp, relid);
	return false;
}

/* Core's check of who may create a relation in a schema. */
bool
mg_check_create_in_schema(MgFootprint *fp, Oid nspid)
{
	if (isTempNamespace(nspid) || mg_allowed(NamespaceRelationId, nspid, ACL_CREATE))
		return true;
	mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for schema %s",
			   get_namespace_name(nspid));
	return false;
}

/* Core's check of who may put a relation into a tablespace; NULL: the default. */
bool
mg_check_create_in_tablespace(MgFootprint *fp, const char *name)
{
	Oid spcid = name ? get_tablespace_oid(name, true) : InvalidOid;

	if (!OidIsValid(spcid) || spcid == MyDatabaseTableSpace ||
		mg_allowed(TableSpaceRelationId, spcid, ACL_CREATE))
		return true;
	mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for tablespace %s", name);
	return false;
}

/* Schema-qualified and quoted; NULL if the relation is gone. */
const char *
mg_qualified_name(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		return NULL;
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

/* Quoted, and qualified only if search_path does not find it. */
const char *
mg_relation_name(Oid relid)
{
	char *name;

	if (!RelationIsVisible(relid))
		return mg_qualified_name(relid);
	name = get_rel_name(relid);
	return name ? quote_identifier(name) : NULL;
}

/*
 * A look at a relcache entry without waiting.  The lock is a conditional one
 * that never queues; mg_relation_close gives it back, because a guard that
 * kept it would make two concurrent ALTERs deadlock.
 */
Relation
mg_relation_open(Oid relid)
{
	Relation rel;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	rel = RelationIdGetRelation(relid);
	if (rel == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return rel;
}

void
mg_relation_close(Relation rel)
{
	Oid relid = RelationGetRelid(rel);

	RelationClose(rel);
	UnlockRelationOid(relid, AccessShareLock);
}

/*
 * Run fn(arg) in a subtransaction, the way procedural languages run a block
 * with an exception handler, and swallow what it raises: expressions are
 * analyzed by core's own functions, which raise for what the statement would
 * raise for too.  The subtransaction is rolled back in any case, so that every
 * lock is given back that those functions take and would keep; and none is
 * waited for, for lock_timeout is as short as it can be.  A cancel request is
 * never swallowed.
 */
bool
mg_attempt(MgAttemptFn fn, void *arg, MgProblem **problem)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int lock_timeout = LockTimeout;
	ErrorContextCallback *callers = error_context_stack;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	LockTimeout = 1;
	PG_TRY();
	{
		/* what is left of the context then comes from a function called in fn() */
		error_context_stack = NULL;
		fn(arg);
		error_context_stack = callers;
		LockTimeout = lock_timeout;
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		LockTimeout = lock_timeout;
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(edata);
		if (problem)
		{
			*problem = palloc0(sizeof(MgProblem));
			(*problem)->sqlerrcode = edata->sqlerrcode;
			(*problem)->message = edata->message;
			(*problem)->detail = edata->detail;
			(*problem)->hint = edata->hint;
			(*problem)->by_function = edata->context != NULL;
		}
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return ok;
}

/* A relation, followed by all its descendants if inh; nothing is locked. */
List *
mg_tree(Oid relid, bool inh)
{
	if (inh && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)) && has_subclass(relid))
		return find_all_inheritors(relid, NoLock, NULL);
	return list_make1_oid(relid);
}

/* Does an index stand behind a primary key? */
bool
mg_index_is_primary(Oid index)
{
	Form_pg_index form = mg_index_form(index);

	return form && form->indisprimary;
}

/* The other table of a foreign key, and all its partitions. */
void
mg_lock_referenced(MgFootprint *fp, Oid relid, LOCKMODE mode, const char *reason)
{
	ListCell *lc;

	foreach(lc, mg_tree(relid, get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE))
		mg_effect(fp, lfirst_oid(lc), mode, MG_ROLE_PEER, reason);
}
