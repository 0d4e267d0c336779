"""Random lives on virtual time: whatever is ordered, the shell and the machine agree and everyone comes to rest."""

import asyncio
import random

import pytest

from supervisor_core import Refused, Worker
from supervisor_core.messages import Changed, Kill, Remove, Removed, Restart, Signal, Start, Stop
from supervisor_core.model import REST, Phase
from tests.shell.minions import supervisor
from tests.support.virtual import virtual

NAMES = [f"w{number}" for number in range(8)]
ORDERS = [Start, Stop, Restart, Kill, Remove, lambda name: Signal(name, "HUP")]


class Storm:
    """Works that behave at random, and a count of the runs that are alive at the same time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.alive: dict[str, int] = dict.fromkeys(NAMES, 0)

    async def work(self, p):
        name = p.worker.name
        self.alive[name] += 1
        assert self.alive[name] == 1, "never two live runs of a worker"
        try:
            await self.live(p)
        finally:
            self.alive[name] -= 1

    async def live(self, p):
        await asyncio.sleep(self.random.choice([0, 0, 0.5, 20]))
        if self.random.random() < 0.8:
            p.ready()
        match self.random.randrange(5):
            case 0:
                raise ValueError("oops")
            case 1:
                await asyncio.sleep(self.random.choice([0, 1, 30]))
            case 2:
                await asyncio.Event().wait()
            case 3:
                await p.do(lambda: asyncio.sleep(self.random.choice([1, 100])))
            case 4:
                await p.wait_shutdown()
                await asyncio.sleep(self.random.choice([0, 1]))

    def worker(self, name: str) -> Worker:
        requires = [other for other in NAMES[: NAMES.index(name)] if self.random.random() < 0.25]
        retry = self.random.random() < 0.6
        return Worker(name, self.work, requires, retry, stop_timeout=3, on_give_up="fail")


@pytest.mark.parametrize("seed", range(40))
@virtual
async def test_everyone_comes_to_rest_and_the_journal_tells_the_truth(seed):
    storm, s = Storm(seed), supervisor(stay=True)
    for name in NAMES:
        s.supervise(storm.worker(name))
    running = asyncio.create_task(s.run())
    for _ in range(60):
        await asyncio.sleep(storm.random.choice([0, 0, 0.1, 1, 5]))
        name = storm.random.choice(NAMES)
        try:
            s.tell(storm.random.choice(ORDERS)(name))
        except Refused:
            if s.get(name) is None:
                s.supervise(storm.worker(name))
    s.shutdown()
    await running
    assert s.phase is Phase.OVER
    assert not s._launcher._runs
    assert set(storm.alive.values()) == {0}
    entries = s.journal.entries(0, limit=100_000)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    told = {}
    for entry in entries:
        match entry.event:
            case Changed(status=status):
                told[status.name] = status
            case Removed(name=name):
                del told[name]
    assert told == s._machine.statuses
    assert all(status.state in REST for status in told.values())
    assert {name: s.get(name).status for name in told} == told
    assert len(asyncio.all_tasks()) == 1
