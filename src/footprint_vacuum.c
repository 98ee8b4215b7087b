/*
 * footprint_vacuum.c
 *
 * Owns the footprint of VACUUM and ANALYZE in all their forms.
 */
#include "mg.h"

#include "postmaster/bgworker_internals.h"

/* One VACUUM or ANALYZE under examination. */
typedef struct MgVacuum
{
	MgFootprint *fp;
	VacuumStmt *stmt;
	bool full;
	bool analyze;       /* ANALYZE, or VACUUM (ANALYZE) */
	bool skip_main;     /* PROCESS_MAIN off: only the TOAST table */
	bool no_toast;      /* PROCESS_TOAST off */
	bool all_pages;     /* DISABLE_PAGE_SKIPPING */
	bool only_database; /* ONLY_DATABASE_STATS: no table at all */
	bool skip_locked;
	int workers; /* PARALLEL; -1: not said */
} MgVacuum;

/* ------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------ */

static bool
mg_is_vacuum_option(const char *name)
{
	static const char *const options[] = {MG_VACUUM_OPTIONS};

	for (int i = 0; i < (int) lengthof(options); i++)
	{
		if (strcmp(options[i], name) == 0)
			return true;
	}
	return false;
}

/* PARALLEL n */
static void
mg_vacuum_parallel(MgVacuum *cx, DefElem *option)
{
	if (option->arg == NULL)
		mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR,
				   "parallel option requires a value between 0 and %d", MAX_PARALLEL_WORKER_LIMIT);
	else if (!IsA(option->arg, Integer))
		mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR, "%s requires an integer value", option->defname);
	else if (intVal(option->arg) < 0 || intVal(option->arg) > MAX_PARALLEL_WORKER_LIMIT)
		mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR,
				   "parallel workers for vacuum must be between 0 and %d",
				   MAX_PARALLEL_WORKER_LIMIT);
	else
		cx->workers = intVal(option->arg);
}

/* One option.  Follows ExecVacuum(). */
static void
mg_vacuum_option(MgVacuum *cx, DefElem *option)
{
	const char *name = option->defname;

	if (strcmp(name, "verbose") == 0)
		return;
	if (strcmp(name, "skip_locked") == 0)
		cx->skip_locked = mg_option_is_on(option);
	else if (!cx->stmt->is_vacuumcmd && !MG_IS_ANALYZE_OPTION(name))
		mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR, "unrecognized ANALYZE option \"%s\"", name);
	else if (!mg_is_vacuum_option(name))
		mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR, "unrecognized VACUUM option \"%s\"", name);
	else if (strcmp(name, "analyze") == 0)
		cx->analyze = mg_option_is_on(option);
	else if (strcmp(name, "full") == 0)
		cx->full = mg_option_is_on(option);
	else if (strcmp(name, "disable_page_skipping") == 0)
		cx->all_pages = mg_option_is_on(option);
	else if (strcmp(name, "process_toast") == 0)
		cx->no_toast = !mg_option_is_on(option);
	else if (strcmp(name, "process_main") == 0)
		cx->skip_main = !mg_option_is_on(option);
	else if (strcmp(name, "only_database_stats") == 0)
		cx->only_database = mg_option_is_on(option);
	else if (strcmp(name, "parallel") == 0)
		mg_vacuum_parallel(cx, option);
}

/* All options, and what core says to their combination. */
static bool
mg_vacuum_options(MgVacuum *cx)
{
	MgFootprint *fp = cx->fp;
	ListCell *lc;

	foreach(lc, cx->stmt->options)
		mg_vacuum_option(cx, lfirst_node(DefElem, lc));
	if (cx->full && cx->workers > 0)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "VACUUM FULL cannot be performed in parallel");
	foreach(lc, cx->stmt->rels)
	{
		if (!cx->analyze && lfirst_node(VacuumRelation, lc)->va_cols != NIL)
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "ANALYZE option must be specified when a column list is provided");
	}
	if (cx->full && cx->all_pages)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "VACUUM option DISABLE_PAGE_SKIPPING cannot be used with FULL");
	if (cx->full && cx->no_toast)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED, "PROCESS_TOAST required with VACUUM FULL");
	return fp->problem == NULL;
}

/* ------------------------------------------------------------------------
 * Relations
 * ------------------------------------------------------------------------ */

/* As vacuum_is_permitted_for_relation(): others' tables are skipped with a warning. */
static bool
mg_may_vacuum(Oid relid, bool shared)
{
	return mg_may_maintain(relid) || (!shared && mg_owns(DatabaseRelationId, MyDatabaseId));
}

