"""What a statement does to a server: copies of the fixture, and the observation of locks, file
numbers, scan counters and DEBUG1 messages.  Part of the oracle, see README.md beside this file.
"""
import collections
import os
import re
import threading
import time

import psycopg2

FIXTURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fixture.sql')
TEMPLATE = 'mg_oracle'
TABLESPACE = 'mg_oracle_ts'
FIRST_USER_OID = 16384
MODES = ['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock',
         'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']
LISTED = MODES.index('ShareUpdateExclusiveLock')    # weakest lock that is a row of explain()
HELD = 'held before'    # lock of an effect that cannot be observed
EDGES = '''select inhrelid::bigint, inhparent::bigint from pg_inherits
    union all select conrelid, confrelid from pg_constraint where contype = 'f'
    union all select indexrelid, indrelid from pg_index where indexrelid >= 16384 and
        indrelid in (select oid from pg_class where relkind <> 't')'''


# ---------------------------------------------------------------------------
# Server: connections and databases
# ---------------------------------------------------------------------------
class Notices(list):
    """psycopg2 keeps 50 notices; the oracle needs all of them."""


def connect(dbname):
    """A superuser connection in autocommit mode, one worker, English messages; the guard lets
    everything pass, but would refuse a rewrite that it has not foreseen."""
    conn = psycopg2.connect(dbname=dbname)
    conn.autocommit = True
    conn.notices = Notices()
    run(conn, "set lc_messages = 'C'; set max_parallel_maintenance_workers = 0;"
              "set max_parallel_workers_per_gather = 0; set synchronize_seqscans = off; set jit = off;"
              "set client_min_messages = notice; set timezone = 'UTC'; set lock_timeout = '30s';"
              "set migration_guard.mode = 'log'; set migration_guard.block_rows = 0")
    return conn


def run(conn, sql):
    """Execute; rows if there are any."""
    with conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


class Server:
    """The server under test: the template made from the fixture, and copies of it."""

    def __init__(self, guarded):
        self.admin = connect('postgres')
        self.major, self.minor = divmod(self.admin.server_version, 10000)
        self.wal = run(self.admin, 'show wal_level')[0][0]
        self.extensions = {row[0] for row in run(self.admin, 'select name from pg_available_extensions')}
        self.copies = 0
        self.drop_all()
        run(self.admin, 'drop role if exists mg_oracle_owner')
        run(self.admin, 'set allow_in_place_tablespaces = on')
        run(self.admin, "create tablespace %s location ''" % TABLESPACE)
        run(self.admin, 'create database %s' % TEMPLATE)
        conn = connect(TEMPLATE)
        if guarded:
            run(conn, 'create extension migration_guard')
        with open(FIXTURE, encoding='utf-8') as source:
            run(conn, source.read())
        run(conn, 'analyze')
        conn.close()

    def drop_all(self):
        """Remove what an earlier run may have left."""
        for (name,) in run(self.admin, "select datname from pg_database where datname ~ '^%s'" % TEMPLATE):
            run(self.admin, 'drop database %s with (force)' % name)
        run(self.admin, 'drop tablespace if exists %s' % TABLESPACE)

    def copy(self):
        """A fresh copy of the fixture; its name."""
        self.copies += 1
        name = '%s_%d' % (TEMPLATE, self.copies)
        run(self.admin, 'create database %s template %s strategy file_copy' % (name, TEMPLATE))
        return name

    def drop(self, name):
        """Drop a copy."""
        run(self.admin, 'drop database %s with (force)' % name)


