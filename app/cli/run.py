"""The verb `run`: a worker's command once more, with arguments; its output comes here, and its exit status is ours.

The run is a worker of its own in the service, so it goes on when this terminal is lost; Ctrl-C stops it. Known wart:
output is asked for twice a second, since one stream of both outputs would not say when it has ended.
"""

import argparse
import sys
from typing import Any

from ..client import Client, Declined, Unreachable
from . import DONE, FAILED, INTERRUPTED, UNREACHABLE, USAGE, complain
from .show import as_json, clean
from .target import find_target

PATIENCE = 0.5
"""Seconds between two looks at the output."""

MOST = 5000


def run(options: argparse.Namespace) -> int:
    """Gives the program's exit status, 128 + N for a signal; 1 when it could not be run."""
    environment = dict(each.partition("=")[::2] for each in options.env)
    if bad := [each for each in options.env if "=" not in each]:
        return complain(f"-e {bad[0]}: write NAME=VALUE", USAGE)
    try:
        with Client(find_target(options)) as client:
            begun = client.run(options.name, options.arguments, environment)
            if not options.detach:
                return _attend(client, begun["operation"], begun["worker"]["log"]["key"])
            if options.output == "json":
                as_json(begun)
            else:
                print(clean(begun["operation"]["worker"]))
            return DONE
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(clean(error), FAILED)


def _attend(client: Client, operation: dict[str, Any], key: str) -> int:
    name = operation["worker"]
    try:
        while operation["state"] == "pending":
            operation = client.operation(operation["id"], PATIENCE)["operation"]
            key = _print(client, name, key)
    except KeyboardInterrupt:
        print(f"\n{clean(name)}: is stopped; see it with: quarterdeck logs '{clean(name)}'", file=sys.stderr)
        client.act("stop", name, wait=0)
        return INTERRUPTED
    last = client.worker(name)["last_exit"]
    if last is None or last["run"] != operation["run"]:
        return complain(f"{clean(name)}: {clean(operation['outcome'])}", FAILED)
    if last["signal"] is not None:
        return 128 + int(last["signal"])
    if last["code"] is None:
        return complain(f"{clean(name)}: {clean(last['reason'])}", FAILED)
    return int(last["code"])


def _print(client: Client, name: str, key: str) -> str:
    """Prints what was written since `key`, each stream to its own; gives the key to go on from."""
    while True:
        page = client.lines([name], after=key, limit=MOST)
        for line in page["lines"]:
            if line["key"] is not None and line["stream"] != "log":
                print(line["text"], file=sys.stderr if line["stream"] == "err" else sys.stdout)
        sys.stdout.flush()
        key = page["next"] or key
        if len(page["lines"]) < MOST:
            return key
