"""The wall clock jumps, or the service stands still for a while: what is due stays due, and no burst."""

import os
import signal
import time
from datetime import datetime

import pytest

from tests.faults.service import Events, Service, alive, stays, until, zoo
from tests.faults.shim import Shim

HOUR, DAY = 3600, 86_400
CONFIG = """
[worker.flaps]
command = ["false"]
start_seconds = 0
restart = "always"
backoff = {{ initial = 0.2, max = 0.2 }}
max_restarts = 0
[worker.ticks]
command = {ticks}
start_seconds = 0
"""


@pytest.fixture
def shim(tmp_path):
    made = Shim(tmp_path)
    yield made
    made.close()


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def texts(service):
    return [row["text"][:10] for row in service.lines("ticks", 5000)]


@pytest.mark.row(52)
def test_steps_of_the_wall_clock_move_nothing_but_the_wall_clock(tmp_path, mode, shim):
    text = CONFIG.format(ticks=zoo("write", "forever", "rate=50", "size=20"))
    with Service(tmp_path, text, mode, environment=shim.environment) as service:
        pid = service.pid_of("ticks")
        before = service.workers()["ticks"]
        with Events(service.client()) as events:
            begun = time.monotonic()

            def restarts(count):
                for _ in range(count):
                    events.until("changed", there=lambda data: any(c["status"]["state"] == "backoff" for c in data))

            for step in (0, -HOUR, DAY, -1_700_000_000, 0):  # the last but one is in the seventies
                shim.set(clock_offset=step * 1_000_000_000)
                restarts(2)
            assert 9 * 0.15 < time.monotonic() - begun < 9, "the back-off is as long as before"
        after = service.workers()["ticks"]
        assert (after["pid"], after["since"], after["run"]) == (pid, before["since"], 1)
        numbers = texts(service)
        assert numbers == sorted(numbers)
        times = [seconds(row["time"]) for row in service.lines("ticks", 5000)]
        assert times == sorted(times)
        assert times[-1] - times[0] < 60, "shown times do not jump either"


@pytest.mark.row(52)
@pytest.mark.parametrize("mode", ["kept"])  # the same code in both
def test_lines_of_a_start_in_the_past_stand_behind_those_that_were_there(tmp_path, mode, shim):
    text = CONFIG.format(ticks=zoo("say", "life", "pause"))
    text += "logs = { keep = '3650d' }\n"
    for number, step in enumerate((0, -3000 * DAY, DAY, -HOUR), 1):
        shim.set(clock_offset=step * 1_000_000_000)
        with Service(tmp_path, text, mode, environment=shim.environment) as service:
            service.pid_of("ticks")
            rows = until(lambda: len(rows := service.lines("ticks")) == number and rows)  # noqa: B023 - asked at once
            assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
            with service.client() as client:
                newer = client.get("/workers/ticks/logs", params={"after": rows[-2]["key"]}) if number > 1 else None
            assert newer is None or [row["text"] for row in newer.json()["lines"] if row["stream"] == "out"] == ["life"]


WHO = {"in-process": ["service"], "kept": ["service", "keeper", "both"]}


@pytest.mark.row(53)
@pytest.mark.parametrize("pause", [1.5, pytest.param(30, marks=pytest.mark.long)])
@pytest.mark.parametrize(("mode", "who"), [(mode, who) for mode, all_of_them in WHO.items() for who in all_of_them])
def test_after_a_long_pause_there_is_no_burst_of_timeouts(tmp_path, mode, who, pause):
    """Who ended in time while nobody was running to see it is not killed for it, and nobody is restarted."""
    polite = zoo("say", "up", "until", "TERM", "write", "forever", "rate=20", "size=20", "wait", "1")
    text = stays(*(f"w{n}" for n in range(20)))
    text += f"[worker.polite]\ncommand = {polite}\nstart_seconds = 0\nstop_timeout = 1.5\n"
    with Service(tmp_path, text, mode) as service:
        pid, manager = service.pid_of("polite"), service.manager()
        paused = {"service": {manager}, "keeper": {service.pid}, "both": {manager, service.pid}}[who]
        before = service.workers()
        with Events(service.client()) as events, service.client() as client:
            client.post("/workers/polite/stop?wait=0")
            until(lambda: service.lines("polite", 1, "log"))  # "signaling shutdown"
            for one in paused:
                os.kill(one, signal.SIGSTOP)
            until(lambda: not alive(pid))
            end = time.monotonic() + pause
            until(lambda: time.monotonic() > end, pause + 5)
            for one in paused:
                os.kill(one, signal.SIGCONT)
            events.until("changed", there=lambda data: any(c["status"]["state"] == "stopped" for c in data))
        after = service.workers()
        seen = [(c["status"]["name"], c["causes"]) for name, data in events.seen if name == "changed" for c in data]
        late = [name for name, causes in seen if "timeout" in causes]
        assert late == ([] if who != "keeper" else ["polite"]), "only a service that runs and is told nothing sees one"
        assert after["polite"]["last_exit"]["signal"] is None
        assert {n: after[n]["pid"] for n in after if n != "polite"} == {
            n: before[n]["pid"] for n in before if n != "polite"
        }
