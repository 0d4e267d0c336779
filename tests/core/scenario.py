"""Scenarios: what a machine is told, line by line, and below each line, indented, what came of it.

    worker db restart=on_failure max_restarts=3     one more worker
    worker web requires db:ready:restart            requires TARGET[:CONDITION[:FOLLOW]]; a condition may be /PATTERN/
    worker a pool=gpu/4 program=train-{slot}        in a pool of four slots
    begin                                           run() was called
    stop db cascade by=ann as=op-1                  orders: start stop restart kill remove enable disable
                                                    signal shutdown
    apply                                           the worker lines that follow it, each beginning with "+ worker"
    db spawned 100 | db ready | db unready          reports, about the live run
    db healthy | db unhealthy no answer | db wrote PATTERN
    db exits 1 | db exits signal 9 | db exits permanent
    db leader exits 0 left 2
    db#1 ready                                      the same about run 1, whichever is live
    wait 30s                                        time passes; what is due happens
    manager restarts [fresh]                        another machine goes on from the notes, with the same config or with
                                                    the "+ worker" lines that follow
    db never began                                  there was nothing to attach to
    why db                                          the sentence that says why it does not run

Times in the expected part are seconds since the beginning. `REWRITE=1 pytest tests/core/test_scenarios.py` writes the
expected part anew; the diff is what there is to review.
"""

import re
from collections.abc import Iterable
from dataclasses import fields, replace

from supervisor_core.adopting import adoption
from supervisor_core.errors import IllegalInput, Refused
from supervisor_core.machine import Machine
from supervisor_core.messages import (
    Add,
    Apply,
    Begin,
    Changed,
    Disable,
    Enable,
    Event,
    Exited,
    Healthy,
    Input,
    Kill,
    LeaderExited,
    Matched,
    NeverBegan,
    Order,
    Outcome,
    PhaseChanged,
    Ready,
    Remove,
    Removed,
    Restart,
    Shutdown,
    Signal,
    Spawned,
    Start,
    Stop,
    Tick,
    Unhealthy,
    Unready,
)
from supervisor_core.model import (
    Condition,
    Exit,
    Follow,
    OnGiveUp,
    Pool,
    Program,
    Requirement,
    RestartPolicy,
    RestartWhen,
    Status,
    StopPolicy,
    WorkerSpec,
)
from supervisor_core.why import why
from tests.core.telling import action_in_words, changes_in_words

INDENT = "    "
ORDERS = {"start": Start, "stop": Stop, "restart": Restart, "kill": Kill, "remove": Remove,
          "enable": Enable, "disable": Disable}  # fmt: skip
REPORTS = {"ready": Ready, "unready": Unready, "healthy": Healthy}


def rewritten(text: str) -> str:
    """The same scenario with the expected part as it comes out now."""
    scenario, lines = Scenario(), []
    given = [line for line in text.splitlines() if not line.startswith(INDENT)]
    while given:
        line = given.pop(0)
        lines.append(line)
        if line.strip() and not line.startswith("#"):
            more = []
            while given and given[0].startswith("+ "):
                more.append(given.pop(0))
            lines += more + [INDENT + told for told in scenario.take(line, more)]
    return "\n".join(lines) + "\n"


def spec_of(words: list[str]) -> WorkerSpec:
    """Reads `NAME [requires TARGET …] [KEY=VALUE …]`."""
    name, *rest = words
    requires, policy, stop = [], RestartPolicy(on_give_up=OnGiveUp.FAIL), StopPolicy()
    values: dict[str, object] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if word == "requires":
            continue
        if not equals:
            target, condition, follow = [*word.split(":"), "", ""][:3]
            pattern, condition = (condition.strip("/"), "log") if "/" in condition else ("", condition or "ready")
            requires.append(Requirement(target, Condition(condition), Follow(follow or "ignore"), pattern))
        elif key == "restart":
            policy = replace(policy, restart=RestartWhen(value))
        elif key == "on_give_up":
            policy = replace(policy, on_give_up=OnGiveUp(value))
        elif key == "stop_timeout":
            stop = replace(stop, steps=(("TERM", float(value)),))
        elif key == "kill_timeout":
            stop = replace(stop, kill_timeout=float(value))
        elif key in {field.name for field in fields(RestartPolicy)}:
            policy = replace(policy, **{key: type(getattr(policy, key))(float(value))})
        elif key == "pool":
            title, _, slots = value.partition("/")
            values[key] = Pool(title, int(slots))
        elif key == "program":
            values[key] = Program((value,))
        elif key == "labels":
            values[key] = {"is": value}
        else:
            values[key] = {"yes": True, "no": False}[value] if value in ("yes", "no") else float(value)
    return WorkerSpec(name, tuple(requires), policy, stop, **values)  # type: ignore[arg-type]


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


