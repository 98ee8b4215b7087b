/*
 * indexmatch.h
 *
 * Owns the private face of indexmatch.c: what makes two indexes the same, as
 * far as partitioning goes.  See mg.h for the public questions.
 */
#ifndef INDEXMATCH_H
#define INDEXMATCH_H

#include "mg.h"

typedef struct MgIndexShape MgIndexShape;

extern MgIndexShape *mg_index_shape_of_stmt(IndexStmt *stmt, Oid relid, const char *source);
extern bool mg_index_has_shape(Oid index, Oid relid, MgIndexShape *shape);

#endif /* INDEXMATCH_H */
