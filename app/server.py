"""The composition root: the one place that knows all parts, starts them in order, and ends them in order.

Workers first, the web second: the supervisor spawns while FastAPI is still being imported (a third of a second), and
the sockets are bound before both, so that an early browser waits instead of failing. Nothing is decided here.

The order of leaving is `_leave`, step by step; it matters, since uvicorn waits for open streams for minutes when it
is asked first. Known wart: the web is imported in a thread, so that its errors come when the workers run already.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from supervisor_core.children.forest import survivors
from supervisor_core.children.local import LocalSpawner
from supervisor_core.children.segments import SegmentStore
from supervisor_core.clock import Clock
from supervisor_core.config import Config, ConfigError, load
from supervisor_core.errors import SupervisorError
from supervisor_core.messages import Add, Changed, Shutdown
from supervisor_core.model import REST, State, Status, WorkerSpec
from supervisor_core.supervisor import Supervisor

from .echo import echo
from .host import LocalHost
from .listeners import Address, CannotListen, bind
from .settings import Instance, InstanceTaken, UpOptions

if TYPE_CHECKING:
    from .serving import Server
    from .web.factory import Services

CLEAN, FAILED, USAGE = 0, 1, 2


def serve(options: UpOptions) -> int:
    """Runs the service until it is told to leave; gives the exit status: 0 clean, 1 something failed, 2 usage."""
    logging.basicConfig(format="quarterdeck: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        config = load(options.config_path)
        specs = chosen(config.workers, options.names)
        instance = Instance.find(options, config.service)
        with instance.lock(), contextlib.ExitStack() as stack:
            refuse_second_copies(instance)
            addresses = listen_addresses(options, config)
            refuse_open_doors(addresses, options, config)
            own = Address(path=str(instance.socket))
            group = config.service.socket_group or ""
            listeners = [stack.enter_context(bind(address, group)) for address in addresses]
            listeners.append(stack.enter_context(bind(own)))
            return asyncio.run(_Service(options, config, instance).run(specs, listeners))
    except ConfigError as error:
        print(error, file=sys.stderr)
    except (CannotListen, InstanceTaken, LivingSurvivors, UnknownWorker, SupervisorError, OSError) as error:
        print(f"quarterdeck: {error}", file=sys.stderr)
    return USAGE


class LivingSurvivors(Exception):
    """Workers of an earlier life of this instance are still there."""


def refuse_second_copies(instance: Instance) -> None:
    """Raises `LivingSurvivors` when an earlier life was killed and left workers behind."""
    found = survivors(instance.mark)
    if found:
        names = ", ".join(sorted({worker for worker, _, _ in found}))
        pids = " ".join(str(pid) for _, _, pid in found)
        raise LivingSurvivors(
            f"workers of an earlier life of this service, which was killed, still run: {names}; "
            f"end them first, so that none runs twice: kill {pids}"
        )


def say(text: str) -> None:
    """Prints one line of ours; a terminal that is gone stops nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(f"quarterdeck: {text}", flush=True)


