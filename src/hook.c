/*
 * hook.c
 *
 * Owns the gate: which statements are judged, when, and that each is judged
 * exactly once.  There are two ways in.
 *
 * The ProcessUtility hook sees every utility statement of a backend that has
 * the library loaded.  It is always chained, whatever the guard thinks.
 *
 * The event trigger of the extension is what loads the library in a session
 * that does not preload it.  The statement it fires for has passed
 * ProcessUtility before the hook was there, so its handler judges that one;
 * ddl_command_start fires before any lock is requested.  Statements that came
 * through the hook fire the event trigger, too: mg_depth tells the handler
 * that there is nothing left to do.
 */
#include "mg.h"

static ProcessUtility_hook_type mg_previous_hook = NULL;

/*
 * Number of covered statements that are now being executed and that came
 * through the hook.  An error leaves it too high until the next statement of
 * the top level; from the first such statement on all come through the hook,
 * so "not zero" stays the right answer.
 */
static int mg_depth = 0;

/* ------------------------------------------------------------------------
 * Gate and judgement
 * ------------------------------------------------------------------------ */

/* May this role set migration_guard.mode?  Superusers may. */
static bool
mg_may_switch_off(Oid role)
{
	return pg_parameter_aclcheck("migration_guard.mode", role, ACL_SET) == ACLCHECK_OK;
}

/*
 * Is this a session of an exempt application, whose role might switch the
 * guard off anyway?  The role is the one that the session can have by saying
 * SET or RESET ROLE or SESSION AUTHORIZATION.  Where that cannot be said, in
 * a function that runs as its owner, the owner has to have the right, too:
 * anybody can take the name of an application.
 */
static bool
mg_session_exempt(void)
{
	if (likely(!mg_exempt_application()))
		return false;
	if (!mg_may_switch_off(GetOuterUserId()) && !mg_may_switch_off(GetSessionUserId()) &&
		!mg_may_switch_off(GetAuthenticatedUserId()))
		return false;
	if ((InLocalUserIdChange() || InSecurityRestrictedOperation()) &&
		!mg_may_switch_off(GetUserId()))
		return false;
	ereport(DEBUG1,
			errmsg_internal("migration_guard does not judge statements of application \"%s\"",
							application_name));
	return true;
}

/*
 * May the guard speak here at all?  Catalogs have to be readable, and the
 * statement has to come from somebody who can be told to do it differently.
 */
static bool
mg_gate(void)
{
	if (mg_mode == MG_MODE_OFF)
		return false;
	if (!IsTransactionState() || IsAbortedTransactionBlockState())
		return false;
	if (!IsUnderPostmaster || IsBinaryUpgrade)
		return false;
	if (IsInParallelMode() || IsParallelWorker())
		return false;
	if (IsLogicalWorker() || mg_is_autovacuum())
		return false;
	if (RecoveryInProgress())
		return false;
	return !mg_session_exempt();
}

/*
 * Judge a statement that is about to run; does not return if it is refused.
 * Everything allocated on the way is gone afterwards, but for the announcement
 * (may be NULL) of what it will rewrite.
 */
static void
mg_guard(Node *stmt, const char *source, bool toplevel, MgAnnouncement *announcement)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migration_guard statement",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	MgFootprint *fp;

	/* names are looked up without locks, which would have done this */
	AcceptInvalidationMessages();
	mg_situation_enter(toplevel);

	fp = mg_footprint(stmt, source, NULL);
	mg_tell_refused(fp);
	if (fp->covered && fp->problem == NULL)
	{
		List *findings = mg_judge(fp);

		mg_report(fp, findings);
		fp = mg_lock_politely(fp, findings);
		mg_situation_remember(fp);
	}
	mg_announce(announcement, fp);

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* ------------------------------------------------------------------------
 * The hook
 * ------------------------------------------------------------------------ */

/* On to the next one in the chain. */
static inline void
mg_chain(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
		 DestReceiver *dest, QueryCompletion *qc)
{
	if (mg_previous_hook)
		mg_previous_hook(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest,
								qc);
}

/*
 * Sees every utility statement.  BEGIN, SET and all the others that the guard
 * has no analysis for leave after the first test.
 */
static void
mg_process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				   ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
				   DestReceiver *dest, QueryCompletion *qc)
{
	int depth = mg_depth;
	MgAnnouncement *announcement = NULL;

	if (likely(!mg_is_covered(nodeTag(pstmt->utilityStmt))))
	{
		mg_chain(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		return;
	}

	/* an error may have left it behind */
	if (context == PROCESS_UTILITY_TOPLEVEL)
		depth = 0;

	/* the footprint of a statement contains what its subcommands do */
	if (context != PROCESS_UTILITY_SUBCOMMAND)
	{
		announcement = mg_announcement_begin(pstmt->utilityStmt, CurrentMemoryContext);
		if (mg_gate())
			mg_guard(pstmt->utilityStmt, queryString, context == PROCESS_UTILITY_TOPLEVEL,
					 announcement);
	}

	mg_depth = depth + 1;
	mg_chain(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	mg_depth = depth;
	mg_announcement_end(announcement);
}

/* Puts the hook at the head of the chain. */
void
mg_hook_init(void)
{
	mg_previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = mg_process_utility;
}

/* ------------------------------------------------------------------------
 * The event trigger
 * ------------------------------------------------------------------------ */

/* Is this the statement that the client sent, rather than one inside a function? */
static bool
mg_is_toplevel(Node *stmt)
{
	ListCell *lc;

	if (ActivePortal == NULL)
		return false;
	foreach(lc, ActivePortal->stmts)
	{
		PlannedStmt *pstmt = lfirst_node(PlannedStmt, lc);

		/* core may execute a copy, so the same kind has to do */
		if (pstmt->utilityStmt && nodeTag(pstmt->utilityStmt) == nodeTag(stmt))
			return true;
	}
	return false;
}

/* Judge the statement whose event trigger has loaded the library. */
static void
mg_guard_first(Node *stmt)
{
	MemoryContext parent = PortalContext ? PortalContext : TopTransactionContext;

	/* the memory of the event goes away before the statement begins its work */
	mg_guard(stmt, debug_query_string, mg_is_toplevel(stmt), mg_announcement_begin(stmt, parent));
}

/* The event that a handler, by its name, is called for. */
EventTriggerData *
mg_event(FunctionCallInfo fcinfo, const char *handler)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("migration_guard.%s() can only be called as an event trigger", handler));
	return (EventTriggerData *) fcinfo->context;
}

PG_FUNCTION_INFO_V1(mg_guard_ddl);

/*
 * migration_guard.guard_ddl(): the handler on ddl_command_start.  Judges the
 * statement if it was on its way before the hook was installed.
 */
Datum
mg_guard_ddl(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigger = mg_event(fcinfo, "guard_ddl");

	if (mg_depth == 0 && strcmp(trigger->event, "ddl_command_start") == 0)
	{
		if (mg_is_covered(nodeTag(trigger->parsetree)) && mg_gate())
			mg_guard_first(trigger->parsetree);
	}
	PG_RETURN_NULL();
}
