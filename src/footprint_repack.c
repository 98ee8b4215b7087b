/*
 * footprint_repack.c
 *
 * Owns the footprint of REPACK, which PostgreSQL has from 19 on, in all its
 * forms, and the list of what keeps REPACK (CONCURRENTLY) from a table.
 */
#include "mg.h"

#include "access/reloptions.h"

/* One REPACK under examination. */
typedef struct MgRepack
{
	MgFootprint *fp;
	MgClusterRequest *request;
	bool concurrently;
	bool analyze;
} MgRepack;

/* ------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------ */

/* The options of REPACK or CLUSTER.  False: core refuses one of them. */
static bool
mg_repack_options(MgRepack *cx)
{
	const char *command = cx->request->repack ? "REPACK" : "CLUSTER";
	ListCell *lc;

	foreach(lc, cx->request->params)
	{
		DefElem *option = lfirst_node(DefElem, lc);
		const char *name = option->defname;
		bool analyze = strcmp(name, "analyze") == 0 || strcmp(name, "analyse") == 0;

		if (strcmp(name, "verbose") == 0)
			continue;
		if (!MG_PG_HAS_REPACK || (!analyze && strcmp(name, "concurrently") != 0))
			mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR, "unrecognized %s option \"%s\"", command,
					   name);
		else if (!cx->request->repack)
			mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED, "%s option not supported for %s",
					   analyze ? "ANALYZE" : "CONCURRENTLY", command);
		else if (analyze)
			cx->analyze = mg_option_is_on(option);
		else
			cx->concurrently = mg_option_is_on(option);
	}
	return cx->fp->problem == NULL;
}

/* Are the options of CLUSTER to core's taste? */
bool
mg_cluster_options(MgFootprint *fp, MgClusterRequest *request)
{
	MgRepack cx = {.fp = fp, .request = request};

	return mg_repack_options(&cx);
}

/* What core calls a REPACK that it refuses inside a transaction block; CLUSTER is told by its tag. */
const char *
mg_repack_name(MgFootprint *fp)
{
	MgClusterRequest request;
	ListCell *lc;

	if (fp->concurrent)
		return "REPACK (CONCURRENTLY)";
	mg_cluster_request(fp->stmt, &request);
	foreach(lc, request.params)
	{
		if (strncmp(lfirst_node(DefElem, lc)->defname, "analy", 5) == 0 &&
			mg_option_is_on(lfirst_node(DefElem, lc)))
			return "REPACK (ANALYZE)";
	}
	return fp->command;
}

/* ------------------------------------------------------------------------
 * What keeps REPACK from a table
 * ------------------------------------------------------------------------ */

/* The rows that change meanwhile have to be found again.  Core's words if they cannot, or NULL. */
static char *
mg_identity_obstacle(Oid relid, char identity, MgProblem *problem)
{
	ListCell *lc;

	problem->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	if (identity == REPLICA_IDENTITY_FULL || identity == REPLICA_IDENTITY_NOTHING)
		return psprintf("This operation does not support tables with REPLICA IDENTITY %s.",
						identity == REPLICA_IDENTITY_FULL ? "FULL" : "NOTHING");
	foreach(lc, mg_index_forms(relid))
	{
		Form_pg_index form = lfirst(lc);

		if (identity == REPLICA_IDENTITY_INDEX ? !form->indisreplident : !form->indisprimary)
			continue;
		if (form->indimmediate)
			return NULL;
		problem->sqlerrcode = ERRCODE_FEATURE_NOT_SUPPORTED;
		problem->hint = pstrdup("Use ALTER TABLE ... REPLICA IDENTITY USING INDEX to designate "
								"another index as replica identity.");
		return pstrdup("This operation does not support deferrable primary keys.");
	}
	return psprintf("Relation \"%s\" has no identity index.", get_rel_name(relid));
}

