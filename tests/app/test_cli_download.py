"""`quarterdeck logs NAME --download`: bytes as they are, and a sentence when they break off."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, UnixStreamServer

import pytest

from app.cli import main

from .fake_service import row

BYTES = b"\x1b[31m\xff\xfe\r\n\0 no newline" * 9000
ROWS = json.dumps({"host": "h", "cursor": "1:1", "workers": [row("web-0"), row("web-1")]}).encode()
DENIED = json.dumps({"detail": "held in memory\x1b[2J", "code": "not_kept"}).encode()


class Service:
    """Answers with what `log` says: a status, a length that is claimed, and bytes."""

    def __init__(self, place: Path) -> None:
        self.asked: list[str] = []
        self.log = 200, len(BYTES), BYTES
        service = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                head = self.rfile.readline().decode().split()
                while self.rfile.readline().strip():
                    pass
                if head:
                    service.asked.append(head[1])
                    status, length, body = service.log if "download" in head[1] else (200, len(ROWS), ROWS)
                    self.wfile.write(
                        b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, length)
                    )
                    self.wfile.write(body)

        self._server = UnixStreamServer(str(place), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("QUARTERDECK_STATE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = Service(tmp_path / "socket")
    yield made
    made.close()


@pytest.mark.parametrize(("more", "stream"), [([], "out"), (["--stderr"], "err"), (["--stream", "log"], "log")])
def test_the_bytes_go_to_standard_output(
    service: Service, capfdbinary: pytest.CaptureFixture[bytes], more: list[str], stream: str
) -> None:
    assert main(["logs", "web-1", "--download", *more]) == 0
    assert capfdbinary.readouterr() == (BYTES, b"")
    assert service.asked[-1] == f"/api/v1/workers/web-1/logs/download?stream={stream}"


def test_a_download_that_breaks_off_is_told(service: Service, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    service.log = 200, len(BYTES), BYTES[:1000]
    assert main(["logs", "web-0", "--download"]) == 4
    out, err = capfdbinary.readouterr()
    assert out == BYTES[:1000]
    assert err.startswith(f"quarterdeck: the download broke off after 1000 of {len(BYTES)} bytes".encode())


def test_a_refusal_is_the_service_s_sentence(service: Service, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    service.log = 404, len(DENIED), DENIED
    assert main(["logs", "web-0", "--download"]) == 1
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert err.startswith(b"quarterdeck: held in memory")
    assert b"\x1b" not in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["web-*"], "takes one worker, not 2"),
        ([], "takes one worker, not 0"),
        (["web-0", "-f"], "leave out -f"),
        (["web-0", "-n", "5"], "leave out -f"),
        (["web-0", "--grep", "x"], "leave out -f"),
    ],
)
def test_what_does_not_go_with_it(
    service: Service, capfdbinary: pytest.CaptureFixture[bytes], arguments: list[str], sentence: str
) -> None:
    assert main(["logs", "--download", *arguments]) == 2
    assert sentence in capfdbinary.readouterr().err.decode()
    assert not [path for path in service.asked if "download" in path]


def test_a_terminal_gets_bytes_only_when_it_wants_them(
    service: Service, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["logs", "web-0", "--download"]) == 2
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert b"send them to a file, or add --raw" in err
    assert main(["logs", "web-0", "--download", "--raw"]) == 0
    assert capfdbinary.readouterr().out == BYTES
