"""The spawner inside this process: how programs are started and why some are not, with real processes."""

import asyncio
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from typing import ClassVar

import pytest

from supervisor_core.children import Ended, LaunchRequest, refusals
from supervisor_core.children import local as local_module
from supervisor_core.children.local import LocalSpawner
from supervisor_core.errors import CannotStart
from tests.children.rigs import Heard, LocalRig, alive, rig_of

PRINT = "import json, os, sys; print(json.dumps(%s))"


async def tell(expression, **changes):
    """What a Python program says about itself."""
    spawner, heard = LocalSpawner(), Heard()
    code = PRINT % expression
    fields = {"argv": (sys.executable, "-I", "-S", "-c", code), "environment": {}, "output": heard} | changes
    child = await spawner.spawn(LaunchRequest("w", 1, **fields))
    assert await child.exited == Ended(code=0)
    await child.output_ended
    return child, json.loads(heard.of())


@pytest.mark.row(24)
def test_it_has_a_session_of_its_own_and_nothing_of_ours(tmp_path):
    async def main():
        child, (pid, group, session) = await tell("[os.getpid(), os.getpgid(0), os.getsid(0)]")
        assert (pid, group, session) == (child.pid, child.pid, child.pid)
        kept = os.open(tmp_path, os.O_RDONLY)
        os.set_inheritable(kept, True)
        try:
            _, descriptors = await tell("sorted(map(int, os.listdir('/proc/self/fd')))[:-1]")
        finally:
            os.close(kept)
        assert descriptors == [0, 1, 2]

    asyncio.run(main())


def test_its_environment_is_exactly_what_is_given(tmp_path):
    async def main():
        given = {"A": "1", "EMPTY": "", "LC_CTYPE": "C.UTF-8"}
        _, seen = await tell("dict(os.environ)", environment=given)
        assert seen == given
        _, folder = await tell("os.getcwd()", directory=str(tmp_path))
        assert folder == str(tmp_path)

    asyncio.run(main())


@pytest.mark.row(24)
def test_its_input_is_empty_or_what_is_given():
    async def main():
        assert (await tell("sys.stdin.read()"))[1] == ""
        reading, writing = os.pipe()
        os.write(writing, b"hello")
        os.close(writing)
        assert (await tell("sys.stdin.read()", stdin=reading))[1] == "hello"
        os.close(reading)

    asyncio.run(main())


def test_a_program_is_looked_up_on_its_own_path(tmp_path):
    script = tmp_path / "mine"
    script.write_text("#!/bin/sh\necho '\"found\"'\n")
    script.chmod(0o755)

    async def main():
        _, word = await tell("", argv=("mine",), environment={"PATH": f"/nowhere:{tmp_path}"})
        assert word == "found"
        _, word = await tell("", argv=("./mine",), directory=str(tmp_path))
        assert word == "found"

    asyncio.run(main())


def refused(tmp_path, **changes):
    """The refusal of a start; nothing is left of it."""

    async def main():
        spawner = LocalSpawner()
        fields = {"argv": ("true",), "environment": {"PATH": os.environ["PATH"]}} | changes
        with pytest.raises(CannotStart) as caught:
            await spawner.spawn(LaunchRequest("w", 1, **fields))
        assert spawner.live() == []
        return caught.value

    return asyncio.run(main())


def script(folder, first, mode=0o755):
    path = folder / "script"
    path.write_bytes(first)
    path.chmod(mode)
    return str(path)


