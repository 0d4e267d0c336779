"""A service on a Unix socket that answers what a test told it, and remembers what it was asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer
from urllib.parse import parse_qsl, urlsplit


def row(name, **fields):
    """A Status as the API gives it; ready and running unless said otherwise."""
    told = {
        "name": name, "state": "running", "ready": True, "wanted": True, "health": "unknown", "pid": 12, "run": 1,
        "since": "2026-01-01T00:00:00.000Z", "deadline": None, "restarts": 0, "blocked_on": [], "waiting_for": [],
        "last_exit": None, "labels": {},
    }  # fmt: skip
    return {**told, **fields}


def operation(name, state="done", **fields):
    told = {
        "id": f"op-{name}",
        "action": "restart",
        "worker": name,
        "state": state,
        "outcome": "run 2 is ready",
        "run": 2,
    }
    return {**told, **fields}


def problem(status, code, detail, **fields):
    return status, {"status": status, "code": code, "detail": detail, **fields}


def line(key, text, worker="a", **fields):
    told = {"key": key, "time": "2026-01-01T00:00:00.000Z", "worker": worker, "stream": "out", "run": 1, "text": text}
    return {**told, **fields}


def frame(name, data, id=""):
    return (f"event: {name}\n" + (f"id: {id}\n" if id else "") + f"data: {json.dumps(data)}\n\n").encode()


class FakeService:
    """`answers[METHOD, PATH]`: (status, JSON), a list of bytes to stream, or a function of the query giving either."""

    def __init__(self, place, workers=()):
        self.asked = []
        self.headers = []
        self.heard = threading.Event()
        self.answers = {("GET", "/api/v1/workers"): (200, {"host": "h", "cursor": "1:1", "workers": list(workers)})}
        self._server = UnixStreamServer(str(place), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method, path, query, body):
        self.asked.append((method, path, query, body))
        told = self.answers.get((method, path), problem(404, "unknown", f"no {path}"))
        return told(query) if callable(told) else told


def _handler(service):
    class Handler(BaseHTTPRequestHandler):
        def address_string(self):
            return "socket"

        def log_message(self, *_):
            pass

        def _do(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            url = urlsplit(self.path)
            service.headers.append(dict(self.headers))
            told = service.answer(self.command, url.path, dict(parse_qsl(url.query)), body)
            if isinstance(told, list):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for chunk in told:
                    self.wfile.write(chunk)
                return
            status, value = told
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(value if isinstance(value, bytes) else json.dumps(value).encode())

        do_GET = do_POST = _do  # noqa: N815 - the names are the library's

    return Handler
