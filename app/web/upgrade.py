"""The routes of an upgrade: ask for it, and see how far it is, in the service that was asked or in its successor."""

from starlette.responses import Response

from supervisor_core.model import Phase

from ..watchers.upgrades import CannotUpgrade, Upgrade
from . import wire
from .params import read_object
from .problems import Problem, refused
from .routes import Call

NO_KEEPER = "this program has no keeper, so it cannot be replaced while its workers run; end it and start it again"


async def upgrade(call: Call) -> Response:
    """POST /api/v1/upgrade: answered when the keeper is the new program; then this service ends for its successor."""
    await read_object(call.request, reason=str)
    if call.host.snapshot().phase in (Phase.LEAVING, Phase.OVER):
        raise refused("shutting_down", "the service is leaving, so nothing is upgraded")
    if call.services.upgrades is None:
        raise Problem(409, "no_keeper", NO_KEEPER)
    try:
        begun = await call.services.upgrades.begin(call.caller.who)
    except CannotUpgrade as error:
        raise Problem(409, error.code, str(error)) from None
    return Response(_told(begun), 202, {"Location": f"{call.root}/api/v1/upgrade"}, media_type="application/json")


async def get_upgrade(call: Call) -> Response:
    """GET /api/v1/upgrade."""
    upgrades = call.services.upgrades
    if upgrades is None or upgrades.last is None:
        raise Problem(404, "no_upgrade", "this service was not upgraded since it was started")
    return Response(_told(upgrades.last), media_type="application/json")


def _told(upgrade: Upgrade) -> bytes:
    return wire.dump(
        {
            "upgrade": {
                "state": upgrade.state,
                "by": upgrade.by,
                "asked": wire.when(upgrade.asked),
                "keeper": {"pid": upgrade.keeper, "gap_ms": _milliseconds(upgrade.keeper_gap)},
                "service": {
                    "before": upgrade.before,
                    "after": upgrade.after or None,
                    "gap_ms": _milliseconds(upgrade.gap),
                },
            }
        }
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
