"""What is wrong with the service itself: told by readyz, a route, the stream and the pages; and how it is found."""

import asyncio
import errno
import os
import re
from pathlib import Path

import pytest

from app.watchers.conditions import Conditions, LogTroubles
from app.watchers.places import FULL, GONE, LOCKED, identity, troubles_of
from tests.support.asgi import Site, Stream, a_program, bearer, site
from tests.support.virtual import virtual

READER = bearer("reader")
TEXT = "the disk <of> logs is full; free some space"


def hold(s: Site, *names: str) -> None:
    s.services.conditions.replace(("log-disk-full", "other"), dict.fromkeys(names, TEXT))


@virtual
async def test_readyz_stays_200_and_names_what_is_wrong_to_anybody_without_its_words() -> None:
    async with site(a_program("a")) as s, s.client() as c:
        assert (await c.get("/readyz")).json() == {"status": "ready"}
        hold(s, "log-disk-full")
        answer = await c.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "degraded", "conditions": ["log-disk-full"]})
        assert (await c.get("/api/v1/conditions")).status_code == 401
        (told,) = (await c.get("/api/v1/conditions", headers=READER)).json()["conditions"]
        assert (told["name"], told["text"]) == ("log-disk-full", TEXT)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", told["since"])
        hold(s)
        assert (await c.get("/readyz")).json() == {"status": "ready"}


@virtual
async def test_the_stream_says_what_holds_at_first_and_then_at_each_change() -> None:
    async with site(a_program("a")) as s:
        hold(s, "other")
        async with Stream(s.app, "/api/v1/events/stream", READER) as stream:
            await stream.until("snapshot")
            assert [one["name"] for one in stream.events[0].data["conditions"]] == ["other"]
            hold(s, "other")  # the same again is no news
            hold(s, "log-disk-full")
            told = await stream.until("conditions")
            assert [one["name"] for one in told.data] == ["log-disk-full"]
            assert told.id is None, "a reader that resumes is told by its hello"
            hold(s)
            assert (await stream.until("conditions", 2)).data == []
            assert len(stream.named("conditions")) == 2


@virtual
async def test_pages_show_it_to_those_who_are_signed_in_alone() -> None:
    async with site(a_program("a")) as s, s.client() as c:
        hold(s, "log-disk-full")
        cookie = {"Cookie": s.signed_in("reader")}
        for path in ("/", "/workers/a"):
            page = (await c.get(path, headers=cookie)).text
            assert "The disk &lt;of&gt; logs is full; free some space." in page
            assert 'data-condition="log-disk-full"' in page
        assert "log-disk-full" not in (await c.get("/sign-in")).text


@virtual
async def test_many_workers_in_trouble_are_one_condition_and_one_change() -> None:
    conditions = Conditions(asyncio.get_running_loop().time)
    changes: list[list[str]] = []
    conditions.listen(lambda: changes.append([condition.text for condition in conditions]))
    troubles = LogTroubles(conditions, "/logs")
    for number in range(100):
        troubles.take(f"w{number:02}", "out", OSError(errno.ENOSPC, "No space left on device"))
        troubles.take(f"w{number:02}", "err", OSError(errno.ENOSPC, "No space left on device"))
    await asyncio.sleep(1)
    assert len(changes) == 1
    assert "w00, w01, w02 and 97 more have no room in /logs (No space left on device)" in changes[0][0]
    for number in range(100):
        troubles.take(f"w{number:02}", "out", None)
    await asyncio.sleep(1)
    assert len(changes) == 1, "the other streams have no room still"
    since = next(iter(conditions)).since
    troubles.take("w00", "err", OSError(errno.EIO, "Input/output error"))
    await asyncio.sleep(1)
    assert [condition.name for condition in conditions] == ["log-disk-full", "log-disk-error"]
    assert next(iter(conditions)).since == since
    for number in range(100):
        troubles.take(f"w{number:02}", "err", None)
    await asyncio.sleep(1)
    assert list(conditions) == []


def test_a_state_folder_that_is_gone_or_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    state.mkdir()
    known = identity(state)
    assert troubles_of(state, known) == {}
    state.rename(tmp_path / "away")
    assert "No such file or directory" in troubles_of(state, known)[GONE]
    state.mkdir()
    assert "another folder is in its place" in troubles_of(state, known)[GONE]
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert list(troubles_of(tmp_path / "away", known)) == [LOCKED]


def test_a_disk_without_room_or_without_inodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = identity(tmp_path)
    about = list(os.statvfs(tmp_path))
    for bavail, favail, words in ((10, 5, "no room"), (10**6, 0, "no free inode")):
        about[1], about[4], about[5], about[7], about[8] = 4096, bavail, 1000, favail, 0
        monkeypatch.setattr(os, "statvfs", lambda _, told=tuple(about): os.statvfs_result(told))
        assert words in troubles_of(tmp_path, known)[FULL]
