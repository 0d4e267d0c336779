"""What each order does to a turn: flip `wanted`, give the table its cause, and leave the rest to settle.

A function here takes the turn and the order and returns the operation to wait for. It raises `Refused` before it has
changed anything that matters, since the turn is thrown away then. What they have in common is in `wanting.py`, the
orders that change what is declared are in `declaring.py`.
"""

from .declaring import add, apply, remove
from .errors import IllegalInput, Refused
from .graph import live_dependents
from .messages import (
    Add,
    Apply,
    Begin,
    Disable,
    Enable,
    Kill,
    Order,
    Remove,
    Restart,
    SendSignal,
    Shutdown,
    Signal,
    Start,
    Stop,
)
from .model import REST, Phase, State
from .table import Cause
from .turn import Turn
from .wanting import ENDING, end, find, find_to_start, held_by, unmet_targets, want


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
        case Enable():
            return enable(turn, order)
        case Disable():
            return disable(turn, order)
        case Apply():
            return apply(turn, order)
        case Shutdown():
            return shutdown(turn, order)
    raise IllegalInput(f"there is no such order: {order!r}")


# ---------------------------------------------------------------- start, stop, restart, kill


def start(turn: Turn, order: Start) -> str:
    find_to_start(turn, order.name)
    if order.cascade:
        for name in unmet_targets(turn, order.name):
            want(turn, name, order.by)
    want(turn, order.name, order.by)
    return order.operation


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
            changes = turn.forgiven(name)
            turn.put(name, "cycling", wanted=True, stopped_by="", cycling=True, restarting=operation, **changes)
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


# ---------------------------------------------------------------- enable, disable


def enable(turn: Turn, order: Enable) -> str:
    find(turn, order.name)
    turn.told[order.name] = order.by
    turn.put(order.name, "enable", enabled=True)
    return order.operation


def disable(turn: Turn, order: Disable) -> str:
    """What runs goes on, but no new run of it begins; what only waits to start, or to be tried again, is stopped."""
    name = order.name
    find(turn, name)
    turn.told[name] = order.by
    status = turn.put(name, "disable", enabled=False, restarting=None, cycling=False)
    if status.state in (State.BLOCKED, State.BACKOFF):
        end(turn, name, order.by, Cause.STOP)
    elif status.state is State.STOPPED:  # by leaving: else whoever takes over would start it
        turn.put(name, wanted=False)
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
