"""Who waits for the disk shares one sync with all others, and never one that began before what was told last."""

import asyncio
from typing import Any

import pytest

from supervisor_core.errors import SupervisorError
from supervisor_core.keeper.syncing import PATIENCE, KeeperLost, Syncs
from tests.support.virtual import virtual


class Disk:
    """Answers each sync a second later; remembers what had been told when it began."""

    def __init__(self) -> None:
        self.told = 0
        self.begun: list[int] = []
        self.error = ""
        self.lost = 0

    async def ask(self, _: dict[str, Any]) -> dict[str, Any]:
        self.begun.append(self.told)
        await asyncio.sleep(1)
        if self.lost:
            self.lost -= 1
            raise KeeperLost("gone")
        return {"error": self.error}


def syncs(disk: Disk) -> Syncs:
    made = Syncs(disk.ask)
    made.up.set()
    return made


@virtual
@pytest.mark.row(45)
async def test_all_that_wait_share_the_next_sync() -> None:
    disk = Disk()
    made = syncs(disk)
    covered: list[tuple[int, int]] = []

    async def order() -> None:
        disk.told += 1
        mine = disk.told
        await made.durable()
        covered.append((mine, max(disk.begun[: len(disk.begun)])))

    orders = [asyncio.create_task(order())]
    await asyncio.sleep(0.5)  # the first sync is under way, and may have begun before these
    orders += [asyncio.create_task(order()) for _ in range(100)]
    await asyncio.gather(*orders)
    assert disk.begun == [1, 101]
    assert all(mine <= synced for mine, synced in covered)


@virtual
@pytest.mark.row(42)
async def test_where_it_is_not_on_the_disk_that_is_said_and_the_next_one_is_asked_anew() -> None:
    disk = Disk()
    made = syncs(disk)
    disk.error = "No space left on device"
    with pytest.raises(SupervisorError, match=r"carried out, but not on the disk .No space left on device"):
        await made.durable()
    disk.error = ""
    await made.durable()
    assert len(disk.begun) == 2


@virtual
@pytest.mark.row(33)
async def test_another_keeper_is_asked_when_it_knows_everything() -> None:
    disk = Disk()
    made = syncs(disk)
    disk.lost = 1
    waiting = asyncio.create_task(made.durable())
    await asyncio.sleep(0.5)
    made.up.clear()
    await asyncio.sleep(2)
    assert not waiting.done()
    assert len(disk.begun) == 1
    made.up.set()
    await waiting
    assert len(disk.begun) == 2


@virtual
@pytest.mark.row(44)
async def test_nobody_waits_for_ever() -> None:
    made = syncs(Disk())
    made.up.clear()
    begun = asyncio.get_running_loop().time()
    with pytest.raises(SupervisorError, match=f"after {PATIENCE:g} s"):
        await made.durable()
    assert asyncio.get_running_loop().time() - begun == pytest.approx(PATIENCE)
