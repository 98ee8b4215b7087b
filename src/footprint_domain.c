/*
 * footprint_domain.c
 *
 * Owns the footprint of ALTER DOMAIN, and of the statements about types that
 * touch no relation.  A constraint of a domain is verified on every table and
 * materialized view that has a column of the domain, or of a domain made of
 * it, and all of those are locked at once.
 *
 * Follows AlterDomainAddConstraint(), AlterDomainNotNull(),
 * AlterDomainValidateConstraint() and get_rels_with_domain() of typecmds.c.
 */
#include "mg_objects.h"

/* One ALTER DOMAIN under examination. */
typedef struct MgDomain
{
	MgFootprint *fp;
	AlterDomainStmt *stmt;
	Oid typid;
	const char *reason;     /* of the work */
	const char *constraint; /* that is verified, or NULL */
} MgDomain;

/* ------------------------------------------------------------------------
 * Tables that use the domain
 * ------------------------------------------------------------------------ */

/* One table or materialized view with a column of the domain, or of one made of it. */
static void
mg_domain_table(MgDomain *cx, Oid relid, AttrNumber attnum)
{
	const char *column = get_attname(relid, attnum, true);
	MgEffect *eff = mg_effect(cx->fp, relid, ShareLock, MG_ROLE_OTHER, NULL);
	MgTask *task;

	if (column == NULL)
		return;
	mg_note(eff, "column \"%s\" is of type %s", column, format_type_be(get_atttype(relid, attnum)));
	if (eff->tasks != NIL)
		return;
	task = mg_task(eff, MG_WORK_SCAN, MG_CAUSE_ALTER_DOMAIN, (Node *) cx->stmt);
	task->column = column;
	task->constraint = cx->constraint;
	task->reason = cx->reason;
}

/*
 * A relation with such a column.  Core locks it whatever it is, and lets go at
 * once of what stores nothing itself.  False: core refuses.
 */
static bool
mg_domain_relation(MgDomain *cx, Oid domain, Oid relid, AttrNumber attnum)
{
	char relkind = get_rel_relkind(relid);

	if (cx->fp->script && mg_script_gone(cx->fp->script, relid))
		return true;
	if (mg_type_is_stored(cx->fp, get_rel_type_id(relid), format_type_be(domain)))
		return false;
	if (relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW)
		mg_domain_table(cx, relid, attnum);
	else
		mg_effect(
			cx->fp, relid, ShareLock, MG_ROLE_OTHER,
			"it is locked for a moment: it has a column of the domain, but no rows of its own");
	return true;
}

/*
 * All relations that have to be verified for a domain.  False: core refuses,
 * because there are values of the domain inside of other values.
 */
