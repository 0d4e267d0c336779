"""Thresholds of memory: told of once, ended after two samples above, and left to the kernel where that holds it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from app.watchers.conditions import Conditions
from app.watchers.metrics import FIELDS, MEMORY, Row, Sample, Target
from app.watchers.metrics.guard import HIGH, Guard
from app.watchers.metrics.watch import Metrics
from supervisor_core.messages import Report, Unhealthy
from supervisor_core.model import RestartPolicy, RestartWhen, WorkerSpec
from tests.support.scripted import ScriptedHost, a_program
from tests.support.virtual import virtual

MIB = 1024 * 1024


class Scales:
    """A sampler that says what a test wants; `shared` is the part of it that others have, too."""

    available = True

    def __init__(self, now: ScriptedHost) -> None:
        self._host = now
        self.memory: dict[str, float | None] = {}
        self.shared = 0.0
        self.asked: list[list[str]] = []
        self.weighed = 0
        self.closed = 0
        self._last: float | None = None
        self._known: set[tuple[str, int]] = set()

    async def sample(self, targets: Sequence[Target]) -> Sample | None:
        self.asked.append(sorted(target.worker for target in targets))
        now = self._host.now()
        since, self._last = self._last or now, now
        rows = {}
        for target in targets:
            values: list[float | None] = [None] * len(FIELDS)
            values[MEMORY] = self.memory.get(target.worker, 0.0)
            values[0] = 1.5 if (target.worker, target.run) in self._known else None
            rows[target.worker] = Row(target.run, tuple(values))
        self._known = {(target.worker, target.run) for target in targets}
        return Sample(now, since, rows)

    async def weigh(self, worker: str) -> float | None:
        self.weighed += 1
        memory = self.memory[worker]
        return None if memory is None else memory - self.shared

    def close(self) -> None:
        self.closed += 1
        self.forget()

    def forget(self) -> None:
        self._last = None
        self._known.clear()


def limited(name: str, memory: int | None = None, warn: int | None = None) -> WorkerSpec:
    limits = {} if memory is None else {"memory": memory * MIB}
    spec = a_program(name, memory_warn=None if warn is None else warn * MIB)
    assert spec.program is not None
    restart = RestartPolicy(RestartWhen.ON_FAILURE)
    return replace(spec, restart=restart, program=replace(spec.program, limits=limits))


class Rig:
    """A host whose thresholds are watched. `held`: the pids whose limit the kernel keeps."""

    def __init__(self, *specs: WorkerSpec) -> None:
        self.host = ScriptedHost(*specs)
        self.scales = Scales(self.host)
        self.conditions = Conditions(self.host.now)
        self.said: list[str] = []
        self.reports: list[Unhealthy] = []
        self.held: set[int] = set()
        self.metrics = Metrics(self.host, self.scales)
        guard = Guard(self.host, self.conditions, self._report, self._say, lambda pid, _: pid in self.held)
        self.metrics.hold(guard)
        self._task = asyncio.create_task(guard.run())

    def _report(self, report: Report) -> None:
        assert isinstance(report, Unhealthy)
        self.reports.append(report)
        self.host.report(report)

    def _say(self, name: str, text: str, run: int) -> None:
        self.said.append(f"{name}/{run}: {text}")

    def state(self, name: str) -> str:
        return str(self.host.machine.statuses[name].state)

    @property
    def wrong(self) -> list[str]:
        return [condition.text for condition in self.conditions if condition.name == HIGH]

    async def __aenter__(self) -> "Rig":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.host.journal.close()
        await self._task
        await self.metrics.aclose()
        if self.host._timer is not None:
            self.host._timer.cancel()


@virtual
async def test_two_samples_in_a_row_above_the_limit_end_the_run() -> None:
    async with Rig(limited("a", 1024)) as rig:
        rig.host.come_up("a")
        await asyncio.sleep(5)
        assert rig.reports == []
        rig.scales.memory["a"] = 1229 * MIB
        await asyncio.sleep(1)
        assert rig.reports == [], "once may be a moment"
        rig.scales.memory["a"] = 1000 * MIB
        await asyncio.sleep(1)
        rig.scales.memory["a"] = 1229 * MIB
        await asyncio.sleep(1)
        assert rig.reports == [], "they were not in a row"
        await asyncio.sleep(1)
        assert rig.reports == [Unhealthy("a", 1, "memory: 1.2 GiB of 1.0 GiB")]
        assert rig.said == ["a/1: memory: 1.2 GiB of 1.0 GiB, above limits.memory: this run is ended"]
        assert rig.state("a") == "stopping"
        await asyncio.sleep(3)
        assert len(rig.reports) == 1, "it is on its way"
        rig.host.end("a", signal=15)
        exit = rig.host.machine.statuses["a"].last_exit
        assert exit is not None
        assert exit.reason == "memory: 1.2 GiB of 1.0 GiB"
        assert rig.host.machine.statuses["a"].failures == 1
        rig.scales.memory["a"] = 0.0
        await asyncio.sleep(1.5)
        rig.host.come_up("a")
        rig.scales.memory["a"] = 2048 * MIB
        await asyncio.sleep(3)
        assert [report.run for report in rig.reports] == [1, 2], "the next run is judged anew"


@virtual
async def test_what_processes_share_counts_once_before_anybody_is_ended() -> None:
    async with Rig(limited("a", 100, 80)) as rig:
        rig.host.come_up("a")
        rig.scales.memory["a"], rig.scales.shared = 300.0 * MIB, 230.0 * MIB
        await asyncio.sleep(5)
        assert (rig.reports, rig.said) == ([], [])
        rig.scales.memory["a"] = None
        await asyncio.sleep(5)
        assert rig.reports == [], "what nobody can see is not above"
        weighed = rig.scales.weighed
        rig.scales.memory["a"] = 70.0 * MIB
        await asyncio.sleep(5)
        assert rig.scales.weighed == weighed, "below it needs no second look"


@virtual
async def test_a_warning_is_said_once_and_taken_back_once_it_is_calm() -> None:
    async with Rig(limited("a", warn=800), limited("b", warn=800)) as rig:
        rig.host.come_up("a")
        rig.host.come_up("b")
        rig.scales.memory["a"] = 812.0 * MIB
        await asyncio.sleep(5)
        assert rig.said == ["a/1: memory: 812.0 MiB, above limits.memory_warn (800.0 MiB)"]
        (text,) = rig.wrong
        assert text.startswith("a (812.0 MiB of 800.0 MiB) is above limits.memory_warn; ")
        version = rig.conditions.version
        rig.scales.memory["a"] = 790.0 * MIB
        await asyncio.sleep(5)
        assert len(rig.said) == 1, "it wavers around the threshold"
        assert rig.conditions.version == version
        rig.scales.memory["b"] = 900.0 * MIB
        await asyncio.sleep(2)
        assert "a (812.0 MiB of 800.0 MiB), b (900.0 MiB of 800.0 MiB) are above" in rig.wrong[0]
        rig.scales.memory |= {"a": 700.0 * MIB, "b": 700.0 * MIB}
        await asyncio.sleep(2)
        assert rig.wrong == []
        assert rig.said[2:] == [f"{name}/1: memory: 700.0 MiB, no longer above limits.memory_warn" for name in "ab"]
        rig.scales.memory["a"] = 900.0 * MIB
        await asyncio.sleep(2)
        rig.host.end("a")
        await asyncio.sleep(2)
        assert rig.wrong == [], "it has ended"
        assert rig.reports == []


@virtual
async def test_only_those_with_a_threshold_are_sampled_and_only_while_they_live() -> None:
    async with Rig(a_program("plain"), limited("a", 100), limited("kept", 100), limited("both", 100, 50)) as rig:
        rig.held = {77, 78}
        rig.host.come_up("plain")
        rig.host.come_up("kept", 77)
        await asyncio.sleep(10)
        assert rig.scales.asked == [], "the kernel holds this one"
        assert not rig.metrics.sampling
        rig.host.come_up("both", 78)
        rig.host.come_up("a")
        await asyncio.sleep(3)
        assert rig.scales.asked[-1] == ["a", "both"]
        assert 3 <= len(rig.scales.asked) <= 5, "once a second"
        rig.scales.memory["both"] = 500.0 * MIB
        await asyncio.sleep(3)
        assert rig.reports == [], "of the other its warning alone is ours"
        assert rig.said
        rig.host.end("a")
        rig.host.end("both")
        await asyncio.sleep(2)
        asked = len(rig.scales.asked)
        await asyncio.sleep(60)
        assert len(rig.scales.asked) <= asked + 2
        assert not rig.metrics.sampling
        assert rig.scales.closed


@virtual
async def test_runs_that_were_there_before_are_watched_too() -> None:
    """After a crash of the service, whose successor takes over what runs."""
    rig = Rig(limited("a", 100))
    rig.host.come_up("a")
    rig.scales.memory["a"] = 200.0 * MIB
    async with rig:
        await asyncio.sleep(3)
        assert len(rig.reports) == 1
