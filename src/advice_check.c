/*
 * advice_check.c
 *
 * Owns the advice for CHECK constraints, foreign keys, and their validation:
 * NOT VALID first, VALIDATE in another transaction.
 */
#include "mg.h"

#include "advice.h"
#include "mg_alter.h"
#include "usage.h"

/* The one column that an expression mentions, as core looks for it to name a CHECK. */
static bool
mg_find_column(Node *node, List **names)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		Node *last = llast(castNode(ColumnRef, node)->fields);

		if (IsA(last, String))
			*names = list_append_unique(*names, last);
		return false;
	}
	return raw_expression_tree_walker(node, mg_find_column, names);
}

/* The constraint's name, or one like the one that core would choose. */
static const char *
mg_check_name(MgFootprint *fp, MgConstraint *item, List **taken)
{
	List *names = NIL;
	char *name = item->con->conname;

	if (name == NULL)
	{
		mg_find_column(item->con->raw_expr, &names);
		name = ChooseConstraintName(get_rel_name(fp->target),
									list_length(names) == 1 ? strVal(linitial(names)) : NULL,
									"check", get_rel_namespace(fp->target), *taken);
		*taken = lappend(*taken, name);
	}
	return quote_identifier(name);
}

static void
mg_sql_check(MgFootprint *fp, StringInfo buf, MgConstraint *item, List **taken)
{
	const char *name = mg_check_name(fp, item, taken);
	const char *text = mg_text_check(fp, fp->target, item->con);

	if (text)
	{
		mg_sql_constraint(buf, mg_target(fp), name,
						  psprintf("CHECK (%s)%s", text,
								   item->con->is_no_inherit ? " NO INHERIT" : ""));
		return;
	}
	mg_say(buf, "Add the constraint with NOT VALID, named %s.", name);
	mg_sql(buf, "ALTER TABLE %s VALIDATE CONSTRAINT %s", mg_target(fp), name);
}

/* how: what is to be done; their columns are added before if they are new. */
static char *
mg_advise_checks(MgFootprint *fp, MgFinding *finding, const char *how)
{
	StringInfoData buf;
	List *taken = NIL;
	Node *last = NULL;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say_apart(fp, &buf, how);
	foreach(lc, mg_constraints(fp, finding, CONSTR_CHECK))
	{
		MgConstraint *item = lfirst(lc);

		if (item->column && item->node != last)
			mg_sql_add_column(fp, &buf, finding, item->node, true);
		last = item->node;
		mg_sql_check(fp, &buf, item, &taken);
	}
	return buf.data;
}

char *
mg_advise_add_check(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_checks(
		fp, finding,
		"add it NOT VALID and validate it later, which blocks neither reads nor writes");
}

char *
mg_advise_add_column_check(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_checks(
		fp, finding, "add the column first, then the constraint NOT VALID, and validate it later");
}

/* ------------------------------------------------------------------------
 * Foreign keys
 * ------------------------------------------------------------------------ */

static const char *
mg_text_action(char action)
{
	switch (action)
	{
		case FKCONSTR_ACTION_RESTRICT:
			return "RESTRICT";
		case FKCONSTR_ACTION_CASCADE:
			return "CASCADE";
		case FKCONSTR_ACTION_SETNULL:
			return "SET NULL";
		case FKCONSTR_ACTION_SETDEFAULT:
			return "SET DEFAULT";
		default:
			return NULL;
	}
}

/* The referencing columns. */
static List *
mg_key_columns(MgConstraint *item)
{
	if (item->column == NULL)
		return item->con->fk_attrs;
	return list_make1(makeString(item->column->colname));
}

/* FOREIGN KEY (...) REFERENCES ..., with all its clauses. */
static const char *
mg_text_foreign_key(MgConstraint *item)
{
	Constraint *con = item->con;
	Oid pkrel = RangeVarGetRelid(con->pktable, NoLock, true);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "FOREIGN KEY (%s) REFERENCES %s", mg_text_names(mg_key_columns(item)),
					 OidIsValid(pkrel) ? mg_qualified_name(pkrel)
									   : quote_qualified_identifier(con->pktable->schemaname,
																	con->pktable->relname));
	if (con->pk_attrs)
		appendStringInfo(&buf, " (%s)", mg_text_names(con->pk_attrs));
	if (con->fk_matchtype == FKCONSTR_MATCH_FULL)
		appendStringInfoString(&buf, " MATCH FULL");
	if (mg_text_action(con->fk_upd_action))
		appendStringInfo(&buf, " ON UPDATE %s", mg_text_action(con->fk_upd_action));
	if (mg_text_action(con->fk_del_action))
		appendStringInfo(&buf, " ON DELETE %s", mg_text_action(con->fk_del_action));
	if (con->fk_del_set_cols)
		appendStringInfo(&buf, " (%s)", mg_text_names(con->fk_del_set_cols));
	if (con->deferrable)
		appendStringInfoString(&buf, con->initdeferred ? " DEFERRABLE INITIALLY DEFERRED"
													   : " DEFERRABLE");
	return buf.data;
}

/* The constraint's name on a table, or one like the one that core would choose. */
static const char *
mg_foreign_key_name(Oid relid, MgConstraint *item, bool given, List **taken)
{
	char *name = given ? item->con->conname : NULL;

	if (name == NULL)
	{
		List *columns = mg_key_columns(item);
		StringInfoData buf;
		ListCell *lc;

		initStringInfo(&buf);
		foreach(lc, columns)
			appendStringInfo(&buf, "%s%s", buf.len ? "_" : "", strVal(lfirst(lc)));
		name = ChooseConstraintName(get_rel_name(relid), buf.data, "fkey", get_rel_namespace(relid),
									*taken);
		*taken = lappend(*taken, name);
	}
	return quote_identifier(name);
}

