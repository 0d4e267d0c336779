"""Whether the files of the config are still as they were when what rules now was read from them.

Looks at the disk and changes nothing; it is called in a thread (`places.py`), once a second. Nothing is applied here.

Known wart: an edit within one tick of the file system's clock that keeps the length is seen only with the next one.
"""

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

from supervisor_core.config import Sources

CHANGED = "config-changed"
"""The name of the condition."""

REMEDY = "what runs is from before; see what would change with: quarterdeck plan, and do it with: quarterdeck apply"

FEW = 3
"""Files that are named."""


class Edits:
    """What has become of the files of `sources`, as a condition. Belongs to the thread that looks."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._seen: object = None
        self._told: dict[str, str] = {}

    def rule(self, sources: Sources) -> None:
        """What rules now was read from these; may be called by another thread than the one that looks."""
        self._sources = sources

    def look(self) -> dict[str, str]:
        """Gives a sentence by condition, or nothing; reads the files only when one of them looks different."""
        sources = self._sources
        seen = sources, sources.marks()
        if seen != self._seen:
            self._seen = seen
            changed = sources.changed()
            self._told = {CHANGED: sentence(changed)} if changed else {}
        return self._told


def sentence(changed: dict[str, str]) -> str:
    """What has become of these files, and what to do."""
    paths = sorted(changed)
    told = ", ".join(_word(path, changed[path]) for path in paths[:FEW])
    more = f", and {len(paths) - FEW} more differ" if len(paths) > FEW else ""
    return f"{told}{more}; {REMEDY}"


def _word(path: str, word: str) -> str:
    name = Path(path).name
    match word:
        case "gone":
            return f"{name} is gone"
        case "unusable":
            return f"{name} cannot be used as it is now (see it with: quarterdeck check)"
    with contextlib.suppress(OSError):
        when = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
        return f"{name} {'is new' if word == 'new' else 'was changed'} at {when:%Y-%m-%d %H:%M:%S} UTC"
    return f"{name} was changed"
