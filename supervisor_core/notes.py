"""What must be known of a worker when another supervisor takes over: its note, as bytes and back.

A note says what was wanted, where the worker was, and all that the machine remembers of its live run; no environment
and no spec, but for a digest of what a run was started with and the way to end it. The format only grows: what is
usual is left out, and what is not known is passed over.

Known wart: an operation that was under way is not noted: nobody is left who could be answered.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from .dossier import Memory
from .errors import SupervisorError
from .model import Exit, Health, Program, State, Status, StopPolicy, WorkerSpec
from .plan import NEW_RUN
from .table import Cause

FORMAT = 1

NUMBER = (int, float)
STATUS: dict[str, tuple[object, tuple[type, ...]]] = {
    "wanted": (False, (bool,)), "ready": (False, (bool,)), "health": (Health.UNKNOWN, (str,)),
    "pid": (None, (int,)), "deadline": (None, NUMBER), "failures": (0, (int,)), "restarts": (0, (int,)),
    "blame": (None, (str,)), "stuck": (False, (bool,)), "removing": (False, (bool,)),
    "cycling": (False, (bool,)), "leader_gone": (None, (int,)), "gave_up": (False, (bool,)), "enabled": (True, (bool,)),
    "stopped_by": ("", (str,)), "slot": (None, (int,)), "holds": ("", (str,)), "wanted_since": (None, NUMBER),
}  # fmt: skip
"""Fields of `Status` that are noted when they are not as usual, and of what type they are."""

MEMORY: dict[str, tuple[object, tuple[type, ...]]] = {
    "interrupted": (None, (str,)), "killed": (False, (bool,)), "overdue": (0, (int,)), "ordered": (False, (bool,)),
    "leader_ours": (False, (bool,)), "stopper": ("", (str,)), "ended_by": ("", (str,)),
    "automatic": (False, (bool,)), "launched": ("", (str,)),
}  # fmt: skip
"""The same of `Memory`; the rest of it is written below."""

_status_of = attrgetter(*STATUS)
_memory_of = attrgetter(*MEMORY)
_status_usual = tuple((key, usual) for key, (usual, _) in STATUS.items())
_memory_usual = tuple((key, usual) for key, (usual, _) in MEMORY.items())
_exit_of = attrgetter("run", "code", "signal", "reason", "at", "by", "permanent")
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of one worker. The spec of `status` has its name and how to end it, and nothing else.

    `as_new`: only its number and its last end count; whether it starts is for `autostart` to say. `left`: the service
    was leaving in order then, so an order to stop holds no longer.
    """

    status: Status
    memory: Memory = field(default_factory=Memory)
    as_new: bool = False
    left: bool = False

    def fresh(self, *, over: bool = False) -> "Remembered":
        """For the start of a service, not of its manager alone: a live run goes on, all else begins anew.

        Unless somebody had it stopped and the service was cut off since, by a power cut say: then it stays so. `over`:
        all had been told to leave, and the run noted as live has ended since, which is how it was to end.
        """
        now, memory = self.status, Memory()
        new = Status(now.spec, run=now.run, last_exit=now.last_exit, enabled=now.enabled)
        if not over and (now.live or (self._is_stopped and not self.left)):
            return self
        if now.live:
            new = replace(new, state=State.STOPPING, pid=now.pid, slot=now.slot)
            memory = Memory(interrupted=Cause.RELEASE, ended_by="service", launched=self.memory.launched)
        return Remembered(new, memory, as_new=True)

    @property
    def _is_stopped(self) -> bool:
        return self.status.state is State.STOPPED and not self.status.wanted and self.memory.stopper != ""

    def found(self, run: int, pid: int, now: float) -> "Remembered":
        """The same with a run that is alive, whatever was remembered: it counts as one that is starting."""
        status = replace(
            self.status, state=State.STARTING, run=run, pid=pid, since=now,
            deadline=now + self.status.spec.restart.stable_after, ready=False, stuck=False, cycling=False,
            leader_gone=None, health=Health.UNKNOWN, gave_up=False, matched=(), slot=None, holds="",
        )  # fmt: skip
        return Remembered(status)


def unknown(name: str) -> Remembered:
    """Of a worker that nothing is remembered of."""
    return Remembered(Status(_bare(name, StopPolicy()), wanted=True))


