/*
 * usage.c
 *
 * Owns the evidence that a relation is in use: scans and writes that the
 * cumulative statistics have counted, and transactions that hold a lock on it
 * now.
 *
 * The counters are read straight from shared memory.  What this session has
 * done and not yet reported is not among them, so a transaction is never
 * evidence against itself; and the session's own snapshot of the statistics,
 * which stats_fetch_consistency is about, is neither used nor made.
 */
#include "usage.h"

#include "advice.h"
#include "dropwalk.h"

#include <math.h>

/* As many scans as DDL may need to make a table that is empty. */
#define MG_FEW_SCANS 10

/* A rate over less than an hour is none. */
#define MG_SECONDS_PER_HOUR 3600.0
#define MG_SECONDS_PER_DAY 86400.0

/* ------------------------------------------------------------------------
 * Counters
 * ------------------------------------------------------------------------ */

/* The entry of one object in shared memory; NULL: nothing was ever counted for it. */
static PgStat_EntryRef *
mg_counters(PgStat_Kind kind, Oid dboid, Oid objid)
{
	PgStat_EntryRef *ref = pgstat_get_entry_ref(kind, dboid, objid, false, NULL);

	return ref == NULL || ref->shared_entry->dropped ? NULL : ref;
}

/* Counters of a table or an index; zeros if there are none. */
static PgStat_StatTabEntry
mg_relation_counters(Oid relid)
{
	PgStat_EntryRef *ref = mg_counters(PGSTAT_KIND_RELATION, MyDatabaseId, relid);
	PgStat_StatTabEntry stats;

	memset(&stats, 0, sizeof(stats));
	if (ref)
	{
		(void) pgstat_lock_entry_shared(ref, false);
		stats = ((PgStatShared_Relation *) ref->shared_stats)->stats;
		pgstat_unlock_entry(ref);
	}
	return stats;
}

/* When the statistics of this database were reset, also those of a single table; 0: not known. */
static TimestampTz
mg_counting_since(void)
{
	PgStat_EntryRef *ref = mg_counters(PGSTAT_KIND_DATABASE, MyDatabaseId, InvalidOid);
	TimestampTz since = 0;

	if (ref)
	{
		(void) pgstat_lock_entry_shared(ref, false);
		since = ((PgStatShared_Database *) ref->shared_stats)->stats.stat_reset_timestamp;
		pgstat_unlock_entry(ref);
	}
	return since;
}

static bool
mg_is_index(char relkind)
{
	return relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX;
}

/* Add the counters of one relation, and of its indexes. */
static void
mg_use_count(MgUse *use, Oid relid)
{
	PgStat_StatTabEntry stats = mg_relation_counters(relid);
	MgSize size;
	ListCell *lc;

	use->last_scan = Max(use->last_scan, mg_stat_last_scan(&stats));
	if (mg_is_index(use->relkind))
	{
		use->index_scans += stats.numscans;
		return;
	}
	use->seq_scans += stats.numscans;
	use->rows_read += stats.tuples_returned;
	use->writes += stats.tuples_inserted + stats.tuples_updated + stats.tuples_deleted;
	use->inserts += stats.tuples_inserted;
	use->recent += mg_stat_changes_since_analyze(&stats);
	use->deletes += stats.tuples_deleted;
	use->changes += stats.tuples_updated + stats.tuples_deleted;
	mg_relation_size(relid, &size);
	use->rows += size.rows;
	foreach(lc, mg_index_list(relid))
	{
		stats = mg_relation_counters(lfirst_oid(lc));
		use->index_scans += stats.numscans;
		use->last_scan = Max(use->last_scan, mg_stat_last_scan(&stats));
	}
}

/* ------------------------------------------------------------------------
 * Locks
 * ------------------------------------------------------------------------ */

/*
 * Those of the sessions and prepared transactions that have been met that are
 * evidence.  Neither autovacuum, which gives way by itself, nor a dump is a
 * use of a table.
 */
static List *
mg_users(MgHolders *holders)
{
	List *users = mg_holders_end(holders);
	ListCell *lc;

	foreach(lc, users)
	{
		MgBlocker *blocker = lfirst(lc);

		if (blocker->autovacuum || mg_blocker_dumps(blocker))
			users = foreach_delete_current(users, lc);
	}
	return users;
}

/* ------------------------------------------------------------------------
 * Use
 * ------------------------------------------------------------------------ */

/* Does the server keep counters for relations of this kind? */
static bool
mg_kind_is_counted(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE ||
		   relkind == RELKIND_MATVIEW || mg_is_index(relkind);
}

