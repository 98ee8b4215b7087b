/*
 * advice_dependents.c
 *
 * Owns the advice for a change of type that rewrites nothing, but rebuilds
 * indexes or verifies constraints again: they are taken away before, and made
 * anew afterwards without blocking.  Where that cannot be, a new column takes
 * the place of the old one (advice_type.c).
 */
#include "mg.h"

#include "advice.h"
#include "mg_alter.h"

/* The subcommands that change types. */
static List *
mg_type_changes(MgFootprint *fp)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
	{
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_AlterColumnType)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/* "ALTER COLUMN a TYPE t USING ..." as it was written; NULL if it cannot be told. */
static const char *
mg_text_alter_type(MgFootprint *fp, AlterTableCmd *cmd)
{
	ColumnDef *def = castNode(ColumnDef, cmd->def);
	const char *type = mg_text_new_type(def);
	const char *expr = NULL;

	if (def->raw_default)
		expr = mg_text_using_expr(fp, cmd, NULL);
	if (type == NULL || (def->raw_default && expr == NULL))
		return NULL;
	return psprintf("ALTER COLUMN %s TYPE %s%s%s", quote_identifier(cmd->name), type,
					expr ? " USING " : "", expr ? expr : "");
}

/*
 * The constraint that was declared, behind one of a partition or a child;
 * InvalidOid if that is not one of the table that the statement names.
 */
static Oid
mg_declared_constraint(MgFootprint *fp, Oid relid, const char *name)
{
	Oid conid = get_relation_constraint_oid(relid, name, true);
	bool local = false;

	for (;;)
	{
		Form_pg_constraint form = mg_constraint_form(conid);

		if (form == NULL)
			return InvalidOid;
		local = form->conislocal;
		if (!OidIsValid(form->conparentid))
			break;
		conid = form->conparentid;
	}
	return local ? conid : get_relation_constraint_oid(fp->target, name, true);
}

/* The constraints behind the tasks, by OID, each once. */
static List *
mg_task_constraints(MgFootprint *fp, MgFinding *finding)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);
		ListCell *lc2;

		foreach(lc2, eff->tasks)
		{
			MgTask *task = lfirst(lc2);

			if (task->cause == finding->rule->cause && task->constraint &&
				task->work != MG_WORK_LOOKUP)
				result = list_append_unique_oid(result, mg_declared_constraint(fp, eff->relid,
																			   task->constraint));
		}
	}
	return result;
}

/* Indexes of the table that use a column whose type changes. */
static List *
mg_indexes_of_columns(MgFootprint *fp)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, mg_index_list(fp->target))
	{
		ListCell *lc2;

		foreach(lc2, mg_type_changes(fp))
		{
			const char *name = lfirst_node(AlterTableCmd, lc2)->name;

			if (mg_index_uses(lfirst_oid(lc), get_attnum(fp->target, name)))
				result = list_append_unique_oid(result, lfirst_oid(lc));
		}
	}
	return result;
}

/*
 * The indexes to be built anew; of partitions, those that stand for all of
 * them.  A partition may get one that it did not have, for the sake of its
 * parent's.
 */
static List *
mg_task_indexes(MgFootprint *fp, MgFinding *finding)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, finding->tasks)
	{
		MgTask *task = lfirst(lc);
		Oid index = task->index;

		if (task->work != MG_WORK_BUILD)
			continue;
		if (!OidIsValid(index))
		{
			result = list_concat_unique_oid(result, mg_indexes_of_columns(fp));
			continue;
		}
		while (get_rel_relispartition(index))
			index = get_partition_parent(index, false);
		result = list_append_unique_oid(result, index);
	}
	return result;
}

/* Take away, alter, put back. */
typedef struct MgDetour
{
	StringInfoData before; /* outside any transaction block */
	StringInfoData drop;   /* in one transaction with the change of type */
	StringInfoData add;
	StringInfoData after; /* outside again */
} MgDetour;

