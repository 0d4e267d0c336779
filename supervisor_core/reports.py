"""What reports and the timer do to a turn: facts about live runs become causes of the table.

A report about a run that is not the live one is dropped here, and nowhere else. The machine, not the reporter, says
who ended the run (`Exit.by`) and, of an exit that was seen just now, when it was (`Exit.at`).
"""

from dataclasses import replace

from . import policy
from .messages import Exited, Healthy, LeaderExited, Matched, NeverBegan, Ready, Report, Spawned, Unhealthy, Unready
from .model import Exit, Health, OnGiveUp, State, Status
from .policy import Facts, classify, gives_up
from .table import Cause
from .turn import Turn

POLICY = "policy"


def take(turn: Turn, report: Report) -> None:
    """Takes one report about a live run."""
    status = turn.statuses.get(report.name)
    if status is None or not status.live or status.run != report.run:
        return
    name = report.name
    match report:
        case Spawned(pid=pid):
            turn.put(name, "spawned", pid=pid)
        case Ready():
            if turn.step(name, Cause.READY).state is State.RUNNING:
                turn.put(name, ready=True)
                has_come(turn, name)
        case Unready():
            turn.put(name, "unready", ready=False)
        case Healthy():
            turn.put(name, "healthy", health=Health.HEALTHY)
        case Unhealthy(reason=reason):
            turn.put(name, health=Health.UNHEALTHY)
            turn.step(name, Cause.UNHEALTHY, by=POLICY, blame=reason or "unhealthy")
        case Matched(pattern=pattern):
            if pattern not in status.matched:
                turn.put(name, "matched", matched=(*status.matched, pattern))
        case LeaderExited():
            leader_exited(turn, status, report)
        case Exited(exit=exit):
            exited(turn, status, exit)
        case NeverBegan():
            never_began(turn, status)


def has_come(turn: Turn, name: str) -> None:
    """A run is ready or stable: the restart that waited for it has been answered."""
    status = turn.statuses[name]
    if status.restarting is not None and status.run > turn.memories[name].old_run:
        turn.put(name, restarting=None)


# ---------------------------------------------------------------- ends


def leader_exited(turn: Turn, status: Status, report: LeaderExited) -> None:
    """The main process is gone and others are left: they are stopped, unless that is how the worker is made.

    A daemon whose main process fails while it is starting has not become one. A second report only counts anew.
    """
    name, spec = status.name, status.spec
    if status.leader_gone is not None:
        turn.put(name, "counted", leader_gone=report.left)
        return
    exit, ours = judged(turn, status, report.exit)
    turn.put(name, "leader exited", last_exit=exit, leader_gone=report.left)
    turn.remember(name, leader=exit, leader_ours=ours)
    if not spec.daemon or (status.state is State.STARTING and policy.failed(exit, spec.restart)):
        turn.step(name, Cause.HEADLESS)


def judged(turn: Turn, status: Status, exit: Exit) -> tuple[Exit, bool]:
    """The exit with time and author, and whether our signal or our cancel caused it.

    A run that spawned a process gets an interrupt as a signal. A coroutine gets a request, which cannot cause an
    exception: what it raises then is its own error.
    """
    memory = turn.memories[status.name]
    asked = memory.interrupted not in (None, Cause.HEADLESS)
    ours = asked and (memory.killed or status.pid is not None or exit.signal is not None)
    reason = status.blame if status.blame and ours else exit.reason
    at = min(exit.at, turn.now) if exit.at else turn.now
    return replace(exit, run=status.run, at=at, by=memory.ended_by if asked else "", reason=reason), ours


def outlived(turn: Turn, status: Status, at: float) -> Exit:
    """The end of what a main process left, as an exit: its status is that of the main process."""
    memory = turn.memories[status.name]
    assert memory.leader is not None
    if not status.spec.daemon or memory.leader_ours or memory.interrupted is Cause.HEADLESS:
        return memory.leader
    if memory.interrupted is not None:
        return replace(memory.leader, at=at, by=memory.ended_by)
    reason = f"nothing of it is left; its main process had gone before ({policy.words_of(memory.leader)})"
    return replace(memory.leader, at=at, reason=reason)


