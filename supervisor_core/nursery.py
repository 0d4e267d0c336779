"""Children that a work starts with `p.go`: their names, and how many ended ones are kept.

Called under the supervisor's lock, except for `prune`, which the loop calls. Known wart: the numbers of a parent
start anew once that parent itself was removed.
"""

from collections import deque
from typing import TYPE_CHECKING

from .messages import Remove
from .model import REST
from .worker import Work, Worker

if TYPE_CHECKING:
    from .supervisor import Supervisor

KEPT = 20
"""Ended children kept a parent."""


class Nursery:
    def __init__(self, supervisor: "Supervisor") -> None:
        self._supervisor = supervisor
        self._counts: dict[str, int] = {}
        self._parents: dict[str, str] = {}
        self._ended: dict[str, deque[str]] = {}
        self._old: deque[str] = deque()

    def add(self, parent: str, work: Work) -> Worker:
        """Adds the next child of `parent`."""
        number = self._counts[parent] = self._counts.get(parent, 0) + 1
        worker = Worker(f"{parent}[{number}]", work)
        self._parents[worker.name] = parent
        return self._supervisor.supervise(worker)

    def ended(self, name: str) -> None:
        """Takes note that a worker is at rest; an ended child too many is marked for removal."""
        parent = self._parents.get(name)
        if parent is None:
            return
        kept = self._ended.setdefault(parent, deque())
        if name in kept:
            kept.remove(name)
        kept.append(name)
        while len(kept) > (KEPT if self._supervisor.get(parent) is not None else 0):
            self._old.append(kept.popleft())

    def removed(self, name: str) -> None:
        """Forgets a worker; its own ended children go with it."""
        self._parents.pop(name, None)
        self._counts.pop(name, None)
        self._old.extend(self._ended.pop(name, ()))

    def prune(self) -> None:
        """Removes what is marked, unless it was started again."""
        while self._old:
            name = self._old.popleft()
            status = self._supervisor.status(name)
            if status is not None and status.state in REST:
                self._supervisor.tell(Remove(name, by="library"))
