"""The commands of a worker around a run: their order, what a failure means, what is told of them, what ends them."""

import asyncio
import os
import signal

import pytest

from supervisor_core.declared import Hooks
from supervisor_core.messages import Kill, Restart, Stop
from supervisor_core.model import RestartPolicy, RestartWhen
from tests.probes.rig import eventually, over, probe, python, ready, running, worker


def sh(text):
    return "/bin/sh", "-c", text


def writes(path, word):
    return sh(f"echo {word}.$QUARTERDECK_RUN.$QUARTERDECK_EXIT_CODE$QUARTERDECK_EXIT_SIGNAL >> {path}")


def test_their_order_and_their_lines(tmp_path):
    async def main():
        story = tmp_path / "story"
        hooks = Hooks(
            before_start=writes(story, "before"),
            after_ready=sh(f"echo ready >> {story}; echo I am up; echo and running >&2"),
            after_stop=writes(story, "after"),
        )
        text = f"import time\nopen({str(story)!r}, 'a').write('run\\n')\nprint('up', flush=True)\ntime.sleep(60)"
        spec = worker(python(text), hooks=hooks, ready=probe("log", "up"))
        async with running(spec) as run:
            await run.until(ready)
            await run.until_line("after_ready: and running")
            run.supervisor.tell(Stop("web"))
            status = await run.until(over)
            assert status.state == "stopped"
            assert (status.last_exit.signal, status.last_exit.run) == (signal.SIGTERM, 1)
        assert story.read_text().split() == ["before.1.", "run", "ready", "after.1.15"]
        assert run.lines()[:2] == ["after_ready: I am up", "after_ready: and running"]

    asyncio.run(main())


def test_before_start_that_fails_is_a_failed_start_with_its_output(tmp_path):
    async def main():
        restart = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=0.01, max_restarts=2, on_give_up="fail")
        hooks = Hooks(before_start=sh("echo no such database; exit 4"), after_stop=writes(tmp_path / "story", "after"))
        async with running(worker(("sleep", "60"), hooks=hooks, restart=restart)) as run:
            status = await run.until(over)
            assert (status.state, status.run, status.failures) == ("failed", 3, 3)
            assert status.last_exit.reason == "before_start failed: exit status 4: no such database"
            assert (status.last_exit.code, status.pid) == (None, None)
            assert run.lines()[:2] == ["before_start: no such database", "before_start: failed: exit status 4"]
        assert not (tmp_path / "story").exists(), "nothing was begun, so nothing has ended"

    asyncio.run(main())


def test_before_start_that_hangs_fails_after_its_time():
    async def main():
        hooks = Hooks(before_start=("sleep", "60"), timeout=0.2)
        async with running(worker(("sleep", "60"), hooks=hooks)) as run:
            status = await run.until(over)
            assert status.last_exit.reason == "before_start failed: did not end within 0.2 s"

    asyncio.run(main())


def test_before_start_that_is_not_there():
    async def main():
        async with running(worker(("sleep", "60"), hooks=Hooks(before_start=("no-such-hook",)))) as run:
            status = await run.until(over)
            assert status.last_exit.reason.startswith("before_start failed: there is no program no-such-hook")

    asyncio.run(main())


@pytest.mark.parametrize(("order", "state"), [(Stop, "stopped"), (Kill, "stopped")])
def test_who_is_stopped_in_before_start_is_not_started(tmp_path, order, state):
    async def main():
        hooks = Hooks(before_start=sh(f"echo $$ > {tmp_path}/pid; echo begun; exec sleep 60"))
        spec = worker(sh(f"touch {tmp_path}/ran"), hooks=hooks)
        async with running(spec) as run:
            await run.until_line("before_start: begun")
            assert run.status.state == "starting"
            run.supervisor.tell(order("web"))
            status = await run.until(over)
            assert status.state == state
            assert status.failures == 0
            with pytest.raises(ProcessLookupError):
                os.kill(int((tmp_path / "pid").read_text()), 0)
        assert not (tmp_path / "ran").exists()

    asyncio.run(main())


def test_a_restart_waits_for_after_stop_and_before_start(tmp_path):
    """What tidies up has ended before the next run begins, and a long before_start does not count as being up."""

    async def main():
        story = tmp_path / "story"
        hooks = Hooks(
            before_start=sh(f"echo before.$QUARTERDECK_RUN >> {story}"),
            after_stop=sh(f"sleep 0.3; echo after.$QUARTERDECK_RUN >> {story}"),
        )
        async with running(worker(("sleep", "60"), hooks=hooks)) as run:
            await run.until(ready)
            run.supervisor.tell(Restart("web", operation="op"))
            await run.until(lambda status: status.run == 2 and status.ready)
        assert story.read_text().split() == ["before.1", "after.1", "before.2", "after.2"]

    asyncio.run(main())


