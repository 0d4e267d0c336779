"""A one-way flag that any thread may set and any thread or event loop may wait for; and the hop to a loop.

Nothing here knows of workers. Known wart: every waiter in a loop costs one wake-up of that loop.
"""

import asyncio
import threading
from collections.abc import Callable


def post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> bool:
    """Lets `loop` call soon, from any thread; False when that loop is closed, and then nothing happens."""
    try:
        if asyncio._get_running_loop() is loop:
            loop.call_soon(call, *args)
        else:
            loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
        return False
    return True


class Flag:
    """Down at first; once set it stays set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[object, Callable[[], object]] = {}
        self._set = False

    @property
    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        """Raises the flag and makes every registered call, in the caller's thread; does nothing the second time."""
        with self._lock:
            self._set = True
            calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call()

    def on_set(self, call: Callable[[], object]) -> Callable[[], None]:
        """Makes `call` once, when the flag is set or at once if it is; returns the way to take that back."""
        key = object()
        with self._lock:
            if not self._set:
                self._calls[key] = call
                return lambda: self._forget(key)
        call()
        return lambda: None

    async def wait(self) -> None:
        """Returns when the flag is set; may be awaited in any loop."""
        if self._set:
            return
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        forget = self.on_set(lambda: post(loop, wake))
        try:
            await future
        finally:
            forget()

    def wait_blocking(self, timeout: float | None = None) -> bool:
        """Blocks this thread until the flag is set or `timeout` seconds have passed; says whether it is set."""
        event = threading.Event()
        forget = self.on_set(event.set)
        try:
            event.wait(timeout)
        finally:
            forget()
        return self._set

    def _forget(self, key: object) -> None:
        with self._lock:
            self._calls.pop(key, None)