/* Is the table marked to be used like a catalog by logical decoding? */
static bool
mg_is_user_catalog(HeapTuple class_tuple)
{
	bool isnull;
	Datum options = SysCacheGetAttr(RELOID, class_tuple, Anum_pg_class_reloptions, &isnull);
	ListCell *lc;

	if (isnull)
		return false;
	foreach(lc, untransformRelOptions(options))
	{
		if (strcmp(lfirst_node(DefElem, lc)->defname, "user_catalog_table") == 0)
			return mg_option_is_on(lfirst_node(DefElem, lc));
	}
	return false;
}

/* Does another access method than heap have the table? */
static bool
mg_is_no_heap(Oid relam)
{
	HeapTuple tuple = SearchSysCache1(AMOID, ObjectIdGetDatum(relam));
	bool result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_am) GETSTRUCT(tuple))->amhandler != F_HEAP_TABLEAM_HANDLER;
	ReleaseSysCache(tuple);
	return result;
}

/* What a table is, by its row in pg_class.  Core's words if that is wrong for CONCURRENTLY, or NULL. */
static char *
mg_kind_obstacle(HeapTuple class_tuple, MgProblem *problem)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(class_tuple);

	problem->sqlerrcode = ERRCODE_FEATURE_NOT_SUPPORTED;
	if (IsCatalogRelationOid(form->oid))
		return pstrdup("This operation is not supported for system catalogs.");
	if (mg_is_user_catalog(class_tuple))
		return pstrdup("This operation is not supported for user catalog tables.");
	if (form->relkind == RELKIND_TOASTVALUE)
		return pstrdup("This operation is not supported for TOAST tables.");
	if (form->relpersistence != RELPERSISTENCE_PERMANENT)
	{
		problem->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		return pstrdup("This operation is only supported for permanent relations.");
	}
	if (form->relkind == RELKIND_MATVIEW)
		return pstrdup("This operation is not supported for materialized views.");
	if (mg_is_no_heap(form->relam))
		return pstrdup("This operation is only supported for the \"heap\" access method.");
	return NULL;
}

/* Names of the invalid indexes of a table, quoted, and how many they are; NULL if none. */
static const char *
mg_invalid_indexes(Oid relid, int *count)
{
	StringInfoData buf;
	ListCell *lc;

	*count = 0;
	initStringInfo(&buf);
	foreach(lc, mg_index_forms(relid))
	{
		Form_pg_index form = lfirst(lc);

		if (!form->indisvalid)
			appendStringInfo(&buf, "%s\"%s\"", (*count)++ ? ", " : "",
							 get_rel_name(form->indexrelid));
	}
	return *count ? buf.data : NULL;
}

/* True: REPACK, CONCURRENTLY or not, refuses the table for its invalid indexes. */
static bool
mg_invalid_obstacle(Oid relid, MgProblem *problem)
{
	int count;
	const char *names = mg_invalid_indexes(relid, &count);

	if (names == NULL)
		return false;
	problem->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	problem->message = psprintf("cannot execute REPACK on relation \"%s\"", get_rel_name(relid));
	problem->detail = psprintf(count == 1 ? "An invalid index cannot be processed correctly: %s."
										  : "Some invalid indexes cannot be processed correctly: "
											"%s.",
							   names);
	problem->hint = pstrdup("Use DROP INDEX or REINDEX.");
	return true;
}

/*
 * Does REPACK (CONCURRENTLY) refuse a table, for what it is or for how the
 * server is set up?  Then *problem says why, in core's words.  identity:
 * look at its replica identity as well.  Follows
 * check_concurrent_repack_requirements() of repack.c.
 */
