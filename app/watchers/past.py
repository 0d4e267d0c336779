"""What operations are known by beside this process: the Idempotency-Keys of a day, and orders of an earlier life.

`Past` is the part of the ledger that operations need; without one, keys are known as long as this process lives. What
an order means that was pending when the service was killed is judged by `resumed`, from the worker as it is now. Pure
but for waiting. Known wart: a key is forgotten after ten thousand newer ones, or as many as a day has in the ledger.
"""

import json
from collections import OrderedDict
from typing import NamedTuple, Protocol

from supervisor_core.model import LIVE, REST, State, Status

from .outcome import Operation, Verdict, judge, wants_run

KEPT = 10_000

LOST = "lost"
"""The code of an order that was certainly not carried out: the same request again gives it anew."""


class KeyReused(Exception):
    """An idempotency key came back with another order."""


class Kept(NamedTuple):
    """An operation with what it is found by when the same request comes again: `wording` says all that was asked.

    One that joined another has the state "joined", and that one's id as its outcome.
    """

    operation: Operation
    key: str = ""
    wording: str = ""


class Past(Protocol):
    """Never raises for a disk's sake: what cannot be read is not there, what cannot be written is not waited for."""

    def take_operation(self, operation: Operation) -> None: ...

    def take_key(self, kept: Kept) -> None: ...

    async def written(self) -> bool:
        """Waits, not long, until what was taken would survive the death of this process."""
        ...

    async def operation(self, id: str) -> Kept | None: ...

    async def by_key(self, by: str, key: str) -> Kept | None: ...

    async def pending(self) -> list[Kept]: ...


def wording(action: str, name: str, cascade: bool, until: str) -> str:
    """All that was asked for, so that another order with the same key is told from the same one."""
    return json.dumps([action, name, cascade, until])


class Keys:
    """Which operation the key of a caller stands for, and what was asked with it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[str, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def put(self, by: str, key: str, id: str, asked: str) -> None:
        if key:
            self._known[by, key] = id, asked
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def find(self, by: str, key: str) -> tuple[str, str] | None:
        """The id and the wording."""
        return self._known.get((by, key)) if key else None


def refuse_other(before: str, now: str) -> None:
    """Raises `KeyReused` when a key was used for another order."""
    if before != now:
        action, name, *_ = json.loads(before)
        raise KeyReused(f"this Idempotency-Key was used to {action} {name} in another way; make a new one for this")


# ---------------------------------------------------------------- orders of an earlier life


def resumed(operation: Operation, now: Status | None) -> Verdict | None:
    """What became of an order that was pending when its service was cut off; None while it goes on.

    Only what the worker shows is believed. An order whose worker is as it was before it was certainly lost.
    """
    name = operation.worker
    if now is None:
        return Verdict("failed", f"unknown: the service was cut off meanwhile, and there is no {name} now", "unknown")
    untouched = now.since <= operation.asked
    if not wants_run(operation.action):
        if not now.wanted or now.removing or now.state in REST:
            return judge(operation.action, operation.until, operation.first, now)
        return _lost(operation) if untouched and now.state not in (State.STOPPING, State.KILLING) else _unknown(now)
    if now.run >= operation.first:
        return judge(operation.action, operation.until, operation.first, now)
    if now.state in (State.STARTING, State.RUNNING):  # an order for a new run would have ended this one
        return None if now.cycling else _lost(operation)
    if now.state in REST:
        return _lost(operation) if untouched else _unknown(now)
    return judge(operation.action, operation.until, operation.first, now)


def _lost(operation: Operation) -> Verdict:
    what = f"{operation.action} {operation.worker}"
    return Verdict("failed", f"the service was cut off before it began to {what}, so nothing was done; ask again", LOST)


def _unknown(now: Status) -> Verdict:
    run = f"run {now.run} is" if now.state in LIVE else "it is"
    sentence = f"unknown: the service was cut off before this was settled; {run} {now.state} now"
    return Verdict("failed", sentence, "unknown")
