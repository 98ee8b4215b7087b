/*
 * typeuse.c
 *
 * Owns the question which relations use a type: as the type of a column, or
 * inside of another type that is the type of a column.
 *
 * Follows find_composite_type_dependencies() of tablecmds.c, without its
 * locks: whatever is stored anywhere as a row of a table, or with a value of a
 * domain inside, makes core refuse to change that table or domain.
 */
#include "mg.h"

#include "catalog/pg_depend.h"

/* One search for a column. */
typedef struct MgTypeSearch
{
	MgFootprint *fp;
	Oid relid; /* the relation that was found, InvalidOid: none */
	const char *column;
} MgTypeSearch;

static bool mg_search_type(MgTypeSearch *search, Oid typid);

/* The number of the first column of a type; zero if there is none. */
static AttrNumber
mg_column_of_type(Oid relid, Oid typid)
{
	ListCell *lc;

	foreach(lc, mg_rows(AttributeRelationId, AttributeRelidNumIndexId, Anum_pg_attribute_attrelid,
						relid))
	{
		Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT((HeapTuple) lfirst(lc));

		if (form->attnum > 0 && form->atttypid == typid && !form->attisdropped)
			return form->attnum;
	}
	return InvalidAttrNumber;
}

/*
 * A relation that depends on the type: does it store it?  attnum: its column,
 * or zero if it is the relation as a whole that depends, as an index on an
 * expression does.
 */
static bool
mg_search_relation(MgTypeSearch *search, Oid typid, Oid relid, AttrNumber attnum)
{
	char relkind = get_rel_relkind(relid);
	Oid rowtype;

	if (search->fp->script &&
		(mg_script_gone(search->fp->script, relid) || mg_script_alters(search->fp->script, relid)))
		return false;
	if (attnum <= 0)
		attnum = mg_column_of_type(relid, typid);
	if (attnum <= 0)
		return false;
	if (RELKIND_HAS_STORAGE(relkind) || relkind == RELKIND_PARTITIONED_TABLE ||
		relkind == RELKIND_PARTITIONED_INDEX)
	{
		search->relid = relid;
		search->column = get_attname(relid, attnum, true);
		return true;
	}
	/* a view or a composite type, which may be inside of something else again */
	rowtype = get_rel_type_id(relid);
	return OidIsValid(rowtype) && mg_search_type(search, rowtype);
}

/* Is the type stored in a column, directly or as a part of another type? */
static bool
mg_search_type(MgTypeSearch *search, Oid typid)
{
	List *users = mg_type_users(typid);
	ListCell *lc;

	check_stack_depth();
	foreach(lc, users)
	{
		ObjectAddress *user = lfirst(lc);

		if (user->classId == TypeRelationId
				? mg_search_type(search, user->objectId)
				: mg_search_relation(search, typid, user->objectId, user->objectSubId))
			return true;
	}
	return false;
}

/* The types and relations that depend on a type, as ObjectAddress, in core's order. */
List *
mg_type_users(Oid typid)
{
	ObjectAddress type = {TypeRelationId, typid, 0};
	List *result = NIL;
	ListCell *lc;

	foreach(lc, mg_depend_rows(&type, true))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->classid == TypeRelationId || form->classid == RelationRelationId)
			result = lappend(result, mg_address(form->classid, form->objid, form->objsubid));
	}
	return result;
}

/*
 * Is a type stored in some column?  Then core refuses to change what type is
 * called by name, which is recorded as a problem.
 */
bool
mg_type_is_stored(MgFootprint *fp, Oid typid, const char *name)
{
	MgTypeSearch search = {.fp = fp};

	if (!OidIsValid(typid) || !mg_search_type(&search, typid))
		return false;
	mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "cannot alter type \"%s\" because column \"%s.%s\" uses it", name,
			   get_rel_name(search.relid), search.column);
	return true;
}

/*
 * The column that stores rows of a relation as values, as "table.column", or
 * NULL.  ALTER TABLE cannot change what such a row consists of.
 */
const char *
mg_row_type_column(MgFootprint *fp, Oid relid)
{
	MgTypeSearch search = {.fp = fp};
	Oid typid = get_rel_type_id(relid);

	if (!OidIsValid(typid) || !mg_search_type(&search, typid))
		return NULL;
	return psprintf("%s.%s", get_rel_name(search.relid), search.column);
}
