/*
 * objects.c
 *
 * Owns the way from names to objects that are no relations: functions, types,
 * schemas, roles, ...; and what the footprints of DROP, RENAME, SET SCHEMA and
 * OWNER TO share.
 *
 * Such names are looked up by core's own functions, in mg_attempt(), because
 * there are three dozen kinds of objects and each has rules of its own.
 */
#include "mg_objects.h"

#include "catalog/dependency.h"
#include "catalog/pg_depend.h"

/* ------------------------------------------------------------------------
 * Kinds of relations
 * ------------------------------------------------------------------------ */

static const MgKind mg_kinds[] =
	{{OBJECT_TABLE, RELKIND_RELATION, RELKIND_PARTITIONED_TABLE, "table", ERRCODE_UNDEFINED_TABLE},
	 {OBJECT_INDEX, RELKIND_INDEX, RELKIND_PARTITIONED_INDEX, "index", ERRCODE_UNDEFINED_OBJECT},
	 {OBJECT_SEQUENCE, RELKIND_SEQUENCE, RELKIND_SEQUENCE, "sequence", ERRCODE_UNDEFINED_TABLE},
	 {OBJECT_VIEW, RELKIND_VIEW, RELKIND_VIEW, "view", ERRCODE_UNDEFINED_TABLE},
	 {OBJECT_MATVIEW, RELKIND_MATVIEW, RELKIND_MATVIEW, "materialized view",
	  ERRCODE_UNDEFINED_TABLE},
	 {OBJECT_FOREIGN_TABLE, RELKIND_FOREIGN_TABLE, RELKIND_FOREIGN_TABLE, "foreign table",
	  ERRCODE_UNDEFINED_OBJECT},
	 {OBJECT_TYPE, RELKIND_COMPOSITE_TYPE, RELKIND_COMPOSITE_TYPE, "type",
	  ERRCODE_UNDEFINED_OBJECT}};

/* The kind of relation that a statement says it is about; NULL: none. */
const MgKind *
mg_kind_by_type(ObjectType type)
{
	for (int i = 0; i < (int) lengthof(mg_kinds); i++)
	{
		if (mg_kinds[i].type == type)
			return &mg_kinds[i];
	}
	return NULL;
}

/* Is it a relation that DROP and RENAME of this type are about?  Not so that of a composite type. */
bool
mg_is_relation_type(ObjectType type)
{
	return type != OBJECT_TYPE && mg_kind_by_type(type) != NULL;
}

/* The kind that an existing relation is of. */
const MgKind *
mg_kind_of(char relkind)
{
	for (int i = 0; i < (int) lengthof(mg_kinds); i++)
	{
		if (mg_kinds[i].relkind == relkind || mg_kinds[i].relkind2 == relkind)
			return &mg_kinds[i];
	}
	return NULL;
}

/*
 * May a relation of this kind stand in an ALTER of this type?  ALTER TABLE and
 * ALTER INDEX are for most of them.  Follows RangeVarCallbackForAlterRelation().
 */
bool
mg_alter_kind_fits(MgFootprint *fp, ObjectType type, char relkind, const char *name)
{
	const MgKind *kind = mg_kind_by_type(type);

	if (relkind == RELKIND_COMPOSITE_TYPE && type != OBJECT_TYPE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is a composite type", name);
		fp->problem->hint = "Use ALTER TYPE instead.";
		return false;
	}
	if (type == OBJECT_TABLE || type == OBJECT_INDEX || kind == NULL || relkind == kind->relkind)
		return true;
	mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a %s", name, kind->name);
	return false;
}

/* ------------------------------------------------------------------------
 * Names of objects
 * ------------------------------------------------------------------------ */

/* A name to be looked up, in mg_attempt(). */
typedef struct MgResolve
{
	ObjectType type;
	Node *object;
	MgRight right;
	bool missing_ok;
	ObjectAddress address;
} MgResolve;

/* Look it up, and raise what core would raise for want of rights.  Follows RemoveObjects(). */
static void
mg_resolve_attempt(void *arg)
{
	MgResolve *job = arg;
	Relation relation = NULL;
	Oid nspid;

	job->address = get_object_address(job->type, job->object, &relation, AccessShareLock,
									  job->missing_ok);
	if (OidIsValid(job->address.objectId) && job->right != MG_RIGHT_NONE)
	{
		nspid = job->right == MG_RIGHT_DROP ? get_object_namespace(&job->address) : InvalidOid;
		if (!OidIsValid(nspid) || !mg_owns(NamespaceRelationId, nspid))
			check_object_ownership(GetUserId(), job->type, job->address, job->object, relation);
	}
	if (relation)
		relation_close(relation, AccessShareLock);
}

/*
 * See mg_objects.h.  An object that an earlier statement of the script may
 * make is no problem: then nothing can be said.  One that is locked by
 * somebody else is not waited for.
 */
