/*
 * footprint_trigger.c
 *
 * Owns the footprints of CREATE TRIGGER and ALTER TRIGGER ... RENAME, with
 * core's rules about which relation can have which trigger.  Follows
 * CreateTriggerFiringOn() and renametrig() of trigger.c.
 */
#include "mg_part.h"

/* Look a trigger up by name.  False: the relation has none of that name. */
bool
mg_find_trigger(Oid relid, const char *name, MgTrigger *trigger)
{
	HeapTuple row = mg_named_row(TriggerRelationId, TriggerRelidNameIndexId,
								 Anum_pg_trigger_tgrelid, relid, Anum_pg_trigger_tgname, name);
	Form_pg_trigger form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_trigger) GETSTRUCT(row);
	trigger->oid = form->oid;
	trigger->constraint = form->tgconstraint;
	trigger->parent = form->tgparentid;
	trigger->internal = form->tgisinternal;
	return true;
}

/* ------------------------------------------------------------------------
 * CREATE TRIGGER: what can have which trigger
 * ------------------------------------------------------------------------ */

static void
mg_refuse_trigger(MgFootprint *fp, Oid relid, const char *kind, const char *detail)
{
	mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is a %s", get_rel_name(relid), kind);
	fp->problem->detail = pstrdup(detail);
}

/* Timing and events that the kind of relation does not allow. */
static bool
mg_trigger_fits_relation(MgFootprint *fp, CreateTrigStmt *stmt, Oid relid)
{
	bool instead = stmt->timing == TRIGGER_TYPE_INSTEAD;
	bool truncate = TRIGGER_FOR_TRUNCATE(stmt->events);

	switch (get_rel_relkind(relid))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			if (instead)
				mg_refuse_trigger(fp, relid, "table", "Tables cannot have INSTEAD OF triggers.");
			else if (mg_kind_is_one_of(relid, "p") && stmt->row && stmt->transitionRels != NIL)
			{
				mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED, "\"%s\" is a partitioned table",
						   get_rel_name(relid));
				fp->problem->detail = "ROW triggers with transition tables are not supported on "
									  "partitioned tables.";
			}
			break;
		case RELKIND_VIEW:
			if (!instead && stmt->row)
				mg_refuse_trigger(fp, relid, "view",
								  "Views cannot have row-level BEFORE or AFTER triggers.");
			else if (truncate)
				mg_refuse_trigger(fp, relid, "view", "Views cannot have TRUNCATE triggers.");
			break;
		case RELKIND_FOREIGN_TABLE:
			if (instead)
				mg_refuse_trigger(fp, relid, "foreign table",
								  "Foreign tables cannot have INSTEAD OF triggers.");
			else if (truncate && !MG_PG_TRUNCATE_TRIGGER_ON_FOREIGN)
				mg_refuse_trigger(fp, relid, "foreign table",
								  "Foreign tables cannot have TRUNCATE triggers.");
			else if (stmt->isconstraint)
				mg_refuse_trigger(fp, relid, "foreign table",
								  "Foreign tables cannot have constraint triggers.");
			break;
		default:
			mg_wrong_kind(fp, relid, ERRCODE_WRONG_OBJECT_TYPE,
						  "relation \"%s\" cannot have triggers");
			break;
	}
	return fp->problem == NULL && mg_check_system(fp, relid);
}

/* Transition tables go with few kinds of triggers.  The grammar says that they are tables. */
static void
mg_check_transition_tables(MgFootprint *fp, CreateTrigStmt *stmt, Oid relid)
{
	int events = (TRIGGER_FOR_INSERT(stmt->events) ? 1 : 0) +
				 (TRIGGER_FOR_UPDATE(stmt->events) ? 1 : 0) +
				 (TRIGGER_FOR_DELETE(stmt->events) ? 1 : 0);

	if (stmt->transitionRels == NIL)
		return;
	if (!linitial_node(TriggerTransition, stmt->transitionRels)->isTable)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "ROW variable naming in the REFERENCING clause is not supported");
	else if (mg_kind_is_one_of(relid, "f"))
		mg_refuse_trigger(fp, relid, "foreign table",
						  "Triggers on foreign tables cannot have transition tables.");
	else if (mg_kind_is_one_of(relid, "v"))
		mg_refuse_trigger(fp, relid, "view", "Triggers on views cannot have transition tables.");
	else if (stmt->row && has_superclass(relid))
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "ROW triggers with transition tables are not supported on %s",
				   get_rel_relispartition(relid) ? "partitions" : "inheritance children");
	else if (stmt->timing != TRIGGER_TYPE_AFTER)
		mg_problem(fp, ERRCODE_INVALID_OBJECT_DEFINITION,
				   "transition table name can only be specified for an AFTER trigger");
	else if (TRIGGER_FOR_TRUNCATE(stmt->events))
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "TRUNCATE triggers with transition tables are not supported");
	else if (events != 1)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "transition tables cannot be specified for triggers with more than one event");
	else if (stmt->columns != NIL)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "transition tables cannot be specified for triggers with column lists");
}

