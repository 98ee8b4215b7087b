#!/usr/bin/python3
"""The oracle: what migration_guard.explain() predicts against what the server does.

Reads cases (see README.md beside this file), asks for the prediction, runs each
statement on a copy of the fixture, compares what was observed, and prints TAP.
"""
import argparse
import collections
import glob
import os
import re
import sys

import psycopg2

sys.dont_write_bytecode = True

from observe import (FIRST_USER_OID, HELD, MODES, Effect, Pool, Server, observe_inside,
                     observe_outside, run)

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCKS = {'ShareUpdateExclusiveLock': 'nothing', 'ShareLock': 'writes',
          'ShareRowExclusiveLock': 'writes', 'ExclusiveLock': 'writes',
          'AccessExclusiveLock': 'reads and writes'}
NO_BLOCK = '25001'      # active_sql_transaction: refuses a transaction block
SILENT = []             # rows of explain() without a reason


# ---------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------
Case = collections.namedtuple('Case', 'where setup prelude statement flags')

FLAG = re.compile(r'(error=\w{5}|fails=\w{5}|~scan\(\w+\)|~lock\(\w+\)|uncovered|min=\d+|max=\d+'
                  r'|since=[\d.,]+|needs=\w+|wal=\w+|session)$')


def bracketed(text, opening, closing):
    """Split '[a] rest' into ('a', 'rest'); ('', text) if it does not start with opening."""
    if not text.startswith(opening):
        return '', text
    depth = 0
    for pos, char in enumerate(text):
        depth += (char == opening) - (char == closing)
        if depth == 0:
            return text[1:pos].strip(), text[pos + 1:].strip()
    raise ValueError('unbalanced %s: %s' % (opening, text))


def parse_case(where, line, names):
    """One line -> Case.  names: the @name definitions met so far in the file."""
    flags = []
    body, sep, tail = line.rpartition(' -- ')
    if sep:
        flags = tail.split()
        for flag in flags:
            if not FLAG.match(flag):
                raise ValueError('%s: unknown flag "%s"' % (where, flag))
        line = body.strip()
    setup, line = bracketed(line, '[', ']')
    prelude, line = bracketed(line, '{', '}')
    setup = re.sub(r'@(\w+)', lambda m: names[m.group(1)], setup)
    return Case(where, setup, prelude, line, flags)


def read_cases(path, only_line=None):
    """All cases of a file, or the one on only_line."""
    names, cases = {}, []
    with open(path, encoding='utf-8') as source:
        for number, line in enumerate(source, 1):
            line = line.strip()
            where = '%s:%d' % (os.path.basename(path), number)
            if not line or line.startswith('#'):
                continue
            if line.startswith('@'):
                name, _, sql = line[1:].partition('=')
                names[name.strip()] = re.sub(r'@(\w+)', lambda m: names[m.group(1)], sql.strip())
                continue
            if only_line in (None, number):
                cases.append(parse_case(where, line, names))
    return cases


def flag_values(case, name):
    """Values of 'name=value' and '~name(value)' flags."""
    found = (re.match(r'~?%s[=(]([\w.,]+)\)?$' % name, flag) for flag in case.flags)
    return [match.group(1) for match in found if match]


# ---------------------------------------------------------------------------
# Prediction
# ---------------------------------------------------------------------------
Prediction = collections.namedtuple('Prediction', 'effects error text notes')


