"""Why a worker does not run: the words of its blockers, and the one sentence that API, command line and page share."""

from dataclasses import replace

import pytest

from supervisor_core.model import (
    Condition,
    Exit,
    Health,
    OnGiveUp,
    Pool,
    Requirement,
    RestartPolicy,
    RestartWhen,
    Schedule,
    State,
    Status,
    WorkerSpec,
)
from supervisor_core.why import blockers, listed, span, why


def status(name: str = "db", state: State = State.RUNNING, **fields: object) -> Status:
    values = {"wanted": True, "ready": state is State.RUNNING, **fields}
    return Status(WorkerSpec(name), state=state, **values)  # type: ignore[arg-type]


BACKOFF = Status(
    WorkerSpec("db", restart=RestartPolicy(max_restarts=5)),
    state=State.BACKOFF,
    wanted=True,
    failures=4,
    tries=3,
    since=100.0,
    deadline=108.0,
    last_exit=Exit(3, code=1),
)


@pytest.mark.parametrize(
    ("target", "why", "for_good"),
    [
        (None, "there is no such worker", True),
        (BACKOFF, "back-off, try 3 of 5, exit 1", False),
        (status(state=State.STARTING), "starting", False),
        (status(ready=False), "not ready", False),
        (status(state=State.STOPPED, wanted=False), "stopped", True),
        (status(state=State.STOPPED, wanted=False, stopped_by="ann"), "stopped by ann", True),
        (status(state=State.STOPPED, wanted=False, enabled=False), "disabled", True),
        (replace(BACKOFF, gave_up=True), "gave up after 3 failures, exit 1", False),
        (status(state=State.FAILED, last_exit=Exit(1, signal=9)), "failed: signal 9", True),
        (status(state=State.DONE, last_exit=Exit(1, code=0)), "has ended: exit 0", True),
        (status(state=State.STOPPING, wanted=False), "being stopped", True),
        (status(state=State.STOPPING), "stopping, to start again", False),
        (status(state=State.KILLING, wanted=False), "being killed", True),
        (status(state=State.KILLING, stuck=True), "killed, and still there", True),
        (status(removing=True), "being removed", True),
        (status(cycling=True), "to be restarted", False),
        (status(wanted=False), "to be stopped", True),
        (status(state=State.BLOCKED), "not started yet", False),
    ],
)
def test_a_blocker_says_why(target: Status | None, why: str, for_good: bool):
    statuses = {} if target is None else {"db": target}
    (blocker,) = blockers([Requirement("db")], statuses)
    assert (blocker.why, blocker.for_good) == (why, for_good)
    assert blocker.next == (108.0 if target is not None and target.state is State.BACKOFF else None)


def test_the_root_of_a_chain_is_told():
    statuses = {"disk": status("disk", State.STOPPED, wanted=False)}
    for name, target in (("db", "disk"), ("app", "db"), ("web", "app")):
        reasons = blockers([Requirement(target)], statuses)
        statuses[name] = status(name, State.BLOCKED, blocked_on=reasons)
    assert statuses["web"].blocked_on[0].why == "waits for disk: stopped"
    assert statuses["web"].blocked_on[0].for_good


def test_a_pool_at_the_root_is_told_and_another_way_is_not():
    waits = blockers([Requirement("db")], {"db": status(state=State.STARTING)})
    chain = {"app": status("app", State.BLOCKED, blocked_on=waits), "db": status(state=State.STARTING)}
    assert blockers([Requirement("app")], chain)[0].why == "waits for others"
    slots = tuple(replace(each, worker="pool gpu", condition="slot") for each in waits)
    chain = {"app": status("app", State.BLOCKED, blocked_on=slots)}
    assert blockers([Requirement("app")], chain)[0].why == "waits for a slot of pool gpu"


def test_the_next_try_at_the_root_of_a_chain_comes_along():
    statuses = {"db": BACKOFF}
    for name, target in (("app", "db"), ("web", "app")):
        statuses[name] = status(name, State.BLOCKED, blocked_on=blockers([Requirement(target)], statuses))
    (reason,) = statuses["web"].blocked_on
    assert (reason.why, reason.next) == ("waits for db: back-off, try 3 of 5, exit 1", 108.0)
    assert why(statuses["web"], statuses, 100.5) == (
        "web waits for app (waits for db: back-off, try 3 of 5, exit 1, next in 8 s)"
    )
    assert why(statuses["web"], statuses) == "web waits for app (waits for db: back-off, try 3 of 5, exit 1)"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition.HEALTHY, "not healthy"),
        (Condition.LOG, "has not written /up/ yet"),
        (Condition.COMPLETED, "not finished"),
        (Condition.READY, "not ready"),
    ],
)
def test_what_a_target_that_is_up_lacks(condition: Condition, words: str):
    target = status(ready=False)
    assert blockers([Requirement("db", condition, pattern="up")], {"db": target})[0].why == words


