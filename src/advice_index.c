/*
 * advice_index.c
 *
 * Owns the advice for what ends in an index: CREATE INDEX, UNIQUE, PRIMARY
 * KEY, EXCLUDE.  Indexes are built CONCURRENTLY; for a partitioned
 * table, where that is refused, partition by partition below an index that
 * is made ON ONLY the parent and becomes valid with the last ATTACH.
 */
#include "mg.h"

#include "advice.h"
#include "mg_alter.h"

/* What pg_index says about an index; all false if it is gone. */
MgIndexFlags
mg_index_flags(Oid index)
{
	Form_pg_index form = mg_index_form(index);
	MgIndexFlags flags = {0};

	if (form)
	{
		flags.unique = form->indisunique;
		flags.primary = form->indisprimary;
		flags.exclusion = form->indisexclusion;
		flags.deferrable = !form->indimmediate;
	}
	return flags;
}

/* An index to be built, over a table or a tree of partitions. */
typedef struct MgIndexPlan
{
	const char *body;        /* " (a, b) WITH (...)": see mg_text_index_body */
	const char *parent_body; /* the same for a partitioned table: in the words of a constraint if
								 * it is one; NULL if there are none */
	const char *unique;      /* "UNIQUE " or "" */
	const char *constraint;  /* "UNIQUE", "PRIMARY KEY", or NULL */
	const char *attributes;  /* " DEFERRABLE ..." of the constraint, or "" */
	const char *columns;     /* for names: "a_b" */
	const char *label;       /* for names: "idx", "key", "pkey" */
	IndexStmt *stmt;         /* to recognize indexes that are there, or NULL */
	int shown;               /* leaves that were shown */
	int more;                /* leaves that were not */
} MgIndexPlan;

/* A free name for an index, as core would choose it. */
static const char *
mg_index_name(Oid relid, MgIndexPlan *plan)
{
	bool primary = strcmp(plan->label, "pkey") == 0;

	return quote_identifier(ChooseRelationName(get_rel_name(relid), primary ? NULL : plan->columns,
											   plan->label, get_rel_namespace(relid),
											   plan->constraint != NULL));
}

/* Add a column's name to the names that an index's name is made of; no two are the same. */
static void
mg_add_column_name(List **names, const char *name)
{
	const char *unique = name;

	for (int i = 1; list_member(*names, makeString(pstrdup(unique))); i++)
		unique = psprintf("%s%d", name, i);
	*names = lappend(*names, makeString(pstrdup(unique)));
}

/* The columns of an index for its name, INCLUDE and all, as ChooseIndexColumnNames() does it. */
static List *
mg_column_names(List *elems, List *including)
{
	List *names = NIL;
	ListCell *lc;

	foreach(lc, list_concat_copy(elems, including))
	{
		Node *elem = lfirst(lc);
		const char *name;

		if (IsA(elem, String))
			name = strVal(elem);
		else
			name = castNode(IndexElem, elem)->name;
		if (name == NULL)
			name = FigureIndexColname(castNode(IndexElem, elem)->expr);
		mg_add_column_name(&names, name ? name : "expr");
	}
	return names;
}

/* These names joined, as ChooseIndexNameAddition() does it. */
static const char *
mg_join_names(List *names)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	foreach(lc, names)
	{
		appendStringInfo(&buf, "%s%s", buf.len ? "_" : "", strVal(lfirst(lc)));
		if (buf.len >= NAMEDATALEN)
			break;
	}
	return buf.data;
}

/* An index's name with the schema that it shares with its table. */
static const char *
mg_index_in_schema(Oid relid, const char *quoted)
{
	return psprintf("%s.%s", quote_identifier(get_namespace_name(get_rel_namespace(relid))),
					quoted);
}

