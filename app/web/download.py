"""The raw bytes of one stream of a worker as a download: all that is kept, or one range of it.

Pieces are read in a thread, and the next one when the one before is on its way. The length is said at the beginning; a
download that cannot keep it (retention has taken what was still to come, the service leaves) is cut off, so that no
client takes it for whole. It counts as an open stream.

Known wart: who resumes a download should send `If-Range`; without it, bytes that retention took are not noticed.
"""

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from supervisor_core.calling import call as in_thread
from supervisor_core.logs import NotKept, Raw

from .ends import abort
from .params import Params
from .problems import Problem
from .routes import Call
from .select import find
from .services import Services
from .stream import SEND_TIMEOUT, refuse_crowd

PIECE = 256 * 1024
STREAMS = ("out", "err", "log")
BINARY = "application/octet-stream"
_DIGITS = 18
"""Of a number at most; a longer one is beyond any log."""

log = logging.getLogger("quarterdeck.web")


async def download(call: Call) -> Response:
    """GET /api/v1/workers/{name}/logs/download. Raises `Problem`."""
    name, stream = call.request.path_params["name"], Params(call.request).choice("stream", STREAMS, "out")
    find(call.host.snapshot(), name)
    try:
        raw: Raw = await in_thread(call.host.logs.raw, name, stream)
    except NotKept as error:
        raise Problem(404, "not_kept", str(error)) from None
    tag = f'"{raw.tag}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Disposition": attachment(f"{name}.{stream}.log")}
    given = call.request.headers
    part = None
    if call.request.method == "GET" and given.get("if-range", tag) == tag:
        part = one_range(given.getlist("range"), raw.size)
    start, end = part or (0, raw.size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{raw.size}"
    status = 206 if part else 200
    if call.request.method == "HEAD" or start == end:
        return Response(None, status, headers, media_type=BINARY)
    refuse_crowd(call.services)
    return _Download(call.services, raw, start, end, status, headers)


def attachment(name: str) -> str:
    """The Content-Disposition of a file, whatever is in its name."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-[]") else "_" for c in name)
    return f'attachment; filename="{plain}"' + ("" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}")


def one_range(headers: Sequence[str], size: int) -> tuple[int, int] | None:
    """What the Range headers ask of `size` bytes, as [start, end); None for all, as without one.

    A unit other than bytes is passed over, as HTTP wants it. Raises `Problem` 416 for all but one range that is there.
    """
    text = ",".join(headers)
    unit, equals, ranges = text.partition("=")
    if not headers or (equals and unit.strip().lower() != "bytes"):
        return None
    first, dash, last = ranges.strip(" \t,").partition("-")
    first, last = first.strip(" \t"), last.strip(" \t")
    whole = dash and (_is_number(first) or not first) and (_is_number(last) or not last) and (first or last)
    if equals and whole:
        start = max(size - _number(last), 0) if not first else _number(first)
        end = min(_number(last) + 1, size) if first and last else size
        if start < end:
            return start, end
    detail = f"Range is one range of the {size} bytes that are kept, such as bytes=0-99, bytes=100- or bytes=-100"
    raise Problem(416, "bad_range", detail, headers={"Content-Range": f"bytes */{size}"})


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS else 10**_DIGITS


class _Download(Response):
    """Sends the bytes [start, end), or cuts the connection."""

    media_type = BINARY

    def __init__(
        self, services: Services, raw: Raw, start: int, end: int, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(None, status, headers)
        self._services = services
        self._raw = raw
        self._start, self._end = start, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_until_gone(receive))
        leaving = asyncio.create_task(self._services.stopping.wait())
        tasks = (sending, gone, leaving)
        self._services.streams += 1
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            why = sending.result() if sending.done() else "the service leaves"
            if why and not gone.done():
                log.info("the download %s is cut off: %s", scope["path"], why)
                await abort(scope)
        finally:
            self._services.streams -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> str:
        """Sends all; gives why it cannot, "" when it could."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        at = self._start
        while at < self._end:
            data = await in_thread(self._raw.read, at, min(PIECE, self._end - at))
            if not data:
                return "bytes that were still to come are gone"
            at += len(data)
            try:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await send({"type": "http.response.body", "body": data, "more_body": at < self._end})
            except TimeoutError:
                return f"the reader took nothing for {SEND_TIMEOUT:g} s"
        return ""


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
