"""What the keeper must not forget: the runs that it began, a note a worker from the service, and the last settings.

Pure bookkeeping over `records.py`; it looks at no process. Each record is a JSON object that says something of one
subject, and reading is applying them in order:

    {"run": [worker, run], "boot": …, "about": {…}}      a run begins; further ones add to it, "gone" ends it
    {"note": worker, "data": text}                       without "data": no longer kept
    {"set": name, "value": …}

The format only grows: what this version does not know it keeps, and hands on when it writes all of it anew.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from ..children import Ended
from .foreign import boot_id
from .records import Records

SMALL = 64 * 1024
"""Bytes up to which a file is left as it is, however little of it still counts."""

TIMES = 4
"""So many times what counts may a larger file hold."""

_ENDED = frozenset(field.name for field in fields(Ended))
_encode = json.JSONEncoder(separators=(",", ":")).encode

Facts = dict[str, Any]
Key = tuple[str, int]


class NotYet(OSError):
    """A record cannot be written because one before it could not, for a reason that was raised then."""


class Stopping(NamedTuple):
    """A stop under way: its steps as `Child.stop` takes them from the one on that was sent last, and when that was.

    `at` in seconds since the epoch; `clock` is a reading of the monotonic clock of the run's boot, None where an older
    version wrote it.
    """

    steps: tuple[tuple[int, float], ...]
    at: float
    clock: float | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is written of one run. `pid` is None before it has one; `start` in ticks since the boot with the id `boot`.

    `about` is what was said when it was intended. `leader` is the end of its main process, `ended` that of all.
    """

    worker: str
    run: int
    about: Mapping[str, Any]
    boot: str = ""
    pid: int | None = None
    start: int = 0
    leader: Ended | None = None
    ended: Ended | None = None
    stopping: Stopping | None = None


