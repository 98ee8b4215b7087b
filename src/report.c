/*
 * report.c
 *
 * Owns the words of a finding and the only ereport() of one.  A statement is
 * answered once: the worst finding gives the primary message, the SQLSTATE
 * and the names in the error fields; DETAIL has every finding, a line each,
 * and HINT the advice for every finding.  What is said is also counted here,
 * and nowhere else.
 */
#include "mg.h"

#include "advice.h"

/* What a lock mode keeps others from, as explain() shows it. */
const char *
mg_lock_blocks(LOCKMODE mode)
{
	if (mode >= AccessExclusiveLock)
		return "reads and writes";
	return mode >= ShareLock ? "writes" : "nothing";
}

static const char *
mg_lock_name(LOCKMODE mode)
{
	return GetLockmodeName(DEFAULT_LOCKMETHOD, mode);
}

/* ------------------------------------------------------------------------
 * Primary message
 * ------------------------------------------------------------------------ */

/* How the statement begins in the message; the table's name follows. */
static const char *
mg_operation(MgFootprint *fp, MgFinding *finding)
{
	List *nodes = mg_nodes(finding);
	AlterTableCmd *cmd = nodes ? mg_subcommand(fp, linitial(nodes)) : NULL;

	if (cmd && cmd->subtype == AT_SetUnLogged)
		return "SET UNLOGGED on";
	if (IsA(fp->stmt, ExplainStmt))
		return "EXPLAIN ANALYZE of CREATE TABLE AS";
	if (finding->rule->cause == MG_CAUSE_CREATE_TABLE_AS)
		return OidIsValid(fp->target) ? "REFRESH MATERIALIZED VIEW CONCURRENTLY on" : fp->command;
	return finding->rule->operation;
}

/* Reads and writes of a table, writes to a table. */
static const char *
mg_preposition(const char *blocks)
{
	return strcmp(blocks, "writes") == 0 ? "to" : "of";
}

/* " and 3 more tables": those worked on besides the one in the message, if none is named. */
static const char *
mg_other_tables(MgFootprint *fp, MgFinding *finding)
{
	int others = 0;
	ListCell *lc;

	foreach(lc, OidIsValid(fp->target) ? NIL : finding->worked)
	{
		MgEffect *eff = lfirst(lc);

		others += eff->relid != finding->relid && list_member_ptr(finding->blocked, eff) &&
				  (eff->relkind == RELKIND_RELATION || eff->relkind == RELKIND_MATVIEW) &&
				  !mg_effect_exempt(eff);
	}
	if (others == 0)
		return "";
	return psprintf(" and %d more table%s", others, others == 1 ? "" : "s");
}

static void
mg_word_message(MgFootprint *fp, MgFinding *finding)
{
	Oid subject = OidIsValid(fp->target) ? fp->target : finding->relid;
	const char *others = mg_other_tables(fp, finding);
	const char *seconds = mg_format_seconds(finding->seconds);
	const char *blocks = mg_lock_blocks(finding->lockmode);
	StringInfoData buf;

	initStringInfo(&buf);
	if (fp->object)
		appendStringInfo(&buf, "%s \"%s\" would block %s %s \"%s\"%s ", mg_operation(fp, finding),
						 fp->object, blocks, mg_preposition(blocks),
						 mg_situation_name(finding->relid), others);
	else
		appendStringInfo(&buf, "%s \"%s\"%s would block %s ", mg_operation(fp, finding),
						 mg_situation_name(subject), others, blocks);
	if (!fp->object && subject != finding->relid)
		appendStringInfo(&buf, "%s \"%s\" ", mg_preposition(blocks),
						 mg_situation_name(finding->relid));
	appendStringInfo(&buf, "for %s%s (%s, %s)", isdigit((unsigned char) *seconds) ? "about " : "",
					 seconds, mg_format_rows(finding->rows), mg_format_bytes(finding->bytes));
	if (finding->rule->cause == MG_CAUSE_ADD_COLUMN_NOT_NULL)
		appendStringInfoString(&buf, " and then fail");
	finding->message = buf.data;
}

