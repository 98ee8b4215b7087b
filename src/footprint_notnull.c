/*
 * footprint_notnull.c
 *
 * Owns NOT NULL: what is known of a column, and the subcommands SET NOT NULL,
 * DROP NOT NULL, ADD CONSTRAINT ... NOT NULL and its validation.
 *
 * Up to 17 it is a mark of the column: ATPrepSetNotNull(), ATExecSetNotNull()
 * and ATExecDropNotNull() of tablecmds.c.  From 18 on it is a constraint with
 * a row of its own, and children are visited level by level: ATExecSetNotNull(),
 * ATAddCheckNNConstraint(), ATPrepAddPrimaryKey(), QueueNNConstraintValidation()
 * and dropconstraint_internal(), and AdjustNotNullInheritance() of
 * pg_constraint.c.
 */
#include "mg_alter.h"

#include "catalog/dependency.h"

/* ------------------------------------------------------------------------
 * What is known
 * ------------------------------------------------------------------------ */

/*
 * Is a column NOT NULL?  gone are OIDs of constraints that do not count any
 * more.  attnum zero: a column that is not there is nullable.
 */
MgNotNull
mg_not_null(Oid relid, AttrNumber attnum, List *gone)
{
	MgNotNull result = {.state = MG_NULLABLE};
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	HeapTuple row;
	Form_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		return result;
	if (((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull)
		result.state = MG_NOT_NULL;
	result.inherited = ((Form_pg_attribute) GETSTRUCT(tuple))->attinhcount > 0;
	ReleaseSysCache(tuple);
	row = mg_not_null_row(relid, attnum);
	if (row == NULL)
		return result;

	form = (Form_pg_constraint) GETSTRUCT(row);
	result.conoid = form->oid;
	result.name = pstrdup(NameStr(form->conname));
	result.no_inherit = form->connoinherit;
	result.local = form->conislocal;
	result.inherited = form->coninhcount > 0;
	result.inherited_once = form->coninhcount == 1;
	if (list_member_oid(gone, form->oid))
		result.state = MG_NULLABLE;
	else if (!form->convalidated)
		result.state = MG_NOT_NULL_UNCHECKED;
	return result;
}

/* The same in the middle of a statement, by name: what it adds and drops itself counts. */
static MgNotNull
mg_not_null_now(MgAlter *cx, MgTab *tab, const char *column)
{
	MgNewColumn *new_column = mg_tab_new_column(tab, column);
	MgNotNull result = {.state = MG_NULLABLE};

	if (new_column) /* it may take the place of one that is dropped */
		result.state = new_column->not_null ? MG_NOT_NULL : MG_NULLABLE;
	else
		result = mg_not_null(tab->relid, get_attnum(tab->relid, column), cx->gone_constraints);
	if (mg_name_in(tab->nullable, column))
		result.state = MG_NULLABLE;
	return result;
}

/* The direct children of a table. */
static List *
mg_children(Oid relid)
{
	return has_subclass(relid) ? find_inheritance_children(relid, NoLock) : NIL;
}

/* ------------------------------------------------------------------------
 * SET NOT NULL
 * ------------------------------------------------------------------------ */

static void
mg_already_not_null(MgTab *tab, const char *column)
{
	mg_note(tab->eff, "column \"%s\" is NOT NULL already", column);
}

/* Have all rows of one table checked for nulls. */
static void
mg_check_for_nulls(MgTab *tab, const char *column, MgCause cause, Node *node)
{
	MgTask *task;

	if (!mg_has_storage(tab->relkind))
		return;
	task = mg_pending(&tab->scans, MG_WORK_SCAN, cause, node);
	task->column = column;
	task->reason = psprintf("every row is checked for nulls in column \"%s\"", column);
}

/* The same, unless constraints prove that there are none. */
static void
mg_check_unless_proven(MgAlter *cx, MgTab *tab, const char *column, MgCause cause, Node *node)
{
	AttrNumber attnum = mg_tab_new_column(tab, column) ? InvalidAttrNumber
													   : get_attnum(tab->relid, column);

	if (attnum != InvalidAttrNumber && mg_has_storage(tab->relkind) &&
		mg_not_null_proven(tab->relid, attnum, cx->gone_constraints))
		mg_note(
			tab->eff,
			"a valid CHECK constraint proves that column \"%s\" has no nulls, so it is not scanned",
			column);
	else
		mg_check_for_nulls(tab, column, cause, node);
}

/* Validate a NOT NULL constraint that is NOT VALID, on all descendants: no proof helps. */
static void
mg_validate_not_null(MgAlter *cx, Oid relid, const char *column, const MgNotNull *known,
					 bool recurse, MgCause cause, Node *node)
{
	ListCell *lc;

	foreach(lc, mg_tree(relid, !known->no_inherit))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));

		if (tab->relid != relid && !recurse)
		{
			mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
					   "constraint must be validated on child tables too");
			return;
		}
		if (tab->relid == relid || mg_not_null_now(cx, tab, column).state != MG_NOT_NULL)
			mg_check_for_nulls(tab, column, cause, node);
	}
}

