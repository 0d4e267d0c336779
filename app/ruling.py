"""Which config rules: what the files say when a service is started, and what ruled before when only its process is.

A crash changes nothing, so not what was edited meanwhile either. The keeper has the texts of all files, in memory.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervisor_core.config import Config, ConfigError, Sources, load

KEEPSAKE = "config"


def ruling(left: Mapping[str, Any], path: Path) -> Config:
    """The config that ruled in this process's predecessor, which `left` it; without one, what the file says.

    A later version that cannot use what ruled takes the file, too. Raises `ConfigError`.
    """
    if isinstance(told := left.get(KEEPSAKE), dict):
        with contextlib.suppress(ConfigError, KeyError, TypeError, ValueError):
            return load(path, sources=Sources.of(told))
    return load(path)
