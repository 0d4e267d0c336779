"""Five workers in a diamond with a tail, and each thing that can happen to one while the next ones start.

Whatever it is: everyone has a state that says why, nothing waits for an event that cannot come, and the shutdown ends.
"""

import asyncio

import pytest

from supervisor_core import Supervisor, Worker
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.messages import Add, Kill, Remove, Restart, Stop
from supervisor_core.model import REST, Program, Requirement, RestartPolicy, State, StopPolicy, WorkerSpec
from tests.shell.minions import Lines
from tests.support.virtual import VirtualClock, virtual

GRAPH = {"base": (), "left": ("base",), "right": ("base",), "join": ("left", "right"), "tail": ("join",)}
SLOW = 3.0
"""Seconds until a worker is ready, so that there is a moment in which it starts."""


def specs(**of_base):
    for name, requires in GRAPH.items():
        fields = {"restart": RestartPolicy(on_give_up="fail"), "stop": StopPolicy((("TERM", 2.0),))}
        fields |= of_base if name == "base" else {}
        program = Program(("run", name), inherit=False, start_seconds=SLOW)
        yield WorkerSpec(name, tuple(Requirement(r) for r in requires), program=program, **fields)


def order(kind):
    return lambda s, _, name: s.tell(kind(name))


EVENTS = {
    "fails": lambda _, children, name: children[name].exit(1),
    "ends well": lambda _, children, name: children[name].exit(0),
    "is killed from outside": lambda _, children, name: children[name].die("KILL"),
    "is stopped": order(Stop),
    "is killed": order(Kill),
    "is removed": order(Remove),
    "is restarted": order(Restart),
}


async def seconds(count):
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=count)


async def begun(**of_base):
    spawner = FakeSpawner()
    s = Supervisor(clock=VirtualClock(), logger=Lines(), spawner=spawner, logs=spawner.store, stay=True)
    for spec in specs(**of_base):
        spawner.accept(spec.name)
        s.tell(Add(spec))
    running = asyncio.create_task(s.run())
    return s, spawner, running


def has_a_reason(status):
    """Whether the status says what it waits for, or waits for nothing, or time will move it."""
    if status.state is State.BLOCKED:
        return bool(status.blocked_on) and all(blocker.why for blocker in status.blocked_on)
    return status.state in REST or status.state is State.RUNNING or status.deadline is not None


async def ends(s, running):
    loop = asyncio.get_running_loop()
    for name in GRAPH:
        status = s.status(name)
        assert status is None or has_a_reason(status), status
    before = loop.time()
    s.shutdown()
    await running
    assert loop.time() - before < 15
    assert all(s.status(name) is None or s.status(name).state in REST for name in GRAPH)


@pytest.mark.row(26)
@pytest.mark.parametrize("what", EVENTS)
@pytest.mark.parametrize("victim", ["base", "left", "join"])
@pytest.mark.parametrize("moment", [0.5, 1.5, 2.5], ids=lambda tier: f"tier {tier:.0f}")
@virtual
async def test_whatever_happens_while_the_next_ones_start(what, victim, moment):
    """`moment` counts in the time that one tier takes to be ready: 0.5 is while `base` starts."""
    s, spawner, running = await begun()
    await seconds(moment * SLOW)
    if s.status(victim).pid is not None or what not in ("fails", "ends well", "is killed from outside"):
        EVENTS[what](s, spawner.children, victim)
    await seconds(60)
    for name, requires in GRAPH.items():
        status = s.status(name)
        if status is not None and status.state is State.STARTING:
            raise AssertionError(f"{name} still starts after a minute")
        if status is not None and status.state is State.RUNNING:
            assert status.ready
        if status is not None and status.state is State.BLOCKED:
            assert {blocker.worker for blocker in status.blocked_on} <= set(requires)
    await ends(s, running)


@pytest.mark.row(26)
@pytest.mark.parametrize(
    ("of_base", "why"),
    [
        ({"autostart": False}, "stopped"),
        ({"ready_probe": True, "start_timeout": 5.0}, "failed"),
    ],
    ids=["skipped", "never ready"],
)
@virtual
async def test_dependents_of_what_never_comes_are_blocked_for_good_and_say_so(of_base, why):
    s, _, running = await begun(**of_base)
    await seconds(60)
    assert s.status("base").state.value == why
    blockers = {name: s.status(name).blocked_on for name in GRAPH if name != "base"}
    assert all(blocker.for_good for found in blockers.values() for blocker in found), blockers
    assert all(found for found in blockers.values())
    assert s.status("tail").run == 0
    await ends(s, running)


@pytest.mark.row(26)
@virtual
async def test_coroutines_too_end_when_what_they_wait_for_fails():
    s = Supervisor(clock=VirtualClock(), logger=Lines())

    async def fails(p):
        raise ValueError("oops")

    async def never(p):
        raise AssertionError("it must not start")

    s.supervise(Worker("base", fails))
    for name, requires in list(GRAPH.items())[1:]:
        s.supervise(Worker(name, never, list(requires)))
    assert [str(error) for error in await s.run()] == ["base: oops"]
    assert {s.status(name).state for name in list(GRAPH)[1:]} == {State.STOPPED}
