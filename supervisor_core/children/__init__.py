"""The contract between the shell and whatever owns processes.

Implementations: `local` (inside this process), `fake` (on command, for tests of this and of other programs), later
`client` (the keeper). One contract suite, `tests/children/test_contract.py`, runs against each of them.

Three facts end a run and come in any order: the leader's exit, the end of its output, the emptiness of its tree.
None waits for another. All callbacks and futures belong to the event loop that called `spawn`.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncio import Future

Output = Callable[[str, bytes], None]
"""Called as (stream, bytes) in the loop's thread; b"" once at the end of each stream."""

TAG = "QUARTERDECK_TAG"
"""The variable that names the run which a process belongs to, wherever it has gone; space-separated when runs nest."""


SHOWN = 5
"""How many processes of a tree are named before the rest is only counted."""


def make_tag(instance: str, worker: str, run: int) -> str:
    """The word that stands in `TAG`; whatever is in the worker's name, it has no space in it."""
    return f"{instance}:{run}:{plain(worker)}"


def plain(name: str) -> str:
    """A name without spaces, slashes and whatever else means something to somebody; different ones stay different."""
    return "".join(c if c.isalnum() or c in "._-[]" else f"%{ord(c):x}" for c in name)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: an exit status or a signal number; both None with a `reason` when nobody could know.

    `at` is when the end was seen, in seconds since the epoch; None means now.
    """

    code: int | None = None
    signal: int | None = None
    reason: str = ""
    at: float | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """In words: "exit status 3", "terminated by SIGTERM", "killed by SIGKILL"."""
        if self.reason:
            return self.reason
        if self.signal is not None:
            verb = "terminated" if signal_name(self.signal) in ("TERM", "INT", "HUP", "QUIT") else "killed"
            return f"{verb} by SIG{signal_name(self.signal)}"
        return "unknown end" if self.code is None else f"exit status {self.code}"


def signal_name(number: int) -> str:
    """The name without SIG; a real-time signal without a name is RTMIN+n."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return f"RTMIN+{number - signal.SIGRTMIN}"


def listed(pids: Sequence[int], name: Callable[[int], str]) -> str:
    """Processes in words: the first `SHOWN` by pid and name, and how many more."""
    words = ", ".join(f"{pid} {name(pid)}".rstrip() for pid in pids[:SHOWN])
    return words if len(pids) <= SHOWN else f"{words} and {len(pids) - SHOWN} more"


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One program to run. `argv[0]` is looked up on the PATH of `environment`, unless it has a slash.

    `environment` is complete: nothing is added to it; when it holds `TAG`, the last word of that finds again what left
    the session. `stdin` is a descriptor to give to the child (the caller keeps
    and closes its own copy), None for an empty input. Output goes to the spawner's log store under
    (worker, stream, run), or to `output` when that is given (spawners inside this process only).

    The rest says what the program runs as where it differs from us. `user` and `group` are names or numbers; with a
    user, USER, LOGNAME and HOME are set where `environment` lacks them. `limits` are described in `limits.py`. `tty`:
    a pseudo-terminal is its input and its only output. `daemon`: what its main process leaves behind is the run.
    `stop` is how it is ended, see `Child.stop`, by an owner of processes who has lost whoever ordered it.
    """

    worker: str
    run: int
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str = "."
    stdin: int | None = None
    merge_stderr: bool = False
    output: Output | None = None
    user: str | None = None
    group: str | None = None
    umask: int | None = None
    nice: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    tty: bool = False
    daemon: bool = False
    stop: tuple[tuple[int, float], ...] = ((signal.SIGTERM, 10.0),)


class Child(Protocol):
    """One live run of a program."""

    @property
    def pid(self) -> int: ...

    leader_exited: "Future[Ended]"
    """The main process's own end."""

    output_ended: "Future[None]"
    """No writer holds its output any more, or it was given up after the tree was empty."""

    exited: "Future[Ended]"
    """Nothing of the tree is left; the leader's end."""

    def signal(self, number: int, *, tree: bool = False) -> None:
        """Sends to the leader or to all; does nothing when it is gone."""
        ...

    def stop(self, steps: Sequence[tuple[int, float]]) -> None:
        """Sends each signal to the whole tree, then CONT, and waits so many seconds; a second call changes nothing.

        It goes on when the one that ordered it is gone, if the processes' owner is another one.
        """
        ...

    def kill_tree(self) -> None:
        """KILL to everything, again and again until nothing is left; `exited` tells when. May be called twice."""
        ...

    def left(self) -> tuple[int, ...]:
        """The pids of the tree that are alive now, leader included."""
        ...

    def named(self, pids: Sequence[int]) -> str:
        """Some of them in words, the first few by pid and name: "812 sh, 813 sleep and 3 more"; "" for none."""
        ...

    def struck(self) -> str:
        """Whom `kill_tree` has found and ended so far, in words; "" for nobody, and for the main process alone."""
        ...


class Spawner(Protocol):
    """Owns processes and their output.

    `instance` names the owner in the tags of its runs; whoever takes its runs over has the same.
    """

    instance: str

    async def spawn(self, request: LaunchRequest) -> Child:
        """Returns when exec has succeeded.

        Raises `CannotStart` with one sentence when it did not; then nothing of it is left. Cancelling leaves
        nothing behind either, and takes as long as that needs.
        """
        ...

    def attach(self, worker: str, run: int) -> Child | None:
        """The child of a run that lived on while nobody looked, or that has ended and was not forgotten.

        None when there is none: then it was never begun, or nobody knows of it any more.
        """
        ...

    def forget(self, worker: str, run: int) -> None:
        """Its end has been taken note of: nobody will ask for it again. Does nothing for a run that is not known."""
        ...

    def live(self) -> list[tuple[str, int, int]]:
        """All runs that are alive, as (worker, run, pid)."""
        ...

    def note(self, worker: str, data: bytes) -> None:
        """Keeps an opaque note a worker; it outlives us when this returns, whatever may end us but a power cut.

        It never fails: an owner that cannot write says so in `durable`.
        """
        ...

    def notes(self) -> Mapping[str, bytes]:
        """The notes as last written, also by an earlier process."""
        ...

    async def durable(self) -> None:
        """Returns when all notes so far would survive a power cut too.

        Raises `SupervisorError` with one sentence when they would not.
        """
        ...

    def leaving(self, status: int | None = None) -> None:
        """All is to end, and this cannot be taken back: whoever comes after us starts nothing again.

        `status` is the exit status of the whole, where an essential worker has decided it.
        """
        ...

    async def aclose(self) -> None:
        """Lets go of everything; kills what is left."""
        ...
