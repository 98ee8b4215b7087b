/*
 * rule_transaction.c
 *
 * Owns the rules about the shape of a transaction: what a statement does is
 * harmless by itself, but not after what has been done before in the same
 * transaction, for every lock is kept until that ends.
 *
 *   several_tables  others are kept from a second large table, while they are
 *                   kept from one already
 *   ddl_after_dml   a strong lock on a table that this transaction has written
 *                   to
 *
 * Work that is done while others are kept from another relation is found by
 * the rules about work: see mg_held_meanwhile().
 */
#include "mg.h"

#include "advice.h"

#include <math.h>

/* A lock that keeps out at least those who write. */
#define MG_STRONG ShareLock

/* ------------------------------------------------------------------------
 * For the rules about work
 * ------------------------------------------------------------------------ */

/*
 * Relations that the statement has nothing to do with, and that others have
 * been kept from since an earlier statement: of MgEffect, without any lock.
 * Not those that are dropped: who waits for one of them will not get it in the
 * end either, and a restore in one transaction drops before it fills.
 */
List *
mg_held_meanwhile(MgFootprint *fp)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, mg_situation_locked(fp->script))
	{
		MgHeld *held = lfirst(lc);
		MgEffect *eff;

		if (held->relkind == '\0' || mg_effect_find(fp, held->relid))
			continue;
		eff = palloc0(sizeof(MgEffect));
		eff->relid = held->relid;
		eff->relkind = held->relkind;
		eff->role = MG_ROLE_OTHER;
		eff->size = held->size;
		eff->sized = true;
		result = lappend(result, eff);
	}
	return result;
}

/*
 * Does the work of a finding have to do with relations that nobody else uses,
 * so that the only thing to be said is when to do it?
 */
bool
mg_is_only_ill_timed(MgFootprint *fp, MgFinding *finding)
{
	ListCell *lc;

	if (finding->rule->cause == MG_CAUSE_NONE || finding->blocked == NIL)
		return false;
	foreach(lc, finding->blocked)
	{
		if (mg_effect_find(fp, ((MgEffect *) lfirst(lc))->relid))
			return false;
	}
	foreach(lc, finding->worked)
	{
		if (!mg_effect_exempt(lfirst(lc)))
			return false;
	}
	return true;
}

char *
mg_advise_earlier(MgFootprint *fp pg_attribute_unused(), MgFinding *finding)
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say(&buf,
		   "Run it before the statement that locks \"%s\", or commit in between: it blocks nobody "
		   "by itself.",
		   mg_situation_name(finding->relid));
	return buf.data;
}

/* ------------------------------------------------------------------------
 * several_tables
 * ------------------------------------------------------------------------ */

/* The partitioned table that a relation belongs to in the end, or the relation itself. */
static Oid
mg_topmost(Oid relid)
{
	List *ancestors = get_rel_relispartition(relid) ? get_partition_ancestors(relid) : NIL;

	return ancestors ? llast_oid(ancestors) : relid;
}

static bool
mg_is_table(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW ||
		   relkind == RELKIND_PARTITIONED_TABLE;
}

/* The large tables among those that are held, without the family of relid; of MgHeld. */
static List *
mg_other_large(List *locked, Oid relid)
{
	Oid topmost = mg_topmost(relid);
	List *result = NIL;
	ListCell *lc;

	foreach(lc, locked)
	{
		MgHeld *held = lfirst(lc);

		if ((held->relkind == '\0' || mg_is_table(held->relkind)) &&
			mg_is_large(held->size.rows, held->size.heap + held->size.toast) &&
			(held->relkind == '\0' || mg_topmost(held->relid) != topmost))
			result = lappend(result, held);
	}
	return result;
}

/* The largest of the large tables that the statement is the first to lock; or NULL. */
static MgEffect *
mg_newly_locked(MgFootprint *fp)
{
	MgEffect *largest = NULL;
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);

		/* a partition counts by its partitioned table */
		if (eff->lockmode < MG_STRONG || !mg_is_table(eff->relkind) ||
			(eff->role == MG_ROLE_CHILD && get_rel_relispartition(eff->relid)) ||
			mg_situation_held(fp->script, eff->relid, NULL) >= MG_STRONG || mg_effect_exempt(eff) ||
			!mg_is_large(eff->size.rows, eff->size.heap + eff->size.toast))
			continue;
		if (largest == NULL || eff->relid == fp->target ||
			(largest->relid != fp->target && eff->size.rows > largest->size.rows))
			largest = eff;
	}
	return largest;
}

/* "AccessExclusiveLock on \"a\" for 12 s, since ALTER TABLE, which blocks reads and writes" */
static char *
mg_fact_held(const MgHeld *held)
{
	return psprintf("this transaction already holds %s on \"%s\"%s%s, which blocks %s",
					GetLockmodeName(DEFAULT_LOCKMETHOD, held->lockmode), held->name,
					held->since ? " " : "", held->since ? held->since : "",
					mg_lock_blocks(held->lockmode));
}

/* The command, to be followed by the table: "ALTER TABLE", "CREATE INDEX on". */
static const char *
mg_command_on(MgFootprint *fp)
{
	return strncmp(fp->command, "CREATE ", strlen("CREATE ")) == 0 ? psprintf("%s on", fp->command)
																   : fp->command;
}

