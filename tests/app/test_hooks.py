"""The hooks of the service: which events are told, grouped how, and once that a worker is well; and that it arrives."""

import asyncio
import contextlib
import json
import os

import pytest

from app.delivery import Delivery
from app.watchers import hooks as room
from app.watchers.hooks import Hooks, message_of
from supervisor_core.config import ServiceHook
from supervisor_core.messages import Add, Restart, Start, Stop
from supervisor_core.model import OnGiveUp, RestartPolicy, RestartWhen
from tests.support.scripted import EPOCH, ScriptedHost, a_program
from tests.support.virtual import virtual

ALL = ServiceHook(("failed", "gave_up", "backoff", "ready"), ("x",), source="q.toml:1")
RETRY = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=2.0, max_restarts=2, on_give_up=OnGiveUp.FAIL)


async def pass_time(seconds):
    await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def watching(host, *hooks):
    """Gives the messages, each as (its time, the hook, its events as (event, worker, count))."""
    told, sentences, loop = [], [], asyncio.get_running_loop()

    async def deliver(hook, message):
        events = [(event["event"], event["worker"], event["count"]) for event in message["events"]]
        told.append((round(loop.time(), 3), hook.source, events))
        return ""

    watcher = Hooks(host, hooks, deliver, sentences.append)
    task = asyncio.create_task(watcher.run())
    await asyncio.sleep(0)
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@virtual
async def test_a_crash_that_is_tried_again_then_given_up_then_well_again():
    host = ScriptedHost(a_program("web", restart=RETRY))
    async with watching(host, ALL) as told:
        host.come_up("web")
        await pass_time(100)
        assert told.pop() == (1.0, "q.toml:1", [("ready", "web", 1)])
        host.end("web", code=3)
        await pass_time(1.5)
        assert told.pop() == (101.0, "q.toml:1", [("backoff", "web", 1)])
        await pass_time(1)
        host.end("web", code=3)  # 102.5
        await pass_time(10)
        host.end("web", code=4)  # 112.5
        await pass_time(100)
        assert told.pop(0) == (161.0, "q.toml:1", [("backoff", "web", 1), ("gave_up", "web", 1)])
        assert told == []
        await host.tell(Start("web"))
        host.come_up("web")
        await pass_time(100)
        assert [events for _, _, events in told] == [[("recovered", "web", 1)]], "one notice, and not ready too"


@virtual
async def test_flapping_is_one_message_a_minute():
    many = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=1.0, backoff_max=1.0, on_give_up=OnGiveUp.FAIL)
    host = ScriptedHost(a_program("web", restart=many))
    async with watching(host, ALL) as told:
        for _ in range(100):
            host.come_up("web")
            await pass_time(1)
            host.end("web", code=1)
            await pass_time(2)
        assert len(told) <= 6
        assert told[0][2][0] == ("ready", "web", 1)
        assert told[1][2] == [("backoff", "web", 20)] or told[1][2][0][0] == "backoff"
        assert all(("recovered", "web", 1) not in events for _, _, events in told)


@virtual
async def test_trouble_does_not_wait_because_of_good_news():
    host = ScriptedHost(a_program("web", restart=RETRY), a_program("db", restart=RETRY))
    async with watching(host, ALL) as told:
        host.come_up("web")
        await pass_time(5)
        host.come_up("db")
        await pass_time(5)
        host.end("web", code=1)
        await pass_time(100)
    assert [(at, events) for at, _, events in told] == [
        (1.0, [("ready", "web", 1)]), (11.0, [("ready", "db", 1), ("backoff", "web", 1)]),
    ]  # fmt: skip


@virtual
async def test_a_storm_is_one_message():
    host = ScriptedHost(*(a_program(f"w{n:03}", restart=RETRY) for n in range(120)))
    async with watching(host, ALL) as told:
        for n in range(120):
            host.end(f"w{n:03}", code=1)
        await pass_time(1.9)
        ((_, _, events),) = told
        assert len(events) == 50
        message = message_of(host, [room.Happened("failed", host.machine.statuses["w001"], EPOCH)] * 120)
        assert (len(message["events"]), message["more"]) == (50, 70)
        assert message["text"].splitlines()[-1] == "and 70 more"


