"""Programs for tests: a handle that keeps what it was told, and a supervisor around the words of the zoo."""

import asyncio
import os

from supervisor_core import Add, Supervisor
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.children.local import LocalSpawner
from supervisor_core.logs import View
from supervisor_core.model import Program, RestartPolicy, StopPolicy, WorkerSpec
from supervisor_core.program import program
from tests.children.rigs import zoo
from tests.shell.minions import Lines


class Played:
    """A process handle that keeps what it was told."""

    def __init__(self, run=1):
        self.run = run
        self.told = []
        self.readies = []
        self.notes = []
        self.shutting_down = False
        self.send = None
        self._leave = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def report(self, report):
        self.told.append(report)

    def ready(self):
        self.readies.append(self._loop.time())

    def on_signal(self, callback):
        self.send = callback

    def interrupt(self):
        self.shutting_down = True
        self._leave.set()

    def _watch(self, patterns):
        """Nobody waits for a line."""

    def _note(self, text):
        self.notes.append(text)

    async def wait_shutdown(self):
        await self._leave.wait()


def spec(stop=(("TERM", 10.0),), ready_probe=False, **changes):
    fields = {"argv": ("run", "it"), "inherit": False, "start_seconds": 2.0} | changes
    return WorkerSpec("web", program=Program(**fields), stop=StopPolicy(stop), ready_probe=ready_probe)


async def begun(spec, spawner=None):
    """A running work with its handle and its child."""
    spawner = spawner or FakeSpawner()
    p = Played()
    task = asyncio.ensure_future(program(spec, spawner)(p))
    while not p.told:
        await turn()
    return task, p, spawner.children["web"]


async def turn():
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(done.set)
    await done.wait()


async def pass_time(seconds):
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


def lead(test, *words, **changes):
    """Runs `test` while the zoo's words run under a supervisor."""

    async def main():
        fields = {"argv": zoo(*words), "environment": {"QD_TEST_SESSION": os.environ["QD_TEST_SESSION"]}}
        fields |= {"inherit": False, "start_seconds": 0.0}
        restart = RestartPolicy(on_give_up="fail")
        worker = WorkerSpec("web", program=Program(**fields), restart=restart, **changes)
        spawner = LocalSpawner()
        supervisor = Supervisor(logger=Lines(), spawner=spawner, logs=spawner.store, stay=True)
        supervisor.tell(Add(worker))
        running = asyncio.ensure_future(supervisor.run())
        await test(supervisor)
        supervisor.shutdown()
        await running
        assert spawner.live() == []
        await spawner.aclose()

    asyncio.run(main())


async def said(supervisor, text):
    """Waits for a line of the worker."""
    store, moved = supervisor.logs, asyncio.Event()
    leave = store.subscribe(["web"], lambda: loop.call_soon_threadsafe(moved.set))
    loop = asyncio.get_running_loop()
    while text not in [getattr(item, "text", "") for item in store.tail(View(("web",)), 50).items]:
        await moved.wait()
        moved.clear()
    leave()