bool
mg_resolve_object(MgFootprint *fp, ObjectType type, Node *object, MgRight right, bool missing_ok,
				  ObjectAddress *address)
{
	MgResolve job = {type, object, right, missing_ok, {InvalidOid, InvalidOid, 0}};
	MgProblem *problem = NULL;
	bool found = mg_attempt(mg_resolve_attempt, &job, &problem);

	*address = job.address;
	if (found)
		return true;
	if (problem->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		mg_problem(fp, ERRCODE_LOCK_NOT_AVAILABLE,
				   "cannot look up what %s names, because another transaction is changing it",
				   fp->command);
		fp->problem->hint = "Try again when that transaction has ended.";
	}
	else if (fp->script && fp->script->changed &&
			 problem->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE)
		fp->target_is_new = true;
	else if (fp->problem == NULL)
		fp->problem = problem;
	return false;
}

/* See mg_objects.h. */
Oid
mg_resolve_type(MgFootprint *fp, ObjectType type, List *names, MgRight right)
{
	TypeName *name = makeTypeNameFromNameList(names);
	ObjectAddress address;

	/* as a type, so that the complaint about what is no domain is that of ALTER */
	if (!mg_resolve_object(fp, OBJECT_TYPE, (Node *) name, right, false, &address))
		return InvalidOid;
	if (type == OBJECT_DOMAIN && get_typtype(address.objectId) != TYPTYPE_DOMAIN)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "%s is not a domain",
				   format_type_be(address.objectId));
		return InvalidOid;
	}
	return address.objectId;
}

/* Follows the checks that RenameType(), AlterTypeOwner() and AlterTypeNamespace() share. */
bool
mg_type_stands_alone(MgFootprint *fp, Oid typid)
{
	Oid relid = get_typ_typrelid(typid);
	Oid element = get_element_type(typid);

	if (OidIsValid(relid) && get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "%s is a table's row type",
				   format_type_be(typid));
		fp->problem->hint = "Use ALTER TABLE instead.";
		return false;
	}
	if (OidIsValid(element) && get_array_type(element) == typid)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot alter array type %s",
				   format_type_be(typid));
		fp->problem->hint = psprintf("You can alter type %s, which will alter the array type as "
									 "well.",
									 format_type_be(element));
		return false;
	}
	return true;
}

/* See mg_objects.h. */
Oid
mg_composite_relation(Oid typid)
{
	Oid relid = get_typ_typrelid(typid);

	return OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE ? relid
																				 : InvalidOid;
}

/* See mg_objects.h.  Follows get_rolespec_oid(). */
Oid
mg_resolve_role(MgFootprint *fp, const RoleSpec *role)
{
	Oid roleid = InvalidOid;

	if (role->roletype != ROLESPEC_PUBLIC)
		roleid = get_rolespec_oid(role, true);
	if (!OidIsValid(roleid) && !(fp->script && fp->script->changed))
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "role \"%s\" does not exist",
				   role->roletype == ROLESPEC_PUBLIC ? "public" : role->rolename);
	return roleid;
}

/* See mg_objects.h. */
bool
mg_check_schema_owner(MgFootprint *fp, Oid nspid)
{
	if (mg_owns(NamespaceRelationId, nspid))
		return true;
	mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of schema %s",
			   get_namespace_name(nspid));
	return false;
}

/* The schema that something is moved to.  Follows LookupCreationNamespace(). */
Oid
mg_resolve_target_schema(MgFootprint *fp, const char *name)
{
	Oid nspid;

	/* core would make the temporary schema, and then refuse */
	if (strcmp(name, "pg_temp") == 0)
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot move objects into or out of temporary schemas");
		return InvalidOid;
	}
	nspid = get_namespace_oid(name, true);
	if (OidIsValid(nspid) && mg_schema_exists(fp, name))
		return mg_check_create_in_schema(fp, nspid) ? nspid : InvalidOid;
	if (!mg_schema_exists(fp, name))
		mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", name);
	return InvalidOid;
}

/* ------------------------------------------------------------------------
 * What belongs to what
 * ------------------------------------------------------------------------ */

/* See mg_objects.h. */
List *
mg_depending_objects(Oid classid, Oid objid, char deptype)
{
	ObjectAddress object = {classid, objid, 0};
	List *result = NIL;
	ListCell *lc;

	foreach(lc, mg_depend_rows(&object, true))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->deptype == deptype && form->objsubid == 0)
			result = lappend(result, mg_address(form->classid, form->objid, 0));
	}
	return result;
}

/* Is it in a schema?  arg: the schema. */
static bool
mg_is_in_schema(Form_pg_class form, void *arg)
{
	return form->relnamespace == *(Oid *) arg;
}

/* See mg_objects.h.  There is no index on the schema of relations. */
List *
mg_schema_relations(Oid nspid)
{
	return mg_relations_where(mg_is_in_schema, &nspid);
}
