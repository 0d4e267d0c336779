"""Ours, started as a user starts it: a config file and `up`, page and captured output included.

In both ways of running: with its keeper, which the process that is started becomes, with the service as its child;
and in-process, where there is one process. Known wart: a profile is of one process, so only in-process has one.
"""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from .. import tools
from . import LOGS, STANDING, STORM, WATCHED, Job, Kind, Peer


@dataclass
class Quarterdeck(Peer):
    """`backoff` is its line in the config; empty: the pauses that a user has who writes nothing.

    `python`: what starts it; else that of `./run`.
    """

    name: str = "quarterdeck"
    kind: Kind = Kind.OURS
    kept: bool = True
    does: frozenset[str] = frozenset({STANDING, STORM, LOGS, WATCHED})
    backoff: str = "backoff = { initial = 0, max = 0, jitter = 0 }"
    profile: Path | None = None
    python: Path | None = None

    def need(self) -> None:
        self.python = self.python or tools.product()

    def prepare(self, job: Job) -> list[str]:
        lines = [
            "[service]",
            f'listen = "127.0.0.1:{free_port()}"',
            f"state = {json.dumps(str(job.folder / 'state'))}",
            "[defaults]",
            'restart = "always"',
            "max_restarts = 0",
            "start_seconds = 0",
            self.backoff,
        ]
        if job.capture:
            lines += ["[logs]", "compress = false"]  # nobody else compresses, and lines are counted in plain files
        for index, name in job.names():
            lines += [f"[worker.{name}]", f"command = {json.dumps(job.command(index))}"]
        config = job.folder / "quarterdeck.toml"
        config.write_text("\n".join(lines) + "\n")
        config.chmod(0o600)
        self.environment = {"PYTHONPATH": "", "QUARTERDECK_LISTEN": ""}
        inside = ["-m", "cProfile", "-o", str(self.profile)] if self.profile and not self.kept else []
        return [
            str(self.python or tools.product()),
            "-P",
            *inside,
            "-m",
            "app",
            "up",
            *(() if self.kept else ("--in-process",)),
            "-c",
            str(config),
        ]

    def parts(self, main: int, own: set[int]) -> dict[str, set[int]]:
        return {"keeper": own & {main}, "service": own - {main}} if self.kept else {"service": own}

    def written(self, job: Job, index: int) -> list[Path]:
        folder = job.folder / "state" / "logs"
        return sorted(path for path in folder.glob(f"w{index:04d}/out/*") if path.suffix != ".idx")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


os.environ.pop("QUARTERDECK_CONFIG", None)
