/*
 * footprint_truncate.c
 *
 * Owns the footprints of statements that take locks on whole relations and
 * touch no row: TRUNCATE and LOCK TABLE.
 *
 * TRUNCATE gives tables new, empty files.  Nothing is read and nothing is
 * copied, however large the table was, so that is neither a rewrite nor an
 * index build here.
 */
#include "mg.h"

#include "catalog/dependency.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "rewrite/rewriteHandler.h"

/* ------------------------------------------------------------------------
 * TRUNCATE
 * ------------------------------------------------------------------------ */

/* A foreign key, as far as TRUNCATE looks at it. */
typedef struct MgTruncateKey
{
	Oid oid;
	Oid relid;
	Oid referenced;
	Oid parent; /* key of the partitioned table that it comes from, or InvalidOid */
} MgTruncateKey;

/* One TRUNCATE under examination. */
typedef struct MgTruncate
{
	MgFootprint *fp;
	TruncateStmt *stmt;
	List *relids; /* what is emptied so far */
	List *keys;   /* of MgTruncateKey: all foreign keys, once they are needed */
} MgTruncate;

/* Can a foreign table be emptied?  To be run in mg_attempt(). */
typedef struct MgForeignTruncate
{
	Oid relid;
	bool possible;
} MgForeignTruncate;

static void
mg_ask_foreign(void *arg)
{
	MgForeignTruncate *job = arg;
	FdwRoutine *routine = GetFdwRoutineByServerId(GetForeignServerIdByRelId(job->relid));

	job->possible = routine->ExecForeignTruncate != NULL;
}

/* Core's check on the kind of a relation.  Follows truncate_check_rel(). */
static bool
mg_truncate_kind(MgTruncate *cx, Oid relid)
{
	MgFootprint *fp = cx->fp;
	MgForeignTruncate foreign = {.relid = relid};
	Form_pg_class form = mg_class_form(relid);

	if (form == NULL)
		return false;
	if (form->relkind == RELKIND_FOREIGN_TABLE)
	{
		MgProblem *problem = NULL;

		if (!mg_attempt(mg_ask_foreign, &foreign, &problem))
			fp->problem = fp->problem ? fp->problem : problem;
		else if (!foreign.possible)
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED, "cannot truncate foreign table \"%s\"",
					   NameStr(form->relname));
	}
	else if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a table", NameStr(form->relname));
	if (!allowSystemTableMods && IsSystemClass(relid, form))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE,
				   "permission denied: \"%s\" is a system catalog", NameStr(form->relname));
	return fp->problem == NULL;
}

/* One relation to be emptied, and its indexes. */
static void
mg_truncate_relation(MgTruncate *cx, Oid relid, MgRole role, const char *why)
{
	MgEffect *eff = mg_effect(cx->fp, relid, AccessExclusiveLock, role, why);
	ListCell *lc;

	cx->relids = lappend_oid(cx->relids, relid);
	if (eff->relkind == RELKIND_PARTITIONED_TABLE)
		mg_note(eff, "its partitions are emptied");
	else if (eff->relkind == RELKIND_FOREIGN_TABLE)
		mg_note(eff, "the foreign server is asked to empty it");
	else
	{
		mg_note(eff, "it gets new, empty files, and no row is read");
		foreach(lc, mg_index_list(relid))
			mg_effect(cx->fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_INDEX,
					  "the index gets a new, empty file with its table");
	}
}

/* A relation that the statement names, and its descendants. */
static void
mg_truncate_named(MgTruncate *cx, const RangeVar *rv)
{
	MgFootprint *fp = cx->fp;
	Oid relid = mg_lookup_relation(fp, rv, false);
	ListCell *lc;

	if (!OidIsValid(relid))
		return;
	if (!OidIsValid(fp->target))
		fp->target = relid;
	if (!mg_truncate_kind(cx, relid) || !mg_check_privilege(fp, relid, GetUserId(), ACL_TRUNCATE) ||
		list_member_oid(cx->relids, relid))
		return;
	if (isOtherTempNamespace(get_rel_namespace(relid)))
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot truncate temporary tables of other sessions");
	else if (!rv->inh && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot truncate only a partitioned table");
		fp->problem->hint = "Do not specify the ONLY keyword, or use TRUNCATE ONLY on the "
							"partitions directly.";
	}
	foreach(lc, mg_tree(relid, rv->inh))
	{
		Oid child = lfirst_oid(lc);

		if (fp->problem || list_member_oid(cx->relids, child) ||
			isOtherTempNamespace(get_rel_namespace(child)))
			continue;
		if (child == relid || mg_truncate_kind(cx, child))
			mg_truncate_relation(cx, child, child == relid ? MG_ROLE_TARGET : MG_ROLE_CHILD, NULL);
	}
}

