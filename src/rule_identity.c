/*
 * rule_identity.c
 *
 * Owns the rule about the replica identity of published tables: what tells
 * subscribers which row was updated or deleted.  A table that publishes UPDATE
 * or DELETE without one, or by a column list or row filter that does not fit
 * it, refuses such statements from then on.
 *
 * Follows CheckCmdReplicaIdentity() of execReplication.c.
 */
#include "advice.h"
#include "usage.h"

static char
mg_identity_setting(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form ? form->relreplident : '\0';
}

/* The index that identifies a table's rows under a setting, unless it goes; or InvalidOid. */
static Oid
mg_identity_index(Oid relid, char setting, List *gone)
{
	ListCell *lc;

	foreach(lc, mg_index_forms(relid))
	{
		Form_pg_index form = lfirst(lc);
		bool found = setting == REPLICA_IDENTITY_DEFAULT ? form->indisprimary && form->indimmediate
														 : form->indisreplident;

		if (found && !list_member_oid(gone, form->indexrelid))
			return form->indexrelid;
	}
	return InvalidOid;
}

/* The key columns of an index. */
static Bitmapset *
mg_index_columns(Oid index)
{
	Form_pg_index form = mg_index_form(index);
	Bitmapset *result = NULL;

	for (int i = 0; form && i < form->indnkeyatts; i++)
		result = bms_add_member(result, form->indkey.values[i]);
	return result;
}

/* Can its rows be told apart by subscribers, if certain indexes go? */
static bool
mg_identified(Oid relid, char setting, List *gone)
{
	if (setting == REPLICA_IDENTITY_FULL)
		return true;
	return setting != REPLICA_IDENTITY_NOTHING &&
		   OidIsValid(mg_identity_index(relid, setting, gone));
}

/* The setting that the statement leaves behind, and whether it adds a primary key. */
static char
mg_identity_after(MgFootprint *fp, Oid relid, bool *new_key)
{
	char setting = mg_identity_setting(relid);
	ListCell *lc;

	*new_key = false;
	if (!IsA(fp->stmt, AlterTableStmt))
		return setting;
	foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		/* it is not inherited */
		if (cmd->subtype == AT_ReplicaIdentity && relid == fp->target)
			setting = castNode(ReplicaIdentityStmt, cmd->def)->identity_type;
		else if (cmd->subtype == AT_AddConstraint)
			*new_key |= castNode(Constraint, cmd->def)->contype == CONSTR_PRIMARY;
		else if (cmd->subtype == AT_AddColumn)
			*new_key |= mg_column_clause(castNode(ColumnDef, cmd->def), CONSTR_PRIMARY) != NULL;
	}
	return setting;
}

/* Tables that stay and may lose their identity, and those of their indexes that go. */
static List *
mg_identity_suspects(MgFootprint *fp, List **indexes)
{
	List *gone = mg_gone_relids(fp);
	List *tables = NIL;
	ListCell *lc;

	foreach(lc, gone)
	{
		Oid table = get_rel_relkind(lfirst_oid(lc)) == RELKIND_INDEX
					  ? IndexGetRelation(lfirst_oid(lc), true)
					  : InvalidOid;

		if (!OidIsValid(table) || mg_is_gone(gone, table))
			continue;
		*indexes = lappend_oid(*indexes, lfirst_oid(lc));
		tables = list_append_unique_oid(tables, table);
	}
	if (IsA(fp->stmt, AlterTableStmt) && OidIsValid(fp->target))
	{
		foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
		{
			if (lfirst_node(AlterTableCmd, lc)->subtype == AT_ReplicaIdentity)
				tables = list_append_unique_oid(tables, fp->target);
		}
	}
	return tables;
}

