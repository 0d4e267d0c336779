"""The spawner inside this process: own pipes, one pidfd a child, one session a run.

`subprocess.Popen` starts programs (vfork inside; nothing that would make it fork for real), the loop's thread does
everything, and nothing runs at rest. No policy: who is ended and when is for others to say.

Known wart: an embedding program that waits for any child takes our exit statuses; the run then ends with "unknown".
"""

import asyncio
import contextlib
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from ..clock import Clock
from ..errors import CannotStart
from ..flag import post
from ..logs import LogSink
from ..memory import MemoryStore
from . import TAG, Ended, LaunchRequest, birth, ends, openings, procfs, refusals
from .cgroup import Group, Groups
from .forest import Forest
from .living import Living, named
from .loops import watch
from .outlets import Gate, Outlet, Source, Tap
from .pump import Pump
from .reaper import Reaper

PATIENCE = 5.0
"""Seconds that `aclose` waits for what it killed."""


class LocalSpawner:
    """Starts programs as children of this process. Its methods belong to the thread of the loop.

    Output goes to `store`, by default one in memory. `subreaper` is for a process that is a service and nothing else:
    orphans of its runs come to it and are reaped. `instance` stands in the tags of its runs.
    """

    def __init__(self, store: LogSink | None = None, *, subreaper: bool = False, instance: str = "") -> None:
        self.store: LogSink = MemoryStore(Clock().now) if store is None else store
        self.instance = instance or secrets.token_hex(8)
        self._pump = Pump(self.store)
        self._subreaper = subreaper and procfs.become_subreaper()
        self._pidfds = ends.has_pidfds()
        self._children: list[LocalChild] = []
        self._forest: Forest | None = None
        self._reaper: Reaper | None = None
        self._gate: Gate | None = None
        self._notes: dict[str, bytes] = {}
        self._groups = Groups(self.instance)

    async def spawn(self, request: LaunchRequest) -> "LocalChild":
        """Returns when exec has succeeded; raises `CannotStart`. Can be cancelled only while a child becomes."""
        refusals.check(request)
        forest, gate = self._enter(asyncio.get_running_loop())
        group, parts = self._groups.prepare(request, root=refusals.runs_as_root(request))
        with contextlib.ExitStack() as undo:
            if group is not None:
                undo.callback(self._groups.give_back, group)
            try:
                refusals.leave_room(request)
                outlets, writing = self._pipes(gate, request, undo)
                pid, report = birth.start(request, writing, parts, () if group is None else (group.entrance,))
                undo.callback(_close, [] if report is None else [report])
                _close(writing)  # first, so that a descriptor is free for what comes
                pidfd = ends.handle(pid) if self._pidfds else None
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                raise refusals.refusal(request, error) from error
            undo.pop_all()
        child = LocalChild(gate, asyncio.get_running_loop(), request, pid, forest, outlets, group, self._forget)
        self._children.append(child)
        child.watch(pidfd)
        gate.release()
        if self._reaper is not None:
            self._reaper.begin()
        if report is not None:
            await self._become(child, request, report)
        for sentence in parts.said:
            with contextlib.suppress(OSError):  # no room on the disk: it runs all the same
                self.store.note(request.worker, request.run, sentence)
        return child

    async def _become(self, child: "LocalChild", request: LaunchRequest, report: int) -> None:
        """Waits until it runs the program. Nothing is left of it when it cannot, or when nobody wants it any more."""
        try:
            said = await hear(asyncio.get_running_loop(), report)
            if said == birth.READY:
                return
        except BaseException:
            await child.wipe_out()
            raise
        raise refusals.broken(request, said, await child.wipe_out())

    def attach(self, worker: str, run: int) -> "LocalChild | None":
        """The child of that run, if it is alive."""
        return next((c for c in self._children if (c.worker, c.run) == (worker, run)), None)

    def live(self) -> list[tuple[str, int, int]]:
        return [(child.worker, child.run, child.pid) for child in self._children]

    def forget(self, worker: str, run: int) -> None:
        """Does nothing: what has ended here is not kept."""

    def shelter(self, pid: int) -> Callable[[], None]:
        """Keeps a child that is no run from being collected as an orphan; returns the way out. At its start only."""
        forest, _ = self._enter(asyncio.get_running_loop())
        forest.leaders.add(pid)
        return lambda: forest.leaders.discard(pid)

    def note(self, worker: str, data: bytes) -> None:
        """Keeps it as long as this process lives: so do the runs that it speaks of."""
        self._notes[worker] = data

    def notes(self) -> Mapping[str, bytes]:
        return dict(self._notes)

    async def durable(self) -> None:
        """Returns at once: nothing here is meant to outlive this process."""

    def leaving(self, status: int | None = None) -> None:
        """Does nothing: nobody comes after this process."""

    async def aclose(self) -> None:
        """Kills what is left and waits a bounded time for it. The spawner may be used again afterwards."""
        left = list(self._children)
        for child in left:
            child.kill_tree()
        try:
            if left:
                await asyncio.wait([child.exited for child in left], timeout=PATIENCE)
        finally:
            for child in left:
                child.let_go()
            if self._subreaper and self._forest is not None:
                self._forest.reap()
            self._groups.close()

    # ------------------------------------------------------------ inside

    def _enter(self, loop: asyncio.AbstractEventLoop) -> tuple[Forest, Gate]:
        """Belongs to this loop from now on."""
        if self._forest is None or self._gate is None or self._gate.loop is not loop:
            self._gate = Gate(loop)
            self._forest = Forest(
                lambda fd, call: watch(loop, fd, call),
                lambda seconds, call: loop.call_later(seconds, call).cancel,
                loop.call_soon,
                subreaper=self._subreaper,
                pidfds=self._pidfds,
            )
            self._reaper = Reaper(loop, self._forest.reap) if self._subreaper else None
        return self._forest, self._gate

    def _pipes(self, gate: Gate, request: LaunchRequest, undo: contextlib.ExitStack) -> tuple[list[Outlet], list[int]]:
        """Opens where the output goes before the program can write any; gives the writing ends too."""
        ends: list[int] = []
        undo.callback(_close, ends)
        outlets = []
        for stream in openings.streams(request):
            reading, writing = openings.open_output(request)
            ends.append(writing)
            try:
                outlets.append(Outlet(gate, self._source(request, stream, reading)))
            except OSError as error:
                os.close(reading)
                raise CannotStart(f"the log of {request.worker} cannot be opened: {error}", permanent=False) from error
            undo.callback(outlets[-1].close)
        return outlets, ends

    def _source(self, request: LaunchRequest, stream: str, fd: int) -> Source:
        if request.output is not None:
            return Tap(stream, fd, request.output)
        return self._pump.open(request.worker, stream, request.run, fd)

    def _forget(self, child: "LocalChild") -> None:
        if child in self._children:
            self._children.remove(child)
            if child.living.group is not None:
                self._groups.give_back(child.living.group)