/* A foreign key, unless an earlier statement of a script has dropped it; arg: the MgTruncate. */
static bool
mg_load_key(HeapTuple row, void *arg)
{
	MgTruncate *cx = arg;
	MgScript *script = cx->fp->script;
	Form_pg_constraint form = mg_constraint_of(row);
	MgTruncateKey *key;

	if (form->contype != CONSTRAINT_FOREIGN ||
		(script &&
		 (list_member_oid(script->dropped, form->oid) || mg_script_gone(script, form->conrelid))))
		return true;
	key = palloc(sizeof(MgTruncateKey));
	key->oid = form->oid;
	key->relid = form->conrelid;
	key->referenced = form->confrelid;
	key->parent = form->conparentid;
	cx->keys = lappend(cx->keys, key);
	return true;
}

/* All foreign keys, those included that earlier statements of a script add. */
static void
mg_load_keys(MgTruncate *cx)
{
	MgScript *script = cx->fp->script;
	ListCell *lc;

	mg_each_row(ConstraintRelationId, InvalidOid, 0, NULL, mg_load_key, cx);
	foreach(lc, script ? script->constraints : NIL)
	{
		MgScriptConstraint *added = lfirst(lc);
		MgTruncateKey *key;
		Oid referenced;

		if (added->constraint->contype != CONSTR_FOREIGN || added->constraint->pktable == NULL)
			continue;
		referenced = RangeVarGetRelid(added->constraint->pktable, NoLock, true);
		if (!OidIsValid(referenced))
			continue;
		key = palloc0(sizeof(MgTruncateKey));
		key->relid = added->relid;
		key->referenced = referenced;
		cx->keys = lappend(cx->keys, key);
	}
}

/* The key that a partition's key comes from in the end. */
static MgTruncateKey *
mg_root_key(List *keys, MgTruncateKey *key)
{
	MgTruncateKey *root = key;
	ListCell *lc;

	foreach(lc, keys)
	{
		MgTruncateKey *parent = lfirst(lc);

		if (OidIsValid(key->parent) && parent->oid == key->parent)
			root = mg_root_key(keys, parent);
	}
	return root;
}

/*
 * Relations with foreign keys to any of the given ones that are not among
 * them, in the order of their OIDs.  A partition is referenced by whoever
 * references its partitioned table.  Follows heap_truncate_find_FKs().
 */
static List *
mg_referencing(List *keys, List *relids)
{
	List *wanted = list_copy(relids);
	List *result;
	bool grown;

	do
	{
		ListCell *lc;

		grown = false;
		result = NIL;
		foreach(lc, keys)
		{
			MgTruncateKey *key = lfirst(lc);
			MgTruncateKey *root;

			if (!list_member_oid(wanted, key->referenced))
				continue;
			if (!list_member_oid(relids, key->relid))
				result = list_append_unique_oid(result, key->relid);
			root = mg_root_key(keys, key);
			if (!list_member_oid(wanted, root->referenced))
			{
				wanted = lappend_oid(wanted, root->referenced);
				grown = true;
			}
		}
	} while (grown);
	list_sort(result, list_oid_cmp);
	return result;
}

/* CASCADE: who references what is emptied is emptied as well. */
static void
mg_truncate_cascade(MgTruncate *cx)
{
	List *more;

	while (cx->fp->problem == NULL && (more = mg_referencing(cx->keys, cx->relids)) != NIL)
	{
		ListCell *lc;

		foreach(lc, more)
		{
			if (!mg_truncate_kind(cx, lfirst_oid(lc)) ||
				!mg_check_privilege(cx->fp, lfirst_oid(lc), GetUserId(), ACL_TRUNCATE))
				return;
			mg_truncate_relation(cx, lfirst_oid(lc), MG_ROLE_PEER,
								 "it is reached by CASCADE, because of its foreign key");
		}
	}
}

