"""The lines that the supervisor itself writes, and no others: counts of lines are part of the public behaviour.

They are a signal sent, an error, a retry, an exit, a kill, and "blocked" once it has lasted. Lines that follow from a
decision are kept and written from the loop, never under the lock: a logger is the user's code.
"""

import asyncio
import signal
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import CommandError
from .messages import Action, Changed, Interrupt, SendSignal
from .model import Exit, Phase, State, Status
from .process import DEFAULT_LOGGER

if TYPE_CHECKING:
    from .supervisor import Supervisor

Logger = Callable[..., Any]
"""Called as (context, format, *args), percent style; every line reads `NAME: text`."""

PATIENCE = 3.0
"""Seconds after which a blocked worker is worth a line."""


def default_logger(context: object, format: str, *args: object) -> None:  # noqa: ARG001
    DEFAULT_LOGGER.info(format, *args)


class Narrator:
    """`write` may be called from any thread; the rest under the supervisor's lock, `flush` outside of it."""

    def __init__(self, supervisor: "Supervisor", logger: Logger | None) -> None:
        self.logger: Logger = default_logger if logger is None else logger
        self._supervisor = supervisor
        self._lines: deque[tuple[str, int, str]] = deque()
        self._blocked: deque[tuple[float, str, float]] = deque()
        self._blocked_since: dict[str, float] = {}
        self._killing: dict[str, int] = {}

    def write(self, name: str, run: int, text: str) -> None:
        """Writes one line now; a log store that fails (a full disk) is no reason for a work to fail."""
        if self._supervisor.logs is not None:
            try:
                self._supervisor.logs.note(name, run, text)
            except OSError as error:
                DEFAULT_LOGGER.warning("%s: the log store took no note (%s): %s", name, error.strerror or error, text)
        self.logger(self._supervisor.context, "%s: %s", name, text)

    def keep(self, name: str, run: int, text: str) -> None:
        """Keeps one line for the next `flush`."""
        self._lines.append((name, run, text))

    def flush(self) -> None:
        """Writes what was kept; a logger that raises must not stop the supervisor."""
        while self._lines:
            try:
                self.write(*self._lines.popleft())
            except Exception:
                DEFAULT_LOGGER.exception("the logger failed")

    # ------------------------------------------------------------ what is worth a line

    def acting(self, action: Action) -> None:
        """Tells of what is about to be done to a run."""
        match action:
            case Interrupt():
                self.keep(action.name, action.run, "signaling shutdown")
            case SendSignal():
                self.keep(action.name, action.run, f"sending {action.signal}")

    def changed(self, event: Changed, now: float) -> None:
        """Looks at an event for a kill, and for a worker that is blocked."""
        status, name = event.status, event.status.name
        if status.state is not State.BLOCKED:
            self._blocked_since.pop(name, None)
        elif self._supervisor.phase is Phase.RUNNING:
            self.blocked(status, now)
        if status.state is State.KILLING and self._killing.get(name) != status.run:
            self._killing[name] = status.run
            late = "timeout" in event.causes
            why = f"did not stop within {status.spec.stop.timeout:g} s, killing it" if late else "killing it"
            self.keep(name, status.run, why)

    def ended(self, name: str, exit: Exit, error: BaseException | None, status: Status | None) -> None:
        """Tells how a run ended and whether it is tried again."""
        self._killing.pop(name, None)
        tried = error is not None and not isinstance(error, CommandError | asyncio.CancelledError)
        normal = error is None and status is not None and exit.code in status.spec.restart.success_exit_codes
        if tried or (not normal and status is not None and status.state in (State.FAILED, State.BACKOFF)):
            self.keep(name, exit.run, f"ERROR: {words_of(exit)}")
        else:
            self.keep(name, exit.run, "exited" if exit.code == 0 else f"exited: {words_of(exit)}")
        if status is not None and status.state is State.BACKOFF and status.deadline is not None:
            self.keep(name, exit.run, f"retrying after {round(status.deadline - status.since, 3):g} s...")

    # ------------------------------------------------------------ blocked for long

    def blocked(self, status: Status, now: float) -> None:
        """Takes note of a worker that waits for others, once for as long as it does."""
        name = status.name
        if status.blocked_on and self._blocked_since.get(name) != status.since:
            self._blocked_since[name] = status.since
            self._blocked.append((now + PATIENCE, name, status.since))

    def next_due(self) -> float | None:
        """When the next line about a blocked worker is due, in seconds since the epoch."""
        while self._blocked and self._blocked_since.get(self._blocked[0][1]) != self._blocked[0][2]:
            self._blocked.popleft()
        return self._blocked[0][0] if self._blocked else None

    def late(self, now: float) -> None:
        """Tells of those that have been blocked for long, once each."""
        while (due := self.next_due()) is not None and due <= now:
            name = self._blocked.popleft()[1]
            status = self._supervisor.status(name)
            if status is not None and status.state is State.BLOCKED:
                on = ", ".join(f"{blocker.worker} ({blocker.why})" for blocker in status.blocked_on)
                self.keep(name, status.run, f"blocked on {on}")


def words_of(exit: Exit) -> str:
    """An exit in words: its reason, else its status."""
    if exit.reason:
        return exit.reason
    if exit.signal is not None:
        try:
            return f"signal {signal.Signals(exit.signal).name.removeprefix('SIG')}"
        except ValueError:
            return f"signal {exit.signal}"
    return "ended, nobody knows how" if exit.code is None else f"exit status {exit.code}"
