"""The gate against other sites: whose Host it answers to, whose pages may write with a cookie."""

import asyncio

import pytest

from tests.support.asgi import a_program, bearer, site
from tests.support.virtual import virtual

W = "/api/v1/workers"

# ---------------------------------------------------------------- Host

HOSTS = [
    ("localhost", True), ("localhost:1", True), ("LOCALHOST:65535", True), ("localhost.", True),
    ("localhost.:7440", True),
    ("a.localhost:7440", True), ("a.b.localhost", True), ("127.0.0.1", True), ("127.0.0.1:9999", True),
    ("jobs.example", True), ("JOBS.example.:80", True), ("x.lab.example", True), ("pub.example:8443", True),
    ("", False), (".", False), ("evil.example", False), ("localhost.evil.example", False), ("evillocalhost", False),
    ("127.0.0.2", False), ("0.0.0.0", False), ("2130706433", False), ("127.1", False), ("0x7f.1", False),
    ("[::1]", False), ("[::1", False), ("lab.example", False), ("evil.lab.example.org", False),
    ("localhost:99999", False), ("localhost:port", False), ("localhost:80:80", False), ("user@localhost", False),
    ("localhost/x", False), ("local host", False), ("localhost,evil.example", False), ("127.0.0.1.", True),
    ("ﬁ.example".encode().decode("latin-1"), False), ("a" * 300, False),
]  # fmt: skip


@pytest.mark.parametrize(("host", "ours"), HOSTS, ids=[repr(h)[:40] for h, _ in HOSTS])
def test_hosts(host: str, ours: bool) -> None:
    @virtual
    async def check() -> None:
        options = {"allowed_hosts": ("jobs.example", "*.lab.example"), "public_url": "https://pub.example:8443/x"}
        async with site(**options) as s:
            status, _, body = await s.raw("GET", "/api/v1/whoami", [("host", host)])
            if ours:
                assert status == 200
            else:
                assert status == 421
                assert b"Host header" in body
                assert b"allowed_hosts" in body

    check()


@pytest.mark.parametrize(
    ("own", "host", "ours"),
    [
        ("::1", "[::1]:7440", True),
        ("::1", "[0:0:0:0:0:0:0:1]", True),
        ("::1", "127.0.0.1", False),
        ("::ffff:10.0.0.5", "10.0.0.5:80", True),
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", "10.0.0.6", False),
        ("/run/socket", "localhost", True),
        ("/run/socket", "evil.example", False),
    ],
)
def test_the_own_address_of_the_accepted_socket(own: str, host: str, ours: bool) -> None:
    @virtual
    async def check() -> None:
        async with site() as s:
            status, _, _ = await s.raw("GET", "/api/v1/whoami", [("host", host)], server=(own, 7440))
            assert (status == 200) is ours

    check()


@virtual
async def test_no_host_and_two_hosts() -> None:
    async with site() as s:
        assert (await s.raw("GET", "/api/v1/whoami", []))[0] == 421
        assert (await s.raw("GET", "/api/v1/whoami", [("host", "localhost"), ("host", "localhost")]))[0] == 400


@virtual
async def test_host_is_checked_before_credentials() -> None:
    async with site() as s:
        headers = [("host", "evil.example"), ("authorization", bearer("boss")["Authorization"])]
        assert (await s.raw("POST", f"{W}/a/stop", headers))[0] == 421


# ---------------------------------------------------------------- cookies and origins


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:7440"}, 202),
        ({"Origin": "http://localhost:7440"}, 202),
        ({"Origin": "HTTP://LOCALHOST:7440"}, 202),
        ({"Origin": "https://pub.example"}, 202),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "http://localhost:7441"}, 403),
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "https://localhost:7440"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:7440.evil.example"}, 403),
        ({"Origin": "http://localhost:99999999"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:7440"}, 403),
        ({"Referer": "http://localhost:7440/"}, 403),
    ],
)
def test_writes_with_a_cookie(headers: dict[str, str], status: int) -> None:
    @virtual
    async def check() -> None:
        async with site(a_program("a"), public_url="https://pub.example") as s, s.client() as c:
            s.host.come_up("a")
            cookie = {"Cookie": s.signed_in()}
            answer = await c.post(f"{W}/a/restart?wait=0", headers={**cookie, **headers})
            assert answer.status_code == status
            if status == 403:
                assert answer.json()["code"] == "cross_site"
                assert s.host.told == []
            # reading needs none of that, and a bearer token neither
            assert (await c.get(W, headers=cookie)).status_code == 200
            with_token = {**headers, **bearer("operator")}
            assert (await c.post(f"{W}/a/restart?wait=0", headers={**with_token, **cookie})).status_code == 202

    check()


@pytest.mark.parametrize("cookie", ["", "x", "%00", "a" * 5000, "\xff\xfe", '"quoted"', "qd", "; ;=;"])
@virtual
async def test_cookies_that_are_none(cookie: str) -> None:
    async with site(a_program("a")) as s:
        header = f"{s.services.credentials.cookie_name}={cookie}"
        status, _, _ = await s.raw("GET", W, [("host", "localhost"), ("cookie", header)])
        assert status == 401


@virtual
async def test_the_cookie_of_another_instance_is_none_of_ours() -> None:
    async with site(a_program("a")) as one, site(a_program("a")) as other:
        both = f"{one.signed_in()}; {other.signed_in()}"
        assert one.services.credentials.cookie_name != other.services.credentials.cookie_name
        for s in (one, other):
            async with s.client() as c:
                assert (await c.get(W, headers={"Cookie": both})).status_code == 200
        async with one.client() as c:
            assert (await c.get(W, headers={"Cookie": other.signed_in()})).status_code == 401


@virtual
async def test_a_session_has_the_scope_of_its_token() -> None:
    async with site(a_program("a")) as s, s.client() as c:
        same = {"Sec-Fetch-Site": "same-origin"}
        for who, status in (("reader", 403), ("operator", 202), ("", 202)):
            headers = {"Cookie": s.signed_in(who), **same}
            assert (await c.post(f"{W}/a/restart?wait=0", headers=headers)).status_code == status
        assert (
            await c.post("/api/v1/shutdown", headers={"Cookie": s.signed_in("operator"), **same})
        ).status_code == 403


@virtual
async def test_the_cookie_slides() -> None:
    async with site() as s, s.client() as c:
        cookie = {"Cookie": s.signed_in()}
        assert "set-cookie" not in (await c.get("/api/v1/whoami", headers=cookie)).headers
        await asyncio.sleep(2 * 86_400)
        renewed = (await c.get("/api/v1/whoami", headers=cookie)).headers["set-cookie"]
        assert renewed.startswith(cookie["Cookie"])
        assert "Max-Age=2592000" in renewed
        await asyncio.sleep(29 * 86_400)
        assert (await c.get("/api/v1/whoami", headers=cookie)).json()["scope"] == "admin"
        await asyncio.sleep(31 * 86_400)
        assert (await c.get("/api/v1/whoami", headers=cookie)).json()["scope"] == "none"
