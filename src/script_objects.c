/*
 * script_objects.c
 *
 * Owns what a statement of a script leaves behind for those after it: the
 * relations it makes, with the indexes and sequences that come along, and the
 * constraints it adds to existing tables, under the names that core would
 * choose.  What it renames, moves and drops is followed by script_moves.c.
 */
#include "mg_script.h"

#include "commands/defrem.h"

/* ------------------------------------------------------------------------
 * Names as core chooses them
 * ------------------------------------------------------------------------ */

/* Is the name taken in the schema of the table, by a relation or by a constraint of the table? */
static bool
mg_name_taken(MgScript *script, Oid relid, RangeVar *table, const char *name)
{
	RangeVar rv = *table;

	rv.relname = (char *) name;
	if (OidIsValid(mg_script_resolve(script, &rv)) || mg_script_creates(script, &rv))
		return true;
	if (!OidIsValid(relid))
		return false;
	return OidIsValid(get_relation_constraint_oid(relid, name, true)) ||
		   mg_script_constraint(script, relid, name) != NULL;
}

/*
 * "table_column_label", with a number if that is taken, as
 * ChooseRelationName() and ChooseConstraintName() do.
 */
static char *
mg_choose_name(MgScript *script, Oid relid, RangeVar *table, const char *column, const char *label)
{
	char numbered[NAMEDATALEN];
	const char *last = label;

	for (int pass = 1;; pass++)
	{
		char *name = makeObjectName(table->relname, column, last);

		if (!mg_name_taken(script, relid, table, name))
			return name;
		snprintf(numbered, sizeof(numbered), "%s%d", label, pass);
		last = numbered;
	}
}

/* "a_b_c" from a list of String, IndexElem, or (IndexElem, operator); NULL if it is empty. */
static const char *
mg_join_columns(List *columns)
{
	StringInfoData buf;
	ListCell *lc;

	if (columns == NIL)
		return NULL;
	initStringInfo(&buf);
	foreach(lc, columns)
	{
		Node *node = lfirst(lc);
		const char *name = NULL;

		if (IsA(node, List))
			node = linitial((List *) node);
		if (IsA(node, IndexElem))
			name = ((IndexElem *) node)->name;
		else if (IsA(node, String))
			name = strVal(node);
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? "_" : "", name ? name : "expr");
		if (buf.len >= NAMEDATALEN)
			break;
	}
	return buf.data;
}

/* The one column that an expression refers to, or "" if there are several. */
static bool
mg_find_column(Node *node, const char **column)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		Node *last = llast(((ColumnRef *) node)->fields);
		const char *name = IsA(last, String) ? strVal(last) : "";

		if (*column != NULL && strcmp(*column, name) != 0)
			name = "";
		*column = name;
		return name[0] == '\0';
	}
	return raw_expression_tree_walker(node, mg_find_column, column);
}

/* What core would call a constraint without a name. */
static char *
mg_constraint_name(MgScript *script, Oid relid, RangeVar *table, Constraint *con,
				   const char *column)
{
	const char *part = column;
	const char *label = NULL;

	switch (con->contype)
	{
		case CONSTR_CHECK:
			label = "check";
			part = NULL;
			mg_find_column(con->raw_expr, &part);
			if (part && part[0] == '\0')
				part = NULL;
			break;
		case CONSTR_PRIMARY:
			label = "pkey";
			part = NULL;
			break;
		case CONSTR_UNIQUE:
			label = "key";
			if (part == NULL)
				part = mg_join_columns(con->keys);
			break;
		case CONSTR_EXCLUSION:
			label = "excl";
			part = mg_join_columns(con->exclusions);
			break;
		case CONSTR_FOREIGN:
			label = "fkey";
			if (part == NULL)
				part = mg_join_columns(con->fk_attrs);
			break;
		default:
			return NULL;
	}
	if (con->indexname)
		return pstrdup(con->indexname);
	return mg_choose_name(script, relid, table, part, label);
}

/* ------------------------------------------------------------------------
 * What statements make
 * ------------------------------------------------------------------------ */

/*
 * A relation that does not exist yet.  If there is one of that name already,
 * the statement fails, replaces it, or does nothing by IF NOT EXISTS: the
 * name goes on to mean the existing one.  False then.
 */
