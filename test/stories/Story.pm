# Story.pm
#
# What the story tests share: one server, a database per story that belongs
# to an ordinary role, and the checks "this statement is refused and nothing
# has changed", "this script passes", "explain and check say this".
#
# The thresholds of a story's database are low (10,000 rows refuse, 1,000
# warn), so that "large" costs 20,000 rows; the superuser sets them for the
# database, the role that runs the statements cannot change them.

package Story;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  server story admin run_sql guard_says hint_sql in_a_copy
  fingerprint refused passes explain_is check_is unfinished_is value_is since
);

my $node;
our $db;
my $label;

# Start the server.  Further settings as name => value.
sub server
{
	my %settings = @_;

	$node = PostgreSQL::Test::Cluster->new('stories');
	$node->init;
	$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\n");
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'\n")
	  foreach sort keys %settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE ROLE deploy LOGIN');
	return $node;
}

# Is the server of this major version, or a later one?
sub since
{
	my ($major) = @_;

	# PostgreSQL::Version takes 19rc1 for less than 19
	return $node->pg_version =~ /^(\d+)/ && $1 >= $major;
}

# Begin a story: its database, its tables, and then the extension, which from
# there on guards it.
#   setup       SQL that the owner runs before there is a guard
#   thresholds  0: leave the defaults
#   preload     1: session_preload_libraries, for what event triggers do not see
sub story
{
	my ($name, $database, %o) = @_;

	$label = $name;
	$db = $database;
	note("=== $name ===");
	$node->safe_psql('postgres', "CREATE DATABASE $db OWNER deploy");
	run_sql($o{setup}, must => 1) if $o{setup};
	if ($o{preload})
	{
		admin("ALTER DATABASE $db SET session_preload_libraries = 'migration_guard'");
	}
	admin('SET client_min_messages = warning; CREATE EXTENSION migration_guard');
	if ($o{thresholds} // 1)
	{
		admin("ALTER DATABASE $db SET migration_guard.warn_rows = 1000");
		admin("ALTER DATABASE $db SET migration_guard.block_rows = 10000");
	}
	return;
}

# Run SQL as superuser; it must succeed.
sub admin
{
	my ($sql) = @_;

	return $node->safe_psql($db, $sql);
}

# Run SQL as the owner of the tables, statement by statement as psql sends a
# script.  Returns a hash: rc, out, err, said (see diagnostics).
#   must  1: die if it fails;  go_on  1: do not stop at the first error
sub run_sql
{
	my ($sql, %o) = @_;
	my ($out, $err) = ('', '');
	my $rc = $node->psql(
		$db, "\\set VERBOSITY verbose\n$sql",
		stdout => \$out,
		stderr => \$err,
		on_error_stop => $o{go_on} ? 0 : 1,
		timeout => 300,
		extra_params => [ '-U', 'deploy' ]);

	die "$sql\n$err" if $o{must} && $rc != 0;
	return { rc => $rc, out => $out, err => $err, said => [ diagnostics($err) ] };
}

# Take the server's messages out of psql's stderr.  Each is a hash with
# severity, state, message, and DETAIL, HINT, TABLE NAME, ... as they came.
sub diagnostics
{
	my ($err) = @_;
	my $severities = qr/ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|LOG|DEBUG/;
	my $fields = qr/DETAIL|HINT|CONTEXT|QUERY|STATEMENT|LOCATION|LINE\ \d+
		|(?:SCHEMA|TABLE|COLUMN|CONSTRAINT|DATATYPE)\ NAME/x;
	my @said;
	my $field;

	foreach my $line (split /\n/, $err)
	{
		$line =~ s/^psql:[^:]*:\d+: //;
		if ($line =~ /^($severities):\s+(?:([0-9A-Z]{5}): )?(.*)$/)
		{
			push @said, { severity => $1, state => $2 // '', message => $3 };
			$field = 'message';
		}
		elsif (@said && $line =~ /^($fields):\s*(.*)$/)
		{
			$field = $1;
			$said[-1]{$field} = $2;
		}
		elsif (@said)
		{
			$said[-1]{$field} .= "\n$line";
		}
	}
	return @said;
}

# The guard's own messages among them, as "WARNING MG601, ERROR MG121".
sub guard_says
{
	my ($said) = @_;

	return join ', ', map { "$_->{severity} $_->{state}" } grep { $_->{state} =~ /^MG/ } @$said;
}

# The statements of a HINT: its lines that are SQL.
sub hint_sql
{
	my ($hint) = @_;

	return grep { /^(?:ALTER|CREATE|DROP|REINDEX|VACUUM|ANALYZE|DO|BEGIN|COMMIT)\b.*;$/ }
	  split /\n/, $hint // '';
}

# Copy the story's database and run SQL in the copy, with the guard or without.
# Returns what run_sql returns, and the schema afterwards as "shape": columns,
# constraints and indexes by name, whatever their order, numbers and files.
sub in_a_copy
{
	my ($sql, $mode) = @_;
	my $run;

	admin("CREATE DATABASE copy_of_$db TEMPLATE $db OWNER deploy");
	{
		local $db = "copy_of_$db";

		# when statistics arrive is a matter of seconds, so there are none of the use of the copy
		admin("ALTER DATABASE $db SET $_") foreach 'track_counts = off', 'migration_guard.warn_rows = 1000',
		  'migration_guard.block_rows = 10000', "migration_guard.mode = $mode",
		  q{session_preload_libraries = 'migration_guard'};
		$run = run_sql($sql);
		$run->{shape} = admin(
			q{
			SELECT 'column', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
				   a.attcollation::regcollation, a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
			LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
			WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
			ORDER BY 2, 3;
			SELECT 'constraint', conrelid::regclass, CASE WHEN conparentid = 0 THEN conname END,
				   convalidated, pg_get_constraintdef(oid)
			FROM pg_constraint WHERE conrelid >= 16384 ORDER BY 2, 3, 5;
			SELECT 'index', i.indrelid::regclass, i.indisvalid, pg_get_indexdef(i.indexrelid)
			FROM pg_index i WHERE i.indrelid >= 16384
			AND NOT (SELECT c.relispartition FROM pg_class c WHERE c.oid = i.indexrelid)
			ORDER BY 2, 4});
		$run->{shape} =~ s/^.*pg_toast.*\n?//mg;
	}
	admin("DROP DATABASE copy_of_$db");
	return $run;
}

# What the tables of the story look like from outside: files, columns,
# constraints, indexes, rows.
sub fingerprint
{
	my $shape = admin(
		q{
		SELECT c.oid::regclass, c.relkind, c.relfilenode, c.relpersistence, c.reltablespace, c.relam,
			   (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
								  || ' ' || a.attnotnull || ' ' || a.attisdropped, ', '
								  ORDER BY a.attnum)
				FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
			   (SELECT string_agg(con.conname || ' ' || con.convalidated || ' '
								  || pg_get_constraintdef(con.oid), ', ' ORDER BY con.conname)
				FROM pg_constraint con WHERE con.conrelid = c.oid),
			   (SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = c.oid)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname !~ '^(pg_|information_schema|migration_guard)' AND c.relkind <> 'S'
		ORDER BY c.oid::regclass::text});
	my $rows = admin(
		q{
		SELECT coalesce(string_agg(format(
				   'SELECT %L, count(*), sum(hashtext(t::text)::bigint) FROM %s t', c.oid::regclass,
				   c.oid::regclass), ' UNION ALL ' ORDER BY c.oid::regclass::text), 'SELECT 0')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname !~ '^(pg_|information_schema|migration_guard)' AND c.relkind IN ('r', 'p')
		\gexec});
	return "$shape\n" . join("\n", sort split /\n/, $rows);
}

# Locks of the session's own transaction on anything but system catalogs.
my $locks = q{SELECT l.relation::regclass::text || ' ' || l.mode FROM pg_locks l
	WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.relation >= 16384
	AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	ORDER BY 1;};

# The statement is refused by the guard: exactly one error, of this SQLSTATE,
# and afterwards everything is as it was.
#   state    SQLSTATE
#   message, detail, hint   a pattern or a list of patterns
#   not_detail, not_hint, not_message   the same, must not match
#   table, schema, column, constraint   error fields
#   before   statements to run first, in the same transaction
#   session  statements to run first, in the same session
#   try_hint what to do with the statements of the hint: "leads there" (the
#            default) runs them in a copy of the database, where the guard
#            must be silent and the schema must become what the statement
#            would have made of it; "runs" leaves out the latter; "no"
#   rest     what is left of the statement when the hint takes something out
#   hint_says  what the guard says all the same while the hint's SQL runs
#   indexes  1: the hint makes indexes for a foreign key, which the statement does not
# Returns the error.
sub refused
{
	my ($name, $sql, %o) = @_;
	my $before = fingerprint();
	my $show_locks = "\\echo \@locks\n$locks\n\\echo \@end\n";
	my $script = ($o{session} // '') . "\n";
	my ($run, $error, @locks);

	if (defined $o{before})
	{
		$script .= "BEGIN;\n$o{before}\n\\set ON_ERROR_ROLLBACK on\n";
		$script .= "$show_locks$sql\n${show_locks}ROLLBACK;\n";
	}
	else
	{
		$script .= "$show_locks$sql\n$show_locks";
	}
	$run = run_sql($script, go_on => 1);
	my @errors = grep { $_->{severity} eq 'ERROR' } @{ $run->{said} };
	$error = $errors[0] // { severity => 'none', state => '', message => 'no error' };

	is(scalar(@errors), 1, "$label: $name: one error") or diag($run->{err});
	is($error->{state}, $o{state}, "$label: $name: SQLSTATE") or diag($run->{err});
	foreach my $part ([ 'message', 'message' ], [ 'detail', 'DETAIL' ], [ 'hint', 'HINT' ])
	{
		my ($key, $field) = @$part;

		foreach my $pattern (as_list($o{$key}))
		{
			like($error->{$field} // '', $pattern, "$label: $name: $key says $pattern");
		}
		foreach my $pattern (as_list($o{"not_$key"}))
		{
			unlike($error->{$field} // '', $pattern, "$label: $name: $key does not say $pattern");
		}
	}
	foreach my $part (
		[ 'schema', 'SCHEMA NAME' ],
		[ 'table', 'TABLE NAME' ],
		[ 'column', 'COLUMN NAME' ],
		[ 'constraint', 'CONSTRAINT NAME' ])
	{
		my ($key, $field) = @$part;

		is($error->{$field}, $o{$key}, "$label: $name: $key field") if exists $o{$key};
	}
	@locks = $run->{out} =~ /^\@locks\n(.*?)^\@end$/msg;
	is($locks[1], $locks[0], "$label: $name: no lock is left behind");
	is(fingerprint(), $before, "$label: $name: nothing has changed");
	try_hint($name, $sql, $error, %o) if ($o{try_hint} // '') ne 'no';
	return $error;
}

# See refused.
sub try_hint
{
	my ($name, $sql, $error, %o) = @_;
	my $first = ($o{session} // '') . "\n" . ($o{before} // '') . "\n";
	my @sql = hint_sql($error->{HINT});
	my ($safe, $unsafe);

	cmp_ok(scalar(@sql), '>', 0, "$label: $name: the hint has SQL") or return;
	$safe = in_a_copy(join("\n", $first, $o{rest} // '', @sql), 'enforce');
	is($safe->{rc}, 0, "$label: $name: the hint's SQL runs") or diag($safe->{err} . $error->{HINT});
	is(guard_says($safe->{said}), $o{hint_says} // '', "$label: $name: and the guard lets it pass")
	  or diag($safe->{err} . $error->{HINT});
	return if ($o{try_hint} // '') eq 'runs';
	$unsafe = in_a_copy(
		join("\n", $first . $sql, $o{indexes} ? grep { /^(?:CREATE|ALTER) INDEX/ } @sql : ()),
		'off');
	is($unsafe->{rc}, 0, "$label: $name: without the guard the statement runs") or diag($unsafe->{err});
	is($safe->{shape}, $unsafe->{shape}, "$label: $name: the hint leads to the same schema")
	  or diag($error->{HINT});
	return;
}

# The script runs to its end, and the guard says nothing but what "says" has
# ("WARNING MG601").  Returns what run_sql returns.
sub passes
{
	my ($name, $sql, %o) = @_;
	my $run = run_sql($sql);

	is($run->{rc}, 0, "$label: $name: passes") or diag($run->{err});
	is(guard_says($run->{said}), $o{says} // '', "$label: $name: the guard says "
		  . ($o{says} // 'nothing')) or diag($run->{err});
	return $run;
}

# explain() of a statement: "relation|lock_mode|blocks|rewrite|scan|index_builds",
# one line per relation, sorted by name.  Indexes and sequences are left out
# unless asked for (indexes => 1).
sub explain_is
{
	my ($name, $sql, $expected, %o) = @_;
	my $kinds = $o{indexes} ? q{} : q{WHERE c.relkind NOT IN ('i', 'I', 'S')};
	my $run = run_sql(($o{before} // '') . qq{
		SELECT c.oid::regclass, e.lock_mode, e.blocks, e.rewrite, e.scan, e.index_builds
		FROM migration_guard.explain(\$mg\$$sql\$mg\$) e JOIN pg_class c ON c.oid = e.relation
		$kinds ORDER BY e.statement, c.oid::regclass::text;});

	is($run->{err} . $run->{out}, join("\n", as_list($expected)), "$label: explain: $name");
	return;
}

# check() of a script: "statement|verdict|rule|sqlstate|relation", in order.
sub check_is
{
	my ($name, $sql, $expected, %o) = @_;
	my $run = run_sql(($o{before} // '') . qq{
		SELECT statement, verdict, rule, sqlstate, relation
		FROM migration_guard.check(\$mg\$$sql\$mg\$);});

	is($run->{err} . $run->{out}, join("\n", as_list($expected)), "$label: check: $name");
	return;
}

# The view "unfinished" has one row for each list of patterns, matched by it.
# Returns the rows, each a hash of finish_sql and remove_sql.
sub unfinished_is
{
	my ($name, @expected) = @_;
	my $run = run_sql(q{SELECT kind, relation, object, reason, finish_sql, remove_sql
		FROM migration_guard.unfinished ORDER BY relation::text, object});
	my @rows = split /\n/, $run->{out};

	is($run->{err}, '', "$label: unfinished: $name: can be read by anybody");
	is(scalar(@rows), scalar(@expected), "$label: unfinished: $name: rows") or diag($run->{out});
	foreach my $i (0 .. $#expected)
	{
		like($rows[$i] // '', $_, "$label: unfinished: $name: row has $_") foreach @{ $expected[$i] };
	}
	return map {
		my ($kind, $relation, $object, $reason, $finish, $remove) = split /\|/;
		{ finish_sql => $finish, remove_sql => $remove }
	} @rows;
}

# A query, run as superuser, returns this.
sub value_is
{
	my ($name, $sql, $expected) = @_;

	is(admin($sql), $expected, "$label: $name");
	return;
}

sub as_list
{
	my ($value) = @_;

	return () unless defined $value;
	return ref $value eq 'ARRAY' ? @$value : ($value);
}

1;
