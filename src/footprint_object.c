/*
 * footprint_object.c
 *
 * Owns what is common to objects that belong to a relation: how they are
 * looked up by name, and the footprints of the statements that treat them all
 * alike, COMMENT, SECURITY LABEL, DROP, RENAME and DEPENDS ON EXTENSION.
 * Follows get_object_address() of objectaddress.c and what is built on it.
 */
#include "mg_part.h"

/* An object that is found by its relation and its name, and core's words for it. */
typedef struct MgPartKind
{
	ObjectType type;
	Oid classid;
	const char *name;
	const char *owner; /* what core calls the relation when there is no such object */
} MgPartKind;

static const MgPartKind mg_part_kinds[] = {{OBJECT_TRIGGER, TriggerRelationId, "trigger", "table"},
										   {OBJECT_RULE, RewriteRelationId, "rule", "relation"},
										   {OBJECT_POLICY, PolicyRelationId, "policy", "table"},
										   {OBJECT_TABCONSTRAINT, ConstraintRelationId,
											"constraint", "table"}};

/* A kind of relation that COMMENT and SECURITY LABEL name. */
typedef struct MgNamedKind
{
	ObjectType type;
	const char *relkinds;
	const char *name;
} MgNamedKind;

static const MgNamedKind mg_named_kinds[] = {{OBJECT_TABLE, "rp", "table"},
											 {OBJECT_INDEX, "iI", "index"},
											 {OBJECT_SEQUENCE, "S", "sequence"},
											 {OBJECT_VIEW, "v", "view"},
											 {OBJECT_MATVIEW, "m", "materialized view"},
											 {OBJECT_FOREIGN_TABLE, "f", "foreign table"}};

/* ------------------------------------------------------------------------
 * Relations
 * ------------------------------------------------------------------------ */

/* Is the relation of one of the kinds that are listed? */
bool
mg_kind_is_one_of(Oid relid, const char *kinds)
{
	char relkind = get_rel_relkind(relid);

	return relkind != '\0' && strchr(kinds, relkind) != NULL;
}

/* Record that core does not do this to a relation of that kind.  fmt has one %s, its name. */
void
mg_wrong_kind(MgFootprint *fp, Oid relid, int sqlerrcode, const char *fmt)
{
	char *message;

	if (fp->problem)
		return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	message = psprintf(fmt, get_rel_name(relid));
#pragma GCC diagnostic pop
	mg_problem(fp, sqlerrcode, "%s", message);
	fp->problem->detail = mg_relkind_unsupported(get_rel_relkind(relid));
}

/* Look a table up.  See mg_part.h. */
Oid
mg_open_table(MgFootprint *fp, const RangeVar *rv, bool missing_ok)
{
	Oid relid = mg_lookup_relation(fp, rv, missing_ok);

	if (!OidIsValid(relid))
	{
		fp->if_exists_missing = missing_ok && fp->problem == NULL && !fp->target_is_new;
		return InvalidOid;
	}
	if (mg_kind_is_one_of(relid, "iIc"))
	{
		mg_wrong_kind(fp, relid, ERRCODE_WRONG_OBJECT_TYPE, "cannot open relation \"%s\"");
		return InvalidOid;
	}
	if (!OidIsValid(fp->target))
		fp->target = relid;
	return relid;
}

/* Core's check that system catalogs are left alone. */
bool
mg_check_system(MgFootprint *fp, Oid relid)
{
	Form_pg_class form;

	if (allowSystemTableMods)
		return true;
	form = mg_class_form(relid);
	if (form && IsSystemClass(relid, form))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE,
				   "permission denied: \"%s\" is a system catalog", get_rel_name(relid));
	return form && !IsSystemClass(relid, form);
}

/* The lock on a relation.  System catalogs are nobody's concern here. */
MgEffect *
mg_object_effect(MgFootprint *fp, Oid relid, LOCKMODE lockmode, MgRole role, const char *reason)
{
	if (relid < FirstNormalObjectId)
		relid = InvalidOid;
	return mg_effect(fp, relid, lockmode, role, reason);
}

/* May an earlier statement have made, renamed or dropped what is not a relation? */
bool
mg_earlier_statements(MgFootprint *fp)
{
	return fp->script && fp->script->started;
}

