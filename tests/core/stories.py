"""Random workers, random things that happen to them, and whole stories made of these."""

import random
from collections.abc import Callable
from dataclasses import replace

from supervisor_core.messages import (
    Add,
    Apply,
    Begin,
    Disable,
    Enable,
    Exited,
    Healthy,
    Input,
    Kill,
    LeaderExited,
    Matched,
    Outcome,
    Ready,
    Remove,
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
    LIVE,
    Condition,
    Exit,
    Follow,
    OnGiveUp,
    Pool,
    Program,
    Requirement,
    RestartPolicy,
    RestartWhen,
    State,
    Status,
    StopPolicy,
    WorkerSpec,
)
from tests.core.properties import World

NAMES = ("a", "b", "c", "d", "e")


def random_spec(rng: random.Random, name: str, names: tuple[str, ...]) -> WorkerSpec:
    others = [other for other in (*names, "nobody") if other < name or rng.random() < 0.1]
    targets = [other for other in others if rng.random() < (0.05 if other == "nobody" else 0.5)]
    conditions = [Condition.READY] * 4 + list(Condition)
    follows = [Follow.IGNORE] * 3 + list(Follow)
    return WorkerSpec(
        name,
        tuple(requirement(other, rng.choice(conditions), rng.choice(follows)) for other in targets),
        RestartPolicy(
            restart=rng.choice(list(RestartWhen)),
            max_restarts=rng.choice((0, 1, 3)),
            stable_after=rng.choice((1.0, 10.0)),
            window=rng.choice((5.0, 600.0)),
            on_give_up=rng.choice((OnGiveUp.FAIL, OnGiveUp.FAIL, OnGiveUp.RETRY, rng.choice(list(OnGiveUp)))),
            retry_every=30.0,
        ),
        StopPolicy((("TERM", rng.choice((1.0, 10.0))),), kill_timeout=1.0),
        start_timeout=rng.choice((None, None, 2.0)),
        ready_probe=rng.random() < 0.2,
        autostart=rng.random() < 0.8,
        essential=rng.random() < 0.05,
        daemon=rng.random() < 0.1,
        program=Program(("/bin/x",)) if rng.random() < 0.3 else None,
        pool=Pool("gpu", rng.choice((1, 1, 2))) if rng.random() < 0.3 else None,
        labels={"v": str(rng.randrange(3))},
    )


def requirement(name: str, condition: Condition, follow: Follow) -> Requirement:
    return Requirement(name, condition, follow, "up" if condition is Condition.LOG else "")


def random_exit(rng: random.Random, run: int) -> Exit:
    return rng.choice(
        (
            Exit(run, code=0),
            Exit(run, code=0),
            Exit(run, code=1, reason="broke"),
            Exit(run, signal=15),
            Exit(run, reason="no such file", permanent=True),
        )
    )


def order_for(rng: random.Random, world: World, name: str) -> Input:
    cascade = rng.random() < 0.3
    tags = {"by": rng.choice(("ann", "bob")), "operation": f"op-{len(world.story)}"}
    make: list[Callable[[], Input]] = [
        lambda: Start(name, cascade, **tags),
        lambda: Start(name, cascade, **tags),
        lambda: Stop(name, cascade, **tags),
        lambda: Restart(name, cascade, **tags),
        lambda: Restart(name, cascade, **tags),
        lambda: Kill(name, **tags),
        lambda: Signal(name, "HUP", **tags),
        lambda: Disable(name, **tags) if rng.random() < 0.3 else Enable(name, **tags),
    ]
    if rng.random() < 0.15:
        names = tuple(sorted(world.statuses)) or NAMES[:2]
        make = [
            lambda: Remove(name, **tags),
            lambda: Add(random_spec(rng, name, names), **tags),
            lambda: Apply(tuple(random_spec(rng, n, names) for n in names if rng.random() < 0.8), **tags),
            lambda: Begin(**tags),
        ]
    return rng.choice(make)()


def report_for(rng: random.Random, status: Status) -> Input:
    name, run = status.name, status.run
    ending = status.state in (State.STOPPING, State.KILLING)
    if rng.random() < (0.6 if ending else 0.2):
        return Exited(name, run, random_exit(rng, run))
    make: list[Callable[[], Input]] = [
        lambda: Ready(name, run),
        lambda: Ready(name, run),
        lambda: Spawned(name, run, 100 + run),
        lambda: Spawned(name, run, 100 + run),
        lambda: Healthy(name, run),
        lambda: Unhealthy(name, run, "no answer"),
        lambda: Unready(name, run),
        lambda: Matched(name, run, "up"),
        lambda: LeaderExited(name, run, random_exit(rng, run), 1),
    ]
    return rng.choice(make)()


def something(rng: random.Random, world: World) -> None:
    """One random thing happens."""
    kind = rng.random()
    live = [status for status in world.statuses.values() if status.live]
    if kind < 0.04:
        world.take_snapshot()
    elif kind < 0.05:
        world.feed(Shutdown(rng.random() < 0.3))
    elif kind < 0.10:
        stale(rng, world)
    elif kind < 0.14:
        world.explodes = True
        if live:
            world.feed(Exited(live[0].name, live[0].run, Exit(live[0].run, code=1)))
        world.explodes = False
    elif kind < 0.27:
        due = world.machine.next_deadline()
        if due is not None:
            world.now = max(world.now, due)
            world.feed(Tick())
    elif kind < 0.30:
        world.now += rng.choice((0.05, 1.0, 20.0))
        world.feed(Tick())
    elif kind < 0.72 and live:
        world.feed(report_for(rng, rng.choice(live)))
    elif world.statuses:
        names = [*sorted(world.statuses), rng.choice(NAMES)]
        world.feed(order_for(rng, world, rng.choice(names)))


def stale(rng: random.Random, world: World) -> None:
    if not world.statuses:
        return
    status = rng.choice(list(world.statuses.values()))
    if status.state in LIVE:
        status = replace(status, run=status.run - 1)
    report = report_for(rng, status)
    before, running = world.state(), dict(world.runs)
    outcome = world.machine.handle(report, world.now)
    same = outcome == Outcome() and world.state() == before
    world.check("a stale report changes nothing", same, (report, outcome))
    if world.only is not None and not same:
        raise StopIteration("another property's bug; this story is over")
    assert world.runs == running


def prologue(rng: random.Random, world: World, count: int) -> None:
    names = NAMES[:count]
    late = rng.random() < 0.2
    for name in names:
        world.feed(Add(random_spec(rng, name, names)))
    if not late or rng.random() < 0.5:
        world.feed(Begin())


ENDINGS = {
    "leaving comes to rest with cooperative works": World.end_by_leaving,
    "stop then start then stop ends at rest and not wanted": World.end_by_stop_start_stop,
    "a stopped target is not held for ever by a restarting dependent": World.end_by_restarting_dependents,
    "every restart is answered": World.end_by_restart,
}


def epilogue(rng: random.Random, world: World) -> None:
    ending = ENDINGS.get(world.only or "") or rng.choice(list(ENDINGS.values()))
    if world.statuses or ending is World.end_by_leaving:
        ending(world, rng)


def live_through(seed: int, steps: int = 40, only: str | None = None) -> World:
    """One random story, checked all along."""
    rng = random.Random(seed)
    world = World(stay=rng.random() < 0.7, only=only)
    prologue(rng, world, rng.randint(2, 5))
    for _ in range(rng.randrange(steps)):
        something(rng, world)
    epilogue(rng, world)
    return world
