/*
 * footprint_property.c
 *
 * Owns the subcommands of ALTER TABLE that change a property of the relation
 * as a whole: owner, persistence, access method, tablespace, inheritance,
 * replica identity, clustering, triggers switched on and off, and the sequence
 * of an identity column.
 *
 * Follows the functions of tablecmds.c named after them, such as
 * ATExecChangeOwner() and ATPrepChangePersistence().
 */
#include "mg_alter.h"
#include "mg_objects.h"

#include "catalog/dependency.h"
#include "catalog/pg_depend.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"

/* Subcommands that name a column and do no more than lock. */
void
mg_alter_column_exists(MgAlter *cx, AlterTableCmd *cmd)
{
	if (cmd->name)
		mg_column(cx, cx->relid, cmd->name);
}

/* OWNER TO: an owner that really changes takes indexes and owned sequences along. */
void
mg_alter_owner(MgAlter *cx, AlterTableCmd *cmd)
{
	Oid newowner = mg_resolve_role(cx->fp, cmd->newowner);
	Form_pg_class form = mg_class_form(cx->relid);

	if (form == NULL || cx->fp->problem)
		return;
	if (newowner == form->relowner)
	{
		mg_note(mg_effect(cx->fp, cx->relid, NoLock, MG_ROLE_TARGET, NULL),
				"the owner stays the same");
		return;
	}
	mg_owner_goes_along(cx->fp, cx->relid, cx->relkind, cx->lockmode);
}

/* An index that the subcommand names. */
static Oid
mg_named_index(MgAlter *cx, const char *name)
{
	Oid index = get_relname_relid(name, get_rel_namespace(cx->relid));

	if (!OidIsValid(index) && cx->fp->script == NULL)
		mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT, "index \"%s\" for table \"%s\" does not exist",
				   name, get_rel_name(cx->relid));
	return index;
}

/* CLUSTER ON: the index is locked like the table. */
void
mg_alter_cluster_on(MgAlter *cx, AlterTableCmd *cmd)
{
	mg_effect(cx->fp, mg_named_index(cx, cmd->name), cx->lockmode, MG_ROLE_INDEX, NULL);
}

/* SET LOGGED, SET UNLOGGED: a rewrite, owned sequences included, unless nothing changes. */
void
mg_alter_logged(MgAlter *cx, AlterTableCmd *cmd)
{
	char wanted = cmd->subtype == AT_SetLogged ? RELPERSISTENCE_PERMANENT : RELPERSISTENCE_UNLOGGED;
	char now = get_rel_persistence(cx->relid);
	MgTab *tab = mg_tab(cx, cx->relid, MG_ROLE_TARGET);
	ListCell *lc;
	MgTask *task;

	if (now == wanted || now == RELPERSISTENCE_TEMP || !mg_has_storage(cx->relkind))
	{
		mg_note(tab->eff, "the table is %s already, so nothing is rewritten",
				wanted == RELPERSISTENCE_PERMANENT ? "logged" : "unlogged");
		return;
	}
	if (cx->relkind == RELKIND_SEQUENCE)
	{
		mg_note(tab->eff, "the sequence gets a new file of one page");
		return;
	}
	task = mg_pending(&tab->rewrites, MG_WORK_REWRITE, MG_CAUSE_SET_LOGGED, (Node *) cmd);
	task->reason = wanted == RELPERSISTENCE_PERMANENT
					 ? "the table is rewritten, and all of it goes to the write-ahead log"
					 : "the table is rewritten as an unlogged one";
	if (cx->relkind == RELKIND_RELATION)
	{
		foreach(lc, getOwnedSequences(cx->relid))
			mg_effect(cx->fp, lfirst_oid(lc), AccessExclusiveLock, MG_ROLE_OTHER,
					  "the sequence changes its persistence with the table");
	}
}

