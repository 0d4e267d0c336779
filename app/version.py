"""Which version this is. Known wart: a checkout has no metadata, so there it is read from pyproject.toml."""

import tomllib
from importlib import metadata
from pathlib import Path


def version() -> str:
    """Gives the version of the installed package, or that of the checkout with `+checkout` behind it."""
    project = Path(__file__).parent.parent / "pyproject.toml"
    if __package__ == "app" and project.is_file():
        return f"{tomllib.loads(project.read_text())['project']['version']}+checkout"
    return metadata.version("quarterdeck")
