/*
 * footprint_schema.c
 *
 * Owns the footprints of statements that make several relations at once, or
 * relations whose rows are elsewhere: CREATE SCHEMA with elements, CREATE
 * FOREIGN TABLE, IMPORT FOREIGN SCHEMA.  What they make is nobody's obstacle;
 * what they reach besides is told by footprint_create.c.
 */
#include "mg.h"
#include "mg_objects.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"

/* ------------------------------------------------------------------------
 * CREATE SCHEMA
 * ------------------------------------------------------------------------ */

/* One CREATE SCHEMA under examination. */
typedef struct MgCreateSchema
{
	MgFootprint *fp;
	const char *name;
	List *tables; /* of char *: made so far, or if core makes foreign keys last, all */
} MgCreateSchema;

/* Does a name mean a table that the statement itself makes? */
static bool
mg_is_element(MgCreateSchema *cx, const RangeVar *rv)
{
	ListCell *lc;

	if (rv == NULL || (rv->schemaname && strcmp(rv->schemaname, cx->name) != 0))
		return false;
	foreach(lc, cx->tables)
	{
		if (strcmp(lfirst(lc), rv->relname) == 0)
			return true;
	}
	if (rv->schemaname)
		mg_problem(cx->fp, ERRCODE_UNDEFINED_TABLE, "relation \"%s.%s\" does not exist",
				   rv->schemaname, rv->relname);
	return rv->schemaname != NULL;
}

/* Constraints without the foreign keys to tables of the same statement. */
static List *
mg_other_constraints(MgCreateSchema *cx, List *elements)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, elements)
	{
		Node *element = lfirst(lc);

		if (IsA(element, Constraint) && ((Constraint *) element)->contype == CONSTR_FOREIGN &&
			mg_is_element(cx, ((Constraint *) element)->pktable))
			continue;
		if (IsA(element, ColumnDef))
			((ColumnDef *) element)->constraints =
				mg_other_constraints(cx, ((ColumnDef *) element)->constraints);
		result = lappend(result, element);
	}
	return result;
}

/* A table: what it does to relations that are there already. */
static void
mg_schema_table(MgCreateSchema *cx, CreateStmt *stmt)
{
	CreateStmt *copy = copyObject(stmt);
	List *parents = NIL;
	ListCell *lc;

	copy->relation->schemaname = pstrdup(cx->name);
	if (!MG_PG_SCHEMA_FKEYS_LAST)
		cx->tables = lappend(cx->tables, copy->relation->relname);
	foreach(lc, copy->inhRelations)
	{
		if (!mg_is_element(cx, lfirst_node(RangeVar, lc)))
			parents = lappend(parents, lfirst(lc));
	}
	if (parents == NIL)
		copy->partbound = NULL;
	copy->inhRelations = parents;
	copy->tableElts = mg_other_constraints(cx, copy->tableElts);
	if (cx->fp->problem == NULL)
		mg_footprint_create_table(cx->fp, (Node *) copy);
}

/*
 * An element.  From 19 on, an index or trigger is made on the table that
 * search_path finds, and that may be one that is there already.
 */
static void
mg_schema_element(MgCreateSchema *cx, Node *element)
{
	if (cx->fp->problem)
		return;
	if (IsA(element, CreateStmt))
		mg_schema_table(cx, (CreateStmt *) element);
	else if (!MG_PG_SCHEMA_ELEMENTS_BY_PATH)
		return;
	else if (IsA(element, IndexStmt) && !mg_is_element(cx, ((IndexStmt *) element)->relation))
		mg_footprint_create_index(cx->fp, element);
	else if (IsA(element, CreateTrigStmt) &&
			 !mg_is_element(cx, ((CreateTrigStmt *) element)->relation))
		mg_footprint_create_trigger(cx->fp, element);
}

