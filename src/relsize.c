/*
 * relsize.c
 *
 * Owns sizes: rows, bytes, and how long work on them takes.
 *
 * Bytes come from the file system, found by the relation's pg_class row, so
 * that nobody's AccessExclusiveLock can make the guard wait.  Rows come from
 * the statistics scaled to the present size; where there are none, from a few
 * blocks of the table if it can be opened without waiting, or else from the
 * widths of its columns.  The cost per relation does not depend on its size.
 */
#include "mg.h"

#include <math.h>
#include <sys/stat.h>

#define MG_SAMPLE_BLOCKS 8
#define MG_UNKNOWN_WIDTH 8         /* of a column that is not there yet, or an expression; bytes */
#define MG_INDEX_TUPLE_OVERHEAD 16 /* header, line pointer and free space of an index entry */
#define MG_BYTES_PER_MB (1024.0 * 1024.0)

/* ------------------------------------------------------------------------
 * Bytes
 * ------------------------------------------------------------------------ */

/*
 * Bytes in the segments of a file.  A segment that is not there ends it;
 * files may be dropped or truncated while we look.
 */
static uint64
mg_file_bytes(const char *path)
{
	const off_t segment_bytes = (off_t) RELSEG_SIZE * BLCKSZ;
	uint64 total = 0;

	for (unsigned segment = 0;; segment++)
	{
		char name[MAXPGPATH];
		struct stat st;

		if (segment == 0)
			strlcpy(name, path, sizeof(name));
		else
			snprintf(name, sizeof(name), "%s.%u", path, segment);
		if (stat(name, &st) < 0)
			break;
		total += st.st_size;
		if (st.st_size < segment_bytes)
			break;
	}
	return total;
}

/*
 * Where the main fork of a relation is, relative to the data directory, by
 * its pg_class row alone; NULL if it has no files.  Follows
 * RelationInitPhysicalAddr() and pg_relation_filepath().
 */
static char *
mg_relation_path(Form_pg_class form)
{
	MgBackendNumber backend = MG_NO_BACKEND;
	Oid spcid = form->reltablespace ? form->reltablespace : MyDatabaseTableSpace;
	Oid dbid = spcid == GLOBALTABLESPACE_OID ? InvalidOid : MyDatabaseId;
	Oid number = form->relfilenode;

	if (!RELKIND_HAS_STORAGE(form->relkind))
		return NULL;
	if (!OidIsValid(number))
		number = mg_mapped_file(form->oid, form->relisshared);
	if (!OidIsValid(number))
		return NULL;
	if (form->relpersistence == RELPERSISTENCE_TEMP)
	{
		backend = isTempOrTempToastNamespace(form->relnamespace)
					? mg_own_temp_backend()
					: mg_temp_backend(form->relnamespace);
		if (backend == MG_NO_BACKEND)
			return NULL;
	}
	return mg_file_path(dbid, spcid, number, backend);
}

/* Bytes of the main fork of a relation; 0 if it has no files or is gone. */
static uint64
mg_main_fork_bytes(Form_pg_class form)
{
	char *path = mg_relation_path(form);
	uint64 bytes;

	if (path == NULL)
		return 0;
	bytes = mg_file_bytes(path);
	pfree(path);
	return bytes;
}

static uint64
mg_main_fork_bytes_by_oid(Oid relid)
{
	Form_pg_class form = mg_class_form(relid);

	return form ? mg_main_fork_bytes(form) : 0;
}

