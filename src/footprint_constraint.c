/*
 * footprint_constraint.c
 *
 * Owns ADD and DROP CONSTRAINT, and the constraints written in ADD COLUMN, but
 * for those with an index, which are in footprint_key.c, and NOT NULL, which
 * is in footprint_notnull.c.
 *
 * Follows ATExecAddConstraint(), ATAddCheckConstraint(),
 * ATAddForeignKeyConstraint() and ATExecDropConstraint() of tablecmds.c.
 */
#include "mg_alter.h"

#include "catalog/dependency.h"

/* The row of a table's constraint, by name; a copy, or NULL. */
HeapTuple
mg_constraint_tuple(Oid relid, const char *name)
{
	return mg_named_row(ConstraintRelationId, ConstraintRelidTypidNameIndexId,
						Anum_pg_constraint_conrelid, relid, Anum_pg_constraint_conname, name);
}

/* The same, but for one that the statement, or the script so far, has dropped. */
HeapTuple
mg_live_constraint(MgAlter *cx, Oid relid, const char *name)
{
	HeapTuple tuple = mg_constraint_tuple(relid, name);

	if (tuple &&
		list_member_oid(cx->gone_constraints, ((Form_pg_constraint) GETSTRUCT(tuple))->oid))
		return NULL;
	return tuple;
}

/* Record that the statement names a constraint that is not there. */
void
mg_no_constraint(MgAlter *cx, Oid relid, const char *name)
{
	mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT,
			   "constraint \"%s\" of relation \"%s\" does not exist", name, get_rel_name(relid));
}

/* A CHECK constraint on one table: a scan, unless it is NOT VALID. */
static void
mg_add_check_table(MgTab *tab, Constraint *con, MgCause cause, Node *node, const char *column)
{
	MgTask *task;

	if (con->skip_validation)
	{
		mg_note(tab->eff, "the constraint is added %s, so no row is read",
				mg_clause_enforced(con) ? "NOT VALID" : "NOT ENFORCED");
		return;
	}
	if (!mg_has_storage(tab->relkind))
		return;
	task = mg_pending(&tab->scans, MG_WORK_SCAN, cause, node);
	task->constraint = con->conname;
	task->column = column;
	task->reason = con->conname
					 ? psprintf("every row is checked against constraint \"%s\"", con->conname)
					 : "every row is checked against the new CHECK constraint";
}

/* ADD CHECK on a table and, level by level, on its descendants. */
static void
mg_add_check_tree(MgAlter *cx, Oid relid, Constraint *con, MgCause cause, Node *node,
				  const char *column)
{
	MgTab *tab = mg_tab_child(cx, relid);
	ListCell *lc;

	check_stack_depth();
	mg_add_check_table(tab, con, cause, node, column);
	if (con->is_no_inherit || !has_subclass(relid))
		return;
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		/* a child's constraint of that name is merged, and its children have it, too */
		if (con->conname && mg_live_constraint(cx, lfirst_oid(lc), con->conname))
			mg_note(mg_tab_child(cx, lfirst_oid(lc))->eff, "it has constraint \"%s\" already",
					con->conname);
		else
			mg_add_check_tree(cx, lfirst_oid(lc), con, cause, node, column);
	}
}

/* ADD CHECK, or a CHECK written in ADD COLUMN. */
void
mg_add_check(MgAlter *cx, Oid relid, Constraint *con, MgCause cause, Node *node, const char *column)
{
	HeapTuple existing = con->conname ? mg_live_constraint(cx, relid, con->conname) : NULL;

	if (existing)
	{
		/* an inherited one becomes a local one as well */
		if (((Form_pg_constraint) GETSTRUCT(existing))->coninhcount == 0)
			mg_problem(cx->fp, ERRCODE_DUPLICATE_OBJECT,
					   "constraint \"%s\" for relation \"%s\" already exists", con->conname,
					   get_rel_name(relid));
		return;
	}
	if (!cx->recurse && !con->is_no_inherit && has_subclass(relid) &&
		find_inheritance_children(relid, NoLock) != NIL)
	{
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "constraint must be added to child tables too");
		return;
	}
	mg_add_check_tree(cx, relid, con, cause, node, column);
}

