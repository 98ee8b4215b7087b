# The tree agrees with itself: versions, file lists, house rules that a
# compiler does not check.
use strict;
use warnings;

use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

# Versions: the control file says 1.0, releases are called 1.0.0, 1.0.1, ...
my $meta = decode_json(slurp_file('META.json'));
my ($default_version) =
  slurp_file('migration_guard.control') =~ /^default_version\s*=\s*'([^']+)'/m;
my ($changed) = slurp_file('CHANGELOG.md') =~ /^## \[([^\]]+)\]/m;
my $provided = $meta->{provides}{migration_guard};

like($meta->{version}, qr/^\Q$default_version\E\.\d+$/,
	'META.json has a release of default_version');
is($provided->{version}, $meta->{version}, 'META.json provides its version');
is($provided->{file}, "migration_guard--$default_version.sql",
	'META.json provides the script of default_version');
is($changed, $meta->{version}, 'CHANGELOG.md begins with that version');
ok(-s $_, "$_ exists") foreach $provided->{file}, $provided->{docfile}, 'LICENSE';

# Each test has what it is compared with, and nothing is compared in vain.
# NAME_1.out is what newer majors say instead.
sub mg_stems
{
	my ($pattern) = @_;
	my %stems = map { basename($_) =~ s/(_\d)?\.\w+$//r => 1 } glob $pattern;
	return join ' ', sort keys %stems;
}
is(mg_stems('expected/*.out'), mg_stems('sql/*.sql'), 'expected/ matches sql/');
is( mg_stems('test/isolation/expected/*.out'),
	mg_stems('test/isolation/specs/*.spec'),
	'expected results match isolation specs');

# Rules of the house.
my @sources = glob 'src/*.[ch]';
my (@versioned, @nameless, @unfinished, @long);

foreach my $file (@sources, glob('*.sql'))
{
	my $text = slurp_file($file);
	my $name = basename($file);

	push @versioned, $file
	  if $text =~ /\bPG_VERSION_NUM\b/ && $name ne 'mg_compat.h';
	push @nameless, $file
	  unless $text =~ m{\A(/\*\n \* |-- |/\* )(\S*/)?\Q$name\E\b};
	push @unfinished, $file if $text =~ /\b(TODO|FIXME|XXX|HACK)\b/;
	push @long, $file if ($text =~ tr/\n//) > 700;
}
is("@versioned", '', 'only mg_compat.h knows server versions');
is("@nameless", '', 'each file begins with a comment that names it');
is("@unfinished", '', 'nothing is left unfinished');
is("@long", '', 'no file has grown too long');

done_testing();
