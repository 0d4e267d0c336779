"""Control groups (version 2) of single runs: who is in one, ending all of them, limits, and what the kernel ended.

A run gets one where it needs one, because of a limit or since it daemonises, and where we may make one: in our own
group, in the folder of this instance. That folder is held by a lock, so that whoever comes next can tell a living
owner's groups from those of one that crashed. No event loop, no policy. A group that cannot be had is no error: then
`limits.py` says what is missing, and a tree is known by its parents, sessions and tags as everywhere.

Known wart: the kernel shares out memory and processes only below groups that hold no process themselves, and our own
holds us, unless it is the root or our parent was given to us (systemd: `Delegate=yes` and `DelegateSubgroup=`). Without
that a group knows and ends its members, and limits nothing.
"""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from . import LaunchRequest, plain
from .limits import Parts, needed, split

PREFIX = "quarterdeck-"

PAGE = os.sysconf("SC_PAGE_SIZE")
"""The kernel rounds a limit of memory down to whole ones."""

TRIES = 5
"""How often the folder is made anew when somebody tidies it away in the moment before it is locked."""


class Group:
    """The group of one run. Nothing here raises: a group that has gone is an empty one."""

    def __init__(self, path: Path, controllers: Collection[str]) -> None:
        self.path = path
        self.controllers = controllers

    @property
    def entrance(self) -> str:
        """The file through which a process becomes a member; its children are members then."""
        return str(self.path / "cgroup.procs")

    def members(self) -> list[int]:
        """The pids of all that are in it or in groups below it; a zombie is no member."""
        pids: list[int] = []
        for folder, _, _ in os.walk(self.path):
            with contextlib.suppress(OSError):  # it went away meanwhile
                pids += map(int, (Path(folder) / "cgroup.procs").read_text().split())
        return [pid for pid in pids if pid]  # 0 stands for one that our namespace of pids does not show

    def kill(self) -> None:
        """KILL to all at one stroke, so that nobody forks in between; nothing where the kernel cannot (before 5.14)."""
        with contextlib.suppress(OSError):
            _write(self.path / "cgroup.kill", "1")

    def limit(self, files: Mapping[str, str]) -> None:
        """Sets limits by the names of their files. Raises OSError for one that is not taken."""
        for name, text in files.items():
            _write(self.path / name, text)

    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process of it for want of memory; known only where memory is accounted."""
        try:
            words = (self.path / "memory.events").read_text().split()
        except OSError:
            return False
        return int(dict(itertools.pairwise(words)).get("oom_kill", 0)) > 0

    def remove(self) -> bool:
        """Takes it away; False while somebody is in it."""
        return _remove(self.path)


class Groups:
    """The groups of the runs of one instance, and the folder that they are in, which is there as long as one is.

    `base` is the folder of our own group.
    """

    def __init__(self, instance: str, base: Path | None = None) -> None:
        self._name = PREFIX + plain(instance)
        self._base = base
        self._home: Path | None = None
        self._lock = -1
        self._enabled: set[str] = set()
        self._groups: list[Group] = []
        self._over: list[Group] = []

    def prepare(self, request: LaunchRequest, *, root: bool) -> tuple[Group | None, Parts]:
        """Who keeps which limit of a run, and its group, with the limits set, if it needs one and can have one."""
        wanted = needed(request.limits)
        group = self._make(request, wanted) if wanted or request.daemon else None
        if group is not None:
            parts = split(request.limits, group.controllers, root=root)
            try:
                group.limit(parts.files or {})
            except OSError:
                self.give_back(group)
            else:
                return group, parts
        return None, split(request.limits, root=root)

    def adopt(self, path: str) -> Group | None:
        """The group of a run that an earlier owner began; None when it is gone."""
        place = Path(path)
        try:
            controllers = set((place / "cgroup.controllers").read_text().split())
            self._open(place.parent.parent)
        except OSError:
            return None
        self._groups.append(Group(place, controllers))
        return self._groups[-1]

    def give_back(self, group: Group) -> None:
        """Removes the group of a run that has ended, also after `close`; later, if somebody is in it still."""
        if group in self._groups:
            self._groups.remove(group)
        self._over.append(group)
        self._tidy()
        if not (self._groups or self._over):
            self.close()

    def close(self) -> None:
        """Lets go of the folder, and removes what is empty of it."""
        if self._home is not None:
            _remove(self._home)
            os.close(self._lock)
        self._lock, self._home = -1, None
        self._groups.clear()
        self._over.clear()
        self._enabled.clear()

    # ------------------------------------------------------------ inside

    def _make(self, request: LaunchRequest, wanted: set[str]) -> Group | None:
        try:
            base = self._base or ground(own_group())
            if not os.access(base / "cgroup.procs", os.W_OK):  # as the kernel asks of who moves from there
                return None
            there = wanted & set((base / "cgroup.controllers").read_text().split())
            if not (there or request.daemon):
                return None
            home = self._open(base)
        except OSError:
            return None
        self._tidy()
        group = self._fresh(home, request, {name for name in there if self._enable(home, name)})
        if not self._groups:
            self.close()
        return group

    def _fresh(self, home: Path, request: LaunchRequest, controllers: set[str]) -> Group | None:
        if not (controllers or request.daemon):
            return None
        name = f"{plain(request.worker)[:150]}.{request.run}"
        for number in itertools.count(1):
            path = home / (name if number == 1 else f"{name}.{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue  # survivors of an earlier life are in it
            except OSError:
                break
            self._groups.append(Group(path, controllers))
            return self._groups[-1]
        return None

    def _tidy(self) -> None:
        self._over = [group for group in self._over if not group.remove()]

    def _open(self, base: Path) -> Path:
        """The folder of this instance, made and locked. Raises OSError where that cannot be had."""
        if self._home is not None:
            return self._home
        home = base / self._name
        for _ in range(TRIES):
            home.mkdir(exist_ok=True)
            fd = _locked(home)
            if fd is not None:
                self._lock, self._home = fd, home
                sweep(base)
                return home
        raise OSError(f"{home} belongs to another process")

    def _enable(self, home: Path, controller: str) -> bool:
        """Lets the groups of runs have a controller; False where it is not there for them."""
        if controller not in self._enabled:
            try:
                _write(home.parent / "cgroup.subtree_control", f"+{controller}")
                _write(home / "cgroup.subtree_control", f"+{controller}")
            except OSError:
                return False
            self._enabled.add(controller)
        return True


def own_group(pid: int | str = "self") -> Path:
    """The folder of the group that this process is in. Raises OSError where there are none of version 2."""
    group = next((line[3:] for line in _lines(f"/proc/{pid}/cgroup") if line.startswith("0::")), None)
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        if group is None or ".." in Path(group).parts:
            break  # outside of what our namespace shows
        if after.split()[0] == "cgroup2" and Path(group).is_relative_to(root):
            return Path(place) / Path(group).relative_to(root)
    raise FileNotFoundError("no control groups of version 2 are mounted")


def keeps_memory(pid: int, limit: float) -> bool:
    """Whether a process is in a group of its own worker, whose memory the kernel keeps below `limit` bytes."""
    try:
        told = (own_group(pid) / "memory.max").read_text().strip()
    except OSError:
        return False
    return told.isdigit() and int(told) == int(limit) // PAGE * PAGE


def ground(own: Path) -> Path:
    """Where groups are made: in our own one, or beside it where whoever started us left us the one around it."""
    return own.parent if _delegated(own.parent) and not _delegated(own) else own


def _delegated(group: Path) -> bool:
    """Whether systemd, or somebody who knows its ways, wrote on it that it is its processes' to divide."""
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(AttributeError, OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def sweep(base: Path) -> None:
    """Removes the groups of instances that live no more, but for those that somebody is still in."""
    for home in base.glob(PREFIX + "*"):
        fd = _locked(home)
        if fd is not None:
            _remove(home)
            os.close(fd)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder; None when another process does, or has removed it."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), folder.stat()):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _remove(folder: Path) -> bool:
    """From the bottom up: whatever is empty goes. Its files go with it."""
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(path).rmdir()
    return not folder.exists()


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _lines(path: str) -> Iterator[str]:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        yield from file.read().splitlines()
