/*
 * footprint_query.c
 *
 * Owns the footprints of statements that fill a relation from a query:
 * REFRESH MATERIALIZED VIEW, CREATE TABLE AS, SELECT INTO, and CREATE
 * MATERIALIZED VIEW.  What the query reads, and how, is told by queryread.c.
 *
 * A materialized view that is refreshed gets new files, which count as a
 * rewrite; its old rows are not read.  WITH NO DATA makes empty files, so
 * nothing is written then.
 */
#include "queryread.h"

#include "commands/prepare.h"
#include "parser/parse_coerce.h"
#include "rewrite/prs2lock.h"

/* ------------------------------------------------------------------------
 * Queries that core would refuse
 * ------------------------------------------------------------------------ */

/*
 * Why a query could not be examined.  A lock that was not to be had, an error
 * of a function, and what an earlier statement of a script may have changed
 * are no reasons for core to refuse it.
 */
static void
mg_query_problem(MgFootprint *fp, MgQuery *query)
{
	MgScript *script = fp->script;

	if (query->problem == NULL || fp->problem)
		return;
	if (OidIsValid(query->stranger) && query->problem->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return;
	if (query->problem->by_function || query->problem->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return;
	if (script && (script->names != NIL || script->altered != NIL || script->changed))
		return;
	fp->problem = query->problem;
}

/* ------------------------------------------------------------------------
 * REFRESH MATERIALIZED VIEW
 * ------------------------------------------------------------------------ */

/* Has a materialized view been filled? */
bool
mg_is_populated(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form && form->relispopulated;
}

/*
 * Can REFRESH ... CONCURRENTLY tell rows apart by this index?  Follows
 * is_usable_unique_index() of matview.c.
 */
static bool
mg_identifies_rows(Oid index)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool partial;
	bool usable;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	partial = !heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	usable = form->indisunique && form->indimmediate && form->indisvalid && !partial &&
			 mg_index_method(index) == BTREE_AM_OID;
	for (int i = 0; i < form->indnatts; i++)
		usable = usable && form->indkey.values[i] > 0;
	ReleaseSysCache(tuple);
	return usable;
}

/* An index by which REFRESH ... CONCURRENTLY can work, or InvalidOid. */
Oid
mg_refresh_index(Oid matview)
{
	ListCell *lc;

	foreach(lc, mg_index_list(matview))
	{
		if (mg_identifies_rows(lfirst_oid(lc)))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* The query of a materialized view, a copy; NULL if somebody is changing the view. */
Query *
mg_matview_query(Oid matview)
{
	Relation rel = mg_relation_open(matview);
	Query *query = NULL;

	if (rel == NULL)
		return NULL;
	if (rel->rd_rules && rel->rd_rules->numLocks == 1 &&
		list_length(rel->rd_rules->rules[0]->actions) == 1)
		query = copyObject(linitial_node(Query, rel->rd_rules->rules[0]->actions));
	mg_relation_close(rel);
	return query;
}

/* Core's checks, in its order. */
static bool
mg_refresh_allowed(MgFootprint *fp, RefreshMatViewStmt *stmt, Oid relid)
{
	char relkind = get_rel_relkind(relid);
	const char *name = get_rel_name(relid);
	bool script = fp->script && mg_script_alters(fp->script, relid);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_TOASTVALUE &&
		relkind != RELKIND_MATVIEW && relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a table or materialized view",
				   name);
	else if (!mg_check_maintain(fp, relid))
		return false;
	else if (relkind != RELKIND_MATVIEW)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED, "\"%s\" is not a materialized view", name);
	else if (stmt->concurrent && !mg_is_populated(relid) && !script)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "CONCURRENTLY cannot be used when the materialized view is not populated");
	else if (stmt->concurrent && stmt->skipData)
		mg_problem(fp, ERRCODE_SYNTAX_ERROR, "%s and %s options cannot be used together",
				   "CONCURRENTLY", "WITH NO DATA");
	else if (stmt->concurrent && !OidIsValid(mg_refresh_index(relid)) && !script)
	{
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot refresh materialized view \"%s\" concurrently",
				   mg_qualified_name(relid));
		fp->problem->hint = "Create a unique index with no WHERE clause on one or more columns of "
							"the materialized view.";
	}
	return fp->problem == NULL;
}

