"""What each order does to a turn: flip `wanted`, give the table its cause, and leave the rest to settle.

A function here takes the turn and the order and returns the operation to wait for. It raises `Refused` before it has
changed anything that matters, since the turn is thrown away then.
"""

from collections.abc import Iterable, Mapping

from .adopting import adopt
from .dossier import Memory
from .errors import IllegalInput, Refused
from .graph import HOLDING, circle, closure, live_dependents, met, path_in_words, wanted
from .messages import Add, Apply, Begin, Kill, Order, Remove, Restart, SendSignal, Shutdown, Signal, Start, Stop
from .model import REST, Phase, State, Status, WorkerSpec
from .plan import Plan, plan, while_running
from .table import Cause
from .turn import Turn

ENDING = frozenset({State.STOPPING, State.KILLING})


def take(turn: Turn, order: Order) -> str:
    """Does what an order says; returns the operation to wait for."""
    match order:
        case Begin():
            return begin(turn, order)
        case Add():
            return add(turn, order)
        case Remove():
            return remove(turn, order)
        case Start():
            return start(turn, order)
        case Stop():
            return stop(turn, order)
        case Restart():
            return restart(turn, order)
        case Kill():
            return kill(turn, order)
        case Signal():
            return signal(turn, order)
        case Apply():
            return apply(turn, order)
        case Shutdown():
            return shutdown(turn, order)
    raise IllegalInput(f"there is no such order: {order!r}")


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
    return status


# ---------------------------------------------------------------- start, stop, restart, kill


def start(turn: Turn, order: Start) -> str:
    find_to_start(turn, order.name)
    if order.cascade:
        for name in unmet_targets(turn, order.name):
            want(turn, name, order.by)
    want(turn, order.name, order.by)
    return order.operation


def unmet_targets(turn: Turn, name: str) -> tuple[str, ...]:
    """What has to be started for `name`, nearest first; not beyond what is there already."""

    def unmet(name: str) -> list[str]:
        edges = turn.statuses[name].spec.requires
        targets = ((edge, turn.statuses.get(edge.name)) for edge in edges)
        return [t.name for edge, t in targets if t is not None and not t.removing and not met(edge, t)]

    return closure(name, unmet)


def want(turn: Turn, name: str, by: str, cause: Cause = Cause.START) -> None:
    """Sets `wanted` and gives the cause; what is being ended will be started again."""
    status = turn.statuses[name]
    turn.told[name] = by
    if status.state in ENDING:
        turn.remember(name, ordered=True)
        turn.put(name, wanted=True, blame=None)
    else:
        turn.put(name, wanted=True)
    turn.remember(name, automatic=False)
    turn.step(name, cause, by=by)


def stop(turn: Turn, order: Stop) -> str:
    find(turn, order.name)
    if order.cascade:
        for name in held_by(turn, order.name):
            if turn.statuses[name].state not in REST:
                end(turn, name, order.by, Cause.STOP)
    end(turn, order.name, order.by, Cause.STOP)
    return order.operation


def kill(turn: Turn, order: Kill) -> str:
    find(turn, order.name)
    end(turn, order.name, order.by, Cause.KILL)
    return order.operation


def held_by(turn: Turn, name: str) -> tuple[str, ...]:
    """All that require `name`, through others too, and would be stopped before it."""
    edges = turn.graph.dependents
    return closure(name, lambda at: [back.name for back in edges.get(at, ()) if back.condition in HOLDING])


def end(turn: Turn, name: str, by: str, cause: Cause, *, removing: bool = False) -> None:
    """Clears `wanted` and gives the cause; no restart survives it."""
    turn.told[name] = by
    turn.remember(name, stopper=by, ordered=False)
    turn.put(name, wanted=False, restarting=None, cycling=False)
    if removing:
        turn.put(name, removing=True)
    turn.step(name, cause, by=by)


def restart(turn: Turn, order: Restart) -> str:
    """Joins the restart that is under way, if there is one. A cascade waits for the dependents to go first."""
    status = find_to_start(turn, order.name)
    name = order.name
    if status.stuck:
        want(turn, name, order.by, Cause.RESTART)
        return order.operation
    joins = status.restarting is not None
    if not joins or status.state in ENDING:
        turn.remember(name, old_run=status.run)
    operation = status.restarting or order.operation
    if order.cascade and status.state in (State.STARTING, State.RUNNING) and not (joins and not status.cycling):
        held = live_dependents(name, turn.graph, turn.statuses)
        if held:
            turn.told[name] = order.by
            turn.remember(name, stopper=order.by)
            turn.put(name, "cycling", wanted=True, cycling=True, restarting=operation)
            return operation
    want(turn, name, order.by, Cause.RESTART)
    turn.put(name, restarting=operation)
    return operation


def signal(turn: Turn, order: Signal) -> str:
    status = find(turn, order.name)
    if not status.live:
        raise Refused(f"cannot signal {order.name}: it is {status.state}, nothing of it runs", "not_running")
    tree = order.tree or status.leader_gone is not None
    turn.actions.append(SendSignal(order.name, status.run, order.signal, tree))
    return order.operation


# ---------------------------------------------------------------- begin, shutdown


def begin(turn: Turn, order: Begin) -> str:
    """Launching is allowed from now on; after a shutdown it never is."""
    if turn.phase is Phase.RUNNING:
        raise IllegalInput("it has begun already")
    if turn.phase is Phase.IDLE:
        turn.enter_phase(Phase.RUNNING, order.by)
        turn.wake_all()
    return order.operation


def shutdown(turn: Turn, order: Shutdown) -> str:
    turn.leave(order.by)
    if order.now:
        for name, status in list(turn.statuses.items()):
            if status.live:
                turn.step(name, Cause.KILL, by=order.by)
    return order.operation


# ---------------------------------------------------------------- add, remove, apply


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
        turn.put(name, "added", spec=spec, removing=False, restarts=0, failures=0, blame=None)
        turn.link(name, spec.requires)
    else:
        change_spec(turn, spec, by)
        return
    turn.put(name, wanted=spec.autostart)
    if spec.autostart and not turn.leaving:
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
        if spec.autostart and not turn.leaving:
            want(turn, name, by)


def remove(turn: Turn, order: Remove) -> str:
    find(turn, order.name)
    end(turn, order.name, order.by, Cause.STOP, removing=True)
    return order.operation


def plan_of(statuses: Mapping[str, Status], memories: Mapping[str, Memory], specs: Iterable[WorkerSpec]) -> Plan:
    """What `Apply(specs)` would do now."""
    declared = {name: memories[name].pending or status.spec for name, status in statuses.items()}
    running = {name: status.spec for name, status in statuses.items() if status.live and wanted(status)}
    removing = {name for name, status in statuses.items() if status.removing}
    ended = {name for name, status in statuses.items() if status.wanted and status.state in (State.DONE, State.FAILED)}
    return plan(declared, specs, running=running, removing=removing, ended=ended)


def apply(turn: Turn, order: Apply) -> str:
    """Carries out the plan that a dry run shows."""
    if turn.leaving:
        raise Refused("cannot apply the config: the supervisor is shutting down", "shutting_down")
    specs = {spec.name: spec for spec in order.specs}
    planned = plan_of(turn.statuses, turn.memories, order.specs)
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
