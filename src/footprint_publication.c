/*
 * footprint_publication.c
 *
 * Owns the footprints of CREATE and ALTER PUBLICATION: the tables that are
 * named in them are locked one by one; those of a schema, and all tables of
 * the database, are not.  Follows publicationcmds.c.
 */
#include "mg_part.h"

/* One publication under examination. */
typedef struct MgPublish
{
	MgFootprint *fp;
	const char *name;
	Oid pubid;     /* InvalidOid: it is being made */
	List *objects; /* of PublicationObjSpec */
	List *relids;  /* tables named, with their children */
	bool except;   /* the tables named are those that are left out */
	bool earlier;  /* an earlier statement of the script may have changed it */
} MgPublish;

/* Is the table a member?  prid of pg_publication_rel, or InvalidOid. */
static bool
mg_is_published(MgPublish *cx, Oid relid)
{
	return SearchSysCacheExists2(PUBLICATIONRELMAP, ObjectIdGetDatum(relid),
								 ObjectIdGetDatum(cx->pubid));
}

/* ------------------------------------------------------------------------
 * Objects
 * ------------------------------------------------------------------------ */

/* Schemas have to exist, and are a superuser's business. */
static bool
mg_publish_schemas(MgPublish *cx, bool adding, const char *refusal)
{
	bool schemas = false;
	ListCell *lc;

	foreach(lc, cx->objects)
	{
		PublicationObjSpec *object = lfirst(lc);

		if (object->pubtable)
			continue;
		schemas = true;
		if (object->pubobjtype == PUBLICATIONOBJ_TABLES_IN_SCHEMA &&
			!OidIsValid(get_namespace_oid(object->name, true)) && !mg_earlier_statements(cx->fp))
			mg_problem(cx->fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist",
					   object->name);
	}
	if (schemas && adding && !superuser())
		mg_problem(cx->fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "%s", refusal);
	return cx->fp->problem == NULL;
}

/* What happens to a table. */
static const char *
mg_publish_reason(MgPublish *cx, bool dropped)
{
	if (cx->except)
		return dropped ? "it is not left out of the publication any more; its rows are not read"
					   : "it is left out of the publication; its rows are not read";
	return dropped ? "it leaves the publication; its rows are not read"
				   : "it is put into the publication; its rows are not read";
}

/* A table, and the tables that inherit from it unless ONLY.  Follows OpenTableList(). */
static void
mg_publish_table(MgPublish *cx, PublicationTable *table, bool dropped)
{
	Oid relid = mg_open_table(cx->fp, table->relation, false);
	bool children = table->relation->inh;
	ListCell *lc;

	if (!OidIsValid(relid))
		return;
	if (list_member_oid(cx->relids, relid))
	{
		if (table->whereClause || table->columns)
			mg_problem(cx->fp, ERRCODE_DUPLICATE_OBJECT,
					   "conflicting or redundant %s for table \"%s\"",
					   table->whereClause ? "WHERE clauses" : "column lists", get_rel_name(relid));
		return;
	}
	if (mg_kind_is_one_of(relid, "p"))
		children = false;
	foreach(lc, mg_tree(relid, children))
	{
		cx->relids = list_append_unique_oid(cx->relids, lfirst_oid(lc));
		mg_object_effect(cx->fp, lfirst_oid(lc), ShareUpdateExclusiveLock,
						 lfirst_oid(lc) == relid ? MG_ROLE_TARGET : MG_ROLE_CHILD,
						 mg_publish_reason(cx, dropped));
	}
}

static bool
mg_publish_tables(MgPublish *cx, bool dropped)
{
	ListCell *lc;

	foreach(lc, cx->objects)
	{
		PublicationTable *table = lfirst_node(PublicationObjSpec, lc)->pubtable;

		if (table && cx->fp->problem == NULL)
			mg_publish_table(cx, table, dropped);
	}
	return cx->fp->problem == NULL;
}

