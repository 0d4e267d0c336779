"""Pure: two sets of specs → what a reload changes. The dry run shows this value and the reload carries it out.

Keys are the fields of `WorkerSpec`. Those in `AT_ONCE` are taken while a run goes on; those in `NEW_RUN` are worth
ending it for; the others wait until it ends by itself. One with a schedule is neither ended nor begun for a change:
its next time is when the new program comes. The same in the words of the config file is `wording.py`'s.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

from .model import WorkerSpec
from .wording import in_words

AT_ONCE = frozenset(
    {
        "requires",
        "autostart",
        "patterns",
        "memory_warn",
        "logs",
        "schedule",
        "labels",
        "links",
        "groups",
        "description",
        "source",
        "origin",
    }
)
NEW_RUN = frozenset({"program", "ready_probe", "daemon"})


@dataclass(frozen=True, slots=True)
class Change:
    """One worker whose spec differs: in which keys, whether its run is ended for it, which keys wait for the next.

    `starts`: it has ended or failed by itself and is begun afresh, since what it does is another thing now. `words` are
    the keys as the config file has them, by field; of the environment the names.
    """

    name: str
    keys: tuple[str, ...]
    restarts: bool = False
    waits: tuple[str, ...] = ()
    starts: bool = False
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen; `clashes` are names that the file has and that belong to somebody else: left alone.

    `same` are those of the file that nothing happens to.
    """

    added: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    removed: tuple[str, ...] = ()
    clashes: tuple[str, ...] = ()
    same: tuple[str, ...] = field(default=(), compare=False)

    @property
    def restarted(self) -> tuple[str, ...]:
        return tuple(change.name for change in self.changed if change.restarts)

    @property
    def empty(self) -> bool:
        return not (self.added or self.changed or self.removed)


def changed_keys(old: WorkerSpec, new: WorkerSpec) -> tuple[str, ...]:
    """The keys in which two specs differ, in the order of the fields; not where they were written."""
    return tuple(key.name for key in fields(old) if key.compare and getattr(old, key.name) != getattr(new, key.name))


def while_running(old: WorkerSpec, new: WorkerSpec) -> WorkerSpec:
    """The spec that rules a live run after a change: the old one, but for what is taken at once."""
    return replace(old, **{key: getattr(new, key) for key in AT_ONCE})


def plan(
    old: Mapping[str, WorkerSpec],
    new: Iterable[WorkerSpec],
    *,
    running: Mapping[str, WorkerSpec] = MappingProxyType({}),
    removing: Collection[str] = (),
    ended: Collection[str] = (),
    disabled: Collection[str] = (),
    origin: str = "config",
) -> Plan:
    """Compares what was declared with what the file says now. Only workers of `origin` are changed or removed.

    `running` has the spec by which each wanted run goes on (an earlier change may still wait for its end);
    `removing` counts as not there; `ended` are wanted and have ended by themselves; `disabled` are not begun.
    """
    wanted = {spec.name: spec for spec in new}
    added, changed, clashes, same = [], [], [], []
    for name, spec in wanted.items():
        before = old.get(name)
        if before is None or name in removing:
            added.append(name)
        elif before.origin != origin:
            clashes.append(name)
        elif keys := changed_keys(before, spec):
            left = changed_keys(running[name], spec) if name in running else ()
            begins = spec.schedule is None and name not in disabled
            restarts = begins and not NEW_RUN.isdisjoint(left)
            waits = () if restarts else tuple(key for key in left if key not in AT_ONCE)
            starts = begins and name in ended and not AT_ONCE.issuperset(keys)
            words = {key: in_words(key, getattr(before, key), getattr(spec, key)) for key in {*keys, *waits}}
            changed.append(Change(name, keys, restarts, waits, starts, words))
        else:
            same.append(name)
    removed = [n for n, spec in old.items() if n not in wanted and n not in removing and spec.origin == origin]
    return Plan(tuple(added), tuple(changed), tuple(removed), tuple(clashes), tuple(same))
