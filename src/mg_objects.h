/*
 * mg_objects.h
 *
 * Owns the private face between the files that drop, rename, move and give
 * away whole objects:
 *
 *   objects.c           names of objects that are no relations -> addresses; roles; members
 *   footprint_table.c   which file knows what: DROP, RENAME, DEPENDS ON EXTENSION
 *   footprint_drop.c    DROP of relations and of all objects that relations may depend on
 *   footprint_rename.c  RENAME of relations and of their parts, of types and all the rest
 *   footprint_move.c    SET SCHEMA, ALTER EXTENSION
 *   footprint_owner.c   OWNER TO, REASSIGN OWNED, DROP OWNED
 */
#ifndef MG_OBJECTS_H
#define MG_OBJECTS_H

#include "mg.h"

#include "catalog/objectaddress.h"

/* Which rights on an object the statement asks for. */
typedef enum MgRight
{
	MG_RIGHT_NONE,
	MG_RIGHT_OWNER, /* its owner */
	MG_RIGHT_DROP   /* its owner, or that of its schema */
} MgRight;

/* Core's words for the kinds of relations that statements name. */
typedef struct MgKind
{
	ObjectType type;
	char relkind;
	char relkind2; /* counts as the same */
	const char *name;
	int missing_code;
} MgKind;

/* ------------------------------------------------------------------------
 * objects.c
 * ------------------------------------------------------------------------ */

/*
 * What an object of some kind is, as the parser has named it.  False: there
 * is nothing to go on with, and a problem is recorded if core would raise one.
 * address->objectId is invalid if it is missing and may be so.
 */
extern bool mg_resolve_object(MgFootprint *fp, ObjectType type, Node *object, MgRight right,
							  bool missing_ok, ObjectAddress *address);

/* the same for a type or domain by a List of names; InvalidOid: nothing to go on with */
extern Oid mg_resolve_type(MgFootprint *fp, ObjectType type, List *names, MgRight right);

/* OID of a role; InvalidOid, and a problem, if there is none */
extern Oid mg_resolve_role(MgFootprint *fp, const RoleSpec *role);

/* refuse table row types and array types, which follow what they belong to */
extern bool mg_type_stands_alone(MgFootprint *fp, Oid typid);

/* relation of a composite type that stands alone, else InvalidOid */
extern Oid mg_composite_relation(Oid typid);

/* may the current user alter the schema?  If not, records core's own error */
extern bool mg_check_schema_owner(MgFootprint *fp, Oid nspid);

/* has the role the right to create things in the schema?  Of the name as core would look it up */
extern Oid mg_resolve_target_schema(MgFootprint *fp, const char *name);

/* ObjectAddresses that depend on one in this way; List of ObjectAddress * */
extern List *mg_depending_objects(Oid classid, Oid objid, char deptype);

/* Relations in a schema, without TOAST; List of OIDs */
extern List *mg_schema_relations(Oid nspid);

extern const MgKind *mg_kind_by_type(ObjectType type);
extern const MgKind *mg_kind_of(char relkind);
extern bool mg_is_relation_type(ObjectType type);

/* core's complaint about a relation of another kind than ALTER says; true: none */
extern bool mg_alter_kind_fits(MgFootprint *fp, ObjectType type, char relkind, const char *name);

/* footprint_owner.c: what gets the new owner of a relation along with it */
extern void mg_owner_goes_along(MgFootprint *fp, Oid relid, char relkind, LOCKMODE lockmode);

/* ------------------------------------------------------------------------
 * footprint_drop.c, footprint_rename.c
 * ------------------------------------------------------------------------ */
extern void mg_drop_all(MgFootprint *fp, List *objects, DropBehavior behavior);
extern void mg_drop_relations(MgFootprint *fp, DropStmt *stmt);
extern void mg_drop_others(MgFootprint *fp, DropStmt *stmt);
extern void mg_rename_in_relation(MgFootprint *fp, RenameStmt *stmt);
extern void mg_rename_others(MgFootprint *fp, RenameStmt *stmt);

#endif /* MG_OBJECTS_H */