/* The rule applies to a table: say so. */
static bool
mg_identity_finding(MgFinding *finding, Oid relid, List *pubs)
{
	MgUse *use = mg_use(relid);

	finding->relid = relid;
	finding->danger = psprintf("would leave \"%s\" without a replica identity, though it is "
							   "published",
							   get_rel_name(relid));
	finding->facts = list_make1(
		psprintf("from then on UPDATE and DELETE of its rows fail, because %s "
				 "%s them and subscribers could not tell the rows apart",
				 mg_publication_names(pubs), list_length(pubs) == 1 ? "publishes" : "publish"));
	finding->facts = mg_use_facts(finding->facts, list_make1(use));
	return true;
}

/* Do a column list and a row filter of a publication fit an identity?  InvalidOid: FULL. */
static bool
mg_fits_identity(Oid pub, Oid relid, Oid index)
{
	HeapTuple tuple = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(relid),
									  ObjectIdGetDatum(pub));
	Bitmapset *identity = mg_index_columns(index);
	Bitmapset *used = NULL;
	bool listed;
	bool isnull;
	bool fits = true;
	Datum datum;

	if (!HeapTupleIsValid(tuple))
		return true;
	datum = SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prattrs, &isnull);
	listed = !isnull;
	if (listed && OidIsValid(index))
		fits = bms_is_subset(identity, pub_collist_to_bitmapset(NULL, datum, CurrentMemoryContext));
	else if (listed)
		fits = false;
	datum = SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prqual, &isnull);
	if (!isnull && OidIsValid(index))
	{
		int attnum = -1;

		pull_varattnos(stringToNode(TextDatumGetCString(datum)), 1, &used);
		while ((attnum = bms_next_member(used, attnum)) >= 0)
			fits &= bms_is_member(attnum + FirstLowInvalidHeapAttributeNumber, identity);
	}
	ReleaseSysCache(tuple);
	return fits;
}