static bool
mg_made(MgScript *script, const RangeVar *rv)
{
	RangeVar qualified = *rv;

	if (rv->schemaname == NULL && rv->relpersistence != RELPERSISTENCE_TEMP)
		qualified.schemaname = mg_creation_schema();
	if (qualified.schemaname && OidIsValid(mg_script_resolve(script, &qualified)))
		return false;
	mg_script_add_name(script, &qualified, InvalidOid, true);
	return true;
}

/* A relation that comes with a table, in the same schema. */
static void
mg_made_beside(MgScript *script, const RangeVar *table, char *name)
{
	RangeVar rv = *table;

	rv.schemaname = mg_script_schema_of(script, table);
	rv.relname = name;
	mg_made(script, &rv);
}

/* A constraint: its index, and if the table exists already the constraint itself. */
static void
mg_made_constraint(MgScript *script, Oid relid, RangeVar *table, Constraint *con,
				   const char *column)
{
	char *name = con->conname ? con->conname
							  : mg_constraint_name(script, relid, table, con, column);

	if (name == NULL)
		return;
	if (OidIsValid(relid))
	{
		Constraint *copy = copyObject(con);

		copy->conname = pstrdup(name);
		mg_script_add_constraint(script, relid, copy);
	}
	if ((con->contype == CONSTR_PRIMARY || con->contype == CONSTR_UNIQUE ||
		 con->contype == CONSTR_EXCLUSION) &&
		con->indexname == NULL)
		mg_made_beside(script, table, name);
}

/* serial in one of its spellings: a sequence is made for the column */
static bool
mg_is_serial(const TypeName *type)
{
	static const char *const names[] = {"serial",  "bigserial", "smallserial",
										"serial4", "serial8",   "serial2"};

	if (type == NULL || list_length(type->names) != 1 || type->arrayBounds != NIL)
		return false;
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(strVal(linitial(type->names)), names[i]) == 0)
			return true;
	}
	return false;
}

static void
mg_made_column(MgScript *script, Oid relid, RangeVar *table, ColumnDef *def)
{
	bool sequence = mg_is_serial(def->typeName);
	ListCell *lc;

	if (OidIsValid(relid))
		mg_script_add_column(script, relid, def->colname);
	foreach(lc, def->constraints)
	{
		Constraint *con = lfirst_node(Constraint, lc);

		if (con->contype == CONSTR_IDENTITY)
			sequence = true;
		else
			mg_made_constraint(script, relid, table, con, def->colname);
	}
	if (sequence)
		mg_made_beside(script, table,
					   mg_choose_name(script, InvalidOid, table, def->colname, "seq"));
}

static void
mg_made_table(MgScript *script, CreateStmt *stmt)
{
	ListCell *lc;

	if (!mg_made(script, stmt->relation))
		return;
	foreach(lc, stmt->tableElts)
	{
		Node *element = lfirst(lc);

		if (IsA(element, ColumnDef))
			mg_made_column(script, InvalidOid, stmt->relation, (ColumnDef *) element);
		else if (IsA(element, Constraint))
			mg_made_constraint(script, InvalidOid, stmt->relation, (Constraint *) element, NULL);
	}
}

static void
mg_made_index(MgScript *script, IndexStmt *stmt)
{
	char *name = stmt->idxname;

	if (name == NULL)
		name = mg_choose_name(script, InvalidOid, stmt->relation,
							  mg_join_columns(stmt->indexParams), "idx");
	mg_made_beside(script, stmt->relation, name);
	mg_script_add_index(script, mg_script_resolve(script, stmt->relation), stmt);
}

static void
mg_made_by_alter(MgScript *script, AlterTableStmt *stmt)
{
	Oid relid = mg_script_resolve(script, stmt->relation);
	ListCell *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddColumn)
			mg_made_column(script, relid, stmt->relation, castNode(ColumnDef, cmd->def));
		else if (cmd->subtype == AT_AddConstraint)
			mg_made_constraint(script, relid, stmt->relation, castNode(Constraint, cmd->def), NULL);
	}
}

