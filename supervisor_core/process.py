"""What a work is given: the handle of the one run that it is.

Everything but the coroutines may be used from any thread. It decides nothing: reports go to the supervisor, the
signal comes from it. Known wart: `do` leaves a plain function behind in its thread when the signal comes.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .calling import call
from .flag import Flag
from .messages import Ready, Report
from .worker import Work, Worker

if TYPE_CHECKING:
    from .cmd import Cmd
    from .context import Context
    from .supervisor import Supervisor

DEFAULT_LOGGER = logging.getLogger("supervisor_core")

OnSignal = Callable[[str, bool], object]
"""Called as (name without SIG, whole tree?) in the loop's thread."""


class Process:
    """One run of a worker. `run` counts from 1 and is never used again for this name."""

    def __init__(self, supervisor: "Supervisor", worker: Worker, run: int = 0) -> None:
        self.supervisor = supervisor
        self.worker = worker
        self.run = run
        self._leave = Flag()
        self._on_signal: OnSignal | None = None
        self._signals: list[tuple[str, bool]] = []
        self._on_watch: Callable[[tuple[str, ...]], object] | None = None
        self._watches: tuple[str, ...] = ()

    @property
    def context(self) -> "Context":
        """The supervisor's: cancelled means a hard shutdown."""
        return self.supervisor.context

    # ------------------------------------------------------------ reports

    def ready(self) -> None:
        """Lets dependents start. From any thread, more than once."""
        self.report(Ready(self.worker.name, self.run))

    def report(self, report: Report) -> None:
        """Tells the supervisor a fact about this run; one that comes too late is dropped."""
        self.supervisor.report(report)

    # ------------------------------------------------------------ the signal

    @property
    def shutting_down(self) -> bool:
        """Whether this run was asked to leave."""
        return self._leave.is_set

    async def wait_shutdown(self) -> None:
        """Returns when this run is asked to leave."""
        await self._leave.wait()

    def wait_shutdown_blocking(self, timeout: float | None = None) -> bool:
        """Blocks a plain function's thread until it is asked to leave (True) or `timeout` seconds passed (False)."""
        return self._leave.wait_blocking(timeout)

    def on_signal(self, callback: OnSignal) -> None:
        """Sets who gets the signals that somebody sends to this run, also those that came before."""
        self._on_signal = callback
        waiting, self._signals = self._signals, []
        for name, tree in waiting:
            self._signal(name, tree)

    # ------------------------------------------------------------ doing things that end with the signal

    async def do(self, fn: Callable[[], Any]) -> Any:
        """Runs `fn` and returns its result or raises what it raises; None as soon as the signal comes.

        Then `fn` is cancelled and not waited for.
        """
        return await self.do_clean(fn, _nothing)

    async def do_clean(self, fn: Callable[[], Any], clean: Callable[[], Any]) -> Any:
        """Does as `do`, but on the signal returns the result of `clean()`."""
        if self.shutting_down:
            return await call(clean)
        doing = asyncio.create_task(_attempt(fn))
        leaving = asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            doing.cancel()  # does nothing to a task that is done
        if not doing.done():
            doing.add_done_callback(self._abandoned)
            return await call(clean)
        result, error = doing.result()
        if error is not None:
            raise error
        return result

    def _abandoned(self, doing: "asyncio.Task[tuple[Any, BaseException | None]]") -> None:
        if not doing.cancelled() and (error := doing.result()[1]) is not None:
            self.debugf("what was left behind failed: %s", error)

    # ------------------------------------------------------------ children

    def go(self, fn: Work) -> Worker:
        """Starts a child worker named `PARENT[N]`; the last 20 of a parent that have ended are kept."""
        return self.supervisor.supervise_child(self.worker.name, fn)

    def go_name(self, name: str, fn: Work) -> Worker:
        """Starts a child worker named `PARENT.NAME`; the name may be used again once it is at rest."""
        return self.supervisor.supervise(Worker(f"{self.worker.name}.{name}", fn))

    # ------------------------------------------------------------ words

    def log(self, obj: object) -> None:
        """Logs `NAME: text`."""
        self.supervisor.log(self.worker.name, str(obj), self.run)

    def logf(self, format: str, *args: object) -> None:
        """Logs `NAME: text`, the text made percent style."""
        self.log(format % args if args else format)

    def debug(self, obj: object) -> None:
        """Logs to the debug level of the standard logger `supervisor_core`, whatever logger the supervisor has."""
        DEFAULT_LOGGER.debug("%s: %s", self.worker.name, obj)

    def debugf(self, format: str, *args: object) -> None:
        """Does as `debug`, the text made percent style."""
        if DEFAULT_LOGGER.isEnabledFor(logging.DEBUG):
            self.debug(format % args if args else format)

    def command(self, name: str, *args: str) -> "Cmd":
        """A command that may be run by hand; nothing runs yet."""
        from .cmd import Cmd  # here because cmd.py needs this file

        return Cmd(self, name, *args)

    # ------------------------------------------------------------ the supervisor's side

    def _note(self, text: str) -> None:
        """Writes a line as the supervisor's own are: a logger that raises does the run no harm."""
        narrator = self.supervisor.narrator
        with self.supervisor.lock:
            narrator.keep(self.worker.name, self.run, text)
        narrator.flush()

    def _interrupt(self) -> None:
        self._leave.set()

    def _end(self) -> None:
        """No signal comes any more, and who got them is let go: as a rule that holds this run."""
        self._on_signal = self._on_watch = None

    def _watch(self, patterns: tuple[str, ...]) -> None:
        """Somebody waits for lines that match; who watches the output is told, also of those that came before."""
        self._watches += patterns
        if self._on_watch is not None:
            waiting, self._watches = self._watches, ()
            self._on_watch(waiting)

    def _signal(self, name: str, tree: bool) -> None:
        if self._on_signal is None:
            self._signals.append((name, tree))
            return
        try:
            self._on_signal(name, tree)
        except Exception:  # it runs in the supervisor's own turn
            DEFAULT_LOGGER.exception("%s: the callback for signals failed", self.worker.name)

    def __repr__(self) -> str:
        return f"<Process {self.worker.name} run {self.run}>"


async def _nothing() -> None:
    return None


async def _attempt(fn: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Keeps what `fn` raises: a SystemExit that left a task would end the loop."""
    try:
        return await call(fn), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return None, error
