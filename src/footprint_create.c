/*
 * footprint_create.c
 *
 * Owns the footprint of CREATE TABLE: what making a new table does to the
 * relations that are there already.  The table itself is nobody's obstacle,
 * and is not in its own footprint.  Follows transformCreateStmt() of
 * parse_utilcmd.c and DefineRelation() of tablecmds.c.
 */
#include "mg.h"

#include "catalog/namespace.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_utilcmd.h"
#include "partitioning/partbounds.h"

/* as many schemas of search_path as are looked at */
#define MG_MAX_PATH 32

/* What mg_default_constraint() needs, and returns. */
typedef struct MgDefaultJob
{
	Relation parent;
	Relation part;             /* the default partition */
	PartitionBoundSpec *bound; /* raw */
	const char *source;
	List *constraint; /* what the default partition's rows will have to satisfy */
} MgDefaultJob;

/* Would the name mean the table that the statement makes? */
static bool
mg_names_new_table(CreateStmt *stmt, const RangeVar *rv)
{
	if (strcmp(rv->relname, stmt->relation->relname) != 0)
		return false;
	if (rv->schemaname == NULL || stmt->relation->schemaname == NULL)
		return true;
	return strcmp(rv->schemaname, stmt->relation->schemaname) == 0;
}

/* Look up a relation that is not the statement's target, without touching target_is_new. */
Oid
mg_lookup_other(MgFootprint *fp, const RangeVar *rv)
{
	bool target_is_new = fp->target_is_new;
	Oid relid = mg_lookup_relation(fp, rv, false);

	fp->target_is_new = target_is_new;
	return relid;
}

/* ------------------------------------------------------------------------
 * Name
 * ------------------------------------------------------------------------ */

/* Where the table will be made; InvalidOid if that cannot be told without making something. */
Oid
mg_creation_namespace(const RangeVar *rv)
{
	Oid path[MG_MAX_PATH];
	int length;

	if (rv->relpersistence == RELPERSISTENCE_TEMP ||
		(rv->schemaname && strcmp(rv->schemaname, "pg_temp") == 0))
		return LookupNamespaceNoError("pg_temp");
	if (rv->schemaname)
		return get_namespace_oid(rv->schemaname, true);
	if (strncmp(namespace_search_path + strspn(namespace_search_path, " \t\n\r\""), "pg_temp",
				strlen("pg_temp")) == 0)
		return InvalidOid;

	/* asking in the way that core does it might make a schema for temporary tables */
	length = Min(fetch_search_path_array(path, MG_MAX_PATH), MG_MAX_PATH);
	for (int i = 0; i < length; i++)
	{
		if (path[i] != PG_CATALOG_NAMESPACE)
			return path[i];
	}
	return InvalidOid;
}

/* A schema that a new relation is to be in has to be there; a script may have made it. */
bool
mg_check_new_schema(MgFootprint *fp, const RangeVar *rv)
{
	if (rv->schemaname == NULL || strcmp(rv->schemaname, "pg_temp") == 0 ||
		OidIsValid(get_namespace_oid(rv->schemaname, true)) || (fp->script && fp->script->changed))
		return true;
	mg_problem(fp, ERRCODE_UNDEFINED_SCHEMA, "schema \"%s\" does not exist", rv->schemaname);
	return false;
}

/* Is the name taken?  Then core refuses, or does nothing at all with IF NOT EXISTS. */
bool
mg_name_is_taken(MgFootprint *fp, const RangeVar *rv, bool if_not_exists)
{
	Oid nspid = mg_creation_namespace(rv);
	Oid existing;
	bool earlier = false; /* made by an earlier statement of the script */

	if (!OidIsValid(nspid))
		return false;
	existing = get_relname_relid(rv->relname, nspid);
	if (fp->script)
	{
		earlier = mg_script_creates(fp->script, rv);
		if (mg_script_gone(fp->script, existing))
			existing = InvalidOid;
	}
	if (!OidIsValid(existing) && !earlier)
		return false;
	if (!if_not_exists)
		mg_problem(fp, ERRCODE_DUPLICATE_TABLE, "relation \"%s\" already exists", rv->relname);
	return true;
}

/* ------------------------------------------------------------------------
 * The default partition
 * ------------------------------------------------------------------------ */

/* Does evaluating a bound call functions that the statement names? */
static bool
mg_calls_something(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (!IsA(node, List) && !IsA(node, A_Const) && !IsA(node, TypeCast) && !IsA(node, TypeName) &&
		!IsA(node, ColumnRef) && !IsA(node, String) && !IsA(node, Integer))
		return true;
	return raw_expression_tree_walker(node, mg_calls_something, context);
}

/*
 * The constraint of the default partition once the new partition exists;
 * runs in mg_attempt_as_owner().  Follows check_default_partition_contents().
 */
