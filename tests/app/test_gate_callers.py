"""The gate and who asks: tokens, guesses, no-auth, proxies, the Unix socket."""

import asyncio
import grp
import json
import os

import pytest

from app.web.problems import Problem
from app.web.throttle import HELD, KEPT, Throttle
from tests.support.asgi import Site, Stream, a_program, bearer, client, secret, site
from tests.support.virtual import virtual

W = "/api/v1/workers"

# ---------------------------------------------------------------- credentials


@pytest.mark.parametrize(
    "value",
    [
        "Bearer", "Bearer ", "Bearer wrong", "bearer  x y", "Basic dXNlcjpwYXNz", "Bearer \xe4\xf6\xfc",
        "Bearer a\x01b",
        "Token x",
        "Bearer " + "x" * 60_000, "Bearer " + secret("boss") + "x", "Bearer " + secret("boss")[:-1], secret("boss"), "",
    ],
)  # fmt: skip
def test_credentials_that_are_none(value: str) -> None:
    @virtual
    async def check() -> None:
        async with site(a_program("a")) as s:
            status, headers, body = await s.raw("GET", W, [("host", "localhost"), ("authorization", value)])
            assert status == 401
            assert headers["www-authenticate"].startswith("Bearer")
            assert value[7:20].encode("latin-1", "replace") not in body or len(value) < 9

    check()


@virtual
async def test_a_wrong_token_is_not_helped_by_a_good_cookie() -> None:
    async with site() as s, s.client() as c:
        answer = await c.get("/api/v1/whoami", headers={"Cookie": s.signed_in(), "Authorization": "Bearer wrong"})
        assert answer.status_code == 401


@virtual
async def test_the_scheme_may_be_written_in_any_case() -> None:
    async with site() as s, s.client() as c:
        answer = await c.get("/api/v1/whoami", headers={"Authorization": f"bEaReR   {secret('boss')}"})
        assert answer.json()["scope"] == "admin"


@virtual
async def test_guessing_is_slowed_down_and_the_owner_is_not() -> None:
    async with site(a_program("a")) as s, s.client() as c:
        loop = asyncio.get_running_loop()
        times = []
        for _ in range(12):
            start = loop.time()
            assert (await c.get(W, headers={"Authorization": "Bearer guess"})).status_code == 401
            times.append(loop.time() - start)
        assert times[:3] == [0, 0, 0]
        assert times == sorted(times)
        assert times[-1] == 2.0
        start = loop.time()
        for i in range(50):
            assert (await c.get(W, headers={"Authorization": f"Bearer guess{i}"})).status_code == 401
        assert loop.time() - start > 20, "many different guesses are slowed down all together"
        start = loop.time()
        assert (await c.get(W, headers=s.owner)).status_code == 200
        assert loop.time() == start


@virtual
async def test_failures_are_written_down_without_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    async with site(a_program("a")) as s, s.client() as c:
        for _ in range(2):
            for i in range(10):
                await c.get(W, headers={"Authorization": f"Bearer canary{i}"})
            await asyncio.sleep(30)
        lines = [record.message for record in caplog.records if "wrong credentials" in record.message]
        assert [line.split(", ")[1].split()[0] for line in lines] == ["1", "10"]
        assert "canary" not in caplog.text


@virtual
async def test_only_so_many_guesses_wait_at_once() -> None:
    async with site(a_program("a")) as s, s.client() as c:
        headers = {"Authorization": "Bearer guess"}
        answers = await asyncio.gather(*(c.get(W, headers=headers) for _ in range(HELD + 20)))
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(429) == 17
        assert statuses.count(401) == HELD + 3


@virtual
async def test_the_memory_of_failures_is_bounded() -> None:
    throttle = Throttle(asyncio.get_running_loop().time)
    for i in range(10 * KEPT):
        throttle.delay(str(i).encode())
    assert len(throttle._each) == KEPT
    with pytest.raises(Problem, match="too many"):
        throttle._held = HELD
        await throttle.failed(b"x")


# ---------------------------------------------------------------- no-auth, proxies, sockets

FORWARDED = [
    {"Forwarded": "for=1.2.3.4"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "localhost"},
    {"X-Forwarded-Whatever": "1"},
    {"Via": "1.1 proxy"},
]


