"""A power cut in the middle of anything: what was acknowledged is there. The disks are files, see `powercut.py`."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.needs import on_disks

PROGRAM = Path(__file__).with_name("powercut.py")


@pytest.mark.row(45)
@pytest.mark.parametrize("cuts", [8, pytest.param(50, marks=pytest.mark.long)])
def test_what_was_acknowledged_is_there_after_a_power_cut(
    tmp_path: Path, cuts: int, record_property: Callable[[str, object], None]
) -> None:
    said = on_disks(sys.executable, str(PROGRAM), str(tmp_path), str(cuts), str(cuts), seconds=40)
    record_property("power cuts", said.strip().splitlines()[-1])
    print(said)
