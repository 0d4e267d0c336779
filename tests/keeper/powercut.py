"""Cuts the power of a small disk on which a book is kept: a program of its own, in a mount namespace of its own.

    python powercut.py FOLDER CUTS SEED SECONDS

How a power cut is played says `tests/support/disks.py`. Each copy of the disk is mounted, and the book in it opened: it
must say what was true once, not before the newest step that was acknowledged.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from supervisor_core.children import Ended
from supervisor_core.keeper import book as module
from supervisor_core.keeper.book import Book
from tests.support.disks import Disk, end_after, mounted

STEP = 4
"""Bytes that tell the number of a step."""

State = tuple[dict[str, bytes], list[tuple[int, int | None, bool]]]


def note_of(n: int) -> tuple[str, bytes]:
    return f"w{n % 11}", b"%d " % n + b"x" * (n * 37 % 900)


def tell(book: Book, n: int) -> None:
    """Does the nth step, which is one record."""
    match n % 8:
        case 2:
            book.intend("r", n, tag=str(n))
        case 3:
            book.started("r", n - 1, n, n)
        case 4:
            book.exited("r", n - 2, Ended(code=0))
        case 5:
            book.forget("r", n - 3)
        case _:
            book.note(*note_of(n))


def truth(n: int) -> State:
    """What is so after the nth step: the notes, and the run's number, pid and whether it has ended."""
    notes: dict[str, bytes] = {}
    for step in range(max(n - 100, 1), n + 1):
        if step % 8 not in (2, 3, 4, 5):
            worker, data = note_of(step)
            notes[worker] = data
    run, phase = n - n % 8 + 2, n % 8
    return notes, [(run, run + 1 if phase > 2 else None, phase > 3)] if 2 <= phase <= 4 else []


def said(book: Book) -> State:
    return dict(book.notes), [(run, record.pid, record.ended is not None) for (_, run), record in book.runs.items()]


def write(folder: str, seed: int) -> None:
    """Goes on until it is killed. Each acknowledged step is told by its number on the standard output."""
    chance = random.Random(seed)
    module.SMALL = 6000  # many compactions
    book = Book(folder)
    n = 0
    while True:
        for _ in range(chance.randint(1, 12)):
            n += 1
            tell(book, n)
        if chance.random() < 0.05:
            book._records.rewrite(book._all())  # also right before an acknowledgement
        book.sync()
        os.write(1, n.to_bytes(STEP, "little"))


def newest(acknowledged: int) -> int:
    """The last step that is told by now, and at least one more than before."""
    data = os.read(acknowledged, 1 << 16)
    return int.from_bytes(data[-STEP:], "little")


def newest_of_all(acknowledged: int) -> int:
    """The last step that is told by now; 0 where none was told since."""
    os.set_blocking(acknowledged, False)
    try:
        return newest(acknowledged)
    except BlockingIOError:
        return 0
    finally:
        os.set_blocking(acknowledged, True)


def look(copy: Path, at: Path, acknowledged: int) -> tuple[int, bool]:
    """Opens the book on a disk after the cut. Gives how many steps more it knows, and whether a rewriting was cut."""
    with mounted(copy, at):
        left = sorted(set(os.listdir(at)) - {"lost+found"})
        book = Book(str(at))
        book.close()
        assert not book.damaged, book.damaged
        known = [n for n in range(acknowledged, acknowledged + 100) if said(book) == truth(n)]
        assert known, f"step {acknowledged} was acknowledged, and the book says {said(book)}"
        (name,) = set(os.listdir(at)) - {"lost+found"}
        assert (at / name).stat().st_size > 0
        book = Book(str(at))
        book.note("after", b"it goes on")
        book.sync()
        book.close()
    return known[0] - acknowledged, left != ["records"]


def main(folder: Path, cuts: int, seed: int) -> None:
    chance = random.Random(seed)
    copy, after = folder / "copy.img", folder / "after"
    argv = [sys.executable, __file__, "write", str(folder / "inner"), str(seed)]
    more = cut_short = 0
    with Disk(folder, 16) as disk, subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout
            acknowledged = writer.stdout.fileno()
            for _ in range(cuts):
                for _ in range(chance.randint(1, 6)):
                    latest = newest(acknowledged)
                    assert latest, "the writer ended"
                for _ in range(chance.randrange(40_000)):  # into the middle of a step
                    pass
                latest = disk.cut(copy, lambda: newest_of_all(acknowledged)) or latest
                steps, rewriting = look(copy, after, latest)
                more += steps > 0
                cut_short += rewriting
        finally:
            writer.kill()
    print(f"{cuts} cuts, up to step {latest}; {more} kept steps that were under way, {cut_short} came upon a rewriting")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    else:
        end_after(float(sys.argv[4]))
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
