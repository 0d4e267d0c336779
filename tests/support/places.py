"""A log folder whose writer is started and ended again and again, and whose files a test may lay hands on."""

from itertools import count
from pathlib import Path

from supervisor_core.children.segments import SegmentStore


class Place:
    """`time` is where the writer's clock begins, in seconds; each look at it is a millisecond later."""

    def __init__(self, root: Path, segment: int) -> None:
        self.root = root
        self.segment = segment
        self.time = 1e9
        self.store: SegmentStore | None = None
        self._ticks = count()

    def start(self, segment: int | None = None, **settings) -> SegmentStore:
        """Ends the writer that is there and starts another one, with the place's segment size or this one."""
        self.stop()
        size = self.segment if segment is None else segment
        self.store = SegmentStore(self.root, now=lambda: self.time + next(self._ticks) / 1e3, segment=size, **settings)
        return self.store

    def stop(self) -> None:
        if self.store is not None:
            self.store.close()
        self.store = None

    def files(self, end: str) -> list[Path]:
        """Those of the worker's output with this ending, oldest first, and nothing but segments."""
        return sorted(self.root.glob(f"by-id/*/out/0*{end}"))
