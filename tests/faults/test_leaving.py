"""Signals, a closed terminal, an end with many readers: one ordered stop, in bounded time, with a true exit status."""

import contextlib
import os
import pty
import select
import signal
import socket
import time
from pathlib import Path

import pytest

from app.settings import Instance
from supervisor_core.children import procfs
from supervisor_core.children.forest import survivors
from tests.faults.service import MODES, Events, Service, alive, stays, until, zoo
from tests.faults.test_kills import Kept

STUBBORN = """
[worker.stubborn]
command = {command}
start_seconds = 0
stop_timeout = {stop_timeout}
"""

TALKS = STUBBORN.replace("stubborn", "talks").replace("{stop_timeout}", "0.2")


def stubborn(stop_timeout):
    return STUBBORN.format(command=zoo("ignore", "TERM", "say", "up", "pause"), stop_timeout=stop_timeout)


@pytest.mark.row(63)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_is_one_ordered_stop(tmp_path, mode, number):
    text = stays("db") + stays("web", more='requires = ["db"]\n')
    with Service(tmp_path, text, mode) as service:
        pids = [service.pid_of(name) for name in ("db", "web")]
        with Events(service.client()) as events:
            service.signal(number)
            events.until("bye")
        assert service.end() == 0
        ended = [
            change["status"]["name"]
            for name, data in events.seen
            if name == "changed"
            for change in data
            if change["status"]["state"] == "stopped"
        ]
        assert ended == ["web", "db"]
    assert not any(map(alive, pids))


@pytest.mark.row(63)
def test_a_storm_of_signals_kills_in_the_end_and_leaves_nothing(tmp_path, mode):
    with Service(tmp_path, stubborn(60), mode) as service:
        pid = service.pid_of("stubborn")
        begun = time.monotonic()
        for number in [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM] * 10:
            with contextlib.suppress(ProcessLookupError):
                service.signal(number)
        assert service.end() == 0
        assert time.monotonic() - begun < 5
    assert not alive(pid)
    assert not (service.state / "socket").exists()


def left(state):
    """Processes of this state folder, keeper and service included: who runs for it, or was started by it."""
    found = [pid for _, _, pid in survivors(Instance(state, state).mark)]
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(state) in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
    return found


@pytest.mark.row(63)
@pytest.mark.parametrize(
    ("mode", "after"),
    [(mode, after) for mode in MODES for after in ("", "lock", "socket", "running.json")]
    + [("kept", "keeper/records")],
)
def test_a_term_during_the_start_leaves_nothing_at_all(tmp_path, mode, after):
    """At each step of a start, as far as files tell of it."""
    with Service(tmp_path, stays("web"), mode, wait=False) as service:
        if after:
            until((service.state / after).exists, step=0.001)
        service.signal(signal.SIGTERM)
        early = after in (("", "lock") if mode == "kept" else ("", "lock", "socket"))  # nobody has begun
        assert service.end() in ({0, -signal.SIGTERM} if early else {0})
        assert not left(service.state)


def stalled(pid):
    """It, or a child of it, when that was stopped."""
    for one in [pid, *(procfs.children(pid) or ())]:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return one
    return None


@pytest.mark.row(63)
@pytest.mark.parametrize("step", ["service forked", "keeper begins", "service begins"])
def test_a_term_that_comes_before_anybody_can_take_it_waits(tmp_path, step):
    """In process there is no moment between two programs."""
    with Service(tmp_path, stays("web"), "kept", wait=False, environment={"FAIL_AT": f"{step}:1:stall"}) as service:
        pid = until(lambda: stalled(service.pid))
        service.signal(signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        assert service.end() == 0
        assert not left(service.state)


@pytest.mark.row(63)
def test_a_closed_terminal_stops_nothing(tmp_path, mode):
    ours, theirs = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, theirs)
        service = stack.enter_context(Service(tmp_path, stays("web"), mode, stdout=theirs))
        said = b""
        while b"quarterdeck: config" not in said:
            assert select.select([ours], [], [], 20)[0]
            said += os.read(ours, 4096)
        pid = service.pid_of("web")
        os.close(ours)
        service.signal(signal.SIGHUP)
        with service.client() as client:
            assert client.post("/workers/web/restart").status_code == 200, "and what it has to say hurts nobody"
        assert not alive(pid)
        assert service.process.poll() is None
        service.signal(signal.SIGTERM)
        assert service.end() == 0


@pytest.mark.row(63)
def test_the_exit_status_says_whether_somebody_had_to_be_left_behind(tmp_path, mode):
    """Bounded by shutdown_timeout and not by the patience of a worker; who was killed is gone, so it is a clean end."""
    with Service(tmp_path, "[service]\nshutdown_timeout = 0.3\n" + stubborn(60), mode) as service:
        pid = service.pid_of("stubborn")
        begun = time.monotonic()
        service.signal(signal.SIGTERM)
        assert service.end() == 0
        assert 0.3 <= time.monotonic() - begun < 5
    assert not alive(pid)


