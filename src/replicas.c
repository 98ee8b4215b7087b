/*
 * replicas.c
 *
 * Owns what a statement means to others than this server: physical standbys,
 * which replay its strongest locks and everything that it writes, and the
 * subscribers of publications, which are not told of DDL at all.
 *
 * Where there is neither a standby nor a publication, finding that out costs
 * a look at shared memory and one at the catalog caches, and only for
 * statements about which something is said anyway.
 */
#include "advice.h"
#include "usage.h"

#include "replication/slot.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/spin.h"
#include "storage/standby.h"

/* ------------------------------------------------------------------------
 * Physical standbys
 * ------------------------------------------------------------------------ */

/*
 * Does a walsender serve a physical standby?  Those of logical replication have
 * a database, and programs that keep the WAL replay nothing.
 */
static bool
mg_walsender_is_physical(pid_t pid)
{
	PGPROC *proc = BackendPidGetProc(pid);
	const char *application = proc && MyBEEntry ? mg_application(proc) : NULL;

	if (proc == NULL || OidIsValid(proc->databaseId))
		return false;
	return application == NULL ||
		   (strcmp(application, "pg_receivewal") != 0 && strcmp(application, "pg_basebackup") != 0);
}

/* Servers that stream this server's WAL now. */
static int
mg_count_streaming(void)
{
	int count = 0;

	for (int i = 0; WalSndCtl && i < max_wal_senders; i++)
	{
		WalSnd *walsnd = &WalSndCtl->walsnds[i];
		WalSndState state;
		pid_t pid;

		SpinLockAcquire(&walsnd->mutex);
		pid = walsnd->pid;
		state = walsnd->state;
		SpinLockRelease(&walsnd->mutex);
		if (pid != 0 && (state == WALSNDSTATE_STREAMING || state == WALSNDSTATE_CATCHUP))
			count += mg_walsender_is_physical(pid);
	}
	return count;
}

/* Physical replication slots that keep WAL for somebody, connected or not. */
static int
mg_count_physical_slots(void)
{
	int count = 0;

	if (ReplicationSlotCtl == NULL || max_replication_slots == 0)
		return 0;
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (slot->in_use && SlotIsPhysical(slot) && slot->data.persistency == RS_PERSISTENT)
			count += slot->data.restart_lsn != InvalidXLogRecPtr;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return count;
}

/* "1 standby", "the standby behind 1 physical replication slot", or NULL: there is none. */
static const char *
mg_standbys(bool *several)
{
	int count = mg_count_streaming();

	*several = count > 1;
	if (count > 0)
		return mg_plural(count, "standby");
	count = mg_count_physical_slots();
	*several = count > 1;
	if (count > 0)
		return psprintf("%s behind %s", count > 1 ? "the standbys" : "the standby",
						mg_plural(count, "physical replication slot"));
	return NULL;
}

/* The relation that is locked against everybody: the finding's own, if it is. */
static Oid
mg_exclusively_locked(MgFootprint *fp, MgFinding *finding)
{
	MgEffect *eff = mg_effect_find(fp, finding->relid);
	ListCell *lc;

	if (eff && eff->lockmode == AccessExclusiveLock)
		return eff->relid;
	foreach(lc, fp->effects)
	{
		eff = lfirst(lc);
		if (eff->lockmode == AccessExclusiveLock &&
			!isAnyTempNamespace(get_rel_namespace(eff->relid)))
			return eff->relid;
	}
	return InvalidOid;
}

/* What queries on the standby have to expect. */
static char *
mg_lock_fact(const char *standbys, bool several, Oid relid)
{
	const char *name = get_rel_name(relid);

	if (max_standby_streaming_delay < 0)
		return psprintf("%s %s AccessExclusiveLock on \"%s\", and %s with it, and with all that "
						"comes after it, until no query there uses the table any more "
						"(max_standby_streaming_delay is -1 on this server; what the standby has "
						"set counts)",
						standbys, several ? "replay" : "replays", name, several ? "wait" : "waits");
	return psprintf("%s %s AccessExclusiveLock on \"%s\" and then %s queries that use it, once "
					"replay is behind by max_standby_streaming_delay (%s on this server; what the "
					"standby has set counts)",
					standbys, several ? "replay" : "replays", name, several ? "cancel" : "cancels",
					GetConfigOptionByName("max_standby_streaming_delay", NULL, false));
}

