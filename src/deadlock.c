/*
 * deadlock.c
 *
 * Owns the question whether one who tries for its locks waits for itself: who
 * is in the way waits, directly or through others, for a lock that this
 * transaction holds from before.
 *
 * Core sees that only of sessions that stand in lock queues, and one that tries
 * stands in none.  So whoever has been trying for deadlock_timeout says for
 * what, where all can see it: by an advisory lock, which conflicts with nobody's,
 * and with a key that no SQL function can make.  It goes with the transaction,
 * whatever happens to it.
 */
#include "mg_locking.h"

/* The last part of the key; pg_advisory_lock() and its kin use 1 and 2. */
#define MG_TRIES_FOR 77

/* Sessions that are looked at before the search is given up. */
#define MG_MOST_SESSIONS 200

/* The lock that says: its holder tries for this one. */
static void
mg_intent_tag(LOCKTAG *tag, const MgWanted *wanted)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, wanted->relid, wanted->lockmode, MG_TRIES_FOR);
}

/* Say for which lock this session tries, and for no other. */
static void
mg_publish(MgLocking *locking)
{
	MgWanted *wanted = &locking->wanted[locking->failed];
	LOCKTAG tag;

	if (locking->published.relid == wanted->relid &&
		locking->published.lockmode == wanted->lockmode)
		return;
	mg_lock_unpublish(locking);
	mg_intent_tag(&tag, wanted);
	if (LockAcquire(&tag, ShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		locking->published = *wanted;
}

void
mg_lock_unpublish(MgLocking *locking)
{
	LOCKTAG tag;

	if (!OidIsValid(locking->published.relid))
		return;
	mg_intent_tag(&tag, &locking->published);
	(void) LockRelease(&tag, ShareLock, false);
	locking->published.relid = InvalidOid;
}

/* What another session says that it tries for; of MgWanted. */
static List *
mg_intents(PGPROC *proc)
{
	List *result = NIL;

	for (int partition = 0; partition < NUM_LOCK_PARTITIONS; partition++)
	{
		LWLock *lock = LockHashPartitionLockByIndex(partition);
		PROCLOCK *held = NULL;

		LWLockAcquire(lock, LW_SHARED);
		while ((held = mg_next_proclock(proc, partition, held)) != NULL)
		{
			const LOCKTAG *tag = &held->tag.myLock->tag;
			MgWanted *wanted;

			if (tag->locktag_type != LOCKTAG_ADVISORY || tag->locktag_field4 != MG_TRIES_FOR ||
				tag->locktag_field1 != MyDatabaseId || held->holdMask == 0)
				continue;
			wanted = palloc(sizeof(MgWanted));
			wanted->relid = tag->locktag_field2;
			wanted->lockmode = tag->locktag_field3;
			result = lappend(result, wanted);
		}
		LWLockRelease(lock);
	}
	return result;
}

/* Does this transaction hold a lock that is in the way of this one? */
static bool
mg_holds_against(const MgWanted *wanted)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, IsSharedRelation(wanted->relid) ? InvalidOid : MyDatabaseId,
						 wanted->relid);
	for (LOCKMODE mode = AccessShareLock; mode <= AccessExclusiveLock; mode++)
	{
		if (DoLockModesConflict(mode, wanted->lockmode) && mg_lock_held_by_me(&tag, mode))
			return true;
	}
	return false;
}

/* Whom a session waits for in a lock queue; process IDs, zero for prepared transactions. */
static List *
mg_waits_in_queue(List *pids, int pid)
{
	Datum array = OidFunctionCall1(F_PG_BLOCKING_PIDS, Int32GetDatum(pid));
	Datum *elements;
	int count;

	deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		pids = list_append_unique_int(pids, DatumGetInt32(elements[i]));
	return pids;
}

/* Whom a session tries to get past; *me: this one. */
static List *
mg_waits_politely(List *pids, int pid, bool *me)
{
	PGPROC *proc = BackendPidGetProc(pid);
	ListCell *lc;

	foreach(lc, proc ? mg_intents(proc) : NIL)
	{
		MgWanted *wanted = lfirst(lc);
		ListCell *lc2;

		*me |= mg_holds_against(wanted);
		foreach(lc2, mg_blockers(wanted->relid, wanted->lockmode))
			pids = list_append_unique_int(pids, ((MgBlocker *) lfirst(lc2))->pid);
	}
	return pids;
}

/*
 * Does a session that is in the way wait for this one?  Says so to others, too,
 * who may ask the same.
 */
bool
mg_lock_waits_for_me(MgLocking *locking, const MgBlocker *blocker)
{
	List *pids = list_make1_int(blocker->pid);
	bool me = false;

	mg_publish(locking);
	/* the list grows meanwhile */
	for (int i = 0; i < Min(list_length(pids), MG_MOST_SESSIONS) && !me; i++)
	{
		int pid = list_nth_int(pids, i);

		CHECK_FOR_INTERRUPTS();
		if (pid == 0)
			continue;
		pids = mg_waits_in_queue(pids, pid);
		pids = mg_waits_politely(pids, pid, &me);
		me |= list_member_int(pids, MyProcPid);
	}
	return me;
}
