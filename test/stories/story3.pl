# Story 3, the schema part: server.location_name becomes a table of its own.

use strict;
use warnings;
use Story;
use Test::More;

my $set_not_null = 'ALTER TABLE server ALTER COLUMN location_id SET NOT NULL';
my $check = 'ALTER TABLE server ADD CONSTRAINT location_id_set CHECK (location_id IS NOT NULL)';
my $validate_check = 'ALTER TABLE server VALIDATE CONSTRAINT location_id_set;';
my $fk = 'ALTER TABLE server ADD CONSTRAINT server_location_fk FOREIGN KEY (location_id)'
  . ' REFERENCES location (id)';
my ($error, @sql);

story('story 3', 'story3',
	preload => 1,
	setup => q{
		CREATE TABLE server (id serial PRIMARY KEY, name text, location_name text NOT NULL);
		INSERT INTO server (name, location_name)
			SELECT 'server ' || i, 'location ' || i % 20 FROM generate_series(1, 20000) i;
	});

# ---- the new table and the new column
check_is('CREATE TABLE', 'CREATE TABLE location (id serial PRIMARY KEY, name text NOT NULL UNIQUE)', []);
passes('CREATE TABLE ... UNIQUE',
	'CREATE TABLE location (id serial PRIMARY KEY, name text NOT NULL UNIQUE);');
refused('ADD COLUMN NOT NULL without a default',
	'ALTER TABLE server ADD COLUMN location_id integer NOT NULL;',
	state => 'MG103',
	message => qr/"server"/,
	detail => qr/\S/,
	hint => qr/\S/,
	table => 'server',
	column => 'location_id',
	try_hint => 'no');
explain_is('ADD COLUMN', 'ALTER TABLE server ADD COLUMN location_id integer',
	'server|AccessExclusiveLock|reads and writes|f|f|0');
passes('ADD COLUMN', 'ALTER TABLE server ADD COLUMN location_id integer;');

# the column and its NOT NULL in one transaction: under the lock of the first anyway
refused('SET NOT NULL right after ADD COLUMN',
	'ALTER TABLE server ALTER COLUMN place_id SET NOT NULL;',
	before => 'ALTER TABLE server ADD COLUMN place_id integer;',
	state => 'MG111',
	table => 'server',
	column => 'place_id',
	try_hint => 'no');

# ---- backfill, a batch at a time
run_sql('INSERT INTO location (name) SELECT DISTINCT location_name FROM server ORDER BY 1;', must => 1);
passes(
	'backfill in batches',
	join "\n",
	map {
		"UPDATE server s SET location_id = l.id FROM location l WHERE l.name = s.location_name"
		  . " AND s.id > $_ * 500 AND s.id <= $_ * 500 + 500;"
	} 0 .. 39);
value_is('backfill: no row is left', 'SELECT count(*) FROM server WHERE location_id IS NULL', '0');

# ---- SET NOT NULL
explain_is('SET NOT NULL without a proof', $set_not_null,
	'server|AccessExclusiveLock|reads and writes|f|t|0');
check_is('SET NOT NULL without a proof', $set_not_null, '1|block|set_not_null|MG111|server');
$error = refused('SET NOT NULL without a proof',
	"$set_not_null;",
	state => 'MG111',
	message => qr/^SET NOT NULL on "server" would block reads and writes\b/,
	detail => qr/AccessExclusiveLock/,
	hint => since(18)
	? [ qr/ADD CONSTRAINT \S+ NOT NULL "?location_id"? NOT VALID;/, qr/VALIDATE CONSTRAINT \S+;/ ]
	: [
		qr/ADD CONSTRAINT \S+ CHECK \("?location_id"? IS NOT NULL\) NOT VALID;/,
		qr/VALIDATE CONSTRAINT \S+;/, qr/SET NOT NULL;/
	],
	schema => 'public',
	table => 'server',
	column => 'location_id');

