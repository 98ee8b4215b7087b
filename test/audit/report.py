#!/usr/bin/python3
"""Sums up what mg_audit has written: how often the guard's predictions agree with what PostgreSQL's
own regression suite made the server do.  See README.md beside this file.
"""
import argparse
import collections
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = ['no lock', 'AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock',
         'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']
LISTED = MODES.index('ShareUpdateExclusiveLock')    # weakest lock that is a row of explain()
FIRST_USER_OID = 16384
# lock: another one is held afterwards; unseen: none is, though one was predicted; problem: the
# statement was said to fail; kept: asking for the prediction has left a lock
ASPECTS = ['lock', 'unseen', 'rewrite', 'scan', 'builds', 'problem', 'kept']
GOAL = 99.0     # per cent

Said = collections.namedtuple('Said', 'oid lock rewrite scan lookup builds')
Seen = collections.namedtuple('Seen', 'oid held taken rewrite scan builds kind name')
Finding = collections.namedtuple('Finding', 'aspect said seen relation')
Explanation = collections.namedtuple('Explanation', 'aspects pattern reason')


def differences(said, seen):
    """Findings about one relation."""
    found = []
    strong = said.lock if said.lock >= LISTED else 0
    if seen.taken > seen.held and strong != seen.taken:
        found.append(Finding('lock', MODES[strong], MODES[seen.taken], seen))
    elif seen.taken <= seen.held < strong:
        found.append(Finding('unseen', MODES[strong], 'no new lock', seen))
    if seen.kind == 'S':
        return found
    if said.rewrite != seen.rewrite:
        found.append(Finding('rewrite', said.rewrite, seen.rewrite, seen))
    if said.builds != seen.builds:
        found.append(Finding('builds', said.builds, seen.builds, seen))
    if said.scan and not seen.scan or seen.scan and not (said.scan or said.lookup):
        found.append(Finding('scan', said.scan, seen.scan, seen))
    return found


class Statement:
    """One line of the file, with both sides compared."""

    def __init__(self, line):
        self.test = line['test'].rpartition('/')[2]
        self.command, self.error, self.problem = line['command'], line['error'], line['problem']
        self.covered = line['covered']
        self.sql = re.sub(r'\s+', ' ', re.sub(r'--[^\n]*', '', line['sql'])).strip()
        said = {row[0]: Said(*row) for row in line['predicted'] if row[0] >= FIRST_USER_OID}
        seen = {row[0]: Seen(*row) for row in line['observed']}
        self.said, self.seen = said, seen
        self.found = []
        if line['left_lock']:
            self.found.append(Finding('kept', 'no lock', 'a lock', None))
        if self.error:
            return
        if self.problem:
            self.found.append(Finding('problem', self.problem, 'success', None))
        for oid, other in seen.items():
            self.found += differences(said.get(oid, Said(oid, 0, False, False, False, 0)), other)
        self.found += [Finding('unseen', MODES[said[oid].lock], 'no such relation', None)
                       for oid in set(said) - set(seen) if said[oid].lock >= LISTED]

    def concerns(self):
        """Is anything said or seen of a relation that existed before?"""
        return (any(row.lock >= LISTED or row.rewrite or row.scan or row.builds for row in self.said.values()) or
                any(row.taken > row.held or row.rewrite or row.scan or row.builds for row in self.seen.values()))

    def harmless_rewrites(self):
        """Rewrites of tables that the guard has not announced, of a command that it knows."""
        return self.covered and [one for one in self.found if one.aspect == 'rewrite' and one.seen and one.relation.kind in 'rm']

    def unexplained(self, explanations, used):
        """Findings without an explanation."""
        text = '%s: %s' % (self.test, self.sql)
        rest = []
        for one in self.found:
            fits = [e for e in explanations if one.aspect in e.aspects and e.pattern.search(text)]
            used.update(fits[:1])
            if not fits:
                rest.append(one)
        return rest

    def show(self, found, width):
        """Lines that tell about findings."""
        sql = self.sql if len(self.sql) <= width else self.sql[:width] + '...'
        lines = ['%s: %s' % (self.test, sql)]
        for one in found:
            name = '%s "%s": ' % (one.relation.kind, one.relation.name) if one.relation else ''
            lines.append('    %s%s predicted %s, observed %s' % (name, one.aspect, one.said, one.seen))
        return lines


