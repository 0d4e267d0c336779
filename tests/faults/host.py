"""A supervisor with files for logs in a process of its own, so that its memory and its loop are nobody else's.

Started by `rig.Host` with JSON as its argument; says each change of a worker as a JSON line, with the monotonic clock's
time, which is the same in all processes, and takes orders as lines:
`start NAME`, `stop NAME`, `probe NAME COUNT` (kills it and measures until the next run has a pid), `leave`. The whole
path is the product's; only the web is missing. Known wart: what it prints is part of the CPU time that it takes.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from supervisor_core import Supervisor
from supervisor_core.children.local import LocalSpawner
from supervisor_core.children.segments import SegmentStore
from supervisor_core.clock import Clock
from supervisor_core.journal import Gap
from supervisor_core.messages import Add, Changed, Start, Stop
from supervisor_core.model import Program, RestartPolicy, StopPolicy, WorkerSpec

PAUSE = 0.02
"""Seconds between two probes, so that they do not measure each other."""


def say(**fields):
    print(json.dumps(fields), flush=True)


def spec_of(told, folder):
    """A worker as the tests describe it: name, argv, and what differs from a worker that is never tried again."""
    kept = {name: os.environ[name] for name in ("PATH", "QD_TEST_SESSION") if name in os.environ}
    fields = {"directory": folder, "environment": kept, "inherit": False, "start_seconds": 0.1}
    program = Program(tuple(told["argv"]), **fields | told.get("program", {}))
    restart = RestartPolicy(on_give_up="fail", **told.get("restart", {}))
    stop = StopPolicy((("TERM", told.get("grace", 2.0)),), told.get("kill_timeout", 2.0))
    changes = {name: told[name] for name in ("autostart", "daemon") if name in told}
    return WorkerSpec(told["name"], program=program, restart=restart, stop=stop, **changes)


def resident():
    """MiB of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Host:
    def __init__(self, told):
        self.told = told
        self.store = SegmentStore(Path(told["logs"]), copy=True, now=Clock().now, **told["store"])
        spawner = LocalSpawner(self.store, subreaper=told["subreaper"])
        self.supervisor = Supervisor(spawner=spawner, logs=self.store, stay=True, logger=lambda *_: None)
        self.leaving = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.tasks = set()

    async def run(self):
        for told in self.told["workers"]:
            self.supervisor.tell(Add(spec_of(told, self.told["folder"])))
        running = asyncio.create_task(self.supervisor.run())
        self._begin(self._tell_changes())
        self._sample()
        self.loop.add_reader(0, self._order)
        await asyncio.wait({running, asyncio.ensure_future(self.leaving.wait())}, return_when=asyncio.FIRST_COMPLETED)
        self.loop.remove_reader(0)
        self.supervisor.shutdown()
        await running
        await asyncio.wait(self.tasks)
        await self.supervisor.spawner.aclose()
        self.store.close()
        times = os.times()
        say(over=True, cpu=times.user + times.system)

    def _begin(self, coroutine):
        self.tasks.add(task := asyncio.create_task(coroutine))
        return task

    async def _tell_changes(self):
        async for entries in self.supervisor.journal.follow(0):
            assert not isinstance(entries, Gap)
            for event in (entry.event for entry in entries):
                if isinstance(event, Changed):
                    status, last = event.status, event.status.last_exit
                    end = [last.run, last.code, last.signal, last.reason] if last else None
                    what = {"state": status.state, "run": status.run, "pid": status.pid, "stuck": status.stuck}
                    say(worker=status.spec.name, **what, exit=end, at=self.loop.time())

    def _sample(self):
        if self.told["sample"] and not self.leaving.is_set():
            say(resident=resident())
            self.loop.call_later(self.told["sample"], self._sample)

    def _order(self):
        for line in os.read(0, 65536).decode().splitlines() or ["leave"]:
            match line.split():
                case ["start", name]:
                    self.supervisor.tell(Start(name))
                case ["stop", name]:
                    self.supervisor.tell(Stop(name))
                case ["probe", name, count]:
                    self._begin(self._probe(name, int(count)))
                case ["leave"]:
                    self.leaving.set()

    async def _probe(self, name, count):
        """Milliseconds from SIGKILL to the next run's pid, `count` times."""
        taken = []
        for _ in range(count):
            begun, pid = self.loop.time(), self.supervisor.status(name).pid
            stream = self.supervisor.journal.follow(self.supervisor.journal.cursor.seq)
            os.kill(pid, signal.SIGKILL)
            while self.supervisor.status(name).pid in (None, pid):
                await anext(stream)
            taken.append((self.loop.time() - begun) * 1000)
            await stream.aclose()
            await asyncio.wait([self.loop.create_future()], timeout=PAUSE)
        say(probe=taken)


async def main():
    await Host(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    asyncio.run(main())