/* Does a partition have a constraint that the parent's will take over? */
static bool
mg_has_foreign_key(MgFootprint *fp, Oid partition, Constraint *con)
{
	Oid referenced = RangeVarGetRelid(con->pktable, NoLock, true);
	MgFkeyShape shape;
	bool valid;

	return OidIsValid(referenced) && con->fk_attrs != NIL &&
		   mg_fkey_shape_of_constraint(partition, referenced, con, &shape) &&
		   OidIsValid(mg_fkey_find(fp, partition, &shape, &valid)) && valid;
}

/* NOT VALID is refused for partitioned tables before 18: each partition has it first. */
static void
mg_sql_partitioned_foreign_key(MgFootprint *fp, StringInfo buf, MgConstraint *item, List **taken)
{
	const char *text = mg_text_foreign_key(item);
	int shown = 0;
	int more = 0;
	ListCell *lc;

	foreach(lc, mg_tree(fp->target, true))
	{
		Oid leaf = lfirst_oid(lc);
		const char *name;

		if (get_rel_relkind(leaf) != RELKIND_RELATION || mg_has_foreign_key(fp, leaf, item->con))
			continue;
		if (shown == MG_SHOWN)
		{
			more++;
			continue;
		}
		shown++;
		name = mg_foreign_key_name(leaf, item, false, taken);
		mg_sql_constraint(buf, mg_qualified_name(leaf), name, text);
	}
	if (more > 0)
		mg_say(buf, "Do the same for the other %d partitions.", more);
	mg_say(buf, "Then the table itself, which takes over what its partitions have:");
	mg_sql(buf, "ALTER TABLE %s ADD CONSTRAINT %s %s", mg_target(fp),
		   mg_foreign_key_name(fp->target, item, true, taken), text);
}

/*
 * What becomes of the rest of the statement, as mg_say_rest(): a foreign key
 * of the finding may do no work, and belongs to what is judged all the same.
 */
static void
mg_say_other_subcommands(MgFootprint *fp, StringInfo buf, MgFinding *finding)
{
	ListCell *lc;

	foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (list_member_ptr(mg_nodes(finding), cmd) || mg_does_work(fp, cmd))
			continue;
		mg_say(buf, "Run the other subcommands of this ALTER TABLE by themselves first.");
		return;
	}
}

/* What the advice begins with. */
static const char *
mg_foreign_key_plan(MgFootprint *fp, List *items, bool partitioned)
{
	bool indexed = true;
	ListCell *lc;

	foreach(lc, items)
		indexed &= mg_fkey_has_index(fp, fp->target, mg_key_columns(lfirst(lc)));
	if (partitioned)
		return indexed ? "add and validate it partition by partition"
					   : "index its columns, then add and validate it partition by partition";
	return indexed ? "add it NOT VALID and validate it later, which blocks neither reads nor writes"
				   : "index its columns, add it NOT VALID and validate it later, which blocks "
					 "neither reads nor writes";
}

/* The foreign keys of a new column that is null in all rows, which do no work by themselves. */
void
mg_sql_new_foreign_keys(MgFootprint *fp, StringInfo buf, MgConstraint *item)
{
	List *taken = NIL;
	ListCell *lc;

	foreach(lc, item->column->constraints)
	{
		MgConstraint key = {.con = lfirst_node(Constraint, lc),
							.column = item->column,
							.node = item->node};

		if (key.con->contype == CONSTR_FOREIGN && key.con->pktable)
			mg_sql_constraint(buf, mg_target(fp),
							  mg_foreign_key_name(fp->target, &key, true, &taken),
							  mg_text_foreign_key(&key));
	}
}

/* For the rules add_foreign_key and fk_without_index. */
char *
mg_advise_add_foreign_key(MgFootprint *fp, MgFinding *finding)
{
	bool partitioned = !MG_PG_NOT_VALID_FKEY_OF_PARTITIONED &&
					   get_rel_relkind(fp->target) == RELKIND_PARTITIONED_TABLE;
	List *items = mg_constraints(fp, finding, CONSTR_FOREIGN);
	StringInfoData buf;
	List *taken = NIL;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_other_subcommands(fp, &buf, finding);
	mg_say_apart(fp, &buf, mg_foreign_key_plan(fp, items, partitioned));
	foreach(lc, items)
	{
		MgConstraint *item = lfirst(lc);
		List *columns = mg_key_columns(item);

		if (item->column)
			mg_sql_add_column(fp, &buf, finding, item->node, true);
		/* without it, deletes and key changes in the referenced table read all of this one */
		if (!mg_fkey_has_index(fp, fp->target, columns))
			mg_sql_fkey_index(&buf, fp->target, columns);
		if (partitioned)
			mg_sql_partitioned_foreign_key(fp, &buf, item, &taken);
		else
			mg_sql_constraint(&buf, mg_target(fp),
							  mg_foreign_key_name(fp->target, item, true, &taken),
							  mg_text_foreign_key(item));
	}
	return buf.data;
}

char *
mg_advise_validate_constraint(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say(&buf, "%s it alone, which blocks neither reads nor writes:",
		   mg_situation_in_block(fp->script) ? "Commit first, then run" : "Run");
	foreach(lc, mg_nodes(finding))
	{
		AlterTableCmd *cmd = mg_subcommand(fp, lfirst(lc));

		if (cmd && cmd->name)
			mg_sql(&buf, "ALTER TABLE %s VALIDATE CONSTRAINT %s", mg_target(fp),
				   quote_identifier(cmd->name));
	}
	return buf.data;
}
