# The oracle (test/oracle): what explain() predicts against what the server does,
# on a server of its own.  Each case of oracle.py is a test here; cases for other
# versions of the server are none of it.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $oracle = abs_path(dirname(__FILE__) . '/../oracle/oracle.py');

my $node = PostgreSQL::Test::Cluster->new('oracle');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'migration_guard'
autovacuum = off
fsync = off
max_connections = 120
wal_level = replica
});
$node->append_conf('postgresql.conf', 'allow_in_place_tablespaces = on')
  if $node->pg_version >= 15;
$node->start;

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
local $ENV{PYTHONDONTWRITEBYTECODE} = 1;

# Reads TAP line by line: a case is a test here, what follows it in comments its diagnosis.
my ($cases, $planned, $failing) = (0, undef, 0);
my ($tried, $agreed) = (0, 0);
open(my $tap, '-|', '/usr/bin/python3', $oracle) or die "cannot run $oracle: $!";
while (my $line = <$tap>)
{
	chomp $line;
	if ($line =~ /^ok \d+ - .*? # SKIP needs (?:a later major version|an earlier major version|another wal_level)$/)
	{
		$cases++;
		$failing = 0;
	}
	elsif ($line =~ /^ok \d+ - .*? # SKIP (.*)/)
	{
		$cases++;
	  SKIP: { skip $1, 1; }
	}
	elsif ($line =~ /^(not )?ok \d+ - (.*)/)
	{
		my $name = $2 =~ s/\\#/#/gr;

		$failing = $line =~ /^not/;
		$cases++;
		if ($name =~ /^[\w.-]+:\d+ /)
		{
			$tried++;
			$agreed += !$failing;
		}
		ok(!$failing, $name);
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

is($planned, $cases, 'all cases were run');
cmp_ok($tried, '>=', 600, 'the oracle tries enough statements');
note("oracle: $tried statements, $agreed agree");

$node->stop;
done_testing();
