"""Which services of this user run: by the notes that they leave, and that are believed when they answer.

Known wart: a note outlives a killed service; so a reader tries the socket before it believes one.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .settings import RUNNING, Instance, answers, home_of, now_in_words


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers on its socket."""

    instance: Instance
    pid: int
    since: str
    urls: tuple[str, ...]


def running(environ: Mapping[str, str] = os.environ) -> list[Running]:
    """All services of this user that answer now."""
    folder = home_of(environ, "STATE") / RUNNING
    notes = [note for file in sorted(folder.glob("*.json")) if (note := _read(file))]
    return [note for note in notes if answers(note.instance.socket)]


def _read(file: Path) -> Running | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told: dict[str, Any] = json.loads(file.read_text())
        instance = Instance(Path(told["config"]), Path(told["state"]))
        return Running(instance, int(told["pid"]), str(told["since"]), tuple(map(str, told["urls"])))
    return None


def announced(instance: Instance) -> int:
    """The pid of the service that says it is reached now; 0 when none does."""
    note = _read(instance.running_file)
    return note.pid if note else 0


def announce(instance: Instance, urls: Sequence[str], pid: int | None = None) -> bool:
    """Tells clients of this user where this instance is reached; false where its state folder does not take the note.

    `pid` is whom to signal, else we. Without a note this is found by its config file alone, so nothing fails for it.
    """
    about = {"pid": pid or os.getpid(), "since": now_in_words(), "config": str(instance.config)}
    text = json.dumps({**about, "state": str(instance.state), "socket": str(instance.socket), "urls": list(urls)})
    with contextlib.suppress(OSError):
        instance.note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(instance.note, text)
    try:
        _write(instance.running_file, text)
    except OSError:
        return False
    return True


def _write(place: Path, text: str) -> None:
    new = place.with_suffix(".new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text + "\n")
        new.replace(place)
    except OSError:
        new.unlink(missing_ok=True)
        raise
