"""A request to start a program, and the end of one, as messages and back."""

from collections.abc import Mapping
from typing import Any

from ..children import Ended, LaunchRequest


def tell_request(request: LaunchRequest) -> dict[str, Any]:
    """All but `stdin`, which goes beside it as a descriptor, and `output`, which is for one process."""
    return {
        "worker": request.worker,
        "run": request.run,
        "argv": request.argv,
        "environment": dict(request.environment),
        "directory": request.directory,
        "merge_stderr": request.merge_stderr,
        "user": request.user,
        "group": request.group,
        "umask": request.umask,
        "nice": request.nice,
        "limits": dict(request.limits),
        "tty": request.tty,
        "daemon": request.daemon,
        "stop": request.stop,
    }


def read_request(told: Mapping[str, Any], stdin: int | None = None) -> LaunchRequest:
    """Fields that are not known here are passed over."""
    known: dict[str, Any] = {name: told[name] for name in LaunchRequest.__slots__ if name in told}
    known["argv"] = tuple(known["argv"])
    known["stop"] = read_steps(known.get("stop", ()))
    return LaunchRequest(**(known | {"stdin": stdin, "output": None}))


def read_steps(told: Any) -> tuple[tuple[int, float], ...]:
    """The steps of a stop: signal numbers and seconds."""
    return tuple((int(number), float(seconds)) for number, seconds in told)


def tell_end(ended: Ended) -> dict[str, Any]:
    return {"code": ended.code, "signal": ended.signal, "reason": ended.reason, "at": ended.at}


def read_end(told: Mapping[str, Any]) -> Ended:
    return Ended(told.get("code"), told.get("signal"), told.get("reason", ""), told.get("at"))
