"""What the properties hold the machine against, from the words of the design: written here again, on purpose."""

from collections.abc import Iterable

from supervisor_core.messages import Changed, Event, Removed
from supervisor_core.model import Condition, Health, Requirement, State, Status

COMPLETED = (Condition.COMPLETED, Condition.COMPLETED_SUCCESSFULLY)


def is_met(edge: Requirement, statuses: dict[str, Status]) -> bool:
    """The oracle: whether a requirement is satisfied, from the words of the design."""
    target = statuses.get(edge.name)
    if target is None:
        return False
    if edge.condition is Condition.COMPLETED_SUCCESSFULLY:
        return target.state is State.DONE
    if edge.condition is Condition.COMPLETED:
        return target.state in (State.DONE, State.FAILED)
    usable = target.wanted and not target.removing and not target.cycling
    up = target.state in (State.STARTING, State.RUNNING)
    has_started = target.pid is not None or target.spec.program is None
    meant = {
        Condition.READY: target.ready,
        Condition.STARTED: has_started,
        Condition.HEALTHY: target.health is Health.HEALTHY,
        Condition.LOG: edge.pattern in target.matched,
    }
    return usable and up and meant[edge.condition]


def holders(name: str, statuses: dict[str, Status]) -> list[str]:
    """The oracle: live dependents that are not stuck, over edges that hold."""
    return [
        status.name
        for status in statuses.values()
        if status.live and not status.stuck
        for edge in status.spec.requires
        if edge.name == name and edge.condition not in COMPLETED
    ]


def in_pool(pool: str, statuses: Iterable[Status]) -> list[Status]:
    return [status for status in statuses if status.spec.pool is not None and status.spec.pool.name == pool]


def holding(pool: str, statuses: Iterable[Status]) -> list[Status]:
    """The oracle: whose live runs have a slot of it; one that began without goes by its spec."""
    statuses = list(statuses)
    without = [status for status in in_pool(pool, statuses) if not status.holds]
    return [status for status in statuses if status.holds == pool] + without


def in_line(pool: str, statuses: dict[str, Status]) -> list[Status]:
    """The oracle: who lacks nothing but a slot."""
    return [
        status
        for status in in_pool(pool, statuses.values())
        if status.state is State.BLOCKED and status.wanted and not status.removing
        if all(is_met(edge, statuses) for edge in status.spec.requires)
    ]


def fold(snapshot: dict[str, Status], events: list[Event]) -> dict[str, Status]:
    folded = dict(snapshot)
    for event in events:
        match event:
            case Changed(status=status):
                folded[status.name] = status
            case Removed(name=name):
                folded.pop(name, None)
    return folded
