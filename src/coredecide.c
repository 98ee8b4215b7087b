/*
 * coredecide.c
 *
 * Owns the server's decisions that core keeps to itself: does a new column's
 * default rewrite the table, does a type change, does an index keep its file,
 * is a foreign key still proven.  (What constraints prove is in coreproof.c.)
 * Each function names the core function it has to agree with; the oracle in
 * the test suite holds it to that.
 *
 * Expressions are analyzed by core's parser as the current user, who wrote
 * them, and folded by core's planner as the owner of the table.  Both happen
 * inside mg_attempt().
 */
#include "mg_alter.h"

#include "access/stratnum.h"
#include "catalog/heap.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "utils/typcache.h"

/* ------------------------------------------------------------------------
 * ADD COLUMN
 * ------------------------------------------------------------------------ */

typedef struct MgColumnDecision
{
	Oid relid;
	Node *raw_default;
	MgNewColumn *column;
} MgColumnDecision;

/* One of the six spellings that stand for an integer with a sequence. */
static Oid
mg_serial_type(const TypeName *name)
{
	static const struct
	{
		const char *name;
		Oid typid;
	} serials[] = {{"smallserial", INT2OID}, {"serial2", INT2OID},   {"serial", INT4OID},
				   {"serial4", INT4OID},     {"bigserial", INT8OID}, {"serial8", INT8OID}};

	if (list_length(name->names) != 1 || name->pct_type || name->arrayBounds != NIL)
		return InvalidOid;
	for (int i = 0; i < (int) lengthof(serials); i++)
	{
		if (strcmp(strVal(linitial(name->names)), serials[i].name) == 0)
			return serials[i].typid;
	}
	return InvalidOid;
}

/* Sort out the constraints written with the column; returns its raw default. */
static Node *
mg_column_constraints(MgNewColumn *column)
{
	Node *raw_default = NULL;
	Constraint *last = NULL;
	ListCell *lc;

	foreach(lc, column->def->constraints)
	{
		/* a copy, for the one after it may say more about it */
		Constraint *con = copyObject(lfirst_node(Constraint, lc));

		mg_apply_not_enforced(con, last);
		last = con;
		switch (con->contype)
		{
			case CONSTR_DEFAULT:
				raw_default = con->raw_expr;
				column->has_default = true;
				break;
			case CONSTR_NOTNULL:
				column->not_null = true;
				break;
			case CONSTR_IDENTITY:
				column->identity = true;
				column->not_null = true;
				break;
			case CONSTR_GENERATED:
				column->generated = true;
				column->is_virtual = mg_clause_virtual(con);
				break;
			case CONSTR_PRIMARY:
				column->not_null = true;
				column->keys = lappend(column->keys, con);
				break;
			case CONSTR_UNIQUE:
				column->keys = lappend(column->keys, con);
				break;
			case CONSTR_CHECK:
				column->checks = lappend(column->checks, con);
				break;
			case CONSTR_FOREIGN:
				column->references = lappend(column->references, con);
				break;
			default:
				break;
		}
	}
	return raw_default;
}

/* What remains of a default after planning decides. */
static void
mg_decide_default(MgColumnDecision *decision, Node *expr)
{
	MgNewColumn *column = decision->column;
	const char *name = column->def->colname;
	bool constrained = mg_domain_has_constraints(decision->relid, column->typid);

	if (constrained)
	{
		column->rewrite = true;
		column->why = psprintf(
			"the type of column \"%s\" is a domain with constraints, so the table is rewritten to check every row",
			name);
		return;
	}
	if (expr == NULL)
		return;
	column->valued = !(IsA(expr, Const) && ((Const *) expr)->constisnull);
	expr = (Node *) mg_plan_as_owner(decision->relid, expr);
	if (contain_volatile_functions(expr))
	{
		column->rewrite = true;
		column->why = psprintf(
			"the default of column \"%s\" is volatile, so the table is rewritten with a value for every row",
			name);
		return;
	}
	if (column->not_null)
		expr = mg_estimate_as_owner(decision->relid, expr);
	column->stored_value = !(IsA(expr, Const) && ((Const *) expr)->constisnull);
	column->why = psprintf(
		"the default of column \"%s\" is computed once and kept in the catalog, so no row is written",
		name);
}

