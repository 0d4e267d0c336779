"""What a child becomes before it runs its program, and why it cannot; real processes, and root where it is needed."""

import asyncio
import errno
import json
import os
import sys

import pytest

from supervisor_core.children import Ended, LaunchRequest, birth, ends
from supervisor_core.children.limits import split
from supervisor_core.children.local import LocalSpawner
from supervisor_core.errors import CannotStart
from supervisor_core.logs import View
from tests.children.rigs import Heard, zoo
from tests.children.test_local import refused, script

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
PLAIN, BECOMING = {}, {"nice": 19}


async def tell(code, **changes):
    """What a program prints, as JSON."""
    spawner, heard = LocalSpawner(), Heard()
    fields = {"argv": (sys.executable, "-I", "-S", "-c", code), "environment": {}, "output": heard} | changes
    child = await spawner.spawn(LaunchRequest("w", 1, **fields))
    assert await child.exited == Ended(code=0)
    await child.output_ended
    return heard.of()


def told(expression, **changes):
    code = f"import json, os, resource, sys; print(json.dumps({expression}))"
    return json.loads(asyncio.run(tell(code, **changes)))


# ------------------------------------------------------------ what it becomes


@root
@pytest.mark.row(22)
def test_another_user_with_its_groups_and_its_names():
    seen = told(
        "[os.getresuid(), os.getresgid(), os.getgroups(), dict(os.environ), os.getpid() == os.getsid(0)]",
        user="nobody", environment={"HOME": "/mine", "LC_CTYPE": "C.UTF-8"}, directory="/",
        argv=("/usr/bin/python3", "-I", "-S", "-c",
              "import json, os; print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), dict(os.environ),"
              " os.getpid() == os.getsid(0)]))"),
    )  # fmt: skip
    import pwd

    entry = pwd.getpwnam("nobody")
    names = {"USER": "nobody", "LOGNAME": "nobody", "HOME": "/mine", "LC_CTYPE": "C.UTF-8"}
    assert seen[:3] == [[entry.pw_uid] * 3, [entry.pw_gid] * 3, os.getgrouplist("nobody", entry.pw_gid)]
    assert seen[3:] == [names, True]


@root
@pytest.mark.row(22)
@pytest.mark.parametrize("tty", [False, True])
def test_another_user_may_open_its_output_again(tty):
    argv = ("/bin/sh", "-c", "echo one; echo two > /dev/stdout; id -u")
    text = asyncio.run(tell("", argv=argv, user="65534", group="0", environment={"PATH": "/usr/bin:/bin"}, tty=tty))
    assert text == "one\ntwo\n65534\n"


def test_umask_priority_and_limits():
    limits = {"nofile": 64, "core": 0, "fsize": 1 << 40 if os.geteuid() == 0 else 1 << 20}
    names = ("NOFILE", "CORE", "FSIZE")
    ask = "[os.umask(0), os.getpriority(0, 0), " + ", ".join(f"resource.getrlimit(resource.RLIMIT_{n})" for n in names)
    code = f"import json, os, resource; print(json.dumps({ask}]))"
    argv = (sys.executable, "-I", "-c", code)
    seen = json.loads(asyncio.run(tell("", argv=argv, umask=0o027, nice=7, limits=limits)))
    assert seen == [0o027, 7, [64, 64], [0, 0], [limits["fsize"]] * 2]
    assert told("os.umask(0)", argv=(sys.executable, "-I", "-c", "import os; print(os.umask(0))"), umask=0o077) == 0o077


@pytest.mark.row(24)
@pytest.mark.parametrize("changes", [PLAIN, BECOMING, {"tty": True}], ids=str)
def test_it_has_three_descriptors_and_signals_as_at_birth(changes):
    code = (
        "import os; fds = sorted(map(int, os.listdir('/proc/self/fd')))[:-1];"
        "print(fds, [l.split()[1] for l in open('/proc/self/status') if l[:6] == 'SigIgn'], sep=';')"
    )
    argv = ("/bin/sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; grep SigIgn /proc/self/status")
    text = asyncio.run(tell(code, argv=argv, environment={"PATH": "/usr/bin:/bin"}, **changes))
    assert text == "0 1 2 3 SigIgn:\t0000000000000000\n", "3 is the folder that ls reads"


