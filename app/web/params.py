"""Reads what a client sends: query parameters and JSON bodies. Anything odd becomes a `Problem`, never a crash.

Bodies are JSON whatever their content type says, and an empty one is an empty object. No meaning lives here.
"""

import asyncio
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

import orjson
from starlette.requests import Request

from .problems import Problem, bad_body, bad_query, shown

BODY_SECONDS = 30.0

_INTEGER = re.compile(r"[0-9]{1,12}")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


class Params:
    """The query of one request."""

    def __init__(self, request: Request) -> None:
        self._all = request.query_params

    def has(self, name: str) -> bool:
        return name in self._all

    def one(self, name: str, default: str = "") -> str:
        values = self._all.getlist(name)
        if len(values) > 1:
            raise bad_query(f"{name}= is given {len(values)} times; give it once")
        return values[0] if values else default

    def many(self, name: str) -> list[str]:
        """All values, those with commas taken apart."""
        return [piece.strip() for value in self._all.getlist(name) for piece in value.split(",") if piece.strip()]

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.one(name, default)
        if value not in choices:
            raise bad_query(f"{name}={shown(value)} is not known; it is {' or '.join(filter(None, choices))}")
        return value

    def flag(self, name: str) -> bool:
        """Whether it is 1 and not 0; 0 when it is not given."""
        return self.choice(name, ("0", "1"), "0") == "1"

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self.one(name)
        if not text and not self.has(name):
            return default
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise bad_query(f"{name}={shown(text)} is not usable; it is a whole number from {low} to {high}")
        return int(text)

    def seconds(self, name: str, high: float) -> float | None:
        """Seconds from 0 to `high`; None when it is not given."""
        text = self.one(name)
        if not text and not self.has(name):
            return None
        if not _NUMBER.fullmatch(text) or float(text) > high:
            raise bad_query(f"{name}={shown(text)} is not usable; it is seconds from 0 to {high:g}")
        return float(text)

    def moment(self, name: str) -> float:
        """A time in RFC 3339, as seconds since the epoch."""
        text = self.one(name).replace(" ", "+")  # a plus sign that was not escaped
        try:
            moment = datetime.fromisoformat(text) if len(text) <= 40 else None
            if moment is not None and moment.tzinfo is not None:
                return moment.timestamp()
        except (ValueError, OverflowError):
            pass
        raise bad_query(f"{name}={shown(text)} is no time; write it as 2026-11-24T12:00:00Z")


async def read_body(request: Request) -> bytes:
    """The body, within the gate's limit and its time. Raises `Problem`."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Problem(415, "unsupported_encoding", f"Content-Encoding {shown(encoding)} is not taken; send it as it is")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError:
        detail = f"the body did not come within {BODY_SECONDS:g} s"
        raise Problem(408, "too_slow", detail, headers={"Connection": "close"}) from None


async def read_any(request: Request) -> Mapping[str, Any]:
    """The JSON object of a body, whatever its members; those that are null are left out. Raises `Problem`."""
    value = _json(await read_body(request))
    if not isinstance(value, dict):
        raise Problem(422, "bad_body", "the body is a JSON object, such as {}")
    return {name: given for name, given in value.items() if given is not None}


async def read_object(request: Request, **types: type) -> Mapping[str, Any]:
    """The JSON object of a body, of which only the named members may be there, each of its type. Raises `Problem`."""
    body = await read_body(request)
    if not body.strip():
        return {}
    value = _json(body)
    if not isinstance(value, dict):
        raise Problem(422, "bad_body", "the body is a JSON object, such as {}, or empty")
    for name, given in value.items():
        if name not in types:
            known = ", ".join(types) or "none"
            raise Problem(422, "bad_body", f"the member {shown(name)} is not known here; known: {known}")
        wanted = types[name]
        if given is not None and (not isinstance(given, wanted) or (isinstance(given, bool) and wanted is not bool)):
            raise Problem(422, "bad_body", f"the member {name} is {_WORDS[wanted]}")
    return {name: given for name, given in value.items() if given is not None}


_WORDS = {
    bool: "true or false", str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "an object",
}  # fmt: skip


def _json(body: bytes) -> Any:
    """Strict: no NaN, no lone surrogates, no member twice, not deeply nested."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a member is there twice")
        return found

    try:
        orjson.loads(body)
        return json.loads(body, object_pairs_hook=members, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise bad_body("the body is nested too deeply") from None
    except ValueError as error:
        why = str(error).split(":")[0][:100]
        raise bad_body(f"the body is no JSON: {why}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number
