# 061_upgrade.pl
#
# pg_upgrade of a cluster with large tables and the guard in it, preloaded on
# both sides.  From the version under test to itself, and, if MG_OLD_PG_CONFIG
# names the pg_config of another installation with the extension, from that
# one to the version under test.
use strict;
use warnings;

use Cwd qw(getcwd);
use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The directory above bin/ of an installation, as PostgreSQL::Test::Cluster wants it.
sub installation
{
	my ($pg_config) = @_;

	chomp(my $bindir = `$pg_config --bindir`);
	die "$pg_config does not tell its bindir" unless $bindir =~ s{/bin$}{};
	return $bindir;
}

# What an upgrade could lose.
sub contents
{
	my ($node) = @_;

	return mg_contents($node, 'app', 1) . mg_value($node, 'app', <<'EOM');
SELECT extversion FROM pg_extension WHERE extname = 'migration_guard';
SELECT evtname, evtenabled, evtevent FROM pg_event_trigger ORDER BY 1;
SELECT datname, rolname, setconfig FROM pg_db_role_setting
	LEFT JOIN pg_database d ON d.oid = setdatabase LEFT JOIN pg_roles r ON r.oid = setrole ORDER BY 1, 2 NULLS FIRST;
SELECT parname, paracl FROM pg_parameter_acl ORDER BY 1;
SELECT has_function_privilege('keeper', 'migration_guard.stats_reset()', 'EXECUTE'),
	has_function_privilege('keeper', 'migration_guard.stats()', 'EXECUTE'),
	has_function_privilege('keeper', 'migration_guard.check(text)', 'EXECUTE');
SELECT pg_describe_object(classid, objid, 0) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND classid <> 'pg_type'::regclass -- row types are members in later versions
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'migration_guard') ORDER BY 1;
EOM
}

sub upgrade
{
	my ($name, $old_path) = @_;
	my $new_path = installation($ENV{PG_CONFIG} || 'pg_config');
	my $old = mg_node("old_$name", preload => 'migration_guard', new => { install_path => $old_path || $new_path });

	mg_app($old);

	my $expected = contents($old);
	my $checksums = mg_value($old, 'postgres', 'SHOW data_checksums');

	$old->stop;

	my $new = PostgreSQL::Test::Cluster->new("new_$name", install_path => $new_path);
	my ($major) = $new->pg_version =~ /^(\d+)/;

	$new->init(extra => $checksums eq 'on' ? ['--data-checksums'] : $major >= 18 ? ['--no-data-checksums'] : []);
	mg_conf($new, preload => 'migration_guard');

	# pg_upgrade writes to where it is started
	my $here = getcwd();

	chdir $new->basedir or die "cannot change to the server's directory: $!";
	$new->command_ok(
		[
			'pg_upgrade', '--no-sync', '-j', 2,
			'-d', $old->data_dir, '-D', $new->data_dir,
			'-b', ($old_path || $new_path) . '/bin', '-B', "$new_path/bin",
			'-s', $new->host, '-p', $old->port, '-P', $new->port
		],
		"$name: pg_upgrade");
	chdir $here or die "cannot change to $here: $!";
	$new->start;
	is(contents($new), $expected, "$name: everything is there");
	mg_refused(mg_psql($new, 'app', "CREATE INDEX ON big (b);\n"), 'MG121', "$name: the new cluster is guarded");
	is( scalar(mg_warnings(mg_psql($new, 'app', "BEGIN;\nSET LOCAL SESSION AUTHORIZATION owner;\nCREATE INDEX ON medium (a);\nROLLBACK;\n"))),
		1, "$name: ... with its settings");
	mg_passes(mg_psql($new, 'app', "DROP EXTENSION migration_guard;\nCREATE EXTENSION migration_guard;\n"),
		"$name: the extension can be made again");
	$new->stop;
	mg_quiet("$name: " . $_->name, $_) foreach $old, $new;
	return;
}

upgrade('same');
upgrade('other', installation($ENV{MG_OLD_PG_CONFIG})) if $ENV{MG_OLD_PG_CONFIG};

done_testing();
