"""A real server, a real browser: the application over a scripted host, in a thread with its own loop.

What a test sees is Chromium against `create_app` on a real socket; what the works do is played by the test. Every page
that a test opens is checked at its end for script errors and reports of the content security policy.
"""

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from app.serving import Server
from app.web.credentials import Credentials
from app.web.factory import Settings, create_app, gather
from supervisor_core.model import RestartPolicy, WorkerSpec
from tests.support.asgi import ScriptedHost, a_program
from tests.support.invariants import TAG
from tests.support.needs import missing

FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

Given = TypeVar("Given")


def fleet() -> list[WorkerSpec]:
    """Workers that stand for each kind of life."""
    retry = RestartPolicy(
        restart="on_failure", max_restarts=5, backoff_initial=30.0, backoff_max=30.0, on_give_up="fail"
    )
    return [
        a_program("db"),
        a_program("web", "db", links={"site": "http://127.0.0.1:8000"}, labels={"group": "front"}),
        a_program("mailer", "db"),
        a_program("flaky", restart=retry),
        a_program("broken"),
        a_program("batch", one_shot=True),
        a_program("waiter", "idle"),
        a_program("idle", autostart=False),
        a_program("slow"),
    ]


def play_fleet(host: ScriptedHost) -> None:
    """Brings the fleet to where every state can be seen."""
    host.come_up("db", 4242)
    host.come_up("web", 4243)
    host.come_up("mailer", 4244)
    host.end("flaky", code=1, reason="exit 1")
    host.end("broken", signal=9, reason="killed by SIGKILL")
    host.end("batch", code=0)
    host.write("web", "\x1b[32mINFO\x1b[0m listening on \x1b[1m8000\x1b[0m", *(f"GET /page/{n} 200" for n in range(30)))
    host.write("web", "\x1b[31mERROR\x1b[0m upstream is gone", stream="err")
    host.write("flaky", "cannot reach the queue", stream="err")


class Service:
    """The service on a port that it keeps, so that it can be stopped and started again as a restart would."""

    def __init__(self, specs: list[WorkerSpec], root_path: str = "") -> None:
        self._specs = specs
        self._root_path = root_path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service")
        self._thread.start()
        self.port = 0
        self.host: ScriptedHost = self.call(self._make_host)
        self.credentials = Credentials(None, self.host.now, root_path=root_path)

    def call(self, given: Callable[..., Given], *arguments: Any) -> Given:
        """Calls something in the service's thread."""

        async def there() -> Given:
            return given(*arguments)

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(10)

    def _make_host(self) -> ScriptedHost:
        return ScriptedHost(*self._specs)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}{self._root_path}"

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    async def _start(self) -> None:
        settings = Settings(instance=self.credentials.instance, root_path=self._root_path)
        self.services = gather(self.host, settings=settings, credentials=self.credentials)
        self.services.applied.set()
        # Bound here, so a browser that comes before uvicorn accepts waits instead of failing.
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._server = Server(create_app([self.host], services=self.services))
        self._served = asyncio.create_task(self._server.run_on([listener]))

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)

    async def _stop(self) -> None:
        self.services.stopping.set()
        self._server.leave.set()
        await self._served
        await self.services.aclose()

    def new_boot(self) -> None:
        """As if the process had been replaced: other journal, other boot, same log store and same secrets."""
        logs = self.host.logs
        self.call(self.host.journal.close)
        self.host = self.call(self._make_host)
        self.host.logs = logs

    def cookie(self) -> dict[str, Any]:
        """The cookie of a signed-in owner."""
        secret = self.call(
            lambda: self.credentials.open_session(self.credentials.token(self.credentials.owner_token.encode()))
        )
        return {"name": self.credentials.cookie_name, "value": secret, "url": f"http://localhost:{self.port}/"}

    def close(self) -> None:
        if not self._served.done():
            self.stop()
        self.call(self.host.journal.close)
        timer = self.host._timer
        if timer is not None:
            self.call(timer.cancel)
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing("no chromium on PATH; on Debian: apt-get install chromium")
    flags = [*FLAGS, "--no-sandbox"] if os.getuid() == 0 else FLAGS
    environment = {name: value for name, value in os.environ.items() if name != TAG}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, headless=True, args=flags, env=environment)
        yield chromium
        chromium.close()


@pytest.fixture
def service(browser: Browser) -> Iterator[Service]:
    """The fleet, played to where every state can be seen."""
    made = Service(fleet())
    made.start()
    made.call(play_fleet, made.host)
    yield made
    made.close()


class Watched:
    """Contexts of a signed-in browser, and what went wrong in their pages."""

    def __init__(self, browser: Browser, service: Service) -> None:
        self.browser = browser
        self.service = service
        self.problems: list[str] = []
        self.contexts: list[BrowserContext] = []

    def context(self, **options: Any) -> BrowserContext:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options}
        context = self.browser.new_context(base_url=self.service.url, **options)
        context.set_default_timeout(10_000)
        context.add_cookies([self.service.cookie()])
        context.on("weberror", lambda error: self.problems.append(f"script error: {error.error}"))
        context.on("console", self._console)
        self.contexts.append(context)
        return context

    def _console(self, message: Any) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(f"console: {message.text}")

    def open(self, path: str, ready: bool = True, **options: Any) -> Page:
        """A page in a context of its own; `ready`: its scripts run and the stream is live."""
        page = self.context(**options).new_page()
        page.goto(self.service.url + path)
        if ready:
            page.wait_for_selector("#pill[data-state=live]")
        return page


@pytest.fixture
def watched(browser: Browser, service: Service) -> Iterator[Watched]:
    made = Watched(browser, service)
    yield made
    for context in made.contexts:
        context.close()
    assert made.problems == []
