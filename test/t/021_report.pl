# 021_report.pl
#
# Who hears what: the client, the server's log, both or neither.  And that
# advice does not depend on the statement's text being at hand: the first DDL of
# a session that does not preload the library is judged by the event trigger,
# which has the parse tree alone.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use MgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('report', preload => 'migration_guard');
my $position = 0;

# What the server has logged since the last call.
sub logged
{
	my $log = slurp_file($node->logfile);
	my $new = substr($log, $position);

	$position = length($log);
	return $new;
}

# Run in a transaction that is rolled back; returns what the client got and the log.
sub run
{
	my ($sql) = @_;

	logged();
	my $res = mg_psql($node, 'postgres', "BEGIN; $sql; ROLLBACK;");
	return ($res, logged());
}

mg_fixture($node, 'postgres');
my ($res, $log);

# refused: the client gets the error, the log has it like any other error
($res, $log) = run('CREATE INDEX big_b ON big (b)');
mg_refused($res, 'MG121', 'refusal reaches the client');
like($log, qr/MG121 ERROR:  CREATE INDEX on "big" would block writes/, 'and the log');

# log: the log only, with detail and advice
($res, $log) = run(q{SET LOCAL migration_guard.mode = 'log'; CREATE INDEX big_b ON big (b)});
is($res->{err}, '', 'mode log: nothing for the client');
like($log, qr/MG121 LOG:  CREATE INDEX on "big" would block writes/, 'mode log: message');
like($log, qr/DETAIL:  The index build/, 'mode log: detail');
like($log, qr/HINT:  .*\n\s*CREATE INDEX CONCURRENTLY big_b/, 'mode log: advice');
unlike($log, qr/To run it anyway/, 'mode log: no way around what is not refused');

# even a client that asks for everything does not get it
($res, $log) = run(
	q{SET LOCAL client_min_messages = 'log'; SET LOCAL migration_guard.mode = 'log';
CREATE INDEX big_b ON big (b)});
unlike($res->{err}, qr/would block/, 'mode log: nothing for a curious client');

# warn: both
($res, $log) = run(q{SET LOCAL migration_guard.mode = 'warn'; CREATE INDEX big_b ON big (b)});
is(join(' ', mg_warnings($res)), 'MG121', 'mode warn: the client is warned');
like($log, qr/MG121 WARNING:  CREATE INDEX on "big" would block writes/, 'mode warn: the log');

# override: the log only, with the reason
($res, $log) = run(
	q{SET LOCAL migration_guard.override = 'OPS-1234 window'; CREATE INDEX big_b ON big (b)});
is($res->{err}, '', 'override: nothing for the client');
like(
	$log,
	qr/MG121 LOG:  migration_guard override "OPS-1234 window": CREATE INDEX on "big" would block/,
	'override: the reason is logged');

# one finding overridden, another one a warning
($res, $log) = run(
	q{SET LOCAL migration_guard.override = 'OPS-1'; SET LOCAL migration_guard.rules = 'add_check=warn';
ALTER TABLE big ADD CHECK (a > 0), ALTER b SET NOT NULL});
is(join(' ', mg_warnings($res)), 'MG104', 'override: what is a warning remains one');
unlike($res->{err}, qr/SET NOT NULL on/, 'override: the client does not hear of the rest');
like($log, qr/MG111 LOG:  migration_guard override "OPS-1": SET NOT NULL on "big"/,
	'override: the log does');

# off: neither
($res, $log) = run(q{SET LOCAL migration_guard.mode = 'off'; CREATE INDEX big_b ON big (b)});
is($res->{err}, '', 'mode off: nothing for the client');
unlike($log, qr/MG121/, 'mode off: nothing in the log');

# all findings of a statement come in one message
($res, $log) = run('ALTER TABLE big ADD CHECK (a > 0), ALTER b SET NOT NULL, ADD UNIQUE (ts)');
mg_refused($res, 'MG107', 'several findings: one error');
foreach my $what ('ADD CHECK to', 'SET NOT NULL on', 'ADD UNIQUE to')
{
	my $count = () = $res->{err} =~ /$what "big" would block/g;
	is($count, 1, "several findings: $what is in it, once");
}
$node->stop;

# the same advice by way of the event trigger, from a block whose text is not
# the statement's
$node = mg_node('tree_only');
mg_value($node, 'postgres', 'CREATE EXTENSION migration_guard');
mg_fixture($node, 'postgres');
my %advice = (
	q{CREATE INDEX x ON big USING btree (lower(b) COLLATE "C" text_pattern_ops DESC, (a + 1) NULLS FIRST)
  INCLUDE (id) WITH (fillfactor = 70) TABLESPACE pg_default WHERE b <> ';'} =>
	  q{CREATE INDEX CONCURRENTLY x ON public.big ((lower(b)) COLLATE "C" text_pattern_ops DESC, }
	  . q{((a + 1)) NULLS FIRST) INCLUDE (id) WITH (fillfactor='70') TABLESPACE pg_default }
	  . q{WHERE (b <> ';'::text);},
	q{ALTER TABLE big ADD CONSTRAINT c CHECK (a > 0 AND b <> 'x')} =>
	  q{ALTER TABLE public.big ADD CONSTRAINT c CHECK (((a > 0) AND (b <> 'x'::text))) NOT VALID;},
	q{ALTER TABLE big ADD COLUMN x text DEFAULT md5(random()::text)} =>
	  q{ALTER TABLE public.big ALTER COLUMN x SET DEFAULT md5((random())::text);});
foreach my $sql (sort keys %advice)
{
	$res = mg_psql($node, 'postgres', "DO \$do\$ BEGIN EXECUTE \$sql\$$sql\$sql\$; END \$do\$;");
	like($res->{err}, qr/^\Q$advice{$sql}\E$/m, "advice without text: $sql");
	$sql =~ s/public\.//;
	mg_passes(
		mg_psql($node, 'postgres', "SET migration_guard.mode = 'off'; $advice{$sql}")
		, 'it runs') if $sql !~ /COLUMN/;
}
$node->stop;
done_testing();
