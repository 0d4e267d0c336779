"""The listening sockets that outlive a service: who has them when, and who lets go of them."""

import asyncio
import contextlib
import os
import signal
import socket
import sys

import pytest

from supervisor_core.keeper import listeners as held
from supervisor_core.keeper.legacy import Legacy
from supervisor_core.keeper.line import Post
from supervisor_core.keeper.listeners import Listeners
from supervisor_core.keeper.loop import Loop
from supervisor_core.keeper.wire import MOST_FDS, Message
from tests.children.rigs import KeptRig, rig_of


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def is_open(port: int) -> bool:
    with socket.socket() as way:
        return way.connect_ex(("127.0.0.1", port)) == 0


class Holding:
    """A keeper's part, with one socket that only it has; `said` is what it told services that came."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.coming = False
        self.listeners = Listeners(self.loop, lambda: self.coming)
        self.said: list[tuple[Message, tuple[int, ...]]] = []
        self.port = self.hand()

    def hand(self) -> int:
        with listening() as one:
            self.listeners.take({"t": "listeners", "listeners": ["a"]}, (os.dup(one.fileno()),))
            return one.getsockname()[1]

    def greet(self, version: int = 2) -> tuple[Message, tuple[int, ...]]:
        self.listeners.answer({"t": "keepsakes"}, version, lambda *told: self.said.append(told))
        return self.said[-1]

    def run(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()
        self.loop._over = False


@pytest.fixture
def holding(monkeypatch):
    monkeypatch.setattr(held, "AWAY", 0.1)
    one = Holding()
    yield one
    one.listeners.end()
    one.loop.close()


@pytest.mark.row(32)
def test_a_successor_is_given_what_is_held_and_so_is_the_one_after_it(holding):
    holding.listeners.service_died()
    for _ in range(2):
        told, (fd,) = holding.greet()
        assert told == {"t": "keepsakes", "listeners": ["a"]}
        with socket.socket(fileno=os.dup(fd)) as one:
            assert one.getsockname()[1] == holding.port
    assert is_open(holding.port)


@pytest.mark.row(32)
def test_when_no_service_has_come_for_a_while_whoever_connects_is_refused(holding):
    holding.listeners.service_died()
    holding.run(0.06)
    assert is_open(holding.port)
    holding.greet()
    holding.listeners.service_died()  # it said hello and did not come; that begins nothing anew
    holding.run(0.06)
    assert not is_open(holding.port)
    assert holding.greet() == ({"t": "keepsakes", "listeners": ()}, ())


@pytest.mark.row(32)
def test_one_that_is_on_its_way_when_the_time_is_over_may_still_come_but_no_other_one(holding):
    for comes in (True, False):
        holding.listeners.service_died()
        holding.coming = True
        holding.run(0.12)
        assert is_open(holding.port)
        assert len(holding.greet()[1]) == 1
        if comes:
            holding.listeners.service_came()
    holding.coming = False
    holding.listeners.service_died()
    assert not is_open(holding.port)


@pytest.mark.row(32)
def test_one_that_came_in_time_keeps_them_and_its_death_begins_anew(holding):
    for _ in range(2):
        holding.listeners.service_died()
        holding.run(0.03)
        holding.listeners.service_died()
        holding.run(0.03)
        holding.listeners.service_came()
        holding.run(0.06)
    assert is_open(holding.port)


def test_of_two_that_are_told_the_later_ones_count(holding):
    first, second = holding.port, holding.hand()
    assert not is_open(first)
    assert is_open(second)


def test_when_no_successor_is_to_come_nothing_is_held_any_more(holding):
    holding.listeners.end()
    assert not is_open(holding.port)
    assert not is_open(holding.hand())


def test_descriptors_that_could_not_be_opened_here_are_not_believed_in(holding):
    holding.listeners.take({"t": "listeners", "listeners": ["a"]}, ())
    assert not is_open(holding.port)
    assert holding.greet()[1] == ()


@pytest.mark.row(39)
def test_a_service_of_an_earlier_version_finds_the_addresses_free(holding):
    assert holding.greet(version=1)[1] == ()
    assert not is_open(holding.port)


def test_a_keeper_that_may_open_no_more_lets_go_and_says_hello_all_the_same(holding):
    told = []

    def tell(message, fds):
        if fds:
            raise OSError(24, "Too many open files")
        told.append(message)

    holding.listeners.answer({"t": "keepsakes"}, 2, tell)
    assert told == [{"t": "keepsakes"}]
    assert not is_open(holding.port)


# ------------------------------------------------------------ the service's end


class Mail(Post):
    """A line that is up or not as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.up = True
        self.sent: list[Message] = []

    @property
    def clear(self) -> bool:
        return self.up

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        assert all(os.fstat(fd) for fd in fds)
        self.sent.append(message | ({"fds": len(fds)} if fds else {}))


