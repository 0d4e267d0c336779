"""The composition root: the one place that knows all parts, starts them in order, and ends them in order.

Workers first, the web second: FastAPI, a third of a second, is imported when all that may start has been started, and
the sockets are bound before both, so that an early browser waits instead of failing. Nothing is decided here.

The order of leaving is `_leave`, step by step; it matters, since uvicorn waits for open streams for minutes when it
is asked first. Known wart: the web is imported in a thread, so that its errors come when the workers run already.
"""

import asyncio
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from supervisor_core.children import room
from supervisor_core.clock import Clock
from supervisor_core.config import Config, ConfigError, ServiceSettings, load
from supervisor_core.failing import point
from supervisor_core.keeper.orders import HELD
from supervisor_core.messages import Shutdown
from supervisor_core.model import REST
from supervisor_core.supervisor import Supervisor

from . import lifecycle
from .coming import keep_secrets, make_web, say_where
from .echo import echo, say
from .entries import Entries, listening, url_of
from .grounds import Ground, InProcess
from .host import LocalHost
from .keepers import become_kept, own_keeper
from .kept import Kept
from .leaving import CLEAN, REFUSALS, die, exit_status, statuses
from .preflight import chosen, refuse_second_copies
from .ruling import ruling
from .settings import Instance, UpOptions
from .watchers.conditions import Conditions, LogTroubles
from .watchers.edits import Edits
from .watchers.places import Places
from .watchers.upgrades import Upgrades

if TYPE_CHECKING:
    from .serving import Server
    from .web.factory import Services

USAGE = 2


