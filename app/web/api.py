"""The API's routes: one table with method, path, scope and handler, and the handlers that only read.

A route that is not in the table cannot be reached: the gate takes its scopes from here. Later features add a line here
and a handler. What changes something is in `orders.py`, lines are in `logs.py`, live events in `stream.py`.
"""

from starlette.responses import Response

from supervisor_core.model import Phase, Status
from supervisor_core.why import why

from ..host import Probed
from . import wire
from .changes import CHANGES
from .contract import docs_page, openapi
from .detail import probed, spec
from .download import BINARY, download
from .histogram import histogram
from .history import list_audit, list_events, list_runs
from .logs import get_lines, stream_lines
from .metrics import METRICS
from .orders import act, get_operation, send_signal, shut_down, switch
from .params import Params
from .routes import ACTED, ONE, WAIT, Call, Query, Route
from .select import filtered, find, status_of
from .stream import conditions_of, events_stream
from .upgrade import get_upgrade, upgrade

# ---------------------------------------------------------------- health, and who asks


async def healthz(_: Call) -> Response:
    return Response(b'{"status":"ok"}', media_type=wire.JSON)


async def readyz(call: Call) -> Response:
    phase = call.host.snapshot().phase
    leaving = call.services.stopping.is_set() or phase in (Phase.LEAVING, Phase.OVER)
    if call.services.applied.is_set() and not leaving:
        names = [held.name for held in call.services.conditions]
        told = {"status": "degraded", "conditions": names} if names else {"status": "ready"}
        return Response(wire.dump(told), media_type=wire.JSON)
    status = "leaving" if leaving else "starting"
    return Response(wire.dump({"status": status}), 503, {"Retry-After": "1"}, media_type=wire.JSON)


async def list_conditions(call: Call) -> Response:
    return Response(wire.dump({"conditions": conditions_of(call.services)}), media_type=wire.JSON)


async def whoami(call: Call) -> Response:
    caller, settings = call.caller, call.services.settings
    told = {
        "who": caller.who,
        "scope": caller.scope,
        "how": caller.how,
        "host": call.host.name,
        "instance": settings.instance,
        "version": settings.version,
        "time": wire.when(call.host.now()),
    }
    return Response(wire.dump(told), media_type=wire.JSON)


async def make_login_link(call: Call) -> Response:
    """A one-time link for a browser; `url` only where an address is known, `path` is right behind any."""
    credentials, settings = call.services.credentials, call.services.settings
    code, end = credentials.make_link()
    path = f"{call.root}/login?code={code}"
    base = settings.public_url.removesuffix(settings.root_path) or credentials.address
    told = {"code": code, "path": path, "url": base + path if base else None, "expires": wire.when(end)}
    return Response(wire.dump(told), 201, media_type=wire.JSON)


# ---------------------------------------------------------------- workers


async def list_workers(call: Call) -> Response:
    params, snapshot = Params(call.request), call.host.snapshot()
    rows = call.services.rows
    tag = f'W/"{snapshot.cursor}.{rows.version}"' if rows.version else f'W/"{snapshot.cursor}"'
    if any(params.has(query.name) for query in FILTER):
        names = filtered(
            snapshot,
            call.services.settings.groups,
            states=params.many("state"),
            q=params.one("q"),
            labels=params.many("label"),
            group=params.many("group"),
        )
        found = rows.many(snapshot, names)
    else:
        found = rows.all(snapshot)
    if call.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    head = wire.dump({"host": call.host.name, "cursor": str(snapshot.cursor), "phase": snapshot.phase})
    body = head[:-1] + b',"workers":' + found + b"}"
    return Response(body, headers={"ETag": tag}, media_type=wire.JSON)


async def get_worker(call: Call) -> Response:
    snapshot = call.host.snapshot()
    entry = find(snapshot, call.request.path_params["name"])
    told = call.services.rows.status(entry, snapshot.cursor.boot)
    now = status_of(entry)
    told["spec"] = spec(now.spec) | {"source": call.services.source_of(now.spec)}
    findings = call.host.probed(now.name, now.run)
    told |= probed(findings)
    told["why"] = why_now(call, now, findings)
    return Response(wire.dump(told), media_type=wire.JSON)


