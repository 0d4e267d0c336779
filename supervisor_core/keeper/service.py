"""The service as the keeper sees it: a child that is started, connected, and started again when it has died.

It runs in a session of its own, so what a terminal sends comes to the keeper alone. Whether it is to live is decided
here; what it says is for `keeper.py`.
"""

import contextlib
import functools
import os
import signal
import socket
from collections.abc import Callable, Sequence

from ..children import Ended, room
from ..children.loops import Timer, watch
from ..failing import point
from .foreign import how_it_ended
from .loop import Loop
from .orders import CHANNEL, HELD, NEXT
from .pauses import Pauses
from .wire import Broken, Message, Wire

PATIENCE = 5.0
"""Seconds for a service to take what it was told, before the keeper executes itself anew."""

FAREWELL = 10.0
"""Seconds for a service to end after it has closed its channel: without one it can do nothing any more."""


class Service:
    """`take` gets each message, `died` hears of each end. `up` is set by whoever takes its first words."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        take: Callable[[Message, tuple[int, ...]], None],
        died: Callable[[Ended], None],
    ) -> None:
        self._loop, self._command, self._take, self._died = loop, command, take, died
        self.pid = 0
        self.up = self._was_up = False
        self._next: tuple[int, socket.socket] | None = None
        """A successor that waits, with its channel, until this one has ended."""
        self._wire: Wire | None = None
        self._deaf = False
        """Whether it takes no words any more; its own last ones may still be there to be read."""
        self._pidfd = -1
        self._unwatch: Callable[[], None] | None = None
        self._born = 0.0
        self._pauses = Pauses()
        self._again: Timer | None = None

    # ------------------------------------------------------------ its life

    def start(self) -> None:
        """Starts it. Where it cannot be started, that is tried again like after a death."""
        self._again = None
        begun = self._spawn()
        if begun is None:
            self.start_again()
            return
        point("service started")
        self.follow(*begun)

    def _spawn(self, **more: str) -> tuple[int, socket.socket] | None:
        """A process of it, with the channel that it is to speak through; None where there can be none."""
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            return None
        theirs.set_inheritable(True)
        try:
            with room.as_given() as tell:
                pid = os.posix_spawn(
                    self._command[0],
                    list(self._command),
                    {**os.environ, CHANNEL: str(theirs.fileno()), **more},
                    setsid=True,
                    setsigmask=HELD,
                    setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ),
                )
                tell(pid)
        except OSError:
            ours.close()
            return None
        finally:
            theirs.close()
        return pid, ours

    def follow(self, pid: int, channel: socket.socket) -> None:
        """Belongs to this process, which may be somebody else's child, from now on; takes the channel over."""
        self.pid, self.up, self._deaf, self._born = pid, False, False, self._loop.time()
        self._wire = Wire(channel)
        self._loop.add_reader(self._wire.fileno(), self._readable)
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._over(Ended(reason="unknown: it was gone before anybody looked"))
            return
        self._unwatch = watch(self._loop, self._pidfd, self._gone)

    def start_again(self) -> None:
        """Starts it after a pause that grows with each death that comes soon."""
        lived = self._loop.time() - self._born
        self._again = self._loop.call_later(self._pauses.after(lived, was_up=self._was_up), self.start)

    def prepare(self) -> None:
        """Starts a successor beside it, which waits at its first word; tells when that has come, or that none will."""
        if self._next is not None:
            self._part()
        self._next = self._spawn(**{NEXT: "1"})
        if self._next is None:
            self.tell({"t": "no successor"})
            return
        channel = self._next[1]
        channel.setblocking(False)
        self._loop.add_reader(channel.fileno(), self._next_speaks)

    def _next_speaks(self) -> None:
        assert self._next is not None
        channel = self._next[1]
        try:
            there = bool(channel.recv(1, socket.MSG_PEEK))
        except OSError:
            there = False
        self._loop.remove_reader(channel.fileno())
        if not there:
            self._part()
        point("successor came")
        self.tell({"t": "successor" if there else "no successor"})

    def succeed(self) -> bool:
        """Goes on with the successor that waits; false where there is none."""
        if self._next is None:
            return False
        begun, self._next = self._next, None
        self._loop.remove_reader(begun[1].fileno())
        self.follow(*begun)
        return True

    def _part(self) -> None:
        """Without its channel a successor that waits ends by itself."""
        if self._next is not None:
            self._loop.remove_reader(self._next[1].fileno())
            self._next[1].close()
            self._next = None

    @property
    def has_next(self) -> bool:
        return self._next is not None

    def give_up(self) -> None:
        """Does not start it again."""
        self._part()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def signal(self, number: int) -> None:
        if self.pid:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, number)

    # ------------------------------------------------------------ words

    def tell(self, message: Message, fds: tuple[int, ...] = (), *, unasked: bool = False) -> bool:
        """Sends, if it is there to hear it: what it missed it is told when it comes. `unasked`: before it spoke."""
        if self._wire is None or self._deaf or not (self.up or unasked):
            return False
        try:
            self._wire.send(message, fds)
            self._write_on()
        except Broken:
            self._say_no_more()
            return False
        return True

    def line(self) -> int:
        """The descriptor of the channel, after all that was to be told has gone; -1 when there is none."""
        if self._wire is None:
            return -1
        with contextlib.suppress(Broken):
            self._wire.finish(PATIENCE)
        return self._wire.fileno()

    def _write_on(self) -> None:
        assert self._wire is not None
        if self._wire.waiting:
            self._loop.add_writer(self._wire.fileno(), self._writable)

    def _writable(self) -> None:
        assert self._wire is not None
        try:
            if self._wire.flush():
                self._loop.remove_writer(self._wire.fileno())
        except Broken:
            self._say_no_more()

    def _readable(self) -> None:
        assert self._wire is not None
        try:
            messages = self._wire.receive()
        except Broken:
            self._hang_up()
            self._loop.call_later(FAREWELL, functools.partial(self._end_mute, self.pid))
            return
        for message, fds in messages:
            self._take(message, fds)

    def _say_no_more(self) -> None:
        """It has closed its end; what it said before is read first."""
        assert self._wire is not None
        self._deaf = True
        self._loop.remove_writer(self._wire.fileno())

    def _hang_up(self) -> None:
        """It has closed its end, as a rule because it is ending: that is told when it has ended."""
        if self._wire is not None:
            self._loop.remove_reader(self._wire.fileno())
            self._loop.remove_writer(self._wire.fileno())
            self._wire.close()
            self._wire = None

    def _end_mute(self, pid: int) -> None:
        """One that lives on without a channel would wait for another keeper, which cannot be beside this one."""
        if self.pid == pid and self._wire is None:
            self.signal(signal.SIGKILL)

    def _gone(self) -> None:
        """Its last words first."""
        while self._wire is not None:
            try:
                messages = self._wire.receive()
            except Broken:
                break
            if not messages:
                break
            for message, fds in messages:
                self._take(message, fds)
        self._hang_up()
        try:
            ended = _collected(self.pid)
        except ChildProcessError:
            ended = how_it_ended(self.pid, 0, self._pidfd)
        assert self._unwatch is not None
        self._unwatch()
        self._over(ended)

    def _over(self, ended: Ended) -> None:
        self._hang_up()
        self._was_up = self.up
        self.pid, self.up = 0, False
        point("service ended")
        self._died(ended)


def _collected(pid: int) -> Ended:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Ended(code=code) if code >= 0 else Ended(signal=-code)