bool
mg_repack_obstacle(Oid relid, bool identity, MgProblem *problem)
{
	HeapTuple tuple;

	memset(problem, 0, sizeof(MgProblem));
	if (!XLogIsNeeded())
	{
		problem->sqlerrcode = ERRCODE_INVALID_PARAMETER_VALUE;
		problem->message = pstrdup("cannot execute REPACK (CONCURRENTLY) in this configuration");
		problem->detail = pstrdup(
			"This operation requires \"wal_level\" to be set to \"replica\" or higher.");
		return true;
	}
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return false;
	problem->detail = mg_kind_obstacle(tuple, problem);
	if (problem->detail == NULL && identity)
		problem->detail =
			mg_identity_obstacle(relid, ((Form_pg_class) GETSTRUCT(tuple))->relreplident, problem);
	ReleaseSysCache(tuple);
	if (problem->detail)
	{
		problem->message = psprintf("cannot execute REPACK (CONCURRENTLY) on relation \"%s\"",
									get_rel_name(relid));
		return true;
	}
	if (mg_invalid_obstacle(relid, problem))
		return true;
	if (mg_repack_slots() > 0)
		return false;
	problem->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	problem->message = pstrdup("REPACK can only be used if \"max_repack_replication_slots\" > 0");
	return true;
}

/* Core's checks on the one table that REPACK names. */
static bool
mg_repack_permitted(MgRepack *cx, Oid relid, Oid index)
{
	MgFootprint *fp = cx->fp;
	MgProblem problem = {0};

	if (fp->script && mg_script_alters(fp->script, relid))
		return true;
	if (cx->concurrently)
		(void) mg_repack_obstacle(relid, true, &problem);
	else if (OidIsValid(index) && IsSharedRelation(relid))
	{
		problem.sqlerrcode = ERRCODE_FEATURE_NOT_SUPPORTED;
		problem.message = pstrdup("cannot execute REPACK on a shared catalog");
	}
	else if (OidIsValid(index) && IsCatalogRelationOid(relid) && !allowSystemTableMods &&
			 mg_clustered_index(relid) != index)
	{
		problem.sqlerrcode = ERRCODE_INSUFFICIENT_PRIVILEGE;
		problem.message = psprintf("permission denied: \"%s\" is a system catalog",
								   get_rel_name(relid));
		problem.detail = pstrdup("System catalogs can only be clustered by the index they're "
								 "already clustered on, if any, unless "
								 "\"allow_system_table_mods\" is enabled.");
	}
	else
		(void) mg_invalid_obstacle(relid, &problem);
	if (problem.message == NULL)
		return true;
	mg_problem(fp, problem.sqlerrcode, "%s", problem.message);
	fp->problem->detail = problem.detail;
	fp->problem->hint = problem.hint;
	return false;
}

/* ------------------------------------------------------------------------
 * The work
 * ------------------------------------------------------------------------ */

/* One table, in the order of an index, or InvalidOid. */
static void
mg_repack_table(MgRepack *cx, Oid relid, Oid index, MgRole role)
{
	MgEffect *eff = mg_effect(cx->fp, relid, AccessExclusiveLock, role, NULL);
	const char *reason = "the table is copied to new files";
	int invalid;

	if (OidIsValid(index))
	{
		mg_effect(cx->fp, index, AccessExclusiveLock, MG_ROLE_INDEX,
				  "it gives the order of the rows");
		reason = psprintf("the table is written anew in the order of index \"%s\"",
						  get_rel_name(index));
	}
	/* of many tables, those before have been done, and those behind are not */
	if (mg_invalid_indexes(relid, &invalid))
		mg_note(eff, "the statement ends here with an error: the table has an invalid index");
	mg_rewrite_table(cx->fp, eff, MG_CAUSE_REPACK, cx->request->node, reason);
	mg_set_order(eff, index);
	if (cx->concurrently)
		mg_note(eff, "others are kept out only at the end, while the files are exchanged; until "
					 "then the lock is ShareUpdateExclusiveLock");
	if (cx->analyze)
		mg_note(eff, "then a sample of the rows is read");
}

/* The leaves of a partitioned table, each in a transaction of its own. */
static void
mg_repack_partitions(MgRepack *cx, Oid relid, Oid index)
{
	ListCell *lc;

	cx->fp->no_block = true;
	mg_effect(cx->fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
			  "it is locked for a moment, to list the partitions");
	mg_effect(cx->fp, index, AccessExclusiveLock, MG_ROLE_INDEX,
			  "it is locked for a moment, to list the indexes of the partitions");
	foreach(lc, mg_tree(OidIsValid(index) ? index : relid, true))
	{
		Oid member = lfirst_oid(lc);
		Oid leaf = OidIsValid(index) ? IndexGetRelation(member, true) : member;

		if (OidIsValid(leaf) && get_rel_relkind(leaf) == RELKIND_RELATION && mg_may_maintain(leaf))
			mg_repack_table(cx, leaf, OidIsValid(index) ? member : InvalidOid, MG_ROLE_CHILD);
	}
}

