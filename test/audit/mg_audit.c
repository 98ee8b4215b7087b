/*
 * mg_audit.c
 *
 * The oracle at work inside a server, for tests only.  It stands around the
 * guard in the chain of ProcessUtility hooks.  For each utility statement that
 * could do anything to a relation, it asks the guard for the footprint of that
 * very parse tree, lets the statement run, observes what it has done, and
 * writes both sides as one line of JSON to the file mg_audit.file.  It decides
 * nothing: report.py beside this file compares.
 *
 * Observed is, for each user relation that existed before:
 *
 *   locks     the modes this backend holds before and after
 *   rewrite   a new file of a table or materialized view, or of an index that
 *             was moved
 *   scan      this transaction's scan counters of the table and its indexes
 *   builds    new files of its indexes
 *
 * The observation is made at the end of the statement, and before each commit
 * inside of it, so that nothing escapes from CONCURRENTLY and its like.
 */
#include "mg.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/sysattr.h"
#include "utils/json.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

void _PG_init(void);

#define MG_LISTED_MODES                                              \
	(LOCKBIT_ON(ShareUpdateExclusiveLock) | LOCKBIT_ON(ShareLock) |  \
	 LOCKBIT_ON(ShareRowExclusiveLock) | LOCKBIT_ON(ExclusiveLock) | \
	 LOCKBIT_ON(AccessExclusiveLock))

/* How often the guard is asked if it could not look, and the microseconds in between. */
#define MG_TRIES 100
#define MG_PAUSE 50000

/* A user relation, as it was before the statement, and what happened to it. */
typedef struct MgSeen
{
	Oid relid; /* hash key */
	Oid nspid;
	NameData name;
	char kind;
	Oid file;
	Oid space;
	Oid table; /* of an index */
	int64 scans;
	LOCKMASK held;
	LOCKMASK taken; /* held at an observation */
	bool rewritten;
	bool emptied; /* new, empty files: its own and those of its indexes */
	bool scanned;
	int builds;
} MgSeen;

/* index -> its table */
typedef struct MgIndexTable
{
	Oid index; /* hash key */
	Oid table;
} MgIndexTable;

/* relation -> strong locks of this backend */
typedef struct MgMyLock
{
	Oid relid; /* hash key */
	LOCKMASK mask;
} MgMyLock;

/* A statement that is being watched. */
typedef struct MgWatch
{
	struct MgWatch *outer;
	MemoryContext context;
	HTAB *seen;           /* of MgSeen */
	HTAB *files;          /* files of indexes that existed before or are counted */
	StringInfo predicted; /* JSON */
	bool empties;         /* TRUNCATE and its like: new files are empty files */
	bool committed;       /* the statement has committed inside */
	bool left_lock;       /* the prediction has changed this backend's locks */
} MgWatch;

typedef MgFootprint *(*MgFootprintFunction)(Node *stmt, const char *source,
											struct MgScript *script);

static MgFootprintFunction mg_predict;
static bool *mg_be_thorough; /* the guard's mg_thorough */
static ProcessUtility_hook_type mg_next_hook = NULL;
static MgWatch *mg_watching = NULL; /* innermost */
static char *mg_audit_file = NULL;

/* ------------------------------------------------------------------------
 * What this backend holds, and what the catalogs say
 * ------------------------------------------------------------------------ */

static HTAB *
mg_hash(const char *name, Size entrysize, MemoryContext context)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = entrysize, .hcxt = context};

	return hash_create(name, 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Locks on relations of this database, strong ones and user relations only. */
static HTAB *
mg_my_locks(MemoryContext context)
{
	HTAB *locks = mg_hash("locks", sizeof(MgMyLock), context);
	LockData *data = GetLockStatusData();

	for (int i = 0; i < data->nelements; i++)
	{
		LockInstanceData *lock = &data->locks[i];
		Oid relid = lock->locktag.locktag_field2;
		MgMyLock *entry;
		bool found;

		if (lock->pid != MyProcPid || lock->locktag.locktag_type != LOCKTAG_RELATION ||
			lock->locktag.locktag_field1 != MyDatabaseId || relid < FirstNormalObjectId ||
			(lock->holdMask & MG_LISTED_MODES) == 0)
			continue;
		entry = hash_search(locks, &relid, HASH_ENTER, &found);
		entry->mask = (found ? entry->mask : 0) | (lock->holdMask & MG_LISTED_MODES);
	}
	return locks;
}

static LOCKMASK
mg_lock_mask(HTAB *locks, Oid relid)
{
	MgMyLock *entry = hash_search(locks, &relid, HASH_FIND, NULL);

	return entry ? entry->mask : 0;
}

/* Scans that this backend has begun and not yet reported. */
static int64
mg_scans(Oid relid)
{
	return DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_numscans, ObjectIdGetDatum(relid)));
}

