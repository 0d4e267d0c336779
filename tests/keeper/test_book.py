"""The book against a model that is told the same, opened again at any moment, on disks that are full and come back."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisor_core.children import Ended
from supervisor_core.keeper import book as module
from supervisor_core.keeper.book import Book, RunRecord, Stopping
from supervisor_core.keeper.records import Records
from tests.support.needs import private_mounts

ROOT = Path(__file__).parents[2]
BOOT = "this boot"


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(str(tmp_path), boot=BOOT)
    yield made
    made.close()


def told(folder: Path | str) -> tuple[dict, dict, dict]:
    """What a book says that is opened now."""
    book = Book(str(folder), boot="the next boot")
    book.close()
    assert book.damaged == ""
    return book.runs, book.notes, book.settings


def test_a_run_from_intent_to_its_end(tmp_path: Path, book: Book) -> None:
    key, ended = ("a", 7), Ended(signal=15)
    expected = RunRecord("a", 7, about={"streams": ["out", "err"], "tag": "x:7:a"}, boot=BOOT)
    steps = [
        (lambda: book.intend(*key, streams=["out", "err"], tag="x:7:a"), {}),
        (lambda: book.started(*key, 812, 99_000), {"pid": 812, "start": 99_000}),
        (lambda: book.stopping(*key, ((15, 10.0), (2, 0.5)), 1e9), {"stopping": Stopping(((15, 10.0), (2, 0.5)), 1e9)}),
        (lambda: book.leader(*key, ended), {"leader": ended}),
        (lambda: book.exited(*key, ended), {"ended": ended}),
    ]
    for say, change in steps:
        say()
        expected = replace(expected, **change)
        assert book.runs == {key: expected} == told(tmp_path)[0]
    book.forget(*key)
    assert book.runs == {} == told(tmp_path)[0]
    book.leader(*key, ended)
    assert book.runs == {} == told(tmp_path)[0], "what comes late brings nobody back"


def test_the_time_of_an_end_is_kept(tmp_path: Path, book: Book) -> None:
    book.intend("a", 1)
    book.exited("a", 1, Ended(code=3, at=1e9 + 0.25))
    assert told(tmp_path)[0]["a", 1].ended.at == 1e9 + 0.25


NEWER = [
    {"run": ["a", 1], "boot": BOOT, "about": {"tag": "t"}, "mood": "well"},
    {"run": ["a", 1], "pid": 5, "start": 6, "limbs": [1, 2]},
    {"note": "a", "data": "text", "written by": "somebody"},
    {"set": "logs", "value": 1, "unit": "s"},
    {"lease": "a", "until": 17},
    ["no", "object"],
    {"run": "not like this", "about": {}},
    {"run": ["b", 1], "about": {}, "leader": 17},
    {"note": ["nor"], "data": "this"},
    {"note": "c", "data": 17},
]


@pytest.mark.row(40)
def test_what_a_newer_version_wrote_is_handed_on(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "records"))
    records.append(*(json.dumps(record).encode() for record in NEWER), b"no JSON", b"[" * 100_000, b"1" * 5000)
    records.close()
    book = Book(str(tmp_path), boot=BOOT)
    book.leader("a", 1, Ended(code=0))
    assert (book.runs["a", 1].pid, book.notes, book.settings) == (5, {"a": b"text"}, {"logs": 1})
    book.sync()  # writes all of it anew
    book.close()
    records = Records(str(tmp_path / "records"))
    kept = records.payloads()
    records.close()
    assert kept[-3:] == [b"no JSON", b"[" * 100_000, b"1" * 5000]
    ended = {"code": 0, "signal": None, "reason": "", "at": None}
    first = [NEWER[3], {**NEWER[0], **NEWER[1], "leader": ended}, NEWER[2]]
    assert [json.loads(payload) for payload in kept[:-3]] == first + NEWER[4:]


def test_a_file_that_grows_is_written_anew(tmp_path: Path, book: Book) -> None:
    size = lambda: (tmp_path / "records").stat().st_size  # noqa: E731
    largest = 0
    for number in range(3000):
        book.note("abc"[number % 3], b"%d" % number + b"x" * 200)
        largest = max(largest, size())
    assert module.SMALL - 1000 < largest <= module.SMALL
    book.note("large", b"x" * 100_000)
    book.note("a", b"")
    assert size() < 102_000
    for number in range(10):
        book.note("large", b"y" * 100_000)
        assert size() < (module.TIMES + 1) * 100_500, number
    assert told(tmp_path)[1] == book.notes


def test_a_disk_without_room_for_two_leaves_the_long_file(tmp_path: Path, book: Book, monkeypatch) -> None:
    tried = []
    monkeypatch.setattr(Records, "rewrite", lambda *_: tried.append(1) or fail())
    for number in range(6000):
        book.note("a", b"%d" % number + bytes(10))
    assert 1 <= len(tried) <= 3, "each try costs as much as the file is long"
    assert not book.owed
    assert told(tmp_path)[1] == {"a": b"5999" + bytes(10)}


def fail(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.row(42)
def test_what_cannot_be_written_is_owed(tmp_path: Path, book: Book, monkeypatch) -> None:
    book.note("a", b"old")
    book.intend("a", 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        for say in (lambda: book.note("a", b"new"), lambda: book.started("a", 1, 5, 6), book.sync, book.settle):
            with pytest.raises(OSError):
                say()
    assert (book.owed, book.notes["a"], book.runs["a", 1].pid) == (True, b"new", 5)
    with pytest.raises(OSError, match="could not be written yet"):
        book.set("b", 1)  # also with room: a story with holes is worse than an old one
    runs, notes, values = told(tmp_path)
    assert (runs["a", 1].pid, notes, values) == (None, {"a": b"old"}, {})
    book.settle()
    book.sync()
    assert not book.owed
    assert told(tmp_path) == (book.runs, book.notes, book.settings)


@pytest.mark.row(44)
def test_a_failed_sync_is_owed_too(book: Book, monkeypatch) -> None:
    book.sync()
    book.note("a", b"1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError):
            book.sync()
    with pytest.raises(OSError):
        book.sync()
    assert book.owed
    book.settle()
    book.sync()


def test_what_an_earlier_life_left_is_synced_only_by_writing_it_anew(tmp_path: Path, book: Book) -> None:
    """Its last sync may have failed: the kernel told it, and tells nobody else."""
    book.note("a", b"1")
    book.sync()
    before = (tmp_path / "records").stat().st_ino
    later = Book(str(tmp_path))
    later.sync()
    assert (tmp_path / "records").stat().st_ino != before
    later.close()


def test_nothing_changes_that_json_cannot_tell(book: Book) -> None:
    with pytest.raises(TypeError):
        book.set("a", {1, 2})
    assert (book.settings, book.owed) == ({}, False)


WORKERS = st.sampled_from(["a", "b", "ü \U0001f600", "\udc80"])
RUNS = st.integers(1, 2)
ENDS = st.sampled_from([Ended(code=0), Ended(signal=9), Ended(reason="unknown: ü")])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


class Told(RuleBasedStateMachine):
    """Says the same to a book and to dictionaries. `once` has what was true at each size of the file."""

    @initialize()
    def begin(self) -> None:
        self.undo = contextlib.ExitStack()
        self.folder = self.undo.enter_context(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.folder, "records")
        self.room: int | None = None
        pwrite = os.pwrite

        def scarce(fd: int, data: bytes, at: int) -> int:
            if self.room is None:
                return pwrite(fd, data, at)
            if self.room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = pwrite(fd, data[: self.room], at)
            self.room -= written
            return written

        self.undo.enter_context(mock.patch.object(os, "pwrite", scarce))
        self.undo.enter_context(mock.patch.object(os, "fsync", return_value=None))
        self.undo.enter_context(mock.patch.object(module, "SMALL", 400))
        self.runs: dict = {}
        self.notes: dict = {}
        self.values: dict = {}
        self.book = Book(self.folder, boot=BOOT)
        self.inode, self.once = 0, {}
        self.look()

    def look(self) -> None:
        """Takes down what is true now, if all of it is in the file."""
        found = os.stat(self.path)
        if found.st_ino != self.inode:
            self.inode, self.once = found.st_ino, {}
        if not self.book.owed:
            self.once[found.st_size] = dict(self.runs), dict(self.notes), dict(self.values)

    def say(self, name: str, *words: object, **about: object) -> None:
        owed, before = self.book.owed, self.in_memory()
        try:
            getattr(self.book, name)(*words, **about)
        except OSError:
            assert self.book.owed
        else:
            assert not self.book.owed or (owed and name != "sync" and before == self.in_memory())
        self.look()

    def in_memory(self) -> tuple[dict, dict, dict]:
        return dict(self.book.runs), dict(self.book.notes), dict(self.book.settings)

    def change(self, key: tuple[str, int], **facts: object) -> None:
        if key in self.runs:
            self.runs[key] = replace(self.runs[key], **facts)

    @rule(worker=WORKERS, run=RUNS, about=st.dictionaries(st.sampled_from(["tag", "tty", "ü"]), VALUES, max_size=2))
    def intend(self, worker: str, run: int, about: dict) -> None:
        self.runs[worker, run] = RunRecord(worker, run, about, boot=BOOT)
        self.say("intend", worker, run, **about)

    @rule(worker=WORKERS, run=RUNS, pid=st.integers(1, 1 << 22), start=st.integers(0, 1 << 60))
    def started(self, worker: str, run: int, pid: int, start: int) -> None:
        self.change((worker, run), pid=pid, start=start)
        self.say("started", worker, run, pid, start)

    @rule(worker=WORKERS, run=RUNS, end=ENDS)
    def leader(self, worker: str, run: int, end: Ended) -> None:
        self.change((worker, run), leader=end)
        self.say("leader", worker, run, end)

    @rule(worker=WORKERS, run=RUNS, at=st.floats(0, 1e10))
    def stopping(self, worker: str, run: int, at: float) -> None:
        self.change((worker, run), stopping=Stopping(((15, 10.0), (9, 0.0)), at))
        self.say("stopping", worker, run, [(15, 10.0), (9, 0.0)], at)

    @rule(worker=WORKERS, run=RUNS, end=ENDS)
    def exited(self, worker: str, run: int, end: Ended) -> None:
        self.change((worker, run), ended=end)
        self.say("exited", worker, run, end)

    @rule(worker=WORKERS, run=RUNS)
    def forget(self, worker: str, run: int) -> None:
        self.runs.pop((worker, run), None)
        self.say("forget", worker, run)

    @rule(worker=WORKERS, data=st.none() | st.binary(max_size=200))
    def note(self, worker: str, data: bytes | None) -> None:
        self.notes[worker] = data
        if data is None:
            del self.notes[worker]
        self.say("note", worker, data)

    @rule(name=st.text(max_size=3), value=VALUES)
    def set(self, name: str, value: object) -> None:
        self.values[name] = value
        self.say("set", name, value)

    @rule(room=st.none() | st.integers(0, 300))
    def disk(self, room: int | None) -> None:
        self.room = room

    @rule()
    def settle(self) -> None:
        with contextlib.suppress(OSError):
            self.book.settle()
        assert self.room is not None or not self.book.owed
        self.look()

    @rule()
    def sync(self) -> None:
        self.say("sync")

    @precondition(lambda self: self.once)
    @rule(where=st.floats(0, 1))
    def die(self, where: float) -> None:
        """The keeper is gone, and of what it wrote last only a part is there: the next one goes on with that."""
        self.book.close()
        size = os.stat(self.path).st_size
        cut = min(self.once) + round(where * (size - min(self.once)))
        os.truncate(self.path, cut)
        self.room = None
        self.book = Book(self.folder, boot=BOOT)
        assert self.book.damaged == ""
        truth = self.once[max(size for size in self.once if size <= cut)]
        assert self.in_memory() == truth
        self.runs, self.notes, self.values = (dict(part) for part in truth)
        self.once = {size: was for size, was in self.once.items() if size <= cut}
        self.look()

    @invariant()
    def memory_knows_all(self) -> None:
        assert self.in_memory() == (self.runs, self.notes, self.values)

    def teardown(self) -> None:
        self.book.close()
        self.undo.close()


TestTold = Told.TestCase
TestTold.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


ON_TMPFS = """
import os, sys
from supervisor_core.children import Ended
from supervisor_core.keeper.book import Book
root = sys.argv[1]
os.system(f"mount -t tmpfs -o size=256k,mode=700 none {root}")
def again():
    other = Book(root)
    other.close()
    assert other.damaged == "", other.damaged
    return other
book = Book(root)
book.intend("w", 1, tag="t"); book.started("w", 1, 5, 6); book.note("w", b"before"); book.sync()
with open(root + "/ballast", "wb", buffering=0) as file:
    try:
        while True: file.write(bytes(4096))
    except OSError: pass
said = 0
try:
    while said < 1000:
        book.note("w", b"%d" % said + bytes(300)); said += 1
except OSError as error:
    assert error.errno == 28, error
assert 0 < said < 1000 and book.owed
assert again().notes["w"] == b"%d" % (said - 1) + bytes(300), "what was written last stands"
for call in (lambda: book.exited("w", 1, Ended(code=0)), book.settle, book.sync):
    try: call()
    except OSError: continue
    raise SystemExit("it said that it was written")
assert again().runs["w", 1].ended is None and sorted(os.listdir(root)) == ["ballast", "records"]
os.unlink(root + "/ballast")
book.settle()
book.sync()
assert again().runs == book.runs and again().notes == book.notes and book.runs["w", 1].ended == Ended(code=0)
print("well")
"""


@pytest.mark.row(42)
def test_a_real_disk_that_is_full_and_has_room_again(tmp_path: Path) -> None:
    private_mounts()
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", ON_TMPFS, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=40,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
