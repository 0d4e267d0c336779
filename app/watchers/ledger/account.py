"""What becomes of the journal in the ledger: events turned into transitions, and into runs with a beginning and an end.

Pure: no clock, no file, no thread. An account knows the runs that have no end yet. It is thrown away and made anew
when what it counted could not be written.

Known warts: of a worker that is removed with its end no event says how it ended. Who is a person is told from a list of
those who are none, so a token named "policy" counts as a probe.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from supervisor_core.journal import Entry, Snapshot
from supervisor_core.messages import Changed, PhaseChanged, Removed
from supervisor_core.model import Exit, State, Status
from supervisor_core.policy import failed, words_of

CUT_OFF = "unknown: the service was cut off while it ran, and who came after it knows nothing of its end"
REPLACED = "unknown: another run was there when it was looked at next"
REMOVED = "it was removed as soon as it had ended; its log says how that was"
NEVER_BEGAN = "it was decided, and whoever was to begin it was gone before"

SERVICE = frozenset(
    {"system", "library", "SIGTERM", "SIGINT", "shutdown_timeout", "--exit-when-done", "a failed start"}
    | {"the web server's end"}
)
OWN_NAMES = ("dependency", "config", "schedule", "memory", "service")
"""Who ends a run and is no person gives the cause by the first word of its name."""

ENDS = frozenset({"finished", "crashed", "exhausted", "gone", "again"})
"""Causes with which a run is over."""

ENDING = frozenset({State.STOPPING, State.KILLING})

BAD = frozenset({"crash", "signal", "probe", "memory", "unknown"})
"""Causes after which the last lines are kept: they mostly say why."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `id` counts upwards over all workers; `ended` is None while it lives. Times in seconds since the epoch.

    `cause`: finished (by itself, normally), crash, signal, probe, memory, dependency, schedule, config, person,
    service, unknown; of one that lives, what is known before. `by` is who ended it, "" for itself. `lines` are its last
    ones, where its end was a bad one.
    """

    id: int
    worker: str
    run: int
    pid: int | None = None
    started: float | None = None
    ended: float | None = None
    code: int | None = None
    signal: int | None = None
    reason: str = ""
    cause: str = ""
    by: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """One event. `kind`: changed, removed, phase, or gap (whose `run` is how many are missing).

    `why`: how a run ended with it, in words.
    """

    seq: int
    time: float
    kind: str
    worker: str = ""
    state: str = ""
    run: int = 0
    pid: int | None = None
    wanted: bool = False
    ready: bool = False
    failures: int = 0
    causes: tuple[str, ...] = ()
    by: str = ""
    why: str = ""


@dataclass(slots=True)
class Account:
    """`open` are the runs without an end, by worker; `last` the newest run known of each worker.

    `transitions` and `runs` are what is to be written; the latter by id, so that begin and end are one row.
    """

    open: dict[str, RunRow]
    last: dict[str, int]
    next_id: int
    transitions: list[Transition] = field(default_factory=list)
    runs: dict[int, RunRow] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def take(self, entries: Iterable[Entry]) -> None:
        """Takes some entries, in order."""
        for entry in entries:
            event = entry.event
            match event:
                case Changed(status=status):
                    self._look(status, event.causes, entry.time, event.by)
                    self.transitions.append(
                        Transition(
                            entry.seq, entry.time, "changed", status.name, status.state, status.run, status.pid,
                            status.wanted, status.ready, status.failures, event.causes, event.by, why(event),
                        )
                    )  # fmt: skip
                case Removed(name=name, by=by):
                    self._seen.discard(name)
                    if name in self.open:
                        self._end(self.open[name], REMOVED, self.open[name].cause or "unknown", entry.time)
                    self.transitions.append(Transition(entry.seq, entry.time, "removed", name, by=by))
                case PhaseChanged(phase=phase, by=by):
                    self.transitions.append(Transition(entry.seq, entry.time, "phase", state=phase, by=by))

    def skip(self, now: Snapshot, missing: int, time: float) -> None:
        """Takes what is true as of a snapshot, in the place of entries that are not to be had."""
        for entry in now.workers.values():
            if isinstance(entry.event, Changed):
                self._look(entry.event.status, (), entry.time)
        self.transitions.append(Transition(now.cursor.seq, time, "gap", run=missing))

    def close_forgotten(self, now: Snapshot, time: float) -> None:
        """Ends the runs that an earlier life left open and that are no more, as of a snapshot that was just reached."""
        for name, row in list(self.open.items()):
            entry = now.workers.get(name)
            status = entry.event.status if entry is not None and isinstance(entry.event, Changed) else None
            if status is None or not status.live or status.run != row.run:
                self._end(row, CUT_OFF, "unknown", time)

    def keep_lines(self, id: int, lines: tuple[str, ...]) -> None:
        self.runs[id] = replace(self.runs[id], lines=lines)

    def bad_ends(self) -> list[RunRow]:
        """Those that are to be written and whose last lines are worth keeping."""
        return [row for row in self.runs.values() if row.cause in BAD]

    def written(self) -> None:
        """All of it is on the disk."""
        self.transitions, self.runs = [], {}

    # ------------------------------------------------------------ runs

    def _look(self, status: Status, causes: tuple[str, ...], time: float, by: str = "") -> None:
        """Begins and ends runs as a status shows."""
        name, row = status.name, self.open.get(status.name)
        if name not in self._seen:
            self._seen.add(name)
            self._catch_up(status, row)
        if row is not None and not _same(row, status):
            self._ended(row, status, causes, time)
            row = None
        if status.live:
            if row is None:
                started = status.since if "attached" in causes or not causes else time
                row = self._put(RunRow(self.next_id, name, status.run, status.pid, started))
                self.last[name] = status.run
            elif status.pid is not None and status.pid != row.pid:
                row = self._put(replace(row, pid=status.pid))
            if not row.cause and status.state in ENDING and by and "attached" not in causes:
                cause = "config" if _by_config(status, causes) else cause_of_author(by)
                row = self._put(replace(row, cause=cause, by=by))
            self.open[name] = row

    def _catch_up(self, status: Status, row: RunRow | None) -> None:
        """Of a run that came and went while nobody wrote there is the end that the keeper knows."""
        exit, known = status.last_exit, self.last.get(status.name, 0)
        if exit is not None and exit.run > known and (row is None or row.run != exit.run):
            self._put(_with(RunRow(self.next_id, status.name, exit.run), exit, cause_of(exit, status), exit.at))
            self.last[status.name] = exit.run

    def _ended(self, row: RunRow, status: Status, causes: tuple[str, ...], time: float) -> None:
        exit = status.last_exit
        if exit is not None and exit.run == row.run:
            self.open.pop(row.worker, None)
            cause = cause_of(exit, status, began=row.pid is not None)
            cause = "config" if row.cause == "config" and cause == "person" else cause
            self._put(_with(row, exit, cause, exit.at or time))
        elif not status.live and status.run == row.run and ("again" in causes or "gone" in causes):
            self._end(row, NEVER_BEGAN, "service", time)
        else:
            self._end(row, CUT_OFF if "added" in causes else REPLACED, "unknown", time)

    def _end(self, row: RunRow, reason: str, cause: str, time: float) -> None:
        self.open.pop(row.worker, None)
        self._put(replace(row, ended=time, reason=reason, cause=cause))

    def _put(self, row: RunRow) -> RunRow:
        self.runs[row.id] = row
        self.next_id = max(self.next_id, row.id + 1)
        return row


def _by_config(status: Status, causes: tuple[str, ...]) -> bool:
    """Whether a run that is being ended is so since another config rules: whoever applied that is no cause of it."""
    return "changed" in causes or (status.removing and status.spec.origin == "config")


def why(event: Changed) -> str:
    """How the run ended whose end an event tells, in words; "" when it tells of none."""
    ended = ENDS.intersection(event.causes)
    return words_of(event.status.last_exit) if ended and event.status.last_exit is not None else ""


def _same(row: RunRow, status: Status) -> bool:
    """Whether a status speaks of the run of a row, and it lives."""
    other = row.pid is not None and status.pid is not None and row.pid != status.pid
    return status.live and status.run == row.run and not other


def _with(row: RunRow, exit: Exit, cause: str, time: float) -> RunRow:
    reason = words_of(exit)
    if cause == "unknown" and not reason.startswith("unknown"):
        reason = f"unknown: {reason}"
    return replace(row, ended=time, code=exit.code, signal=exit.signal, reason=reason, cause=cause, by=exit.by)


def cause_of(exit: Exit, status: Status, *, began: bool = True) -> str:
    """Why a run ended, in one word of those that `RunRow` lists. `began`: it had a process."""
    by = exit.by
    if "out of memory" in exit.reason or (by == "policy" and exit.reason.startswith("memory: ")):
        return "memory"
    if by == "":
        if exit.signal is not None:
            return "signal"
        if exit.code is None:
            return "unknown" if began else "crash"
        return "crash" if failed(exit, status.spec.restart) else "finished"
    return cause_of_author(by)


def cause_of_author(by: str) -> str:
    """The cause of an end that somebody asked for."""
    if by == "policy":
        return "probe"
    first = by.split(":")[0].split(" ")[0]
    if first in OWN_NAMES:
        return first
    return "service" if by in SERVICE or by.startswith("worker ") else "person"


def open_of(rows: Iterable[RunRow]) -> Mapping[str, RunRow]:
    """The newest run without an end of each worker."""
    return {row.worker: row for row in sorted(rows, key=lambda row: row.id)}
