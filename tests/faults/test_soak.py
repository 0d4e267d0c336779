"""Thousands of restarts leave nothing behind: descriptors, threads, processes, private memory of keeper and service.

Looked at from outside by /proc, each time with all workers stopped, so that it belongs to nobody. Known warts: a ring
that fills up looks like a leak at first, so memory is looked at when that is full; and the orders that stop and start
the workers are remembered as operations, which are 20 to 40 KiB in 1,000 restarts here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.marks import below
from tests.faults.service import until
from tests.faults.test_kills import Kept

WORKERS = 10
ROUNDS = 10
FULL = 8000
"""Restarts after which nothing has to grow: the ring of transitions is full, with numbers that are no small ones."""

GROWTH = 100
"""KiB in 1,000 restarts that are too many: a leak of a hundred bytes each is found."""

CONFIG = "".join(
    f'[worker.w{n}]\ncommand = ["true"]\nstart_seconds = 0\nrestart = "always"\nmax_restarts = 0\n'
    "backoff = { initial = 0, max = 0, jitter = 0 }\n"
    for n in range(WORKERS)
)


@dataclass(frozen=True)
class Held:
    """What one process holds; `private` in KiB: what it wrote, not files that nobody else happens to have mapped."""

    fds: int
    threads: int
    private: int


def held(pid: int) -> Held:
    place = Path(f"/proc/{pid}")
    rollup = dict(line.split()[:2] for line in (place / "smaps_rollup").read_text().splitlines()[1:])
    return Held(
        len(os.listdir(place / "fd")),
        len(os.listdir(place / "task")),
        int(rollup["Private_Dirty:"]) + int(rollup["Swap:"]),
    )


def slope(values: list[int]) -> float:
    """Of the straight line with the least squares, a step of the list."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    return sum((i - middle) * (v - mean) for i, v in enumerate(values)) / sum(
        (i - middle) ** 2 for i in range(len(values))
    )


class Soak(Kept):
    """A service whose workers end at once."""

    def runs(self) -> int:
        return sum(row["run"] for row in self.workers().values())

    def owners(self) -> dict[str, int]:
        return {"service": self.manager(), **({"keeper": keeper} if (keeper := self.keeper()) else {})}

    def restart_until(self, runs: int) -> None:
        """Has them all run until that many lives in all were lived, and stops them."""
        for order, done in (("start", lambda: self.runs() >= runs), ("stop", self.at_rest)):
            with self.client() as client:
                for name in self.workers():
                    client.post(f"/workers/{name}/{order}", params={"wait": "0"})
            until(done, 400, 0.1)

    def at_rest(self) -> bool:
        return all(row["state"] == "stopped" for row in self.workers().values())


def soak(tmp_path: Path, restarts: int, before: int = 0) -> dict[str, list[Held]]:
    """Gives what each process held after each round of restarts, of which there were some `before` the first."""
    with Soak(tmp_path, CONFIG, "kept") as service:
        owners = service.owners()
        service.restart_until(before + restarts // ROUNDS)
        samples = {name: [held(pid)] for name, pid in owners.items()}
        for number in range(2, ROUNDS + 1):
            service.restart_until(before + restarts * number // ROUNDS)
            for name, pid in owners.items():
                until(lambda name=name, pid=pid: nothing_more(held(pid), samples[name][0]), 5)
                samples[name].append(held(pid))
        assert service.owners() == owners
        assert {"keeper", "service"} == set(owners)
        until(lambda: below(owners["keeper"]) == [owners["service"]], 5)
        print(f"\n{service.runs()} lives")
    for name, some in samples.items():
        for what in ("fds", "threads", "private"):
            print(f"  {name:8}{what:8}", *(getattr(one, what) for one in some))
    return samples


def nothing_more(now: Held, first: Held) -> bool:
    """Whether no more descriptors and threads are there; a connection may take a moment to close."""
    return now.fds <= first.fds and now.threads <= first.threads


@pytest.mark.row(66)
def test_three_hundred_restarts_leave_no_descriptor_thread_or_process(tmp_path):
    soak(tmp_path, 300)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.row(66)
def test_five_thousand_restarts_leave_nothing_and_memory_stays(tmp_path):
    samples = soak(tmp_path, 5000, before=FULL)
    for name, some in samples.items():
        grown = slope([one.private for one in some]) * ROUNDS / 5
        print(f"  {name}: {grown:+.0f} KiB of private memory in 1,000 restarts")
        assert grown < GROWTH, name
