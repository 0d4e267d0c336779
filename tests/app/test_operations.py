"""Orders that one waits for: what is answered, when, and whose run it speaks of. The works are played by the test."""

import asyncio
from typing import Any

import httpx
import pytest

from app.watchers import operations as module
from app.watchers import past, settling
from app.watchers.operations import Operations
from app.watchers.outcome import Verdict, with_kill
from supervisor_core.messages import LeaderExited, Ready, Remove, Spawned, Stop, Unhealthy
from supervisor_core.model import Exit, RestartPolicy, RestartWhen, State, Status, StopPolicy
from supervisor_core.probes import Finding
from tests.support.asgi import ScriptedHost, Stream, a_program, bearer, site
from tests.support.virtual import virtual

W = "/api/v1/workers"
RETRY = RestartPolicy(restart=RestartWhen.ON_FAILURE, on_give_up="fail", backoff_initial=5.0)  # type: ignore[arg-type]


def post(
    c: httpx.AsyncClient, name: str, action: str, query: str = "", **options: Any
) -> "asyncio.Task[httpx.Response]":
    """Sends the request and lets it come as far as its waiting."""
    return asyncio.create_task(c.post(f"{W}/{name}/{action}{query}", **options))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- restart


@virtual
async def test_restart_is_answered_by_the_new_run_when_it_is_ready() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web", 100)
        answer = post(c, "web", "restart")
        await settle()
        assert s.host.machine.statuses["web"].state == "stopping"
        await asyncio.sleep(3)
        assert not answer.done()
        s.host.end("web", signal=15)
        await settle()
        s.host.report(Spawned("web", 2, 200))
        await settle()
        assert not answer.done(), "a pid is not enough"
        s.host.report(Ready("web", 2))
        told = await answer
        assert told.status_code == 200
        operation, worker = told.json()["operation"], told.json()["worker"]
        assert (worker["state"], worker["run"], worker["pid"], worker["ready"]) == ("running", 2, 200, True)
        assert (operation["state"], operation["run"], operation["action"], operation["by"]) == (
            "done",
            2,
            "restart",
            "operator",
        )
        assert operation["outcome"] == "run 2 is ready"


@virtual
async def test_restart_of_what_does_not_run_starts_it() -> None:
    async with site(a_program("web", autostart=False)) as s, s.client("operator") as c:
        answer = post(c, "web", "restart")
        await settle()
        s.host.come_up("web", 7)
        assert (await answer).json()["worker"]["pid"] == 7


@virtual
async def test_a_second_restart_joins_the_first() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        first = post(c, "web", "restart")
        await settle()
        second = post(c, "web", "restart", headers=bearer("boss"))
        await settle()
        s.host.end("web", signal=15)
        s.host.come_up("web", 200)
        one, two = (await first).json(), (await second).json()
        assert one["operation"]["id"] == two["operation"]["id"]
        assert one["worker"]["run"] == two["worker"]["run"] == 2
        assert len(s.services.operations._known) == 1


@virtual
async def test_the_new_run_that_ends_before_it_is_ready_fails_it_at_once() -> None:
    async with site(a_program("web", restart=RETRY)) as s, s.client("operator") as c:
        s.host.come_up("web")
        answer = post(c, "web", "restart")
        await settle()
        s.host.write("web", "old words")
        s.host.end("web", signal=15)
        s.host.report(Spawned("web", 2, 200))
        s.host.write("web", "no such database", "giving up")
        start = asyncio.get_running_loop().time()
        s.host.end("web", code=3, reason="exit 3")
        told = await answer
        assert asyncio.get_running_loop().time() == start
        assert (told.status_code, told.json()["code"]) == (409, "ended")
        assert told.json()["detail"] == "run 2 ended before it was ready: exit 3"
        assert [line["text"] for line in told.json()["lines"]] == ["no such database", "giving up"]
        assert told.json()["worker"]["state"] == "backoff"
        assert told.json()["operation"]["state"] == "failed"


