"""Pure: a worker with arguments and variables of one run, as a worker of its own.

It is started once and never again by itself, needs what its worker needs (its `before_start` too), and ends nobody
else: no probe looks at it, and commands that end or tidy up after its worker are not for it.

Known wart: labels stay behind, so that an order to a label means workers and not what once ran beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from supervisor_core.config.commands import check_size
from supervisor_core.config.values import BadValue
from supervisor_core.declared import Hooks
from supervisor_core.errors import Refused
from supervisor_core.model import Follow, OnGiveUp, RestartPolicy, RestartWhen, WorkerSpec

PARENT = "run_of"
"""The label with the name of the worker."""

MOST = 1000
"""Arguments, and variables."""


def with_arguments(
    parent: WorkerSpec, name: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> WorkerSpec:
    """Gives the spec of the run. Raises `Refused` for what no program can receive."""
    program = parent.program
    if program is None:
        raise Refused(f"{parent.name} is no program, so it cannot be run with arguments", "conflict")
    if len(arguments) > MOST or len(environment) > MOST:
        raise Refused(f"more than {MOST} arguments or variables; put them in a file", "bad_arguments")
    for text in (*arguments, *environment, *environment.values()):
        if "\0" in text:
            raise Refused("an argument or variable holds a NUL character; remove it", "bad_arguments")
    for variable in environment:
        if not variable or "=" in variable:
            raise Refused('the name of a variable may not be empty or hold "="', "bad_arguments")
    argv = program.argv
    if arguments and program.hosted:
        raise Refused(f"{parent.name} is a function, which takes no arguments; give it variables", "bad_arguments")
    if arguments and program.shell:
        *shell, text = argv
        argv = (*shell, f'{text} "$@"', parent.name)
    variables = {**program.environment, **environment}
    try:
        check_size((*argv, *arguments), variables)
    except (BadValue, UnicodeEncodeError) as error:
        raise Refused(str(error), "bad_arguments") from error
    return replace(
        parent,
        name=name,
        requires=tuple(replace(edge, follow=Follow.IGNORE) for edge in parent.requires),
        restart=RestartPolicy(
            restart=RestartWhen.NEVER,
            success_exit_codes=parent.restart.success_exit_codes,
            on_give_up=OnGiveUp.FAIL,
        ),
        stop=replace(parent.stop, after=0.0),
        ready_probe=False,
        ready=None,
        alive=None,
        patterns=(),
        hooks=Hooks(before_start=parent.hooks.before_start, timeout=parent.hooks.timeout),
        start_timeout=None,
        autostart=False,
        essential=False,
        daemon=False,
        one_shot=True,
        program=replace(
            program,
            argv=(*argv, *arguments),
            notify=False,
            watchdog=0.0,
            environment=variables,
            secrets={key: path for key, path in program.secrets.items() if key not in environment},
        ),
        schedule=None,
        labels={PARENT: parent.name},
        links={},
        groups=(),
        description="",
        origin="api",
        source="",
    )