/* Queue the validation of a foreign key. */
void
mg_validate_fkey(MgTab *tab, Oid confrelid, MgCause cause, Node *node, const char *constraint,
				 bool keys_null)
{
	MgForeignKey *fkey = palloc0(sizeof(MgForeignKey));
	List *list = NIL;

	fkey->confrelid = confrelid;
	fkey->keys_null = keys_null;
	fkey->task = mg_pending(&list, MG_WORK_SCAN, cause, node);
	fkey->task->constraint = constraint;
	fkey->task->reason = constraint
						   ? psprintf("every row is checked against foreign key \"%s\"", constraint)
						   : "every row is checked against the new foreign key";
	tab->fkeys = lappend(tab->fkeys, fkey);
}

/* A partition's foreign key that is NOT VALID becomes part of one that is: it is validated. */
void
mg_adopt_invalid_fkey(MgAlter *cx, Oid partition, Oid confrelid, MgCause cause, Node *node,
					  const char *constraint)
{
	ListCell *lc;

	foreach(lc, mg_tree(partition, true))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));

		if (tab->relkind == RELKIND_RELATION)
			mg_validate_fkey(tab, confrelid, cause, node, constraint, false);
	}
}

/* The referencing side of a new foreign key: the table, or its partitions. */
static void
mg_add_fkey_referencing(MgAlter *cx, Oid relid, Oid confrelid, Constraint *con, Node *node,
						bool validate, bool keys_null)
{
	MgTab *tab = mg_tab_child(cx, relid);
	ListCell *lc;

	check_stack_depth();
	if (tab->relkind != RELKIND_PARTITIONED_TABLE)
	{
		if (!validate)
			return;
		if (!mg_clause_enforced(con))
			mg_note(tab->eff, "the foreign key is added NOT ENFORCED, so no row is read");
		else if (con->skip_validation)
			mg_note(tab->eff, "the foreign key is added NOT VALID, so no row is read");
		else if (tab->relkind == RELKIND_RELATION)
			mg_validate_fkey(tab, confrelid, MG_CAUSE_ADD_FOREIGN_KEY, node, con->conname,
							 keys_null);
		return;
	}
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		Oid partition = lfirst_oid(lc);
		MgFkeyShape shape;
		bool valid;

		if (mg_fkey_shape_of_constraint(partition, confrelid, con, &shape) &&
			OidIsValid(mg_fkey_find(cx->fp, partition, &shape, &valid)))
		{
			mg_tab_child(cx, partition);
			if (shape.enforced) /* otherwise there are no triggers */
				mg_lock_referenced(
					cx->fp, confrelid, AccessExclusiveLock,
					"a partition has the foreign key already, and its triggers here are merged");
			if (validate && !valid && !con->skip_validation)
				mg_adopt_invalid_fkey(cx, partition, confrelid, MG_CAUSE_ADD_FOREIGN_KEY, node,
									  con->conname);
			else
				mg_note(mg_tab_child(cx, partition)->eff,
						"its own foreign key is adopted, so it is not validated again");
		}
		else
			mg_add_fkey_referencing(cx, partition, confrelid, con, node, validate, keys_null);
	}
}

/*
 * May a table of this persistence (zero: not known) reference another one?
 * What lasts must not depend on what does not; if it would, records core's
 * error.
 */