@virtual
async def test_a_run_that_gives_up() -> None:
    async with site(a_program("web", autostart=False)) as s, s.client("operator") as c:
        answer = post(c, "web", "start")
        await settle()
        s.host.end("web", code=None, reason="there is no program /bin/web")
        told = await answer
        assert (told.status_code, told.json()["code"]) == (409, "gave_up")
        assert "there is no program /bin/web" in told.json()["detail"]


@virtual
async def test_a_start_that_takes_too_long() -> None:
    async with (
        site(a_program("web", autostart=False, start_timeout=5.0, ready_probe=True)) as s,
        s.client("operator") as c,
    ):
        answer = post(c, "web", "start")
        await settle()
        s.host.report(Spawned("web", 1, 9))
        told = await answer
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        assert (told.status_code, told.json()["code"]) == (409, "ended")
        assert "did not become ready within 5 s" in told.json()["detail"]


@virtual
async def test_a_leader_that_leaves_others_behind() -> None:
    async with site(a_program("web", autostart=False)) as s, s.client("operator") as c:
        answer = post(c, "web", "start")
        await settle()
        s.host.report(Spawned("web", 1, 9))
        s.host.report(LeaderExited("web", 1, Exit(1, 4, reason="exit 4"), 2))
        told = await answer
        assert (told.status_code, told.json()["detail"]) == (409, "run 1 ended before it was ready: exit 4")


@virtual
async def test_a_failed_probe_of_the_old_run_is_not_taken_for_the_new_one() -> None:
    async with site(a_program("web", restart=RETRY)) as s, s.client("operator") as c:
        s.host.come_up("web")
        s.host.report(Unhealthy("web", 1, "no answer"))
        answer = post(c, "web", "restart")
        await settle()
        s.host.end("web", signal=15)
        await settle()
        assert not answer.done()
        s.host.come_up("web", 200)
        assert (await answer).json()["worker"]["pid"] == 200


@virtual
async def test_blocked_for_good() -> None:
    async with site(a_program("db", autostart=False), a_program("web", "db")) as s, s.client("operator") as c:
        told = await c.post(f"{W}/web/restart")
        assert (told.status_code, told.json()["code"]) == (409, "blocked")
        assert "db" in told.json()["detail"]
        assert told.json()["worker"]["blocked_on"][0]["worker"] == "db"


@virtual
async def test_blocked_for_a_while_waits() -> None:
    async with site(a_program("db"), a_program("web", "db")) as s, s.client("operator") as c:
        answer = post(c, "web", "start")
        await asyncio.sleep(3)
        assert not answer.done()
        s.host.come_up("db")
        s.host.come_up("web")
        assert (await answer).status_code == 200


@virtual
async def test_cascade_reaches_the_order() -> None:
    async with site(a_program("db"), a_program("web", "db")) as s, s.client("operator") as c:
        s.host.come_up("db")
        s.host.come_up("web")
        answer = post(c, "db", "restart", json={"cascade": True, "reason": "new disk"})
        await settle()
        assert s.host.machine.statuses["web"].state == "stopping"
        s.host.end("web", signal=15)
        s.host.end("db", signal=15)
        s.host.come_up("db", 77)
        told = (await answer).json()
        assert (told["worker"]["pid"], told["operation"]["reason"]) == (77, "new disk")


# ---------------------------------------------------------------- stop and kill


@virtual
async def test_stop_is_answered_when_nothing_is_left() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        answer = post(c, "web", "stop")
        await asyncio.sleep(4)
        assert not answer.done()
        s.host.end("web", signal=15)
        told = await answer
        assert told.status_code == 200
        assert (told.json()["operation"]["outcome"], told.json()["worker"]["state"]) == ("stopped", "stopped")
        again = await c.post(f"{W}/web/shutdown")
        assert (again.status_code, again.json()["operation"]["action"]) == (200, "stop")


