"""Builds and drives `shim.c`: a wall clock that is off, and a disk that stalls or fails, in a program that runs.

No test is here. Known wart: a program without the C library of the system, such as a static one, is not reached.
"""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

from tests.support.needs import missing

FIELDS = ("clock_offset", "stall", "error", "left", "calls", "sync_error", "sync_left")


class Shim:
    """One shared plan. `environment` is for the program that is to be hit; its children inherit it."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or missing("no C compiler (cc): sudo apt-get install gcc libc6-dev")
        library, plan = folder / "shim.so", folder / "shim.plan"
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", library, Path(__file__).with_suffix(".c"), "-ldl"]
        subprocess.run(command, check=True)
        plan.write_bytes(bytes(8 * len(FIELDS)))
        with open(plan, "r+b") as file:
            self._plan = mmap.mmap(file.fileno(), 8 * len(FIELDS))
        self.environment = {"LD_PRELOAD": str(library), "QD_SHIM": str(plan)}

    def set(self, **values: int) -> None:
        """Changes fields of the plan at once; see `shim.c`."""
        for name, value in values.items():
            struct.pack_into("q", self._plan, 8 * FIELDS.index(name), value)

    def get(self, name: str) -> int:
        return int(struct.unpack_from("q", self._plan, 8 * FIELDS.index(name))[0])

    def close(self) -> None:
        self._plan.close()
