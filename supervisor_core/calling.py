"""Calling a function that may be a coroutine function or a plain one; a plain one gets a thread of its own.

Threads are daemons and never from a pool: one that does not return must neither hold the process nor starve others.
Known wart: a thread cannot be cancelled. Whoever stops waiting for it leaves it behind.
"""

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

from .flag import post


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine (also through partials and objects with an async `__call__`)."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def start_thread(name: str, body: Callable[[], None]) -> None:
    """Starts a daemon thread. `body` must not raise."""
    threading.Thread(target=body, name=name, daemon=True).start()


async def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls it with `args` and returns its result or raises what it raises.

    A cancellation reaches a coroutine; a thread is only no longer waited for.
    """
    result = await (function(*args) if is_async(function) else _in_thread(function, *args))
    return await result if inspect.isawaitable(result) else result


async def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((result, error))

    def body() -> None:
        result, error = None, None
        try:
            result = function(*args)
        except BaseException as raised:
            error = raised
        post(loop, settle, result, error)

    start_thread(f"call {getattr(function, '__name__', 'function')}", body)
    result, error = await done
    if error is not None:
        raise error
    return result
