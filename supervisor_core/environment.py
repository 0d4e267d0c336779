"""The environment of a configured program: what it inherits, what the file sets, what we add.

Nothing of ours leaks: our own variables, the notify socket and the virtual environment that we run in are taken out of
what is inherited, so that `python` in a job means the user's. Another environment that was active stays active.
"""

import os
import sys
from collections.abc import Mapping
from functools import lru_cache

from .children import TAG
from .errors import CannotStart
from .model import Program, WorkerSpec

OURS = "QUARTERDECK_"
NOT_INHERITED = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"})


PERSONAL = frozenset({"HOME", "LOGNAME", "MAIL", "SHELL", "USER", "XDG_RUNTIME_DIR"})
"""What belongs to whoever started us, and is wrong for another user."""

LARGEST_SECRET = 128 * 1024 - 1
"""Bytes; the kernel takes no larger variable."""


def environment_of(spec: WorkerSpec, run: int, tag: str, outside: Mapping[str, str] | None = None) -> dict[str, str]:
    """Makes the complete environment of one run out of `outside` (default: our own). Raises `CannotStart`."""
    program = spec.program
    assert program is not None
    outside = _own() if outside is None else outside
    made = inherited(program, outside)
    if program.user is not None:
        made = {name: text for name, text in made.items() if name not in PERSONAL}
    made.update(program.environment)
    made.update({name: read_secret(name, path) for name, path in program.secrets.items()})
    if program.venv is not None:
        made["VIRTUAL_ENV"] = program.venv
        made["PATH"] = os.pathsep.join([os.path.join(program.venv, "bin"), made.get("PATH", os.defpath)])
        made.pop("PYTHONHOME", None)
    made.setdefault("PYTHONUNBUFFERED", "1")
    if program.tty:
        made.setdefault("TERM", "xterm-256color")
    if program.hosted:
        made["QUARTERDECK_STOP_TIMEOUT"] = f"{spec.stop.timeout:g}"
    tags = f"{outside.get(TAG, '')} {tag}".strip()  # we may be a run of somebody's ourselves
    made |= {"QUARTERDECK_WORKER": spec.name, "QUARTERDECK_RUN": str(run), TAG: tags}
    return made


def read_secret(name: str, path: str) -> str:
    """Gives what the file holds, less the end of its last line. Raises `CannotStart`: another try may find it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            data = file.read(LARGEST_SECRET + 1) or b""
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CannotStart(f"the variable {name} cannot be read from {path}: {why}", permanent=False) from error
    if len(data) > LARGEST_SECRET or "\0" in text:
        raise CannotStart(f"the variable {name} cannot be taken from {path}: it is too large, or no text")
    return text


def _own() -> Mapping[str, str]:
    return _decoded(tuple(os.environb.items()))


@lru_cache(maxsize=1)
def _decoded(variables: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, str]:
    """Our own environment, decoded anew when it has changed and not at each of a thousand starts."""
    return {os.fsdecode(name): os.fsdecode(text) for name, text in variables}


def inherited(program: Program, outside: Mapping[str, str]) -> dict[str, str]:
    """Gives what a program takes over, less what is ours."""
    if program.inherit is False:
        return {}
    kept = _kept(tuple(outside.items()))
    return dict(kept) if program.inherit is True else {name: kept[name] for name in program.inherit if name in kept}


@lru_cache(maxsize=8)
def _kept(variables: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    kept = {k: v for k, v in variables if not k.startswith(OURS) and k not in NOT_INHERITED}
    if sys.prefix != sys.base_prefix:
        _leave(kept, sys.prefix)
    return kept


def _leave(environment: dict[str, str], venv: str) -> None:
    """Undoes the activation of a virtual environment."""
    if os.path.realpath(environment.get("VIRTUAL_ENV", "/")) == os.path.realpath(venv):
        del environment["VIRTUAL_ENV"]
        environment.pop("VIRTUAL_ENV_PROMPT", None)
    if "PATH" in environment:
        environment["PATH"] = _path_without(environment["PATH"], venv)


@lru_cache(maxsize=8)
def _path_without(path: str, venv: str) -> str:
    """The search path less the programs of that virtual environment. Kept: it looks at each folder on the disk."""
    gone = os.path.join(os.path.realpath(venv), "bin")
    return os.pathsep.join(f for f in path.split(os.pathsep) if not f or os.path.realpath(f) != gone)
