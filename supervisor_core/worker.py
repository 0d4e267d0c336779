"""The handle of one worker: what the user wants of it, and words to read and order it by.

It holds no state of its own: `status` is the machine's, and every order goes through the supervisor. All of it may be
used from any thread. Known wart: a handle whose name was taken over by another one stands for a worker that has ended.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from .errors import Refused, WorkerError
from .flag import Flag
from .messages import Start, Stop
from .model import (
    REST,
    OnGiveUp,
    Phase,
    Requirement,
    RestartPolicy,
    RestartWhen,
    Status,
    StopPolicy,
    WorkerSpec,
)

if TYPE_CHECKING:
    from .process import Process
    from .supervisor import Supervisor

Work = Callable[["Process"], Awaitable[Any] | Any]
"""A coroutine function, or a plain one, which runs in a thread of its own."""


class Worker:
    """Something to run and the policy for it; times in seconds.

    `requires` names what must be ready before (a `Requirement` says more). `retry` starts it again after an error,
    with a delay that doubles from the first to the second value of `backoff` and falls back after `stable_after`
    of being up. Without `retry` an error is the end of it, and of the supervisor unless `on_give_up` is "fail".
    From its own signal a worker has `stop_timeout` to leave; then it is cancelled.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        requires: Iterable[str | Requirement] = (),
        retry: bool = False,
        *,
        stop_timeout: float = 10.0,
        kill_timeout: float = 2.0,
        start_timeout: float | None = None,
        backoff: tuple[float, float] = (0.1, 3.0),
        stable_after: float = 10.0,
        on_give_up: str = "shutdown",
    ) -> None:
        self.name = name
        self.work = work
        self.requires = (requires,) if isinstance(requires, str) else tuple(requires)
        self.retry = retry
        self.stop_timeout = stop_timeout
        self.kill_timeout = kill_timeout
        self.start_timeout = start_timeout
        self.backoff = backoff
        self.stable_after = stable_after
        self.on_give_up = OnGiveUp(on_give_up)
        self._supervisor: Supervisor | None = None
        self._error: WorkerError | None = None
        self._last: Status | None = None
        self._stuck_run = 0
        self._gone = False
        self._ended: Flag | None = None

    @classmethod
    def of(cls, spec: WorkerSpec, supervisor: "Supervisor") -> "Worker":
        """The handle of a program of the config file."""
        worker = cls(spec.name, _no_work, spec.requires)
        worker._supervisor = supervisor
        return worker

    @property
    def spec(self) -> WorkerSpec:
        """What the attributes ask for, as the machine wants it."""
        first, largest = self.backoff
        return WorkerSpec(
            name=self.name,
            requires=tuple(Requirement(r) if isinstance(r, str) else r for r in self.requires),
            restart=RestartPolicy(
                restart=RestartWhen.ON_FAILURE if self.retry else RestartWhen.NEVER,
                backoff_initial=first,
                backoff_max=largest,
                stable_after=self.stable_after,
                on_give_up=self.on_give_up,
            ),
            stop=StopPolicy((("TERM", self.stop_timeout),), self.kill_timeout),
            start_timeout=self.start_timeout,
            origin="library",
        )

    @property
    def status(self) -> Status | None:
        """All that is known about it now; None before it was given to a supervisor."""
        return self._last

    @property
    def error(self) -> WorkerError | None:
        """What its last run failed with; None while it may still be tried and after a normal end."""
        return self._error

    @property
    def ended(self) -> bool:
        """Whether it is at rest, or removed, or so stuck that nobody waits for it any more."""
        return self._gone or (self._last is not None and (self._last.state in REST or self._last.stuck))

    def shutdown(self) -> None:
        """Asks this worker alone to leave; held until no running worker requires it."""
        supervisor = self._owner()
        with supervisor.lock:
            if not self.ended:
                supervisor.tell(Stop(self.name, by="library"))

    def restart(self) -> None:
        """Starts an ended worker again; raises RuntimeError for any other; does nothing once a shutdown began."""
        supervisor = self._owner()
        with supervisor.lock:
            if supervisor.phase in (Phase.LEAVING, Phase.OVER):
                return
            if not supervisor.owns(self):
                raise RuntimeError(f"{self.name}: cannot restart it, another worker has taken its name")
            if self._last is None or self._last.state not in REST:
                raise RuntimeError(f"{self.name}: cannot restart a worker that has not ended; wait for it first")
            try:
                supervisor.tell(Start(self.name, by="library"))
            except Refused as refusal:
                raise RuntimeError(str(refusal)) from None

    async def wait(self) -> None:
        """Returns when it has ended; at once when it has already."""
        with self._owner().lock:
            if self.ended:
                return
            if self._ended is None:
                self._ended = Flag()
            flag = self._ended
        await flag.wait()

    def _owner(self) -> "Supervisor":
        if self._supervisor is None:
            raise RuntimeError(f"{self.name}: not supervised yet; give it to Supervisor.supervise() first")
        return self._supervisor

    def _take(self, status: Status) -> None:
        """Takes the newest status; the supervisor calls it under its lock."""
        self._last = status
        if self.ended and self._ended is not None:
            self._ended.set()
            self._ended = None

    def _removed(self) -> None:
        self._gone = True
        if self._supervisor is not None:
            self._supervisor.aside.findings.forget(self.name)
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def __repr__(self) -> str:
        return f"<Worker {self.name}>" if self._last is None else repr(self._last)


def _no_work(process: "Process") -> None:
    raise AssertionError(f"{process.worker.name} is a program; the shell makes its work from the spec")