/* Is what is written to a relation written to WAL as well?  SET LOGGED and UNLOGGED change that. */
static bool
mg_is_logged(MgFootprint *fp, MgEffect *eff)
{
	ListCell *lc;

	foreach(lc, eff->tasks)
	{
		MgTask *task = lfirst(lc);
		AlterTableCmd *cmd = mg_subcommand(fp, task->node);

		if (task->cause == MG_CAUSE_SET_LOGGED && cmd)
			return cmd->subtype == AT_SetLogged;
	}
	return get_rel_persistence(eff->relid) == RELPERSISTENCE_PERMANENT;
}

/* What is written anew: bytes, where that is known, and indexes whose size is not. */
static uint64
mg_wal_bytes(MgFootprint *fp, MgFinding *finding, int *new_indexes)
{
	uint64 bytes = 0;
	ListCell *lc;

	*new_indexes = 0;
	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);
		MgWork most = MG_WORK_NONE;
		ListCell *lc2;

		if (eff->relkind == RELKIND_PARTITIONED_TABLE || !mg_is_logged(fp, eff))
			continue;
		foreach(lc2, eff->tasks)
		{
			MgTask *task = lfirst(lc2);

			most = Max(most, task->work);
			*new_indexes += task->work == MG_WORK_BUILD && !OidIsValid(task->index);
		}
		if (most < MG_WORK_BUILD)
			continue;
		bytes += mg_effect_bytes(eff);
		/* an index build reads the table and writes only the index */
		if (most == MG_WORK_BUILD)
			bytes -= eff->size.heap + eff->size.toast;
	}
	return bytes;
}

/* What has to travel. */
static List *
mg_wal_fact(List *facts, MgFootprint *fp, MgFinding *finding, const char *standbys)
{
	int new_indexes;
	uint64 bytes = mg_wal_bytes(fp, finding, &new_indexes);

	if (bytes > 0)
		facts = lappend(facts, psprintf("what is written anew goes to %s as WAL: about %s%s",
										standbys, mg_format_bytes(bytes),
										new_indexes > 0 ? ", and the new index" : ""));
	else if (new_indexes > 0)
		facts = lappend(facts,
						psprintf("%s to %s as WAL",
								 new_indexes == 1 ? "the whole index goes" : "all indexes go",
								 standbys));
	return facts;
}

/* ------------------------------------------------------------------------
 * Publications
 * ------------------------------------------------------------------------ */

/* Members of a schema, and the relation itself. */
static List *
mg_named_in(List *pubs, Oid relid)
{
	pubs = list_concat_unique_oid(pubs, mg_relation_publications(relid));
	return list_concat_unique_oid(pubs, GetSchemaPublications(get_rel_namespace(relid)));
}

/* Publications of a table, or, of a partition, also those of its ancestors; OIDs. */
List *
mg_publications(Oid relid)
{
	char relkind = get_rel_relkind(relid);
	List *excluded = NIL;
	List *pubs;
	ListCell *lc;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) != RELPERSISTENCE_PERMANENT || IsCatalogRelationOid(relid))
		return NIL;
	pubs = mg_named_in(NIL, relid);
	excluded = mg_excluding_publications(relid);
	foreach(lc, get_rel_relispartition(relid) ? get_partition_ancestors(relid) : NIL)
	{
		pubs = mg_named_in(pubs, lfirst_oid(lc));
		excluded = list_concat_unique_oid(excluded, mg_excluding_publications(lfirst_oid(lc)));
	}
	return list_concat_unique_oid(pubs, list_difference_oid(GetAllTablesPublications(), excluded));
}

/* Those among some publications that publish certain changes. */
List *
mg_publishing(List *pubs, bool rows, bool truncate)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, pubs)
	{
		HeapTuple tuple = SearchSysCache1(PUBLICATIONOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_publication form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_publication) GETSTRUCT(tuple);
		if ((rows && (form->pubupdate || form->pubdelete)) || (truncate && form->pubtruncate))
			result = lappend_oid(result, lfirst_oid(lc));
		ReleaseSysCache(tuple);
	}
	return result;
}

