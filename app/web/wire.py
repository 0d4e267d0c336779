"""The only place that turns records into JSON: Status, events, operations, lines, and frames of server-sent events.

Rows of the ledger are in `wire_past.py`.
Names are those of the HTTP contract. One value becomes one line, so a frame cannot be broken by what a worker wrote.

Known wart: the log position of a moment is computed from the clock, which the log store uses for its stamps, too.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from supervisor_core.journal import Cursor, Entry, Snapshot
from supervisor_core.lines import Gap, Line, RunMark, make_key
from supervisor_core.messages import Changed, PhaseChanged, Removed
from supervisor_core.model import Blocker, Exit, Requirement, Status
from supervisor_core.why import why as why_not_up

from ..times import Planned
from ..watchers.conditions import Condition
from ..watchers.ledger.account import why
from ..watchers.outcome import Operation

Json = dict[str, Any]
JSON = "application/json"

dump = orjson.dumps


def when(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds, of seconds since the epoch."""
    moment = datetime.fromtimestamp(round(seconds, 3), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def when_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else when(seconds)


def log_key(seconds: float) -> str:
    """The log position of a moment: what was written later has a greater key."""
    return make_key(max(0, int(seconds * 1e9)), 0)


# ---------------------------------------------------------------- workers


def last_exit(exit: Exit | None) -> Json | None:
    if exit is None:
        return None
    return {
        "run": exit.run,
        "code": exit.code,
        "signal": exit.signal,
        "reason": exit.reason,
        "at": when(exit.at),
        "by": exit.by,
        "log": {"key": log_key(exit.at)},
    }


def status(entry: Entry, boot: int, planned: Planned | None = None) -> Json:
    """The Status of the contract, from the last entry about a worker, and what is planned for it."""
    assert isinstance(entry.event, Changed)
    return status_of(entry.event.status, f"{boot}:{entry.seq}", entry.time, planned)


def blocker(told: Blocker) -> Json:
    shown: Json = {"worker": told.worker, "condition": told.condition, "why": told.why}
    return shown if told.next is None else {**shown, "next": when(told.next)}


def requirement(asked: Requirement) -> Json:
    told: Json = {"worker": asked.name, "condition": asked.condition}
    return told | ({"pattern": asked.pattern} if asked.pattern else {})


def schedule(planned: Planned | None) -> Json | None:
    if planned is None:
        return None
    return {"next": when_or_none(planned.next), "last": when_or_none(planned.last), "rule": planned.rule}


def status_of(now: Status, version: str, time: float, planned: Planned | None = None) -> Json:
    spec = now.spec
    return {
        "name": now.name,
        "state": now.state,
        "health": now.health,
        "wanted": now.wanted,
        "ready": now.ready,
        "run": now.run,
        "pid": now.pid if now.leader_gone is None else None,
        "since": when(now.since),
        "deadline": when_or_none(now.deadline),
        "version": version,
        "why": why_not_up(now, {}, planned=None if planned is None else planned.next),
        "blocked_on": [blocker(each) for each in now.blocked_on],
        "waiting_for": now.waiting_for,
        "failures": now.failures,
        "tries": now.tries,
        "gave_up": now.gave_up,
        "max_restarts": spec.restart.max_restarts,
        "restarts": now.restarts,
        "last_exit": last_exit(now.last_exit),
        "requires": [requirement(each) for each in spec.requires],
        "dependents": now.dependents,
        "restarting": now.restarting,
        "stuck": now.stuck,
        "removing": now.removing,
        "leader_gone": now.leader_gone,
        "outdated": now.outdated,
        "origin": spec.origin,
        "enabled": now.enabled,
        "stopped_by": now.stopped_by,
        "pool": None if spec.pool is None else spec.pool.name,
        "slot": now.slot,
        "schedule": schedule(planned),
        "log": {"key": log_key(time)},
        "labels": dict(spec.labels),
        "links": dict(spec.links),
        "description": spec.description,
    }


class Rows:
    """One encoded Status a worker, renewed when it changed; joined wherever many are sent.

    `schedules` is what is planned; who changes it says `renew`, and `version` is another number from then on.
    """

    def __init__(self) -> None:
        self.schedules: Mapping[str, Planned] = {}
        self.version = 0
        self._rows: dict[str, tuple[int, int, bytes]] = {}
        self._all: tuple[Cursor | None, bytes] = (None, b"")

    def row(self, entry: Entry, boot: int) -> bytes:
        assert isinstance(entry.event, Changed)
        name = entry.event.status.name
        known = self._rows.get(name)
        if known is not None and known[:2] == (boot, entry.seq):
            return known[2]
        encoded = dump(self.status(entry, boot))
        if known is None or known[:2] < (boot, entry.seq):
            self._rows[name] = (boot, entry.seq, encoded)
        return encoded

    def status(self, entry: Entry, boot: int) -> Json:
        """The same, not encoded."""
        assert isinstance(entry.event, Changed)
        return status(entry, boot, self.schedules.get(entry.event.status.name))

    def renew(self, name: str) -> None:
        self._rows.pop(name, None)
        self._all = (None, b"")
        self.version += 1

    def all(self, snapshot: Snapshot) -> bytes:
        """The rows of all workers, by name, as one JSON array; joined once for all who ask between two events."""
        if self._all[0] != snapshot.cursor:
            for gone in self._rows.keys() - snapshot.workers.keys():
                del self._rows[gone]
            self._all = (snapshot.cursor, self.many(snapshot, sorted(snapshot.workers)))
        return self._all[1]

    def many(self, snapshot: Snapshot, names: Iterable[str]) -> bytes:
        """The rows of `names` as one JSON array, in that order."""
        return b"[" + b",".join(self.row(snapshot.workers[name], snapshot.cursor.boot) for name in names) + b"]"


# ---------------------------------------------------------------- events


def change(entry: Entry, row: bytes) -> bytes:
    """One element of a `changed` event, around the encoded row."""
    assert isinstance(entry.event, Changed)
    rest = dump({"causes": entry.event.causes, "by": entry.event.by, "time": when(entry.time)})
    return b'{"status":' + row + b"," + rest[1:]


def event(entry: Entry, boot: int) -> Json:
    """One entry of the history."""
    told: Json = {"cursor": f"{boot}:{entry.seq}", "time": when(entry.time), "by": entry.event.by}
    match entry.event:
        case Changed(status=now, causes=causes):
            told |= {"event": "changed", "worker": now.name, "state": now.state, "run": now.run, "causes": causes}
            told["why"] = why(entry.event) or None
            told["status"] = status(entry, boot)
        case Removed(name=name):
            told |= {"event": "removed", "worker": name}
        case PhaseChanged(phase=phase):
            told |= {"event": "phase", "phase": phase}
    return told


def operation(told: Operation) -> Json:
    """What an operation is to a client; `code` only where it failed."""
    shown: Json = {
        "id": told.id,
        "action": told.action,
        "worker": told.worker,
        "by": told.by,
        "asked": when(told.asked),
        "state": told.state,
        "outcome": told.outcome or None,
        "run": told.run,
        "until": told.until,
    }
    if told.reason:
        shown["reason"] = told.reason
    if told.state in ("failed", "superseded"):
        shown["code"] = told.code
    return shown


# ---------------------------------------------------------------- lines


def line(shown: Line, text: str | None = None) -> Json:
    """One line; `text` takes the place of its own when it was changed for the reader."""
    told: Json = {
        "key": shown.key,
        "time": when(shown.time),
        "worker": shown.worker,
        "stream": shown.stream,
        "run": shown.run,
        "at": shown.at,
        "text": shown.text if text is None else text,
    }
    if shown.raw:
        told["raw"] = True
    if shown.cut is not None:
        told["cut"] = shown.cut
    return told


def gap(lost: Gap) -> Json:
    return {
        "key": lost.key,
        "worker": lost.worker,
        "stream": lost.stream,
        "from": lost.start,
        "to": lost.end,
        "bytes": lost.end - lost.start,
        "why": lost.why,
    }


def run(mark: RunMark) -> Json:
    return {"key": mark.key, "time": when(mark.time), "worker": mark.worker, "run": mark.run, "kind": mark.kind}


# ---------------------------------------------------------------- frames


def condition(told: Condition) -> dict[str, str]:
    """A condition as JSON."""
    return {"name": told.name, "since": when(told.since), "text": told.text}


def frame(
    name: str, data: bytes | Mapping[str, Any] | list[Any], id: str | None = None, retry: int | None = None
) -> bytes:
    """One server-sent event. `data` is JSON already, or becomes it; `retry` in milliseconds."""
    head = f"event: {name}\n"
    if id is not None:
        head = f"id: {id}\n{head}"
    if retry is not None:
        head = f"retry: {retry}\n{head}"
    payload = data if isinstance(data, bytes) else dump(data)
    return head.encode() + b"data: " + payload + b"\n\n"