/* Are others kept from a second large table, while they are kept from one already? */
bool
mg_locks_several(MgFootprint *fp, MgFinding *finding)
{
	MgEffect *eff = mg_situation_is_fresh(fp->script) ? NULL : mg_newly_locked(fp);
	List *others = eff ? mg_other_large(mg_situation_locked(fp->script), eff->relid) : NIL;
	const char *name;
	ListCell *lc;

	if (others == NIL)
		return false;
	finding->relid = eff->relid;
	finding->lockmode = eff->lockmode;
	name = OidIsValid(fp->target) && eff->relid != fp->target
			 ? psprintf(", \"%s\",", get_rel_name(eff->relid))
			 : "";
	finding->operation = mg_command_on(fp);
	finding->danger =
		psprintf("would lock another large table%s in a transaction that keeps others from \"%s\"",
				 name, ((MgHeld *) linitial(others))->name);
	foreach(lc, others)
	{
		if (foreach_current_index(lc) == MG_SHOWN)
		{
			finding->facts = lappend(finding->facts, psprintf("and locks on %d more large tables",
															  list_length(others) - MG_SHOWN));
			break;
		}
		finding->facts = lappend(finding->facts, mg_fact_held(lfirst(lc)));
	}
	finding->facts = lappend(finding->facts,
							 psprintf("%s on \"%s\" blocks %s as well until the transaction ends",
									  GetLockmodeName(DEFAULT_LOCKMETHOD, eff->lockmode),
									  get_rel_name(eff->relid), mg_lock_blocks(eff->lockmode)));
	finding->facts = lappend(finding->facts,
							 pstrdup("while the statement waits for one, others queue for the "
									 "other, and a transaction that uses them in the other "
									 "order makes a deadlock"));
	return true;
}

char *
mg_advise_several_tables(MgFootprint *fp pg_attribute_unused(),
						 MgFinding *finding pg_attribute_unused())
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say(&buf, "Commit first, then run it in a transaction of its own.");
	return buf.data;
}

/* ------------------------------------------------------------------------
 * ddl_after_dml
 * ------------------------------------------------------------------------ */

/*
 * Is the lock on a relation raised by the statement?  Only who has to wait for
 * others again can deadlock.
 */
static bool
mg_raises_lock(MgFootprint *fp, MgEffect *eff, double *rows)
{
	return eff->lockmode >= MG_STRONG && mg_is_table(eff->relkind) &&
		   mg_situation_written(fp->script, eff->relid, rows) &&
		   mg_situation_held(fp->script, eff->relid, NULL) < MG_STRONG && !mg_effect_exempt(eff);
}

/* What has been written, and for how long it has been going on. */
static void
mg_facts_written(MgFootprint *fp, MgFinding *finding)
{
	const char *name = get_rel_name(finding->relid);
	double seconds = (double) (GetCurrentTimestamp() - GetCurrentTransactionStartTimestamp()) /
					 USECS_PER_SEC;
	const char *since = "";

	if ((fp->script == NULL || fp->script->live) && seconds >= 1)
		since = psprintf(", which began %s ago,", mg_format_seconds(seconds));
	if (finding->rows > 0)
		finding->facts = lappend(finding->facts,
								 psprintf("this transaction%s has written %s of \"%s\"", since,
										  mg_format_rows(finding->rows), name));
	else
		finding->facts = lappend(finding->facts,
								 psprintf("this transaction%s holds RowExclusiveLock on \"%s\", as "
										  "all do that write to it",
										  since, name));
	finding->facts = lappend(
		finding->facts,
		psprintf("%s, which blocks %s until it ends, has to wait for all others that use the table",
				 GetLockmodeName(DEFAULT_LOCKMETHOD, finding->lockmode),
				 mg_lock_blocks(finding->lockmode)));
	finding->facts =
		lappend(finding->facts,
				pstrdup(
					"one of them that wants a row that this transaction has written, or the same "
					"lock, makes a deadlock, and what is rolled back then leaves dead rows"));
}

/* Is a lock raised on a table that many rows have been written of, or that is large? */
bool
mg_follows_writes(MgFootprint *fp, MgFinding *finding)
{
	MgEffect *most = NULL;
	double most_rows = 0;
	bool large = false;
	ListCell *lc;

	if (!mg_situation_in_block(fp->script))
		return false;
	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);
		double rows;

		if (!mg_raises_lock(fp, eff, &rows))
			continue;
		large |= mg_is_large(eff->size.rows, eff->size.heap + eff->size.toast);
		finding->rows += rows;
		finding->lockmode = Max(finding->lockmode, eff->lockmode);
		if (most == NULL || rows > most_rows || eff->relid == fp->target)
		{
			most = eff;
			most_rows = eff->relid == fp->target ? INFINITY : rows;
		}
	}
	if (most == NULL || !(large || mg_is_large(finding->rows, 0)))
		return false;
	finding->relid = most->relid;
	finding->operation = mg_command_on(fp);
	finding->danger =
		finding->rows > 0
			? psprintf("would raise the lock on a table of which this transaction has written %s",
					   mg_format_rows(finding->rows))
			: "would raise the lock on a table that this transaction has locked for writing";
	mg_facts_written(fp, finding);
	return true;
}

char *
mg_advise_ddl_after_dml(MgFootprint *fp pg_attribute_unused(),
						MgFinding *finding pg_attribute_unused())
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say(&buf, "Write the rows in transactions of their own, many of them in batches, and commit "
				 "before this statement.");
	return buf.data;
}
