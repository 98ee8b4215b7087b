# test/lib/table.awk - the results of whole runs as a table.
#
# Reads rows "VERSION STATEMENTS AGREE PASSED FAILED SECONDS": the server, how
# many statements the oracle tried there and of how many the prediction agreed
# with what the server did ("-": the oracle did not run), test results, and how
# long it took.

function row(version, statements, agreement, passed, failed, seconds)
{
	printf "| %-10s | %17s | %9s | %12s | %12s | %7s |\n",
		version, statements, agreement, passed, failed, seconds
}

# 100 % is only what has no exception
function percent(part, whole)
{
	if (whole + 0 == 0)
		return "-"
	if (part == whole)
		return "100 %"
	return sprintf("%.2f %%", int(part * 10000 / whole) / 100)
}

BEGIN {
	row("PostgreSQL", "oracle statements", "agreement", "tests passed", "tests failed", "seconds")
	print "|------------|------------------:|----------:|-------------:|-------------:|--------:|"
}

{ row($1, $2, percent($3, $2), $4, $5, $6) }
