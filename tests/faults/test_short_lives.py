"""Programs that end at once: each run is told with its start and its end, and never runs without a process."""

import asyncio

import pytest

from supervisor_core.messages import Changed, Shutdown
from supervisor_core.model import Program, RestartPolicy, RestartWhen, State, Status, WorkerSpec
from supervisor_core.supervisor import Supervisor
from tests.children.rigs import KeptRig, LocalRig, rig_of

ALWAYS = RestartPolicy(RestartWhen.ALWAYS, backoff_initial=0, backoff_max=0, stable_after=0)


@pytest.mark.row(4)
@pytest.mark.parametrize("kind", [LocalRig, KeptRig])
@pytest.mark.parametrize("runs", [60, pytest.param(500, marks=pytest.mark.long)])
def test_each_of_many_runs_that_end_at_once_is_told_whole(runs: int, kind: type[LocalRig] | type[KeptRig]):
    async def main() -> list[Status]:
        async with rig_of(kind) as rig:
            supervisor = Supervisor(stay=True, spawner=rig.spawner)
            spec = WorkerSpec("w", program=Program(("true",), start_seconds=0), restart=ALWAYS)
            supervisor.adopt([spec])
            running = asyncio.create_task(supervisor.run())
            seen = []
            async for entries in supervisor.journal.follow(0):
                for entry in entries if isinstance(entries, list) else [entries]:
                    if isinstance(entry.event, Changed):
                        seen.append(entry.event.status)
                if seen and seen[-1].run > runs:
                    break
            supervisor.tell(Shutdown(by="test"))
            await running
            return seen

    seen = asyncio.run(main())
    assert [s for s in seen if s.state is State.RUNNING and s.pid is None] == []
    ended = {s.last_exit.run: s.last_exit for s in seen if s.last_exit is not None}
    assert set(range(1, runs)) <= set(ended), "a run without an end"
    assert {exit.code for run, exit in ended.items() if run < runs} == {0}
    assert set(range(1, runs)) <= {s.run for s in seen if s.pid is not None}, "a run without a pid"
