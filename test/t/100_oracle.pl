# The oracle (test/oracle): what explain() predicts against what the server does,
# on servers of its own.  Each case of oracle.py is a test here; cases for other
# versions of the server are none of it.  A server has one wal_level: the cases
# that want the other one run on a second server.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $oracle = abs_path(dirname(__FILE__) . '/../oracle/oracle.py');
my $elsewhere = qr/needs (?:a later|an earlier) (?:major|minor) version|needs another wal_level/;
my ($tried, $agreed) = (0, 0);

# A server with the library preloaded; NAME WAL_LEVEL
sub server
{
	my ($name, $wal_level) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'migration_guard'
migration_guard.rules = 'invalid_index=warn'		# the only refusal that does not depend on sizes
autovacuum = off
fsync = off
max_connections = 120
wal_level = $wal_level
max_wal_senders = 0
});
	$node->append_conf('postgresql.conf', 'allow_in_place_tablespaces = on')
	  if $node->pg_version >= 15;
	$node->start;
	return $node;
}

# Runs the oracle, and reads its TAP line by line: a case is a test here, what
# follows it in comments its diagnosis.  Returns the cases that want another
# wal_level, as file and line.
sub run_oracle
{
	my ($node, @arguments) = @_;
	my ($cases, $planned, $failing) = (0, undef, 0);
	my @left;

	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
	open(my $tap, '-|', '/usr/bin/python3', $oracle, @arguments)
	  or die "cannot run $oracle: $!";
	while (my $line = <$tap>)
	{
		chomp $line;
		if ($line =~ /^(not )?ok \d+ - (.*)/)
		{
			my ($name, $skipped) = split / # SKIP /, $2;

			$cases++;
			$failing = $line =~ /^not/;
			push @left, $name =~ /^(\S+)/ if ($skipped // '') =~ /wal_level/;
			next if ($skipped // '') =~ /^$elsewhere$/;
			$name =~ s/\\#/#/g;
		  SKIP:
			{
				skip $skipped, 1 if defined $skipped;
				if ($name =~ /^[\w.-]+:\d+ /)
				{
					$tried++;
					$agreed += !$failing;
				}
				ok(!$failing, $name);
			}
		}
		elsif ($line =~ /^1\.\.(\d+)/)
		{
			$planned = $1;
		}
		elsif ($failing)
		{
			diag($line =~ s/^# ?//r);
		}
	}
	close($tap);
	is($planned, $cases, "all cases were run: @arguments");
	return @left;
}

my $node = server('oracle', 'replica');
my @left = run_oracle($node);
$node->stop;

if (@left)
{
	$node = server('minimal', 'minimal');
	is_deeply([ run_oracle($node, @left) ], [], 'no case is left over');
	$node->stop;
}

cmp_ok($tried, '>=', 600, 'the oracle tries enough statements');
note("oracle: $tried statements, $agreed agree");
done_testing();
