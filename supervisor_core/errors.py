"""What can be refused or fail, each with the sentence that the user sees.

`code` is the stable word that clients of the HTTP API compare; the sentence may improve.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .worker import Worker


class SupervisorError(Exception):
    """Base of all errors that this package raises on purpose."""

    code = "error"


class Refused(SupervisorError):
    """An order cannot be taken; nothing changed."""

    code = "refused"

    def __init__(self, sentence: str, code: str = "refused") -> None:
        super().__init__(sentence)
        self.code = code


class IllegalInput(SupervisorError):
    """An input that the table has no cell for: a broken internal rule, never the user's fault. Nothing changed."""

    code = "illegal_input"


class CannotStart(SupervisorError):
    """A program did not start. `permanent` when trying again cannot help."""

    code = "cannot_start"

    def __init__(self, sentence: str, *, permanent: bool = True) -> None:
        super().__init__(sentence)
        self.permanent = permanent


class NothingToAttachTo(SupervisorError):
    """A run that was to be taken over was never begun."""

    code = "never_began"


class CommandError(SupervisorError):
    """A command ended with a failure: `returncode` is its exit status, -N for signal N, None if it never started."""

    code = "command_failed"

    def __init__(self, sentence: str, returncode: int | None = None) -> None:
        super().__init__(sentence)
        self.returncode = returncode


class WorkerError(SupervisorError):
    """A worker of the library failed: `str()` is "NAME: message", `__cause__` is what its work raised."""

    code = "worker_failed"

    def __init__(self, worker: "Worker", message: str) -> None:
        super().__init__(f"{worker.name}: {message}")
        self.worker = worker
        self.message = message
