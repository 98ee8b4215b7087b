# 300_pgtap.pl
#
# Runs the pgTAP tests in test/pgtap, which are also what a project that uses
# migration_guard may start from.  Without pgTAP they are skipped, unless
# MG_REQUIRE_ALL says that nothing may be.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TAP::Parser;
use Test::More;

chomp(my $sharedir = `pg_config --sharedir`);
if (!-e "$sharedir/extension/pgtap.control")
{
	BAIL_OUT('pgTAP is not installed') if $ENV{MG_REQUIRE_ALL};
	plan skip_all => 'pgTAP is not installed';
}

my @files =
  grep { !m{/(setup|teardown)\.sql$} } sort glob("$FindBin::RealBin/../pgtap/*.sql");

ok(@files >= 3, 'there are pgTAP tests');

# as a team would have it: once by CREATE EXTENSION alone, once preloaded
foreach my $preload ('', 'migration_guard')
{
	my $how = $preload ? 'preloaded' : 'extension alone';
	my $node = PostgreSQL::Test::Cluster->new($preload ? 'preloaded' : 'plain');

	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nshared_preload_libraries = '$preload'");
	$node->start;

	foreach my $file (@files)
	{
		my ($name) = $file =~ m{([^/]+)\.sql$};
		my ($out, $err);

		IPC::Run::run(
			[ 'psql', '-XAtq', '-P', 'pager=off', '-v', 'ON_ERROR_ROLLBACK=1', '-v', 'ON_ERROR_STOP=1',
				'-d', $node->connstr('postgres'), '-f', $file ],
			'<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(300));

		my $parser = TAP::Parser->new({ tap => $out });

		while (my $test = $parser->next)
		{
			if ($test->is_test)
			{
				ok($test->is_ok, "$how: $name: " . ($test->description =~ s/^- //r));
			}
			elsif ($test->is_comment)
			{
				diag($test->as_string);
			}
		}
		ok(!$parser->parse_errors && defined $parser->plan && $parser->tests_planned == $parser->tests_run,
			"$how: $name: all planned tests have run")
		  or diag(join("\n", $parser->parse_errors, $err));
	}
	$node->stop;
}

done_testing();
