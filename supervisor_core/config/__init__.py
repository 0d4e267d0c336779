"""The config file: TOML to `WorkerSpec`s and settings, or *all* problems with file and line.

`load` is the door; `keys.py` is the one place where keys and defaults are written. Files are read and variables are
looked up here, no process is started and no name is asked of the network, so a check can run anywhere.

Known wart: `[defaults]` and `[service]` hold for all files, wherever they stand; only the main file may include.
"""

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..model import Condition, Pool, RestartWhen, WorkerSpec
from .files import read_toml
from .keys import INCLUDE, TOP, WORKER
from .one import read_one
from .problems import ConfigError, Found, Problem, Problems
from .reading import Words, fields_of, nearest
from .requirements import check_circles, check_health, patterns_of, resolve
from .settings import (
    Group,
    LogSettings,
    ServiceHook,
    ServiceSettings,
    Token,
    check_name,
    pool_of,
    read_groups,
    read_logs,
    read_pools,
    read_service,
    read_service_hooks,
    read_tokens,
)
from .sources import Sources
from .values import BadValue, shown, strings
from .workers import Read, read_worker

__all__ = [
    "Config",
    "ConfigError",
    "Group",
    "LogSettings",
    "Problem",
    "ServiceHook",
    "ServiceSettings",
    "Sources",
    "Token",
    "load",
    "read_one",
]


@dataclass(frozen=True, slots=True)
class Config:
    """All that a config says. `files` are those that were read, the main one first; `notes` are worth a look.

    `sources` can be read again. `names` are those that mean workers, of tables, replicas and groups; `replicas` is how
    many each table asks for.
    """

    service: ServiceSettings = field(default_factory=ServiceSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    workers: tuple[WorkerSpec, ...] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)
    tokens: tuple[Token, ...] = ()
    hooks: tuple[ServiceHook, ...] = ()
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    sources: Sources = field(default_factory=Sources, repr=False, compare=False)


def load(
    path: str | Path,
    *,
    environ: Mapping[str, str] | None = None,
    fragment: bool = False,
    sources: Sources | None = None,
    scale: Mapping[str, int] = MappingProxyType({}),
) -> Config:
    """Reads a config file and what it includes; raises `ConfigError` with every problem.

    `environ` is where `${VAR}` is looked up (our own environment without it). With `fragment`, names in `requires`
    and groups that the file does not have are no problem: another file may. `sources` remembers what was read, or
    gives what was read before. `scale` says of tables how many replicas they have instead of what they say.
    """
    problems = Problems()
    words = Words({}, dict(os.environ if environ is None else environ))
    loader = _Loader(words, problems, fragment, Sources() if sources is None else sources, scale)
    config = loader.load(Path(path))
    problems.finish()
    return config


