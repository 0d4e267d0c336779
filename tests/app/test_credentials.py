"""Tokens, sessions, login links, forms: what proves who somebody is, what is on disk, and what survives a restart."""

import json
import os
import stat
from pathlib import Path

import pytest

from app.web.credentials import LINK_LIFETIME, MOST_LINKS, Caller, CannotKeep, Credentials, NamedToken
from app.web.sessions import LIFETIME, MOST, RENEW, Sessions, hashed
from tests.support.asgi import site
from tests.support.virtual import virtual

TOKEN = "a-named-token-that-is-long-enough"


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def named(name: str = "ci", scope: str = "operate", expires: float | None = None) -> NamedToken:
    return NamedToken(name, scope, hashed(TOKEN.encode()), expires)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_the_owners_token(tmp_path: Path) -> None:
    first = Credentials(tmp_path, Time())
    assert mode(tmp_path / "token") == 0o600
    assert (tmp_path / "token").read_text().strip() == first.owner_token
    assert len(first.owner_token) >= 43, "256 bit"
    caller = first.token(first.owner_token.encode())
    assert caller == Caller("owner", "admin", "token")
    second = Credentials(tmp_path, Time())
    assert (second.owner_token, second.instance) == (first.owner_token, first.instance)


def test_a_token_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    Credentials(tmp_path, Time())
    (tmp_path / "token").chmod(0o644)
    Credentials(tmp_path, Time())
    assert mode(tmp_path / "token") == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"two words of a token file\n", b"\xff" * 40, b"x" * 40 + b"\0"])
def test_a_token_file_that_is_none_is_named_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(CannotKeep, match=r"^token: .* remove it to get a new one"):
        Credentials(tmp_path, Time())
    assert (tmp_path / "token").read_bytes() == content


def test_a_link_in_the_place_of_a_secret_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x" * 43)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotKeep):
        Credentials(tmp_path / "state", Time())


def test_named_tokens_are_known_by_their_hash_until_they_end() -> None:
    time = Time()
    credentials = Credentials(None, time, named=[named(expires=time.now + 10)])
    caller = credentials.token(TOKEN.encode())
    assert caller is not None
    assert (caller.who, caller.scope) == ("ci", "operate")
    time.now += 10
    assert credentials.token(TOKEN.encode()) is None


@pytest.mark.parametrize("presented", [b"", b"\0", b"\xff\xfe", b"x" * 513, TOKEN.encode() + b" ", TOKEN[:-1].encode()])
def test_what_is_no_token(presented: bytes) -> None:
    assert Credentials(None, Time(), named=[named()]).token(presented) is None


def test_secrets_do_not_show() -> None:
    credentials = Credentials(None, Time(), named=[named()])
    caller = credentials.session(
        credentials.open_session(credentials.token(TOKEN.encode()) or Caller("", "", "")).encode()
    )
    assert caller is not None
    assert caller.secret
    assert caller.secret not in repr(caller)
    assert hashed(TOKEN.encode()) not in repr(caller)


# ---------------------------------------------------------------- sessions


def test_sessions_survive_a_restart_and_only_hashes_are_stored(tmp_path: Path) -> None:
    time = Time()
    credentials = Credentials(tmp_path, time, named=[named()])
    owner = credentials.open_session(credentials.token(credentials.owner_token.encode()) or Caller("", "", ""))
    other = credentials.open_session(credentials.token(TOKEN.encode()) or Caller("", "", ""))
    assert mode(tmp_path / "sessions.json") == 0o600
    for file in tmp_path.iterdir():
        assert owner not in file.read_text()
        assert other not in file.read_text()
    again = Credentials(tmp_path, time, named=[named(scope="read")])
    assert again.cookie_name == credentials.cookie_name
    found, seen = again.session(owner.encode()), again.session(other.encode())
    assert found is not None
    assert seen is not None
    assert (found.who, found.scope) == ("owner", "admin")
    assert (seen.who, seen.scope) == ("ci", "read"), "the scope is the token's as it is now"
    revoked = Credentials(tmp_path, time)
    assert revoked.session(other.encode()) is None


def test_a_session_lives_30_days_from_its_last_use() -> None:
    time = Time()
    sessions = Sessions(None, time)
    secret = sessions.open("me", "").encode()
    assert sessions.find(secret) is not None
    for _ in range(5):
        time.now += LIFETIME
        found = sessions.find(secret)
        assert found is not None
        assert found[1] is True
    time.now += RENEW / 2
    assert sessions.find(secret) == (*(sessions.find(secret) or (None,))[:1], False)
    time.now += LIFETIME + 1
    assert sessions.find(secret) is None


def test_signing_out_ends_one_session() -> None:
    credentials = Credentials(None, Time())
    owner = Caller("owner", "admin", "token")
    one, two = credentials.open_session(owner), credentials.open_session(owner)
    caller = credentials.session(one.encode())
    assert caller is not None
    credentials.close_session(caller)
    assert credentials.session(one.encode()) is None
    assert credentials.session(two.encode()) is not None


