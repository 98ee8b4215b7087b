/*
 * advice_destructive.c
 *
 * Owns the advice for what is taken away while it is in use: how to see
 * whether it still is, how to take it away so that it can be given back at
 * once, and how to let old and new code live side by side.
 */
#include "advice.h"
#include "dropwalk.h"
#include "usage.h"

/* What applications are granted on tables and views. */
#define MG_DATA_RIGHTS (ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE)

/* ------------------------------------------------------------------------
 * Privileges
 * ------------------------------------------------------------------------ */

/* A role that may read or write a relation. */
typedef struct MgGrantee
{
	const char *name; /* as SQL */
	AclMode rights;
	bool grants; /* to others, who would stand in the way of REVOKE */
	bool owner;
	bool superuser; /* whatever is revoked */
} MgGrantee;

static const char *
mg_text_rights(AclMode rights)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (rights & ACL_SELECT)
		appendStringInfoString(&buf, ", SELECT");
	if (rights & ACL_INSERT)
		appendStringInfoString(&buf, ", INSERT");
	if (rights & ACL_UPDATE)
		appendStringInfoString(&buf, ", UPDATE");
	if (rights & ACL_DELETE)
		appendStringInfoString(&buf, ", DELETE");
	return buf.data + strlen(", ");
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
/* ACL_DAT() compares what it should not. */
static const AclItem *
mg_acl_items(const Acl *acl)
{
	return ACL_DAT(acl);
}
#pragma GCC diagnostic pop

/* Who may read or write a relation: of MgGrantee. */
static List *
mg_grantees(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	List *result = NIL;
	Oid owner;
	Datum datum;
	bool isnull;
	Acl *acl;
	const AclItem *items;

	if (!HeapTupleIsValid(tuple))
		return NIL;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	acl = isnull ? acldefault(OBJECT_TABLE, owner) : DatumGetAclPCopy(datum);
	ReleaseSysCache(tuple);
	items = mg_acl_items(acl);
	for (int i = 0; i < ACL_NUM(acl); i++)
	{
		const AclItem *item = &items[i];
		MgGrantee *grantee = palloc(sizeof(MgGrantee));
		char *role = item->ai_grantee == ACL_ID_PUBLIC ? "PUBLIC"
													   : GetUserNameFromId(item->ai_grantee, true);

		grantee->rights = ACLITEM_GET_PRIVS(*item) & MG_DATA_RIGHTS;
		if (role == NULL || grantee->rights == ACL_NO_RIGHTS)
			continue;
		grantee->name = item->ai_grantee == ACL_ID_PUBLIC ? role : quote_identifier(role);
		grantee->owner = item->ai_grantee == owner;
		grantee->grants = !grantee->owner && ACLITEM_GET_GOPTIONS(*item) != ACL_NO_RIGHTS;
		grantee->superuser = item->ai_grantee != ACL_ID_PUBLIC && superuser_arg(item->ai_grantee);
		result = lappend(result, grantee);
	}
	return result;
}

/* Take the use of a relation away from whom that is possible, which GRANT gives back. */
static void
mg_sql_revoke(StringInfo buf, Oid relid)
{
	AclMode rights = ACL_NO_RIGHTS;
	StringInfoData roles;
	ListCell *lc;

	initStringInfo(&roles);
	foreach(lc, mg_grantees(relid))
	{
		const MgGrantee *grantee = lfirst(lc);

		if (grantee->grants)
			return;
		if (grantee->superuser)
			continue;
		rights |= grantee->rights;
		appendStringInfo(&roles, "%s%s", roles.len ? ", " : "", grantee->name);
	}
	if (roles.len == 0)
		return;
	mg_say(buf, "To see who misses it while it can still be given back, by GRANT:");
	mg_sql(buf, "REVOKE %s ON %s FROM %s", mg_text_rights(rights), mg_qualified_name(relid),
		   roles.data);
}

