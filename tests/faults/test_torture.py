"""Floods through the whole path: nothing is lost, memory stays flat, and other workers are started as quickly.

Each has a small size for every run and the full one, marked `long`. What was measured is printed (`-s` shows it) and is
a property of the test. Known wart: latencies share the machine with the writers, so their bound is wide in small runs.
"""

import pytest

from supervisor_core.lines import Line, View
from tests.children.rigs import zoo
from tests.faults.rig import AGAIN, Host, worker
from tests.support.sequences import Sequence, of_store

FLAT = 5.0
"""MiB that the memory may grow after the warm-up."""

FEW, MANY = 20, 150
"""Restarts measured, each 20 ms after the other."""

LEAST = 2.5
"""Milliseconds of a restart below which the machine's own unsteadiness is larger than what is compared."""

ENDLESS = str(10**12)
MIB = 2**20
QUICK = worker("quick", ["/bin/sleep", "1000"], restart=AGAIN)


class Flood:
    """Workers that write while another one is killed again and again.

    In a full run the same is measured beside writers whose output nobody takes: what it costs that they write at all.
    """

    def __init__(self, folder, words, count=1, *, full, **store):
        self.full = full
        self.names = [f"w{number}" for number in range(count)]
        self.idlers = [f"idle{number}" for number in range(count)] if full else []
        thrown_away = ["/bin/sh", "-c", 'exec "$@" > /dev/null', "sh", *zoo(words[0], ENDLESS, *words[2:])]
        writers = [worker(name, zoo(*words), autostart=False) for name in self.names]
        idlers = [worker(name, thrown_away, autostart=False) for name in self.idlers]
        self.host = Host(folder, [QUICK, *writers, *idlers], sample=0.05, **store)

    def run(self):
        """Returns when all have written and the supervisor has left; the figures are in `self.figures`."""
        host = self.host
        host.until("quick", "running")
        quiet = p50_p90(host.probe("quick", MANY if self.full else FEW))
        beside = quiet
        if self.full:
            self.start(self.idlers)
            beside = p50_p90(self.probed(self.idlers))
            for name in self.idlers:
                host.order("stop", name)
            host.until_all(self.idlers, "stopped")
        before = host.cpu_now()
        self.start(self.names)
        loaded = p50_p90(self.probed(self.names))
        ends = self.ends(self.names)
        ends |= {
            name: said["state"]
            for name, said in host.until_all([n for n in self.names if n not in ends], "done", "failed").items()
        }
        self.figures = {
            "quiet ms p50/p90": "{:.1f}/{:.1f}".format(*quiet),
            "beside ms p50/p90": "{:.1f}/{:.1f}".format(*beside),
            "loaded ms p50/p90": "{:.1f}/{:.1f}".format(*loaded),
            "memory MiB": f"{host.memory[-1]:.1f}",
            "growth MiB": f"{host.growth():.1f}",
            "cpu s": f"{host.cpu_now() - before:.2f}",
        }
        host.leave()
        assert set(ends.values()) == {"done"}, [said for said in host.seen if said.get("state") == "failed"]
        self.quiet, self.beside, self.loaded = quiet, beside, loaded

    def start(self, names):
        for name in names:
            self.host.order("start", name)
        self.host.until_all(names, "running", "done", "failed")

    def probed(self, names):
        """Milliseconds of restarts while all of them write; those of the first handful too where they end so soon."""
        taken = []
        while len(taken) < (MANY if self.full else FEW):
            handful = self.host.probe("quick", FEW)
            if taken and self.ends(names):
                break
            taken += handful
        return sorted(taken)

    def ends(self, names):
        ended = (said for said in self.host.seen if said.get("state") in ("done", "failed"))
        return {said["worker"]: said["state"] for said in ended if said["worker"] in names}

    def tell(self, record, **more):
        for name, value in (self.figures | more).items():
            record(name, str(value))
        print("; ".join(f"{name} {value}" for name, value in (self.figures | more).items()))

    def check(self):
        """Memory is flat, and a restart takes less than twice the time that it takes anyway.

        In a small run there is a time that nobody notices, too: two moments are compared, and a busy machine changes
        between them.
        """
        assert self.host.growth() < FLAT
        if self.full:
            for loaded, anyway in zip(self.loaded, map(max, self.quiet, self.beside), strict=True):
                assert loaded < 2 * max(anyway, LEAST)
        else:
            assert self.loaded[0] < max(2 * self.quiet[0], 50.0)


def p50_p90(taken):
    """Of times in order."""
    return taken[len(taken) // 2], taken[len(taken) * 9 // 10]


def flooded(folder, record, words, lines, *, count=1, full=False, **store):
    """Runs a flood of numbered lines and checks each line of each writer."""
    flood = Flood(folder, words, count, full=full, **store)
    with flood.host as host:
        flood.run()
        logs = host.store()
        try:
            checks = [Sequence().all(of_store(logs, name)) for name in flood.names]
        finally:
            logs.close()
        flood.tell(record, lines=sum(check.seen for check in checks), lost=sum(check.missing for check in checks))
    assert {check.end() for check in checks} == {""}
    assert {check.seen for check in checks} == {lines}
    flood.check()
    return checks


BOTH = pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.long)], ids=["small", "full"])


@pytest.mark.row(17)
@pytest.mark.timeout(300)
@BOTH
def test_gigabytes_without_a_newline(tmp_path, record_property, full):
    size = 2048 * MIB if full else 192 * MIB
    flood = Flood(tmp_path, ["unbroken", str(size)], full=full)
    with flood.host as host:
        flood.run()
        logs = host.store()
        try:
            shown = pieces(logs, "w0")
        finally:
            logs.close()
        flood.tell(record_property, bytes=shown)
    assert shown == size
    flood.check()


def pieces(store, name):
    """How many bytes are shown of a line without end, in pieces that follow each other and hold what they should."""
    view, key, end = View((name,), frozenset({"out"})), "", 0
    while True:
        page = store.after(view, key, 500)
        for line in (*page.items, *page.open):
            if isinstance(line, Line):
                assert line.at == end
                assert line.text.startswith(f"<{line.at // 65536:014d}>")
                end += line.cut or len(line.text)
        if not page.more:
            return end
        key = page.next


@pytest.mark.row(19)
@pytest.mark.timeout(300)
@BOTH
def test_a_million_lines_a_second(tmp_path, record_property, full):
    lines = 10_000_000 if full else 300_000
    flooded(tmp_path, record_property, ["write", str(lines), "rate=1000000", "batch=0", "seal"], lines, full=full)


@pytest.mark.row(19)
@pytest.mark.timeout(300)
@BOTH
def test_a_hundred_writers_at_once(tmp_path, record_property, full):
    lines = 50_000 if full else 500
    flooded(
        tmp_path,
        record_property,
        ["write", str(lines), "batch=10", "seal"],
        lines,
        full=full,
        count=100 if full else 40,
    )


@pytest.mark.row(18)
@pytest.mark.timeout(300)
@BOTH
def test_noise_between_the_lines(tmp_path, record_property, full):
    lines = 1_000_000 if full else 50_000
    flooded(
        tmp_path,
        record_property,
        ["write", str(lines), "noise=100", "batch=0", "seal"],
        lines,
        full=full,
        segment=4 * MIB,
    )


@pytest.mark.row(20)
@pytest.mark.timeout(300)
@BOTH
def test_progress_bars(tmp_path, record_property, full):
    lines = 200_000 if full else 5_000
    flooded(tmp_path, record_property, ["write", str(lines), "bar=30", "seal"], lines, full=full)
