/*
 * droplocks.c
 *
 * Owns the locks that deleting objects takes: which relation each kind of
 * object belongs to, and how strongly core locks it.  Follows the Remove...()
 * functions that doDeletion() of dependency.c calls.
 */
#include "dropwalk.h"

#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"

/* What core says of an object, for reasons. */
static const char *
mg_dependee_name(const ObjectAddress *object)
{
	char *description = getObjectDescription(object, true);

	return description ? description : "an object that is gone";
}

/* The lock on a relation that does not go as a whole itself. */
static void
mg_part_effect(MgDrop *drop, Oid relid, LOCKMODE lockmode, MgRole role, const char *reason)
{
	if (OidIsValid(relid) && !mg_relation_doomed(drop, relid) &&
		!IsToastNamespace(get_rel_namespace(relid)))
		mg_effect(drop->fp, relid, lockmode, role, reason);
}

/* The relation goes as a whole: what is locked, heap_drop_with_catalog() and index_drop() say. */
static void
mg_doomed_relation(MgDrop *drop, MgDoomed *it)
{
	Oid relid = it->object.objectId;
	bool named = (it->flags & MG_DOOM_ORIGINAL) != 0;
	char relkind = get_rel_relkind(relid);
	const char *name = get_rel_name(relid);
	MgEffect *eff;
	MgRole role = MG_ROLE_OTHER;

	if (name == NULL || IsToastNamespace(get_rel_namespace(relid)))
		return;
	if (named && !drop->lock_named)
		return;
	if (named)
		role = MG_ROLE_TARGET;
	else if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
		role = MG_ROLE_INDEX;
	else if (has_superclass(relid))
		role = MG_ROLE_CHILD;

	eff = mg_effect(drop->fp, relid, AccessExclusiveLock, role, NULL);
	if (named)
		mg_note(eff, "it is dropped");
	else
		mg_note(eff, "it is dropped together with %s", mg_dependee_name(&it->dependee));

	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
		mg_part_effect(drop, IndexGetRelation(relid, true), AccessExclusiveLock, MG_ROLE_OTHER,
					   psprintf("its index \"%s\" is dropped", name));
	else if (get_rel_relispartition(relid))
	{
		Oid parent = get_partition_parent(relid, true);
		Oid default_partition;

		if (!OidIsValid(parent))
			return;
		mg_part_effect(drop, parent, AccessExclusiveLock, MG_ROLE_PARENT,
					   psprintf("its partition \"%s\" is dropped", name));
		default_partition = get_default_partition_oid(parent);
		if (default_partition != relid)
			mg_part_effect(drop, default_partition, AccessExclusiveLock, MG_ROLE_DEFAULT_PARTITION,
						   psprintf("its partition constraint changes, because \"%s\" is dropped",
									name));
	}
}

/* A constraint: its table.  RemoveConstraintById(). */
static void
mg_doomed_constraint(MgDrop *drop, Oid objid)
{
	Form_pg_constraint form = mg_constraint_form(objid);
	bool fkey = form && form->contype == CONSTRAINT_FOREIGN;

	if (form)
		mg_part_effect(drop, form->conrelid, AccessExclusiveLock,
					   fkey ? MG_ROLE_PEER : MG_ROLE_OTHER,
					   psprintf("its %s \"%s\" is dropped", fkey ? "foreign key" : "constraint",
								NameStr(form->conname)));
}

/* A trigger: its table, which may be the other side of a foreign key.  RemoveTriggerById(). */
static void
mg_doomed_trigger(MgDrop *drop, Oid objid)
{
	HeapTuple tuple = mg_row(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, objid);
	Form_pg_trigger form;
	char *conname;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_trigger) GETSTRUCT(tuple);
	conname = OidIsValid(form->tgconstraint) ? get_constraint_name(form->tgconstraint) : NULL;
	if (form->tgisinternal && conname)
		mg_part_effect(drop, form->tgrelid, AccessExclusiveLock, MG_ROLE_PEER,
					   psprintf("its triggers of foreign key \"%s\" are dropped", conname));
	else
		mg_part_effect(drop, form->tgrelid, AccessExclusiveLock, MG_ROLE_OTHER,
					   psprintf("its trigger \"%s\" is dropped", NameStr(form->tgname)));
}