/* A CHECK or a foreign key: dropped and added NOT VALID, validated later. */
static bool
mg_detour_constraint(MgDetour *detour, Oid conid)
{
	const char *text = mg_text_constraint(conid);
	Form_pg_constraint form = mg_constraint_form(conid);
	const char *name;
	const char *table;

	if (form == NULL || text == NULL ||
		(form->contype == CONSTRAINT_FOREIGN &&
		 get_rel_relkind(form->conrelid) == RELKIND_PARTITIONED_TABLE))
		return false;
	name = quote_identifier(NameStr(form->conname));
	table = mg_qualified_name(form->conrelid);
	mg_sql(&detour->drop, "ALTER TABLE %s DROP CONSTRAINT %s", table, name);
	mg_sql(&detour->add, "ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", table, name, text);
	mg_sql(&detour->after, "ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name);
	return true;
}

/* An index: dropped, and built again without blocking. */
static bool
mg_detour_index(MgDetour *detour, Oid index)
{
	Oid conid = get_index_constraint(index);
	Oid relid = IndexGetRelation(index, true);
	ListCell *lc;

	/* foreign keys hold on to the index behind what they reference */
	foreach(lc, mg_fkey_rows_to(relid))
	{
		if (mg_constraint_of(lfirst(lc))->conindid == index)
			return false;
	}
	if (!mg_sql_index_again(&detour->after, index))
		return false;
	if (OidIsValid(conid))
		mg_sql(&detour->drop, "ALTER TABLE %s DROP CONSTRAINT %s", mg_qualified_name(relid),
			   quote_identifier(get_constraint_name(conid)));
	else
		mg_sql(&detour->before, "DROP INDEX %s%s",
			   get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX ? "" : "CONCURRENTLY ",
			   mg_qualified_name(index));
	return true;
}

/* Everything that depends on the columns; false: it cannot be taken away and put back. */
static bool
mg_detour_all(MgFootprint *fp, MgFinding *finding, MgDetour *detour)
{
	ListCell *lc;

	foreach(lc, mg_task_indexes(fp, finding))
	{
		if (!mg_detour_index(detour, lfirst_oid(lc)))
			return false;
	}
	foreach(lc, mg_task_constraints(fp, finding))
	{
		if (!mg_detour_constraint(detour, lfirst_oid(lc)))
			return false;
	}
	return true;
}

/* All statements of the detour. */
static void
mg_say_detour(MgFootprint *fp, StringInfo buf, MgDetour *detour, const char *alter)
{
	bool block = detour->drop.len > 0;

	mg_say_apart(fp, buf,
				 "take away what depends on the column, change its type, and make it anew "
				 "without blocking");
	if (detour->before.len)
		mg_say(buf, "%s", detour->before.data);
	if (block)
	{
		mg_sql(buf, "BEGIN");
		mg_say(buf, "%s", detour->drop.data);
	}
	mg_sql(buf, "ALTER TABLE %s %s", mg_target(fp), alter);
	if (detour->add.len)
		mg_say(buf, "%s", detour->add.data);
	if (block)
		mg_sql(buf, "COMMIT");
	if (detour->after.len)
		mg_say(buf, "%s", detour->after.data);
}

char *
mg_advise_alter_column_type_dependents(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	StringInfoData alter;
	MgDetour detour;
	bool complete;
	ListCell *lc;

	initStringInfo(&buf);
	initStringInfo(&alter);
	initStringInfo(&detour.before);
	initStringInfo(&detour.drop);
	initStringInfo(&detour.add);
	initStringInfo(&detour.after);
	mg_say_rest(fp, &buf);
	complete = mg_detour_all(fp, finding, &detour);
	foreach(lc, mg_nodes(finding))
		complete &= !mg_has_cause(fp, lfirst(lc), MG_CAUSE_ALTER_TYPE);
	foreach(lc, mg_type_changes(fp))
	{
		const char *text = mg_text_alter_type(fp, lfirst(lc));

		complete &= text != NULL;
		appendStringInfo(&alter, "%s%s", alter.len ? ", " : "", text ? text : "");
	}
	if (complete)
	{
		mg_say_detour(fp, &buf, &detour, alter.data);
		return buf.data;
	}
	foreach(lc, mg_type_changes(fp))
		mg_sql_swap(fp, &buf, lfirst(lc));
	return buf.data;
}
