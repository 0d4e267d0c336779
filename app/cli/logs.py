"""The verb `logs` (and `tail`): the last lines of workers, and what comes.

A follower resumes by key, so a restart of the service loses and doubles nothing. Known wart: what a worker has not
ended with a newline is shown only when it has.
"""

import argparse
import sys
from typing import Any

from supervisor_core.children.folders import folder_of

from ..client import Client, Declined, Unreachable
from . import DONE, FAILED, UNREACHABLE, USAGE, complain
from .show import Lines, clean
from .target import find_instance, find_target, is_pattern, resolve

MOST = 5000
DEFAULT, DEFAULT_FOLLOWING = 500, 10


def logs(options: argparse.Namespace) -> int:
    """Prints lines; with -f until interrupted or until the service is gone.

    With --path, where they are on disk; with --download, the bytes of one stream.
    """
    if options.path:
        return _paths(options)
    if options.download:
        return _download(options)
    count = options.lines if options.lines is not None else DEFAULT_FOLLOWING if options.follow else DEFAULT
    if not 0 <= count <= MOST:
        return complain(f"-n {count}: it must be between 0 and {MOST}", USAGE)
    query: dict[str, Any] = {}
    stream = "err" if options.stderr else options.stream
    if stream:
        query["stream"] = stream
    if options.grep:
        query["q"] = options.grep
    try:
        with Client(find_target(options)) as client:
            workers, many = _workers(client, options.names)
            lines = Lines(named=many, raw=options.raw, as_json=options.output == "json")
            if options.follow:
                return _follow(client, workers, lines, count, query)
            lines.print(_last(client, workers, count, query))
            return DONE
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(clean(error), FAILED)


def _paths(options: argparse.Namespace) -> int:
    """Prints the folders of the named workers' logs, also while no service runs."""
    if not options.names or options.url:
        return complain("--path needs the name of a worker on this machine", USAGE)
    root = find_instance(options).logs
    folders = [folder_of(root, name) for name in options.names]
    for name, folder in zip(options.names, folders, strict=True):
        if folder is None:
            return complain(f"{name!r} has no logs in {root}; quarterdeck status lists the workers", FAILED)
    print("\n".join(map(str, folders)))
    return DONE


def _download(options: argparse.Namespace) -> int:
    """Writes the bytes of one stream of one worker; to a terminal only when that is asked for."""
    if sys.stdout.isatty() and not options.raw:
        return complain("--download gives bytes as they are; send them to a file, or add --raw", USAGE)
    if options.follow or options.grep or options.lines is not None:
        return complain("--download gives all that is kept; leave out -f, -n and --grep", USAGE)
    try:
        with Client(find_target(options)) as client:
            found = [row["name"] for row in resolve(client, options.names)] if options.names else []
            if len(found) != 1:
                return complain(f"--download takes one worker, not {len(found)}", USAGE)
            for data in client.download(found[0], "err" if options.stderr else options.stream or "out"):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return DONE
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(clean(error), FAILED)


def _workers(client: Client, addresses: list[str]) -> tuple[list[str], bool]:
    """What to ask for (patterns as they are, since workers may come later), and whether lines need a name."""
    if not addresses:
        return ["all"], True
    workers: list[str] = []
    for address in addresses:
        found = [row["name"] for row in resolve(client, [address])]
        workers += [address] if is_pattern(address) else found
    return workers, len(workers) > 1 or any(map(is_pattern, workers))


def _last(client: Client, workers: list[str], count: int, query: dict[str, Any]) -> list[Any]:
    """The last lines. One answer looks through a bounded part of the log, so a filter asks on until it has enough."""
    page = client.lines(workers, tail=count, **query)
    found: list[Any] = page["lines"]
    while query.get("q") and page.get("more") and len(found) < count:
        page = client.lines(workers, before=page["first"], limit=count - len(found), **query)
        found = page["lines"] + found
    return found


def _follow(client: Client, workers: list[str], lines: Lines, count: int, query: dict[str, Any]) -> int:
    for frame in client.follow(workers, tail=count, on_break=lambda sentence: complain(sentence, 0), **query):
        if frame.name == "log":
            lines.print(frame.data)
        elif frame.name == "gap":
            missing = frame.data.get("bytes", "some")
            print(f"--- {missing} bytes are missing ({clean(frame.data.get('why', 'lost'))})", file=sys.stderr)
    return DONE
