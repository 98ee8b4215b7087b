/*
 * footprint_rule.c
 *
 * Owns the footprints of what carries a query or a condition into the
 * catalogs: rules, views and row security policies.  The relations of those
 * queries are locked as a reader or a writer does it, so that only their
 * names matter here.  Follows rewriteDefine.c, view.c and policy.c.
 */
#include "mg_part.h"

/* ------------------------------------------------------------------------
 * Relations of a query
 * ------------------------------------------------------------------------ */

/* What is found out about the relations that a raw query reads. */
typedef struct MgQueryWalk
{
	MgFootprint *fp;
	List *with;     /* names of WITH queries, wherever they are valid */
	bool temporary; /* one of the relations is temporary */
} MgQueryWalk;

static bool
mg_walk_with(Node *node, void *context)
{
	MgQueryWalk *walk = context;

	if (node == NULL)
		return false;
	if (IsA(node, CommonTableExpr))
		walk->with = lappend(walk->with, ((CommonTableExpr *) node)->ctename);
	return raw_expression_tree_walker(node, mg_walk_with, context);
}

/* Is it what a WITH query is called? */
static bool
mg_names_with(MgQueryWalk *walk, const RangeVar *rv)
{
	ListCell *lc;

	foreach(lc, walk->with)
	{
		if (rv->schemaname == NULL && strcmp(lfirst(lc), rv->relname) == 0)
			return true;
	}
	return false;
}

static bool
mg_walk_relations(Node *node, void *context)
{
	MgQueryWalk *walk = context;

	/* FOR UPDATE OF names aliases, not relations */
	if (node == NULL || IsA(node, LockingClause))
		return false;
	if (IsA(node, RangeVar))
	{
		RangeVar *rv = (RangeVar *) node;
		Oid relid = mg_names_with(walk, rv) ? InvalidOid : mg_lookup_other(walk->fp, rv);

		if (OidIsValid(relid) && get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
			walk->temporary = true;
		return walk->fp->problem != NULL;
	}
	return raw_expression_tree_walker(node, mg_walk_relations, context);
}

/*
 * Do the relations of a raw query or expression exist?  If not, core's error
 * is recorded.  *temporary (or NULL) learns whether one of them is temporary.
 */
static bool
mg_check_query(MgFootprint *fp, Node *query, bool *temporary)
{
	MgQueryWalk walk = {.fp = fp};

	if (query == NULL || IsA(query, NotifyStmt))
		return true;
	(void) mg_walk_with(query, &walk);
	(void) mg_walk_relations(query, &walk);
	if (temporary)
		*temporary = walk.temporary;
	return fp->problem == NULL;
}

/* ------------------------------------------------------------------------
 * CREATE VIEW
 * ------------------------------------------------------------------------ */

/*
 * CREATE [OR REPLACE] VIEW.  stmt: a ViewStmt.  A view that reads temporary
 * tables is temporary.  Follows DefineView() and DefineVirtualRelation().
 */
void
mg_footprint_view(MgFootprint *fp, Node *node)
{
	ViewStmt *stmt = castNode(ViewStmt, node);
	RangeVar *view = copyObject(stmt->view);
	bool temporary = false;
	Oid nspid;
	Oid relid;

	if (!mg_check_query(fp, stmt->query, &temporary))
		return;
	if (view->relpersistence == RELPERSISTENCE_UNLOGGED)
	{
		mg_problem(fp, ERRCODE_SYNTAX_ERROR,
				   "views cannot be unlogged because they do not have storage");
		return;
	}
	if (temporary)
		view->relpersistence = RELPERSISTENCE_TEMP;
	nspid = mg_creation_namespace(view);
	if (!OidIsValid(nspid) || !mg_check_create_in_schema(fp, nspid) ||
		(fp->script && mg_script_creates(fp->script, view)))
		return;
	relid = get_relname_relid(view->relname, nspid);
	if (!OidIsValid(relid) || (fp->script && mg_script_gone(fp->script, relid)))
		return;
	fp->target = relid;
	if (!stmt->replace)
		mg_problem(fp, ERRCODE_DUPLICATE_TABLE, "relation \"%s\" already exists", view->relname);
	else if (!mg_owns(RelationRelationId, relid))
		(void) mg_check_owner(fp, relid);
	else if (!mg_kind_is_one_of(relid, "v"))
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a view", view->relname);
	else
		mg_object_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
						 "the view gets another query; what it reads is not read now");
}

/* ------------------------------------------------------------------------
 * CREATE RULE
 * ------------------------------------------------------------------------ */

