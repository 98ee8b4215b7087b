/*
 * queryread.h
 *
 * Owns the private face of queryread.c: queries inside of utility statements.
 */
#ifndef MG_QUERYREAD_H
#define MG_QUERYREAD_H

#include "mg.h"

#include "nodes/params.h"
#include "nodes/plannodes.h"

/* A query under examination. */
typedef struct MgQuery
{
	Node *raw;          /* what it is before analysis, or NULL */
	Node *select;       /* the part of it that names relations, or NULL */
	const char *source; /* its text */
	Query *query;       /* analyzed; of CREATE TABLE AS: the utility statement */
	Query *rewritten;   /* with rules and views */
	PlannedStmt *plan;  /* NULL: not planned */
	bool execute;       /* it will be executed, so it is to be planned */
	bool foreign_text;  /* a dry run: the text may be anybody's */
	Oid *paramtypes;    /* of a prepared statement */
	int nparams;
	Oid stranger;         /* the other role that it is analyzed as, or InvalidOid */
	ParamListInfo params; /* values, or NULL */
	MgProblem *problem;   /* why it could not be examined */
} MgQuery;

extern bool mg_query_examine(MgQuery *query, Oid owner);
extern void mg_query_reads(MgQuery *query, MgFootprint *fp, MgCause cause);

#endif /* MG_QUERYREAD_H */
