/*
 * rule_concurrently.c
 *
 * Owns what is said about CONCURRENTLY and its leftovers:
 *
 *   concurrently_timeout  a timeout may cancel the statement half-way, for it
 *                         has to wait for others, or to work too long
 *   invalid_index         CREATE INDEX IF NOT EXISTS would skip what an earlier
 *                         one has left behind
 *
 * and what can be done instead where core refuses CONCURRENTLY altogether.
 */
#include "mg.h"

#include "advice.h"

/* One of the statements that commit inside and leave something behind if they are cancelled. */
typedef struct MgConcurrent
{
	NodeTag tag;
	const char *operation;
	LOCKMODE lockmode; /* it waits for all who hold a lock that conflicts with this one */
	bool snapshots;    /* and for all older snapshots */
	const char *waits;
	const char *leaves;
} MgConcurrent;

static const MgConcurrent mg_concurrent_kinds[] =
	{{T_IndexStmt, "CREATE INDEX CONCURRENTLY on", ShareLock, true,
	  "it waits for all transactions that write to the table, and for all that have an older "
	  "snapshot, wherever they read",
	  "an invalid index"},
	 {T_DropStmt, "DROP INDEX CONCURRENTLY of", AccessExclusiveLock, false,
	  "it waits for all transactions that use the table", "an invalid index"},
	 {T_ReindexStmt, "REINDEX CONCURRENTLY of", AccessExclusiveLock, true,
	  "it waits for all transactions that use the table, and for all that have an older snapshot, "
	  "wherever they read",
	  "an invalid index"},
	 {T_AlterTableStmt, "DETACH PARTITION CONCURRENTLY from", AccessExclusiveLock, false,
	  "it waits for all transactions that use the table", "a partition that is half detached"}};

static const MgConcurrent *
mg_concurrent_kind(MgFootprint *fp)
{
	for (size_t i = 0; i < lengthof(mg_concurrent_kinds); i++)
	{
		if (fp->concurrent && nodeTag(fp->stmt) == mg_concurrent_kinds[i].tag)
			return &mg_concurrent_kinds[i];
	}
	return NULL;
}

/* What core calls a statement that it refuses inside a transaction block. */
const char *
mg_concurrent_name(MgFootprint *fp)
{
	ListCell *lc;

	switch (nodeTag(fp->stmt))
	{
		case T_IndexStmt:
			return "CREATE INDEX CONCURRENTLY";
		case T_DropStmt:
			return "DROP INDEX CONCURRENTLY";
		case T_AlterTableStmt:
			return "ALTER TABLE ... DETACH CONCURRENTLY";
		case T_ReindexStmt:
			foreach(lc, castNode(ReindexStmt, fp->stmt)->params)
			{
				DefElem *option = lfirst_node(DefElem, lc);

				if (strcmp(option->defname, "concurrently") == 0 && mg_option_is_on(option))
					return "REINDEX CONCURRENTLY";
			}
			return fp->command;
		case MG_TAG_CLUSTER:
			return mg_repack_name(fp);
		default:
			return fp->command;
	}
}

/* ------------------------------------------------------------------------
 * concurrently_timeout
 * ------------------------------------------------------------------------ */

/* A setting that cancels statements; 0: it does not. */
typedef struct MgTimeout
{
	const char *name;
	int limit;  /* ms */
	bool waits; /* cancels who waits for others, and not who works */
} MgTimeout;

#define MG_TIMEOUTS 3

static void
mg_timeouts(MgTimeout *timeouts)
{
	timeouts[0] = (MgTimeout){"lock_timeout", LockTimeout, true};
	timeouts[1] = (MgTimeout){"statement_timeout", StatementTimeout, false};
	timeouts[2] = (MgTimeout){"transaction_timeout", mg_transaction_timeout(), false};
}

/* Add those that are here to stay, each session once.  Autovacuum gives way. */
static List *
mg_add_lasting(List *result, List *blockers)
{
	ListCell *lc;

	foreach(lc, blockers)
	{
		MgBlocker *blocker = lfirst(lc);
		bool known = !mg_blocker_lasts(blocker) || (blocker->autovacuum && !blocker->wraparound);
		ListCell *lc2;

		foreach(lc2, result)
		{
			MgBlocker *other = lfirst(lc2);

			known |= other == blocker || (blocker->pid != 0 && other->pid == blocker->pid);
		}
		if (!known)
			result = lappend(result, blocker);
	}
	return result;
}

