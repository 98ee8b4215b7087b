/*
 * mg_script.h
 *
 * Owns the private face between the files that follow a script in a dry run:
 *
 *   script.c          transactions, savepoints, settings, and what is kept until they end
 *   script_names.c    what a name means after the script so far
 *   script_objects.c  which relations and constraints a statement makes
 *   script_writes.c   which rows a statement changes: INSERT, UPDATE, DELETE, MERGE, COPY
 *   script_moves.c    which names a statement takes away: RENAME, SET SCHEMA, DROP
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
extern void mg_script_add_index(MgScript *script, Oid relid, IndexStmt *stmt);
extern void mg_script_add_lock(MgScript *script, Oid relid, LOCKMODE lockmode, const char *command);

/* a schema is made, or has this name now (present; nspid: it exists already), or is gone */
extern void mg_script_add_schema(MgScript *script, const char *name, Oid nspid, bool present);

/* script_names.c */
extern void mg_script_add_name(MgScript *script, const RangeVar *rv, Oid relid, bool present);
extern char *mg_creation_schema(void);

/* existing relation that a name means after the script so far, or InvalidOid; never raises */
extern Oid mg_script_resolve(MgScript *script, const RangeVar *rv);

extern char *mg_script_schema_of(MgScript *script, const RangeVar *rv);
extern RangeVar *mg_script_name_of(MgScript *script, Oid relid);
extern List *mg_script_names_in(MgScript *script, const char *schema);

/* script_moves.c */
extern void mg_script_moves(MgScript *script, Node *stmt);
extern void mg_script_removed(MgScript *script, List *relids);

/* script_writes.c */
extern void mg_script_writes(MgScript *script, Node *stmt);

/* script_objects.c */
extern void mg_script_objects(MgScript *script, Node *stmt);

#endif /* MG_SCRIPT_H */
