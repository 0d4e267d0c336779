"""What acts beside people, and what changes while the service goes on. Composition alone.

Nothing is decided here. The web is imported in the functions that need it, since workers are started before that.
"""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from supervisor_core.children.cgroup import keeps_memory
from supervisor_core.config import Config
from supervisor_core.errors import Refused
from supervisor_core.messages import Start
from supervisor_core.model import WorkerSpec
from supervisor_core.supervisor import Supervisor

from .drivers.alarm import WallAlarm
from .drivers.declarations import Declarations
from .drivers.made import Made
from .drivers.rolling import Rollings
from .drivers.scale import Scale
from .drivers.schedule import Schedules
from .grounds import Ground
from .host import Host
from .preflight import CannotBegin, chosen
from .remembered import Remembered
from .settings import Instance, UpOptions
from .watchers.conditions import Conditions
from .watchers.edits import Edits
from .watchers.hooks import CONDITION as FAILED
from .watchers.hooks import Hooks
from .watchers.metrics.guard import Guard

if TYPE_CHECKING:
    from .delivery import Delivery
    from .web.services import Services

SCHEDULES, WORKERS, SCALE = "schedules.json", "workers.json", "scale.json"


def declarations(
    options: UpOptions, config: Config, instance: Instance, host: Host, supervisor: Supervisor
) -> Declarations:
    """What is declared to run; `up NAME` stays what it was told over a reload."""

    def choose(specs: Sequence[WorkerSpec]) -> list[WorkerSpec]:
        try:
            return chosen(specs, options.names)
        except CannotBegin as error:
            raise Refused(f"{error}; or start the service again without it", "bad_config") from None

    made = Made(Remembered(instance.state / WORKERS), host, str(options.config_path.absolute().parent))
    scale = Scale(Remembered(instance.state / SCALE))
    return Declarations(options.config_path, config, host, supervisor.plan, choose, made, scale)


def begin(
    declared: Declarations,
    ground: Ground,
    edits: Edits,
    services: "Services",
    instance: Instance,
    supervisor: Supervisor,
) -> dict[str, Coroutine[Any, Any, None]]:
    """Whoever goes by the config hears of another one; gives lives by name.

    Of the schedules, of the hooks, and of who ends runs above `limits.memory` where the kernel does not.
    """
    from .delivery import Delivery
    from .web.factory import take_config

    services.declarations = declared
    services.rollings = Rollings(services.operations, declared.host)
    declared.made.changed = lambda: ground.rule(declared.config, declared.specs)
    declared.made.changed()
    declared.ruled = [
        lambda config: ground.rule(config, declared.specs),
        lambda config: edits.rule(config.sources),
        lambda config: take_config(services, config),
    ]
    store = Remembered(instance.state / SCHEDULES)
    planned = Schedules(declared.host, WallAlarm(), store, supervisor.log, services.rows.renew)
    services.rows.schedules = planned
    delivery = Delivery(getattr(ground.spawner, "shelter", None), f"{instance.mark}-hook")
    watching = Hooks(
        declared.host, declared.config.hooks, delivery.deliver, lambda told: _tell_of_hooks(services.conditions, told)
    )
    declared.ruled.append(lambda config: watching.rule(config.hooks))
    guard = Guard(declared.host, services.conditions, supervisor.report, supervisor.log, keeps_memory)
    services.metrics.hold(guard)
    return {
        "scale": declared.tidy(),
        "schedules": planned.run(),
        "hooks": _until_over(watching, delivery),
        "memory": guard.run(),
    }


async def _until_over(hooks: Hooks, delivery: "Delivery") -> None:
    try:
        await hooks.run()
    finally:
        await delivery.aclose()


def _tell_of_hooks(conditions: Conditions, told: Mapping[str, str]) -> None:
    conditions.replace((FAILED,), {FAILED: "; ".join(told.values())} if told else {})


def want(supervisor: Supervisor, specs: Iterable[WorkerSpec]) -> list[str]:
    """Whom `up` names is wanted, also where somebody had it stopped before a power cut; gives who refused, and why."""
    refusals = []
    for spec in specs:
        if spec.autostart:
            try:
                supervisor.tell(Start(spec.name, by="up"))
            except Refused as refusal:
                refusals.append(str(refusal))
    return refusals
