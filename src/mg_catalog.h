/*
 * mg_catalog.h
 *
 * The face of catalog.c: rows of catalogs, read without a lock on what they
 * describe.
 */
#ifndef MG_CATALOG_H
#define MG_CATALOG_H

#include "mg_prelude.h"

/* What is done with a row, which is only there for the call.  False: that was enough. */
typedef bool (*MgRowFn)(HeapTuple row, void *arg);

/*
 * Go through the rows for which all keys hold, in the order of an index, or,
 * if index is InvalidOid, in that of the heap.  For what finds many rows;
 * what finds a few is easier to write with the functions below.
 */
extern void mg_oid_key(ScanKey key, AttrNumber column, Oid value);
extern void mg_each_row(Oid catalog, Oid index, int nkeys, ScanKey keys, MgRowFn fn, void *arg);

/* The rows with an OID in one column: List of HeapTuple, copies. */
extern List *mg_rows(Oid catalog, Oid index, AttrNumber column, Oid value);

/* The first of them, or NULL. */
extern HeapTuple mg_row(Oid catalog, Oid index, AttrNumber column, Oid value);

/* The row of a part of a relation, by its name; a copy, or NULL. */
extern HeapTuple mg_named_row(Oid catalog, Oid index, AttrNumber relid_column, Oid relid,
							  AttrNumber name_column, const char *name);

/* A column of a row that was found by these, as heap_getattr(). */
extern Datum mg_row_value(Oid catalog, HeapTuple row, AttrNumber column, bool *isnull);

/*
 * The entries of pg_depend of an object, or of all of its columns, too, if its
 * objectSubId is zero: what it depends on, or if referenced, what depends on
 * it.  List of Form_pg_depend, each palloc'd.
 */
extern List *mg_depend_rows(const ObjectAddress *object, bool referenced);

/* an address as an element of a List */
extern ObjectAddress *mg_address(Oid classid, Oid objid, int32 objsubid);

/* Rows of pg_class with the columns of fixed length, as OIDs in the order of the catalog. */
typedef bool (*MgClassFilter)(Form_pg_class form, void *arg);
extern List *mg_relations_where(MgClassFilter filter, void *arg);

/* Copies of cached rows, of pg_class without the columns of variable length; NULL: gone. */
extern Form_pg_class mg_class_form(Oid relid);
extern Form_pg_index mg_index_form(Oid index);
extern Form_pg_constraint mg_constraint_form(Oid constraint);
extern Form_pg_type mg_type_form(Oid typid);
extern AttrNumber mg_column_count(Oid relid); /* those that were dropped included; zero: gone */
extern Oid mg_index_method(Oid index);        /* its access method */

/* The indexes of a table that are not being dropped concurrently, in the order of their OIDs. */
extern List *mg_index_list(Oid relid);  /* OIDs */
extern List *mg_index_forms(Oid relid); /* of Form_pg_index, copies */

/* The constraints of a table, of those its foreign keys, and those that reference it: List of
 * HeapTuple, copies. */
extern List *mg_constraints_of(Oid relid);
extern List *mg_fkey_rows_of(Oid relid);
extern List *mg_fkey_rows_to(Oid relid);
extern bool mg_among_constraints(List *rows, Oid constraint);

/* Keys of a foreign key's row; arrays of INDEX_MAX_KEYS. */
extern void mg_deconstruct_fkey(HeapTuple tuple, int *nkeys, AttrNumber *conkey,
								AttrNumber *confkey, Oid *pf_eq_oprs);

/* Is an OID among those of a list that list_oid_cmp() has sorted? */
extern bool mg_sorted_has_oid(const List *sorted, Oid oid);

/* the columns of fixed length of such a row */
static inline Form_pg_constraint
mg_constraint_of(HeapTuple row)
{
	return (Form_pg_constraint) GETSTRUCT(row);
}

#endif /* MG_CATALOG_H */
