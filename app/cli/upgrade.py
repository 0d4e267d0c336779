"""The verb `upgrade`: keeper and service become what is installed now; waits until the successor answers.

Known wart: an answer that gets lost in the change of services is asked for again until the time is over.
"""

import argparse
import threading
from typing import Any

from supervisor_core.clock import Clock

from ..client import Client, Declined, Target, Unreachable
from . import DONE, FAILED, UNREACHABLE, UNSETTLED, complain, show
from .target import find_target

PAUSE = 0.05
"""Seconds between two looks for the successor."""


def upgrade(options: argparse.Namespace) -> int:
    """Prints pids and gaps; 0 when the successor answers, 1 when it is refused, 5 when nobody came in time."""
    target = find_target(options)
    try:
        with Client(target) as client:
            begun = client.upgrade()["upgrade"]
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(show.clean(error), FAILED)
    told = _await(target, begun, options.timeout)
    if told is None:
        sentence = f"the keeper (pid {begun['keeper']['pid']}) is upgraded, and no successor of the service answers yet"
        return complain(f"{sentence}; see the service's log", UNSETTLED)
    if options.output == "json":
        show.as_json({"upgrade": told})
    else:
        keeper, service = told["keeper"], told["service"]
        print(f"keeper   pid {keeper['pid']}, the same as before; away for {_shown(keeper['gap_ms'])}")
        print(f"service  pid {service['before']} -> {service['after']}; away for {_shown(service['gap_ms'])}")
    return DONE


def _await(target: Target, begun: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """What the successor says; None when it says nothing in time."""
    clock, pause = Clock(), threading.Event()
    end = clock.now() + seconds
    while clock.now() < end:
        try:
            with Client(target) as client:
                told: dict[str, Any] = client.last_upgrade()["upgrade"]
        except (Unreachable, Declined):
            told = begun
        if told["state"] == "done" and told["asked"] == begun["asked"]:
            return told
        pause.wait(PAUSE)
    return None


def _shown(milliseconds: float | None) -> str:
    return "an unknown time" if milliseconds is None else f"{milliseconds:g} ms"