class Pool:
    """Copies of the fixture in which set-ups were run.  Several set-ups share a copy as long as
    no case meets the relations of another one's set-up."""

    def __init__(self, server):
        self.server, self.copies, self.sessions = server, [], {}
        conn = connect(server.copy())
        self.first = conn.info.dbname
        names = dict(run(conn, 'select oid::bigint, relname from pg_class where oid >= %d' % FIRST_USER_OID))
        self.group = {name: name for name in names.values()}    # relations that hang together
        for one, other in run(conn, EDGES):
            old, new = self.group[names[one]], self.group[names[other]]
            self.group.update({name: new for name, group in self.group.items() if group == old})
        conn.close()

    def groups(self, *texts):
        """The groups of relations that are named in the texts, and the names that they create."""
        words = {word for text in texts for word in re.findall(r'\w+', text)}
        made = {name for text in texts for name in re.findall(r'\bcreate (?:\w+ )+?(\w+) (?:\(|on|as|of)', text)}
        self.group.update({name: name for name in made - set(self.group)})
        return {self.group[word] for word in words if word in self.group}

    def place(self, case):
        """A copy in which the set-up of the case, and nothing that concerns it, was run."""
        mine = self.groups(case.setup, case.prelude, case.statement)
        free = [(name, setups) for name, setups in self.copies
                if not any(mine & groups for setup, groups in setups.items() if setup != case.setup)]
        for name, setups in free:
            if case.setup in setups:
                return name
        for name, setups in free or [(None, None)]:
            if name is None:
                name, setups = (self.first if not self.copies else self.server.copy()), {}
                self.copies.append((name, setups))
            conn = connect(name)
            try:
                run(conn, case.setup or 'select')
                setups[case.setup] = self.groups(case.setup)
                return name
            except psycopg2.Error as error:
                raise RuntimeError('set-up: %s' % error) from error
            finally:
                conn.close()

    def session(self, case):
        """Two connections to the place of the case: one to run it, one to watch."""
        name = self.place(case)
        if name not in self.sessions or any(conn.closed for conn in self.sessions[name]):
            self.sessions[name] = (connect(name), connect(name))
        return self.sessions[name]

    def close(self):
        """Drop all copies."""
        for conn in (conn for pair in self.sessions.values() for conn in pair):
            conn.close()
        for name in {self.first} | {name for name, _ in self.copies}:
            self.server.drop(name)


# ---------------------------------------------------------------------------
# Observation
# ---------------------------------------------------------------------------
class Effect:
    """What happens, or is said to happen, to one relation."""

    def __init__(self, lock=None, rewrite=False, scan=False, builds=0, reason=''):
        self.lock, self.rewrite, self.scan, self.builds = lock, rewrite, scan, builds
        self.reason = reason

    def listed(self):
        """Would explain() have a row for it?"""
        strong = self.lock not in (None, HELD) and MODES.index(self.lock) >= LISTED
        return strong or self.rewrite or self.scan or self.builds > 0

    def __str__(self):
        parts = [self.lock or 'no lock']
        parts += ['rewrite'] if self.rewrite else []
        parts += ['scan'] if self.scan else []
        parts += ['%d builds' % self.builds] if self.builds else []
        return ', '.join(parts)


Relation = collections.namedtuple('Relation', 'oid name kind file space table visible numscans bytes')
Outcome = collections.namedtuple('Outcome', 'effects messages error text notes')


def snapshot(conn, xact=True):
    """User relations (no TOAST) by OID, with file numbers and scan counters."""
    rows = run(conn, """
        select c.oid, c.relname, c.relkind, c.relfilenode, c.reltablespace, coalesce(i.indrelid, 0),
               pg_table_is_visible(c.oid), pg_stat_get_%snumscans(c.oid),
               case when c.relkind in ('r', 'm') then pg_relation_size(c.oid) end
          from pg_class c left join pg_index i on i.indexrelid = c.oid
         where c.oid >= %d and c.relnamespace::regnamespace::text !~ '^pg_toast'"""
               % ('xact_' if xact else '', FIRST_USER_OID))
    return {row[0]: Relation(*row) for row in rows}


def strongest(locks):
    """[(oid, mode)] -> {oid: strongest mode}."""
    best = {}
    for oid, mode in locks:
        if oid >= FIRST_USER_OID and (oid not in best or MODES.index(mode) > MODES.index(best[oid])):
            best[oid] = mode
    return best


def read_locks(watcher, pid):
    """Relation locks of a backend, as [(oid, mode, granted)]."""
    return run(watcher, """select relation::bigint, mode, granted from pg_locks
        where pid = %d and locktype = 'relation' and relation >= %d
              and database = (select oid from pg_database where datname = current_database())"""
               % (pid, FIRST_USER_OID))