/* Can a name with schema be looked up, by the current user?  A missing schema is fine here. */
bool
mg_check_names(MgFootprint *fp, List *names)
{
	if (list_length(names) > 3)
	{
		mg_problem(fp, ERRCODE_SYNTAX_ERROR, "improper qualified name (too many dotted names): %s",
				   NameListToString(names));
		return false;
	}
	return mg_check_schema(fp, makeRangeVarFromNameList(names));
}

/* ------------------------------------------------------------------------
 * Objects of relations
 * ------------------------------------------------------------------------ */

static const MgPartKind *
mg_part_kind(ObjectType type)
{
	for (int i = 0; i < (int) lengthof(mg_part_kinds); i++)
	{
		if (mg_part_kinds[i].type == type)
			return &mg_part_kinds[i];
	}
	return NULL;
}

/* The object of this kind and name, or InvalidOid. */
Oid
mg_part_oid(ObjectType type, Oid relid, const char *name)
{
	switch (type)
	{
		case OBJECT_TRIGGER:
			return get_trigger_oid(relid, name, true);
		case OBJECT_RULE:
			return get_rewrite_oid(relid, name, true);
		case OBJECT_POLICY:
			return get_relation_policy_oid(relid, name, true);
		case OBJECT_TABCONSTRAINT:
			return get_relation_constraint_oid(relid, name, true);
		default:
			return InvalidOid;
	}
}

/* There is no such object: core's error, unless the script may have made it. */
void
mg_part_missing(MgFootprint *fp, ObjectType type, Oid relid, const char *name)
{
	const MgPartKind *kind = mg_part_kind(type);

	if (!(fp->script && mg_script_alters(fp->script, relid)))
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "%s \"%s\" for %s \"%s\" does not exist",
				   kind->name, name, kind->owner, get_rel_name(relid));
}

/*
 * Look an object up by the name of its relation and its own, and check that
 * it may be changed.  Returns the relation, or InvalidOid if it or the object
 * is missing, is known to the script only, or a problem was recorded.  Follows
 * get_object_address_relobject() and check_object_ownership().
 */
static Oid
mg_find_part(MgFootprint *fp, ObjectType type, List *names, bool missing_ok, ObjectAddress *address)
{
	const MgPartKind *kind = mg_part_kind(type);
	const char *name = strVal(llast(names));
	List *table = list_truncate(list_copy(names), list_length(names) - 1);
	Oid relid;

	if (table == NIL)
	{
		mg_problem(fp, ERRCODE_SYNTAX_ERROR, "must specify relation and object name");
		return InvalidOid;
	}
	if (!mg_check_names(fp, table))
		return InvalidOid;
	fp->target_is_new = false;
	relid = mg_open_table(fp, makeRangeVarFromNameList(table), missing_ok);
	if (!OidIsValid(relid))
		return InvalidOid;
	ObjectAddressSet(*address, kind->classid, mg_part_oid(type, relid, name));
	if (!OidIsValid(address->objectId))
	{
		if (!missing_ok)
			mg_part_missing(fp, type, relid, name);
		return InvalidOid;
	}
	if (!mg_owns(RelationRelationId, relid))
	{
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of relation %s",
				   get_rel_name(relid));
		return InvalidOid;
	}
	return relid;
}

/* ------------------------------------------------------------------------
 * COMMENT, SECURITY LABEL
 * ------------------------------------------------------------------------ */

/* On a relation as a whole: it is locked itself. */
static void
mg_label_relation(MgFootprint *fp, const MgNamedKind *kind, List *names, const char *what)
{
	Oid relid;

	if (!mg_check_names(fp, names))
		return;
	relid = mg_lookup_relation(fp, makeRangeVarFromNameList(names), false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (!mg_kind_is_one_of(relid, kind->relkinds))
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not %s %s", get_rel_name(relid),
				   kind->type == OBJECT_INDEX ? "an" : "a", kind->name);
	else if (!mg_owns(RelationRelationId, relid))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of %s %s", kind->name,
				   get_rel_name(relid));
	else
		mg_object_effect(fp, relid, ShareUpdateExclusiveLock, MG_ROLE_TARGET,
						 psprintf("a %s is recorded; no rows are read", what));
}

