"""Workers that were made over HTTP, and runs of a worker with arguments of their own: kept in the state folder.

Both have the origin `api`, which no reload of the config touches. What is kept of a worker is its table, of a run the
name of its worker and what it was given; both may hold secrets, so the file is its owner's alone.

Each change is on the disk before it is carried out, and taken back there when the supervisor refuses it.

What a table names is read when it comes, and remembered: a file that changes or goes changes no worker later.

Known wart: another process of the service makes a run anew of what its worker is by then; one whose worker is gone is
ended, since nobody knows what it was made of.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from supervisor_core.config import Config, ConfigError, Sources, read_one
from supervisor_core.errors import Refused
from supervisor_core.messages import Apply, Changed
from supervisor_core.model import REST, Status, WorkerSpec

from ..host import Host
from ..remembered import NotKept, Remembered
from .one_off import with_arguments

log = logging.getLogger("quarterdeck.made")

KEPT = 20
"""Ended runs of a worker that are shown; the oldest goes when one more begins."""


class Made:
    """Belongs to the loop. `folder` is what paths are relative to.

    Methods that change something raise `Refused`, `ConfigError` and `NotKept`; then nothing has changed.
    """

    def __init__(self, store: Remembered, host: Host, folder: str) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Called when there are other workers."""
        self._store, self._host, self._folder = store, host, folder
        self._config = Config()
        self._turn = asyncio.Lock()
        workers, counts = store.told.get("workers"), store.told.get("counts")
        self._entries: dict[str, dict[str, Any]] = dict(workers) if isinstance(workers, dict) else {}
        self._counts: dict[str, int] = dict(counts) if isinstance(counts, dict) else {}
        self._specs: dict[str, list[WorkerSpec]] = {}

    def begin(self, config: Config) -> None:
        """Reads what is kept, beside the config that rules; what cannot be used is left out, and kept."""
        self.rule(config)
        failed: dict[str, Exception] = {}
        for _ in range(2):  # they may require each other, so all names come first
            failed = {}
            for name, entry in self._entries.items():
                try:
                    sources = None if "run" in entry else Sources.of(entry["read"])
                    self._specs[name] = self._spec_of(name, entry, lenient=True, sources=sources)
                except (ConfigError, Refused, KeyError, TypeError, ValueError) as error:
                    failed[name] = error
        for name, why in failed.items():
            log.warning("%s, which was made over HTTP, cannot be used and is left out: %s", name, why)

    def rule(self, config: Config) -> None:
        """Another config rules."""
        self._config = config

    @property
    def specs(self) -> list[WorkerSpec]:
        """All of them."""
        return [spec for specs in self._specs.values() for spec in specs]

    @property
    def names(self) -> set[str]:
        """Of tables and of workers."""
        return {*self._specs, *(spec.name for spec in self.specs)}

    # ------------------------------------------------------------ what may be changed

    async def add(self, name: str, table: Mapping[str, Any], by: str) -> tuple[str, ...]:
        """A new worker of a table as in the config file; gives the names of its replicas."""
        async with self._turn:
            self._refuse_taken(name)
            return await self._put(name, {"table": dict(table)}, by)

    async def replace(self, name: str, table: Mapping[str, Any], by: str) -> tuple[str, ...]:
        """Another table for a worker that was made so; its run is ended only for what the plan of a reload says."""
        async with self._turn:
            self._refuse_foreign(name)
            if "run" in self._entries[name]:
                raise Refused(f"{name} is a run, which is what it was; make another one", "conflict")
            return await self._put(name, {"table": dict(table)}, by)

    async def remove(self, name: str, by: str) -> tuple[str, ...]:
        """Stops it, then it is gone; gives the names of its replicas."""
        async with self._turn:
            self._refuse_foreign(name)
            names = tuple(spec.name for spec in self._specs.get(name, ()))
            await self._change({n: e for n, e in self._entries.items() if n != name}, {}, by, drop={name})
            return names

    async def run(
        self, parent: str, arguments: list[str], environment: Mapping[str, str], by: str, key: str = ""
    ) -> str:
        """A run of a worker with arguments, as a worker of its own that is not started yet; gives its name.

        With a `key` that the same one used before it is the run that was made then.
        """
        async with self._turn:
            if known := self._known(parent, arguments, environment, by, key):
                return known
            number = self._counts.get(parent, 0) + 1
            name = f"{parent}[{number}]"
            entry = {"run": parent, "arguments": arguments, "environment": dict(environment), "by": by}
            entry |= {"key": key} if key else {}
            specs = {name: self._spec_of(name, entry)}
            gone = self._oldest(parent)
            entries = {n: e for n, e in self._entries.items() if n not in gone} | {name: entry}
            await self._change(entries, specs, by, drop=gone, counts={**self._counts, parent: number})
            return name

    def _known(self, parent: str, arguments: list[str], environment: Mapping[str, str], by: str, key: str) -> str:
        for name, entry in self._entries.items() if key else ():
            if (entry.get("by"), entry.get("key")) == (by, key):
                if (entry["run"], entry["arguments"], entry["environment"]) == (parent, arguments, dict(environment)):
                    return name
                raise Refused("this Idempotency-Key was used for another run; make a new one", "idempotency_key_reused")
        return ""

    # ------------------------------------------------------------ refusals

    def _refuse_taken(self, name: str) -> None:
        taken = {known.lower(): known for known in (*self._host.snapshot().workers, *self._config.names)}
        taken |= {known.lower(): known for known in self._entries}
        if name.lower() in taken:
            raise Refused(f"there is a worker or group named {taken[name.lower()]}; choose another name", "conflict")

    def _refuse_foreign(self, name: str) -> None:
        if name in self._entries:
            return
        if of := next((title for title, specs in self._specs.items() if name in {s.name for s in specs}), None):
            raise Refused(f"{name} is one of the replicas of {of}; name that one", "conflict")
        if name in self._host.snapshot().workers or name in self._config.names:
            raise Refused(f"{name} is from the config file; change it there and apply that", "conflict")
        raise Refused(f"there is no worker named {name}", "unknown_worker")

    # ------------------------------------------------------------ carrying out

    async def _put(self, name: str, entry: dict[str, Any], by: str) -> tuple[str, ...]:
        sources = Sources()
        specs = await asyncio.to_thread(self._spec_of, name, entry, sources=sources)
        entry |= {"read": sources.told(), "by": by}
        await self._change({**self._entries, name: entry}, {name: specs}, by)
        return tuple(spec.name for spec in specs)

    async def _change(
        self,
        entries: dict[str, dict[str, Any]],
        specs: Mapping[str, list[WorkerSpec]],
        by: str,
        *,
        drop: frozenset[str] | set[str] = frozenset(),
        counts: dict[str, int] | None = None,
    ) -> None:
        before = self._store.told
        after = {name: known for name, known in self._specs.items() if name not in drop} | dict(specs)
        try:
            await self._store.keep({"workers": entries, "counts": self._counts if counts is None else counts})
        except OSError as error:
            raise NotKept(f"the state folder cannot be written ({error.strerror or error})") from error
        try:
            self._refuse_clashes(specs)
            await self._host.tell(Apply(tuple(s for each in after.values() for s in each), "api", by=by))
        except BaseException:
            await self._store.keep(before)
            raise
        self._entries, self._specs, self._counts = entries, after, self._counts if counts is None else counts
        self.changed()

    def _refuse_clashes(self, specs: Mapping[str, list[WorkerSpec]]) -> None:
        """What came while this was written down."""
        for spec in (spec for each in specs.values() for spec in each):
            known = self._status(spec.name)
            if known is not None and known.spec.origin != "api":
                raise Refused(f"there is a worker named {spec.name}; choose another name", "conflict")

    def _oldest(self, parent: str) -> set[str]:
        """The ended runs of a worker that are too many with one more."""
        runs = [name for name, entry in self._entries.items() if entry.get("run") == parent]
        ended = [name for name in runs if (status := self._status(name)) is None or status.state in REST]
        return set(ended[: max(0, len(ended) - KEPT + 1)])

    def _status(self, name: str) -> Status | None:
        entry = self._host.snapshot().workers.get(name)
        return entry.event.status if entry is not None and isinstance(entry.event, Changed) else None

    def _spec_of(
        self, name: str, entry: Mapping[str, Any], *, lenient: bool = False, sources: Sources | None = None
    ) -> list[WorkerSpec]:
        config = self._config
        if "run" not in entry:
            names = {**config.names, **{title: tuple(s.name for s in specs) for title, specs in self._specs.items()}}
            beside: dict[str, Any] = {"known": names, "logs": config.logs, "pools": config.pools}
            return read_one(name, entry["table"], self._folder, **beside, lenient=lenient, sources=sources)
        parent = next((s for s in (*config.workers, *self.specs) if s.name == entry["run"]), None)
        if parent is None:
            raise Refused(f"there is no worker named {entry['run']}", "unknown_worker")
        return [with_arguments(parent, name, entry["arguments"], entry["environment"])]
