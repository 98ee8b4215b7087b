# shellcheck shell=bash
#
# test/lib/setup.sh - what `make test`, `make demo` and `make bench` share:
# missing Debian packages, a workspace that vanishes, and in it a copy of this
# tree and of the PostgreSQL installation, so that nothing is installed into
# the system and several runs do not disturb each other.
#
# Sourced by bash scripts; they then call, in this order:
#   mg_packages PACKAGE...     installs what is missing, or says how and exits; with
#                              PACKAGES=no it does nothing
#   mg_workspace NAME [DIR]    sets $work, a temporary directory, removed at exit
#   mg_server                  sets $server and $bindir: the private PostgreSQL
#   mg_copy                    copies the tree to $work/src
#   mg_build [VARIABLE=VALUE]  builds the extension there and installs it in $server
#   mg_as COMMAND...           runs something as the user servers run as
#   mg_start NAME SETTING...   starts a server with its files in $work/NAME, and
#                              tells libpq where it is
#   mg_run LIMIT LOG COMMAND.. the same, within a limit of time

set -u

mg_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
mg_pg_config=${PG_CONFIG:-}
mg_major=15
# shellcheck disable=SC2034		# for the scripts that source this
mg_server_packages="postgresql-$mg_major postgresql-server-dev-$mg_major gcc libc6-dev make"
# shellcheck disable=SC2034
mg_test_packages="libtap-parser-sourcehandler-pgtap-perl libipc-run-perl python3-django python3-psycopg2"

# The caller's PostgreSQL and make settings are none of ours.
while read -r mg_name; do
	unset "$mg_name"
done < <(compgen -v PG; compgen -v MAKE)
unset MFLAGS
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
umask 022

# Say why and end the script, also from within $(...).
mg_die()
{
	printf '%s\n' "$*" >&2
	[ "$BASHPID" = $$ ] || kill -TERM $$
	exit 1
}

# As root, or by sudo where that is possible without a question nobody answers.
mg_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

mg_packages()
{
	local package missing=() log status install
	command -v dpkg-query >/dev/null || return 0	# not Debian: trust what is there
	[ "${PACKAGES:-}" != no ] || return 0		# nor where the caller says that all is there
	for package in "$@"; do
		case $package in
			# another server was chosen: it brings its own packages
			postgresql-*) [ -z "$mg_pg_config" ] || continue ;;
		esac
		status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)
		[ "$status" = 'install ok installed' ] || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	install="apt-get install -y --no-install-recommends ${missing[*]}"
	if [ "$(id -u)" != 0 ] && ! { [ -t 0 ] && command -v sudo >/dev/null; } &&
		! sudo -n true 2>/dev/null; then
		mg_die "Debian packages are missing. As root, run this and try again:
apt-get update && $install"
	fi
	echo "installing Debian packages: ${missing[*]}"
	log=$(mktemp)
	if ! {
		mg_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 update &&
			mg_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
				install -y --no-install-recommends "${missing[@]}"
	} >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		rm -f "$log"
		mg_die "could not install: ${missing[*]}"
	fi
	rm -f "$log"
}

mg_workspace()
{
	work=$(mktemp -d "${2:-/tmp}/mg-$1.XXXXXX") || exit 1
	trap mg_cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	if [ "$(id -u)" = 0 ]; then
		mg_user=${mg_user:-postgres}
		id "$mg_user" >/dev/null 2>&1 || mg_die "there is no user \"$mg_user\" to run servers as"
	else
		mg_user=$(id -un)
	fi
	mkdir "$work/tmp" "$work/home"
	chmod 755 "$work"
	mg_give "$work"
}

# Give everything below a directory to the user that servers run as.
mg_give()
{
	[ "$(id -u)" != 0 ] || chown -R "$mg_user:" "$@"
}

# Run something as that user, in the workspace, with the private PostgreSQL first
# in the path; mg_server sets the words that do it.
mg_as()
{
	"${mg_as[@]}" "$@"
}

