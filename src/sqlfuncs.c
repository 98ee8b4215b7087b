/*
 * sqlfuncs.c
 *
 * Owns the SQL functions: explain(), check() and rules().  The first two are
 * dry runs: the same analysis and the same judgement as in the hook, with a
 * tuplestore at the end.  Nothing of the script they are given is executed.
 */
#include "mg.h"

#include "commands/defrem.h"

#include <math.h>

/* Statements of a script that nothing is known about, by command. */
typedef struct MgSilence
{
	const char *command;
	int first; /* number of the first statement */
	int count;
	bool code; /* DO, CALL, or the script of an extension: nobody can know */
} MgSilence;

/* A dry run. */
typedef struct MgDryRun
{
	ReturnSetInfo *rsinfo;
	MgScript *script;
	MemoryContext context; /* of the whole run */
	const char *source;
	int number;         /* of the current statement, from 1 */
	List *silences;     /* of MgSilence */
	bool block_written; /* the script itself has opened the current transaction */
	void (*emit)(struct MgDryRun *run, MgFootprint *fp);
} MgDryRun;

/* ------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------ */

/* Error context: which statement. */
static void
mg_statement_context(void *arg)
{
	MgDryRun *run = arg;

	if (run->number > 0)
		errcontext("statement %d of the script", run->number);
}

/*
 * Error context of the parser: its position is one in the script, not one in
 * the query that calls the function.
 */
static void
mg_parser_context(void *arg)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(arg);
	}
	if (geterrcode() == ERRCODE_SYNTAX_ERROR)
		errhint("Write the statements as the server gets them, separated by semicolons: "
				"without backslash commands of psql and without placeholders.");
}

/* What to do about a statement that core would refuse. */
static const char *
mg_problem_hint(MgFootprint *fp)
{
	const MgProblem *problem = fp->problem;
	const char *advice = problem->hint ? problem->hint : mg_advise_refused(fp);

	if (advice)
		return advice;
	switch (problem->sqlerrcode)
	{
		case ERRCODE_UNDEFINED_TABLE:
			return "Check the spelling, qualify the name with its schema, or set search_path as "
				   "the migration does.";
		case ERRCODE_UNDEFINED_SCHEMA:
			return "Check the spelling, or create the schema first.";
		case ERRCODE_UNDEFINED_COLUMN:
			return "Check the spelling, or give the statement that adds the column in the same "
				   "script.";
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return "Use SET ROLE to become the role that will run the migration.";
		case ERRCODE_ACTIVE_SQL_TRANSACTION:
			return "Write it before BEGIN or after COMMIT.";
		default:
			return "The server would refuse the statement with the same error.";
	}
}

static void
mg_raise_problem(MgFootprint *fp)
{
	const MgProblem *problem = fp->problem;

	ereport(ERROR, errcode(problem->sqlerrcode), errmsg_internal("%s", problem->message),
			problem->detail ? errdetail_internal("%s", problem->detail) : 0,
			errhint("%s", mg_problem_hint(fp)));
}

/* ------------------------------------------------------------------------
 * What nothing is known about
 * ------------------------------------------------------------------------ */

/*
 * Can a statement that is not analyzed lock or read an existing relation in a
 * way that would be worth a row?
 */
static bool
mg_may_matter(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterDomainStmt:
		case T_AlterExtensionStmt:
		case T_AlterObjectSchemaStmt:
		case T_AlterOwnerStmt:
		case T_AlterSeqStmt:
		case T_AlterTableStmt:
		case T_AlterTypeStmt:
		case T_CallStmt:
		case T_CreateExtensionStmt:
		case T_DoStmt:
		case T_DropOwnedStmt:
		case T_DropStmt:
		case T_LockStmt:
		case T_ReassignOwnedStmt:
		case T_RefreshMatViewStmt:
		case T_RenameStmt:
		case T_TruncateStmt:
			return true;
		default:
			return false;
	}
}

