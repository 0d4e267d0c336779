"""Moves whatever may move now, until nothing does: admit, release, follow, remove, and the words for what must wait.

Runs at the end of every turn over the workers that something happened to, in requirement order, and then over the
pools. It decides from statuses alone and never from the input at hand. What is decided here comes back as a cause of
the table.
"""

from .graph import HOLDING, UP, live_dependents, wanted
from .model import REST, Follow, Phase, Requirement, State, Status
from .pools import holders, line, no_slot
from .table import Cause
from .turn import Turn
from .why import blockers


def busy(status: Status) -> bool:
    """Whether the supervisor has to wait for this worker before it may end."""
    return status.state not in REST and not status.stuck


def settle(turn: Turn, *, was_busy: int, stay: bool) -> int:
    """Runs to the fixed point; ends the phase when its time has come. Returns how many workers are busy now."""
    while True:
        while (name := turn.next_awake()) is not None:
            look_at(turn, name)
        if not turn.pools:
            break
        serve(turn, min(turn.pools))
    is_busy = was_busy
    for name in turn.causes:
        before, after = turn.before.get(name), turn.statuses.get(name)
        is_busy += (after is not None and busy(after)) - (before is not None and busy(before))
    ends = turn.phase is Phase.LEAVING or (turn.phase is Phase.RUNNING and not stay)
    if ends and is_busy == 0:
        turn.enter_phase(Phase.OVER, turn.leaving_by)
    return is_busy


def look_at(turn: Turn, name: str) -> None:
    """One worker, one rule at a time; a rule that moved it has woken it again."""
    spread_cycling(turn, name)
    status = turn.statuses[name]
    if status.state is State.BLOCKED:
        admit_or_say_why(turn, status)
    elif status.state in UP:
        if not follow(turn, status):
            release_or_say_whom(turn, status)
    elif status.removing and status.state in REST:
        turn.remove(name)


def spread_cycling(turn: Turn, name: str) -> None:
    """Whoever runs and requires a worker that is about to be restarted in order goes along."""
    status = turn.statuses[name]
    if status.cycling or not wanted(status) or status.state not in UP:
        return
    targets = (turn.statuses.get(edge.name) for edge in status.spec.requires if edge.condition in HOLDING)
    if any(target is not None and target.cycling and target.live for target in targets):
        turn.put(name, "cycling", cycling=True)
        turn.remember(name, stopper="dependency")


def admit_or_say_why(turn: Turn, status: Status) -> None:
    name = status.name
    reasons = blockers(status.spec.requires, turn.statuses)
    if not reasons and turn.phase is Phase.RUNNING and wanted(status):
        if status.spec.pool is None:
            turn.step(name, Cause.ADMIT)
        else:
            turn.pools.add(status.spec.pool.name)
        return
    if reasons != status.blocked_on:
        status = turn.put(name, "requirements", blocked_on=reasons)
    if status.restarting is not None and any(reason.for_good for reason in reasons):
        turn.put(name, "blocked for good", restarting=None)


def serve(turn: Turn, pool: str) -> None:
    """Gives the free slots, the lowest number first, and says to the others that there is none."""
    turn.pools.discard(pool)
    if turn.phase is not Phase.RUNNING:
        return
    having = holders(pool, turn.statuses)
    taken, count = {status.slot for status in having}, len(having)
    for status in line(pool, turn.statuses):
        assert status.spec.pool is not None
        slots = status.spec.pool.slots
        if count < slots:
            slot = next(number for number in range(slots) if number not in taken)
            taken.add(slot)
            count += 1
            turn.step(status.name, Cause.ADMIT, slot=slot, holds=pool)
        elif (reasons := no_slot(status.spec.pool)) != status.blocked_on:
            turn.put(status.name, "pool", blocked_on=reasons)


def release_or_say_whom(turn: Turn, status: Status) -> None:
    name = status.name
    holders: tuple[str, ...] = ()
    if turn.phase is Phase.IDLE:
        return  # what was attached to: not all who hold it may have been added yet
    if turn.leaving or status.cycling or not wanted(status):
        holders = tuple(dict.fromkeys(live_dependents(name, turn.graph, turn.statuses)))
        if not holders:
            stopper = turn.memories[name].stopper
            turn.step(name, Cause.RELEASE, by=turn.leaving_by if wanted(status) and not status.cycling else stopper)
            return
    if holders != status.waiting_for:
        turn.put(name, "dependents", waiting_for=holders)


def follow(turn: Turn, status: Status) -> bool:
    """Ends a run whose target's run is gone, if the edge asks for it."""
    if turn.phase is not Phase.RUNNING or not wanted(status):
        return False
    for edge in status.spec.requires:
        if edge.follow is not Follow.IGNORE and gone(turn, status.name, edge):
            turn.step(status.name, Cause.FOLLOW, by="dependency")
            if edge.follow is Follow.STOP:
                turn.put(status.name, wanted=False, stopped_by="dependency", restarting=None, cycling=False)
            return True
    return False


def gone(turn: Turn, name: str, edge: Requirement) -> bool:
    """Whether the run of the target that was there at the launch is no more; for completed kinds: a newer one began."""
    seen = turn.memories[name].seen.get(edge.name)
    if seen is None:
        return False
    target = turn.statuses.get(edge.name)
    if edge.condition in HOLDING:
        return target is None or not target.live or target.run != seen
    return target is not None and target.run > seen
