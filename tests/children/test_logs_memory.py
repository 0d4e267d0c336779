"""The ring in memory: what it keeps, and what it says of the rest."""

from itertools import count

from supervisor_core.lines import Gap, Line, Page, View
from supervisor_core.logs import MemoryStore

VIEW = View(("a",))


def store(**limits: int) -> MemoryStore:
    ticks = count()
    return MemoryStore(lambda: 1e9 + next(ticks) / 1e3, **limits)


def texts(page: Page) -> list[str]:
    return [item.text for item in page.items if isinstance(item, Line)]


def test_it_keeps_the_newest_lines_and_counts_the_rest() -> None:
    ring = store(lines=100)
    for i in range(1000):
        ring.note("a", 1, f"{i:04d}")
    kept = texts(ring.after(VIEW, "", 9999))
    assert 100 <= len(kept) <= 113
    assert kept == [f"{i:04d}" for i in range(1000)][-len(kept) :]
    page = ring.tail(VIEW, 5)
    assert page.expired_bytes == 5 * (1000 - len(kept))
    assert page.oldest == ring.after(VIEW, "", 1).items[0].key


def test_it_keeps_to_its_size_whatever_the_lines_are() -> None:
    ring = store(size=10_000)
    stream = ring.open_stream("a", "out", 1)
    for _ in range(50):
        stream.append(b"x" * 999 + b"\n")
    assert len(texts(ring.after(VIEW, "", 99))) == 10


def test_a_worker_does_not_push_out_another() -> None:
    ring = store(lines=10)
    ring.note("b", 1, "quiet")
    for i in range(1000):
        ring.note("a", 1, str(i))
    assert texts(ring.after(View(("b",)), "", 99)) == ["quiet"]


def test_who_comes_back_late_gets_a_gap_first_and_once() -> None:
    ring = store(lines=100)
    ring.note("a", 1, "seen")
    seen = ring.after(VIEW, "", 9)
    for i in range(1000):
        ring.note("a", 1, str(i))
    page = ring.after(VIEW, seen.next, 9999)
    assert isinstance(page.items[0], Gap)
    assert page.items[0].why == "expired"
    assert not [i for i in ring.after(VIEW, page.items[0].key, 9999).items if isinstance(i, Gap)]
    keys = [item.key for item in page.items]
    assert keys == sorted(set(keys))


def test_a_line_that_never_ends_is_not_held_for_ever() -> None:
    ring = store(size=1000)
    stream = ring.open_stream("a", "out", 1)
    for _ in range(64):
        stream.append(b"\0" * (256 * 1024))
    page = ring.after(VIEW, "", 99)
    assert len(texts(page)) == 1
    assert sum(len(line.text) for line in page.open) <= 16 * 1024