/* ------------------------------------------------------------------------
 * Detail
 * ------------------------------------------------------------------------ */

/* Append a sentence: a capital first, unless it is a name, and a period last. */
static void
mg_sentence(StringInfo buf, const char *text)
{
	if (buf->len > 0)
		appendStringInfoChar(buf, ' ');
	appendStringInfoChar(buf, pg_toupper((unsigned char) text[0]));
	appendStringInfo(buf, "%s.", text + 1);
}

/* What the work is, where the footprint does not say. */
static const char *
mg_work_phrase(MgWork work)
{
	switch (work)
	{
		case MG_WORK_REWRITE:
			return "the table is rewritten, and all its indexes are built anew";
		case MG_WORK_COPY:
			return "the files are copied";
		case MG_WORK_FILL:
			return "new files are filled, and all indexes are built anew";
		case MG_WORK_BUILD:
			return "the table is read to build an index";
		case MG_WORK_SCAN:
			return "the table is read in full";
		default:
			return NULL;
	}
}

/* Why there is work: the reasons of the tasks, each once, a few of them. */
static void
mg_detail_reasons(StringInfo buf, MgFinding *finding)
{
	List *said = NIL;
	MgWork most = MG_WORK_NONE;
	int more = 0;
	ListCell *lc;

	foreach(lc, finding->tasks)
	{
		MgTask *task = lfirst(lc);
		String *reason;

		most = Max(most, task->work);
		if (task->reason == NULL || task->work == MG_WORK_LOOKUP)
			continue;
		reason = makeString(unconstify(char *, task->reason));
		if (list_member(said, reason))
			continue;
		if (list_length(said) == MG_SHOWN)
		{
			more++;
			continue;
		}
		said = lappend(said, reason);
		mg_sentence(buf, task->reason);
	}
	if (more > 0)
		mg_sentence(buf, psprintf("and %d more like this", more));
	if (said == NIL && mg_work_phrase(most))
		mg_sentence(buf, mg_work_phrase(most));
}

/* The lock on the relation, the statement's own and the one held already. */
static void
mg_detail_lock(StringInfo buf, MgFootprint *fp, MgFinding *finding)
{
	MgEffect *eff = mg_effect_find(fp, finding->relid);
	LOCKMODE own = eff ? eff->lockmode : NoLock;
	const char *since = finding->held_since ? psprintf(" %s", finding->held_since) : "";

	/* an index may be locked more strongly than its table */
	if (finding->held <= own)
		own = finding->lockmode;
	if (finding->held > own && own >= ShareLock)
	{
		mg_sentence(buf,
					psprintf("%s blocks %s meanwhile", mg_lock_name(own), mg_lock_blocks(own)));
		mg_sentence(buf,
					psprintf("this transaction already holds %s on \"%s\"%s, which blocks %s",
							 mg_lock_name(finding->held), mg_situation_name(finding->relid), since,
							 strcmp(mg_lock_blocks(own), mg_lock_blocks(finding->held)) == 0
								 ? "them, too"
								 : "reads, too"));
	}
	else if (own == NoLock)
		mg_sentence(buf, psprintf("the statement has nothing to do with \"%s\", but this "
								  "transaction already holds %s on it%s, which blocks %s",
								  mg_situation_name(finding->relid), mg_lock_name(finding->held),
								  since, mg_lock_blocks(finding->held)));
	else if (finding->held > own)
		mg_sentence(buf,
					psprintf("the statement itself needs no more than %s, but this transaction "
							 "already holds %s on \"%s\"%s, which blocks %s",
							 mg_lock_name(own), mg_lock_name(finding->held),
							 mg_situation_name(finding->relid), since,
							 mg_lock_blocks(finding->held)));
	else
		mg_sentence(buf,
					psprintf("%s blocks %s meanwhile", mg_lock_name(own), mg_lock_blocks(own)));
}

