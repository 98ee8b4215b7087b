/*
 * catalog.c
 *
 * Owns the reading of catalog rows: the one loop over the rows of a catalog,
 * and what is asked of catalogs in several places.
 *
 * Rows are copied into the current memory context, which lives as long as the
 * analysis of the statement; so callers may look up what they like while they
 * go through them, and have nothing to close or to release.
 */
#include "mg.h"

#include "catalog/pg_depend.h"

/* What these functions do is said in mg_catalog.h. */
void
mg_oid_key(ScanKey key, AttrNumber column, Oid value)
{
	ScanKeyInit(key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
}

void
mg_each_row(Oid catalog, Oid index, int nkeys, ScanKey keys, MgRowFn fn, void *arg)
{
	Relation rel = table_open(catalog, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, index, OidIsValid(index), NULL, nkeys, keys);
	HeapTuple row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		if (!fn(row, arg))
			break;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* ------------------------------------------------------------------------
 * Copies of a few rows
 * ------------------------------------------------------------------------ */

static bool
mg_keep_row(HeapTuple row, void *arg)
{
	List **rows = arg;

	*rows = lappend(*rows, heap_copytuple(row));
	return true;
}

static bool
mg_keep_first_row(HeapTuple row, void *arg)
{
	*(HeapTuple *) arg = heap_copytuple(row);
	return false;
}

List *
mg_rows(Oid catalog, Oid index, AttrNumber column, Oid value)
{
	List *rows = NIL;
	ScanKeyData key;

	mg_oid_key(&key, column, value);
	mg_each_row(catalog, index, 1, &key, mg_keep_row, &rows);
	return rows;
}

HeapTuple
mg_row(Oid catalog, Oid index, AttrNumber column, Oid value)
{
	HeapTuple row = NULL;
	ScanKeyData key;

	mg_oid_key(&key, column, value);
	mg_each_row(catalog, index, 1, &key, mg_keep_first_row, &row);
	return row;
}

HeapTuple
mg_named_row(Oid catalog, Oid index, AttrNumber relid_column, Oid relid, AttrNumber name_column,
			 const char *name)
{
	HeapTuple row = NULL;
	ScanKeyData keys[2];

	if (!OidIsValid(relid)) /* those of domains have no relation */
		return NULL;
	mg_oid_key(&keys[0], relid_column, relid);
	ScanKeyInit(&keys[1], name_column, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(name));
	mg_each_row(catalog, index, lengthof(keys), keys, mg_keep_first_row, &row);
	return row;
}

Datum
mg_row_value(Oid catalog, HeapTuple row, AttrNumber column, bool *isnull)
{
	Relation rel = table_open(catalog, AccessShareLock);
	Datum value = heap_getattr(row, column, RelationGetDescr(rel), isnull);

	table_close(rel, AccessShareLock);
	return value;
}

/* ------------------------------------------------------------------------
 * pg_depend
 * ------------------------------------------------------------------------ */

static bool
mg_keep_dependency(HeapTuple row, void *arg)
{
	List **rows = arg;
	Form_pg_depend form = palloc(sizeof(FormData_pg_depend));

	*form = *(Form_pg_depend) GETSTRUCT(row);
	*rows = lappend(*rows, form);
	return true;
}

List *
mg_depend_rows(const ObjectAddress *object, bool referenced)
{
	List *rows = NIL;
	ScanKeyData keys[3];

	mg_oid_key(&keys[0], referenced ? Anum_pg_depend_refclassid : Anum_pg_depend_classid,
			   object->classId);
	mg_oid_key(&keys[1], referenced ? Anum_pg_depend_refobjid : Anum_pg_depend_objid,
			   object->objectId);
	ScanKeyInit(&keys[2], referenced ? Anum_pg_depend_refobjsubid : Anum_pg_depend_objsubid,
				BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(object->objectSubId));
	mg_each_row(DependRelationId, referenced ? DependReferenceIndexId : DependDependerIndexId,
				object->objectSubId != 0 ? 3 : 2, keys, mg_keep_dependency, &rows);
	return rows;
}

ObjectAddress *
mg_address(Oid classid, Oid objid, int32 objsubid)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSubSet(*address, classid, objid, objsubid);
	return address;
}

/* ------------------------------------------------------------------------
 * pg_class, pg_index, pg_constraint
 * ------------------------------------------------------------------------ */

/* A search in pg_class. */
typedef struct MgClassSearch
{
	MgClassFilter filter;
	void *arg;
	List *relids;
} MgClassSearch;

static bool
mg_filter_class(HeapTuple row, void *arg)
{
	MgClassSearch *search = arg;
	Form_pg_class form = (Form_pg_class) GETSTRUCT(row);

	if (search->filter(form, search->arg))
		search->relids = lappend_oid(search->relids, form->oid);
	return true;
}

List *
mg_relations_where(MgClassFilter filter, void *arg)
{
	MgClassSearch search = {filter, arg, NIL};

	mg_each_row(RelationRelationId, InvalidOid, 0, NULL, mg_filter_class, &search);
	return search.relids;
}

Form_pg_class
mg_class_form(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = palloc(CLASS_TUPLE_SIZE);
	memcpy(form, GETSTRUCT(tuple), CLASS_TUPLE_SIZE);
	ReleaseSysCache(tuple);
	return form;
}

AttrNumber
mg_column_count(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form ? form->relnatts : 0;
}

Oid
mg_index_method(Oid index)
{
	Form_pg_class form = mg_class_form(index);

	return form ? form->relam : InvalidOid;
}

Form_pg_index
mg_index_form(Oid index)
{
	HeapTuple tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(index));

	return HeapTupleIsValid(tuple) ? (Form_pg_index) GETSTRUCT(tuple) : NULL;
}

