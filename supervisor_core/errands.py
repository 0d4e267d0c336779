"""Commands on the side: exec probes and hooks. Each in a session of its own, for a bounded time, its output bounded.

They are no runs: nobody attaches to one, a keeper knows nothing of them, and none outlives the service. One that has
ended, or whose time is over, takes its whole process group along (KILL), so a hook cannot leave a daemon behind.

Known wart: what leaves the group lives on. After a service was killed, what it had begun is ended by the next one.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from .calling import call, start_thread
from .children import Ended, LaunchRequest, birth, ends, loops, make_tag, refusals
from .children.forest import survivors
from .children.limits import Parts
from .children.local import hear
from .environment import environment_of
from .errors import CannotStart
from .flag import post
from .model import WorkerSpec

AT_ONCE = 16
"""Errands of one kind that run at the same time; others wait, and their time begins when they start."""

KEPT = 4096
"""Bytes of the output that are kept: the last ones."""

PORTION = 64 * 1024
PATIENCE = 2.0
"""Seconds that one which was killed is waited for; longer only a process takes that hangs in the kernel."""

Heed = Callable[[bytes], object]
Shelter = Callable[[int], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an errand. `ended` is None when it ran out of time; `refusal` says why it did not start."""

    ended: Ended | None
    output: str = ""
    refusal: str = ""
    limit: float = 0.0
    void: bool = False
    """It was ended with all others, so its end says nothing."""
    late: float = 0.0
    """By how many seconds more than its limit it took: so long this process did not run, or the kernel held it."""

    @property
    def good(self) -> bool:
        return self.ended is not None and self.ended.code == 0

    def __str__(self) -> str:
        """In words: "exit status 1: what it said", "did not end within 1 s", or why it did not start."""
        if self.refusal:
            return self.refusal
        words = f"did not end within {self.limit:g} s" if self.ended is None else str(self.ended)
        return f"{words}: {self.output}" if self.output else words


def aside(instance: str) -> str:
    """How the errands of an instance are named in their tags: never as its runs."""
    return f"{instance}-aside"


def request_of(
    spec: WorkerSpec, run: int, argv: tuple[str, ...], instance: str, more: Mapping[str, str]
) -> LaunchRequest:
    """An errand for a worker: as its user, in its folder, with its environment and `more`. Raises `CannotStart`."""
    program = spec.program
    assert program is not None
    environment = environment_of(spec, run, make_tag(aside(instance), spec.name, run))
    return LaunchRequest(
        worker=spec.name,
        run=run,
        argv=argv,
        environment=environment | dict(more),
        directory=program.directory,
        merge_stderr=True,
        user=program.user,
        group=program.group,
        umask=program.umask,
        nice=program.nice,
    )


def sweep(owner: str) -> None:
    """Ends what a service that was killed had begun. Looks at all processes: once, before the first errand."""
    for _, _, pid in survivors(owner):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


class Errands:
    """Runs them; belongs to one loop. `shelter` keeps a child from being collected by somebody else in this process.

    What an earlier life had begun under the name `owner` in its tags is ended before the first one.
    """

    def __init__(self, shelter: Shelter | None = None, owner: str = "") -> None:
        self._owner = owner
        self._swept: asyncio.Future[None] | None = None
        self._shelter: Shelter = shelter or (lambda _: lambda: None)
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._out: set[_Errand] = set()
        self._closed = False

    async def run(
        self, request: LaunchRequest, limit: float, *, kind: str, heed: Heed | None = None, feed: bytes = b""
    ) -> Outcome:
        """Runs one and says what became of it. `heed` gets its output as it comes, `feed` is what it can read.

        Never raises but when cancelled; then nothing of it is left, as far as the kernel lets it go.
        """
        if self._owner:
            self._swept = self._swept or asyncio.ensure_future(call(sweep, self._owner))
            await asyncio.shield(self._swept)
        async with self._turns.setdefault(kind, asyncio.Semaphore(AT_ONCE)):
            if self._closed:
                return Outcome(None, refusal="the service is leaving", void=True)
            try:
                refusals.check(request)
                refusals.leave_room(request)
                errand = _Errand(request, limit, heed, feed, self._shelter)
            except CannotStart as error:
                return Outcome(None, refusal=str(error))
            self._out.add(errand)
            try:
                return replace(await errand.outcome(), void=self._closed)
            finally:
                self._out.discard(errand)

    async def aclose(self) -> None:
        """Ends what is under way; nothing is begun any more."""
        self._closed = True
        if self._swept is not None:
            await self._swept
        over = [errand.over for errand in self._out]
        for errand in self._out:
            errand.kill()
        if over:
            await asyncio.wait(over, timeout=PATIENCE)


