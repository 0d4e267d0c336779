"""Our files under their names: opened whatever stands there, and told from others that took their place.

Known wart: who replaces a file between two looks (`writer.LOOK`) is noticed at the next one.
"""

import errno
import os
import stat

from .files import FILE_MODE

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def open_own(path: str) -> int:
    """Opens a file of ours, and makes it where it is not; what is no file in its place is taken away."""
    try:
        fd = os.open(path, _FLAGS | os.O_NONBLOCK, FILE_MODE)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    else:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    os.unlink(path)
    return os.open(path, _FLAGS | os.O_EXCL, FILE_MODE)


def is_own(fd: int, path: str) -> bool:
    """Whether `path` is this very file; another one in its place is put aside, so that nobody reads it as ours."""
    try:
        if os.path.samestat(os.fstat(fd), os.lstat(path)):
            return True
        os.replace(path, f"{path}.foreign")
    except FileNotFoundError:
        pass
    return False


def make_sure_of_room(path: str) -> None:
    """Raises OSError where there is no room for a new file; tried with one that is taken away again."""
    fd = os.open(path, _FLAGS, FILE_MODE)
    try:
        if os.pwrite(fd, bytes(4096), 0) < 4096:
            raise OSError(errno.ENOSPC, "no room for a segment", path)
    finally:
        os.close(fd)
        os.unlink(path)