/* Can the table be published?  Follows check_publication_add_relation(). */
static void
mg_check_publishable(MgPublish *cx, Oid relid)
{
	char persistence = get_rel_persistence(relid);
	char *detail = NULL;

	if (!mg_owns(RelationRelationId, relid))
	{
		mg_problem(cx->fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of %s %s",
				   mg_relkind_name(get_rel_relkind(relid)), get_rel_name(relid));
		return;
	}
	if (!mg_kind_is_one_of(relid, "rp"))
		detail = mg_relkind_unsupported(get_rel_relkind(relid));
	else if (IsCatalogRelationOid(relid))
		detail = "This operation is not supported for system tables.";
	else if (cx->except && get_rel_relispartition(relid))
		detail = "This operation is not supported for individual partitions.";
	else if (persistence == RELPERSISTENCE_TEMP)
		detail = "This operation is not supported for temporary tables.";
	else if (persistence == RELPERSISTENCE_UNLOGGED)
		detail = "This operation is not supported for unlogged tables.";
	if (detail == NULL || cx->fp->problem)
		return;
	mg_problem(cx->fp, ERRCODE_INVALID_PARAMETER_VALUE, "cannot add relation \"%s\" to publication",
			   get_rel_name(relid));
	cx->fp->problem->detail = detail;
}

static void
mg_check_all_publishable(MgPublish *cx)
{
	ListCell *lc;

	foreach(lc, cx->relids)
		mg_check_publishable(cx, lfirst_oid(lc));
}

/* ------------------------------------------------------------------------
 * CREATE PUBLICATION
 * ------------------------------------------------------------------------ */

/* stmt: a CreatePublicationStmt.  Follows CreatePublication(). */
void
mg_footprint_create_publication(MgFootprint *fp, Node *node)
{
	CreatePublicationStmt *stmt = castNode(CreatePublicationStmt, node);
	MgPublish cx = {.fp = fp,
					.name = stmt->pubname,
					.objects = stmt->pubobjects,
					.except = stmt->for_all_tables};

	if (!mg_allowed(DatabaseRelationId, MyDatabaseId, ACL_CREATE))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for database %s",
				   get_database_name(MyDatabaseId));
	else if (stmt->for_all_tables && !superuser())
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE,
				   "must be superuser to create FOR ALL TABLES publication");
	else if (OidIsValid(get_publication_oid(cx.name, true)) && !mg_earlier_statements(fp))
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT, "publication \"%s\" already exists", cx.name);
	if (fp->problem ||
		!mg_publish_schemas(&cx, true,
							"must be superuser to create FOR TABLES IN SCHEMA publication") ||
		!mg_publish_tables(&cx, false))
		return;
	mg_check_all_publishable(&cx);
}

/* ------------------------------------------------------------------------
 * ALTER PUBLICATION
 * ------------------------------------------------------------------------ */

/* Has it no member, neither table nor schema? */
static bool
mg_publication_is_empty(Oid pubid)
{
	return mg_row(PublicationRelRelationId, InvalidOid, Anum_pg_publication_rel_prpubid, pubid) ==
			   NULL &&
		   mg_row(PublicationNamespaceRelationId, InvalidOid, Anum_pg_publication_namespace_pnpubid,
				  pubid) == NULL;
}

/*
 * Members and "all" exclude each other.  Follows CheckAlterPublication() and
 * what 19 added to it.
 */
static void
mg_check_publication_kind(MgPublish *cx, AlterPublicationStmt *stmt, Form_pg_publication form)
{
	bool all = form->puballtables || mg_has_all_sequences(form);

	if (cx->earlier)
		return;
	if (stmt->for_all_tables || mg_sets_all_sequences(stmt))
	{
		if (!superuser())
			mg_problem(cx->fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be superuser to set ALL %s",
					   stmt->for_all_tables ? "TABLES" : "SEQUENCES");
		else if (!all && !mg_publication_is_empty(form->oid))
			mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					   "publication \"%s\" does not support ALL %s operations", cx->name,
					   stmt->for_all_tables ? "TABLES" : "SEQUENCES");
	}
	else if (all && cx->objects != NIL)
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "publication \"%s\" is defined as FOR ALL %s", cx->name,
				   form->puballtables ? "TABLES" : "SEQUENCES");
}

