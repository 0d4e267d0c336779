"""Schedules on virtual time: weeks over both changes of the clocks, overlaps, what was missed, what is remembered."""

import asyncio
import contextlib
import os
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from app.drivers.alarm import WallAlarm
from app.drivers.schedule import Schedules
from app.remembered import Remembered
from app.times import next_after
from supervisor_core.messages import Add, Changed, Disable, Enable, Remove, Shutdown, Start, Stop
from supervisor_core.model import Missed, Overlap, Schedule, State
from tests.support.scripted import ScriptedHost, a_program
from tests.support.virtual import virtual

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86_400.0


def moment(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


class VirtualAlarm:
    """A wall clock that goes with the loop, and that a test can set; `sets` counts how often an alarm was set."""

    def __init__(self, start):
        self.loop = asyncio.get_running_loop()
        self.base = start - self.loop.time()
        self.ring = lambda: None
        self.timer = self.moment = None

    def now(self):
        return self.base + self.loop.time()

    def set(self, moment):
        self.close()
        self.moment = moment
        if moment is not None:
            self.timer = self.loop.call_later(max(0.0, moment - self.now()), self.ring)

    def step(self, seconds):
        """Somebody sets the clock, or the host was asleep for so long: the kernel rings at once."""
        self.base += seconds
        self.ring()

    def close(self):
        if self.timer is not None:
            self.timer.cancel()


class Memory:
    def __init__(self, told=None):
        self.told = told or {}
        self.error = None

    async def keep(self, told):
        if self.error:
            raise self.error
        self.told = told


class Rig:
    """A host with scheduled workers whose runs take `takes` seconds, and the driver beside it."""

    def __init__(self, start, rules, takes=1.0, told=None, host=None, **spec):
        specs = [a_program(n, autostart=False, one_shot=True, schedule=s, **spec) for n, s in rules.items()]
        self.host = host or ScriptedHost(*specs)
        self.alarm, self.store = VirtualAlarm(start), Memory(told)
        self.said, self.renewed, self.starts, self.takes = [], [], [], takes
        self.driver = Schedules(
            self.host, self.alarm, self.store, lambda *told: self.said.append(told), self.renewed.append
        )

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self.play()), asyncio.create_task(self.driver.run())]
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def play(self):
        async for batch in self.host.follow(self.host.snapshot().cursor):
            for event in (entry.event for entry in batch):
                if isinstance(event, Changed) and "admit" in event.causes:
                    self.starts.append((event.status.name, self.alarm.now(), event.by))
                    self.host.come_up(event.status.name)
                    asyncio.get_running_loop().call_later(self.takes, self.end, event.status.name, event.status.run)
                elif isinstance(event, Changed) and event.status.state is State.STOPPING:
                    self.host.end(event.status.name, signal=15)

    def end(self, name, run):
        if self.host.machine.statuses[name].run == run and self.host.machine.statuses[name].live:
            self.host.end(name)

    def times(self, name="a", zone=BERLIN):
        return [f"{datetime.fromtimestamp(at, zone):%d %H:%M%z}"[:-2] for who, at, _ in self.starts if who == name]


def cron(text, **more):
    return Schedule(text, "Europe/Berlin", **more)


RULES = {
    "fixed": cron("30 2 * * *"),
    "twice": cron("0,30 2 * * *"),
    "after": cron("15 3 * * *"),
    "hours": cron("0 */6 * * *"),
    "minutes": cron("*/30 2 * * *"),
    "sunday": cron("0 12 * * SUN"),
    "period": Schedule(every=36 * 3600.0),
}


def days(first, last, time, before, after, change):
    return [f"{day} {time}{before if day < change else after}" for day in range(first, last)]


@virtual
async def test_a_week_in_which_the_clocks_go_forward():
    """2027-03-28: 02:00 is followed by 03:00."""
    async with Rig(moment("2027-03-25 12:00"), RULES) as rig:
        await asyncio.sleep(moment("2027-04-01 12:00") - moment("2027-03-25 12:00"))
    usual = [26, 27, 29, 30, 31]
    zone = dict.fromkeys((26, 27), "+01") | dict.fromkeys((28, 29, 30, 31), "+02")
    assert rig.times("fixed") == [
        "26 02:30+01", "27 02:30+01", "28 03:00+02", "29 02:30+02", "30 02:30+02", "31 02:30+02", "01 02:30+02",
    ]  # fmt: skip
    assert len(rig.times("twice")) == 2 * 6 + 1
    assert [time for time in rig.times("twice") if time.startswith("28")] == ["28 03:00+02"]
    assert "28 03:15+02" in rig.times("after")
    assert [time for time in rig.times("hours") if time[:2] == "28"] == [
        "28 00:00+01", "28 06:00+02", "28 12:00+02", "28 18:00+02",
    ]  # fmt: skip
    assert [t for t in rig.times("minutes") if t[:2] != "01"] == [
        f"{day} 02:{minute}{zone[day]}" for day in usual for minute in ("00", "30")
    ]
    assert rig.times("sunday") == ["28 12:00+02"]
    assert rig.times("period") == ["27 00:00+01", "28 13:00+02", "30 01:00+02", "31 13:00+02"]
    assert {by for _, _, by in rig.starts} == {"schedule"}


