/*
 * script_writes.c
 *
 * Owns what the statements of a script that change rows leave behind until
 * their transaction ends: which tables it has written to, and how many rows
 * that are at least.  Nothing is planned: without WHERE it is all of them, and
 * otherwise nobody knows.
 */
#include "mg_script.h"

/*
 * The table, its partitions or children: those that have rows are written to.
 * New rows go into partitions, but not into children.
 */
static void
mg_wrote(MgScript *script, const RangeVar *rv, bool all, bool new_rows)
{
	Oid relid = mg_script_resolve(script, rv);
	ListCell *lc;

	if (!OidIsValid(relid))
		return;
	foreach(lc, mg_tree(relid,
						new_rows ? get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE : rv->inh))
	{
		MgScriptWrite *entry = palloc0(sizeof(MgScriptWrite));
		MgSize size = {0};

		entry->relid = lfirst_oid(lc);
		/* a partitioned table has no rows of its own */
		if (all && get_rel_relkind(entry->relid) != RELKIND_PARTITIONED_TABLE)
		{
			mg_relation_size(entry->relid, &size);
			entry->rows = size.rows;
		}
		script->writes = lappend(script->writes, entry);
	}
}

static void mg_wrote_by(MgScript *script, Node *stmt);

/* WITH x AS (DELETE ... RETURNING *) ... */
static void
mg_wrote_in_with(MgScript *script, WithClause *with)
{
	ListCell *lc;

	foreach(lc, with ? with->ctes : NIL)
		mg_wrote_by(script, lfirst_node(CommonTableExpr, lc)->ctequery);
}

static void
mg_wrote_by(MgScript *script, Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_InsertStmt:
			mg_wrote_in_with(script, ((InsertStmt *) stmt)->withClause);
			mg_wrote(script, ((InsertStmt *) stmt)->relation, false, true);
			break;
		case T_UpdateStmt:
			mg_wrote_in_with(script, ((UpdateStmt *) stmt)->withClause);
			mg_wrote(script, ((UpdateStmt *) stmt)->relation,
					 ((UpdateStmt *) stmt)->whereClause == NULL &&
						 ((UpdateStmt *) stmt)->fromClause == NIL,
					 false);
			break;
		case T_DeleteStmt:
			mg_wrote_in_with(script, ((DeleteStmt *) stmt)->withClause);
			mg_wrote(script, ((DeleteStmt *) stmt)->relation,
					 ((DeleteStmt *) stmt)->whereClause == NULL &&
						 ((DeleteStmt *) stmt)->usingClause == NIL,
					 false);
			break;
		case T_MergeStmt:
			mg_wrote_in_with(script, ((MergeStmt *) stmt)->withClause);
			mg_wrote(script, ((MergeStmt *) stmt)->relation, false, false);
			break;
		case T_SelectStmt:
			mg_wrote_in_with(script, ((SelectStmt *) stmt)->withClause);
			break;
		case T_CopyStmt:
			if (((CopyStmt *) stmt)->is_from && ((CopyStmt *) stmt)->relation)
				mg_wrote(script, ((CopyStmt *) stmt)->relation, false, true);
			break;
		case T_ExplainStmt:
			if (mg_explain_executes((ExplainStmt *) stmt))
				mg_wrote_by(script, ((ExplainStmt *) stmt)->query);
			break;
		default:
			break;
	}
}

/* Take note of the rows that a statement changes.  Called in the script's memory context. */
void
mg_script_writes(MgScript *script, Node *stmt)
{
	if (script->in_block)
		mg_wrote_by(script, stmt);
}