bool
mg_fits_persistence(MgFootprint *fp, char own, Oid confrelid)
{
	char other = get_rel_persistence(confrelid);
	const char *problem = NULL;

	if (fp->script && mg_script_alters(fp->script, confrelid))
		return true;
	if (own == RELPERSISTENCE_PERMANENT && other != RELPERSISTENCE_PERMANENT)
		problem = "constraints on permanent tables may reference only permanent tables";
	else if (own == RELPERSISTENCE_UNLOGGED && other == RELPERSISTENCE_TEMP)
		problem = "constraints on unlogged tables may reference only permanent or unlogged tables";
	else if (own == RELPERSISTENCE_TEMP && other != RELPERSISTENCE_TEMP)
		problem = "constraints on temporary tables may reference only temporary tables";
	else if (own == RELPERSISTENCE_TEMP && !isTempNamespace(get_rel_namespace(confrelid)))
		problem = "constraints on temporary tables must involve temporary tables of this session";
	if (problem)
		mg_problem(fp, ERRCODE_INVALID_TABLE_DEFINITION, "%s", problem);
	return problem == NULL;
}

/* The persistence of the referencing table; zero: another statement of the script may change it. */
static char
mg_own_persistence(MgAlter *cx)
{
	if (!OidIsValid(cx->relid) || (cx->fp->script && mg_script_alters(cx->fp->script, cx->relid)))
		return '\0';
	return get_rel_persistence(cx->relid);
}

/* checkFkeyPermissions(): REFERENCES on the table, or on each column of the key. */
bool
mg_may_reference(MgFootprint *fp, Oid confrelid, Constraint *con)
{
	MgFkeyShape shape;

	if (pg_class_aclcheck(confrelid, GetUserId(), ACL_REFERENCES) == ACLCHECK_OK)
		return true;
	memset(&shape, 0, sizeof(shape));
	if (mg_referenced_columns(confrelid, con, &shape))
	{
		bool allowed = shape.nkeys > 0;

		for (int i = 0; i < shape.nkeys; i++)
			allowed &= pg_attribute_aclcheck(confrelid, shape.confkey[i], GetUserId(),
											 ACL_REFERENCES) == ACLCHECK_OK;
		if (allowed)
			return true;
	}
	mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for table %s",
			   get_rel_name(confrelid));
	return false;
}

/* Is none of the referencing columns generated when it is read?  If one is, records core's error. */
static bool
mg_fkey_of_stored(MgAlter *cx, Constraint *con)
{
	ListCell *lc;

	foreach(lc, con->fk_attrs)
	{
		if (mg_is_virtual(cx->relid, strVal(lfirst(lc))))
		{
			mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "foreign key constraints on virtual generated columns are not supported");
			return false;
		}
	}
	return true;
}

/*
 * ADD FOREIGN KEY, or REFERENCES in ADD COLUMN.  validate: the rows that are
 * there will be checked (unless it is NOT VALID).  keys_null: the column is
 * null in all of them.
 */
void
mg_add_foreign_key(MgAlter *cx, Constraint *con, Node *node, bool validate, bool keys_null)
{
	bool self_is_new = cx->fp->target_is_new;
	Oid confrelid = mg_lookup_relation(cx->fp, con->pktable, false);

	cx->fp->target_is_new = self_is_new;
	if (cx->fp->problem)
		return;
	if (cx->relkind == RELKIND_PARTITIONED_TABLE && !cx->recurse)
	{
		mg_problem(
			cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
			"cannot use ONLY for foreign key on partitioned table \"%s\" referencing relation \"%s\"",
			get_rel_name(cx->relid), con->pktable->relname);
		return;
	}
	if (cx->relkind == RELKIND_PARTITIONED_TABLE && con->skip_validation &&
		!MG_PG_NOT_VALID_FKEY_OF_PARTITIONED)
	{
		mg_problem(
			cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
			"cannot add NOT VALID foreign key on partitioned table \"%s\" referencing relation \"%s\"",
			get_rel_name(cx->relid), con->pktable->relname);
		return;
	}
	if (OidIsValid(confrelid) &&
		(!mg_fits_persistence(cx->fp, mg_own_persistence(cx), confrelid) ||
		 !mg_may_reference(cx->fp, confrelid, con) || !mg_fkey_of_stored(cx, con)))
		return;
	if (OidIsValid(confrelid))
		mg_lock_referenced(cx->fp, confrelid, ShareRowExclusiveLock,
						   "the foreign key adds triggers to the table it references");
	if (OidIsValid(cx->relid))
		mg_add_fkey_referencing(cx, cx->relid, confrelid, con, node, validate, keys_null);
}

