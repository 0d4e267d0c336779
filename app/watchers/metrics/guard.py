"""Holds workers to `limits.memory` where no control group does, and says when one is above `limits.memory_warn`.

It follows the journal and knows which live runs have such a threshold; `watch.py` samples those every second. Above the
limit in two samples in a row the run is reported as unhealthy, with the figure; what becomes of it then the machine
decides, as after any failed check. A sum of RSS counts what processes share many times: so before anything is said,
the exact sum is taken. Gives no orders.

Known wart: between two samples a worker may take all the memory that there is; only a control group prevents that.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from supervisor_core.children.limits import UNLIMITED
from supervisor_core.journal import Cursor, Gap
from supervisor_core.messages import Changed, Removed, Report, Unhealthy
from supervisor_core.model import LIVE, State, Status

from ...host import Host
from ..conditions import Conditions
from . import MEMORY, Sample, words
from .sampler import Sampler

TIMES = 2
"""Samples in a row above the limit until the run is ended."""

CALM = 0.9
"""The part of the threshold below which a warning is over."""

HIGH = "worker-memory-high"
"""The name of the condition."""

FEW = 3


@dataclass(slots=True)
class _Watched:
    """A live run with its thresholds in bytes, and what was seen of it. `limit` is None where the kernel keeps it."""

    run: int
    pid: int
    limit: float | None
    warn: float | None
    above: int = 0
    told: bool = False
    warned: float = 0.0


class Guard:
    """The thresholds of one host. `report` takes facts about runs, `say` writes (worker, text, run) into a log.

    `kept` says whether the kernel keeps a limit for a process, given its pid and the limit.
    """

    def __init__(
        self,
        host: Host,
        conditions: Conditions,
        report: Callable[[Report], None],
        say: Callable[[str, str, int], None],
        kept: Callable[[int, float], bool],
    ) -> None:
        self._host = host
        self._conditions = conditions
        self._report = report
        self._say = say
        self._kept = kept
        self._watched: dict[str, _Watched] = {}
        self._begin: Callable[[], None] = _nothing

    def listen(self, begin: Callable[[], None]) -> None:
        """Calls `begin` when there is something to sample."""
        self._begin = begin

    def workers(self) -> Collection[str]:
        """Those whose memory is to be known."""
        return self._watched.keys()

    async def run(self) -> None:
        """Follows the journal until it ends."""
        cursor = self._all()
        async for batch in self._host.follow(cursor):
            if isinstance(batch, Gap):
                self._all()
                continue
            for entry in batch:
                match entry.event:
                    case Changed(status=status):
                        self._see(status)
                    case Removed(name=name):
                        self._watched.pop(name, None)
            self._tell()

    async def judge(self, sample: Sample, sampler: Sampler) -> None:
        """Compares what was measured with the thresholds."""
        for name, watched in list(self._watched.items()):
            row = sample.rows.get(name)
            if row is None or row.run != watched.run or (memory := row.values[MEMORY]) is None:
                watched.above = 0
                continue
            lowest = min(bar for bar in (watched.limit, watched.warn) if bar is not None)
            if memory > lowest:
                exact = await sampler.weigh(name)
                memory = memory if exact is None else min(exact, memory)
            if self._watched.get(name) is watched:
                self._warn(name, watched, memory)
                self._limit(name, watched, memory)
        self._tell()

    # ------------------------------------------------------------ inside

    def _all(self) -> Cursor:
        snapshot = self._host.snapshot()
        self._watched = {name: one for name, one in self._watched.items() if name in snapshot.workers}
        for entry in snapshot.workers.values():
            if isinstance(entry.event, Changed):
                self._see(entry.event.status)
        return snapshot.cursor

    def _see(self, status: Status) -> None:
        name, spec = status.name, status.spec
        limit = spec.program.limits.get("memory", UNLIMITED) if spec.program is not None else UNLIMITED
        if (limit == UNLIMITED and spec.memory_warn is None) or status.state not in LIVE or status.pid is None:
            self._watched.pop(name, None)
            return
        watched = self._watched.get(name)
        if watched is None or watched.run != status.run:
            held = limit == UNLIMITED or self._kept(status.pid, limit)
            watched = _Watched(status.run, status.pid, None if held else limit, spec.memory_warn)
        watched.warn = spec.memory_warn
        if status.state not in (State.STARTING, State.RUNNING):
            watched.told = True  # it is on its way out
        if watched.limit is None and watched.warn is None:
            self._watched.pop(name, None)
            return
        self._watched[name] = watched
        self._begin()

    def _limit(self, name: str, watched: _Watched, memory: float) -> None:
        if watched.limit is None:
            return
        watched.above = watched.above + 1 if memory > watched.limit else 0
        if watched.above >= TIMES and not watched.told:
            watched.told = True
            reason = f"memory: {words(memory)} of {words(watched.limit)}"
            self._say(name, f"{reason}, above limits.memory: this run is ended", watched.run)
            self._report(Unhealthy(name, watched.run, reason))

    def _warn(self, name: str, watched: _Watched, memory: float) -> None:
        if watched.warn is None or memory < watched.warn * CALM:
            if watched.warned:
                self._say(name, f"memory: {words(memory)}, no longer above limits.memory_warn", watched.run)
            watched.warned = 0.0
        elif memory > watched.warn and not watched.warned:
            watched.warned = memory
            text = f"memory: {words(memory)}, above limits.memory_warn ({words(watched.warn)})"
            self._say(name, text, watched.run)

    def _tell(self) -> None:
        high = {name: one for name, one in sorted(self._watched.items()) if one.warned}
        self._conditions.replace((HIGH,), {HIGH: _sentence(high)} if high else {})


def _sentence(high: Mapping[str, _Watched]) -> str:
    some = [f"{name} ({words(one.warned)} of {words(one.warn or 0)})" for name, one in list(high.items())[:FEW]]
    more = f" and {len(high) - FEW} more" if len(high) > FEW else ""
    verb = "is" if len(high) == 1 else "are"
    return (
        f"{', '.join(some)}{more} {verb} above limits.memory_warn; look what fills the memory, restart it when it "
        "suits you, or raise the threshold"
    )


def _nothing() -> None:
    pass
