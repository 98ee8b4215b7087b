/*
 * footprint_index.c
 *
 * Owns the footprint of CREATE INDEX.  Follows the case T_IndexStmt of
 * ProcessUtilitySlow() and DefineIndex() of indexcmds.c.
 */
#include "indexmatch.h"

/* One CREATE INDEX under examination. */
typedef struct MgCreateIndex
{
	MgFootprint *fp;
	IndexStmt *stmt;
	MgIndexShape *shape; /* partitioned tables: what a partition's own index has to be like */
	LOCKMODE lockmode;
	bool concurrent;
} MgCreateIndex;

/* Core's errdetail for a relation of the wrong kind. */
char *
mg_relkind_unsupported(char relkind)
{
	const char *kind;

	switch (relkind)
	{
		case RELKIND_INDEX:
			kind = "indexes";
			break;
		case RELKIND_PARTITIONED_INDEX:
			kind = "partitioned indexes";
			break;
		case RELKIND_SEQUENCE:
			kind = "sequences";
			break;
		case RELKIND_TOASTVALUE:
			kind = "TOAST tables";
			break;
		case RELKIND_VIEW:
			kind = "views";
			break;
		case RELKIND_MATVIEW:
			kind = "materialized views";
			break;
		case RELKIND_COMPOSITE_TYPE:
			kind = "composite types";
			break;
		case RELKIND_FOREIGN_TABLE:
			kind = "foreign tables";
			break;
		case RELKIND_PARTITIONED_TABLE:
			kind = "partitioned tables";
			break;
		default:
			kind = "tables";
			break;
	}
	return psprintf("This operation is not supported for %s.", kind);
}

/* Is the index known as unfinished?  False as well if it is gone or no index. */
static bool
mg_index_is_invalid(Oid index)
{
	Form_pg_index form = mg_index_form(index);

	return form && !form->indisvalid;
}

/* The new index on one table that has storage. */
static void
mg_build_index(MgCreateIndex *cx, MgEffect *eff)
{
	MgTask *task = mg_task(eff, MG_WORK_BUILD, MG_CAUSE_CREATE_INDEX, (Node *) cx->stmt);

	if (cx->concurrent)
	{
		task->reason = "the index build scans the table twice under ShareUpdateExclusiveLock";
		mg_note(eff, "the index build waits for transactions that write to the table "
					 "and for older snapshots");
	}
	else
		task->reason = psprintf("the index build scans the table under %s",
								GetLockmodeName(DEFAULT_LOCKMETHOD, cx->lockmode));
}

/* An index of the partition that becomes a partition of the new one; or InvalidOid. */
static Oid
mg_fitting_index(MgCreateIndex *cx, Oid relid)
{
	ListCell *lc;

	foreach(lc, mg_index_list(relid))
	{
		if (mg_index_has_shape(lfirst_oid(lc), relid, cx->shape))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* The partitions of one partitioned table: each gets an index, or has one that fits. */
static void
mg_build_on_partitions(MgCreateIndex *cx, Oid parent)
{
	ListCell *lc;

	foreach(lc, find_inheritance_children(parent, NoLock))
	{
		Oid relid = lfirst_oid(lc);
		MgEffect *eff = mg_effect(cx->fp, relid, cx->lockmode, MG_ROLE_CHILD, NULL);
		Oid index;

		if (eff->relkind == RELKIND_FOREIGN_TABLE)
		{
			mg_note(eff, "foreign tables get no index");
			continue;
		}
		index = mg_fitting_index(cx, relid);
		if (OidIsValid(index))
		{
			mg_note(eff, "its index \"%s\" fits, so none is built", get_rel_name(index));
			mg_effect(cx->fp, index, cx->lockmode, MG_ROLE_INDEX,
					  "it becomes a partition of the new index");
		}
		else if (eff->relkind == RELKIND_PARTITIONED_TABLE)
		{
			mg_note(eff, "the index is created on each of its partitions");
			mg_build_on_partitions(cx, relid);
		}
		else
			mg_build_index(cx, eff);
	}
}

/* The locks on a partitioned table and its partitions, taken before anything is looked at. */
static bool
mg_lock_partitions(MgCreateIndex *cx, Oid relid)
{
	ListCell *lc;

	foreach(lc, mg_tree(relid, true))
	{
		MgEffect *eff = mg_effect(cx->fp, lfirst_oid(lc), cx->lockmode, MG_ROLE_CHILD,
								  lfirst_oid(lc) == relid
									  ? NULL
									  : "it is locked along with its partitioned table");

		if (eff->relkind == RELKIND_FOREIGN_TABLE && (cx->stmt->unique || cx->stmt->primary))
		{
			mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
					   "cannot create unique index on partitioned table \"%s\"",
					   cx->stmt->relation->relname);
			cx->fp->problem->detail =
				psprintf("Table \"%s\" contains partitions that are foreign tables.",
						 cx->stmt->relation->relname);
			return false;
		}
	}
	return true;
}

/* Does an expression mention a generated column of which nothing is stored? */
static bool
mg_virtual_in(Node *node, Oid *relid)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		Node *last = llast(castNode(ColumnRef, node)->fields);

		return IsA(last, String) && mg_is_virtual(*relid, strVal(last));
	}
	return raw_expression_tree_walker(node, mg_virtual_in, relid);
}

static void
mg_index_of_virtual(MgCreateIndex *cx)
{
	mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "indexes on virtual generated columns are not supported");
}

