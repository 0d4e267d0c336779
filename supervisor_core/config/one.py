"""One table of a worker that came by itself, not in a file: as JSON, over HTTP.

The same keys and the same sentences; `[defaults]` are for the file.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..model import Pool, WorkerSpec
from .problems import Found, Problems, Source
from .requirements import resolve
from .settings import LogSettings, check_name, pool_of
from .sources import Sources
from .workers import read_worker


def read_one(
    name: str,
    table: Mapping[str, Any],
    folder: str,
    *,
    known: Mapping[str, tuple[str, ...]],
    logs: LogSettings | None = None,
    pools: Mapping[str, Pool] = MappingProxyType({}),
    lenient: bool = False,
    sources: Sources | None = None,
) -> list[WorkerSpec]:
    """Gives the worker(s) of one table that came as JSON, with origin `api`; raises `ConfigError`.

    `folder` is what paths are relative to; `known` are the other workers' names, each with the names that it means;
    `logs` is what `[logs]` says, `pools` are those of the file. With `lenient`, a name in `requires` that nobody has is
    no problem. `sources` remembers what was read, or gives what was read before.
    """
    problems = Problems()
    found = Found(
        dict(table), Source("the request", folder, sources=Sources() if sources is None else sources), (name,)
    )
    check_name(name, found, problems)
    reads = read_worker(found, {}, dict(os.environ), problems, (logs or LogSettings()).each)
    unknown = Problems() if lenient else problems
    names = {**known, name: tuple(read.spec.name for read in reads), **{r.spec.name: (r.spec.name,) for r in reads}}
    specs = [
        replace(
            r.spec,
            requires=resolve(r.spec.name, r.wishes, names, unknown),
            pool=pool_of(r.pool, pools, problems),
            origin="api",
            source="",
        )
        for r in reads
    ]
    problems.finish()
    return specs
