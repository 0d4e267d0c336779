"""Reloading the config of the service as it is: only what changed is restarted, and a bad file changes nothing."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.faults.service import ROOT, Service, alive, stays, until

MANY = 200


def many(*changed, more=""):
    text = ""
    for number in range(MANY):
        argument = "601" if number in changed else "600"
        text += f'[worker.w{number}]\ncommand = ["sleep", "{argument}"]\nstart_seconds = 0\n'
    return text + more


def edit(service, text):
    new = service.config.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(service.config)


def cli(service, *words):
    return subprocess.run(
        [sys.executable, "-m", "app", *words, "-c", str(service.config), "--state", str(service.state)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def pids(service):
    return {name: row["pid"] for name, row in service.workers().items()}


def conditions(service):
    with service.client() as client:
        return [each["name"] for each in client.get("/conditions").json()["conditions"]]


@pytest.mark.row(57)
def test_of_two_hundred_workers_the_three_that_changed_are_restarted(tmp_path):
    """Also with lines before them moved, so that each is written in another place."""
    with Service(tmp_path, many(), "kept") as service:
        before = until(lambda: all((found := pids(service)).values()) and found, 60)
        edit(service, "# a line more\n" + many(3, 77, 199))
        changed = {"w3", "w77", "w199"}
        with service.client(seconds=60) as client:
            planned = client.post("/config/plan").json()["plan"]
            assert {row["worker"] for row in planned["changed"]} == changed == set(planned["restarted"])
            assert [row["keys"] for row in planned["changed"]] == [["command"]] * 3
            assert (len(planned["same"]), planned["added"], planned["removed"]) == (MANY - 3, [], [])
            assert pids(service) == before
            answer = client.post("/config/apply?wait=60", json={"plan": planned["id"]})
            assert answer.status_code == 200, answer.text
            assert [each["state"] for each in answer.json()["operations"]] == ["done"] * 3
            after = pids(service)
            assert {name for name in after if after[name] != before[name]} == changed
            assert all(after.values())
            one = client.get("/workers/w150").json()
            assert one["spec"]["source"] == f"quarterdeck.toml:{1 + 3 * 150 + 1}"
            assert client.post("/config/plan").json()["plan"]["empty"]
            assert client.get("/events?limit=1000").json()["events"][-1]["worker"] in changed


CONFIG = stays("same", "tuned", "changed", "dropped")


@pytest.mark.row(57)
def test_a_reload_on_the_command_line(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        before = {name: service.pid_of(name) for name in ("same", "tuned", "changed", "dropped")}
        told = cli(service, "plan", "--exit-code")
        assert (told.returncode, told.stdout) == (0, "nothing would change\n  4 workers left alone\n")
        edit(
            service,
            stays("same")
            + stays("tuned", more="max_restarts = 7\nlabels = { a = 'b' }\n")
            + stays("changed", more="environment = { CANARY = 'a secret' }\n")
            + stays("fresh")
            + "[group.some]\nworkers = ['same']\n[service]\ncolor = '#123456'\nshutdown_timeout = 5\n",
        )
        until(lambda: "config-changed" in conditions(service))
        told = cli(service, "plan", "--exit-code")
        assert told.returncode == 3
        lines = told.stdout.splitlines()
        assert lines == [
            "+ fresh: added",
            "~ same: groups",
            "~ tuned: max_restarts, labels.a; with its next run: max_restarts",
            "~ changed: environment.CANARY; restarts",
            "- dropped: stopped and removed",
            "~ group: at once",
            "~ service.shutdown_timeout: at once",
            "! service.color: changed, and waits until the service is started again",
        ]
        done = cli(service, "update")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[: len(lines)] == lines
        assert "a secret" not in told.stdout + done.stdout
        rows = service.workers()
        assert rows.keys() == {"same", "tuned", "changed", "fresh"} or rows["dropped"]["removing"]
        assert (rows["same"]["pid"], rows["tuned"]["pid"]) == (before["same"], before["tuned"])
        assert rows["changed"]["pid"] not in (None, before["changed"])
        assert rows["fresh"]["ready"]
        assert rows["tuned"]["labels"] == {"a": "b"}
        until(lambda: not alive(before["dropped"]))
        until(lambda: "config-changed" not in conditions(service))
        with service.client() as client:
            assert [w["name"] for w in client.get("/workers?group=some").json()["workers"]] == ["same"]
            events = client.get("/events?limit=1000").json()["events"]
            assert {e["by"] for e in events if e.get("worker") == "dropped" and "stop" in e.get("causes", ())} == {
                client.get("/whoami").json()["who"]
            }


@pytest.mark.row(56)
def test_a_bad_file_changes_nothing_and_all_of_it_is_told(tmp_path):
    with Service(tmp_path, CONFIG, "kept") as service:
        before = {name: service.pid_of(name) for name in ("same", "tuned", "changed", "dropped")}
        edit(service, stays("same", more="comand = 'x'\n") + stays("same2", more="restart = 'sometimes'\n"))
        told = cli(service, "apply")
        assert told.returncode == 1
        first, second, last = told.stderr.splitlines()
        assert f"{service.config}:5: worker.same.comand: unknown key" in first
        assert f"{service.config}:10: worker.same2.restart:" in second
        assert last == "quarterdeck: nothing was changed"
        with service.client() as client:
            answer = client.post("/config/apply")
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_config")
            assert [problem["line"] for problem in answer.json()["problems"]] == [5, 10]
        service.config.unlink()
        with service.client() as client:
            assert "is not there" in client.post("/config/plan").json()["detail"]
        assert pids(service) == before


def test_a_crash_goes_on_with_what_was_applied(tmp_path):
    """Not with what the files said at the start, nor with what they say by now."""
    with Service(tmp_path, stays("a", "b"), "kept") as service:
        first = service.pid_of("a")
        edit(service, stays("a", "c"))
        assert cli(service, "apply").returncode == 0
        assert service.pid_of("c")
        edit(service, "nothing that anybody could use")
        manager = service.manager()
        os.kill(manager, signal.SIGKILL)
        until(lambda: answers(service) not in (0, manager), 40)
        rows = service.workers()
        assert rows.keys() == {"a", "c"}
        assert rows["a"]["pid"] == first
        until(lambda: "config-changed" in conditions(service))


def answers(service):
    try:
        return service.manager()
    except OSError:
        return 0


@pytest.mark.row(58)
@pytest.mark.parametrize("mode", ["in-process", "kept"])
def test_two_reloads_and_orders_at_the_same_time(tmp_path, mode):
    """They are carried out one after the other, and what was applied last rules."""
    with Service(tmp_path, stays("a", "b", "c"), mode) as service:
        service.pid_of("a")
        edit(service, stays("a", "b", "d"))
        words = [["apply", "--no-wait"]] * 3 + [["restart", "a"], ["stop", "b"]]
        command = [sys.executable, "-m", "app"]
        where = ["-c", str(service.config), "--state", str(service.state), "-o", "json"]
        running = [
            subprocess.Popen([*command, *one, *where], cwd=ROOT, stdout=subprocess.PIPE, text=True) for one in words
        ]
        said = [(each.communicate()[0], each.returncode) for each in running]
        assert [status for _, status in said] == [0] * 5, said
        plans = [json.loads(text)["plan"] for text, _ in said[:3]]
        assert sum(not plan["empty"] for plan in plans) == 1
        until(lambda: service.workers().keys() == {"a", "b", "d"})
        rows = service.workers()
        assert (rows["b"]["state"], rows["a"]["ready"]) == ("stopped", True)


@pytest.mark.row(57)
def test_renamed_and_removed_while_it_is_on_its_way(tmp_path):
    """One that is starting goes, one that is stopping and named again begins anew, and nothing of either is left."""
    slow = 'ready = { exec = ["false"], period = 1 }\n'
    stubborn = '[worker.stubborn]\ncommand = ["sh", "-c", "trap : TERM; while :; do sleep 1; done"]\nstop_timeout = 3\n'
    with Service(tmp_path, stays("same") + stays("slow", more=slow) + stubborn, "kept") as service:
        same = service.pid_of("same")
        starting = until(lambda: service.workers()["slow"]["pid"])
        stopping = service.pid_of("stubborn")
        edit(service, stays("same", "renamed"))
        with service.client(seconds=30) as client:
            assert client.post("/config/apply").json()["plan"]["removed"] == ["slow", "stubborn"]
            assert service.workers()["stubborn"]["removing"]
            edit(service, stays("same", "renamed") + stubborn)
            plan = client.post("/config/apply?wait=20").json()["plan"]
            assert [row["worker"] for row in plan["added"]] == ["stubborn"]
        until(lambda: service.workers().keys() == {"same", "renamed", "stubborn"})
        assert not alive(starting)
        until(lambda: (service.workers()["stubborn"]["pid"] or stopping) != stopping, 20)
        assert not alive(stopping)
        assert service.pid_of("same") == same
