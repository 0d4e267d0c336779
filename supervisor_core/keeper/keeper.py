"""The keeper: a process of the standard library, one thread, that owns processes and log bytes and lives on.

It forks and executes, moves output into files, writes down how things end, reaps orphans, finishes stops that are under
way, and starts the service again when that has died. It knows no policy and no HTTP: what to do is said by the service.

`main` is the program (`__main__.py`). It is started with the state folder and a descriptor from which it reads its
orders (`Orders`); the same way a keeper executes itself anew.
"""

import contextlib
import functools
import os
import signal
import socket
import sys
from dataclasses import replace

from ..children import Ended, procfs, room
from ..clock import Clock
from ..errors import SupervisorError
from ..failing import point
from .book import Book
from .desk import CAME, Desk
from .foreign import boot_id
from .loop import Loop
from .orders import HELD, Orders, command, take_lock
from .service import Service
from .wire import Message

SETTLE = 1.0
"""Seconds between two tries to write down what found no room."""

LEFT = 5.0
"""Seconds for what is left of the runs when the service has gone and everything is to end."""

ABSENT = 5.0
"""Seconds for the service to take up that everything is to end."""

SOON = 0.01
"""Seconds until another try to execute anew."""

LEAVING = "leaving"
"""What is written down when everything is to end: which service was told, so that a keeper which comes in between goes
on with it and one of a later life does not; and when that service had come, so that the next life knows."""

UNDER_WAY = 20.0
"""Seconds for starts that are under way, before an upgrade: the service says nothing else meanwhile."""

SIGNALS = (*HELD, signal.SIGCHLD)

FAILED, USAGE = 1, 2


