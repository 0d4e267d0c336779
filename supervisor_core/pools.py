"""Pools: who holds a slot, who waits in line, and whose turn it is. First come, first served.

The line is in the order in which the workers were wanted, then by name: a worker that is restarted, or tried again,
keeps its place. A slot is free when nothing of its run is left. Nothing is kept here but what the statuses say, and
nothing is moved: `settle.py` serves a pool when a slot may have become free, or somebody may have come.

Known wart: how many slots there are stands in each worker's spec, so a worker that came by another way than the config
goes by the number that it was added with.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from .graph import Graph, met, wanted
from .model import SLOT, Blocker, Pool, Probe, State, Status, WorkerSpec

_NUMBER = re.compile(r"(\d+)")
_WORD = re.compile(r"\{(\{slot\})\}|\{slot\}")


def holders(pool: str, statuses: Mapping[str, Status]) -> list[Status]:
    """Those whose runs have a slot, by its number; of a run that began without one, its spec says which it needs."""
    found = [s for s in statuses.values() if s.live and held_by(s) == pool]
    return sorted(found, key=lambda s: (-1 if s.slot is None else s.slot, by_name(s.name)))


def held_by(status: Status) -> str:
    """The pool whose slot a live run takes; "" for none. A newer config changes nothing in that."""
    return status.holds or (status.spec.pool.name if status.spec.pool is not None else "")


def line(pool: str, statuses: Mapping[str, Status]) -> list[Status]:
    """Those that lack nothing but a slot, the next one first."""
    found = [
        status
        for status in statuses.values()
        if status.state is State.BLOCKED and status.spec.pool is not None and status.spec.pool.name == pool
        if wanted(status) and all(met(edge, statuses.get(edge.name)) for edge in status.spec.requires)
    ]
    return sorted(found, key=lambda s: (s.wanted_since or 0.0, by_name(s.name)))


@lru_cache(maxsize=10_000)
def by_name(name: str) -> tuple[object, ...]:
    """The order of names in which train-2 comes before train-10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(name) if part)


@lru_cache(maxsize=100)
def no_slot(pool: Pool) -> tuple[Blocker]:
    """Why a worker waits, in words that stay the same whoever has the slots: else each end would change all of them."""
    words = "its slot is taken" if pool.slots == 1 else f"all {pool.slots} slots are taken"
    return (Blocker(f"pool {pool.name}", SLOT, words),)


def spec_of_run(spec: WorkerSpec, graph: Graph, slot: int | None) -> WorkerSpec:
    """What a run is given: with the number of its slot, and all that somebody waits for in its output."""
    patterns = graph.patterns(spec.name).union(spec.patterns)
    return at_slot(replace(spec, patterns=tuple(sorted(patterns))) if patterns else spec, slot)


def at_slot(spec: WorkerSpec, slot: int | None) -> WorkerSpec:
    """The spec with the number in the place of `{slot}`: in its program, and in what is run and looked at beside it."""
    if slot is None:
        return spec

    def put(text: str) -> str:
        return _WORD.sub(lambda found: found[1] or str(slot), text)

    def put_all(words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(put, words))

    def in_probe(probe: Probe | None) -> Probe | None:
        if probe is None or probe.kind == "log":  # braces mean something else in a pattern
            return probe
        return replace(probe, target=put(probe.target), argv=put_all(probe.argv))

    program, hooks = spec.program, spec.hooks
    if program is not None:
        environment = {name: put(text) for name, text in program.environment.items()}
        program = replace(
            program, argv=put_all(program.argv), directory=put(program.directory), environment=environment
        )
    hooks = replace(
        hooks,
        before_start=put_all(hooks.before_start),
        after_ready=put_all(hooks.after_ready),
        stop_command=put_all(hooks.stop_command),
        after_stop=put_all(hooks.after_stop),
    )
    return replace(spec, program=program, hooks=hooks, ready=in_probe(spec.ready), alive=in_probe(spec.alive))
