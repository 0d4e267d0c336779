"""How many replicas a table of the config has, where somebody has said another number than the file since.

Kept in the state folder, beside the number that the file said then: once the file says another one, that rules.
Replicas are told from each other by their index, so fewer of them means that the highest go.

Known wart: where the file asks for one, that goes on under its plain name, as the first of several.
"""

import contextlib
from collections.abc import Mapping

from supervisor_core.config import Config, Sources, load
from supervisor_core.errors import Refused

from ..remembered import NotKept, Remembered

MOST = 1000


class Scale:
    """Belongs to the loop. Raises `Refused` and `NotKept`."""

    def __init__(self, store: Remembered) -> None:
        self._store = store

    def of(self, config: Config) -> dict[str, int]:
        """The tables of a config that have another number of replicas than it says."""
        found = {}
        for title, told in self._store.told.items():
            if isinstance(told, dict) and told.get("file") == config.replicas.get(title, 0):
                found[title] = int(told.get("replicas", 0))
        return {title: count for title, count in found.items() if 1 <= count <= MOST}

    def applied(self, config: Config, wanted: Mapping[str, int] | None = None) -> Config:
        """The same config with so many replicas, of the texts that were read for it; raises `ConfigError`."""
        wanted = self.of(config) if wanted is None else wanted
        asked = {title: names for title, names in config.names.items() if title in config.replicas}
        if all(len(asked[title]) == wanted.get(title, config.replicas[title]) for title in asked):
            return config
        return load(config.files[0], sources=Sources.of(config.sources.told()), scale=wanted)

    async def keep(self, config: Config, wanted: Mapping[str, int]) -> None:
        """Remembers these, and what the file says of them now."""
        told = {title: {"replicas": count, "file": config.replicas[title]} for title, count in wanted.items()}
        try:
            await self._store.keep(told)
        except OSError as error:
            raise NotKept(f"the state folder cannot be written ({error.strerror or error})") from error

    async def tidy(self, config: Config) -> None:
        """Forgets what this config has overruled; where that cannot be written down, it is seen again next time."""
        known = self.of(config)
        if known.keys() != self._store.told.keys():
            with contextlib.suppress(NotKept):
                await self.keep(config, known)


def table_of(config: Config, name: str) -> str:
    """The table that a name means: its own, or that of one of its replicas. Raises `Refused`."""
    if name in config.replicas:
        return name
    for title in config.replicas:
        if name in config.names.get(title, ()):
            return title
    raise Refused(f"there is no worker named {name} in the config file", "unknown_worker")