/* Bytes of all indexes of a table. */
static uint64
mg_index_bytes(Oid relid)
{
	List *indexes = mg_index_list(relid);
	uint64 bytes = 0;
	ListCell *lc;

	foreach(lc, indexes)
		bytes += mg_main_fork_bytes_by_oid(lfirst_oid(lc));
	list_free(indexes);
	return bytes;
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

/* Argument of mg_sample_rows. */
typedef struct MgSample
{
	Oid relid;
	double rows; /* -1: could not be sampled */
} MgSample;

/* Line pointers in use in one block; dead rows count, they are read as well. */
static int
mg_block_rows_in_use(Relation rel, BlockNumber block)
{
	Buffer buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, NULL);
	Page page;
	int used = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (!PageIsNew(page))
	{
		OffsetNumber last = PageGetMaxOffsetNumber(page);

		for (OffsetNumber off = FirstOffsetNumber; off <= last; off = OffsetNumberNext(off))
		{
			if (ItemIdIsNormal(PageGetItemId(page, off)))
				used++;
		}
	}
	UnlockReleaseBuffer(buffer);
	return used;
}

/*
 * Count the rows in a few blocks spread evenly over a heap, and scale up.
 * Runs under mg_attempt: the file may shrink, or a block be damaged.
 */
static void
mg_sample_rows(void *arg)
{
	MgSample *sample = arg;
	Relation rel = mg_relation_open(sample->relid);

	if (rel == NULL)
		return;
	if (rel->rd_rel->relam == HEAP_TABLE_AM_OID && !RELATION_IS_OTHER_TEMP(rel))
	{
		BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
		uint64 nsampled = Min(nblocks, MG_SAMPLE_BLOCKS);
		double used = 0;

		for (uint64 i = 0; i < nsampled; i++)
			used += mg_block_rows_in_use(rel,
										 (BlockNumber) ((2 * i + 1) * nblocks / (2 * nsampled)));
		sample->rows = nsampled > 0 ? rint(used / nsampled * nblocks) : 0;
	}
	mg_relation_close(rel);
}

/* Width of a column as the planner would guess it, bytes; 0 if it is dropped. */
static int
mg_column_width(Oid relid, AttrNumber attnum)
{
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	int width = 0;

	if (!HeapTupleIsValid(tuple))
		return 0;
	if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		width = get_attavgwidth(relid, attnum);
		if (width <= 0)
			width = get_typavgwidth(att->atttypid, att->atttypmod);
	}
	ReleaseSysCache(tuple);
	return width;
}

/* Rows that fit in so many bytes, by the widths of the columns. */
static double
mg_rows_by_width(Form_pg_class form, uint64 bytes)
{
	int width = MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData);
	double per_block;

	for (AttrNumber attnum = 1; attnum <= form->relnatts; attnum++)
		width += mg_column_width(form->oid, attnum);
	per_block = (BLCKSZ - SizeOfPageHeaderData) / width;
	return Max(per_block, 1) * (bytes / BLCKSZ);
}

/*
 * Rows of a table of that many bytes.  The density of the last VACUUM or
 * ANALYZE holds for the present size, as in estimate_rel_size(), unless the
 * table has grown to more than twice of what it was: then it may be filled
 * with something else, and the higher number counts.  Statistics that say "no
 * rows" or nothing at all say nothing about what was loaded since.
 */
static double
mg_table_rows(Form_pg_class form, uint64 bytes)
{
	double blocks = (double) (bytes / BLCKSZ);
	double scaled = -1;
	MgSample sample = {form->oid, -1};

	if (blocks == 0)
		return 0;
	if (form->reltuples > 0 && form->relpages > 0)
		scaled = rint(form->reltuples / form->relpages * blocks);
	if (scaled >= 0 && blocks <= 2.0 * form->relpages)
		return scaled;
	if (!mg_attempt(mg_sample_rows, &sample, NULL))
		sample.rows = -1;
	if (scaled >= 0 || sample.rows >= 0)
		return Max(scaled, sample.rows);
	return mg_rows_by_width(form, bytes);
}

/* Rows that an index has entries for: its own statistics, or else those of its table. */
static double
mg_index_rows(Form_pg_class form, uint64 bytes)
{
	Oid table;
	MgSize size;

	if (form->reltuples >= 0 && form->relpages > 0)
		return rint(form->reltuples / form->relpages * (double) (bytes / BLCKSZ));
	table = IndexGetRelation(form->oid, true);
	if (!OidIsValid(table))
		return 0;
	mg_relation_size(table, &size);
	return size.rows;
}