class Book:
    """The book in `folder`. Raises OSError, and SupervisorError when a newer version wrote it.

    `runs` has those that began and are not forgotten, `notes` and `settings` what was said last. `damaged` is a
    sentence when something of it was lost.

    Every change is written before it is made, and has survived this process when the call returns; a power cut only
    after `sync`. Where it cannot be written it is made nevertheless, OSError is raised, and `owed` is true until
    `settle` has written everything: nothing is appended meanwhile, so that the file never tells a story with holes.
    What is said of a run that is not in `runs` changes nothing.
    """

    def __init__(self, folder: str, *, boot: str | None = None) -> None:
        self.runs: dict[Key, RunRecord] = {}
        self.notes: dict[str, bytes] = {}
        self.settings: dict[str, object] = {}
        self.owed = False
        self._boot = boot_id() if boot is None else boot
        self._facts: dict[Key, Facts] = {}
        self._more: dict[tuple[str, str], Facts] = {}
        """Records of notes and settings that say more than this version knows."""
        self._strange: list[bytes] = []
        """Records of other subjects."""
        self._records = Records(os.path.join(folder, "records"))
        self.damaged = self._records.damaged
        self._ours = False
        """Whether this life wrote the whole file: of an earlier one nobody knows whether its syncs succeeded."""
        for payload in self._records.payloads():
            self._read(payload)
        self._limit = max(SMALL, self._records.size)

    def close(self) -> None:
        """Closes the file."""
        self._records.close()

    # ------------------------------------------------------------ what it is told

    def intend(self, worker: str, run: int, **about: Any) -> None:
        """A run is about to begin. `about` is what whoever finds it again must know of it."""
        self._say({"run": [worker, run], "boot": self._boot, "about": about})

    def started(self, worker: str, run: int, pid: int, start: int) -> None:
        """It has a process, which began `start` ticks after the boot."""
        self._add(worker, run, pid=pid, start=start)

    def leader(self, worker: str, run: int, ended: Ended) -> None:
        """Its main process has ended."""
        self._add(worker, run, leader=asdict(ended))

    def stopping(
        self, worker: str, run: int, steps: Sequence[tuple[int, float]], at: float, clock: float | None = None
    ) -> None:
        """The first of these steps of a stop was taken; see `Stopping`."""
        self._add(worker, run, stopping={"steps": [list(step) for step in steps], "at": at, "clock": clock})

    def exited(self, worker: str, run: int, ended: Ended) -> None:
        """Nothing of it is left."""
        self._add(worker, run, ended=asdict(ended))

    def forget(self, worker: str, run: int) -> None:
        """Nobody will ask for it any more."""
        self._add(worker, run, gone=True)

    def note(self, worker: str, data: bytes | None) -> None:
        """Keeps the service's note of a worker; none any more for None."""
        if data is not None:
            self._say({"note": worker, "data": data.decode("utf-8", "surrogateescape")})
        elif worker in self.notes:
            self._say({"note": worker})

    def set(self, name: str, value: object) -> None:
        """Keeps a value that JSON can tell."""
        self._say({"set": name, "value": value})

    # ------------------------------------------------------------ how safe it is

    def sync(self) -> None:
        """Returns when all of it would survive a power cut; raises OSError when it might not."""
        if self.owed:
            raise self._not_written()
        try:
            if self._ours:
                self._records.sync()
            else:
                self._write_all()
        except OSError:
            self.owed = True
            raise

    def settle(self) -> None:
        """Writes everything anew when something is owed. Raises OSError; then it still is."""
        if self.owed:
            self._write_all()
            self.owed = False

    # ------------------------------------------------------------ inside

    def _add(self, worker: str, run: int, **facts: Any) -> None:
        if (worker, run) in self.runs:
            self._say({"run": [worker, run], **facts})

    def _say(self, facts: Facts) -> None:
        payload = _encode(facts).encode()
        try:
            if self.owed:
                raise self._not_written()
            self._records.append(payload)
        except OSError:
            self.owed = True
            raise
        finally:
            self._apply(facts)
        if self._records.size > self._limit:
            with contextlib.suppress(OSError):  # what is there is whole, only long
                self._write_all()
            self._limit = max(SMALL, TIMES * self._records.size)

    def _not_written(self) -> OSError:
        return NotYet(errno.EIO, "what came before could not be written yet", self._records.path)

    def _write_all(self) -> None:
        self._records.rewrite(self._all())
        self._ours = True

    def _all(self) -> Iterator[bytes]:
        """The fewest records that tell all of it."""
        for name, value in self.settings.items():
            yield self._encoded("set", name, value=value)
        for facts in self._facts.values():
            yield _encode(facts).encode()
        for worker, data in self.notes.items():
            yield self._encoded("note", worker, data=data.decode("utf-8", "surrogateescape"))
        yield from self._strange

    def _encoded(self, kind: str, name: str, **facts: Any) -> bytes:
        return _encode({**self._more.get((kind, name), {}), kind: name, **facts}).encode()

    def _read(self, payload: bytes) -> None:
        """Applies a record of the file; keeps one that this version does not understand."""
        try:
            known = self._apply(json.loads(payload))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            known = False
        if not known:
            self._strange.append(payload)

    def _apply(self, facts: Facts) -> bool:
        """Makes one change. False when it has a subject that this version does not know."""
        if "run" in facts:
            worker, run = facts["run"]
            self._apply_to_run((worker, run), facts)
        elif "note" in facts:
            if "data" in facts:
                self.notes[facts["note"]] = facts["data"].encode("utf-8", "surrogateescape")
            else:
                self.notes.pop(facts["note"], None)
            self._keep_more("note", "data", facts)
        elif "set" in facts:
            self.settings[facts["set"]] = facts["value"]
            self._keep_more("set", "value", facts)
        else:
            return False
        return True

    def _keep_more(self, kind: str, value: str, facts: Facts) -> None:
        if facts.keys() - {kind, value}:
            self._more[kind, facts[kind]] = facts
        else:
            self._more.pop((kind, facts[kind]), None)

    def _apply_to_run(self, key: Key, facts: Facts) -> None:
        if facts.get("gone"):
            self.runs.pop(key, None)
            self._facts.pop(key, None)
        elif "about" in facts or key in self._facts:
            merged = facts if "about" in facts else {**self._facts[key], **facts}
            self.runs[key] = _run_of(key, merged)
            self._facts[key] = merged


def _run_of(key: Key, facts: Facts) -> RunRecord:
    return RunRecord(
        *key,
        about=facts["about"],
        boot=facts.get("boot", ""),
        pid=facts.get("pid"),
        start=facts.get("start", 0),
        leader=_ended(facts.get("leader")),
        ended=_ended(facts.get("ended")),
        stopping=_stopping(facts.get("stopping")),
    )


def _stopping(facts: Facts | None) -> Stopping | None:
    if facts is None:
        return None
    return Stopping(tuple((number, seconds) for number, seconds in facts["steps"]), facts["at"], facts.get("clock"))


def _ended(facts: Facts | None) -> Ended | None:
    return None if facts is None else Ended(**{name: value for name, value in facts.items() if name in _ENDED})
