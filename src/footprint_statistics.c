/*
 * footprint_statistics.c
 *
 * Owns the footprint of CREATE STATISTICS.  ALTER STATISTICS locks no table.
 * Follows the case T_CreateStatsStmt of ProcessUtilitySlow() and
 * CreateStatistics() of statscmds.c.
 */
#include "mg_part.h"

/* A column by its name, of a type that can be sorted. */
static bool
mg_check_statistics_column(MgFootprint *fp, Oid relid, const char *name)
{
	HeapTuple tuple = SearchSysCacheAttName(relid, name);
	Form_pg_attribute form;

	if (!HeapTupleIsValid(tuple))
	{
		if (!(fp->script && mg_script_column(fp->script, relid, name)))
			mg_problem(fp, ERRCODE_UNDEFINED_COLUMN, "column \"%s\" does not exist", name);
		return fp->problem == NULL;
	}
	form = (Form_pg_attribute) GETSTRUCT(tuple);
	if (form->attnum <= 0)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "statistics creation on system columns is not supported");
	else if (form->attgenerated == MG_GENERATED_VIRTUAL && !MG_PG_STATISTICS_ON_VIRTUAL)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "statistics creation on virtual generated columns is not supported");
	else if (lookup_type_cache(form->atttypid, TYPECACHE_LT_OPR)->lt_opr == InvalidOid)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "column \"%s\" cannot be used in statistics because its type %s has no default "
				   "btree operator class",
				   name, format_type_be(form->atttypid));
	ReleaseSysCache(tuple);
	return fp->problem == NULL;
}

/* Columns and kinds.  Expressions are core's business. */
static void
mg_check_statistics(MgFootprint *fp, CreateStatsStmt *stmt, Oid relid)
{
	int columns = list_length(stmt->exprs);
	List *names = NIL;
	List *expressions = NIL; /* those that are written as a name */
	bool duplicate = false;
	ListCell *lc;

	if (columns > STATS_MAX_DIMENSIONS)
		mg_problem(fp, ERRCODE_TOO_MANY_COLUMNS, "cannot have more than %d columns in statistics",
				   STATS_MAX_DIMENSIONS);
	foreach(lc, stmt->exprs)
	{
		char *name = lfirst_node(StatsElem, lc)->name;
		List **list = &names;

		if (fp->problem || name == NULL)
			continue;
		mg_check_statistics_column(fp, relid, name);
		if (MG_PG_STATISTICS_ON_VIRTUAL && mg_is_virtual(relid, name))
			list = &expressions; /* it stands for its expression */
		duplicate = duplicate || list_member(*list, makeString(name));
		*list = lappend(*list, makeString(name));
	}
	if (columns == 1 && names == NIL && stmt->stat_types != NIL)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "when building statistics on a single expression, statistics kinds may not be "
				   "specified");
	foreach(lc, stmt->stat_types)
	{
		const char *kind = strVal(lfirst(lc));

		if (strcmp(kind, "ndistinct") != 0 && strcmp(kind, "dependencies") != 0 &&
			strcmp(kind, "mcv") != 0)
			mg_problem(fp, ERRCODE_SYNTAX_ERROR, "unrecognized statistics kind \"%s\"", kind);
	}
	if (columns == 1 && names != NIL)
		mg_problem(fp, ERRCODE_INVALID_OBJECT_DEFINITION,
				   "extended statistics require at least 2 columns");
	else if (duplicate)
		mg_problem(fp, ERRCODE_DUPLICATE_COLUMN, "duplicate column name in statistics definition");
}

/* The name is taken, or may not be given.  True: there is nothing more to check. */
static bool
mg_check_statistics_name(MgFootprint *fp, CreateStatsStmt *stmt)
{
	Oid nspid;
	RangeVar *rv;

	if (stmt->defnames == NIL)
		return false;
	if (!mg_check_names(fp, stmt->defnames))
		return true;
	rv = makeRangeVarFromNameList(stmt->defnames);
	nspid = mg_creation_namespace(rv);
	if (!OidIsValid(nspid))
		return false;
	if (!mg_check_create_in_schema(fp, nspid))
		return true;
	if (!SearchSysCacheExists2(STATEXTNAMENSP, CStringGetDatum(rv->relname),
							   ObjectIdGetDatum(nspid)) ||
		mg_earlier_statements(fp))
		return false;
	if (!stmt->if_not_exists)
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT, "statistics object \"%s\" already exists",
				   rv->relname);
	return true;
}

/* CREATE STATISTICS.  stmt: a raw CreateStatsStmt. */
void
mg_footprint_create_statistics(MgFootprint *fp, Node *node)
{
	CreateStatsStmt *stmt = castNode(CreateStatsStmt, node);
	Oid relid;

	if (!IsA(linitial(stmt->relations), RangeVar))
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "only a single relation is allowed in CREATE STATISTICS");
		return;
	}
	relid = mg_lookup_relation(fp, linitial_node(RangeVar, stmt->relations), false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (list_length(stmt->relations) != 1)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "only a single relation is allowed in CREATE STATISTICS");
	else if (!mg_kind_is_one_of(relid, "rmfp"))
		mg_wrong_kind(fp, relid, ERRCODE_WRONG_OBJECT_TYPE,
					  "cannot define statistics for relation \"%s\"");
	if (fp->problem || !mg_check_owner(fp, relid))
		return;
	mg_object_effect(fp, relid, ShareUpdateExclusiveLock, MG_ROLE_TARGET,
					 "a statistics object is defined; ANALYZE will fill it, and no rows are read "
					 "now");
	if (!mg_check_statistics_name(fp, stmt))
		mg_check_statistics(fp, stmt, relid);
}
