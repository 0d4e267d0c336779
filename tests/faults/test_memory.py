"""A worker whose tree takes more memory than it may is ended, says why, and is looked at only because of that."""

import json
import os
import signal
import sys
from pathlib import Path

from tests.faults.service import Events, Service, until
from tests.faults.test_kills import Kept

MIB = 1024 * 1024

FOREST = """
import os, signal, sys
if sys.argv[1:] == ["again"]:
    held = bytearray(b"x" * (60 << 20))
    signal.pause()
children = [os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, __file__, "again"]) for _ in range(3)]
signal.pause()
"""
"""Three children that hold 60 MiB each, and a parent that does not."""

SHARED = """
import os, signal
held = bytearray(b"x" * (60 << 20))
for _ in range(3):
    os.fork() or signal.pause()
signal.pause()
"""
"""The same, but it is the same memory."""


def config(folder: Path, text: str, **limits: int) -> str:
    program = folder / "worker.py"
    program.write_text(text)
    told = ", ".join(f'{name} = "{size}MiB"' for name, size in limits.items())
    command = json.dumps([sys.executable, "-I", "-S", str(program)])
    return f'[worker.a]\ncommand = {command}\nstart_seconds = 0\nrestart = "never"\nlimits = {{ {told} }}\n'


def test_a_tree_above_its_limit_is_ended_and_says_why(tmp_path, mode):
    with Service(tmp_path, config(tmp_path, FOREST, memory=150, memory_warn=100), mode) as service:
        until(lambda: service.workers()["a"]["state"] == "failed", 30)
        why = service.workers()["a"]["last_exit"]["reason"]
        if "out of memory" in why:
            return  # the kernel keeps the limit where this is run
        assert why.startswith("memory: ")
        assert why.endswith(" MiB of 150.0 MiB")
        said = [line["text"] for line in service.lines("a", stream="log")]
        assert any("above limits.memory_warn (100.0 MiB)" in text for text in said)
        assert any("above limits.memory: this run is ended" in text for text in said)


def test_what_they_share_counts_once_and_a_new_service_goes_on_looking(tmp_path):
    with Kept(tmp_path, config(tmp_path, SHARED, memory=200, memory_warn=100), "kept") as service:
        service.pid_of("a")
        with service.client() as client:

            def use() -> dict:
                (row,) = client.get("/metrics").json()["workers"]
                return row

            until(lambda: use()["processes"] == 4 and use()["memory"] > 220 * MIB, 20)
            row = use()
            assert (row["worker"], row["run"], row["threads"]) == ("a", 1, 4)
            assert row["fds"] >= 12
            assert None not in (row["cpu"], row["read"], row["written"])
        with Events(service.client(), "/events/stream?metrics=1") as events:
            assert [row["worker"] for row in events.until("metrics")] == ["a"]
            for _ in range(3):
                events.until("metrics")
        assert service.workers()["a"]["state"] == "running", "60 MiB and a little, though the sum says 240"
        before = service.manager()
        os.kill(before, signal.SIGKILL)
        service.up_again(before)
        with service.client() as client:
            (row,) = client.get("/metrics").json()["workers"]
            assert row["processes"] == 4
