"""What every spawner keeps. A further one joins with its rig in `rigs.RIGS`."""

import asyncio
import functools
import signal

import pytest

from supervisor_core.children import Ended
from supervisor_core.errors import CannotStart
from tests.children.rigs import RIGS, rig_of


def contract(test):
    """Runs a coroutine test against each rig."""

    @pytest.mark.parametrize("kind", RIGS, ids=lambda kind: kind.__name__.removesuffix("Rig").lower())
    @functools.wraps(test)
    def wrapper(kind):
        async def main():
            async with rig_of(kind) as rig:
                await test(rig)

        asyncio.run(main())

    del wrapper.__wrapped__  # pytest would ask for a fixture named rig
    return wrapper


@contract
async def test_an_exit_status(rig):
    for code in (0, 1, 3, 255):
        child = await rig.spawn("exit", str(code))
        assert await child.exited == Ended(code=code)
        assert child.leader_exited.result() == Ended(code=code)
        assert child.left() == ()


@contract
async def test_a_signal(rig):
    for name in ("TERM", "KILL", "SEGV", "USR1"):
        child = await rig.spawn("die", name)
        assert await child.exited == Ended(signal=signal.Signals["SIG" + name])


@contract
async def test_output_ends_once_a_stream(rig):
    child = await rig.spawn("say", "one", "err", "two", "say", "three", "exit", "0")
    await child.output_ended
    assert rig.heard.of("out") == "one\nthree\n"
    assert rig.heard.of("err") == "two\n"
    for stream in ("out", "err"):
        assert [data for name, data in rig.heard.calls if name == stream].count(b"") == 1
        assert [data for name, data in rig.heard.calls if name == stream][-1] == b""


@contract
async def test_all_that_the_leader_wrote_is_there_when_its_end_is_told(rig):
    child = await rig.spawn("say", "the last words", "exit", "7")
    await child.leader_exited
    assert rig.heard.of() == "the last words\n"


@contract
async def test_merged_output_is_one_stream(rig):
    child = await rig.spawn("say", "one", "err", "two", "say", "three", "exit", "0", merge_stderr=True)
    await child.output_ended
    assert rig.heard.of() == "one\ntwo\nthree\n"
    assert {stream for stream, _ in rig.heard.calls} == {"out"}


@contract
async def test_output_may_end_before_the_leader(rig):
    child = await rig.spawn("close", "pause")
    await child.output_ended
    assert not child.leader_exited.done()
    assert child.left() == (child.pid,)


@pytest.mark.row(14)
@contract
async def test_the_leader_may_end_before_its_tree_and_its_output(rig):
    child = await rig.spawn("child", "child", "say", "up", "exit", "5")
    assert await child.leader_exited == Ended(code=5)
    assert len(child.left()) == 2
    assert child.pid not in child.left()
    assert not child.exited.done()
    assert not child.output_ended.done()
    child.kill_tree()
    assert await child.exited == Ended(code=5), "the leader's own end"
    await child.output_ended
    assert child.left() == ()


@contract
async def test_a_signal_to_the_leader_alone(rig):
    child = await rig.up("child")
    child.signal(signal.SIGTERM)
    assert await child.leader_exited == Ended(signal=signal.SIGTERM)
    assert len(child.left()) == 1


@contract
async def test_a_signal_to_the_tree(rig):
    child = await rig.up("child", "child")
    child.signal(signal.SIGTERM, tree=True)
    assert await child.exited == Ended(signal=signal.SIGTERM)


@pytest.mark.row(7)
@contract
async def test_the_stubborn_outlive_a_signal_and_no_kill(rig):
    child = await rig.up("child", "stubborn-child", "escapee")
    assert len(child.left()) == 4
    child.signal(signal.SIGTERM, tree=True)
    await child.leader_exited
    assert not child.exited.done()
    assert len(child.left()) >= 2
    child.kill_tree()
    assert await child.exited == Ended(signal=signal.SIGTERM)


