/*
 * advice_source.c
 *
 * Owns SQL text that is cut out of the statement's own source with core's
 * scanner, so that advice keeps expressions as their author wrote them.  What
 * is cut out is used only if core's parser makes the same tree of it again:
 * the source may be that of another statement, and comments, quotes and line
 * breaks may be anywhere.
 */
#include "mg.h"

#include "advice.h"

/*
 * How far an expression is followed.  The source may be a script of megabytes,
 * which the scanner would copy each time; what is longer is deparsed instead.
 */
#define MG_SOURCE_MAX 65536

/* A walk over the tokens of a text with core's scanner, never past its end. */
typedef struct MgTokens
{
	core_yyscan_t yyscanner;
	core_yy_extra_type extra;
	const char *text; /* from where the walk began */
	core_YYSTYPE value;
	YYLTYPE location; /* of the current token in the text */
	int token;        /* 0 at the end; a character, or a token code */
	int depth;        /* open parentheses and brackets before it */
} MgTokens;

static void
mg_tokens_begin(MgTokens *t, const char *source, int start)
{
	memset(t, 0, sizeof(*t));
	t->text = pnstrdup(source + start, MG_SOURCE_MAX);
	t->yyscanner = scanner_init(t->text, &t->extra, &ScanKeywords, ScanKeywordTokens);
	mg_scanner_quiet(&t->extra);
}

static bool
mg_tokens_next(MgTokens *t)
{
	if (t->token == '(' || t->token == '[')
		t->depth++;
	t->token = core_yylex(&t->value, &t->location, t->yyscanner);
	if (t->token == ')' || t->token == ']')
		t->depth--;
	return t->token != 0;
}

/* Is the current token this keyword? */
static bool
mg_tokens_keyword(MgTokens *t, const char *keyword)
{
	int kwnum = ScanKeywordLookup(keyword, &ScanKeywords);

	return kwnum >= 0 && t->token == ScanKeywordTokens[kwnum];
}

/* A stretch of a text without white space around it. */
static char *
mg_cut(const char *text, int from, int to)
{
	while (from < to && isspace((unsigned char) text[from]))
		from++;
	while (to > from && isspace((unsigned char) text[to - 1]))
		to--;
	return pnstrdup(text + from, to - from);
}

/*
 * The same on one line, or NULL if comments might swallow what follows.  What
 * this does to literals with line breaks in them is found out by whoever
 * compares the parse trees.
 */
static char *
mg_one_line(const char *text)
{
	StringInfoData buf;

	if (strstr(text, "--") || strstr(text, "/*"))
		return NULL;
	initStringInfo(&buf);
	for (const char *p = text; *p; p++)
	{
		if (!isspace((unsigned char) *p))
			appendStringInfoChar(&buf, *p);
		else if (!isspace((unsigned char) p[1]))
			appendStringInfoChar(&buf, ' ');
	}
	return buf.data;
}

/* Does the text, in parentheses, parse to this expression? */
static bool
mg_parses_to_expr(const char *text, Node *raw)
{
	List *parsed;
	SelectStmt *select;

	if (text == NULL)
		return false;
	parsed = raw_parser(psprintf("SELECT (%s)", text), RAW_PARSE_DEFAULT);
	if (list_length(parsed) != 1)
		return false;
	select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
	return list_length(select->targetList) == 1 &&
		   equal(linitial_node(ResTarget, select->targetList)->val, raw);
}

typedef struct MgCutOut
{
	const char *source;
	int location;
	Node *raw; /* the Constraint, or the IndexStmt */
	const char *text;
} MgCutOut;

/* Can this location be one of this source? */
static bool
mg_in_source(MgCutOut *cut)
{
	return cut->source != NULL && cut->location >= 0 &&
		   strnlen(cut->source, (size_t) cut->location + 1) > (size_t) cut->location;
}

/* CHECK (...): what stands between the parentheses. */
static void
mg_cut_check(void *arg)
{
	MgCutOut *cut = arg;
	Node *raw = ((Constraint *) cut->raw)->raw_expr;
	MgTokens t;
	int from;
	int to = -1;
	char *text;

	mg_tokens_begin(&t, cut->source, cut->location);
	while (mg_tokens_next(&t) && !mg_tokens_keyword(&t, "check"))
		;
	if (t.token == 0 || !mg_tokens_next(&t) || t.token != '(')
		return;
	from = t.location + 1;
	while (mg_tokens_next(&t))
	{
		if (t.token == ')' && t.depth == 0)
		{
			to = t.location;
			break;
		}
	}
	scanner_finish(t.yyscanner);
	if (to < 0)
		return;
	text = mg_cut(t.text, from, to);
	if (mg_parses_to_expr(mg_one_line(text), raw))
		cut->text = mg_one_line(text);
	else if (mg_parses_to_expr(text, raw))
		cut->text = text;
}

