/*
 * indexmatch.c
 *
 * Owns the question whether an index that a partition has already will do as
 * the partition's share of an index of its parent.  Follows CompareIndexInfo()
 * of index.c, and its callers DefineIndex() (indexcmds.c) and
 * AttachPartitionEnsureIndexes() (tablecmds.c), but reads system caches only:
 * with thousands of partitions, opening every index would cost more than all
 * the rest.
 *
 * Expressions and predicates are simplified as the planner does it before
 * they are compared.  That may run immutable functions, so it is done as the
 * table's owner in a security-restricted context, as core does it, and inside
 * mg_attempt().  What cannot be compared does not match: the guard then
 * expects an index build, which errs to the safe side.
 */
#include "indexmatch.h"

#include "access/attmap.h"
#include "catalog/pg_am.h"
#include "commands/defrem.h"
#include "optimizer/optimizer.h"
#include "optimizer/prep.h"
#include "parser/parse_utilcmd.h"
#include "rewrite/rewriteManip.h"

/* What CompareIndexInfo() looks at. */
struct MgIndexShape
{
	Oid relid; /* table whose columns the numbers and trees mean */
	Oid am;
	bool unique;
	bool nulls_not_distinct;
	bool exclusion;
	bool constraint; /* backs a constraint, so must its match */
	int natts;
	int nkeyatts;
	AttrNumber attnums[INDEX_MAX_KEYS]; /* 0: an expression */
	Oid collations[INDEX_MAX_KEYS];
	Oid opfamilies[INDEX_MAX_KEYS];
	bool has_trees; /* has expressions or a predicate */
	bool planned;   /* the next two are ready to compare */
	List *expressions;
	List *predicate;
	char *expressions_text; /* as stored, while not planned */
	char *predicate_text;
};

/* Arguments of the functions below that run in mg_attempt(). */
typedef struct MgShapeJob
{
	IndexStmt *stmt;
	const char *source;
	Oid relid;
	Relation rel;
	MgIndexShape *shape;
	MgIndexShape *other;
	bool result;
} MgShapeJob;

/* ------------------------------------------------------------------------
 * Shapes
 * ------------------------------------------------------------------------ */

/* As RelationGetIndexExpressions(), on a tree that was read or analyzed. */
static List *
mg_plan_expressions(List *expressions)
{
	expressions = (List *) eval_const_expressions(NULL, (Node *) expressions);
	fix_opfuncids((Node *) expressions);
	return expressions;
}

/* As RelationGetIndexPredicate(). */
static List *
mg_plan_predicate(Node *predicate)
{
	List *result;

	predicate = eval_const_expressions(NULL, predicate);
	predicate = (Node *) canonicalize_qual((Expr *) predicate, false);
	result = make_ands_implicit((Expr *) predicate);
	fix_opfuncids((Node *) result);
	return result;
}

/* Make the trees of a stored index comparable. */
static void
mg_shape_plan(MgIndexShape *shape)
{
	if (shape->planned)
		return;
	if (shape->expressions_text)
		shape->expressions = mg_plan_expressions(stringToNode(shape->expressions_text));
	if (shape->predicate_text)
		shape->predicate = mg_plan_predicate(stringToNode(shape->predicate_text));
	shape->planned = true;
}

static void
mg_index_vector(HeapTuple tuple, AttrNumber column, int count, Oid *values)
{
	bool isnull;
	Datum datum = SysCacheGetAttr(INDEXRELID, tuple, column, &isnull);

	for (int i = 0; i < count && !isnull; i++)
		values[i] = ((oidvector *) DatumGetPointer(datum))->values[i];
}

