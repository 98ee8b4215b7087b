# test/lib/count.awk - counts test results and prints "PASSED FAILED".
#
# Reads what pg_regress prints before PostgreSQL 16 ("test x ... ok") and TAP,
# of which only the top level counts.  A test that skips itself, and one whose
# failure is expected, count as failed: a suite that tests less than it claims
# is not green.  So does a TAP file that ends before its plan is fulfilled.

function complain(what)
{
	print what > "/dev/stderr"
	bad++
}

function end_of_file()
{
	if (tap && plan != tap)
		complain(file ": ran " tap " tests, planned " (plan < 0 ? "none" : plan))
}

FNR == 1 {
	end_of_file()
	file = FILENAME
	sub(/.*\//, "", file)
	tap = 0
	plan = -1
}

/^test .*\.\.\. ok/		{ ok++ }
/^test .*\.\.\. (FAILED|failed)/	{ bad++ }

/^1\.\.[0-9]+/ {
	plan = substr($1, 4) + 0
	if (plan == 0)
		complain(file ": skipped: " $0)
}

/^not ok/ {
	tap++
	bad++
}

/^ok( |$)/ {
	tap++
	if ($0 ~ /# *[Ss][Kk][Ii][Pp]/)
		complain(file ": skipped: " $0)
	else if ($0 ~ /# *[Tt][Oo][Dd][Oo]/)
		complain(file ": passed, but expected to fail: " $0)
	else
		ok++
}

END {
	end_of_file()
	print ok + 0, bad + 0
}
