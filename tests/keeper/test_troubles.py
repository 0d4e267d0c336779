"""Why nothing can be written down, told once for each reason; and a service without descriptors whose keeper died."""

import asyncio
import errno
import os
import socket

import pytest

from supervisor_core.children import procfs
from supervisor_core.declared import LogPolicy
from supervisor_core.keeper.client import KeptSpawner
from supervisor_core.keeper.keeper import Keeper
from supervisor_core.keeper.kept_child import KeptChild
from supervisor_core.keeper.orders import Orders
from supervisor_core.keeper.policies import tell_policies
from supervisor_core.keeper.wire import Wire


@pytest.fixture
def keeper(tmp_path, monkeypatch):
    """A keeper that has read its book and waits for nobody; `told` is what a service would hear."""
    monkeypatch.setattr(procfs, "become_subreaper", lambda: False)  # which would be for the life of this process
    made = Keeper(Orders(str(tmp_path), "x", ("-",)))
    made.told = []
    made._service.tell = lambda message, *_: made.told.append(message) or True
    made._desk._open(tell_policies(1e10, LogPolicy(), {}))
    yield made
    made._desk.close()
    made._book.close()
    made._loop.close()


def failing(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


def reasons(keeper):
    return [message["errno"] for message in keeper.told if message["t"] == "trouble"]


@pytest.mark.row(42)
def test_a_reason_is_told_once_and_what_follows_from_it_takes_not_its_place(keeper, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing(errno.ENOSPC))
        for _ in range(2):
            with keeper._desk._runs.carrying_on():
                keeper._book.set("a", 1)
        keeper._desk.take({"t": "note", "worker": "w", "data": "x"}, ())
    assert reasons(keeper) == [errno.ENOSPC]


@pytest.mark.row(42)
def test_a_reason_that_becomes_another_one_is_told_anew(keeper, monkeypatch):
    for number in (errno.ENOSPC, errno.EROFS):
        with monkeypatch.context() as patch:
            patch.setattr(keeper._book._records, "rewrite", failing(number))
            patch.setattr(keeper._book._records, "append", failing(number))
            keeper._desk.take({"t": "note", "worker": "w", "data": "x"}, ())
            keeper._settle()
            keeper._settle()
    assert reasons(keeper) == [errno.ENOSPC, errno.EROFS]
    keeper._settle()
    assert keeper.told[-1] == {"t": "calm"}


@pytest.mark.asyncio
@pytest.mark.row(33)
async def test_a_service_without_descriptors_hangs_up_and_dials_again(monkeypatch):
    """A keeper that never hears its hello would hold the instance and take nothing over."""
    ends, dialled = [], asyncio.Event()

    def revive():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ends.append(theirs)
        if len(ends) == 2:
            patch.undo()
            dialled.set()
        return ours

    first, theirs = socket.socketpair()
    spawner = KeptSpawner(first, "x", revive)
    with monkeypatch.context() as patch:
        greeting = asyncio.create_task(spawner.greet())
        await asyncio.sleep(0)
        child = spawner._children["w", 1] = KeptChild(spawner, "w", 1)
        child.fds = {"pidfd": os.open(os.devnull, os.O_RDONLY)}
        patch.setattr(os, "dup", failing(errno.EMFILE))
        theirs.close()
        await asyncio.wait_for(dialled.wait(), 5)
        await asyncio.sleep(0)
    assert ends[0].recv(100) == b"", "the first one is told that nobody is there"
    wire = Wire(ends[1])
    told = wire.receive()
    assert [message["t"] for message, _ in told] == ["hand", "hello"]
    for _, fds in told:
        for fd in fds:
            os.close(fd)
    greeting.cancel()
    await asyncio.wait([greeting])
    spawner.hang_up(0)
    child.close()
    for end in ends:
        end.close()
