"""One `[worker.NAME]` table, over `[defaults]`, made into its `WorkerSpec`s (one a replica).

Tables that add up with those of `[defaults]`: environment, labels, links, backoff, logs, limits; every other key
takes its default's place. What other workers mean to this one is `requirements.py`'s.

`one_shot`: a worker that is never restarted and whose completion another one requires. Merely `restart = "never"` is
not enough: a development server is such a worker too, and an order to start it is answered when it is ready.

With a schedule it is one, too: it does not start with the service and is tried once, unless its own table says
otherwise; what `[defaults]` says of `autostart` and `restart` is meant for those that stay up.

Known wart: a bad value of `[defaults]` is noticed once a worker uses it, and so not in a file without workers.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..model import LogPolicy, OnGiveUp, Probe, Program, RestartPolicy, RestartWhen, Schedule, StopPolicy, WorkerSpec
from .beside import read_hooks, read_probe, told
from .commands import check_size, parse_command
from .environment import read_environment
from .expand import expand_home, expand_variables, expand_words, on_texts
from .keys import BACKOFF, LIMITS, WORKER, WORKER_LOGS
from .later import with_parser
from .privileges import take_warning
from .problems import Found, Problems
from .reading import Fields, Words, expanded, fields_of, parsed
from .requirements import Wish, read_requires
from .values import BadValue, name, shown, strings

HOST = str(Path(__file__).parents[1] / "hosted.py")
"""The program that runs a function."""

KEYS = {key.name: with_parser(key) for key in WORKER.keys}


@dataclass(frozen=True, slots=True)
class Read:
    """One worker as read: its spec, still without requirements, and the wishes that become them.

    `pool` is where its pool is named; `watched`: it has an `alive` probe. `replicas` is how many its table asks for.
    """

    spec: WorkerSpec
    wishes: tuple[Wish, ...]
    found: Found
    pool: Found | None = None
    watched: bool = False
    replicas: int = 1


def read_worker(
    found: Found,
    defaults: Fields,
    outside: Mapping[str, str],
    problems: Problems,
    logs: LogPolicy,
    scale: int | None = None,
) -> list[Read]:
    """Gives the worker's replicas; what cannot be used is noted and left at its default.

    `logs` is what holds where the worker's own table says nothing; `scale` is how many there are whatever that says.
    A table that asks for one has the first of them under its own name.
    """
    own = fields_of(found, WORKER, problems)
    title = str(found.path[-1])
    words = Words({}, outside)
    replicas = parsed(KEYS["replicas"], own.get("replicas") or defaults.get("replicas"), problems, words)
    made = []
    for index in range(replicas if scale is None else scale):
        full = f"{title}-{index}" if replicas > 1 or index else title
        try:
            name(full)
        except BadValue as error:
            problems.add(found, str(error))
            break
        read = _Reader(found, own, defaults, outside, problems, full, index, logs).read()
        made.append(replace(read, replicas=replicas))
    return made


class _Reader:
    """One replica. `get` gives the parsed value of a key; `entries` those of a table that adds up."""

    def __init__(
        self, found: Found, own: Fields, defaults: Fields, outside: Mapping[str, str], problems: Problems,
        full: str, index: int, logs: LogPolicy,
    ) -> None:  # fmt: skip
        self.found, self.own, self.defaults, self.problems, self.name = found, own, defaults, problems, full
        self.given = {**defaults, **own}
        self.logs = logs
        words = {"name": full, "index": str(index)}
        if "pool" in self.given:
            words["slot"] = "{slot}"
        self.words = Words(words, outside)
        self.environment: Mapping[str, str] = {}

    def read(self) -> Read:
        get = self.get
        logs = self._parsed(self._gathered("logs", WORKER_LOGS), WORKER_LOGS)
        program = self._program(redirect_stderr=logs.pop("redirect_stderr", False))
        ready, alive = self._probe("ready"), self._probe("alive")
        hooks = read_hooks(self.given, self._argv, get("hook_timeout"))
        get("pool")
        schedule = get("schedule")
        spec = WorkerSpec(
            name=self.name,
            restart=self._restart(schedule),
            stop=replace(self._stop(), after=hooks.timeout if hooks.after_stop else 0.0),
            start_timeout=get("start_timeout"),
            autostart=get("autostart") if schedule is None or "autostart" in self.own else False,
            essential=get("essential"),
            daemon=get("daemon"),
            ready_probe=ready is not None,
            ready=ready,
            alive=alive,
            hooks=hooks,
            program=program and told(program, ready, alive),
            memory_warn=self.memory_warn,
            one_shot=schedule is not None,
            logs=replace(self.logs, **logs),
            schedule=schedule,
            labels=self._texts("labels"),
            links=self._texts("links"),
            description=get("description"),
            source=self.found.place,
        )
        requires = self.given.get("requires", self.found)
        return Read(spec, tuple(self._wishes()), requires, self.given.get("pool"), "alive" in self.given)

    def get(self, key: str) -> Any:
        return parsed(KEYS[key], self.given.get(key), self.problems, self.words)

    def entries(self, key: str) -> dict[str, Found]:
        """The entries of a table, the worker's own over those of `[defaults]`."""
        entries: dict[str, Found] = {}
        for fields in (self.defaults, self.own):
            if key in fields:
                if not isinstance(fields[key].value, dict):
                    self.problems.add(fields[key], f'{shown(fields[key].value)} is no table; write {{ a = "b" }}')
                entries |= fields[key].items()
        return entries

    def _texts(self, key: str) -> dict[str, str]:
        texts = {}
        for entry, found in self.entries(key).items():
            try:
                texts[entry] = KEYS[key].parse({entry: expanded(KEYS[key], found, self.words)})[entry]
            except BadValue as error:
                self.problems.add(found, str(error))
        return texts

    def _program(self, *, redirect_stderr: bool) -> Program | None:
        env_files = (
            [(self.given["env_file"], path) for path in self.get("env_file")] if "env_file" in self.given else []
        )
        environment, secrets = read_environment(self.entries("environment"), env_files, self.words, self.problems)
        self.environment = environment
        limits = self._parsed(given := self._gathered("limits", LIMITS), LIMITS)
        self.memory_warn = take_warning(limits, given, self.problems)
        who = {key: self.get(key) for key in ("user", "group", "umask", "nice", "tty")}
        directory = self.get("directory") if "directory" in self.given else self.found.source.folder
        hosted = "python" in self.own or ("python" in self.given and "command" not in self.given)
        venv = self.get("venv") or None
        argv, shell = (self._function(venv), False) if hosted else self._command(environment)
        if not argv:
            return None
        return Program(
            argv=argv,
            shell=shell,
            directory=directory or self.found.source.folder,
            environment={name: text for name, text in environment.items() if name not in secrets},
            secrets=secrets,
            limits={name: value for name, value in limits.items() if value is not None},
            **who,
            inherit=self._inherit(),
            venv=venv,
            start_seconds=self.get("start_seconds"),
            redirect_stderr=redirect_stderr,
            hosted=hosted,
        )

    def _function(self, venv: str | None) -> tuple[str, ...]:
        """The command that runs a function: by the worker's own Python, else by ours."""
        if "command" in self.own:
            self.problems.add(self.own["python"], "stands beside command; remove one of them")
        function = self.get("python")
        python = os.path.join(venv, "bin", "python") if venv else sys.executable
        return (python, "-P", HOST, function) if function else ()

    def _probe(self, role: str) -> Probe | None:
        found = self.given.get(role)
        return read_probe(role, found, self.words, self._argv, self.problems) if found is not None else None

    def _argv(self, found: Found) -> tuple[str, ...]:
        """A command beside the worker's own, with the same variables."""
        return self._read_command(found, self.environment)[0]

    def _command(self, environment: Mapping[str, str]) -> tuple[tuple[str, ...], bool]:
        found = self.given.get("command")
        if found is None:
            self.problems.add(self.found, 'has no command; add command = ["PROGRAM", "ARGUMENT"]')
            return (), False
        return self._read_command(found, environment)

    def _read_command(self, found: Found, environment: Mapping[str, str]) -> tuple[tuple[str, ...], bool]:
        words = Words(self.words.words, {**self.words.variables, **environment})
        try:
            # A text with ${VAR} goes to a shell, which knows the worker's own variables; a list is expanded here.
            value = on_texts(found.value, lambda text: expand_words(text, words.words))
            if isinstance(value, list):
                value = [expand_home(expand_variables(v, words.variables)) if isinstance(v, str) else v for v in value]
            argv, shell = parse_command(value)
            check_size(argv, environment)
        except BadValue as error:
            self.problems.add(found, str(error))
            return (), False
        return argv, shell

    def _inherit(self) -> bool | tuple[str, ...]:
        found = self.given.get("inherit")
        if found is None or isinstance(found.value, bool):
            return found is None or bool(found.value)
        try:
            return strings(found.value)
        except BadValue:
            self.problems.add(found, f"{shown(found.value)} does not fit; write true, false, or a list of names")
            return True

    def _restart(self, schedule: Schedule | None) -> RestartPolicy:
        backoff = self._sub("backoff", BACKOFF)
        on_give_up, retry_every = self.get("on_give_up")
        if backoff["initial"] > backoff["max"]:
            self.problems.add(self.entries("backoff").get("max") or self.entries("backoff")["initial"],
                              f"initial ({backoff['initial']:g} s) is more than max ({backoff['max']:g} s); "
                              "raise max")  # fmt: skip
        restart = self.get("restart")
        if schedule is not None and "restart" not in self.own:
            restart = RestartWhen.NEVER
        elif schedule is not None and restart == RestartWhen.ALWAYS:
            self.problems.add(self.own["restart"], "always leaves its schedule nothing to start; use on_failure")
        if restart == RestartWhen.NEVER and on_give_up is OnGiveUp.RETRY and "on_give_up" in self.own:
            self.problems.add(self.own["on_give_up"], 'retry_every goes with restart = "on_failure" or "always" alone')
        return RestartPolicy(
            restart=RestartWhen(restart),
            success_exit_codes=self.get("success_exit_codes"),
            backoff_initial=backoff["initial"],
            backoff_max=backoff["max"],
            backoff_factor=backoff["factor"],
            jitter=backoff["jitter"],
            max_restarts=self.get("max_restarts"),
            window=self.get("window"),
            stable_after=self.get("stable_after"),
            on_give_up=on_give_up,
            retry_every=retry_every,
        )

    def _stop(self) -> StopPolicy:
        steps, timeout = self.get("stop_signal"), self.get("stop_timeout")
        in_steps = steps[0][1] is not None
        if in_steps and "stop_timeout" in self.own and "stop_signal" in self.own:
            self.problems.add(self.own["stop_timeout"], "stands beside steps that have their own times; remove it")
        if in_steps and "stop_timeout" in self.own and "stop_signal" not in self.own:
            steps = (*steps[:-1], (steps[-1][0], timeout))
        return StopPolicy(tuple((s, timeout if seconds is None else seconds) for s, seconds in steps))

    def _sub(self, key: str, table: Any) -> dict[str, Any]:
        """All values of a table of keys that adds up."""
        given = self._parsed(self._gathered(key, table), table)
        return {k.name: given.get(k.name, k.default) for k in table.keys}

    def _parsed(self, values: dict[str, Found], table: Any) -> dict[str, Any]:
        """Only those that somebody gave."""
        return {k.name: parsed(k, values[k.name], self.problems, self.words) for k in table.keys if k.name in values}

    def _gathered(self, key: str, table: Any) -> dict[str, Found]:
        """A table's own entries over those of `[defaults]`, each at its place."""
        values: dict[str, Found] = {}
        for fields in (self.defaults, self.own):
            if key in fields:
                values |= fields_of(fields[key], table, self.problems)
        return values

    def _wishes(self) -> list[Wish]:
        found = self.given.get("requires")
        if found is None:
            return []

        def expand(text: str) -> str:
            return text.replace("{index}", self.words.words["index"])

        wishes = read_requires(found, expand, self.problems)
        if "requires" not in self.own:
            # What all require, those that are required do not: else [defaults] could name nobody.
            wishes = [w for w in wishes if w.name not in (self.name, self.found.path[-1])]
        return wishes
