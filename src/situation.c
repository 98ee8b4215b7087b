/*
 * situation.c
 *
 * Owns what is known about the surroundings of a statement: which locks this
 * transaction holds already, which command took them and when, and what it has
 * written.
 *
 * That a lock is held is always asked of the lock manager, and which ones are.
 * What is remembered here only adds the name of the command, the time, and
 * what a table was before it was emptied or dropped, so a wrong memory could
 * only put a wrong word into a message; and what a rolled back subtransaction
 * has taken is forgotten.
 */
#include "mg.h"

#include "common/hashfn.h"

/* Relations that the statements of a migration lock in one transaction, mostly. */
#define MG_USUALLY_TAKEN 8

/* A lock that a judged statement has taken in this transaction. */
typedef struct MgTakenKey
{
	Oid relid;
	LOCKMODE lockmode;
} MgTakenKey;

typedef struct MgTaken
{
	char status; /* of simplehash */
	MgTakenKey key;
	SubTransactionId subid;
	const char *command; /* a command tag: static storage */
	TimestampTz when;    /* about to be asked for, or just granted */
	const char *name;    /* of a relation that is emptied or dropped; else NULL */
	MgSize size;         /* what it was until then */
} MgTaken;

#define SH_PREFIX mg_taken
#define SH_ELEMENT_TYPE MgTaken
#define SH_KEY_TYPE MgTakenKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_combine(murmurhash32((key).relid), (uint32) (key).lockmode)
#define SH_EQUAL(tb, a, b) ((a).relid == (b).relid && (a).lockmode == (b).lockmode)
#include "mg_simplehash.h"

/* lives in TopTransactionContext; NULL: nothing remembered */
static mg_taken_hash *mg_taken = NULL;

/* What is remembered of a lock; or NULL. */
static MgTaken *
mg_find_taken(Oid relid, LOCKMODE lockmode)
{
	MgTakenKey key = {relid, lockmode};

	return mg_taken ? mg_taken_lookup(mg_taken, key) : NULL;
}

/* the statement being judged comes from the client, not from a function */
static bool mg_toplevel = true;

/* The transaction is over, and its memory context with it. */
static void
mg_at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			mg_taken = NULL;
			break;
		default:
			break;
	}
}

/*
 * A subtransaction that is rolled back gives its locks back.  Its own
 * children have larger numbers, everything that stays has a smaller one.
 */
static void
mg_at_subtransaction_end(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
						 void *arg)
{
	mg_taken_iterator status;
	MgTaken *taken;

	(void) parentSubid;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB || mg_taken == NULL)
		return;
	mg_taken_start_iterate(mg_taken, &status);
	while ((taken = mg_taken_iterate(mg_taken, &status)) != NULL)
	{
		if (taken->subid >= mySubid)
			mg_taken_delete_item(mg_taken, taken);
	}
}

/*
 * Registers the transaction callbacks, once per backend, and not before they
 * are needed: every transaction pays for them.
 */
static void
mg_watch_transactions(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(mg_at_transaction_end, NULL);
	RegisterSubXactCallback(mg_at_subtransaction_end, NULL);
	registered = true;
}

/* Where the statement that will be judged next comes from. */
void
mg_situation_enter(bool toplevel)
{
	mg_toplevel = toplevel;
}

/*
 * Will what the statement takes be held by others that follow it?  For a dry
 * run: by others of the script.
 */
bool
mg_situation_in_block(struct MgScript *script)
{
	if (script)
		return script->in_block;
	return IsInTransactionBlock(mg_toplevel);
}

/* Will nobody be able to tell from the catalogs afterwards how large a relation was? */
static bool
mg_destroys(MgFootprint *fp, Oid relid)
{
	return IsA(fp->stmt, TruncateStmt) || list_member_oid(fp->removed, relid);
}

/* What has to be known about a relation when it is empty, or gone. */
static void
mg_keep_size(MgTaken *taken, MgEffect *eff)
{
	char *name = get_rel_name(eff->relid);

	if (name == NULL || mg_effect_exempt(eff) ||
		!(eff->relkind == RELKIND_RELATION || eff->relkind == RELKIND_MATVIEW ||
		  eff->relkind == RELKIND_PARTITIONED_TABLE))
		return;
	taken->size = eff->size;
	taken->name = MemoryContextStrdup(TopTransactionContext, name);
}

/*
 * A judged statement is about to run: keep its name with the locks that it
 * will take, unless the transaction ends with it.
 */