/* SET NOT NULL of 18 and later: a table has the constraint, or gets it and so do its children. */
static void
mg_set_not_null_tree(MgAlter *cx, Oid relid, const char *column, bool recurse, bool recursing,
					 MgCause cause, Node *node)
{
	MgTab *tab = mg_tab_child(cx, relid);
	MgNotNull known = mg_not_null_now(cx, tab, column);
	ListCell *lc;

	check_stack_depth();
	if (known.state != MG_NULLABLE)
	{
		if (known.no_inherit && recurse)
			mg_problem(
				cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				"cannot change NO INHERIT status of NOT NULL constraint \"%s\" on relation \"%s\"",
				known.name, get_rel_name(relid));
		else if (known.state == MG_NOT_NULL_UNCHECKED && !recursing && known.local)
			mg_validate_not_null(cx, relid, column, &known, recurse, cause, node);
		else
			mg_already_not_null(tab, column);
		return;
	}
	if (!recurse && tab->relkind == RELKIND_PARTITIONED_TABLE && mg_children(relid) != NIL)
	{
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "constraint must be added to child tables too");
		return;
	}
	mg_check_unless_proven(cx, tab, column, cause, node);
	if (!recurse)
		return;
	foreach(lc, mg_children(relid))
		mg_set_not_null_tree(cx, lfirst_oid(lc), column, true, true, cause, node);
}

/* SET NOT NULL up to 17: all descendants, each by itself. */
static void
mg_set_not_null_marks(MgAlter *cx, const char *column, bool recurse, MgCause cause, Node *node)
{
	ListCell *lc;

	if (cx->relkind == RELKIND_PARTITIONED_TABLE &&
		mg_not_null(cx->relid, get_attnum(cx->relid, column), NIL).state == MG_NOT_NULL)
	{
		/* core looks at it before it drops anything */
		mg_already_not_null(mg_tab(cx, cx->relid, MG_ROLE_TARGET), column);
		return;
	}
	if (cx->relkind == RELKIND_PARTITIONED_TABLE && !recurse)
	{
		mg_lock_children(cx, cx->relid);
		return;
	}
	foreach(lc, mg_tree(cx->relid, recurse))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));

		if (mg_not_null_now(cx, tab, column).state != MG_NULLABLE)
			mg_already_not_null(tab, column);
		else
			mg_check_unless_proven(cx, tab, column, cause, node);
	}
}

/*
 * Mark a column NOT NULL, in the whole tree if recurse.  cause says who asked:
 * SET NOT NULL itself, or a primary key.
 */
void
mg_set_not_null(MgAlter *cx, const char *column, bool recurse, MgCause cause, Node *node)
{
	mg_column(cx, cx->relid, column);
	if (cx->fp->problem)
		return;
	if (MG_PG_NOT_NULL_CONSTRAINTS)
		mg_set_not_null_tree(cx, cx->relid, column, recurse, false, cause, node);
	else
		mg_set_not_null_marks(cx, column, recurse, cause, node);
}

/* SET NOT NULL. */
void
mg_alter_set_not_null(MgAlter *cx, AlterTableCmd *cmd)
{
	mg_set_not_null(cx, cmd->name, cx->recurse, MG_CAUSE_SET_NOT_NULL, (Node *) cmd);
}

/* SET NOT NULL of a table that ALTER CONSTRAINT ... INHERIT lets inherit the constraint. */
void
mg_inherit_not_null(MgAlter *cx, Oid child, const char *column, Node *node)
{
	mg_set_not_null_tree(cx, child, column, true, true, MG_CAUSE_ALTER_CONSTRAINT, node);
}

/* ------------------------------------------------------------------------
 * ADD CONSTRAINT ... NOT NULL
 * ------------------------------------------------------------------------ */

