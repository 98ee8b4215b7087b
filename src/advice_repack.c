/*
 * advice_repack.c
 *
 * Owns the advice to copy a table by REPACK (CONCURRENTLY), which PostgreSQL
 * has from 19 on: for REPACK itself, VACUUM FULL and CLUSTER.
 */
#include "mg.h"

#include "advice.h"

/* Could rows be told apart by this unique index, as REPLICA IDENTITY wants it? */
static bool
mg_tells_rows(Oid relid, HeapTuple index_tuple)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(index_tuple);
	bool isnull;

	(void) SysCacheGetAttr(INDEXRELID, index_tuple, Anum_pg_index_indpred, &isnull);
	if (!isnull || !form->indisunique || !form->indimmediate || !form->indisvalid)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										  Int16GetDatum(form->indkey.values[i]));
		bool not_null;

		if (!HeapTupleIsValid(tuple))
			return false;
		not_null = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
		ReleaseSysCache(tuple);
		if (!not_null)
			return false;
	}
	return true;
}

/* An index that can become the replica identity of a table that has none; or InvalidOid. */
static Oid
mg_identity_candidate(Oid relid)
{
	ListCell *lc;

	if (!mg_owns(RelationRelationId, relid))
		return InvalidOid;
	foreach(lc, mg_index_list(relid))
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		bool good;

		if (!HeapTupleIsValid(tuple))
			continue;
		good = mg_tells_rows(relid, tuple);
		ReleaseSysCache(tuple);
		if (good)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* Has the table the replica identity that tables have if nothing is said? */
static bool
mg_has_default_identity(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form && form->relreplident == REPLICA_IDENTITY_DEFAULT;
}

/* The index in whose order a table is to be written, or InvalidOid. */
static Oid
mg_wanted_order(MgFootprint *fp, Oid relid)
{
	MgEffect *eff = mg_effect_find(fp, relid);
	ListCell *lc;

	foreach(lc, eff ? eff->tasks : NIL)
	{
		MgTask *task = lfirst(lc);

		if (task->work == MG_WORK_REWRITE)
			return task->index;
	}
	return InvalidOid;
}

/* REPACK (CONCURRENTLY) of one table, if there is a way to it. */
static bool
mg_sql_repack_one(MgFootprint *fp, StringInfo buf, Oid relid)
{
	const char *name = mg_qualified_name(relid);
	Oid order = mg_wanted_order(fp, relid);
	MgProblem problem;

	if (!mg_may_maintain(relid) || mg_repack_obstacle(relid, false, &problem))
		return false;
	if (mg_repack_obstacle(relid, true, &problem))
	{
		Oid identity = mg_identity_candidate(relid);

		if (!OidIsValid(identity) || !mg_has_default_identity(relid))
			return false;
		mg_sql(buf, "ALTER TABLE %s REPLICA IDENTITY USING INDEX %s", name,
			   quote_identifier(get_rel_name(identity)));
	}
	if (OidIsValid(order))
		mg_sql(buf, "REPACK (CONCURRENTLY) %s USING INDEX %s", name,
			   quote_identifier(get_rel_name(order)));
	else
		mg_sql(buf, "REPACK (CONCURRENTLY) %s", name);
	return true;
}

/*
 * Copying tables while they are in use.  what: how a sentence about it begins,
 * in the infinitive.  Returns those of the tables (OIDs) for which there is no
 * such way here; says why.
 */
List *
mg_sql_repack(MgFootprint *fp, StringInfo buf, List *tables, const char *what)
{
	StringInfoData statements;
	List *rest = NIL;
	ListCell *lc;

	if (!MG_PG_HAS_REPACK)
		return tables;
	initStringInfo(&statements);
	foreach(lc, tables)
	{
		if (!mg_sql_repack_one(fp, &statements, lfirst_oid(lc)))
			rest = lappend_oid(rest, lfirst_oid(lc));
	}
	if (statements.len > 0)
	{
		if (mg_situation_in_block(fp->script))
			mg_say(buf, "Commit first, then %s, outside a transaction block:", what);
		else
			mg_say(buf, "%c%s, outside a transaction block:", pg_toupper((unsigned char) what[0]),
				   what + 1);
		appendStringInfo(buf, "\n%s", statements.data);
		mg_say(buf, "At the end it waits for those who use the table, and others wait behind it, "
					"so run it when there are no long transactions.");
	}
	foreach(lc, rest)
	{
		MgProblem problem;

		if (mg_repack_obstacle(lfirst_oid(lc), true, &problem))
			mg_say(buf, "Here REPACK (CONCURRENTLY) would refuse %s. %s",
				   mg_qualified_name(lfirst_oid(lc)),
				   problem.detail ? problem.detail : psprintf("%s.", problem.message));
	}
	return rest;
}

char *
mg_advise_repack(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	List *rest;

	initStringInfo(&buf);
	rest = mg_sql_repack(fp, &buf, mg_worked_tables(finding), "copy the table while it is in use");
	if (rest)
		mg_say(&buf, "Remove what it objects to, or do it in a maintenance window.");
	return buf.data;
}
