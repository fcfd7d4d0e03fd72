# SPDX-License-Identifier: Apache-2.0
"""A heap, replayed from the log that programs/seeded.c writes: what is alive at each mark, who made
and ended what, and all sums that follow. Knows nothing of exports."""

import dataclasses


@dataclasses.dataclass(eq=False)
class Block:
    addr: int
    size: int
    tid: int
    site: str
    scope: str
    usable: int
    born: tuple  # nanoseconds before and after
    birth_turn: int  # what happened in one turn may have happened in any order
    resized_from: object = None  # a Block
    is_inherited: bool = False
    name: tuple = None  # and type
    died: tuple = None
    death_turn: int = None
    freed_by: int = None
    freed_site: str = None
    next: object = None  # a Block: the next one of its thread


class Sums(dict):
    """By any key: how many blocks, and their bytes."""

    def add(self, key, size, sign=1):
        count, total = self.get(key, (0, 0))
        self[key] = (count + sign, total + sign * size)
        if self[key] == (0, 0):
            del self[key]


def sums_of(blocks, key):
    sums = Sums()
    for block in blocks:
        sums.add(key(block), block.size)
    return sums


class State:
    """What is alive at an instant: by address, the block and what it was called then."""

    def __init__(self, heap, when):
        self.when = when
        self.live = dict(heap.live)
        self.names = {addr: block.name for addr, block in heap.live.items()}
        self.born_count = len(heap.births)

    def blocks(self):
        return list(self.live.values())


class Heap:
    """One process, from its beginning: what its log tells is added by read().

    @parent: the heap of the process that forked it, as of the fork; or None
    """

    def __init__(self, pid, parent=None):
        self.pid = pid
        self.parent = parent
        self.live, self.births, self.deaths = {}, [], []
        self.turn, self.is_at_once = 0, False
        self.last = {}  # of each thread: its last allocation
        self.tids, self.resizes = set(), 0
        self.thread_names = {}
        self.marks = {}
        self.entered, self.allocated_in = Sums(), Sums()
        self.named = Sums()  # by the program
        self.called = Sums()  # all that ever had a name, also from what they were
        self.children = {}  # by pid: when it was forked
        self.ends = {}  # and when it was seen to have ended
        self.inherited = []
        if parent:
            self.inherit(parent)

    def inherit(self, parent):
        for addr, block in parent.live.items():
            self.live[addr] = dataclasses.replace(block, is_inherited=True, next=None)
        self.inherited = list(self.live.values())
        for block in self.inherited:
            if block.name:
                self.called.add(block.name, block.size)

    # ---- One step each; @when: nanoseconds before and after ----

    def birth(self, when, tid, addr, size, site, scope, usable, was=None):
        assert addr not in self.live, f"{addr:#x} is alive"
        block = Block(addr, size, tid, site, scope, usable, when, self.turn, was)
        if tid in self.last:
            self.last[tid].next = block
        self.live[addr] = self.last[tid] = block
        self.births.append(block)
        if scope != "-":
            self.allocated_in.add(scope, size)
        if was and was.name:
            block.name = was.name
            self.called.add(block.name, size)

    def death(self, when, tid, addr, site):
        block = self.live.pop(addr)
        block.died, block.death_turn = when, self.turn
        block.freed_by, block.freed_site = tid, site
        self.deaths.append(block)
        return block

    def name(self, at, name, of_type):
        for addr, block in self.live.items():
            if addr <= at < addr + block.size:
                if block.name != (name, of_type):
                    self.named.add((name, of_type), block.size)
                    self.called.add((name, of_type), block.size)
                block.name = (name, of_type)

    # ---- The log ----

    def steps_of(self, word, tid, when, rest):
        """What a line of a block tells: steps, each with a moment for it. An address is free before
        its block's end is over, and a block is there before its birth is: so ordered, no step of
        a thread comes before one of another's that it followed."""
        if word == "b":
            block = int(rest[0], 16), int(rest[1]), *rest[2:4], int(rest[4])
            yield when[1], lambda: self.birth(when, tid, *block)
        elif word == "r":
            self.resizes += 1
            old, block = int(rest[0], 16), (int(rest[1], 16), int(rest[2]), *rest[3:5], int(rest[5]))
            was = []
            yield when[0], lambda: was.append(self.death(when, tid, old, rest[3]))
            yield when[1], lambda: self.birth(when, tid, *block, *was)
        elif word == "d":
            yield when[0], lambda: self.death(when, tid, int(rest[0], 16), rest[1])
        elif word == "v":
            yield when[1], lambda: self.name(int(rest[0], 16), rest[1], rest[2])

    def read(self, log):
        """Does what a log tells. Yields the pid of each child, when the heap is as it was at the
        fork."""
        at_once = None
        for line in log.read_text().splitlines():
            word, tid, *rest = line.split()
            tid, when, rest = int(tid), (int(rest[-2]), int(rest[-1])), rest[:-2]
            if word in "brdvslm":
                self.acted = when
            if word in "brdv":
                if word != "v":
                    self.tids.add(tid)
                steps = list(self.steps_of(word, tid, when, rest))
                if at_once is not None:
                    at_once += steps
                    continue
                for _, step in steps:
                    step()
                self.turn += 1
            elif word == "(":
                at_once = []
            elif word == ")":
                for _, step in sorted(at_once, key=lambda step: step[0]):
                    step()
                at_once = None
                self.turn += 1
            elif word == "o":
                self.begun, self.ahead = when, (int(rest[0]), int(rest[1]))
            elif word == "n":
                self.thread_names[tid] = rest[0]
            elif word == "s":
                self.entered.add(rest[0], 0)
            elif word == "m":
                self.marks[rest[0]] = State(self, when)
            elif word == "c":
                self.children[int(rest[0])] = when
                yield int(rest[0])
            elif word == "w":
                self.ends[int(rest[0])] = when
            elif word == "e":
                self.status = int(rest[0])
        self.end = State(self, when)


def read_family(log, pid, parent=None):
    """The heaps of a process and of all that descend from it; @log: what comes before .PID"""
    heap = Heap(pid, parent)
    family = [heap]
    for child in heap.read(log.with_name(f"{log.name}.{pid}")):
        family += read_family(log, child, heap)
    return family