@virtual
async def test_a_week_in_which_the_clocks_go_back():
    """2026-10-25: 03:00 is 02:00 once more."""
    async with Rig(moment("2026-10-22 12:00"), RULES) as rig:
        await asyncio.sleep(moment("2026-10-29 12:01") - moment("2026-10-22 12:00"))
    assert rig.times("fixed") == [
        "23 02:30+02", "24 02:30+02", "25 02:30+02", "26 02:30+01", "27 02:30+01", "28 02:30+01", "29 02:30+01",
    ]  # fmt: skip
    assert [time for time in rig.times("twice") if time[:2] == "25"] == ["25 02:00+02", "25 02:30+02"]
    assert [time for time in rig.times("minutes") if time[:2] == "25"] == [
        "25 02:00+02", "25 02:30+02", "25 02:00+01", "25 02:30+01",
    ]  # fmt: skip
    assert len(rig.times("hours")) == 4 * 7
    assert rig.times("sunday") == ["25 12:00+01"]
    assert [b - a for (_, a, _), (_, b, _) in zip(*[[s for s in rig.starts if s[0] == "period"][i:] for i in (0, 1)],
            strict=False)] == [36 * 3600.0] * 3  # fmt: skip


@virtual
async def test_from_within_the_doubled_hour_nothing_of_the_first_pass_comes():
    second_pass = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1).timestamp()
    assert next_after(cron("30 2 * * *"), second_pass, 0.0) == moment("2026-10-26 02:30")
    assert next_after(cron("*/30 * * * *"), second_pass, 0.0) == second_pass + 1200


@virtual
async def test_one_alarm_for_the_earliest_and_none_without_a_schedule():
    start = moment("2026-11-24 12:00")
    async with Rig(start, {"a": Schedule(every=600.0), "b": cron("5 12 * * *")}) as rig:
        assert rig.alarm.moment == start + 300
        planned = rig.driver["a"]
        assert (planned.next, planned.last, planned.rule) == (start + 600, None, "every 10m")
        await asyncio.sleep(400)
        assert rig.driver["b"].last == start + 300
        assert rig.driver["b"].next == start + 300 + DAY
        assert rig.alarm.moment == start + 600
        for name in "ab":
            await rig.host.tell(Remove(name))
        await asyncio.sleep(1)
        assert rig.alarm.moment is None
        assert not rig.driver
    async with Rig(start, {"a": None}) as rig:
        assert rig.alarm.moment is None


# ---------------------------------------------------------------- overlap


@virtual
async def test_what_overlaps_is_skipped():
    async with Rig(0.0, {"a": Schedule(every=60.0)}, takes=150.0) as rig:
        await asyncio.sleep(400)
    assert [at for _, at, _ in rig.starts] == [60.0, 240.0]
    assert len(rig.said) == 4
    assert rig.driver["a"].last == 240.0
    assert "is skipped: run 1 goes on" in rig.said[0][1]


@virtual
async def test_what_overlaps_waits_and_only_one():
    async with Rig(0.0, {"a": Schedule(every=60.0, overlap=Overlap.QUEUE)}, takes=150.0) as rig:
        await asyncio.sleep(400)
        assert rig.driver["a"].last == 300.0
    assert [at for _, at, _ in rig.starts] == [60.0, 210.0, 360.0]


@virtual
async def test_a_queued_run_goes_with_a_stop():
    async with Rig(0.0, {"a": Schedule(every=60.0, overlap=Overlap.QUEUE)}, takes=1000.0) as rig:
        await asyncio.sleep(130)
        await rig.host.tell(Stop("a", by="a person"))
        await asyncio.sleep(10)
        assert len(rig.starts) == 1
        assert rig.said[-1][1] == "the queued run of the schedule is dropped: the worker was stopped"
        await asyncio.sleep(50)
        assert [at for _, at, _ in rig.starts] == [60.0, 180.0]


@virtual
async def test_who_is_disabled_is_not_started_and_that_is_said():
    async with Rig(0.0, {"a": Schedule(every=60.0)}) as rig:
        await asyncio.sleep(70)
        await rig.host.tell(Disable("a"))
        await asyncio.sleep(60)
        assert rig.driver["a"].last == 60.0
        assert "could not start it" in rig.said[-1][1]
        await rig.host.tell(Enable("a"))
        await asyncio.sleep(60)
        assert [at for _, at, _ in rig.starts] == [60.0, 180.0]


