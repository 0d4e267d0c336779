"""Who may run an instance, and what of a state folder counts: racing starts, swept sockets, copied folders."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.settings import Instance, InstanceTaken
from supervisor_core.children import procfs
from supervisor_core.keeper.orders import write_holder
from supervisor_core.keeper.records import Records
from tests.faults.service import ROOT, Events, Service, alive, stays, until
from tests.faults.test_kills import Kept

CONFIG = stays("web")


def inodes(folder):
    """What stands in a folder, and which file it is; what is written on and on is left out."""
    files = (path for path in folder.rglob("*") if path.is_file() or path.is_socket())
    return {path.name: path.lstat().st_ino for path in files if path.suffix not in (".log", ".idx", ".index")}


def copied(state, there):
    """As a backup does it, pipes included; a socket is nothing that one copies."""
    subprocess.run(["cp", "-a", state, there], check=True)
    (there / "socket").unlink(missing_ok=True)


def times_open(path):
    """How many descriptors of this process are that file."""
    fds = (Path("/proc/self/fd") / fd for fd in os.listdir("/proc/self/fd"))
    return sum(fd.exists() and fd.samefile(path) for fd in fds)


@pytest.mark.row(60)
@pytest.mark.parametrize("count", [6, pytest.param(20, marks=pytest.mark.long)])
def test_of_racing_starts_one_wins_and_the_others_name_it(tmp_path, mode, count):
    racing = [Service(tmp_path, CONFIG if n == 0 else "", mode, wait=False) for n in range(count)]
    try:
        ended = until(lambda: [s for s in racing if s.process.poll() is not None][count - 2 :] and racing, 30)
        winner = next(s for s in ended if s.process.poll() is None)
        assert winner.until("quarterdeck: config")
        for loser in racing:
            if loser is not winner:
                assert loser.end() == 2
                assert f"running already, as pid {winner.pid}" in loser.text
        assert winner.workers()["web"]["run"] == 1
    finally:
        for service in racing:
            service.__exit__(None)
    assert winner.process.returncode == 0


@pytest.mark.row(60)
@pytest.mark.parametrize(
    "before", ["", '{"pid": 4194305, "since": "x", "config": "x", "more": "longer than what comes"}']
)
def test_who_is_refused_waits_until_the_first_one_has_said_who_it_is(tmp_path, before):
    instance = Instance(tmp_path / "quarterdeck.toml", tmp_path)
    (tmp_path / "lock").write_text(before)
    with open(tmp_path / "lock", "r+") as first, ThreadPoolExecutor(1) as pool:
        fcntl.flock(first, fcntl.LOCK_EX)
        refused = pool.submit(instance.take_lock)
        until(lambda: times_open(tmp_path / "lock") == 2)
        write_holder(first.fileno(), {"pid": os.getpid(), "since": "now", "config": str(instance.config)})
        with pytest.raises(InstanceTaken, match=f"as pid {os.getpid()} since now"):
            refused.result()


@pytest.mark.row(60)
def test_a_second_start_touches_nothing_of_the_first(tmp_path, mode):
    with Service(tmp_path, CONFIG, mode) as first:
        pid = first.pid_of("web")
        before = inodes(first.state), (first.state / "lock").read_bytes(), (first.state / "running.json").read_bytes()
        with Service(tmp_path, "", mode) as second:
            assert second.end() == 2
        assert f"pid {first.pid}" in second.text
        after = inodes(first.state), (first.state / "lock").read_bytes(), (first.state / "running.json").read_bytes()
        assert after == before
        assert first.pid_of("web") == pid


@pytest.mark.row(61)
@pytest.mark.parametrize("mode", ["kept"])  # the same code in both
def test_a_swept_socket_is_made_again(tmp_path, mode):
    with Service(tmp_path, CONFIG, mode) as service:
        place = service.state / "socket"
        with Events(service.client()) as events:
            place.unlink()
            until(place.exists)
            assert service.pid_of("web")
            assert place.stat().st_mode & 0o777 == 0o600
            with service.client() as client:
                client.post("/workers/web/restart")
            assert events.until("changed"), "who came by the old one is still served"
        place.unlink()
        until(place.exists)
        assert service.workers()["web"]["run"] == 2
    assert not place.exists()


@pytest.mark.row(61)
def test_a_stale_socket_and_a_left_lock_do_not_count(tmp_path, mode):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state / "socket"))
    (state / "lock").write_text('{"pid": 1, "since": "x", "config": "/x"}')
    (state / "running.json").write_text('{"pid": 1, "since": "x", "config": "/x"}')
    with Service(tmp_path, CONFIG, mode) as service:
        assert service.pid_of("web")


@pytest.mark.row(62)
@pytest.mark.parametrize("mode", ["kept"])  # in process nobody writes down who runs
def test_nothing_is_adopted_from_a_copied_state_folder(tmp_path, mode):
    """The copy is of a folder in use, with the lock and the notes of the first; its processes are none of ours."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with Service(here, CONFIG, mode) as first:
        pid = first.pid_of("web")
        copied(first.state, there / "state")
        with Service(there, CONFIG, mode) as second:
            other = second.pid_of("web")
            assert other != pid
            with second.client() as client:
                assert client.post("/workers/web/restart").json()["worker"]["pid"] not in (pid, other)
        assert second.process.returncode == 0
        assert alive(pid)
        assert first.pid_of("web") == pid
    assert not alive(pid)


