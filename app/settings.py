"""Which instance is meant, where its state is, and who runs it: files and variables, no HTTP and no supervisor.

An instance is a config file. Its state folder (0700) holds lock, socket, token and logs; the lock alone decides who is
first. A note in the user's own folder (`RUNNING`) lets clients find what runs, also from elsewhere.

Known wart: a note outlives a killed service; so a reader tries the socket before it believes one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import select
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from supervisor_core.clock import Clock
from supervisor_core.config import ConfigError, ServiceSettings, load
from supervisor_core.keeper.orders import write_holder

FILE = "quarterdeck.toml"
ETC = Path("/etc/quarterdeck") / FILE
SYSTEM_STATE = Path("/var/lib/quarterdeck")
RUNNING = "running"
"""The folder beside the state folders with one note for each service of this user."""

TRIES, PAUSE = 40, 0.025
"""Looks at a lock that does not say who holds it, and seconds between them."""


class NoConfig(Exception):
    """No config file is where one is looked for; the message says where."""


class InstanceTaken(Exception):
    """Another process runs this instance; the message names it."""


class BadState(OSError):
    """The state folder cannot be used; the message says why and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `up` was told. `names` empty: all workers; `listen` empty: as the config says.

    `echo`: workers' output on the terminal even when there is none. `detach`: leave the terminal first. `in_process`:
    without a keeper.
    """

    config_path: Path
    state: Path | None = None
    names: tuple[str, ...] = ()
    detach: bool = False
    echo: bool = False
    in_process: bool = False
    exit_when_done: bool = False
    no_auth: bool = False
    listen: tuple[str, ...] = ()
    plain_http: bool = False


def find_config(told: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Gives the config file that is meant, absolute; raises `NoConfig`."""
    if told or environ.get("QUARTERDECK_CONFIG"):
        path = Path(told or environ["QUARTERDECK_CONFIG"]).expanduser().absolute()
        path = path / FILE if path.is_dir() else path
        if not path.exists():
            raise NoConfig(f"{path} is not there; check the path after {'-c' if told else 'QUARTERDECK_CONFIG='}")
        return path
    if (found := nearest_config()) or (found := standing_config(environ)):
        return found
    raise NoConfig(
        f"no {FILE} here, in a folder above, in {home_of(environ, 'CONFIG').parent} or in /etc; name one: -c FILE"
    )


def nearest_config(start: Path | None = None) -> Path | None:
    """The `quarterdeck.toml` of this folder or of the nearest one above it that has one."""
    here = (start or Path.cwd()).absolute()
    return next((folder / FILE for folder in (here, *here.parents) if (folder / FILE).is_file()), None)


