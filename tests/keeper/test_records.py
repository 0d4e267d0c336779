"""The file of records at every moment that a crash, a full disk or a bad sector could leave it in."""

import ast
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor_core.errors import SupervisorError
from supervisor_core.keeper import records as module
from supervisor_core.keeper.records import HEADER, Records

ROOT = Path(__file__).parents[2]
WRITTEN = [b"first", b"", b'{"run":["a",1]}', bytes(40), b"x" * 70, b"\0\xff\x08\0\0\0" * 3, b"last"]
Open = Callable[[], Records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Opens the file; each opening closes the one before."""
    held: list[Records] = []

    def again() -> Records:
        for records in held:
            records.close()
        held[:] = [Records(str(path))]
        return held[0]

    yield again
    for records in held:
        records.close()


def fill(records: Records) -> list[int]:
    """Appends all of `WRITTEN`; gives the size before the first and after each."""
    sizes = [records.size]
    for payload in WRITTEN:
        records.append(payload)
        sizes.append(records.size)
    return sizes


def whole_before(sizes: list[int], at: int) -> list[bytes]:
    """The records that end at or before a byte."""
    return WRITTEN[: sum(size <= at for size in sizes[1:])]


def others(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir() if found != path)


def test_what_was_written_is_read(path: Path, opened: Open) -> None:
    sizes = fill(opened())
    records = opened()
    assert (records.payloads(), records.size, records.damaged) == (WRITTEN, sizes[-1], "")
    records.append(b"two", b"at once")
    records.sync()
    assert opened().payloads() == [*WRITTEN, b"two", b"at once"]
    assert path.stat().st_mode & 0o7777 == 0o600
    assert others(path) == []


@pytest.mark.row(47)
def test_a_file_that_ends_anywhere_is_read_up_to_there(path: Path, opened: Open) -> None:
    sizes = fill(opened())
    data = path.read_bytes()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        records = opened()
        kept = whole_before(sizes, cut)
        assert records.payloads() == kept, cut
        assert (records.damaged == "") == (cut >= sizes[0]), "a header is never torn: it comes with the file's name"
        records.append(b"next")
        assert opened().payloads() == [*kept, b"next"], cut
        assert opened().damaged == ""
    assert others(path) == [f"records.damaged-{n}" for n in sorted(range(1, sizes[0]), key=str)]
    assert path.with_name("records.damaged-7").read_bytes() == data[:7]


@pytest.mark.row(47)
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_byte_that_changed_anywhere_costs_no_record_before_it(path: Path, opened: Open, flip: int) -> None:
    sizes = fill(opened())
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
        records = opened()
        kept = whole_before(sizes, at)
        assert records.payloads() == kept, at
        assert records.damaged or at >= sizes[-2], f"records behind byte {at} went without a word"
        if records.damaged:
            (saved,) = others(path)
            torn = path.with_name(saved)
            assert torn.read_bytes() == path_after(data, at, flip)[sizes[len(kept)] if at >= sizes[0] else 0 :]
            assert str(torn) in records.damaged
            torn.unlink()
        records.append(b"next")
        assert opened().payloads() == [*kept, b"next"], at


def path_after(data: bytes, at: int, flip: int) -> bytes:
    return data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]


@pytest.mark.row(45)
@pytest.mark.parametrize("tail", [bytes(1), bytes(5000), b"\x10\0\0\0", b"\x40\0\0\0abcdpart" + bytes(4000)])
def test_what_a_power_cut_leaves_of_a_record_is_cut_without_a_word(path: Path, opened: Open, tail: bytes) -> None:
    size = fill(opened())[-1]
    with path.open("ab") as file:
        file.write(tail)
    records = opened()
    assert (records.payloads(), records.damaged) == (WRITTEN, "")
    assert path.stat().st_size == size


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"[supervisord]\n", os.urandom(4096)])
def test_a_file_of_something_else_is_set_aside(path: Path, opened: Open, content: bytes) -> None:
    path.write_bytes(content)
    assert opened().damaged
    assert [path.with_name(name).read_bytes() for name in others(path)] == ([content] if content else [])
    assert opened().damaged == ""


@pytest.mark.row(40)
def test_a_newer_format_is_refused_and_left_as_it_is(path: Path, opened: Open) -> None:
    newer = module._record(HEADER[:-1] + b"27") + module._record(b"what nobody knows yet") + b"torn"
    path.write_bytes(newer)
    with pytest.raises(SupervisorError, match=r"has format 27 .* knows 1 at most; start the newer version"):
        opened()
    assert path.read_bytes() == newer
    assert others(path) == []


def test_only_a_plain_file_is_opened(path: Path, opened: Open) -> None:
    (elsewhere := path.with_name("elsewhere")).write_bytes(b"theirs")
    path.symlink_to(elsewhere)
    with pytest.raises(OSError):
        opened()
    assert elsewhere.read_bytes() == b"theirs"
    for make in (os.mkdir, os.mkfifo):
        path = path.parent / make.__name__
        make(path)
        with pytest.raises(OSError):
            Records(str(path))


def test_a_record_that_found_no_room_is_not_there(path: Path, opened: Open) -> None:
    records = opened()
    size = fill(records)[-1]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, hard))
    try:
        with pytest.raises(OSError) as caught:
            records.append(b"fits", b"does not fit" * 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert (records.size, path.stat().st_size) == (size, size)
    records.append(b"short")
    assert opened().payloads() == [*WRITTEN, b"short"]


def test_what_could_not_be_cut_is_cut_before_the_next_record(path: Path, opened: Open, monkeypatch) -> None:
    records = opened()
    size = fill(records)[-1]
    with monkeypatch.context() as patch:
        pwrite = os.pwrite
        patch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:60], at) and fail(errno.ENOSPC))
        patch.setattr(os, "ftruncate", lambda *_: fail(errno.EIO))
        with pytest.raises(OSError):
            records.append(module._record(b"inside") * 4)
        assert path.stat().st_size == size + 60
        with pytest.raises(OSError):
            records.append(b"x" * 6)
    records.append(b"x" * 6)
    assert path.read_bytes()[size:] == module._record(b"x" * 6)


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


@pytest.mark.row(44)
def test_a_failed_sync_is_remembered_until_all_is_written_anew(opened: Open, monkeypatch) -> None:
    records = opened()
    fill(records)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda fd: fail(errno.EIO))
        with pytest.raises(OSError):
            records.sync()
    for _ in range(2):
        with pytest.raises(OSError, match="earlier sync failed"):
            records.sync()
    records.append(b"still written")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: fail(errno.EIO))
        with pytest.raises(OSError):
            records.rewrite([b"new"])
    assert records.payloads() == [*WRITTEN, b"still written"]
    with pytest.raises(OSError):
        records.sync()
    records.rewrite([b"new"])
    records.sync()
    assert opened().payloads() == [b"new"]


def test_where_only_the_folder_could_not_be_synced_the_new_file_is_in_force(opened: Open, monkeypatch) -> None:
    records = opened()
    fill(records)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_sync_folder", lambda folder: fail(errno.EIO))
        with pytest.raises(OSError):
            records.rewrite([b"new"])
    records.append(b"more")
    with pytest.raises(OSError):
        records.sync()
    assert opened().payloads() == [b"new", b"more"]


@pytest.mark.row(43)
def test_a_file_that_somebody_deleted_takes_nothing(path: Path, opened: Open) -> None:
    records = opened()
    records.append(b"old")
    path.unlink()
    for call in (lambda: records.append(b"lost"), records.sync):
        with pytest.raises(OSError, match="somebody deleted it"):
            call()
    records.rewrite([b"old"])
    records.append(b"new")
    records.sync()
    assert opened().payloads() == [b"old", b"new"]


POINTS = [
    node.args[0].value
    for node in ast.walk(ast.parse(Path(module.__file__).read_text()))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "point"
]
LIFE = """
import sys
from supervisor_core.keeper.records import Records
records = Records(sys.argv[1])
for n in range(3):
    records.append(b"%d" % n)
    records.sync()
records.rewrite([b"all"])
records.append(b"end")
"""
TRUE_ONCE = [[], [b"0"], [b"0", b"1"], [b"0", b"1", b"2"], [b"all"], [b"all", b"end"]]


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_leaves_what_was_once_true(path: Path, opened: Open, point: str, nth: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIFE, str(path)], cwd=ROOT, env={**os.environ, "FAIL_AT": f"{point}:{nth}:kill"}
    ).returncode
    assert ended == -signal.SIGKILL or (nth == 3 and ended == 0), f"{point} was not reached {nth} times"
    records = opened()
    assert records.payloads() in TRUE_ONCE
    assert records.damaged == ""
    assert others(path) == []
