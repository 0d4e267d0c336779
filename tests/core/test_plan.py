"""What a reload changes; the dry run and the reload are one value."""

from dataclasses import replace

from supervisor_core.machine import Machine
from supervisor_core.messages import Add, Apply, Begin, Exited, Ready
from supervisor_core.model import (
    Exit,
    Hooks,
    LogPolicy,
    Probe,
    Program,
    Requirement,
    RestartPolicy,
    Schedule,
    State,
    StopPolicy,
    WorkerSpec,
)
from supervisor_core.plan import Change, Plan, plan, while_running

OLD = WorkerSpec("web", program=Program(("/bin/old",)), labels={"tier": "1"})
NEW_PROGRAM = replace(OLD, program=Program(("/bin/new",)))
NEW_STOP = replace(OLD, stop=StopPolicy((("INT", 3.0),)), labels={"tier": "2"})


def test_nothing_differs():
    assert plan({"web": OLD}, [replace(OLD, program=Program(("/bin/old",)))]).empty


def test_added_changed_removed():
    old = {"web": OLD, "gone": WorkerSpec("gone")}
    assert plan(old, [NEW_PROGRAM, WorkerSpec("fresh")]) == Plan(
        added=("fresh",), changed=(Change("web", ("program",)),), removed=("gone",)
    )


def test_a_run_is_ended_only_for_what_it_is_made_of():
    planned = plan({"web": OLD}, [NEW_PROGRAM], running={"web": OLD})
    assert planned.restarted == ("web",)
    planned = plan({"web": OLD}, [NEW_STOP], running={"web": OLD})
    assert planned == Plan(changed=(Change("web", ("stop", "labels"), False, ("stop",)),))
    assert planned.restarted == ()


def test_a_change_is_told_in_the_words_of_the_file_and_no_value_is():
    old = replace(
        OLD,
        program=Program(("/bin/old",), environment={"A": "1", "B": "2"}, secrets={"S": "/a"}),
        restart=RestartPolicy(max_restarts=3),
    )
    new = replace(
        old,
        program=Program(
            ("/bin/new",), environment={"A": "secret", "C": "3"}, secrets={"S": "/b"}, redirect_stderr=True
        ),
        restart=RestartPolicy(max_restarts=4, backoff_max=9.0),
        stop=StopPolicy((("TERM", 3.0),)),
        logs=LogPolicy(keep=1.0),
        labels={"tier": "1", "new": "x"},
        schedule=Schedule(every=60.0),
        source="elsewhere",
    )
    (change,) = plan({"web": old}, [new]).changed
    assert [word for key in change.keys for word in change.words[key]] == [
        "backoff.max", "max_restarts", "stop_timeout", "command", "environment.A", "environment.B", "environment.C",
        "logs.redirect_stderr", "environment.S", "logs.keep", "schedule", "labels.new",
    ]  # fmt: skip
    assert "secret" not in repr(change.words)
    (change,) = plan(
        {"web": new}, [replace(new, schedule=Schedule(every=61.0), stop=StopPolicy((("INT", 3.0),)))]
    ).changed
    assert change.words == {"stop": ("stop_signal",), "schedule": ("schedule.every",)}


def test_one_that_was_only_moved_is_the_same():
    moved = replace(OLD, source="quarterdeck.toml:9")
    assert plan({"web": OLD}, [moved]) == Plan()
    assert plan({"web": OLD}, [moved]).same == ("web",)


def test_what_has_ended_begins_afresh_for_another_program_and_not_for_a_label():
    labelled = replace(OLD, labels={"tier": "9"})
    assert plan({"web": OLD}, [NEW_PROGRAM], ended={"web"}).changed[0].starts
    assert not plan({"web": OLD}, [labelled], ended={"web"}).changed[0].starts


def test_a_schedule_waits_for_its_next_time():
    """A nightly job is neither run by day nor cut off, because somebody edited it."""
    planned = replace(NEW_PROGRAM, schedule=Schedule("0 3 * * *"))
    (change,) = plan({"web": OLD}, [planned], ended={"web"}).changed
    assert (change.restarts, change.starts) == (False, False)
    (change,) = plan({"web": OLD}, [planned], running={"web": OLD}).changed
    assert (change.restarts, change.waits) == (False, ("program",))


