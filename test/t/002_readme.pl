# The README tells what the extension does: rules and settings as in the server.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file('README.md');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'migration_guard'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION migration_guard');

# The table of rules has the rows of the view, and no others.
my @rules = split /\n/, $node->safe_psql('postgres', q{
	SELECT format('| `%s` | %s | %s | %s | %s | %s |',
				  name, sqlstate, category, default_action, summary, advice)
	FROM migration_guard.rules});
my @rows = $readme =~ /^(\| `\w+` \| MG\w{3} \|.*)$/mg;
is(scalar @rows, scalar @rules, 'README has as many rules as the view');
is($rows[$_], $rules[$_], "README on rule " . ($_ + 1)) foreach 0 .. $#rules;

# So has the table of settings, with their defaults.
my %settings = map { split /\|/, $_, 2 } split /\n/, $node->safe_psql('postgres', q{
	SELECT name, CASE WHEN name LIKE '%size' THEN boot_val::int / 1024 || 'GB'
				 WHEN unit = 'ms' THEN current_setting(name)
				 ELSE boot_val END
	FROM pg_settings WHERE name LIKE 'migration\_guard.%'});
my %told = $readme =~ /^\| `(migration_guard\.\w+)` \| `?(\w*)`? ?\|/mg;
is(join(' ', sort keys %told), join(' ', sort keys %settings), 'README has all settings');
is($told{$_}, $settings{$_}, "README on the default of $_") foreach sort keys %settings;

$node->stop;
done_testing();
