/*
 * mg_script.h
 *
 * Owns the private face between the files that follow a script in a dry run:
 *
 *   script.c          transactions, savepoints, settings, and what is kept until they end
 *   script_names.c    what a name means after the script so far
 *   script_objects.c  which relations and constraints a statement makes
 */
#ifndef MG_SCRIPT_H
#define MG_SCRIPT_H

#include "mg.h"

/* script.c: take note of something, until the script rolls it back */
extern void mg_script_keep_name(MgScript *script, MgScriptName *name);
extern List *mg_script_names(MgScript *script, const char *name);
extern void mg_script_add_gone(MgScript *script, Oid relid);
extern void mg_script_add_altered(MgScript *script, Oid relid);
extern void mg_script_add_column(MgScript *script, Oid relid, const char *name);
extern void mg_script_add_constraint(MgScript *script, Oid relid, Constraint *constraint);
extern void mg_script_add_lock(MgScript *script, Oid relid, LOCKMODE lockmode, const char *command);

/* script_names.c */
extern void mg_script_add_name(MgScript *script, const RangeVar *rv, Oid relid, bool present);
extern char *mg_creation_schema(void);

/* existing relation that a name means after the script so far, or InvalidOid; never raises */
extern Oid mg_script_resolve(MgScript *script, const RangeVar *rv);

/* script_objects.c */
extern void mg_script_objects(MgScript *script, Node *stmt);

#endif /* MG_SCRIPT_H */
