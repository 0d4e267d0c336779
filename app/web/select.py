"""Which workers a request means: names, globs, labels, states. Reads snapshots; changes nothing.

Addressing is the same everywhere: `name`, `name-*`, `label:key=value`, `group:name`, `all`.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from supervisor_core.journal import Entry, Snapshot
from supervisor_core.messages import Changed
from supervisor_core.model import State, Status

from .problems import bad_query, shown, unknown_worker

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}(?:\[[0-9]{1,9}\]|\.[A-Za-z0-9][A-Za-z0-9._-]{0,62})*")
"""A worker of the config, or a child of one: PARENT[N], PARENT.NAME."""

Groups = Mapping[str, frozenset[str]]
"""The workers of each group of the config."""

STATES = frozenset(state.value for state in State)
MOST = 1000


def status_of(entry: Entry) -> Status:
    assert isinstance(entry.event, Changed)
    return entry.event.status


def find(snapshot: Snapshot, name: str) -> Entry:
    """The last entry about a worker. Raises `Problem` 404."""
    entry = snapshot.workers.get(name) if NAME.fullmatch(name) else None
    if entry is None:
        raise unknown_worker(name)
    return entry


def pick(snapshot: Snapshot, patterns: Sequence[str], groups: Groups) -> tuple[str, ...]:
    """The names that any of the patterns means, sorted. Raises `Problem` for a plain name that nobody has."""
    if len(patterns) > MOST:
        raise bad_query(f"workers= has more than {MOST} parts; use a pattern such as web-*")
    found: set[str] = set()
    for pattern in patterns:
        if pattern == "all":
            found.update(snapshot.workers)
        elif pattern.startswith("label:"):
            key, value = _label(pattern.removeprefix("label:"))
            found.update(n for n, entry in snapshot.workers.items() if status_of(entry).spec.labels.get(key) == value)
        elif pattern.startswith("group:"):
            found.update(_group(pattern.removeprefix("group:"), groups) & snapshot.workers.keys())
        elif pattern in snapshot.workers:
            found.add(pattern)
        elif any(c in pattern for c in "*?["):
            if len(pattern) > 200:
                raise bad_query("a pattern is longer than 200 characters")
            found.update(name for name in snapshot.workers if fnmatchcase(name, pattern))
        else:
            raise unknown_worker(pattern)
    return tuple(sorted(found))


def _label(label: str) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not equals or not key:
        raise bad_query(f"{shown(label)} is no label; write KEY=VALUE")
    return key, value


def _group(name: str, groups: Groups) -> frozenset[str]:
    if name not in groups:
        raise bad_query(f"there is no group named {shown(name)}; groups are {', '.join(sorted(groups)) or 'none'}")
    return groups[name]


def filtered(
    snapshot: Snapshot, groups: Groups, *, states: Sequence[str], q: str, labels: Sequence[str], group: Sequence[str]
) -> list[str]:
    """The names that all given filters accept, sorted. `none` is a state that no worker is in."""
    for state in states:
        if state not in STATES and state != "none":
            raise bad_query(f"state={shown(state)} is not known; states are {', '.join(sorted(STATES))}")
    wanted = [_label(label) for label in labels]
    members = [_group(name, groups) for name in group]
    return sorted(
        name
        for name, status in ((name, status_of(entry)) for name, entry in snapshot.workers.items())
        if (not states or status.state in states)
        and q.lower() in name.lower()
        and all(status.spec.labels.get(key) == value for key, value in wanted)
        and all(name in some for some in members)
    )