@virtual
async def test_what_overlaps_takes_the_place():
    async with Rig(0.0, {"a": Schedule(every=60.0, overlap=Overlap.RESTART)}, takes=150.0) as rig:
        await asyncio.sleep(200)
    assert [at for _, at, _ in rig.starts] == [60.0, 120.0, 180.0]


# ---------------------------------------------------------------- missed


@pytest.mark.parametrize("missed", Missed)
def test_after_a_sleep_of_the_host_it_is_one_run_or_none(missed):
    @virtual
    async def story():
        start = moment("2026-11-24 12:00")
        async with Rig(start, {"a": cron("0 * * * *", missed=missed)}) as rig:
            await asyncio.sleep(1)
            rig.alarm.step(5.5 * 3600)
            await asyncio.sleep(10)
            runs = ["24 17:30+01"] if missed is Missed.RUN_ONCE else []
            assert rig.times() == runs
            assert rig.driver["a"].last == (start + 3600 if runs else None)
            await asyncio.sleep(1800)
            assert rig.times() == [*runs, "24 18:00+01"]

    story()


@virtual
async def test_a_minute_late_is_not_missed():
    async with Rig(moment("2026-11-24 12:00"), {"a": cron("0 13 * * *", missed=Missed.SKIP)}) as rig:
        await asyncio.sleep(1)
        rig.alarm.step(3600 + 30)
        await asyncio.sleep(1)
        assert rig.times() == ["24 13:00+01"]


@virtual
async def test_a_clock_that_goes_back_a_little_repeats_nothing():
    async with Rig(moment("2026-11-24 12:00"), {"a": cron("30 12 * * *"), "b": Schedule(every=3600.0)}) as rig:
        await asyncio.sleep(3700)
        assert (len(rig.times("a")), len(rig.times("b"))) == (1, 1)
        rig.alarm.step(-3600)
        await asyncio.sleep(3500)
        assert (len(rig.times("a")), len(rig.times("b"))) == (1, 1)
        await asyncio.sleep(DAY)
        assert rig.times("a") == ["24 12:30+01", "25 12:30+01"]


@virtual
async def test_a_clock_that_was_wrong_is_not_waited_for():
    async with Rig(moment("2038-01-01 12:00"), {"a": cron("30 12 * * *"), "b": Schedule(every=600.0)}) as rig:
        await asyncio.sleep(3600)
        rig.alarm.step(moment("2026-11-24 12:00") - rig.alarm.now())
        before = len(rig.times("b"))
        await asyncio.sleep(3599)
        assert rig.times("a") == ["01 12:30+01", "24 12:30+01"]
        assert len(rig.times("b")) == before + 5


# ---------------------------------------------------------------- remembered


@pytest.mark.parametrize("missed", Missed)
def test_what_passed_while_no_service_was_there_is_one_run_or_none(missed):
    @virtual
    async def story():
        rules = {"a": cron("0 3 * * *", missed=missed), "b": Schedule(every=36_000.0)}
        async with Rig(moment("2026-11-20 12:00"), rules) as rig:
            await asyncio.sleep(DAY)
            assert rig.times() == ["21 03:00+01"]
        async with Rig(moment("2026-11-24 12:00"), rules, told=rig.store.told) as later:
            await asyncio.sleep(DAY)
            runs = ["24 12:00+01"] if missed is Missed.RUN_ONCE else []
            assert later.times() == [*runs, "25 03:00+01"]
            assert later.times("b")[0] == "24 12:00+01"
            assert later.times("b")[1] == "24 16:00+01"  # the grid of the first one
            assert later.driver["a"].last == moment("2026-11-25 03:00")

    story()


@virtual
async def test_a_service_that_is_back_at_once_loses_and_doubles_nothing():
    rules = {"a": cron("0 3 * * *", missed=Missed.SKIP)}
    async with Rig(moment("2026-11-20 12:00"), rules) as rig:
        await asyncio.sleep(60)
    async with Rig(moment("2026-11-21 03:00:05"), rules, told=rig.store.told) as rig:
        await asyncio.sleep(5)
        assert rig.times() == ["21 03:00+01"]
    async with Rig(moment("2026-11-21 03:00:12"), rules, told=rig.store.told) as rig:
        await asyncio.sleep(3600)
        assert rig.times() == []


@virtual
async def test_a_period_is_remembered_before_it_has_come_once():
    rules = {"a": Schedule(every=DAY)}
    async with Rig(0.0, rules) as rig:
        await asyncio.sleep(0.7 * DAY)
    async with Rig(0.8 * DAY, rules, told=rig.store.told) as rig:
        await asyncio.sleep(0.3 * DAY)
        assert [at for _, at, _ in rig.starts] == [DAY]


