"""The routes that make workers and runs, over a scripted host: each bad thing is one clear sentence."""

import json
from dataclasses import replace

import pytest

from app.drivers.declarations import Declarations
from app.drivers.made import KEPT, Made
from app.drivers.scale import Scale
from app.remembered import Remembered
from supervisor_core.config import Config
from supervisor_core.messages import Shutdown
from supervisor_core.model import Follow, Program, Requirement, RestartWhen
from tests.support.asgi import a_program, bearer, site
from tests.support.virtual import virtual


def declared(s, tmp_path, config=None):
    made = Made(Remembered(tmp_path / "workers.json"), s.host, str(tmp_path))
    config, scale = config or Config(), Scale(Remembered(tmp_path / "scale.json"))
    s.services.declarations = Declarations(
        tmp_path / "quarterdeck.toml", config, s.host, s.host.machine.plan, list, made, scale
    )
    return made


def of(*specs):
    return Config(workers=specs, names={spec.name: (spec.name,) for spec in specs})


def story(test):
    """A test with a site whose `web` and `job` come from the config."""

    def wrapper(tmp_path):
        @virtual
        async def run():
            specs = (a_program("web"), a_program("job", autostart=False))
            async with site(*specs) as s, s.client("boss") as c:
                declared(s, tmp_path, of(*specs))
                await test(s, c, tmp_path)

        run()

    return wrapper


GOOD = {"name": "new", "command": ["sleep", "1"]}

BAD = [
    ({}, 422, 'the body has no name; add "name": "web" beside the keys of the worker'),
    ({"name": 3}, 422, 'the body has no name; add "name": "web" beside the keys of the worker'),
    ({"name": "a b", "command": "x"}, 422, None),
    ({"name": "new"}, 422, 'new: has no command; add command = ["PROGRAM", "ARGUMENT"]'),
    ({**GOOD, "comand": "x"}, 422, 'new.comand: unknown key; did you mean "command"?'),
    ({**GOOD, "nice": 99, "umask": 3}, 422, None),
    ({**GOOD, "command": ["a\0b"]}, 422, None),
    ({**GOOD, "requires": ["nobody"]}, 422, None),
    ({**GOOD, "name": "WEB"}, 409, "there is a worker or group named web; choose another name"),
]


@pytest.mark.parametrize(("table", "status", "detail"), BAD)
def test_a_bad_table_makes_nothing(tmp_path, table, status, detail):
    @story
    async def told(s, c, tmp_path):
        answer = await c.post("/api/v1/workers", json=table)
        assert answer.status_code == status, answer.text
        if detail:
            assert answer.json()["detail"] == detail
        assert answer.json()["code"] == ("bad_worker" if status == 422 else "conflict")
        assert s.host.snapshot().workers.keys() == {"web", "job"}
        assert not (tmp_path / "workers.json").exists()

    told(tmp_path)


@story
async def test_two_bad_keys_are_two_sentences(s, c, tmp_path):
    answer = (await c.post("/api/v1/workers", json={**GOOD, "nice": 99, "umask": 3})).json()
    assert [each["text"].partition(":")[0] for each in answer["problems"]] == ["new.umask", "new.nice"]


@story
async def test_what_is_no_object(s, c, tmp_path):
    for body in ("[]", "3", '"x"', "null", "{", ""):
        answer = await c.post("/api/v1/workers", content=body)
        assert answer.status_code in (400, 422), body
    assert (await c.put("/api/v1/workers/web", json={"name": "other"})).status_code == 422


@story
async def test_a_worker_is_made_replaced_and_removed(s, c, tmp_path):
    answer = await c.post("/api/v1/workers", json={**GOOD, "replicas": 2, "labels": None})
    assert answer.status_code == 201
    assert [row["name"] for row in answer.json()["workers"]] == ["new-0", "new-1"]
    assert {row["origin"] for row in answer.json()["workers"]} == {"api"}
    assert s.host.synced == len(s.host.told)
    kept = json.loads((tmp_path / "workers.json").read_text())["workers"]
    assert kept["new"]["by"] == "boss"
    answer = await c.put("/api/v1/workers/new", json={"command": ["sleep", "1"], "replicas": 3})
    assert [row["name"] for row in answer.json()["workers"]] == ["new-0", "new-1", "new-2"]
    for path, status in (("new-1", 409), ("web", 409), ("nobody", 404)):
        assert (await c.delete(f"/api/v1/workers/{path}")).status_code == status
        assert (await c.put(f"/api/v1/workers/{path}", json=GOOD | {"name": path})).status_code == status
    again = Made(Remembered(tmp_path / "workers.json"), s.host, str(tmp_path))
    again.begin(Config())
    assert [spec.name for spec in again.specs] == ["new-0", "new-1", "new-2"]
    assert (await c.delete("/api/v1/workers/new")).json() == {"removed": ["new-0", "new-1", "new-2"]}
    assert all(entry.event.status.removing for n, entry in s.host.snapshot().workers.items() if n.startswith("new"))
    assert json.loads((tmp_path / "workers.json").read_text())["workers"] == {}


