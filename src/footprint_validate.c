/*
 * footprint_validate.c
 *
 * Owns VALIDATE CONSTRAINT and ALTER CONSTRAINT, but for NOT NULL constraints,
 * whose validation is in footprint_notnull.c.
 *
 * Follows ATExecValidateConstraint() and ATExecAlterConstraint() of
 * tablecmds.c, and what they call: QueueFKConstraintValidation(),
 * ATExecAlterConstrEnforceability(), ATExecAlterConstrDeferrability() and
 * ATExecAlterConstrInheritability().
 */
#include "mg_alter.h"

/* The rows of constraints that were derived from one for partitions, of either side; copies. */
static List *
mg_derived_from(Oid conoid)
{
	return mg_rows(ConstraintRelationId, ConstraintParentIndexId, Anum_pg_constraint_conparentid,
				   conoid);
}

/* A constraint that the same statement adds, or the script so far. */
static Constraint *
mg_added_constraint(MgAlter *cx, const char *name)
{
	ListCell *lc;

	foreach(lc, cx->stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddConstraint)
		{
			Constraint *con = castNode(Constraint, cmd->def);

			if (con->conname && strcmp(con->conname, name) == 0)
				return con;
		}
	}
	return cx->fp->script ? mg_script_constraint(cx->fp->script, cx->relid, name) : NULL;
}

/* VALIDATE of a CHECK constraint: the table, and every descendant that is not valid yet. */
static void
mg_validate_check(MgAlter *cx, const char *name, bool no_inherit, Node *node)
{
	ListCell *lc;

	foreach(lc, mg_tree(cx->relid, !no_inherit))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));
		HeapTuple tuple = mg_live_constraint(cx, tab->relid, name);
		MgTask *task;

		if (tab->relid != cx->relid && !cx->recurse)
		{
			mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
					   "constraint must be validated on child tables too");
			return;
		}
		if (tuple && !mg_row_enforced((Form_pg_constraint) GETSTRUCT(tuple)))
		{
			mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					   "cannot validate NOT ENFORCED constraint");
			return;
		}
		if ((tuple && ((Form_pg_constraint) GETSTRUCT(tuple))->convalidated) ||
			!mg_has_storage(tab->relkind))
			continue;
		task = mg_pending(&tab->scans, MG_WORK_SCAN, MG_CAUSE_VALIDATE, node);
		task->constraint = name;
		task->reason = psprintf("every row is checked against constraint \"%s\"", name);
	}
}

/* VALIDATE CONSTRAINT of one that is not in the catalog yet. */
static void
mg_validate_added_constraint(MgAlter *cx, Constraint *con, AlterTableCmd *cmd)
{
	if (!mg_clause_enforced(con) && con->contype != CONSTR_NOTNULL)
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot validate NOT ENFORCED constraint");
	else if (con->contype == CONSTR_CHECK)
		mg_validate_check(cx, cmd->name, con->is_no_inherit, (Node *) cmd);
	else if (con->contype == CONSTR_NOTNULL)
		mg_alter_validate_added_not_null(cx, con, cmd);
	else if (con->contype == CONSTR_FOREIGN)
	{
		Oid confrelid = RangeVarGetRelidExtended(con->pktable, NoLock, RVR_MISSING_OK, NULL, NULL);

		mg_validate_fkey(mg_tab(cx, cx->relid, MG_ROLE_TARGET), confrelid, MG_CAUSE_VALIDATE,
						 (Node *) cmd, cmd->name, false);
	}
}

/* A foreign key of the table, or one of a partition: that is locked like the table. */
static void
mg_lock_referencing(MgAlter *cx, Form_pg_constraint form)
{
	mg_effect(cx->fp, form->conrelid, cx->lockmode,
			  form->conrelid == cx->relid ? MG_ROLE_TARGET : MG_ROLE_CHILD, NULL);
}

/* Its rows are read, unless it is of a partitioned table or stands for a partition of confrelid. */
static void
mg_read_referencing(MgAlter *cx, Form_pg_constraint form, Oid confrelid, MgCause cause, Node *node)
{
	MgTab *tab = mg_tab(cx, form->conrelid, MG_ROLE_CHILD);

	if (tab->relkind == RELKIND_RELATION && form->confrelid == confrelid)
		mg_validate_fkey(tab, confrelid, cause, node, pstrdup(NameStr(form->conname)), false);
}

/*
 * VALIDATE of a foreign key: that of the table, or those of its partitions
 * that are not valid yet.  Rows that stand for partitions of the referenced
 * table ask for nothing.
 */