/* The first of some publications that does not fit the identity that the statement gives. */
static Oid
mg_unfit_publication(MgFootprint *fp, Oid relid, char setting, List *pubs)
{
	Oid index = InvalidOid;
	ListCell *lc;

	if (setting == REPLICA_IDENTITY_INDEX)
	{
		foreach(lc, castNode(AlterTableStmt, fp->stmt)->cmds)
		{
			AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

			if (cmd->subtype == AT_ReplicaIdentity)
				index = get_relname_relid(castNode(ReplicaIdentityStmt, cmd->def)->name,
										  get_rel_namespace(relid));
		}
	}
	else if (setting == REPLICA_IDENTITY_DEFAULT)
		index = mg_identity_index(relid, setting, NIL);
	if (!OidIsValid(index) && setting != REPLICA_IDENTITY_FULL)
		return InvalidOid;
	foreach(lc, pubs)
	{
		if (!mg_fits_identity(lfirst_oid(lc), relid, index))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* A task that does nothing: it tells the advice that the publication is what does not fit. */
static void
mg_point_to_publication(MgFinding *finding, const char *name)
{
	MgTask *task = palloc0(sizeof(MgTask));

	task->reason = name;
	finding->tasks = list_make1(task);
}

/* The publication that a statement makes or alters. */
static const char *
mg_publication_of(Node *stmt)
{
	return IsA(stmt, CreatePublicationStmt) ? castNode(CreatePublicationStmt, stmt)->pubname
											: castNode(AlterPublicationStmt, stmt)->pubname;
}

/* The statement gives a table another identity, which a column list or row filter does not fit. */
static bool
mg_identity_does_not_fit(MgFootprint *fp, MgFinding *finding, Oid relid, char setting)
{
	List *pubs = mg_publishing(mg_publications(relid), true, false);
	Oid pub;

	if (!IsA(fp->stmt, AlterTableStmt) || pubs == NIL || relid != fp->target)
		return false;
	pub = mg_unfit_publication(fp, relid, setting, pubs);
	if (!OidIsValid(pub))
		return false;
	finding->relid = relid;
	finding->danger = psprintf("would give \"%s\" a replica identity that publication \"%s\" does "
							   "not fit",
							   get_rel_name(relid), get_publication_name(pub, true));
	mg_point_to_publication(finding, get_publication_name(pub, true));
	finding->facts = list_make1(
		pstrdup("from then on UPDATE and DELETE of its rows fail: the column "
				"list has to include the columns of the identity, and the "
				"row filter must use no others"));
	return true;
}

/* Does the statement publish a table by a column list that its identity does not fit? */
static bool
mg_lists_too_little(MgFootprint *fp, Oid relid)
{
	List *objects = IsA(fp->stmt, CreatePublicationStmt)
					  ? castNode(CreatePublicationStmt, fp->stmt)->pubobjects
					  : castNode(AlterPublicationStmt, fp->stmt)->pubobjects;
	char setting = mg_identity_setting(relid);
	Oid index = mg_identity_index(relid, setting, NIL);
	Bitmapset *identity = mg_index_columns(index);
	ListCell *lc;

	foreach(lc, objects)
	{
		PublicationTable *table = lfirst_node(PublicationObjSpec, lc)->pubtable;
		int attnum = -1;

		if (table == NULL || table->columns == NIL ||
			RangeVarGetRelid(table->relation, NoLock, true) != relid)
			continue;
		if (setting == REPLICA_IDENTITY_FULL)
			return true;
		while ((attnum = bms_next_member(identity, attnum)) >= 0)
		{
			if (!list_member(table->columns, makeString(mg_attribute_name(relid, attnum))))
				return true;
		}
	}
	return false;
}

/* Tables put into a publication that have no identity, although their rows are changed. */
static bool
mg_publishes_unidentified(MgFootprint *fp, MgFinding *finding)
{
	ListCell *lc;

	foreach(lc, fp->effects)
	{
		MgEffect *eff = lfirst(lc);
		MgUse *use;

		if (eff->relkind != RELKIND_RELATION || eff->role == MG_ROLE_OTHER ||
			mg_use_exempt(eff->relid))
			continue;
		if (mg_lists_too_little(fp, eff->relid))
		{
			finding->relid = eff->relid;
			finding->danger = psprintf("would publish \"%s\" by a column list without its replica "
									   "identity",
									   get_rel_name(eff->relid));
			finding->facts = list_make1(pstrdup("from then on UPDATE and DELETE of its rows fail"));
			mg_point_to_publication(finding, mg_publication_of(fp->stmt));
			return true;
		}
		if (mg_identified(eff->relid, mg_identity_setting(eff->relid), NIL))
			continue;
		use = mg_use(eff->relid);
		if (!use->counted || use->changes == 0)
			continue;
		finding->relid = eff->relid;
		finding->danger = psprintf("would publish \"%s\", which has no replica identity",
								   get_rel_name(eff->relid));
		finding->facts = list_make1(
			psprintf("from then on UPDATE and DELETE of its rows fail, because subscribers could "
					 "not tell the rows apart; so far %s updated or deleted",
					 use->changes == 1 ? "1 row was"
									   : psprintf("%s were", mg_format_rows(use->changes))));
		return true;
	}
	return false;
}

/* Does the statement put tables into a publication that publishes UPDATE or DELETE? */
static bool
mg_publishes_changes(MgFootprint *fp)
{
	List *options = NIL;
	ListCell *lc;

	if (IsA(fp->stmt, AlterPublicationStmt))
	{
		AlterPublicationStmt *stmt = castNode(AlterPublicationStmt, fp->stmt);
		Oid pub = get_publication_oid(mg_publication_of(fp->stmt), true);

		return stmt->action != AP_DropObjects && OidIsValid(pub) &&
			   mg_publishing(list_make1_oid(pub), true, false) != NIL;
	}
	if (!IsA(fp->stmt, CreatePublicationStmt))
		return false;
	options = castNode(CreatePublicationStmt, fp->stmt)->options;
	foreach(lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "publish") == 0 && option->arg && IsA(option->arg, String))
			return strstr(strVal(option->arg), "update") || strstr(strVal(option->arg), "delete");
	}
	return true;
}

