"""What is wrong with the ledger, as conditions: their names, and one sentence each with the remedy. Pure.

Known wart: an I/O error is told by SQLite's words, which name no cause.
"""

import errno
import sqlite3
from pathlib import Path

from .schema import DAMAGED, NEWER

FULL, LOCKED, BROKEN, STALLED = "ledger-disk-full", "ledger-disk-read-only", "ledger-disk-error", "ledger-disk-stalled"
NAMES = (FULL, LOCKED, BROKEN, DAMAGED, NEWER)
"""Those that the writer tells of; that it does not come back from the disk, the loop has to tell."""

GOES_ON = "supervision goes on, and what happens meanwhile is kept in memory as far as it has room"

KINDS = {
    sqlite3.SQLITE_FULL: (FULL, "its disk is full", "free some space"),
    sqlite3.SQLITE_READONLY: (LOCKED, "it may not be written", "make it writable"),
    sqlite3.SQLITE_PERM: (LOCKED, "it may not be written", "make it writable"),
    sqlite3.SQLITE_BUSY: (BROKEN, "another program has locked it", "end that program"),
    sqlite3.SQLITE_LOCKED: (BROKEN, "another program has locked it", "end that program"),
}
NUMBERS = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
}


def trouble_of(path: Path, error: BaseException) -> dict[str, str]:
    """A sentence by condition for why the ledger cannot be written now."""
    code, words = 0, str(error)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    elif isinstance(error, OSError):
        code, words = NUMBERS.get(error.errno or 0, 0), error.strerror or words
    name, what, remedy = KINDS.get(code, (BROKEN, f"it cannot be written ({words})", "look after its disk"))
    return {name: f"the ledger {path.name} gets nothing new: {what}; {GOES_ON}; {remedy}"}


def stalled(path: Path) -> str:
    return f"the ledger {path.name} gets nothing new: its disk does not answer; {GOES_ON}; look after the disk"


def put_aside_sentence(path: Path, place: Path, why: str) -> str:
    """What has become of a file that could not be used."""
    because = f" ({why})" if why else ""
    return (
        f"{path.name} could not be used{because} and is now {place.name}; a new one was begun, and the runs and events "
        f"of before are missing in it; take {place.name} away, or delete it, when you have seen this"
    )
