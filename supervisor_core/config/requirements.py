"""The three forms of `requires`, and what names in it mean once all workers are known.

A requirement on a replicated worker or on a group is one on each of its workers. What the conditions do is the
machine's. Known wart: `healthy` and `{ log = … }` are understood and refused here, since no probe exists yet.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph import circle
from ..model import Condition, Follow, Requirement
from .keys import CONDITIONS, LATER_CONDITIONS, REQUIREMENT
from .problems import Found, Problems
from .reading import Words, fields_of, nearest, parsed
from .values import shown

LIST_FORM = 'write ["db"], { db = "started" } or { db = { condition = "ready", follow = "restart" } }'


@dataclass(frozen=True, slots=True)
class Wish:
    """One requirement as it was written: its name may stand for many workers."""

    name: str
    condition: Condition
    follow: Follow
    found: Found


def read_requires(found: Found, expand: Any, problems: Problems) -> list[Wish]:
    """Gives the wishes of one worker; `expand` is applied to each name."""
    value = [found.value] if isinstance(found.value, str) else found.value
    if isinstance(value, list):
        items = [(name, "ready", found.inner(i, name)) for i, name in enumerate(value)]
    elif isinstance(value, dict):
        items = [(name, entry.value, entry) for name, entry in found.items().items()]
    else:
        problems.add(found, f"{shown(value)} is no requirement; {LIST_FORM}")
        return []
    wishes = []
    for name, told, place in items:
        if not isinstance(name, str):
            problems.add(place, f"{shown(name)} is no name; {LIST_FORM}")
        elif wish := _wish(expand(name), told, place, problems):
            wishes.append(wish)
    return wishes


def _wish(name: str, told: Any, place: Found, problems: Problems) -> Wish | None:
    follow = "ignore"
    if isinstance(told, dict) and "log" not in told:
        fields = fields_of(place, REQUIREMENT, problems)
        follow = parsed(REQUIREMENT.keys[1], fields.get("follow"), problems, Words({}, {}))
        told = fields["condition"].value if "condition" in fields else "ready"
        place = fields.get("condition", place)
    condition = _condition(told, place, problems)
    return Wish(name, Condition(condition), Follow(follow), place) if condition else None


def _condition(told: Any, place: Found, problems: Problems) -> str:
    if isinstance(told, dict):
        pattern = told.get("log")
        if set(told) != {"log"} or not isinstance(pattern, str):
            problems.add(place, f'is no condition; write one of {", ".join(CONDITIONS)} or {{ log = "regex" }}')
            return ""
        try:
            re.compile(pattern)
        except re.error as error:
            problems.add(place, f"{shown(pattern)} is no regular expression ({error}); correct it")
            return ""
        told = "log"
    elif told not in CONDITIONS:
        problems.add(place, f"{shown(told)} is no condition; {nearest(str(told), CONDITIONS, say='write one of')}")
        return ""
    if told in LATER_CONDITIONS:
        problems.add(place, f'the condition "{told}" is not supported yet; use "ready" for now')
        return ""
    return str(told)


def resolve(
    name: str, wishes: Sequence[Wish], meanings: Mapping[str, tuple[str, ...]], problems: Problems
) -> tuple[Requirement, ...]:
    """Gives a worker's requirements, a name that stands for many spread out, each worker once.

    What names a worker itself goes before what names it through its group. A worker is never made to require itself
    by a name that stands for many.
    """
    chosen: dict[str, Requirement] = {}
    for wish in sorted(wishes, key=lambda w: meanings.get(w.name) != (w.name,)):
        targets = meanings.get(wish.name.removeprefix("group:"))
        if targets is None:
            problems.add(wish.found, f"no worker or group is named {shown(wish.name)}; {nearest(wish.name, meanings)}")
            continue
        for target in targets:
            if target == name and targets != (name,):
                continue
            chosen.setdefault(target, Requirement(target, wish.condition, wish.follow))
    return tuple(chosen.values())


def check_circles(
    requires: Mapping[str, tuple[Requirement, ...]], places: Mapping[str, Found], problems: Problems
) -> None:
    """Notes each circle once, as a path; taking one edge out of each shows the next."""
    left = dict(requires)
    while path := circle(left):
        found = places[path[0]]
        problems.add(found, f"the requirements form a circle: {' → '.join(path)}; take one of them out")
        left[path[0]] = tuple(edge for edge in left[path[0]] if edge.name != path[1])
