"""Takes the messages of hooks to where they go: a command of the host, or an address. Each within a bounded time.

Known wart: a message to an address may arrive twice, when the answer to it was lost.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from supervisor_core.children import TAG, LaunchRequest, make_tag
from supervisor_core.config import ServiceHook
from supervisor_core.environment import NOT_INHERITED, OURS
from supervisor_core.errands import Errands, Shelter
from supervisor_core.probes import brief

from .watchers.hooks import dump

if TYPE_CHECKING:
    import httpx

COMMAND_SECONDS = 30.0
POST_SECONDS = 10.0

PAUSES = (2.0, 10.0)
"""Seconds before each further try of a post that did not arrive."""


class Delivery:
    """`owner` names whose commands these are, in their tags. Belongs to the loop."""

    def __init__(self, shelter: Shelter | None, owner: str) -> None:
        self._errands, self._owner = Errands(shelter, owner), owner
        self._client: httpx.AsyncClient | None = None

    async def deliver(self, hook: ServiceHook, message: Mapping[str, Any]) -> str:
        """Gives "" or why it did not arrive, without a secret in it."""
        if hook.url:
            return await self._post(hook.url, dump(message))
        return await self._run(hook, message)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        await self._errands.aclose()

    async def _run(self, hook: ServiceHook, message: Mapping[str, Any]) -> str:
        events = message["events"]
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(OURS) and name not in NOT_INHERITED
        } | {
            "QUARTERDECK_EVENT": events[0]["event"],
            "QUARTERDECK_WORKER": " ".join(dict.fromkeys(event["worker"] for event in events)),
            "QUARTERDECK_TEXT": message["text"],
            TAG: f"{os.environ.get(TAG, '')} {make_tag(self._owner, 'hook', 0)}".strip(),
        }
        request = LaunchRequest("hook", 0, hook.argv, environment, hook.directory, merge_stderr=True)
        outcome = await self._errands.run(request, COMMAND_SECONDS, kind="service hooks", feed=dump(message))
        return "" if outcome.good else brief(str(outcome))

    async def _post(self, url: str, body: bytes) -> str:
        why = ""
        for pause in (0.0, *PAUSES):
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=pause)
            why, again = await self._post_once(url, body)
            if not again:
                return why
        return why

    async def _post_once(self, url: str, body: bytes) -> tuple[str, bool]:
        """Why it did not arrive, and whether another try may help."""
        import httpx  # here because it takes a while, and most services have no such hook

        if self._client is None:
            self._client = await asyncio.to_thread(httpx.AsyncClient, timeout=POST_SECONDS)
        host = urlsplit(url).hostname
        try:
            async with asyncio.timeout(POST_SECONDS):
                answer = await self._client.post(url, content=body, headers={"Content-Type": "application/json"})
        except TimeoutError:
            return f"{host} did not answer within {POST_SECONDS:g} s", True
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{host}: {brief(str(error)) or type(error).__name__}", True
        if answer.is_success:
            return "", False
        return f"{host} answered {answer.status_code} {answer.reason_phrase}".rstrip(), answer.status_code >= 500