def messages_of(conn):
    """DEBUG1 and NOTICE lines that tell about work, shortened."""
    wanted = re.compile(r'^(?:DEBUG|NOTICE|WARNING|INFO): +(rewriting table .*|verifying table .*|building index "(?!pg_toast).*|'
                        r'existing constraints .*|validating foreign key .*|.*partition constraint for .*|'
                        r'.*skipping|drop cascades.*|merging .*)$', re.M)
    lines = []
    for notice in conn.notices:
        for text in wanted.findall(notice):
            lines.append(re.sub(r' (serially|with request for \d+ parallel workers?)$', '', text))
    return lines


def table_named(before, name):
    """OID of the table a message names; None if the statement made it, or it is TOAST."""
    copy = re.match(r'pg_temp_(\d+)$', name)       # of REPACK (CONCURRENTLY)
    if copy and int(copy.group(1)) in before:
        return int(copy.group(1))
    rels = [r for r in before.values() if r.name == name and r.kind in 'rpm']
    oids = [r.oid for r in rels if r.visible or len(rels) == 1]
    if len(rels) > len(oids) != 1:
        raise ValueError('relation name "%s" is not unique in this fixture' % name)
    return oids[0] if oids else None


def emptied(before, after, messages, statement):
    """OIDs of tables that were given new, empty files without a look at the old ones: no rewrite,
    and their indexes are as empty."""
    if not re.search(r'\btruncate\b|\bwith no data\b', statement, re.I):
        return set()
    return {oid for oid, rel in after.items() if rel.bytes == 0 and oid in before
            and 'rewriting table "%s"' % rel.name not in messages}


def built_by_files(before, after, messages):
    """{table: number of index files that are new}, and the set of indexes merely moved."""
    files = {r.file for r in before.values() if r.kind == 'i'}
    named = {re.match(r'building index "([^"]+)"', m).group(1) for m in messages if m.startswith('building')}
    named |= {re.sub(r'_ccnew\d*$', '', n) for n in named}
    built, moved = collections.Counter(), set()
    for rel in after.values():
        if rel.kind != 'i' or rel.file in files or rel.table not in before:
            continue
        old = before.get(rel.oid)
        if old and old.space != rel.space and rel.name not in named:
            moved.add(rel.oid)
        else:
            built[rel.table] += 1
    return built, moved


def observed_effects(before, after, locks, held, messages, statement=''):
    """Puts the observations together: ({oid: Effect}, notes about contradictions)."""
    effects = collections.defaultdict(Effect)
    empty = emptied(before, after, messages, statement)
    notes = []
    for oid, mode in locks.items():
        if oid in before:
            effects[oid].lock = mode
    for oid, mode in held.items():
        if oid in before and MODES.index(mode) >= LISTED:
            effects[oid].lock = HELD
    for oid, rel in after.items():
        old = before.get(oid)
        if old is None or oid in empty or old.table in empty:
            continue
        if rel.kind in 'rm' and rel.file != old.file:
            effects[oid].rewrite = True
        if rel.numscans > old.numscans:
            effects[old.table or oid].scan = True
    built, moved = built_by_files(before, after, messages)
    for oid in empty:
        built.pop(oid, None)
    for oid in moved:
        effects[oid].rewrite = True
    said = collections.Counter()
    for text in messages:
        match = re.match(r'(rewriting|verifying) table "([^"]+)"|building index "([^"]+)" on table "([^"]+)"', text)
        oid = match and table_named(before, match.group(2) or match.group(4))
        if not oid or oid in empty:
            continue
        if match.group(3):
            said[oid] += 1
        elif match.group(1) == 'verifying':
            effects[oid].scan = True
        elif after and oid in after and not effects[oid].rewrite:
            notes.append('"%s" is said to be rewritten, but its file is the same' % match.group(2))
    for oid, number in said.items():
        effects[oid].builds = number
    if after and said != built:
        notes.append('index builds by message and by file number differ: %s, %s' % (
            {before[o].name: n for o, n in said.items()}, {before[o].name: n for o, n in built.items()}))
    return {oid: eff for oid, eff in effects.items() if eff.listed() or eff.lock == HELD}, notes


