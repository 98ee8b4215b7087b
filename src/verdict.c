/*
 * verdict.c
 *
 * Owns the decision: findings, thresholds and settings go in, verdicts come
 * out.  Nothing is read from the catalogs here, except by the functions that
 * word a finding once it is known that somebody will read it.
 */
#include "mg.h"

/* The name of a verdict, as check() shows it and migration_guard.rules takes it. */
const char *
mg_verdict_name(MgVerdict verdict)
{
	switch (verdict)
	{
		case MG_ALLOW:
			return "off";
		case MG_LOG:
			return "log";
		case MG_WARN:
			return "warn";
		case MG_BLOCK:
			return "block";
	}
	return NULL;
}

/* Is one of the two thresholds reached?  -1 is never, 0 is always. */
static bool
mg_reaches(const MgFinding *finding, int rows, int megabytes)
{
	if (rows >= 0 && finding->rows >= rows)
		return true;
	return megabytes >= 0 && finding->bytes >= (uint64) megabytes * 1024 * 1024;
}

/* Is a relation of this size one that somebody would be told about? */
bool
mg_is_large(double rows, uint64 bytes)
{
	MgFinding finding = {.rows = rows, .bytes = bytes};

	return mg_reaches(&finding, mg_warn_rows, mg_warn_size) ||
		   mg_reaches(&finding, mg_block_rows, mg_block_size);
}

/* What the size of the work alone asks for. */
static MgVerdict
mg_threshold_verdict(const MgFinding *finding)
{
	if (!finding->rule->sized)
		return MG_BLOCK;
	if (mg_reaches(finding, mg_block_rows, mg_block_size))
		return MG_BLOCK;
	if (mg_reaches(finding, mg_warn_rows, mg_warn_size))
		return MG_WARN;
	return MG_ALLOW;
}

/* A reason to override consists of more than white space. */
static bool
mg_override_given(void)
{
	return mg_override != NULL && mg_override[strspn(mg_override, " \t\r\n\f\v")] != '\0';
}

/* Thresholds, the rule's action, the mode, the override: in this order. */
static void
mg_decide(MgFinding *finding)
{
	MgVerdict cap = mg_rule_action(finding->rule - mg_rules);

	finding->verdict = Min(mg_threshold_verdict(finding), cap);
	switch ((MgMode) mg_mode)
	{
		case MG_MODE_ENFORCE:
			break;
		case MG_MODE_WARN:
			finding->verdict = Min(finding->verdict, MG_WARN);
			break;
		case MG_MODE_LOG:
			finding->verdict = Min(finding->verdict, MG_LOG);
			break;
		case MG_MODE_OFF:
			finding->verdict = MG_ALLOW;
			break;
	}
	if (finding->verdict == MG_BLOCK && mg_override_given())
	{
		finding->verdict = MG_LOG;
		finding->overridden = true;
	}
}

/* Worst first: block before warn before log, then what takes longer. */
static int
mg_worse(const ListCell *a, const ListCell *b)
{
	const MgFinding *fa = lfirst(a);
	const MgFinding *fb = lfirst(b);

	if (fa->verdict != fb->verdict)
		return fa->verdict > fb->verdict ? -1 : 1;
	if (fa->seconds != fb->seconds)
		return fa->seconds > fb->seconds ? -1 : 1;
	return fa->rule < fb->rule ? -1 : fa->rule > fb->rule;
}

/*
 * Judge a statement: the findings that somebody is to hear of, worst first,
 * in words.  NIL: let it pass.
 */
List *
mg_judge(MgFootprint *fp)
{
	List *judged = NIL;
	ListCell *lc;

	if (mg_mode == MG_MODE_OFF)
		return NIL;
	foreach(lc, mg_findings(fp))
	{
		MgFinding *finding = lfirst(lc);

		mg_decide(finding);
		if (finding->verdict > MG_ALLOW)
			judged = lappend(judged, finding);
		else
			fp->passed = lappend(fp->passed, finding);
	}
	list_sort(judged, mg_worse);
	foreach(lc, judged)
		mg_word_finding(fp, lfirst(lc));
	return judged;
}
