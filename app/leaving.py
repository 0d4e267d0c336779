"""With what a service ends: the exit status of an ordered end, and the end of one that something went wrong with.

In which order it leaves is decided in `server.py`, whether there is to be another one by its keeper.
"""

import contextlib
import os
import sys
import traceback
from typing import NoReturn

from supervisor_core.errors import SupervisorError
from supervisor_core.messages import Changed
from supervisor_core.model import State, Status, verdict
from supervisor_core.supervisor import Supervisor

from .listeners import CannotListen
from .preflight import CannotBegin
from .settings import InstanceTaken

CLEAN, FAILED = 0, 1

REFUSALS = CannotBegin, CannotListen, InstanceTaken, SupervisorError, OSError
"""What has its reason and its remedy in its own sentence."""


def statuses(supervisor: Supervisor) -> list[Status]:
    """Those of all workers."""
    entries = supervisor.journal.snapshot().workers.values()
    return [entry.event.status for entry in entries if isinstance(entry.event, Changed)]


def exit_status(supervisor: Supervisor, *, exit_when_done: bool) -> int:
    """An essential worker's own exit status; else 1 for one that is stuck, or that failed when all had to end."""
    found = statuses(supervisor)
    if (status := verdict(found)) is not None:
        return status
    bad = any(status.state is State.FAILED or status.blocked_for_good for status in found)
    return FAILED if (bad and exit_when_done) or any(status.stuck for status in found) else CLEAN


def die(error: BaseException) -> NoReturn:
    """Ends this process as a crash would: its keeper starts another one, which finds all workers."""
    with contextlib.suppress(OSError):
        if not isinstance(error, REFUSALS):
            traceback.print_exception(error)
        why = str(error) or type(error).__name__
        print(f"quarterdeck: this service ends, the workers go on, and another one is started: {why}", file=sys.stderr)
        sys.stdout.flush()
    os._exit(FAILED)
