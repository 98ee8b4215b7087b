/*
 * advice_query.c
 *
 * Owns the advice for statements that run a query to its end: REFRESH
 * MATERIALIZED VIEW, CREATE TABLE AS and its kin.
 */
#include "mg.h"

#include "advice.h"

#include "catalog/pg_statistic.h"
#include "parser/parsetree.h"

/* ------------------------------------------------------------------------
 * Columns that identify the rows of a materialized view
 * ------------------------------------------------------------------------ */

/* Name of the view's column that holds an expression of the query's target list, or NULL. */
static char *
mg_view_column(Oid matview, TargetEntry *tle)
{
	return tle->resjunk ? NULL : get_attname(matview, tle->resno, true);
}

/* Columns of GROUP BY or DISTINCT, if the view has all of them: of String, or NIL. */
static List *
mg_grouping_columns(Oid matview, Query *query)
{
	List *clauses = query->groupClause != NIL ? query->groupClause : query->distinctClause;
	List *columns = NIL;
	ListCell *lc;

	if (query->groupingSets != NIL || query->setOperations != NULL || query->hasTargetSRFs)
		return NIL;
	foreach(lc, clauses)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst_node(SortGroupClause, lc),
												   query->targetList);
		char *name = mg_view_column(matview, tle);

		if (name == NULL)
			return NIL;
		columns = lappend(columns, makeString(name));
	}
	return columns;
}

/* The table, if the query reads one and nothing else; InvalidOid otherwise. */
static Oid
mg_only_table(Query *query)
{
	Oid relid = InvalidOid;
	ListCell *lc;

	if (query->setOperations != NULL || query->hasTargetSRFs || query->groupClause != NIL ||
		query->hasAggs || query->jointree == NULL || list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef))
		return InvalidOid;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (foreach_current_index(lc) + 1 !=
			((RangeTblRef *) linitial(query->jointree->fromlist))->rtindex)
			continue;
		if (rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW)
			relid = rte->relid;
	}
	return relid;
}

/* The view's column that is this column of its only table, or NULL. */
static char *
mg_column_of(Oid matview, Query *query, AttrNumber attnum)
{
	int rtindex = ((RangeTblRef *) linitial(query->jointree->fromlist))->rtindex;
	ListCell *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (IsA(tle->expr, Var) && ((Var *) tle->expr)->varno == rtindex &&
			((Var *) tle->expr)->varattno == attnum && !tle->resjunk)
			return mg_view_column(matview, tle);
	}
	return NULL;
}

/* Columns of the primary key of the only table that the query reads, if the view has all. */
static List *
mg_key_columns(Oid matview, Query *query)
{
	Oid relid = mg_only_table(query);
	ListCell *lc;

	foreach(lc, OidIsValid(relid) ? mg_index_forms(relid) : NIL)
	{
		Form_pg_index form = lfirst(lc);
		List *columns = NIL;

		if (!form->indisprimary)
			continue;
		for (int i = 0; i < form->indnkeyatts; i++)
		{
			char *name = mg_column_of(matview, query, form->indkey.values[i]);

			columns = lappend(columns, name ? makeString(name) : NULL);
		}
		return list_member_ptr(columns, NULL) ? NIL : columns;
	}
	return NIL;
}

/* A column that ANALYZE found to be different in every row, and never null. */
static List *
mg_distinct_column(Oid matview)
{
	for (AttrNumber attnum = 1;
		 SearchSysCacheExists2(ATTNUM, ObjectIdGetDatum(matview), Int16GetDatum(attnum)); attnum++)
	{
		HeapTuple tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(matview),
										  Int16GetDatum(attnum), BoolGetDatum(false));
		bool distinct;

		if (!HeapTupleIsValid(tuple))
			continue;
		distinct = ((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct == -1 &&
				   ((Form_pg_statistic) GETSTRUCT(tuple))->stanullfrac == 0;
		ReleaseSysCache(tuple);
		if (distinct)
			return list_make1(makeString(get_attname(matview, attnum, false)));
	}
	return NIL;
}

/* Columns for a unique index; *certain: by the query itself, and not by what ANALYZE saw. */
static List *
mg_identifying_columns(Oid matview, bool *certain)
{
	Query *query = mg_matview_query(matview);
	List *columns = NIL;

	*certain = true;
	if (query)
		columns = mg_grouping_columns(matview, query);
	if (query && columns == NIL)
		columns = mg_key_columns(matview, query);
	if (columns != NIL)
		return columns;
	*certain = false;
	return mg_distinct_column(matview);
}

/* ------------------------------------------------------------------------
 * The advice
 * ------------------------------------------------------------------------ */

/* Other relations are held: the refresh is for another transaction, whatever its form. */
static bool
mg_others_are_held(MgFootprint *fp, MgFinding *finding)
{
	ListCell *lc;

	foreach(lc, finding->blocked)
	{
		MgEffect *eff = lfirst(lc);

		if (eff->relid != fp->target && mg_effect_find(fp, eff->relid) == NULL)
			return true;
	}
	return false;
}

char *
mg_advise_refresh_matview(MgFootprint *fp, MgFinding *finding)
{
	Oid matview = fp->target;
	bool apart = finding->held >= ShareLock || mg_others_are_held(fp, finding);
	StringInfoData buf;
	bool certain;
	List *columns;

	initStringInfo(&buf);
	if (OidIsValid(mg_refresh_index(matview)))
	{
		mg_say(&buf, apart ? "Commit first, then refresh it while it can be read:"
						   : "Refresh it while it can be read:");
		mg_sql(&buf, "REFRESH MATERIALIZED VIEW CONCURRENTLY %s", mg_qualified_name(matview));
		return buf.data;
	}
	columns = mg_identifying_columns(matview, &certain);
	if (columns == NIL)
	{
		mg_say(
			&buf,
			"Without blocking reads it can be refreshed by REFRESH MATERIALIZED VIEW "
			"CONCURRENTLY, once it has a unique index on columns that identify its rows, made by "
			"CREATE UNIQUE INDEX CONCURRENTLY.");
		return buf.data;
	}
	if (!certain)
		mg_say(&buf, "At the last ANALYZE, the column was different in every row.");
	mg_say(&buf,
		   mg_situation_in_block(fp->script)
			   ? "Commit first, then give it a unique index outside a transaction block, and "
				 "refresh it while it can be read:"
			   : "Give it a unique index outside a transaction block, and refresh it while it "
				 "can be read:");
	mg_sql(&buf, "CREATE UNIQUE INDEX CONCURRENTLY ON %s (%s)", mg_qualified_name(matview),
		   mg_text_names(columns));
	mg_sql(&buf, "REFRESH MATERIALIZED VIEW CONCURRENTLY %s", mg_qualified_name(matview));
	return buf.data;
}

char *
mg_advise_create_table_as(MgFootprint *fp, MgFinding *finding)
{
	const char *what = OidIsValid(fp->target) ? "Refresh it" : "Run it";
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say(&buf,
		   "%s in a transaction of its own, before or after the one that holds %s on \"%s\": there "
		   "it blocks nobody.",
		   what, GetLockmodeName(DEFAULT_LOCKMETHOD, finding->lockmode),
		   mg_situation_name(finding->relid));
	return buf.data;
}
