/*
 * guc.c
 *
 * Owns the settings: their definition, what they accept, and the per-rule
 * actions that migration_guard.rules is parsed into.
 *
 * Check hooks may run in the postmaster and outside of transactions: they
 * read no catalog and allocate nothing that has to outlive them except by
 * malloc.
 */
#include "mg.h"

#define MG_PREFIX "migration_guard"
#define MG_OVERRIDE_MAX 1000 /* bytes of an override's reason */

int mg_mode = MG_MODE_ENFORCE;
int mg_warn_rows = 100000;
int mg_block_rows = 1000000;
int mg_warn_size = 1024;
int mg_block_size = 10240;
char *mg_override = NULL;
int mg_scan_rate = 400;
int mg_rewrite_rate = 80;
int mg_index_rate = 30;
int mg_lock_timeout = 10000;
int mg_lock_burst = 50;

static char *mg_rules_string = NULL;
static char *mg_exempt_applications = NULL;

/* what migration_guard.rules says: one entry per rule, or NULL if it is empty */
static const int8 *mg_rule_actions = NULL;

#define MG_NOT_NAMED (-1)

static const struct config_enum_entry mg_mode_options[] = {{"enforce", MG_MODE_ENFORCE, false},
														   {"warn", MG_MODE_WARN, false},
														   {"log", MG_MODE_LOG, false},
														   {"off", MG_MODE_OFF, false},
														   {NULL, 0, false}};

/*
 * The strongest verdict that a rule may give: what migration_guard.rules says
 * about it, or else its default.  migration_guard.mode is another matter.
 */
MgVerdict
mg_rule_action(int rule_index)
{
	if (mg_rule_actions != NULL && mg_rule_actions[rule_index] != MG_NOT_NAMED)
		return (MgVerdict) mg_rule_actions[rule_index];
	return mg_rules[rule_index].default_action;
}

/* ------------------------------------------------------------------------
 * migration_guard.rules
 * ------------------------------------------------------------------------ */

/* Cuts off space at both ends, in place. */
static char *
mg_trim(char *word)
{
	char *end;

	while (isspace((unsigned char) *word))
		word++;
	end = word + strlen(word);
	while (end > word && isspace((unsigned char) end[-1]))
		*--end = '\0';
	return word;
}

/* MgVerdict of an action's name, or -1. */
static int
mg_action_find(const char *name)
{
	for (MgVerdict action = MG_ALLOW; action <= MG_BLOCK; action++)
	{
		if (strcmp(name, mg_verdict_name(action)) == 0)
			return action;
	}
	return -1;
}

/* The hint of a setting that names a rule that is none. */
static void
mg_hint_rules(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < mg_nrules; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", mg_rules[i].name);
	GUC_check_errhint("The rules are: %s.", names.data);
	pfree(names.data);
}

/* One "name=action" of the list; false: said what is wrong. */
static bool
mg_parse_rule(char *item, int8 *actions)
{
	char *equals = strchr(item, '=');
	char *name;
	char *action_name;
	int rule;
	int action;

	if (equals == NULL)
	{
		if (item[0] == '\0')
			GUC_check_errdetail("An element of the list is empty.");
		else
			GUC_check_errdetail("\"%s\" names no action.", item);
		GUC_check_errhint("Write a list such as: create_index=warn, cluster=off.");
		return false;
	}
	*equals = '\0';
	name = mg_trim(item);
	action_name = mg_trim(equals + 1);

	rule = mg_rule_find(name);
	if (rule < 0)
	{
		GUC_check_errdetail("There is no rule \"%s\".", name);
		mg_hint_rules();
		return false;
	}
	action = mg_action_find(action_name);
	if (action < 0)
	{
		GUC_check_errdetail("\"%s\" is not an action of rule \"%s\".", action_name,
							mg_rules[rule].name);
		GUC_check_errhint("The actions are: off, log, warn, block.");
		return false;
	}
	if (actions[rule] != MG_NOT_NAMED)
	{
		GUC_check_errdetail("Rule \"%s\" is named twice.", mg_rules[rule].name);
		return false;
	}
	actions[rule] = (int8) action;
	return true;
}

/* Parses the list, in any case, into an array of actions, one per rule. */
static bool
mg_check_rules(char **newval, void **extra, GucSource source)
{
	int8 *actions;
	char *copy;
	char *rest;
	bool ok = true;

	(void) source;
	if (*newval == NULL || (*newval)[strspn(*newval, " \t\n\r\f\v")] == '\0')
		return true;

	actions = mg_guc_alloc(mg_nrules * sizeof(int8));
	if (actions == NULL)
		return false;
	memset(actions, MG_NOT_NAMED, mg_nrules * sizeof(int8));

	copy = pstrdup(*newval);
	for (char *c = copy; *c; c++)
		*c = pg_tolower((unsigned char) *c);
	rest = copy;
	while (ok && rest != NULL)
	{
		char *item = strsep(&rest, ",");

		ok = mg_parse_rule(mg_trim(item), actions);
	}
	pfree(copy);

	if (ok)
		*extra = actions;
	else
		mg_guc_release(actions);
	return ok;
}

