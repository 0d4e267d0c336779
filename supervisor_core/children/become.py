"""What a child makes of itself before it runs its program: user, limits, terminal. Runs in the child, after the fork.

Two ways in: `become`, for whoever has just forked and shares nothing with other threads; and this file as a program of
its own (`python -I -S become.py ORDER REPORT`), for whoever must not run Python between fork and exec. It imports
almost nothing, and nothing of this package, so that it starts in 7 ms: keep it so. No policy and no sentences; those
are in `refusals.py`.

Known wart: `_signal` is a private module; the public one imports enum, which doubles the time.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import grp
import os
import pwd
import resource
import stat
import sys
import termios

TYPE_CHECKING = False  # as typing has it, whose import would double the time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

READY = b"+"
"""Reported when nothing is left to do but exec; an end of the report without it means that this program broke down."""


class Failed(Exception):
    """One step was not possible, so the program must not run. `number` is an errno, or 0; `text` what it was about."""

    def __init__(self, step: str, number: int, text: str = "") -> None:
        super().__init__(step, number, text)
        self.step, self.number, self.text = step, number, text


def become(
    argv: list[bytes],
    environment: dict[bytes, bytes],
    directory: bytes,
    *,
    user: str = "",
    group: str = "",
    umask: int = -1,
    nice: int | None = None,
    limits: Sequence[tuple[str, int, int]] = (),
    join: Sequence[str] = (),
    terminal: bool = False,
    ready: Callable[[], object] = bool,
) -> None:
    """Does all of it and then runs the program: never returns. Raises `Failed`; what was done so far stays done.

    `limits` are (name, number, value), for both the soft and the hard limit. `join` are the `cgroup.procs` files to
    enter. With `terminal` standard input becomes the controlling terminal. With a user, USER, LOGNAME and HOME are
    set where `environment` lacks them. `ready` is called when only exec is left.
    """
    for path in join:
        _try("join", path, _write, path)
    _try("session", "", _session, terminal)
    account = _Account(user, group) if user or group else None  # to look names up takes a millisecond
    for name, number, value in limits:
        _try("limit", name, _limit, number, value)
    if nice is not None:
        _try("nice", str(nice), os.setpriority, os.PRIO_PROCESS, 0, nice)
    if umask >= 0:
        os.umask(umask)
    if account is not None:
        _try("account", user or group, account.take)
        account.introduce(environment)
    _try("directory", "", os.chdir, directory)
    ready()
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)  # Python ignores them, and exec would hand that on
    _try("exec", "", _exec, argv, environment)


class _Account:
    """Whom to become: looked up at once, so that limits cannot be in the way."""

    def __init__(self, user: str, group: str) -> None:
        self.uid, self.gid, self.name, self.home, self.named = os.geteuid(), os.getegid(), "", "/", bool(user)
        found = _user(user or str(self.uid))
        if found is not None:
            self.uid, self.name, self.home = found.pw_uid, found.pw_name, found.pw_dir
            self.gid = found.pw_gid if user else self.gid
        elif user:
            self.uid = _number(user, "user")
            if not group:
                raise Failed("group of user", 0, user)
        if group:
            entry = _group(group)
            self.gid = _number(group, "group") if entry is None else entry.gr_gid

    def take(self) -> None:
        """Becomes it for good. The log pipes become its own too: else it could not open /dev/stdout again."""
        privileged = os.geteuid() == 0
        if not privileged and (os.getuid(), os.geteuid()) == (self.uid,) * 2:
            if (os.getgid(), os.getegid()) != (self.gid,) * 2:
                os.setgid(self.gid)
            return
        for fd in (0, 1, 2):
            self._give(fd)
        if self.name:
            os.initgroups(self.name, self.gid)
        else:
            os.setgroups([self.gid])
        os.setgid(self.gid)
        os.setuid(self.uid)
        if (os.getuid(), os.geteuid(), os.getgid(), os.getegid()) != (self.uid, self.uid, self.gid, self.gid):
            raise Failed("account", 0, self.name)
        if self.uid:
            try:
                os.setuid(0)
            except OSError:
                return
            raise Failed("account", 0, self.name)

    def introduce(self, environment: dict[bytes, bytes]) -> None:
        if not self.named:
            return
        environment.setdefault(b"HOME", os.fsencode(self.home))
        if self.name:
            for name in (b"USER", b"LOGNAME"):
                environment.setdefault(name, os.fsencode(self.name))

    def _give(self, fd: int) -> None:
        """Only what can belong to nobody else: a pipe or a terminal."""
        try:
            if os.isatty(fd) or stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.fchown(fd, self.uid, -1)
        except OSError:
            pass  # it can still be written to


def _user(text: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(text)
    except (KeyError, ValueError):
        pass
    try:
        return pwd.getpwuid(int(text))
    except (KeyError, OverflowError, ValueError):
        return None


def _group(text: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(text)
    except (KeyError, ValueError):
        pass
    try:
        return grp.getgrgid(int(text))
    except (KeyError, OverflowError, ValueError):
        return None


def _number(text: str, step: str) -> int:
    if not text.isdecimal():
        raise Failed(step, 0, text)
    return int(text)


def _try(step: str, text: str, do: Callable[..., object], *given: object) -> None:
    try:
        do(*given)
    except OSError as error:
        raise Failed(step, error.errno or 0, text) from error
    except MemoryError as error:
        raise Failed(step, errno.ENOMEM, text) from error  # a limit of it is in force already


def _session(terminal: bool) -> None:
    if os.getsid(0) != os.getpid():
        os.setsid()
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _write(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")  # this process
    finally:
        os.close(fd)


def _limit(number: int, value: int) -> None:
    try:
        resource.setrlimit(number, (value, value))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from error


def _exec(argv: list[bytes], environment: dict[bytes, bytes]) -> None:
    name = argv[0]
    if b"/" in name:
        os.execve(name, argv, environment)  # noqa: S606 - a shell is run only where the file asks for one
    failure: OSError = FileNotFoundError(errno.ENOENT, "")
    for folder in environment.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        try:
            os.execve(os.path.join(folder, name), argv, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # the first of these counts, as with a shell
            failure = failure if failure.errno != errno.ENOENT else error
    raise failure


def main() -> None:
    """Reads what to become from one descriptor, and tells a failure, else `READY`, to the other."""
    import marshal  # reads at once, where json takes as long as all of this

    order, report = int(sys.argv[1]), int(sys.argv[2])
    try:
        os.set_inheritable(report, False)
        with open(order, "rb") as file:
            wish = marshal.load(file)  # noqa: S302 - from our own parent, by a descriptor without a name
        become(*wish.pop("run"), **wish, ready=lambda: _say(report, READY))
    except Failed as error:
        _say(report, f"{error.step}\n{error.number}\n{error.text}".encode("utf-8", "surrogateescape"))
    except BaseException as error:
        _say(report, f"unknown\n0\n{error!r}".encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _say(report: int, text: bytes) -> None:
    """Who asked may be gone; whoever comes in its place finds us."""
    try:  # noqa: SIM105 - contextlib would have to be imported
        os.write(report, text)
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