static bool
mg_repack_selects(Form_pg_class form, void *arg)
{
	bool using_index = *(bool *) arg;

	return (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_MATVIEW) &&
		   !isOtherTempNamespace(form->relnamespace) && mg_may_maintain(form->oid) &&
		   (!using_index || OidIsValid(mg_clustered_index(form->oid)));
}

/* All tables, or with USING INDEX all that have been clustered. */
static void
mg_repack_all(MgRepack *cx)
{
	bool using_index = cx->request->using_index;
	ListCell *lc;

	cx->fp->no_block = true;
	if (cx->analyze)
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot execute REPACK (ANALYZE) on multiple tables");
	else if (cx->concurrently)
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "REPACK (CONCURRENTLY) requires an explicit table name");
	else
	{
		foreach(lc, mg_relations_where(mg_repack_selects, &using_index))
			mg_repack_table(cx, lfirst_oid(lc),
							using_index ? mg_clustered_index(lfirst_oid(lc)) : InvalidOid,
							MG_ROLE_TARGET);
	}
}

/* What REPACK cannot do with a partitioned table. */
static bool
mg_repack_partitioned_permitted(MgRepack *cx)
{
	MgFootprint *fp = cx->fp;

	if (cx->analyze)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot execute REPACK (ANALYZE) on multiple tables");
	else if (cx->concurrently)
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "REPACK (CONCURRENTLY) is not supported for partitioned tables");
		fp->problem->hint = "Consider running the command on individual partitions.";
	}
	else if (cx->request->using_index && cx->request->indexname == NULL)
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot execute REPACK on partitioned table \"%s\" USING INDEX with no index "
				   "name",
				   cx->request->relation->relname);
	return fp->problem == NULL;
}

/* One table, or a partitioned one.  Follows process_single_relation(). */
static void
mg_repack_named(MgRepack *cx, Oid relid)
{
	MgFootprint *fp = cx->fp;
	MgClusterRequest *request = cx->request;
	bool partitioned = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;
	Oid index = InvalidOid;

	if (isOtherTempNamespace(get_rel_namespace(relid)))
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot execute REPACK on temporary tables of other sessions");
	if (fp->problem || (partitioned && !mg_repack_partitioned_permitted(cx)))
		return;
	if (request->using_index)
	{
		index = mg_cluster_index(fp, request, relid);
		if (!OidIsValid(index))
			return;
	}
	if (partitioned)
		mg_repack_partitions(cx, relid, index);
	else if (mg_repack_permitted(cx, relid, index))
		mg_repack_table(cx, relid, index, MG_ROLE_TARGET);
}

/*
 * REPACK.  request: what is written, from a RepackStmt.  Columns to ANALYZE
 * that do not exist are found out when the table has been repacked and
 * committed, so they are no problem here.  Follows ExecRepack() of repack.c.
 */
void
mg_footprint_repack(MgFootprint *fp, MgClusterRequest *request)
{
	MgRepack cx = {.fp = fp, .request = request};
	Oid relid;

	if (!mg_repack_options(&cx))
		return;
	fp->concurrent = cx.concurrently;
	fp->no_block = cx.analyze;
	if (request->relation == NULL)
	{
		mg_repack_all(&cx);
		return;
	}
	if (request->columns != NIL && !cx.analyze)
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "ANALYZE option must be specified when a column list is provided");
		return;
	}
	relid = mg_lookup_relation(fp, request->relation, false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (mg_cluster_permitted(fp, relid, get_rel_relkind(relid), request->relation->relname))
		mg_repack_named(&cx, relid);
}
