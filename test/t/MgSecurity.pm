# MgSecurity.pm
#
# The scene of the security tests: roles, databases and tables, and attempt(),
# which plays a script where the library is loaded by the event trigger in the
# middle of the session (database "lazy") and where it is preloaded ("eager").
package MgSecurity;

use strict;
use warnings;

use Exporter 'import';
use MgTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(attempt scene scene_end still_guarded $ddl $load $super);

our $ddl = 'CREATE INDEX ON public.big (a)';	# what nobody may do here
our $load = 'CREATE TEMP TABLE n (a int)';	# what loads the library
our $super;
my $node;

# A server with all that.
#
# owner     owns the tables, may create schemas and nothing else
# dbowner   owns the databases
# stranger  owns nothing, may create in public
# deployer  is in the team that owns team_big
# mallory   may become deployer, inherits nothing
# mallet    waits for a superuser
#
# Databases free, where there is no guard, and squat, where it comes later.
sub scene
{
	$node = mg_node('security',
		conf => "allow_in_place_tablespaces = on\nlog_statement = none\n");
	$super = mg_value($node, 'postgres', 'SELECT current_user');
	mg_value($node, 'postgres', <<'EOM');
CREATE ROLE owner LOGIN;
CREATE ROLE dbowner LOGIN CREATEDB CREATEROLE;
CREATE ROLE stranger LOGIN;
CREATE ROLE team;
CREATE ROLE deployer LOGIN IN ROLE team;
CREATE ROLE mallory LOGIN NOINHERIT IN ROLE deployer;
CREATE ROLE mallet LOGIN;
CREATE DATABASE lazy OWNER dbowner TEMPLATE template0;
CREATE DATABASE eager OWNER dbowner TEMPLATE template0;
CREATE DATABASE free OWNER dbowner TEMPLATE template0;
CREATE DATABASE squat OWNER dbowner TEMPLATE template0;
CREATE TABLESPACE aside LOCATION '';
CREATE TABLESPACE elsewhere LOCATION '';
GRANT CREATE ON TABLESPACE elsewhere TO owner;
EOM
	foreach my $db (qw(lazy eager free squat))
	{
		mg_value($node, $db, <<EOM);
GRANT CREATE ON SCHEMA public TO owner, stranger, deployer, mallet, team;
GRANT CREATE ON DATABASE $db TO owner, mallet;
EOM
		mg_fixture($node, $db, 'owner');
		mg_value($node, $db, <<'EOM');
SET migration_guard.mode = 'off';
CREATE TABLE team_big AS SELECT * FROM big;
ALTER TABLE team_big OWNER TO team;
CREATE SCHEMA secret;
CREATE TABLE secret.t AS SELECT * FROM big;
ALTER TABLE secret.t ADD PRIMARY KEY (id);
CREATE TABLE others AS SELECT * FROM big;
ALTER TABLE others ADD PRIMARY KEY (id);
SET SESSION AUTHORIZATION owner;
CREATE TABLE half (a int);
RESET SESSION AUTHORIZATION;
CREATE TABLE half_kid () INHERITS (half);
INSERT INTO half_kid SELECT generate_series(1, 2000);
EOM
	}
	mg_value($node, 'lazy', 'CREATE EXTENSION migration_guard');
	mg_value($node, 'eager', 'CREATE EXTENSION migration_guard');
	mg_value($node, 'postgres', q{ALTER DATABASE eager SET session_preload_libraries = 'migration_guard'});
	return $node;
}

# So that one hole shows as one failure.
sub mend
{
	my ($db) = @_;

	mg_psql($node, $db, <<'EOM');
SET migration_guard.mode = 'off';
ALTER TABLE big DROP COLUMN IF EXISTS x;
DROP INDEX IF EXISTS big_a_idx, team_big_a_idx, medium_a_idx;
EOM
	return;
}

# Run a script as owner, or as opt{user}, and expect these SQLSTATEs; a list
# has those of database lazy and of eager, a pattern matches either.
sub attempt
{
	my ($name, $sql, $states, %opt) = @_;
	my @expected = ref $states eq 'ARRAY' ? @$states : ($states, $states);

	foreach my $db (qw(lazy eager))
	{
		my $expected = shift @expected;
		my $res = mg_psql($node, $db, $sql, user => 'owner', %opt);
		my $ok =
		    ref $expected
		  ? like(join(' ', mg_errors($res)), $expected, "$db: $name")
		  : mg_refused($res, $expected, "$db: $name");

		mend($db) unless $ok;
	}
	return;
}

# After an attempt: no index has come into being, and the next session is
# guarded as the first one was.
sub still_guarded
{
	my ($name) = @_;

	foreach my $db (qw(lazy eager))
	{
		is( mg_value($node, $db,
				q{SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid::regclass::text IN ('big', 'medium', 'parted', 'team_big', 'ref')}),
			'big_pkey medium_pkey ref_pkey',
			"$db: $name: no index came into being")
		  or mend($db);
	}
	attempt("$name: a new session is guarded", "$ddl;\n", 'MG121');
	return;
}

# The server's last word.
sub scene_end
{
	still_guarded('at the end');
	$node->stop;
	mg_quiet('the server', $node);
	return;
}

1;
