"""What a run says on its socket: READY=1, STOPPING=1, STATUS=, WATCHDOG=1; who is believed; where the socket is."""

import asyncio
import os
import socket
import stat

import pytest

from supervisor_core.probes import notify
from supervisor_core.probes.notify import NotifySocket, address_of, descends, fields_of
from tests.probes.rig import eventually, over, probe, python, ready, running, worker

PYTHON = "/usr/bin/python3"

SAYS = """
import os, socket, sys, time
def say(text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = os.environ["NOTIFY_SOCKET"]
    s.connect("\\0" + address[1:] if address[0] == "@" else address)
    s.send(text.encode())
    s.close()
"""


def test_ready_stopping_and_ready_again(tmp_path):
    async def main():
        text = f"""{SAYS}
folder = {str(tmp_path)!r}
def until(name):
    while not os.path.exists(folder + "/" + name): time.sleep(0.01)
say("STATUS=warming\\nup")
until("1"); say("READY=1\\nSTATUS=5 of 5 shards\\nX_OURS=1")
until("2"); say("STOPPING=1")
until("3"); say("READY=1")
time.sleep(60)
"""
        folder = tmp_path / "sockets"
        async with running(worker(python(text), ready=probe("notify")), folder=folder) as run:
            said = run.supervisor.aside.findings.said
            await eventually(lambda: said("web", 1) is not None)
            assert said("web", 1)[0] == "warming"
            assert not run.status.ready
            (tmp_path / "1").touch()
            await run.until(ready)
            assert said("web", 1)[0] == "5 of 5 shards"
            assert (run.findings()[0].text, run.findings()[0].probe) == ("READY=1", "notify")
            (path,) = folder.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (tmp_path / "2").touch()
            await run.until(lambda status: not status.ready)
            assert run.lines() == ["not ready any more: notify: STOPPING=1"]
            (tmp_path / "3").touch()
            await run.until(ready)
        assert not path.exists()

    asyncio.run(main())


def test_a_watchdog_that_is_not_fed_ends_the_run(tmp_path):
    async def main():
        text = f"""{SAYS}
assert os.environ["WATCHDOG_USEC"] == "500000"
say("READY=1")
while not os.path.exists({str(tmp_path / "stop")!r}):
    say("WATCHDOG=1")
    time.sleep(0.02)
time.sleep(60)
"""
        alive = probe("notify", period=0.5, failure_threshold=2)
        spec = worker(python(text), ready=probe("notify"), alive=alive)
        async with running(spec, folder=tmp_path / "s") as run:
            await run.until(lambda status: status.health == "healthy")
            (tmp_path / "stop").touch()
            status = await run.until(over)
            assert status.last_exit.reason == (
                "not alive: notify failed 2 times in a row, last with: no WATCHDOG=1 within 0.5 s"
            )

    asyncio.run(main())


def test_a_watchdog_that_is_triggered_ends_the_run_at_once():
    async def main():
        text = f"{SAYS}\nsay('READY=1')\ntime.sleep(0.2)\nsay('WATCHDOG=trigger')\ntime.sleep(60)"
        spec = worker(python(text), alive=probe("notify", period=600.0))
        async with running(spec) as run:  # without a folder
            status = await run.until(over)
            assert status.last_exit.reason == "not alive: notify failed once, last with: WATCHDOG=trigger"

    asyncio.run(main())


@pytest.mark.row(27)
def test_only_the_tree_of_the_run_is_believed(tmp_path):
    async def main():
        text = f"""{SAYS}
import subprocess
open({str(tmp_path / "address")!r} + "-", "w").write(os.environ["NOTIFY_SOCKET"])
os.rename({str(tmp_path / "address")!r} + "-", {str(tmp_path / "address")!r})
while not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.01)
subprocess.run([sys.executable, "-c", {SAYS + "say('READY=1')"!r}])  # a child of its own
time.sleep(60)
"""
        async with running(worker(python(text), ready=probe("notify")), folder=tmp_path / "s") as run:
            await eventually((tmp_path / "address").exists)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as forger:
                forger.connect((tmp_path / "address").read_text())
                forger.send(b"READY=1")
            await run.until_line(f"a message on its notify socket is not believed: it came from pid {os.getpid()} ")
            assert not run.status.ready
            (tmp_path / "go").touch()
            await run.until(ready)

    asyncio.run(main())


