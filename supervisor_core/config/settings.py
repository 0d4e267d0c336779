"""The tables beside the workers, as records: `[service]`, `[logs]`, `[[token]]`, `[group.NAME]`, `[pool.NAME]`.

Read and checked here, used by `app`. Known wart: `socket_group` is a name that is looked up only when it is needed.
"""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from ..model import LogPolicy, Pool
from .commands import parse_command
from .expand import expand_home, expand_variables, on_texts
from .keys import GROUP, HOOK, LOGS, POOL, SERVICE, TOKEN
from .problems import Found, Problems
from .reading import Words, absolute, nearest, read_table
from .values import BadValue, name, shown


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """`[service]`. `listen` holds HOST:PORT and unix:PATH (absolute); times in seconds; None where nobody said."""

    name: str = ""
    listen: tuple[str, ...] = ("127.0.0.1:7440",)
    state: str | None = None
    public_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    behind_proxy: tuple[str, ...] = ()
    plain_http: bool = False
    socket_group: str | None = None
    shutdown_timeout: float = 9.0
    color: str | None = None


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`[logs]`: what each worker has unless its own table says otherwise, and the bytes of all together."""

    each: LogPolicy = field(default_factory=LogPolicy)
    max_total: int = 10 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServiceHook:
    """`[[hook]]`: `on` which events `argv` is run in `directory`, or `url` (else "") is posted to."""

    on: tuple[str, ...]
    argv: tuple[str, ...] = ()
    url: str = field(default="", repr=False)
    directory: str = "."
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Token:
    """`[[token]]`: a credential that is known by its hash. `expires` has its offset from UTC; None is never."""

    name: str
    scope: str
    sha256: str
    expires: datetime | None = None


def read_service(found: Found | None, words: Words, problems: Problems) -> ServiceSettings:
    values = read_table(found, SERVICE, problems, words)
    if found is not None:
        values["listen"] = tuple(
            f"unix:{absolute(found, item.removeprefix('unix:'))}" if item.startswith("unix:") else item
            for item in values["listen"]
        )
    return ServiceSettings(**{field.name: values[field.name] for field in fields(ServiceSettings)})


def read_logs(found: Found | None, words: Words, problems: Problems) -> LogSettings:
    values = read_table(found, LOGS, problems, words)
    return LogSettings(log_policy(values), values["max_total"])


def log_policy(values: Mapping[str, Any]) -> LogPolicy:
    """Gives what the parsed values of a table of log keys mean."""
    return LogPolicy(**{field.name: values[field.name] for field in fields(LogPolicy)})


def read_tokens(found: Iterable[Found], words: Words, problems: Problems) -> tuple[Token, ...]:
    tokens: dict[str, Token] = {}
    for one in found:
        before = len(problems)
        values = read_table(one, TOKEN, problems, words)
        if len(problems) > before:
            continue
        if values["name"].lower() in tokens:
            problems.add(one, f"a second token is named {shown(values['name'])}; choose another name")
        tokens[values["name"].lower()] = Token(values["name"], values["scope"], values["sha256"], values["expires"])
    return tuple(tokens.values())


def read_pools(found: Mapping[str, Found], words: Words, problems: Problems) -> dict[str, Pool]:
    pools = {}
    for title, one in found.items():
        check_name(title, one, problems)
        pools[title] = Pool(title, read_table(one, POOL, problems, words)["slots"])
    return pools


def pool_of(found: Found | None, pools: Mapping[str, Pool], problems: Problems) -> Pool | None:
    """The pool that a worker's key names; notes one that nobody has."""
    if found is None or not isinstance(found.value, str):
        return None
    pool = pools.get(found.value)
    if pool is None:
        remedy = nearest(found.value, pools) if pools else f"add [pool.{found.value}] with slots = 4, say"
        problems.add(found, f"no pool is named {shown(found.value)}; {remedy}")
    return pool


def read_service_hooks(hooks: Iterable[Found], words: Words, problems: Problems) -> tuple[ServiceHook, ...]:
    made = []
    for found in hooks:
        before = len(problems)
        values = read_table(found, HOOK, problems, words)
        given = [key for key in ("command", "url") if isinstance(found.value, dict) and key in found.value]
        if isinstance(found.value, dict) and len(given) != 1:
            problems.add(found, "needs either command or url; write one of them")
        argv: tuple[str, ...] = ()
        if given == ["command"]:
            argv = _argv(found.items()["command"], words, problems)
        if len(problems) == before:
            made.append(ServiceHook(values["on"], argv, values["url"] or "", found.source.folder, found.place))
    return tuple(made)


def _argv(found: Found, words: Words, problems: Problems) -> tuple[str, ...]:
    """A list is expanded here; in a text the shell does that."""
    try:
        value = found.value
        if isinstance(value, list):
            value = on_texts(value, lambda text: expand_home(expand_variables(text, words.variables)))
        return parse_command(value)[0]
    except BadValue as error:
        problems.add(found, str(error))
        return ()


def check_name(title: str, found: Found, problems: Problems) -> None:
    try:
        name(title)
    except BadValue as error:
        problems.add(found, str(error))


@dataclass(frozen=True, slots=True)
class Group:
    """`[group.NAME]`: its workers by their full names, and the labels that each of them gets."""

    workers: tuple[str, ...]
    labels: Mapping[str, str]


def read_groups(
    found: Mapping[str, Found], names: Mapping[str, tuple[str, ...]], words: Words, problems: Problems
) -> dict[str, Group]:
    """Gives the groups. `names` are what stands for workers: each with the full names that it means."""
    groups = {}
    for title, one in found.items():
        check_name(title, one, problems)
        if title.lower() in {known.lower() for known in names}:
            problems.add(one, "a worker has this name too; choose another one for the group")
        values: dict[str, Any] = read_table(one, GROUP, problems, words)
        members: dict[str, None] = {}
        for pattern in values["workers"]:
            matched = [full for known, many in names.items() if fnmatch.fnmatchcase(known, pattern) for full in many]
            if not matched:
                problems.add(one.items()["workers"], f"no worker is named {shown(pattern)}; {nearest(pattern, names)}")
            members |= dict.fromkeys(matched)
        groups[title] = Group(tuple(members), values["labels"])
    return groups
