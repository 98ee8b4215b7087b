/*
 * script_names.c
 *
 * Owns names in a dry run: what the script has made, renamed and dropped
 * hides, or is hidden by, what the catalogs know, as search_path and
 * temporary tables will have it when the script runs.
 */
#include "mg_script.h"

/* OIDs of the namespaces searched for unqualified names, without the temporary one. */
static int
mg_search_path(Oid *path, int length)
{
	return Min(fetch_search_path_array(path, length), length);
}

#define MG_MAX_PATH 32

/* The schema that an unqualified name is created in, palloc'd, or NULL. */
char *
mg_creation_schema(void)
{
	Oid path[MG_MAX_PATH];
	int length = mg_search_path(path, MG_MAX_PATH);

	for (int i = 0; i < length; i++)
	{
		if (path[i] != PG_CATALOG_NAMESPACE)
			return get_namespace_name(path[i]);
	}
	return NULL;
}

static bool
mg_is_temporary(const RangeVar *rv)
{
	return rv->relpersistence == RELPERSISTENCE_TEMP ||
		   (rv->schemaname && strcmp(rv->schemaname, "pg_temp") == 0);
}

/*
 * From now on the name means: an existing relation (relid valid), one that
 * the script has made (relid invalid), or nothing (not present).
 */
void
mg_script_add_name(MgScript *script, const RangeVar *rv, Oid relid, bool present)
{
	MgScriptName *entry = palloc(sizeof(MgScriptName));
	const char *schema = rv->schemaname ? rv->schemaname : mg_creation_schema();

	entry->schema = schema ? pstrdup(schema) : NULL;
	entry->name = pstrdup(rv->relname);
	entry->temporary = mg_is_temporary(rv);
	entry->relid = relid;
	entry->present = present;
	mg_script_keep_name(script, entry);
}

/* Is the relation that the catalogs know by this name still there? */
static Oid
mg_unless_gone(MgScript *script, Oid relid)
{
	return OidIsValid(relid) && !mg_script_gone(script, relid) ? relid : InvalidOid;
}

/* What the catalogs know under a name, without raising; InvalidOid if there is nothing. */
static Oid
mg_catalog_relation(MgScript *script, const RangeVar *rv)
{
	Oid nspid;

	if (rv->schemaname == NULL)
		return mg_unless_gone(script, RelnameGetRelid(rv->relname));
	nspid = get_namespace_oid(rv->schemaname, true);
	if (!OidIsValid(nspid))
		return InvalidOid;
	return mg_unless_gone(script, get_relname_relid(rv->relname, nspid));
}

/* Position of a namespace in the search path; beyond the end if it is not there. */
static int
mg_path_position(Oid nspid)
{
	Oid path[MG_MAX_PATH];
	int length = mg_search_path(path, MG_MAX_PATH);

	for (int i = 0; i < length; i++)
	{
		if (path[i] == nspid)
			return i;
	}
	return length;
}

/* How many schemas are searched. */
static int
mg_path_length(void)
{
	Oid path[MG_MAX_PATH];

	return mg_search_path(path, MG_MAX_PATH);
}

/* Is the script's relation what an unqualified name finds, rather than what the catalogs know? */
static bool
mg_found_first(MgScript *script, const MgScriptName *entry)
{
	Oid other;
	Oid nspid;

	if (entry->temporary)
		return true;
	other = mg_unless_gone(script, RelnameGetRelid(entry->name));
	nspid = entry->schema ? get_namespace_oid(entry->schema, true) : InvalidOid;

	/* of a schema that does not exist yet, nobody knows whether search_path will find it */
	if (!OidIsValid(other))
		return !OidIsValid(nspid) || mg_path_position(nspid) < mg_path_length();
	return OidIsValid(nspid) &&
		   mg_path_position(nspid) <= mg_path_position(get_rel_namespace(other));
}

/* What the script says about a name, or NULL if it says nothing. */
static MgScriptName *
mg_find_name(MgScript *script, const RangeVar *rv)
{
	ListCell *lc;

	foreach(lc, mg_script_names(script, rv->relname))
	{
		MgScriptName *entry = lfirst(lc);
		bool matches;

		if (rv->schemaname == NULL)
			matches = mg_found_first(script, entry);
		else if (strcmp(rv->schemaname, "pg_temp") == 0)
			matches = entry->temporary;
		else
			matches = !entry->temporary && entry->schema &&
					  strcmp(entry->schema, rv->schemaname) == 0;
		if (matches)
			return entry;
	}
	return NULL;
}