@pytest.fixture
def stranger():
    """A process that is none of ours."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.row(62)
@pytest.mark.parametrize("mode", ["kept"])  # in process nobody writes down who runs
def test_a_folder_from_another_machine_names_processes_that_are_strangers_here(tmp_path, mode, stranger):
    """Whoever has the pids that the copied notes name is neither signalled nor in the way."""
    with Service(tmp_path, CONFIG, mode) as first:
        pid = first.pid_of("web")
        kept = tmp_path / "kept"
        copied(first.state, kept)
    assert not alive(pid)
    shutil.rmtree(first.state)
    for note in ("lock", "running.json"):
        text = (kept / note).read_text()
        (kept / note).write_text(text.replace(str(first.pid), str(stranger.pid)))
    os.rename(kept, first.state)
    with Service(tmp_path, CONFIG, mode) as second:
        assert second.pid_of("web")
    assert second.process.returncode == 0
    assert stranger.poll() is None


def retold(folder, pid, facts):
    """Changes what the keeper's book says of the run with this pid."""
    records = Records(str(folder / "keeper" / "records"))
    told = [json.loads(payload) for payload in records.payloads()]
    (run,) = (one["run"] for one in told if one.get("pid") == pid)
    for one in told:
        if one.get("run") == run:
            one.update({name: value for name, value in facts.items() if name in one})
    records.rewrite(json.dumps(one).encode() for one in told)
    records.close()


@pytest.mark.row(62)
def test_a_backup_that_is_restored_after_a_reboot_adopts_nothing(tmp_path, stranger):
    """A stranger has the very number and start time by now, and only the boot tells that it is one.

    In process nothing writes down who runs.
    """
    with Service(tmp_path, CONFIG, "kept") as first:
        pid = first.pid_of("web")
        kept = tmp_path / "kept"
        copied(first.state, kept)
    shutil.rmtree(first.state)
    os.rename(kept, first.state)
    retold(first.state, pid, {"pid": stranger.pid, "start": procfs.read(stranger.pid).start, "boot": "earlier"})
    with Service(tmp_path, CONFIG, "kept") as second:
        web = second.workers()["web"]
        assert second.pid_of("web") != stranger.pid
        assert web["last_exit"]["reason"] == "unknown: the system went down while it ran"
    assert stranger.poll() is None


@pytest.mark.row(33, 60)
def test_after_a_keeper_was_replaced_everything_names_the_new_one(tmp_path):
    def noted(name):
        return json.loads((service.state / name).read_bytes() or b"{}").get("pid")

    with Kept(tmp_path, CONFIG, "kept") as service:
        pid, old = service.pid_of("web"), service.keeper()
        assert noted("lock") == noted("running.json") == old
        os.kill(old, signal.SIGKILL)
        new = until(lambda: (now := service.keeper()) not in (0, old) and now)
        until(lambda: noted("running.json") == new)
        assert noted("lock") == new
        with Service(tmp_path, "", "kept") as second:
            assert second.end() == 2
        assert f"running already, as pid {new}" in second.text
        words = [sys.executable, "-m", "app"]
        which = ["-c", str(service.config), "--state", str(service.state)]
        told = subprocess.run([*words, "status", *which], cwd=ROOT, capture_output=True, text=True, check=True)
        assert str(pid) in told.stdout
        ended = subprocess.run([*words, "shutdown", *which], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "the service has ended" in ended.stdout
        until(lambda: not alive(new))
        assert not alive(pid)