/* The publication has to be there, and be one's own. */
static bool
mg_check_publication(MgPublish *cx, AlterPublicationStmt *stmt)
{
	HeapTuple tuple = SearchSysCache1(PUBLICATIONNAME, CStringGetDatum(cx->name));
	Form_pg_publication form;

	if (!HeapTupleIsValid(tuple))
	{
		if (!cx->earlier)
			mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT, "publication \"%s\" does not exist",
					   cx->name);
		return cx->fp->problem == NULL;
	}
	form = (Form_pg_publication) GETSTRUCT(tuple);
	cx->pubid = form->oid;
	if (!mg_owns(PublicationRelationId, form->oid))
		mg_problem(cx->fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of publication %s",
				   cx->name);
	else
		mg_check_publication_kind(cx, stmt, form);
	ReleaseSysCache(tuple);
	return cx->fp->problem == NULL;
}

/* ADD TABLE: it must not be a member. */
static void
mg_publication_add(MgPublish *cx)
{
	ListCell *lc;

	if (!mg_publish_tables(cx, false))
		return;
	foreach(lc, cx->relids)
	{
		mg_check_publishable(cx, lfirst_oid(lc));
		if (!cx->earlier && mg_is_published(cx, lfirst_oid(lc)))
			mg_problem(cx->fp, ERRCODE_DUPLICATE_OBJECT,
					   "relation \"%s\" is already member of publication \"%s\"",
					   get_rel_name(lfirst_oid(lc)), cx->name);
	}
}

/* DROP TABLE: it must be one. */
static void
mg_publication_drop(MgPublish *cx)
{
	ListCell *lc;

	if (!mg_publish_tables(cx, true))
		return;
	foreach(lc, cx->relids)
	{
		if (!cx->earlier && !mg_is_published(cx, lfirst_oid(lc)))
			mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT,
					   "relation \"%s\" is not part of the publication",
					   get_rel_name(lfirst_oid(lc)));
	}
}

/* SET: all that are members now are locked, too.  Follows AlterPublicationTables(). */
static void
mg_publication_set(MgPublish *cx)
{
	ListCell *lc;

	if (!mg_publish_tables(cx, false))
		return;
	mg_check_all_publishable(cx);
	foreach(lc, mg_rows(PublicationRelRelationId, PublicationRelPrpubidIndexId,
						Anum_pg_publication_rel_prpubid, cx->pubid))
	{
		HeapTuple row = lfirst(lc);
		Oid relid = ((Form_pg_publication_rel) GETSTRUCT(row))->prrelid;

		if (!list_member_oid(cx->relids, relid))
			mg_object_effect(cx->fp, relid, ShareUpdateExclusiveLock, MG_ROLE_OTHER,
							 mg_publish_reason(cx, true));
	}
}

/* ALTER PUBLICATION.  stmt: an AlterPublicationStmt.  Options lock no table. */
void
mg_footprint_alter_publication(MgFootprint *fp, Node *node)
{
	AlterPublicationStmt *stmt = castNode(AlterPublicationStmt, node);
	MgPublish cx = {.fp = fp,
					.name = stmt->pubname,
					.objects = stmt->pubobjects,
					.except = stmt->for_all_tables,
					.earlier = mg_earlier_statements(fp)};

	if (!mg_check_publication(&cx, stmt) || stmt->options != NIL ||
		!mg_publish_schemas(&cx, stmt->action != AP_DropObjects,
							"must be superuser to add or set schemas"))
		return;
	switch (stmt->action)
	{
		case AP_AddObjects:
			mg_publication_add(&cx);
			break;
		case AP_DropObjects:
			mg_publication_drop(&cx);
			break;
		case AP_SetObjects:
			mg_publication_set(&cx);
			break;
	}
}
