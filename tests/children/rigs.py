"""What the contract suite runs against: one rig for each spawner. A rig turns the words of the zoo into a child."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from supervisor_core.children import TAG, Child, LaunchRequest, Spawner, make_tag
from supervisor_core.children.fake import FakeChild, FakeSpawner
from supervisor_core.children.local import LocalSpawner
from supervisor_core.clock import Clock
from supervisor_core.declared import LogPolicy
from supervisor_core.keeper.client import KeptSpawner
from supervisor_core.keeper.kept_child import KeptChild
from supervisor_core.keeper.logs import KeptLogs
from supervisor_core.keeper.orders import Keepers, Orders
from supervisor_core.keeper.policies import tell_policies
from supervisor_core.logs import View
from supervisor_core.memory import MemoryStore

ZOO = str(Path(__file__).parents[1] / "support" / "zoo.py")


def zoo(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", ZOO, *words)


class Heard:
    """An output callback that keeps what it got and can be waited for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self._moved = asyncio.Event()

    def __call__(self, stream: str, data: bytes) -> None:
        self.calls.append((stream, data))
        self._moved.set()

    def of(self, stream: str = "out") -> str:
        return b"".join(data for name, data in self.calls if name == stream).decode()

    async def until(self, text: str, stream: str = "out") -> None:
        while text not in self.of(stream):
            self._moved.clear()
            await self._moved.wait()


class Rig:
    """One spawner, its store, and how to get children out of it."""

    spawner: Spawner

    def __init__(self) -> None:
        self.store = MemoryStore(Clock().now)
        self.heard = Heard()
        self._runs = itertools.count(1)

    async def spawn(self, *words: str, to_store: bool = False, **changes) -> Child:
        """A child of the worker "w" that does `words`."""
        run = next(self._runs)
        environment = {
            "PATH": os.environ["PATH"],
            TAG: make_tag(self.spawner.instance, "w", run),
            "QD_TEST_SESSION": os.environ.get("QD_TEST_SESSION", ""),
        }
        output = None if to_store else self.heard
        request = LaunchRequest("w", run, self.argv(words), environment, output=output, **changes)
        return await self.launch(request, words)

    def argv(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return zoo(*words)

    async def launch(self, request: LaunchRequest, words: tuple[str, ...]) -> Child:
        return await self.spawner.spawn(request)

    async def begin(self) -> None:
        """Before anything is spawned."""

    async def end(self) -> None:
        await self.spawner.aclose()

    async def up(self, *words: str, **changes) -> Child:
        """One that did all these words and stays."""
        child = await self.spawn(*words, "say", "up", "pause", **changes)
        await self.heard.until("up")
        return child

    def missing(self) -> tuple[str, ...]:
        """Words of a program that is not there."""
        return ("missing",)

    def lines(self) -> list[tuple[int, str, str]]:
        items = self.store.tail(View(("w",)), 100).items
        return [(item.run, item.stream, item.text) for item in items if hasattr(item, "text")]


class LocalRig(Rig):
    def __init__(self) -> None:
        super().__init__()
        self.spawner = LocalSpawner(self.store)

    def argv(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return ("no-such-program",) if words == self.missing() else zoo(*words)


class FakeRig(Rig):
    def __init__(self) -> None:
        super().__init__()
        self.spawner: FakeSpawner = FakeSpawner(self.store)

    async def launch(self, request: LaunchRequest, words: tuple[str, ...]) -> Child:
        self.spawner.accept("w")
        if words == self.missing():
            self.spawner.refuse("w", "there is no program no-such-program")
        self.spawner.expect("w", then=lambda child: self._play(child, list(words)))
        return await self.spawner.spawn(request)

    def _play(self, child: FakeChild, words: list[str]) -> None:
        while words:
            match words.pop(0):
                case "say":
                    child.write(words.pop(0) + "\n")
                case "err":
                    child.write(words.pop(0) + "\n", "err")
                case "exit":
                    child.exit(int(words.pop(0)))
                case "die":
                    child.die(words.pop(0))
                case "ignore":
                    child.ignores.add(signal.Signals["SIG" + words.pop(0)])
                case "child":
                    child.fork()
                case "stubborn-child" | "escapee":
                    child.fork(stubborn=True)
                case "close":
                    child.close_output()
                case "pause":
                    pass
                case word:
                    raise AssertionError(f"the fake does not know {word}")


class HeardInFiles(Heard):
    """What the keeper wrote of the worker "w", as if it had been told."""

    def __init__(self, store: KeptLogs) -> None:
        super().__init__()
        self._store = store
        self.child: KeptChild | None = None

    @property
    def calls(self) -> list[tuple[str, bytes]]:
        if self.child is None:
            return []
        found = []
        for stream in ("out",) if self.child.request.merge_stderr else ("out", "err"):
            raw = self._store.raw("w", stream)
            found += [(stream, raw.read(0, raw.size))] if raw.size else []
            found += [(stream, b"")] if self.child.output_ended.done() else []
        return found

    @calls.setter
    def calls(self, _: object) -> None:
        pass

    async def until(self, text: str, stream: str = "out") -> None:
        moved = asyncio.Event()
        leave = self._store.subscribe(("w",), moved.set)
        try:
            while text not in self.of(stream):
                await moved.wait()
                moved.clear()
                self._store.tail(View(("w",)), 1)  # watches again
        finally:
            leave()


class KeptRig(Rig):
    """A keeper in a process of its own; this one is its service."""

    def __init__(self) -> None:
        super().__init__()
        self.state = tempfile.mkdtemp(prefix="qd-keeper-")
        self.orders = Orders(self.state, "test-" + os.path.basename(self.state), ("/bin/false",), pid=os.getpid())
        self.keepers = Keepers()
        self.spawner: KeptSpawner = KeptSpawner(self.keepers.start(self.orders), self.orders.instance, self.revive)
        self.store: KeptLogs = KeptLogs(os.path.join(self.state, "logs"), self.spawner.send)
        self.spawner.on_message = self._take
        self.heard = HeardInFiles(self.store)

    def revive(self):
        return self.keepers.start(replace(self.orders, awaits=True, adopted=True))

    async def begin(self) -> None:
        await self.spawner.greet()
        await self.spawner.connect(tell_policies(1e10, LogPolicy(), {}))

    async def launch(self, request: LaunchRequest, words: tuple[str, ...]) -> Child:
        to_store = request.output is None
        child = await self.spawner.spawn(replace(request, output=None))
        if not to_store:
            self.heard.child = child
        return child

    def argv(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return ("no-such-program",) if words == self.missing() else zoo(*words)

    def _take(self, message) -> None:
        if message["t"] == "moved":
            self.store.moved(message["worker"])
        elif message["t"] == "ready":
            self.store.reconnected()

    async def end(self) -> None:
        keeper = self.spawner.keeper
        await self.spawner.aclose()
        self.spawner.hang_up(0)
        self.store.close()
        os.kill(keeper, signal.SIGKILL)  # it would wait for its service, which is this process
        os.waitpid(keeper, 0)  # noqa: ASYNC222 - that takes no time
        shutil.rmtree(self.state)


RIGS = [LocalRig, FakeRig, KeptRig]


@contextlib.asynccontextmanager
async def rig_of(kind: type[Rig]):
    rig = kind()
    await rig.begin()
    try:
        yield rig
    finally:
        await rig.end()


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
