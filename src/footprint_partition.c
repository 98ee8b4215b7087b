/*
 * footprint_partition.c
 *
 * Owns ATTACH PARTITION and DETACH PARTITION, of tables and of indexes.
 *
 * Follows ATExecAttachPartition(), QueuePartitionConstraintValidation(),
 * AttachPartitionEnsureIndexes(), CloneForeignKeyConstraints(),
 * ATExecDetachPartition(), DetachPartitionFinalize() and
 * ATExecAttachPartitionIdx() of tablecmds.c.
 */
#include "mg_alter.h"

#include "optimizer/optimizer.h"
#include "parser/parse_utilcmd.h"
#include "partitioning/partbounds.h"
#include "utils/partcache.h"

/* ------------------------------------------------------------------------
 * Which rows have to be verified?
 * ------------------------------------------------------------------------ */

/* A look at the constraints that a bound means for the tables concerned. */
typedef struct MgBound
{
	Oid parent;
	PartitionBoundSpec *spec; /* a copy */
	Oid partition;            /* to be attached, or InvalidOid */
	Oid default_partition;    /* or InvalidOid */
	List *partition_qual;     /* what the partition's rows have to satisfy, in its own numbers */
	List *default_qual;       /* the same for the default partition */
	bool locked;              /* could not look without waiting */
} MgBound;

static void
mg_close_all(List *rels)
{
	ListCell *lc;

	foreach(lc, rels)
		mg_relation_close(lfirst(lc));
}

/* Open a relation and all its ancestors without waiting; NULL if one is locked. */
static List *
mg_open_all(List *oids)
{
	List *rels = NIL;
	ListCell *lc;

	foreach(lc, oids)
	{
		Relation rel = mg_relation_open(lfirst_oid(lc));

		if (rel == NULL)
		{
			mg_close_all(rels);
			return NIL;
		}
		rels = lappend(rels, rel);
	}
	return rels;
}

/* Work out the quals with the relations open. */
static void
mg_bound_quals(MgBound *bound, Relation parent, Relation partition, Relation default_partition)
{
	ParseState *pstate = make_parsestate(NULL);
	PartitionBoundSpec *spec = transformPartitionBound(pstate, parent, bound->spec);
	List *qual = get_qual_from_partbound(parent, spec);
	List *bound_qual = mg_default_partition_base(&qual, RelationGetPartitionQual(parent));

	if (partition && qual != NIL)
	{
		List *mapped = (List *) eval_const_expressions(NULL, (Node *) copyObject(qual));

		mapped = list_make1(make_ands_explicit(mapped));
		bound->partition_qual = map_partition_varattnos(mapped, 1, partition, parent);
	}
	if (default_partition)
		bound->default_qual = map_partition_varattnos(get_proposed_default_constraint(bound_qual),
													  1, default_partition, parent);
}

static void
mg_bound_attempt(void *arg)
{
	MgBound *bound = arg;
	List *oids = list_make1_oid(bound->parent);
	List *rels;
	Relation partition = NULL;
	Relation default_partition = NULL;
	ListCell *lc;

	if (get_rel_relispartition(bound->parent))
		oids = list_concat(oids, get_partition_ancestors(bound->parent));
	if (OidIsValid(bound->partition))
		oids = lappend_oid(oids, bound->partition);
	if (OidIsValid(bound->default_partition))
		oids = lappend_oid(oids, bound->default_partition);
	rels = mg_open_all(oids);
	if (rels == NIL)
	{
		bound->locked = true;
		return;
	}
	foreach(lc, rels)
	{
		Relation rel = lfirst(lc);

		if (RelationGetRelid(rel) == bound->partition)
			partition = rel;
		else if (RelationGetRelid(rel) == bound->default_partition)
			default_partition = rel;
	}
	mg_bound_quals(bound, linitial(rels), partition, default_partition);
	mg_close_all(rels);
}

/* Constants and signs are safe to evaluate; anything else may be a function. */
static bool
mg_bound_datum_is_constant(Node *node)
{
	if (IsA(node, TypeCast))
		node = ((TypeCast *) node)->arg;
	if (IsA(node, ColumnRef)) /* MINVALUE, MAXVALUE */
		return true;
	return IsA(node, A_Const) || IsA(node, PartitionRangeDatum);
}

