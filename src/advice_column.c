/*
 * advice_column.c
 *
 * Owns the advice for ADD COLUMN and for SET NOT NULL: columns come into the
 * world empty, are filled in batches, and are constrained last.
 */
#include "mg.h"

#include "advice.h"

/* Is the new column to be NOT NULL? */
static bool
mg_wants_not_null(ColumnDef *def)
{
	return mg_column_clause(def, CONSTR_NOTNULL) != NULL ||
		   mg_column_clause(def, CONSTR_PRIMARY) != NULL ||
		   mg_column_clause(def, CONSTR_IDENTITY) != NULL || mg_text_serial(def->typeName) != NULL;
}

/* A domain's own conditions as a CHECK of a column, which can be NOT VALID. */
void
mg_sql_domain_check(MgFootprint *fp, StringInfo buf, TypeName *type, const char *column)
{
	Oid typid;
	int32 typmod;
	const char *name = quote_identifier(ChooseConstraintName(get_rel_name(fp->target), column,
															 "check", get_rel_namespace(fp->target),
															 NIL));

	if (!mg_try_type(type, &typid, &typmod))
		return;
	mg_sql_constraint(buf, mg_target(fp), name,
					  psprintf("CHECK (%s)", mg_text_domain_check(typid, column)));
}

/* Does the domain, or one that it is made of, refuse nulls? */
static bool
mg_domain_not_null(ColumnDef *def)
{
	Oid typid;
	int32 typmod;
	bool result = false;

	if (!mg_try_type(def->typeName, &typid, &typmod))
		return false;
	while (!result && get_typtype(typid) == TYPTYPE_DOMAIN)
	{
		Form_pg_type form = mg_type_form(typid);

		if (form == NULL)
			break;
		result = form->typnotnull;
		typid = form->typbasetype;
	}
	return result;
}

