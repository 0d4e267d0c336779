"""What is there before a run's program may begin: the intent on record, its pipes, its group, its child at the gate.

All of it, or nothing: where one of these cannot be had, the others are given back.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..children import TAG, LaunchRequest, openings, refusals
from ..children.cgroup import Group
from ..children.ends import handle
from ..children.pump import Channel
from ..failing import point
from .hatch import Hatchling, hatch

if TYPE_CHECKING:
    from .runs import Runs


@dataclass(frozen=True, slots=True)
class Begun:
    """A child that waits to be let go. `said` are sentences for its log: limits that are not in force."""

    hatchling: Hatchling
    pidfd: int
    tag: str
    group: Group | None
    sources: dict[str, Channel]
    said: Sequence[str]


def begin(runs: "Runs", request: LaunchRequest) -> Begun:
    """Raises OSError; then nothing is left of it but the intent. Takes the request's `stdin` over."""
    words = request.environment.get(TAG, "").split()
    tag = words[-1] if words else ""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as undo:
        if request.stdin is not None:
            ours.callback(os.close, request.stdin)
        group, parts = runs.groups.prepare(request, root=refusals.runs_as_root(request))
        if group is not None:
            undo.callback(runs.groups.give_back, group)
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
        sources, paths, terminal = _open_streams(runs, request, ours, undo)
        hatchling = hatch(request, paths, terminal, parts, () if group is None else (group.entrance,))
        undo.callback(hatchling.leave)
        undo.callback(os.close, hatchling.report)
        point("child forked")
        pidfd = handle(hatchling.pid)
        undo.pop_all()
    return Begun(hatchling, pidfd, tag, group, sources, parts.said)


def _open_streams(
    runs: "Runs", request: LaunchRequest, ours: contextlib.ExitStack, undo: contextlib.ExitStack
) -> tuple[dict[str, Channel], list[str], int | None]:
    """Opens where its output goes, before it can write any."""
    key = request.worker, request.run
    sources: dict[str, Channel] = {}
    paths: list[str] = []
    terminal = None
    for stream in openings.streams(request):
        if request.tty:
            reading, terminal = openings.open_output(request)
            ours.callback(os.close, terminal)
        else:
            reading = runs.pipes.make(*key, stream)
            paths.append(runs.pipes.path(*key, stream))
        try:
            sources[stream] = runs.pump.open(request.worker, stream, request.run, reading)
        except OSError:
            os.close(reading)
            raise
        undo.callback(sources[stream].close)
    return sources, paths, terminal
