"""Each file of tests/scenarios, line by line; `REWRITE=1` writes the expected parts anew."""

import os
from pathlib import Path

import pytest

from tests.core.scenario import rewritten

FOLDER = Path(__file__).parent.parent / "scenarios"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    text = path.read_text()
    told = rewritten(text)
    if os.environ.get("REWRITE"):
        path.write_text(told)
    else:
        assert told == text


def test_there_are_scenarios_for_the_whole_behaviour() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_says_what_it_is_about(path: Path) -> None:
    assert path.read_text().startswith("# ")