static void
mg_default_constraint(void *arg)
{
	MgDefaultJob *job = arg;
	ParseState *pstate = make_parsestate(NULL);
	PartitionBoundSpec *bound;

	pstate->p_sourcetext = job->source;
	bound = transformPartitionBound(pstate, job->parent, copyObject(job->bound));
	job->constraint = get_proposed_default_constraint(get_qual_from_partbound(job->parent, bound));
	job->constraint = map_partition_varattnos(job->constraint, 1, job->part, job->parent);
	free_parsestate(pstate);
}

/* The same, or NIL if it cannot be told. */
static List *
mg_proposed_constraint(MgFootprint *fp, PartitionBoundSpec *bound, Oid parent, Oid part)
{
	MgDefaultJob job = {.bound = bound, .source = fp->source};

	if (mg_calls_something((Node *) bound->listdatums, NULL) ||
		mg_calls_something((Node *) bound->lowerdatums, NULL) ||
		mg_calls_something((Node *) bound->upperdatums, NULL))
		return NIL;
	job.parent = mg_relation_open(parent);
	job.part = job.parent ? mg_relation_open(part) : NULL;
	if (job.part && !mg_attempt_as_owner(parent, mg_default_constraint, &job, NULL))
		job.constraint = NIL;
	if (job.part)
		mg_relation_close(job.part);
	if (job.parent)
		mg_relation_close(job.parent);
	return job.constraint;
}

/* The default partition gives up the new partition's share of the rows. */
static void
mg_create_default_partition(MgFootprint *fp, CreateStmt *stmt, Oid parent, Oid part)
{
	List *constraint = mg_proposed_constraint(fp, stmt->partbound, parent, part);
	MgEffect *eff = mg_effect(fp, part, AccessExclusiveLock, MG_ROLE_DEFAULT_PARTITION,
							  "the default partition's constraint changes");
	ListCell *lc;

	if (constraint != NIL && mg_constraints_imply(part, copyObject(constraint), NIL))
	{
		mg_note(eff, "its own constraints prove that it has no row for the new partition");
		return;
	}
	foreach(lc, mg_tree(part, eff->relkind == RELKIND_PARTITIONED_TABLE))
	{
		MgTask *task;

		eff = mg_effect(fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_DEFAULT_PARTITION,
						"the default partition's constraint changes");
		if (eff->relkind != RELKIND_RELATION)
			continue;
		if (lfirst_oid(lc) != part && constraint != NIL &&
			mg_constraints_imply(lfirst_oid(lc), copyObject(constraint), NIL))
		{
			mg_note(eff, "its own constraints prove that it has no row for the new partition");
			continue;
		}
		task = mg_task(eff, MG_WORK_SCAN, MG_CAUSE_CREATE_PARTITION, (Node *) stmt);
		task->reason = "the default partition is read to see whether it has rows for the new "
					   "partition";
	}
}

/* ------------------------------------------------------------------------
 * Parents
 * ------------------------------------------------------------------------ */

static bool
mg_index_is_unique(Oid index)
{
	Form_pg_index form = mg_index_form(index);

	return form && form->indisunique;
}

/* The indexes of the parent get a partition each, unless the partition is a foreign table. */
static void
mg_create_partition_indexes(MgFootprint *fp, CreateStmt *stmt, Oid parent)
{
	ListCell *lc;

	foreach(lc, mg_index_list(parent))
	{
		if (IsA(stmt, CreateForeignTableStmt))
		{
			/* with a default partition, that is read before core refuses */
			if (!mg_index_is_unique(lfirst_oid(lc)) ||
				OidIsValid(get_default_partition_oid(parent)))
				continue;
			mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE,
					   "cannot create foreign partition of partitioned table \"%s\"",
					   get_rel_name(parent));
			fp->problem->detail = psprintf("Table \"%s\" contains indexes that are unique.",
										   get_rel_name(parent));
			return;
		}
		mg_effect(fp, lfirst_oid(lc), ShareUpdateExclusiveLock, MG_ROLE_INDEX,
				  "the new partition's index becomes a partition of it");
	}
}

/*
 * Foreign keys from and to the parent are made for the new partition too; a
 * key that came from one of the parent's own parents is not made twice.
 * Follows CloneForeignKeyConstraints().
 */
static void
mg_create_partition_fkeys(MgFootprint *fp, Oid parent)
{
	List *fkeys = mg_fkey_rows_to(parent);
	List *referenced = NIL;
	ListCell *lc;

	foreach(lc, mg_fkey_rows_of(parent))
		referenced = list_append_unique_oid(referenced, mg_constraint_of(lfirst(lc))->confrelid);
	foreach(lc, referenced)
		mg_lock_referenced(fp, lfirst_oid(lc), ShareRowExclusiveLock,
						   "the new partition gets the parent's foreign key to it");
	foreach(lc, fkeys)
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));

		if (!mg_among_constraints(fkeys, form->conparentid))
			mg_effect(fp, form->conrelid, ShareRowExclusiveLock, MG_ROLE_PEER,
					  "its foreign key is extended to the new partition");
	}
}

