"""The askers that act beside people, and what changes while the service goes on. Composition alone.

Nothing is decided here. The web is imported in the functions that need it, since workers are started before that.
"""

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from supervisor_core.config import Config
from supervisor_core.errors import Refused
from supervisor_core.model import WorkerSpec
from supervisor_core.supervisor import Supervisor

from .drivers.alarm import WallAlarm
from .drivers.declarations import Declarations
from .drivers.schedule import Schedules
from .grounds import Ground
from .host import Host
from .preflight import CannotBegin, chosen
from .remembered import Remembered
from .settings import Instance, UpOptions
from .watchers.edits import Edits

if TYPE_CHECKING:
    from .web.services import Services

SCHEDULES = "schedules.json"


def declarations(options: UpOptions, config: Config, host: Host, supervisor: Supervisor) -> Declarations:
    """What is declared to run; `up NAME` stays what it was told over a reload."""

    def choose(specs: Sequence[WorkerSpec]) -> list[WorkerSpec]:
        try:
            return chosen(specs, options.names)
        except CannotBegin as error:
            raise Refused(f"{error}; or start the service again without it", "bad_config") from None

    return Declarations(options.config_path, config, host, supervisor.plan, choose)


def begin(
    declared: Declarations,
    ground: Ground,
    edits: Edits,
    services: "Services",
    instance: Instance,
    supervisor: Supervisor,
) -> Coroutine[Any, Any, None]:
    """Whoever goes by the config hears of another one; gives the life of the schedules, which rows of the web show."""
    from .web.factory import take_config

    services.declarations = declared
    declared.ruled = [
        ground.rule,
        lambda config, _: edits.rule(config.sources),
        lambda config, _: take_config(services, config),
    ]
    store = Remembered(instance.state / SCHEDULES)
    planned = Schedules(declared.host, WallAlarm(), store, supervisor.log, services.rows.renew)
    services.rows.schedules = planned
    return planned.run()