/* SELECT ... INTO, wherever in a set operation it is written. */
static void
mg_made_by_select(MgScript *script, SelectStmt *stmt)
{
	while (stmt->op != SETOP_NONE)
		stmt = stmt->larg;
	if (stmt->intoClause)
		mg_made(script, stmt->intoClause->rel);
}

/* ------------------------------------------------------------------------
 * All of them
 * ------------------------------------------------------------------------ */

/* CREATE SCHEMA with elements: they are made in it. */
static void
mg_made_schema(MgScript *script, CreateSchemaStmt *stmt)
{
	ListCell *lc;

	if (stmt->schemaname && !mg_script_schema_exists(script, stmt->schemaname))
		mg_script_add_schema(script, stmt->schemaname, InvalidOid, true);
	foreach(lc, stmt->schemaElts)
	{
		Node *element = copyObject(lfirst(lc));
		RangeVar *rv = NULL;

		if (IsA(element, CreateStmt))
			rv = ((CreateStmt *) element)->relation;
		else if (IsA(element, ViewStmt))
			rv = ((ViewStmt *) element)->view;
		else if (IsA(element, CreateSeqStmt))
			rv = ((CreateSeqStmt *) element)->sequence;
		else if (IsA(element, IndexStmt))
			rv = ((IndexStmt *) element)->relation;
		if (rv == NULL)
			continue;
		if (rv->schemaname == NULL)
			rv->schemaname = stmt->schemaname;
		if (rv->schemaname)
			mg_script_objects(script, element);
	}
	script->changed = true;
}

/* May the statement make or change types, functions, or whatever else relations are made of? */
static bool
mg_changes_more(NodeTag tag)
{
	switch (tag)
	{
		case T_AlterDomainStmt:
		case T_AlterEnumStmt:
		case T_AlterExtensionStmt:
		case T_AlterFunctionStmt:
		case T_AlterTypeStmt:
		case T_CallStmt:
		case T_CompositeTypeStmt:
		case T_CreateAmStmt:
		case T_CreateCastStmt:
		case T_CreateConversionStmt:
		case T_CreateDomainStmt:
		case T_CreateEnumStmt:
		case T_CreateEventTrigStmt:
		case T_CreateExtensionStmt:
		case T_CreateFdwStmt:
		case T_CreateForeignServerStmt:
		case T_CreateFunctionStmt:
		case T_CreateOpClassStmt:
		case T_CreateOpFamilyStmt:
		case T_CreatePLangStmt:
		case T_CreateRangeStmt:
		case T_CreateRoleStmt:
		case T_CreateTableSpaceStmt:
		case T_CreateTransformStmt:
		case T_CreateUserMappingStmt:
		case T_DefineStmt:
		case T_DoStmt:
		case T_DropOwnedStmt:
			return true;
		default:
			return false;
	}
}

/*
 * Take note of what a statement makes, renames or drops by name.
 * Called in the script's memory context.
 */
void
mg_script_objects(MgScript *script, Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateStmt:
			mg_made_table(script, (CreateStmt *) stmt);
			break;
		case T_CreateForeignTableStmt:
			mg_made_table(script, &((CreateForeignTableStmt *) stmt)->base);
			break;
		case T_CreateTableAsStmt:
			mg_made(script, ((CreateTableAsStmt *) stmt)->into->rel);
			break;
		case T_SelectStmt:
			mg_made_by_select(script, (SelectStmt *) stmt);
			break;
		case T_ExplainStmt:
			if (mg_explain_executes((ExplainStmt *) stmt))
				mg_script_objects(script, ((ExplainStmt *) stmt)->query);
			break;
		case T_ViewStmt:
			mg_made(script, ((ViewStmt *) stmt)->view);
			break;
		case T_CreateSeqStmt:
			mg_made(script, ((CreateSeqStmt *) stmt)->sequence);
			break;
		case T_IndexStmt:
			mg_made_index(script, (IndexStmt *) stmt);
			break;
		case T_AlterTableStmt:
			mg_made_by_alter(script, (AlterTableStmt *) stmt);
			break;
		case T_CreateSchemaStmt:
			mg_made_schema(script, (CreateSchemaStmt *) stmt);
			break;
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
		case T_DropStmt:
			mg_script_moves(script, stmt);
			break;
		default:
			if (mg_changes_more(nodeTag(stmt)))
				script->changed = true;
			break;
	}
}
