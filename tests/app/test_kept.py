"""What the service stands on: how its threads and its keeper part."""

import asyncio
import contextlib
import socket
import threading
from types import SimpleNamespace

import pytest

from app.kept import Kept


@pytest.mark.asyncio
@pytest.mark.row(35)
async def test_what_compresses_does_not_wait_at_the_end_for_a_keeper_that_stands_still(tmp_path, monkeypatch):
    monkeypatch.setattr("app.kept.MOMENT", 0.01)
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        kept = Kept(SimpleNamespace(mark="m", logs=tmp_path), ours, lambda: 0.0, lambda *_: None, waits=False)
        kept._loop = asyncio.get_running_loop()
        asked, answers = asyncio.Event(), []

        async def ask(_):
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(kept.spawner, "ask", ask)
        thread = threading.Thread(target=lambda: answers.append(kept._swap("w", "out", 0, "new")), daemon=True)
        thread.start()
        await asked.wait()
        await kept.end()
        await asyncio.to_thread(thread.join, 5)
        assert answers == [False]