/* Whom the statement will wait for, as of now; and how long its own work will take. */
static List *
mg_waits_for(MgFootprint *fp, const MgConcurrent *kind, MgFinding *finding)
{
	MgHolders *holders = mg_holders_begin();
	List *result = NIL;
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);
		List *blockers;

		if (eff->lockmode < ShareUpdateExclusiveLock || IsCatalogRelationOid(eff->relid) ||
			!(RELKIND_HAS_TABLE_AM(eff->relkind) || eff->relkind == RELKIND_PARTITIONED_TABLE))
			continue;
		finding->seconds += mg_effect_seconds(eff);
		blockers = mg_add_lasting(NIL, mg_holders_of(holders, eff->relid, kind->lockmode));
		if (!OidIsValid(finding->relid) || (result == NIL && blockers != NIL))
			finding->relid = eff->relid;
		result = mg_add_lasting(result, blockers);
	}
	if (kind->snapshots)
		result = mg_add_lasting(result, mg_snapshot_holders());
	mg_blockers_sort(result);
	return result;
}

/* The same for one relation of the statement: that about which it is said; of MgBlocker. */
List *
mg_concurrent_waits(MgFootprint *fp, const MgEffect *eff)
{
	const MgConcurrent *kind = mg_concurrent_kind(fp);
	MgFinding finding = {0};
	List *blockers = kind == NULL || RecoveryInProgress() ? NIL : mg_waits_for(fp, kind, &finding);

	return finding.relid == eff->relid ? blockers : NIL;
}

/* The timeouts that may strike, as in "lock_timeout" or "statement_timeout"; NULL: none. */
static const char *
mg_may_strike(List *blockers, double seconds, List **settings)
{
	MgTimeout timeouts[MG_TIMEOUTS];
	StringInfoData buf;

	mg_timeouts(timeouts);
	initStringInfo(&buf);
	for (int i = 0; i < MG_TIMEOUTS; i++)
	{
		MgTimeout *timeout = &timeouts[i];

		if (timeout->limit <= 0 ||
			(blockers == NIL && (timeout->waits || seconds * 1000 < timeout->limit)))
			continue;
		appendStringInfo(&buf, "%s\"%s\"", buf.len ? " or " : "", timeout->name);
		*settings = lappend(*settings, unconstify(char *, timeout->name));
	}
	return buf.len ? buf.data : NULL;
}

/* May a timeout cancel a statement half-way that leaves something behind then? */
bool
mg_may_be_cancelled(MgFootprint *fp, MgFinding *finding)
{
	const MgConcurrent *kind = mg_concurrent_kind(fp);
	MgTimeout timeouts[MG_TIMEOUTS];
	List *settings = NIL;
	List *blockers;
	const char *names;
	ListCell *lc;
	bool limited = false;

	mg_timeouts(timeouts);
	for (int i = 0; i < MG_TIMEOUTS; i++)
		limited |= timeouts[i].limit > 0;
	if (kind == NULL || !limited || RecoveryInProgress())
		return false;
	blockers = mg_waits_for(fp, kind, finding);
	names = mg_may_strike(blockers, finding->seconds, &settings);
	if (names == NULL || !OidIsValid(finding->relid))
		return false;

	finding->operation = kind->operation;
	finding->danger = psprintf("may be cancelled by %s and leave %s behind", names, kind->leaves);
	finding->facts = list_make1(unconstify(char *, kind->waits));
	if (blockers != NIL)
		finding->facts = lappend(finding->facts, mg_word_blockers(blockers));
	else
		finding->facts = lappend(finding->facts, psprintf("the work itself is expected to take %s",
														  mg_format_seconds(finding->seconds)));
	foreach(lc, settings)
		finding->facts = lappend(finding->facts,
								 psprintf("\"%s\" is %s", (char *) lfirst(lc),
										  GetConfigOptionByName(lfirst(lc), NULL, false)));
	return true;
}

char *
mg_advise_concurrently_timeout(MgFootprint *fp pg_attribute_unused(),
							   MgFinding *finding pg_attribute_unused())
{
	MgTimeout timeouts[MG_TIMEOUTS];
	StringInfoData buf;

	mg_timeouts(timeouts);
	initStringInfo(&buf);
	mg_say(&buf,
		   "Let it take its time, for it blocks nobody meanwhile. Before it, in the same session:");
	for (int i = 0; i < MG_TIMEOUTS; i++)
	{
		if (timeouts[i].limit > 0)
			mg_sql(&buf, "SET %s = 0", timeouts[i].name);
	}
	return buf.data;
}

/* ------------------------------------------------------------------------
 * invalid_index
 * ------------------------------------------------------------------------ */

/* CREATE INDEX IF NOT EXISTS meets an index that is of no use, on a table that is of some. */
bool
mg_skips_invalid_index(MgFootprint *fp, MgFinding *finding)
{
	MgTask *task = linitial(finding->tasks);
	MgEffect *index = linitial(finding->worked);
	MgEffect *table = mg_effect_find(fp, fp->target);
	List *builders = NIL;
	ListCell *lc;

	if (table == NULL || mg_effect_exempt(table))
		return false;
	finding->relid = index->relid;
	finding->danger = psprintf("would skip the invalid index \"%s\"", get_rel_name(index->relid));
	finding->facts = list_make1(unconstify(char *, task->reason));
	foreach(lc, mg_blockers(table->relid, ShareUpdateExclusiveLock))
	{
		if (!((MgBlocker *) lfirst(lc))->autovacuum)
			builders = lappend(builders, lfirst(lc));
	}
	if (builders != NIL)
	{
		finding->facts = lappend(finding->facts,
								 pstrdup("what builds it may still be at work, for somebody has "
										 "the table locked"));
		finding->facts = lappend(finding->facts, mg_word_blockers(builders));
	}
	return true;
}

