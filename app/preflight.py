"""What must hold before the first worker is started, and which workers are.

Each of these refuses with one sentence: what, and the remedy. Nothing is started, bound or written here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from supervisor_core.children.forest import survivors
from supervisor_core.config import Config
from supervisor_core.model import WorkerSpec

from .listeners import Address, CannotListen
from .settings import Instance, UpOptions


class CannotBegin(Exception):
    """The service is not started; the message says why and what to do."""


def chosen(specs: Sequence[WorkerSpec], names: Sequence[str]) -> list[WorkerSpec]:
    """All workers; with `names`, only those and what they require start by themselves, by a schedule neither."""
    if not names:
        return list(specs)
    by_name = {spec.name: spec for spec in specs}
    wanted: set[str] = set()
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name not in by_name:
            raise CannotBegin(f"no worker is named {name!r}; the config file has {', '.join(sorted(by_name))}")
        if name not in wanted:
            wanted.add(name)
            open_names += [requirement.name for requirement in by_name[name].requires]
    return [
        replace(spec, autostart=True) if spec.name in wanted else replace(spec, autostart=False, schedule=None)
        for spec in specs
    ]


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


def refuse_second_copies(instance: Instance, known: Iterable[tuple[str, int, int]] = ()) -> None:
    """Raises `CannotBegin` when an earlier life was killed and left workers behind that nobody knows of.

    `known` are runs, as (worker, run, pid), that were found again.
    """
    ours = {(worker, run) for worker, run, _ in known}
    found = [(worker, run, pid) for worker, run, pid in survivors(instance.mark) if (worker, run) not in ours]
    if found:
        names = ", ".join(sorted({worker for worker, _, _ in found}))
        pids = " ".join(str(pid) for _, _, pid in found)
        raise CannotBegin(
            f"workers of an earlier life of this service, which was killed, still run: {names}; "
            f"end them first, so that none runs twice (add -9 for those that ignore it): kill {pids}"
        )
