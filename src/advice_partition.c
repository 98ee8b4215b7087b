/*
 * advice_partition.c
 *
 * Owns the advice for ATTACH and DETACH PARTITION, and for CREATE TABLE ...
 * PARTITION OF: bounds are proven by CHECK constraints, which can be validated
 * without blocking; indexes and foreign keys of the parent are made before.
 */
#include "mg.h"

#include "advice.h"
#include "mg_alter.h"

typedef struct MgBoundText
{
	Oid parent;
	PartitionBoundSpec *spec; /* raw */
	Oid partition;            /* to be attached, or InvalidOid */
	Oid default_partition;    /* or InvalidOid */
	char *text;               /* "FOR VALUES ..." */
	char *check;              /* what rows of the partition have to satisfy */
	char *default_check;      /* what no row of the default partition may satisfy */
} MgBoundText;

/* A partition constraint of the parent in the words of a child. */
static char *
mg_text_quals(List *quals, Relation parent, Oid child)
{
	Relation rel = mg_relation_open(child);
	char *text;

	if (rel == NULL)
		return NULL;
	quals = map_partition_varattnos(quals, 1, rel, parent);
	text = deparse_expression((Node *) make_ands_explicit(quals),
							  deparse_context_for(RelationGetRelationName(rel), child), false,
							  false);
	mg_relation_close(rel);
	return text;
}

/*
 * What the bounds of a relation and of its ancestors ask of its rows, as
 * RelationGetPartitionQual() has it.  That one may wait for ancestors, and
 * keeps them locked; this one gives up (*ok becomes false).
 */
static List *
mg_partition_quals(Oid relid, bool *ok)
{
	Relation rel;
	Relation parent;
	HeapTuple tuple;
	Datum bound = (Datum) 0;
	bool isnull = true;
	List *quals;
	Oid parentid;

	if (!get_rel_relispartition(relid))
		return NIL;
	parentid = get_partition_parent(relid, true);
	quals = mg_partition_quals(parentid, ok);
	rel = mg_relation_open(relid);
	parent = mg_relation_open(parentid);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (HeapTupleIsValid(tuple))
		bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (rel == NULL || parent == NULL || isnull)
		*ok = false;
	else
	{
		PartitionBoundSpec *spec = stringToNode(TextDatumGetCString(bound));

		quals = list_concat(quals, get_qual_from_partbound(parent, spec));
		quals = map_partition_varattnos(quals, 1, rel, parent);
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (parent)
		mg_relation_close(parent);
	if (rel)
		mg_relation_close(rel);
	return quals;
}

/* Would working out a bound run functions: in an expression, or behind a domain? */
static bool
mg_bound_runs_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncCall) || IsA(node, A_Expr) || IsA(node, SubLink))
		return true;
	return raw_expression_tree_walker(node, mg_bound_runs_code, context);
}

static bool
mg_bound_is_simple(Relation parent, PartitionBoundSpec *spec)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	ListCell *lc;

	for (int i = 0; i < key->partnatts; i++)
	{
		if (get_typtype(key->parttypid[i]) == TYPTYPE_DOMAIN)
			return false;
	}
	foreach(lc, list_concat_copy(list_concat_copy(spec->listdatums, spec->lowerdatums),
								 spec->upperdatums))
	{
		Node *datum = lfirst(lc);

		if (IsA(datum, PartitionRangeDatum))
			datum = castNode(PartitionRangeDatum, datum)->value;
		if (mg_bound_runs_code(datum, NULL))
			return false;
	}
	return true;
}

/* Ask core what a bound means, as ATExecAttachPartition() does. */
static void
mg_bound(void *arg)
{
	MgBoundText *bound = arg;
	ParseState *pstate = make_parsestate(NULL);
	Relation parent = mg_relation_open(bound->parent);
	bool ok = true;
	PartitionBoundSpec *spec;
	List *quals;

	if (parent == NULL)
		return;
	if (mg_bound_is_simple(parent, bound->spec))
	{
		spec = transformPartitionBound(pstate, parent, copyObject(bound->spec));
		quals = get_qual_from_partbound(parent, spec);
		if (OidIsValid(bound->default_partition) && !spec->is_default)
			bound->default_check = mg_text_quals(copyObject(quals), parent,
												 bound->default_partition);
		quals = list_concat(quals, mg_partition_quals(bound->parent, &ok));
		if (OidIsValid(bound->partition) && quals && ok)
			bound->check = mg_text_quals(quals, parent, bound->partition);
		if (ok)
			bound->text = deparse_expression((Node *) spec, NIL, false, false);
	}
	mg_relation_close(parent);
	free_parsestate(pstate);
}

