"""The one security middleware: every request passes it before it is routed, and every answer on its way out.

In this order: forwarding headers, size of head and body, Host, the route's rule, same-origin for what the browser adds
by itself, who asks, what they may. On the way out: security headers on everything, errors too. Nothing here knows
workers. The rules are those of the HTTP contract, "Who may".

Known wart: whoever may use the Unix socket is looked up in the user database at each request.
"""

import grp
import logging
import os
import pwd
from collections.abc import Callable
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from ..watchers.ledger.book import Audited
from .credentials import NOBODY, Caller, Credentials
from .ends import Answer, abort, bounded, read_cookie, read_headers, refuse_large, set_root
from .origin import Way, host_name, is_ours, loopback, networks, same_origin, way
from .problems import Problem, printable
from .routes import Rule, Table, allows
from .services import Settings
from .throttle import Throttle

SAFE = frozenset({"GET", "HEAD"})
WHAT = 200
"""Characters of a path that the audit keeps."""

UNGUARDED = frozenset({"/healthz", "/readyz"})

log = logging.getLogger("quarterdeck.web")


class Gate:
    """Wraps the application. `now` is the host's clock. `audit` is told of each request that may change something.

    Once when it is let in or refused for its scope, and again with the status that was answered.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        credentials: Credentials,
        table: Table,
        now: Callable[[], float],
        audit: Callable[[Audited], None] = lambda _: None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.credentials = credentials
        self.table = table
        self.proxies = networks(settings.behind_proxy)
        self.throttle = Throttle(now)
        self.now = now
        self.audit = audit
        self._last_request = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no websockets here, and no lifespan: the composition root starts and ends things
        answer = Answer(send)
        try:
            scope = dict(scope)
            scope["state"] = dict(scope.get("state") or {})
            await self._admit(scope, answer)
            await self.app(scope, bounded(receive), answer)
        except Problem as problem:
            await answer.problem(problem, scope, receive)
        except ClientDisconnect:
            pass
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if answer.started:
                await abort(scope)
            else:
                fault = Problem(500, "internal", "this is a fault of the service; its log says more")
                await answer.problem(fault, scope, receive)
        finally:
            if request := (scope.get("state") or {}).get("request"):
                operation = scope["state"].get("operation", "")
                self.audit(request._replace(operation=operation, status=answer.status or None))

    async def _admit(self, scope: Scope, answer: "Answer") -> None:
        """Raises `Problem` for a request that may not pass; else leaves who asks and what for in the scope's state."""
        headers = read_headers(scope)
        client = scope["client"][0] if scope.get("client") else ""
        came = way(client, headers.get("host", ""), scope.get("scheme", "http"), headers, self.proxies)
        scope["scheme"] = came.scheme
        set_root(scope, came.prefix if came.prefix is not None else self.settings.root_path)
        path = scope["path"][len(scope["root_path"]) :]
        answer.secure = came.scheme == "https"
        answer.store = path.startswith("/static/")
        refuse_large(scope, headers)
        if path in UNGUARDED:
            scope["state"]["caller"] = NOBODY
            self.table.find(scope["method"], path)
            return
        self._check_host(scope, came)
        if not path:
            raise Problem(
                308, "moved", "the service begins one slash further", headers={"Location": f"{scope['root_path']}/"}
            )
        rule = self.table.find(scope["method"], path)
        caller = NOBODY if answer.store else await self._who(scope, headers, came, rule)
        if scope["method"] not in SAFE and rule.scope in ("operate", "admin") and caller is not NOBODY:
            scope["state"]["request"] = request = self._request(scope["method"], path, caller, came)
            self.audit(request)
        if not allows(caller.scope, rule.scope):
            raise self._refusal(scope, rule, caller, path)
        if caller.renew:
            root = scope["root_path"]
            answer.cookie = self.credentials.cookie(caller.secret, root=root, secure=answer.secure)
        scope["state"]["caller"] = caller

    def _request(self, method: str, path: str, caller: Caller, came: Way) -> Audited:
        now = self.now()
        self._last_request = max(self._last_request + 1, int(now * 1e6))
        what = f"{method} {printable(path[:WHAT])}"
        return Audited(self._last_request, now, caller.who, caller.how, came.client, what)

    # ------------------------------------------------------------ Host and Origin

    def _check_host(self, scope: Scope, came: Way) -> None:
        if sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise Problem(400, "bad_host", "there is more than one Host header")
        name = host_name(came.host)
        server = scope.get("server")
        own = str(server[0]) if server else ""
        if name is None or not is_ours(name, own, self.settings.allowed_hosts, self.settings.public_url):
            shown = "is missing" if not came.host else f"names {came.host[:80]!a}, which is none of ours"
            raise Problem(
                421, "unknown_host", f"the Host header {shown}; add the name to allowed_hosts under [service]"
            )

    def _check_origin(self, scope: Scope, headers: dict[str, str], came: Way, *, must_say: bool) -> None:
        """Refuses a write that a browser may have been tricked into; `must_say`: silence is refused, too."""
        if scope["method"] in SAFE:
            return
        own = same_origin(headers, came.scheme, came.host, self.settings.public_url)
        if own is False or (own is None and must_say):
            raise Problem(
                403,
                "cross_site",
                "a write with a cookie must come from this service's own pages: neither Sec-Fetch-Site nor Origin "
                "says so; behind a proxy set public_url under [service], in a program use a bearer token",
            )

    # ------------------------------------------------------------ who, and what they may

    async def _who(self, scope: Scope, headers: dict[str, str], came: Way, rule: Rule) -> Caller:
        if "authorization" in headers:
            return await self._bearer(headers["authorization"])
        cookie = read_cookie(headers.get("cookie", ""), self.credentials.cookie_name)
        if cookie:
            self._check_origin(scope, headers, came, must_say=True)
            caller = self.credentials.session(cookie)
            if caller is not None:
                return caller
            if rule.scope != "none":
                await self.throttle.failed(cookie)
        self._check_origin(scope, headers, came, must_say=False)
        if not came.forwarded:
            peer = (scope.get("extensions") or {}).get("quarterdeck", {}).get("uid")
            if peer is not None and self._trusted(peer):
                return Caller(_user_name(peer), "admin", "socket")
            if self.settings.no_auth and loopback(came.client):
                return Caller("anybody", "operate", "no-auth")
        return NOBODY

    async def _bearer(self, header: str) -> Caller:
        kind, _, token = header.partition(" ")
        presented = token.strip().encode("latin-1")
        caller = self.credentials.token(presented) if kind.lower() == "bearer" else None
        if caller is None:
            await self.throttle.failed(presented)
            raise _unauthorized(
                "the Authorization header holds no token that is valid here; `quarterdeck token` prints one"
            )
        return caller

    def _trusted(self, uid: int) -> bool:
        if uid in (0, self.settings.owner_uid):
            return True
        if not self.settings.socket_group:
            return False
        try:
            group = grp.getgrnam(self.settings.socket_group).gr_gid
            user = pwd.getpwuid(uid)
        except KeyError:
            return False
        return group in os.getgrouplist(user.pw_name, user.pw_gid)

    def _refusal(self, scope: Scope, rule: Rule, caller: Caller, path: str) -> Problem:
        if caller is not NOBODY:
            return Problem(403, "forbidden", f"this needs the scope {rule.scope}; {caller.who} has {caller.scope}")
        if rule.page:
            back = quote(scope["root_path"] + path, safe="/")
            if scope["query_string"]:
                back += quote("?" + scope["query_string"].decode("latin-1"), safe="")
            there = f"{scope['root_path']}/sign-in" + (f"?next={back}" if scope["method"] in SAFE else "")
            return Problem(303, "sign_in", "sign in first", headers={"Location": there})
        return _unauthorized("this needs a bearer token or a signed-in browser; `quarterdeck token` prints one")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="quarterdeck"'})
