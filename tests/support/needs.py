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


FIRST = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""The words before a command that make it process 1 of a namespace, with mounts of its own, too."""


def private_processes() -> tuple[str, ...]:
    """`FIRST`; leaves the test out where there may be no such namespace."""
    if not shutil.which("unshare"):
        missing("unshare (util-linux) is not there: it makes a namespace of processes")
    if subprocess.run([*FIRST, "test", "-w", "/proc/sys/kernel/ns_last_pid"], capture_output=True).returncode:
        pytest.skip("makes a namespace of processes, which only root may, and not in every container")
    return FIRST


def private_mounts() -> None:
    """Leaves the test out where this process may not mount a disk that nobody else sees."""
    if not shutil.which("unshare"):
        missing("unshare (util-linux) is not there: it keeps a disk of our own out of everybody else's sight")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mounts a disk of its own, which only root may, and not in every container")


def private_disks() -> None:
    """Leaves the test out where this process may not make a disk of its own out of a file."""
    private_mounts()
    if not shutil.which("mkfs.ext4"):
        missing("mkfs.ext4 (e2fsprogs) is not there: the power of a disk of our own is cut")
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices: a file cannot be mounted here")


def on_disks(*command: str, seconds: float) -> str:
    """Runs a program that makes such disks; gives what it prints. Its last argument says after how long it ends itself.

    It goes with all that it has started and mounted.
    """
    private_disks()
    argv = [*private_processes(), *command, str(seconds)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 15)
    if "failed to setup loop device" in done.stderr:
        pytest.skip("no loop device can be had: a file cannot be mounted here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
