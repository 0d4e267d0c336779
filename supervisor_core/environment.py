"""The environment of a configured program: what it inherits, what the file sets, what we add.

Nothing of ours leaks: our own variables, the notify socket and the virtual environment that we were started from are
taken out of what is inherited, so that `python` in a job means the user's.
"""

import os
from collections.abc import Mapping

from .children import TAG
from .model import Program, WorkerSpec

OURS = "QUARTERDECK_"
NOT_INHERITED = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"})


def environment_of(spec: WorkerSpec, run: int, tag: str, outside: Mapping[str, str] | None = None) -> dict[str, str]:
    """Makes the complete environment of one run out of `outside` (default: our own)."""
    program = spec.program
    assert program is not None
    made = inherited(program, os.environ if outside is None else outside)
    made.update(program.environment)
    if program.venv is not None:
        made["VIRTUAL_ENV"] = program.venv
        made["PATH"] = os.pathsep.join([os.path.join(program.venv, "bin"), made.get("PATH", os.defpath)])
        made.pop("PYTHONHOME", None)
    made.setdefault("PYTHONUNBUFFERED", "1")
    made |= {"QUARTERDECK_WORKER": spec.name, "QUARTERDECK_RUN": str(run), TAG: tag}
    return made


def inherited(program: Program, outside: Mapping[str, str]) -> dict[str, str]:
    """Gives what a program takes over, less what is ours."""
    if program.inherit is False:
        return {}
    kept = {k: v for k, v in outside.items() if not k.startswith(OURS) and k not in NOT_INHERITED}
    launcher = kept.pop("VIRTUAL_ENV", None)
    if launcher is not None and "PATH" in kept:
        gone = os.path.join(launcher, "bin")
        kept["PATH"] = os.pathsep.join(p for p in kept["PATH"].split(os.pathsep) if p != gone)
    if program.inherit is True:
        return kept
    return {name: kept[name] for name in program.inherit if name in kept}
