"""Why a worker does not run: its blockers in a few words each, and one sentence for a person.

Words that stand in a status change only when the facts do, so nothing counts down in them: when it is tried again is a
field (`Blocker.next`), and only the sentence, which is made for whoever asks, says in how many seconds that is. The
same sentence is in the API, on the command line and on the page.

Known wart: a target that is blocked itself is told by the root of its trouble only, and not at all while that is merely
on its way, so that the words of a long chain stay short and few.
"""

from collections.abc import Iterable, Mapping, Sequence

from .graph import HOLDING, met, wanted
from .model import REST, SLOT, Blocker, Condition, Health, Requirement, RestartWhen, State, Status
from .policy import words_of
from .pools import holders, line

# ---------------------------------------------------------------- blockers


def blockers(requires: Iterable[Requirement], statuses: Mapping[str, Status]) -> tuple[Blocker, ...]:
    """The unmet requirements, each with its reason."""
    return tuple(blocker(edge, statuses) for edge in requires if not met(edge, statuses.get(edge.name)))


def blocker(edge: Requirement, statuses: Mapping[str, Status]) -> Blocker:
    target = statuses.get(edge.name)
    if target is None:
        return Blocker(edge.name, edge.condition, "there is no such worker", for_good=True)
    if target.state is State.BLOCKED and not target.removing:
        words, next_try = root_of(target, statuses)
        return Blocker(edge.name, edge.condition, words, for_good(target), next_try)
    next_try = target.deadline if target.state is State.BACKOFF else None
    return Blocker(edge.name, edge.condition, words_about(edge, target), for_good(target), next_try)


def for_good(target: Status) -> bool:
    """Whether an unmet requirement stays unmet until somebody gives an order."""
    if not wanted(target) or target.state in REST or target.stuck:
        return True
    return target.state is State.BLOCKED and any(each.for_good for each in target.blocked_on)


def words_about(edge: Requirement, target: Status) -> str:
    """What keeps a target from meeting the requirement; its name stands before it."""
    if target.stuck:
        return "killed, and still there"
    if target.removing:
        return "being removed"
    match target.state:
        case State.STOPPED if not target.enabled:
            return "disabled"
        case State.STOPPED:
            return f"stopped by {target.stopped_by}" if target.stopped_by else "stopped"
        case State.DONE:
            return f"has ended: {words_of(target.last_exit)}"
        case State.FAILED:
            return f"failed: {words_of(target.last_exit)}"
        case State.BACKOFF:
            return backoff_in_words(target)
        case State.KILLING:
            return "being killed"
        case State.STOPPING:
            return "stopping, to start again" if target.wanted else "being stopped"
    return about_one_that_is_up(edge, target)


def about_one_that_is_up(edge: Requirement, target: Status) -> str:
    if edge.condition not in HOLDING:
        return "not finished"
    if not target.wanted:
        return "to be stopped"
    if target.cycling:
        return "to be restarted"
    if edge.condition is Condition.LOG:
        return f"has not written /{edge.pattern}/ yet"
    if target.state is State.STARTING:
        return "starting"
    return (
        "unhealthy"
        if edge.condition is Condition.HEALTHY and target.health is Health.UNHEALTHY
        else f"not {edge.condition}"
    )


def root_of(target: Status, statuses: Mapping[str, Status]) -> tuple[str, float | None]:
    """The trouble at the root of a chain of blocked workers, and when that is tried again."""
    if not target.blocked_on:
        return "not started yet", None
    while target.blocked_on:
        reason = next((each for each in target.blocked_on if each.for_good), target.blocked_on[0])
        if reason.condition == SLOT:
            return f"waits for a slot of {reason.worker}", None
        root = statuses.get(reason.worker)
        if root is None or root.state is not State.BLOCKED:
            trouble = reason.for_good or (root is not None and root.state is State.BACKOFF)
            return (f"waits for {reason.worker}: {reason.why}", reason.next) if trouble else ("waits for others", None)
        target = root
    return "waits for others", None


def backoff_in_words(target: Status) -> str:
    """ "back-off, try 3 of 5, exit 1"; "gave up after 5 tries, exit 1"."""
    if target.gave_up:
        tries = f" after {count(target.tries, 'failure')}" if target.tries else ""
        return f"gave up{tries}, {words_of(target.last_exit)}"
    limit = target.spec.restart.max_restarts
    tries = f"try {target.tries}{f' of {limit}' if limit else ''}, " if target.tries else ""
    return f"back-off, {tries}{words_of(target.last_exit)}"


# ---------------------------------------------------------------- the sentence


def why(
    status: Status,
    statuses: Mapping[str, Status],
    now: float | None = None,
    *,
    planned: float | None = None,
    probe: str = "",
) -> str:
    """Why a worker is not up, in one sentence; "" for one that runs and is ready.

    `statuses` are all workers, for the slots of a pool; without `now` nothing counts down; `planned` is when its
    schedule starts it next; `probe` is what its probe found last. Times in seconds since the epoch.
    """
    words = _words(status, statuses, now, planned)
    if words and probe and status.wanted and status.state in (State.STARTING, State.RUNNING):
        words = f"{words}: {probe}"
    return f"{status.name} {words}" if words else ""