def predict(conn, case):
    """Asks migration_guard.explain() for the prediction."""
    effects, notes = {}, []
    in_block = conn.info.transaction_status != 0
    if in_block:
        run(conn, 'savepoint explain')
    try:
        with conn.cursor() as cursor:
            cursor.execute('select relation::oid::bigint, relation::text, lock_mode, blocks, rewrite, scan,'
                           ' index_builds, rows, bytes, reason from migration_guard.explain(%s) where relation >= %s',
                           (case.statement, FIRST_USER_OID))
            rows = cursor.fetchall()
    except psycopg2.Error as error:
        if in_block:
            run(conn, 'rollback to explain')
        return Prediction({}, error.pgcode, str(error).strip(), [])
    for oid, name, lock, blocks, rewrite, scan, builds, nrows, nbytes, reason in rows:
        eff = effects.setdefault(oid, Effect())
        if blocks != BLOCKS.get(lock, 'nothing'):
            notes.append('%s: lock_mode "%s" with blocks "%s"' % (name, lock, blocks))
        if nrows is None or nbytes is None or nrows < 0 or nbytes < 0:
            notes.append('%s: rows %s, bytes %s' % (name, nrows, nbytes))
        if not reason:
            SILENT.append('%s: %s' % (case.where, name))
        if lock is not None and (eff.lock is None or MODES.index(lock) > MODES.index(eff.lock)):
            eff.lock = lock
        eff.rewrite, eff.scan = eff.rewrite or rewrite, eff.scan or scan
        eff.builds += builds
        eff.reason = '; '.join(filter(None, [eff.reason, reason]))
    return Prediction(effects, None, '', notes)


# ---------------------------------------------------------------------------
# Comparison
# ---------------------------------------------------------------------------
def differences(case, before, prediction, outcome):
    """Lines that say where the two sides disagree; empty: they agree."""
    names = {oid: rel.name for oid, rel in before.items()}
    found = prediction.notes + outcome.notes
    must_error, may_fail = flag_values(case, 'error'), flag_values(case, 'fails')
    if must_error:
        if (prediction.error, outcome.error) != (must_error[0], must_error[0]):
            found.append('expected both to raise %s' % must_error[0])
        return found
    if may_fail:
        if outcome.error != may_fail[0] or prediction.error not in (None, may_fail[0]):
            found.append('expected the statement to fail with %s' % may_fail[0])
        for oid, eff in outcome.effects.items():
            said = prediction.effects.get(oid, Effect())
            if not prediction.error and ((eff.scan and not said.scan) or eff.builds > said.builds):
                found.append('%s: worked on before the failure: %s' % (names[oid], eff))
        return found
    if prediction.error or outcome.error:
        return found + ['unexpected error']
    if 'uncovered' in case.flags:
        return found + (['expected no row'] if prediction.effects else [])
    loose_scan, loose_lock = flag_values(case, 'scan'), flag_values(case, 'lock')
    for oid in sorted(set(prediction.effects) | set(outcome.effects)):
        name = names.get(oid, 'relation %s' % oid)
        said, seen = prediction.effects.get(oid), outcome.effects.get(oid)
        if name in loose_scan:
            for eff in filter(None, (said, seen)):
                eff.scan = False
        pair = [e if e and (e.listed() or e.lock == HELD) else None for e in (said, seen)]
        if pair == [None, None] or (pair[0] is None and str(seen) == HELD):
            continue
        if pair[0] is None or pair[1] is None:
            if not (name in loose_lock and not any(e.rewrite or e.scan or e.builds for e in filter(None, pair))):
                found.append('%s: only %s' % (name, 'observed' if pair[0] is None else 'predicted'))
            continue
        for field in ('lock', 'rewrite', 'scan', 'builds'):
            if field == 'lock' and (name in loose_lock or seen.lock == HELD):
                continue
            if field == 'rewrite' and before[oid].kind == 'S':
                continue
            if getattr(said, field) != getattr(seen, field):
                found.append('%s: %s predicted %s, observed %s'
                             % (name, field, getattr(said, field), getattr(seen, field)))
    return found


def describe(before, title, side):
    """Lines that show one side in full."""
    lines = ['%s:' % title]
    if side.error:
        lines.append('    error %s: %s' % (side.error, side.text.replace('\n', ' / ')))
    for oid, eff in sorted(side.effects.items(), key=lambda item: str(item[0])):
        name = before[oid].name if oid in before else 'relation %s' % oid
        lines.append('    %-20s %s%s' % (name, eff, ('  [%s]' % eff.reason) if eff.reason else ''))
    if not side.effects and not side.error:
        lines.append('    nothing')
    return lines


