"""What the process trees of workers use: processor, memory, descriptors, threads, IO, and GPUs where there are any.

`proc.py` reads one process, `trees.py` finds whose it is and sums up, `gpu.py` asks the driver, `sampler.py` is the
three in a thread; `history.py` remembers, `watch.py` says when there is something to do (never while nobody looks),
and `guard.py` holds workers to `limits.memory` and `memory_warn`. Here are the words that they share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FIELDS = ("cpu", "memory", "fds", "threads", "processes", "read", "written", "gpu", "gpu_memory")
"""What is measured of a tree, in the order of `Row.values`: `cpu` and `gpu` in percent of one core and of one GPU,
`memory` and `gpu_memory` in bytes, `read` and `written` in bytes a second from and to disks."""

MEMORY = FIELDS.index("memory")

PERIOD = 1.0
"""Seconds between two samples."""

Values = tuple[float | None, ...]
"""One number for each of `FIELDS`; None where it cannot be known, never 0."""


@dataclass(frozen=True, slots=True)
class Target:
    """A live run: its main process, and whether that has gone (`headless`) and left others."""

    worker: str
    run: int
    pid: int
    headless: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What one run used."""

    run: int
    values: Values

    @property
    def complete(self) -> bool:
        """Whether it has rates, too, unless nothing is known of it at all."""
        return self.values[0] is not None or self.values[MEMORY] is None


@dataclass(frozen=True, slots=True)
class Sample:
    """All at one moment; rates are means since `since`, which is `time` where there was no sample shortly before."""

    time: float
    since: float
    rows: Mapping[str, Row] = field(default_factory=dict)


def words(size: float) -> str:
    """A size for people: 812 MiB, 1.2 GiB."""
    for unit, bytes in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= bytes:
            return f"{size / bytes:.1f} {unit}"
    return f"{size:.0f} B"
