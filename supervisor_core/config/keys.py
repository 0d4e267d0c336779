"""Every table and key of the config file, with its default and its meaning: the one place where they are written.

The loader, `quarterdeck check`, the nearest known key of a misspelling, and the printed docs all read this. No code
lives here beyond choosing a parser. `later` marks a key whose feature is not built yet: it is parsed and then refused,
so that nothing in a file is silently ignored; `off` is the one value of such a key that asks for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..model import Free, OnGiveUp
from . import addresses as a
from . import privileges as p
from . import probes as b
from . import values as v

MIB = 1024 * 1024
NOTHING: Any = object()
"""The `off` of a key that has none."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its value is read, what it is when nobody writes it, and one sentence for the docs.

    `default` is the parsed value. `expand`: `~`, `${VAR}` in its texts are replaced. `path`: relative to the file.
    `merge`: a table that adds to the one of `[defaults]` key by key, instead of taking its place.
    """

    name: str
    parse: v.Parser
    default: Any
    doc: str
    aliases: tuple[str, ...] = ()
    expand: bool = False
    path: bool = False
    merge: bool = False
    later: bool = False
    off: Any = NOTHING


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one table, by every spelling."""

    keys: tuple[Key, ...]

    def by_spelling(self) -> Mapping[str, Key]:
        return {spelling: key for key in self.keys for spelling in (key.name, *key.aliases)}


def table(*keys: Key) -> Table:
    return Table(keys)


TOP = ("include", "service", "logs", "defaults", "worker", "group", "pool", "token", "hook")
INCLUDE = ("conf.d/*.toml",)

SERVICE = table(
    Key("name", v.string, "", "The name on the page; the host name without it.", expand=True),
    Key("listen", a.addresses, ("127.0.0.1:7440",), "HOST:PORT or unix:PATH, or a list of them.", expand=True),
    Key("state", v.string, None, "The state folder.", expand=True, path=True),
    Key("public_url", a.url, None, "What the browser sees: base path, origin, cookie path, links.", expand=True),
    Key("allowed_hosts", a.hosts, (), "More names that a Host header may carry.", expand=True),
    Key("behind_proxy", a.proxies, (), "Addresses of proxies whose forwarding headers are believed.", expand=True),
    Key("plain_http", v.boolean, False, "Listen beyond loopback without TLS; for containers."),
    Key("tls_cert", v.string, None, "Certificate chain, PEM.", expand=True, path=True, later=True),
    Key("tls_key", v.string, None, "Private key, PEM.", expand=True, path=True, later=True),
    Key("socket_group", v.string, None, "A group whose members are admin through the socket.", expand=True),
    Key("shutdown_timeout", v.positive, 9.0, "Seconds until a shutdown kills what is left."),
    Key("color", v.color, None, "The stripe on the page, to tell hosts apart."),
)

LOGS = table(
    Key("max_worker", v.size, 1024 * MIB, "Bytes kept of one worker."),
    Key("max_total", v.size, 10 * 1024 * MIB, "Bytes kept of all workers."),
    Key("keep", v.positive, 14 * 86_400.0, "How long lines are kept."),
    Key("segment", v.size, 16 * MIB, "Size at which a segment file is closed and the next one begun."),
    Key("min_free", v.free_space, Free(share=0.05), "Free space below which the oldest lines go first."),
    Key("on_full", v.on_full, 60.0, "On a full disk: wait, wait DURATION (then bytes are dropped), drop."),
    Key("compress", v.boolean, True, "Compress closed segments, all but the newest of each stream."),
)

WORKER_LOGS = table(
    *(k for k in LOGS.keys if k.name != "max_total"),
    Key("redirect_stderr", v.boolean, False, "Take both outputs as one stream."),
)

