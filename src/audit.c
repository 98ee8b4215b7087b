/*
 * audit.c
 *
 * Owns the guard's second look at itself.  Before a judged ALTER TABLE runs,
 * the relations that it was predicted to rewrite are announced here.  The
 * event trigger on table_rewrite fires later, when the lock is held and no
 * row has been copied yet, and what it is told is compared with that.
 *
 * An announcement lives as long as the statement: it sits in a memory context
 * below the one the statement was started in, so that an error takes it away
 * as well.  Only the ALTER TABLE family (ALTER TYPE and ALTER MATERIALIZED
 * VIEW are the same statement) makes core fire the event, so nothing else is
 * announced.  A statement that was not judged - the guard is off, the session
 * is exempt, a replication worker applies it - is none that the guard could
 * have been wrong about, and its rewrites are passed over in silence.
 */
#include "mg.h"

/* What was said about a statement that is being executed. */
struct MgAnnouncement
{
	MgAnnouncement *outer; /* the statement that this one is nested in */
	MemoryContext context; /* where this lives */
	MemoryContextCallback gone;
	bool judged;
	int count;
	Oid *relids; /* predicted to be rewritten, in order */
};

/* of the innermost statement */
static MgAnnouncement *mg_announced = NULL;

/* The memory of an announcement goes away: so does the announcement. */
static void
mg_forget_announcement(void *arg)
{
	MgAnnouncement **link = &mg_announced;

	while (*link != NULL && *link != arg)
		link = &(*link)->outer;
	if (*link != NULL)
		*link = (*link)->outer;
}

/*
 * A statement is about to run of which nothing is known yet.  NULL if it is
 * of a kind that never makes core tell of rewrites.  Lives in parent, until
 * mg_announcement_end() or until parent is gone.
 */
MgAnnouncement *
mg_announcement_begin(Node *stmt, MemoryContext parent)
{
	MemoryContext context;
	MgAnnouncement *announcement;

	if (!IsA(stmt, AlterTableStmt))
		return NULL;
	context = AllocSetContextCreate(parent, "migration_guard announcement", ALLOCSET_SMALL_SIZES);
	announcement = MemoryContextAllocZero(context, sizeof(MgAnnouncement));
	announcement->context = context;
	announcement->outer = mg_announced;
	announcement->gone.func = mg_forget_announcement;
	announcement->gone.arg = announcement;
	MemoryContextRegisterResetCallback(context, &announcement->gone);
	mg_announced = announcement;
	return announcement;
}

static int
mg_compare_oids(const void *a, const void *b)
{
	Oid left = *(const Oid *) a;
	Oid right = *(const Oid *) b;

	return left < right ? -1 : left > right;
}

/* The statement was judged, and may run: these are the tables it will rewrite. */
void
mg_announce(MgAnnouncement *announcement, MgFootprint *fp)
{
	ListCell *lc;

	if (announcement == NULL)
		return;
	announcement->judged = true;
	announcement->relids = MemoryContextAlloc(announcement->context,
											  (list_length(fp->effects) + 1) * sizeof(Oid));
	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);

		if (mg_has_work(eff, MG_WORK_REWRITE))
			announcement->relids[announcement->count++] = eff->relid;
	}
	qsort(announcement->relids, announcement->count, sizeof(Oid), mg_compare_oids);
}

/* The statement is done.  Its memory may have gone before, if it has committed inside. */
void
mg_announcement_end(MgAnnouncement *announcement)
{
	if (announcement != NULL && announcement == mg_announced)
		MemoryContextDelete(announcement->context);
}

/* Why core rewrites a table, in words. */
static const char *
mg_rewrite_reason(int reason)
{
	if (reason & AT_REWRITE_COLUMN_REWRITE)
		return "the server converts the values of a column, so the table is rewritten";
	if (reason & AT_REWRITE_DEFAULT_VAL)
		return "the server computes a value of a column for every row, so the table is rewritten";
	if (reason & AT_REWRITE_ALTER_PERSISTENCE)
		return "the server changes the persistence of the table, so the table is rewritten";
	return "the server gives the table another storage, so the table is rewritten";
}

/* What the event trigger is told, which core has in functions of SQL only. */
static Datum
mg_event_value(PGFunction function)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	return function(fcinfo);
}

/* The footprint of a rewrite that nobody has foreseen. */
static MgFootprint *
mg_unforeseen(Node *stmt, Oid relid, int reason)
{
	MgFootprint *fp = palloc0(sizeof(MgFootprint));
	MgEffect *eff;
	MgTask *task;

	fp->stmt = stmt;
	fp->source = "";
	fp->command = GetCommandTagName(CreateCommandTag(stmt));
	fp->covered = true;
	fp->target = relid;
	eff = mg_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET, NULL);
	task = mg_task(eff, MG_WORK_REWRITE, MG_CAUSE_UNANNOUNCED, NULL);
	task->reason = mg_rewrite_reason(reason);
	return fp;
}

/* Compares a rewrite that is about to begin with what was announced. */
static void
mg_audit(Node *stmt)
{
	Oid relid = DatumGetObjectId(mg_event_value(pg_event_trigger_table_rewrite_oid));
	int reason = DatumGetInt32(mg_event_value(pg_event_trigger_table_rewrite_reason));
	bool foreseen = mg_announced->count > 0 &&
					bsearch(&relid, mg_announced->relids, mg_announced->count, sizeof(Oid),
							mg_compare_oids) != NULL;

	mg_report_audit(foreseen ? NULL : mg_unforeseen(stmt, relid, reason));
}

PG_FUNCTION_INFO_V1(mg_audit_rewrite);

/*
 * migration_guard.audit_rewrite(): the handler on table_rewrite.  Raises an
 * error if a rewrite that was not announced is to be refused.
 */
Datum
mg_audit_rewrite(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigger = mg_event(fcinfo, "audit_rewrite");

	if (mg_mode != MG_MODE_OFF && strcmp(trigger->event, "table_rewrite") == 0 &&
		mg_announced != NULL && mg_announced->judged)
		mg_audit(trigger->parsetree);
	PG_RETURN_NULL();
}