/* Extended statistics: their table, weakly.  RemoveStatisticsById(). */
static void
mg_doomed_statistics(MgDrop *drop, Oid objid)
{
	HeapTuple tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(objid));
	Form_pg_statistic_ext form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	mg_part_effect(drop, form->stxrelid, ShareUpdateExclusiveLock, MG_ROLE_OTHER,
				   psprintf("its statistics object \"%s\" is dropped", NameStr(form->stxname)));
	ReleaseSysCache(tuple);
}

/* Parts of other relations that are deleted take locks on those. */
static void
mg_doomed_part(MgDrop *drop, MgDoomed *it)
{
	Oid objid = it->object.objectId;
	HeapTuple tuple;

	if ((it->flags & MG_DOOM_ORIGINAL) && !drop->lock_named)
		return;
	switch (it->object.classId)
	{
		case RelationRelationId:
			mg_part_effect(drop, objid, AccessExclusiveLock,
						   (it->flags & MG_DOOM_ORIGINAL) ? MG_ROLE_TARGET : MG_ROLE_OTHER,
						   "one of its columns is dropped");
			break;
		case ConstraintRelationId:
			mg_doomed_constraint(drop, objid);
			break;
		case TriggerRelationId:
			mg_doomed_trigger(drop, objid);
			break;
		case StatisticExtRelationId:
			mg_doomed_statistics(drop, objid);
			break;
		case AttrDefaultRelationId:
			tuple = mg_row(AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid,
						   objid);
			if (HeapTupleIsValid(tuple))
				mg_part_effect(drop, ((Form_pg_attrdef) GETSTRUCT(tuple))->adrelid,
							   AccessExclusiveLock, MG_ROLE_OTHER,
							   "the default of one of its columns is dropped");
			break;
		case RewriteRelationId:
			tuple = mg_row(RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, objid);
			if (HeapTupleIsValid(tuple))
				mg_part_effect(drop, ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class,
							   AccessExclusiveLock, MG_ROLE_OTHER, "one of its rules is dropped");
			break;
		case PolicyRelationId:
			tuple = mg_row(PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, objid);
			if (HeapTupleIsValid(tuple))
				mg_part_effect(drop, ((Form_pg_policy) GETSTRUCT(tuple))->polrelid,
							   AccessExclusiveLock, MG_ROLE_OTHER,
							   "one of its policies is dropped");
			break;
		default:
			break;
	}
}

/*
 * Add the locks that deleting some objects takes, and record a problem if
 * core would refuse.  objects: List of ObjectAddress; those that depend on
 * each other may go together without CASCADE.  lock_named: also the locks that
 * deleting those themselves takes; otherwise only what goes with them.
 * Returns all objects that would be deleted, those named first.  Follows
 * performMultipleDeletions().
 */
List *
mg_drop_objects(MgFootprint *fp, List *objects, DropBehavior behavior, bool lock_named)
{
	MgDrop drop = {0};
	List *gone = NIL;
	int i;

	drop.fp = fp;
	drop.objects = objects;
	drop.lock_named = lock_named;
	mg_drop_walk_objects(&drop, behavior);

	/* what the statement names first, as people expect to read it */
	for (i = list_length(drop.doomed) - 1; i >= 0; i--)
	{
		MgDoomed *it = list_nth(drop.doomed, i);

		if (it->object.classId == RelationRelationId && it->object.objectSubId == 0)
			mg_doomed_relation(&drop, it);
		gone = lappend(gone, &it->object);
		fp->gone = lappend(fp->gone, it);
	}
	for (i = list_length(drop.doomed) - 1; i >= 0; i--)
	{
		MgDoomed *it = list_nth(drop.doomed, i);

		if (it->object.classId != RelationRelationId || it->object.objectSubId != 0)
			mg_doomed_part(&drop, it);
		if (it->object.classId == RewriteRelationId || it->object.classId == TriggerRelationId ||
			it->object.classId == PolicyRelationId)
			fp->dropped = lappend_oid(fp->dropped, it->object.objectId);
	}
	return gone;
}