CASES = {
    "missing": (lambda d: {"argv": ("no-such-program",)}, r"there is no program no-such-program on PATH \(.*bin.*\)"),
    "missing file": (lambda d: {"argv": (f"{d}/gone",)}, r"there is no program .*/gone$"),
    "not executable": (lambda d: {"argv": (script(d, b"#!/bin/sh\n", 0o644),)}, r"script is not executable: chmod \+x"),
    "a directory": (lambda d: {"argv": (str(d),)}, r"is a directory, not a program"),
    "no interpreter": (
        lambda d: {"argv": (script(d, b"#!/no/such -x\n"),)},
        r"the interpreter /no/such in the",
    ),
    "Windows line ends": (lambda d: {"argv": (script(d, b"#!/bin/sh\r\n"),)}, r"ends with a carriage return"),
    "interpreter a folder": (
        lambda d: {"argv": (script(d, b"#!/etc\n"),)},
        r"interpreter /etc .* cannot be executed",
    ),
    "no first line": (lambda d: {"argv": (script(d, b"echo hello\n"),)}, r"has no #! line .*begin it with"),
    "no directory": (lambda d: {"directory": f"{d}/gone"}, r"the directory .*/gone does not exist"),
    "directory a file": (
        lambda d: {"directory": script(d, b"")},
        r"but is not a directory",
    ),
    "NUL argument": (lambda d: {"argv": ("true", "a\0b")}, r"argument 1 of 'true' has a NUL"),
    "NUL variable": (lambda d: {"environment": {"A": "\0"}}, r"environment variable 'A' has a NUL"),
    "bad variable": (lambda d: {"environment": {"A=B": "1"}}, r"'A=B' has an illegal name"),
    "NUL directory": (lambda d: {"directory": "/\0"}, r"working directory has a NUL"),
    "too long": (lambda d: {"argv": ("true", "x" * 3_000_000)}, r"larger than the system allows"),
    "empty": (lambda d: {"argv": ()}, r"the command is empty"),
    "empty name": (lambda d: {"argv": ("",)}, r"the command is empty"),
    "a file on the way": (lambda d: {"argv": (script(d, b"") + "/x",)}, r"there is no program .*script/x"),
    "not encodable": (lambda d: {"argv": ("true", "\ud800")}, r"cannot be encoded"),
}


@pytest.mark.row(21)
@pytest.mark.parametrize("case", CASES)
def test_why_a_program_does_not_start(tmp_path, case):
    changes, sentence = CASES[case]
    error = refused(tmp_path, **changes(tmp_path))
    assert error.permanent
    assert "\n" not in str(error)
    assert re.search(sentence, str(error)), str(error)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_what_may_be_better_at_the_next_try(tmp_path, monkeypatch, code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(subprocess, "Popen", fail)
    error = refused(tmp_path)
    assert not error.permanent
    assert str(error).startswith("true: ")


def test_no_descriptor_left(tmp_path, monkeypatch):
    """Whichever is the one that is missing (others may take them meanwhile), nothing is left and the next try works."""
    monkeypatch.setattr(refusals, "leave_room", lambda _: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main():
        spawner = LocalSpawner()
        request = LaunchRequest("w", 1, ("true",), {"PATH": os.environ["PATH"]}, output=Heard())
        told = []
        first = max(map(int, os.listdir("/proc/self/fd"))) + 1
        filler = [os.open("/dev/null", os.O_RDONLY) for _ in range(first)]
        try:
            for room in range(12):
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(filler) + 1 + room, hard))
                try:
                    child = await spawner.spawn(request)
                except CannotStart as error:
                    told.append((error.permanent, "descriptor" in str(error), spawner.live()))
                else:
                    assert await child.exited == Ended(code=0)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        finally:
            for fd in filler:
                os.close(fd)
        assert 3 <= len(told) < 12
        assert set(map(str, told)) == {str((False, True, []))}

    asyncio.run(main())


def test_a_log_that_cannot_be_opened_starts_nothing():
    class Full:
        def open_stream(self, worker, stream, run):
            raise OSError(errno.ENOSPC, "No space left on device")

    async def main():
        spawner = LocalSpawner(Full())
        with pytest.raises(CannotStart) as caught:
            await spawner.spawn(LaunchRequest("w", 1, ("true",), {"PATH": os.environ["PATH"]}))
        assert not caught.value.permanent
        assert spawner.live() == []

    asyncio.run(main())


def test_more_output_than_a_pipe_holds():
    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.spawn("flood", "100000", "exit", "0")
            await child.exited
            await child.output_ended
            assert rig.heard.of().splitlines() == [f"line {number}" for number in range(100_000)]

    asyncio.run(main())


@pytest.mark.row(8)
def test_a_stopped_process_is_killed():
    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.up()
            child.signal(signal.SIGSTOP, tree=True)
            child.kill_tree()
            assert await child.exited == Ended(signal=signal.SIGKILL)

    asyncio.run(main())


