/*
 * rules.c
 *
 * Owns the table of rules and the way from a footprint to findings.
 *
 * A rule of the category "blocking work" looks at one cause of work.  It
 * applies when the statement does such work on rows that are there, while
 * somebody is kept from a relation that matters: the lock may be the
 * statement's own, or one that the transaction holds already.  How much work
 * it is gets summed up over all relations, so a partitioned table gives one
 * finding.  Whether that is too much is not decided here: see verdict.c.
 *
 * To add a rule: a row below, an advice function (advice.h), a task with its
 * cause in the footprint, a line in the documentation, and tests.
 */
#include "mg.h"

#include "advice.h"
#include "usage.h"

static MgFinding *mg_find_work(MgInquiry *inquiry, const MgRule *rule);
static MgFinding *mg_find_situation(MgInquiry *inquiry, const MgRule *rule);

static const MgCategory mg_blocking = {"blocking work", mg_find_work, mg_word_work};
static const MgCategory mg_lock_queue = {"lock queue", mg_find_situation, mg_word_queue};
static const MgCategory mg_shape = {"transaction shape", mg_find_situation, mg_word_situation};
static const MgCategory mg_leftovers = {"leftovers", mg_find_situation, mg_word_situation};
static const MgCategory mg_replication = {"replication", mg_find_situation, mg_word_situation};
static const MgCategory mg_destructive = {"destructive", mg_find_situation, mg_word_situation};
static const MgCategory mg_self_audit = {"self-audit", mg_find_work, mg_word_work};

/*
 * Is there work on some relation that is not rewritten as well?  The finding
 * about a rewrite covers the indexes and constraints of the same relation.
 */
static bool
mg_not_rewritten(MgFootprint *fp pg_attribute_unused(), MgFinding *finding)
{
	ListCell *lc;

	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);
		bool rewritten = false;
		bool work = false;
		ListCell *lc2;

		foreach(lc2, eff->tasks)
		{
			MgTask *task = lfirst(lc2);

			rewritten |= task->cause == MG_CAUSE_ALTER_TYPE;
			work |= task->cause == finding->rule->cause && task->work > MG_WORK_LOOKUP;
		}
		if (work && !rewritten)
			return true;
	}
	return false;
}