/* How many partitions or children are worked on. */
static void
mg_detail_partitions(StringInfo buf, MgFinding *finding)
{
	int children = 0;
	ListCell *lc;

	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);

		if (eff->role == MG_ROLE_CHILD && eff->relkind == RELKIND_RELATION)
			children++;
	}
	if (children > 1)
		mg_sentence(buf, psprintf("the work is done on %d partitions or child tables", children));
}

/* Is this one of the relations to be named besides the one in the message? */
static bool
mg_is_bystander(MgFootprint *fp, MgFinding *finding, MgEffect *eff)
{
	return eff->relid != finding->relid && eff->relid != fp->target && eff->role != MG_ROLE_CHILD &&
		   eff->role != MG_ROLE_INDEX && eff->relkind != RELKIND_INDEX &&
		   eff->relkind != RELKIND_PARTITIONED_INDEX;
}

/* Other relations that are blocked, a few by name. */
static void
mg_detail_bystanders(StringInfo buf, MgFootprint *fp, MgFinding *finding, const char *blocks)
{
	StringInfoData names;
	int count = 0;
	ListCell *lc;

	initStringInfo(&names);
	foreach(lc, finding->blocked)
	{
		MgEffect *eff = lfirst(lc);
		const char *since;
		LOCKMODE mode = Max(eff->lockmode, mg_situation_held(fp->script, eff->relid, &since));

		if (!mg_is_bystander(fp, finding, eff) || strcmp(mg_lock_blocks(mode), blocks) != 0)
			continue;
		if (++count > MG_SHOWN)
			continue;
		appendStringInfo(&names, "%s\"%s\"", count > 1 ? ", " : "", mg_situation_name(eff->relid));
		if (since && mode > eff->lockmode)
			appendStringInfo(&names, " (%s)", since);
	}
	if (count > MG_SHOWN)
		appendStringInfo(&names, " and %d more", count - MG_SHOWN);
	if (count > 0)
		mg_sentence(buf, psprintf("%s %s %s are blocked as well", blocks, mg_preposition(blocks),
								  names.data));
}

static void
mg_word_detail(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_detail_reasons(&buf, finding);
	mg_detail_lock(&buf, fp, finding);
	mg_detail_partitions(&buf, finding);
	mg_detail_bystanders(&buf, fp, finding, "reads and writes");
	mg_detail_bystanders(&buf, fp, finding, "writes");
	mg_sentence(&buf, psprintf("rule %s", finding->rule->name));
	finding->detail = buf.data;
}

/* A finding of a rule about work: see MgCategory. */
void
mg_word_work(MgFootprint *fp, MgFinding *finding)
{
	mg_word_message(fp, finding);
	mg_word_detail(fp, finding);
}

/* A finding of a rule about the situation: see MgCategory. */
void
mg_word_situation(MgFootprint *fp, MgFinding *finding)
{
	Oid subject = OidIsValid(fp->target) ? fp->target : finding->relid;
	const char *operation = finding->operation;
	StringInfoData buf;
	ListCell *lc;

	if (operation == NULL)
		operation = finding->rule->operation;
	if (operation)
		finding->message = psprintf("%s \"%s\" %s", operation, mg_situation_name(subject),
									finding->danger);
	else
		finding->message = psprintf("%s %s", fp->command, finding->danger);
	initStringInfo(&buf);
	foreach(lc, finding->facts)
		mg_sentence(&buf, lfirst(lc));
	mg_sentence(&buf, psprintf("rule %s", finding->rule->name));
	finding->detail = buf.data;
}

/* What it means to standbys and subscribers, a line each. */
static void
mg_detail_replicas(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, mg_replica_facts(fp, finding))
	{
		resetStringInfo(&buf);
		mg_sentence(&buf, lfirst(lc));
		finding->detail = psprintf("%s\n%s", finding->detail, buf.data);
	}
}

/*
 * Put a finding into words: message, detail, hint.  In the current memory
 * context; reads catalogs.
 */
