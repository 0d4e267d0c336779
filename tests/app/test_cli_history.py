"""`runs` and `events`: what they ask, print and exit with."""

import json
import os
import time

import pytest

from app.cli import main

from .fake_service import FakeService, problem, row

RUN = {
    "id": "7", "worker": "web-0", "run": 4, "pid": 12, "started": "2026-01-01T10:00:00.000Z",
    "ended": "2026-01-01T10:03:05.000Z", "exit": {"code": 3, "signal": None, "reason": "exit \x1b[31mstatus 3"},
    "cause": "crash", "by": "", "log": {"from": "0" * 32, "to": "1" * 32}, "last_lines": ["no database"],
}  # fmt: skip
STOPPED = RUN | {
    "run": 3,
    "cause": "person",
    "by": "anna",
    "exit": {"code": None, "signal": 15, "reason": "terminated"},
}
LIVE = RUN | {"run": 5, "ended": None, "exit": None, "cause": None, "pid": None}
CHANGED = {
    "cursor": "1:5", "time": "2026-01-01T10:03:05.000Z", "by": "", "event": "changed", "worker": "web-0",
    "state": "backoff", "run": 4, "causes": ["crashed"], "why": "exit status 3",
}  # fmt: skip
PHASE = {"cursor": "1:6", "time": "2026-01-01T10:03:06.000Z", "by": "SIGTERM", "event": "phase", "phase": "leaving"}
GAP = {"cursor": "1:7", "time": "2026-01-01T10:03:07.000Z", "by": "", "event": "gap", "count": 12}


def rows(out: str) -> list[list[str]]:
    return [text.split() for text in out.splitlines()]


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A service with two workers, in a world whose time is UTC."""
    for name in [name for name in os.environ if name.startswith(("QUARTERDECK_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARTERDECK_STATE", str(tmp_path))
    with FakeService(tmp_path / "socket", [row("web-0"), row("web-1")]) as service, pytest.MonkeyPatch.context() as tz:
        tz.setenv("TZ", "UTC")
        time.tzset()
        yield service
    time.tzset()


def run(capsys, *arguments):
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_runs_are_printed_newest_last_with_how_and_why_they_ended(service, capsys):
    service.answers["GET", "/api/v1/runs"] = (200, {"runs": [LIVE, RUN, STOPPED], "next": None, "more": False})
    status, out, err = run(capsys, "runs", "web-0", "old", "-n", "3")
    assert (status, err) == (0, "")
    head, stopped, crash, live = rows(out)
    assert head == ["WORKER", "RUN", "PID", "STARTED", "FOR", "CAUSE"]
    assert crash == ["web-0", "4", "12", "2026-01-01", "10:00:00", "3m05s", "crash", "exit", "status", "3"]
    assert stopped[-4:] == ["person", "terminated,", "by", "anna"]
    assert (live[2], live[-1]) == ("-", "lives")
    assert service.asked[-1][2] == {"worker": "old", "limit": "3"}, "of a name given twice the fake keeps the last"


def test_a_pattern_means_the_workers_that_are_there(service, capsys):
    asked = []
    service.answers["GET", "/api/v1/runs"] = lambda query: asked.append(query) or (200, {"runs": [], "more": False})
    assert run(capsys, "runs", "web-*")[0] == 0
    assert asked[0]["worker"] == "web-1"


def test_events_with_causes_and_who_asked(service, capsys):
    service.answers["GET", "/api/v1/events"] = (200, {"events": [CHANGED, PHASE, GAP], "more": False})
    status, out, _ = run(capsys, "events")
    _, changed, phase, gap = rows(out)
    assert status == 0
    assert changed[2:] == ["web-0", "backoff", "4", "crashed:", "exit", "status", "3"]
    assert phase[2:] == ["-", "leaving", "-", "(by", "SIGTERM)"]
    assert gap[4:] == ["-", "12", "events", "are", "missing", "here"]


def test_as_json_it_is_what_the_service_says(service, capsys):
    told = {"runs": [RUN], "next": None, "more": False}
    service.answers["GET", "/api/v1/runs"] = (200, told)
    status, out, _ = run(capsys, "runs", "-o", "json")
    assert (status, json.loads(out)) == (0, told)


def test_what_goes_wrong_is_one_sentence(service, capsys):
    assert run(capsys, "runs", "-n", "0")[0] == 2
    service.answers["GET", "/api/v1/runs"] = problem(503, "ledger_unavailable", "the ledger cannot be read")
    assert run(capsys, "runs") == (1, "", "quarterdeck: the ledger cannot be read\n")
