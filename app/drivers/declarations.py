"""What is declared to run, and how that is changed while it runs: the plan of a reload, and the reload.

One order at a time; the files are read in a thread. A file that cannot be used changes nothing. What rules now is in
`config`, and whoever goes by it (logs, tokens, groups, the successor after a crash) hears of another one by `ruled`.

Known wart: of `[service]` only `shutdown_timeout` is taken while it runs; the rest is told as waiting for a new start.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from supervisor_core.config import Config, load
from supervisor_core.errors import Refused
from supervisor_core.messages import Apply
from supervisor_core.model import WorkerSpec
from supervisor_core.plan import Plan

from ..host import Host
from .made import Made
from .scale import Scale, table_of

AT_ONCE = frozenset({"shutdown_timeout"})
"""Keys of `[service]` that are read anew whenever they count."""

Choose = Callable[[Sequence[WorkerSpec]], list[WorkerSpec]]
Ruled = Callable[[Config], None]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a reload would change. `settings` are keys beside the workers that are taken at once, `waiting` those that
    need a new start of the service. `id` is another one for another plan.
    """

    plan: Plan
    specs: tuple[WorkerSpec, ...]
    settings: tuple[str, ...]
    waiting: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return self.plan.empty and not self.settings and not self.waiting

    @property
    def id(self) -> str:
        specs = {spec.name: spec for spec in self.specs}
        touched = [specs[name] for name in (*self.plan.added, *(change.name for change in self.plan.changed))]
        told = repr((self.plan, touched, self.settings, self.waiting))
        return hashlib.blake2b(told.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()

    @property
    def begins(self) -> tuple[str, ...]:
        """The workers of which a run will begin."""
        specs = {spec.name: spec for spec in self.specs}
        added = [name for name in self.plan.added if specs[name].autostart]
        return (*added, *(change.name for change in self.plan.changed if change.restarts or change.starts))


@dataclass(frozen=True, slots=True)
class Scaled:
    """The replicas of a table, and which of them came and went."""

    title: str
    names: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


class Declarations:
    """Belongs to the loop. `planned` says what `Apply` would do; `choose` is what `up` was told of names.

    All methods raise `ConfigError` for a file that cannot be used, and `Refused`; then nothing has changed.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        host: Host,
        planned: Callable[[Iterable[WorkerSpec]], Plan],
        choose: Choose,
        made: Made,
        scale: Scale,
    ) -> None:
        self.config, self.made, self._scale = scale.applied(config), made, scale
        made.begin(self.config)
        self.ruled: list[Ruled] = []
        self.host = host
        self._path, self._planned, self._choose = path, planned, choose
        self._turn = asyncio.Lock()

    @property
    def specs(self) -> list[WorkerSpec]:
        """All that is declared; a name that was made over HTTP is not the file's."""
        made = self.made.specs
        theirs = {spec.name for spec in made}
        return [*(spec for spec in self._choose(self.config.workers) if spec.name not in theirs), *made]

    def source_of(self, spec: WorkerSpec) -> str:
        """Where it is written now, as `FILE:LINE`; a reload that only moved it is no event."""
        return next((one.source for one in self.config.workers if one.name == spec.name), spec.source)

    async def preview(self) -> Preview:
        """What `apply` would do now."""
        async with self._turn:
            return (await self._look())[1]

    async def apply(self, by: str, plan: str = "") -> Preview:
        """Makes what the files say rule. With the id of a plan only if it is still that plan."""
        async with self._turn:
            config, preview = await self._look()
            if plan and plan != preview.id:
                raise Refused("the files or the workers have changed since that plan was made; look again", "conflict")
            await self.host.tell(Apply(preview.specs, by=by))
            self._rule(config)
            await self._scale.tidy(config)
            return preview

    async def tidy(self) -> None:
        """Forgets what the files, as they rule, have overruled."""
        await self._scale.tidy(self.config)

    async def scale(self, name: str, replicas: int, by: str) -> Scaled:
        """Gives a table so many replicas, of the config that rules; nothing else of it is looked at anew."""
        async with self._turn:
            if name in self.made.names:
                raise Refused(f"{name} was made over HTTP; put another table in its place", "conflict")
            title = table_of(self.config, name)
            before, known = set(self.config.names[title]), self._scale.of(self.config)
            wanted = {**known, title: replicas}
            if replicas == self.config.replicas[title]:
                del wanted[title]
            config = await asyncio.to_thread(self._scale.applied, self.config, wanted)
            await self._scale.keep(config, wanted)
            try:
                await self.host.tell(Apply(tuple(self._choose(config.workers)), by=by))
            except BaseException:
                await self._scale.keep(self.config, known)
                raise
            self._rule(config)
            now = config.names[title]
            return Scaled(title, now, tuple(n for n in now if n not in before), tuple(sorted(before.difference(now))))

    async def _look(self) -> tuple[Config, Preview]:
        config = await asyncio.to_thread(self._read)
        specs = tuple(self._choose(config.workers))
        settings, waiting = beside(self.config, config)
        return config, Preview(self._planned(specs), specs, settings, waiting)

    def _read(self) -> Config:
        return self._scale.applied(load(self._path))

    def _rule(self, config: Config) -> None:
        self.config = config
        self.made.rule(config)
        for ruled in self.ruled:
            ruled(config)


def beside(old: Config, new: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys beside the workers that differ: those that are taken at once, and those that need a new start."""
    before, now = asdict(old.service), asdict(new.service)
    service = [key for key in before if before[key] != now[key]]
    tables = (
        ("logs", old.logs, new.logs),
        ("group", old.groups, new.groups),
        ("token", old.tokens, new.tokens),
        ("hook", old.hooks, new.hooks),
    )
    at_once = [title for title, was, is_now in tables if was != is_now]
    at_once += [f"service.{key}" for key in service if key in AT_ONCE]
    return tuple(at_once), tuple(f"service.{key}" for key in service if key not in AT_ONCE)
