"""From samples to tables: medians with their extremes, ratios to the best rival, and the goals that are missed.

Known wart: a ratio of two small figures says little; the figures stand beside it.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .axes import FLOODS

Sample = dict[str, Any]
"""`doing`, `size`, `peer`, `kind`, `round`, `busy`, and either `figures` or `failed`."""


@dataclass(frozen=True)
class Column:
    """One figure of a table. `percentile`: of all values of all rounds, where one sample has many.

    `edge`: -1 or 1 for the lower or the upper end of what a median may be, see `edge_of_median`.
    """

    key: str
    title: str
    digits: int = 2
    more_is_better: bool = False
    percentile: float | None = None
    ratio: bool = True
    edge: int = 0


@dataclass(frozen=True)
class Table:
    """Some figures of one kind of life; printed once for each size that was measured."""

    title: str
    doing: str
    columns: tuple[Column, ...]


TABLES = (
    Table(
        "Boot, N={size}: seconds from exec to the workers' own notes",
        "standing",
        (
            Column("first", "first s", 3),
            Column("boot", "all s", 3),
            Column("boot_cpu", "CPU s then", 3),
            Column("settled_cpu", "CPU s at rest", 3),
        ),
    ),
    Table(
        "Memory, N={size}: all of the supervisor's own processes, no worker",
        "standing",
        (
            Column("rss", "RSS MiB", 1),
            Column("pss", "PSS MiB", 1),
            Column("private", "private MiB", 1),
            Column("keeper_private", "of it the keeper", 1, ratio=False),
            Column("service_private", "the service", 1, ratio=False),
        ),
    ),
    Table("Rest, N={size}", "standing", (Column("idle", "CPU s a minute", 4),)),
    Table(
        "SIGKILL to the new process's note, N={size}",
        "standing",
        (
            Column("restart", "p50 ms", 1, percentile=0.5),
            Column("restart", "p99 ms", 1, percentile=0.99),
            Column("restart_cpu", "CPU ms each", 2),
        ),
    ),
    Table(
        "100 killed at once, N={size}",
        "standing",
        (Column("kill_all", "all back s", 3), Column("kill_all_cpu", "CPU s", 3)),
    ),
    Table(
        "Stop, N={size}: seconds from the order",
        "standing",
        (Column("stop", "last worker gone s", 3), Column("gone", "supervisor gone s", 3)),
    ),
    Table(
        "Crash storm, {size} workers that end at once, for ever",
        "storm",
        (
            Column("starts", "starts a second", 0, more_is_better=True, ratio=False),
            Column("share", "% of a core", 1, ratio=False),
            Column("start_cpu", "CPU ms a start", 3),
        ),
    ),
    *(
        Table(
            f"Log lines of 100 bytes, {flood.title}",
            f"logs {name}",
            (
                Column("rate", "M lines/s", 2, more_is_better=True),
                Column("cpu", "CPU s a M lines", 3),
                Column("lost", "lost", 0, ratio=False),
                Column("rss", "RSS MiB then", 0, ratio=False),
            ),
        )
        for name, flood in FLOODS.items()
    ),
    Table(
        "A supervisor's process is killed again and again under {size} writers",
        "survive",
        (
            Column("lines", "lines", 0, ratio=False),
            Column("lost", "lost", 0, ratio=False),
            Column("doubled", "doubled", 0, ratio=False),
            Column("torn", "torn", 0, ratio=False),
            Column("touched", "workers ended", 0, ratio=False),
            Column("twice", "running twice", 0, ratio=False),
            Column("ends", "ends", 0, ratio=False),
            Column("unexplained", "code unknown or wrong", 0, ratio=False),
            Column("back", "p50 s until it answers", 3, percentile=0.5, ratio=False),
            Column("back", "longest", 3, percentile=1.0, ratio=False),
        ),
    ),
    Table(
        "A worker that floods its log while somebody looks, in turns: % fewer lines than beside it with nobody",
        "watched",
        (
            Column("alone", "M lines/s alone", 2, more_is_better=True, percentile=0.5, ratio=False),
            *(
                Column(key, f"{title}{part}", 2, percentile=0.5, ratio=False, edge=edge)
                for key, title in (("noise", "nobody"), ("unread", "open, takes nothing"), ("read", "reads all"))
                for part, edge in ((": from", -1), (", median", 0), (", to", 1))
            ),
        ),
    ),
    Table(
        "The same: the supervisor's CPU seconds a million lines",
        "watched",
        (
            Column("alone_cpu", "nobody", 3, percentile=0.5, ratio=False),
            Column("unread_cpu", "open, takes nothing", 3, percentile=0.5, ratio=False),
            Column("read_cpu", "reads all", 3, percentile=0.5, ratio=False),
        ),
    ),
)


OURS = "quarterdeck"


@dataclass(frozen=True)
class Goal:
    """What one figure of ours should be at most (at least, where more is better); a text names a rival's row."""

    doing: str
    size: int
    column: str
    bound: float | str
    percentile: float | None = None
    peer: str = OURS
    edge: int = 0


