/*
 * mg_blockers.h
 *
 * Owns what mg.h says about blockers.c: other sessions and prepared
 * transactions that a statement would have to wait for.
 */
#ifndef MG_BLOCKERS_H
#define MG_BLOCKERS_H

/* A session, or a prepared transaction. */
typedef struct MgBlocker
{
	int pid;                 /* of a parallel worker: its leader's; 0: a prepared transaction */
	bool prepared;           /* PREPARE TRANSACTION; then gid, owner and xact_start are known */
	const char *gid;         /* or NULL */
	Oid userid;              /* who is connected, or has prepared it; InvalidOid: nobody */
	const char *user;        /* by name, or NULL */
	const char *application; /* application_name, or NULL */
	const char *process;     /* "walsender", "autovacuum worker", ...; NULL: a client's session */
	bool autovacuum;         /* who waits longer than deadlock_timeout cancels it, but if ... */
	bool wraparound;         /* ... it prevents transaction ID wraparound */
	bool visible;            /* may the current user see all of this?  See pg_stat_activity */
	BackendState state;
	TimestampTz xact_start;  /* its transaction began, or was prepared; 0: not known */
	TimestampTz query_start; /* its last query began */
	TimestampTz state_start; /* it has been in this state since */
	const char *query;       /* beginning of the last query, in one line; or NULL */
	const char *wait_type;   /* what it waits for, or NULL */
	const char *wait_event;
	TimestampTz seen; /* when all this was so */
} MgBlocker;

/*
 * Who holds a lock on a relation that conflicts with this mode; of MgBlocker,
 * oldest transaction first, without this session; in the current memory
 * context.  Never waits; who is gone meanwhile is left out.
 */
extern List *mg_blockers(Oid relid, LOCKMODE mode);

/*
 * Whose snapshots CREATE INDEX CONCURRENTLY and its kin would wait for if they
 * are there still: sessions of this database, without this one and VACUUM; of
 * MgBlocker, oldest transaction first.
 */
extern List *mg_snapshot_holders(void);

/*
 * The same as mg_blockers() for many relations: who is met again is the same
 * MgBlocker.  mg_holders_of() is in no order; mg_holders_end() has all of them
 * once, oldest transaction first.
 */
typedef struct MgHolders MgHolders;
extern MgHolders *mg_holders_begin(void);
extern List *mg_holders_of(MgHolders *holders, Oid relid, LOCKMODE mode);
extern List *mg_holders_end(MgHolders *holders);

/* application_name of a backend, or NULL */
extern const char *mg_application(const PGPROC *proc);

/* oldest transaction first */
extern void mg_blockers_sort(List *blockers);

extern bool mg_blocker_lasts(const MgBlocker *blocker); /* will not be gone in a moment */
extern bool mg_blocker_dumps(const MgBlocker *blocker); /* it is pg_dump or pg_dumpall */
extern bool mg_may_terminate(const MgBlocker *blocker); /* may the current user end the session? */

/* "process 4711 (application \"psql\", user \"app\") has been idle in transaction for 3 min 2 s" */
extern char *mg_word_blocker(const MgBlocker *blocker);
/* who they are, and no more: three of them, "and 4 more" */
extern char *mg_word_names(List *blockers);
/* a sentence each, without the last period: three of them, then "And 4 more" */
extern char *mg_word_blockers(List *blockers);

#endif /* MG_BLOCKERS_H */