/* Can a virtual generated column have the type?  Raises core's error if not: CheckAttributeType(). */
static void
mg_check_virtual_type(const char *column, Oid typid)
{
	if (get_typtype(typid) == TYPTYPE_DOMAIN)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("virtual generated column \"%s\" cannot have a domain type", column));
	if (typid >= FirstUnpinnedObjectId)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("virtual generated column \"%s\" cannot have a user-defined type", column));
}

/* ATExecAddColumn()'s choice between a stored value and a rewrite. */
static void
mg_decide_column(void *arg)
{
	MgColumnDecision *decision = arg;
	MgNewColumn *column = decision->column;
	ParseState *pstate = make_parsestate(NULL);
	Node *expr;

	if (!OidIsValid(column->typid))
		typenameTypeIdAndMod(NULL, column->def->typeName, &column->typid, &column->typmod);
	if (column->is_virtual)
		mg_check_virtual_type(column->def->colname, column->typid);
	if (column->rewrite || column->is_virtual)
		return;
	if (decision->raw_default)
		expr = cookDefault(pstate, copyObject(decision->raw_default), column->typid, column->typmod,
						   column->def->colname, '\0');
	else
		expr = get_typdefault(column->typid);
	mg_decide_default(decision, expr);
}

/*
 * A type named without a schema, or by the grammar's own pg_catalog, can be
 * looked up without the risk of an error; modifiers do not matter here.
 */
static Oid
mg_plain_type(const TypeName *name)
{
	HeapTuple tuple;
	Oid typid;

	if (name->pct_type || name->setof || name->typmods != NIL ||
		(list_length(name->names) != 1 && strcmp(strVal(linitial(name->names)), "pg_catalog") != 0))
		return InvalidOid;
	tuple = (HeapTuple) LookupTypeName(NULL, name, NULL, true);
	if (tuple == NULL)
		return InvalidOid;
	typid = ((Form_pg_type) GETSTRUCT(tuple))->typisdefined ? ((Form_pg_type) GETSTRUCT(tuple))->oid
															: InvalidOid;
	ReleaseSysCache(tuple);
	return typid;
}

/* The common case: a plain type, and no default or a literal one. */
static bool
mg_decide_column_fast(MgColumnDecision *decision)
{
	MgNewColumn *column = decision->column;
	Node *raw = decision->raw_default;
	Oid typid = mg_plain_type(column->def->typeName);

	if (!OidIsValid(typid) || get_typtype(typid) == TYPTYPE_DOMAIN)
		return false;
	if (raw == NULL && get_typdefault(typid) != NULL)
		return false;
	if (raw && !IsA(raw, A_Const))
		return false;
	column->typid = typid;
	column->typmod = -1;
	if (raw)
	{
		column->stored_value = column->valued = !castNode(A_Const, raw)->isnull;
		column->why = psprintf(
			"the default of column \"%s\" is computed once and kept in the catalog, so no row is written",
			column->def->colname);
	}
	return true;
}

/*
 * Analyze an expression.  When the statement is about to run, that is done as
 * the current user, whose words it is and as whom core will do it; a dry run
 * may be somebody else's words.
 */
static bool
mg_decide(MgFootprint *fp, Oid relid, MgAttemptFn fn, void *arg, MgProblem **problem)
{
	if (fp->script)
		return mg_attempt_as_owner(relid, fn, arg, problem);
	return mg_attempt(fn, arg, problem);
}

/*
 * An expression that could not be analyzed.  True: core will refuse it with
 * the same words.  Otherwise the worst is assumed, for the reason may be gone
 * when core comes to it: a lock that somebody holds, a restriction of the
 * analysis, a function that raises when it likes, a statement of the script
 * that has not run yet.
 */
static bool
mg_decision_failed(MgFootprint *fp, MgProblem *problem, bool is_virtual)
{
	/* what cannot be virtual cannot be so later either */
	if (is_virtual && problem->sqlerrcode == ERRCODE_FEATURE_NOT_SUPPORTED)
	{
		fp->problem = problem;
		return true;
	}
	if ((fp->script && fp->script->changed) || problem->by_function ||
		problem->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		ERRCODE_TO_CATEGORY(problem->sqlerrcode) != MAKE_SQLSTATE('4', '2', '0', '0', '0'))
		return false;
	if (fp->problem == NULL)
		fp->problem = problem;
	return true;
}

/*
 * What ADD COLUMN will do to existing rows: ATExecAddColumn().  NULL: core
 * will refuse the definition, which is recorded as a problem.
 */
