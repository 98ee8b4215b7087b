/*
 * dropwalk.c
 *
 * Owns the answer to "what goes with it?": the objects that core would delete
 * together with a given one.  The walk over pg_depend follows
 * findDependentObjects() and reportDependentObjects() of dependency.c, without
 * their locks: those are what is to be predicted, by droplocks.c.
 */
#include "dropwalk.h"

#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"

/* as many dependents as core names in an error */
#define MG_MAX_NAMED 100

/* An object under examination, and from where it was reached. */
typedef struct MgDropStack
{
	const ObjectAddress *object;
	int flags;
	struct MgDropStack *up;
} MgDropStack;

/* A dependent found in pg_depend. */
typedef struct MgDependent
{
	ObjectAddress object;
	int flags;
} MgDependent;

typedef struct MgDoomedKey
{
	Oid classid;
	Oid objid;
} MgDoomedKey;

typedef struct MgDoomedSlot
{
	MgDoomedKey key;
	char status;
	MgDoomed *first;
} MgDoomedSlot;

#define SH_PREFIX mgdoom
#define SH_ELEMENT_TYPE MgDoomedSlot
#define SH_KEY_TYPE MgDoomedKey
#define SH_KEY key
#define SH_HASH_KEY(tb, k) (((uint32) (k).objid * 2654435761u) ^ (uint32) (k).classid)
#define SH_EQUAL(tb, a, b) ((a).objid == (b).objid && (a).classid == (b).classid)
#include "mg_simplehash.h"

static void mg_doom(MgDrop *drop, const ObjectAddress *object, int flags, MgDropStack *stack);

static const char *
mg_describe(const ObjectAddress *object)
{
	char *description = getObjectDescription(object, true);

	return description ? description : "an object that is gone";
}

/*
 * Refuse, unless earlier statements of a script may have removed the reason:
 * their work is not in the catalogs.
 */
static void
mg_drop_refuse(MgDrop *drop, const char *detail, const char *hint, const char *message)
{
	MgFootprint *fp = drop->fp;

	drop->refused = true;
	if (fp->problem || (fp->script && (fp->script->altered != NIL || fp->script->gone != NIL ||
									   fp->script->changed)))
		return;
	mg_problem(fp, ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST, "%s", message);
	fp->problem->detail = detail ? pstrdup(detail) : NULL;
	fp->problem->hint = hint ? pstrdup(hint) : NULL;
}

static void
mg_drop_required(MgDrop *drop, const ObjectAddress *object, const ObjectAddress *owner)
{
	const char *name = mg_describe(owner);

	mg_drop_refuse(drop, NULL, psprintf("You can drop %s instead.", name),
				   psprintf("cannot drop %s because %s requires it", mg_describe(object), name));
}

/* Is it on the list already?  If so, one more reason.  As object_address_present_add_flags(). */
static bool
mg_doomed_already(MgDrop *drop, const ObjectAddress *object, int flags)
{
	MgDoomedKey key = {object->classId, object->objectId};
	MgDoomedSlot *slot = mgdoom_lookup(drop->index, key);
	bool result = false;
	MgDoomed *it;

	for (it = slot ? slot->first : NULL; it != NULL; it = it->sibling)
	{
		if (it->object.objectSubId == object->objectSubId)
		{
			it->flags |= flags;
			result = true;
		}
		else if (it->object.objectSubId == 0)
			result = true;
		else if (object->objectSubId == 0 && flags)
			it->flags |= flags | MG_DOOM_SUBOBJECT;
	}
	return result;
}

/* The same for what is being examined.  As stack_address_present_add_flags(). */
static bool
mg_doom_in_progress(MgDropStack *stack, const ObjectAddress *object, int flags)
{
	bool result = false;

	for (; stack != NULL; stack = stack->up)
	{
		if (stack->object->classId != object->classId ||
			stack->object->objectId != object->objectId)
			continue;
		if (stack->object->objectSubId == object->objectSubId)
		{
			stack->flags |= flags;
			result = true;
		}
		else if (stack->object->objectSubId == 0)
			result = true;
		else if (object->objectSubId == 0 && flags)
			stack->flags |= flags | MG_DOOM_SUBOBJECT;
	}
	return result;
}

static void
mg_doom_add(MgDrop *drop, const ObjectAddress *object, int flags, const ObjectAddress *dependee)
{
	MgDoomed *doomed = palloc0(sizeof(MgDoomed));
	MgDoomedKey key = {object->classId, object->objectId};
	MgDoomedSlot *slot;
	bool found;

	doomed->object = *object;
	doomed->flags = flags;
	if (dependee)
		doomed->dependee = *dependee;
	slot = mgdoom_insert(drop->index, key, &found);
	doomed->sibling = found ? slot->first : NULL;
	slot->first = doomed;
	drop->doomed = lappend(drop->doomed, doomed);
}

