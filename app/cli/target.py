"""Which service a command means, and which workers its addresses mean.

Reads settings and lists of workers; gives no orders. Known wart: a name that many workers share as NAME-0, NAME-1 …
stands for all of them only where no worker has the name itself.
"""

import argparse
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..running import running
from ..settings import Instance, find_config, nearest_config, standing_config

if TYPE_CHECKING:
    from ..client import Client, Target


class Ambiguous(Exception):
    """More than one service could be meant; the message lists them."""


class NoService(Exception):
    """No service is running that could be meant."""


class UnknownAddress(Exception):
    """An address that means no worker."""


def find_instance(options: argparse.Namespace) -> Instance:
    """The instance that is meant: by option or variable, the nearest config, else the user's only running one."""
    state = options.state or os.environ.get("QUARTERDECK_STATE")
    if options.config or os.environ.get("QUARTERDECK_CONFIG"):
        return _of_config(find_config(options.config), state)
    if state:
        folder = Path(state).expanduser().absolute()
        return Instance(folder / "quarterdeck.toml", folder)
    if nearest := nearest_config():
        return _of_config(nearest, None)
    live = running()
    standing = standing_config()
    if standing and (not live or any(_same(one.instance.config, standing) for one in live)):
        return _of_config(standing, None)
    if len(live) > 1:
        rows = "".join(f"\n  -c {one.instance.config}  (pid {one.pid}, since {one.since})" for one in live)
        raise Ambiguous(f"{len(live)} services are running; say which:{rows}")
    if not live:
        raise NoService(
            "no service of yours is running, and no quarterdeck.toml is here or above; see: quarterdeck up -h"
        )
    return live[0].instance


def _of_config(config: Path, state: str | None) -> Instance:
    """A running instance is known by its note, even when its config file can no longer be read."""
    if not state:
        for one in running():
            if _same(one.instance.config, config):
                return one.instance
    return Instance.of_config(config, state)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def find_target(options: argparse.Namespace) -> "Target":
    """Where to send requests: `--url` or QUARTERDECK_URL with a token, else the instance's socket."""
    from ..client import Target

    url = options.url or (None if options.config or options.state else os.environ.get("QUARTERDECK_URL"))
    if url:
        remedy = "check the address and that the service is up"
        return Target(None, str(url).rstrip("/"), token_from(os.environ), remedy)
    instance = find_instance(options)
    return Target(instance.socket, remedy=f"start it with: quarterdeck up -c {instance.config}")


def token_from(environ: Mapping[str, str]) -> str:
    """The token for a URL: QUARTERDECK_TOKEN, else what QUARTERDECK_TOKEN_FILE holds."""
    if told := environ.get("QUARTERDECK_TOKEN", "").strip():
        return told
    if place := environ.get("QUARTERDECK_TOKEN_FILE"):
        return Path(place).expanduser().read_text().strip()
    return ""


def is_pattern(address: str) -> bool:
    return address == "all" or address.startswith(("group:", "label:")) or any(c in address for c in "*?[")


def resolve(client: "Client", addresses: Sequence[str], *, runs: bool = True) -> list[dict[str, Any]]:
    """The statuses of the workers that the addresses mean, each once, in their order; raises `UnknownAddress`.

    Without `runs`, a pattern means no runs of a worker (`NAME[N]`) unless it has a bracket itself.
    """
    rows = {row["name"]: row for row in client.workers()["workers"]}
    found: dict[str, dict[str, Any]] = {}
    for address in addresses:
        names = _names(client, address, list(rows))
        if not runs and is_pattern(address) and "[" not in address:
            names = [name for name in names if "[" not in name]
        if not names:
            close = difflib.get_close_matches(address, rows, 1)
            remedy = f"did you mean {close[0]!r}?" if close else "quarterdeck status lists them"
            raise UnknownAddress(f"{address!r} means no worker; {remedy}")
        found |= {name: rows[name] for name in names if name in rows}
    return list(found.values()) if addresses else list(rows.values())


def _names(client: "Client", address: str, names: list[str]) -> list[str]:
    if address in names:
        return [address]
    if address == "all":
        return names
    for kind in ("group", "label"):
        if address.startswith(f"{kind}:"):
            return [row["name"] for row in client.workers(**{kind: [address.removeprefix(f"{kind}:")]})["workers"]]
    if is_pattern(address):
        return [name for name in names if fnmatchcase(name, address)]
    replica = re.compile(re.escape(address) + r"-\d+")
    return [name for name in names if replica.fullmatch(name)]
