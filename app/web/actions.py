"""The routes for more than one worker: an order to many, a rolling restart, and how many replicas there are."""

from typing import Any

from starlette.responses import Response

from supervisor_core.config import ConfigError
from supervisor_core.config.values import BadValue, duration
from supervisor_core.errors import Refused, SupervisorError

from ..remembered import NotKept
from . import wire
from .config import LONGEST_WAIT, bad_config, declarations_of, settled
from .orders import DEFAULT_WAIT, give
from .params import Params, read_object
from .problems import Problem, not_durable, refused, shown
from .routes import Call
from .select import MOST, pick, status_of

ACTIONS = ("start", "stop", "restart", "kill", "enable", "disable")
REPLICAS = 1000


async def act(call: Call) -> Response:
    """POST /api/v1/actions: one answer a worker, in the order given; with `rolling` how far that is."""
    params = Params(call.request)
    seconds, until = params.seconds("wait", LONGEST_WAIT), params.choice("until", ("", "ready", "done"), "")
    body = await read_object(call.request, action=str, workers=list, rolling=dict, cascade=bool, reason=str)
    action, names = body.get("action", ""), named(call, body.get("workers"))
    if action not in ACTIONS:
        raise Problem(422, "bad_body", f"the action {shown(action)} is not known; it is one of {', '.join(ACTIONS)}")
    if "rolling" in body:
        return await roll(call, action, names, body, DEFAULT_WAIT if seconds is None else seconds)
    given: list[Any] = []
    for name in names:
        try:
            given.append(await give(call, action, name, until=until, body=body))
        except Problem as problem:
            given.append(problem)
    end = call.host.now() + (DEFAULT_WAIT if seconds is None else seconds)
    answers = []
    for name, one in zip(names, given, strict=True):
        if isinstance(one, Problem):
            answers.append({"worker": name, "status": one.status, "code": one.code, "detail": one.detail})
            continue
        ended = await call.services.operations.wait(one.id, max(0.0, end - call.host.now()))
        status = {"done": 200, "pending": 202}.get(ended.state, 409)
        answers.append({"worker": name, "status": status, "operation": wire.operation(ended)})
    return await _answer(call, 200, {"answers": answers})


def named(call: Call, given: Any) -> list[str]:
    """The workers of a body, each once, patterns spread out; a pattern means no runs unless it has a bracket."""
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given) or len(given) > MOST:
        raise Problem(
            422, "bad_body", f'the member workers is a list of 1 to {MOST} names, such as ["web", "group:db"]'
        )
    snapshot, found = call.host.snapshot(), dict[str, None]()
    for one in given:
        names = pick(snapshot, [one], call.services.settings.groups)
        found |= dict.fromkeys(name for name in names if one == name or "[" in one or "[" not in name)
    return list(found)


async def _answer(call: Call, status: int, told: wire.Json, location: str = "") -> Response:
    try:
        await call.host.durable()
    except SupervisorError as error:
        raise not_durable("it is done", str(error), **told) from error
    return Response(wire.dump(told), status, {"Location": location} if location else None, media_type=wire.JSON)


# ---------------------------------------------------------------- rolling


async def roll(call: Call, action: str, names: list[str], body: Any, seconds: float) -> Response:
    rollings, rolling = call.services.rollings, dict(body["rolling"])
    if rollings is None:
        raise Problem(409, "no_rolling", "this program has no rolling restarts")
    if action != "restart" or body.get("cascade"):
        raise Problem(422, "bad_body", "rolling goes with restart alone, and without cascade")
    batch = rolling.pop("batch", 1)
    if type(batch) is not int or not 1 <= batch <= MOST:
        raise Problem(422, "bad_body", f"batch is a whole number from 1 to {MOST}")
    times = {"pause": 0.0, "timeout": 300.0}
    for key in times:
        try:
            times[key] = duration(rolling.pop(key, times[key]))
        except BadValue as error:
            raise Problem(422, "bad_body", f"{key}: {error}") from None
    if rolling:
        raise Problem(422, "bad_body", f"{shown(next(iter(rolling)))} is not known; known are batch, pause, timeout")
    try:
        begun = rollings.begin(
            names, call.caller.who, batch=batch, pause=times["pause"], patience=times["timeout"],
            reason=body.get("reason", "")[:500],
        )  # fmt: skip
    except Refused as refusal:
        raise refused(refusal.code, str(refusal)) from None
    return await _rolling(call, begun.id, seconds)


async def get_rolling(call: Call) -> Response:
    """GET /api/v1/actions/{id}."""
    id = call.request.path_params["id"]
    if call.services.rollings is None or call.services.rollings.get(id) is None:
        raise Problem(404, "unknown_action", f"there is no rolling restart {shown(id)} in this life of the service")
    return await _rolling(call, id, Params(call.request).seconds("wait", LONGEST_WAIT) or 0.0, asks=True)


async def _rolling(call: Call, id: str, seconds: float, *, asks: bool = False) -> Response:
    assert call.services.rollings is not None
    now = await call.services.rollings.wait(id, seconds)
    told = {
        "id": now.id, "state": now.state, "by": now.by, "asked": wire.when(now.asked), "batch": now.batch,
        "pause": now.pause, "done": now.done, "skipped": now.skipped, "left": now.left, "failed": now.failed or None,
    }  # fmt: skip
    if asks:
        return Response(wire.dump({"rolling": told}), media_type=wire.JSON)
    if now.state == "failed":
        raise Problem(409, "rolling_stopped", f"stopped at the first failure: {now.failed}", rolling=told)
    status = 202 if now.state == "pending" else 200
    return await _answer(call, status, {"rolling": told}, f"{call.root}/api/v1/actions/{id}")


# ---------------------------------------------------------------- replicas


async def scale(call: Call) -> Response:
    """POST /api/v1/workers/{name}/scale: the name of the table, or of one of its replicas."""
    seconds = Params(call.request).seconds("wait", LONGEST_WAIT) or 0.0
    body = await read_object(call.request, replicas=int, reason=str)
    if not 1 <= body.get("replicas", 0) <= REPLICAS:
        raise Problem(422, "bad_body", f"replicas is a whole number from 1 to {REPLICAS}; to have none, stop them")
    try:
        done = await declarations_of(call).scale(call.request.path_params["name"], body["replicas"], call.caller.who)
    except ConfigError as error:
        raise bad_config(error) from None
    except Refused as refusal:
        raise refused(refusal.code, str(refusal)) from None
    except NotKept as error:
        raise not_durable("nothing was changed", str(error)) from None
    workers = call.host.snapshot().workers
    begun = tuple(n for n in done.added if n in workers and status_of(workers[n]).wanted)
    operations = await settled(call, begun, seconds) if seconds else []
    told = {"workers": done.names, "added": done.added, "removed": done.removed}
    return await _answer(call, 200, {**told, "operations": [wire.operation(each) for each in operations]})
