"""What goes on beside one run of a program: its probes and its hooks, made only where the worker has any.

`program.py` tells the run as a straight line and calls here at its turns; what probes mean is in `probes/`.
"""

import asyncio
import contextlib
import signal
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from .children import Child, Ended
from .errors import CannotStart
from .messages import LeaderExited
from .model import Exit, Status, WorkerSpec

if TYPE_CHECKING:
    from .hooks import RunHooks
    from .probes.notify import NotifySocket
    from .probes.probing import Probing
    from .process import Process


LEFT = Ended(signal=signal.SIGTERM, reason="it was asked to leave before its program was started")


class Beside:
    """`found` is the status in which a run was that an earlier supervisor began."""

    def __init__(self, spec: WorkerSpec, p: "Process", found: Status | None = None) -> None:
        self._spec, self._p, self._found = spec, p, found
        self._socket: NotifySocket | None = None
        self._after: str | None = None
        self._child: Child | None = None
        self._probing: Probing | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def survival_counts(self) -> bool:
        """Whether it is ready when it stayed up for a while; else something says so."""
        return not self._spec.ready_probe

    def variables(self) -> dict[str, str]:
        """What its program is told of its socket."""
        if self._socket is None:
            return {}
        watchdog = self._spec.program.watchdog if self._spec.program is not None else 0.0
        told = {"NOTIFY_SOCKET": self._socket.address}
        return told | ({"WATCHDOG_USEC": str(int(watchdog * 1e6))} if watchdog else {})

    # ------------------------------------------------------------ the turns of a run

    async def prepare(self) -> bool:
        """Before its program is started; false when the run was asked to leave meanwhile. Raises `CannotStart`."""
        if self._spec.hooks.before_start and not await self._hooks().before_start():
            return False
        if self._listens:
            self._bind()
        if (store := self._p.supervisor.logs if self._reads else None) is not None:
            from .probes.written import end_of

            with contextlib.suppress(OSError):
                self._after = end_of(store, self._spec.name)
        return True

    def begin(self, child: Child) -> None:
        """Its program runs, or was found running."""
        if self._found is not None and self._listens:
            try:
                self._bind()
            except CannotStart as error:
                self._p._note(f"ERROR: {error}")
        self._child = child
        spec = self._spec
        if spec.ready is not None or spec.alive is not None or spec.patterns or self._socket is not None:
            self._probe(self._found)
        self._p._on_watch = self._look_for
        self._p._watch(())

    def came_up(self) -> None:
        """It stayed up for long enough."""
        if self._probing is not None:
            self._probing.came_up()
        self._first_ready()

    def close(self) -> None:
        """Nothing is looked at any more."""
        if self._probing is not None:
            self._probing.close()

    async def stop(self, child: Child, steps: Sequence[tuple[int, float]]) -> None:
        """Ends the run: with its command, or where that fails with the first signal; then the further steps."""
        self.close()
        command = self._spec.hooks.stop_command
        if not command:
            child.stop(steps)
            return
        (first, seconds), *rest = steps
        child.stop([(0, seconds), *rest])  # the time runs, also when this service ends meanwhile
        outcome = await self._hooks().run("stop_command", command, {"QUARTERDECK_PID": str(child.pid)})
        if not outcome.good and not child.exited.done():
            child.signal(first, tree=True)
            child.signal(signal.SIGCONT, tree=True)

    async def gone(self) -> None:
        """Nothing of the run is left, or it was never begun."""
        if self._probing is not None:
            await self._probing.gone()
        elif self._socket is not None:
            self._socket.close()
        await ended(self._tasks)

    async def after_stop(self, ended: Ended, leader: Exit | None) -> None:
        """Tidies up. The run goes on until that is done, and says that its processes have gone; a kill ends it."""
        command = self._spec.hooks.after_stop
        if not command:
            return
        run, reason = self._p.run, "" if ended.code == 0 else str(ended)
        exit = leader or Exit(run, ended.code, ended.signal, reason, at=ended.at or 0.0)
        self._p.report(LeaderExited(self._spec.name, run, exit, 0))
        told = {"QUARTERDECK_EXIT_CODE": ended.code, "QUARTERDECK_EXIT_SIGNAL": ended.signal}
        more = {name: str(number) for name, number in told.items() if number is not None}
        with contextlib.suppress(asyncio.CancelledError):
            await self._hooks().run("after_stop", command, more)

    # ------------------------------------------------------------ inside

    def _probe(self, found: Status | None) -> "Probing":
        from .probes.probing import Probing  # here because most programs have no probes

        assert self._child is not None
        self._probing = Probing(
            self._spec,
            self._p,
            self._p.supervisor.aside,
            up=self._first_ready,
            socket=self._socket,
            after=self._after,
            found=found,
        )
        self._probing.begin(self._child.pid)
        return self._probing

    def _look_for(self, patterns: tuple[str, ...]) -> None:
        """Others wait for lines of this run than did before."""
        if not patterns or self._child is None or self._child.exited.done() or self._p.shutting_down:
            return
        probing = self._probing or self._probe(self._p.supervisor.status(self._spec.name))
        probing.look_for(patterns)

    def _first_ready(self) -> None:
        command = self._spec.hooks.after_ready
        if command:
            task = asyncio.get_running_loop().create_task(
                self._run_after_ready(command), name=f"after_ready {self._spec.name}"
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_after_ready(self, command: tuple[str, ...]) -> None:
        await self._hooks().run("after_ready", command)

    def _hooks(self) -> "RunHooks":
        from .hooks import RunHooks

        return RunHooks(self._spec, self._p, self._p.supervisor.aside)

    def _bind(self) -> None:
        try:
            self._socket = self._p.supervisor.aside.socket_for(self._spec, self._p.run)
        except OSError as error:
            why = error.strerror or str(error)
            raise CannotStart(f"its notify socket cannot be bound: {why}", permanent=False) from error

    @property
    def _listens(self) -> bool:
        return self._spec.program is not None and self._spec.program.notify

    @property
    def _reads(self) -> bool:
        """Whether its lines are looked at from the first one on."""
        return bool(self._spec.patterns) or (self._spec.ready is not None and self._spec.ready.kind == "log")


async def ended(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancels them and returns when they have ended, whoever is in a hurry."""
    left = list(tasks)
    for task in left:
        task.cancel()
    while any(not task.done() for task in left):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(left)
