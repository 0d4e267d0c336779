"""Which instance is meant, its state folder and lock, what is running, and `up -d` as a whole."""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.cli.service import options_of
from app.running import announce, announced, running
from app.settings import (
    SYSTEM_STATE,
    BadState,
    Instance,
    InstanceTaken,
    NoConfig,
    UpOptions,
    answers,
    find_config,
    state_of,
)
from supervisor_core.config import ServiceSettings

from .fake_service import FakeService, row

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user without services; sockets need short paths, so everything is near the top."""
    for name in [name for name in os.environ if name.startswith(("QUARTERDECK_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(folder, text=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quarterdeck.toml").write_text(text)
    return folder / "quarterdeck.toml"


# ---------------------------------------------------------------- config and state


def test_the_config_is_looked_up_in_order(home, monkeypatch):
    with pytest.raises(NoConfig, match=r"no quarterdeck\.toml here, in a folder above, in .*; name one: -c FILE"):
        find_config()
    standing = config(home / ".config" / "quarterdeck")
    assert find_config() == standing
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "x"))
    other = config(home / "x" / "quarterdeck")
    assert find_config() == other
    nearest = config(home / "a")
    (home / "a" / "b" / "c").mkdir(parents=True)
    monkeypatch.chdir(home / "a" / "b" / "c")
    assert find_config() == nearest
    monkeypatch.setenv("QUARTERDECK_CONFIG", str(standing))
    assert find_config() == standing
    assert find_config(str(home / "a")) == nearest
    with pytest.raises(NoConfig, match="is not there; check the path after -c"):
        find_config("nowhere")


def test_the_state_folder(home, monkeypatch):
    file = config(home / "my exp")
    state = state_of(file, None)
    assert state.parent == home / "s" / "quarterdeck"
    assert state.name.startswith("my_exp-")
    assert state_of(config(home / "b" / "my exp"), None) != state
    assert state_of(file, "~/x") == home / "x"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_of(file, None).parent == home / ".local" / "state" / "quarterdeck"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert state_of(Path("/etc/quarterdeck/quarterdeck.toml"), None) == SYSTEM_STATE


def test_the_command_line_wins_over_the_variable_and_that_over_the_file(home, monkeypatch):
    file = config(home)
    service = ServiceSettings(state=str(home / "file"))
    assert Instance.find(UpOptions(file), service).state == home / "file"
    monkeypatch.setenv("QUARTERDECK_STATE", str(home / "variable"))
    assert Instance.find(UpOptions(file), service).state == home / "variable"
    assert Instance.find(UpOptions(file, state=home / "option"), service).state == home / "option"


def test_a_client_reads_the_state_folder_from_the_config(home):
    file = config(home, '[service]\nstate = "st"\n')
    assert Instance.of_config(file).state == home / "st"
    file.write_text("[[[")
    assert Instance.of_config(file).state == state_of(file, None)


def test_the_state_folder_is_private(home):
    instance = Instance(config(home), home / "deep" / "state")
    instance.make_state()
    assert instance.state.stat().st_mode & 0o777 == 0o700
    instance.state.chmod(0o755)
    with pytest.raises(InstanceTaken), instance.lock():
        assert instance.state.stat().st_mode & 0o777 == 0o700
        with instance.lock():
            pass
    (home / "used").mkdir(mode=0o755)
    (home / "used" / "thesis").touch()
    with pytest.raises(BadState, match="used holds other files and is open to others; choose one with --state"):
        Instance(config(home), home / "used").make_state()
    assert (home / "used").stat().st_mode & 0o777 == 0o755
    with pytest.raises(BadState, match="is no folder; choose another one with --state"):
        Instance(config(home), home / "used" / "thesis").make_state()


def test_a_folder_of_somebody_else_is_refused(home, monkeypatch):
    me = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: me + 1)
    (home / "s").mkdir(mode=0o700)
    with pytest.raises(BadState, match="belongs to another user; choose one with --state"):
        Instance(config(home), home / "s").make_state()


# ---------------------------------------------------------------- the lock


def test_the_second_names_the_first_and_touches_nothing(home):
    instance = Instance(config(home), home / "st")
    with instance.lock():
        announce(instance, ["http://127.0.0.1:1/"])
        before = {file.name: file.read_bytes() for file in instance.state.iterdir()}
        since = json.loads(before["lock"])["since"]
        with pytest.raises(InstanceTaken) as caught, instance.lock():
            pass
        assert f"is running already, as pid {os.getpid()} since {since} (state {home}/st); " in str(caught.value)
        assert {file.name: file.read_bytes() for file in instance.state.iterdir()} == before
        assert (instance.held(), announced(instance)) == (True, os.getpid())
    assert (instance.held(), announced(instance)) == (False, 0)
    with instance.lock():
        assert instance.held()


def test_a_killed_holder_frees_the_lock(home):
    code = f"""
import sys, pathlib
from app.settings import Instance
with Instance(pathlib.Path({str(home / "quarterdeck.toml")!r}), pathlib.Path({str(home / "st")!r})).lock():
    print("held", flush=True)
    sys.stdin.read()
