"""On what it was measured, in general words, and how busy that was with other things."""

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path


def describe() -> dict[str, str]:
    """Gives cores, memory, kernel and Python, without a name of the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": f"{os.cpu_count()} ({_model()})",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {kernel}, {_distribution()}",
        "python": platform.python_version(),
    }


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "unknown distribution"


def _busy() -> tuple[float, float]:
    numbers = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = numbers[3] + numbers[4]
    return (sum(numbers) - idle) / os.sysconf("SC_CLK_TCK"), time.monotonic()


def busy_cores(seconds: float = 0.3) -> float:
    """How many cores others keep busy now; we sleep meanwhile."""
    before, begun = _busy()
    time.sleep(seconds)
    after, ended = _busy()
    return (after - before) / (ended - begun)
