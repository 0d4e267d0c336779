"""An order that one can wait for, and the judge of what became of it.

Pure functions from one status of a worker to a verdict, or None for not yet. An operation is about a worker
and a *floor*: the first run that counts as its new one. The judge looks at the status alone, never at the history, so
it says the same after a gap. No JSON, no waiting.

Known wart: a coroutine that never says that it is ready counts as settled once it has been up for its stable time.
"""

import signal
from dataclasses import dataclass

from supervisor_core.model import REST, Exit, RestartWhen, State, Status
from supervisor_core.policy import words_of

ENDING = frozenset({State.STOPPING, State.KILLING})


@dataclass(frozen=True, slots=True)
class Operation:
    """One order and what became of it: pending, done, failed, superseded. Times in seconds since the epoch.

    `run` is the run that settled it; `code` the stable word for a failure; `first` the first run that counts as new.
    """

    id: str
    action: str
    worker: str
    by: str
    asked: float
    state: str = "pending"
    outcome: str = ""
    run: int | None = None
    reason: str = ""
    until: str = "ready"
    code: str = ""
    first: int = 0

    @property
    def settled(self) -> bool:
        return self.state != "pending"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an operation ended: done, failed or superseded; `code` is the stable word for a failure."""

    state: str
    outcome: str
    code: str = ""


def first_run(action: str, before: Status) -> int:
    """The floor of a start or restart given to a worker that was as in `before`."""
    joins = action == "start" and before.state in (State.STARTING, State.RUNNING)
    return before.run if joins else before.run + 1


def wants_run(action: str) -> bool:
    return action in ("start", "restart")


def judge(action: str, until: str, floor: int, now: Status, by: str = "") -> Verdict | None:
    """What a status means for an operation; `by` is who caused the change."""
    if wants_run(action):
        return _judge_start(until, floor, now, by)
    return _judge_stop(now, by)


def with_kill(verdict: Verdict, action: str, now: Status, stopping: float | None, killed: float | None) -> Verdict:
    """A stop that had to kill says so, and after how long; when it was in stopping and when in killing, if ever."""
    if verdict.state == "done" and action == "stop" and killed is None and _killed_by_steps(now):
        return Verdict("done", f"killed after {now.spec.stop.timeout - now.spec.stop.after:.3g} s")
    if verdict.state != "done" or wants_run(action) or killed is None:
        return verdict
    if action == "kill":
        return Verdict("done", "killed")
    waited = now.spec.stop.timeout if stopping is None else killed - stopping
    return Verdict("done", f"killed after {waited:.3g} s")


def _killed_by_steps(now: Status) -> bool:
    """Whether a run whose after_stop has a time of its own used up that of its signals before."""
    last = now.last_exit
    return now.spec.stop.after > 0 and last is not None and last.signal == signal.SIGKILL and last.by != ""


def switched(now: Status) -> str:
    """What enabling or disabling led to, in words."""
    if not now.enabled and now.live:
        return f"disabled; run {now.run} goes on, and nothing starts another one: stop it to end this one"
    if not now.enabled:
        return "disabled; nothing starts it until it is enabled"
    if now.live or now.wanted:
        return "enabled"
    return "enabled; it starts with the service, or by an order" if now.spec.autostart else "enabled; start it"


def _judge_stop(now: Status, by: str) -> Verdict | None:
    if now.state in REST:
        return Verdict("done", "stopped")
    if now.wanted and not now.removing:
        return Verdict("superseded", f"{now.name} was started again{_by(by)}")
    if now.stuck:
        return Verdict("failed", f"{now.name} was killed and is still there ({_what(now)})", "stuck")
    return None


def _judge_start(until: str, floor: int, now: Status, by: str) -> Verdict | None:
    name, exit = now.name, now.last_exit
    if now.removing:
        return Verdict("superseded", f"{name} is being removed{_by(by)}")
    if not now.enabled and (now.run < floor or not now.live):
        return Verdict("superseded", f"{name} was disabled{_by(by)}")
    if now.state is State.DONE and now.run >= floor and (until == "done" or _once(now)):
        return Verdict("done", f"run {now.run} is done: {words_of(exit)}")
    if until == "ready" and now.run >= floor:
        if now.state is State.RUNNING and now.ready:
            return Verdict("done", f"run {now.run} is ready")
        if _stable(now):
            return Verdict("done", f"run {now.run} is up")
        if now.state is State.DONE:
            return Verdict("failed", f"run {now.run} ended before it was ready: {words_of(exit)}", "ended")
    if not now.wanted:
        return Verdict("superseded", f"{name} was stopped{_by(by)}")
    if now.state is State.FAILED and _since(exit, floor):
        return Verdict("failed", f"{name} has failed and is not tried again: {words_of(exit)}", "gave_up")
    if until == "ready" and _ended_early(floor, now):
        why = now.blame if now.blame and now.live else words_of(exit)
        return Verdict("failed", f"run {exit.run if exit else now.run} ended before it was ready: {why}", "ended")
    if now.blocked_for_good:
        reasons = ", ".join(f"{b.worker} ({b.why})" for b in now.blocked_on if b.for_good)
        return Verdict(
            "failed", f"{name} waits for {reasons}, and nothing that is under way will change that", "blocked"
        )
    if now.stuck and now.run < floor:
        sentence = f"{name} was killed and is still there ({_what(now)}), so no new run begins"
        return Verdict("failed", sentence, "stuck")
    return None


def _once(now: Status) -> bool:
    """Whether it is a job that does its work and ends: a normal end is then what was asked for."""
    return now.spec.one_shot or now.spec.restart.restart is RestartWhen.NEVER


def _since(exit: Exit | None, floor: int) -> bool:
    return exit is not None and exit.run >= floor


def _ended_early(floor: int, now: Status) -> bool:
    """Whether a run that counts has ended, or is being ended for its own fault, without having been ready."""
    if now.spec.daemon and now.live and now.run >= floor:
        return False  # its main process may leave
    return _since(now.last_exit, floor) or (now.run >= floor and now.state in ENDING and now.blame is not None)


def _stable(now: Status) -> bool:
    given_time = now.spec.start_timeout or now.spec.ready_probe or now.spec.hooks.before_start
    return now.state is State.STARTING and now.deadline is None and not given_time


def _what(now: Status) -> str:
    return f"pid {now.pid}" if now.leader_gone is None else f"main gone, {now.leader_gone} left"


def _by(by: str) -> str:
    return f" by {by}" if by else ""