/* SET ACCESS METHOD: a rewrite, unless it has that one already. */
void
mg_alter_access_method(MgAlter *cx, AlterTableCmd *cmd)
{
	MgTab *tab = mg_tab(cx, cx->relid, MG_ROLE_TARGET);
	const char *name = cmd->name ? cmd->name : default_table_access_method;
	Oid wanted = get_am_oid(name, true);
	Form_pg_class form;

	if (cx->relkind == RELKIND_PARTITIONED_TABLE && !MG_PG_ACCESS_METHOD_OF_PARTITIONED)
	{
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "cannot change access method of a partitioned table");
		return;
	}
	if (!OidIsValid(wanted))
	{
		mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT, "access method \"%s\" does not exist", name);
		return;
	}
	if (cx->relkind == RELKIND_PARTITIONED_TABLE)
	{
		mg_note(tab->eff, "only partitions made later get the access method");
		return;
	}
	form = mg_class_form(cx->relid);
	if (form == NULL)
		return;
	if (form->relam == wanted)
		mg_note(tab->eff, "the table has access method \"%s\" already, so nothing is rewritten",
				name);
	else
		mg_pending(&tab->rewrites, MG_WORK_REWRITE, MG_CAUSE_SET_ACCESS_METHOD, (Node *) cmd)
			->reason = psprintf("the table is rewritten into access method \"%s\"", name);
}

/*
 * SET TABLESPACE: files are copied block by block, of the relation alone; for
 * partitioned relations it is a catalog change.
 */
void
mg_alter_tablespace(MgAlter *cx, AlterTableCmd *cmd)
{
	MgTab *tab = mg_tab(cx, cx->relid, MG_ROLE_TARGET);
	Oid wanted = get_tablespace_oid(cmd->name, true);
	Form_pg_class form;

	if (!OidIsValid(wanted))
	{
		mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT, "tablespace \"%s\" does not exist", cmd->name);
		return;
	}
	if (!mg_check_create_in_tablespace(cx->fp, cmd->name))
		return;
	form = mg_class_form(cx->relid);
	if (form == NULL)
		return;
	if (wanted == MyDatabaseTableSpace)
		wanted = InvalidOid;
	if (!mg_has_storage(cx->relkind))
		mg_note(tab->eff, "only the tablespace of future partitions changes");
	else if (form->reltablespace == wanted)
		mg_note(tab->eff, "it is in tablespace \"%s\" already, so nothing is copied", cmd->name);
	else
		mg_pending(&tab->copies, MG_WORK_COPY, MG_CAUSE_SET_TABLESPACE, (Node *) cmd)->reason =
			psprintf("the files are copied block by block to tablespace \"%s\"", cmd->name);
}

/* INHERIT: the parent is kept from other schema changes. */
void
mg_alter_inherit(MgAlter *cx, AlterTableCmd *cmd)
{
	Oid parent = mg_lookup_relation(cx->fp, castNode(RangeVar, cmd->def), false);

	/* what the same statement does before is not compared */
	if (OidIsValid(parent) && OidIsValid(cx->relid) && list_length(cx->stmt->cmds) == 1 &&
		!mg_check_merge(cx->fp, cx->relid, parent))
		return;
	mg_effect(cx->fp, parent, ShareUpdateExclusiveLock, MG_ROLE_PARENT,
			  "the parent of the inheritance is kept from other schema changes");
}

/* REPLICA IDENTITY USING INDEX: the index is locked, too. */
void
mg_alter_replica_identity(MgAlter *cx, AlterTableCmd *cmd)
{
	ReplicaIdentityStmt *stmt = castNode(ReplicaIdentityStmt, cmd->def);

	if (stmt->identity_type == REPLICA_IDENTITY_INDEX)
		mg_effect(cx->fp, mg_named_index(cx, stmt->name), ShareLock, MG_ROLE_INDEX, NULL);
}

/*
 * The sequence of an identity column, or InvalidOid.  As getIdentitySequence(),
 * which from 17 on wants the relation open.
 */
Oid
mg_identity_sequence(Oid relid, AttrNumber attnum)
{
	ObjectAddress column;
	Oid sequence = InvalidOid;
	ListCell *lc;

	if (MG_PG_IDENTITY_OF_PARTITIONS && get_rel_relispartition(relid))
	{
		char *attname = get_attname(relid, attnum, false);

		relid = llast_oid(get_partition_ancestors(relid));
		attnum = get_attnum(relid, attname);
	}

	ObjectAddressSubSet(column, RelationRelationId, relid, attnum);
	foreach(lc, mg_depend_rows(&column, true))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->classid == RelationRelationId && form->deptype == DEPENDENCY_INTERNAL &&
			get_rel_relkind(form->objid) == RELKIND_SEQUENCE)
			sequence = form->objid;
	}
	return sequence;
}