/* The view itself: new files, or a comparison with the old rows. */
static void
mg_refresh_view(MgFootprint *fp, RefreshMatViewStmt *stmt, Oid relid)
{
	MgEffect *eff = mg_effect(fp, relid, stmt->concurrent ? ExclusiveLock : AccessExclusiveLock,
							  MG_ROLE_TARGET, NULL);
	MgTask *task;
	ListCell *lc;

	if (stmt->concurrent)
	{
		mg_note(eff, "it can be read meanwhile, and other refreshes of it wait");
		task = mg_task(eff, MG_WORK_SCAN, MG_CAUSE_CREATE_TABLE_AS, (Node *) stmt);
		task->reason = "its rows are compared with the new result of its query";
		return;
	}
	if (stmt->skipData)
		mg_note(eff, "it gets new, empty files, and no row is read");
	else
	{
		task = mg_task(eff, MG_WORK_FILL, MG_CAUSE_REFRESH_MATVIEW, (Node *) stmt);
		task->reason = "the result of its query is written to new files";
	}
	foreach(lc, mg_index_list(relid))
	{
		mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_INDEX,
				  stmt->skipData ? "the index gets a new, empty file with its view"
								 : "the index is built anew with its view");
		if (stmt->skipData)
			continue;
		task = mg_task(eff, MG_WORK_BUILD, MG_CAUSE_REFRESH_MATVIEW, (Node *) stmt);
		task->index = lfirst_oid(lc);
	}
}

/*
 * REFRESH MATERIALIZED VIEW.  stmt: a RefreshMatViewStmt.  Follows
 * ExecRefreshMatView() of matview.c.
 */
void
mg_footprint_refresh(MgFootprint *fp, Node *node)
{
	RefreshMatViewStmt *stmt = castNode(RefreshMatViewStmt, node);
	Oid relid = mg_lookup_relation(fp, stmt->relation, false);
	MgQuery query = {.source = fp->source, .execute = true};

	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (!mg_refresh_allowed(fp, stmt, relid))
		return;
	mg_refresh_view(fp, stmt, relid);
	if (stmt->skipData)
		return;
	query.query = mg_matview_query(relid);
	if (query.query && !mg_query_examine(&query, relid))
		mg_query_problem(fp, &query);
	if (fp->problem == NULL)
		mg_query_reads(&query, fp,
					   stmt->concurrent ? MG_CAUSE_CREATE_TABLE_AS : MG_CAUSE_REFRESH_MATVIEW);
}

/* ------------------------------------------------------------------------
 * EXECUTE as the query
 * ------------------------------------------------------------------------ */

/* Values of parameters that are written as constants.  To be run in mg_attempt(). */
typedef struct MgBindParams
{
	MgQuery *query;
	List *exprs; /* raw */
} MgBindParams;

static void
mg_bind_param(ParseState *pstate, Node *raw, Oid type, ParamExternData *param)
{
	Node *expr;

	param->ptype = InvalidOid;
	if (!IsA(raw, A_Const) && !(IsA(raw, TypeCast) && IsA(((TypeCast *) raw)->arg, A_Const)))
		return;
	expr = transformExpr(pstate, copyObject(raw), EXPR_KIND_EXECUTE_PARAMETER);
	expr = coerce_to_target_type(pstate, expr, exprType(expr), type, -1, COERCION_ASSIGNMENT,
								 COERCE_IMPLICIT_CAST, -1);
	if (expr)
		expr = eval_const_expressions(NULL, expr);
	if (expr == NULL || !IsA(expr, Const))
		return;
	param->value = ((Const *) expr)->constvalue;
	param->isnull = ((Const *) expr)->constisnull;
	param->pflags = PARAM_FLAG_CONST;
	param->ptype = type;
}

