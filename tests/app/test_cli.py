"""The command line against a service that says what a test wants: exit statuses, words, and what is asked."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main

from .fake_service import FakeService, frame, line, operation, problem, row

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """A user without services: no variable and no home of the one who runs the tests."""
    for name in [name for name in os.environ if name.startswith(("QUARTERDECK_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("QUARTERDECK_STATE", str(tmp_path))
    rows = [row("web-0"), row("web-1"), row("db", labels={"tier": "back"})]
    with FakeService(tmp_path / "socket", rows) as service:
        yield service


def run(capsys, *arguments):
    """The status, stdout and stderr of one command."""
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def process(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    return subprocess.Popen([sys.executable, "-m", "app", *arguments], env=environment, **options)


# ---------------------------------------------------------------- status


def test_why_it_is_not_ready_is_what_its_probe_found(service, capsys):
    waits = row("web-0", state="running", ready=False)
    service.answers["GET", "/api/v1/workers"] = 200, {"host": "h", "cursor": "1:1", "workers": [waits, row("db")]}
    look = {"role": "ready", "probe": "http http://x/", "good": False, "output": "connection refused", "in_a_row": 2}
    look["at"] = "2026-01-01T00:00:00.000Z"
    detail = {**waits, "probes": [look], "said": {"text": "2 of 3 shards", "at": look["at"]}}
    service.answers["GET", "/api/v1/workers/web-0"] = 200, detail
    _, out, _ = run(capsys, "status")
    assert "2 of 3 shards; http http://x/: connection refused, " in out
    assert out.rstrip().splitlines()[1].endswith(" ago")
    assert [path for _, path, _, _ in service.asked] == ["/api/v1/workers", "/api/v1/workers/web-0"]
    _, out, _ = run(capsys, "status", "-o", "json")
    assert json.loads(out)["workers"][0]["probes"] == [look]


def test_of_workers_that_are_named_all_looks_are_shown(service, capsys):
    look = {"role": "alive", "probe": "tcp 127.0.0.1:1", "good": True, "output": "it accepts connections"}
    look |= {"in_a_row": 9, "at": "2026-01-01T00:00:00.000Z"}
    service.answers["GET", "/api/v1/workers/db"] = 200, {**row("db"), "probes": [look], "said": None}
    status, out, _ = run(capsys, "status", "db")
    assert status == 0
    assert "tcp 127.0.0.1:1: it accepts connections, " in out
    _, out, _ = run(capsys, "status")
    assert "tcp" not in out


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 0),
        ({"ready": False, "state": "starting"}, 3),
        ({"ready": False, "state": "failed"}, 3),
        ({"ready": False, "state": "done"}, 0),
        ({"ready": False, "state": "stopped", "wanted": False}, 0),
    ],
)
def test_status_is_3_when_a_worker_is_wanted_and_neither_ready_nor_done(fields, status, service, capsys):
    service.answers["GET", "/api/v1/workers"] = 200, {"workers": [row("a"), row("b", **fields)]}
    assert run(capsys, "status")[0] == status
    assert run(capsys, "status", "a")[0] == 0


def test_status_shows_what_they_use_when_it_is_asked_to(service, capsys):
    used = {
        "worker": "web-0", "run": 1, "cpu": 149.6, "memory": 850 * 1024**2, "processes": 3, "threads": 12, "fds": None,
        "read": 0, "written": 1536, "gpu": None, "gpu_memory": None,
    }  # fmt: skip
    service.answers["GET", "/api/v1/metrics"] = 200, {"time": None, "workers": [used]}
    _, out, _ = run(capsys, "status", "--wide", "web-0", "web-1")
    head, first, second = (line.split() for line in out.splitlines())
    assert head[5:] == ["CPU", "MEM", "PROCS", "THREADS", "FDS", "READ", "WRITTEN"]
    assert first[5:] == ["150%", "850MB", "3", "12", "-", "0B/s", "1.5KB/s"]
    assert second[5:] == ["-"] * 7
    _, out, _ = run(capsys, "status", "-w", "-o", "json", "web-0")
    assert json.loads(out)["metrics"] == [used]
    asked = [query for _, path, query, _ in service.asked if path == "/api/v1/metrics"]
    assert [query["workers"] for query in asked] == ["web-0,web-1", "web-0"]
    service.asked.clear()
    run(capsys, "status")
    assert [path for _, path, _, _ in service.asked] == ["/api/v1/workers"], "nobody is measured for nothing"


def test_status_says_why(service, capsys):
    rows = [
        row("blocked", state="blocked", ready=False, pid=None, blocked_on=[{"worker": "db", "why": "db failed"}]),
        row("held", state="running", waiting_for=["web"]),
        row("headless", pid=None, leader_gone=2),
        row("failed", state="failed", ready=False, restarts=5, last_exit={"code": 3, "reason": "exit status 3"}),
    ]
    service.answers["GET", "/api/v1/workers"] = 200, {"workers": rows}
    _, out, _ = run(capsys, "ps")
    assert [" ".join(text.split()[:3]) for text in out.splitlines()[1:]] == [
        "blocked blocked -",
        "held running 12",
        "headless running -",
        "failed failed 12",
    ]
    assert "waits for db (db failed)" in out.splitlines()[1]
    assert "held by web" in out.splitlines()[2]
    assert "main gone, 2 left" in out.splitlines()[3]
    assert "exit status 3" in out.splitlines()[4]


def test_json_is_what_the_service_says(service, capsys):
    _, out, _ = run(capsys, "list", "db", "-o", "json")
    assert json.loads(out) == {"host": "h", "cursor": "1:1", "workers": [row("db", labels={"tier": "back"})]}


def test_an_old_or_foreign_service_is_one_sentence(service, capsys):
    service.answers["GET", "/api/v1/workers"] = 502, b"<html>bad gateway</html>"
    status, _, err = run(capsys, "status")
    assert (status, err.count("\n")) == (4, 1)
    assert "is no Quarterdeck, or one of another version (HTTP 502, application/json)" in err


# ---------------------------------------------------------------- orders


def asked(service):
    return [(method, path) for method, path, _, _ in service.asked if path != "/api/v1/workers"]


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        (["db"], ["db"]),
        (["web-1", "db", "web-1"], ["web-1", "db"]),
        (["web"], ["web-0", "web-1"]),
        (["w*"], ["web-0", "web-1"]),
        (["all"], ["web-0", "web-1", "db"]),
    ],
)
def test_addresses(addresses, names, service, capsys):
    for name in ("web-0", "web-1", "db"):
        service.answers["POST", f"/api/v1/workers/{name}/restart"] = 200, {"operation": operation(name)}
    status, out, _ = run(capsys, "restart", *addresses)
    assert (status, out) == (0, "".join(f"{name}: run 2 is ready\n" for name in names))
    assert asked(service) == [("POST", f"/api/v1/workers/{name}/restart") for name in names]


def test_labels_and_groups_are_asked_of_the_service(service, capsys):
    def workers(query):
        chosen = [row("db")] if query in ({"label": "tier=back"}, {"group": "g"}) else [row("db"), row("web")]
        return 200, {"workers": chosen}

    service.answers["GET", "/api/v1/workers"] = workers
    service.answers["POST", "/api/v1/workers/db/stop"] = 200, {"operation": operation("db", outcome="stopped")}
    assert run(capsys, "stop", "label:tier=back")[:2] == (0, "db: stopped\n")
    assert run(capsys, "stop", "group:g")[:2] == (0, "db: stopped\n")


def test_an_unknown_name_is_usage_and_nothing_is_ordered(service, capsys):
    status, _, err = run(capsys, "restart", "db", "wbe-0")
    assert (status, err) == (2, "quarterdeck: 'wbe-0' means no worker; did you mean 'web-0'?\n")
    assert asked(service) == []


def test_an_order_that_is_done_and_may_be_forgotten_says_both_and_has_failed(service, capsys):
    told = operation("web-0", action="stop", outcome="stopped")
    sentence = "stop web-0: it is carried out, but not on the disk"
    service.answers["POST", "/api/v1/workers/web-0/stop"] = problem(507, "not_durable", sentence, operation=told)
    status, out, err = run(capsys, "stop", "web-0")
    assert (status, out, err) == (1, "web-0: stopped\n", sentence + "\n")


def test_all_orders_are_given_before_any_is_waited_for(service, capsys):
    for name in ("web-0", "web-1"):
        service.answers["POST", f"/api/v1/workers/{name}/stop"] = 202, {"operation": operation(name, "pending")}
        service.answers["GET", f"/api/v1/operations/op-{name}"] = 200, {"operation": operation(name, outcome="stopped")}
    status, out, _ = run(capsys, "stop", "web", "--cascade")
    assert (status, out) == (0, "web-0: stopped\nweb-1: stopped\n")
    assert [method for method, _ in asked(service)] == ["POST", "POST", "GET", "GET"]
    assert service.asked[1][2:] == ({"wait": "0"}, {"cascade": True})


def test_no_wait_gives_the_operation(service, capsys):
    service.answers["POST", "/api/v1/workers/db/start"] = 202, {"operation": operation("db", "pending")}
    assert run(capsys, "start", "db", "--no-wait")[:2] == (0, "db: start asked; operation op-db\n")


def test_5_when_it_is_not_settled_in_time(service, capsys):
    pending = 202, {"operation": operation("db", "pending")}
    service.answers["POST", "/api/v1/workers/db/start"] = pending
    service.answers["GET", "/api/v1/operations/op-db"] = 200, pending[1]
    status, out, _ = run(capsys, "start", "db", "--timeout", "0.05")
    assert (status, out) == (5, "db: start not settled yet; operation op-db\n")


def test_1_with_the_reason_and_the_last_lines_when_it_failed(service, capsys):
    failed = operation("db", "failed", outcome="run 2 ended before it was ready: exit status 3")
    service.answers["POST", "/api/v1/workers/db/start"] = problem(409, "ended", failed["outcome"], operation=failed)
    service.answers["GET", "/api/v1/logs"] = 200, {"lines": [line("1", "old"), line("2", "no \x1b[2Jmemory", run=2)]}
    status, out, err = run(capsys, "start", "db")
    assert (status, out) == (1, "")
    assert err == "db: start failed: run 2 ended before it was ready: exit status 3\n  no �[2Jmemory\n"


def test_a_refusal_is_told_beside_what_was_done(service, capsys):
    service.answers["POST", "/api/v1/workers/web-0/start"] = problem(403, "scope", "this needs the scope operate")
    service.answers["POST", "/api/v1/workers/web-1/start"] = 200, {"operation": operation("web-1")}
    status, out, err = run(capsys, "start", "web")
    assert (status, out) == (1, "web-1: run 2 is ready\n")
    assert err == "web-0: start failed: this needs the scope operate\n"
    told = json.loads(run(capsys, "start", "web", "-o", "json")[1])
    assert [told[0]["code"], told[1]["operation"]["state"]] == ["scope", "done"]


def test_signal(service, capsys):
    service.answers["POST", "/api/v1/workers/db/signal"] = 200, {"operation": operation("db")}
    assert run(capsys, "signal", "HUP", "db", "--tree")[:2] == (0, "db: HUP sent\n")
    assert service.asked[-1][3] == {"signal": "HUP", "tree": True}
    assert run(capsys, "signal", "HUP", "web")[0] == 1


def test_ctrl_c_names_the_operation_that_goes_on(service):
    waiting = False

    def wait(query):
        nonlocal waiting
        if not waiting:
            waiting = True
            child.send_signal(signal.SIGINT)
        return 200, {"operation": operation("db", "pending")}

    service.answers["POST", "/api/v1/workers/db/stop"] = 202, {"operation": operation("db", "pending")}
    service.answers["GET", "/api/v1/operations/op-db"] = wait
    child = process("stop", "db", stderr=subprocess.PIPE, text=True)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert "db: stop goes on as operation op-db" in err
    assert "Traceback" not in err


# ---------------------------------------------------------------- logs


def test_logs_carry_the_name_only_for_several(service, capsys):
    page = {"lines": [line("1", "one", "db"), line("2", "\x1b[31mtwo\x07", "db"), line(None, "open", "db")]}
    service.answers["GET", "/api/v1/logs"] = 200, page
    assert run(capsys, "logs", "db", "-n", "2")[:2] == (0, "one\n\x1b[31mtwo\x07\n")
    assert run(capsys, "logs", "db", "web-0", "--stderr")[1].startswith("db | one\n")
    assert [query for _, path, query, _ in service.asked if path == "/api/v1/logs"] == [
        {"workers": "db", "tail": "2"}, {"workers": "db,web-0", "tail": "500", "stream": "err"},
    ]  # fmt: skip
    assert [json.loads(text)["key"] for text in run(capsys, "logs", "db", "-o", "json")[1].splitlines()] == ["1", "2"]
    assert run(capsys, "logs", "-n", "9999")[0] == 2


def test_a_line_that_was_cut_says_so(service, capsys):
    service.answers["GET", "/api/v1/logs"] = 200, {"lines": [line("1", "zzz", "db", cut=20_000), line("2", "ok", "db")]}
    assert run(capsys, "logs", "db")[:2] == (0, "zzz … [cut: 20000 bytes in all]\nok\n")


def test_following_resumes_by_key_and_prints_each_line_once(service, capsys, monkeypatch):
    monkeypatch.setattr("app.client.PATIENCE", 0.5)
    monkeypatch.setattr("threading.Event.wait", lambda self, timeout=None: False)
    streams = [
        [
            frame("heartbeat", {}),
            frame("log", [line("1", "one\u2028\x85"), line(None, "tw")], "1"),
            frame("log", [])[:9],
        ],
        [frame("log", [line("2", "two")], "2"), b": comment\n\n", frame("heartbeat", {}, "3")],
        [frame("gap", {"bytes": 7, "why": "expired"}, "4"), frame("bye", {})],
    ]
    service.answers["GET", "/api/v1/logs/stream"] = lambda query: (
        streams.pop(0) if streams else problem(503, "x", "leaving")
    )
    status, out, err = run(capsys, "tail", "db")
    assert out == "one\u2028\x85\ntwo\n"
    assert [headers.get("Last-Event-ID") for headers in service.headers[1:]] == [None, "1", "3", "4"]
    assert (status, err.splitlines()[-1]) == (1, "quarterdeck: leaving")
    assert "--- 7 bytes are missing (expired)" in err


def test_following_with_a_filter_that_was_given_up_ends(service, capsys, monkeypatch):
    monkeypatch.setattr("threading.Event.wait", lambda self, timeout=None: False)
    told = {"status": 400, "code": "query_too_slow", "detail": "/(a+)+$/ needs too much time"}
    service.answers["GET", "/api/v1/logs/stream"] = [
        frame("log", [line("1", "one", "db")], "1"),
        frame("problem", told),
    ]
    assert run(capsys, "tail", "db", "--grep", "/(a+)+$/") == (
        1,
        "one\n",
        "quarterdeck: /(a+)+$/ needs too much time\n",
    )
    assert [path for _, path, _, _ in service.asked].count("/api/v1/logs/stream") == 1


def test_a_reader_that_goes_away_is_no_error(service):
    service.answers["GET", "/api/v1/logs"] = 200, {"lines": [line(str(n), "x" * 1000) for n in range(5000)]}
    child = process("logs", "db", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert (child.wait(30), err) == (141, b"")


def on_terminal(*arguments, columns=60):
    """What a terminal gets from a command."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen([sys.executable, "-m", "app", *arguments], env=environment, stdout=theirs, stdin=theirs):
        os.close(theirs)
        told = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            told += data
    os.close(ours)
    return told.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_no_other_control_characters(service):
    text = "\x1b[31mred\x1b[0m \x1b]52;c;evil\x07 \x1b[2J\u202e \x9b2J"
    service.answers["GET", "/api/v1/logs"] = 200, {"lines": [line("1", text)]}
    told = on_terminal("logs", "db")
    assert told.startswith("\x1b[31mred\x1b[0m ")
    assert told.count("\x1b") == told.count("\x1b[31m") + told.count("\x1b[0m")
    assert not set(told) & {"\x07", "\x9b", "\u202e"}
    assert on_terminal("logs", "db", "--raw").startswith(text)


