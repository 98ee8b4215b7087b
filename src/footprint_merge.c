/*
 * footprint_merge.c
 *
 * Owns the question whether a table fits below another one: what core refuses
 * of ATTACH PARTITION and INHERIT before it looks at any row.
 *
 * Follows MergeAttributesIntoExisting(), MergeConstraintsIntoExisting() and
 * constraints_equivalent() of tablecmds.c.
 */
#include "mg_alter.h"

#include "catalog/pg_attrdef.h"

/* The two tables, and core's complaint. */
typedef struct MgMerge
{
	Oid child;
	Oid parent;
	bool partition; /* ATTACH, not INHERIT */
	int sqlerrcode; /* zero: they fit */
	char *message;
} MgMerge;

static bool mg_misfit(MgMerge *merge, int sqlerrcode, const char *fmt, ...)
	pg_attribute_printf(3, 4);

/* Remember the first complaint; false, for the caller to return. */
static bool
mg_misfit(MgMerge *merge, int sqlerrcode, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	merge->message = mg_vformat(fmt, args);
	va_end(args);
	merge->sqlerrcode = sqlerrcode;
	return false;
}

/* Text of an expression of a table, as the catalog holds it. */
static const char *
mg_expression_text(Datum expression, Oid relid)
{
	return TextDatumGetCString(
		DirectFunctionCall2(pg_get_expr, expression, ObjectIdGetDatum(relid)));
}

/* The expression of a generated column, as text. */
static const char *
mg_generation_text(Oid relid, AttrNumber attnum)
{
	ListCell *lc;

	foreach(lc, mg_rows(AttrDefaultRelationId, AttrDefaultIndexId, Anum_pg_attrdef_adrelid, relid))
	{
		HeapTuple row = lfirst(lc);
		bool isnull;
		Datum adbin;

		if (((Form_pg_attrdef) GETSTRUCT(row))->adnum != attnum)
			continue;
		adbin = mg_row_value(AttrDefaultRelationId, row, Anum_pg_attrdef_adbin, &isnull);
		if (!isnull)
			return mg_expression_text(adbin, relid);
	}
	return "";
}

/* Is the parent's column NOT NULL for its children, too? */
static bool
mg_asks_not_null(Oid parent, AttrNumber attnum)
{
	MgNotNull known = mg_not_null(parent, attnum, NIL);

	return known.state != MG_NULLABLE && !known.no_inherit;
}

/* Both columns are generated, or none is. */
static bool
mg_generation_fits(MgMerge *merge, const FormData_pg_attribute *above,
				   const FormData_pg_attribute *below)
{
	const char *name = NameStr(above->attname);

	if (above->attgenerated == '\0' && below->attgenerated == '\0')
		return true;
	if (below->attgenerated == '\0')
		return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
						 "column \"%s\" in child table must be a generated column", name);
	if (above->attgenerated == '\0')
		return !MG_PG_GENERATED_LIKE_PARENT ||
			   mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
						 "column \"%s\" in child table must not be a generated column", name);
	if (above->attgenerated != below->attgenerated)
		return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
						 "column \"%s\" inherits from generated column of different kind", name);
	if (!MG_PG_GENERATED_LIKE_PARENT &&
		strcmp(mg_generation_text(merge->parent, above->attnum),
			   mg_generation_text(merge->child, below->attnum)) != 0)
		return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
						 "column \"%s\" in child table has a conflicting generation expression",
						 name);
	return true;
}

/* One column of the parent, and that of the same name. */
static bool
mg_column_fits(MgMerge *merge, const FormData_pg_attribute *above)
{
	const char *name = NameStr(above->attname);
	FormData_pg_attribute below = mg_column_form(merge->child, name);

	if (below.attnum == InvalidAttrNumber)
		return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH, "child table is missing column \"%s\"",
						 name);
	if (above->atttypid != below.atttypid || above->atttypmod != below.atttypmod)
		return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
						 "child table \"%s\" has different type for column \"%s\"",
						 get_rel_name(merge->child), name);
	if (above->attcollation != below.attcollation)
		return mg_misfit(merge, ERRCODE_COLLATION_MISMATCH,
						 "child table \"%s\" has different collation for column \"%s\"",
						 get_rel_name(merge->child), name);
	/* the advice for ATTACH begins with SET NOT NULL, and is worth more than core's complaint */
	if (!merge->partition && !below.attnotnull && mg_asks_not_null(merge->parent, above->attnum))
		return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
						 "column \"%s\" in child table%s must be marked NOT NULL", name,
						 MG_PG_NOT_NULL_CONSTRAINTS
							 ? psprintf(" \"%s\"", get_rel_name(merge->child))
							 : "");
	return mg_generation_fits(merge, above, &below);
}

/* All columns of the parent. */
static bool
mg_columns_fit(MgMerge *merge)
{
	AttrNumber natts = mg_column_count(merge->parent);

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(merge->parent),
										  Int16GetDatum(attnum));
		FormData_pg_attribute above;

		if (!HeapTupleIsValid(tuple))
			continue;
		memcpy(&above, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
		ReleaseSysCache(tuple);
		if (!above.attisdropped && !mg_column_fits(merge, &above))
			return false;
	}
	return true;
}

/* The text of a CHECK constraint's expression. */
static const char *
mg_check_text(HeapTuple tuple, Oid relid)
{
	bool isnull;
	Datum conbin = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_conbin, &isnull);

	return isnull ? "" : mg_expression_text(conbin, relid);
}