void
mg_word_finding(MgFootprint *fp, MgFinding *finding)
{
	finding->rule->category->word(fp, finding);
	mg_detail_replicas(fp, finding);
	if (finding->rule->advise)
	{
		MgIdentity saved;

		/* it looks at expressions that may be somebody else's */
		mg_become_owner(OidIsValid(fp->target) ? fp->target : finding->relid, &saved);
		if (mg_is_only_ill_timed(fp, finding))
			finding->hint = mg_advise_earlier(fp, finding);
		else
			finding->hint = finding->rule->advise(fp, finding);
		mg_become_self(&saved);
	}
}

/* ------------------------------------------------------------------------
 * Reporting
 * ------------------------------------------------------------------------ */

/* May the current user override?  Then say how; nobody else is to be tempted. */
static void
mg_say_override(MgFootprint *fp, StringInfo hint)
{
	if (!superuser() &&
		pg_parameter_aclcheck("migration_guard.override", GetUserId(), ACL_SET) != ACLCHECK_OK)
		return;
	if (mg_situation_in_block(fp->script))
		mg_say(hint, "To run it anyway: SET LOCAL migration_guard.override = 'reason';");
	else
		mg_say(
			hint,
			"To run it anyway: SET migration_guard.override = 'reason'; and RESET it afterwards.");
}

/*
 * Does this look like a restore?  Scripts of pg_dump begin with settings that
 * hardly anybody else uses together.
 */
static bool
mg_looks_like_restore(void)
{
	return mg_exempt_application() || (!check_function_bodies && !row_security);
}

/* All details, the first without its message, which is the primary one. */
static char *
mg_all_details(List *findings)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, findings)
	{
		MgFinding *finding = lfirst(lc);

		if (buf.len == 0)
			appendStringInfoString(&buf, finding->detail);
		else
			appendStringInfo(&buf, "\n%s. %s", finding->message, finding->detail);
	}
	return buf.data;
}

/* All advice, the same text once. */
static char *
mg_all_hints(MgFootprint *fp, List *findings, bool blocked)
{
	List *said = NIL;
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, findings)
	{
		char *hint = ((MgFinding *) lfirst(lc))->hint;

		if (hint == NULL || *hint == '\0' || list_member(said, makeString(hint)))
			continue;
		said = lappend(said, makeString(hint));
		mg_say(&buf, "%s", hint);
	}
	if (blocked && mg_looks_like_restore())
		mg_say(&buf,
			   "If this is a restore, connect with PGOPTIONS='-c migration_guard.mode=off', as "
			   "a superuser or as a role that was granted SET ON PARAMETER "
			   "migration_guard.mode.");
	if (blocked)
		mg_say_override(fp, &buf);
	return buf.data;
}

/* Names for the error fields; NULL where there is none. */
typedef struct MgFields
{
	const char *schema;
	const char *table;
	const char *column;
	const char *constraint; /* as core does, also for the name of an index */
} MgFields;

/* What a finding is about: its relation, and the first column and constraint of its work. */
static void
mg_fields(MgFinding *finding, MgFields *fields)
{
	Oid relid = finding->relid;
	char relkind = get_rel_relkind(relid);
	ListCell *lc;

	memset(fields, 0, sizeof(*fields));
	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
	{
		fields->constraint = get_rel_name(relid);
		relid = IndexGetRelation(relid, true);
	}
	fields->table = get_rel_name(relid);
	if (fields->table)
		fields->schema = get_namespace_name(get_rel_namespace(relid));
	foreach(lc, finding->tasks)
	{
		MgTask *task = lfirst(lc);

		if (fields->column == NULL)
			fields->column = task->column;
		if (fields->constraint == NULL)
			fields->constraint = task->constraint;
		if (fields->constraint == NULL && task->node && IsA(task->node, IndexStmt))
			fields->constraint = castNode(IndexStmt, task->node)->idxname;
	}
}

/* Put a name into the error that is being made, unless it is NULL. */
static int
mg_field(int field, const char *name)
{
	return name ? err_generic_string(field, name) : 0;
}

static int
mg_sqlstate(const MgRule *rule)
{
	const char *s = rule->sqlstate;

	return MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]);
}