def standing_config(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The config of the user, else of the machine."""
    places = (home_of(environ, "CONFIG") / FILE, ETC)
    return next((place for place in places if place.is_file()), None)


def home_of(environ: Mapping[str, str], kind: str) -> Path:
    """Our folder for CONFIG or STATE; a relative XDG path is ignored, as the standard asks."""
    told = environ.get(f"XDG_{kind}_HOME", "")
    default = {"CONFIG": "~/.config", "STATE": "~/.local/state"}[kind]
    return (Path(told) if told.startswith("/") else Path(default).expanduser()) / "quarterdeck"


def state_of(config: Path, told: Path | str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The state folder of an instance; `told` is what the command line or the config file says."""
    if told:
        return Path(told).expanduser().absolute()
    if config.is_relative_to("/etc") and (os.geteuid() == 0 or SYSTEM_STATE.exists()):
        return SYSTEM_STATE
    return home_of(environ, "STATE") / _own_name(config)


def _own_name(config: Path) -> str:
    folder = re.sub(r"[^A-Za-z0-9._-]", "_", config.absolute().parent.name)[:24] or "root"
    return f"{folder}-{hashlib.sha256(os.fsencode(config.resolve())).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance: its config file and its state folder, with the places in it."""

    config: Path
    state: Path

    @classmethod
    def find(cls, options: UpOptions, service: ServiceSettings) -> "Instance":
        """The instance that `up` is to run: `--state` and QUARTERDECK_STATE win over the config file."""
        told = options.state or os.environ.get("QUARTERDECK_STATE") or service.state
        return cls(options.config_path.absolute(), state_of(options.config_path.absolute(), told))

    @classmethod
    def of_config(cls, config: Path, state: str | None = None) -> "Instance":
        """The instance of a config file that need not be a good one (its own `state` counts where it can be read)."""
        told = state or os.environ.get("QUARTERDECK_STATE")
        if not told:
            with contextlib.suppress(ConfigError):
                told = load(config).service.state
        return cls(config, state_of(config, told))

    @property
    def mark(self) -> str:
        """Stands in the environment of every process of this instance, the same over all its lives."""
        return hashlib.sha256(os.fsencode(self.state.resolve())).hexdigest()[:16]

    @property
    def lock_file(self) -> Path:
        return self.state / "lock"

    @property
    def socket(self) -> Path:
        return self.state / "socket"

    @property
    def token_file(self) -> Path:
        return self.state / "token"

    @property
    def notes(self) -> Path:
        return self.state / "notes"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def service_log(self) -> Path:
        """Where a detached service writes what a terminal would have shown."""
        return self.state / "service.log"

    @property
    def running_file(self) -> Path:
        return self.state / "running.json"

    @property
    def note(self) -> Path:
        """The one in the user's own folder, see the module."""
        return home_of(os.environ, "STATE") / RUNNING / f"{_own_name(self.config)}.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the instance for as long as the block runs; raises `InstanceTaken` or `BadState`, nothing touched."""
        descriptor = self.take_lock()
        try:
            yield
        finally:
            self.tidy()
            os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def take_lock(self) -> int:
        """Holds the instance as long as the descriptor is open, here or where it goes; raises as `lock` does."""
        self.make_state()
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for left in reversed(range(TRIES)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                told = os.pread(descriptor, 4096, 0)
                if left and not _names_somebody(told):  # whoever came first is about to say who that is
                    select.select([], [], [], PAUSE)
                    continue
            os.close(descriptor)
            raise InstanceTaken(self._holder(told))
        write_holder(descriptor, {"pid": os.getpid(), "since": now_in_words(), "config": str(self.config)})
        return descriptor

    def tidy(self) -> None:
        """Removes what tells others where this instance is reached."""
        for place in (self.running_file, self.note, self.socket):
            with contextlib.suppress(OSError):
                place.unlink()

    def _holder(self, told: bytes) -> str:
        who, config = "by another process", self.config
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(told)
            who, config = f"as pid {record['pid']} since {record['since']}", Path(record["config"])
        if config != self.config:
            return f"the state folder {self.state} is in use by {config} ({who}); choose another one with --state"
        return (
            f"{config} is running already, {who} (state {self.state}); "
            "see it with: quarterdeck status, end it with: quarterdeck shutdown"
        )

    def held(self) -> bool:
        """Whether a process runs this instance, by its lock."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def make_state(self) -> None:
        """Makes the state folder, for its owner alone; raises `BadState` when it is not ours or holds other things."""
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            about = self.state.stat()
            if about.st_uid != os.geteuid():
                raise BadState(f"the state folder {self.state} belongs to another user; choose one with --state")
            if stat.S_IMODE(about.st_mode) & 0o077:
                if any(self.state.iterdir()) and not self.lock_file.exists():
                    raise BadState(f"{self.state} holds other files and is open to others; choose one with --state")
                self.state.chmod(0o700)
            if not os.access(self.state, os.W_OK | os.X_OK):
                raise BadState(
                    f"the state folder {self.state} cannot be written; mend that, or choose one with --state"
                )
        except FileExistsError as error:
            raise BadState(f"{self.state} is no folder; choose another one with --state") from error
        except OSError as error:
            why = "" if isinstance(error, BadState) else f"the state folder {self.state} may not be made here"
            raise BadState(f"{why} ({error.strerror}); choose one with --state" if why else str(error)) from error


def _names_somebody(told: bytes) -> bool:
    """Whether a lock file names a process that is there."""
    with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, ProcessLookupError):
        with contextlib.suppress(PermissionError):
            os.kill(int(json.loads(told)["pid"]), 0)
        return True
    return False


def now_in_words() -> str:
    """The time now as notes have it, in UTC."""
    return datetime.fromtimestamp(Clock().now(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def answers(place: Path) -> bool:
    """Whether somebody accepts on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(place))
        except OSError:
            return False
    return True