/* A partition's index that will do, to be attached as it is; or InvalidOid. */
static Oid
mg_existing_index(Oid relid, Oid parent, MgIndexPlan *plan)
{
	ListCell *lc;

	if (plan->stmt == NULL)
		return InvalidOid;
	foreach(lc, mg_index_list(relid))
	{
		if (!has_superclass(lfirst_oid(lc)) && get_index_isvalid(lfirst_oid(lc)) &&
			mg_index_matches(lfirst_oid(lc), relid, plan->stmt, parent))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* An index without blocking, and the constraint made from it. */
static void
mg_sql_plain_index(StringInfo buf, Oid relid, const char *name, MgIndexPlan *plan)
{
	mg_sql(buf, "CREATE %sINDEX CONCURRENTLY %s ON %s%s", plan->unique, name,
		   mg_qualified_name(relid), plan->body);
	if (plan->constraint)
		mg_sql(buf, "ALTER TABLE %s ADD CONSTRAINT %s %s USING INDEX %s%s",
			   mg_qualified_name(relid), name, plan->constraint, name, plan->attributes);
}

/* One partition's index, or the one that is there already; returns its name. */
static const char *
mg_sql_leaf_index(StringInfo buf, Oid leaf, Oid parent, MgIndexPlan *plan)
{
	Oid existing = mg_existing_index(leaf, parent, plan);
	const char *name;

	if (OidIsValid(existing))
		return quote_identifier(get_rel_name(existing));
	name = mg_index_name(leaf, plan);
	mg_sql_plain_index(buf, leaf, name, plan);
	return name;
}

/* The index of a partitioned table itself: nothing is built. */
static void
mg_sql_parent_index(StringInfo buf, Oid relid, const char *name, MgIndexPlan *plan)
{
	if (plan->constraint)
		mg_sql(buf, "ALTER TABLE ONLY %s ADD CONSTRAINT %s %s%s%s", mg_qualified_name(relid), name,
			   plan->constraint, plan->parent_body, plan->attributes);
	else
		mg_sql(buf, "CREATE %sINDEX %s ON ONLY %s%s", plan->unique, name, mg_qualified_name(relid),
			   plan->parent_body);
}

static void mg_sql_partition_share(StringInfo buf, Oid parent, Oid child, const char *name,
								   MgIndexPlan *plan);

/* Everything below a partitioned table whose index has this name. */
static void
mg_sql_partition_indexes(StringInfo buf, Oid relid, const char *name, MgIndexPlan *plan)
{
	ListCell *lc;

	foreach(lc, find_inheritance_children(relid, NoLock))
		mg_sql_partition_share(buf, relid, lfirst_oid(lc), name, plan);
}

/* The share of one partition in the index of its parent that has this name. */
static void
mg_sql_partition_share(StringInfo buf, Oid parent, Oid child, const char *name, MgIndexPlan *plan)
{
	char relkind = get_rel_relkind(child);
	const char *child_name;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return;
	if (plan->shown >= MG_SHOWN)
	{
		plan->more++;
		return;
	}
	if (relkind == RELKIND_PARTITIONED_TABLE)
	{
		child_name = mg_index_name(child, plan);
		mg_sql_parent_index(buf, child, child_name, plan);
		mg_sql_partition_indexes(buf, child, child_name, plan);
	}
	else
	{
		child_name = mg_sql_leaf_index(buf, child, parent, plan);
		plan->shown++;
	}
	mg_sql(buf, "ALTER INDEX %s ATTACH PARTITION %s", mg_index_in_schema(parent, name),
		   mg_index_in_schema(child, child_name));
}

/*
 * The index of a relation or of a tree, and the constraint that it belongs to.
 * False: it cannot be told.
 */
static bool
mg_sql_planned(StringInfo buf, Oid relid, const char *name, MgIndexPlan *plan)
{
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
	{
		mg_sql_plain_index(buf, relid, name, plan);
		return true;
	}
	if (plan->parent_body == NULL)
		return false;
	mg_sql_parent_index(buf, relid, name, plan);
	mg_sql_partition_indexes(buf, relid, name, plan);
	if (plan->more > 0)
		mg_say(
			buf,
			"Do the same for the other %d partitions: the index becomes valid with the last one.",
			plan->more);
	return true;
}

/* The statement itself, with CONCURRENTLY; nothing if it cannot be told. */
void
mg_sql_create_concurrently(MgFootprint *fp, StringInfo buf, IndexStmt *stmt)
{
	const char *body = mg_text_index_body(fp, stmt);

	if (body)
		mg_sql(buf, "CREATE %sINDEX CONCURRENTLY %s%s%sON %s%s", stmt->unique ? "UNIQUE " : "",
			   stmt->if_not_exists ? "IF NOT EXISTS " : "",
			   stmt->idxname ? quote_identifier(stmt->idxname) : "", stmt->idxname ? " " : "",
			   mg_qualified_name(fp->target), body);
}

char *
mg_advise_create_index(MgFootprint *fp, MgFinding *finding)
{
	/* inside of CREATE SCHEMA, too */
	IndexStmt *stmt = castNode(IndexStmt, linitial(mg_nodes(finding)));
	MgIndexPlan plan = {.unique = stmt->unique ? "UNIQUE " : "",
						.attributes = "",
						.label = "idx",
						.stmt = stmt};
	StringInfoData buf;

	initStringInfo(&buf);
	plan.body = plan.parent_body = mg_text_index_body(fp, stmt);
	plan.columns = mg_join_names(mg_column_names(stmt->indexParams, stmt->indexIncludingParams));
	if (plan.body == NULL)
	{
		mg_say(&buf, "Run it with CONCURRENTLY, outside a transaction block.");
		return buf.data;
	}
	if (get_rel_relkind(fp->target) == RELKIND_PARTITIONED_TABLE)
	{
		mg_say_apart(fp, &buf, "build it partition by partition");
		mg_sql_planned(&buf, fp->target,
					   stmt->idxname ? quote_identifier(stmt->idxname)
									 : mg_index_name(fp->target, &plan),
					   &plan);
		return buf.data;
	}
	mg_say(&buf, mg_situation_in_block(fp->script)
					 ? "Commit first, then run outside a transaction block:"
					 : "Run outside a transaction block:");
	mg_sql_create_concurrently(fp, &buf, stmt);
	return buf.data;
}

/* ------------------------------------------------------------------------
 * UNIQUE and PRIMARY KEY
 * ------------------------------------------------------------------------ */

/* What follows the table's name in CREATE UNIQUE INDEX for a constraint. */
static const char *
mg_constraint_body(Constraint *con, List *keys, bool in_constraint)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (con->nulls_not_distinct && in_constraint)
		appendStringInfoString(&buf, " NULLS NOT DISTINCT");
	appendStringInfo(&buf, " (%s)", mg_text_names(keys));
	if (con->including)
		appendStringInfo(&buf, " INCLUDE (%s)", mg_text_names(con->including));
	if (con->nulls_not_distinct && !in_constraint)
		appendStringInfoString(&buf, " NULLS NOT DISTINCT");
	appendStringInfoString(&buf, mg_text_options(con->options));
	if (con->indexspace)
		appendStringInfo(&buf, "%s TABLESPACE %s", in_constraint ? " USING INDEX" : "",
						 quote_identifier(con->indexspace));
	return buf.data;
}

/* Columns of a primary key that are nullable so far are made NOT NULL first. */
static void
mg_sql_key_not_null(StringInfo buf, Oid relid, const char *table, List *keys)
{
	ListCell *lc;

	foreach(lc, keys)
	{
		AttrNumber attnum = get_attnum(relid, strVal(lfirst(lc)));

		if (attnum == InvalidAttrNumber)
			mg_say(buf, "Fill the new column in batches, then go on:");
		if (mg_not_null(relid, attnum, NIL).state != MG_NOT_NULL)
			mg_sql_not_null(buf, relid, table, strVal(lfirst(lc)));
	}
}

/* Names of the key columns of an index, as String; an expression has none. */
static List *
mg_index_keys(Oid index)
{
	Form_pg_index form = mg_index_form(index);
	List *keys = NIL;

	for (int i = 0; form && i < form->indnkeyatts; i++)
	{
		char *name = get_attname(form->indrelid, form->indkey.values[i], true);

		keys = lappend(keys, makeString(name ? name : "expr"));
	}
	return keys;
}

/* One constraint: index first, constraint from it. */
static void
mg_sql_index_constraint(MgFootprint *fp, StringInfo buf, MgFinding *finding, MgConstraint *item)
{
	Constraint *con = item->con;
	bool primary = con->contype == CONSTR_PRIMARY;
	List *keys = con->keys ? con->keys : list_make1(makeString(item->column->colname));
	MgIndexPlan plan = {.unique = "UNIQUE ",
						.constraint = primary ? "PRIMARY KEY" : "UNIQUE",
						.label = primary ? "pkey" : "key"};
	const char *name;

	plan.columns = mg_join_names(mg_column_names(keys, con->including));
	plan.body = mg_constraint_body(con, keys, false);
	plan.parent_body = mg_constraint_body(con, keys, true);
	plan.attributes = !con->deferrable  ? ""
					: con->initdeferred ? " DEFERRABLE INITIALLY DEFERRED"
										: " DEFERRABLE";
	name = con->conname ? quote_identifier(con->conname) : mg_index_name(fp->target, &plan);
	if (item->column)
		mg_sql_add_column(fp, buf, finding, item->node, true);
	if (primary)
		mg_sql_key_not_null(buf, fp->target, mg_target(fp), keys);
	mg_sql_planned(buf, fp->target, name, &plan);
	if (item->column && !mg_has_cause(fp, item->node, MG_CAUSE_ADD_FOREIGN_KEY))
		mg_sql_new_foreign_keys(fp, buf, item);
}

static char *
mg_advise_index_constraint(MgFootprint *fp, MgFinding *finding, ConstrType contype)
{
	bool partitioned = get_rel_relkind(fp->target) == RELKIND_PARTITIONED_TABLE;
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say_apart(fp, &buf,
				 partitioned
					 ? "build the index partition by partition"
					 : "build the index without blocking, then make the constraint from it");
	foreach(lc, mg_constraints(fp, finding, contype))
		mg_sql_index_constraint(fp, &buf, finding, lfirst(lc));
	return buf.data;
}

char *
mg_advise_add_unique(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_index_constraint(fp, finding, CONSTR_UNIQUE);
}

char *
mg_advise_add_primary_key(MgFootprint *fp, MgFinding *finding)
{
	return mg_advise_index_constraint(fp, finding, CONSTR_PRIMARY);
}

char *
mg_advise_add_exclusion(MgFootprint *fp, MgFinding *finding pg_attribute_unused())
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say(&buf,
		   "There is no online form: an exclusion constraint is never NOT VALID and takes no "
		   "existing index. Make it on a new table that is filled in batches and renamed into "
		   "place, or in a maintenance window.");
	return buf.data;
}