class Keeper:
    """One life of it: comes, lives on, leaves. See the module."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._loop = Loop()
        folder = os.path.join(orders.state, "keeper")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._book = Book(folder)
        self._service = Service(self._loop, orders.service, self._take, self._service_died)
        self._desk = Desk(self._loop, orders, self._book, self._service, Clock().now, self._settle_later)
        self._has_come = orders.come or orders.awaits or bool(orders.handed)
        """Whether a service was up and doing once: from then on there is to be one."""
        self._owing = self._heard = False
        told, came = _order_of(self._book.settings.get(LEAVING))
        self._leaving = orders.awaits and told == _identity(orders.pid)
        if told is not None and came == self._book.settings.get(CAME):
            self._desk.life_was_left()
        self._signals = 0
        self._status: int | None = None
        self._verdict: int | None = None
        """The status that everything is to end with when the service that leaves does not get to say one."""

    def run(self) -> int:
        """Lives until everything has ended; gives the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, functools.partial(self._asked_to_leave, number))
        self._loop.on_signal(signal.SIGHUP, lambda: None)  # a closed terminal stops nothing
        self._loop.on_signal(signal.SIGCHLD, self._desk.reap)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if self._orders.pid:
            self._service.follow(self._orders.pid, socket.socket(fileno=self._orders.channel))
        if self._leaving:
            self._go_on_leaving()
        if not self._orders.awaits:
            self._desk.begin()
        if self._orders.anew or self._orders.handed:
            gap = self._loop.time() - self._orders.anew if self._orders.anew else None
            self._service.tell({"t": "anew", "gap": gap}, unasked=True)
        if not self._orders.pid:
            self._service.start()
        self._loop.run()
        self._desk.close()
        self._book.close()
        self._loop.close()
        return next((status for status in (self._status, self._verdict) if status is not None), FAILED)

    # ------------------------------------------------------------ the service

    def _take(self, message: Message, fds: tuple[int, ...]) -> None:
        match message.get("t"):
            case "came":
                self._has_come = True
                self._desk.listeners.service_came()
            case "leave":
                self._heard, self._verdict = True, message.get("status")
                self._leave()
            case "prepare" if not self._leaving:
                self._service.prepare()
            case "over":
                self._status = int(message["status"])
                point("service has left")
                self._leave()
            case "upgrade":
                self._upgrade(message, self._loop.time() + UNDER_WAY)
            case _:
                self._desk.take(message, fds)

    def _service_died(self, ended: Ended) -> None:
        """It is started again, unless everything is to end, or it gave up before it had come and nothing runs."""
        self._desk.service_died()
        if self._leaving:
            self._stop_all()
        elif self._service.succeed():
            pass
        elif self._has_come or self._desk.living() or ended.code is None:
            self._service.start_again()
        else:
            self._status = ended.code if ended.code is not None else FAILED
            self._leaving = True
            self._finish()

    def _upgrade(self, message: Message, until: float) -> None:
        """Executes the program that is installed now, in its own place: children, pipes and the service stay.

        What it is in the middle of is finished first, until that moment. Where the program cannot be executed all stays
        as it is.
        """
        if why := self._unfit(until):
            self._service.tell({"t": "not upgraded", "error": why})
            return
        handed = self._desk.descriptors()
        if handed is None:
            self._loop.call_later(SOON, functools.partial(self._upgrade, message, until))
            return
        try:
            arguments = self._arguments_anew(message, handed)
        except OSError as error:
            self._service.tell({"t": "not upgraded", "error": f"its orders cannot be written: {error.strerror}"})
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the new program can take them
        point("about to execute anew")
        try:
            with room.as_given():
                os.execv(arguments[0], arguments)  # noqa: S606 - our own program
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self._service.tell({"t": "not upgraded", "error": f"{arguments[0]}: {error.strerror}"})

    def _arguments_anew(self, message: Message, handed: dict[str, dict[str, int]]) -> list[str]:
        orders = replace(
            self._orders, service=tuple(message.get("service") or self._orders.service), awaits=False,
            pid=self._service.pid, channel=self._service.line(), handed=handed,
            anew=self._loop.time(), come=self._has_come,
        )  # fmt: skip
        return command(message.get("python") or sys.executable, orders)

    def _unfit(self, until: float) -> str:
        """Why this is no moment to go away with all that is known in memory alone; "" when it is one."""
        if self._leaving:
            return "it is leaving"
        if self._service.has_next:
            return "another upgrade is under way"
        if self._loop.time() > until and (slow := [run.worker for run in self._desk.living() if not run.is_up]):
            return f"{', '.join(slow)} began and does not get into its program within {UNDER_WAY:g} s; stop it, or wait"
        try:
            self._book.settle()
        except OSError as error:
            return f"the state folder cannot be written ({error.strerror}), so it would forget what changed"
        return ""

    # ------------------------------------------------------------ leaving

    def _asked_to_leave(self, number: int) -> None:
        """The service asks everybody in order, and kills at the second time. Where there is none, that is done here."""
        self._signals += 1
        self._leave()
        if self._service.pid:
            self._heard = False
            self._service.signal(number)
            self._loop.call_later(ABSENT, functools.partial(self._miss, self._signals))
        else:
            self._stop_all()

    def _go_on_leaving(self) -> None:
        """An earlier keeper was asked and killed; nobody knows whether the service was told."""
        self._signals = 1
        self._leave()
        self._service.tell({"t": "leave"}, unasked=True)
        self._loop.call_later(ABSENT, functools.partial(self._miss, self._signals))

    def _miss(self, signals: int) -> None:
        """A service that has not taken the signal up is absent, though it is there; without it all is stopped here."""
        if not self._heard and signals == self._signals:
            self._service.signal(signal.SIGKILL)

    def _leave(self) -> None:
        """From now on the service is not started again."""
        if not self._leaving:
            self._write_leaving()
        self._leaving = True
        point("leaving begun")
        self._service.give_up()
        self._desk.listeners.end()
        self._desk.when_empty(self._finish)

    def _write_leaving(self) -> None:
        told = {"service": _identity(self._service.pid), "came": self._book.settings.get(CAME)}
        try:
            self._book.set(LEAVING, told)
        except OSError as error:
            self._desk.troubled(error)

    def _stop_all(self) -> None:
        """All at the same time, each in its own way."""
        for run in self._desk.living():
            run.kill() if self._signals > 1 else run.stop(run.stop_steps)
        if self._status is not None:  # the service has left them behind, since nothing ends them
            self._loop.call_later(LEFT, self._loop.stop)
        self._finish()

    def _finish(self) -> None:
        if self._leaving and not self._service.pid and not self._desk.living():
            self._loop.stop()

    # ------------------------------------------------------------ what is owed to the disk

    def _settle_later(self) -> None:
        if not self._owing:
            self._owing = True
            self._loop.call_later(SETTLE, self._settle)

    def _settle(self) -> None:
        self._owing = False
        try:
            self._book.settle()
        except OSError as error:  # which may be another reason than before
            self._desk.troubled(error)
        else:
            self._desk.calm()


def _identity(pid: int) -> list[object]:
    """What no other process has, of this machine or another; that of none is nobody's."""
    proc = procfs.read(pid) if pid else None
    return [boot_id(), pid, proc.start if proc else 0]


def _order_of(told: object) -> tuple[object, object]:
    """Which service an order to leave was for, and when that had come; None where there was none."""
    return (told.get("service"), told.get("came")) if isinstance(told, dict) else (None, None)


def main(arguments: list[str]) -> int:
    """`keeper.py STATE DESCRIPTOR`: see `Orders`."""
    point("keeper begins")
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:  # whatever is opened here is not taken for a standard stream
        os.set_inheritable(fd, True)
    os.close(fd)
    room.widen()
    for name in os.listdir("/proc/self/fd"):  # what whoever started us left open is no worker's business
        with contextlib.suppress(OSError):
            os.set_inheritable(int(name), int(name) < 3)
    orders = Orders.read(int(arguments[2]))
    try:
        orders = take_lock(orders)
        return Keeper(orders).run()
    except (SupervisorError, OSError) as error:
        os.write(2, f"quarterdeck: {error}\n".encode("utf-8", "replace"))
        return USAGE
