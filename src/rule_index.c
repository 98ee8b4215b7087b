/*
 * rule_index.c
 *
 * Owns the rules about indexes that go or are missing: one that queries use,
 * the last one that serves a foreign key, and a foreign key that has none.
 *
 * The referencing side of a foreign key needs no index to be correct.  But
 * whenever a referenced row is deleted or its key changes, the server looks
 * for rows that reference it, and without an index it reads all of them.
 */
#include "advice.h"
#include "dropwalk.h"
#include "mg_alter.h"
#include "usage.h"

/* What the catalog says about an index. */
typedef struct MgIndexRow
{
	Oid table;
	Oid method;
	bool usable; /* valid, and complete but for nulls of its own columns */
	bool plain;  /* neither expressions nor a predicate */
	int nkeys;
	AttrNumber keys[INDEX_MAX_KEYS];
	Oid opclasses[INDEX_MAX_KEYS];
	Oid collations[INDEX_MAX_KEYS];
	int16 options[INDEX_MAX_KEYS];
} MgIndexRow;

/* Is a column among the keys of an index? */
static bool
mg_is_key(Form_pg_index form, AttrNumber attnum)
{
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (form->indkey.values[i] == attnum)
			return true;
	}
	return false;
}

/* Does a predicate leave out nothing but nulls of the keys?  It is a list of conditions. */
static bool
mg_leaves_out_nulls(HeapTuple tuple)
{
	bool isnull;
	Datum datum = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indpred, &isnull);
	ListCell *lc;

	if (isnull)
		return true;
	foreach(lc, make_ands_implicit((Expr *) stringToNode(TextDatumGetCString(datum))))
	{
		NullTest *test = lfirst(lc);

		if (!IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Var) ||
			!mg_is_key((Form_pg_index) GETSTRUCT(tuple), ((Var *) test->arg)->varattno))
			return false;
	}
	return true;
}

/* Keys of a pg_index row. */
static void
mg_index_keys(HeapTuple tuple, MgIndexRow *row)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
	oidvector *opclasses;
	oidvector *collations;
	int2vector *options;
	bool isnull;

	opclasses = (oidvector *) DatumGetPointer(
		SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indclass, &isnull));
	collations = (oidvector *) DatumGetPointer(
		SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indcollation, &isnull));
	options = (int2vector *) DatumGetPointer(
		SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indoption, &isnull));
	row->nkeys = form->indnkeyatts;
	for (int i = 0; i < row->nkeys; i++)
	{
		row->keys[i] = form->indkey.values[i];
		row->opclasses[i] = opclasses->values[i];
		row->collations[i] = collations->values[i];
		row->options[i] = options->values[i];
	}
}

static bool
mg_index_row(Oid index, MgIndexRow *row)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	HeapTuple class = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool found = HeapTupleIsValid(tuple) && HeapTupleIsValid(class);

	memset(row, 0, sizeof(*row));
	if (found)
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		row->table = form->indrelid;
		row->method = ((Form_pg_class) GETSTRUCT(class))->relam;
		row->usable = form->indisvalid && form->indisready && mg_leaves_out_nulls(tuple);
		row->plain = heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
					 heap_attisnull(tuple, Anum_pg_index_indexprs, NULL);
		mg_index_keys(tuple, row);
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (HeapTupleIsValid(class))
		ReleaseSysCache(class);
	return found;
}