static bool
mg_bound_is_constant(const PartitionBoundSpec *spec)
{
	ListCell *lc;

	foreach(lc, spec->listdatums)
	{
		if (!mg_bound_datum_is_constant(lfirst(lc)))
			return false;
	}
	foreach(lc, spec->lowerdatums)
	{
		if (!mg_bound_datum_is_constant(lfirst(lc)))
			return false;
	}
	foreach(lc, spec->upperdatums)
	{
		if (!mg_bound_datum_is_constant(lfirst(lc)))
			return false;
	}
	return true;
}

/*
 * Fill in the quals of a bound.  False: they cannot be had (somebody holds a
 * table exclusively, the bound calls functions, or core will refuse it), and
 * the safe assumption is that everything is scanned.
 */
static bool
mg_bound_known(MgBound *bound)
{
	return mg_bound_is_constant(bound->spec) &&
		   mg_attempt_as_owner(bound->parent, mg_bound_attempt, bound, NULL) && !bound->locked;
}

/* Translate a qual from a partitioned table's column numbers to a partition's. */
typedef struct MgMapping
{
	List *qual;
	Oid from;
	Oid to;
} MgMapping;

static void
mg_map_attempt(void *arg)
{
	MgMapping *mapping = arg;
	List *rels = mg_open_all(list_make2_oid(mapping->from, mapping->to));

	if (rels == NIL)
	{
		mapping->qual = NIL;
		return;
	}
	mapping->qual = map_partition_varattnos(mapping->qual, 1, lsecond(rels), linitial(rels));
	mg_relation_close(linitial(rels));
	mg_relation_close(lsecond(rels));
}

/*
 * Verify the rows of a table and, if it is partitioned, of those partitions
 * whose constraints prove nothing.  qual NIL: nothing can be proven.
 */
static void
mg_verify_rows(MgFootprint *fp, Oid relid, List *qual, MgCause cause, Node *node, bool is_default)
{
	MgEffect *eff = mg_effect(fp, relid, AccessExclusiveLock,
							  is_default ? MG_ROLE_DEFAULT_PARTITION : MG_ROLE_CHILD, NULL);
	MgTask *task;
	ListCell *lc;

	check_stack_depth();
	if (qual != NIL && mg_constraints_imply(relid, qual, NIL))
	{
		mg_note(eff, "its constraints prove that no row has to be verified");
		return;
	}
	if (eff->relkind == RELKIND_PARTITIONED_TABLE)
	{
		foreach(lc, find_inheritance_children(relid, NoLock))
		{
			MgMapping mapping = {.qual = qual, .from = relid, .to = lfirst_oid(lc)};

			if (qual != NIL && !mg_attempt(mg_map_attempt, &mapping, NULL))
				mapping.qual = NIL;
			mg_verify_rows(fp, lfirst_oid(lc), mapping.qual, cause, node, is_default);
		}
		return;
	}
	if (eff->relkind != RELKIND_RELATION)
		return; /* rows of foreign tables are taken on trust */
	task = mg_task(eff, MG_WORK_SCAN, cause, node);
	task->reason =
		is_default
			? "every row of the default partition is checked not to belong to the new partition"
			: "every row is checked against the bounds of the partition";
}

/* ------------------------------------------------------------------------
 * ATTACH PARTITION
 * ------------------------------------------------------------------------ */

/* An index of the parent on one table: adopted, or built. */
static void
mg_attach_index(MgAlter *cx, Oid parent_index, Oid relid, Node *node, List **used)
{
	MgEffect *eff = mg_effect(cx->fp, relid, AccessExclusiveLock, MG_ROLE_CHILD, NULL);
	Oid match = mg_partition_index_match_unused(parent_index, cx->relid, relid, *used);
	MgTask *task;
	ListCell *lc;

	check_stack_depth();
	if (OidIsValid(match))
	{
		*used = lappend_oid(*used, match);
		mg_note(eff, "its index \"%s\" becomes part of \"%s\"", get_rel_name(match),
				get_rel_name(parent_index));
		/* one of a deeper level is found by the recursion of CREATE INDEX */
		if (get_rel_relispartition(relid))
			mg_effect(cx->fp, match, ShareLock, MG_ROLE_INDEX,
					  "the index becomes part of the new one");
	}
	else if (eff->relkind == RELKIND_PARTITIONED_TABLE)
	{
		foreach(lc, find_inheritance_children(relid, NoLock))
			mg_attach_index(cx, parent_index, lfirst_oid(lc), node, used);
	}
	else if (eff->relkind == RELKIND_RELATION)
	{
		task = mg_task(eff, MG_WORK_BUILD, MG_CAUSE_ATTACH_PARTITION_INDEX, node);
		task->reason = psprintf("it has no index that fits \"%s\" of the parent, so one is built",
								get_rel_name(parent_index));
		/* an index that is missing is described by its parent's */
		task->constraint = get_rel_name(parent_index);
	}
}

