"""Whose processes are whose, ending a tree, and the proof that nothing of it is left.

A process belongs to a run when it is below the leader, or an orphan (its parent is one that adopts) that is in the
leader's session or group or carries the run's tag in its environment, or below such an orphan, or was seen to belong
before. The proof: the leader is gone, all that were seen are gone, and no orphan matches. It is sound because an
orphan is put at the end of its new parent's list of children before its old parent can be seen dead.

Trees are ended in rounds: stop all, so that nobody forks, then kill all, and again when they are gone, until none is
found. Nothing here goes on until it has seen all, since what forks and ends faster than one can look has no all: only
that nobody is left needs a look that missed nothing, and that look is repeated later, not at once.

A run that has a control group is all that is in it, too, and the kernel ends that at one stroke.

Known wart: without one, what leaves session and group, is orphaned, and empties its environment before anybody looked
cannot be told from a stranger. Without /proc only the leader's process group is known.
"""

import contextlib
import errno
import functools
import os
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass

from . import SHOWN, Ended, procfs
from .cgroup import Group
from .forest import Forest, Undo
from .procfs import Proc

RESCAN = 0.05
"""Seconds until another look where the kernel gives no event."""

TRIES = 10
"""Looks at once for somebody who is alive, when some have ended during the look and may have left children."""


@dataclass(slots=True)
class _Seen:
    start: int
    undo: Undo | None = None