def test_after_a_crash_too_and_the_status_does_not_say_that_it_runs(tmp_path):
    async def main():
        go = tmp_path / "go"
        hooks = Hooks(after_stop=sh(f"echo tidying; while ! test -e {go}; do sleep 0.02; done"))
        restart = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=0.01, max_restarts=1, on_give_up="fail")
        async with running(worker(sh("exit 3"), hooks=hooks, restart=restart)) as run:
            await run.until_line("after_stop: tidying")
            status = run.status
            assert (status.state, status.leader_gone, status.last_exit.code) == ("stopping", 0, 3)
            go.touch()
            status = await run.until(over)
            assert (status.state, status.run, status.last_exit.reason) == ("failed", 2, "exit status 3")

    asyncio.run(main())


def test_one_that_will_not_leave_is_killed_in_its_time_and_tidied_up(tmp_path):
    """The time of after_stop comes on top: it does not lengthen the life of what ignores its signals."""

    async def main():
        text = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
        hooks = Hooks(after_stop=sh(f"sleep 0.5; echo done > {tmp_path}/done"), timeout=20.0)
        async with running(worker(python(text), hooks=hooks, stop=(("TERM", 0.3),))) as run:
            await run.until_line("up", "out")
            run.supervisor.tell(Stop("web"))
            status = await run.until(over)
            assert (status.state, status.last_exit.signal) == ("stopped", signal.SIGKILL)
        assert (tmp_path / "done").exists()

    asyncio.run(main())


def test_after_stop_ends_with_a_kill(tmp_path):
    async def main():
        hooks = Hooks(after_stop=sh("echo begun; exec sleep 60"))
        async with running(worker(("sleep", "60"), hooks=hooks)) as run:
            await run.until(ready)
            run.supervisor.tell(Stop("web"))
            await run.until_line("after_stop: begun")
            run.supervisor.tell(Kill("web"))
            assert (await run.until(over)).state == "stopped"

    asyncio.run(main())


POLITE = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
print("up", flush=True)
time.sleep(60)
"""


def test_a_stop_command_takes_the_place_of_the_first_signal():
    async def main():
        hooks = Hooks(stop_command=sh("echo asking; kill -USR1 $QUARTERDECK_PID"))
        async with running(worker(python(POLITE), hooks=hooks)) as run:
            await run.until_line("up", "out")
            run.supervisor.tell(Stop("web"))
            status = await run.until(over)
            assert (status.state, status.last_exit.code) == ("stopped", 0)
            assert "stop_command: asking" in run.lines()

    asyncio.run(main())


def test_a_stop_command_that_fails_leaves_it_to_the_signal():
    async def main():
        async with running(worker(python(POLITE), hooks=Hooks(stop_command=sh("exit 1")))) as run:
            await run.until_line("up", "out")
            run.supervisor.tell(Stop("web"))
            assert (await run.until(over)).last_exit.code == 9
            assert "stop_command: failed: exit status 1" in run.lines()

    asyncio.run(main())


def test_a_stop_command_that_does_nothing_is_followed_by_the_other_steps():
    async def main():
        stop = (("USR1", 0.3), ("TERM", 10.0))
        async with running(worker(python(POLITE), hooks=Hooks(stop_command=("true",)), stop=stop)) as run:
            await run.until_line("up", "out")
            run.supervisor.tell(Stop("web"))
            assert (await run.until(over)).last_exit.code == 9

    asyncio.run(main())


def test_after_ready_that_fails_harms_nobody():
    async def main():
        async with running(worker(("sleep", "60"), hooks=Hooks(after_ready=sh("echo oh; exit 2")))) as run:
            await run.until_line("after_ready: failed: exit status 2")
            assert run.status.ready

    asyncio.run(main())


def test_after_ready_comes_once_a_run(tmp_path):
    async def main():
        up = tmp_path / "up"
        up.touch()
        hooks = Hooks(after_ready=sh(f"echo up >> {tmp_path}/story"))
        spec = worker(("sleep", "60"), ready=probe("exec", "", ("test", "-e", str(up))), hooks=hooks)
        async with running(spec) as run:
            await run.until(ready)
            up.unlink()
            await run.until(lambda status: not status.ready)
            up.touch()
            await run.until(ready)
            await eventually((tmp_path / "story").exists)
        assert (tmp_path / "story").read_text().split() == ["up"]

    asyncio.run(main())


def test_a_flood_of_output_is_bounded_in_the_log():
    async def main():
        hooks = Hooks(after_ready=sh("yes | head -n 100000"))
        async with running(worker(("sleep", "60"), hooks=hooks)) as run:
            await run.until_line("after_ready: it writes more than 1000 lines, the rest is not kept")

    asyncio.run(main())


def test_a_hook_runs_as_the_worker_does_and_is_no_part_of_the_run(tmp_path):
    async def main():
        (tmp_path / "sub").mkdir()
        hooks = Hooks(after_ready=sh("pwd; umask; echo $QUARTERDECK_WORKER $QUARTERDECK_HOOK $A; sleep 600 & "))
        program = {"directory": str(tmp_path / "sub"), "umask": 0o27}
        spec = worker(("sleep", "60"), hooks=hooks, program=program)
        spec.program.environment["A"] = "a"
        async with running(spec) as run:
            await run.until_line("after_ready: web after_ready a")
            assert run.lines()[:2] == [f"after_ready: {tmp_path}/sub", "after_ready: 0027"]

    asyncio.run(main())
