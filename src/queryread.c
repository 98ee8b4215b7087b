/*
 * queryread.c
 *
 * Owns the answer to "what does this query read, and how?".  The query is
 * analyzed, rewritten and planned by core's own functions, as core will do
 * when the statement runs, and never executed.  All of it happens in
 * mg_attempt(): no lock is waited for, and none is kept.
 *
 * In a dry run the query is somebody's text.  A superuser's dry run analyzes
 * and plans it as the one other role whose types, functions, views and tables
 * take part, if there is one, for both may run functions; if there are
 * several, nobody does, and all that it names counts as read.
 */
#include "queryread.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "parser/parsetree.h"
#include "parser/parse_param.h"
#include "rewrite/rewriteHandler.h"
#include "utils/catcache.h"
#include "utils/snapmgr.h"

/* ------------------------------------------------------------------------
 * Whose objects are these?
 * ------------------------------------------------------------------------ */

/* Owners of what a query uses, as far as they are neither superusers nor the current user. */
typedef struct MgStrangers
{
	Oid first;
	bool several;
} MgStrangers;

static void
mg_meet_owner(MgStrangers *strangers, Oid owner)
{
	if (!OidIsValid(owner) || owner == GetUserId() || owner == strangers->first ||
		superuser_arg(owner))
		return;
	strangers->several = strangers->several || OidIsValid(strangers->first);
	strangers->first = owner;
}

static bool
mg_meet_function(Oid funcid, void *context)
{
	HeapTuple tuple;

	if (funcid < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (HeapTupleIsValid(tuple))
	{
		mg_meet_owner(context, ((Form_pg_proc) GETSTRUCT(tuple))->proowner);
		ReleaseSysCache(tuple);
	}
	return false;
}

static void
mg_meet_relation(MgStrangers *strangers, Oid relid)
{
	Form_pg_class form = relid < FirstNormalObjectId ? NULL : mg_class_form(relid);

	if (form)
		mg_meet_owner(strangers, form->relowner);
}

static void
mg_meet_type(MgStrangers *strangers, Oid typid)
{
	Form_pg_type form = typid < FirstNormalObjectId ? NULL : mg_type_form(typid);

	if (form)
		mg_meet_owner(strangers, form->typowner);
}

/* Literals beside a column are read by its type. */
static void
mg_meet_columns(MgStrangers *strangers, Oid relid)
{
	HeapTuple tuple;

	for (AttrNumber attnum = 1; HeapTupleIsValid(
			 tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum)));
		 attnum++)
	{
		mg_meet_type(strangers, ((Form_pg_attribute) GETSTRUCT(tuple))->atttypid);
		ReleaseSysCache(tuple);
	}
}

/* All functions, or operators, of a name, wherever they are. */
static void
mg_meet_named(MgStrangers *strangers, List *names, bool operators)
{
	Datum name = CStringGetDatum(strVal(llast(names)));
	CatCList *list = operators ? SearchSysCacheList1(OPERNAMENSP, name)
							   : SearchSysCacheList1(PROCNAMEARGSNSP, name);

	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple tuple = &list->members[i]->tuple;

		mg_meet_owner(strangers, operators ? ((Form_pg_operator) GETSTRUCT(tuple))->oprowner
										   : ((Form_pg_proc) GETSTRUCT(tuple))->proowner);
	}
	ReleaseSysCacheList(list);
}

/* Before analysis: all that is named, and the types of columns. */
static bool
mg_meet_raw_walker(Node *node, void *context)
{
	if (node == NULL || IsA(node, IntoClause))
		return false;
	if (IsA(node, RangeVar))
	{
		Oid relid = RangeVarGetRelidExtended((RangeVar *) node, NoLock, RVR_MISSING_OK, NULL, NULL);

		mg_meet_relation(context, relid);
		mg_meet_columns(context, relid);
		return false;
	}
	if (IsA(node, TypeName))
		mg_meet_type(context, LookupTypeNameOid(NULL, (TypeName *) node, true));
	else if (IsA(node, FuncCall))
		mg_meet_named(context, ((FuncCall *) node)->funcname, false);
	else if (IsA(node, A_Expr))
		mg_meet_named(context, ((A_Expr *) node)->name, true);
	return raw_expression_tree_walker(node, mg_meet_raw_walker, context);
}

