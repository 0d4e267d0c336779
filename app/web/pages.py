"""The pages for people: workers, one worker; plain forms that work without scripts; static files.

Pages read snapshots and log stores through `Host` and give orders through `operations`, like the API. Scopes stand in
`routes.PAGES`, security headers come from the gate. No state of its own.

Known wart: rows beyond the first 200 are left to the script, which takes a snapshot from the stream.
"""

import asyncio
import gzip
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse

from supervisor_core.errors import Refused, SupervisorError
from supervisor_core.journal import Snapshot
from supervisor_core.logs import Line, RunMark, View
from supervisor_core.model import LIVE

from .. import assets
from ..host import Host
from ..watchers.operations import ORDERS, SWITCHES
from . import wire
from .entrance import Entrance
from .problems import Problem, shown
from .render import Renderer, caller_of, form_of, root_of
from .select import find, status_of
from .services import Services
from .words import GROUPS, Words, age, describe, exit_words, seconds

RENDERED = 200
"""Rows that the server renders at most; about 6 ms of the event loop."""

LINES = 200
FOREVER = "public, max-age=31536000, immutable"

# Escapes go, and control and bidi characters are shown as such; ansi.js does the same.
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~]?)"
)
_HIDDEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def pages_router(hosts: Sequence[Host], services: Services) -> APIRouter:
    """The routes of all pages, for the first of `hosts`."""
    render = Renderer(hosts[0], services)
    pages, entrance = Pages(render), Entrance(render)
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    for method, path, handler in (
        ("GET", "/", pages.workers),
        ("GET", "/workers/{name}", pages.worker),
        ("POST", "/workers/{name}/act", pages.act),
        ("GET", "/sign-in", entrance.sign_in_form),
        ("POST", "/sign-in", entrance.sign_in),
        ("GET", "/login", entrance.login_form),
        ("POST", "/login", entrance.login),
        ("POST", "/sign-out", entrance.sign_out),
        ("GET", "/static/{version}/{path:path}", pages.static),
        ("GET", "/favicon.ico", pages.icon),
    ):
        router.add_api_route(path, handler, methods=["GET", "HEAD"] if method == "GET" else [method])
    return router


