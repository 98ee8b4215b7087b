/*
 * footprint_reindex.c
 *
 * Owns the footprint of REINDEX in all its forms.  Follows ExecReindex(),
 * ReindexPartitions(), ReindexMultipleTables() and
 * ReindexRelationConcurrently() of indexcmds.c, and reindex_index() and
 * reindex_relation() of index.c.
 */
#include "mg.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "commands/dbcommands.h"
#include "commands/tablespace.h"

/* One REINDEX under examination. */
typedef struct MgReindex
{
	MgFootprint *fp;
	ReindexStmt *stmt;
	bool concurrently;
	bool tablespace; /* indexes move to another tablespace */
	bool several;    /* a transaction for each table or index */
	Oid nspid;       /* of REINDEX SCHEMA, else InvalidOid */
} MgReindex;

/* A boolean option of a utility statement; what is no boolean counts as true and is core's error. */
bool
mg_option_is_on(const DefElem *option)
{
	bool value;

	if (option->arg == NULL)
		return true;
	if (IsA(option->arg, Integer))
		return intVal(option->arg) != 0;
	if (IsA(option->arg, Boolean))
		return boolVal(option->arg);
	if (IsA(option->arg, String) && parse_bool(strVal(option->arg), &value))
		return value;
	return true;
}

/* Rebuild one index of a table. */
static void
mg_rebuild(MgReindex *cx, MgEffect *table, Oid index, bool concurrently)
{
	MgTask *task = mg_task(table, MG_WORK_BUILD, MG_CAUSE_REINDEX, (Node *) cx->stmt);

	task->index = index;
	if (concurrently)
		task->reason = psprintf("index \"%s\" is built anew beside the old one",
								get_rel_name(index));
	else
		task->reason = psprintf("index \"%s\" is rebuilt, and queries on the table wait for "
								"AccessExclusiveLock on it",
								get_rel_name(index));
}

/*
 * All indexes of one table, or one index if only is valid.  Temporary tables
 * are never treated concurrently.
 */
static void
mg_reindex_relation(MgReindex *cx, Oid relid, Oid only, MgRole role)
{
	bool concurrently = cx->concurrently && get_rel_persistence(relid) != RELPERSISTENCE_TEMP;
	LOCKMODE indexmode = concurrently ? ShareUpdateExclusiveLock : AccessExclusiveLock;
	MgEffect *eff = mg_effect(cx->fp, relid, concurrently ? ShareUpdateExclusiveLock : ShareLock,
							  role, NULL);
	List *indexes = OidIsValid(only) ? list_make1_oid(only) : mg_index_list(relid);
	ListCell *lc;

	if (cx->several)
		mg_note(eff, "it is dealt with in a transaction of its own");
	if (indexes == NIL)
		mg_note(eff, "it has no index");
	foreach(lc, indexes)
	{
		Oid index = lfirst_oid(lc);
		Form_pg_index form = mg_index_form(index);
		MgEffect *index_eff;

		if (form == NULL)
			continue;
		index_eff = mg_effect(cx->fp, index, indexmode, OidIsValid(only) ? role : MG_ROLE_INDEX,
							  NULL);
		if (concurrently && form->indisexclusion)
			mg_note(index_eff, "it belongs to an exclusion constraint and is skipped");
		else if (concurrently && !form->indisvalid && !OidIsValid(only))
			mg_note(index_eff, "it is invalid and is skipped");
		else
		{
			mg_note(index_eff,
					cx->tablespace ? "it is rebuilt in another tablespace" : "it is rebuilt");
			mg_rebuild(cx, eff, index, concurrently);
		}
	}
	if (concurrently)
		mg_note(eff, "it waits for all transactions that use the table before the old "
					 "indexes are dropped");
}