/* A constraint of the child that the parent's is to be merged with. */
static bool
mg_constraint_fits(MgMerge *merge, HeapTuple above, HeapTuple below)
{
	Form_pg_constraint parent = (Form_pg_constraint) GETSTRUCT(above);
	Form_pg_constraint child = (Form_pg_constraint) GETSTRUCT(below);
	const char *table = get_rel_name(merge->child);

	if (parent->contype == CONSTRAINT_CHECK &&
		(parent->condeferrable != child->condeferrable ||
		 parent->condeferred != child->condeferred ||
		 strcmp(mg_check_text(above, merge->parent), mg_check_text(below, merge->child)) != 0))
		return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
						 "child table \"%s\" has different definition for check constraint \"%s\"",
						 table, NameStr(parent->conname));
	if (child->connoinherit)
		return mg_misfit(
			merge, ERRCODE_INVALID_OBJECT_DEFINITION,
			"constraint \"%s\" conflicts with non-inherited constraint on child table \"%s\"",
			NameStr(child->conname), table);
	if (parent->convalidated && mg_row_enforced(child) && !child->convalidated)
		return mg_misfit(
			merge, ERRCODE_INVALID_OBJECT_DEFINITION,
			"constraint \"%s\" conflicts with NOT VALID constraint on child table \"%s\"",
			NameStr(child->conname), table);
	if (mg_row_enforced(parent) && !mg_row_enforced(child))
		return mg_misfit(
			merge, ERRCODE_INVALID_OBJECT_DEFINITION,
			"constraint \"%s\" conflicts with NOT ENFORCED constraint on child table \"%s\"",
			NameStr(child->conname), table);
	return true;
}

/* Core's counterpart of a parent's constraint: CHECK by name, NOT NULL by column. */
static HeapTuple
mg_child_constraint(MgMerge *merge, HeapTuple above)
{
	Form_pg_constraint parent = (Form_pg_constraint) GETSTRUCT(above);
	Oid conoid;
	HeapTuple below;

	if (parent->contype == CONSTRAINT_NOTNULL)
	{
		const char *column = mg_not_null_column(above);

		return column ? mg_not_null_row(merge->child, get_attnum(merge->child, column)) : NULL;
	}
	conoid = get_relation_constraint_oid(merge->child, NameStr(parent->conname), true);
	below = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(conoid));
	if (HeapTupleIsValid(below) && mg_constraint_of(below)->contype == CONSTRAINT_CHECK)
		return below;
	return NULL;
}

/* One constraint of the parent. */
static bool
mg_parent_constraint_fits(MgMerge *merge, HeapTuple above)
{
	Form_pg_constraint parent = (Form_pg_constraint) GETSTRUCT(above);
	HeapTuple below;

	if ((parent->contype != CONSTRAINT_CHECK && parent->contype != CONSTRAINT_NOTNULL) ||
		parent->connoinherit)
		return true;
	below = mg_child_constraint(merge, above);
	if (below)
		return mg_constraint_fits(merge, above, below);
	return parent->contype == CONSTRAINT_NOTNULL ||
		   mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH, "child table is missing constraint \"%s\"",
					 NameStr(parent->conname));
}

/* Columns of a partition that the parent has not. */
static bool
mg_no_more_columns(MgMerge *merge)
{
	AttrNumber natts = mg_column_count(merge->child);

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		const char *name = get_attname(merge->child, attnum, true);

		/* a dropped one has no name */
		if (name && mg_column_form(merge->parent, name).attnum == InvalidAttrNumber &&
			get_attnum(merge->child, name) == attnum)
			return mg_misfit(merge, ERRCODE_DATATYPE_MISMATCH,
							 "table \"%s\" contains column \"%s\" not found in parent \"%s\"",
							 get_rel_name(merge->child), name, get_rel_name(merge->parent));
		if (name && MG_PG_IDENTITY_OF_PARTITIONS &&
			mg_column_form(merge->child, name).attidentity != '\0')
			return mg_misfit(merge, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
							 "table \"%s\" being attached contains an identity column \"%s\"",
							 get_rel_name(merge->child), name);
	}
	return true;
}

/* All constraints of the parent. */
static bool
mg_constraints_fit(MgMerge *merge)
{
	ListCell *lc;

	foreach(lc, mg_constraints_of(merge->parent))
	{
		if (!mg_parent_constraint_fits(merge, lfirst(lc)))
			return false;
	}
	return true;
}

static void
mg_merge_attempt(void *arg)
{
	MgMerge *merge = arg;

	if (merge->partition && !mg_no_more_columns(merge))
		return;
	if (mg_columns_fit(merge))
		(void) mg_constraints_fit(merge);
}

/*
 * May child become a partition or an inheritance child of parent?  If not,
 * records core's own error.  What the script has changed before cannot be
 * compared.
 */
bool
mg_check_merge(MgFootprint *fp, Oid child, Oid parent)
{
	MgMerge merge = {.child = child,
					 .parent = parent,
					 .partition = get_rel_relkind(parent) == RELKIND_PARTITIONED_TABLE};

	if (fp->script && (mg_script_alters(fp->script, child) || mg_script_alters(fp->script, parent)))
		return true;
	(void) mg_attempt(mg_merge_attempt, &merge, NULL);
	if (merge.sqlerrcode == 0)
		return true;
	mg_problem(fp, merge.sqlerrcode, "%s", merge.message);
	return false;
}
