"""The places that the service needs from outside of it: its state folder, and the names of its Unix sockets.

One thread looks once a second, with a few calls that change nothing: a disk that does not answer then holds up this
thread and nothing else. What it finds is told in the thread of the loop. Nothing is mended but a swept socket.

Known wart: what is put right again within the second is not noticed, and need not be.
"""

import asyncio
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from ..listeners import CannotListen, Door
from .conditions import Conditions
from .edits import CHANGED, Edits

log = logging.getLogger("quarterdeck.places")

PERIOD = 1.0
ROOM = 64 * 1024
"""Bytes below which a disk counts as full: less than one note of everything that is to be kept."""

GONE, LOCKED, FULL, LOST = "state-folder-gone", "state-folder-read-only", "state-disk-full", "socket-lost"
BROKEN = "state-disk-error"
NAMES = (GONE, LOCKED, FULL, BROKEN, LOST, CHANGED)
KINDS = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: LOCKED, errno.EACCES: LOCKED, errno.ENOENT: GONE}
"""What it is when a record could not be written; anything else is a broken disk."""

Found = tuple[dict[str, str], tuple[Door, ...]]


class Places:
    """Makes conditions of what is wrong with the state folder, and opens a door again whose name was swept away.

    `opened` is given the new listener, `edits` looks after the config. Belongs to the loop; only `look` runs in the
    thread.
    """

    def __init__(
        self,
        state: Path,
        doors: Sequence[Door],
        conditions: Conditions,
        opened: Callable[[socket.socket], Coroutine[Any, Any, None]],
        edits: Edits,
    ) -> None:
        self._state = state
        self._identity = identity(state)
        self._doors = tuple(doors)
        self._conditions = conditions
        self._opened = opened
        self._edits = edits
        self._found: Found = {}, ()
        self._heard: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="places", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; one that a disk holds up is not waited for."""
        self._over.set()
        self._thread.join(PERIOD / 4)

    def hear(self, number: int, sentence: str) -> None:
        """Takes why a record of the state cannot be written, and "" once it can: that is known before any look."""
        self._heard = {KINDS.get(number, BROKEN): sentence} if sentence else {}
        self._tell(self._found[0])

    def look(self) -> Found:
        """Gives sentences by condition, and the doors without a name."""
        troubles = troubles_of(self._state, self._identity)
        doors = (door for door in self._doors if GONE not in troubles or not door.path.is_relative_to(self._state))
        return troubles | self._edits.look(), tuple(door for door in doors if not door.stands())

    def _run(self) -> None:
        last: Found = {}, ()
        while not self._over.wait(PERIOD):
            found = self.look()
            if found != last or found[1]:
                last = found
                try:
                    self._loop.call_soon_threadsafe(self._take, found)
                except RuntimeError:  # the loop is closed
                    return

    def _take(self, found: Found) -> None:
        troubles, lost = found
        for door in lost if not self._over.is_set() else ():
            try:
                listener = door.reopen()
            except CannotListen as error:
                troubles[LOST] = str(error)
                continue
            log.warning("%s was deleted, and is made again", door.path)
            task = self._loop.create_task(self._opened(listener))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._found = troubles, ()
        self._tell(troubles)

    def _tell(self, troubles: dict[str, str]) -> None:
        self._conditions.replace(NAMES, {**self._heard, **troubles})


def identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino


def troubles_of(state: Path, known: tuple[int, int]) -> dict[str, str]:
    """What is wrong with a state folder that once was the `known` one, as sentences by condition."""
    try:
        if identity(state) != known:
            return {GONE: _gone(state, "another folder is in its place")}
        about = os.statvfs(state)
    except OSError as error:
        return {GONE: _gone(state, error.strerror or str(error))}
    writable = os.access(state, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
    if about.f_flag & os.ST_RDONLY or not writable:
        return {
            LOCKED: f"the state folder {state} cannot be written, so nothing new is kept, logs included; the workers "
            "run on; make it writable"
        }
    if about.f_bavail * about.f_frsize < ROOM or (about.f_files and about.f_favail == 0):
        what = "no room" if about.f_bavail * about.f_frsize < ROOM else "no free inode"
        return {FULL: f"the disk of the state folder {state} has {what}, so nothing new is kept; free some space"}
    return {}


def _gone(state: Path, why: str) -> str:
    return (
        f"the state folder {state} is gone ({why}), so nothing new is kept, logs included; the workers run on; "
        "put it back, or start the service again"
    )
