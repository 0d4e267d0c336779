"""What must hold of the machine whatever it is told, and a world that tells it anything.

`World` plays the shell: it knows which runs are live from the actions it was given and the exits it reported, and
checks after each input. A property that fails raises `Broken` with its name. `only` turns the others off, so that each
can be seen to catch the bug that it is there for. What they are held against is in `oracles.py`.
"""

import random

from supervisor_core.errors import IllegalInput, Refused
from supervisor_core.machine import Machine
from supervisor_core.messages import (
    Attach,
    Changed,
    Event,
    Exited,
    Input,
    Kill,
    Launch,
    NeverBegan,
    Outcome,
    PhaseChanged,
    Ready,
    Removed,
    Restart,
    Shutdown,
    Start,
    Stop,
    Watch,
)
from supervisor_core.model import (
    REST,
    Condition,
    Exit,
    OnGiveUp,
    Phase,
    RestartWhen,
    State,
    Status,
)
from supervisor_core.settle import settle
from supervisor_core.turn import Turn
from tests.core.oracles import fold, holders, holding, in_line, is_met

PROPERTIES = (
    "never two live runs of a worker",
    "launch only with all requirements met",
    "release only with no live dependent",
    "live exactly when a run is",
    "at rest means no deadline and no pid",
    "a stale report changes nothing",
    "in leaving nothing starts",
    "leaving comes to rest with cooperative works",
    "stop then start then stop ends at rest and not wanted",
    "a stopped target is not held for ever by a restarting dependent",
    "the last event about a worker equals its status",
    "an illegal input raises and changes nothing",
    "at most one event a worker an input",
    "folding the events from any snapshot gives the present",
    "settle has left nothing to do",
    "a pool has at most as many live runs as slots, each with another slot",
    "a free slot is given at once, to who was wanted first",
    "a line that somebody waits for is looked for",
    "nothing starts a disabled worker",
    "what is tried anew after giving up never fails",
    "an order to restart clears the count of failures",
    "every restart is answered",
    "a new manager attaches to each live run once",
    "a new manager finds what the old one left",
    "a new manager keeps what was wanted",
)


class Broken(AssertionError):
    """A property does not hold."""

    def __init__(self, name: str, what: object) -> None:
        super().__init__(f"{name}: {what}")
        self.name = name


class Boom(Exception):
    """Raised from within a turn, to see that nothing of it stays."""