/* The table has such a constraint: does the new one agree with it? */
static void
mg_merge_not_null(MgAlter *cx, MgTab *tab, Constraint *con, const char *column,
				  const MgNotNull *known, bool recursing)
{
	const char *table = get_rel_name(tab->relid);

	if (known->name && con->is_no_inherit != known->no_inherit)
		mg_problem(
			cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			"cannot change NO INHERIT status of NOT NULL constraint \"%s\" on relation \"%s\"",
			known->name, table);
	else if (!con->skip_validation && known->state == MG_NOT_NULL_UNCHECKED)
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "incompatible NOT VALID constraint \"%s\" on relation \"%s\"", known->name,
				   table);
	else if (!recursing && con->conname && known->name && strcmp(con->conname, known->name) != 0)
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot create not-null constraint \"%s\" on column \"%s\" of table \"%s\"",
				   con->conname, column, table);
	else
		mg_already_not_null(tab, column);
}

/* ADD CONSTRAINT ... NOT NULL, level by level. */
static void
mg_add_not_null_tree(MgAlter *cx, Oid relid, Constraint *con, bool recurse, bool recursing,
					 MgCause cause, Node *node)
{
	const char *column = strVal(linitial(con->keys));
	MgTab *tab = mg_tab_child(cx, relid);
	MgNotNull known = mg_not_null_now(cx, tab, column);
	ListCell *lc;

	check_stack_depth();
	if (known.state != MG_NULLABLE)
	{
		mg_merge_not_null(cx, tab, con, column, &known, recursing);
		return;
	}
	if (con->conname && mg_live_constraint(cx, relid, con->conname))
	{
		mg_problem(cx->fp, ERRCODE_DUPLICATE_OBJECT,
				   "constraint \"%s\" for relation \"%s\" already exists", con->conname,
				   get_rel_name(relid));
		return;
	}
	if (con->skip_validation)
		mg_note(tab->eff, "the constraint is added NOT VALID, so no row is read");
	else
		mg_check_unless_proven(cx, tab, column, cause, node);
	if (con->is_no_inherit)
		return;
	foreach(lc, mg_children(relid))
	{
		if (!recurse)
		{
			mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
					   "constraint must be added to child tables too");
			return;
		}
		mg_add_not_null_tree(cx, lfirst_oid(lc), con, true, true, cause, node);
	}
}

/* ADD CONSTRAINT ... NOT NULL, or what a primary key implies (con then says no more than that). */
void
mg_add_not_null(MgAlter *cx, Constraint *con, bool recurse, MgCause cause, Node *node)
{
	if (con->is_no_inherit && cx->relkind == RELKIND_PARTITIONED_TABLE)
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "not-null constraints on partitioned tables cannot be NO INHERIT");
	else
		mg_column(cx, cx->relid, strVal(linitial(con->keys)));
	if (cx->fp->problem == NULL)
		mg_add_not_null_tree(cx, cx->relid, con, recurse, false, cause, node);
}

/* A constraint that says no more than NOT NULL. */
static Constraint *
mg_plain_not_null(String *column)
{
	Constraint *con = makeNode(Constraint);

	con->contype = CONSTR_NOTNULL;
	con->keys = list_make1(column);
	con->initially_valid = true;
	return con;
}

/* A column that a child table has already: it gets the NOT NULL of the parent's new one. */
void
mg_pass_on_not_null(MgAlter *cx, Oid child, char *column, Node *node)
{
	mg_add_not_null_tree(cx, child, mg_plain_not_null(makeString(column)), true, true,
						 MG_CAUSE_ADD_NOT_NULL, node);
}

/* Will the NOT NULL constraint that is there do for a primary key?  If not, records core's error. */
static bool
mg_fit_for_primary_key(MgAlter *cx, const MgNotNull *known, const char *column)
{
	if (!known->no_inherit && known->state != MG_NOT_NULL_UNCHECKED)
		return true;
	mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   "cannot create primary key on column \"%s\"", column);
	return false;
}