def read_explanations(path):
    """Lines of 'aspect,aspect /pattern/ reason'."""
    explanations = []
    with open(path, encoding='utf-8') as source:
        for number, line in enumerate(source, 1):
            line = line.strip()
            if not line or line.startswith('#'):
                continue
            match = re.match(r'([a-z,]+)\s+/(.*?)/\s+(\S.*)$', line)
            aspects = match and match.group(1).split(',')
            if not match or set(aspects) - set(ASPECTS):
                raise ValueError('%s:%d: not "aspect /pattern/ reason"' % (path, number))
            explanations.append(Explanation(tuple(aspects), re.compile(match.group(2), re.I), match.group(3)))
    return explanations


def read_statements(path):
    """All statements of the file, in order."""
    with open(path, encoding='utf-8', errors='replace') as source:
        return [Statement(json.loads(line)) for line in source]


def agreement(statements, title):
    """Prints the figures; True if the goal is reached."""
    ran = [s for s in statements if not s.error]
    touching = [s for s in ran if s.concerns()]
    wrong = [s for s in ran if s.found]

    def percent(part, whole):
        return 100.0 * (whole - part) / whole if whole else 0.0
    overall = percent(len(wrong), len(ran))
    print('core regression suite: %d statements, %.2f %% agreement (%s)' % (len(ran), overall, title))
    print('core regression suite: %d of them concern a relation that existed before, %.2f %% agreement'
          % (len(touching), percent(len([s for s in touching if s.found]), len(touching))))
    for what, aspects in (('locks', ('lock', 'unseen')), ('rewrites', ('rewrite',)), ('scans', ('scan',)),
                           ('index builds', ('builds',))):
        number = len([s for s in touching if any(one.aspect in aspects for one in s.found)])
        print('    %-12s %.2f %%, %d disagreements' % (what, percent(number, len(touching)), number))
    failed = [s for s in statements if s.error]
    foreseen = [s for s in failed if s.problem]
    print('%d statements fail and are not compared; of %d the guard has said so, %d with the same SQLSTATE'
          % (len(failed), len(foreseen), len([s for s in foreseen if s.problem == s.error])))
    return overall >= GOAL


def groups(statements, examples, width):
    """Prints all disagreements by command and aspect."""
    grouped = collections.defaultdict(list)
    for one in statements:
        if one.found:
            grouped[one.command, ','.join(sorted({f.aspect for f in one.found}))].append(one)
    for (command, aspects), members in sorted(grouped.items(), key=lambda item: -len(item[1])):
        print('%d x %s: %s%s' % (len(members), command, aspects, '' if members[0].covered else ' (not covered)'))
        for member in members[:examples]:
            print('    ' + '\n    '.join(member.show(member.found, width)))


def main():
    """Command line; exit status 1 if what --only asks for does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('file')
    parser.add_argument('--only', choices=['harmless', 'explained', 'agreement', 'groups'], default='groups')
    parser.add_argument('--title', default='')
    parser.add_argument('--examples', type=int, default=5, help='per group')
    parser.add_argument('--width', type=int, default=300, help='of a statement')
    parser.add_argument('--unexplained', action='store_true', help='groups: leave out what is explained')
    args = parser.parse_args()
    statements = read_statements(args.file)
    explanations = read_explanations(os.path.join(HERE, 'explained.txt'))
    used = set()
    if args.only == 'agreement':
        return 0 if agreement(statements, args.title) else 1
    if args.only == 'harmless':
        wrong = [(s, s.harmless_rewrites()) for s in statements]
    elif args.only == 'explained':
        wrong = [(s, s.unexplained(explanations, used)) for s in statements]
    else:
        if args.unexplained:
            for one in statements:
                one.found = one.unexplained(explanations, used)
        groups(statements, args.examples, args.width)
        agreement(statements, args.title)
        return 0
    wrong = [(s, found) for s, found in wrong if found]
    for statement, found in wrong[:100]:
        print('\n'.join(statement.show(found, args.width)))
    print('%d statements; %d of %d explanations are used' % (len(wrong), len(used), len(explanations))
          if args.only == 'explained' else '%d statements' % len(wrong))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