def test_the_table_fits_the_terminal(service):
    why = [{"worker": "database", "why": "it " + "fails " * 30}]
    service.answers["GET", "/api/v1/workers"] = 200, {"workers": [row("a", state="blocked", blocked_on=why)]}
    told = on_terminal("status", columns=60).splitlines()
    assert "\x1b[33mblocked" in told[1]
    plain = told[1].replace("\x1b[33m", "").replace("\x1b[0m", "")
    assert (len(plain), plain[-1]) == (60, "…")


# ---------------------------------------------------------------- which service


def test_4_when_no_service_is_there(capsys, tmp_path):
    for verb in ("status", "socket", "token", "shutdown", "login"):
        status, out, err = run(capsys, verb)
        assert (status, out) == (4, "")
        assert err.startswith("quarterdeck: no service of yours is running, and no quarterdeck.toml is here or above; ")
    (tmp_path / "quarterdeck.toml").write_text("")
    status, _, err = run(capsys, "status")
    assert status == 4
    assert err.endswith(f"start it with: quarterdeck up -c {tmp_path}/quarterdeck.toml\n")
    assert "no service answers at " in err
    assert run(capsys, "--url", "http://127.0.0.1:1", "status")[0] == 4
    assert run(capsys, "--url", "nonsense", "status")[0] == 4


