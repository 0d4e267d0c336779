"""How the web comes, once all that may start has been started, and what a person is told of it.

The web is FastAPI, a third of a second: it is imported in the functions that need it. Nothing is started here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from supervisor_core.config import Config

from .echo import say
from .host import LocalHost
from .settings import Instance, UpOptions
from .watchers.conditions import Conditions

if TYPE_CHECKING:
    from .serving import Server
    from .web.services import Services


def keep_secrets(instance: Instance) -> None:
    """Makes those that nobody could get in without, before the first worker. Raises `CannotKeep`."""
    if not instance.token_file.exists():
        from .web import credentials

        credentials.keep_secrets(instance.state)


def make_web(
    host: LocalHost, config: Config, instance: Instance, options: UpOptions, conditions: Conditions
) -> "tuple[Services, Server]":
    """Gives what the web shares with the service, and its server; for a thread."""
    from .serving import Server
    from .web.factory import create_app, make_services
    from .web.peer import PeerProtocol

    services = make_services(host, config, instance, options, conditions)
    return services, Server(create_app([host], services=services), protocol=PeerProtocol)


def say_where(urls: Sequence[str], services: "Services", options: UpOptions, notes: Sequence[str]) -> None:
    """Says where the page is and how to get in."""
    settings = services.settings
    address = settings.public_url.removesuffix(settings.root_path) or (urls[0] if urls else "")
    if address:
        say(f"page    {address}{settings.root_path}/")
    if options.no_auth:
        say("no-auth everybody on this machine may see, stop and restart the workers")
    elif address:
        say(f"sign in {services.credentials.login_link(address)}  (once)")
    for note in notes:
        say(f"note    {note}")
    say(f"config  {options.config_path}")
