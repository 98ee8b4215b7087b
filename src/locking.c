/*
 * locking.c
 *
 * Owns the locks of a judged statement.  Before core runs the statement, they
 * are taken here, all or none and without standing in a queue, so that core's
 * own requests are granted at once and nobody ever queues behind DDL that
 * waits for somebody else.
 *
 * Locks that are taken here belong to the transaction, or subtransaction, as
 * core's do: an error gives them back.  While one of them is not to be had
 * none of the others is kept, so that no deadlock can be made here.
 *
 * Somebody else may have changed the catalog before the last of them was
 * gained.  Then the statement is judged again, under its locks.
 */
#include "mg_locking.h"

/* locks that are held for a statement that is being judged again; or NULL */
static HTAB *mg_provisional = NULL;

/* ------------------------------------------------------------------------
 * Which locks
 * ------------------------------------------------------------------------ */

/*
 * Are the locks of this statement taken here?  Not for what commits before
 * it has its last lock: there nothing would be kept, and a timeout would leave
 * half of the work behind.  VACUUM and ANALYZE commit inside as well, or skip
 * what they cannot have, and their lock is none that readers and writers would
 * queue behind.  And not for what core will refuse before it locks anything.
 */
bool
mg_is_locked_politely(MgFootprint *fp)
{
	if (mg_lock_timeout == 0 || mg_mode < MG_MODE_WARN)
		return false;
	if (fp->concurrent || fp->no_block || fp->effects == NIL)
		return false;
	if (fp->script == NULL && XactReadOnly && !IsA(fp->stmt, LockStmt) &&
		!IsA(fp->stmt, ReindexStmt) && nodeTag(fp->stmt) != MG_TAG_CLUSTER)
		return false;
	switch (nodeTag(fp->stmt))
	{
		case T_VacuumStmt:
			return false;
		case T_RefreshMatViewStmt:
			return !castNode(RefreshMatViewStmt, fp->stmt)->concurrent;
		case T_LockStmt:
			return !castNode(LockStmt, fp->stmt)->nowait;
		case T_AlterTableMoveAllStmt:
			return !castNode(AlterTableMoveAllStmt, fp->stmt)->nowait;
		default:
			return true;
	}
}

/* Is this lock held only because the statement that is judged again is to have it? */
bool
mg_lock_is_provisional(Oid relid, LOCKMODE lockmode)
{
	MgWanted key = {relid, lockmode};

	if (likely(mg_provisional == NULL))
		return false;
	return hash_search(mg_provisional, &key, HASH_FIND, NULL) != NULL;
}

/*
 * Does the transaction hold a lock that is at least as good?  All stronger
 * modes are, but ShareLock: others may have it, too, while
 * ShareUpdateExclusiveLock keeps it from them.
 */
static bool
mg_lock_is_held(Oid relid, LOCKMODE lockmode)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, IsSharedRelation(relid) ? InvalidOid : MyDatabaseId, relid);
	for (LOCKMODE mode = lockmode; mode <= AccessExclusiveLock; mode++)
	{
		if (mode == ShareLock && lockmode == ShareUpdateExclusiveLock)
			continue;
		if (mg_lock_held_by_me(&tag, mode) && !mg_lock_is_provisional(relid, mode))
			return true;
	}
	return false;
}

static void
mg_lock_want(MgLocking *locking, Oid relid, LOCKMODE lockmode)
{
	if (mg_lock_is_held(relid, lockmode))
		return;
	locking->wanted[locking->count].relid = relid;
	locking->wanted[locking->count].lockmode = lockmode;
	locking->count++;
}

/* Does the statement do away with the files of a table?  removed: in order. */
static bool
mg_lock_includes_toast(MgFootprint *fp, MgEffect *eff, List *removed)
{
	if (eff->lockmode < AccessExclusiveLock)
		return false;
	if (IsA(fp->stmt, TruncateStmt) || mg_has_work(eff, MG_WORK_REWRITE) ||
		mg_has_work(eff, MG_WORK_COPY) || mg_has_work(eff, MG_WORK_FILL))
		return true;
	return mg_sorted_has_oid(removed, eff->relid);
}

/*
 * Make the list of locks: in the order of the footprint, which is core's.
 * The TOAST table, which a footprint counts as part of its table, has locks of
 * its own.  Nobody else uses temporary tables, and system catalogs are none of
 * the guard's business.
 */
