/*
 * footprint_type.c
 *
 * Owns ALTER COLUMN TYPE: the rewrite, and everything that depends on the
 * column and is dropped and made again: indexes (whose files may be kept),
 * CHECK constraints (verified again), foreign keys (perhaps validated again)
 * and statistics objects.
 *
 * Follows ATPrepAlterColumnType(), ATExecAlterColumnType() and
 * ATPostAlterTypeCleanup() of tablecmds.c.
 */
#include "mg_alter.h"

#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"

/* Is the column, by name rather than in an expression, part of the partition key? */
bool
mg_in_partition_key(Oid relid, AttrNumber attnum)
{
	HeapTuple tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	bool found = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	for (int i = 0; i < ((Form_pg_partitioned_table) GETSTRUCT(tuple))->partnatts; i++)
		found |= ((Form_pg_partitioned_table) GETSTRUCT(tuple))->partattrs.values[i] == attnum;
	ReleaseSysCache(tuple);
	return found;
}

/* A column that earlier statements of the script make or rename: the worst is assumed. */
static void
mg_type_unknown(MgAlter *cx, AlterTableCmd *cmd)
{
	ListCell *lc;

	foreach(lc, mg_tree(cx->relid, cx->recurse))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));
		MgTask *task;

		if (!mg_has_storage(tab->relkind))
			continue;
		task = mg_pending(&tab->rewrites, MG_WORK_REWRITE, MG_CAUSE_ALTER_TYPE, (Node *) cmd);
		task->column = cmd->name;
		task->reason = psprintf(
			"column \"%s\" is not known before the statements before it have run, so a rewrite is assumed",
			cmd->name);
	}
}

/* What core refuses before it does anything. */
static bool
mg_type_allowed(MgAlter *cx, AlterTableCmd *cmd)
{
	HeapTuple tuple = SearchSysCacheAttName(cx->relid, cmd->name);
	FormData_pg_attribute att;

	if (!HeapTupleIsValid(tuple))
	{
		mg_column(cx, cx->relid, cmd->name);
		if (cx->fp->problem == NULL)
			mg_type_unknown(cx, cmd);
		return false;
	}
	memcpy(&att, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	ReleaseSysCache(tuple);

	if (!mg_column_is_own(cx, &att, "alter"))
		return false;
	if (!cx->recurse && has_subclass(cx->relid) &&
		find_inheritance_children(cx->relid, NoLock) != NIL)
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "type of inherited column \"%s\" must be changed in child tables too",
				   cmd->name);
	else
		return true;
	return false;
}

/*
 * Is the relation's row type the type of some column?  Then core refuses to
 * change what a row consists of, which is recorded as a problem.
 */
static bool
mg_row_type_used(MgAlter *cx, MgTab *tab)
{
	const char *column = mg_row_type_column(cx->fp, tab->relid);
	const char *name = get_rel_name(tab->relid);

	if (column == NULL)
		return false;
	if (tab->relkind == RELKIND_COMPOSITE_TYPE)
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot alter type \"%s\" because column \"%s\" uses it", name, column);
	else
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "cannot alter %s \"%s\" because column \"%s\" uses its row type",
				   tab->relkind == RELKIND_FOREIGN_TABLE ? "foreign table" : "table", name, column);
	return true;
}

/*
 * Does the statement change what the rows of a table consist of, not only where
 * they are?  Older minor releases refuse SET LOGGED and SET ACCESS METHOD as
 * well; that is no loss, for they do so before they work.
 */
static bool
mg_rows_change(MgTab *tab)
{
	ListCell *lc;

	foreach(lc, tab->rewrites)
	{
		MgCause cause = ((MgTask *) lfirst(lc))->cause;

		if (cause != MG_CAUSE_SET_LOGGED && cause != MG_CAUSE_SET_ACCESS_METHOD)
			return true;
	}
	foreach(lc, tab->retyped)
	{
		MgRetyped *retyped = lfirst(lc);

		if (!retyped->expression || !retyped->is_virtual)
			return true;
	}
	return tab->valued;
}

/*
 * The same for all tables whose rows change.  Core asks when it comes to each
 * of them, after the indexes that it builds before it touches any table: a
 * statement that has done work by then is judged as if it would succeed.
 */
