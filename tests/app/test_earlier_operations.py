"""Orders over the death of the service: the same request again, operations of before, and what became of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.watchers.outcome import Operation
from app.watchers.past import Kept, wording
from supervisor_core.errors import Refused
from supervisor_core.messages import Restart, Stop
from tests.app.test_history import next_host
from tests.support.asgi import ScriptedHost, Site, a_program, site

pytestmark = pytest.mark.asyncio

W = "/api/v1/workers"
KEY = {"Idempotency-Key": "deploy-17"}
DAY = 86_400.0


def orders(host: ScriptedHost) -> list[str]:
    """What was ordered by requests."""
    return [type(order).__name__ for order in host.told if order.operation]


async def restart(s: Site, **options: Any) -> dict[str, Any]:
    async with s.client("operator") as c:
        answer = await c.post(f"{W}/web/restart?wait=0", headers=KEY, **options)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()["operation"]


async def told(s: Site, id: str, query: str = "") -> dict[str, Any]:
    async with s.client("reader") as c:
        answer = await c.get(f"/api/v1/operations/{id}{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()["operation"]


async def test_the_same_request_to_the_next_service_changes_nothing_and_gets_the_same_operation(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    async with site(a_program("web"), ledger=place) as s:
        s.host.come_up("web", 100)
        first = await restart(s)
        assert first["state"] == "pending"
    host = next_host(s.host, a_program("web"))
    host.come_up("web", 100)
    await host.tell(Restart("web", by="operator"))  # what the keeper knew: it was interrupted
    host.told.clear()
    async with site(host=host, ledger=place) as s:
        again = await restart(s)
        assert (again["id"], again["state"]) == (first["id"], "pending")
        host.end("web", signal=15)
        host.come_up("web", 200)
        ready = await told(s, first["id"], "?wait=20")
        assert (ready["state"], ready["run"], ready["outcome"]) == ("done", 2, "run 2 is ready")
        assert (await restart(s))["state"] == "done"
        assert orders(host) == []
        async with s.client("operator") as c:
            other = await c.post(f"{W}/web/stop", headers=KEY)
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        async with s.client("boss") as c:  # another caller's key is another key
            await c.post(f"{W}/web/stop?wait=0", headers=KEY)
        assert orders(host) == ["Stop"]


async def test_an_operation_that_was_settled_is_there_in_every_later_life(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    async with site(a_program("web"), ledger=place) as s:
        s.host.come_up("web", 100)
        id = (await restart(s))["id"]
        s.host.end("web", signal=15)
        s.host.come_up("web", 200)
        before = await told(s, id, "?wait=20")
        assert before["state"] == "done"
    async with site(host=next_host(s.host, a_program("web")), ledger=place) as s:
        assert await told(s, id) == before
        assert (await restart(s))["id"] == id
        assert orders(s.host) == []
        async with s.client("reader") as c:
            assert (await c.get("/api/v1/operations/op-0")).status_code == 404


async def test_a_request_that_the_service_was_killed_before_it_obeyed_is_obeyed_when_it_comes_again(
    tmp_path: Path,
) -> None:
    """It was written down, and nothing had been done."""
    place = tmp_path / "ledger.sqlite"
    async with site(a_program("web"), ledger=place) as s:
        s.host.come_up("web", 100)
        asked = Operation("op-1", "restart", "web", "operator", s.host.now() + 1, first=2)
        assert s.services.ledger is not None
        s.services.ledger.take_key(Kept(asked, KEY["Idempotency-Key"], wording("restart", "web", False, "")))
    host = ScriptedHost(a_program("web"))
    host.come_up("web", 100)
    async with site(host=host, ledger=place) as s:
        lost = await told(s, "op-1")
        assert (lost["state"], lost["code"]) == ("failed", "lost")
        assert "nothing was done" in lost["outcome"]
        again = await restart(s)
        assert again["id"] != "op-1"
        assert orders(host) == ["Restart"]
        assert (await restart(s))["id"] == again["id"]
        assert orders(host) == ["Restart"]


async def test_the_order_is_written_down_before_it_is_carried_out(tmp_path: Path) -> None:
    async with site(a_program("web"), ledger=tmp_path / "ledger.sqlite") as s:
        s.host.come_up("web", 100)
        ledger, found = s.services.ledger, []
        tell = s.host.tell
        assert ledger is not None

        async def telling(order: Any) -> Any:
            found.append(await ledger.by_key("operator", KEY["Idempotency-Key"]))
            return await tell(order)

        s.host.tell = telling  # type: ignore[method-assign]
        id = (await restart(s))["id"]
        assert [(kept.operation.id, kept.operation.state) for kept in found] == [(id, "pending")]


async def test_two_at_once_with_one_key_are_one_order(tmp_path: Path) -> None:
    async with site(a_program("web"), ledger=tmp_path / "ledger.sqlite") as s:
        s.host.come_up("web", 100)
        one, two = await asyncio.gather(restart(s), restart(s))
        assert one["id"] == two["id"]
        assert orders(s.host) == ["Restart"]


async def test_a_request_that_was_refused_may_come_again(tmp_path: Path) -> None:
    async with site(a_program("web"), ledger=tmp_path / "ledger.sqlite") as s:
        s.host.come_up("web", 100)
        tell = s.host.tell

        async def refusing(order: Any) -> Any:
            raise Refused("not now", "busy")

        s.host.tell = refusing  # type: ignore[method-assign]
        async with s.client("operator") as c:
            assert (await c.post(f"{W}/web/restart", headers=KEY)).status_code == 409
        s.host.tell = tell  # type: ignore[method-assign]
        await restart(s)
        assert orders(s.host) == ["Restart"]


@pytest.mark.parametrize(
    ("action", "now", "state", "code", "words"),
    [
        ("stop", "stopped", "done", None, "stopped"),
        ("kill", "stopped", "done", None, "stopped"),
        ("stop", "running", "failed", "unknown", "cut off"),
        ("restart", "new run", "done", None, "run 2 is ready"),
        ("restart", "failed", "failed", "unknown", "cut off"),
        ("start", "gone", "failed", "unknown", "there is no web now"),
    ],
)
async def test_what_became_of_an_order_is_judged_by_the_worker(
    tmp_path: Path, action: str, now: str, state: str, code: str | None, words: str
) -> None:
    """`now` is how the next service finds it; since then it has changed, so nobody can say that nothing was done."""
    place = tmp_path / "ledger.sqlite"
    async with site(a_program("web"), ledger=place) as s:
        s.host.come_up("web", 100)
        assert s.services.ledger is not None
        s.services.ledger.take_operation(Operation("op-1", action, "web", "anna", s.host.now(), first=2))
    host = next_host(s.host, *(() if now == "gone" else (a_program("web"),)))
    if now != "gone":
        host.come_up("web", 100)
    match now:
        case "stopped":
            await host.tell(Stop("web", by="bert"))
            host.end("web", signal=15)
        case "new run":
            await host.tell(Restart("web", by="anna"))
            host.end("web", signal=15)
            host.come_up("web", 200)
        case "failed":
            host.end("web", code=3)
    async with site(host=host, ledger=place) as s:
        found = await told(s, "op-1", "?wait=20")
        assert (found["state"], found.get("code")) == (state, code), found
        assert words in found["outcome"]


async def test_a_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    async with site(a_program("web"), ledger=place) as s:
        s.host.come_up("web", 100)
        assert s.services.ledger is not None
        old = Operation("op-1", "restart", "web", "operator", s.host.now() - DAY - 1, "done", first=2)
        s.services.ledger.take_key(Kept(old, KEY["Idempotency-Key"], wording("restart", "web", False, "")))
    host = ScriptedHost(a_program("web"))
    host.come_up("web", 100)
    async with site(host=host, ledger=place) as s:
        assert (await restart(s))["id"] != "op-1"
        assert orders(host) == ["Restart"]