static bool
mg_meet_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain))
		mg_meet_type(context, ((CoerceToDomain *) node)->resulttype);
	if (IsA(node, RangeTblEntry))
	{
		mg_meet_relation(context, ((RangeTblEntry *) node)->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, mg_meet_walker, context, QTW_EXAMINE_RTES_BEFORE);
	(void) check_functions_in_node(node, mg_meet_function, context);
	return expression_tree_walker(node, mg_meet_walker, context);
}

/* ------------------------------------------------------------------------
 * Analysis, rewriting, planning: in mg_attempt()
 * ------------------------------------------------------------------------ */

/* Plan a rewritten query, with what is known about its parameters. */
static PlannedStmt *
mg_plan(MgQuery *query, Query *rewritten)
{
	PlannedStmt *plan;
	bool pushed = !ActiveSnapshotSet();

	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	plan = mg_planner(rewritten, query->source, CURSOR_OPT_PARALLEL_OK, query->params);
	if (pushed)
		PopActiveSnapshot();
	return plan;
}

/* Rewrite and plan query->query, which is not changed; query->plan stays NULL if nobody may. */
static void
mg_rewrite_and_plan(MgQuery *query)
{
	Query *copy = copyObject(query->query);
	MgStrangers strangers = {query->stranger, false};
	MgIdentity saved;
	List *rewritten;

	AcquireRewriteLocks(copy, true, false);
	rewritten = QueryRewrite(copy);
	if (list_length(rewritten) != 1)
		return;
	query->rewritten = linitial_node(Query, rewritten);
	if (query->rewritten->commandType != CMD_SELECT)
		return;

	if (query->foreign_text && superuser())
	{
		(void) mg_meet_walker((Node *) query->rewritten, &strangers);
		if (strangers.several)
			return;
	}
	if (OidIsValid(strangers.first))
		mg_become_role(strangers.first, &saved);
	query->plan = mg_plan(query, copyObject(query->rewritten));
	if (OidIsValid(strangers.first))
		mg_become_self(&saved);
	mg_check_plan_permissions(query->plan);
}

/* Analyze query->raw; query->query stays NULL if nobody may. */
static void
mg_analyze(MgQuery *query)
{
	ParseState *pstate = make_parsestate(NULL);
	RawStmt *raw = makeNode(RawStmt);
	MgStrangers strangers = {InvalidOid, false};
	MgIdentity saved;

	if (query->foreign_text && superuser())
		(void) mg_meet_raw_walker(query->select, &strangers);
	if (strangers.several)
		return;
	query->stranger = strangers.first;

	raw->stmt = copyObject(query->raw);
	pstate->p_sourcetext = query->source;
	if (query->nparams > 0)
		setup_parse_fixed_parameters(pstate, query->paramtypes, query->nparams);
	if (OidIsValid(strangers.first))
		mg_become_role(strangers.first, &saved);
	query->query = transformTopLevelStmt(pstate, raw);
	if (OidIsValid(strangers.first))
		mg_become_self(&saved);
	free_parsestate(pstate);
}

/* An MgAttemptFn: all of it.  arg: an MgQuery. */
static void
mg_examine_query(void *arg)
{
	MgQuery *query = arg;

	if (query->query == NULL)
		mg_analyze(query);
	if (query->query && query->query->commandType == CMD_SELECT && query->execute)
		mg_rewrite_and_plan(query);
}

/*
 * Analyze query->raw, unless query->query is there already, and plan it if
 * query->execute.  owner: a relation whose owner does it, or InvalidOid.
 * False: core refuses, or a lock was not to be had; query->problem says why.
 */