# the hint's SQL, one transaction after the other, leads there
@sql = hint_sql($error->{HINT});
cmp_ok(scalar(@sql), '>=', since(18) ? 2 : 3, 'story 3: the hint is several statements') or diag($error->{HINT});
passes("hint: $_", $_) foreach @sql;
value_is('hint: the column is NOT NULL',
	q{SELECT attnotnull FROM pg_attribute WHERE attrelid = 'server'::regclass
	  AND attname = 'location_id'}, 't');
value_is('hint: and nothing else is left of it',
	q{SELECT count(*) FROM pg_constraint WHERE conrelid = 'server'::regclass AND contype = 'c'}, '0');
passes('start over', 'ALTER TABLE server ALTER COLUMN location_id DROP NOT NULL;');

# the same by hand
refused('the CHECK without NOT VALID',
	"$check;",
	state => 'MG104',
	message => qr/^ADD CHECK to "server" would block reads and writes\b/,
	hint => [ qr/NOT VALID;/, qr/VALIDATE CONSTRAINT "?location_id_set"?;/ ],
	table => 'server',
	constraint => 'location_id_set');
refused('VALIDATE in the transaction of the CHECK',
	$validate_check,
	before => "$check NOT VALID;",
	state => 'MG106',
	message => qr/would block reads and writes\b/,
	detail => [ qr/ShareUpdateExclusiveLock/,
		qr/already holds AccessExclusiveLock .*since ALTER TABLE/s ],
	hint => [ qr/commit first/i, qr/VALIDATE CONSTRAINT "?location_id_set"?;/ ]);
passes('the CHECK, NOT VALID', "$check NOT VALID;");
unfinished_is('the CHECK that is not valid',
	[ qr/\blocation_id_set\b/, qr/VALIDATE CONSTRAINT location_id_set/ ]);
explain_is('SET NOT NULL with a CHECK that is not valid', $set_not_null,
	'server|AccessExclusiveLock|reads and writes|f|t|0');
refused('SET NOT NULL with a CHECK that is not valid', "$set_not_null;", state => 'MG111');
explain_is('VALIDATE', $validate_check, 'server|ShareUpdateExclusiveLock|nothing|f|t|0');
passes('VALIDATE', $validate_check);
unfinished_is('nothing any more');
explain_is('SET NOT NULL with the proof', $set_not_null,
	'server|AccessExclusiveLock|reads and writes|f|f|0');
explain_is('SET NOT NULL and the proof dropped in one statement',
	"$set_not_null, DROP CONSTRAINT location_id_set",
	'server|AccessExclusiveLock|reads and writes|f|t|0');
refused('SET NOT NULL and the proof dropped in one statement',
	"$set_not_null, DROP CONSTRAINT location_id_set;",
	rest => 'ALTER TABLE server DROP CONSTRAINT location_id_set;',
	state => 'MG111');
passes('SET NOT NULL with the proof', "$set_not_null;");
passes('the CHECK has done its work', 'ALTER TABLE server DROP CONSTRAINT location_id_set;');
explain_is('SET NOT NULL again', $set_not_null, 'server|AccessExclusiveLock|reads and writes|f|f|0');

# ---- the foreign key
refused('the foreign key', "$fk;", state => 'MG105', table => 'server',
	constraint => 'server_location_fk', hint => qr/NOT VALID/, indexes => 1);
passes('the foreign key, NOT VALID', "$fk NOT VALID;", says => 'WARNING MG507');
passes('VALIDATE the foreign key', 'ALTER TABLE server VALIDATE CONSTRAINT server_location_fk;');

# ---- and the old column goes
explain_is('DROP COLUMN', 'ALTER TABLE server DROP COLUMN location_name',
	'server|AccessExclusiveLock|reads and writes|f|f|0');
explain_is('DROP COLUMN as Django writes it', 'ALTER TABLE server DROP COLUMN location_name CASCADE',
	'server|AccessExclusiveLock|reads and writes|f|f|0');
passes('DROP COLUMN', 'ALTER TABLE server DROP COLUMN location_name CASCADE;', says => 'WARNING MG503');
value_is('the rows are all there', 'SELECT count(*), count(location_id) FROM server', '20000|20000');

1;
