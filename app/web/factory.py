"""Makes the web application: the route table, the pages, and the gate before all of them.

`create_app(hosts, services=services)` gives a FastAPI application that can also be mounted inside another one; every
URL that it makes is relative to its root path. `make_services` makes what it needs from config and instance.

Known wart: FastAPI's own OpenAPI is switched off, since the contract is printed from the table.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from ..assets import STATIC, TEMPLATES
from ..host import Host
from ..version import version
from ..watchers.conditions import Conditions
from ..watchers.ledger.ledger import FILE as LEDGER
from ..watchers.ledger.ledger import Ledger
from ..watchers.metrics.sampler import ProcSampler, Sampler
from ..watchers.metrics.watch import Metrics
from ..watchers.operations import Operations
from .api import ROUTES
from .credentials import Credentials, NamedToken
from .feed import Feed
from .gate import Gate
from .pages import pages_router
from .problems import Problem
from .routes import PAGES, Call, Route, Table
from .services import Services, Settings
from .wire import Rows

if TYPE_CHECKING:
    from supervisor_core.config import Config

    from ..settings import Instance, UpOptions

__all__ = ["Services", "Settings", "create_app", "gather", "make_services", "take_config"]


def gather(
    host: Host,
    *,
    settings: Settings,
    credentials: Credentials,
    conditions: Conditions | None = None,
    sampler: Sampler | None = None,
) -> Services:
    """The services of a host, with operations, conditions and metrics told to the event stream."""
    rows = Rows()
    operations = Operations(host)
    held = Conditions(host.now) if conditions is None else conditions
    services = Services(settings, credentials, operations, rows, held, templates=TEMPLATES, static=STATIC)
    services.feed = Feed(host, rows, services.stopping)
    operations.listen(services.feed.take_operation)
    held.listen(services.feed.wake)
    services.metrics = Metrics(host, ProcSampler("", host.now) if sampler is None else sampler)
    services.metrics.listen(services.feed.wake)
    return services


def make_services(
    host: Host, config: "Config", instance: "Instance", options: "UpOptions", conditions: Conditions
) -> Services:
    """What the service of an instance needs. Raises `CannotKeep` when its secrets cannot be kept."""
    service = config.service
    public_url = (service.public_url or "").rstrip("/")
    root_path = urlsplit(public_url).path
    credentials = Credentials(instance.state, host.now, named=named_tokens(config), root_path=root_path)
    settings = Settings(
        instance=credentials.instance,
        version=version(),
        root_path=root_path,
        public_url=public_url,
        allowed_hosts=tuple(service.allowed_hosts),
        behind_proxy=tuple(service.behind_proxy),
        no_auth=options.no_auth,
        socket_group=service.socket_group or "",
        color=service.color or "",
        groups=groups_of(config),
    )
    sampler = ProcSampler(instance.mark, host.now)
    services = gather(host, settings=settings, credentials=credentials, conditions=conditions, sampler=sampler)
    services.make_ledger = partial(Ledger, instance.state / LEDGER, host, conditions, settings.version)
    return services


def named_tokens(config: "Config") -> list[NamedToken]:
    return [NamedToken.of(token.name, token.scope, token.sha256, token.expires) for token in config.tokens]


def groups_of(config: "Config") -> dict[str, frozenset[str]]:
    return {name: frozenset(group.workers) for name, group in config.groups.items()}


def take_config(services: Services, config: "Config") -> None:
    """What can be taken of another config while the service goes on."""
    services.settings = replace(services.settings, groups=groups_of(config))
    services.credentials.name(named_tokens(config))


def create_app(hosts: Sequence[Host], *, services: Services) -> FastAPI:
    """The application; the API speaks for the first host. Raises RuntimeError for a route without a scope."""
    host = hosts[0]
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, title="Quarterdeck")
    for route in ROUTES:
        app.router.routes.append(Path(route.path, _endpoint(route, host, services), methods=[route.method]))
    table = Table([*ROUTES, *PAGES])
    pages = pages_router(hosts, services)
    _refuse_open_routes(pages, table)
    app.include_router(pages)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_middleware(
        Gate,
        settings=services.settings,
        credentials=services.credentials,
        table=table,
        now=host.now,
        audit=services.audit,
    )
    return app


def _endpoint(route: Route, host: Host, services: Services) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await route.handler(Call(request, request.state.caller, host, services))

    return endpoint


def _refuse_open_routes(pages: APIRouter, table: Table) -> None:
    for route in pages.routes:
        path, methods = getattr(route, "path", ""), getattr(route, "methods", None) or {"?"}
        for method in methods - {"HEAD"}:
            if not table.covers(method, path):
                raise RuntimeError(f"{method} {path} has no scope: add it to PAGES in routes.py")


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Problem(error.status_code, "http", str(error.detail), headers=error.headers).response()