/* Combinations that no relation allows. */
static bool
mg_trigger_makes_sense(MgFootprint *fp, CreateTrigStmt *stmt, Oid relid)
{
	if (stmt->row && TRIGGER_FOR_TRUNCATE(stmt->events))
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "TRUNCATE FOR EACH ROW triggers are not supported");
	else if (stmt->timing == TRIGGER_TYPE_INSTEAD)
	{
		if (!stmt->row)
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "INSTEAD OF triggers must be FOR EACH ROW");
		else if (stmt->whenClause)
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "INSTEAD OF triggers cannot have WHEN conditions");
		else if (stmt->columns != NIL)
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "INSTEAD OF triggers cannot have column lists");
	}
	mg_check_transition_tables(fp, stmt, relid);
	return fp->problem == NULL;
}

/* ------------------------------------------------------------------------
 * CREATE TRIGGER: privileges, names
 * ------------------------------------------------------------------------ */

/* The function has to be there, and be one for triggers; the script may have made it. */
static bool
mg_check_trigger_function(MgFootprint *fp, CreateTrigStmt *stmt)
{
	Oid funcid;

	if (fp->script && fp->script->changed)
		return true;
	if (!mg_check_names(fp, stmt->funcname))
		return false;
	funcid = LookupFuncName(stmt->funcname, 0, NULL, true);
	if (!OidIsValid(funcid))
		mg_problem(fp, ERRCODE_UNDEFINED_FUNCTION, "function %s() does not exist",
				   NameListToString(stmt->funcname));
	else if (!mg_allowed(ProcedureRelationId, funcid, ACL_EXECUTE))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for function %s",
				   NameListToString(stmt->funcname));
	else if (get_func_rettype(funcid) != TRIGGEROID)
		mg_problem(fp, ERRCODE_INVALID_OBJECT_DEFINITION, "function %s must return type %s",
				   NameListToString(stmt->funcname), "trigger");
	return fp->problem == NULL;
}

/* A trigger of that name that is there already. */
static bool
mg_check_trigger_name(MgFootprint *fp, CreateTrigStmt *stmt, Oid relid, bool partition)
{
	const char *table = get_rel_name(relid);
	MgTrigger trigger;

	if (!mg_find_trigger(relid, stmt->trigname, &trigger) ||
		(fp->script && mg_script_alters(fp->script, relid)))
		return true;
	if (!stmt->replace)
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT,
				   "trigger \"%s\" for relation \"%s\" already exists", stmt->trigname, table);
	else if ((trigger.internal || OidIsValid(trigger.parent)) && !partition)
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT,
				   "trigger \"%s\" for relation \"%s\" is an internal or a child trigger",
				   stmt->trigname, table);
	else if (OidIsValid(trigger.constraint))
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT,
				   "trigger \"%s\" for relation \"%s\" is a constraint trigger", stmt->trigname,
				   table);
	return fp->problem == NULL;
}

/* UPDATE OF column, ... */
static bool
mg_check_trigger_columns(MgFootprint *fp, CreateTrigStmt *stmt, Oid relid)
{
	ListCell *lc;

	foreach(lc, stmt->columns)
	{
		const char *name = strVal(lfirst(lc));

		if (get_attnum(relid, name) == InvalidAttrNumber &&
			!(fp->script && mg_script_column(fp->script, relid, name)))
			mg_problem(fp, ERRCODE_UNDEFINED_COLUMN,
					   "column \"%s\" of relation \"%s\" does not exist", name,
					   get_rel_name(relid));
	}
	return fp->problem == NULL;
}

/* FROM table: it is locked as a reader does it. */
static void
mg_check_referenced_table(MgFootprint *fp, CreateTrigStmt *stmt)
{
	bool target_is_new = fp->target_is_new;
	Oid relid = mg_lookup_relation(fp, stmt->constrrel, false);

	fp->target_is_new = target_is_new;
	if (OidIsValid(relid))
		(void) mg_check_privilege(fp, relid, GetUserId(), ACL_TRIGGER);
}

