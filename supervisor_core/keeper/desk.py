"""What the keeper does on the service's word: one function a kind of message, and what it tells in return.

A message of a kind, or with a field, that is not known here is passed over: the service may be newer. Nothing here
decides when anything is started or ended.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..children import procfs
from ..children.pump import Pump
from ..failing import point
from .book import Book, NotYet
from .kept import KeptRun, Key
from .listeners import Listeners
from .logdesk import LogDesk, Taker
from .loop import Loop
from .orders import Orders
from .requests import read_request, read_steps
from .runs import Runs
from .service import Service
from .wire import VERSION, Message

CAME = "came"
"""The keepsake that tells a successor from the first service. It is written down: without it, what was stopped by hand
would be started when the keeper dies between two services."""

LEFT = "left"
"""The keepsake that tells a first service that all of the life before was told to leave."""

AT_ONCE = 100
"""Orphans that are collected in one turn of the loop."""


class Desk:
    """`now` in seconds since the epoch; `owing` is called when something could not be written down."""

    def __init__(
        self,
        loop: Loop,
        orders: Orders,
        book: Book,
        service: Service,
        now: Callable[[], float],
        owing: Callable[[], None],
    ) -> None:
        self._loop, self._orders, self._book, self._service, self._now = loop, orders, book, service, now
        self._owing = owing
        self._subreaper = procfs.become_subreaper()
        self._handed: dict[Key, dict[str, int]] = {key_of(text): dict(fds) for text, fds in orders.handed.items()}
        self._runs: Runs | None = None
        self._logs = LogDesk(loop, os.path.join(orders.state, "logs"), now, service.tell)
        self.listeners = Listeners(loop, lambda: service.pid != 0)
        came = None if orders.is_first else book.settings.get(CAME)
        self._keepsakes: dict[str, Any] = {} if came is None else {CAME: came}
        self._trouble: Message = {}
        self._greeting = False
        self._when_empty: Callable[[], None] = lambda: None
        self._takers: Mapping[str, Taker] = {
            "hand": self._hand,
            "hello": self._hello,
            "logs": self._set_logs,
            "keep": self._keep,
            "listeners": self.listeners.take,
            "spawn": self._spawn,
            "stop": self._stop,
            "kill": self._kill,
            "signal": self._signal,
            "note": self._note,
            "forget": self._forget,
            "sync": self._sync,
            **self._logs.takers,
        }

    def begin(self) -> None:
        """Takes over what an earlier keeper left, if it left anything."""
        logs = self._book.settings.get("logs")
        if self._runs is None and isinstance(logs, dict):
            self._open(logs)

    def take(self, message: Message, fds: tuple[int, ...]) -> None:
        """Does what a message says."""
        taker = self._takers.get(str(message.get("t")))
        if taker is not None:
            taker(message, fds)
        else:
            for fd in fds:
                os.close(fd)

    def reap(self) -> None:
        """Collects orphans that have ended."""
        if self._runs is not None:
            self._runs.forest.leaders.add(self._service.pid)
            self._runs.forest.reap(AT_ONCE)

    def living(self) -> list[KeptRun]:
        return [] if self._runs is None else self._runs.living()

    def descriptors(self) -> dict[str, dict[str, int]] | None:
        """Those of all runs, for a program that takes this one's place; None while a run is on its way into its own."""
        runs = [] if self._runs is None else self._runs.living()
        if any(not run.is_up for run in runs):
            return None
        return {f"{run.run} {run.worker}": run.descriptors() for run in runs}

    def when_empty(self, call: Callable[[], None]) -> None:
        """Calls whenever nothing lives any more."""
        self._when_empty = call

    def service_died(self) -> None:
        """Its successor asks anew for what it wants to hear of; what it was about to hand over will not come."""
        self._logs.service_died()
        self.listeners.service_died()
        if self._runs is not None:
            self._runs.forest.leaders.discard(self._service.pid)
        self.begin()

    def life_was_left(self) -> None:
        """What ended in the life before was told to, by whomever: a service that comes is to know."""
        self._keepsakes[LEFT] = True

    def troubled(self, error: OSError) -> None:
        """Says why nothing can be written down, once for each reason."""
        self._owing()
        if self._trouble and isinstance(error, NotYet):  # the reason was told
            return
        sentence = f"the state folder cannot be written ({error.strerror}); until it can, a crash may lose what changes"
        trouble = {"t": "trouble", "about": sentence, "errno": error.errno or 0}
        if trouble != self._trouble:
            self._trouble = trouble
            self._tell(trouble)

    def calm(self) -> None:
        """All is written down again."""
        self._trouble = {}
        self._tell({"t": "calm"})

    def close(self) -> None:
        self._logs.close()

    # ------------------------------------------------------------ the beginning

    def _open(self, logs: Mapping[str, Any]) -> None:
        store = self._logs.open(logs)
        self._runs = Runs(
            self._loop,
            os.path.join(self._orders.state, "keeper", "pipes"),
            self._book,
            Pump(store),
            self._orders.instance,
            self._tell_of_run,
            self._now,
            lambda: not self._service.up,
            self.troubled,
            subreaper=self._subreaper and not self._orders.adopted,
        )
        self._runs.take_over(self._handed)
        self._handed = {}

    def _hand(self, message: Message, fds: tuple[int, ...]) -> None:
        """Descriptors that the service held while there was no keeper."""
        if len(fds) < len(message["fds"]):  # else a terminal would be taken for lost
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "what the service holds for a later keeper")
        if fds:
            self._handed[message["worker"], int(message["run"])] = dict(zip(message["fds"], fds, strict=True))

    def _hello(self, message: Message, _: tuple[int, ...]) -> None:
        """The first word of a service. Its second one is about logs; then it is told everything."""
        self._service.up, self._greeting = True, True
        point("service said hello")
        about = {"t": "keepsakes", "version": VERSION, "pid": os.getpid(), "keepsakes": self._keepsakes}
        self.listeners.answer(about, int(message.get("version", 1)), self._tell)

    def _welcome(self) -> None:
        self._tell(
            {
                "t": "welcome",
                "notes": {worker: data.decode("utf-8", "surrogateescape") for worker, data in self._book.notes.items()},
            }
        )
        self._tell(self._trouble or {"t": "calm"})
        assert self._runs is not None
        for run in list(self._runs.known.values()):
            run.tell(handing=True)
        self._logs.welcome()
        point("service told of all runs")
        self._tell({"t": "ready"})
        point("service told that this was all")

    def _set_logs(self, message: Message, _: tuple[int, ...]) -> None:
        logs = message["logs"]
        if logs != self._book.settings.get("logs"):
            with self._carrying_on():
                self._book.set("logs", logs)
            point("settings written")
            self._logs.configure(logs)
        if self._runs is None:
            self._open(logs)
        if self._greeting:
            self._greeting = False
            self._welcome()

    def _keep(self, message: Message, _: tuple[int, ...]) -> None:
        """Something for the next service, in memory alone: a later keeper is told by the service, if that lives."""
        name, value = message["name"], message["value"]
        self._keepsakes[name] = value
        if name == CAME:
            with self._carrying_on():
                self._book.set(CAME, value)

    # ------------------------------------------------------------ runs

    def _spawn(self, message: Message, fds: tuple[int, ...]) -> None:
        assert self._runs is not None
        self._runs.start(read_request(message["request"], fds[0] if fds else None))

    def _run(self, message: Message) -> KeptRun | None:
        return None if self._runs is None else self._runs.get(message["worker"], int(message["run"]))

    def _stop(self, message: Message, _: tuple[int, ...]) -> None:
        if (run := self._run(message)) is not None:
            run.stop(read_steps(message["steps"]))

    def _kill(self, message: Message, _: tuple[int, ...]) -> None:
        if (run := self._run(message)) is not None:
            run.kill()

    def _signal(self, message: Message, _: tuple[int, ...]) -> None:
        if (run := self._run(message)) is not None:
            run.signal(signal.Signals(message["number"]), tree=bool(message["tree"]))

    def _forget(self, message: Message, _: tuple[int, ...]) -> None:
        if self._runs is not None:
            self._runs.forget(message["worker"], int(message["run"]))

    # ------------------------------------------------------------ notes

    def _note(self, message: Message, _: tuple[int, ...]) -> None:
        data = message["data"]
        with self._carrying_on():
            self._book.note(message["worker"], None if data is None else data.encode("utf-8", "surrogateescape"))
        point("note written")

    def _sync(self, message: Message, _: tuple[int, ...]) -> None:
        """Answers when all that was told before this is on the disk, or why it is not."""
        error = ""
        try:
            self._book.settle()
            self._book.sync()
        except OSError as failure:
            error = failure.strerror or str(failure)
            self.troubled(failure)
        self._tell({"t": "synced", "id": message["id"], "error": error})

    # ------------------------------------------------------------ told

    def _tell(self, message: Message, fds: tuple[int, ...] = ()) -> bool:
        return self._service.tell(message, fds)

    def _tell_of_run(self, message: Message, fds: tuple[int, ...] = ()) -> bool:
        if not self.living():
            self._loop.call_soon(self._when_empty)
        return self._tell(message, fds)

    @contextlib.contextmanager
    def _carrying_on(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.troubled(error)


def key_of(text: str) -> Key:
    run, _, worker = text.partition(" ")
    return worker, int(run)
