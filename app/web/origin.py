"""Where a request comes from and for whom it is meant: forwarding headers, Host, Origin. Pure functions.

A browser on a hostile page can make requests to us and lies about none of these headers, which is why they protect.
Known wart: a chain of proxies is believed only as far back as the nearest address that is not in `behind_proxy`.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

FORWARDING = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix")
"""Headers that say: somebody stands between. Every other x-forwarded-* counts, too."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+?)(?::(?P<port>[0-9]{1,5}))?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, slots=True)
class Way:
    """How a request came to us. `forwarded`: through somebody whom we do not believe; `prefix`: None when unsaid."""

    client: str
    host: str
    scheme: str
    forwarded: bool = False
    prefix: str | None = None


def address_of(text: str) -> Address | None:
    """An IP address, an IPv4 one in IPv6 clothes as IPv4; None for anything else."""
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks such as 10.0.0.0/8. Raises ValueError with one sentence."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise ValueError(f'behind_proxy: "{text}" is no address; write 127.0.0.1 or 10.0.0.0/8') from error
    return tuple(found)


def believed(client: str, proxies: Sequence[Network]) -> bool:
    address = address_of(client)
    return address is not None and any(address in network for network in proxies if network.version == address.version)


def way(client: str, host: str, scheme: str, headers: Mapping[str, str], proxies: Sequence[Network]) -> Way:
    """What is true of a request: the headers of a proxy that is believed, else what the socket says."""
    forwarding = [name for name in headers if name in FORWARDING or name.startswith("x-forwarded-")]
    if not forwarding:
        return Way(client, host, scheme)
    if not believed(client, proxies):
        return Way(client, host, scheme, forwarded=True)
    for hop in reversed(headers.get("x-forwarded-for", "").split(",")):
        if address_of(hop.strip()) is not None:
            client = hop.strip()
            if not believed(client, proxies):
                break
    said = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
    prefix = headers.get("x-forwarded-prefix", "").rpartition(",")[2].strip().rstrip("/")
    return Way(
        client,
        headers.get("x-forwarded-host", "").rpartition(",")[2].strip() or host,
        said if said in ("http", "https") else scheme,
        prefix=prefix if prefix and _PREFIX.fullmatch(prefix) else None,
    )


def host_name(host: str) -> str | None:
    """The name in a Host header: lower case, without port, final dot and brackets; None when it is no host at all."""
    match = _HOST.fullmatch(host)
    if match is None or len(host) > 255 or int(match["port"] or 0) > 65535:
        return None
    name = match["name"].lower()
    if name.startswith("["):
        address = address_of(name[1:-1])
        return None if address is None else str(address)
    return name.removesuffix(".") or None


def is_ours(name: str, own: str, allowed: Sequence[str], public_url: str) -> bool:
    """Whether a host name may stand in the Host header. `own` is the address of the accepted socket."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = address_of(own)
    if address is not None and name == str(address):
        return True
    if public_url and name == host_name(urlsplit(public_url).netloc.rpartition("@")[2]):
        return True
    return any(_allows(pattern.strip().lower(), name) for pattern in allowed)


def _allows(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return name == host_name(pattern)


def same_origin(headers: Mapping[str, str], scheme: str, host: str, public_url: str) -> bool | None:
    """Whether a request comes from one of our own pages; None when nothing in it says so or otherwise."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if (
        origin is not None
        and not _is_own(origin, scheme, host, public_url)
        and (site != "same-origin" or origin == "null")
    ):
        return False
    if site is not None:
        return site == "same-origin"
    return None if origin is None else True


def _is_own(origin: str, scheme: str, host: str, public_url: str) -> bool:
    ours = {_origin(f"{scheme}://{host}")}
    if public_url:
        ours.add(_origin(public_url))
    return _origin(origin) in ours - {None}


def _origin(url: str) -> tuple[str, str | None, int] | None:
    try:
        parts = urlsplit(url.lower())
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.scheme, parts.hostname.removesuffix("."), port


def loopback(client: str) -> bool:
    address = address_of(client)
    return address is not None and address.is_loopback