/* All indexes of the parent. */
static void
mg_attach_indexes(MgAlter *cx, Oid relid, Node *node)
{
	List *used = NIL;
	ListCell *lc;

	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		return;
	foreach(lc, mg_index_list(cx->relid))
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_INDEX)
			continue;
		mg_effect(cx->fp, lfirst_oid(lc), ShareUpdateExclusiveLock, MG_ROLE_INDEX,
				  "the index gets another part");
		mg_attach_index(cx, lfirst_oid(lc), relid, node, &used);
	}
}

/* A foreign key of the parent becomes one of the partition. */
static void
mg_attach_fkey(MgAlter *cx, HeapTuple tuple, Oid relid, Node *node)
{
	Form_pg_constraint form = mg_constraint_of(tuple);
	MgFkeyShape shape;
	bool valid;
	ListCell *lc;

	mg_lock_referenced(cx->fp, form->confrelid, ShareRowExclusiveLock,
					   "the foreign key of the parent adds triggers to the table it references");
	if (mg_fkey_shape_of_row(relid, tuple, &shape) &&
		OidIsValid(mg_fkey_find(cx->fp, relid, &shape, &valid)))
	{
		if (shape.enforced) /* otherwise there are no triggers */
			mg_lock_referenced(
				cx->fp, form->confrelid, AccessExclusiveLock,
				"the partition has the foreign key already, and its triggers here are merged");
		if (!valid && form->convalidated)
			mg_adopt_invalid_fkey(cx, relid, form->confrelid, MG_CAUSE_ATTACH_PARTITION, node,
								  pstrdup(NameStr(form->conname)));
	}
	else if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
	{
		foreach(lc, find_inheritance_children(relid, NoLock))
			mg_attach_fkey(cx, tuple, lfirst_oid(lc), node);
	}
	else if (mg_row_enforced(form))
		mg_validate_fkey(mg_tab(cx, relid, MG_ROLE_CHILD), form->confrelid,
						 MG_CAUSE_ATTACH_PARTITION, node, pstrdup(NameStr(form->conname)), false);
}

/* Foreign keys of the parent, and those that reference it. */
static void
mg_attach_fkeys(MgAlter *cx, Oid relid, Node *node)
{
	List *fkeys = mg_fkey_rows_of(cx->relid);
	List *referencing = mg_fkey_rows_to(cx->relid);
	ListCell *lc;

	foreach(lc, fkeys)
	{
		if (!mg_among_constraints(fkeys, mg_constraint_of(lfirst(lc))->conparentid))
			mg_attach_fkey(cx, lfirst(lc), relid, node);
	}
	foreach(lc, referencing)
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));

		/* one that was derived for a partition comes with its parent's */
		if (!mg_among_constraints(referencing, form->conparentid))
			mg_effect(cx->fp, form->conrelid, ShareRowExclusiveLock, MG_ROLE_PEER,
					  "its foreign key to the parent gets another table to reference");
	}
}

/*
 * Will an index that is attached to a partitioned one make that one valid, and
 * perhaps those above it?  Follows validatePartitionedIndex().
 */
static void
mg_attach_validates(MgAlter *cx, Oid parent_index, Oid index)
{
	char relkind = get_rel_relkind(index);
	bool valid = relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX;

	if (!valid)
		return;
	valid = get_index_isvalid(index);
	for (;;)
	{
		Oid table = IndexGetRelation(parent_index, true);
		List *attached = find_inheritance_children(parent_index, NoLock);
		int nvalid = 0;
		ListCell *lc;

		foreach(lc, list_append_unique_oid(attached, index))
		{
			if (lfirst_oid(lc) == index ? valid : get_index_isvalid(lfirst_oid(lc)))
				nvalid++;
		}
		if (nvalid < list_length(find_inheritance_children(table, NoLock)) ||
			!get_rel_relispartition(parent_index))
			return;

		index = parent_index;
		valid = true;
		parent_index = get_partition_parent(index, false);
		mg_effect(cx->fp, get_partition_parent(table, false), AccessExclusiveLock, MG_ROLE_PARENT,
				  "its index becomes valid with the last partition's");
		mg_effect(cx->fp, parent_index, AccessExclusiveLock, MG_ROLE_INDEX,
				  "it becomes valid if no partition lacks its index any more");
	}
}

