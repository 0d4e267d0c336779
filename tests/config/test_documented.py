"""What the docs show as a config is one: every block of TOML in them loads without a problem."""

import re
from pathlib import Path

import pytest

from supervisor_core.config import load

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL), 1)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_it_loads(block, tmp_path):
    file = tmp_path / "part.toml"
    file.write_text(block)
    load(file, fragment=True, environ={})


def test_the_pages_have_some():
    assert len(BLOCKS) >= 4


def test_the_keys_of_probes_are_all_there():
    from supervisor_core.config.keys import HOOK, PROBE

    page = (DOCS / "probes.md").read_text()
    missing = {key.name for key in (*PROBE.keys, *HOOK.keys) if not re.search(rf"\b{key.name}\b", page)}
    assert not missing
