"""What a supervisor's programs need beside their processes: commands on the side, sockets, and what probes found.

One a supervisor, made with it and empty until a worker wants something of it. Belongs to the loop's thread.
"""

from typing import TYPE_CHECKING

from .probes import Findings

if TYPE_CHECKING:
    from .children import Spawner
    from .errands import Errands
    from .model import WorkerSpec
    from .probes.notify import NotifySocket
    from .supervisor import Supervisor


class Aside:
    """`folder` is where runs find their notify sockets, to be set before they start by a service that has lives."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self.findings = Findings()
        self.folder: str | None = None
        self._supervisor = supervisor
        self._errands: Errands | None = None
        self._cleared = False

    @property
    def errands(self) -> "Errands":
        if self._errands is None:
            from .errands import Errands, aside  # here because most programs run none

            owner = aside(self._spawner.instance) if self.folder is not None else ""
            self._errands = Errands(getattr(self._spawner, "shelter", None), owner)
        return self._errands

    def socket_for(self, spec: "WorkerSpec", run: int) -> "NotifySocket | None":
        """The socket of a run that wants one, bound. Raises OSError."""
        program = spec.program
        if program is None or not program.notify:
            return None
        from .probes.notify import NotifySocket, clear

        if self.folder and not self._cleared:
            clear(self.folder, [self.address_of(name, number) for name, number, _ in self._spawner.live()])
        self._cleared = True
        return NotifySocket(self.address_of(spec.name, run, foreign=bool(program.user)))

    def address_of(self, worker: str, run: int, *, foreign: bool = False) -> str:
        """Where the socket of a run is."""
        from .probes.notify import address_of

        return address_of(self.folder, self._spawner.instance, worker, run, foreign=foreign)

    async def aclose(self, spawner: "Spawner | None" = None) -> None:
        """Ends what is under way on the side, and then the spawner, where it is the supervisor's own."""
        if self._errands is not None:
            await self._errands.aclose()
        if spawner is not None:
            await spawner.aclose()

    @property
    def _spawner(self) -> "Spawner":
        return self._supervisor.spawner
