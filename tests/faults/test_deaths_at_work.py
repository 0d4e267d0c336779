"""What a storm of starts leaves when the keeper dies in it, and a service without memory. What must hold is seen
from outside, as in life.py. Known wart: which call meets the lack of memory is chance."""

import contextlib
import http.client
import os
import resource
import select
import signal
import threading
from pathlib import Path

import pytest

from tests.faults.life import PATIENCE, Life, running
from tests.faults.service import alive, until, zoo

STORM = 20
"""Workers that are started at the same time."""

SPACE = 4 * 2**20
"""Bytes of address space that a service gets beyond what it has."""


@pytest.mark.row(33, 35)
@pytest.mark.parametrize("kills", [6, pytest.param(60, marks=pytest.mark.long)])
def test_a_keeper_that_dies_in_a_storm_of_starts_leaves_nobody_unknown_or_twice(tmp_path: Path, kills: int):
    text = "".join(
        f"[worker.s{n}]\ncommand = {zoo('lock', str(tmp_path / f's{n}.lock'), 'pause')}\n"
        "start_seconds = 0\nstop_timeout = 5\n"
        for n in range(STORM)
    )
    with Life(tmp_path, "", text=text) as life:
        names = [f"s{n}" for n in range(STORM)]
        until(lambda: all(running(row) for row in life.rows().values()), PATIENCE)
        over = threading.Event()

        def restart_all() -> None:
            while not over.is_set():
                for name in names:
                    life.ask("POST", f"/workers/{name}/restart?wait=0")

        ordering = threading.Thread(target=restart_all)
        ordering.start()
        try:
            for n in range(kills):
                old = until(life.keeper, PATIENCE)
                select.select([], [], [], 0.05 + 0.013 * (n % 11))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(old, signal.SIGKILL)
                until(lambda old=old: life.keeper() not in (0, old), PATIENCE)
        finally:
            over.set()
            ordering.join()
        until(lambda: all(running(row) and life.runs_of(name) == {row["pid"]} for name, row in life.rows().items()), 30)
        assert life.everybody() == {life.keeper(), life.manager()} | set().union(*map(life.runs_of, names))
        assert min(row["run"] for row in life.rows().values()) > 1, "that was no storm"
        life.leave()


@pytest.mark.row(38)
def test_a_service_without_memory_is_replaced_and_nothing_is_half_written(tmp_path: Path):
    with Life(tmp_path, "") as life:
        until(lambda: running(life.rows()["writer"]) and running(life.rows()["idle"]), PATIENCE)
        life.order("idle", "stop", lambda row: row["state"] == "stopped")
        until(lambda: life.rows()["crash"]["state"] == "failed", PATIENCE)
        starved, before = life.manager(), life.rows()["writer"]
        used = int(Path(f"/proc/{starved}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(starved, resource.RLIMIT_AS, (used + SPACE, used + SPACE))
        callers = [threading.Thread(target=press, args=(life, starved)) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        with contextlib.suppress(ProcessLookupError):  # it may have got by
            os.kill(starved, signal.SIGKILL)
        until(lambda: not alive(starved))
        now = life.rows()["writer"]
        assert (now["run"], now["pid"]) == (before["run"], before["pid"])
        life.order("late", "start", running)
        life.settle()
        life.leave()
    life.check_lines(1)


def press(life: Life, pid: int) -> None:
    """Asks for more than there is room for."""
    for _ in range(20):
        if not alive(pid):
            return
        with contextlib.suppress(OSError, http.client.HTTPException):
            life.once("GET", "/workers/writer/logs?tail=5000&stream=out")