const MgRule mg_rules[] = {
	{"add_column_rewrite", "MG101", &mg_blocking, "ADD COLUMN to", MG_BLOCK, MG_CAUSE_ADD_COLUMN,
	 true, NULL, mg_advise_add_column_rewrite,
	 "a new column whose default or type makes the server rewrite the table",
	 "add the column without default, set the default, fill existing rows in batches"},
	{"add_column_check", "MG102", &mg_blocking, "ADD COLUMN with CHECK to", MG_BLOCK,
	 MG_CAUSE_ADD_COLUMN_CHECK, true, NULL, mg_advise_add_column_check,
	 "a new column with a CHECK constraint, for which all rows are read",
	 "add the column, then the constraint NOT VALID, then VALIDATE it"},
	{"add_column_not_null", "MG103", &mg_blocking, "ADD COLUMN NOT NULL without a default to",
	 MG_BLOCK, MG_CAUSE_ADD_COLUMN_NOT_NULL, true, NULL, mg_advise_add_column_not_null,
	 "a new NOT NULL column without default, which fails on a table with rows after reading them",
	 "give it a default, or add it nullable, fill it in batches, then set NOT NULL safely"},
	{"add_check", "MG104", &mg_blocking, "ADD CHECK to", MG_BLOCK, MG_CAUSE_ADD_CHECK, true, NULL,
	 mg_advise_add_check, "a CHECK constraint that is verified while writes or reads are blocked",
	 "add it NOT VALID, then VALIDATE it in another transaction"},
	{"add_foreign_key", "MG105", &mg_blocking, "ADD FOREIGN KEY to", MG_BLOCK,
	 MG_CAUSE_ADD_FOREIGN_KEY, true, NULL, mg_advise_add_foreign_key,
	 "a foreign key that is validated while writes to both tables are blocked",
	 "add it NOT VALID, then VALIDATE it in another transaction"},
	{"validate_constraint", "MG106", &mg_blocking, "VALIDATE CONSTRAINT on", MG_BLOCK,
	 MG_CAUSE_VALIDATE, true, NULL, mg_advise_validate_constraint,
	 "a constraint validated under a strong lock of the same statement or transaction",
	 "VALIDATE it in a statement and a transaction of its own"},
	{"add_unique", "MG107", &mg_blocking, "ADD UNIQUE to", MG_BLOCK, MG_CAUSE_ADD_UNIQUE, true,
	 NULL, mg_advise_add_unique,
	 "a UNIQUE constraint whose index is built while reads and writes are blocked",
	 "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... UNIQUE USING INDEX"},
	{"add_primary_key", "MG108", &mg_blocking, "ADD PRIMARY KEY to", MG_BLOCK,
	 MG_CAUSE_ADD_PRIMARY_KEY, true, NULL, mg_advise_add_primary_key,
	 "a primary key whose index is built while reads and writes are blocked",
	 "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... PRIMARY KEY USING INDEX"},
	{"add_exclusion", "MG109", &mg_blocking, "ADD EXCLUDE to", MG_BLOCK, MG_CAUSE_ADD_EXCLUSION,
	 true, NULL, mg_advise_add_exclusion,
	 "an exclusion constraint whose index is built while reads and writes are blocked",
	 "there is no online form: a new table, or a maintenance window"},
	{"primary_key_using_index", "MG110", &mg_blocking, "ADD PRIMARY KEY USING INDEX to", MG_BLOCK,
	 MG_CAUSE_PRIMARY_KEY_USING_INDEX, true, NULL, mg_advise_primary_key_using_index,
	 "a primary key from an index on nullable columns, for which all rows are read",
	 "make the columns NOT NULL first, by way of a validated CHECK"},
	{"set_not_null", "MG111", &mg_blocking, "SET NOT NULL on", MG_BLOCK, MG_CAUSE_SET_NOT_NULL,
	 true, NULL, mg_advise_set_not_null,
	 "SET NOT NULL that no valid CHECK proves, for which all rows are read",
	 "18 and later: ADD NOT NULL ... NOT VALID, VALIDATE it; before: the same by way of a CHECK"},
	{"alter_column_type", "MG112", &mg_blocking, "ALTER COLUMN TYPE on", MG_BLOCK,
	 MG_CAUSE_ALTER_TYPE, true, NULL, mg_advise_alter_column_type,
	 "a change of type that makes the server rewrite the table",
	 "a new column kept in step by a trigger, filled in batches, then swapped"},
	{"alter_column_type_dependents", "MG113", &mg_blocking, "ALTER COLUMN TYPE on", MG_BLOCK,
	 MG_CAUSE_ALTER_TYPE_DEPENDENTS, true, mg_not_rewritten, mg_advise_alter_column_type_dependents,
	 "a change of type that rebuilds indexes or verifies constraints again",
	 "drop what depends on the column, alter, and make it anew without blocking"},
	{"set_logged", "MG114", &mg_blocking, "SET LOGGED on", MG_BLOCK, MG_CAUSE_SET_LOGGED, true,
	 NULL, mg_advise_set_logged, "SET LOGGED or UNLOGGED, which rewrites the table",
	 "there is no online form: a new table filled in batches, or a maintenance window"},
	{"set_access_method", "MG115", &mg_blocking, "SET ACCESS METHOD on", MG_BLOCK,
	 MG_CAUSE_SET_ACCESS_METHOD, true, NULL, mg_advise_set_access_method,
	 "SET ACCESS METHOD, which rewrites the table",
	 "there is no online form: a new table filled in batches, or a maintenance window"},
	{"set_tablespace", "MG116", &mg_blocking, "SET TABLESPACE on", MG_BLOCK,
	 MG_CAUSE_SET_TABLESPACE, true, NULL, mg_advise_set_tablespace,
	 "SET TABLESPACE, which copies the files while reads and writes are blocked",
	 "for an index REINDEX (TABLESPACE ...) CONCURRENTLY, for a table pg_repack --tablespace"},
	{"attach_partition", "MG117", &mg_blocking, "ATTACH PARTITION to", MG_BLOCK,
	 MG_CAUSE_ATTACH_PARTITION, true, NULL, mg_advise_attach_partition,
	 "ATTACH PARTITION that reads the new or the default partition in full",
	 "first add and VALIDATE a CHECK that proves the partition's bounds"},
	{"attach_partition_index", "MG118", &mg_blocking, "ATTACH PARTITION to", MG_BLOCK,
	 MG_CAUSE_ATTACH_PARTITION_INDEX, true, NULL, mg_advise_attach_partition,
	 "ATTACH PARTITION that builds indexes of the parent on the new partition",
	 "first CREATE INDEX CONCURRENTLY on the partition"},
	{"detach_partition", "MG119", &mg_blocking, "DETACH PARTITION from", MG_BLOCK,
	 MG_CAUSE_DETACH_PARTITION, true, NULL, mg_advise_detach_partition,
	 "DETACH PARTITION that reads the tables with foreign keys to the parent",
	 "DETACH PARTITION ... CONCURRENTLY"},
	{"create_partition", "MG120", &mg_blocking, "CREATE TABLE PARTITION OF", MG_BLOCK,
	 MG_CAUSE_CREATE_PARTITION, true, NULL, mg_advise_create_partition,
	 "CREATE TABLE ... PARTITION OF that reads the default partition in full",
	 "first add and VALIDATE a CHECK on the default partition; create the table apart and ATTACH it"},
	{"create_index", "MG121", &mg_blocking, "CREATE INDEX on", MG_BLOCK, MG_CAUSE_CREATE_INDEX,
	 true, NULL, mg_advise_create_index, "an index built while writes are blocked",
	 "CREATE INDEX CONCURRENTLY; for a partitioned table on each partition, then ATTACH"},
	{"reindex", "MG122", &mg_blocking, "REINDEX of", MG_BLOCK, MG_CAUSE_REINDEX, true, NULL,
	 mg_advise_reindex, "an index rebuilt while writes, and reads that would use it, are blocked",
	 "REINDEX ... CONCURRENTLY"},
	{"vacuum_full", "MG123", &mg_blocking, "VACUUM FULL of", MG_BLOCK, MG_CAUSE_VACUUM_FULL, true,
	 NULL, mg_advise_vacuum_full, "VACUUM FULL, which rewrites the table",
	 "plain VACUUM to reuse the space; to give it back pg_repack, since 19 REPACK (CONCURRENTLY)"},
	{"cluster", "MG124", &mg_blocking, "CLUSTER of", MG_BLOCK, MG_CAUSE_CLUSTER, true, NULL,
	 mg_advise_cluster, "CLUSTER, which rewrites the table",
	 "pg_repack --order-by; since 19 REPACK (CONCURRENTLY) ... USING INDEX"},
	{"refresh_matview", "MG125", &mg_blocking, "REFRESH MATERIALIZED VIEW on", MG_BLOCK,
	 MG_CAUSE_REFRESH_MATVIEW, true, NULL, mg_advise_refresh_matview,
	 "REFRESH MATERIALIZED VIEW, which blocks reads while its query runs",
	 "REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index"},
	{"alter_domain", "MG126", &mg_blocking, "ALTER DOMAIN", MG_BLOCK, MG_CAUSE_ALTER_DOMAIN, true,
	 NULL, mg_advise_alter_domain,
	 "a constraint of a domain, verified on all tables with columns of the domain",
	 "add it as CHECK ... NOT VALID and leave it so; look for old rows by queries"},
	{"create_table_as", "MG127", &mg_blocking, "CREATE TABLE AS", MG_BLOCK,
	 MG_CAUSE_CREATE_TABLE_AS, true, NULL, mg_advise_create_table_as,
	 "a query that is read to its end while the transaction holds strong locks",
	 "run it in a transaction of its own, before or after the one that holds the locks"},
	{"set_expression", "MG128", &mg_blocking, "SET EXPRESSION on", MG_BLOCK,
	 MG_CAUSE_SET_EXPRESSION, true, NULL, mg_advise_set_expression,
	 "another expression of a generated column, which rewrites the table (17 and later)",
	 "a plain column computed by a trigger, the rows that are there in batches"},
	{"alter_constraint", "MG129", &mg_blocking, "ALTER CONSTRAINT on", MG_BLOCK,
	 MG_CAUSE_ALTER_CONSTRAINT, true, NULL, mg_advise_alter_constraint,
	 "ALTER CONSTRAINT ENFORCED or INHERIT, for which all rows are read (18 and later)",
	 "make the constraint anew NOT VALID, then VALIDATE it"},
	{"repack", "MG132", &mg_blocking, "REPACK of", MG_BLOCK, MG_CAUSE_REPACK, true, NULL,
	 mg_advise_repack, "REPACK without CONCURRENTLY, which rewrites the table (19 and later)",
	 "REPACK (CONCURRENTLY), which needs a primary key or replica identity"},
	{"add_not_null", "MG133", &mg_blocking, "ADD NOT NULL to", MG_BLOCK, MG_CAUSE_ADD_NOT_NULL,
	 true, NULL, mg_advise_add_not_null,
	 "a NOT NULL constraint that is verified while reads and writes are blocked (18 and later)",
	 "add it NOT VALID, then VALIDATE it in another transaction"},
	{"lock_queue", "MG201", &mg_lock_queue, "", MG_WARN, MG_CAUSE_NONE, false, mg_would_queue, NULL,
	 "a lock that others' transactions hold up as of now; check() names them",
	 "finish or end those transactions first, or run it when they are gone"},
	{"several_tables", "MG301", &mg_shape, NULL, MG_WARN, MG_CAUSE_NONE, false, mg_locks_several,
	 mg_advise_several_tables,
	 "a strong lock on a second large table in one transaction, while one on another is held",
	 "each large table in a transaction of its own"},
	{"ddl_after_dml", "MG302", &mg_shape, NULL, MG_WARN, MG_CAUSE_NONE, false, mg_follows_writes,
	 mg_advise_ddl_after_dml,
	 "a strong lock on a table that the same transaction has written to, if those are many rows or "
	 "the table is large",
	 "commit what is written, in batches, before the table is altered"},
	{"replica_identity", "MG401", &mg_replication, NULL, MG_WARN, MG_CAUSE_NONE, false,
	 mg_loses_replica_identity, mg_advise_replica_identity,
	 "a published table without a replica identity, on which UPDATE and DELETE will fail",
	 "give it another identity first: ALTER TABLE ... REPLICA IDENTITY"},
	{"drop_table", "MG501", &mg_destructive, NULL, MG_WARN, MG_CAUSE_NONE, false, mg_drops_used,
	 mg_advise_drop_table, "a table or view that is dropped while it is in use",
	 "first deploy an application without it; REVOKE shows who misses it, and GRANT gives it back"},
	{"truncate", "MG502", &mg_destructive, NULL, MG_WARN, MG_CAUSE_NONE, false, mg_truncates_used,
	 mg_advise_truncate, "TRUNCATE of a table in use", "DELETE in batches"},
	{"drop_column", "MG503", &mg_destructive, NULL, MG_WARN, MG_CAUSE_NONE, false,
	 mg_drops_used_column, mg_advise_drop_column, "a column that is dropped from a table in use",
	 "first deploy an application that does not name it"},
	{"rename", "MG504", &mg_destructive, NULL, MG_WARN, MG_CAUSE_NONE, false, mg_renames_used,
	 mg_advise_rename, "RENAME or SET SCHEMA of a table, view or column in use",
	 "leave a view under the old name, in the same transaction; for a column, add a new one"},
	{"drop_index", "MG505", &mg_destructive, NULL, MG_WARN, MG_CAUSE_NONE, false,
	 mg_drops_used_index, mg_advise_drop_index,
	 "an index that is dropped though queries use it and no other can stand in for it",
	 "first find those queries; keep the statement that makes it again"},
	{"drop_fk_index", "MG506", &mg_destructive, NULL, MG_WARN, MG_CAUSE_NONE, true,
	 mg_drops_fkey_index, mg_advise_drop_fk_index,
	 "the last index that serves a foreign key of a large table",
	 "CREATE INDEX CONCURRENTLY another one first"},
	{"fk_without_index", "MG507", &mg_destructive, NULL, MG_WARN, MG_CAUSE_NONE, true,
	 mg_adds_fkey_without_index, mg_advise_add_foreign_key,
	 "a new foreign key of a large table without an index on its columns",
	 "CREATE INDEX CONCURRENTLY on the referencing columns first"},
	{"invalid_index", "MG601", &mg_leftovers, "CREATE INDEX IF NOT EXISTS on", MG_BLOCK,
	 MG_CAUSE_INVALID_INDEX, false, mg_skips_invalid_index, mg_advise_invalid_index,
	 "CREATE INDEX IF NOT EXISTS that would skip an invalid index left by a failed build",
	 "DROP INDEX CONCURRENTLY, then run it again"},
	{"concurrently_timeout", "MG602", &mg_leftovers, NULL, MG_WARN, MG_CAUSE_NONE, false,
	 mg_may_be_cancelled, mg_advise_concurrently_timeout,
	 "CONCURRENTLY under a timeout that may cancel it half-way, because it has to wait for others "
	 "or works too long",
	 "SET lock_timeout = 0 and SET statement_timeout = 0 for that statement"},
	{"unannounced_rewrite", "MG701", &mg_self_audit, "unforeseen rewrite of", MG_BLOCK,
	 MG_CAUSE_UNANNOUNCED, true, NULL, mg_advise_unannounced_rewrite,
	 "a rewrite that was not foreseen when the statement was judged",
	 "run it again, for it is judged by the catalog as it is then; if that does not help, report it"},
};