static void
mg_bind_params(void *arg)
{
	MgBindParams *job = arg;
	ParseState *pstate = make_parsestate(NULL);
	ParamListInfo params = makeParamList(job->query->nparams);
	ListCell *lc;

	foreach(lc, job->exprs)
	{
		int i = foreach_current_index(lc);

		mg_bind_param(pstate, lfirst(lc), job->query->paramtypes[i], &params->params[i]);
	}
	free_parsestate(pstate);
	job->query->params = params;
}

/* The query behind EXECUTE.  False: it is not known here, or not executable. */
static bool
mg_prepared_query(MgFootprint *fp, ExecuteStmt *stmt, MgQuery *query)
{
	PreparedStatement *prepared = FetchPreparedStatement(stmt->name, false);
	MgBindParams job = {.query = query, .exprs = stmt->params};

	if (prepared == NULL)
	{
		if (fp->script)
			fp->covered = false;
		else
			mg_problem(fp, ERRCODE_UNDEFINED_PSTATEMENT, "prepared statement \"%s\" does not exist",
					   stmt->name);
		return false;
	}
	if (prepared->plansource->raw_parse_tree == NULL ||
		!IsA(prepared->plansource->raw_parse_tree->stmt, SelectStmt))
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "prepared statement is not a SELECT");
		return false;
	}
	query->raw = prepared->plansource->raw_parse_tree->stmt;
	query->select = query->raw;
	query->source = prepared->plansource->query_string;
	query->paramtypes = prepared->plansource->param_types;
	query->nparams = prepared->plansource->num_params;
	if (list_length(stmt->params) == query->nparams)
		(void) mg_attempt(mg_bind_params, &job, NULL);
	return true;
}

/* ------------------------------------------------------------------------
 * CREATE TABLE AS
 * ------------------------------------------------------------------------ */

/* How many columns a query gives. */
static int
mg_count_columns(Query *query)
{
	int count = 0;
	ListCell *lc;

	foreach(lc, query->targetList)
		count += !lfirst_node(TargetEntry, lc)->resjunk;
	return count;
}

/* Where the relation is to be made: core's checks when it comes to that. */
static void
mg_check_creation(MgFootprint *fp, IntoClause *into, Query *query)
{
	Oid nspid = mg_creation_namespace(into->rel);

	if (query && list_length(into->colNames) > mg_count_columns(query))
		mg_problem(fp, ERRCODE_SYNTAX_ERROR, "too many column names were specified");
	else if (!OidIsValid(nspid))
		return;
	else if (mg_check_create_in_schema(fp, nspid))
		(void) mg_check_create_in_tablespace(fp, into->tableSpaceName);
}

/* The name: what CreateTableAsRelExists() looks at.  True: there is nothing more to do. */
static bool
mg_check_new_name(MgFootprint *fp, CreateTableAsStmt *stmt)
{
	RangeVar *rv = stmt->into->rel;

	return !mg_check_new_schema(fp, rv) || mg_name_is_taken(fp, rv, stmt->if_not_exists);
}

/* What the statement is before analysis: CREATE TABLE AS, or SELECT INTO. */
static Query *
mg_analyze_statement(MgFootprint *fp, Node *node, Node *select)
{
	MgQuery statement = {.raw = node, .select = select, .source = fp->source, .foreign_text = true};

	if (mg_query_examine(&statement, InvalidOid) && statement.query)
		return statement.query;
	mg_query_problem(fp, &statement);
	if (fp->problem == NULL)
	{
		MgQuery names = {.select = select};

		mg_query_reads(&names, fp, MG_CAUSE_CREATE_TABLE_AS);
	}
	return NULL;
}

