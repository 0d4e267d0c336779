"""Pure decisions about one worker's ends: what an exit means, when the next try comes, whether there is one.

No worker but the one in question, no time but what is passed in. The order of `classify` is printed in `table.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .model import Exit, OnGiveUp, RestartPolicy, RestartWhen, WorkerSpec
from .table import Cause

AGAIN_AFTER = frozenset({Cause.RESTART, Cause.FOLLOW, Cause.RELEASE})
"""Interruptions that mean: and then once more, if it is wanted."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that `classify` looks at.

    `failed`: the exit is a failure by the policy. `ours`: our signal or our cancel caused it. `interrupted`: what made
    us end the run, None if nothing did. `ordered`: start or restart was ordered while it was being ended. `cycling`:
    a cascade restart of it waits. `blame`: a probe failed or the start took too long. `wanted`: less *removing*.
    `disabled`: nothing may start it.
    """

    failed: bool
    ours: bool = False
    interrupted: Cause | None = None
    ordered: bool = False
    cycling: bool = False
    blame: bool = False
    wanted: bool = True
    leaving: bool = False
    permanent: bool = False
    disabled: bool = False


def classify(facts: Facts, policy: RestartPolicy, tries: Sequence[float], now: float) -> Cause:
    """Gives an exit its meaning. `tries` are the times of the failures counted so far."""
    unwanted = facts.leaving or not facts.wanted
    never = policy.restart is RestartWhen.NEVER
    own_failure = facts.failed and not facts.ours
    if own_failure and never and unwanted:
        return Cause.EXHAUSTED
    if unwanted:
        return Cause.GONE
    if facts.interrupted in AGAIN_AFTER or facts.cycling or facts.ordered:
        return Cause.GONE if facts.disabled else Cause.AGAIN
    if facts.blame or own_failure:
        allowed = not gives_up(policy, tries, now, permanent=facts.permanent) or retries_later(policy)
        return Cause.CRASHED if allowed and not facts.disabled else Cause.EXHAUSTED
    return Cause.CRASHED if policy.restart is RestartWhen.ALWAYS and not facts.disabled else Cause.FINISHED


def failed(exit: Exit, policy: RestartPolicy) -> bool:
    """Whether an exit is a failure: by a signal, never started, or a status that is not listed as success."""
    return exit.signal is not None or exit.code not in policy.success_exit_codes


def recent(policy: RestartPolicy, tries: Sequence[float], now: float) -> tuple[float, ...]:
    """The tries that still count against the limit: those within the window before `now`."""
    return tuple(at for at in tries if at > now - policy.window)


def may_try(policy: RestartPolicy, tries: Sequence[float], now: float) -> bool:
    """Whether one more try is allowed: the policy retries at all, and fewer than `max_restarts` are in the window."""
    if policy.restart is RestartWhen.NEVER:
        return False
    return policy.max_restarts == 0 or len(recent(policy, tries, now)) < policy.max_restarts


def gives_up(policy: RestartPolicy, tries: Sequence[float], now: float, *, permanent: bool = False) -> bool:
    """Whether a failure is the last one, of these tries at least: there are no more, or another one cannot help."""
    return permanent or not may_try(policy, tries, now)


def retries_later(policy: RestartPolicy) -> bool:
    """Whether giving up is not for ever."""
    return policy.on_give_up is OnGiveUp.RETRY and policy.restart is not RestartWhen.NEVER


def delay(policy: RestartPolicy, failures: int, jitter: float = 0.0, *, gave_up: bool = False) -> float:
    """Seconds before the next try, after `failures` failures in a row; `jitter` is a number from -1 to 1."""
    if gave_up:
        return max(0.0, policy.retry_every * (1 + policy.jitter * jitter))
    try:
        plain = policy.backoff_initial * policy.backoff_factor ** max(0, failures - 1)
    except OverflowError:
        plain = policy.backoff_max
    return max(0.0, min(plain, policy.backoff_max) * (1 + policy.jitter * jitter))


def start_deadline(spec: WorkerSpec, since: float) -> float | None:
    """Until when a run that is starting has to be ready or, without a start timeout, when it counts as stable.

    Never where something else says that it is ready, or where its program may not have begun by then.
    """
    if spec.start_timeout:
        return since + spec.start_timeout
    return None if spec.ready_probe or spec.hooks.before_start else since + spec.restart.stable_after


def words_of(exit: Exit | None) -> str:
    """How a run ended, in a few words: the reason that was given, else the status or the signal."""
    if exit is None:
        return "unknown end"
    if exit.reason:
        return exit.reason
    if exit.signal is not None:
        return f"signal {exit.signal}"
    return "unknown end" if exit.code is None else f"exit {exit.code}"
