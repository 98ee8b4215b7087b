#!/usr/bin/env bash
#
# demo/demo.sh - `make demo`: a throwaway PostgreSQL with the extension and
# tables of more than a million rows, on which psql plays stories 1, 2 and 5.
# Installs nothing but missing Debian packages and leaves nothing behind.

# shellcheck source=test/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/../test/lib/setup.sh"

colour=0
[ ! -t 1 ] || colour=1

# What is being done; then how long it took, in seconds
step()
{
	printf '%-54s' "$1"
	begun=${EPOCHREALTIME/[.,]/}
}

ok()
{
	local tenths=$(((${EPOCHREALTIME/[.,]/} - begun) / 100000))
	printf ' %3d.%d s\n' $((tenths / 10)) $((tenths % 10))
}

run_psql()
{
	mg_as psql -X -v ON_ERROR_STOP=1 -q "$@"
}

# TABLE HUNDRED-THOUSANDS-OF-ROWS SELECT-LIST: rows numbered by i, in ten parts
fill()
{
	local table=$1 part=$(($2 * 10000)) list=$3 n
	printf '%-26s ' "$table"
	begun=${EPOCHREALTIME/[.,]/}
	for n in {0..9}; do
		run_psql -c "INSERT INTO $table SELECT $list
			FROM generate_series($((n * part + 1)), $((n * part + part))) i" || exit 1
		printf .
	done
	printf ' %d.%d million rows' $(($2 / 10)) $(($2 % 10))
	ok
}

play()
{
	awk -f "$demo/script.awk" "$1" | mg_as psql -X -P border=0 \
		-v SHOW_CONTEXT=never 2>&1 | tee -a "$work/shown" |
		awk -v colour=$colour -f "$demo/paint.awk"
}

# shellcheck disable=SC2086		# a list of packages
mg_packages $mg_server_packages
mg_workspace demo

mg_server
mg_copy
demo=$work/src/demo
echo 'building the extension, while tables are made'
# shellcheck disable=SC2119		# without arguments on purpose
mg_build >"$work/build.log" 2>&1 &

step 'a PostgreSQL of its own'
mg_start demo "shared_buffers = 256MB" "max_wal_size = 8GB" "wal_level = minimal" \
	"max_wal_senders = 0" "maintenance_work_mem = 256MB"
ok
run_psql -f "$demo/tables.sql" || exit 1
fill chat_message 20 "i, i % 10007, 'message number ' || i"
fill users_user 12 "i, 'user' || i || '@example.com'"
fill ads_impressioncounter 12 "i, i % 5000, date '2020-01-01' + i / 5000, i % 97"
run_psql -c 'ANALYZE' || exit 1
step 'the extension'
wait $! || mg_die "$(cat "$work/build.log")"
ok

play "$demo/start.sql"
for story in 1 2 5; do
	play "$demo/story$story.sql"
done

# What the stories call refused was refused, and nothing else went wrong.
errors=$(grep -cE '^(ERROR|FATAL|PANIC):' "$work/shown")
refusals=$(grep -cE '^ERROR: .* would block ' "$work/shown")
[ "$refusals $errors" = '4 4' ] || mg_die "
The stories have 4 refusals; here the guard refused $refusals statements, and there were $errors errors."
printf '\n\nThat took %d seconds. Now the server goes, and all its files.\n' "$SECONDS"
