/*
 * footprint_key.c
 *
 * Owns the constraints that stand on an index: ADD UNIQUE, PRIMARY KEY and
 * EXCLUDE, with or without USING INDEX, also when written in ADD COLUMN.
 *
 * Follows ATExecAddIndex() and ATExecAddIndexConstraint() of tablecmds.c,
 * DefineIndex() of indexcmds.c, and transformIndexConstraint() of
 * parse_utilcmd.c, which asks for NOT NULL.
 */
#include "mg_alter.h"

#include "catalog/dependency.h"

/* An IndexStmt that says what a UNIQUE or PRIMARY KEY constraint asks for. */
static IndexStmt *
mg_key_index(Constraint *con, List *keys)
{
	IndexStmt *stmt = makeNode(IndexStmt);
	ListCell *lc;

	stmt->accessMethod = "btree";
	stmt->unique = true;
	stmt->nulls_not_distinct = con->nulls_not_distinct;
	stmt->primary = con->contype == CONSTR_PRIMARY;
	stmt->isconstraint = true;
	stmt->deferrable = con->deferrable;
	stmt->initdeferred = con->initdeferred;
	foreach(lc, keys)
	{
		IndexElem *elem = makeNode(IndexElem);

		elem->name = strVal(lfirst(lc));
		stmt->indexParams = lappend(stmt->indexParams, elem);
	}
	foreach(lc, con->including)
	{
		IndexElem *elem = makeNode(IndexElem);

		elem->name = strVal(lfirst(lc));
		stmt->indexIncludingParams = lappend(stmt->indexIncludingParams, elem);
	}
	return stmt;
}

/* An index of a partition that belongs to a constraint and fits, or InvalidOid. */
static Oid
mg_key_index_match(Oid relid, IndexStmt *stmt, Oid parent)
{
	ListCell *lc;

	foreach(lc, mg_index_list(relid))
	{
		if (OidIsValid(get_index_constraint(lfirst_oid(lc))) &&
			mg_index_matches(lfirst_oid(lc), relid, stmt, parent))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* Queue the build of a constraint's index on one table. */
static void
mg_build_key(MgTab *tab, Constraint *con, MgCause cause, Node *node)
{
	MgTask *task = mg_pending(&tab->builds, MG_WORK_BUILD, cause, node);

	task->constraint = con->conname;
	task->reason = con->conname
					 ? psprintf("the index behind constraint \"%s\" is built", con->conname)
					 : psprintf("the index behind the new %s constraint is built",
								con->contype == CONSTR_PRIMARY  ? "PRIMARY KEY"
								: con->contype == CONSTR_UNIQUE ? "UNIQUE"
																: "EXCLUDE");
}

/* The index of a key on a table, or on the leaves of a partitioned one. */
static void
mg_add_key_tree(MgAlter *cx, Oid relid, Constraint *con, IndexStmt *stmt, MgCause cause, Node *node)
{
	MgTab *tab = mg_tab(cx, relid, MG_ROLE_CHILD);
	ListCell *lc;

	check_stack_depth();
	if (tab->relkind != RELKIND_PARTITIONED_TABLE)
	{
		if (tab->relkind == RELKIND_RELATION)
			mg_build_key(tab, con, cause, node);
		return;
	}
	if (!cx->recurse)
		return;
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		MgTab *child;
		Oid match;

		mg_effect(cx->fp, lfirst_oid(lc), ShareLock, MG_ROLE_CHILD, NULL);
		child = mg_tab(cx, lfirst_oid(lc), MG_ROLE_CHILD);
		match = mg_key_index_match(child->relid, stmt, relid);
		if (OidIsValid(match))
		{
			mg_note(child->eff, "it has a matching constraint, which is adopted");
			mg_effect(cx->fp, match, ShareLock, MG_ROLE_INDEX,
					  "the index becomes part of the new one");
		}
		else
		{
			if (con->deferrable)
				mg_effect(cx->fp, child->relid, ShareRowExclusiveLock, MG_ROLE_CHILD,
						  "it gets the trigger of a deferrable constraint");
			mg_add_key_tree(cx, child->relid, con, stmt, cause, node);
		}
	}
}

/*
 * EXCLUDE: the index, and a second pass that looks for conflicts.  Of a
 * partitioned table, each leaf gets a new one, for those are never compared.
 */
static void
mg_add_exclusion(MgAlter *cx, Oid relid, Constraint *con, Node *node)
{
	MgTab *tab = mg_tab(cx, relid, MG_ROLE_CHILD);
	MgTask *task;
	ListCell *lc;

	check_stack_depth();
	if (tab->relkind == RELKIND_PARTITIONED_TABLE)
	{
		if (!MG_PG_EXCLUSION_OF_PARTITIONED)
			mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "exclusion constraints are not supported on partitioned tables");
		else if (cx->recurse)
		{
			foreach(lc, find_inheritance_children(relid, NoLock))
			{
				mg_effect(cx->fp, lfirst_oid(lc),
						  con->deferrable ? ShareRowExclusiveLock : ShareLock, MG_ROLE_CHILD, NULL);
				mg_add_exclusion(cx, lfirst_oid(lc), con, node);
			}
		}
		return;
	}
	mg_build_key(tab, con, MG_CAUSE_ADD_EXCLUSION, node);
	task = mg_pending(&tab->builds, MG_WORK_SCAN, MG_CAUSE_ADD_EXCLUSION, node);
	task->constraint = con->conname;
	task->reason = "every row is compared with the others for conflicts";
}