/* A published table loses what tells its rows apart, or one without that is published. */
bool
mg_loses_replica_identity(MgFootprint *fp, MgFinding *finding)
{
	List *indexes = NIL;
	ListCell *lc;

	if (mg_publishes_changes(fp))
		return mg_publishes_unidentified(fp, finding);
	foreach(lc, mg_identity_suspects(fp, &indexes))
	{
		Oid relid = lfirst_oid(lc);
		bool new_key;
		char before = mg_identity_setting(relid);
		char after = mg_identity_after(fp, relid, &new_key);
		List *pubs;

		/* the script may have given it another identity */
		if (mg_use_exempt(relid) || (fp->script && mg_script_alters(fp->script, relid)))
			continue;
		if (mg_identity_does_not_fit(fp, finding, relid, after))
			return true;
		if (!mg_identified(relid, before, NIL) || mg_identified(relid, after, indexes))
			continue;
		/* USING INDEX of the statement is not in the catalog yet */
		if ((after == REPLICA_IDENTITY_DEFAULT && new_key) ||
			(after == REPLICA_IDENTITY_INDEX && before != REPLICA_IDENTITY_INDEX))
			continue;
		pubs = mg_publishing(mg_publications(relid), true, false);
		if (pubs != NIL)
			return mg_identity_finding(finding, relid, pubs);
	}
	return false;
}

/* A unique index, of columns that are never null, that stays. */
static Oid
mg_other_identity(Oid relid, List *gone)
{
	ListCell *lc;

	foreach(lc, mg_index_list(relid))
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index form;
		bool fits;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_index) GETSTRUCT(tuple);
		fits = form->indisunique && form->indimmediate && form->indisvalid &&
			   heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
			   heap_attisnull(tuple, Anum_pg_index_indexprs, NULL);
		for (int i = 0; fits && i < form->indnkeyatts; i++)
			fits = mg_column_not_null(relid, form->indkey.values[i]);
		ReleaseSysCache(tuple);
		if (fits && !list_member_oid(gone, lfirst_oid(lc)))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* Is a table published by a column list, which does not go with FULL? */
static bool
mg_has_column_list(Oid relid)
{
	ListCell *lc;

	foreach(lc, mg_publishing(mg_publications(relid), true, false))
	{
		if (!mg_fits_identity(lfirst_oid(lc), relid, InvalidOid))
			return true;
	}
	return false;
}

char *
mg_advise_replica_identity(MgFootprint *fp, MgFinding *finding)
{
	List *indexes = NIL;
	const char *table = mg_qualified_name(finding->relid);
	StringInfoData buf;
	Oid other;

	(void) mg_identity_suspects(fp, &indexes);
	if (finding->tasks != NIL)
		return psprintf("Let the column list of publication \"%s\" have all columns of the "
						"identity, and its row filter no others; or leave them out.",
						((MgTask *) linitial(finding->tasks))->reason);
	other = mg_other_identity(finding->relid, indexes);
	initStringInfo(&buf);
	if (!OidIsValid(other) && mg_has_column_list(finding->relid))
		return pstrdup("Make another unique index first, of columns that are NOT NULL and that the "
					   "publication lists, and give it to the table as its replica identity; or "
					   "publish the table without a column list.");
	mg_say(&buf, "Give the table another replica identity first:");
	if (OidIsValid(other))
		mg_sql(&buf, "ALTER TABLE %s REPLICA IDENTITY USING INDEX %s", table,
			   quote_identifier(get_rel_name(other)));
	else
	{
		mg_sql(&buf, "ALTER TABLE %s REPLICA IDENTITY FULL", table);
		mg_say(&buf, "FULL writes whole old rows to WAL, and subscribers look for them without an "
					 "index: it is to tide over until there is a primary key.");
	}
	return buf.data;
}