static char *
mg_index_text(HeapTuple tuple, AttrNumber column)
{
	bool isnull;
	Datum datum = SysCacheGetAttr(INDEXRELID, tuple, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(datum);
}

/* The shape of an index that exists; false if it is gone. */
static bool
mg_shape_of_index(Oid index, MgIndexShape *shape)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;

	memset(shape, 0, sizeof(MgIndexShape));
	shape->am = mg_index_method(index);
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	shape->relid = form->indrelid;
	shape->unique = form->indisunique;
	shape->nulls_not_distinct = form->indnullsnotdistinct;
	shape->exclusion = form->indisexclusion;
	shape->natts = form->indnatts;
	shape->nkeyatts = form->indnkeyatts;
	for (int i = 0; i < shape->natts; i++)
		shape->attnums[i] = form->indkey.values[i];
	mg_index_vector(tuple, Anum_pg_index_indcollation, shape->nkeyatts, shape->collations);
	mg_index_vector(tuple, Anum_pg_index_indclass, shape->nkeyatts, shape->opfamilies);
	for (int i = 0; i < shape->nkeyatts; i++)
		shape->opfamilies[i] = get_opclass_family(shape->opfamilies[i]);
	shape->expressions_text = mg_index_text(tuple, Anum_pg_index_indexprs);
	shape->predicate_text = mg_index_text(tuple, Anum_pg_index_indpred);
	shape->has_trees = shape->expressions_text || shape->predicate_text;
	ReleaseSysCache(tuple);
	return true;
}

/* One column or expression of a CREATE INDEX.  As ComputeIndexAttrs(). */
static void
mg_shape_element(MgShapeJob *job, int i, IndexElem *elem, const char *amname)
{
	MgIndexShape *shape = job->shape;
	Oid type;
	Oid collation;

	if (elem->name != NULL)
	{
		HeapTuple tuple = SearchSysCacheAttName(job->relid, elem->name);
		Form_pg_attribute form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "column \"%s\" does not exist", elem->name);
		form = (Form_pg_attribute) GETSTRUCT(tuple);
		shape->attnums[i] = form->attnum;
		type = form->atttypid;
		collation = form->attcollation;
		ReleaseSysCache(tuple);
	}
	else
	{
		Node *expr = elem->expr;

		type = exprType(expr);
		collation = exprCollation(expr);
		while (IsA(expr, CollateExpr))
			expr = (Node *) ((CollateExpr *) expr)->arg;
		if (IsA(expr, Var) && ((Var *) expr)->varattno != InvalidAttrNumber)
			shape->attnums[i] = ((Var *) expr)->varattno;
		else
			shape->expressions = lappend(shape->expressions, expr);
	}
	if (i >= shape->nkeyatts)
		return;
	if (elem->collation)
		collation = get_collation_oid(elem->collation, false);
	shape->collations[i] = collation;
	shape->opfamilies[i] = get_opclass_family(
		ResolveOpClass(elem->opclass, type, amname, shape->am));
}

/* The shape that a CREATE INDEX asks for; runs in mg_attempt_as_owner(). */
static void
mg_shape_of_stmt(void *arg)
{
	MgShapeJob *job = arg;
	MgIndexShape *shape = job->shape;
	IndexStmt *stmt = copyObject(job->stmt);
	const char *amname = stmt->accessMethod ? stmt->accessMethod : DEFAULT_INDEX_TYPE;
	int i = 0;
	ListCell *lc;

	if (job->rel)
		stmt = transformIndexStmt(job->relid, stmt, job->source);

	shape->relid = job->relid;
	if (strcmp(amname, "rtree") == 0 && !OidIsValid(get_index_am_oid(amname, true)))
		amname = "gist";
	shape->am = get_index_am_oid(amname, false);
	shape->unique = stmt->unique || stmt->primary;
	shape->nulls_not_distinct = stmt->nulls_not_distinct;
	shape->exclusion = stmt->excludeOpNames != NIL;
	shape->constraint = stmt->isconstraint || stmt->primary;
	shape->nkeyatts = list_length(stmt->indexParams);
	shape->natts = shape->nkeyatts + list_length(stmt->indexIncludingParams);
	if (shape->natts > INDEX_MAX_KEYS)
		elog(ERROR, "cannot use more than %d columns in an index", INDEX_MAX_KEYS);
	foreach(lc, list_concat_copy(stmt->indexParams, stmt->indexIncludingParams))
		mg_shape_element(job, i++, lfirst_node(IndexElem, lc), amname);

	if (shape->expressions != NIL)
		shape->expressions = mg_plan_expressions(shape->expressions);
	if (stmt->whereClause)
		shape->predicate = mg_plan_predicate(stmt->whereClause);
	shape->has_trees = shape->expressions != NIL || stmt->whereClause != NULL;
	shape->planned = true;
}

