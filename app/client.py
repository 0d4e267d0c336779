"""The HTTP contract from the other side: small typed functions over the Unix socket or a URL. All of httpx is here.

Used by the command line; nothing is printed here and no exit status decided. Foreign exceptions become `Unreachable`
(nobody answers) or `Declined` (the service said no, in its own words).

Known wart: an answer is taken for what the contract says; one that is not (a proxy's page, an older service) is told
as `Unreachable` with what came.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from .frames import Frame, parse_frames

Json = dict[str, Any]

CONNECT, READ = 5.0, 30.0
"""Seconds to be connected, and to be answered beyond what was asked to wait."""

SILENCE = 20.0
"""Seconds without a byte after which a stream (which has a heartbeat every 5 s) counts as broken."""

PATIENCE = 30.0
"""Seconds for which a broken stream is tried again without success."""


class Unreachable(Exception):
    """Nobody answers there; the message says where and what to do."""


class Declined(Exception):
    """The service answered with a problem: its sentence, `status`, stable `code`, and all its members."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))
        self.problem = dict(problem)
        self.status = status
        self.code = str(problem.get("code", ""))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a service is: the path of its socket, or its URL with a token. `remedy` is said when nobody answers."""

    socket: Path | None = None
    url: str = "http://localhost"
    token: str = field(default="", repr=False)
    remedy: str = "start it with: quarterdeck up"

    def __str__(self) -> str:
        return str(self.socket) if self.socket else self.url


class Client:
    """Speaks to one service. A context manager; not for several threads at once."""

    def __init__(self, target: Target, transport: httpx.BaseTransport | None = None) -> None:
        self.target = target
        headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
        if transport is None:
            transport = httpx.HTTPTransport(uds=str(target.socket)) if target.socket else httpx.HTTPTransport()
        try:
            self._http = httpx.Client(
                base_url=target.url, headers=headers, transport=transport, timeout=httpx.Timeout(READ, connect=CONNECT)
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise Unreachable(f"{target.url} is no address ({error}); write http://HOST:PORT") from error
        self._pause = threading.Event()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    # ------------------------------------------------------------ questions

    def whoami(self) -> Json:
        return self._ask("GET", "/api/v1/whoami")

    def healthy(self) -> bool:
        """Whether the service answers and has applied its config."""
        try:
            self._knock()
            return self._http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def workers(self, **filters: Sequence[str]) -> Json:
        """`{"host", "cursor", "workers"}`; filters as in the contract: `label`, `group`, `state`."""
        return self._ask("GET", "/api/v1/workers", params=filters)

    def worker(self, name: str) -> Json:
        return self._ask("GET", _worker(name))

    def metrics(self, names: Sequence[str]) -> Json:
        return self._ask("GET", "/api/v1/metrics", params={"workers": ",".join(names)})

    def operation(self, id: str, wait: float = 0) -> Json:
        """An operation, after at most `wait` seconds; `status` is its worker."""
        return self._ask("GET", f"/api/v1/operations/{quote(id, safe='')}", params={"wait": f"{wait:g}"}, wait=wait)

    def history(self, kind: str, **query: Any) -> Json:
        return self._ask("GET", f"/api/v1/{kind}", params=query)

    def lines(self, workers: Sequence[str], **query: Any) -> Json:
        """A page of lines of one or of many workers, merged."""
        return self._ask("GET", "/api/v1/logs", params={"workers": ",".join(workers), **query})

    def download(self, name: str, stream: str) -> Iterator[bytes]:
        """The bytes of a stream that are kept. Raises `Declined`, and `Unreachable` when it breaks off."""
        count, length = 0, "?"
        try:
            self._knock()
            with self._http.stream("GET", f"{_worker(name)}/logs/download", params={"stream": stream}) as answer:
                if answer.status_code != 200:
                    answer.read()
                    self._told(answer)
                length = answer.headers.get("content-length", length)
                for data in answer.iter_bytes():
                    count += len(data)
                    yield data
        except httpx.RemoteProtocolError as error:
            if count:
                raise Unreachable(
                    f"the download broke off after {count} of {length} bytes (old ones are deleted meanwhile, or the "
                    "service left); try again"
                ) from error
            raise self._unreachable(error) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error

    # ------------------------------------------------------------ orders

    def act(self, action: str, name: str, *, wait: float | None = None, **body: Any) -> Json:
        """start, stop, restart, kill: `{"operation", "worker"}`. Raises `Declined` when it is known to have failed.

        `wait` in seconds; None leaves it to the service, 0 is answered at once.
        """
        params = {} if wait is None else {"wait": f"{wait:g}"}
        return self._ask("POST", f"{_worker(name)}/{action}", params=params, body=body, wait=wait or 120.0)

    def signal(self, name: str, signal: str, *, tree: bool = False) -> Json:
        return self._ask("POST", f"{_worker(name)}/signal", body={"signal": signal, "tree": tree})

    def login_link(self) -> Json:
        """`{"url", "path", "expires"}`; `url` is None where the service has no address of its own."""
        return self._ask("POST", "/api/v1/login-links", body={})

    def upgrade(self) -> Json:
        """Asks for an upgrade; `{"upgrade"}` as soon as the keeper is the new program."""
        return self._ask("POST", "/api/v1/upgrade", body={}, wait=60.0)

    def last_upgrade(self) -> Json:
        return self._ask("GET", "/api/v1/upgrade")

    def run(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Json:
        """Begins a run with arguments; `{"operation"}`, whose `worker` is the run's own name."""
        body: Json = {"args": list(arguments), "environment": dict(environment)}
        return self._ask("POST", f"{_worker(name)}/run", params={"wait": "0"}, body=body)

    def scale(self, name: str, replicas: int, *, wait: float) -> Json:
        """`{"workers", "added", "removed", "operations"}`."""
        params = {"wait": f"{wait:g}"} if wait else {}
        return self._ask("POST", f"{_worker(name)}/scale", params=params, body={"replicas": replicas}, wait=wait)

    def roll(self, workers: Sequence[str], **rolling: Any) -> Json:
        """Begins a rolling restart; `{"rolling"}`."""
        body: Json = {"action": "restart", "workers": list(workers), "rolling": rolling}
        return self._ask("POST", "/api/v1/actions", params={"wait": "0"}, body=body)

    def rolling(self, id: str, wait: float) -> Json:
        return self._ask("GET", f"/api/v1/actions/{quote(id, safe='')}", params={"wait": f"{wait:g}"}, wait=wait)

    def plan(self) -> Json:
        """`{"plan"}`: what `apply` would change."""
        return self._ask("POST", "/api/v1/config/plan", body={})

    def apply(self, *, wait: float) -> Json:
        """`{"plan", "operations"}`, after at most `wait` seconds for what begins."""
        params = {"wait": f"{wait:g}"} if wait else {}
        return self._ask("POST", "/api/v1/config/apply", params=params, body={}, wait=wait)

    def shut_down(self) -> Json:
        return self._ask("POST", "/api/v1/shutdown", body={})

    def _ask(self, method: str, path: str, *, params: Any = None, body: Json | None = None, wait: float = 0) -> Json:
        timeout = httpx.Timeout(READ + wait, connect=CONNECT)
        try:
            self._knock()
            answer = self._http.request(method, path, params=params, json=body, timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        return self._told(answer)

    def _knock(self) -> None:
        """Raises `ConnectError` when nobody is behind the socket: httpx would leave a descriptor open then."""
        if self.target.socket is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT)
            try:
                probe.connect(str(self.target.socket))
            except OSError as error:
                raise httpx.ConnectError(str(error)) from error

    def _told(self, answer: httpx.Response) -> Json:
        try:
            told = json.loads(answer.content)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise Unreachable(
                f"what answers at {self.target} is no Quarterdeck, or one of another version "
                f"(HTTP {answer.status_code}, {answer.headers.get('content-type', 'no type')})"
            )
        if answer.status_code >= 400:
            raise Declined(told, answer.status_code)
        return told

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, httpx.ReadTimeout):
            return Unreachable(f"the service at {self.target} took the question and does not answer; is it stopped?")
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
            return Unreachable(f"the service at {self.target} went away before it answered; is it leaving?")
        return Unreachable(f"no service answers at {self.target} ({_reason(error)}); {self.target.remedy}")

    # ------------------------------------------------------------ streams

    def follow(
        self, workers: Sequence[str], *, tail: int, on_break: Callable[[str], object] = str, **query: Any
    ) -> Iterator[Frame]:
        """The frames `log`, `gap` and `run` of a log stream, for ever; resumed by key after a broken connection.

        Raises `Declined`, or `Unreachable` when the service stays away; `on_break` is told of each break.
        """
        params = {"workers": ",".join(workers), "tail": tail, **query}
        key, failing = "", 0.0
        while True:
            try:
                for frame in self._frames("/api/v1/logs/stream", params, key):
                    key, failing = frame.id or key, 0.0
                    if frame.name in ("log", "gap", "run"):
                        yield frame
                    elif frame.name == "problem":
                        raise Declined(frame.data, int(frame.data.get("status", 400)))
                error = Unreachable(f"the service at {self.target} has left")
            except (httpx.HTTPError, httpx.InvalidURL) as broken:
                error = self._unreachable(broken)
                if not key and isinstance(broken, httpx.ConnectError):
                    raise error from broken  # it never was there
            if failing >= PATIENCE:
                raise error
            if failing == 0:
                on_break(f"{error}; trying again")
            self._pause.wait(1.0)
            failing += 1.0

    def _frames(self, path: str, params: Json, key: str) -> Iterator[Frame]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": key} if key else {})}
        timeout = httpx.Timeout(SILENCE, connect=CONNECT)
        self._knock()
        with self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as answer:
            if answer.status_code != 200 or "event-stream" not in answer.headers.get("content-type", ""):
                answer.read()
                self._told(answer)
                raise Unreachable(f"what answers at {self.target} is no log stream of Quarterdeck")
            yield from parse_frames(answer.iter_bytes())


def _worker(name: str) -> str:
    return f"/api/v1/workers/{quote(name, safe='')}"


def _reason(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return getattr(cause, "strerror", None) or str(error) or type(error).__name__