/* ------------------------------------------------------------------------
 * Sizes of relations and effects
 * ------------------------------------------------------------------------ */

/*
 * Size of one relation itself, without partitions or children.  All zero if
 * it has no storage of its own, or is gone.
 */
void
mg_relation_size(Oid relid, MgSize *size)
{
	Form_pg_class form = mg_class_form(relid);

	memset(size, 0, sizeof(MgSize));
	if (form == NULL)
		return;
	size->heap = mg_main_fork_bytes(form);
	switch (form->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_MATVIEW:
		case RELKIND_TOASTVALUE:
			size->rows = mg_table_rows(form, size->heap);
			size->indexes = mg_index_bytes(relid);
			if (OidIsValid(form->reltoastrelid))
				size->toast = mg_main_fork_bytes_by_oid(form->reltoastrelid) +
							  mg_index_bytes(form->reltoastrelid);
			break;
		case RELKIND_INDEX:
			size->rows = mg_index_rows(form, size->heap);
			break;
		default:
			break;
	}
}

/*
 * Fill in the size of an effect, once.  A partitioned table or index is the
 * sum of its leaves.
 */
void
mg_size_effect(MgEffect *eff)
{
	ListCell *lc;

	if (eff->sized)
		return;
	eff->sized = true;
	if (eff->relkind != RELKIND_PARTITIONED_TABLE && eff->relkind != RELKIND_PARTITIONED_INDEX)
	{
		mg_relation_size(eff->relid, &eff->size);
		return;
	}
	foreach(lc, find_all_inheritors(eff->relid, NoLock, NULL))
	{
		MgSize leaf;

		mg_relation_size(lfirst_oid(lc), &leaf);
		eff->size.rows += leaf.rows;
		eff->size.heap += leaf.heap;
		eff->size.toast += leaf.toast;
		eff->size.indexes += leaf.indexes;
	}
}

/*
 * The relation if this transaction holds AccessExclusiveLock on it, as its
 * creator does: then it is legal to open it without another lock.  Or NULL.
 */
static Relation
mg_own_relation(Oid relid)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, IsSharedRelation(relid) ? InvalidOid : MyDatabaseId, relid);
	return mg_lock_held_by_me(&tag, AccessExclusiveLock) ? RelationIdGetRelation(relid) : NULL;
}

/* Was the relation created in this transaction, and is invisible to others? */
bool
mg_relation_is_new(Oid relid)
{
	Relation rel = mg_own_relation(relid);
	bool is_new;

	if (rel == NULL)
		return false;
	is_new = rel->rd_createSubid != InvalidSubTransactionId;
	RelationClose(rel);
	return is_new;
}

/*
 * Has a relation that others know been emptied or rewritten in this
 * transaction?  Then its file says nothing about what it is to them.
 */
bool
mg_relation_has_new_file(Oid relid)
{
	Relation rel = mg_own_relation(relid);
	bool result;

	if (rel == NULL)
		return false;
	result = rel->rd_createSubid == InvalidSubTransactionId &&
			 mg_first_file_subid(rel) != InvalidSubTransactionId;
	RelationClose(rel);
	return result;
}

/*
 * Does nobody else care what happens to this relation?  True for relations
 * that are new in this transaction, temporary ones of this session, empty
 * ones (in a partitioned table: all leaves), and system catalogs.
 */
bool
mg_effect_exempt(MgEffect *eff)
{
	if (IsCatalogRelationOid(eff->relid))
		return true;
	if (isTempOrTempToastNamespace(get_rel_namespace(eff->relid)))
		return true;
	if (mg_relation_is_new(eff->relid))
		return true;
	mg_size_effect(eff);
	return eff->size.heap == 0;
}

/*
 * Bytes that the statement deals with: the table, its TOAST table, and the
 * existing indexes that are built anew.
 */