@virtual
async def test_each_hook_gets_what_it_is_for():
    never = RestartPolicy(RestartWhen.NEVER, on_give_up=OnGiveUp.FAIL)
    host = ScriptedHost(a_program("job", restart=never), a_program("web", restart=RETRY))
    hooks = [ServiceHook((on,), ("x",), source=on) for on in ("failed", "gave_up", "backoff", "ready", "recovered")]
    async with watching(host, *hooks) as told:
        host.end("job", code=1)
        host.end("web", code=1)
        await pass_time(1.5)
        assert sorted((hook, events) for _, hook, events in told) == [
            ("backoff", [("backoff", "web", 1)]), ("failed", [("failed", "job", 1)]),
        ]  # fmt: skip
        told.clear()
        await pass_time(1)
        host.come_up("web")
        await pass_time(80)
        assert sorted((hook, events) for _, hook, events in told) == [
            ("backoff", [("recovered", "web", 1)]), ("ready", [("ready", "web", 1)]),
            ("recovered", [("recovered", "web", 1)]),
        ]  # fmt: skip


@virtual
async def test_what_people_do_is_no_trouble():
    host = ScriptedHost(a_program("web", restart=RETRY))
    async with watching(host, ServiceHook(("failed", "gave_up", "backoff"), ("x",))) as told:
        host.come_up("web")
        await host.tell(Restart("web"))
        host.end("web", signal=15)
        host.come_up("web")
        await host.tell(Stop("web"))
        host.end("web", signal=9)
        await pass_time(200)
        assert told == []


@virtual
async def test_one_that_was_stopped_in_trouble_owes_no_recovery():
    host = ScriptedHost(a_program("web", restart=RETRY))
    async with watching(host, ALL) as told:
        host.end("web", code=1)
        await pass_time(1.5)
        await host.tell(Stop("web"))
        await pass_time(100)
        await host.tell(Start("web"))
        host.come_up("web")
        await pass_time(100)
        assert [events for _, _, events in told] == [[("backoff", "web", 1)], [("ready", "web", 1)]]


@virtual
async def test_what_was_so_before_is_no_news():
    host = ScriptedHost()
    host._decide(Add(a_program("web")))
    host.end("web", code=1)
    async with watching(host, ALL) as told:
        await pass_time(5)
        assert [events for _, _, events in told] == [[("failed", "web", 1)]], "it is of this service's own life"


@virtual
async def test_a_service_that_leaves_tells_what_waits():
    host = ScriptedHost(a_program("web", restart=RETRY))
    async with watching(host, ALL) as told:
        host.end("web", code=1)
        await pass_time(0)
        await pass_time(0)
    assert [events for _, _, events in told] == [[("backoff", "web", 1)]]


