/*
 * footprint_alter.c
 *
 * Owns the frame of ALTER TABLE (and INDEX, SEQUENCE, VIEW, MATERIALIZED
 * VIEW, FOREIGN TABLE): one row per subcommand, the passes in which core
 * executes them, the simple subcommands themselves, and the final step that
 * turns what was asked of each table into one rewrite or one scan.
 *
 * Follows AlterTable(), ATPrepCmd(), ATRewriteCatalogs() and
 * ATRewriteTables() of tablecmds.c.
 */
#include "mg_alter.h"
#include "mg_objects.h"

#include "commands/tablecmds.h"
#include "catalog/dependency.h"

typedef void (*MgAlterFn)(MgAlter *cx, AlterTableCmd *cmd);

/* How a subcommand spreads to partitions and inheritance children. */
typedef enum MgSpread
{
	MG_SPREAD_NONE = 0, /* target only */
	MG_SPREAD_ALL,      /* all descendants, unless ONLY */
	MG_SPREAD_MARKS     /* the same, where NOT NULL is a mark */
} MgSpread;

/* A row of the table below. */
typedef struct MgAlterRow
{
	const char *action;   /* what core calls it */
	const char *relkinds; /* of relations that it can be done to; "": core does not ask */
	MgPass pass;
	MgSpread spread;
	MgAlterFn fn; /* what else it does, or NULL: the lock is all */
} MgAlterRow;

/*
 * Every subcommand that the grammar makes.  Those that core only makes for
 * itself are not here.
 */
#define MG_ROW(action, relkinds, pass, spread, fn)               \
	{                                                            \
		action, relkinds, MG_PASS_##pass, MG_SPREAD_##spread, fn \
	}

