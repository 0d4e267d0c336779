"""The manager is restarted at any point of a story: another machine is made of the notes and of what is really alive.

`restart` plays the crash (anywhere between two inputs, or in the middle of the last one, when some notes were written
and some actions were carried out), what happens while nobody is there, and the coming back; it checks the rest.
"""

import random
from dataclasses import fields, replace

from supervisor_core.adopting import Adoption, adoption
from supervisor_core.dossier import Memory
from supervisor_core.graph import circle
from supervisor_core.machine import Machine
from supervisor_core.messages import (
    Action,
    Attach,
    Begin,
    Exited,
    Interrupt,
    KillRun,
    Launch,
    NeverBegan,
    Shutdown,
    Spawned,
    Watch,
)
from supervisor_core.model import Exit, Phase, State, Status, WorkerSpec
from tests.core.properties import World
from tests.core.stories import epilogue, prologue, random_exit, random_spec, something

ONCE = "a new manager attaches to each live run once"
SAME = "a new manager finds what the old one left"
WANTED = "a new manager keeps what was wanted"

NOT_NOTED = {"restarting": None, "pid": None, "spec": None}
FORGOTTEN = {"pending": None, "old_run": 0}


def live_through_restarts(seed: int, steps: int = 40, only: str | None = None) -> World:
    """One random story in which the manager is restarted now and then, and once more at its end."""
    rng = random.Random(seed)
    world = World(stay=rng.random() < 0.7, only=only)
    prologue(rng, world, rng.randint(2, 5))
    for _ in range(rng.randrange(steps)):
        if rng.random() < 0.08:
            restart(rng, world)
        else:
            something(rng, world)
    restart(rng, world)
    epilogue(rng, world)
    return world


def restart(rng: random.Random, world: World) -> None:
    """One crash and one coming back."""
    old, was_leaving = world.machine, world.leaving
    whole, truth = crash(rng, world)
    ended: dict[str, Exit] = {}
    if rng.random() < 0.5:
        ended = {name: random_exit(rng, run) for name, run in truth.items() if rng.random() < 0.4}
    passed = rng.choice((0.0, 0.0, 0.5, 30.0))
    world.now += passed
    specs = configured(rng, old)
    damaged = {rng.choice(sorted(world.notes))} if world.notes and rng.random() < 0.05 else set()
    world.notes.update((name, b'{"v":1,"na') for name in damaged)
    alive = [(name, run, 100 + run) for name, run in truth.items() if name not in ended]
    noted = dict(world.notes)
    adopted = adoption(specs, noted, alive, world.now)
    actions = come_back(world, adopted)
    check_attached(world, adopted, truth, ended, damaged)
    check_wanted(world, noted, specs, damaged)
    if rng.random() < 0.9 or old.phase is Phase.RUNNING:
        outcome = world.feed(Begin())
        if whole and not passed and not damaged and old.phase is Phase.RUNNING and outcome is not None:
            check_same(world, old, specs, [*actions, *outcome.actions])
    report(rng, world, truth, ended)
    if was_leaving and rng.random() < 0.7:
        world.feed(Shutdown())


def crash(rng: random.Random, world: World) -> tuple[bool, dict[str, int]]:
    """Gives whether all was noted and done, and which runs there really are; sets the notes back to what was written.

    A run is begun only after all notes of the input that decided it are written.
    """
    truth = dict(world.runs)
    if world.last is None or rng.random() < 0.5:
        return True, truth
    given, outcome, noted, running = world.last
    written = rng.randint(0, len(outcome.touched))
    world.notes = noted | {name: world.notes[name] for name in outcome.touched[:written]}
    done = rng.randint(0, len(outcome.actions)) if written == len(outcome.touched) else 0
    truth = dict(running)
    if isinstance(given, Exited | NeverBegan) and truth.get(given.name) == given.run:
        del truth[given.name]
    truth.update((action.name, action.run) for action in outcome.actions[:done] if isinstance(action, Launch))
    return False, truth


