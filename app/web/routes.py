"""What can be asked for, and what one must be allowed to do for it: the types of the route table, and the pages.

The gate admits only what is in a table, so a route without a scope cannot be reached. The API's table is in `api.py`,
beside its handlers. Known wart: the scopes of the pages stand here, away from their handlers in `pages.py`.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from .problems import Problem

if TYPE_CHECKING:
    from ..host import Host
    from .credentials import Caller
    from .services import Services

SCOPES = ("none", "read", "operate", "admin")
"""Each includes those before it."""


def allows(have: str, need: str) -> bool:
    return SCOPES.index(have) >= SCOPES.index(need)


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to a handler, with who asks and what may be asked."""

    request: Request
    caller: "Caller"
    host: "Host"
    services: "Services"

    @property
    def root(self) -> str:
        """The path under which the service is reached, without a slash at its end."""
        return str(self.request.scope.get("root_path", ""))


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter, for the printed contract."""

    name: str
    doc: str
    type: str = "string"
    many: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One method on one path and the scope that it takes. `page`: for people, so a refusal leads to the sign-in."""

    method: str
    path: str
    scope: str
    page: bool = False


@dataclass(frozen=True, slots=True)
class Route(Rule):
    """A rule with its handler and what the contract says of it."""

    handler: Handler = field(kw_only=True)
    summary: str = field(kw_only=True)
    query: tuple[Query, ...] = field(default=(), kw_only=True)
    body: str = field(default="", kw_only=True)
    answers: tuple[int, ...] = field(default=(200,), kw_only=True)
    media: str = field(default="application/json", kw_only=True)


ONE = "/api/v1/workers/{name}"
WAIT = (
    Query("wait", "seconds to wait for the outcome; 0 for none", "number"),
    Query("until", "ready (default) or done (default for one-shots)"),
)
ACTED = (200, 202, 400, 404, 409, 413, 415, 422, 503, 507)
"""What several routes have in common: the path of a worker, how long to wait, and how an order may be answered."""

PAGES: tuple[Rule, ...] = (
    Rule("GET", "/", "read", page=True),
    Rule("GET", "/workers/{name}", "read", page=True),
    Rule("POST", "/workers/{name}/act", "operate", page=True),
    Rule("GET", "/sign-in", "none", page=True),
    Rule("POST", "/sign-in", "none", page=True),
    Rule("GET", "/login", "none", page=True),
    Rule("POST", "/login", "none", page=True),
    Rule("POST", "/sign-out", "none", page=True),
    Rule("GET", "/static/{version}/{path:path}", "none", page=True),
    Rule("GET", "/favicon.ico", "none", page=True),
)


class Table:
    """Finds the rule of a request."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._paths: dict[str, dict[str, Rule]] = {}
        for rule in rules:
            methods = self._paths.setdefault(rule.path, {})
            if rule.method in methods:
                raise ValueError(f"{rule.method} {rule.path} is in the table twice")
            methods[rule.method] = rule
        self._plain = {path: methods for path, methods in self._paths.items() if "{" not in path}
        self._regexes = [
            (compile_path(path)[0], methods) for path, methods in self._paths.items() if path not in self._plain
        ]

    def covers(self, method: str, path: str) -> bool:
        """Whether the table has this very rule."""
        return method in self._paths.get(path, {})

    def find(self, method: str, path: str) -> Rule:
        """The rule for a path below the root path. Raises `Problem`: 404 for no such path, 405 for another method."""
        methods = self._plain.get(path)
        if methods is None:
            methods = next((found for regex, found in self._regexes if regex.match(path)), None)
        if methods is None:
            raise Problem(404, "not_found", "there is nothing under this path; GET /openapi.json lists what there is")
        rule = methods.get("GET" if method == "HEAD" else method)
        if rule is None:
            allowed = sorted(methods) + (["HEAD"] if "GET" in methods else [])
            detail = f"this path takes {' and '.join(allowed)}"
            raise Problem(405, "method_not_allowed", detail, headers={"Allow": ", ".join(allowed)})
        return rule