/* The one message, at a level that fits the worst verdict. */
static void
mg_emit(MgFootprint *fp, List *findings)
{
	MgFinding *worst = linitial(findings);
	bool blocked = worst->verdict == MG_BLOCK;
	int elevel = blocked ? ERROR : worst->verdict == MG_WARN ? WARNING : LOG_SERVER_ONLY;
	char *detail = mg_all_details(findings);
	char *hint = mg_all_hints(fp, findings, blocked);
	MgFields fields;

	mg_fields(worst, &fields);
	ereport(elevel, (errcode(mg_sqlstate(worst->rule)),
					 worst->overridden ? errmsg("migration_guard override \"%s\": %s", mg_override,
												worst->message)
									   : errmsg("%s", worst->message),
					 errdetail("%s", detail), *hint ? errhint("%s", hint) : 0,
					 mg_field(PG_DIAG_SCHEMA_NAME, fields.schema),
					 mg_field(PG_DIAG_TABLE_NAME, fields.table),
					 mg_field(PG_DIAG_COLUMN_NAME, fields.column),
					 mg_field(PG_DIAG_CONSTRAINT_NAME, fields.constraint)));
}

/* ------------------------------------------------------------------------
 * Counting
 * ------------------------------------------------------------------------ */

/* One finding of a statement that is about to run. */
static void
mg_count_finding(const MgFinding *finding)
{
	int rule = finding->rule - mg_rules;

	/* the audit checks rewrites, and counts those itself */
	if (finding->rule->cause != MG_CAUSE_UNANNOUNCED)
		mg_stats_count(rule, MG_COUNT_CHECKED);
	if (finding->overridden)
		mg_stats_count(rule, MG_COUNT_OVERRIDDEN);
	else if (finding->verdict == MG_BLOCK)
		mg_stats_count(rule, MG_COUNT_BLOCKED);
	else if (finding->verdict == MG_WARN)
		mg_stats_count(rule, MG_COUNT_WARNED);
	else if (finding->verdict == MG_LOG)
		mg_stats_count(rule, MG_COUNT_LOGGED);
}

/*
 * Say what mg_judge() found: raises an error if the statement is refused, and
 * returns otherwise.  What was overridden goes to the server's log apart from
 * what remains to be warned about, for it is a record, not a warning.
 */
void
mg_report(MgFootprint *fp, List *findings)
{
	List *overridden = NIL;
	List *others = NIL;
	ListCell *lc;

	foreach(lc, fp->passed)
		mg_count_finding(lfirst(lc));
	foreach(lc, findings)
	{
		MgFinding *finding = lfirst(lc);

		mg_count_finding(finding);
		if (finding->overridden)
			overridden = lappend(overridden, finding);
		else
			others = lappend(others, finding);
	}
	if (overridden != NIL)
		mg_emit(fp, overridden);
	if (others != NIL)
		mg_emit(fp, others);
}

/*
 * A table is about to be rewritten, and the audit has compared that with what
 * was announced for the statement.  NULL: it was announced.  If not, fp has
 * the one effect that was missed: that is a mistake of the guard, or somebody
 * has changed the catalog meanwhile.  It is logged whatever the size, and
 * judged like everything else: raises an error if the rewrite is refused.
 */
void
mg_report_audit(MgFootprint *fp)
{
	int rule = mg_rule_find("unannounced_rewrite");
	MgEffect *eff;
	MgTask *task;

	mg_stats_count(rule, MG_COUNT_CHECKED);
	if (fp == NULL)
		return;
	mg_stats_count(rule, MG_COUNT_MISPREDICTED);
	eff = linitial(fp->effects);
	task = linitial(eff->tasks);
	ereport(LOG_SERVER_ONLY,
			errmsg("%s rewrites %s, which migration_guard had not foreseen", fp->command,
				   mg_qualified_name(eff->relid)),
			errdetail("The reason: %s.", task->reason));
	mg_report(fp, mg_judge(fp));
}
