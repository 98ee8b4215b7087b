/*
 * script.c
 *
 * Owns what the earlier statements of a script would have done by now, for
 * dry runs: which relations they have made, renamed and dropped, which locks
 * their transaction would hold, and which settings that matter for the
 * analysis they have changed.  Nothing of it is executed, but for those
 * settings, which have their old values again when the dry run ends.
 *
 * Everything is kept in lists that only grow, so that ROLLBACK and ROLLBACK TO
 * cut them back to what they were; the hash tables beside them are rebuilt
 * from the lists then.
 */
#include "mg_script.h"

/* Where the lists were when a transaction or a savepoint began. */
typedef struct MgMark
{
	const char *savepoint; /* NULL: the transaction itself */
	int names;
	int schemas;
	int gone;
	int altered;
	int columns;
	int constraints;
	int locks;
	int writes;
	bool changed;
	int guc_level;
} MgMark;

/* Names by the last component: all relations that are called so, newest first. */
typedef struct MgNameSlot
{
	char name[NAMEDATALEN];
	List *entries; /* of MgScriptName */
} MgNameSlot;

/* What is known about an existing relation. */
typedef struct MgRelidSlot
{
	Oid relid;
	bool gone;
	bool altered;
	MgScriptLock *lock; /* the strongest one, or NULL */
} MgRelidSlot;

typedef struct MgScriptState
{
	MemoryContext context;
	HTAB *by_name;
	HTAB *by_relid;
	List *marks;   /* of MgMark, outermost first; NIL outside of transactions */
	int guc_level; /* of the whole script */
} MgScriptState;

/* ------------------------------------------------------------------------
 * Lists and the hash tables beside them
 * ------------------------------------------------------------------------ */

