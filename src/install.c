/*
 * install.c
 *
 * Owns what CREATE EXTENSION does beyond creating objects: it refuses a schema
 * that somebody has put there in advance, and it tells the administrator that
 * an event trigger alone does not see every statement, while preloading the
 * library does.
 *
 * The extension script runs with client_min_messages raised, so the NOTICE
 * waits for the end of the transaction, when there also is no doubt any more
 * whether the extension exists.
 */
#include "mg.h"

#include "catalog/pg_db_role_setting.h"
#include "utils/array.h"

static bool mg_reminder_due = false;

/* The settings that ALTER DATABASE ... SET gave this database, for all roles, or NULL. */
static ArrayType *
mg_database_settings(void)
{
	ListCell *lc;

	foreach(lc, mg_rows(DbRoleSettingRelationId, DbRoleSettingDatidRolidIndexId,
						Anum_pg_db_role_setting_setdatabase, MyDatabaseId))
	{
		HeapTuple row = lfirst(lc);
		bool isnull;
		Datum config;

		if (OidIsValid(((Form_pg_db_role_setting) GETSTRUCT(row))->setrole))
			continue;
		config = mg_row_value(DbRoleSettingRelationId, row, Anum_pg_db_role_setting_setconfig,
							  &isnull);
		if (!isnull)
			return DatumGetArrayTypeP(config);
	}
	return NULL;
}

/* The value of one of them, or NULL. */
static char *
mg_database_setting(const char *name)
{
	ArrayType *settings = mg_database_settings();
	size_t len = strlen(name);
	char *value = NULL;
	Datum *items;
	int nitems;

	if (settings == NULL)
		return NULL;
	deconstruct_array(settings, TEXTOID, -1, false, TYPALIGN_INT, &items, NULL, &nitems);
	for (int i = 0; i < nitems; i++)
	{
		char *item = TextDatumGetCString(items[i]);

		if (strncmp(item, name, len) == 0 && item[len] == '=')
			value = item + len + 1;
	}
	return value;
}

/* Is this how a preload list can name the library? */
static bool
mg_is_this_library(const char *entry)
{
	const char *base = strrchr(entry, '/');

	base = base ? base + 1 : entry;
	return strcmp(base, "migration_guard") == 0 || strcmp(base, "migration_guard" DLSUFFIX) == 0;
}

/* The entries of a preload list; NIL if it is empty. */
static List *
mg_preload_entries(const char *value)
{
	List *entries = NIL;

	if (value == NULL || !SplitDirectoriesString(pstrdup(value), ',', &entries))
		return NIL;
	return entries;
}

static bool
mg_names_this_library(const char *value)
{
	ListCell *lc;

	foreach(lc, mg_preload_entries(value))
	{
		if (mg_is_this_library(lfirst(lc)))
			return true;
	}
	return false;
}

/* Tell how to preload the library, unless it is done. */
static void
mg_remind_now(void)
{
	const char *session = mg_database_setting("session_preload_libraries");
	StringInfoData command;
	ListCell *lc;

	if (session == NULL)
		session = GetConfigOption("session_preload_libraries", true, false);
	if (mg_names_this_library(session) ||
		mg_names_this_library(GetConfigOption("shared_preload_libraries", true, false)))
		return;

	initStringInfo(&command);
	appendStringInfo(&command, "ALTER DATABASE %s SET session_preload_libraries = ",
					 quote_identifier(get_database_name(MyDatabaseId)));
	foreach(lc, mg_preload_entries(session))
		appendStringInfo(&command, "%s, ", quote_literal_cstr(lfirst(lc)));
	appendStringInfoString(&command, "'migration_guard';");

	ereport(NOTICE, errmsg("migration_guard is not preloaded"),
			errdetail("Sessions load it when they run DDL, but some statements do not count as DDL "
					  "there: VACUUM FULL, CLUSTER, REINDEX, TRUNCATE and LOCK TABLE are not "
					  "judged as the first one of a session."),
			errhint("To have new sessions preload it, run: %s", command.data));
}

/* The transaction of CREATE EXTENSION ends. */
static void
mg_remind_at_commit(XactEvent event, void *arg)
{
	(void) arg;
	if (!mg_reminder_due)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			mg_reminder_due = false;
			if (OidIsValid(get_extension_oid("migration_guard", true)))
				mg_remind_now();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PRE_PREPARE:
			mg_reminder_due = false;
			break;
		default:
			break;
	}
}

/*
 * Whoever owns the schema could drop the guard with it, and put functions of
 * his own beside those of the guard.
 */
static void
mg_check_schema_owner(void)
{
	Oid schema = get_namespace_oid("migration_guard", false);
	HeapTuple tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema %u", schema);
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	if (superuser_arg(owner))
		return;
	ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("schema \"%s\" is owned by \"%s\", who is not a superuser", "migration_guard",
				   GetUserNameFromId(owner, false)),
			errhint("Drop the schema or rename it; CREATE EXTENSION makes one of its own."));
}

PG_FUNCTION_INFO_V1(mg_install);

/* Called once, first thing in the extension script, which drops the SQL function again. */
Datum
mg_install(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	(void) fcinfo;
	mg_check_schema_owner();
	if (!registered)
		RegisterXactCallback(mg_remind_at_commit, NULL);
	registered = true;
	mg_reminder_due = true;
	PG_RETURN_VOID();
}