/* RESTRICT: core refuses if somebody else references what is emptied. */
static void
mg_truncate_restrict(MgTruncate *cx)
{
	ListCell *lc;

	foreach(lc, cx->relids)
	{
		List *others = mg_referencing(cx->keys, list_make1_oid(lfirst_oid(lc)));
		ListCell *lc2;

		foreach(lc2, others)
		{
			const char *other = get_rel_name(lfirst_oid(lc2));

			if (cx->fp->problem || list_member_oid(cx->relids, lfirst_oid(lc2)))
				continue;
			mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "cannot truncate a table referenced in a foreign key constraint");
			cx->fp->problem->detail = psprintf("Table \"%s\" references \"%s\".", other,
											   get_rel_name(lfirst_oid(lc)));
			cx->fp->problem->hint = psprintf("Truncate table \"%s\" at the same time, or use "
											 "TRUNCATE ... CASCADE.",
											 other);
		}
	}
}

/* RESTART IDENTITY: the sequences that belong to the tables' columns. */
static void
mg_truncate_sequences(MgTruncate *cx)
{
	ListCell *lc;

	foreach(lc, cx->relids)
	{
		ListCell *lc2;

		foreach(lc2, getOwnedSequences(lfirst_oid(lc)))
		{
			if (!mg_owns(RelationRelationId, lfirst_oid(lc2)))
			{
				(void) mg_check_owner(cx->fp, lfirst_oid(lc2));
				return;
			}
			mg_effect(cx->fp, lfirst_oid(lc2), AccessExclusiveLock, MG_ROLE_OTHER,
					  "RESTART IDENTITY: the sequence begins anew");
		}
	}
}

/* Can there be foreign keys at all?  They come with triggers, but on partitioned tables. */
static bool
mg_may_be_referenced(List *relids)
{
	ListCell *lc;

	foreach(lc, relids)
	{
		Form_pg_class form = mg_class_form(lfirst_oid(lc));

		if (form && (form->relhastriggers || form->relkind == RELKIND_PARTITIONED_TABLE))
			return true;
	}
	return false;
}

/* TRUNCATE.  stmt: a TruncateStmt.  Follows ExecuteTruncate() of tablecmds.c. */
void
mg_footprint_truncate(MgFootprint *fp, Node *node)
{
	MgTruncate cx = {.fp = fp, .stmt = castNode(TruncateStmt, node)};
	ListCell *lc;

	foreach(lc, cx.stmt->relations)
	{
		mg_truncate_named(&cx, lfirst_node(RangeVar, lc));
		if (fp->problem)
			return;
	}
	if (mg_may_be_referenced(cx.relids) || (fp->script && fp->script->constraints != NIL))
	{
		mg_load_keys(&cx);
		if (cx.stmt->behavior == DROP_CASCADE)
			mg_truncate_cascade(&cx);
		else
			mg_truncate_restrict(&cx);
	}
	if (cx.stmt->restart_seqs && fp->problem == NULL)
		mg_truncate_sequences(&cx);
}

/* ------------------------------------------------------------------------
 * LOCK TABLE
 * ------------------------------------------------------------------------ */

/* One view under LOCK TABLE. */
typedef struct MgLockView
{
	MgFootprint *fp;
	LOCKMODE lockmode;
	Oid viewid;
	Oid userid;      /* whose rights count */
	List *ancestors; /* OIDs of views, this one included */
} MgLockView;

static void mg_lock_view(MgFootprint *fp, LOCKMODE lockmode, Oid viewid, List *ancestors);

static bool
mg_is_lockable(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE ||
		   relkind == RELKIND_VIEW;
}

/* A table with its descendants. */
static void
mg_lock_tree(MgFootprint *fp, LOCKMODE lockmode, Oid relid, bool inh, MgRole role,
			 const char *reason)
{
	ListCell *lc;

	foreach(lc, mg_tree(relid, inh))
		mg_effect(fp, lfirst_oid(lc), lockmode, lfirst_oid(lc) == relid ? role : MG_ROLE_CHILD,
				  lfirst_oid(lc) == relid ? reason : "it is locked along with its parent");
}

