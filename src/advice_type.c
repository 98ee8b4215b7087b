/*
 * advice_type.c
 *
 * Owns the advice for ALTER COLUMN TYPE: with a rewrite, a new column that
 * takes the place of the old one; without, the dependents are taken away
 * before and made anew afterwards without blocking.
 */
#include "mg.h"

#include "advice.h"
#include "mg_alter.h"

/* "bigint COLLATE "C"": what follows TYPE; NULL if the type is not known. */
static const char *
mg_text_new_type(ColumnDef *def)
{
	const char *type = mg_text_type(def->typeName);

	if (type && def->collClause)
		return psprintf("%s COLLATE %s", type, NameListToQuotedString(def->collClause->collname));
	return type;
}

/* Is one of the two types timestamp, and the other timestamptz? */
static bool
mg_depends_on_timezone(MgFootprint *fp, AlterTableCmd *cmd)
{
	Oid oldtype = get_atttype(fp->target, get_attnum(fp->target, cmd->name));
	Oid newtype;
	int32 typmod;

	if (castNode(ColumnDef, cmd->def)->raw_default ||
		!mg_try_type(castNode(ColumnDef, cmd->def)->typeName, &newtype, &typmod))
		return false;
	return typmod == -1 && ((oldtype == TIMESTAMPOID && newtype == TIMESTAMPTZOID) ||
							(oldtype == TIMESTAMPTZOID && newtype == TIMESTAMPOID));
}

/*
 * The new value: USING, or a cast of the old one.  A trigger runs in sessions
 * of all sorts, so a cast that depends on TimeZone names the one of this
 * session.
 */
static const char *
mg_text_using_expr(MgFootprint *fp, AlterTableCmd *cmd, const char *prefix)
{
	ColumnDef *def = castNode(ColumnDef, cmd->def);

	if (def->raw_default)
		return mg_text_expr(fp->target, def->raw_default, EXPR_KIND_ALTER_COL_TRANSFORM, prefix,
							InvalidOid, -1);
	if (mg_depends_on_timezone(fp, cmd))
		return psprintf("%s%s%s AT TIME ZONE %s", prefix ? prefix : "", prefix ? "." : "",
						quote_identifier(cmd->name),
						quote_literal_cstr(pg_get_timezone_name(session_timezone)));
	return psprintf("%s%s%s::%s", prefix ? prefix : "", prefix ? "." : "",
					quote_identifier(cmd->name), mg_text_type(def->typeName));
}

/* Does the index use the column? */
static bool
mg_index_uses(Oid index, AttrNumber attnum)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		for (int i = 0; i < form->indnatts; i++)
			result |= form->indkey.values[i] == attnum;
		ReleaseSysCache(tuple);
	}
	return result;
}

/* Is the column in an array of column numbers of a constraint? */
static bool
mg_in_key(HeapTuple tuple, AttrNumber anum, AttrNumber attnum)
{
	bool isnull;
	Datum datum = SysCacheGetAttr(CONSTROID, tuple, anum, &isnull);
	Datum *keys;
	int nkeys;

	if (isnull)
		return false;
	deconstruct_array(DatumGetArrayTypeP(datum), INT2OID, sizeof(int16), true, TYPALIGN_SHORT,
					  &keys, NULL, &nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		if (DatumGetInt16(keys[i]) == attnum)
			return true;
	}
	return false;
}

/* CHECK constraints and foreign keys of the column, and foreign keys that reference it. */
static void
mg_add_constraints_of(StringInfo buf, Oid relid, AttrNumber attnum)
{
	Relation pg_constraint = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	ListCell *lc;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_constraint, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if ((form->contype == CONSTRAINT_CHECK || form->contype == CONSTRAINT_FOREIGN) &&
			mg_in_key(tuple, Anum_pg_constraint_conkey, attnum))
			appendStringInfo(buf, ", constraint %s", quote_identifier(NameStr(form->conname)));
	}
	systable_endscan(scan);
	table_close(pg_constraint, AccessShareLock);
	foreach(lc, mg_fkeys_to(relid))
	{
		tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(lfirst_oid(lc)));
		if (!HeapTupleIsValid(tuple))
			continue;
		if (mg_in_key(tuple, Anum_pg_constraint_confkey, attnum))
			appendStringInfo(buf, ", foreign key %s of %s",
							 quote_identifier(
								 NameStr(((Form_pg_constraint) GETSTRUCT(tuple))->conname)),
							 mg_qualified_name(((Form_pg_constraint) GETSTRUCT(tuple))->conrelid));
		ReleaseSysCache(tuple);
	}
}