/* Indexes among the relations that go. */
static List *
mg_gone_indexes(List *gone)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, gone)
	{
		char relkind = get_rel_relkind(lfirst_oid(lc));

		if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

/* Does a column of a relation go? */
static bool
mg_column_goes(MgFootprint *fp, Oid relid, AttrNumber attnum)
{
	ListCell *lc;

	foreach(lc, fp->gone)
	{
		MgDoomed *it = lfirst(lc);

		if (it->object.classId == RelationRelationId && it->object.objectId == relid &&
			it->object.objectSubId == attnum)
			return true;
	}
	return false;
}

/*
 * Does an index go by itself, and not with its table, with one of its columns,
 * or with the index of a partitioned table?  Then *row is filled in.
 */
static bool
mg_goes_by_itself(MgFootprint *fp, Oid index, const List *gone, MgIndexRow *row)
{
	if (get_rel_relispartition(index) && mg_is_gone(gone, get_partition_parent(index, true)))
		return false;
	if (!mg_index_row(index, row) || mg_is_gone(gone, row->table))
		return false;
	for (int i = 0; i < row->nkeys; i++)
	{
		if (row->keys[i] > 0 && mg_column_goes(fp, row->table, row->keys[i]))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * An index in use
 * ------------------------------------------------------------------------ */

/* Can another index do all that this one does for queries?  Its keys begin with the same. */
static bool
mg_stands_in(const MgIndexRow *row, Oid other)
{
	MgIndexRow that;

	if (!row->plain || !mg_index_row(other, &that) || !that.plain || !that.usable ||
		that.method != row->method || that.nkeys < row->nkeys)
		return false;
	for (int i = 0; i < row->nkeys; i++)
	{
		if (row->keys[i] != that.keys[i] || row->opclasses[i] != that.opclasses[i] ||
			row->collations[i] != that.collations[i] || row->options[i] != that.options[i])
			return false;
	}
	return true;
}

static bool
mg_has_stand_in(const MgIndexRow *row, List *indexes)
{
	ListCell *lc;

	foreach(lc, mg_index_list(row->table))
	{
		if (!list_member_oid(indexes, lfirst_oid(lc)) && mg_stands_in(row, lfirst_oid(lc)))
			return true;
	}
	return false;
}

/* An index is dropped that queries use, and no other can take its place. */
bool
mg_drops_used_index(MgFootprint *fp, MgFinding *finding)
{
	List *gone = mg_gone_relids(fp);
	List *indexes = mg_gone_indexes(gone);
	List *uses = NIL;
	const MgUse *worst;
	ListCell *lc;

	foreach(lc, indexes)
	{
		MgIndexRow row;
		MgUse *use;

		if (!mg_goes_by_itself(fp, lfirst_oid(lc), gone, &row) || mg_use_exempt(row.table) ||
			mg_has_stand_in(&row, indexes))
			continue;
		use = mg_use(lfirst_oid(lc));
		if (use->counted && use->index_scans > 0)
			uses = lappend(uses, use);
	}
	if (uses == NIL)
		return false;
	mg_use_sort(uses);
	worst = linitial(uses);
	finding->relid = worst->relid;
	finding->danger =
		psprintf("would remove index \"%s\" of \"%s\"%s, which %s in use",
				 get_rel_name(worst->relid), get_rel_name(IndexGetRelation(worst->relid, true)),
				 list_length(uses) > 1
					 ? psprintf(" and %s", mg_plural(list_length(uses) - 1, "more index"))
					 : "",
				 list_length(uses) == 1 ? "is" : "are");
	finding->facts = mg_use_facts(NIL, uses);
	finding->facts = lappend(finding->facts,
							 "queries that used it will have to read the table in another way");
	return true;
}

/* ------------------------------------------------------------------------
 * Foreign keys
 * ------------------------------------------------------------------------ */

/* The columns of a foreign key on its own table, as String. */
List *
mg_fkey_columns(HeapTuple tuple)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	AttrNumber conkey[INDEX_MAX_KEYS];
	AttrNumber confkey[INDEX_MAX_KEYS];
	Oid operators[INDEX_MAX_KEYS];
	List *result = NIL;
	int nkeys;

	mg_deconstruct_fkey(tuple, &nkeys, conkey, confkey, operators);
	for (int i = 0; i < nkeys; i++)
		result = lappend(result, makeString(mg_attribute_name(form->conrelid, conkey[i])));
	return result;
}

/* Is a key of an index this column, in the collation by which it is compared? */
static bool
mg_key_is_column(const MgIndexRow *row, int key, Oid relid, const char *column)
{
	AttrNumber attnum = get_attnum(relid, column);
	Oid type;
	int32 typmod;
	Oid collation;

	if (row->keys[key] <= 0 || row->keys[key] != attnum)
		return false;
	get_atttypetypmodcoll(relid, attnum, &type, &typmod, &collation);
	return row->collations[key] == collation || !OidIsValid(row->collations[key]);
}

/* Does an index lead with exactly these columns, in whatever order? */
static bool
mg_serves(Oid index, Oid relid, List *columns)
{
	int wanted = list_length(columns);
	MgIndexRow row;
	int found = 0;

	if (!mg_index_row(index, &row) || !row.usable || row.nkeys < wanted)
		return false;
	for (int i = 0; i < wanted; i++)
	{
		ListCell *lc;

		foreach(lc, columns)
			found += mg_key_is_column(&row, i, relid, strVal(lfirst(lc)));
	}
	return found == wanted;
}

/*
 * Is there an index for a foreign key, besides those that are left out?  Or
 * does each partition have one?
 */
static bool
mg_is_served(Oid relid, List *columns, List *without)
{
	List *partitions;
	ListCell *lc;

	check_stack_depth();
	foreach(lc, mg_index_list(relid))
	{
		if (!list_member_oid(without, lfirst_oid(lc)) && mg_serves(lfirst_oid(lc), relid, columns))
			return true;
	}
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return false;
	partitions = find_inheritance_children(relid, NoLock);
	foreach(lc, partitions)
	{
		if (!mg_is_served(lfirst_oid(lc), columns, without))
			return false;
	}
	return partitions != NIL;
}

/* How large the table is that would have to be read, and is it worth a word at all? */
static bool
mg_fkey_matters(MgFinding *finding, Oid relid)
{
	MgEffect table = {.relid = relid, .relkind = get_rel_relkind(relid)};

	if (mg_effect_exempt(&table))
		return false;
	finding->rows = Max(finding->rows, table.size.rows);
	finding->bytes = Max(finding->bytes, table.size.heap);
	return true;
}

/* What happens without an index, and how often that would have been. */
static List *
mg_fkey_facts(List *facts, Oid relid, Oid confrelid, List *columns)
{
	const char *table = get_rel_name(relid);
	const char *other = OidIsValid(confrelid) ? psprintf("\"%s\"", get_rel_name(confrelid))
											  : "the referenced table";
	MgUse *referenced = OidIsValid(confrelid) ? mg_use(confrelid) : NULL;

	facts = lappend(facts, psprintf("whenever a row of %s is deleted or its key changes, the "
									"server looks for rows of \"%s\" by (%s), and without an "
									"index it reads the whole table for each of them",
									other, table, mg_text_names(columns)));
	if (referenced && referenced->counted && referenced->deletes > 0)
		facts = lappend(facts,
						psprintf("so far %s deleted from %s",
								 referenced->deletes == 1
									 ? "1 row was"
									 : psprintf("%s were", mg_format_rows(referenced->deletes)),
								 other));
	return facts;
}

/* Is the constraint among the tasks of the finding already? */
static bool
mg_is_pointed_to(MgFinding *finding, const char *constraint)
{
	ListCell *lc;

	foreach(lc, finding->tasks)
	{
		if (strcmp(((MgTask *) lfirst(lc))->constraint, constraint) == 0)
			return true;
	}
	return false;
}

/* A foreign key that stays and is served by an index that goes, and by no other. */
static bool
mg_loses_last_index(MgFootprint *fp, MgFinding *finding, Oid conoid, Oid index, List *indexes)
{
	HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conoid));
	Form_pg_constraint form;
	List *columns;
	bool found = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	columns = mg_fkey_columns(tuple);
	if (!list_member_oid(fp->dropped, conoid) &&
		!mg_is_pointed_to(finding, NameStr(form->conname)) && mg_row_enforced(form) &&
		mg_serves(index, form->conrelid, columns) &&
		!mg_is_served(form->conrelid, columns, indexes) && mg_fkey_matters(finding, form->conrelid))
	{
		MgTask *task = palloc0(sizeof(MgTask));

		found = true;
		task->constraint = pstrdup(NameStr(form->conname));
		finding->tasks = lappend(finding->tasks, task);
		finding->relid = form->conrelid;
		finding->danger = psprintf("would leave foreign key \"%s\" of \"%s\" without an index",
								   NameStr(form->conname), get_rel_name(form->conrelid));
		finding->facts = mg_fkey_facts(finding->facts, form->conrelid, form->confrelid, columns);
	}
	ReleaseSysCache(tuple);
	return found;
}

