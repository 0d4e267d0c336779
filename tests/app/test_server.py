"""The whole service as a process: it comes up, answers, leaves in order, and survives what stops nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Instance, InstanceTaken

SERVE = """
import sys
from pathlib import Path
from app.server import serve
from app.settings import UpOptions
config, state, *rest = sys.argv[1:]
told = {"exit_when_done": "done" in rest, "in_process": "alone" in rest}
sys.exit(serve(UpOptions(Path(config), state=Path(state), listen=("127.0.0.1:0",), **told)))
"""

CONFIG = """
[worker.quick]
command = ["sleep", "600"]
start_seconds = 0.1

[worker.stubborn]
command = "trap '' TERM; echo up; while :; do sleep 0.1; done"
stop_timeout = {stop_timeout}
start_seconds = 0.1
"""


class Service:
    """One running service and how to talk to it."""

    def __init__(self, folder: Path, text: str, *rest: str) -> None:
        config = folder / "quarterdeck.toml"
        config.write_text(text)
        config.chmod(0o600)
        self.state = folder / "state"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(config), str(self.state), *rest],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("quarterdeck: config") or "done" in rest:
                break

    def client(self) -> httpx.Client:
        """Speaks through the Unix socket: its owner is admin."""
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.state / "socket")),
            base_url="http://localhost/api/v1",
            timeout=20,
        )

    def pid_of(self, name: str) -> int:
        """Waits until it is ready: the answer to a start says so, also when it runs already."""
        with self.client() as client:
            answer = client.post(f"/workers/{name}/start").json()
        assert answer["worker"]["ready"], answer
        return int(answer["worker"]["pid"])

    def end(self) -> int:
        assert self.process.stdout is not None
        rest, _ = self.process.communicate(timeout=30)
        self.lines.append(rest)
        return self.process.returncode


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Service]]:
    services: list[Service] = []
    yield services
    for service in services:
        if service.process.poll() is None:
            service.process.send_signal(signal.SIGTERM)
            service.process.send_signal(signal.SIGTERM)
        service.process.communicate(timeout=30)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_restart_answers_with_the_new_pid_and_a_closed_terminal_stops_nothing(
    tmp_path: Path, started: list[Service]
) -> None:
    service = Service(tmp_path, CONFIG.format(stop_timeout=0.5))
    started.append(service)
    before = service.pid_of("quick")
    service.process.send_signal(signal.SIGHUP)
    with service.client() as client:
        answer = client.post("/workers/quick/restart")
    assert answer.status_code == 200, answer.text
    worker = answer.json()["worker"]
    assert (worker["run"], worker["state"], worker["ready"]) == (2, "running", True)
    assert worker["pid"] != before
    assert gone(before)


def test_term_leaves_in_order_with_a_page_open(tmp_path: Path, started: list[Service]) -> None:
    service = Service(tmp_path, CONFIG.format(stop_timeout=0.5))
    started.append(service)
    pids = [service.pid_of(name) for name in ("quick", "stubborn")]
    with service.client() as client, client.stream("GET", "/events/stream") as stream:
        events = stream.iter_lines()
        assert next(events)
        begun = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert any(line == "event: bye" for line in events)
    assert service.end() == 0
    assert time.monotonic() - begun < 3.5, "half a second for the stubborn one, and then under three"
    assert all(gone(pid) for pid in pids)
    assert not (service.state / "socket").exists()


def test_a_second_term_kills_at_once(tmp_path: Path, started: list[Service]) -> None:
    service = Service(tmp_path, CONFIG.format(stop_timeout=60))
    started.append(service)
    pid = service.pid_of("stubborn")
    with service.client() as client, client.stream("GET", "/events/stream") as stream:
        lines = stream.iter_lines()
        service.process.send_signal(signal.SIGTERM)
        assert any(line.startswith("data:") and '"leaving"' in line for line in lines)
        begun = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
    service.end()
    assert time.monotonic() - begun < 5
    assert gone(pid)


def test_a_second_instance_names_the_first_and_touches_nothing(tmp_path: Path, started: list[Service]) -> None:
    service = Service(tmp_path, CONFIG.format(stop_timeout=0.5))
    started.append(service)
    pid = service.pid_of("quick")
    second = Service(tmp_path, CONFIG.format(stop_timeout=0.5))
    assert second.end() == 2
    assert f"pid {service.process.pid}" in "".join(second.lines)
    assert service.pid_of("quick") == pid


def test_exit_when_done_tells_that_one_failed(tmp_path: Path, started: list[Service]) -> None:
    text = '[worker.one]\ncommand = ["false"]\nrestart = "never"\nstart_seconds = 0\n'
    service = Service(tmp_path, text, "done")
    started.append(service)
    assert service.end() == 1


def test_a_killed_service_leaves_no_second_copies(tmp_path: Path, started: list[Service]) -> None:
    first = Service(tmp_path, CONFIG.format(stop_timeout=0.5), "alone")
    started.append(first)
    left = [first.pid_of("quick"), first.pid_of("stubborn")]
    first.process.kill()
    first.process.wait()
    try:
        second = Service(tmp_path, CONFIG.format(stop_timeout=0.5), "alone")
        assert second.end() == 2
        said = "".join(second.lines)
        assert "quick, stubborn" in said
        assert all(str(pid) in said.partition("kill ")[2].split() for pid in left)
    finally:
        for pid in left:
            os.killpg(pid, signal.SIGKILL)


def test_exit_when_done_does_not_wait_for_what_can_never_start(tmp_path: Path, started: list[Service]) -> None:
    text = """
