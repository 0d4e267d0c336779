"""What one look says: http, tcp, exec against real sockets and processes; good, bad, late, and what came back."""

import asyncio
import contextlib
import os
import select
import shutil
import ssl
import subprocess

import pytest

from supervisor_core.children.local import LocalSpawner
from supervisor_core.errands import Errands, request_of
from supervisor_core.probes import Answer, command, http, tcp
from supervisor_core.probes.prober import wait
from tests.probes.rig import probe, python, worker


async def look(made) -> Answer:
    once, way_out = made
    try:
        return await once()
    finally:
        way_out()


@contextlib.asynccontextmanager
async def answering(answer: bytes, *, then=None, heard=None):
    """A server on a port of its own that gives one answer to whoever asks."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if heard is not None:
                heard.append(head.decode())
            writer.write(answer)
            await writer.drain()
            if then is not None:
                await then()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("answer", "changes", "good", "text"),
    [
        (GOOD, {}, True, "status 200 OK"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", {}, True, "status 302 Found"),
        (b"HTTP/1.1 399 \r\n\r\n", {}, True, "status 399"),
        (b"HTTP/1.1 400 Bad\r\n\r\n", {}, False, "status 400 Bad"),
        (b"HTTP/1.1 503 Busy\r\n\r\n{\"db\":\n \"down\"}", {}, False, 'status 503 Busy: {"db": "down"}'),
        (GOOD, {"status": frozenset({204})}, False, "status 200 OK: ok"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", {"status": frozenset({503})}, True, "status 503 Busy"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, {}, True, "status 200 OK"),
        (b"HTTP/1.0 200 OK\n\n", {}, True, "status 200 OK"),
        (b"220 mail ESMTP\r\n", {}, False, "what it answered is no HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", {}, False, "what it answered is no HTTP"),
        (b"", {}, False, "it closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 4000, {}, False, "the head of its answer is larger than 16 KiB"),
        (b"HTTP/1.1 200 " + b"x" * 100_000, {}, False, None),
    ],
)  # fmt: skip
def test_http(answer, changes, good, text):
    async def main():
        async with answering(answer) as port:
            found = await look(http.look_of(probe("http", f"http://127.0.0.1:{port}/", **changes)))
        assert found.good is good
        assert text is None or found.text == text
        assert len(found.text) < 600

    asyncio.run(main())


def test_what_an_http_look_sends():
    async def main():
        heard = []
        async with answering(GOOD, heard=heard) as port:
            headers = {"Host": "example.org", "X-Probe": "1"}
            await look(http.look_of(probe("http", f"http://localhost:{port}/a?b=c", headers=headers)))
            await look(http.look_of(probe("http", f"http://localhost:{port}")))
        assert heard[0].splitlines()[0] == "GET /a?b=c HTTP/1.1"
        assert {"Host: example.org", "X-Probe: 1", "Connection: close"} <= set(heard[0].splitlines())
        assert heard[1].splitlines()[:2] == ["GET / HTTP/1.1", f"Host: localhost:{port}"]

    asyncio.run(main())


def test_a_body_that_never_ends_holds_nothing_up():
    async def main():
        gate = asyncio.Event()
        async with answering(b"HTTP/1.1 500 Oh\r\n\r\nbecause", then=gate.wait) as port:
            found = await look(http.look_of(probe("http", f"http://127.0.0.1:{port}/")))
            gate.set()
        assert (found.good, found.text) == (False, "status 500 Oh: because")

    asyncio.run(main())


def test_a_server_that_does_not_answer_is_bad_after_the_timeout():
    async def main():
        gate = asyncio.Event()
        async with answering(b"HTTP/1.1 200", then=gate.wait) as port:
            found = await look(http.look_of(probe("http", f"http://127.0.0.1:{port}/", timeout=0.1)))
            gate.set()
        assert (found.good, found.text, found.late) == (False, "no answer within 0.1 s", False)

    asyncio.run(main())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https_with_a_certificate_that_nobody_signed(tmp_path):
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", cert]
    subprocess.run(made, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    named = []
    tls.sni_callback = lambda _, name, __: named.append(name)

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(GOOD)
            await writer.drain()
        writer.transport.abort()

    async def main():
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
            port = server.sockets[0].getsockname()[1]
            found = await look(http.look_of(probe("http", f"https://localhost:{port}/")))
            assert (found.good, found.text) == (True, "status 200 OK")
            await asyncio.sleep(0)
        assert named == ["localhost"]
        over = asyncio.Event()

        async def talk_plainly(reader, writer):
            with contextlib.suppress(ConnectionError):
                await reader.read(1)
                writer.write(b"no TLS here")
                writer.close()
                await writer.wait_closed()
            over.set()

        async with await asyncio.start_server(talk_plainly, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert not (await look(http.look_of(probe("http", f"https://127.0.0.1:{port}/")))).good
            await over.wait()

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["connected", "asked", "in the body", "exec"])
def test_a_look_that_is_cancelled_leaves_nothing(kind):
    """At each place where it waits; the fixture of all tests says what is left."""

    async def main():
        gate, errands = asyncio.Event(), Errands()
        answer = b"HTTP/1.1 500 x\r\n\r\n" if kind == "in the body" else b""
        async with answering(answer, then=gate.wait) as port:
            once, way_out = http.look_of(probe("http", f"http://127.0.0.1:{port}/", timeout=60.0))
            if kind == "exec":
                spec = worker(("x",))
                once = command.look_of(probe("exec", "", ("sleep", "60"), timeout=60.0), spec, 1, errands, "i")
            doing = asyncio.ensure_future(once())
            await wait(0 if kind == "connected" else 0.05)
            doing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await doing
            way_out()
            gate.set()
            await errands.aclose()
            await wait(0.02)

    asyncio.run(main())


def test_tcp(tmp_path):
    async def main():
        async with answering(b"") as port:
            found = await look(tcp.look_of(probe("tcp", f"localhost:{port}")))
            assert (found.good, found.text) == (True, "it accepts connections")
        found = await look(tcp.look_of(probe("tcp", f"127.0.0.1:{port}")))
        assert (found.good, found.text) == (False, "connection refused")
        taken = asyncio.Event()

        async def take(reader, writer):
            writer.close()
            await writer.wait_closed()
            taken.set()

        async with await asyncio.start_unix_server(take, tmp_path / "s"):
            assert (await look(tcp.look_of(probe("tcp", f"unix:{tmp_path}/s")))).good
            await taken.wait()
        found = await look(tcp.look_of(probe("tcp", f"unix:{tmp_path}/none")))
        assert (found.good, found.text) == (False, "No such file or directory")

    asyncio.run(main())


def test_a_name_is_looked_up_once_at_a_time(monkeypatch):
    """A resolver that hangs costs one thread, however often is asked."""
    import threading

    gate, asked = threading.Event(), []

    def hangs(host):
        asked.append(host)
        gate.wait(10)
        return ("127.0.0.1",)

    monkeypatch.setattr(tcp, "_look_up", hangs)

    async def main():
        once, way_out = tcp.look_of(probe("tcp", "db.example:1", timeout=0.05))
        for _ in range(3):
            found = await once()
            assert (found.good, found.text) == (False, "no answer within 0.05 s")
        assert asked == ["db.example"]
        gate.set()
        assert (await once()).text == "connection refused"
        way_out()

    asyncio.run(main())


def lone(argv, **changes):
    """A look of an exec probe, with errands of its own."""

    async def main():
        spawner, errands = LocalSpawner(), Errands()
        spec = worker(("x",), **changes.pop("of", {}))
        once = command.look_of(probe("exec", "", argv, **changes), spec, 1, errands, spawner.instance)
        found = await once()
        await errands.aclose()
        return found

    return asyncio.run(main())


def test_exec():
    assert lone(("/bin/sh", "-c", "echo fine")) == Answer(True, "exit status 0: fine")
    assert lone(("/bin/sh", "-c", "echo bad >&2; exit 3")) == Answer(False, "exit status 3: bad")
    assert lone(("/bin/sh", "-c", "kill -9 $$")) == Answer(False, "killed by SIGKILL")
    found = lone(("no-such-program",))
    assert (found.good, found.text[:34]) == (False, "there is no program no-such-program"[:34])
    found = lone(("/bin/sh", "-c", "echo x; exec sleep 60"), timeout=0.3)
    assert (found.good, found.text, found.late) == (False, "did not end within 0.3 s: x", False)


def test_exec_runs_as_the_worker_does(tmp_path):
    program = {"directory": str(tmp_path), "umask": 0o27}
    found = lone(("/bin/sh", "-c", "pwd; umask; echo $QUARTERDECK_WORKER"), of={"program": program})
    assert found.text.split() == ["exit", "status", "0:", str(tmp_path), "0027", "web"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_exec_runs_as_the_workers_user():
    found = lone(("/bin/sh", "-c", "id -u"), of={"program": {"user": "65534", "group": "65534", "directory": "/"}})
    assert found.text == "exit status 0: 65534"
    assert "there is no user nobody-like-this" in lone(("true",), of={"program": {"user": "nobody-like-this"}}).text


def ends_soon(pid):
    """Whether it has been killed; who adopted it collects it in its own time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 5)[0])
    finally:
        os.close(fd)