/* Add a CHECK and validate it; returns the statement that takes it away again. */
static char *
mg_sql_helper_check(StringInfo buf, Oid relid, const char *label, const char *check)
{
	const char *table = mg_qualified_name(relid);
	const char *name = quote_identifier(
		ChooseConstraintName(get_rel_name(relid), NULL, label, get_rel_namespace(relid), NIL));

	mg_sql_constraint(buf, table, name, psprintf("CHECK (%s)", check));
	return psprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, name);
}

/* Does ATTACH PARTITION read a relation, or a part of it, because of its bounds? */
static bool
mg_attach_reads(MgFootprint *fp, Oid relid)
{
	ListCell *lc;

	if (!OidIsValid(relid))
		return false;
	foreach(lc, mg_tree(relid, true))
	{
		MgEffect *eff = mg_effect_find(fp, lfirst_oid(lc));
		ListCell *lc2;

		foreach(lc2, eff ? eff->tasks : NIL)
		{
			MgTask *task = lfirst(lc2);

			if (task->cause == MG_CAUSE_ATTACH_PARTITION && task->constraint == NULL)
				return true;
		}
	}
	return false;
}

/* One foreign key of the parent, on a partition or on its leaves. */
static void
mg_sql_partition_fkey(StringInfo buf, Oid conid, Oid partition)
{
	const char *text = mg_text_constraint(conid);
	List *taken = NIL;
	ListCell *lc;

	foreach(lc, text ? mg_tree(partition, true) : NIL)
	{
		Oid leaf = lfirst_oid(lc);
		char *name;

		if (get_rel_relkind(leaf) != RELKIND_RELATION)
			continue;
		name = ChooseConstraintName(get_rel_name(leaf), get_constraint_name(conid), "fkey",
									get_rel_namespace(leaf), taken);
		taken = lappend(taken, name);
		mg_sql_constraint(buf, mg_qualified_name(leaf), quote_identifier(name), text);
	}
}

/* The foreign keys of the parent that would be validated with the ATTACH. */
static void
mg_sql_partition_fkeys(MgFootprint *fp, StringInfo buf, Oid partition)
{
	List *names = NIL;
	ListCell *lc;

	foreach(lc, mg_tree(partition, true))
	{
		MgEffect *eff = mg_effect_find(fp, lfirst_oid(lc));
		ListCell *lc2;

		foreach(lc2, eff ? eff->tasks : NIL)
		{
			MgTask *task = lfirst(lc2);

			if (task->cause == MG_CAUSE_ATTACH_PARTITION && task->constraint)
				names = list_append_unique(names, makeString(pstrdup(task->constraint)));
		}
	}
	foreach(lc, mg_fkey_rows_of(fp->target))
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));

		if (list_member(names, makeString(NameStr(form->conname))))
			mg_sql_partition_fkey(buf, form->oid, partition);
	}
}

/*
 * ATTACH PARTITION, whichever of the two rules about it: all that the server
 * would do under its strong locks is done before.
 */
char *
mg_advise_attach_partition(MgFootprint *fp, MgFinding *finding)
{
	AlterTableCmd *cmd = mg_subcommand(fp, linitial(mg_nodes(finding)));
	MgBoundText bound = {.parent = fp->target};
	char *drop = NULL;
	char *drop_default = NULL;
	StringInfoData buf;

	initStringInfo(&buf);
	if (cmd == NULL || cmd->subtype != AT_AttachPartition)
		return NULL;
	bound.spec = castNode(PartitionCmd, cmd->def)->bound;
	bound.partition = RangeVarGetRelid(castNode(PartitionCmd, cmd->def)->name, NoLock, true);
	bound.default_partition = get_default_partition_oid(fp->target);
	if (!OidIsValid(bound.partition) || !mg_attempt(mg_bound, &bound, NULL) || bound.text == NULL)
	{
		mg_say(&buf, "First give the partition the indexes and foreign keys of the parent, and a "
					 "CHECK that says the same as the bounds, NOT VALID, and VALIDATE it.");
		return buf.data;
	}
	mg_say_apart(fp, &buf,
				 "give the partition what the ATTACH would verify or build, without "
				 "blocking anybody");
	if (bound.check && mg_attach_reads(fp, bound.partition))
		drop = mg_sql_helper_check(&buf, bound.partition, "bound", bound.check);
	if (bound.default_check && mg_attach_reads(fp, bound.default_partition))
		drop_default = mg_sql_helper_check(&buf, bound.default_partition, "default_bound",
										   psprintf("NOT (%s)", bound.default_check));
	mg_sql_partition_lacks(&buf, fp->target, bound.partition);
	mg_sql_partition_fkeys(fp, &buf, bound.partition);
	mg_sql(&buf, "ALTER TABLE %s ATTACH PARTITION %s %s", mg_qualified_name(fp->target),
		   mg_qualified_name(bound.partition), bound.text);
	if (drop)
		mg_sql(&buf, "%s", drop);
	if (drop_default)
		mg_sql(&buf, "%s", drop_default);
	return buf.data;
}

