/*
 * footprint_storage.c
 *
 * Owns the footprints of statements that reorganize the files of tables as
 * they are: CLUSTER, and ALTER TABLE, INDEX or MATERIALIZED VIEW ALL IN
 * TABLESPACE; and of what they share with VACUUM FULL.
 */
#include "mg.h"

#include "access/amapi.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "commands/tablespace.h"

/* The table is written anew, then its indexes.  As rebuild_relation() of cluster.c. */
void
mg_rewrite_table(MgFootprint *fp, MgEffect *eff, MgCause cause, Node *node, const char *reason)
{
	MgTask *task;
	ListCell *lc;

	if (eff->relkind == RELKIND_MATVIEW && !mg_is_populated(eff->relid))
	{
		mg_note(eff, "it has not been populated, so there is nothing to do");
		return;
	}

	task = mg_task(eff, MG_WORK_REWRITE, cause, node);
	task->reason = reason;
	foreach(lc, mg_index_list(eff->relid))
	{
		mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_INDEX,
				  "the index is built anew with its table");
		task = mg_task(eff, MG_WORK_BUILD, cause, node);
		task->index = lfirst_oid(lc);
	}
}

/* ------------------------------------------------------------------------
 * CLUSTER
 * ------------------------------------------------------------------------ */

/* The table is written anew in the order of an index. */
void
mg_set_order(MgEffect *eff, Oid index)
{
	ListCell *lc;

	foreach(lc, eff->tasks)
	{
		MgTask *task = lfirst(lc);

		if (task->work == MG_WORK_REWRITE)
			task->index = index;
	}
}

/* Core's words for an index that a table cannot be clustered on, or NULL. */
static const char *
mg_cluster_obstacle(Oid relid, Oid index, int *code)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	const IndexAmRoutine *am;
	const char *obstacle = NULL;
	bool isnull;

	*code = ERRCODE_WRONG_OBJECT_TYPE;
	if (!HeapTupleIsValid(tuple))
		return psprintf("\"%s\" is not an index for table \"%s\"", get_rel_name(index),
						get_rel_name(relid));
	am = GetIndexAmRoutineByAmId(mg_index_method(index), true);

	if (((Form_pg_index) GETSTRUCT(tuple))->indrelid != relid)
		obstacle = psprintf("\"%s\" is not an index for table \"%s\"", get_rel_name(index),
							get_rel_name(relid));
	else
	{
		*code = ERRCODE_FEATURE_NOT_SUPPORTED;
		(void) SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indpred, &isnull);
		if (am == NULL || !am->amclusterable)
			obstacle = psprintf("cannot cluster on index \"%s\" because access method does not "
								"support clustering",
								get_rel_name(index));
		else if (!isnull)
			obstacle = psprintf("cannot cluster on partial index \"%s\"", get_rel_name(index));
		else if (!((Form_pg_index) GETSTRUCT(tuple))->indisvalid)
			obstacle = psprintf("cannot cluster on invalid index \"%s\"", get_rel_name(index));
	}
	ReleaseSysCache(tuple);
	return obstacle;
}

/* The index that the table was last clustered on; InvalidOid if none. */
Oid
mg_clustered_index(Oid relid)
{
	ListCell *lc;

	foreach(lc, mg_index_forms(relid))
	{
		Form_pg_index form = lfirst(lc);

		if (form->indisclustered)
			return form->indexrelid;
	}
	return InvalidOid;
}

/* CLUSTER of one table. */
static void
mg_cluster_table(MgFootprint *fp, MgClusterRequest *request, Oid relid, Oid index, MgRole role)
{
	MgEffect *eff = mg_effect(fp, relid, AccessExclusiveLock, role, NULL);

	mg_effect(fp, index, AccessExclusiveLock, MG_ROLE_INDEX, "it gives the order of the rows");
	mg_rewrite_table(fp, eff, MG_CAUSE_CLUSTER, request->node,
					 psprintf("the table is written anew in the order of index \"%s\"",
							  get_rel_name(index)));
	mg_set_order(eff, index);
}

