"""Whose each process is, and the sums over the tree of each run.

A process belongs to a run when its parent does, or when it was orphaned and is in the main process's session or group
or carries the run's tag; what was seen to belong stays so. The same rules as in `children/tree.py`, which ends trees:
there nobody may be missed, here a look is cheap. All that can be seen is listed once a look, and only who is new is
asked whose it is. Belongs to one thread; `close` gives the descriptors back.

Rates are differences of counters that the kernel hands on from a child to the parent who waits for it. So what is gone
counts in its parent, once, and what ended between two looks is counted all the same.

Known wart: what left session and group, was orphaned, and emptied its environment before anybody looked is not counted.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from supervisor_core.children import TAG, make_tag, procfs

from . import MEMORY, PERIOD, Row, Sample, Target, Values
from .proc import FILES, TICKS, Kept, Numbers, weigh

SHORTLY = 3 * PERIOD
"""Seconds after which counters of an earlier look say nothing of now."""

Key = tuple[str, int]
"""A run: worker and number."""

GpuUse = Mapping[int, tuple[float | None, float | None]]
"""Percent and bytes by pid."""


@dataclass(slots=True)
class _Tree:
    """`moved`: one of its processes has run, come or gone since `before`; else it `rests`: its rates are 0."""

    target: Target
    tag: str
    moved: bool = True
    rests: bool = False
    used: Values = ()
    procs: dict[int, Kept] = field(default_factory=dict)
    before: Mapping[int, Numbers] | None = None

    def now(self) -> dict[int, Numbers]:
        return {pid: proc.now for pid, proc in self.procs.items() if proc.now is not None}


class _Signs:
    """What main processes and orphans show of whose they are. `veiled` are those that show nothing just now."""

    def __init__(self, trees: Collection[_Tree], fresh: Mapping[int, Kept], pids: Collection[int]) -> None:
        self.veiled: set[int] = set()
        self._leaders = {tree.target.pid: tree for tree in trees}
        self._tags = {tree.tag: tree for tree in trees}
        self._pids = pids
        mains = [tree.procs.get(pid) or fresh.get(pid) for pid, tree in self._leaders.items()]
        starts = [main.now.start if main is not None and main.now is not None else 0 for main in mains]
        self._oldest = min(starts, default=0)

    def read(self, proc: Kept) -> _Tree | None:
        """The run that it belongs to by itself; None for a stranger."""
        now = proc.now
        if now is None or now.start < self._oldest:
            return None
        tree = self._leaders.get(proc.pid)
        if tree is not None and not tree.target.headless:
            return tree
        for key in (now.session, now.group):
            tree = self._leaders.get(key)
            if tree is not None and not (tree.target.headless and key in self._pids):  # then a stranger has the number
                return tree
        tags = procfs.setting(proc.pid, TAG).split()
        if not tags and procfs.veiled(proc.pid):
            self.veiled.add(proc.pid)
        return next((self._tags[tag] for tag in tags if tag in self._tags), None)


class Trees:
    """The processes of runs of one instance. `keep` descriptors may be open at a time."""

    def __init__(self, instance: str, now: Callable[[], float], *, keep: int) -> None:
        self._instance = instance
        self._now = now
        self._room = keep // FILES
        self._trees: dict[Key, _Tree] = {}
        self._owners: dict[int, _Tree] = {}
        self._foreign: set[int] = set()
        self._last: float | None = None
        self._since = 0

    def sample(self, targets: Iterable[Target], gpus: GpuUse | None = None) -> Sample:
        """What each of them uses now. Raises OSError where nothing can be seen at all."""
        now, ticks = self._now(), time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS
        since = self._last if self._last is not None and now - self._last <= SHORTLY else now
        self._take(targets)
        self._look()
        rows = {}
        for tree in self._trees.values():
            rows[tree.target.worker] = Row(tree.target.run, self._used(tree, now - since, gpus))
        self._last, self._since = now, int(ticks)
        return Sample(now, since, rows)

    def weigh(self, worker: str) -> float | None:
        """The exact memory of a worker's tree as of now, in bytes; None where it is not shown."""
        sizes = [weigh(pid) for tree in self._of(worker) for pid, p in tree.procs.items() if p.now and p.now.alive]
        known = [size for size in sizes if size is not None]
        return None if len(known) < len(sizes) or not sizes else float(sum(known))

    def close(self) -> None:
        """Forgets everything."""
        for tree in self._trees.values():
            self._drop(tree)
        self._trees.clear()
        self._owners.clear()
        self._foreign.clear()
        self._last = None

    # ------------------------------------------------------------ whose is it

    def _of(self, worker: str) -> Sequence[_Tree]:
        return [tree for tree in self._trees.values() if tree.target.worker == worker]

    def _take(self, targets: Iterable[Target]) -> None:
        """Takes up new runs and lets go of those that are over. A new one may have been nobody's until now."""
        wanted = {(target.worker, target.run): target for target in targets}
        for key in self._trees.keys() - wanted.keys():
            self._drop(self._trees.pop(key))
        for key, target in wanted.items():
            if key not in self._trees:
                self._foreign.clear()
                self._trees[key] = _Tree(target, make_tag(self._instance, *key))
            self._trees[key].target = target

    def _drop(self, tree: _Tree) -> None:
        for pid, proc in tree.procs.items():
            self._owners.pop(pid, None)
            self._close(proc)
        tree.procs.clear()

    def _close(self, proc: Kept) -> None:
        if proc.keeps:
            self._room += 1
        proc.close()

    def _look(self) -> None:
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        for tree in self._trees.values():
            for pid, proc in list(tree.procs.items()):
                before = proc.now
                now = proc.look() if pid in pids else None
                tree.moved |= now is not before
                if now is None:
                    del tree.procs[pid], self._owners[pid]
                    self._close(proc)
        self._foreign &= pids
        fresh: dict[int, Kept] = {}
        for pid in pids - self._foreign - self._owners.keys():
            proc = Kept(pid, keep=False)
            if proc.look(rest=False) is not None:
                fresh[pid] = proc
        if fresh:
            self._assign(fresh, pids)

    def _assign(self, fresh: Mapping[int, Kept], pids: set[int]) -> None:
        signs = _Signs(self._trees.values(), fresh, pids)
        judged: dict[int, _Tree | None] = {}
        for pid in fresh:
            chain = []
            while pid in fresh and pid not in judged:
                chain.append(pid)
                judged[pid] = None
                pid = _parent(fresh[pid])
            found = judged.get(pid) or self._owners.get(pid)
            for one in reversed(chain):  # from the oldest down: a child is whose its parent is
                found = judged[one] = found or signs.read(fresh[one])
        for pid, tree in judged.items():
            if tree is not None:
                self._adopt(tree, fresh[pid])
            elif pid not in signs.veiled:
                self._foreign.add(pid)

    def _adopt(self, tree: _Tree, seen: Kept) -> None:
        proc = Kept(seen.pid, keep=self._room > 0)
        self._room -= proc.keeps
        now = proc.look()
        if now is None or seen.now is None or now.start != seen.now.start:
            self._close(proc)
            return
        tree.procs[proc.pid] = proc
        self._owners[proc.pid] = tree
        tree.moved = True

    # ------------------------------------------------------------ sums

    def _used(self, tree: _Tree, elapsed: float, gpus: GpuUse | None) -> Values:
        if tree.moved or tree.before is None or not elapsed:
            now = tree.now()
            tree.used = self._sums(tree.before, now, elapsed)
            tree.before, tree.moved, tree.rests = now, False, False
        elif not tree.rests and tree.used[MEMORY] is not None:
            shown = all(numbers.read is not None for numbers in tree.before.values())
            rate = 0.0 if shown else None
            tree.used, tree.rests = (0.0, *tree.used[1:-2], rate, rate), True
        if gpus is None or not tree.before:
            return (*tree.used, None, None)
        mine = [gpus[pid] for pid in tree.before if pid in gpus]
        return (*tree.used, _sum([percent for percent, _ in mine]), _sum([size for _, size in mine]))

    def _sums(self, before: Mapping[int, Numbers] | None, now: Mapping[int, Numbers], elapsed: float) -> Values:
        """All but what GPUs do."""
        alive = [numbers for numbers in now.values() if numbers.alive]
        if not alive:
            return (None,) * 7
        fds = [numbers.fds for numbers in alive]
        if before is None and all(numbers.start >= self._since for numbers in now.values()):
            before = {}
        cpu = read = written = None
        if before is not None and elapsed > 0:
            gains = (self._gain(before, now, of) for of in (_cpu, _read, _written))
            cpu, read, written = (None if gain is None else gain / elapsed for gain in gains)
        return (
            None if cpu is None else cpu * 100,
            float(sum(numbers.memory for numbers in alive)),
            None if None in fds else float(sum(filter(None, fds))),
            float(sum(numbers.threads for numbers in alive)),
            float(len(alive)),
            read,
            written,
        )

    def _gain(
        self, before: Mapping[int, Numbers], now: Mapping[int, Numbers], of: Callable[[Numbers], float | None]
    ) -> float | None:
        """By how much a counter of the tree has grown; None where one of its processes does not show it."""
        gone: dict[int, float] = {}
        for pid, numbers in before.items():
            if pid not in now:
                heir = numbers.parent
                while heir in before and heir not in now:
                    heir = before[heir].parent
                gone[heir] = gone.get(heir, 0.0) + (of(numbers) or 0.0)
        total = 0.0
        for pid, numbers in now.items():
            value, old = of(numbers), before.get(pid)
            if value is None:
                return None
            if old is not None:
                value -= value if (base := of(old)) is None else base
                inherited = gone.get(pid, 0.0)
                total += value - inherited if value >= inherited else value  # else nobody waited for them
            elif numbers.start >= self._since:
                total += value
        return max(total, 0.0)


def _parent(proc: Kept) -> int:
    return proc.now.parent if proc.now is not None else 0


def _cpu(numbers: Numbers) -> float | None:
    return numbers.cpu


def _read(numbers: Numbers) -> float | None:
    return numbers.read


def _written(numbers: Numbers) -> float | None:
    return numbers.written


def _sum(values: Sequence[float | None]) -> float | None:
    """None when one of them is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
