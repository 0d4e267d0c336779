"""What several orders do to one worker: find it, want it, no longer want it; and whom that takes along.

Each changes a turn and leaves the rest to settle. No order is taken here.
"""

from .errors import Refused
from .graph import HOLDING, closure, met
from .model import State, Status
from .table import Cause
from .turn import Turn

ENDING = frozenset({State.STOPPING, State.KILLING})


def find(turn: Turn, name: str) -> Status:
    status = turn.statuses.get(name)
    if status is None:
        raise Refused(f"there is no worker named {name}", "unknown_worker")
    return status


def find_to_start(turn: Turn, name: str) -> Status:
    status = find(turn, name)
    if turn.leaving:
        raise Refused(f"cannot start {name}: the supervisor is shutting down", "shutting_down")
    if status.removing:
        raise Refused(f"cannot start {name}: it is being removed", "conflict")
    if not status.enabled:
        raise Refused(f"cannot start {name}: it is disabled; enable it first (quarterdeck enable {name})", "disabled")
    return status


def unmet_targets(turn: Turn, name: str) -> tuple[str, ...]:
    """What has to be started for `name`, nearest first; not beyond what is there already, or is disabled."""

    def unmet(name: str) -> list[str]:
        edges = turn.statuses[name].spec.requires
        targets = ((edge, turn.statuses.get(edge.name)) for edge in edges)
        return [t.name for edge, t in targets if t is not None and may_start(t) and not met(edge, t)]

    return closure(name, unmet)


def may_start(status: Status) -> bool:
    return status.enabled and not status.removing


def want(turn: Turn, name: str, by: str, cause: Cause = Cause.START) -> None:
    """Sets `wanted` and gives the cause; what is being ended will be started again."""
    status = turn.statuses[name]
    turn.told[name] = by
    if status.spec.pool is not None and not status.wanted:
        turn.put(name, wanted_since=turn.now)
    if status.state in ENDING:
        turn.remember(name, ordered=True)
        turn.put(name, wanted=True, stopped_by="", blame=None)
    else:
        turn.put(name, wanted=True, stopped_by="")
    turn.remember(name, automatic=False)
    turn.step(name, cause, by=by)


def held_by(turn: Turn, name: str) -> tuple[str, ...]:
    """All that require `name`, through others too, and would be stopped before it."""
    edges = turn.graph.dependents
    return closure(name, lambda at: [back.name for back in edges.get(at, ()) if back.condition in HOLDING])


def end(turn: Turn, name: str, by: str, cause: Cause, *, removing: bool = False) -> None:
    """Clears `wanted` and gives the cause; no restart survives it."""
    turn.told[name] = by
    turn.remember(name, stopper=by, ordered=False)
    stopped_by = by if turn.statuses[name].wanted else turn.statuses[name].stopped_by
    turn.put(name, wanted=False, stopped_by=stopped_by, restarting=None, cycling=False)
    if removing:
        turn.put(name, removing=True)
    turn.step(name, cause, by=by)
