"""What the config file says of a worker that means nothing to the machine: program, logs, schedule.

Frozen dataclasses only. They are parts of `model.WorkerSpec`, because that is what is compared, stored, sent and shown;
everybody gets them from `model`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Free:
    """Space to be left free on a disk: a share of it (0 to 1) or a number of bytes, whichever is more."""

    share: float = 0.0
    size: int = 0

    def of(self, disk: int) -> int:
        """Bytes, on a disk that holds `disk` bytes."""
        return max(int(self.share * disk), self.size)


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """What is kept of the output of one worker: sizes in bytes, `keep` in seconds.

    A segment is the file that is written until it has the size `segment`; only those that are closed are compressed,
    and only those are deleted: past `max_worker`, past the age `keep`, or while less than `min_free` is free. On a
    full disk the worker waits `on_full` seconds (infinity: for ever), then its bytes are dropped and counted as a gap.
    """

    max_worker: int = 1024 * MIB
    keep: float = 14 * 86_400.0
    segment: int = 16 * MIB
    min_free: Free = Free(share=0.05)
    compress: bool = True
    on_full: float = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """A command of the config file, as the spawner needs it; every path absolute, every value expanded.

    `environment` holds only what the file sets (after `env_file`, which is read before); `inherit` says what comes
    from our own environment: all, nothing, or the named ones. `shell` means that `argv` is `/bin/sh -c TEXT` and
    that signals go to the whole tree. Without a ready probe, ready means: the leader stayed up `start_seconds`.

    `secrets` are variables whose value is in a file, as name to path; it is read at each start, so that a new value
    needs no reload, and is kept nowhere. `user` and `group` are names or numbers, looked up at each start. `limits`
    are sizes in bytes, `cpu` in cores, -1 for no limit. `hosted`: `argv` runs a function of the user's (`hosted.py`).
    """

    argv: tuple[str, ...]
    shell: bool = False
    directory: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    inherit: bool | tuple[str, ...] = True
    venv: str | None = None
    start_seconds: float = 1.0
    redirect_stderr: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    group: str | None = None
    umask: int | None = None
    nice: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    tty: bool = False
    hosted: bool = False


class Overlap(StrEnum):
    """What happens when a planned time comes while the run of an earlier one goes on."""

    SKIP = "skip"
    QUEUE = "queue"
    RESTART = "restart"


class Missed(StrEnum):
    """What happens when planned times passed while nobody could start anything."""

    RUN_ONCE = "run_once"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a worker is started by itself: at the times of five `cron` fields, or `every` so many seconds.

    `timezone` is a name of the tz database; "" is the zone of the host.
    """

    cron: str = ""
    timezone: str = ""
    every: float = 0.0
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.RUN_ONCE
