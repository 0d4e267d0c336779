"""A hypothesis state machine over everything that must hold of the machine, and plain random stories beside it.

`PROPERTY_EXAMPLES=5000 pytest tests/core/test_properties.py` spends more; the normal run is derandomized.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from supervisor_core.messages import (
    Apply,
    Begin,
    Disable,
    Enable,
    Exited,
    Healthy,
    Kill,
    LeaderExited,
    Matched,
    Ready,
    Remove,
    Restart,
    Shutdown,
    Spawned,
    Start,
    Stop,
    Tick,
    Unhealthy,
    Unready,
)
from supervisor_core.model import Exit
from tests.core.properties import World
from tests.core.restarts import live_through_restarts, restart
from tests.core.stories import NAMES, epilogue, live_through, prologue, random_exit, random_spec, something, stale

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "100"))
seeds = st.integers(0, 2**32 - 1)
which = st.integers(0, 4)


class Supervised(RuleBasedStateMachine):
    """Each rule is one input; `World` checks every property after it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(seed=seeds, count=st.integers(2, 5), stay=st.booleans())
    def some_workers(self, seed: int, count: int, stay: bool) -> None:
        self.world = World(stay=stay)
        prologue(random.Random(seed), self.world, count)

    def live(self) -> list[str]:
        return sorted(self.world.runs)

    def name(self, at: int) -> str:
        names = sorted(self.world.statuses) or list(NAMES)
        return names[at % len(names)]

    def run_of(self, at: int) -> tuple[str, int]:
        name = self.live()[at % len(self.live())]
        return name, self.world.runs[name]

    # ------------------------------------------------------------ orders

    @rule()
    def begin(self) -> None:
        self.world.feed(Begin())

    @rule(at=which, cascade=st.booleans(), order=st.sampled_from((Start, Stop, Restart)))
    def order(self, at: int, cascade: bool, order: type[Start] | type[Stop] | type[Restart]) -> None:
        self.world.feed(order(self.name(at), cascade, operation=f"op-{len(self.world.story)}"))

    @rule(at=which)
    def kill(self, at: int) -> None:
        self.world.feed(Kill(self.name(at)))

    @rule(at=which)
    def remove(self, at: int) -> None:
        self.world.feed(Remove(self.name(at)))

    @rule(at=which, order=st.sampled_from((Enable, Enable, Disable)))
    def switch(self, at: int, order: type[Enable] | type[Disable]) -> None:
        self.world.feed(order(self.name(at)))

    @rule(seed=seeds)
    def apply(self, seed: int) -> None:
        rng = random.Random(seed)
        self.world.feed(Apply(tuple(random_spec(rng, name, NAMES) for name in NAMES if rng.random() < 0.7)))

    @rule(seed=seeds, now=st.booleans())
    def shutdown(self, seed: int, now: bool) -> None:
        if seed % 8 == 0:
            self.world.feed(Shutdown(now))

    # ------------------------------------------------------------ reports and time

    @precondition(lambda self: self.world.runs)
    @rule(at=which, report=st.sampled_from((Ready, Ready, Unready, Healthy, Unhealthy)))
    def report(self, at: int, report: type[Ready]) -> None:
        self.world.feed(report(*self.run_of(at)))

    @precondition(lambda self: self.world.runs)
    @rule(at=which)
    def spawned(self, at: int) -> None:
        self.world.feed(Spawned(*self.run_of(at), pid=100))

    @precondition(lambda self: self.world.runs)
    @rule(at=which)
    def wrote(self, at: int) -> None:
        self.world.feed(Matched(*self.run_of(at), "up"))

    @precondition(lambda self: self.world.runs)
    @rule(at=which, seed=seeds)
    def exits(self, at: int, seed: int) -> None:
        name, run = self.run_of(at)
        self.world.feed(Exited(name, run, random_exit(random.Random(seed), run)))

    @precondition(lambda self: self.world.runs)
    @rule(at=which, code=st.sampled_from((0, 1)))
    def leader_exits(self, at: int, code: int) -> None:
        name, run = self.run_of(at)
        self.world.feed(LeaderExited(name, run, Exit(run, code=code), 2))

    @precondition(lambda self: self.world.machine.next_deadline() is not None)
    @rule()
    def what_is_due(self) -> None:
        due = self.world.machine.next_deadline()
        assert due is not None
        self.world.now = max(self.world.now, due)
        self.world.feed(Tick())

    @rule(seed=seeds)
    def anything(self, seed: int) -> None:
        something(random.Random(seed), self.world)

    @rule(seed=seeds)
    def stale_report(self, seed: int) -> None:
        stale(random.Random(seed), self.world)

    @rule(seed=seeds)
    def the_manager_is_restarted(self, seed: int) -> None:
        restart(random.Random(seed), self.world)

    @rule()
    def snapshot(self) -> None:
        self.world.take_snapshot()

    def teardown(self) -> None:
        if self.world.statuses:
            epilogue(random.Random(len(self.world.story)), self.world)


Supervised.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(max(60, EXAMPLES))
class TestProperties(Supervised.TestCase):  # type: ignore[misc, name-defined]
    """The state machine as a test."""


@pytest.mark.timeout(max(60, EXAMPLES))
@pytest.mark.parametrize("part", range(4))
def test_random_stories(part: int) -> None:
    for seed in range(part * 1_000_000, part * 1_000_000 + 2 * EXAMPLES):
        live_through(seed)


@pytest.mark.timeout(max(60, EXAMPLES))
@pytest.mark.parametrize("part", range(4))
def test_random_stories_with_a_manager_that_is_restarted(part: int) -> None:
    for seed in range(part * 1_000_000, part * 1_000_000 + 2 * EXAMPLES):
        live_through_restarts(seed)
