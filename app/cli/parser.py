"""The verbs, their options and their help: one table of arguments, no behaviour.

The verbs' functions are imported by name when they are called, so that `--help` is quick. Known wart: the options that
say which service is meant may stand before or after the verb, so none of them has a default here.
"""

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import Any

ADDRESSES = "workers: name, name-0, a pattern such as 'web-*', group:NAME, label:KEY=VALUE, all"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Gives the options with `verb` as the function to call; leaves with status 2 and a sentence for bad usage."""
    options = _parsed(list(arguments))
    for name in ("config", "state", "url", "output"):
        if not hasattr(options, name):
            setattr(options, name, None)
    return options


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """What follows `--` is `run`'s alone, as it is: argparse takes it for ours once an option stands before it."""
    parser = _parser()
    if "--" in arguments:
        at = arguments.index("--")
        if "run" in arguments[:at]:
            options = parser.parse_args(arguments[:at])
            if options.action == "run":
                options.arguments += arguments[at + 1 :]
                return options
    return parser.parse_args(arguments)


def _verb(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    def call(options: argparse.Namespace) -> int:
        function: Callable[[argparse.Namespace], int] = getattr(
            importlib.import_module(f".{module}", __package__), name
        )
        return function(options)

    return call


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], help: str | None = None, **_: Any) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from ..version import version

        print(f"quarterdeck {version()}")
        parser.exit()


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("which service")
    group.add_argument("-c", "--config", metavar="FILE", help="the config file (else the nearest quarterdeck.toml)")
    group.add_argument("--state", metavar="FOLDER", help="its state folder")
    group.add_argument("--url", metavar="URL", help="a service elsewhere; needs QUARTERDECK_TOKEN or _TOKEN_FILE")
    group.add_argument("-o", "--output", choices=("table", "json"), help="how to print")
    return common


