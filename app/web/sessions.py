"""Browser sessions: made by a sign-in, kept in one small file, valid for 30 days from their last use.

Only hashes are stored. The file is replaced as a whole, so a crash leaves the old or the new one. Nothing here knows
HTTP. Known wart: the last use is written down once a day a session, so a crash may cost it up to a day.
"""

import contextlib
import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

LIFETIME = 30 * 86_400.0
RENEW = 86_400.0
"""Seconds after which a used session is written down again and its cookie sent again."""

MOST = 1000
"""Sessions kept; the one that was used longest ago makes room."""

log = logging.getLogger("quarterdeck.web")


@dataclass(frozen=True, slots=True)
class Session:
    """Who signed in, with which token (its hash; "" for the owner's and for a login link), and when. Epoch seconds."""

    who: str
    token: str
    made: float
    seen: float


def hashed(secret: bytes) -> str:
    return sha256(secret).hexdigest()


def write_private(path: Path, text: str) -> None:
    """Replaces a file as a whole; only its owner may read it."""
    part = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


class Sessions:
    """All sessions of an instance. `path` None keeps them in memory."""

    def __init__(self, path: Path | None, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._known: dict[str, Session] = {}
        self._dirty = False
        self._load()

    def open(self, who: str, token: str) -> str:
        """Gives the secret of a new session, which is stored nowhere."""
        secret = secrets.token_urlsafe(32)
        now = self._now()
        while len(self._known) >= MOST:
            del self._known[min(self._known, key=lambda id: self._known[id].seen)]
        self._known[hashed(secret.encode())] = Session(who, token, now, now)
        self._dirty = True
        self.save()
        return secret

    def find(self, secret: bytes) -> tuple[Session, bool] | None:
        """The session of a secret, and whether its cookie is due to be sent again."""
        id = hashed(secret)
        session = self._known.get(id)
        if session is None:
            return None
        now = self._now()
        if now - session.seen > LIFETIME:
            del self._known[id]
            self._dirty = True
            return None
        renew = now - session.seen > RENEW
        if renew:
            self._known[id] = replace(session, seen=now)
            self._dirty = True
            self.save()
        return session, renew

    def close(self, secret: bytes) -> None:
        if self._known.pop(hashed(secret), None) is not None:
            self._dirty = True
            self.save()

    def save(self) -> None:
        """Writes down what changed; a disk that refuses costs the memory of it, never a request."""
        if self._path is None or not self._dirty:
            return
        text = json.dumps({id: asdict(session) for id, session in self._known.items()}, indent=1)
        try:
            write_private(self._path, text)
            self._dirty = False
        except OSError as error:
            log.warning("the sessions of browsers cannot be written down: %s", error.strerror)

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            with open(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
                stored = json.load(file)
            self._known = {
                str(id): Session(str(s["who"]), str(s["token"]), float(s["made"]), float(s["seen"]))
                for id, s in list(stored.items())[-MOST:]
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            log.warning("the file of browser sessions cannot be read; everybody signs in again")
