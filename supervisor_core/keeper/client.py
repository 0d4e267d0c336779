"""The spawner of a service that has a keeper: it orders, and is told. Its children outlive it.

Everything that the keeper tells may be told again, by a later keeper too; here it becomes futures. This side holds
duplicates of every pipe and pidfd, so that a keeper that was killed finds what went on meanwhile.
"""

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from ..children import LaunchRequest, refusals
from ..errors import CannotStart
from ..failing import point
from .handover import Handover
from .kept_child import KeptChild
from .legacy import Legacy
from .line import Post, answered
from .pauses import Pauses
from .syncing import KeeperLost, Syncs
from .wire import VERSION, Message

PATIENCE = 5.0
"""Seconds that `aclose` waits for what it killed."""
Key = tuple[str, int]


class KeptSpawner:
    """See `children.Spawner`. `instance` stands in the tags. First `greet`, then `connect`, then the rest.

    `revive` starts a keeper in the place of one that has died and gives the channel to it. All methods belong to the
    thread of the loop, but `send`.
    """

    def __init__(
        self, channel: socket.socket, instance: str, revive: Callable[[], socket.socket] | None = None
    ) -> None:
        self.instance = instance
        self.keeper = 0
        """Its pid."""
        self.on_message: Callable[[Message], None] = lambda _: None
        """Gets what is not about runs, and `ready` from each new keeper."""
        self._channel: socket.socket | None = channel
        self._logs: Mapping[str, Any] = {}
        self._greeted: asyncio.Future[dict[str, Any]] | None = None
        self._revive = revive
        self._post = Post()
        self.handover, self.legacy = Handover(self._post), Legacy(self._post)
        self._syncs = Syncs(self.ask)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._children: dict[Key, KeptChild] = {}
        self._notes: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._ready: asyncio.Future[None] | None = None
        self._over = self._leaving = False
        self._status: int | None = None
        self._pauses, self._dialled, self._is_up = Pauses(), 0.0, False

    async def greet(self) -> Mapping[str, Any]:
        """Gives what this service's predecessor left with the keeper. Raises `SupervisorError` when none answers."""
        self._loop = asyncio.get_running_loop()
        self._ready, self._greeted = self._loop.create_future(), self._loop.create_future()
        assert self._channel is not None
        self._dial(self._channel)
        self._channel = None
        return await answered(self._greeted)

    async def connect(self, logs: Mapping[str, Any]) -> None:
        """Returns when it is known what is alive. `logs` are the policies, see `policies.py`."""
        assert self._ready is not None
        self.set_logs(logs)
        await answered(self._ready)

    def set_logs(self, logs: Mapping[str, Any]) -> None:
        """What holds from now on."""
        self._logs = logs
        self.send({"t": "logs", "logs": logs})

    # ------------------------------------------------------------ the contract

    async def spawn(self, request: LaunchRequest) -> KeptChild:
        """Returns when exec has succeeded; raises `CannotStart`."""
        refusals.check(request)
        if request.output is not None:
            raise CannotStart(f"{request.argv[0]}: a program of a keeper writes to the log, not to a callback")
        key = request.worker, request.run
        child = self._children[key] = KeptChild(self, request.worker, request.run, request)
        child.begin()
        try:
            await asyncio.shield(child.started)
        except CannotStart:
            del child  # it holds the error, and the error this frame
            raise
        except asyncio.CancelledError:
            child.kill_tree()
            while not child.exited.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([child.exited])
            raise
        return child

    def attach(self, worker: str, run: int) -> KeptChild | None:
        """The child of that run, alive, or ended and not forgotten."""
        return self._children.get((worker, run))

    def live(self) -> list[tuple[str, int, int]]:
        return [(*key, child.pid) for key, child in self._children.items() if not child.exited.done()]

    def forget(self, worker: str, run: int) -> None:
        child = self._children.get((worker, run))
        if child is not None and child.exited.done():
            del self._children[worker, run]
            child.close()
            self.send({"t": "forget", "worker": worker, "run": run})

    def note(self, worker: str, data: bytes) -> None:
        """The keeper has it when it has read what was sent before."""
        self._notes[worker] = data
        self.send({"t": "note", "worker": worker, "data": data.decode("utf-8", "surrogateescape")})

    def notes(self) -> Mapping[str, bytes]:
        return dict(self._notes)

    async def durable(self) -> None:
        """Returns when all notes so far would survive a power cut; raises `SupervisorError` when they might not."""
        await self._syncs.durable()

    async def aclose(self) -> None:
        """Kills what is left, waits a bounded time for it, and hangs up."""
        left = [child for child in self._children.values() if not child.exited.done()]
        for child in left:
            child.kill_tree()
        if left and self._post.open:
            await asyncio.wait([child.exited for child in left], timeout=PATIENCE)
        for child in self._children.values():
            child.close()

    # ------------------------------------------------------------ beyond the contract

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """To the keeper, in the order of the calls; from any thread, but descriptors only from the loop's."""
        self._post.send(message, fds)

    async def ask(self, message: Message) -> Message:
        """Sends and gives the answer. Raises `SupervisorError` when the keeper is lost before it has answered."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self.send({**message, "id": number})
        try:
            answered: Message = await answer
            return answered
        finally:
            self._answers.pop(number, None)

    def came(self) -> None:
        """Says that this service is up: from now on another one takes its place when it dies."""
        point("service has come")
        self.send({"t": "came"})

    def keep(self, name: str, value: Any) -> None:
        """Something for this service's successor."""
        self.legacy.keep(name, value)

    def hang_up(self, status: int) -> None:
        """Says that this service has left in order, and with which status the whole is to end."""
        point("about to hang up")
        self._over = True
        self.send({"t": "over", "status": status})
        self._post.close(PATIENCE)

    def leaving(self, status: int | None = None) -> None:
        """From now on no service is started in the place of this one: the keeper ends what that leaves behind."""
        self._leaving, self._status = True, self._status if status is None else status
        self.send({"t": "leave", "status": self._status})

    def step_aside(self) -> None:
        """Ends for a successor; nothing of what was said before is lost, nothing follows."""
        self._over = True
        self._post.close(PATIENCE)

    # ------------------------------------------------------------ the line

    def _dial(self, channel: socket.socket) -> None:
        """Says hello on a new channel, before anything that was to be sent meanwhile."""
        for child in self._children.values():
            child.told = False
            if child.fds:
                self._post.send_first({"t": "hand", **child.name, "fds": list(child.fds)}, tuple(child.fds.values()))
        self._say_hello()
        self._post.dial(channel, self._take, self._lost)

    def _say_hello(self) -> None:
        self._post.send_first({"t": "hello", "version": VERSION, "pid": os.getpid()})
        if self._logs:
            self._post.send_first({"t": "logs", "logs": self._logs})

    def _take(self, message: Message, fds: tuple[int, ...]) -> None:
        match message.get("t"):
            case "run":
                self._take_run(message, fds)
            case "refused":
                self._take_refusal(message)
            case "keepsakes":
                self._take_keepsakes(message, fds)
            case "anew":
                for child in self._children.values():
                    child.told = False
                self.handover.take(message)
                self._say_hello()
            case "successor" | "no successor" | "not upgraded":
                self.handover.take(message)
                self.legacy.catch_up()
            case "leave" if self._leaving:
                pass  # known already
            case "welcome":
                self._take_welcome(message)
            case "ready":
                self._take_ready(message)
            case "synced" | "swapped" if message["id"] in self._answers:
                answer = self._answers[message["id"]]
                if not answer.done():
                    answer.set_result(message)
            case _:
                self.on_message(message)

    def _take_keepsakes(self, message: Message, fds: tuple[int, ...]) -> None:
        assert self._greeted is not None
        self.keeper = int(message["pid"])
        self.legacy.greeted(message, fds)
        if not self._greeted.done():
            self._greeted.set_result(message["keepsakes"])

    def _take_welcome(self, message: Message) -> None:
        for worker, text in message["notes"].items():
            self._notes.setdefault(worker, text.encode("utf-8", "surrogateescape"))

    def _take_run(self, message: Message, fds: tuple[int, ...]) -> None:
        key = message["worker"], int(message["run"])
        child = self._children.get(key)
        if child is None and self._ready is not None and self._ready.done():  # forgotten, and that was not heard
            for fd in fds:
                os.close(fd)
            self.send({"t": "forget", "worker": key[0], "run": key[1]})
            return
        if child is None:  # begun by this service's predecessor
            child = self._children[key] = KeptChild(self, *key)
        child.take(message, fds)

    def _take_refusal(self, message: Message) -> None:
        child = self._children.pop((message["worker"], int(message["run"])), None)
        if child is not None:
            child.refuse(message)

    def _take_ready(self, message: Message) -> None:
        """All runs that this keeper knows were told. A later one is told what its predecessor may not have heard."""
        assert self._ready is not None
        self.handover.take(message)
        self._is_up = True
        if self._ready.done():
            for worker, data in self._notes.items():
                self.note(worker, data)
            self.legacy.tell_again()
            for child in list(self._children.values()):
                if child.told or not child.started.done():
                    child.order_again()
                elif not child.exited.done():
                    child.lose()
            if self._leaving:
                self.leaving()
        else:
            self._ready.set_result(None)
        self._syncs.up.set()
        self.on_message(message)

    def _lost(self) -> None:
        """The keeper has gone: another one takes its place, unless this service is leaving."""
        self._syncs.up.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(KeeperLost("the keeper was lost before it answered; ask again"))
        if self._over or self._revive is None:
            return
        point("keeper lost")
        self.keeper = 0
        assert self._loop is not None
        lived, self._dialled = self._loop.time() - self._dialled, self._loop.time()
        self._loop.call_later(self._pauses.after(lived, was_up=self._is_up), self._replace)
        self._is_up = False

    def _replace(self) -> None:
        try:
            if self._revive is not None:
                self._dial(self._revive())
        except OSError:  # as a rule no descriptor is left for all that it is to hold: a later one may have all
            self._post.close(0)
            self._lost()
