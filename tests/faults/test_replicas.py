"""Replicas and rolling restarts in the service as it is: real pids, over a kill and a new start."""

import os
import signal

from tests.faults.service import Service, alive, until

CONFIG = """
[worker.web]
command = ["sleep", "600"]
replicas = 2
start_seconds = 0
[group.web-all]
workers = ["web"]
"""


def pids(service):
    return {name: row["pid"] for name, row in service.workers().items()}


def manager(service):
    try:
        return service.manager()
    except OSError:
        return 0


def test_scaled_and_rolled(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        first = until(lambda: all((found := pids(service)).values()) and found)
        with service.client(seconds=60) as client:
            answer = client.post("/workers/web/scale?wait=30", json={"replicas": 4})
            assert answer.status_code == 200, answer.text
            assert [each["state"] for each in answer.json()["operations"]] == ["done", "done"]
            four = pids(service)
            assert {name: four[name] for name in first} == first
            old = service.manager()
            os.kill(old, signal.SIGKILL)
            until(lambda: manager(service) not in (0, old), 40)
        assert pids(service) == four
        with service.client(seconds=60) as client:
            assert client.post("/config/plan").json()["plan"]["empty"]
            body = {"action": "restart", "workers": ["web-[0-3]"], "rolling": {"batch": 2, "pause": "100ms"}}
            answer = client.post("/actions?wait=50", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["rolling"]["done"] == sorted(four)
            rolled = pids(service)
            assert all(rolled[name] not in (None, four[name]) for name in four)
            answer = client.post("/workers/web/scale", json={"replicas": 1})
            assert answer.json()["removed"] == ["web-1", "web-2", "web-3"]
        until(lambda: service.workers().keys() == {"web-0"})
        assert pids(service) == {"web-0": rolled["web-0"]}
        assert not any(alive(rolled[name]) for name in ("web-1", "web-2", "web-3"))
    with Service(tmp_path, "", "kept") as service:
        assert service.workers().keys() == {"web-0"}
