/*
 * rule_queue.c
 *
 * Owns the rule lock_queue: a statement would have to wait for a lock, because
 * somebody holds one that conflicts with it, now and for longer than a moment.
 * While it waits in the lock queue, all that comes later waits behind it,
 * however small the table is.
 *
 * Sizes do not matter here, so empty tables count like others.
 */
#include "mg.h"

#include "advice.h"

/* A relation whose lock cannot be had now. */
typedef struct MgWait
{
	Oid relid;
	LOCKMODE lockmode;
	List *blockers; /* of MgBlocker: those that last; never empty */
} MgWait;

/* All of them. */
typedef struct MgQueue
{
	List *waits;    /* of MgWait */
	List *blockers; /* of MgBlocker, oldest transaction first */
} MgQueue;

/*
 * Is it said of this statement who is in its way?  A dry run says it, with all
 * that is so right now.  When it runs, locking says so itself if it has to
 * wait, unless the wait is left to core.
 */
static bool
mg_queue_is_told(MgFootprint *fp)
{
	return fp->script != NULL || mg_lock_timeout == 0;
}

/*
 * Is it an index whose table is locked in a mode that conflicts with all
 * others?  Whoever uses the index has locked the table, too.
 */
static bool
mg_goes_with_table(MgFootprint *fp, const MgEffect *eff)
{
	MgEffect *table = NULL;

	if (eff->relkind == RELKIND_INDEX || eff->relkind == RELKIND_PARTITIONED_INDEX)
		table = mg_effect_find(fp, IndexGetRelation(eff->relid, true));
	return table != NULL && table->lockmode == AccessExclusiveLock;
}

/*
 * Does the statement take a lock that ordinary reads or writes conflict with,
 * and that the transaction does not have yet, on a relation that others use?
 */
static bool
mg_needs_lock(MgFootprint *fp, const MgEffect *eff)
{
	if (eff->lockmode < ShareLock || IsCatalogRelationOid(eff->relid) ||
		mg_goes_with_table(fp, eff))
		return false;
	if (mg_situation_held(fp->script, eff->relid, NULL) >= eff->lockmode)
		return false;
	return !isAnyTempNamespace(get_rel_namespace(eff->relid)) && !mg_relation_is_new(eff->relid);
}

/* Those of a list that are here to stay. */
static List *
mg_lasting(List *blockers)
{
	List *lasting = NIL;
	ListCell *lc;

	foreach(lc, blockers)
	{
		if (mg_blocker_lasts(lfirst(lc)))
			lasting = lappend(lasting, lfirst(lc));
	}
	return lasting;
}

/*
 * Those of a relation that a statement would have to wait for.  On a standby,
 * nobody can tell what the locks are like where the statement will run.
 */
List *
mg_in_the_way_of(MgFootprint *fp, const MgEffect *eff)
{
	if (fp->concurrent || RecoveryInProgress() || !mg_needs_lock(fp, eff))
		return NIL;
	return mg_lasting(mg_blockers(eff->relid, eff->lockmode));
}

/* MgRule.applies of lock_queue. */
bool
mg_would_queue(MgFootprint *fp, MgFinding *finding)
{
	MgHolders *holders;
	List *waits = NIL;
	ListCell *lc;

	if (!mg_queue_is_told(fp) || fp->concurrent || RecoveryInProgress())
		return false;
	holders = mg_holders_begin();
	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);
		List *blockers;
		MgWait *wait;

		CHECK_FOR_INTERRUPTS();
		if (!mg_needs_lock(fp, eff))
			continue;
		blockers = mg_lasting(mg_holders_of(holders, eff->relid, eff->lockmode));
		if (blockers == NIL)
			continue;
		wait = palloc(sizeof(MgWait));
		wait->relid = eff->relid;
		wait->lockmode = eff->lockmode;
		wait->blockers = blockers;
		waits = lappend(waits, wait);
		if (finding->lockmode == NoLock || eff->relid == fp->target)
		{
			finding->relid = eff->relid;
			finding->lockmode = eff->lockmode;
		}
	}
	if (waits == NIL)
		return false;
	finding->queue = palloc(sizeof(MgQueue));
	finding->queue->waits = waits;
	finding->queue->blockers = mg_lasting(mg_holders_end(holders));
	return true;
}

/* ------------------------------------------------------------------------
 * Words
 * ------------------------------------------------------------------------ */

/* The name of a relation in a message; the OID if it is gone. */
static const char *
mg_name(Oid relid)
{
	char *name = get_rel_name(relid);

	return name ? name : psprintf("%u", relid);
}

/* What somebody holds of what the statement needs: "\"a\", \"b\" and 3 more". */
static char *
mg_held_by(MgQueue *queue, MgBlocker *blocker)
{
	StringInfoData buf;
	int count = 0;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, queue->waits)
	{
		MgWait *wait = lfirst(lc);

		if (list_member_ptr(wait->blockers, blocker) && ++count <= MG_SHOWN)
			appendStringInfo(&buf, "%s\"%s\"", count > 1 ? ", " : "", mg_name(wait->relid));
	}
	if (count > MG_SHOWN)
		appendStringInfo(&buf, " and %d more", count - MG_SHOWN);
	return buf.data;
}

/* What that means to others. */
static char *
mg_queue_means(MgFootprint *fp, MgFinding *finding)
{
	const char *mode = GetLockmodeName(DEFAULT_LOCKMETHOD, finding->lockmode);

	if (mg_is_locked_politely(fp))
		return psprintf("the guard tries for %s on \"%s\" until %s is over, without making others "
						"queue, and then the statement fails",
						mode, mg_name(finding->relid), mg_word_lock_limit());
	return psprintf("while %s on \"%s\" is waited for in the queue, %s that come later wait, too",
					mode, mg_name(finding->relid), mg_lock_blocks(finding->lockmode));
}

/* Who is in the way, and what that means; for DETAIL. */
static List *
mg_queue_facts(MgFootprint *fp, MgFinding *finding, MgQueue *queue)
{
	int others = list_length(queue->blockers) - MG_SHOWN;
	List *facts = NIL;
	ListCell *lc;

	foreach(lc, queue->blockers)
	{
		MgBlocker *blocker = lfirst(lc);

		if (foreach_current_index(lc) == MG_SHOWN)
			break;
		facts = lappend(facts, list_length(queue->waits) == 1
								   ? mg_word_blocker(blocker)
								   : psprintf("%s; it has locked %s", mg_word_blocker(blocker),
											  mg_held_by(queue, blocker)));
	}
	if (others > 0)
		facts = lappend(facts,
						psprintf("and %d more %s in the way", others, others == 1 ? "is" : "are"));
	return lappend(facts, mg_queue_means(fp, finding));
}

/* MgCategory.word of the category: as the current user, who sees no more than his own. */
void
mg_word_queue(MgFootprint *fp, MgFinding *finding)
{
	MgQueue *queue = finding->queue;
	int others = list_length(queue->waits) - 1;

	finding->facts = mg_queue_facts(fp, finding, queue);
	finding->danger = "";
	mg_word_situation(fp, finding);
	finding->message = psprintf("%s would have to wait for its lock on \"%s\"%s", fp->command,
								mg_name(finding->relid),
								others == 0 ? ""
											: psprintf(" and %d more relation%s", others,
													   others == 1 ? "" : "s"));
	finding->hint = mg_blockers_hint("Run it", queue->blockers);
}
