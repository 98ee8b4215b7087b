# 063_stats.pl
#
# The counters behind migration_guard.stats: what counts and what does not,
# that an error does not take a count back, that no count is lost among many
# sessions, and who may read and reset them.  What the self-audit counts is
# tested in 062_audit.pl.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use MgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = mg_node('stats', preload => 'migration_guard');

# What is not zero, as "rule column=count ...".
sub counts
{
	my ($db) = @_;

	return mg_value($node, $db || 'app', <<'EOM');
SELECT string_agg(concat_ws(' ', rule,
		'checked=' || NULLIF(checked, 0), 'logged=' || NULLIF(logged, 0), 'warned=' || NULLIF(warned, 0),
		'blocked=' || NULLIF(blocked, 0), 'overridden=' || NULLIF(overridden, 0),
		'mispredicted=' || NULLIF(mispredicted, 0)), ', ' ORDER BY rule)
FROM migration_guard.stats
WHERE checked + logged + warned + blocked + overridden + mispredicted > 0
EOM
}

# Run it from a clean slate, and expect SQLSTATEs and counts.
sub counted
{
	my ($name, $sql, $states, $expected, %opt) = @_;

	mg_value($node, 'app', 'SELECT migration_guard.stats_reset()');
	mg_refused(mg_psql($node, $opt{db} || 'app', $sql, %opt), $states, $name);
	is(counts(), $expected, "$name: counts");
	return;
}

mg_value($node, 'postgres', "CREATE DATABASE app TEMPLATE template0;\nCREATE DATABASE other TEMPLATE template0;");
mg_fixture($node, 'app');
mg_fixture($node, 'other');
mg_value($node, 'app', 'CREATE EXTENSION migration_guard');

is(counts(), '', 'nothing is counted yet');
is( mg_value($node, 'app',
		'SELECT count(*) FROM migration_guard.stats FULL JOIN migration_guard.rules ON rule = name WHERE rule IS NULL OR name IS NULL OR last_time IS NOT NULL'),
	'0', 'one row per rule, and none has spoken');

# ---------------------------------------------------------------------
# what counts
# ---------------------------------------------------------------------
my $index = 'CREATE INDEX ON big (a)';

counted('refused', "$index;\n", 'MG121', 'create_index checked=1 blocked=1');
counted('refused in a transaction', "BEGIN;\n$index;\nROLLBACK;\nBEGIN;\nSAVEPOINT s;\n$index;\nROLLBACK TO s;\n$index;\nCOMMIT;\n",
	'MG121 MG121 MG121', 'create_index checked=3 blocked=3');
counted('refused and caught', "DO \$\$ BEGIN $index; EXCEPTION WHEN OTHERS THEN NULL; END \$\$;\n", '',
	'create_index checked=1 blocked=1');
counted('warned about, and rolled back', "BEGIN;\nCREATE INDEX ON medium (a);\nROLLBACK;\n", '',
	'create_index checked=1 warned=1');
counted('passed in silence', "BEGIN;\nCREATE INDEX ON small (a);\nROLLBACK;\n", '', 'create_index checked=1');
counted('mode warn', "SET migration_guard.mode = 'warn';\nBEGIN;\n$index;\nROLLBACK;\n", '',
	'create_index checked=1 warned=1');
counted('mode log', "SET migration_guard.mode = 'log';\nBEGIN;\n$index;\nROLLBACK;\n", '',
	'create_index checked=1 logged=1');
counted('mode off', "SET migration_guard.mode = 'off';\nBEGIN;\n$index;\nROLLBACK;\n", '', '');
counted('rule log', "SET migration_guard.rules = 'create_index=log';\nBEGIN;\n$index;\nROLLBACK;\n", '',
	'create_index checked=1 logged=1');
counted('rule off', "SET migration_guard.rules = 'create_index=off';\nBEGIN;\n$index;\nROLLBACK;\n", '',
	'create_index checked=1');
counted('overridden', "BEGIN;\nSET LOCAL migration_guard.override = 'OPS-1';\n$index;\nROLLBACK;\n", '',
	'create_index checked=1 overridden=1');
counted('override where a warning would do', "BEGIN;\nSET LOCAL migration_guard.override = 'OPS-1';\nCREATE INDEX ON medium (a);\nROLLBACK;\n",
	'', 'create_index checked=1 warned=1');
counted('several rules', "ALTER TABLE big ADD CHECK (a > 0), ADD UNIQUE (b), ALTER ts SET NOT NULL;\n", 'MG107',
	'add_check checked=1 blocked=1, add_unique checked=1 blocked=1, set_not_null checked=1 blocked=1');
counted('several rules, one only warns',
	"SET migration_guard.rules = 'add_check=warn';\nALTER TABLE big ADD CHECK (a > 0), ADD UNIQUE (b);\n", 'MG107',
	'add_check checked=1 warned=1, add_unique checked=1 blocked=1');
counted('a tree of partitions once', "CREATE INDEX ON parted (v);\n", 'MG121', 'create_index checked=1 blocked=1');
counted('two statements', "BEGIN;\nCREATE INDEX ON small (a);\nCREATE INDEX ON medium (a);\nROLLBACK;\n", '',
	'create_index checked=2 warned=1');