@virtual
async def test_other_hooks_of_a_reload_rule_at_once():
    host = ScriptedHost(a_program("web", restart=RETRY))
    heard = []

    async def deliver(hook, message):
        heard.append(hook.source)
        return ""

    watcher = Hooks(host, [ALL], deliver, lambda told: None)
    task = asyncio.create_task(watcher.run())
    await pass_time(0.1)
    watcher.rule([ServiceHook(ALL.on, ("y",), source="q.toml:9")])
    host.end("web", code=1)
    await pass_time(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert heard == ["q.toml:9"]


@virtual
async def test_a_hook_that_does_not_arrive_is_a_condition_until_one_does():
    host = ScriptedHost(a_program("web", restart=RETRY))
    answers, sentences = ["a.example answered 500", ""], []

    async def deliver(hook, message):
        return answers.pop(0)

    task = asyncio.create_task(Hooks(host, [ALL], deliver, lambda told: sentences.append(dict(told))).run())
    await pass_time(0.1)
    host.end("web", code=1)
    await pass_time(10)
    assert sentences[-1] == {
        "q.toml:1": "the hook at q.toml:1 was not delivered (a.example answered 500), so nobody was told"
    }
    host.come_up("web")
    await pass_time(100)
    assert sentences[-1] == {}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@virtual
async def test_a_message():
    host = ScriptedHost(a_program("web", restart=RETRY, labels={"tier": "front"}))
    host.write("web", "one", "two " + "x" * 1000)
    host.end("web", code=3)
    status = host.machine.statuses["web"]
    message = message_of(host, [room.Happened("backoff", status, EPOCH, 2)])
    (event,) = message["events"]
    assert message["text"] == "web failed and is tried again (2 times): exit 3"
    assert event.pop("lines") == ["one", ("two " + "x" * 1000)[:500]]
    assert event == {
        "event": "backoff", "worker": "web", "run": 1, "state": "backoff", "time": "2025-11-24T02:06:40.000Z",
        "count": 2, "failures": 1, "reason": "exit 3", "code": 3, "signal": None, "labels": {"tier": "front"},
    }  # fmt: skip
    assert (message["host"], message["more"]) == ("testhost", 0)


# ------------------------------------------------------------ that it arrives

MESSAGE = {"host": "h", "text": "web has failed", "events": [{"event": "failed", "worker": "web", "lines": ["ä"]}]}


def delivered(hook, message=MESSAGE):
    async def main():
        delivery = Delivery(None, "test-hook")
        try:
            return await delivery.deliver(hook, message)
        finally:
            await delivery.aclose()

    return asyncio.run(main())


def test_a_command_reads_the_event(tmp_path):
    text = 'cat > got; echo "$QUARTERDECK_EVENT $QUARTERDECK_WORKER $QUARTERDECK_TEXT" > words'
    assert delivered(ServiceHook((), ("/bin/sh", "-c", text), directory=str(tmp_path))) == ""
    assert json.loads((tmp_path / "got").read_text()) == MESSAGE
    assert (tmp_path / "words").read_text() == "failed web web has failed\n"


def test_a_command_that_fails_says_why(tmp_path, monkeypatch):
    assert delivered(ServiceHook((), ("/bin/sh", "-c", "echo no mail; exit 3"))) == "exit status 3: no mail"
    assert delivered(ServiceHook((), ("no-such-hook",))).startswith("there is no program no-such-hook")
    monkeypatch.setattr("app.delivery.COMMAND_SECONDS", 0.2)
    assert delivered(ServiceHook((), ("sleep", "60"))) == "did not end within 0.2 s"


@contextlib.asynccontextmanager
async def taking(answers, got):
    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].split()[0])
        got.append((head.splitlines()[0], json.loads(await reader.readexactly(length))))
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answers", "why", "posts"),
    [
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], "", 1),
        ([b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], "", 2),
        ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], "127.0.0.1 answered 404 Not Found", 1),
        ([b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"], "127.0.0.1 answered 302 Found", 1),
    ],
)
def test_a_post(answers, why, posts, monkeypatch):
    monkeypatch.setattr("app.delivery.PAUSES", (0.0, 0.0))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    async def main():
        got, delivery = [], Delivery(None, "test-hook")
        async with taking(answers, got) as port:
            told = await delivery.deliver(ServiceHook((), url=f"http://127.0.0.1:{port}/SECRET"), MESSAGE)
            await delivery.aclose()
        assert told == why
        assert got == [("post /secret http/1.1", MESSAGE)] * posts

    asyncio.run(main())


def test_a_post_to_nobody_says_so_without_the_address(monkeypatch):
    monkeypatch.setattr("app.delivery.PAUSES", (0.0,))
    told = delivered(ServiceHook((), url="http://127.0.0.1:1/SECRET"))
    assert told.startswith("127.0.0.1: ")
    assert "SECRET" not in told
