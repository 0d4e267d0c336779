"""What a good config file means: every key that works now, defaults, expansion, replicas, groups, includes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from supervisor_core.config import (
    Config,
    ConfigError,
    LogSettings,
    ServiceHook,
    ServiceSettings,
    Token,
    load,
    read_one,
)
from supervisor_core.model import (
    Condition,
    Follow,
    Free,
    Hooks,
    LogPolicy,
    OnGiveUp,
    Pool,
    Probe,
    Program,
    Requirement,
    RestartPolicy,
    RestartWhen,
)
from supervisor_core.pools import at_slot

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "quarterdeck.toml"


def read(tmp_path, text, **options) -> Config:
    file = tmp_path / "quarterdeck.toml"
    file.write_text(text)
    return load(file, **options)


def workers(tmp_path, text, **options):
    return {spec.name: spec for spec in read(tmp_path, text, **options).workers}


def test_an_empty_file_is_a_service_without_workers(tmp_path):
    assert read(tmp_path, "") == Config(files=(tmp_path / "quarterdeck.toml",))


def test_the_defaults_of_a_worker(tmp_path):
    spec = workers(tmp_path, '\n[worker.a]\ncommand = "sleep 1"\n')["a"]
    assert spec.program == Program(("sleep", "1"), directory=str(tmp_path))
    assert spec.restart == RestartPolicy(
        RestartWhen.ON_FAILURE, frozenset({0}), 1.0, 60.0, 2.0, 0.1, 5, 600.0, 10.0, OnGiveUp.FAIL
    )
    assert spec.stop.steps == (("TERM", 10.0),)
    assert (spec.autostart, spec.essential, spec.one_shot, spec.start_timeout) == (True, False, False, None)
    assert (spec.origin, spec.source) == ("config", f"{tmp_path}/quarterdeck.toml:2")


def test_all_keys_that_work_now(tmp_path):
    (tmp_path / "v" / "bin").mkdir(parents=True)
    (tmp_path / "a.env").write_text("B=from file\n")
    spec = workers(tmp_path, """
        [worker.a]
        command = ["prog", "x y", 3]
        directory = "sub"
        environment = { A = "1", N = 2, T = true }
        env_file = "a.env"
        inherit = ["PATH"]
        venv = "v"
        requires = { b = "started" }
        autostart = false
        start_seconds = "500ms"
        start_timeout = 30
        restart = "always"
        success_exit_codes = [0, 3]
        backoff = { initial = "2s", max = 30, factor = 3, jitter = 0 }
        max_restarts = 0
        window = "1m"
        stable_after = "20s"
        on_give_up = "shutdown"
        essential = true
        daemon = true
        stop_signal = [["INT", "5s"], ["TERM", "10s"]]
        logs = { redirect_stderr = true }
        labels = { tier = "web", n = 1 }
        links = { open = "http://x/" }
        description = "words"
        [worker.b]
        command = "x"
    """)["a"]  # fmt: skip
    assert spec.program == Program(
        ("prog", "x y", "3"), False, f"{tmp_path}/sub", {"B": "from file", "A": "1", "N": "2", "T": "true"},
        ("PATH",), f"{tmp_path}/v", 0.5, True,
    )  # fmt: skip
    assert spec.requires == (Requirement("b", Condition.STARTED, Follow.IGNORE),)
    assert spec.restart == RestartPolicy(
        RestartWhen.ALWAYS, frozenset({0, 3}), 2.0, 30.0, 3.0, 0.0, 0, 60.0, 20.0, OnGiveUp.SHUTDOWN
    )
    assert spec.stop.steps == (("INT", 5.0), ("TERM", 10.0))
    assert (spec.start_timeout, spec.autostart, spec.essential, spec.daemon) == (30.0, False, True, True)
    assert (spec.labels, spec.links, spec.description) == ({"tier": "web", "n": "1"}, {"open": "http://x/"}, "words")


def test_aliases_mean_the_same(tmp_path):
    one = """command = "x"\ndirectory = "d"\nenvironment = { A = "1" }\nrequires = ["b"]\nstart_seconds = 3
        restart = "always"\nsuccess_exit_codes = [0, 2]\nstop_signal = "INT"\nstop_timeout = 7\nreplicas = 2\n"""
    other = """command = "x"\ncwd = "d"\nenv = { A = "1" }\ndepends_on = ["b"]\nstartsecs = 3
        autorestart = true\nexitcodes = [0, 2]\nstopsignal = "SIGINT"\nstopwaitsecs = 7\nnumprocs = 2\n"""
    tail = '[worker.b]\ncommand = "x"\n'
    assert read(tmp_path, f"[worker.a]\n{one}{tail}") == read(tmp_path, f"[worker.a]\n{other}{tail}")
    assert workers(tmp_path, '[worker.a]\ncommand = "x"\nworking_dir = "d"\n')["a"].program.directory == f"{tmp_path}/d"


@pytest.mark.parametrize(
    ("told", "meant"),
    [('"unexpected"', "on_failure"), ("false", "never"), ('"no"', "never"), ('"on-failure"', "on_failure")],
)
def test_restart_in_the_words_of_others(told, meant, tmp_path):
    assert workers(tmp_path, f'[worker.a]\ncommand = "x"\nautorestart = {told}\n')["a"].restart.restart == meant


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ('"python train.py --seed 3"', ("python", "train.py", "--seed", "3")),
        ("\"echo 'a b'\"", ("echo", "a b")),
        ('["a|b", "$X"]', ("a|b", "$X")),
        ('["~/x", "${Y}", "a~"]', ("/home/u/x", "why", "a~")),
        ('"{name} {index} {{name}} {other}"', ("/bin/sh", "-c", "a 0 {name} {other}")),
        ('"a | b"', ("/bin/sh", "-c", "a | b")),
        ('"echo ${Y}"', ("/bin/sh", "-c", "echo ${Y}")),
        ('"X=1 a"', ("/bin/sh", "-c", "X=1 a")),
        ('"exec a"', ("/bin/sh", "-c", "exec a")),
        ('"a ~/b"', ("/bin/sh", "-c", "a ~/b")),
    ],
)
def test_commands(command, argv, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    program = workers(tmp_path, f"[worker.a]\ncommand = {command}\n", environ={"Y": "why"})["a"].program
    assert (program.argv, program.shell) == (argv, argv[0] == "/bin/sh")


def test_defaults_give_way_key_by_key(tmp_path):
    text = """
        [defaults]
        environment = { A = "default", B = "default" }
        labels = { team = "x" }
        backoff = { initial = "5s", max = "50s" }
        stop_timeout = "2m"
        env_file = "a.env"
        [worker.a]
        command = "x"
        environment = { B = "own" }
        backoff = { max = "9s" }
        env_file = []
        [worker.b]
        command = "x"
        labels = { team = "y" }
    """
    (tmp_path / "a.env").write_text("C=file\nA=hidden\n")
    found = workers(tmp_path, text)
    a, b = found["a"], found["b"]
    assert a.program.environment == {"A": "default", "B": "own"}
    assert b.program.environment == {"C": "file", "A": "default", "B": "default"}
    assert (a.restart.backoff_initial, a.restart.backoff_max) == (5.0, 9.0)
    assert (a.labels, b.labels) == ({"team": "x"}, {"team": "y"})
    assert a.stop.timeout == b.stop.timeout == 120


def test_what_all_require_does_not_require_itself(tmp_path):
    text = '[defaults]\nrequires = ["db"]\n[worker.db]\ncommand = "x"\n[worker.a]\ncommand = "x"\n'
    found = workers(tmp_path, text)
    assert (found["db"].requires, [r.name for r in found["a"].requires]) == ((), ["db"])


def test_a_stop_timeout_of_its_own_is_the_last_step_of_default_steps(tmp_path):
    text = '[defaults]\nstop_signal = [["INT", 1], ["TERM", 2]]\n[worker.a]\ncommand = "x"\nstop_timeout = 9\n'
    assert workers(tmp_path, text)["a"].stop.steps == (("INT", 1.0), ("TERM", 9.0))


def test_replicas_are_workers_of_their_own(tmp_path):
    text = """
        [worker.train]
        command = ["python", "train.py", "{index}", "{name}"]
        replicas = 12
        directory = "run-{index}"
        requires = ["db-{index}"]
        [worker.db]
        command = "x"
        replicas = 12
        [worker.after]
        command = "x"
        requires = { train = "completed" }
    """
    found = workers(tmp_path, text)
    assert list(found)[:2] == ["train-0", "train-1"]
    assert len(found) == 25
    assert found["train-11"].program.argv == ("python", "train.py", "11", "train-11")
    assert found["train-11"].program.directory == f"{tmp_path}/run-11"
    assert [r.name for r in found["train-11"].requires] == ["db-11"]
    assert [r.name for r in found["after"].requires] == [f"train-{n}" for n in range(12)]


def test_groups_label_their_workers_and_can_be_required(tmp_path):
    text = """
        [group.back]
        workers = ["db", "q*"]
        labels = { tier = "back", owner = "ops" }
        [worker.db]
        command = "x"
        labels = { owner = "me" }
        [worker.queue]
        command = "x"
        replicas = 2
        [worker.web]
        command = "x"
        requires = { back = "started", db = "ready" }
    """
    config = read(tmp_path, text)
    found = {spec.name: spec for spec in config.workers}
    assert config.groups["back"].workers == ("db", "queue-0", "queue-1")
    assert found["db"].labels == {"tier": "back", "owner": "me"}
    assert found["db"].groups == found["queue-1"].groups == ("back",)
    assert [(r.name, r.condition.value) for r in found["web"].requires] == [
        ("db", "ready"), ("queue-0", "started"), ("queue-1", "started"),
    ]  # fmt: skip


def test_the_three_forms_of_requires(tmp_path):
    text = "".join(f'[worker.{name}]\ncommand = "x"\nrestart = "never"\n' for name in "abc")
    text += '[worker.l]\ncommand = "x"\nrequires = ["a", "b"]\n'
    text += '[worker.t]\ncommand = "x"\nrequires = { a = "started", b = "completed_successfully" }\n'
    text += '[worker.f]\ncommand = "x"\nrequires = { a = { condition = "completed", follow = "restart" }, b = {} }\n'
    found = workers(tmp_path, text)
    assert found["l"].requires == (Requirement("a"), Requirement("b"))
    assert found["t"].requires == (
        Requirement("a", Condition.STARTED), Requirement("b", Condition.COMPLETED_SUCCESSFULLY),
    )  # fmt: skip
    assert found["f"].requires == (Requirement("a", Condition.COMPLETED, Follow.RESTART), Requirement("b"))
    assert [name for name, spec in found.items() if spec.one_shot] == ["a", "b"]


def test_a_secret_comes_from_its_file(tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    text = '[worker.a]\ncommand = "x"\nenvironment = { KEY = { file = "secret" } }\n'
    program = workers(tmp_path, text)["a"].program
    assert (program.environment, program.secrets) == ({}, {"KEY": str(tmp_path / "secret")})


def test_as_whom_it_runs_and_what_it_may_use(tmp_path):
    text = """
        [defaults]
        limits = { nofile = 4096, core = "unlimited" }
        [worker.a]
        command = "x"
        user = 1000
        group = "www-data"
        umask = "027"
        nice = 5
        tty = true
        limits = { memory = "2GiB", memory_warn = "1500MiB", cpu = 1.5, pids = 100, core = 0 }
    """
    spec = workers(tmp_path, text)["a"]
    program = spec.program
    assert spec.memory_warn == 1500 * 1024**2
    assert (program.user, program.group, program.umask, program.nice) == ("1000", "www-data", 0o027, 5)
    assert program.tty
    assert program.limits == {"nofile": 4096, "core": 0, "memory": 2 * 1024**3, "cpu": 1.5, "pids": 100}


def test_variables_of_texts(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    (tmp_path / "a.env").write_text("FROM=file\n")
    text = """
        [worker.a]
        command = "x"
        directory = "~/${WHERE}"
        env_file = "a.env"
        environment = { A = "${FROM}-${WHERE}", B = "${NO:-none}", C = "$${NO} {{name}}", D = '{"json": 1}' }
        description = "in ${WHERE}"
    """
    spec = workers(tmp_path, text, environ={"WHERE": "here"})["a"]
    assert spec.program.directory == "/home/u/here"
    assert spec.description == "in here"
    assert spec.program.environment == {
        "FROM": "file", "A": "file-here", "B": "none", "C": "${NO} {name}", "D": '{"json": 1}',
    }  # fmt: skip


DOTENV = r"""
# a comment
PLAIN=a b   # not this
export EXPORTED = yes
SINGLE='$x ${PLAIN} # stays'
DOUBLE="a\nb \"c\" ${PLAIN}"
EMPTY=
HASH=a#b
URL=http://x/?a=b#c
DOLLAR=pa$$word
"""


def test_dotenv_files(tmp_path):
    (tmp_path / "a.env").write_text(DOTENV)
    assert workers(tmp_path, '[worker.a]\ncommand = "x"\nenv_file = "a.env"\n')["a"].program.environment == {
        "PLAIN": "a b",
        "EXPORTED": "yes",
        "SINGLE": "$x ${PLAIN} # stays",
        "DOUBLE": 'a\nb "c" a b',
        "EMPTY": "",
        "HASH": "a#b",
        "URL": "http://x/?a=b#c",
        "DOLLAR": "pa$$word",
    }


def test_a_bad_dotenv_line_is_named_without_its_value(tmp_path):
    (tmp_path / "a.env").write_text("A=1\nSECRET s3cret\n")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[worker.a]\ncommand = "x"\nenv_file = "a.env"\n')
    assert "a.env: line 2 is no NAME=VALUE; correct it or put # before it" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_service_tables(tmp_path):
    text = """
        [service]
        name = "a100"
        listen = ["0.0.0.0:80", "unix:run/q.sock"]
        state = "~/state"
        public_url = "https://jobs.example.org/q/"
        allowed_hosts = ["*.example.org", "[::1]"]
        behind_proxy = ["127.0.0.1", "10.0.0.0/8"]
        plain_http = true
        socket_group = "ops"
        shutdown_timeout = "1m30s"
        color = "#2165DF"
        [logs]
        max_worker = "64MiB"
        max_total = "1GB"
        segment = 1024
        keep = "3d"
        min_free = "10%"
        compress = false
        [[token]]
        name = "ci"
        scope = "operate"
        sha256 = "AA00000000000000000000000000000000000000000000000000000000000000"
        expires = 2027-01-31
    """
    config = read(tmp_path, text)
    assert config.service == ServiceSettings(
        "a100", ("0.0.0.0:80", f"unix:{tmp_path}/run/q.sock"), str(Path("~/state").expanduser()),
        "https://jobs.example.org/q", ("*.example.org", "[::1]"), ("127.0.0.1", "10.0.0.0/8"), True, "ops", 90.0,
        "#2165df",
    )  # fmt: skip
    assert config.logs == LogSettings(
        LogPolicy(64 * 1024 * 1024, 3 * 86_400.0, 1024, Free(share=0.1), compress=False), 10**9
    )
    assert config.tokens == (Token("ci", "operate", "aa" + "0" * 62, datetime(2027, 1, 31, tzinfo=UTC)),)


def test_a_worker_keeps_what_its_own_table_says_over_the_defaults_and_the_service(tmp_path):
    text = """
        [logs]
        max_worker = "10MiB"
        segment = "1MiB"
        [defaults]
        logs = { keep = "2d", compress = false }
        [worker.a]
        command = ["x"]
        logs = { keep = "1h", min_free = "2GiB", redirect_stderr = true }
        [worker.b]
        command = ["x"]
    """
    a, b = read(tmp_path, text).workers
    assert a.logs == LogPolicy(10 * 2**20, 3600.0, 2**20, Free(size=2 * 2**30), compress=False)
    assert b.logs == LogPolicy(10 * 2**20, 2 * 86_400.0, 2**20, compress=False)


def test_includes_are_read_in_order_each_once_with_their_own_folder(tmp_path):
    parts = tmp_path / "conf.d"
    parts.mkdir()
    (parts / "b.toml").write_text('[worker.b]\ncommand = "x"\ndirectory = "d"\n')
    (parts / "a.toml").write_text('[worker.a]\ncommand = "x"\n[defaults]\nstop_timeout = 3\n')
    (parts / "c.toml").symlink_to(parts / "a.toml")
    config = read(tmp_path, '[worker.m]\ncommand = "x"\n')
    assert config.files == (tmp_path / "quarterdeck.toml", parts / "a.toml", parts / "b.toml")
    assert [(spec.name, spec.program.directory) for spec in config.workers] == [
        ("m", str(tmp_path)), ("a", str(parts)), ("b", f"{parts}/d"),
    ]  # fmt: skip
    assert {spec.stop.timeout for spec in config.workers} == {3.0}
    assert read(tmp_path, 'include = []\n[worker.m]\ncommand = "x"\n').files == (tmp_path / "quarterdeck.toml",)


def test_a_fragment_may_name_what_it_does_not_have(tmp_path):
    text = '[worker.a]\ncommand = "x"\nrequires = ["db", "b"]\n[worker.b]\ncommand = "x"\n[group.g]\nworkers = ["z"]\n'
    config = read(tmp_path, text, fragment=True)
    assert [r.name for r in config.workers[0].requires] == ["b"]


RESEARCHER = """\
[service]
name = "a100-rented"