@pytest.mark.row(6)
@contract
async def test_an_ignored_signal(rig):
    child = await rig.up("ignore", "TERM", "ignore", "INT")
    child.signal(signal.SIGTERM, tree=True)
    child.signal(signal.SIGINT)
    assert child.left() == (child.pid,)
    child.kill_tree()
    child.kill_tree()
    assert await child.exited == Ended(signal=signal.SIGKILL)


@pytest.mark.row(5)
@contract
async def test_what_is_gone_can_be_signalled(rig):
    child = await rig.spawn("exit", "0")
    await child.exited
    child.signal(signal.SIGTERM)
    child.signal(signal.SIGTERM, tree=True)
    child.kill_tree()
    assert child.exited.result() == Ended(code=0)


@contract
async def test_a_program_that_is_not_there(rig):
    with pytest.raises(CannotStart, match="no program no-such-program") as caught:
        await rig.spawn(*rig.missing())
    assert caught.value.permanent
    assert rig.spawner.live() == []
    child = await rig.spawn("exit", "0")
    assert await child.exited == Ended(code=0), "and then one that is there"


@contract
async def test_an_empty_command(rig):
    request = rig.argv
    rig.argv = lambda words: ()
    with pytest.raises(CannotStart, match="empty"):
        await rig.spawn("pause")
    rig.argv = request
    assert rig.spawner.live() == []


@contract
async def test_what_is_alive_is_listed_and_can_be_attached_to(rig):
    first, second = await rig.up(), await rig.spawn("pause")
    assert rig.spawner.live() == [("w", 1, first.pid), ("w", 2, second.pid)]
    assert rig.spawner.attach("w", 2) is second
    assert rig.spawner.attach("w", 3) is None
    assert rig.spawner.attach("x", 1) is None
    first.kill_tree()
    await first.exited
    assert rig.spawner.live() == [("w", 2, second.pid)]
    rig.spawner.forget("w", 1)
    assert rig.spawner.attach("w", 1) is None
    rig.spawner.forget("w", 7)  # nobody knows it


@contract
async def test_a_cancelled_spawn_leaves_nothing(rig):
    task = asyncio.ensure_future(rig.spawn("pause"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.spawner.live() == []


@contract
async def test_output_goes_to_the_store(rig):
    child = await rig.spawn("say", "one", "err", "two", "exit", "0", to_store=True)
    await child.exited
    await child.output_ended
    assert sorted(rig.lines()) == [(1, "err", "two"), (1, "out", "one")]
    assert rig.heard.calls == []


@contract
async def test_notes_are_kept(rig):
    assert rig.spawner.notes() == {}
    rig.spawner.note("w", b"one")
    rig.spawner.note("v", b"\0\xff")
    rig.spawner.note("w", b"two")
    assert rig.spawner.notes() == {"w": b"two", "v": b"\0\xff"}
    await rig.spawner.durable()


@contract
async def test_closing_ends_what_is_left(rig):
    child = await rig.up("stubborn-child", "escapee")
    await rig.spawner.aclose()
    assert child.exited.result() == Ended(signal=signal.SIGKILL)
    assert rig.spawner.live() == []
    await rig.spawner.aclose()


@contract
async def test_an_instance_has_a_name(rig):
    assert rig.spawner.instance
    assert ":" not in rig.spawner.instance
    assert " " not in rig.spawner.instance


@contract
async def test_a_stop_goes_through_its_steps(rig):
    child = await rig.up("ignore", "HUP", "ignore", "TERM")
    child.stop(((signal.SIGHUP, 0.02), (signal.SIGTERM, 0.02), (signal.SIGQUIT, 60.0)))
    child.stop(((signal.SIGKILL, 1.0),))  # changes nothing
    assert await child.exited == Ended(signal=signal.SIGQUIT)


@contract
async def test_a_stop_reaches_what_is_below(rig):
    child = await rig.up("child")
    child.stop(((signal.SIGTERM, 60.0),))
    await child.exited
    assert child.left() == ()