@pytest.mark.row(25)
def test_children_of_an_exec_probe_end_with_it(tmp_path):
    """Also those of one that hangs: the whole group is killed."""
    for end in ("exit 0", "exec sleep 60"):
        text = f"sleep 60 & echo $! > {tmp_path}/pid; {end}"
        lone(("/bin/sh", "-c", text), timeout=0.5)
        assert ends_soon(int((tmp_path / "pid").read_text()))


def test_output_without_end_is_bounded_and_its_last_part_is_kept():
    found = lone(python("import sys\nfor n in range(200000): print(n)\nsys.exit(1)"), timeout=20.0)
    assert found.text.endswith("199999")
    assert len(found.text) < 5000


def test_not_more_than_some_run_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr("supervisor_core.errands.AT_ONCE", 2)
    count = f"""
import os, sys
open({str(tmp_path)!r} + f"/{{os.getpid()}}", "w")
print(len(os.listdir({str(tmp_path)!r})))
input()
os.unlink({str(tmp_path)!r} + f"/{{os.getpid()}}")
"""

    async def main():
        errands, spec = Errands(), worker(("x",))
        request = request_of(spec, 1, python(count), "i", {})
        outcomes = await asyncio.gather(*(errands.run(request, 20.0, kind="k", feed=b"\n") for _ in range(6)))
        assert all(outcome.good for outcome in outcomes), outcomes
        assert max(int(outcome.output) for outcome in outcomes) <= 2
        await errands.aclose()

    asyncio.run(main())