def test_2_for_bad_usage(capsys, tmp_path):
    for arguments in (["nonsense"], ["restart"], [], ["logs", "-n", "x"], ["-c", "/nowhere/x", "status"], ["up"]):
        status, out, err = run(capsys, *arguments)
        assert (status, out, "quarterdeck" in err) == (2, "", True)
    assert run(capsys, "--help")[0] == 0


def test_the_token_file_of_a_url(service, capsys, monkeypatch, tmp_path):
    from app.cli.target import token_from

    (tmp_path / "t").write_text("abc\n")
    assert token_from({"QUARTERDECK_TOKEN_FILE": str(tmp_path / "t")}) == "abc"
    assert token_from({"QUARTERDECK_TOKEN_FILE": "/nowhere", "QUARTERDECK_TOKEN": "xyz"}) == "xyz"
    monkeypatch.setenv("QUARTERDECK_TOKEN_FILE", "/nowhere/token")
    status, _, err = run(capsys, "--url", "http://127.0.0.1:1", "status")
    assert (status, err) == (1, "quarterdeck: /nowhere/token No such file or directory\n")


def test_token_and_socket_of_a_state_folder(service, capsys, tmp_path):
    assert run(capsys, "socket")[:2] == (0, f"{tmp_path}/socket\n")
    assert run(capsys, "token")[0] == 1
    (tmp_path / "token").write_text("secret\n")
    assert run(capsys, "token")[:2] == (0, "secret\n")