# The same in the background and in a process group of its own, within a limit
# of time; its output is kept and, unless QUIET is set, shown.  LIMIT LOG COMMAND...
mg_run()
{
	local limit=$1 log=$2 status
	shift 2
	: >"$log"
	timeout -k 30 "$limit" "${mg_as[@]}" "$@" </dev/null >"$log" 2>&1 &
	mg_child=$!
	[ -n "${QUIET:-}" ] || tail -f -n +1 -s 0.2 --pid="$mg_child" "$log"
	wait "$mg_child"
	status=$?
	mg_child=
	[ "$status" != 124 ] || echo "stopped after $limit: $*" | tee -a "$log"
	return "$status"
}

# Stop the servers that still run in the workspace, by pid, and remove it.
mg_cleanup()
{
	local status=$? file pid
	trap '' HUP INT TERM
	[ -z "${mg_child:-}" ] || kill -TERM -- "-$mg_child" 2>/dev/null
	while read -r file; do
		read -r pid 2>/dev/null <"$file" || continue	# it has stopped by itself
		[ "$(readlink "/proc/$pid/cwd")" = "${file%/*}" ] || continue
		kill -QUIT "$pid"
		for _ in {1..50}; do
			[ -d "/proc/$pid" ] || break
			sleep 0.1
		done
	done < <(find "$work" -name postmaster.pid 2>/dev/null)
	cd / || exit
	if [ -n "${KEEP:-}" ]; then
		echo "kept: $work"
	else
		rm -rf "$work"
	fi
	exit "$status"
}

# A copy of the PostgreSQL installation under $work, links but for the programs:
# they find their libraries and extensions relative to where they are.
mg_server()
{
	local config=${mg_pg_config:-/usr/lib/postgresql/$mg_major/bin/pg_config} what dir
	config=$(command -v "$config") || mg_die "there is no ${mg_pg_config:-$config}"
	server=$work/server
	bindir=$server$("$config" --bindir)
	for what in bindir pkglibdir sharedir libdir includedir includedir-server; do
		dir=$("$config" "--$what")
		[ ! -e "$server$dir" ] || continue
		mkdir -p "$server${dir%/*}"
		case $what in
			bindir) cp -a "$dir" "$server$dir" ;;
			pkglibdir | sharedir) cp -as "$dir" "$server$dir" ;;
			*) ln -s "$dir" "$server$dir" ;;
		esac
	done
	rm -rf "$("$bindir/pg_config" --pkglibdir)"/{,bitcode/}migration_guard* \
		"$("$bindir/pg_config" --sharedir)"/extension/migration_guard*
	mg_give "$server"

	mg_as=()
	[ "$(id -u)" != 0 ] || mg_as=(setpriv --reuid "$mg_user" --regid "$mg_user" --init-groups)
	mg_as+=(env -C "$work" HOME="$work/home" USER="$mg_user" LOGNAME="$mg_user"
		TMPDIR="$work/tmp" PATH="$bindir:$PATH")
}

# Copy the tree, without what is built in it, to a new directory.
mg_tree()
{
	mkdir "$1" &&
		tar -C "$mg_top" --exclude=./.git --exclude='./tmp_check*' --exclude='*.o' \
			--exclude='*.so' --exclude='*.bc' -cf - . | tar -C "$1" --no-same-owner -xf -
}

mg_copy()
{
	mg_tree "$work/src"
	mg_give "$work/src"
	mg_make=(make -s -C "$work/src" PG_CONFIG="$bindir/pg_config" with_llvm=no)
}

mg_build()
{
	mg_as "${mg_make[@]}" -j "$(nproc)" "$@" && mg_as "${mg_make[@]}" install "$@"
}

# A server on a socket of its own, in the background; mg_cleanup stops it.
mg_start()
{
	local data=$work/$1
	shift
	export PGHOST=$work/tmp PGUSER=postgres PGDATABASE=postgres
	mg_as initdb -D "$data" -A trust -U postgres -N -E UTF8 --no-locale >"$work/tmp/initdb.log" 2>&1 ||
		mg_die "$(cat "$work/tmp/initdb.log")"
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$PGHOST'" \
		'fsync = off' 'autovacuum = off' "$@" >>"$data/postgresql.conf"
	mg_as pg_ctl -s -w -D "$data" -l "$data.log" start || mg_die "$(tail -n 30 "$data.log")"
}
