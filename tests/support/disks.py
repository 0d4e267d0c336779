"""A small disk of a test's own, a file on another one, and what a power cut leaves of it.

For programs in a mount namespace of their own, with which all of it goes. Freezing the outer disk holds every write of
the inner one where it is, in the middle of a commit or a rename; a copy of the file is then what a power cut at that
moment leaves. Known wart: a write that was completed stays, so a disk that loses its own cache is not played.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

FREEZE, THAW = 0xC0045877, 0xC0045878

Seen = TypeVar("Seen")


class Disk:
    """An ext4 of `size` MiB in `folder`, to be seen at `place` while the context is open."""

    def __init__(self, folder: Path, size: int) -> None:
        self.place = folder / "inner"
        self._folder, self._size = folder, size
        self._around = folder / "outer"
        self._image = self._around / "inner.img"

    def __enter__(self) -> "Disk":
        with contextlib.ExitStack() as stack:
            self._make(stack, self._folder / "outer.img", 2 * self._size + 16, self._around)
            self._make(stack, self._image, self._size, self.place, "noauto_da_alloc", "commit=1")
            self._outer = os.open(self._around, os.O_RDONLY)
            self._undo = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._outer)
        self._undo.close()

    def _make(self, stack: contextlib.ExitStack, image: Path, size: int, at: Path, *options: str) -> None:
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        call("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", lazy, str(image), f"{size}M")
        stack.enter_context(mounted(image, at, *options))

    def cut(self, copy: Path, seen: Callable[[], Seen]) -> Seen:
        """Makes `copy` the disk as it is at this moment; gives what `seen` says of the world outside then."""
        fcntl.ioctl(self._outer, FREEZE, 0)
        try:
            there = seen()
            shutil.copyfile(self._image, copy)
        finally:
            fcntl.ioctl(self._outer, THAW, 0)
        return there


@contextlib.contextmanager
def mounted(image: Path, at: Path, *options: str) -> Iterator[None]:
    """Lets a disk be seen at `at`, which is made if need be."""
    at.mkdir(exist_ok=True)
    call("mount", "-o", ",".join(("loop", "noatime", *options)), str(image), str(at))
    try:
        yield
    finally:
        call("umount", str(at))


def end_after(seconds: float) -> None:
    """Ends this program then, in order: one that is killed in the wrong moment would leave a frozen disk behind."""
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {seconds:g} s"))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def call(*argv: str) -> None:
    """Runs a program that must succeed."""
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
