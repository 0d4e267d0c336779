"""Closed segments are compressed beside the writer: readers see the same as before, and any tool reads the files."""

import gzip
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_core.children import packed as packed_module
from supervisor_core.children import upkeep as upkeep_module
from supervisor_core.children.packed import MEMBER, Unpacker, pack
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Gap, Line, View
from tests.support.places import Place

VIEW = View(("a",))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "logs", segment=1000)
    yield made
    made.stop()


def write(store: SegmentStore, numbers: range) -> None:
    stream = store.open_stream("a", "out", 1)
    for i in numbers:
        stream.append(b"line %06d\n" % i)


def items(store: SegmentStore) -> list:
    return list(store.after(VIEW, "", 100_000).items)


def test_all_closed_segments_but_the_newest_are_compressed_and_read_the_same(place: Place) -> None:
    store = place.start()
    write(store, range(500))
    plain = items(store)
    backward = store.tail(VIEW, 300).items
    bases = [path.stem for path in place.files(".log")]
    store = place.start(compress=True)
    store.settle()
    assert [path.stem for path in place.files(".log")] == bases[-2:]
    assert [path.name[:16] for path in place.files(".gz")] == bases[:-2]
    assert items(store) == plain
    assert store.tail(VIEW, 300).items == backward
    write(store, range(500, 600))
    store.settle()
    assert len(place.files(".log")) == 2
    assert [i.text for i in items(store) if isinstance(i, Line)] == [f"line {i:06d}" for i in range(600)]
    store = place.start(compress=False)
    assert [i.text for i in items(store) if isinstance(i, Line)] == [f"line {i:06d}" for i in range(600)]
    whole = b"".join(gzip.decompress(path.read_bytes()) for path in place.files(".gz"))
    assert whole == b"".join(b"line %06d\n" % i for i in range(len(whole) // 12))


def test_any_range_of_a_compressed_file_is_read_by_its_members_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(3 * MEMBER // 2) * 2 + b"end"
    source, target = tmp_path / "plain", tmp_path / "packed"
    source.write_bytes(data)
    with source.open("rb") as inside, target.open("wb") as outside:
        assert pack(inside.fileno(), outside.fileno(), lambda: True)
    assert gzip.decompress(target.read_bytes()) == data
    undone: list[int] = []
    undo = packed_module._undo
    monkeypatch.setattr(packed_module, "_undo", lambda part: undone.append(1) or undo(part))
    unpacker = Unpacker()
    edges = [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 2 * MEMBER, len(data) - 1, len(data), len(data) + 5]
    for start in edges:
        for end in edges:
            assert unpacker.read(str(target), start, end) == data[start:end]
    assert len(undone) == 4  # each member once, however often it was asked for
    assert unpacker.size(str(target)) == len(data)


def test_a_segment_that_is_deleted_while_it_is_compressed_stays_deleted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def held(source: int, target: int, breathe) -> bool:
        reached.set()
        assert go_on.wait(10)
        return pack(source, target, breathe)

    monkeypatch.setattr(upkeep_module, "pack", held)
    store = place.start(compress=True, max_worker=6000)
    write(store, range(80))
    assert reached.wait(10)
    write(store, range(80, 400))
    go_on.set()
    store.settle()
    assert int(place.files("")[0].name[:16], 16) == store._folders.all()[0].bases[0] > 0
    lines = [i for i in items(store) if isinstance(i, Line)]
    assert lines[0].at == store._folders.all()[0].bases[0]


def test_the_bytes_that_retention_counts_are_the_compressed_ones(place: Place) -> None:
    store = place.start(segment=50_000, compress=True)
    stream = store.open_stream("a", "out", 1)
    for i in range(60):
        stream.append((b"line %06d\n" % i) * 1000)
    store.settle()
    on_disk = sum(path.stat().st_size for path in place.files("")) - sum(
        path.stat().st_size for path in (place.files(".log")[-1], place.files(".idx")[-1])
    )
    assert store._retention._sum == on_disk < 200_000


@pytest.mark.parametrize("left", ["half a new file", "both", "both, the compressed one cut off", "both, no gzip"])
def test_what_a_crash_left_is_tidied_at_the_start(place: Place, left: str) -> None:
    store = place.start()
    write(store, range(300))
    expected = items(store)
    log = place.files(".log")[0]
    gz = log.with_name(log.name + ".gz")
    with log.open("rb") as inside, gz.open("wb") as outside:
        pack(inside.fileno(), outside.fileno(), lambda: True)
    place.stop()
    match left:
        case "half a new file":
            gz.rename(gz.with_name(gz.name + ".new"))
        case "both, the compressed one cut off":
            os.truncate(gz, gz.stat().st_size - 1)
        case "both, no gzip":
            gz.write_bytes(b"garbage" * 100)
    assert items(place.start()) == expected
    assert [path.exists() for path in (log, gz)] == ([False, True] if left == "both" else [True, False])
    assert not place.files(".new")


@pytest.mark.leaves("damaged logs")
@pytest.mark.row(48)
@pytest.mark.parametrize("damage", ["missing", "flip", "cut", "garbage", "empty", "link", "fifo", "folder"])
def test_a_damaged_compressed_segment_is_a_gap_and_the_rest_is_shown(place: Place, damage: str, tmp_path: Path) -> None:
    store = place.start(compress=True)
    write(store, range(500))
    store.settle()
    everything = items(store)
    gz = place.files(".gz")[1]
    base, following = int(gz.name[:16], 16), int(place.files(".gz")[2].name[:16], 16)
    data = bytearray(gz.read_bytes())
    gz.unlink()
    match damage:
        case "flip":
            data[len(data) // 2] ^= 1
            gz.write_bytes(data)
        case "cut":
            gz.write_bytes(data[:-5])
        case "garbage":
            gz.write_bytes(b"secret\n" * 100)
        case "empty":
            gz.write_bytes(b"")
        case "link":
            (tmp_path / "secret").write_bytes(gzip.compress(b"secret\n" * 100))
            gz.symlink_to(tmp_path / "secret")
        case "fifo":
            os.mkfifo(gz)
        case "folder":
            gz.mkdir()
    for read in (items, lambda _: items(place.start())):
        shown = read(store)
        gaps = [(g.start, g.end, g.why) for g in shown if isinstance(g, Gap)]
        assert gaps[0][0] == base
        assert gaps[-1][1] == following
        assert {why for _, _, why in gaps} == {"dropped"}
        lines = [i for i in shown if isinstance(i, Line)]
        assert lines == [i for i in everything if isinstance(i, Line) and not base <= i.at < following]
        assert [i for i in place.store.tail(VIEW, 9999).items if isinstance(i, Line)] == lines


def test_zlib_frees_the_others_while_it_works() -> None:
    """The thread beside the loop must not hold it up: the reason why there is no process for it."""
    data = os.urandom(1 << 20) * 8
    turns = 0
    over = threading.Event()

    def work() -> None:
        zlib.compress(data, 6)
        over.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not over.is_set():
        turns += 1
    thread.join()
    assert turns > 1000
