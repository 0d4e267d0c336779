"""Ending trees of real processes: whatever fled where, nothing is left, and nothing else is touched."""

import asyncio
import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from supervisor_core.children import TAG, Ended, LaunchRequest, make_tag, procfs
from supervisor_core.children.forest import Forest, survivors
from supervisor_core.children.local import LocalSpawner
from tests.children.rigs import Heard, LocalRig, alive, rig_of, zoo


def tagged(instance):
    """Pids of everything that carries this instance's tag, looked for all over the system."""
    return [pid for _, _, pid in survivors(instance) if alive(pid)]


@pytest.mark.row(7, 10, 11)
def test_the_zoo_is_ended_again_and_again():
    """No survivor in 40 stops over all ways to flee, seen by an observer of its own."""
    kinds = ["child", "stubborn-child", "escapee", "runaway"]
    choices = [words for count in (1, 2, 3) for words in itertools.combinations(kinds, count)]
    generator = random.Random(1)

    async def main():
        async with rig_of(LocalRig) as rig:
            for _ in range(40):
                words = generator.choice(choices)
                rig.heard = Heard()
                child = await rig.up(*words)
                child.kill_tree()
                assert await child.exited == Ended(signal=9)
                assert tagged(rig.spawner.instance) == []

    asyncio.run(main())


@pytest.mark.row(10, 11)
def test_the_zoo_is_ended_after_its_leader_went():
    async def main():
        async with rig_of(LocalRig) as rig:
            for words in (("child",), ("escapee",), ("stubborn-child", "escapee"), ("runaway",), ("child", "runaway")):
                child = await rig.spawn(*words, "exit", "4")
                await child.leader_exited
                if words[-1] != "runaway":
                    assert len(child.left()) == len(words)
                child.kill_tree()
                assert await child.exited == Ended(code=4)
                assert tagged(rig.spawner.instance) == []

    asyncio.run(main())


def test_the_number_of_a_leader_that_was_collected_may_be_an_orphans():
    """Leaders are not looked at as orphans; whoever gets the number of one that is gone must be."""

    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.up()
            assert child.pid in rig.spawner._forest.leaders
            child.kill_tree()
            await child.exited
            child = await rig.spawn("escapee", "exit", "0")
            await child.leader_exited
            await asyncio.sleep(0)
            assert len(child.left()) == 1
            assert rig.spawner._forest.leaders == set()

    asyncio.run(main())


def test_a_tree_that_goes_by_itself_is_seen_to_be_gone():
    """Nobody looks again and again: the end of the last known member is the event."""

    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.spawn("child", "escapee", "exit", "0")
            await child.leader_exited
            first, second = child.left()
            os.kill(first, 9)
            assert not child.exited.done()
            os.kill(second, 9)
            assert await child.exited == Ended(code=0)

    asyncio.run(main())


def test_many_trees_are_ended_at_once(monkeypatch):
    """Ending n trees with orphans costs n questions, not n²."""

    async def main():
        async with rig_of(LocalRig) as rig:
            children = [await rig.spawn("child", "escapee", "say", "up", "pause") for _ in range(20)]
            await rig.heard.until("up\n" * 20)
            for child in children:
                child.kill_tree()
            await asyncio.gather(*(child.exited for child in children))
            assert tagged(rig.spawner.instance) == []

    read = Counter()
    setting = procfs.setting
    monkeypatch.setattr(procfs, "setting", lambda pid, name: (read.update([pid]), setting(pid, name))[1])
    asyncio.run(main())
    assert len(read) > 20
    assert read.total() <= 3 * len(read), "whose an orphan is was asked again for each tree that ended"


def test_trees_do_not_mix():
    async def main():
        async with rig_of(LocalRig) as rig:
            one, two = await rig.up("escapee"), await rig.spawn("escapee", "say", "ready", "pause")
            await rig.heard.until("ready")
            left = two.left()
            assert set(one.left()).isdisjoint(left)
            one.kill_tree()
            await one.exited
            assert all(map(alive, left))
            assert two.left() == left

    asyncio.run(main())


def test_strangers_are_not_touched():
    """Neither a plain child of this process nor an orphan of somebody else, in whatever session."""
    bystanders = [
        subprocess.Popen(["sleep", "1000"]),
        subprocess.Popen(["sleep", "1000"], start_new_session=True, env={TAG: make_tag("other", "w", 1)}),
    ]

    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.up("escapee")
            child.kill_tree()
            await child.exited

    try:
        asyncio.run(main())
        assert all(bystander.poll() is None for bystander in bystanders)
    finally:
        for bystander in bystanders:
            bystander.kill()
            bystander.wait()


def test_without_lists_of_children_all_processes_are_looked_at(monkeypatch):
    monkeypatch.setattr(procfs, "children", lambda pid: None)

    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.up("child", "escapee")
            assert len(child.left()) == 3
            child.kill_tree()
            await child.exited
            assert tagged(rig.spawner.instance) == []

    asyncio.run(main())


def test_without_a_tag_session_and_descent_are_what_is_known():
    async def main():
        spawner, heard = LocalSpawner(), Heard()
        argv = zoo("child", "say", "up", "exit", "0")
        child = await spawner.spawn(LaunchRequest("w", 1, argv, dict(os.environ), output=heard))
        await child.leader_exited
        (left,) = child.left()
        child.kill_tree()
        await child.exited
        assert not alive(left)

    asyncio.run(main())