/* What stands between the parentheses of CHECK (...), or NULL. */
const char *
mg_source_check(MgFootprint *fp, Constraint *con)
{
	MgCutOut cut = {.source = fp->source, .location = con->location, .raw = (Node *) con};

	if (mg_in_source(&cut) && mg_attempt(mg_cut_check, &cut, NULL))
		return cut.text;
	return NULL;
}

/* Does the text, after the table's name, parse to this index? */
static bool
mg_parses_to_index(const char *text, IndexStmt *stmt)
{
	List *parsed;
	IndexStmt *again;

	if (text == NULL)
		return false;
	/* a second statement, lest a comment swallows what will be appended */
	parsed = raw_parser(psprintf("CREATE UNIQUE INDEX ON t%s;SELECT 1", text), RAW_PARSE_DEFAULT);
	if (list_length(parsed) != 2 || !IsA(linitial_node(RawStmt, parsed)->stmt, IndexStmt))
		return false;
	again = (IndexStmt *) linitial_node(RawStmt, parsed)->stmt;
	return strcmp(again->accessMethod, stmt->accessMethod) == 0 &&
		   equal(again->indexParams, stmt->indexParams) &&
		   equal(again->indexIncludingParams, stmt->indexIncludingParams) &&
		   equal(again->options, stmt->options) && equal(again->whereClause, stmt->whereClause) &&
		   again->nulls_not_distinct == stmt->nulls_not_distinct &&
		   (again->tableSpace == NULL) == (stmt->tableSpace == NULL);
}

/* From the first parenthesis after the table's name to the end of the statement. */
static void
mg_cut_index(void *arg)
{
	MgCutOut *cut = arg;
	IndexStmt *stmt = (IndexStmt *) cut->raw;
	MgTokens t;
	int from;
	int to;
	char *text;
	char *line;

	mg_tokens_begin(&t, cut->source, cut->location);
	while (mg_tokens_next(&t) && t.token != '(' && t.token != ';')
		;
	if (t.token != '(')
		return;
	from = t.location;
	while (mg_tokens_next(&t) && !(t.token == ';' && t.depth == 0))
		;
	to = t.token == ';' ? t.location : (int) strlen(t.text);
	scanner_finish(t.yyscanner);

	text = psprintf("%s %s", mg_text_using(stmt->accessMethod), mg_cut(t.text, from, to));
	line = mg_one_line(text);
	if (mg_parses_to_index(line, stmt))
		cut->text = line;
	else if (mg_parses_to_index(text, stmt))
		cut->text = text;
}

/* What follows the table's name in CREATE INDEX, with a space in front, or NULL. */
const char *
mg_source_index(MgFootprint *fp, IndexStmt *stmt)
{
	MgCutOut cut = {.source = fp->source,
					.location = stmt->relation->location,
					.raw = (Node *) stmt};

	if (mg_in_source(&cut) && mg_attempt(mg_cut_index, &cut, NULL))
		return cut.text;
	return NULL;
}

typedef struct MgReplacement
{
	const char *check; /* with VALUE in it */
	const char *column;
	char *text;
} MgReplacement;

/* Put the column's name where VALUE stands. */
static void
mg_replace_tokens(void *arg)
{
	MgReplacement *d = arg;
	StringInfoData buf;
	MgTokens t;
	int done = 0;

	initStringInfo(&buf);
	mg_tokens_begin(&t, d->check, 0);
	while (mg_tokens_next(&t))
	{
		int at = t.location;

		if (!mg_tokens_keyword(&t, "value"))
			continue;
		appendBinaryStringInfo(&buf, d->check + done, at - done);
		appendStringInfoString(&buf, d->column);
		done = at + strlen("value");
	}
	scanner_finish(t.yyscanner);
	appendStringInfoString(&buf, d->check + done);
	d->text = buf.data;
}

/* The condition of a domain as one of a column: VALUE becomes the column's name. */
const char *
mg_replace_value(const char *check, const char *column)
{
	MgReplacement d = {.check = check, .column = column};

	return mg_attempt(mg_replace_tokens, &d, NULL) ? d.text : NULL;
}