/* ALTER INDEX ... ATTACH PARTITION: nothing is built. */
static void
mg_attach_partitioned_index(MgAlter *cx, PartitionCmd *part)
{
	Oid index = mg_lookup_relation(cx->fp, part->name, false);

	if (!OidIsValid(index) || !mg_check_owner(cx->fp, index))
		return;
	mg_effect(cx->fp, index, AccessExclusiveLock, MG_ROLE_INDEX,
			  "the index becomes part of the partitioned index");
	mg_attach_validates(cx, cx->relid, index);
}

/* What core refuses before it looks at any row. */
static bool
mg_attach_allowed(MgAlter *cx, Oid relid)
{
	char *name = get_rel_name(relid);

	if (!mg_check_owner(cx->fp, relid))
		return false;
	if (cx->relkind != RELKIND_PARTITIONED_TABLE)
		mg_problem(cx->fp, ERRCODE_INVALID_OBJECT_DEFINITION, "table \"%s\" is not partitioned",
				   get_rel_name(cx->relid));
	else if (get_rel_relispartition(relid))
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is already a partition", name);
	else if (has_superclass(relid))
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "cannot attach inheritance child as partition");
	else if (get_rel_relkind(relid) == RELKIND_RELATION && has_subclass(relid) &&
			 find_inheritance_children(relid, NoLock) != NIL)
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "cannot attach inheritance parent as partition");
	else
		return mg_check_merge(cx->fp, relid, cx->relid);
	return false;
}

/* ATTACH PARTITION. */
void
mg_alter_attach(MgAlter *cx, AlterTableCmd *cmd)
{
	PartitionCmd *part = castNode(PartitionCmd, cmd->def);
	MgBound bound = {.parent = cx->relid};
	bool known;
	ListCell *lc;

	if (cx->relkind == RELKIND_PARTITIONED_INDEX)
	{
		mg_attach_partitioned_index(cx, part);
		return;
	}
	bound.partition = mg_lookup_relation(cx->fp, part->name, false);
	cx->fp->target_is_new = false;
	if (cx->fp->problem || (OidIsValid(bound.partition) && !mg_attach_allowed(cx, bound.partition)))
		return;
	bound.spec = copyObject(part->bound);
	bound.default_partition = get_default_partition_oid(cx->relid);
	mg_effect(cx->fp, bound.default_partition, AccessExclusiveLock, MG_ROLE_DEFAULT_PARTITION,
			  "the bounds of the default partition change");
	if (OidIsValid(bound.partition))
	{
		foreach(lc, mg_tree(bound.partition, true))
			mg_effect(cx->fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_CHILD,
					  "it becomes a partition");
		mg_attach_indexes(cx, bound.partition, (Node *) cmd);
		mg_attach_fkeys(cx, bound.partition, (Node *) cmd);
	}
	known = mg_bound_known(&bound);
	if (OidIsValid(bound.partition) && !(known && bound.partition_qual == NIL))
		mg_verify_rows(cx->fp, bound.partition, known ? bound.partition_qual : NIL,
					   MG_CAUSE_ATTACH_PARTITION, (Node *) cmd, false);
	if (OidIsValid(bound.default_partition))
		mg_verify_rows(cx->fp, bound.default_partition, known ? bound.default_qual : NIL,
					   MG_CAUSE_ATTACH_PARTITION, (Node *) cmd, true);
}

/* ------------------------------------------------------------------------
 * DETACH PARTITION
 * ------------------------------------------------------------------------ */

/* The partition's own foreign keys become independent of the parent's. */
static void
mg_detach_fkeys_of(MgAlter *cx, Oid partition)
{
	List *fkeys = mg_fkey_rows_of(partition);
	ListCell *lc;

	foreach(lc, fkeys)
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));

		if (OidIsValid(form->conparentid) && !mg_among_constraints(fkeys, form->conparentid))
			mg_lock_referenced(cx->fp, form->confrelid, ShareRowExclusiveLock,
							   "the foreign key of the partition gets triggers of its own here");
	}
}