def test_who_waits_at_a_barrier_goes_on(tmp_path):
    """BARRIER=1 comes with the end of a pipe, which is closed once what was sent before has been read."""

    async def main():
        text = f"""{SAYS}
import array
reading, writing = os.pipe()
say("READY=1")
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))])
os.close(writing)
assert os.read(reading, 1) == b""
print("passed", flush=True)
time.sleep(60)
"""
        async with running(worker(python(text), ready=probe("notify")), folder=tmp_path / "s") as run:
            await run.until(ready)
            await run.until_line("passed", "out")

    asyncio.run(main())


def test_garbage_and_floods_harm_nobody(tmp_path):
    async def main():
        text = f"""{SAYS}
say("")
say("\\0=\\x01")
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"\\xff" * 4000)
s.send(b"STATUS=" + b"x" * 100000)
for n in range(2000): s.send(b"STATUS=%d" % n)
s.send(b"READY=1")
time.sleep(60)
"""
        async with running(worker(python(text), ready=probe("notify")), folder=tmp_path / "s") as run:
            await run.until(ready)
            assert run.supervisor.aside.findings.said("web", 1)[0] == "1999"

    asyncio.run(main())


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists(PYTHON), reason="needs root, and a Python for all")
def test_a_run_of_another_user_reaches_its_socket(tmp_path):
    async def main():
        tmp_path.chmod(0o700)
        text = f"{SAYS}\nsay('READY=1')\ntime.sleep(60)"
        program = {"user": "65534", "group": "65534", "directory": "/"}
        argv = (PYTHON, *python(text)[1:])
        async with running(worker(argv, ready=probe("notify"), program=program), folder=tmp_path) as run:
            await run.until(ready)

    asyncio.run(main())


def test_addresses(tmp_path):
    address = address_of("/run/q", "me", "web", 3, foreign=False)
    assert address.startswith("/run/q/")
    assert address.endswith(".3")
    assert address != address_of("/run/q", "me", "db", 3, foreign=False)
    assert address_of("/run/q", "me", "web", 3, foreign=True).startswith("@quarterdeck/me/")
    assert address_of(None, "me", "web", 3, foreign=False)[0] == "@"
    assert address_of("/" + "x" * 100, "me", "w" * 63, 3, foreign=False)[0] == "@"


def test_the_place_of_a_socket_is_taken_again_and_what_nobody_owns_goes(tmp_path):
    async def main():
        place, other = tmp_path / "a.1", tmp_path / "b.7"
        first = NotifySocket(mine := str(place))
        os.dup2(first._socket.fileno(), spare := os.dup(0))  # as if its owner had been killed: the file stays
        first._socket.close()
        NotifySocket(str(other))._socket.close()
        notify.clear(str(tmp_path), [mine])
        assert (place.exists(), other.exists()) == (True, False)
        heard = []
        second = NotifySocket(mine)
        second.listen(heard.append, lambda pid: pid == os.getpid(), heard.append)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(mine)
            sender.send(b"READY=1")
        await eventually(lambda: heard)
        assert heard == [{"READY": "1"}]
        second.close()
        second.close()
        os.close(spare)
        assert not place.exists()
        notify.clear(str(tmp_path / "none"), [])

    asyncio.run(main())


def test_fields():
    assert fields_of(b"READY=1\nSTATUS=a=b\nnonsense\n\nREADY=0") == {"READY": "0", "STATUS": "a=b"}


def test_who_descends():
    assert descends(os.getpid(), os.getpid(), "no tag")
    assert descends(os.getpid(), os.getppid(), "no tag")
    assert not descends(os.getppid(), os.getpid(), "no tag")
    assert not descends(0, os.getpid(), "no tag")
