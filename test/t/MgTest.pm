# MgTest.pm
#
# What the TAP tests of migration_guard share: a server with low thresholds, a
# fixture of tables on both sides of them, and a psql whose messages come back
# with severity and SQLSTATE, so that no test depends on the wording.
package MgTest;

use strict;
use warnings;

use Exporter 'import';
use File::Spec;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  $mg_unused mg_node mg_conf mg_fixture mg_app mg_contents mg_quiet mg_psql mg_value
  mg_refused mg_passes mg_errors mg_warnings mg_session mg_tell mg_send
  mg_receive mg_close);

# Every session of a test ends within this time, or the test fails.
my $limit = 120;

# What psql reads: from a file, for a pipe breaks if the server refuses the
# session before psql has read it.
my $script = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir() . '/script.sql');

# One row short of nothing is enough to be judged, a thousand to be refused.
my $thresholds = <<'EOM';
autovacuum = off
fsync = off
max_connections = 40
max_prepared_transactions = 5
log_line_prefix = '%m [%p] %a %e '
migration_guard.warn_rows = 100
migration_guard.block_rows = 1000
migration_guard.warn_size = -1
migration_guard.block_size = -1
EOM

# For tests of something else: what goes, changes its name or gets a foreign key
# is not asked whether anybody uses it, which is a matter of when statistics
# arrive.  See 075_evidence.pl.
our $mg_unused = <<'EOM';
migration_guard.rules = 'drop_table=off, truncate=off, drop_column=off, rename=off, drop_index=off, drop_fk_index=off, fk_without_index=off'
EOM

# A running server.  Options: those of mg_conf; new => options of
# PostgreSQL::Test::Cluster->new; allows_streaming => 1: it can have standbys.
sub mg_node
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, %{ $opt{new} || {} });

	$node->init(allows_streaming => $opt{allows_streaming});
	mg_conf($node, %opt);
	$node->start;
	return $node;
}

# The settings of such a server.  Options: preload => value of
# shared_preload_libraries, conf => further lines.
sub mg_conf
{
	my ($node, %opt) = @_;

	$node->append_conf('postgresql.conf', $thresholds);
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '$opt{preload}'")
	  if $opt{preload};
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};
	return;
}

# Nothing in the log of the servers, under one name, tells of a crash or of
# what only a mistake in C does.
sub mg_quiet
{
	my ($name, @nodes) = @_;

	unlike(
		join('', map { slurp_file($_->logfile) } @nodes),
		qr/TRAP:|cache lookup failed|leak(ed)?:|could not open relation|PANIC|terminated by signal/,
		"$name had nothing to complain about");
	return;
}

# The tables most tests work on.  big, its child tables and the partitions of
# parted are over block_rows, medium is over warn_rows, small is under both.
sub mg_fixture
{
	my ($node, $db, $owner) = @_;
	my $as = $owner ? "SET SESSION AUTHORIZATION $owner;" : '';

	my $res = mg_psql($node, $db, <<EOM);
SET migration_guard.mode = 'off';
$as
CREATE TABLE public.big (id int PRIMARY KEY, a int, b text, ts timestamp);
CREATE TABLE public.medium (id int PRIMARY KEY, a int);
CREATE TABLE public.small (id int PRIMARY KEY, a int);
CREATE TABLE public.ref (id int PRIMARY KEY, big_id int REFERENCES public.big);
CREATE TABLE public.parted (id int NOT NULL, v varchar(20)) PARTITION BY RANGE (id);
CREATE TABLE public.parted_1 PARTITION OF public.parted FOR VALUES FROM (1) TO (2001);
CREATE TABLE public.parted_2 PARTITION OF public.parted FOR VALUES FROM (2001) TO (4001);
CREATE TABLE public.parted_rest PARTITION OF public.parted DEFAULT;
INSERT INTO public.big SELECT i, i, 'row ' || i, 'epoch' FROM generate_series(1, 2000) i;
INSERT INTO public.medium SELECT i, i FROM generate_series(1, 300) i;
INSERT INTO public.small SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO public.ref SELECT i, i FROM generate_series(1, 2000) i;
INSERT INTO public.parted SELECT i, 'v' || i FROM generate_series(1, 6000) i;
ANALYZE public.big, public.medium, public.small, public.ref, public.parted;
EOM
	die "fixture failed:\n$res->{err}" if mg_errors($res);
	return;
}