bool
mg_use_exempt(Oid relid)
{
	return IsCatalogRelationOid(relid) || isAnyTempNamespace(get_rel_namespace(relid)) ||
		   mg_relation_is_new(relid);
}

/* Is a column marked NOT NULL? */
bool
mg_column_not_null(Oid relid, AttrNumber attnum)
{
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	bool result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
		ReleaseSysCache(tuple);
	}
	return result;
}

/* What is known about the use of a table, view, or index. */
MgUse *
mg_use(Oid relid)
{
	MgUse *use = palloc0(sizeof(MgUse));
	MgHolders *holders = mg_holders_begin();
	ListCell *lc;

	use->relid = relid;
	use->relkind = get_rel_relkind(relid);
	use->partition = get_rel_relispartition(relid);
	use->counted = pgstat_track_counts && mg_kind_is_counted(use->relkind);
	use->since = mg_counting_since();
	foreach(lc, mg_tree(relid, use->relkind == RELKIND_PARTITIONED_TABLE ||
								   use->relkind == RELKIND_PARTITIONED_INDEX))
	{
		if (use->counted)
			mg_use_count(use, lfirst_oid(lc));
		/* planning a query locks all indexes, so that does not mean much */
		if (!mg_is_index(use->relkind))
			list_free(mg_holders_of(holders, lfirst_oid(lc), AccessExclusiveLock));
	}
	use->holders = mg_users(holders);
	return use;
}

static double
mg_use_seconds(const MgUse *use)
{
	return use->since ? (GetCurrentTimestamp() - use->since) / (double) USECS_PER_SEC : 0;
}

/*
 * Has nobody ever read a row of it?  Building indexes and checking constraints
 * counts as scans, also of a table that is empty.
 */
static bool
mg_only_looked_at(const MgUse *use)
{
	return use->index_scans == 0 && use->rows_read == 0 && use->seq_scans <= MG_FEW_SCANS;
}

/*
 * For how many days may the server have counted?  Where its statistics were
 * never reset, not longer than there is a cluster: its identifier begins with
 * the time when it was made, in seconds.
 */
static double
mg_use_days(const MgUse *use)
{
	double made = (double) (GetSystemIdentifier() >> 32);

	if (use->since)
		return floor(mg_use_seconds(use) / MG_SECONDS_PER_DAY);
	return floor(((double) time(NULL) - made) / MG_SECONDS_PER_DAY);
}

/*
 * Was it read as a nightly backup reads it: from end to end, once a day at
 * most, and in no other way?
 */
static bool
mg_only_backed_up(const MgUse *use)
{
	return use->index_scans == 0 && use->seq_scans <= 1 + mg_use_days(use) &&
		   use->rows_read >= use->seq_scans * use->rows / 2;
}

/* Was it filled some day, and has been left alone since it was analyzed after that? */
static bool
mg_only_filled(const MgUse *use)
{
	return use->changes == 0 && use->recent == 0;
}

/*
 * Is there evidence that somebody uses it?  Writes to a materialized view are
 * its refreshes, and those to a partition may be long ago: it is the scans
 * that tell whether it is wanted.
 */
bool
mg_in_use(const MgUse *use)
{
	if (use->holders != NIL)
		return true;
	if (!use->counted)
		return false;
	if (use->writes > 0 && !use->partition && use->relkind != RELKIND_MATVIEW &&
		!mg_only_filled(use))
		return true;
	return use->seq_scans + use->index_scans > 0 && !mg_only_looked_at(use) &&
		   !mg_only_backed_up(use);
}

/* Those that somebody holds now first, then what is used most. */
static int
mg_use_cmp(const ListCell *a, const ListCell *b)
{
	const MgUse *ua = lfirst(a);
	const MgUse *ub = lfirst(b);
	double na = ua->seq_scans + ua->index_scans + ua->writes;
	double nb = ub->seq_scans + ub->index_scans + ub->writes;

	if ((ua->holders != NIL) != (ub->holders != NIL))
		return ua->holders != NIL ? -1 : 1;
	if (na != nb)
		return na > nb ? -1 : 1;
	return ua->relid < ub->relid ? -1 : ua->relid > ub->relid;
}

List *
mg_use_sort(List *uses)
{
	list_sort(uses, mg_use_cmp);
	return uses;
}

/* ------------------------------------------------------------------------
 * What goes
 * ------------------------------------------------------------------------ */

/* Sorted, for DROP SCHEMA may drop many thousands. */
List *
mg_gone_relids(MgFootprint *fp)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, fp->gone)
	{
		MgDoomed *it = lfirst(lc);

		if (it->object.classId == RelationRelationId && it->object.objectSubId == 0)
			result = lappend_oid(result, it->object.objectId);
	}
	list_sort(result, list_oid_cmp);
	return result;
}

