"""What is wrong in a config file and where: collected while reading, raised all at once.

Nothing here reads or judges. Known wart: a value that did not come from a file (one worker table as JSON) has line 0,
and is shown without a line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import SupervisorError
from .lines import Path
from .sources import Sources


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """`str()` is `file:line: what, remedy`."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class ConfigError(SupervisorError):
    """A config cannot be used; `problems` are all of them, in the order of files and lines."""

    code = "bad_config"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read: its name as shown, its folder, the line of each path in it, who reads what it names."""

    file: str
    folder: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    sources: Sources = field(default_factory=Sources, compare=False)


@dataclass(frozen=True, slots=True)
class Found:
    """One value with the place where it was written."""

    value: Any
    source: Source
    path: Path

    @property
    def line(self) -> int:
        for length in range(len(self.path), 0, -1):
            if self.path[:length] in self.source.lines:
                return self.source.lines[self.path[:length]]
        return 1 if self.source.lines else 0

    @property
    def label(self) -> str:
        """The path as one would say it: `worker.web.command`."""
        return ".".join(str(part) for part in self.path if isinstance(part, str))

    @property
    def place(self) -> str:
        return f"{self.source.file}:{self.line}"

    def inner(self, part: str | int, value: Any) -> "Found":
        return Found(value, self.source, (*self.path, part))

    def items(self) -> dict[str, "Found"]:
        """The entries of a table; none when it is no table."""
        return {k: self.inner(k, v) for k, v in self.value.items()} if isinstance(self.value, dict) else {}


class Problems:
    """Collects; the same sentence about the same line counts once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, found: Found, text: str) -> None:
        """Notes what is wrong with one value; the sentence begins with the name of what it is about."""
        self._found[Problem(found.source.file, found.line, f"{found.label}: {text}" if found.label else text)] = None

    def add_at(self, file: str, line: int, text: str) -> None:
        self._found[Problem(file, line, text)] = None

    def finish(self) -> None:
        """Raises `ConfigError` when anything was noted."""
        files = list(dict.fromkeys(problem.file for problem in self._found))
        if self._found:
            raise ConfigError(sorted(self._found, key=lambda p: (files.index(p.file), p.line)))

    def __len__(self) -> int:
        return len(self._found)
