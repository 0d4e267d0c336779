"""Compresses the keeper's closed segments in the service, which has time for it; the keeper only puts them in place.

Known wart: a segment that could not be put in place is tried again only once files have come or gone.
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..children.files import NEW, StreamFiles
from ..children.recovery import is_less
from ..children.segments import PLAIN
from ..children.upkeep import Upkeep
from ..errors import SupervisorError
from .logfolders import KeptFolders

if TYPE_CHECKING:
    from ..declared import LogPolicy

EVERY = 15.0
"""Seconds between two looks whether any file came or went."""

Swap = Callable[[str, str, int, str], bool]


class Packing:
    """See `KeptLogs.maintain`. Has a thread until it is closed."""

    def __init__(self, folders: KeptFolders, policy_of: "Callable[[str], LogPolicy]", swap: Swap) -> None:
        self._folders = folders
        self._policy_of = policy_of
        self._swap = swap
        self._changes = -1
        self._packed: dict[StreamFiles, int] = {}
        """The last segment of a stream up to which all are compressed."""
        self._upkeep = Upkeep(time.monotonic, self._look, self._put)
        self._upkeep.by(0.0)

    def close(self) -> None:
        self._upkeep.close()

    def _put(self, files: StreamFiles, base: int, new: str) -> bool:
        try:
            return self._swap(files.worker, files.stream, base, new)
        except SupervisorError:  # the keeper was lost before it answered
            return False

    def _look(self) -> float:
        """Orders what is to be compressed; gives when to look again."""
        changes = self._folders.words().changes
        if changes != self._changes:
            for files in self._folders.all():
                if self._policy_of(files.worker).compress:
                    self._order(files)
            self._changes = changes
        return time.monotonic() + EVERY

    def _order(self, files: StreamFiles) -> None:
        done = self._packed.get(files, -1)
        for base in files.bases[: -1 - PLAIN]:
            if base <= done:
                continue
            if _is_plain(files, base):
                self._upkeep.compress(files, base)
            else:
                self._packed[files] = base


def _is_plain(files: StreamFiles, base: int) -> bool:
    """Whether it is still to be compressed. Ends what a service that was killed had begun."""
    with contextlib.suppress(OSError):
        os.unlink(files.packed(base) + NEW)
    if os.path.exists(files.packed(base)) and not is_less(files, base):
        with contextlib.suppress(OSError):
            os.unlink(files.log(base))
    return os.path.exists(files.log(base))
