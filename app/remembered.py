"""Small things that the state folder keeps: one JSON object a file, read at the start and replaced as a whole.

For what must be known at the next start of the service and is no worker's own state (that is the keeper's). Written in
a thread, so that a disk that does not answer holds up nobody else; a reader finds the old object or the new one.

Known wart: a file that is damaged counts as not there, and says so in the service's own log.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger("quarterdeck.remembered")


class NotKept(Exception):
    """It cannot be written down, so nothing was done; the message says why."""


class Remembered:
    """One file. `told` is what is to be known; `keep` replaces it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._turn = asyncio.Lock()
        self.told: Mapping[str, Any] = self._read()

    async def keep(self, told: Mapping[str, Any]) -> None:
        """Returns when it is on the disk; raises OSError when it is not, and is known all the same."""
        self.told = told
        async with self._turn:
            await asyncio.to_thread(_write, self._place, json.dumps(self.told))

    def _read(self) -> Mapping[str, Any]:
        try:
            told = json.loads(self._place.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            log.warning("%s cannot be read (%s) and counts as not there", self._place, error)
            return {}
        return told if isinstance(told, dict) else {}


def _write(place: Path, text: str) -> None:
    new = place.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
