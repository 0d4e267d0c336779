"""What the config file says of a worker that means nothing to the machine: program, probes, hooks, logs, schedule.

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
    `notify`: it is given a NOTIFY_SOCKET; with `watchdog` it has to say there that it lives, each so many seconds.
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
    notify: bool = False
    watchdog: float = 0.0


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


@dataclass(frozen=True, slots=True)
class Probe:
    """How it is seen whether a run is ready, or alive. Times in seconds.

    `kind` is http, tcp, exec, log or notify; `target` is its address, HOST:PORT or unix:PATH, command in words, or
    pattern. It is looked at each `period` (until the first success each `first_period`), from `initial_delay` on; a
    look may take `timeout`. So many good (bad) looks in a row as a threshold says make it count. `headers` and the good
    answers `status` (None: 200 to 399) are for http. Where nothing can be looked at (log, notify), alive means that
    something was heard in each period.
    """

    kind: str
    target: str = ""
    argv: tuple[str, ...] = ()
    initial_delay: float = 0.0
    period: float = 10.0
    first_period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    headers: Mapping[str, str] = field(default_factory=dict)
    status: frozenset[int] | None = None

    def __str__(self) -> str:
        """In words, for people: "http http://127.0.0.1:8000/", "log /listening/"."""
        target = f"/{self.target}/" if self.kind == "log" else self.target
        return f"{self.kind} {target}".rstrip()


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands of a worker at points of each run, each as argv, empty for none; `timeout` in seconds is for each."""

    before_start: tuple[str, ...] = ()
    after_ready: tuple[str, ...] = ()
    stop_command: tuple[str, ...] = ()
    after_stop: tuple[str, ...] = ()
    timeout: float = 30.0
