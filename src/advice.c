/*
 * advice.c
 *
 * Owns what the advice of all rules is made of: sentences and statements, the
 * way from a finding back to the subcommands that caused it, and the few
 * sequences of statements that many rules share.
 */
#include "mg.h"

#include "advice.h"

static void mg_line(StringInfo buf, const char *fmt, va_list args) pg_attribute_printf(2, 0);

/* Add a line. */
static void
mg_line(StringInfo buf, const char *fmt, va_list args)
{
	char *text = mg_vformat(fmt, args);

	if (buf->len > 0)
		appendStringInfoChar(buf, '\n');
	appendStringInfoString(buf, text);
}

/* Add a sentence. */
void
mg_say(StringInfo buf, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	mg_line(buf, fmt, args);
	va_end(args);
}

/* Add a statement; the semicolon is put here. */
void
mg_sql(StringInfo buf, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	mg_line(buf, fmt, args);
	va_end(args);
	appendStringInfoChar(buf, ';');
}

/* The table that ALTER TABLE names, as it named it: with ONLY or without. */
const char *
mg_target(MgFootprint *fp)
{
	if (IsA(fp->stmt, AlterTableStmt) && !castNode(AlterTableStmt, fp->stmt)->relation->inh)
		return psprintf("ONLY %s", mg_qualified_name(fp->target));
	return mg_qualified_name(fp->target);
}

/* A table's name as a literal that becomes regclass. */
const char *
mg_literal(Oid relid)
{
	return quote_literal_cstr(mg_qualified_name(relid));
}

/* A constraint that is added NOT VALID, and validated later. */
void
mg_sql_constraint(StringInfo buf, const char *table, const char *name, const char *definition)
{
	mg_sql(buf, "ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", table, name, definition);
	mg_sql(buf, "ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name);
}

const char *
mg_trigger_function(Oid relid, const char *trigger)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), trigger);
}

void
mg_sql_trigger_function(StringInfo buf, Oid relid, const char *trigger, const char *field,
						const char *value)
{
	mg_sql(buf, "CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS %s",
		   mg_trigger_function(relid, trigger),
		   quote_literal_cstr(psprintf("BEGIN new.%s := %s; RETURN new; END", field, value)));
}

void
mg_sql_trigger(StringInfo buf, Oid relid, const char *trigger)
{
	mg_sql(buf,
		   "CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s()",
		   quote_identifier(trigger), mg_qualified_name(relid),
		   mg_trigger_function(relid, trigger));
}

/* The nodes that asked for the work of a finding, each once. */
List *
mg_nodes(MgFinding *finding)
{
	List *nodes = NIL;
	ListCell *lc;

	foreach(lc, finding->tasks)
	{
		Node *node = ((MgTask *) lfirst(lc))->node;

		if (node)
			nodes = list_append_unique_ptr(nodes, node);
	}
	return nodes;
}

/* The advice of a rule that has some for each of the nodes. */
char *
mg_advise_nodes(MgFootprint *fp, MgFinding *finding, MgAdviseFn fn)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	foreach(lc, mg_nodes(finding))
		fn(fp, finding, &buf, lfirst(lc));
	return buf.data;
}

/* The subcommand that a node is, or is a part of; NULL if there is none. */
AlterTableCmd *
mg_subcommand(MgFootprint *fp, Node *node)
{
	ListCell *lc;

	if (node == NULL || !IsA(fp->stmt, AlterTableStmt))
		return NULL;
	foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if ((Node *) cmd == node || cmd->def == node)
			return cmd;
		if (cmd->def && IsA(cmd->def, ColumnDef) &&
			list_member_ptr(castNode(ColumnDef, cmd->def)->constraints, node))
			return cmd;
	}
	return NULL;
}

/* The column that the node's subcommand adds, or NULL. */
ColumnDef *
mg_new_column(MgFootprint *fp, Node *node)
{
	AlterTableCmd *cmd = mg_subcommand(fp, node);

	if (cmd == NULL || cmd->subtype != AT_AddColumn)
		return NULL;
	return castNode(ColumnDef, cmd->def);
}

static List *
mg_add_constraint(List *result, Constraint *con, ColumnDef *column, Node *node)
{
	MgConstraint *item;
	ListCell *lc;

	foreach(lc, result)
	{
		if (((MgConstraint *) lfirst(lc))->con == con)
			return result;
	}
	item = palloc0(sizeof(MgConstraint));
	item->con = con;
	item->column = column;
	item->node = node;
	return lappend(result, item);
}

/*
 * The constraints of a kind behind a finding, as MgConstraint: written as ADD
 * CONSTRAINT, or next to a new column.
 */