/* What the old column has that the new one has to be given before the swap. */
static const char *
mg_text_belongings(MgFootprint *fp, AlterTableCmd *cmd)
{
	AttrNumber attnum = get_attnum(fp->target, cmd->name);
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(fp->target), Int16GetDatum(attnum));
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		if (att->attnotnull)
			appendStringInfoString(&buf, ", NOT NULL");
		if (att->attidentity)
			appendStringInfoString(&buf, ", its identity");
		else if (att->atthasdef)
			appendStringInfoString(&buf, ", its default");
		ReleaseSysCache(tuple);
	}
	foreach(lc, mg_index_list(fp->target))
	{
		if (mg_index_uses(lfirst_oid(lc), attnum))
			appendStringInfo(&buf, ", index %s", quote_identifier(get_rel_name(lfirst_oid(lc))));
	}
	mg_add_constraints_of(&buf, fp->target, attnum);
	return buf.len ? buf.data + 2 : "";
}

/* One column: a new one, a trigger, a backfill, a swap. */
static void
mg_sql_swap(MgFootprint *fp, StringInfo buf, AlterTableCmd *cmd)
{
	const char *plain = mg_text_using_expr(fp, cmd, NULL);
	const char *row = mg_text_using_expr(fp, cmd, "new");
	const char *type = mg_text_new_type(castNode(ColumnDef, cmd->def));
	const char *table = mg_qualified_name(fp->target);
	const char *column = quote_identifier(cmd->name);
	const char *fresh = quote_identifier(mg_free_column(fp->target, cmd->name, "new"));
	const char *old = quote_identifier(mg_free_column(fp->target, cmd->name, "old"));
	const char *belongings = mg_text_belongings(fp, cmd);
	const char *name = makeObjectName(get_rel_name(fp->target), cmd->name, "sync");
	const char *function =
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(fp->target)), name);

	if (plain == NULL || row == NULL || type == NULL)
	{
		mg_say(buf,
			   "Add a column of the new type, keep it in step by a trigger, fill it in batches, "
			   "then rename it.");
		return;
	}
	mg_sql(buf, "ALTER TABLE %s ADD COLUMN %s %s", table, fresh, type);
	mg_sql(buf, "CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS %s", function,
		   quote_literal_cstr(psprintf("BEGIN new.%s := %s; RETURN new; END", fresh, row)));
	mg_sql(buf,
		   "CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s()",
		   quote_identifier(name), table, function);
	mg_sql_backfill(buf, fp->target, psprintf("%s = %s", fresh, plain),
					castNode(ColumnDef, cmd->def)->raw_default
						? psprintf("%s IS NULL", fresh)
						: psprintf("%s IS NULL AND %s IS NOT NULL", fresh, column));
	if (*belongings)
		mg_say(buf, "Give the new column what the old one has (%s), then swap them:", belongings);
	mg_sql(buf, "BEGIN");
	mg_sql(buf, "ALTER TABLE %s RENAME COLUMN %s TO %s", table, column, old);
	mg_sql(buf, "ALTER TABLE %s RENAME COLUMN %s TO %s", table, fresh, column);
	mg_sql(buf, "DROP TRIGGER %s ON %s", quote_identifier(name), table);
	mg_sql(buf, "DROP FUNCTION %s()", function);
	mg_sql(buf, "COMMIT");
	mg_say(buf, "When nothing uses the old column any more:");
	mg_sql(buf, "ALTER TABLE %s DROP COLUMN %s", table, old);
}

char *
mg_advise_alter_column_type(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	foreach(lc, mg_nodes(finding))
	{
		AlterTableCmd *cmd = mg_subcommand(fp, lfirst(lc));

		if (cmd == NULL || cmd->subtype != AT_AlterColumnType)
			continue;
		if (mg_depends_on_timezone(fp, cmd))
			mg_say(&buf,
				   "If the values are meant as UTC, SET TimeZone = 'UTC' before the statement, "
				   "and the table is not rewritten.");
		mg_say_apart(fp, &buf, "let a new column take the place of the old one");
		mg_sql_swap(fp, &buf, cmd);
	}
	return buf.data;
}