static void
mg_validate_fkey_row(MgAlter *cx, HeapTuple tuple, Oid confrelid, MgCause cause, Node *node)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	ListCell *lc;

	check_stack_depth();
	mg_lock_referencing(cx, form);
	mg_read_referencing(cx, form, confrelid, cause, node);
	foreach(lc, mg_derived_from(form->oid))
	{
		HeapTuple child = lfirst(lc);

		if (!((Form_pg_constraint) GETSTRUCT(child))->convalidated)
			mg_validate_fkey_row(cx, child, confrelid, cause, node);
	}
}

/* VALIDATE CONSTRAINT. */
void
mg_alter_validate(MgAlter *cx, AlterTableCmd *cmd)
{
	HeapTuple tuple = mg_live_constraint(cx, cx->relid, cmd->name);
	Form_pg_constraint form;

	if (tuple == NULL)
	{
		Constraint *con = mg_added_constraint(cx, cmd->name);

		if (con && con->skip_validation)
			mg_validate_added_constraint(cx, con, cmd);
		else if (con)
			mg_note(mg_tab(cx, cx->relid, MG_ROLE_TARGET)->eff,
					"constraint \"%s\" is valid already, so no row is read", cmd->name);
		else
			mg_no_constraint(cx, cx->relid, cmd->name);
		return;
	}
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	if (form->contype != CONSTRAINT_FOREIGN && form->contype != CONSTRAINT_CHECK &&
		!mg_is_not_null_row(form))
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE, MG_CANNOT_VALIDATE, cmd->name,
				   get_rel_name(cx->relid));
	else if (!mg_row_enforced(form))
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot validate NOT ENFORCED constraint");
	else if (form->convalidated)
		mg_note(mg_tab(cx, cx->relid, MG_ROLE_TARGET)->eff,
				"constraint \"%s\" is valid already, so no row is read", cmd->name);
	else if (form->contype == CONSTRAINT_CHECK)
		mg_validate_check(cx, cmd->name, form->connoinherit, (Node *) cmd);
	else if (form->contype == CONSTRAINT_FOREIGN)
		mg_validate_fkey_row(cx, tuple, form->confrelid, MG_CAUSE_VALIDATE, (Node *) cmd);
	else
		mg_alter_validate_not_null(cx, tuple, cmd);
}


/* ------------------------------------------------------------------------
 * ALTER CONSTRAINT
 * ------------------------------------------------------------------------ */

/* The tables of all constraints that were derived from one for partitions. */
static void
mg_lock_derived(MgAlter *cx, Oid conoid)
{
	ListCell *lc;

	check_stack_depth();
	foreach(lc, mg_derived_from(conoid))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT((HeapTuple) lfirst(lc));

		mg_effect(cx->fp, form->conrelid, cx->lockmode, MG_ROLE_CHILD, NULL);
		mg_lock_derived(cx, form->oid);
	}
}

/* Is it one that can be altered like that?  If not, records core's error. */
static bool
mg_change_allowed(MgAlter *cx, Form_pg_constraint form, const MgConstraintChange *change)
{
	const char *table = get_rel_name(cx->relid);
	bool check = MG_PG_ENFORCE_CHECK && form->contype == CONSTRAINT_CHECK;

	if (change->deferrability && form->contype != CONSTRAINT_FOREIGN)
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "constraint \"%s\" of relation \"%s\" is not a foreign key constraint",
				   change->name, table);
	else if (change->enforceability && form->contype != CONSTRAINT_FOREIGN && !check)
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "cannot alter enforceability of constraint \"%s\" of relation \"%s\"",
				   change->name, table);
	else if (change->inheritability && !mg_is_not_null_row(form))
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "constraint \"%s\" of relation \"%s\" is not a not-null constraint",
				   change->name, table);
	else if (change->inheritability && change->noinherit &&
			 cx->relkind == RELKIND_PARTITIONED_TABLE)
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "not-null constraint \"%s\" on partitioned table \"%s\" cannot be NO INHERIT",
				   change->name, table);
	else if (change->inheritability && change->noinherit && form->coninhcount > 0)
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot alter inherited constraint \"%s\" on relation \"%s\"", change->name,
				   table);
	else if (OidIsValid(form->conparentid))
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot alter constraint \"%s\" on relation \"%s\"", change->name, table);
	else
		return true;
	return false;
}

