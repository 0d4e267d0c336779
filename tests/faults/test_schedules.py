"""A schedule in the service itself: its runs are told as its own, and it goes on after the service was killed."""

import json
import os
import signal

from tests.faults.service import Events, Service, until

CONFIG = """
[worker.often]
command = ["true"]
schedule = { every = "1s" }
[worker.never]
command = ["true"]
schedule = { cron = "0 0 29 2 *", timezone = "Europe/Berlin" }
"""


def done(run):
    return lambda data: any(
        c["status"]["name"] == "often" and c["status"]["state"] == "done" and c["status"]["run"] >= run for c in data
    )


def test_a_schedule_in_the_service(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        with Events(service.client()) as events:
            events.until("changed", there=done(2))
            begun = [c for name, data in events.seen if name == "changed" for c in data if "admit" in c["causes"]]
            assert {(c["status"]["name"], c["by"]) for c in begun} == {("often", "schedule")}
        rows = service.workers()
        assert rows["never"]["schedule"]["rule"] == "0 0 29 2 * Europe/Berlin"
        assert rows["never"]["state"] == "stopped"
        assert "02-28T23:00:00" in rows["never"]["schedule"]["next"]
        assert rows["often"]["schedule"]["last"] < rows["often"]["schedule"]["next"]
        written = json.loads((service.state / "schedules.json").read_text())
        assert written["often"]["rule"] == "every 1s"
        first = service.manager()
        os.kill(first, signal.SIGKILL)
        until(lambda: _manager(service) not in (0, first), 40)
        with Events(service.client()) as events:
            events.until("changed", there=done(rows["often"]["run"] + 1))
        assert (
            json.loads((service.state / "schedules.json").read_text())["often"]["anchor"] == written["often"]["anchor"]
        )


def _manager(service):
    try:
        return service.manager()
    except OSError:
        return 0
