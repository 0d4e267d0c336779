"""Folders of logs are made with the first byte, whatever has become of them, and stay their worker's over a restart."""

import errno
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from supervisor_core.children import writer as writer_module
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Line, View

VIEW = View(("a",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def opened(root: Path) -> SegmentStore:
    ticks = count()
    return SegmentStore(root, now=lambda: 1e9 + next(ticks) / 1e3)


@pytest.fixture
def store(root: Path) -> Iterator[SegmentStore]:
    made = opened(root)
    yield made
    made.close()


def texts(store: SegmentStore) -> list[str]:
    return [item.text for item in store.after(VIEW, "", 100).items if isinstance(item, Line)]


def test_logs_whose_name_found_no_room_on_the_disk_are_their_workers_after_a_restart(
    store: SegmentStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "full", str(path))

    stream = store.open_stream("a", "out", 1)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):
        patched.setattr(Path, "write_text", full)
        stream.append(b"one\n")
    stream.append(b"two\n")
    stream.end()
    store.close()
    again = opened(root)
    assert texts(again) == ["two"]
    again.close()


@pytest.mark.parametrize("gone", ["by-id/*/out", "by-id/*", "by-id"])
def test_whatever_folder_is_deleted_what_comes_after_is_kept(
    store: SegmentStore, root: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "LOOK", 0.0)
    stream = store.open_stream("a", "out", 1)
    stream.append(b"one\n")
    for path in root.glob(gone):
        shutil.rmtree(path)
    stream.append(b"two\n")
    stream.end()
    assert texts(store) == ["two"]