static void
mg_lock_collect(MgLocking *locking, MgFootprint *fp)
{
	List *removed = list_copy(fp->removed);
	ListCell *lc;

	list_sort(removed, list_oid_cmp);
	locking->fp = fp;
	locking->count = locking->failed = 0;
	locking->replayed = false;
	locking->wanted = palloc_array(MgWanted, list_length(fp->effects) * 2 + 1);
	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);
		HeapTuple tuple;
		Form_pg_class form;

		if (eff->lockmode < ShareUpdateExclusiveLock || IsCatalogRelationOid(eff->relid))
			continue;
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(eff->relid));
		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_class) GETSTRUCT(tuple);
		if (form->relpersistence != RELPERSISTENCE_TEMP)
		{
			mg_lock_want(locking, eff->relid, eff->lockmode);
			if (OidIsValid(form->reltoastrelid) && mg_lock_includes_toast(fp, eff, removed))
				mg_lock_want(locking, form->reltoastrelid, AccessExclusiveLock);
		}
		ReleaseSysCache(tuple);
	}
	list_free(removed);
	for (int i = 0; i < locking->count && !locking->replayed; i++)
		locking->replayed = locking->count > 1 && XLogStandbyInfoActive() &&
							locking->wanted[i].lockmode == AccessExclusiveLock;
}

/* ------------------------------------------------------------------------
 * One round: all or none
 * ------------------------------------------------------------------------ */

/* Give the first so many back, and the one that is tried first. */
static void
mg_lock_release(MgLocking *locking, int count, int first)
{
	for (int i = count - 1; i >= 0; i--)
	{
		if (i != first)
			UnlockRelationOid(locking->wanted[i].relid, locking->wanted[i].lockmode);
	}
	if (first >= 0)
		UnlockRelationOid(locking->wanted[first].relid, locking->wanted[first].lockmode);
}

/*
 * Take all locks that are there to be had but the one that is held already.
 * False: one is not; those before it are held, and locking->failed is set.
 */
bool
mg_lock_try_others(MgLocking *locking, int first)
{
	for (int i = 0; i < locking->count; i++)
	{
		if (i != first &&
			!ConditionalLockRelationOid(locking->wanted[i].relid, locking->wanted[i].lockmode))
		{
			locking->failed = i;
			return false;
		}
	}
	return true;
}

/* Does nobody hold a lock that is in the way of this one? */
static bool
mg_lock_is_free(const MgWanted *wanted)
{
	LOCKTAG tag;
	int count;

	SET_LOCKTAG_RELATION(tag, IsSharedRelation(wanted->relid) ? InvalidOid : MyDatabaseId,
						 wanted->relid);
	pfree(GetLockConflicts(&tag, wanted->lockmode, &count));
	return count == 0;
}

/*
 * One try.  It begins with the lock that was missing the last time, so that as
 * long as this one is missing nobody notices.  False: nothing is held.
 *
 * A standby hears of each AccessExclusiveLock that is granted, and keeps it
 * until the transaction ends that has taken it, or the subtransaction.  So
 * where several locks are wanted, they are taken in one.
 */
bool
mg_lock_try(MgLocking *locking)
{
	int first = locking->failed;

	/* each try takes a transaction ID, so there should be hope */
	if (locking->replayed)
		return (locking->tries == 0 || mg_lock_is_free(&locking->wanted[first])) &&
			   mg_lock_apart(locking, 0);

	if (!ConditionalLockRelationOid(locking->wanted[first].relid, locking->wanted[first].lockmode))
		return false;
	if (mg_lock_try_others(locking, first))
		return true;
	mg_lock_release(locking, locking->failed, first);
	return false;
}

/*
 * Take all locks in a subtransaction, which gives back what it got if they are
 * not all to be had.  wait is how many ms it may stand in the queue for the
 * one that was missing: that bounds the wait in the way in which procedural
 * languages run a block with an exception handler.
 */
bool
mg_lock_apart(MgLocking *locking, int wait)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int lock_timeout = LockTimeout;
	int first = locking->failed;
	MgWanted *wanted = &locking->wanted[first];
	volatile bool gained = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (wait > 0)
		{
			LockTimeout = wait;
			LockRelationOid(wanted->relid, wanted->lockmode);
			LockTimeout = lock_timeout;
			/* time may have been up in the last moment */
			CHECK_FOR_INTERRUPTS();
		}
		else
			gained = ConditionalLockRelationOid(wanted->relid, wanted->lockmode);
		gained = gained && mg_lock_try_others(locking, first);
		if (gained)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		LockTimeout = lock_timeout;
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (wait == 0 || edata->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(edata);
		FreeErrorData(edata);
		gained = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return gained;
}

