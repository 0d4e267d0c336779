"""A supervisor's process is killed again and again while its workers write; then everything is counted.

What a worker wrote is counted by the worker, in a file that outlives it; what arrived, line by line in the files of the
supervisor. Known wart: a worker that is killed between a write and its count has written up to ten lines more.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import processes
from .life import Broken, Life, live
from .notes import LINE
from .peers import SURVIVE, Peer
from .peers.killed import Killed

PATIENCE = 20.0
"""Seconds until a supervisor that does not answer is given up."""

QUIET = 1.5
"""Seconds without a new byte after which all has arrived that will."""

LEFT = 5.0
"""Seconds for a supervisor to leave; what lost its own supervisor hears no order."""

BETWEEN = 0.5
"""Seconds from an answer to the next kill."""

WRITTEN = re.compile(rb"w(\d{4}) (\d{10}) p(\d+) x+\n?")


def survive(peer: Peer, count: int, deaths: int, rate: int) -> dict[str, Any]:
    """Kills a process of it so often under so many writers; counts lines, workers, ends, seconds."""
    assert isinstance(peer, Killed)
    with live(peer, SURVIVE, count, [rate]) as life:
        life.await_all()
        first = dict(life.notes.latest)
        _until(lambda: peer.answers(life.job), "did not answer at first")
        peer.ready(peer.environment)
        back = [_death(peer, life) for _ in range(deaths)]
        time.sleep(BETWEEN)
        life.notes.new()
        touched = sum(not _lives(life, note.pid) for note in first.values())
        living = [note for note in life.notes.seen["start"] if _lives(life, note.pid)]
        found = _seal(peer, life, {note.pid: note.worker for note in living})
        _settle(life)
        _end(peer, life)
        return found | {
            "back": back,
            "touched": touched,
            "twice": len(living) - len({note.worker for note in living}),
            **_lines(life),
        }


def _death(peer: Killed, life: Life) -> float:
    """One kill; gives the seconds until it answers that all workers run."""
    victims = peer.victims(life.main.pid, life.own())
    if not victims:
        raise Broken("there was nobody to kill")
    watched = processes.Watched(victims)
    begun = time.monotonic()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    watched.wait(PATIENCE)
    if peer.again:
        life.main.wait(PATIENCE)
        life.main = life.start(peer.revival(life.command))
        if peer.leaves:
            life.main.wait(PATIENCE)
    _until(lambda: peer.answers(life.job), "did not answer any more")
    taken = time.monotonic() - begun
    time.sleep(BETWEEN)
    return taken


def _until(there: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if there():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise Broken(f"{otherwise} within {PATIENCE:g} s")
        time.sleep(0.01)


def _lives(life: Life, pid: int) -> bool:
    return processes.runs(pid) and processes.has_argument(pid, str(life.job.notes))


def _seal(peer: Killed, life: Life, living: dict[int, int]) -> dict[str, Any]:
    """Has all that live end with their own codes; compares those with what the supervisor says of all ends so far."""
    started = {note.pid for note in life.notes.seen["start"]}
    Path(f"{life.job.notes}.over").touch()
    watched = processes.Watched(living)
    for pid in living:
        os.kill(pid, signal.SIGUSR1)
    if left := watched.wait(PATIENCE):
        raise Broken(f"{left} writers did not end: nobody reads what they write")
    last = {worker: pid for pid, worker in living.items()}
    right, end = -1, time.monotonic() + 3.0
    while right < len(last) and time.monotonic() < end:
        try:
            said = peer.codes(life.job)
        except OSError:
            said = {}
        if said is None:
            return {"ends": len(started)}
        right = sum(said.get(worker) == worker + 1 for worker in last)
        time.sleep(0.05)
    return {"ends": len(started), "unexplained": len(started) - right}


def _settle(life: Life) -> None:
    """Waits until nothing more comes into the files."""
    size, since, end = -1, time.monotonic(), time.monotonic() + PATIENCE
    while (now := time.monotonic()) < min(since + QUIET, end):
        found = sum(path.stat().st_size for i, _ in life.job.names() for path in life.peer.written(life.job, i))
        if found != size:
            size, since = found, now
        time.sleep(0.05)


def _end(peer: Killed, life: Life) -> None:
    """An orderly stop, so that all that was read is in the files; who does not end is killed later."""
    own = processes.Watched(life.own())
    try:
        peer.stop(life.main)
        own.wait(LEFT)
    finally:
        own.close()


@dataclass
class Tally:
    """Lines of one worker, over all of its lives."""

    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0


def _lines(life: Life) -> dict[str, Any]:
    accepted: dict[int, dict[int, int]] = {index: {} for index in range(life.job.count)}
    for place in Path(f"{life.job.notes}.written").iterdir():
        index, _, pid = place.name.partition(".")
        accepted[int(index)][int(pid)] = int.from_bytes(place.read_bytes(), "little")
    tallies = [tally(life.peer.written(life.job, index), index, lives) for index, lives in accepted.items()]
    return {
        "lines": sum(one.accepted for one in tallies),
        "lost": sum(one.lost for one in tallies),
        "doubled": sum(one.doubled for one in tallies),
        "torn": sum(one.torn for one in tallies),
    }


def tally(paths: Iterable[Path], index: int, accepted: dict[int, int]) -> Tally:
    """Compares the lines in files that follow each other with how many each life of the worker wrote."""
    seen: dict[int, set[int]] = {pid: set() for pid in accepted}
    found = Tally(sum(accepted.values()))
    for line in b"".join(path.read_bytes() for path in paths).splitlines(keepends=True):
        told = WRITTEN.fullmatch(line)
        if len(line) != LINE or told is None or int(told[1]) != index or int(told[3]) not in seen:
            found.torn += 1
            continue
        numbers, number = seen[int(told[3])], int(told[2])
        found.doubled += number in numbers
        numbers.add(number)
    found.lost = sum(len(set(range(lines)) - seen[pid]) for pid, lines in accepted.items())
    return found
