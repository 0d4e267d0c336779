"""What a keeper is told to start again, and what is left of a process that could not become one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.parser import parse
from app.keepers import orders_of
from app.settings import Instance
from tests.faults.service import ROOT

INSTANCE = Instance(Path("/etc/q.toml"), Path("/var/q"))


@pytest.mark.row(35)
@pytest.mark.parametrize(
    ("given", "names"),
    [
        (("up",), []),
        (("up", "web"), ["web"]),
        (("up", "--", "web"), ["web"]),
        (("up", "db", "--", "web"), ["db", "web"]),
        (("up", "-c", "q.toml", "--", "web"), ["web"]),
    ],
)
def test_a_service_that_is_started_again_runs_the_same_workers_of_the_same_instance(monkeypatch, given, names):
    command = [sys.executable, "-m", "app", *given]
    for _ in range(3):  # that one, too, starts a keeper, and so on
        monkeypatch.setattr(sys, "orig_argv", command)
        monkeypatch.setattr(sys, "argv", ["app", *command[3:]])
        again = list(orders_of(INSTANCE).service)
        options = parse(again[3:])
        assert again[:3] == command[:3]
        assert (options.config, options.state, options.names) == ("/etc/q.toml", "/var/q", names)
        assert again.count("--state") == 1
        command = again


NO_KEEPER = """
import os, sys
from pathlib import Path
from app.keepers import become_kept
from app.settings import Instance

def refuse(*_):
    raise OSError(2, "No such file or directory")

os.execv = refuse
folder = Path(sys.argv[1])
try:
    instance = Instance(folder / "quarterdeck.toml", folder / "state")
    become_kept(instance, instance.take_lock())
except OSError as error:
    try:
        print(error.strerror, "and", os.waitpid(-1, os.WNOHANG), "is left")
    except ChildProcessError:
        print(error.strerror, "and nobody is left")
"""


@pytest.mark.row(35)
def test_a_process_that_cannot_become_a_keeper_leaves_no_service_behind(tmp_path):
    (tmp_path / "state").mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-c", NO_KEEPER, str(tmp_path)],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == "No such file or directory and nobody is left\n", done.stderr