Form_pg_constraint
mg_constraint_form(Oid constraint)
{
	HeapTuple tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));

	return HeapTupleIsValid(tuple) ? (Form_pg_constraint) GETSTRUCT(tuple) : NULL;
}

Form_pg_type
mg_type_form(Oid typid)
{
	HeapTuple tuple = SearchSysCacheCopy1(TYPEOID, ObjectIdGetDatum(typid));

	return HeapTupleIsValid(tuple) ? (Form_pg_type) GETSTRUCT(tuple) : NULL;
}

static bool
mg_keep_index(HeapTuple row, void *arg)
{
	List **indexes = arg;
	Form_pg_index form = (Form_pg_index) GETSTRUCT(row);

	if (form->indislive)
		*indexes = lappend_oid(*indexes, form->indexrelid);
	return true;
}

List *
mg_index_list(Oid relid)
{
	List *indexes = NIL;
	ScanKeyData key;

	mg_oid_key(&key, Anum_pg_index_indrelid, relid);
	mg_each_row(IndexRelationId, IndexIndrelidIndexId, 1, &key, mg_keep_index, &indexes);
	list_sort(indexes, list_oid_cmp);
	return indexes;
}

List *
mg_index_forms(Oid relid)
{
	List *forms = NIL;
	ListCell *lc;

	foreach(lc, mg_index_list(relid))
	{
		Form_pg_index form = mg_index_form(lfirst_oid(lc));

		if (form)
			forms = lappend(forms, form);
	}
	return forms;
}

List *
mg_constraints_of(Oid relid)
{
	return mg_rows(ConstraintRelationId, ConstraintRelidTypidNameIndexId,
				   Anum_pg_constraint_conrelid, relid);
}

/* Those of the rows that are foreign keys. */
static List *
mg_only_fkeys(List *rows)
{
	ListCell *lc;

	foreach(lc, rows)
	{
		if (mg_constraint_of(lfirst(lc))->contype != CONSTRAINT_FOREIGN)
			rows = foreach_delete_current(rows, lc);
	}
	return rows;
}

List *
mg_fkey_rows_of(Oid relid)
{
	return mg_only_fkeys(mg_constraints_of(relid));
}

/* Core has no index for that question either. */
List *
mg_fkey_rows_to(Oid relid)
{
	return mg_only_fkeys(
		mg_rows(ConstraintRelationId, InvalidOid, Anum_pg_constraint_confrelid, relid));
}

bool
mg_among_constraints(List *rows, Oid constraint)
{
	ListCell *lc;

	foreach(lc, rows)
	{
		if (mg_constraint_of(lfirst(lc))->oid == constraint)
			return true;
	}
	return false;
}

/*
 * Keys of a foreign key's row: number, columns on both sides, and the
 * operators that compare the referenced with the referencing column.
 */
void
mg_deconstruct_fkey(HeapTuple tuple, int *nkeys, AttrNumber *conkey, AttrNumber *confkey,
					Oid *pf_eq_oprs)
{
	Oid pp_eq_oprs[INDEX_MAX_KEYS];
	Oid ff_eq_oprs[INDEX_MAX_KEYS];
	int ndelete;
	AttrNumber delete_keys[INDEX_MAX_KEYS];

	DeconstructFkConstraintRow(tuple, nkeys, conkey, confkey, pf_eq_oprs, pp_eq_oprs, ff_eq_oprs,
							   &ndelete, delete_keys);
}

bool
mg_sorted_has_oid(const List *sorted, Oid oid)
{
	int low = 0;
	int high = list_length(sorted);

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (list_nth_oid(sorted, middle) < oid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list_length(sorted) && list_nth_oid(sorted, low) == oid;
}
