"""The routes that change what is declared to run (workers, runs, replicas, the config), and those for many at once.

No handler lives here; `api.py` has the whole table.
"""

from . import actions, config, making
from .routes import ACTED, ONE, WAIT, Query, Route

CHANGES: tuple[Route, ...] = (
    Route(
        "POST", "/api/v1/workers", "admin", handler=making.add, summary="A new worker: name and keys of the config",
        query=WAIT[:1], body="{name: string, …keys of a worker}", answers=(201, 400, 409, 413, 415, 422, 503, 507),
    ),
    Route(
        "PUT", ONE, "admin", handler=making.replace, summary="Another table for a worker that was made over HTTP",
        query=WAIT[:1], body="{…keys of a worker}", answers=(200, 400, 404, 409, 413, 415, 422, 503, 507),
    ),
    Route(
        "DELETE", ONE, "admin", handler=making.remove, summary="Stops and removes a worker that was made over HTTP",
        body="{reason: string}", answers=(202, 400, 404, 409, 413, 415, 422, 503, 507),
    ),
    Route(
        "POST", f"{ONE}/run", "operate", handler=making.run, query=WAIT,
        summary="A run with arguments, as a worker NAME[N]; answered when it is done",
        body="{args: [string], environment: {NAME: string}, reason: string}", answers=ACTED,
    ),
    Route(
        "POST", f"{ONE}/scale", "operate", handler=actions.scale, query=WAIT[:1], body="{replicas: integer}",
        summary="So many replicas; the highest go", answers=(200, 400, 404, 409, 413, 415, 422, 503, 507),
    ),
    Route(
        "POST", "/api/v1/actions", "operate", handler=actions.act, query=WAIT,
        summary="One order to many workers; a restart may be rolling",
        body="{action: string, workers: [string], rolling: {batch, pause, timeout}}", answers=ACTED,
    ),
    Route(
        "GET", "/api/v1/actions/{id}", "read", handler=actions.get_rolling, query=WAIT[:1],
        summary="How far a rolling restart is", answers=(200, 400, 404),
    ),
    Route(
        "POST", "/api/v1/config/plan", "admin", handler=config.plan, body="{}",
        summary="What the config files would change now", answers=(200, 400, 409, 413, 415, 422),
    ),
    Route(
        "POST", "/api/v1/config/apply", "admin", handler=config.apply, body="{plan: string, reason: string}",
        summary="Makes the config files rule; only what changed is restarted",
        query=(Query("wait", "seconds to wait for what begins; none without it", "number"),),
        answers=(200, 400, 409, 413, 415, 422, 503, 507),
    ),
)  # fmt: skip
