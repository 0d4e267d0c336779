"""Whether an address answers GET over HTTP/1.1, and how. As Kubernetes: 200 to 399 is good, a redirect is not followed.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/#http-probes

Reads a bounded part of the answer: the head up to 16 KiB, and of a bad one the beginning of its body, for people.
Certificates are not verified, as there: what is asked is whether the service lives, mostly on this machine.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from ..declared import Probe
from . import Answer, Look, brief
from .tcp import Names, Streams, close, connect, within

HEAD = 16 * 1024
BODY = 1024

GOOD = range(200, 400)


class _Bad(ValueError):
    """What came is no answer of HTTP."""


def look_of(probe: Probe) -> tuple[Look, Callable[[], None]]:
    """A look, and the way out."""
    parts = urlsplit(probe.target)
    names = Names(parts.hostname or "")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    request = request_of(probe)
    tls: ssl.SSLContext | None = None

    async def once() -> Answer:
        nonlocal tls
        if secure and tls is None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        streams = await connect(names, port, tls=tls)
        try:
            return await _ask(streams, request, probe)
        finally:
            close(streams[1])

    async def look() -> Answer:
        return await within(probe.timeout, once)

    return look, names.close


def request_of(probe: Probe) -> bytes:
    """The bytes that are sent; headers of the probe take the place of ours."""
    parts = urlsplit(probe.target)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path or "/"
    headers = {"host": ("Host", host), "user-agent": ("User-Agent", "quarterdeck-probe"), "accept": ("Accept", "*/*")}
    headers |= {name.lower(): (name, text) for name, text in probe.headers.items()}
    headers["connection"] = ("Connection", "close")
    lines = [f"GET {path}{f'?{parts.query}' if parts.query else ''} HTTP/1.1"]
    lines += [f"{name}: {text}" for name, text in headers.values()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


async def _ask(streams: Streams, request: bytes, probe: Probe) -> Answer:
    reader, writer = streams
    writer.write(request)
    await writer.drain()
    code, line = await _status_of(reader)
    good = code in (GOOD if probe.status is None else probe.status)
    return Answer(good, line if good else await _with_body(reader, line))


async def _status_of(reader: asyncio.StreamReader) -> tuple[int, str]:
    """The status code and its line, after the head; what is only informational is passed over."""
    left = HEAD
    while True:
        line = await reader.readline()
        left -= len(line)
        words = line.decode("latin-1").rstrip().split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/") or not (len(words[1]) == 3 and words[1].isdecimal()):
            raise _Bad("it closed the connection without an answer" if not line else "what it answered is no HTTP")
        code, said = int(words[1]), f"status {' '.join(words[1:])}"
        while header := await reader.readline():
            left -= len(header)
            if left < 0:
                raise _Bad(f"the head of its answer is larger than {HEAD // 1024} KiB")
            if header in (b"\r\n", b"\n"):
                break
        if code >= 200 or code == 101:
            return code, brief(said)


async def _with_body(reader: asyncio.StreamReader, line: str) -> str:
    """What is wrong stands in the body, often; the verdict does not wait for it."""
    body = b""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(0.1):
            while len(body) < BODY and (more := await reader.read(BODY)):
                body += more
    text = brief(body[:BODY].decode("utf-8", "replace"))
    return f"{line}: {text}" if text else line
