"""What processes use of NVIDIA GPUs, by pid, as the driver tells it (NVML, through the optional package nvidia-ml-py).

Without the package or the driver there is nothing to tell. Belongs to one thread; a driver that does not answer holds
up that one alone (`sampler.py`).

Known wart: the driver names processes by their pids on the host. In a container with pids of its own they mean
somebody else here, so there nothing is told either.
"""

import contextlib
import importlib
import os
from typing import Any

INITIAL = 0xEFFFFFFC
"""The kernel's inode number of the first namespace of pids (PROC_PID_INIT_INO)."""

Use = dict[int, tuple[float | None, float | None]]
"""Percent of one GPU and bytes of GPU memory, by pid, summed over all GPUs; None for what the driver does not say."""


class Gpus:
    """All GPUs of this host, from the first `read` to `close`."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._devices: list[Any] | None = None
        self._seen: dict[int, int] = {}

    @property
    def absent(self) -> bool:
        """Whether there are none, as far as was looked."""
        return self._devices == []

    def read(self) -> Use | None:
        """What each process that uses one uses now; None where that cannot be known."""
        if self._devices is None:
            self._devices = self._open()
        if not self._devices:
            return None
        used: Use = {}
        try:
            for index, device in enumerate(self._devices):
                percents = self._percents(index, device)
                for pid, size in self._sizes(device).items():
                    before = used.get(pid, (0.0, 0.0))
                    percent = None if percents is None else percents.get(pid, 0.0)
                    used[pid] = (_plus(before[0], percent), _plus(before[1], size))
        except self._nvml.NVMLError:
            return None
        return used

    def close(self) -> None:
        """Lets go of the driver."""
        if self._devices:
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._devices = None
        self._seen.clear()

    def _open(self) -> list[Any]:
        try:
            if os.stat("/proc/self/ns/pid").st_ino != INITIAL:
                return []
            self._nvml = importlib.import_module("pynvml")
        except (ImportError, OSError):
            return []
        try:
            self._nvml.nvmlInit()
            return [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
        except self._nvml.NVMLError:
            return []

    def _sizes(self, device: Any) -> dict[int, float | None]:
        """Bytes by pid. A process may be in both lists, with the same memory."""
        sizes: dict[int, float | None] = {}
        for ask in (self._nvml.nvmlDeviceGetComputeRunningProcesses, self._nvml.nvmlDeviceGetGraphicsRunningProcesses):
            try:
                sizes |= {process.pid: process.usedGpuMemory for process in ask(device)}
            except self._nvml.NVMLError_NotSupported:
                continue
        return sizes

    def _percents(self, index: int, device: Any) -> dict[int, float] | None:
        """The last known utilisation by pid, of what was measured since the last look; None where that is not told."""
        try:
            samples = self._nvml.nvmlDeviceGetProcessUtilization(device, self._seen.get(index, 0))
        except self._nvml.NVMLError_NotFound:
            return {}  # nobody has used it since
        except self._nvml.NVMLError_NotSupported:
            return None
        newest: dict[int, tuple[int, float]] = {}
        for sample in samples:
            newest[sample.pid] = max(newest.get(sample.pid, (0, 0.0)), (sample.timeStamp, float(sample.smUtil)))
        self._seen[index] = max((at for at, _ in newest.values()), default=self._seen.get(index, 0))
        return {pid: percent for pid, (_, percent) in newest.items()}


def _plus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
