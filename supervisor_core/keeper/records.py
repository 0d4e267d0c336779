"""An append-only file of checked records, which is whole after any crash: what it was, up to a record that was written.

No meaning: what the records say is `book.py`'s. Known wart: bytes that are damaged on the disk take the records behind
them along, since what follows a hole may build on what was in it.

    length (4 bytes, little-endian)  crc32 of length and payload (4 bytes)  payload

The first record is `HEADER`. A file comes into being under another name and takes its own when it is on the disk, so
that there is never one without a header.
"""

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Iterable
from zlib import crc32

from ..errors import SupervisorError
from ..failing import point

NAME = b"quarterdeck records"
NUMBER = 1
"""Raised when an older version could no longer keep what it does not know."""

HEADER = b"%s %d" % (NAME, NUMBER)
NEW = ".new"
"""Ends the name of a file that is not finished."""

_HEAD = struct.Struct("<II")
_LENGTH = struct.Struct("<I")


class Records:
    """One file, open for appending. Raises OSError, and SupervisorError when a newer version wrote it.

    Opening keeps all records before the first bad one and cuts the rest off. `damaged` is "" when that was nothing or
    what a crash leaves of one record; else it says where the rest has been saved. `size` is in bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.damaged = ""
        self.size = 0
        self._fd = -1
        self._ragged = False
        """Whether a part of a record may stand behind the end."""
        self._lost: OSError | None = None
        """Why a sync failed: the kernel tells it once and may then have dropped what it could not write."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + NEW)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            self.rewrite(())
            return
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", self.path)
        data = self._read()
        payloads, self.size = _whole(data)
        number = _number(payloads[0]) if payloads else 0
        if number > NUMBER:
            raise SupervisorError(
                f"{self.path} has format {number} of a newer version, and this one knows {NUMBER} at most;"
                " start the newer version, or move the file away to begin without what it says"
            )
        if not number:
            self.size = 0
        tail = data[self.size :]
        if not number or not _torn(tail):
            self._save(tail)
        if not number:
            self.rewrite(())
        elif tail:
            os.ftruncate(self._fd, self.size)

    def _read(self) -> bytes:
        parts, at = [], 0
        while part := os.pread(self._fd, 1 << 20, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def _save(self, tail: bytes) -> None:
        """Puts what is cut off beside the file. A full disk does not keep anybody from starting."""
        if not tail:
            self.damaged = f"{self.path} was empty, which it is never left"
            return
        self.damaged = f"{self.path} was damaged from byte {self.size} on; {len(tail)} bytes are not used"
        saved = ""
        try:
            fd, saved = _new_beside(self.path)
            with open(fd, "wb") as file:
                file.write(tail)
        except OSError as error:
            self.damaged += f", nor could they be saved: {error.strerror}"
            if saved:
                with contextlib.suppress(OSError):
                    os.unlink(saved)
        else:
            self.damaged += f" and were saved as {saved}"

    def payloads(self) -> list[bytes]:
        """All records of the file, oldest first, without the header."""
        return _whole(self._read()[: self.size])[0][1:]

    def append(self, *payloads: bytes) -> None:
        """Writes records at the end: they outlive this process when it returns. Raises OSError; then none is there."""
        data = b"".join(map(_record, payloads))
        at = self.size
        try:
            self._check_named()
            if self._ragged:
                os.ftruncate(self._fd, self.size)
                self._ragged = False
            point("record due")
            while data:
                written = os.pwrite(self._fd, data, at)
                at += written
                data = data[written:]  # the rest of a short write tells the reason
            point("record written")
        except OSError:
            self._ragged = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
                self._ragged = False
            raise
        self.size = at

    def sync(self) -> None:
        """Returns when all records would survive a power cut.

        Raises OSError when they might not, and then always, until a `rewrite` has succeeded.
        """
        if self._lost is not None:
            raise OSError(self._lost.errno, f"an earlier sync failed: {self._lost.strerror}", self.path)
        try:
            self._check_named()
            point("records due to be synced")
            os.fdatasync(self._fd)
            point("records synced")
        except OSError as error:
            self._lost = error
            raise

    def rewrite(self, payloads: Iterable[bytes]) -> None:
        """Puts these records in the place of all others, and on the disk. Raises OSError; then the old ones rule.

        Where only the last step failed the new ones are in force, and `sync` raises.
        """
        data = b"".join(map(_record, (HEADER, *payloads)))
        new = self.path + NEW
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            at = 0
            while at < len(data):
                at += os.pwrite(fd, data[at:], at)
            point("records copied")
            os.fsync(fd)
            point("copy synced")
            os.rename(new, self.path)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        self.close()
        self._fd, self.size, self._ragged, self._lost = fd, len(data), False, None
        try:
            point("copy renamed")
            _sync_folder(os.path.dirname(self.path) or ".")
            point("records replaced")
        except OSError as error:
            self._lost = error
            raise

    def _check_named(self) -> None:
        """What is in a file that somebody deleted is lost with this process."""
        if os.fstat(self._fd).st_nlink == 0:
            raise OSError(errno.ENOENT, "somebody deleted it", self.path)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _record(payload: bytes) -> bytes:
    length = _LENGTH.pack(len(payload))
    return b"%s%s%s" % (length, _LENGTH.pack(crc32(payload, crc32(length))), payload)


def _at(data: bytes, at: int) -> bytes | None:
    """The payload of the whole record that begins there; None when there is none."""
    if at + _HEAD.size > len(data):
        return None
    length, check = _HEAD.unpack_from(data, at)
    begin = at + _HEAD.size
    if begin + length > len(data):
        return None
    payload = data[begin : begin + length]
    return payload if crc32(payload, crc32(data[at : at + _LENGTH.size])) == check else None


def _whole(data: bytes) -> tuple[list[bytes], int]:
    """The payloads before the first bad record, and where that begins."""
    payloads, at = [], 0
    while (payload := _at(data, at)) is not None:
        payloads.append(payload)
        at += _HEAD.size + len(payload)
    return payloads, at


def _torn(tail: bytes) -> bool:
    """Whether this is what a crash leaves of one record: a part of it, behind which a disk may have put zeros."""
    tail = tail.rstrip(b"\0")
    if len(tail) > _HEAD.size and _HEAD.size + _LENGTH.unpack_from(tail)[0] <= len(tail):
        return False
    return all(_at(tail, at) is None for at in range(1, len(tail)))


def _number(header: bytes) -> int:
    """The format number in a header, 0 when it is none."""
    name, _, number = header.rpartition(b" ")
    return int(number) if name == NAME and number.isdigit() and len(number) < 10 else 0


def _new_beside(path: str) -> tuple[int, str]:
    """A new file for what is damaged, under the first number that is free."""
    number = 1
    while True:
        name = f"{path}.damaged-{number}"
        try:
            return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), name
        except FileExistsError:
            number += 1


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
