/*
 * advice_table.c
 *
 * Owns the advice for partitions, and for what rewrites a whole table.
 */
#include "mg.h"

#include "advice.h"

/* ------------------------------------------------------------------------
 * Bounds of partitions as CHECK expressions
 * ------------------------------------------------------------------------ */

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

	mg_sql(buf, "ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", table, name, check);
	mg_sql(buf, "ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name);
	return psprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, name);
}

/* Does a finding have work on this relation, or on a part of it? */
static bool
mg_is_worked(MgFinding *finding, Oid relid)
{
	List *tree = mg_tree(relid, true);
	ListCell *lc;

	foreach(lc, finding->worked)
	{
		if (list_member_oid(tree, ((MgEffect *) lfirst(lc))->relid))
			return true;
	}
	return false;
}

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
	if (!mg_attempt(mg_bound, &bound, NULL) || bound.text == NULL)
	{
		mg_say(&buf,
			   "First add a CHECK that says the same as the bounds, NOT VALID, and VALIDATE it.");
		return buf.data;
	}
	mg_say_apart(fp, &buf,
				 "prove the bounds by CHECK constraints first, which are validated without "
				 "blocking anybody");
	if (bound.check && mg_is_worked(finding, bound.partition))
		drop = mg_sql_helper_check(&buf, bound.partition, "bound", bound.check);
	if (bound.default_check && mg_is_worked(finding, bound.default_partition))
		drop_default = mg_sql_helper_check(&buf, bound.default_partition, "default_bound",
										   psprintf("NOT (%s)", bound.default_check));
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
mg_advise_create_partition(MgFootprint *fp, MgFinding *finding pg_attribute_unused())
{
	CreateStmt *stmt = castNode(CreateStmt, fp->stmt);
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
	if (mg_is_plain_partition(stmt))
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

/* ------------------------------------------------------------------------
 * Whole tables
 * ------------------------------------------------------------------------ */

/* A word that a shell leaves as it is. */
static const char *
mg_shell_word(const char *word)
{
	StringInfoData buf;

	if (strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_.") == strlen(word))
		return word;
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '\'');
	for (; *word; word++)
	{
		if (*word == '\'')
			appendStringInfoString(&buf, "'\\''");
		else
			appendStringInfoChar(&buf, *word);
	}
	appendStringInfoChar(&buf, '\'');
	return buf.data;
}

/* A command of pg_repack for a shell. */
static void
mg_say_repack(StringInfo buf, const char *options, Oid relid)
{
	char *database = get_database_name(MyDatabaseId);

	mg_say(buf, "pg_repack%s --table=%s %s", options, mg_shell_word(mg_qualified_name(relid)),
		   mg_shell_word(database));
}

/* The tables that are worked on, up to a few. */
static List *
mg_worked_tables(MgFinding *finding)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);

		if (list_length(result) < MG_SHOWN &&
			(eff->relkind == RELKIND_RELATION || eff->relkind == RELKIND_MATVIEW))
			result = lappend_oid(result, eff->relid);
	}
	return result;
}

char *
mg_advise_set_logged(MgFootprint *fp, MgFinding *finding pg_attribute_unused())
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say(&buf,
		   "There is no online form. Fill a new table in batches and rename it into place, or do "
		   "it in a maintenance window.");
	return buf.data;
}

char *
mg_advise_set_access_method(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_set_logged(fp, finding);
}

/* The tablespace that a subcommand asks for. */
static const char *
mg_wanted_tablespace(MgFootprint *fp, MgFinding *finding)
{
	AlterTableCmd *cmd = mg_subcommand(fp, linitial(mg_nodes(finding)));

	if (cmd)
		return cmd->name;
	if (IsA(fp->stmt, AlterTableMoveAllStmt))
		return castNode(AlterTableMoveAllStmt, fp->stmt)->new_tablespacename;
	return NULL;
}

char *
mg_advise_set_tablespace(MgFootprint *fp, MgFinding *finding)
{
	const char *tablespace = mg_nodes(finding) ? mg_wanted_tablespace(fp, finding) : NULL;
	bool table = false;
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	if (tablespace == NULL)
		return NULL;
	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);

		if (eff->relkind != RELKIND_INDEX)
			table = true;
		else if (buf.len == 0)
			mg_say(
				&buf,
				mg_situation_in_block(fp->script)
					? "Commit first, then build the index anew where it is to be, outside a transaction block:"
					: "Build the index anew where it is to be, outside a transaction block:");
		if (eff->relkind == RELKIND_INDEX)
			mg_sql(&buf, "REINDEX (TABLESPACE %s) INDEX CONCURRENTLY %s",
				   quote_identifier(tablespace), mg_qualified_name(eff->relid));
	}
	if (!table)
		return buf.data;
	mg_say(
		&buf,
		"The server has no online form. The extension pg_repack moves a table while it is in use:");
	foreach(lc, mg_worked_tables(finding))
		mg_say_repack(&buf, psprintf(" --tablespace=%s", mg_shell_word(tablespace)),
					  lfirst_oid(lc));
	return buf.data;
}

char *
mg_advise_vacuum_full(MgFootprint *fp pg_attribute_unused(), MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say(&buf, "Plain VACUUM lets the table use its dead space again, without blocking anybody:");
	foreach(lc, mg_worked_tables(finding))
		mg_sql(&buf, "VACUUM (ANALYZE) %s", mg_qualified_name(lfirst_oid(lc)));
	mg_say(&buf,
		   "To give space back to the operating system, rebuild bloated indexes by REINDEX TABLE "
		   "CONCURRENTLY, and tables by the extension pg_repack, while they are in use:");
	foreach(lc, mg_worked_tables(finding))
		mg_say_repack(&buf, " --no-order", lfirst_oid(lc));
	return buf.data;
}

char *
mg_advise_cluster(MgFootprint *fp pg_attribute_unused(), MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say(&buf,
		   "The server has no online form. The extension pg_repack orders a table while it is in "
		   "use, by the index of the last CLUSTER or by --order-by:");
	foreach(lc, mg_worked_tables(finding))
		mg_say_repack(&buf, "", lfirst_oid(lc));
	return buf.data;
}
