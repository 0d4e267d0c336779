"""How a supervisor is asked over a socket or a FIFO in its folder. Nothing here knows which supervisor it is."""

import http.client
import os
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any


class Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class LocalTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002
        return Local(self._path)


def listens(fifo: Path) -> bool:
    """Whether somebody reads from a FIFO: how runit and s6 themselves find out whether a service is supervised."""
    os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    return True
