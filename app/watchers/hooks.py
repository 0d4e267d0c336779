"""The `[[hook]]`s of the service: what happens to workers becomes messages, to a command or to an address.

A storm is one message: what comes within a second goes together; then the hook is quiet for a minute, but that trouble
waits only for earlier trouble, and tells what came meanwhile: of the same worker and occasion the last, with a count.
Who was told that a worker is in trouble is told once when it has been well for its `stable_after`.

Known wart: what waits to be told is in memory; a service that is killed loses it, and with it who is owed a recovery.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from supervisor_core.calling import call
from supervisor_core.config import ServiceHook
from supervisor_core.journal import Gap
from supervisor_core.lines import Line, View
from supervisor_core.messages import Changed, Removed
from supervisor_core.model import RestartWhen, State, Status
from supervisor_core.policy import words_of

from ..host import Host

log = logging.getLogger("quarterdeck.hooks")

GATHER = 1.0
"""Seconds in which what happens goes into one message."""

COOL_DOWN = 60.0
"""Seconds after a message in which its hook is quiet."""

FAREWELL = 3.0
"""Seconds for the last message of a service that leaves."""

MOST, FEW = 50, 5
"""Events that a message lists at most; with more than a few of them each has fewer lines."""

LINES, FEWER_LINES, LONGEST = 20, 3, 500

TROUBLE = frozenset({"failed", "gave_up", "backoff"})
CONDITION = "hook-failed"

Deliver = Callable[[ServiceHook, Mapping[str, Any]], Awaitable[str]]
"""Delivers a message; gives "" or, in a few words, why it could not. It takes a bounded time."""

Tell = Callable[[Mapping[str, str]], None]
"""Takes the sentences of hooks that could not be delivered, by their places; none when all could."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One occasion of a worker; `count` times since the last message. `time` in seconds since the epoch."""

    occasion: str
    status: Status
    time: float
    count: int = 1


def occasions(before: Status | None, now: Status, causes: Iterable[str]) -> tuple[str, ...]:
    """What an event is an occasion for. What was so before this service came, or came with a reload, is none."""
    if before is None or {"attached", "added"} & set(causes):
        return ()
    found = []
    if now.state is State.FAILED and before.state is not State.FAILED:
        found.append("failed")
        tried = now.spec.restart.restart is not RestartWhen.NEVER
        if tried and not (now.last_exit is not None and now.last_exit.permanent):
            found.append("gave_up")
    if now.state is State.BACKOFF and before.state is not State.BACKOFF and now.failures:
        found.append("gave_up" if getattr(now, "gave_up", False) else "backoff")
    if now.ready and not before.ready:
        found.append("ready")
    is_well = now.state is State.RUNNING and now.ready and now.deadline is None
    was_well = before.state is State.RUNNING and before.ready and before.deadline is None
    if (is_well and not was_well) or (now.state is State.DONE and before.state is not State.DONE):
        found.append("recovered")
    return tuple(found)