/* The leaves of a partitioned table, each in a transaction of its own. */
static void
mg_cluster_partitions(MgFootprint *fp, MgClusterRequest *request, Oid relid, Oid index)
{
	ListCell *lc;

	mg_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
			  "it is locked for a moment, to list the partitions");
	if (MG_PG_HAS_REPACK)
		mg_effect(fp, index, AccessExclusiveLock, MG_ROLE_INDEX,
				  "it is locked for a moment, to list the indexes of the partitions");
	foreach(lc, mg_tree(index, true))
	{
		Oid leaf_index = lfirst_oid(lc);
		Oid leaf;

		if (get_rel_relkind(leaf_index) != RELKIND_INDEX)
			continue;
		leaf = IndexGetRelation(leaf_index, true);
		/* the database's owner is let through here, and stopped when it comes to the table */
		if (mg_may_maintain(leaf))
			mg_cluster_table(fp, request, leaf, leaf_index, MG_ROLE_CHILD);
		else if (!MG_PG_MAINTAIN && mg_owns(DatabaseRelationId, MyDatabaseId))
			mg_effect(fp, leaf, AccessExclusiveLock, MG_ROLE_CHILD,
					  "it is locked for a moment, then skipped: it belongs to somebody else");
	}
}

/* An index whose table is marked as clustered on it and the user's to maintain; arg: a List. */
static bool
mg_keep_clustered(HeapTuple row, void *arg)
{
	List **indexes = arg;
	Form_pg_index form = (Form_pg_index) GETSTRUCT(row);

	if (form->indisclustered && mg_may_maintain(form->indrelid))
		*indexes = lappend_oid(*indexes, form->indexrelid);
	return true;
}

/* Every table of the database for which there is such an index. */
static void
mg_cluster_all(MgFootprint *fp, MgClusterRequest *request)
{
	List *indexes = NIL;
	ListCell *lc;

	mg_each_row(IndexRelationId, InvalidOid, 0, NULL, mg_keep_clustered, &indexes);
	foreach(lc, indexes)
	{
		Oid relid = IndexGetRelation(lfirst_oid(lc), true);

		if (OidIsValid(relid))
			mg_cluster_table(fp, request, relid, lfirst_oid(lc), MG_ROLE_TARGET);
	}
}

/* Core's checks on a table that CLUSTER or REPACK names. */
bool
mg_cluster_permitted(MgFootprint *fp, Oid relid, char relkind, const char *name)
{
	if (relkind != RELKIND_RELATION && relkind != RELKIND_TOASTVALUE &&
		relkind != RELKIND_MATVIEW && relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a table or materialized view",
				   name);
	else
		(void) mg_check_maintain(fp, relid);
	return fp->problem == NULL;
}

/* No such index: core refuses, unless an earlier statement of a script makes it. */
static void
mg_cluster_no_index(MgFootprint *fp, MgClusterRequest *request, Oid relid)
{
	if (fp->script && (fp->script->names != NIL || mg_script_alters(fp->script, relid)))
		mg_rewrite_table(fp, mg_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET, NULL),
						 request->repack ? MG_CAUSE_REPACK : MG_CAUSE_CLUSTER, request->node,
						 "the table is written anew in the order of the index");
	else if (request->indexname)
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "index \"%s\" for table \"%s\" does not exist",
				   request->indexname, request->relation->relname);
	else
		mg_problem(fp,
				   MG_PG_HAS_REPACK && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE
					   ? ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
					   : ERRCODE_UNDEFINED_OBJECT,
				   "there is no previously clustered index for table \"%s\"",
				   request->relation->relname);
}

/* The index that gives the order of the rows.  InvalidOid: none that does, and that is dealt with. */
Oid
mg_cluster_index(MgFootprint *fp, MgClusterRequest *request, Oid relid)
{
	Oid index = request->indexname ? get_relname_relid(request->indexname, get_rel_namespace(relid))
								   : mg_clustered_index(relid);
	const char *obstacle;
	int code;

	if (!OidIsValid(index))
	{
		mg_cluster_no_index(fp, request, relid);
		return InvalidOid;
	}
	obstacle = mg_cluster_obstacle(relid, index, &code);
	if (obstacle == NULL)
		return index;
	mg_problem(fp, code, "%s", obstacle);
	return InvalidOid;
}

/*
 * CLUSTER, and REPACK.  node: a ClusterStmt, from 19 on a RepackStmt.  Follows
 * cluster() of cluster.c.
 */
