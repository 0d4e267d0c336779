"""An asyncio supervisor for workers: coroutines, functions and programs. Standard library only.

The public names, listed by hand. Each is loaded when it is first asked for, so that `supervisor_core.model` and its
like can be had without the shell.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clock import Clock
    from .cmd import Captured, Cmd
    from .context import Context
    from .errors import CannotStart, CommandError, Refused, SupervisorError, WorkerError
    from .journal import Cursor, Entry, Gap, Journal, Snapshot
    from .messages import (
        Add,
        Changed,
        Kill,
        PhaseChanged,
        Receipt,
        Remove,
        Removed,
        Restart,
        Shutdown,
        Signal,
        Start,
        Stop,
    )
    from .model import (
        Condition,
        Exit,
        Follow,
        OnGiveUp,
        Phase,
        Requirement,
        RestartPolicy,
        RestartWhen,
        State,
        Status,
        StopPolicy,
        WorkerSpec,
    )
    from .narrator import Logger
    from .process import Process
    from .shortcuts import command, must_run, run, work_func
    from .supervisor import Supervisor
    from .worker import Work, Worker

_WHERE = {
    "clock": ("Clock",),
    "cmd": ("Captured", "Cmd"),
    "context": ("Context",),
    "errors": ("CannotStart", "CommandError", "Refused", "SupervisorError", "WorkerError"),
    "journal": ("Cursor", "Entry", "Gap", "Journal", "Snapshot"),
    "messages": (
        "Add",
        "Changed",
        "Kill",
        "PhaseChanged",
        "Receipt",
        "Remove",
        "Removed",
        "Restart",
        "Shutdown",
        "Signal",
        "Start",
        "Stop",
    ),
    "model": (
        "Condition",
        "Exit",
        "Follow",
        "OnGiveUp",
        "Phase",
        "Requirement",
        "RestartPolicy",
        "RestartWhen",
        "State",
        "Status",
        "StopPolicy",
        "WorkerSpec",
    ),
    "narrator": ("Logger",),
    "process": ("Process",),
    "shortcuts": ("command", "must_run", "run", "work_func"),
    "supervisor": ("Supervisor",),
    "worker": ("Work", "Worker"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Add",
    "CannotStart",
    "Captured",
    "Changed",
    "Clock",
    "Cmd",
    "CommandError",
    "Condition",
    "Context",
    "Cursor",
    "Entry",
    "Exit",
    "Follow",
    "Gap",
    "Journal",
    "Kill",
    "Logger",
    "OnGiveUp",
    "Phase",
    "PhaseChanged",
    "Process",
    "Receipt",
    "Refused",
    "Remove",
    "Removed",
    "Requirement",
    "Restart",
    "RestartPolicy",
    "RestartWhen",
    "Shutdown",
    "Signal",
    "Snapshot",
    "Start",
    "State",
    "Status",
    "Stop",
    "StopPolicy",
    "Supervisor",
    "SupervisorError",
    "Work",
    "Worker",
    "WorkerError",
    "WorkerSpec",
    "command",
    "must_run",
    "run",
    "work_func",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
