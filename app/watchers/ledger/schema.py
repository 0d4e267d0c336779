"""The ledger's file: its tables, its version, and what happens to a file that is not one of ours.

A new one is made under another name and then given its own, so one without a byte is a damaged one. What cannot be
read is put aside and never changed. SQLite holds the file in WAL mode: a reader beside us (a person's `sqlite3`) is
welcome, and a service that is killed leaves a file that is whole.

Known wart: a flipped bit within a text is not noticed; SQLite has no checksums.
"""

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

APPLICATION = 0x51644C67
"""Tells our files from other people's databases: "QdLg"."""

VERSION = 1
BUSY = 2.0
"""Seconds for which a lock of another program is waited for."""

KEPT_ASIDE = 5
"""Files put aside that are kept, the newest of them."""

TABLES = """
CREATE TABLE lives (life INTEGER PRIMARY KEY, boot INTEGER NOT NULL UNIQUE, version TEXT NOT NULL,
  synced INTEGER NOT NULL DEFAULT 0);
CREATE TABLE transitions (life INTEGER NOT NULL, seq INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL,
  worker TEXT NOT NULL, state TEXT NOT NULL, run INTEGER NOT NULL, pid INTEGER, wanted INTEGER NOT NULL,
  ready INTEGER NOT NULL, failures INTEGER NOT NULL, causes TEXT NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (life, seq)) WITHOUT ROWID;
CREATE TABLE runs (id INTEGER PRIMARY KEY, worker TEXT NOT NULL, run INTEGER NOT NULL, pid INTEGER, started REAL,
  ended REAL, code INTEGER, signal INTEGER, reason TEXT NOT NULL, cause TEXT NOT NULL, by TEXT NOT NULL,
  lines TEXT NOT NULL);
CREATE INDEX runs_of_worker ON runs (worker, id);
CREATE INDEX runs_without_end ON runs (worker) WHERE ended IS NULL;
CREATE TABLE operations (id TEXT PRIMARY KEY, action TEXT NOT NULL, worker TEXT NOT NULL, by TEXT NOT NULL,
  asked REAL NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL, run INTEGER, reason TEXT NOT NULL,
  until TEXT NOT NULL, code TEXT NOT NULL, first INTEGER NOT NULL, key TEXT NOT NULL, wording TEXT NOT NULL);
CREATE INDEX operations_by_time ON operations (asked);
CREATE INDEX operations_by_key ON operations (by, key) WHERE key <> '';
CREATE INDEX operations_pending ON operations (state) WHERE state = 'pending';
CREATE TABLE audit (id INTEGER PRIMARY KEY, time REAL NOT NULL, who TEXT NOT NULL, how TEXT NOT NULL,
  origin TEXT NOT NULL, what TEXT NOT NULL, operation TEXT NOT NULL, status INTEGER);
"""


class Unusable(Exception):
    """The file is none that this version may use; the message says why, `name` is the condition's."""

    def __init__(self, sentence: str, name: str) -> None:
        super().__init__(sentence)
        self.name = name


DAMAGED, NEWER = "ledger-damaged", "ledger-newer"


def opened(path: Path) -> sqlite3.Connection:
    """The ledger, made if there is none. Raises `Unusable`, sqlite3.Error, OSError."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        _make(path)
    else:
        if not stat.S_ISREG(about.st_mode):
            raise Unusable("it is no plain file", DAMAGED)
        if about.st_size == 0:
            raise Unusable("it is empty", DAMAGED)
    connection = _connect(path)
    try:
        _check(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 1048576")
        connection.execute("PRAGMA cache_size = -512")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, BUSY, isolation_level=None, check_same_thread=True)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # a flipped bit is no reason to fail
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raises `Unusable` for what this version did not make."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise Unusable("it is a database of another program", DAMAGED)
    if version > VERSION:
        raise Unusable(
            f"its format is {version} and this version knows {VERSION}: a newer version wrote it, and can read it",
            NEWER,
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not {"lives", "transitions", "runs", "operations", "audit"} <= tables:
        raise Unusable("tables are missing in it", DAMAGED)


def _make(path: Path) -> None:
    """Makes an empty ledger, for its owner alone, that is whole as soon as it has its name."""
    new = path.with_name(path.name + ".new")
    for left in (new, Path(f"{new}-journal"), Path(f"{path}-wal"), Path(f"{path}-shm")):
        left.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(_connect(new)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.executescript(
            f"BEGIN; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {TABLES} COMMIT;"
        )
    new.replace(path)


def put_aside(path: Path) -> Path:
    """Renames a file that cannot be used, and what belongs to it; gives the new name. Raises OSError."""
    before = put_aside_before(path)
    number = int(before[-1].name.rpartition("-")[2]) + 1 if before else 1
    aside = path.with_name(f"{path.stem}.damaged-{number}")
    path.rename(aside)
    for end in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{end}").rename(f"{aside}{end}")
    old = path.with_name(f"{path.stem}.damaged-{number - KEPT_ASIDE}")
    for name in (old, Path(f"{old}-wal"), Path(f"{old}-shm")):
        with contextlib.suppress(OSError):
            name.unlink()
    return aside


def put_aside_before(path: Path) -> list[Path]:
    """What was put aside, by this life or an earlier one, and is still there, oldest first."""
    found = [one for one in path.parent.glob(f"{path.stem}.damaged-*") if one.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda one: int(one.name.rpartition("-")[2]))


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is spoilt, and not that the disk does not do."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
    return False