class LocalChild:
    """One run of a program in this process, as futures. See `children.Child`."""

    def __init__(
        self,
        gate: Gate,
        loop: asyncio.AbstractEventLoop,
        request: LaunchRequest,
        pid: int,
        forest: Forest,
        outlets: list[Outlet],
        group: Group | None,
        over: Callable[["LocalChild"], None],
    ) -> None:
        self.worker, self.run = request.worker, request.run
        self.leader_exited: asyncio.Future[Ended] = loop.create_future()
        self.output_ended: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[Ended] = loop.create_future()
        self._loop = loop
        self._over = over
        words = request.environment.get(TAG, "").split()
        self.living = Living(gate, forest, pid, words[-1] if words else "", outlets, self, group=group)

    @property
    def pid(self) -> int:
        return self.living.pid

    def watch(self, pidfd: int | None) -> None:
        """Begins to notice; takes the descriptor over. Without one a thread waits."""
        self.living.begin(pidfd)
        if pidfd is None:
            threading.Thread(target=self._wait, name=f"wait for {self.pid}", daemon=True).start()

    def signal(self, number: int, *, tree: bool = False) -> None:
        """Sends to the leader or to all of the tree; does nothing when it is gone."""
        self.living.signal(number, tree=tree)

    def stop(self, steps: Sequence[tuple[int, float]]) -> None:
        self.living.stop(steps)

    def kill_tree(self) -> None:
        self.living.kill_tree()

    async def wipe_out(self) -> Ended:
        """Kills it and waits until nothing is left, whoever is in a hurry; gives the leader's end."""
        self.kill_tree()
        while not self.exited.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self.exited])
        return self.exited.result()

    def left(self) -> tuple[int, ...]:
        return self.living.left()

    def named(self, pids: Sequence[int]) -> str:
        return named(pids)

    def struck(self) -> str:
        return self.living.struck()

    def let_go(self) -> None:
        """Stops to look, whatever lives on."""
        self.living.let_go()
        unknown = Ended(reason="unknown: it was still there when its owner left")
        for future in (self.leader_exited, self.exited):
            if not future.done():
                future.set_result(unknown)
        self._over(self)

    # ------------------------------------------------------------ facts

    def main_ended(self, ended: Ended) -> None:
        if not self.leader_exited.done():
            self.leader_exited.set_result(ended)

    def emptied(self) -> None:
        if not self.exited.done():
            self.exited.set_result(self.leader_exited.result())
        self._over(self)

    def silenced(self) -> None:
        if not self.output_ended.done():
            self.output_ended.set_result(None)

    def _wait(self) -> None:
        """In a thread, where the system has no pidfds."""
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            ended = Ended(code=code) if code >= 0 else Ended(signal=-code)
        except ChildProcessError:
            ended = Ended(reason=ends.TAKEN)
        post(self._loop, self.living.leader_ended, ended, lambda: None)


async def hear(loop: asyncio.AbstractEventLoop, fd: int) -> bytes:
    """Reads a report to its end; takes the descriptor over."""
    said, over = b"", loop.create_future()

    def more() -> None:
        nonlocal said
        data = os.read(fd, 4096)
        said += data
        if not data and not over.done():
            over.set_result(None)

    undo = watch(loop, fd, more)
    try:
        await over
    finally:
        undo()
    return said


def _close(ends: list[int]) -> None:
    while ends:
        os.close(ends.pop())
