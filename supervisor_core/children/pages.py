"""Pages over several streams, read from the files alone: what a view, a key and a limit give.

Needs the tree of folders and the watermark, not the writer, so that another process can have it. Nothing is written.

Known wart: a segment that retention deletes in the midst of a call makes the call begin again.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from ..lines import FULL, Histogram, Item, Line, Page, View, make_key, marks_stream, parse_key
from ..merge import Cost, Merged, Passed, merge
from ..needles import Needles
from .files import StreamFiles
from .histogram import count_lines
from .index import Vanished
from .raw import RawBytes
from .reader import StreamReader

_Result = TypeVar("_Result")


class Tree(Protocol):
    """The streams that there are."""

    def of(self, workers: Iterable[str]) -> list[StreamFiles]:
        """Those of these workers, with all that was written before the call."""
        ...


class Pages:
    """The reading half of a `LogStore`. `watermark` gives the stamp up to which everything is written.

    It is asked first, then the tree: so nothing up to it is missing there.
    """

    def __init__(self, folders: Tree, watermark: Callable[[], int]) -> None:
        self._folders = folders
        self._watermark = watermark

    def after(self, view: View, key: str, limit: int) -> Page:
        stamp, offset = parse_key(key)
        return _again(lambda: self._after(view, stamp, offset, limit))

    def before(self, view: View, key: str, limit: int) -> Page:
        stamp, offset = parse_key(key)
        return _again(lambda: self._before(view, stamp, offset, limit))

    def tail(self, view: View, count: int) -> Page:
        return _again(lambda: self._tail(view, count))

    def at(self, view: View, time: float, limit: int) -> Page:
        watermark = self._watermark()
        micros = int(time * 1e6)
        found = [s for files in self._streams(view) if (s := _since(files, micros)) is not None]
        return self.after(view, make_key(max(min(found, default=watermark + 1) - 1, 0), FULL), limit)

    def histogram(self, view: View, edges: Sequence[float]) -> Histogram:
        def count() -> Histogram:
            watermark = self._watermark()
            return count_lines(self._streams(view), watermark, edges)

        return _again(count)

    def raw(self, worker: str, stream: str) -> RawBytes:
        def begin() -> RawBytes:
            watermark = self._watermark()
            found = (files for files in self._folders.of((worker,)) if files.stream == stream)
            return RawBytes(next(found, None), watermark)

        return _again(begin)

    def _after(self, view: View, stamp: int, offset: int, limit: int) -> Page:
        with _Reading(view, self._watermark(), self._streams(view)) as reading:
            stamp, offset = min((stamp, offset), (reading.watermark, FULL))
            found = reading.merge((r.forward(stamp, offset) for r in reading.readers), limit)
            key = make_key(stamp, offset)
            if found.more:
                return reading.page(found.items, found.last or key, more=True)
            return reading.end(found.items, found.hid, key)

    def _before(self, view: View, stamp: int, offset: int, limit: int) -> Page:
        with _Reading(view, self._watermark(), self._streams(view)) as reading:
            found = reading.merge((r.backward(stamp, offset) for r in reading.readers), limit, backward=True)
            items = found.items[::-1]
            key = make_key(stamp, offset)
            return reading.page(items, items[-1].key or key if items else key, first=found.last or key, more=found.more)

    def _tail(self, view: View, count: int) -> Page:
        with _Reading(view, self._watermark(), self._streams(view)) as reading:
            found = reading.merge((r.backward(FULL, FULL) for r in reading.readers), count, backward=True)
            first = found.last or make_key(reading.watermark, FULL)
            return reading.end(found.items[::-1], found.hid, "", first=first, more=found.more)

    def _streams(self, view: View) -> list[StreamFiles]:
        return [files for files in self._folders.of(dict.fromkeys(view.workers)) if files.stream in view.streams]


class _Reading:
    """One call: the watermark that was taken first, then the streams."""

    def __init__(self, view: View, watermark: int, streams: Iterable[StreamFiles]) -> None:
        self.watermark = watermark
        self._view = view
        self._cost = Cost()
        self._streams = [files for files in streams if files.bases]
        marks = marks_stream(view.streams)
        needles = Needles(view.words) if view.match else None
        self.readers = [
            StreamReader(f, watermark, self._cost, marks=f.stream == marks, needles=needles) for f in self._streams
        ]

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *exc: object) -> None:
        for reader in self.readers:
            reader.release()

    def merge(self, sources: Iterable[Iterable[Item | Passed]], limit: int, *, backward: bool = False) -> Merged:
        return merge(list(sources), limit, self._view.match, self._cost, backward=backward)

    def end(self, items: list[Item], hid: bool, key: str, *, first: str | None = None, more: bool = False) -> Page:
        """A page that reaches the present."""
        found = [reader.open_line() for reader in self.readers]
        opened = tuple(line for line in found if line is not None)
        following = max(key, make_key(self.watermark, FULL))
        if items and not hid and not opened:
            following = items[-1].key or following
        return self.page(items, following, first=first, more=more, opened=opened, newest=following)

    def page(
        self,
        items: list[Item],
        following: str,
        *,
        first: str | None = None,
        more: bool = False,
        opened: tuple[Line, ...] = (),
        newest: str = "",
    ) -> Page:
        oldest = [make_key(files.first(files.bases[0])[0], files.bases[0]) for files in self._streams]
        last = max((min(files.last, self.watermark) for files in self._streams), default=0)
        return Page(
            items=tuple(items),
            next=following,
            first=first if first is not None else (items[0].key or following if items else following),
            oldest=min(oldest, default=""),
            newest=newest or (make_key(last, FULL) if last else ""),
            expired_bytes=sum(files.bases[0] for files in self._streams),
            open=opened,
            more=more,
        )


def _again(read: Callable[[], _Result]) -> _Result:
    """Reads again when retention deleted a segment in the midst of it."""
    for _ in range(100):
        try:
            return read()
        except Vanished:
            continue
    return read()


def _since(files: StreamFiles, time: int) -> int | None:
    """The stamp of the first record that is not older than `time`, in microseconds. A segment may have no record."""
    for n in range(len(files.bases) - 1, -1, -1):
        if n == 0 or 0 < files.first(files.bases[n])[1] < time:
            with files.open_index(files.bases[n]) as index:
                i = index.find_time(time)
                if i < index.count:
                    return index.get(i).stamp
            return files.first(files.bases[n + 1])[0] if n + 1 < len(files.bases) else None
    return None
