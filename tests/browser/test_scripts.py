"""The scripts without a browser: types, lint, unit tests in deno; the words that Python and JavaScript share; sizes."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app import assets
from app.web.words import age, describe
from tests.support.needs import missing

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NOW = datetime(2025, 11, 13, 10, tzinfo=UTC).timestamp() - 0.8
VECTORS = json.loads((HERE / "words.json").read_text(encoding="utf-8"))


def deno(*arguments: str, tmp_path: Path) -> None:
    found = shutil.which("deno", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        missing("no deno; it comes with the development requirements")
    environment = {**os.environ, "DENO_DIR": str(tmp_path), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [found, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def scripts() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "static/js").glob("*.js"))]


def test_types_hold(tmp_path: Path) -> None:
    deno("check", "--no-remote", *scripts(), tmp_path=tmp_path)


def test_lint_is_clean(tmp_path: Path) -> None:
    deno("lint", "static/js", "tests/browser/js", tmp_path=tmp_path)


def test_units_in_deno(tmp_path: Path) -> None:
    deno("test", "--no-remote", "--allow-read", "tests/browser/js", tmp_path=tmp_path)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['status']['state']}-{v['words'][2]}-{v['words'][3]}")
def test_the_server_says_what_the_script_says(vector: dict) -> None:
    words = describe(vector["status"], NOW)
    found = [words.family, words.shape, words.word, words.detail, words.action, words.label, words.stoppable]
    assert found == vector["words"]


def test_a_span_in_its_two_largest_units() -> None:
    assert [age(s) for s in (-3, 8.9, 192, 15120, 360000)] == ["0 s", "8 s", "3 m 12 s", "4 h 12 m", "4 d 4 h"]


def test_what_a_page_loads_stays_small() -> None:
    """45 KB of script and 12 KB of CSS, gzipped, if one page loaded everything."""
    sizes = {".js": 0, ".css": 0}
    for name, path in assets.files().items():
        if path.suffix in sizes:
            sizes[path.suffix] += len(gzip.compress(path.read_bytes(), 9))
            assert path.read_text(encoding="utf-8").count("\n") < 350, f"{name} is too long"
    assert 0 < sizes[".js"] <= 45 * 1024
    assert 0 < sizes[".css"] <= 12 * 1024
    print(sizes)


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    before = assets.version(tmp_path)
    other = tmp_path / "copy"
    other.mkdir()
    (other / "a.js").write_text("2")
    assert before != assets.version(other)
    assert list(assets.files(other)) == ["a.js"]