/* Does CREATE TABLE ... PARTITION OF say nothing but name, parent and bounds? */
static bool
mg_is_plain_partition(CreateStmt *stmt)
{
	return stmt->tableElts == NIL && stmt->partspec == NULL && stmt->options == NIL &&
		   stmt->tablespacename == NULL && stmt->accessMethod == NULL &&
		   stmt->relation->relpersistence == RELPERSISTENCE_PERMANENT;
}

char *
mg_advise_create_partition(MgFootprint *fp, MgFinding *finding)
{
	/* inside of CREATE SCHEMA, and as a foreign table, too */
	CreateStmt *stmt = (CreateStmt *) linitial(mg_nodes(finding));
	Oid parent = RangeVarGetRelid(linitial_node(RangeVar, stmt->inhRelations), NoLock, true);
	MgBoundText bound = {.parent = parent, .spec = stmt->partbound};
	const char *name;
	const char *drop;
	StringInfoData buf;

	initStringInfo(&buf);
	bound.default_partition = get_default_partition_oid(parent);
	if (!mg_attempt(mg_bound, &bound, NULL) || bound.default_check == NULL)
	{
		mg_say(&buf, "First add a CHECK to the default partition that excludes the new bounds, NOT "
					 "VALID, and VALIDATE it.");
		return buf.data;
	}
	mg_say_apart(fp, &buf,
				 "prove by a CHECK that the default partition has no such rows, which is "
				 "validated without blocking anybody");
	drop = mg_sql_helper_check(&buf, bound.default_partition, "default_bound",
							   psprintf("NOT (%s)", bound.default_check));
	if (IsA(fp->stmt, CreateStmt) && mg_is_plain_partition(stmt))
	{
		name = stmt->relation->schemaname
				 ? quote_qualified_identifier(stmt->relation->schemaname, stmt->relation->relname)
				 : quote_identifier(stmt->relation->relname);
		mg_sql(&buf, "CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY)", name,
			   mg_qualified_name(parent));
		mg_sql(&buf, "ALTER TABLE %s ATTACH PARTITION %s %s", mg_qualified_name(parent), name,
			   bound.text);
	}
	else
		mg_say(&buf, "Then run the statement again, and drop the CHECK:");
	mg_sql(&buf, "%s", drop);
	return buf.data;
}

char *
mg_advise_detach_partition(MgFootprint *fp, MgFinding *finding)
{
	AlterTableCmd *cmd = mg_subcommand(fp, linitial(mg_nodes(finding)));
	StringInfoData buf;
	Oid partition;

	initStringInfo(&buf);
	if (cmd == NULL || cmd->def == NULL || !IsA(cmd->def, PartitionCmd))
		return NULL;
	partition = RangeVarGetRelid(castNode(PartitionCmd, cmd->def)->name, NoLock, true);
	if (OidIsValid(get_default_partition_oid(fp->target)))
	{
		mg_say(&buf, "CONCURRENTLY is refused while there is a default partition: detach that one "
					 "first, or do this in a maintenance window.");
		return buf.data;
	}
	mg_say(&buf, mg_situation_in_block(fp->script)
					 ? "Commit first, then run outside a transaction block:"
					 : "Run outside a transaction block:");
	mg_sql(&buf, "ALTER TABLE %s DETACH PARTITION %s CONCURRENTLY", mg_qualified_name(fp->target),
		   mg_qualified_name(partition));
	return buf.data;
}
