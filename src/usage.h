/*
 * usage.h
 *
 * Owns the private face between the files that ask who else depends on what
 * a statement takes away:
 *
 *   usage.c                what the statistics and the lock manager know of its use
 *   rule_destructive.c     rules about relations and columns that go or change their names
 *   rule_index.c           rules about indexes that go, or are missing, and foreign keys
 *   replicas.c             standbys, publications
 *   rule_identity.c        the rule about the replica identity of published tables
 *   advice_destructive.c   what to do instead
 */
#ifndef MG_USAGE_H
#define MG_USAGE_H

#include "mg.h"

/* What is known about the use of a relation; of a partitioned one, the sum of its leaves. */
typedef struct MgUse
{
	Oid relid;
	char relkind;
	bool partition;        /* what it is used for is asked of its parent */
	bool counted;          /* the server counts, and keeps counters for this kind */
	double seq_scans;      /* of a table; of an index 0 */
	double rows_read;      /* by those */
	double index_scans;    /* by all indexes of a table; of an index by itself */
	double writes;         /* rows inserted, updated or deleted */
	double inserts;        /* rows inserted */
	double recent;         /* rows changed since it was last analyzed */
	double deletes;        /* rows deleted */
	double changes;        /* rows updated or deleted */
	double rows;           /* that it has now */
	TimestampTz last_scan; /* 0: never, or the server does not record it */
	TimestampTz since;     /* when counting began; 0: not known */
	List *holders;         /* of MgBlocker: who has a lock that keeps it from being dropped */
} MgUse;

/* ------------------------------------------------------------------------
 * usage.c
 * ------------------------------------------------------------------------ */
extern MgUse *mg_use(Oid relid);
extern bool mg_in_use(const MgUse *use);

/* relations whose use is nobody else's business: new, temporary, system catalogs */
extern bool mg_use_exempt(Oid relid);

/* of MgUse: worst first, and sentences about the first few for DETAIL */
extern List *mg_use_sort(List *uses);
extern List *mg_use_facts(List *facts, List *uses);

/* OIDs of the relations that go as a whole, sorted, and the question whether one is among them */
extern List *mg_gone_relids(MgFootprint *fp);
extern bool mg_is_gone(const List *gone, Oid relid);

/* a column's name; where it is gone meanwhile, its number: the analysis never raises */
extern char *mg_attribute_name(Oid relid, AttrNumber attnum);
extern char *mg_plural(int count, const char *noun); /* "1 view", "3 policies" */

/* ------------------------------------------------------------------------
 * Predicates: see MgRule.applies
 * ------------------------------------------------------------------------ */
extern bool mg_drops_used(MgFootprint *fp, MgFinding *finding); /* rule_destructive.c */
extern bool mg_truncates_used(MgFootprint *fp, MgFinding *finding);
extern bool mg_drops_used_column(MgFootprint *fp, MgFinding *finding);
extern bool mg_renames_used(MgFootprint *fp, MgFinding *finding);
extern bool mg_drops_used_index(MgFootprint *fp, MgFinding *finding); /* rule_index.c */
extern bool mg_drops_fkey_index(MgFootprint *fp, MgFinding *finding);
extern bool mg_adds_fkey_without_index(MgFootprint *fp, MgFinding *finding);
extern bool mg_loses_replica_identity(MgFootprint *fp, MgFinding *finding); /* rule_identity.c */

/* replicas.c: publications of a table, as OIDs; those among some that publish UPDATE or DELETE
 * (rows) or TRUNCATE; their names, in quotes */
extern List *mg_publications(Oid relid);
extern List *mg_publishing(List *pubs, bool rows, bool truncate);
extern const char *mg_publication_names(List *pubs);

/* rule_index.c: would an index find the rows with given values of these columns (of String)? */
extern bool mg_fkey_has_index(MgFootprint *fp, Oid relid, List *columns);

/* the referencing columns of a foreign key's row, as String */
extern List *mg_fkey_columns(HeapTuple tuple);

extern bool mg_column_not_null(Oid relid, AttrNumber attnum); /* usage.c */

extern bool mg_is_emptied(MgFootprint *fp, MgEffect *eff); /* rule_destructive.c: by TRUNCATE */

/* rule_destructive.c: what a statement renames or moves; false: it is something else */
typedef struct MgRenaming
{
	const char *column; /* NULL: the relation itself */
	const char *name;   /* the new one */
	const char *schema; /* the new one, of SET SCHEMA */
} MgRenaming;

extern bool mg_renaming(MgFootprint *fp, MgRenaming *renaming);

#endif /* MG_USAGE_H */
