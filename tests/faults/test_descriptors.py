"""The limit of open files is reached: by workers, then by strangers; who runs goes on, and its owner gets in."""

import contextlib
import os
import re
import socket
import time

import pytest

from tests.faults.service import Service, alive, until

FEW = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
MANY = 40


@pytest.mark.row(54)
def test_at_the_limit_of_descriptors_starts_are_refused_and_the_owner_gets_in(tmp_path, mode):
    one = '[worker.w{}]\ncommand = ["sleep", "600"]\nstart_seconds = 0\nautostart = false\nrestart = "never"\n'
    text = "".join(one.format(number) for number in range(MANY))
    with Service(tmp_path, text, mode, wrap=FEW) as service, contextlib.ExitStack() as stack:
        pids = []
        with service.client() as client:
            for number in range(MANY):
                answer = client.post(f"/workers/w{number}/start")
                if answer.status_code != 200:
                    break
                pids.append(answer.json()["worker"]["pid"])
        assert answer.status_code == 409
        told = re.search(r"(\d+) of 64 are in use.* raise the limit to (\d+) or more", answer.json()["detail"])
        assert told, answer.json()
        assert int(told[1]) < 64 < int(told[2])
        assert len(pids) >= 5
        for _ in range(100):
            stranger = stack.enter_context(socket.socket())
            stranger.connect(("127.0.0.1", service.port))
        begun = time.monotonic()
        while time.monotonic() < begun + 1.5:
            with service.client(seconds=2) as client:
                assert client.get("/workers/w0").json()["pid"] == pids[0]
        with service.client() as client:
            assert client.post("/workers/w1/restart").status_code == 200, "one that goes makes room for its next run"
            assert client.post("/workers/w0/stop").status_code == 200
        assert all(alive(pid) for pid in pids[2:])
        assert not alive(pids[0])
        stack.close()
        until(lambda: len(os.listdir(f"/proc/{service.pid}/fd")) < 48)
        with service.over_tcp() as client:
            assert client.get("/workers").status_code == 200, "and strangers are served when there is room again"
    lines = service.text.splitlines()
    assert len(lines) < 8, lines
    assert any("connections are refused: no file descriptor" in line for line in lines)
