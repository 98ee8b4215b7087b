/*
 * footprint_owner.c
 *
 * Owns the footprints of statements about owners: OWNER TO of what is no
 * relation (ALTER TABLE has its own), REASSIGN OWNED, and DROP OWNED.
 */
#include "mg_objects.h"

#include "catalog/dependency.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_shdepend.h"

/* What gets the new owner of a relation along with it. */
void
mg_owner_goes_along(MgFootprint *fp, Oid relid, char relkind, LOCKMODE lockmode)
{
	ListCell *lc;

	if (relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW ||
		relkind == RELKIND_PARTITIONED_TABLE)
	{
		foreach(lc, mg_index_list(relid))
			mg_effect(fp, lfirst_oid(lc), lockmode, MG_ROLE_INDEX,
					  "the index changes its owner with the table");
	}
	foreach(lc, getOwnedSequences(relid))
		mg_effect(fp, lfirst_oid(lc), lockmode, MG_ROLE_OTHER,
				  "the sequence changes its owner with the table");
}

/*
 * The locks that giving a relation away takes; if the owner really changes,
 * indexes and owned sequences go along.  Follows ATExecChangeOwner().
 */
static void
mg_give_away(MgFootprint *fp, Oid relid, Oid newowner, MgRole role)
{
	Form_pg_class form = mg_class_form(relid);
	bool changes;

	if (form == NULL)
		return;
	changes = form->relowner != newowner;
	mg_effect(fp, relid, AccessExclusiveLock, role,
			  changes ? "its owner changes; no rows are read" : "the owner stays the same");
	if (changes)
		mg_owner_goes_along(fp, relid, form->relkind, AccessExclusiveLock);
}

/* OWNER TO of a type: a composite one has a relation.  Follows AlterTypeOwner(). */
static void
mg_type_owner(MgFootprint *fp, AlterOwnerStmt *stmt, Oid newowner)
{
	Oid typid = mg_resolve_type(fp, stmt->objectType, castNode(List, stmt->object), MG_RIGHT_NONE);
	Oid relid;
	Form_pg_type form;

	if (!OidIsValid(typid) || !mg_type_stands_alone(fp, typid))
		return;
	form = mg_type_form(typid);
	if (form == NULL || form->typowner == newowner)
		return;
	if (!mg_owns(TypeRelationId, typid))
	{
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of type %s",
				   format_type_be(typid));
		return;
	}
	relid = mg_composite_relation(typid);
	if (OidIsValid(relid))
		mg_give_away(fp, relid, newowner, MG_ROLE_TARGET);
}

/*
 * ALTER ... OWNER TO.  stmt: an AlterOwnerStmt.  That most kinds of objects
 * lock no relation is known before their names are looked up, so only a dry
 * run, which has to complain, does that.  Follows ExecAlterOwnerStmt() of
 * alter.c.
 */
void
mg_footprint_owner(MgFootprint *fp, Node *node)
{
	AlterOwnerStmt *stmt = castNode(AlterOwnerStmt, node);
	bool type = stmt->objectType == OBJECT_TYPE || stmt->objectType == OBJECT_DOMAIN;
	ObjectAddress address;
	Oid newowner;

	if (!type && fp->script == NULL)
		return;
	newowner = mg_resolve_role(fp, stmt->newowner);
	if (fp->problem)
		return;
	if (type)
		mg_type_owner(fp, stmt, newowner);
	else
		(void) mg_resolve_object(fp, stmt->objectType, stmt->object,
								 superuser() ? MG_RIGHT_NONE : MG_RIGHT_OWNER, false, &address);
}

/* ------------------------------------------------------------------------
 * All that roles own
 * ------------------------------------------------------------------------ */

/* Roles by their OIDs; NIL and a problem if one is missing or the user has not its rights. */
static List *
mg_resolve_roles(MgFootprint *fp, List *roles, const char *refusal)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, roles)
	{
		Oid roleid = mg_resolve_role(fp, lfirst_node(RoleSpec, lc));

		if (fp->problem)
			return NIL;
		if (OidIsValid(roleid))
			result = lappend_oid(result, roleid);
	}
	foreach(lc, result)
	{
		if (!has_privs_of_role(GetUserId(), lfirst_oid(lc)))
		{
			mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "%s", refusal);
			return NIL;
		}
	}
	return result;
}

/* The roles of the database system own what cannot be dropped or given away. */
static bool
mg_role_is_pinned(MgFootprint *fp, Oid roleid, const char *refusal)
{
	if (!IsPinnedObject(AuthIdRelationId, roleid))
		return false;
	mg_problem(fp, ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
			   "%s role %s because they are required by the database system", refusal,
			   GetUserNameFromId(roleid, true));
	return true;
}

