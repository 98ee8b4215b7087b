/*
 * script_moves.c
 *
 * Owns what a statement of a script takes away from those after it: names of
 * relations that it renames, moves to another schema, or drops, with all that
 * goes along.
 */
#include "mg_script.h"

#include "mg_objects.h"

#include "catalog/dependency.h"
#include "catalog/pg_extension.h"

/* The name is free now, and the relation behind it is called otherwise or dropped. */
static void
mg_unname(MgScript *script, const RangeVar *rv, Oid relid)
{
	mg_script_add_name(script, rv, InvalidOid, false);
	if (OidIsValid(relid))
		mg_script_add_gone(script, relid);
}

/* The relation is found under another name, or in another schema, from now on. */
static void
mg_renamed(MgScript *script, const RangeVar *rv, const char *schema, const char *name)
{
	Oid relid = mg_script_resolve(script, rv);
	bool created = mg_script_creates(script, rv);
	RangeVar before = *rv;
	RangeVar after = *rv;

	if (!OidIsValid(relid) && !created)
		return;
	before.schemaname = mg_script_schema_of(script, rv);
	after.schemaname = schema ? unconstify(char *, schema) : before.schemaname;
	if (name)
		after.relname = unconstify(char *, name);
	mg_unname(script, &before, relid);
	mg_script_add_name(script, &after, relid, true);
}

/* An existing relation moves, whatever it is called by now. */
static void
mg_moved(MgScript *script, Oid relid, const char *schema)
{
	RangeVar *rv = mg_script_name_of(script, relid);

	if (rv)
		mg_renamed(script, rv, schema, NULL);
}

/* A table moves, and takes its indexes and sequences along. */
static void
mg_moved_table(MgScript *script, Oid relid, const char *schema)
{
	ListCell *lc;

	mg_moved(script, relid, schema);
	foreach(lc, mg_index_list(relid))
		mg_moved(script, lfirst_oid(lc), schema);
	foreach(lc, getOwnedSequences(relid))
		mg_moved(script, lfirst_oid(lc), schema);
}

/* The name of a composite type, which is that of a relation as well; NULL: it is none. */
static RangeVar *
mg_composite_name(MgScript *script, ObjectType type, Node *object)
{
	RangeVar *rv;

	if (type != OBJECT_TYPE || !IsA(object, List) || list_length((List *) object) > 3)
		return NULL;
	rv = makeRangeVarFromNameList((List *) object);
	return get_rel_relkind(mg_script_resolve(script, rv)) == RELKIND_COMPOSITE_TYPE ? rv : NULL;
}

/* SET SCHEMA; what is no relation, and no extension with relations, is not followed by name. */
static void
mg_moved_by(MgScript *script, AlterObjectSchemaStmt *stmt)
{
	RangeVar *rv;
	ListCell *lc;

	if (stmt->relation)
	{
		Oid relid = mg_script_resolve(script, stmt->relation);

		if (OidIsValid(relid))
			mg_moved_table(script, relid, stmt->newschema);
		else
			mg_renamed(script, stmt->relation, stmt->newschema, NULL);
		return;
	}
	script->changed = true;
	rv = mg_composite_name(script, stmt->objectType, stmt->object);
	if (rv)
		mg_renamed(script, rv, stmt->newschema, NULL);
	if (stmt->objectType != OBJECT_EXTENSION)
		return;
	foreach(lc,
			mg_depending_objects(ExtensionRelationId, get_extension_oid(strVal(stmt->object), true),
								 DEPENDENCY_EXTENSION))
	{
		ObjectAddress *object = lfirst(lc);

		if (object->classId == RelationRelationId)
			mg_moved_table(script, object->objectId, stmt->newschema);
	}
}

/* ALTER SCHEMA ... RENAME: all that is in it is found elsewhere. */
static void
mg_renamed_schema(MgScript *script, const char *before, const char *after)
{
	Oid nspid = mg_script_schema_oid(script, before);
	List *names = mg_script_names_in(script, before);
	ListCell *lc;

	if (OidIsValid(nspid))
	{
		foreach(lc, mg_schema_relations(nspid))
		{
			if (!mg_script_gone(script, lfirst_oid(lc)))
				mg_moved(script, lfirst_oid(lc), after);
		}
	}
	foreach(lc, names)
		mg_renamed(script, lfirst_node(RangeVar, lc), after, NULL);
	mg_script_add_schema(script, before, InvalidOid, false);
	mg_script_add_schema(script, after, nspid, true);
}

static void
mg_renamed_by(MgScript *script, RenameStmt *stmt)
{
	RangeVar *rv;

	if (mg_is_relation_type(stmt->renameType))
		mg_renamed(script, stmt->relation, NULL, stmt->newname);
	else if (stmt->renameType == OBJECT_SCHEMA)
		mg_renamed_schema(script, stmt->subname, stmt->newname);
	else if (stmt->renameType == OBJECT_COLUMN)
	{
		Oid relid = mg_script_resolve(script, stmt->relation);

		if (OidIsValid(relid))
			mg_script_add_column(script, relid, stmt->newname);
	}
	else
	{
		script->changed = true;
		rv = mg_composite_name(script, stmt->renameType, stmt->object);
		if (rv)
			mg_renamed(script, rv, NULL, stmt->newname);
	}
}

/* DROP SCHEMA: also what only the script knows is gone. */
static void
mg_dropped_schema(MgScript *script, const char *schema)
{
	ListCell *lc;

	foreach(lc, mg_script_names_in(script, schema))
	{
		RangeVar *rv = lfirst_node(RangeVar, lc);

		mg_unname(script, rv, mg_script_resolve(script, rv));
	}
	mg_script_add_schema(script, schema, InvalidOid, false);
}

static void
mg_dropped_by(MgScript *script, DropStmt *stmt)
{
	ListCell *lc;

	foreach(lc, stmt->objects)
	{
		if (mg_is_relation_type(stmt->removeType))
		{
			RangeVar *rv;

			if (list_length(lfirst_node(List, lc)) > 3)
				continue;
			rv = makeRangeVarFromNameList(lfirst_node(List, lc));
			rv->schemaname = mg_script_schema_of(script, rv);
			mg_unname(script, rv, mg_script_resolve(script, rv));
		}
		else if (stmt->removeType == OBJECT_SCHEMA)
			mg_dropped_schema(script, strVal(lfirst(lc)));
		else
			script->changed = true;
	}
}

/* Take note of what a statement renames, moves or drops, by what it says. */
void
mg_script_moves(MgScript *script, Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_RenameStmt:
			mg_renamed_by(script, (RenameStmt *) stmt);
			break;
		case T_AlterObjectSchemaStmt:
			mg_moved_by(script, (AlterObjectSchemaStmt *) stmt);
			break;
		case T_DropStmt:
			mg_dropped_by(script, (DropStmt *) stmt);
			break;
		default:
			break;
	}
}

/*
 * Take note of existing relations that a statement has dropped, with what
 * they belong to or by CASCADE.
 */
void
mg_script_removed(MgScript *script, List *relids)
{
	ListCell *lc;

	foreach(lc, relids)
	{
		RangeVar *rv = mg_script_name_of(script, lfirst_oid(lc));

		if (rv)
			mg_unname(script, rv, lfirst_oid(lc));
	}
}
