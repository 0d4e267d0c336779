"""Circles, closures, orders, blockers."""

import random

import pytest

from supervisor_core.graph import Graph, circle, closure, live_dependents, met, order, path_in_words
from supervisor_core.model import (
    Condition,
    Health,
    Program,
    Requirement,
    State,
    Status,
    WorkerSpec,
)


def edges(text: str) -> dict[str, tuple[Requirement, ...]]:
    """Reads "web: app db, app: db, db:"."""
    pairs = (part.partition(":") for part in text.split(","))
    return {name.strip(): tuple(Requirement(target) for target in targets.split()) for name, _, targets in pairs}


def status(name: str = "db", state: State = State.RUNNING, **fields: object) -> Status:
    values = {"wanted": True, "ready": state is State.RUNNING, **fields}
    return Status(WorkerSpec(name), state=state, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a:, b: a, c: a b", ""),
        ("a: nobody", ""),
        ("a: a", "a requires a"),
        ("a: b, b: c, c: a", "a requires b requires c requires a"),
        ("x: a, a: b, b: a", "a requires b requires a"),
        ("a: b c, b: d, c: d, d:", ""),
    ],
)
def test_a_circle_is_a_path(text: str, path: str):
    assert path_in_words(circle(edges(text))) == path


def test_only_circles_within_reach_are_looked_for():
    assert circle(edges("x: a, a: b, b: a, y:"), "y") == ()
    assert circle(edges("x: a, a: b, b: a, y:"), "x") == ("a", "b", "a")


def test_a_long_chain_has_no_circle():
    chain = {f"w{i}": (Requirement(f"w{i + 1}"),) for i in range(5000)}
    assert circle(chain) == ()
    assert circle(chain | {"w5000": (Requirement("w0"),)})[0] == "w0"


def test_the_order_of_requirement():
    assert order(edges("web: app, app: db cache, db:, cache: db, alone:")) == ("db", "alone", "cache", "app", "web")


def test_a_closure_is_nearest_first_and_without_its_start():
    requires = edges("web: app db, app: db, db: disk, disk:")
    assert closure("web", lambda name: [edge.name for edge in requires[name]]) == ("app", "db", "disk")


def test_levels_stay_right_whatever_is_put_and_dropped():
    rng, names = random.Random(1), [f"w{i}" for i in range(12)]
    graph, now = Graph(), {}
    for _ in range(600):
        at = rng.randrange(12)
        if rng.random() < 0.2:
            graph.drop(names[at])
            now.pop(names[at], None)
        else:
            now[names[at]] = tuple(Requirement(other) for other in names[:at] if rng.random() < 0.3)
            graph.put(names[at], now[names[at]])
        assert graph.requires == now
        for name, targets in now.items():
            assert all(graph.levels[name] > graph.levels.get(edge.name, -1) for edge in targets)
            assert all(name in {back.name for back in graph.dependents[edge.name]} for edge in targets)
        backs = {(back.name, target) for target, found in graph.dependents.items() for back in found}
        assert backs == {(name, edge.name) for name, targets in now.items() for edge in targets}


@pytest.mark.parametrize(
    ("target", "condition", "is_met"),
    [
        (None, Condition.READY, False),
        (status(), Condition.READY, True),
        (status(ready=False), Condition.READY, False),
        (status(wanted=False), Condition.READY, False),
        (status(removing=True), Condition.READY, False),
        (status(cycling=True), Condition.READY, False),
        (status(state=State.STARTING), Condition.READY, False),
        (status(state=State.STARTING), Condition.STARTED, True),
        (status(state=State.STOPPING), Condition.STARTED, False),
        (status(state=State.BLOCKED), Condition.STARTED, False),
        (status(), Condition.HEALTHY, False),
        (status(health=Health.HEALTHY), Condition.HEALTHY, True),
        (status(), Condition.LOG, False),
        (status(matched=("up",)), Condition.LOG, True),
        (status(state=State.STARTING, matched=("down", "up")), Condition.LOG, True),
        (status(state=State.STOPPING, matched=("up",)), Condition.LOG, False),
        (status(state=State.DONE, wanted=False), Condition.COMPLETED, True),
        (status(state=State.DONE), Condition.COMPLETED_SUCCESSFULLY, True),
        (status(state=State.FAILED), Condition.COMPLETED, True),
        (status(state=State.FAILED), Condition.COMPLETED_SUCCESSFULLY, False),
        (status(state=State.STOPPED), Condition.COMPLETED, False),
    ],
)
def test_when_a_requirement_is_met(target: Status | None, condition: Condition, is_met: bool):
    assert met(Requirement("db", condition, pattern="up" if condition is Condition.LOG else ""), target) is is_met


def test_a_program_has_started_when_it_has_a_pid():
    spec = WorkerSpec("db", program=Program(("/bin/db",)))
    edge = Requirement("db", Condition.STARTED)
    assert not met(edge, Status(spec, state=State.STARTING, wanted=True))
    assert met(edge, Status(spec, state=State.STARTING, wanted=True, pid=7))


def test_who_holds_a_worker():
    graph = Graph()
    requires = edges("db:, a: db, b: db, c: db, d: db, e:")
    requires["e"] = (Requirement("db", Condition.COMPLETED),)
    for name, targets in requires.items():
        graph.put(name, targets)
    statuses = {name: status(name) for name in requires}
    statuses["b"] = status("b", State.STOPPING, wanted=False)
    statuses["c"] = status("c", State.KILLING, stuck=True)
    statuses["d"] = status("d", State.BLOCKED)
    assert live_dependents("db", graph, statuses) == ("a", "b")