static void
mg_make_tables(MgScriptState *state)
{
	HASHCTL names = {.keysize = NAMEDATALEN,
					 .entrysize = sizeof(MgNameSlot),
					 .hcxt = state->context};
	HASHCTL relids = {.keysize = sizeof(Oid),
					  .entrysize = sizeof(MgRelidSlot),
					  .hcxt = state->context};

	state->by_name = hash_create("migration_guard script names", 64, &names,
								 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	state->by_relid = hash_create("migration_guard script relations", 64, &relids,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Find the slot of a relation; make: add it if need be, else NULL. */
static MgRelidSlot *
mg_relid_slot(MgScript *script, Oid relid, bool make)
{
	bool found;
	MgRelidSlot *slot = hash_search(script->state->by_relid, &relid, make ? HASH_ENTER : HASH_FIND,
									&found);

	if (slot && !found)
	{
		slot->gone = false;
		slot->altered = false;
		slot->lock = NULL;
	}
	return slot;
}

static void
mg_index_name(MgScript *script, MgScriptName *name)
{
	bool found;
	MgNameSlot *slot = hash_search(script->state->by_name, name->name, HASH_ENTER, &found);

	slot->entries = lcons(name, found ? slot->entries : NIL);
}

/* From now on the name means this. */
void
mg_script_keep_name(MgScript *script, MgScriptName *name)
{
	script->names = lappend(script->names, name);
	mg_index_name(script, name);
}

/* Of MgScriptName: all that are called so in some schema, newest first. */
List *
mg_script_names(MgScript *script, const char *name)
{
	MgNameSlot *slot = hash_search(script->state->by_name, name, HASH_FIND, NULL);

	return slot ? slot->entries : NIL;
}

/* Fill the hash tables anew, after the lists have been cut back. */
static void
mg_reindex(MgScript *script)
{
	MgScriptState *state = script->state;
	ListCell *lc;

	hash_destroy(state->by_name);
	hash_destroy(state->by_relid);
	mg_make_tables(state);
	foreach(lc, script->names)
		mg_index_name(script, lfirst(lc));
	foreach(lc, script->gone)
		mg_relid_slot(script, lfirst_oid(lc), true)->gone = true;
	foreach(lc, script->altered)
		mg_relid_slot(script, lfirst_oid(lc), true)->altered = true;
	foreach(lc, script->locks)
	{
		MgScriptLock *lock = lfirst(lc);

		/* later entries of a relation are stronger ones */
		mg_relid_slot(script, lock->relid, true)->lock = lock;
	}
}

/* See mg_script.h. */
void
mg_script_add_schema(MgScript *script, const char *name, Oid nspid, bool present)
{
	MgScriptSchema *entry = palloc(sizeof(MgScriptSchema));

	entry->name = pstrdup(name);
	entry->nspid = nspid;
	entry->present = present;
	script->schemas = lappend(script->schemas, entry);
}

/* A relation is dropped, or renamed away. */
void
mg_script_add_gone(MgScript *script, Oid relid)
{
	script->gone = lappend_oid(script->gone, relid);
	mg_relid_slot(script, relid, true)->gone = true;
}

/* A relation is changed. */
void
mg_script_add_altered(MgScript *script, Oid relid)
{
	MgRelidSlot *slot = mg_relid_slot(script, relid, true);

	if (slot->altered)
		return;
	slot->altered = true;
	script->altered = lappend_oid(script->altered, relid);
}

/* An existing relation gets a column, and its children with it. */
void
mg_script_add_column(MgScript *script, Oid relid, const char *name)
{
	MgScriptColumn *entry = palloc(sizeof(MgScriptColumn));

	entry->relid = relid;
	entry->name = pstrdup(name);
	script->columns = lappend(script->columns, entry);
}

/* A constraint is added to an existing relation; the node has to live as long as the script. */
void
mg_script_add_constraint(MgScript *script, Oid relid, Constraint *constraint)
{
	MgScriptConstraint *entry = palloc(sizeof(MgScriptConstraint));

	entry->relid = relid;
	entry->constraint = constraint;
	script->constraints = lappend(script->constraints, entry);
}

/* The simulated transaction holds a lock until it ends. */
void
mg_script_add_lock(MgScript *script, Oid relid, LOCKMODE lockmode, const char *command)
{
	MgRelidSlot *slot;

	if (!script->in_block || lockmode < ShareUpdateExclusiveLock)
		return;
	slot = mg_relid_slot(script, relid, true);
	if (slot->lock && slot->lock->lockmode >= lockmode)
		return;
	slot->lock = palloc(sizeof(MgScriptLock));
	slot->lock->relid = relid;
	slot->lock->lockmode = lockmode;
	slot->lock->command = command;
	script->locks = lappend(script->locks, slot->lock);
}

/* ------------------------------------------------------------------------
 * Questions about existing relations
 * ------------------------------------------------------------------------ */

/* Does an existing relation no longer go by the name that the catalogs have? */
bool
mg_script_gone(MgScript *script, Oid relid)
{
	MgRelidSlot *slot = mg_relid_slot(script, relid, false);

	return slot && slot->gone;
}

/* Did an earlier statement change this relation? */
bool
mg_script_alters(MgScript *script, Oid relid)
{
	MgRelidSlot *slot = mg_relid_slot(script, relid, false);

	return slot && slot->altered;
}

/* Did an earlier statement give the relation, or a parent of it, a column of this name? */
bool
mg_script_column(MgScript *script, Oid relid, const char *name)
{
	ListCell *lc;

	foreach(lc, script->columns)
	{
		MgScriptColumn *entry = lfirst(lc);

		if (strcmp(entry->name, name) == 0 &&
			(entry->relid == relid || list_member_oid(mg_tree(entry->relid, true), relid)))
			return true;
	}
	return false;
}

/* An index of all rows; it is kept also after a rollback, for nothing hangs on it but a word. */
void
mg_script_add_index(MgScript *script, Oid relid, IndexStmt *stmt)
{
	MgScriptIndex *entry;

	if (!OidIsValid(relid) || stmt->whereClause)
		return;
	entry = palloc(sizeof(MgScriptIndex));
	entry->relid = relid;
	entry->params = copyObject(stmt->indexParams);
	script->indexes = lappend(script->indexes, entry);
}

/* The constraint of this name that an earlier statement added, or NULL. */
Constraint *
mg_script_constraint(MgScript *script, Oid relid, const char *name)
{
	for (int i = list_length(script->constraints) - 1; i >= 0; i--)
	{
		MgScriptConstraint *entry = list_nth(script->constraints, i);

		if (entry->relid == relid && strcmp(entry->constraint->conname, name) == 0)
			return entry->constraint;
	}
	return NULL;
}

/* The strongest lock that the simulated transaction holds, and who took it. */
LOCKMODE
mg_script_held(MgScript *script, Oid relid, const char **since)
{
	MgRelidSlot *slot = mg_relid_slot(script, relid, false);

	if (slot == NULL || slot->lock == NULL)
		return NoLock;
	*since = slot->lock->command;
	return slot->lock->lockmode;
}

/* See mg.h. */
bool
mg_script_written(MgScript *script, Oid relid, double *rows)
{
	bool written = false;
	ListCell *lc;

	foreach(lc, script->writes)
	{
		MgScriptWrite *entry = lfirst(lc);

		if (entry->relid != relid)
			continue;
		written = true;
		*rows += entry->rows;
	}
	return written;
}

/* ------------------------------------------------------------------------
 * Transactions and settings
 * ------------------------------------------------------------------------ */

static void
mg_push_mark(MgScript *script, const char *savepoint)
{
	MgMark *mark = palloc(sizeof(MgMark));

	mark->savepoint = savepoint ? pstrdup(savepoint) : NULL;
	mark->names = list_length(script->names);
	mark->schemas = list_length(script->schemas);
	mark->gone = list_length(script->gone);
	mark->altered = list_length(script->altered);
	mark->columns = list_length(script->columns);
	mark->constraints = list_length(script->constraints);
	mark->locks = list_length(script->locks);
	mark->writes = list_length(script->writes);
	mark->changed = script->changed;
	mark->guc_level = NewGUCNestLevel();
	script->state->marks = lappend(script->state->marks, mark);
}

/* Undo what happened since the mark. */
static void
mg_rewind(MgScript *script, MgMark *mark)
{
	script->names = list_truncate(script->names, mark->names);
	script->schemas = list_truncate(script->schemas, mark->schemas);
	script->gone = list_truncate(script->gone, mark->gone);
	script->altered = list_truncate(script->altered, mark->altered);
	script->columns = list_truncate(script->columns, mark->columns);
	script->constraints = list_truncate(script->constraints, mark->constraints);
	script->locks = list_truncate(script->locks, mark->locks);
	script->writes = list_truncate(script->writes, mark->writes);
	script->changed = mark->changed;
	mg_reindex(script);
}

/* Position of the latest savepoint of this name, or -1. */
static int
mg_find_savepoint(MgScript *script, const char *name)
{
	for (int i = list_length(script->state->marks) - 1; i > 0; i--)
	{
		MgMark *mark = list_nth(script->state->marks, i);

		if (strcmp(mark->savepoint, name) == 0)
			return i;
	}
	return -1;
}

/* COMMIT or ROLLBACK: no lock is held any more, nor the caller's if it were real. */
static void
mg_end_transaction(MgScript *script, bool commit, bool chain)
{
	MgScriptState *state = script->state;

	if (state->marks != NIL)
	{
		MgMark *mark = linitial(state->marks);

		AtEOXact_GUC(commit, mark->guc_level);
		if (!commit)
			mg_rewind(script, mark);
		state->marks = NIL;
	}
	if (script->locks != NIL)
	{
		script->locks = NIL;
		mg_reindex(script);
	}
	script->writes = NIL;
	script->live = false;
	script->in_block = chain;
	if (chain)
		mg_push_mark(script, NULL);
}

/* RELEASE and ROLLBACK TO; the latter leaves the savepoint in place. */
static void
mg_end_savepoint(MgScript *script, const char *name, bool rollback)
{
	MgScriptState *state = script->state;
	int position = mg_find_savepoint(script, name);
	MgMark *mark;

	if (position < 0)
		return;
	mark = list_nth(state->marks, position);
	state->marks = list_truncate(state->marks, position);
	if (rollback)
	{
		AtEOXact_GUC(false, mark->guc_level);
		mg_rewind(script, mark);
		mg_push_mark(script, mark->savepoint);
	}
}

static void
mg_script_transaction(MgScript *script, TransactionStmt *stmt)
{
	switch (stmt->kind)
	{
		case TRANS_STMT_BEGIN:
		case TRANS_STMT_START:
			if (script->in_block)
				break;
			script->in_block = true;
			mg_push_mark(script, NULL);
			break;
		case TRANS_STMT_COMMIT:
		case TRANS_STMT_PREPARE:
			mg_end_transaction(script, true, stmt->chain);
			break;
		case TRANS_STMT_ROLLBACK:
			mg_end_transaction(script, false, stmt->chain);
			break;
		case TRANS_STMT_SAVEPOINT:
			if (script->in_block)
				mg_push_mark(script, stmt->savepoint_name);
			break;
		case TRANS_STMT_RELEASE:
			mg_end_savepoint(script, stmt->savepoint_name, false);
			break;
		case TRANS_STMT_ROLLBACK_TO:
			mg_end_savepoint(script, stmt->savepoint_name, true);
			break;
		case TRANS_STMT_COMMIT_PREPARED:
		case TRANS_STMT_ROLLBACK_PREPARED:
			break;
	}
}

/* Does the analysis, or the verdict, depend on this setting? */
static bool
mg_setting_matters(const char *name)
{
	static const char *const settings[] = {"search_path",        "timezone",
										   "default_tablespace", "default_table_access_method",
										   "lock_timeout",       "statement_timeout"};

	if (name == NULL)
		return false;
	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		if (pg_strcasecmp(name, settings[i]) == 0)
			return true;
	}
	return pg_strncasecmp(name, "migration_guard.", strlen("migration_guard.")) == 0;
}

/*
 * SET and RESET of what matters take effect until the dry run ends, with the
 * rights of whoever asked for it.  SET LOCAL without a transaction does
 * nothing, as always.
 */
static void
mg_script_setting(MgScript *script, VariableSetStmt *stmt)
{
	if (stmt->kind == VAR_SET_MULTI || stmt->kind == VAR_RESET_ALL ||
		!mg_setting_matters(stmt->name) || (stmt->is_local && !script->in_block))
		return;

	/* a level of its own is what makes the old value come back at the end of the transaction */
	if (stmt->is_local)
		NewGUCNestLevel();
	(void) set_config_option(stmt->name, ExtractSetVariableArgs(stmt),
							 superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION,
							 stmt->is_local ? GUC_ACTION_SAVE : GUC_ACTION_SET, true, 0, false);
}

/* ------------------------------------------------------------------------
 * The script as a whole
 * ------------------------------------------------------------------------ */

/*
 * The beginning of a dry run, allocated in the current memory context.  It
 * starts where the calling transaction stands.
 */
MgScript *
mg_script_begin(void)
{
	MgScript *script = palloc0(sizeof(MgScript));

	script->state = palloc0(sizeof(MgScriptState));
	script->state->context = CurrentMemoryContext;
	script->state->guc_level = NewGUCNestLevel();
	mg_make_tables(script->state);
	script->live = true;
	script->in_block = IsTransactionBlock();
	if (script->in_block)
		mg_push_mark(script, NULL);
	return script;
}

/* The end of it: settings are as before.  After an error core does the same. */
void
mg_script_end(MgScript *script)
{
	AtEOXact_GUC(false, script->state->guc_level);
}

/* Are relations that the statement locks made of something else afterwards? */
static bool
mg_changes_definitions(Node *stmt)
{
	return !IsA(stmt, LockStmt) && !IsA(stmt, TruncateStmt) && !IsA(stmt, VacuumStmt);
}

/*
 * A statement is done.  fp is its footprint, or NULL if it has none.  What is
 * kept is copied.
 */
void
mg_script_statement(MgScript *script, Node *stmt, MgFootprint *fp)
{
	MemoryContext caller = MemoryContextSwitchTo(script->state->context);
	ListCell *lc;

	script->started = true;
	if (IsA(stmt, TransactionStmt))
		mg_script_transaction(script, (TransactionStmt *) stmt);
	else if (IsA(stmt, VariableSetStmt))
		mg_script_setting(script, (VariableSetStmt *) stmt);
	else
	{
		mg_script_objects(script, stmt);
		mg_script_writes(script, stmt);
	}

	if (fp)
	{
		mg_script_removed(script, fp->removed);
		/* also after a rollback: what is not proven for sure is not counted on */
		script->dropped = list_concat_unique_oid(script->dropped, fp->dropped);
		foreach(lc, fp->effects)
		{
			MgEffect *eff = lfirst(lc);

			mg_script_add_lock(script, eff->relid, eff->lockmode, fp->command);
			if (eff->lockmode >= ShareUpdateExclusiveLock && mg_changes_definitions(stmt) &&
				(eff->role == MG_ROLE_TARGET || eff->role == MG_ROLE_CHILD))
				mg_script_add_altered(script, eff->relid);
		}
	}
	MemoryContextSwitchTo(caller);
}
