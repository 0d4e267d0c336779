"""Where logs lie: worker ids, stream folders, readable links.

    lock  watermark  NAME -> by-id/ID
    by-id/ID/name
    by-id/ID/STREAM/OFFSET.log or OFFSET.log.gz, OFFSET.idx, expired.idx

A worker's name is never used as a path; its id is made once and found again by the `name` file, or by the link where
a power cut left nothing in that. Nothing is made before a worker's first byte.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable

from .files import FOLDER_MODE, NEW, StreamFiles
from .packed import Unpacker

STREAM = re.compile(r"[a-z]{1,16}\Z")
_OWN_NAMES = frozenset({"lock", "watermark", "by-id"})
_LONGEST = 200
"""Bytes of a readable name; a longer one is cut, and no worker's name any more."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~[]@+=,")
"""What stands for itself in a readable name; the rest is written as in an address."""


class Folders:
    """The tree of one log folder, by worker and stream. `changed` is called when files came or are about to go."""

    def __init__(self, root: str | os.PathLike[str], changed: Callable[[], None] | None = None) -> None:
        self._root = os.fspath(root)
        self._by_id = os.path.join(root, "by-id")
        os.makedirs(self._by_id, FOLDER_MODE, exist_ok=True)
        self._changed = changed
        self._places: dict[str, str] = {}
        self._unpacker = Unpacker()
        self.streams: dict[str, dict[str, StreamFiles]] = {}
        nameless = []
        for name in sorted(os.listdir(self._by_id)):
            place = os.path.join(self._by_id, name)
            if (worker := name_of(place)) is not None:
                self._places.setdefault(worker, place)
            else:
                nameless.append(place)
        if nameless:
            self._name_by_links(nameless)
        for worker, place in self._places.items():
            for name in sorted(os.listdir(place)):
                folder = os.path.join(place, name)
                if STREAM.match(name) and os.path.isdir(folder):
                    files = self._know(worker, folder)
                    files.bases = files.list_bases()
            self._link(worker, place)

    def all(self) -> list[StreamFiles]:
        return [files for streams in self.streams.values() for files in streams.values()]

    def of(self, workers: Iterable[str]) -> list[StreamFiles]:
        return [files for worker in workers for files in self.streams.get(worker, {}).values()]

    def open(self, worker: str, stream: str) -> StreamFiles:
        """The files of a stream, of which there may be none yet."""
        known = self.streams.get(worker, {}).get(stream)
        if known is not None:
            return known
        if not STREAM.match(stream):
            raise ValueError(f"a stream is named by a few small letters, not {stream!r}")
        place = self._places.get(worker)
        if place is None:
            place = self._places[worker] = os.path.join(self._by_id, os.urandom(8).hex())
        return self._know(worker, os.path.join(place, stream))

    def _know(self, worker: str, folder: str) -> StreamFiles:
        files = StreamFiles(folder, worker, self._unpacker, self._make, self._changed)
        # replaced, not changed: readers iterate over it
        self.streams[worker] = {**self.streams.get(worker, {}), files.stream: files}
        return files

    def _make(self, files: StreamFiles) -> None:
        place, worker = os.path.dirname(files.folder), files.worker
        os.makedirs(place, FOLDER_MODE, exist_ok=True)
        if not os.path.exists(os.path.join(place, "name")):
            _write_name(place, worker)
            self._link(worker, place)
        os.makedirs(files.folder, FOLDER_MODE, exist_ok=True)

    def _link(self, worker: str, place: str) -> None:
        """Makes the readable link where it is not right: relative, so that the folder can be moved."""
        link, target = os.path.join(self._root, link_name(worker)), os.path.join("by-id", os.path.basename(place))
        with contextlib.suppress(OSError):  # a link is a convenience: logs are kept without it
            if os.path.islink(link):
                if os.readlink(link) == target:
                    return
                os.unlink(link)
            os.symlink(target, link)

    def _name_by_links(self, nameless: list[str]) -> None:
        """The system puts a link on the disk at once, and the bytes of a file up to half a minute later."""
        from urllib.parse import unquote  # seldom needed, and a keeper stays small

        for link in sorted(os.listdir(self._root)):
            with contextlib.suppress(OSError, UnicodeError):
                place = os.path.join(self._root, os.readlink(os.path.join(self._root, link)))
                worker = unquote(link, errors="strict")
                if place in nameless and link == link_name(worker) and len(link) < _LONGEST:
                    self._places.setdefault(worker, place)
                    _write_name(place, worker)


def _write_name(place: str, worker: str) -> None:
    """Never half a name: the logs would be nobody's at the next start."""
    name = os.path.join(place, "name")
    with open(f"{name}{NEW}", "wb") as file:
        file.write(worker.encode())
    os.replace(f"{name}{NEW}", name)


def name_of(place: str) -> str | None:
    """Whose logs are in a folder of `by-id`; None when it does not say."""
    try:
        with open(os.path.join(place, "name"), "rb") as file:
            return file.read().decode() or None
    except (OSError, UnicodeDecodeError):
        return None


def folder_of(root: str | os.PathLike[str], worker: str) -> str | None:
    """Where a worker's logs are, by the readable name where it leads there; None when there are none. Makes nothing."""
    by_id = os.path.join(root, "by-id")
    for name in sorted(os.listdir(by_id)) if os.path.isdir(by_id) else ():
        place = os.path.join(by_id, name)
        if name_of(place) == worker:
            link = os.path.join(root, link_name(worker))
            with contextlib.suppress(OSError):
                if os.path.samefile(link, place):
                    return link
            return place
    return None


def link_name(worker: str) -> str:
    """A file name that a person recognises and that is never a path, hidden, or one of our own."""
    name = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in worker.encode())
    if name in _OWN_NAMES or name.startswith("."):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    return name[:_LONGEST]
