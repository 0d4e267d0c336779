"""The named pipes of the runs: one a stream, in a folder of the owner's alone.

A name lets a later keeper open the pipe again; who writes to it has it open anyway. Known wart: a name that a killed
keeper left behind is removed when its run is forgotten, or when the next keeper tidies up.
"""

import contextlib
import errno
import os
import zlib
from collections.abc import Collection

from ..children import plain, room
from ..errors import CannotStart

_LONGEST = 150
_NONE = frozenset({errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What file systems say that have no named pipes."""


class Folder:
    """The pipes in `folder`, which is made."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def path(self, worker: str, run: int, stream: str) -> str:
        return os.path.join(self._folder, _name(worker, run, stream))

    def make(self, worker: str, run: int, stream: str) -> tuple[int, int]:
        """Makes the pipe; gives its reading end, non-blocking, and the end for a worker.

        The latter reads, too, and blocks. Raises `CannotStart`, and OSError where no more may be open.
        """
        path = self.path(worker, run, stream)
        try:
            return _make(path)
        except OSError as error:
            if error.errno in room.FULL:
                raise
            remedy = "put the state folder on another file system (--state)" if error.errno in _NONE else "mend that"
            raise CannotStart(
                f"{worker}: the named pipe {path} for its output cannot be made ({error.strerror}); {remedy}",
                permanent=False,
            ) from error

    def reopen(self, worker: str, run: int, stream: str) -> int | None:
        """The reading end of a pipe that an earlier keeper made; None when it is gone. Raises OSError."""
        try:
            return os.open(self.path(worker, run, stream), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in room.FULL:
                raise
            return None

    def remove(self, worker: str, run: int, stream: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path(worker, run, stream))

    def tidy(self, kept: Collection[tuple[str, int, str]]) -> None:
        """Removes the names that belong to none of these (worker, run, stream)."""
        names = {_name(*key) for key in kept}
        for name in os.listdir(self._folder):
            if name not in names:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self._folder, name))


def _make(path: str) -> tuple[int, int]:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.mkfifo(path, 0o600)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return reading, os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        os.close(reading)
        raise


def _name(worker: str, run: int, stream: str) -> str:
    """Different for different ones, also where a long name had to be cut."""
    name = plain(worker)
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}~{zlib.crc32(worker.encode('utf-8', 'surrogateescape')):08x}"
    return f"{name}.{run}.{stream}"
