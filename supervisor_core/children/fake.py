"""A spawner without processes: a test says what they do. Part of the product, so that embedding programs can test too.

    spawner = FakeSpawner()
    ...                                       # something spawns the worker "web"
    web = spawner.children["web"]             # its newest run
    web.write("listening\n")
    web.exit(3)

Children obey TERM, INT, HUP and QUIT by ending, unless told otherwise; KILL and `kill_tree` always work, unless the
child is `stuck`. What is to hold for children that do not exist yet is said by `expect` and `refuse`.

Known wart: time does not pass here and pids are only numbers (from 100001), which no system call should be given.
"""

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import CannotStart
from ..logs import LogSink, StreamWriter
from . import Ended, LaunchRequest, listed

DEADLY = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL})

FIRST_PID = 100_001


@dataclass(frozen=True, slots=True)
class Manner:
    """How a child behaves: signals that it ignores, children of its own (which `stubborn` ones ignore too), whether
    nothing at all ends it, and what is called with it once it was spawned.
    """

    ignores: frozenset[int] = frozenset()
    descendants: int = 0
    stubborn: bool = False
    stuck: bool = False
    then: Callable[["FakeChild"], object] | None = None


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

    # ------------------------------------------------------------ the contract

    async def spawn(self, request: LaunchRequest) -> "FakeChild":
        self.requests.append(request)
        if (gate := self._gates.get(request.worker)) is not None:
            await gate.wait()
        if (refusal := self._refusals.get(request.worker)) is not None:
            raise CannotStart(str(refusal), permanent=refusal.permanent)
        if not request.argv or not request.argv[0]:
            raise CannotStart("there is no program to start: the command is empty")
        manner = self._manners.get(request.worker, Manner())
        child = FakeChild(request, manner, self._pids, self.store, self._alive.remove)
        self.children[request.worker] = child
        self._alive.append(child)
        if manner.then is not None:
            manner.then(child)
        return child

    def attach(self, worker: str, run: int) -> "FakeChild | None":
        return next((c for c in self._alive if (c.request.worker, c.request.run) == (worker, run)), None)

    def live(self) -> list[tuple[str, int, int]]:
        return [(child.request.worker, child.request.run, child.pid) for child in self._alive]

    def note(self, worker: str, data: bytes) -> None:
        self._notes[worker] = data

    def notes(self) -> Mapping[str, bytes]:
        return dict(self._notes)

    async def aclose(self) -> None:
        for child in list(self._alive):
            child.kill_tree()


