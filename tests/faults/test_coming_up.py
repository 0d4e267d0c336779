"""A service that cannot finish coming up: a full disk, an installation that is half replaced. No worker notices."""

import contextlib
import os
import shutil
import signal
from pathlib import Path

import httpx
import pytest

from supervisor_core.model import MIB
from tests.faults.mounts import inside, tmpfs
from tests.faults.service import ROOT, Service, alive, stays, until
from tests.faults.test_full_disks import fill
from tests.faults.test_kills import Kept, identity
from tests.faults.test_other_versions import Pair


def names(client) -> set[str]:
    """The conditions that hold; none where the request was cut off."""
    with contextlib.suppress(httpx.TransportError):
        return {held["name"] for held in client.get("/conditions").json()["conditions"]}
    return set()


@pytest.mark.row(32)
def test_who_takes_over_on_a_full_disk_answers_and_says_so(tmp_path):
    state = tmp_path / "state"
    with Kept(tmp_path, stays("web"), "kept", wrap=tmpfs(state, "size=4m")) as service:
        there = inside(service.pid, state)
        token = (there / "token").read_text().strip()
        with service.over_tcp(token=token) as client:

            def row():
                return client.get("/workers/web").json()

            until(lambda: row()["state"] == "running")
            before, keeper = identity(row()["pid"]), service.keeper()
            (manager,) = (pid for pid in children(keeper) if pid != before[0])
            ballast = fill(there, 4 * MIB)
            os.kill(manager, signal.SIGKILL)
            until(lambda: not alive(manager))
            until(lambda: names(client) >= {"state-disk-full"}, 20)
            assert identity(row()["pid"]) == before
            assert service.keeper() == keeper
            ballast.unlink()
            until(lambda: not names(client))
            assert identity(row()["pid"]) == before


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def copied(place: Path) -> Path:
    """The product as it is installed, in a place of its own."""
    for name in ("app", "supervisor_core", "templates", "static"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


@pytest.mark.row(32)
def test_while_an_installation_is_half_replaced_nothing_happens_to_workers(tmp_path):
    place = copied(tmp_path / "installed")
    half = place / "app" / "web" / "factory.py"
    with Pair(tmp_path, place, place) as service:
        pids = {name: service.pid_of(name) for name in ("web", "writes")}
        before = {name: identity(pid) for name, pid in pids.items()}
        manager, keeper = service.manager(), service.keeper()
        half.rename(tmp_path / half.name)
        os.kill(manager, signal.SIGKILL)
        for _ in range(2):
            assert service.until("quarterdeck: this service ends, the workers go on"), service.text
            assert {name: identity(pid) for name, pid in pids.items()} == before
        (tmp_path / half.name).rename(half)
        service.up_again(manager)
        assert service.keeper() == keeper
        assert {name: service.pid_of(name) for name in pids} == pids
        assert {name: identity(pid) for name, pid in pids.items()} == before


def filled(state: Path, earlier: str = "") -> tuple[str, ...]:
    """A full disk with what an earlier service left in the state folder."""
    copy = f'cp -a "{earlier}/." "$0"; ' if earlier else ""
    words = f'{copy}dd if=/dev/zero of="$0/ballast" bs=512 2>/dev/null; exec "$@"'
    return (*tmpfs(state, "size=2m"), "sh", "-c", words, str(state))


@pytest.mark.row(42)
def test_a_first_start_on_a_full_disk_is_refused_before_any_worker(tmp_path, mode):
    state = tmp_path / "state"
    text = f'[worker.web]\ncommand = "touch {tmp_path}/began; exec sleep 600"\n'
    with Service(tmp_path, text, mode, wrap=filled(state)) as service:
        assert service.end() == 2
    assert service.text == (
        f"quarterdeck: {state / 'token'} cannot be written (No space left on device); mend that, "
        "or choose another state folder with --state\n"
    )
    assert not (tmp_path / "began").exists()


@pytest.mark.row(42)
def test_a_later_start_on_a_full_disk_runs_the_workers_and_says_so(tmp_path, mode):
    earlier, state = tmp_path / "earlier", tmp_path / "state"
    with Service(tmp_path, stays("web"), mode, state=earlier) as service:
        service.signal(signal.SIGTERM)
        assert service.end() == 0
    with Service(tmp_path, "", mode, wrap=filled(state, str(earlier))) as service:
        there = inside(service.pid, state)
        token = (there / "token").read_text().strip()
        with service.over_tcp(token=token) as client:
            until(lambda: names(client) >= {"state-disk-full"})
            assert client.get("/workers/web").json()["state"] == "running"
            assert not (there / "running.json").exists()
            (there / "ballast").unlink()
            until((there / "running.json").exists)
            until(lambda: not names(client))
        service.signal(signal.SIGTERM)
        assert service.end() == 0
    assert "Traceback" not in service.text
