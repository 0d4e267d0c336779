"""Processes that are not ours to wait for: the workers of a keeper that was killed, as its successor meets them.

Who they are is told by pid, start time and boot together. How they ended the kernel tells whoever holds a pidfd, once
their parent has collected them (Linux 6.15), and the zombie's own entry in /proc until then.
"""

import fcntl
import os
import struct
from collections.abc import Collection

from ..children import TAG, Ended, procfs, room
from ..children.procfs import Proc

LOST = "unknown: it ended while nobody watched it, and the system does not tell afterwards"

LOOKING = 3
"""Descriptors that it takes to look for a process: of itself, and of what the system says of it."""

_GET_INFO = 0xC040FF0B
"""PIDFD_GET_INFO, `_IOWR(0xff, 11, struct pidfd_info)` of linux/pidfd.h."""

_EXIT = 1 << 3
"""PIDFD_INFO_EXIT."""

_HEAD, _STATUS = struct.Struct("=Q"), struct.Struct("=i")
_STATUS_AT, _SIZE = 60, 64


def boot_id() -> str:
    """Tells one life of the system from the next; "" where it is not told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def leaders_by_tag(tags: Collection[str]) -> dict[str, Proc]:
    """The main processes of the runs that these tags name: of each the eldest that leads its session.

    Raises OSError where no more may be open, so that nobody can know.
    """
    room.need(LOOKING)
    found: dict[str, Proc] = {}
    for pid in procfs.everyone():
        for tag in procfs.setting(pid, TAG).split()[-1:]:
            proc = procfs.read(pid) if tag in tags else None
            if proc is not None and proc.session == pid and (tag not in found or proc.start < found[tag].start):
                found[tag] = proc
    return found


def open_same(pid: int, start: int) -> int | None:
    """A pidfd of the process that has this number and began then; None when it is gone (a zombie is still there).

    Raises OSError where no more may be open, so that nobody can know.
    """
    room.need(LOOKING)
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        if error.errno in room.FULL:
            raise
        return None
    proc = procfs.read(pid)
    if proc is None or proc.start != start:
        os.close(fd)
        return None
    return fd


def how_it_ended(pid: int, start: int, pidfd: int | None) -> Ended:
    """How a process that has ended did so, as far as anybody can know."""
    status = _status_of_zombie(pid, start)
    if status is None and pidfd is not None:
        status = _status_by(pidfd)
    if status is None:
        return Ended(reason=LOST)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code=code) if code >= 0 else Ended(signal=-code)


def _status_of_zombie(pid: int, start: int) -> int | None:
    """Field 52 of proc(5)'s stat, which is 0 for who may not look: then it tells nothing."""
    try:
        if os.geteuid() not in (0, os.stat(f"/proc/{pid}").st_uid):
            return None
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[49]) if fields[0] == b"Z" and int(fields[19]) == start else None


def _status_by(pidfd: int) -> int | None:
    info = bytearray(_SIZE)
    _HEAD.pack_into(info, 0, _EXIT)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError:
        return None
    return int(_STATUS.unpack_from(info, _STATUS_AT)[0]) if _HEAD.unpack_from(info)[0] & _EXIT else None
