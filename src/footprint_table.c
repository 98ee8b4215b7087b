/*
 * footprint_table.c
 *
 * Owns the decision which file knows a DROP or a RENAME, and the footprint of
 * DEPENDS ON EXTENSION.
 */
#include "mg_objects.h"

/*
 * DROP.  stmt: a DropStmt.  Everything that relations may depend on can reach
 * them by CASCADE.
 */
void
mg_footprint_drop(MgFootprint *fp, Node *node)
{
	DropStmt *stmt = castNode(DropStmt, node);

	if (mg_is_relation_type(stmt->removeType))
	{
		mg_drop_relations(fp, stmt);
		return;
	}
	switch (stmt->removeType)
	{
		case OBJECT_POLICY:
		case OBJECT_PUBLICATION:
		case OBJECT_RULE:
		case OBJECT_STATISTIC_EXT:
		case OBJECT_TRIGGER:
			mg_footprint_drop_of_relation(fp, stmt);
			break;
		default:
			mg_drop_others(fp, stmt);
			break;
	}
}

/* RENAME.  stmt: a RenameStmt. */
void
mg_footprint_rename(MgFootprint *fp, Node *node)
{
	RenameStmt *stmt = castNode(RenameStmt, node);
	ObjectType type = stmt->renameType;

	if (mg_is_relation_type(type) || type == OBJECT_COLUMN || type == OBJECT_ATTRIBUTE ||
		type == OBJECT_TABCONSTRAINT)
		mg_rename_in_relation(fp, stmt);
	else if (type == OBJECT_POLICY || type == OBJECT_RULE || type == OBJECT_TRIGGER)
		mg_footprint_rename_of_relation(fp, stmt);
	else
		mg_rename_others(fp, stmt);
}

/*
 * ALTER ... [NO] DEPENDS ON EXTENSION of an index or materialized view; what
 * belongs to a trigger or function is not locked strongly enough to matter.
 * stmt: an AlterObjectDependsStmt.  Follows ExecAlterObjectDependsStmt() of
 * alter.c.
 */
void
mg_footprint_depends(MgFootprint *fp, Node *node)
{
	AlterObjectDependsStmt *stmt = castNode(AlterObjectDependsStmt, node);
	Oid relid;

	if (stmt->relation == NULL)
		return;
	if (stmt->objectType == OBJECT_TRIGGER)
	{
		mg_footprint_depends_of_relation(fp, stmt);
		return;
	}
	relid = mg_lookup_relation(fp, stmt->relation, false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (!mg_owns(RelationRelationId, relid))
		(void) mg_check_owner(fp, relid);
	else
		mg_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
				  "a dependency is recorded; no rows are read");
}
