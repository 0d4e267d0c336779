"""A start and a stop in whose middle the keeper is killed: nothing begins twice, and each signal of a stop is sent.

The keeper is one of its own and killed at a fault point; this process is its service and gets another one.
"""

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor_core.children import TAG, LaunchRequest, make_tag
from supervisor_core.keeper.book import Stopping
from supervisor_core.keeper.kept import remaining
from supervisor_core.keeper.runs import UNSEEN
from tests.children.rigs import KeptRig, rig_of

STEPS = ((15, 10.0), (2, 5.0), (3, 1.0))


@pytest.fixture
def killed_at(tmp_path, monkeypatch):
    """Has the first keeper killed at the nth visit of a fault point; gives whether one was."""

    def plan(name: str, nth: int = 1):
        monkeypatch.setenv("FAIL_AT", f"{name}:{nth}:kill")
        monkeypatch.setenv("FAIL_ONCE", str(tmp_path))
        return (tmp_path / name).exists

    yield plan
    with contextlib.suppress(ChildProcessError):  # what a killed keeper leaves behind comes to this process
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def writes(rig: KeptRig, file: Path, **more) -> LaunchRequest:
    """A program that leaves a line in a file and ends."""
    environment = {TAG: make_tag(rig.spawner.instance, "w", 1), "PATH": "/bin:/usr/bin"}
    return LaunchRequest("w", 1, ("/bin/sh", "-c", f"echo ran >> {file}"), environment, **more)


@pytest.mark.asyncio
@pytest.mark.row(35)
async def test_a_program_that_ended_before_it_was_written_down_does_not_run_again(tmp_path, killed_at):
    was_killed = killed_at("process started")
    async with rig_of(KeptRig) as rig:
        child = await rig.spawner.spawn(writes(rig, tmp_path / "ran"))
        ended = await child.exited
        assert was_killed()
        assert ended.reason == UNSEEN
        rig.spawner.forget("w", 1)
        again = replace(writes(rig, tmp_path / "other"), run=2)
        await (await rig.spawner.spawn(again)).exited
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert (tmp_path / "other").read_text() == "ran\n"


@pytest.mark.asyncio
@pytest.mark.row(35)
@pytest.mark.parametrize("point", ["group made", "pipes made"])
async def test_a_program_that_was_not_begun_is_begun_by_the_next_keeper(tmp_path, killed_at, point):
    was_killed = killed_at(point)
    async with rig_of(KeptRig) as rig:
        child = await rig.spawner.spawn(writes(rig, tmp_path / "ran"))
        assert (await child.exited).code == 0
        assert was_killed()
    assert (tmp_path / "ran").read_text() == "ran\n"


@pytest.mark.asyncio
@pytest.mark.row(35)
@pytest.mark.parametrize("point", ["process started", "run written down"])
async def test_a_child_on_its_way_into_its_program_goes_on_without_its_keeper(tmp_path, killed_at, point):
    was_killed = killed_at(point)
    async with rig_of(KeptRig) as rig:
        child = await rig.spawner.spawn(writes(rig, tmp_path / "ran", nice=1))
        await child.exited
        assert was_killed()
    assert (tmp_path / "ran").read_text() == "ran\n"


@pytest.mark.asyncio
@pytest.mark.row(35)
async def test_a_later_step_of_a_stop_is_written_down_when_it_is_sent_and_the_next_one_follows(killed_at):
    was_killed = killed_at("stop written down", 2)
    async with rig_of(KeptRig) as rig:
        child = await rig.up("ignore", "TERM", "ignore", "INT")
        child.stop([(signal.SIGTERM, 0.01), (signal.SIGINT, 0.01), (signal.SIGUSR1, 60.0)])
        ended = await child.exited
        assert was_killed()
        assert ended.signal in (signal.SIGUSR1, None), ended


@pytest.mark.parametrize(
    ("now", "clock", "left"),
    [
        (1e9 + 4, 104.0, [(0, 6.0), (2, 5.0), (3, 1.0)]),
        (1e9 + 86_400, 104.0, [(0, 6.0), (2, 5.0), (3, 1.0)]),
        (1e9 - 86_400, 104.0, [(0, 6.0), (2, 5.0), (3, 1.0)]),
        (1e9 + 12, 112.0, [(2, 5.0), (3, 1.0)]),
        (1e9 + 86_400, 86_500.0, [(2, 5.0), (3, 1.0)]),
    ],
)
def test_what_is_left_of_a_stop_is_a_matter_of_the_time_that_passed_and_not_of_the_date(now, clock, left):
    assert remaining(Stopping(STEPS, 1e9, 100.0), now, clock) == left


def test_a_stop_that_an_older_version_wrote_down_goes_by_the_date():
    assert remaining(Stopping(STEPS, 1e9), 1e9 + 4, 0.0)[0] == (0, 6.0)
    assert remaining(Stopping((), 1e9), 1e9 + 4, 0.0) == []