def why_now(call: Call, status: Status, findings: Probed) -> str:
    """Why a worker is not up, as of this moment: with countdowns, the slots of its pool and what its probe found."""
    statuses = {name: status_of(entry) for name, entry in call.host.snapshot().workers.items()}
    planned = call.services.rows.schedules.get(status.name)
    bad = next((f"{each.role} probe: {each.text}" for each in findings[0] if not each.good and each.text), "")
    return why(status, statuses, call.host.now(), planned=None if planned is None else planned.next, probe=bad)


# ---------------------------------------------------------------- the table

ORDER = "{cascade: boolean, reason: string, if_version: string}"
FILTER = (
    Query("state", "a state, repeatable", many=True),
    Query("q", "part of the name"),
    Query("label", "KEY=VALUE", many=True),
    Query("group", "a group of the config", many=True),
)
LINES = (
    Query("tail", "the last N lines", "integer"),
    Query("after", "a key: what came after it"),
    Query("before", "a key: what came before it"),
    Query("at", "a time: what was written from then on"),
    Query("limit", "at most 5000", "integer"),
    Query("stream", "out, err, log", many=True),
    Query("q", 'words, "several words", -without'),
    Query("context", "neighbours of what q finds", "integer"),
    Query("ansi", "keep (default) or strip"),
)
FOLLOW = (
    Query("after", "a key to go on from, for a first connection"),
    Query("tail", "lines of backlog, default 200", "integer"),
    *LINES[5:7],
    LINES[8],
)
COUNT = (
    Query("from", "a time, default an hour before the end"),
    Query("to", "a time, default now"),
    Query("buckets", "how many, default 120, at most 1000", "integer"),
    LINES[5],
)
LIMIT = Query("limit", "at most 1000", "integer")
BACK = (Query("before", "the id of a row: older ones"), LIMIT)
WORKERS = Query("workers", "names and patterns, with commas; all without it", many=True)
EVENTS = "text/event-stream"


def order(path: str, action: str, summary: str) -> Route:
    return Route(
        "POST", f"{ONE}/{path}", "operate", handler=act(action), summary=summary, query=WAIT, body=ORDER, answers=ACTED
    )


def flip(action: str, summary: str) -> Route:
    return Route(
        "POST", f"{ONE}/{action}", "operate", handler=switch(action), summary=summary,
        body="{reason: string, if_version: string}", answers=(200, 400, 404, 409, 413, 415, 422, 507),
    )  # fmt: skip


async def get_openapi(call: Call) -> Response:
    return Response(openapi(ROUTES, call.root, call.services.settings.version), media_type=wire.JSON)


