"""What follows from decisions, in the loop: actions performed a slice at a time, and one timer for what is due.

`enqueue` is called under the supervisor's lock from any thread and only takes note; everything else happens in a turn
of the loop. Nothing runs unless something happened or is due.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .errors import CannotStart
from .flag import post
from .messages import Action, Attach, Interrupt, KillRun, Launch, SendSignal, Watch
from .model import WorkerSpec
from .process import Process
from .runs import Run, exit_of
from .worker import Work

if TYPE_CHECKING:
    from .supervisor import Supervisor

SLICE = 32
"""Actions performed in one turn, so that a thousand launches do not hold the loop."""


LATE = 0.3
"""Seconds after which a timer that is due says that this process did not run: it was stopped, or its host asleep."""

GRACE = 0.25
"""Seconds in which ends and readiness of that time are heard before anybody is told off for being late."""


class Launcher:
    def __init__(self, supervisor: "Supervisor") -> None:
        self._supervisor = supervisor
        self._lock = supervisor.lock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._variables = contextvars.Context()
        self._actions: deque[Action] = deque()
        self._runs: dict[str, Run] = {}
        self._turning = False
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._left = False
        self._excused = False

    def enter(self) -> None:
        """Belongs to the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._variables = contextvars.copy_context()

    def leave(self) -> None:
        """Lets no timer fire any more."""
        self._left = True
        self._arm()

    async def performed(self) -> None:
        """Returns when all that was decided so far has begun, in as many turns of the loop as that takes."""
        while self._actions or self._turning:  # noqa: ASYNC110 - each turn does some of it
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # the works of the last turn take their first steps

    def enqueue(self, actions: Iterable[Action]) -> None:
        """Takes actions and sees to it that a turn comes, also without any: the timer may have to move."""
        self._actions.extend(actions)
        if self._loop is not None and not self._turning:
            self._turning = True
            post(self._loop, self._turn)

    def forget(self, run: Run) -> None:
        """Takes note that a run has ended."""
        if self._runs.get(run.name) is run:
            del self._runs[run.name]

    def _turn(self) -> None:
        with self._lock:
            self._turning = False
            for _ in range(min(SLICE, len(self._actions))):
                self._perform(self._actions.popleft())
        self._supervisor.narrator.flush()
        self._supervisor.nursery.prune()
        with self._lock:
            if self._actions:
                self.enqueue(())
            self._arm()

    def _perform(self, action: Action) -> None:
        if isinstance(action, Launch | Attach):
            self._begin(action)
            return
        run = self._runs.get(action.name)
        if run is None or run.number != action.run:
            return  # it has ended meanwhile
        self._supervisor.narrator.acting(action)
        match action:
            case Interrupt():
                run.interrupt()
            case KillRun():
                run.kill()
            case SendSignal(signal=signal, tree=tree):
                run.signal(signal, tree)
            case Watch(patterns=patterns):
                run.process._watch(patterns)

    def _begin(self, action: Launch | Attach) -> None:
        assert self._loop is not None
        attached = isinstance(action, Attach)
        process = Process(self._supervisor, self._supervisor.worker(action.spec), action.run)
        run = self._runs[action.name] = Run(process, self._supervisor.run_over)
        try:
            run.start(self._work(action.spec, process, attached), self._loop, self._variables, attached=attached)
        except Exception as error:  # no thread to be had, or no spawner
            refusal = CannotStart(f"cannot start it: {error}", permanent=False)
            self._supervisor.run_over(run, exit_of(action.run, None, refusal), refusal)

    def _work(self, spec: WorkerSpec, process: Process, attached: bool) -> Work:
        if spec.program is None:
            return process.worker.work
        spawner = self._supervisor.spawner
        if attached:
            from .program import going_on  # here because most embedding programs run no processes

            return going_on(spec, spawner)
        from .program import program

        return program(spec, spawner)

    def _arm(self) -> None:
        due = None if self._left else self._supervisor.next_due()
        if due == self._due or self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = due, None
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - self._supervisor.clock.now()), self._ring)

    def _ring(self) -> None:
        """Time has come, unless we did not run for a while: then what happened meanwhile is heard first, once."""
        assert self._loop is not None
        late = self._due is not None and self._supervisor.clock.now() - self._due > LATE
        if late and not self._excused:
            self._excused = True
            self._timer = self._loop.call_later(GRACE, self._ring)
            return
        self._excused = False
        self._due = self._timer = None
        self._supervisor.time_has_come()
        self._turn()