char *
mg_advise_primary_key_using_index(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_rest(fp, &buf);
	mg_say_apart(fp, &buf, "make the columns NOT NULL by way of a CHECK first");
	foreach(lc, mg_constraints(fp, finding, CONSTR_PRIMARY))
	{
		Constraint *con = ((MgConstraint *) lfirst(lc))->con;
		Oid index = get_relname_relid(con->indexname, get_rel_namespace(fp->target));

		mg_sql_key_not_null(&buf, fp->target, mg_target(fp), mg_index_keys(index));
		mg_sql(&buf, "ALTER TABLE %s ADD CONSTRAINT %s PRIMARY KEY USING INDEX %s%s",
			   mg_qualified_name(fp->target),
			   quote_identifier(con->conname ? con->conname : con->indexname),
			   quote_identifier(con->indexname),
			   !con->deferrable    ? ""
			   : con->initdeferred ? " DEFERRABLE INITIALLY DEFERRED"
								   : " DEFERRABLE");
	}
	return buf.data;
}

/* ------------------------------------------------------------------------
 * ATTACH PARTITION with indexes that the partition lacks
 * ------------------------------------------------------------------------ */

/* "UNIQUE" or "PRIMARY KEY" if the index belongs to such a constraint, else NULL. */
static const char *
mg_index_constraint_kind(Oid index)
{
	if (!OidIsValid(get_index_constraint(index)))
		return NULL;
	return mg_index_flags(index).primary ? "PRIMARY KEY" : "UNIQUE";
}