LIMITS = table(
    Key("memory", p.limit(p.bounded), None, "Memory; without a control group, the data of each process."),
    Key("memory_warn", v.size, None, "Memory of its whole tree from which on a warning is told."),
    Key("cpu", p.limit(p.cores), None, "Cores; only with a control group."),
    Key("pids", p.limit(p.some), None, "Processes and threads; without a control group, all of its user."),
    Key("nofile", p.limit(p.some), None, "Open files."),
    Key("core", p.limit(p.bounded), None, "Size of a core dump."),
    Key("stack", p.limit(p.bounded), None, "Stack of the first thread."),
    Key("fsize", p.limit(p.bounded), None, "Size of a file that it writes."),
    Key("memlock", p.limit(p.bounded), None, "Memory that it may lock."),
    Key("data", p.limit(p.bounded), None, "Data of each process."),
    Key("as", p.limit(p.bounded), None, "Address space of each process."),
    Key("rss", p.limit(p.bounded), None, "Resident memory; Linux does not heed it."),
)

BACKOFF = table(
    Key("initial", v.duration, 1.0, "The first pause."),
    Key("max", v.duration, 60.0, "The longest pause."),
    Key("factor", v.number(1, 100), 2.0, "By how much each pause is longer."),
    Key("jitter", v.number(0, 1), 0.1, "Spread of a pause, as a fraction of it."),
)

REQUIREMENT = table(
    Key("condition", v.anything, "ready", "What it must have reached.", expand=False),
    Key("follow", v.one_of("ignore", "restart", "stop"), "ignore", "What happens here when its run is gone."),
    Key("log", v.anything, None, "Instead of a condition: a pattern that a line of its output matches.", expand=False),
)

GROUP = table(
    Key("workers", v.strings, (), "Names or patterns of its workers."),
    Key("labels", v.table_of(v.scalar), {}, "Labels that each of them gets.", expand=True),
)

POOL = table(Key("slots", v.integer(1, 10_000), 4, "How many of its workers run at once."))

TOKEN = table(
    Key("name", v.name, NOTHING, "Who it is, in the history."),
    Key("scope", v.one_of("read", "operate", "admin"), NOTHING, "What it may."),
    Key("workers", v.strings, (), "Patterns of the workers that it may see.", later=True, off=()),
    Key("sha256", v.sha256, NOTHING, "The SHA-256 of the token, in hex."),
    Key("expires", v.moment, None, "When it ends."),
)

HOOK = table(
    Key("on", b.occasions, b.OCCASIONS[:4], "Which events: failed, gave_up, backoff, ready, recovered."),
    Key("command", v.anything, None, "What to run; it reads the event as JSON."),
    Key("url", b.endpoint, None, "Where to post the event as JSON.", expand=True),
)

PROBE = table(
    Key("http", b.http, None, "An address that answers GET with 200 to 399.", ("http_get",), expand=True),
    Key("tcp", b.tcp, None, "HOST:PORT, a port or unix:PATH that accepts.", expand=True),
    Key("exec", v.anything, None, "A command that ends with 0."),
    Key("log", b.pattern, None, "A regular expression for a line of its output."),
    Key("notify", v.boolean, False, "It says so on NOTIFY_SOCKET."),
    Key("initial_delay", v.duration, 0.0, "Pause before the first look."),
    Key("period", v.positive, 10.0, "Time between looks; of `ready` 1 s until the first success."),
    Key("timeout", v.positive, 1.0, "How long a look may take."),
    Key("success_threshold", v.integer(1, 1000), 1, "Good looks in a row until it counts."),
    Key("failure_threshold", v.integer(1, 1000), 3, "Bad looks in a row until it counts."),
    Key("headers", b.headers, {}, "Headers of an http look.", expand=True),
    Key("status", b.statuses, None, "Good answers of an http look, instead of 200 to 399."),
)

_RESTART_WORDS = {True: "always", False: "never", "unexpected": "on_failure", "on-failure": "on_failure", "no": "never"}