class Tree:
    """The processes of one run, whose leader was just started; `emptied` is called once, when none is left."""

    def __init__(
        self, forest: Forest, leader: int, tag: str, emptied: Callable[[], None], group: Group | None = None
    ) -> None:
        self._forest = forest
        self._leader = leader
        self._start = forest.enter(leader)
        self._tag = tag
        self._emptied = emptied
        self._group = group
        self._leader_gone = False
        self._reaped = False
        self._session_lives = True
        self._killing = False
        self._seen: dict[int, _Seen] = {}
        self._held: dict[int, Proc] = {}
        self.struck: dict[int, str] = {}
        self._settled: set[int] = set()
        self._gone: set[int] = set()
        self._again: Undo | None = None
        self.empty = False

    def members(self) -> list[Proc]:
        """Those of the run that are alive, leader first, without some of those that fork and end all the time."""
        return self._search() or []

    def signal(self, number: int) -> None:
        """Sends to every member, then once more to those that were forked meanwhile."""
        if not procfs.available():
            self._signal_group(number)
            return
        done = {proc.pid for proc in self.members() if _send(proc, number)}
        for proc in self.members():
            if proc.pid not in done:
                _send(proc, number)

    def kill(self) -> None:
        """Begins to end it; goes on by itself until it is empty."""
        if not self.empty:
            self._killing = True
            if self._group is not None:
                for pid in self._group.members():
                    self._note(pid)
                self._group.kill()
            self._forest.strike(self)

    def leader_ended(self) -> None:
        """The leader's end was seen (it need not be reaped yet): from now on the rest decides."""
        self._leader_gone = True
        self.check()

    def leader_reaped(self) -> None:
        """Its number may be given to a stranger, once nobody of its session or group is left."""
        self._reaped = True
        self._forest.leaders.discard(self._leader)

    def found_headless(self) -> None:
        """Its leader was gone before anybody looked: its number, and its session's, may be a stranger's by now."""
        self._leader_gone = self._reaped = True
        self._session_lives = False
        self._forest.leaders.discard(self._leader)
        self.check()

    def explained(self, ended: Ended) -> Ended:
        """Its leader's end; with a word about memory if that is what its control group says, and it was not us."""
        was_killed = ended.signal == signal.SIGKILL or ended.code == 128 + signal.SIGKILL  # the leader, or its shell's
        if self._killing or not was_killed or self._group is None or not self._group.out_of_memory():
            return ended
        return Ended(ended.code, ended.signal, f"{ended}, likely out of memory: the kernel ended some of it for that")

    def check(self) -> None:
        """Proves that it is empty and says so, or watches what is left."""
        if (left := self._left()) and self._killing:
            self._forest.strike(self)
        else:
            self._watch(left)

    def hold(self) -> bool:
        """Stops those that are not stopped yet; kills all, and says so, when there are none.

        Who was looked at once more after it was stopped has no further children, and is not looked at again.
        """
        found, ended = self._gather(self._settled)
        self._settled.update(proc.pid for proc in found if proc.pid in self._held)
        fresh = [proc for proc in found if proc.pid not in self._held]
        for proc in fresh:
            self._held[proc.pid] = proc
            self._note(proc.pid)
            _send(proc, signal.SIGSTOP)
        if calm := not fresh and ended <= self._gone:
            self.slay()
        self._gone |= ended
        return calm

    def slay(self) -> None:
        """Kills those that were stopped, and watches what does not go at once; whoever is new is next."""
        if not procfs.available():
            self._signal_group(signal.SIGKILL)
        killed = set(self._held)
        for proc in self._held.values():
            self._seen.setdefault(proc.pid, _Seen(proc.start))
            _send(proc, signal.SIGKILL)
        for of_this_round in (self._held, self._settled, self._gone):
            of_this_round.clear()
        if self._group is not None:
            self._group.kill()
        self._watch(left := self._left())
        if procfs.available() and any(proc.pid not in killed for proc in left):
            self._forest.strike(self)

    def close(self) -> None:
        """Looks no more; whatever lives on is no longer known."""
        self.empty = True
        self._forest.leaders.discard(self._leader)
        if self._again is not None:
            self._again()
        for seen in self._seen.values():
            if seen.undo is not None:
                seen.undo()
        self._seen.clear()

    # ------------------------------------------------------------ inside

    def _search(self) -> list[Proc] | None:
        """Those that are alive; None when nobody was found, but somebody may have been missed."""
        dead: set[int] = set()
        for tried in range(TRIES):
            if self.empty:
                break
            found, ended = self._gather()
            if ended <= dead and self._forest.complete:
                return found
            if found and tried:
                return found
            dead |= ended  # since the look, perhaps: then its children came to somebody who adopts after it
            self._forest.forget()
        return [] if self.empty else None

    def _gather(self, settled: Collection[int] = ()) -> tuple[list[Proc], set[int]]:
        """Those that are alive, and those that turned out to have ended; who is settled is in neither."""
        found: dict[int, Proc] = {}
        ended: set[int] = set()
        todo: list[tuple[int, int]] = [] if self._leader_gone else [(self._leader, 0)]
        todo += [(pid, 0) for pid in self._group.members()] if self._group is not None else []
        todo += self._forest.orphans(*self._keys()).items()
        todo += [(pid, seen.start) for pid, seen in self._seen.items()]
        for pid, start in todo:
            if pid in settled:
                continue
            proc = None if pid in found else procfs.read(pid)
            if proc is None or not proc.alive or (start and start != proc.start):
                ended |= {pid} - found.keys()
            elif proc.start >= self._start:
                found[pid] = proc
                todo += [(child, 0) for child in procfs.children(pid) or ()]
        return list(found.values()), ended - {self._leader}

    def _note(self, pid: int) -> None:
        """Takes note of one that is about to be killed; a name for the first few is enough."""
        if pid not in self.struck:
            self.struck[pid] = procfs.name(pid) if len(self.struck) < SHOWN else ""

    def _keys(self) -> list[object]:
        keys: list[object] = [("tag", self._tag)] if self._tag else []
        if self._session_lives:
            keys += [("session", self._leader), ("group", self._leader)]
        return keys

    def _left(self) -> list[Proc]:
        """Who is left without the leader; says that the tree is empty when that is nobody."""
        if self.empty or not self._leader_gone:
            return []
        left = self._search() if procfs.available() else self._group_left()
        if left is None:
            self._come_back()
            return []
        if not left:
            self.close()
            self._emptied()
            del self._emptied  # whose it is holds this one, too
        elif self._reaped and not any(self._leader in (proc.session, proc.group) for proc in left):
            self._session_lives = False
        return left

    def _watch(self, left: list[Proc]) -> None:
        for proc in left:
            seen = self._seen.setdefault(proc.pid, _Seen(proc.start))
            if seen.undo is None and (fd := self._open(proc)) is not None:
                seen.undo = self._forest.watch(fd, functools.partial(self._member_ended, proc.pid))
        watched = any(seen.undo for seen in self._seen.values())
        if left and not watched:
            self._come_back()

    def _open(self, proc: Proc) -> int | None:
        """A pidfd of exactly this process; None where there is none to be had."""
        if not self._forest.pidfds:
            return None
        try:
            return os.pidfd_open(proc.pid)
        except OSError:
            return None

    def _member_ended(self, pid: int) -> None:
        seen = self._seen.pop(pid, None)
        if seen is None or seen.undo is None:
            return
        seen.undo()
        if not any(other.undo for other in self._seen.values()):
            self.check()

    def _come_back(self) -> None:
        if self._again is None:
            self._again = self._forest.later(RESCAN, self._look_again)

    def _look_again(self) -> None:
        self._again = None
        self._forest.forget()
        self.check()

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, number)

    def _group_left(self) -> list[Proc]:
        """Where there is no /proc: the leader's group as one."""
        try:
            os.killpg(self._leader, 0)
        except OSError as error:
            if error.errno == errno.ESRCH:
                return []
        return [Proc(self._leader, 0, self._leader, self._leader, self._start, alive=True)]


def _send(proc: Proc, number: int) -> bool:
    """Sends to exactly this process; False when it is gone or another user's."""
    try:
        fd = os.pidfd_open(proc.pid)
    except (AttributeError, OSError):
        fd = -1
    try:
        now = procfs.read(proc.pid)
        if now is None or now.start != proc.start:
            return False
        if fd >= 0:
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(proc.pid, number)
    except OSError:
        return False
    finally:
        if fd >= 0:
            os.close(fd)
    return True
