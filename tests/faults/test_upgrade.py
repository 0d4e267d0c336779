"""Keeper and service become what is installed now, while twenty workers write and whatever else is under way."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.service import ROOT, Events, Service, alive, stays, until, zoo
from tests.faults.test_kills import Kept, config, finish, identity
from tests.faults.test_leaving import asked as sent

GAP = 1.0
"""Seconds without a service that an upgrade may cost."""

WRITERS = 10


def pipes(pid: int) -> list[str]:
    """What its output goes to, as the kernel knows it."""
    return [os.stat(f"/proc/{pid}/fd/{number}").st_ino for number in (1, 2)]


def ask(service: Service, path: str) -> dict:
    """Without httpx, which leaves a descriptor open when nobody is there."""
    with closing(http.client.HTTPConnection("localhost")) as connection, socket.socket(socket.AF_UNIX) as way:
        way.connect(str(service.state / "socket"))
        connection.sock = way
        connection.request("GET", f"/api/v1{path}")
        return json.loads(connection.getresponse().read())


def asked(service: Kept) -> dict:
    """Asks for an upgrade and waits for the successor; gives what that says of it."""
    with service.client() as client:
        answer = client.post("/upgrade")
        assert answer.status_code == 202, answer.text
        begun = answer.json()["upgrade"]
        assert answer.headers["location"] == "/api/v1/upgrade"

    def there():
        try:
            told = ask(service, "/upgrade")["upgrade"]
        except (OSError, http.client.HTTPException):
            return None
        return told if told["state"] == "done" and told["asked"] == begun["asked"] else None

    return until(there, 20)


@pytest.mark.row(39)
def test_an_upgrade_under_load_is_noticed_by_no_worker(tmp_path):
    with Kept(tmp_path, config(WRITERS), "kept") as service:
        pids = {f"w{n}": service.pid_of(f"w{n}") for n in range(WRITERS)}
        pids["stopped"] = service.pid_of("stopped")
        before = {name: (identity(pid), pipes(pid)) for name, pid in pids.items()}
        keeper, manager = service.keeper(), service.manager()
        for _ in range(2):
            told = asked(service)
            assert told["keeper"]["pid"] == keeper == service.keeper()
            assert told["service"]["before"] == manager
            assert told["service"]["after"] == service.manager() != manager
            manager = service.manager()
            print("gaps", told["keeper"]["gap_ms"], told["service"]["gap_ms"], "ms")
            assert 0 < told["keeper"]["gap_ms"] < GAP * 1000
            assert 0 < told["service"]["gap_ms"] < GAP * 1000
            assert {name: (identity(pid), pipes(pid)) for name, pid in pids.items()} == before
            rows = service.workers()
            assert {name: (rows[name]["state"], rows[name]["run"], rows[name]["pid"]) for name in pids} == {
                name: ("running", 1, pid) for name, pid in pids.items()
            }
        finish(service, pids)


@pytest.mark.row(39)
def test_a_keeper_without_any_run_is_upgraded_too(tmp_path):
    with Kept(tmp_path, stays("web", more="autostart = false\n"), "kept") as service:
        keeper = service.keeper()
        told = asked(service)
        assert told["keeper"]["pid"] == keeper
        assert service.pid_of("web")


@pytest.mark.row(39)
def test_streams_are_told_to_come_back_and_who_waits_is_told_how_far_it_is(tmp_path):
    text = stays("web") + f"[worker.slow]\ncommand = {zoo('ignore', 'TERM', 'say', 'up', 'pause')}\nstop_timeout = 60\n"
    answers = []
    with Kept(tmp_path, text, "kept") as service:
        service.pid_of("web")
        slow = service.workers()["slow"]["pid"]
        until(lambda: service.lines("slow", 1))

        def stop():
            with service.client() as client:
                answers.append(client.post("/workers/slow/stop?wait=60"))

        waits = threading.Thread(target=stop)
        waits.start()
        until(lambda: service.workers()["slow"]["state"] == "stopping")
        with Events(service.client()) as events, Events(service.client(), "/events/stream") as others:
            asked(service)
            for one in (events, others):
                assert "come back" in one.until("bye")["why"]
        waits.join(20)
        assert answers[0].status_code == 202
        assert answers[0].json()["operation"]["state"] == "pending"
        assert service.workers()["slow"]["state"] == "stopping", "the stop goes on"
        with service.client() as client:
            assert client.post("/workers/slow/kill").status_code == 200
        assert not alive(slow)
        assert service.workers()["slow"]["state"] == "stopped"


UNDER_WAY = f"""
[worker.stops]
command = {zoo("ignore", "TERM", "say", "up", "pause")}
start_seconds = 0
stop_timeout = 3
restart = "always"
[worker.restarts]
command = {zoo("ignore", "TERM", "say", "up", "pause")}
start_seconds = 0
stop_timeout = 3
[worker.fails]
command = ["false"]
restart = "always"
backoff = {{ initial = 3, max = 3, jitter = 0 }}
[worker.starts]
command = ["sleep", "600"]
start_seconds = 2
"""


@pytest.mark.long
@pytest.mark.row(39)
def test_what_is_under_way_ends_as_ordered(tmp_path):
    """A stop, a restart, a back-off and a start that is not ready yet; and starts that nobody waits for."""
    text = UNDER_WAY + stays(*(f"many{n}" for n in range(8)), more="autostart = false\n")
    with Kept(tmp_path, text, "kept") as service:
        pids = {name: service.pid_of(name) for name in ("stops", "restarts")}
        until(lambda: all(service.lines(name) for name in pids))
        until(lambda: service.workers()["fails"]["state"] == "backoff")
        with service.client() as client:
            client.post("/workers/starts/restart?wait=0")
            for name, action in (("stops", "stop"), ("restarts", "restart")):
                client.post(f"/workers/{name}/{action}?wait=0")
            for n in range(8):
                client.post(f"/workers/many{n}/start?wait=0")
        before = service.workers()
        asked(service)
        after = service.workers()
        assert [before[name]["state"] for name in (*pids, "fails")] == ["stopping", "stopping", "backoff"]
        assert [after[name]["state"] for name in (*pids, "fails")] == ["stopping", "stopping", "backoff"]
        then, now = (datetime.fromisoformat(rows["fails"]["deadline"]) for rows in (before, after))
        assert abs(then - now) < timedelta(seconds=0.5), "and not longer than it was"
        until(lambda: service.workers()["stops"]["state"] == "stopped")
        until(lambda: service.workers()["restarts"]["run"] == 2 and service.workers()["restarts"]["ready"])
        until(lambda: service.workers()["fails"]["run"] > before["fails"]["run"])
        until(lambda: service.workers()["starts"]["ready"])
        rows = service.workers()
        assert not any(map(alive, pids.values()))
        assert rows["stops"]["run"] == 1
        assert rows["starts"]["run"] == 2
        for n in range(8):
            assert (rows[f"many{n}"]["state"], rows[f"many{n}"]["run"]) == ("running", 1)


@pytest.mark.row(39)
def test_the_command_waits_for_the_successor_and_says_who_was_away_for_how_long(tmp_path):
    with Kept(tmp_path, stays("web"), "kept") as service:
        before, keeper = service.manager(), service.keeper()
        command = [sys.executable, "-m", "app", "upgrade", "--state", str(service.state)]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert told.returncode == 0, told.stderr
        away = r"; away for [\d.]+ ms\n"
        lines = rf"keeper +pid {keeper}, the same as before{away}service +pid {before} -> (\d+){away}"
        said = re.fullmatch(lines, told.stdout)
        assert said, told.stdout
        assert int(said[1]) == service.manager()


@pytest.mark.row(39)
def test_in_one_process_it_is_refused_in_one_sentence(tmp_path):
    with Service(tmp_path, stays("web"), "in-process") as service:
        pid = service.pid_of("web")
        with service.client() as client:
            answer = client.post("/upgrade")
            assert answer.status_code == 409
            assert answer.json()["code"] == "no_keeper"
            assert "without a keeper" in answer.json()["detail"]
            assert client.get("/upgrade").status_code == 404
        assert alive(pid)


@pytest.mark.row(39)
def test_what_would_not_start_takes_nobodys_place(tmp_path):
    with Kept(tmp_path, stays("web"), "kept") as service:
        pid, manager = service.pid_of("web"), service.manager()
        Path(service.config).write_text("[worker.web]\ncommand = 5\n")
        with service.client() as client:
            answer = client.post("/upgrade")
            assert answer.status_code == 409
            assert answer.json()["code"] == "not_upgraded"
            assert "would not start" in answer.json()["detail"]
        assert service.manager() == manager
        assert service.pid_of("web") == pid


LAST_WORDS = """
[worker.{name}]
command = "trap 'sleep {seconds}; echo {name} >>{order}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
start_seconds = 0
stop_timeout = 10
requires = {requires}
"""


@pytest.mark.row(39)
def test_an_order_to_leave_while_the_service_steps_aside_is_carried_out_in_order(tmp_path):
    order = tmp_path / "order"
    text = LAST_WORDS.format(name="db", seconds=0, order=order, requires=[])
    text += LAST_WORDS.format(name="web", seconds=0.5, order=order, requires=["db"])
    with Kept(tmp_path, text, "kept") as service:
        until(lambda: all(service.lines(name, 1) for name in ("db", "web")))
        more = "Content-Length: 1000\r\nContent-Type: application/json\r\n"
        with closing(sent(service, "/workers/web/start", "POST", more, b"{")), Events(service.client()) as events:
            with service.client() as client:
                assert client.post("/upgrade").status_code == 202
            events.until("bye")  # the request that never ends holds it up for a moment more
            service.signal(signal.SIGTERM)
            assert service.end() == 0, service.text
    assert order.read_text().split() == ["web", "db"]