static void
mg_assign_rules(const char *newval, void *extra)
{
	(void) newval;
	mg_rule_actions = extra;
}

/* ------------------------------------------------------------------------
 * migration_guard.override
 * ------------------------------------------------------------------------ */

/*
 * The reason ends up in the server log, so it has to be one line.  Space
 * around it is cut off; nothing but space is no reason.
 */
static bool
mg_check_override(char **newval, void **extra, GucSource source)
{
	char *reason;

	(void) extra;
	(void) source;
	if (*newval == NULL)
		return true;

	reason = mg_trim(*newval);
	memmove(*newval, reason, strlen(reason) + 1);

	if (strlen(*newval) > MG_OVERRIDE_MAX)
	{
		GUC_check_errmsg("reason given in \"%s\" is too long", "migration_guard.override");
		GUC_check_errdetail("It may have %d bytes at most.", MG_OVERRIDE_MAX);
		return false;
	}
	for (const char *c = *newval; *c; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
		{
			GUC_check_errmsg("reason given in \"%s\" contains a control character",
							 "migration_guard.override");
			GUC_check_errhint("Give the reason in one line of text.");
			return false;
		}
	}
	return true;
}

/* ------------------------------------------------------------------------
 * migration_guard.exempt_applications
 * ------------------------------------------------------------------------ */

/* Is the session's application_name one of the list?  Space around names does not count. */
bool
mg_exempt_application(void)
{
	const char *item = mg_exempt_applications;

	if (item == NULL || application_name == NULL || *application_name == '\0')
		return false;
	for (;;)
	{
		size_t len;
		size_t rest;

		item += strspn(item, " \t\r\n\f\v");
		rest = len = strcspn(item, ",");
		while (len > 0 && isspace((unsigned char) item[len - 1]))
			len--;
		if (len == strlen(application_name) && strncmp(item, application_name, len) == 0)
			return true;
		if (item[rest] == '\0')
			return false;
		item += rest + 1;
	}
}

/* ------------------------------------------------------------------------
 * Definitions
 * ------------------------------------------------------------------------ */

/* What the guard does at all. */
static void
mg_define_policy(void)
{
	/*
	 * A team that introduces the guard starts with "log", reads the server
	 * log for a week, goes on to "warn", and ends with "enforce".
	 */
	DefineCustomEnumVariable(
		"migration_guard.mode", "What happens to a statement that the guard finds dangerous.",
		"enforce: it is refused, or warned about, as rules and thresholds say. "
		"warn: refusals become warnings. log: a line in the server log only. "
		"off: nothing is judged.",
		&mg_mode, MG_MODE_ENFORCE, mg_mode_options, PGC_SUSET, 0, NULL, NULL, NULL);

	/*
	 * A team that rebuilds its indexes on Sunday mornings wants reindex=warn
	 * for the role that does it, and everything else as it is.
	 */
	DefineCustomStringVariable(
		"migration_guard.rules", "Strongest action of single rules: name=action, ...",
		"Actions are off, log, warn, block. A rule that is not named keeps its "
		"default; thresholds still decide within the action. "
		"Example: create_index=warn, cluster=off.",
		&mg_rules_string, "", PGC_SUSET, GUC_LIST_INPUT, mg_check_rules, mg_assign_rules, NULL);

	/*
	 * The maintenance window is announced, the ticket is written: SET LOCAL
	 * with its number lets one transaction pass and leaves a trace.
	 */
	DefineCustomStringVariable(
		"migration_guard.override", "Reason why dangerous statements may pass now.",
		"While it is set, what would be refused passes, and the server log gets "
		"a line with this reason. Empty, or only space: no override. At most "
		"1000 bytes, in one line.",
		&mg_override, "", PGC_SUSET, 0, mg_check_override, NULL, NULL);

	/*
	 * A restore builds its indexes on tables that are large already and that
	 * nobody uses yet.  The name alone opens nothing: see mg_session_exempt().
	 */
	DefineCustomStringVariable("migration_guard.exempt_applications",
							   "Applications whose sessions are not judged: name, ...",
							   "Compared with application_name, of sessions whose role may set "
							   "migration_guard.mode.",
							   &mg_exempt_applications, "pg_restore", PGC_SUSET, GUC_LIST_INPUT,
							   NULL, NULL, NULL);
}