# What an application has that comes back from a dump, or moves to another
# server: a database with the guard, settings and rights of its own, and more
# kinds of objects than the fixture.
sub mg_app
{
	my ($node) = @_;

	mg_value($node, 'postgres', <<'EOM');
CREATE ROLE owner LOGIN;
CREATE ROLE deployer LOGIN;
CREATE ROLE keeper LOGIN;
CREATE DATABASE app TEMPLATE template0 OWNER owner;
GRANT SET ON PARAMETER migration_guard.override TO deployer;
ALTER ROLE deployer SET migration_guard.rules = 'create_index=warn, cluster=off';
ALTER DATABASE app SET migration_guard.warn_rows = 150;
ALTER ROLE deployer IN DATABASE app SET migration_guard.mode = 'warn';
EOM
	mg_value($node, 'app', <<'EOM');
CREATE EXTENSION migration_guard;
GRANT EXECUTE ON FUNCTION migration_guard.stats_reset() TO keeper;
GRANT ALL ON SCHEMA public TO owner;
EOM
	mg_fixture($node, 'app', 'owner');
	mg_value($node, 'app', <<'EOM');
SET migration_guard.mode = 'off';
SET SESSION AUTHORIZATION owner;
ALTER TABLE big ADD UNIQUE (a), ADD CHECK (a > 0), ADD CONSTRAINT later CHECK (a < 99999) NOT VALID;
CREATE INDEX big_b ON big (lower(b)) WHERE a > 10;
CREATE INDEX parted_v ON parted (v);
CREATE UNIQUE INDEX parted_id ON parted (id);
CREATE MATERIALIZED VIEW many AS SELECT * FROM big;
CREATE UNIQUE INDEX many_id ON many (id);
EOM
	return;
}

# The rows, indexes and constraints of it, as far as they could be lost.  NOT
# NULL constraints are left out if a major has them that another has not.
sub mg_contents
{
	my ($node, $db, $across) = @_;
	my $which = $across ? "AND contype <> 'n'" : '';

	return mg_value($node, $db, <<EOM);
SELECT format('%s %s', count(*), sum(a)) FROM big;
SELECT format('%s %s', count(*), sum(id)) FROM parted;
SELECT count(*) FROM many;
SELECT indexrelid::regclass, indisvalid FROM pg_index
	WHERE indrelid >= 16384 AND indrelid::regclass::text !~ '^pg_toast' ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT conrelid::regclass, conname, contype, convalidated FROM pg_constraint
	WHERE conrelid >= 16384 $which ORDER BY conrelid::regclass::text COLLATE "C", conname;
EOM
}

# Run SQL in a fresh session.  Options: user, app (application_name),
# options (PGOPTIONS), string => 1 (one query string of the simple protocol
# instead of statement by statement).  Errors do not stop the script.
sub mg_psql
{
	my ($node, $db, $sql, %opt) = @_;
	my ($out, $err) = ('', '');
	my @cmd = (
		$node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose',
		'-v', 'SHOW_CONTEXT=never', '-d', mg_connstr($node, $db, %opt));
	local %ENV = $node->_get_env(
		PGOPTIONS => $opt{options},
		PGAPPNAME => $opt{app} || 'mg_test');

	push @cmd, '-c', $sql if $opt{string};
	unlink $script;
	append_to_file($script, $opt{string} ? '' : $sql);
	my $h = IPC::Run::start(
		\@cmd,
		'<', $script,
		'>', \$out,
		'2>', \$err,
		IPC::Run::timeout($limit));
	my $ok = eval { IPC::Run::finish($h); 1; };
	if (!$ok)
	{
		IPC::Run::kill_kill($h);
		$err .= "\nERROR:  57014: no answer within $limit s\n";
	}
	chomp $out;
	return { out => $out, err => $err, messages => mg_messages($err) };
}