const int mg_nrules = lengthof(mg_rules);

/* Index of a rule in mg_rules, or -1. */
int
mg_rule_find(const char *name)
{
	for (int i = 0; i < mg_nrules; i++)
	{
		if (strcmp(mg_rules[i].name, name) == 0)
			return i;
	}
	return -1;
}

/*
 * The lock on an effect's relation while the statement works: its own, or a
 * stronger one that the transaction holds already.
 */
static LOCKMODE
mg_effective_lock(MgFootprint *fp, MgEffect *eff)
{
	const char *since;
	LOCKMODE held = mg_situation_held(fp->script, eff->relid, &since);

	return Max(eff->lockmode, held);
}

/*
 * Relations that others are kept from, as far as that matters: locked against
 * writes at least, and not new, temporary, empty, or a system catalog.
 */
static List *
mg_blocked(MgFootprint *fp)
{
	List *blocked = NIL;
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);

		if (mg_effective_lock(fp, eff) >= ShareLock && !mg_effect_exempt(eff))
			blocked = lappend(blocked, eff);
	}
	return blocked;
}

/* Does a partitioned table or index stand for its leaves here? */
static bool
mg_is_sum(const MgEffect *eff)
{
	return eff->relkind == RELKIND_PARTITIONED_TABLE || eff->relkind == RELKIND_PARTITIONED_INDEX;
}

