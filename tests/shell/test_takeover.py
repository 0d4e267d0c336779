"""The manager is restarted: one supervisor goes without a word and another one goes on from the notes and what lives.

The death is played by `FakeSpawner.successor`: what the old supervisor does from then on reaches nobody, so that it
can be shut down to leave no task behind.
"""

import asyncio
import signal
from dataclasses import replace

import pytest

from supervisor_core import RestartPolicy, RestartWhen, State, StopPolicy, Supervisor, WorkerSpec
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.messages import Kill, Shutdown, Start, Stop
from supervisor_core.model import Follow, OnGiveUp, Program, Requirement
from tests.shell.minions import Lines
from tests.support.virtual import VirtualClock, virtual

RETRY = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=8.0, backoff_max=8.0, on_give_up=OnGiveUp.FAIL)
DB = WorkerSpec("db", restart=RETRY, program=Program(("/bin/db",)), stop=StopPolicy((("TERM", 10.0),)))
WEB = replace(DB, name="web", requires=(Requirement("db", follow=Follow.RESTART),), program=Program(("/bin/web",)))


class Service:
    """One supervisor after the other over what lives."""

    def __init__(self, *specs):
        self.specs = specs
        self.spawner = FakeSpawner()

    def begin(self, **how):
        self.lines = Lines()
        self.supervisor = Supervisor(stay=True, spawner=self.spawner, logger=self.lines, clock=VirtualClock())
        self.supervisor.adopt(self.specs, **how)
        self.running = asyncio.create_task(self.supervisor.run())

    async def die(self):
        self.spawner = self.spawner.successor()
        self.supervisor.tell(Shutdown())
        await self.running

    async def leave(self):
        await self.end()
        self.spawner = self.spawner.successor()

    async def restart(self, *, in_order=False, **how):
        await (self.leave() if in_order else self.die())
        self.begin(**how)
        await asyncio.sleep(0.01)

    async def end(self):
        self.supervisor.tell(Shutdown(now=True))
        await self.running

    def state(self, name):
        status = self.supervisor.status(name)
        return status.state, status.run


def service(*specs):
    """Gives the test a service whose workers have been up for a while."""

    def mark(test):
        async def wrapper():
            played = Service(*specs)
            played.begin()
            await asyncio.sleep(5)
            await test(played)
            await played.end()

        wrapper.__name__ = test.__name__
        return wrapper

    return mark


@virtual
@service(DB, WEB)
async def test_nobody_is_started_or_ended_by_it(s):
    children = dict(s.spawner.children)
    await s.restart()
    assert {n: s.state(n) for n in ("db", "web")} == {"db": (State.RUNNING, 1), "web": (State.RUNNING, 1)}
    assert [s.supervisor.status(n).pid for n in children] == [child.pid for child in children.values()]
    assert len(s.spawner.requests) == 2
    assert all(not child.signals and not child.killed for child in s.spawner.children.values())
    s.spawner.children["db"].exit(1)
    await asyncio.sleep(20)
    assert s.state("db") == (State.RUNNING, 2)
    assert s.state("web") == (State.RUNNING, 2), "the run that it began with is known still"


@virtual
@service(DB, WEB)
async def test_what_a_person_stopped_stays_stopped(s):
    s.supervisor.tell(Stop("web", by="ann"))
    await asyncio.sleep(1)
    await s.restart()
    assert s.state("web") == (State.STOPPED, 1)
    assert s.supervisor.status("web").last_exit.by == "ann"
    s.supervisor.tell(Start("web"))
    await asyncio.sleep(2)
    assert s.state("web") == (State.RUNNING, 2)
    assert s.spawner.attach("web", 1) is None, "its end was forgotten"


@virtual
@service(DB)
async def test_an_end_while_nobody_looks_is_taken_by_policy(s):
    await s.die()
    seen = VirtualClock().now()
    s.spawner.children["db"].exit(3, at=seen)
    await asyncio.sleep(4)
    s.begin()
    await asyncio.sleep(0.01)
    status = s.supervisor.status("db")
    assert (status.state, status.failures, status.last_exit.code) == (State.BACKOFF, 1, 3)
    assert status.last_exit.at == pytest.approx(seen)
    await asyncio.sleep(9)
    assert s.state("db") == (State.STARTING, 2) or s.state("db") == (State.RUNNING, 2)


