/*
 * mg_compat.h
 *
 * Owns every difference between the supported PostgreSQL majors: no other
 * file of the project tests PG_VERSION_NUM.
 */
#ifndef MG_COMPAT_H
#define MG_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "migration_guard needs PostgreSQL 15 or later"
#endif

/* Does this backend hold exactly this lock? */
static inline bool
mg_lock_held_by_me(const LOCKTAG *tag, LOCKMODE mode)
{
	return LockHeldByMe(tag, mode);
}

/* All settings of the server, and how many there are. */
static inline struct config_generic **
mg_all_settings(int *count)
{
	*count = GetNumConfigOptions();
	return get_guc_variables();
}

/*
 * Where the main fork of a relation is, relative to the data directory, by
 * its pg_class row alone; NULL if it has no files.  Follows
 * RelationInitPhysicalAddr() and pg_relation_filepath().
 */
static inline char *
mg_relation_path(Form_pg_class form)
{
	RelFileNode node;
	BackendId backend = InvalidBackendId;

	if (!RELKIND_HAS_STORAGE(form->relkind))
		return NULL;

	node.spcNode = form->reltablespace ? form->reltablespace : MyDatabaseTableSpace;
	node.dbNode = node.spcNode == GLOBALTABLESPACE_OID ? InvalidOid : MyDatabaseId;
	node.relNode = form->relfilenode ? form->relfilenode
									 : RelationMapOidToFilenode(form->oid, form->relisshared);
	if (!OidIsValid(node.relNode))
		return NULL;

	if (form->relpersistence == RELPERSISTENCE_TEMP)
	{
		backend = isTempOrTempToastNamespace(form->relnamespace)
					? BackendIdForTempRelations()
					: GetTempNamespaceBackendId(form->relnamespace);
		if (backend == InvalidBackendId)
			return NULL;
	}
	return relpathbackend(node, backend, MAIN_FORKNUM);
}

/* Does a domain, or one that it is made over, have constraints? */
static inline bool
mg_domain_constrained(Oid typid)
{
	return DomainHasConstraints(typid);
}

/*
 * The condition that a new partition's rows have to satisfy is that of its
 * bound and that of its parent, which is added to *qual here.  Returned is the
 * part of it from which the default partition's new condition is derived: up
 * to 17, core hands over the same list for both.
 */
static inline List *
mg_default_partition_base(List **qual, List *parent_qual)
{
	*qual = list_concat(*qual, parent_qual);
	return *qual;
}

/*
 * Keys of a foreign key's row: number, columns on both sides, and the
 * operators that compare the referenced with the referencing column.
 */
static inline void
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

#endif /* MG_COMPAT_H */
