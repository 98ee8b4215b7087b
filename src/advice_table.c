/*
 * advice_table.c
 *
 * Owns the advice for what rewrites or copies a whole table.
 */
#include "mg.h"

#include "advice.h"

/* A word that a shell leaves as it is. */
static const char *
mg_shell_word(const char *word)
{
	StringInfoData buf;

	if (strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_.") == strlen(word))
		return word;
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '\'');
	for (; *word; word++)
	{
		if (*word == '\'')
			appendStringInfoString(&buf, "'\\''");
		else
			appendStringInfoChar(&buf, *word);
	}
	appendStringInfoChar(&buf, '\'');
	return buf.data;
}

/* A command of pg_repack for a shell. */
static void
mg_say_repack(StringInfo buf, const char *options, Oid relid)
{
	char *database = get_database_name(MyDatabaseId);

	mg_say(buf, "pg_repack%s --table=%s %s", options, mg_shell_word(mg_qualified_name(relid)),
		   mg_shell_word(database));
}

/* The tables that are worked on, up to a few. */
List *
mg_worked_tables(MgFinding *finding)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);

		if (list_length(result) < MG_SHOWN &&
			(eff->relkind == RELKIND_RELATION || eff->relkind == RELKIND_MATVIEW))
			result = lappend_oid(result, eff->relid);
	}
	return result;
}

char *
mg_advise_set_logged(MgFootprint *fp, MgFinding *finding pg_attribute_unused())
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say(&buf,
		   "There is no online form. Fill a new table in batches and rename it into place, or do "
		   "it in a maintenance window.");
	return buf.data;
}

char *
mg_advise_set_access_method(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_set_logged(fp, finding);
}

/* The tablespace that a subcommand asks for. */
static const char *
mg_wanted_tablespace(MgFootprint *fp, MgFinding *finding)
{
	AlterTableCmd *cmd = mg_subcommand(fp, linitial(mg_nodes(finding)));

	if (cmd)
		return cmd->name;
	if (IsA(fp->stmt, AlterTableMoveAllStmt))
		return castNode(AlterTableMoveAllStmt, fp->stmt)->new_tablespacename;
	return NULL;
}

char *
mg_advise_set_tablespace(MgFootprint *fp, MgFinding *finding)
{
	const char *tablespace = mg_nodes(finding) ? mg_wanted_tablespace(fp, finding) : NULL;
	bool table = false;
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	if (tablespace == NULL)
		return NULL;
	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);

		if (eff->relkind != RELKIND_INDEX)
			table = true;
		else if (buf.len == 0)
			mg_say(
				&buf,
				mg_situation_in_block(fp->script)
					? "Commit first, then build the index anew where it is to be, outside a transaction block:"
					: "Build the index anew where it is to be, outside a transaction block:");
		if (eff->relkind == RELKIND_INDEX)
			mg_sql(&buf, "REINDEX (TABLESPACE %s) INDEX CONCURRENTLY %s",
				   quote_identifier(tablespace), mg_qualified_name(eff->relid));
	}
	if (!table)
		return buf.data;
	mg_say(
		&buf,
		"The server has no online form. The extension pg_repack moves a table while it is in use:");
	foreach(lc, mg_worked_tables(finding))
		mg_say_repack(&buf, psprintf(" --tablespace=%s", mg_shell_word(tablespace)),
					  lfirst_oid(lc));
	return buf.data;
}

char *
mg_advise_vacuum_full(MgFootprint *fp, MgFinding *finding)
{
	List *tables = mg_worked_tables(finding);
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say(&buf, "Plain VACUUM lets the table use its dead space again, without blocking anybody:");
	foreach(lc, tables)
		mg_sql(&buf, "VACUUM (ANALYZE) %s", mg_qualified_name(lfirst_oid(lc)));
	tables = mg_sql_repack(fp, &buf, tables,
						   "to give space back to the operating system, copy the table while it is "
						   "in use");
	if (tables == NIL)
		return buf.data;
	mg_say(&buf,
		   "To give space back to the operating system, rebuild bloated indexes by REINDEX TABLE "
		   "CONCURRENTLY, and tables by the extension pg_repack, while they are in use:");
	foreach(lc, tables)
		mg_say_repack(&buf, " --no-order", lfirst_oid(lc));
	return buf.data;
}

char *
mg_advise_cluster(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	List *tables;
	ListCell *lc;

	initStringInfo(&buf);
	tables = mg_sql_repack(fp, &buf, mg_worked_tables(finding),
						   "order the table while it is in use");
	if (tables == NIL)
		return buf.data;
	mg_say(&buf,
		   "%sThe extension pg_repack orders a table while it is in use, by the index of the last "
		   "CLUSTER or by --order-by:",
		   MG_PG_HAS_REPACK ? "" : "The server has no online form. ");
	foreach(lc, tables)
		mg_say_repack(&buf, "", lfirst_oid(lc));
	return buf.data;
}

/* Found out under the lock: nothing has been written yet. */
char *
mg_advise_unannounced_rewrite(MgFootprint *fp pg_attribute_unused(),
							  MgFinding *finding pg_attribute_unused())
{
	return pstrdup(
		"Nothing has been written yet. Run the statement again: something that it "
		"depends on has changed since it was judged, and it will be judged anew. If "
		"the same happens again, migration_guard is wrong about it; please report that.");
}
