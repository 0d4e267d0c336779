"""`Cmd`: a command that a work runs by hand, with its lines logged. Configured programs are in `program.py`.

Known wart: `wait` returns when the output has ended, so a grandchild that holds the pipe is waited for, as in the seed.
"""

import asyncio
import contextlib
import io
import os
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .children import Child, Ended, LaunchRequest, signal_name
from .errors import CannotStart, CommandError
from .program import program

if TYPE_CHECKING:
    from .process import Process

__all__ = ["Captured", "Cmd", "program"]

Input = str | bytes | IO[Any] | None


class Captured(NamedTuple):
    """What a command wrote, and the `CommandError` of its failure or None."""

    output: str
    error: CommandError | None


class Cmd:
    """One command; attributes may be set until it is started. `args` does not hold the program's own name.

    `env` None means our own environment, `dir` None our own folder, `stdin` None an empty input. What is written is
    logged line by line, or goes to the file objects `stdout` and `stderr` where they are set (as bytes).
    """

    def __init__(self, process: "Process", name: str, *args: str) -> None:
        self.path = name
        self.args: list[str] = list(args)
        self.env: Mapping[str, str] | None = None
        self.dir: str | None = None
        self.stdin: Input = None
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        self.pid: int | None = None
        self.returncode: int | None = None
        self._process = process
        self._merge = False
        self._child: Child | None = None
        self._lines = {"out": _Lines(self._read), "err": _Lines(self._read)}

    async def start(self) -> None:
        """Starts it. Raises `CommandError` when that is not possible."""
        if self._child is not None:
            raise RuntimeError(f"{self.path} was started before; make a new Cmd")
        self._process.log(" ".join([self.path, *self.args]))
        feeder = _Feeder.of(self.stdin, _Lines(lambda line: self._process.log(f" -> {line}")))
        try:
            self._child = await self._process.supervisor.spawner.spawn(
                LaunchRequest(
                    worker=self._process.worker.name,
                    run=self._process.run,
                    argv=(self.path, *self.args),
                    environment=os.environ if self.env is None else self.env,
                    directory=self.dir or ".",
                    stdin=None if feeder is None else feeder.read,
                    merge_stderr=self._merge,
                    output=self._take,
                )
            )
        except CannotStart as error:
            self._process.log(f"{self.path}: {error}")
            raise CommandError(f"{self.path}: {error}") from error
        finally:
            if feeder is not None:
                feeder.begin(started=self._child is not None)
        self.pid = self._child.pid

    async def wait(self) -> None:
        """Waits for its end. Raises `CommandError` for a failure; cancelled, it kills the command with its tree."""
        if self._child is None:
            raise RuntimeError(f"{self.path} was not started")
        child = self._child
        try:
            await asyncio.wait([child.leader_exited])
            await asyncio.wait([child.output_ended])
        except asyncio.CancelledError:
            child.kill_tree()
            raise
        self._finish(child.leader_exited.result())

    def signal(self, number: int, *, tree: bool = False) -> None:
        """Sends a signal to it, or to everything that it started too; nothing happens when it is gone."""
        if self._child is not None:
            self._child.signal(number, tree=tree)

    async def run(self) -> None:
        """Starts it and waits for its end."""
        await self.start()
        await self.wait()

    async def capture(self, stdin: Input = None) -> Captured:
        """Runs it and gives its standard output as text; a failure is in `error` and never raised."""
        return await self._capture(stdin, merge=False)

    async def capture_err(self, stdin: Input = None) -> Captured:
        """Does as `capture`; the output holds standard output and standard error together."""
        return await self._capture(stdin, merge=True)

    async def must_capture(self, stdin: Input = None) -> str:
        """Gives its standard output. Raises `CommandError`."""
        return _must(await self.capture(stdin))

    async def must_capture_err(self, stdin: Input = None) -> str:
        """Gives standard output and standard error together. Raises `CommandError`."""
        return _must(await self.capture_err(stdin))

    async def _capture(self, stdin: Input, *, merge: bool) -> Captured:
        if stdin is not None:
            self.stdin = stdin
        self._merge = merge
        buffer = self.stdout = io.BytesIO()
        error = None
        try:
            await self.run()
        except CommandError as failure:
            error = failure
        return Captured(buffer.getvalue().decode(errors="replace"), error)

    def _take(self, stream: str, data: bytes) -> None:
        sink = self.stdout if stream == "out" else self.stderr
        if sink is None:
            self._lines[stream].feed(data)
        elif data:
            sink.write(data)

    def _read(self, line: str) -> None:
        self._process.log(f" <- {line}")

    def _finish(self, ended: Ended) -> None:
        if self.returncode is not None:
            return
        self.returncode = -ended.signal if ended.signal is not None else ended.code
        if ended.code == 0:
            self._process.log(f"{self.path} exited successfully")
            return
        words = f"exit status {ended.code}"
        if ended.signal is not None:
            words = f"signal {signal_name(ended.signal)}"
        self._process.log(f"{self.path}: {words}")
        raise CommandError(f"{self.path}: {words}", self.returncode)


def _must(captured: Captured) -> str:
    if captured.error is not None:
        raise captured.error
    return captured.output


class _Lines:
    """Cuts bytes into lines; b"" is the end and completes an open one."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._open = write, b""

    def feed(self, data: bytes) -> None:
        *whole, self._open = (self._open + data).split(b"\n")
        if not data and self._open:
            whole.append(self._open)
            self._open = b""
        for line in whole:
            self._write(line.decode(errors="replace").removesuffix("\r"))


class _Feeder:
    """Feeds an input through a pipe, as fast as it is taken."""

    PORTION = 64 * 1024

    def __init__(self, source: IO[Any], lines: _Lines) -> None:
        self.read, self._write = os.pipe()
        self._source, self._lines = source, lines
        self._pending = b""
        self._loop = asyncio.get_running_loop()

    @classmethod
    def of(cls, given: Input, lines: _Lines) -> "_Feeder | None":
        match given:
            case None:
                return None
            case str():
                return cls(io.BytesIO(given.encode()), lines)
            case bytes():
                return cls(io.BytesIO(given), lines)
            case _:
                return cls(given, lines)

    def begin(self, *, started: bool) -> None:
        """Closes the child's end here and begins to feed."""
        os.close(self.read)
        if not started:
            os.close(self._write)
            return
        os.set_blocking(self._write, False)
        self._loop.add_writer(self._write, self._feed)

    def _feed(self) -> None:
        if not self._pending:
            portion = self._source.read(self.PORTION)
            self._pending = portion.encode() if isinstance(portion, str) else portion
            self._lines.feed(self._pending)
            if not self._pending:
                self._close()
                return
        try:
            count = os.write(self._write, self._pending)
            self._pending = self._pending[count:]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it ended, or wants no more
            self._close()

    def _close(self) -> None:
        self._loop.remove_writer(self._write)
        with contextlib.suppress(OSError):
            os.close(self._write)
