"""The hard shutdown as a value: something that can be cancelled, from any thread, and waited for.

One context may be given to several supervisors; it knows of none of them.
"""

from collections.abc import Callable

from .flag import Flag


class Context:
    """Not cancelled at first; once cancelled it stays so."""

    def __init__(self) -> None:
        self._flag = Flag()

    @property
    def cancelled(self) -> bool:
        return self._flag.is_set

    def cancel(self) -> None:
        """Cancels, from any thread; does nothing the second time."""
        self._flag.set()

    async def wait(self) -> None:
        """Returns when it is cancelled."""
        await self._flag.wait()

    def on_cancel(self, call: Callable[[], object]) -> Callable[[], None]:
        """Makes `call` once, in the canceller's thread (at once if it is cancelled); returns the way to undo that."""
        return self._flag.on_set(call)

    def __repr__(self) -> str:
        return f"<Context {'cancelled' if self.cancelled else 'live'}>"