uint64
mg_effect_bytes(MgEffect *eff)
{
	uint64 bytes;
	ListCell *lc;

	mg_size_effect(eff);
	bytes = eff->size.heap + eff->size.toast;
	foreach(lc, eff->tasks)
	{
		MgTask *task = lfirst(lc);

		if (task->work == MG_WORK_BUILD && OidIsValid(task->index))
			bytes += mg_main_fork_bytes_by_oid(task->index);
	}
	return bytes;
}

/* ------------------------------------------------------------------------
 * Durations
 * ------------------------------------------------------------------------ */

/* Width of the named columns of a table, bytes. */
static int
mg_named_width(Oid relid, List *names)
{
	int width = 0;
	ListCell *lc;

	foreach(lc, names)
	{
		Node *node = lfirst(lc);
		const char *name = IsA(node, IndexElem) ? ((IndexElem *) node)->name : strVal(node);
		AttrNumber attnum = name ? get_attnum(relid, name) : InvalidAttrNumber;

		width += attnum != InvalidAttrNumber ? mg_column_width(relid, attnum) : MG_UNKNOWN_WIDTH;
	}
	return width;
}

/* First elements of the pairs (IndexElem, operator) of an exclusion constraint. */
static List *
mg_exclusion_columns(Constraint *con)
{
	List *columns = NIL;
	ListCell *lc;

	foreach(lc, con->exclusions)
		columns = lappend(columns, linitial(lfirst_node(List, lc)));
	return columns;
}

/* Width of the entries of an index that a statement creates, bytes. */
static int
mg_new_index_width(Oid relid, Node *node)
{
	if (node && IsA(node, AlterTableCmd))
		node = ((AlterTableCmd *) node)->def;
	if (node && IsA(node, IndexStmt))
	{
		IndexStmt *stmt = (IndexStmt *) node;

		return mg_named_width(relid, stmt->indexParams) +
			   mg_named_width(relid, stmt->indexIncludingParams);
	}
	if (node && IsA(node, Constraint))
	{
		Constraint *con = (Constraint *) node;

		return mg_named_width(relid, con->keys) + mg_named_width(relid, mg_exclusion_columns(con)) +
			   mg_named_width(relid, con->including);
	}
	return MG_UNKNOWN_WIDTH;
}

/* Bytes of the index that a task builds. */
static double
mg_build_bytes(MgEffect *eff, MgTask *task)
{
	if (OidIsValid(task->index))
		return mg_main_fork_bytes_by_oid(task->index);
	return eff->size.rows * (MG_INDEX_TUPLE_OVERHEAD + mg_new_index_width(eff->relid, task->node));
}

/*
 * Does a scan serve one purpose only?  Foreign keys are validated by a query
 * each; everything else that is verified shares one pass over the table.
 */
static bool
mg_scans_alone(MgEffect *eff, MgTask *task)
{
	Oid constraint;
	Form_pg_constraint form;

	if (task->cause == MG_CAUSE_ADD_FOREIGN_KEY || task->cause == MG_CAUSE_DETACH_PARTITION)
		return true;
	if (task->constraint == NULL)
		return false;
	constraint = get_relation_constraint_oid(eff->relid, task->constraint, true);
	form = mg_constraint_form(constraint);
	return form && form->contype == CONSTRAINT_FOREIGN;
}

/*
 * Seconds that the tasks of an effect will take, by the rates in the
 * settings.  A rewrite verifies what has to be verified in passing; indexes
 * are built one after another, each from a scan of its own unless the table
 * has just been rewritten.
 */
