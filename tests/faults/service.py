"""The service as a real process for the tests of the fault matrix: started by the command line, asked over its sockets.

What lives here: starting it in each mode, asking, looking at it from outside, ending it. No fault is injected here.
Known wart: `MODES` says which ways of running there are; a new one is added here and all rows run in it.
"""

import json
import os
import re
import select
import signal
import socket as sockets
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
MODES = {"in-process": ("--in-process",), "kept": ()}
"""What `up` is told so that it runs in that way."""

ZOO = str(ROOT / "tests" / "support" / "zoo.py")


def zoo(*words: str) -> str:
    """The `command` of a worker that behaves as the words of tests/support/zoo.py say."""
    return json.dumps([sys.executable, "-I", "-S", ZOO, *words])


def stays(*names: str, more: str = "") -> str:
    """A config of workers that only stay."""
    return "".join(
        f'[worker.{name}]\ncommand = ["sleep", "600"]\nstart_seconds = 0\nstop_timeout = 5\n{more}' for name in names
    )


class Service:
    """One running service. `wrap` comes before its command line, `environment` beside ours. Use as a context.

    `pid` is the process that is the service; with a `wrap` that does not become it, take `leader()`.
    """

    def __init__(
        self,
        folder: Path,
        text: str,
        mode: str,
        *more: str,
        wrap: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        state: Path | None = None,
        stdout: int = subprocess.PIPE,
        wait: bool = True,
    ) -> None:
        self.config = folder / "quarterdeck.toml"
        if text:
            self.config.write_text(text)
            self.config.chmod(0o600)
        self.state = folder / "state" if state is None else state
        command = [sys.executable, "-m", "app", "up", "-c", str(self.config), "--state", str(self.state)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
        self.process = subprocess.Popen(
            [*wrap, *command, *MODES[mode], *(("--listen", "127.0.0.1:0") if "--listen" not in more else ()), *more],
            cwd=ROOT,
            env={**kept, "XDG_STATE_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT if stdout == subprocess.PIPE else stdout,
            text=True,
        )
        self.pid = self.process.pid
        self.said: list[str] = []
        if wait and stdout == subprocess.PIPE and not self.until("quarterdeck: config"):
            self.process.wait(30)  # it has nothing more to say

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            for _ in range(2):
                self.signal(signal.SIGTERM)
        self.end()

    def until(self, start: str) -> str:
        """Reads what it prints until a line begins so; gives that line, "" when it ended before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith(start):
                return line
        return ""

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = 30) -> int:
        """Waits for its end; gives its exit status."""
        rest, _ = self.process.communicate(timeout=seconds)
        self.said.append(rest or "")
        return self.process.returncode

    @property
    def text(self) -> str:
        """All that it has printed, as far as it was read."""
        return "".join(self.said)

    # ------------------------------------------------------------ asking

    @property
    def port(self) -> int:
        return int(re.search(r"page +http://127\.0\.0\.1:(\d+)/", self.text)[1])  # type: ignore[index]

    def manager(self) -> int:
        """The pid of the process that answers, which a keeper's is not."""
        with sockets.socket(sockets.AF_UNIX) as probe:
            probe.connect(str(self.state / "socket"))
            data = probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, 12)
        return int(struct.unpack("3i", data)[0])

    def client(self, *, socket: Path | None = None, seconds: float = 20) -> httpx.Client:
        """Speaks through the Unix socket, whose owner is admin."""
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket or self.state / "socket")),
            base_url="http://localhost/api/v1",
            timeout=seconds,
        )

    def over_tcp(self, seconds: float = 20, token: str = "") -> httpx.Client:
        """Speaks through TCP with the owner's token, which stays valid when the state folder is gone."""
        token = token or (self.state / "token").read_text().strip()
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=seconds,
        )

    def workers(self) -> dict[str, dict]:
        with self.client() as client:
            return {row["name"]: row for row in client.get("/workers").json()["workers"]}

    def pid_of(self, name: str) -> int:
        """Waits until it is ready: the answer to a start says so, also when it runs already."""
        assert self.process.poll() is None, f"ended with {self.end()}: {self.text}"
        with self.client() as client:
            answer = client.post(f"/workers/{name}/start").json()
        assert answer["worker"]["ready"], answer
        return int(answer["worker"]["pid"])

    def lines(self, name: str, count: int = 5000, stream: str = "out") -> list[dict]:
        with self.client() as client:
            return client.get(f"/workers/{name}/logs", params={"tail": count, "stream": stream}).json()["lines"]


class Events:
    """The event stream of a service, read as it comes. Use as a context."""

    def __init__(self, client: httpx.Client, path: str = "/events/stream") -> None:
        self._client = client
        self._path = path
        self.seen: deque[tuple[str, object]] = deque(maxlen=10_000)

    def __enter__(self) -> "Events":
        self._open = self._client.stream("GET", self._path)
        answer = self._open.__enter__()
        assert answer.status_code == 200, answer.read()
        self._events = self._parse(answer.iter_lines())
        self.until("hello")
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()
        self._open.__exit__(None, None, None)
        self._client.close()

    @staticmethod
    def _parse(lines: Iterator[str]) -> Iterator[tuple[str, object]]:
        name = ""
        for line in lines:
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])

    def until(self, name: str, seconds: float = 15, there=lambda _: True) -> object:
        """The data of the next event of that name with which `there` is content."""
        end = time.monotonic() + seconds
        for event, data in self._events:
            self.seen.append((event, data))
            if event == name and there(data):
                return data
            if time.monotonic() > end:
                raise AssertionError(f"no {name} within {seconds} s: {[e for e, _ in self.seen]}")
        raise AssertionError(f"the stream ended without {name}: {[e for e, _ in self.seen]}")


def alive(pid: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(there, seconds: float = 10, step: float = 0.02):
    """What `there()` gives as soon as it is something; for what no event tells to a test."""
    end = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < end, f"not within {seconds} s"
        select.select([], [], [], step)
    return found