@story
async def test_a_later_process_makes_the_same_of_it_whatever_became_of_the_files(s, c, tmp_path):
    (tmp_path / "x.env").write_text("WORD=one\n")
    await c.post("/api/v1/workers", json={**GOOD, "env_file": "x.env"})
    await c.post("/api/v1/workers", json={**GOOD, "name": "second"})
    await c.put("/api/v1/workers/new", json={"command": "x", "env_file": "x.env", "requires": ["second", "web"]})
    await c.post("/api/v1/workers/second/run?wait=0", json={"args": ["y"]})
    before = {spec.name: spec for spec in s.services.declarations.made.specs}
    (tmp_path / "x.env").unlink()
    config = s.services.declarations.config
    again = Made(Remembered(tmp_path / "workers.json"), s.host, str(tmp_path))
    again.begin(config)
    assert {spec.name: spec for spec in again.specs} == before
    assert before["new"].program.environment == {"WORD": "one"}
    assert [edge.name for edge in before["new"].requires] == ["second", "web"]


@story
async def test_what_is_refused_is_not_kept(s, c, tmp_path):
    await c.post("/api/v1/workers", json={**GOOD, "requires": ["web"]})
    told = await c.put("/api/v1/workers/new", json={"command": "x", "requires": ["new"]})
    assert told.status_code in (409, 422)
    await s.host.tell(Shutdown())
    answer = await c.post("/api/v1/workers", json={**GOOD, "name": "late"})
    assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
    assert json.loads((tmp_path / "workers.json").read_text())["workers"].keys() == {"new"}


@story
async def test_a_disk_that_takes_nothing(s, c, tmp_path):
    (tmp_path / "workers.new").mkdir()
    answer = await c.post("/api/v1/workers", json=GOOD)
    assert (answer.status_code, answer.json()["code"]) == (507, "not_durable")
    assert "new" not in s.host.snapshot().workers


def test_scopes(tmp_path):
    @virtual
    async def told():
        async with site(a_program("web")) as s, s.client("operator") as c:
            declared(s, tmp_path, of(a_program("web")))
            assert (await c.post("/api/v1/workers", json=GOOD)).status_code == 403
            assert (await c.put("/api/v1/workers/web", json={})).status_code == 403
            assert (await c.delete("/api/v1/workers/web")).status_code == 403
            assert (await c.post("/api/v1/workers/web/run?wait=0", json={})).status_code == 202

    told()


# ---------------------------------------------------------------- runs


@story
async def test_a_run_has_its_worker_and_more(s, c, tmp_path):
    answer = await c.post(
        "/api/v1/workers/job/run?wait=0", json={"args": ["--x", "y z"], "environment": {"A": "secret"}}
    )
    assert (answer.status_code, answer.json()["operation"]["worker"]) == (202, "job[1]")
    assert "secret" not in answer.text
    spec = s.host.machine.statuses["job[1]"].spec
    assert spec.program.argv == ("/bin/job", "--fast", "--x", "y z")
    assert spec.program.environment == {"A": "secret"}
    assert (spec.autostart, spec.restart.restart, spec.one_shot, spec.essential) == (
        False,
        RestartWhen.NEVER,
        True,
        False,
    )
    s.host.come_up("job[1]")
    s.host.end("job[1]", 3)
    told = await c.get(answer.headers["location"] + "?wait=1")
    assert told.json()["state"] == "failed"
    assert (await c.post("/api/v1/workers/job/run?wait=0")).json()["operation"]["worker"] == "job[2]"
    assert (await c.put("/api/v1/workers/job[1]", json=GOOD | {"name": "job[1]"})).status_code in (409, 422)


