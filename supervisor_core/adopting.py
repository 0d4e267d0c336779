"""How one supervisor goes on where another one left off: notes become orders, and a noted state becomes a status.

Nothing is launched or ended by the taking over itself. What was to be done to a live run is ordered once more, since
nobody knows whether that was still carried out: an order to end a run may come twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .errors import SupervisorError
from .messages import Add, Attach, Interrupt, KillRun
from .model import State, Status, WorkerSpec
from .notes import Remembered, digest_of, recall, unknown
from .policy import start_deadline
from .pools import spec_of_run
from .table import Cause
from .turn import Turn

Live = tuple[str, int, int]
"""A run that is alive: worker, run, pid."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What another supervisor has to do first.

    `numbers`: the last runs of workers that the config lacks; a later one may have them. `words`: workers whose notes
    could not be read, and why.
    """

    adds: tuple[Add, ...]
    numbers: Mapping[str, int]
    words: Mapping[str, str]


def adoption(
    specs: Iterable[WorkerSpec],
    notes: Mapping[str, bytes],
    live: Iterable[Live],
    now: float,
    *,
    fresh: bool = False,
    left: bool = False,
    by: str = "config",
) -> Adoption:
    """Reads what was noted of the workers of `specs`, and of those that are in no config any more.

    One of these whose run goes on is added as *removing*, so that it is stopped in order and not forgotten. `fresh`:
    the service was started, not its manager alone; `left`: the one before had been told to leave. A run that is alive
    is never left out, whatever its note says.
    """
    recalled, words = _recalled(notes)
    alive: dict[str, tuple[int, int]] = {}
    for name, run, pid in live:
        alive[name] = max((run, pid), alive.get(name, (0, 0)))
    for name, (run, pid) in alive.items():
        noted = recalled.get(name)
        if noted is None or not noted.status.live or noted.status.run != run:
            recalled[name] = (noted or unknown(name)).found(run, pid, now)
    adds, named = [], set()
    for spec in specs:
        named.add(spec.name)
        adds.append(
            Add(
                spec,
                _of_config(spec, recalled.get(spec.name), fresh=fresh, over=left and spec.name not in alive),
                by=by,
            )
        )
    numbers = {}
    for name, remembered in recalled.items():
        if name in named:
            continue
        if remembered.status.live:
            adds.append(Add(remembered.status.spec, _left_over(remembered, by), by=by))
        else:
            numbers[name] = remembered.status.run
    return Adoption(tuple(adds), numbers, words)


def _recalled(notes: Mapping[str, bytes]) -> tuple[dict[str, Remembered], dict[str, str]]:
    recalled, words = {}, {}
    for name, data in notes.items():
        try:
            recalled[name] = recall(data)
        except SupervisorError as error:
            words[name] = str(error)
    return recalled, words


def _of_config(spec: WorkerSpec, noted: Remembered | None, *, fresh: bool, over: bool) -> Remembered | None:
    """What is remembered of a worker that the config has; one that was being removed is not any more."""
    if noted is None:
        return None
    if noted.status.removing:
        wanted = spec.autostart and noted.status.enabled
        noted = replace(noted, status=replace(noted.status, removing=False, wanted=wanted))
    return noted.fresh(over=over) if fresh else noted


def _left_over(noted: Remembered, by: str) -> Remembered:
    if noted.status.removing:
        return noted
    memory = replace(noted.memory, stopper=by, ordered=False)
    return replace(noted, status=replace(noted.status, removing=True, wanted=False, cycling=False), memory=memory)


# ---------------------------------------------------------------- in a turn


def adopt(turn: Turn, spec: WorkerSpec, remembered: Remembered) -> None:
    """Adds a worker that goes on from where it was; `spec` rules at once, also for a live run."""
    name, memory = spec.name, remembered.memory
    status = replace(remembered.status, spec=spec, deadline=deadline_of(turn, spec, remembered.status))
    if remembered.as_new:
        status = replace(status, wanted=spec.autostart and status.enabled, since=turn.now)
    if status.live:
        status = replace(status, outdated=not status.removing and memory.launched != digest_of(spec))
    turn.add(spec, status, memory)
    turn.put(name, "attached" if status.live else "added")
    if status.live:
        turn.actions.append(Attach(name, status.run, spec_of_run(spec, turn.graph, status.slot)))
        if status.state is State.STOPPING:
            turn.actions.append(Interrupt(name, status.run))
        elif status.state is State.KILLING:
            turn.actions.append(KillRun(name, status.run))
    elif turn.leaving:
        if status.state in (State.BLOCKED, State.BACKOFF):
            turn.step(name, Cause.STOP)
    elif status.state is State.STOPPED and status.wanted:  # as new, or it was stopped by a shutdown that was cut short
        turn.step(name, Cause.START)


def deadline_of(turn: Turn, spec: WorkerSpec, noted: Status) -> float | None:
    """What was left of the time that was given; at most all of it, should the clock have been set back meanwhile."""
    if noted.deadline is None:
        return None
    if noted.state is State.STARTING:
        return start_deadline(spec, min(noted.since, turn.now))
    return min(noted.deadline, turn.now + max(0.0, noted.deadline - noted.since))