static const MgAlterRow mg_alter_rows[] = {
	[AT_AddColumn] = MG_ROW("ADD COLUMN", "rpcf", ADD_COLUMN, NONE, mg_alter_add_column),
	[AT_ColumnDefault] = MG_ROW("ALTER COLUMN ... SET DEFAULT", "rpvf", MISC, ALL,
								mg_alter_column_exists),
	[AT_DropNotNull] = MG_ROW("ALTER COLUMN ... DROP NOT NULL", "rpf", DROP, MARKS,
							  mg_alter_drop_not_null),
	[AT_SetNotNull] = MG_ROW("ALTER COLUMN ... SET NOT NULL", "rpf", SET_NOT_NULL, NONE,
							 mg_alter_set_not_null),
#ifdef MG_AT_SET_EXPRESSION
	[MG_AT_SET_EXPRESSION] = MG_ROW("ALTER COLUMN ... SET EXPRESSION", "rpf", SET_EXPRESSION, ALL,
									mg_alter_set_expression),
#endif
	[AT_DropExpression] = MG_ROW("ALTER COLUMN ... DROP EXPRESSION", "rpf", DROP, ALL,
								 mg_alter_drop_expression),
	[AT_SetStatistics] = MG_ROW("ALTER COLUMN ... SET STATISTICS", "rpmiIf", MISC, ALL, NULL),
	[AT_SetOptions] = MG_ROW("ALTER COLUMN ... SET", "rpmf", MISC, NONE, mg_alter_column_exists),
	[AT_ResetOptions] = MG_ROW("ALTER COLUMN ... RESET", "rpmf", MISC, NONE,
							   mg_alter_column_exists),
	[AT_SetStorage] = MG_ROW("ALTER COLUMN ... SET STORAGE", "rpmf", MISC, ALL,
							 mg_alter_column_exists),
	[AT_SetCompression] = MG_ROW("ALTER COLUMN ... SET COMPRESSION", "rpm", MISC, NONE,
								 mg_alter_column_exists),
	[AT_DropColumn] = MG_ROW("DROP COLUMN", "rpcf", DROP, NONE, mg_alter_drop_column),
	[AT_AddConstraint] = MG_ROW("ADD CONSTRAINT", "rpf", ADD_CONSTRAINT, NONE,
								mg_alter_add_constraint),
	[AT_AlterConstraint] = MG_ROW("ALTER CONSTRAINT", "rp", MISC, NONE, mg_alter_constraint),
	[AT_ValidateConstraint] = MG_ROW("VALIDATE CONSTRAINT", "rpf", MISC, NONE, mg_alter_validate),
	[AT_DropConstraint] = MG_ROW("DROP CONSTRAINT", "rpf", DROP, NONE, mg_alter_drop_constraint),
	[AT_AlterColumnType] = MG_ROW("ALTER COLUMN ... SET DATA TYPE", "rpcf", ALTER_TYPE, NONE,
								  mg_alter_column_type),
	[AT_AlterColumnGenericOptions] = MG_ROW("ALTER COLUMN ... OPTIONS", "f", MISC, NONE,
											mg_alter_column_exists),
	[AT_ChangeOwner] = MG_ROW("OWNER TO", "", MISC, NONE, mg_alter_owner),
	[AT_ClusterOn] = MG_ROW("CLUSTER ON", "rpm", MISC, NONE, mg_alter_cluster_on),
	[AT_DropCluster] = MG_ROW("SET WITHOUT CLUSTER", "rpm", MISC, NONE, NULL),
	[AT_SetLogged] = MG_ROW("SET LOGGED", MG_LOGGED_KINDS, PREPARE, NONE, mg_alter_logged),
	[AT_SetUnLogged] = MG_ROW("SET UNLOGGED", MG_LOGGED_KINDS, PREPARE, NONE, mg_alter_logged),
	[AT_DropOids] = MG_ROW("SET WITHOUT OIDS", "rpf", MISC, NONE, NULL),
	[AT_SetAccessMethod] = MG_ROW("SET ACCESS METHOD", "rpm", PREPARE, NONE,
								  mg_alter_access_method),
	[AT_SetTableSpace] = MG_ROW("SET TABLESPACE", "rpmiI", MISC, NONE, mg_alter_tablespace),
	[AT_SetRelOptions] = MG_ROW("SET", "rpvmi", MISC, NONE, NULL),
	[AT_ResetRelOptions] = MG_ROW("RESET", "rpvmi", MISC, NONE, NULL),
	[AT_ReplaceRelOptions] = MG_ROW("SET", "rpvmi", MISC, NONE, NULL),
	[AT_EnableTrig] = MG_ROW("ENABLE TRIGGER", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_EnableAlwaysTrig] = MG_ROW("ENABLE ALWAYS TRIGGER", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_EnableReplicaTrig] = MG_ROW("ENABLE REPLICA TRIGGER", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_DisableTrig] = MG_ROW("DISABLE TRIGGER", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_EnableTrigAll] = MG_ROW("ENABLE TRIGGER ALL", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_DisableTrigAll] = MG_ROW("DISABLE TRIGGER ALL", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_EnableTrigUser] = MG_ROW("ENABLE TRIGGER USER", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_DisableTrigUser] = MG_ROW("DISABLE TRIGGER USER", "rpf", MISC, NONE, mg_alter_triggers),
	[AT_EnableRule] = MG_ROW("ENABLE RULE", "rp", MISC, NONE, NULL),
	[AT_EnableAlwaysRule] = MG_ROW("ENABLE ALWAYS RULE", "rp", MISC, NONE, NULL),
	[AT_EnableReplicaRule] = MG_ROW("ENABLE REPLICA RULE", "rp", MISC, NONE, NULL),
	[AT_DisableRule] = MG_ROW("DISABLE RULE", "rp", MISC, NONE, NULL),
	[AT_AddInherit] = MG_ROW("INHERIT", "rpf", MISC, NONE, mg_alter_inherit),
	[AT_DropInherit] = MG_ROW("NO INHERIT", "rpf", MISC, NONE, NULL),
	[AT_AddOf] = MG_ROW("OF", "rp", MISC, NONE, NULL),
	[AT_DropOf] = MG_ROW("NOT OF", "rp", MISC, NONE, NULL),
	[AT_ReplicaIdentity] = MG_ROW("REPLICA IDENTITY", "rpm", MISC, NONE, mg_alter_replica_identity),
	[AT_EnableRowSecurity] = MG_ROW("ENABLE ROW SECURITY", "rp", MISC, NONE, NULL),
	[AT_DisableRowSecurity] = MG_ROW("DISABLE ROW SECURITY", "rp", MISC, NONE, NULL),
	[AT_ForceRowSecurity] = MG_ROW("FORCE ROW SECURITY", "rp", MISC, NONE, NULL),
	[AT_NoForceRowSecurity] = MG_ROW("NO FORCE ROW SECURITY", "rp", MISC, NONE, NULL),
	[AT_GenericOptions] = MG_ROW("OPTIONS", "f", MISC, NONE, NULL),
	[AT_AttachPartition] = MG_ROW("ATTACH PARTITION", MG_ATTACH_KINDS, MISC, NONE, mg_alter_attach),
	[AT_DetachPartition] = MG_ROW("DETACH PARTITION", MG_DETACH_KINDS, MISC, NONE, mg_alter_detach),
	[AT_DetachPartitionFinalize] = MG_ROW("DETACH PARTITION ... FINALIZE", MG_DETACH_KINDS, MISC,
										  NONE, mg_alter_detach_finalize),
	[AT_AddIdentity] = MG_ROW("ALTER COLUMN ... ADD IDENTITY", "rpvf", MISC, NONE,
							  mg_alter_identity),
	[AT_SetIdentity] = MG_ROW("ALTER COLUMN ... SET", "rpvf", MISC, NONE, mg_alter_identity),
	[AT_DropIdentity] = MG_ROW("ALTER COLUMN ... DROP IDENTITY", "rpvf", DROP, NONE,
							   mg_alter_identity)};