MgNewColumn *
mg_decide_new_column(MgFootprint *fp, Oid relid, ColumnDef *def)
{
	MgNewColumn *column = palloc0(sizeof(MgNewColumn));
	MgColumnDecision decision = {.relid = relid, .column = column};
	MgProblem *problem = NULL;

	column->def = def;
	decision.raw_default = mg_column_constraints(column);
	column->typid = mg_serial_type(def->typeName);
	if (OidIsValid(column->typid))
	{
		column->serial = column->not_null = column->rewrite = true;
		column->why = psprintf(
			"column \"%s\" takes a value from its sequence for every row, so the table is rewritten",
			def->colname);
		return column;
	}
	if (column->is_virtual)
		column->why =
			psprintf("generated column \"%s\" is computed when it is read, so no row is written",
					 def->colname);
	else if (column->identity || column->generated)
	{
		column->rewrite = true;
		column->why =
			column->identity
				? psprintf(
					  "identity column \"%s\" takes a value from its sequence for every row, so the table is rewritten",
					  def->colname)
				: psprintf(
					  "generated column \"%s\" is computed and stored for every row, so the table is rewritten",
					  def->colname);
	}
	else if (mg_decide_column_fast(&decision))
		return column;

	if (!mg_decide(fp, relid, mg_decide_column, &decision, &problem))
	{
		if (mg_decision_failed(fp, problem, column->is_virtual))
			return NULL;
		column->rewrite = !column->is_virtual;
		column->why = psprintf("column \"%s\" cannot be analyzed now (%s), so a rewrite is assumed",
							   def->colname, problem->message);
	}
	return column;
}

/* ------------------------------------------------------------------------
 * ALTER COLUMN TYPE
 * ------------------------------------------------------------------------ */

typedef struct MgTypeDecision
{
	Oid relid;
	ColumnDef *def;
	Form_pg_attribute att;
	MgRetyped *retyped;
	bool no_cast; /* there is no assignment cast, and there are rows to be cast */
	bool locked;  /* USING could not be looked at: somebody holds the table */
} MgTypeDecision;

/* ATColumnChangeRequiresRewrite(): does anything but the old value remain? */
static bool
mg_change_rewrites(Node *expr, AttrNumber attnum, Oid relid)
{
	for (;;)
	{
		if (IsA(expr, Var))
			return ((Var *) expr)->varattno != attnum;
		if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else if (IsA(expr, CoerceToDomain))
		{
			CoerceToDomain *coerce = (CoerceToDomain *) expr;

			if (mg_domain_has_constraints(relid, coerce->resulttype))
				return true;
			expr = (Node *) coerce->arg;
		}
		else if (IsA(expr, FuncExpr))
		{
			FuncExpr *func = (FuncExpr *) expr;

			if ((func->funcid != F_TIMESTAMPTZ_TIMESTAMP &&
				 func->funcid != F_TIMESTAMP_TIMESTAMPTZ) ||
				TimestampTimestampTzRequiresRewrite())
				return true;
			expr = linitial(func->args);
		}
		else
			return true;
	}
}

/* The expression that makes the new value, before it is cast. */
static Node *
mg_type_source(MgTypeDecision *decision, ParseState *pstate)
{
	Form_pg_attribute att = decision->att;
	Relation rel;
	ParseNamespaceItem *nsitem;
	Node *expr;

	if (decision->def->raw_default == NULL)
		return (Node *) makeVar(1, att->attnum, att->atttypid, att->atttypmod, att->attcollation,
								0);
	rel = mg_relation_open(decision->relid);
	if (rel == NULL)
	{
		decision->locked = true;
		return NULL;
	}
	nsitem = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true);
	addNSItemToQuery(pstate, nsitem, false, true, true);
	expr = transformExpr(pstate, copyObject(decision->def->raw_default),
						 EXPR_KIND_ALTER_COL_TRANSFORM);
	mg_relation_close(rel);
	return expr;
}

/* Of a composite type, a view or a foreign table no value is ever transformed. */
static bool
mg_is_table(Oid relid)
{
	char relkind = get_rel_relkind(relid);

	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE;
}

