"""Who somebody is: tokens, browser sessions, one-time login links, and the field that protects page forms.

The owner's token lies in a file that only the owner may read; named tokens come from the config as hashes. Everything
is compared as hashes of bytes, so length and content of what a client sends do not matter. Of HTTP only the cookie.

For the sign-in pages: GET /login?code= shows a button (`link_is_valid`), its POST calls `redeem`; POST /sign-in calls
`token`. Both then `open_session` and answer with `cookie(...)` and a redirect to `target(next)`. POST /sign-out checks
`csrf_ok`, calls `close_session`, and answers with `cookie("", ...)`.

Known wart: login links live in memory, so those that were not used are gone after a restart.
"""

import hmac
import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from .sessions import LIFETIME, Sessions, hashed, write_private

LINK_LIFETIME = 600.0
MOST_LINKS = 100
LONGEST = 512
"""Bytes of a credential; a longer one is none."""

TOKEN_FILE = "token"  # noqa: S105 - the name of the file
SESSIONS_FILE = "sessions.json"
INSTANCE_FILE = "instance-id"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, what they may, and how we know: token, session, socket, no-auth, nobody.

    `secret` is the session's, for `csrf`; `renew` says that its cookie is due to be sent again.
    """

    who: str
    scope: str
    how: str
    secret: str = field(default="", repr=False)
    renew: bool = False
    token_hash: str = field(default="", repr=False)


NOBODY = Caller("nobody", "none", "nobody")


@dataclass(frozen=True, slots=True)
class NamedToken:
    """One `[[token]]` of the config. `sha256` in hex; `expires` in seconds since the epoch."""

    name: str
    scope: str
    sha256: str
    expires: float | None = None

    @classmethod
    def of(cls, name: str, scope: str, sha256: str, expires: datetime | None = None) -> "NamedToken":
        return cls(name, scope, sha256.lower(), None if expires is None else expires.timestamp())


class CannotKeep(OSError):
    """A secret of this instance cannot be read or written; the message says which file and what to do."""


class Credentials:
    """All that can prove who somebody is, of one instance.

    `state` is the folder of the secrets; None keeps them in memory. `root_path` as in `Settings`. Raises `CannotKeep`.
    """

    def __init__(
        self,
        state: Path | None,
        now: Callable[[], float],
        *,
        named: Sequence[NamedToken] = (),
        root_path: str = "",
    ) -> None:
        self._now = now
        self.name(named)
        self._root_path = root_path
        self._links: dict[str, float] = {}
        self._address = ""
        self.owner_token, self.instance = keep_secrets(state)
        self._owner = hashed(self.owner_token.encode())
        self._sessions = Sessions(None if state is None else state / SESSIONS_FILE, now)

    # ------------------------------------------------------------ tokens

    def name(self, named: Sequence[NamedToken]) -> None:
        """From now on these are the named tokens."""
        self._named = {token.sha256: token for token in named}

    def token(self, presented: bytes) -> Caller | None:
        """Who has this token; None when nobody, or no longer."""
        if not 0 < len(presented) <= LONGEST:
            return None
        id = hashed(presented)
        if hmac.compare_digest(id.encode(), self._owner.encode()):
            return Caller("owner", "admin", "token")
        named = self._valid(id)
        return None if named is None else Caller(named.name, named.scope, "token", token_hash=id)

    def _valid(self, id: str) -> NamedToken | None:
        named = self._named.get(id)
        if named is None or (named.expires is not None and named.expires <= self._now()):
            return None
        return named

    # ------------------------------------------------------------ browser sessions

    @property
    def cookie_name(self) -> str:
        """Carries the instance, so that two of them behind one host name keep their sessions apart."""
        return f"qd_{self.instance}"

    def open_session(self, caller: Caller) -> str:
        """Gives the cookie's value for a new session of `caller`."""
        return self._sessions.open(caller.who, caller.token_hash)

    def session(self, presented: bytes) -> Caller | None:
        """Who has this session; a session ends with the token that it was opened with."""
        if not 0 < len(presented) <= LONGEST:
            return None
        found = self._sessions.find(presented)
        if found is None:
            return None
        session, renew = found
        secret = presented.decode("latin-1")
        if not session.token:
            return Caller(session.who, "admin", "session", secret, renew)
        named = self._valid(session.token)
        return None if named is None else Caller(named.name, named.scope, "session", secret, renew, session.token)

    def close_session(self, caller: Caller) -> None:
        if caller.how == "session":
            self._sessions.close(caller.secret.encode("latin-1"))

    def save(self) -> None:
        self._sessions.save()

    def cookie(self, value: str, *, root: str, secure: bool) -> str:
        """The Set-Cookie header for a session, or with "" for its end. `root` is the request's root path."""
        age = int(LIFETIME) if value else 0
        text = f"{self.cookie_name}={value}; Max-Age={age}; Path={root}/; HttpOnly; SameSite=Lax"
        return text + ("; Secure" if secure else "")

    # ------------------------------------------------------------ login links

    def make_link(self) -> tuple[str, float]:
        """A code that signs the owner in once, and when it ends (seconds since the epoch)."""
        now = self._now()
        self._links = {id: end for id, end in self._links.items() if end > now}
        while len(self._links) >= MOST_LINKS:
            del self._links[next(iter(self._links))]
        code = secrets.token_urlsafe(24)
        self._links[hashed(code.encode())] = now + LINK_LIFETIME
        return code, now + LINK_LIFETIME

    def login_link(self, address: str = "") -> str:
        """A fresh one-time link below `address` (http://HOST:PORT), by default the one that was given last."""
        self._address = address or self._address
        return f"{self._address}{self._root_path}/login?code={self.make_link()[0]}"

    @property
    def address(self) -> str:
        """Where the service is reached, as `login_link` was told; "" before."""
        return self._address

    def link_is_valid(self, code: str) -> bool:
        return self._links.get(hashed(code.encode("utf-8", "replace")), 0.0) > self._now()

    def redeem(self, code: str) -> Caller | None:
        """Uses a link up and gives the owner; None when it was used, has ended, or never was."""
        valid = self.link_is_valid(code)
        self._links.pop(hashed(code.encode("utf-8", "replace")), None)
        return Caller("owner", "admin", "token") if valid else None

    # ------------------------------------------------------------ forms and the way back

    def csrf(self, caller: Caller) -> str:
        """The hidden field of page forms: follows from the session, so nothing has to be stored."""
        key = caller.secret or self.owner_token
        return hmac.new(
            key.encode("latin-1", "replace"), b"quarterdeck form " + caller.how.encode(), "sha256"
        ).hexdigest()

    def csrf_ok(self, caller: Caller, presented: str) -> bool:
        return hmac.compare_digest(presented.encode("utf-8", "replace"), self.csrf(caller).encode())

    def target(self, asked: str, root: str = "") -> str:
        """Where to go after the sign-in: the asked path, if it is one of ours, else the first page."""
        home = f"{root}/"
        if not asked.startswith(home) or len(asked) > 2000 or not re.fullmatch(r"[\x21-\x7e]+", asked):
            return home
        parts = urlsplit(asked)
        foreign = parts.scheme or parts.netloc or asked.startswith("//") or "\\" in asked
        return home if foreign or "/../" in f"{parts.path}/" else asked


def keep_secrets(state: Path | None) -> tuple[str, str]:
    """The owner's token and the name of the instance, made where they are not there yet. Raises `CannotKeep`."""
    token = _kept(state, TOKEN_FILE, lambda: secrets.token_urlsafe(32), 20)
    return token, _kept(state, INSTANCE_FILE, lambda: secrets.token_hex(6), 4)


def _kept(state: Path | None, name: str, make: Callable[[], str], shortest: int) -> str:
    """A secret from its file, made and written when there is none yet."""
    if state is None:
        return make()
    path = state / name
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            text = file.read(LONGEST).strip()
    except FileNotFoundError:
        text = make()
        try:
            write_private(path, text + "\n")
        except OSError as error:
            remedy = "mend that, or choose another state folder with --state"
            raise CannotKeep(f"{path} cannot be written ({error.strerror}); {remedy}") from error
    except (OSError, ValueError) as error:
        raise CannotKeep(f"{name}: cannot be read in the state folder; remove it to get a new one") from error
    if len(text) < shortest or not re.fullmatch(r"[A-Za-z0-9._~-]+", text):
        raise CannotKeep(f"{name}: what is in this file of the state folder is no token; remove it to get a new one")
    return text
