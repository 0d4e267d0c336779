"""The probes of one live run: when they begin and end, and what their changes mean as reports.

It stands beside the run and never in its way: a probe that breaks down says so in the worker's log. It knows the run by
its spec, its handle and its main pid.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..children import make_tag
from ..declared import Probe
from ..messages import Healthy, Matched, Unhealthy, Unready
from ..model import State, Status, WorkerSpec
from . import Answer, Finding, Look, brief, http, tcp
from .notify import NotifySocket, descends
from .prober import Prober
from .written import Watch, end_of

if TYPE_CHECKING:
    from ..aside import Aside
    from ..process import Process

Way = Callable[[], object]


class Probing:
    """`socket` is the one that its program was given, `after` where its output begins (None: not known).

    `found` is the status in which a run was that an earlier supervisor began. `up` is called once, when it is ready.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        p: "Process",
        aside: "Aside",
        *,
        up: Way,
        socket: NotifySocket | None = None,
        after: str | None = None,
        found: Status | None = None,
    ) -> None:
        self._spec, self._p, self._aside, self._up = spec, p, aside, up
        self._socket, self._after, self._found = socket, after, found
        self._awaited: set[str] = set()
        self._pid = 0
        running = found is not None and found.state is not State.STARTING
        self._is_up = running
        self._since = 0.0 if found is None else max(0.0, p.supervisor.clock.now() - found.since)
        standing = found.ready if found is not None and running else None
        self._ready = self._prober("ready", spec.ready, self._ready_changed, standing)
        self._alive = self._prober("alive", spec.alive, self._alive_changed, None)
        self._beats = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ways_out: list[Way] = []
        self._closed = False

    # ------------------------------------------------------------ the life

    def begin(self, pid: int) -> None:
        """Its program runs."""
        self._pid = pid
        if self._socket is not None:
            tag = make_tag(self._p.supervisor.spawner.instance, self._spec.name, self._p.run)
            self._socket.listen(self._heed, functools.partial(descends, main=pid, tag=tag), self._p._note)
        if self._ready is not None:
            self._look_after(self._ready)
        self._watch(self._patterns(), self._after)
        if self._is_up:
            self._begin_alive()

    def came_up(self) -> None:
        """It is ready, however that was seen."""
        if not self._is_up and not self._closed:
            self._is_up, self._since = True, 0.0
            self._begin_alive()

    def close(self) -> None:
        """Looks no more: it is to end, or has ended. The socket stays, so that nobody waits at it."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for way_out in self._ways_out:
            way_out()
        self._ways_out.clear()

    async def gone(self) -> None:
        """Closes, and returns when nothing of it is left."""
        self.close()
        while self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(self._tasks)
        if self._socket is not None:
            self._socket.close()

    # ------------------------------------------------------------ looking

    def _prober(
        self, role: str, probe: Probe | None, told: Callable[[bool, Finding], object], standing: bool | None
    ) -> Prober | None:
        if probe is None:
            return None
        name, findings, clock = self._spec.name, self._aside.findings, self._p.supervisor.clock
        keep = functools.partial(findings.put, name)
        return Prober(role, probe, self._p.run, clock.now, keep, told, standing)

    def _begin_alive(self) -> None:
        if self._alive is not None:
            self._look_after(self._alive)

    def _look_after(self, prober: Prober) -> None:
        probe = prober.probe
        delay = max(0.0, probe.initial_delay - self._since)
        if probe.kind in ("log", "notify"):
            if prober is self._alive:
                heard = self._heard_line() if probe.kind == "log" else self._heard_beat
                self._go(prober.heartbeat(heard, delay))
        else:
            self._go(prober.poll(self._look(probe), delay))

    def _look(self, probe: Probe) -> Look:
        match probe.kind:
            case "http":
                look, way_out = http.look_of(probe)
            case "tcp":
                look, way_out = tcp.look_of(probe)
            case _:
                from . import command  # here because most programs run no errands

                instance = self._p.supervisor.spawner.instance
                return command.look_of(probe, self._spec, self._p.run, self._aside.errands, instance)
        self._ways_out.append(way_out)
        return look

    def _go(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing, name=f"probe {self._spec.name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._p._note(f"ERROR: a probe broke down, and does not look any more: {error!r}")

    # ------------------------------------------------------------ what it writes

    def look_for(self, patterns: Sequence[str]) -> None:
        """Others wait for lines of it now, which it may have written before."""
        fresh = [pattern for pattern in dict.fromkeys(patterns) if pattern not in self._awaited]
        self._awaited.update(fresh)
        if not self._closed:
            self._watch(fresh, None)

    def _patterns(self) -> list[str]:
        """What is looked for in its lines, but for what was seen by an earlier supervisor."""
        seen = () if self._found is None else self._found.matched
        patterns = dict.fromkeys(pattern for pattern in self._spec.patterns if pattern not in seen)
        self._awaited.update(self._spec.patterns)
        if (ready := self._spec.ready) is not None and ready.kind == "log" and not self._is_up:
            patterns[ready.target] = None
        return list(patterns)

    def _watch(self, patterns: list[str], after: str | None) -> None:
        store = self._p.supervisor.logs
        if store is None and patterns:
            self._p._note("ERROR: its lines are kept nowhere, so none can be waited for")
        elif store is not None and patterns:
            self._go(self._read(Watch(store, self._spec.name, self._p.run, after), patterns))

    async def _read(self, watch: Watch, patterns: list[str]) -> None:
        ready = self._ready if self._ready is not None and self._ready.probe.kind == "log" else None
        async for pattern, line in watch.matches(patterns):
            if pattern in self._awaited:
                self._p.report(Matched(self._spec.name, self._p.run, pattern))
            if ready is not None and pattern == ready.probe.target:
                self._say(ready, good=True, text=line)

    def _heard_line(self) -> Callable[[], Coroutine[Any, Any, Answer]]:
        assert self._alive is not None
        probe, store = self._alive.probe, self._p.supervisor.logs
        after = None if store is None else end_of(store, self._spec.name)  # what is there already is of before
        watch = None if store is None else Watch(store, self._spec.name, self._p.run, after)

        async def heard() -> Answer:
            line = None if watch is None else await watch.heard(probe.target)
            return Answer(line is not None, line or f"no such line within {probe.period:g} s")

        return heard

    # ------------------------------------------------------------ what it says on its socket

    def _heed(self, fields: Mapping[str, str]) -> None:
        now = self._p.supervisor.clock.now()
        if "STATUS" in fields:
            self._aside.findings.say(self._spec.name, self._p.run, brief(fields["STATUS"]), now)
        if self._closed:
            return
        if self._ready is not None and self._ready.probe.kind == "notify":
            if fields.get("READY") == "1":
                self._say(self._ready, good=True, text="READY=1")
            elif fields.get("STOPPING") == "1":
                self._say(self._ready, good=False, text="STOPPING=1")
        if self._alive is not None and self._alive.probe.kind == "notify" and "WATCHDOG" in fields:
            if fields["WATCHDOG"] == "trigger":
                self._say(self._alive, good=False, text="WATCHDOG=trigger")
            else:
                self._beats += 1

    async def _heard_beat(self) -> Answer:
        assert self._alive is not None
        assert self._socket is not None
        self._socket.read()  # what has come and was not read yet
        beats, self._beats = self._beats, 0
        return Answer(beats > 0, "WATCHDOG=1" if beats else f"no WATCHDOG=1 within {self._alive.probe.period:g} s")

    def _say(self, prober: Prober, *, good: bool, text: str) -> None:
        """What it said by itself counts at once."""
        finding = Finding(
            prober.role, self._p.run, str(prober.probe), good, brief(text), self._p.supervisor.clock.now()
        )
        self._aside.findings.put(self._spec.name, finding)
        if prober.judge.standing is not good:
            prober.judge.standing = good
            (self._ready_changed if prober is self._ready else self._alive_changed)(good, finding)

    # ------------------------------------------------------------ what follows

    def _ready_changed(self, good: bool, finding: Finding) -> None:
        if self._closed:
            return
        if good:
            if self._is_up:
                self._p._note(f"ready again: {finding.probe}: {finding.text}")
            self._p.ready()
            if not self._is_up:
                self.came_up()
                self._up()
        elif self._is_up:
            self._p._note(f"not ready any more: {finding.probe}: {finding.text}")
            self._p.report(Unready(self._spec.name, self._p.run))

    def _alive_changed(self, good: bool, finding: Finding) -> None:
        if self._closed:
            return
        if good:
            self._p.report(Healthy(self._spec.name, self._p.run))
            return
        times = f"{finding.in_a_row} times in a row" if finding.in_a_row > 1 else "once"
        reason = f"not alive: {finding.probe} failed {times}, last with: {finding.text}"
        self._p.report(Unhealthy(self._spec.name, self._p.run, reason))
