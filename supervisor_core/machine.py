"""The pure middle: the dict of statuses, and `handle`, which decides everything.

No asyncio, clock, files or logging. An input goes through three rooms: `orders.py` or `reports.py` turn it into causes
of the table, `turn.py` moves the workers accordingly, `settle.py` moves whatever may move then. Either all of it is
taken over or, when something raises, nothing.

Known wart: the statuses are copied (the dict, not the values) for each input, some µs per thousand workers.
"""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

from . import declaring, orders, reports
from .dossier import Memory
from .errors import IllegalInput
from .graph import Graph
from .messages import Input, Order, Outcome, Report, Tick
from .model import REST, Phase, Status, WorkerSpec
from .notes import remember, remember_number
from .plan import Plan
from .settle import settle
from .turn import Turn

KEPT_NAMES = 10_000
"""Removed workers whose run numbers are kept, so that they go on when the name comes back."""


class Machine:
    """All workers and the phase. `statuses` may be read by any thread: it is replaced, never changed.

    Without `stay` it is over as soon as every worker is at rest or stuck; with it only a shutdown ends it. `jitter`
    gives a number from -1 to 1 for each back-off. Not thread-safe: the caller serializes `handle`.
    """

    def __init__(self, *, stay: bool = False, jitter: Callable[[], float] = lambda: 0.0) -> None:
        self.phase = Phase.IDLE
        self.statuses: dict[str, Status] = {}
        self._memories: dict[str, Memory] = {}
        self._graph = Graph()
        self._last_runs: dict[str, int] = {}
        self._leaving_by = ""
        self._busy = 0
        self._deadlines: list[tuple[float, str]] = []
        self._stay = stay
        self._jitter = jitter

    @property
    def at_rest(self) -> bool:
        """Whether every worker is at rest or stuck."""
        return self._busy == 0

    def in_use(self, name: str) -> bool:
        """Whether a worker of that name exists and is not at rest, so that nobody may take the name over."""
        return name in self.statuses and self.statuses[name].state not in REST

    def plan(self, specs: Iterable[WorkerSpec]) -> Plan:
        """What `Apply(specs)` would do now."""
        return declaring.plan_of(self.statuses, self._memories, specs)

    def next_deadline(self) -> float | None:
        """When `Tick` is due next, in the seconds that `handle` gets; None when nothing is."""
        while self._deadlines:
            deadline, name = self._deadlines[0]
            status = self.statuses.get(name)
            if status is not None and status.deadline == deadline:
                return deadline
            heappop(self._deadlines)
        return None

    def handle(self, given: Input, now: float) -> Outcome:
        """Takes one order, report or tick. Returns what has to be done and what has changed.

        Raises `Refused` for an order that cannot be taken and `IllegalInput` for a broken rule; then nothing has
        changed. A report about a run that is not the live one changes nothing.
        """
        turn = Turn(
            self.statuses, self._memories, self._graph, self._last_runs, self.phase, self._leaving_by, now, self._jitter
        )
        operation = ""
        match given:
            case Order():
                operation = orders.take(turn, given)
            case Report():
                reports.take(turn, given)
            case Tick():
                reports.tick(turn)
            case _:
                raise IllegalInput(f"neither order, report nor tick: {given!r}")
        is_busy = settle(turn, was_busy=self._busy, stay=self._stay)
        outcome = Outcome(tuple(turn.actions), turn.events(), operation, self._touched(turn))
        self._take_over(turn, is_busy)
        return outcome

    def note_of(self, name: str) -> bytes:
        """What whoever takes over has to know of a worker, also of one that was removed."""
        status = self.statuses.get(name)
        if status is None:
            return remember_number(name, self._last_runs.get(name, 0))
        return remember(status, self._memories[name], leaving=self.phase in (Phase.LEAVING, Phase.OVER))

    def go_on_from(self, name: str, run: int) -> None:
        """Should a worker of that name come, its run numbers go on after `run`."""
        self._last_runs[name] = max(run, self._last_runs.get(name, 0))

    def _touched(self, turn: Turn) -> tuple[str, ...]:
        statuses, memories = self.statuses, self._memories
        return tuple(
            name
            for name in turn.touched
            if statuses.get(name) != turn.statuses.get(name) or memories.get(name) != turn.memories.get(name)
        )

    def _take_over(self, turn: Turn, is_busy: int) -> None:
        before = self.statuses
        self.statuses, self._memories, self._graph = turn.statuses, turn.memories, turn.graph
        self.phase, self._leaving_by, self._busy = turn.phase, turn.leaving_by, is_busy
        for name, run in turn.forgotten.items():
            self._last_runs.pop(name, None)
            self._last_runs[name] = run
        while len(self._last_runs) > KEPT_NAMES:
            del self._last_runs[next(iter(self._last_runs))]
        for name in turn.causes:
            after, known = self.statuses.get(name), before.get(name)
            if after is not None and after.deadline is not None and (known is None or known.deadline != after.deadline):
                heappush(self._deadlines, (after.deadline, name))
        if len(self._deadlines) > 4 * len(self.statuses) + 64:
            self._deadlines = [(s.deadline, name) for name, s in self.statuses.items() if s.deadline is not None]
            heapify(self._deadlines)
