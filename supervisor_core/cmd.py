"""`Cmd`: a command that a work runs by hand, with its lines logged. Configured programs are in `program.py`.

Known wart: `wait` returns when the output has ended, so a grandchild that holds the pipe is waited for, as in the seed;
and with an `env` of the user's own, what leaves both session and descent is not found when the command is cancelled.
"""

import asyncio
import codecs
import contextlib
import io
import itertools
import os
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .children import TAG, Child, Ended, LaunchRequest, make_tag, signal_name
from .errors import CannotStart, CommandError
from .feeding import Feeder, Input, LineLog

if TYPE_CHECKING:
    from .process import Process

_serial = itertools.count(1)
"""One run may have many commands; each is a tree of its own."""


class Captured(NamedTuple):
    """What a command wrote, and the `CommandError` of its failure or None."""

    output: str
    error: CommandError | None


class Cmd:
    """One command; attributes may be set until it is started. `args` does not hold the program's own name.

    `env` None means our own environment, `dir` None our own folder, `stdin` None an empty input. What is written is
    logged line by line, and goes to the file objects `stdout` and `stderr` where they are set (one for text gets text).
    """

    def __init__(self, process: "Process", name: str, *args: str) -> None:
        self.path = name
        self.args: list[str] = list(args)
        self.env: Mapping[str, str] | None = None
        self.dir: str | None = None
        self.stdin: Input = None
        self.stdout: IO[Any] | None = None
        self.stderr: IO[Any] | None = None
        self.pid: int | None = None
        self.returncode: int | None = None
        self._process = process
        self._merge = False
        self._child: Child | None = None
        self._feeder: Feeder | None = None
        self._takers: dict[str, Callable[[bytes], object]] = {}

    async def start(self) -> None:
        """Starts it. Raises `CommandError` when that is not possible."""
        if self._child is not None:
            raise RuntimeError(f"{self.path} was started before; make a new Cmd")
        self._process.log(" ".join([self.path, *self.args]))
        sinks = {"out": self.stdout, "err": self.stderr}
        self._takers = {name: self._taker(sink) for name, sink in sinks.items()}
        feeder = self._feeder = Feeder.of(self.stdin, LineLog(lambda line: self._process.log(f" -> {line}")))
        try:
            self._child = await self._process.supervisor.spawner.spawn(
                LaunchRequest(
                    worker=self._process.worker.name,
                    run=self._process.run,
                    argv=(self.path, *self.args),
                    environment=self._ours() if self.env is None else self.env,
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

    def _ours(self) -> dict[str, str]:
        """Our own environment, and a tag by which what escapes is found. What the user gives is not touched."""
        tag = make_tag(
            self._process.supervisor.spawner.instance, f"{self._process.worker.name}+{next(_serial)}", self._process.run
        )
        return dict(os.environ) | {TAG: f"{os.environ.get(TAG, '')} {tag}".strip()}

    async def wait(self) -> None:
        """Waits for its end. Raises `CommandError` for a failure; cancelled, it first ends the command's whole tree."""
        if self._child is None:
            raise RuntimeError(f"{self.path} was not started")
        child = self._child
        try:
            await asyncio.wait([child.leader_exited])
            await asyncio.wait([child.output_ended])
        except asyncio.CancelledError:
            await self._end(child)
            raise
        finally:
            if self._feeder is not None:
                self._feeder.close()
        self._finish(child.leader_exited.result())

    async def _end(self, child: Child) -> None:
        """Kills its tree and waits until it is gone, whoever is in a hurry."""
        child.kill_tree()
        while not child.exited.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([child.exited])
        self.returncode = _code(child.leader_exited.result())

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

    def _taker(self, sink: IO[Any] | None) -> Callable[[bytes], object]:
        """Logs each line, and writes what was read to the file object that was set, too."""
        lines = LineLog(self._read)
        if sink is None:
            return lines.feed
        decoder = codecs.getincrementaldecoder("utf-8")("replace") if isinstance(sink, io.TextIOBase) else None

        def take(data: bytes) -> None:
            sink.write(decoder.decode(data, not data) if decoder is not None else data)
            lines.feed(data)

        return take

    def _take(self, stream: str, data: bytes) -> None:
        self._takers[stream](data)

    def _read(self, line: str) -> None:
        self._process.log(f" <- {line}")

    def _finish(self, ended: Ended) -> None:
        seen, self.returncode = self.returncode, _code(ended)
        words = f"exit status {ended.code}"
        if ended.signal is not None:
            words = f"signal {signal_name(ended.signal)}"
        elif ended.code is None:
            words = str(ended)
        if seen is None:
            end = f"{self.path} exited successfully" if ended.code == 0 else f"{self.path}: {words}"
            self._process.log(end)
        if ended.code != 0:
            raise CommandError(f"{self.path}: {words}", self.returncode)


def _code(ended: Ended) -> int | None:
    return ended.code if ended.signal is None else -ended.signal


def _must(captured: Captured) -> str:
    if captured.error is not None:
        raise captured.error
    return captured.output