bool
mg_query_examine(MgQuery *query, Oid owner)
{
	if (OidIsValid(owner))
		return mg_attempt_as_owner(owner, mg_examine_query, query, &query->problem);
	return mg_attempt(mg_examine_query, query, &query->problem);
}

/* ------------------------------------------------------------------------
 * What a plan reads
 * ------------------------------------------------------------------------ */

/* Where the rows go that a query reads. */
typedef struct MgReader
{
	MgFootprint *fp;
	MgCause cause;
	Node *node;
	List *rtable;
} MgReader;

static void mg_walk_plan(MgReader *cx, Plan *plan, bool partial);

/* Core refuses to read a materialized view that has not been filled. */
static void
mg_check_populated(MgFootprint *fp, Oid relid)
{
	if (get_rel_relkind(relid) != RELKIND_MATVIEW || mg_is_populated(relid) ||
		(fp->script && mg_script_alters(fp->script, relid)))
		return;
	mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   "materialized view \"%s\" has not been populated", get_rel_name(relid));
	fp->problem->hint = "Use the REFRESH MATERIALIZED VIEW command.";
}

/* One relation is read.  Several mentions give one task, that of the most work. */
static void
mg_read_relation(MgReader *cx, Oid relid, LOCKMODE lockmode, MgWork work, const char *reason)
{
	MgEffect *eff;
	MgTask *task = NULL;
	ListCell *lc;

	if (relid < FirstNormalObjectId)
		return;
	mg_check_populated(cx->fp, relid);
	eff = mg_effect(cx->fp, relid, Max(lockmode, AccessShareLock), MG_ROLE_OTHER, NULL);
	foreach(lc, eff->tasks)
	{
		if (((MgTask *) lfirst(lc))->cause == cx->cause &&
			((MgTask *) lfirst(lc))->work <= MG_WORK_SCAN)
			task = lfirst(lc);
	}
	if (task == NULL)
		task = mg_task(eff, MG_WORK_NONE, cx->cause, cx->node);
	if (work <= task->work)
		return;
	task->work = work;
	task->reason = reason;
}

static void
mg_read_scan(MgReader *cx, Plan *plan, bool full)
{
	RangeTblEntry *rte = rt_fetch(((Scan *) plan)->scanrelid, cx->rtable);

	if (rte->rtekind != RTE_RELATION)
		return;
	mg_read_relation(cx, rte->relid, rte->rellockmode, full ? MG_WORK_SCAN : MG_WORK_LOOKUP,
					 psprintf(full ? "the query reads \"%s\" in full"
								   : "the query reads a part of \"%s\", or looks rows up in it",
							  get_rel_name(rte->relid)));
}

static void
mg_walk_plans(MgReader *cx, List *plans, bool partial)
{
	ListCell *lc;

	foreach(lc, plans)
		mg_walk_plan(cx, lfirst(lc), partial);
}

/* Does a node read all of its input before it gives its first row? */
static bool
mg_reads_all_first(Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_Hash:
			return true;
		case T_Agg:
			return ((Agg *) plan)->aggstrategy != AGG_SORTED;
		case T_SetOp:
			return ((SetOp *) plan)->strategy == SETOP_HASHED;
		default:
			return false;
	}
}