WORKER = table(
    Key("command", v.anything, None, "A list; or a text, run by /bin/sh when it holds shell characters.", expand=True),
    Key("python", v.string, None, '"module:function", in a process of its own.'),
    Key("directory", v.string, ".", "Where it runs; the file's folder.", ("cwd", "working_dir"), True, True),
    Key("environment", v.anything, {}, "Variables; a value may be { file = PATH }.", ("env",), True, merge=True),
    Key("env_file", v.strings, (), "Files with NAME=VALUE lines.", expand=True, path=True),
    Key("inherit", v.anything, True, "true, false, or names: what comes from the environment of `up`."),
    Key("venv", v.string, None, "A virtual environment to activate.", expand=True, path=True),
    Key("user", p.account, None, "Whom it runs as: a name or number.", expand=True),
    Key("group", p.account, None, "The group that it runs as.", expand=True),
    Key("umask", p.umask, None, 'Its file mode mask, as a text: "022".'),
    Key("nice", v.integer(-20, 19), None, "Its scheduling priority: -20 is the first, 19 the last to run."),
    Key("tty", v.boolean, False, "Give it a terminal, whose output is one stream."),
    Key("requires", v.anything, (), "What must be there before it starts.", ("depends_on",)),
    Key("autostart", v.boolean, True, "Start it with the service."),
    Key("ready", v.anything, None, "How to see that it is ready."),
    Key("alive", v.anything, None, "How to see that it is well."),
    Key("start_seconds", v.duration, 1.0, "Without a ready probe: up that long means ready.", ("startsecs",)),
    Key("start_timeout", v.optional_duration, None, "Time to become ready; 0 = none."),
    Key(
        "restart",
        v.one_of("on_failure", "always", "never", also=_RESTART_WORDS),
        "on_failure",
        "After which ends it is started again.",
        ("autorestart",),
    ),
    Key("success_exit_codes", v.exit_codes, frozenset({0}), "Exit codes that are no failure.", ("exitcodes",)),
    Key("backoff", v.anything, {}, "Pauses between tries.", merge=True),
    Key("max_restarts", v.integer(0, 1_000_000), 5, "Tries within the window; 0 = without limit."),
    Key("window", v.positive, 600.0, "The time in which tries are counted."),
    Key("on_give_up", v.anything, (OnGiveUp.FAIL, 600.0), "fail: it alone; shutdown: all; { retry_every = DURATION }."),
    Key("stable_after", v.duration, 10.0, "Being ready for that long clears the count."),
    Key("essential", v.boolean, False, "Its end ends the service, with its exit code."),
    Key("stop_signal", v.stop_steps, (("TERM", None),), "How it is asked to end: a signal, or steps.", ("stopsignal",)),
    Key("stop_timeout", v.duration, 10.0, "How long it is given until KILL.", ("stopwaitsecs",)),
    Key("stop_command", v.anything, None, "A command that asks it to end."),
    Key("before_start", v.anything, None, "A command before each start."),
    Key("after_ready", v.anything, None, "A command when it is ready."),
    Key("after_stop", v.anything, None, "A command after each end."),
    Key("hook_timeout", v.positive, 30.0, "How long each of those commands may take."),
    Key("daemon", v.boolean, False, "The main process may leave; the tree is the worker."),
    Key("replicas", v.integer(1, 1000), 1, "How many; more than one are NAME-0, NAME-1, …", ("numprocs",)),
    Key("schedule", v.anything, None, "When it is started: cron or every."),
    Key("pool", v.name, None, "The pool whose slot it waits for."),
    Key("limits", v.anything, {}, "Memory, CPU, processes, open files.", merge=True),
    Key("logs", v.anything, {}, "The keys of [logs], for this worker.", merge=True),
    Key("labels", v.table_of(v.scalar), {}, "Words to find it by.", expand=True, merge=True),
    Key("links", v.table_of(v.string), {}, "Addresses to show on the page.", expand=True, merge=True),
    Key("description", v.string, "", "One sentence for the page.", expand=True),
)

TABLES: Mapping[str, Table] = {
    "service": SERVICE,
    "logs": LOGS,
    "defaults": WORKER,
    "worker.NAME": WORKER,
    "worker.NAME.backoff": BACKOFF,
    "worker.NAME.requires.NAME": REQUIREMENT,
    "worker.NAME.limits": LIMITS,
    "worker.NAME.logs": WORKER_LOGS,
    "worker.NAME.ready": PROBE,
    "worker.NAME.alive": PROBE,
    "group.NAME": GROUP,
    "pool.NAME": POOL,
    "token": TOKEN,
    "hook": HOOK,
}
"""For the docs: each table by the name it has in the file."""

CONDITIONS = ("ready", "started", "healthy", "completed", "completed_successfully")