[pool.gpu]
slots = 4

[defaults]
directory = "~/exp"
venv = ".venv"
env_file = ".env"
stop_signal = "INT"
stop_timeout = "2m"

[worker.train]
command = ["python", "train.py", "--seed", "{index}"]
replicas = 12
pool = "gpu"
environment = { CUDA_VISIBLE_DEVICES = "{slot}" }
max_restarts = 3
labels = { sweep = "lr" }

[worker.tensorboard]
command = "tensorboard --logdir runs"
restart = "always"
ready = { tcp = "127.0.0.1:6006" }
"""


def test_a_researchers_file_is_a_good_one(tmp_path):
    (tmp_path / ".env").write_text("DATA=/data\n")
    found = workers(tmp_path, RESEARCHER)
    assert list(found) == [*(f"train-{number}" for number in range(12)), "tensorboard"]
    assert {spec.pool for name, spec in found.items() if name != "tensorboard"} == {Pool("gpu", 4)}
    assert at_slot(found["train-3"], 2).program.environment["CUDA_VISIBLE_DEVICES"] == "2"


def test_the_workers_of_a_pool_know_it_and_what_is_a_slot_is_left_to_each_launch(tmp_path):
    text = """
        [pool.gpu]
        slots = 2
        [defaults]
        pool = "gpu"
        [worker.a]
        command = ["train", "--gpu={slot}", "{{slot}}", "{name}", "{{name}}"]
        directory = "run-{slot}"
        environment = { CUDA_VISIBLE_DEVICES = "{slot}" }
        after_stop = ["free", "{slot}"]
        ready = { exec = ["check", "{slot}"] }
        alive = { log = "a{1}" }
    """
    spec = workers(tmp_path, text)["a"]
    assert spec.pool == Pool("gpu", 2)
    assert spec.program.argv == ("train", "--gpu={slot}", "{{slot}}", "a", "{name}")
    program = at_slot(spec, 1).program
    assert program.argv == ("train", "--gpu=1", "{slot}", "a", "{name}")
    assert (program.environment, program.directory) == ({"CUDA_VISIBLE_DEVICES": "1"}, f"{tmp_path}/run-1")
    beside = at_slot(spec, 1)
    assert (beside.hooks.after_stop, beside.ready.argv, beside.alive) == (("free", "1"), ("check", "1"), spec.alive)
    assert read(tmp_path, text).pools == {"gpu": Pool("gpu", 2)}


def test_who_is_waited_for_by_a_line_of_its_output_knows_the_patterns(tmp_path):
    text = "".join(f'[worker.{name}]\ncommand = "x"\n' for name in "ab")
    text += '[worker.c]\ncommand = "x"\nrequires = { a = { log = "up{1}" } }\n'
    text += '[worker.d]\ncommand = "x"\nrequires = { a = { condition = { log = "open" }, follow = "stop" } }\n'
    text += '[worker.e]\ncommand = "x"\nrequires = { a = { log = "open", follow = "restart" } }\n'
    found = workers(tmp_path, text)
    assert {name: spec.patterns for name, spec in found.items() if spec.patterns} == {"a": ("open", "up{1}")}
    assert [found[name].requires[0] for name in "cde"] == [
        Requirement("a", Condition.LOG, Follow.IGNORE, "up{1}"),
        Requirement("a", Condition.LOG, Follow.STOP, "open"),
        Requirement("a", Condition.LOG, Follow.RESTART, "open"),
    ]


def test_a_retry_after_giving_up(tmp_path):
    text = '[worker.a]\ncommand = "x"\non_give_up = { retry_every = "1h" }\n[worker.b]\ncommand = "x"\n'
    found = workers(tmp_path, text)
    assert (found["a"].restart.on_give_up, found["a"].restart.retry_every) == (OnGiveUp.RETRY, 3600.0)
    assert found["b"].restart.on_give_up is OnGiveUp.FAIL


def test_a_venv_that_is_not_there_is_worth_a_note(tmp_path):
    config = read(tmp_path, '[worker.a]\ncommand = "x"\nvenv = ".venv"\n')
    assert config.notes == (
        f"{tmp_path}/quarterdeck.toml:1: a: there is no virtual environment at {tmp_path}/.venv",
    )  # fmt: skip


def test_the_demo_is_a_good_file():
    assert len(load(DEMO).workers) == 11


def test_one_table_that_came_as_json(tmp_path):
    table = json.loads('{"command": ["x"], "requires": ["db"], "cwd": "sub", "replicas": 2}')
    specs = read_one("web", table, str(tmp_path), known={"db": ("db",)})
    assert [(s.name, s.origin, s.program.directory) for s in specs] == [
        ("web-0", "api", f"{tmp_path}/sub"), ("web-1", "api", f"{tmp_path}/sub"),
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        read_one("web", {"comand": ["x"], "requires": ["dbb"]}, str(tmp_path), known={"db": ("db",)})
    assert [str(problem) for problem in caught.value.problems] == [
        'the request: web.comand: unknown key; did you mean "command"?',
        'the request: web: has no command; add command = ["PROGRAM", "ARGUMENT"]',
        'the request: web.requires: no worker or group is named "dbb"; did you mean "db"?',
    ]


def test_probes(tmp_path):
    spec = workers(tmp_path, """
        [worker.web]
        command = ["x"]
        environment = { PORT = "8000" }
        ready = { http = "http://127.0.0.1:8000/{name}", headers = { Authorization = "Bearer ${TOKEN}" }, status = 204 }
        alive = { exec = ["curl", "localhost:${PORT}"], period = "2s", timeout = 5, failure_threshold = 2 }
        """, environ={"TOKEN": "t"})["web"]  # fmt: skip
    assert spec.ready == Probe(
        "http", "http://127.0.0.1:8000/web", first_period=1.0, headers={"Authorization": "Bearer t"},
        status=frozenset({204}),
    )  # fmt: skip
    assert spec.alive == Probe(
        "exec", "curl localhost:8000", ("curl", "localhost:8000"), period=2.0, first_period=2.0, timeout=5.0,
        failure_threshold=2,
    )  # fmt: skip
    assert spec.ready_probe
    assert not spec.program.notify


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ('{ http_get = { port = 80, path = "a?b" } }', "http http://127.0.0.1:80/a?b"),
        ('{ http = { scheme = "HTTPS", host = "::1", port = 8443 } }', "http https://[::1]:8443/"),
        ("{ tcp = 5432 }", "tcp 127.0.0.1:5432"),
        ('{ tcp = ":5432" }', "tcp 127.0.0.1:5432"),
        ('{ tcp = "unix:run/x" }', "tcp unix:FOLDER/run/x"),
        ('{ exec = { command = ["a", "b"] } }', "exec a b"),
        ('{ exec = "test -e x && y" }', "exec test -e x && y"),
        ('{ log = "x{3} ready$" }', "log /x{3} ready$/"),
        ("{ notify = true }", "notify"),
    ],
)
def test_ways_to_write_a_probe(tmp_path, written, read_as):
    spec = workers(tmp_path, f'[worker.a]\ncommand = "x"\nready = {written}\n')["a"]
    assert str(spec.ready).replace(str(tmp_path), "FOLDER") == read_as
    assert spec.ready.first_period == 1.0


def test_a_period_that_was_given_holds_from_the_beginning(tmp_path):
    spec = workers(tmp_path, '[worker.a]\ncommand = "x"\nready = { tcp = 1, period = 5 }\n')["a"]
    assert (spec.ready.period, spec.ready.first_period) == (5.0, 5.0)


def test_a_program_is_told_of_its_socket(tmp_path):
    table = '[worker.a]\ncommand = "x"\nready = { notify = true }\nalive = { notify = true, period = 20 }\n'
    program = workers(tmp_path, table)["a"].program
    assert (program.notify, program.watchdog) == (True, 20.0)


def test_hooks_of_a_worker(tmp_path):
    spec = workers(
        tmp_path,
        """
        [worker.a]
        command = ["x"]
        environment = { A = "1" }
        before_start = "mkdir -p $A"
        after_ready = ["say", "${A}", "{name}"]
        stop_command = "bin/stop now"
        after_stop = ["rm", "x"]
        hook_timeout = "5s"
        """,
    )["a"]
    assert spec.hooks == Hooks(
        ("/bin/sh", "-c", "mkdir -p $A"), ("say", "1", "a"), ("bin/stop", "now"), ("rm", "x"), timeout=5.0
    )
    assert not spec.ready_probe, "or a reload that adds a hook would end the run"
    assert (spec.stop.timeout, spec.stop.after) == (15.0, 5.0)


def test_hooks_of_the_service(tmp_path):
    config = read(tmp_path, """
        [[hook]]
        command = ["notify", "${WHO}"]
        [[hook]]
        on = "gave_up"
        url = "https://hooks.example/T/${WHO}?a=b"
        [[hook]]
        on = ["failed", "recovered", "failed"]
        command = "mail -s oh $WHO"
        """, environ={"WHO": "me"})  # fmt: skip
    assert config.hooks == (
        ServiceHook(("failed", "gave_up", "backoff", "ready"), ("notify", "me"), directory=str(tmp_path)),
        ServiceHook(("gave_up",), url="https://hooks.example/T/me?a=b", directory=str(tmp_path)),
        ServiceHook(("failed", "recovered"), ("/bin/sh", "-c", "mail -s oh $WHO"), directory=str(tmp_path)),
    )
    assert "hooks.example" not in repr(config.hooks), "such an address is a secret, often"
    assert config.hooks[1].source.endswith(":4")


def test_a_probe_at_the_place_of_a_slot(tmp_path):
    spec = workers(
        tmp_path,
        """
        [pool.gpu]
        slots = 2
        [worker.a]
        command = ["x"]
        pool = "gpu"
        ready = { tcp = "localhost:808{slot}" }
        alive = { http = "http://localhost:808{slot}/" }
        """,
    )["a"]
    assert (spec.ready.target, spec.alive.target) == ("localhost:808{slot}", "http://localhost:808{slot}/")
