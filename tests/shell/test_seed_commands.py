"""A namesake of each test of the seed's commands, with real processes; a work function that is awaited by hand."""

import asyncio
import io
from collections.abc import Awaitable, Callable

from supervisor_core import Process, Supervisor, Worker, command, must_run
from tests.shell.minions import Lines


def under_bob(work: Callable[[Process], Awaitable[None]]) -> None:
    asyncio.run(must_run("bob", work))


def test_must_capture():
    async def work(p):
        assert await p.command("echo", "this", "is", "a", "test").must_capture() == "this is a test\n"

    under_bob(work)


def test_capture_error():
    async def work(p):
        captured = await p.command("nosuchcommand").capture()
        assert captured.output == ""
        assert "nosuchcommand" in str(captured.error)

    under_bob(work)


def test_capture_exit_error():
    async def work(p):
        _, error = await p.command("test", "1", "==", "0").capture()
        assert error.returncode == 1

    under_bob(work)


def test_capture_input():
    async def work(p):
        for stdin in ("hello", b"hello", io.StringIO("hello"), io.BytesIO(b"hello")):
            assert await p.command("cat").capture(stdin) == ("hello", None)

    under_bob(work)


def test_command_run():
    async def work(p):
        command = p.command("ls")
        await command.run()
        assert command.returncode == 0

    under_bob(work)


def test_command_run_logging():
    lines, seen = Lines(), []

    async def work(p):
        await p.command("bash", "-c", "for i in $(seq 1 3); do echo $i; sleep 0.05; done").run()
        seen.extend(lines)

    async def main():
        supervisor = Supervisor()
        supervisor.logger = lines
        supervisor.supervise(Worker("charles", work))
        assert await supervisor.run() == []

    asyncio.run(main())
    assert len(seen) == 5, "one line for the start, three lines of output, one for the end"
    assert seen[1:4] == [f"charles:  <- {number}" for number in (1, 2, 3)]
    assert seen[4].endswith("exited successfully")


def test_a_command_without_a_worker():
    async def main():
        return await command("by hand", "echo", "hello").must_capture()

    assert asyncio.run(main()) == "hello\n"
