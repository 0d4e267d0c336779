"""What probes do to a real run: ready, unready, healthy, unhealthy; each kind, thresholds, and what is kept of them."""

import asyncio
import os
import signal
import sys

import pytest

from supervisor_core.messages import Add
from supervisor_core.model import Condition, Program, Requirement, RestartPolicy, RestartWhen, WorkerSpec
from supervisor_core.probes.prober import wait
from tests.probes.rig import eventually, over, probe, python, ready, running, worker

SERVER = """
import socket, sys, os
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
good = True
while True:
    c, _ = s.accept()
    head = c.recv(4096).decode() or "- /closed"
    path = head.split()[1]
    if path in ("/good", "/bad"):
        good = path == "/good"
        c.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    elif path == "/exit":
        sys.exit(3)
    elif path != "/closed":
        c.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n" if good else b"HTTP/1.1 500 Oh\\r\\n\\r\\nthe pump is off")
    c.close()
"""


@pytest.fixture
def port():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def get(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    await reader.read()
    writer.close()
    await writer.wait_closed()


def server(port):
    return (*python(SERVER), str(port))


def test_http_ready_not_ready_and_ready_again(port):
    async def main():
        look = probe("http", f"http://127.0.0.1:{port}/", failure_threshold=2)
        async with running(worker(server(port), ready=look)) as run:
            await run.until(ready)
            assert run.status.state == "running"
            await get(port, "/bad")
            status = await run.until(lambda status: not status.ready)
            assert (status.state, status.run) == ("running", 1), "it goes on, and who is up with it goes on"
            (finding,) = run.findings()
            assert (finding.role, finding.good, finding.text) == ("ready", False, "status 500 Oh: the pump is off")
            assert finding.in_a_row >= 2
            seq = run.supervisor.journal.cursor.seq
            await eventually(lambda: run.findings()[0].in_a_row >= 4)
            assert run.supervisor.journal.cursor.seq == seq, "looks that change nothing are no events"
            await get(port, "/good")
            await run.until(ready)
            assert [c for c in run.causes() if "ready" in c] == ["ready", "unready", "ready"]
            assert run.lines() == [
                f"not ready any more: http http://127.0.0.1:{port}/: status 500 Oh: the pump is off",
                f"ready again: http http://127.0.0.1:{port}/: status 200 OK",
            ]

    asyncio.run(main())


def test_alive_begins_when_it_is_ready_and_ends_the_run_by_its_policy(port):
    async def main():
        restart = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=0.01, on_give_up="fail")
        look = probe("http", f"http://127.0.0.1:{port}/", failure_threshold=2)
        spec = worker(server(port), ready=probe("tcp", f"127.0.0.1:{port}"), alive=look, restart=restart)
        async with running(spec) as run:
            status = await run.until(lambda status: status.health == "healthy")
            assert status.ready
            await get(port, "/bad")
            status = await run.until(lambda status: status.run == 2 and status.health == "healthy")
            exit = status.last_exit
            assert exit.reason == (
                f"not alive: http http://127.0.0.1:{port}/ failed 2 times in a row, last with: "
                "status 500 Oh: the pump is off"
            )
            assert (exit.run, exit.by) == (1, "policy")
            assert status.failures == 1
            causes = run.causes()
            assert causes.index("ready") < causes.index("healthy") < causes.index("unhealthy")

    asyncio.run(main())


def test_without_a_ready_probe_alive_begins_when_it_stayed_up():
    async def main():
        alive = probe("exec", "", ("/bin/false",), failure_threshold=3)
        program = {"start_seconds": 0.2}
        async with running(worker(("sleep", "60"), alive=alive, program=program)) as run:
            status = await run.until(over)
            assert status.last_exit.reason == "not alive: exec failed 3 times in a row, last with: exit status 1"
            causes = run.causes()
            assert causes.index("ready") < causes.index("unhealthy")

    asyncio.run(main())


def test_exec_ready(tmp_path):
    async def main():
        there = tmp_path / "up"
        text = f"import time, pathlib\npathlib.Path({str(there)!r}).touch()\ntime.sleep(60)"
        async with running(worker(python(text), ready=probe("exec", "", ("test", "-e", str(there))))) as run:
            await run.until(ready)
            assert run.findings()[0].text == "exit status 0"
            there.unlink()
            await run.until(lambda status: not status.ready)
            assert run.findings()[0].text == "exit status 1"

    asyncio.run(main())


def test_log_ready_matches_what_this_run_writes_without_colours_and_without_a_newline():
    async def main():
        text = (
            "import sys, time\nsys.stdout.write('\\x1b[32mlisten\\x1b[0ming on 80')\nsys.stdout.flush()\ntime.sleep(60)"
        )
        async with running(worker(python(text), ready=probe("log", r"listening on \d+$"))) as run:
            await run.until(ready)
            assert run.findings()[0].text == "listening on 80"

    asyncio.run(main())


def test_a_line_of_an_earlier_run_makes_no_later_one_ready(tmp_path):
    async def main():
        text = f"""
import os, sys, time
if os.environ["QUARTERDECK_RUN"] == "1":
    print("listening", flush=True)
    os._exit(1)
print("not yet", flush=True)
while not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.01)
print("listening", file=sys.stderr, flush=True)
time.sleep(60)
"""
        restart = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=0.01, on_give_up="fail")
        async with running(worker(python(text), ready=probe("log", "listening"), restart=restart)) as run:
            await run.until_line("not yet", "out")
            assert (run.status.run, run.status.ready) == (2, False)
            (tmp_path / "go").touch()
            await run.until(ready)
            assert run.status.run == 2

    asyncio.run(main())


