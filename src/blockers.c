/*
 * blockers.c
 *
 * Owns what is known about other sessions: who holds a lock that conflicts
 * with one that a statement needs, or a snapshot that it would wait for, and
 * how that is said.
 *
 * Who holds a lock is asked of the lock manager, for one relation and one
 * mode, with fast-path locks and prepared transactions.  What a session does
 * is read from its own entry in shared memory, under the protocol of
 * backend_status.h: that is as of now, where the functions behind
 * pg_stat_activity copy all entries and keep that copy until the transaction
 * ends, and what the caller has seen there stays as it was.  All of this may
 * be over a moment later, so who cannot be found any more is left out.
 *
 * What is said is what pg_stat_activity would show to the current user: the
 * process, the application and the user to everybody; the rest to members of
 * pg_read_all_stats and of the session's own role.
 */
#include "mg.h"

#include "advice.h"

/* Bytes of a query that are shown. */
#define MG_QUERY_SHOWN 80

/* A transaction, or a pause within one, that is younger than this, in ms, is about to end. */
#define MG_MOMENT 1000
#define MG_PAUSE 100

/* Sessions and prepared transactions that have been looked at. */
struct MgHolders
{
	HTAB *known;    /* of MgHolder; NULL: none yet */
	bool listed;    /* prepared is filled in */
	List *prepared; /* of MgPrepared */
	int round;      /* number of the list that is being made */
	TimestampTz now;
};

typedef struct MgHolder
{
	VirtualTransactionId vxid;
	MgBlocker *blocker; /* NULL: gone, or this session */
	int round;          /* last list that it is in */
} MgHolder;

/* A prepared transaction, as in pg_prepared_xacts. */
typedef struct MgPrepared
{
	TransactionId xid;
	const char *gid;
	TimestampTz prepared;
	Oid owner;
} MgPrepared;

/* ------------------------------------------------------------------------
 * Prepared transactions
 * ------------------------------------------------------------------------ */

/* A row of pg_prepared_xact(). */
static MgPrepared *
mg_prepared_row(Datum datum)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(datum);
	MgPrepared *prepared = palloc0(sizeof(MgPrepared));
	bool isnull;

	prepared->xid = DatumGetTransactionId(GetAttributeByNum(row, 1, &isnull));
	prepared->gid = TextDatumGetCString(GetAttributeByNum(row, 2, &isnull));
	prepared->prepared = DatumGetTimestampTz(GetAttributeByNum(row, 3, &isnull));
	prepared->owner = DatumGetObjectId(GetAttributeByNum(row, 4, &isnull));
	return prepared;
}

/* All prepared transactions.  Core keeps them to itself, but for the function behind the view. */
static List *
mg_prepared_list(void)
{
	ExprContext *econtext = CreateStandaloneExprContext();
	ReturnSetInfo result = {.type = T_ReturnSetInfo,
							.econtext = econtext,
							.allowedModes = SFRM_ValuePerCall,
							.returnMode = SFRM_ValuePerCall};
	List *list = NIL;
	FmgrInfo flinfo;
	LOCAL_FCINFO(fcinfo, 0);

	fmgr_info(F_PG_PREPARED_XACT, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 0, InvalidOid, NULL, (Node *) &result);
	for (;;)
	{
		Datum row;

		fcinfo->isnull = false;
		result.isDone = ExprSingleResult;
		row = FunctionCallInvoke(fcinfo);
		if (result.isDone == ExprEndResult)
			break;
		list = lappend(list, mg_prepared_row(row));
	}
	FreeExprContext(econtext, true);
	return list;
}

/* The prepared transaction that holds what this virtual one has taken, or NULL. */
static MgBlocker *
mg_prepared_blocker(MgHolders *holders, VirtualTransactionId vxid)
{
	TransactionId xid = vxid.localTransactionId; /* if it was there when the server started */
	bool more = false;
	ListCell *lc;

	if (max_prepared_xacts == 0)
		return NULL;
	if (!VirtualTransactionIdIsRecoveredPreparedXact(vxid))
		xid = TwoPhaseGetXidByVirtualXID(vxid, &more);
	if (!TransactionIdIsValid(xid))
		return NULL;
	if (!holders->listed)
		holders->prepared = mg_prepared_list();
	holders->listed = true;
	foreach(lc, holders->prepared)
	{
		MgPrepared *prepared = lfirst(lc);
		MgBlocker *blocker;

		if (prepared->xid != xid)
			continue;
		blocker = palloc0(sizeof(MgBlocker));
		blocker->prepared = true;
		blocker->gid = prepared->gid;
		blocker->userid = prepared->owner;
		blocker->user = GetUserNameFromId(prepared->owner, true);
		blocker->visible = true;
		blocker->xact_start = prepared->prepared;
		blocker->seen = holders->now;
		return blocker;
	}
	return NULL;
}

