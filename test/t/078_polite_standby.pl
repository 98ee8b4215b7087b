# 078_polite_standby.pl
#
# A standby hears of every AccessExclusiveLock that is granted on the primary,
# and keeps it until the transaction ends.  Behind a reader of one table, a
# statement that locks two gets the other one now and then, and gives it back:
# the standby has to give it back, too.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('primary', preload => 'migration_guard', allows_streaming => 1);

mg_value($node, 'postgres', <<'EOM');
CREATE TABLE a (a int);
CREATE TABLE b (a int);
CREATE TABLE c (a int);
EOM
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;

my $reader = mg_session($node, 'postgres', app => 'reader');
my $ddl = mg_session($node, 'postgres', app => 'ddl');

mg_tell($reader, 'BEGIN; SELECT * FROM b;');
mg_send($ddl, "SET migration_guard.lock_timeout = '1min'; DROP TABLE a, b, c;");
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'ddl' AND wait_event_type = 'Extension'}),
	'a statement tries for three locks');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
mg_passes(mg_psql($standby, 'postgres', "SET statement_timeout = '3s'; SELECT * FROM a; SELECT * FROM b; SELECT * FROM c"),
	'all tables can be read on the standby meanwhile');
mg_tell($reader, 'COMMIT;');
mg_passes(mg_receive($ddl), 'the locks are had when the reader has gone');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is( mg_value($standby, 'postgres', q{SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'}),
	'0', 'no lock is left on the standby');

# the same in a transaction that goes on
mg_value($node, 'postgres', 'CREATE TABLE a (a int); CREATE TABLE b (a int);');
mg_tell($reader, 'BEGIN; SELECT * FROM b;');
mg_tell($ddl, "BEGIN; SET LOCAL migration_guard.lock_timeout = '200ms'; SAVEPOINT s;");
mg_refused(mg_tell($ddl, 'TRUNCATE a, b;'), '55P03', 'gives up');
mg_tell($ddl, 'ROLLBACK TO s;');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is( mg_value($standby, 'postgres', q{SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'}),
	'0', 'no lock is left on the standby');
mg_tell($ddl, 'COMMIT;');
mg_tell($reader, 'COMMIT;');

mg_close($_) foreach $reader, $ddl;
$standby->stop;
$node->stop;
done_testing();
