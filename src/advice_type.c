/*
 * advice_type.c
 *
 * Owns the advice for ALTER COLUMN TYPE with a rewrite: a new column takes the
 * place of the old one.
 */
#include "mg.h"

#include "advice.h"
#include "mg_alter.h"

/* "bigint COLLATE "C"": what follows TYPE; NULL if the type is not known. */
const char *
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
const char *
mg_text_using_expr(MgFootprint *fp, AlterTableCmd *cmd, const char *prefix)
{
	ColumnDef *def = castNode(ColumnDef, cmd->def);
	const char *column = prefix ? mg_text_field(cmd->name) : quote_identifier(cmd->name);
	const char *type;

	if (def->raw_default)
		return mg_text_expr(fp->target, def->raw_default, EXPR_KIND_ALTER_COL_TRANSFORM, prefix,
							InvalidOid, -1);
	if (mg_depends_on_timezone(fp, cmd))
		return psprintf("%s%s%s AT TIME ZONE %s", prefix ? prefix : "", prefix ? "." : "", column,
						quote_literal_cstr(pg_get_timezone_name(session_timezone)));
	type = mg_base_type(def);
	return psprintf("%s%s%s::%s", prefix ? prefix : "", prefix ? "." : "", column,
					type ? type : mg_text_type(def->typeName));
}

/* Does the index use the column? */
bool
mg_index_uses(Oid index, AttrNumber attnum)
{
	Form_pg_index form = mg_index_form(index);

	for (int i = 0; form && i < form->indnatts; i++)
	{
		if (form->indkey.values[i] == attnum)
			return true;
	}
	return false;
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
	ListCell *lc;

	foreach(lc, mg_constraints_of(relid))
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));

		if ((form->contype == CONSTRAINT_CHECK || form->contype == CONSTRAINT_FOREIGN) &&
			mg_in_key(lfirst(lc), Anum_pg_constraint_conkey, attnum))
			appendStringInfo(buf, ", constraint %s", quote_identifier(NameStr(form->conname)));
	}
	foreach(lc, mg_fkey_rows_to(relid))
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));

		if (mg_in_key(lfirst(lc), Anum_pg_constraint_confkey, attnum))
			appendStringInfo(buf, ", foreign key %s of %s",
							 quote_identifier(NameStr(form->conname)),
							 mg_qualified_name(form->conrelid));
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

/* Is the new type a domain over the old one, which asks only for a check? */
static bool
mg_only_checks(MgFootprint *fp, AlterTableCmd *cmd)
{
	Oid oldtype;
	int32 oldtypmod;
	Oid collation;
	Oid newtype;
	int32 newtypmod;

	if (castNode(ColumnDef, cmd->def)->raw_default ||
		mg_base_type(castNode(ColumnDef, cmd->def)) == NULL ||
		!mg_try_type(castNode(ColumnDef, cmd->def)->typeName, &newtype, &newtypmod) ||
		get_attnum(fp->target, cmd->name) == InvalidAttrNumber)
		return false;
	get_atttypetypmodcoll(fp->target, get_attnum(fp->target, cmd->name), &oldtype, &oldtypmod,
						  &collation);
	oldtype = getBaseTypeAndTypmod(oldtype, &oldtypmod);
	newtype = getBaseTypeAndTypmod(newtype, &newtypmod);
	return oldtype == newtype && oldtypmod == newtypmod;
}

/* Columns cannot be added to typed tables, nor triggers to composite types. */
static bool
mg_can_add_columns(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form && form->relkind != RELKIND_COMPOSITE_TYPE && !OidIsValid(form->reloftype);
}