bool
mg_is_gone(const List *gone, Oid relid)
{
	return mg_sorted_has_oid(gone, relid);
}

/* ------------------------------------------------------------------------
 * Words
 * ------------------------------------------------------------------------ */

char *
mg_attribute_name(Oid relid, AttrNumber attnum)
{
	char *name = get_attname(relid, attnum, true);

	return name ? name : psprintf("%d", attnum);
}

/* "1 view", "3 views", "2 policies", "4 indexes" */
char *
mg_plural(int count, const char *noun)
{
	size_t len = strlen(noun);

	if (count == 1)
		return psprintf("1 %s", noun);
	if (noun[len - 1] == 'y' && noun[len - 2] == 'c')
		return psprintf("%d %.*sies", count, (int) len - 1, noun);
	return psprintf("%d %s%s", count, noun, noun[len - 1] == 'x' ? "es" : "s");
}

/* "12 sequential scans", "3.4 million row changes" */
static const char *
mg_amount(double amount, const char *noun)
{
	char *text = mg_format_rows(amount);

	*strrchr(text, ' ') = '\0';
	return psprintf("%s %s%s", text, noun, strcmp(text, "1") == 0 ? "" : "s");
}

/* "3 min 40 s ago" */
static const char *
mg_ago(TimestampTz then)
{
	double seconds = (GetCurrentTimestamp() - then) / (double) USECS_PER_SEC;

	return psprintf("%s ago", mg_format_seconds(seconds));
}

/* " (about 12 scans and 3 row changes an hour)", once there has been an hour */
static const char *
mg_use_rate(const MgUse *use)
{
	double hours = mg_use_seconds(use) / MG_SECONDS_PER_HOUR;
	double scans = use->seq_scans + use->index_scans;

	if (hours < 1 || (scans + use->writes) / hours < 1)
		return "";
	if (use->writes / hours < 1)
		return psprintf(" (about %s an hour)", mg_amount(scans / hours, "scan"));
	return psprintf(" (about %s and %s an hour)", mg_amount(scans / hours, "scan"),
					mg_amount(use->writes / hours, "row change"));
}

/* The counters of a relation. */
static char *
mg_use_counters(const MgUse *use)
{
	const char *name = get_rel_name(use->relid);
	const char *since = use->since ? psprintf("since statistics were reset %s", mg_ago(use->since))
								   : "since counting began";
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s, \"%s\" has seen ", since, name);
	if (mg_is_index(use->relkind))
		appendStringInfoString(&buf, mg_amount(use->index_scans, "scan"));
	else if (use->relkind == RELKIND_MATVIEW)
		appendStringInfo(&buf, "%s and %s", mg_amount(use->seq_scans, "sequential scan"),
						 mg_amount(use->index_scans, "index scan"));
	else
		appendStringInfo(&buf, "%s, %s and %s", mg_amount(use->seq_scans, "sequential scan"),
						 mg_amount(use->index_scans, "index scan"),
						 mg_amount(use->writes, "row change"));
	appendStringInfoString(&buf, mg_use_rate(use));
	if (use->last_scan)
		appendStringInfo(&buf, "; it was last scanned %s", mg_ago(use->last_scan));
	return buf.data;
}

/* What is known about one relation. */
static List *
mg_use_fact(List *facts, const MgUse *use)
{
	const char *name = get_rel_name(use->relid);

	if (use->counted)
		facts = lappend(facts, mg_use_counters(use));
	else if (mg_kind_is_counted(use->relkind))
		facts = lappend(facts, psprintf("how often \"%s\" is read or written is not known, "
										"because track_counts is off",
										name));
	if (use->holders != NIL)
		facts = lappend(facts, psprintf("%s %s using \"%s\" now: %s",
										mg_plural(list_length(use->holders), "transaction"),
										list_length(use->holders) == 1 ? "is" : "are", name,
										mg_word_names(use->holders)));
	return facts;
}

/* Sentences about the first few of several relations. */
List *
mg_use_facts(List *facts, List *uses)
{
	int more = list_length(uses) - MG_SHOWN;

	for (int i = 0; i < Min(MG_SHOWN, list_length(uses)); i++)
		facts = mg_use_fact(facts, list_nth(uses, i));
	if (more > 0)
		facts = lappend(facts, psprintf("%s in use as well",
										more == 1 ? "1 more relation is"
												  : psprintf("%d more relations are", more)));
	return facts;
}