@pytest.fixture
def one():
    with listening() as one:
        yield one


@pytest.mark.row(39)
def test_a_keeper_of_an_earlier_version_is_not_given_what_it_would_not_close(one):
    mail = Mail()
    legacy = Legacy(mail)
    legacy.greeted({"version": 1}, ())
    legacy.listen([("a", one)])
    assert mail.sent == []
    legacy.greeted({"version": 2}, ())
    legacy.tell_again()
    assert mail.sent == [{"t": "listeners", "listeners": ["a"], "fds": 1}]


@pytest.mark.row(39)
def test_what_cannot_be_told_at_once_is_told_as_it_is_then(one):
    mail = Mail()
    legacy = Legacy(mail)
    legacy.greeted({"version": 2}, ())
    mail.up = False
    legacy.listen([("a", gone := listening())])
    gone.close()
    legacy.catch_up()
    assert mail.sent == []
    mail.up = True
    legacy.catch_up()
    legacy.catch_up()
    legacy.listen([("b", one)])
    assert mail.sent == [{"t": "listeners", "listeners": []}, {"t": "listeners", "listeners": ["b"], "fds": 1}]


def test_no_more_are_told_than_one_message_takes(one):
    mail = Mail()
    legacy = Legacy(mail)
    legacy.greeted({"version": 2}, ())
    legacy.listen([(number, one) for number in range(MOST_FDS + 1)])
    assert mail.sent == [{"t": "listeners", "listeners": list(range(MOST_FDS)), "fds": MOST_FDS}]


def test_what_is_passed_on_is_taken_once(one):
    legacy = Legacy(Mail())
    fds = os.dup(one.fileno()), os.dup(one.fileno())
    legacy.greeted({"version": 2, "listeners": ["a"]}, fds[:1])
    assert legacy.inherited == [("a", fds[0])]
    legacy.greeted({"version": 2, "listeners": ["a"]}, fds[1:])
    assert legacy.inherited == [("a", fds[0])]
    os.close(fds[0])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[1])


# ------------------------------------------------------------ both


def has(pid: int, one: socket.socket) -> int:
    """How many descriptors of a process are that socket."""
    count, inode = 0, os.fstat(one.fileno()).st_ino
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            count += os.stat(f"/proc/{pid}/fd/{fd}").st_ino == inode
    return count


@pytest.mark.asyncio
@pytest.mark.row(33, 39)
async def test_each_keeper_has_them_also_one_that_has_become_another_program():
    async with rig_of(KeptRig) as rig:
        with listening() as one, listening() as other:
            rig.spawner.legacy.listen([("a", one)])
            await rig.spawner.durable()
            assert has(rig.spawner.keeper, one) == 1
            child = await rig.up()
            assert has(child.pid, one) == 0, "and no worker has it"

            await rig.spawner.handover.upgrade(sys.executable, ("/bin/false",))
            await rig.spawner.durable()
            assert has(rig.spawner.keeper, one) == 1

            before = rig.spawner.keeper
            os.kill(before, signal.SIGKILL)
            os.waitpid(before, 0)  # noqa: ASYNC222 - that takes no time
            while rig.spawner.keeper in (0, before):  # noqa: ASYNC110 - each turn hears something
                await asyncio.sleep(0)
            await rig.spawner.durable()
            assert has(rig.spawner.keeper, one) == 1

            rig.spawner.legacy.listen([("b", other)])
            await rig.spawner.durable()
            assert (has(rig.spawner.keeper, one), has(rig.spawner.keeper, other)) == (0, 1)

            rig.spawner.leaving()
            await rig.spawner.durable()
            assert has(rig.spawner.keeper, other) == 0
            child.kill_tree()
            await child.exited
            assert has(os.getpid(), one) == 1
