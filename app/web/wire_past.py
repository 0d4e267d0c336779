"""Rows of the ledger as JSON: events of before, runs, requests. The rest of what becomes JSON is in `wire.py`.

Known wart: the log positions of a run are computed from the clock, which the log store uses for its stamps, too.
"""

from ..watchers.ledger.account import RunRow
from ..watchers.ledger.book import Audited
from ..watchers.ledger.queries import Past
from .wire import Json, log_key, when, when_or_none


def past(row: Past) -> Json:
    """The same from the ledger; of the status of then only what is kept."""
    was = row.told
    told: Json = {"cursor": str(row.cursor), "time": when(was.time), "by": was.by}
    match was.kind:
        case "changed":
            told |= {"event": "changed", "worker": was.worker, "state": was.state, "run": was.run}
            told |= {"causes": was.causes, "why": was.why or None}
            kept = {"name": was.worker, "state": was.state, "wanted": was.wanted, "ready": was.ready, "run": was.run}
            told["status"] = kept | {"pid": was.pid, "failures": was.failures, "version": str(row.cursor)}
        case "removed":
            told |= {"event": "removed", "worker": was.worker}
        case "phase":
            told |= {"event": "phase", "phase": was.state}
        case _:
            told |= {"event": "gap", "count": was.run}
    return told


def run_row(row: RunRow) -> Json:
    """A run of the ledger; `ended` is None while it lives. `log` is where in the logs it wrote."""
    ended = row.ended is not None
    return {
        "id": str(row.id),
        "worker": row.worker,
        "run": row.run,
        "pid": row.pid,
        "started": when_or_none(row.started),
        "ended": when_or_none(row.ended),
        "exit": {"code": row.code, "signal": row.signal, "reason": row.reason} if ended else None,
        "cause": (row.cause or None) if ended else None,
        "by": row.by if ended else "",
        "log": {
            "from": None if row.started is None else log_key(row.started),
            "to": None if row.ended is None else log_key(row.ended),
        },
        "last_lines": row.lines,
    }


def audited(row: Audited) -> Json:
    """A request to change something; `status` is None where nobody knows what was answered."""
    told = {"id": str(row.id), "time": when(row.time), "who": row.who, "how": row.how, "from": row.origin or None}
    return told | {"what": row.what, "operation": row.operation or None, "status": row.status}