/* The query inside, once the statement is analyzed. */
static void
mg_created_from_query(MgFootprint *fp, CreateTableAsStmt *stmt)
{
	Query *analyzed = castNode(Query, stmt->query);
	MgQuery query = {.source = fp->source, .execute = true, .foreign_text = fp->script != NULL};

	fp->object = stmt->into->rel->relname;
	if (mg_check_new_name(fp, stmt))
		return;
	if (analyzed->commandType != CMD_UTILITY)
		query.query = analyzed;
	else if (!mg_prepared_query(fp, castNode(ExecuteStmt, analyzed->utilityStmt), &query))
		return;
	query.execute = !stmt->into->skipData;
	if (!mg_query_examine(&query, InvalidOid))
		mg_query_problem(fp, &query);
	if (fp->problem == NULL)
		mg_check_creation(fp, stmt->into, query.query);
	if (fp->problem == NULL && query.execute)
		mg_query_reads(&query, fp, MG_CAUSE_CREATE_TABLE_AS);
}

/*
 * CREATE TABLE AS and CREATE MATERIALIZED VIEW.  stmt: a CreateTableAsStmt,
 * raw in a dry run, analyzed when it is about to run.  Nothing is known to be
 * locked then, and nothing worth a look, unless this transaction has locked
 * something before.  Follows ExecCreateTableAs() of createas.c.
 */
void
mg_footprint_create_table_as(MgFootprint *fp, Node *node)
{
	CreateTableAsStmt *stmt = castNode(CreateTableAsStmt, node);
	Query *analyzed;

	if (fp->script == NULL && !mg_thorough && mg_situation_locked(NULL) == NIL)
		return;
	if (IsA(stmt->query, Query))
	{
		mg_created_from_query(fp, stmt);
		return;
	}
	analyzed = mg_analyze_statement(fp, node, IsA(stmt->query, SelectStmt) ? stmt->query : NULL);
	if (analyzed)
		mg_created_from_query(fp, castNode(CreateTableAsStmt, analyzed->utilityStmt));
}

/* SELECT, which is a utility statement only with INTO.  stmt: a raw SelectStmt. */
void
mg_footprint_select(MgFootprint *fp, Node *node)
{
	SelectStmt *left = castNode(SelectStmt, node);
	Query *analyzed;

	while (left->op != SETOP_NONE)
		left = left->larg;
	if (left->intoClause == NULL)
	{
		fp->covered = false;
		return;
	}
	fp->command = "SELECT INTO";
	analyzed = mg_analyze_statement(fp, node, node);
	if (analyzed && analyzed->commandType == CMD_UTILITY)
		mg_created_from_query(fp, castNode(CreateTableAsStmt, analyzed->utilityStmt));
}

/* ------------------------------------------------------------------------
 * EXPLAIN ANALYZE
 * ------------------------------------------------------------------------ */

/* See mg.h.  The last word of an option counts. */
bool
mg_explain_executes(ExplainStmt *stmt)
{
	bool executes = false;
	ListCell *lc;

	foreach(lc, stmt->options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "analyze") == 0)
			executes = mg_option_is_on(option);
	}
	return executes;
}

/*
 * EXPLAIN (ANALYZE) CREATE TABLE AS runs the query and makes the table.  stmt:
 * an ExplainStmt, whose query is raw in a dry run, analyzed when it is about
 * to run.  Follows ExplainOneUtility() of explain.c.
 */
void
mg_footprint_explain(MgFootprint *fp, Node *node)
{
	ExplainStmt *stmt = castNode(ExplainStmt, node);
	Node *query = stmt->query;

	if (query && IsA(query, Query) && castNode(Query, query)->commandType == CMD_UTILITY)
		query = castNode(Query, query)->utilityStmt;
	if (!mg_explain_executes(stmt))
		return;
	if (query && IsA(query, CreateTableAsStmt))
		mg_footprint_create_table_as(fp, query);
	else if (query && IsA(query, SelectStmt))
		mg_footprint_select(fp, query);
	else
		fp->covered = false;
	fp->command = "EXPLAIN";
}