class World:
    """A machine, the runs that its shell would have, and everything that was told about it."""

    def __init__(self, *, stay: bool = True, only: str | None = None) -> None:
        self.explodes = False
        self.stay = stay
        self.machine = Machine(stay=stay, jitter=self.jitter)
        self.only = only
        self.now = 0.0
        self.notes: dict[str, bytes] = {}
        self.last: tuple[Input, Outcome, dict[str, bytes], dict[str, int]] | None = None
        self.runs: dict[str, int] = {}
        self.watched: dict[str, tuple[int, set[str]]] = {}
        self.leaving = False
        self.told: dict[str, Status] = {}
        self.snapshots: list[tuple[dict[str, Status], list[Event]]] = [({}, [])]
        self.story: list[object] = []

    def jitter(self) -> float:
        if self.explodes:
            raise Boom
        return 0.0

    @property
    def statuses(self) -> dict[str, Status]:
        return self.machine.statuses

    def check(self, name: str, holds: bool, what: object) -> None:
        assert name in PROPERTIES
        if not holds and self.only in (None, name):
            raise Broken(name, what)

    # ------------------------------------------------------------ feeding

    def feed(self, given: Input) -> Outcome | None:
        """Tells the machine and checks; None when it refused."""
        self.story.append(given)
        before, noted, running = self.state(), dict(self.notes), dict(self.runs)
        try:
            outcome = self.machine.handle(given, self.now)
        except (Refused, IllegalInput, Boom) as error:
            self.check("an illegal input raises and changes nothing", before == self.state(), (given, error))
            return None
        self.last = (given, outcome, noted, running)
        self.notes.update((name, self.machine.note_of(name)) for name in outcome.touched)
        if isinstance(given, Exited | NeverBegan) and self.runs.get(given.name) == given.run:
            del self.runs[given.name]
        self.check_actions(outcome)
        self.check_events(outcome)
        self.check_statuses()
        self.check_pools(outcome)
        self.check_restarted(given)
        self.check_settled()
        return outcome

    def state(self) -> tuple[object, ...]:
        machine = self.machine
        graph = machine._graph
        return (
            machine.phase,
            dict(machine.statuses),
            dict(machine._memories),
            dict(graph.requires),
            dict(graph.dependents),
            machine._busy,
            machine.next_deadline(),
        )

    def check_actions(self, outcome: Outcome) -> None:
        for action in outcome.actions:
            if isinstance(action, Launch | Attach):
                self.watched[action.name] = (action.run, set(action.spec.patterns))
            if isinstance(action, Watch):
                self.watched[action.name][1].update(action.patterns)
            if isinstance(action, Attach):
                self.check("never two live runs of a worker", action.name not in self.runs, action)
                self.runs[action.name] = action.run
            if isinstance(action, Launch):
                self.check("in leaving nothing starts", not self.leaving, action)
                self.check("never two live runs of a worker", action.name not in self.runs, action)
                unmet = [edge for edge in action.spec.requires if not is_met(edge, self.statuses)]
                self.check("launch only with all requirements met", not unmet, (action.name, unmet))
                self.check("nothing starts a disabled worker", self.statuses[action.name].enabled, action)
                self.check_slot(action)
                self.runs[action.name] = action.run

    def check_slot(self, action: Launch) -> None:
        pool = action.spec.pool
        if pool is None:
            return
        slot = self.statuses[action.name].slot
        others = holding(pool.name, [self.statuses[name] for name in self.runs if name in self.statuses])
        fits = slot in range(pool.slots) and slot not in {other.slot for other in others} and len(others) < pool.slots
        self.check(
            "a pool has at most as many live runs as slots, each with another slot", fits, (action, slot, others)
        )

    def check_pools(self, outcome: Outcome) -> None:
        """Who waits has a reason to, and nobody was passed over by one of this input."""
        first = "a free slot is given at once, to who was wanted first"
        if self.machine.phase is not Phase.RUNNING:
            return
        launched = {action.name for action in outcome.actions if isinstance(action, Launch)}
        for pool in {status.spec.pool for status in self.statuses.values() if status.spec.pool is not None}:
            having = holding(pool.name, [self.statuses[name] for name in self.runs if name in self.statuses])
            for waiting in in_line(pool.name, self.statuses):
                assert waiting.spec.pool is not None
                slots = waiting.spec.pool.slots
                self.check(first, len(having) >= slots, (waiting, having))
                for other in having:
                    first_come = (
                        other.name in launched and other.spec.pool is not None and other.spec.pool.slots <= slots
                    )
                    if first_come and not any(edge.name in launched for edge in waiting.spec.requires):
                        keys = [(each.wanted_since or 0.0, each.name) for each in (other, waiting)]
                        self.check(first, keys[0] < keys[1], keys)

    def check_restarted(self, given: Input) -> None:
        if isinstance(given, Restart):
            counted = self.machine._memories[given.name].tries, self.statuses[given.name].failures
            self.check("an order to restart clears the count of failures", counted == ((), 0), (given, counted))

    def check_events(self, outcome: Outcome) -> None:
        names = []
        for event in outcome.events:
            for _, events in self.snapshots:
                events.append(event)
            match event:
                case PhaseChanged(phase=phase):
                    self.leaving = self.leaving or phase in (Phase.LEAVING, Phase.OVER)
                case Removed(name=name):
                    names.append(name)
                    self.told.pop(name, None)
                case Changed(status=status, causes=causes):
                    names.append(status.name)
                    self.check_given_up(self.told.get(status.name, status), causes)
                    self.told[status.name] = status
                    if "release" in causes:
                        held = holders(status.name, self.statuses)
                        self.check("release only with no live dependent", not held, (status, held))
        self.check("at most one event a worker an input", len(names) == len(set(names)), names)
        for name, status in self.statuses.items():
            same = self.told.get(name) == status
            self.check("the last event about a worker equals its status", same, (self.told.get(name), status))
        for snapshot, events in self.snapshots:
            self.check(
                "folding the events from any snapshot gives the present",
                fold(snapshot, events) == self.statuses,
                events,
            )

    def check_given_up(self, before: Status, causes: tuple[str, ...]) -> None:
        policy = before.spec.restart
        for_ever = policy.on_give_up is OnGiveUp.RETRY and policy.restart is not RestartWhen.NEVER and before.enabled
        fails = "exhausted" in causes and for_ever
        self.check("what is tried anew after giving up never fails", not fails, (before, causes))

    def check_statuses(self) -> None:
        for name, status in self.statuses.items():
            run = self.runs.get(name)
            self.check("live exactly when a run is", run == (status.run if status.live else None), (status, run))
            for edge in status.spec.requires:
                target = self.statuses.get(edge.name)
                if edge.condition is Condition.LOG and target is not None and target.live:
                    run, patterns = self.watched.get(target.name, (0, set()))
                    found = run == target.run and edge.pattern in {*patterns, *target.matched}
                    self.check("a line that somebody waits for is looked for", found, (status, target, patterns))
            if status.state in REST:
                idle = status.deadline is None and status.pid is None
                self.check("at rest means no deadline and no pid", idle, status)

    def check_settled(self) -> None:
        machine = self.machine
        turn = Turn(
            machine.statuses, machine._memories, machine._graph, {}, machine.phase, "", self.now, machine._jitter
        )
        turn.wake_all()
        settle(turn, was_busy=machine._busy, stay=machine._stay)
        left = (turn.actions, list(turn.events()))
        self.check("settle has left nothing to do", left == ([], []), left)

    def take_snapshot(self) -> None:
        self.snapshots = [*self.snapshots[-3:], (dict(self.statuses), [])]

    # ------------------------------------------------------------ a shell whose works cooperate

    def drain(self) -> None:
        """Every run becomes ready, and leaves when it is asked to, until nothing is left to do."""
        for _ in range(200):
            todo = [status for status in self.statuses.values() if self.obey(status)]
            if not todo:
                return

    def obey(self, status: Status) -> bool:
        match self.statuses[status.name].state if status.name in self.statuses else None:
            case State.STOPPING | State.KILLING:
                self.feed(Exited(status.name, status.run, Exit(status.run, code=0)))
                return True
            case State.STARTING:
                self.feed(Ready(status.name, status.run))
                return True
        return False

    # ------------------------------------------------------------ how things must end

    def end_by_leaving(self, rng: random.Random) -> None:
        self.feed(Shutdown(rng.random() < 0.3))
        self.drain()
        left = [status for status in self.statuses.values() if status.state not in REST]
        over = self.machine.phase is Phase.OVER
        self.check("leaving comes to rest with cooperative works", not left and over, (self.machine.phase, left))

    def end_by_stop_start_stop(self, rng: random.Random) -> None:
        name = rng.choice(sorted(self.statuses))
        for order in (Stop(name, cascade=rng.random() < 0.5), Start(name), Stop(name, cascade=True)):
            self.feed(order)
            if rng.random() < 0.3 and name in self.statuses:
                self.obey(self.statuses[name])
        if self.feed(Stop(name, cascade=True)) is None:
            return  # it has been removed meanwhile
        self.drain()
        status = self.statuses.get(name)
        ended = status is None or (status.state in REST and not status.wanted)
        self.check("stop then start then stop ends at rest and not wanted", ended, status)

    def end_by_restarting_dependents(self, rng: random.Random) -> None:
        name = rng.choice(sorted(self.statuses))
        self.feed(Stop(name))
        todo = [name]
        for at in todo:
            todo += [held for held in holders(at, self.statuses) if held not in todo]
        for held in reversed(todo[1:]):
            if self.statuses[held].state is State.STARTING:
                self.obey(self.statuses[held])  # else the order may join a restart that is nearly through
            if held in self.statuses and self.feed(Restart(held, cascade=rng.random() < 0.5)) is None:
                self.feed(Kill(held))
        self.drain()
        status = self.statuses.get(name)
        self.check(
            "a stopped target is not held for ever by a restarting dependent",
            status is None or status.state in REST,
            (status, [self.statuses[held] for held in todo if held in self.statuses]),
        )

    def end_by_restart(self, rng: random.Random) -> None:
        name = rng.choice(sorted(self.statuses))
        self.feed(Restart(name, cascade=rng.random() < 0.5, operation="last"))
        for other in sorted(self.statuses):  # whoever holds a cascade restart for a reason of its own leaves
            if other != name and other in holders(name, self.statuses):
                self.feed(Stop(other, cascade=True))
        self.drain()
        left = [status for status in self.statuses.values() if status.restarting == "last"]
        hopeful = [s for s in left if s.state is not State.BLOCKED]
        self.check("every restart is answered", not hopeful, left)
