# SPDX-License-Identifier: Apache-2.0
"""A heap, replayed from the log that programs/seeded.c writes: what is alive at each mark, who made
and ended what, and all sums that follow. Knows nothing of exports."""

import copy
import dataclasses

@dataclasses.dataclass(eq=False)
class Block:
    addr: int
    size: int
    tid: int
    site: str
    scope: str
    number: int  # in order of birth
    born: tuple  # nanoseconds before and after
    usable: int
    resized_from: object = None  # a Block
    is_inherited: bool = False
    name: tuple = None  # and type
    died: tuple = None
    freed_by: int = None
    is_temporary: bool = False


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

    def __init__(self, heap):
        self.live = dict(heap.live)
        self.names = {addr: block.name for addr, block in heap.live.items()}
        self.live_bytes = heap.live_bytes
        self.born_count = len(heap.births)

    def blocks(self):
        return list(self.live.values())


class Heap:
    """One process, from its beginning: what its log tells is added by read().

    @parent: the heap of the process that forked it, as of the fork; or None
    """

    def __init__(self, pid, parent=None):
        self.pid = pid
        self.live, self.births, self.deaths = {}, [], []
        self.live_bytes = 0
        self.last = {}  # of each thread: its last allocation
        self.tids, self.resizes, self.highest = set(), 0, 0
        self.marks, self.peak = {}, None
        self.entered, self.allocated_in, self.named = Sums(), Sums(), Sums()
        self.children = []
        self.inherited = []
        if parent:
            self.inherit(parent)

    def inherit(self, parent):
        for addr, block in parent.live.items():
            self.live[addr] = copy.copy(block)
            self.live[addr].is_inherited = True
            self.live_bytes += block.size
        self.inherited = list(self.live.values())
        self.note_peak()

    # ---- One step each; @when: nanoseconds before and after ----

    def birth(self, when, tid, addr, size, site, scope, usable, was=None):
        assert addr not in self.live, f"{addr:#x} is alive"
        block = Block(addr, size, tid, site, scope, len(self.births), when, usable, was)
        self.live[addr] = self.last[tid] = block
        self.births.append(block)
        self.live_bytes += size
        if scope != "-":
            self.allocated_in.add(scope, size)
        if was:
            block.name = was.name
        self.note_peak()

    def death(self, when, tid, addr):
        block = self.live.pop(addr)
        block.died, block.freed_by = when, tid
        block.is_temporary = self.last.get(block.tid) is block
        self.live_bytes -= block.size
        self.deaths.append(block)
        return block

    def resize(self, when, tid, old, addr, size, site, scope, usable):
        block = self.death(when, tid, old)
        self.resizes += 1
        self.birth(when, tid, addr, size, site, scope, usable, block)

    def name(self, at, name, of_type):
        for addr, block in self.live.items():
            if addr <= at < addr + block.size:
                if block.name != (name, of_type):
                    self.named.add((name, of_type), block.size)
                block.name = (name, of_type)

    def note_peak(self):
        if self.live_bytes > self.highest:
            self.highest = self.live_bytes
            self.peak = State(self)

    def read(self, log):
        """Does what a log tells. Yields the pid of each child, when the heap is as it was at the
        fork."""
        for line in log.read_text().splitlines():
            word, tid, *rest = line.split()
            tid, when, rest = int(tid), (int(rest[-2]), int(rest[-1])), rest[:-2]
            if word in "brd":
                self.tids.add(tid)
            if word == "b":
                self.birth(when, tid, int(rest[0], 16), int(rest[1]), *rest[2:4], int(rest[4]))
            elif word == "r":
                numbers = int(rest[0], 16), int(rest[1], 16), int(rest[2])
                self.resize(when, tid, *numbers, *rest[3:5], int(rest[5]))
            elif word == "d":
                self.death(when, tid, int(rest[0], 16))
            elif word == "v":
                self.name(int(rest[0], 16), rest[1], rest[2])
            elif word == "s":
                self.entered.add(rest[0], 0)
            elif word == "m":
                self.marks[rest[0]] = State(self)
            elif word == "c":
                self.children.append(int(rest[0]))
                yield int(rest[0])
        self.end = State(self)


def read_family(log, pid, parent=None):
    """The heaps of a process and of all that descend from it; @log: what comes before .PID"""
    heap = Heap(pid, parent)
    family = [heap]
    for child in heap.read(log.with_name(f"{log.name}.{pid}")):
        family += read_family(log, child, heap)
    return family