/* The last index that serves a foreign key is dropped. */
bool
mg_drops_fkey_index(MgFootprint *fp, MgFinding *finding)
{
	List *gone = mg_gone_relids(fp);
	List *indexes = mg_gone_indexes(gone);
	bool found = false;
	ListCell *lc;

	foreach(lc, indexes)
	{
		MgIndexRow row;
		ListCell *lc2;

		/* the script may have dropped the foreign key, or made another index */
		if (!mg_goes_by_itself(fp, lfirst_oid(lc), gone, &row) ||
			(fp->script && mg_script_alters(fp->script, row.table)))
			continue;
		foreach(lc2, mg_fkey_rows_of(row.table))
		{
			Oid fkey = ((Form_pg_constraint) GETSTRUCT((HeapTuple) lfirst(lc2)))->oid;

			if (list_length(finding->tasks) < MG_SHOWN)
				found |= mg_loses_last_index(fp, finding, fkey, lfirst_oid(lc), indexes);
		}
	}
	return found;
}

/* Do the first of these names (IndexElem or String) include all columns? */
static bool
mg_names_lead(List *names, List *columns)
{
	int found = 0;

	for (int i = 0; i < Min(list_length(names), list_length(columns)); i++)
	{
		Node *node = list_nth(names, i);
		char *name = IsA(node, IndexElem) ? castNode(IndexElem, node)->name : strVal(node);

		found += name && list_member(columns, makeString(name));
	}
	return found == list_length(columns);
}