ALONE = "quarterdeck --in-process"
GOALS = (
    *(Goal("standing", n, "boot", bound) for n, bound in ((10, 0.12), (100, 0.2), (1000, 1.2))),
    *(Goal("standing", n, "first", 0.12) for n in (10, 100, 1000)),
    Goal("standing", 1000, "settled_cpu", 1.1),
    Goal("standing", 0, "keeper_private", 12.0),
    Goal("standing", 0, "service_private", 48.0),
    Goal("standing", 1000, "private", 72.0),
    Goal("standing", 1000, "boot", 1.0, peer=ALONE),
    Goal("standing", 1000, "settled_cpu", 0.6, peer=ALONE),
    Goal("standing", 1000, "pss", 60.0, peer=ALONE),
    *(Goal("standing", n, "idle", 0.01) for n in (100, 1000)),
    *(Goal("standing", n, "restart", 2.0, 0.5) for n in (10, 1000)),
    *(Goal("standing", n, "restart", 10.0, 0.99) for n in (10, 1000)),
    Goal("standing", 100, "kill_all", 0.1),
    *(Goal("standing", n, "stop", bound) for n, bound in ((100, 0.1), (1000, 0.5))),
    Goal("storm", 100, "start_cpu", 0.25),
    *(Goal(f"logs {name}", n, "rate", "supervisord") for name, n in (("one", 1), ("many", 100), ("line", 1))),
    Goal("logs one", 1, "cpu", 0.07),
    Goal("logs line", 1, "cpu", 0.12),
    *(Goal(f"logs {name}", n, "lost", 0.0) for name, n in (("one", 1), ("many", 100), ("line", 1))),
    *(
        Goal("survive", 20, column, 0.0, peer=f"quarterdeck, {whom} killed")
        for whom in ("service", "keeper")
        for column in ("lost", "doubled", "torn", "touched", "twice", "unexplained")
    ),
    Goal("watched", 1, "unread", 1.0, 0.5, edge=1),
    *(Goal("survive", 20, "back", 2.0, 1.0, f"quarterdeck, {whom} killed") for whom in ("service", "keeper")),
)


