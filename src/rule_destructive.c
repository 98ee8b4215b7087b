/*
 * rule_destructive.c
 *
 * Owns the rules about tables, views and columns that go, are emptied, or
 * change their names, while there is evidence that somebody uses them.
 * Without evidence nothing is said.  What else goes with them is counted.
 */
#include "advice.h"
#include "dropwalk.h"
#include "mg_script.h"
#include "usage.h"

#include "catalog/pg_proc.h"

static bool
mg_is_table_or_view(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE ||
		   relkind == RELKIND_MATVIEW || relkind == RELKIND_VIEW ||
		   relkind == RELKIND_FOREIGN_TABLE;
}

/* "table", "view", ...: as people say, not as core distinguishes */
static const char *
mg_noun(char relkind)
{
	switch (relkind)
	{
		case RELKIND_VIEW:
			return "view";
		case RELKIND_MATVIEW:
			return "materialized view";
		case RELKIND_FOREIGN_TABLE:
			return "foreign table";
		default:
			return "table";
	}
}

/* The uses among some relations for which there is evidence, worst first. */
static List *
mg_used_ones(List *relids)
{
	List *uses = NIL;
	ListCell *lc;

	foreach(lc, relids)
	{
		MgUse *use;

		if (mg_use_exempt(lfirst_oid(lc)))
			continue;
		use = mg_use(lfirst_oid(lc));
		if (mg_in_use(use))
			uses = lappend(uses, use);
	}
	return mg_use_sort(uses);
}

/* " and 3 more relations", if several are in use; their verb follows. */
static const char *
mg_and_more(List *uses)
{
	int more = list_length(uses) - 1;

	return more > 0 ? psprintf(" and %s", mg_plural(more, "more relation")) : "";
}

/* ------------------------------------------------------------------------
 * What goes with it
 * ------------------------------------------------------------------------ */

/* A constraint of a table that stays: what kind it is.  NULL: its table goes. */
static const char *
mg_constraint_noun(const List *gone, Oid objid)
{
	HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(objid));
	const char *noun = NULL;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	if (!mg_is_gone(gone, ((Form_pg_constraint) GETSTRUCT(tuple))->conrelid))
	{
		switch (((Form_pg_constraint) GETSTRUCT(tuple))->contype)
		{
			case CONSTRAINT_FOREIGN:
				noun = "foreign key";
				break;
			case CONSTRAINT_CHECK:
				noun = "check constraint";
				break;
			case CONSTRAINT_PRIMARY:
				noun = "primary key";
				break;
			case CONSTRAINT_UNIQUE:
				noun = "unique constraint";
				break;
			case CONSTRAINT_EXCLUSION:
				noun = "exclusion constraint";
				break;
			default:
				break;
		}
	}
	ReleaseSysCache(tuple);
	return noun;
}

/* What a relation, or a column of one that stays, is called among the things that go. */
static const char *
mg_relation_noun(const List *gone, MgDoomed *it)
{
	Oid relid = it->object.objectId;
	char relkind = get_rel_relkind(relid);

	if (it->object.objectSubId != 0)
		return (it->flags & MG_DOOM_SUBOBJECT) ? NULL : "column";
	if (mg_is_table_or_view(relkind))
		return get_rel_relispartition(relid) ? "partition" : mg_noun(relkind);
	if (relkind == RELKIND_INDEX && !get_rel_relispartition(relid))
	{
		Oid table = IndexGetRelation(relid, true);

		if (OidIsValid(table) && !mg_is_gone(gone, table) &&
			!OidIsValid(get_index_constraint(relid)))
			return "index";
	}
	return NULL;
}

/* What an object that goes without being named is called; NULL: not worth a word. */
static const char *
mg_dependent_noun(const List *gone, MgDoomed *it)
{
	switch (it->object.classId)
	{
		case RelationRelationId:
			return mg_relation_noun(gone, it);
		case ConstraintRelationId:
			return mg_constraint_noun(gone, it->object.objectId);
		case ProcedureRelationId:
			return "function";
		case PolicyRelationId:
			return "policy";
		case StatisticExtRelationId:
			return "statistics object";
		default:
			return NULL;
	}
}

