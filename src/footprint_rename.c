/*
 * footprint_rename.c
 *
 * Owns the footprints of RENAME: of relations, their columns and constraints,
 * of types and their attributes, and of all that locks no relation.
 */
#include "mg_objects.h"

#include "catalog/pg_depend.h"

/* ------------------------------------------------------------------------
 * Relations and their parts
 * ------------------------------------------------------------------------ */

/* May a relation be called so?  If not, records core's error. */
static bool
mg_name_is_free(MgFootprint *fp, const char *name, Oid nspid)
{
	Oid existing = get_relname_relid(name, nspid);

	if (!OidIsValid(existing) || (fp->script && mg_script_gone(fp->script, existing)))
		return true;
	mg_problem(fp, ERRCODE_DUPLICATE_TABLE, "relation \"%s\" already exists", name);
	return false;
}

/* ALTER ... RENAME TO.  Follows RenameRelation(). */
static void
mg_rename_relation(MgFootprint *fp, RenameStmt *stmt, Oid relid)
{
	char relkind = get_rel_relkind(relid);
	bool index = relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX;

	if (!mg_alter_kind_fits(fp, stmt->renameType, relkind, stmt->relation->relname))
		return;
	if (!mg_name_is_free(fp, stmt->newname, get_rel_namespace(relid)))
		return;
	mg_effect(fp, relid,
			  index && stmt->renameType == OBJECT_INDEX ? ShareUpdateExclusiveLock
														: AccessExclusiveLock,
			  MG_ROLE_TARGET, "it is renamed; its rows are not read");
}

/* The tables that are made of a composite type; its relation is given. */
static List *
mg_typed_tables(Oid relid)
{
	List *result = NIL;
	ListCell *lc;
	Oid typid;

	if (get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE)
		return NIL;
	typid = get_rel_type_id(relid);
	foreach(lc, mg_depending_objects(TypeRelationId, typid, DEPENDENCY_NORMAL))
	{
		ObjectAddress *object = lfirst(lc);
		Form_pg_class form;

		if (object->classId != RelationRelationId)
			continue;
		form = mg_class_form(object->objectId);
		if (form && form->reloftype == typid)
			result = lappend_oid(result, object->objectId);
	}
	return result;
}

/* The column is renamed in a relation and, if inh, in all its descendants. */
static void
mg_rename_in_tree(MgFootprint *fp, Oid relid, bool inh, MgRole role, const char *column)
{
	ListCell *lc;

	foreach(lc, mg_tree(relid, inh))
		mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock,
				  lfirst_oid(lc) == relid ? role : MG_ROLE_CHILD,
				  psprintf("column \"%s\" is renamed; no rows are read", column));
}

/* ALTER ... RENAME COLUMN or ATTRIBUTE.  Follows renameatt_internal(). */
static void
mg_rename_column(MgFootprint *fp, RenameStmt *stmt, Oid relid)
{
	HeapTuple tuple = SearchSysCacheAttName(relid, stmt->subname);
	bool script = fp->script && mg_script_alters(fp->script, relid);
	List *typed;
	ListCell *lc;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT(tuple);

		if (form->attnum <= 0)
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED, "cannot rename system column \"%s\"",
					   stmt->subname);
		else if (form->attinhcount > 0 && !script)
			mg_problem(fp, ERRCODE_INVALID_TABLE_DEFINITION,
					   "cannot rename inherited column \"%s\"", stmt->subname);
		ReleaseSysCache(tuple);
	}
	else if (!script)
		mg_problem(fp, ERRCODE_UNDEFINED_COLUMN, "column \"%s\" does not exist", stmt->subname);
	if (!stmt->relation->inh && find_inheritance_children(relid, NoLock) != NIL && !script)
		mg_problem(fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "inherited column \"%s\" must be renamed in child tables too", stmt->subname);
	if (fp->problem)
		return;

	typed = mg_typed_tables(relid);
	if (typed != NIL && stmt->behavior == DROP_RESTRICT)
	{
		mg_problem(fp, ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
				   "cannot alter type \"%s\" because it is the type of a typed table",
				   get_rel_name(relid));
		fp->problem->hint = "Use ALTER ... CASCADE to alter the typed tables too.";
		return;
	}
	mg_rename_in_tree(fp, relid, stmt->relation->inh, MG_ROLE_TARGET, stmt->subname);
	foreach(lc, typed)
		mg_rename_in_tree(fp, lfirst_oid(lc), true, MG_ROLE_CHILD, stmt->subname);
}

/*
 * Has the relation parts that can be renamed at all?  Follows
 * renameatt_check().
 */
static bool
mg_rename_part_allowed(MgFootprint *fp, Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	if (form == NULL)
		return false;
	if (OidIsValid(form->reloftype))
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot rename column of typed table");
	else if (form->relkind == RELKIND_SEQUENCE || form->relkind == RELKIND_TOASTVALUE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot rename columns of relation \"%s\"",
				   get_rel_name(relid));
		fp->problem->detail = mg_relkind_unsupported(form->relkind);
	}
	return fp->problem == NULL;
}

