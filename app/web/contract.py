"""The contract printed from the route table: OpenAPI by machine, one plain page for people. Needs nothing from outside.

Known wart: bodies and answers are described by words and by the shared schemas below, not by a model each.
"""

from collections.abc import Iterable
from html import escape
from typing import Any

import orjson

from .problems import MEDIA_TYPE
from .routes import Route

PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
}
WORDS = {
    200: "done", 201: "made", 202: "taken, not settled yet", 206: "a part", 304: "as before", 400: "not understood",
    401: "who are you?", 403: "not allowed", 404: "not there", 409: "not possible now", 410: "no longer kept",
    413: "too large",
    415: "an encoding that is not taken", 416: "no such part", 421: "not for this host", 422: "understood, and wrong",
    429: "too many wrong credentials", 503: "not now",
    507: "carried out, but not on the disk: a power cut may undo it",
}  # fmt: skip


def openapi(routes: Iterable[Route], root: str, version: str) -> bytes:
    """The OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Quarterdeck", "version": version},
        "servers": [{"url": f"{root}/"}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _operation(route: Route) -> dict[str, Any]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    for query in route.query:
        plain = {"type": query.type}
        schema = {"type": "array", "items": plain} if query.many else plain
        parameters.append({"name": query.name, "in": "query", "description": query.doc, "schema": schema})
    statuses = set(route.answers) | {421} | (set() if route.scope == "none" else {401, 403, 429})
    told: dict[str, Any] = {
        "summary": route.summary,
        "description": f"Scope: {route.scope}.",
        "parameters": parameters,
        "security": [] if route.scope == "none" else [{"token": []}],
        "responses": {str(status): _answer(status, route) for status in sorted(statuses)},
    }
    if route.body:
        told["requestBody"] = {
            "description": f"JSON or nothing: {route.body}",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    return told


def _answer(status: int, route: Route) -> dict[str, Any]:
    if status == 304:
        return {"description": WORDS[status]}
    if status >= 400:
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        if route.path == "/readyz":
            content["application/json"] = {"schema": {"type": "object"}}
        return {"description": WORDS[status], "content": content}
    return {"description": WORDS[status], "content": {route.media: {}}}


def docs_page(routes: Iterable[Route], root: str) -> str:
    """The same as a page without scripts or styles."""
    rows = "\n".join(
        f"<tr><td>{route.method}<td><code>{escape(route.path)}</code><td>{route.scope}<td>{escape(route.summary)}"
        f"<td>{escape(_hints(route))}"
        for route in routes
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Quarterdeck API</title>\n'
        f'<h1>Quarterdeck API</h1>\n<p>By machine: <a href="{escape(root)}/openapi.json">openapi.json</a>. '
        "Errors are application/problem+json with a stable <code>code</code>.</p>\n"
        f"<table>\n<tr><th>Method<th>Path<th>Scope<th>What<th>Query and body\n{rows}\n</table>\n"
    )


def _hints(route: Route) -> str:
    query = ", ".join(f"{query.name}= ({query.doc})" for query in route.query)
    return "; ".join(part for part in (query, f"body {route.body}" if route.body else "") if part)


def routes_in_words(routes: Iterable[Route]) -> str:
    """The table of `docs/http.md`."""
    rows = [f"| {r.method} `{r.path}` | {r.scope} | {r.summary} |" for r in routes]
    return "\n".join(["| method and path | scope | what |", "| --- | --- | --- |", *rows]) + "\n"