/* index -> table, with what this very command has done */
static HTAB *
mg_index_tables(MemoryContext context)
{
	HTAB *tables = mg_hash("tables of indexes", sizeof(MgIndexTable), context);
	Relation rel = table_open(IndexRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, SnapshotSelf, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
		Oid index = form->indexrelid;
		MgIndexTable *entry = hash_search(tables, &index, HASH_ENTER, NULL);

		entry->table = form->indrelid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tables;
}

typedef void (*MgEachRelation)(MgWatch *watch, Form_pg_class form, Oid table, HTAB *locks);

/* Call fn for each user relation that is not TOAST. */
static void
mg_each_relation(MgWatch *watch, MgEachRelation fn)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "mg_audit catalogs",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	HTAB *tables = mg_index_tables(context);
	HTAB *locks = mg_my_locks(context);
	Relation rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, SnapshotSelf, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		Oid relid = form->oid;
		MgIndexTable *entry = hash_search(tables, &relid, HASH_FIND, NULL);

		if (relid >= FirstNormalObjectId && form->relkind != RELKIND_TOASTVALUE &&
			!IsToastNamespace(form->relnamespace))
			fn(watch, form, entry ? entry->table : InvalidOid, locks);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Before the statement: remember the relation. */
static void
mg_remember(MgWatch *watch, Form_pg_class form, Oid table, HTAB *locks)
{
	Oid relid = form->oid;
	MgSeen *seen = hash_search(watch->seen, &relid, HASH_ENTER, NULL);

	memset(seen, 0, sizeof(MgSeen));
	seen->relid = relid;
	seen->nspid = form->relnamespace;
	seen->name = form->relname;
	seen->kind = form->relkind;
	seen->file = form->relfilenode;
	seen->space = form->reltablespace;
	seen->table = table;
	seen->held = mg_lock_mask(locks, relid);
	seen->scans = mg_scans(relid);
	if (form->relkind == RELKIND_INDEX)
		hash_search(watch->files, &seen->file, HASH_ENTER, NULL);
}

/*
 * Afterwards: a file counts only if this backend has a lock with which it can
 * have made it, for other sessions are at work, too.
 */
static void
mg_compare(MgWatch *watch, Form_pg_class form, Oid tableid, HTAB *locks)
{
	Oid relid = form->oid;
	Oid file = form->relfilenode;
	MgSeen *seen = hash_search(watch->seen, &relid, HASH_FIND, NULL);
	MgSeen *table = hash_search(watch->seen, &tableid, HASH_FIND, NULL);
	LOCKMASK mine = mg_lock_mask(locks, relid);

	switch (form->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_MATVIEW:
			if (seen && seen->file != file && (mine & LOCKBIT_ON(AccessExclusiveLock)))
				*(watch->empties ? &seen->emptied : &seen->rewritten) = true;
			break;
		case RELKIND_INDEX:
			if (table == NULL || (mine | mg_lock_mask(locks, tableid)) == 0 ||
				hash_search(watch->files, &file, HASH_FIND, NULL))
				break;
			hash_search(watch->files, &file, HASH_ENTER, NULL);
			if (seen && seen->space != form->reltablespace && mg_scans(tableid) == table->scans)
				seen->rewritten = true;
			else
				table->builds++;
			break;
		default:
			break;
	}
}

/* Add what can be seen now to the observation. */
static void
mg_observe(MgWatch *watch)
{
	HASH_SEQ_STATUS status;
	MgSeen *seen;
	HTAB *locks;

	mg_each_relation(watch, mg_compare);
	locks = mg_my_locks(CurrentMemoryContext);
	hash_seq_init(&status, watch->seen);
	while ((seen = hash_seq_search(&status)) != NULL)
	{
		seen->taken |= mg_lock_mask(locks, seen->relid);
		if (seen->emptied)
			seen->builds = 0;
		else if (mg_scans(seen->relid) > seen->scans)
		{
			MgSeen *table = hash_search(watch->seen, &seen->table, HASH_FIND, NULL);

			if (table == NULL)
				seen->scanned = true;
			else if (!table->emptied)
				table->scanned = true;
		}
	}
	hash_destroy(locks);
}

/* ------------------------------------------------------------------------
 * The line
 * ------------------------------------------------------------------------ */

static void
mg_put_string(StringInfo buf, const char *key, const char *value)
{
	appendStringInfo(buf, "\"%s\":", key);
	if (value)
		escape_json(buf, value);
	else
		appendStringInfoString(buf, "null");
	appendStringInfoChar(buf, ',');
}

/* strongest mode of a mask, 0 if none */
static LOCKMODE
mg_strongest(LOCKMASK mask)
{
	for (LOCKMODE mode = AccessExclusiveLock; mode > NoLock; mode--)
	{
		if (mask & LOCKBIT_ON(mode))
			return mode;
	}
	return NoLock;
}

static int
mg_count_work(MgEffect *eff, MgWork work)
{
	ListCell *lc;
	int count = 0;

	foreach(lc, eff->tasks)
	{
		if (((MgTask *) lfirst(lc))->work == work)
			count++;
	}
	return count;
}

/* One effect: [relid, lock, rewrite, read in full, looked up, builds, reasons] */
static void
mg_put_effect(StringInfo buf, MgEffect *eff)
{
	bool rewrite = mg_count_work(eff, MG_WORK_REWRITE) > 0;
	bool filled = mg_count_work(eff, MG_WORK_COPY) > 0 || mg_count_work(eff, MG_WORK_FILL) > 0;
	int builds = mg_count_work(eff, MG_WORK_BUILD);

	appendStringInfo(buf, "%s[%u,%d,%s,%s,%s,%d]", buf->data[buf->len - 1] == '[' ? "" : ",",
					 eff->relid, eff->lockmode, rewrite || filled ? "true" : "false",
					 rewrite || builds > 0 || mg_count_work(eff, MG_WORK_SCAN) > 0 ? "true"
																				   : "false",
					 mg_count_work(eff, MG_WORK_LOOKUP) > 0 ? "true" : "false", builds);
}

/*
 * The guard's footprint.  Where it says that it could not look because another
 * session has locked what it would look at, for instance a catalog that a test
 * beside this one rewrites, we do what its hint says: try again.
 */
static MgFootprint *
mg_ask(Node *stmt, const char *source)
{
	MgFootprint *fp;

	for (int tries = 1;; tries++)
	{
		AcceptInvalidationMessages();
		*mg_be_thorough = true;
		fp = mg_predict(stmt, source, NULL);
		*mg_be_thorough = false;
		if (fp->problem == NULL || fp->problem->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE ||
			tries == MG_TRIES)
			return fp;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(MG_PAUSE);
	}
}

/* The guard's side. */
static void
mg_put_prediction(StringInfo buf, Node *stmt, const char *source)
{
	MgFootprint *fp = mg_ask(stmt, source);
	ListCell *lc;
	char sqlstate[6] = "";

	if (fp->problem)
		strlcpy(sqlstate, unpack_sql_state(fp->problem->sqlerrcode), sizeof(sqlstate));
	appendStringInfo(buf, "\"covered\":%s,", fp->covered ? "true" : "false");
	mg_put_string(buf, "problem", fp->problem ? sqlstate : NULL);
	appendStringInfoString(buf, "\"predicted\":[");
	foreach(lc, fp->effects)
		mg_put_effect(buf, lfirst(lc));
	appendStringInfoString(buf, "],");
}

/* The other side: [relid, held, taken, rewrite, scan, builds, kind, name] */
static void
mg_put_observation(StringInfo buf, MgWatch *watch)
{
	HASH_SEQ_STATUS status;
	MgSeen *seen;
	bool first = true;

	appendStringInfoString(buf, "\"observed\":[");
	hash_seq_init(&status, watch->seen);
	while ((seen = hash_seq_search(&status)) != NULL)
	{
		char *key = psprintf("[%u,", seen->relid);
		char *schema = get_namespace_name(seen->nspid);

		if (seen->held == 0 && seen->taken == 0 && !seen->rewritten && !seen->scanned &&
			seen->builds == 0 && strstr(watch->predicted->data, key) == NULL)
			continue;
		appendStringInfo(buf, "%s[%u,%d,%d,%s,%s,%d,\"%c\",", first ? "" : ",", seen->relid,
						 mg_strongest(seen->held), mg_strongest(seen->taken),
						 seen->rewritten ? "true" : "false", seen->scanned ? "true" : "false",
						 seen->builds, seen->kind);
		escape_json(buf, psprintf("%s.%s", schema ? schema : "?", NameStr(seen->name)));
		appendStringInfoChar(buf, ']');
		first = false;
	}
	appendStringInfoString(buf, "]");
}

/* The statement's own part of the query string. */
static char *
mg_statement_text(PlannedStmt *pstmt, const char *source)
{
	int location = Max(pstmt->stmt_location, 0);
	int length = pstmt->stmt_len;
	int total = (int) strlen(source);

	if (location > total)
		return "";
	if (length <= 0 || location + length > total)
		length = total - location;
	return pnstrdup(source + location, length);
}

/* Write the line in one piece; error: SQLSTATE, or NULL. */
static void
mg_write_line(MgWatch *watch, PlannedStmt *pstmt, const char *source, bool toplevel,
			  const char *command, const char *error)
{
	StringInfoData buf;
	int fd;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	mg_put_string(&buf, "test", application_name);
	mg_put_string(&buf, "command", command);
	mg_put_string(&buf, "sql", mg_statement_text(pstmt, source));
	mg_put_string(&buf, "error", error);
	appendStringInfo(&buf, "\"toplevel\":%s,\"committed\":%s,\"left_lock\":%s,",
					 toplevel ? "true" : "false", watch->committed ? "true" : "false",
					 watch->left_lock ? "true" : "false");
	appendStringInfoString(&buf, watch->predicted->data);
	if (error)
		appendStringInfoString(&buf, "\"observed\":[]");
	else
		mg_put_observation(&buf, watch);
	appendStringInfoString(&buf, "}\n");

	fd = open(mg_audit_file, O_WRONLY | O_APPEND | O_CREAT, 0644);
	if (fd < 0 || write(fd, buf.data, buf.len) != buf.len)
		ereport(PANIC, errcode_for_file_access(),
				errmsg("could not write file \"%s\": %m", mg_audit_file));
	close(fd);
	pfree(buf.data);
}

/* ------------------------------------------------------------------------
 * The hook
 * ------------------------------------------------------------------------ */

/*
 * Statements that do nothing to relations of their own accord: transactions,
 * settings, cursors; and those that only carry others, which are seen by
 * themselves.
 */
static bool
mg_is_watched(NodeTag tag)
{
	switch (tag)
	{
		case T_TransactionStmt:
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_ConstraintsSetStmt:
		case T_DeclareCursorStmt:
		case T_ClosePortalStmt:
		case T_FetchStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_ExplainStmt:
		case T_CopyStmt:
		case T_DoStmt:
		case T_CallStmt:
		case T_NotifyStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_CheckPointStmt:
		case T_LoadStmt:
			return false;
		default:
			return true;
	}
}

/* The strong locks of this backend as one number that changes with them. */
static uint64
mg_lock_sum(void)
{
	HTAB *locks = mg_my_locks(CurrentMemoryContext);
	HASH_SEQ_STATUS status;
	MgMyLock *entry;
	uint64 sum = 0;

	hash_seq_init(&status, locks);
	while ((entry = hash_seq_search(&status)) != NULL)
		sum += (uint64) entry->relid * (uint64) entry->mask;
	hash_destroy(locks);
	return sum;
}

/* Does it give tables new files without a look at the old ones? */
static bool
mg_empties(Node *stmt)
{
	return IsA(stmt, TruncateStmt) ||
		   (IsA(stmt, RefreshMatViewStmt) && castNode(RefreshMatViewStmt, stmt)->skipData);
}

/* Ask the guard, then look around. */
static MgWatch *
mg_begin(Node *stmt, const char *source)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "mg_audit statement",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	MgWatch *watch = palloc0(sizeof(MgWatch));
	uint64 sum = mg_lock_sum();

	watch->context = context;
	watch->empties = mg_empties(stmt);
	watch->predicted = makeStringInfo();
	mg_put_prediction(watch->predicted, stmt, source);
	watch->left_lock = mg_lock_sum() != sum;
	watch->seen = mg_hash("relations", sizeof(MgSeen), context);
	watch->files = mg_hash("files", sizeof(Oid), context);
	mg_each_relation(watch, mg_remember);
	watch->outer = mg_watching;
	mg_watching = watch;
	MemoryContextSwitchTo(caller);
	return watch;
}