@virtual
async def test_a_stop_that_had_to_kill_says_so() -> None:
    async with site(a_program("web", stop=StopPolicy((("TERM", 10.0),)))) as s, s.client("operator") as c:
        s.host.come_up("web")
        answer = post(c, "web", "stop")
        await asyncio.sleep(11)
        assert s.host.machine.statuses["web"].state == "killing"
        s.host.end("web", signal=9)
        assert (await answer).json()["operation"]["outcome"] == "killed after 10 s"


@virtual
async def test_kill_does_not_wait_for_the_stop_timeout() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        answer = post(c, "web", "kill")
        await settle()
        assert s.host.machine.statuses["web"].state == "killing"
        s.host.end("web", signal=9)
        told = (await answer).json()
        assert (told["operation"]["outcome"], told["worker"]["last_exit"]["signal"]) == ("killed", 9)


@virtual
async def test_what_cannot_be_killed_is_told() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web", 55)
        answer = post(c, "web", "stop", "?wait=100")
        told = await answer
        assert (told.status_code, told.json()["code"]) == (409, "stuck")
        assert "pid 55" in told.json()["detail"]
        again = await c.post(f"{W}/web/restart")
        assert (again.status_code, again.json()["code"]) == (409, "stuck")


@virtual
async def test_a_stop_waits_for_those_who_need_it_and_says_for_whom() -> None:
    async with site(a_program("db"), a_program("web", "db")) as s, s.client("operator") as c:
        s.host.come_up("db")
        s.host.come_up("web")
        told = await c.post(f"{W}/db/stop?wait=2")
        assert told.status_code == 202
        assert told.json()["worker"]["waiting_for"] == ["web"]
        later = asyncio.create_task(c.get(told.headers["location"] + "?wait=60"))
        both = post(c, "db", "stop", json={"cascade": True})
        await settle()
        s.host.end("web", signal=15)
        s.host.end("db", signal=15)
        assert (await later).json()["state"] == "done"
        assert (await both).status_code == 200


# ---------------------------------------------------------------- opposites, versions, keys


@virtual
async def test_an_opposite_order_supersedes_the_earlier_one() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        restart = post(c, "web", "restart")
        await settle()
        stop = post(c, "web", "stop", headers=bearer("boss"))
        told = await restart
        assert (told.status_code, told.json()["code"]) == (409, "superseded")
        assert told.json()["detail"] == "web was stopped by boss"
        start = post(c, "web", "start")
        told = await stop
        assert (told.status_code, told.json()["code"]) == (409, "superseded")
        assert told.json()["detail"] == "web was started again by operator"
        s.host.end("web", signal=15)
        s.host.come_up("web", 300)
        assert (await start).json()["worker"]["pid"] == 300


@virtual
async def test_orders_of_others_supersede_too() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        restart = post(c, "web", "restart")
        await settle()
        await s.host.tell(Stop("web", by="a schedule"))
        assert (await restart).json()["detail"] == "web was stopped by a schedule"
        start = post(c, "web", "start")
        await settle()
        await s.host.tell(Remove("web", by="a reload"))
        assert (await start).json()["code"] == "superseded"


@virtual
async def test_a_worker_that_is_removed_has_stopped() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        stop = post(c, "web", "stop")
        await settle()
        await s.host.tell(Remove("web", by="a reload"))
        s.host.end("web", signal=15)
        told = await stop
        assert (told.status_code, told.json()["worker"]) == (200, None)


@virtual
async def test_a_shutdown_ends_what_waits_for_a_start() -> None:
    async with site(a_program("db"), a_program("web", "db")) as s, s.client("boss") as c:
        s.host.come_up("db")
        start = post(c, "web", "start")
        await settle()
        stop = post(c, "db", "stop")
        await settle()
        await c.post("/api/v1/shutdown")
        told = await start
        assert (told.status_code, told.json()["code"]) == (503, "shutting_down")
        s.host.end("web", signal=15)
        s.host.end("db", signal=15)
        assert (await stop).status_code == 200


