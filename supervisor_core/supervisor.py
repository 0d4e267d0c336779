"""The shell around the machine: orders and reports in, actions performed, time and errors kept.

`tell` decides in the caller's thread under one lock; what follows from it hops to the loop (`launcher.py`). No
decision about a worker is made here, and the machine is reached from nowhere else. Installs no signal handlers.

Known wart: a work that never lets go of the loop stops everything that is in this loop.
"""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .aside import Aside
from .clock import Clock
from .context import Context
from .errors import NothingToAttachTo, Refused, WorkerError
from .flag import Flag
from .journal import Journal
from .launcher import Launcher
from .logs import LogSink
from .machine import Machine
from .messages import (
    Add,
    Begin,
    Changed,
    Event,
    Input,
    Order,
    Outcome,
    PhaseChanged,
    Receipt,
    Removed,
    Report,
    Shutdown,
    Tick,
)
from .model import REST, Exit, Phase, State, Status, WorkerSpec
from .narrator import Logger, Narrator, words_of
from .nursery import Nursery
from .plan import Plan
from .recollection import Recollection
from .runs import Run, report_of
from .worker import Work, Worker

if TYPE_CHECKING:
    from .children import Spawner

KEPT_ERRORS = 1000  # a service that runs for years keeps the last ones


class Supervisor:
    """Runs workers until each of them is at rest, or with `stay` until it is told to leave.

    Cancelling `context` is the hard shutdown. `logger(context, format, *args)` gets every line (default: the standard
    logger `supervisor_core`). `spawner` owns processes; without one a local one is made when first needed. `logs`
    gets the lines of `p.log` and the supervisor's own, too. All methods but `run` may be called from any thread.
    """

    def __init__(
        self,
        context: Context | None = None,
        *,
        logger: Logger | None = None,
        stay: bool = False,
        spawner: "Spawner | None" = None,
        logs: LogSink | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.context = Context() if context is None else context
        self.clock = Clock() if clock is None else clock
        self.logs = logs
        self.lock = threading.RLock()
        self.journal = Journal(int(self.clock.now() * 1000), self.clock.now)
        self._machine = Machine(stay=stay, jitter=lambda: random.uniform(-1.0, 1.0))  # noqa: S311
        self.narrator = Narrator(self, logger)
        self.nursery = Nursery(self)
        self.aside = Aside(self)
        self._launcher = Launcher(self)
        self._spawner, self._owns_spawner = spawner, spawner is None
        self._workers: dict[str, Worker] = {}
        self._errors: deque[WorkerError] = deque(maxlen=KEPT_ERRORS)
        self._recollection = Recollection(self._machine)
        self._ending: tuple[Exit, BaseException | None] | None = None
        self._began = False
        self._over = Flag()

    @property
    def logger(self) -> Logger:
        return self.narrator.logger

    @logger.setter
    def logger(self, logger: Logger) -> None:
        self.narrator.logger = logger

    @property
    def phase(self) -> Phase:
        return self._machine.phase

    @property
    def spawner(self) -> "Spawner":
        """Owns the processes of this supervisor."""
        if self._spawner is None:
            from .children.local import LocalSpawner  # here because most embedding programs run no processes

            self._spawner = LocalSpawner(self.logs)
        return self._spawner

    def get(self, name: str) -> Worker | None:
        """The worker of that name, also one that has ended; None when there is none."""
        return self._workers.get(name)

    def owns(self, worker: Worker) -> bool:
        """Whether this handle is the one that its name stands for."""
        return self._workers.get(worker.name) is worker

    def status(self, name: str) -> Status | None:
        return self._machine.statuses.get(name)

    def plan(self, specs: Iterable[WorkerSpec]) -> Plan:
        """What an `Apply` of these specs would do now."""
        with self.lock:
            return self._machine.plan(specs)

    # ------------------------------------------------------------ what one may order

    def tell(self, order: Order) -> Receipt:
        """Gives an order. Raises `Refused` with the reason; then nothing changed."""
        with self.lock:
            return Receipt(self._decide(order).operation, self.journal.cursor.seq)

    def report(self, report: Report) -> None:
        """Takes a fact about a run; one about a run that is not the live one is dropped."""
        with self.lock:
            self._decide(report)

    def supervise(self, worker: Worker) -> Worker:
        """Adds a worker, before or while running. Raises ValueError for a name in use and for a circle."""
        with self.lock:
            if self._machine.in_use(worker.name):
                raise ValueError(f"worker already exists: {worker.name}")
            if worker._supervisor not in (None, self):
                raise ValueError(f"{worker.name}: belongs to another supervisor")
            before = self._workers.get(worker.name)
            self._workers[worker.name] = worker
            try:
                self.tell(Add(worker.spec, by="library"))
            except Refused as refusal:
                if before is None:
                    del self._workers[worker.name]
                else:
                    self._workers[worker.name] = before
                raise ValueError(str(refusal)) from None
            worker._supervisor, worker._gone = self, False
        return worker

    def adopt(self, specs: Iterable[WorkerSpec], *, fresh: bool = False, left: bool = False) -> None:
        """Adds workers before `run`, each from where an earlier supervisor left it (see `recollection.py`)."""
        with self.lock:
            self._recollection.adopt(self, specs, fresh=fresh, left=left)

    def supervise_child(self, parent: str, work: Work) -> Worker:
        """Adds a worker named `PARENT[N]`, N counted per parent; see `Process.go`."""
        with self.lock:
            return self.nursery.add(parent, work)

    def shutdown(self) -> None:
        """Leaves in order: a worker is signalled when no running worker requires it. More than once does nothing."""
        self.tell(Shutdown(by="library"))

    def log(self, name: str, text: str, run: int = 0) -> None:
        """Logs `NAME: text` at once, in the caller's thread."""
        self.narrator.write(name, run, text)

    # ------------------------------------------------------------ the life

    async def run(self) -> list[WorkerError]:
        """Returns the errors in the order in which they happened, when every worker is at rest or stuck.

        Cancelling it cancels the context, waits all the same, and then re-raises.
        """
        with self.lock:
            if self._began:
                raise RuntimeError("run() was called before; make a new Supervisor for another run")
            self._began = True
            self._launcher.enter()
            self.tell(Begin(by="library"))
        forget = self.context.on_cancel(self.shutdown)
        try:
            await self._until_over()
        finally:
            forget()
            self._leave_loop()
            await self.aside.aclose(self._spawner if self._owns_spawner else None)
        with self.lock:
            return list(self._errors)

    async def launched(self) -> None:
        """Returns when every launch that was decided so far has begun: an embedding program's own start may wait."""
        await self._launcher.performed()

    async def _until_over(self) -> None:
        cancelled: asyncio.CancelledError | None = None
        while not self._over.is_set:
            try:
                await self._over.wait()
            except asyncio.CancelledError as error:
                cancelled = error
                self.context.cancel()
        if cancelled is not None:
            raise cancelled

    def _leave_loop(self) -> None:
        with self.lock:
            self.journal.close()
            self._launcher.leave()
        self.narrator.flush()

    # ------------------------------------------------------------ deciding: any thread, under the lock

    def _decide(self, given: Input) -> Outcome:
        now = self.clock.now()
        outcome = self._machine.handle(given, now)
        self._recollection.take(outcome.touched)
        for event in outcome.events:
            self._take(event, now)
        if outcome.events or outcome.actions:
            self._launcher.enqueue(outcome.actions)
        if self._machine.phase is Phase.OVER:
            self._over.set()
        return outcome

    def _take(self, event: Event, now: float) -> None:
        self.journal.append(event, now)
        match event:
            case Changed(status=status):
                worker = self.worker(status.spec)
                if status.state is State.STARTING:
                    worker._error = None
                elif status.stuck and worker._stuck_run != status.run:
                    worker._stuck_run = status.run
                    self._record(worker, "did not stop", None)
                    self.narrator.keep(status.name, status.run, "ERROR: did not stop")
                elif status.state is State.FAILED and self._ending is not None and worker._stuck_run != status.run:
                    self._record(worker, words_of(self._ending[0]), self._ending[1])
                if status.state in REST:
                    self.nursery.ended(status.name)
                self.narrator.changed(event, now)
                worker._take(status)
            case PhaseChanged(phase=Phase.RUNNING):  # those that are blocked were so before, without an event now
                for status in self._machine.statuses.values():
                    if status.state is State.BLOCKED:
                        self.narrator.blocked(status, now)
            case Removed(name=name):
                self.nursery.removed(name)
                if name in self._workers:
                    self._workers.pop(name)._removed()

    def _record(self, worker: Worker, message: str, cause: BaseException | None) -> None:
        error = WorkerError(worker, message)
        error.__cause__ = cause
        worker._error = error
        self._errors.append(error)

    # ------------------------------------------------------------ the other side of the launcher

    def worker(self, spec: WorkerSpec) -> Worker:
        """The handle of a worker; a program of the config file gets one when it is first seen."""
        worker = self._workers.get(spec.name)
        if worker is None:
            worker = self._workers[spec.name] = Worker.of(spec, self)
        return worker

    def run_over(self, run: Run, exit: Exit, error: BaseException | None) -> None:
        """Takes the end of a run, from the loop or from the thread of a plain function."""
        with self.lock:
            self._launcher.forget(run)
            self._ending = (exit, error)
            self._decide(report_of(run, exit, error))
            self._ending = None
            status = self.status(run.name)
            if not isinstance(error, NothingToAttachTo):
                self.narrator.ended(run.name, exit, error, status)
        self.narrator.flush()

    def next_due(self) -> float | None:
        """When something is due next, in seconds since the epoch."""
        dues = (self._machine.next_deadline(), self.narrator.next_due())
        return min((due for due in dues if due is not None), default=None)

    def time_has_come(self) -> None:
        """Lets the machine act on what is due by now."""
        with self.lock:
            now = self.clock.now()
            deadline = self._machine.next_deadline()
            if deadline is not None and deadline <= now:
                self._decide(Tick())
            self.narrator.late(now)