/* What an element makes, or NULL. */
static RangeVar *
mg_element_relation(Node *element)
{
	switch (nodeTag(element))
	{
		case T_CreateStmt:
			return ((CreateStmt *) element)->relation;
		case T_CreateSeqStmt:
			return ((CreateSeqStmt *) element)->sequence;
		case T_ViewStmt:
			return ((ViewStmt *) element)->view;
		case T_IndexStmt:
			return ((IndexStmt *) element)->relation;
		case T_CreateTrigStmt:
			return ((CreateTrigStmt *) element)->relation;
		default:
			return NULL;
	}
}

/* All elements have to be in the new schema. */
static bool
mg_check_elements(MgCreateSchema *cx, List *elements)
{
	ListCell *lc;

	foreach(lc, elements)
	{
		RangeVar *rv = mg_element_relation(lfirst(lc));

		if (rv && rv->schemaname && strcmp(rv->schemaname, cx->name) != 0)
			mg_problem(cx->fp, ERRCODE_INVALID_SCHEMA_DEFINITION,
					   "CREATE specifies a schema (%s) different from the one being created (%s)",
					   rv->schemaname, cx->name);
	}
	return cx->fp->problem == NULL;
}

/* Core's checks on the schema itself.  False: it refuses, or does nothing. */
static bool
mg_check_schema_name(MgFootprint *fp, CreateSchemaStmt *stmt, const char *name, Oid owner)
{
	if (!mg_allowed(DatabaseRelationId, MyDatabaseId, ACL_CREATE))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for database %s",
				   get_database_name(MyDatabaseId));
	else if (!mg_can_become(owner))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, MG_CANNOT_BECOME,
				   GetUserNameFromId(owner, true));
	else if (!allowSystemTableMods && IsReservedName(name))
	{
		mg_problem(fp, ERRCODE_RESERVED_NAME, "unacceptable schema name \"%s\"", name);
		fp->problem->detail = "The prefix \"pg_\" is reserved for system schemas.";
	}
	else if (!mg_schema_exists(fp, name))
		return true;
	else if (!stmt->if_not_exists)
		mg_problem(fp, ERRCODE_DUPLICATE_SCHEMA, "schema \"%s\" already exists", name);
	return false;
}

/*
 * CREATE SCHEMA.  stmt: a CreateSchemaStmt.  The elements are made as the
 * schema's owner.  Follows CreateSchemaCommand() of schemacmds.c.
 */
void
mg_footprint_create_schema(MgFootprint *fp, Node *node)
{
	CreateSchemaStmt *stmt = castNode(CreateSchemaStmt, node);
	Oid owner = stmt->authrole ? mg_resolve_role(fp, stmt->authrole) : GetUserId();
	MgCreateSchema cx = {.fp = fp, .name = stmt->schemaname};
	MgIdentity saved;
	bool other;
	ListCell *lc;

	if (fp->problem || !OidIsValid(owner))
		return;
	if (cx.name == NULL)
		cx.name = GetUserNameFromId(owner, true);
	if (!mg_check_schema_name(fp, stmt, cx.name, owner) ||
		!mg_check_elements(&cx, stmt->schemaElts))
		return;
	foreach(lc, MG_PG_SCHEMA_FKEYS_LAST ? stmt->schemaElts : NIL)
	{
		if (IsA(lfirst(lc), CreateStmt))
			cx.tables = lappend(cx.tables, lfirst_node(CreateStmt, lc)->relation->relname);
	}
	other = owner != GetUserId();
	if (other)
		mg_become_role(owner, &saved);
	foreach(lc, stmt->schemaElts)
		mg_schema_element(&cx, lfirst(lc));
	if (other)
		mg_become_self(&saved);
}

/* ------------------------------------------------------------------------
 * Foreign tables
 * ------------------------------------------------------------------------ */

