"""Marks of what is possible on this machine: the smallest supervisor, and a writer's output with nothing in its way."""

import os
import shlex
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .. import tools
from . import LOGS, STANDING, STORM, Job, Kind, Peer


@dataclass
class Floor(Peer):
    """posix_spawn and signalfd in C; captures nothing."""

    name: str = "floor (C)"
    kind: Kind = Kind.MARK
    does: frozenset[str] = frozenset({STANDING, STORM})
    least: int = 1

    def need(self) -> None:
        tools.floor()

    def prepare(self, job: Job) -> list[str]:
        return [str(tools.floor()), str(job.count), *job.command(0)]


@dataclass
class File(Peer):
    """writer > file: the kernel's own limit."""

    name: str = "writer > file"
    kind: Kind = Kind.MARK
    does: frozenset[str] = frozenset({LOGS})
    between: str = ""

    def prepare(self, job: Job) -> list[str]:
        """One shell that starts all and ends with them."""
        starts = [
            f"{shlex.join(job.command(index))} {self.between}> {job.folder / name}.log &" for index, name in job.names()
        ]
        script = job.folder / "start"
        script.write_text("\n".join([*starts, "wait"]))
        return ["sh", str(script)]

    def stop(self, main: subprocess.Popen[bytes]) -> None:
        os.killpg(main.pid, signal.SIGTERM)  # a shell does not pass signals on

    def written(self, job: Job, index: int) -> list[Path]:
        return [job.folder / f"w{index:04d}.log"]


@dataclass
class Cat(File):
    """writer | cat > file: the limit of whoever copies."""

    name: str = "writer | cat > file"
    between: str = "| cat "