@story
async def test_a_request_that_comes_again_is_the_same_run(s, c, tmp_path):
    headers, body = {"Idempotency-Key": "k1"}, {"args": ["x"]}
    first = await c.post("/api/v1/workers/job/run?wait=0", json=body, headers=headers)
    again = await c.post("/api/v1/workers/job/run?wait=0", json=body, headers=headers)
    assert again.json()["operation"] == first.json()["operation"]
    assert "job[2]" not in s.host.snapshot().workers
    other = await c.post("/api/v1/workers/job/run?wait=0", json={"args": ["y"]}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    theirs = await c.post("/api/v1/workers/job/run?wait=0", json=body, headers={**headers, **bearer("operator")})
    assert theirs.json()["operation"]["worker"] == "job[2]"


BAD_RUNS = [
    ({"args": "x"}, "the member args is a list"),
    ({"args": [3]}, "arguments and the values of variables are texts; put them between quotes"),
    ({"environment": {"A": 3}}, "arguments and the values of variables are texts; put them between quotes"),
    ({"environment": []}, "the member environment is an object"),
    ({"args": ["a\0"]}, "an argument or variable holds a NUL character; remove it"),
    ({"environment": {"A=B": "x"}}, 'the name of a variable may not be empty or hold "="'),
    ({"environment": {"": "x"}}, 'the name of a variable may not be empty or hold "="'),
    ({"args": ["x"] * 1001}, "more than 1000 arguments or variables; put them in a file"),
    ({"args": ["x" * 140_000]}, "an argument or variable has 140000 bytes; at most 131071 fit: put it in a file"),
    ({"argv": []}, 'the member "argv" is not known here; known: args, environment, reason'),
]


@story
async def test_bad_runs_are_one_sentence(s, c, tmp_path):
    for body, sentence in BAD_RUNS:
        answer = await c.post("/api/v1/workers/job/run", json=body)
        assert (answer.status_code, answer.json()["detail"]) == (422, sentence)
    assert (await c.post("/api/v1/workers/nobody/run")).status_code == 404
    assert s.host.snapshot().workers.keys() == {"web", "job"}


@story
async def test_the_last_twenty_are_kept_and_one_that_runs_always(s, c, tmp_path):
    await c.post("/api/v1/workers/job/run?wait=0")
    s.host.come_up("job[1]")
    for number in range(2, KEPT + 5):
        await c.post("/api/v1/workers/job/run?wait=0")
        s.host.come_up(f"job[{number}]")
        s.host.end(f"job[{number}]")
    names = {name for name in s.host.snapshot().workers if "[" in name}
    assert names == {"job[1]", *(f"job[{number}]" for number in range(5, KEPT + 5))}
    assert s.services.declarations.made._entries.keys() == names


def test_a_shell_gets_its_arguments_and_an_edge_ends_no_run(tmp_path):
    @virtual
    async def told():
        edge = Requirement("web", follow=Follow.RESTART)
        program = Program(("/bin/sh", "-c", "echo"), shell=True, secrets={"S": "/a", "T": "/b"})
        spec = replace(a_program("sh", autostart=False), program=program, requires=(edge,))
        async with site(a_program("web"), spec) as s, s.client("boss") as c:
            declared(s, tmp_path, of(spec))
            await c.post("/api/v1/workers/sh/run?wait=0", json={"args": ["a b"], "environment": {"S": "mine"}})
            made = s.host.machine.statuses["sh[1]"].spec
            assert made.program.argv == ("/bin/sh", "-c", 'echo "$@"', "sh", "a b")
            assert (dict(made.program.secrets), made.program.environment) == ({"T": "/b"}, {"S": "mine"})
            assert made.requires == (Requirement("web"),)

    told()


NONSENSE = [
    [],
    {"workers": 3},
    {"workers": {"x": 3}},
    {"workers": {"x": {}}},
    {"workers": {"x": {"table": {"comand": 1}}}},
    {"workers": {"y[1]": {"run": "y"}}},
]


@pytest.mark.parametrize("told", NONSENSE)
def test_a_store_with_nonsense_keeps_nobody_from_starting(tmp_path, told):
    (tmp_path / "workers.json").write_text(json.dumps(told))

    @virtual
    async def begin():
        async with site() as s:
            assert declared(s, tmp_path).specs == []

    begin()
