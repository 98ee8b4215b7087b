/*
 * mg_part.h
 *
 * Owns the private face between the files that know the objects which belong
 * to a relation:
 *
 *   footprint_object.c       looking them up; COMMENT, SECURITY LABEL, DROP, RENAME, DEPENDS
 *   footprint_trigger.c      triggers
 *   footprint_rule.c         rules, views and policies, which carry queries
 *   footprint_statistics.c   extended statistics
 *   footprint_publication.c  publications
 */
#ifndef MG_PART_H
#define MG_PART_H

#include "mg.h"

#include "catalog/objectaddress.h"

/* What there is to know about a trigger. */
typedef struct MgTrigger
{
	Oid oid;
	Oid constraint; /* constraint trigger, or one that a constraint needs */
	Oid parent;     /* trigger of the partitioned table that it comes from */
	bool internal;
} MgTrigger;

/* ------------------------------------------------------------------------
 * footprint_object.c
 * ------------------------------------------------------------------------ */

/* is the relation of one of the kinds that are listed, as letters? */
extern bool mg_kind_is_one_of(Oid relid, const char *kinds);

/*
 * By name, as table_openrv(): no index, no composite type.  InvalidOid: it is
 * missing, only the script knows it, or a problem was recorded.  Becomes the
 * target of the footprint if that has none yet.
 */
extern Oid mg_open_table(MgFootprint *fp, const RangeVar *rv, bool missing_ok);

/* a problem that names the relation and says what core cannot do with its kind */
extern void mg_wrong_kind(MgFootprint *fp, Oid relid, int sqlerrcode, const char *fmt)
	pg_attribute_printf(4, 0);

/* core's checks, each of which records core's own error */
extern bool mg_check_system(MgFootprint *fp, Oid relid); /* no system catalog */
extern bool mg_check_names(MgFootprint *fp,
						   List *names); /* a qualified name that can be looked up */

/* the lock on a relation, unless it is a system catalog */
extern MgEffect *mg_object_effect(MgFootprint *fp, Oid relid, LOCKMODE lockmode, MgRole role,
								  const char *reason);

/* may an earlier statement of the script have made or dropped such things? */
extern bool mg_earlier_statements(MgFootprint *fp);

/* the trigger, rule, policy or constraint of this name, or InvalidOid */
extern Oid mg_part_oid(ObjectType type, Oid relid, const char *name);

/* core's complaint that there is none, unless the script may have made it */
extern void mg_part_missing(MgFootprint *fp, ObjectType type, Oid relid, const char *name);

/* ------------------------------------------------------------------------
 * footprint_trigger.c
 * ------------------------------------------------------------------------ */
extern bool mg_find_trigger(Oid relid, const char *name, MgTrigger *trigger);
extern void mg_rename_trigger(MgFootprint *fp, RenameStmt *stmt);

/* ------------------------------------------------------------------------
 * footprint_rule.c
 * ------------------------------------------------------------------------ */
extern void mg_rename_rule(MgFootprint *fp, RenameStmt *stmt);
extern void mg_rename_policy(MgFootprint *fp, RenameStmt *stmt);

#endif /* MG_PART_H */
