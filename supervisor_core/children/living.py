"""One live run of a program, whatever loop drives it: its main process, its tree, its output, and the way to end it.

Three facts are told, each once. They come in any order, but that the tree is empty only after the main process's end,
and none waits for another. No policy: when it is to end, and how, is said by others.
"""

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from . import Ended, ends, listed, procfs
from .cgroup import Group
from .forest import Forest
from .loops import Timer, watch
from .outlets import Gate, Outlet
from .tree import Tree

Sent = Callable[[Sequence[tuple[int, float]]], object]


def _nothing(*_: object) -> None:
    pass


class Facts(Protocol):
    """Who is told."""

    def main_ended(self, ended: Ended) -> None:
        """The main process has ended and is not collected yet; what it wrote has been taken."""
        ...

    def silenced(self) -> None:
        """Nobody holds its output any more."""
        ...

    def emptied(self) -> None:
        """Nothing of it is left."""
        ...


class Living:
    """A run whose main process was just started, or found. `tag` is the word of its environment that names it.

    `look` says how the main process ended when its pidfd has become readable, `reap` collects it.
    """

    def __init__(
        self,
        gate: Gate,
        forest: Forest,
        pid: int,
        tag: str,
        outlets: Sequence[Outlet],
        facts: Facts,
        *,
        group: Group | None = None,
        look: Callable[[int], Ended] | None = None,
        reap: Callable[[int], None] | None = None,
    ) -> None:
        self.pid = pid
        self.group = group
        self.leader_gone = False
        self._gate = gate
        self._forest = forest
        self._facts = facts
        self._outlets = outlets
        self._open = len(outlets)
        self._look, self._reap = look or ends.look, reap or ends.reap
        self._tree = Tree(forest, pid, tag, self._emptied, group)
        self._unwatch: Callable[[], None] | None = None
        self._steps: deque[tuple[int, float]] | None = None
        self._timer: Timer | None = None
        self._then: Callable[[], None] = _nothing
        self._sent: Sent = _nothing
        self._over = False

    def begin(self, pidfd: int | None) -> None:
        """Begins to notice; takes the descriptor over. Without one somebody else calls `leader_ended`."""
        for outlet in self._outlets:
            outlet.begin(self._output_ended)
        if pidfd is not None:
            self._unwatch = watch(self._gate.loop, pidfd, self._leader_readable)

    def found_headless(self, ended: Ended) -> None:
        """Instead of a pidfd: its main process was gone before anybody looked, and others may be left."""
        self.leader_gone = True
        self._facts.main_ended(ended)
        self._tree.found_headless()

    # ------------------------------------------------------------ asked and told

    def signal(self, number: int, *, tree: bool = False) -> None:
        """Sends to the leader or to all of the tree; does nothing when it is gone."""
        if tree:
            self._tree.signal(number)
        elif not self.leader_gone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(
        self, steps: Iterable[tuple[int, float]], then: Callable[[], None] = _nothing, sent: Sent = _nothing
    ) -> None:
        """Sends each signal to the whole tree, then CONT, and waits so many seconds; a second call changes nothing.

        `then` is called when all the time has passed and something is left; `sent` with each step, once that was sent,
        and those that are to come.
        """
        if self._steps is None:
            self._steps, self._then, self._sent = deque(steps), then, sent
            self._next_step()

    @property
    def stopping(self) -> bool:
        """Whether a stop has begun."""
        return self._steps is not None

    def kill_tree(self) -> None:
        self._tree.kill()

    def left(self) -> tuple[int, ...]:
        self._forest.forget()
        return tuple(proc.pid for proc in self._tree.members())

    def struck(self) -> str:
        names = self._tree.struck
        return "" if names.keys() <= {self.pid} else listed(tuple(names), names.__getitem__)

    def let_go(self) -> None:
        """Stops to look, whatever lives on."""
        self._tree.close()
        self._disarm()
        if self._unwatch is not None:
            self._unwatch()
        for outlet in self._outlets:
            outlet.close()

    # ------------------------------------------------------------ facts

    def leader_ended(self, ended: Ended, reap: Callable[[], None]) -> None:
        """All that it wrote is taken before its end is told; its number is free only after the look at its tree."""
        if self.leader_gone:
            return
        self.leader_gone = True
        for outlet in self._outlets:
            outlet.drain()
        self._facts.main_ended(self._tree.explained(ended))
        self._tree.leader_ended()
        reap()
        self._tree.leader_reaped()

    def _leader_readable(self) -> None:
        assert self._unwatch is not None
        ended = self._look(self.pid)
        self._unwatch()
        self._unwatch = None
        self._gate.hold()
        self.leader_ended(ended, lambda: self._reap(self.pid))

    def _output_ended(self) -> None:
        self._open -= 1
        if not self._open:
            self._facts.silenced()
            self._part()

    def _emptied(self) -> None:
        self._disarm()
        for outlet in self._outlets:
            outlet.finish()
        self._facts.emptied()
        self._over, self._then, self._sent = True, _nothing, _nothing
        self._part()

    def _part(self) -> None:
        """Lets go of who is told, once that was all: what holds each other is freed late, as garbage."""
        if self._over and not self._open:
            del self._facts

    def _next_step(self) -> None:
        self._timer = None
        if self._tree.empty or self._steps is None:
            return
        if not self._steps:
            self._then()
            return
        number, seconds = self._steps.popleft()
        self._tree.signal(number)
        self._tree.signal(signal.SIGCONT)  # a stopped process sees no signal before
        self._sent([(number, seconds), *self._steps])
        self._timer = self._gate.loop.call_later(seconds, self._next_step)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def named(pids: Sequence[int]) -> str:
    """Processes in words."""
    return listed(pids, procfs.name)
