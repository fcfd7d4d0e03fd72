# SPDX-License-Identifier: Apache-2.0
"""Time in an export: each time against what a program read on its clock before and after, and what
was alive when, as the export's own blocks say, against its timeline and its peak."""

import ctypes
import itertools

from ttlib import check, check_equal

STAMP_NS = 32  # two stamps make a time, and one is of 16 ticks: 16 ns at 1 GHz, 5 at 3
FIT_PPM = 5  # both ends of the daemon's fit are off by 50 ns at most, in 20 ms at least
SLEW_PPM = 500  # by which the kernel slews its clock, where it does
POINTS = 4096  # in a timeline, at most


class Timex(ctypes.Structure):
    """struct timex, as far as it is read."""

    _fields_ = [
        *(("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("frequency", ctypes.c_long)),
        ("rest", ctypes.c_long * 40),
    ]


def read_rate():
    """How the kernel slews CLOCK_MONOTONIC at present."""
    timex = Timex()
    check(ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) >= 0, "adjtimex")
    return timex.offset, timex.frequency


RATE = read_rate()  # before any daemon's fit


class Axis:
    """When a session began, by the program's clock: between what each of its times allows. It may be
    off by a stamp, and by the fit's error since then."""

    def __init__(self):
        self.first, self.last = (0, "nothing"), (1 << 64, "nothing")
        self.ppm = FIT_PPM if RATE == read_rate() and RATE[0] == 0 else SLEW_PPM

    def add(self, t_ns, when, what):
        """@when: before and after it, as the program read its clock"""
        slack = STAMP_NS + t_ns * self.ppm // 1_000_000
        self.first = max(self.first, (when[0] - t_ns - slack, what), key=lambda bound: bound[0])
        self.last = min(self.last, (when[1] - t_ns + slack, what), key=lambda bound: bound[0])

    def check(self):
        off = self.first[0] - self.last[0]
        check(off <= 0, f"{self.first[1]} is {off} ns too early for {self.last[1]}")


class Dates:
    """When a session began, by dates: each is the start's and a time, cut to a millisecond."""

    def __init__(self):
        self.first, self.last = 0, 1 << 64

    def add(self, epoch_ms, t_ns):
        self.first = max(self.first, epoch_ms * 1_000_000 - t_ns)
        self.last = min(self.last, epoch_ms * 1_000_000 + 999_999 - t_ns)

    def check(self, axis, ahead, most):
        """@ahead: of the program's clock, least and most; @most: that the start's date may be late"""
        check(self.first <= self.last, f"dates differ from times by {self.first - self.last} ns")
        check(self.first <= axis.last[0] + ahead[1] + most, "dates are late")
        check(self.last >= axis.first[0] + ahead[0], "dates are early")


# ---- What was alive when ----


class Moment:
    """A time at which something happened: what was alive after it, and what may have been meanwhile,
    of events of several threads within one stamp; in bytes and blocks."""

    def __init__(self, t_ns, settled, among):
        self.t_ns, self.settled, self.among = t_ns, settled, among


def plus(*amounts):
    return tuple(map(sum, zip(*amounts)))


def steps_at(events):
    """Of one time: for each thread, what it may have added by then, after none of its events, the
    first, ….

    @events: thread, bytes, blocks"""
    threads = {}
    for tid, *amount in events:
        so_far = threads.setdefault(tid, [(0, 0)])
        so_far.append(plus(so_far[-1], amount))
    return threads.values()


def moments_of(export):
    """From the start on, in order. Of one thread and one time, a death came before a birth."""
    rows = export["active_allocations"] + export["freed_allocations"]
    own = [row for row in rows if not row["inherited"]]
    dead = export["freed_allocations"]
    events = [(row["died_ns"], 0, row["freed_by_thread"], -row["size"], -1) for row in dead]
    events += [(row["born_ns"], 1, row["thread_id"], row["size"], 1) for row in own]
    state = (export["inherited_bytes"], export["inherited_blocks"])
    moments = [Moment(0, state, {state})]
    for t_ns, group in itertools.groupby(sorted(events), key=lambda event: event[0]):
        steps = steps_at(event[2:] for event in group)
        among = {plus(state, *some) for some in itertools.product(*steps)}
        state = plus(state, *(so_far[-1] for so_far in steps))
        moments.append(Moment(t_ns, state, among))
    return moments


# ---- Against it ----


def check_peak(export, moments):
    """Returns what is alive at it: ids of blocks that are, and of those that may be."""
    peak = (export["peak_bytes"], export["peak_blocks"])
    t_ns = export["peak_ns"]
    highest = max(moment.settled[0] for moment in moments)
    check(peak[0] >= highest, f"{peak} is less than {highest}")
    before = [moment for moment in moments if moment.t_ns < t_ns]
    check(all(m.settled[0] < peak[0] for m in before), f"the peak is later than {peak}")
    check(any(m.t_ns == t_ns and peak in m.among for m in moments), f"{peak} is never at {t_ns}")
    rows = export["active_allocations"] + export["freed_allocations"]
    may = {
        r["id"]
        for r in rows
        if r["born_ns"] <= t_ns and (r["died_ns"] is None or r["died_ns"] >= t_ns)
    }
    must = {
        r["id"]
        for r in rows
        if (r["inherited"] or r["born_ns"] < t_ns) and (r["died_ns"] is None or r["died_ns"] > t_ns)
    }
    return must, may


def check_timeline(export, moments):
    points = [(row["t_ns"], (row["live_bytes"], row["live_blocks"])) for row in export["timeline"]]
    check(len(points) <= POINTS, f"{len(points)} points")
    check_equal(points[0], (0, moments[0].settled), "the start")
    check_equal(points[-1], (export["process"]["duration_ns"], moments[-1].settled), "the end")
    check_equal(points, sorted(points, key=lambda point: point[0]), "order of time")
    check_states(points, moments)
    check_equal(
        max(points, key=lambda point: point[1][0]),
        (export["peak_ns"], (export["peak_bytes"], export["peak_blocks"])),
        "the highest point",
    )
    check_extremes(points, moments)


def check_states(points, moments):
    """Each is what was alive then: after what happened at that time, or before it, in the time since
    what had happened last."""
    at = 0
    for t_ns, state in points:
        while at + 1 < len(moments) and moments[at + 1].t_ns < t_ns:
            at += 1
        meanwhile = [moment.among for moment in moments[at + 1 : at + 2] if moment.t_ns == t_ns]
        among = {moments[at].settled}.union(*meanwhile)
        check(state in among, f"{state} at {t_ns}, where {among} was alive")


def check_extremes(points, moments):
    """No state is beyond all points around it: a bucket has two, so that it has one on each side, or
    both on one."""
    at = 0
    for moment in moments:
        while at + 1 < len(points) and points[at + 1][0] <= moment.t_ns:
            at += 1
        near = [state[0] for _, state in points[max(0, at - 1) : at + 3]]
        check(
            min(near) <= moment.settled[0] <= max(near),
            f"{moment.settled} at {moment.t_ns} is beyond {near} of the timeline",
        )