def url_of(listener: socket.socket) -> str:
    """Gives the address that a browser on this machine would use."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - asked for, and shown as what works here
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _waits_for_good(status: Status) -> bool:
    return status.state is State.BLOCKED and any(reason.for_good for reason in status.blocked_on)


class UnknownWorker(Exception):
    """A name on the command line that the config file does not have."""


def chosen(specs: Sequence[WorkerSpec], names: Sequence[str]) -> list[WorkerSpec]:
    """All workers; with `names`, only those and what they require start by themselves."""
    if not names:
        return list(specs)
    by_name = {spec.name: spec for spec in specs}
    wanted: set[str] = set()
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name not in by_name:
            raise UnknownWorker(f"no worker is named {name!r}; the config file has {', '.join(sorted(by_name))}")
        if name not in wanted:
            wanted.add(name)
            open_names += [requirement.name for requirement in by_name[name].requires]
    return [replace(spec, autostart=spec.name in wanted) for spec in specs]


def listen_addresses(options: UpOptions, config: Config) -> list[Address]:
    """Where to listen: the command line or QUARTERDECK_LISTEN, else the config file."""
    return [Address.parse(text) for text in options.listen or config.service.listen]


def refuse_open_doors(addresses: Sequence[Address], options: UpOptions, config: Config) -> None:
    """Raises `CannotListen` for an address that others can reach and that nothing protects."""
    service = config.service
    for address in addresses:
        if address.loopback:
            continue
        if options.no_auth:
            raise CannotListen(f"--no-auth is for a loopback address alone, and {address} is none")
        if not (options.plain_http or service.plain_http or service.behind_proxy):
            raise CannotListen(
                f"{address} can be reached from other machines without TLS; put a proxy before it and name it "
                f'(behind_proxy = ["ADDRESS"] under [service]), or say plain_http = true (QUARTERDECK_PLAIN_HTTP=1) '
                f"inside a container or a network that you trust"
            )
    if options.no_auth and (service.public_url or service.behind_proxy):
        raise CannotListen("--no-auth does not go together with public_url or behind_proxy; leave it out")


class _Service:
    """One life of the service, from the first worker to the last byte."""

    def __init__(self, options: UpOptions, config: Config, instance: Instance) -> None:
        self.options = options
        self.config = config
        self.instance = instance
        self.clock = Clock()
        limits = config.logs
        self.store = SegmentStore(
            instance.logs, now=self.clock.now, segment=limits.segment, max_worker=limits.max_worker,
            max_total=limits.max_total,
        )  # fmt: skip
        self.supervisor = Supervisor(
            stay=True,
            spawner=LocalSpawner(self.store, subreaper=True, instance=instance.mark),
            logs=self.store,
            clock=self.clock,
        )
        self.host = LocalHost(config.service.name or socket.gethostname(), self.supervisor, self.store)
        self._signals = 0
        self._patience: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    async def run(self, specs: Sequence[WorkerSpec], listeners: Sequence[socket.socket]) -> int:
        self._listen_to_signals()
        for spec in specs:
            self.supervisor.tell(Add(spec, by="config"))
        running = asyncio.create_task(self.supervisor.run(), name="supervisor")
        await asyncio.sleep(0)  # the first workers are on their way before anything else is imported
        try:
            services, server = await asyncio.to_thread(self._make_web)
            serving = asyncio.create_task(server.run_on(listeners), name="web")
            services.applied.set()
            self._announce(services, listeners)
            self._watch(specs)
            await asyncio.wait({running, serving}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self.supervisor.tell(Shutdown(now=True, by="a failed start"))
            await running
            raise
        self._shut_down("the web server's end")  # does nothing when the workers have left already
        await self._leave(running, services, server, serving)
        return self._exit_status()

    def _statuses(self) -> list[Status]:
        entries = self.supervisor.journal.snapshot().workers.values()
        return [entry.event.status for entry in entries if isinstance(entry.event, Changed)]

    def _exit_status(self) -> int:
        """An essential worker's own exit status; else 1 for one that is stuck, or that failed when all had to end."""
        statuses = self._statuses()
        for status in statuses:
            if status.spec.essential and status.state in (State.DONE, State.FAILED) and status.last_exit is not None:
                ended = status.last_exit
                return ended.code if ended.code is not None else 128 + ended.signal if ended.signal else FAILED
        failed = self.options.exit_when_done and any(
            status.state is State.FAILED or _waits_for_good(status) for status in statuses
        )
        return FAILED if failed or any(status.stuck for status in statuses) else CLEAN

    # ------------------------------------------------------------ coming

    def _make_web(self) -> "tuple[Services, Server]":
        """Imports and makes the web, in a thread; gives what it shares with us and its server."""
        from .serving import Server
        from .web.factory import create_app, make_services
        from .web.peer import PeerProtocol

        services = make_services(self.host, self.config, self.instance, self.options)
        return services, Server(create_app([self.host], services=services), protocol=PeerProtocol)

    def _watch(self, specs: Sequence[WorkerSpec]) -> None:
        """Starts what follows the journal or the logs beside the web."""
        if self.options.echo or sys.stdout.isatty():
            names = [spec.name for spec in specs]
            self._tasks.append(asyncio.create_task(echo(self.store, names, sys.stdout), name="echo"))
        if self.options.exit_when_done:
            self._tasks.append(asyncio.create_task(self._leave_when_done(), name="exit when done"))

    def _announce(self, services: "Services", listeners: Sequence[socket.socket]) -> None:
        """Says where the page is and how to get in; clients of this machine read it from the state folder."""
        urls = [url_of(listener) for listener in listeners if listener.family != socket.AF_UNIX]
        self.instance.announce(urls)
        settings = services.settings
        address = settings.public_url.removesuffix(settings.root_path) or (urls[0] if urls else "")
        if address:
            say(f"page    {address}{settings.root_path}/")
        if self.options.no_auth:
            say("no-auth everybody on this machine may see, stop and restart the workers")
        elif address:
            say(f"sign in {services.credentials.login_link(address)}  (once)")
        for note in self.config.notes:
            say(f"note    {note}")
        say(f"config  {self.options.config_path}")

    # ------------------------------------------------------------ leaving

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take_signal, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a closed terminal stops nothing

    def _take_signal(self, number: int) -> None:
        """The first one asks everybody to leave in order, the second one kills."""
        self._signals += 1
        self._shut_down(signal.Signals(number).name, now=self._signals > 1)

    def _shut_down(self, by: str, *, now: bool = False) -> None:
        self.supervisor.tell(Shutdown(now=now, by=by))
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(
                self.config.service.shutdown_timeout, self._shut_down_now, "shutdown_timeout"
            )

    def _shut_down_now(self, by: str) -> None:
        self.supervisor.tell(Shutdown(now=True, by=by))

    async def _leave_when_done(self) -> None:
        """Leaves as soon as every worker has come to rest."""
        async for _ in self.supervisor.journal.follow(0):
            if all(status.state in REST or _waits_for_good(status) for status in self._statuses()):
                self._shut_down("--exit-when-done")

    async def _leave(
        self, running: "asyncio.Task[Any]", services: "Services", server: "Server", serving: "asyncio.Task[None]"
    ) -> None:
        await running  # 1. every worker is at rest or stuck, and the journal is closed
        services.stopping.set()  # 2. every stream says good-bye and ends
        server.leave.set()  # 3. uvicorn leaves
        await asyncio.gather(serving, return_exceptions=True)
        for task in self._tasks:  # 4. what follows the journal or the logs
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await services.aclose()
        await self.supervisor.spawner.aclose()  # 5. the last bytes of the workers
        self.store.close()
