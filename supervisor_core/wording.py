"""Pure: what differs between two values of a spec, as the keys that a person wrote in the config file.

No value is ever told, since it may be a secret: of an environment the names alone. Known wart: what `env_file` brought
is told as `environment.NAME`, since a spec does not know where a variable came from.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

PARTS = {"program": "", "restart": "", "stop": "", "hooks": "", "logs": "logs.", "schedule": "schedule."}
"""Fields that are made of several keys, and what these begin with."""

KEYS = {
    "argv": "command",
    "shell": "command",
    "hosted": "command",
    "secrets": "environment",
    "redirect_stderr": "logs.redirect_stderr",
    "backoff_initial": "backoff.initial",
    "backoff_max": "backoff.max",
    "backoff_factor": "backoff.factor",
    "jitter": "backoff.jitter",
    "steps": "stop_signal",
    "ready_probe": "ready",
    "memory_warn": "limits.memory_warn",
    "timeout": "hook_timeout",
    "retry_every": "on_give_up",
}
"""Fields that have another name in the file."""

IMPLIED = frozenset({"notify", "watchdog", "after", "patterns"})
"""Fields that follow from probes and hooks, which are told themselves."""


def in_words(field: str, old: Any, new: Any) -> tuple[str, ...]:
    """The keys by which a field of two specs differs, each once, in their order."""
    if is_dataclass(old) and is_dataclass(new) and type(old) is type(new) and field in PARTS:
        pairs = [(part.name, getattr(old, part.name), getattr(new, part.name)) for part in fields(old)]
        prefix = PARTS[field]
        return tuple(dict.fromkeys(prefix + word for name, a, b in pairs if a != b for word in _words(name, a, b)))
    return _words(field, old, new)


def _words(name: str, old: Any, new: Any) -> tuple[str, ...]:
    key = KEYS.get(name, name)
    if name in IMPLIED:
        return ()
    if name == "steps" and [signal for signal, _ in old] == [signal for signal, _ in new]:
        return ("stop_timeout",)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return tuple(f"{key}.{name}" for name in names)
    return (key,)