/* The row of a subcommand, or NULL. */
static const MgAlterRow *
mg_alter_row(AlterTableCmd *cmd)
{
	if ((size_t) cmd->subtype >= lengthof(mg_alter_rows) ||
		mg_alter_rows[cmd->subtype].action == NULL)
		return NULL;
	return &mg_alter_rows[cmd->subtype];
}

/*
 * ADD CONSTRAINT is one subcommand of the grammar, but core executes indexes
 * before the other constraints.
 */
static MgPass
mg_alter_pass(AlterTableCmd *cmd)
{
	if (cmd->subtype == AT_AddConstraint)
	{
		switch (castNode(Constraint, cmd->def)->contype)
		{
			case CONSTR_PRIMARY:
			case CONSTR_UNIQUE:
			case CONSTR_EXCLUSION:
				return MG_PASS_ADD_INDEX;
			case CONSTR_NOTNULL:
				return MG_PASS_SET_NOT_NULL;
			default:
				return MG_PASS_ADD_CONSTRAINT;
		}
	}
	return mg_alter_row(cmd)->pass;
}

/* Does a relation of this kind have files of its own? */
bool
mg_has_storage(char relkind)
{
	return RELKIND_HAS_STORAGE(relkind);
}

/* Find or add what the statement asks of a table.  No lock is added. */
MgTab *
mg_tab(MgAlter *cx, Oid relid, MgRole role)
{
	MgEffect *eff = mg_effect(cx->fp, relid, NoLock, role, NULL);
	MgTab *tab = eff->tab;

	if (tab == NULL)
	{
		tab = palloc0(sizeof(MgTab));
		tab->relid = relid;
		tab->eff = eff;
		tab->relkind = eff->relkind;
		eff->tab = tab;
		cx->tabs = lappend(cx->tabs, tab);
	}
	return tab;
}

/* The same for a descendant of the target, which core wants to be owned, too. */
MgTab *
mg_tab_child(MgAlter *cx, Oid relid)
{
	MgEffect *eff = mg_effect_find(cx->fp, relid);

	if (relid != cx->relid && (eff == NULL || eff->tab == NULL))
		mg_check_owner(cx->fp, relid);
	mg_effect(cx->fp, relid, cx->lockmode, relid == cx->relid ? MG_ROLE_TARGET : MG_ROLE_CHILD,
			  NULL);
	return mg_tab(cx, relid, MG_ROLE_CHILD);
}

/* Add a task that is settled only when all subcommands are known. */
MgTask *
mg_pending(List **list, MgWork work, MgCause cause, Node *node)
{
	MgTask *task = palloc0(sizeof(MgTask));

	task->work = work;
	task->cause = cause;
	task->node = node;
	*list = lappend(*list, task);
	return task;
}

