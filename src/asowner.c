/*
 * asowner.c
 *
 * Owns the way in which expressions are folded: by core's planner, as the
 * owner of the table in a security-restricted operation, because folding may
 * run immutable functions that the owner put there.  To be called inside
 * mg_attempt().
 */
#include "mg_alter.h"

#include "optimizer/optimizer.h"
#include "utils/typcache.h"

/*
 * Become a role in a security-restricted operation.  An error in between is
 * undone by the end of mg_attempt()'s subtransaction.
 */
void
mg_become_role(Oid role, MgIdentity *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
}

/* The same with the owner of a relation. */
void
mg_become_owner(Oid relid, MgIdentity *saved)
{
	Form_pg_class form = mg_class_form(relid);

	mg_become_role(form ? form->relowner : GetUserId(), saved);
}

void
mg_become_self(const MgIdentity *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}

/* expression_planner(), as the owner of the relation. */
Expr *
mg_plan_as_owner(Oid relid, Node *expr)
{
	MgIdentity saved;
	Expr *result;

	mg_become_owner(relid, &saved);
	result = expression_planner((Expr *) expr);
	mg_become_self(&saved);
	return result;
}

/*
 * The value that the planner would guess for an expression: stable functions
 * are folded as well.  It tells whether a default is null.
 */
Node *
mg_estimate_as_owner(Oid relid, Node *expr)
{
	PlannerInfo *root = makeNode(PlannerInfo);
	MgIdentity saved;
	Node *result;

	root->glob = makeNode(PlannerGlobal);
	mg_become_owner(relid, &saved);
	result = estimate_expression_value(root, expr);
	mg_become_self(&saved);
	return result;
}

/* DomainHasConstraints() plans the constraints of the domain, so the same. */
bool
mg_domain_has_constraints(Oid relid, Oid typid)
{
	MgIdentity saved;
	bool result;

	if (get_typtype(typid) != TYPTYPE_DOMAIN)
		return false;
	mg_become_owner(relid, &saved);
	result = mg_domain_constrained(typid);
	mg_become_self(&saved);
	return result;
}

typedef struct MgOwnerAttempt
{
	Oid relid;
	MgAttemptFn fn;
	void *arg;
} MgOwnerAttempt;

static void
mg_run_as_owner(void *arg)
{
	MgOwnerAttempt *attempt = arg;
	MgIdentity saved;

	mg_become_owner(attempt->relid, &saved);
	attempt->fn(attempt->arg);
	mg_become_self(&saved);
}

/*
 * mg_attempt(), as the owner of a relation: what a dry run analyzes may be the
 * trap of somebody who wants it to be run as a superuser.
 */
bool
mg_attempt_as_owner(Oid relid, MgAttemptFn fn, void *arg, MgProblem **problem)
{
	MgOwnerAttempt attempt = {.relid = relid, .fn = fn, .arg = arg};

	return mg_attempt(mg_run_as_owner, &attempt, problem);
}