/*
 * An effect with nothing but the tasks that a rule looks at.  *lookup: they do
 * no more than look rows up.
 */
static MgEffect
mg_share(MgEffect *eff, MgCause cause, bool *lookup)
{
	MgEffect share;
	ListCell *lc;

	mg_size_effect(eff);
	share = *eff;
	share.tasks = NIL;
	*lookup = true;
	foreach(lc, eff->tasks)
	{
		MgTask *task = lfirst(lc);

		if (task->cause != cause)
			continue;
		share.tasks = lappend(share.tasks, task);
		if (task->work > MG_WORK_LOOKUP)
			*lookup = false;
	}
	return share;
}

/*
 * Add up the work on the relations of a finding.  Looking rows up by key
 * counts neither rows nor bytes; a partitioned parent counts only where its
 * leaves are not in the footprint themselves.  False: no rows are there to
 * work on.
 */
static bool
mg_add_up(MgFinding *finding)
{
	bool leaves = false;
	bool work = false;
	ListCell *lc;

	foreach(lc, finding->worked)
		leaves |= !mg_is_sum(lfirst(lc));

	foreach(lc, finding->worked)
	{
		MgEffect *eff = lfirst(lc);
		MgEffect share;
		bool lookup;

		if (leaves && mg_is_sum(eff))
			continue;
		share = mg_share(eff, finding->rule->cause, &lookup);
		finding->seconds += mg_effect_seconds(&share);
		if (lookup || share.size.heap == 0)
			continue;
		work = true;
		finding->rows += share.size.rows;
		finding->bytes += mg_effect_bytes(&share);
	}
	return work;
}

