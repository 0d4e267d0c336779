"""Values that name a place on the network: listening addresses, public URLs, proxies, host names.

Read and checked by form only; nothing is bound or looked up. Known wart: a host name with a wrong letter is noticed
by the one who uses it.
"""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from .values import BadValue, shown, string, strings


def address(value: Any) -> str:
    """Reads HOST:PORT or unix:PATH and gives it back; the service binds it."""
    text = string(value)
    host, colon, port = text.rpartition(":")
    if text.startswith("unix:") and len(text) > len("unix:"):
        return text
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or "/" in host:
        raise BadValue(f'{shown(value)} is no address; write HOST:PORT ("127.0.0.1:7440") or "unix:PATH"')
    return text


def addresses(value: Any) -> tuple[str, ...]:
    found = tuple(address(item) for item in ([value] if isinstance(value, str) else strings(value)))
    if not found:
        raise BadValue('the list is empty; write an address such as "127.0.0.1:7440"')
    return found


def url(value: Any) -> str:
    """Reads an http or https address with a host, and perhaps a path; gives it without a slash at the end."""
    try:
        parts = urlsplit(string(value))
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username:
        raise BadValue(f"{shown(value)} is no public address; write https://HOST or https://HOST/PATH")
    return str(value).rstrip("/")


def proxies(value: Any) -> tuple[str, ...]:
    """Reads addresses or networks, such as "127.0.0.1" or "10.0.0.0/8"."""
    found = strings(value)
    for item in found:
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise BadValue(f'{shown(item)} is no address; write one such as "127.0.0.1" or "10.0.0.0/8"') from None
    return found


def hosts(value: Any) -> tuple[str, ...]:
    found = strings(value)
    for item in found:
        if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_.-]+|\[?[0-9A-Fa-f:.]+\]?", item):
            raise BadValue(f'{shown(item)} is no host name; write it without scheme, port and path: "jobs.example.org"')
    return found