/* ------------------------------------------------------------------------
 * Sessions
 * ------------------------------------------------------------------------ */

/* The beginning of a query in one line; raw may end in the middle of a character. */
static char *
mg_query_line(const char *raw)
{
	int length = strlen(raw);
	int shown = pg_mbcliplen(raw, length, Min(length, MG_QUERY_SHOWN));
	bool blank = false;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < shown; i++)
	{
		if (scanner_isspace(raw[i]))
		{
			blank = true;
			continue;
		}
		if (blank && buf.len > 0)
			appendStringInfoChar(&buf, ' ');
		blank = false;
		appendStringInfoChar(&buf, raw[i]);
	}
	if (shown < length)
		appendStringInfoString(&buf, "...");
	return buf.data;
}

/*
 * What a backend says about itself.  False: it is gone.  The entries are an
 * array in the order of the backends' numbers, and this backend knows its own.
 */
static bool
mg_read_status(const PGPROC *proc, MgBlocker *blocker)
{
	volatile PgBackendStatus *entry = MyBEEntry + (mg_proc_backend(proc) - mg_my_backend());
	char application[NAMEDATALEN];
	char query[MG_QUERY_SHOWN + MAX_MULTIBYTE_CHAR_LEN + 1];
	PgBackendStatus status;

	for (;;)
	{
		int before;
		int after;

		pgstat_begin_read_activity(entry, before);
		memcpy(&status, unvolatize(PgBackendStatus *, entry), sizeof(status));
		strlcpy(application, status.st_appname, sizeof(application));
		strlcpy(query, status.st_activity_raw, sizeof(query));
		pgstat_end_read_activity(entry, after);
		if (pgstat_read_activity_complete(before, after))
			break;
		CHECK_FOR_INTERRUPTS();
	}
	if (status.st_procpid != proc->pid)
		return false;

	blocker->userid = status.st_userid;
	blocker->application = application[0] ? pstrdup(application) : NULL;
	blocker->state = status.st_state;
	blocker->xact_start = status.st_xact_start_timestamp;
	blocker->query_start = status.st_activity_start_timestamp;
	blocker->state_start = status.st_state_start_timestamp;
	blocker->query = query[0] ? mg_query_line(query) : NULL;
	if (status.st_backendType == B_BG_WORKER)
		blocker->process = GetBackgroundWorkerTypeByPid(status.st_procpid);
	else if (status.st_backendType != B_BACKEND)
		blocker->process = GetBackendTypeDesc(status.st_backendType);
	if (blocker->process)
		blocker->process = pstrdup(blocker->process);
	return true;
}

/* See mg_blockers.h. */
const char *
mg_application(const PGPROC *proc)
{
	MgBlocker status = {0};

	return mg_read_status(proc, &status) ? status.application : NULL;
}

/*
 * May a role see what a session of this user does?  See pg_stat_get_activity().
 */
static bool
mg_role_may_see(Oid role, Oid userid)
{
	return has_privs_of_role(role, ROLE_PG_READ_ALL_STATS) || has_privs_of_role(role, userid);
}

/*
 * May the current user?  What is said goes to the client, so in a function that
 * runs as its owner who has called it has to have the right, too.
 */
static bool
mg_may_see(Oid userid)
{
	return mg_role_may_see(GetUserId(), userid) && mg_role_may_see(GetOuterUserId(), userid);
}

/* The session that runs a virtual transaction; NULL: it is over. */
static MgBlocker *
mg_session_blocker(MgHolders *holders, VirtualTransactionId vxid)
{
	PGPROC *proc = mg_backend_proc(mg_vxid_backend(vxid));
	MgBlocker *blocker;
	uint32 wait;

	if (proc == NULL || proc == MyProc || proc->pid == 0 || MyBEEntry == NULL)
		return NULL;
	blocker = palloc0(sizeof(MgBlocker));
	blocker->pid = proc->pid;
	if (!mg_read_status(proc, blocker))
		return NULL;
	blocker->autovacuum = (proc->statusFlags & PROC_IS_AUTOVACUUM) != 0;
	blocker->wraparound = (proc->statusFlags & PROC_VACUUM_FOR_WRAPAROUND) != 0;
	wait = *(volatile uint32 *) &proc->wait_event_info;
	blocker->wait_type = pgstat_get_wait_event_type(wait);
	blocker->wait_event = pgstat_get_wait_event(wait);

	/* what has been read is about another transaction */
	if (mg_proc_lxid(proc) != vxid.localTransactionId)
		return NULL;

	blocker->user = OidIsValid(blocker->userid) ? GetUserNameFromId(blocker->userid, true) : NULL;
	blocker->visible = mg_may_see(blocker->userid);
	blocker->seen = holders->now;
	return blocker;
}

