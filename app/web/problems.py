"""Errors as clients see them: RFC 9457 problems with a stable `code` beside the sentence.

The only shape of an error that this service sends, whatever the route. No error text here holds configuration,
environment or paths. Known wart: pages show the same sentences in HTML, so both audiences share the wording.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
SHOWN = 80
"""Characters of a client's own text that a problem repeats at most."""


class Problem(Exception):
    """What a request ends with when it cannot be done: status, stable code, one sentence, further members."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> Response:
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }
        return Response(orjson.dumps(body), self.status, self.headers, media_type=MEDIA_TYPE)


def shown(text: str) -> str:
    """A client's own text, quoted, cut and without anything that cannot be shown."""
    return f'"{printable(text[:SHOWN])}{"…" if len(text) > SHOWN else ""}"'


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)


def bad_query(detail: str) -> Problem:
    return Problem(400, "bad_query", detail)


def bad_body(detail: str) -> Problem:
    return Problem(400, "bad_body", detail)


def bad_cursor(detail: str) -> Problem:
    return Problem(400, "bad_cursor", detail)


def unknown_worker(name: str) -> Problem:
    return Problem(404, "unknown_worker", f"there is no worker named {shown(name)}; GET /api/v1/workers lists them")


REFUSALS = {"unknown_worker": 404, "shutting_down": 503}
"""Codes of refused orders that are no conflict, and their status."""


def refused(code: str, sentence: str) -> Problem:
    """The problem for an order that the supervisor refused."""
    headers = {"Retry-After": "5"} if code == "shutting_down" else None
    return Problem(REFUSALS.get(code, 409), code, sentence, headers=headers)


def not_durable(what: str, why: str, **members: Any) -> Problem:
    """The problem for an order that was carried out and may be forgotten."""
    return Problem(507, "not_durable", f"{what}: {why}", **members)
