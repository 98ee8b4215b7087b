/*
 * advice_text.c
 *
 * Owns SQL text for advice: names, types, expressions, definitions.
 *
 * There is no deparser for raw parse trees, neither in core nor here.  An
 * expression is taken from the statement's own text (advice_source.c); where
 * that is not at hand (the first DDL of a session is judged from an event
 * trigger, which has only the tree), it is analyzed and deparsed by core.  All
 * of that happens in mg_attempt(): text that cannot be had is NULL, never an
 * error.
 */
#include "mg.h"

#include "advice.h"

/* ------------------------------------------------------------------------
 * Lists of names and options
 * ------------------------------------------------------------------------ */

/* Column names from a list of String, quoted, with commas. */
const char *
mg_text_names(List *names)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", quote_identifier(strVal(lfirst(lc))));
	return buf.data;
}

/* Words that PL/pgSQL keeps to itself, but SQL does not. */
static bool
mg_is_plpgsql_word(const char *name)
{
	static const char *const words[] = {"begin", "by",   "declare", "execute", "foreach",
										"if",    "loop", "not",     "strict",  "while"};

	for (size_t i = 0; i < lengthof(words); i++)
	{
		if (strcmp(name, words[i]) == 0)
			return true;
	}
	return false;
}

/* A column's name after "new." in a trigger function. */
const char *
mg_text_field(const char *column)
{
	return mg_is_plpgsql_word(column) ? psprintf("\"%s\"", column) : quote_identifier(column);
}

/* Has the relation a column that needs quotes in PL/pgSQL alone? */
static bool
mg_needs_quotes(Oid relid)
{
	for (AttrNumber attnum = 1;; attnum++)
	{
		char *name = get_attname(relid, attnum, true);

		if (name == NULL)
			return false;
		if (mg_is_plpgsql_word(name))
			return true;
	}
}

/* Storage parameters, in parentheses. */
static const char *
mg_text_parameters(List *options)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		appendStringInfoString(&buf, buf.len ? ", " : "(");
		if (def->defnamespace)
			appendStringInfo(&buf, "%s.", quote_identifier(def->defnamespace));
		appendStringInfoString(&buf, quote_identifier(def->defname));
		if (def->arg)
			appendStringInfo(&buf, "=%s", quote_literal_cstr(defGetString(def)));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* " WITH (fillfactor='70')", or "". */
const char *
mg_text_options(List *options)
{
	return options ? psprintf(" WITH %s", mg_text_parameters(options)) : "";
}

/* ------------------------------------------------------------------------
 * Types
 * ------------------------------------------------------------------------ */

/* The type behind serial and its kin, as transformColumnDefinition() knows them. */
const char *
mg_text_serial(TypeName *name)
{
	const char *word;

	if (list_length(name->names) != 1 || name->pct_type)
		return NULL;
	word = strVal(linitial(name->names));
	if (strcmp(word, "smallserial") == 0 || strcmp(word, "serial2") == 0)
		return "smallint";
	if (strcmp(word, "serial") == 0 || strcmp(word, "serial4") == 0)
		return "integer";
	if (strcmp(word, "bigserial") == 0 || strcmp(word, "serial8") == 0)
		return "bigint";
	return NULL;
}

typedef struct MgTypeLookup
{
	TypeName *name;
	Oid typid;
	int32 typmod;
} MgTypeLookup;

static void
mg_type_lookup(void *arg)
{
	MgTypeLookup *lookup = arg;

	typenameTypeIdAndMod(NULL, lookup->name, &lookup->typid, &lookup->typmod);
}

/* Resolve a type; false if it does not exist. */
bool
mg_try_type(TypeName *name, Oid *typid, int32 *typmod)
{
	MgTypeLookup lookup = {.name = name};

	if (!mg_attempt(mg_type_lookup, &lookup, NULL))
		return false;
	*typid = lookup.typid;
	*typmod = lookup.typmod;
	return true;
}

/* A type as SQL, qualified where search_path does not find it. */
const char *
mg_text_type(TypeName *name)
{
	Oid typid;
	int32 typmod;
	const char *serial = mg_text_serial(name);

	if (serial)
		return serial;
	if (!mg_try_type(name, &typid, &typmod))
		return NULL;
	return format_type_with_typemod(typid, typmod);
}

/* ------------------------------------------------------------------------
 * Expressions, by way of core's analysis
 * ------------------------------------------------------------------------ */

typedef struct MgDeparse
{
	Oid relid;
	Node *raw;
	ParseExprKind kind;
	const char *prefix;
	Oid typid;
	int32 typmod;
	char *text;
	bool is_volatile;
} MgDeparse;