@virtual
async def test_another_rule_begins_now_and_an_overlap_is_none():
    async with Rig(moment("2026-11-20 12:00"), {"a": cron("0 3 * * *")}) as rig:
        await asyncio.sleep(DAY)
        await rig.host.tell(Add(a_program("a", autostart=False, schedule=cron("0 13 * * *"))))
        await asyncio.sleep(DAY)
        assert rig.times() == ["21 03:00+01", "21 13:00+01"]
    async with Rig(moment("2026-11-24 12:00"), {"a": cron("0 11 * * *")}, told=rig.store.told) as rig:
        await asyncio.sleep(60)
        assert rig.times() == []
        assert rig.driver["a"].last == moment("2026-11-21 13:00")


@virtual
async def test_a_queued_run_is_owed_over_a_restart():
    rules = {"a": Schedule(every=60.0, overlap=Overlap.QUEUE)}
    async with Rig(0.0, rules, takes=1000.0) as rig:
        await asyncio.sleep(130)
    async with Rig(140.0, rules, told=rig.store.told) as rig:
        await asyncio.sleep(1)
        assert [at for _, at, _ in rig.starts] == [140.0]


@virtual
async def test_a_leaving_service_leaves_a_time_to_the_next_one():
    rules = {"a": Schedule(every=60.0)}
    async with Rig(0.0, {**rules, "b": Schedule(every=59.0)}, takes=100.0) as rig:
        await asyncio.sleep(59.5)
        await rig.host.tell(Shutdown(by="a test"))
        await asyncio.sleep(5)
        assert rig.times("a") == []
    async with Rig(66.0, rules, told=rig.store.told) as rig:
        await asyncio.sleep(1)
        assert [at for _, at, _ in rig.starts] == [66.0]


@virtual
async def test_what_cannot_be_written_down_is_run_all_the_same():
    async with Rig(0.0, {"a": Schedule(every=60.0)}) as rig:
        rig.store.error = OSError(28, "No space left on device")
        await asyncio.sleep(70)
        assert len(rig.starts) == 1


@virtual
async def test_a_run_by_hand_is_no_planned_one():
    async with Rig(0.0, {"a": Schedule(every=60.0)}) as rig:
        await rig.host.tell(Start("a", by="a person"))
        await asyncio.sleep(30)
        assert rig.driver["a"].last is None
        await asyncio.sleep(31)
        assert rig.driver["a"].last == 60.0
        assert [by for _, _, by in rig.starts] == ["a person", "schedule"]


@pytest.mark.parametrize("told", [{"a": 3}, {"a": {"rule": "every 1m"}}, {"a": None}, {"a": {"until": "x"}}])
def test_a_store_that_says_nonsense(told):
    @virtual
    async def story():
        async with Rig(0.0, {"a": Schedule(every=60.0)}, told=told) as rig:
            await asyncio.sleep(61)
            assert len(rig.starts) == 1

    story()


# ---------------------------------------------------------------- the alarm and the file themselves


async def rung(alarm, after):
    came = asyncio.get_running_loop().create_future()
    alarm.ring = lambda: came.done() or came.set_result(None)
    alarm.set(None if after is None else alarm.now() + after)
    async with asyncio.timeout(20):
        await came
    return alarm.now()


@pytest.mark.asyncio
async def test_the_alarm_rings_at_its_moment_and_for_one_that_has_passed():
    alarm = WallAlarm()
    with contextlib.closing(alarm):
        begun = alarm.now()
        assert await rung(alarm, 0.05) >= begun + 0.05
        await rung(alarm, -3600.0)


@pytest.mark.asyncio
async def test_where_the_kernel_does_not_watch_a_timer_of_the_loop_does(monkeypatch):
    monkeypatch.setattr("app.drivers.alarm._timerfd", lambda: -1)
    alarm = WallAlarm()
    with contextlib.closing(alarm):
        begun = alarm.now()
        assert await rung(alarm, 0.05) >= begun + 0.05
        alarm.set(None)


@pytest.mark.asyncio
async def test_a_clock_that_is_set_rings(monkeypatch):
    """Nobody may set this machine's clock, so what the kernel says then is said by hand."""
    alarm = WallAlarm()
    with contextlib.closing(alarm):
        real = os.read
        monkeypatch.setattr(os, "read", lambda *args: (real(*args), (_ for _ in ()).throw(OSError(125, "canceled"))))
        await rung(alarm, 0.01)


@pytest.mark.asyncio
async def test_what_is_remembered_is_there_for_the_next_one(tmp_path, caplog):
    place = tmp_path / "small.json"
    one = Remembered(place)
    assert one.told == {}
    await one.keep({"a": 1})
    assert Remembered(place).told == {"a": 1}
    assert place.stat().st_mode & 0o777 == 0o600
    place.write_text("{")
    assert Remembered(place).told == {}
    assert "cannot be read" in caplog.text
