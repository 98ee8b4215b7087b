# 041_extension_scripts.pl
#
# Statements of extension scripts are judged like others, also when a trusted
# extension runs them as the bootstrap superuser for somebody who is none.  The
# extensions of this test live in a private copy of the installation.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Basename;
use File::Path;
use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A copy of the installation: programs find their files relative to where they
# are, so that programs are copied and all else is links.
my $root = PostgreSQL::Test::Utils::tempdir;
my %dir;

foreach my $what (qw(bindir sharedir pkglibdir libdir))
{
	chomp($dir{$what} = `pg_config --$what`);
	next if -e "$root$dir{$what}";
	mkpath(dirname("$root$dir{$what}"));
	my @copy =
	    $what eq 'bindir' ? ('cp', '-aL')
	  : $what eq 'libdir' ? ('ln', '-s')
	  : ('cp', '-as');

	system_or_bail(@copy, $dir{$what}, "$root$dir{$what}");
}

sub extension
{
	my ($name, $control, %scripts) = @_;
	my $extdir = "$root$dir{sharedir}/extension";

	append_to_file("$extdir/$name.control", "comment = 'test'\nrelocatable = false\n$control\n");
	append_to_file("$extdir/$name--$_.sql", $scripts{$_}) foreach keys %scripts;
	return;
}

extension(
	'mg_trusted', "default_version = '1.0'\ntrusted = true",
	'1.0' => "CREATE TABLE \@extschema\@.made (a int);\nCREATE INDEX big_ext ON public.big (a);\n",
	'0.9' => "CREATE TABLE \@extschema\@.made (a int PRIMARY KEY, b serial);\n",
	'0.9--1.0' => "ALTER TABLE public.big ALTER a TYPE bigint;\n");
extension(
	'mg_plain', "default_version = '1.0'\nsuperuser = false",
	'1.0' => "SET LOCAL migration_guard.mode = 'off';\nALTER TABLE public.big ADD UNIQUE (a);\n",
	'0.9' => "SELECT set_config('migration_guard.override', 'script', false);\nDO \$\$ BEGIN ALTER TABLE public.big ADD CHECK (a > 0); END \$\$;\n");
extension(
	'mg_harmless', "default_version = '1.0'\ntrusted = true",
	'1.0' => "CREATE TABLE harmless (id serial PRIMARY KEY, a int UNIQUE);\n"
	  . "INSERT INTO harmless (a) SELECT generate_series(1, 2000);\nCREATE INDEX ON harmless (a);\n"
	  . "ALTER TABLE harmless ALTER a TYPE bigint, ADD CHECK (a > 0);\n"
	  . "CREATE TABLE also_harmless (ref int REFERENCES public.big);\nALTER TABLE public.small ADD x int;\n");

my $node = mg_node('scripts', new => { install_path => dirname("$root$dir{bindir}") });

mg_value($node, 'postgres', <<'EOM');
CREATE ROLE owner LOGIN;
CREATE DATABASE lazy OWNER owner TEMPLATE template0;
CREATE DATABASE eager OWNER owner TEMPLATE template0;
EOM
foreach my $db (qw(lazy eager))
{
	mg_value($node, $db, 'GRANT ALL ON SCHEMA public TO owner');
	mg_fixture($node, $db, 'owner');
	mg_value($node, $db, 'CREATE EXTENSION migration_guard');
}
mg_value($node, 'postgres', q{ALTER DATABASE eager SET session_preload_libraries = 'migration_guard'});

foreach my $db (qw(lazy eager))
{
	my @as = (user => 'owner');

	mg_refused(mg_psql($node, $db, "CREATE EXTENSION mg_trusted;\n", @as),
		'MG121', "$db: CREATE EXTENSION, trusted");
	mg_refused(mg_psql($node, $db, "CREATE EXTENSION mg_trusted;\n"),
		'MG121', "$db: CREATE EXTENSION by a superuser");
	mg_refused(
		mg_psql($node, $db, "CREATE EXTENSION mg_trusted VERSION '0.9';\nALTER EXTENSION mg_trusted UPDATE;\n", @as),
		'MG112', "$db: ALTER EXTENSION UPDATE, trusted");
	mg_refused(mg_psql($node, $db, "ALTER EXTENSION mg_trusted UPDATE;\n", @as),
		'MG112', "$db: ALTER EXTENSION UPDATE as first statement");
	is(mg_value($node, $db, q{SELECT extversion FROM pg_extension WHERE extname = 'mg_trusted'}),
		'0.9', "$db: the update is undone");
	mg_refused(mg_psql($node, $db, "CREATE EXTENSION mg_plain;\n", @as),
		'42501', "$db: a script that switches the guard off");
	mg_refused(mg_psql($node, $db, "CREATE EXTENSION mg_plain VERSION '0.9';\n", @as),
		'42501', "$db: a script that overrides");
	mg_refused(mg_psql($node, $db, "CREATE EXTENSION mg_harmless;\n", @as), '', "$db: a harmless script");
	is( scalar(
			mg_warnings(
				mg_psql($node, $db,
					"SET migration_guard.mode = 'warn';\nBEGIN;\nDROP EXTENSION mg_trusted;\nCREATE EXTENSION mg_trusted;\nROLLBACK;\n"))
		),
		1,
		"$db: in a script, too, a statement is judged once");
	is(mg_value($node, $db, q{SELECT count(*) FROM pg_index WHERE indrelid = 'big'::regclass}),
		'1', "$db: the table is as it was");
}

$node->stop;
done_testing();
