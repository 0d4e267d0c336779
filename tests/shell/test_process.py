"""What a work is given: readiness, the signal, `do`, children, words; and a cancellation at each await."""

import asyncio
import logging
import threading

import pytest

from supervisor_core import Context, Worker
from supervisor_core.messages import Kill, SendSignal, Signal, Spawned
from supervisor_core.model import State
from tests.shell.minions import Lines, forever, raising, stubborn, supervisor
from tests.support.virtual import virtual


async def run_one(work, **options):
    """Runs one work named bob and returns (supervisor, errors)."""
    s = supervisor(**options)
    s.supervise(Worker("bob", work))
    return s, await s.run()


@virtual
async def test_a_process_knows_its_supervisor_worker_context_and_run():
    context, seen = Context(), []
    s = supervisor(context)

    async def work(p):
        seen.append((p.supervisor is s, p.worker is worker, p.context is context, p.run, p.shutting_down))

    worker = s.supervise(Worker("bob", work))
    assert await s.run() == []
    assert seen == [(True, True, True, 1, False)]


@virtual
async def test_ready_starts_dependents_and_may_be_said_twice_and_too_late():
    s, seen = supervisor(), []
    processes = []

    async def first(p):
        processes.append(p)
        assert s.get("second").status.state is State.BLOCKED
        p.ready()
        p.ready()
        await p.wait_shutdown()

    async def second(p):
        seen.append(s.get("first").status.ready)
        p.supervisor.shutdown()

    s.supervise(Worker("first", first))
    s.supervise(Worker("second", second, requires=["first"]))
    assert await s.run() == []
    assert seen == [True]
    before = s.journal.cursor
    processes[0].ready()
    assert s.journal.cursor == before, "a report that comes too late changes nothing"


@virtual
async def test_ready_from_a_thread():
    s = supervisor()

    def plain(p):
        assert p.wait_shutdown_blocking(0.001) is False
        p.ready()
        assert p.wait_shutdown_blocking() is True
        assert p.shutting_down

    async def closer(p):
        p.supervisor.shutdown()

    s.supervise(Worker("plain", plain))
    s.supervise(Worker("closer", closer, requires=["plain"]))
    assert await s.run() == []


@virtual
async def test_report_tells_any_fact_about_this_run():
    s = supervisor()

    async def work(p):
        p.report(Spawned(p.worker.name, p.run, 4711))
        assert p.worker.status.pid == 4711

    s.supervise(Worker("bob", work))
    assert await s.run() == []


@virtual
async def test_signals_reach_the_callback_also_those_that_came_before():
    s, got = supervisor(), []

    async def work(p):
        s.tell(Signal("bob", "HUP"))
        await asyncio.sleep(1)
        p.on_signal(lambda *signal: got.append(signal))
        s.tell(Signal("bob", "USR1", tree=True))
        await asyncio.sleep(1)

    s.supervise(Worker("bob", work))
    assert await s.run() == []
    assert got == [("HUP", False), ("USR1", True)]
    assert s.logger.of("bob") == ["sending HUP", "sending USR1", "exited"]


@virtual
async def test_a_callback_for_signals_that_fails_stops_nothing(caplog):
    async def work(p):
        p.on_signal(lambda name, tree: 1 / 0)
        p.supervisor.tell(Signal("bob", "HUP"))
        await asyncio.sleep(1)

    _, errors = await run_one(work)
    assert errors == []
    assert "bob: the callback for signals failed" in caplog.text


def test_actions_read_well():
    assert repr(SendSignal("bob", 1, "HUP")) == "SendSignal(name='bob', run=1, signal='HUP', tree=False)"


# ---------------------------------------------------------------- do and do_clean


@virtual
async def test_do_returns_results_of_both_kinds_of_function():
    async def work(p):
        assert await p.do(lambda: threading.current_thread().daemon) is True
        assert await p.do(lambda: asyncio.sleep(1, "slept")) == "slept"

        async def answer():
            return 42

        assert await p.do(answer) == 42

    assert (await run_one(work))[1] == []


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit("x"), KeyboardInterrupt("x"), RecursionError("x")])
@virtual
async def test_do_raises_what_it_raises(error):
    def plain():
        raise error

    async def coroutine():
        raise error

    async def work(p):
        for fn in (plain, coroutine):
            with pytest.raises(type(error)) as caught:
                await p.do(fn)
            assert caught.value is error

    assert (await run_one(work))[1] == []


@virtual
async def test_what_do_raises_is_one_error_of_the_supervisor():
    async def work(p):
        await p.do(raising_now)

    def raising_now():
        raise ValueError("blah")

    assert [str(error) for error in (await run_one(work))[1]] == ["bob: blah"]


@virtual
async def test_do_returns_none_as_soon_as_the_signal_comes_and_cancels():
    cancelled, loop = [], asyncio.get_running_loop()

    async def long():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
            cancelled.append(loop.time())
            raise

    async def work(p):
        loop.call_later(5, p.supervisor.shutdown)
        assert await p.do(long) is None
        assert loop.time() == 5
        await asyncio.sleep(3.5)

    assert (await run_one(work))[1] == []
    assert cancelled == [8]


