"""Probes and hooks of a real service, in each way of running: orphans beside them, and the service that is killed."""

import json
import os
import signal
import socket
import sys

import pytest

from tests.faults.service import MODES, Service, alive, until, zoo

SERVER = """
import http.server
http.server.HTTPServer(("127.0.0.1", {port}), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.row(25)
@pytest.mark.parametrize("mode", MODES)
def test_the_ends_of_exec_probes_are_known_among_orphans_that_are_collected(tmp_path, mode):
    """Whoever collects orphans in the same process takes no end of a probe or a hook for one of theirs."""
    text = """
[worker.orphans]
command = ["/bin/sh", "-c", "while :; do (sleep 0.01 &) ; sleep 0.02; done"]
start_seconds = 0
[worker.web]
command = ["sleep", "600"]
ready = { exec = "exit 0", period = 0.1 }
alive = { exec = "echo yes", period = 0.1 }
before_start = "echo before"
[worker.never]
command = ["sleep", "600"]
ready = { exec = "exit 7", period = 0.1 }
"""
    with Service(tmp_path, text, mode) as service:
        service.pid_of("web")

        def looks() -> list[dict]:
            with service.client() as client:
                return [client.get(f"/workers/{name}").json()["probes"] for name in ("web", "never")]

        until(lambda: looks()[1] and looks()[1][0]["in_a_row"] > 20)
        (ready, well), (never,) = looks()
        assert (ready["output"], well["output"]) == ("exit status 0", "exit status 0: yes")
        assert min(ready["in_a_row"], well["in_a_row"]) > 10
        assert never["output"] == "exit status 7"
        assert service.workers()["web"]["health"] == "healthy"


@pytest.mark.row(25)
def test_a_service_that_is_killed_leaves_no_probe_and_its_successor_goes_on(tmp_path):
    port = free_port()
    text = f"""
[worker.web]
command = {zoo("say", "up", "pause")}
ready = {{ log = "up" }}
alive = {{ exec = "echo $$ >> {tmp_path}/pids; exec sleep 300", period = 1, timeout = 60 }}
[worker.http]
command = {json.dumps([sys.executable, "-I", "-S", "-c", SERVER.format(port=port)])}
ready = {{ http = "http://127.0.0.1:{port}/", period = 0.2 }}
alive = {{ http = "http://127.0.0.1:{port}/", period = 0.2 }}
"""
    with Service(tmp_path, text, "kept") as service:
        pids = {name: service.pid_of(name) for name in ("web", "http")}
        probe = int(until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().split())[0])
        until(lambda: service.workers()["http"]["health"] == "healthy")
        assert alive(probe)
        before = service.manager()
        os.kill(before, signal.SIGKILL)
        until(lambda: not alive(probe), 20)  # the next service has found and ended it
        until(lambda: service.manager() != before)
        with service.client() as client:
            until(lambda: len(client.get("/workers/http").json()["probes"]) == 2)
        rows = service.workers()
        assert {name: rows[name]["pid"] for name in pids} == pids
        assert all(row["ready"] and row["run"] == 1 and row["failures"] == 0 for row in rows.values())
        assert rows["http"]["health"] == "healthy"
    assert "Traceback" not in service.text
