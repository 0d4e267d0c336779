"""supervisord and circus: one Python process that holds everything, as ours does in-process."""

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from .. import tools
from . import Job, Peer

UNLIMITED = 1_000_000_000


@dataclass
class Supervisord(Peer):
    """All programs in one group, else it stops one after another; the smallest `minfds` that the number allows."""

    name: str = "supervisord"

    def need(self) -> None:
        tools.pypi()

    def prepare(self, job: Job) -> list[str]:
        config = configparser.RawConfigParser()
        config["supervisord"] = {
            "nodaemon": "true",
            "logfile": str(job.folder / "supervisord.log"),
            "pidfile": str(job.folder / "supervisord.pid"),
            "childlogdir": str(job.folder),
            "minfds": str(7 * job.count + 64),  # three pipes and two log files each
        }
        if os.geteuid() == 0:
            config["supervisord"]["user"] = "root"  # else it warns
        for index, name in job.names():
            config[f"program:{name}"] = {
                "command": " ".join(job.command(index)),
                "autorestart": "true",
                "startsecs": "0",
                "startretries": str(UNLIMITED),
            }
            if job.capture:
                config[f"program:{name}"]["stdout_logfile"] = str(job.folder / f"{name}.log")
                config[f"program:{name}"]["stdout_logfile_maxbytes"] = "0"
        if job.count:
            config["group:all"] = {"programs": ",".join(name for _, name in job.names())}
        with (job.folder / "supervisord.conf").open("w") as file:
            config.write(file)
        return [str(tools.pypi() / "supervisord"), "-c", str(job.folder / "supervisord.conf")]

    def written(self, job: Job, index: int) -> list[Path]:
        return [job.folder / f"w{index:04d}.log"]


@dataclass
class Circus(Peer):
    """A watcher a worker, checked every 0.1 s. No stream where nothing is captured: it reads no output then."""

    name: str = "circus"

    def need(self) -> None:
        tools.pypi()

    def prepare(self, job: Job) -> list[str]:
        config = configparser.RawConfigParser()
        config["circus"] = {
            "check_delay": "0.1",
            "warmup_delay": "0",
            "endpoint": f"ipc://{job.folder}/endpoint",
            "pubsub_endpoint": f"ipc://{job.folder}/pubsub",
            "statsd": "false",
        }
        for index, name in job.names():
            command, *arguments = job.command(index)
            config[f"watcher:{name}"] = {
                "cmd": command,
                "args": " ".join(arguments),
                "numprocesses": "1",
                "warmup_delay": "0",
                "max_retry": "-1",
                "copy_env": "true",
            }
            if job.capture:
                config[f"watcher:{name}"]["stdout_stream.class"] = "FileStream"
                config[f"watcher:{name}"]["stdout_stream.filename"] = str(job.folder / f"{name}.log")
        with (job.folder / "circus.ini").open("w") as file:
            config.write(file)
        return [str(tools.pypi() / "circusd"), "--log-level", "error", str(job.folder / "circus.ini")]

    def written(self, job: Job, index: int) -> list[Path]:
        return [job.folder / f"w{index:04d}.log"]