/* Can a relation have partitions of this kind?  Follows MergeAttributes(). */
static bool
mg_check_parent(MgFootprint *fp, CreateStmt *stmt, Oid parent)
{
	char relkind = get_rel_relkind(parent);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_FOREIGN_TABLE &&
		relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "inherited relation \"%s\" is not a table or foreign table",
				   get_rel_name(parent));
	else if (relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(fp, ERRCODE_INVALID_OBJECT_DEFINITION, "\"%s\" is not partitioned",
				   get_rel_name(parent));
	else if (stmt->relation->relpersistence == RELPERSISTENCE_TEMP &&
			 get_rel_persistence(parent) != RELPERSISTENCE_TEMP)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "cannot create a temporary relation as partition of permanent relation \"%s\"",
				   get_rel_name(parent));
	return fp->problem == NULL;
}

/* PARTITION OF */
static void
mg_create_partition(MgFootprint *fp, CreateStmt *stmt, Oid parent)
{
	Oid part;

	fp->target = parent;
	mg_effect(fp, parent, AccessExclusiveLock, MG_ROLE_PARENT, "a partition is added to it");
	if (!mg_check_parent(fp, stmt, parent))
		return;
	part = get_default_partition_oid(parent);
	if (OidIsValid(part))
		mg_create_default_partition(fp, stmt, parent, part);
	mg_create_partition_indexes(fp, stmt, parent);
	mg_create_partition_fkeys(fp, parent);
}

/* INHERITS and PARTITION OF */
static void
mg_create_parents(MgFootprint *fp, CreateStmt *stmt)
{
	ListCell *lc;

	foreach(lc, stmt->inhRelations)
	{
		Oid parent = mg_lookup_other(fp, lfirst_node(RangeVar, lc));

		if (fp->problem)
			return;
		if (!OidIsValid(parent))
			continue;
		if (!mg_owns(RelationRelationId, parent))
		{
			(void) mg_check_owner(fp, parent);
			return;
		}
		if (stmt->partbound)
			mg_create_partition(fp, stmt, parent);
		else
			mg_effect(fp, parent, ShareUpdateExclusiveLock, MG_ROLE_PARENT,
					  "the new table inherits from it; its rows are not read");
	}
}

/* ------------------------------------------------------------------------
 * Foreign keys
 * ------------------------------------------------------------------------ */

/* How long the new table lasts; zero: that cannot be told. */
static char
mg_new_persistence(const RangeVar *rv)
{
	Oid nspid = mg_creation_namespace(rv);

	if (rv->relpersistence != RELPERSISTENCE_PERMANENT)
		return rv->relpersistence;
	if (!OidIsValid(nspid))
		return '\0';
	return isTempNamespace(nspid) ? RELPERSISTENCE_TEMP : RELPERSISTENCE_PERMANENT;
}

/*
 * A foreign key of the new table: the other one gets triggers, and nobody
 * needs to look for rows that are not there yet.
 */
static void
mg_create_fkey(MgFootprint *fp, CreateStmt *stmt, Constraint *con)
{
	Oid relid;
	char relkind;

	if (con->contype != CONSTR_FOREIGN || con->pktable == NULL || fp->problem ||
		mg_names_new_table(stmt, con->pktable))
		return;
	relid = mg_lookup_other(fp, con->pktable);
	if (!OidIsValid(relid))
		return;
	relkind = get_rel_relkind(relid);
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "referenced relation \"%s\" is not a table",
				   get_rel_name(relid));
	else if (mg_fits_persistence(fp, mg_new_persistence(stmt->relation), relid) &&
			 mg_may_reference(fp, relid, con))
		mg_lock_referenced(fp, relid, ShareRowExclusiveLock,
						   "a foreign key of the new table references it; no rows are read, "
						   "because the new table is empty");
}

static void
mg_create_fkeys(MgFootprint *fp, CreateStmt *stmt)
{
	ListCell *lc;

	foreach(lc, stmt->tableElts)
	{
		Node *element = lfirst(lc);
		ListCell *lc2;

		if (IsA(element, Constraint))
			mg_create_fkey(fp, stmt, (Constraint *) element);
		else if (IsA(element, ColumnDef))
		{
			foreach(lc2, ((ColumnDef *) element)->constraints)
				mg_create_fkey(fp, stmt, lfirst_node(Constraint, lc2));
		}
	}
}

/*
 * CREATE TABLE.  stmt: a raw CreateStmt, or the CreateForeignTableStmt that it
 * is the first part of.  The target of the footprint is the
 * parent of a partition, otherwise none.
 */
void
mg_footprint_create_table(MgFootprint *fp, Node *node)
{
	CreateStmt *stmt = (CreateStmt *) node;

	if (mg_name_is_taken(fp, stmt->relation, stmt->if_not_exists))
		return;
	mg_create_parents(fp, stmt);
	if (fp->problem == NULL)
		mg_create_fkeys(fp, stmt);
}
