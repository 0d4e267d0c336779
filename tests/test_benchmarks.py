"""The harness of benchmarks/ at its smallest: it starts, counts, stops and leaves nothing; and its counting can fail.

No figure is judged here. Known wart: the whole run is a process of its own, because it ends everything below itself.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the source archive has no benchmarks", allow_module_level=True)

from benchmarks.notes import check_lines, expected  # noqa: E402
from benchmarks.results import Results  # noqa: E402

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