/* One relation of a view's query. */
static void
mg_lock_viewed(MgLockView *cx, RangeTblEntry *rte)
{
	const char *reason = psprintf("it is locked because view \"%s\" reads it",
								  get_rel_name(cx->viewid));

	if (rte->relid == cx->viewid &&
		(strcmp(rte->eref->aliasname, "old") == 0 || strcmp(rte->eref->aliasname, "new") == 0))
		return;
	if (!mg_is_lockable(rte->relkind) || list_member_oid(cx->ancestors, rte->relid))
		return;
	if (!mg_check_privilege(cx->fp, rte->relid, cx->userid, mg_lock_privileges(cx->lockmode)))
		return;
	if (rte->relkind == RELKIND_VIEW)
	{
		mg_effect(cx->fp, rte->relid, cx->lockmode, MG_ROLE_OTHER, reason);
		mg_lock_view(cx->fp, cx->lockmode, rte->relid, cx->ancestors);
	}
	else
		mg_lock_tree(cx->fp, cx->lockmode, rte->relid, rte->inh, MG_ROLE_OTHER, reason);
}

static bool
mg_lock_view_walker(Node *node, void *context)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, mg_lock_view_walker, context);
	foreach(lc, ((Query *) node)->rtable)
		mg_lock_viewed(context, lfirst_node(RangeTblEntry, lc));
	return query_tree_walker((Query *) node, mg_lock_view_walker, context, QTW_IGNORE_JOINALIASES);
}

/* Everything that a view reads.  Follows LockViewRecurse(). */
static void
mg_lock_view(MgFootprint *fp, LOCKMODE lockmode, Oid viewid, List *ancestors)
{
	MgLockView cx = {.fp = fp, .lockmode = lockmode, .viewid = viewid};
	Relation view = mg_relation_open(viewid);
	Query *query;

	if (view == NULL)
	{
		mg_note(mg_effect(fp, viewid, lockmode, MG_ROLE_OTHER, NULL),
				"somebody is changing the view, so what it reads cannot be told");
		return;
	}
	query = copyObject(get_view_query(view));
	cx.userid = RelationHasSecurityInvoker(view) ? GetUserId() : view->rd_rel->relowner;
	mg_relation_close(view);
	cx.ancestors = lappend_oid(list_copy(ancestors), viewid);
	(void) mg_lock_view_walker((Node *) query, &cx);
}

/* LOCK TABLE.  stmt: a LockStmt.  Follows LockTableCommand() of lockcmds.c. */
void
mg_footprint_lock(MgFootprint *fp, Node *node)
{
	LockStmt *stmt = castNode(LockStmt, node);
	ListCell *lc;

	if (fp->script && !fp->script->in_block)
	{
		mg_problem(fp, ERRCODE_NO_ACTIVE_SQL_TRANSACTION,
				   "LOCK TABLE can only be used in transaction blocks");
		fp->problem->hint = "Write it between BEGIN and COMMIT.";
		return;
	}
	foreach(lc, stmt->relations)
	{
		RangeVar *rv = lfirst_node(RangeVar, lc);
		Oid relid = mg_lookup_relation(fp, rv, false);
		char relkind;

		if (fp->problem)
			return;
		if (!OidIsValid(relid))
			continue;
		if (!OidIsValid(fp->target))
			fp->target = relid;
		relkind = get_rel_relkind(relid);
		if (!mg_is_lockable(relkind))
		{
			mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot lock relation \"%s\"", rv->relname);
			fp->problem->detail = mg_relkind_unsupported(relkind);
			return;
		}
		if (!mg_check_privilege(fp, relid, GetUserId(), mg_lock_privileges(stmt->mode)))
			return;
		mg_lock_tree(fp, stmt->mode, relid, relkind != RELKIND_VIEW && rv->inh, MG_ROLE_TARGET,
					 "only the lock is taken, and no row is read or written");
		if (relkind == RELKIND_VIEW)
			mg_lock_view(fp, stmt->mode, relid, NIL);
	}
}
