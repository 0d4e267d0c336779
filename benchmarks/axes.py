"""What is measured, in three kinds of lives: workers that stand, workers that end at once, workers that write.

Each function gives figures by name, one sample of each, or a list where there are many in one life. The same code for
every peer; a figure is only given when what it claims was counted.
"""

import os
import random
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .life import Broken, Life, live
from .notes import LINE, TooLate, check_lines
from .peers import LOGS, STANDING, STORM, Peer

Figures = dict[str, Any]

GROWN_UP = 1.2
"""Seconds after which every peer takes a worker for one that started well."""

AT_REST = 12.0
"""Seconds after which nobody has anything left to do about the starts: ours calls a worker stable after ten."""

AT_ONCE = 100
STORM_WORKERS = 100
PATIENCE = 90.0
"""Seconds that writing may take."""


@dataclass(frozen=True)
class Amounts:
    """How much is done in one life: seconds of rest, kills one by one and their longest time, storm seconds, lines."""

    idle: float = 20.0
    kills: int = 60
    kill_seconds: float = 15.0
    storm: float = 6.0
    lines: int = 2_000_000
    writers: int = 100


def standing(peer: Peer, count: int, axes: Collection[str], amounts: Amounts) -> Figures:
    """Boot, memory, rest, kills one by one, kills at once, stop: one life."""
    figures: Figures = {}
    with live(peer, STANDING, min(count, peer.most)) as life:
        if count:
            figures["first"], figures["boot"] = life.await_all()
            figures["boot_cpu"] = life.spent()
        life.settle()
        figures["settled_cpu"] = life.spent()
        life.count_alive()
        figures |= life.memory()
        if "idle" in axes:
            time.sleep(AT_REST)
            figures["idle"] = life.measure(lambda: time.sleep(amounts.idle)) * 60 / amounts.idle
        if "restart" in axes and count:
            figures |= restarts(life, amounts)
        if "kill-all" in axes and count >= AT_ONCE:
            figures |= kill_at_once(life)
        life.count_alive()
        if "stop" in axes:
            figures["stop"], figures["gone"] = life.stop()
    return figures


def restarts(life: Life, amounts: Amounts) -> Figures:
    """SIGKILLs one worker after another, each grown up; milliseconds to the note of the new process."""
    time.sleep(GROWN_UP)
    order = sorted(life.notes.latest)
    random.Random(7).shuffle(order)  # the same order for every peer
    pause = GROWN_UP / min(len(order), amounts.kills)
    found: list[float] = []
    paid = 0.0
    end = time.monotonic() + amounts.kill_seconds
    while len(found) < amounts.kills and time.monotonic() < end:
        index = order[len(found) % len(order)]

        def one(index: int = index) -> None:
            old = life.notes.latest[index].pid
            begun = time.monotonic_ns()
            os.kill(old, signal.SIGKILL)
            try:
                life.notes.wait("start", lambda _: life.notes.latest[index].pid != old, 30.0)
            except TooLate:
                raise Broken(f"worker {index} did not come back within 30 s") from None
            found.append((life.notes.latest[index].at - begun) / 1e6)

        paid += life.measure(one)
        time.sleep(pause)
    return {"restart": found, "restart_cpu": paid * 1000 / len(found)}


def kill_at_once(life: Life) -> Figures:
    """SIGKILLs 100 workers; seconds until the last of the new processes runs, and the peer's CPU for all."""
    time.sleep(GROWN_UP)
    victims = {note.worker: note.pid for note in list(life.notes.latest.values())[:AT_ONCE]}

    def back(_: object) -> bool:
        return all(life.notes.latest[index].pid != pid for index, pid in victims.items())

    begun = 0

    def kill() -> None:
        nonlocal begun
        begun = time.monotonic_ns()
        for pid in victims.values():
            os.kill(pid, signal.SIGKILL)
        try:
            life.notes.wait("start", back, 60.0)
        except TooLate as late:
            raise Broken(f"not all of 100 came back: {late}") from None

    paid = life.measure(kill)
    last = max(life.notes.latest[index].at for index in victims)
    return {"kill_all": (last - begun) / 1e9, "kill_all_cpu": paid}


def storm(peer: Peer, count: int, amounts: Amounts) -> Figures:
    """Workers that end with 1 at once, for ever: starts a second, the peer's share of a core, and its CPU a start."""
    with live(peer, STORM, count) as life:
        life.await_all()
        time.sleep(1.0)
        counted: list[int] = []

        def watch() -> None:
            counted.append(life.notes.count())
            time.sleep(amounts.storm)
            counted.append(life.notes.count())

        paid = life.measure(watch)
        starts = counted[1] - counted[0]
        if starts == 0:
            raise Broken(f"nothing was started again within {amounts.storm:g} s{life.said()}")
        return {
            "starts": starts / amounts.storm,
            "share": paid / amounts.storm * 100,
            "start_cpu": paid * 1000 / starts,
        }


@dataclass(frozen=True)
class Flood:
    """One way of writing: how many writers, bytes a write, and which part of the lines (a write a line is slow)."""

    title: str
    many: bool
    block: int
    part: float = 1.0


FLOODS = {
    "one": Flood("1 writer, 64 KiB writes", False, 65536),
    "many": Flood("100 writers, 64 KiB writes", True, 65536),
    "line": Flood("1 writer, a write a line", False, LINE, 0.5),
}


def flood(peer: Peer, flood: Flood, amounts: Amounts) -> Figures:
    """Lines written to captured files: a second, CPU a million, and what counting afterwards found."""
    count = amounts.writers if flood.many else 1
    each = int(amounts.lines * flood.part) // count
    with live(peer, LOGS, count, [each, flood.block]) as life:
        life.await_all()
        life.settle()
        begun = ended = 0

        def write() -> None:
            nonlocal begun, ended
            go = os.open(f"{life.job.notes}.go", os.O_WRONLY)
            try:
                notes = life.notes.wait("begin", lambda found: len(found) == count, PATIENCE)
                begun = min(note.at for note in notes)
                ended = await_bytes(life, each)
            finally:
                os.close(go)

        paid = life.measure(write)
        seconds = (ended - begun) / 1e9
        rss = life.memory()["rss"]
        life.stop()
        checked = [check_lines(peer.written(life.job, index), index, each) for index in range(count)]
        lost = each * count - sum(newlines for newlines, _ in checked)
        if not lost and not all(same for _, same in checked):
            raise Broken("all lines are there, but not as they were written")
        lines = each * count / 1e6
        return {"rate": lines / seconds, "cpu": paid / lines, "lost": lost, "rss": rss}


def await_bytes(life: Life, each: int) -> int:
    """Waits until the files hold all lines, or no more came for 3 s; gives that moment in nanoseconds.

    The files are looked at when the writers have ended: to look at hundreds of them meanwhile would be measured too.
    """
    count = life.job.count
    wanted = each * count * LINE
    ends = life.notes.wait("end", lambda found: len(found) == count, PATIENCE)
    size, moment = -1, max(note.at for note in ends)
    while (now := time.monotonic_ns()) < moment + 3e9:
        paths = [path for index in range(count) for path in life.peer.written(life.job, index)]
        found = sum(path.stat().st_size for path in paths)
        if found != size:
            size, moment = found, now
        if found >= wanted:
            break
        time.sleep(0.001)
    return moment
