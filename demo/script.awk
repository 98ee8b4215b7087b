# demo/script.awk - turns a story into a psql script that says what it does:
# comment lines become narration, each statement is shown before it runs.
# A line of the script's output that begins with \001 is for demo/paint.awk.

function say(kind, text)
{
	gsub(/\\/, "\\\\", text)
	gsub(/'/, "''", text)
	print "\\echo '\001" kind text "'"
}

# a statement ends with a semicolon, but not inside $$ ... $$
function complete(text)
{
	return text ~ /;\n$/ && gsub(/\$\$/, "", text) % 2 == 0
}

statement == "" && /^--/ {
	sub(/^-- ?/, "")
	say("narration ", $0)
	next
}

statement == "" && /^ *$/ {
	say("narration ", "")
	next
}

{
	say("statement ", $0)
	statement = statement $0 "\n"
	if (complete(statement)) {
		printf "%s", statement
		statement = ""
	}
}
