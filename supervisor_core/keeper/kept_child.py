"""One run as the service sees it: what the keeper tells of it, as futures, and the orders about it.

Known wart: `left` is what the service itself sees, which is not those that have left session, tag and parents behind.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..children import TAG, Ended, LaunchRequest, make_tag, procfs, refusals
from ..children.living import named
from ..errors import CannotStart
from ..failing import point
from .requests import read_end, tell_request
from .wire import Message

if TYPE_CHECKING:
    from .client import KeptSpawner

LOST = "unknown: the keeper that ran it was lost, and its successor knows nothing of it"


class KeptChild:
    """See `children.Child`. `started` is set when its program runs, or holds why it does not.

    `request` is None for one that was found alive.
    """

    def __init__(self, owner: "KeptSpawner", worker: str, run: int, request: LaunchRequest | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.worker, self.run = worker, run
        self.pid = 0
        self.started: asyncio.Future[None] = loop.create_future()
        self.leader_exited: asyncio.Future[Ended] = loop.create_future()
        self.output_ended: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[Ended] = loop.create_future()
        self.fds: dict[str, int] = {}
        """Duplicates of its pidfd and pipes, for a later keeper."""
        self.told = False
        """Whether the keeper that is there now has told of it."""
        self._owner = owner
        self._send = owner.send
        self.request = request
        self._orders: list[Message] = []
        self._left: tuple[int, ...] = ()
        self._struck = ""

    # ------------------------------------------------------------ orders

    def begin(self) -> None:
        assert self.request is not None
        fds = () if self.request.stdin is None else (self.request.stdin,)
        self._send({"t": "spawn", "request": tell_request(self.request)}, fds)
        point("start ordered")

    def signal(self, number: int, *, tree: bool = False) -> None:
        if not self.exited.done():
            self._send({"t": "signal", **self.name, "number": int(number), "tree": tree})

    def stop(self, steps: Sequence[tuple[int, float]]) -> None:
        self._order({"t": "stop", **self.name, "steps": [[int(number), seconds] for number, seconds in steps]})

    def kill_tree(self) -> None:
        self._order({"t": "kill", **self.name})

    def _order(self, message: Message) -> None:
        if not self.exited.done():
            if message not in self._orders:
                self._orders.append(message)
            self._send(message)

    def order_again(self) -> None:
        """A later keeper may not have heard it: tells it what was ordered, and to start it if that was still to be."""
        if not self.started.done() and self.request is not None:
            self.begin()
        for message in self._orders:
            self._send(message)

    # ------------------------------------------------------------ asked

    def left(self) -> tuple[int, ...]:
        if self.exited.done():
            return ()
        found: dict[int, None] = {}
        todo = [*(self._left if self.leader_exited.done() else [self.pid]), *self._adopted()]
        for pid in todo:
            proc = procfs.read(pid)
            if pid not in found and proc is not None and proc.alive:
                found[pid] = None
                todo += procfs.children(pid) or ()
        return tuple(found)

    def _adopted(self) -> list[int]:
        """Those that came to the keeper as orphans, which are known by the run's tag."""
        tag = make_tag(self._owner.instance, self.worker, self.run)
        below = procfs.children(self._owner.keeper) if self._owner.keeper else None
        return [pid for pid in below or () if pid != self.pid and tag in procfs.setting(pid, TAG).split()]

    def named(self, pids: Sequence[int]) -> str:
        return named(pids)

    def struck(self) -> str:
        return self._struck

    @property
    def name(self) -> dict[str, Any]:
        return {"worker": self.worker, "run": self.run}

    # ------------------------------------------------------------ told

    def take(self, told: Message, fds: tuple[int, ...]) -> None:
        """All that the keeper knows of it now."""
        point("told of a run")
        self.told = True
        if fds:
            self._hold(dict(zip(told["fds"], fds, strict=True)))
        self.pid = int(told["pid"])
        _settle(self.started, None)
        if (leader := told.get("leader")) is not None:
            self._left = tuple(told.get("left", ()))
            _settle(self.leader_exited, read_end(leader))
        if told.get("silent"):
            _settle(self.output_ended, None)
        if (ended := told.get("ended")) is not None:
            self._struck = str(told.get("struck", ""))
            self._end(read_end(ended))

    def refuse(self, told: Message) -> None:
        """Its program never ran."""
        assert self.request is not None
        if "said" in told:
            ended = read_end(told["ended"])
            refusal = refusals.broken(self.request, told["said"].encode("utf-8", "surrogateescape"), ended)
        elif "sentence" in told:
            ended, refusal = Ended(reason="not started"), CannotStart(told["sentence"], permanent=False)
        else:
            ended, number = Ended(reason="not started"), int(told["errno"])
            error = OSError(number, os.strerror(number)) if number else OSError(told["about"])
            refusal = refusals.refusal(self.request, error)
        if not self.started.done():
            self.started.set_exception(refusal)
            self.started.exception()  # whoever was cancelled does not ask
        self._end(ended)

    def lose(self) -> None:
        """Nobody knows what became of it."""
        _settle(self.started, None)
        self._end(Ended(reason=LOST))

    def close(self) -> None:
        """Lets go of its descriptors."""
        self._hold({})

    def _end(self, ended: Ended) -> None:
        _settle(self.leader_exited, ended)
        _settle(self.exited, ended)
        self.close()

    def _hold(self, fds: dict[str, int]) -> None:
        for fd in self.fds.values():
            os.close(fd)
        self.fds = fds


def _settle(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)