@virtual
async def test_if_version() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        seen = (await c.get(f"{W}/web")).json()["version"]
        assert (
            await c.post(f"{W}/web/stop?wait=0", json={"if_version": seen}, headers=bearer("boss"))
        ).status_code == 202
        told = await c.post(f"{W}/web/restart", json={"if_version": seen})
        assert (told.status_code, told.json()["code"], told.json()["by"]) == (409, "conflict", "boss")
        assert "changed by boss" in told.json()["detail"]
        now = told.json()["version"]
        assert (await c.post(f"{W}/web/restart?wait=0", json={"if_version": now})).status_code == 202


@virtual
async def test_an_idempotency_key_gives_the_same_operation() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        key = {"Idempotency-Key": "abc-1"}
        twins = [post(c, "web", "restart", headers=key) for _ in range(3)]
        await settle()
        s.host.end("web", signal=15)
        s.host.come_up("web", 200)
        assert {(await twin).json()["operation"]["id"] for twin in twins} == {
            (await twins[0]).json()["operation"]["id"]
        }
        again = await c.post(f"{W}/web/restart", headers=key)
        assert again.json()["operation"]["id"] == (await twins[0]).json()["operation"]["id"]
        assert len(s.host.told) == 1
        other = await c.post(f"{W}/web/stop", headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        foreign = await c.post(f"{W}/web/stop?wait=0", headers={**key, **bearer("boss")})
        assert foreign.status_code == 202, "the keys of others do not count"
        s.host.end("web", signal=15)
        await asyncio.sleep(90_000)
        assert (await c.post(f"{W}/web/restart?wait=0", headers=key)).status_code == 202
        assert len(s.host.told) == 3


@virtual
async def test_a_refused_order_leaves_its_key_free() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        await s.host.tell(Remove("web"))
        key = {"Idempotency-Key": "k"}
        told = await c.post(f"{W}/web/start", headers=key)
        assert (told.status_code, told.json()["code"]) == (409, "conflict")
        assert s.services.operations._known == {}


# ---------------------------------------------------------------- waiting


@virtual
async def test_wait_nothing_and_ask_later() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        told = await c.post(f"{W}/web/restart?wait=0")
        assert told.status_code == 202
        there = told.headers["location"]
        assert there == f"/api/v1/operations/{told.json()['operation']['id']}"
        assert (await c.get(there)).json()["state"] == "pending"
        later = asyncio.create_task(c.get(f"{there}?wait=50"))
        await asyncio.sleep(5)
        s.host.end("web", signal=15)
        s.host.come_up("web", 200)
        found = (await later).json()
        assert (found["state"], found["run"], found["status"]["pid"]) == ("done", 2, 200)
        assert found["operation"] == {key: found[key] for key in found["operation"]}


@pytest.mark.parametrize(
    ("changes", "query", "seconds"),
    [
        ({}, "", 10 + 2 + 1 + 2),
        ({"start_timeout": 30.0}, "", 10 + 2 + 30 + 2),
        ({"ready_probe": True}, "", 120),
        ({"start_timeout": 500.0}, "", 120),
        ({"one_shot": True}, "", 120),
        ({}, "?until=done", 120),
        ({}, "?wait=3", 3),
        ({}, "?wait=0.5", 0.5),
        ({}, "?wait=300", 300),
    ],
)
def test_how_long_is_waited(changes: dict[str, Any], query: str, seconds: float) -> None:
    @virtual
    async def check() -> None:
        async with site(a_program("db"), a_program("web", "db", **changes)) as s, s.client("operator") as c:
            told = await c.post(f"{W}/web/start{query}")
            assert told.status_code == 202
            assert asyncio.get_running_loop().time() == pytest.approx(seconds)
            assert s.host.machine.statuses["web"].state == "blocked"

    check()


@pytest.mark.parametrize("query", ["", "?until=done", "?until=ready"])
@virtual
async def test_a_one_shot_is_answered_when_it_is_done(query: str) -> None:
    async with site(a_program("job", autostart=False, one_shot=True)) as s, s.client("operator") as c:
        answer = post(c, "job", "start", query)
        await settle()
        s.host.report(Spawned("job", 1, 9))
        s.host.end("job", code=0)
        told = await answer
        assert (told.status_code, told.json()["operation"]["run"]) == (200, 1)


@virtual
async def test_a_one_shot_that_is_ready_is_not_done() -> None:
    async with site(a_program("job", autostart=False, one_shot=True)) as s, s.client("operator") as c:
        answer = post(c, "job", "start")
        await settle()
        s.host.come_up("job")
        await settle()
        assert not answer.done()
        s.host.end("job", code=1)
        assert ((await answer).status_code, (await answer).json()["code"]) == (409, "gave_up")


@virtual
async def test_until_done_goes_on_over_a_retry() -> None:
    async with site(a_program("job", autostart=False, restart=RETRY)) as s, s.client("operator") as c:
        answer = post(c, "job", "start", "?until=done")
        await settle()
        s.host.end("job", code=1)
        await asyncio.sleep(6)
        assert s.host.machine.statuses["job"].run == 2
        s.host.end("job", code=0)
        assert (await answer).json()["operation"]["run"] == 2


@virtual
async def test_a_start_of_what_runs_is_done_at_once() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web", 5)
        told = await c.post(f"{W}/web/start")
        assert (told.status_code, told.json()["worker"]["pid"], told.json()["worker"]["run"]) == (200, 5, 1)


@virtual
async def test_a_coroutine_that_never_says_that_it_is_ready() -> None:
    spec = a_program("work", autostart=False)
    async with site(spec) as s, s.client("operator") as c:
        answer = post(c, "work", "start", "?wait=60")
        told = await answer
        assert asyncio.get_running_loop().time() == pytest.approx(spec.restart.stable_after)
        assert told.json()["operation"]["outcome"] == "run 1 is up"


@virtual
async def test_a_client_that_goes_away_leaves_the_operation_alone() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web")
        answer = post(c, "web", "restart")
        await settle()
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)
        s.host.end("web", signal=15)
        s.host.come_up("web")
        await settle()
        assert [o.state for o in s.services.operations._known.values()] == ["done"]


