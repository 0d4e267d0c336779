"""What `schedule` may say: each sentence for a bad one, and that the service's library takes every good one."""

from datetime import UTC, datetime

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st

from supervisor_core.config import ConfigError, load
from supervisor_core.config.schedules import check_cron, parse_schedule
from supervisor_core.config.values import BadValue
from supervisor_core.model import Missed, Overlap, RestartWhen, Schedule

FORMS = 'needs either cron or every; write { every = "10m" } or { cron = "0 3 * * *" }'

BAD = {
    "a text": ("0 3 * * *", FORMS),
    "neither": ({}, FORMS),
    "both": ({"cron": "0 3 * * *", "every": 10}, FORMS),
    "unknown": (
        {"every": 10, "timezon": "UTC"},
        '"timezon" is not known; known are cron, every, timezone, overlap, missed',
    ),
    "a zone for a period": ({"every": 10, "timezone": "UTC"}, "timezone goes with cron alone; remove it"),
    "no zone": (
        {"cron": "0 3 * * *", "timezone": "Europe/Nowhere"},
        '"Europe/Nowhere" is no time zone; write one such as "Europe/Berlin" or "UTC"',
    ),
    "a path as a zone": (
        {"cron": "0 3 * * *", "timezone": "../../etc/passwd"},
        '"../../etc/passwd" is no time zone; write one such as "Europe/Berlin" or "UTC"',
    ),
    "overlap": (
        {"every": 10, "overlap": "allow"},
        '"allow" is not known; write one of "skip", "queue", "restart"',
    ),
    "missed": ({"every": 10, "missed": "all"}, '"all" is not known; write one of "run_once", "skip"'),
    "too often": ({"every": "10ms"}, '"10ms" is too short a period; write at least "1s"'),
    "four fields": ({"cron": "0 3 * *"}, '"0 3 * *" is no schedule; write five fields such as "0 3 * * *"'),
    "minute": ({"cron": "60 3 * * *"}, '"60" is no minute; write 0 to 59, a list, a range, */2 or *'),
    "step": ({"cron": "*/0 3 * * *"}, '"*/0" is no minute; write 0 to 59, a list, a range, */2 or *'),
    "hour": ({"cron": "0 24 * * *"}, '"24" is no hour; write 0 to 23, a list, a range, */2 or *'),
    "month": (
        {"cron": "0 3 * FOO *"},
        '"FOO" is no month; write 1 to 12 (or JAN …), a list, a range, */2 or *',
    ),
    "backwards": (
        {"cron": "0 3 * * FRI-MON"},
        '"FRI-MON" is no day of the week: a range goes upwards; write it as MON-FRI, or as two ranges',
    ),
    "never": (
        {"cron": "0 3 30 2 *"},
        '"0 3 30 2 *" never comes: no such month has a day 30; correct the day or the month',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_ones(value, sentence):
    with pytest.raises(BadValue) as caught:
        parse_schedule(value)
    assert str(caught.value) == sentence


def test_good_ones():
    assert parse_schedule({"every": "1h30m", "missed": "skip"}) == Schedule(every=5400.0, missed=Missed.SKIP)
    told = {"cron": " 0  3 * * mon-fri ", "timezone": "Europe/Berlin", "overlap": "queue"}
    assert parse_schedule(told) == Schedule("0 3 * * MON-FRI", "Europe/Berlin", overlap=Overlap.QUEUE)
    assert parse_schedule({"cron": "@daily"}) == Schedule("0 0 * * *")


NUMBER = st.integers(0, 70).map(str) | st.sampled_from(["JAN", "sun", "L", "LW", "1L", "8L", "MON#2", "1#6", "", "-"])
TERM = st.one_of(
    NUMBER,
    st.just("*"),
    st.tuples(NUMBER, NUMBER).map("-".join),
    st.tuples(NUMBER, NUMBER).map("/".join),
    st.tuples(st.just("*"), NUMBER).map("/".join),
    st.tuples(NUMBER, NUMBER, NUMBER).map(lambda parts: f"{parts[0]}-{parts[1]}/{parts[2]}"),
)
FIELD = st.lists(TERM, min_size=1, max_size=3).map(",".join)


@given(st.one_of(st.lists(st.one_of(FIELD, st.just("*")), min_size=5, max_size=5).map(" ".join), st.text(max_size=20)))
def test_what_is_taken_the_library_takes(text):
    """The check is this package's own, so nothing that passes it may be news to the library."""
    try:
        told = check_cron(text)
    except BadValue:
        return
    CronSim(told, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    ["*/15 9-17 * * 1-5", "0 0 L * *", "0 0 LW 1-6 *", "5/10 */2 1,15 JAN,JUL *", "0 0 * * 5L", "0 0 * * MON#1,FRI#3",
     "0 0 29 2 *", "0 0 31 * 0", "0 0 30 2 1", "0 0 * * 7"],
)  # fmt: skip
def test_what_the_library_takes_is_taken(text):
    CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    assert check_cron(text) == text


def test_the_library_says_never_too():
    with pytest.raises(CronSimError):
        CronSim("0 3 30 2 *", datetime(2026, 1, 1, tzinfo=UTC))


def test_a_scheduled_worker_waits_and_runs_once(tmp_path):
    file = tmp_path / "quarterdeck.toml"
    file.write_text(
        '[defaults]\nrestart = "always"\nautostart = true\n'
        '[worker.a]\ncommand = "true"\nschedule = { every = "10m" }\n'
        '[worker.b]\ncommand = "true"\nschedule = { every = "10m" }\nautostart = true\nrestart = "on_failure"\n'
        '[worker.c]\ncommand = "true"\n'
    )
    a, b, c = load(file).workers
    assert (a.autostart, a.restart.restart, a.one_shot) == (False, RestartWhen.NEVER, True)
    assert (b.autostart, b.restart.restart, b.one_shot) == (True, RestartWhen.ON_FAILURE, True)
    assert (c.autostart, c.restart.restart, c.one_shot, c.schedule) == (True, RestartWhen.ALWAYS, False, None)
    file.write_text('[worker.a]\ncommand = "true"\nschedule = { every = 60 }\nrestart = "always"\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    said = "worker.a.restart: always leaves its schedule nothing to start; use on_failure"
    assert [(problem.line, problem.text) for problem in caught.value.problems] == [(4, said)]
