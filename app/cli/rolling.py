"""Verbs for several replicas: `scale`, and `restart --rolling`.

Known wart: a rolling restart goes on in the service when the command is interrupted; its id is printed.
"""

import argparse
import sys
from typing import Any

from ..client import Client, Declined, Unreachable
from . import DONE, FAILED, UNREACHABLE, UNSETTLED, complain
from .show import as_json, clean
from .target import find_target, resolve

ROUND = 1.0
"""Seconds of one request that waits: progress is printed after each."""


def scale(options: argparse.Namespace) -> int:
    """0 when the new replicas are ready, 1 when one failed, 5 when not in time."""
    try:
        with Client(find_target(options)) as client:
            told = client.scale(options.name, options.replicas, wait=options.timeout if options.wait else 0.0)
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(clean(error), FAILED)
    if options.output == "json":
        as_json(told)
    else:
        for sign, names in (("+", told["added"]), ("-", told["removed"])):
            print("".join(f"{sign} {clean(name)}\n" for name in names), end="")
        for each in told["operations"]:
            print(f"{clean(each['worker'])}: {clean(each['outcome'] or 'not settled yet')}")
        print(f"{clean(options.name)}: {len(told['workers'])} of it")
    if any(each["state"] in ("failed", "superseded") for each in told["operations"]):
        return FAILED
    return UNSETTLED if any(each["state"] == "pending" for each in told["operations"]) else DONE


def roll(options: argparse.Namespace) -> int:
    """Restarts after each other; 0 when all are ready, 1 at the first failure."""
    try:
        with Client(find_target(options)) as client:
            names = [row["name"] for row in resolve(client, options.names, runs=False)]
            rolling = {"batch": options.batch, "pause": options.pause, "timeout": options.timeout}
            told = client.roll(names, **rolling)["rolling"]
            try:
                if options.wait:
                    told = _attend(client, told, quiet=options.output == "json")
            except KeyboardInterrupt:
                print(f"\nthe rolling restart goes on as {told['id']}", file=sys.stderr)
                raise
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(clean(error), FAILED)
    if options.output == "json":
        as_json({"rolling": told})
    elif told["state"] == "failed":
        left = ", ".join(map(clean, told["left"]))
        print(f"stopped at the first failure: {clean(told['failed'])}; not restarted: {left}", file=sys.stderr)
    elif not options.wait:
        print(f"rolling restart asked; {clean(told['id'])}")
    return FAILED if told["state"] == "failed" else DONE


def _attend(client: Client, told: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    shown: set[str] = set()
    while True:
        if not quiet:
            for name in told["skipped"]:
                if name not in shown:
                    print(f"{clean(name)}: passed over, it does not run")
            for name in told["done"]:
                if name not in shown:
                    print(f"{clean(name)}: restarted")
            sys.stdout.flush()
        shown |= {*told["done"], *told["skipped"]}
        if told["state"] != "pending":
            return told
        told = client.rolling(told["id"], ROUND)["rolling"]
