/*
 * situation.c
 *
 * Owns what is known about the surroundings of a statement: which locks this
 * transaction holds already, and which command took them.
 *
 * That a lock is held is always asked of the lock manager.  What is
 * remembered here only adds the name of the command, so a wrong memory could
 * only put a wrong word into a message; and what a rolled back subtransaction
 * has taken is forgotten.
 */
#include "mg.h"

/* A lock that a judged statement has taken in this transaction. */
typedef struct MgTakenKey
{
	Oid relid;
	LOCKMODE lockmode;
} MgTakenKey;

typedef struct MgTaken
{
	MgTakenKey key;
	SubTransactionId subid;
	const char *command; /* a command tag: static storage */
} MgTaken;

/* lives in TopTransactionContext; NULL: nothing remembered */
static HTAB *mg_taken = NULL;

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
	HASH_SEQ_STATUS status;
	MgTaken *taken;

	(void) parentSubid;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB || mg_taken == NULL)
		return;
	hash_seq_init(&status, mg_taken);
	while ((taken = hash_seq_search(&status)) != NULL)
	{
		if (taken->subid >= mySubid)
			hash_search(mg_taken, &taken->key, HASH_REMOVE, NULL);
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

/*
 * A judged statement is about to run: keep its name with the locks that it
 * will take, unless the transaction ends with it.
 */
void
mg_situation_remember(MgFootprint *fp)
{
	ListCell *lc;

	if (fp->concurrent || !mg_situation_in_block(NULL))
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
			HASHCTL ctl = {.keysize = sizeof(MgTakenKey),
						   .entrysize = sizeof(MgTaken),
						   .hcxt = TopTransactionContext};

			mg_watch_transactions();
			mg_taken = hash_create("migration_guard locks taken", 64, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		}
		taken = hash_search(mg_taken, &key, HASH_ENTER, &found);
		if (!found)
		{
			taken->subid = GetCurrentSubTransactionId();
			taken->command = fp->command;
		}
	}
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
		if (!mg_lock_held_by_me(&tag, mode))
			continue;
		if (mg_taken != NULL && since != NULL)
		{
			MgTakenKey key = {relid, mode};
			MgTaken *taken = hash_search(mg_taken, &key, HASH_FIND, NULL);

			*since = taken ? taken->command : NULL;
		}
		return mode;
	}
	return NoLock;
}

/*
 * Relations that this transaction, or the script so far, keeps others from
 * writing to, as far as judged statements have locked them.
 */
List *
mg_situation_locked(struct MgScript *script)
{
	List *result = NIL;
	HASH_SEQ_STATUS status;
	MgTaken *taken;
	ListCell *lc;

	foreach(lc, script ? script->locks : NIL)
	{
		MgScriptLock *lock = lfirst(lc);

		if (lock->lockmode >= ShareLock)
			result = list_append_unique_oid(result, lock->relid);
	}
	if (mg_taken != NULL && (script == NULL || script->live))
	{
		hash_seq_init(&status, mg_taken);
		while ((taken = hash_seq_search(&status)) != NULL)
		{
			if (taken->key.lockmode >= ShareLock &&
				mg_really_held(taken->key.relid, NULL) >= ShareLock)
				result = list_append_unique_oid(result, taken->key.relid);
		}
	}
	list_sort(result, list_oid_cmp);
	return result;
}

/*
 * The strongest lock held on a relation before the statement takes its own:
 * by this transaction, or in a dry run also by the script so far.  NoLock if
 * it is weaker than ShareUpdateExclusiveLock.  *since (may be NULL) is the
 * tag of the command that took it, or NULL if that is not known.
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
			*since = command;
	}
	return held;
}