class Scenario:
    """One machine and what it is told."""

    def __init__(self) -> None:
        self.machine = Machine(stay=True)
        self.now = 0.0
        self.before: dict[str, Status] = {}

    def take(self, line: str, more: Iterable[str] = ()) -> list[str]:
        """Does what one line says and returns what came of it in words."""
        words = line.split()
        if words[0] == "wait":
            return self.wait(seconds(words[1]))
        if words[0] == "why":
            return [why(self.machine.statuses[words[1]], self.machine.statuses, self.now) or "it runs"]
        if words[:2] == ["manager", "restarts"]:
            return self.restart("fresh" in words, more)
        if line == "without stay":
            self.machine = Machine()
            return []
        return self.handle(self.input_of(words, more))

    def wait(self, length: float) -> list[str]:
        end, told = self.now + length, []
        while (due := self.machine.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            told += [f"at {self.now:.6g}s", *(INDENT + line for line in self.handle(Tick()))]
        self.now = end
        return told

    def restart(self, fresh: bool, more: Iterable[str]) -> list[str]:
        """What follows from the notes; told as changes to what a reader saw before."""
        old, told = self.machine, []
        specs = [spec_of(line.split()[2:]) for line in more]
        specs = specs or [old._memories[name].pending or status.spec for name, status in old.statuses.items()]
        live = [(name, status.run, status.pid or 0) for name, status in old.statuses.items() if status.live]
        found = adoption(specs, {name: old.note_of(name) for name in old.statuses}, live, self.now, fresh=fresh)
        self.machine = Machine(stay=True)
        for name, run in found.numbers.items():
            self.machine.go_on_from(name, run)
        self.before = {}
        for order in (*found.adds, Begin()):
            told += self.handle(order)
        return told

    def handle(self, given: Input) -> list[str]:
        try:
            outcome = self.machine.handle(given, self.now)
        except Refused as refusal:
            return [f"refused ({refusal.code}): {refusal}"]
        except IllegalInput as error:
            return [f"illegal: {error}"]
        told = self.words_of(outcome)
        if isinstance(given, Order) and outcome.operation != given.operation:
            told.append(f"joins {outcome.operation}")
        return told

    def words_of(self, outcome: Outcome) -> list[str]:
        told = [self.event_in_words(event) for event in outcome.events]
        self.before = dict(self.machine.statuses)
        return told + [action_in_words(action) for action in outcome.actions]

    def input_of(self, words: list[str], more: Iterable[str]) -> Input:
        keys = {key: value for key, _, value in (word.partition("=") for word in words) if key in ("by", "as")}
        tags = {"by": keys.get("by", ""), "operation": keys.get("as", "")}
        verb, *rest = [word for word in words if word.partition("=")[0] not in keys]
        match verb:
            case "worker":
                return Add(spec_of(rest), **tags)
            case "apply":
                return Apply(tuple(spec_of(line.split()[2:]) for line in more), **tags)
            case "begin":
                return Begin(**tags)
            case "shutdown":
                return Shutdown("now" in rest, **tags)
            case "signal":
                return Signal(rest[0], rest[1], "tree" in rest, **tags)
            case "kill" | "remove" | "enable" | "disable":
                return ORDERS[verb](rest[0], **tags)
            case "start" | "stop" | "restart":
                return ORDERS[verb](rest[0], "cascade" in rest, **tags)
        return self.report_of(verb, rest)

    def report_of(self, who: str, words: list[str]) -> Input:
        name, _, run_text = who.partition("#")
        run = int(run_text) if run_text else self.machine.statuses[name].run
        match words:
            case ["spawned", pid]:
                return Spawned(name, run, int(pid))
            case ["never", "began"]:
                return NeverBegan(name, run)
            case ["wrote", pattern]:
                return Matched(name, run, pattern)
            case ["unhealthy", *reason]:
                return Unhealthy(name, run, " ".join(reason))
            case ["exits", *how]:
                return Exited(name, run, exit_of(run, how))
            case ["leader", "exits", *how, "left", left]:
                return LeaderExited(name, run, exit_of(run, how), int(left))
            case [word]:
                return REPORTS[word](name, run)
        raise ValueError(f"not a line of a scenario: {who} {' '.join(words)}")

    # ------------------------------------------------------------ in words

    def event_in_words(self, event: Event) -> str:
        by = f" by {event.by}" if event.by else ""
        match event:
            case PhaseChanged(phase=phase):
                return f"the supervisor is {phase}{by}"
            case Removed(name=name):
                return f"{name}: removed{by}"
            case Changed(status=status, causes=causes):
                facts = ", ".join(changes_in_words(self.before.get(status.name), status))
                return f"{status.name}: {facts}  [{', '.join(causes)}]{by}"


def exit_of(run: int, how: list[str]) -> Exit:
    match how:
        case ["signal", number]:
            return Exit(run, signal=int(number))
        case ["permanent", *reason]:
            return Exit(run, reason=" ".join(reason), permanent=True)
        case [code, *reason]:
            return Exit(run, code=int(code), reason=" ".join(reason))
    raise ValueError("exits CODE [REASON], exits signal N, or exits permanent [REASON]")
