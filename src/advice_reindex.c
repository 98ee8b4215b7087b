/*
 * advice_reindex.c
 *
 * Owns the advice for REINDEX, and for indexes that a failed build has left
 * behind.
 */
#include "mg.h"

#include "advice.h"

/* "(VERBOSE, TABLESPACE ts) INDEX", without CONCURRENTLY, which comes with the word. */
static const char *
mg_reindex_options(List *params)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, params)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "tablespace") == 0)
			appendStringInfo(&buf, "%sTABLESPACE %s", buf.len ? ", " : "(",
							 quote_identifier(defGetString(def)));
		else if (strcmp(def->defname, "verbose") == 0 && defGetBoolean(def))
			appendStringInfo(&buf, "%sVERBOSE", buf.len ? ", " : "(");
	}
	if (buf.len)
		appendStringInfoString(&buf, ") ");
	return buf.data;
}

char *
mg_advise_reindex(MgFootprint *fp, MgFinding *finding)
{
	ReindexStmt *stmt = castNode(ReindexStmt, fp->stmt);
	static const char *const kinds[] = {"INDEX", "TABLE", "SCHEMA", "SYSTEM", "DATABASE"};
	Oid named = stmt->relation ? RangeVarGetRelid(stmt->relation, NoLock, true) : InvalidOid;
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	if (OidIsValid(named) && stmt->kind == REINDEX_OBJECT_INDEX && mg_index_flags(named).exclusion)
	{
		mg_say(&buf,
			   "The index of an exclusion constraint cannot be rebuilt concurrently: it needs a "
			   "maintenance window.");
		return buf.data;
	}
	mg_say(&buf, mg_situation_in_block(fp->script)
					 ? "Commit first, then run outside a transaction block:"
					 : "Run outside a transaction block:");
	mg_sql(&buf, "REINDEX %s%s CONCURRENTLY %s", mg_reindex_options(stmt->params),
		   kinds[stmt->kind],
		   stmt->relation ? mg_qualified_name(named) : quote_identifier(stmt->name));
	if (stmt->kind == REINDEX_OBJECT_INDEX)
		return buf.data;
	foreach(lc, finding->tasks)
	{
		Oid index = ((MgTask *) lfirst(lc))->index;

		if (OidIsValid(index) && !get_index_isvalid(index) && !mg_index_flags(index).exclusion)
			mg_sql(&buf, "REINDEX INDEX CONCURRENTLY %s", mg_qualified_name(index));
	}
	foreach(lc, finding->tasks)
	{
		MgTask *task = lfirst(lc);

		if (OidIsValid(task->index) && mg_index_flags(task->index).exclusion)
		{
			mg_say(&buf, "Indexes of exclusion constraints are left out by it: rebuild those in a "
						 "maintenance window.");
			break;
		}
	}
	return buf.data;
}

/* One that belongs to a partition of a partitioned index, or to a constraint, cannot be dropped. */
static bool
mg_index_is_bound(Oid index)
{
	return has_superclass(index) || OidIsValid(get_index_constraint(index));
}

char *
mg_advise_invalid_index(MgFootprint *fp, MgFinding *finding)
{
	IndexStmt *stmt = castNode(IndexStmt, linitial(mg_nodes(finding)));
	const char *name = mg_qualified_name(finding->relid);
	StringInfoData buf;

	initStringInfo(&buf);
	if (get_rel_relkind(finding->relid) == RELKIND_PARTITIONED_INDEX)
	{
		mg_say_apart(fp, &buf, "complete it, for it becomes valid with the last partition");
		if (!mg_sql_complete_index(&buf, finding->relid))
			mg_say(&buf, "Every partition needs an index like it, attached to %s.", name);
		return buf.data;
	}
	mg_say(&buf, mg_situation_in_block(fp->script)
					 ? "Commit first, then run outside a transaction block:"
					 : "Run outside a transaction block:");
	if (mg_index_is_bound(finding->relid))
	{
		mg_sql(&buf, "REINDEX INDEX CONCURRENTLY %s", name);
		return buf.data;
	}
	mg_sql(&buf, "DROP INDEX CONCURRENTLY %s", name);
	mg_sql_create_concurrently(fp, &buf, stmt);
	return buf.data;
}
