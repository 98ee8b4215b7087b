/*
 * report_lock.c
 *
 * Owns what is said about locks that are not to be had: that it takes long,
 * and in the end that it took too long.  Both name who is in the way; what can
 * be done about them is said here for the rule lock_queue as well.
 */
#include "mg_locking.h"

#include "advice.h"

#define MSECS_PER_MIN (SECS_PER_MINUTE * 1000)
#define MG_LONGEST_TRY 60 /* min, that a hint would propose */

/* "table \"orders\"", or what else it is. */
static const char *
mg_subject(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		return psprintf("relation %u", relid);
	return psprintf("%s \"%s\"", mg_relkind_name(get_rel_relkind(relid)), name);
}

/* Who is in the way, in whole sentences. */
static char *
mg_in_the_way(List *blockers)
{
	char *text;

	/* core tells nobody who waits in a queue */
	if (blockers == NIL)
		return pstrdup("Nobody has a lock that conflicts with it at this moment; if others wait in "
					   "the queue already, the guard does not overtake them.");
	text = mg_word_blockers(blockers);
	text[0] = pg_toupper((unsigned char) text[0]);
	return psprintf("%s.", text);
}

/* May the current user set it? */
static bool
mg_may_set(const char *name)
{
	return pg_parameter_aclcheck(name, GetUserId(), ACL_SET) == ACLCHECK_OK;
}

/* Can nothing be done but wait?  A dump is not to be ended, nor is the copy of a subscription. */
static bool
mg_is_to_be_left(const MgBlocker *blocker)
{
	return blocker->autovacuum || blocker->process != NULL || mg_blocker_dumps(blocker);
}

/* What a prepared transaction needs. */
static void
mg_say_prepared(StringInfo buf, const MgBlocker *blocker)
{
	const char *gid = quote_literal_cstr(blocker->gid);

	if (superuser() || blocker->userid == GetUserId())
		mg_say(buf, "Finish the prepared transaction: COMMIT PREPARED %s or ROLLBACK PREPARED %s.",
			   gid, gid);
	else
		mg_say(buf,
			   "Let its user or a superuser finish the prepared transaction, by COMMIT PREPARED "
			   "%s or ROLLBACK PREPARED %s.",
			   gid, gid);
}

/*
 * What can be done about those in the way; for HINT.  run: "Run it", or "Run
 * it again".
 */
char *
mg_blockers_hint(const char *run, List *blockers)
{
	List *sessions = NIL;
	int prepared = 0;
	int others;
	bool wraparound = false;
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, blockers)
	{
		MgBlocker *blocker = lfirst(lc);

		if (foreach_current_index(lc) == MG_SHOWN)
			break;
		if (blocker->prepared)
		{
			mg_say_prepared(&buf, blocker);
			prepared++;
		}
		else if (mg_may_terminate(blocker) && !mg_is_to_be_left(blocker))
			sessions = lappend(sessions, blocker);
		wraparound |= blocker->visible && blocker->wraparound;
	}
	if (sessions != NIL)
		mg_say(&buf, "%s when nobody is in the way any more, or end the session%s:", run,
			   list_length(sessions) == 1 ? "" : "s");
	else if (buf.len == 0)
		mg_say(&buf, "%s when nobody is in the way any more.", run);
	foreach(lc, sessions)
		mg_sql(&buf, "SELECT pg_terminate_backend(%d)", ((MgBlocker *) lfirst(lc))->pid);
	others = list_length(blockers) - list_length(sessions) - prepared;
	if (sessions != NIL && others > 0)
		mg_say(&buf, "%d other%s in the way as well.", others, others == 1 ? " is" : "s are");
	if (wraparound)
		mg_say(&buf, "A vacuum to prevent wraparound that is cancelled starts again.");
	return buf.data;
}

/* How to get the locks nevertheless. */
static char *
mg_lock_hint(List *blockers, bool session_limit)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, mg_blockers_hint("Run it again", blockers));
	if (!session_limit && mg_may_set("migration_guard.lock_timeout"))
	{
		mg_say(&buf, "To try for longer:");
		mg_sql(&buf, "SET migration_guard.lock_timeout = '%dmin'",
			   Min(mg_lock_timeout / MSECS_PER_MIN * 5 + 1, MG_LONGEST_TRY));
		mg_say(&buf, "With 0 the server takes the lock as it always does: the statement waits for "
					 "it, and everybody queues behind the statement.");
	}
	return buf.data;
}

/* What limits the time, as it is set. */
static char *
mg_limit(bool session_limit)
{
	const char *name = session_limit ? "lock_timeout" : "migration_guard.lock_timeout";

	return psprintf("%s (%s)", name, GetConfigOptionByName(name, NULL, false));
}

/* What would limit it now. */
const char *
mg_word_lock_limit(void)
{
	return mg_limit(LockTimeout > 0 && LockTimeout <= mg_lock_timeout);
}

/* It takes long, and whoever waits for the statement may want to know why. */
void
mg_report_lock_wait(MgLocking *locking, List *blockers)
{
	MgWanted *wanted = &locking->wanted[locking->failed];

	ereport(NOTICE,
			errmsg("%s still tries to lock %s", locking->fp->command, mg_subject(wanted->relid)),
			errdetail("It needs %s, and goes on trying until %s is over; others do not queue "
					  "behind it. %s",
					  GetLockmodeName(DEFAULT_LOCKMETHOD, wanted->lockmode),
					  mg_limit(locking->session_limit), mg_in_the_way(blockers)));
}

/* Somebody in the way waits for this transaction in turn. */
void
mg_report_lock_deadlock(MgLocking *locking, const MgBlocker *blocker)
{
	MgWanted *wanted = &locking->wanted[locking->failed];
	char *sentence = mg_word_blocker(blocker);

	sentence[0] = pg_toupper((unsigned char) sentence[0]);
	ereport(ERROR,
			(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
			 errmsg("%s could not lock %s without a deadlock", locking->fp->command,
					mg_subject(wanted->relid)),
			 errdetail("It needs %s. %s. That session waits for a lock that this transaction "
					   "holds from before, by itself or through others.",
					   GetLockmodeName(DEFAULT_LOCKMETHOD, wanted->lockmode), sentence),
			 errhint("Run each statement in a transaction of its own, or lock all tables in one "
					 "statement first: LOCK TABLE.")));
}

/* Time is up. */
void
mg_report_lock_timeout(MgLocking *locking, List *blockers)
{
	MgWanted *wanted = &locking->wanted[locking->failed];
	const char *command = locking->fp->command;
	const char *mode = GetLockmodeName(DEFAULT_LOCKMETHOD, wanted->lockmode);
	const char *subject = mg_subject(wanted->relid);
	const char *schema = get_namespace_name(get_rel_namespace(wanted->relid));
	const char *table = get_rel_name(wanted->relid);

	ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					locking->session_limit ? errmsg("canceling statement due to lock timeout")
										   : errmsg("%s could not lock %s within %s", command,
													subject, mg_limit(false)),
					errdetail("It needs %s on %s. %s", mode, subject, mg_in_the_way(blockers)),
					errhint("%s", mg_lock_hint(blockers, locking->session_limit)),
					schema ? err_generic_string(PG_DIAG_SCHEMA_NAME, schema) : 0,
					table ? err_generic_string(PG_DIAG_TABLE_NAME, table) : 0));
}