/* ------------------------------------------------------------------------
 * DROP
 * ------------------------------------------------------------------------ */

static bool
mg_has_counters(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW;
}

/* DROP of a table or a view. */
char *
mg_advise_drop_table(MgFootprint *fp pg_attribute_unused(), MgFinding *finding)
{
	const char *table = mg_qualified_name(finding->relid);
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say(&buf, "First deploy an application that does not use %s any more.", table);
	if (mg_has_counters(get_rel_relkind(finding->relid)))
	{
		mg_say(&buf, "Then its counters stand still:");
		mg_sql(&buf,
			   "SELECT seq_scan, idx_scan, n_tup_ins + n_tup_upd + n_tup_del AS written FROM "
			   "pg_stat_all_tables WHERE relid = %s::regclass",
			   mg_literal(finding->relid));
	}
	mg_sql_revoke(&buf, finding->relid);
	return buf.data;
}

/* TRUNCATE. */
char *
mg_advise_truncate(MgFootprint *fp, MgFinding *finding)
{
	TruncateStmt *stmt = castNode(TruncateStmt, fp->stmt);
	StringInfoData buf;
	int shown = 0;

	initStringInfo(&buf);
	if (stmt->behavior == DROP_CASCADE)
		mg_say(&buf, "Without CASCADE, the server refuses to empty a table that others reference.");
	if (get_rel_relkind(finding->relid) == RELKIND_FOREIGN_TABLE)
		return buf.data;
	mg_say_apart(fp, &buf, "delete the rows in batches, with commits between");
	/* those that reference others come after them, and have to go first */
	for (int i = list_length(fp->effects) - 1; i >= 0; i--)
	{
		MgEffect *eff = list_nth(fp->effects, i);

		if (eff->relkind == RELKIND_FOREIGN_TABLE || !mg_is_emptied(fp, eff))
			continue;
		if (shown++ < MG_SHOWN)
			mg_sql_batches(&buf, eff->relid,
						   psprintf("DELETE FROM %s WHERE true", mg_qualified_name(eff->relid)));
	}
	if (shown > MG_SHOWN)
		mg_say(&buf, "Then do the same for %s.", mg_plural(shown - MG_SHOWN, "more table"));
	return buf.data;
}

/* Is a column part of a primary key or a replica identity, so that it stays NOT NULL? */
static bool
mg_has_to_be_not_null(Oid relid, AttrNumber attnum)
{
	ListCell *lc;

	foreach(lc, mg_index_forms(relid))
	{
		Form_pg_index form = lfirst(lc);

		for (int i = 0; (form->indisprimary || form->indisreplident) && i < form->indnkeyatts; i++)
		{
			if (form->indkey.values[i] == attnum)
				return true;
		}
	}
	return false;
}

/* Does an INSERT that does not name a column fail because of it, and can that be changed? */
static bool
mg_has_to_be_given(Oid relid, AttrNumber attnum)
{
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	bool result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		result = att->attnotnull && !att->atthasdef && !att->attidentity;
		ReleaseSysCache(tuple);
	}
	return result && !mg_has_to_be_not_null(relid, attnum);
}

/* DROP COLUMN. */
char *
mg_advise_drop_column(MgFootprint *fp, MgFinding *finding)
{
	const char *table = mg_qualified_name(finding->relid);
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say(&buf, "First deploy an application that does not name the column any more, neither to "
				 "read nor to write it, and drop it with a later one.");
	foreach(lc, fp->gone)
	{
		MgDoomed *it = lfirst(lc);
		AttrNumber attnum = it->object.objectSubId;

		if (it->object.classId != RelationRelationId || it->object.objectId != finding->relid ||
			attnum <= 0 || !mg_has_to_be_given(finding->relid, attnum))
			continue;
		mg_say(&buf, "Until then let rows come without it:");
		mg_sql(&buf, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", table,
			   quote_identifier(mg_attribute_name(finding->relid, attnum)));
	}
	return buf.data;
}

