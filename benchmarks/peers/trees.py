"""s6 and runit: a small C process a worker, below one that scans a folder; and a logger a worker where it is asked."""

import shlex
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .. import tools
from . import Job, Peer


def write_script(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)


@dataclass
class S6(Peer):
    """s6-svscan with a service directory a worker, and s6-log without time stamps."""

    name: str = "s6"

    def need(self) -> None:
        tools.s6()

    def prepare(self, job: Job) -> list[str]:
        for index, name in job.names():
            output = "" if job.capture else " >/dev/null"
            write_script(job.folder / "scan" / name / "run", f"exec {shlex.join(job.command(index))}{output}")
            if job.capture:
                log = job.folder / "written" / name
                write_script(job.folder / "scan" / name / "log" / "run", f"exec s6-log n10000 s268435455 {log}")
                log.parent.mkdir(exist_ok=True)
        return ["s6-svscan", "-c", "2100", str(job.folder / "scan")]

    def written(self, job: Job, index: int) -> list[Path]:
        folder = job.folder / "written" / f"w{index:04d}"
        return [*sorted(folder.glob("@*")), *folder.glob("current")]


@dataclass
class Runit(Peer):
    """runsvdir with a service directory a worker, and svlogd without time stamps. It knows at most 1000 services."""

    name: str = "runit"
    most: int = 999

    def need(self) -> None:
        tools.debian()

    def prepare(self, job: Job) -> list[str]:
        self.environment = tools.debian_environment()
        for index, name in job.names():
            output = "" if job.capture else " >/dev/null"
            write_script(job.folder / "scan" / name / "run", f"exec {shlex.join(job.command(index))}{output}")
            if job.capture:
                log = job.folder / "written" / name
                log.mkdir(parents=True)
                (log / "config").write_text("s0\nn0\n")
                write_script(job.folder / "scan" / name / "log" / "run", f"exec svlogd -b 65536 {log}")
        return ["runsvdir", str(job.folder / "scan")]

    def stop(self, main: subprocess.Popen[bytes]) -> None:
        main.send_signal(signal.SIGHUP)

    def written(self, job: Job, index: int) -> list[Path]:
        folder = job.folder / "written" / f"w{index:04d}"
        return [*sorted(folder.glob("@*")), *folder.glob("current")]
