"""A client that keeps the results of its searches by what ESEARCH tells (RFC 5267), and its numbers by EXPUNGE and EXISTS."""
import re

from .imapdata import numbers

ESEARCH = re.compile(rb'\* ESEARCH \(TAG "([^"]+)"\)( UID)?(.*)$')
PAIRS = re.compile(rb" (ADDTO|REMOVEFROM) \(([^)]*)\)")
EXISTS = re.compile(rb"\* (\d+) EXISTS$")
EXPUNGE = re.compile(rb"\* (\d+) EXPUNGE$")
VANISHED = re.compile(rb"\* VANISHED (\S+)$")
NOUPDATE = re.compile(rb'\* NO \[NOUPDATE "([^"]+)"\]')


class Result:
    """One result in its order; sequence numbers move with EXPUNGE."""

    def __init__(self, uid, ordered):
        self.uid, self.ordered, self.known = uid, ordered, None

    def add(self, position, new):
        twice = set(new) & set(self.known)
        assert not twice and len(set(new)) == len(new), f"ADDTO of what is there: {sorted(twice)}"
        if position == 0:
            assert not self.ordered, "a sorted result needs positions"
            self.known = sorted(self.known + new)
            return
        assert position <= len(self.known) + 1, f"ADDTO at {position} of {len(self.known)}"
        self.known[position - 1:position - 1] = new

    def remove(self, position, old):
        if position == 0:
            assert not self.ordered, "a sorted result needs positions"
            missing = set(old) - set(self.known)
            assert not missing, f"REMOVEFROM of what is not there: {sorted(missing)}"
            self.known = [n for n in self.known if n not in set(old)]
            return
        there = self.known[position - 1:position - 1 + len(old)]
        assert there == old, f"REMOVEFROM at {position}: {old}, there is {there}"
        del self.known[position - 1:position - 1 + len(old)]

    def told(self, rest):
        for name, pairs in PAIRS.findall(rest):
            words = pairs.split()
            for position, members in zip(words[::2], words[1::2]):
                (self.add if name == b"ADDTO" else self.remove)(int(position), numbers(members))

    def expunged(self, number):
        if self.uid:
            return
        assert number not in self.known, f"EXPUNGE {number} before its REMOVEFROM"
        self.known = [n - (n > number) for n in self.known]


class Keeper:
    """The results of one session, by tag."""

    def __init__(self):
        self.results, self.refused, self.exists = {}, set(), 0

    def follow(self, tag, uid, first, ordered=False):
        result = Result(uid, ordered)
        result.known = list(first)
        self.results[tag] = result

    def line(self, line):
        found = ESEARCH.match(line)
        if found and found[1] in self.results and PAIRS.search(found[3]):
            assert bool(found[2]) == self.results[found[1]].uid, line
            self.results[found[1]].told(found[3])
            assert not any(n > self.exists for r in self.results.values() if not r.uid for n in r.known), \
                f"a number above EXISTS: {line}"
        elif EXISTS.match(line):
            self.exists = int(EXISTS.match(line)[1])
        elif EXPUNGE.match(line):
            self.exists -= 1
            for result in self.results.values():
                result.expunged(int(EXPUNGE.match(line)[1]))
        elif VANISHED.match(line):
            gone = numbers(VANISHED.match(line)[1])
            self.exists -= len(gone)
            for result in self.results.values():
                assert not (result.uid and set(gone) & set(result.known)), f"{line} before its REMOVEFROM"
        elif NOUPDATE.match(line):
            self.refused.add(NOUPDATE.match(line)[1])

    def lines(self, lines):
        for line in lines:
            self.line(line)