/* Does a constraint of the statement come with an index that leads with the columns? */
static bool
mg_brings_index(Constraint *con, ColumnDef *def, List *columns)
{
	if (con->contype != CONSTR_UNIQUE && con->contype != CONSTR_PRIMARY)
		return false;
	return mg_names_lead(def ? list_make1(makeString(def->colname)) : con->keys, columns);
}

/* An index that the statement itself makes. */
static bool
mg_statement_has_index(MgFootprint *fp, List *columns)
{
	ListCell *lc;

	if (!IsA(fp->stmt, AlterTableStmt))
		return false;
	foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		ColumnDef *def = cmd->def && IsA(cmd->def, ColumnDef) ? castNode(ColumnDef, cmd->def)
															  : NULL;
		ListCell *lc2;

		if (cmd->def && IsA(cmd->def, Constraint) &&
			mg_brings_index(castNode(Constraint, cmd->def), NULL, columns))
			return true;
		foreach(lc2, def ? def->constraints : NIL)
		{
			if (mg_brings_index(lfirst_node(Constraint, lc2), def, columns))
				return true;
		}
	}
	return false;
}

bool
mg_fkey_has_index(MgFootprint *fp, Oid relid, List *columns)
{
	ListCell *lc;

	if (mg_is_served(relid, columns, NIL) || mg_statement_has_index(fp, columns))
		return true;
	foreach(lc, fp->script ? fp->script->indexes : NIL)
	{
		MgScriptIndex *entry = lfirst(lc);

		if (entry->relid == relid && mg_names_lead(entry->params, columns))
			return true;
	}
	return false;
}

/* A foreign key that a subcommand adds, if it has no index. */
static void
mg_add_fkey_finding(MgFootprint *fp, MgFinding *finding, AlterTableCmd *cmd, Constraint *con,
					ColumnDef *def)
{
	List *columns = def ? list_make1(makeString(def->colname)) : con->fk_attrs;
	MgTask *task;

	if (con->contype != CONSTR_FOREIGN || con->pktable == NULL || !mg_clause_enforced(con) ||
		mg_fkey_has_index(fp, fp->target, columns))
		return;
	task = palloc0(sizeof(MgTask));
	task->constraint = con->conname;
	task->node = (Node *) cmd;
	finding->tasks = lappend(finding->tasks, task);
	if (finding->danger)
		return;
	finding->danger = psprintf("would add a foreign key to \"%s\" without an index on (%s)",
							   get_rel_name(fp->target), mg_text_names(columns));
	finding->facts = mg_fkey_facts(NIL, fp->target, RangeVarGetRelid(con->pktable, NoLock, true),
								   columns);
}

/* ADD FOREIGN KEY, or REFERENCES in ADD COLUMN, on a table without an index for it. */
bool
mg_adds_fkey_without_index(MgFootprint *fp, MgFinding *finding)
{
	ListCell *lc;

	if (!IsA(fp->stmt, AlterTableStmt) || !OidIsValid(fp->target))
		return false;
	foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		ListCell *lc2;

		if (cmd->subtype == AT_AddConstraint)
			mg_add_fkey_finding(fp, finding, cmd, castNode(Constraint, cmd->def), NULL);
		else if (cmd->subtype == AT_AddColumn)
		{
			ColumnDef *def = castNode(ColumnDef, cmd->def);

			/* it exists already, so nothing is added */
			if (def->constraints == NIL ||
				get_attnum(fp->target, def->colname) != InvalidAttrNumber)
				continue;
			foreach(lc2, def->constraints)
				mg_add_fkey_finding(fp, finding, cmd, lfirst_node(Constraint, lc2), def);
		}
	}
	return finding->danger != NULL && mg_fkey_matters(finding, fp->target);
}