/* "publication "p"", "publications "p", "q" and 2 more" */
const char *
mg_publication_names(List *pubs)
{
	StringInfoData buf;
	int count = list_length(pubs);

	initStringInfo(&buf);
	appendStringInfo(&buf, "publication%s ", count == 1 ? "" : "s");
	for (int i = 0; i < Min(count, MG_SHOWN); i++)
		appendStringInfo(&buf, "%s\"%s\"", i > 0 ? ", " : "",
						 get_publication_name(list_nth_oid(pubs, i), true));
	if (count > MG_SHOWN)
		appendStringInfo(&buf, " and %d more", count - MG_SHOWN);
	return buf.data;
}

/* What ALTER TABLE asks of subscribers. */
static const char *
mg_subscriber_alter(AlterTableStmt *stmt)
{
	ListCell *lc;

	foreach(lc, stmt->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AddColumn:
				return "subscribers need the new column first, or their replication stops";
			case AT_DropColumn:
				return "on subscribers the column stays and is not filled any more: what it asks "
					   "for, such as NOT NULL, has to go there first";
			case AT_AlterColumnType:
				return "subscribers get the new values as text: their column has to take them first";
			default:
				break;
		}
	}
	return NULL;
}

/* Does a publication have only some columns of a table? */
static bool
mg_publishes_some_columns(Oid relid, List *pubs)
{
	ListCell *lc;

	foreach(lc, pubs)
	{
		HeapTuple tuple = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(relid),
										  ObjectIdGetDatum(lfirst_oid(lc)));
		bool some;

		if (!HeapTupleIsValid(tuple))
			continue;
		some = !heap_attisnull(tuple, Anum_pg_publication_rel_prattrs, NULL);
		ReleaseSysCache(tuple);
		if (some)
			return true;
	}
	return false;
}

/* Does a statement take away, or rename, what subscribers have as well? */
static bool
mg_is_about_tables(Node *stmt)
{
	ObjectType type = OBJECT_TABLE;

	if (IsA(stmt, RenameStmt))
		type = castNode(RenameStmt, stmt)->renameType;
	else if (IsA(stmt, DropStmt))
		type = castNode(DropStmt, stmt)->removeType;
	return type == OBJECT_TABLE || type == OBJECT_COLUMN || type == OBJECT_SCHEMA;
}

/* What a statement asks of subscribers; NULL: nothing in particular. */
static const char *
mg_subscriber_duty(MgFootprint *fp, Oid relid, List *pubs)
{
	if (!mg_is_about_tables(fp->stmt))
		return NULL;
	switch (nodeTag(fp->stmt))
	{
		case T_AlterTableStmt:
			if (mg_publishes_some_columns(relid, pubs))
				return NULL;
			return mg_subscriber_alter(castNode(AlterTableStmt, fp->stmt));
		case T_TruncateStmt:
			return mg_publishing(pubs, false, true) != NIL ? "subscribers empty their tables, too"
														   : "subscribers keep their rows";
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
			return "subscribers find tables and columns by their names, and replication stops "
				   "until they are called the same there";
		case T_DropStmt:
		case T_DropOwnedStmt:
			return "subscribers keep their tables";
		default:
			return NULL;
	}
}

static List *
mg_publication_fact(List *facts, MgFootprint *fp, MgFinding *finding)
{
	char relkind = get_rel_relkind(finding->relid);
	Oid relid = relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX
				  ? IndexGetRelation(finding->relid, true)
				  : finding->relid;
	List *pubs = OidIsValid(relid) ? mg_publications(relid) : NIL;
	const char *duty;

	/* what publications are about is nothing new to their owner */
	if (pubs == NIL || IsA(fp->stmt, CreatePublicationStmt) || IsA(fp->stmt, AlterPublicationStmt))
		return facts;
	duty = mg_subscriber_duty(fp, relid, pubs);
	return lappend(facts, psprintf("\"%s\" is published by %s, and logical replication does not "
								   "carry DDL over%s%s",
								   get_rel_name(relid), mg_publication_names(pubs),
								   duty ? ": " : "", duty ? duty : ""));
}

/*
 * What a finding means to standbys and subscribers: sentences in small
 * letters, without period.
 */
List *
mg_replica_facts(MgFootprint *fp, MgFinding *finding)
{
	bool several;
	const char *standbys = mg_standbys(&several);
	Oid locked = standbys ? mg_exclusively_locked(fp, finding) : InvalidOid;
	List *facts = NIL;

	if (OidIsValid(locked))
		facts = lappend(facts, mg_lock_fact(standbys, several, locked));
	if (standbys)
		facts = mg_wal_fact(facts, fp, finding, standbys);
	return mg_publication_fact(facts, fp, finding);
}