/* Is the effect's relation an index of relid? */
static bool
mg_is_index_of(const MgEffect *eff, Oid relid)
{
	Form_pg_index form;

	if (eff->relkind != RELKIND_INDEX && eff->relkind != RELKIND_PARTITIONED_INDEX)
		return false;
	form = mg_index_form(eff->relid);
	return form && form->indrelid == relid;
}

/*
 * Which relation the finding is about: the one that the statement names, or
 * else the largest of those that are both blocked and worked on, or else the
 * largest that is blocked.
 */
static MgEffect *
mg_pick_blocked(MgFootprint *fp, MgFinding *finding)
{
	MgEffect *pick = NULL;
	bool pick_worked = false;
	ListCell *lc;

	foreach(lc, finding->blocked)
	{
		MgEffect *eff = lfirst(lc);
		bool worked = false;
		ListCell *lc2;

		if (eff->relid == fp->target)
			return eff;
		foreach(lc2, eff->tasks)
			worked |= ((MgTask *) lfirst(lc2))->cause == finding->rule->cause;
		mg_size_effect(eff);
		if (pick == NULL || worked > pick_worked ||
			(worked == pick_worked && eff->size.rows > pick->size.rows))
		{
			pick = eff;
			pick_worked = worked;
		}
	}
	return pick;
}