/* Are the columns there?  Unknown ones are core's error, unless a script may add them. */
static bool
mg_index_columns_exist(MgCreateIndex *cx, Oid relid)
{
	ListCell *lc;

	if (cx->fp->script && mg_script_alters(cx->fp->script, relid))
		return true;
	foreach(lc, list_concat_copy(cx->stmt->indexParams, cx->stmt->indexIncludingParams))
	{
		IndexElem *elem = lfirst_node(IndexElem, lc);
		HeapTuple tuple;

		if (elem->name == NULL)
			continue;
		tuple = SearchSysCacheAttName(relid, elem->name);
		if (!HeapTupleIsValid(tuple))
		{
			mg_problem(cx->fp, ERRCODE_UNDEFINED_COLUMN, "column \"%s\" does not exist",
					   elem->name);
			return false;
		}
		ReleaseSysCache(tuple);
		if (mg_is_virtual(relid, elem->name))
		{
			mg_index_of_virtual(cx);
			return false;
		}
	}
	if (mg_virtual_in(cx->stmt->whereClause, &relid) ||
		mg_virtual_in((Node *) cx->stmt->indexParams, &relid))
	{
		mg_index_of_virtual(cx);
		return false;
	}
	return true;
}

/*
 * Is the name taken?  Then core refuses, or skips with IF NOT EXISTS, after it
 * has taken its locks.
 */
static bool
mg_index_name_taken(MgCreateIndex *cx, MgEffect *target)
{
	MgFootprint *fp = cx->fp;
	IndexStmt *stmt = cx->stmt;
	Oid nspid = get_rel_namespace(target->relid);
	Oid existing;
	bool earlier = false; /* made by an earlier statement of the script */
	MgEffect *eff;
	MgTask *task;

	if (stmt->idxname == NULL)
		return false;
	existing = get_relname_relid(stmt->idxname, nspid);
	if (fp->script)
	{
		if (mg_script_creates(fp->script,
							  makeRangeVar(get_namespace_name(nspid), stmt->idxname, -1)))
			earlier = true;
		else if (mg_script_gone(fp->script, existing))
			existing = InvalidOid;
	}
	if (!OidIsValid(existing) && !earlier)
		return false;
	if (!stmt->if_not_exists)
	{
		mg_problem(fp, ERRCODE_DUPLICATE_TABLE, "relation \"%s\" already exists", stmt->idxname);
		return true;
	}

	mg_note(target, "the lock is taken, although \"%s\" exists already and nothing is built",
			stmt->idxname);
	if (!earlier && mg_index_is_invalid(existing))
	{
		eff = mg_effect(fp, existing, NoLock, MG_ROLE_INDEX, NULL);
		task = mg_task(eff, MG_WORK_NONE, MG_CAUSE_INVALID_INDEX, (Node *) stmt);
		task->reason = psprintf("index \"%s\" exists already but is invalid, and is left so",
								stmt->idxname);
	}
	return true;
}

/* Can a relation of this kind have indexes? */
static bool
mg_indexable(MgCreateIndex *cx, Oid relid, char relkind)
{
	MgFootprint *fp = cx->fp;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW &&
		relkind != RELKIND_PARTITIONED_TABLE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot create index on relation \"%s\"",
				   get_rel_name(relid));
		fp->problem->detail = mg_relkind_unsupported(relkind);
		return false;
	}
	if (relkind == RELKIND_PARTITIONED_TABLE && cx->stmt->concurrent)
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot create index on partitioned table \"%s\" concurrently",
				   get_rel_name(relid));
		return false;
	}
	return true;
}

/*
 * CREATE INDEX.  stmt: a raw IndexStmt.  CONCURRENTLY is ignored on temporary
 * tables, as core does.
 */
void
mg_footprint_create_index(MgFootprint *fp, Node *stmt)
{
	MgCreateIndex cx = {.fp = fp, .stmt = castNode(IndexStmt, stmt)};
	Oid relid;
	char relkind;
	MgEffect *eff;

	if (cx.stmt->relation == NULL)
		return;
	relid = mg_lookup_relation(fp, cx.stmt->relation, false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	relkind = get_rel_relkind(relid);
	if (!mg_check_owner(fp, relid) || !mg_indexable(&cx, relid, relkind) ||
		!mg_check_create_in_schema(fp, get_rel_namespace(relid)) ||
		!mg_check_create_in_tablespace(fp, cx.stmt->tableSpace))
		return;

	cx.concurrent = cx.stmt->concurrent && get_rel_persistence(relid) != RELPERSISTENCE_TEMP;
	cx.lockmode = cx.concurrent ? ShareUpdateExclusiveLock : ShareLock;
	fp->concurrent = cx.concurrent;

	eff = mg_effect(fp, relid, cx.lockmode, MG_ROLE_TARGET, NULL);
	if (relkind == RELKIND_PARTITIONED_TABLE && cx.stmt->relation->inh &&
		!mg_lock_partitions(&cx, relid))
		return;
	if (!mg_index_columns_exist(&cx, relid) || mg_index_name_taken(&cx, eff))
		return;

	if (relkind != RELKIND_PARTITIONED_TABLE)
		mg_build_index(&cx, eff);
	else if (!cx.stmt->relation->inh)
		mg_note(eff, "ONLY: an index without any on the partitions is created, nothing is built");
	else
	{
		mg_note(eff, "the index is created on each of its partitions");
		cx.shape = mg_index_shape_of_stmt(cx.stmt, relid, fp->source);
		mg_build_on_partitions(&cx, relid);
	}
}
