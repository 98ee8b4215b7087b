/*
 * advice_since17.c
 *
 * Owns the advice for what came with PostgreSQL 17 and 18: SET EXPRESSION,
 * ALTER CONSTRAINT that verifies rows, and NOT NULL as a constraint.
 */
#include "mg.h"

#include "advice.h"
#include "mg_alter.h"

/*
 * NOT NULL as a constraint that is validated without blocking anybody.  If the
 * column has one that is NOT VALID, it is validated.
 */
void
mg_sql_not_null_constraint(StringInfo buf, Oid relid, const char *table, const char *column)
{
	MgNotNull known = mg_not_null(relid, get_attnum(relid, column), NIL);
	bool only = strncmp(table, "ONLY ", strlen("ONLY ")) == 0;
	const char *name;

	if (known.name)
		name = quote_identifier(known.name);
	else
	{
		name = quote_identifier(ChooseConstraintName(get_rel_name(relid), column, "not_null",
													 get_rel_namespace(relid), NIL));
		mg_sql(buf, "ALTER TABLE %s ADD CONSTRAINT %s NOT NULL %s%s NOT VALID", table, name,
			   quote_identifier(column), only && has_subclass(relid) ? " NO INHERIT" : "");
	}
	if (known.state != MG_NOT_NULL)
		mg_sql(buf, "ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name);
}

/* A virtual column that is NOT NULL: first without. */
static void
mg_advise_virtual_not_null(MgFootprint *fp, StringInfo buf, ColumnDef *def)
{
	Constraint *generated = mg_column_clause(def, CONSTR_GENERATED);
	const char *expr = generated ? mg_text_expr(fp->target, generated->raw_expr,
												EXPR_KIND_GENERATED_COLUMN, NULL, InvalidOid, -1)
								 : NULL;

	mg_say_apart(fp, buf, "add the column without NOT NULL, and that as a constraint");
	if (expr)
		mg_sql(buf, "ALTER TABLE %s ADD COLUMN %s %s GENERATED ALWAYS AS (%s) VIRTUAL",
			   mg_target(fp), quote_identifier(def->colname), mg_text_type(def->typeName), expr);
	else
		mg_say(buf, "Add the column as it is written, but for NOT NULL.");
	mg_sql_not_null_constraint(buf, fp->target, mg_target(fp), def->colname);
}

static void
mg_advise_one_not_null(MgFootprint *fp, MgFinding *finding pg_attribute_unused(), StringInfo buf,
					   Node *node)
{
	AlterTableCmd *cmd = mg_subcommand(fp, node);
	Constraint *con;
	const char *column;

	if (cmd && cmd->subtype == AT_AddColumn)
		mg_advise_virtual_not_null(fp, buf, castNode(ColumnDef, cmd->def));
	if (cmd == NULL || cmd->subtype != AT_AddConstraint)
		return;
	con = castNode(Constraint, cmd->def);
	column = strVal(linitial(con->keys));
	mg_say_apart(fp, buf,
				 "add it NOT VALID and validate it later, which blocks neither reads nor writes");
	if (con->conname == NULL)
		mg_sql_not_null_constraint(buf, fp->target, mg_target(fp), column);
	else
		mg_sql_constraint(buf, mg_target(fp), quote_identifier(con->conname),
						  psprintf("NOT NULL %s%s", quote_identifier(column),
								   con->is_no_inherit ? " NO INHERIT" : ""));
}

/* ADD CONSTRAINT ... NOT NULL. */
char *
mg_advise_add_not_null(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_nodes(fp, finding, mg_advise_one_not_null);
}

/* ------------------------------------------------------------------------
 * ALTER CONSTRAINT
 * ------------------------------------------------------------------------ */

/* NOT NULL that is to be inherited: the children get it before, without blocking anybody. */
static void
mg_advise_inherit(MgFootprint *fp, StringInfo buf, HeapTuple tuple)
{
	char *column = mg_not_null_column(tuple);
	ListCell *lc;

	mg_say_apart(fp, buf, "let the children have the constraint before they inherit it");
	foreach(lc, find_inheritance_children(fp->target, NoLock))
	{
		Oid child = lfirst_oid(lc);

		if (mg_not_null(child, get_attnum(child, column), NIL).state != MG_NOT_NULL)
			mg_sql_not_null_constraint(buf, child, mg_qualified_name(child), column);
	}
	mg_sql(buf, "ALTER TABLE %s ALTER CONSTRAINT %s INHERIT", mg_target(fp),
		   quote_identifier(NameStr(((Form_pg_constraint) GETSTRUCT(tuple))->conname)));
}

/* A constraint that is to be enforced: made anew, NOT VALID at first. */
static void
mg_advise_enforce(MgFootprint *fp, StringInfo buf, HeapTuple tuple)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	const char *text = mg_text_constraint(form->oid);
	const char *suffix = text ? strstr(text, " NOT ENFORCED") : NULL;
	const char *name = quote_identifier(NameStr(form->conname));

	if (suffix == NULL || strlen(suffix) != strlen(" NOT ENFORCED"))
	{
		mg_say(buf, "Drop the constraint, add it again NOT VALID, and validate it later.");
		return;
	}
	mg_say_apart(fp, buf,
				 "make it anew, NOT VALID at first, and validate it later, which blocks neither "
				 "reads nor writes");
	mg_sql(buf, "ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s %s NOT VALID", mg_target(fp),
		   name, name, pnstrdup(text, suffix - text));
	mg_sql(buf, "ALTER TABLE %s VALIDATE CONSTRAINT %s", mg_target(fp), name);
}