# ---------------------------------------------------------------------------
# Running a case inside a transaction block
# ---------------------------------------------------------------------------
def observe_inside(conn, watcher, case, predict):
    """Runs the case in a transaction that is rolled back: (before, prediction, outcome).
    predict(conn, case) asks for the prediction; None: there is none."""
    pid = conn.info.backend_pid
    try:
        run(conn, 'begin')
        if case.prelude:
            run(conn, case.prelude)
        before = snapshot(conn)
        held = strongest(row[:2] for row in read_locks(watcher, pid))
        prediction = predict(conn, case) if predict else None
        kept = strongest(row[:2] for row in read_locks(watcher, pid))
        if predict and kept != held:
            prediction.notes.append('explain() left locks: %s' % {
                before[o].name if o in before else o: m for o, m in kept.items() if held.get(o) != m})
        del conn.notices[:]
        run(conn, 'set local client_min_messages = debug1')
        try:
            run(conn, case.statement)
        except psycopg2.Error as error:
            return before, prediction, Outcome(
                observed_effects(before, {}, {}, {}, messages_of(conn))[0], messages_of(conn),
                error.pgcode, str(error).strip(), [])
        run(conn, 'set local client_min_messages = notice')
        locks = strongest(row[:2] for row in read_locks(watcher, pid))
        locks = {oid: mode for oid, mode in locks.items() if held.get(oid) != mode}
        run(conn, 'reset role')
        messages = messages_of(conn)
        effects, notes = observed_effects(before, snapshot(conn), locks, held, messages, case.statement)
        return before, prediction, Outcome(effects, messages, None, '', notes)
    finally:
        if not conn.closed:
            run(conn, 'rollback')


# ---------------------------------------------------------------------------
# Running a case outside a transaction block, between blockers
# ---------------------------------------------------------------------------
class Blocker:
    """Holds ShareUpdateExclusiveLock on one relation until the statement is seen waiting for it."""

    KINDS = {'i': 'index', 'I': 'index', 'm': 'materialized view', 'v': 'view', 'f': 'foreign table',
             'S': 'sequence'}

    def __init__(self, dbname, rel, patient):
        self.dbname, self.rel, self.patient = dbname, rel, patient
        self.conn, self.heirs = connect(dbname), []
        self.conn.autocommit = False
        run(self.conn, 'set lock_timeout = 0')

    def take(self):
        """Request the lock; waits."""
        try:
            if self.rel.kind in self.KINDS:
                run(self.conn, 'comment on %s %s is null' % (self.KINDS[self.rel.kind], self.rel.name))
            else:
                run(self.conn, 'lock table only %s in share update exclusive mode' % self.rel.name)
        except psycopg2.Error:
            self.conn.rollback()

    def release(self, watcher, again):
        """Give the lock back; if wanted, after another one has queued for it behind the statement.
        patient: the statement waits for older snapshots, and who waits here may have one."""
        if again and len(self.heirs) < 3 and not self.patient:
            heir = Blocker(self.dbname, self.rel, self.patient)
            self.heirs.append((heir, threading.Thread(target=heir.take)))
            self.heirs[-1][1].start()
            pid = heir.conn.info.backend_pid
            while (self.heirs[-1][1].is_alive() and
                   not run(watcher, 'select 1 from pg_locks where pid = %d and not granted' % pid)):
                time.sleep(0.002)
        for heir, thread in self.heirs[:-1] if again else self.heirs:
            if not thread.is_alive():
                heir.conn.rollback()
        self.conn.rollback()

    def pids(self):
        """Of all sessions that may stand in the way."""
        return {self.conn.info.backend_pid} | {heir.conn.info.backend_pid for heir, _ in self.heirs}

    def close(self, admin):
        """End, also if something still waits."""
        for heir, thread in self.heirs:
            run(admin, 'select pg_cancel_backend(%d)' % heir.conn.info.backend_pid)
            thread.join()
            heir.conn.close()
        self.conn.close()