/* ADD PRIMARY KEY with ONLY: the children have to have the constraint.  False: core refuses. */
static bool
mg_children_fit_for_primary_key(MgAlter *cx, const char *column)
{
	ListCell *lc;

	foreach(lc, mg_children(cx->relid))
	{
		MgNotNull known = mg_not_null(lfirst_oid(lc), get_attnum(lfirst_oid(lc), column), NIL);

		mg_effect(cx->fp, lfirst_oid(lc), cx->lockmode, MG_ROLE_CHILD, NULL);
		if (known.state == MG_NULLABLE)
		{
			mg_problem(cx->fp, ERRCODE_INTERNAL_ERROR,
					   "column \"%s\" of table \"%s\" is not marked NOT NULL", column,
					   get_rel_name(lfirst_oid(lc)));
			return false;
		}
		if (!mg_fit_for_primary_key(cx, &known, column))
			return false;
	}
	return true;
}

/*
 * What phase 1 of 18 and later does about ADD PRIMARY KEY: columns that are
 * not NOT NULL before the statement will be made so, with their descendants,
 * even if ONLY is written.  Returns those columns, as String.
 */
List *
mg_primary_key_prepare(MgAlter *cx, Constraint *con)
{
	List *missing = NIL;
	ListCell *lc;

	if (!MG_PG_NOT_NULL_CONSTRAINTS || con->contype != CONSTR_PRIMARY)
		return NIL;
	foreach(lc, con->keys)
	{
		const char *column = strVal(lfirst(lc));
		MgNotNull known = mg_not_null(cx->relid, get_attnum(cx->relid, column), NIL);
		ListCell *lc2;

		if (known.state != MG_NULLABLE)
		{
			if (!mg_fit_for_primary_key(cx, &known, column))
				return NIL;
			continue;
		}
		if (!cx->recurse && !mg_children_fit_for_primary_key(cx, column))
			return NIL;
		foreach(lc2, mg_tree(cx->relid, cx->recurse || MG_PG_PRIMARY_KEY_LOCKS_ALL))
			mg_effect(cx->fp, lfirst_oid(lc2), cx->lockmode, MG_ROLE_CHILD, NULL);
		missing = lappend(missing, lfirst(lc));
	}
	return missing;
}

/* The same, when the columns are made NOT NULL. */
void
mg_primary_key_not_null(MgAlter *cx, List *columns, Node *node)
{
	ListCell *lc;

	foreach(lc, columns)
		mg_add_not_null(cx, mg_plain_not_null(lfirst(lc)), true, MG_CAUSE_ADD_PRIMARY_KEY, node);
}

/* PRIMARY KEY USING INDEX, whose columns are known only when the index is looked at. */
void
mg_index_key_not_null(MgAlter *cx, List *columns, Node *node)
{
	ListCell *lc;

	foreach(lc, columns)
	{
		if (MG_PG_NOT_NULL_CONSTRAINTS)
			mg_add_not_null(cx, mg_plain_not_null(lfirst(lc)), cx->recurse,
							MG_CAUSE_PRIMARY_KEY_USING_INDEX, node);
		else
			mg_set_not_null(cx, strVal(lfirst(lc)), cx->recurse, MG_CAUSE_PRIMARY_KEY_USING_INDEX,
							node);
	}
}

/* ------------------------------------------------------------------------
 * VALIDATE and DROP
 * ------------------------------------------------------------------------ */

/* The column that a NOT NULL constraint is about. */
char *
mg_not_null_column(HeapTuple row)
{
	return get_attname(((Form_pg_constraint) GETSTRUCT(row))->conrelid, mg_not_null_attnum(row),
					   false);
}

/* VALIDATE CONSTRAINT of one that is NOT NULL and not valid yet. */
void
mg_alter_validate_not_null(MgAlter *cx, HeapTuple row, AlterTableCmd *cmd)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(row);
	MgNotNull known = {.state = MG_NOT_NULL_UNCHECKED, .no_inherit = form->connoinherit};

	mg_validate_not_null(cx, cx->relid, mg_not_null_column(row), &known, cx->recurse,
						 MG_CAUSE_VALIDATE, (Node *) cmd);
}

/* The same for one that the statement adds, or the script so far. */
void
mg_alter_validate_added_not_null(MgAlter *cx, Constraint *con, AlterTableCmd *cmd)
{
	MgNotNull known = {.state = MG_NOT_NULL_UNCHECKED, .no_inherit = con->is_no_inherit};

	mg_validate_not_null(cx, cx->relid, strVal(linitial(con->keys)), &known, cx->recurse,
						 MG_CAUSE_VALIDATE, (Node *) cmd);
}

