"""Notes: what one supervisor writes of a worker, and another one reads."""

import json
import random
from dataclasses import replace

import pytest

from supervisor_core.adopting import adoption
from supervisor_core.dossier import Memory
from supervisor_core.errors import SupervisorError
from supervisor_core.machine import Machine
from supervisor_core.messages import Begin, Exited
from supervisor_core.model import (
    Exit,
    Program,
    Requirement,
    RestartPolicy,
    RestartWhen,
    State,
    Status,
    StopPolicy,
    WorkerSpec,
)
from supervisor_core.notes import digest_of, recall, remember, remember_number
from tests.core.restarts import live_through_restarts

PROGRAM = Program(("/bin/x", "a"), environment={"TOKEN": "hunter2"}, secrets={"KEY": "/run/key"})
SPEC = WorkerSpec("web", (Requirement("db"),), stop=StopPolicy((("INT", 3.0), ("TERM", 4.0)), 1.5), program=PROGRAM)
LIVE = Status(SPEC, state=State.RUNNING, wanted=True, ready=True, run=3, pid=12, since=5.5, last_exit=Exit(2, code=1))


def test_what_stories_remember_comes_back():
    for seed in range(150):
        machine = live_through_restarts(seed).machine
        for name, status in machine.statuses.items():
            noted = recall(machine.note_of(name))
            memory = machine._memories[name]
            assert noted.memory == replace(memory, pending=None, old_run=0)
            again = replace(noted.status, spec=status.spec)
            assert remember(again, noted.memory, leaving=noted.left) == machine.note_of(name)


def test_a_note_tells_no_secrets_and_how_to_end_the_run():
    note = remember(LIVE, Memory(seen={"db": 7}, launched=digest_of(SPEC)))
    assert b"hunter2" not in note
    assert b"TOKEN" not in note
    spec = recall(note).status.spec
    assert (spec.name, spec.stop, spec.autostart) == ("web", SPEC.stop, False)


def test_a_name_may_be_anything():
    odd = replace(LIVE, spec=replace(SPEC, name="a\udcff \n☃"))
    assert recall(remember(odd, Memory())).status.name == "a\udcff \n☃"


def test_the_format_only_grows():
    note = json.loads(remember(LIVE, Memory()))
    assert recall(json.dumps(note | {"mood": "fine"}).encode()).status.run == 3
    with pytest.raises(SupervisorError, match="its format is 2, this version knows 1"):
        recall(json.dumps(note | {"v": 2}).encode())


def test_a_damaged_note_is_never_another_error():
    note, rng = remember(LIVE, Memory(seen={"db": 7}, tries=(1.0,), leader=Exit(3, code=0))), random.Random(1)
    for at in range(len(note)):
        with pytest.raises(SupervisorError):
            recall(note[:at])
        flipped = bytearray(note)
        flipped[at] ^= 1 << rng.randrange(8)
        try:
            recall(bytes(flipped))
        except SupervisorError as error:
            assert str(error).startswith("the note of a worker cannot be read")  # noqa: PT017
    for key, value in (("run", "x"), ("state", 3), ("since", None), ("tries", 5), ("stop", [[1]]), ("last_exit", [])):
        with pytest.raises(SupervisorError, match="damaged"):
            recall(json.dumps(json.loads(note) | {key: value}).encode())


def test_the_digest_is_of_what_a_run_is_worth_ending_for():
    same = replace(SPEC, labels={"a": "b"}, requires=(), stop=StopPolicy(), autostart=False)
    assert digest_of(same) == digest_of(SPEC)
    for other in (
        replace(SPEC, ready_probe=True),
        replace(SPEC, daemon=True),
        replace(SPEC, program=replace(PROGRAM, environment={"TOKEN": "other"})),
        replace(SPEC, program=replace(PROGRAM, argv=("/bin/y",))),
        replace(SPEC, program=None),
    ):
        assert digest_of(other) != digest_of(SPEC)


def test_the_start_of_a_service_keeps_numbers_ends_and_live_runs():
    rest = replace(LIVE, state=State.FAILED, pid=None, ready=False, failures=3)
    new = recall(remember(rest, Memory(tries=(1.0,)))).fresh()
    assert (new.as_new, new.status.run, new.status.failures, new.memory) == (True, 3, 0, Memory())
    assert new.status.last_exit == rest.last_exit
    live = recall(remember(LIVE, Memory(seen={"db": 7})))
    assert live.fresh() is live


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("leaving", [False, True])
@pytest.mark.parametrize("stopper", ["ann", ""])
def test_what_somebody_had_stopped_stays_so_unless_the_service_left_in_order(wanted, leaving, stopper):
    stopped = replace(LIVE, state=State.STOPPED, pid=None, ready=False, wanted=wanted)
    noted = recall(remember(stopped, Memory(stopper=stopper), leaving=leaving))
    assert noted.fresh().as_new == (wanted or leaving or not stopper)


def test_who_is_alive_is_never_left_out():
    notes = {
        "damaged": b"{",
        "rest": remember(replace(LIVE, spec=replace(SPEC, name="rest"), state=State.STOPPED, wanted=False), Memory()),
        "gone": remember(replace(LIVE, spec=replace(SPEC, name="gone")), Memory()),
        "old": remember_number("old", 9),
    }
    live = [("damaged", 4, 100), ("rest", 5, 101), ("gone", 3, 102), ("unheard", 2, 103), ("unheard", 1, 99)]
    specs = [replace(SPEC, name="damaged"), replace(SPEC, name="rest")]
    found = adoption(specs, notes, live, 50.0)
    told = {add.spec.name: add.remembered.status for add in found.adds}
    assert {name: (s.run, s.state, s.wanted, s.removing) for name, s in told.items()} == {
        "damaged": (4, State.STARTING, True, False),
        "rest": (5, State.STARTING, False, False),
        "gone": (3, State.RUNNING, False, True),
        "unheard": (2, State.STARTING, False, True),
    }
    assert found.numbers == {"old": 9}
    assert set(found.words) == {"damaged"}
    assert {add.spec.name: add.spec.stop for add in found.adds}["gone"] == SPEC.stop


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.STOPPING, State.KILLING])
@pytest.mark.parametrize("when", RestartWhen)
@pytest.mark.parametrize("code", [0, 1, None])
@pytest.mark.parametrize("autostart", [False, True])
def test_what_ended_after_an_order_to_leave_has_not_failed(state, when, code, autostart):
    spec = replace(SPEC, requires=(), restart=RestartPolicy(when), autostart=autostart)
    notes = {"web": remember(replace(LIVE, spec=spec, state=state, failures=2), Memory(tries=(1.0,)))}
    machine = Machine(stay=True)
    for order in (*adoption([spec], notes, [], 50.0, fresh=True, left=True).adds, Begin()):
        machine.handle(order, 50.0)
    machine.handle(Exited("web", 3, Exit(3, code=code, signal=15 if code is None else None)), 51.0)
    now = machine.statuses["web"]
    assert (now.state, now.run) == ((State.STARTING, 4) if autostart else (State.STOPPED, 3))
    assert (now.failures, now.last_exit.by, now.last_exit.code) == (0, "service", code)


def test_who_lives_on_after_an_order_to_leave_goes_on():
    found = adoption([SPEC], {"web": remember(LIVE, Memory())}, [("web", 3, 12)], 50.0, fresh=True, left=True)
    assert found.adds[0].remembered.status.state is State.RUNNING