/* The names that an index has for its columns. */
static List *
mg_index_attributes(Oid index)
{
	List *names = NIL;
	char *name;

	for (AttrNumber attnum = 1; (name = get_attname(index, attnum, true)) != NULL; attnum++)
		names = lappend(names, makeString(name));
	return names;
}

/* The body of an index as the body of a constraint: no access method; NULL if more differs. */
static const char *
mg_body_of_constraint(const char *body)
{
	static const char using_btree[] = " USING btree";

	if (strncmp(body, using_btree, strlen(using_btree)) != 0 ||
		strstr(body, " NULLS NOT DISTINCT") || strstr(body, " TABLESPACE "))
		return NULL;
	return body + strlen(using_btree);
}

/*
 * Plan an index by the definition of another.  False: it cannot be told.
 */
static bool
mg_plan_like(Oid index, MgIndexPlan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->body = mg_text_index_def(index);
	plan->constraint = mg_index_constraint_kind(index);
	plan->attributes = "";
	plan->unique = mg_index_flags(index).unique ? "UNIQUE " : "";
	plan->columns = mg_join_names(mg_index_attributes(index));
	plan->label = plan->constraint == NULL ? "idx" : plan->constraint[0] == 'P' ? "pkey" : "key";
	if (plan->constraint && mg_index_flags(index).deferrable)
		plan->attributes = " DEFERRABLE";
	if (plan->body == NULL || mg_index_flags(index).exclusion)
		return false;
	plan->parent_body = plan->constraint ? mg_body_of_constraint(plan->body) : plan->body;
	return true;
}