void
mg_situation_remember(MgFootprint *fp)
{
	ListCell *lc;

	if (fp->problem || fp->concurrent || !mg_situation_in_block(NULL))
		return;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);
		MgTakenKey key = {eff->relid, eff->lockmode};
		MgTaken *taken;
		bool found;

		if (eff->lockmode < ShareUpdateExclusiveLock)
			continue;
		if (mg_taken == NULL)
		{
			mg_watch_transactions();
			mg_taken = mg_taken_create(TopTransactionContext, MG_USUALLY_TAKEN, NULL);
		}
		taken = mg_taken_insert(mg_taken, key, &found);
		if (!found)
		{
			taken->subid = GetCurrentSubTransactionId();
			taken->command = fp->command;
			taken->when = GetCurrentTimestamp();
			taken->name = NULL;
		}
		if (taken->name == NULL && eff->lockmode >= ShareLock && mg_destroys(fp, eff->relid))
			mg_keep_size(taken, eff);
	}
}

/* "since ALTER TABLE", or "for 12 s, since ALTER TABLE" */
static const char *
mg_word_since(const MgTaken *taken)
{
	double seconds = (double) (GetCurrentTimestamp() - taken->when) / USECS_PER_SEC;

	if (seconds < 1)
		return psprintf("since %s", taken->command);
	return psprintf("for %s, since %s", mg_format_seconds(seconds), taken->command);
}

/*
 * The strongest lock that this transaction holds on a relation, NoLock if it
 * is weaker than ShareUpdateExclusiveLock.
 */
static LOCKMODE
mg_really_held(Oid relid, const char **since)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, IsSharedRelation(relid) ? InvalidOid : MyDatabaseId, relid);
	for (LOCKMODE mode = AccessExclusiveLock; mode >= ShareUpdateExclusiveLock; mode--)
	{
		if (!mg_lock_held_by_me(&tag, mode) || mg_lock_is_provisional(relid, mode))
			continue;
		if (mg_taken != NULL && since != NULL)
		{
			MgTaken *taken = mg_find_taken(relid, mode);

			*since = taken ? mg_word_since(taken) : NULL;
		}
		return mode;
	}
	return NoLock;
}

/* The relations of this database that this transaction holds with ShareLock or more; OIDs. */
static List *
mg_own_locks(void)
{
	List *relids = NIL;

	for (int partition = 0; partition < NUM_LOCK_PARTITIONS; partition++)
	{
		LWLock *lock = LockHashPartitionLockByIndex(partition);
		PROCLOCK *held = NULL;

		/* such locks are entered by nobody but ourselves */
		if (mg_next_proclock(MyProc, partition, NULL) == NULL)
			continue;
		LWLockAcquire(lock, LW_SHARED);
		while ((held = mg_next_proclock(MyProc, partition, held)) != NULL)
		{
			const LOCKTAG *tag = &held->tag.myLock->tag;

			if (tag->locktag_type == LOCKTAG_RELATION &&
				tag->locktag_lockmethodid == DEFAULT_LOCKMETHOD &&
				tag->locktag_field1 == MyDatabaseId && held->holdMask >= LOCKBIT_ON(ShareLock))
				relids = lappend_oid(relids, tag->locktag_field2);
		}
		LWLockRelease(lock);
	}
	return relids;
}

/* What was remembered of a relation that has been emptied or dropped since; or NULL. */
static MgTaken *
mg_destroyed(Oid relid)
{
	for (LOCKMODE mode = AccessExclusiveLock; mg_taken != NULL && mode >= ShareLock; mode--)
	{
		MgTaken *taken = mg_find_taken(relid, mode);

		if (taken && taken->name)
			return taken;
	}
	return NULL;
}

const char *
mg_situation_name(Oid relid)
{
	char *name = get_rel_name(relid);
	MgTaken *destroyed = name ? NULL : mg_destroyed(relid);

	if (destroyed)
		return destroyed->name;
	return name ? name : psprintf("%u", relid);
}

/* Is a relation of this kind locked by those who use it, and not along with another one? */
static bool
mg_is_used_alone(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW ||
		   relkind == RELKIND_PARTITIONED_TABLE || relkind == RELKIND_VIEW ||
		   relkind == RELKIND_SEQUENCE || relkind == RELKIND_FOREIGN_TABLE;
}

/*
 * Does anybody wait for a relation that is locked?  Not for new ones, those of
 * this session alone and system catalogs, nor for a table without rows, unless
 * it is this transaction that has emptied it.
 */
static bool
mg_others_wait(MgEffect *eff)
{
	if (!mg_is_used_alone(eff->relkind))
		return false;
	if (!mg_effect_exempt(eff))
		return true;
	if (IsCatalogRelationOid(eff->relid) || mg_relation_is_new(eff->relid) ||
		isTempOrTempToastNamespace(get_rel_namespace(eff->relid)))
		return false;
	return eff->relkind == RELKIND_VIEW || eff->relkind == RELKIND_FOREIGN_TABLE ||
		   mg_destroyed(eff->relid) || mg_relation_has_new_file(eff->relid);
}