/* ATPrepAlterColumnType()'s test of the transformation. */
static void
mg_decide_type(void *arg)
{
	MgTypeDecision *decision = arg;
	MgRetyped *retyped = decision->retyped;
	ParseState *pstate = make_parsestate(NULL);
	Node *expr;

	typenameTypeIdAndMod(NULL, decision->def->typeName, &retyped->newtype, &retyped->newtypmod);
	retyped->newcoll = GetColumnDefCollation(NULL, decision->def, retyped->newtype);
	if (retyped->is_virtual)
	{
		mg_check_virtual_type(retyped->column, retyped->newtype);
		return;
	}
	expr = mg_type_source(decision, pstate);
	if (expr == NULL)
	{
		retyped->rewrite = true;
		return;
	}
	expr = coerce_to_target_type(pstate, expr, exprType(expr), retyped->newtype, retyped->newtypmod,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expr == NULL)
	{
		decision->no_cast = mg_is_table(decision->relid);
		return;
	}
	assign_expr_collations(pstate, expr);
	expr = (Node *) mg_plan_as_owner(decision->relid, expr);
	retyped->rewrite = mg_change_rewrites(expr, decision->att->attnum, decision->relid);
}

/*
 * What ALTER COLUMN TYPE will do to the rows: ATPrepAlterColumnType().  NULL:
 * core will refuse it, which is recorded as a problem.
 */
MgRetyped *
mg_decide_type_change(MgFootprint *fp, Oid relid, AlterTableCmd *cmd)
{
	HeapTuple tuple = SearchSysCacheAttName(relid, cmd->name);
	MgRetyped *retyped = palloc0(sizeof(MgRetyped));
	MgTypeDecision decision = {.relid = relid,
							   .def = castNode(ColumnDef, cmd->def),
							   .retyped = retyped};
	MgProblem *problem = NULL;
	bool ok;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	decision.att = (Form_pg_attribute) GETSTRUCT(tuple);
	retyped->attnum = decision.att->attnum;
	retyped->oldtype = decision.att->atttypid;
	retyped->oldcoll = decision.att->attcollation;
	retyped->identity = decision.att->attidentity != '\0';
	retyped->is_virtual = decision.att->attgenerated == MG_GENERATED_VIRTUAL;
	retyped->node = (Node *) cmd;
	retyped->column = cmd->name;

	ok = mg_decide(fp, relid, mg_decide_type, &decision, &problem);
	ReleaseSysCache(tuple);
	if (!ok)
	{
		if (mg_decision_failed(fp, problem, retyped->is_virtual))
			return NULL;
		retyped->rewrite = !retyped->is_virtual;
	}
	else if (decision.no_cast)
	{
		mg_problem(fp, ERRCODE_DATATYPE_MISMATCH,
				   "column \"%s\" cannot be cast automatically to type %s", cmd->name,
				   format_type_be(retyped->newtype));
		return NULL;
	}
	return retyped;
}

/* The change of a column, or NULL if its type stays. */
static MgRetyped *
mg_find_retyped(List *retyped, AttrNumber attnum)
{
	ListCell *lc;

	foreach(lc, retyped)
	{
		if (((MgRetyped *) lfirst(lc))->attnum == attnum)
			return lfirst(lc);
	}
	return NULL;
}

/* The operator class that a column gets when its index is made again. */
static Oid
mg_new_opclass(Oid opclass, Oid am, const MgRetyped *change)
{
	if (change && GetDefaultOpClass(change->oldtype, am) == opclass)
		return GetDefaultOpClass(change->newtype, am);
	return opclass;
}

/*
 * One key column of CheckIndexCompatible().  stored is the type that the index
 * keeps, which for a polymorphic operator class has to be the column's.
 */
static bool
mg_key_compatible(Oid opclass, Oid collation, Oid am, Oid stored, Oid column_type,
				  const MgRetyped *change)
{
	if (IsPolymorphicType(get_opclass_input_type(opclass)) && stored != column_type)
		return false;
	if (change == NULL)
		return true;
	return mg_new_opclass(opclass, am, change) == opclass &&
		   (collation != change->oldcoll || change->newcoll == change->oldcoll);
}

/*
 * Will an index that uses retyped columns keep its file?  CheckIndexCompatible()
 * cannot be asked, as it reads the new types from the catalog.
 */
