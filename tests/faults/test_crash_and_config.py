"""A crash of the service changes nothing, also when its config was edited, broken or removed before; a new start does.

The service is killed for real. Known wart: what a condition says of the file is seen by its name and a word of it.
"""

import os
import signal

import pytest

from tests.faults.service import alive, until
from tests.faults.test_kills import Kept, identity, told

CONFIG = """
[worker.first]
command = ["sh", "-c", "echo $WORD ${WORD}; exec sleep 600"]
start_seconds = 0
env_file = "first.env"
[worker.rests]
command = ["sleep", "600"]
start_seconds = 0
autostart = false
[worker.last]
command = ["sleep", "600"]
start_seconds = 0
requires = "first"
description = "the last"
"""

INCLUDED = """
[worker.more]
command = ["sleep", "600"]
start_seconds = 0
"""


@pytest.fixture
def files(tmp_path):
    """A config that includes another file and names a third; gives the folder of all."""
    (tmp_path / "first.env").write_text("WORD=one\n")
    (tmp_path / "more.d").mkdir()
    (tmp_path / "more.d" / "more.toml").write_text(INCLUDED)
    return tmp_path


def service_of(files, text='include = ["more.d/*.toml"]\n' + CONFIG):
    return Kept(files, text, "kept")


def rows(service):
    """All that is told of each worker, but for when that was, how long its log is, and what time alone changes."""
    left_out = ("version", "log", "deadline", "failures")
    return {name: {k: v for k, v in row.items() if k not in left_out} for name, row in service.workers().items()}


def conditions(service):
    with service.client() as client:
        return {each["name"]: each["text"] for each in client.get("/conditions").json()["conditions"]}


def spoil(files, how):
    main = files / "quarterdeck.toml"
    match how:
        case "edited":
            main.write_text(
                main.read_text().replace("600", "700").replace("the last", "another") + "[worker.x]\ncommand='x'\n"
            )
        case "broken":
            main.write_text("[worker.first\n")
        case "removed":
            main.unlink()
        case "include removed":
            (files / "more.d" / "more.toml").unlink()
        case "permission lost":
            main.chmod(0o666)  # root reads everything, but nobody takes this
        case "variables removed":
            (files / "first.env").unlink()


SPOILT = {
    "edited": "quarterdeck.toml was changed at",
    "broken": "quarterdeck.toml was changed at",
    "removed": "quarterdeck.toml is gone",
    "include removed": "more.toml is gone",
    "permission lost": "quarterdeck.toml cannot be used",
    "variables removed": "first.env is gone",
}


@pytest.mark.row(32, 59)
@pytest.mark.parametrize("hows", [("edited", "removed"), pytest.param(tuple(SPOILT), marks=pytest.mark.long)])
def test_who_comes_after_a_crash_goes_on_with_the_config_that_ruled(files, hows):
    with service_of(files) as service:
        pids = {name: identity(service.pid_of(name)) for name in ("first", "last", "more")}
        before = rows(service)
        assert not any(row["outdated"] for row in before.values())
        kept = {path: path.read_text() for path in files.rglob("*") if path.suffix in (".toml", ".env")}
        for how in hows:
            spoil(files, how)
            manager = service.manager()
            os.kill(manager, signal.SIGKILL)
            service.up_again(manager)
            assert rows(service) == before, how
            assert {name: identity(pid) for name, (_, _, pid) in told(service).items() if pid} == pids
            text = until(lambda: conditions(service).get("config-changed"))
            assert SPOILT[how] in text, (how, text)
            assert "quarterdeck apply" in text
            for path, content in kept.items():
                path.write_text(content)
                path.chmod(0o600)
        until(lambda: not conditions(service))


@pytest.mark.row(34)
def test_a_new_start_reads_the_file_and_what_lives_goes_on(files):
    with service_of(files) as service:
        pids = {name: identity(service.pid_of(name)) for name in ("first", "last", "more")}
        manager = service.manager()
        os.kill(manager, signal.SIGSTOP)  # so that it does not make another keeper
        os.kill(service.keeper(), signal.SIGKILL)
        os.kill(manager, signal.SIGKILL)
        service.end()
    text = service.config.read_text()
    service.config.write_text(
        text.replace('include = ["more.d/*.toml"]', "").replace("sh", "bash")
        + '[worker.new]\ncommand = ["sleep", "600"]\nstart_seconds = 0\n'
    )
    with service_of(files, "") as service:
        now = until(lambda: (rows := service.workers()) and "more" not in rows and rows["new"]["ready"] and rows)
        assert {name: now[name]["outdated"] for name in ("first", "last", "new")} == {
            "first": True,
            "last": False,
            "new": False,
        }
        assert {name: identity(now[name]["pid"]) for name in ("first", "last")} == {
            n: pids[n] for n in ("first", "last")
        }
        assert not conditions(service)
        assert not alive(pids["more"][0])
        with service.client() as client:
            client.post("/workers/first/restart")
        assert not service.workers()["first"]["outdated"]