/* Did an earlier statement make this relation? */
bool
mg_script_creates(MgScript *script, const RangeVar *rv)
{
	MgScriptName *entry = mg_find_name(script, rv);

	return entry && entry->present && !OidIsValid(entry->relid);
}

/* The existing relation that an earlier statement gave this name, or InvalidOid. */
Oid
mg_script_renamed(MgScript *script, const RangeVar *rv)
{
	MgScriptName *entry = mg_find_name(script, rv);

	return entry && entry->present ? entry->relid : InvalidOid;
}

/* The existing relation that a name means after the script so far, or InvalidOid. */
Oid
mg_script_resolve(MgScript *script, const RangeVar *rv)
{
	MgScriptName *entry = mg_find_name(script, rv);

	if (entry)
		return entry->present ? entry->relid : InvalidOid;
	return mg_catalog_relation(script, rv);
}

/* The schema that a name leads to after the script so far, palloc'd; NULL: nobody knows. */
char *
mg_script_schema_of(MgScript *script, const RangeVar *rv)
{
	MgScriptName *entry = mg_find_name(script, rv);
	Oid relid;

	if (entry)
		return entry->schema ? pstrdup(entry->schema) : NULL;
	relid = mg_catalog_relation(script, rv);
	if (OidIsValid(relid))
		return get_namespace_name(get_rel_namespace(relid));
	return rv->schemaname ? pstrdup(rv->schemaname) : NULL;
}

static RangeVar *
mg_entry_name(const MgScriptName *entry)
{
	return makeRangeVar(pstrdup(entry->schema), pstrdup(entry->name), -1);
}

/* The name that an existing relation has after the script so far; NULL: it is gone. */
RangeVar *
mg_script_name_of(MgScript *script, Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		return NULL;
	if (!mg_script_gone(script, relid))
		return makeRangeVar(get_namespace_name(get_rel_namespace(relid)), name, -1);
	for (int i = list_length(script->names) - 1; i >= 0; i--)
	{
		MgScriptName *entry = list_nth(script->names, i);
		RangeVar *rv;

		if (entry->relid != relid || !entry->present || entry->schema == NULL)
			continue;
		rv = mg_entry_name(entry);
		if (mg_script_resolve(script, rv) == relid)
			return rv;
	}
	return NULL;
}

/* Has the script dropped an existing relation? */
bool
mg_script_dropped(MgScript *script, Oid relid)
{
	return mg_script_gone(script, relid) && mg_script_name_of(script, relid) == NULL;
}

/* Of RangeVar: what the script has made in a schema, or put there. */
List *
mg_script_names_in(MgScript *script, const char *schema)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, script->names)
	{
		MgScriptName *entry = lfirst(lc);
		RangeVar *rv;

		if (!entry->present || entry->temporary || entry->schema == NULL ||
			strcmp(entry->schema, schema) != 0)
			continue;
		rv = mg_entry_name(entry);
		if (mg_find_name(script, rv) == entry)
			result = lappend(result, rv);
	}
	return result;
}

/* What the script has done to schemas of this name last, or NULL. */
static MgScriptSchema *
mg_find_schema(MgScript *script, const char *schema)
{
	for (int i = list_length(script->schemas) - 1; i >= 0; i--)
	{
		MgScriptSchema *entry = list_nth(script->schemas, i);

		if (strcmp(entry->name, schema) == 0)
			return entry;
	}
	return NULL;
}

/* Is there a schema of this name after the script so far? */
bool
mg_script_schema_exists(MgScript *script, const char *schema)
{
	MgScriptSchema *entry = mg_find_schema(script, schema);

	return entry ? entry->present : OidIsValid(get_namespace_oid(schema, true));
}

/* The existing schema that has this name after the script so far, or InvalidOid. */
Oid
mg_script_schema_oid(MgScript *script, const char *schema)
{
	MgScriptSchema *entry = mg_find_schema(script, schema);

	return entry ? entry->nspid : get_namespace_oid(schema, true);
}