@virtual
async def test_no_auth_is_operate_and_never_admin_and_for_loopback_alone() -> None:
    async with site(a_program("a"), no_auth=True) as s:
        s.host.come_up("a")
        async with client(s.app) as c:
            assert (await c.get("/api/v1/whoami")).json()["scope"] == "operate"
            assert (await c.post(f"{W}/a/restart?wait=0")).status_code == 202
            assert (await c.post("/api/v1/shutdown")).status_code == 403
            assert (await c.get(W, headers={"Authorization": "Bearer wrong"})).status_code == 401
            for headers in FORWARDED:
                assert (await c.get(W, headers=headers)).status_code == 401
            for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
                assert (await c.post(f"{W}/a/restart?wait=0", headers=headers)).status_code == 403
        for peer in ("10.0.0.7", "::2", "", "garbage"):
            async with client(s.app, peer=peer) as c:
                assert (await c.get(W)).status_code == 401
        async with client(s.app, peer="::1") as c:
            assert (await c.get(W)).status_code == 200


@virtual
async def test_forwarding_headers_are_believed_from_named_proxies_only() -> None:
    async with site(behind_proxy=("10.0.0.0/8",), allowed_hosts=("jobs.example",)) as s:
        headers = {
            "X-Forwarded-Host": "jobs.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4, 10.0.0.9",
            "Host": "internal:7440", "Cookie": s.signed_in(),
        }  # fmt: skip
        async with client(s.app, peer="10.1.1.1") as c:
            assert (await c.get("/api/v1/whoami", headers=headers)).status_code == 200
            post = {**headers, "Origin": "https://jobs.example"}
            assert (await c.post("/api/v1/login-links", headers=post)).status_code == 201
            assert (
                await c.post("/api/v1/login-links", headers={**post, "Origin": "http://jobs.example"})
            ).status_code == 403
        for peer in ("11.1.1.1", "127.0.0.1", "::ffff:11.0.0.1"):
            async with client(s.app, peer=peer) as c:
                assert (await c.get("/api/v1/whoami", headers=headers)).status_code == 421
        async with client(s.app, peer="::ffff:10.0.0.1") as c:
            assert (await c.get("/api/v1/whoami", headers=headers)).status_code == 200


def test_a_proxy_that_is_no_address_is_named() -> None:
    @virtual
    async def check() -> None:
        async with site(behind_proxy=("nginx",)) as s, s.client() as c:
            await c.get("/healthz")

    with pytest.raises(ValueError, match='behind_proxy: "nginx" is no address'):
        check()


@virtual
async def test_the_unix_socket_knows_who_is_there() -> None:
    async with site(a_program("a"), owner_uid=4242) as s:
        for uid, who in ((0, "root"), (4242, "uid 4242")):
            told = await over_socket(s, uid)
            assert told == (200, who, "admin")
        assert await over_socket(s, 4243) == (200, "nobody", "none")
        for headers in FORWARDED:
            assert (await over_socket(s, 0, **headers))[2] == "none"
        assert (await over_socket(s, 0, **bearer("reader")))[2] == "read"


async def over_socket(s: Site, uid: int, **headers: str) -> tuple[int, str, str]:
    extensions = {"quarterdeck": {"uid": uid, "abort": lambda: None}}
    async with Stream(s.app, "/api/v1/whoami", headers, extensions=extensions) as stream:
        stream.scope["client"] = None
        await stream.end()
    told = json.loads(stream.raw)
    return stream.status, told["who"], told["scope"]


@virtual
async def test_members_of_the_socket_group_are_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    name = grp.getgrgid(os.getgid()).gr_name
    async with site(socket_group=name, owner_uid=4242) as s:
        monkeypatch.setattr("os.getgrouplist", lambda user, gid: [os.getgid()] if user == "daemon" else [])
        assert (await over_socket(s, 1))[2] == "admin"
        assert (await over_socket(s, 2))[2] == "none"
        assert (await over_socket(s, 99_999))[2] == "none"
    async with site(socket_group="no-such-group", owner_uid=4242) as s:
        assert (await over_socket(s, 1))[2] == "none"