class Report:
    """Prints TAP as it goes, and counts."""

    def __init__(self, observe):
        self.observe, self.number, self.failed = observe, 0, 0

    def line(self, good, name, comments):
        """One result and its comments."""
        self.number += 1
        self.failed += not good
        print('%s %d - %s' % ('ok' if good else 'not ok', self.number, name))
        for comment in comments:
            print('#   ' + comment.rstrip().replace('\n', '\n#   '))
        sys.stdout.flush()

    def skip(self, case, why):
        """A case that does not apply here."""
        self.line(True, '%s # SKIP %s' % (label(case), why), [])

    def crash(self, case, error):
        """A case that could not be carried out."""
        self.line(False, label(case), ['could not be carried out: %s' % error])

    def result(self, case, before, prediction, outcome):
        """A case that ran."""
        if prediction:
            found = differences(case, before, prediction, outcome)
        else:
            expected = (flag_values(case, 'error') + flag_values(case, 'fails') + [None])[0]
            found = outcome.notes + (['unexpected end'] if outcome.error != expected else [])
        lines = ['DISAGREEMENT'] + ['    ' + text for text in found] if found else []
        if found and prediction:
            lines += describe(before, 'predicted', prediction)
        if found or self.observe:
            lines += describe(before, 'observed', outcome) + ['    > ' + text for text in outcome.messages]
        self.line(not found, label(case), lines)


def label(case):
    """The case in one line, without what TAP would misread."""
    text = (('[%s] ' % case.setup) if case.setup else '') + (('{%s} ' % case.prelude) if case.prelude else '')
    return '%s %s%s' % (case.where, text, case.statement.replace('#', '\\#'))


# ---------------------------------------------------------------------------
# Main
# ---------------------------------------------------------------------------
def inapplicable(server, case):
    """Why the case does not apply to this server, or None."""
    if any(server.major < int(v) for v in flag_values(case, 'min')):
        return 'needs a later major version'
    if any(server.major > int(v) for v in flag_values(case, 'max')):
        return 'needs an earlier major version'
    for releases in flag_values(case, 'since'):
        minors = dict(release.split('.') for release in releases.split(','))
        if server.minor < int(minors.get(str(server.major), 0)):
            return 'needs a later minor version'
    if any(server.wal != level for level in flag_values(case, 'wal')):
        return 'needs another wal_level'
    missing = [name for name in flag_values(case, 'needs') if name not in server.extensions]
    return 'extension %s is not available' % missing[0] if missing else None


def run_cases(server, cases, report, asked):
    """Runs the cases of one file; asked: predict, or None for observation alone."""
    pool = Pool(server)
    for case in cases:
        why = inapplicable(server, case)
        if why:
            report.skip(case, why)
            continue
        try:
            result = None
            if 'session' not in case.flags:
                result = observe_inside(*pool.session(case), case, asked)
            if result is None or (result[2].error == NO_BLOCK and NO_BLOCK not in flag_values(case, 'error')):
                result = observe_outside(server, case, asked)
            report.result(case, *result)
        except (psycopg2.Error, ValueError, RuntimeError) as error:
            report.crash(case, error)
    pool.close()


def main():
    """Command line; exit status 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('files', nargs='*', help='case files, FILE:LINE for one case; default: all')
    parser.add_argument('-c', '--case', action='append', default=[], help='a case given on the command line')
    parser.add_argument('--observe', action='store_true', help='no prediction: print what the server does')
    args = parser.parse_args()
    batches = [[parse_case('-c', text, {}) for text in args.case]]
    files = args.files or ([] if args.case else sorted(glob.glob(os.path.join(HERE, '*.txt'))))
    for name in files:
        path, _, line = name.partition(':')
        path = path if os.path.exists(path) else os.path.join(HERE, path)
        batches.append(read_cases(path, int(line) if line else None))
    server = Server(not args.observe)
    report = Report(args.observe)
    for cases in filter(None, batches):
        run_cases(server, cases, report, None if args.observe else predict)
    if not args.observe:
        report.line(not SILENT, 'every row of explain() has a reason', ['no reason: %s' % text for text in SILENT])
    server.drop_all()
    print('1..%d' % report.number)
    if report.failed:
        print('# %d of %d cases disagree' % (report.failed, report.number))
    return 1 if report.failed else 0


if __name__ == '__main__':
    sys.exit(main())
