"""What a rig must know of each supervisor to kill it and see it again: whom, how it comes back, what it answers then.

Each row is one process that can be killed. Whoever does not come back by itself is started again as a service manager
would do that: the same command, at once. Known wart: PM2 and circus are asked by their own clients, whose start is in
the time until they answer.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import xmlrpc.client
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from .. import processes, tools
from . import SURVIVE, Job, Kind, Peer
from .arbiters import Circus, Supervisord
from .asking import Local, LocalTransport, listens
from .pm2 import Pm2
from .quarterdeck import Quarterdeck
from .trees import S6, Runit, write_script

ONLY = frozenset({SURVIVE})
PATIENCE = 15.0
"""Seconds for an answer of a client."""


@dataclass
class Killed(Peer):
    """One process of a supervisor that can be killed. `again` starts what does not come back by itself."""

    does: frozenset[str] = ONLY
    again: bool = True
    leaves: bool = False
    """What is started is a client, which ends when it has started the rest."""

    def ready(self, environment: dict[str, str]) -> None:
        """What its user does once, when all run, so that they come back with it."""

    def victims(self, main: int, own: set[int]) -> list[int]:  # noqa: ARG002
        """Whom to kill; as a rule the process that was started."""
        return [main]

    def revival(self, command: list[str]) -> list[str]:
        """The command that starts it again."""
        return command

    @abstractmethod
    def answers(self, job: Job) -> bool:
        """Whether it says that all workers run; raises OSError or gives False while it does not."""

    @abstractmethod
    def codes(self, job: Job) -> dict[int, int | None] | None:
        """The exit code of each worker's last end that it saw; None where nobody can ask it."""


@dataclass
class KilledQuarterdeck(Quarterdeck, Killed):
    """`victim`: service or keeper, each of which brings the other back; in-process the one process that there is."""

    does: frozenset[str] = ONLY
    victim: str = "service"

    def _service(self, job: Job) -> int:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(job.folder / "state" / "socket"))
            return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")

    def prepare(self, job: Job) -> list[str]:
        self._job = job
        return super().prepare(job)

    def victims(self, main: int, own: set[int]) -> list[int]:
        if not self.kept:
            return [main]
        return [self._service(self._job)] if self.victim == "service" else self._keepers(own)

    def _keepers(self, own: set[int]) -> list[int]:
        return [pid for pid in own if "/keeper/__main__.py" in processes.command(pid)]

    def stop(self, main: subprocess.Popen[bytes]) -> None:
        for pid in self._keepers(processes.descendants()) if self.kept else [main.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _rows(self, job: Job) -> list[dict[str, Any]]:
        connection = Local(job.folder / "state" / "socket")
        try:
            connection.request("GET", "/api/v1/workers")
            return list(json.loads(connection.getresponse().read())["workers"])
        except (http.client.HTTPException, ValueError, KeyError) as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def answers(self, job: Job) -> bool:
        if self.kept and not self._keepers(processes.descendants()):
            return False
        return [row["state"] for row in self._rows(job)] == ["running"] * job.count

    def codes(self, job: Job) -> dict[int, int | None] | None:
        return {int(row["name"][1:]): (row["last_exit"] or {}).get("code") for row in self._rows(job)}


@dataclass
class KilledSupervisord(Supervisord, Killed):
    """With its socket, over which it is asked; a code that a worker ends with when it is done is an expected one."""

    does: frozenset[str] = ONLY

    def prepare(self, job: Job) -> list[str]:
        command = super().prepare(job)
        config = job.folder / "supervisord.conf"
        text = config.read_text().replace(
            "autorestart = true",
            "autorestart = unexpected\nexitcodes = " + ",".join(str(index + 1) for index, _ in job.names()),
        )
        rpc = "supervisor.rpcinterface:make_main_rpcinterface"
        config.write_text(
            f"{text}\n[unix_http_server]\nfile = {job.folder}/socket\n"
            f"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = {rpc}\n"
        )
        return command

    def _rows(self, job: Job) -> list[dict[str, Any]]:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=LocalTransport(job.folder / "socket"))
        try:
            found: Any = proxy.supervisor.getAllProcessInfo()
        except (http.client.HTTPException, xmlrpc.client.Error) as error:
            raise OSError(str(error)) from error
        return list(found)

    def answers(self, job: Job) -> bool:
        return [row["statename"] for row in self._rows(job)] == ["RUNNING"] * job.count

    def codes(self, job: Job) -> dict[int, int | None] | None:
        rows = self._rows(job)
        return {int(row["name"][1:]): row["exitstatus"] if row["statename"] == "EXITED" else None for row in rows}


@dataclass
class KilledCircus(Circus, Killed):
    """Says exit codes to whoever listens at that moment and keeps none."""

    does: frozenset[str] = ONLY

    def answers(self, job: Job) -> bool:
        ask = [
            str(tools.pypi() / "circusctl"),
            "--timeout",
            "2",
            "--endpoint",
            f"ipc://{job.folder}/endpoint",
            "status",
        ]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        return done.stdout.count(": active") == job.count

    def codes(self, job: Job) -> dict[int, int | None] | None:  # noqa: ARG002
        return None


