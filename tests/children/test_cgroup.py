"""Control groups of runs: the real ones where we may make some, and a folder that looks like them for the rest.

Only membership, killing and tidying need the kernel; limits and what it says of memory are files.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_core.children import Ended, LaunchRequest
from supervisor_core.children.cgroup import PREFIX, Group, Groups, ground, keeps_memory, own_group, sweep
from supervisor_core.children.forest import Forest
from supervisor_core.children.local import LocalSpawner
from supervisor_core.children.tree import Tree
from tests.children.rigs import ZOO, Heard, alive, zoo


@pytest.fixture
def base(monkeypatch):
    """A group of this test's own, which takes the place of our own one."""
    try:
        folder = own_group() / f"test-of-quarterdeck-{secrets.token_hex(8)}"
        folder.mkdir()
    except OSError as error:  # also in CI: a container may not make groups; the fake folder is tested everywhere
        pytest.skip(f"no control groups can be made here: {error}")
    monkeypatch.setattr("supervisor_core.children.cgroup.own_group", lambda: folder)
    yield folder
    Group(folder, ()).kill()
    folder.rmdir()


@pytest.fixture
def fake(tmp_path):
    """A folder like a group's that has all controllers."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    (tmp_path / "cgroup.procs").touch()
    return tmp_path


def request(**changes):
    fields = {"worker": "web", "run": 1, "argv": zoo("pause"), "environment": {}}
    return LaunchRequest(**fields | changes)


def ours(base, groups):
    return sorted(path.name for path in base.glob(f"{groups._name}/*") if path.is_dir())


# ---------------------------------------------------------------- limits: files


def test_limits_are_written_where_the_controllers_are(fake):
    groups = Groups("me", fake)
    limits = {"memory": 2**30, "cpu": 1.5, "pids": -1, "nofile": 64}
    group, parts = groups.prepare(request(worker="a/b", run=7, limits=limits), root=True)
    assert group.path == fake / "quarterdeck-me" / "a%2fb.7"
    assert group.entrance == f"{group.path}/cgroup.procs"
    assert (group.path / "memory.max").read_text() == str(2**30)
    assert (group.path / "cpu.max").read_text() == "150000 100000"
    assert not (group.path / "pids.max").exists(), "it has no limit, so nobody asked for the controller"
    assert [name for name, _, _ in parts.rlimits] == ["pids", "nofile"]
    assert parts.said == ()
    enabled = {(folder / "cgroup.subtree_control").read_text() for folder in (fake, fake / "quarterdeck-me")}
    assert enabled <= {"+memory", "+cpu"}
    groups.close()


def test_a_group_that_nobody_could_be_moved_to_is_not_made(fake):
    """The kernel asks for the right to write where both groups meet: then the start would be refused for good."""
    (fake / "cgroup.procs").unlink()
    groups = Groups("me", fake)
    assert groups.prepare(request(daemon=True), root=True)[0] is None
    group, parts = groups.prepare(request(limits={"memory": 2**30}), root=True)
    assert group is None
    assert [name for name, _, _ in parts.rlimits] == ["memory"]
    assert not ours(fake, groups)
    groups.close()


def test_a_controller_that_is_not_there_is_told_of(fake):
    (fake / "cgroup.controllers").write_text("pids\n")
    groups = Groups("me", fake)
    group, parts = groups.prepare(request(limits={"memory": 2**30, "pids": 9}), root=True)
    assert (group.path / "pids.max").read_text() == "9"
    assert [name for name, _, _ in parts.rlimits] == ["memory"]
    assert [said.split(":")[0] for said in parts.said] == ["limits.memory"]
    groups.close()


@pytest.mark.parametrize("trouble", ["no controller", "not enabled", "no folder", "not taken"])
def test_limits_without_a_group_are_what_they_are_everywhere(fake, monkeypatch, trouble):
    if trouble == "no controller":
        (fake / "cgroup.controllers").write_text("\n")
    elif trouble == "not enabled":
        (fake / "cgroup.subtree_control").mkdir()  # stands for EBUSY: there are processes in our own group
    elif trouble == "not taken":
        monkeypatch.setattr(Group, "limit", lambda *_: os.listdir(fake / "missing"))
    else:
        fake = fake / "missing"
    groups = Groups("me", fake)
    group, parts = groups.prepare(request(limits={"memory": 2**30}), root=True)
    assert group is None
    assert [name for name, _, _ in parts.rlimits] == ["memory"]
    assert len(parts.said) == 1
    groups.close()


def test_a_run_that_needs_none_gets_none(fake):
    groups = Groups("me", fake)
    for limits in ({}, {"nofile": 64}, {"memory": -1}):
        assert groups.prepare(request(limits=limits), root=True)[0] is None
    assert not list(fake.glob(PREFIX + "*"))


def test_a_run_that_outlives_the_closing_gives_its_group_back(fake):
    """One that is started while its spawner closes."""
    groups = Groups("i", fake)
    group, _ = groups.prepare(request(daemon=True), root=True)
    groups.close()
    groups.give_back(group)
    assert not group.path.exists()


def test_names_that_are_taken_by_survivors_are_passed_over(fake):
    groups = Groups("me", fake)
    paths = [groups.prepare(request(daemon=True), root=True)[0].path.name for _ in range(3)]
    assert paths == ["web.1", "web.1.2", "web.1.3"]
    groups.close()


# ---------------------------------------------------------------- evidence


EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"


def explained(folder, ended, *, ours=False):
    forest = Forest(lambda *_: lambda: None, lambda *_: lambda: None, lambda call: None)
    tree = Tree(forest, os.getpid(), "", lambda: None, Group(folder, {"memory"}))
    tree._killing = ours
    return str(tree.explained(ended))


@pytest.mark.row(28)
def test_out_of_memory_is_said_on_evidence_only(tmp_path):
    killed, memory = Ended(signal=signal.SIGKILL), ", likely out of memory: the kernel ended some of it for that"
    assert explained(tmp_path, killed) == "killed by SIGKILL", "nobody accounts for memory"
    (tmp_path / "memory.events").write_text(EVENTS.format(0))
    assert explained(tmp_path, killed) == "killed by SIGKILL", "the kernel ended none of it"
    (tmp_path / "memory.events").write_text(EVENTS.format(1))
    assert explained(tmp_path, killed) == "killed by SIGKILL" + memory
    assert explained(tmp_path, Ended(code=137)) == "exit status 137" + memory
    assert explained(tmp_path, killed, ours=True) == "killed by SIGKILL"
    for other in (Ended(code=0), Ended(code=1), Ended(signal=signal.SIGTERM)):
        assert explained(tmp_path, other) == str(other)


# ---------------------------------------------------------------- the kernel's groups


def test_no_folder_where_there_are_no_groups(monkeypatch):
    lines = {
        "/proc/self/cgroup": ["4:memory:/", "0::/../other"],
        "/proc/self/mountinfo": ["30 2 0:1 / /sys rw - cgroup2 x rw"],
    }
    monkeypatch.setattr("supervisor_core.children.cgroup._lines", lambda path: iter(lines[path]))
    with pytest.raises(FileNotFoundError):
        own_group()
    lines["/proc/self/cgroup"][1] = "0::/pod/app"
    assert own_group() == Path("/sys/pod/app")
    lines["/proc/self/mountinfo"][:] = ["30 2 0:1 /pod /cg rw - cgroup2 x rw"]
    assert own_group() == Path("/cg/app"), "mounted from there on"


def test_a_group_that_was_left_to_us_is_the_ground(base):
    own = base / "service"
    own.mkdir()
    assert ground(own) == own
    os.setxattr(base, "user.delegate", b"1")
    assert ground(own) == base, "a service in a group below the one that it may divide"
    os.setxattr(own, "user.delegate", b"1")
    assert ground(own) == own
    own.rmdir()


async def up(spawner, heard, *words, **changes):
    environment = {"PATH": os.environ["PATH"], "QD_TEST_SESSION": os.environ.get("QD_TEST_SESSION", "")}
    child = await spawner.spawn(
        request(argv=zoo(*words, "say", "up", "pause"), environment=environment, output=heard, **changes)
    )
    await heard.until("up")
    return child


@pytest.mark.row(10)
def test_a_daemon_that_forgets_whose_it_is_belongs_to_its_group(base):
    async def main():
        spawner, heard = LocalSpawner(), Heard()
        child = await up(spawner, heard, "daemon", daemon=True)  # no tag in its environment, another session
        await child.leader_exited
        assert ours(base, spawner._groups) == ["web.1"]
        left = child.left()  # one more, perhaps, that only helped to get away and is about to end
        assert left
        assert set(child.living.group.members()) & set(left)
        child.kill_tree()
        assert await child.exited == Ended(code=0)
        assert not any(map(alive, left))
        assert ours(base, spawner._groups) == []
        await spawner.aclose()
        assert not (base / spawner._groups._name).exists()

    asyncio.run(main())


def test_a_kill_ends_all_of_a_group_at_one_stroke(base):
    async def main():
        spawner, heard = LocalSpawner(), Heard()
        child = await up(spawner, heard, "stubborn-child", "escapee", "child", daemon=True)
        left = child.left()
        assert sorted(child.living.group.members()) == sorted(left)
        assert len(left) == 4
        child.living.group.kill()
        assert (await child.exited).signal == signal.SIGKILL
        assert not any(map(alive, left))
        await spawner.aclose()

    asyncio.run(main())


def test_a_start_that_fails_leaves_no_group(base):
    async def main():
        spawner = LocalSpawner()
        for argv in (("/missing",), ("/",)):
            with pytest.raises(Exception, match=r"missing|directory"):
                await spawner.spawn(request(argv=argv, daemon=True))
        assert ours(base, spawner._groups) == []
        await spawner.aclose()
        assert not (base / spawner._groups._name).exists()

    asyncio.run(main())


CRASHES = """
import pathlib, sys
from supervisor_core.children import LaunchRequest
from supervisor_core.children.cgroup import Groups
groups = Groups("crashed", pathlib.Path(sys.argv[1]))
for run in 1, 2:
    group, _ = groups.prepare(LaunchRequest("web", run, ("x",), {}, daemon=True), root=True)
    if run == 1:
        open(group.entrance, "w").write(sys.argv[2])