class Pages:
    """The handlers, around what they are given."""

    def __init__(self, render: Renderer) -> None:
        self.render = render
        self.host = render.host
        self.services = render.services

    # ------------------------------------------------------------ what there is to see

    async def workers(self, request: Request) -> Response:
        snapshot, now = self.host.snapshot(), self.host.now()
        q = request.query_params.get("q", "")[:100]
        chosen = [word for word in request.query_params.getlist("state") if word in GROUPS.values()]
        rows, counts = [], dict.fromkeys(GROUPS, 0)
        for row in self._rows(snapshot, now):
            words = row["words"]
            counts[words.shape] += 1
            text = f"{row['status']['name']} {words.word}".lower()
            if (not chosen or GROUPS[words.shape] in chosen) and all(part in text for part in q.lower().split()):
                rows.append(row)
        rows = rows[:RENDERED]
        names = sorted(snapshot.workers) if len(snapshot.workers) <= RENDERED else []
        blank = Words("idle", "idle", "", "", "start", "Start", False)
        values: dict[str, Any] = {
            "rows": rows,
            "counts": counts,
            "chosen": chosen,
            "q": q,
            "total": len(snapshot.workers),
        }
        embedded = self._embedded(snapshot, names)
        return self.render.page(request, "workers.html", groups=GROUPS, blank=blank, **values, **embedded)

    async def worker(self, request: Request, name: str) -> Response:
        snapshot, now = self.host.snapshot(), self.host.now()
        try:
            entry = find(snapshot, name)
        except Problem as problem:
            return self.render.message(request, 404, "No such worker", problem.detail.partition(";")[0] + ".")
        known = status_of(entry)
        status = wire.status(entry, snapshot.cursor.boot)
        words = describe(status, now)
        program = known.spec.program
        command = "" if program is None else program.argv[-1] if program.shell else shlex.join(program.argv)
        around = [name, *(r.name for r in known.spec.requires), *known.dependents]
        # A big fleet is not embedded for the sake of one worker: the stream brings it.
        names = (
            sorted(snapshot.workers)
            if len(snapshot.workers) <= RENDERED
            else sorted(set(around) & set(snapshot.workers))
        )
        values: dict[str, Any] = {
            "status": status,
            "words": words,
            "live": known.state in LIVE,
            "age": age(now - known.since),
            "last": exit_words(status["last_exit"]),
            "lines": await asyncio.to_thread(self._lines, name),
            "command": command,
            "source": self.services.source_of(known.spec),
            "requires": [self._other(snapshot, r.name, now, f"must be {r.condition}") for r in known.spec.requires],
            "dependents": [self._other(snapshot, other, now, "") for other in known.dependents],
            "links": [pair for pair in known.spec.links.items() if re.match(r"(?i)https?://|/(?!/)", pair[1])],
            "complete": len(names) == len(snapshot.workers),
        }
        return self.render.page(request, "worker.html", **values, **self._embedded(snapshot, names))

    def _rows(self, snapshot: Snapshot, now: float) -> list[dict[str, Any]]:
        """One dict a worker: what needs attention first, then by name."""
        found = []
        for entry in snapshot.workers.values():
            status = wire.status(entry, snapshot.cursor.boot)
            words = describe(status, now)
            found.append({"status": status, "words": words, "age": age(now - seconds(status["since"]))})
        ranks = {family: rank for rank, family in enumerate(GROUPS) if family in ("fail", "warn", "block")}
        return sorted(found, key=lambda row: (ranks.get(row["words"].family, 9), row["status"]["name"]))

    def _other(self, snapshot: Snapshot, name: str, now: float, note: str) -> Mapping[str, Any]:
        entry = snapshot.workers.get(name)
        if entry is None:
            return {
                "name": name,
                "note": f"{note}, is not configured",
                "words": Words("idle", "unknown", "unknown", "", "start", "Start", False),
            }
        words = describe(wire.status(entry, snapshot.cursor.boot), now)
        return {"name": name, "words": words, "note": f"{words.word}{f' · {note}' if note else ''}"}

    def _embedded(self, snapshot: Snapshot, names: Sequence[str]) -> dict[str, Any]:
        """The snapshot as JSON that may stand inside a script element of type application/json."""
        rows = self.services.rows.many(snapshot, names).decode()
        for sign in "<>&":
            rows = rows.replace(sign, f"\\u{ord(sign):04x}")
        return {"cursor": str(snapshot.cursor), "embedded": Markup(rows), "embedded_count": len(names)}  # noqa: S704

    def _lines(self, name: str) -> list[dict[str, str]]:
        page = self.host.logs.tail(View((name,)), LINES)
        shown_lines = []
        for item in (*page.items, *page.open):
            if isinstance(item, Line):
                text = _HIDDEN.sub(_visible, _ESCAPE.sub("", item.text))
                kind = {"err": "err", "log": "note"}.get(item.stream, "out")
            elif isinstance(item, RunMark):
                text, kind = f"run {item.run} {'started' if item.kind == 'start' else 'ended'}", "rule"
            else:
                text, kind = f"{item.end - item.start} bytes {item.why}", "rule gap"
            time = wire.when(item.time) if not kind.endswith("gap") else ""  # type: ignore[union-attr]
            shown_lines.append({"class": kind, "time": time, "clock": time[11:23], "text": text})
        return shown_lines

    # ------------------------------------------------------------ orders by plain forms

    async def act(self, request: Request, name: str) -> Response:
        caller, form = caller_of(request), await form_of(request)
        back = form.get("back", "")
        if not self.services.credentials.csrf_ok(caller, form.get("csrf", "")):
            return self.render.message(
                request, 403, "Not done", "This form is of another session; open the page again.", back
            )
        action = form.get("action", "")
        if action not in {*ORDERS, *SWITCHES}:
            return self.render.message(
                request, 400, "Not done", f"{shown(action)} is none of {', '.join(ORDERS)}.", back
            )
        snapshot = self.host.snapshot()
        try:
            entry = find(snapshot, name)
            version = f"{snapshot.cursor.boot}:{entry.seq}"
            if form.get("if_version", version) != version:
                now = describe(wire.status(entry, snapshot.cursor.boot), self.host.now())
                text = f"{name} changed after this page was made, it is now: {now.word}. Nothing was done."
                return self.render.message(request, 409, "Not done", text, back)
            give = self.services.operations.switch if action in SWITCHES else self.services.operations.give
            await give(action, name, by=caller.who)
            await self.host.durable()
        except (Problem, Refused) as error:
            return self.render.message(request, getattr(error, "status", 409), "Not done", f"{error}.", back)
        except SupervisorError as error:
            return self.render.message(request, 507, "Done, but not kept", f"{action} {name}: {error}.", back)
        there = self.services.credentials.target(root_of(request) + "/" + back, root_of(request))
        return RedirectResponse(there, 303)

    # ------------------------------------------------------------ files

    async def static(self, request: Request, version: str, path: str) -> Response:
        root = self.render.static
        if version != assets.version(root) or path not in assets.files(root):
            return Response("There is no such file in this version.\n", 404, media_type="text/plain")
        content, packed = _content(assets.files(root)[path])
        headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = packed, "gzip"
        kind = assets.TYPES[assets.files(root)[path].suffix]
        return Response(content, headers=headers | {"Content-Type": kind})

    async def icon(self) -> Response:
        root = self.render.static
        return Response(
            (root / "icon.svg").read_bytes(), media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"}
        )


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else f"[U+{code:04X}]"


@cache
def _content(path: Any) -> tuple[bytes, bytes]:
    content = path.read_bytes()
    return content, gzip.compress(content, 9, mtime=0)