void
mg_alter_row_types(MgAlter *cx)
{
	bool worked = false;
	ListCell *lc;

	foreach(lc, cx->tabs)
	{
		MgTab *tab = lfirst(lc);

		worked |= tab->builds != NIL && tab->rewrites == NIL;
	}
	foreach(lc, cx->tabs)
	{
		MgTab *tab = lfirst(lc);

		if (worked)
			return;
		if (!mg_has_storage(tab->relkind))
			continue;
		if (mg_rows_change(tab) && mg_row_type_used(cx, tab))
			return;
		worked = tab->rewrites != NIL || tab->scans != NIL || tab->copies != NIL;
	}
}

/* ALTER COLUMN TYPE: the decision is the same for all descendants. */
void
mg_alter_column_type(MgAlter *cx, AlterTableCmd *cmd)
{
	MgRetyped *decided;
	ListCell *lc;

	if (!mg_type_allowed(cx, cmd) ||
		(decided = mg_decide_type_change(cx->fp, cx->relid, cmd)) == NULL)
		return;

	if (decided->identity)
		mg_effect(cx->fp, mg_identity_sequence(cx->relid, decided->attnum), ShareRowExclusiveLock,
				  MG_ROLE_OTHER, "the sequence of the identity column changes its type");

	foreach(lc, mg_tree(cx->relid, cx->recurse))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));
		MgRetyped *retyped = palloc(sizeof(MgRetyped));
		MgTask *task;

		*retyped = *decided;
		retyped->attnum = get_attnum(tab->relid, cmd->name);
		tab->retyped = lappend(tab->retyped, retyped);
		if (!mg_has_storage(tab->relkind))
		{
			mg_row_type_used(cx, tab);
			continue;
		}
		if (retyped->is_virtual)
			mg_row_type_used(cx, tab);
		if (!retyped->rewrite)
		{
			mg_note(tab->eff,
					retyped->is_virtual ? "no values of column \"%s\" are stored"
										: "the stored values of column \"%s\" stay as they are",
					cmd->name);
			continue;
		}
		task = mg_pending(&tab->rewrites, MG_WORK_REWRITE, MG_CAUSE_ALTER_TYPE, (Node *) cmd);
		task->column = cmd->name;
		task->reason = psprintf(
			"the values of column \"%s\" are converted from type %s, so the table is rewritten",
			cmd->name, format_type_be(retyped->oldtype));
	}
}

#ifdef MG_AT_SET_EXPRESSION
/* The column's row, as far as it matters here; also of one that the statement adds. */
static FormData_pg_attribute
mg_generated_column(MgTab *tab, const char *name)
{
	FormData_pg_attribute att = mg_column_form(tab->relid, name);
	MgNewColumn *added = mg_tab_new_column(tab, name);

	if (added)
	{
		memset(&att, 0, sizeof(att));
		att.attnotnull = added->not_null;
		if (added->generated)
			att.attgenerated = added->is_virtual ? MG_GENERATED_VIRTUAL
												 : ATTRIBUTE_GENERATED_STORED;
	}
	return att;
}

/* What core refuses of SET EXPRESSION before it does anything. */
static bool
mg_expression_allowed(MgAlter *cx, Oid relid, const char *column, const FormData_pg_attribute *att)
{
	mg_column(cx, relid, column);
	if (att->attnum < 0)
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED, "cannot alter system column \"%s\"",
				   column);
	else if (att->attgenerated == '\0')
		mg_problem(cx->fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "column \"%s\" of relation \"%s\" is not a generated column", column,
				   get_rel_name(relid));
	else if (att->attgenerated == MG_GENERATED_VIRTUAL && !MG_PG_VIRTUAL_CHECKED_AGAIN &&
			 mg_has_checks(relid))
		mg_problem(
			cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
			"ALTER TABLE / SET EXPRESSION is not supported for virtual generated columns in tables with check constraints");
	else if (att->attgenerated == MG_GENERATED_VIRTUAL && mg_has_publications(relid))
		mg_problem(
			cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
			"ALTER TABLE / SET EXPRESSION is not supported for virtual generated columns in tables that are part of a publication");
	return cx->fp->problem == NULL;
}

/* What depends on the column is made again: like after a change of type. */
static void
mg_remake_for_expression(MgTab *tab, AlterTableCmd *cmd, const FormData_pg_attribute *att)
{
	MgRetyped *retyped = palloc0(sizeof(MgRetyped));

	retyped->attnum = att->attnum;
	retyped->oldtype = retyped->newtype = att->atttypid;
	retyped->newtypmod = att->atttypmod;
	retyped->oldcoll = retyped->newcoll = att->attcollation;
	retyped->expression = true;
	retyped->is_virtual = att->attgenerated == MG_GENERATED_VIRTUAL;
	retyped->rewrite = !retyped->is_virtual;
	retyped->node = (Node *) cmd;
	retyped->column = cmd->name;
	tab->retyped = lappend(tab->retyped, retyped);
}

