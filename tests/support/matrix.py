"""The fault matrix: which tests prove which row, printed as a table (`--rows`), and which rows have no test, and why.

A test says `@pytest.mark.row(14)`, or several numbers. What lives here: the titles, the reasons, and the table; no
test. Known wart: a row is called proved when its tests pass, whether or not they look at all that it says.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pytest

ROWS: Mapping[int, str] = {
    1: "exits with each status, dies of each signal",
    2: "crash loop of 5 ms lives",
    3: "200 workers crash-loop at once",
    4: "exits at once after its start",
    5: "exits while a stop is being sent",
    6: "ignores SIGTERM",
    7: "leader obeys, a child ignores SIGTERM",
    8: "stopped by SIGSTOP, then asked to end",
    9: "cannot be killed",
    10: "daemonises, parent exits",
    11: "forks and escapes by setsid without end",
    12: "fork bomb",
    13: "zombie grandchildren",
    14: "a grandchild holds stdout after the exit",
    15: "closes stdout, runs on",
    16: "last line without newline",
    17: "a GiB without newline",
    18: "binary and invalid UTF-8",
    19: "a million lines a second",
    20: "progress bars",
    21: "fourteen ways in which a program cannot start",
    22: "bad directory, unknown user, no right to become one",
    23: "two workers with one name",
    24: "inherited descriptors and stdin",
    25: "readiness never comes, flaps, hangs",
    26: "a dependency fails, is skipped, stops",
    27: "forged readiness of another worker",
    28: "exhausts memory",
    29: "coroutine raises anything",
    30: "coroutine blocks the loop",
    31: "coroutine swallows cancellation",
    32: "manager killed, again and again, under load",
    33: "keeper killed",
    34: "both killed",
    35: "killed at every step",
    36: "exits while no manager is there",
    37: "process number given out again",
    38: "manager out of memory",
    39: "upgrade; manager and keeper of different versions",
    40: "older version, newer state",
    41: "log disk full or out of inodes",
    42: "state disk full",
    43: "state folder read-only or gone",
    44: "EIO, a stalled disk, one failed fsync",
    45: "power cut",
    46: "history database corrupt",
    47: "journal damaged at each byte",
    48: "segment missing, truncated, replaced",
    49: "live log file deleted or rotated by others",
    50: "rotation under load, reader following",
    51: "retention deletes what is being read",
    52: "the wall clock jumps",
    53: "the service stands still for a while",
    54: "limit of descriptors reached",
    55: "many workers at rest",
    56: "reload: every problem of a bad file is told, and nothing changes",
    57: "reload: renamed, changed, removed",
    58: "two reloads, reload and restart, reload and shutdown",
    59: "config replaced while it is read, huge, a loop, anybody's",
    60: "a second instance, racing starts",
    61: "stale socket, socket swept away",
    62: "state folder from another machine",
    63: "signals, also during the start; a closed terminal",
    64: "shutdown with open streams, a slow download, a stuck request",
    65: "ten thousand changes a second",
    66: "leaks over thousands of restarts",
    72: "the same order twice: a double click, a retry",
    78: "many ranges, overlapping ones, negative ones",
}

ELSEWHERE: Mapping[int, str] = {
    38: "not played yet: to the keeper it is a death like any other (32); limits of memory are not set on the service",
}
"""Rows that cannot be shown, or not wholly, and why."""

GOOD, LEFT_OUT, BAD = "passed", "left out", "FAILED"


def rows_of(item: pytest.Item) -> list[int]:
    return sorted({row for mark in item.iter_markers("row") for row in mark.args})


class Results:
    """What became of the marked tests; filled from reports, which come from other processes too."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], dict[str, str]] = defaultdict(dict)

    def take(self, report: pytest.TestReport) -> None:
        rows = next((value for key, value in report.user_properties if key == "rows"), ())
        if not rows or (report.when != "call" and report.passed):
            return
        result = GOOD if report.passed else LEFT_OUT if report.skipped else BAD
        if result is LEFT_OUT and isinstance(report.longrepr, tuple):
            result = f"{LEFT_OUT}: {str(report.longrepr[2]).removeprefix('Skipped: ')}"
        for row in rows:
            of_test = self._found[row, report.nodeid.partition("[")[0]]
            if of_test.get(report.nodeid) != BAD:
                of_test[report.nodeid] = result

    def table(self) -> list[str]:
        """One line a test, with the row's title before its first one."""
        lines = []
        for row, title in ROWS.items():
            tests = {test: list(cases.values()) for (of, test), cases in self._found.items() if of == row}
            lines.append(f"{row:3} {title}")
            lines += [f"      {test} · {summed(results)}" for test, results in sorted(tests.items())]
            if row in ELSEWHERE:
                lines.append(f"      not shown here: {ELSEWHERE[row]}")
            elif not tests:
                lines.append("      no test ran")
        return lines


def summed(results: Iterable[str]) -> str:
    """ "passed", "3 passed", "1 FAILED, 2 passed"."""
    counts: dict[str, int] = defaultdict(int)
    for result in results:
        counts[result] += 1
    if len(counts) == 1 and sum(counts.values()) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
