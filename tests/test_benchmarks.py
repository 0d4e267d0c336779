"""The harness of benchmarks/ at its smallest: it starts, counts, stops and leaves nothing; and its counting can fail.

No figure is judged here. Known wart: the whole run is a process of its own, because it ends everything below itself.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the source archive has no benchmarks", allow_module_level=True)

from benchmarks.notes import check_lines, expected  # noqa: E402
from benchmarks.results import Results, edge_of_median  # noqa: E402
from benchmarks.survival import Tally, tally  # noqa: E402
from benchmarks.watching import figures  # noqa: E402

LINES = 1000


def written(folder: Path, data: bytes) -> tuple[int, bool]:
    """What counting says of a file that rotated in the middle of a line."""
    (folder / "1").write_bytes(data[:12_345])
    (folder / "2").write_bytes(data[12_345:])
    return check_lines([folder / "1", folder / "2"], 7, LINES)


def test_what_was_written_is_counted_and_compared(tmp_path: Path) -> None:
    good = b"".join(expected(7, LINES))
    assert len(good) == 100 * LINES
    assert written(tmp_path, good) == (LINES, True)
    assert written(tmp_path, good[:500] + good[600:]) == (LINES - 1, False)
    assert written(tmp_path, good + good[-100:]) == (LINES + 1, False)
    assert written(tmp_path, good[:500] + good[600:700] + good[500:600] + good[700:]) == (LINES, False)


def lines(pid: int, numbers: Iterable[int]) -> bytes:
    return b"".join(f"w0007 {n:010d} p{pid} ".encode().ljust(99, b"x") + b"\n" for n in numbers)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (lines(11, range(20)) + lines(22, range(10)), Tally(30)),
        (lines(11, range(20)) + lines(22, range(15)), Tally(30)),  # killed before it had counted its last write
        (lines(11, range(19)) + lines(22, range(1, 10)), Tally(30, lost=2)),
        (lines(11, [*range(20), 4]) + lines(22, range(10)), Tally(30, doubled=1)),
        (lines(11, range(20))[:-40] + lines(22, range(10)), Tally(30, lost=2, torn=1)),
        (lines(11, range(20)) + lines(22, range(10)) + lines(33, [0]), Tally(30, torn=1)),
        (lines(11, range(20)) + lines(22, range(10))[:-1], Tally(30, lost=1, torn=1)),
    ],
)
def test_lost_doubled_and_torn_lines_of_all_lives_are_counted(tmp_path: Path, data: bytes, found: Tally) -> None:
    (tmp_path / "1").write_bytes(data[:1234])
    (tmp_path / "2").write_bytes(data[1234:])
    assert tally([tmp_path / "1", tmp_path / "2"], 7, {11: 20, 22: 10}) == found


def test_a_watched_window_is_compared_with_its_two_neighbours() -> None:
    """A machine that becomes slower all the time: only the windows with a reader are slower than that."""
    windows = {"alone": [(100.0, 1.0), (80.0, 1.0), (60.0, 1.0)], "unread": [(90.0, 1.0)], "read": [(35.0, 2.0)]}
    found = figures(windows)
    assert (found["unread"], found["read"], found["noise"]) == ([0.0], [50.0], [0.0])
    assert found["read_cpu"] == [2.0]


def test_what_a_median_may_be_is_said_by_ranks() -> None:
    """Those of 100 values are in every textbook: the 40th and the 61st."""
    assert [edge_of_median(range(100, 0, -1), side) for side in (-1, 1)] == [40, 61]
    assert [edge_of_median([5.0, 7.0], side) for side in (-1, 1)] == [5.0, 7.0]
    windows = {"figures": {"unread": [float(n) for n in range(1, 101)]}, "peer": "quarterdeck", "kind": "ours"}
    results = Results([{"doing": "watched", "size": 1, **windows}])
    assert "| 40.00 " in next(results.tables())
    assert next(results.goals()).startswith("missed: A worker that floods its log")
    assert "61.00, goal at most 1.00" in next(results.goals())


def test_a_ratio_is_to_the_best_rival_and_a_missed_goal_is_named_first() -> None:
    boots = {"quarterdeck": ("ours", 0.3), "s6": ("rival", 0.15), "runit": ("rival", 1.5), "floor": ("mark", 0.01)}
    results = Results(
        [
            {"doing": "standing", "size": 10, "peer": peer, "kind": kind, "figures": {"boot": boot, "first": 0.1}}
            for peer, (kind, boot) in boots.items()
        ]
    )
    (table,) = results.tables()
    assert "0.300 ×2 " in table
    assert "0.010 ×0.067" in table
    missed, reached = results.goals()
    assert missed.startswith("missed: Boot, N=10, all s: 0.300, goal at most 0.120")
    assert reached.startswith("reached: Boot, N=10, first s")


# no `missing` here: neither the product nor its tests may need a compiler
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler: the floor and the worker are C programs")
def test_the_harness_measures_ours_and_the_floor(tmp_path: Path) -> None:
    amounts = ["--sizes", "3", "--rounds", "1", "--python", sys.executable, "--figures", tmp_path]
    command = [sys.executable, ROOT / "benchmarks", "boot", "stop", "--peers", "quarterdeck,floor", *amounts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (figures,) = tmp_path.glob("*.json")
    samples = json.loads(figures.read_text())["samples"]
    assert [sample["peer"] for sample in samples] == ["floor (C)", "quarterdeck", "quarterdeck --in-process"]
    for sample in samples:
        assert 0 < sample["figures"]["first"] <= sample["figures"]["boot"], sample
        assert sample["figures"]["stop"] > 0, sample
    assert "### Boot, N=3" in done.stdout


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler: the worker is a C program")
def test_the_harness_kills_and_counts(tmp_path: Path) -> None:
    amounts = ["--deaths", "1", "--survivors", "2", "--rounds", "1", "--python", sys.executable, "--figures", tmp_path]
    command = [sys.executable, ROOT / "benchmarks", "survive", "--peers", "quarterdeck", *amounts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (figures,) = tmp_path.glob("*.json")
    service, keeper, alone = (sample["figures"] for sample in json.loads(figures.read_text())["samples"])
    for kept in (service, keeper):
        assert kept["lines"] > 0
        assert [kept[key] for key in ("lost", "doubled", "torn", "touched", "twice", "unexplained")] == [0] * 6
    assert (alone["touched"], alone["unexplained"]) == (2, 2), "in-process the workers end with it"