static bool
mg_domain_relations(MgDomain *cx, Oid domain)
{
	ListCell *lc;

	check_stack_depth();
	foreach(lc, mg_type_users(domain))
	{
		ObjectAddress *user = lfirst(lc);
		bool ok = true;

		if (user->classId == TypeRelationId && get_typtype(user->objectId) == TYPTYPE_DOMAIN)
			ok = mg_domain_relations(cx, user->objectId);
		else if (user->classId == TypeRelationId)
			ok = !mg_type_is_stored(cx->fp, user->objectId, format_type_be(domain));
		else if (user->objectSubId > 0)
			ok = mg_domain_relation(cx, domain, user->objectId, user->objectSubId);
		if (!ok)
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * Subcommands
 * ------------------------------------------------------------------------ */

static bool
mg_domain_is_not_null(Oid typid)
{
	Form_pg_type form = mg_type_form(typid);

	return form && form->typnotnull;
}

/* SET NOT NULL, and ADD NOT NULL where there is one. */
static void
mg_domain_not_null(MgDomain *cx)
{
	if (mg_domain_is_not_null(cx->typid))
		return;
	cx->reason = psprintf("every row is checked for nulls in columns of domain \"%s\"",
						  cx->fp->object);
	(void) mg_domain_relations(cx, cx->typid);
}

/* May an earlier statement of the script have changed the domain? */
static bool
mg_domain_is_certain(MgDomain *cx)
{
	return cx->fp->script == NULL || !cx->fp->script->changed;
}

/* Constraints that only tables have.  Since 17 they are syntax errors. */
static const struct
{
	ConstrType contype;
	const char *name;
} mg_domain_never[] = {{CONSTR_UNIQUE, "unique"},
					   {CONSTR_PRIMARY, "primary key"},
					   {CONSTR_EXCLUSION, "exclusion"},
					   {CONSTR_FOREIGN, "foreign key"}};

/* ADD CONSTRAINT */
static void
mg_domain_add(MgDomain *cx)
{
	Constraint *con = castNode(Constraint, cx->stmt->def);

	for (int i = 0; i < (int) lengthof(mg_domain_never); i++)
	{
		if (con->contype == mg_domain_never[i].contype)
			mg_problem(cx->fp, ERRCODE_SYNTAX_ERROR, "%s constraints not possible for domains",
					   mg_domain_never[i].name);
	}
	if (con->contype == CONSTR_NOTNULL && mg_domain_is_not_null(cx->typid))
		return;
	if (con->conname && mg_domain_is_certain(cx) &&
		OidIsValid(get_domain_constraint_oid(cx->typid, con->conname, true)))
		mg_problem(cx->fp, ERRCODE_DUPLICATE_OBJECT,
				   "constraint \"%s\" for domain \"%s\" already exists", con->conname,
				   cx->fp->object);
	if (cx->fp->problem)
		return;
	cx->constraint = con->conname;
	if (con->contype == CONSTR_NOTNULL)
		mg_domain_not_null(cx);
	else if (con->contype == CONSTR_CHECK && !con->skip_validation)
	{
		cx->reason = con->conname
					   ? psprintf("every row is checked against constraint \"%s\"", con->conname)
					   : "every row is checked against the new CHECK constraint";
		(void) mg_domain_relations(cx, cx->typid);
	}
}

/* VALIDATE CONSTRAINT */
static void
mg_domain_validate(MgDomain *cx)
{
	const char *name = cx->stmt->name;
	Oid conoid = get_domain_constraint_oid(cx->typid, name, true);
	Form_pg_constraint form = mg_constraint_form(conoid);
	bool valid = form && form->convalidated;

	if (form == NULL && mg_domain_is_certain(cx))
		mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT,
				   "constraint \"%s\" of domain \"%s\" does not exist", name,
				   NameListToString(cx->stmt->typeName));
	if (form && form->contype != CONSTRAINT_CHECK)
		mg_problem(cx->fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "constraint \"%s\" of domain \"%s\" is not a check constraint", name,
				   NameListToString(cx->stmt->typeName));
	if (cx->fp->problem || (valid && mg_domain_is_certain(cx) && MG_PG_VALID_DOMAIN_IS_SKIPPED))
		return;
	cx->constraint = name;
	cx->reason = valid ? psprintf("every row is checked again against constraint \"%s\", although "
								  "it is valid",
								  name)
					   : psprintf("every row is checked against constraint \"%s\"", name);
	(void) mg_domain_relations(cx, cx->typid);
}

/* DROP CONSTRAINT: no table is asked. */
static void
mg_domain_drop(MgDomain *cx)
{
	if (!cx->stmt->missing_ok && mg_domain_is_certain(cx) &&
		!OidIsValid(get_domain_constraint_oid(cx->typid, cx->stmt->name, true)))
		mg_problem(cx->fp, ERRCODE_UNDEFINED_OBJECT,
				   "constraint \"%s\" of domain \"%s\" does not exist", cx->stmt->name,
				   NameListToString(cx->stmt->typeName));
}

/* ALTER DOMAIN.  stmt: an AlterDomainStmt. */
void
mg_footprint_alter_domain(MgFootprint *fp, Node *node)
{
	MgDomain cx = {.fp = fp, .stmt = castNode(AlterDomainStmt, node)};

	cx.typid = mg_resolve_type(fp, OBJECT_DOMAIN, cx.stmt->typeName, MG_RIGHT_OWNER);
	if (!OidIsValid(cx.typid))
		return;
	fp->object = strVal(llast(cx.stmt->typeName));
	switch ((char) cx.stmt->subtype)
	{
		case 'O':
			mg_domain_not_null(&cx);
			break;
		case 'C':
			mg_domain_add(&cx);
			break;
		case 'V':
			mg_domain_validate(&cx);
			break;
		case 'X':
			mg_domain_drop(&cx);
			break;
		default:
			break; /* the default, and DROP NOT NULL: only the domain changes */
	}
}

/*
 * Statements about types that take no lock on any relation: CREATE TYPE,
 * CREATE DOMAIN, ALTER TYPE ... ADD VALUE, RENAME VALUE and SET.
 */
void
mg_footprint_type(MgFootprint *fp, Node *node)
{
	List *names = NIL;
	Oid typid;

	if (IsA(node, AlterEnumStmt))
		names = castNode(AlterEnumStmt, node)->typeName;
	else if (IsA(node, AlterTypeStmt))
		names = castNode(AlterTypeStmt, node)->typeName;
	if (names == NIL)
		return;
	typid = mg_resolve_type(fp, OBJECT_TYPE, names, MG_RIGHT_OWNER);
	if (IsA(node, AlterEnumStmt) && OidIsValid(typid) && get_typtype(typid) != TYPTYPE_ENUM)
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "%s is not an enum", format_type_be(typid));
}
