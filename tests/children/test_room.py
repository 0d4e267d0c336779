"""How many files may be open: as many as may be in keeper and service, and in a worker as many as its user gave."""

import contextlib
import os
import resource
import sys

import pytest

from supervisor_core.children import procfs, room
from supervisor_core.keeper.foreign import leaders_by_tag, open_same
from supervisor_core.keeper.pipes import Folder
from tests.children.rigs import KeptRig, LocalRig, rig_of

GIVEN = 100


@pytest.fixture
def limits(monkeypatch):
    """This process has a soft limit below the hard one."""
    monkeypatch.setattr(room, "_given", [])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (GIVEN, before[1]))
    yield GIVEN, before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def limit_of(pid: int) -> tuple[int, int]:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


@pytest.mark.asyncio
@pytest.mark.row(54)
async def test_a_keeper_may_open_more_than_its_workers_and_so_it_is_after_an_upgrade(limits):
    async with rig_of(KeptRig) as rig:
        for again in (True, False):
            for more in ({}, {"nice": 1}):
                assert limit_of((await rig.up(**more)).pid) == limits
            assert limit_of(rig.spawner.keeper) == (limits[1], limits[1])
            if again:
                await rig.spawner.handover.upgrade(sys.executable, ("/bin/false",))


@pytest.mark.asyncio
@pytest.mark.row(54)
@pytest.mark.parametrize("open_already", [0, GIVEN])
async def test_a_worker_has_the_limit_that_was_given_however_many_files_are_open_here(limits, open_already):
    room.widen()
    assert limit_of(os.getpid()) == (limits[1], limits[1])
    with contextlib.ExitStack() as stack:
        for _ in range(open_already):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        async with rig_of(LocalRig) as rig:
            assert limit_of((await rig.up()).pid) == limits
    assert limit_of(os.getpid()) == (limits[1], limits[1])


@pytest.fixture
def full(tmp_path):
    """Nothing more may be open; what is to be looked at then is there."""
    here = procfs.read(os.getpid())
    folder = Folder(str(tmp_path))
    for fd in folder.make("w", 1, "out"):
        os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room.lowest_free(), hard))
    yield here, folder
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.row(54)
def test_what_cannot_be_looked_for_is_not_told_as_gone(full):
    here, folder = full
    looks = (
        lambda: open_same(here.pid, here.start),
        lambda: leaders_by_tag({"x"}),
        lambda: folder.reopen("w", 1, "out"),
    )
    for look in looks:
        with pytest.raises(OSError, match="Too many open files"):
            look()
