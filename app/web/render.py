"""Turns a template into a page: the frame's values, small messages, and what handlers read of a request.

The templates stand in `templates/`; autoescape is on and nothing here marks text as safe. No route is here.
"""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from .. import assets
from ..host import Host
from . import wire
from .credentials import Caller
from .routes import allows
from .services import Services


class Renderer:
    """Renders pages for one host."""

    def __init__(self, host: Host, services: Services) -> None:
        self.host = host
        self.services = services
        self.static: Path = services.static or assets.STATIC
        self._templates = Environment(
            loader=FileSystemLoader(services.templates or assets.TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(self, request: Request, template: str, status_code: int = 200, **values: Any) -> Response:
        """A page in the frame. Somebody who has not signed in sees no name of the host."""
        caller, root = caller_of(request), root_of(request)
        theme = request.cookies.get("qd_theme", "")
        signed_in = allows(caller.scope, "read")
        text = self._templates.get_template(template).render(
            base=f"{root}/",
            static=f"{root}/static/{assets.version(self.static)}/",
            version=self.services.settings.version,
            host=self.host.name if signed_in else "",
            color=self.services.settings.color,
            theme=theme if theme in ("light", "dark") else "",
            csrf=self.services.credentials.csrf(caller) if signed_in else "",
            session=caller.how == "session",
            may_act=allows(caller.scope, "operate"),
            now=wire.when(self.host.now()),
            conditions=list(self.services.conditions) if signed_in else (),
            **values,
        )
        return HTMLResponse(text, status_code)

    def message(
        self, request: Request, status_code: int, title: str, text: str, back: str = "", back_words: str = "Back"
    ) -> Response:
        """One sentence on a page of its own, with the way back."""
        root = root_of(request)
        there = self.services.credentials.target(f"{root}/{back}", root).removeprefix(f"{root}/")
        return self.page(
            request, "message.html", status_code, title=title, text=text, back=there, back_words=back_words
        )


def caller_of(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def root_of(request: Request) -> str:
    """The path under which the service is reached, without a slash at its end."""
    return str(request.scope.get("root_path", ""))


async def form_of(request: Request) -> dict[str, str]:
    """The first value of each field of a posted form; whatever is none is no field."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
