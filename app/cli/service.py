"""The verb `up`: runs the service here, or detached from the terminal.

Options and variables become `UpOptions`; everything else is `server.serve`'s. Known wart: a detached service is a fork
of this process, so `ps` shows it with the `-d` that it was asked with.
"""

import argparse
import os
import select
import sys
from pathlib import Path

from supervisor_core.clock import Clock
from supervisor_core.config import ConfigError, load
from supervisor_core.keeper.orders import CHANNEL

from ..running import announced
from ..settings import Instance, UpOptions, answers, find_config
from . import DONE, FAILED, UNSETTLED, USAGE, complain

PATIENCE = 60.0
"""Seconds until a detached service must answer."""

PAUSE = 0.05
"""Seconds between two looks whether it does."""

YES = ("1", "true", "yes", "on")


def up(options: argparse.Namespace) -> int:
    """Runs the service until it ends; with -d until its page answers."""
    told = options_of(options)
    if sys.platform != "linux":
        print("quarterdeck: on this system service and workers' keeper are one process", file=sys.stderr)
    return _detached(told) if told.detach else _serve(told)


def options_of(options: argparse.Namespace) -> UpOptions:
    """What the command line says, and where it is silent the variables.

    A service that a keeper has started again is told its config file, which need not be there any more.
    """
    variables = [part.strip() for part in os.environ.get("QUARTERDECK_LISTEN", "").split(",") if part.strip()]
    return UpOptions(
        config_path=Path(options.config) if CHANNEL in os.environ else find_config(options.config),
        state=Path(options.state) if options.state else None,
        names=tuple(options.names),
        detach=options.detach,
        in_process=options.in_process,
        echo=options.echo,
        exit_when_done=options.exit_when_done,
        no_auth=options.no_auth,
        listen=tuple(options.listen or variables),
        plain_http=os.environ.get("QUARTERDECK_PLAIN_HTTP", "").lower() in YES,
    )


def _serve(told: UpOptions) -> int:
    from ..server import serve

    return serve(told)


def _detached(told: UpOptions) -> int:
    try:
        instance = Instance.find(told, load(told.config_path).service)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    instance.make_state()
    log = os.open(instance.service_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    before = os.fstat(log).st_size
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _run_detached(told, log)
    os.close(log)
    return _await(instance, child, before)


def _run_detached(told: UpOptions, log: int) -> None:
    """The child: a session of its own, no terminal, and an end that runs nothing of the parent's."""
    status = FAILED
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = _serve(told)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, f"quarterdeck: {error or type(error).__name__}\n".encode())
    finally:
        os._exit(status)


def _await(instance: Instance, child: int, before: int) -> int:
    """Until the page answers or the child is gone; says what the child said."""
    clock = Clock()
    end = clock.now() + PATIENCE
    while clock.now() < end:
        gone, ended = os.waitpid(child, os.WNOHANG)
        if gone:
            sys.stderr.write(_said(instance, before))
            return os.waitstatus_to_exitcode(ended) or DONE
        if announced(instance) == child and answers(instance.socket) and _ready(instance):
            sys.stdout.write(_said(instance, before))
            print(f"quarterdeck: running as pid {child}; its own log is {instance.service_log}")
            return DONE
        select.select([], [], [], PAUSE)
    return complain(f"pid {child} does not answer after {PATIENCE:g} s; see {instance.service_log}", UNSETTLED)


def _ready(instance: Instance) -> bool:
    from ..client import Client, Target

    with Client(Target(instance.socket)) as client:
        return client.healthy()


def _said(instance: Instance, before: int) -> str:
    with open(instance.service_log, "rb") as log:
        log.seek(before)
        return log.read().decode("utf-8", "replace")