/* Core's checks on a named index or table before it waits for a lock. */
static bool
mg_reindex_permitted(MgReindex *cx, Oid relid, char relkind)
{
	const char *name = cx->stmt->relation->relname;
	bool index = relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX;

	if (cx->stmt->kind == REINDEX_OBJECT_INDEX && !index)
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not an index", name);
	else if (cx->stmt->kind == REINDEX_OBJECT_TABLE && relkind != RELKIND_RELATION &&
			 relkind != RELKIND_TOASTVALUE && relkind != RELKIND_MATVIEW &&
			 relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a table or materialized view",
				   name);
	else if (!mg_may_maintain(index && MG_PG_MAINTAIN ? IndexGetRelation(relid, true) : relid))
		mg_problem(cx->fp, ERRCODE_INSUFFICIENT_PRIVILEGE,
				   MG_PG_MAINTAIN ? "permission denied for %s %s" : "must be owner of %s %s",
				   index                        ? "index"
				   : relkind == RELKIND_MATVIEW ? "materialized view"
												: "table",
				   name);
	else if (cx->concurrently &&
			 IsCatalogRelationOid(index ? IndexGetRelation(relid, true) : relid))
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot reindex system catalogs concurrently");
	else
		return true;
	return false;
}

/*
 * A partitioned table or index: the parent is locked as if it were to be
 * rebuilt, its partitions with ShareLock (even with CONCURRENTLY) while they
 * are listed; then each leaf has a transaction of its own.
 */
static void
mg_reindex_partitions(MgReindex *cx, Oid relid, char relkind)
{
	MgFootprint *fp = cx->fp;
	bool index = relkind == RELKIND_PARTITIONED_INDEX;
	LOCKMODE tablemode = cx->concurrently ? ShareUpdateExclusiveLock : ShareLock;
	const char *reason = "it is locked for a moment, to list the partitions";
	ListCell *lc;

	cx->several = true;
	fp->no_block = true;
	if (index)
	{
		Oid table = IndexGetRelation(relid, true);

		mg_effect(fp, relid, cx->concurrently ? ShareUpdateExclusiveLock : AccessExclusiveLock,
				  MG_ROLE_TARGET, reason);
		if (OidIsValid(table))
			mg_effect(fp, table, tablemode, MG_ROLE_PARENT, reason);
	}
	else
		mg_effect(fp, relid, tablemode, MG_ROLE_TARGET, reason);

	foreach(lc, mg_tree(relid, true))
	{
		Oid part = lfirst_oid(lc);
		char partkind = get_rel_relkind(part);

		if (part == relid)
			continue;
		mg_effect(fp, part, ShareLock, MG_ROLE_CHILD, reason);
		if (partkind == RELKIND_INDEX)
		{
			Oid table = IndexGetRelation(part, true);

			if (OidIsValid(table))
				mg_reindex_relation(cx, table, part, MG_ROLE_CHILD);
		}
		else if (RELKIND_HAS_STORAGE(partkind))
			mg_reindex_relation(cx, part, InvalidOid, MG_ROLE_CHILD);
	}
}

/* REINDEX INDEX, REINDEX TABLE */
static void
mg_reindex_one(MgReindex *cx)
{
	MgFootprint *fp = cx->fp;
	Oid relid = mg_lookup_relation(fp, cx->stmt->relation, false);
	char relkind;

	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	relkind = get_rel_relkind(relid);
	if (!mg_reindex_permitted(cx, relid, relkind))
		return;

	if (relkind == RELKIND_PARTITIONED_TABLE || relkind == RELKIND_PARTITIONED_INDEX)
		mg_reindex_partitions(cx, relid, relkind);
	else if (relkind == RELKIND_INDEX)
	{
		Oid table = IndexGetRelation(relid, true);

		if (!OidIsValid(table))
			return;
		mg_reindex_relation(cx, table, relid, MG_ROLE_TARGET);
		if (fp->concurrent && mg_has_work(mg_effect_find(fp, table), MG_WORK_BUILD) == false)
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "concurrent index creation for exclusion constraints is not supported");
	}
	else
		mg_reindex_relation(cx, relid, InvalidOid, MG_ROLE_TARGET);
}

