# demo/paint.awk - folds what psql prints to 79 columns, squeezes empty lines
# and, with -v colour=1, paints it.

function paint(code, text)
{
	return colour && text != "" ? "\033[" code "m" text "\033[0m" : text
}

# print text by words, later lines indented
function fold(code, text, indent,	n, words, i, line)
{
	n = split(text, words, / /)
	line = words[1]
	for (i = 2; i <= n; i++) {
		if (length(line) + 1 + length(words[i]) > 79) {
			print paint(code, line)
			line = sprintf("%" indent "s", "") words[i]
		} else
			line = line " " words[i]
	}
	print paint(code, line)
}

# a message of the server: label, and code for itself and the lines that follow
function message(code, indent)
{
	following = code
	fold(code, $0, indent)
}

/^(\001narration )?$/ {
	if (!empty)
		print ""
	empty = 1
	next
}

{ empty = 0 }

/^\001/ { following = "" }

/^\001narration # / {
	title = substr($0, 14)
	rule = title
	gsub(/./, "=", rule)
	print "\n\n" paint("1", title) "\n" paint("1", rule)
	next
}

/^\001narration / { print substr($0, 12); next }
/^\001statement / { print "  " paint("36", substr($0, 12)); next }

/^(ERROR|FATAL):/	{ message("1;31", 8); next }
/^WARNING:/			{ message("1;33", 10); next }
/^NOTICE:/			{ message("33", 9); next }
/^DETAIL:/			{ message("0", 9); next }
/^HINT:/			{ message("32", 7); next }

# the tag of a command that passed
/^[A-Z]+( [A-Z]+)*$/ {
	following = ""
	print paint("1;32", $0)
	next
}

following != "" { fold(following, "       " $0, 11); next }

{ print }