/* "2 views and 1 foreign key go with it", in the order in which they go. */
static List *
mg_dependents_fact(List *facts, MgFootprint *fp)
{
	static const char *const nouns[] = {"partition",         "table",
										"foreign table",     "view",
										"materialized view", "column",
										"foreign key",       "primary key",
										"unique constraint", "exclusion constraint",
										"check constraint",  "index",
										"statistics object", "policy",
										"function"};
	List *gone = mg_gone_relids(fp);
	int counts[lengthof(nouns)] = {0};
	List *texts = NIL;
	StringInfoData buf;
	ListCell *lc;
	int total = 0;

	foreach(lc, fp->gone)
	{
		MgDoomed *it = lfirst(lc);
		const char *noun = (it->flags & MG_DOOM_ORIGINAL) ? NULL : mg_dependent_noun(gone, it);

		for (int i = 0; noun && i < (int) lengthof(nouns); i++)
			counts[i] += strcmp(nouns[i], noun) == 0;
	}
	for (int i = 0; i < (int) lengthof(nouns); i++)
	{
		total += counts[i];
		if (counts[i] > 0)
			texts = lappend(texts, mg_plural(counts[i], nouns[i]));
	}
	if (texts == NIL)
		return facts;
	initStringInfo(&buf);
	foreach(lc, texts)
		appendStringInfo(&buf, "%s%s",
						 buf.len == 0               ? ""
						 : lnext(texts, lc) == NULL ? " and "
													: ", ",
						 (char *) lfirst(lc));
	appendStringInfo(&buf, " %s with it", total == 1 ? "goes" : "go");
	return lappend(facts, buf.data);
}

/* ------------------------------------------------------------------------
 * DROP of relations
 * ------------------------------------------------------------------------ */

/*
 * Tables and views that go.  Partitions count in the sum of their parent, if
 * that goes as well: they depend on it.
 */
static List *
mg_gone_relations(List *gone)
{
	List *relids = NIL;
	ListCell *lc;

	foreach(lc, gone)
	{
		MgDoomed *it = lfirst(lc);
		Oid relid = it->object.objectId;

		if (it->object.classId != RelationRelationId || it->object.objectSubId != 0 ||
			!mg_is_table_or_view(get_rel_relkind(relid)))
			continue;
		if ((it->flags & MG_DOOM_AUTO) && get_rel_relispartition(relid))
			continue;
		relids = lappend_oid(relids, relid);
	}
	return relids;
}

/* A table or view is dropped that is in use, by whatever statement. */
bool
mg_drops_used(MgFootprint *fp, MgFinding *finding)
{
	List *uses = fp->gone == NIL ? NIL : mg_used_ones(mg_gone_relations(fp->gone));
	const MgUse *worst;

	if (uses == NIL)
		return false;
	worst = linitial(uses);
	finding->relid = worst->relid;
	finding->danger = psprintf("would remove %s \"%s\"%s, which %s in use", mg_noun(worst->relkind),
							   get_rel_name(worst->relid), mg_and_more(uses),
							   list_length(uses) == 1 ? "is" : "are");
	finding->facts = mg_use_facts(NIL, uses);
	finding->facts = mg_dependents_fact(finding->facts, fp);
	return true;
}

/* ------------------------------------------------------------------------
 * TRUNCATE
 * ------------------------------------------------------------------------ */

/* Is it a table with rows that TRUNCATE empties?  Partitions count in the sum of their parent. */
bool
mg_is_emptied(MgFootprint *fp, MgEffect *eff)
{
	if (eff->role == MG_ROLE_INDEX || !mg_is_table_or_view(eff->relkind))
		return false;
	if (get_rel_relispartition(eff->relid) &&
		mg_effect_find(fp, get_partition_parent(eff->relid, true)))
		return false;
	return eff->relkind == RELKIND_FOREIGN_TABLE || !mg_effect_exempt(eff);
}

/* The tables that are emptied and have rows; *rows: how many. */
static List *
mg_emptied(MgFootprint *fp, double *rows, int *reached)
{
	List *relids = NIL;
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);

		if (!mg_is_emptied(fp, eff))
			continue;
		*rows += eff->size.rows;
		*reached += eff->role == MG_ROLE_PEER;
		relids = lappend_oid(relids, eff->relid);
	}
	return relids;
}

/* TRUNCATE of a table in use. */
bool
mg_truncates_used(MgFootprint *fp, MgFinding *finding)
{
	double rows = 0;
	int reached = 0;
	const MgUse *worst;
	List *uses;

	if (!IsA(fp->stmt, TruncateStmt))
		return false;
	uses = mg_used_ones(mg_emptied(fp, &rows, &reached));
	if (uses == NIL)
		return false;
	worst = linitial(uses);
	finding->relid = worst->relid;
	finding->danger = psprintf("would empty table \"%s\"%s, which %s in use",
							   get_rel_name(worst->relid), mg_and_more(uses),
							   list_length(uses) == 1 ? "is" : "are");
	finding->facts = list_make1(psprintf("%s would be gone", mg_format_rows(rows)));
	if (reached > 0)
		finding->facts = lappend(finding->facts,
								 psprintf("CASCADE reaches %s that the statement does not name",
										  mg_plural(reached, "table")));
	finding->facts = mg_use_facts(finding->facts, uses);
	return true;
}

