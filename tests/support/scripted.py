"""A host without processes: the real machine, journal and log store in memory; a test plays the works.

Time is that of the running loop, so tests run in a virtual one.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from app.host import Probed
from supervisor_core.errors import SupervisorError
from supervisor_core.journal import Cursor, Entry, Gap, Journal, Snapshot
from supervisor_core.machine import Machine
from supervisor_core.memory import MemoryStore
from supervisor_core.messages import Add, Begin, Exited, Order, Ready, Receipt, Report, Spawned, Tick
from supervisor_core.model import Exit, Program, Requirement, RestartPolicy, StopPolicy, WorkerSpec
from supervisor_core.probes import Findings

EPOCH = 1_763_950_000.0


def a_program(name: str, *requires: str, environment: dict[str, str] | None = None, **changes: Any) -> WorkerSpec:
    """A worker with a command, as the config makes it."""
    program = Program(("/bin/" + name, "--fast"), environment=environment or {}, start_seconds=1.0)
    changes.setdefault("restart", RestartPolicy(on_give_up="fail"))
    changes.setdefault("stop", StopPolicy((("TERM", 10.0),)))
    return WorkerSpec(name, tuple(Requirement(r) for r in requires), program=program, **changes)


class ScriptedHost:
    """The machine and the journal as they are, with works that a test plays. Begun at once."""

    def __init__(self, *specs: WorkerSpec, name: str = "testhost", capacity: int = 16_384) -> None:
        self.name = name
        self._loop = asyncio.get_running_loop()
        self.logs = MemoryStore(self.now)
        self.journal = Journal(int(self.now() * 1000), self.now, capacity)
        self.machine = Machine(stay=True)
        self.findings = Findings()
        self.told: list[Order] = []
        self.synced = 0
        """So many orders are on the disk."""
        self.full = ""
        """Why nothing comes there; "" when it does."""
        self._timer: asyncio.TimerHandle | None = None
        for spec in specs:
            self._decide(Add(spec, by="config"))
        self._decide(Begin(by="system"))

    def now(self) -> float:
        return EPOCH + self._loop.time()

    def snapshot(self) -> Snapshot:
        return self.journal.snapshot()

    def follow(self, cursor: Cursor) -> AsyncIterator[list[Entry] | Gap]:
        return self.journal.follow(cursor.seq)

    def entries(self, after: int, limit: int) -> list[Entry] | Gap:
        return self.journal.entries(after, limit)

    def probed(self, worker: str, run: int) -> Probed:
        return self.findings.of(worker, run), self.findings.said(worker, run)

    async def tell(self, order: Order) -> Receipt:
        self.told.append(order)
        outcome = self._decide(order)
        return Receipt(outcome, self.journal.cursor.seq)

    async def durable(self) -> None:
        self.synced = len(self.told)
        if self.full:
            raise SupervisorError(self.full)

    def _decide(self, given: Any) -> str:
        outcome = self.machine.handle(given, self.now())
        for event in outcome.events:
            self.journal.append(event)
        if self._timer is not None:
            self._timer.cancel()
        due = self.machine.next_deadline()
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - self.now()), self._decide, Tick())
        return outcome.operation

    # ------------------------------------------------------------ playing the works

    def run_of(self, name: str) -> int:
        return self.machine.statuses[name].run

    def report(self, report: Report) -> None:
        self._decide(report)

    def come_up(self, name: str, pid: int | None = None) -> None:
        """The run has its process and is ready."""
        run = self.run_of(name)
        self.report(Spawned(name, run, pid or 1000 + run))
        self.report(Ready(name, run))

    def end(self, name: str, code: int | None = 0, signal: int | None = None, reason: str = "") -> None:
        """Nothing of the run is left."""
        run = self.run_of(name)
        self.report(Exited(name, run, Exit(run, code if signal is None else None, signal, reason)))

    def write(self, name: str, *lines: str, stream: str = "out", end: str = "\n") -> None:
        writer = self.logs.open_stream(name, stream, self.run_of(name))
        for line in lines:
            writer.append((line + end).encode())
