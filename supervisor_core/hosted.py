"""The program behind a worker with `python = "module:function"`: runs that function in a process of its own.

    python -P hosted.py MODULE:FUNCTION

The function is a work as in the library: a coroutine function, or a plain one, which gets a thread. It is given
the same `Process`: `ready`, `log`, `shutting_down`, `wait_shutdown`, `do`, `go`. In a process of its own, because one
that calls `sys.exit`, hangs, or swallows its cancellation must not take the service along.

TERM and INT ask it to leave; a coroutine that has not left after most of its stop timeout is cancelled, so that its
`finally` blocks run before the KILL. HUP, USR1 and USR2 go to `Process.on_signal`. `ready()` is told on NOTIFY_SOCKET
where there is one. No policy lives here: whoever started this process decides whether there is another run.

Known wart: what `log` says goes to the standard output, beside what the function prints itself.
"""

import asyncio
import contextlib
import functools
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

if __name__ == "__main__":  # by its path; what lies beside the user's modules comes before what lies beside ours
    sys.path.insert(0, os.getcwd())
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from supervisor_core import Supervisor, Worker
from supervisor_core.calling import is_async
from supervisor_core.messages import Ready, Report, Signal
from supervisor_core.model import Exit
from supervisor_core.runs import CANCELLED
from supervisor_core.standstill import watched_loop

NOT_FOUND = 127
"""The exit status when there is no such module or function; a shell gives it for a program that is not there."""

ASKED = 0.8
"""The part of the stop timeout that a coroutine gets before it is cancelled."""

LEAVE = (signal.SIGTERM, signal.SIGINT)
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Hosted(Supervisor):
    """A supervisor of one function, and of the works that this starts by `go`."""

    def __init__(self, name: str, function: Callable[..., Any], run: int, stop_timeout: float, notify: str) -> None:
        super().__init__(logger=self._narrate)
        self._notify = notify
        self._machine.go_on_from(name, run - 1)
        self.main = self.supervise(Worker(name, function, stop_timeout=stop_timeout, kill_timeout=1e6))

    def log(self, name: str, text: str, run: int = 0) -> None:  # noqa: ARG002 - the same parameters as there
        """Writes a line to the standard output, with the name of the work where that is not the function itself."""
        self._write(sys.stdout, name, text)

    def report(self, report: Report) -> None:
        """Takes a fact about a run; that the function is ready is passed on first."""
        if isinstance(report, Ready) and report.name == self.main.name:
            self._tell("READY=1")
        super().report(report)

    def take_signal(self, number: int) -> None:
        """Asks for the end, or passes a signal on."""
        if number in LEAVE:
            self._tell("STOPPING=1")
            self.shutdown()
        else:
            self.tell(Signal(self.main.name, signal.Signals(number).name.removeprefix("SIG"), by="signal"))

    def _narrate(self, _: object, __: str, name: str, text: str) -> None:
        """What is told of the function itself is told by whoever started us; of its works nobody else knows."""
        if name != self.main.name:
            self._write(sys.stderr, name, text)

    def _write(self, to: Any, name: str, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more
            print(text if name == self.main.name else f"{name}: {text}", file=to, flush=True)

    def _tell(self, words: str) -> None:
        """Says it as sd_notify(3) does; `@` begins the name of an abstract socket."""
        if self._notify:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
                one.connect(self._notify.replace("@", "\0", 1) if self._notify[0] == "@" else self._notify)
                one.sendall(words.encode())


def find(target: str) -> Callable[..., Any]:
    """Gives the function that `module:function` names. Raises `LookupError` with one sentence; an error of the module
    itself is passed on.
    """
    module, colon, name = target.partition(":")
    if not colon:
        raise LookupError(f'{target!r} names no function; write "module:function"')
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and lacks another one
        raise LookupError(
            f"there is no module {error.name} in {os.getcwd()} or on the path of {sys.executable}"
        ) from None
    function = vars(found).get(name)
    if not callable(function):
        what = "no function" if name in vars(found) else "nothing"
        raise LookupError(f"{module} ({found.__file__}) has {what} named {name}")
    return function  # type: ignore[no-any-return]


async def run(name: str, function: Callable[..., Any], environ: Mapping[str, str]) -> int:
    """Runs it to its end; gives the exit status."""
    number = int(environ.get("QUARTERDECK_RUN") or 1)
    patience = float(environ.get("QUARTERDECK_STOP_TIMEOUT") or 10.0) * ASKED
    hosted = Hosted(name, function, number, patience, environ.get("NOTIFY_SOCKET", ""))
    loop = asyncio.get_running_loop()
    for one in (*LEAVE, *PASSED_ON):
        loop.add_signal_handler(one, hosted.take_signal, one)
    errors = await hosted.run()
    for error in errors:
        cause = error.__cause__
        if cause is not None and not isinstance(cause, SystemExit | asyncio.CancelledError):
            traceback.print_exception(cause)
        elif isinstance(cause, SystemExit) and isinstance(cause.code, str):
            print(cause.code, file=sys.stderr)
    status = hosted.main.status
    assert status is not None
    code = status_of(status.last_exit)
    return code or int(any(error.worker is not hosted.main for error in errors))


def status_of(exit: Exit | None) -> int:
    """The exit status of this process for the end of the function. Cancelled because it was asked to leave: 0."""
    if exit is None or (exit.reason == CANCELLED and exit.signal is not None):
        return 0
    if exit.signal is not None:
        return 128 + exit.signal
    return 1 if exit.code is None else exit.code


def main(target: str) -> int:
    """Finds the function and runs it; gives the exit status."""
    name = os.environ.get("QUARTERDECK_WORKER") or target
    try:
        function = find(target)
    except LookupError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return NOT_FOUND
    told = functools.partial(print, f"{name}:", file=sys.stderr, flush=True)
    watched = functools.partial(watched_loop, told) if is_async(function) else None
    with asyncio.Runner(loop_factory=watched) as runner:
        return runner.run(run(name, function, os.environ))


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a thread that does not return must not hold the process