/* Another expression of a stored generated column: every row is written anew. */
static void
mg_set_stored_expression(MgTab *tab, AlterTableCmd *cmd, const FormData_pg_attribute *att)
{
	MgTask *task;

	mg_remake_for_expression(tab, cmd, att);
	if (!mg_has_storage(tab->relkind))
		return;
	task = mg_pending(&tab->rewrites, MG_WORK_REWRITE, MG_CAUSE_SET_EXPRESSION, (Node *) cmd);
	task->column = cmd->name;
	task->reason = psprintf(
		"generated column \"%s\" is computed anew and stored for every row, so the table is rewritten",
		cmd->name);
}

/* Of a virtual one: what is known of its values has to be verified again. */
static void
mg_set_virtual_expression(MgTab *tab, AlterTableCmd *cmd, const FormData_pg_attribute *att)
{
	MgTask *task;

	if (MG_PG_VIRTUAL_CHECKED_AGAIN && att->attnum > 0)
		mg_remake_for_expression(tab, cmd, att);
	if (!mg_has_storage(tab->relkind))
		return;
	if (!att->attnotnull && (att->attnum == InvalidAttrNumber || !mg_has_checks(tab->relid)))
	{
		mg_note(tab->eff, "generated column \"%s\" is computed when it is read, so no row is read",
				cmd->name);
		return;
	}
	task = mg_pending(&tab->scans, MG_WORK_SCAN, MG_CAUSE_SET_EXPRESSION, (Node *) cmd);
	task->column = cmd->name;
	task->reason = psprintf("every row is checked with the new values of generated column \"%s\"",
							cmd->name);
}

/* SET EXPRESSION. */
void
mg_alter_set_expression(MgAlter *cx, AlterTableCmd *cmd)
{
	ListCell *lc;

	foreach(lc, mg_tree(cx->relid, cx->recurse))
	{
		MgTab *tab = mg_tab_child(cx, lfirst_oid(lc));
		FormData_pg_attribute att = mg_generated_column(tab, cmd->name);

		if (!mg_expression_allowed(cx, tab->relid, cmd->name, &att))
			return;
		if (att.attgenerated == MG_GENERATED_VIRTUAL)
			mg_set_virtual_expression(tab, cmd, &att);
		else if (att.attnum > 0) /* a new one is written by ADD COLUMN */
			mg_set_stored_expression(tab, cmd, &att);
	}
}
#endif

/* An index that is dropped and made again: a build, or the old file. */
static void
mg_remake_index(MgAlter *cx, MgTab *tab, Oid index, bool keep)
{
	MgTask *task;

	mg_effect(cx->fp, index, AccessExclusiveLock, MG_ROLE_INDEX,
			  "the index is dropped and made again");
	cx->gone_indexes = lappend_oid(cx->gone_indexes, index);
	if (!mg_has_storage(tab->relkind))
		return;
	task = mg_pending(keep ? &tab->reused : &tab->builds, MG_WORK_BUILD,
					  MG_CAUSE_ALTER_TYPE_DEPENDENTS, (Node *) linitial(cx->stmt->cmds));
	task->index = index;
	if (tab->retyped != NIL)
		task->column = ((MgRetyped *) linitial(tab->retyped))->column;
	task->reason = keep ? psprintf("index \"%s\" keeps its file", get_rel_name(index))
						: psprintf("index \"%s\" has to be built anew", get_rel_name(index));
}

