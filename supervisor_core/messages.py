"""The whole vocabulary on one page: orders in, reports in, actions out, events out.

Orders are imperative, reports and events are in the past. Every order says who asked (`by`); every report carries
the run it speaks of, and one about a run that is not the live one is dropped.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .model import Exit, Phase, Status, WorkerSpec

if TYPE_CHECKING:
    from .notes import Remembered

# ---------------------------------------------------------------- orders: asker -> core


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`operation` is the id under which the asker will ask for the outcome; "" when nobody will."""

    by: str = "system"
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Begin(Order):
    """`run()` was called: launching is allowed from now on."""


@dataclass(frozen=True, slots=True)
class Add(Order):
    """A new worker, or a new spec for a known one (which rules once its live run has ended).

    `remembered` is what an earlier supervisor noted of it: the worker goes on from there. Only for a new one.
    """

    spec: WorkerSpec
    remembered: "Remembered | None" = None


@dataclass(frozen=True, slots=True)
class Remove(Order):
    name: str


@dataclass(frozen=True, slots=True)
class Start(Order):
    name: str
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Stop(Order):
    name: str
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Restart(Order):
    name: str
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Kill(Order):
    name: str


@dataclass(frozen=True, slots=True)
class Enable(Order):
    """It may be started again; nothing is started by this."""

    name: str


@dataclass(frozen=True, slots=True)
class Disable(Order):
    """Nothing starts it any more until it is enabled. A run goes on to its end; what only waits is stopped."""

    name: str


@dataclass(frozen=True, slots=True)
class Signal(Order):
    """`signal` is a name without SIG, e.g. "HUP". To the leader, or to every process of the tree."""

    name: str
    signal: str
    tree: bool = False


@dataclass(frozen=True, slots=True)
class Apply(Order):
    """Make the workers of one origin be exactly `specs`, changing only what differs."""

    specs: tuple[WorkerSpec, ...]
    origin: str = "config"


@dataclass(frozen=True, slots=True)
class Shutdown(Order):
    """Leave in order; `now` (the second signal) kills every live run at once."""

    now: bool = False


# ---------------------------------------------------------------- reports: work -> core


@dataclass(frozen=True, slots=True)
class Report:
    name: str
    run: int


@dataclass(frozen=True, slots=True)
class Spawned(Report):
    pid: int


@dataclass(frozen=True, slots=True)
class Ready(Report):
    pass


@dataclass(frozen=True, slots=True)
class Unready(Report):
    pass


@dataclass(frozen=True, slots=True)
class Healthy(Report):
    pass


@dataclass(frozen=True, slots=True)
class Unhealthy(Report):
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Matched(Report):
    """A line that a `{ log = "regex" }` requirement waits for was written."""

    pattern: str


@dataclass(frozen=True, slots=True)
class LeaderExited(Report):
    """The main process ended while `left` descendants live on; told again when they were counted anew."""

    exit: Exit
    left: int = 1


@dataclass(frozen=True, slots=True)
class Exited(Report):
    """Nothing of the run is left. `exit` is the main process's own end."""

    exit: Exit


@dataclass(frozen=True, slots=True)
class NeverBegan(Report):
    """There is nothing to attach to: the run was decided, and whoever was to begin it was gone before."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The earliest deadline has come."""


# ---------------------------------------------------------------- actions: core -> shell


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    run: int


@dataclass(frozen=True, slots=True)
class Launch(Action):
    """`spec` is what to run, with the number of its slot in the place of `{slot}`."""

    spec: WorkerSpec


@dataclass(frozen=True, slots=True)
class Attach(Action):
    """Take over the run of an earlier supervisor, alive or ended meanwhile; `spec` rules it from now on."""

    spec: WorkerSpec


@dataclass(frozen=True, slots=True)
class Interrupt(Action):
    """Ask the run to leave (a program gets the first signal of its stop policy)."""


@dataclass(frozen=True, slots=True)
class KillRun(Action):
    """End the whole tree of the run; repeated while it is still there."""


@dataclass(frozen=True, slots=True)
class SendSignal(Action):
    signal: str
    tree: bool = False


@dataclass(frozen=True, slots=True)
class Watch(Action):
    """Look for more patterns in what the run has written and will write; some may be looked for already."""

    patterns: tuple[str, ...]


# ---------------------------------------------------------------- events: core -> world


@dataclass(frozen=True, slots=True)
class Changed:
    """One worker as it is now, why it changed (in order), and who asked ("" for nobody)."""

    status: Status
    causes: tuple[str, ...] = ()
    by: str = ""

    def __repr__(self) -> str:
        tail = f" by {self.by}" if self.by else ""
        return f"{self.status!r} [{', '.join(self.causes)}]{tail}"


@dataclass(frozen=True, slots=True)
class Removed:
    name: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    phase: Phase
    by: str = ""


Event = Changed | Removed | PhaseChanged
Input = Order | Report | Tick


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one input led to. `operation` is the id to wait for: the order's own, or the one that it joined.

    `touched` are the workers whose notes may have changed, also without an event.
    """

    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    operation: str = ""
    touched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the asker of an order gets: the operation to wait for and the journal's position after the order."""

    operation: str = ""
    seq: int = 0
    notes: tuple[str, ...] = field(default=())
