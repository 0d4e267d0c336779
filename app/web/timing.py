"""Waiting without polling: a pause, and whichever of several things comes first.

Everything here ends at once when it is cancelled and leaves no timer or task behind.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any


async def pause(seconds: float) -> None:
    """Returns after `seconds` of the loop's time."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, _finish, over)
    try:
        await over
    finally:
        timer.cancel()


def _finish(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


async def pause_unless(flag: asyncio.Event, seconds: float) -> bool:
    """Returns after `seconds`, or earlier when the flag is set; says whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await flag.wait()
    except TimeoutError:
        pass
    return flag.is_set()


async def close(iterator: AsyncIterator[Any]) -> None:
    """Ends an asynchronous iterator that nobody will ask again, if it can be ended."""
    if isinstance(iterator, AsyncGenerator):
        await iterator.aclose()