def remember(status: Status, memory: Memory, *, leaving: bool = False) -> bytes:
    """Gives the note of a worker; equal ones for what makes no difference to whoever takes over."""
    said: dict[str, Any] = {"v": FORMAT, "name": status.spec.name, "state": status.state, "since": status.since}
    if status.run:
        said["run"] = status.run
    for (key, usual), value in zip(_status_usual, _status_of(status), strict=True):
        if value != usual:
            said[key] = value
    for (key, usual), value in zip(_memory_usual, _memory_of(memory), strict=True):
        if value != usual:
            said[key] = value
    if status.last_exit is not None:
        said["last_exit"] = _exit_of(status.last_exit)
    if memory.leader is not None:
        said["leader"] = _exit_of(memory.leader)
    if status.matched:
        said["matched"] = status.matched
    if memory.seen:
        said["seen"] = dict(memory.seen)
    if memory.tries:
        said["tries"] = memory.tries
    if status.live:
        stop = status.spec.stop
        said["stop"], said["kill_timeout"] = stop.steps, stop.kill_timeout
    if leaving and status.state is State.STOPPED and not status.wanted:
        said["left"] = True
    return _encode(said).encode()


def remember_number(name: str, run: int) -> bytes:
    """Gives the note of a worker that was removed: should its name come back, its run numbers go on."""
    said = {"v": FORMAT, "name": name, "state": State.STOPPED, "since": 0.0, "run": run, "as_new": True}
    return _encode(said).encode()


def recall(data: bytes) -> Remembered:
    """Reads a note. Raises `SupervisorError` with one sentence for one that is damaged or from a newer version."""
    try:
        said = json.loads(data)
        number = said["v"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SupervisorError("the note of a worker cannot be read: it is damaged") from None
    if number > FORMAT:
        raise SupervisorError(
            f"the note of a worker cannot be read: its format is {number}, this version knows {FORMAT};"
            " start the newer version again"
        )
    try:
        return _recalled(said)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SupervisorError(f"the note of a worker cannot be read: it is damaged ({error!r})") from None


def _recalled(said: Mapping[str, Any]) -> Remembered:
    state = State(said["state"])
    stop = StopPolicy()
    if "stop" in said:
        stop = StopPolicy(tuple((str(name), float(seconds)) for name, seconds in said["stop"]), said["kill_timeout"])
    known = _typed(said, STATUS)
    known["health"] = Health(known.get("health", Health.UNKNOWN))
    tries = tuple(float(at) for at in said.get("tries", ()))
    status = Status(
        _bare(_of(said["name"], str), stop),
        state=state,
        run=_of(said.get("run", 0), int),
        since=float(said["since"]),
        last_exit=_exit(said.get("last_exit")),
        tries=len(tries),
        matched=tuple(_of(pattern, str) for pattern in said.get("matched", ())),
        **known,
    )
    kept = _typed(said, MEMORY)
    if "interrupted" in kept:
        kept["interrupted"] = Cause(kept["interrupted"])
    seen = {_of(name, str): _of(run, int) for name, run in said.get("seen", {}).items()}
    memory = Memory(leader=_exit(said.get("leader")), seen=seen, tries=tries, **kept)
    return Remembered(status, memory, _of(said.get("as_new", False), bool), _of(said.get("left", False), bool))


def _typed(said: Mapping[str, Any], table: Mapping[str, tuple[object, tuple[type, ...]]]) -> dict[str, Any]:
    return {key: _of(said[key], *kinds) for key, (_, kinds) in table.items() if key in said}


def _of(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise ValueError(f"{value!r} is not of the type {kinds[0].__name__}")
    return value


def _exit(said: Any) -> Exit | None:
    if said is None:
        return None
    run, code, signal, reason, at, by, permanent, *_ = said
    return Exit(_of(run, int), code, signal, _of(reason, str), float(at), _of(by, str), bool(permanent))


def _bare(name: str, stop: StopPolicy) -> WorkerSpec:
    """A spec with which a run can be ended, not started."""
    return WorkerSpec(name, stop=stop, program=Program(()), autostart=False)


# ---------------------------------------------------------------- what a run was started with

_program_usual = {
    each.name: each.default if each.default_factory is MISSING else each.default_factory() for each in fields(Program)
}
_program_of = attrgetter(*_program_usual)
_kind_keys = sorted(NEW_RUN - {"program"})
_kind_of = attrgetter(*_kind_keys)


def digest_of(spec: WorkerSpec) -> str:
    """What a run is worth ending for, as 16 digits: those of two specs are the same if a change needs no new run.

    What is as usual does not count, so that a later version with more keys finds the same.
    """
    facts: list[object] = [(key, value) for key, value in zip(_kind_keys, _kind_of(spec), strict=True) if value]
    if spec.program is not None:
        for (key, usual), value in zip(_program_usual.items(), _program_of(spec.program), strict=True):
            if value != usual:
                facts.append((key, sorted(value.items()) if isinstance(value, Mapping) else value))
    return hashlib.blake2b(repr(facts).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
