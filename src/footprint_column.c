/*
 * footprint_column.c
 *
 * Owns ADD COLUMN and DROP COLUMN, and the look at the columns there are.
 *
 * Follows ATExecAddColumn() and ATExecDropColumn() of tablecmds.c.
 */
#include "mg_alter.h"

#include "catalog/dependency.h"

/* Is the column there, not dropped?  Fills in its row if form is given. */
static bool
mg_attribute(Oid relid, const char *name, FormData_pg_attribute *form)
{
	HeapTuple tuple = SearchSysCacheAttName(relid, name);

	if (!HeapTupleIsValid(tuple))
		return false;
	if (form)
		memcpy(form, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	ReleaseSysCache(tuple);
	return true;
}

/* The row of a column, its fixed part; all zeroes if there is none. */
FormData_pg_attribute
mg_column_form(Oid relid, const char *name)
{
	FormData_pg_attribute form = {0};

	(void) mg_attribute(relid, name, &form);
	return form;
}

/* Is it a generated column of which nothing is stored? */
bool
mg_is_virtual(Oid relid, const char *column)
{
	return mg_column_form(relid, column).attgenerated == MG_GENERATED_VIRTUAL;
}

/* What a new column means for one table: rewrite, check for nulls, or nothing. */
static void
mg_add_column_work(MgTab *tab, MgNewColumn *column, AlterTableCmd *cmd)
{
	const char *name = column->def->colname;
	MgTask *task;

	tab->added = lappend(tab->added, column);
	if (!mg_has_storage(tab->relkind))
		return;
	tab->valued |= column->valued;
	if (column->rewrite)
	{
		task = mg_pending(&tab->rewrites, MG_WORK_REWRITE, MG_CAUSE_ADD_COLUMN, (Node *) cmd);
		task->column = name;
		task->reason = column->why;
		return;
	}
	if (column->not_null && column->is_virtual)
	{
		task = mg_pending(&tab->scans, MG_WORK_SCAN, MG_CAUSE_ADD_NOT_NULL, (Node *) cmd);
		task->column = name;
		task->reason = psprintf("every row is checked for nulls in generated column \"%s\"", name);
	}
	else if (column->not_null && !column->stored_value)
	{
		task = mg_pending(&tab->scans, MG_WORK_SCAN, MG_CAUSE_ADD_COLUMN_NOT_NULL, (Node *) cmd);
		task->column = name;
		task->reason = psprintf(
			"every row is checked for nulls in column \"%s\", which has no default and is null in all of them",
			name);
	}
	else if (column->why)
		mg_note(tab->eff, "%s", column->why);
}

/* Is NOT NULL written with NO INHERIT? */
static bool
mg_not_null_stays(const ColumnDef *def)
{
	ListCell *lc;

	foreach(lc, def->constraints)
	{
		Constraint *con = lfirst_node(Constraint, lc);

		if (con->contype == CONSTR_NOTNULL && con->is_no_inherit)
			return true;
	}
	return false;
}

/* ADD COLUMN on a table and its descendants, level by level. */
static void
mg_add_column_tree(MgAlter *cx, Oid relid, MgNewColumn *column, AlterTableCmd *cmd)
{
	ListCell *lc;

	check_stack_depth();
	mg_add_column_work(mg_tab_child(cx, relid), column, cmd);
	if (!has_subclass(relid))
		return;
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		Oid child = lfirst_oid(lc);

		/* a child that has the column already keeps it, and so do its children */
		if (mg_attribute(child, column->def->colname, NULL) &&
			!mg_name_in(mg_tab_child(cx, child)->gone_columns, column->def->colname))
		{
			mg_note(mg_tab_child(cx, child)->eff, "it has column \"%s\" already",
					column->def->colname);
			if (MG_PG_NOT_NULL_CONSTRAINTS && column->not_null && !mg_not_null_stays(column->def))
				mg_pass_on_not_null(cx, child, column->def->colname, (Node *) cmd);
		}
		else
			mg_add_column_tree(cx, child, column, cmd);
	}
}

/* What core refuses before it does anything. */
static bool
mg_add_column_allowed(MgAlter *cx, MgNewColumn *column)
{
	bool children = has_subclass(cx->relid) && find_inheritance_children(cx->relid, NoLock) != NIL;

	if (get_rel_relispartition(cx->relid))
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot add column to a partition");
	else if (children && !cx->recurse)
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "column must be added to child tables too");
	else if (children && column->identity &&
			 !(MG_PG_IDENTITY_OF_PARTITIONS && cx->relkind == RELKIND_PARTITIONED_TABLE))
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "cannot recursively add identity column to table that has child tables");
	else
		return true;
	return false;
}