/* The columns of an existing index, as names; NIL if one is an expression. */
static List *
mg_index_columns(Oid index, Oid relid)
{
	Form_pg_index form = mg_index_form(index);
	List *names = NIL;

	for (int i = 0; form && i < form->indnkeyatts; i++)
	{
		AttrNumber attnum = form->indkey.values[i];

		if (attnum != 0)
			names = lappend(names, makeString(get_attname(relid, attnum, false)));
	}
	return names;
}

/* ADD UNIQUE | PRIMARY KEY USING INDEX: nothing is built. */
static void
mg_add_key_using_index(MgAlter *cx, Constraint *con, Node *node)
{
	Oid index;

	if (cx->relkind == RELKIND_PARTITIONED_TABLE)
	{
		mg_problem(
			cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
			"ALTER TABLE / ADD CONSTRAINT USING INDEX is not supported on partitioned tables");
		return;
	}
	index = get_relname_relid(con->indexname, get_rel_namespace(cx->relid));
	if (!OidIsValid(index))
	{
		if (cx->fp->script == NULL || !mg_script_alters(cx->fp->script, cx->relid))
			mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT, "index \"%s\" does not exist",
					   con->indexname);
		return;
	}
	if (con->conname && strcmp(con->conname, con->indexname) != 0)
		mg_effect(cx->fp, index, ShareUpdateExclusiveLock, MG_ROLE_INDEX,
				  "the index is renamed like the constraint");
	mg_note(mg_tab(cx, cx->relid, MG_ROLE_TARGET)->eff,
			"the existing index \"%s\" is used, so none is built", con->indexname);
	if (con->contype != CONSTR_PRIMARY)
		return;
	mg_index_key_not_null(cx, mg_index_columns(index, cx->relid), node);
}

/* The columns of a key; one written in ADD COLUMN means that column. */
static List *
mg_key_columns(Constraint *con, Node *node)
{
	AlterTableCmd *cmd = castNode(AlterTableCmd, node);

	if (con->keys == NIL && cmd->subtype == AT_AddColumn)
		return list_make1(makeString(castNode(ColumnDef, cmd->def)->colname));
	return con->keys;
}

/* Does the table have no primary key, or does the statement drop it? */
bool
mg_primary_key_gone(MgAlter *cx, Oid relid)
{
	ListCell *lc;

	foreach(lc, mg_index_list(relid))
	{
		if (mg_index_is_primary(lfirst_oid(lc)) &&
			!list_member_oid(cx->gone_indexes, lfirst_oid(lc)))
			return false;
	}
	return true;
}

/* Is it a column of ranges? */
static bool
mg_is_range(Oid relid, AttrNumber attnum)
{
	Oid type = getBaseType(get_atttype(relid, attnum));

	return type_is_range(type) || type_is_multirange(type);
}

/* Can there be such a key on one column?  If not, records core's error. */
static bool
mg_key_allowed(MgAlter *cx, Constraint *con, const char *column, bool last)
{
	AttrNumber attnum = get_attnum(cx->relid, column);

	if (attnum == InvalidAttrNumber)
		return true;
	if (last && mg_clause_without_overlaps(con) && !mg_is_range(cx->relid, attnum))
		mg_problem(cx->fp, ERRCODE_DATATYPE_MISMATCH,
				   "column \"%s\" in WITHOUT OVERLAPS is not a range or multirange type", column);
	else if (mg_is_virtual(cx->relid, column))
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   con->contype == CONSTR_PRIMARY
					   ? "primary keys on virtual generated columns are not supported"
					   : "unique constraints on virtual generated columns are not supported");
	return cx->fp->problem == NULL;
}

/* ADD UNIQUE, PRIMARY KEY or EXCLUDE, with or without USING INDEX. */
void
mg_add_key(MgAlter *cx, Constraint *con, Node *node)
{
	bool primary = con->contype == CONSTR_PRIMARY;
	MgCause cause = primary ? MG_CAUSE_ADD_PRIMARY_KEY : MG_CAUSE_ADD_UNIQUE;
	List *keys;
	ListCell *lc;

	foreach(lc, con->keys)
	{
		if (!mg_key_allowed(cx, con, strVal(lfirst(lc)), lnext(con->keys, lc) == NULL))
			return;
	}
	if (primary && !mg_primary_key_gone(cx, cx->relid))
	{
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "multiple primary keys for table \"%s\" are not allowed",
				   get_rel_name(cx->relid));
		return;
	}
	if (con->contype == CONSTR_EXCLUSION)
	{
		mg_add_exclusion(cx, cx->relid, con, node);
		return;
	}
	if (con->indexname)
	{
		mg_add_key_using_index(cx, con, node);
		return;
	}
	if (!mg_check_create_in_schema(cx->fp, get_rel_namespace(cx->relid)) ||
		!mg_check_create_in_tablespace(cx->fp, con->indexspace))
		return;
	keys = mg_key_columns(con, node);
	foreach(lc, keys)
	{
		if (primary && (!MG_PG_NOT_NULL_CONSTRAINTS || con->keys == NIL))
			mg_set_not_null(cx, strVal(lfirst(lc)), cx->recurse, cause, node);
		else
			mg_column(cx, cx->relid, strVal(lfirst(lc)));
	}
	mg_add_key_tree(cx, cx->relid, con, mg_key_index(con, keys), cause, node);
}
