"""Several ordered sources become one page: by key, filtered, within limits. Pure; both stores use it."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from .lines import Gap, Item, Line, RunMark

READ_BUDGET = 8 * 1024 * 1024
"""Bytes that one call reads before it stops and says that there is more."""

HIDDEN_BUDGET = 20_000
"""Lines that one call hides before it stops and says that there is more."""

FIRST_BATCH, LAST_BATCH = 64, 1024
"""Items that a filter is asked about at once: few at first, since a page may be full soon."""

Match = Callable[[Sequence[Line]], Sequence[bool]]


class Cost:
    """What one call has read so far, in bytes."""

    __slots__ = ("spent",)

    def __init__(self) -> None:
        self.spent = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """Lines that the filter cannot accept were passed over, up to and with that of this key."""

    key: str


@dataclass(frozen=True, slots=True)
class Merged:
    """`last` is the key of the last item looked at, hidden ones included, or None; `hid` says that some were."""

    items: list[Item]
    last: str | None
    more: bool
    hid: bool


def merge(
    sources: Sequence[Iterable[Item | Passed]],
    limit: int,
    match: Match | None,
    cost: Cost,
    *,
    backward: bool = False,
) -> Merged:
    """Takes items in the direction of the sources until `limit` lines are there or the budget is spent."""
    items: list[Item] = []
    last: str | None = None
    lines = hidden = 0
    merged = sources[0] if len(sources) == 1 else heapq.merge(*sources, key=attrgetter("key"), reverse=backward)
    for item, shown, spent in _judged(merged, match, cost):
        if lines >= limit or hidden >= HIDDEN_BUDGET or (last is not None and spent > READ_BUDGET):
            return Merged(items, last, more=True, hid=hidden > 0)
        last = item.key
        if not shown or isinstance(item, Passed):
            hidden += 1
            continue
        lines += isinstance(item, Line)
        items.append(item)
    return Merged(items, last, more=False, hid=hidden > 0)


def _judged(
    merged: Iterable[Item | Passed], match: Match | None, cost: Cost
) -> Iterator[tuple[Item | Passed, bool, int]]:
    """The items, with whether each is shown and what had been spent when it came."""
    if match is None:
        for item in merged:
            yield item, True, cost.spent
        return
    source, size = iter(merged), FIRST_BATCH
    while batch := _batch(source, size, cost):
        found = iter(match([item for item, _ in batch if isinstance(item, Line)]))
        for item, spent in batch:
            yield item, isinstance(item, RunMark | Gap) or (isinstance(item, Line) and next(found)), spent
        size = min(2 * size, LAST_BATCH)


def _batch(source: Iterator[Item | Passed], size: int, cost: Cost) -> list[tuple[Item | Passed, int]]:
    batch: list[tuple[Item | Passed, int]] = []
    while len(batch) < size and cost.spent <= READ_BUDGET:
        item = next(source, None)
        if item is None:
            break
        batch.append((item, cost.spent))
    if not batch and (item := next(source, None)) is not None:
        batch.append((item, cost.spent))
    return batch
