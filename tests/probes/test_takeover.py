"""Probes go on over the death of the service: nobody healthy is touched, and what was said meanwhile is found.

The death is played by `FakeSpawner.successor`; what is looked at is real.
"""

import asyncio
import contextlib
import socket
from pathlib import Path

from supervisor_core import Supervisor
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.clock import Clock
from supervisor_core.memory import MemoryStore
from supervisor_core.messages import Shutdown
from supervisor_core.model import Hooks
from supervisor_core.probes.prober import wait
from tests.probes.rig import Run, eventually, probe, worker
from tests.shell.minions import Lines


class Service:
    """One supervisor after the other over what lives."""

    def __init__(self, spec, folder=None) -> None:
        self.spec, self.folder = spec, folder
        self.store = MemoryStore(Clock().now)
        self.spawner = FakeSpawner(self.store)

    async def begin(self) -> Run:
        supervisor = Supervisor(stay=True, spawner=self.spawner, logs=self.store, logger=Lines())
        supervisor.aside.folder = None if self.folder is None else str(self.folder)
        supervisor.adopt([self.spec], fresh=False)
        self.running = asyncio.create_task(supervisor.run())
        await eventually(lambda: self.spawner.children.get("web") is not None)
        self.run = Run(supervisor)
        return self.run

    async def die(self) -> None:
        self.spawner = self.spawner.successor()
        await self.end()

    async def end(self) -> None:
        self.run.supervisor.tell(Shutdown(now=True))
        await self.running


@contextlib.asynccontextmanager
async def server():
    """Says what is in the list that it gives, and counts who asked."""
    said, asked = [200], []

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            asked.append(said[0])
            writer.write(f"HTTP/1.1 {said[0]} x\r\n\r\n".encode())
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], said, asked


def test_a_ready_run_stays_ready_and_is_looked_at_again():
    async def main():
        async with server() as (port, said, asked):
            look = probe("http", f"http://127.0.0.1:{port}/", failure_threshold=3)
            service = Service(worker(("x",), ready=look, alive=look))
            run = await service.begin()
            await run.until(lambda status: status.health == "healthy")
            await service.die()
            said[0] = 500  # it has just begun to fail: nobody is blamed before the threshold
            asked.clear()
            run = await service.begin()
            await eventually(lambda: len(asked) >= 2)
            assert (run.status.ready, run.status.run, run.status.health) == (True, 1, "healthy")
            said[0] = 200
            await wait(0.2)
            assert run.causes()[:1] == ["attached"]
            assert not {"unready", "unhealthy"} & set(run.causes())
            said[0] = 500
            await run.until(lambda status: status.run == 1 and status.state != "running")
            assert "unhealthy" in run.causes()
            await service.end()

    asyncio.run(main())


def test_one_that_was_not_ready_any_more_becomes_so_again():
    async def main():
        async with server() as (port, said, _):
            service = Service(worker(("x",), ready=probe("http", f"http://127.0.0.1:{port}/", failure_threshold=1)))
            run = await service.begin()
            await run.until(lambda status: status.ready)
            said[0] = 500
            await run.until(lambda status: not status.ready)
            await service.die()
            said[0] = 200
            run = await service.begin()
            await run.until(lambda status: status.ready)
            assert run.status.run == 1
            await service.end()

    asyncio.run(main())


def test_a_line_that_was_written_before_the_service_died_or_while_it_was_away():
    async def main():
        for when in ("before", "away", "after"):
            service = Service(worker(("x",), ready=probe("log", "^up$"), patterns=("^migrated$",)))
            run = await service.begin()
            child = service.spawner.children["web"]
            for n in range(3000):
                child.write(f"{n}\n")
            await run.until(lambda status: status.state == "starting")
            if when == "before":
                child.write("up\nmigrated\n")  # and the service dies before it looked
            await service.die()
            if when == "away":
                service.spawner.children["web"].write("up\nmigrated\n")
            run = await service.begin()
            if when == "after":
                service.spawner.children["web"].write("up\nmigrated\n")
            await run.until(lambda status: status.ready and status.matched == ("^migrated$",))
            assert run.status.run == 1
            await service.die()
            run = await service.begin()
            await wait(0.1)
            assert run.status.ready
            assert "matched" not in run.causes(), "what was seen is noted, and not looked for again"
            await service.end()

    asyncio.run(main())


def test_its_socket_is_at_the_same_place(tmp_path):
    async def main():
        service = Service(worker(("x",), ready=probe("notify"), alive=probe("notify", period=30.0)), tmp_path / "n")
        run = await service.begin()
        address = Path(service.spawner.requests[0].environment["NOTIFY_SOCKET"])
        assert service.spawner.requests[0].environment["WATCHDOG_USEC"] == "30000000"
        await service.die()
        run = await service.begin()
        await eventually(address.exists)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(address))
            sender.send(b"READY=1")  # the child is played, so we are none of its tree: it is heard, and not believed
        await run.until_line("a message on its notify socket is not believed")
        assert run.status.state == "starting"
        await service.end()
        return address

    assert not asyncio.run(main()).exists()


def test_after_ready_is_not_run_again_and_after_stop_is(tmp_path):
    async def main():
        story = tmp_path / "story"
        hooks = Hooks(
            after_ready=("/bin/sh", "-c", f"echo ready >> {story}"),
            after_stop=("/bin/sh", "-c", f"echo after >> {story}"),
        )
        service = Service(worker(("x",), hooks=hooks))
        run = await service.begin()
        await eventually(story.exists)
        await service.die()
        story.write_text("")  # the death is played: what the old one did at its end does not count
        run = await service.begin()
        await wait(0.1)
        service.spawner.children["web"].exit(0)
        await run.until(lambda status: status.state == "done")
        assert story.read_text().split() == ["after"]
        await service.end()

    asyncio.run(main())


def test_a_service_that_ends_for_a_successor_blames_nobody_for_what_it_cuts_short(tmp_path):
    """An upgrade ends exec probes and hooks that are under way: neither is a failure of the worker."""

    async def main():
        begun = tmp_path / "begun"
        hangs = ("/bin/sh", "-c", f"echo x >> {begun}; exec sleep 600")
        alive = probe("exec", "", hangs, timeout=600.0, failure_threshold=1)
        for spec in (worker(("x",), alive=alive), worker(("x",), hooks=Hooks(before_start=hangs, timeout=600.0))):
            begun.unlink(missing_ok=True)
            service = Service(spec)
            run = service.run = Run(Supervisor(stay=True, spawner=service.spawner, logs=service.store, logger=Lines()))
            run.supervisor.adopt([spec])
            service.running = asyncio.create_task(run.supervisor.run())
            await eventually(begun.exists)
            state = run.status.state
            await run.supervisor.aside.aclose()
            await wait(0.1)
            assert (run.status.state, run.status.failures) == (state, 0)
            assert "unhealthy" not in run.causes()
            await service.end()

    asyncio.run(main())