static void
mg_deparse(void *arg)
{
	MgDeparse *d = arg;
	ParseState *pstate = make_parsestate(NULL);
	Relation rel = NULL;
	List *context = NIL;
	Node *expr;

	if (OidIsValid(d->relid))
	{
		ParseNamespaceItem *item;

		rel = mg_relation_open(d->relid);
		if (rel == NULL)
			return;
		item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true);
		addNSItemToQuery(pstate, item, true, true, true);
		context = deparse_context_for(d->prefix ? d->prefix : RelationGetRelationName(rel),
									  d->relid);
	}
	expr = transformExpr(pstate, copyObject(d->raw), d->kind);
	if (OidIsValid(d->typid))
		expr = coerce_to_target_type(pstate, expr, exprType(expr), d->typid, d->typmod,
									 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expr)
	{
		int guc_level = NewGUCNestLevel();

		assign_expr_collations(pstate, expr);
		if (d->prefix && mg_needs_quotes(d->relid))
			(void) set_config_option("quote_all_identifiers", "on", PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
		d->text = deparse_expression(expr, context, d->prefix != NULL, false);
		AtEOXact_GUC(true, guc_level);
		d->is_volatile = contain_volatile_functions(expr);
	}
	if (rel)
		mg_relation_close(rel);
	free_parsestate(pstate);
}

/*
 * A raw expression as core deparses it.  relid: the table whose columns it
 * may use, or InvalidOid; prefix: what to put before them ("new" in a trigger
 * function), or NULL; typid: coerced to that type, unless InvalidOid.
 */
const char *
mg_text_expr(Oid relid, Node *raw, ParseExprKind kind, const char *prefix, Oid typid, int32 typmod)
{
	MgDeparse d = {.relid = relid,
				   .raw = raw,
				   .kind = kind,
				   .prefix = prefix,
				   .typid = typid,
				   .typmod = typmod};

	return mg_attempt(mg_deparse, &d, NULL) ? d.text : NULL;
}

/*
 * The default of a new column: its own, or that of its domain, as one of the
 * base type; NULL if there is none, or none can be told.  *is_volatile is only
 * set, never cleared.
 */
const char *
mg_text_default(ColumnDef *def, bool *is_volatile)
{
	Constraint *con = mg_column_clause(def, CONSTR_DEFAULT);
	MgDeparse d = {.kind = EXPR_KIND_COLUMN_DEFAULT};
	Node *expr;

	if (mg_text_serial(def->typeName) || !mg_try_type(def->typeName, &d.typid, &d.typmod))
		return NULL;
	if (con == NULL)
	{
		expr = get_typdefault(d.typid);
		*is_volatile |= contain_volatile_functions(expr);
		return expr ? deparse_expression(expr, NIL, false, false) : NULL;
	}
	d.raw = con->raw_expr;
	d.typid = getBaseTypeAndTypmod(d.typid, &d.typmod);
	if (!mg_attempt(mg_deparse, &d, NULL))
		return NULL;
	*is_volatile |= d.is_volatile;
	return d.text;
}

/* The expression of a CHECK constraint, without the parentheses around it. */
const char *
mg_text_check(MgFootprint *fp, Oid relid, Constraint *con)
{
	const char *text = mg_source_check(fp, con);

	if (text || con->raw_expr == NULL)
		return text;
	return mg_text_expr(relid, con->raw_expr, EXPR_KIND_CHECK_CONSTRAINT, NULL, InvalidOid, -1);
}

/* ------------------------------------------------------------------------
 * Domains
 * ------------------------------------------------------------------------ */

/* One CHECK of a domain as a condition on a column, or NULL. */
static const char *
mg_domain_condition(HeapTuple row, const char *column)
{
	const char *check;
	bool isnull;
	Datum conbin = SysCacheGetAttr(CONSTROID, row, Anum_pg_constraint_conbin, &isnull);

	if (isnull)
		return NULL;
	check = deparse_expression(stringToNode(TextDatumGetCString(conbin)), NIL, false, false);
	return mg_replace_value(check, quote_identifier(column));
}

/*
 * What a domain, and the domains it is made of, ask of a value, as a CHECK
 * expression on a column of the base type; "" if nothing.
 */
const char *
mg_text_domain_check(Oid typid, const char *column)
{
	StringInfoData buf;

	initStringInfo(&buf);
	while (get_typtype(typid) == TYPTYPE_DOMAIN)
	{
		Form_pg_type form = mg_type_form(typid);
		ListCell *lc;

		foreach(lc, mg_rows(ConstraintRelationId, ConstraintTypidIndexId,
							Anum_pg_constraint_contypid, typid))
		{
			const char *text = mg_domain_condition(lfirst(lc), column);

			if (text)
				appendStringInfo(&buf, "%s%s", buf.len ? " AND " : "", text);
		}
		if (form == NULL)
			break;
		if (form->typnotnull)
			appendStringInfo(&buf, "%s%s IS NOT NULL", buf.len ? " AND " : "",
							 quote_identifier(column));
		typid = form->typbasetype;
	}
	return buf.data;
}

/* ------------------------------------------------------------------------
 * Index definitions
 * ------------------------------------------------------------------------ */

/* " USING gin" or "" for the default. */
const char *
mg_text_using(const char *method)
{
	if (strcmp(method, DEFAULT_INDEX_TYPE) == 0)
		return "";
	return psprintf(" USING %s", quote_identifier(method));
}

