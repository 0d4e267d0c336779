"""The verbs `plan` and `apply`: what a reload of the config would change, and the reload.

Both ask the service, which reads its own files. Known wart: what begins for an apply is waited for in one request.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from ..client import Client, Declined, Unreachable
from . import DONE, DOWN, FAILED, UNREACHABLE, UNSETTLED, complain
from .show import as_json, clean
from .target import find_target

Plan = Mapping[str, Any]


def plan(options: argparse.Namespace) -> int:
    """Prints what would change; with --exit-code 3 when something would."""
    try:
        with Client(find_target(options)) as client:
            told = client.plan()["plan"]
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return _refused(error, options)
    if options.output == "json":
        as_json({"plan": told})
    else:
        print("\n".join(in_words(told)))
    return DOWN if options.exit_code and not told["empty"] else DONE


def apply(options: argparse.Namespace) -> int:
    """Makes the files rule; 0 when what begins for it is ready, 1 when one of them failed, 5 when not in time."""
    try:
        with Client(find_target(options)) as client:
            answer = client.apply(wait=options.timeout if options.wait else 0.0)
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return _refused(error, options)
    operations = answer["operations"]
    if options.output == "json":
        as_json(answer)
    else:
        print("\n".join(in_words(answer["plan"], done=True)))
        for each in operations:
            print(f"{clean(each['worker'])}: {clean(each['outcome'] or 'not settled yet')}")
    if any(each["state"] in ("failed", "superseded") for each in operations):
        return FAILED
    return UNSETTLED if any(each["state"] == "pending" for each in operations) else DONE


def _refused(error: Declined, options: argparse.Namespace) -> int:
    problems = error.problem.get("problems")
    if options.output == "json":
        as_json(error.problem)
    elif error.code == "bad_config" and problems:
        for problem in problems:
            place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
            complain(clean(f"{place}: {problem['text']}"), FAILED)
        complain("nothing was changed", FAILED)
    else:
        complain(clean(error), FAILED)
    return FAILED


def in_words(plan: Plan, *, done: bool = False) -> list[str]:
    """One line a worker that something happens to, and one for all others."""
    lines = []
    for row in plan["added"]:
        lines.append(f"+ {clean(row['worker'])}: added" + ("" if row["starts"] else ", not started"))
    for row in plan["changed"]:
        lines.append(f"~ {clean(row['worker'])}: {_change(row)}")
    lines += [f"- {clean(name)}: stopped and removed" for name in plan["removed"]]
    lines += [
        f"! {clean(name)}: left alone, since it was made over HTTP; delete it there or rename it in the file"
        for name in plan["clashes"]
    ]
    lines += [f"~ {clean(key)}: at once" for key in plan["settings"]]
    lines += [f"! {clean(key)}: changed, and waits until the service is started again" for key in plan["waiting"]]
    if plan["same"]:
        count = len(plan["same"])
        lines.append(f"  {count} worker{'' if count == 1 else 's'} left alone")
    if plan["empty"]:
        lines.insert(0, "nothing has changed" if done else "nothing would change")
    return lines


def _change(row: Plan) -> str:
    keys = clean(", ".join(row["keys"]))
    if row["restarts"]:
        return f"{keys}; restarts"
    if row["starts"]:
        return f"{keys}; starts again"
    if row["waits"]:
        return f"{keys}; with its next run: {clean(', '.join(row['waits']))}"
    return keys