/* Take note of a statement without analysis, to be told about at the end. */
static void
mg_note_silence(MgDryRun *run, Node *stmt)
{
	const char *command;
	MgSilence *silence;
	MemoryContext caller;
	ListCell *lc;

	if (!mg_may_matter(stmt))
		return;
	command = GetCommandTagName(CreateCommandTag(stmt));
	foreach(lc, run->silences)
	{
		silence = lfirst(lc);
		if (silence->command == command)
		{
			silence->count++;
			return;
		}
	}
	caller = MemoryContextSwitchTo(run->context);
	silence = palloc(sizeof(MgSilence));
	silence->command = command;
	silence->first = run->number;
	silence->count = 1;
	silence->code = IsA(stmt, DoStmt) || IsA(stmt, CallStmt) || IsA(stmt, AlterExtensionStmt) ||
					IsA(stmt, CreateExtensionStmt);
	run->silences = lappend(run->silences, silence);
	MemoryContextSwitchTo(caller);
}

/* One NOTICE per command that was passed over. */
static void
mg_tell_silences(MgDryRun *run)
{
	ListCell *lc;

	foreach(lc, run->silences)
	{
		MgSilence *silence = lfirst(lc);
		const char *why = silence->code ? "what it executes is judged when it runs"
										: "this version of migration_guard has no analysis for it";

		if (silence->count == 1)
			ereport(NOTICE, errmsg("statement %d (%s) was passed over: %s", silence->first,
								   silence->command, why));
		else
			ereport(NOTICE, errmsg("statement %d and %d more (%s) were passed over: %s",
								   silence->first, silence->count - 1, silence->command, why));
	}
}

/* ------------------------------------------------------------------------
 * The dry run
 * ------------------------------------------------------------------------ */

/* The caller's own transaction block is none of the script's. */
static void
mg_check_block(MgDryRun *run, MgFootprint *fp)
{
	if ((fp->concurrent || fp->no_block) && run->block_written)
		mg_problem(fp, ERRCODE_ACTIVE_SQL_TRANSACTION, "%s cannot run inside a transaction block",
				   mg_concurrent_name(fp));
}

/* Did the script itself open the transaction that the next statement is in? */
static void
mg_follow_block(MgDryRun *run, Node *stmt)
{
	if (!run->script->in_block)
		run->block_written = false;
	else if (IsA(stmt, TransactionStmt))
		run->block_written = true;
}

/* One statement: raise what core would raise, emit what is known, and go on. */
static void
mg_dry_statement(MgDryRun *run, Node *stmt)
{
	MgFootprint *fp = NULL;

	if (mg_is_covered(nodeTag(stmt)))
	{
		fp = mg_footprint(stmt, run->source, run->script);
		if (fp->problem == NULL)
			mg_check_block(run, fp);
		if (fp->problem)
			mg_raise_problem(fp);
	}
	if (fp && fp->covered)
		run->emit(run, fp);
	else
		mg_note_silence(run, stmt);
	mg_script_statement(run->script, stmt, fp);
	mg_follow_block(run, stmt);
}

/* Parse, and go through the statements one by one. */
static void
mg_dry_run(MgDryRun *run)
{
	MemoryContext statement_context;
	ErrorContextCallback callback = {error_context_stack, mg_parser_context,
									 unconstify(char *, run->source)};
	List *statements;
	ListCell *lc;

	error_context_stack = &callback;
	statements = raw_parser(run->source, RAW_PARSE_DEFAULT);
	callback.callback = mg_statement_context;
	callback.arg = run;

	AcceptInvalidationMessages();
	run->script = mg_script_begin();
	statement_context = AllocSetContextCreate(run->context, "migration_guard statement",
											  ALLOCSET_DEFAULT_SIZES);
	foreach(lc, statements)
	{
		Node *stmt = lfirst_node(RawStmt, lc)->stmt;

		CHECK_FOR_INTERRUPTS();
		run->number++;
		MemoryContextSwitchTo(statement_context);
		mg_dry_statement(run, stmt);
		MemoryContextSwitchTo(run->context);
		MemoryContextReset(statement_context);
	}
	run->number = 0;
	mg_script_end(run->script);
	error_context_stack = callback.previous;
	mg_tell_silences(run);
}