/* ------------------------------------------------------------------------
 * DROP COLUMN
 * ------------------------------------------------------------------------ */

/* The columns that go from tables that stay; *tables gets their tables, as OIDs. */
static List *
mg_gone_columns(MgFootprint *fp, List **tables)
{
	List *columns = NIL;
	ListCell *lc;

	foreach(lc, fp->gone)
	{
		MgDoomed *it = lfirst(lc);
		Oid relid = it->object.objectId;

		if (it->object.classId != RelationRelationId || it->object.objectSubId <= 0 ||
			(it->flags & MG_DOOM_SUBOBJECT) || !mg_is_table_or_view(get_rel_relkind(relid)))
			continue;
		/* those of partitions go with their parent's */
		if (get_rel_relispartition(relid) && relid != fp->target)
			continue;
		columns = lappend(columns, it);
		*tables = list_append_unique_oid(*tables, relid);
	}
	return columns;
}

/* "a", "b" and 2 more: the columns of a table among those that go. */
static const char *
mg_column_names(List *columns, Oid relid, int *count)
{
	StringInfoData buf;
	ListCell *lc;

	*count = 0;
	initStringInfo(&buf);
	foreach(lc, columns)
	{
		MgDoomed *it = lfirst(lc);

		if (it->object.objectId != relid)
			continue;
		if (++*count <= MG_SHOWN)
			appendStringInfo(&buf, "%s\"%s\"", *count > 1 ? ", " : "",
							 mg_attribute_name(relid, it->object.objectSubId));
	}
	if (*count > MG_SHOWN)
		appendStringInfo(&buf, " and %d more", *count - MG_SHOWN);
	return buf.data;
}

/* A task that does nothing: it gives the finding a subcommand and names for its fields. */
static void
mg_point_to_column(MgFinding *finding, MgDoomed *column)
{
	MgTask *task = palloc0(sizeof(MgTask));

	task->column = mg_attribute_name(column->object.objectId, column->object.objectSubId);
	finding->tasks = list_make1(task);
}

/*
 * A column is dropped from a table in use.  Nobody counts the use of single
 * columns, and that is said; what the catalog knows to need it is counted.
 */
bool
mg_drops_used_column(MgFootprint *fp, MgFinding *finding)
{
	List *tables = NIL;
	List *columns = fp->gone == NIL ? NIL : mg_gone_columns(fp, &tables);
	List *uses = columns == NIL ? NIL : mg_used_ones(tables);
	const MgUse *worst;
	const char *names;
	int count;
	ListCell *lc;

	if (uses == NIL)
		return false;
	worst = linitial(uses);
	finding->relid = worst->relid;
	names = mg_column_names(columns, worst->relid, &count);
	finding->danger = psprintf("would remove %s %s of \"%s\", a %s in use",
							   count == 1 ? "column" : "columns", names, get_rel_name(worst->relid),
							   mg_noun(worst->relkind));
	foreach(lc, columns)
	{
		MgDoomed *it = lfirst(lc);

		if (it->object.objectId == worst->relid && finding->tasks == NIL)
			mg_point_to_column(finding, it);
	}
	finding->facts = mg_use_facts(NIL, uses);
	finding->facts = lappend(finding->facts,
							 "whether the column itself is used is not counted by the server: "
							 "running code that still names it will fail");
	finding->facts = mg_dependents_fact(finding->facts, fp);
	return true;
}

/* ------------------------------------------------------------------------
 * RENAME, SET SCHEMA
 * ------------------------------------------------------------------------ */

