/*
 * footprint_drop.c
 *
 * Owns the footprints of DROP: of relations, and of everything else whose
 * deletion may reach relations.  What goes with a dropped object is found by
 * dropwalk.c, and which locks that takes is known by droplocks.c.
 */
#include "mg_objects.h"

#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/pg_proc.h"
#include "utils/formatting.h"

/*
 * Objects go, with all that depends on them: the locks, and what later
 * statements of a script must not count on.
 */
void
mg_drop_all(MgFootprint *fp, List *objects, DropBehavior behavior)
{
	ListCell *lc;

	foreach(lc, mg_drop_objects(fp, objects, behavior, true))
	{
		ObjectAddress *object = lfirst(lc);

		if (object->classId == RelationRelationId && object->objectSubId == 0)
			fp->removed = lappend_oid(fp->removed, object->objectId);
		else if (object->classId == ConstraintRelationId)
			fp->dropped = lappend_oid(fp->dropped, object->objectId);
	}
}

/* ------------------------------------------------------------------------
 * Relations
 * ------------------------------------------------------------------------ */

/* Nothing of that name: core's error, unless the statement says that it may be so. */
static void
mg_drop_missing(MgFootprint *fp, const RangeVar *rv, const MgKind *kind, bool missing_ok)
{
	if (missing_ok)
	{
		fp->if_exists_missing = true;
		return;
	}
	if (rv->schemaname && strcmp(rv->schemaname, "pg_temp") != 0 &&
		!mg_schema_exists(fp, rv->schemaname))
		mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", rv->schemaname);
	else
		mg_problem(fp, kind->missing_code, "%s \"%s\" does not exist", kind->name, rv->relname);
}

/* Core's checks on one relation.  Follows RangeVarCallbackForDropRelation(). */
static bool
mg_drop_allowed(MgFootprint *fp, Oid relid, const char *name, const MgKind *kind)
{
	Form_pg_class form = mg_class_form(relid);
	const MgKind *is;

	if (form == NULL)
		return false;
	is = mg_kind_of(form->relkind);
	if (is != kind)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not %s %s", name,
				   kind->type == OBJECT_INDEX ? "an" : "a", kind->name);
		if (is)
			fp->problem->hint = psprintf("Use DROP %s to remove %s %s.",
										 asc_toupper(is->name, strlen(is->name)),
										 is->type == OBJECT_INDEX ? "an" : "a", is->name);
	}
	else if (!mg_owns(RelationRelationId, relid) &&
			 !mg_owns(NamespaceRelationId, form->relnamespace))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of %s %s", kind->name, name);
	else if (!allowSystemTableMods && IsSystemClass(relid, form) && form->relkind != RELKIND_INDEX)
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE,
				   "permission denied: \"%s\" is a system catalog", name);
	return fp->problem == NULL;
}

/* DROP INDEX CONCURRENTLY of one index that is there. */
static void
mg_drop_concurrently(MgFootprint *fp, Oid index, List *objects)
{
	Oid table = IndexGetRelation(index, true);

	if (get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX)
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot drop partitioned index \"%s\" concurrently", get_rel_name(index));
		return;
	}
	fp->concurrent = true;
	(void) mg_drop_objects(fp, objects, DROP_RESTRICT, false);
	mg_effect(fp, index, ShareUpdateExclusiveLock, MG_ROLE_TARGET,
			  "the index is dropped once nobody can be using it");
	if (OidIsValid(table))
		mg_effect(fp, table, ShareUpdateExclusiveLock, MG_ROLE_OTHER,
				  "the statement waits for all transactions that use the table");
}

/* All partitions of the table are locked first when a partitioned index is dropped. */
static void
mg_drop_lock_partitions(MgFootprint *fp, Oid index)
{
	Oid table = IndexGetRelation(index, true);
	ListCell *lc;

	if (!OidIsValid(table))
		return;
	foreach(lc, mg_tree(table, true))
		mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_OTHER,
				  lfirst_oid(lc) == table
					  ? NULL
					  : psprintf("the partitioned index \"%s\" is dropped", get_rel_name(index)));
}