/* NOT ENFORCED: the triggers of a foreign key are dropped, on both sides and in all partitions. */
static void
mg_fkey_not_enforced(MgAlter *cx, HeapTuple tuple)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	ListCell *lc;

	check_stack_depth();
	mg_lock_referencing(cx, form);
	if (mg_row_enforced(form))
		mg_effect(cx->fp, form->confrelid, AccessExclusiveLock, MG_ROLE_PEER,
				  psprintf("its triggers of foreign key \"%s\" are dropped",
						   NameStr(form->conname)));
	foreach(lc, mg_derived_from(form->oid))
		mg_fkey_not_enforced(cx, lfirst(lc));
}

/* ENFORCED: they are made, and the rows of the referencing side are validated. */
static void
mg_fkey_enforced(MgAlter *cx, HeapTuple tuple, Oid confrelid, Node *node)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	ListCell *lc;

	check_stack_depth();
	mg_lock_referencing(cx, form);
	if (mg_row_enforced(form))
		return;
	mg_effect(cx->fp, form->confrelid, ShareRowExclusiveLock, MG_ROLE_PEER,
			  "the foreign key adds triggers to the table it references");
	mg_read_referencing(cx, form, confrelid, MG_CAUSE_ALTER_CONSTRAINT, node);
	foreach(lc, mg_derived_from(form->oid))
		mg_fkey_enforced(cx, lfirst(lc), confrelid, node);
}

/* CHECK made ENFORCED: it is verified, on all descendants. */
static void
mg_check_enforced(MgAlter *cx, const MgConstraintChange *change, bool no_inherit, Node *node)
{
	ListCell *lc;

	foreach(lc, mg_tree(cx->relid, !no_inherit))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));
		HeapTuple tuple = mg_live_constraint(cx, tab->relid, change->name);
		MgTask *task;

		if (!change->enforced || !mg_has_storage(tab->relkind) ||
			(tuple && mg_row_enforced((Form_pg_constraint) GETSTRUCT(tuple))))
			continue;
		task = mg_pending(&tab->scans, MG_WORK_SCAN, MG_CAUSE_ALTER_CONSTRAINT, node);
		task->constraint = change->name;
		task->reason = psprintf("every row is checked against constraint \"%s\"", change->name);
	}
}

/* INHERIT and NO INHERIT of a NOT NULL constraint: the direct children get it, or keep it. */
static void
mg_change_inheritance(MgAlter *cx, HeapTuple tuple, const MgConstraintChange *change, Node *node)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	ListCell *lc;

	if (change->noinherit == form->connoinherit || !has_subclass(cx->relid))
		return;
	foreach(lc, find_inheritance_children(cx->relid, NoLock))
	{
		mg_tab_child(cx, lfirst_oid(lc));
		if (!change->noinherit)
			mg_inherit_not_null(cx, lfirst_oid(lc), mg_not_null_column(tuple), node);
	}
}

/* What an allowed change does. */
static void
mg_change_constraint(MgAlter *cx, HeapTuple tuple, const MgConstraintChange *change, Node *node)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	bool changed = form->condeferrable != change->deferrable ||
				   form->condeferred != change->initdeferred;

	if (change->enforceability && form->contype == CONSTRAINT_CHECK)
		mg_check_enforced(cx, change, form->connoinherit, node);
	else if (change->enforceability && !change->enforced)
		mg_fkey_not_enforced(cx, tuple);
	else if (change->enforceability && !mg_row_enforced(form))
		mg_fkey_enforced(cx, tuple, form->confrelid, node);
	else if (change->deferrability &&
			 (changed || (cx->relkind == RELKIND_PARTITIONED_TABLE && !MG_PG_ENFORCED)))
		mg_lock_derived(cx, form->oid);
	if (change->inheritability)
		mg_change_inheritance(cx, tuple, change, node);
}

/* ALTER CONSTRAINT. */
void
mg_alter_constraint(MgAlter *cx, AlterTableCmd *cmd)
{
	MgConstraintChange change;
	HeapTuple tuple;

	mg_constraint_change(cmd->def, &change);
	if (MG_PG_ENFORCED && cx->relkind == RELKIND_PARTITIONED_TABLE && !cx->recurse)
	{
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "constraint must be altered in child tables too");
		return;
	}
	tuple = mg_live_constraint(cx, cx->relid, change.name);
	if (tuple == NULL)
	{
		if (mg_added_constraint(cx, change.name) == NULL)
			mg_no_constraint(cx, cx->relid, change.name);
	}
	else if (mg_change_allowed(cx, (Form_pg_constraint) GETSTRUCT(tuple), &change))
		mg_change_constraint(cx, tuple, &change, (Node *) cmd);
}