/* From which size on it matters. */
static void
mg_define_thresholds(void)
{
	/* On this server nobody notices what is done to a hundred thousand rows. */
	DefineCustomIntVariable("migration_guard.warn_rows",
							"Rows from which on blocking work is warned about.",
							"Counts the rows of the relations that a statement scans, rewrites or "
							"indexes while it blocks others. -1: never because of rows, 0: always.",
							&mg_warn_rows, 100000, -1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	/* A million rows take seconds, and seconds of a locked table are an outage. */
	DefineCustomIntVariable("migration_guard.block_rows",
							"Rows from which on blocking work is refused.",
							"Counts the rows of the relations that a statement scans, rewrites or "
							"indexes while it blocks others. -1: never because of rows, 0: always.",
							&mg_block_rows, 1000000, -1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	/* Documents and pictures: few rows, and still minutes to rewrite. */
	DefineCustomIntVariable(
		"migration_guard.warn_size", "Size from which on blocking work is warned about.",
		"Bytes that have to be read or written, in whole megabytes unless a unit is "
		"given. -1: never because of size, 0: always.",
		&mg_warn_size, 1024, -1, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);

	/* The same, for the size that nobody wants to wait for. */
	DefineCustomIntVariable(
		"migration_guard.block_size", "Size from which on blocking work is refused.",
		"Bytes that have to be read or written, in whole megabytes unless a unit is "
		"given. -1: never because of size, 0: always.",
		&mg_block_size, 10240, -1, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);
}

/* How the locks of a statement are taken. */
static void
mg_define_locking(void)
{
	/*
	 * A deploy at noon: a report has been reading the table for minutes.  The
	 * statement gives up, nobody was kept waiting, and it is run again later.
	 */
	DefineCustomIntVariable(
		"migration_guard.lock_timeout", "How long a statement may try to get its locks.",
		"It tries without making others queue behind it, and then fails. In milliseconds unless "
		"a unit is given. 0: the server takes the locks as it always does. Does not apply to "
		"CONCURRENTLY, VACUUM, and others that commit inside.",
		&mg_lock_timeout, 10000, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	/* A table that is written to all day is never free; a blink is enough. */
	DefineCustomIntVariable(
		"migration_guard.lock_burst", "The longest moment in which a statement queues for a lock.",
		"When trying alone does not help, and all who are in the way have begun a moment ago. At "
		"most half of deadlock_timeout. In milliseconds unless a unit is given. 0: never.",
		&mg_lock_burst, 50, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* How fast this server is, for the estimates in messages. */
static void
mg_define_rates(void)
{
	/* "verifying table" in the log of the last big migration tells it. */
	DefineCustomIntVariable(
		"migration_guard.scan_rate", "Megabytes per second at which a table is scanned.",
		"Only estimates of duration depend on it. In megabytes (per second) unless "
		"a unit is given.",
		&mg_scan_rate, 400, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);

	/* Size of the table divided by the time that a rewrite of it took. */
	DefineCustomIntVariable(
		"migration_guard.rewrite_rate",
		"Megabytes per second at which a table is rewritten or copied.",
		"Only estimates of duration depend on it. In megabytes (per second) unless "
		"a unit is given.",
		&mg_rewrite_rate, 80, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);

	/* Size of an index divided by the time that its REINDEX took. */
	DefineCustomIntVariable(
		"migration_guard.index_rate", "Megabytes per second of index that are built.",
		"Sorting included, the scan of the table not. Only estimates of duration "
		"depend on it. In megabytes (per second) unless a unit is given.",
		&mg_index_rate, 30, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);
}

/*
 * What came with the connection (PGOPTIONS) before the library was loaded has
 * hidden what the configuration file or ALTER DATABASE say.  If the role may
 * not set it, core would drop it with a warning and go on with the built-in
 * default; with the library preloaded it would refuse the connection.  Here
 * loading is refused, and with it the statement that asked for it.
 */
static void
mg_refuse_client_settings(void)
{
	int count;
	struct config_generic **settings = mg_all_settings(&count);

	if (!IsTransactionState())
		return;
	for (int i = 0; i < count; i++)
	{
		struct config_generic *setting = settings[i];

		if (pg_strncasecmp(setting->name, MG_PREFIX ".", strlen(MG_PREFIX ".")) == 0 &&
			setting->reset_source == PGC_S_CLIENT &&
			pg_parameter_aclcheck(setting->name, setting->reset_srole, ACL_SET) != ACLCHECK_OK)
			ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied to set parameter \"%s\"", setting->name),
					errhint("Connect without it in PGOPTIONS."));
	}
}

/*
 * Defines all settings and reserves the prefix.  Placeholders that a session
 * has set before the library was loaded are checked again by core: what the
 * role may not set is dropped with a warning.
 */
void
mg_guc_init(void)
{
	mg_refuse_client_settings();
	mg_define_policy();
	mg_define_thresholds();
	mg_define_locking();
	mg_define_rates();
	MarkGUCPrefixReserved(MG_PREFIX);
}
