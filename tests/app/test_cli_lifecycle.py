"""The verbs run, plan and apply against a service that says what a test wants: what is asked, said and left with."""

import pytest

from app.cli import main

from .fake_service import FakeService, line, operation, problem, row


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("QUARTERDECK_STATE", str(tmp_path))
    for name in ("QUARTERDECK_CONFIG", "QUARTERDECK_URL"):
        monkeypatch.delenv(name, raising=False)
    with FakeService(tmp_path / "socket", [row("web"), row("web[1]"), row("db")]) as service:
        yield service


def run(capsys, *arguments):
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def ends(service, **last):
    """The run web[1] is asked for, pending once, and ends so."""
    begun = {"operation": operation("web[1]", "pending"), "worker": row("web[1]", log={"key": "0" * 8})}
    service.answers["POST", "/api/v1/workers/web/run"] = 202, begun
    service.answers["GET", "/api/v1/operations/op-web%5B1%5D"] = 200, {"operation": operation("web[1]", run=1)}
    lines = [line("1" * 8, "good"), line("2" * 8, "bad", stream="err"), line("3" * 8, "ours", stream="log")]
    service.answers["GET", "/api/v1/logs"] = 200, {"lines": lines, "next": "3" * 8}
    told = {"run": 1, "code": None, "signal": None, "reason": "no such program", **last}
    service.answers["GET", "/api/v1/workers/web%5B1%5D"] = 200, row("web[1]", last_exit=told)


@pytest.mark.parametrize(("last", "status"), [({"code": 0}, 0), ({"code": 7}, 7), ({"signal": 15}, 143), ({}, 1)])
def test_run_is_as_the_program(service, capsys, last, status):
    ends(service, **last)
    told = run(capsys, "run", "web", "-e", "A=b=c", "--", "--x", "--", "y")
    assert told[:2] == (status, "good\n")
    assert told[2].startswith("bad\n")
    bodies = [body for method, _, _, body in service.asked if method == "POST"]
    assert bodies == [{"args": ["--x", "--", "y"], "environment": {"A": "b=c"}}]


def test_run_without_waiting(service, capsys):
    ends(service, code=0)
    assert run(capsys, "run", "-d", "web", "a", "b") == (0, "web[1]\n", "")
    assert [method for method, *_ in service.asked] == ["POST"]


def test_run_that_is_refused(service, capsys):
    service.answers["POST", "/api/v1/workers/web/run"] = problem(422, "bad_arguments", "that is no good")
    assert run(capsys, "run", "web") == (1, "", "quarterdeck: that is no good\n")
    assert run(capsys, "run", "web", "-e", "A")[0] == 2


def test_a_pattern_means_workers_and_no_runs(service, capsys):
    for name in ("web", "db", "web%5B1%5D"):
        service.answers["POST", f"/api/v1/workers/{name}/stop"] = 200, {"operation": operation(name)}
    assert run(capsys, "stop", "all")[0] == 0
    assert run(capsys, "stop", "web*")[0] == 0
    assert run(capsys, "stop", "web[1]")[0] == 0
    asked = [path.split("/")[4] for method, path, *_ in service.asked if method == "POST"]
    assert asked == ["web", "db", "web", "web%5B1%5D"]


PLAN = {
    "empty": False, "added": [{"worker": "new", "starts": True}, {"worker": "off", "starts": False}],
    "changed": [
        {"worker": "a", "keys": ["command"], "restarts": True, "starts": False, "waits": []},
        {"worker": "b", "keys": ["window", "labels.x"], "restarts": False, "starts": False, "waits": ["window"]},
        {"worker": "c", "keys": ["command"], "restarts": False, "starts": True, "waits": []},
        {"worker": "d", "keys": ["description"], "restarts": False, "starts": False, "waits": []},
    ],
    "removed": ["old"], "same": ["e", "f"], "clashes": ["mine"], "settings": ["logs"], "waiting": ["service.listen"],
}  # fmt: skip
WORDS = """\
+ new: added
+ off: added, not started
~ a: command; restarts
~ b: window, labels.x; with its next run: window
~ c: command; starts again
~ d: description
- old: stopped and removed
! mine: left alone, since it was made over HTTP; delete it there or rename it in the file
~ logs: at once
! service.listen: changed, and waits until the service is started again
  2 workers left alone
"""


