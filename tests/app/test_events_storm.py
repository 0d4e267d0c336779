"""Ten thousand changes a second: what is held and sent is bounded, and every reader ends with the last states."""

import asyncio
from dataclasses import replace

import pytest

from app.web.feed import FLUSH, LARGEST, PIECES
from supervisor_core.journal import CAPACITY
from supervisor_core.messages import Changed
from tests.support.asgi import ScriptedHost, Stream, a_program, bearer, site
from tests.support.virtual import virtual

PATH = "/api/v1/events/stream"
READER = bearer("reader")
RATE, WORKERS = 10_000, 200


def last_pids(stream: Stream) -> dict[str, int]:
    """The pid that each worker has for a reader that folds what it got."""
    state: dict[str, int] = {}
    for event in stream.events:
        if event.name == "snapshot":
            state = {row["name"]: row["pid"] for row in event.data["workers"]}
        elif event.name == "changed":
            state |= {change["status"]["name"]: change["status"]["pid"] for change in event.data}
    return state


async def storm(host: ScriptedHost, seconds: int) -> dict[str, int]:
    """Changes one worker after the other, ten times in each millisecond; gives the last pid of each."""
    given: dict[str, int] = {}
    for tick in range(seconds * 1000):
        for number in range(RATE // 1000):
            pid = tick * 10 + number + 2
            name = f"w{pid % WORKERS}"
            status = host.machine.statuses[name]
            host.journal.append(Changed(replace(status, pid=pid), ("spawned",), ""))
            given[name] = pid
        await asyncio.sleep(0.001)
    return given


@pytest.mark.row(65)
@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.long)])
@virtual
async def test_a_storm_of_changes_is_bounded_and_ends_with_the_truth(seconds: int) -> None:
    host = ScriptedHost(*(a_program(f"w{number}") for number in range(WORKERS)))
    async with (
        site(host=host) as s,
        Stream(s.app, PATH, READER) as quick,
        Stream(s.app, PATH, READER) as slow,
        Stream(s.app, PATH, READER) as late,
    ):
        for stream in (quick, slow, late):
            await stream.until("snapshot")
        late.reading.clear()
        storming = asyncio.create_task(storm(host, seconds))
        held = 0
        while not storming.done():
            slow.reading.clear() if slow.reading.is_set() else slow.reading.set()
            held = max(held, sum(len(piece.data) for piece in s.services.feed._pieces))
            await asyncio.sleep(0.37)
        given = await storming
        slow.reading.set()
        late.reading.set()
        await asyncio.sleep(1)
        assert len(given) == WORKERS
        for stream in (quick, slow, late):
            assert last_pids(stream) == given
        assert len(host.journal._ring) <= CAPACITY
        assert 0 < held <= PIECES * max(map(len, quick.pieces))
        flushes = seconds / FLUSH
        assert sum(len(event.data) for event in quick.named("changed")) <= 1.2 * flushes * WORKERS, "one each, a flush"
        assert max(map(len, quick.pieces)) < 2 * LARGEST
