"""One clock for everything: seconds since the epoch as they were at start, plus monotonic time since.

It never jumps, whatever is done to the wall clock, so its values can be compared, subtracted, and shown.
Known wart: after a step of the wall clock the shown times keep the old offset until the service starts again.
"""

import time


class Clock:
    """`now()` in seconds since the epoch; strictly never goes backwards."""

    def __init__(self) -> None:
        self._base = time.time() - time.monotonic()

    def now(self) -> float:
        return self._base + time.monotonic()