@dataclass
class KilledPm2(Pm2, Killed):
    """Its user saves the list once, and brings it back with `pm2 resurrect`."""

    does: frozenset[str] = ONLY
    leaves: bool = True

    def prepare(self, job: Job) -> list[str]:
        command = super().prepare(job)
        place = job.folder / "apps.json"
        apps = json.loads(place.read_text())
        for index, app in enumerate(apps["apps"]):
            app["stop_exit_codes"] = [index + 1]
        place.write_text(json.dumps(apps))
        return command

    def _client(self, *words: str) -> str:
        command = ["node", str(tools.npm()), *words]
        environment = os.environ | self.environment
        with tempfile.TemporaryFile("w+") as said:  # a daemon that it starts would hold a pipe open
            try:
                subprocess.run(command, env=environment, stdout=said, stderr=said, check=False, timeout=PATIENCE)
            except subprocess.TimeoutExpired as error:
                raise OSError(str(error)) from error
            said.seek(0)
            return said.read()

    def ready(self, environment: dict[str, str]) -> None:  # noqa: ARG002
        self._client("save", "--silent")

    def victims(self, main: int, own: set[int]) -> list[int]:
        return sorted(own - {main})

    def revival(self, command: list[str]) -> list[str]:
        return [*command[:2], "resurrect", "--silent"]

    def _rows(self) -> list[dict[str, Any]]:
        text: str = self._client("jlist", "--silent")
        try:
            return list(json.loads(text[text.index("[{") :]))
        except ValueError as error:
            raise OSError(str(error)) from error

    def answers(self, job: Job) -> bool:
        return sorted(row["pm2_env"]["status"] for row in self._rows()) == ["online"] * job.count

    def codes(self, job: Job) -> dict[int, int | None] | None:  # noqa: ARG002
        return {int(row["name"][1:]): row["pm2_env"].get("exit_code") for row in self._rows()}


def _called(name: str, pids: set[int]) -> list[int]:
    return sorted(pid for pid in pids if processes.name(pid) == name)


@dataclass
class KilledRunit(Runit, Killed):
    """`victim`: the one that looks at the folder, or all that have a worker each, which come back by that one."""

    does: frozenset[str] = ONLY
    victim: str = "runsvdir"

    def prepare(self, job: Job) -> list[str]:
        command = super().prepare(job)
        for _, name in job.names():
            write_script(job.folder / "scan" / name / "finish", 'echo "$1" > code')
        return command

    def victims(self, main: int, own: set[int]) -> list[int]:
        return [main] if self.victim == "runsvdir" else _called("runsv", own)

    def answers(self, job: Job) -> bool:
        return all(listens(job.folder / "scan" / name / "supervise" / "ok") for _, name in job.names())

    def codes(self, job: Job) -> dict[int, int | None] | None:
        places = [(index, job.folder / "scan" / name / "code") for index, name in job.names()]
        return {index: int(place.read_text() or -1) for index, place in places if place.exists()}


@dataclass
class KilledS6(S6, Killed):
    """As with runit; its own tally of deaths says the codes."""

    does: frozenset[str] = ONLY
    victim: str = "s6-svscan"

    def victims(self, main: int, own: set[int]) -> list[int]:
        return [main] if self.victim == "s6-svscan" else _called("s6-supervise", own)

    def answers(self, job: Job) -> bool:
        return all(listens(job.folder / "scan" / name / "supervise" / "control") for _, name in job.names())

    def codes(self, job: Job) -> dict[int, int | None] | None:
        found: dict[int, int | None] = {}
        for index, name in job.names():
            tally = subprocess.run(
                ["s6-svdt", str(job.folder / "scan" / name)], capture_output=True, text=True, check=False
            )
            codes = re.findall(r"exitcode (\d+)", tally.stdout)
            found[index] = int(codes[-1]) if codes else None
        return found


def rows() -> list[Peer]:
    """Every process that can be killed."""
    ours = Kind.OURS
    return [
        KilledQuarterdeck(name="quarterdeck, service killed", kind=ours, again=False),
        KilledQuarterdeck(name="quarterdeck, keeper killed", kind=ours, again=False, victim="keeper"),
        KilledQuarterdeck(name="quarterdeck --in-process, killed", kind=ours, kept=False),
        KilledS6(name="s6, s6-svscan killed"),
        KilledS6(name="s6, each s6-supervise killed", again=False, victim="s6-supervise"),
        KilledRunit(name="runit, runsvdir killed"),
        KilledRunit(name="runit, each runsv killed", again=False, victim="runsv"),
        KilledSupervisord(name="supervisord, killed"),
        KilledCircus(name="circus, killed"),
        KilledPm2(name="pm2, daemon killed"),
    ]
