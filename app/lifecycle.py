"""The askers that act beside people: what the service starts once the web is there. Composition alone.

Each is a coroutine that goes on until it is cancelled. Nothing is decided here.
"""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from supervisor_core.supervisor import Supervisor

from .drivers.alarm import WallAlarm
from .drivers.schedule import Schedules
from .host import Host
from .remembered import Remembered
from .settings import Instance

if TYPE_CHECKING:
    from .web.services import Services

SCHEDULES = "schedules.json"


def schedules(
    host: Host, supervisor: Supervisor, instance: Instance, services: "Services"
) -> Coroutine[Any, Any, None]:
    """Starts workers at the times of their schedules, which are shown in the rows of the web."""
    store = Remembered(instance.state / SCHEDULES)
    planned = Schedules(host, WallAlarm(), store, supervisor.log, services.rows.renew)
    services.rows.schedules = planned
    return planned.run()