sub mg_connstr
{
	my ($node, $db, %opt) = @_;

	$db =~ s/([\\'])/\\$1/g;
	return
	    "host='"
	  . $node->host
	  . "' port="
	  . $node->port
	  . " dbname='$db'"
	  . ($opt{user} ? " user='$opt{user}'" : '')
	  . ($opt{replication} ? ' replication=database' : '');
}

# psql's stderr, in verbose form, as a list of messages.
sub mg_messages
{
	my ($err) = @_;
	my @messages;

	foreach my $line (split /\n/, $err)
	{
		if ($line =~
			/^(?:psql:[^:]*:\d+: )?(ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|LOG|DEBUG):  (?:([0-9A-Z]{5}): )?(.*)$/
		  )
		{
			push @messages, { severity => $1, state => $2 // '', text => $3 };
		}
		elsif ($line =~ /^psql: error: .*?(FATAL|ERROR):  (.*)$/)
		{
			push @messages, { severity => $1, state => '', text => $2 };
		}
		elsif (@messages)
		{
			$messages[-1]{text} .= "\n$line";
		}
	}
	return \@messages;
}

# SQLSTATEs of the errors of a result, in order.
sub mg_errors
{
	my ($res) = @_;

	return map { $_->{state} || 'error' }
	  grep { $_->{severity} =~ /^(ERROR|FATAL|PANIC)$/ } @{ $res->{messages} };
}

# SQLSTATEs of the guard's warnings in a result, in order.
sub mg_warnings
{
	my ($res) = @_;

	return map { $_->{state} }
	  grep { $_->{severity} eq 'WARNING' && $_->{state} =~ /^MG/ }
	  @{ $res->{messages} };
}

# The output of a script that has to succeed.
sub mg_value
{
	my ($node, $db, $sql, %opt) = @_;
	my $res = mg_psql($node, $db, $sql, %opt);

	die "query failed: $sql\n$res->{err}" if mg_errors($res);
	return $res->{out};
}

# The script raised exactly these errors (SQLSTATEs, in order).
sub mg_refused
{
	my ($res, $states, $name) = @_;
	my $ok = is(join(' ', mg_errors($res)), $states, $name);

	diag("output: $res->{out}\nmessages: $res->{err}") unless $ok;
	return $ok;
}

# The script raised no error.
sub mg_passes
{
	my ($res, $name) = @_;

	return mg_refused($res, '', $name);
}

# A session that stays open: start, then mg_tell() it statements.
sub mg_session
{
	my ($node, $db, %opt) = @_;
	my $s = { in => '', out => '', err => '', n => 0 };
	my @cmd = (
		$node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose',
		'-v', 'SHOW_CONTEXT=never', '-f', '-', '-d',
		mg_connstr($node, $db, %opt));
	local %ENV = $node->_get_env(
		PGOPTIONS => $opt{options},
		PGAPPNAME => $opt{app} || 'mg_test');

	$s->{timer} = IPC::Run::timeout($limit);
	$s->{h} = IPC::Run::start(\@cmd, '<', \$s->{in}, '>', \$s->{out}, '2>',
		\$s->{err}, $s->{timer});
	return $s;
}

# Send SQL to an open session and wait until it is done; a result as mg_psql's.
sub mg_tell
{
	my ($s, $sql) = @_;

	mg_send($s, $sql);
	return mg_receive($s);
}

# The same in two steps, for statements that wait for somebody else.
sub mg_send
{
	my ($s, $sql) = @_;
	my $mark = 'mg-done-' . ++$s->{n};

	$s->{out} = '';
	$s->{err} = '';
	$s->{timer}->start($limit);
	$s->{in} .= "$sql\n\\echo $mark\n\\warn $mark\n";
	IPC::Run::pump_nb($s->{h});
	return;
}

sub mg_receive
{
	my ($s) = @_;
	my $mark = 'mg-done-' . $s->{n};

	IPC::Run::pump($s->{h})
	  until $s->{out} =~ /^$mark$/m && $s->{err} =~ /^(?:psql:.*: )?$mark$/m;
	$s->{out} =~ s/^$mark\n?//m;
	chomp $s->{out};
	$s->{err} =~ s/^(?:psql:.*: )?$mark\n?//m;
	return {
		out => $s->{out},
		err => $s->{err},
		messages => mg_messages($s->{err})
	};
}

sub mg_close
{
	my ($s) = @_;

	$s->{in} .= "\\q\n";
	IPC::Run::finish($s->{h});
	return;
}

1;
