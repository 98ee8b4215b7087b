/*
 * coreproof.c
 *
 * Owns the question what the constraints of a table prove about its rows, so
 * that the server need not read them.
 *
 * Follows PartConstraintImpliedByRelConstraint(),
 * ConstraintImpliedByRelConstraint() and NotNullImpliedByRelConstraints() of
 * tablecmds.c.  The first is the only one that core exports, but it wants a
 * locked relation, and knows nothing of constraints that the statement drops.
 */
#include "mg_alter.h"

#include "optimizer/optimizer.h"

typedef struct MgProof
{
	Oid relid;
	List *test;
	List *gone;
	bool marks; /* NOT NULL marks count as well */
	bool implied;
} MgProof;

/* A NOT NULL test of a column. */
static Node *
mg_null_test(Oid relid, AttrNumber attnum)
{
	NullTest *test = makeNode(NullTest);
	Oid typid;
	int32 typmod;
	Oid collation;

	get_atttypetypmodcoll(relid, attnum, &typid, &typmod, &collation);
	test->arg = (Expr *) makeVar(1, attnum, typid, typmod, collation, 0);
	test->nulltesttype = IS_NOT_NULL;
	test->argisrow = false;
	test->location = -1;
	return (Node *) test;
}

/* The columns that are NOT NULL, as conditions. */
static List *
mg_known_not_null(Oid relid, List *gone)
{
	List *result = NIL;

	for (AttrNumber attnum = 1;; attnum++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
		bool dropped;

		if (!HeapTupleIsValid(tuple))
			return result;
		dropped = ((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped;
		ReleaseSysCache(tuple);
		if (!dropped && mg_not_null(relid, attnum, gone).state == MG_NOT_NULL)
			result = lappend(result, mg_null_test(relid, attnum));
	}
}

/* The valid CHECK constraints, as conditions in the form that the prover wants. */
static List *
mg_known_checks(Oid relid, List *gone)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, mg_constraints_of(relid))
	{
		Form_pg_constraint form = mg_constraint_of(lfirst(lc));
		Datum bin;
		bool isnull;
		Node *expr;

		if (form->contype != CONSTRAINT_CHECK || !form->convalidated ||
			list_member_oid(gone, form->oid))
			continue;
		bin = SysCacheGetAttr(CONSTROID, lfirst(lc), Anum_pg_constraint_conbin, &isnull);
		if (isnull)
			continue;
		expr = stringToNode(TextDatumGetCString(bin));
		expr = eval_const_expressions(NULL, expr);
		expr = (Node *) canonicalize_qual((Expr *) expr, true);
		result = list_concat(result, make_ands_implicit((Expr *) expr));
	}
	return result;
}

/* Has the table any CHECK constraints, valid or not? */
bool
mg_has_checks(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form && form->relchecks > 0;
}

static void
mg_prove(void *arg)
{
	MgProof *proof = arg;
	MgIdentity saved;
	List *known;

	mg_become_owner(proof->relid, &saved);
	known = mg_known_checks(proof->relid, proof->gone);
	if (proof->marks)
		known = list_concat(known, mg_known_not_null(proof->relid, proof->gone));
	proof->implied = predicate_implied_by(proof->test, known, true);
	mg_become_self(&saved);
}

/*
 * Do the NOT NULL marks and valid CHECK constraints of a table imply that
 * every row satisfies test?  gone are OIDs of constraints that the statement
 * itself drops first.  Follows PartConstraintImpliedByRelConstraint(), which
 * wants a locked relation and knows nothing of dropped constraints.
 */
bool
mg_constraints_imply(Oid relid, List *test, List *gone)
{
	MgProof proof = {.relid = relid, .test = test, .gone = gone, .marks = true};

	return mg_attempt(mg_prove, &proof, NULL) && proof.implied;
}

/*
 * Is it proven by CHECK constraints that a column has no nulls?  Follows
 * NotNullImpliedByRelConstraints(), where the marks of columns do not count.
 */
bool
mg_not_null_proven(Oid relid, AttrNumber attnum, List *gone_constraints)
{
	MgProof proof = {.relid = relid, .gone = gone_constraints};

	proof.test = list_make1(mg_null_test(relid, attnum));
	return mg_attempt(mg_prove, &proof, NULL) && proof.implied;
}
