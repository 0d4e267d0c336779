"""What the ledger keeps: runs with their ends, transitions, over lives that end in order and lives that do not."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from app.watchers.ledger.account import CUT_OFF
from supervisor_core.messages import Apply, Ready, Restart, Stop, Unhealthy, Unready
from supervisor_core.model import RestartPolicy, RestartWhen
from tests.support.asgi import ScriptedHost, a_program
from tests.watchers.ledgers import Life, life

pytestmark = pytest.mark.asyncio

RETRY = RestartPolicy(restart=RestartWhen.ON_FAILURE, on_give_up="fail", backoff_initial=0.0)  # type: ignore[arg-type]


async def test_a_run_has_one_row_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web", restart=RETRY)) as one:
        one.host.come_up("web", 100)
        (live,) = await one.runs()
        assert (live.worker, live.run, live.pid, live.ended, live.cause) == ("web", 1, 100, None, "")
        assert live.started is not None
        one.host.write("web", "looking for the database", "there is none")
        one.host.end("web", code=3, reason="exit status 3")
        ended, *more = await one.runs()
        assert ended.id == live.id
        assert (ended.code, ended.signal, ended.reason, ended.cause, ended.by) == (
            3,
            None,
            "exit status 3",
            "crash",
            "",
        )
        assert ended.ended is not None
        assert ended.started == live.started
        assert ended.lines == ("looking for the database", "there is none")
        assert [row.run for row in more] in ([], [2])


async def test_each_transition_is_kept_with_its_causes_and_who_asked(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 100)
        await one.host.tell(Stop("web", by="anna"))
        one.host.end("web", signal=15, reason="killed by SIGTERM")
        told = [row for row in await one.told() if row.kind == "changed"]
        assert [row.seq for row in await one.told()] == list(range(1, one.host.journal.cursor.seq + 1))
        assert told[-2].state == "stopping"
        assert (told[-2].causes[0], told[-2].by) == ("stop", "anna")
        assert (told[-1].state, told[-1].causes, told[-1].why) == ("stopped", ("gone",), "killed by SIGTERM")
        (run,) = await one.runs()
        assert (run.cause, run.by, run.signal) == ("person", "anna", 15)


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ({"code": 0}, "finished"),
        ({"code": 2, "reason": "exit status 2"}, "crash"),
        ({"signal": 11, "reason": "killed by SIGSEGV"}, "signal"),
        ({"signal": 9, "reason": "killed by SIGKILL, likely out of memory"}, "memory"),
        ({"code": None, "reason": "unknown: the keeper that ran it was lost"}, "unknown"),
    ],
)
async def test_why_a_run_ended_by_itself(tmp_path: Path, end: dict[str, object], cause: str) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 100)
        one.host.end("web", **end)  # type: ignore[arg-type]
        (run,) = await one.runs()
        assert (run.cause, run.by) == (cause, "")


async def test_a_program_that_could_not_be_started_is_a_crash(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.end("web", code=None, reason="there is no program /bin/web")
        (run,) = await one.runs()
        assert (run.cause, run.pid, run.reason) == ("crash", None, "there is no program /bin/web")


async def test_a_probe_that_failed_is_the_cause(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 100)
        one.host.report(Unhealthy("web", 1, "GET / gave 500"))
        one.host.end("web", signal=15)
        (run,) = [row for row in await one.runs() if row.run == 1]
        assert (run.cause, run.by, run.reason) == ("probe", "policy", "GET / gave 500")


async def test_a_limit_of_memory_that_was_passed_is_the_cause(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 100)
        one.host.report(Unhealthy("web", 1, "memory: 1.2 GiB of 1 GiB"))
        one.host.end("web", signal=15)
        (run,) = [row for row in await one.runs() if row.run == 1]
        assert (run.cause, run.reason) == ("memory", "memory: 1.2 GiB of 1 GiB")


async def test_another_config_is_the_cause_and_who_applied_it_is_named(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web"), a_program("old")) as one:
        one.host.come_up("web", 100)
        one.host.come_up("old", 101)
        await one.host.tell(Apply((a_program("web", daemon=True),), by="anna"))
        one.host.end("web", signal=15)
        one.host.end("old", signal=15)
        old, web = sorted((run for run in await one.runs() if run.run == 1), key=lambda run: run.worker)
        assert (web.worker, web.cause, web.by, web.signal) == ("web", "config", "anna", 15)
        assert (old.worker, old.cause, old.by, old.ended is None) == ("old", "config", "anna", False)


async def test_end_and_next_beginning_may_be_one_event(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 100)
        await one.host.tell(Restart("web", by="anna"))
        one.host.end("web", signal=15)
        first, second = await one.runs()
        assert (first.run, first.cause, first.by) == (1, "person", "anna")
        assert (second.run, second.ended) == (2, None)


async def test_the_next_life_goes_on_and_numbers_of_rows_too(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 100)
        await one.host.tell(Stop("web", by="anna"))
        one.host.end("web", signal=15)
        before = await one.told()
    async with life(tmp_path, a_program("db")) as two:
        two.host.come_up("db", 200)
        assert [(row.id, row.worker) for row in await two.runs()] == [(1, "web"), (2, "db")]
        assert (await two.told())[: len(before)] == before
        assert await two.runs("web") == (await two.runs())[:1]


async def test_what_a_killed_life_left_open_ends_with_a_named_reason(tmp_path: Path) -> None:
    """A worker of the config, one that is in it no more, and one whose number is the same again."""
    one = Life(tmp_path / "ledger.sqlite", ScriptedHost(a_program("web"), a_program("gone"), a_program("again")))
    for name in ("web", "gone", "again"):
        one.host.come_up(name)
    await one.runs()
    await one.kill()
    host = ScriptedHost(a_program("web", autostart=False), a_program("again"))
    async with life(tmp_path, host=host) as two:
        host.come_up("again", 77)
        rows = await two.runs()
        assert len(rows) == 4
        for row in rows[:3]:
            assert (row.cause, row.reason, row.run) == ("unknown", CUT_OFF, 1)
            assert row.ended is not None
        assert (rows[3].worker, rows[3].run, rows[3].pid, rows[3].ended) == ("again", 1, 77, None)


async def test_what_happened_while_the_ledger_was_not_open_is_read_from_the_journal(tmp_path: Path) -> None:
    host = ScriptedHost(a_program("web"))
    host.come_up("web", 100)
    host.end("web", code=0)
    async with life(tmp_path, host=host) as one:
        (run,) = await one.runs()
        assert (run.run, run.cause) == (1, "finished")


async def test_what_the_journal_has_dropped_is_told_as_a_gap_and_runs_are_right(tmp_path: Path) -> None:
    host = ScriptedHost(a_program("web"), a_program("db"), capacity=4)
    host.come_up("web", 100)
    for _ in range(5):
        await host.tell(Restart("web", by="anna"))
        host.end("web", signal=15)
        host.come_up("web", 200)
    async with life(tmp_path, host=host) as one:
        assert [(row.worker, row.run, row.ended is None) for row in await one.runs()] == [
            ("web", 5, False), ("web", 6, True), ("db", 1, True),
        ]  # fmt: skip
        told = await one.told()
        assert [row.kind for row in told] == ["gap"]
        assert told[0].run == host.journal.cursor.seq


async def test_the_file_is_its_owners_alone_and_a_person_may_read_it(tmp_path: Path) -> None:
    async with life(tmp_path, a_program("web")) as one:
        await one.runs()
        for name in os.listdir(tmp_path):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
        beside = sqlite3.connect(one.place)
        assert beside.execute("SELECT count(*) FROM transitions").fetchone()[0] > 0
        beside.close()


async def test_who_asks_is_answered_while_more_comes_all_the_time(tmp_path: Path) -> None:
    """A journal that grows with each look: a question is about what was when it was asked."""
    async with life(tmp_path, a_program("web")) as one:
        one.host.come_up("web", 100)
        await one.runs()
        entries = one.host.journal.entries

        def growing(after: int, limit: int = 1000) -> object:
            one.host.report(Unready("web", 1))
            one.host.report(Ready("web", 1))
            return entries(after, limit)

        one.host.journal.entries = growing  # type: ignore[method-assign]
        assert [row.pid for row in await one.runs()] == [100]
        one.host.journal.entries = entries  # type: ignore[method-assign]