def serve(options: UpOptions) -> int:
    """Runs the service until it is told to leave; gives the exit status: 0 clean, 1 something failed, 2 usage.

    Unless it is to be one process, this one becomes its keeper, and what goes on here is a fork of it.
    """
    logging.basicConfig(format="quarterdeck: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        channel, waits = own_keeper()
        if channel is not None:
            return asyncio.run(_kept(options, channel, waits=waits))
        config = load(options.config_path)
        chosen(config.workers, options.names)
        instance = Instance.find(options, config.service)
        if not options.in_process and sys.platform == "linux":
            lock = instance.take_lock()
            keep_secrets(instance)
            return asyncio.run(_kept(options, become_kept(instance, lock), config))
        with instance.lock():
            keep_secrets(instance)
            refuse_second_copies(instance)
            return asyncio.run(_in_process(options, config, instance))
    except ConfigError as error:
        print(error, file=sys.stderr)
    except REFUSALS as error:
        print(f"quarterdeck: {error}", file=sys.stderr)
    return USAGE


async def _in_process(options: UpOptions, config: Config, instance: Instance) -> int:
    room.widen()
    with listening(options, config, instance) as entries:
        clock = Clock()
        conditions = Conditions(clock.now)
        ground = InProcess(config, instance, clock.now, LogTroubles(conditions, instance.logs).take)
        return await _Service(options, config, instance, entries, clock, conditions, ground).run()


async def _kept(
    options: UpOptions, channel: socket.socket, config: Config | None = None, *, waits: bool = False
) -> int:
    """Without a config this is the successor of another process: what ruled there rules here."""
    point("service begins")
    room.widen()
    if waits:
        from .web import factory, peer  # noqa: F401 - while another one still answers

    clock = Clock()
    conditions = Conditions(clock.now)
    instance = Instance.find(options, ServiceSettings() if config is None else config.service)
    ground = Kept(instance, channel, clock.now, LogTroubles(conditions, instance.logs).take, waits=waits)
    left = await ground.greet()
    ground.fresh = ground.fresh or config is not None
    config = ruling(left, options.config_path) if config is None else config
    with listening(options, config, instance, ground.spawner.legacy.inherited) as entries:
        await ground.connect(config)
        refuse_second_copies(instance, known=ground.spawner.live())
        status = await _Service(options, config, instance, entries, clock, conditions, ground).run()
    ground.hang_up(status)
    return status


class _Service:
    """One life of the service, from the first worker to the last byte."""

    def __init__(
        self,
        options: UpOptions,
        config: Config,
        instance: Instance,
        entries: Entries,
        clock: Clock,
        conditions: Conditions,
        ground: Ground,
    ) -> None:
        self.options = options
        self.instance = instance
        self.entries = entries
        self.clock = clock
        self.conditions = conditions
        self.ground = ground
        self.supervisor = Supervisor(stay=True, spawner=ground.spawner, logs=ground.store, clock=clock)
        self.supervisor.aside.folder = str(instance.state / "notify")
        self.host = LocalHost(config.service.name or socket.gethostname(), self.supervisor, ground.store)
        self.declarations = lifecycle.declarations(options, config, instance, self.host, self.supervisor)
        self.specs = self.declarations.specs
        self.upgrades = Upgrades(ground, os.getpid(), clock.now, ground.last_upgrade())
        self._signals, self._followers_ended = 0, False
        self._patience: asyncio.TimerHandle | None = None
        self._places: Places | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    async def run(self) -> int:
        self._listen_to_signals()
        self.supervisor.adopt(self.specs, fresh=self.ground.fresh, left=self.ground.left)
        if self.options.names and self.ground.fresh:
            for refusal in lifecycle.want(self.supervisor, self.specs):
                say(f"note    {refusal}")
        running = asyncio.create_task(self.supervisor.run(), name="supervisor")
        await asyncio.sleep(0)
        try:
            return await self._live(running)
        except BaseException as error:
            if self.ground.outlives:
                die(error)  # no order to leave, and no supervisor that is cancelled: the workers go on
            if not running.done():
                self.supervisor.tell(Shutdown(now=True, by="a failed start"))
                await running
            raise

    async def _live(self, running: "asyncio.Task[Any]") -> int:
        await self.supervisor.launched()  # an import beside them takes turns with each start: both come later
        config = self.declarations.config
        services, server = await asyncio.to_thread(
            make_web, self.host, config, self.instance, self.options, self.conditions
        )
        services.upgrades = self.upgrades
        serving = asyncio.create_task(server.run_on(self.entries.listeners), name="web")
        services.begin()
        self._announce(services)
        self._watch(services, server)
        self.ground.listen(self.entries.told())
        self.ground.came()
        self._tell_of_upgrade()
        self._tasks.append(asked := asyncio.create_task(self.upgrades.asked.wait(), name="upgrade"))
        await asyncio.wait({running, serving, asked}, return_when=asyncio.FIRST_COMPLETED)
        if asked.done() and self._patience is None:
            await self._step_aside(services, server, serving)
        self._shut_down("the web server's end")  # does nothing when the workers have left already
        await self._leave(running, services, server, serving)
        return exit_status(self.supervisor, exit_when_done=self.options.exit_when_done)

    # ------------------------------------------------------------ coming

    def _watch(self, services: "Services", server: "Server") -> None:
        """Starts what follows the journal, the logs or the state folder beside the web, and who gives orders."""
        edits = Edits(self.declarations.config.sources)
        lives = lifecycle.begin(self.declarations, self.ground, edits, services, self.instance, self.supervisor)
        self._tasks += [asyncio.create_task(life, name=name) for name, life in lives.items()]
        self._places = Places(
            self.instance.state, self.entries.doors, self.conditions, functools.partial(self._open_again, server), edits
        )
        self.ground.on_trouble(self._places.hear)
        if self.options.echo or sys.stdout.isatty():
            names = [spec.name for spec in self.specs]
            self._tasks.append(asyncio.create_task(echo(self.ground.store, names, sys.stdout), name="echo"))
        if self.options.exit_when_done:
            self._tasks.append(asyncio.create_task(self._leave_when_done(), name="exit when done"))

    async def _open_again(self, server: "Server", listener: socket.socket) -> None:
        """In the place of a Unix socket whose name was lost."""
        await server.also_on(listener)
        self.entries.replace(listener)
        self.ground.listen(self.entries.told())

    def _announce(self, services: "Services") -> None:
        """Says where the page is: to clients, which read it from the state folder, and to a person."""
        urls = [url_of(listener) for listener in self.entries.listeners if listener.family != socket.AF_UNIX]
        if not self.ground.announce(urls):  # no reason to end; again whenever what is wrong has changed
            self.conditions.listen(functools.partial(self._announce_again, urls))
        say_where(urls, services, self.options, self.declarations.config.notes)

    def _announce_again(self, urls: Sequence[str]) -> None:
        self.ground.announce(urls)

    def _tell_of_upgrade(self) -> None:
        """When this is the successor of a service that stepped aside: that it has come, to whoever asked for it."""
        if self.upgrades.arrived(asyncio.get_running_loop().time()):
            assert self.upgrades.last is not None
            self.ground.remember(self.upgrades.last)

    # ------------------------------------------------------------ leaving

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take_signal, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a closed terminal stops nothing
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)  # as far as a keeper had them wait

    def _take_signal(self, number: int) -> None:
        """The first one asks everybody to leave in order, the second one kills."""
        self._signals += 1
        self._shut_down(signal.Signals(number).name, now=self._signals > 1)

    def _shut_down(self, by: str, *, now: bool = False) -> None:
        self.supervisor.tell(Shutdown(now=now, by=by))
        self.ground.leaving()
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(
                self.declarations.config.service.shutdown_timeout, self._shut_down_now, "shutdown_timeout"
            )

    def _shut_down_now(self, by: str) -> None:
        self.supervisor.tell(Shutdown(now=True, by=by))

    async def _leave_when_done(self) -> None:
        """Leaves as soon as every worker has come to rest; one with a schedule may come again."""
        async for _ in self.supervisor.journal.follow(0):
            if all(
                s.spec.schedule is None and (s.state in REST or s.blocked_for_good) for s in statuses(self.supervisor)
            ):
                self._shut_down("--exit-when-done")

    async def _leave(
        self, running: "asyncio.Task[Any]", services: "Services", server: "Server", serving: "asyncio.Task[None]"
    ) -> None:
        await running  # 1. every worker is at rest or stuck, and the journal is closed
        await self._shut_doors(services, server, serving)
        await self._end_followers(services)
        await self.ground.end()  # 5. the last bytes of the workers

    async def _step_aside(self, services: "Services", server: "Server", serving: "asyncio.Task[None]") -> None:
        """Ends this process, and nothing else: the keeper has all that its successor must know.

        Returns when it is told to leave meanwhile: then no successor comes, and the workers are to be stopped in order.
        """
        services.step_aside()
        server.hurry()
        upgrade = self.upgrades.shut(asyncio.get_running_loop().time())
        await self._shut_doors(services, server, serving)
        if self._patience is None:
            await self._end_followers(services)
        if self._patience is not None:
            return
        self.ground.remember(upgrade)
        self.ground.step_aside()
        sys.stdout.flush()
        os._exit(CLEAN)

    async def _shut_doors(self, services: "Services", server: "Server", serving: "asyncio.Task[None]") -> None:
        if self._places is not None:
            self._places.close()
        services.stopping.set()  # 2. every stream says good-bye and ends
        server.leave.set()  # 3. uvicorn leaves
        await asyncio.gather(serving, return_exceptions=True)

    async def _end_followers(self, services: "Services") -> None:
        if self._followers_ended:
            return
        self._followers_ended = True
        for task in self._tasks:  # 4. what follows the journal or the logs
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.supervisor.aside.aclose()
        await services.aclose()
