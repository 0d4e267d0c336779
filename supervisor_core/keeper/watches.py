"""Which workers' news somebody waits for: the keeper's side of following a log that another process reads.

A watch is over with the news that it gives. Who wants more asks again, with what was seen meanwhile; so a reader that
takes nothing costs the writer one message, and a worker that nobody watches a look into a set.
"""

from collections.abc import Callable


class Watches:
    """`tell` is called with a worker's name, once a watch."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._watched: set[str] = set()

    def watch(self, worker: str, *, newer: bool) -> None:
        """Tells when there is something new; at once when there is something `newer` already."""
        self._watched.add(worker)
        if newer:
            self.moved(worker)

    def unwatch(self, worker: str) -> None:
        self._watched.discard(worker)

    def moved(self, worker: str) -> None:
        """There is something new."""
        if worker in self._watched:
            self._watched.remove(worker)
            self._tell(worker)

    def clear(self) -> None:
        """Whoever watched is gone."""
        self._watched.clear()