/* ADD COLUMN, with the constraints that are written in it. */
void
mg_alter_add_column(MgAlter *cx, AlterTableCmd *cmd)
{
	ColumnDef *def = castNode(ColumnDef, cmd->def);
	MgNewColumn *column;
	ListCell *lc;

	if (mg_attribute(cx->relid, def->colname, NULL) &&
		!mg_name_in(mg_tab(cx, cx->relid, MG_ROLE_TARGET)->gone_columns, def->colname))
	{
		if (cmd->missing_ok)
			mg_note(mg_tab(cx, cx->relid, MG_ROLE_TARGET)->eff,
					"column \"%s\" exists already, so nothing is added", def->colname);
		else
			mg_problem(cx->fp, ERRCODE_DUPLICATE_COLUMN,
					   "column \"%s\" of relation \"%s\" already exists", def->colname,
					   get_rel_name(cx->relid));
		return;
	}
	column = mg_decide_new_column(cx->fp, cx->relid, def);
	if (column == NULL || !mg_add_column_allowed(cx, column))
		return;
	mg_add_column_tree(cx, cx->relid, column, cmd);

	foreach(lc, column->keys)
		mg_add_key(cx, lfirst(lc), (Node *) cmd);
	foreach(lc, column->checks)
		mg_add_check(cx, cx->relid, lfirst(lc), MG_CAUSE_ADD_COLUMN_CHECK, (Node *) cmd,
					 def->colname);
	foreach(lc, column->references)
		mg_add_foreign_key(cx, lfirst(lc), (Node *) cmd,
						   column->has_default || column->serial || column->generated,
						   !column->rewrite && !column->stored_value);
}

/*
 * DROP COLUMN on a table and its descendants.  Children are locked even with
 * ONLY, for their count of inherited definitions changes.
 */
static void
mg_drop_column_tree(MgAlter *cx, Oid relid, AlterTableCmd *cmd, List **named)
{
	MgTab *tab = mg_tab_child(cx, relid);
	ListCell *lc;

	check_stack_depth();
	*named = lappend(*named, mg_address(RelationRelationId, relid, get_attnum(relid, cmd->name)));
	tab->gone_columns = lappend(tab->gone_columns, cmd->name);
	if (!has_subclass(relid))
		return;
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		FormData_pg_attribute att;

		if (mg_attribute(lfirst_oid(lc), cmd->name, &att) && cx->recurse && att.attinhcount == 1 &&
			!att.attislocal)
			mg_drop_column_tree(cx, lfirst_oid(lc), cmd, named);
		else
			mg_tab_child(cx, lfirst_oid(lc));
	}
}

/* DROP EXPRESSION: the values stay, so there have to be some. */
void
mg_alter_drop_expression(MgAlter *cx, AlterTableCmd *cmd)
{
	if (mg_column(cx, cx->relid, cmd->name) != InvalidAttrNumber &&
		mg_is_virtual(cx->relid, cmd->name))
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "ALTER TABLE / DROP EXPRESSION is not supported for virtual generated columns");
}

/*
 * May a column be dropped, or its type be altered, as the action says?  If
 * not, records core's own error.
 */
bool
mg_column_is_own(MgAlter *cx, const FormData_pg_attribute *att, const char *action)
{
	const char *name = NameStr(att->attname);

	if (att->attnum <= 0)
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED, "cannot %s system column \"%s\"", action,
				   name);
	else if (att->attinhcount > 0)
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION, "cannot %s inherited column \"%s\"",
				   action, name);
	else if (cx->relkind == RELKIND_PARTITIONED_TABLE &&
			 mg_in_partition_key(cx->relid, att->attnum))
		mg_problem(
			cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
			"cannot %s column \"%s\" because it is part of the partition key of relation \"%s\"",
			action, name, get_rel_name(cx->relid));
	else
		return true;
	return false;
}

/* DROP COLUMN. */
void
mg_alter_drop_column(MgAlter *cx, AlterTableCmd *cmd)
{
	FormData_pg_attribute att;
	List *named = NIL;

	if (!mg_attribute(cx->relid, cmd->name, &att))
	{
		if (cmd->missing_ok)
			mg_note(mg_tab(cx, cx->relid, MG_ROLE_TARGET)->eff,
					"column \"%s\" does not exist, so nothing is dropped", cmd->name);
		else
			mg_column(cx, cx->relid, cmd->name);
		return;
	}
	if (mg_column_is_own(cx, &att, "drop"))
	{
		/* columns of children may depend on each other's objects, so all go together */
		mg_drop_column_tree(cx, cx->relid, cmd, &named);
		mg_drop_with(cx, named, cmd->behavior);
	}
}