/*
 * Does a lock on one relation keep others from the picked one, too?  Who wants
 * to read a table has to lock its indexes, and who wants to read a partitioned
 * one also its partitions.
 */
static bool
mg_is_part_of(MgEffect *eff, MgEffect *pick)
{
	if (eff == pick || mg_is_index_of(eff, pick->relid))
		return true;
	return pick->relkind == RELKIND_PARTITIONED_TABLE &&
		   (eff->role == MG_ROLE_CHILD || eff->role == MG_ROLE_INDEX);
}

/* Pick the relation, and find the strongest lock on it and on its parts. */
static void
mg_pick_relation(MgFootprint *fp, MgFinding *finding)
{
	MgEffect *pick = mg_pick_blocked(fp, finding);
	ListCell *lc;

	finding->relid = pick->relid;
	finding->held = mg_situation_held(fp->script, pick->relid, &finding->held_since);
	foreach(lc, finding->blocked)
	{
		MgEffect *eff = lfirst(lc);

		if (mg_is_part_of(eff, pick))
			finding->lockmode = Max(finding->lockmode, mg_effective_lock(fp, eff));
	}
}

/* The work that a rule looks at; NULL if there is none. */
static MgFinding *
mg_gather(MgFootprint *fp, const MgRule *rule)
{
	MgFinding *finding = NULL;
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);
		ListCell *lc2;

		foreach(lc2, eff->tasks)
		{
			MgTask *task = lfirst(lc2);

			if (task->cause != rule->cause)
				continue;
			if (finding == NULL)
			{
				finding = palloc0(sizeof(MgFinding));
				finding->rule = rule;
			}
			finding->tasks = lappend(finding->tasks, task);
			if (finding->worked == NIL || llast(finding->worked) != eff)
				finding->worked = lappend(finding->worked, eff);
		}
	}
	return finding;
}

/* Which causes occur at all: most statements have none. */
static uint64
mg_causes(MgFootprint *fp)
{
	uint64 causes = 0;
	ListCell *lc;

	StaticAssertStmt(MG_CAUSE_INVALID_INDEX < 64, "causes do not fit into a bit mask");
	foreach(lc, fp->effects)
	{
		ListCell *lc2;

		foreach(lc2, ((MgEffect *) lfirst(lc))->tasks)
			causes |= UINT64CONST(1) << ((MgTask *) lfirst(lc2))->cause;
	}
	return causes & ~UINT64CONST(1);
}

