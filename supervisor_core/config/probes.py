"""What the values of a probe and of a `[[hook]]` mean: where to look, which answers are good, what to tell and where.

`http` also takes the table that Kubernetes and process-compose write. No address is looked up here.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .values import BadValue, shown

HTTP_KEYS = ("scheme", "host", "port", "path")


def http(value: Any) -> str:
    """Reads an address, or a table of scheme, host, port and path; gives the address."""
    if isinstance(value, dict):
        value = _address_of(value)
    if not isinstance(value, str):
        raise BadValue(f'{shown(value)} is no address; write "http://127.0.0.1:8000/health"')
    try:
        parts = urlsplit(_at_some_slot(value))
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
        raise BadValue(f'{shown(value)} is no address; write "http://127.0.0.1:8000/health"')
    if parts.username is not None:
        raise BadValue('has a password in it; write headers = { Authorization = "…" } instead')
    return value


def _address_of(table: Mapping[str, Any]) -> str:
    if unknown := set(table) - set(HTTP_KEYS):
        raise BadValue(f"{shown(sorted(unknown)[0])} is not known in it; known are {', '.join(HTTP_KEYS)}")
    host, port, path = str(table.get("host", "127.0.0.1")), table.get("port"), str(table.get("path", "/"))
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    place = f"{host}:{port}" if port is not None else host
    path, _, query = path.partition("?")
    return urlunsplit(
        (str(table.get("scheme", "http")).lower(), place, path if path[:1] == "/" else f"/{path}", query, "")
    )


def _at_some_slot(text: str) -> str:
    """The number of a slot is known only when a run begins; what is written around it can be checked before."""
    return text.replace("{slot}", "1")


def tcp(value: Any) -> str:
    """Reads HOST:PORT, a port of this machine, or unix:PATH; gives HOST:PORT or unix:PATH."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and text.startswith("unix:") and text != "unix:":
        return text
    host, _, written = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    port = _at_some_slot(written)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536 or re.search(r"[\s/]", host):
        raise BadValue(f'{shown(value)} is no address; write "127.0.0.1:5432", 5432 or "unix:PATH"')
    return f"{host or '127.0.0.1'}:{written}"


def pattern(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadValue(f'{shown(value)} is no regular expression; write a text such as "listening on"')
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadValue(f"{shown(value)} is no regular expression ({error}); correct it") from None
    return value


def statuses(value: Any) -> frozenset[int]:
    """Reads a status of HTTP or a list of them."""
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(n, int) and not isinstance(n, bool) and 100 <= n <= 599 for n in found):
        raise BadValue(f"{shown(value)} is no status of HTTP; write 200, or a list such as [200, 204]")
    return frozenset(found)


def headers(value: Any) -> dict[str, str]:
    """Reads a table of names and texts, as they can stand in a request."""
    if not isinstance(value, dict):
        raise BadValue(f'{shown(value)} is no table; write {{ Authorization = "Bearer …" }}')
    found = {}
    for name, text in value.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise BadValue(f"{shown(name)} is no name of a header; letters, digits and hyphens are")
        if isinstance(text, bool) or not isinstance(text, str | int | float) or re.search(r"[\r\n\0]", str(text)):
            raise BadValue(f"the header {name} has no text that fits on a line; correct it")
        found[name] = str(text)
    return found


# ---------------------------------------------------------------- hooks of the service

OCCASIONS = ("failed", "gave_up", "backoff", "ready", "recovered")


def occasions(value: Any) -> tuple[str, ...]:
    """Reads one or a list of the events that a hook is for."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise BadValue(f"{shown(value)} is no event; write a list of {', '.join(OCCASIONS)}")
    for word in found:
        if word not in OCCASIONS:
            raise BadValue(f"{shown(word)} is no event; known are {', '.join(OCCASIONS)}")
    return tuple(dict.fromkeys(found))


def endpoint(value: Any) -> str:
    """Reads an address to which something is posted; a query may be in it."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or any(c.isspace() or not c.isprintable() for c in value):
        raise BadValue("this is no address; write https://HOST/PATH")  # which may be a secret
    return str(value)
