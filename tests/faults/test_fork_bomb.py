"""A fork bomb in sessions of its own against the limit of its worker: bounded, told of, and gone with a stop.

Where no control group counts processes the limit is RLIMIT_NPROC, which the kernel heeds for all users but root: so it
takes root to start the bomb as somebody else, with a number that nobody here has, nor another run of this test.
"""

import errno
import os
import shutil
from pathlib import Path

import pytest

from supervisor_core.lines import Line, View
from tests.children.rigs import ZOO
from tests.faults.marks import Marks, below
from tests.faults.rig import AGAIN, Host, p50_p99, worker

USER = str(2_000_000 + os.getpid())
LIMIT = 20
PROBES = 10

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to start a worker as another user")


def bombs(marks, python):
    """A bomb with its limit, a second worker of the same user with a lower one, and one that is well."""
    code = Path(ZOO).read_text()  # the file itself may be where that user cannot go

    def of_user(name, limit, *words):
        argv = (python, "-I", "-S", "-c", code, *words, *marks.words(name), "pause")
        program = {"user": USER, "group": USER, "directory": "/", "limits": {"pids": limit}}
        return worker(name, argv, program=program, grace=0.1, autostart=False)

    return [
        of_user("bomb", LIMIT, "bomb"),
        of_user("next", LIMIT // 2),
        worker("well", ["/bin/sleep", "1000"], restart=AGAIN),
    ]


@pytest.fixture
def python():
    """A Python that everybody may run; ours may be in somebody's home."""
    if (found := shutil.which("python3", path="/usr/bin:/usr/local/bin")) is None:
        # also in CI: the tests' own Python may be in a home, and no other is promised
        pytest.skip("needs a Python that another user may run")
    return found


def lines(store, name, stream):
    return [item.text for item in store.tail(View((name,), frozenset({stream})), 50).items if isinstance(item, Line)]


@pytest.mark.row(12)
def test_a_fork_bomb_stays_within_its_limit_and_is_gone_with_a_stop(tmp_path, python, record_property):
    with Marks() as marks, Host(tmp_path, bombs(marks, python)) as host:
        host.until("well", "running")
        host.order("start", "bomb")
        marks.until(["bomb"])
        figures = p50_p99(host.probe("well", PROBES))
        record_property("restart beside it ms p50/p99", "{:.0f}/{:.0f}".format(*figures))
        counts = [len(marks.of("bomb")) for _ in range(5)]
        assert LIMIT / 2 < min(counts) <= max(counts) <= LIMIT

        host.order("start", "next")
        second = host.until("next", "failed", "running")
        host.order("stop", "next")

        host.order("stop", "bomb")
        host.until("bomb", "stopped")
        assert marks.of("bomb") == []
        host.order("stop", "well")
        host.until("well", "stopped")
        assert below(host.process.pid) == []
        host.leave()
        logs = host.store()
        try:
            out, said = lines(logs, "bomb", "out"), lines(logs, "bomb", "log")
        finally:
            logs.close()
    assert out == [f"no more: [Errno {errno.EAGAIN}] {os.strerror(errno.EAGAIN)}"]
    if any(text.startswith("limits.pids: counts all processes of its user") for text in said):
        assert second["state"] == "failed", "the bomb counts against the lower limit of the other worker"
        assert "no further process now; raise the limit" in second["exit"][3]
    else:
        assert second["state"] == "running", "each has a control group, which counts its own processes"
