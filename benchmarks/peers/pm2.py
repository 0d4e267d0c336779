"""PM2: a client that starts a daemon and leaves. Its whole state is in a folder of ours."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .. import tools
from . import Job, Peer

UNLIMITED = 1_000_000_000


@dataclass
class Pm2(Peer):
    """An app a worker, in fork mode, without an interpreter; started again at once, for ever."""

    name: str = "pm2"

    def need(self) -> None:
        tools.npm()

    def prepare(self, job: Job) -> list[str]:
        apps = []
        for index, name in job.names():
            script, *arguments = job.command(index)
            app: dict[str, object] = {
                "name": name,
                "script": script,
                "args": arguments,
                "interpreter": "none",
                "exec_mode": "fork",
            }
            app |= {"max_restarts": UNLIMITED, "min_uptime": 0, "restart_delay": 0, "autorestart": True}
            app |= {
                "out_file": str(job.folder / f"{name}.log"),
                "error_file": "/dev/null",
                "pid_file": str(job.folder / f"{name}.pid"),
            }
            apps.append(app | {"cwd": str(job.folder)})
        (job.folder / "apps.json").write_text(json.dumps({"apps": apps}))
        self.environment = {"PM2_HOME": str(job.folder / "pm2"), "PM2_DISABLE_VERSION_CHECK": "true"}
        started = ["start", str(job.folder / "apps.json")] if apps else ["ping"]
        return ["node", str(tools.npm()), *started, "--silent"]

    def stop(self, _: subprocess.Popen[bytes]) -> None:
        quiet = subprocess.DEVNULL
        command = ["node", str(tools.npm()), "kill", "--silent"]
        self._killing = subprocess.Popen(
            command, env=os.environ | self.environment, stdin=quiet, stdout=quiet, stderr=quiet
        )

    def written(self, job: Job, index: int) -> list[Path]:
        return [
            path
            for path in (job.folder / f"w{index:04d}.log", job.folder / f"w{index:04d}-{index}.log")
            if path.exists()
        ]