def test_patterns_that_dependents_wait_for_are_told_once_each():
    async def main():
        text = "import time\nprint('migrating 1')\nprint('migrating 2')\nprint('done', flush=True)\ntime.sleep(60)"
        heard = []
        async with running(worker(python(text), patterns=("migrating", "^done$", "never"))) as run:
            report = run.supervisor.report
            run.supervisor.report = lambda told: (heard.append(told), report(told))
            await run.until_line("done", "out")
            await eventually(lambda: len([told for told in heard if hasattr(told, "pattern")]) == 2)
        assert [told.pattern for told in heard if hasattr(told, "pattern")] == ["migrating", "^done$"]

    asyncio.run(main())


def test_what_others_wait_for_since_it_runs_is_found_also_in_what_it_wrote_before():
    async def main():
        text = (
            "import time\nprint('listening')\nfor n in range(3000): print()\nprint('end', flush=True)\ntime.sleep(60)"
        )
        async with running(worker(python(text))) as run:
            await run.until(ready)
            await run.until_line("end", "out")
            late = WorkerSpec(
                "late", (Requirement(run.status.name, Condition.LOG, pattern="listen"),), program=Program(("true",))
            )
            run.supervisor.tell(Add(late))
            status = await run.until(lambda status: status.matched)
            assert status.matched == ("listen",)

    asyncio.run(main())


def test_a_heartbeat_in_the_log(tmp_path):
    async def main():
        stop = tmp_path / "stop"
        text = f"""
import os, time
while not os.path.exists({str(stop)!r}):
    print("tick", flush=True)
    time.sleep(0.01)
time.sleep(60)
"""
        alive = probe("log", "tick", period=0.5, failure_threshold=2)
        async with running(worker(python(text), alive=alive)) as run:
            await run.until(lambda status: status.health == "healthy")
            stop.touch()
            status = await run.until(over)
            assert status.last_exit.reason == (
                "not alive: log /tick/ failed 2 times in a row, last with: no such line within 0.5 s"
            )

    asyncio.run(main())


def test_nothing_is_looked_at_while_it_is_being_stopped(tmp_path):
    """A worker that takes long to leave, and answers no more meanwhile, is not blamed for that."""

    async def main():
        text = f"""
import os, signal, time, pathlib
up = pathlib.Path({str(tmp_path / "up")!r})
def leave(*_):
    up.unlink()
    while not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.01)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
up.touch()
time.sleep(60)
"""
        look = probe("exec", "", ("test", "-e", str(tmp_path / "up")), failure_threshold=1)
        async with running(worker(python(text), ready=look, alive=look)) as run:
            await run.until(lambda status: status.health == "healthy")
            from supervisor_core.messages import Stop

            run.supervisor.tell(Stop("web"))
            await eventually(lambda: not (tmp_path / "up").exists())
            found = run.findings()
            await wait(0.3)
            assert run.findings() == found
            (tmp_path / "go").touch()
            status = await run.until(over)
            assert (status.state, status.last_exit.code) == ("stopped", 0)
            assert "unready" not in run.causes()

    asyncio.run(main())


@pytest.mark.row(53)
def test_a_service_that_was_paused_blames_nobody(port):
    """SIGSTOP to the service in the midst of a look: on its return the time is over, and that counts for nothing."""
    text = f"""
import asyncio, os, signal, sys
sys.path[:0] = {[os.getcwd(), *sys.path]!r}
from tests.probes.rig import *

async def main():
    looks = 0

    async def serve(reader, writer):
        nonlocal looks
        looks += 1
        if looks in (3, 4):  # one of each probe
            print("looking", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            await wait(0.05)  # by then the time of the look is over
        writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", {port})
    look = probe("http", "http://127.0.0.1:{port}/", timeout=0.5, failure_threshold=1)
    async with running(worker(python("import time\\ntime.sleep(60)"), ready=look, alive=look)) as run:
        await run.until(ready)
        while looks < 8 and run.status.state == "running":
            await wait(0.01)
        await wait(0.2)
        print("unready" in run.causes(), "unhealthy" in run.causes(), run.findings()[0].good, flush=True)
    server.close()

from supervisor_core.probes.prober import wait
asyncio.run(main())
"""
    import subprocess

    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as service:
        for _ in range(2):
            assert service.stdout.readline() == "looking\n"
            os.waitid(os.P_PID, service.pid, os.WSTOPPED | os.WNOWAIT)
            with pytest.raises(subprocess.TimeoutExpired):
                service.wait(1.5)  # the look may take 0.5 s
            service.send_signal(signal.SIGCONT)
        assert service.stdout.readline() == "False False True\n"


def test_looks_that_are_under_way_end_with_the_run():
    """A run that ends in the midst of looks leaves no task and no process; the fixture of all tests says so."""

    async def main():
        hangs = probe("exec", "", ("sleep", "60"), timeout=60.0)
        async with running(worker(python("import time\ntime.sleep(0.3)"), ready=hangs, alive=hangs)) as run:
            status = await run.until(over)
            assert status.state == "done"

    asyncio.run(main())
