"""One-off uses: a supervisor for one function or one command, and a work function out of any function."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .calling import is_async
from .errors import WorkerError
from .process import Process
from .supervisor import Supervisor
from .worker import Work, Worker

if TYPE_CHECKING:
    from .cmd import Cmd


async def run(name: str, fn: Work) -> list[WorkerError]:
    """Runs one work under a supervisor of its own and returns its errors."""
    supervisor = Supervisor()
    supervisor.supervise(Worker(name, fn))
    return await supervisor.run()


async def must_run(name: str, fn: Work) -> None:
    """Does as `run`, but raises the errors as one ExceptionGroup."""
    if errors := await run(name, fn):
        raise ExceptionGroup(f"{name} failed", errors)


def work_func(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Work:
    """A work function out of a function that takes a process and more; plain stays plain, a coroutine a coroutine."""
    if is_async(fn):

        async def coroutine_work(process: Process) -> Any:
            return await fn(process, *args, **kwargs)

        return coroutine_work

    def plain_work(process: Process) -> Any:
        return fn(process, *args, **kwargs)

    return plain_work


def command(prefix: str, name: str, *args: str) -> "Cmd":
    """A command with a single-purpose supervisor of its own; its lines are logged as `PREFIX: text`."""

    def never(process: Process) -> None:
        """Stands for the caller, who is no worker."""

    worker = Worker(prefix, never)
    return Process(Supervisor(), worker).command(name, *args)