/* ADD CONSTRAINT. */
void
mg_alter_add_constraint(MgAlter *cx, AlterTableCmd *cmd)
{
	Constraint *con = castNode(Constraint, cmd->def);

	switch (con->contype)
	{
		case CONSTR_CHECK:
			mg_add_check(cx, cx->relid, con, MG_CAUSE_ADD_CHECK, (Node *) cmd, NULL);
			break;
		case CONSTR_FOREIGN:
			mg_add_foreign_key(cx, con, (Node *) cmd, true, false);
			break;
		case CONSTR_NOTNULL:
			mg_add_not_null(cx, con, cx->recurse, MG_CAUSE_ADD_NOT_NULL, (Node *) cmd);
			break;
		case CONSTR_UNIQUE:
		case CONSTR_PRIMARY:
		case CONSTR_EXCLUSION:
			mg_add_key(cx, con, (Node *) cmd);
			break;
		default:
			break;
	}
}

/* What goes with one constraint of one table. */
static void
mg_drop_constraint_objects(MgAlter *cx, Form_pg_constraint form, DropBehavior behavior)
{
	if (form->contype == CONSTRAINT_FOREIGN)
		mg_lock_referenced(cx->fp, form->confrelid, AccessExclusiveLock,
						   psprintf("its triggers of foreign key \"%s\" are dropped",
									NameStr(form->conname)));
	mg_drop_with(cx, list_make1(mg_address(ConstraintRelationId, form->oid, 0)), behavior);
}

/* DROP CONSTRAINT on a table and, level by level, on its descendants. */
static void
mg_drop_constraint_tree(MgAlter *cx, Oid relid, HeapTuple tuple, AlterTableCmd *cmd)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	ListCell *lc;

	check_stack_depth();
	mg_tab_child(cx, relid);
	mg_drop_constraint_objects(cx, form, cmd->behavior);
	if (form->connoinherit || form->contype != CONSTRAINT_CHECK || !has_subclass(relid))
		return;
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		HeapTuple child = mg_live_constraint(cx, lfirst_oid(lc), cmd->name);
		Form_pg_constraint child_form = child ? (Form_pg_constraint) GETSTRUCT(child) : NULL;

		if (child_form && cx->recurse && child_form->coninhcount == 1 && !child_form->conislocal)
			mg_drop_constraint_tree(cx, lfirst_oid(lc), child, cmd);
		else
			mg_tab_child(cx, lfirst_oid(lc));
	}
}

/* DROP CONSTRAINT. */
void
mg_alter_drop_constraint(MgAlter *cx, AlterTableCmd *cmd)
{
	HeapTuple tuple = mg_live_constraint(cx, cx->relid, cmd->name);

	if (cx->relkind == RELKIND_PARTITIONED_TABLE)
		mg_lock_children(cx, cx->relid);
	if (tuple == NULL)
	{
		if (cmd->missing_ok)
			mg_note(mg_tab(cx, cx->relid, MG_ROLE_TARGET)->eff,
					"constraint \"%s\" does not exist, so nothing is dropped", cmd->name);
		else if (!cx->fp->script || !mg_script_constraint(cx->fp->script, cx->relid, cmd->name))
			mg_no_constraint(cx, cx->relid, cmd->name);
		return;
	}
	if (mg_is_not_null_row((Form_pg_constraint) GETSTRUCT(tuple)))
		mg_drop_not_null(cx, cx->relid, mg_not_null_column(tuple), false, cmd->behavior);
	else if (((Form_pg_constraint) GETSTRUCT(tuple))->coninhcount > 0)
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "cannot drop inherited constraint \"%s\" of relation \"%s\"", cmd->name,
				   get_rel_name(cx->relid));
	else
		mg_drop_constraint_tree(cx, cx->relid, tuple, cmd);
}
