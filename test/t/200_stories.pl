# The five stories by psql: see test/stories.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../stories";
use Story;
use Test::More;

my $node = server();

foreach my $number (1 .. 5)
{
	my $file = "$FindBin::RealBin/../stories/story$number.pl";

	unless (do $file)
	{
		fail("story $number: runs to its end");
		diag($@ || $!);
	}
}

$node->stop;
done_testing();