@virtual
async def test_do_leaves_a_plain_function_behind():
    release, loop = threading.Event(), asyncio.get_running_loop()

    async def work(p):
        loop.call_later(5, p.supervisor.shutdown)
        assert await p.do(release.wait) is None

    assert (await run_one(work))[1] == []
    release.set()


@virtual
async def test_do_clean_returns_what_clean_returns():
    async def work(p):
        asyncio.get_running_loop().call_later(5, p.supervisor.shutdown)
        assert await p.do_clean(lambda: asyncio.sleep(1, "done"), lambda: "cleaned") == "done"
        assert await p.do_clean(lambda: asyncio.sleep(1000), lambda: "cleaned") == "cleaned"
        assert await p.do_clean(lambda: 1 / 0, lambda: asyncio.sleep(1, "cleaned again")) == "cleaned again"
        assert await p.do(lambda: 1 / 0) is None, "after the signal nothing is begun"

    assert (await run_one(work))[1] == []


@virtual
async def test_what_was_left_behind_may_fail_quietly(caplog):
    async def long():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            raise ValueError("spoilt") from None

    async def work(p):
        asyncio.get_running_loop().call_later(5, p.supervisor.shutdown)
        assert await p.do(long) is None
        await asyncio.sleep(1)

    with caplog.at_level(logging.DEBUG, "supervisor_core"):
        assert (await run_one(work))[1] == []
    assert "bob: what was left behind failed: spoilt" in caplog.text


# ---------------------------------------------------------------- children


@virtual
async def test_children_are_counted_across_restarts_of_their_parent():
    s, names = supervisor(), []

    async def parent(p):
        names.extend(p.go(forever).name for _ in range(2))
        p.supervisor.get(names[-1]).shutdown()
        if len(names) < 6:
            raise ValueError("once more")
        p.supervisor.shutdown()

    s.supervise(Worker("parent", parent, retry=True))
    assert await s.run() == []
    assert names == [f"parent[{number}]" for number in range(1, 7)]


@virtual
async def test_of_ended_children_the_last_twenty_are_kept():
    s = supervisor()

    async def quick(p):
        p.ready()

    async def parent(p):
        keeper = p.go(forever)
        for _ in range(50):
            await p.go(quick).wait()
        await asyncio.sleep(1)
        kept = sorted(name for name in s.journal.snapshot().workers if name != "parent")
        assert kept == sorted([keeper.name, *(f"parent[{n}]" for n in range(32, 52))])
        assert s.get("parent[2]") is None
        assert s.get("parent[51]").status.state is State.DONE
        p.supervisor.shutdown()

    s.supervise(Worker("parent", parent))
    assert await s.run() == []


@virtual
async def test_a_child_that_was_started_again_is_not_removed():
    s = supervisor()
    again = asyncio.Event()

    async def first(p):
        if p.run > 1:
            await again.wait()

    async def parent(p):
        child = p.go(first)
        await child.wait()
        child.restart()
        for _ in range(30):
            await p.go(raising_nothing).wait()
        assert s.get(child.name) is child
        again.set()
        await child.wait()
        await asyncio.sleep(1)
        assert s.get(child.name) is child
        p.supervisor.shutdown()

    async def raising_nothing(p):
        return None

    s.supervise(Worker("parent", parent))
    assert await s.run() == []


@virtual
async def test_ended_children_go_with_a_parent_that_is_removed():
    s = supervisor()

    async def grandparent(p):
        for _ in range(25):
            child = p.go(parent)
            await child.wait()
        await asyncio.sleep(1)
        assert len(s.journal.snapshot().workers) == 1 + 20 + 20
        p.supervisor.shutdown()

    async def parent(p):
        await p.go(nothing).wait()

    async def nothing(p):
        return None

    s.supervise(Worker("grandparent", grandparent))
    assert await s.run() == []


@virtual
async def test_a_child_of_a_worker_that_leaves_is_stopped_at_once():
    s = supervisor()

    async def parent(p):
        p.supervisor.shutdown()
        child = p.go(forever)
        await child.wait()
        assert (child.status.run, child.status.state) == (0, State.STOPPED)

    s.supervise(Worker("parent", parent))
    assert await s.run() == []


@virtual
async def test_a_named_child_may_be_named_again_once_it_is_at_rest():
    s = supervisor()

    async def parent(p):
        child = p.go_name("helper", forever)
        assert child.name == "parent.helper"
        with pytest.raises(ValueError, match=r"^worker already exists: parent\.helper$"):
            p.go_name("helper", forever)
        child.shutdown()
        await child.wait()
        second = p.go_name("helper", forever)
        await asyncio.sleep(1)
        assert (second.status.run, second.status.state) == (2, State.RUNNING)
        p.supervisor.shutdown()

    s.supervise(Worker("parent", parent))
    assert await s.run() == []


# ---------------------------------------------------------------- words


