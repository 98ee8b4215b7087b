/*
 * dropwalk.h
 *
 * Owns the private face between dropwalk.c, which finds what is deleted
 * together with an object, and droplocks.c, which knows the locks.
 */
#ifndef DROPWALK_H
#define DROPWALK_H

#include "mg.h"

#include "catalog/objectaddress.h"

/* Why an object is deleted, as core's flags of the same meaning. */
#define MG_DOOM_ORIGINAL 0x0001 /* named in the statement */
#define MG_DOOM_NORMAL 0x0002
#define MG_DOOM_AUTO 0x0004
#define MG_DOOM_INTERNAL 0x0008
#define MG_DOOM_PARTITION 0x0010
#define MG_DOOM_EXTENSION 0x0020
#define MG_DOOM_REVERSE 0x0040   /* reached from something that it owns */
#define MG_DOOM_IS_PART 0x0080   /* has an owner by partitioning */
#define MG_DOOM_SUBOBJECT 0x0100 /* a column whose table goes as well */

/* reached in one of these ways, an object goes without CASCADE too */
#define MG_DOOM_SILENT (MG_DOOM_AUTO | MG_DOOM_INTERNAL | MG_DOOM_PARTITION | MG_DOOM_EXTENSION)

/* An object that will be deleted. */
typedef struct MgDoomed
{
	ObjectAddress object;
	ObjectAddress dependee; /* because of which, if not ORIGINAL */
	int flags;
	struct MgDoomed *sibling; /* another part of the same object */
} MgDoomed;

struct mgdoom_hash;

/* One deletion under examination. */
typedef struct MgDrop
{
	MgFootprint *fp;
	List *objects;   /* of ObjectAddress: named in the statement */
	bool lock_named; /* effects on those, too */
	List *doomed;    /* of MgDoomed, dependents before what they depend on */
	struct mgdoom_hash *index;
	bool refused; /* a problem was found: look no further */
} MgDrop;

extern void mg_drop_walk_objects(MgDrop *drop, DropBehavior behavior);
extern bool mg_relation_doomed(MgDrop *drop, Oid relid);

#endif /* DROPWALK_H */