class Outbox:
    """What one hook has to tell, and when; `deliver` takes it away."""

    def __init__(self, hook: ServiceHook, host: Host, deliver: Deliver) -> None:
        self.hook, self._host, self._deliver = hook, host, deliver
        self._waiting: dict[tuple[str, str], Happened] = {}
        self._troubled: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._until = self._troubled_until = 0.0
        self._tells_trouble = False
        self._sending: asyncio.Task[None] | None = None

    def take(self, found: Sequence[str], status: Status, time: float) -> None:
        """Takes what happened to a worker, as far as this hook is for it."""
        on, name = self.hook.on, status.name
        for occasion in found:
            if occasion in TROUBLE and (occasion in on or "recovered" in on):
                self._troubled.add(name)
                self._waiting.pop((name, "recovered"), None)
            if occasion == "recovered":
                if name in self._troubled:
                    self._troubled.discard(name)
                    self._put(occasion, status, time)
            elif occasion in on and not (occasion == "ready" and name in self._troubled):
                self._put(occasion, status, time)

    def forget(self, name: str) -> None:
        """It is gone, or somebody stopped it: nobody waits for its recovery."""
        self._troubled.discard(name)

    def _put(self, occasion: str, status: Status, time: float) -> None:
        known = self._waiting.pop((status.name, occasion), None)
        happened = Happened(occasion, status, time, 1 if known is None else known.count + 1)
        if occasion == "gave_up":  # one event, one word
            self._waiting.pop((status.name, "failed"), None)
        self._waiting[status.name, occasion] = happened
        self._arm()

    def _arm(self) -> None:
        """What is wrong waits for no quiet that only good news began."""
        loop = asyncio.get_running_loop()
        quiet = self._troubled_until if any(one.occasion in TROUBLE for one in self._waiting.values()) else self._until
        due = max(loop.time() + GATHER, quiet)
        if self._sending is not None or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(due, self._send)

    def _send(self) -> None:
        self._timer = None
        self._sending = asyncio.get_running_loop().create_task(self._tell(), name="hook")
        self._sending.add_done_callback(self._sent)

    async def _tell(self) -> None:
        told = list(self._waiting.values())
        self._waiting.clear()
        self._tells_trouble = any(one.occasion in TROUBLE for one in told)
        await self._deliver(self.hook, await call(message_of, self._host, told))

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._sending = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a message of the hook at %s broke down: %r", self.hook.source, error)
        self._until = asyncio.get_running_loop().time() + COOL_DOWN
        if self._tells_trouble:
            self._troubled_until = self._until
        if self._waiting:
            self._arm()

    async def flush(self) -> None:
        """Tells what waits, at once; and lets what is under way end."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await asyncio.wait([self._sending])
        if self._waiting:
            await self._tell()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()


class Hooks:
    """Follows the journal. `deliver` takes a message to where it goes; `tell` hears of those that did not arrive."""

    def __init__(self, host: Host, hooks: Sequence[ServiceHook], deliver: Deliver, tell: Tell) -> None:
        self._host, self._deliver, self._tell = host, deliver, tell
        self._known: dict[str, Status] = {}
        self._failing: dict[str, str] = {}
        self._boxes: list[Outbox] = []
        self.rule(hooks)

    def rule(self, hooks: Sequence[ServiceHook]) -> None:
        """These are the hooks from now on; what waited for others is dropped, where they have changed."""
        if [box.hook for box in self._boxes] == list(hooks):
            return
        for box in self._boxes:
            box.close()
        self._boxes = [Outbox(hook, self._host, self._take_away) for hook in hooks]
        self._failing.clear()
        self._tell({})

    async def run(self) -> None:
        """Goes on until it is cancelled, or the journal ends; then tells what is still to be told."""
        try:
            await self._follow()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await asyncio.gather(*(box.flush() for box in self._boxes))
            for box in self._boxes:
                box.close()

    async def _follow(self) -> None:
        cursor = replace(self._host.snapshot().cursor, seq=0)
        async for batch in self._host.follow(cursor):
            if isinstance(batch, Gap):
                entries = self._host.snapshot().workers.values()
                self._known = {e.event.status.name: e.event.status for e in entries if isinstance(e.event, Changed)}
                continue
            for entry in batch:
                match entry.event:
                    case Changed(status=status, causes=causes):
                        self._changed(status, causes, entry.time)
                    case Removed(name=name):
                        self._known.pop(name, None)
                        self._forget(name)

    def _changed(self, status: Status, causes: Sequence[str], time: float) -> None:
        found = occasions(self._known.get(status.name), status, causes)
        self._known[status.name] = status
        if status.state is State.STOPPED:
            self._forget(status.name)
        for box in self._boxes if found else ():
            box.take(found, status, time)

    def _forget(self, name: str) -> None:
        for box in self._boxes:
            box.forget(name)

    async def _take_away(self, hook: ServiceHook, message: Mapping[str, Any]) -> str:
        why = await self._deliver(hook, message)
        before = dict(self._failing)
        if why:
            self._failing[hook.source] = f"the hook at {hook.source} was not delivered ({why}), so nobody was told"
        else:
            self._failing.pop(hook.source, None)
        if self._failing != before:
            self._tell(self._failing)
        return why


# ---------------------------------------------------------------- the message


def message_of(host: Host, happened: Sequence[Happened]) -> dict[str, Any]:
    """What is sent: `text` for people (and chats), `events` with the last lines of each run. Reads the logs."""
    told = sorted(happened, key=lambda one: one.time)
    lines = LINES if len(told) <= FEW else FEWER_LINES
    events = [_event(host, one, lines) for one in told[:MOST]]
    more = max(0, len(told) - MOST)
    text = [_sentence(one) for one in told[:MOST]] + ([f"and {more} more"] if more else [])
    return {"host": host.name, "time": _when(host.now()), "text": "\n".join(text), "events": events, "more": more}


def _event(host: Host, one: Happened, lines: int) -> dict[str, Any]:
    status, exit = one.status, one.status.last_exit
    return {
        "event": one.occasion,
        "worker": status.name,
        "run": status.run,
        "state": status.state,
        "time": _when(one.time),
        "count": one.count,
        "failures": status.failures,
        "reason": "" if exit is None or one.occasion in ("ready", "recovered") else words_of(exit),
        "code": None if exit is None else exit.code,
        "signal": None if exit is None else exit.signal,
        "labels": dict(status.spec.labels),
        "lines": _lines(host, status, lines),
    }


def _lines(host: Host, status: Status, count: int) -> list[str]:
    try:
        page = host.logs.tail(View((status.name,), frozenset({"out", "err"})), count)
    except OSError:
        return []
    return [item.text[:LONGEST] for item in page.items if isinstance(item, Line) and item.run == status.run]


def _sentence(one: Happened) -> str:
    words = {
        "ready": "is ready",
        "recovered": "is well again",
        "backoff": "failed and is tried again",
        "gave_up": f"has failed {one.status.failures} times and is given up",
    }.get(one.occasion, "has failed")
    times = f" ({one.count} times)" if one.count > 1 else ""
    why = "" if one.occasion in ("ready", "recovered") else f": {words_of(one.status.last_exit)}"
    return f"{one.status.name} {words}{times}{why}"


def _when(seconds: float) -> str:
    moment = datetime.fromtimestamp(round(seconds, 3), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def dump(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