/* The trigger that keeps the new column in step, and the backfill. */
static void
mg_sql_sync(MgFootprint *fp, StringInfo buf, AlterTableCmd *cmd, const char *fresh,
			const char *trigger)
{
	mg_sql_trigger_function(buf, fp->target, trigger, fresh, mg_text_using_expr(fp, cmd, "new"));
	mg_sql_trigger(buf, fp->target, trigger);
	mg_sql_backfill(buf, fp->target, psprintf("%s = %s", fresh, mg_text_using_expr(fp, cmd, NULL)),
					castNode(ColumnDef, cmd->def)->raw_default
						? psprintf("%s IS NULL", fresh)
						: psprintf("%s IS NULL AND %s IS NOT NULL", fresh,
								   quote_identifier(cmd->name)));
}

/*
 * One column: a new one, a trigger, a backfill, a swap.  A domain that checks
 * its values becomes its base type with a CHECK of its own.
 */
void
mg_sql_swap(MgFootprint *fp, StringInfo buf, AlterTableCmd *cmd)
{
	ColumnDef *def = castNode(ColumnDef, cmd->def);
	const char *base = mg_base_type(def);
	const char *type = base ? base : mg_text_new_type(def);
	const char *table = mg_qualified_name(fp->target);
	const char *column = quote_identifier(cmd->name);
	const char *name = mg_free_column(fp->target, cmd->name, "new");
	const char *fresh = quote_identifier(name);
	const char *old = quote_identifier(mg_free_column(fp->target, cmd->name, "old"));
	const char *belongings = mg_text_belongings(fp, cmd);
	const char *trigger = makeObjectName(get_rel_name(fp->target), cmd->name, "sync");

	if (!mg_can_add_columns(fp->target))
	{
		mg_say(buf, "There is no online form for a table of a composite type.");
		return;
	}
	if (type == NULL || mg_text_using_expr(fp, cmd, NULL) == NULL ||
		mg_text_using_expr(fp, cmd, "new") == NULL)
	{
		mg_say(buf,
			   "Add a column of the new type, keep it in step by a trigger, fill it in batches, "
			   "then rename it.");
		return;
	}
	mg_say_apart(fp, buf, "let a new column take the place of the old one");
	mg_sql(buf, "ALTER TABLE %s ADD COLUMN %s %s", table, fresh, type);
	mg_sql_sync(fp, buf, cmd, fresh, trigger);
	if (base)
		mg_sql_domain_check(fp, buf, def->typeName, name);
	if (*belongings)
		mg_say(buf, "Give the new column what the old one has (%s), then swap them:", belongings);
	mg_sql(buf, "BEGIN");
	mg_sql(buf, "ALTER TABLE %s RENAME COLUMN %s TO %s", table, column, old);
	mg_sql(buf, "ALTER TABLE %s RENAME COLUMN %s TO %s", table, fresh, column);
	mg_sql(buf, "DROP TRIGGER %s ON %s", quote_identifier(trigger), table);
	mg_sql(buf, "DROP FUNCTION %s()", mg_trigger_function(fp->target, trigger));
	mg_sql(buf, "COMMIT");
	mg_say(buf, "When nothing uses the old column any more:");
	mg_sql(buf, "ALTER TABLE %s DROP COLUMN %s", table, old);
}

static void
mg_advise_one_type(MgFootprint *fp, MgFinding *finding pg_attribute_unused(), StringInfo buf,
				   Node *node)
{
	AlterTableCmd *cmd = mg_subcommand(fp, node);

	if (cmd == NULL || cmd->subtype != AT_AlterColumnType)
		return;
	if (mg_depends_on_timezone(fp, cmd))
		mg_say(buf, "If the values are meant as UTC, SET TimeZone = 'UTC' before the statement, "
					"and the table is not rewritten.");
	if (mg_only_checks(fp, cmd))
	{
		mg_say_apart(fp, buf, "a CHECK asks the same of the values as the domain does");
		mg_sql_domain_check(fp, buf, castNode(ColumnDef, cmd->def)->typeName, cmd->name);
	}
	else
		mg_sql_swap(fp, buf, cmd);
}

char *
mg_advise_alter_column_type(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_nodes(fp, finding, mg_advise_one_type);
}
