"""Keeps notes of a supervisor's workers with whoever owns their processes, and goes on from those of an earlier one.

A note is written before anything that follows from it is told or done, and only when it differs; the end of a run is
forgotten after the note that no longer calls it live. Everything here happens under the supervisor's lock.

Known wart: coroutines are not noted, since they end with this process; a program's note costs some µs a change.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .adopting import adoption
from .failing import point
from .machine import Machine
from .model import Phase, WorkerSpec, verdict

if TYPE_CHECKING:
    from .children import Spawner
    from .supervisor import Supervisor


class Recollection:
    """Notes nothing before `adopt`: a supervisor of coroutines alone needs nobody who owns processes."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._spawner: Spawner | None = None
        self._written: dict[str, bytes] = {}
        self._live: dict[str, int] = {}
        self._leaving = False

    def adopt(self, supervisor: "Supervisor", specs: Iterable[WorkerSpec], *, fresh: bool, left: bool) -> None:
        """Adds the workers of `specs`, and those in no config whose runs go on, from what was noted of them.

        `fresh`: the service was started, not its manager alone, so that only what is alive goes on.
        `left`: the one before had been told to leave, so that what has ended since was stopped.
        """
        spawner = self._spawner = supervisor.spawner
        self._written = dict(spawner.notes())
        live = spawner.live()
        adopted = adoption(specs, self._written, live, supervisor.clock.now(), fresh=fresh, left=left)
        for name, words in adopted.words.items():
            supervisor.narrator.keep(name, 0, f"ERROR: {words}; what is alive goes on, the config says the rest")
        for name, run in adopted.numbers.items():
            self._machine.go_on_from(name, run)
            spawner.forget(name, run)
        for order in adopted.adds:
            supervisor.tell(order)
            if order.remembered is not None and not order.remembered.status.live:
                spawner.forget(order.spec.name, order.remembered.status.run)
        for name, run, _ in live:
            if self._live.get(name) != run and (child := spawner.attach(name, run)) is not None:
                child.kill_tree()  # a newer run of it lives

    def take(self, touched: Iterable[str]) -> None:
        """Writes the notes of these workers where they differ."""
        if self._spawner is None:
            return
        if self._machine.phase is Phase.LEAVING and not self._leaving:
            self._leaving = True
            self._spawner.leaving(verdict(self._machine.statuses.values()))
            touched = list(self._machine.statuses)  # what was stopped before is left in order, too
        for name in touched:
            status = self._machine.statuses.get(name)
            if status is None and name not in self._written:
                continue
            if status is not None and status.spec.program is None:
                continue
            data = self._machine.note_of(name)
            if self._written.get(name) != data:
                point("change to be noted")
                self._spawner.note(name, data)
                self._written[name] = data
                point("change noted")
            run = status.run if status is not None and status.live else None
            before = self._live.pop(name, None)
            if run is not None:
                self._live[name] = run
            if before is not None and before != run:
                point("ended run to be forgotten")
                self._spawner.forget(name, before)
