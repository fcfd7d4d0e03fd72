# SPDX-License-Identifier: Apache-2.0
"""Readings to tables. A figure is the median of its runs, with the least and the most; a ratio, or
what is added, that of the ratios within one round each, in which both were run one after the other:
a machine whose pace changes from round to round (a busy host's) would set the one's median against
the other's of another pace."""

import math
import statistics

OURS, NOWHERE, PEER = "trace-tools", "daemon to nowhere", "heaptrack --raw"


class Figure:
    def __init__(self, values):
        self.median = statistics.median(values)
        self.least, self.most = min(values), max(values)

    def text(self, digits=2, scale=1.0, sign=""):
        middle, least, most = (
            f"{value * scale:{sign}.{digits}f}" for value in (self.median, self.least, self.most)
        )
        return middle if least == most else f"{middle} ({least}…{most})"

    def as_json(self):
        return {"median": self.median, "min": self.least, "max": self.most}


class Readings:
    """What was seen, by work and way: a dict for each round in which it was run."""

    def __init__(self, works, ways):
        self.works = works
        self.ways = ways
        self.seen = {}

    def add(self, work, way, round_number, seen):
        self.seen.setdefault((work.name, way.name), {})[round_number] = seen

    def values(self, work, way_name, key):
        rounds = self.seen.get((work.name, way_name), {})
        return {number: seen[key] for number, seen in rounds.items() if seen.get(key) is not None}

    def figure(self, work, way_name, key):
        values = self.values(work, way_name, key)
        return Figure(values.values()) if values else None

    def compared(self, work, way, key, combine):
        """A figure made of a way's and its base's."""
        base = self.values(work, way.base, key)
        own = self.values(work, way.name, key)
        if not base or not own:
            return None
        return Figure([combine(own[number], base[number]) for number in own if number in base])

    def ratio(self, work, way, key):
        return self.compared(work, way, key, lambda own, base: own / base if base else math.nan)

    def added(self, work, way, key):
        return self.compared(work, way, key, lambda own, base: own - base)

    def works_of(self, kind):
        return [work for work in self.works if work.kind == kind]

    def way(self, name):
        return next((way for way in self.ways if way.name == name), None)

    def has(self, kind, way):
        return any((work.name, way.name) in self.seen for work in self.works_of(kind))


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def cell(figure, **form):
    return figure.text(**form) if figure else "—"


def micro_table(readings):
    ways = [way for way in readings.ways if readings.has("micro", way)]
    rows = []
    for work in readings.works_of("micro"):
        row = [work.name]
        for way in ways:
            if way.base == way.name:
                row.append(cell(readings.figure(work, way.name, "pair_ns"), digits=1))
            else:
                row.append(cell(readings.added(work, way, "pair_ns"), digits=1, sign="+"))
        rows.append(row)
    return markdown(["ns a pair", *[way.name for way in ways]], rows)


def ratio_table(readings, kind, key, unit, scale=1.0):
    ways = [way for way in readings.ways if readings.has(kind, way)]
    rows, ratios = [], {way.name: [] for way in ways}
    for work in readings.works_of(kind):
        row = [work.name]
        for way in ways:
            if way.base == way.name:
                row.append(cell(readings.figure(work, way.name, key), digits=3, scale=scale))
                continue
            ratio = readings.ratio(work, way, key)
            row.append(cell(ratio))
            if ratio:
                ratios[way.name].append(ratio.median)
        rows.append(row)
    if len(rows) > 1:
        means = [geometric_mean(ratios[way.name]) for way in ways]
        rows.append(["geometric mean", *["" if mean is None else f"{mean:.2f}" for mean in means]])
    return markdown([f"{unit}, then ×", *[way.name for way in ways]], rows)


def memory_table(readings):
    mib = 1 / (1 << 20)
    ways = [way for way in readings.ways if any(readings.has(k, way) for k in ("micro", "real"))]
    rows = []
    for work in readings.works_of("micro") + readings.works_of("real"):
        row = [work.name]
        figures = [readings.figure(work, way.name, "program_bytes") for way in ways]
        figures += [readings.figure(work, OURS, key) for key in ("daemon_bytes", "symbolizer_bytes")]
        row += [cell(figure, digits=1, scale=mib) for figure in figures]
        rows.append(row)
    head = ["MiB at the peak", *[way.name for way in ways], "our daemon", "our symbolizer"]
    return markdown(head, rows)


def bytes_per_event(readings, work):
    size = readings.figure(work, NOWHERE, "lane_bytes")
    events = readings.figure(work, NOWHERE, "lane_events")
    return size.median / events.median if size and events and events.median else None


def events_table(readings):
    rows = []
    for work in readings.works_of("micro") + readings.works_of("real"):
        events = readings.figure(work, OURS, "events")
        cpu = readings.figure(work, OURS, "daemon_cpu_seconds")
        each = bytes_per_event(readings, work)
        rows.append(
            [
                work.name,
                cell(events, digits=0),
                cell(readings.figure(work, NOWHERE, "lane_bytes"), digits=0),
                "—" if each is None else f"{each:.2f}",
                cell(readings.figure(work, OURS, "dropped"), digits=0),
                "—" if not (events and cpu) else f"{events.median / cpu.median / 1e6:.1f}",
                cell(readings.figure(work, OURS, "export_seconds")),
                cell(readings.figure(work, OURS, "export_cpu_seconds")),
                cell(readings.figure(work, OURS, "symbolizer_cpu_seconds")),
            ]
        )
    head = ["", "events", "bytes in lanes", "bytes an event", "dropped"]
    head += ["M events a second of daemon CPU"]
    head += ["export, s", "its daemon CPU, s", "its symbolizer CPU, s"]
    return markdown(head, rows)


def daemon_table(rows):
    return markdown(
        ["apply", "live blocks", "M events/s", "ns an event", "bytes a block"],
        [
            [row["what"], f"{row['blocks']:,}"]
            + [f"{row[key]:.1f}" for key in ("mega_events", "ns", "bytes_a_block")]
            for row in rows
        ],
    )