/* What is known about a statement, for all rules. */
struct MgInquiry
{
	MgFootprint *fp;
	uint64 causes; /* those that occur, as a mask */
	List *blocked; /* of MgEffect: see mg_blocked() */
	bool asked;    /* held is filled in */
	List *held;    /* of MgEffect: see mg_held_meanwhile() */
};

/* Is there a task with this cause, or is it none, so that the rule has to see for itself? */
static inline bool
mg_occurs(const MgInquiry *inquiry, MgCause cause)
{
	return cause == MG_CAUSE_NONE || (inquiry->causes & (UINT64CONST(1) << cause)) != 0;
}

/*
 * What is blocked while the work for a cause is done: what the statement
 * locks, and all that the transaction has locked before, wherever the work is.
 * A query that is read to its end has the latter alone, for the lock of
 * REFRESH CONCURRENTLY does not count: nobody else writes to a materialized
 * view.
 */
static List *
mg_blocked_meanwhile(MgInquiry *inquiry, MgCause cause)
{
	List *blocked = NIL;
	ListCell *lc;

	foreach(lc, inquiry->blocked)
	{
		MgEffect *eff = lfirst(lc);

		if (cause != MG_CAUSE_CREATE_TABLE_AS ||
			mg_situation_held(inquiry->fp->script, eff->relid, NULL) >= ShareLock)
			blocked = lappend(blocked, eff);
	}
	if (!inquiry->asked)
		inquiry->held = mg_held_meanwhile(inquiry->fp);
	inquiry->asked = true;
	return list_concat(blocked, inquiry->held);
}

/* A rule about work that is done while others are kept from a relation. */
static MgFinding *
mg_find_work(MgInquiry *inquiry, const MgRule *rule)
{
	MgFootprint *fp = inquiry->fp;
	MgFinding *finding;

	if (inquiry->blocked == NIL && !mg_situation_in_block(fp->script))
		return NULL;
	finding = mg_gather(fp, rule);
	if (!mg_add_up(finding))
		return NULL;
	finding->blocked = mg_blocked_meanwhile(inquiry, rule->cause);
	if (finding->blocked == NIL)
		return NULL;
	mg_pick_relation(fp, finding);
	return rule->applies == NULL || rule->applies(fp, finding) ? finding : NULL;
}

/* A rule about something else: it knows best what it looks at.  Most do not apply. */
static MgFinding *
mg_find_situation(MgInquiry *inquiry, const MgRule *rule)
{
	MgFootprint *fp = inquiry->fp;
	MgFinding finding = {.rule = rule};
	MgFinding *result;

	if (rule->cause != MG_CAUSE_NONE)
		finding = *mg_gather(fp, rule);
	finding.relid = fp->target;
	if (!rule->applies(fp, &finding))
		return NULL;
	result = palloc(sizeof(MgFinding));
	*result = finding;
	return result;
}

/*
 * All findings of a statement, in the order of the table above, without
 * verdict and without words.  A statement that core will refuse has none, so
 * that core's own error comes first; nor is there work under locks in one that
 * commits inside, because it blocks nobody.
 */
List *
mg_findings(MgFootprint *fp)
{
	MgInquiry inquiry = {.fp = fp};
	List *findings = NIL;

	if (fp->problem != NULL || fp->effects == NIL)
		return NIL;

	inquiry.causes = mg_causes(fp);
	if (inquiry.causes != 0 && !fp->concurrent)
		inquiry.blocked = mg_blocked(fp);
	for (int i = 0; i < mg_nrules; i++)
	{
		const MgRule *rule = &mg_rules[i];
		MgFinding *finding;

		if (!mg_occurs(&inquiry, rule->cause))
			continue;
		finding = rule->category->find(&inquiry, rule);
		if (finding)
			findings = lappend(findings, finding);
	}
	return findings;
}
