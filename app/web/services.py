"""What the web layer is given to work with: settings, credentials, operations, the shared feed, two flags.

Made once by the composition root and handed to every part; no part reaches for a global. No request is handled here.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_core.model import WorkerSpec
from supervisor_core.search import Searches

from ..watchers.conditions import Conditions
from ..watchers.ledger.book import Audited
from ..watchers.ledger.ledger import Ledger
from ..watchers.metrics.watch import Metrics
from ..watchers.operations import Operations
from ..watchers.upgrades import Upgrades
from .credentials import Credentials
from .feed import Feed
from .wire import Rows

if TYPE_CHECKING:
    from ..drivers.declarations import Declarations
    from ..drivers.rolling import Rollings

COUNTING = 2
"""Each takes a thread and up to a second of it; others wait for their turn."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the gate goes by. `root_path` has no slash at its end ("" or "/jobs"); `public_url` neither.

    `behind_proxy` are addresses or networks whose forwarding headers are believed. `socket_group` is a group whose
    members are admin through the Unix socket, as are `owner_uid` and root. `groups` has
    the names of the workers of each `[group.NAME]`. `streams` are open at most in all.
    `color` is that of the stripe on each page, as #rrggbb.
    """

    instance: str = "local"
    version: str = "0"
    root_path: str = ""
    public_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    behind_proxy: tuple[str, ...] = ()
    no_auth: bool = False
    owner_uid: int = field(default_factory=os.getuid)
    socket_group: str = ""
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    streams: int = 1000
    color: str = ""


@dataclass(slots=True)
class Services:
    """`stopping`: set, every stream says good-bye and ends. `applied`: set once the config is applied (readyz).

    `conditions` are what is wrong with the service itself while its workers run on.

    `farewell` is why a stream ends. `upgrades`: None in a program that has no keeper, `declarations` in one without a
    config.

    `streams` are open now, `opened` counts all that ever were. `counting` is for histograms.

    `make_ledger`: None in a program that keeps none; `ledger` is there from `begin` on.
    """

    settings: Settings
    credentials: Credentials
    operations: Operations
    rows: Rows
    conditions: Conditions
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    applied: asyncio.Event = field(default_factory=asyncio.Event)
    farewell: str = "the service is leaving"
    upgrades: Upgrades | None = None
    make_ledger: Callable[[], Ledger] | None = None
    ledger: Ledger | None = None
    declarations: "Declarations | None" = None
    rollings: "Rollings | None" = None
    templates: Path | None = None
    static: Path | None = None
    streams: int = 0
    opened: int = 0
    searches: Searches = field(default_factory=Searches)
    counting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(COUNTING))
    feed: Feed = field(init=False)
    metrics: Metrics = field(init=False)

    def begin(self) -> None:
        """The config is applied: opens the ledger, in whose thread that is done, and says that we are ready."""
        if self.make_ledger is not None:
            self.ledger = self.make_ledger()
            self.operations.remember(self.ledger)
        self.applied.set()

    def audit(self, request: Audited) -> None:
        """Keeps who wanted to change something."""
        if self.ledger is not None:
            self.ledger.take_request(request)

    def source_of(self, spec: WorkerSpec) -> str:
        """Where a worker is written, as FILE:LINE without the folder."""
        source = spec.source if self.declarations is None else self.declarations.source_of(spec)
        return source.rpartition("/")[2]

    def step_aside(self) -> None:
        """Another process takes over: who waits is told at once how far things are, and to come back."""
        self.farewell = "the service is replaced by a newer one, which is there in a moment: come back"
        self.operations.release()

    async def aclose(self) -> None:
        """Ends what follows the journal, and writes down what the sessions have learnt."""
        if self.rollings is not None:
            await self.rollings.aclose()
        await self.operations.aclose()
        await self.metrics.aclose()
        await self.feed.aclose()
        self.credentials.save()
        if self.ledger is not None:
            await self.ledger.aclose()