def test_a_change_taken_back_before_the_next_run_restarts_nothing():
    planned = plan({"web": NEW_PROGRAM}, [OLD], running={"web": OLD})
    assert planned == Plan(changed=(Change("web", ("program",)),))


def test_workers_of_others_are_left_alone():
    theirs = WorkerSpec("theirs", origin="api")
    assert plan({"theirs": theirs}, []).empty
    planned = plan({"theirs": theirs}, [WorkerSpec("theirs")])
    assert planned.clashes == ("theirs",)
    assert planned.empty


def test_one_that_is_being_removed_is_added_again():
    assert plan({"web": OLD}, [OLD], removing={"web"}).added == ("web",)
    assert plan({"web": OLD}, [], removing={"web"}).empty


def test_the_old_spec_rules_a_live_run_but_for_what_is_taken_at_once():
    new = replace(NEW_STOP, requires=(Requirement("db"),), description="new", autostart=False)
    mixed = while_running(OLD, new)
    assert (mixed.stop, mixed.program) == (OLD.stop, OLD.program)
    assert (mixed.requires, mixed.labels, mixed.description) == (new.requires, new.labels, "new")
    assert mixed.autostart is False


def test_the_dry_run_is_what_is_done():
    machine = Machine(stay=True)
    for spec in (OLD, WorkerSpec("gone"), WorkerSpec("theirs", origin="api")):
        machine.handle(Add(spec), 0)
    machine.handle(Begin(), 0)
    machine.handle(Ready("web", 1), 0)
    specs = (NEW_PROGRAM, WorkerSpec("fresh", autostart=False), WorkerSpec("theirs", description="mine"))
    planned = machine.plan(specs)
    assert planned == Plan(
        added=("fresh",), changed=(Change("web", ("program",), True),), removed=("gone",), clashes=("theirs",)
    )
    machine.handle(Apply(specs), 1)
    assert machine.statuses["web"].state is State.STOPPING
    assert machine.statuses["gone"].removing
    assert machine.statuses["fresh"].state is State.STOPPED
    assert machine.statuses["theirs"].spec.description == ""
    assert machine.plan(specs) == Plan(clashes=("theirs",))
    machine.handle(Exited("web", 1, Exit(1, signal=15)), 2)
    assert machine.statuses["web"].spec == NEW_PROGRAM
    assert machine.statuses["web"].run == 2


def test_a_config_may_turn_its_edges_round():
    machine = Machine(stay=True)
    machine.handle(Add(WorkerSpec("a", requires=(Requirement("b"),))), 0)
    machine.handle(Add(WorkerSpec("b")), 0)
    machine.handle(Apply((WorkerSpec("a"), WorkerSpec("b", requires=(Requirement("a"),)))), 0)
    assert machine.statuses["a"].dependents == ("b",)
    assert machine.statuses["b"].dependents == ()


def test_probes_and_hooks_in_the_words_of_the_file():
    probe = Probe("notify")
    new = replace(
        OLD, ready=probe, ready_probe=True, program=replace(OLD.program, notify=True),
        hooks=Hooks(after_stop=("x",), timeout=5.0), stop=replace(OLD.stop, after=5.0),
    )  # fmt: skip
    (change,) = plan({"web": OLD}, [new], running={"web": OLD}).changed
    assert change.restarts
    words = [word for key in change.keys for word in change.words[key]]
    assert sorted(set(words)) == ["after_stop", "hook_timeout", "ready"]
    (change,) = plan({"web": new}, [replace(new, ready=replace(probe, timeout=5.0))], running={"web": new}).changed
    assert (change.restarts, change.waits) == (False, ("ready",)), "how often is looked is worth no new run"
    (change,) = plan({"web": OLD}, [replace(OLD, hooks=Hooks(before_start=("x",)))], running={"web": OLD}).changed
    assert (change.restarts, change.waits) == (False, ("hooks",))
