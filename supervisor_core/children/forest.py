"""The orphans that may belong to runs: where they are, and which run each of them names.

An orphan's parent is one that adopts: this process when it is a subreaper, else an ancestor or the first process. So a
few lists of children tell all, and no scan of the whole system is needed. No event loop here: `Forest` is told how to
watch a descriptor and how to come back later.
"""

import contextlib
import os
from collections.abc import Callable

from . import TAG, procfs

Undo = Callable[[], None]
Watch = Callable[[int, Callable[[], None]], Undo]
"""Takes a descriptor over and calls back once when it is readable; returns the way out, which closes it."""

Later = Callable[[float, Callable[[], None]], Undo]
"""Calls back once after some seconds; returns the way out."""

Soon = Callable[[Callable[[], None]], object]
"""Calls back before anything that has not happened yet is noticed."""


class Forest:
    """All trees of one spawner, and the orphans that may belong to them.

    `subreaper` says that orphans come to this process and nowhere else. The list of orphans is kept for one turn of
    the loop: many trees that end together then cost one look.
    """

    def __init__(self, watch: Watch, later: Later, soon: Soon, *, subreaper: bool = False, pidfds: bool = True) -> None:
        self.watch = watch
        self.later = later
        self._soon = soon
        self.pidfds = pidfds
        self.leaders: set[int] = set()
        self._subreaper = subreaper
        self._oldest: int | None = None
        self._orphans: dict[object, list[int]] | None = None

    def enter(self, leader: int) -> int:
        """Takes note of a child that is no orphan; gives its start."""
        self.leaders.add(leader)
        proc = procfs.read(leader)
        start = proc.start if proc else 0
        if self._oldest is None:
            self._oldest = start
        return start

    def forget(self) -> None:
        self._orphans = None

    def orphans(self, *keys: object) -> set[int]:
        """Those with one of these keys: ("session", id), ("group", id), ("tag", text)."""
        if self._orphans is None:
            self._orphans = self._look()
            self._soon(self.forget)
        return {pid for key in keys for pid in self._orphans.get(key, ())}

    def reap(self) -> None:
        """Collects orphans that have ended. Only for a subreaper, whose own other children stay in its session."""
        session = os.getsid(0)
        for pid in procfs.children(os.getpid()) or ():
            if pid not in self.leaders and (proc := procfs.read(pid)) and not proc.alive and proc.session != session:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _look(self) -> dict[object, list[int]]:
        """Looks until no candidate died or changed unseen since the look before."""
        unsure: set[int] = set()
        while True:
            index: dict[object, list[int]] = {}
            doubtful = set()
            for pid in self._candidates():
                proc = procfs.read(pid)
                if proc is None or not proc.alive:
                    doubtful.add(pid)
                elif proc.start >= (self._oldest or 0):
                    tags = procfs.setting(pid, TAG).split()
                    if not tags and not procfs.environment(pid):
                        doubtful.add(pid)  # perhaps in the middle of exec
                    for key in (("session", proc.session), ("group", proc.group), *(("tag", tag) for tag in tags)):
                        index.setdefault(key, []).append(pid)
            if doubtful <= unsure:
                return index
            unsure |= doubtful

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