def asked(service, path, method="GET", more="", rest=b""):
    """A socket on which a request was sent, with a small room for what comes back."""
    sender = socket.socket()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sender.settimeout(20)
    sender.connect(("127.0.0.1", service.port))
    token = (service.state / "token").read_text().strip()
    head = f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
    sender.sendall(head.encode() + rest)
    return sender


@pytest.mark.row(64)
@pytest.mark.parametrize("mode", ["kept"])  # the same code in both
def test_an_end_with_many_readers_a_slow_download_and_stuck_requests_is_quick_and_polite(tmp_path, mode):
    text = TALKS.format(command=zoo("write", "200000", "batch=0", "ignore", "TERM", "pause"))
    with Service(tmp_path, text, mode) as service, contextlib.ExitStack() as stack:

        def ask(*words, **more):
            return stack.enter_context(contextlib.closing(asked(service, *words, **more)))

        until(lambda: service.lines("talks", 1)[-1]["text"].startswith("0000199999"))
        streams = [ask("/events/stream") for _ in range(40)] + [ask("/workers/talks/logs/stream") for _ in range(10)]
        for stream in streams:
            assert stream.recv(15) == b"HTTP/1.1 200 OK"
        download = ask("/workers/talks/logs/download")
        assert download.recv(15) == b"HTTP/1.1 200 OK"
        stuck = [
            ask("/workers/talks/stop?wait=100", "POST", "Content-Length: 0\r\n"),
            ask("/workers/talks/start", "POST", "Content-Length: 1000\r\nContent-Type: application/json\r\n", b"{"),
            ask("/workers?half=a-hea", "GET", "X: "),
        ]
        begun = time.monotonic()
        service.signal(signal.SIGTERM)
        for stream in streams:
            heard = b""
            while more := stream.recv(65536):
                heard += more
            assert b"\nevent: bye\n" in heard
        assert service.end() == 0
        assert time.monotonic() - begun < 0.2 + 3
        assert stuck[0].recv(15) in (b"HTTP/1.1 200 OK", b"HTTP/1.1 202 Ac")
    assert "Traceback" not in service.text


@pytest.mark.row(63)
def test_an_order_to_leave_whose_keeper_was_killed_need_not_be_repeated(tmp_path):
    point = "leaving begun"
    environment = {"FAIL_AT": f"{point}:1:kill", "FAIL_ONCE": str(tmp_path)}
    with Kept(tmp_path, stays("web"), "kept", environment=environment) as service:
        pid, manager = service.pid_of("web"), service.manager()
        service.signal(signal.SIGTERM)
        until(lambda: not alive(manager))
        until(lambda: not alive(pid))
        until(lambda: not service.keeper())
        assert (tmp_path / point).exists()
    with Kept(tmp_path, "", "kept") as service:
        os.kill(service.keeper(), signal.SIGKILL)
        until(lambda: service.known_keeper() != service.pid)
        assert service.workers()["web"]["state"] == "running", "that order was for the life before"


@pytest.mark.row(63)
def test_an_order_to_leave_ends_no_later_life_whose_first_keeper_is_killed_at_once(tmp_path):
    point = "keeper begins"
    with Kept(tmp_path, stays("web"), "kept") as service:
        service.signal(signal.SIGTERM)
        assert service.end() == 0
    environment = {"FAIL_AT": f"{point}:1:kill", "FAIL_ONCE": str(tmp_path)}
    with Kept(tmp_path, "", "kept", environment=environment) as service:
        until(lambda: service.known_keeper() not in (0, service.pid))
        assert (tmp_path / point).exists()
        until(lambda: service.workers()["web"]["state"] == "running")


@pytest.mark.row(63)
def test_whom_the_keeper_had_to_stop_the_next_start_begins_anew(tmp_path):
    """Not as one that ended by itself: neither done, nor with a failure. So does what somebody had stopped."""
    polite = f"[worker.polite]\ncommand = {zoo('until', 'TERM', 'write', 'forever', 'rate=1', 'exit', '0')}\n"
    once = stays("once", more='restart = "never"\n')
    with Kept(tmp_path, stays("db", "stopped") + once + polite + "start_seconds = 0\n", "kept") as service:
        runs = {name: service.workers()[name]["run"] for name in ("db", "once", "polite") if service.pid_of(name)}
        with service.client() as client:
            client.post("/workers/stopped/stop")
        os.kill(service.manager(), signal.SIGSTOP)
        service.signal(signal.SIGTERM)
        assert service.end() == 1, "nobody knows whether it was a clean end"
        assert not left(service.state)
    with Kept(tmp_path, "", "kept") as service:
        for name in ("db", "stopped", "once", "polite"):
            service.pid_of(name)
        rows = service.workers()
        assert {name: rows[name]["run"] for name in runs} == {name: run + 1 for name, run in runs.items()}
        assert {row["failures"] for row in rows.values()} == {0}
        with service.client() as client:
            ends = {name: client.get("/runs", params={"worker": name}).json()["runs"][-1] for name in runs}
        assert {(end["run"], end["cause"], end["by"]) for end in ends.values()} == {(1, "service", "service")}
