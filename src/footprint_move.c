/*
 * footprint_move.c
 *
 * Owns the footprints of SET SCHEMA, of relations and of everything else, and
 * of ALTER EXTENSION.
 */
#include "mg_objects.h"

#include "catalog/dependency.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"

/*
 * The locks that moving a relation takes: its own, and those of its owned
 * sequences.  Its indexes and constraints move along by their catalog rows
 * alone.  Follows AlterTableNamespaceInternal().
 */
static void
mg_move_relation(MgFootprint *fp, Oid relid, MgRole role, const char *reason)
{
	ListCell *lc;

	mg_effect(fp, relid, AccessExclusiveLock, role, reason);
	foreach(lc, getOwnedSequences(relid))
		mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_OTHER,
				  "the sequence moves with its table");
}

/* A relation that cannot move by itself.  Follows RangeVarCallbackForAlterRelation(). */
static bool
mg_movable(MgFootprint *fp, Oid relid, const char *name)
{
	char relkind = get_rel_relkind(relid);
	Oid table;
	int32 column;

	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX ||
		relkind == RELKIND_TOASTVALUE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot change schema of %s \"%s\"",
				   relkind == RELKIND_TOASTVALUE ? "TOAST table" : "index", name);
		fp->problem->hint = "Change the schema of the table instead.";
		return false;
	}
	if (relkind == RELKIND_SEQUENCE &&
		(sequenceIsOwned(relid, DEPENDENCY_AUTO, &table, &column) ||
		 sequenceIsOwned(relid, DEPENDENCY_INTERNAL, &table, &column)))
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot move an owned sequence into another schema");
		fp->problem->detail = psprintf("Sequence \"%s\" is linked to table \"%s\".", name,
									   get_rel_name(table));
		return false;
	}
	return true;
}

/* Core's checks of the two schemas.  Follows CheckSetNamespace() and its callers. */
static bool
mg_schemas_fit(MgFootprint *fp, Oid relid, Oid target)
{
	Oid source = get_rel_namespace(relid);
	Oid existing;

	if (isAnyTempNamespace(source) || isAnyTempNamespace(target))
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot move objects into or out of temporary schemas");
	else if (source == PG_TOAST_NAMESPACE || target == PG_TOAST_NAMESPACE)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot move objects into or out of TOAST schema");
	else if (source != target)
	{
		existing = get_relname_relid(get_rel_name(relid), target);
		if (OidIsValid(existing) && !(fp->script && mg_script_gone(fp->script, existing)))
			mg_problem(fp, ERRCODE_DUPLICATE_TABLE,
					   "relation \"%s\" already exists in schema \"%s\"", get_rel_name(relid),
					   get_namespace_name(target));
	}
	return fp->problem == NULL;
}

/* SET SCHEMA of a table, view, sequence, ...  Follows AlterTableNamespace(). */
static void
mg_move_named_relation(MgFootprint *fp, AlterObjectSchemaStmt *stmt)
{
	Oid relid = mg_lookup_relation(fp, stmt->relation, stmt->missing_ok);
	Oid target;

	if (!OidIsValid(relid))
	{
		fp->if_exists_missing = fp->problem == NULL && !fp->target_is_new;
		return;
	}
	fp->target = relid;
	if (!mg_check_owner(fp, relid) ||
		!mg_alter_kind_fits(fp, stmt->objectType, get_rel_relkind(relid),
							stmt->relation->relname) ||
		!mg_movable(fp, relid, stmt->relation->relname))
		return;
	target = mg_resolve_target_schema(fp, stmt->newschema);
	if (fp->problem || (OidIsValid(target) && !mg_schemas_fit(fp, relid, target)))
		return;
	mg_move_relation(fp, relid, MG_ROLE_TARGET,
					 "it moves to another schema; its rows are not read");
}

/*
 * SET SCHEMA of a type or domain.  A composite type's relation moves by its
 * catalog row alone.  Follows AlterTypeNamespace().
 */
static void
mg_move_type(MgFootprint *fp, AlterObjectSchemaStmt *stmt)
{
	Oid typid = mg_resolve_type(fp, stmt->objectType, castNode(List, stmt->object), MG_RIGHT_OWNER);

	if (OidIsValid(typid) && mg_type_stands_alone(fp, typid))
		(void) mg_resolve_target_schema(fp, stmt->newschema);
}