/* ON SELECT: views only, and up to 15 also an empty table, which becomes one. */
static void
mg_select_rule(MgFootprint *fp, RuleStmt *stmt, MgEffect *eff)
{
	Oid relid = fp->target;
	MgTask *task;

	if (!mg_kind_is_one_of(relid, "vm") && !MG_PG_TABLE_TO_VIEW)
		mg_wrong_kind(fp, relid, ERRCODE_WRONG_OBJECT_TYPE,
					  "relation \"%s\" cannot have ON SELECT rules");
	else if (stmt->actions == NIL)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "INSTEAD NOTHING rules on SELECT are not implemented");
	else if (list_length(stmt->actions) > 1)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "multiple actions for rules on SELECT are not implemented");
	else if (!stmt->instead || !IsA(linitial(stmt->actions), SelectStmt))
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "rules on SELECT must have action INSTEAD SELECT");
	else if (stmt->whereClause)
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "event qualifications are not implemented for rules on SELECT");
	else if (!stmt->replace && mg_kind_is_one_of(relid, "v"))
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "\"%s\" is already a view",
				   get_rel_name(relid));
	else if (mg_kind_is_one_of(relid, "p"))
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE,
				   "cannot convert partitioned table \"%s\" to a view", get_rel_name(relid));
	if (fp->problem || !mg_kind_is_one_of(relid, "r"))
		return;
	task = mg_task(eff, MG_WORK_SCAN, MG_CAUSE_NONE, (Node *) stmt);
	task->reason = "the table becomes a view, and has to have no row";
}

/*
 * CREATE [OR REPLACE] RULE.  stmt: a RuleStmt.  Follows DefineRule() and
 * DefineQueryRewrite().
 */
void
mg_footprint_create_rule(MgFootprint *fp, Node *node)
{
	RuleStmt *stmt = castNode(RuleStmt, node);
	Oid relid = mg_open_table(fp, stmt->relation, false);
	MgEffect *eff;
	ListCell *lc;

	if (!OidIsValid(relid))
		return;
	if (mg_kind_is_one_of(relid, "m"))
	{
		mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
				   "rules on materialized views are not supported");
		return;
	}
	foreach(lc, stmt->actions)
	{
		if (!mg_check_query(fp, lfirst(lc), NULL))
			return;
	}
	if (!mg_kind_is_one_of(relid, "rvp"))
		mg_wrong_kind(fp, relid, ERRCODE_WRONG_OBJECT_TYPE, "relation \"%s\" cannot have rules");
	if (fp->problem || !mg_check_system(fp, relid) || !mg_check_owner(fp, relid))
		return;
	eff = mg_object_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET, "a rule is added to it");
	if (stmt->event == CMD_SELECT)
		mg_select_rule(fp, stmt, eff);
	else if (!stmt->replace && IsDefinedRewriteRule(relid, stmt->rulename) &&
			 !(fp->script && mg_script_alters(fp->script, relid)))
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT, "rule \"%s\" for relation \"%s\" already exists",
				   stmt->rulename, get_rel_name(relid));
}

/* ALTER RULE ... RENAME TO.  Follows RenameRewriteRule(). */
void
mg_rename_rule(MgFootprint *fp, RenameStmt *stmt)
{
	Oid relid = mg_lookup_relation(fp, stmt->relation, false);
	HeapTuple tuple;
	bool script;

	if (!OidIsValid(relid))
		return;
	fp->target = relid;
	if (!mg_kind_is_one_of(relid, "rvp"))
		mg_wrong_kind(fp, relid, ERRCODE_WRONG_OBJECT_TYPE, "relation \"%s\" cannot have rules");
	if (fp->problem || !mg_check_system(fp, relid) || !mg_check_owner(fp, relid))
		return;
	script = fp->script && mg_script_alters(fp->script, relid);
	tuple = SearchSysCache2(RULERELNAME, ObjectIdGetDatum(relid), PointerGetDatum(stmt->subname));
	if (!HeapTupleIsValid(tuple))
		mg_part_missing(fp, OBJECT_RULE, relid, stmt->subname);
	else
	{
		if (IsDefinedRewriteRule(relid, stmt->newname) && !script)
			mg_problem(fp, ERRCODE_DUPLICATE_OBJECT,
					   "rule \"%s\" for relation \"%s\" already exists", stmt->newname,
					   get_rel_name(relid));
		else if (((Form_pg_rewrite) GETSTRUCT(tuple))->ev_type == CMD_SELECT + '0')
			mg_problem(fp, ERRCODE_INVALID_OBJECT_DEFINITION,
					   "renaming an ON SELECT rule is not allowed");
		ReleaseSysCache(tuple);
	}
	if (fp->problem == NULL)
		mg_object_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
						 psprintf("rule \"%s\" is renamed; no rows are read", stmt->subname));
}

/* ------------------------------------------------------------------------
 * Policies
 * ------------------------------------------------------------------------ */