@virtual
async def test_words_are_one_call_of_the_logger_each():
    calls, context = [], Context()

    async def work(p):
        p.log(42)
        p.logf("%s of %d", "one", 2)
        p.logf("100%")
        p.debug("nobody hears")
        p.debugf("%s", "nobody")

    s = supervisor(context, logger=lambda *args: calls.append(args))
    s.supervise(Worker("bob", work))
    assert await s.run() == []
    assert [args[0] for args in calls] == [context] * 4
    assert [args[1] % args[2:] for args in calls] == ["bob: 42", "bob: one of 2", "bob: 100%", "bob: exited"]


@virtual
async def test_the_default_logger_is_the_standard_one(caplog):
    async def work(p):
        p.log("heard")
        p.debug("whispered")
        p.debugf("%s too", "this")

    with caplog.at_level(logging.DEBUG, "supervisor_core"):
        await run_one(work, logger=None)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "bob: heard"),
        ("DEBUG", "bob: whispered"),
        ("DEBUG", "bob: this too"),
        ("INFO", "bob: exited"),
    ]


@virtual
async def test_a_logger_that_raises_does_not_stop_the_supervisor(caplog):
    def broken(*args):
        raise OSError("disk full")

    async def work(p):
        with pytest.raises(OSError, match="disk full"):
            p.log("to the work it is an error")

    _, errors = await run_one(work, logger=broken)
    assert errors == []
    assert "the logger failed" in caplog.text


@virtual
async def test_words_go_to_the_log_store_too():
    notes = []

    class Store:
        def note(self, worker, run, text):
            notes.append((worker, run, text))

    async def work(p):
        p.log("hello")

    await run_one(work, logs=Store())
    assert notes == [("bob", 1, "hello"), ("bob", 1, "exited")]


@virtual
async def test_a_log_store_that_fails_is_told_elsewhere(caplog):
    class Full:
        def note(self, worker, run, text):
            raise OSError(28, "No space left on device")

    async def work(p):
        p.log("hello")

    s, errors = await run_one(work, logs=Full())
    assert errors == []
    assert s.logger == ["bob: hello", "bob: exited"]
    assert "No space left" in caplog.text


def test_a_command_is_made_and_nothing_runs():
    from supervisor_core import Process, Supervisor

    s = Supervisor(logger=Lines())
    command = Process(s, Worker("bob", forever)).command("echo", "hello")
    assert (command.path, list(command.args), command.pid, command.returncode) == (
        "echo",
        ["hello"],
        None,
        None,
    )


# ---------------------------------------------------------------- a cancellation at each await


@pytest.mark.parametrize(
    "at",
    [
        lambda p: p.wait_shutdown(),
        lambda p: p.do(lambda: asyncio.sleep(1000)),
        lambda p: p.do(p.context.wait),
        lambda p: p.do_clean(asyncio.Event().wait, lambda: "never"),
        lambda p: p.context.wait(),
        lambda p: p.go(stubborn).wait(),
        lambda p: p.supervisor.supervise(Worker("other", stubborn)).wait(),
    ],
)
@virtual
async def test_a_cancelled_await_leaves_nothing_behind(at):
    """A work that cancels itself there goes on, and no task or waiter of the await is left."""
    s, left = supervisor(), []

    async def work(p):
        task = asyncio.current_task()
        before = asyncio.all_tasks()
        asyncio.get_running_loop().call_later(1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await at(p)
        await asyncio.sleep(1)
        left.extend(other.get_coro().__name__ for other in asyncio.all_tasks() - before)
        assert not p._leave._calls
        p.supervisor.shutdown()

    s.supervise(Worker("bob", work))
    assert await s.run() == []
    assert set(left) <= {"_guarded"}, "only workers that were started meanwhile"


@pytest.mark.parametrize("nth", range(4))
@virtual
async def test_a_kill_at_each_await_ends_the_run(nth):
    s, reached = supervisor(), []

    async def work(p):
        awaits = [p.wait_shutdown, lambda: p.do(long), lambda: p.do_clean(long, long), p.context.wait]
        reached.append(nth)
        await awaits[nth]()
        await asyncio.Event().wait()

    async def long():
        await asyncio.Event().wait()

    s.supervise(Worker("bob", work))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Kill("bob"))
    assert await running == []
    assert reached == [nth]
    assert s.get("bob").status.last_exit.signal == 9


@virtual
async def test_clean_may_be_cancelled_as_well():
    s = supervisor()

    async def work(p):
        p.supervisor.shutdown()
        await p.wait_shutdown()
        await p.do_clean(forever, lambda: asyncio.sleep(1000))

    s.supervise(Worker("bob", work, stop_timeout=5))
    assert await s.run() == []
    assert asyncio.get_running_loop().time() == 5
    assert s.logger.of("bob")[-1] == "exited: cancelled"


@virtual
async def test_an_error_of_a_work_is_not_eaten_by_its_finally():
    s = supervisor()
    s.supervise(Worker("bob", raising(ValueError("x"))))
    (error,) = await s.run()
    assert isinstance(error.__cause__, ValueError)
    assert error.worker.error is error
