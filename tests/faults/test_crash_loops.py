"""Workers that end at once, again and again: the pauses grow, the machine has rest, the API answers.

There is no limit on starts a second over all workers, and none is needed: the pauses of 200 workers grow apart by
themselves, and a turn of the loop performs at most 32 actions. The figures of both are printed (`-s`).
"""

import asyncio
import signal
import time
from itertools import pairwise

import pytest

from supervisor_core import Add, Supervisor
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.messages import Stop
from supervisor_core.model import Program, RestartPolicy, RestartWhen, State, WorkerSpec
from tests.app.test_server import Service
from tests.faults.rig import Host, p50_p99, worker
from tests.shell.minions import Lines
from tests.support.virtual import VirtualClock, virtual

LIFE = 0.005
POLICY = RestartPolicy(
    RestartWhen.ON_FAILURE, backoff_initial=1.0, backoff_max=60.0, jitter=0.1, max_restarts=0, on_give_up="fail"
)
CONFIGS = {
    "restart": "on_failure", "backoff_initial": 1.0, "backoff_max": 60.0, "jitter": 0.1, "max_restarts": 0
}  # fmt: skip
"""The defaults of a config file, but without the limit."""


async def seconds(count):
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=count)


@pytest.mark.row(2)
@virtual
async def test_the_pauses_grow_with_jitter_to_a_cap_and_only_stability_forgives():
    loop, spawner, starts = asyncio.get_running_loop(), FakeSpawner(), []
    long_lives = {12}

    def live(child):
        starts.append(loop.time())
        if len(starts) not in long_lives:
            loop.call_later(LIFE, child.exit, 1)
        else:
            loop.call_later(1.0 + POLICY.stable_after + 1, child.exit, 1)

    spawner.accept("w")
    for _ in range(15):
        spawner.expect("w", then=live)
    s = Supervisor(clock=VirtualClock(), logger=Lines(), spawner=spawner, logs=spawner.store, stay=True)
    s.tell(Add(WorkerSpec("w", program=Program(("x",), inherit=False, start_seconds=1.0), restart=POLICY)))
    running = asyncio.create_task(s.run())
    while len(starts) < 12:
        await seconds(1)
        assert s.status("w").state in (State.BACKOFF, State.STARTING, State.RUNNING)
    assert s.status("w").failures == 11, "lives of 5 ms forgive nothing"
    pauses = [after - before - LIFE for before, after in pairwise(starts)]
    plain = [min(60.0, 2.0**n) for n in range(11)]
    assert all(abs(pause / due - 1) <= 0.1 + 1e-9 for pause, due in zip(pauses, plain, strict=True)), pauses
    assert len({round(pause / due, 6) for pause, due in zip(pauses, plain, strict=True)}) > 5, "it is spread"
    while len(starts) < 13:
        await seconds(0.5)
    assert 0.9 <= starts[12] - starts[11] - (2.0 + POLICY.stable_after) <= 1.1, "stable once: it begins anew"
    s.tell(Stop("w"))
    s.shutdown()
    await running


@pytest.mark.row(2)
@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.long)], ids=["small", "full"])
def test_a_crash_loop_costs_almost_nothing(tmp_path, record_property, full):
    looping = worker("w", ["/bin/false"], restart=CONFIGS)
    with Host(tmp_path, [looping]) as host:
        host.until("w", "backoff")
        share = host.cpu_while(10.0 if full else 1.5)
        record_property("cpu", f"{share:.2%}")
        print(f"crash loop: {share:.2%} of a core")
        assert share < 0.05
        host.order("stop", "w")
        assert host.until("w", "stopped")["pid"] is None


@pytest.mark.row(3)
@pytest.mark.long
@pytest.mark.parametrize("policy", ["", 'backoff = { initial = "50ms", max = "200ms" }'], ids=["default", "hostile"])
def test_two_hundred_crash_loops_leave_the_api_its_time(tmp_path, record_property, policy):
    text = "".join(f"[worker.w{number}]\ncommand = ['false']\nmax_restarts = 0\n{policy}\n" for number in range(200))
    service = Service(tmp_path, "[service]\nname = 'storm'\n" + text)
    taken = []
    try:
        with service.client() as client:
            client.get("/workers")
            end = time.monotonic() + 10
            while time.monotonic() < end:
                begun = time.perf_counter()
                assert client.get("/workers").status_code == 200
                taken.append((time.perf_counter() - begun) * 1000)
            restarts = sum(w["restarts"] for w in client.get("/workers").json()["workers"])
    finally:
        service.process.send_signal(signal.SIGTERM)
        service.end()
    p50, p99 = p50_p99(sorted(taken))
    told = f"200 crash loops: list p50 {p50:.1f} p99 {p99:.1f} ms over {len(taken)} calls, {restarts} restarts in 10 s"
    record_property("figures", told)
    print(told)
    assert p99 < 200