/* The table of a policy.  Follows RangeVarCallbackForPolicy(). */
static Oid
mg_policy_table(MgFootprint *fp, const RangeVar *rv)
{
	Oid relid = mg_lookup_relation(fp, rv, false);

	if (!OidIsValid(relid))
		return InvalidOid;
	fp->target = relid;
	if (!mg_check_owner(fp, relid))
		return InvalidOid;
	if (!mg_kind_is_one_of(relid, "rp"))
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a table", rv->relname);
		return InvalidOid;
	}
	return relid;
}

/* Which of the two conditions a command can have. */
static bool
mg_check_policy_conditions(MgFootprint *fp, char command, bool altered, Node *qual,
						   Node *with_check)
{
	if ((command == ACL_SELECT_CHR || command == ACL_DELETE_CHR) && with_check)
		mg_problem(fp, ERRCODE_SYNTAX_ERROR, "%s",
				   altered ? "only USING expression allowed for SELECT, DELETE"
						   : "WITH CHECK cannot be applied to SELECT or DELETE");
	else if (command == ACL_INSERT_CHR && qual)
		mg_problem(fp, ERRCODE_SYNTAX_ERROR, "only WITH CHECK expression allowed for INSERT");
	return fp->problem == NULL;
}

/* CREATE POLICY.  stmt: a CreatePolicyStmt.  Follows CreatePolicy(). */
void
mg_footprint_create_policy(MgFootprint *fp, Node *node)
{
	CreatePolicyStmt *stmt = castNode(CreatePolicyStmt, node);
	char command = strcmp(stmt->cmd_name, "insert") == 0 ? ACL_INSERT_CHR
				 : strcmp(stmt->cmd_name, "select") == 0 ? ACL_SELECT_CHR
				 : strcmp(stmt->cmd_name, "delete") == 0 ? ACL_DELETE_CHR
														 : '*';
	Oid relid;

	if (!mg_check_policy_conditions(fp, command, false, stmt->qual, stmt->with_check))
		return;
	relid = mg_policy_table(fp, stmt->table);
	if (!OidIsValid(relid) || !mg_check_query(fp, stmt->qual, NULL) ||
		!mg_check_query(fp, stmt->with_check, NULL))
		return;
	if (OidIsValid(get_relation_policy_oid(relid, stmt->policy_name, true)) &&
		!(fp->script && mg_script_alters(fp->script, relid)))
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT, "policy \"%s\" for table \"%s\" already exists",
				   stmt->policy_name, get_rel_name(relid));
	else
		mg_object_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
						 "a policy is added to it; no rows are read");
}

/* The command that a policy is for, or zero if there is no such policy. */
static char
mg_policy_command(Oid relid, const char *name)
{
	HeapTuple row = mg_named_row(PolicyRelationId, PolicyPolrelidPolnameIndexId,
								 Anum_pg_policy_polrelid, relid, Anum_pg_policy_polname, name);

	return HeapTupleIsValid(row) ? ((Form_pg_policy) GETSTRUCT(row))->polcmd : '\0';
}

/* ALTER POLICY.  stmt: an AlterPolicyStmt.  Follows AlterPolicy(). */
void
mg_footprint_alter_policy(MgFootprint *fp, Node *node)
{
	AlterPolicyStmt *stmt = castNode(AlterPolicyStmt, node);
	Oid relid = mg_policy_table(fp, stmt->table);
	char command;

	if (!OidIsValid(relid) || !mg_check_query(fp, stmt->qual, NULL) ||
		!mg_check_query(fp, stmt->with_check, NULL))
		return;
	command = mg_policy_command(relid, stmt->policy_name);
	if (command == '\0')
		mg_part_missing(fp, OBJECT_POLICY, relid, stmt->policy_name);
	if (fp->problem == NULL &&
		mg_check_policy_conditions(fp, command, true, stmt->qual, stmt->with_check))
		mg_object_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
						 psprintf("policy \"%s\" is changed; no rows are read", stmt->policy_name));
}

/* ALTER POLICY ... RENAME TO.  Follows rename_policy(). */
void
mg_rename_policy(MgFootprint *fp, RenameStmt *stmt)
{
	Oid relid = mg_policy_table(fp, stmt->relation);

	if (!OidIsValid(relid))
		return;
	if (OidIsValid(get_relation_policy_oid(relid, stmt->newname, true)) &&
		!(fp->script && mg_script_alters(fp->script, relid)))
		mg_problem(fp, ERRCODE_DUPLICATE_OBJECT, "policy \"%s\" for table \"%s\" already exists",
				   stmt->newname, get_rel_name(relid));
	else if (!OidIsValid(get_relation_policy_oid(relid, stmt->subname, true)))
		mg_part_missing(fp, OBJECT_POLICY, relid, stmt->subname);
	if (fp->problem == NULL)
		mg_object_effect(fp, relid, AccessExclusiveLock, MG_ROLE_TARGET,
						 psprintf("policy \"%s\" is renamed; no rows are read", stmt->subname));
}