/* What VACUUM does with a relation that it may work on. */
static void
mg_vacuum_work(MgVacuum *cx, MgEffect *eff)
{
	if (eff->relkind == RELKIND_PARTITIONED_TABLE)
		mg_note(eff, "the work is done on its partitions");
	else if (eff->relkind != RELKIND_RELATION && eff->relkind != RELKIND_MATVIEW &&
			 eff->relkind != RELKIND_TOASTVALUE)
		mg_note(eff, "it is locked for a moment, then skipped: it is not a table");
	else if (cx->skip_main)
		mg_note(eff, "only its TOAST table is vacuumed");
	else if (cx->full)
		mg_rewrite_table(cx->fp, eff, MG_CAUSE_VACUUM_FULL, (Node *) cx->stmt,
						 "the table is copied to new files");
	else
		mg_note(eff, "rows that have changed since the last vacuum are read; nobody is blocked");
}

/* What ANALYZE does. */
static void
mg_analyze_work(MgEffect *eff)
{
	if (eff->relkind == RELKIND_PARTITIONED_TABLE)
		mg_note(eff, "a sample of the rows of its partitions is read");
	else if (eff->relkind != RELKIND_RELATION && eff->relkind != RELKIND_MATVIEW &&
			 eff->relkind != RELKIND_FOREIGN_TABLE)
		mg_note(eff, "it is locked for a moment, then skipped: it is not a table");
	else
		mg_note(eff, "a sample of the rows is read; nobody is blocked");
}

/* One relation.  Follows vacuum_rel() and analyze_rel(). */
static void
mg_vacuum_relation(MgVacuum *cx, Oid relid, MgRole role)
{
	LOCKMODE lockmode = cx->full ? AccessExclusiveLock : ShareUpdateExclusiveLock;
	MgEffect *eff = mg_effect(cx->fp, relid, lockmode, role, NULL);

	if (cx->skip_locked)
		mg_note(eff, "it is passed over if the lock is not to be had at once");
	if (!mg_may_vacuum(relid, IsSharedRelation(relid)))
		mg_note(eff, "it is locked for a moment, then skipped: it belongs to somebody else");
	else if (isOtherTempNamespace(get_rel_namespace(relid)))
		mg_note(eff, "it is locked for a moment, then skipped: it is another session's");
	else if (cx->stmt->is_vacuumcmd)
		mg_vacuum_work(cx, eff);
	else
		mg_analyze_work(eff);
}

static bool
mg_vacuum_selects(Form_pg_class form, void *arg)
{
	(void) arg;
	return (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_MATVIEW ||
			form->relkind == RELKIND_PARTITIONED_TABLE) &&
		   mg_may_vacuum(form->oid, form->relisshared);
}

/* A named relation, and its partitions; from 18 on, all descendants.  Follows expand_vacuum_rel(). */
static void
mg_vacuum_named(MgVacuum *cx, VacuumRelation *named)
{
	MgFootprint *fp = cx->fp;
	bool descend;
	Oid relid;
	ListCell *lc;

	if (named->relation == NULL)
		return;
	relid = mg_lookup_relation(fp, named->relation, false);
	if (!OidIsValid(relid))
		return;
	if (!OidIsValid(fp->target))
		fp->target = relid;
	if (mg_may_vacuum(relid, IsSharedRelation(relid)))
		mg_vacuum_relation(cx, relid, MG_ROLE_TARGET);
	descend = named->relation->inh &&
			  (MG_PG_VACUUM_DESCENDS || get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE);
	foreach(lc, mg_tree(relid, descend))
	{
		if (lfirst_oid(lc) != relid)
			mg_vacuum_relation(cx, lfirst_oid(lc), MG_ROLE_CHILD);
	}
}

/* VACUUM and ANALYZE.  stmt: a VacuumStmt.  Follows vacuum() of vacuum.c. */
void
mg_footprint_vacuum(MgFootprint *fp, Node *node)
{
	MgVacuum cx = {.fp = fp, .stmt = castNode(VacuumStmt, node), .workers = -1};
	ListCell *lc;

	cx.analyze = !cx.stmt->is_vacuumcmd;
	if (!mg_vacuum_options(&cx))
		return;
	fp->no_block = cx.stmt->is_vacuumcmd;
	if (cx.only_database)
		return;
	if (cx.stmt->rels == NIL)
	{
		foreach(lc, mg_relations_where(mg_vacuum_selects, NULL))
			mg_vacuum_relation(&cx, lfirst_oid(lc), MG_ROLE_TARGET);
		return;
	}
	foreach(lc, cx.stmt->rels)
		mg_vacuum_named(&cx, lfirst_node(VacuumRelation, lc));
}
