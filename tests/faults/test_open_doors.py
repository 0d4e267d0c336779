"""Whoever connects while the service is away waits and is answered: its listening sockets outlive it.

Known wart: a request that the killed process had accepted is cut off, as it must be; those are counted apart.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor_core.keeper.listeners import AWAY
from tests.faults.service import ROOT, Service, stays, until
from tests.faults.test_kills import Kept
from tests.faults.test_other_versions import SERVICE, Pair, tree
from tests.faults.test_upgrade import asked

ASKS = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PACE = 0.003
"""Seconds between two calls of one caller."""


class Caller:
    """Asks again and again, each time by a new connection."""

    def __init__(self, family: int, where: object) -> None:
        self.refused = self.cut = self.answered = 0
        self.longest = 0.0
        self._family, self._where = family, where
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PACE):
            begun = time.monotonic()
            self._call()
            self.longest = max(self.longest, time.monotonic() - begun)

    def _call(self) -> None:
        with socket.socket(self._family) as way:
            way.settimeout(20)
            try:
                way.connect(self._where)
            except OSError:
                self.refused += 1
                return
            try:
                way.sendall(ASKS)
                answer = b"".join(iter(lambda: way.recv(65536), b""))
            except ConnectionError:
                answer = b""
        if answer.startswith(b"HTTP/1.1 200 "):
            self.answered += 1
        else:
            self.cut += 1


@contextmanager
def calling(service: Kept) -> Iterator[dict[str, Caller]]:
    """Callers by TCP and by the Unix socket; afterwards prints what became of their calls."""
    callers = {
        "TCP": Caller(socket.AF_INET, ("127.0.0.1", service.port)),
        "Unix": Caller(socket.AF_UNIX, str(service.state / "socket")),
    }
    try:
        yield callers
    finally:
        for name, one in callers.items():
            one.end()
            print(
                f"\n{name}: {one.answered} answered, {one.cut} cut off, {one.refused} refused; "
                f"the longest took {one.longest:.2f} s",
                end="",
            )


@pytest.mark.row(32)
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.long)])
def test_nobody_is_refused_while_the_service_is_killed_again_and_again(tmp_path, kills):
    with Kept(tmp_path, stays("web"), "kept") as service:
        service.pid_of("web")
        with calling(service) as callers:
            for _ in range(kills):
                manager = service.manager()
                os.kill(manager, signal.SIGKILL)
                service.up_again(manager)
        for one in callers.values():
            assert one.refused == 0
            assert one.cut <= kills, "what was under way in the process that was killed, and nothing else"
            assert one.answered > kills


@pytest.mark.row(39)
@pytest.mark.parametrize("upgrades", [3, pytest.param(20, marks=pytest.mark.long)])
def test_nobody_is_refused_or_cut_off_by_an_upgrade(tmp_path, upgrades):
    with Kept(tmp_path, stays("web"), "kept") as service:
        service.pid_of("web")
        with calling(service) as callers:
            for _ in range(upgrades):
                asked(service)
        for one in callers.values():
            assert (one.refused, one.cut) == (0, 0)
            assert one.answered > upgrades


@pytest.mark.row(32, 60)
def test_while_no_service_is_there_commands_wait_for_it_and_a_second_start_is_refused_as_ever(tmp_path):
    with Kept(tmp_path, stays("web"), "kept") as service:
        pid, keeper = service.pid_of("web"), service.keeper()
        which = ["-c", str(service.config), "--state", str(service.state)]
        os.kill(service.manager(), signal.SIGKILL)
        told = subprocess.run(
            [sys.executable, "-m", "app", "status", *which], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert (told.returncode, told.stderr) == (0, "")
        assert str(pid) in told.stdout
        os.kill(service.manager(), signal.SIGKILL)
        with Service(tmp_path, "", "kept") as second:
            assert second.end() == 2
        assert f"running already, as pid {keeper}" in second.text
        assert service.pid_of("web") == pid


@pytest.mark.row(32, 61)
def test_a_socket_that_is_swept_away_before_or_after_a_death_is_there_again(tmp_path):
    with Kept(tmp_path, stays("web"), "kept") as service:
        pid, place = service.pid_of("web"), service.state / "socket"
        manager = service.manager()
        place.unlink()
        until(place.exists)
        assert service.pid_of("web") == pid
        os.kill(manager, signal.SIGKILL)
        service.up_again(manager)  # by the one that was made again
        manager = service.manager()
        place.unlink()
        os.kill(manager, signal.SIGKILL)
        until(place.exists, 20)
        service.up_again(manager)
        assert service.pid_of("web") == pid


def installed(place: Path) -> Path:
    """A copy of today's program, which may change."""
    place.mkdir()
    for name in ("app", "supervisor_core", "templates", "static"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


@pytest.mark.long
@pytest.mark.row(32)
def test_when_no_successor_comes_those_who_wait_are_refused_after_a_while(tmp_path):
    """And answered again when one can come. One that came back in time loses nothing when that time is over."""
    program = installed(tmp_path / "installed")
    with Pair(tmp_path, ROOT, program) as service:
        pid, port = service.pid_of("web"), service.port
        for _ in range(2):
            begun, manager = time.monotonic(), service.manager()
            os.kill(manager, signal.SIGKILL)
            with socket.create_connection(("127.0.0.1", port), 20) as waits:
                waits.sendall(ASKS)
                assert waits.recv(100).startswith(b"HTTP/1.1 200 ")
            until(lambda begun=begun: time.monotonic() > begun + AWAY + 0.5)
        begins = program / "app" / "__main__.py"
        begins.rename(program / "away")
        begins.write_text("raise SystemExit(1)")
        begun = time.monotonic()
        os.kill(service.manager(), signal.SIGKILL)
        with socket.create_connection(("127.0.0.1", port), 20) as waits:
            waits.sendall(ASKS)
            with pytest.raises(ConnectionResetError):
                waits.recv(1)
        assert AWAY - 0.5 < time.monotonic() - begun < 2 * AWAY
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 20)
        (program / "away").rename(begins)
        service.up_again(0)
        assert service.pid_of("web") == pid


@pytest.mark.row(32, 39)
def test_a_successor_of_an_earlier_version_binds_what_it_wants_itself(tmp_path):
    earlier, program = tree(SERVICE, tmp_path / "earlier"), installed(tmp_path / "installed")
    with Pair(tmp_path, ROOT, program) as service:
        pid, manager = service.pid_of("web"), service.manager()
        for name in ("app", "supervisor_core", "templates", "static"):
            (program / name).rename(program / f"{name} of today")
            (program / name).symlink_to(earlier / name)
        os.kill(manager, signal.SIGKILL)
        service.up_again(manager)
        assert service.pid_of("web") == pid
    assert "another program listens" not in service.text
