/*
 * stats.c
 *
 * Owns the counters behind the view migration_guard.stats: one slot per rule
 * in shared memory, if the library was there when the server started.  Where
 * it was not, counting does nothing and reading is an error.
 *
 * The counters are atomic and belong to no transaction: a refusal raises an
 * error and is counted all the same.  Only report.c counts, and only for what
 * it reports about, so other statements do not come near shared memory.
 */
#include "mg.h"

/* One rule. */
typedef struct MgStatsSlot
{
	pg_atomic_uint64 counts[MG_COUNTS];
	pg_atomic_uint64 last_time; /* TimestampTz; 0: never */
} MgStatsSlot;

typedef struct MgStats
{
	int nslots;
	MgStatsSlot slots[FLEXIBLE_ARRAY_MEMBER]; /* by index of the rule */
} MgStats;

/* NULL: not loaded by shared_preload_libraries */
static MgStats *mg_stats = NULL;

static shmem_request_hook_type mg_previous_request = NULL;
static shmem_startup_hook_type mg_previous_startup = NULL;

static Size
mg_stats_size(void)
{
	return add_size(offsetof(MgStats, slots), mul_size(mg_nrules, sizeof(MgStatsSlot)));
}

/* Asks for the memory. */
static void
mg_stats_request(void)
{
	if (mg_previous_request)
		mg_previous_request();
	RequestAddinShmemSpace(mg_stats_size());
}

/* Forget everything. */
static void
mg_stats_clear(void)
{
	for (int i = 0; i < mg_stats->nslots; i++)
	{
		for (int count = 0; count < MG_COUNTS; count++)
			pg_atomic_write_u64(&mg_stats->slots[i].counts[count], 0);
		pg_atomic_write_u64(&mg_stats->slots[i].last_time, 0);
	}
}

/* Finds the memory, or sets it up. */
static void
mg_stats_startup(void)
{
	bool found;

	if (mg_previous_startup)
		mg_previous_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	mg_stats = ShmemInitStruct("migration_guard stats", mg_stats_size(), &found);
	if (!found)
	{
		mg_stats->nslots = mg_nrules;
		for (int i = 0; i < mg_nrules; i++)
		{
			for (int count = 0; count < MG_COUNTS; count++)
				pg_atomic_init_u64(&mg_stats->slots[i].counts[count], 0);
			pg_atomic_init_u64(&mg_stats->slots[i].last_time, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Called when the library is loaded; of consequence only in the postmaster's start. */
void
mg_stats_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	mg_previous_request = shmem_request_hook;
	shmem_request_hook = mg_stats_request;
	mg_previous_startup = shmem_startup_hook;
	shmem_startup_hook = mg_stats_startup;
}

/*
 * Count something that has happened to a rule.  What the guard has said, and
 * not what it has merely looked at, is also what last_time tells.
 */
void
mg_stats_count(int rule_index, MgCount count)
{
	MgStatsSlot *slot;

	if (mg_stats == NULL || rule_index >= mg_stats->nslots)
		return;
	slot = &mg_stats->slots[rule_index];
	pg_atomic_fetch_add_u64(&slot->counts[count], 1);
	if (count != MG_COUNT_CHECKED)
		pg_atomic_write_u64(&slot->last_time, (uint64) GetCurrentTimestamp());
}

/* Raises an error if there is nothing to read or to reset. */
static void
mg_stats_require(void)
{
	if (mg_stats != NULL)
		return;
	ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("migration_guard has no statistics, because it was not loaded by "
				   "\"shared_preload_libraries\""),
			errhint("Add migration_guard to \"shared_preload_libraries\" and restart the server. "
					"Statements are judged without that, too."));
}

PG_FUNCTION_INFO_V1(mg_stats_list);

/* migration_guard.stats(): one row per rule. */
Datum
mg_stats_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	mg_stats_require();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < Min(mg_nrules, mg_stats->nslots); i++)
	{
		MgStatsSlot *slot = &mg_stats->slots[i];
		Datum values[MG_COUNTS + 2];
		bool nulls[MG_COUNTS + 2] = {0};
		TimestampTz last_time = (TimestampTz) pg_atomic_read_u64(&slot->last_time);

		values[0] = CStringGetTextDatum(mg_rules[i].name);
		for (int count = 0; count < MG_COUNTS; count++)
			values[count + 1] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->counts[count]));
		values[MG_COUNTS + 1] = TimestampTzGetDatum(last_time);
		nulls[MG_COUNTS + 1] = last_time == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(mg_stats_reset);

/* migration_guard.stats_reset(): all counters of all rules start again from 0. */
Datum
mg_stats_reset(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	mg_stats_require();
	mg_stats_clear();
	PG_RETURN_VOID();
}
