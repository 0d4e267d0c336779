"""Why a program did not start, in one sentence with the remedy. Looks at files, starts nothing.

The kernel answers with one number for many causes (a missing interpreter is "no such file" about a file that is
there), so the file is looked at again to tell them apart. Known wart: it may have changed meanwhile.
"""

import errno
import os
import resource
import stat
from collections.abc import Mapping

from ..errors import CannotStart
from . import Ended, LaunchRequest
from .become import READY
from .room import NEEDED, lowest_free

PERMANENT = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ENOEXEC,
        errno.E2BIG,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EISDIR,
    }
)
"""What another try cannot help."""


SPARE = 12
"""Descriptors that stay free for what must go on: a note, a segment, a look at a tree, and whoever comes to help."""


def leave_room(request: LaunchRequest) -> None:
    """Refuses a start that would take the last descriptors of this process: then nobody could even stop it again."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = lowest_free()
    if limit != resource.RLIM_INFINITY and lowest + NEEDED + SPARE > limit:
        raise CannotStart(
            f"{request.argv[0]}: no file descriptors are left for it: {lowest} of {limit} are in use, a start needs "
            f"{NEEDED} and {SPARE} stay free; raise the limit to {lowest + NEEDED + SPARE} or more (ulimit -n)",
            permanent=False,
        )


def check(request: LaunchRequest) -> None:
    """Refuses what no system call would take."""
    if not request.argv or not request.argv[0]:
        raise CannotStart("there is no program to start: the command is empty")
    for what, text in _texts(request.argv, request.environment, request.directory):
        if "\0" in text:
            raise CannotStart(f"{what} has a NUL character in it, which no program can be given")
    for name in request.environment:
        if not name or "=" in name:
            raise CannotStart(f"the environment variable {name!r} has an illegal name")


def refusal(request: LaunchRequest, error: Exception) -> CannotStart:
    """What a failed start means."""
    if isinstance(error, UnicodeError):
        return CannotStart(f"{request.argv[0]}: an argument or variable cannot be encoded: {error}")
    if not isinstance(error, OSError) or error.errno is None:
        return CannotStart(f"{request.argv[0]}: {error}")
    sentence = _sentence(request, error.errno)
    return CannotStart(sentence, permanent=error.errno in PERMANENT)


def runs_as_root(request: LaunchRequest) -> bool:
    """As far as can be told without asking the user database."""
    return os.geteuid() == 0 and request.user in (None, "0", "root")


def broken(request: LaunchRequest, report: bytes, ended: Ended) -> CannotStart:
    """What the report of a child means that did not get as far as its program."""
    lines = report.removeprefix(READY).decode("utf-8", "surrogateescape").split("\n", 2)
    if len(lines) < 3:
        return CannotStart(f"{request.argv[0]}: its start broke down before the program ran: {ended}", permanent=False)
    step, code, text = lines[0], int(lines[1]), lines[2]
    if step == "exec":
        if code in (errno.EACCES, errno.ENOENT) and request.user and not runs_as_root(request):
            path = locate(request)
            if path is not None and os.access(path, os.X_OK):
                return CannotStart(f"{path} may not be executed by the user {request.user}: change its permissions")
        return refusal(request, OSError(code, os.strerror(code)))
    return CannotStart(_step(request, step, code, text), permanent=not code or code in PERMANENT)


def _step(request: LaunchRequest, step: str, code: int, text: str) -> str:
    """One sentence for a step of `become.py`."""
    why = os.strerror(code) if code else text
    match step:
        case "user" | "group":
            return f"there is no {step} {text} on this system: correct the name, or create it"
        case "group of user":
            return f"the user {text} is in no user database, so its group is unknown: set group too"
        case "account" if code == errno.EPERM:
            return f"{_account(request)} cannot be taken: start the service as root, or leave user and group out"
        case "account":
            return f"{_account(request)} cannot be taken ({why}), and as somebody else the program is not started"
        case "limit" if code == errno.EPERM:
            return f"limits.{text} is above the hard limit that we run under: lower it, or raise ours (ulimit -H)"
        case "limit":
            return f"limits.{text} cannot be set ({why}): correct it"
        case "nice":
            return f"the priority {text} needs root: raise nice, or start the service as root"
        case "directory":
            user = request.user or "this user"
            return (
                _directory(request.directory)
                or f"the directory {request.directory} may not be entered by {user}: {why}"
            )
        case "join":
            return f"the control group {text} cannot be entered: {why}"
    return f"{request.argv[0]}: its start broke down at the step {step}: {why}"


def _account(request: LaunchRequest) -> str:
    words = [f"the {what} {name}" for what, name in (("user", request.user), ("group", request.group)) if name]
    return " and ".join(words)


def locate(request: LaunchRequest) -> str | None:
    """The file that `argv[0]` names, whether or not it can be executed; None when there is none."""
    name = request.argv[0]
    if "/" in name:
        path = os.path.join(request.directory, name)
        return path if os.path.lexists(path) else None
    for folder in _folders(request.environment):
        path = os.path.join(request.directory, folder, name)
        if os.path.lexists(path):
            return path
    return None


def _sentence(request: LaunchRequest, code: int) -> str:
    name = request.argv[0]
    match code:
        case errno.E2BIG:
            return f"{name}: its arguments and environment are larger than the system allows"
        case errno.EMFILE | errno.ENFILE:
            return f"{name}: no file descriptor is left; raise the limit (ulimit -n)"
        case errno.EAGAIN:
            return f"{name}: the system allows no further process now; raise the limit (ulimit -u) or stop some"
        case errno.ENOMEM:
            return f"{name}: the system has no memory left for another process"
    if wrong := _directory(request.directory):
        return wrong
    path = locate(request)
    if path is None:
        where = "" if "/" in name else f" on PATH ({os.pathsep.join(_folders(request.environment))})"
        return f"there is no program {name}{where}"
    return _file(path, code)


def _directory(path: str) -> str:
    if not os.path.exists(path):
        return f"the directory {path} does not exist"
    if not os.path.isdir(path):
        return f"{path} is to be the working directory, but is not a directory"
    return "" if os.access(path, os.X_OK) else f"the directory {path} may not be entered by this user"


def _file(path: str, code: int) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"{path}: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"{path} is a directory, not a program"
    interpreter = _interpreter(path)
    if code == errno.ENOEXEC:
        return f"{path} has no #! line and is no program of this machine: begin it with a line like #!/bin/sh"
    if code in (errno.ENOENT, errno.EACCES) and interpreter is not None:
        if interpreter.endswith("\r"):
            return f"the #! line of {path} ends with a carriage return: save the file with Unix line ends"
        if not os.path.exists(interpreter):
            return f"the interpreter {interpreter or '(none)'} in the #! line of {path} does not exist"
        if os.access(path, os.X_OK):
            return f"the interpreter {interpreter} in the #! line of {path} cannot be executed"
    if code == errno.EACCES:
        if not mode & 0o111 or not os.access(path, os.X_OK):
            return f"{path} is not executable: chmod +x {path}"
        return f"{path} may not be executed where it is (a folder without permission, or mounted noexec)"
    if code == errno.ENOENT:
        return f"{path} is there, but the loader that it needs is not: it was built for another system"
    return f"{path}: {os.strerror(code)}"


def _interpreter(path: str) -> str | None:
    """What stands behind #!, a carriage return included; None without such a line or when it cannot be read."""
    try:
        with open(path, "rb") as file:
            first = file.read(256).split(b"\n", 1)[0]
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].strip(b" \t").split(None, 1) if not first.endswith(b"\r") else [first[2:].strip(b" \t")]
    return os.fsdecode(words[0]) if words else ""


def _folders(environment: Mapping[str, str]) -> list[str]:
    return os.get_exec_path(dict(environment))


def _texts(argv: tuple[str, ...], environment: Mapping[str, str], directory: str) -> list[tuple[str, str]]:
    found = [(f"argument {number} of {argv[0]!r}", text) for number, text in enumerate(argv)]
    found += [(f"the environment variable {name!r}", name + text) for name, text in environment.items()]
    return [*found, ("the working directory", directory)]