[worker.bad]
command = ["false"]
restart = "never"
[worker.after]
command = ["true"]
requires = { bad = "completed_successfully" }
"""
    service = Service(tmp_path, text, "done")
    started.append(service)
    assert service.end() == 1


def test_a_job_that_ends_well_at_once_is_done(tmp_path: Path, started: list[Service]) -> None:
    text = '[worker.job]\ncommand = ["true"]\nrestart = "never"\nautostart = false\n'
    service = Service(tmp_path, text)
    started.append(service)
    with service.client() as client:
        answer = client.post("/workers/job/start")
    assert (answer.status_code, answer.json()["worker"]["state"]) == (200, "done"), answer.text


def test_a_repeat_by_its_key_is_answered_as_before(tmp_path: Path, started: list[Service]) -> None:
    service = Service(tmp_path, CONFIG.format(stop_timeout=0.5), "alone")
    started.append(service)
    service.pid_of("quick")
    with service.client() as client:
        version = client.get("/workers/quick").json()["version"]
        order = {"headers": {"Idempotency-Key": "once"}, "json": {"if_version": version}}
        first = client.post("/workers/quick/restart", **order)
        again = client.post("/workers/quick/restart", **order)
        other = client.post("/workers/quick/restart", headers={"Idempotency-Key": "once"}, json={"cascade": True})
    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 422), again.text
    assert first.json()["operation"]["id"] == again.json()["operation"]["id"]


def test_a_state_folder_in_use_names_the_config_that_uses_it(tmp_path: Path, started: list[Service]) -> None:
    service = Service(tmp_path, CONFIG.format(stop_timeout=0.5), "alone")
    started.append(service)
    other = tmp_path / "other.toml"
    with pytest.raises(InstanceTaken, match=r"in use by .*/quarterdeck\.toml \(as pid"):
        Instance(other, service.state).lock().__enter__()


def test_the_end_of_an_essential_worker_ends_the_service_with_its_status(
    tmp_path: Path, started: list[Service]
) -> None:
    text = """
[worker.main]
command = "sleep 0.3; exit 7"
essential = true
restart = "never"
start_seconds = 0
[worker.beside]
command = ["sleep", "600"]
"""
    service = Service(tmp_path, text)
    started.append(service)
    assert service.end() == 7


def test_shutdown_timeout_bounds_what_a_stubborn_worker_may_take(tmp_path: Path, started: list[Service]) -> None:
    service = Service(tmp_path, "[service]\nshutdown_timeout = 0.5\n" + CONFIG.format(stop_timeout=60))
    started.append(service)
    pid = service.pid_of("stubborn")
    begun = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    service.end()
    assert 0.5 <= time.monotonic() - begun < 6
    assert gone(pid)