/* On a column: its relation is locked. */
static void
mg_label_column(MgFootprint *fp, List *names, const char *what)
{
	const char *column = strVal(llast(names));
	List *table = list_truncate(list_copy(names), list_length(names) - 1);
	Oid relid;

	if (table == NIL)
	{
		mg_problem(fp, ERRCODE_SYNTAX_ERROR, "column name must be qualified");
		return;
	}
	if (!mg_check_names(fp, table))
		return;
	relid = mg_lookup_relation(fp, makeRangeVarFromNameList(table), false);
	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (get_attnum(relid, column) == InvalidAttrNumber &&
		!(fp->script && mg_script_column(fp->script, relid, column)))
		mg_problem(fp, ERRCODE_UNDEFINED_COLUMN, "column \"%s\" of relation \"%s\" does not exist",
				   column, NameListToString(table));
	else if (!mg_owns(RelationRelationId, relid))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of relation %s",
				   get_rel_name(relid));
	else if (!mg_kind_is_one_of(relid, "rvmcfp"))
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "cannot set %s on relation \"%s\"", what,
				   get_rel_name(relid));
		fp->problem->detail = mg_relkind_unsupported(get_rel_relkind(relid));
	}
	else
		mg_object_effect(fp, relid, ShareUpdateExclusiveLock, MG_ROLE_TARGET,
						 psprintf("a %s on column \"%s\" is recorded; no rows are read", what,
								  column));
}

/* Objects of other kinds lock no relation, and what is inside one only as a reader does. */
static void
mg_label(MgFootprint *fp, ObjectType type, Node *object, const char *what)
{
	ObjectAddress address;

	for (int i = 0; i < (int) lengthof(mg_named_kinds); i++)
	{
		if (mg_named_kinds[i].type == type)
			mg_label_relation(fp, &mg_named_kinds[i], castNode(List, object), what);
	}
	if (type == OBJECT_COLUMN)
		mg_label_column(fp, castNode(List, object), what);
	else if (mg_part_kind(type))
		(void) mg_find_part(fp, type, castNode(List, object), false, &address);
}

/* COMMENT ON.  stmt: a CommentStmt.  Follows CommentObject(). */
void
mg_footprint_comment(MgFootprint *fp, Node *node)
{
	CommentStmt *stmt = castNode(CommentStmt, node);

	mg_label(fp, stmt->objtype, stmt->object, "comment");
}

/*
 * SECURITY LABEL.  stmt: a SecLabelStmt.  Which providers are loaded is known
 * to core only.  Follows ExecSecLabelStmt().
 */
void
mg_footprint_security_label(MgFootprint *fp, Node *node)
{
	SecLabelStmt *stmt = castNode(SecLabelStmt, node);

	if (stmt->objtype != OBJECT_INDEX && mg_part_kind(stmt->objtype) == NULL)
		mg_label(fp, stmt->objtype, stmt->object, "security label");
}

/* ------------------------------------------------------------------------
 * DROP
 * ------------------------------------------------------------------------ */

static const char *
mg_drop_reason(ObjectType type, const char *name)
{
	return psprintf("its %s \"%s\" is dropped; no rows are read", mg_part_kind(type)->name, name);
}

/* One that only the script knows: the locks are those of the tables that it has changed. */
static void
mg_drop_new_part(MgFootprint *fp, ObjectType type, const char *name)
{
	Oid relid = fp->target;
	ListCell *lc;

	if (fp->script == NULL || !OidIsValid(relid) || !mg_script_alters(fp->script, relid) ||
		OidIsValid(mg_part_oid(type, relid, name)))
		return;
	foreach(lc, mg_tree(relid, type == OBJECT_TRIGGER && mg_kind_is_one_of(relid, "p")))
	{
		if (mg_script_alters(fp->script, lfirst_oid(lc)))
			mg_object_effect(fp, lfirst_oid(lc), AccessExclusiveLock,
							 lfirst_oid(lc) == relid ? MG_ROLE_TARGET : MG_ROLE_CHILD,
							 mg_drop_reason(type, name));
	}
}

/* A trigger, rule or policy. */
static List *
mg_drop_part(MgFootprint *fp, DropStmt *stmt, List *names, List *objects)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));
	Oid relid = mg_find_part(fp, stmt->removeType, names, stmt->missing_ok, address);

	if (!OidIsValid(relid))
	{
		mg_drop_new_part(fp, stmt->removeType, strVal(llast(names)));
		return objects;
	}
	mg_object_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
					 mg_drop_reason(stmt->removeType, strVal(llast(names))));
	return lappend(objects, address);
}

