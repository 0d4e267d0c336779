"""The routes that change something: start, stop, restart, kill, signal, shutdown, and the operations they become.

An order is given through `Operations`, which says what became of it; here that becomes an answer of HTTP. The server
waits, so `curl -X POST …/restart` ends when the new run is ready, or with the reason why there is none.
"""

import re
import signal as signals
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from supervisor_core.errors import Refused, SupervisorError
from supervisor_core.lines import Line, View
from supervisor_core.messages import Shutdown
from supervisor_core.model import Status

from ..watchers.operations import SWITCHES, KeyReused
from ..watchers.outcome import Operation, wants_run
from . import wire
from .detail import probed
from .params import Params, read_object
from .problems import Problem, bad_query, not_durable, refused, shown
from .routes import Call, Handler
from .select import find, status_of

LONGEST_WAIT = 3600.0
DEFAULT_WAIT = 120.0
LAST_LINES = 20

SIGNALS = frozenset(signal.name.removeprefix("SIG") for signal in signals.Signals)

_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def act(action: str) -> Handler:
    """The handler of POST /api/v1/workers/{name}/ACTION."""

    async def handler(call: Call) -> Response:
        name = call.request.path_params["name"]
        find(call.host.snapshot(), name)
        params = Params(call.request)
        seconds = params.seconds("wait", LONGEST_WAIT)
        until = params.choice("until", ("", "ready", "done"), "")
        key = key_of(call)
        body = await read_object(call.request, cascade=bool, reason=str, if_version=str)
        operation = await give(call, action, name, until=until, key=key, body=body)
        if seconds is None:
            seconds = default_wait(status_of(find(call.host.snapshot(), name)), operation)
        return await acknowledge(call, await call.services.operations.wait(operation.id, seconds))

    return handler


def key_of(call: Call) -> str:
    """The Idempotency-Key of a request, "" without one."""
    key = call.request.headers.get("idempotency-key", "")
    if key and not _KEY.fullmatch(key):
        raise bad_query("the Idempotency-Key is at most 200 visible ASCII characters")
    return key


def switch(action: str) -> Handler:
    """The handler of POST /api/v1/workers/{name}/enable and disable: settled at once."""

    async def handler(call: Call) -> Response:
        name = call.request.path_params["name"]
        find(call.host.snapshot(), name)
        body = await read_object(call.request, reason=str, if_version=str)
        operation = await give(call, action, name, body=body)
        return await acknowledge(call, operation)

    return handler


async def acknowledge(call: Call, operation: Operation) -> Response:
    """Answers when the order and what became of it are on the disk; raises `Problem` 507 when they are not."""
    ledger = call.services.ledger
    syncing = None if ledger is None else ledger.sync()  # beside the other, and not waited for much longer
    try:
        await call.host.durable()
    except SupervisorError as error:
        if operation.state in ("done", "pending"):
            what = f"{operation.action} {operation.worker}"
            raise not_durable(what, str(error), operation=wire.operation(operation)) from error
    if ledger is not None and syncing is not None:
        await ledger.synced(syncing)
    return answer(call, operation)


async def give(
    call: Call, action: str, name: str, *, until: str = "", key: str = "", body: Mapping[str, Any] | None = None
) -> Operation:
    """Gives an order for whoever calls, pages included. Raises `Problem` when it is not taken."""
    body = body or {}
    operations, cascade = call.services.operations, body.get("cascade", False)
    try:
        await operations.recall_key(call.caller.who, key)
        known = operations.repeated(call.caller.who, key, action, name, cascade=cascade, until=until)
        if known is not None:
            return known
        refuse_outdated(call, name, body.get("if_version"))
        who, reason = call.caller.who, body.get("reason", "")[:500]
        if action in SWITCHES:
            given = await operations.switch(action, name, by=who, reason=reason)
        else:
            given = await operations.give(action, name, by=who, cascade=cascade, until=until, reason=reason, key=key)
        call.request.state.operation = given.id
        return given
    except Refused as refusal:
        raise refused(refusal.code, str(refusal)) from None
    except KeyReused as error:
        raise Problem(422, "idempotency_key_reused", str(error)) from None


