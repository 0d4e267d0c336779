"""What the kernel says about processes: who lives, whose child it is, what its environment holds. Reads only.

Everything here may be out of date when it returns: a pid is a number that another process may get. Who sends a signal
holds a pidfd, or compares `start` first. Linux only; elsewhere `available()` is false and every list is empty.

Known wart: a kernel without the `children` files, or a /proc that hides other users' processes, costs a whole scan.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proc:
    """One process as it was a moment ago. `start` is in clock ticks since boot; with `pid` it is an identity."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    alive: bool


def available() -> bool:
    return os.path.exists("/proc/self/stat")


def read(pid: int) -> Proc | None:
    """Reads one process; None when it is gone. A zombie is not alive, unless other threads of it still run."""
    text = _content(f"/proc/{pid}/stat")
    if not text:
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before it may hold anything
    alive = fields[0] not in (b"Z", b"X", b"x") or int(fields[17]) > 1
    return Proc(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), alive)


def children(pid: int) -> list[int] | None:
    """The direct children of all its threads, oldest first; None when this cannot be known from the process itself."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return [] if os.path.exists("/proc/1/stat") else None
    for thread in threads:
        text = _content(f"/proc/{pid}/task/{thread}/children")
        if text is None and not _HAS_CHILDREN:
            return None
        found += map(int, (text or b"").split())
    return found


def everyone() -> list[int]:
    """All pids that can be seen, in increasing order."""
    try:
        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    except OSError:
        return []


def adopters() -> list[int]:
    """Who may become the parent of an orphan of ours: this process, its ancestors, and the first process."""
    found, pid = [os.getpid()], os.getpid()
    while (proc := read(pid)) is not None and proc.parent > 0:
        pid = proc.parent
        found.append(pid)
    return found if 1 in found else [*found, 1]


def environment(pid: int) -> bytes:
    """Its environment as NUL-separated settings; empty when it is gone, another user's, or in the middle of exec."""
    return _content(f"/proc/{pid}/environ") or b""


def veiled(pid: int) -> bool:
    """Whether it has no environment just now, but had or will have one: in the middle of exec, or of its end."""
    text = _content(f"/proc/{pid}/stat")
    if not text or environment(pid):
        return False
    fields = text[text.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X", b"x"):
        return False
    if int(fields[6]) & _EXITING:
        return True
    return int(fields[48]) == 0 and _content(f"/proc/{pid}/environ") == b""  # None for another user's


def setting(pid: int, name: str) -> str:
    """The value of one variable of its environment, or ""."""
    prefix = name.encode() + b"="
    for item in environment(pid).split(b"\0"):
        if item.startswith(prefix):
            return item[len(prefix) :].decode("utf-8", "surrogateescape")
    return ""


def name(pid: int) -> str:
    """What the kernel calls it, at most 15 characters; "" when it is gone."""
    text = (_content(f"/proc/{pid}/comm") or b"").rstrip(b"\n").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def become_subreaper() -> bool:
    """Makes orphans below this process its children, for good; False where the system cannot."""
    import ctypes  # seldom needed, and slow to import

    try:
        return bool(ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0)  # PR_SET_CHILD_SUBREAPER
    except (OSError, AttributeError):
        return False


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None


_EXITING = 4
"""The kernel's PF_EXITING: its memory has gone, its children are not given away yet."""

_HAS_CHILDREN = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