/*
 * Who is behind a virtual transaction: a session; of a parallel worker its
 * leader; or a prepared transaction, which keeps the number that it had in the
 * session that has prepared it.
 */
static MgHolder *
mg_holder(MgHolders *holders, VirtualTransactionId vxid)
{
	PGPROC *proc = VirtualTransactionIdIsRecoveredPreparedXact(vxid)
					 ? NULL
					 : mg_backend_proc(mg_vxid_backend(vxid));
	bool running = proc != NULL && mg_proc_lxid(proc) == vxid.localTransactionId;
	PGPROC *leader = running ? proc->lockGroupLeader : NULL;
	MgHolder *holder;
	bool found;

	if (leader != NULL && leader != proc && LocalTransactionIdIsValid(mg_proc_lxid(leader)))
		GET_VXID_FROM_PGPROC(vxid, *leader);
	if (holders->known == NULL)
	{
		HASHCTL ctl = {.keysize = sizeof(VirtualTransactionId),
					   .entrysize = sizeof(MgHolder),
					   .hcxt = CurrentMemoryContext};

		holders->known = hash_create("migration_guard holders", 16, &ctl,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	holder = hash_search(holders->known, &vxid, HASH_ENTER, &found);
	if (found)
		return holder;
	holder->blocker = running ? mg_session_blocker(holders, vxid)
							  : mg_prepared_blocker(holders, vxid);
	holder->round = 0;
	return holder;
}

/* ------------------------------------------------------------------------
 * Lists of them
 * ------------------------------------------------------------------------ */

/* Nobody is known yet.  In the current memory context, in which all calls have to be made. */
MgHolders *
mg_holders_begin(void)
{
	MgHolders *holders = palloc0(sizeof(MgHolders));

	holders->now = GetCurrentTimestamp();
	return holders;
}

/* Oldest transaction first, those of unknown age last. */
static int
mg_older(const ListCell *a, const ListCell *b)
{
	const MgBlocker *ba = lfirst(a);
	const MgBlocker *bb = lfirst(b);

	if (ba->xact_start == bb->xact_start)
		return ba->pid < bb->pid ? -1 : ba->pid > bb->pid;
	if (ba->xact_start == 0 || bb->xact_start == 0)
		return ba->xact_start == 0 ? 1 : -1;
	return ba->xact_start < bb->xact_start ? -1 : 1;
}

/* Those behind a list of virtual transactions, which is freed; each once, in no order. */
static List *
mg_holders_list(MgHolders *holders, VirtualTransactionId *vxids, int count)
{
	List *blockers = NIL;

	holders->round++;
	for (int i = 0; i < count; i++)
	{
		MgHolder *holder = mg_holder(holders, vxids[i]);

		if (holder->blocker != NULL && holder->round != holders->round)
			blockers = lappend(blockers, holder->blocker);
		holder->round = holders->round;
	}
	pfree(vxids);
	return blockers;
}

/* Who holds a lock on a relation that conflicts with this mode; of MgBlocker, in no order. */
List *
mg_holders_of(MgHolders *holders, Oid relid, LOCKMODE mode)
{
	LOCKTAG tag;
	VirtualTransactionId *vxids;
	int count;

	SET_LOCKTAG_RELATION(tag, IsSharedRelation(relid) ? InvalidOid : MyDatabaseId, relid);
	vxids = GetLockConflicts(&tag, mode, &count);
	return mg_holders_list(holders, vxids, count);
}

/* All that have been met, oldest transaction first.  They are known no more, but still there. */
List *
mg_holders_end(MgHolders *holders)
{
	List *blockers = NIL;
	HASH_SEQ_STATUS status;
	MgHolder *holder;

	if (holders->known == NULL)
		return NIL;
	hash_seq_init(&status, holders->known);
	while ((holder = hash_seq_search(&status)) != NULL)
	{
		if (holder->blocker)
			blockers = lappend(blockers, holder->blocker);
	}
	hash_destroy(holders->known);
	holders->known = NULL;
	list_sort(blockers, mg_older);
	return blockers;
}

/* See mg_blockers.h. */
void
mg_blockers_sort(List *blockers)
{
	list_sort(blockers, mg_older);
}

/* See mg_blockers.h. */
List *
mg_blockers(Oid relid, LOCKMODE mode)
{
	MgHolders *holders = mg_holders_begin();

	list_free(mg_holders_of(holders, relid, mode));
	return mg_holders_end(holders);
}

/*
 * See mg_blockers.h.  The same choice as in WaitForOlderSnapshots(), as if all snapshots
 * that are held now were older than the one that it will compare with.  So a
 * walsender counts if it has a transaction in this database, as for the
 * initial copy of a subscription, and not if it streams.
 */
List *
mg_snapshot_holders(void)
{
	MgHolders *holders = mg_holders_begin();
	VirtualTransactionId *vxids;
	int count;

	vxids = GetCurrentVirtualXIDs(InvalidTransactionId, true, false,
								  PROC_IS_AUTOVACUUM | PROC_IN_VACUUM | PROC_IN_SAFE_IC, &count);
	list_free(mg_holders_list(holders, vxids, count));
	return mg_holders_end(holders);
}

/* How long ago it was, in milliseconds. */
static long
mg_age(const MgBlocker *blocker, TimestampTz start)
{
	return TimestampDifferenceMilliseconds(start, blocker->seen);
}

/*
 * Is it here to stay?  A transaction of the usual length is gone before anybody
 * could look.  One that sits idle depends on its client, a prepared one on an
 * administrator, and autovacuum against wraparound on the size of the table.
 */
bool
mg_blocker_lasts(const MgBlocker *blocker)
{
	if (blocker->prepared || blocker->wraparound || blocker->xact_start == 0)
		return true;
	if (mg_age(blocker, blocker->xact_start) >= MG_MOMENT)
		return true;
	return (blocker->state == STATE_IDLEINTRANSACTION ||
			blocker->state == STATE_IDLEINTRANSACTION_ABORTED) &&
		   mg_age(blocker, blocker->state_start) >= MG_PAUSE;
}

bool
mg_blocker_dumps(const MgBlocker *blocker)
{
	return blocker->application && strncmp(blocker->application, "pg_dump", 7) == 0;
}

static bool
mg_role_may_terminate(Oid role, Oid userid)
{
	if (superuser_arg(role))
		return true;
	if (!OidIsValid(userid) || superuser_arg(userid))
		return false;
	return has_privs_of_role(role, userid) || has_privs_of_role(role, ROLE_PG_SIGNAL_BACKEND);
}

/* May the current user, and who has called the function, call pg_terminate_backend() for it? */
bool
mg_may_terminate(const MgBlocker *blocker)
{
	return !blocker->prepared && mg_role_may_terminate(GetUserId(), blocker->userid) &&
		   mg_role_may_terminate(GetOuterUserId(), blocker->userid);
}

/* ------------------------------------------------------------------------
 * Words
 * ------------------------------------------------------------------------ */

static char *
mg_since(const MgBlocker *blocker, TimestampTz start)
{
	return mg_format_seconds(mg_age(blocker, start) / 1000.0);
}

/* In quotes, with those in it doubled: names that clients choose must not look like more. */
static char *
mg_quoted(const char *name)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '"');
	for (; *name; name++)
	{
		if (*name == '"')
			appendStringInfoChar(&buf, '"');
		appendStringInfoChar(&buf, *name);
	}
	appendStringInfoChar(&buf, '"');
	return buf.data;
}

