"""A shutdown whose service is killed halfway: what had to end ends all the same, and nothing comes back."""

import os
import signal

import pytest

from tests.faults.service import alive, until, zoo
from tests.faults.test_kills import Kept

WAITS = ("until", "USR1", "write", "forever", "rate=20", "exit")
SLOW = f"[worker.slow]\ncommand = {zoo('ignore', 'TERM', *WAITS, '0')}\nstart_seconds = 0\nstop_timeout = 60\n"
MAIN = f'[worker.main]\ncommand = {zoo(*WAITS, "3")}\nstart_seconds = 0\nrestart = "never"\nessential = true\n'


@pytest.mark.row(35)
@pytest.mark.parametrize("by", ["order", "essential worker"])
def test_a_shutdown_that_was_ordered_goes_on_without_the_service(tmp_path, by):
    with Kept(tmp_path, SLOW + MAIN, "kept") as service:
        slow, main = service.pid_of("slow"), service.pid_of("main")
        if by == "order":
            with service.client() as client:
                assert client.post("/shutdown").status_code == 202
        else:
            os.kill(main, signal.SIGUSR1)
        until(lambda: service.workers()["slow"]["state"] == "stopping")
        os.kill(service.manager(), signal.SIGKILL)
        assert alive(slow), "nobody may be killed before its time"
        os.kill(slow, signal.SIGUSR1)
        assert service.end() == (1 if by == "order" else 3), "what an essential worker decided holds"
        assert not alive(slow)
        assert not alive(main)
        assert "No such file" not in service.text
