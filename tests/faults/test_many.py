"""Many workers that do nothing: how long they take to start, what they cost at rest, and how fast they are listed."""

import os
import select
import time
from pathlib import Path

import pytest

from tests.faults.service import until
from tests.faults.test_kills import Kept

TICKS = os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> float:
    """Seconds of CPU time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.mark.row(55)
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_many_workers_at_rest(tmp_path, count):
    text = "".join(f'[worker.w{n}]\ncommand = ["sleep", "600"]\nstart_seconds = 0\n' for n in range(count))
    begun = time.monotonic()
    with Kept(tmp_path, text, "kept") as service:
        until(lambda: sum(row["ready"] for row in service.workers().values()) == count, 60, 0.2)
        started = time.monotonic() - begun
        pids = service.keeper(), service.manager()
        select.select([], [], [], 1.0)  # what the start left to do
        before, at = sum(map(spent, pids)), time.monotonic()
        select.select([], [], [], 3.0)
        share = (sum(map(spent, pids)) - before) / (time.monotonic() - at)
        taken = []
        with service.client() as client:
            for _ in range(10):
                at = time.monotonic()
                assert len(client.get("/workers").json()["workers"]) == count
                taken.append(time.monotonic() - at)
        threads = {pid: len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids}
        listed = min(taken) * 1000
        figures = f"started in {started:.1f} s, at rest {share:.1%} of a core, listed in {listed:.0f} ms"
        print("", f"{count} workers: {figures}", sep="\n")
        assert started < 60
        assert share < 0.03
        assert listed < 100
        assert max(threads.values()) < 12, "no thread a worker"
