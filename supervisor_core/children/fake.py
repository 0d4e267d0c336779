"""A spawner without processes: a test says what they do. Part of the product, so that embedding programs can test too.

    spawner = FakeSpawner()
    ...                                       # something spawns the worker "web"
    web = spawner.children["web"]             # its newest run
    web.write("listening\n")
    web.exit(3)

What is to hold for children that do not exist yet is said by `expect` and `refuse`; how they behave is in `played.py`.
`successor` plays the death of the process that supervised: its runs go on, and another supervisor attaches to them.

Known wart: time does not pass here and pids are only numbers (from 100001), which no system call should be given.
"""

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterable, Mapping

from ..errors import CannotStart
from ..logs import LogSink
from . import LaunchRequest
from .played import FakeChild as FakeChild
from .played import Manner

FIRST_PID = 100_001


class FakeSpawner:
    """Spawns on command. `children` holds the newest child of each worker, `requests` all that was asked for.

    Output goes to `store` if there is one, and to `FakeChild.written` always.
    """

    def __init__(self, store: LogSink | None = None, *, instance: str = "fake") -> None:
        self.store = store
        self.instance = instance
        self.children: dict[str, FakeChild] = {}
        self.requests: list[LaunchRequest] = []
        self._alive: list[FakeChild] = []
        self._ended: dict[tuple[str, int], FakeChild] = {}
        self._lost = False
        self._manners: dict[str, Manner] = {}
        self._refusals: dict[str, CannotStart] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._notes: dict[str, bytes] = {}
        self._pids = itertools.count(FIRST_PID)

    # ------------------------------------------------------------ what a test says beforehand

    def refuse(self, worker: str, sentence: str = "no such program", *, permanent: bool = True) -> None:
        """Every spawn of this worker fails, until `accept`."""
        self._refusals[worker] = CannotStart(sentence, permanent=permanent)

    def accept(self, worker: str) -> None:
        self._refusals.pop(worker, None)

    def expect(
        self,
        worker: str,
        *,
        ignores: Iterable[str] = (),
        descendants: int = 0,
        stubborn: bool = False,
        stuck: bool = False,
        then: "Callable[[FakeChild], object] | None" = None,
    ) -> None:
        """Says how the next children of this worker behave; `ignores` are names without SIG. See `Manner`."""
        numbers = frozenset(int(signal.Signals["SIG" + name]) for name in ignores)
        self._manners[worker] = Manner(numbers, descendants, stubborn, stuck, then)

    def hold(self, worker: str) -> Callable[[], None]:
        """Lets `spawn` of this worker wait, until what this returns is called."""
        gate = self._gates[worker] = asyncio.Event()

        def release() -> None:
            self._gates.pop(worker, None)
            gate.set()

        return release

    def successor(self) -> "FakeSpawner":
        """What another supervisor finds when the one that used this spawner is gone, say because it was killed.

        All that lived goes on there, under new children; what has ended there and was not forgotten can be attached
        to; notes are kept. Here everything has ended at once, nothing starts any more and nothing is noted, so that
        the supervisor that is to be gone can be shut down and changes nothing. Call it in the loop of the new one.
        """
        other = FakeSpawner(self.store, instance=self.instance)
        other.requests, other._pids, other._notes = self.requests, self._pids, dict(self._notes)
        other._manners, other._refusals = self._manners, self._refusals
        moved = {id(child): child.moved(other._over) for child in (*self._alive, *self._ended.values())}
        other._alive = [moved[id(child)] for child in self._alive]
        other._ended = {run: moved[id(child)] for run, child in self._ended.items()}
        other.children = {name: moved[id(child)] for name, child in self.children.items() if id(child) in moved}
        self._lost, self._alive, self._ended = True, [], {}
        for gate in self._gates.values():
            gate.set()
        return other

    # ------------------------------------------------------------ the contract

    async def spawn(self, request: LaunchRequest) -> "FakeChild":
        self.requests.append(request)
        if (gate := self._gates.get(request.worker)) is not None:
            await gate.wait()
        if self._lost:
            raise CannotStart("its processes belong to another supervisor now")
        if (refusal := self._refusals.get(request.worker)) is not None:
            raise CannotStart(str(refusal), permanent=refusal.permanent)
        if not request.argv or not request.argv[0]:
            raise CannotStart("there is no program to start: the command is empty")
        manner = self._manners.get(request.worker, Manner())
        child = FakeChild(request, manner, self._pids, self.store, self._over)
        self.children[request.worker] = child
        self._alive.append(child)
        if manner.then is not None:
            manner.then(child)
        return child

    def attach(self, worker: str, run: int) -> "FakeChild | None":
        """The child of that run, alive or ended and not forgotten."""
        alive = (c for c in self._alive if (c.request.worker, c.request.run) == (worker, run))
        return next(alive, self._ended.get((worker, run)))

    def forget(self, worker: str, run: int) -> None:
        self._ended.pop((worker, run), None)

    def live(self) -> list[tuple[str, int, int]]:
        return [(child.request.worker, child.request.run, child.pid) for child in self._alive]

    def note(self, worker: str, data: bytes) -> None:
        if not self._lost:
            self._notes[worker] = data

    def notes(self) -> Mapping[str, bytes]:
        return dict(self._notes)

    async def durable(self) -> None:
        """Returns at once."""

    def leaving(self, status: int | None = None) -> None:
        """Does nothing."""

    async def aclose(self) -> None:
        for child in list(self._alive):
            child.kill_tree()

    def _over(self, child: FakeChild) -> None:
        self._alive.remove(child)
        self._ended[child.request.worker, child.request.run] = child