/* ------------------------------------------------------------------------
 * Judging again
 * ------------------------------------------------------------------------ */

/* The memory of the statement goes away. */
static void
mg_forget_provisional(void *arg)
{
	if (mg_provisional == arg)
		mg_provisional = NULL;
}

/* All locks of a round that was won. */
static HTAB *
mg_lock_index(MgLocking *locking)
{
	HASHCTL ctl = {.keysize = sizeof(MgWanted),
				   .entrysize = sizeof(MgWanted),
				   .hcxt = CurrentMemoryContext};
	MemoryContextCallback *gone = palloc0(sizeof(MemoryContextCallback));
	HTAB *index = hash_create("migration_guard locks gained", locking->count, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	for (int i = 0; i < locking->count; i++)
		(void) hash_search(index, &locking->wanted[i], HASH_ENTER, NULL);
	gone->func = mg_forget_provisional;
	gone->arg = index;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, gone);
	return index;
}

/* Those of the findings that have not been told yet. */
static List *
mg_lock_news(List *findings, List *told)
{
	List *news = NIL;
	ListCell *lc;

	foreach(lc, findings)
	{
		MgFinding *finding = lfirst(lc);
		bool known = false;
		ListCell *lc2;

		foreach(lc2, told)
		{
			MgFinding *old = lfirst(lc2);

			known |= old->rule == finding->rule && old->relid == finding->relid &&
					 old->verdict == finding->verdict;
		}
		if (!known)
			news = lappend(news, finding);
	}
	return news;
}

/*
 * All locks are held, and the catalog may have changed since the statement was
 * judged, or the table has grown: judge it by what is there now.  Raises an
 * error if it is refused now.  Puts into next what it wants now.
 */
static void
mg_lock_judge_again(MgLocking *locking, MgLocking *next, List **told)
{
	MgFootprint *old = locking->fp;
	MgFootprint *fp;
	List *findings = NIL;

	mg_provisional = mg_lock_index(locking);
	fp = mg_footprint(old->stmt, old->source, NULL);
	if (fp->problem == NULL)
		findings = mg_judge(fp);
	mg_lock_collect(next, fp);
	mg_provisional = NULL;

	findings = mg_lock_news(findings, *told);
	fp->passed = NIL; /* counted before */
	mg_report(fp, findings);
	*told = list_concat(*told, findings);
}

/*
 * Is all that is wanted now among what was gained?  Then give the rest back.
 */
static bool
mg_lock_settle(MgLocking *locking, MgLocking *next)
{
	HTAB *gained = mg_lock_index(locking);
	MgWanted *wanted;
	HASH_SEQ_STATUS status;

	for (int i = 0; i < next->count; i++)
	{
		if (hash_search(gained, &next->wanted[i], HASH_FIND, NULL) == NULL)
			return false;
	}
	for (int i = 0; i < next->count; i++)
		(void) hash_search(gained, &next->wanted[i], HASH_REMOVE, NULL);
	hash_seq_init(&status, gained);
	while ((wanted = hash_seq_search(&status)) != NULL)
		UnlockRelationOid(wanted->relid, wanted->lockmode);
	return true;
}

/* ------------------------------------------------------------------------
 * The whole way
 * ------------------------------------------------------------------------ */

/*
 * Takes the locks of a statement that may run, before core does.  See mg.h.
 * What is raised here is core's own error, if a limit of the session's is
 * reached, or that the guard's limit is.
 */
MgFootprint *
mg_lock_politely(MgFootprint *fp, List *findings)
{
	ResourceOwner owner = CurrentResourceOwner;
	MgLocking locking = {.fp = fp};
	List *told = list_copy(findings);

	mg_provisional = NULL;
	if (!mg_is_locked_politely(fp))
		return fp;

	/* of the transaction's, as after a subtransaction, so that all can be given back */
	CurrentResourceOwner = CurTransactionResourceOwner;
	mg_lock_collect(&locking, fp);
	while (locking.count > 0)
	{
		MgLocking next;
		int tries = locking.tries;

		if (!mg_lock_try(&locking))
			mg_lock_wait(&locking);
		if (locking.tries == tries && locking.fp->seen == SharedInvalidMessageCounter)
			break;

		next = locking;
		mg_lock_judge_again(&locking, &next, &told);
		if (next.fp->problem == NULL && mg_lock_settle(&locking, &next))
		{
			locking = next;
			break;
		}
		mg_lock_release(&locking, locking.count, -1);
		locking = next;
		if (locking.fp->problem)
			break; /* core will say it */
	}
	CurrentResourceOwner = owner;
	return locking.fp;
}