/*
 * CREATE [CONSTRAINT] TRIGGER.  stmt: a CreateTrigStmt.  A row trigger of a
 * partitioned table is made on all its partitions.
 */
void
mg_footprint_create_trigger(MgFootprint *fp, Node *node)
{
	CreateTrigStmt *stmt = castNode(CreateTrigStmt, node);
	Oid relid = mg_open_table(fp, stmt->relation, false);
	ListCell *lc;

	if (!OidIsValid(relid) || !mg_trigger_fits_relation(fp, stmt, relid))
		return;
	if (stmt->isconstraint && stmt->constrrel)
		mg_check_referenced_table(fp, stmt);
	if (fp->problem || !mg_check_privilege(fp, relid, GetUserId(), ACL_TRIGGER) ||
		!mg_trigger_makes_sense(fp, stmt, relid) || !mg_check_trigger_function(fp, stmt))
		return;

	foreach(lc, mg_tree(relid, stmt->row && mg_kind_is_one_of(relid, "p")))
	{
		Oid child = lfirst_oid(lc);

		if (child != relid && !(mg_trigger_fits_relation(fp, stmt, child) &&
								mg_check_privilege(fp, child, GetUserId(), ACL_TRIGGER)))
			return;
		if (!mg_check_trigger_name(fp, stmt, child, child != relid) ||
			!mg_check_trigger_columns(fp, stmt, child))
			return;
		mg_object_effect(fp, child, ShareRowExclusiveLock,
						 child == relid ? MG_ROLE_TARGET : MG_ROLE_CHILD,
						 child == relid ? "a trigger is added to it; its rows are not read"
										: "it gets the trigger of its parent");
	}
}

/* ------------------------------------------------------------------------
 * RENAME
 * ------------------------------------------------------------------------ */

/* Does anything in the tree have the new name already?  Triggers of partitions come along. */
static bool
mg_check_new_trigger_name(MgFootprint *fp, RenameStmt *stmt, List *tree)
{
	MgTrigger other;
	ListCell *lc;

	if (strcmp(stmt->subname, stmt->newname) == 0)
		return true;
	foreach(lc, tree)
	{
		if (!mg_find_trigger(lfirst_oid(lc), stmt->newname, &other) ||
			(fp->script && mg_script_alters(fp->script, lfirst_oid(lc))))
			continue;
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT,
				   "trigger \"%s\" for relation \"%s\" already exists", stmt->newname,
				   get_rel_name(lfirst_oid(lc)));
		return false;
	}
	return true;
}

/* ALTER TRIGGER ... RENAME TO: the partitions' triggers are renamed as well. */
void
mg_rename_trigger(MgFootprint *fp, RenameStmt *stmt)
{
	Oid relid = mg_lookup_relation(fp, stmt->relation, false);
	MgTrigger trigger;
	List *tree;
	ListCell *lc;

	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (!mg_kind_is_one_of(relid, "rvfp"))
	{
		mg_wrong_kind(fp, relid, ERRCODE_WRONG_OBJECT_TYPE, "relation \"%s\" cannot have triggers");
		return;
	}
	if (!mg_check_owner(fp, relid))
		return;
	tree = mg_tree(relid, mg_kind_is_one_of(relid, "p"));
	if (!mg_find_trigger(relid, stmt->subname, &trigger))
		mg_part_missing(fp, OBJECT_TRIGGER, relid, stmt->subname);
	else if (OidIsValid(trigger.parent))
	{
		mg_problem(fp, MG_PG_RENAME_CHILD_TRIGGER, "cannot rename trigger \"%s\" on table \"%s\"",
				   stmt->subname, get_rel_name(relid));
		fp->problem->hint = psprintf("Rename the trigger on the partitioned table \"%s\" instead.",
									 get_rel_name(get_partition_parent(relid, true)));
	}
	if (fp->problem || !mg_check_new_trigger_name(fp, stmt, tree))
		return;
	foreach(lc, tree)
		mg_object_effect(fp, lfirst_oid(lc), AccessExclusiveLock,
						 lfirst_oid(lc) == relid ? MG_ROLE_TARGET : MG_ROLE_CHILD,
						 psprintf("trigger \"%s\" is renamed; no rows are read", stmt->subname));
}
