"""What the gate does to the two ends of a request: reads its head, counts its body, and completes its answer.

Pure ASGI with hand-made messages, because a wrapper around responses would buffer the streams. No rule about who may do
what lives here. Known wart: the limits count decoded headers, not the bytes on the wire.
"""

import asyncio
import contextlib

from starlette.types import Message, Receive, Scope, Send

from .problems import Problem
from .timing import pause

BODY = 1024 * 1024
HEAD = 64 * 1024
LINGER_SECONDS, LINGER_BYTES = 2.0, 16 * 1024 * 1024

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'"
)
HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class TooLarge(Problem):
    def __init__(self) -> None:
        detail = f"the body is larger than {BODY // 1024} KiB, which no request to this service needs"
        super().__init__(413, "too_large", detail, headers={"Connection": "close"})


class Answer:
    """`send` with the security headers added, and the end of a request that went wrong."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.status = 0
        self.store = False
        self.secure = False
        self.cookie = ""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = [(name.lower(), value) for name, value in message.get("headers", ())]
            there = {name for name, _ in headers}
            headers += [pair for pair in HEADERS if pair[0] not in there]
            if not self.store and b"cache-control" not in there:
                headers.append((b"cache-control", b"no-store"))
            if self.cookie and b"set-cookie" not in there:
                headers.append((b"set-cookie", self.cookie.encode("latin-1")))
            message = {**message, "headers": headers}
        await self._send(message)

    async def problem(self, problem: Problem, scope: Scope, receive: Receive) -> None:
        if self.started:
            await abort(scope)
            return
        response = problem.response()
        closes = "Connection" in problem.headers
        await self({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        body = b"" if scope["method"] == "HEAD" else bytes(response.body)
        await self({"type": "http.response.body", "body": body, "more_body": closes})
        if closes:
            await _linger(receive)
            await self({"type": "http.response.body", "body": b"", "more_body": False})


async def _linger(receive: Receive) -> None:
    """Reads on for a moment before a connection is closed: closing over unread bytes would take the answer away."""
    taken = 0
    with contextlib.suppress(TimeoutError, Problem):
        async with asyncio.timeout(LINGER_SECONDS):
            while taken < LINGER_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                taken += len(message.get("body", b""))


async def abort(scope: Scope) -> None:
    """Drops a connection whose answer cannot be finished, with what is unsent, and lets the server notice.

    A reader that never reads would hold it for ever otherwise.
    """
    drop = (scope.get("extensions") or {}).get("quarterdeck", {}).get("abort")
    if drop is None:
        raise ConnectionError("the answer could not be finished")
    drop()
    await pause(0)


def read_headers(scope: Scope) -> dict[str, str]:
    """By lower-case name; of several with one name all values, joined by commas."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joint = "; " if key == "cookie" else ", "
        found[key] = f"{found[key]}{joint}{text}" if key in found else text
    return found


def read_cookie(header: str, name: str) -> bytes:
    """The value of one cookie; b"" when there is none."""
    for part in header.split(";"):
        key, equals, value = part.strip().partition("=")
        if equals and key == name:
            return value.strip('"').encode("latin-1")
    return b""


def set_root(scope: Scope, prefix: str) -> None:
    """Puts the path under the root path, whether the proxy before us has kept the prefix or taken it away."""
    mounted = scope.get("root_path", "")
    path = scope["path"]
    if mounted and (path == mounted or path.startswith(f"{mounted}/")):
        path = path[len(mounted) :]
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        path = path[len(prefix) :]
    scope["root_path"] = mounted + prefix
    scope["path"] = mounted + prefix + path


def refuse_large(scope: Scope, headers: dict[str, str]) -> None:
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD:
        raise Problem(431, "too_large", "the headers are too large", headers={"Connection": "close"})
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > BODY):
        raise TooLarge


def bounded(receive: Receive) -> Receive:
    """`receive` that raises `TooLarge` once more has come than a body may have, whatever its header says."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > BODY:
                raise TooLarge
        return message

    return counted