List *
mg_constraints(MgFootprint *fp, MgFinding *finding, ConstrType contype)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, mg_nodes(finding))
	{
		Node *node = lfirst(lc);
		AlterTableCmd *cmd = mg_subcommand(fp, node);
		ListCell *lc2;

		if (cmd == NULL || cmd->def == NULL)
			continue;
		if (IsA(cmd->def, Constraint))
		{
			if (castNode(Constraint, cmd->def)->contype == contype)
				result = mg_add_constraint(result, castNode(Constraint, cmd->def), NULL, node);
			continue;
		}
		if (!IsA(cmd->def, ColumnDef))
			continue;
		foreach(lc2, castNode(ColumnDef, cmd->def)->constraints)
		{
			Constraint *con = lfirst_node(Constraint, lc2);

			if (con->contype == contype && (!IsA(node, Constraint) || node == (Node *) con))
				result = mg_add_constraint(result, con, castNode(ColumnDef, cmd->def), node);
		}
	}
	return result;
}

/* Does the node's subcommand ask for other work, of this cause? */
bool
mg_has_cause(MgFootprint *fp, Node *node, MgCause cause)
{
	AlterTableCmd *cmd = mg_subcommand(fp, node);
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		ListCell *lc2;

		foreach(lc2, ((MgEffect *) lfirst(lc))->tasks)
		{
			MgTask *task = lfirst(lc2);

			if (task->cause == cause && mg_subcommand(fp, task->node) == cmd)
				return true;
		}
	}
	return false;
}

/* Does the node's subcommand ask for work of any cause but this one? */
static bool
mg_has_other_cause(MgFootprint *fp, Node *node, MgCause cause)
{
	for (int other = MG_CAUSE_NONE + 1; other <= MG_CAUSE_INVALID_INDEX; other++)
	{
		if (other != (int) cause && mg_has_cause(fp, node, other))
			return true;
	}
	return false;
}

/* Does a subcommand ask for work at all? */
bool
mg_does_work(MgFootprint *fp, AlterTableCmd *cmd)
{
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		ListCell *lc2;

		foreach(lc2, ((MgEffect *) lfirst(lc))->tasks)
		{
			if (mg_subcommand(fp, ((MgTask *) lfirst(lc2))->node) == cmd)
				return true;
		}
	}
	return false;
}

/* Advice is about parts of the statement: say what becomes of a harmless rest. */
void
mg_say_rest(MgFootprint *fp, StringInfo buf)
{
	List *judged = NIL;
	ListCell *lc;

	if (!IsA(fp->stmt, AlterTableStmt))
		return;
	foreach(lc, fp->effects)
	{
		ListCell *lc2;

		foreach(lc2, ((MgEffect *) lfirst(lc))->tasks)
		{
			AlterTableCmd *cmd = mg_subcommand(fp, ((MgTask *) lfirst(lc2))->node);

			if (cmd)
				judged = list_append_unique_ptr(judged, cmd);
		}
	}
	if (list_length(castNode(AlterTableStmt, fp->stmt)->cmds) > list_length(judged))
		mg_say(buf, "Run the other subcommands of this ALTER TABLE by themselves first.");
}

/*
 * Change all rows in batches with commits between; change is an UPDATE or
 * DELETE that ends with a condition.  Blocks are visited once each, by ranges
 * of ctid, so no index is needed and no time is lost in looking for what is
 * left.
 */
void
mg_sql_batches(StringInfo buf, Oid relid, const char *change)
{
	const char *size;
	const char *tag = "$$";
	const char *block = "block";

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		size = psprintf("(SELECT max(pg_relation_size(relid)) FROM pg_partition_tree(%s))",
						mg_literal(relid));
	else if (has_subclass(relid))
		size = psprintf("(WITH RECURSIVE r AS (SELECT %s::regclass::oid AS o UNION "
						"SELECT inhrelid FROM pg_inherits, r WHERE inhparent = o) "
						"SELECT max(pg_relation_size(o)) FROM r)",
						mg_literal(relid));
	else
		size = psprintf("pg_relation_size(%s)", mg_literal(relid));
	if (strstr(change, tag))
		tag = "$backfill$";
	/* the variable is not to be taken for a column */
	for (int i = 1; get_attnum(relid, block) != InvalidAttrNumber; i++)
		block = psprintf("block%d", i);
	mg_sql(buf,
		   "DO %s DECLARE %s bigint; BEGIN "
		   "FOR %s IN SELECT generate_series(0, %s / %d, 256) LOOP "
		   "%s AND ctid >= format('(%%s,0)', %s)::tid "
		   "AND ctid < format('(%%s,0)', %s + 256)::tid; COMMIT; END LOOP; END %s",
		   tag, block, block, size, BLCKSZ, change, block, block, tag);
}

/* Fill a column in batches. */
void
mg_sql_backfill(StringInfo buf, Oid relid, const char *set, const char *where)
{
	mg_sql_batches(buf, relid,
				   psprintf("UPDATE %s SET %s WHERE %s", mg_qualified_name(relid), set, where));
}

