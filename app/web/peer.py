"""uvicorn's HTTP protocol with what the gate needs to know of a connection, and with deadlines for slow senders.

Use the class as uvicorn's `http` for every listener, TCP and Unix: `uvicorn.Config(app, http=PeerProtocol)`. It puts
`scope["extensions"]["quarterdeck"] = {"uid": ..., "abort": ...}`: the uid of the peer of a Unix socket as the kernel
says it (None for TCP, and where the system does not say), and a call that drops the connection with what is unsent.

Known wart: it builds on methods of uvicorn's class that are not documented; its tests tell when they change.
"""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .ends import HEAD, HEADERS, LINGER_SECONDS
from .problems import MEDIA_TYPE, Problem

HEAD_SECONDS = 10.0
"""From the first moment of a connection, and from the first byte of each later request, to the end of its head."""

NEWCOMERS = 0.05
"""Seconds for one that has not asked anything, once nobody is accepted any more."""


class PeerProtocol(HttpToolsProtocol):
    """One connection."""

    _uid: int | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._uid = peer_uid(transport.get_extra_info("socket"))
        self._await_head()

    def eof_received(self) -> None:
        if self._refused:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD and not self.transport.is_closing():
                self._refuse(431, "too_large", "the headers are too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"quarterdeck": {"uid": self._uid, "abort": self.transport.abort}}
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def shutdown(self) -> None:
        """Leaves when it has answered. Who has just come may still ask; uvicorn itself looks only after a while."""
        if self.cycle is None and self._head_timer is not None:
            self.loop.call_later(NEWCOMERS, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        self._refuse(400, "bad_request", "this is not HTTP as we read it")

    # ------------------------------------------------------------ ours

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._head_bytes and not self.transport.is_closing():
            self._refuse(408, "too_slow", f"the head of the request did not come within {HEAD_SECONDS:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answers outside of the application, in the shape of every other error, and closes.

        What still comes is thrown away for a moment: closing over unread bytes would take the answer away.
        """
        self._head_is_there()
        answer = Problem(status, code, detail).response()
        head = [
            f"HTTP/1.1 {status} {code}".encode(),
            b"content-type: " + MEDIA_TYPE.encode(),
            b"content-length: " + str(len(answer.body)).encode(),
            b"cache-control: no-store",
            b"connection: close",
            *(name + b": " + value for name, value in HEADERS),
        ]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + bytes(answer.body))
        self._refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


def peer_uid(connection: Any) -> int | None:
    """The uid at the other end of a Unix socket; None for other sockets and where nobody can know."""
    option = getattr(socket, "SO_PEERCRED", None)
    if connection is None or connection.family != socket.AF_UNIX or option is None:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)
