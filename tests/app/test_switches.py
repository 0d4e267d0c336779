"""Enable and disable over HTTP and on the command line, and the sentence that says why a worker is not up."""

import json
from types import SimpleNamespace

import pytest

from app import cli, lifecycle
from supervisor_core.messages import Disable
from supervisor_core.model import Pool, RestartPolicy, RestartWhen
from tests.app.fake_service import operation, problem, row
from tests.app.test_cli import run, service  # noqa: F401
from tests.support.asgi import a_program, site
from tests.support.virtual import virtual

W = "/api/v1/workers"


@virtual
async def test_what_is_disabled_goes_on_and_is_not_started_again() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web", 100)
        answer = await c.post(f"{W}/web/disable", json={"reason": "it eats the disk"})
        told = answer.json()
        assert (answer.status_code, told["worker"]["state"], told["worker"]["enabled"]) == (200, "running", False)
        assert told["operation"]["outcome"] == (
            "disabled; run 1 goes on, and nothing starts another one: stop it to end this one"
        )
        refused = await c.post(f"{W}/web/restart")
        assert (refused.status_code, refused.json()["code"]) == (409, "disabled")
        assert refused.json()["detail"] == (
            "cannot start web: it is disabled; enable it first (quarterdeck enable web)"
        )
        s.host.end("web", code=0)
        one = (await c.get(f"{W}/web")).json()
        assert (one["state"], one["enabled"], one["why"]) == (
            "done", False, "web is disabled and has ended: exit 0; enable it, then start it",
        )  # fmt: skip
        assert (await c.post(f"{W}/web/start")).status_code == 409
        again = await c.post(f"{W}/web/enable")
        assert again.json()["operation"]["outcome"].startswith("enabled")
        assert (await c.post(f"{W}/web/start?wait=0")).status_code == 202
        assert s.host.machine.statuses["web"].live


@virtual
async def test_who_may_and_what_is_asked_of_whom() -> None:
    async with site(a_program("web")) as s, s.client("reader") as c, s.client("operator") as o:
        assert (await c.post(f"{W}/web/disable")).status_code == 403
        assert (await o.post(f"{W}/nobody/disable")).status_code == 404
        assert (await o.post(f"{W}/web/disable", json={"if_version": "1:1"})).status_code == 409
        assert (await o.post(f"{W}/web/disable", json={"reason": 3})).status_code == 422
        assert s.host.machine.statuses["web"].enabled


@virtual
async def test_many_are_disabled_with_one_request() -> None:
    async with site(a_program("web"), a_program("db")) as s, s.client("operator") as c:
        answer = await c.post("/api/v1/actions", json={"action": "disable", "workers": ["web", "db"]})
        assert [(each["worker"], each["status"]) for each in answer.json()["answers"]] == [("web", 200), ("db", 200)]
        assert not any(status.enabled for status in s.host.machine.statuses.values())


@virtual
async def test_an_order_under_way_is_superseded() -> None:
    async with site(a_program("web")) as s, s.client("operator") as c:
        s.host.come_up("web", 100)
        order = await c.post(f"{W}/web/restart?wait=0")
        await c.post(f"{W}/web/disable")
        s.host.end("web", signal=15)
        told = (await c.get(order.headers["location"], params={"wait": 1})).json()
        assert (told["state"], told["outcome"].startswith("web was disabled")) == ("superseded", True)
        assert s.host.machine.statuses["web"].state == "stopped"


@virtual
async def test_one_sentence_says_why_in_the_list_without_and_in_the_detail_with_a_clock() -> None:
    policy = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=8.0, backoff_max=60.0, max_restarts=5)
    db, web = a_program("db", restart=policy), a_program("web", "db")
    async with site(db, web) as s, s.client("reader") as c:
        s.host.end("db", code=1)
        rows = {each["name"]: each for each in (await c.get(W)).json()["workers"]}
        assert rows["web"]["why"] == "web waits for db (back-off, try 1 of 5, exit 1)"
        assert rows["db"]["why"] == "db is in back-off, try 1 of 5, exit 1"
        assert (rows["db"]["tries"], rows["db"]["max_restarts"]) == (1, 5)
        (reason,) = rows["web"]["blocked_on"]
        assert reason["next"] == rows["db"]["deadline"]
        one = (await c.get(f"{W}/web")).json()
        assert one["why"] == "web waits for db (back-off, try 1 of 5, exit 1, next in 8 s)"


@virtual
async def test_who_waits_for_a_slot_is_told_who_has_them() -> None:
    workers = [a_program(f"train-{number}", pool=Pool("gpu", 1)) for number in range(3)]
    async with site(*workers) as s, s.client("reader") as c:
        rows = {each["name"]: each for each in (await c.get(W)).json()["workers"]}
        assert (rows["train-0"]["pool"], rows["train-0"]["slot"], rows["train-1"]["slot"]) == ("gpu", 0, None)
        assert rows["train-2"]["blocked_on"] == [
            {"worker": "pool gpu", "condition": "slot", "why": "its slot is taken"}
        ]
        one = (await c.get(f"{W}/train-2")).json()
        assert one["why"] == ("train-2 waits for a slot of pool gpu: 1 of 1 is taken by train-0; 1 waits before it")
        assert one["spec"]["pool"] == {"name": "gpu", "slots": 1}


@virtual
async def test_whom_up_names_is_not_started_when_it_is_disabled() -> None:
    async with site(a_program("web"), a_program("db")) as s:
        s.host.machine.handle(Disable("web"), 1.0)
        supervisor = SimpleNamespace(tell=lambda order: s.host.machine.handle(order, 2.0))
        specs = [status.spec for status in s.host.machine.statuses.values()]
        refusals = lifecycle.want(supervisor, specs)  # type: ignore[arg-type]
        assert refusals == ["cannot start web: it is disabled; enable it first (quarterdeck enable web)"]


# ---------------------------------------------------------------- the command line


def test_disable_prints_what_became_of_it(service, capsys):  # noqa: F811
    service.answers["GET", W] = 200, {"workers": [row("web")]}
    outcome = "disabled; nothing starts it until it is enabled"
    service.answers["POST", f"{W}/web/disable"] = 200, {"operation": operation("web", outcome=outcome)}
    service.answers["POST", f"{W}/web/start"] = problem(409, "disabled", "cannot start web: it is disabled")
    assert run(capsys, "disable", "web") == (cli.DONE, f"web: {outcome}\n", "")
    status, _, err = run(capsys, "start", "web")
    assert (status, "cannot start web: it is disabled" in err) == (cli.FAILED, True)


def test_why_asks_for_the_sentence_of_this_moment(service, capsys):  # noqa: F811
    rows = [row("a", why=""), row("b", state="backoff", ready=False, why="b is in back-off, exit 1")]
    service.answers["GET", W] = 200, {"workers": rows}
    service.answers["GET", f"{W}/b"] = 200, {**rows[1], "why": "b is in back-off, exit 1, next in 8 s"}
    assert run(capsys, "why") == (cli.DOWN, "b is in back-off, exit 1, next in 8 s\n", "")
    assert run(capsys, "why", "a") == (cli.DONE, "a is up\n", "")
    _, out, _ = run(capsys, "why", "b", "-o", "json")
    assert json.loads(out)[0]["why"].endswith("next in 8 s")
    service.answers["GET", W] = 200, {"workers": rows[:1]}
    assert run(capsys, "why") == (cli.DONE, "all workers are up\n", "")


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_whom_is_meant_has_to_be_said(verb, capsys):
    assert cli.main([verb]) == cli.USAGE