@virtual
async def test_a_daemon_without_its_main_process_has_no_pid_and_gets_signals_as_a_whole() -> None:
    async with site(a_program("web", daemon=True)) as s, s.client("operator") as c:
        s.host.come_up("web", 9)
        s.host.report(LeaderExited("web", 1, Exit(1, 0), 2))
        told = (await c.get(f"{W}/web")).json()
        assert (told["state"], told["pid"], told["leader_gone"]) == ("running", None, 2)
        answer = await c.post(f"{W}/web/signal", json={"signal": "HUP"})
        assert answer.json()["operation"]["outcome"] == "sent HUP to every process of run 1"
        assert s.host.told[-1].tree is False, "the machine knows better than the one who asked"  # type: ignore[attr-defined]
        again = post(c, "web", "restart")
        await settle()
        s.host.end("web")
        s.host.come_up("web", 10)
        assert (await again).json()["worker"]["pid"] == 10


# ---------------------------------------------------------------- signals


@virtual
async def test_signals() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        told = await c.post(f"{W}/web/signal", json={"signal": "SIGHUP", "tree": True})
        assert (told.status_code, told.json()["operation"]["outcome"]) == (200, "sent HUP to every process of run 1")
        order = s.host.told[-1]
        assert (order.signal, order.tree, order.by) == ("HUP", True, "operator")  # type: ignore[attr-defined]
        s.host.end("web")
        told = await c.post(f"{W}/web/signal", json={"signal": "usr1"})
        assert (told.status_code, told.json()["code"]) == (409, "not_running")


# ---------------------------------------------------------------- the watcher itself


@virtual
async def test_after_a_gap_the_snapshot_is_judged_by_run_number() -> None:
    host = ScriptedHost(a_program("web"), capacity=4)
    async with site(host=host) as s:
        host.come_up("web")
        operation = await s.services.operations.give("restart", "web")
        host.end("web", signal=15)
        for _ in range(6):
            host.come_up("web")
            host.end("web", code=0)
            await host.tell(module.Start("web"))
        host.come_up("web")
        told = await s.services.operations.wait(operation.id, 1)
        assert (told.state, told.run, told.outcome) == ("done", 8, "run 8 is ready")