/* A default that every row computes for itself, or a domain that checks each of them. */
static void
mg_advise_default(MgFootprint *fp, MgFinding *finding, StringInfo buf, Node *node)
{
	ColumnDef *def = mg_new_column(fp, node);
	const char *column = quote_identifier(def->colname);
	const char *base = mg_base_type(def);
	bool is_volatile = false;
	const char *expr = mg_text_default(def, &is_volatile);

	if (base)
		mg_say(buf, "A column of the base type with a CHECK of its own needs no rewrite.");
	mg_say_apart(fp, buf,
				 is_volatile ? "add the column empty and fill it in batches"
							 : "add the column first");
	mg_sql_add_column(fp, buf, finding, node, true);
	if (expr && is_volatile)
	{
		mg_sql(buf, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", mg_target(fp), column, expr);
		mg_sql_backfill(buf, fp->target, psprintf("%s = DEFAULT", column),
						psprintf("%s IS NULL", column));
	}
	else if (base && expr == NULL && mg_domain_not_null(def))
		mg_say(buf, "Fill it in batches with commits between, then:");
	if (base)
		mg_sql_domain_check(fp, buf, def->typeName, def->colname);
	if (mg_wants_not_null(def) && (expr == NULL || is_volatile))
		mg_sql_not_null(buf, fp->target, mg_target(fp), def->colname);
}

/* serial and GENERATED ... AS IDENTITY: a sequence first, ownership last. */
static void
mg_advise_sequence(MgFootprint *fp, MgFinding *finding, StringInfo buf, Node *node)
{
	ColumnDef *def = mg_new_column(fp, node);
	Constraint *identity = mg_column_clause(def, CONSTR_IDENTITY);
	const char *column = quote_identifier(def->colname);
	const char *table = mg_qualified_name(fp->target);
	const char *type = mg_text_type(def->typeName);
	Oid nspid = get_rel_namespace(fp->target);
	const char *name = ChooseRelationName(get_rel_name(fp->target), def->colname,
										  identity ? "backfill_seq" : "seq", nspid, false);
	const char *sequence = quote_qualified_identifier(get_namespace_name(nspid), name);

	mg_say_apart(fp, buf,
				 "add the column empty, let a sequence number new rows, and number the "
				 "rows that are there in batches");
	mg_sql(buf, "CREATE SEQUENCE %s AS %s", sequence, type ? type : "bigint");
	mg_sql_add_column(fp, buf, finding, node, false);
	mg_sql(buf, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT nextval(%s)", table, column,
		   quote_literal_cstr(sequence));
	if (identity == NULL)
		mg_sql(buf, "ALTER SEQUENCE %s OWNED BY %s.%s", sequence, table, column);
	mg_sql_backfill(buf, fp->target, psprintf("%s = DEFAULT", column),
					psprintf("%s IS NULL", column));
	mg_sql_not_null(buf, fp->target, mg_target(fp), def->colname);
	if (identity == NULL)
		return;
	mg_sql(buf, "BEGIN");
	mg_sql(
		buf,
		"ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT, ALTER COLUMN %s ADD GENERATED %s AS IDENTITY",
		table, column, column,
		identity->generated_when == ATTRIBUTE_IDENTITY_ALWAYS ? "ALWAYS" : "BY DEFAULT");
	mg_sql(buf, "SELECT setval(pg_get_serial_sequence(%s, %s), nextval(%s))",
		   quote_literal_cstr(table), quote_literal_cstr(def->colname),
		   quote_literal_cstr(sequence));
	mg_sql(buf, "COMMIT");
	mg_sql(buf, "DROP SEQUENCE %s", sequence);
}

/* GENERATED ... STORED: a trigger does the same for new rows. */
static void
mg_advise_generated(MgFootprint *fp, MgFinding *finding, StringInfo buf, Node *node)
{
	ColumnDef *def = mg_new_column(fp, node);
	Constraint *con = mg_column_clause(def, CONSTR_GENERATED);
	const char *column = quote_identifier(def->colname);
	const char *plain = mg_text_expr(fp->target, con->raw_expr, EXPR_KIND_GENERATED_COLUMN, NULL,
									 InvalidOid, -1);
	const char *row = mg_text_expr(fp->target, con->raw_expr, EXPR_KIND_GENERATED_COLUMN, "new",
								   InvalidOid, -1);
	const char *name;

	if (plain == NULL || row == NULL)
	{
		mg_say(buf, "Add a plain column, compute it by a trigger, and fill it in batches.");
		return;
	}
	name = makeObjectName(get_rel_name(fp->target), def->colname, "generate");
	mg_say_apart(fp, buf, "add a plain column, compute it by a trigger, and fill it in batches");
	mg_sql_add_column(fp, buf, finding, node, false);
	mg_sql_trigger_function(buf, fp->target, name, mg_text_field(def->colname), row);
	mg_sql_trigger(buf, fp->target, name);
	mg_sql_backfill(buf, fp->target, psprintf("%s = %s", column, plain),
					psprintf("%s IS NULL", column));
	if (mg_column_clause(def, CONSTR_NOTNULL))
		mg_sql_not_null(buf, fp->target, mg_target(fp), def->colname);
}

static void
mg_advise_one_column(MgFootprint *fp, MgFinding *finding, StringInfo buf, Node *node)
{
	ColumnDef *def = mg_new_column(fp, node);

	if (def == NULL)
		return;
	if (mg_column_clause(def, CONSTR_IDENTITY) || mg_text_serial(def->typeName))
		mg_advise_sequence(fp, finding, buf, node);
	else if (mg_column_clause(def, CONSTR_GENERATED))
		mg_advise_generated(fp, finding, buf, node);
	else
		mg_advise_default(fp, finding, buf, node);
}

char *
mg_advise_add_column_rewrite(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_nodes(fp, finding, mg_advise_one_column);
}

/* NOT NULL without a default: nobody but the author knows the values. */
char *
mg_advise_add_column_not_null(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say(&buf,
		   "With a constant DEFAULT the same statement succeeds at once, without touching a row.");
	foreach(lc, mg_nodes(finding))
	{
		ColumnDef *def = mg_new_column(fp, lfirst(lc));

		if (def == NULL)
			continue;
		mg_say_apart(fp, &buf, "otherwise add the column without NOT NULL");
		mg_sql_add_column(fp, &buf, finding, lfirst(lc), false);
		mg_say(&buf, "Fill it in batches with commits between, then make it NOT NULL:");
		mg_sql_not_null(&buf, fp->target, mg_target(fp), def->colname);
	}
	return buf.data;
}

char *
mg_advise_set_not_null(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	List *done = NIL;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say_apart(fp, &buf,
				 MG_PG_NOT_NULL_CONSTRAINTS
					 ? "make it a constraint, which is validated without blocking anybody"
					 : "prove it by a CHECK, which is validated without blocking anybody");
	foreach(lc, finding->tasks)
	{
		MgTask *task = lfirst(lc);
		String *column;

		if (task->column == NULL)
			continue;
		column = makeString(pstrdup(task->column));
		if (list_member(done, column))
			continue;
		done = lappend(done, column);
		mg_sql_not_null(&buf, fp->target, mg_target(fp), task->column);
	}
	return buf.data;
}