class _Errand:
    """One that was just started. `over` is its end, known and not collected yet."""

    def __init__(self, request: LaunchRequest, limit: float, heed: Heed | None, feed: bytes, shelter: Shelter) -> None:
        self._request, self._limit, self._heed = request, limit, heed
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[Ended] = self._loop.create_future()
        self._kept = bytearray()
        self._collected = False
        reading, writing = os.pipe()
        try:
            with _readable(feed) as stdin:
                self._pid, self._report = birth.start(replace(request, stdin=stdin), [writing], Parts())
        except (OSError, ValueError) as error:
            os.close(reading)
            raise refusals.refusal(request, error) from error
        finally:
            os.close(writing)
        self._leave = shelter(self._pid)
        os.set_blocking(reading, False)
        self._reading = reading
        self._unread = loops.watch(self._loop, reading, self._take)
        self._unwatch: Callable[[], None] = lambda: None
        try:
            pidfd = os.pidfd_open(self._pid)
        except (AttributeError, OSError):
            start_thread(f"wait for {self._pid}", self._wait)
        else:
            self._unwatch = loops.watch(self._loop, pidfd, self._ended)

    async def outcome(self) -> Outcome:
        due = self._loop.time() + self._limit
        try:
            said = b""
            async with asyncio.timeout(self._limit):
                if self._report is not None:
                    said = await hear(self._loop, self._report)
                await asyncio.shield(self.over)
        except TimeoutError:
            late = self._loop.time() - due
            await self._end()
            return Outcome(None, self._text(), limit=self._limit, late=late)
        except asyncio.CancelledError:
            await self._end()
            raise
        await self._end()
        if self._report is not None and said != birth.READY:
            return Outcome(None, refusal=str(refusals.broken(self._request, said, self.over.result())))
        return Outcome(self.over.result(), self._text(), limit=self._limit)

    def kill(self) -> None:
        """The whole group, whose number is taken as long as its leader is not collected."""
        if not self._collected:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)

    async def _end(self) -> None:
        """Leaves nothing of it, whoever is in a hurry."""
        self.kill()
        until = self._loop.time() + PATIENCE
        while not self.over.done() and (left := until - self._loop.time()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self.over], timeout=left)
        self._take()
        self._read_no_more()
        if self.over.done():
            self._collect()
        else:
            self.over.add_done_callback(lambda _: self._collect())

    def _collect(self) -> None:
        if not self._collected:
            self._collected = True
            ends.reap(self._pid)
            self._leave()

    def _ended(self) -> None:
        self._unwatch()
        self._over(ends.look(self._pid))

    def _wait(self) -> None:
        post(self._loop, self._over, ends.look(self._pid))

    def _over(self, ended: Ended) -> None:
        if not self.over.done():
            self.over.set_result(ended)

    def _read_no_more(self) -> None:
        self._unread()
        self._reading = -1

    def _take(self) -> None:
        if self._reading < 0:
            return
        try:
            data = os.read(self._reading, PORTION)
        except OSError:
            return
        if not data:
            self._read_no_more()
            return
        self._kept += data
        del self._kept[:-KEPT]
        if self._heed is not None:
            self._heed(data)

    def _text(self) -> str:
        return self._kept.decode("utf-8", "replace").strip()


@contextlib.contextmanager
def _readable(feed: bytes) -> Iterator[int | None]:
    """A descriptor from which these bytes can be read; None for none."""
    if not feed:
        yield None
        return
    with birth.nameless() as file:
        file.write(feed)
        file.seek(0)
        yield file.fileno()