"""
    instance = Instance(config(home), home / "st")
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(InstanceTaken, match=f"as pid {child.pid} since "), instance.lock():
            pass
        child.kill()
        child.wait()
        with instance.lock():
            assert json.loads(instance.lock_file.read_text())["pid"] == os.getpid()


# ---------------------------------------------------------------- what is running


def one_that_says_it_runs(home, name):
    """An instance that says it runs, and the socket where somebody answers."""
    instance = Instance(config(home / name), home / f"{name}.s")
    instance.make_state()
    announce(instance, ["http://127.0.0.1:1/"])
    return instance


def test_clients_find_the_only_running_instance(home, capsys):
    one = one_that_says_it_runs(home, "one")
    assert running() == []  # nobody answers
    with FakeService(one.socket, [row("a")]):
        assert [(found.instance, found.pid) for found in running()] == [(one, os.getpid())]
        assert main(["socket"]) == 0
        assert capsys.readouterr().out == f"{one.socket}\n"
        assert main(["status"]) == 0
        assert " running " in capsys.readouterr().out


def test_several_running_instances_are_listed(home, capsys, monkeypatch):
    one, two = one_that_says_it_runs(home, "one"), one_that_says_it_runs(home, "two")
    with FakeService(one.socket), FakeService(two.socket):
        assert main(["status"]) == 2
        told = capsys.readouterr().err.splitlines()
        assert told[0] == "quarterdeck: 2 services are running; say which:"
        assert sorted(line.split("  (")[0] for line in told[1:]) == [f"  -c {one.config}", f"  -c {two.config}"]
        assert main(["-c", str(two.config), "socket"]) == 0
        assert main(["socket", "-c", str(one.config.parent)]) == 0
        monkeypatch.chdir(two.config.parent)
        assert main(["socket"]) == 0
        assert capsys.readouterr().out.split() == [str(two.socket), str(one.socket), str(two.socket)]


def test_the_nearest_config_is_not_replaced_by_another_that_runs(home, capsys, monkeypatch):
    one = one_that_says_it_runs(home, "one")
    config(home / "other")
    monkeypatch.chdir(home / "other")
    with FakeService(one.socket):
        assert main(["status"]) == 4
    assert f"start it with: quarterdeck up -c {home}/other/quarterdeck.toml" in capsys.readouterr().err


def test_shutdown_returns_when_the_lock_is_free(home, capsys):
    one = one_that_says_it_runs(home, "one")
    with FakeService(one.socket) as service:
        service.answers["POST", "/api/v1/shutdown"] = 202, {"phase": "leaving"}
        with one.lock():
            announce(one, [])
            # the lock's end takes the socket's name away, so keep it for the service of this test
            assert main(["shutdown", "--timeout", "0.01"]) == 5
            assert capsys.readouterr().err == "the service is still leaving\n"
            assert main(["down", "--no-wait"]) == 0
            one.socket.rename(home / "kept")
        announce(one, [])
        (home / "kept").rename(one.socket)
        assert main(["down"]) == 0
        assert capsys.readouterr().out == "the service has ended\n"


# ---------------------------------------------------------------- up


def test_the_options_of_up_and_their_variables(home, monkeypatch):
    file = config(home)
    told = argparse.Namespace(
        config=None,
        state=None,
        names=["a"],
        detach=False,
        echo=True,
        in_process=True,
        exit_when_done=False,
        no_auth=True,
        listen=None,
    )
    monkeypatch.setenv("QUARTERDECK_LISTEN", "127.0.0.1:1, unix:x")
    monkeypatch.setenv("QUARTERDECK_PORT", "tcp://10.0.0.1:7440")
    monkeypatch.setenv("QUARTERDECK_PLAIN_HTTP", "1")
    assert options_of(told) == UpOptions(
        file, None, ("a",), False, True, True, False, True, ("127.0.0.1:1", "unix:x"), True
    )  # fmt: skip
    told.listen = ["127.0.0.1:2"]
    assert options_of(told).listen == ("127.0.0.1:2",)


def quarterdeck(home, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments], env=environment, cwd=home, capture_output=True, text=True, timeout=60
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_up_detached_returns_when_the_page_answers_and_down_when_it_is_gone(home):
    port = free_port()
    service = f'[service]\nlisten = "127.0.0.1:{port}"\nstate = "st"\n'
    config(home, f'{service}[worker.a]\ncommand = "sleep 1000"\nstart_seconds = 0\n')
    up = quarterdeck(home, "up", "-d")
    try:
        assert (up.returncode, up.stderr) == (0, "")
        assert f"http://127.0.0.1:{port}/" in up.stdout
        instance = Instance.of_config(home / "quarterdeck.toml")
        assert answers(instance.socket)
        again = quarterdeck(home, "up", "-d")
        assert (again.returncode, again.stdout) == (2, "")
        assert f"is running already, as pid {announced(instance)} since " in again.stderr
        assert quarterdeck(home, "restart", "a").stdout == "a: run 2 is ready\n"
    finally:
        down = quarterdeck(home, "down")
    assert (down.returncode, down.stdout) == (0, "the service has ended\n")
    assert not instance.held()
    assert not instance.socket.exists()


def test_a_detached_start_that_fails_says_why(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config(home, f'[service]\nlisten = "127.0.0.1:{port}"\nstate = "st"\n')
        up = quarterdeck(home, "up", "-d")
    assert up.returncode != 0
    assert f"127.0.0.1:{port} is already in use" in up.stderr
    (home / "quarterdeck.toml").write_text("[worker.a]\n")
    bad = quarterdeck(home, "up", "-d")
    assert (bad.returncode, bad.stderr) == (
        2, f'{home}/quarterdeck.toml:1: worker.a: has no command; add command = ["PROGRAM", "ARGUMENT"]\n',
    )  # fmt: skip


def test_a_file_that_up_would_take_is_checked_as_a_whole(home, capsys):
    part = home / "part.toml"
    part.write_text('[worker.b]\ncommand = "true"\nrequires = ["elsewhere"]\n')
    part.chmod(0o600)
    assert main(["check", "-c", str(part)]) == 1
    assert "elsewhere" in capsys.readouterr().err
    assert main(["check", str(part)]) == 0
    assert "were not checked" in capsys.readouterr().out
