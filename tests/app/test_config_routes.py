"""The routes of the config over a scripted host: what is told, to whom, and what is refused."""

import pytest

from app.drivers.declarations import Declarations
from app.drivers.made import Made
from app.drivers.scale import Scale
from app.remembered import Remembered
from supervisor_core.config import load
from supervisor_core.messages import Remove, Shutdown
from tests.support.asgi import ScriptedHost, site
from tests.support.virtual import virtual

FILE = '[worker.a]\ncommand = ["sleep", "1"]\n[worker.b]\ncommand = ["sleep", "1"]\nautostart = false\n'


def declared(s, tmp_path, text=FILE):
    file = tmp_path / "quarterdeck.toml"
    file.write_text(text)
    config, scale = load(file), Scale(Remembered(tmp_path / "scale.json"))
    made = Made(Remembered(tmp_path / "workers.json"), s.host, str(tmp_path))
    s.services.declarations = Declarations(file, config, s.host, s.host.machine.plan, list, made, scale)
    return file


@virtual
async def test_a_program_without_a_config() -> None:
    async with site() as s, s.client("boss") as c:
        for what in ("plan", "apply"):
            told = await c.post(f"/api/v1/config/{what}")
            assert (told.status_code, told.json()["code"]) == (409, "no_config")


@pytest.mark.parametrize("what", ["plan", "apply"])
def test_only_an_admin_may(what, tmp_path):
    @virtual
    async def story():
        async with site() as s, s.client("operator") as c:
            declared(s, tmp_path)
            assert (await c.post(f"/api/v1/config/{what}")).status_code == 403

    story()


def test_the_plan_that_was_shown_is_the_one_that_is_applied(tmp_path):
    @virtual
    async def story():
        async with site() as s, s.client("boss") as c:
            file = declared(s, tmp_path)
            plan = (await c.post("/api/v1/config/plan")).json()["plan"]
            assert plan["added"] == [{"worker": "a", "starts": True}, {"worker": "b", "starts": False}]
            file.write_text(FILE + 'labels = { x = "y" }\n')
            told = await c.post("/api/v1/config/apply", json={"plan": plan["id"]})
            assert (told.status_code, told.json()["code"]) == (409, "conflict")
            assert not s.host.snapshot().workers
            told = await c.post("/api/v1/config/apply", json={})
            assert told.status_code == 200
            assert s.host.synced == len(s.host.told)
            assert [entry.event.by for entry in s.host.snapshot().workers.values()] == ["boss", "boss"]
            assert s.services.declarations.config.workers[1].labels == {"x": "y"}
            again = await c.post("/api/v1/config/apply?wait=5")
            assert again.json()["plan"]["empty"]
            assert again.json()["operations"] == []

    story()


def test_what_is_not_on_the_disk_is_said(tmp_path):
    @virtual
    async def story():
        async with site() as s, s.client("boss") as c:
            declared(s, tmp_path)
            s.host.full = "no space"
            told = await c.post("/api/v1/config/apply")
            assert (told.status_code, told.json()["code"]) == (507, "not_durable")
            assert told.json()["applied"] is True

    story()


@pytest.mark.row(58)
def test_a_shutdown_wins(tmp_path):
    @virtual
    async def story():
        async with site() as s, s.client("boss") as c:
            file = declared(s, tmp_path)
            await c.post("/api/v1/config/apply")
            file.write_text(FILE.replace("sleep", "true"))
            await s.host.tell(Shutdown())
            told = await c.post("/api/v1/config/apply")
            assert (told.status_code, told.json()["code"]) == (503, "shutting_down")
            assert s.services.declarations.config.workers[0].program.argv[0] == "sleep"

    story()


def test_who_waits_is_told_what_became_of_each(tmp_path):
    @virtual
    async def story():
        host = ScriptedHost()
        async with site(host=host) as s, s.client("boss") as c:
            declared(s, tmp_path, FILE.replace("autostart = false\n", ""))
            told = (await c.post("/api/v1/config/apply?wait=3")).json()
            assert [each["state"] for each in told["operations"]] == ["pending", "pending"]
            host.come_up("a")
            host.end("b", 3)
            await host.tell(Remove("b"))
            for each, state in zip(told["operations"], ("done", "failed"), strict=True):
                assert (await c.get(f"/api/v1/operations/{each['id']}?wait=1")).json()["state"] == state

    story()