class FakeChild:
    """One run, played by a test. `signals` lists all that it was sent as (number, tree?), `killed` counts the kills."""

    def __init__(
        self,
        request: LaunchRequest,
        manner: Manner,
        pids: "itertools.count[int]",
        store: LogSink | None,
        over: "Callable[[FakeChild], object]",
    ) -> None:
        loop = asyncio.get_running_loop()
        self.request = request
        self.signals: list[tuple[int, bool]] = []
        self.killed = 0
        self._struck: tuple[int, ...] = ()
        self.ignores = set(manner.ignores)
        self.stuck = manner.stuck
        self.written = {"out": b"", "err": b""}
        self.leader_exited: asyncio.Future[Ended] = loop.create_future()
        self.output_ended: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[Ended] = loop.create_future()
        self._over = over
        self._pids = pids
        self._pid = next(pids)
        self._descendants: dict[int, bool] = {}
        self._steps: list[tuple[int, float]] | None = None
        names = ("out",) if request.merge_stderr else ("out", "err")
        self._open = dict.fromkeys(names, True)
        self._writers: dict[str, StreamWriter] = {}
        if store is not None and request.output is None:
            self._writers = {name: store.open_stream(request.worker, name, request.run) for name in names}
        for _ in range(manner.descendants):
            self.fork(stubborn=manner.stubborn)

    @property
    def pid(self) -> int:
        return self._pid

    # ------------------------------------------------------------ what a test lets it do

    def exit(self, code: int = 0) -> None:
        """Its main process ends by itself; descendants live on."""
        self._end(Ended(code=code))

    def die(self, name: str = "SEGV") -> None:
        """Its main process is ended by a signal, as if somebody else had sent it."""
        self._end(Ended(signal=int(signal.Signals["SIG" + name])))

    def write(self, data: str | bytes, stream: str = "out") -> None:
        """It writes; to the standard output when errors are merged. Descendants that hold the output may write too."""
        stream = stream if stream in self._open else "out"
        assert self._open[stream], f"{self} has closed its {stream}"
        raw = data.encode() if isinstance(data, str) else data
        self.written[stream] += raw
        if self.request.output is not None:
            self.request.output(stream, raw)
        elif stream in self._writers:
            self._writers[stream].append(raw)

    def close_output(self, *streams: str) -> None:
        """It closes these of its streams, else all."""
        for stream in streams or tuple(self._open):
            if self._open.get(stream):
                self._open[stream] = False
                if self.request.output is not None:
                    self.request.output(stream, b"")
                elif stream in self._writers:
                    self._writers[stream].end()
        if not any(self._open.values()) and not self.output_ended.done():
            self.output_ended.set_result(None)

    def fork(self, *, stubborn: bool = False) -> int:
        """It starts a child of its own, which holds the output and ends by a deadly signal unless stubborn."""
        pid = next(self._pids)
        self._descendants[pid] = stubborn
        return pid

    def descendant_exits(self, pid: int | None = None) -> None:
        """One of its descendants ends by itself; the oldest by default."""
        del self._descendants[next(iter(self._descendants)) if pid is None else pid]
        self._settle()

    # ------------------------------------------------------------ the contract

    def signal(self, number: int, *, tree: bool = False) -> None:
        if self.exited.done() or (self.leader_exited.done() and not tree):
            return
        self.signals.append((int(number), tree))
        if number not in DEADLY or self.stuck:
            return
        if tree:
            survives = number != signal.SIGKILL
            self._descendants = {pid: True for pid, stubborn in self._descendants.items() if stubborn and survives}
        if number not in self.ignores or number == signal.SIGKILL:
            self._end(Ended(signal=int(number)))
        self._settle()

    def stop(self, steps: Sequence[tuple[int, float]]) -> None:
        if self._steps is None:
            self._steps = list(steps)
            self._next_step()

    def _next_step(self) -> None:
        if self._steps and not self.exited.done():
            number, seconds = self._steps.pop(0)
            self.signal(number, tree=True)
            self.signal(signal.SIGCONT, tree=True)
            if self._steps and not self.exited.done():
                asyncio.get_running_loop().call_later(seconds, self._next_step)

    def kill_tree(self) -> None:
        self.killed += 1
        self._struck = self._struck or self.left()
        if not self.stuck:
            self._descendants.clear()
            self._end(Ended(signal=int(signal.SIGKILL)))
            self._settle()

    def left(self) -> tuple[int, ...]:
        return (() if self.leader_exited.done() else (self._pid,)) + tuple(self._descendants)

    def named(self, pids: Sequence[int]) -> str:
        return listed(pids, lambda _: "fake")

    def struck(self) -> str:
        return "" if self._struck in ((), (self._pid,)) else self.named(self._struck)

    def __repr__(self) -> str:
        return f"<FakeChild {self.request.worker} run {self.request.run} pid {self._pid}>"

    # ------------------------------------------------------------ inside

    def _end(self, ended: Ended) -> None:
        if not self.leader_exited.done():
            self.leader_exited.set_result(ended)
            self._settle()

    def _settle(self) -> None:
        """The tree is empty once nobody is left; then nobody holds the output either."""
        if self.left() or self.exited.done():
            return
        self.close_output()
        self.exited.set_result(self.leader_exited.result())
        self._over(self)
