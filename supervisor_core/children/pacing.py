"""When a pipe is moved next, and how large it should be: decided from the sizes of the moves alone.

A pipe of many small writes is cheap to serve in larger pieces: it grows, and a timer of two milliseconds takes the
place of readiness (the same lines a second for a sixth of the CPU). A quiet pipe is always served at once. Numbers in,
numbers out: no descriptors, no clock, no event loop, so that every loop can ask.

Known wart: the twenty milliseconds are counted from the first small move of a handful, not over every such span.
"""

MOVE = 128 * 1024
"""Bytes of one move at most, about 60 us of work: a hundred flooding pipes still make a turn of the loop short."""

SMALL = 16 * 1024
MANY = 64
WITHIN = 0.020
"""That many moves below SMALL bytes, in seconds: the pipe is paced."""

PAUSE = 0.002
"""Seconds between two looks at a paced pipe."""

MOST = 768 * 1024
"""Bytes of one look from which on the pause would hold the writer up."""

LARGE = 1024 * 1024
"""What a pipe grows to; also the most that the system lets anybody ask for by default."""

FULL = 64 * 1024
ROW = 8
"""That many moves in a row that found a pipe of the usual size full: the writer is faster than we are; it grows."""

READY = -1.0
"""The answer "when there is something to read"; other answers are seconds."""

GROW = -2.0
"""The answer "make it `LARGE`, and tell `grown` whether that worked"."""


class Pace:
    """The pace of one pipe. `limit` is what one move takes at most."""

    __slots__ = ("_brought", "_full", "_grown", "_limit", "_paced", "_since", "_small")

    def __init__(self, limit: int = MOVE) -> None:
        self._limit = limit
        self._paced = False
        self._grown: bool | None = None  # None: nobody tried
        self._since = 0.0
        self._small = self._full = self._brought = 0

    def moved(self, size: int, now: float) -> float:
        """Takes the size of a move, 0 when nothing was there, and the monotonic time; answers when the next one is."""
        if self._paced:
            return self._look(size)
        if size >= SMALL:
            self._full = self._full + 1 if size >= FULL else 0
            return GROW if self._full == ROW and self._grown is None else READY
        self._full = 0
        if not self._small or now - self._since > WITHIN:
            self._since, self._small = now, 0
        self._small += 1
        if self._small < MANY:
            return READY
        return GROW if self._grown is None else self._begin()

    def grown(self, done: bool) -> float:
        """Follows the answer GROW. A pipe that stays small is never paced: the pause would hold its writer up."""
        self._grown = done
        return self._begin() if self._small >= MANY else READY

    def _begin(self) -> float:
        self._small = self._brought = 0
        self._paced = self._grown is True
        return PAUSE if self._paced else READY

    def _look(self, size: int) -> float:
        """One look may take several moves, each in a turn of its own."""
        self._brought += size
        if size >= self._limit and self._brought <= MOST:
            return 0.0
        brought, self._brought = self._brought, 0
        if SMALL <= brought <= MOST:
            return PAUSE
        self._paced = False
        return READY
