"""What only the detail of one worker has, as JSON: what the user wants of it, and what its probes found last.

Everything else that becomes JSON is in `wire.py`. No secret passes here: of variables and headers the names only.
"""

from supervisor_core.model import OnGiveUp, Probe, WorkerSpec

from ..host import Probed
from .wire import Json, requirement, when


def probe(wanted: Probe | None) -> Json | None:
    """A probe as it is wanted; of its headers the names only."""
    if wanted is None:
        return None
    return {
        "kind": wanted.kind,
        "target": wanted.target,
        "initial_delay": wanted.initial_delay,
        "period": wanted.period,
        "timeout": wanted.timeout,
        "success_threshold": wanted.success_threshold,
        "failure_threshold": wanted.failure_threshold,
        "headers": sorted(wanted.headers),
        "status": None if wanted.status is None else sorted(wanted.status),
    }


def probed(found: Probed) -> Json:
    """What probes found last, and what the worker said of itself: part of one worker's detail, in no event."""
    findings, said = found
    probes = [
        {
            "role": each.role,
            "probe": each.probe,
            "good": each.good,
            "output": each.text,
            "at": when(each.at),
            "in_a_row": each.in_a_row,
        }
        for each in findings
    ]
    return {"probes": probes, "said": None if said is None else {"text": said[0], "at": when(said[1])}}


def spec(wanted: WorkerSpec) -> Json:
    """What the user wants of a worker; of its environment the names only."""
    program = wanted.program
    restart, stop = wanted.restart, wanted.stop
    return {
        "name": wanted.name,
        "command": None if program is None else list(program.argv),
        "shell": program is not None and program.shell,
        "directory": None if program is None else program.directory,
        "environment": [] if program is None else sorted({*program.environment, *program.secrets}),
        "inherit": None if program is None else program.inherit,
        "venv": None if program is None else program.venv,
        "start_seconds": None if program is None else program.start_seconds,
        "start_timeout": wanted.start_timeout,
        "ready_probe": wanted.ready_probe,
        "ready": probe(wanted.ready),
        "alive": probe(wanted.alive),
        "before_start": list(wanted.hooks.before_start),
        "after_ready": list(wanted.hooks.after_ready),
        "stop_command": list(wanted.hooks.stop_command),
        "after_stop": list(wanted.hooks.after_stop),
        "hook_timeout": wanted.hooks.timeout,
        "autostart": wanted.autostart,
        "one_shot": wanted.one_shot,
        "essential": wanted.essential,
        "daemon": wanted.daemon,
        "requires": [requirement(each) | {"follow": each.follow} for each in wanted.requires],
        "pool": None if wanted.pool is None else {"name": wanted.pool.name, "slots": wanted.pool.slots},
        "restart": restart.restart,
        "success_exit_codes": sorted(restart.success_exit_codes),
        "backoff": {
            "initial": restart.backoff_initial,
            "max": restart.backoff_max,
            "factor": restart.backoff_factor,
            "jitter": restart.jitter,
        },
        "max_restarts": restart.max_restarts,
        "window": restart.window,
        "stable_after": restart.stable_after,
        "on_give_up": restart.on_give_up,
        "retry_every": restart.retry_every if restart.on_give_up is OnGiveUp.RETRY else None,
        "stop_steps": [[name, seconds] for name, seconds in stop.steps],
        "stop_timeout": stop.timeout,
        "labels": dict(wanted.labels),
        "links": dict(wanted.links),
        "description": wanted.description,
        "origin": wanted.origin,
        "source": wanted.source.rpartition("/")[2],
    }