/* partial: somebody above may stop before the end, because of a LIMIT. */
static void
mg_walk_plan(MgReader *cx, Plan *plan, bool partial)
{
	if (plan == NULL)
		return;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_SeqScan:
			mg_read_scan(cx, plan, !partial);
			break;
		case T_IndexScan:
			mg_read_scan(cx, plan, !partial && ((IndexScan *) plan)->indexqual == NIL);
			break;
		case T_IndexOnlyScan:
			mg_read_scan(cx, plan, !partial && ((IndexOnlyScan *) plan)->indexqual == NIL);
			break;
		case T_BitmapHeapScan:
			mg_read_scan(cx, plan, false);
			break;
		case T_Append:
			mg_walk_plans(cx, ((Append *) plan)->appendplans, partial);
			break;
		case T_MergeAppend:
			mg_walk_plans(cx, ((MergeAppend *) plan)->mergeplans, partial);
			break;
		case T_SubqueryScan:
			mg_walk_plan(cx, ((SubqueryScan *) plan)->subplan, partial);
			break;
		case T_CustomScan:
			if (((Scan *) plan)->scanrelid > 0)
				mg_read_scan(cx, plan, !partial);
			mg_walk_plans(cx, ((CustomScan *) plan)->custom_plans, partial);
			break;
		default:
			break;
	}
	if (IsA(plan, Limit))
		partial = true;
	else if (mg_reads_all_first(plan))
		partial = false;
	if (!IsA(plan, BitmapHeapScan))
	{
		mg_walk_plan(cx, plan->lefttree, partial);
		mg_walk_plan(cx, plan->righttree, partial);
	}
}

/* ------------------------------------------------------------------------
 * What an unplanned query reads
 * ------------------------------------------------------------------------ */

/* All of a relation that is named, with what is below it. */
static void
mg_read_named(MgReader *cx, Oid relid, bool inh)
{
	ListCell *lc;

	foreach(lc, mg_tree(relid, inh))
	{
		char relkind = get_rel_relkind(lfirst_oid(lc));

		if (relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW)
			mg_read_relation(cx, lfirst_oid(lc), AccessShareLock, MG_WORK_SCAN,
							 psprintf("the query names \"%s\", and counts as reading it in full",
									  get_rel_name(lfirst_oid(lc))));
	}
}

static bool
mg_read_query_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION)
			mg_read_named(context, rte->relid, rte->inh);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, mg_read_query_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, mg_read_query_walker, context);
}

/* Names that are not found may be those of WITH, or what a script makes. */
static bool
mg_read_raw_walker(Node *node, void *context)
{
	MgReader *cx = context;

	if (node == NULL)
		return false;
	if (IsA(node, IntoClause))
		return false;
	if (IsA(node, RangeVar))
	{
		RangeVar *rv = (RangeVar *) node;
		Oid relid = InvalidOid;

		if (cx->fp->script && mg_script_creates(cx->fp->script, rv))
			return false;
		if (cx->fp->script)
			relid = mg_script_renamed(cx->fp->script, rv);
		if (!OidIsValid(relid))
			relid = RangeVarGetRelidExtended(rv, NoLock, RVR_MISSING_OK, NULL, NULL);
		if (OidIsValid(relid))
			mg_read_named(cx, relid, rv->inh);
		return false;
	}
	return raw_expression_tree_walker(node, mg_read_raw_walker, context);
}

typedef struct MgReadRaw
{
	MgReader *cx;
	Node *raw;
} MgReadRaw;

/* An MgAttemptFn: a schema that is named may be forbidden. */
static void
mg_read_raw(void *arg)
{
	MgReadRaw *job = arg;

	(void) mg_read_raw_walker(job->raw, job->cx);
}

/*
 * Put what the query reads into the footprint, as tasks of the cause.  By its
 * plan if there is one, or else all that it names.
 */
void
mg_query_reads(MgQuery *query, MgFootprint *fp, MgCause cause)
{
	MgReader cx = {.fp = fp, .cause = cause, .node = fp->stmt};

	if (query->plan)
	{
		cx.rtable = query->plan->rtable;
		mg_walk_plan(&cx, query->plan->planTree, false);
		mg_walk_plans(&cx, query->plan->subplans, false);
	}
	else if (query->rewritten || query->query)
		(void) mg_read_query_walker((Node *) (query->rewritten ? query->rewritten : query->query),
									&cx);
	else if (query->select)
	{
		MgReadRaw job = {.cx = &cx, .raw = query->select};

		(void) mg_attempt(mg_read_raw, &job, NULL);
	}
}