/* Lock all descendants with the statement's lock. */
void
mg_lock_children(MgAlter *cx, Oid relid)
{
	ListCell *lc;

	foreach(lc, mg_tree(relid, true))
	{
		if (lfirst_oid(lc) == relid)
			continue;
		mg_check_owner(cx->fp, lfirst_oid(lc));
		mg_effect(cx->fp, lfirst_oid(lc), cx->lockmode, MG_ROLE_CHILD, NULL);
	}
}

/* The same where core does not ask whose they are. */
void
mg_lock_descendants(MgAlter *cx)
{
	ListCell *lc;

	foreach(lc, mg_tree(cx->relid, cx->recurse))
	{
		if (lfirst_oid(lc) != cx->relid)
			mg_effect(cx->fp, lfirst_oid(lc), cx->lockmode, MG_ROLE_CHILD, NULL);
	}
}

/* A column that an earlier subcommand of the same statement adds, or NULL. */
MgNewColumn *
mg_tab_new_column(MgTab *tab, const char *name)
{
	ListCell *lc;

	foreach(lc, tab->added)
	{
		MgNewColumn *column = lfirst(lc);

		if (strcmp(column->def->colname, name) == 0)
			return column;
	}
	return NULL;
}

/* Is the name in a list of names? */
bool
mg_name_in(List *names, const char *name)
{
	ListCell *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* Drop columns or constraints, and remember what later passes must not count on. */
void
mg_drop_with(MgAlter *cx, List *named, DropBehavior behavior)
{
	ListCell *lc;

	foreach(lc, mg_drop_objects(cx->fp, named, behavior, false))
	{
		ObjectAddress *object = lfirst(lc);

		cx->gone = lappend(cx->gone, object);
		if (object->classId == RelationRelationId && object->objectSubId == 0)
			cx->gone_indexes = lappend_oid(cx->gone_indexes, object->objectId);
		else if (object->classId == ConstraintRelationId)
		{
			cx->gone_constraints = lappend_oid(cx->gone_constraints, object->objectId);
			cx->fp->dropped = lappend_oid(cx->fp->dropped, object->objectId);
		}
	}
}

/*
 * Number of a column.  Zero: there is none, and core will say so, unless the
 * statement itself or the script so far makes it.
 */
AttrNumber
mg_column(MgAlter *cx, Oid relid, const char *name)
{
	AttrNumber attnum = get_attnum(relid, name);

	if (attnum == InvalidAttrNumber &&
		mg_tab_new_column(mg_tab(cx, relid, MG_ROLE_TARGET), name) == NULL &&
		!(cx->fp->script && mg_script_column(cx->fp->script, relid, name)))
		mg_problem(cx->fp, ERRCODE_UNDEFINED_COLUMN,
				   "column \"%s\" of relation \"%s\" does not exist", name, get_rel_name(relid));
	return attnum;
}

/* The lock, as far as a subcommand spreads. */
static void
mg_alter_spread(MgAlter *cx, const MgAlterRow *row)
{
	if (cx->recurse && (row->spread == MG_SPREAD_ALL ||
						(row->spread == MG_SPREAD_MARKS && !MG_PG_NOT_NULL_CONSTRAINTS)))
		mg_lock_children(cx, cx->relid);
}

/* Move pending tasks to the effect. */
static void
mg_settle(MgTab *tab, List *tasks)
{
	tab->eff->tasks = list_concat(tab->eff->tasks, tasks);
}

/* A rewrite builds every index of the table that is still there. */
static void
mg_settle_rewrite(MgAlter *cx, MgTab *tab)
{
	MgTask *first = linitial(tab->rewrites);
	ListCell *lc;

	mg_settle(tab, tab->rewrites);
	foreach(lc, mg_index_list(tab->relid))
	{
		MgTask *build;

		if (list_member_oid(cx->gone_indexes, lfirst_oid(lc)))
			continue;
		mg_effect(cx->fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_INDEX,
				  "the index is built anew with its table");
		build = mg_task(tab->eff, MG_WORK_BUILD, first->cause, first->node);
		build->index = lfirst_oid(lc);
	}
	foreach(lc, tab->reused)
	{
		MgTask *build = lfirst(lc);

		build->cause = first->cause;
		build->reason = NULL; /* it said that the file is kept */
		tab->eff->tasks = lappend(tab->eff->tasks, build);
	}
	foreach(lc, tab->scans)
		mg_note(tab->eff, "%s, in the same pass", ((MgTask *) lfirst(lc))->reason);
}

/* Foreign keys are validated one by one, after everything else. */
static void
mg_settle_foreign_key(MgAlter *cx, MgTab *tab, MgForeignKey *fkey)
{
	MgSize size;
	ListCell *lc;

	tab->eff->tasks = lappend(tab->eff->tasks, fkey->task);
	mg_effect(cx->fp, fkey->confrelid, RowShareLock, MG_ROLE_PEER, NULL);
	mg_relation_size(tab->relid, &size);
	if (size.heap == 0 || fkey->keys_null)
		return;
	foreach(lc,
			mg_tree(fkey->confrelid, get_rel_relkind(fkey->confrelid) == RELKIND_PARTITIONED_TABLE))
	{
		MgEffect *peer = mg_effect_find(cx->fp, lfirst_oid(lc));
		MgTask *lookup;

		if (peer == NULL)
			peer = mg_effect(cx->fp, lfirst_oid(lc), AccessShareLock, MG_ROLE_PEER, NULL);
		if (!mg_has_storage(peer->relkind))
			continue;
		lookup = mg_task(peer, MG_WORK_LOOKUP, fkey->task->cause, fkey->task->node);
		lookup->constraint = fkey->task->constraint;
		lookup->reason = "its rows are looked up to validate the foreign key";
	}
}

/* Phase 3: what was asked of a table becomes its tasks. */
static void
mg_settle_tab(MgAlter *cx, MgTab *tab)
{
	ListCell *lc;

	if (tab->rewrites != NIL)
		mg_settle_rewrite(cx, tab);
	else
	{
		mg_settle(tab, tab->scans);
		mg_settle(tab, tab->copies);
		foreach(lc, tab->reused)
			mg_note(tab->eff, "%s", ((MgTask *) lfirst(lc))->reason);
	}
	mg_settle(tab, tab->builds);
	foreach(lc, tab->fkeys)
		mg_settle_foreign_key(cx, tab, lfirst(lc));
}

/* Can all subcommands be done to such a relation? */
static bool
mg_alter_fits(MgAlter *cx)
{
	ListCell *lc;

	foreach(lc, cx->stmt->cmds)
	{
		const MgAlterRow *row = mg_alter_row(lfirst_node(AlterTableCmd, lc));

		if (row->relkinds[0] == '\0' || strchr(row->relkinds, cx->relkind))
			continue;
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "ALTER action %s cannot be performed on relation \"%s\"", row->action,
				   get_rel_name(cx->relid));
		return false;
	}
	return true;
}

