/*
 * mg_locking.h
 *
 * What the files of polite locking share: locking.c, which takes the locks of
 * a statement all or none, burst.c, which knows when to try and when to stand
 * in the queue for a moment, deadlock.c, which sees when that is of no use, and
 * report_lock.c, which says what came of it.
 */
#ifndef MG_LOCKING_H
#define MG_LOCKING_H

#include "mg.h"

/* A lock that the statement needs and its transaction does not have. */
typedef struct MgWanted
{
	Oid relid;
	LOCKMODE lockmode;
} MgWanted;

/* The way of one statement to its locks. */
typedef struct MgLocking
{
	MgFootprint *fp;
	MgWanted *wanted; /* in the order in which core takes them */
	int count;
	int failed;    /* the one that was not to be had when it was tried last */
	bool replayed; /* standbys are told of a lock that is had, even if another one is not */

	/* since the first try that failed; 0: there was none */
	TimestampTz started;
	TimestampTz deadline;
	bool session_limit; /* it is lock_timeout's, not the guard's */
	bool told;          /* somebody knows that this takes long */

	/* pace */
	int tries;              /* that failed */
	double pause;           /* ms before the next one */
	double gap;             /* ms between bursts */
	TimestampTz next_burst; /* not before */

	TimestampTz next_check; /* when to look whether somebody in the way cannot go */
	MgWanted published;     /* what others know that it tries for; InvalidOid: nothing */
} MgLocking;

/* locking.c */
extern bool mg_lock_try(MgLocking *locking);
extern bool mg_lock_try_others(MgLocking *locking, int first);
extern bool mg_lock_apart(MgLocking *locking, int wait);

/* burst.c */
extern void mg_lock_wait(MgLocking *locking);

/* deadlock.c */
extern bool mg_lock_waits_for_me(MgLocking *locking, const MgBlocker *blocker);
extern void mg_lock_unpublish(MgLocking *locking);

/* report_lock.c */
extern void mg_report_lock_wait(MgLocking *locking, List *blockers);
extern void mg_report_lock_timeout(MgLocking *locking, List *blockers); /* does not return */
extern void mg_report_lock_deadlock(MgLocking *locking, const MgBlocker *blocker); /* nor this */

#endif /* MG_LOCKING_H */