def _parser() -> argparse.ArgumentParser:
    common = _common()
    parser = argparse.ArgumentParser(
        prog="quarterdeck",
        parents=[common],
        description="Runs a host's long-running jobs, shows them in a browser, and obeys curl.",
        epilog="Exit status: 0 done, 1 failed, 2 usage, 3 a worker is down, 4 not reachable, 5 not settled in time.",
    )
    parser.add_argument("--version", action=_Version, help="print the version")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, module: str, help: str, *aliases: str, function: str = "") -> argparse.ArgumentParser:
        made = verbs.add_parser(name, parents=[common], help=help, description=help, aliases=aliases)
        made.set_defaults(verb=_verb(module, function or name), action=name)
        return made

    up = add("up", "service", "run the service, with its workers")
    up.add_argument("names", nargs="*", metavar="NAME", help="start only these and what they require")
    up.add_argument("-d", "--detach", action="store_true", help="leave the terminal; returns when the page answers")
    up.add_argument("--in-process", action="store_true", help="without a keeper: workers end with the service")
    up.add_argument("--exit-when-done", action="store_true", help="leave when all workers have ended")
    up.add_argument("--echo", action="store_true", help="print what workers write, also without a terminal")
    up.add_argument("--no-auth", action="store_true", help="no sign-in on a loopback address: anybody here may operate")
    up.add_argument("--listen", action="append", metavar="ADDRESS", help="HOST:PORT or unix:PATH; repeatable")

    status = add("status", "reading", "show the workers; 3 when one is down", "ps", "list")
    status.add_argument("names", nargs="*", metavar="NAME", help=ADDRESSES)
    status.add_argument("-w", "--wide", action="store_true", help="what their processes use, too")

    why = add("why", "reading", "say why workers are not up, one sentence each; 3 when one is down")
    why.add_argument("names", nargs="*", metavar="NAME", help=ADDRESSES)

    for name, help in (
        ("start", "start workers; returns when they are ready"),
        ("stop", "stop workers; returns when nothing of them is left"),
        ("restart", "restart workers; returns when the new runs are ready"),
        ("kill", "kill workers at once"),
    ):
        order = add(name, "orders", help, function="act")
        order.add_argument("names", nargs="+", metavar="NAME", help=ADDRESSES)
        if name != "kill":
            order.add_argument(
                "--cascade", action="store_true", help="along with what requires it, or what it requires"
            )
        if name == "restart":
            order.add_argument("--rolling", action="store_true", help="after each other; stops at the first failure")
            order.add_argument("--batch", type=int, default=1, metavar="N", help="with --rolling: so many at once")
            order.add_argument("--pause", default="0", metavar="TIME", help="with --rolling: between batches, 2s say")
        _add_waiting(order)

    for name, help in (
        ("enable", "let workers be started again; starts nothing"),
        ("disable", "let nothing start workers until they are enabled; what runs goes on"),
    ):
        order = add(name, "orders", help, function="act")
        order.add_argument("names", nargs="+", metavar="NAME", help=ADDRESSES)
        order.set_defaults(wait=True, timeout=30.0)

    scale = add("scale", "rolling", "give a worker so many replicas; the others are not touched")
    scale.add_argument("name", metavar="NAME", help="the worker, as the config file names it")
    scale.add_argument("replicas", type=int, metavar="N", help="how many; with fewer the highest go")
    _add_waiting(scale)

    run = add("run", "run", "run a worker's command once, with more arguments; passes the program's exit status")
    run.add_argument("name", metavar="NAME", help="the worker")
    run.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="after --, for the program")
    run.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable; repeatable")
    run.add_argument("-d", "--detach", action="store_true", help="print the name of the run and return at once")

    signal = add("signal", "orders", "send a signal, to the main process or to the whole tree")
    signal.add_argument("signal", metavar="SIGNAL", help="a name such as HUP")
    signal.add_argument("names", nargs="+", metavar="NAME", help=ADDRESSES)
    signal.add_argument("--tree", action="store_true", help="to every process of the worker")

    for name, help in (("logs", "show what workers write"), ("tail", "the same as logs -f")):
        logs = add(name, "logs", help, function="logs")
        logs.set_defaults(follow=name == "tail")
        logs.add_argument("names", nargs="*", metavar="NAME", help=ADDRESSES)
        logs.add_argument("-f", "--follow", action="store_true", default=name == "tail", help="go on with what comes")
        logs.add_argument("-n", "--lines", type=int, default=None, metavar="N", help="how many of the last lines")
        logs.add_argument("--stderr", action="store_true", help="only the error stream")
        logs.add_argument("--stream", choices=("out", "err", "log"), help="only this stream")
        logs.add_argument("--grep", default="", metavar="WORDS", help="only lines with all of these; /…/ is a regex")
        logs.add_argument("--path", action="store_true", help="print where they are on disk; zcat and zgrep read *.gz")
        logs.add_argument("--download", action="store_true", help="all bytes of one stream, as they were written")
        logs.add_argument("--raw", action="store_true", help="control characters as they are, also on a terminal")

    plan = add("plan", "config", "show what the config file would change in the running service")
    plan.add_argument("--exit-code", action="store_true", help="leave with 3 when something would change")
    apply = add("apply", "config", "make the config file rule; only what changed is restarted", "update")
    _add_waiting(apply)

    for name, help in (("runs", "runs of workers, how and why they ended"), ("events", "what happened, and why")):
        past = add(name, "history", f"show the last {help}")
        past.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="how many (default 20)")
        if name == "runs":
            past.add_argument("names", nargs="*", metavar="NAME", help=f"{ADDRESSES}; also one that is no more")

    check = add("check", "reading", "read a config file and print every problem, without a service")
    check.add_argument("file", nargs="?", help="a config file, or one that it includes")

    upgrade = add("upgrade", "upgrade", "become what is installed now, keeper and service; no worker notices")
    upgrade.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="how long to wait for the successor (default 60)"
    )
    add("doctor", "doctor", "what this machine gives, what for, and what to do; 1 where something needed is missing")

    add("token", "reading", "print the owner's token")
    login = add("login", "reading", "print a one-time link for a browser")
    login.add_argument("--port", type=int, metavar="N", help="the port at this end of an ssh tunnel")
    add("socket", "reading", "print the path of the service's socket")
    shutdown = add("shutdown", "orders", "stop the whole service, in order", "down")
    _add_waiting(shutdown)
    return parser


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", default=True, help="return when it is settled (default)")
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="return at once, with the operation's id")
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="SECONDS", help="how long to wait (default 120)"
    )
