"""Orders that change what is declared: add, remove, and apply, which makes it what the config says.

A new spec rules once the live run has ended, but for what is taken at once (`plan.py`). As in `orders.py`, a function
raises `Refused` before it has changed anything that matters.
"""

from collections.abc import Iterable, Mapping

from .adopting import adopt
from .dossier import Memory
from .errors import IllegalInput, Refused
from .graph import circle, path_in_words, wanted
from .messages import Add, Apply, Remove
from .model import REST, State, Status, WorkerSpec
from .plan import Plan, plan, while_running
from .table import Cause
from .turn import Turn
from .wanting import end, find, want


def add(turn: Turn, order: Add) -> str:
    """A name at rest is taken over; one in use gets the new spec, which rules once its live run has ended."""
    spec = order.spec
    if spec.name in turn.graph.dependents or any(edge.name == spec.name for edge in spec.requires):
        refuse_circle(turn, [spec])  # one that nobody requires closes none
    if order.remembered is None:
        put_spec(turn, spec, order.by)
    elif spec.name in turn.statuses:
        raise IllegalInput(f"{spec.name} is there: what was remembered of it comes too late")
    else:
        turn.told[spec.name] = order.by
        adopt(turn, spec, order.remembered)
    return order.operation


def refuse_circle(turn: Turn, specs: list[WorkerSpec]) -> None:
    requires = turn.graph.requires | {spec.name: spec.requires for spec in specs}
    path = circle(requires, specs[0].name if len(specs) == 1 else None)
    if path:
        raise Refused(f"{path[0]} cannot wait for itself: {path_in_words(path)}", "circle")


def put_spec(turn: Turn, spec: WorkerSpec, by: str) -> None:
    name = spec.name
    known = turn.statuses.get(name)
    turn.told[name] = by
    if known is None:
        turn.add(spec, Status(spec, since=turn.now), Memory())
        turn.put(name, "added")
    elif known.state in REST:
        turn.remember(name, pending=None, tries=())
        turn.put(name, "added", spec=spec, removing=False, restarts=0, failures=0, tries=0, blame=None)
        turn.link(name, spec.requires)
    else:
        change_spec(turn, spec, by)
        return
    starts = spec.autostart and turn.statuses[name].enabled
    turn.put(name, wanted=starts)
    if starts and not turn.leaving:
        turn.step(name, Cause.START)


def change_spec(turn: Turn, spec: WorkerSpec, by: str) -> None:
    """A new spec for a worker in use; `wanted` stays, but for one that was being removed."""
    name, status = spec.name, turn.statuses[spec.name]
    turn.told[name] = by
    if status.live:
        turn.remember(name, pending=spec)
        turn.put(name, "changed", spec=while_running(status.spec, spec))
    else:
        turn.put(name, "changed", spec=spec)
    turn.link(name, spec.requires)
    if status.removing:
        turn.put(name, removing=False)
        if spec.autostart and status.enabled and not turn.leaving:
            want(turn, name, by)


def remove(turn: Turn, order: Remove) -> str:
    find(turn, order.name)
    end(turn, order.name, order.by, Cause.STOP, removing=True)
    return order.operation


def plan_of(
    statuses: Mapping[str, Status], memories: Mapping[str, Memory], specs: Iterable[WorkerSpec], origin: str = "config"
) -> Plan:
    """What `Apply(specs, origin)` would do now."""
    declared = {name: memories[name].pending or status.spec for name, status in statuses.items()}
    running = {name: status.spec for name, status in statuses.items() if status.live and wanted(status)}
    removing = {name for name, status in statuses.items() if status.removing}
    ended = {name for name, status in statuses.items() if status.wanted and status.state in (State.DONE, State.FAILED)}
    disabled = {name for name, status in statuses.items() if not status.enabled}
    return plan(declared, specs, running=running, removing=removing, ended=ended, disabled=disabled, origin=origin)


def apply(turn: Turn, order: Apply) -> str:
    """Carries out the plan that a dry run shows."""
    if turn.leaving:
        raise Refused("cannot apply the config: the supervisor is shutting down", "shutting_down")
    specs = {spec.name: spec for spec in order.specs}
    planned = plan_of(turn.statuses, turn.memories, order.specs, order.origin)
    taken = [spec for name, spec in specs.items() if name not in planned.clashes]
    refuse_circle(turn, taken)
    for name in planned.removed:
        end(turn, name, order.by, Cause.STOP, removing=True)
    for change in planned.changed:  # old and new edges together may form a circle that neither has
        turn.link(change.name, ())
    for name in planned.added:
        put_spec(turn, specs[name], order.by)
    for change in planned.changed:
        name = change.name
        change_spec(turn, specs[name], order.by)
        if change.restarts:
            want(turn, name, order.by, Cause.RESTART)
        elif change.starts:
            want(turn, name, order.by)
    return order.operation