/* Add a relation that others are kept from, if anybody cares. */
static List *
mg_add_held(List *result, struct MgScript *script, Oid relid)
{
	MgTaken *destroyed = script == NULL || script->live ? mg_destroyed(relid) : NULL;
	MgEffect eff = {.relid = relid, .relkind = get_rel_relkind(relid)};
	MgHeld *held;

	if (eff.relkind != '\0' ? !mg_others_wait(&eff) : destroyed == NULL)
		return result;
	held = palloc0(sizeof(MgHeld));
	held->relid = relid;
	held->relkind = script && mg_script_dropped(script, relid) ? '\0' : eff.relkind;
	held->lockmode = mg_situation_held(script, relid, &held->since);
	held->name = get_rel_name(relid);
	if (held->name == NULL && destroyed)
		held->name = pstrdup(destroyed->name);
	held->size = destroyed && destroyed->size.heap > eff.size.heap ? destroyed->size : eff.size;
	return held->lockmode >= ShareLock ? lappend(result, held) : result;
}

/* Are others not kept from anything yet?  Cheap, and true of most transactions. */
bool
mg_situation_is_fresh(struct MgScript *script)
{
	if (!mg_situation_in_block(script))
		return true;
	if (script && script->locks != NIL)
		return false;
	return (script && !script->live) || mg_own_locks() == NIL;
}

/* See mg.h. */
List *
mg_situation_locked(struct MgScript *script)
{
	List *relids = NIL;
	List *result = NIL;
	ListCell *lc;

	if (!mg_situation_in_block(script))
		return NIL;
	if (script == NULL || script->live)
		relids = mg_own_locks();
	foreach(lc, script ? script->locks : NIL)
	{
		MgScriptLock *lock = lfirst(lc);

		if (lock->lockmode >= ShareLock)
			relids = list_append_unique_oid(relids, lock->relid);
	}
	list_sort(relids, list_oid_cmp);
	foreach(lc, relids)
		result = mg_add_held(result, script, lfirst_oid(lc));
	return result;
}

/*
 * The strongest lock held on a relation before the statement takes its own:
 * by this transaction, or in a dry run also by the script so far.  NoLock if
 * it is weaker than ShareUpdateExclusiveLock.  *since (may be NULL) says which
 * command took it and when, as in "for 12 s, since ALTER TABLE", or is NULL if
 * that is not known; of what a script has locked only the command is.
 */
LOCKMODE
mg_situation_held(struct MgScript *script, Oid relid, const char **since)
{
	LOCKMODE held = NoLock;
	LOCKMODE simulated;
	const char *command = NULL;

	if (since)
		*since = NULL;
	if (script == NULL || script->live)
		held = mg_really_held(relid, since);
	if (script == NULL)
		return held;

	simulated = mg_script_held(script, relid, &command);
	if (simulated > held)
	{
		held = simulated;
		if (since)
			*since = psprintf("since %s", command);
	}
	return held;
}

/* ------------------------------------------------------------------------
 * What has been written
 * ------------------------------------------------------------------------ */

/* What this transaction has done to the rows of a table, innermost subtransaction first; or NULL. */
static PgStat_TableXactStatus *
mg_own_changes(Oid relid)
{
	PgStat_EntryRef *ref =
		pgstat_fetch_pending_entry(PGSTAT_KIND_RELATION,
								   IsSharedRelation(relid) ? InvalidOid : MyDatabaseId, relid);

	return ref ? ((PgStat_TableStatus *) ref->pending)->trans : NULL;
}

/*
 * Rows of a relation that this transaction has inserted, updated and deleted,
 * without what is rolled back; 0 also if that is not counted.
 */
static double
mg_really_written(Oid relid)
{
	double rows = 0;

	for (PgStat_TableXactStatus *trans = mg_own_changes(relid); trans; trans = trans->upper)
		rows += (double) trans->tuples_inserted + (double) trans->tuples_updated +
				(double) trans->tuples_deleted;
	return rows;
}

/* See mg.h. */
bool
mg_situation_written(struct MgScript *script, Oid relid, double *rows)
{
	LOCKTAG tag;
	bool written = false;

	*rows = 0;
	SET_LOCKTAG_RELATION(tag, IsSharedRelation(relid) ? InvalidOid : MyDatabaseId, relid);
	if ((script == NULL || script->live) && mg_lock_held_by_me(&tag, RowExclusiveLock))
	{
		written = true;
		*rows = mg_really_written(relid);
	}
	if (script && mg_script_written(script, relid, rows))
		written = true;
	return written;
}
