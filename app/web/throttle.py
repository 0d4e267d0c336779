"""Slows down those who guess: each failed credential is answered later than the one before.

A credential that is right is never delayed, so nobody can lock the owner out. Counters are bounded: the credentials
that failed last, one number for all of them together, and how many answers are being held back at once.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from .problems import Problem
from .timing import pause

FREE_EACH, FREE_ALL = 3, 20
"""Failures that cost nothing: of one credential, and of all together."""

FIRST, LONGEST = 0.05, 2.0
FORGIVEN = 1.0
"""Failures of all together that are forgiven a second."""

KEPT, HELD = 1000, 200
SILENCE = 10.0

log = logging.getLogger("quarterdeck.web")


class Throttle:
    """`now` in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._each: OrderedDict[bytes, int] = OrderedDict()
        self._all = 0.0
        self._at = now()
        self._held = 0
        self._unsaid = 0
        self._said = -SILENCE

    async def failed(self, credential: bytes) -> None:
        """Returns when the failure may be answered. Raises `Problem` 429 when too many are waiting for that."""
        delay = self.delay(credential)
        self._note()
        if delay <= 0:
            return
        if self._held >= HELD:
            detail = "too many wrong credentials are being tried; wait a little"
            raise Problem(429, "too_many_failures", detail, headers={"Retry-After": "2"})
        self._held += 1
        try:
            await pause(delay)
        finally:
            self._held -= 1

    def _note(self) -> None:
        """Writes failures to the log, not one line each and never the secret."""
        self._unsaid += 1
        if self._now() >= self._said + SILENCE:
            self._said = self._now()
            log.warning("wrong credentials were presented, %d times since the last such line", self._unsaid)
            self._unsaid = 0

    def delay(self, credential: bytes) -> float:
        """Counts a failure and gives the seconds that its answer is held back."""
        id = sha256(credential).digest()
        count = self._each.pop(id, 0) + 1
        self._each[id] = count
        if len(self._each) > KEPT:
            self._each.popitem(last=False)
        now = self._now()
        self._all = max(0.0, self._all - (now - self._at) * FORGIVEN) + 1
        self._at = now
        return max(_grown(count - FREE_EACH), _grown(int(self._all) - FREE_ALL))


def _grown(over: int) -> float:
    return 0.0 if over <= 0 else min(LONGEST, FIRST * 2 ** min(over - 1, 10))