static bool
mg_drop_names(MgDrop *drop, const ObjectAddress *object)
{
	ListCell *lc;

	foreach(lc, drop->objects)
	{
		const ObjectAddress *named = lfirst(lc);

		if (named->classId == object->classId && named->objectId == object->objectId &&
			(named->objectSubId == object->objectSubId || named->objectSubId == 0))
			return true;
	}
	return false;
}

/*
 * Look at what the object belongs to.  False: it is (or will be) dealt with
 * as a part of its owner, or cannot be dropped.  *flags and *partition_owner
 * learn of owners by partitioning.
 */
static bool
mg_doom_owners(MgDrop *drop, const ObjectAddress *object, int *flags, MgDropStack *stack,
			   ObjectAddress *partition_owner)
{
	ObjectAddress owner = {InvalidOid, InvalidOid, 0};
	ObjectAddress instead = {InvalidOid, InvalidOid, 0};
	ListCell *lc;

	foreach(lc, mg_depend_rows(object, false))
	{
		Form_pg_depend form = lfirst(lc);
		ObjectAddress other = {form->refclassid, form->refobjid, form->refobjsubid};

		if (other.classId == object->classId && other.objectId == object->objectId &&
			object->objectSubId == 0)
			continue;
		if (form->deptype == DEPENDENCY_PARTITION_PRI || form->deptype == DEPENDENCY_PARTITION_SEC)
		{
			if (form->deptype == DEPENDENCY_PARTITION_PRI || !(*flags & MG_DOOM_IS_PART))
				*partition_owner = other;
			*flags |= MG_DOOM_IS_PART;
			continue;
		}
		if (form->deptype != DEPENDENCY_INTERNAL && form->deptype != DEPENDENCY_EXTENSION)
			continue;
		if (form->deptype == DEPENDENCY_EXTENSION && creating_extension &&
			other.classId == ExtensionRelationId && other.objectId == CurrentExtensionObject)
			continue;
		if (stack == NULL)
		{
			if (mg_drop_names(drop, &other))
				return false;
			if (!OidIsValid(owner.classId) || form->deptype == DEPENDENCY_EXTENSION)
				owner = other;
		}
		else if (!mg_doom_in_progress(stack, &other, 0))
		{
			instead = other;
			break;
		}
	}

	if (OidIsValid(instead.classId))
	{
		mg_doom(drop, &instead, MG_DOOM_REVERSE, stack);
		(void) mg_doomed_already(drop, object, *flags);
		return false;
	}
	if (OidIsValid(owner.classId))
	{
		mg_drop_required(drop, object,
						 OidIsValid(partition_owner->classId) ? partition_owner : &owner);
		return false;
	}
	return true;
}

/* Newer objects first, as core does it. */
static int
mg_dependent_cmp(const void *a, const void *b)
{
	const ObjectAddress *x = &((const MgDependent *) a)->object;
	const ObjectAddress *y = &((const MgDependent *) b)->object;

	if (x->objectId != y->objectId)
		return x->objectId > y->objectId ? -1 : 1;
	if (x->classId != y->classId)
		return x->classId < y->classId ? -1 : 1;
	if (x->objectSubId != y->objectSubId)
		return (uint32) x->objectSubId < (uint32) y->objectSubId ? -1 : 1;
	return 0;
}

/* What depends on the object directly; palloc'd array, *count elements. */
static MgDependent *
mg_dependents(const ObjectAddress *object, int *count)
{
	List *rows = mg_depend_rows(object, true);
	MgDependent *result = palloc(Max(list_length(rows), 1) * sizeof(MgDependent));
	ListCell *lc;

	*count = 0;
	foreach(lc, rows)
	{
		Form_pg_depend form = lfirst(lc);
		MgDependent *it;

		if (form->classid == object->classId && form->objid == object->objectId &&
			object->objectSubId == 0)
			continue;
		it = &result[(*count)++];
		ObjectAddressSubSet(it->object, form->classid, form->objid, form->objsubid);
		switch (form->deptype)
		{
			case DEPENDENCY_NORMAL:
				it->flags = MG_DOOM_NORMAL;
				break;
			case DEPENDENCY_INTERNAL:
				it->flags = MG_DOOM_INTERNAL;
				break;
			case DEPENDENCY_PARTITION_PRI:
			case DEPENDENCY_PARTITION_SEC:
				it->flags = MG_DOOM_PARTITION;
				break;
			case DEPENDENCY_EXTENSION:
				it->flags = MG_DOOM_EXTENSION;
				break;
			default:
				it->flags = MG_DOOM_AUTO;
				break;
		}
	}
	list_free_deep(rows);
	qsort(result, *count, sizeof(MgDependent), mg_dependent_cmp);
	return result;
}

