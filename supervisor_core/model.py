"""The nouns: what the user wants (`WorkerSpec`) and what is (`Status`).

Frozen dataclasses only. They are replaced, never changed, so any thread may read any of them. No behaviour lives
here beyond what follows from the fields alone; decisions are in `policy.py`, `graph.py` and `machine.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .declared import MIB as MIB
from .declared import Free as Free
from .declared import Hooks as Hooks
from .declared import LogPolicy as LogPolicy
from .declared import Missed as Missed
from .declared import Overlap as Overlap
from .declared import Probe as Probe
from .declared import Program as Program
from .declared import Schedule as Schedule
from .requirement import SLOT as SLOT
from .requirement import Blocker as Blocker
from .requirement import Condition as Condition
from .requirement import Follow as Follow
from .requirement import Pool as Pool
from .requirement import Requirement as Requirement

EMPTY: Mapping[str, str] = {}


class State(StrEnum):
    """Where a worker is in its life. `ready` and `health` are fields of their own."""

    BLOCKED = "blocked"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    KILLING = "killing"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"


LIVE = frozenset({State.STARTING, State.RUNNING, State.STOPPING, State.KILLING})
"""The states in which a run exists."""

REST = frozenset({State.STOPPED, State.DONE, State.FAILED})
"""The states that no timer leaves: only an order does."""


class Phase(StrEnum):
    """The life of a supervisor."""

    IDLE = "idle"
    RUNNING = "running"
    LEAVING = "leaving"
    OVER = "over"


class Health(StrEnum):
    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class RestartWhen(StrEnum):
    """After which ends a worker is started again."""

    ALWAYS = "always"
    ON_FAILURE = "on_failure"
    NEVER = "never"


class OnGiveUp(StrEnum):
    """What happens when no further try is allowed: this worker fails, all leave, or the tries begin anew later."""

    FAIL = "fail"
    SHUTDOWN = "shutdown"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When and how often a worker is tried again. Times in seconds.

    The delay before try n is `backoff_initial * backoff_factor ** (n - 1)`, at most `backoff_max`, spread by
    plus or minus `jitter` (a fraction). `max_restarts` tries within `window`; 0 means without limit.
    Being up for `stable_after` clears the count. With `OnGiveUp.RETRY` the tries begin anew after `retry_every`, spread
    like the other delays.
    """

    restart: RestartWhen = RestartWhen.NEVER
    success_exit_codes: frozenset[int] = frozenset({0})
    backoff_initial: float = 0.1
    backoff_max: float = 3.0
    backoff_factor: float = 2.0
    jitter: float = 0.0
    max_restarts: int = 0
    window: float = 600.0
    stable_after: float = 10.0
    on_give_up: OnGiveUp = OnGiveUp.SHUTDOWN
    retry_every: float = 600.0


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """How a run is ended: signals in order, each with the seconds it is given; then KILL to the whole tree.

    `kill_timeout` is the time after which a killed run counts as stuck (at the second time).
    `after` are the seconds that are given to what tidies up when nothing of it is left.
    A coroutine has no signals: the first step asks it to leave, the last one cancels it.
    """

    steps: tuple[tuple[str, float], ...] = (("TERM", 10.0),)
    kill_timeout: float = 2.0
    after: float = 0.0

    @property
    def timeout(self) -> float:
        """Seconds from the request to the kill."""
        return sum(seconds for _, seconds in self.steps) + self.after


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What the user wants of one worker.

    `ready_probe`: the work says by itself when it is ready, so mere survival never counts as ready.
    `one_shot`: an order to start it is answered when it is done, not when it is ready.
    `ready` and `alive` are how the shell sees that it is, `hooks` what it runs beside it; the machine reads none.
    `patterns` are the regular expressions that dependents wait for in its output. `memory_warn`: bytes of its whole
    tree from which on it is told of.
    `pool`: it runs only with a slot of that pool, whose number takes the place of `{slot}` in its program.
    `groups` are the `[group.NAME]`s that it is in. `source` is where it was written, as `file:line`.
    """

    name: str
    requires: tuple[Requirement, ...] = ()
    restart: RestartPolicy = RestartPolicy()
    stop: StopPolicy = StopPolicy()
    start_timeout: float | None = None
    ready_probe: bool = False
    autostart: bool = True
    essential: bool = False
    daemon: bool = False
    one_shot: bool = False
    program: Program | None = None
    ready: Probe | None = None
    alive: Probe | None = None
    hooks: Hooks = field(default_factory=Hooks)
    patterns: tuple[str, ...] = ()
    pool: Pool | None = None
    memory_warn: int | None = None
    logs: LogPolicy = field(default_factory=LogPolicy)
    schedule: Schedule | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    description: str = ""
    origin: str = "config"
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Exit:
    """How one run ended. `code` and `signal` are both None when it never started or when nobody could know.

    `reason` is one sentence for a person. `permanent` means that another try cannot help (a missing program).
    `at` is in seconds since the epoch. `by` names who ended it: a person, `policy`, `dependency`, or "" for itself.
    """

    run: int
    code: int | None = None
    signal: int | None = None
    reason: str = ""
    at: float = 0.0
    by: str = ""
    permanent: bool = False

    @property
    def status(self) -> int:
        """The exit status that a shell would give; 1 where nobody could know."""
        if self.signal is not None:
            return 128 + self.signal
        return 1 if self.code is None else self.code


@dataclass(frozen=True, slots=True)
class Status:
    """All that is known about one worker after one change. Times in seconds since the epoch (`clock.py`).

    `wanted` is what was asked for, `state` what is. At most one `deadline` exists at any time. `restarting` is the
    id of the operation that will be answered by the next run. `stuck`: killed twice and still there.
    `leader_gone` is the number of descendants left when the main process went first, else None. `outdated`: the live
    run was started with an older config, of which the next launch will know nothing.

    `failures` are those in a row, `tries` those that count against the limit of the restart policy; `gave_up`: they
    were too many, and it is in a long back-off. `enabled`: it may be started. `stopped_by`: who has it not wanted.
    `matched` are the patterns that a line of the live run has matched. `slot` is its number in the pool `holds`, and
    `wanted_since` the place in the line of a pool.
    """

    spec: WorkerSpec
    state: State = State.STOPPED
    wanted: bool = False
    ready: bool = False
    health: Health = Health.UNKNOWN
    run: int = 0
    pid: int | None = None
    since: float = 0.0
    deadline: float | None = None
    blocked_on: tuple[Blocker, ...] = ()
    waiting_for: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    failures: int = 0
    restarts: int = 0
    last_exit: Exit | None = None
    restarting: str | None = None
    blame: str | None = None
    stuck: bool = False
    removing: bool = False
    cycling: bool = False
    leader_gone: int | None = None
    outdated: bool = False
    tries: int = 0
    gave_up: bool = False
    enabled: bool = True
    stopped_by: str = ""
    matched: tuple[str, ...] = ()
    slot: int | None = None
    holds: str = ""
    wanted_since: float | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def blocked_for_good(self) -> bool:
        """Whether it waits for something that nothing under way will bring."""
        return self.state is State.BLOCKED and any(reason.for_good for reason in self.blocked_on)

    def __repr__(self) -> str:
        """One readable line; tests and logs use it."""
        words = [f"{self.name}: {self.state}"]
        if self.run:
            words.append(f"run {self.run}")
        if self.pid is not None:
            words.append(f"pid {self.pid}")
        flags = ("ready", "stuck", "removing", "cycling", "outdated", "gave_up")
        words += [name for name in flags if getattr(self, name)]
        if not self.enabled:
            words.append("disabled")
        if self.slot is not None:
            words.append(f"slot {self.slot}")
        if not self.wanted:
            words.append("not wanted")
        if self.failures:
            words.append(f"failures {self.failures}")
        if self.blocked_on:
            words.append("waits for " + ", ".join(f"{b.worker} ({b.why})" for b in self.blocked_on))
        if self.waiting_for:
            words.append("held by " + ", ".join(self.waiting_for))
        return f"<{' · '.join(words)}>"


def verdict(statuses: Iterable[Status]) -> int | None:
    """The exit status of the whole, which an essential worker's end is; None where none has come to its end."""
    for status in statuses:
        if status.spec.essential and status.state in (State.DONE, State.FAILED) and status.last_exit is not None:
            return status.last_exit.status
    return None
