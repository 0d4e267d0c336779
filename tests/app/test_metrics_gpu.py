"""What processes use of GPUs, told by a driver that a test plays: no machine of ours has one."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest

from app.watchers.metrics import FIELDS, Target, gpu
from app.watchers.metrics.gpu import Gpus
from app.watchers.metrics.sampler import ProcSampler
from app.watchers.metrics.trees import Trees
from tests.support.virtual import virtual

GIB = 1024**3


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


class NotFound(NVMLError):
    pass


class Driver(ModuleType):
    """The functions of `pynvml` that are used. `sizes` and `percents` by GPU and pid; an exception is raised."""

    NVMLError, NVMLError_NotSupported, NVMLError_NotFound = NVMLError, NotSupported, NotFound

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.sizes: list[dict[int, int | None]] = [{}]
        self.graphics: dict[int, int | None] = {}
        self.percents: list[list[tuple[int, int, int]] | Exception] = [[]]
        self.since: list[int] = []
        self.open = 0
        self.broken: Exception | None = None
        self.hangs: threading.Event | None = None

    def nvmlInit(self) -> None:
        if self.broken is not None:
            raise self.broken
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.sizes)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        if self.hangs is not None:
            self.hangs.wait(10)
        if self.broken is not None:
            raise self.broken
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self.sizes[device].items()]

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        if device:
            raise NotSupported
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self.graphics.items()]

    def nvmlDeviceGetProcessUtilization(self, device: int, since: int) -> list[SimpleNamespace]:
        self.since.append(since)
        told = self.percents[device]
        if isinstance(told, Exception):
            raise told
        return [SimpleNamespace(pid=pid, smUtil=percent, timeStamp=at) for pid, percent, at in told]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.setattr(gpu, "INITIAL", os.stat("/proc/self/ns/pid").st_ino)
    yield made
    assert made.open == 0, "the driver is let go of"


def test_all_gpus_are_summed_by_process(driver: Driver) -> None:
    gpus = Gpus()
    driver.sizes = [{5: 2 * GIB, 6: GIB}, {5: GIB}]
    driver.graphics = {5: 2 * GIB, 9: 1}
    driver.percents = [[(5, 40, 100), (5, 60, 300), (5, 50, 200), (6, 1, 100)], [(5, 90, 400)]]
    assert gpus.read() == {5: (150.0, 3.0 * GIB), 6: (1.0, GIB), 9: (0.0, 1)}
    driver.percents = [NotFound(), []]
    assert gpus.read() == {5: (0.0, 3.0 * GIB), 6: (0.0, GIB), 9: (0.0, 1)}, "nobody has computed since"
    assert driver.since == [0, 0, 300, 400], "only what was not told before is asked for"
    gpus.close()


def test_what_the_driver_does_not_say_is_unknown(driver: Driver) -> None:
    gpus = Gpus()
    driver.sizes, driver.percents = [{5: GIB, 6: None}], [NotSupported()]
    assert gpus.read() == {5: (None, GIB), 6: (None, None)}
    driver.broken = NVMLError("a GPU is lost")
    assert gpus.read() is None
    driver.broken = None
    assert gpus.read() is not None
    gpus.close()


def test_without_driver_package_or_pids_of_the_host_nothing_is_told(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.broken = NVMLError("no driver")
    assert Gpus().read() is None
    driver.broken = None
    monkeypatch.setattr(gpu, "INITIAL", 1)
    assert Gpus().read() is None, "in a container pids of the host mean somebody else"
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus().read() is None


def test_a_worker_has_what_its_tree_uses(driver: Driver) -> None:
    trees = Trees("mine", iter(range(100, 200)).__next__, keep=100)
    target = Target("w", 1, os.getpid())

    def told(use: gpu.Use | None) -> tuple[float | None, float | None]:
        row = trees.sample([target], use).rows["w"]
        return row.values[FIELDS.index("gpu")], row.values[FIELDS.index("gpu_memory")]

    assert told({os.getpid(): (40.0, GIB), 1: (50.0, GIB)}) == (40, GIB)
    assert told({1: (50.0, GIB)}) == (0, 0), "it uses none, and that is known"
    assert told({os.getpid(): (None, GIB)}) == (None, GIB)
    assert told(None) == (None, None)
    trees.close()


@virtual
async def test_a_driver_that_hangs_costs_its_own_numbers_alone(driver: Driver) -> None:
    loop = asyncio.get_running_loop()
    sampler = ProcSampler("mine", loop.time)
    target = Target("w", 1, os.getpid())
    driver.sizes = [{os.getpid(): GIB}]

    async def told() -> tuple[float | None, float | None]:
        await asyncio.sleep(1)
        sample = await sampler.sample([target])
        assert sample is not None
        values = sample.rows["w"].values
        return values[FIELDS.index("threads")], values[FIELDS.index("gpu_memory")]

    await told()
    await answered(sampler)
    assert (await told())[1] == GIB
    await answered(sampler)
    driver.hangs = threading.Event()
    seen = [await told() for _ in range(6)]
    assert all(threads for threads, _ in seen)
    assert (seen[0][1], seen[-1][1]) == (GIB, None), "what was said last counts for some seconds"
    sampler.close()
    driver.hangs.set()
    await answered(sampler)


async def answered(sampler: ProcSampler) -> None:
    """Returns when the driver has."""
    if sampler._asking is not None:
        await sampler._asking
