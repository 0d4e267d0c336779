"""What a page costs the worker that it shows: one floods its log, and somebody looks or not, in turns.

Windows go nobody, unread, nobody, read, and so on, so each that is looked at stands between two that are not and is
compared with the mean of those. Known wart: on two cores whoever reads takes the CPU from whom it reads, ours included.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .life import Broken, Life, live
from .peers import WATCHED, Peer

ENTER = 0.5
"""Seconds of each window before it counts: buffers are full then, and a reader has caught up."""

TURNS = ("unread", "read")


def watched(peer: Peer, turns: int, seconds: float) -> dict[str, Any]:
    """Gives lines a second with nobody there, and how many percent less they are in each window with somebody."""
    with live(peer, WATCHED, 1, [0]) as life:
        life.await_all()
        life.settle()
        (place,) = Path(f"{life.job.notes}.written").iterdir()
        windows: dict[str, list[tuple[float, float]]] = {turn: [] for turn in ("alone", *TURNS)}
        for _ in range(turns):
            for turn in TURNS:
                windows["alone"].append(_window(life, place, seconds))
                with _looking(life, read=turn == "read") as got:
                    windows[turn].append(_window(life, place, seconds))
                if turn == "read" and not got[0]:
                    raise Broken("nothing was read")
        windows["alone"].append(_window(life, place, seconds))
    return figures(windows)


def figures(windows: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Rates and CPU; each window beside its two neighbours, and to know what is noise, those with nobody as well."""
    alone = [rate for rate, _ in windows["alone"]]
    found: dict[str, Any] = {"alone": [rate / 1e6 for rate in alone]}
    for first, turn in enumerate(TURNS):
        beside = [(alone[i] + alone[i + 1]) / 2 for i in range(first, len(alone) - 1, len(TURNS))]
        found[turn] = [(1 - rate / mean) * 100 for (rate, _), mean in zip(windows[turn], beside, strict=True)]
    found["noise"] = [(1 - 2 * b / (a + c)) * 100 for a, b, c in zip(alone, alone[1:], alone[2:], strict=False)]
    return found | {f"{turn}_cpu": [paid for _, paid in some] for turn, some in windows.items()}


def _window(life: Life, place: Path, seconds: float) -> tuple[float, float]:
    """Lines a second that the worker's writes take, by its own count; and the supervisor's CPU seconds a million."""
    time.sleep(ENTER)
    counted: list[tuple[int, float]] = []

    def look() -> None:
        counted.append((_count(place), time.monotonic()))
        time.sleep(seconds)
        counted.append((_count(place), time.monotonic()))

    paid = life.measure(look)
    (before, begun), (after, ended) = counted
    if after == before:
        raise Broken("nothing was written")
    return (after - before) / (ended - begun), paid * 1e6 / (after - before)


def _count(place: Path) -> int:
    return int.from_bytes(place.read_bytes(), "little")


@contextmanager
def _looking(life: Life, *, read: bool) -> Iterator[list[int]]:
    """Has a stream of the worker's log open; takes nothing, or everything. Gives how many bytes, once it is over."""
    got = [0]
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(10)
        stream.connect(str(life.job.folder / "state" / "socket"))
        stream.sendall(b"GET /api/v1/workers/w0000/logs/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if b" 200 " not in (head := stream.recv(1000)):
            raise Broken(f"no stream: {head[:100]!r}")

        def take() -> None:
            with suppress(OSError):
                while piece := stream.recv(1 << 20):
                    got[0] += len(piece)

        reader = threading.Thread(target=take)
        if read:
            reader.start()
        try:
            yield got
        finally:
            stream.shutdown(socket.SHUT_RDWR)
            if read:
                reader.join()