/* The member of a tree of indexes that belongs to a table, or InvalidOid. */
static Oid
mg_index_of(List *indexes, Oid relid)
{
	ListCell *lc;

	foreach(lc, indexes)
	{
		if (IndexGetRelation(lfirst_oid(lc), true) == relid)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/*
 * The index of a partitioned table: every partition gets a new one, also in
 * the place of one that could have kept its file.
 */
static void
mg_remake_partitioned_index(MgAlter *cx, MgTab *tab, Oid index)
{
	List *indexes = mg_tree(index, true);
	ListCell *lc;

	foreach(lc, mg_tree(tab->relid, true))
	{
		MgTab *part = mg_tab_child(cx, lfirst_oid(lc));
		Oid part_index = mg_index_of(indexes, part->relid);

		if (OidIsValid(part_index))
			mg_remake_index(cx, part, part_index, false);
		else if (mg_has_storage(part->relkind))
			mg_pending(&part->builds, MG_WORK_BUILD, MG_CAUSE_ALTER_TYPE_DEPENDENTS,
					   (Node *) linitial(cx->stmt->cmds))
				->reason = psprintf("it gets an index for \"%s\" of its parent",
									get_rel_name(index));
	}
}

/* An index that depends on a retyped column; of another table if that has values of the row type. */
static void
mg_retyped_index(MgAlter *cx, MgTab *tab, Oid index)
{
	Oid table = IndexGetRelation(index, true);

	if (list_member_oid(cx->gone_indexes, index) || get_rel_relispartition(index))
		return; /* seen already, or it goes with its parent */
	if (table != tab->relid)
	{
		mg_effect(cx->fp, table, AccessExclusiveLock, MG_ROLE_OTHER, NULL);
		tab = mg_tab(cx, table, MG_ROLE_OTHER);
	}
	if (get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX)
		mg_remake_partitioned_index(cx, tab, index);
	else
		mg_remake_index(cx, tab, index,
						tab->retyped != NIL && mg_index_storage_kept(index, tab->retyped));
}

/* A CHECK constraint is verified again, on descendants as well. */
static void
mg_retyped_check(MgAlter *cx, Form_pg_constraint form)
{
	ListCell *lc;

	foreach(lc, mg_tree(form->conrelid, !form->connoinherit))
	{
		MgTab *tab;
		MgTask *task;

		mg_effect(cx->fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_OTHER, NULL);
		tab = mg_tab(cx, lfirst_oid(lc), MG_ROLE_OTHER);
		if (!form->convalidated || !mg_has_storage(tab->relkind))
			continue;
		task = mg_pending(&tab->scans, MG_WORK_SCAN, MG_CAUSE_ALTER_TYPE_DEPENDENTS,
						  (Node *) linitial(cx->stmt->cmds));
		task->constraint = pstrdup(NameStr(form->conname));
		task->reason = psprintf("every row is checked again against constraint \"%s\"",
								NameStr(form->conname));
	}
}

/* A foreign key: both sides are locked, and it may have to be validated again. */
static void
mg_retyped_fkey(MgAlter *cx, MgTab *tab, Form_pg_constraint form)
{
	bool partitioned = get_rel_relkind(form->conrelid) == RELKIND_PARTITIONED_TABLE;
	MgTab *referencing;
	ListCell *lc;

	/* one that is not enforced has no triggers there */
	mg_lock_referenced(cx->fp, form->confrelid,
					   mg_row_enforced(form) ? AccessExclusiveLock : ShareRowExclusiveLock,
					   psprintf("foreign key \"%s\" is dropped and made again",
								NameStr(form->conname)));
	mg_lock_referenced(cx->fp, form->conrelid, AccessExclusiveLock,
					   psprintf("foreign key \"%s\" is dropped and made again",
								NameStr(form->conname)));
	referencing = mg_tab(cx, form->conrelid, MG_ROLE_PEER);
	if (!form->convalidated || (tab->rewrites == NIL && referencing->rewrites == NIL &&
								mg_fkey_still_proven(form->oid, tab->relid, tab->retyped)))
		return;
	foreach(lc, mg_tree(form->conrelid, partitioned))
	{
		MgTab *leaf = mg_tab(cx, lfirst_oid(lc), MG_ROLE_PEER);

		if (leaf->relkind == RELKIND_RELATION)
			mg_validate_fkey(leaf, form->confrelid,
							 tab->rewrites != NIL ? MG_CAUSE_ALTER_TYPE
												  : MG_CAUSE_ALTER_TYPE_DEPENDENTS,
							 (Node *) linitial(cx->stmt->cmds), pstrdup(NameStr(form->conname)),
							 false);
	}
}

/* A constraint that depends on a retyped column. */
static void
mg_retyped_constraint(MgAlter *cx, MgTab *tab, Oid conoid, List **seen)
{
	Form_pg_constraint form;

	if (list_member_oid(*seen, conoid) || list_member_oid(cx->gone_constraints, conoid))
		return;
	*seen = lappend_oid(*seen, conoid);
	form = mg_constraint_form(conoid);
	if (form == NULL)
		return;
	/* a domain's constraint reads no table; inherited ones are made again with their parent's */
	if (form->conislocal && OidIsValid(form->conrelid))
	{
		switch (form->contype)
		{
			case CONSTRAINT_CHECK:
				mg_retyped_check(cx, form);
				break;
			case CONSTRAINT_FOREIGN:
				mg_retyped_fkey(cx, tab, form);
				break;
			case CONSTRAINT_PRIMARY:
			case CONSTRAINT_UNIQUE:
			case CONSTRAINT_EXCLUSION:
				mg_retyped_index(cx, tab, form->conindid);
				break;
			default:
				break;
		}
	}
}

/* Dependents that core does not make again: it refuses. */
static const struct
{
	Oid classid;
	const char *used;
} mg_type_blockers[] = {{ProcedureRelationId, "by a function or procedure"},
						{RewriteRelationId, "by a view or rule"},
						{TriggerRelationId, "in a trigger definition"},
						{PolicyRelationId, "in a policy definition"},
						{PublicationRelRelationId, "by a publication WHERE clause"}};

/* Has the statement dropped it, which comes first however it is written, or the script so far? */
static bool
mg_is_gone(MgAlter *cx, const ObjectAddress *object)
{
	ListCell *lc;

	if (cx->fp->script && object->classId != RelationRelationId &&
		list_member_oid(cx->fp->script->dropped, object->objectId))
		return true;
	foreach(lc, cx->gone)
	{
		const ObjectAddress *gone = lfirst(lc);

		if (gone->classId == object->classId && gone->objectId == object->objectId &&
			gone->objectSubId == object->objectSubId)
			return true;
	}
	return false;
}

/* Is there something that makes core refuse? */
static bool
mg_type_blocked(MgAlter *cx, const MgRetyped *retyped, const ObjectAddress *object, Oid relid)
{
	if (retyped->expression)
		return false;
	for (int i = 0; i < (int) lengthof(mg_type_blockers); i++)
	{
		if (object->classId != mg_type_blockers[i].classid)
			continue;
		mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED, "cannot alter type of a column used %s",
				   mg_type_blockers[i].used);
		return true;
	}
	if (object->classId == AttrDefaultRelationId)
	{
		ObjectAddress column = GetAttrDefaultColumnAddress(object->objectId);

		if (column.objectId == relid && column.objectSubId != retyped->attnum)
		{
			mg_problem(cx->fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "cannot alter type of a column used by a generated column");
			return true;
		}
	}
	return false;
}

/* A statistics object of another table locks that table. */
static void
mg_retyped_statistics(MgAlter *cx, Oid stxoid)
{
	HeapTuple tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(stxoid));

	if (!HeapTupleIsValid(tuple))
		return;
	mg_effect(cx->fp, ((Form_pg_statistic_ext) GETSTRUCT(tuple))->stxrelid, AccessExclusiveLock,
			  MG_ROLE_OTHER, "its extended statistics are dropped and made again");
	ReleaseSysCache(tuple);
}