@virtual
async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "KEPT", 50)
    monkeypatch.setattr(settling, "KEPT", 50)
    host = ScriptedHost(a_program("web"))
    operations = Operations(host)
    host.come_up("web")
    pending = await operations.give("restart", "web", by="me", key="first")
    for i in range(200):
        await operations.give("stop" if i % 2 else "start", "web", by="me", key=str(i))
    assert len(operations._known) == len(operations._keys) == 50
    assert sum(map(len, operations._by_worker.values())) == len(operations._pending) <= 1
    with pytest.raises(KeyError):
        await operations.wait(pending.id, 1)
    await operations.aclose()


@virtual
async def test_events_between_order_and_look_do_not_count_twice() -> None:
    """A stop just before the restart must not end the restart, though its event is read after it was given."""
    async with site(a_program("web")) as s:
        operations = s.services.operations
        s.host.come_up("web")
        first = await operations.give("restart", "web")
        await s.host.tell(Stop("web"))
        second = await operations.give("restart", "web")
        await settle()
        assert operations.get(first.id).state == "superseded"  # type: ignore[union-attr]
        assert operations.get(second.id).state == "pending"  # type: ignore[union-attr]


@virtual
async def test_operations_are_told_on_the_event_stream() -> None:
    async with site(a_program("web")) as s, Stream(s.app, "/api/v1/events/stream", bearer("reader")) as stream:
        await stream.until("snapshot")
        s.host.come_up("web")
        await s.services.operations.give("stop", "web", by="me")
        s.host.end("web", signal=15)
        done = await stream.until("operation", 2)
        assert [e.data["state"] for e in stream.named("operation")] == ["pending", "done"]
        assert (done.data["worker"], done.data["by"], done.id) == ("web", "me", None)


# ---------------------------------------------------------------- on the disk


@virtual
@pytest.mark.row(42, 45)
async def test_an_order_is_answered_when_it_is_on_the_disk_and_else_says_so() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web", 100)
        assert (await c.post(f"{W}/web/stop?wait=0")).status_code == 202
        assert s.host.synced == len(s.host.told) > 0
        s.host.end("web", signal=15)
        s.host.full = "it is carried out, but not on the disk"
        answer = await c.post(f"{W}/web/start?wait=0")
        assert (answer.status_code, answer.json()["code"]) == (507, "not_durable")
        assert answer.json()["detail"] == "start web: it is carried out, but not on the disk"
        assert answer.json()["operation"]["state"] == "pending"
        assert s.host.machine.statuses["web"].wanted, "it is carried out"
        assert (await c.post(f"{W}/nobody/start")).status_code == 404


@pytest.mark.parametrize(
    ("after", "signal", "by", "outcome"),
    [
        (5.0, 9, "me", "killed after 10 s"),
        (5.0, 15, "me", "stopped"),
        (5.0, 9, "", "stopped"),
        (0.0, 9, "me", "stopped"),
    ],
)
def test_a_stop_says_that_it_killed_also_where_after_stop_has_a_time_of_its_own(after, signal, by, outcome) -> None:
    spec = a_program("web", stop=StopPolicy((("TERM", 10.0),), after=after))
    status = Status(spec, state=State.STOPPED, last_exit=Exit(1, signal=signal, by=by))
    assert with_kill(Verdict("done", "stopped"), "stop", status, 1.0, None).outcome == outcome


@virtual
async def test_a_start_that_failed_tells_what_its_probes_found() -> None:
    async with site(a_program("web", restart=RETRY, ready_probe=True)) as s, s.client("operator") as c:
        answer = post(c, "web", "start")
        await settle()
        s.host.findings.put("web", Finding("ready", 1, "tcp 127.0.0.1:1", False, "connection refused", 5.0, 2))
        s.host.end("web", code=3)
        told = (await answer).json()
        assert (told["status"], told["probes"][0]["output"]) == (409, "connection refused")