def test_a_terminal():
    code = (
        "import os, sys; print(*map(os.isatty, (0, 1, 2)), os.get_terminal_size(), os.open('/dev/tty', 2) > 2);"
        "sys.stderr.write('end')"
    )
    text = asyncio.run(tell(code, tty=True, environment={"COLUMNS": "132"}))
    assert text == "True True True os.terminal_size(columns=132, lines=24) True\nend"


def test_a_terminal_into_the_store():
    async def main():
        spawner = LocalSpawner()
        child = await spawner.spawn(LaunchRequest("w", 1, zoo("say", "one", "err", "two", "exit", "3"), {}, tty=True))
        assert await child.exited == Ended(code=3)
        await child.output_ended
        items = spawner.store.tail(View(("w",)), 9).items
        assert [(i.stream, i.text) for i in items if hasattr(i, "text")] == [("out", "one"), ("out", "two")]

    asyncio.run(main())


def test_what_becomes_of_limits():
    limits = {"memory": 2**30, "cpu": 1.5, "pids": 10, "nofile": -1}
    parts = split(limits, {"memory", "cpu", "pids"})
    assert parts.files == {"memory.max": str(2**30), "cpu.max": "150000 100000", "pids.max": "10"}
    assert [(name, value) for name, _, value in parts.rlimits] == [("nofile", -1)]
    assert parts.said == ()
    parts = split(limits, root=True)
    assert [(name, value) for name, _, value in parts.rlimits] == [("memory", 2**30), ("pids", 10), ("nofile", -1)]
    assert [sentence.split(":")[0] for sentence in parts.said] == ["limits.memory", "limits.cpu", "limits.pids"]


@pytest.mark.row(28)
def test_memory_is_limited_and_what_cannot_be_had_is_said():
    async def main():
        spawner = LocalSpawner()
        argv = (sys.executable, "-I", "-S", "-c", "bytearray(1 << 28)")
        child = await spawner.spawn(LaunchRequest("w", 1, argv, {}, limits={"memory": 1 << 26, "cpu": 0.5}))
        assert await child.exited == Ended(code=1)
        await child.output_ended
        lines = [(i.stream, i.text) for i in spawner.store.tail(View(("w",)), 9).items if hasattr(i, "text")]
        assert ("err", "MemoryError") in lines
        assert [text.split(":")[0] for stream, text in lines if stream == "log"] == ["limits.memory", "limits.cpu"]

    asyncio.run(main())


# ------------------------------------------------------------ why it cannot

NOT_ROOT = ("the user root cannot be taken: start the service as root, or leave user and group out",)
CASES = {
    "missing": (lambda d: {"argv": ("no-such",)}, "there is no program no-such on PATH (/usr/bin:/bin)"),
    "not executable": (lambda d: {"argv": (script(d, b"#!/bin/sh\n", 0o644),)}, "script is not executable: chmod +x"),
    "a directory": (lambda d: {"argv": (str(d),)}, "is a directory, not a program"),
    "no interpreter line": (lambda d: {"argv": (script(d, b"echo\n"),)}, "has no #! line"),
    "empty file": (lambda d: {"argv": (script(d, b""),)}, "has no #! line"),
    "bad interpreter": (lambda d: {"argv": (script(d, b"#!/no/such\n"),)}, "the interpreter /no/such in the #! line"),
    "CRLF": (lambda d: {"argv": (script(d, b"#!/bin/sh\r\n"),)}, "ends with a carriage return"),
    "one argument too long": (lambda d: {"argv": ("true", "x" * 131_072)}, "larger than the system allows"),
    "all too long": (lambda d: {"argv": ("true", *["x" * 100_000] * 40)}, "larger than the system allows"),
    "NUL argument": (lambda d: {"argv": ("true", "a\0b")}, "argument 1 of 'true' has a NUL"),
    "NUL variable": (lambda d: {"environment": {"A": "\0"}}, "the environment variable 'A' has a NUL"),
    "no directory": (lambda d: {"directory": f"{d}/gone"}, "gone does not exist"),
    "empty name": (lambda d: {"argv": ("",)}, "the command is empty"),
    "unknown user": (lambda d: {"user": "no-such"}, "there is no user no-such on this system"),
    "unknown group": (lambda d: {"group": "no-such"}, "there is no group no-such on this system"),
    "a number without a group": (lambda d: {"user": "4123456"}, "its group is unknown: set group too"),
    "a limit above the hard one": (lambda d: {"limits": {"nofile": 2**40}}, "limits.nofile is above the hard limit"),
}


