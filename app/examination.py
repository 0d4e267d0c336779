"""What this kernel and this machine give to a service: each with its purpose, whether it is there, and what to do.

Looks, and tries out in a folder of its own that it takes away again; nothing else is changed. How it is printed is not
decided here. Known wart: it speaks for the user, and the group of processes, that it is run as.
"""

import contextlib
import fcntl
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from supervisor_core.children import procfs
from supervisor_core.children.cgroup import ground, own_group
from supervisor_core.keeper.foreign import how_it_ended

EACH = 8
"""File descriptors that the keeper holds for a worker which writes to both streams; the service holds three."""

REST = 64
"""File descriptors for everything else: sockets, connections, files of the keeper."""

PAGES = 16
"""Pages of a pipe of the usual size."""

LITTLE = 1024 * 1024 * 1024
"""Bytes of free space below which it is said."""

PROMPT_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")


@dataclass(frozen=True, slots=True)
class Finding:
    """`needed`: without it there is no service. `found` is what was seen; `remedy` is empty where nothing is to do."""

    name: str
    purpose: str
    good: bool
    found: str
    remedy: str = ""
    needed: bool = False


def examine(state: Path, logs: Path, workers: int, keeper: int) -> list[Finding]:
    """`workers` are in the config (0: it could not be read), `keeper` is the pid of what runs now, else 0."""
    place = next(folder for folder in (state, *state.parents) if folder.is_dir())
    findings = [*_kernel()]
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as name:
            findings += _folder(Path(name))
    except OSError as error:
        remedy = "choose another folder with --state, or mend its rights"
        findings.append(
            Finding("state folder", "holds lock, socket, records and logs", False, f"{place}: {error.strerror}", remedy,
                    needed=True)
        )  # fmt: skip
    return [*findings, *_groups(), *_limits(workers), *_space(place, logs), *_surroundings(keeper)]


def _tried(what: Callable[[], str]) -> tuple[bool, str]:
    """What it says, or why it cannot be had."""
    try:
        return True, what()
    except (OSError, AttributeError) as error:
        return False, getattr(error, "strerror", None) or str(error)


# ---------------------------------------------------------------- the kernel


def _kernel() -> Iterator[Finding]:
    good, found = _tried(_pidfd)
    yield Finding(
        "pidfd", "signals the right process, also when its number was given away", good, found,
        "" if good else "Linux 5.3 or newer, and a sandbox that lets pidfd_open through", needed=True,
    )  # fmt: skip
    good, found = _tried(_exit_by_pidfd)
    yield Finding(
        "exit status by pidfd", "how a worker ended is known even when the keeper was killed meanwhile", good, found,
        "" if good else "Linux 6.15 or newer; without it such an end is told as unknown",
    )  # fmt: skip
    good = procfs.become_subreaper()
    yield Finding(
        "subreaper", "children that a worker left behind come to the keeper", good, "can be set" if good else "refused",
        "" if good else "a sandbox that lets prctl through; without it they are found by their environment alone",
    )  # fmt: skip


def _pidfd() -> str:
    os.close(os.pidfd_open(os.getpid()))
    return "works"


def _exit_by_pidfd() -> str:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})
    pidfd = os.pidfd_open(pid)
    try:
        os.waitpid(pid, 0)
        ended = how_it_ended(pid, 0, pidfd)
    finally:
        os.close(pidfd)
    if ended.code != 7:
        raise OSError(0, f"not told by Linux {os.uname().release}")
    return "told"


# ---------------------------------------------------------------- the state folder


def _folder(folder: Path) -> Iterator[Finding]:
    for name, purpose, trial, remedy in (
        ("named pipes", "take a worker's output, and outlive keeper and service", _named_pipe, "one that has them"),
        ("splice", "moves output into files without a copy that could be lost", _splice, "a local one (ext4, xfs, …)"),
        ("flock", "lets nobody run the same instance twice", _flock, "a local one: not every network has locks"),
    ):
        good, found = _tried(lambda trial=trial: trial(folder))  # type: ignore[misc]
        told = f"{found} ({folder.parent})" if not good else found
        yield Finding(
            name, purpose, good, told, "" if good else f"put the state folder on another file system: {remedy}",
            needed=True,
        )  # fmt: skip