/* Who it is. */
static void
mg_word_who(StringInfo buf, const MgBlocker *blocker)
{
	List *facts = NIL;
	ListCell *lc;

	if (blocker->prepared)
		appendStringInfo(buf, "prepared transaction %s", mg_quoted(blocker->gid));
	else
		appendStringInfo(buf, "process %d", blocker->pid);
	if (blocker->visible && blocker->process)
		facts = lappend(facts, pstrdup(blocker->process));
	if (blocker->application)
		facts = lappend(facts, psprintf("application %s", mg_quoted(blocker->application)));
	if (blocker->user)
		facts = lappend(facts, psprintf("user %s", mg_quoted(blocker->user)));
	foreach(lc, facts)
		appendStringInfo(buf, "%s%s", foreach_current_index(lc) > 0 ? ", " : " (",
						 (char *) lfirst(lc));
	if (facts)
		appendStringInfoChar(buf, ')');
}

/* What it does, and since when; returns when that began. */
static TimestampTz
mg_word_state(StringInfo buf, const MgBlocker *blocker)
{
	switch (blocker->state)
	{
		case STATE_IDLEINTRANSACTION:
			appendStringInfo(buf, " has been idle in transaction for %s",
							 mg_since(blocker, blocker->state_start));
			return blocker->state_start;
		case STATE_IDLEINTRANSACTION_ABORTED:
			appendStringInfo(buf, " has been idle in transaction (aborted) for %s",
							 mg_since(blocker, blocker->state_start));
			return blocker->state_start;
		case STATE_RUNNING:
		case STATE_FASTPATH:
			appendStringInfo(buf, " has been running a query for %s",
							 mg_since(blocker, blocker->query_start));
			if (blocker->wait_type)
				appendStringInfo(buf, " (wait event %s: %s)", blocker->wait_type,
								 blocker->wait_event);
			return blocker->query_start;
		case STATE_DISABLED:
			appendStringInfoString(buf, " does not report what it does (track_activities is off)");
			return 0;
		default:
			appendStringInfoString(buf, " is in a transaction");
			return 0;
	}
}