bool
mg_index_storage_kept(Oid index, List *retyped)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	oidvector *opclasses;
	oidvector *collations;
	Oid am;
	bool isnull;
	bool kept;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	kept = form->indisvalid && heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
		   heap_attisnull(tuple, Anum_pg_index_indexprs, NULL);
	am = mg_index_method(index);
	opclasses = (oidvector *) DatumGetPointer(
		SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indclass, &isnull));
	collations = (oidvector *) DatumGetPointer(
		SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indcollation, &isnull));
	for (int i = 0; kept && i < form->indnkeyatts; i++)
	{
		MgRetyped *change = mg_find_retyped(retyped, form->indkey.values[i]);

		kept = mg_key_compatible(opclasses->values[i], collations->values[i], am,
								 get_atttype(index, i + 1),
								 change ? change->newtype
										: get_atttype(form->indrelid, form->indkey.values[i]),
								 change);
	}
	ReleaseSysCache(tuple);
	return kept;
}

/* ------------------------------------------------------------------------
 * Foreign keys on retyped columns
 * ------------------------------------------------------------------------ */

/* The operator class of a unique index for one of its columns. */
static Oid
mg_index_opclass(Oid index, AttrNumber attnum)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	oidvector *opclasses;
	Oid result = InvalidOid;
	bool isnull;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	form = (Form_pg_index) GETSTRUCT(tuple);
	opclasses = (oidvector *) DatumGetPointer(
		SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indclass, &isnull));
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (form->indkey.values[i] == attnum)
			result = opclasses->values[i];
	}
	ReleaseSysCache(tuple);
	return result;
}

/* How a referencing column gets to the operator's right side: findFkeyCast(). */
static CoercionPathType
mg_fkey_cast(Oid target, Oid source, Oid *func)
{
	*func = InvalidOid;
	if (target == source)
		return COERCION_PATH_RELABELTYPE;
	return find_coercion_pathway(target, source, COERCION_IMPLICIT, func);
}

/* Is the comparison of one key column the same as before? */
static bool
mg_fkey_key_same(Oid opclass, Oid pktype, Oid old_fktype, Oid new_fktype, Oid old_operator)
{
	Oid family = get_opclass_family(opclass);
	Oid input = get_opclass_input_type(opclass);
	Oid base = getBaseType(new_fktype);
	Oid right = base;
	Oid operator= get_opfamily_member(family, input, base, BTEqualStrategyNumber);
	Oid old_func;
	Oid new_func;

	if (!OidIsValid(operator))
	{
		Oid have[2] = {pktype, new_fktype};
		Oid want[2] = {input, input};

		if (!can_coerce_type(2, have, want, COERCION_IMPLICIT))
			return false;
		operator= get_opfamily_member(family, input, input, BTEqualStrategyNumber);
		right = input;
	}
	if (operator!= old_operator)
		return false;
	return mg_fkey_cast(right, old_fktype, &old_func) ==
			   mg_fkey_cast(right, new_fktype, &new_func) &&
		   old_func == new_func && (!IsPolymorphicType(right) || old_fktype == new_fktype);
}

/*
 * Does a foreign key need no new validation although columns of relid on
 * either side change their types without a rewrite?  Follows the "old check
 * ok" logic of ATAddForeignKeyConstraint().
 */
bool
mg_fkey_still_proven(Oid constraint, Oid relid, List *retyped)
{
	HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Form_pg_constraint form;
	int nkeys;
	AttrNumber conkey[INDEX_MAX_KEYS];
	AttrNumber confkey[INDEX_MAX_KEYS];
	Oid operators[INDEX_MAX_KEYS];
	bool proven = true;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	mg_deconstruct_fkey(tuple, &nkeys, conkey, confkey, operators);
	for (int i = 0; proven && i < nkeys; i++)
	{
		MgRetyped *fk = form->conrelid == relid ? mg_find_retyped(retyped, conkey[i]) : NULL;
		MgRetyped *pk = form->confrelid == relid ? mg_find_retyped(retyped, confkey[i]) : NULL;
		Oid old_fktype = get_atttype(form->conrelid, conkey[i]);
		Oid pktype = pk ? pk->newtype : get_atttype(form->confrelid, confkey[i]);
		Oid opclass = mg_new_opclass(mg_index_opclass(form->conindid, confkey[i]), BTREE_AM_OID,
									 pk);

		proven = OidIsValid(opclass) &&
				 mg_fkey_key_same(opclass, pktype, old_fktype, fk ? fk->newtype : old_fktype,
								  operators[i]);
	}
	ReleaseSysCache(tuple);
	return proven;
}
