"""What the machine knows of one worker beyond its status: nothing that a reader outside needs.

Known wart: it is a second record beside `Status`, and the two are only kept together by `turn.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .model import Exit, WorkerSpec
from .table import Cause


@dataclass(frozen=True, slots=True)
class Memory:
    """What the machine knows of one worker beyond its status.

    `pending` is the spec that rules once the live run has ended. `interrupted`, `killed`, `overdue` (how often the kill
    was waited for in vain), `leader`, `leader_ours` and `seen` (the run of each target at the launch) concern the live
    run; `ordered`: start or restart was ordered while it was being ended. `stopper`: who asked for the end, from which
    `ended_by` is filled once it is on its way. `old_run`: runs after this one are the new run of the restart.
    `automatic`: the next launch is nobody's order. `launched`: the digest of the spec that the live run began with.
    """

    pending: WorkerSpec | None = None
    interrupted: Cause | None = None
    killed: bool = False
    overdue: int = 0
    ordered: bool = False
    leader: Exit | None = None
    leader_ours: bool = False
    seen: Mapping[str, int] = field(default_factory=dict)
    tries: tuple[float, ...] = ()
    stopper: str = ""
    ended_by: str = ""
    old_run: int = 0
    automatic: bool = False
    launched: str = ""


FRESH_RUN: dict[str, Any] = {
    "interrupted": None, "killed": False, "overdue": 0, "ordered": False, "leader": None, "leader_ours": False,
    "ended_by": "", "automatic": False,
}  # fmt: skip
