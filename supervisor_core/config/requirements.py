"""The three forms of `requires`, and what names in it mean once all workers are known.

A requirement on a replicated worker or on a group is one on each of its workers. What the conditions do is the
machine's; that a target is looked at for them (an `alive` probe, patterns in its output) is seen to here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph import circle
from ..model import Condition, Follow, Requirement
from .keys import CONDITIONS, REQUIREMENT
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
    pattern: str = ""


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
    if isinstance(told, dict) and set(told) != {"log"}:
        fields = fields_of(place, REQUIREMENT, problems)
        follow = parsed(REQUIREMENT.keys[1], fields.get("follow"), problems, Words({}, {}))
        if "log" in fields and "condition" in fields:
            problems.add(fields["log"], "stands beside condition; remove one of them")
            return None
        told = {"log": fields["log"].value} if "log" in fields else "ready"
        told = fields["condition"].value if "condition" in fields else told
        place = fields.get("condition", fields.get("log", place))
    pattern = _pattern(told, place, problems) if isinstance(told, dict) else ""
    if pattern:
        return Wish(name, Condition.LOG, Follow(follow), place, pattern)
    if not isinstance(told, dict) and told not in CONDITIONS:
        problems.add(place, f"{shown(told)} is no condition; {nearest(str(told), CONDITIONS, say='write one of')}")
    return Wish(name, Condition(told), Follow(follow), place) if told in CONDITIONS else None


def _pattern(told: dict[str, Any], place: Found, problems: Problems) -> str:
    """The pattern of a condition `{ log = "regex" }`; "" where something is wrong, which is noted."""
    pattern = told.get("log")
    if set(told) != {"log"} or not isinstance(pattern, str) or not pattern:
        problems.add(place, f'is no condition; write one of {", ".join(CONDITIONS)} or {{ log = "regex" }}')
        return ""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        problems.add(place, f"{shown(pattern)} is no regular expression ({error}); correct it")
        return ""
    return pattern


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
            chosen.setdefault(target, Requirement(target, wish.condition, wish.follow, wish.pattern))
    return tuple(chosen.values())


def patterns_of(requires: Mapping[str, tuple[Requirement, ...]]) -> dict[str, tuple[str, ...]]:
    """What has to be watched for in the output of each worker, since others wait for it."""
    found: dict[str, set[str]] = {}
    for edges in requires.values():
        for edge in edges:
            if edge.condition is Condition.LOG:
                found.setdefault(edge.name, set()).add(edge.pattern)
    return {name: tuple(sorted(patterns)) for name, patterns in found.items()}


def check_health(
    requires: Mapping[str, tuple[Requirement, ...]], watched: Mapping[str, bool], places: Mapping[str, Found],
    problems: Problems,
) -> None:  # fmt: skip
    """Notes who waits for the health of a worker that nobody looks at; `watched` says who has an `alive` probe."""
    for name, edges in requires.items():
        for edge in edges:
            if edge.condition is Condition.HEALTHY and not watched.get(edge.name, True):
                problems.add(
                    places[name],
                    f"waits for {edge.name} to be healthy, which nothing looks at; give {edge.name} an alive probe",
                )


def check_circles(
    requires: Mapping[str, tuple[Requirement, ...]], places: Mapping[str, Found], problems: Problems
) -> None:
    """Notes each circle once, as a path; taking one edge out of each shows the next."""
    left = dict(requires)
    while path := circle(left):
        found = places[path[0]]
        problems.add(found, f"the requirements form a circle: {' → '.join(path)}; take one of them out")
        left[path[0]] = tuple(edge for edge in left[path[0]] if edge.name != path[1])