/* What phase 1 does about ADD CONSTRAINT: from 18 on it locks all descendants, whoever owns them. */
static void
mg_alter_prepare(MgAlter *cx)
{
	ListCell *lc;

	foreach(lc, cx->stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_AddConstraint)
			continue;
		cx->primary = list_concat(cx->primary,
								  mg_primary_key_prepare(cx, castNode(Constraint, cmd->def)));
		if (MG_PG_ADD_CONSTRAINT_LOCKS_ALL)
			mg_lock_descendants(cx);
	}
}

/* The subcommand that adds a primary key, or NULL. */
static Node *
mg_primary_command(MgAlter *cx)
{
	ListCell *lc;

	foreach(lc, cx->stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddConstraint &&
			castNode(Constraint, cmd->def)->contype == CONSTR_PRIMARY)
			return (Node *) cmd;
	}
	return NULL;
}

/* Examine the subcommands, pass by pass, for one target. */
static void
mg_alter_passes(MgAlter *cx)
{
	ListCell *lc;

	mg_alter_prepare(cx);
	for (MgPass pass = 0; pass < MG_NPASSES; pass++)
	{
		foreach(lc, cx->stmt->cmds)
		{
			AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
			const MgAlterRow *row = mg_alter_row(cmd);

			if (row == NULL || mg_alter_pass(cmd) != pass)
				continue;
			mg_alter_spread(cx, row);
			if (row->fn)
				row->fn(cx, cmd);
		}
		if (pass == MG_PASS_ALTER_TYPE || pass == MG_PASS_SET_EXPRESSION)
			mg_alter_type_dependents(cx, pass == MG_PASS_SET_EXPRESSION);
		if (pass == MG_PASS_SET_NOT_NULL)
			mg_primary_key_not_null(cx, cx->primary, mg_primary_command(cx));
	}
}

