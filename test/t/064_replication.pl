# 064_replication.pl
#
# What a subscriber applies was decided elsewhere: DDL that runs in a worker of
# logical replication, by way of a trigger, is none of the guard's business,
# neither when a table is copied nor when changes are applied.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "max_wal_senders = 8\nmax_replication_slots = 8\nwal_level = logical\n";
my $source = mg_node('source', conf => $conf);
my $target = mg_node('target', conf => $conf, preload => 'migration_guard');

mg_value($source, 'postgres', 'CREATE DATABASE app TEMPLATE template0');
mg_value($target, 'postgres', 'CREATE DATABASE replica TEMPLATE template0');
foreach my $side ([ $source, 'app' ], [ $target, 'replica' ])
{
	mg_value(@$side, <<'EOM');
SET migration_guard.mode = 'off';
CREATE TABLE copied (id int PRIMARY KEY, a int);
CREATE TABLE command (id int PRIMARY KEY, sql text);
EOM
}
mg_value($target, 'replica', <<'EOM');
CREATE EXTENSION migration_guard;
SET migration_guard.mode = 'off';
CREATE TABLE large AS SELECT i AS id, i AS a FROM generate_series(1, 2000) i;
CREATE FUNCTION run() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN EXECUTE NEW.sql; RETURN NEW; END $$;
CREATE TRIGGER run AFTER INSERT ON command FOR EACH ROW EXECUTE FUNCTION run();
ALTER TABLE command ENABLE ALWAYS TRIGGER run;
EOM
mg_value($source, 'app', <<'EOM');
INSERT INTO copied SELECT i, i FROM generate_series(1, 2000) i;
INSERT INTO command VALUES (1, 'CREATE INDEX by_sync ON large (a)'), (2, 'ALTER TABLE large ALTER id TYPE bigint');
CREATE PUBLICATION p FOR TABLE copied, command;
EOM

my $connection = $source->connstr('app') =~ s/'/''/gr;

mg_value($target, 'replica', "CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p");
ok($target->poll_query_until('replica', q{SELECT count(*) = 2 AND bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel}),
	'the tables are synchronized');
mg_value($source, 'app', <<'EOM');
INSERT INTO command VALUES (3, 'CREATE INDEX by_apply ON copied (a)'), (4, 'ALTER TABLE copied ALTER a TYPE bigint'),
	(5, 'ALTER TABLE large ADD UNIQUE (a)');
TRUNCATE copied;
INSERT INTO copied SELECT i, i FROM generate_series(1, 2500) i;
INSERT INTO command VALUES (6, 'CREATE INDEX again ON copied (a)');
EOM
$source->wait_for_catchup('s');
is( mg_value($target, 'replica', <<'EOM'), "2500\nagain, by_apply, by_sync, command_pkey, copied_pkey, large_a_key\nbigint bigint", 'everything was applied');
SELECT count(*) FROM copied;
SELECT string_agg(indexrelid::regclass::text, ', ' ORDER BY 1) FROM (SELECT indexrelid FROM pg_index WHERE indrelid::regclass::text IN ('copied', 'command', 'large') ORDER BY indexrelid::regclass::text) i;
SELECT string_agg(format_type(atttypid, -1), ' ') FROM pg_attribute WHERE (attrelid, attname) IN (('copied'::regclass, 'a'), ('large'::regclass, 'id'));
EOM
mg_refused(mg_psql($target, 'replica', "INSERT INTO command VALUES (7, 'CREATE INDEX ON copied (a)');\n"),
	'MG121', 'the same trigger is judged in a session');
mg_value($target, 'replica', 'DROP SUBSCRIPTION s');

$_->stop foreach $target, $source;
my $log = slurp_file($target->logfile);

mg_quiet('the server', $target);
is(scalar(() = $log =~ /would block/g), 1, 'nothing was said about what was applied');

done_testing();