/* Resolve the names.  Returns a List of ObjectAddress; a problem may be recorded. */
static List *
mg_drop_resolve(MgFootprint *fp, DropStmt *stmt, const MgKind *kind)
{
	List *objects = NIL;
	ListCell *lc;

	foreach(lc, stmt->objects)
	{
		List *names = lfirst_node(List, lc);
		RangeVar *rv;
		Oid relid;

		if (list_length(names) > 3)
		{
			mg_problem(fp, ERRCODE_SYNTAX_ERROR,
					   "improper relation name (too many dotted names): %s",
					   NameListToString(names));
			break;
		}
		rv = makeRangeVarFromNameList(names);
		fp->target_is_new = false;
		relid = mg_lookup_relation(fp, rv, true);
		if (fp->problem)
			break;
		if (!OidIsValid(relid))
		{
			if (!fp->target_is_new)
				mg_drop_missing(fp, rv, kind, stmt->missing_ok);
			continue;
		}
		if (!mg_drop_allowed(fp, relid, rv->relname, kind))
			break;
		objects = lappend(objects, mg_address(RelationRelationId, relid, 0));
	}
	return objects;
}

/*
 * DROP TABLE, INDEX, SEQUENCE, VIEW, MATERIALIZED VIEW and FOREIGN TABLE.
 * Follows RemoveRelations() of tablecmds.c.
 */
void
mg_drop_relations(MgFootprint *fp, DropStmt *stmt)
{
	const MgKind *kind = mg_kind_by_type(stmt->removeType);
	List *objects;
	ListCell *lc;

	if (stmt->concurrent && list_length(stmt->objects) != 1)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "DROP INDEX CONCURRENTLY does not support dropping multiple objects");
	else if (stmt->concurrent && stmt->behavior == DROP_CASCADE)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "DROP INDEX CONCURRENTLY does not support CASCADE");
	if (fp->problem)
		return;

	objects = mg_drop_resolve(fp, stmt, kind);
	if (objects == NIL || fp->problem)
		return;
	fp->if_exists_missing = false;
	fp->target = ((ObjectAddress *) linitial(objects))->objectId;
	if (stmt->concurrent && get_rel_persistence(fp->target) != RELPERSISTENCE_TEMP)
	{
		mg_drop_concurrently(fp, fp->target, objects);
		return;
	}
	mg_drop_all(fp, objects, stmt->behavior);
	foreach(lc, objects)
	{
		Oid relid = ((ObjectAddress *) lfirst(lc))->objectId;

		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
			mg_drop_lock_partitions(fp, relid);
	}
}

/* ------------------------------------------------------------------------
 * Everything else
 * ------------------------------------------------------------------------ */

/*
 * Look a name up, as mg_resolve_object().  Schemas may have been dropped or
 * renamed by earlier statements of a script.
 */
static bool
mg_drop_resolve_other(MgFootprint *fp, DropStmt *stmt, Node *name, ObjectAddress *object)
{
	Oid nspid;

	if (stmt->removeType != OBJECT_SCHEMA || fp->script == NULL || fp->script->schemas == NIL)
		return mg_resolve_object(fp, stmt->removeType, name, MG_RIGHT_DROP, stmt->missing_ok,
								 object);
	nspid = mg_script_schema_oid(fp->script, strVal(name));
	ObjectAddressSet(*object, NamespaceRelationId, nspid);
	if (OidIsValid(nspid))
		return mg_check_schema_owner(fp, nspid);
	if (mg_schema_exists(fp, strVal(name)))
		fp->target_is_new = true;
	else if (stmt->missing_ok)
		return true;
	else
		mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", strVal(name));
	return false;
}

/*
 * DROP of schemas, types, functions, extensions, servers, casts, and so on:
 * none of them is a relation, but relations may depend on any.  Follows
 * RemoveObjects() of dropcmds.c.
 */
void
mg_drop_others(MgFootprint *fp, DropStmt *stmt)
{
	List *objects = NIL;
	ListCell *lc;

	foreach(lc, stmt->objects)
	{
		Node *name = lfirst(lc);
		ObjectAddress *object = palloc(sizeof(ObjectAddress));

		fp->target_is_new = false;
		if (!mg_drop_resolve_other(fp, stmt, name, object))
		{
			if (fp->target_is_new)
				continue;
			return;
		}
		if (!OidIsValid(object->objectId))
		{
			fp->if_exists_missing = true;
			continue;
		}
		if (stmt->removeType == OBJECT_FUNCTION &&
			get_func_prokind(object->objectId) == PROKIND_AGGREGATE)
		{
			mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is an aggregate function",
					   NameListToString(castNode(ObjectWithArgs, name)->objname));
			fp->problem->hint = "Use DROP AGGREGATE to drop aggregate functions.";
			return;
		}
		objects = lappend(objects, object);
	}
	if (objects == NIL)
		return;
	fp->if_exists_missing = false;
	mg_drop_all(fp, objects, stmt->behavior);
}
