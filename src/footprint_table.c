/*
 * footprint_table.c
 *
 * Owns the footprints of statements that drop, rename or relate whole
 * relations: DROP, RENAME, DEPENDS ON EXTENSION.  What goes with a dropped
 * relation is found by dropwalk.c.
 */
#include "mg.h"

#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/objectaddress.h"
#include "utils/formatting.h"

/* ------------------------------------------------------------------------
 * DROP
 * ------------------------------------------------------------------------ */

/* Core's words for the kinds of relations that DROP knows. */
typedef struct MgDropKind
{
	ObjectType type;
	char relkind;
	char relkind2; /* counts as the same */
	const char *name;
	int missing_code;
} MgDropKind;

static const MgDropKind mg_drop_kinds[] =
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

static const MgDropKind *
mg_drop_kind(ObjectType type)
{
	for (int i = 0; i < (int) lengthof(mg_drop_kinds); i++)
	{
		if (mg_drop_kinds[i].type == type)
			return &mg_drop_kinds[i];
	}
	return NULL;
}

static const MgDropKind *
mg_drop_kind_of(char relkind)
{
	for (int i = 0; i < (int) lengthof(mg_drop_kinds); i++)
	{
		if (mg_drop_kinds[i].relkind == relkind || mg_drop_kinds[i].relkind2 == relkind)
			return &mg_drop_kinds[i];
	}
	return NULL;
}

/* Nothing of that name: core's error, unless the statement says that it may be so. */
static void
mg_drop_missing(MgFootprint *fp, const RangeVar *rv, const MgDropKind *kind, bool missing_ok)
{
	if (missing_ok)
	{
		fp->if_exists_missing = true;
		return;
	}
	if (rv->schemaname && strcmp(rv->schemaname, "pg_temp") != 0 &&
		!OidIsValid(get_namespace_oid(rv->schemaname, true)))
		mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", rv->schemaname);
	else
		mg_problem(fp, kind->missing_code, "%s \"%s\" does not exist", kind->name, rv->relname);
}

/* Core's checks on one relation.  Follows RangeVarCallbackForDropRelation(). */
static bool
mg_drop_allowed(MgFootprint *fp, Oid relid, const char *name, const MgDropKind *kind)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	const MgDropKind *is;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	is = mg_drop_kind_of(form->relkind);
	if (is != kind)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not %s %s", name,
				   kind->type == OBJECT_INDEX ? "an" : "a", kind->name);
		if (is)
			fp->problem->hint = psprintf("Use DROP %s to remove %s %s.",
										 asc_toupper(is->name, strlen(is->name)),
										 is->type == OBJECT_INDEX ? "an" : "a", is->name);
	}
	else if (!pg_class_ownercheck(relid, GetUserId()) &&
			 !pg_namespace_ownercheck(form->relnamespace, GetUserId()))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of %s %s", kind->name, name);
	else if (!allowSystemTableMods && IsSystemClass(relid, form) && form->relkind != RELKIND_INDEX)
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE,
				   "permission denied: \"%s\" is a system catalog", name);
	ReleaseSysCache(tuple);
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
mg_drop_resolve(MgFootprint *fp, DropStmt *stmt, const MgDropKind *kind)
{
	List *objects = NIL;
	ListCell *lc;

	foreach(lc, stmt->objects)
	{
		List *names = lfirst_node(List, lc);
		ObjectAddress *object;
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
		object = palloc(sizeof(ObjectAddress));
		ObjectAddressSet(*object, RelationRelationId, relid);
		objects = lappend(objects, object);
	}
	return objects;
}

/*
 * DROP TABLE, INDEX, SEQUENCE, VIEW, MATERIALIZED VIEW and FOREIGN TABLE.
 * stmt: a DropStmt; other kinds of objects are not covered.  Follows
 * RemoveRelations() of tablecmds.c.
 */
void
mg_footprint_drop(MgFootprint *fp, Node *node)
{
	DropStmt *stmt = castNode(DropStmt, node);
	const MgDropKind *kind = mg_drop_kind(stmt->removeType);
	List *objects;
	ListCell *lc;

	if (kind == NULL || kind->type == OBJECT_TYPE)
	{
		fp->covered = false;
		return;
	}
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
	(void) mg_drop_objects(fp, objects, stmt->behavior, true);
	foreach(lc, objects)
	{
		Oid relid = ((ObjectAddress *) lfirst(lc))->objectId;

		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
			mg_drop_lock_partitions(fp, relid);
	}
}

/* ------------------------------------------------------------------------
 * RENAME
 * ------------------------------------------------------------------------ */

