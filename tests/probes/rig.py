"""A real supervisor around one program of a few lines of Python, which a test commands through a folder of files.

The program looks for orders by itself, so that a test need not know when it is up: `order(name)` makes a file, the
program's own code says what that means.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

from supervisor_core import Add, Supervisor
from supervisor_core.children.local import LocalSpawner
from supervisor_core.config.beside import told
from supervisor_core.declared import Hooks, Probe
from supervisor_core.messages import Changed
from supervisor_core.model import Program, RestartPolicy, RestartWhen, Status, StopPolicy, WorkerSpec
from supervisor_core.probes.prober import wait
from tests.shell.minions import Lines

FAST = {"period": 0.05, "first_period": 0.05, "timeout": 2.0}
"""So that a test takes moments: what is tested waits for events, not for periods."""


def python(text: str) -> tuple[str, ...]:
    return sys.executable, "-I", "-S", "-c", text


def probe(kind: str, target: str = "", argv: tuple[str, ...] = (), **changes) -> Probe:
    return Probe(kind, target, argv, **{**FAST, **changes})


def worker(argv, *, ready=None, alive=None, hooks=None, stop=(("TERM", 10.0),), **changes) -> WorkerSpec:
    environment = {"QD_TEST_SESSION": os.environ["QD_TEST_SESSION"], "PATH": os.environ["PATH"]}
    program = Program(tuple(argv), inherit=False, environment=environment, start_seconds=0.0, directory=os.getcwd())
    hooks = hooks or Hooks()
    return WorkerSpec(
        "web",
        program=told(replace(program, **changes.pop("program", {})), ready, alive),
        ready=ready,
        alive=alive,
        hooks=hooks,
        ready_probe=ready is not None,
        restart=changes.pop("restart", RestartPolicy(RestartWhen.NEVER, on_give_up="fail")),
        stop=StopPolicy(stop, after=hooks.timeout if hooks.after_stop else 0.0),
        **changes,
    )


class Run:
    """A supervisor that runs. `until` waits for a status, `lines` are those of the worker's log."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.seen: list[Changed] = []

    @property
    def status(self) -> Status:
        status = self.supervisor.status("web")
        assert status is not None
        return status

    async def until(self, holds) -> Status:
        """Returns the first status, from now on, of which this holds."""
        stream = self.supervisor.journal.follow(self.supervisor.journal.cursor.seq)
        async with contextlib.aclosing(stream):
            while not holds(self.status):
                await anext(stream)
        return self.status

    def causes(self) -> list[str]:
        entries = self.supervisor.journal.entries(0)
        return [cause for entry in entries if isinstance(entry.event, Changed) for cause in entry.event.causes]

    def lines(self, stream: str = "log") -> list[str]:
        from supervisor_core.logs import View

        page = self.supervisor.logs.tail(View(("web",), frozenset({stream})), 100)
        return [item.text for item in page.items if hasattr(item, "text")]

    async def until_line(self, text: str, stream: str = "log") -> None:
        moved, loop = asyncio.Event(), asyncio.get_running_loop()
        leave = self.supervisor.logs.subscribe(["web"], lambda: loop.call_soon_threadsafe(moved.set))
        try:
            while not any(text in line for line in self.lines(stream)):
                await moved.wait()
                moved.clear()
        finally:
            leave()

    def findings(self):
        return self.supervisor.aside.findings.of("web", self.status.run)


@contextlib.asynccontextmanager
async def running(spec: WorkerSpec, *, folder=None) -> AsyncIterator[Run]:
    spawner = LocalSpawner()
    supervisor = Supervisor(logger=Lines(), spawner=spawner, logs=spawner.store, stay=True)
    supervisor.aside.folder = None if folder is None else str(folder)
    supervisor.tell(Add(spec))
    life = asyncio.ensure_future(supervisor.run())
    try:
        yield Run(supervisor)
    finally:
        supervisor.shutdown()
        await life
        await spawner.aclose()


def ready(status: Status) -> bool:
    return status.ready


def over(status: Status) -> bool:
    return status.state in ("failed", "done", "stopped")


async def eventually(holds) -> None:
    """Returns when this holds, which no event tells of."""
    while not holds():
        await wait(0.005)