static void
mg_end(MgWatch *watch)
{
	mg_watching = watch->outer;
	MemoryContextDelete(watch->context);
}

static void
mg_chain(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
		 DestReceiver *dest, QueryCompletion *qc)
{
	(mg_next_hook ? mg_next_hook : standard_ProcessUtility)(pstmt, queryString, readOnlyTree,
															context, params, queryEnv, dest, qc);
}

static void
mg_process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				   ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
				   DestReceiver *dest, QueryCompletion *qc)
{
	const char *command;
	MgWatch *watch;
	bool toplevel = context == PROCESS_UTILITY_TOPLEVEL;

	if (context == PROCESS_UTILITY_SUBCOMMAND || !mg_is_watched(nodeTag(pstmt->utilityStmt)) ||
		!IsTransactionState() || IsAbortedTransactionBlockState() || IsInParallelMode())
	{
		mg_chain(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		return;
	}

	command = GetCommandTagName(CreateCommandTag(pstmt->utilityStmt));
	watch = mg_begin(pstmt->utilityStmt, queryString);
	PG_TRY();
	{
		mg_chain(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	}
	PG_CATCH();
	{
		MemoryContext caller = MemoryContextSwitchTo(watch->context);
		char sqlstate[6];

		strlcpy(sqlstate, unpack_sql_state(geterrcode()), sizeof(sqlstate));
		mg_write_line(watch, pstmt, queryString, toplevel, command, sqlstate);
		MemoryContextSwitchTo(caller);
		mg_end(watch);
		PG_RE_THROW();
	}
	PG_END_TRY();
	mg_observe(watch);
	mg_write_line(watch, pstmt, queryString, toplevel, command, NULL);
	mg_end(watch);
}

/* The statement commits inside: its locks will be gone. */
static void
mg_before_commit(XactEvent event, void *arg)
{
	(void) arg;
	if (event != XACT_EVENT_PRE_COMMIT)
		return;
	for (MgWatch *watch = mg_watching; watch; watch = watch->outer)
	{
		watch->committed = true;
		mg_observe(watch);
	}
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		elog(ERROR, "mg_audit has to be preloaded, after migration_guard");
	DefineCustomStringVariable("mg_audit.file", "File that the findings are written to.", NULL,
							   &mg_audit_file, "mg_audit.json", PGC_POSTMASTER, 0, NULL, NULL,
							   NULL);
	mg_predict = (MgFootprintFunction) load_external_function("$libdir/migration_guard",
															  "mg_footprint", true, NULL);
	mg_be_thorough = (bool *) load_external_function("$libdir/migration_guard", "mg_thorough", true,
													 NULL);
	RegisterXactCallback(mg_before_commit, NULL);
	mg_next_hook = ProcessUtility_hook;
	ProcessUtility_hook = mg_process_utility;
}
