"""What stands in for damaged records of an index, so that readers find order and every byte; nothing is written.

A damaged record is taken for one without bytes, just below the next whole one, which covers its bytes too; the first
of several becomes a gap "rebuilt". An index that ends before its closed segment does gets a record for the rest.

Known wart: who comes back with a key from a chunk whose record was damaged is shown lines of it again, after the gap.
"""

from collections.abc import Callable

from .index import CHUNK, ESTIMATED, LOST, Index, Mended, Record

MOST = (1 << 32) - 1


def look(
    index: Index,
    known: Mended,
    base: int,
    end: int | None,
    ceiling: Callable[[], int],
    there: Callable[[int], bool],
) -> Mended:
    """Looks at the records that came since `known`. `end` is where the segment ends, None while it is written.

    `ceiling` gives a stamp above all of this segment's, `there` says whether a byte can be read; they are asked only
    when it is needed.
    """
    if known.looked == index.count and known.closed == (end is not None):
        return known
    bad = index.damaged(known.looked)
    count = index.count
    while bad and bad[-1] == count - 1:
        bad.pop()
        count -= 1
    patches = {**known.patches, **_patches(index, bad, base)}
    if end is None:
        return Mended(count, patches)
    last = index.get(count - 1) if count else Record(0, 0, base, 0, CHUNK)
    return Mended(count, patches, _rest(last, end, ceiling, there), closed=True)


def _patches(index: Index, bad: list[int], base: int) -> dict[int, bytes]:
    """What stands in for each damaged record; a whole one follows each."""
    patches: dict[int, bytes] = {}
    for first, behind in _rows(bad):
        end = index.get(first - 1).end if first else base
        following = index.get(behind)
        for i in range(first, behind):
            flags = ESTIMATED | LOST if i == first else ESTIMATED
            size = min(max(following.end - end, 0), MOST)
            stamp = max(following.stamp - (behind - i), 0)
            patches[i] = Record(stamp, following.time, end, size, CHUNK, flags).pack()
    return patches


def _rows(numbers: list[int]) -> list[tuple[int, int]]:
    """Numbers that follow each other, as (first, last + 1)."""
    rows: list[tuple[int, int]] = []
    for number in numbers:
        if rows and rows[-1][1] == number:
            rows[-1] = rows[-1][0], number + 1
        else:
            rows.append((number, number + 1))
    return rows


def _rest(last: Record, end: int, ceiling: Callable[[], int], there: Callable[[int], bool]) -> bytes:
    """A record for the bytes behind the last one, and before it, where there is room, one that becomes a gap.

    Where the bytes are missing too, reading them makes the gap.
    """
    if last.end >= end:
        return b""
    stamp = max(ceiling() - 1, last.stamp + 1)
    rest = Record(stamp, last.time, end, last.run, CHUNK, ESTIMATED).pack()
    if stamp - 1 <= last.stamp or not there(last.end):
        return rest
    gap = Record(stamp - 1, last.time, last.end, min(end - last.end, MOST), CHUNK, ESTIMATED | LOST)
    return gap.pack() + rest