void
mg_footprint_cluster(MgFootprint *fp, Node *node)
{
	MgClusterRequest cluster;
	MgClusterRequest *request = &cluster;
	Oid relid;
	Oid index;
	char relkind;

	mg_cluster_request(node, request);
	if (request->repack)
	{
		mg_footprint_repack(fp, request);
		return;
	}
	if (!mg_cluster_options(fp, request))
		return;
	if (request->relation == NULL)
	{
		fp->no_block = true;
		mg_cluster_all(fp, request);
		return;
	}
	relid = mg_lookup_relation(fp, request->relation, false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	relkind = get_rel_relkind(relid);
	if (!mg_cluster_permitted(fp, relid, relkind, request->relation->relname))
		return;

	index = mg_cluster_index(fp, request, relid);
	if (!OidIsValid(index))
		return;
	if (relkind == RELKIND_PARTITIONED_TABLE)
	{
		fp->no_block = true;
		mg_cluster_partitions(fp, request, relid, index);
	}
	else
		mg_cluster_table(fp, request, relid, index, MG_ROLE_TARGET);
}

/* ------------------------------------------------------------------------
 * ALL IN TABLESPACE
 * ------------------------------------------------------------------------ */

typedef struct MgMoveAll
{
	AlterTableMoveAllStmt *stmt;
	Oid from;
	List *roles;
} MgMoveAll;

/* Is this relation to be moved? */
static bool
mg_move_selects(Form_pg_class form, void *arg)
{
	MgMoveAll *cx = arg;
	char kind = form->relkind;

	if (form->reltablespace != cx->from || form->relisshared ||
		IsCatalogNamespace(form->relnamespace) || isAnyTempNamespace(form->relnamespace) ||
		IsToastNamespace(form->relnamespace))
		return false;
	if (cx->stmt->objtype == OBJECT_TABLE && kind != RELKIND_RELATION &&
		kind != RELKIND_PARTITIONED_TABLE)
		return false;
	if (cx->stmt->objtype == OBJECT_INDEX && kind != RELKIND_INDEX &&
		kind != RELKIND_PARTITIONED_INDEX)
		return false;
	if (cx->stmt->objtype == OBJECT_MATVIEW && kind != RELKIND_MATVIEW)
		return false;
	return cx->roles == NIL || list_member_oid(cx->roles, form->relowner);
}

/* A tablespace by name; *ok turns false if there is none. */
static Oid
mg_move_tablespace(MgFootprint *fp, const char *name)
{
	Oid tablespace = get_tablespace_oid(name, true);

	if (!OidIsValid(tablespace))
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "tablespace \"%s\" does not exist", name);
	else if (tablespace == GLOBALTABLESPACE_OID)
		mg_problem(fp, ERRCODE_INVALID_PARAMETER_VALUE,
				   "cannot move relations in to or out of pg_global tablespace");
	return tablespace == MyDatabaseTableSpace ? InvalidOid : tablespace;
}

/* One relation that is moved. */
static void
mg_move_relation(MgFootprint *fp, AlterTableMoveAllStmt *stmt, Oid relid)
{
	MgEffect *eff = mg_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET, NULL);
	MgTask *task;

	if (!RELKIND_HAS_STORAGE(eff->relkind))
	{
		mg_note(eff, "it has no storage: only future partitions are affected");
		return;
	}
	task = mg_task(eff, MG_WORK_COPY, MG_CAUSE_SET_TABLESPACE, (Node *) stmt);
	task->reason = psprintf("its files are copied to tablespace \"%s\"", stmt->new_tablespacename);
}

/*
 * ALTER TABLE, INDEX or MATERIALIZED VIEW ALL IN TABLESPACE ... SET
 * TABLESPACE: all relations are locked first.  stmt: an
 * AlterTableMoveAllStmt.  Follows AlterTableMoveAll() of tablecmds.c.
 */
void
mg_footprint_move_all(MgFootprint *fp, Node *node)
{
	MgMoveAll cx = {.stmt = castNode(AlterTableMoveAllStmt, node)};
	Oid to;
	List *relids;
	ListCell *lc;

	foreach(lc, cx.stmt->roles)
	{
		RoleSpec *spec = lfirst_node(RoleSpec, lc);
		Oid role = spec->roletype == ROLESPEC_PUBLIC ? InvalidOid : get_rolespec_oid(spec, true);

		if (!OidIsValid(role))
			mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "role \"%s\" does not exist",
					   spec->rolename ? spec->rolename : "public");
		cx.roles = lappend_oid(cx.roles, role);
	}
	cx.from = mg_move_tablespace(fp, cx.stmt->orig_tablespacename);
	to = mg_move_tablespace(fp, cx.stmt->new_tablespacename);
	if (fp->problem || cx.from == to)
		return;

	relids = mg_relations_where(mg_move_selects, &cx);
	foreach(lc, relids)
	{
		if (!mg_owns(RelationRelationId, lfirst_oid(lc)))
		{
			(void) mg_check_owner(fp, lfirst_oid(lc));
			return;
		}
	}
	foreach(lc, relids)
		mg_move_relation(fp, cx.stmt, lfirst_oid(lc));
}