/* What the subcommand does, in core's words. */
static const char *
mg_identity_action(AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_AddIdentity:
			return "add identity to a column";
		case AT_DropIdentity:
			return "drop identity from a column";
		default:
			return "change identity column";
	}
}

/* What core refuses from 17 on, where partitions have the identity of their parent. */
static bool
mg_identity_allowed(MgAlter *cx, AlterTableCmd *cmd)
{
	if (!MG_PG_IDENTITY_OF_PARTITIONS)
		return true;
	if (cx->relkind == RELKIND_PARTITIONED_TABLE && !cx->recurse)
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION,
				   "cannot %s of only the partitioned table", mg_identity_action(cmd));
	else if (get_rel_relispartition(cx->relid))
		mg_problem(cx->fp, ERRCODE_INVALID_TABLE_DEFINITION, "cannot %s of a partition",
				   mg_identity_action(cmd));
	else
		return true;
	return false;
}

/* SET GENERATED, RESTART, DROP IDENTITY: the sequence behind the column. */
void
mg_alter_identity(MgAlter *cx, AlterTableCmd *cmd)
{
	AttrNumber attnum = mg_column(cx, cx->relid, cmd->name);
	HeapTuple tuple;
	bool identity;
	Oid sequence;

	if (attnum == InvalidAttrNumber || !mg_identity_allowed(cx, cmd))
		return;
	if (MG_PG_IDENTITY_OF_PARTITIONS && cx->relkind == RELKIND_PARTITIONED_TABLE)
		mg_lock_descendants(cx);
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(cx->relid), Int16GetDatum(attnum));
	if (!HeapTupleIsValid(tuple))
		return;
	identity = ((Form_pg_attribute) GETSTRUCT(tuple))->attidentity != '\0';
	ReleaseSysCache(tuple);
	if (!identity || cmd->subtype == AT_AddIdentity)
		return;
	sequence = mg_identity_sequence(cx->relid, attnum);
	if (cmd->subtype == AT_DropIdentity)
	{
		MgTab *tab = mg_tab_child(cx, cx->relid);

		tab->plain = lappend(tab->plain, cmd->name);
		mg_effect(cx->fp, sequence, AccessExclusiveLock, MG_ROLE_OTHER,
				  "the sequence of the identity column is dropped");
	}
	else
		mg_effect(cx->fp, sequence, ShareRowExclusiveLock, MG_ROLE_OTHER,
				  "the sequence of the identity column is altered");
}

/*
 * Row triggers of a partitioned table are switched in its partitions, too,
 * whether or not they change.  name: of the trigger, or NULL; parent: the
 * trigger whose clones are meant, or InvalidOid.  Follows
 * EnableDisableTrigger().
 */
static void
mg_switch_triggers(MgAlter *cx, Oid relid, const char *name, Oid parent, bool skip_system)
{
	ListCell *lc;

	check_stack_depth();
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return;
	foreach(lc, mg_rows(TriggerRelationId, TriggerRelidNameIndexId, Anum_pg_trigger_tgrelid, relid))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT((HeapTuple) lfirst(lc));
		ListCell *lc2;

		if ((name && strcmp(NameStr(form->tgname), name) != 0) ||
			(OidIsValid(parent) && form->tgparentid != parent) ||
			(form->tgisinternal && skip_system) || !TRIGGER_FOR_ROW(form->tgtype))
			continue;
		foreach(lc2, find_inheritance_children(relid, NoLock))
		{
			mg_effect(cx->fp, lfirst_oid(lc2), cx->lockmode, MG_ROLE_CHILD,
					  "its copies of the triggers follow those of its parent");
			mg_switch_triggers(cx, lfirst_oid(lc2), NULL, form->oid, skip_system);
		}
	}
}

/* ENABLE and DISABLE TRIGGER in all their forms. */
void
mg_alter_triggers(MgAlter *cx, AlterTableCmd *cmd)
{
	if (cx->recurse)
		mg_switch_triggers(cx, cx->relid, cmd->name, InvalidOid,
						   cmd->subtype == AT_EnableTrigUser || cmd->subtype == AT_DisableTrigUser);
}