/* ------------------------------------------------------------------------
 * RENAME, SET SCHEMA
 * ------------------------------------------------------------------------ */

static Oid
mg_owner(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form ? form->relowner : InvalidOid;
}

/* Let a view stand where the relation was. */
static void
mg_sql_leave_view(StringInfo buf, Oid relid, const char *schema, const char *name)
{
	const char *old_schema = get_namespace_name(get_rel_namespace(relid));
	const char *old = quote_qualified_identifier(old_schema, get_rel_name(relid));
	const char *owner = GetUserNameFromId(mg_owner(relid), true);
	ListCell *lc;

	mg_sql(buf, "BEGIN");
	if (schema)
		mg_sql(buf, "ALTER TABLE %s SET SCHEMA %s", old, quote_identifier(schema));
	else
		mg_sql(buf, "ALTER TABLE %s RENAME TO %s", old, quote_identifier(name));
	mg_sql(buf, "CREATE VIEW %s WITH (security_invoker = true) AS SELECT * FROM %s", old,
		   quote_qualified_identifier(schema ? schema : old_schema, name));
	if (owner && mg_owner(relid) != GetOuterUserId())
		mg_sql(buf, "ALTER VIEW %s OWNER TO %s", old, quote_identifier(owner));
	foreach(lc, mg_grantees(relid))
	{
		const MgGrantee *grantee = lfirst(lc);

		if (!grantee->owner)
			mg_sql(buf, "GRANT %s ON %s TO %s", mg_text_rights(grantee->rights), old,
				   grantee->name);
	}
	mg_sql(buf, "COMMIT");
}

char *
mg_advise_rename(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	MgRenaming renaming;

	initStringInfo(&buf);
	if (!mg_renaming(fp, &renaming))
		return buf.data;
	if (renaming.column)
	{
		mg_say(&buf,
			   "It is safest to rename the column in the application only and to keep its name in "
			   "the database (in Django: db_column = %s).",
			   quote_literal_cstr(renaming.column));
		mg_say(&buf, "Otherwise add a column of the new name, let a trigger keep both in step, "
					 "fill it in batches, deploy the application that uses it, and drop the old "
					 "one.");
		return buf.data;
	}
	mg_say(&buf, "Let a view keep the old name for running code, in the same transaction:");
	mg_sql_leave_view(&buf, finding->relid, renaming.schema, renaming.name);
	mg_say(&buf, "Drop the view when nothing uses the old name any more.");
	return buf.data;
}

/* ------------------------------------------------------------------------
 * Indexes
 * ------------------------------------------------------------------------ */

char *
mg_advise_drop_index(MgFootprint *fp pg_attribute_unused(), MgFinding *finding)
{
	StringInfoData buf;

	initStringInfo(&buf);
	mg_say(&buf, "First find the queries that use it, by EXPLAIN or auto_explain.");
	mg_say(&buf, "If it is missed afterwards, this makes it again without blocking:");
	if (!mg_sql_index_again(&buf, finding->relid))
	{
		resetStringInfo(&buf);
		mg_say(&buf, "First find the queries that use it, by EXPLAIN or auto_explain.");
	}
	return buf.data;
}

/* The last index of a foreign key is dropped: another one first. */
char *
mg_advise_drop_fk_index(MgFootprint *fp, MgFinding *finding)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	mg_say_apart(fp, &buf, "make another index that serves the foreign key");
	foreach(lc, finding->tasks)
	{
		const char *name = ((MgTask *) lfirst(lc))->constraint;
		Oid conoid = get_relation_constraint_oid(finding->relid, name, true);
		HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conoid));

		if (!HeapTupleIsValid(tuple))
			continue;
		mg_sql_fkey_index(&buf, finding->relid, mg_fkey_columns(tuple));
		ReleaseSysCache(tuple);
	}
	return buf.data;
}
