"""One writer a log folder, held by a lock on it that goes with the process."""

import fcntl
import os

from ..errors import SupervisorError
from .files import FILE_MODE, FOLDER_MODE


def take_lock(root: str) -> int:
    """Makes the folder and gives the descriptor that holds it. Raises `SupervisorError`."""
    try:
        os.makedirs(root, FOLDER_MODE, exist_ok=True)
        fd = os.open(os.path.join(root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise cannot_use(root, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise SupervisorError(
            f"another process writes the logs in {root}; end it, or choose another state folder"
        ) from None
    return fd


def cannot_use(root: str, error: OSError) -> SupervisorError:
    """A sentence that says why."""
    why = f"{error.strerror}: {error.filename}"
    return SupervisorError(f"the logs cannot be kept in {root} ({why}); mend it, or choose another state folder")