/* Is it a table of a composite type?  arg: the type. */
static bool
mg_is_of_type(Form_pg_class form, void *arg)
{
	return form->reloftype == *(Oid *) arg;
}

/*
 * ALTER TYPE of a composite type changes the tables of that type, CREATE TABLE
 * ... OF, along, with CASCADE.  Core has no index for them either.
 */
static void
mg_alter_typed_tables(MgAlter *cx)
{
	Oid typid = get_rel_type_id(cx->relid);
	List *tables = mg_relations_where(mg_is_of_type, &typid);
	AlterTableCmd *first = linitial(cx->stmt->cmds);
	Oid type = cx->relid;
	ListCell *lc;

	if (tables == NIL)
		return;
	if (first->behavior != DROP_CASCADE)
	{
		mg_problem(cx->fp, ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
				   "cannot alter type \"%s\" because it is the type of a typed table",
				   get_rel_name(type));
		return;
	}
	foreach(lc, tables)
	{
		cx->relid = lfirst_oid(lc);
		cx->relkind = get_rel_relkind(cx->relid);
		cx->recurse = true;
		mg_effect(cx->fp, cx->relid, cx->lockmode, MG_ROLE_CHILD, NULL);
		mg_alter_passes(cx);
	}
}

/* Examine the statement, then settle what it asks of each table. */
static void
mg_alter_examine(MgAlter *cx)
{
	ListCell *lc;

	if (!mg_alter_fits(cx))
		return;
	mg_alter_passes(cx);
	if (cx->relkind == RELKIND_COMPOSITE_TYPE)
		mg_alter_typed_tables(cx);
	mg_alter_row_types(cx);
	foreach(lc, cx->tabs)
		mg_settle_tab(cx, lfirst(lc));
}

/* A table that only the script knows: its foreign keys and parents are real. */
static void
mg_alter_new_table(MgAlter *cx)
{
	ListCell *lc;

	foreach(lc, cx->stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddInherit)
			mg_alter_inherit(cx, cmd);
		else if (cmd->subtype == AT_AddConstraint &&
				 castNode(Constraint, cmd->def)->contype == CONSTR_FOREIGN)
			mg_add_foreign_key(cx, castNode(Constraint, cmd->def), (Node *) cmd, false, true);
		else if (cmd->subtype == AT_AddColumn)
		{
			ListCell *lc2;

			foreach(lc2, castNode(ColumnDef, cmd->def)->constraints)
			{
				Constraint *con = lfirst_node(Constraint, lc2);

				if (con->contype == CONSTR_FOREIGN)
					mg_add_foreign_key(cx, con, (Node *) cmd, false, true);
			}
		}
	}
}

/*
 * The footprint of ALTER TABLE and its kin.
 */
void
mg_footprint_alter_table(MgFootprint *fp, Node *node)
{
	AlterTableStmt *stmt = castNode(AlterTableStmt, node);
	MgAlter cx = {0};
	ListCell *lc;

	foreach(lc, stmt->cmds)
	{
		if (mg_alter_row(lfirst_node(AlterTableCmd, lc)) == NULL)
		{
			fp->covered = false;
			return;
		}
	}
	cx.fp = fp;
	cx.stmt = stmt;
	cx.gone_constraints = fp->script ? list_copy(fp->script->dropped) : NIL;
	cx.lockmode = AlterTableGetLockLevel(stmt->cmds);
	cx.recurse = stmt->relation->inh;
	cx.relid = mg_lookup_relation(fp, stmt->relation, stmt->missing_ok);
	if (!OidIsValid(cx.relid))
	{
		fp->if_exists_missing = !fp->target_is_new && fp->problem == NULL;
		if (fp->target_is_new)
			mg_alter_new_table(&cx);
		return;
	}
	cx.relkind = get_rel_relkind(cx.relid);
	fp->target = cx.relid;
	if (!mg_check_owner(fp, cx.relid) ||
		!mg_alter_kind_fits(fp, stmt->objtype, cx.relkind, stmt->relation->relname))
		return;
	mg_effect(fp, cx.relid, cx.lockmode, MG_ROLE_TARGET, NULL);
	mg_alter_examine(&cx);
}