/* May the user reindex the schema or database as a whole?  cx->nspid: the schema, or InvalidOid. */
static bool
mg_reindex_many_permitted(MgReindex *cx)
{
	MgFootprint *fp = cx->fp;
	const char *name = cx->stmt->name;

	if (cx->stmt->kind == REINDEX_OBJECT_SYSTEM && cx->concurrently)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot reindex system catalogs concurrently");
	else if (cx->stmt->kind == REINDEX_OBJECT_SCHEMA)
	{
		cx->nspid = get_namespace_oid(name, true);
		if (!OidIsValid(cx->nspid))
			mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", name);
		else if (!mg_owns(NamespaceRelationId, cx->nspid) && !mg_may_maintain_all())
			mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of schema %s", name);
	}
	else if (name != NULL && strcmp(name, get_database_name(MyDatabaseId)) != 0)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "can only reindex the currently open database");
	else if (!mg_owns(DatabaseRelationId, MyDatabaseId) && !mg_may_maintain_all())
		mg_problem(fp, ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of database %s",
				   get_database_name(MyDatabaseId));
	return fp->problem == NULL;
}

/* Is this table among those that REINDEX SCHEMA, DATABASE or SYSTEM deals with? */
static bool
mg_reindex_selects(Form_pg_class form, void *arg)
{
	MgReindex *cx = arg;

	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_MATVIEW)
		return false;
	if (OidIsValid(cx->nspid) && form->relnamespace != cx->nspid)
		return false;
	if (form->relpersistence == RELPERSISTENCE_TEMP && !isTempNamespace(form->relnamespace))
		return false;
	if (cx->stmt->kind == REINDEX_OBJECT_SYSTEM && !IsSystemClass(form->oid, form))
		return false;
	if (form->relisshared && !mg_may_maintain(form->oid))
		return false;
	if (cx->concurrently && IsCatalogRelationOid(form->oid))
		return false;
	if (cx->tablespace && (!OidIsValid(form->relfilenode) || IsSystemClass(form->oid, form)))
		return false;
	return true;
}

/* REINDEX SCHEMA, DATABASE, SYSTEM */
static void
mg_reindex_many(MgReindex *cx)
{
	List *relids;
	ListCell *lc;

	if (!mg_reindex_many_permitted(cx))
		return;
	relids = mg_relations_where(mg_reindex_selects, cx);
	cx->several = true;
	foreach(lc, relids)
		mg_reindex_relation(cx, lfirst_oid(lc), InvalidOid, MG_ROLE_TARGET);
}

/* The options of REINDEX; false if core will not accept them. */
static bool
mg_reindex_options(MgReindex *cx)
{
	ListCell *lc;

	foreach(lc, cx->stmt->params)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "concurrently") == 0)
			cx->concurrently = mg_option_is_on(option);
		else if (strcmp(option->defname, "tablespace") == 0)
		{
			cx->tablespace = true;
			if (option->arg && IsA(option->arg, String) &&
				!OidIsValid(get_tablespace_oid(strVal(option->arg), true)))
				mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT, "tablespace \"%s\" does not exist",
						   strVal(option->arg));
		}
		else if (strcmp(option->defname, "verbose") != 0)
			mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR, "unrecognized REINDEX option \"%s\"",
					   option->defname);
	}
	return cx->fp->problem == NULL;
}

/* REINDEX.  stmt: a ReindexStmt. */
void
mg_footprint_reindex(MgFootprint *fp, Node *stmt)
{
	MgReindex cx = {.fp = fp, .stmt = castNode(ReindexStmt, stmt)};

	if (!mg_reindex_options(&cx))
		return;
	fp->concurrent = cx.concurrently;
	fp->no_block = cx.stmt->kind >= REINDEX_OBJECT_SCHEMA;
	switch (cx.stmt->kind)
	{
		case REINDEX_OBJECT_INDEX:
		case REINDEX_OBJECT_TABLE:
			mg_reindex_one(&cx);
			break;
		case REINDEX_OBJECT_SCHEMA:
		case REINDEX_OBJECT_SYSTEM:
		case REINDEX_OBJECT_DATABASE:
			mg_reindex_many(&cx);
			break;
	}
}