def test_an_exit_status_that_somebody_else_took():
    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.spawn("exit", "3")
            os.waitpid(child.pid, 0)  # noqa: ASYNC222
            ended = await child.exited
            assert (ended.code, ended.signal) == (None, None)
            assert "somebody else" in ended.reason

    asyncio.run(main())


def test_without_pidfds_a_thread_waits(monkeypatch):
    monkeypatch.setattr(local_module.ends, "has_pidfds", lambda: False)

    async def main():
        async with rig_of(LocalRig) as rig:
            assert await (await rig.spawn("exit", "3")).exited == Ended(code=3)
            assert await (await rig.spawn("die", "TERM")).exited == Ended(signal=15)
            child = await rig.up("child", "escapee")
            left = child.left()
            child.kill_tree()
            assert await child.exited == Ended(signal=9)
            assert not any(map(alive, left))

    asyncio.run(main())


def test_without_proc_the_group_is_what_is_known(monkeypatch):
    procfs = local_module.procfs
    monkeypatch.setattr(local_module.ends, "has_pidfds", lambda: False)
    monkeypatch.setattr(procfs, "available", lambda: False)
    monkeypatch.setattr(procfs, "read", lambda pid: None)
    monkeypatch.setattr(procfs, "children", lambda pid: None)
    monkeypatch.setattr(procfs, "everyone", list)
    monkeypatch.setattr(procfs, "setting", lambda pid, name: "")

    async def main():
        async with rig_of(LocalRig) as rig:
            assert await (await rig.spawn("exit", "3")).exited == Ended(code=3)
            child = await rig.spawn("stubborn-child", "say", "up", "exit", "0")
            await child.leader_exited
            assert not child.exited.done()
            child.signal(signal.SIGTERM, tree=True)
            child.kill_tree()
            assert await child.exited == Ended(code=0)

    asyncio.run(main())


@pytest.mark.row(14)
def test_output_that_a_stranger_holds_is_given_up_when_the_tree_is_empty():
    """A descriptor that was sent away keeps a pipe open; nobody of the tree is left, so nobody waits for it."""

    async def main():
        async with rig_of(LocalRig) as rig:
            child = await rig.up()
            held = os.open(f"/proc/{child.pid}/fd/1", os.O_WRONLY)
            try:
                child.kill_tree()
                await child.exited
                await child.output_ended
            finally:
                os.close(held)

    asyncio.run(main())


def test_an_owner_that_leaves_waits_a_bounded_time(monkeypatch):
    monkeypatch.setattr(local_module, "PATIENCE", 0.05)

    async def main():
        spawner, heard = LocalSpawner(), Heard()
        child = await spawner.spawn(LaunchRequest("w", 1, ("sleep", "1000"), dict(os.environ), output=heard))
        monkeypatch.setattr(type(child), "kill_tree", lambda self: None)
        await spawner.aclose()
        assert "still there" in child.exited.result().reason
        assert alive(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)  # noqa: ASYNC222

    asyncio.run(main())


def test_a_spawner_may_be_used_in_one_loop_after_another():
    spawner = LocalSpawner()

    async def main():
        child = await spawner.spawn(LaunchRequest("w", 1, ("true",), dict(os.environ), output=Heard()))
        assert await child.exited == Ended(code=0)
        await spawner.aclose()

    asyncio.run(main())
    asyncio.run(main())


def test_a_full_store_holds_the_output_back_and_not_the_end():
    """The end is told at once; the output ends when the store has room again."""

    class Stream:
        full, data, ended = True, b"", False

        def move(self, fd, limit=0):
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            got = os.read(fd, 100)
            self.data += got
            return len(got)

        def end(self):
            self.ended = True

    class Store:
        streams: ClassVar[dict] = {}

        def open_stream(self, worker, stream, run):
            return self.streams.setdefault(stream, Stream())

    async def main():
        store = Store()
        spawner = LocalSpawner(store)
        child = await spawner.spawn(LaunchRequest("w", 1, ("echo", "hello"), dict(os.environ)))
        await child.exited
        assert not child.output_ended.done()
        for stream in store.streams.values():
            stream.full = False
        await child.output_ended
        assert store.streams["out"].data == b"hello\n"
        assert all(stream.ended for stream in store.streams.values())

    asyncio.run(main())