/* Is the column in the index by which core finds it?  primary, or of the replica identity. */
static bool
mg_in_index(Oid relid, AttrNumber attnum, bool primary)
{
	ListCell *lc;

	foreach(lc, mg_index_forms(relid))
	{
		Form_pg_index form = lfirst(lc);

		if (primary ? !form->indisprimary : !form->indisreplident)
			continue;
		for (int i = 0; i < form->indnkeyatts; i++)
		{
			if (form->indkey.values[i] == attnum)
				return true;
		}
	}
	return false;
}

/* Is it an identity column, after what the statement has done so far? */
static bool
mg_has_identity(MgAlter *cx, Oid relid, const char *column)
{
	return mg_column_form(relid, column).attidentity != '\0' &&
		   !mg_name_in(mg_tab_child(cx, cx->relid)->plain, column);
}

/* What core refuses before it drops a NOT NULL constraint. */
static bool
mg_not_null_droppable(MgAlter *cx, Oid relid, const char *column, const MgNotNull *known,
					  bool recursing)
{
	AttrNumber attnum = get_attnum(relid, column);

	if (known->inherited && !recursing)
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "cannot drop inherited constraint \"%s\" of relation \"%s\"", known->name,
				   get_rel_name(relid));
	else if (mg_in_index(relid, attnum, true) && !mg_primary_key_gone(cx, relid))
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION, "column \"%s\" is in a primary key",
				   column);
	else if (mg_in_index(relid, attnum, false))
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "column \"%s\" is in index used as replica identity", column);
	else if (mg_has_identity(cx, relid, column))
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "column \"%s\" of relation \"%s\" is an identity column", column,
				   get_rel_name(relid));
	else
		return true;
	return false;
}

/* Drop a NOT NULL constraint, and that of children that have it from there alone. */
void
mg_drop_not_null(MgAlter *cx, Oid relid, const char *column, bool recursing, DropBehavior behavior)
{
	MgTab *tab = mg_tab_child(cx, relid);
	MgNotNull known = mg_not_null_now(cx, tab, column);
	ListCell *lc;

	check_stack_depth();
	if (known.state == MG_NULLABLE || !mg_not_null_droppable(cx, relid, column, &known, recursing))
		return;
	tab->nullable = lappend(tab->nullable, pstrdup(column));
	if (OidIsValid(known.conoid))
		mg_drop_with(cx, list_make1(mg_address(ConstraintRelationId, known.conoid, 0)), behavior);
	if (known.no_inherit)
		return;
	foreach(lc, mg_children(relid))
	{
		MgNotNull child = mg_not_null(lfirst_oid(lc), get_attnum(lfirst_oid(lc), column),
									  cx->gone_constraints);

		if (cx->recurse && child.inherited_once && !child.local)
			mg_drop_not_null(cx, lfirst_oid(lc), column, true, behavior);
		else
			mg_tab_child(cx, lfirst_oid(lc));
	}
}

/* What ATExecDropNotNull() of 18 and later asks before. */
static void
mg_drop_not_null_constraint(MgAlter *cx, AlterTableCmd *cmd)
{
	MgTab *tab = mg_tab_child(cx, cx->relid);

	if (mg_not_null_now(cx, tab, cmd->name).state == MG_NULLABLE)
	{
		mg_note(tab->eff, "column \"%s\" is nullable already", cmd->name);
		return;
	}
	if (mg_has_identity(cx, cx->relid, cmd->name))
		mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR,
				   "column \"%s\" of relation \"%s\" is an identity column", cmd->name,
				   get_rel_name(cx->relid));
	else if (get_rel_relispartition(cx->relid) &&
			 mg_column_form(get_partition_parent(cx->relid, false), cmd->name).attnotnull)
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "column \"%s\" is marked NOT NULL in parent table", cmd->name);
	else
		mg_drop_not_null(cx, cx->relid, cmd->name, false, DROP_RESTRICT);
}

/* DROP NOT NULL: later passes must not count on it. */
void
mg_alter_drop_not_null(MgAlter *cx, AlterTableCmd *cmd)
{
	ListCell *lc;

	mg_column(cx, cx->relid, cmd->name);
	if (MG_PG_NOT_NULL_CONSTRAINTS)
	{
		if (cx->fp->problem == NULL)
			mg_drop_not_null_constraint(cx, cmd);
		return;
	}
	foreach(lc, mg_tree(cx->relid, cx->recurse))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));

		tab->nullable = lappend(tab->nullable, cmd->name);
	}
}