FAILING = RestartPolicy(RestartWhen.ON_FAILURE, max_restarts=5)
EXIT = Exit(1, code=1)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (status(), ""),
        (status(ready=False), "db runs and is not ready"),
        (status(health=Health.UNHEALTHY), "db runs and is unhealthy"),
        (status(wanted=False, waiting_for=("a", "b")), "db is to be stopped, after a and b"),
        (status(state=State.STARTING), "db is starting"),
        (status(state=State.STOPPING, deadline=110.0), "db is stopping, to start again; killed in 10 s"),
        (status(state=State.STOPPING, wanted=False, stopped_by="ann"), "db is stopping, asked to by ann"),
        (status(state=State.KILLING), "db is being killed"),
        (status(state=State.KILLING, stuck=True), "db was killed and is still there; no new run begins while it is"),
        (status(state=State.STOPPING, removing=True), "db is being removed"),
        (status(state=State.BLOCKED), "db is about to start"),
        (BACKOFF, "db is in back-off, try 3 of 5, exit 1, next in 8 s"),
        (replace(BACKOFF, gave_up=True, deadline=700.0),
         "db gave up after 3 failures (exit 1), tried anew in 10 min"),
        (status(state=State.STOPPED, wanted=False, stopped_by="ann"),
         "db was stopped by ann; start it"),
        (status(state=State.STOPPED, wanted=False, stopped_by="dependency"),
         "db was stopped, as it follows a worker that is gone; start it"),
        (status(state=State.STOPPED), "db was stopped with the service; start it"),
        (status(state=State.STOPPED, wanted=False),
         "db does not start by itself, and nobody started it; start it"),
        (status(state=State.STOPPED, wanted=False, enabled=False), "db is disabled; enable it, then start it"),
        (status(state=State.DONE, last_exit=Exit(1, code=0)), "db has ended: exit 0; start it to run it again"),
        (status(state=State.DONE, last_exit=Exit(1, code=0), enabled=False),
         "db is disabled and has ended: exit 0; enable it, then start it"),
        (Status(WorkerSpec("db", restart=FAILING), state=State.FAILED, tries=6, last_exit=EXIT),
         "db failed: exit 1 after 5 restarts within 10 min, which is its limit; start it to try again"),
        (Status(WorkerSpec("db"), state=State.FAILED, last_exit=EXIT),
         "db failed: exit 1, and is never restarted by itself; start it to try again"),
        (Status(WorkerSpec("db", restart=FAILING), state=State.FAILED,
                last_exit=Exit(1, reason="no such file: x", permanent=True)),
         "db failed: no such file: x, which another try would not change; start it to try again"),
        (Status(WorkerSpec("db", restart=FAILING), state=State.FAILED, last_exit=EXIT, enabled=False),
         "db failed: exit 1, and is disabled; enable it, then start it"),
    ],
)  # fmt: skip
def test_every_state_has_its_sentence(told: Status, words: str):
    assert why(told, {}, 100.0) == words


def test_a_schedule_says_when():
    spec = WorkerSpec("report", schedule=Schedule(every=600.0))
    told = Status(spec, wanted=False)
    assert why(told, {}, 0.0, planned=7200.0) == "report was not started yet; its schedule starts it in 2 h"
    assert why(told, {}, planned=7200.0) == "report was not started yet; its schedule starts it again"
    assert why(replace(told, enabled=False), {}, 0.0, planned=7200.0) == (
        "report is disabled; enable it, then start it"
    )


def test_a_slot_says_who_has_them_and_who_is_next():
    spec = WorkerSpec("x", pool=Pool("gpu", 2))
    statuses = {}
    for number, name in enumerate(("train-0", "train-1")):
        statuses[name] = Status(replace(spec, name=name), state=State.RUNNING, wanted=True, slot=number)
    for name in ("train-10", "train-2"):
        statuses[name] = Status(replace(spec, name=name), state=State.BLOCKED, wanted=True, wanted_since=5.0)
    from supervisor_core.pools import no_slot

    waiting = {name: replace(each, blocked_on=no_slot(Pool("gpu", 2))) for name, each in statuses.items()}
    assert why(waiting["train-2"], waiting, 9.0) == (
        "train-2 waits for a slot of pool gpu: 2 of 2 are taken by train-0 and train-1; it is next"
    )
    assert why(waiting["train-10"], waiting, 9.0).endswith("train-0 and train-1; 1 waits before it")
    assert why(waiting["train-2"], {}) == "train-2 waits for a slot of pool gpu: all 2 slots are taken"


def test_a_retry_after_giving_up_is_told_without_a_clock_too():
    told = replace(BACKOFF, gave_up=True, spec=WorkerSpec("db", restart=replace(FAILING, on_give_up=OnGiveUp.RETRY)))
    assert why(told, {}) == "db gave up after 3 failures (exit 1), and is tried anew later"


def test_spans_and_lists():
    seconds = (0, 0.2, 8, 59.5, 60, 192, 3600, 15120, 86400, 273600, -3)
    assert [span(each) for each in seconds] == [
        "0 s", "1 s", "8 s", "1 min", "1 min", "3 min 12 s", "1 h", "4 h 12 min", "1 d", "3 d 4 h", "0 s",
    ]  # fmt: skip
    assert listed("a") == "a"
    assert listed("abc") == "a, b and c"
    assert listed([*"abcdefgh"]) == "a, b, c, d, e, f and 2 others"