def _words(status: Status, statuses: Mapping[str, Status], now: float | None, planned: float | None) -> str:
    if status.stuck:
        return "was killed and is still there; no new run begins while it is"
    if status.removing:
        return "is being removed"
    match status.state:
        case State.BLOCKED:
            return _waits(status, statuses, now)
        case State.BACKOFF:
            return _backs_off(status, now)
        case State.STOPPED | State.DONE | State.FAILED:
            return _rests(status, now, planned)
        case State.STARTING:
            return "is starting" if status.ready or not status.spec.ready_probe else "is starting, and not ready yet"
        case State.RUNNING:
            return _runs(status)
        case State.KILLING:
            return "is being killed"
    then = "to start again" if status.wanted and status.enabled else f"asked to by {status.stopped_by or 'the service'}"
    return f"is stopping, {then}{_until(status.deadline, now, 'killed in')}"


def _waits(status: Status, statuses: Mapping[str, Status], now: float | None) -> str:
    if not status.blocked_on:
        return "is about to start" if wanted(status) else "is not wanted"
    reasons = status.blocked_on
    if reasons[0].condition == SLOT and status.spec.pool is not None:
        return f"waits for a slot of {reasons[0].worker}: {_taken(status, statuses) or reasons[0].why}"
    named = [f"{each.worker} ({each.why}{_until(each.next, now, 'next in', ', ')})" for each in reasons]
    end = "; nothing that is under way will change that" if any(each.for_good for each in reasons) else ""
    return f"waits for {listed(named)}{end}"


def _taken(status: Status, statuses: Mapping[str, Status]) -> str:
    """Who has the slots, and how many come first."""
    assert status.spec.pool is not None
    pool = status.spec.pool
    having = [each.name for each in holders(pool.name, statuses)]
    waiting = [each.name for each in line(pool.name, statuses)]
    if not having or status.name not in waiting:
        return ""
    before = waiting.index(status.name)
    then = f"; {before} {'waits' if before == 1 else 'wait'} before it" if before else "; it is next"
    return f"{len(having)} of {pool.slots} {'is' if len(having) == 1 else 'are'} taken by {listed(having)}{then}"


def _backs_off(status: Status, now: float | None) -> str:
    next_try = _until(status.deadline, now, "next in", ", ")
    if status.gave_up:
        tries = f" after {count(status.tries, 'failure')}" if status.tries else ""
        again = _until(status.deadline, now, "tried anew in", ", ") or ", and is tried anew later"
        return f"gave up{tries} ({words_of(status.last_exit)}){again}"
    return f"is in {backoff_in_words(status)}{next_try}"


def _rests(status: Status, now: float | None, planned: float | None) -> str:
    end = words_of(status.last_exit) if status.last_exit is not None else ""
    again = {State.DONE: " to run it again", State.FAILED: " to try again"}.get(status.state, "")
    remedy = f"; start it{again}" if status.enabled else "; enable it, then start it"
    if planned is not None and status.enabled:
        remedy = f"; its schedule starts it{_until(planned, now, 'in', ' ') or ' again'}"
    elif status.spec.schedule is not None and status.enabled:
        remedy = "; its schedule starts it"
    match status.state:
        case State.DONE:
            said = f"has ended: {end}" if status.enabled else f"is disabled and has ended: {end}"
        case State.FAILED:
            said = f"failed: {end}{_no_more(status)}"
        case _ if not status.enabled:
            said = "is disabled"
        case _ if status.stopped_by == "dependency":
            said = "was stopped, as it follows a worker that is gone"
        case _ if status.stopped_by:
            said = f"was stopped by {status.stopped_by}"
        case _ if status.wanted:
            said = "was stopped with the service"
        case _ if status.run:
            said = "is stopped"
        case _:
            said = (
                "was not started yet"
                if planned or status.spec.schedule
                else "does not start by itself, and nobody started it"
            )
    return said + remedy


def _no_more(status: Status) -> str:
    """Why it is not tried again."""
    policy, exit = status.spec.restart, status.last_exit
    if not status.enabled:
        return ", and is disabled"
    if exit is not None and exit.permanent:
        return ", which another try would not change"
    if policy.restart is RestartWhen.NEVER:
        return ", and is never restarted by itself"
    if policy.max_restarts and status.tries > policy.max_restarts:
        return f" after {count(policy.max_restarts, 'restart')} within {span(policy.window)}, which is its limit"
    return ""


def _runs(status: Status) -> str:
    if not status.wanted:
        return f"is to be stopped, after {listed(status.waiting_for)}" if status.waiting_for else "is to be stopped"
    if status.health is Health.UNHEALTHY:
        return "runs and is unhealthy"
    return "" if status.ready else "runs and is not ready"


def _until(moment: float | None, now: float | None, words: str, before: str = "; ") -> str:
    return "" if moment is None or now is None else f"{before}{words} {span(moment - now)}"


def span(seconds: float) -> str:
    """A time in its two largest units: "8 s", "3 min 12 s", "4 h 12 min", "3 d 4 h"; rounded up to seconds."""
    whole = max(0, -int(-seconds // 1))
    for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(words: Sequence[str], most: int = 6) -> str:
    """ "a", "a and b", "a, b and 3 others"."""
    shown, left = list(words[:most]), len(words) - most
    if left > 0:
        shown.append(count(left, "other"))
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
