"""The routes of the config: what a reload would change, and the reload.

A file that cannot be used is one problem with all of its sentences. Of an environment only names are ever told.
"""

import contextlib
from typing import TYPE_CHECKING

from starlette.responses import Response

from supervisor_core.config import ConfigError
from supervisor_core.errors import Refused, SupervisorError

from ..watchers.outcome import Operation
from . import wire
from .params import Params, read_object
from .problems import Problem, not_durable, refused
from .routes import Call

if TYPE_CHECKING:
    from ..drivers.declarations import Declarations, Preview

LONGEST_WAIT = 3600.0


def declarations_of(call: Call) -> "Declarations":
    if call.services.declarations is None:
        raise Problem(409, "no_config", "this program has no config file, so nothing can be read anew")
    return call.services.declarations


def bad_config(error: ConfigError) -> Problem:
    """All that is wrong, at its places."""
    count = len(error.problems)
    what = "one problem" if count == 1 else f"{count} problems"
    told = [{"file": problem.file, "line": problem.line, "text": problem.text} for problem in error.problems]
    return Problem(
        422, "bad_config", f"the config has {what}, so nothing was changed: {error.problems[0]}", problems=told
    )


async def plan(call: Call) -> Response:
    """POST /api/v1/config/plan."""
    await read_object(call.request)
    try:
        preview = await declarations_of(call).preview()
    except ConfigError as error:
        raise bad_config(error) from None
    except Refused as refusal:
        raise refused(refusal.code, str(refusal)) from None
    return Response(wire.dump({"plan": told(preview)}), media_type=wire.JSON)


async def apply(call: Call) -> Response:
    """POST /api/v1/config/apply: answered when it rules; with `wait=` when what begins for it has settled, too."""
    seconds = Params(call.request).seconds("wait", LONGEST_WAIT) or 0.0
    body = await read_object(call.request, plan=str, reason=str)
    try:
        preview = await declarations_of(call).apply(call.caller.who, body.get("plan", ""))
    except ConfigError as error:
        raise bad_config(error) from None
    except Refused as refusal:
        raise refused(refusal.code, str(refusal)) from None
    operations = await settled(call, preview.begins, seconds) if seconds else []
    shown = {"plan": told(preview), "applied": True, "operations": [wire.operation(each) for each in operations]}
    try:
        await call.host.durable()
    except SupervisorError as error:
        raise not_durable("the config is applied", str(error), **shown) from error
    return Response(wire.dump(shown), media_type=wire.JSON)


async def settled(call: Call, names: tuple[str, ...], seconds: float) -> list[Operation]:
    """What has become of the runs that begin, after so many seconds at most."""
    operations = []
    for name in names:
        with contextlib.suppress(Refused):
            operations.append(await call.services.operations.give("start", name, by=call.caller.who))
    end = call.host.now() + seconds
    return [await call.services.operations.wait(each.id, max(0.0, end - call.host.now())) for each in operations]


def told(preview: "Preview") -> wire.Json:
    planned = preview.plan
    return {
        "id": preview.id,
        "empty": preview.empty,
        "added": [{"worker": name, "starts": name in preview.begins} for name in planned.added],
        "changed": [
            {
                "worker": change.name,
                "keys": [word for key in change.keys for word in change.words[key]],
                "restarts": change.restarts,
                "starts": change.starts,
                "waits": [word for key in change.waits for word in change.words[key]],
            }
            for change in planned.changed
        ],
        "removed": planned.removed,
        "restarted": planned.restarted,
        "same": planned.same,
        "clashes": planned.clashes,
        "settings": preview.settings,
        "waiting": preview.waiting,
    }