static void
mg_advise_one_change(MgFootprint *fp, MgFinding *finding pg_attribute_unused(), StringInfo buf,
					 Node *node)
{
	AlterTableCmd *cmd = mg_subcommand(fp, node);
	MgConstraintChange change;
	HeapTuple tuple;

	if (cmd == NULL || cmd->subtype != AT_AlterConstraint)
		return;
	mg_constraint_change(cmd->def, &change);
	tuple = mg_constraint_tuple(fp->target, change.name);
	if (tuple == NULL)
		return;
	if (change.inheritability)
		mg_advise_inherit(fp, buf, tuple);
	else
		mg_advise_enforce(fp, buf, tuple);
}

/* ALTER CONSTRAINT ... ENFORCED, INHERIT. */
char *
mg_advise_alter_constraint(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_nodes(fp, finding, mg_advise_one_change);
}

/* ------------------------------------------------------------------------
 * SET EXPRESSION
 * ------------------------------------------------------------------------ */

/* Of a stored column: it becomes a plain one that a trigger computes. */
static void
mg_advise_stored_expression(MgFootprint *fp, StringInfo buf, AlterTableCmd *cmd)
{
	const char *column = quote_identifier(cmd->name);
	const char *plain = mg_text_expr(fp->target, cmd->def, EXPR_KIND_GENERATED_COLUMN, NULL,
									 InvalidOid, -1);
	const char *row = mg_text_expr(fp->target, cmd->def, EXPR_KIND_GENERATED_COLUMN, "new",
								   InvalidOid, -1);
	const char *name = makeObjectName(get_rel_name(fp->target), cmd->name, "generate");

	if (plain == NULL || row == NULL || mg_column_form(fp->target, cmd->name).attinhcount > 0)
	{
		mg_say(buf, "Make it a plain column (DROP EXPRESSION), compute it by a trigger, and fill "
					"it in batches.");
		return;
	}
	mg_say_apart(fp, buf,
				 "make it a plain column that a trigger computes, and compute the rows that are "
				 "there in batches");
	mg_sql_trigger_function(buf, fp->target, name, mg_text_field(cmd->name), row);
	mg_sql(buf, "BEGIN");
	mg_sql(buf, "ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION", mg_target(fp), column);
	mg_sql_trigger(buf, fp->target, name);
	mg_sql(buf, "COMMIT");
	mg_sql_backfill(buf, fp->target, psprintf("%s = %s", column, plain),
					psprintf("%s IS DISTINCT FROM (%s)", column, plain));
}

static void
mg_advise_one_expression(MgFootprint *fp, MgFinding *finding pg_attribute_unused(), StringInfo buf,
						 Node *node)
{
	AlterTableCmd *cmd = mg_subcommand(fp, node);

	if (cmd == NULL || cmd->name == NULL)
		return;
	if (mg_is_virtual(fp->target, cmd->name))
		mg_say(buf,
			   "Rows are read because of the NOT NULL and CHECK constraints of %s: drop those "
			   "before, and add them again NOT VALID after.",
			   mg_qualified_name(fp->target));
	else
		mg_advise_stored_expression(fp, buf, cmd);
}

/* SET EXPRESSION. */
char *
mg_advise_set_expression(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_nodes(fp, finding, mg_advise_one_expression);
}
