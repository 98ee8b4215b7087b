/*
 * footprint_sequence.c
 *
 * Owns the footprints of CREATE SEQUENCE and ALTER SEQUENCE.  A sequence has
 * nothing to scan; what matters is its lock, which nextval() waits for.
 */
#include "mg.h"

#include "catalog/dependency.h"

/* Core's own check of OWNED BY.  Follows process_owned_by(). */
static void
mg_check_owned_by(MgFootprint *fp, List *names, Oid sequence, Oid owner, Oid nspid)
{
	int count = list_length(names);
	RangeVar *rv;
	Form_pg_class form;
	Oid relid;

	if (count < 2)
	{
		if (strcmp(strVal(linitial(names)), "none") != 0)
		{
			mg_problem(fp, ERRCODE_SYNTAX_ERROR, "invalid OWNED BY option");
			fp->problem->hint = "Specify OWNED BY table.column or OWNED BY NONE.";
		}
		return;
	}
	if (count > 4)
		return;
	rv = makeRangeVarFromNameList(list_truncate(list_copy(names), count - 1));
	relid = mg_lookup_relation(fp, rv, false);
	if (!OidIsValid(relid) || (fp->script && mg_script_alters(fp->script, relid)))
		return;
	form = mg_class_form(relid);
	if (form == NULL)
		return;
	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_FOREIGN_TABLE &&
		form->relkind != RELKIND_VIEW && form->relkind != RELKIND_PARTITIONED_TABLE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "sequence cannot be owned by relation \"%s\"",
				   NameStr(form->relname));
		fp->problem->detail = mg_relkind_unsupported(form->relkind);
	}
	else if (form->relowner != owner)
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "sequence must have same owner as table it is linked to");
	else if (OidIsValid(nspid) && form->relnamespace != nspid)
		mg_problem(fp, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   "sequence must be in same schema as table it is linked to");
	else if (get_attnum(relid, strVal(llast(names))) == InvalidAttrNumber)
		mg_problem(fp, ERRCODE_UNDEFINED_COLUMN, "column \"%s\" of relation \"%s\" does not exist",
				   strVal(llast(names)), NameStr(form->relname));
	if (OidIsValid(sequence) && fp->problem == NULL)
	{
		Oid table;
		int32 column;

		if (sequenceIsOwned(sequence, DEPENDENCY_INTERNAL, &table, &column))
			mg_problem(fp, ERRCODE_FEATURE_NOT_SUPPORTED,
					   "cannot change ownership of identity sequence");
	}
}

/* The names in OWNED BY, or NIL. */
static List *
mg_owned_by(List *options)
{
	ListCell *lc;

	foreach(lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "owned_by") == 0 && option->arg && IsA(option->arg, List))
			return (List *) option->arg;
	}
	return NIL;
}

/*
 * CREATE SEQUENCE, which locks nothing that is there already.  stmt: a
 * CreateSeqStmt.  Follows DefineSequence() of sequence.c.
 */
void
mg_footprint_create_sequence(MgFootprint *fp, Node *node)
{
	CreateSeqStmt *stmt = castNode(CreateSeqStmt, node);
	Oid nspid = mg_creation_namespace(stmt->sequence);
	List *owned_by = mg_owned_by(stmt->options);
	bool target_is_new;

	if (!mg_check_new_schema(fp, stmt->sequence) ||
		(OidIsValid(nspid) && !mg_check_create_in_schema(fp, nspid)) ||
		mg_name_is_taken(fp, stmt->sequence, stmt->if_not_exists))
		return;
	target_is_new = fp->target_is_new;
	if (owned_by != NIL)
		mg_check_owned_by(fp, owned_by, InvalidOid, GetUserId(), nspid);
	fp->target_is_new = target_is_new;
}

/* ALTER SEQUENCE.  stmt: an AlterSeqStmt.  Follows AlterSequence() of sequence.c. */
void
mg_footprint_alter_sequence(MgFootprint *fp, Node *node)
{
	AlterSeqStmt *stmt = castNode(AlterSeqStmt, node);
	List *owned_by = mg_owned_by(stmt->options);
	Oid relid = mg_lookup_relation(fp, stmt->sequence, stmt->missing_ok);
	Form_pg_class form;

	if (!OidIsValid(relid))
	{
		fp->if_exists_missing = fp->problem == NULL && !fp->target_is_new;
		return;
	}
	fp->target = relid;
	if (!mg_check_owner(fp, relid))
		return;
	if (get_rel_relkind(relid) != RELKIND_SEQUENCE)
	{
		mg_problem(fp, ERRCODE_WRONG_OBJECT_TYPE, "\"%s\" is not a sequence", get_rel_name(relid));
		return;
	}
	form = mg_class_form(relid);
	if (form == NULL)
		return;
	if (owned_by != NIL)
		mg_check_owned_by(fp, owned_by, relid, form->relowner, form->relnamespace);
	mg_effect(fp, relid, ShareRowExclusiveLock, MG_ROLE_TARGET,
			  "others wait for it in nextval(), and so do inserts that number their rows by it");
}