/* One column or expression of an index; false if it cannot be told. */
static bool
mg_index_elem(StringInfo buf, Oid relid, IndexElem *elem)
{
	const char *expr;

	if (elem->name)
		appendStringInfoString(buf, quote_identifier(elem->name));
	else
	{
		expr = mg_text_expr(relid, elem->expr, EXPR_KIND_INDEX_EXPRESSION, NULL, InvalidOid, -1);
		if (expr == NULL)
			return false;
		appendStringInfo(buf, "(%s)", expr);
	}
	if (elem->collation)
		appendStringInfo(buf, " COLLATE %s", NameListToQuotedString(elem->collation));
	if (elem->opclass)
		appendStringInfo(buf, " %s", NameListToQuotedString(elem->opclass));
	if (elem->opclassopts)
		appendStringInfo(buf, " %s", mg_text_parameters(elem->opclassopts));
	if (elem->ordering == SORTBY_ASC || elem->ordering == SORTBY_DESC)
		appendStringInfoString(buf, elem->ordering == SORTBY_ASC ? " ASC" : " DESC");
	if (elem->nulls_ordering != SORTBY_NULLS_DEFAULT)
		appendStringInfoString(buf, elem->nulls_ordering == SORTBY_NULLS_FIRST ? " NULLS FIRST"
																			   : " NULLS LAST");
	return true;
}

static bool
mg_index_elems(StringInfo buf, Oid relid, List *elems)
{
	ListCell *lc;

	foreach(lc, elems)
	{
		if (lc != list_head(elems))
			appendStringInfoString(buf, ", ");
		if (!mg_index_elem(buf, relid, lfirst_node(IndexElem, lc)))
			return false;
	}
	return true;
}

/* The same from the parse tree. */
static const char *
mg_build_index(Oid relid, IndexStmt *stmt)
{
	StringInfoData buf;
	const char *where;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s (", mg_text_using(stmt->accessMethod));
	if (!mg_index_elems(&buf, relid, stmt->indexParams))
		return NULL;
	appendStringInfoChar(&buf, ')');
	if (stmt->indexIncludingParams)
	{
		appendStringInfoString(&buf, " INCLUDE (");
		if (!mg_index_elems(&buf, relid, stmt->indexIncludingParams))
			return NULL;
		appendStringInfoChar(&buf, ')');
	}
	if (stmt->nulls_not_distinct)
		appendStringInfoString(&buf, " NULLS NOT DISTINCT");
	appendStringInfoString(&buf, mg_text_options(stmt->options));
	if (stmt->tableSpace)
		appendStringInfo(&buf, " TABLESPACE %s", quote_identifier(stmt->tableSpace));
	if (stmt->whereClause)
	{
		where = mg_text_expr(relid, stmt->whereClause, EXPR_KIND_INDEX_PREDICATE, NULL, InvalidOid,
							 -1);
		if (where == NULL)
			return NULL;
		appendStringInfo(&buf, " WHERE %s", where);
	}
	return buf.data;
}

/* What follows the table's name in CREATE INDEX, with a space in front. */
const char *
mg_text_index_body(MgFootprint *fp, IndexStmt *stmt)
{
	const char *text = mg_source_index(fp, stmt);

	return text ? text : mg_build_index(fp->target, stmt);
}

typedef struct MgIndexDef
{
	Oid indexid;
	const char *text;
} MgIndexDef;

static void
mg_index_def(void *arg)
{
	MgIndexDef *d = arg;
	const char *table = mg_qualified_name(IndexGetRelation(d->indexid, false));
	const char *name = quote_identifier(get_rel_name(d->indexid));
	const char *def = pg_get_indexdef_string(d->indexid);
	const char *words[] = {"CREATE ", "UNIQUE ", "INDEX ", name, " ON ", "ONLY ", table};

	for (size_t i = 0; i < lengthof(words); i++)
	{
		if (strncmp(def, words[i], strlen(words[i])) == 0)
			def += strlen(words[i]);
	}
	d->text = def;
}

/* The same from the catalogs, for an index that is there. */
const char *
mg_text_index_def(Oid indexid)
{
	MgIndexDef d = {.indexid = indexid};

	return mg_attempt(mg_index_def, &d, NULL) ? d.text : NULL;
}

typedef struct MgConstraintDef
{
	Oid conid;
	const char *text;
} MgConstraintDef;

static void
mg_constraint_def(void *arg)
{
	MgConstraintDef *d = arg;
	Form_pg_constraint form = mg_constraint_form(d->conid);
	const char *def;
	char *prefix;

	if (form == NULL)
		return;
	prefix = psprintf("ALTER TABLE %s ADD CONSTRAINT %s ", mg_qualified_name(form->conrelid),
					  quote_identifier(NameStr(form->conname)));
	def = pg_get_constraintdef_command(d->conid);
	if (strncmp(def, prefix, strlen(prefix)) == 0)
		d->text = def + strlen(prefix);
}

/* What follows the name in ADD CONSTRAINT, of a constraint that is there. */
const char *
mg_text_constraint(Oid conid)
{
	MgConstraintDef d = {.conid = conid};

	return mg_attempt(mg_constraint_def, &d, NULL) ? d.text : NULL;
}
