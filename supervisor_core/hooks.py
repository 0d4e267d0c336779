"""The commands of a worker around one run of it: before its start, when it is ready, to stop it, when it has ended.

Each runs as the worker does, for at most `hook_timeout`; what it writes goes to the worker's `log` stream, line by
line, up to a bound. What its failure means is the run's affair.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .errors import CannotStart
from .feeding import LineLog
from .model import WorkerSpec
from .probes import brief

if TYPE_CHECKING:
    from .aside import Aside
    from .errands import Outcome
    from .process import Process

KIND = "hooks"

MOST_LINES = 1000
"""Lines of one command that are written to the log."""


class RunHooks:
    """The commands of one run."""

    def __init__(self, spec: WorkerSpec, p: "Process", aside: "Aside") -> None:
        self._spec, self._p, self._aside = spec, p, aside

    async def before_start(self) -> bool:
        """Runs it; false when the run was asked to leave meanwhile. Raises `CannotStart` when it failed."""
        hook = asyncio.ensure_future(self.run("before_start", self._spec.hooks.before_start))
        leaving = asyncio.ensure_future(self._p.wait_shutdown())
        try:
            await asyncio.wait((hook, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            left = not hook.done()
            hook.cancel()
            while not hook.done():  # it leaves nothing behind, whoever is in a hurry
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([hook])
        if left:
            return False
        outcome = hook.result()
        if not outcome.good:
            raise CannotStart(f"before_start failed: {brief(str(outcome))}", permanent=False)
        return True

    async def run(self, role: str, argv: tuple[str, ...], more: Mapping[str, str] | None = None) -> "Outcome":
        """Runs one of them and says what became of it; a failure stands in the log too."""
        from .errands import Outcome, request_of  # here because most programs run none

        lines = _Lines(self._spec.name, self._p, role)
        limit = self._spec.hooks.timeout
        try:
            instance = self._p.supervisor.spawner.instance
            variables = {"QUARTERDECK_HOOK": role} | dict(more or {})
            request = request_of(self._spec, self._p.run, argv, instance, variables)
            outcome = await self._aside.errands.run(request, limit, kind=KIND, heed=lines.feed)
        except CannotStart as error:
            outcome = Outcome(None, refusal=str(error))
        if outcome.void:  # a successor of this service does it again: here it neither ends nor fails
            await asyncio.get_running_loop().create_future()
        lines.feed(b"")
        if not outcome.good:
            why = outcome.refusal or f"{outcome}".partition(":")[0]
            lines.write(f"failed: {why}")
        return outcome


class _Lines:
    """What a command writes, as lines of the worker's own log; a log that takes none is no reason to fail."""

    def __init__(self, name: str, p: "Process", role: str) -> None:
        self._name, self._p, self._role = name, p, role
        self._log = LineLog(self._line)
        self._left = MOST_LINES

    def feed(self, data: bytes) -> None:
        if self._left >= 0:
            self._log.feed(data)

    def _line(self, text: str) -> None:
        self._left -= 1
        if self._left >= 0:
            self.write(text)
        elif self._left == -1:
            self.write(f"it writes more than {MOST_LINES} lines, the rest is not kept")

    def write(self, text: str) -> None:
        store = self._p.supervisor.logs
        if store is not None:
            with contextlib.suppress(OSError):
                store.note(self._name, self._p.run, f"{self._role}: {text}")