/* The rest of what a session's entry tells: its transaction and its query. */
static void
mg_word_transaction(StringInfo buf, const MgBlocker *blocker, TimestampTz told)
{
	bool active = blocker->state == STATE_RUNNING || blocker->state == STATE_FASTPATH;
	bool walsender = blocker->process &&
					 strcmp(blocker->process, GetBackendTypeDesc(B_WAL_SENDER)) == 0;
	const char *joint = ";";

	/* of walsenders, that is not up to date */
	if (blocker->xact_start != 0 && !walsender &&
		strcmp(mg_since(blocker, blocker->xact_start), told ? mg_since(blocker, told) : "") != 0)
	{
		appendStringInfo(buf, "; its transaction began %s ago",
						 mg_since(blocker, blocker->xact_start));
		joint = ",";
	}
	if (blocker->query && blocker->state != STATE_DISABLED)
		appendStringInfo(buf, "%s its %squery %s \"%s\"", joint, active ? "" : "last ",
						 active ? "is" : "was", blocker->query);
}

/* See mg_blockers.h. */
char *
mg_word_blocker(const MgBlocker *blocker)
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_word_who(&buf, blocker);
	if (blocker->prepared)
		appendStringInfo(&buf, " was prepared %s ago", mg_since(blocker, blocker->xact_start));
	else if (!blocker->visible)
		appendStringInfoString(&buf, " is in a transaction whose details are not visible to you");
	else if (blocker->autovacuum)
	{
		appendStringInfo(&buf, " has been at work for %s", mg_since(blocker, blocker->xact_start));
		if (blocker->query)
			appendStringInfo(&buf, " on \"%s\"", blocker->query);
		appendStringInfoString(&buf,
							   blocker->wraparound
								   ? ", and the server does not cancel it for others, because it "
									 "prevents transaction ID wraparound"
								   : ", and the server cancels it for others that have waited "
									 "for deadlock_timeout");
	}
	else
		mg_word_transaction(&buf, blocker, mg_word_state(&buf, blocker));
	return buf.data;
}

/* See mg_blockers.h. */
char *
mg_word_names(List *blockers)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, blockers)
	{
		if (foreach_current_index(lc) == MG_SHOWN)
		{
			appendStringInfo(&buf, " and %d more", list_length(blockers) - MG_SHOWN);
			break;
		}
		if (buf.len > 0)
			appendStringInfoString(&buf, ", ");
		mg_word_who(&buf, lfirst(lc));
	}
	return buf.data;
}

/* See mg_blockers.h. */
char *
mg_word_blockers(List *blockers)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, blockers)
	{
		char *sentence;

		if (foreach_current_index(lc) == MG_SHOWN)
		{
			appendStringInfo(&buf, ". And %d more", list_length(blockers) - MG_SHOWN);
			break;
		}
		sentence = mg_word_blocker(lfirst(lc));
		if (buf.len > 0)
		{
			appendStringInfoString(&buf, ". ");
			sentence[0] = pg_toupper((unsigned char) sentence[0]);
		}
		appendStringInfoString(&buf, sentence);
	}
	return buf.data;
}