def test_survivors_of_an_earlier_life_are_found_by_their_tag():
    argv = zoo("pause")
    environment = {TAG: f"outer:1:x {make_tag('earlier', 'web 1', 7)}"}
    left = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
    try:
        assert survivors("earlier") == [("web%201", 7, left.pid)]
        assert survivors("outer") == [("x", 1, left.pid)]
        assert survivors("later") == []
    finally:
        left.kill()
        left.wait()


SUBREAPER = """
import asyncio, os, sys
from supervisor_core.children import TAG, LaunchRequest, make_tag
from supervisor_core.children.local import LocalSpawner
from tests.children.rigs import Heard, zoo

def ours():
    return [p for p in open(f"/proc/self/task/{os.getpid()}/children").read().split()]

async def main():
    spawner, heard = LocalSpawner(subreaper=True), Heard()
    environment = dict(os.environ) | {TAG: make_tag(spawner.instance, "w", 1)}
    words = ("short-escapee", "short-escapee", "escapee", "say", "up", "pause")
    child = await spawner.spawn(LaunchRequest("w", 1, zoo(*words), environment, output=heard))
    await heard.until("up")
    other = os.posix_spawn("/bin/true", ["true"], {})
    while len(ours()) > 3:
        await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)
    left = child.left()
    assert len(left) == 2, left
    assert sorted(map(int, ours())) == sorted([*left, other]), (ours(), left)
    assert os.waitpid(other, 0) == (other, 0), "a child of the service itself is not reaped"
    child.kill_tree()
    await child.exited
    await spawner.aclose()
    assert ours() == [], ours()

asyncio.run(main())
print("well")
"""


@pytest.mark.row(13)
def test_orphans_come_to_a_subreaper_and_are_reaped():
    done = subprocess.run(
        [sys.executable, "-c", SUBREAPER],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


MANY = """
import asyncio, os, signal
from supervisor_core.children import LaunchRequest
from supervisor_core.children.local import LocalSpawner
from tests.children.rigs import Heard

async def main():
    loop, told, heard = asyncio.get_running_loop(), asyncio.Event(), Heard()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    spawner = LocalSpawner(subreaper=True)
    request = LaunchRequest("w", 1, ("sleep", "1000"), dict(os.environ), output=heard)
    children = [await spawner.spawn(request) for _ in range(400)]
    for child in children:
        os.kill(child.pid, 9)
    for child in children:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    os.kill(os.getpid(), signal.SIGTERM)
    await told.wait()
    await asyncio.gather(*(child.exited for child in children))
    await spawner.aclose()

asyncio.run(main())
print("well")
"""


def test_many_ends_at_once_hide_no_signal_from_a_service():
    done = subprocess.run(
        [sys.executable, "-c", MANY], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=40
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", "")


# ------------------------------------------------------------ what is read of /proc


def test_what_is_read_of_a_process():
    loop = "echo up; while :; do read line || exit; done"  # in the middle of exec there is no environment to be read
    child = subprocess.Popen(
        ["sh", "-c", loop],
        start_new_session=True,
        env={"A": "é", "B": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout.readline() == b"up\n"
        seen = procfs.read(child.pid)
        assert (seen.pid, seen.parent, seen.group, seen.session) == (child.pid, os.getpid(), child.pid, child.pid)
        assert seen.alive
        assert seen.start >= procfs.read(os.getpid()).start
        assert child.pid in procfs.children(os.getpid())
        assert child.pid in procfs.everyone()
        assert procfs.setting(child.pid, "A") == "é"
        assert procfs.setting(child.pid, "C") == ""
    finally:
        child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not procfs.read(child.pid).alive, "a zombie"
    assert procfs.environment(child.pid) == b""
    child.communicate()
    assert procfs.read(child.pid) is None
    assert procfs.children(child.pid) == []


def test_a_name_with_brackets_and_spaces(tmp_path):
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "1000"])
    try:
        while procfs.read(child.pid).parent != os.getpid():
            pass
        assert procfs.read(child.pid).alive
    finally:
        child.kill()
        child.wait()


def test_who_adopts():
    adopters = procfs.adopters()
    assert adopters[0] == os.getpid()
    assert os.getppid() in adopters
    assert 1 in adopters


def test_a_look_is_repeated_when_a_candidate_died_meanwhile(monkeypatch):
    """The child of one that dies during the look would be missed: the look cannot know whose it is any more."""
    looks = []

    def candidates(self):
        looks.append(1)
        return [10] if len(looks) == 1 else [11]

    proc = procfs.Proc(11, 1, 5, 5, 100, alive=True)
    monkeypatch.setattr(Forest, "_candidates", candidates)
    monkeypatch.setattr(procfs, "read", lambda pid: proc if pid == 11 else None)
    monkeypatch.setattr(procfs, "setting", lambda pid, name: "i:1:w")
    forest = Forest(None, None, lambda call: None)
    assert forest.orphans(("tag", "i:1:w")) == {11: 100}
    assert len(looks) == 2
    assert forest.orphans(("session", 5), ("group", 5)) == {11: 100}
    assert len(looks) == 2, "kept for this turn of the loop"
    forest.forget()
    assert forest.orphans(("session", 6)) == {}
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(code=3), "exit status 3"),
        (Ended(signal=9), "killed by SIGKILL"),
        (Ended(signal=11), "killed by SIGSEGV"),
        (Ended(signal=15), "terminated by SIGTERM"),
        (Ended(signal=36), "killed by SIGRTMIN+2"),
        (Ended(), "unknown end"),
        (Ended(reason="lost"), "lost"),
    ],
)
def test_an_end_in_words(ended, words):
    assert str(ended) == words