/* The body that explain() and check() share. */
static void
mg_run_function(FunctionCallInfo fcinfo, void (*emit)(MgDryRun *run, MgFootprint *fp))
{
	MgDryRun run = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo,
					.context = CurrentMemoryContext,
					.source = text_to_cstring(PG_GETARG_TEXT_PP(0)),
					.emit = emit};

	InitMaterializedSRF(fcinfo, 0);
	mg_dry_run(&run);
}

/* text, or NULL */
static void
mg_put_text(Datum *value, bool *isnull, const char *text)
{
	*isnull = text == NULL;
	if (text)
		*value = CStringGetTextDatum(text);
}

/* ------------------------------------------------------------------------
 * explain()
 * ------------------------------------------------------------------------ */

/*
 * How it stands with the lock, whatever the statement does: the transaction, or
 * the script so far, has one already, or others are in the way.
 */
static List *
mg_add_situation(List *reasons, MgFootprint *fp, MgEffect *eff)
{
	const char *since;
	LOCKMODE held = mg_situation_held(fp->script, eff->relid, &since);
	List *blockers = fp->concurrent ? mg_concurrent_waits(fp, eff) : mg_in_the_way_of(fp, eff);

	if (held != NoLock)
		reasons = lappend(reasons, psprintf("this transaction already holds %s%s%s",
											GetLockmodeName(DEFAULT_LOCKMETHOD, held),
											since ? " " : "", since ? since : ""));
	if (blockers != NIL)
		reasons = lappend(reasons, psprintf(fp->concurrent ? "it would wait for others: %s"
														   : "in the way now: %s",
											mg_word_blockers(blockers)));
	return reasons;
}

/* Reasons of the effect and of its tasks, each once, and the situation, as one text. */
static char *
mg_join_reasons(MgFootprint *fp, MgEffect *eff)
{
	List *reasons = list_copy(eff->reasons);
	StringInfoData buf;
	ListCell *lc;

	foreach(lc, eff->tasks)
	{
		const char *reason = ((MgTask *) lfirst(lc))->reason;
		bool known = reason == NULL;
		ListCell *lc2;

		foreach(lc2, reasons)
			known = known || strcmp(lfirst(lc2), reason) == 0;
		if (!known)
			reasons = lappend(reasons, unconstify(char *, reason));
	}
	reasons = mg_add_situation(reasons, fp, eff);

	initStringInfo(&buf);
	foreach(lc, reasons)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? "; " : "", (char *) lfirst(lc));
	return buf.data;
}

/* How many indexes are built, and whether there is any work but the lock. */
static int
mg_count_builds(MgEffect *eff)
{
	int builds = 0;
	ListCell *lc;

	foreach(lc, eff->tasks)
	{
		if (((MgTask *) lfirst(lc))->work == MG_WORK_BUILD)
			builds++;
	}
	return builds;
}

/* Seconds as an interval: whole ones, unless it is less than one. */
static Interval *
mg_interval(double seconds)
{
	Interval *interval = palloc0(sizeof(Interval));
	double step = seconds < 1 ? 1000 : USECS_PER_SEC;

	interval->time = (TimeOffset) (rint(seconds * USECS_PER_SEC / step) * step);
	return interval;
}

static void
mg_emit_effect(MgDryRun *run, MgFootprint *fp, MgEffect *eff)
{
	Datum values[12];
	bool nulls[12] = {0};
	bool copied = mg_has_work(eff, MG_WORK_COPY) || mg_has_work(eff, MG_WORK_FILL);
	bool rewritten = mg_has_work(eff, MG_WORK_REWRITE);
	int builds = mg_count_builds(eff);

	mg_size_effect(eff);
	values[0] = Int32GetDatum(run->number);
	mg_put_text(&values[1], &nulls[1], fp->command);
	values[2] = ObjectIdGetDatum(eff->relid);
	mg_put_text(&values[3], &nulls[3],
				eff->lockmode == NoLock ? NULL
										: GetLockmodeName(DEFAULT_LOCKMETHOD, eff->lockmode));
	mg_put_text(&values[4], &nulls[4], mg_lock_blocks(eff->lockmode));
	values[5] = BoolGetDatum(rewritten || copied);
	values[6] = BoolGetDatum(rewritten || builds > 0 || mg_has_work(eff, MG_WORK_SCAN) ||
							 mg_has_work(eff, MG_WORK_LOOKUP));
	values[7] = Int32GetDatum(builds);
	values[8] = Int64GetDatum((int64) rint(eff->size.rows));
	values[9] = Int64GetDatum((int64) mg_effect_bytes(eff));
	values[10] = IntervalPGetDatum(mg_interval(mg_effect_seconds(eff)));
	mg_put_text(&values[11], &nulls[11], mg_join_reasons(fp, eff));
	tuplestore_putvalues(run->rsinfo->setResult, run->rsinfo->setDesc, values, nulls);
}