def configured(rng: random.Random, old: Machine) -> list[WorkerSpec]:
    """The config that the new manager reads: as a rule the same, in any order."""
    specs = [old._memories[name].pending or status.spec for name, status in old.statuses.items()]
    names = tuple(old.statuses)
    if rng.random() < 0.3:
        changed = [random_spec(rng, spec.name, names) if rng.random() < 0.3 else spec for spec in specs]
        if not circle({spec.name: spec.requires for spec in changed}):
            specs = changed
    specs = [spec for spec in specs if rng.random() < (0.1 if old.statuses[spec.name].removing else 0.97)]
    rng.shuffle(specs)
    return specs


def come_back(world: World, adopted: Adoption) -> list[Action]:
    world.machine = Machine(stay=world.stay, jitter=world.jitter)
    world.runs, world.told, world.leaving, world.snapshots = {}, {}, False, [({}, [])]
    for name, run in adopted.numbers.items():
        world.machine.go_on_from(name, run)
    outcomes = [world.feed(order) for order in adopted.adds]
    return [action for outcome in outcomes if outcome is not None for action in outcome.actions]


def check_attached(
    world: World, adopted: Adoption, truth: dict[str, int], ended: dict[str, Exit], damaged: set[str]
) -> None:
    """Nothing that is alive is lost; what has ended is attached to as well, as long as its note can be read."""
    for name, run in truth.items():
        if name not in damaged or name not in ended:
            world.check(ONCE, world.runs.get(name) == run, (name, run, world.runs, world.notes.get(name)))
    for order in adopted.adds:
        status = world.statuses[order.spec.name]
        known = order.remembered is None or status.run >= order.remembered.status.run
        world.check(ONCE, known, (status, order))


def check_wanted(world: World, noted: dict[str, bytes], specs: list[WorkerSpec], damaged: set[str]) -> None:
    for spec in specs:
        note = noted.get(spec.name, b"")
        if spec.name in damaged or b'"removing":true' in note or b'"as_new":true' in note:
            continue
        wanted = b'"wanted":true' in note if note else spec.autostart
        world.check(WANTED, world.statuses[spec.name].wanted == wanted, (world.statuses[spec.name], note))


def check_same(world: World, old: Machine, specs: list[WorkerSpec], actions: list[Action]) -> None:
    """With the same config and nothing that happened meanwhile, everything is where it was, and nobody is touched."""
    declared = {name: old._memories[name].pending or status.spec for name, status in old.statuses.items()}
    if {spec.name: spec for spec in specs} != declared or any(s.removing for s in old.statuses.values()):
        return
    strangers = [action for action in actions if not harmless(action, old)]
    world.check(SAME, not strangers, strangers)
    for name, before in old.statuses.items():
        after = world.statuses[name]
        if old._memories[name].pending is None:
            world.check(SAME, bare(before) == bare(after), (before, after, differing(bare(before), bare(after))))
        kept, now = old._memories[name], world.machine._memories[name]
        world.check(SAME, replace(kept, **FORGOTTEN) == now, (name, kept, now))


def harmless(action: Action, old: Machine) -> bool:
    """Whether it only says once more what had been said before."""
    status = old.statuses[action.name]
    match action:
        case Attach():
            return status.live and status.run == action.run
        case Watch():
            return status.live and status.run == action.run
        case Interrupt() | KillRun():
            return status.state in (State.STOPPING, State.KILLING)
    return False


def bare(status: Status) -> Status:
    """Without what is not noted, and what depends on the order of the config file."""
    orders = {key: tuple(sorted(getattr(status, key), key=repr)) for key in ("dependents", "waiting_for", "blocked_on")}
    return replace(status, **NOT_NOTED, **orders)


def differing(one: Status | Memory, other: Status | Memory) -> list[tuple[str, object, object]]:
    pairs = [(f.name, getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    return [(name, a, b) for name, a, b in pairs if a != b]


def report(rng: random.Random, world: World, truth: dict[str, int], ended: dict[str, Exit]) -> None:
    """What attaching tells of each run: that it lives, how it has ended, or that there never was one."""
    runs = list(world.runs.items())
    rng.shuffle(runs)
    for name, run in runs:
        if world.runs.get(name) != run:
            continue
        if truth.get(name) != run:
            world.feed(NeverBegan(name, run))
        elif name in ended:
            world.feed(Exited(name, run, replace(ended[name], at=world.now - 0.25)))
        elif rng.random() < 0.5:
            world.feed(Spawned(name, run, 100 + run))
