"""What runs beside a worker: its probes `ready` and `alive`, and its commands `before_start` … `after_stop`.

Names and defaults of probes are those of Kubernetes; `http` and `exec` also take the tables that Kubernetes and
process-compose write. No address is looked up and nothing is run here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..declared import Hooks, Probe, Program
from .keys import PROBE
from .problems import Found, Problems
from .reading import Words, absolute, fields_of, parsed

KINDS = ("http", "tcp", "exec", "log", "notify")
HOOKS = ("before_start", "after_ready", "stop_command", "after_stop")

UNTIL_READY = 1.0
"""Seconds between two looks of `ready` until the first success, where nobody gave a period."""

Argv = Callable[[Found], tuple[str, ...]]
"""Reads a command as that of the worker is read; notes what is wrong and gives () then."""


def read_probe(role: str, found: Found, words: Words, argv_of: Argv, problems: Problems) -> Probe | None:
    """Gives a probe; None where something is wrong, which is noted."""
    before = len(problems)
    fields = fields_of(found, PROBE, problems)
    plain = Words({}, {})  # braces mean something in a pattern
    values = {k.name: parsed(k, fields.get(k.name), problems, plain if k.name == "log" else words) for k in PROBE.keys}
    chosen = [kind for kind in KINDS if kind in fields and values[kind] is not False]
    if isinstance(found.value, dict) and len(chosen) != 1:
        problems.add(found, f'needs exactly one of {", ".join(KINDS)}; write {{ tcp = "HOST:PORT" }}, say')
    if len(problems) > before:
        return None
    kind = chosen[0]
    for key in ("headers", "status"):
        if key in fields and kind != "http":
            problems.add(fields[key], "is for an http probe alone; remove it")
    argv: tuple[str, ...] = ()
    target = "" if kind == "notify" else str(values[kind])
    if kind == "exec":
        argv = argv_of(_command(fields["exec"]))
        target = argv[-1] if argv[:2] == ("/bin/sh", "-c") else " ".join(argv)
    elif kind == "tcp" and target.startswith("unix:"):
        target = f"unix:{absolute(found, target.removeprefix('unix:'))}"
    if len(problems) > before:
        return None
    given = "period" in fields
    return Probe(
        kind,
        target,
        argv,
        first_period=UNTIL_READY if role == "ready" and not given else values["period"],
        **{name: values[name] for name in ("initial_delay", "period", "timeout", "success_threshold",
                                           "failure_threshold", "headers", "status")},
    )  # fmt: skip


def _command(found: Found) -> Found:
    """The command itself, also of `exec = { command = [...] }`."""
    value = found.value
    return found.inner("command", value["command"]) if isinstance(value, dict) and set(value) == {"command"} else found


def read_hooks(given: Mapping[str, Found], argv_of: Argv, timeout: float) -> Hooks:
    return Hooks(**{name: argv_of(given[name]) for name in HOOKS if name in given}, timeout=timeout)


def told(program: Program, ready: Probe | None, alive: Probe | None) -> Program:
    """The program with what it has to be told of its probes."""
    listens = any(probe is not None and probe.kind == "notify" for probe in (ready, alive))
    watchdog = alive.period if alive is not None and alive.kind == "notify" else 0.0
    return replace(program, notify=listens, watchdog=watchdog) if listens else program