/* Does it take parse analysis to know what the index consists of? */
static bool
mg_stmt_has_trees(IndexStmt *stmt)
{
	ListCell *lc;

	if (stmt->whereClause)
		return true;
	foreach(lc, stmt->indexParams)
	{
		if (lfirst_node(IndexElem, lc)->expr)
			return true;
	}
	return false;
}

/*
 * The shape of the index that a raw CREATE INDEX on relid would make, or NULL
 * if it cannot be told (core will say why, or somebody holds
 * AccessExclusiveLock on the table).
 */
MgIndexShape *
mg_index_shape_of_stmt(IndexStmt *stmt, Oid relid, const char *source)
{
	MgShapeJob job = {.stmt = stmt, .source = source, .relid = relid};
	bool ok;

	if (mg_stmt_has_trees(stmt))
	{
		job.rel = mg_relation_open(relid);
		if (job.rel == NULL)
			return NULL;
	}
	job.shape = palloc0(sizeof(MgIndexShape));
	ok = mg_attempt_as_owner(relid, mg_shape_of_stmt, &job, NULL);
	if (job.rel)
		mg_relation_close(job.rel);
	return ok ? job.shape : NULL;
}

/* ------------------------------------------------------------------------
 * Comparison
 * ------------------------------------------------------------------------ */

/* Everything but expressions and predicate. */
static bool
mg_shapes_alike(const MgIndexShape *child, const MgIndexShape *parent)
{
	if (child->unique != parent->unique ||
		child->nulls_not_distinct != parent->nulls_not_distinct || child->am != parent->am ||
		child->natts != parent->natts || child->nkeyatts != parent->nkeyatts || child->exclusion ||
		parent->exclusion || child->has_trees != parent->has_trees)
		return false;

	for (int i = 0; i < child->natts; i++)
	{
		if ((child->attnums[i] == 0) != (parent->attnums[i] == 0))
			return false;
		if (child->attnums[i] != 0)
		{
			char *name = get_attname(parent->relid, parent->attnums[i], true);

			if (name == NULL || get_attnum(child->relid, name) != child->attnums[i])
				return false;
			pfree(name);
		}
		if (i < child->nkeyatts && (child->collations[i] != parent->collations[i] ||
									child->opfamilies[i] != parent->opfamilies[i]))
			return false;
	}
	return true;
}

/* Column numbers of the parent to those of the child, by name. */
static AttrMap *
mg_column_map(Oid parent, Oid child)
{
	Form_pg_class form = mg_class_form(parent);
	AttrMap *map;

	if (form == NULL)
		elog(ERROR, "cache lookup failed for relation %u", parent);
	map = make_attrmap(form->relnatts);
	for (int i = 0; i < map->maplen; i++)
	{
		HeapTuple column = SearchSysCache2(ATTNUM, ObjectIdGetDatum(parent), Int16GetDatum(i + 1));

		if (!HeapTupleIsValid(column))
			continue;
		if (!((Form_pg_attribute) GETSTRUCT(column))->attisdropped)
			map->attnums[i] = get_attnum(child,
										 NameStr(((Form_pg_attribute) GETSTRUCT(column))->attname));
		ReleaseSysCache(column);
	}
	return map;
}