print("made", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def survivor():
    with subprocess.Popen([sys.executable, "-I", "-S", ZOO, "pause"]) as process:
        yield process
        process.kill()


def test_groups_of_a_crashed_instance_go_and_those_of_a_living_one_stay(base, survivor):
    first, second = (base / "quarterdeck-crashed" / f"web.{run}" for run in (1, 2))
    argv = [sys.executable, "-c", CRASHES, str(base), str(survivor.pid)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "made\n"
        sweep(base)
        assert second.exists(), "its owner lives"
        owner.kill()
    groups = Groups("next", base)
    assert groups.prepare(request(daemon=True), root=True)[0] is not None
    assert not second.exists()
    assert first.exists(), "somebody is in it"
    groups.close()
    left = Group(first, ())
    assert left.members() == [survivor.pid]
    left.kill()
    survivor.wait()
    sweep(base)
    assert list(base.glob(PREFIX + "*")) == []


@pytest.mark.parametrize(
    ("told", "keeps"), [("1073741824\n", True), ("max\n", False), ("536870912\n", False), (None, False)]
)
def test_whether_the_kernel_keeps_the_memory_of_a_run(fake, monkeypatch, told, keeps):
    """That of the group around us all would be another number: it is no limit of this run."""
    asked = []
    monkeypatch.setattr("supervisor_core.children.cgroup.own_group", lambda pid: asked.append(pid) or fake)
    if told is not None:
        (fake / "memory.max").write_text(told)
    assert keeps_memory(77, 1024**3 + 5) is keeps
    assert asked == [77]


def test_of_a_process_that_has_gone_nobody_keeps_anything():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert not keeps_memory(gone.pid, 1024)
