"""The bytes of a stream as they were written: over plain and compressed segments, holes, and what retention takes."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_core.children.segments import SegmentStore
from supervisor_core.logs import MemoryStore, NotKept, Raw
from tests.support.places import Place

ALL = 1 << 30


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "logs", segment=1000)
    yield made
    made.stop()


def write(store: SegmentStore, *chunks: bytes, run: int = 1) -> bytes:
    stream = store.open_stream("a", "out", run)
    for chunk in chunks:
        stream.append(chunk)
    return b"".join(chunks)


def odd(count: int) -> list[bytes]:
    """Chunks with everything in them that lines hide: invalid UTF-8, carriage returns, escapes, no last newline."""
    return [b"\x1b[31m%d\r\xff\xfe\0\n" % i * 7 for i in range(count)] + [b"no newline"]


def whole(raw: Raw, piece: int = 300, at: int = 0) -> bytes:
    parts = []
    while part := raw.read(at, piece):
        assert len(part) <= piece
        parts.append(part)
        at += len(part)
    return b"".join(parts)


@pytest.mark.parametrize("compress", [False, True])
def test_the_bytes_are_those_that_were_written(place: Place, compress: bool) -> None:
    store = place.start(compress=compress)
    written = write(store, *odd(100))
    store.settle()
    assert bool(place.files(".gz")) == compress
    raw = store.raw("a", "out")
    assert raw.size == len(written)
    for piece in (1, 299, 4096, ALL):
        assert whole(raw, piece) == written
    for at in range(0, raw.size, 37):
        assert raw.read(at, 50) == written[at : at + 50][: len(raw.read(at, 50))] != b""
    assert raw.read(raw.size, 9) == raw.read(raw.size + 5, 9) == b""


def test_more_comes_behind_under_the_same_tag_also_after_a_restart(place: Place) -> None:
    store = place.start()
    first = write(store, *odd(30))
    before = store.raw("a", "out")
    more = write(store, *odd(30), run=2)
    store = place.start(compress=True)
    store.settle()
    now = store.raw("a", "out")
    assert (before.tag, whole(now)) == (now.tag, first + more)
    assert whole(before) == first


def test_streams_that_wrote_nothing_are_empty(place: Place) -> None:
    store = place.start()
    write(store, b"x")
    store.open_stream("b", "out", 1)
    for worker, stream in (("a", "err"), ("a", "nonsense"), ("b", "out"), ("nobody", "out")):
        raw = store.raw(worker, stream)
        assert (raw.size, raw.read(0, 9)) == (0, b"")


@pytest.mark.leaves("damaged logs")
def test_what_the_index_does_not_name_yet_is_not_given(place: Place) -> None:
    store = place.start()
    write(store, b"named\n")
    with place.files(".log")[-1].open("ab") as file:
        file.write(b"half of what is being wri")
    assert whole(store.raw("a", "out")) == b"named\n"


@pytest.mark.row(51)
def test_what_retention_takes_meanwhile_ends_the_reading_and_changes_the_tag(place: Place) -> None:
    store = place.start(max_worker=6000)
    written = write(store, *odd(40))
    raw = store.raw("a", "out")
    begun = raw.read(0, 500)
    assert begun == written[:500]
    written += write(store, *odd(200))
    assert raw.read(500, 500) == b"", "other bytes came in the place of those that are gone"
    now = store.raw("a", "out")
    assert now.tag != raw.tag
    assert written.endswith(whole(now))
    assert 3000 < now.size < len(written)


@pytest.mark.leaves("damaged logs")
@pytest.mark.row(48)
@pytest.mark.parametrize("compress", [False, True])
def test_a_lost_segment_is_left_out_and_changes_the_tag(place: Place, compress: bool) -> None:
    store = place.start(compress=compress)
    written = write(store, *odd(100))
    store.settle()
    before = store.raw("a", "out")
    files = sorted(place.files(".log") + place.files(".gz"))
    start, end = (int(path.name[:16], 16) for path in files[2:4])
    files[2].unlink()
    assert whole(before) == written[:start], "the hole was passed over in the midst of a reading"
    assert whole(before, at=end) == written[end:]
    now = store.raw("a", "out")
    assert whole(now) == written[:start] + written[end:]
    assert now.tag != before.tag


@pytest.mark.leaves("damaged logs")
@pytest.mark.row(48)
def test_a_damaged_compressed_piece_ends_the_reading(place: Place) -> None:
    store = place.start(segment=400_000, compress=True)
    written = write(store, *(os.urandom(50_000) + b"\n" for _ in range(30)))
    store.settle()
    path = place.files(".gz")[0]
    data = bytearray(path.read_bytes())
    data[200_000] ^= 255
    path.write_bytes(data)
    raw = store.raw("a", "out")
    assert raw.size == len(written)
    assert whole(raw, ALL) == written[: 128 * 1024]
    assert whole(raw, ALL, at=256 * 1024) == written[256 * 1024 :]


@pytest.mark.leaves("damaged logs")
def test_a_link_in_the_place_of_a_segment_is_not_followed(place: Place, tmp_path: Path) -> None:
    store = place.start()
    write(store, *odd(100))
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 5000)
    path = place.files(".log")[1]
    path.unlink()
    path.symlink_to(secret)
    assert b"sss" not in whole(store.raw("a", "out"))


def test_the_store_in_memory_says_that_it_has_no_bytes() -> None:
    store = MemoryStore(itertools.count(1_000_000_000).__next__)
    store.open_stream("a", "out", 1).append(b"x\n")
    with pytest.raises(NotKept, match="ask for the lines"):
        store.raw("a", "out")
