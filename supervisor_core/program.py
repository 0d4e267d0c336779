"""The work function of a configured program: one run from spawn to an empty tree, told as a straight line.

The supervisor cannot tell it from a coroutine: asked to leave it sends the stop policy's signals, and cancelled it
kills the tree and goes on waiting until nothing is left. No policy: how often and when is decided elsewhere.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace

from .beside import LEFT, Beside, ended
from .children import Child, Ended, LaunchRequest, Spawner, make_tag
from .environment import environment_of
from .errors import NothingToAttachTo, SupervisorError
from .messages import LeaderExited, Spawned
from .model import Exit, State, Status, WorkerSpec
from .process import Process

OUTPUT_PATIENCE = 2.0
"""Seconds that a run whose processes are gone waits for a log store that cannot take its last bytes just now."""


def signal_number(name: str) -> int:
    """Gives the number of a signal by its name, with or without SIG. Raises `SupervisorError` for an unknown one."""
    try:
        return signal.Signals["SIG" + name.upper().removeprefix("SIG")]
    except KeyError:
        raise SupervisorError(f"no signal is named {name!r}; names are like TERM, HUP, USR1") from None


def steps_of(spec: WorkerSpec) -> tuple[tuple[int, float], ...]:
    """How a run of it is ended: signal numbers, each with the seconds that it is given.

    With time for what comes after its end, it is killed before that.
    """
    steps = tuple((signal_number(name), seconds) for name, seconds in spec.stop.steps)
    return (*steps, (int(signal.SIGKILL), spec.stop.after)) if spec.stop.after else steps


Work = Callable[[Process], Awaitable[Ended]]


def program(spec: WorkerSpec, spawner: Spawner) -> Work:
    """Gives the work that runs `spec.program` through `spawner`; it returns how the main process ended."""

    async def work(p: Process) -> Ended:
        assert spec.program is not None, f"{spec.name} has no program"
        tag = make_tag(spawner.instance, spec.name, p.run)
        beside = Beside(spec, p)
        if not await beside.prepare():
            return LEFT
        try:
            child = await spawner.spawn(
                LaunchRequest(
                    worker=spec.name,
                    run=p.run,
                    argv=spec.program.argv,
                    environment=environment_of(spec, p.run, tag) | beside.variables(),
                    directory=spec.program.directory,
                    merge_stderr=spec.program.redirect_stderr,
                    user=spec.program.user,
                    group=spec.program.group,
                    umask=spec.program.umask,
                    nice=spec.program.nice,
                    limits=spec.program.limits,
                    tty=spec.program.tty,
                    daemon=spec.daemon,
                    stop=steps_of(spec),
                )
            )
        except BaseException:
            await beside.gone()
            raise
        return await _Running(spec, p, child, beside).until_empty()

    return work


def going_on(spec: WorkerSpec, spawner: Spawner) -> Work:
    """Gives the work that takes over a run of an earlier supervisor, alive or ended meanwhile; it returns the same.

    It raises `NothingToAttachTo` for a run that was only intended.
    """

    async def work(p: Process) -> Ended:
        status, child = p.supervisor.status(spec.name), spawner.attach(spec.name, p.run)
        if child is not None:
            return await _Running(spec, p, child, Beside(spec, p, status), status).until_empty()
        if status is None or status.pid is None:
            raise NothingToAttachTo(f"{spec.name}: run {p.run} was never begun")
        return Ended(reason="unknown: whoever kept its process knows nothing of it any more")

    return work


class _Running:
    """One live run of a program."""

    def __init__(self, spec: WorkerSpec, p: Process, child: Child, beside: Beside, found: Status | None = None) -> None:
        """`found` is the status in which a run was that an earlier supervisor began."""
        assert spec.program is not None
        self._beside = beside
        self._spec, self._program, self._p, self._child = spec, spec.program, p, child
        self._leader: Exit | None = None
        self._known_headless = found is not None and found.leader_gone is not None
        up = 0.0 if found is None else max(0.0, p.supervisor.clock.now() - found.since)
        self._start_left = max(0.0, self._program.start_seconds - up)
        self._awaits_start = beside.survival_counts and (found is None or found.state is State.STARTING)

    async def until_empty(self) -> Ended:
        child, loop = self._child, asyncio.get_running_loop()
        self._p.report(Spawned(self._spec.name, self._p.run, child.pid))
        self._p.on_signal(self._send)
        child.leader_exited.add_done_callback(self._leader_exited)
        self._beside.begin(child)
        ready = loop.call_later(self._start_left, self._stayed_up) if self._awaits_start else None
        stopping = loop.create_task(self._stop_when_asked(), name=f"stop {self._spec.name}")
        try:
            await self._until_exited()
            with contextlib.suppress(asyncio.CancelledError):  # there is nothing left to kill
                await asyncio.wait([child.output_ended], timeout=OUTPUT_PATIENCE)
        finally:
            stopping.cancel()
            if ready is not None:
                ready.cancel()
            if self._spec.hooks.stop_command:
                await ended([stopping])
            await self._beside.gone()
        end = child.exited.result()
        await self._beside.after_stop(end, self._leader)
        return end if end.code == 0 else replace(end, reason=str(end))

    async def _until_exited(self) -> None:
        """Waits whatever comes; a cancellation is the order to kill."""
        while not self._child.exited.done():
            try:
                await asyncio.wait([self._child.exited])
            except asyncio.CancelledError:
                self._child.kill_tree()
        if words := self._child.struck():
            self._p._note(f"killed {words}")

    def _stayed_up(self) -> None:
        """A daemon is up when something of it is; what only helped to start it has gone by now, so count anew."""
        if not self._child.leader_exited.done():
            self._came_up()
        elif self._spec.daemon and self._leader is not None and not self._child.exited.done():
            self._tell_left()
            self._came_up()

    def _came_up(self) -> None:
        self._p.ready()
        self._beside.came_up()

    async def _stop_when_asked(self) -> None:
        await self._p.wait_shutdown()
        await self._beside.stop(self._child, steps_of(self._spec))

    def _send(self, name: str, tree: bool) -> None:
        """To the leader; where that is a shell, or is gone, to all."""
        all_of_it = tree or self._program.shell or self._child.leader_exited.done()
        self._child.signal(signal_number(name), tree=all_of_it)

    def _leader_exited(self, fact: "asyncio.Future[Ended]") -> None:
        if self._child.exited.done() or fact.cancelled():
            return
        ended, run = fact.result(), self._p.run
        reason = "" if ended.code == 0 else str(ended)
        self._leader = Exit(run, code=ended.code, signal=ended.signal, reason=reason, at=ended.at or 0.0)
        if not self._spec.daemon:
            self._beside.close()
        left = self._tell_left()
        if left and not self._p.shutting_down and not self._known_headless:
            then = "ending what it left"
            if self._spec.daemon:  # after a failure it depends on whether it was up
                then = "what it left goes on" if ended.code in self._spec.restart.success_exit_codes else "it left"
            self._p._note(f"the main process has ended ({ended}); {then}: {self._child.named(left)}")

    def _tell_left(self) -> tuple[int, ...]:
        left = self._child.left()
        if self._leader is not None and left:
            self._p.report(LeaderExited(self._spec.name, self._p.run, self._leader, len(left)))
        return left