@pytest.mark.row(21, 22)
@pytest.mark.parametrize("extra", [PLAIN, BECOMING], ids=["plain", "becoming"])
@pytest.mark.parametrize("case", CASES)
def test_why_it_does_not_start(tmp_path, case, extra):
    changes, sentence = CASES[case]
    error = refused(tmp_path, **({"environment": {"PATH": "/usr/bin:/bin"}} | changes(tmp_path) | extra))
    assert error.permanent
    assert sentence in str(error)
    assert "\n" not in str(error)


@root
@pytest.mark.row(22)
def test_a_directory_and_a_program_that_are_not_for_that_user(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o711)
    assert "may not be entered by nobody" in str(refused(tmp_path, user="nobody", directory=str(closed)))
    error = refused(tmp_path, user="nobody", directory="/", argv=(script(closed, b"#!/bin/sh\n"),))
    assert "may not be executed by the user nobody" in str(error)


@root
@pytest.mark.row(22)
def test_without_the_right_it_does_not_start(monkeypatch):
    """Another user asks to become root: refused, not run as that user."""
    os.seteuid(65534)
    try:
        from supervisor_core.children import become

        with pytest.raises(become.Failed) as caught:
            become._try("account", "root", become._Account("0", "").take)
    finally:
        os.seteuid(0)
    assert (caught.value.step, caught.value.number) == ("account", 1)


def test_a_start_that_breaks_down_is_no_start(tmp_path, monkeypatch):
    monkeypatch.setattr(birth.sys, "executable", "/bin/false")
    error = refused(tmp_path, nice=5)
    assert not error.permanent
    assert str(error) == "true: its start broke down before the program ran: exit status 1"


def test_a_child_that_cannot_be_watched_is_ended_before_it_becomes(tmp_path, monkeypatch):
    """The test's own check finds what would be left: a process, the report, the pipes."""

    def fail(pid):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(ends.os, "pidfd_open", fail)
    monkeypatch.setattr(ends, "has_pidfds", lambda: True)
    assert not refused(tmp_path, nice=5).permanent


def test_cancelled_while_it_becomes(monkeypatch):
    """The test's own check finds what would be left."""

    async def main():
        monkeypatch.setattr(birth.become, "__file__", "-")  # reads its program from an input that never ends
        reading, writing = os.pipe()
        spawner = LocalSpawner()
        try:
            request = LaunchRequest("w", 1, ("true",), {}, nice=5, stdin=reading, output=Heard())
            task = asyncio.ensure_future(spawner.spawn(request))
            done, _ = await asyncio.wait([task], timeout=0.05)
            assert not done
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert spawner.live() == []
        finally:
            os.close(reading)
            os.close(writing)

    asyncio.run(main())


def test_a_refusal_leaves_the_store_as_it_was():
    async def main():
        spawner = LocalSpawner()
        with pytest.raises(CannotStart):
            await spawner.spawn(LaunchRequest("w", 1, ("true",), {}, user="no-such"))
        assert spawner.live() == []
        assert spawner.store.tail(View(("w",)), 9).items == ()

    asyncio.run(main())
