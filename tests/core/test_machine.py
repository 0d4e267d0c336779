"""What no scenario can tell: cost, threads' view, and the names that the shell relies on."""

import time
from dataclasses import replace

import pytest

from supervisor_core import settle
from supervisor_core.errors import IllegalInput, Refused
from supervisor_core.machine import KEPT_NAMES, Machine
from supervisor_core.messages import (
    Add,
    Begin,
    Changed,
    Exited,
    Outcome,
    Ready,
    Remove,
    Restart,
    Shutdown,
    Start,
    Stop,
    Tick,
)
from supervisor_core.model import (
    Exit,
    Phase,
    Requirement,
    RestartPolicy,
    RestartWhen,
    State,
    WorkerSpec,
)

RETRY = RestartPolicy(restart=RestartWhen.ON_FAILURE)
COUNT = 1000


def machine_with(*specs: WorkerSpec) -> Machine:
    machine = Machine(stay=True)
    for spec in specs:
        machine.handle(Add(spec), 0)
    machine.handle(Begin(), 0)
    return machine


def crowd(hub: bool) -> list[WorkerSpec]:
    requires = (Requirement("w0"),) if hub else ()
    return [WorkerSpec(f"w{i}", requires if i else (), RETRY) for i in range(COUNT)]


def count_looks(patch: pytest.MonkeyPatch) -> list[str]:
    """The names of the workers that settle looks at from now on: what must not grow with the square of the crowd."""
    looks: list[str] = []
    right = settle.look_at
    patch.setattr(settle, "look_at", lambda turn, name: (looks.append(name), right(turn, name))[1])
    return looks


@pytest.mark.parametrize("hub", [False, True], ids=["independent", "all require one"])
def test_a_thousand_exits_cost_well_under_a_second(hub: bool, monkeypatch: pytest.MonkeyPatch):
    machine = machine_with(*crowd(hub))
    for i in range(COUNT):
        machine.handle(Ready(f"w{i}", 1), 0)
    looks = count_looks(monkeypatch)
    began = time.process_time()
    for i in range(COUNT):
        machine.handle(Exited(f"w{i}", 1, Exit(1, code=1)), 1)
        machine.next_deadline()
    spent = time.process_time() - began
    assert len(looks) <= 3 * COUNT
    assert spent < 3  # 0.07 s on an idle machine
    assert {status.state for status in machine.statuses.values()} == {State.BACKOFF}
    machine.handle(Tick(), 1.1)
    assert machine.statuses["w0"].run == 2


def test_a_shutdown_of_a_thousand_that_hold_one(monkeypatch: pytest.MonkeyPatch):
    machine = machine_with(*crowd(hub=True))
    for i in range(COUNT):
        machine.handle(Ready(f"w{i}", 1), 0)
    looks = count_looks(monkeypatch)
    machine.handle(Shutdown(), 1)
    for i in reversed(range(COUNT)):
        machine.handle(Exited(f"w{i}", 1, Exit(1, code=0)), 2)
    assert machine.phase is Phase.OVER
    assert len(looks) <= 6 * COUNT


def test_a_chain_of_three_hundred_boots_without_a_flood_of_events():
    specs = [WorkerSpec(f"w{i}", (Requirement(f"w{i - 1}"),) if i else ()) for i in range(300)]
    machine = machine_with(*specs)
    events = sum(len(machine.handle(Ready(f"w{i}", 1), 0).events) for i in range(300))
    assert {status.state for status in machine.statuses.values()} == {State.RUNNING}
    assert events <= 3 * 300


def test_statuses_are_replaced_never_changed():
    machine = machine_with(WorkerSpec("a"))
    seen = machine.statuses
    copied = dict(seen)
    machine.handle(Ready("a", 1), 1)
    assert seen == copied
    assert machine.statuses["a"].state is State.RUNNING


def test_the_earliest_deadline_is_the_next():
    machine = machine_with(WorkerSpec("slow", start_timeout=30), WorkerSpec("quick", start_timeout=5))
    assert machine.next_deadline() == 5
    machine.handle(Ready("quick", 1), 1)
    assert machine.next_deadline() == 11
    machine.handle(Tick(), 11)
    assert machine.next_deadline() == 30
    machine.handle(Ready("slow", 1), 12)
    machine.handle(Tick(), 22)
    assert machine.next_deadline() is None


def test_a_tick_before_its_time_changes_nothing():
    machine = machine_with(WorkerSpec("a"))
    assert machine.handle(Tick(), 9.99) == Outcome()


def test_the_jitter_is_asked_once_a_backoff():
    asked = []
    machine = Machine(jitter=lambda: asked.append(1) or 1.0)
    policy = replace(RETRY, backoff_initial=10, backoff_max=10, jitter=0.1)
    machine.handle(Add(WorkerSpec("a", restart=policy)), 0)
    machine.handle(Begin(), 0)
    machine.handle(Exited("a", 1, Exit(1, code=1)), 0)
    assert machine.statuses["a"].deadline == pytest.approx(11)
    assert asked == [1]


def test_a_name_in_use_is_told_apart_from_one_at_rest():
    machine = machine_with(WorkerSpec("a"))
    assert machine.in_use("a")
    assert not machine.in_use("b")
    machine.handle(Exited("a", 1, Exit(1, code=0)), 1)
    assert not machine.in_use("a")


def test_at_rest_and_over():
    machine = Machine()
    assert machine.at_rest
    machine.handle(Add(WorkerSpec("a")), 0)
    assert not machine.at_rest
    machine.handle(Begin(), 0)
    machine.handle(Exited("a", 1, Exit(1, code=0)), 1)
    assert machine.at_rest
    assert machine.phase is Phase.OVER


def test_without_workers_it_is_over_at_once():
    machine = Machine()
    machine.handle(Begin(), 0)
    assert machine.phase is Phase.OVER


def test_the_exit_gets_its_time_and_its_author():
    machine = machine_with(WorkerSpec("a"))
    machine.handle(Stop("a", by="ann"), 1)
    machine.handle(Exited("a", 1, Exit(1, signal=15, at=77.0, by="nobody")), 2)
    last = machine.statuses["a"].last_exit
    assert last is not None
    assert (last.at, last.by, last.signal) == (2, "ann", 15)


def test_the_event_names_who_asked_and_only_for_whom_it_was_asked():
    machine = machine_with(WorkerSpec("db"), WorkerSpec("web", (Requirement("db"),)))
    events = machine.handle(Stop("db", by="ann"), 1).events
    assert [(event.status.name, event.by) for event in events if isinstance(event, Changed)] == [
        ("db", "ann"),
        ("web", ""),
    ]


def test_an_unknown_name_is_refused_with_a_code():
    machine = machine_with()
    for order in (Start("x"), Stop("x"), Restart("x"), Remove("x")):
        with pytest.raises(Refused, match="there is no worker named x") as refused:
            machine.handle(order, 0)
        assert refused.value.code == "unknown_worker"


def test_what_is_neither_order_nor_report_is_illegal():
    machine = machine_with()
    for given in (Begin(), Exit(1), object()):
        with pytest.raises(IllegalInput):
            machine.handle(given, 0)  # type: ignore[arg-type]


def test_run_numbers_of_removed_names_are_kept_up_to_a_bound():
    machine = machine_with()
    for i in range(3):
        machine.handle(Add(WorkerSpec(f"child[{i}]")), 0)
        machine.handle(Exited(f"child[{i}]", 1, Exit(1, code=0)), 0)
        machine.handle(Remove(f"child[{i}]"), 0)
    assert machine._last_runs == {f"child[{i}]": 1 for i in range(3)}
    assert KEPT_NAMES >= 1000