def test_what_is_under_way_ends_with_the_errands():
    async def main():
        errands, spec, begun = Errands(), worker(("x",)), asyncio.Event()
        request = request_of(spec, 1, ("/bin/sh", "-c", "echo up; exec sleep 60"), "i", {})
        doing = asyncio.ensure_future(errands.run(request, 60.0, kind="k", heed=lambda _: begun.set()))
        await begun.wait()
        await errands.aclose()
        cut = await doing
        assert (str(cut), cut.void) == ("killed by SIGKILL: up", True)
        late = await errands.run(request, 1.0, kind="k")
        assert (str(late), late.void) == ("the service is leaving", True)

    asyncio.run(main())


def test_a_cancelled_one_leaves_nothing():
    async def main():
        errands, spec, said = Errands(), worker(("x",)), asyncio.get_running_loop().create_future()
        request = request_of(spec, 1, ("/bin/sh", "-c", "echo $$; exec sleep 60"), "i", {})
        doing = asyncio.ensure_future(errands.run(request, 60.0, kind="k", heed=said.set_result))
        pid = int(await said)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


def test_it_reads_what_it_is_fed():
    async def main():
        errands = Errands()
        request = request_of(worker(("x",)), 1, ("cat",), "i", {})
        assert (await errands.run(request, 10.0, kind="k", feed=b"some text")).output == "some text"
        await errands.aclose()

    asyncio.run(main())
