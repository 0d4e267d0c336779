"""Who wants to hear that a worker has something new in its log. Every log store has one of these.

Known wart: one that follows a worker twice is called twice.
"""

import threading
from collections.abc import Callable, Sequence

Moved = Callable[[], None]


class Followers:
    """By worker; its length is how many there are. Safe from any thread; asking takes no lock.

    `left` is told of a worker that nobody follows any more.
    """

    def __init__(self, left: Callable[[str], object] = bool) -> None:
        self._lock = threading.Lock()
        self._left = left
        self._of: dict[str, tuple[Moved, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def __len__(self) -> int:
        return sum(map(len, tuple(self._of.values())))

    def add(self, workers: Sequence[str], moved: Moved) -> Callable[[], None]:
        """Gives the way out."""
        with self._lock:
            for worker in workers:
                self._of[worker] = (*self.of(worker), moved)

        def leave() -> None:
            with self._lock:
                for worker in workers:
                    rest = tuple(other for other in self.of(worker) if other is not moved)
                    if rest:
                        self._of[worker] = rest
                    elif self._of.pop(worker, None):
                        self._left(worker)

        return leave

    def of(self, worker: str) -> tuple[Moved, ...]:
        return self._of.get(worker, ())

    def all(self) -> list[Moved]:
        """Each of them once."""
        with self._lock:
            return list(dict.fromkeys(moved for each in self._of.values() for moved in each))

    def tell(self, worker: str) -> None:
        """There is something new."""
        for moved in self.of(worker):
            moved()
