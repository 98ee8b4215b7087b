/*
 * advice_domain.c
 *
 * Owns the advice for constraints of domains.  VALIDATE CONSTRAINT of a domain
 * takes the same lock on the same tables as adding a valid constraint does, so
 * the way out is to leave the constraint NOT VALID: new values are checked all
 * the same, and old ones can be looked at by plain queries.
 */
#include "mg.h"

#include "advice.h"

/* The condition of a constraint that is there already, with VALUE in it, or NULL. */
static const char *
mg_text_domain_constraint(Oid conoid)
{
	HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conoid));
	const char *condition = NULL;
	bool isnull;
	Datum conbin;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	conbin = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_conbin, &isnull);
	if (!isnull)
		condition = deparse_expression(stringToNode(TextDatumGetCString(conbin)), NIL, false,
									   false);
	ReleaseSysCache(tuple);
	return condition;
}

/* Rows that violate the condition (NULL: that are null) in one column. */
static void
mg_sql_domain_column(StringInfo buf, Oid relid, AttrNumber attnum, const char *condition)
{
	const char *column = quote_identifier(get_attname(relid, attnum, false));
	const char *text = condition ? mg_replace_value(condition, column) : NULL;

	if (condition == NULL)
		mg_sql(buf, "SELECT count(*) FROM %s WHERE %s IS NULL", mg_qualified_name(relid), column);
	else if (text)
		mg_sql(buf, "SELECT count(*) FROM %s WHERE NOT (%s)", mg_qualified_name(relid), text);
}

/* Is the type the domain, or a domain made of it? */
static bool
mg_is_domain_over(Oid typid, Oid domain)
{
	while (typid != domain && get_typtype(typid) == TYPTYPE_DOMAIN)
	{
		Form_pg_type form = mg_type_form(typid);

		if (form == NULL)
			return false;
		typid = form->typbasetype;
	}
	return typid == domain;
}

/* How to look for old rows that violate it: a query for each column, a few of them. */
static void
mg_sql_domain_columns(StringInfo buf, MgFinding *finding, Oid domain, const char *condition)
{
	int shown = 0;
	int more = 0;
	ListCell *lc;

	foreach(lc, finding->worked)
	{
		Oid relid = ((MgEffect *) lfirst(lc))->relid;
		AttrNumber count = mg_column_count(relid);

		for (AttrNumber attnum = 1; attnum <= count; attnum++)
		{
			if (!mg_is_domain_over(get_atttype(relid, attnum), domain))
				continue;
			if (shown++ < MG_SHOWN)
				mg_sql_domain_column(buf, relid, attnum, condition);
			else
				more++;
		}
	}
	if (more > 0)
		mg_say(buf, "And in the same way for the other columns of the domain, %d more.", more);
}

/* ADD CONSTRAINT and SET NOT NULL: a CHECK that is NOT VALID, and stays so. */
static void
mg_advise_domain_add(MgFootprint *fp, StringInfo buf, MgFinding *finding, Oid domain,
					 Constraint *con)
{
	const char *name = format_type_extended(domain, -1, FORMAT_TYPE_FORCE_QUALIFY);
	bool check = con && con->contype == CONSTR_CHECK;
	const char *condition = check ? mg_source_check(fp, con) : "VALUE IS NOT NULL";
	const char *conname = con ? con->conname : NULL;

	if (conname == NULL)
		conname = ChooseConstraintName(fp->object, NULL, check ? "check" : "not_null",
									   get_rel_namespace(finding->relid), NIL);
	mg_say(buf,
		   "Add it %sNOT VALID: that locks no table, and all new values are checked from then on.",
		   check ? "" : "as a CHECK that is ");
	if (condition)
		mg_sql(buf, "ALTER DOMAIN %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", name,
			   quote_identifier(conname), condition);
	else
		mg_say(buf, "Name it %s.", quote_identifier(conname));
	mg_say(buf, "Then look for old rows that violate it, which blocks nobody, and correct them:");
	if (condition)
		mg_sql_domain_columns(buf, finding, domain, check ? condition : NULL);
	mg_say(buf, "And leave it so: VALIDATE CONSTRAINT of a domain blocks writes to the same tables "
				"for as long, and changes nothing for new values.");
}

/* VALIDATE CONSTRAINT */
static void
mg_advise_domain_validate(MgFootprint *fp, StringInfo buf, MgFinding *finding, Oid domain)
{
	const char *name = castNode(AlterDomainStmt, fp->stmt)->name;
	Oid conoid = get_domain_constraint_oid(domain, name, true);
	const char *condition = OidIsValid(conoid) ? mg_text_domain_constraint(conoid) : NULL;

	mg_say(buf, "There is no form of it that lets writes through, and all new values are checked "
				"already. Leave the constraint NOT VALID, or do this in a maintenance window.");
	if (condition == NULL)
		return;
	mg_say(buf, "Old rows that violate it are found without blocking anybody:");
	mg_sql_domain_columns(buf, finding, domain, condition);
}

/* ALTER DOMAIN, whatever verifies rows in it. */
char *
mg_advise_alter_domain(MgFootprint *fp, MgFinding *finding)
{
	AlterDomainStmt *stmt = castNode(AlterDomainStmt, fp->stmt);
	TypeName *type = makeTypeNameFromNameList(stmt->typeName);
	Oid domain;
	int32 typmod;
	StringInfoData buf;

	initStringInfo(&buf);
	if (!mg_try_type(type, &domain, &typmod))
		return NULL;
	if (stmt->def)
		mg_advise_domain_add(fp, &buf, finding, domain, castNode(Constraint, stmt->def));
	else if (stmt->name)
		mg_advise_domain_validate(fp, &buf, finding, domain);
	else
		mg_advise_domain_add(fp, &buf, finding, domain, NULL);
	return buf.data;
}