/* The same tree, once the parent's columns are replaced by the child's? */
static bool
mg_trees_equal(List *child, List *parent, AttrMap *map)
{
	bool whole_row;
	Node *mapped;

	if ((child != NIL) != (parent != NIL))
		return false;
	if (child == NIL)
		return true;
	mapped = map_variable_attnos((Node *) parent, 1, 0, map, InvalidOid, &whole_row);
	return !whole_row && equal(child, mapped);
}

/* Expressions and predicate; runs in mg_attempt(). */
static void
mg_compare_trees(void *arg)
{
	MgShapeJob *job = arg;
	MgIdentity self;
	AttrMap *map;

	mg_become_owner(job->shape->relid, &self);
	mg_shape_plan(job->shape);
	mg_become_self(&self);
	mg_become_owner(job->other->relid, &self);
	mg_shape_plan(job->other);
	mg_become_self(&self);

	map = mg_column_map(job->other->relid, job->shape->relid);
	job->result = mg_trees_equal(job->shape->expressions, job->other->expressions, map) &&
				  mg_trees_equal(job->shape->predicate, job->other->predicate, map);
}

static bool
mg_shapes_match(MgIndexShape *child, MgIndexShape *parent)
{
	MgShapeJob job = {.shape = child, .other = parent};

	if (!mg_shapes_alike(child, parent))
		return false;
	if (!child->has_trees)
		return true;
	return mg_attempt(mg_compare_trees, &job, NULL) && job.result;
}

/*
 * Would core take this index of relid (a partition) as its share of a new
 * index of the given shape?  An invalid one will do, and makes the parent's
 * invalid.  Follows the loop over childidxs in DefineIndex().
 */
bool
mg_index_has_shape(Oid index, Oid relid, MgIndexShape *shape)
{
	MgIndexShape child;

	if (shape == NULL || has_superclass(index) || !mg_shape_of_index(index, &child))
		return false;
	if (!mg_shapes_match(&child, shape))
		return false;
	return !shape->constraint || OidIsValid(get_relation_idx_constraint_oid(relid, index));
}

/* The same for a statement: does leaf_index of leaf fit a CREATE INDEX on parent? */
bool
mg_index_matches(Oid leaf_index, Oid leaf, IndexStmt *stmt, Oid parent)
{
	return mg_index_has_shape(leaf_index, leaf, mg_index_shape_of_stmt(stmt, parent, ""));
}

/* The type of the constraint that an index of a table belongs to, or '\0'. */
static char
mg_index_constraint_type(Oid relid, Oid index)
{
	Oid conoid = get_relation_idx_constraint_oid(relid, index);
	Form_pg_constraint form = mg_constraint_form(conoid);

	return form ? form->contype : '\0';
}

/*
 * The index of child, a table to be attached, that core would take as its
 * share of parent_index; InvalidOid: none, so one is built.  Indexes in used
 * are taken already.  Follows AttachPartitionEnsureIndexes().
 */
Oid
mg_partition_index_match_unused(Oid parent_index, Oid parent, Oid child, List *used)
{
	char contype = mg_index_constraint_type(parent, parent_index);
	MgIndexShape wanted;
	ListCell *lc;

	if (!mg_shape_of_index(parent_index, &wanted))
		return InvalidOid;
	wanted.constraint = contype != '\0';

	foreach(lc, mg_index_forms(child))
	{
		Form_pg_index form = lfirst(lc);
		Oid index = form->indexrelid;

		if (MG_PG_SAME_CONSTRAINT_TYPE && wanted.constraint &&
			mg_index_constraint_type(child, index) != contype)
			continue;
		if (form->indisvalid && !list_member_oid(used, index) &&
			mg_index_has_shape(index, child, &wanted))
			return index;
	}
	return InvalidOid;
}

Oid
mg_partition_index_match(Oid parent_index, Oid parent, Oid child)
{
	return mg_partition_index_match_unused(parent_index, parent, child, NIL);
}