/* Core's complaint about a relation of another kind than the statement says. */
static bool
mg_rename_kind_fits(MgFootprint *fp, ObjectType type, char relkind, const char *name)
{
	const MgDropKind *kind = mg_drop_kind(type);

	if (relkind == RELKIND_COMPOSITE_TYPE && type != OBJECT_TYPE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is a composite type", name);
		fp->problem->hint = "Use ALTER TYPE instead.";
		return false;
	}
	if (type == OBJECT_TABLE || type == OBJECT_INDEX || kind == NULL)
		return true;
	if (relkind == kind->relkind)
		return true;
	mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a %s", name, kind->name);
	return false;
}

/* ALTER ... RENAME TO.  Follows RenameRelation(). */
static void
mg_rename_relation(MgFootprint *fp, RenameStmt *stmt, Oid relid)
{
	char relkind = get_rel_relkind(relid);
	bool index = relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX;
	Oid existing;

	if (!mg_rename_kind_fits(fp, stmt->renameType, relkind, stmt->relation->relname))
		return;
	existing = get_relname_relid(stmt->newname, get_rel_namespace(relid));
	if (OidIsValid(existing) && !(fp->script && mg_script_gone(fp->script, existing)))
	{
		mg_problem(fp, ERRCODE_DUPLICATE_TABLE, "relation \"%s\" already exists", stmt->newname);
		return;
	}
	mg_effect(fp, relid,
			  index && stmt->renameType == OBJECT_INDEX ? ShareUpdateExclusiveLock
														: AccessExclusiveLock,
			  MG_ROLE_TARGET, "it is renamed; its rows are not read");
}

/* ALTER ... RENAME COLUMN.  Follows renameatt_internal(). */
static void
mg_rename_column(MgFootprint *fp, RenameStmt *stmt, Oid relid)
{
	HeapTuple tuple = SearchSysCacheAttName(relid, stmt->subname);
	bool script = fp->script && mg_script_alters(fp->script, relid);
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

	foreach(lc, mg_tree(relid, stmt->relation->inh))
		mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock,
				  lfirst_oid(lc) == relid ? MG_ROLE_TARGET : MG_ROLE_CHILD,
				  psprintf("column \"%s\" is renamed; no rows are read", stmt->subname));
}

/* ALTER TABLE ... RENAME CONSTRAINT.  Follows rename_constraint_internal(). */
static void
mg_rename_constraint(MgFootprint *fp, RenameStmt *stmt, Oid relid)
{
	const char *reason = psprintf("constraint \"%s\" is renamed; no rows are read", stmt->subname);
	Oid conoid = get_relation_constraint_oid(relid, stmt->subname, true);
	HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conoid));
	bool recurse = false;
	ListCell *lc;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_CHECK && !form->connoinherit)
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
		ReleaseSysCache(tuple);
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
 * RENAME of relations, columns and table constraints.  stmt: a RenameStmt;
 * other kinds of objects are not covered.
 */
void
mg_footprint_rename(MgFootprint *fp, Node *node)
{
	RenameStmt *stmt = castNode(RenameStmt, node);
	Oid relid;

	switch (stmt->renameType)
	{
		case OBJECT_TABLE:
		case OBJECT_INDEX:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_SEQUENCE:
		case OBJECT_FOREIGN_TABLE:
		case OBJECT_COLUMN:
		case OBJECT_TABCONSTRAINT:
			break;
		default:
			fp->covered = false;
			return;
	}

	relid = mg_lookup_relation(fp, stmt->relation, stmt->missing_ok);
	if (!OidIsValid(relid))
	{
		fp->if_exists_missing = fp->problem == NULL && !fp->target_is_new;
		return;
	}
	fp->target = relid;
	if (!mg_check_owner(fp, relid))
		return;
	if (stmt->renameType == OBJECT_COLUMN)
		mg_rename_column(fp, stmt, relid);
	else if (stmt->renameType == OBJECT_TABCONSTRAINT)
		mg_rename_constraint(fp, stmt, relid);
	else
		mg_rename_relation(fp, stmt, relid);
}

/* ------------------------------------------------------------------------
 * DEPENDS ON EXTENSION
 * ------------------------------------------------------------------------ */

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
	relid = mg_lookup_relation(fp, stmt->relation, false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (!pg_class_ownercheck(relid, GetUserId()))
		(void) mg_check_owner(fp, relid);
	else if (stmt->objectType != OBJECT_TRIGGER)
		mg_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
				  "a dependency is recorded; no rows are read");
}
