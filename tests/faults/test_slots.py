"""A pool and a log condition in the service itself, over the death of the service and over a new start of all."""

import os
import signal

from tests.faults.service import Service, until

CONFIG = """
[pool.gpu]
slots = 2
[worker.train]
command = ["sh", "-c", "echo on $GPU; exec sleep 600"]
replicas = 3
pool = "gpu"
environment = { GPU = "{slot}" }
[worker.db]
command = ["sh", "-c", "echo listening; exec sleep 600"]
[worker.web]
command = ["sleep", "600"]
requires = { db = { log = "^listening$" } }
"""


def test_slots_and_disabling_outlive_whoever_gave_them(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        until(lambda: sum(row["ready"] for row in service.workers().values()) == 4, 40)
        rows = service.workers()
        assert [rows[f"train-{n}"]["slot"] for n in range(3)] == [0, 1, None]
        assert rows["train-2"]["why"] == "train-2 waits for a slot of pool gpu: all 2 slots are taken"
        pids = _pids(service)
        with open(f"/proc/{pids['train-1']}/environ", "rb") as file:
            assert b"GPU=1" in file.read().split(b"\0")
        assert order(service, "train-0", "disable")["worker"]["state"] == "running"
        first = service.manager()
        os.kill(first, signal.SIGKILL)
        until(lambda: _manager(service) not in (0, first), 40)
        until(lambda: _pids(service) == pids, 40)
        order(service, "train-0", "stop")
        until(lambda: service.workers()["train-2"]["slot"] == 0, 40)
        order(service, "web", "disable")
        service.signal(signal.SIGTERM)
        service.end()
    with Service(tmp_path, "", "kept") as service:
        until(lambda: service.workers()["train-2"]["ready"], 40)
        rows = service.workers()
        assert {name for name, row in rows.items() if not row["enabled"]} == {"train-0", "web"}
        assert {name for name, row in rows.items() if row["pid"] is not None} == {"train-1", "train-2", "db"}


def order(service, name, action):
    with service.client() as client:
        answer = client.post(f"/workers/{name}/{action}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def _pids(service):
    """Who has which process; nobody while the service is away."""
    if not _manager(service):
        return {}
    return {name: row["pid"] for name, row in service.workers().items()}


def _manager(service):
    try:
        return service.manager()
    except OSError:
        return 0
