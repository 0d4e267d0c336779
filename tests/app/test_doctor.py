"""What `quarterdeck doctor` says of a machine, and with which exit status."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from app import examination
from app.cli import main
from tests.faults.service import Service, alive, stays, zoo

ROOT = Path(__file__).parents[2]

NAMES = {
    "pidfd", "exit status by pidfd", "subreaper", "named pipes", "splice", "flock", "cgroup v2", "file descriptors",
    "pages for pipes", "free space for the state", "free space for the logs", "clock", "/proc", "seccomp",
    "other users", "ptrace", "process 1",
}  # fmt: skip


def examined(folder: Path, *more: str, wrap: tuple[str, ...] = ()) -> tuple[int, dict]:
    """In a process of its own, since it changes what it looks at."""
    (folder / "quarterdeck.toml").write_text(stays(*(f"w{n}" for n in range(20))))
    command = [sys.executable, "-m", "app", "doctor", "-o", "json", "-c", str(folder / "quarterdeck.toml"), *more]
    ran = subprocess.run([*wrap, *command], cwd=ROOT, capture_output=True, text=True)
    assert not ran.stderr
    told = json.loads(ran.stdout)
    return ran.returncode, {**told, "findings": {one["name"]: one for one in told["findings"]}}


def test_each_line_says_what_for_and_what_to_do_and_nothing_is_left(tmp_path):
    state = tmp_path / "state"
    status, told = examined(tmp_path, "--state", str(state))
    assert status == 0
    assert set(told["findings"]) >= NAMES
    for finding in told["findings"].values():
        assert finding["purpose"]
        assert finding["found"]
        assert bool(finding["remedy"]) == (not finding["good"]), finding
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quarterdeck.toml"]


def test_too_few_descriptors_are_told_with_the_number_that_is_enough(tmp_path):
    wrap = ("prlimit", "--nofile=100:100")
    status, told = examined(tmp_path, "--state", str(tmp_path / "state"), wrap=wrap)
    finding = told["findings"]["file descriptors"]
    assert status == 1
    assert not told["good"]
    assert finding["found"] == "100, enough for 4 workers; the config has 20"
    assert "ulimit -Hn 224" in finding["remedy"]


def test_a_missing_thing_that_is_not_needed_is_no_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quarterdeck.toml").write_text(stays("web"))
    monkeypatch.setattr(examination, "_kernel", lambda: iter([examination.Finding("x", "y", False, "z", "do\x1b[31m")]))
    assert main(["doctor", "--state", str(tmp_path / "state")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("no   x: z (for: y)\n     -> do")
    assert "\x1b" not in said


@pytest.mark.parametrize("what", ["mkfifo", "splice"])
def test_a_file_system_that_cannot_is_named(tmp_path, monkeypatch, what):
    def refuse(*_, **__):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(os, what, refuse)
    findings = {one.name: one for one in examination._folder(tmp_path)}
    bad = findings["named pipes" if what == "mkfifo" else what]
    assert not bad.good
    assert bad.needed
    assert "Operation not supported" in bad.found
    assert sum(not one.good for one in findings.values()) == 1


def test_a_worker_costs_no_more_descriptors_than_is_told(tmp_path):
    """Counted at a service whose workers write to both streams."""
    words = zoo("say", "up", "err", "up", "pause")
    text = "".join(f"[worker.w{n}]\ncommand = {words}\nstart_seconds = 0\nautostart = false\n" for n in range(9))
    with Service(tmp_path, text, "kept") as service:
        held = []
        for names in (["w0"], [f"w{n}" for n in range(1, 9)]):
            for name in names:
                service.pid_of(name)
            held.append(len(os.listdir(f"/proc/{service.pid}/fd")))
        assert alive(service.pid)
        assert 1 < (held[1] - held[0]) / 8 <= examination.EACH
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 9 * examination.EACH
