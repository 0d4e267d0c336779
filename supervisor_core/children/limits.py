"""What the limits of a worker become: files of its control group, limits of each process, or a sentence of regret.

Pure. Sizes in bytes, `cpu` in cores, `UNLIMITED` for no limit. Memory without a control group is RLIMIT_DATA and not
RLIMIT_AS: CUDA, Java, Go and sanitizers reserve address space by the terabyte and use little of it.

Known wart: without a control group `memory` counts for each process alone, and `pids` all processes of the user.
"""

import resource
from collections.abc import Collection, Mapping
from dataclasses import dataclass

UNLIMITED = -1
"""Also what `setrlimit` calls it."""

PERIOD = 100_000
"""Microseconds of one accounting period of `cpu.max`; the kernel's own default."""

RLIMITS: Mapping[str, int] = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "memlock": resource.RLIMIT_MEMLOCK,
    "memory": resource.RLIMIT_DATA,
    "nofile": resource.RLIMIT_NOFILE,
    "pids": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "stack": resource.RLIMIT_STACK,
}

CONTROLLERS: Mapping[str, str] = {"memory": "memory", "pids": "pids", "cpu": "cpu"}
"""The controller of a control group that does it better; its file is `NAME.max`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """`rlimits` are (name, number, value); `files` the names and contents in the control group; `said` for the log."""

    rlimits: tuple[tuple[str, int, int], ...] = ()
    files: Mapping[str, str] | None = None
    said: tuple[str, ...] = ()


def split(limits: Mapping[str, float], controllers: Collection[str] = (), *, root: bool = False) -> Parts:
    """Decides who keeps which limit. `controllers` are those of the worker's own group; `root`: it runs as root."""
    rlimits, files, said = [], {}, []
    for name, value in limits.items():
        if (controller := CONTROLLERS.get(name)) in controllers:
            files[f"{controller}.max"] = _content(name, value)
            continue
        if name in RLIMITS:
            rlimits.append((name, RLIMITS[name], int(value)))
        if value != UNLIMITED and (sentence := _shortfall(name, root)):
            said.append(f"limits.{name}: {sentence}")
    return Parts(tuple(rlimits), files, tuple(said))


def needed(limits: Mapping[str, float]) -> set[str]:
    """The controllers that limits ask for."""
    return {CONTROLLERS[name] for name, value in limits.items() if name in CONTROLLERS and value != UNLIMITED}


def _content(name: str, value: float) -> str:
    limit = "max" if value == UNLIMITED else str(int(value * PERIOD) if name == "cpu" else int(value))
    return f"{limit} {PERIOD}" if name == "cpu" else limit


def _shortfall(name: str, root: bool) -> str:
    """What is missing where no control group does it; "" for nothing."""
    match name:
        case "cpu":
            return "not in force, because no control group with the cpu controller is there"
        case "memory":
            return "holds for each process alone (as RLIMIT_DATA), because no control group with memory is there"
        case "pids" if root:
            return "not in force: no control group with pids is there, and the kernel's own limit spares root"
        case "pids":
            return "counts all processes of its user (as RLIMIT_NPROC), because no control group with pids is there"
        case "rss":
            return "not in force: Linux does not heed it; use limits.memory"
    return ""
