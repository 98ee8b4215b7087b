/*
 * footprint_foreign.c
 *
 * Owns the look at existing foreign keys: whether a partition has one already
 * that core will adopt instead of making (and validating) another.
 *
 * Follows tryAttachPartitionForeignKey() of tablecmds.c.
 */
#include "mg_alter.h"

#include "access/attmap.h"

/* The columns of a table's primary key; their number, or zero. */
static int
mg_primary_key(Oid relid, AttrNumber *keys)
{
	ListCell *lc;

	foreach(lc, mg_index_forms(relid))
	{
		Form_pg_index form = lfirst(lc);

		if (!form->indisprimary)
			continue;
		for (int i = 0; i < form->indnkeyatts; i++)
			keys[i] = form->indkey.values[i];
		return form->indnkeyatts;
	}
	return 0;
}

/* Column names to numbers; false if one is unknown or there are too many. */
static bool
mg_attnums(Oid relid, List *names, AttrNumber *attnums)
{
	int i = 0;
	ListCell *lc;

	if (list_length(names) > INDEX_MAX_KEYS)
		return false;
	foreach(lc, names)
	{
		attnums[i] = get_attnum(relid, strVal(lfirst(lc)));
		if (attnums[i++] == InvalidAttrNumber)
			return false;
	}
	return true;
}

/* The columns that a raw FOREIGN KEY references.  False: they cannot be told. */
bool
mg_referenced_columns(Oid confrelid, Constraint *con, MgFkeyShape *shape)
{
	shape->nkeys = list_length(con->pk_attrs);
	if (con->pk_attrs != NIL)
		return mg_attnums(confrelid, con->pk_attrs, shape->confkey);
	shape->nkeys = mg_primary_key(confrelid, shape->confkey);
	return shape->nkeys > 0;
}

/* What a raw FOREIGN KEY would look like on a partition.  False: it cannot be told. */
bool
mg_fkey_shape_of_constraint(Oid partition, Oid confrelid, Constraint *con, MgFkeyShape *shape)
{
	memset(shape, 0, sizeof(MgFkeyShape));
	shape->confrelid = confrelid;
	shape->nkeys = list_length(con->fk_attrs);
	shape->deferrable = con->deferrable;
	shape->deferred = con->initdeferred;
	shape->updtype = con->fk_upd_action;
	shape->deltype = con->fk_del_action;
	shape->matchtype = con->fk_matchtype;
	shape->enforced = mg_clause_enforced(con);
	shape->name = con->conname;
	if (!OidIsValid(confrelid) || !mg_attnums(partition, con->fk_attrs, shape->conkey))
		return false;
	return mg_referenced_columns(confrelid, con, shape) &&
		   shape->nkeys == list_length(con->fk_attrs);
}

/* Read the shape of an existing foreign key, in the numbers of its own table. */
static void
mg_fkey_shape(HeapTuple tuple, MgFkeyShape *shape)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	Oid ignored[INDEX_MAX_KEYS];

	memset(shape, 0, sizeof(MgFkeyShape));
	shape->confrelid = form->confrelid;
	shape->deferrable = form->condeferrable;
	shape->deferred = form->condeferred;
	shape->updtype = form->confupdtype;
	shape->deltype = form->confdeltype;
	shape->matchtype = form->confmatchtype;
	shape->enforced = mg_row_enforced(form);
	shape->name = pstrdup(NameStr(form->conname));
	mg_deconstruct_fkey(tuple, &shape->nkeys, shape->conkey, shape->confkey, ignored);
}

/* The shape of a parent's foreign key, in the numbers of a partition (to be). */
bool
mg_fkey_shape_of_row(Oid partition, HeapTuple tuple, MgFkeyShape *shape)
{
	Oid parent = ((Form_pg_constraint) GETSTRUCT(tuple))->conrelid;

	mg_fkey_shape(tuple, shape);
	for (int i = 0; i < shape->nkeys; i++)
	{
		char *name = get_attname(parent, shape->conkey[i], true);

		shape->conkey[i] = name ? get_attnum(partition, name) : InvalidAttrNumber;
		if (shape->conkey[i] == InvalidAttrNumber)
			return false;
	}
	return true;
}

/* Do they reference the same by the same columns? */
static bool
mg_fkey_same_keys(const MgFkeyShape *a, const MgFkeyShape *b)
{
	for (int i = 0; i < Min(a->nkeys, b->nkeys); i++)
	{
		if (a->conkey[i] != b->conkey[i] || a->confkey[i] != b->confkey[i])
			return false;
	}
	return a->confrelid == b->confrelid && a->nkeys == b->nkeys;
}

/* And do they do the same? */
static bool
mg_fkey_same_actions(const MgFkeyShape *a, const MgFkeyShape *b)
{
	return a->deferrable == b->deferrable && a->deferred == b->deferred &&
		   a->updtype == b->updtype && a->deltype == b->deltype && a->matchtype == b->matchtype;
}

/*
 * The foreign key of that shape of a partition that has no parent yet and can
 * be adopted, or InvalidOid.  *valid: need not be validated then.  Records
 * core's error if there is one that is enforced where the other is not.
 */
Oid
mg_fkey_find(MgFootprint *fp, Oid partition, const MgFkeyShape *shape, bool *valid)
{
	ListCell *lc;

	foreach(lc, mg_fkey_rows_of(partition))
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));
		MgFkeyShape other;
		bool same;

		mg_fkey_shape(lfirst(lc), &other);
		*valid = form->convalidated;
		same = (*valid || MG_PG_NOT_VALID_FKEY_OF_PARTITIONED) && !OidIsValid(form->conparentid) &&
			   mg_fkey_same_keys(&other, shape);
		if (same && other.enforced != shape->enforced)
		{
			mg_problem(
				fp, ERRCODE_INVALID_OBJECT_DEFINITION,
				"constraint \"%s\" enforceability conflicts with constraint \"%s\" on relation \"%s\"",
				shape->name ? shape->name : other.name, other.name, get_rel_name(partition));
			return InvalidOid;
		}
		if (same && mg_fkey_same_actions(&other, shape))
			return form->oid;
	}
	return InvalidOid;
}
