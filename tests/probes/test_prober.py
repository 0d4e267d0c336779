"""When is looked, and what of it counts: pauses, delays, thresholds and looks that came too late; in virtual time."""

import asyncio

import pytest

from supervisor_core.probes import LATE, Answer
from supervisor_core.probes.prober import Prober, wait
from tests.probes.rig import probe
from tests.support.virtual import virtual

GOOD, BAD, LATE_BAD, LATE_GOOD = (
    Answer(True, "y"),
    Answer(False, "n"),
    Answer(False, "n", True),
    Answer(True, "y", True),
)


class Played:
    """A probe whose looks are given, each with the seconds that it takes; the last one goes on for ever."""

    def __init__(self, *answers, role="ready", takes=0.0, standing=None, **changes):
        loop = asyncio.get_running_loop()
        fields = {"period": 10.0, "first_period": 1.0, "timeout": 1.0, **changes}
        self.looked, self.told, self.kept, self.takes = [], [], [], takes
        self.answers = list(answers)
        self.loop = loop
        self.prober = Prober(
            role, probe("exec", "x", **fields), 1, loop.time, self.kept.append,
            lambda good, finding: self.told.append((loop.time(), good, finding.in_a_row)), standing,
        )  # fmt: skip

    async def look(self):
        self.looked.append(self.loop.time())
        await wait(self.takes)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def run(self, seconds, delay=0.0):
        task = asyncio.create_task(self.prober.poll(self.look, delay))
        await wait(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@virtual
async def test_each_second_until_it_passes_and_then_each_period():
    played = Played(BAD, BAD, GOOD)
    await played.run(35)
    assert played.looked == [0, 1, 2, 12, 22, 32]
    assert played.told == [(2, True, 1)]
    assert [finding.in_a_row for finding in played.kept] == [1, 2, 1, 2, 3, 4]


@virtual
async def test_a_delay_comes_first_and_a_long_look_takes_no_time_from_the_next():
    played = Played(GOOD, takes=4.0)
    await played.run(40, delay=5.0)
    assert played.looked == [5, 15, 25, 35], "from look to look"
    slow = Played(GOOD, takes=14.0)
    await slow.run(40)
    assert [at - slow.looked[0] for at in slow.looked] == [0, 14, 28], "never two at once"


@pytest.mark.parametrize(
    ("answers", "changes", "told"),
    [
        ((GOOD, BAD, BAD, BAD), {}, [(0, True), (30, False)]),
        ((GOOD, BAD, BAD, GOOD, BAD, BAD, GOOD), {}, [(0, True)]),
        ((GOOD, BAD, GOOD), {"failure_threshold": 1}, [(0, True), (10, False), (20, True)]),
        ((GOOD, GOOD, GOOD, BAD, BAD, BAD, GOOD), {"success_threshold": 3}, [(2, True), (32, False), (62, True)]),
        ((GOOD, LATE_BAD), {"failure_threshold": 1}, [(0, True)]),
        ((LATE_GOOD, BAD, LATE_BAD, BAD), {"failure_threshold": 2}, [(0, True), (30, False)]),
    ],
)
def test_what_counts(answers, changes, told):
    @virtual
    async def story():
        played = Played(*answers, **{"failure_threshold": 3, "success_threshold": 1, **changes})
        await played.run(100)
        assert [(at, good) for at, good, _ in played.told] == told

    story()


@virtual
async def test_one_that_was_ready_before_goes_on_by_its_period():
    played = Played(BAD, standing=True)
    await played.run(25)
    assert played.looked == [0, 10, 20]
    assert played.told == [(20, False, 3)]


@virtual
async def test_a_heartbeat_is_wanted_in_each_period_but_not_in_one_that_we_slept_through():
    loop, beats = asyncio.get_running_loop(), [True, False, False, True, False, False, False]
    played = Played(GOOD, period=10.0)

    async def heard():
        played.looked.append(loop.time())
        return GOOD if beats.pop(0) else BAD

    task = asyncio.create_task(played.prober.heartbeat(heard, 5.0))
    await wait(76)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert played.looked == [15, 25, 35, 45, 55, 65, 75]
    assert [(at, good) for at, good, _ in played.told] == [(15, True), (75, False)]

    played = Played(GOOD, period=10.0, failure_threshold=1)

    async def nothing():
        return BAD

    task = asyncio.create_task(played.prober.heartbeat(nothing, 0.0))
    await wait(1)
    loop._virtual.now += 10 + 2 * LATE  # the whole process stood still, over the end of the period
    await wait(5)
    assert played.kept == []
    await wait(10)
    assert [finding.good for finding in played.kept] == [False]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
