"""The keeper becomes a new program while runs begin, write and end; and whoever speaks of what it does not know."""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from supervisor_core.children import procfs
from supervisor_core.errors import SupervisorError
from supervisor_core.keeper import keeper as keeping
from supervisor_core.keeper.orders import Orders
from tests.children.rigs import KeptRig, alive, rig_of

SERVICE = ("/bin/false",)


def open_in(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.asyncio
@pytest.mark.row(39)
async def test_runs_that_begin_while_the_keeper_changes_begin_once():
    async with rig_of(KeptRig) as rig:
        keeper = rig.spawner.keeper
        before = open_in(keeper)

        async def change():
            for _ in range(3):
                gap = await rig.spawner.handover.upgrade(sys.executable, SERVICE)
                assert 0 < gap < 1

        spawns = [rig.spawn("say", "here", "exit", str(n), to_store=True) for n in range(20)]
        children, _ = await asyncio.gather(asyncio.gather(*spawns), change())
        assert rig.spawner.keeper == keeper
        assert alive(keeper)
        ends = await asyncio.gather(*(child.exited for child in children))
        assert [end.code for end in ends] == list(range(20))
        assert sorted(run for run, _, text in rig.lines() if text == "here") == list(range(1, 21))
        for run in range(1, 21):
            rig.spawner.forget("w", run)
        await rig.spawner.durable()
        assert open_in(keeper) <= before + 8, "files of one stream, and nothing that its predecessor held"


@pytest.mark.asyncio
@pytest.mark.row(39)
async def test_a_program_that_cannot_be_executed_changes_nothing():
    async with rig_of(KeptRig) as rig:
        child = await rig.up()
        with pytest.raises(SupervisorError, match="cannot be upgraded: /nowhere/python: No such file"):
            await rig.spawner.handover.upgrade("/nowhere/python", SERVICE)
        child.kill_tree()
        assert (await child.exited).signal == 9
        assert await rig.spawner.handover.upgrade(sys.executable, SERVICE)


@pytest.mark.asyncio
@pytest.mark.row(39)
async def test_a_keeper_that_owes_something_to_the_disk_does_not_forget_it_by_an_upgrade():
    async with rig_of(KeptRig) as rig:
        folder = Path(rig.state) / "keeper"
        folder.rename(folder.with_name("away"))
        rig.spawner.note("w", b"x" * 100_000)
        rig.spawner.note("w", b"y" * 100_000)
        rig.spawner.note("w", b"z" * 100_000)
        away = False
        try:
            await rig.spawner.durable()
        except SupervisorError:
            away = True
        if away:
            with pytest.raises(SupervisorError, match="state folder cannot be written"):
                await rig.spawner.handover.upgrade(sys.executable, SERVICE)
        folder.with_name("away").rename(folder)
        await rig.spawner.handover.upgrade(sys.executable, SERVICE)
        assert away


@pytest.mark.asyncio
@pytest.mark.row(39)
async def test_a_successor_that_does_not_come_up_takes_nobodys_place():
    async with rig_of(KeptRig) as rig:
        child = await rig.up()
        for _ in range(2):
            with pytest.raises(SupervisorError, match="successor of this service did not come up"):
                await rig.spawner.handover.prepare()
        assert not child.exited.done()
        await rig.spawner.durable()


@pytest.mark.asyncio
@pytest.mark.row(39)
async def test_what_is_not_known_is_passed_over_on_both_sides():
    async with rig_of(KeptRig) as rig:
        child = await rig.up()
        keeper = rig.spawner.keeper
        before = open_in(keeper)
        reading, writing = os.pipe()
        try:
            rig.spawner.send({"t": "of a later version", "worker": "w", "more": [1]}, (reading, writing))
            rig.spawner.send({"t": "stop", "worker": "another", "run": 1, "steps": [], "gently": True})
            rig.spawner.send({"t": "note", "worker": "w", "data": "x", "colour": "blue"})
            await rig.spawner.durable()
        finally:
            os.close(reading)
            os.close(writing)
        assert open_in(keeper) == before
        rig.spawner._take({"t": "of a later version", "id": 7}, ())
        rig.spawner._take(
            {"t": "run", "worker": "w", "run": 1, "pid": child.pid, "silent": False, "fds": [], "mood": 1}, ()
        )
        rig.spawner._take({"t": "calm", "since": 5}, ())
        assert not child.exited.done()
        child.kill_tree()
        assert (await child.exited).signal == 9


@pytest.mark.row(39)
def test_an_upgrade_does_not_wait_for_ever_for_a_program_that_does_not_begin(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "UNDER_WAY", 0.05)
    monkeypatch.setattr(procfs, "become_subreaper", lambda: False)  # which would be for the life of this process
    keeper = keeping.Keeper(Orders(str(tmp_path), "i", SERVICE))
    slow = SimpleNamespace(worker="slow", is_up=False)
    monkeypatch.setattr(keeper._desk, "living", lambda: [slow])
    monkeypatch.setattr(keeper._desk, "descriptors", lambda: None)
    said = []
    monkeypatch.setattr(keeper._service, "tell", lambda message: (said.append(message), keeper._loop.stop()))
    keeper._take({"t": "upgrade"}, ())
    keeper._loop.run()
    keeper._loop.close()
    keeper._book.close()
    assert said[0]["t"] == "not upgraded"
    assert "slow began and does not get into its program within 0.05 s" in said[0]["error"]
