"""The service's part in its own replacement: the keeper becomes the new program, then a successor comes up and waits.

Each is a question to the keeper and its answer. When and whether is decided above.
"""

import asyncio
from collections.abc import Sequence

from ..errors import SupervisorError
from .line import Post, answered
from .wire import Message


class Handover:
    """Asks over `post`; `take` hears the answers."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._upgrading: asyncio.Future[str] | None = None
        self._gap: float | None = None
        self._successor: asyncio.Future[bool] | None = None

    async def upgrade(self, python: str, service: Sequence[str]) -> float | None:
        """Returns when the keeper has become the program that is installed now; raises `SupervisorError`.

        Gives the seconds for which nobody was there, where the program that came tells them.
        """
        self._upgrading, self._gap = asyncio.get_running_loop().create_future(), None
        self._post.send({"t": "upgrade", "python": python, "service": list(service)})
        self._post.hold()
        if error := await answered(self._upgrading):
            raise SupervisorError(f"the keeper cannot be upgraded: {error}")
        return self._gap

    async def prepare(self) -> None:
        """Returns when a successor waits for this service's end; raises `SupervisorError` when none came up."""
        self._successor = asyncio.get_running_loop().create_future()
        self._post.send({"t": "prepare"})
        if not await answered(self._successor):
            raise SupervisorError("the successor of this service did not come up; see the service's log")

    def take(self, message: Message) -> None:
        """Hears `anew`, `not upgraded`, `successor`, `no successor`; of `ready` when it comes after all runs."""
        match message["t"]:
            case "anew":
                self._gap = message.get("gap")
            case "ready":
                self._upgraded("")
            case "not upgraded":
                self._upgraded(message["error"])
            case "successor" | "no successor" if self._successor is not None and not self._successor.done():
                self._successor.set_result(message["t"] == "successor")

    def _upgraded(self, error: str) -> None:
        if self._upgrading is not None and not self._upgrading.done():
            self._upgrading.set_result(error)
        self._post.release()
