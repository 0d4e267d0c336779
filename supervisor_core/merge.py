"""Several ordered sources become one page: by key, filtered, within limits. Pure; both stores use it."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from .lines import Item, Line

READ_BUDGET = 8 * 1024 * 1024
"""Bytes that one call reads before it stops and says that there is more."""

HIDDEN_BUDGET = 20_000
"""Lines that one call hides before it stops and says that there is more."""


class Cost:
    """What one call has read so far, in bytes."""

    __slots__ = ("spent",)

    def __init__(self) -> None:
        self.spent = 0


@dataclass(frozen=True, slots=True)
class Merged:
    """`last` is the key of the last item looked at, hidden ones included, or None; `hid` says that some were."""

    items: list[Item]
    last: str | None
    more: bool
    hid: bool


def merge(
    sources: Sequence[Iterable[Item]],
    limit: int,
    match: Callable[[Line], bool] | None,
    cost: Cost,
    *,
    backward: bool = False,
) -> Merged:
    """Takes items in the direction of the sources until `limit` lines are there or the budget is spent."""
    items: list[Item] = []
    last: str | None = None
    lines = hidden = 0
    merged = sources[0] if len(sources) == 1 else heapq.merge(*sources, key=attrgetter("key"), reverse=backward)
    for item in merged:
        if lines >= limit or hidden >= HIDDEN_BUDGET or (last is not None and cost.spent > READ_BUDGET):
            return Merged(items, last, more=True, hid=hidden > 0)
        last = item.key
        if isinstance(item, Line):
            if match is not None and not match(item):
                hidden += 1
                continue
            lines += 1
        items.append(item)
    return Merged(items, last, more=False, hid=hidden > 0)
