/*
 * mg_situation.h
 *
 * Owns what mg.h says about the situation of a statement: what its transaction
 * has done so far, and the rules about that and about CONCURRENTLY.
 */
#ifndef MG_SITUATION_H
#define MG_SITUATION_H

/* ------------------------------------------------------------------------
 * situation.c: what this transaction, or the script so far, holds
 * ------------------------------------------------------------------------ */
extern void mg_situation_enter(bool toplevel);      /* before each judgement in the hook */
extern void mg_situation_remember(MgFootprint *fp); /* a judged statement is about to run */

/* strongest lock already held on relid; *since: "for 12 s, since ALTER TABLE", or NULL */
extern LOCKMODE mg_situation_held(struct MgScript *script, Oid relid, const char **since);
extern bool mg_situation_in_block(struct MgScript *script);

/* the name of a relation, also of one that this transaction has dropped */
extern const char *mg_situation_name(Oid relid);

/* A relation that this transaction, or the script so far, keeps others from. */
typedef struct MgHeld
{
	Oid relid;
	char relkind;      /* 0: it is dropped */
	LOCKMODE lockmode; /* ShareLock or stronger */
	const char *since; /* as above */
	const char *name;
	MgSize size; /* what it was before this transaction has emptied or dropped it */
} MgHeld;

extern bool mg_situation_is_fresh(struct MgScript *script); /* nothing of the kind is held */

/* of MgHeld: all that are held and that others may wait for, by OID; no indexes */
extern List *mg_situation_locked(struct MgScript *script);

/* Has the transaction, or the script so far, written to relid?  *rows: so many, if known, or 0 */
extern bool mg_situation_written(struct MgScript *script, Oid relid, double *rows);

/* predicates of rules about the situation, and what they share: rule_transaction.c */
extern List *mg_held_meanwhile(MgFootprint *fp); /* of MgEffect: locked by earlier statements */
extern bool mg_is_only_ill_timed(MgFootprint *fp, MgFinding *finding);
extern bool mg_locks_several(MgFootprint *fp, MgFinding *finding);
extern bool mg_follows_writes(MgFootprint *fp, MgFinding *finding);

/* the same: rule_concurrently.c */
extern bool mg_may_be_cancelled(MgFootprint *fp, MgFinding *finding);
extern bool mg_skips_invalid_index(MgFootprint *fp, MgFinding *finding);
extern List *mg_concurrent_waits(MgFootprint *fp, const MgEffect *eff);
extern const char *mg_concurrent_name(MgFootprint *fp);
extern char *mg_advise_refused(MgFootprint *fp); /* for what fp->problem is about, or NULL */
extern void mg_tell_refused(MgFootprint *fp);    /* in the hook: the same as a NOTICE */

#endif /* MG_SITUATION_H */
