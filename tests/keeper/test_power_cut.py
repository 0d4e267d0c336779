"""A power cut in the middle of anything: what was acknowledged is there. The disks are files, see `powercut.py`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.needs import missing, private_mounts

PROGRAM = Path(__file__).with_name("powercut.py")


@pytest.mark.row(45)
@pytest.mark.skipif(not os.path.exists("/dev/loop-control"), reason="no loop devices: a file cannot be mounted here")
@pytest.mark.parametrize("cuts", [8, pytest.param(50, marks=pytest.mark.long)])
def test_what_was_acknowledged_is_there_after_a_power_cut(
    tmp_path: Path, cuts: int, record_property: Callable[[str, object], None]
) -> None:
    private_mounts()
    if not shutil.which("mkfs.ext4"):
        missing("mkfs.ext4 (e2fsprogs) is not there: the power of a disk of our own is cut")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, str(PROGRAM), str(tmp_path), str(cuts), str(cuts)],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    if "failed to setup loop device" in done.stderr:
        pytest.skip("no loop device can be had: a file cannot be mounted here")
    assert done.returncode == 0, done.stderr
    record_property("power cuts", done.stdout.strip())
    print(done.stdout)
