"""Which services of this user run: found by the notes that they leave, believed when they answer.

Known wart: a note outlives a killed service; so a reader tries the socket before it believes one.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .settings import RUNNING, Instance, answers, home_of


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