/* Statements that make a dropped index again, with its name and its constraint. */
bool
mg_sql_index_again(StringInfo buf, Oid index)
{
	MgIndexPlan plan;

	return mg_plan_like(index, &plan) &&
		   mg_sql_planned(buf, IndexGetRelation(index, false),
						  quote_identifier(get_rel_name(index)), &plan);
}

/* The share that a partition has in an index of its parent already, or InvalidOid. */
static Oid
mg_attached_index(Oid index, Oid partition)
{
	ListCell *lc;

	foreach(lc, find_inheritance_children(index, NoLock))
	{
		if (IndexGetRelation(lfirst_oid(lc), true) == partition)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/*
 * What makes the invalid index of a partitioned table valid.  False: it cannot
 * be told.
 */
bool
mg_sql_complete_index(StringInfo buf, Oid index)
{
	Oid relid = IndexGetRelation(index, false);
	Oid some = InvalidOid;
	int length = buf->len;
	MgIndexPlan plan;
	ListCell *lc;

	if (!mg_plan_like(index, &plan) || plan.parent_body == NULL)
		return false;
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		Oid child = lfirst_oid(lc);
		Oid share = mg_attached_index(index, child);
		Oid match;

		if (OidIsValid(share))
		{
			some = child;
			if (!get_index_isvalid(share) && get_rel_relkind(share) == RELKIND_PARTITIONED_INDEX)
				(void) mg_sql_complete_index(buf, share);
			else if (!get_index_isvalid(share))
				mg_sql(buf, "REINDEX INDEX CONCURRENTLY %s", mg_qualified_name(share));
			continue;
		}
		match = mg_partition_index_match(index, relid, child);
		if (OidIsValid(match) && !has_superclass(match))
			mg_sql(buf, "ALTER INDEX %s ATTACH PARTITION %s", mg_qualified_name(index),
				   mg_qualified_name(match));
		else
			mg_sql_partition_share(buf, relid, child, quote_identifier(get_rel_name(index)), &plan);
	}
	if (buf->len == length && OidIsValid(some))
		mg_sql(buf, "ALTER INDEX %s ATTACH PARTITION %s", mg_qualified_name(index),
			   mg_qualified_name(mg_attached_index(index, some)));
	if (plan.more > 0)
		mg_say(buf, "Do the same for the other %d partitions.", plan.more);
	return true;
}

/* An index for a foreign key of these columns (of String), which may be still to come. */
void
mg_sql_fkey_index(StringInfo buf, Oid relid, List *columns)
{
	MgIndexPlan plan = {.unique = "", .attributes = "", .label = "idx"};

	plan.body = plan.parent_body = psprintf(" (%s)", mg_text_names(columns));
	plan.columns = mg_join_names(columns);
	(void) mg_sql_planned(buf, relid, mg_index_name(relid, &plan), &plan);
}

/* The indexes of a parent that a partition to be attached lacks. */
void
mg_sql_partition_lacks(StringInfo buf, Oid parent, Oid partition)
{
	List *used = NIL;
	ListCell *lc;

	foreach(lc, mg_index_list(parent))
	{
		Oid index = lfirst_oid(lc);
		Oid match = mg_partition_index_match_unused(index, parent, partition, used);
		MgIndexPlan plan;

		if (OidIsValid(match))
		{
			used = lappend_oid(used, match);
			continue;
		}
		if (mg_index_flags(index).primary)
			mg_sql_key_not_null(buf, partition, mg_qualified_name(partition), mg_index_keys(index));
		if (!mg_plan_like(index, &plan) ||
			!mg_sql_planned(buf, partition, mg_index_name(partition, &plan), &plan))
			mg_say(buf, "The partition needs an index like %s.", mg_qualified_name(index));
	}
}