async def get_docs(call: Call) -> Response:
    return Response(docs_page(ROUTES, call.root), media_type="text/html")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", "none", handler=healthz, summary="The process answers"),
    Route("GET", "/readyz", "none", handler=readyz, summary="The config is applied", answers=(200, 503)),
    Route("GET", "/openapi.json", "read", handler=get_openapi, summary="This contract, by machine"),
    Route("GET", "/docs", "read", handler=get_docs, summary="This contract, for people", media="text/html"),
    Route("GET", "/api/v1/whoami", "none", handler=whoami, summary="Who you are and what you may"),
    Route("GET", "/api/v1/conditions", "read", handler=list_conditions, summary="What is wrong with the service"),
    Route(
        "GET", "/api/v1/workers", "read", handler=list_workers, summary="All workers", query=FILTER,
        answers=(200, 304, 400),
    ),
    Route("GET", ONE, "read", handler=get_worker, summary="One worker, with its spec", answers=(200, 404)),
    order("start", "start", "Start it; answered when it is ready"),
    order("stop", "stop", "Stop it; answered when nothing of its tree is left"),
    order("shutdown", "stop", "The same as stop"),
    order("restart", "restart", "Restart it; answered when the new run is ready"),
    order("kill", "kill", "Kill its tree at once"),
    flip("enable", "It may be started again; nothing is started by this"),
    flip("disable", "Nothing starts it until it is enabled, remembered over restarts; what runs goes on"),
    Route(
        "POST", f"{ONE}/signal", "operate", handler=send_signal, summary="Send a signal to its leader or its tree",
        body="{signal: string, tree: boolean}", answers=(200, 400, 404, 409, 413, 415, 422),
    ),
    Route(
        "GET", "/api/v1/operations/{id}", "read", handler=get_operation, summary="An order and its outcome so far",
        query=WAIT[:1], answers=(200, 400, 404),
    ),
    Route(
        "GET", "/api/v1/events", "read", handler=list_events, summary="What happened, with cause and who asked",
        query=(Query("after", "a cursor"), Query("before", "a cursor"), LIMIT), answers=(200, 400, 410, 503),
    ),
    Route(
        "GET", "/api/v1/runs", "read", handler=list_runs, summary="Runs that live and that ended, newest first",
        query=(Query("worker", "a name, repeatable", many=True), *BACK), answers=(200, 400, 404, 503),
    ),
    Route(
        "GET", "/api/v1/audit", "admin", handler=list_audit, summary="Who asked for a change, and what was answered",
        query=BACK, answers=(200, 400, 503),
    ),
    Route(
        "GET", "/api/v1/events/stream", "read", handler=events_stream, summary="What happens, live",
        query=(
            Query("after", "a cursor to go on from, for a first connection"),
            Query("metrics", "1: what the workers use, too, once a second", "integer"),
        ),
        answers=(200, 400, 503), media=EVENTS,
    ),
    *METRICS,
    Route(
        "GET", f"{ONE}/logs", "read", handler=get_lines, summary="Lines of a worker", query=LINES,
        answers=(200, 400, 404),
    ),
    Route(
        "GET", "/api/v1/logs", "read", handler=get_lines, summary="Lines of many workers, merged",
        query=(WORKERS, *LINES), answers=(200, 400, 404),
    ),
    Route(
        "GET", f"{ONE}/logs/stream", "read", handler=stream_lines, summary="Lines of a worker, live", query=FOLLOW,
        answers=(200, 400, 404, 503), media=EVENTS,
    ),
    Route(
        "GET", "/api/v1/logs/stream", "read", handler=stream_lines, summary="Lines of many workers, merged, live",
        query=(WORKERS, *FOLLOW), answers=(200, 400, 404, 503), media=EVENTS,
    ),
    Route(
        "GET", f"{ONE}/logs/histogram", "read", handler=histogram, summary="How many lines of a worker, over time",
        query=COUNT, answers=(200, 400, 404),
    ),
    Route(
        "GET", "/api/v1/logs/histogram", "read", handler=histogram, summary="How many lines of many workers, over time",
        query=(WORKERS, *COUNT), answers=(200, 400, 404),
    ),
    Route(
        "GET", f"{ONE}/logs/download", "read", handler=download, summary="The bytes of a stream; one HTTP range",
        query=(Query("stream", "out (default), err or log"),), answers=(200, 206, 400, 404, 416, 503), media=BINARY,
    ),
    *CHANGES,
    Route(
        "POST", "/api/v1/login-links", "admin", handler=make_login_link, summary="A one-time sign-in link",
        answers=(201,),
    ),
    Route(
        "POST", "/api/v1/shutdown", "admin", handler=shut_down, summary="The whole service leaves, in order",
        body="{reason: string}", answers=(202, 400, 413, 415, 422),
    ),
    Route(
        "POST", "/api/v1/upgrade", "admin", handler=upgrade, body="{reason: string}",
        summary="Keeper and service become what is installed now; no worker notices",
        answers=(202, 400, 409, 413, 415, 422, 503),
    ),
    Route(
        "GET", "/api/v1/upgrade", "read", handler=get_upgrade, summary="The last upgrade and how far it is",
        answers=(200, 404),
    ),
)  # fmt: skip