def exited(turn: Turn, status: Status, exit: Exit) -> None:
    """Nothing of the run is left: classify its end and let the table say what comes then."""
    name, spec, memory = status.name, status.spec, turn.memories[status.name]
    exit, ours = judged(turn, status, exit)
    if memory.leader is not None:
        exit, ours = outlived(turn, status, exit.at), memory.leader_ours
    facts = Facts(
        failed=policy.failed(exit, spec.restart),
        ours=ours,
        interrupted=memory.interrupted,
        ordered=memory.ordered,
        cycling=status.cycling,
        blame=status.blame is not None,
        wanted=status.wanted and not status.removing,
        leaving=turn.leaving,
        permanent=exit.permanent,
        disabled=not status.enabled,
    )
    cause = classify(facts, spec.restart, memory.tries, turn.now)
    goes_on = cause is Cause.AGAIN and status.run <= memory.old_run
    counted = facts.failed or facts.blame
    after = turn.step(
        name,
        cause,
        counted=counted,
        gave_up=cause is Cause.CRASHED
        and counted
        and gives_up(spec.restart, memory.tries, turn.now, permanent=exit.permanent),
        last_exit=exit,
        restarting=status.restarting if goes_on else None,
        spec=memory.pending or spec,
    )
    if cause is Cause.GONE and facts.disabled:
        turn.put(name, wanted=False)
    follows = cause is Cause.AGAIN and memory.interrupted is Cause.FOLLOW
    turn.remember(name, pending=None, automatic=follows or cause is Cause.CRASHED)
    gave_up = cause is Cause.EXHAUSTED and spec.restart.on_give_up is OnGiveUp.SHUTDOWN
    if gave_up or (spec.essential and after.state in (State.DONE, State.FAILED)):
        turn.leave(f"worker {name}")


def never_began(turn: Turn, status: Status) -> None:
    """The run that was to be taken over is none: it has not failed, and if it is wanted, the next one is launched."""
    goes_on = status.wanted and status.enabled and not status.removing and not turn.leaving
    spec = turn.memories[status.name].pending or status.spec
    turn.step(status.name, Cause.AGAIN if goes_on else Cause.GONE, spec=spec, restarting=None)
    if not status.enabled:
        turn.put(status.name, wanted=False)
    turn.remember(status.name, pending=None, automatic=False)


# ---------------------------------------------------------------- the timer


def tick(turn: Turn) -> None:
    """Everything that is due, earliest first."""
    due = [(s.deadline, name) for name, s in turn.statuses.items() if s.deadline is not None and s.deadline <= turn.now]
    for _, name in sorted(due):
        deadline_passed(turn, turn.statuses[name])


def deadline_passed(turn: Turn, status: Status) -> None:
    name, spec = status.name, status.spec
    match status.state:
        case State.STARTING if spec.start_timeout:
            blame = f"did not become ready within {spec.start_timeout:g} s"
            turn.step(name, Cause.TIMEOUT, by=POLICY, blame=blame)
        case State.STARTING | State.RUNNING:
            turn.step(name, Cause.STABLE, deadline=None)
            has_come(turn, name)
        case State.KILLING:
            turn.step(name, Cause.TIMEOUT, deadline=turn.now + spec.stop.kill_timeout)
            if turn.memories[name].overdue >= 2 and not status.stuck:
                turn.put(name, "stuck", stuck=True, restarting=None, cycling=False)
        case State.BACKOFF if status.gave_up:
            turn.step(name, Cause.TIMEOUT, by=POLICY, **turn.forgiven(name))
        case _:
            turn.step(name, Cause.TIMEOUT, by=POLICY)