/* Core's checks on a server; NULL: it refuses. */
static ForeignServer *
mg_check_server(MgFootprint *fp, const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == NULL)
		mg_problem(fp, ERRCODE_UNDEFINED_OBJECT, "server \"%s\" does not exist", name);
	else if (!mg_allowed(ForeignServerRelationId, server->serverid, ACL_USAGE))
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for foreign server %s",
				   server->servername);
	return fp->problem ? NULL : server;
}

/* Constraints that need an index, or rows that can be locked. */
static void
mg_check_foreign_constraint(MgFootprint *fp, Constraint *con)
{
	const char *kind;

	switch (con->contype)
	{
		case CONSTR_PRIMARY:
			kind = "primary key";
			break;
		case CONSTR_UNIQUE:
			kind = "unique";
			break;
		case CONSTR_EXCLUSION:
			kind = "exclusion";
			break;
		case CONSTR_FOREIGN:
			kind = "foreign key";
			break;
		default:
			return;
	}
	mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "%s constraints are not supported on foreign tables", kind);
}

static void
mg_check_foreign_constraints(MgFootprint *fp, List *elements)
{
	ListCell *lc;

	foreach(lc, elements)
	{
		Node *element = lfirst(lc);

		if (IsA(element, Constraint))
			mg_check_foreign_constraint(fp, (Constraint *) element);
		else if (IsA(element, ColumnDef))
			mg_check_foreign_constraints(fp, ((ColumnDef *) element)->constraints);
	}
}

/*
 * CREATE FOREIGN TABLE, also as a partition.  stmt: a CreateForeignTableStmt.
 * Follows DefineRelation() and CreateForeignTable().
 */
void
mg_footprint_create_foreign(MgFootprint *fp, Node *node)
{
	CreateForeignTableStmt *stmt = castNode(CreateForeignTableStmt, node);

	if (!mg_check_new_schema(fp, stmt->base.relation) ||
		mg_name_is_taken(fp, stmt->base.relation, stmt->base.if_not_exists))
		return;
	mg_check_foreign_constraints(fp, stmt->base.tableElts);
	if (fp->problem == NULL)
		mg_footprint_create_table(fp, node);
	if (fp->problem == NULL)
		(void) mg_check_server(fp, stmt->servername);
}

/* Can a wrapper list tables?  To be run in mg_attempt(). */
typedef struct MgImport
{
	Oid handler;
	bool possible;
} MgImport;

static void
mg_ask_import(void *arg)
{
	MgImport *job = arg;

	job->possible = GetFdwRoutine(job->handler)->ImportForeignSchema != NULL;
}

/*
 * IMPORT FOREIGN SCHEMA makes foreign tables, and touches nothing else.  stmt:
 * an ImportForeignSchemaStmt.  Follows ImportForeignSchema() of
 * foreigncmds.c.
 */
void
mg_footprint_import(MgFootprint *fp, Node *node)
{
	ImportForeignSchemaStmt *stmt = castNode(ImportForeignSchemaStmt, node);
	ForeignServer *server = mg_check_server(fp, stmt->server_name);
	Oid nspid = get_namespace_oid(stmt->local_schema, true);
	ForeignDataWrapper *wrapper;
	MgImport job = {InvalidOid, false};

	if (server == NULL)
		return;
	if (!OidIsValid(nspid) && !(fp->script && fp->script->changed))
		mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist",
				   stmt->local_schema);
	if (fp->problem || (OidIsValid(nspid) && !mg_check_create_in_schema(fp, nspid)))
		return;
	wrapper = GetForeignDataWrapper(server->fdwid);
	job.handler = wrapper->fdwhandler;
	if (!OidIsValid(job.handler))
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "foreign-data wrapper \"%s\" has no handler", wrapper->fdwname);
	else if (mg_attempt(mg_ask_import, &job, NULL) && !job.possible)
		mg_problem(fp, ERRCODE_FDW_NO_SCHEMAS,
				   "foreign-data wrapper \"%s\" does not support IMPORT FOREIGN SCHEMA",
				   wrapper->fdwname);
}
