"""All runs that the keeper owns, and what they share.

The service says what is started, stopped and forgotten; what became of a run is told to it, and told again to the next
one. A run is known until the service has taken note of its end.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ..children import LaunchRequest
from ..children.cgroup import Groups
from ..children.forest import Forest
from ..children.loops import Loop, watch
from ..children.outlets import Gate
from ..children.pump import Pump
from ..failing import point
from . import pipes
from .book import Book, RunRecord
from .foreign import boot_id, leaders_by_tag
from .kept import KeptRun, Key

REBOOTED = "unknown: the system went down while it ran"
ELSEWHERE = "unknown: it was started from another state folder, of which this one is a copy"
UNSEEN = "unknown: the keeper was lost in the moment of its start, so it may have run and ended, or not have run at all"


class Tell(Protocol):
    """Sends a message to the service, with descriptors, if it is there; false when it is not."""

    def __call__(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> bool: ...


class Runs:
    """`now` in seconds since the epoch; `alone` says that no service is there, `trouble` hears of lost records."""

    def __init__(
        self,
        loop: Loop,
        folder: str,
        book: Book,
        pump: Pump,
        instance: str,
        tell: Tell,
        now: Callable[[], float],
        alone: Callable[[], bool],
        trouble: Callable[[OSError], None],
        *,
        subreaper: bool,
    ) -> None:
        self.loop, self.book, self.pump, self.tell, self.now = loop, book, pump, tell, now
        self.groups = Groups(instance)
        self._mark = f"{instance}:"
        self.alone = alone
        self._trouble = trouble
        self.pipes = pipes.Folder(folder)
        self.gate = Gate(loop)
        self.forest = Forest(
            lambda fd, call: watch(loop, fd, call),
            lambda seconds, call: loop.call_later(seconds, call).cancel,
            loop.call_soon,
            subreaper=subreaper,
        )
        self.known: dict[Key, KeptRun] = {}

    def start(self, request: LaunchRequest) -> None:
        """Starts a program; how that went is told as `run` or `refused`. A run that is known is told again."""
        key = request.worker, request.run
        if (known := self.known.get(key)) is not None:
            known.tell()
            return
        self.known[key] = KeptRun(self, *key)
        self.known[key].start(request)

    def take_over(self, handed: Mapping[Key, Mapping[str, int]]) -> None:
        """Goes on with what an earlier keeper left. `handed` are descriptors that somebody held meanwhile.

        Raises OSError where no more may be open: what cannot be looked for is not told as gone. Another keeper may try.
        """
        boot = boot_id()
        gone = {key: self._why_gone(record, boot) for key, record in self.book.runs.items()}
        self._find_unwritten(gone)
        for key, record in list(self.book.runs.items()):
            self.known[key] = KeptRun(self, *key)
            self.known[key].take_over(record, handed.get(key, {}), gone[key])
            point("run taken over")
        self.pipes.tidy([(*key, stream) for key, run in self.known.items() for stream in run.streams])

    def _why_gone(self, record: RunRecord, boot: str) -> str:
        """Why it cannot be there, whoever has its number now; "" when it can. No two machines share a boot."""
        if not str(record.about.get("tag") or self._mark).startswith(self._mark):
            return ELSEWHERE
        return "" if record.boot == boot else REBOOTED

    def _find_unwritten(self, gone: dict[Key, str]) -> None:
        """Writes down processes that were started a moment before the earlier keeper was killed.

        What is not found may have ended already: it is told so, since a program that ran is not to run again.
        """
        unwritten = {key: str(r.about.get("tag")) for key, r in self.book.runs.items() if r.pid is None and not r.ended}
        sought = {tag for key, tag in unwritten.items() if not gone[key]}
        found = leaders_by_tag(sought) if sought else {}
        for key, tag in unwritten.items():
            if (proc := found.get(tag)) is not None:
                with self.carrying_on():
                    self.book.started(*key, proc.pid, proc.start)
            else:
                gone[key] = gone[key] or UNSEEN
            point("intent cleared up")

    def get(self, worker: str, run: int) -> KeptRun | None:
        return self.known.get((worker, run))

    def forget(self, worker: str, run: int) -> None:
        """The service knows how it ended, and will not ask any more."""
        known = self.known.get((worker, run))
        if known is not None and known.ended is not None:
            self.drop(known)

    def drop(self, run: KeptRun) -> None:
        self.known.pop((run.worker, run.run), None)
        point("run let go")
        with self.carrying_on():
            self.book.forget(run.worker, run.run)
        point("run forgotten")

    def living(self) -> list[KeptRun]:
        return [run for run in self.known.values() if run.ended is None]

    @contextlib.contextmanager
    def carrying_on(self) -> Iterator[None]:
        """What cannot be written down just now stops no worker: it is owed, and said."""
        try:
            yield
        except OSError as error:
            self._trouble(error)