@virtual
@service(DB)
async def test_a_backoff_goes_on_with_what_is_left(s):
    s.spawner.children["db"].exit(1)
    await asyncio.sleep(6)
    await s.restart()
    assert s.state("db") == (State.BACKOFF, 1)
    await asyncio.sleep(2.1)
    assert s.state("db")[1] == 2


@virtual
@service(DB)
async def test_a_stop_under_way_ends_as_ordered(s):
    s.spawner.children["db"].ignores.add(signal.SIGTERM)
    s.supervisor.tell(Stop("db", by="ann"))
    await asyncio.sleep(6)
    await s.restart()
    assert s.state("db") == (State.STOPPING, 1)
    child = s.spawner.children["db"]
    await asyncio.sleep(3.5)
    assert not child.killed
    await asyncio.sleep(1)
    assert child.killed
    assert s.state("db") == (State.STOPPED, 1)
    assert not s.supervisor.status("db").wanted


@virtual
@service(DB)
async def test_a_kill_that_was_not_carried_out_is(s):
    s.supervisor.tell(Kill("db"))  # dies before the loop has its turn
    await s.restart()
    assert s.spawner.children["db"].killed
    assert s.state("db") == (State.STOPPED, 1)


@virtual
@service(DB)
async def test_a_kill_right_after_the_attaching_reaches_what_lives(s):
    await s.die()
    s.begin()
    s.supervisor.tell(Kill("db"))
    await asyncio.sleep(0.01)
    assert s.spawner.children["db"].killed
    assert s.state("db") == (State.STOPPED, 1)


@virtual
@service(DB)
async def test_a_launch_that_was_only_intended_is_made_again(s):
    s.supervisor.tell(Stop("db"))
    await asyncio.sleep(1)
    s.spawner.hold("db")
    s.supervisor.tell(Start("db"))
    await asyncio.sleep(1)
    await s.restart()
    status = s.supervisor.status("db")
    assert (status.state, status.run, status.failures, status.last_exit.run) == (State.STARTING, 3, 0, 1)
    assert s.spawner.live() == [("db", 3, status.pid)]


@virtual
@service(DB)
async def test_one_that_nobody_knows_any_more_has_failed(s):
    await s.die()
    s.spawner.children["db"].exit(0)
    s.spawner.forget("db", 1)
    s.begin()
    await asyncio.sleep(0.01)
    status = s.supervisor.status("db")
    assert (status.state, status.last_exit.code) == (State.BACKOFF, None)
    assert "knows nothing of it" in status.last_exit.reason


@virtual
@service(DB, WEB)
async def test_one_that_is_in_no_config_any_more_is_stopped_in_order(s):
    s.specs = (DB,)
    await s.restart()
    assert s.supervisor.status("web") is None
    assert s.spawner.children["web"].signals == [(signal.SIGTERM, True)]
    s.specs = (DB, WEB)
    await s.restart()
    assert s.state("web") == (State.STARTING, 2), "its numbers go on"


@virtual
@service(DB)
async def test_a_run_of_an_older_config_goes_on_and_says_so(s):
    s.specs = (replace(DB, program=Program(("/bin/db", "--new"))),)
    await s.restart()
    assert s.state("db") == (State.RUNNING, 1)
    assert s.supervisor.status("db").outdated
    s.spawner.children["db"].exit(1)
    await asyncio.sleep(10)
    assert not s.supervisor.status("db").outdated
    assert s.spawner.requests[-1].argv == ("/bin/db", "--new")


@virtual
@service(DB, WEB)
async def test_the_start_of_a_service_asks_autostart(s):
    s.supervisor.tell(Stop("web", by="ann"))
    await asyncio.sleep(1)
    await s.restart(fresh=True, in_order=True)
    assert s.state("db") == (State.STARTING, 2)
    await asyncio.sleep(2)
    assert s.state("web") == (State.RUNNING, 2)


@virtual
@service(DB, WEB)
async def test_the_start_of_a_service_that_was_cut_off_leaves_stopped_what_somebody_had_stopped(s):
    s.supervisor.tell(Stop("web", by="ann"))
    await asyncio.sleep(1)
    await s.restart(fresh=True)
    assert s.state("db") == (State.RUNNING, 1)
    assert s.state("web") == (State.STOPPED, 1)
    await s.restart(fresh=True)
    assert s.state("web") == (State.STOPPED, 1)