/* SET SCHEMA of an extension: all its relations move.  Follows AlterExtensionNamespace(). */
static void
mg_move_extension(MgFootprint *fp, AlterObjectSchemaStmt *stmt)
{
	const char *name = strVal(stmt->object);
	ObjectAddress extension;
	Oid target;
	HeapTuple row;
	Form_pg_extension form;
	ListCell *lc;

	if (!mg_resolve_object(fp, OBJECT_EXTENSION, stmt->object, MG_RIGHT_OWNER, false, &extension))
		return;
	target = mg_resolve_target_schema(fp, stmt->newschema);
	row = mg_row(ExtensionRelationId, ExtensionOidIndexId, Anum_pg_extension_oid,
				 extension.objectId);
	if (fp->problem || !HeapTupleIsValid(row))
		return;
	form = (Form_pg_extension) GETSTRUCT(row);
	if (form->extnamespace == target)
		return;
	if (OidIsValid(target) &&
		getExtensionOfObject(NamespaceRelationId, target) == extension.objectId)
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "cannot move extension \"%s\" into schema \"%s\" because the extension contains "
				   "the schema",
				   name, stmt->newschema);
	else if (!form->extrelocatable)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "extension \"%s\" does not support SET SCHEMA", name);
	if (fp->problem)
		return;
	foreach(lc, mg_depending_objects(ExtensionRelationId, extension.objectId, DEPENDENCY_EXTENSION))
	{
		ObjectAddress *object = lfirst(lc);

		if (object->classId == RelationRelationId)
			mg_move_relation(fp, object->objectId, MG_ROLE_OTHER,
							 psprintf("it moves with extension \"%s\"", name));
	}
}

/*
 * ALTER ... SET SCHEMA.  stmt: an AlterObjectSchemaStmt.  That most kinds of
 * objects lock no relation is known before their names are looked up, so only
 * a dry run, which has to complain, does that.  Follows
 * ExecAlterObjectSchemaStmt() of alter.c.
 */
void
mg_footprint_move(MgFootprint *fp, Node *node)
{
	AlterObjectSchemaStmt *stmt = castNode(AlterObjectSchemaStmt, node);
	ObjectAddress address;

	if (stmt->relation)
		mg_move_named_relation(fp, stmt);
	else if (stmt->objectType == OBJECT_EXTENSION)
		mg_move_extension(fp, stmt);
	else if (fp->script == NULL)
		return;
	else if (stmt->objectType == OBJECT_TYPE || stmt->objectType == OBJECT_DOMAIN)
		mg_move_type(fp, stmt);
	else if (mg_resolve_object(fp, stmt->objectType, stmt->object, MG_RIGHT_OWNER, false, &address))
		(void) mg_resolve_target_schema(fp, stmt->newschema);
}

/* Does the statement add a relation, or take one away?  Then its name, else NULL. */
static RangeVar *
mg_member_relation(AlterExtensionContentsStmt *stmt)
{
	if (mg_kind_by_type(stmt->objtype) == NULL || stmt->objtype == OBJECT_TYPE)
		return NULL;
	return makeRangeVarFromNameList(castNode(List, stmt->object));
}

/*
 * ALTER EXTENSION ADD and DROP.  stmt: an AlterExtensionContentsStmt.  A
 * relation that becomes a member, or ceases to be one, is locked like other
 * objects.  Follows ExecAlterExtensionContentsStmt() of extension.c.
 */
void
mg_footprint_extension_member(MgFootprint *fp, Node *node)
{
	AlterExtensionContentsStmt *stmt = castNode(AlterExtensionContentsStmt, node);
	RangeVar *rv = mg_member_relation(stmt);
	ObjectAddress extension;
	const MgKind *kind;
	bool member;
	Oid relid;

	if (rv == NULL)
		return;
	if (!mg_resolve_object(fp, OBJECT_EXTENSION, (Node *) makeString(stmt->extname), MG_RIGHT_OWNER,
						   false, &extension))
		return;
	relid = mg_lookup_relation(fp, rv, false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	kind = mg_kind_of(get_rel_relkind(relid));
	member = getExtensionOfObject(RelationRelationId, relid) == extension.objectId;
	if (kind == NULL || kind->type != stmt->objtype)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a %s", rv->relname,
				   mg_kind_by_type(stmt->objtype)->name);
	else if (!mg_owns(RelationRelationId, relid))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of %s %s", kind->name,
				   rv->relname);
	else if (stmt->action < 0 && !member)
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "%s %s is not a member of extension \"%s\"", kind->name, mg_relation_name(relid),
				   stmt->extname);
	else if (stmt->action > 0 && OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "%s %s is already a member of extension \"%s\"", kind->name,
				   mg_relation_name(relid),
				   get_extension_name(getExtensionOfObject(RelationRelationId, relid)));
	if (fp->problem == NULL)
		mg_effect(fp, relid, ShareUpdateExclusiveLock, MG_ROLE_TARGET,
				  stmt->action > 0 ? "it becomes a member of the extension; no rows are read"
								   : "it leaves the extension; no rows are read");
}