/* Add an object and everything that depends on it.  As findDependentObjects(). */
static void
mg_doom(MgDrop *drop, const ObjectAddress *object, int flags, MgDropStack *stack)
{
	MgDropStack level;
	MgDependent *dependents;
	ObjectAddress partition_owner = {InvalidOid, InvalidOid, 0};
	int count;
	int i;

	if (drop->refused || stack_is_too_deep())
		return;
	if (mg_doom_in_progress(stack, object, flags) || mg_doomed_already(drop, object, flags))
		return;
	if (IsPinnedObject(object->classId, object->objectId))
	{
		mg_drop_refuse(drop, NULL, NULL,
					   psprintf("cannot drop %s because it is required by the database system",
								mg_describe(object)));
		return;
	}
	if (!mg_doom_owners(drop, object, &flags, stack, &partition_owner))
		return;

	level.object = object;
	level.flags = flags;
	level.up = stack;
	dependents = mg_dependents(object, &count);
	for (i = 0; i < count; i++)
		mg_doom(drop, &dependents[i].object, dependents[i].flags, &level);
	pfree(dependents);

	if (level.flags & MG_DOOM_IS_PART)
		mg_doom_add(drop, object, level.flags, &partition_owner);
	else
		mg_doom_add(drop, object, level.flags, stack ? stack->object : NULL);
}

/* Would core refuse?  As reportDependentObjects(). */
static void
mg_drop_permitted(MgDrop *drop, DropBehavior behavior)
{
	StringInfoData detail;
	int named = 0;
	int unnamed = 0;
	int i;
	ListCell *lc;

	foreach(lc, drop->doomed)
	{
		MgDoomed *it = lfirst(lc);

		if ((it->flags & MG_DOOM_IS_PART) && !(it->flags & MG_DOOM_PARTITION))
		{
			mg_drop_required(drop, &it->object, &it->dependee);
			return;
		}
	}
	if (behavior == DROP_CASCADE)
		return;

	initStringInfo(&detail);
	for (i = list_length(drop->doomed) - 1; i >= 0; i--)
	{
		MgDoomed *it = list_nth(drop->doomed, i);

		if (it->flags & (MG_DOOM_ORIGINAL | MG_DOOM_SUBOBJECT | MG_DOOM_SILENT))
			continue;
		if (named >= MG_MAX_NAMED)
		{
			unnamed++;
			continue;
		}
		appendStringInfo(&detail, "%s%s depends on %s", named++ ? "\n" : "",
						 mg_describe(&it->object), mg_describe(&it->dependee));
	}
	if (named == 0)
		return;
	if (unnamed > 0)
		appendStringInfo(&detail, "\nand %d other %s", unnamed,
						 unnamed == 1 ? "object" : "objects");
	mg_drop_refuse(drop, detail.data, "Use DROP ... CASCADE to drop the dependent objects too.",
				   list_length(drop->objects) == 1
					   ? psprintf("cannot drop %s because other objects depend on it",
								  mg_describe(linitial(drop->objects)))
					   : "cannot drop desired object(s) because other objects depend on them");
}

/* Will the whole relation go? */
bool
mg_relation_doomed(MgDrop *drop, Oid relid)
{
	MgDoomedKey key = {RelationRelationId, relid};
	MgDoomedSlot *slot = mgdoom_lookup(drop->index, key);
	MgDoomed *it;

	for (it = slot ? slot->first : NULL; it != NULL; it = it->sibling)
	{
		if (it->object.objectSubId == 0)
			return true;
	}
	return false;
}

/*
 * Find everything that goes with drop->objects, into drop->doomed, and record
 * a problem if core would refuse.
 */
void
mg_drop_walk_objects(MgDrop *drop, DropBehavior behavior)
{
	ListCell *lc;

	drop->index = mgdoom_create(CurrentMemoryContext, 16, NULL);
	foreach(lc, drop->objects)
		mg_doom(drop, lfirst(lc), MG_DOOM_ORIGINAL, NULL);

	if (!drop->refused)
		mg_drop_permitted(drop, behavior);
}