/* Read a referencing table, or its partitions, for rows that reference the partition. */
static void
mg_detach_check(MgAlter *cx, Form_pg_constraint form, Oid partition, Node *node)
{
	bool partitioned = get_rel_relkind(form->conrelid) == RELKIND_PARTITIONED_TABLE;
	MgSize size;
	ListCell *lc;

	foreach(lc, mg_tree(form->conrelid, partitioned))
	{
		MgEffect *leaf = mg_effect(cx->fp, lfirst_oid(lc), AccessShareLock, MG_ROLE_PEER, NULL);
		MgTask *task;

		if (!mg_has_storage(leaf->relkind))
			continue;
		task = mg_task(leaf, MG_WORK_SCAN, MG_CAUSE_DETACH_PARTITION, node);
		task->constraint = pstrdup(NameStr(form->conname));
		task->reason = "every row is checked not to reference the partition";
	}
	mg_relation_size(form->conrelid, &size);
	if (size.heap > 0 && get_rel_relkind(partition) == RELKIND_RELATION)
		mg_task(mg_effect_find(cx->fp, partition), MG_WORK_LOOKUP, MG_CAUSE_DETACH_PARTITION, node)
			->reason = "its rows are looked up for references";
}

/* Tables that reference the parent must not reference rows that leave it. */
static void
mg_detach_fkeys_to(MgAlter *cx, Oid partition, Node *node, bool check_references)
{
	ListCell *lc;

	foreach(lc, mg_fkey_rows_to(partition))
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));

		if (OidIsValid(form->conparentid))
		{
			mg_effect(cx->fp, form->conrelid, AccessExclusiveLock, MG_ROLE_PEER,
					  "its foreign key no longer covers the partition");
			if (check_references)
				mg_detach_check(cx, form, partition, node);
		}
	}
}

/* Indexes of the partition that belong to indexes of the parent. */
static void
mg_detach_indexes(MgAlter *cx, Oid partition)
{
	ListCell *lc;

	foreach(lc, mg_index_list(partition))
	{
		if (get_rel_relispartition(lfirst_oid(lc)))
			mg_effect(cx->fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_INDEX,
					  "the index becomes independent of the parent's");
	}
}

/* What both DETACH and FINALIZE do to the partition. */
static void
mg_detach_partition(MgAlter *cx, Oid partition, Node *node, bool check_references)
{
	ListCell *lc;

	mg_effect(cx->fp, partition, AccessExclusiveLock, MG_ROLE_CHILD, "it ceases to be a partition");
	foreach(lc, mg_tree(partition, true))
		mg_effect(cx->fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_CHILD,
				  "it leaves the partition tree");
	mg_detach_fkeys_of(cx, partition);
	mg_detach_fkeys_to(cx, partition, node, check_references);
	mg_detach_indexes(cx, partition);
}

/* The partition named; InvalidOid if core will refuse it. */
static Oid
mg_detach_lookup(MgAlter *cx, PartitionCmd *part)
{
	Oid partition = mg_lookup_relation(cx->fp, part->name, false);

	if (!OidIsValid(partition))
		return InvalidOid;
	if (!get_rel_relispartition(partition) || get_partition_parent(partition, true) != cx->relid)
	{
		mg_problem(cx->fp, ERRCODE_UNDEFINED_TABLE,
				   "relation \"%s\" is not a partition of relation \"%s\"", get_rel_name(partition),
				   get_rel_name(cx->relid));
		return InvalidOid;
	}
	return partition;
}

/* DETACH PARTITION, also CONCURRENTLY. */
void
mg_alter_detach(MgAlter *cx, AlterTableCmd *cmd)
{
	PartitionCmd *part = castNode(PartitionCmd, cmd->def);
	Oid default_partition = get_default_partition_oid(cx->relid);
	Oid partition = mg_detach_lookup(cx, part);

	if (!OidIsValid(partition))
		return;
	if (part->concurrent)
	{
		cx->fp->concurrent = true;
		if (OidIsValid(default_partition))
		{
			mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					   "cannot detach partitions concurrently when a default partition exists");
			return;
		}
	}
	mg_effect(cx->fp, default_partition, AccessExclusiveLock, MG_ROLE_DEFAULT_PARTITION,
			  "the bounds of the default partition change");
	mg_detach_partition(cx, partition, (Node *) cmd, true);
}

/* DETACH PARTITION ... FINALIZE: the second half of CONCURRENTLY. */
void
mg_alter_detach_finalize(MgAlter *cx, AlterTableCmd *cmd)
{
	Oid partition = mg_detach_lookup(cx, castNode(PartitionCmd, cmd->def));

	if (OidIsValid(partition))
		mg_detach_partition(cx, partition, (Node *) cmd, false);
}
