"""Verbs that only read: status, why, check, token, login, socket.

`check` needs no service and no network. Known wart: whether a file is a fragment is guessed: it is, when the config
above it includes it, or when it has another name than quarterdeck.toml and no `[service]`.
"""

import argparse
import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from supervisor_core.config import Config, ConfigError, load

from ..settings import FILE, NoConfig, find_config, nearest_config
from . import DONE, DOWN, FAILED, UNREACHABLE, complain, show
from .target import find_instance, find_target, resolve

if TYPE_CHECKING:
    from ..client import Client


DETAILED = 20
"""Workers that are asked one by one for what their probes found."""


def status(options: argparse.Namespace) -> int:
    """Prints the workers; 3 when one of them is down."""
    from ..client import Client, Declined, Unreachable

    try:
        with Client(find_target(options)) as client:
            answer = client.workers()
            rows = resolve(client, options.names) if options.names else answer["workers"]
            asked = [bool(options.names) or show.unsure(row) for row in rows]
            rows = [_detailed(client, row) if asked[n] and n < DETAILED else row for n, row in enumerate(rows)]
            used = client.metrics([row["name"] for row in rows])["workers"] if options.wide and rows else []
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(show.clean(error), FAILED)
    if options.output == "json":
        show.as_json({**answer, "workers": rows} | ({"metrics": used} if options.wide else {}))
    else:
        show.table(rows, {row["worker"]: row for row in used} if options.wide else None)
    return DOWN if any(show.down(row) for row in rows) else DONE


def why(options: argparse.Namespace) -> int:
    """Prints one sentence for each worker that is not up, all of them without names; 3 when one of them is down."""
    from ..client import Client, Declined, Unreachable

    try:
        with Client(find_target(options)) as client:
            rows = resolve(client, options.names) if options.names else client.workers()["workers"]
            rows = [client.worker(row["name"]) if row["why"] else row for row in rows]
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(show.clean(error), FAILED)
    if options.output == "json":
        show.as_json([{key: row[key] for key in ("name", "state", "why", "blocked_on")} for row in rows])
        return DOWN if any(show.down(row) for row in rows) else DONE
    for row in rows:
        if row["why"] or options.names:
            print(show.clean(row["why"] or f"{row['name']} is up"))
    if not options.names and not any(row["why"] for row in rows):
        print("all workers are up")
    return DOWN if any(show.down(row) for row in rows) else DONE


def _detailed(client: "Client", row: dict[str, Any]) -> dict[str, Any]:
    """The row with what its probes found; as it is when the worker has gone meanwhile."""
    from ..client import Declined

    try:
        told = client.worker(row["name"])
    except Declined:
        return row
    return row | {key: told[key] for key in ("probes", "said") if key in told}


def check(options: argparse.Namespace) -> int:
    """Prints every problem of a config file as `file:line: what, remedy`; 1 when there is one."""
    told = options.file or options.config
    path = Path(told).expanduser() if options.file else find_config(told)
    if path.is_dir():
        path = path / FILE
    if not path.exists():
        raise NoConfig(f"{path} is not there; check the path")
    try:
        fragment = bool(options.file) and path.name != FILE and not _has_service(path)
        config, part_of = _load(path, fragment=fragment)
    except ConfigError as error:
        if options.output == "json":
            rows = [{"file": p.file, "line": p.line, "text": p.text} for p in error.problems]
            show.as_json({"file": str(path), "problems": rows, "workers": []})
        else:
            print("\n".join(show.clean(problem) for problem in error.problems), file=sys.stderr)
        return FAILED
    if options.output == "json":
        workers = [spec.name for spec in config.workers]
        show.as_json({"file": str(path), "problems": [], "workers": workers, "notes": list(config.notes)})
        return DONE
    for note in config.notes:
        print(f"{show.clean(note)}", file=sys.stderr)
    count = len(config.workers)
    where = f", as part of {part_of}" if part_of else ""
    if fragment and not part_of:
        where = " (taken for a part of a config: names that other files may have were not checked)"
    print(f"{path}: {count} worker{'' if count == 1 else 's'}, no problems{where}")
    return DONE


def _load(path: Path, *, fragment: bool) -> tuple[Config, Path | None]:
    """The config that a file is, or that it is a part of (then with the main file); raises `ConfigError`."""
    above = nearest_config(path.absolute().parent)
    if above and above.resolve() != path.resolve():
        try:
            main = load(above)
            included = main.files
        except ConfigError as error:
            included = tuple({Path(problem.file) for problem in error.problems})
            if any(one.resolve() == path.resolve() for one in included):
                raise
        if any(one.resolve() == path.resolve() for one in included):
            return main, above
    return load(path, fragment=fragment), None


def _has_service(path: Path) -> bool:
    try:
        return "service" in tomllib.loads(path.read_text(errors="replace"))
    except (OSError, tomllib.TOMLDecodeError):
        return False


def token(options: argparse.Namespace) -> int:
    """Prints the owner's token."""
    place = find_instance(options).token_file
    if not place.exists():
        return complain(f"there is no token in {place.parent} yet; the first start of the service makes it", FAILED)
    print(place.read_text().strip())
    return DONE


def socket(options: argparse.Namespace) -> int:
    """Prints the path of the socket; 4 when nobody answers there."""
    from ..settings import answers

    instance = find_instance(options)
    print(instance.socket)
    if answers(instance.socket):
        return DONE
    return complain(f"nobody answers there; start it with: quarterdeck up -c {instance.config}", UNREACHABLE)


def login(options: argparse.Namespace) -> int:
    """Prints a one-time link; with --port for the near end of a tunnel."""
    from ..client import Client, Declined, Unreachable

    try:
        with Client(find_target(options)) as client:
            told = client.login_link()
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(show.clean(error), FAILED)
    url = told.get("url") or (f"{options.url or os.environ.get('QUARTERDECK_URL', '')}".rstrip("/") + told["path"])
    if options.port:
        parts = urlsplit(told["path"])
        url = f"http://localhost:{options.port}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    if options.output == "json":
        show.as_json({**told, "url": url})
    else:
        print(show.clean(url))
        print(f"good once, until {show.clean(told['expires'])}", file=sys.stderr)
    return DONE
