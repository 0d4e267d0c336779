"""Commands by hand, with real processes: attributes, lines, failures, and what a signal or a cancellation does."""

import asyncio
import io
import os
import sys

import pytest

from supervisor_core import CommandError, Supervisor, Worker
from tests.shell.minions import Lines


def under(work, name="bob"):
    """Runs one work in a real loop; returns its lines and errors."""
    lines = Lines()

    async def main():
        supervisor = Supervisor(logger=lines)
        supervisor.supervise(Worker(name, work))
        return await supervisor.run()

    errors = asyncio.run(main())
    return lines.of(name), errors


def test_the_attributes_may_be_set_before_the_start(tmp_path):
    async def work(p):
        command = p.command("placeholder")
        command.path = "sh"
        command.args = ["-c", "pwd; echo $WORD; read line; echo got $line; echo lost >&2"]
        command.env = {"WORD": "hello", "PATH": os.environ["PATH"]}
        command.dir = str(tmp_path)
        command.stdin = "a line\n"
        command.stdout, command.stderr = io.BytesIO(), io.BytesIO()
        assert (command.pid, command.returncode) == (None, None)
        await command.start()
        assert isinstance(command.pid, int)
        await command.wait()
        assert command.returncode == 0
        assert command.stdout.getvalue().decode().splitlines() == [str(tmp_path), "hello", "got a line"]
        assert command.stderr.getvalue() == b"lost\n"

    assert under(work)[1] == []


def test_what_is_logged():
    async def work(p):
        command = p.command("sh", "-c", "read a; echo out $a; echo err >&2; printf unfinished")
        command.stdin = "in\n"
        await command.run()

    lines, errors = under(work)
    assert errors == []
    assert "sh" in lines[0]
    assert "read a" in lines[0]
    assert sorted(lines[1:-2]) == [" -> in", " <- err", " <- out in", " <- unfinished"]
    assert lines[-2:] == ["sh exited successfully", "exited"]


@pytest.mark.parametrize(
    ("script", "returncode", "words"),
    [("exit 3", 3, "sh: exit status 3"), ("kill -TERM $$", -15, "sh: signal TERM")],
)
def test_a_command_that_fails_raises(script, returncode, words):
    async def work(p):
        command = p.command("sh", "-c", script)
        with pytest.raises(CommandError) as caught:
            await command.run()
        assert (caught.value.returncode, command.returncode) == (returncode, returncode)
        await p.command("sh", "-c", script).run()

    lines, errors = under(work)
    assert words in lines
    assert len(errors) == 1
    assert errors[0].__cause__.returncode == returncode
    assert errors[0].worker.status.last_exit.code == (returncode if returncode > 0 else None)


def test_a_missing_program_raises():
    async def work(p):
        await p.command("no-such-program").run()

    _, (error,) = under(work)
    assert isinstance(error.__cause__, CommandError)
    assert "no-such-program" in str(error)


def test_capture_err_holds_both():
    async def work(p):
        output, error = await p.command("sh", "-c", "echo out; echo err >&2; exit 4").capture_err()
        assert output == "out\nerr\n"
        assert error.returncode == 4
        assert await p.command("sh", "-c", "echo out; echo err >&2").must_capture_err() == "out\nerr\n"
        assert await p.command("sh", "-c", "echo out; echo err >&2").must_capture() == "out\n"

    assert under(work)[1] == []


def test_must_capture_raises():
    async def work(p):
        for capture in (p.command("false").must_capture, p.command("false").must_capture_err):
            with pytest.raises(CommandError) as caught:
                await capture()
            assert caught.value.returncode == 1

    assert under(work)[1] == []


def test_no_input_is_an_empty_input():
    async def work(p):
        assert await p.command("cat").must_capture() == ""
        await p.command("cat").run()

    assert under(work)[1] == []


def test_a_signal_ends_what_do_runs():
    """The commonest shape of a worker around a program: the command ends with the worker."""
    pids = []

    async def work(p):
        command = p.command(sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1000)")
        await command.start()
        pids.append(command.pid)
        asyncio.get_running_loop().call_soon(p.supervisor.shutdown)
        assert await p.do(command.wait) is None

    assert under(work)[1] == []
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