counted('another database, without the extension', "$index;\n", 'MG121', 'create_index checked=1 blocked=1',
	db => 'other');
counted('a rewrite that was foreseen', "BEGIN;\nALTER TABLE small ALTER a TYPE bigint;\nROLLBACK;\n", '',
	'alter_column_type checked=1, unannounced_rewrite checked=1');

# ---------------------------------------------------------------------
# what does not
# ---------------------------------------------------------------------
counted('dry runs', "SELECT * FROM migration_guard.check('$index');\nSELECT * FROM migration_guard.explain('$index');\n", '', '');
counted('nothing to do', "BEGIN;\nALTER TABLE big ADD c int;\nCREATE TABLE n (a int PRIMARY KEY);\nCREATE INDEX ON n (a);\nDROP TABLE n;\nROLLBACK;\n",
	'', '');
counted('other statements', "UPDATE big SET a = a;\nSELECT count(*) FROM big;\nVACUUM big;\n", '', '');
counted('core refuses', "CREATE INDEX ON nowhere (a);\nCREATE INDEX ON big (nothing);\n", '42P01 42703', '');
counted('an exempt application', "BEGIN;\n$index;\nROLLBACK;\n", '', '', app => 'pg_restore');

# ---------------------------------------------------------------------
# last_time
# ---------------------------------------------------------------------
sub spoke
{
	return mg_value($node, 'app', "SELECT last_time $_[0] FROM migration_guard.stats WHERE rule = 'create_index'");
}

mg_value($node, 'app', 'SELECT migration_guard.stats_reset()');
mg_psql($node, 'app', "BEGIN;\nCREATE INDEX ON small (a);\nROLLBACK;\n");
is(spoke('IS NULL'), 't', 'last_time is not moved by what passes in silence');
my $before = mg_value($node, 'app', 'SELECT clock_timestamp()');

mg_psql($node, 'app', "$index;\n");
is(spoke("BETWEEN '$before' AND clock_timestamp()"), 't', 'last_time is when the rule spoke');

# ---------------------------------------------------------------------
# many sessions
# ---------------------------------------------------------------------
mg_value($node, 'app', 'SELECT migration_guard.stats_reset()');
$node->pgbench(
	'-n -c 8 -j 2 -t 25',
	0,
	[ qr{number of transactions actually processed: 200/200} ],
	[ qr{^} ],
	'eight sessions at once',
	{
		'063_count' =>
		  "DO \$\$ BEGIN $index; EXCEPTION WHEN SQLSTATE 'MG121' THEN NULL; END \$\$;\n"
		  . "SET migration_guard.mode = 'log';\nBEGIN;\nCREATE INDEX ON medium (a);\nROLLBACK;\nRESET migration_guard.mode;\n"
	},
	'app');
is(counts(), 'create_index checked=400 logged=200 blocked=200', 'no count is lost');

# ---------------------------------------------------------------------
# who may
# ---------------------------------------------------------------------
mg_value($node, 'postgres', <<'EOM');
CREATE ROLE anybody LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
CREATE ROLE keeper LOGIN IN ROLE pg_read_all_stats;
EOM
mg_value($node, 'app', 'GRANT EXECUTE ON FUNCTION migration_guard.stats_reset() TO keeper');
foreach my $case (
	[ 'anybody', 'SELECT * FROM migration_guard.stats', '42501' ],
	[ 'anybody', 'SELECT * FROM migration_guard.stats()', '42501' ],
	[ 'anybody', 'SELECT migration_guard.stats_reset()', '42501' ],
	[ 'watcher', 'SELECT * FROM migration_guard.stats', '' ],
	[ 'watcher', 'SELECT * FROM migration_guard.stats()', '' ],
	[ 'watcher', 'SELECT migration_guard.stats_reset()', '42501' ],
	[ 'keeper', 'SELECT * FROM migration_guard.stats', '' ],
	[ 'keeper', 'SELECT migration_guard.stats_reset()', '' ])
{
	my ($user, $sql, $states) = @$case;

	mg_refused(mg_psql($node, 'app', "$sql;\n", user => $user), $states, "$user: $sql");
}
is(counts(), '', 'keeper has reset them');

# ---------------------------------------------------------------------
# an end to it
# ---------------------------------------------------------------------
mg_psql($node, 'app', "$index;\n");
is(counts(), 'create_index checked=1 blocked=1', 'counted before a restart');
$node->restart;
is(counts(), '', 'a restart begins anew');

# not preloaded: everything works, only that nobody counts
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nsession_preload_libraries = 'migration_guard'");
$node->start;
foreach my $sql ('SELECT * FROM migration_guard.stats', 'SELECT migration_guard.stats_reset()')
{
	my $res = mg_psql($node, 'app', "$sql;\n");

	mg_refused($res, '55000', "without shared_preload_libraries: $sql");
	like($res->{err}, qr/^HINT:.*shared_preload_libraries/m, '... with a hint');
}
mg_refused(mg_psql($node, 'app', "$index;\n"), 'MG121', 'statements are judged all the same');
$node->stop;

mg_quiet('the server', $node);

done_testing();