double
mg_effect_seconds(MgEffect *eff)
{
	bool rewrite = mg_has_work(eff, MG_WORK_REWRITE) || mg_has_work(eff, MG_WORK_FILL);
	bool copy = mg_has_work(eff, MG_WORK_COPY);
	bool shared_scan = false;
	double scan_bytes = 0;
	double index_bytes = 0;
	double written_bytes;
	ListCell *lc;

	if (eff->tasks == NIL)
		return 0;
	mg_size_effect(eff);
	written_bytes = (rewrite || copy) ? (double) eff->size.heap + eff->size.toast : 0;

	foreach(lc, eff->tasks)
	{
		MgTask *task = lfirst(lc);

		if (task->work == MG_WORK_BUILD)
		{
			index_bytes += mg_build_bytes(eff, task);
			if (!rewrite)
				scan_bytes += eff->size.heap;
		}
		else if (task->work == MG_WORK_SCAN)
		{
			if (mg_scans_alone(eff, task))
				scan_bytes += eff->size.heap;
			else
				shared_scan = !rewrite;
		}
	}
	if (shared_scan)
		scan_bytes += eff->size.heap;

	return (scan_bytes / mg_scan_rate + written_bytes / mg_rewrite_rate +
			index_bytes / mg_index_rate) /
		   MG_BYTES_PER_MB;
}

/* ------------------------------------------------------------------------
 * Words for people
 * ------------------------------------------------------------------------ */

/* "1.2", "12.3", "212": three digits at most, and no zero behind the point. */
static char *
mg_short_number(double value)
{
	char *text = psprintf(value < 99.95 ? "%.1f" : "%.0f", value);
	size_t len = strlen(text);

	if (len > 2 && strcmp(text + len - 2, ".0") == 0)
		text[len - 2] = '\0';
	return text;
}

/* "1 row", "950 rows", "12,300 rows", "1.2 million rows", "3.4 billion rows" */
char *
mg_format_rows(double rows)
{
	static const struct
	{
		double unit;
		const char *name;
	} scales[] = {{1e12, "trillion"}, {1e9, "billion"}, {1e6, "million"}};
	double step = rows < 1000 ? 1 : pow(10, floor(log10(rows)) - 2);
	double rounded = rint(rows / step) * step;

	for (int i = 0; i < (int) lengthof(scales); i++)
	{
		if (rounded >= scales[i].unit)
			return psprintf("%s %s rows", mg_short_number(rounded / scales[i].unit),
							scales[i].name);
	}
	if (rounded >= 1000)
		return psprintf("%d,%03d rows", (int) rounded / 1000, (int) rounded % 1000);
	return psprintf("%d %s", (int) rounded, rounded == 1 ? "row" : "rows");
}

/* "48 GB", "4.1 GB", "812 MB", "16 kB", "512 bytes" */
char *
mg_format_bytes(uint64 bytes)
{
	static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
	double value = (double) bytes;
	int unit = 0;

	while (unit < (int) lengthof(units) - 1 && value >= (unit == 0 ? 1024 : 1023.5))
	{
		value /= 1024;
		unit++;
	}
	if (unit == 0 || value >= 9.95)
		return psprintf("%.0f %s", value, units[unit]);
	return psprintf("%s %s", mg_short_number(value), units[unit]);
}

/* "less than 1 s", "12 s", "3 min 40 s", "2 h 5 min", "3 d 4 h" */
char *
mg_format_seconds(double seconds)
{
	static const struct
	{
		int64 unit;
		const char *name;
		int64 subunit;
		const char *subname;
	} scales[] = {{86400, "d", 3600, "h"}, {3600, "h", 60, "min"}, {60, "min", 1, "s"}};
	int64 total;

	if (seconds < 1)
		return pstrdup("less than 1 s");
	for (int i = 0; i < (int) lengthof(scales); i++)
	{
		int64 whole;
		int64 rest;

		total = (int64) rint(seconds / scales[i].subunit) * scales[i].subunit;
		if (total < scales[i].unit)
			continue;
		whole = total / scales[i].unit;
		rest = total % scales[i].unit / scales[i].subunit;
		if (rest == 0)
			return psprintf(INT64_FORMAT " %s", whole, scales[i].name);
		return psprintf(INT64_FORMAT " %s " INT64_FORMAT " %s", whole, scales[i].name, rest,
						scales[i].subname);
	}
	return psprintf(INT64_FORMAT " s", (int64) rint(seconds));
}
