"""What is said when a test needs a program, or a right, that is not there."""

import os
import shutil
import subprocess
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Leaves the test out on somebody's own machine, and fails it in CI: there nothing may be missing unnoticed."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(reason)
    pytest.skip(reason)


def private_processes() -> tuple[str, ...]:
    """The words before a command that make it process 1 of a namespace; leaves the test out where there may be none."""
    words = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if not shutil.which("unshare"):
        missing("unshare (util-linux) is not there: it makes a namespace of processes")
    if subprocess.run([*words, "test", "-w", "/proc/sys/kernel/ns_last_pid"], capture_output=True).returncode:
        pytest.skip("makes a namespace of processes, which only root may, and not in every container")
    return words


def private_mounts() -> None:
    """Leaves the test out where this process may not mount a disk that nobody else sees."""
    if not shutil.which("unshare"):
        missing("unshare (util-linux) is not there: it keeps a disk of our own out of everybody else's sight")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mounts a disk of its own, which only root may, and not in every container")
