"""Signing in and out: the form for a token, the page behind a login link, and the way out.

What proves who somebody is stands in `credentials.py`; here are only the pages around it.
"""

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from .credentials import Caller
from .render import Renderer, caller_of, form_of, root_of
from .throttle import Throttle


class Entrance:
    """The handlers of sign-in, login and sign-out."""

    def __init__(self, renderer: Renderer) -> None:
        self._render = renderer
        self._credentials = renderer.services.credentials
        self._throttle = Throttle(renderer.host.now)

    async def sign_in_form(self, request: Request) -> Response:
        return self._render.page(request, "sign_in.html", next=request.query_params.get("next", ""), problem="")

    async def sign_in(self, request: Request) -> Response:
        form = await form_of(request)
        presented = form.get("token", "").strip().encode("utf-8", "replace")
        caller = self._credentials.token(presented)
        if caller is None:
            await self._throttle.failed(presented)
            problem = "This token is not valid here. The command “quarterdeck token” prints the owner's."
            return self._render.page(request, "sign_in.html", 401, next=form.get("next", ""), problem=problem)
        return self._welcome(request, caller, form.get("next", ""))

    async def login_form(self, request: Request) -> Response:
        code = request.query_params.get("code", "")
        if not self._credentials.link_is_valid(code):
            return self._used_up(request)
        return self._render.page(request, "login.html", code=code)

    async def login(self, request: Request) -> Response:
        form = await form_of(request)
        caller = self._credentials.redeem(form.get("code", ""))
        if caller is None:
            await self._throttle.failed(b"link")
            return self._used_up(request)
        return self._welcome(request, caller, "")

    def _used_up(self, request: Request) -> Response:
        text = "A login link works once and for ten minutes. The command “quarterdeck login” prints a fresh one."
        return self._render.message(request, 401, "This link is used up", text, "sign-in", "Sign in with a token")

    def _welcome(self, request: Request, caller: Caller, asked: str) -> Response:
        root = root_of(request)
        answer = RedirectResponse(self._credentials.target(asked, root), 303)
        secret = self._credentials.open_session(caller)
        answer.headers["set-cookie"] = self._credentials.cookie(secret, root=root, secure=request.url.scheme == "https")
        return answer

    async def sign_out(self, request: Request) -> Response:
        caller, form = caller_of(request), await form_of(request)
        root = root_of(request)
        if not self._credentials.csrf_ok(caller, form.get("csrf", "")):
            return self._render.message(
                request, 403, "Not signed out", "This form is of another session; open the page again."
            )
        self._credentials.close_session(caller)
        answer = RedirectResponse(f"{root}/sign-in", 303)
        answer.headers["set-cookie"] = self._credentials.cookie("", root=root, secure=request.url.scheme == "https")
        return answer
