"""Rolling restarts, orders to many, and replicas, over a scripted host in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from app.drivers.declarations import Declarations
from app.drivers.made import Made
from app.drivers.rolling import Rollings
from app.drivers.scale import Scale
from app.remembered import Remembered
from supervisor_core.config import load
from supervisor_core.messages import Changed, Shutdown, Stop
from supervisor_core.model import State
from tests.support.asgi import ScriptedHost, a_program, site
from tests.support.virtual import virtual

GROUPS = {"web": frozenset({"w0", "w1", "w2", "w3"})}


class Played:
    """Plays the works: each run is ready after `takes` seconds, or fails; `restarted` is when each new run began."""

    def __init__(self, s, takes=3.0):
        self.host, self.takes, self.fails, self.restarted, self.most = s.host, takes, set(), [], 0
        self.task = asyncio.create_task(self.play())

    async def play(self):
        loop = asyncio.get_running_loop()
        async for batch in self.host.follow(self.host.snapshot().cursor):
            for status, causes in ((e.event.status, e.event.causes) for e in batch if isinstance(e.event, Changed)):
                down = [s for s in self.host.machine.statuses.values() if s.wanted and not s.ready]
                self.most = max(self.most, len(down))
                if status.state is State.STOPPING and self.host.machine.statuses[status.name].state is State.STOPPING:
                    self.host.end(status.name, signal=15)
                elif "admit" in causes and status.run > 1:
                    self.restarted.append((status.name, status.run, loop.time()))
                    loop.call_later(self.takes, self.ready, status.name)

    def ready(self, name):
        if self.host.machine.statuses[name].state is not State.STARTING:
            return
        if name in self.fails:
            self.host.end(name, 3)
        else:
            self.host.come_up(name)

    def order(self):
        return [name for name, _, _ in self.restarted]


def story(test, **options):
    def wrapper():
        @virtual
        async def run():
            names = ["w0", "w1", "w2", "w3", "off"]
            async with (
                site(*(a_program(n, autostart=n != "off", ready_probe=True) for n in names), groups=GROUPS) as s,
                s.client("operator") as c,
            ):
                s.services.rollings = Rollings(s.services.operations, s.host)
                for name in names[:4]:
                    s.host.come_up(name)
                played = Played(s)
                await asyncio.sleep(0)
                await test(s, c, played)
                played.task.cancel()

        run()

    return wrapper


async def a_moment():
    await asyncio.sleep(1)


def rolling(workers=("group:web",), **more):
    return {"action": "restart", "workers": list(workers), "rolling": more}


@story
async def test_one_after_the_other_each_when_the_one_before_is_ready(s, c, played):
    answer = await c.post("/api/v1/actions?wait=100", json=rolling())
    assert answer.status_code == 200, answer.text
    assert played.order() == ["w0", "w1", "w2", "w3"]
    times = [at for _, _, at in played.restarted]
    assert all(later - earlier >= 3.0 for earlier, later in pairwise(times))
    assert played.most == 1
    assert answer.json()["rolling"]["done"] == ["w0", "w1", "w2", "w3"]
    assert s.host.synced == len(s.host.told)


@story
async def test_batches_and_pauses(s, c, played):
    answer = await c.post("/api/v1/actions?wait=100", json=rolling(batch=2, pause="10s"))
    assert answer.json()["rolling"]["state"] == "done"
    assert played.most == 2
    first, second = played.restarted[0][2], played.restarted[2][2]
    assert second - first >= 13.0


@story
async def test_it_stops_at_the_first_failure(s, c, played):
    played.fails = {"w1"}
    answer = await c.post("/api/v1/actions?wait=100", json=rolling())
    assert (answer.status_code, answer.json()["code"]) == (409, "rolling_stopped")
    told = answer.json()["rolling"]
    assert (told["done"], told["left"]) == (["w0"], ["w1", "w2", "w3"])
    assert "w1" in told["failed"]
    assert "w2" not in played.order()


@story
async def test_one_that_is_not_ready_in_time_is_a_failure(s, c, played):
    played.takes = 1e6
    answer = await c.post("/api/v1/actions?wait=100", json=rolling(timeout="20s"))
    assert answer.status_code == 409
    assert played.order() == ["w0"]


@story
async def test_what_does_not_run_is_passed_over(s, c, played):
    await s.host.tell(Stop("w2"))
    await a_moment()
    answer = await c.post("/api/v1/actions?wait=100", json=rolling(["w1", "off", "w2", "w3"]))
    told = answer.json()["rolling"]
    assert (told["done"], told["skipped"]) == (["w1", "w3"], ["off", "w2"])
    assert s.host.machine.statuses["off"].run == 0
    answer = await c.post("/api/v1/actions?wait=100", json=rolling(["off"]))
    assert answer.json()["rolling"]["state"] == "done"


@story
async def test_who_does_not_wait_may_ask_later_and_nobody_joins(s, c, played):
    answer = await c.post("/api/v1/actions?wait=0", json=rolling())
    assert answer.status_code == 202
    again = await c.post("/api/v1/actions?wait=0", json=rolling(["w3"]))
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    told = await c.get(answer.headers["location"] + "?wait=100")
    assert told.json()["rolling"]["state"] == "done"
    assert (await c.post("/api/v1/actions?wait=50", json=rolling(["w3"]))).status_code == 200
    assert (await c.get("/api/v1/actions/roll-0")).status_code == 404


@story
async def test_a_shutdown_ends_it(s, c, played):
    answer = await c.post("/api/v1/actions?wait=0", json=rolling())
    await s.host.tell(Shutdown())
    told = (await c.get(answer.headers["location"] + "?wait=10")).json()["rolling"]
    assert told["state"] == "failed"
    assert len(told["left"]) >= 3


BAD = [
    ({}, "workers is a list"),
    ({"workers": ["w0"], "action": "paint"}, 'the action "paint" is not known'),
    ({"workers": "w0", "action": "stop"}, "the member workers is a list"),
    ({"workers": [], "action": "stop"}, "workers is a list"),
    ({"workers": [3], "action": "stop"}, "workers is a list"),
    (rolling() | {"action": "stop"}, "rolling goes with restart alone"),
    (rolling(batch=0), "batch is a whole number"),
    (rolling(batch=True), "batch is a whole number"),
    (rolling(pause="soon"), 'pause: "soon" is no duration'),
    (rolling(speed=3), '"speed" is not known; known are batch, pause, timeout'),
]


@story
async def test_bad_bodies(s, c, played):
    for body, sentence in BAD:
        answer = await c.post("/api/v1/actions", json=body)
        assert answer.status_code == 422, body
        assert sentence in answer.json()["detail"]
    assert (await c.post("/api/v1/actions", json=rolling(["nobody"]))).status_code == 404
    assert played.order() == []


@story
async def test_an_order_to_many_has_an_answer_for_each_in_their_order(s, c, played):
    await s.host.tell(Stop("w1"))
    played.fails = {"w2"}
    answer = await c.post("/api/v1/actions?wait=20", json={"action": "restart", "workers": ["w3", "w2", "w3", "w1"]})
    assert answer.status_code == 200
    told = answer.json()["answers"]
    assert [(each["worker"], each["status"]) for each in told] == [("w3", 200), ("w2", 409), ("w1", 200)]
    assert told[1]["operation"]["state"] == "failed"
    answer = await c.post("/api/v1/actions?wait=0", json={"action": "stop", "workers": ["group:web"]})
    assert [each["worker"] for each in answer.json()["answers"]] == ["w0", "w1", "w2", "w3"]


# ---------------------------------------------------------------- replicas

FILE = '[worker.web]\ncommand = ["x", "{index}"]\nreplicas = 2\n[worker.one]\ncommand = ["y", "{index}"]\n'


def declared(s, folder, text=FILE):
    file = folder / "quarterdeck.toml"
    file.write_text(text)
    made = Made(Remembered(folder / "workers.json"), s.host, str(folder))
    scale = Scale(Remembered(folder / "scale.json"))
    s.services.declarations = Declarations(file, load(file), s.host, s.host.machine.plan, list, made, scale)
    return s.services.declarations


def scaled(test):
    def wrapper(tmp_path):
        @virtual
        async def run():
            async with site(host=ScriptedHost()) as s, s.client("boss") as c:
                declared(s, tmp_path)
                await c.post("/api/v1/config/apply")
                for name in s.host.snapshot().workers:
                    s.host.come_up(name)
                await test(s, c, tmp_path)

        run()

    return wrapper


def runs(s):
    return {name: status.run for name, status in s.host.machine.statuses.items() if not status.removing}


@scaled
async def test_more_and_fewer_without_touching_the_others(s, c, tmp_path):
    answer = (await c.post("/api/v1/workers/web/scale", json={"replicas": 4})).json()
    assert (answer["added"], answer["removed"]) == (["web-2", "web-3"], [])
    assert s.host.machine.statuses["web-3"].spec.program.argv == ("x", "3")
    for name in ("web-2", "web-3"):
        s.host.come_up(name)
    answer = (await c.post("/api/v1/workers/web-1/scale", json={"replicas": 1})).json()
    assert (answer["workers"], answer["removed"]) == (["web-0"], ["web-1", "web-2", "web-3"])
    assert runs(s) == {"web-0": 1, "one": 1}
    assert s.host.machine.statuses["web-0"].state is State.RUNNING


@scaled
async def test_one_that_is_alone_stays_under_its_name(s, c, tmp_path):
    answer = (await c.post("/api/v1/workers/one/scale?wait=0.5", json={"replicas": 3})).json()
    assert (answer["workers"], answer["added"]) == (["one", "one-1", "one-2"], ["one-1", "one-2"])
    assert [each["state"] for each in answer["operations"]] == ["pending", "pending"]
    assert [s.host.machine.statuses[n].spec.program.argv[1] for n in answer["workers"]] == ["0", "1", "2"]
    assert runs(s)["one"] == 1


@scaled
async def test_it_is_remembered_until_the_file_says_otherwise(s, c, tmp_path):
    await c.post("/api/v1/workers/web/scale", json={"replicas": 3})
    assert (await c.post("/api/v1/config/plan")).json()["plan"]["empty"]
    assert [spec.name for spec in declared(s, tmp_path).specs] == ["web-0", "web-1", "web-2", "one"]
    file = tmp_path / "quarterdeck.toml"
    file.write_text(FILE + "nice = 3\n")  # of `one`
    plan = (await c.post("/api/v1/config/apply")).json()["plan"]
    assert ([row["worker"] for row in plan["changed"]], plan["removed"]) == (["one"], [])
    file.write_text(FILE.replace("replicas = 2", "replicas = 5"))
    plan = (await c.post("/api/v1/config/apply")).json()["plan"]
    assert [row["worker"] for row in plan["added"]] == ["web-3", "web-4"]
    file.write_text(FILE)
    plan = (await c.post("/api/v1/config/plan")).json()["plan"]
    assert plan["removed"] == ["web-2", "web-3", "web-4"]


@scaled
async def test_as_many_as_the_file_says_is_not_remembered(s, c, tmp_path):
    await c.post("/api/v1/workers/web/scale", json={"replicas": 3})
    await c.post("/api/v1/workers/web/scale", json={"replicas": 2})
    assert (tmp_path / "scale.json").read_text() == "{}\n"


@scaled
async def test_an_edit_that_was_not_applied_stays_out(s, c, tmp_path):
    (tmp_path / "quarterdeck.toml").write_text("nothing that anybody could use")
    assert (await c.post("/api/v1/workers/web/scale", json={"replicas": 3})).status_code == 200
    assert runs(s).keys() == {"web-0", "web-1", "web-2", "one"}


@scaled
async def test_bad_ones(s, c, tmp_path):
    for body in ({}, {"replicas": 0}, {"replicas": 1001}, {"replicas": "3"}, {"replicas": True}, {"replicas": 2.0}):
        assert (await c.post("/api/v1/workers/web/scale", json=body)).status_code == 422, body
    assert (await c.post("/api/v1/workers/nobody/scale", json={"replicas": 2})).status_code == 404
    await c.post("/api/v1/workers", json={"name": "mine", "command": "x"})
    assert (await c.post("/api/v1/workers/mine/scale", json={"replicas": 2})).status_code == 409
    await s.host.tell(Shutdown())
    assert (await c.post("/api/v1/workers/web/scale", json={"replicas": 3})).status_code == 503
    assert (tmp_path / "scale.json").read_text() == "{}\n"


@pytest.mark.parametrize("told", ["[]", '{"web": 3}', '{"web": {"file": 2, "replicas": -1}}', '{"web": {"file": 2}}'])
def test_a_store_with_nonsense(tmp_path, told):
    (tmp_path / "scale.json").write_text(told)

    @virtual
    async def run():
        async with site() as s:
            assert [spec.name for spec in declared(s, tmp_path).specs] == ["web-0", "web-1", "one"]

    run()
