"""A kill at each fault point of the product, in the process that is there, in a real life of a service with a keeper.

Every point is found in the source, so a new one is tried on the day it is written. A short run lets one life stumble
over many of them, one after the other; a long one gives each point, and each of its first visits, a life of its own
and prints what became of it. Known wart: a point that this life does not pass is told as such, and proves nothing.
"""

import collections
from pathlib import Path

import pytest

from tests.faults.life import Life, points

ELSEWHERE = {
    "about to execute anew": "tests/faults/test_upgrade.py",
    "successor came": "the same",
}
"""Points that no step of this life passes, and where they are tried or why not."""

FIRST = {"intent cleared up": "run intended:1:kill"}
"""A death without which nobody comes to that point."""

VISITS = 3

POINTS = points()
KEEPERS = ("book", "desk", "keeper", "kept", "logdesk", "orders", "records", "runs", "service", "starting", "writer")
GROUPS = collections.defaultdict(list)
for _name, _file in POINTS.items():
    if _name not in ELSEWHERE:
        GROUPS["keeper" if Path(_file).stem in KEEPERS else "service"].append(_name)

HARD = {
    "service forked", "service started", "service ended", "service said hello", "service told of all runs",
    "service told that this was all", "lock taken", "service has come",
}  # fmt: skip
"""Deaths on the way up, after which the others wait for longer and longer."""


def die(folder: Path, failing: str) -> Life:
    with Life(folder, failing) as life:
        life.live()
        life.leave()
    life.check_lines()
    return life


@pytest.mark.row(35)
def test_each_point_has_a_name_of_its_own_and_is_one_that_exists():
    assert len(POINTS) > 30
    assert set(ELSEWHERE) | HARD <= set(POINTS)


@pytest.mark.row(35)
@pytest.mark.parametrize("group", GROUPS)
def test_one_life_with_many_deaths(tmp_path: Path, group: str):
    """Those of the file of records alone are tried in tests/keeper/test_records.py as often as one likes."""
    tried = [name for name in GROUPS[group] if name not in HARD and not POINTS[name].endswith("records.py")]
    life = die(tmp_path, ",".join(f"{name}:1:kill" for name in tried))
    assert set(tried) - life.failed() <= {"settings written"}  # who takes over finds them written


@pytest.mark.long
@pytest.mark.row(35)
@pytest.mark.parametrize("visit", range(1, VISITS + 1))
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_step(tmp_path: Path, point: str, visit: int):
    life = die(tmp_path, ",".join(filter(None, (FIRST.get(point), f"{point}:{visit}:kill"))))
    why = ELSEWHERE.get(point, "one process comes there less often")
    result = "killed, all well" if point in life.failed() else f"not reached: {why}"
    print(f"\n{POINTS[point]:42} {point:34} visit {visit}  {result}")
    assert point in life.failed() or visit > 1 or point in ELSEWHERE
