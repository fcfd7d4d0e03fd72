# SPDX-License-Identifier: Apache-2.0
"""What must hold, against what was measured. A limit is on a median."""

from tables import NOWHERE, OURS, PEER, geometric_mean, markdown

MILLION = 1_000_000


class Goals:
    """Rows of what, value, limit and held; both None where something was not measured."""

    def __init__(self, readings, daemon_rows):
        self.readings = readings
        self.daemon_rows = daemon_rows
        self.rows = []
        self.ours, self.peer = readings.way(OURS), readings.way(PEER)
        self.works = {work.name: work for work in readings.works}
        self.real = readings.works_of("real")
        self.add_pairs()
        self.add_real()
        self.add_threads()
        self.add_daemon()

    def add(self, what, value, limit, at_least=False):
        is_held = None
        if value is not None:
            is_held = value >= limit if at_least else value <= limit
        words = f"{what}, at least" if at_least else what
        self.rows.append({"what": words, "value": value, "limit": limit, "held": is_held})

    def table(self):
        words = {True: "holds", False: "**missed**", None: "not measured"}
        return markdown(
            ["", "measured", "limit", ""],
            [
                [
                    row["what"],
                    "—" if row["value"] is None else f"{row['value']:.3g}",
                    f"{row['limit']:.3g}",
                    words[row["held"]],
                ]
                for row in self.rows
            ],
        )

    # ---- what they are made of ----

    def added(self, name, way):
        """ns that a way adds to a micro benchmark's pair."""
        if name not in self.works or way is None:
            return None
        return median(self.readings.added(self.works[name], way, "pair_ns"))

    def ratios(self, way):
        """Of the real programs' wall times."""
        found = [self.readings.ratio(work, way, "seconds") for work in self.real] if way else []
        return [ratio.median for ratio in found if ratio]

    def added_by_peer(self, key):
        """What we add over all real programs, as a part of what the peer adds to the same ones."""
        sums = [0.0, 0.0]
        for work in self.real:
            both = [self.readings.added(work, way, key) for way in (self.ours, self.peer) if way]
            if len(both) == 2 and all(both):
                sums = [total + figure.median for total, figure in zip(sums, both)]
        return quotient(*sums)

    def sum(self, way_name, key, works):
        figures = [self.readings.figure(work, way_name, key) for work in works]
        return sum(figure.median for figure in figures if figure) if any(figures) else None

    def applied(self, what, key):
        """A figure of apply-bench's at a million blocks."""
        rows = [r for r in self.daemon_rows if r["what"] == what and r["blocks"] == MILLION]
        return rows[0][key] if rows else None

    # ---- the goals ----

    def add_pairs(self):
        for depth, limit in ((5, 34), (10, 34), (40, 53), (100, 90)):
            ns = self.added(f"pair at depth {depth}", self.ours)
            self.add(f"ns added to a pair at depth {depth}", ns, limit)
        for name, limit in (
            ("pair at depth 5", 1 / 5),
            ("pair at depth 10", 1 / 5),
            ("pair at depth 40", 1 / 8),
            ("pair at depth 100", 1 / 7),
            ("pair in 2 threads", 1 / 6),
            ("tree of 2^17 stacks", 1 / 3),
        ):
            part = quotient(self.added(name, self.ours), self.added(name, self.peer))
            self.add(f"{name}: added time, of heaptrack's", part, limit)

    def add_real(self):
        slowdowns = self.ratios(self.ours)
        self.add("slowdown of real programs, geometric mean", geometric_mean(slowdowns), 1.30)
        self.add("slowdown of real programs, the worst", max(slowdowns, default=None), 1.8)
        self.add("wall time added to them, of heaptrack's", self.added_by_peer("seconds"), 1 / 5)
        self.add("CPU time added, of heaptrack's", self.added_by_peer("cpu_seconds"), 1 / 3)
        for work in self.readings.works_of("empty"):
            seconds = median(self.readings.added(work, self.ours, "seconds")) if self.ours else None
            self.add(f"ms added to {work.name}", seconds and seconds * 1e3, 5)
        size = self.sum(NOWHERE, "lane_bytes", self.real)
        events = self.sum(NOWHERE, "lane_events", self.real)
        self.add("bytes an event over the real programs", quotient(size, events), 5.5)
        for name, limit in (("sampled at 512 KiB", 1.03), ("dormant", 1.01), ("no daemon", 1.01)):
            mean = geometric_mean(self.ratios(self.readings.way(name)))
            self.add(f"slowdown {name}, geometric mean", mean, limit)
        self.add("events dropped", self.sum(OURS, "dropped", self.readings.works), 0)

    def add_threads(self):
        one, two = (
            median(self.readings.figure(self.works[name], NOWHERE, "pair_ns"))
            if name in self.works
            else None
            for name in ("pair at depth 10", "pair in 2 threads")
        )
        # A thread's own pairs: two threads that are as fast as one make twice the events.
        faster = quotient(one and 2 * one, two)
        self.add("events a second of two threads by one's, client alone", faster, 1.8, True)

    def add_daemon(self):
        for what, limit in (("random", 15), ("local", 20)):
            speed = self.applied(what, "mega_events")
            self.add(f"M events/s applied with a million live, {what}", speed, limit, True)
        sizes = [self.applied(what, "bytes_a_block") for what in ("fill", "random", "local")]
        size = max((size for size in sizes if size), default=None)
        self.add("bytes of daemon a live block", size, 72)
        ns = [row["ns"] for row in self.daemon_rows if row["what"] == "local"]
        worst = max(ns) / min(ns) if len(ns) > 1 else None
        self.add("local events from 1e5 to 1e7 live: the dearest by the cheapest", worst, 1.5)


def median(figure):
    return figure.median if figure else None


def quotient(one, other):
    return one / other if one is not None and other else None
