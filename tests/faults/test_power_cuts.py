"""A power cut while a whole service is given orders: what was answered is so when it comes up again; `blackout.py`."""

import sys
from pathlib import Path

import pytest

from tests.support.needs import on_disks

PROGRAM = Path(__file__).with_name("blackout.py")


@pytest.mark.row(45)
@pytest.mark.timeout(1400)
@pytest.mark.parametrize("cuts", [2, pytest.param(50, marks=pytest.mark.long)])
def test_what_was_answered_is_so_when_the_service_comes_up_after_a_power_cut(tmp_path, record_property, cuts):
    said = on_disks(sys.executable, str(PROGRAM), str(tmp_path), str(cuts), str(cuts), seconds=60 + 25 * cuts)
    record_property("power cuts", said.strip().splitlines()[-1])
    print(said)