def test_the_oldest_session_makes_room() -> None:
    time = Time()
    sessions = Sessions(None, time)
    first = sessions.open("me", "").encode()
    for _ in range(MOST):
        time.now += 1
        sessions.open("me", "")
    assert sessions.find(first) is None
    assert len(sessions._known) == MOST


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": {"who": "x"}}', "null", "[" * 100_000])
def test_a_broken_file_of_sessions_signs_out_and_nothing_more(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sessions.json").write_text(content)
    credentials = Credentials(tmp_path, Time())
    assert "signs in again" in caplog.text
    secret = credentials.open_session(Caller("owner", "admin", "token"))
    assert Credentials(tmp_path, Time()).session(secret.encode()) is not None


def test_a_disk_that_refuses_costs_no_sign_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    credentials = Credentials(tmp_path, Time())
    (tmp_path / ".sessions.json.new").mkdir()
    secret = credentials.open_session(Caller("owner", "admin", "token"))
    assert credentials.session(secret.encode()) is not None
    assert "cannot be written" in caplog.text
    (tmp_path / ".sessions.json.new").rmdir()
    credentials.save()
    assert json.loads((tmp_path / "sessions.json").read_text())


def test_the_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(tmp_path / "s", Time())
    sessions.open("one", "")
    before = (tmp_path / "s").read_text()

    def crash(*_: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "replace", crash)
    sessions.open("two", "")
    assert (tmp_path / "s").read_text() == before


def test_the_cookie() -> None:
    credentials = Credentials(None, Time())
    cookie = credentials.cookie("v", root="/jobs", secure=True)
    assert cookie == f"qd_{credentials.instance}=v; Max-Age=2592000; Path=/jobs/; HttpOnly; SameSite=Lax; Secure"
    assert credentials.cookie("", root="", secure=False) == (
        f"qd_{credentials.instance}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
    )


# ---------------------------------------------------------------- login links, forms, the way back


def test_a_login_link_works_once_and_for_ten_minutes() -> None:
    time = Time()
    credentials = Credentials(None, time, root_path="/jobs")
    link = credentials.login_link("http://127.0.0.1:7440")
    assert link.startswith("http://127.0.0.1:7440/jobs/login?code=")
    code = link.partition("code=")[2]
    assert credentials.link_is_valid(code)
    assert credentials.link_is_valid(code), "looking at it does not use it up"
    assert credentials.redeem(code) == Caller("owner", "admin", "token")
    assert credentials.redeem(code) is None
    code, end = credentials.make_link()
    assert end == time.now + LINK_LIFETIME
    time.now = end
    assert not credentials.link_is_valid(code)
    assert credentials.redeem(code) is None


@pytest.mark.parametrize("code", ["", "x", "\0", "\ud800", "é", "x" * 100_000])
def test_codes_that_are_none(code: str) -> None:
    credentials = Credentials(None, Time())
    credentials.make_link()
    assert credentials.redeem(code) is None


def test_only_so_many_links_are_open() -> None:
    credentials = Credentials(None, Time())
    first, _ = credentials.make_link()
    for _ in range(MOST_LINKS):
        credentials.make_link()
    assert not credentials.link_is_valid(first)
    assert len(credentials._links) == MOST_LINKS


def test_the_field_of_a_form_belongs_to_one_session() -> None:
    credentials = Credentials(None, Time())
    owner = Caller("owner", "admin", "token")
    callers = [credentials.session(credentials.open_session(owner).encode()) for _ in range(2)]
    callers += [Caller("anybody", "operate", "no-auth"), Caller("root", "admin", "socket")]
    fields = [credentials.csrf(caller) for caller in callers if caller is not None]
    assert len(set(fields)) == 4
    for caller in callers:
        assert caller is not None
        assert [credentials.csrf_ok(caller, field) for field in fields].count(True) == 1
        for wrong in ("", "é", "\ud800", "x" * 64, fields[0].upper()):
            assert not credentials.csrf_ok(caller, wrong)


@pytest.mark.parametrize(
    ("asked", "root", "there"),
    [
        ("/workers/a?q=x%20y", "", "/workers/a?q=x%20y"),
        ("/jobs/workers/a", "/jobs", "/jobs/workers/a"),
        ("/jobs/", "/jobs", "/jobs/"),
        ("/other", "/jobs", "/jobs/"),
        ("/jobs/../other", "/jobs", "/jobs/"),
        ("/jobs/..", "/jobs", "/jobs/"),
        ("", "", "/"),
        ("workers/a", "", "/"),
        ("//evil.example/x", "", "/"),
        ("/\\evil.example", "", "/"),
        ("https://evil.example/", "", "/"),
        ("javascript:alert(1)", "", "/"),
        ("/a\r\nSet-Cookie: x=1", "", "/"),
        ("/a\tb", "", "/"),
        ("/é", "", "/"),
        ("/" + "a" * 3000, "", "/"),
    ],
)
def test_the_way_back_stays_here(asked: str, root: str, there: str) -> None:
    assert Credentials(None, Time()).target(asked, root) == there


@virtual
async def test_no_secret_is_ever_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with site(state=tmp_path) as s, s.client() as c:
        secret = s.services.credentials.owner_token
        cookie = s.signed_in().partition("=")[2]
        told = []
        for path in ("/api/v1/whoami", "/api/v1/workers", "/openapi.json", "/docs", "/nothing", "/"):
            for headers in (
                s.owner,
                {"Cookie": f"{s.services.credentials.cookie_name}={cookie}"},
                {"Authorization": f"Basic {secret}"},
            ):
                answer = await c.get(path, headers=headers)
                told.append(answer.text + str(answer.headers))
        everything = "".join(told) + caplog.text
        assert secret not in everything
        assert cookie not in everything
