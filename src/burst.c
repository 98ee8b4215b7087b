/*
 * burst.c
 *
 * Owns the pace at which a statement tries for its locks: conditional requests
 * with growing pauses, and between them, where those alone would starve, a
 * short moment in the queue, with growing gaps.
 *
 * Who stands in a lock queue makes everybody wait who comes after, so this is
 * done for one lock only, holding none of the others, for no longer than
 * migration_guard.lock_burst, and only while all who are in the way have begun
 * their transactions a moment ago: they will be gone in a moment, too.  Behind
 * a long transaction nobody ever queues.
 */
#include "mg_locking.h"

#include <math.h>
#include <signal.h>

#include "common/pg_prng.h"

#define MG_FIRST_PAUSE 1.0    /* ms */
#define MG_LONGEST_PAUSE 50.0 /* ms */
#define MG_TRIES_FIRST 3      /* without standing in the queue */
#define MG_LONGEST_GAP 1000.0 /* ms between bursts */
#define MG_YOUNG 10           /* bursts; a transaction that is older is a long one */
#define MG_TELL_AFTER 1000    /* ms */

static double
mg_ms_since(TimestampTz then, TimestampTz now)
{
	return (double) (now - then) / 1000.0;
}

/*
 * The longest moment in the queue, in ms.  Nobody is to be found in a deadlock,
 * or autovacuum to be sent away, because of a moment.
 */
static int
mg_burst_length(void)
{
	return Min(mg_lock_burst, Max(DeadlockTimeout / 2, 1));
}

/* The first try has failed: from now on time counts. */
static void
mg_pace_begin(MgLocking *locking)
{
	int limit = mg_lock_timeout;

	if (locking->started != 0)
		return;
	if (LockTimeout > 0 && LockTimeout <= limit)
	{
		limit = LockTimeout;
		locking->session_limit = true;
	}
	locking->started = GetCurrentTimestamp();
	locking->deadline = TimestampTzPlusMilliseconds(locking->started, limit);
	locking->next_burst = locking->started;
	locking->next_check = TimestampTzPlusMilliseconds(locking->started, DeadlockTimeout);
	locking->pause = MG_FIRST_PAUSE;
	locking->gap = mg_burst_length();
}

/*
 * Sleep until the next try; whoever cancels need not wait.  Sessions that try
 * for the same locks are not to do so in step.
 */
static void
mg_pause(MgLocking *locking, TimestampTz now)
{
	double left = mg_ms_since(now, locking->deadline);
	double pause = locking->pause * (0.75 + 0.5 * pg_prng_double(&pg_global_prng_state));

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) ceil(Min(pause, left)), mg_wait_event());
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	locking->pause = Min(locking->pause * 2, MG_LONGEST_PAUSE);
}

/* ------------------------------------------------------------------------
 * A moment in the queue
 * ------------------------------------------------------------------------ */

/*
 * Will it be gone in a moment?  One that has begun less than half of
 * deadlock_timeout ago cannot wait for long itself, so the burst is over when
 * core looks whether there is a deadlock.
 */
static bool
mg_is_young(MgLocking *locking, const MgBlocker *blocker, TimestampTz now)
{
	TimestampTz since = blocker->xact_start;

	if (since == 0)
		since = locking->started; /* it does not say, so it is as old as is known */
	else if (mg_blocker_lasts(blocker))
		return false;
	return mg_ms_since(since, now) <
		   Min((double) MG_YOUNG * mg_burst_length(), (double) DeadlockTimeout / 2);
}

/* Is it time for one? */
static bool
mg_burst_is_due(MgLocking *locking, List *blockers, TimestampTz now)
{
	ListCell *lc;

	if (mg_lock_burst == 0 || locking->tries < MG_TRIES_FIRST || now < locking->next_burst)
		return false;
	foreach(lc, blockers)
	{
		if (!mg_is_young(locking, lfirst(lc), now))
			return false;
	}
	return true;
}

/* Stand in the queue for the lock that was missing, and if it is granted in time take the others. */
static bool
mg_burst(MgLocking *locking, TimestampTz now)
{
	int left = (int) Max(mg_ms_since(now, locking->deadline), 1);
	bool gained = mg_lock_apart(locking, Min(mg_burst_length(), left));

	locking->next_burst = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int) locking->gap);
	locking->gap = Min(locking->gap * 2, MG_LONGEST_GAP);
	return gained;
}

/* ------------------------------------------------------------------------
 * Who will not go by themselves
 * ------------------------------------------------------------------------ */

/*
 * Core asks an autovacuum worker to go when somebody has been waiting for it
 * for deadlock_timeout, unless it prevents wraparound.  Nobody waits here, so
 * it is asked here; in the same way and after the same time.
 */
static void
mg_send_away(int pid)
{
	ereport(DEBUG1, errmsg_internal("sending cancel to blocking autovacuum PID %d", pid));
	if (kill(pid, SIGINT) < 0 && errno != ESRCH)
		ereport(WARNING, errmsg("could not send signal to process %d: %m", pid));
}

/* Every deadlock_timeout: is one of those in the way one who will stay there? */
static void
mg_check_blockers(MgLocking *locking, List *blockers, TimestampTz now)
{
	ListCell *lc;

	if (now < locking->next_check)
		return;
	locking->next_check = TimestampTzPlusMilliseconds(now, DeadlockTimeout);
	foreach(lc, blockers)
	{
		MgBlocker *blocker = lfirst(lc);

		if (blocker->autovacuum && !blocker->wraparound)
			mg_send_away(blocker->pid);
		else if (!blocker->prepared && mg_lock_waits_for_me(locking, blocker))
			mg_report_lock_deadlock(locking, blocker);
	}
}

/* ------------------------------------------------------------------------
 * The whole wait
 * ------------------------------------------------------------------------ */

/* A try has failed.  True: the next one, in one way or another, has not. */
static bool
mg_lock_next(MgLocking *locking)
{
	MgWanted *wanted = &locking->wanted[locking->failed];
	TimestampTz now = GetCurrentTimestamp();
	List *blockers = mg_blockers(wanted->relid, wanted->lockmode);

	if (now >= locking->deadline)
		mg_report_lock_timeout(locking, blockers);
	if (!locking->told && mg_ms_since(locking->started, now) >= MG_TELL_AFTER)
	{
		mg_report_lock_wait(locking, blockers);
		locking->told = true;
	}
	mg_check_blockers(locking, blockers, now);
	if (mg_burst_is_due(locking, blockers, now))
		return mg_burst(locking, now);
	mg_pause(locking, now);
	return mg_lock_try(locking);
}

/*
 * The first try has failed: go on until all locks are held, or time is up,
 * which is an error.
 */
void
mg_lock_wait(MgLocking *locking)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migration_guard lock",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool gained;

	mg_pace_begin(locking);
	do
	{
		locking->tries++;
		gained = mg_lock_next(locking);
		MemoryContextReset(context);
	} while (!gained);
	mg_lock_unpublish(locking);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