/*
 * NOT NULL without a scan under a strong lock: a valid CHECK proves it.  table
 * is the relation's name, with ONLY or without.  The name of the CHECK is not
 * one that the server would choose for NOT NULL, which is a constraint since 18.
 */
void
mg_sql_not_null(StringInfo buf, Oid relid, const char *table, const char *column)
{
	char *check = ChooseConstraintName(get_rel_name(relid), column, "not_null_check",
									   get_rel_namespace(relid), NIL);
	const char *name = quote_identifier(check);
	bool only = strncmp(table, "ONLY ", strlen("ONLY ")) == 0;

	if (MG_PG_NOT_NULL_CONSTRAINTS)
	{
		mg_sql_not_null_constraint(buf, relid, table, column);
		return;
	}
	mg_sql_constraint(buf, table, name,
					  psprintf("CHECK (%s IS NOT NULL)%s", quote_identifier(column),
							   only ? " NO INHERIT" : ""));
	mg_sql(buf, "ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", table, quote_identifier(column));
	mg_sql(buf, "ALTER TABLE %s DROP CONSTRAINT %s", table, name);
}

/* The clause of a kind that is written next to a new column, or NULL. */
Constraint *
mg_column_clause(ColumnDef *def, ConstrType contype)
{
	ListCell *lc;

	foreach(lc, def->constraints)
	{
		if (lfirst_node(Constraint, lc)->contype == contype)
			return lfirst(lc);
	}
	return NULL;
}

/* The base type of a domain that checks its values, as SQL; NULL: it is not one. */
const char *
mg_base_type(ColumnDef *def)
{
	Oid typid;
	int32 typmod;

	if (mg_text_serial(def->typeName) || !mg_try_type(def->typeName, &typid, &typmod) ||
		*mg_text_domain_check(typid, def->colname ? def->colname : "value") == '\0')
		return NULL;
	typid = getBaseTypeAndTypmod(typid, &typmod);
	return format_type_with_typemod(typid, typmod);
}

/* " DEFAULT NULL" where a domain would supply another default, else "". */
static const char *
mg_domain_default(ColumnDef *def)
{
	Oid typid;
	int32 typmod;

	if (!mg_try_type(def->typeName, &typid, &typmod) || get_typtype(typid) != TYPTYPE_DOMAIN ||
		get_typdefault(typid) == NULL)
		return "";
	return " DEFAULT NULL";
}

/*
 * ADD COLUMN without what makes it expensive: the part of the subcommand that
 * no finding is about.  fill: with its default, which is no work as long as it
 * is not volatile.  If the subcommand has several findings, the advice for
 * each of them begins with this statement, and only the first is to do
 * something.
 */
void
mg_sql_add_column(MgFootprint *fp, StringInfo buf, MgFinding *finding, Node *node, bool fill)
{
	ColumnDef *def = mg_new_column(fp, node);
	const char *type = mg_has_cause(fp, node, MG_CAUSE_ADD_COLUMN) ? mg_base_type(def) : NULL;
	/* fk_without_index has no cause of its own, and speaks of the same as add_foreign_key */
	MgCause cause = finding->rule->cause ? finding->rule->cause : MG_CAUSE_ADD_FOREIGN_KEY;
	bool is_volatile = false;
	const char *expr = fill ? mg_text_default(def, &is_volatile) : NULL;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s %s", quote_identifier(def->colname),
					 type ? type : mg_text_type(def->typeName));
	if (def->compression)
		appendStringInfo(&text, " COMPRESSION %s", quote_identifier(def->compression));
	if (def->collClause)
		appendStringInfo(&text, " COLLATE %s", NameListToQuotedString(def->collClause->collname));
	if (expr && is_volatile && type == NULL)
		appendStringInfoString(&text, mg_domain_default(def));
	if (expr && !is_volatile)
		appendStringInfo(&text, " DEFAULT %s%s", expr,
						 mg_column_clause(def, CONSTR_NOTNULL) ? " NOT NULL" : "");
	mg_sql(buf, "ALTER TABLE %s ADD COLUMN %s%s", mg_target(fp),
		   mg_has_other_cause(fp, node, cause) ? "IF NOT EXISTS " : "", text.data);
}

/* Introduce statements that must not share a transaction. */
void
mg_say_apart(MgFootprint *fp, StringInfo buf, const char *what)
{
	if (mg_situation_in_block(fp->script))
		mg_say(buf, "Commit first, then %s, each statement in a transaction of its own:", what);
	else
		mg_say(buf, "%c%s, each statement in a transaction of its own:",
			   pg_toupper((unsigned char) what[0]), what + 1);
}

/* A column name that the table does not have: base_label, base_label1, ... */
const char *
mg_free_column(Oid relid, const char *base, const char *label)
{
	char *name = makeObjectName(base, NULL, label);

	for (int i = 1; get_attnum(relid, name) != InvalidAttrNumber; i++)
		name = makeObjectName(base, NULL, psprintf("%s%d", label, i));
	return name;
}
