"""The orphans that may belong to runs: where they are, and which run each of them names.

An orphan's parent is one that adopts: this process when it is a subreaper, else an ancestor or the first process. So a
few lists of children tell all, and no scan of the whole system is needed. No event loop here: `Forest` is told how to
watch a descriptor and how to come back later.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from . import TAG, procfs

Undo = Callable[[], None]
Watch = Callable[[int, Callable[[], None]], Undo]
"""Takes a descriptor over and calls back once when it is readable; returns the way out, which closes it."""

Later = Callable[[float, Callable[[], None]], Undo]
"""Calls back once after some seconds; returns the way out."""

Soon = Callable[[Callable[[], None]], object]
"""Calls back before anything that has not happened yet is noticed."""


PASSES = 50
"""How often a round looks for those that were forked meanwhile before it kills what it has."""

TRIES = 10
"""How often a look begins again because somebody ended during it, who may have left a child."""

VEILED = 1.0
"""Seconds after which one in the middle of exec or of its end counts as nobody's: it may hang there for ever."""


class Orphan(NamedTuple):
    """One that was adopted: `keys` are ("session", id), ("group", id) and a ("tag", text) for each run it names.

    It is not `sure` while its environment cannot be seen because it is in the middle of exec, or of its end: then its
    environment has gone, and its children are not orphans yet.
    """

    start: int
    keys: tuple[object, ...] = ()
    sure: bool = True


class Struck(Protocol):
    """A tree that is being ended."""

    def hold(self) -> bool: ...

    def slay(self) -> None: ...


class Forest:
    """All trees of one spawner, and the orphans that may belong to them.

    `subreaper` says that orphans come to this process and nowhere else. The first look of a turn reads every
    orphan, later ones only those that are new; and trees that are ended in one turn are ended together. So a thousand
    of them cost a few looks, not thousands.
    """

    def __init__(self, watch: Watch, later: Later, soon: Soon, *, subreaper: bool = False, pidfds: bool = True) -> None:
        self.watch = watch
        self.later = later
        self._soon = soon
        self.pidfds = pidfds
        self.leaders: set[int] = set()
        self._subreaper = subreaper
        self._oldest: int | None = None
        self._known: dict[int, Orphan] = {}
        self._dead: set[int] = set()
        self._veiled: dict[tuple[int, int], float] = {}
        self._index: dict[object, list[tuple[int, int]]] = {}
        self.complete = True
        self._looked = False
        self._looked_this_turn = False
        self._struck: list[Struck] = []

    def enter(self, leader: int) -> int:
        """Takes note of a child that is no orphan; gives its start."""
        self.leaders.add(leader)
        proc = procfs.read(leader)
        start = proc.start if proc else 0
        self._oldest = start if self._oldest is None else min(start, self._oldest)  # one that was found may be older
        return start

    def forget(self) -> None:
        """Lets the next question look for orphans that have come meanwhile."""
        self._looked = False

    def orphans(self, *keys: object) -> dict[int, int]:
        """Those with one of these keys, see `Orphan`, and their starts, the youngest first.

        Some may have ended since the look. `complete` says whether nobody was missed who was there before it.
        """
        if not self._looked:
            self._look()
            self._looked = True
            if not self._looked_this_turn:
                self._looked_this_turn = True
                self._soon(self._turn_ends)
        return dict(orphan for key in keys for orphan in self._index.get(key, ()))

    # ------------------------------------------------------------ ending

    def strike(self, tree: Struck) -> None:
        """Ends it in the round that comes after this turn, with all others."""
        if not self._struck:
            self._soon(self._round)
        if tree not in self._struck:
            self._struck.append(tree)

    def _round(self) -> None:
        """Stops them until nobody of theirs can fork any more, each by itself, and kills."""
        wild, self._struck = self._struck, []
        for _ in range(PASSES):
            self.forget()
            wild = [tree for tree in wild if not tree.hold()]
            if not wild:
                break
        for tree in wild:
            tree.slay()

    # ------------------------------------------------------------ orphans

    def reap(self, most: int = sys.maxsize) -> None:
        """Collects at most so many orphans that have ended. It asks who has, and looks at all only when it must:
        when the first to be told is somebody else's to collect. Only for a subreaper, whose own other children stay in
        its session.
        """
        session = os.getsid(0)
        with contextlib.suppress(ChildProcessError):
            while most > 0 and (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
                most -= 1
                if not self._collect(ended.si_pid, session):
                    for pid in procfs.children(os.getpid()) or ():
                        self._collect(pid, session)
                    return

    def _collect(self, pid: int, session: int) -> bool:
        if pid in self.leaders or (proc := procfs.read(pid)) is None or proc.alive or proc.session == session:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return True

    def _turn_ends(self) -> None:
        self._looked = self._looked_this_turn = False

    def _look(self) -> None:
        """Looks until nobody turned out to have ended, or is in the middle of exec or of its end.

        The youngest come first and nobody twice: so what forks and ends all the time is overtaken, as a rule.
        """
        known, dead = (self._known, self._dead) if self._looked_this_turn else ({}, set())
        unsure: dict[int, Orphan] = {}
        for _ in range(TRIES):
            again, candidates = False, self._candidates()
            for pid in reversed(candidates):
                if pid in known or pid in dead:
                    continue
                orphan = self._meet(pid)
                again |= orphan is None or self._is_awaited(pid, orphan)
                unsure.pop(pid, None)
                if orphan is None:
                    dead.add(pid)
                else:
                    (known if orphan.sure else unsure)[pid] = orphan
            if not again:
                break
        self.complete = not again
        self._veiled = {key: since for key, since in self._veiled.items() if key[0] in unsure}
        self._known = {pid: known[pid] for pid in candidates if pid in known}
        self._dead, self._index = dead, {}
        for pid, orphan in reversed((self._known | unsure).items()):
            for key in orphan.keys:
                self._index.setdefault(key, []).append((pid, orphan.start))

    def _meet(self, pid: int) -> Orphan | None:
        """Reads one orphan; None when it has ended."""
        proc = procfs.read(pid)
        if proc is None or not proc.alive:
            return None
        before = self._known.get(pid)
        if before is not None and before.start == proc.start:
            return before  # whose it was it stays, whatever session and environment it has now
        if proc.start < (self._oldest or 0):
            return Orphan(proc.start)
        tags = procfs.setting(pid, TAG).split()
        keys = (("session", proc.session), ("group", proc.group), *(("tag", tag) for tag in tags))
        return Orphan(proc.start, keys, sure=bool(tags) or not procfs.veiled(pid))

    def _is_awaited(self, pid: int, orphan: Orphan) -> bool:
        """Whether it will soon be seen whose it is."""
        now = time.monotonic()
        return not orphan.sure and now - self._veiled.setdefault((pid, orphan.start), now) < VEILED

    def _candidates(self) -> list[int]:
        adopters = [os.getpid()] if self._subreaper else procfs.adopters()
        found: list[int] = []
        for adopter in adopters:
            below = procfs.children(adopter)
            if below is None:
                found = procfs.everyone()
                break
            found += below
        skipped = self.leaders | set(adopters)
        return [pid for pid in found if pid not in skipped]


def survivors(instance: str) -> list[tuple[str, int, int]]:
    """Processes of an instance's earlier life, as (worker, run, pid), found by their tags all over the system."""
    found = []
    for pid in procfs.everyone():
        for tag in procfs.setting(pid, TAG).split():
            owner, _, rest = tag.partition(":")
            run, _, worker = rest.partition(":")
            if owner == instance and run.isdigit():
                found.append((worker, int(run), pid))
    return found
