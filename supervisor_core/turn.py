"""One input being handled: a working copy of everything, and the one function that moves a worker.

A turn begins with copies of the machine's dicts and is either taken over as a whole or thrown away, so an input that
raises changes nothing. All values are frozen; copying the dicts is what a turn costs at least (some µs per thousand
workers). `step` is the only place that assigns a state, and it does what the table's cell says.

Known wart: `put` and `step` take the changes by keyword, so the type checker does not see their names.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any

from . import policy
from .dossier import FRESH_RUN, Memory
from .errors import IllegalInput
from .graph import SHOWN_TO_DEPENDENTS, Graph
from .messages import Action, Changed, Event, Interrupt, KillRun, Launch, PhaseChanged, Removed, Watch
from .model import LIVE, REST, Health, Phase, Requirement, State, Status, WorkerSpec
from .notes import digest_of
from .pools import held_by, spec_of_run
from .table import TABLE, Cause

WORDS = frozenset({"blocked_on", "waiting_for", "dependents"})
"""A change of these alone moves nobody; they are what settle itself says about a worker."""


class Turn:
    """The working copy. `told` are the workers that the order at hand speaks of, and who gave it."""

    def __init__(
        self,
        statuses: dict[str, Status],
        memories: dict[str, Memory],
        graph: Graph,
        last_runs: Mapping[str, int],
        phase: Phase,
        leaving_by: str,
        now: float,
        jitter: Callable[[], float],
    ) -> None:
        self.before = statuses
        self.statuses = statuses.copy()
        self.memories = memories.copy()
        self.graph = graph
        self.last_runs = last_runs
        self.phase = phase
        self.now = now
        self.jitter = jitter
        self.leaving_by = leaving_by
        self.actions: list[Action] = []
        self.phases: list[PhaseChanged] = []
        self.causes: dict[str, list[str]] = {}
        self.told: dict[str, str] = {}
        self.forgotten: dict[str, int] = {}
        self.touched: dict[str, None] = {}
        self.pools: set[str] = set()
        self._own_graph = False
        self._dirty: set[str] = set()
        self._queue: list[tuple[int, str]] = []

    @property
    def leaving(self) -> bool:
        return self.phase in (Phase.LEAVING, Phase.OVER)

    # ------------------------------------------------------------ writing

    def put(self, name: str, cause: str | None = None, **changes: Any) -> Status:
        """Replaces fields of a status, notes the cause, and wakes all whom that may concern."""
        old = self.statuses[name]
        new = self.statuses[name] = replace(old, **changes)
        self.touched[name] = None
        self.causes.setdefault(name, [])
        if cause is not None and cause not in self.causes[name]:
            self.causes[name].append(cause)
        if not changes.keys() <= WORDS:
            self.wake(name)
        if any(getattr(old, key) != getattr(new, key) for key in SHOWN_TO_DEPENDENTS if key in changes):
            self.wake_dependents(name)
        if (old.live, old.stuck) != (new.live, new.stuck):
            self.wake_targets(name)
        if old.live and not new.live and (pool := held_by(old)):
            self.pools.add(pool)
        return new

    def remember(self, name: str, **changes: Any) -> Memory:
        self.touched[name] = None
        memory = self.memories[name] = replace(self.memories[name], **changes)
        return memory

    def own_graph(self) -> Graph:
        """The graph, to be changed."""
        if not self._own_graph:
            self.graph, self._own_graph = self.graph.copy(), True
        return self.graph

    def add(self, spec: WorkerSpec, status: Status, memory: Memory) -> None:
        """A worker that was not there; its run numbers go on where an earlier one of that name ended."""
        name = spec.name
        last = self.forgotten.get(name, self.last_runs.get(name, 0))
        self.statuses[name] = replace(status, run=max(last, status.run))
        self.memories[name] = memory
        self.link(name, spec.requires)
        self.show_dependents(name)
        self.wake_dependents(name)

    def remove(self, name: str) -> None:
        status = self.statuses.pop(name)
        del self.memories[name]
        self.touched[name] = None
        self.causes.setdefault(name, [])
        self.forgotten[name] = status.run
        self.own_graph().drop(name)
        for edge in status.spec.requires:
            self.show_dependents(edge.name)
        self.wake_dependents(name)

    def link(self, name: str, requires: tuple[Requirement, ...]) -> None:
        """Sets whom a worker requires, and shows it to those who are and were required."""
        graph = self.own_graph()
        touched = {edge.name for edge in (*graph.requires.get(name, ()), *requires)}
        known = {target: graph.patterns(target) for target in touched}
        graph.put(name, requires)
        if self.statuses[name].blocked_on:  # old reasons and new ones together might form a circle
            self.put(name, "requirements", blocked_on=())
        for target in sorted(touched):
            self.show_dependents(target)
            self.wake(target)
            if new := graph.patterns(target) - known[target]:
                self.watch(target, new)
        self.wake(name)

    def watch(self, name: str, patterns: frozenset[str]) -> None:
        """Has a live run looked through for what somebody waits for from now on."""
        status = self.statuses.get(name)
        if status is not None and status.live and (new := patterns.difference(status.matched)):
            self.actions.append(Watch(name, status.run, tuple(sorted(new))))

    def show_dependents(self, name: str) -> None:
        if name in self.statuses:
            dependents = tuple(dict.fromkeys(back.name for back in self.graph.dependents.get(name, ())))
            if dependents != self.statuses[name].dependents:
                self.put(name, "dependents", dependents=dependents)

    # ------------------------------------------------------------ whom settle has to look at

    def wake(self, name: str) -> None:
        if name in self.statuses and name not in self._dirty:
            self._dirty.add(name)
            heappush(self._queue, (self.graph.levels[name], name))

    def wake_dependents(self, name: str) -> None:
        for back in self.graph.dependents.get(name, ()):
            self.wake(back.name)

    def wake_targets(self, name: str) -> None:
        for edge in self.graph.requires.get(name, ()):
            self.wake(edge.name)

    def wake_all(self) -> None:
        for name in self.statuses:
            self.wake(name)

    def next_awake(self) -> str | None:
        """The next worker to look at, in requirement order."""
        while self._queue:
            _, name = heappop(self._queue)
            if name in self._dirty:
                self._dirty.discard(name)
                if name in self.statuses:
                    return name
        return None

    # ------------------------------------------------------------ moving

    def step(
        self, name: str, cause: Cause, *, by: str = "", blame: str = "", counted: bool = True, **more: Any
    ) -> Status:
        """Does what the table's cell says. Raises `IllegalInput` when there is none.

        `by` names who ends the run, if the cell does; `blame` is the sentence for a B cell; `counted` is false for an
        end that is not a failure; `more` are further fields of the status that change with it.
        """
        status = self.statuses[name]
        cell = TABLE[status.state].get(cause)
        if cell is None:
            raise IllegalInput(f"{name} is {status.state}: there is no {cause} for it")
        marks = cell.marks
        if "J" in marks and "I" in marks and status.restarting is not None:
            return status
        changes: dict[str, Any] = more
        if "F" in marks:
            changes |= self.forgiven(name)
        if "C" in marks and counted:
            changes["failures"] = status.failures + 1
            tries = policy.recent(status.spec.restart, (*self.memories[name].tries, self.now), self.now)
            self.remember(name, tries=tries)
            changes["tries"] = len(tries)
        if "B" in marks:
            changes["blame"] = blame
        if "L" in marks:
            self._launch(name, changes)
        if "I" in marks:
            self.actions.append(Interrupt(name, status.run))
            self.remember(name, interrupted=cause, ended_by=by)
        if "K" in marks:
            self._kill(name, cause, by)
        if cell.to is not None:
            self._enter(name, cell.to, changes)
        return self.put(name, cause, **changes)

    def forgiven(self, name: str) -> dict[str, Any]:
        """Forgets the failures counted so far; gives the changes of the status that go with it."""
        self.remember(name, tries=())
        return {"failures": 0, "tries": 0}

    def _launch(self, name: str, changes: dict[str, Any]) -> None:
        status, memory = self.statuses[name], self.memories[name]
        run = status.run + 1
        self.actions.append(Launch(name, run, spec_of_run(status.spec, self.graph, changes.get("slot"))))
        changes.update(run=run, blame=None, outdated=False, restarts=status.restarts + memory.automatic)
        targets = ((edge.name, self.statuses.get(edge.name)) for edge in status.spec.requires)
        seen = {target: seen.run for target, seen in targets if seen is not None}
        self.remember(name, **FRESH_RUN, seen=seen, launched=digest_of(status.spec))

    def _kill(self, name: str, cause: Cause, by: str) -> None:
        status, memory = self.statuses[name], self.memories[name]
        self.actions.append(KillRun(name, status.run))
        self.remember(
            name,
            killed=True,
            overdue=memory.overdue + (status.state is State.KILLING and cause is Cause.TIMEOUT),
            interrupted=memory.interrupted or cause,
            ended_by=memory.ended_by if cause is Cause.TIMEOUT else by,
        )

    def _enter(self, name: str, state: State, changes: dict[str, Any]) -> None:
        """What comes with being in a state: since when, until when, and what is no longer true."""
        spec = self.statuses[name].spec
        before = self.statuses[name].state
        changes.update(state=state, since=self.now, ready=False, blocked_on=(), waiting_for=())
        changes["deadline"] = None
        changes.setdefault("gave_up", False)
        match state:
            case State.STARTING:
                changes["deadline"] = policy.start_deadline(spec, self.now)
            case State.RUNNING:
                changes.update(ready=True, deadline=self.now + spec.restart.stable_after)
            case State.STOPPING:
                changes["deadline"] = self.now + spec.stop.timeout
            case State.KILLING:
                changes["deadline"] = self.now + spec.stop.kill_timeout
            case State.BACKOFF:
                failures = changes.get("failures", self.statuses[name].failures)
                pause = policy.delay(spec.restart, failures, self.jitter(), gave_up=changes["gave_up"])
                changes["deadline"] = self.now + pause
            case State.BLOCKED if before in REST and spec.pool is not None:
                changes["wanted_since"] = self.now
        if state not in LIVE:
            changes.update(slot=None, holds="", matched=())
            changes.update(pid=None, leader_gone=None, stuck=False, cycling=False, health=Health.UNKNOWN)
            changes["outdated"] = False

    # ------------------------------------------------------------ phases

    def leave(self, by: str) -> None:
        """Enters *leaving*: what waits is stopped, what runs will be let go by settle."""
        if self.leaving:
            return
        self.enter_phase(Phase.LEAVING, by)
        self.leaving_by = by
        for name, status in list(self.statuses.items()):
            if status.restarting is not None:
                status = self.put(name, "leaving", restarting=None)
            if status.state in (State.BLOCKED, State.BACKOFF):
                self.step(name, Cause.STOP)
        self.wake_all()

    def enter_phase(self, phase: Phase, by: str) -> None:
        self.phase = phase
        self.phases.append(PhaseChanged(phase, by))

    # ------------------------------------------------------------ what came of it

    def events(self) -> tuple[Event, ...]:
        """At most one event a worker, with the status at the end; the phase *leaving* comes first, *over* last."""
        told: list[Event] = [change for change in self.phases if change.phase is not Phase.OVER]
        for name, causes in self.causes.items():
            status = self.statuses.get(name)
            by = self.told.get(name, "")
            if status is None:
                if name in self.before:
                    told.append(Removed(name, by))
            elif status != self.before.get(name):
                told.append(Changed(status, tuple(causes), by))
        return (*told, *(change for change in self.phases if change.phase is Phase.OVER))
