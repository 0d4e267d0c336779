"""How long a process that has died stays away before another takes its place: longer with each early death."""

SHORTEST, LONGEST = 0.1, 5.0
"""Seconds of the second pause (the first is none), and of the longest; each is twice the one before."""

SHORT = 0.1
"""Seconds of the longest pause for one that had come up: who kills it again and again does not keep it away."""

STEADY = 60.0
"""Seconds of life after which a death counts as the first one."""


class Pauses:
    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived: float, *, was_up: bool) -> float:
        """The pause after a life of so many seconds."""
        pause = 0.0 if lived > STEADY else min(self._next, SHORT if was_up else LONGEST)
        self._next = max(SHORTEST, 2 * pause)
        return pause