/* Go through what depends on a role, in all databases. */
static void
mg_each_shared(Oid roleid, MgRowFn fn, void *arg)
{
	ScanKeyData keys[2];

	mg_oid_key(&keys[0], Anum_pg_shdepend_refclassid, AuthIdRelationId);
	mg_oid_key(&keys[1], Anum_pg_shdepend_refobjid, roleid);
	mg_each_row(SharedDependRelationId, SharedDependReferenceIndexId, lengthof(keys), keys, fn,
				arg);
}

/* REASSIGN OWNED: to whom. */
typedef struct MgReassign
{
	MgFootprint *fp;
	Oid newowner;
} MgReassign;

/* One object that is reassigned; arg: the MgReassign. */
static bool
mg_reassign_one(HeapTuple row, void *arg)
{
	Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(row);
	MgReassign *reassign = arg;
	Oid relid = InvalidOid;

	if (form->dbid != MyDatabaseId || form->deptype != SHARED_DEPENDENCY_OWNER)
		return true;
	if (form->classid == RelationRelationId)
		relid = form->objid;
	else if (form->classid == TypeRelationId)
		relid = mg_composite_relation(form->objid);
	if (OidIsValid(relid))
		mg_give_away(reassign->fp, relid, reassign->newowner, MG_ROLE_TARGET);
	return true;
}

/* REASSIGN OWNED.  stmt: a ReassignOwnedStmt.  Follows shdepReassignOwned(). */
void
mg_footprint_reassign_owned(MgFootprint *fp, Node *node)
{
	ReassignOwnedStmt *stmt = castNode(ReassignOwnedStmt, node);
	List *roles = mg_resolve_roles(fp, stmt->roles, "permission denied to reassign objects");
	MgReassign reassign = {fp, InvalidOid};
	ListCell *lc;

	if (fp->problem)
		return;
	reassign.newowner = mg_resolve_role(fp, stmt->newrole);
	if (fp->problem)
		return;
	if (OidIsValid(reassign.newowner) && !has_privs_of_role(GetUserId(), reassign.newowner))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied to reassign objects");
	foreach(lc, roles)
	{
		if (fp->problem ||
			mg_role_is_pinned(fp, lfirst_oid(lc), "cannot reassign ownership of objects owned by"))
			return;
		mg_each_shared(lfirst_oid(lc), mg_reassign_one, &reassign);
	}
}

/* DROP OWNED: of which roles, and what goes. */
typedef struct MgDropOwned
{
	List *roles;   /* of Oid */
	List *objects; /* of ObjectAddress */
} MgDropOwned;

/*
 * Does a policy apply to these roles alone?  Then it goes; otherwise it loses
 * them without a lock on its table.  Follows RemoveRoleFromObjectPolicy().
 */
static bool
mg_policy_only_for(Oid policy, List *roles)
{
	HeapTuple row = mg_row(PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, policy);
	bool isnull;
	Datum *oids;
	int count;

	if (!HeapTupleIsValid(row))
		return false;
	deconstruct_array(DatumGetArrayTypeP(
						  mg_row_value(PolicyRelationId, row, Anum_pg_policy_polroles, &isnull)),
					  OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		if (!list_member_oid(roles, DatumGetObjectId(oids[i])))
			return false;
	}
	return true;
}

/* One object of DROP OWNED; arg: the MgDropOwned.  Follows shdepDropOwned(). */
static bool
mg_drop_owned_one(HeapTuple row, void *arg)
{
	Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(row);
	MgDropOwned *drop = arg;

	if (form->dbid == MyDatabaseId &&
		(form->deptype == SHARED_DEPENDENCY_OWNER ||
		 (form->deptype == SHARED_DEPENDENCY_POLICY && form->classid == PolicyRelationId &&
		  mg_policy_only_for(form->objid, drop->roles))))
		drop->objects = lappend(drop->objects,
								mg_address(form->classid, form->objid, form->objsubid));
	return true;
}

/* DROP OWNED.  stmt: a DropOwnedStmt. */
void
mg_footprint_drop_owned(MgFootprint *fp, Node *node)
{
	DropOwnedStmt *stmt = castNode(DropOwnedStmt, node);
	MgDropOwned drop = {NIL, NIL};
	ListCell *lc;

	drop.roles = mg_resolve_roles(fp, stmt->roles, "permission denied to drop objects");
	foreach(lc, drop.roles)
	{
		if (mg_role_is_pinned(fp, lfirst_oid(lc), "cannot drop objects owned by"))
			return;
		mg_each_shared(lfirst_oid(lc), mg_drop_owned_one, &drop);
	}
	if (drop.objects != NIL)
		mg_drop_all(fp, drop.objects, stmt->behavior);
}