/* Extended statistics: whoever owns the schema may drop them, too. */
static List *
mg_drop_statistics(MgFootprint *fp, DropStmt *stmt, List *names, List *objects)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));
	Form_pg_statistic_ext form;
	HeapTuple tuple;

	if (!mg_check_names(fp, names))
		return objects;
	ObjectAddressSet(*address, StatisticExtRelationId, get_statistics_object_oid(names, true));
	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(address->objectId));
	if (!HeapTupleIsValid(tuple))
	{
		RangeVar *rv = makeRangeVarFromNameList(names);

		if (stmt->missing_ok || mg_earlier_statements(fp))
			return objects;
		if (rv->schemaname && !OidIsValid(get_namespace_oid(rv->schemaname, true)))
			mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist",
					   rv->schemaname);
		else
			mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "statistics object \"%s\" does not exist",
					   NameListToString(names));
		return objects;
	}
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	if (!mg_owns(NamespaceRelationId, form->stxnamespace) &&
		!mg_owns(StatisticExtRelationId, address->objectId))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of statistics object %s",
				   NameListToString(names));
	else
	{
		if (!OidIsValid(fp->target))
			fp->target = form->stxrelid;
		mg_object_effect(fp, form->stxrelid, ShareUpdateExclusiveLock, MG_ROLE_TARGET,
						 psprintf("its statistics object \"%s\" is dropped; no rows are read",
								  NameStr(form->stxname)));
		objects = lappend(objects, address);
	}
	ReleaseSysCache(tuple);
	return objects;
}

/* A publication locks nothing when it goes. */
static List *
mg_drop_publication(MgFootprint *fp, DropStmt *stmt, const char *name, List *objects)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSet(*address, PublicationRelationId, get_publication_oid(name, true));
	if (OidIsValid(address->objectId) && mg_owns(PublicationRelationId, address->objectId))
		return lappend(objects, address);
	if (OidIsValid(address->objectId))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of publication %s", name);
	else if (!stmt->missing_ok && !mg_earlier_statements(fp))
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "publication \"%s\" does not exist", name);
	return objects;
}

/*
 * DROP TRIGGER, RULE, POLICY, STATISTICS and PUBLICATION.  Follows
 * RemoveObjects() of dropcmds.c.
 */
void
mg_footprint_drop_of_relation(MgFootprint *fp, DropStmt *stmt)
{
	List *objects = NIL;
	ListCell *lc;

	foreach(lc, stmt->objects)
	{
		if (stmt->removeType == OBJECT_PUBLICATION)
			objects = mg_drop_publication(fp, stmt, strVal(lfirst(lc)), objects);
		else if (stmt->removeType == OBJECT_STATISTIC_EXT)
			objects = mg_drop_statistics(fp, stmt, lfirst_node(List, lc), objects);
		else
			objects = mg_drop_part(fp, stmt, lfirst_node(List, lc), objects);
		if (fp->problem)
			return;
	}
	if (objects != NIL)
	{
		fp->if_exists_missing = false;
		(void) mg_drop_objects(fp, objects, stmt->behavior, true);
	}
}

/* ------------------------------------------------------------------------
 * RENAME, DEPENDS ON EXTENSION
 * ------------------------------------------------------------------------ */

/* ALTER TRIGGER, RULE and POLICY ... RENAME TO. */
void
mg_footprint_rename_of_relation(MgFootprint *fp, RenameStmt *stmt)
{
	switch (stmt->renameType)
	{
		case OBJECT_TRIGGER:
			mg_rename_trigger(fp, stmt);
			break;
		case OBJECT_RULE:
			mg_rename_rule(fp, stmt);
			break;
		default:
			mg_rename_policy(fp, stmt);
			break;
	}
}

/*
 * ALTER TRIGGER ... [NO] DEPENDS ON EXTENSION: the table is locked as a reader
 * does it.  Follows ExecAlterObjectDependsStmt().
 */
void
mg_footprint_depends_of_relation(MgFootprint *fp, AlterObjectDependsStmt *stmt)
{
	Oid relid = mg_open_table(fp, stmt->relation, false);
	const char *name = strVal(llast(castNode(List, stmt->object)));
	const char *extension = strVal(stmt->extname);

	if (!OidIsValid(relid))
		return;
	if (!OidIsValid(mg_part_oid(stmt->objectType, relid, name)))
		mg_part_missing(fp, stmt->objectType, relid, name);
	else if (!mg_owns(RelationRelationId, relid))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of relation %s",
				   get_rel_name(relid));
	else if (!OidIsValid(get_extension_oid(extension, true)) && !mg_earlier_statements(fp))
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "extension \"%s\" does not exist", extension);
}
