"""Log policies as messages: what the service's config says of logs, for the one who writes and deletes them."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from ..declared import Free, LogPolicy


def tell_policies(max_total: float, each: LogPolicy, own: Mapping[str, LogPolicy]) -> dict[str, Any]:
    """Those of all together, of each worker, and of workers that have one of their own where it differs."""
    return {
        "max_total": max_total,
        "each": asdict(each),
        "own": {worker: asdict(policy) for worker, policy in own.items() if policy != each},
    }


def read_policies(told: Mapping[str, Any]) -> dict[str, Any]:
    """As `SegmentStore` takes them; what is not known here is left out, what is missing is as usual."""
    own = {worker: _policy(policy) for worker, policy in told.get("own", {}).items()}
    return {"max_total": told["max_total"], "policy": _policy(told["each"]), "own": own}


def _policy(told: Mapping[str, Any]) -> LogPolicy:
    known = {field.name: told[field.name] for field in fields(LogPolicy) if field.name in told}
    if isinstance(known.get("min_free"), dict):
        known["min_free"] = Free(**known["min_free"])
    return LogPolicy(**known)