class Reader(Blocker):
    """Reads from the TOAST table of a relation, which is what REPACK (CONCURRENTLY) locks last."""

    def take(self):
        """At once: nobody is in the way."""
        self.rel, name = run(self.conn, """
            select c.reltoastrelid::bigint, c.reltoastrelid::regclass::text
              from pg_class c where c.oid = %d""" % self.rel.oid)[0]
        self.rel = Relation(self.rel, *[None] * (len(Relation._fields) - 1))
        if self.rel.oid:
            run(self.conn, 'select from %s limit 0' % name)


def neighbourhood(conn, before, case, prediction):
    """Relations to watch: named in the statement or predicted, their partition trees, the other
    sides of their foreign keys, and all their indexes."""
    words = set(re.findall(r'\w+', case.statement))
    start = {oid for oid, rel in before.items() if rel.name in words}
    schemas = run(conn, "select c.oid::bigint from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                        " where n.nspname = any ('{%s}') and n.nspname <> 'public'" % ','.join(words))
    start |= {row[0] for row in schemas} | set(prediction.effects if prediction else ())
    edges = run(conn, EDGES)
    for _ in range(3):
        start |= {b for a, b in edges if a in start} | {a for a, b in edges if b in start}
    return [before[oid] for oid in sorted(start) if oid in before and before[oid].kind in 'rpmiIvfS'][:70]


def watch(watcher, pid, thread, blockers):
    """Polls the statement's locks, taking blockers away when it waits for them: {oid: mode}."""
    seen, by_relation = [], {blocker.rel.oid: blocker for blocker in blockers}
    deadline = time.time() + 60
    while thread.is_alive():
        if time.time() > deadline:
            run(watcher, 'select pg_cancel_backend(%d)' % pid)
            raise RuntimeError('the statement did not end within 60 seconds')
        rows = read_locks(watcher, pid)
        seen += [row[:2] for row in rows]
        waiting = [row for row in rows if not row[2]]
        for oid, mode, _ in waiting:
            if oid in by_relation:
                by_relation[oid].release(watcher, again=mode != MODES[-1])
        behind = {row[0] for row in run(watcher, """select unnest(pg_blocking_pids(pid)) from pg_locks
            where pid in (select pid from pg_stat_activity where %d in (pid, leader_pid))
                  and locktype <> 'relation' and not granted""" % pid)}
        for blocker in blockers:
            if behind & blocker.pids():
                blocker.release(watcher, again=False)
        thread.join(0.002)
    return strongest(seen)


def observe_outside(server, case, predict):
    """Runs the case in autocommit mode in a copy of its own: (before, prediction, outcome)."""
    dbname = server.copy()
    conn, watcher = connect(dbname), connect(dbname)
    blockers, failure = [], []
    try:
        run(conn, "set default_transaction_isolation = 'read committed'")
        for sql in filter(None, [case.setup, case.prelude]):
            run(conn, sql)
        prediction = predict(conn, case) if predict else None
        run(conn, 'select pg_stat_force_next_flush()')
        before = snapshot(conn, xact=False)
        patient = re.search(r'^(?!.* detach ).*\bconcurrently', case.statement, re.I) is not None
        blockers = [Blocker(dbname, rel, patient) for rel in neighbourhood(watcher, before, case, prediction)]
        if re.match(r'repack\b.*\bconcurrently', case.statement, re.I):
            blockers += [Reader(dbname, blocker.rel, True) for blocker in blockers if blocker.rel.kind == 'r']
        for blocker in blockers:
            blocker.take()
        del conn.notices[:]
        run(conn, 'set client_min_messages = debug1')

        def work():
            try:
                run(conn, case.statement)
            except psycopg2.Error as error:
                failure.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        locks = watch(watcher, conn.info.backend_pid, thread, blockers)
        run(conn, 'set client_min_messages = notice')
        messages = messages_of(conn)
        if failure:
            return before, prediction, Outcome(observed_effects(before, {}, {}, {}, messages)[0], messages,
                                               failure[0].pgcode, str(failure[0]).strip(), [])
        run(conn, 'select pg_stat_force_next_flush()')
        effects, notes = observed_effects(before, snapshot(conn, xact=False), locks, {}, messages,
                                          case.statement)
        return before, prediction, Outcome(effects, messages, None, '', notes)
    finally:
        for blocker in blockers:
            blocker.close(server.admin)
        conn.close()
        watcher.close()
        server.drop(dbname)