/* A task without work only carries the finding of a rule. */
static bool
mg_has_any_work(MgEffect *eff)
{
	ListCell *lc;

	foreach(lc, eff->tasks)
	{
		if (((MgTask *) lfirst(lc))->work != MG_WORK_NONE)
			return true;
	}
	return false;
}

/* What is locked with ShareUpdateExclusiveLock or stronger, or worked on. */
static void
mg_emit_footprint(MgDryRun *run, MgFootprint *fp)
{
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);

		if (eff->lockmode >= ShareUpdateExclusiveLock || mg_has_any_work(eff))
			mg_emit_effect(run, fp, eff);
	}
}

PG_FUNCTION_INFO_V1(mg_explain);

/*
 * migration_guard.explain(sql text): one row per statement and relation that
 * it locks with ShareUpdateExclusiveLock or stronger, or works on.
 */
Datum
mg_explain(PG_FUNCTION_ARGS)
{
	mg_run_function(fcinfo, mg_emit_footprint);
	return (Datum) 0;
}

/* ------------------------------------------------------------------------
 * check()
 * ------------------------------------------------------------------------ */

static void
mg_emit_findings(MgDryRun *run, MgFootprint *fp)
{
	ListCell *lc;

	foreach(lc, mg_judge(fp))
	{
		MgFinding *finding = lfirst(lc);
		Datum values[9];
		bool nulls[9] = {0};

		values[0] = Int32GetDatum(run->number);
		mg_put_text(&values[1], &nulls[1], fp->command);
		mg_put_text(&values[2], &nulls[2], mg_verdict_name(finding->verdict));
		mg_put_text(&values[3], &nulls[3], finding->rule->name);
		mg_put_text(&values[4], &nulls[4], finding->rule->sqlstate);
		values[5] = ObjectIdGetDatum(finding->relid);
		nulls[5] = !OidIsValid(finding->relid);
		mg_put_text(&values[6], &nulls[6], finding->message);
		mg_put_text(&values[7], &nulls[7], finding->detail);
		mg_put_text(&values[8], &nulls[8], finding->hint);
		tuplestore_putvalues(run->rsinfo->setResult, run->rsinfo->setDesc, values, nulls);
	}
}

PG_FUNCTION_INFO_V1(mg_check);

/*
 * migration_guard.check(sql text): one row per finding, under the settings in
 * force.
 */
Datum
mg_check(PG_FUNCTION_ARGS)
{
	mg_run_function(fcinfo, mg_emit_findings);
	if (mg_mode == MG_MODE_OFF)
		ereport(NOTICE, errmsg("nothing is judged, because \"%s\" is \"%s\"",
							   "migration_guard.mode", "off"));
	return (Datum) 0;
}

/* ------------------------------------------------------------------------
 * rules()
 * ------------------------------------------------------------------------ */

PG_FUNCTION_INFO_V1(mg_rules_list);

/* migration_guard.rules(): the rules, with the actions in force. */
Datum
mg_rules_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < mg_nrules; i++)
	{
		const MgRule *rule = &mg_rules[i];
		Datum values[7];
		bool nulls[7] = {0};

		mg_put_text(&values[0], &nulls[0], rule->name);
		mg_put_text(&values[1], &nulls[1], rule->sqlstate);
		mg_put_text(&values[2], &nulls[2], rule->category->name);
		mg_put_text(&values[3], &nulls[3], mg_verdict_name(rule->default_action));
		mg_put_text(&values[4], &nulls[4], mg_verdict_name(mg_rule_action(i)));
		mg_put_text(&values[5], &nulls[5], rule->summary);
		mg_put_text(&values[6], &nulls[6], rule->advice);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