/* Does a statement change the name by which queries find a table, a view or a column? */
bool
mg_renaming(MgFootprint *fp, MgRenaming *renaming)
{
	memset(renaming, 0, sizeof(*renaming));
	if (!IsA(fp->stmt, AlterObjectSchemaStmt) && !IsA(fp->stmt, RenameStmt))
		return false;
	if (!OidIsValid(fp->target) || !mg_is_table_or_view(get_rel_relkind(fp->target)))
		return false;
	if (IsA(fp->stmt, AlterObjectSchemaStmt))
	{
		renaming->schema = castNode(AlterObjectSchemaStmt, fp->stmt)->newschema;
		renaming->name = get_rel_name(fp->target);
		/* already there */
		return get_namespace_oid(renaming->schema, true) != get_rel_namespace(fp->target);
	}
	renaming->name = castNode(RenameStmt, fp->stmt)->newname;
	switch (castNode(RenameStmt, fp->stmt)->renameType)
	{
		case OBJECT_COLUMN:
			renaming->column = castNode(RenameStmt, fp->stmt)->subname;
			return true;
		case OBJECT_TABLE:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_FOREIGN_TABLE:
			return true;
		default:
			return false;
	}
}

/* Does a table have a column of the name that advice would have chosen? */
static bool
mg_has_labelled(Oid relid, const char *base, const char *label)
{
	return get_attnum(relid, makeObjectName(base, NULL, label)) != InvalidAttrNumber;
}

/* Is there another relation beside this one that is called so, as of now in the script? */
static bool
mg_has_neighbour(MgFootprint *fp, const char *base, const char *label)
{
	RangeVar *rv = makeRangeVar(get_namespace_name(get_rel_namespace(fp->target)),
								makeObjectName(base, NULL, label), -1);

	return OidIsValid(fp->script ? mg_script_resolve(fp->script, rv)
								 : RangeVarGetRelid(rv, NoLock, true));
}

/* The same for tables: "t" becomes "t_old" while "t_new" is waiting, which becomes "t". */
static bool
mg_is_swap_of_tables(MgFootprint *fp, const char *name)
{
	const char *old = castNode(RenameStmt, fp->stmt)->relation->relname;

	return (strcmp(name, makeObjectName(old, NULL, "old")) == 0 &&
			mg_has_neighbour(fp, old, "new")) ||
		   (strcmp(old, makeObjectName(name, NULL, "new")) == 0 &&
			mg_has_neighbour(fp, name, "old"));
}

/*
 * Half of the swap that the advice for ALTER COLUMN TYPE ends with?  In one
 * transaction a column "c" becomes "c_old" while "c_new" is waiting, and that
 * becomes "c": the application's name never goes away.
 */
static bool
mg_is_swap(MgFootprint *fp, const MgRenaming *renaming)
{
	const char *old = renaming->column;
	const char *name = renaming->name;

	if (renaming->schema || !mg_situation_in_block(fp->script))
		return false;
	if (old == NULL)
		return mg_is_swap_of_tables(fp, name);
	return (strcmp(name, makeObjectName(old, NULL, "old")) == 0 &&
			mg_has_labelled(fp->target, old, "new")) ||
		   (strcmp(old, makeObjectName(name, NULL, "new")) == 0 &&
			mg_has_labelled(fp->target, name, "old"));
}

/* What the statement does to the name, for the message. */
static char *
mg_renaming_danger(const MgRenaming *renaming, const MgUse *use)
{
	const char *table = get_rel_name(use->relid);
	const char *noun = mg_noun(use->relkind);

	if (renaming->column)
		return psprintf("would rename column \"%s\" of \"%s\", a %s in use", renaming->column,
						table, noun);
	if (renaming->schema)
		return psprintf("would move %s \"%s\" to schema \"%s\" while it is in use", noun, table,
						renaming->schema);
	return psprintf("would rename %s \"%s\" while it is in use", noun, table);
}

/*
 * A name changes that queries may know.  Partitions are mostly asked through
 * their parent, so their own names do not matter.
 */
bool
mg_renames_used(MgFootprint *fp, MgFinding *finding)
{
	MgRenaming renaming;
	List *uses;

	if (!mg_renaming(fp, &renaming) || get_rel_relispartition(fp->target) ||
		mg_is_swap(fp, &renaming))
		return false;
	uses = mg_used_ones(list_make1_oid(fp->target));
	if (uses == NIL)
		return false;
	finding->relid = fp->target;
	finding->danger = mg_renaming_danger(&renaming, linitial(uses));
	if (renaming.column)
	{
		MgTask *task = palloc0(sizeof(MgTask));

		task->column = renaming.column;
		finding->tasks = list_make1(task);
	}
	finding->facts = mg_use_facts(NIL, uses);
	finding->facts = lappend(
		finding->facts,
		renaming.schema
			? "views, foreign keys and indexes follow it, but running code that names the old "
			  "schema, or does not have the new one in its search_path, will fail"
			: "views, foreign keys and indexes follow the new name, but running code and "
			  "functions that use the old one will fail");
	return true;
}