def refuse_outdated(call: Call, name: str, version: str | None) -> None:
    """Raises `Problem` 409 when the worker is no longer as the client saw it, and says who changed it."""
    snapshot = call.host.snapshot()
    entry = find(snapshot, name)
    now = f"{snapshot.cursor.boot}:{entry.seq}"
    if not version or version == now:
        return
    by = entry.event.by or "the supervisor"
    state = status_of(entry).state
    raise Problem(
        409,
        "conflict",
        f"{name} is no longer as it was at {shown(version)}: it is {state}, changed by {by} at {wire.when(entry.time)}",
        by=by,
        version=now,
        worker=call.services.rows.status(entry, snapshot.cursor.boot),
    )


def default_wait(status: Status, operation: Operation) -> float:
    """As long as the worker itself may take to stop and to start, and a little for the way; at most 120 s."""
    if operation.until == "done" and wants_run(operation.action):
        return DEFAULT_WAIT
    spec = status.spec
    start = spec.start_timeout or (spec.restart.stable_after if spec.program is None else spec.program.start_seconds)
    if (spec.ready_probe or spec.hooks.before_start) and not spec.start_timeout:
        start = DEFAULT_WAIT
    return min(DEFAULT_WAIT, spec.stop.timeout + spec.stop.kill_timeout + start + 2.0)


def answer(call: Call, operation: Operation) -> Response:
    """200 when it is done, 202 while it is not settled; raises `Problem` 409 when it failed or was superseded."""
    snapshot = call.host.snapshot()
    entry = snapshot.workers.get(operation.worker)
    row = b"null" if entry is None else call.services.rows.row(entry, snapshot.cursor.boot)
    told = wire.operation(operation)
    body = b'{"operation":' + wire.dump(told) + b',"worker":' + row + b"}"
    match operation.state:
        case "done":
            return Response(body, media_type="application/json")
        case "pending":
            location = f"{call.root}/api/v1/operations/{operation.id}"
            return Response(body, 202, {"Location": location}, media_type="application/json")
    raise Problem(
        503 if operation.code == "shutting_down" else 409,
        operation.code,
        operation.outcome,
        operation=told,
        worker=None if entry is None else call.services.rows.status(entry, snapshot.cursor.boot),
        lines=last_lines(call, operation),
        **({} if entry is None else probed(call.host.probed(operation.worker, status_of(entry).run))),
    )


def last_lines(call: Call, operation: Operation) -> list[wire.Json]:
    """What the run that failed has written last."""
    if not wants_run(operation.action):
        return []
    page = call.host.logs.tail(View((operation.worker,)), LAST_LINES)
    lines = [item for item in (*page.items, *page.open) if isinstance(item, Line)]
    return [wire.line(line) for line in lines if line.run >= operation.first]


async def get_operation(call: Call) -> Response:
    """GET /api/v1/operations/{id}: its members, and under `operation` and `worker` the same as a POST answers."""
    operations, id = call.services.operations, call.request.path_params["id"]
    seconds = Params(call.request).seconds("wait", LONGEST_WAIT) or 0.0
    told = await operations.recall(id)
    if told is None:
        raise Problem(404, "unknown_operation", f"there is no operation {shown(id)}; they are kept for a day at least")
    if not told.settled:
        told = await operations.wait(id, seconds)
    operation = wire.operation(told)
    snapshot = call.host.snapshot()
    entry = snapshot.workers.get(told.worker)
    row = None if entry is None else call.services.rows.status(entry, snapshot.cursor.boot)
    return Response(wire.dump({**operation, "operation": operation, "status": row}), media_type="application/json")


async def send_signal(call: Call) -> Response:
    """POST /api/v1/workers/{name}/signal."""
    name = call.request.path_params["name"]
    find(call.host.snapshot(), name)
    body = await read_object(call.request, signal=str, tree=bool)
    signal = body.get("signal", "").upper().removeprefix("SIG")
    if signal not in SIGNALS:
        raise Problem(
            422, "bad_body", f'signal {shown(body.get("signal", ""))} is not known; write {{"signal": "HUP"}}'
        )
    try:
        operation = await call.services.operations.signal(
            name, signal, tree=body.get("tree", False), by=call.caller.who
        )
    except Refused as refusal:
        raise refused(refusal.code, str(refusal)) from None
    return answer(call, operation)


async def shut_down(call: Call) -> Response:
    """POST /api/v1/shutdown: the whole service leaves in order; answered at once."""
    await read_object(call.request, reason=str)
    try:
        await call.host.tell(Shutdown(by=call.caller.who))
    except Refused as refusal:
        raise refused(refusal.code, str(refusal)) from None
    return Response(wire.dump({"phase": call.host.snapshot().phase}), 202, media_type="application/json")
