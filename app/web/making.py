"""The routes that make, replace and remove workers, and that run one with arguments of its own.

A worker comes as a table of the config file in JSON. What is wrong with it is one problem with a sentence for each key.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from supervisor_core.config import ConfigError
from supervisor_core.config.values import BadValue
from supervisor_core.config.values import name as valid_name
from supervisor_core.errors import Refused, SupervisorError

from ..remembered import NotKept
from . import wire
from .config import LONGEST_WAIT, settled
from .orders import acknowledge, default_wait, give, key_of
from .params import Params, read_any, read_object
from .problems import Problem, not_durable, refused
from .routes import Call
from .select import find, status_of

if TYPE_CHECKING:
    from ..drivers.made import Made


def made_of(call: Call) -> "Made":
    if call.services.declarations is None:
        raise Problem(409, "no_config", "this program keeps no workers that are made over HTTP")
    return call.services.declarations.made


async def add(call: Call) -> Response:
    """POST /api/v1/workers: the table with `name` beside its keys."""
    table = dict(await read_any(call.request))
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise Problem(422, "bad_worker", 'the body has no name; add "name": "web" beside the keys of the worker')
    return await _put(call, name, table, 201)


async def replace(call: Call) -> Response:
    """PUT /api/v1/workers/{name}."""
    name = call.request.path_params["name"]
    table = dict(await read_any(call.request))
    if table.pop("name", name) != name:
        raise Problem(422, "bad_worker", "the name in the body is another one than that of the path; leave it out")
    return await _put(call, name, table, 200)


async def remove(call: Call) -> Response:
    """DELETE /api/v1/workers/{name}: answered at once; stopping it takes the time that it takes."""
    await read_object(call.request, reason=str)
    try:
        names = await made_of(call).remove(call.request.path_params["name"], call.caller.who)
    except Exception as error:
        raise _problem(error) from None
    return await _answer(call, 202, {"removed": names})


async def _put(call: Call, name: str, table: Mapping[str, Any], status: int) -> Response:
    seconds = Params(call.request).seconds("wait", LONGEST_WAIT) or 0.0
    made, by = made_of(call), call.caller.who
    try:
        valid_name(name)
        names = await (made.add(name, table, by) if status == 201 else made.replace(name, table, by))
    except Exception as error:
        raise _problem(error) from None
    snapshot = call.host.snapshot()
    begun = [n for n in names if status_of(find(snapshot, n)).wanted]
    operations = await settled(call, tuple(begun), seconds) if seconds else []
    snapshot = call.host.snapshot()
    rows = [
        call.services.rows.status(snapshot.workers[n], snapshot.cursor.boot) for n in names if n in snapshot.workers
    ]
    told = {"workers": rows, "operations": [wire.operation(each) for each in operations]}
    return await _answer(call, status, told, location=f"{call.root}/api/v1/workers/{names[0]}")


async def _answer(call: Call, status: int, told: wire.Json, location: str = "") -> Response:
    try:
        await call.host.durable()
    except SupervisorError as error:
        raise not_durable("it is done", str(error), **told) from error
    return Response(wire.dump(told), status, {"Location": location} if location else None, media_type=wire.JSON)


def _problem(error: Exception) -> Exception:
    """What a client is told; what nobody foresaw stays what it is."""
    match error:
        case ConfigError():
            texts = [problem.text for problem in error.problems]
            return Problem(422, "bad_worker", "; ".join(texts), problems=[{"text": text} for text in texts])
        case BadValue():
            return Problem(422, "bad_worker", str(error))
        case Refused(code="bad_arguments" | "idempotency_key_reused"):
            return Problem(422, error.code, str(error))
        case Refused():
            return refused(error.code, str(error))
        case NotKept():
            return not_durable("nothing was changed", str(error))
    return error


# ---------------------------------------------------------------- runs


async def run(call: Call) -> Response:
    """POST /api/v1/workers/{name}/run: a worker of its own named NAME[N], answered as a start of that one."""
    parent = call.request.path_params["name"]
    find(call.host.snapshot(), parent)
    params = Params(call.request)
    seconds, until = params.seconds("wait", LONGEST_WAIT), params.choice("until", ("", "ready", "done"), "")
    key, body = key_of(call), await read_object(call.request, args=list, environment=dict, reason=str)
    arguments, environment = body.get("args", []), body.get("environment", {})
    if not all(isinstance(one, str) for one in (*arguments, *environment.values())):
        raise Problem(422, "bad_arguments", "arguments and the values of variables are texts; put them between quotes")
    try:
        name = await made_of(call).run(parent, arguments, environment, call.caller.who, key)
    except Exception as error:
        raise _problem(error) from None
    operation = await give(call, "start", name, until=until, key=key, body={"reason": body.get("reason", "")})
    if seconds is None:
        seconds = default_wait(status_of(find(call.host.snapshot(), name)), operation)
    return await acknowledge(call, await call.services.operations.wait(operation.id, seconds))
