"""A disk that fails or does not answer: what a worker wrote waits for it, it is said, and the API goes on answering."""

import errno
import time

import pytest

from tests.faults.service import Events, Service, until, zoo
from tests.faults.shim import Shim

TEXT = """
[worker.talks]
command = {command}
start_seconds = 0
restart = "never"
logs = {{ on_full = "wait" }}
"""


@pytest.fixture
def shim(tmp_path):
    made = Shim(tmp_path)
    yield made
    made.close()


def numbers(service):
    return [int(row["text"][:10]) for row in service.lines("talks", 5000) if row["text"][:10].isdigit()]


def talking(tmp_path, mode, shim):
    command = zoo("until", "TERM", "write", "forever", "rate=300", "size=100", "seal")
    return Service(tmp_path, TEXT.format(command=command), mode, environment=shim.environment)


@pytest.mark.row(44)
def test_a_disk_that_fails_is_told_and_what_was_written_waits_for_it(tmp_path, mode, shim):
    with talking(tmp_path, mode, shim) as service:
        pid = service.pid_of("talks")
        until(lambda: numbers(service))
        with Events(service.client()) as events:
            shim.set(error=errno.EIO, left=-1)
            (told,) = events.until("conditions", there=bool)
            assert told["name"] == "log-disk-error"
            assert "Input/output error" in told["text"]
            shim.set(left=0)
            events.until("conditions", there=lambda held: not held)
        assert service.pid_of("talks") == pid
        with service.client() as client:
            client.post("/workers/talks/stop")
        seen = numbers(service)
        assert seen == list(range(len(seen)))
        assert service.lines("talks", 1)[0]["text"].startswith(f"seal {len(seen)} ")


@pytest.mark.row(44)
@pytest.mark.parametrize("stall", [1000, pytest.param(5000, marks=pytest.mark.long)])
@pytest.mark.parametrize("mode", ["kept"])  # in one process the API shares its thread with the writer of the logs
def test_the_api_answers_while_a_disk_does_not(tmp_path, mode, shim, stall):
    with talking(tmp_path, mode, shim) as service, service.client() as client:
        service.pid_of("talks")
        shim.set(stall=stall)
        calls = shim.get("calls")
        until(lambda: shim.get("calls") > calls)
        taken = []
        end = time.monotonic() + stall / 1000
        while time.monotonic() < end:
            begun = time.monotonic()
            assert client.get("/workers").status_code == 200
            taken.append(time.monotonic() - begun)
        shim.set(stall=0)
        assert sorted(taken)[len(taken) * 99 // 100] < 0.1
        client.post("/workers/talks/stop")
        seen = numbers(service)
        assert seen == list(range(len(seen)))


@pytest.mark.row(44)
def test_after_a_stall_nothing_is_missing(tmp_path, mode, shim):
    with talking(tmp_path, mode, shim) as service:
        service.pid_of("talks")
        before = len(until(lambda: numbers(service)))
        calls = shim.get("calls")
        shim.set(stall=500)
        until(lambda: shim.get("calls") > calls)
        shim.set(stall=0)
        until(lambda: len(numbers(service)) > before + 300)
        with service.client() as client:
            client.post("/workers/talks/stop")
        seen = numbers(service)
        assert seen == list(range(len(seen)))
