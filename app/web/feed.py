"""The journal as server-sent events, encoded once for all readers.

One task follows the journal while somebody reads. What comes at once goes out at once, then at most every 50 ms; each
flush is one piece of bytes in a small ring. A reader holds a position; one that fell behind the ring catches up from
the journal at its own cost. No HTTP here: `stream.py` answers requests with what this gives.

Known wart: operations are no events of the journal, so a reader that catches up misses those that settled meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from supervisor_core.journal import Cursor, Entry, Gap
from supervisor_core.messages import Changed, PhaseChanged, Removed

from ..host import Host
from ..watchers.outcome import Operation
from .timing import close, pause
from .wire import Rows, change, dump, frame, operation, when

FLUSH = 0.05
"""Seconds between two flushes while more comes."""

LARGEST = 256 * 1024
"""Bytes of one event."""

PIECES = 64
CROWD = 500
"""From that many changes in one flush on, only the last one of each worker is sent, with the causes of all."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The entries after `after` up to `last`, as bytes; both the same for what is not of the journal."""

    after: int
    last: int
    data: bytes


class Feed:
    """What all event streams of a host share. Belongs to one event loop."""

    def __init__(self, host: Host, rows: Rows, stopping: asyncio.Event) -> None:
        self._host = host
        self._rows = rows
        self._stopping = stopping
        self._readers = 0
        self._pieces: deque[Piece] = deque(maxlen=PIECES)
        self._given = 0
        self._last = 0
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._snapshot: tuple[tuple[int, int], bytes] = ((-1, 0), b"")
        self.over = False
        """Whether the host has left or everybody is told to: nothing more will come."""

    def start(self) -> None:
        """Begins to follow, unless it does already."""
        if not self._tasks:
            cursor = self._host.snapshot().cursor
            self._last = cursor.seq
            self._tasks = [
                asyncio.create_task(self._follow(cursor), name="feed"),
                asyncio.create_task(self._watch(), name="feed's end"),
            ]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take_operation(self, told: Operation) -> None:
        """Sends an operation to whoever reads now."""
        if self._readers:
            self._give(Piece(self._last, self._last, frame("operation", operation(told))))

    def wake(self) -> None:
        """Lets every reader look for what it has to say beside the journal."""
        self._moved.set()
        self._moved = asyncio.Event()

    # ------------------------------------------------------------ writing

    async def _follow(self, cursor: Cursor) -> None:
        try:
            async for batch in self._host.follow(cursor):
                if self.over:
                    return
                if isinstance(batch, Gap):
                    seq, data = self.snapshot()
                    self._publish(seq, self._gap(batch) + data)
                elif self._readers:
                    self._publish(batch[-1].seq, self.encode(batch))
                else:
                    self._last = batch[-1].seq
                await pause(FLUSH)
        finally:
            self._end()

    async def _watch(self) -> None:
        await self._stopping.wait()
        left = self._host.entries(self._last, PIECES * CROWD)
        if left and not isinstance(left, Gap) and self._readers:
            self._publish(left[-1].seq, self.encode(left))  # the last states, which no later flush would bring
        self._end()

    def _end(self) -> None:
        self.over = True
        self._moved.set()

    def _publish(self, last: int, data: bytes) -> None:
        piece = Piece(self._last, last, data)
        self._last = last
        self._give(piece)

    def _give(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._given += 1
        self.wake()

    # ------------------------------------------------------------ encoding

    def _gap(self, gap: Gap) -> bytes:
        boot = self._host.snapshot().cursor.boot
        return frame(
            "gap", {"from": f"{boot}:{gap.start}", "to": f"{boot}:{gap.end}", "count": gap.end - gap.start + 1}
        )

    def snapshot(self) -> tuple[int, bytes]:
        """The number as of which it is true, and the frame with everything; one encoding for all who ask meanwhile."""
        now = self._host.snapshot()
        of = now.cursor.seq, self._rows.version
        if self._snapshot[0] != of:
            rows = self._rows.all(now)
            head = dump({"cursor": str(now.cursor), "phase": now.phase, "time": when(self._host.now())})
            self._snapshot = (of, frame("snapshot", head[:-1] + b',"workers":' + rows + b"}", str(now.cursor)))
        return of[0], self._snapshot[1]

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The frames for some entries, in order; neighbouring changes share one."""
        boot = self._host.snapshot().cursor.boot
        if len(entries) >= CROWD:
            entries = _last_ones(entries)
        frames: list[bytes] = []
        held: list[bytes] = []
        size = last = 0

        def flush() -> None:
            nonlocal size
            if held:
                frames.append(frame("changed", b"[" + b",".join(held) + b"]", f"{boot}:{last}"))
                held.clear()
                size = 0

        for entry in entries:
            match entry.event:
                case Changed():
                    item = change(entry, self._rows.row(entry, boot))
                    if size + len(item) > LARGEST:
                        flush()
                    held.append(item)
                    size += len(item) + 1
                case Removed(name=name, by=by):
                    flush()
                    frames.append(frame("removed", {"name": name, "by": by}, f"{boot}:{entry.seq}"))
                case PhaseChanged(phase=phase, by=by):
                    flush()
                    frames.append(frame("phase", {"phase": phase, "by": by}, f"{boot}:{entry.seq}"))
            last = entry.seq
        flush()
        return b"".join(frames)

    # ------------------------------------------------------------ reading

    async def read(self, after: int | None) -> AsyncGenerator[bytes, None]:
        """Yields pieces of frames from strictly after number `after` (None: a snapshot first) until the host leaves.

        A number that turns out to be too old gets a `resync` and a snapshot. Yields b"" when there is nothing: the
        caller waits on `moved`.
        """
        self.start()
        self._readers += 1
        try:
            async for data in self._read(after):
                yield data
        finally:
            self._readers -= 1

    async def _read(self, after: int | None) -> AsyncIterator[bytes]:
        index = self._given
        if after is None:
            seq, data = self.snapshot()
            yield data
        else:
            seq, index = after, -1
        fresh = after is not None
        while True:
            oldest = self._given - len(self._pieces)
            if index < oldest:
                index = self._given
                if seq < self._last:
                    async for reached, data in self._catch_up(seq, self._last, fresh=fresh):
                        yield data
                        seq = reached
                fresh = False
                continue
            if index == self._given:
                if self.over:
                    return
                yield b""
                continue
            piece = self._pieces[index - oldest]
            index += 1
            if piece.after == piece.last or piece.after == seq:
                seq = piece.last
                yield piece.data
            elif piece.last > seq:
                async for reached, data in self._catch_up(seq, piece.last):
                    yield data
                    seq = reached

    @property
    def moved(self) -> asyncio.Event:
        """Set when there is more than now; ask anew each time."""
        return self._moved

    async def _catch_up(self, seq: int, until: int, *, fresh: bool = False) -> AsyncIterator[tuple[int, bytes]]:
        boot = self._host.snapshot().cursor.boot
        batches = self._host.follow(Cursor(boot, seq))
        try:
            async for batch in batches:
                if isinstance(batch, Gap):
                    seq, data = self.snapshot()
                    why = frame("resync", {"why": "expired"}) if fresh else self._gap(batch)
                    yield seq, why + data
                    return
                some = [entry for entry in batch if entry.seq <= until]
                if some:
                    seq = some[-1].seq
                    yield seq, self.encode(some)
                if seq >= until:
                    return
        finally:
            await close(batches)


def _last_ones(entries: Sequence[Entry]) -> list[Entry]:
    """The last change of each worker with the causes of all of them, in the order of the last ones."""
    kept: dict[Any, Entry] = {}
    for entry in entries:
        event = entry.event
        if not isinstance(event, Changed):
            kept[entry.seq] = entry
            continue
        before = kept.pop(event.status.name, None)
        if before is not None and isinstance(before.event, Changed):
            causes = tuple(dict.fromkeys((*before.event.causes, *event.causes)))
            entry = Entry(entry.seq, entry.time, Changed(event.status, causes, event.by))
        kept[event.status.name] = entry
    return list(kept.values())
