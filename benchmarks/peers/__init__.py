"""One small adapter a supervisor: how it is configured for N workers, started, and asked to stop. No measuring here.

Each is configured to its own advantage, as README.md lists. Known wart: a supervisor that starts a daemon and leaves
(PM2) is asked to stop by its own command, so that command's start is in its figure, as it is for its users.
"""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

STANDING, STORM, LOGS = "standing", "storm", "logs"
"""What is done with the workers: left to stand; ending at once, for ever; writing."""

SURVIVE, WATCHED = "survive", "watched"
"""Writing while their supervisor is killed; writing while somebody looks."""

WRITING = frozenset({LOGS, SURVIVE, WATCHED})


class Kind(Enum):
    """Whether a row is ours, a rival's, or a mark of what is possible. Ratios are to the best rival."""

    OURS = "ours"
    RIVAL = "rival"
    MARK = "mark"


@dataclass(frozen=True)
class Job:
    """What a peer is to run: `count` workers in `folder`. `capture`: their output goes to files, wholly."""

    folder: Path
    worker: Sequence[str]
    action: str
    notes: Path
    count: int
    arguments: tuple[str, ...] = ()
    capture: bool = False

    def command(self, index: int) -> list[str]:
        return [*self.worker, self.action, str(self.notes), str(index), *self.arguments]

    def names(self) -> list[tuple[int, str]]:
        return [(index, f"w{index:04d}") for index in range(self.count)]


@dataclass
class Peer(ABC):
    """One supervisor. Subclasses give the first two; the rest has an answer that is mostly right."""

    name: str = ""
    kind: Kind = Kind.RIVAL
    does: frozenset[str] = frozenset({STANDING, STORM, LOGS})
    most: int = 1_000_000
    least: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def need(self) -> None:  # noqa: B027 - most can always be had
        """Raises `Missing` when it cannot be had."""

    @abstractmethod
    def prepare(self, job: Job) -> list[str]:
        """Writes the config and gives the command that starts it."""

    def stop(self, main: subprocess.Popen[bytes]) -> None:
        """Asks it to stop all workers and leave; returns without waiting for that."""
        main.terminate()

    def parts(self, main: int, own: set[int]) -> dict[str, set[int]]:  # noqa: ARG002
        """Its own processes by what they are, where its figures are told apart; `main` is the one that was started."""
        return {}

    def written(self, job: Job, index: int) -> list[Path]:  # noqa: ARG002
        """The files with a worker's captured output, in order; none where nothing is captured."""
        return []


def all_peers() -> list[Peer]:
    """Every row, in the order of the rounds."""
    from . import killed
    from .arbiters import Circus, Supervisord
    from .marks import Cat, File, Floor
    from .pm2 import Pm2
    from .quarterdeck import Quarterdeck
    from .trees import S6, Runit

    return [
        Floor(),
        File(),
        Cat(),
        Quarterdeck(),
        Quarterdeck(name="quarterdeck --in-process", kept=False),
        Quarterdeck(name="quarterdeck, its own back-off", backoff="", does=frozenset({STORM})),
        S6(),
        Runit(),
        Supervisord(),
        Circus(),
        Pm2(),
        *killed.rows(),
    ]