def test_login(service, capsys):
    link = {"url": "http://127.0.0.1:7440/jobs/login?code=x", "path": "/jobs/login?code=x", "expires": "soon"}
    service.answers["POST", "/api/v1/login-links"] = 201, link
    assert run(capsys, "login")[:2] == (0, link["url"] + "\n")
    assert run(capsys, "login", "--port", "9000")[:2] == (0, "http://localhost:9000/jobs/login?code=x\n")


# ---------------------------------------------------------------- check


def test_check_prints_every_problem(capsys, tmp_path):
    file = tmp_path / "quarterdeck.toml"
    file.write_text('[worker.a]\ncomand = "x"\nwindow = 0\n')
    status, out, err = run(capsys, "check")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f'{file}:1: worker.a: has no command; add command = ["PROGRAM", "ARGUMENT"]',
        f'{file}:2: worker.a.comand: unknown key; did you mean "command"?',
        f"{file}:3: worker.a.window: 0 is too short; it must be more than 0",
    ]
    told = json.loads(run(capsys, "check", "-o", "json")[1])
    assert told["problems"][1] == {
        "file": str(file),
        "line": 2,
        "text": 'worker.a.comand: unknown key; did you mean "command"?',
    }
    file.write_text('[worker.a]\ncommand = "x"\n')
    assert run(capsys, "check", str(file)) == (0, f"{file}: 1 worker, no problems\n", "")
    assert run(capsys, "check", str(tmp_path / "none"))[0] == 2


def test_check_of_a_fragment(capsys, tmp_path):
    (tmp_path / "conf.d").mkdir()
    part = tmp_path / "conf.d" / "a.toml"
    part.write_text('[worker.a]\ncommand = "x"\nrequires = ["db"]\n')
    words = "(taken for a part of a config: names that other files may have were not checked)"
    assert run(capsys, "check", str(part))[:2] == (0, f"{part}: 1 worker, no problems {words}\n")
    main_file = tmp_path / "quarterdeck.toml"
    main_file.write_text('[worker.web]\ncommand = "x"\n')
    status, _, err = run(capsys, "check", str(part))
    assert (status, err) == (1, f'{part}:3: worker.a.requires: no worker or group is named "db"; known are a, web\n')
    main_file.write_text('[worker.db]\ncommand = "x"\n')
    assert run(capsys, "check", str(part))[1] == f"{part}: 2 workers, no problems, as part of {main_file}\n"


def test_the_command_line_is_quick_to_import():
    code = """
import sys, app.cli.reading, app.cli.service, app.settings
print(sorted(set(sys.modules) & {"fastapi", "httpx", "uvicorn", "jinja2"}))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "[]\n"