/* ALTER TABLE ... RENAME CONSTRAINT.  Follows rename_constraint_internal(). */
static void
mg_rename_constraint(MgFootprint *fp, RenameStmt *stmt, Oid relid)
{
	const char *reason = psprintf("constraint \"%s\" is renamed; no rows are read", stmt->subname);
	Oid conoid = get_relation_constraint_oid(relid, stmt->subname, true);
	Form_pg_constraint form = mg_constraint_form(conoid);
	bool recurse = false;
	ListCell *lc;

	if (form)
	{
		if ((form->contype == CONSTRAINT_CHECK || form->contype == CONSTRAINT_NOTNULL) &&
			!form->connoinherit)
		{
			recurse = stmt->relation->inh;
			if (form->coninhcount > 0)
				mg_problem(fp, ERRCODE_INVALID_TABLE_DEFINITION,
						   "cannot rename inherited constraint \"%s\"", stmt->subname);
			else if (!recurse && find_inheritance_children(relid, NoLock) != NIL)
				mg_problem(fp, ERRCODE_INVALID_TABLE_DEFINITION,
						   "inherited constraint \"%s\" must be renamed in child tables too",
						   stmt->subname);
		}
		if (OidIsValid(form->conindid) && form->contype != CONSTRAINT_FOREIGN)
			mg_effect(fp, form->conindid, ShareUpdateExclusiveLock, MG_ROLE_INDEX,
					  "it is renamed with its constraint");
	}
	else if (!(fp->script && mg_script_alters(fp->script, relid)))
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT,
				   "constraint \"%s\" for table \"%s\" does not exist", stmt->subname,
				   get_rel_name(relid));

	foreach(lc, mg_tree(relid, recurse))
		mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock,
				  lfirst_oid(lc) == relid ? MG_ROLE_TARGET : MG_ROLE_CHILD, reason);
}

/*
 * RENAME of relations, columns, attributes of types, and table constraints.
 * Follows RenameRelation(), renameatt() and RenameConstraint().
 */
void
mg_rename_in_relation(MgFootprint *fp, RenameStmt *stmt)
{
	Oid relid = mg_lookup_relation(fp, stmt->relation, stmt->missing_ok);

	if (!OidIsValid(relid))
	{
		fp->if_exists_missing = fp->problem == NULL && !fp->target_is_new;
		return;
	}
	fp->target = relid;
	if (stmt->renameType == OBJECT_COLUMN || stmt->renameType == OBJECT_ATTRIBUTE ||
		stmt->renameType == OBJECT_TABCONSTRAINT)
	{
		if (!mg_rename_part_allowed(fp, relid) || !mg_check_owner(fp, relid))
			return;
	}
	else if (!mg_check_owner(fp, relid))
		return;

	if (stmt->renameType == OBJECT_TABCONSTRAINT)
		mg_rename_constraint(fp, stmt, relid);
	else if (stmt->renameType == OBJECT_COLUMN || stmt->renameType == OBJECT_ATTRIBUTE)
		mg_rename_column(fp, stmt, relid);
	else if (mg_check_create_in_schema(fp, get_rel_namespace(relid)))
		mg_rename_relation(fp, stmt, relid);
}

/* ------------------------------------------------------------------------
 * Everything else
 * ------------------------------------------------------------------------ */

/* ALTER TYPE, DOMAIN ... RENAME TO: only composite types have a relation.  Follows RenameType(). */
static void
mg_rename_type(MgFootprint *fp, RenameStmt *stmt)
{
	Oid typid = mg_resolve_type(fp, stmt->renameType, castNode(List, stmt->object), MG_RIGHT_OWNER);
	Oid relid;

	if (!OidIsValid(typid) || !mg_type_stands_alone(fp, typid))
		return;
	relid = mg_composite_relation(typid);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (mg_name_is_free(fp, stmt->newname, get_rel_namespace(relid)))
		mg_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
				  "the type is renamed; its values are not read");
}

/* ALTER DOMAIN ... RENAME CONSTRAINT: locks no relation. */
static void
mg_rename_domain_constraint(MgFootprint *fp, RenameStmt *stmt)
{
	Oid typid = mg_resolve_type(fp, OBJECT_DOMAIN, castNode(List, stmt->object), MG_RIGHT_OWNER);

	if (OidIsValid(typid) && !(fp->script && fp->script->changed) &&
		!OidIsValid(get_domain_constraint_oid(typid, stmt->subname, true)))
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "constraint \"%s\" for domain %s does not exist",
				   stmt->subname, format_type_be(typid));
}

/* ALTER SCHEMA ... RENAME: locks no relation.  Follows RenameSchema(). */
static void
mg_rename_schema(MgFootprint *fp, RenameStmt *stmt)
{
	Oid nspid = fp->script ? mg_script_schema_oid(fp->script, stmt->subname)
						   : get_namespace_oid(stmt->subname, true);

	if (!mg_schema_exists(fp, stmt->subname))
		mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", stmt->subname);
	else if (mg_schema_exists(fp, stmt->newname))
		mg_problem(fp, ERRCODE_DUPLICATE_SCHEMA, "schema \"%s\" already exists", stmt->newname);
	else if (OidIsValid(nspid))
		(void) mg_check_schema_owner(fp, nspid);
}

/*
 * RENAME of what is neither a relation nor a part of one.  Follows
 * ExecRenameStmt() of alter.c.  That nothing is locked is known before the
 * name is looked up, so only a dry run, which has to complain, does that.
 */
void
mg_rename_others(MgFootprint *fp, RenameStmt *stmt)
{
	ObjectAddress address;

	switch (stmt->renameType)
	{
		case OBJECT_DOMAIN:
		case OBJECT_TYPE:
			mg_rename_type(fp, stmt);
			break;
		case OBJECT_DOMCONSTRAINT:
			mg_rename_domain_constraint(fp, stmt);
			break;
		case OBJECT_SCHEMA:
			mg_rename_schema(fp, stmt);
			break;
		case OBJECT_DATABASE:
		case OBJECT_ROLE:
		case OBJECT_TABLESPACE:
			break;
		default:
			if (fp->script && stmt->object)
				(void) mg_resolve_object(fp, stmt->renameType, stmt->object,
										 superuser() ? MG_RIGHT_NONE : MG_RIGHT_OWNER, false,
										 &address);
			break;
	}
}
