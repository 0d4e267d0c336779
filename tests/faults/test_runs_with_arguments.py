"""Runs with arguments, and workers made over HTTP, in the service as it is: over a kill and a new start of it."""

import os
import signal
import subprocess
import sys

from tests.faults.service import ROOT, Service, alive, until

CONFIG = """
[worker.job]
command = ["sh", "-c", 'echo "$0 $1 $WORD"; echo no good >&2; exit $2']
autostart = false
environment = { WORD = "one" }
restart = "always"
[worker.shell]
command = "echo begin; sleep"
autostart = false
"""


def cli(service, *words):
    return subprocess.run(
        [sys.executable, "-m", "app", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "QUARTERDECK_STATE": str(service.state), "QUARTERDECK_CONFIG": str(service.config)},
    )  # fmt: skip


def manager(service):
    try:
        return service.manager()
    except OSError:
        return 0


def kill(service):
    first = service.manager()
    os.kill(first, signal.SIGKILL)
    until(lambda: manager(service) not in (0, first), 40)


def test_a_run_on_the_command_line_is_like_the_program_itself(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        told = cli(service, "run", "job", "-e", "WORD=a secret", "--", "--first", "two words", "3")
        assert (told.returncode, told.stdout) == (3, "--first two words a secret\n")
        assert told.stderr == "no good\n"
        rows = service.workers()
        assert rows["job"]["state"] == "stopped"
        assert (rows["job[1]"]["state"], rows["job[1]"]["last_exit"]["code"]) == ("failed", 3)
        assert (rows["job[1]"]["origin"], rows["job[1]"]["labels"]) == ("api", {"run_of": "job"})
        with service.client() as client:
            one = client.get("/workers/job[1]").json()
            assert one["spec"]["environment"] == ["WORD"]
            assert "a secret" not in str(one)
            assert client.post("/config/plan").json()["plan"]["empty"]
        told = cli(service, "run", "-d", "shell", "--", "600")
        assert (told.returncode, told.stdout) == (0, "shell[1]\n")
        pid = until(lambda: service.workers()["shell[1]"]["pid"])
        assert cli(service, "stop", "all").returncode == 0
        assert alive(pid)  # `all` are the workers


def test_runs_outlive_the_service(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        with service.client() as client:
            answer = client.post("/workers/job/run", json={"args": ["a", "b", "0"]})
            assert (answer.status_code, answer.json()["worker"]["state"]) == (200, "done")
            answer = client.post("/workers/job/run", json={"args": ["a", "b", "3"]})
            assert (answer.status_code, answer.json()["code"]) == (409, "gave_up")
            assert [line["text"] for line in answer.json()["lines"] if line["stream"] == "out"] == ["a b one"]
            assert client.post("/workers/shell/run?wait=0", json={"args": ["600"]}).status_code == 202
        pid = until(lambda: service.workers()["shell[1]"]["pid"])
        kill(service)
        rows = service.workers()
        assert (rows["shell[1]"]["pid"], rows["shell[1]"]["outdated"]) == (pid, False)
        assert (rows["job[1]"]["state"], rows["job[2]"]["last_exit"]["code"]) == ("done", 3)
        with service.client() as client:
            answer = client.post("/workers/job/run", json={"args": ["a", "b", "0"]})
            assert answer.json()["worker"]["name"] == "job[3]"
            assert client.post("/workers/shell[1]/stop").status_code == 200
        assert not alive(pid)
    assert (service.state / "workers.json").stat().st_mode & 0o777 == 0o600
    with Service(tmp_path, "", "kept") as service:
        rows = service.workers()
        assert {name: row["state"] for name, row in rows.items() if row["origin"] == "api"} == dict.fromkeys(
            ("job[1]", "job[2]", "job[3]", "shell[1]"), "stopped"
        )


def test_a_worker_that_was_made_over_http_outlives_the_service(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        table = {"name": "made", "command": ["sleep", "600"], "start_seconds": 0, "environment": {"A": "canary"}}
        with service.client() as client:
            answer = client.post("/workers?wait=10", json=table)
            assert answer.status_code == 201, answer.text
            assert answer.headers["location"] == "/api/v1/workers/made"
            assert [each["state"] for each in answer.json()["operations"]] == ["done"]
            pid = service.pid_of("made")
            assert client.post("/config/apply").json()["plan"]["empty"]
            assert service.pid_of("made") == pid
        kill(service)
        assert service.pid_of("made") == pid
        with service.client() as client:
            answer = client.put("/workers/made?wait=10", json={**table, "labels": {"a": "b"}})
            assert (answer.status_code, answer.json()["workers"][0]["pid"]) == (200, pid)
            answer = client.put("/workers/made?wait=10", json={**table, "command": ["sleep", "601"]})
            assert answer.json()["workers"][0]["pid"] not in (None, pid)
    with Service(tmp_path, "", "kept") as service:
        assert service.pid_of("made")
        with service.client() as client:
            told = client.get("/workers/made").json()
            assert told["spec"]["command"] == ["sleep", "601"]
            assert "canary" not in str(told)
            assert client.delete("/workers/made").json() == {"removed": ["made"]}
        until(lambda: "made" not in service.workers())
    with Service(tmp_path, "", "kept") as service:
        assert "made" not in service.workers()