class _Loader:
    """The tables of all files put together, by their names; then each kind read by its module."""

    def __init__(
        self, words: Words, problems: Problems, fragment: bool, sources: Sources, scale: Mapping[str, int]
    ) -> None:
        self.words, self.problems, self.fragment, self.sources, self.scale = words, problems, fragment, sources, scale
        self.meanings: dict[str, tuple[str, ...]] = {}
        self.replicas: dict[str, int] = {}
        self.tables: dict[str, dict[str, Found]] = {}
        self.lists: dict[str, list[Found]] = {"token": [], "hook": []}
        self.single: dict[str, Found] = {}
        self.defaults: dict[str, Found] = {}
        self._spelled: dict[tuple[str, str], str] = {}
        self.files: list[Path] = []
        self.notes: list[str] = []

    def load(self, path: Path) -> Config:
        main = read_toml(path, self.problems, self.sources)
        if main is None:
            return Config()
        self.files.append(path)
        self._gather(main)
        for name in self.sources.included(lambda: self._included(path, main)):
            part = read_toml(name, self.problems, self.sources)
            if part is not None:
                self.files.append(name)
                if "include" in part.value:
                    self.problems.add(part.items()["include"], "only the main file includes; move it there")
                self._gather(part)
        service = read_service(self.single.get("service"), self.words, self.problems)
        logs = read_logs(self.single.get("logs"), self.words, self.problems)
        tokens = read_tokens(self.lists["token"], self.words, self.problems)
        pools = read_pools(self.tables.get("pool", {}), self.words, self.problems)
        hooks = read_service_hooks(self.lists["hook"], self.words, self.problems)
        workers, groups = self._workers(logs, pools)
        files, notes = tuple(self.files), tuple(self.notes)
        return Config(
            service,
            logs,
            workers,
            groups,
            pools,
            self.meanings,
            self.replicas,
            tokens,
            hooks,
            files,
            notes,
            self.sources,
        )

    def _included(self, path: Path, main: Found) -> list[Path]:
        """The included files in the order of their names, each once."""
        found = main.items().get("include")
        try:
            patterns = strings(found.value) if found else INCLUDE
        except BadValue as error:
            self.problems.add(main.items()["include"], str(error))
            return []
        seen = {os.path.realpath(path)}
        names = []
        for pattern in patterns:
            full = os.path.join(path.absolute().parent, os.path.expanduser(pattern))
            matched = self.sources.match(full)
            if found and not matched and not glob.has_magic(pattern):
                self.problems.add(found, f"{full} is not there; check the path or write a pattern")
            for name in matched:
                if os.path.realpath(name) not in seen:
                    seen.add(os.path.realpath(name))
                    names.append(Path(name))
        return names

    def _gather(self, file: Found) -> None:
        for key, found in file.items().items():
            if key not in TOP:
                self.problems.add(found, f"unknown table or key; {nearest(key, TOP)}")
            elif key == "include":
                continue
            elif key in self.lists:
                self._gather_list(key, found)
            elif not isinstance(found.value, dict):
                kind = f"[{key}]" if key in ("service", "logs", "defaults") else f"[{key}.NAME]"
                self.problems.add(found, f"{shown(found.value)} is no table; write {kind}")
            elif key in ("service", "logs"):
                self._gather_single(key, found)
            elif key == "defaults":
                fields = fields_of(found, WORKER, self.problems)
                for name, value in fields.items():
                    self._once(key, self.defaults, name, value, "is set")
            else:
                places = self.tables.setdefault(key, {})
                for name, one in found.items().items():
                    self._once(key, places, name, one, f"a {key} with this name is")

    def _gather_list(self, key: str, found: Found) -> None:
        if isinstance(found.value, list) and all(isinstance(item, dict) for item in found.value):
            self.lists[key] += [found.inner(i, item) for i, item in enumerate(found.value)]
        else:
            self.problems.add(found, f"{shown(found.value)} is no list of tables; write [[{key}]]")

    def _gather_single(self, key: str, found: Found) -> None:
        if key in self.single:
            self.problems.add(found, f"the table is in {self.single[key].place} too; keep one of them")
        self.single.setdefault(key, found)

    def _once(self, table: str, places: dict[str, Found], name: str, found: Found, what: str) -> None:
        """Keeps the first of two that differ at most in case, and names both places."""
        same = self._spelled.setdefault((table, name.lower()), name)
        if same in places:
            spelled = "" if same == name else f" (as {shown(same)})"
            self.problems.add(found, f"{what} in {places[same].place} too{spelled}; rename or remove one")
        else:
            places[name] = found

    def _workers(self, logs: LogSettings, pools: Mapping[str, Pool]) -> tuple[tuple[WorkerSpec, ...], dict[str, Group]]:
        reads: dict[str, Read] = {}
        claimed: dict[str, Read] = {}
        names: dict[str, tuple[str, ...]] = {}
        for title, found in self.tables.get("worker", {}).items():
            if not isinstance(found.value, dict):
                self.problems.add(found, f"{shown(found.value)} is no table; write [worker.{title}]")
                continue
            check_name(title, found, self.problems)
            made = read_worker(
                found, self.defaults, self.words.variables, self.problems, logs.each, self.scale.get(title)
            )
            self.replicas |= {title: made[0].replicas} if made else {}
            names[title] = tuple(read.spec.name for read in made)
            for read in made:
                self._claim(claimed, read)
                reads.setdefault(read.spec.name, read)
        names |= {name: (name,) for name in reads if name not in names}
        groups = read_groups(self.tables.get("group", {}), names, self.words, self._lenient())
        meanings = self.meanings = {**{title: group.workers for title, group in groups.items()}, **names}
        requires = {n: resolve(n, read.wishes, meanings, self._lenient()) for n, read in reads.items()}
        places = {n: read.found for n, read in reads.items()}
        check_circles(requires, places, self.problems)
        check_health(requires, {n: read.watched for n, read in reads.items()}, places, self.problems)
        awaited = {r.name for edges in requires.values() for r in edges if r.condition in _COMPLETED}
        patterns = patterns_of(requires)
        specs = []
        for name, read in reads.items():
            spec = self._finished(read, requires[name], groups, name in awaited)
            pool = pool_of(read.pool, pools, self._lenient())
            specs.append(replace(spec, pool=pool, patterns=patterns.get(name, ())))
        return tuple(specs), groups

    def _claim(self, claimed: dict[str, Read], read: Read) -> None:
        """A replica's name may meet that of another worker, which TOML's own keys cannot tell."""
        first = claimed.setdefault(read.spec.name.lower(), read)
        if first is not read:
            self.problems.add(read.found, f"{shown(read.spec.name)} is in {first.spec.source} too; rename one of them")

    def _lenient(self) -> Problems:
        """Where unknown names go: for a fragment, nowhere."""
        return Problems() if self.fragment else self.problems

    def _finished(self, read: Read, requires: Any, groups: Mapping[str, Group], awaited: bool) -> WorkerSpec:
        spec = read.spec
        labels: dict[str, str] = {}
        for group in groups.values():
            labels |= group.labels if spec.name in group.workers else {}
        if spec.program and spec.program.venv and not os.path.isdir(os.path.join(spec.program.venv, "bin")):
            self.notes.append(f"{spec.source}: {spec.name}: there is no virtual environment at {spec.program.venv}")
        return replace(
            spec,
            requires=requires,
            labels={**labels, **spec.labels},
            groups=tuple(title for title, group in groups.items() if spec.name in group.workers),
            one_shot=spec.one_shot or (awaited and spec.restart.restart is RestartWhen.NEVER),
        )


_COMPLETED = (Condition.COMPLETED, Condition.COMPLETED_SUCCESSFULLY)