/* Everything that depends on one retyped column of one table. */
static void
mg_retyped_column(MgAlter *cx, MgTab *tab, MgRetyped *retyped, List **seen)
{
	ObjectAddress column;
	ListCell *lc;

	ObjectAddressSubSet(column, RelationRelationId, tab->relid, retyped->attnum);
	foreach(lc, mg_depend_rows(&column, true))
	{
		Form_pg_depend form = lfirst(lc);
		ObjectAddress object = {form->classid, form->objid, form->objsubid};

		if (mg_is_gone(cx, &object))
			continue;
		if (mg_type_blocked(cx, retyped, &object, tab->relid))
			break;
		if (object.classId == ConstraintRelationId)
			mg_retyped_constraint(cx, tab, object.objectId, seen);
		else if (object.classId == StatisticExtRelationId)
			mg_retyped_statistics(cx, object.objectId);
		else if (object.classId == RelationRelationId)
		{
			char relkind = get_rel_relkind(object.objectId);
			Oid conoid = InvalidOid;

			if (relkind != RELKIND_INDEX && relkind != RELKIND_PARTITIONED_INDEX)
				continue;
			conoid = get_index_constraint(object.objectId);
			if (OidIsValid(conoid))
				mg_retyped_constraint(cx, tab, conoid, seen);
			else
				mg_retyped_index(cx, tab, object.objectId);
		}
	}
}

/* After all changes of types, or of expressions, are known: what has to be made again. */
void
mg_alter_type_dependents(MgAlter *cx, bool expressions)
{
	List *seen = NIL;

	/* making a foreign key again may bring further tables to the end of the list */
	for (int i = 0; i < list_length(cx->tabs); i++)
	{
		MgTab *tab = list_nth(cx->tabs, i);
		ListCell *lc;

		foreach(lc, tab->retyped)
		{
			if (((MgRetyped *) lfirst(lc))->expression == expressions)
				mg_retyped_column(cx, tab, lfirst(lc), &seen);
		}
	}
}
