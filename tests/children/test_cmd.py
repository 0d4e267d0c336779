"""Commands by hand beyond the seed's own tests: big inputs and outputs, cancellation at each wait, what is left."""

import asyncio
import io
import os
import sys
import threading

import pytest

from supervisor_core import CommandError, Process, Supervisor, Worker
from supervisor_core.children import Ended
from supervisor_core.children.fake import FakeSpawner
from tests.children.rigs import alive, zoo
from tests.shell.minions import Lines
from tests.support.virtual import virtual


def by_hand(test):
    """Runs a coroutine test with a process handle whose lines are in `p.lines`; ends what is left."""

    def wrapper():
        async def main():
            lines = Lines()
            supervisor = Supervisor(logger=lines)
            p = Process(supervisor, Worker("bob", lambda p: None))
            p.lines = lines
            try:
                await test(p)
            finally:
                await supervisor.spawner.aclose()

        asyncio.run(main())

    wrapper.__name__ = test.__name__
    wrapper.__doc__ = test.__doc__
    return wrapper


def played(test):
    """The same on a fake spawner and in virtual time; gives the spawner too."""

    @virtual
    async def wrapper():
        spawner = FakeSpawner()
        await test(Process(Supervisor(logger=Lines(), spawner=spawner), Worker("bob", lambda p: None)), spawner)

    wrapper.__name__ = test.__name__
    return wrapper


async def turns(count=5):
    for _ in range(count):
        done = asyncio.Event()
        asyncio.get_running_loop().call_soon(done.set)
        await done.wait()


@by_hand
async def test_much_in_and_much_out_at_once(p):
    """Each side's pipe is full many times over; neither waits for the other for ever."""
    data = "".join(f"line {number}\n" for number in range(100_000))
    output = await p.command("cat").must_capture(data)
    assert output == data


@by_hand
async def test_one_long_line(p):
    data = b"x" * 5_000_000
    assert len(await p.command("cat").must_capture(data)) == len(data)
    command = p.command("cat")
    command.stdin = data
    await command.run()
    assert sum(line.count("x") for line in p.lines if " <- " in line) == 2 * len(data)


@by_hand
async def test_an_input_that_is_not_read(p):
    assert (await p.command("true").capture("x" * 1_000_000)).error is None
    command = p.command(*zoo("child", "say", "up", "exit", "0"))
    command.stdin = "x" * 1_000_000
    command.stdout = io.BytesIO()
    await command.start()
    task = asyncio.ensure_future(command.wait())
    await asyncio.wait([command._child.leader_exited])
    command._child.kill_tree()
    await task


@by_hand
async def test_an_input_from_a_pipe_is_read_in_a_thread(p):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        task = asyncio.ensure_future(p.command("cat").must_capture(source))
        ticks = []
        while not any(t.name == "read an input" for t in threading.enumerate()):
            await turns(1)
        ticks.append("the loop goes on")
        os.write(writing, b"late\n")
        os.close(writing)
        assert await task == "late\n"
        assert ticks


def test_an_input_from_a_file(tmp_path):
    path = tmp_path / "input"
    path.write_text("one\ntwo\n" * 50_000)

    @by_hand
    async def test(p):
        assert await p.command("cat").must_capture(source) == expected

    expected = path.read_text()
    with path.open() as source:
        test()


@by_hand
async def test_an_input_that_fails_ends(p):
    class Broken(io.BytesIO):
        def read1(self, size=-1):
            raise OSError("no luck")

    assert await p.command("cat").must_capture(Broken()) == ""


@by_hand
async def test_output_to_files_of_text_and_of_bytes(p):
    command = p.command("printf", "h\\303\\251llo")
    command.stdout = io.StringIO()
    await command.run()
    assert command.stdout.getvalue() == "héllo"
    command = p.command("sh", "-c", "printf '\\303\\251' >&2")
    command.stderr = io.BytesIO()
    await command.run()
    assert command.stderr.getvalue() == "é".encode()


@by_hand
async def test_a_second_wait_tells_the_same_and_logs_nothing(p):
    command = p.command("false")
    await command.start()
    for _ in range(2):
        with pytest.raises(CommandError, match="false: exit status 1"):
            await command.wait()
    assert sum("exit status" in line for line in p.lines) == 1
    with pytest.raises(RuntimeError, match="started before"):
        await command.start()
    with pytest.raises(RuntimeError, match="was not started"):
        await p.command("true").wait()


@by_hand
async def test_a_refused_start_says_why_and_leaves_nothing(p):
    for path, words in (("no-such-program", "there is no program"), ("/etc", "is a directory")):
        command = p.command(path)
        command.stdin = "some input"
        with pytest.raises(CommandError, match=words) as caught:
            await command.run()
        assert caught.value.returncode is None
        assert any(words in line for line in p.lines)
        assert (command.pid, command.returncode) == (None, None)


@by_hand
async def test_a_cancelled_run_leaves_no_process(p):
    command = p.command(*zoo("child", "stubborn-child", "escapee", "say", "up", "pause"))
    task = asyncio.ensure_future(command.run())
    while not any("up" in line for line in p.lines if " <- " in line):
        await turns(1)
    left = command._child.left()
    assert len(left) == 4
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(map(alive, left))
    assert command.returncode == -9


@by_hand
async def test_a_signal_by_hand(p):
    command = p.command("sleep", "1000")
    command.signal(15)
    await command.start()
    command.signal(15)
    with pytest.raises(CommandError, match="sleep: signal TERM"):
        await command.wait()
    command.signal(15)


@by_hand
async def test_the_environment_is_ours_or_exactly_what_is_given(p):
    os.environ["QD_PROBE"] = "seen"
    try:
        command = p.command(sys.executable, "-c", "import os; print(os.environ.get('QD_PROBE'))")
        assert await command.must_capture() == "seen\n"
        command = p.command("/usr/bin/env")
        command.env = {"A": "1"}
        assert await command.must_capture() == "A=1\n"
    finally:
        del os.environ["QD_PROBE"]


# ------------------------------------------------------------ a cancellation at each wait


@played
async def test_cancelled_while_it_starts(p, spawner):
    spawner.hold("bob")
    command = p.command("run")
    command.stdin = "input"
    task = asyncio.ensure_future(command.run())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert spawner.live() == []


@played
async def test_cancelled_while_it_runs(p, spawner):
    spawner.expect("bob", stuck=True)
    task = asyncio.ensure_future(p.command("run").run())
    await turns()
    child = spawner.children["bob"]
    task.cancel()
    await turns()
    task.cancel()
    await turns()
    assert not task.done(), "as long as it is there, so is its work"
    child.stuck = False
    child.kill_tree()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert child.exited.result() == Ended(signal=9)


@played
async def test_cancelled_while_a_descendant_holds_the_output(p, spawner):
    spawner.expect("bob", descendants=1)
    task = asyncio.ensure_future(p.command("run").run())
    await turns()
    child = spawner.children["bob"]
    child.exit(0)
    await turns()
    assert not task.done(), "the output has not ended"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert child.exited.done()


@played
async def test_the_shutdown_alone_ends_no_command(p, spawner):
    task = asyncio.ensure_future(p.command("run").run())
    await turns()
    p._interrupt()
    await turns()
    assert p.shutting_down
    child = spawner.children["bob"]
    assert (child.signals, child.killed) == ([], 0)
    child.exit(0)
    await task