def _named_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    fd = os.open(folder / "pipe", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    finally:
        os.close(fd)
    return f"work, and hold {size // 1024} KiB each before a worker waits"


def _splice(folder: Path) -> str:
    reading, writing = os.pipe()
    fd = os.open(folder / "file", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(writing, b"x")
        os.splice(reading, fd, 1, offset_dst=0)
    finally:
        for each in (reading, writing, fd):
            os.close(each)
    return "works"


def _flock(folder: Path) -> str:
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)
    return "works"


# ---------------------------------------------------------------- control groups and limits


def _groups() -> Iterator[Finding]:
    purpose = "nothing of a daemon can flee, and all of it ends at one stroke"
    remedy = "give the service a group of its own (systemd: Delegate=yes); else daemons are followed by their marks"
    try:
        group = ground(own_group())
    except (OSError, StopIteration, ValueError) as error:
        yield Finding("cgroup v2", purpose, False, f"none here ({error})", remedy)
        return
    good = os.access(group, os.W_OK) and (group / "cgroup.procs").exists()
    yield Finding(
        "cgroup v2", purpose, good, f"{group} {'may' if good else 'may not'} be written", "" if good else remedy
    )
    have = set(_words(group / "cgroup.controllers")) if good else set()
    missing = sorted({"cpu", "memory", "pids"} - have)
    yield Finding(
        "cgroup controllers", "limits of memory, cpu and processes for a worker and all its children", not missing,
        f"there are {', '.join(sorted(have)) or 'none'}",
        "" if not missing else f"delegate {', '.join(missing)}; without it limits hold for each process alone, or not",
    )  # fmt: skip


def _limits(workers: int) -> Iterator[Finding]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # up to which keeper and service raise their own
    enough = max(0, limit - REST) // EACH
    yield Finding(
        "file descriptors", "keeper and service hold some for each worker", enough >= max(workers, 1),
        f"{limit}, enough for {enough} workers" + (f"; the config has {workers}" if workers else ""),
        "" if enough >= max(workers, 1) else f"raise it: ulimit -Hn {workers * EACH + REST} (systemd: LimitNOFILE=)",
        needed=True,
    )  # fmt: skip
    soft = int((_words(Path("/proc/sys/fs/pipe-user-pages-soft")) or ["0"])[0])
    pipes = soft // PAGES // 2
    good = not soft or os.geteuid() == 0 or pipes >= max(workers, 1)
    yield Finding(
        "pages for pipes", "a pipe of full size for both streams of each worker", good,
        "no limit for this user" if not soft or os.geteuid() == 0 else f"enough for {pipes} workers",
        "" if good else f"sysctl fs.pipe-user-pages-soft={workers * PAGES * 2}; beyond it pipes hold 4 to 8 KiB",
    )  # fmt: skip


# ---------------------------------------------------------------- the rest


def _space(place: Path, logs: Path) -> Iterator[Finding]:
    folder = logs if logs.is_dir() else place
    for name, where in {"free space for the state": place, "free space for the logs": folder}.items():
        free = shutil.disk_usage(where).free
        good = free >= LITTLE
        yield Finding(
            name, "records and output need room", good, f"{free / 2**30:.1f} GiB at {where}",
            "" if good else "free some, or let [logs] keep less; when it is full workers wait, as on_full says",
        )  # fmt: skip


def _surroundings(keeper: int) -> Iterator[Finding]:
    clock = " ".join(_words(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")))
    good = not clock or clock in PROMPT_CLOCKS
    yield Finding(
        "clock", "every line gets a time, so asking for it should be cheap", good, clock or "not told",
        "" if good else "a slow one: each line costs a call of the system; see the kernel's log for why",
    )  # fmt: skip
    hidden = _hidepid()
    good = not hidden or os.geteuid() == 0
    yield Finding(
        "/proc", "finds what fled from a worker", good, f"hidepid={hidden}" if hidden else "shows all processes",
        "" if good else "processes of other users are hidden: workers with a user of their own need root, or hidepid=0",
    )  # fmt: skip
    status = dict(line.split(":\t", 1) for line in _lines(Path("/proc/self/status")) if ":\t" in line)
    filtered = status.get("Seccomp", "0") != "0"
    yield Finding(
        "seccomp", "a filter of system calls may forbid some of the above", True,
        "a filter is in force; the lines above were tried under it" if filtered else "no filter",
    )  # fmt: skip
    root = os.geteuid() == 0 and status.get("NoNewPrivs", "0") == "0"
    yield Finding(
        "other users", "workers with a user of their own", root,
        "root may become anybody" if root else f"uid {os.geteuid()} may not become another user",
        "" if root else "leave `user` out of the config, or run the service as root",
    )  # fmt: skip
    scope = (_words(Path("/proc/sys/kernel/yama/ptrace_scope")) or ["0"])[0]
    good = scope != "3" or os.geteuid() == 0
    yield Finding(
        "ptrace", "debuggers, and a look at what belongs to others", good, f"scope {scope}",
        "" if good else "nothing of ours needs it; a debugger would",
    )  # fmt: skip
    first = " ".join(_words(Path("/proc/1/comm")))
    found = "the keeper of this service is process 1" if keeper == 1 else f"process 1 is {first or 'hidden'}"
    yield Finding("process 1", "it must collect orphans; a keeper can be it", True, found)


def _hidepid() -> str:
    """ "" where nothing is hidden."""
    for line in _lines(Path("/proc/self/mounts")):
        words = line.split()
        if words[1:3] == ["/proc", "proc"]:
            told = [option.partition("=")[2] for option in words[3].split(",") if option.startswith("hidepid=")]
            return told[0] if told and told[0] not in ("0", "off") else ""
    return ""


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace").splitlines()
    return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()
