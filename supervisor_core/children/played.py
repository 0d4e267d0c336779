"""One run of a program that a test plays instead of a process: what it does, what it was sent, and how it ends.

Children obey TERM, INT, HUP and QUIT by ending, unless told otherwise; KILL and `kill_tree` always work, unless the
child is `stuck`. No policy, and no process.
"""

import asyncio
import copy
import itertools
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..logs import LogSink, StreamWriter
from . import Ended, LaunchRequest, listed

DEADLY = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL})

T = TypeVar("T")

LOST = Ended(reason="unknown: it belongs to another supervisor now")


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
        loop = self._loop = asyncio.get_running_loop()
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
        self._timer: asyncio.TimerHandle | None = None
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

    def exit(self, code: int = 0, *, at: float | None = None) -> None:
        """Its main process ends by itself; descendants live on. `at` is for an end that is told later."""
        self._end(Ended(code=code, at=at))

    def die(self, name: str = "SEGV", *, at: float | None = None) -> None:
        """Its main process is ended by a signal, as if somebody else had sent it."""
        self._end(Ended(signal=int(signal.Signals["SIG" + name]), at=at))

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
                self._timer = asyncio.get_running_loop().call_later(seconds, self._next_step)

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

    def moved(self, over: "Callable[[FakeChild], object]") -> "FakeChild":
        """The same run for another supervisor, in the loop that runs now; this one has ended, nobody knows how."""
        loop, other = asyncio.get_running_loop(), copy.copy(self)
        other._over = over
        other.leader_exited = _same(self.leader_exited, loop)
        other.output_ended = _same(self.output_ended, loop)
        other.exited = _same(self.exited, loop)
        if self._timer is not None:
            self._timer.cancel()
            if not self.exited.done():
                left = max(0.0, self._timer.when() - self._loop.time())
                other._timer = loop.call_later(left, other._next_step)
        other._loop = loop
        self._descendants, self._open, self._writers = {}, {}, {}
        for fact in (self.leader_exited, self.exited):
            if not fact.done():
                fact.set_result(LOST)
        if not self.output_ended.done():
            self.output_ended.set_result(None)
        return other


def _same(fact: "asyncio.Future[T]", loop: asyncio.AbstractEventLoop) -> "asyncio.Future[T]":
    """What is known is known in the other loop, too."""
    other: asyncio.Future[T] = loop.create_future()
    if fact.done():
        other.set_result(fact.result())
    return other