/* ------------------------------------------------------------------------
 * What core refuses
 * ------------------------------------------------------------------------ */

/* The relation that the statement names as the one whose indexes or partitions it is about. */
static Oid
mg_refused_table(MgFootprint *fp)
{
	char relkind = OidIsValid(fp->target) ? get_rel_relkind(fp->target) : '\0';

	if (relkind == RELKIND_PARTITIONED_INDEX)
		return IndexGetRelation(fp->target, true);
	return fp->target;
}

/* CREATE INDEX CONCURRENTLY on a partitioned table. */
static char *
mg_advise_on_partitioned(MgFootprint *fp)
{
	MgTask *task = palloc0(sizeof(MgTask));
	MgFinding finding = {.relid = fp->target};
	MgIdentity saved;
	char *advice;

	task->node = fp->stmt;
	finding.tasks = list_make1(task);
	/* expressions may be somebody else's */
	mg_become_owner(fp->target, &saved);
	advice = mg_advise_create_index(fp, &finding);
	mg_become_self(&saved);
	return advice;
}

/*
 * What is possible instead of a statement with CONCURRENTLY that core refuses,
 * as fp->problem says; NULL: nothing is known.
 */
char *
mg_advise_refused(MgFootprint *fp)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (fp->problem->sqlerrcode == ERRCODE_ACTIVE_SQL_TRANSACTION && fp->concurrent && !fp->script)
	{
		mg_say(&buf, "Commit first. It has to be a statement of its own: not between BEGIN and "
					 "COMMIT, not in a function or DO block, and not in one query string with "
					 "others.");
		return buf.data;
	}
	if (!OidIsValid(fp->target))
		return NULL;
	if (IsA(fp->stmt, IndexStmt) && castNode(IndexStmt, fp->stmt)->concurrent &&
		fp->problem->sqlerrcode == ERRCODE_FEATURE_NOT_SUPPORTED &&
		get_rel_relkind(fp->target) == RELKIND_PARTITIONED_TABLE)
		return mg_advise_on_partitioned(fp);
	if (IsA(fp->stmt, DropStmt) && castNode(DropStmt, fp->stmt)->concurrent &&
		get_rel_relkind(fp->target) == RELKIND_PARTITIONED_INDEX)
	{
		mg_say(&buf, "There is only the form that locks the table and all its partitions for a "
					 "moment; do not let others queue behind it for long:");
		mg_sql(&buf, "SET lock_timeout = '1s'");
		mg_sql(&buf, "DROP INDEX %s", mg_qualified_name(fp->target));
		return buf.data;
	}
	if (IsA(fp->stmt, AlterTableStmt) && fp->concurrent &&
		fp->problem->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
	{
		AlterTableCmd *cmd = linitial(castNode(AlterTableStmt, fp->stmt)->cmds);
		Oid partition = RangeVarGetRelid(castNode(PartitionCmd, cmd->def)->name, NoLock, true);

		mg_say(&buf, "There is only the form that locks the table and its default partition for a "
					 "moment; do not let others queue behind it for long:");
		mg_sql(&buf, "SET lock_timeout = '1s'");
		mg_sql(&buf, "ALTER TABLE %s DETACH PARTITION %s", mg_qualified_name(fp->target),
			   mg_qualified_name(partition));
		return buf.data;
	}
	return NULL;
}

/*
 * Core is about to refuse a statement with CONCURRENTLY on a table that is
 * large enough for that to be missed: say what is possible, and leave the
 * error to core.
 */
void
mg_tell_refused(MgFootprint *fp)
{
	MgEffect table = {0};
	const char *advice;

	if (fp->problem == NULL && fp->concurrent && mg_situation_in_block(NULL))
		mg_problem(fp, ERRCODE_ACTIVE_SQL_TRANSACTION, "%s cannot run inside a transaction block",
				   mg_concurrent_name(fp));
	if (fp->problem == NULL || mg_mode < MG_MODE_WARN)
		return;
	table.relid = mg_refused_table(fp);
	if (!OidIsValid(table.relid))
		return;
	if (get_rel_relkind(table.relid) == RELKIND_INDEX)
		table.relid = IndexGetRelation(table.relid, true);
	table.relkind = get_rel_relkind(table.relid);
	if (table.relkind == '\0' || mg_effect_exempt(&table) ||
		!mg_is_large(table.size.rows, table.size.heap + table.size.toast))
		return;
	advice = mg_advise_refused(fp);
	if (advice)
		ereport(NOTICE,
				errmsg("the server does not do this CONCURRENTLY: %s", fp->problem->message),
				errhint("%s", advice));
}
