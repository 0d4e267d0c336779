"""How a run begins: its group, its pipes, the intent on record, and its process.

All of it, or nothing: where one of these cannot be had, the others are given back. A keeper that is killed between the
start of a process and the record of it leaves one that only the intent knows; its successor finds it by its tag, or
tells it as one that may have run: so the intent is the last that is done before the start, and no run begins twice.

A stream is a named pipe that the worker has open for reading and writing: so it is never without a reader, and a worker
whose keeper is gone waits when the pipe is full, and is not ended by SIGPIPE.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..children import TAG, LaunchRequest, birth, openings, refusals
from ..children.cgroup import Group
from ..children.ends import handle
from ..children.pump import Channel
from ..failing import point

if TYPE_CHECKING:
    from .runs import Runs


@dataclass(frozen=True, slots=True)
class Begun:
    """A process, and where it reports what it could not become (None: it runs its program already).

    `said` are sentences for its log: limits that are not in force.
    """

    pid: int
    pidfd: int
    report: int | None
    tag: str
    group: Group | None
    sources: dict[str, Channel]
    said: Sequence[str]


def begin(runs: "Runs", request: LaunchRequest) -> Begun:
    """Raises OSError, CannotStart and whatever Popen does; then nothing is left, or nothing but the intent.

    Takes the request's `stdin` over.
    """
    words = request.environment.get(TAG, "").split()
    tag = words[-1] if words else ""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as undo:
        if request.stdin is not None:
            ours.callback(os.close, request.stdin)
        refusals.leave_room(request)
        group, parts = runs.groups.prepare(request, root=refusals.runs_as_root(request))
        if group is not None:
            undo.callback(runs.groups.give_back, group)
        point("group made")
        sources, ends = _open_streams(runs, request, ours, undo)
        point("pipes made")
        with runs.carrying_on():
            runs.book.intend(
                request.worker,
                request.run,
                streams=openings.streams(request),
                tag=tag,
                group="" if group is None else str(group.path),
                stop=request.stop,
            )
        point("run intended")
        pid, report = birth.start(request, ends, parts, () if group is None else (group.entrance,))
        if report is not None:
            undo.callback(os.close, report)
        point("process started")
        pidfd = handle(pid)
        undo.pop_all()
    return Begun(pid, pidfd, report, tag, group, sources, parts.said)


def _open_streams(
    runs: "Runs", request: LaunchRequest, ours: contextlib.ExitStack, undo: contextlib.ExitStack
) -> tuple[dict[str, Channel], list[int]]:
    """Opens where its output goes; gives the worker's ends too."""
    key = request.worker, request.run
    sources: dict[str, Channel] = {}
    ends: list[int] = []
    for stream in openings.streams(request):
        reading, writing = openings.open_output(request) if request.tty else runs.pipes.make(*key, stream)
        ends.append(writing)
        ours.callback(os.close, writing)
        try:
            sources[stream] = runs.pump.open(request.worker, stream, request.run, reading)
        except OSError:
            os.close(reading)
            raise
        undo.callback(sources[stream].close)
    return sources, ends