def test_plan_in_words_and_its_exit_code(service, capsys):
    service.answers["POST", "/api/v1/config/plan"] = 200, {"plan": PLAN}
    assert run(capsys, "plan") == (0, WORDS, "")
    assert run(capsys, "plan", "--exit-code")[0] == 3
    nothing = {key: [] for key in PLAN} | {"empty": True}
    service.answers["POST", "/api/v1/config/plan"] = 200, {"plan": nothing}
    assert run(capsys, "plan", "--exit-code") == (0, "nothing would change\n", "")


@pytest.mark.parametrize(("state", "status"), [("done", 0), ("failed", 1), ("pending", 5)])
def test_apply_waits_for_what_begins(service, capsys, state, status):
    answer = {"plan": PLAN, "applied": True, "operations": [operation("a", state)]}
    service.answers["POST", "/api/v1/config/apply"] = 200, answer
    assert run(capsys, "update", "--timeout", "7") == (status, WORDS + "a: run 2 is ready\n", "")
    assert service.asked[-1][2] == {"wait": "7"}
    run(capsys, "apply", "--no-wait")
    assert service.asked[-1][2] == {}


def test_all_that_is_wrong_is_printed(service, capsys):
    problems = [{"file": "/x.toml", "line": 3, "text": "no"}, {"file": "/y.toml", "line": 0, "text": "gone"}]
    service.answers["POST", "/api/v1/config/apply"] = problem(422, "bad_config", "2 problems", problems=problems)
    told = run(capsys, "apply")
    lines = ["quarterdeck: /x.toml:3: no", "quarterdeck: /y.toml: gone", "quarterdeck: nothing was changed"]
    assert told == (1, "", "\n".join(lines) + "\n")


def rolling(state="pending", **told):
    begun = {"id": "roll-1", "state": state, "done": [], "skipped": [], "left": ["web", "db"], "failed": None}
    return {"rolling": {**begun, **told}}


def test_a_rolling_restart_shows_how_far_it_is(service, capsys):
    service.answers["POST", "/api/v1/actions"] = 202, rolling()
    steps = iter([rolling(done=["web"], left=["db"]), rolling("done", done=["web"], skipped=["db"], left=[])])
    service.answers["GET", "/api/v1/actions/roll-1"] = lambda _: (200, next(steps))
    told = run(capsys, "restart", "--rolling", "all", "--batch", "2", "--pause", "2s")
    assert told == (0, "web: restarted\ndb: passed over, it does not run\n", "")
    (body,) = [body for method, _, _, body in service.asked if method == "POST"]
    assert body["workers"] == ["web", "db"]
    assert body["rolling"] == {"batch": 2, "pause": "2s", "timeout": 120.0}


def test_a_rolling_restart_that_stops(service, capsys):
    service.answers["POST", "/api/v1/actions"] = 202, rolling("failed", failed="web: run 2 ended")
    told = run(capsys, "restart", "--rolling", "all")
    assert told == (1, "", "stopped at the first failure: web: run 2 ended; not restarted: web, db\n")


def test_scale(service, capsys):
    answer = {"workers": ["w-0", "w-1"], "added": ["w-1"], "removed": [], "operations": [operation("w-1")]}
    service.answers["POST", "/api/v1/workers/w/scale"] = 200, answer
    assert run(capsys, "scale", "w", "2") == (0, "+ w-1\nw-1: run 2 is ready\nw: 2 of it\n", "")
    assert service.asked[-1][2:] == ({"wait": "120"}, {"replicas": 2})
    answer |= {"added": [], "removed": ["w-1"], "operations": []}
    assert run(capsys, "scale", "w", "1", "--no-wait")[1] == "- w-1\nw: 2 of it\n"