def percentile(values: Sequence[float], part: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def edge_of_median(values: Sequence[float], side: int) -> float:
    """One end of the interval that holds the true median in 95 of 100 such runs, whatever the values' distribution.

    By ranks, n/2 - 0.98 sqrt(n) and 1 + n/2 + 0.98 sqrt(n): the sign test, with the normal distribution in the place of
    the binomial one (Conover, Practical Nonparametric Statistics, 3.2).
    """
    ordered = sorted(values)
    middle, width = len(ordered) / 2, 0.98 * math.sqrt(len(ordered))
    place = math.floor(middle - width) - 1 if side < 0 else math.ceil(middle + width)
    return ordered[min(max(0, place), len(ordered) - 1)]


def spread(samples: Iterable[Sample], column: Column) -> tuple[float, float, float] | None:
    """Gives the figure, and the smallest and largest of a round; None when no sample has it."""
    found = [sample["figures"][column.key] for sample in samples if column.key in sample.get("figures", {})]
    if not found:
        return None
    if column.percentile is None:
        return statistics.median(found), min(found), max(found)
    everything = [value for values in found for value in values]
    if column.edge:
        figure = edge_of_median(everything, column.edge)
        return figure, figure, figure
    rounds = [percentile(values, column.percentile) for values in found]
    return percentile(everything, column.percentile), min(rounds), max(rounds)


class Results:
    """All samples of one run, or of several."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def rows(self, doing: str, size: int) -> dict[str, list[Sample]]:
        """Samples by peer, in the order of the rounds."""
        found: dict[str, list[Sample]] = {}
        for sample in self.samples:
            if sample["doing"] == doing and sample["size"] == size:
                found.setdefault(sample["peer"], []).append(sample)
        return found

    def sizes(self, doing: str) -> list[int]:
        return sorted({sample["size"] for sample in self.samples if sample["doing"] == doing})

    def tables(self) -> Iterator[str]:
        """Gives each table that has a figure, in Markdown."""
        for table in TABLES:
            for size in self.sizes(table.doing):
                text = self._table(table, size)
                if text:
                    yield text

    def _table(self, table: Table, size: int) -> str:
        rows = self.rows(table.doing, size)
        best = [self._best(rows, column) for column in table.columns]
        lines = [["", *(column.title for column in table.columns), "rounds"]]
        for peer, samples in rows.items():
            cells = [
                cell(spread(samples, column), column, top) for column, top in zip(table.columns, best, strict=True)
            ]
            failed = sorted({sample["failed"] for sample in samples if "failed" in sample})
            if any(cells) or failed:
                lines.append([peer, *cells, str(len(samples)) + "".join(f"; {why}" for why in failed)])
        if not any(any(line[1:-1]) for line in lines[1:]):
            return ""
        return f"### {table.title.format(size=f'{size:,}')}\n\n{aligned(lines)}\n"

    def _best(self, rows: dict[str, list[Sample]], column: Column) -> float | None:
        rivals = [samples for samples in rows.values() if samples[0]["kind"] == "rival"]
        found = [value[0] for samples in rivals if (value := spread(samples, column))]
        choose = max if column.more_is_better else min
        return choose(found) if found and column.ratio else None

    def goals(self) -> Iterator[str]:
        """Gives a line for each goal that was measured, missed ones first."""
        lines = [line for goal in GOALS if (line := self._goal(goal))]
        yield from sorted(lines, key=lambda line: not line.startswith("missed"))

    def _goal(self, goal: Goal) -> str:
        column, title = next(
            (column, table.title.partition(":")[0].format(size=goal.size))
            for table in TABLES
            for column in table.columns
            if (table.doing, column.key, column.percentile, column.edge)
            == (goal.doing, goal.column, goal.percentile, goal.edge)
        )
        rows = self.rows(goal.doing, goal.size)
        ours = spread(rows.get(goal.peer, ()), column)
        bound = goal.bound
        if isinstance(bound, str):
            theirs = spread(rows.get(bound, ()), column)
            bound = theirs[0] if theirs else math.nan
        if ours is None or math.isnan(bound):
            return ""
        reached = ours[0] >= bound if column.more_is_better else ours[0] <= bound
        name = f" ({goal.bound})" if isinstance(goal.bound, str) else ""
        of = "" if goal.peer == OURS else f"{goal.peer}: "
        least = "at least" if column.more_is_better else "at most"
        return (
            f"{'reached' if reached else 'missed'}: {of}{title}, {column.title}: {ours[0]:.{column.digits}f}, "
            f"goal {least} {bound:.{column.digits}f}{name}"
        )


def cell(value: tuple[float, float, float] | None, column: Column, best: float | None) -> str:
    """A figure, its extremes where they differ, and how many times the best rival's it is."""
    if value is None:
        return ""
    middle, low, high = (f"{part:,.{column.digits}f}" for part in value)
    text = middle if low == high else f"{middle} [{low}-{high}]"
    return text if not best else f"{text} ×{value[0] / best:.2g}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table that can be read as it is."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])
