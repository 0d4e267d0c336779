"""One live run: the task or thread of a work, and how its end becomes an `Exit`.

Plain tasks with done callbacks: a task that is cancelled before its first step runs no `finally`, and a group of tasks
would wait for ever for a coroutine that swallows its cancellation. Nothing that a work raises gets past this file.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context as Variables
from typing import Any

from .calling import is_async, start_thread
from .children import Ended
from .errors import CannotStart, CommandError, NothingToAttachTo
from .flag import post
from .messages import Exited, NeverBegan, Report
from .model import Exit
from .process import Process
from .worker import Work

CANCELLED = "cancelled"

KILL = 9
"""The number of SIGKILL, of which a cancellation is the counterpart."""

WhenOver = Callable[["Run", Exit, BaseException | None], None]


class Run:
    """The work of one launch. `over` is called once, from the loop or from the thread of a plain function."""

    def __init__(self, process: Process, over: WhenOver) -> None:
        self.process = process
        self.name = process.worker.name
        self.number = process.run
        self._over = over
        self._task: asyncio.Task[tuple[Any, BaseException | None]] | None = None
        self._killed = False
        self._unborn = False

    def start(
        self, work: Work, loop: asyncio.AbstractEventLoop, variables: Variables, *, attached: bool = False
    ) -> None:
        """Starts the work; `variables` is the context that it gets a copy of. Raises when there is no thread.

        `attached`: its process lives already, so that a kill must not prevent the first step of the work.
        """
        if attached:
            self._unborn, inner = True, work
            work = lambda process: self._attach(inner, process)  # noqa: E731
            self._start_task(work, loop, variables)
            return
        if is_async(work):
            self._start_task(work, loop, variables)
        else:
            start_thread(f"worker {self.name}", lambda: self._thread(work, loop, variables))

    def interrupt(self) -> None:
        self.process._interrupt()

    def kill(self) -> None:
        """Cancels the task. A thread cannot be cancelled: it stays until it sees the signal."""
        self._killed = True
        self.interrupt()
        if self._task is not None and not self._unborn:
            self._task.cancel()

    async def _attach(self, work: Work, process: Process) -> Any:
        self._unborn = False
        task = asyncio.current_task()
        if self._killed and task is not None:
            task.cancel()  # takes effect where the work waits first: by then it has attached
        return await work(process)

    def signal(self, name: str, tree: bool) -> None:
        self.process._signal(name, tree)

    def _start_task(self, work: Work, loop: asyncio.AbstractEventLoop, variables: Variables) -> None:
        self._task = loop.create_task(_guarded(work, self.process), name=self.name, context=variables.copy())
        self._task.add_done_callback(self._task_done)
        if self._killed and not self._unborn:
            self._task.cancel()

    def _go_on(self, made: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop, variables: Variables) -> None:
        self._start_task(lambda _: made, loop, variables)
        assert self._task is not None
        self._task.add_done_callback(lambda _: made.close())  # it may never have had its first step

    def _task_done(self, task: "asyncio.Task[tuple[Any, BaseException | None]]") -> None:
        if task.cancelled():
            code, signal = (None, KILL) if self._killed else (1, None)  # by us: the end that a killed program has
            exit = Exit(self.number, code, signal, CANCELLED)
            self._end(exit, asyncio.CancelledError(CANCELLED))
        else:
            result, error = task.result()
            self._end(exit_of(self.number, result, error), error)

    def _thread(self, work: Work, loop: asyncio.AbstractEventLoop, variables: Variables) -> None:
        result, error = None, None
        try:
            result = variables.copy().run(work, self.process)
        except BaseException as raised:
            error = raised
        if asyncio.iscoroutine(result):  # a lambda around a coroutine function: its run goes on in the loop
            if post(loop, self._go_on, result, loop, variables):
                return
            result.close()
        self._end(exit_of(self.number, result, error), error)

    def _end(self, exit: Exit, error: BaseException | None) -> None:
        self.process._end()
        self._over(self, exit, error)


async def _guarded(work: Work, process: Process) -> tuple[Any, BaseException | None]:
    try:
        return await work(process), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # SystemExit too: raised out of a task it would end the loop
        return None, error


def report_of(run: Run, exit: Exit, error: BaseException | None) -> Report:
    """What is told of a run that is over: how it ended, or that there was none to attach to."""
    if isinstance(error, NothingToAttachTo):
        return NeverBegan(run.name, run.number)
    return Exited(run.name, run.number, exit)


def exit_of(run: int, result: Any, error: BaseException | None) -> Exit:
    """What a work's result or exception means as an exit status; the machine adds when and by whom."""
    match error:
        case None if isinstance(result, Ended):
            return Exit(run, code=result.code, signal=result.signal, reason=result.reason, at=result.at or 0.0)
        case None:
            return Exit(run, code=0)
        case CannotStart():
            return Exit(run, reason=text_of(error), permanent=error.permanent)
        case CommandError(returncode=int(code)) if code < 0:
            return Exit(run, signal=-code, reason=text_of(error))
        case CommandError(returncode=code):
            return Exit(run, code=code, reason=text_of(error))
        case SystemExit(code=None | 0):
            return Exit(run, code=0)
        case SystemExit(code=int(code)):
            return Exit(run, code=code, reason=text_of(error))
    return Exit(run, code=1, reason=text_of(error))


def text_of(error: BaseException) -> str:
    """The exception's own words, or its name when it has none."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # its __str__ is the user's code as well
        return type(error).__name__