/* ------------------------------------------------------------------------
 * No rewrite, but indexes and constraints
 * ------------------------------------------------------------------------ */

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

typedef struct MgConstraintDef
{
	Oid conid;
	char *text;
} MgConstraintDef;

/* "ALTER TABLE t ADD CONSTRAINT c CHECK (...)", of a constraint that is there. */
static void
mg_constraint_command(void *arg)
{
	MgConstraintDef *d = arg;

	d->text = pg_get_constraintdef_command(d->conid);
}

/* The constraints behind the tasks, by OID, each once. */
static List *
mg_task_constraints(MgFinding *finding)
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
			HeapTuple tuple;
			Oid conid;

			if (task->cause != finding->rule->cause || task->constraint == NULL ||
				task->work == MG_WORK_LOOKUP)
				continue;
			conid = get_relation_constraint_oid(eff->relid, task->constraint, true);
			tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conid));
			if (!HeapTupleIsValid(tuple))
				continue;
			/* of a partition or child: the one that was declared */
			while (OidIsValid(((Form_pg_constraint) GETSTRUCT(tuple))->conparentid))
			{
				conid = ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid;
				ReleaseSysCache(tuple);
				tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conid));
				if (!HeapTupleIsValid(tuple))
					return result;
			}
			if (((Form_pg_constraint) GETSTRUCT(tuple))->conislocal)
				result = list_append_unique_oid(result, conid);
			ReleaseSysCache(tuple);
		}
	}
	return result;
}

/* The indexes to be built anew; of partitions, those that stand for all of them. */
static List *
mg_task_indexes(MgFinding *finding)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, finding->tasks)
	{
		MgTask *task = lfirst(lc);
		Oid index = task->index;

		if (task->work != MG_WORK_BUILD || !OidIsValid(index))
			continue;
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
	MgConstraintDef d = {.conid = conid};
	HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conid));
	const char *name;
	const char *table;
	bool refused;

	if (!HeapTupleIsValid(tuple))
		return false;
	name = quote_identifier(NameStr(((Form_pg_constraint) GETSTRUCT(tuple))->conname));
	table = mg_qualified_name(((Form_pg_constraint) GETSTRUCT(tuple))->conrelid);
	refused = ((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_FOREIGN &&
			  get_rel_relkind(((Form_pg_constraint) GETSTRUCT(tuple))->conrelid) ==
				  RELKIND_PARTITIONED_TABLE;
	ReleaseSysCache(tuple);
	if (refused || !mg_attempt(mg_constraint_command, &d, NULL) || d.text == NULL)
		return false;
	mg_sql(&detour->drop, "ALTER TABLE %s DROP CONSTRAINT %s", table, name);
	mg_sql(&detour->add, "%s NOT VALID", d.text);
	mg_sql(&detour->after, "ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name);
	return true;
}

/* The index that a foreign key relies on. */
static Oid
mg_fkey_index(Oid conid)
{
	HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conid));
	Oid index = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		index = ((Form_pg_constraint) GETSTRUCT(tuple))->conindid;
		ReleaseSysCache(tuple);
	}
	return index;
}

/* An index: dropped, and built again without blocking. */
static bool
mg_detour_index(MgDetour *detour, Oid index)
{
	Oid conid = get_index_constraint(index);
	Oid relid = IndexGetRelation(index, true);
	ListCell *lc;

	/* foreign keys hold on to the index behind what they reference */
	foreach(lc, mg_fkeys_to(relid))
	{
		if (mg_fkey_index(lfirst_oid(lc)) == index)
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
mg_detour_all(MgFinding *finding, MgDetour *detour)
{
	ListCell *lc;

	foreach(lc, mg_task_indexes(finding))
	{
		if (!mg_detour_index(detour, lfirst_oid(lc)))
			return false;
	}
	foreach(lc, mg_task_constraints(finding))
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
	complete = mg_detour_all(finding, &detour);
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
	mg_say_apart(fp, &buf, "let a new column take the place of the old one");
	foreach(lc, mg_type_changes(fp))
		mg_sql_swap(fp, &buf, lfirst(lc));
	return buf.data;
}
