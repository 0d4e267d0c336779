"""Verbs that change something: start, stop, restart, kill, enable, disable, signal, shutdown.

All orders are given before any is waited for, in the order of the names; an operation's id is known before the wait,
so that Ctrl-C can tell it. Known wart: the wait for a service's own end is by looking at its lock ten times a second.
"""

import argparse
import sys
import threading
from dataclasses import dataclass
from typing import Any

from supervisor_core.clock import Clock

from ..client import Client, Declined, Unreachable
from ..settings import Instance
from . import DONE, FAILED, UNREACHABLE, UNSETTLED, complain
from .show import as_json, clean
from .target import find_instance, find_target, resolve

ROUND = 30.0
"""Seconds of one request that waits."""


@dataclass(slots=True)
class Answer:
    """What became of one order. `told` is the operation; `problem` the service's no, or its yes with a but."""

    name: str
    told: dict[str, Any]
    problem: dict[str, Any] | None = None

    @property
    def state(self) -> str:
        return str(self.told.get("state", "failed"))

    @property
    def unkept(self) -> str:
        """Why it was carried out and may be forgotten all the same; "" when it is on the disk."""
        problem = self.problem or {}
        return str(problem.get("detail", "")) if problem.get("code") == "not_durable" else ""


def act(options: argparse.Namespace) -> int:
    """All orders to workers but signals: 0 when all is done, 1 when one failed, 5 when one is not settled in time."""
    if getattr(options, "rolling", False):
        from .rolling import roll

        return roll(options)
    target = find_target(options)
    try:
        with Client(target) as client:
            return _act(client, options)
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(error, FAILED)


def _act(client: Client, options: argparse.Namespace) -> int:
    action, body = options.action, {"cascade": True} if getattr(options, "cascade", False) else {}
    answers: list[Answer] = []
    try:
        for row in resolve(client, options.names, runs=False):
            answers.append(_ask(client, action, row["name"], body))
        if options.wait:
            _wait(client, answers, options.timeout)
    except KeyboardInterrupt:
        for answer in answers:
            if answer.state == "pending":
                print(f"\n{answer.name}: {action} goes on as operation {answer.told['id']}", file=sys.stderr)
        raise
    if options.output == "json":
        as_json([answer.problem or {"operation": answer.told} for answer in answers])
    else:
        for answer in answers:
            _report(client, answer, action, options.wait)
    if any(answer.state in ("failed", "superseded") or answer.unkept for answer in answers):
        return FAILED
    return UNSETTLED if options.wait and any(answer.state == "pending" for answer in answers) else DONE


def _ask(client: Client, action: str, name: str, body: dict[str, Any]) -> Answer:
    try:
        return Answer(name, client.act(action, name, wait=0, **body)["operation"])
    except Declined as refusal:
        return Answer(name, refusal.problem.get("operation") or {}, refusal.problem)


def _wait(client: Client, answers: list[Answer], timeout: float) -> None:
    clock = Clock()
    end = clock.now() + timeout
    for answer in answers:
        while answer.state == "pending" and (left := end - clock.now()) > 0:
            told = client.operation(answer.told["id"], min(left, ROUND))
            answer.told = told["operation"]


def _report(client: Client, answer: Answer, action: str, waited: bool) -> None:
    outcome = clean(answer.told.get("outcome") or "")
    if answer.unkept:
        print(clean(answer.unkept), file=sys.stderr)
    match answer.state:
        case "done":
            print(f"{clean(answer.name)}: {outcome or 'done'}")
        case "pending":
            words = "not settled yet" if waited else "asked"
            print(f"{clean(answer.name)}: {action} {words}; operation {answer.told['id']}")
        case state:
            told = outcome or clean((answer.problem or {}).get("detail", state))
            print(f"{clean(answer.name)}: {action} {state}: {told}", file=sys.stderr)
            _last_lines(client, answer)


def _last_lines(client: Client, answer: Answer) -> None:
    """What the failed run wrote last, which mostly says why."""
    run = answer.told.get("run")
    if answer.state != "failed" or not run:
        return
    try:
        lines = client.lines([answer.name], tail=10)["lines"]
    except (Unreachable, Declined):
        return
    for line in lines:
        if line["run"] == run and line["stream"] != "log":
            print(f"  {clean(line['text'])}", file=sys.stderr)


def signal(options: argparse.Namespace) -> int:
    """Sends a signal to the main process, or with --tree to all."""
    target = find_target(options)
    status, answers = DONE, []
    try:
        with Client(target) as client:
            for row in resolve(client, options.names, runs=False):
                try:
                    answers.append(client.signal(row["name"], options.signal, tree=options.tree))
                    if options.output != "json":
                        print(f"{clean(row['name'])}: {options.signal} sent")
                except Declined as refusal:
                    answers.append(refusal.problem)
                    status = complain(f"{clean(row['name'])}: {clean(refusal)}", FAILED)
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(error, FAILED)
    if options.output == "json":
        as_json(answers)
    return status


def shutdown(options: argparse.Namespace) -> int:
    """Ends the service in order; returns when its process is gone."""
    target = find_target(options)
    instance = find_instance(options) if target.socket else None
    try:
        with Client(target) as client:
            told = client.shut_down()
            gone = not options.wait or _wait_gone(client, instance, options.timeout)
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(clean(error), FAILED)
    if options.output == "json":
        as_json({**told, "gone": gone and options.wait})
    elif options.wait and gone:
        print("the service has ended")
    elif options.wait:
        print("the service is still leaving", file=sys.stderr)
    return DONE if gone else UNSETTLED


def _wait_gone(client: Client, instance: Instance | None, timeout: float) -> bool:
    clock, pause = Clock(), threading.Event()
    end = clock.now() + timeout
    while clock.now() < end:
        if instance is not None and not instance.held():
            return True
        if instance is None and not client.healthy():
            return True
        pause.wait(0.1)
    return False
