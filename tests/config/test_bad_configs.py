"""Bad config files as a table: the text, and every sentence that it earns, with its line."""

import os
from types import SimpleNamespace

import pytest

from supervisor_core.config import ConfigError, load


def problems(tmp_path, text, **options):
    """The problems of a file as `LINE: SENTENCE`, with the folder taken out."""
    file = tmp_path / "quarterdeck.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, **options)
    for problem in caught.value.problems:
        assert str(problem).startswith(f"{file}:{problem.line}: ")
    return [f"{problem.line}: {problem.text.replace(str(tmp_path), 'FOLDER')}" for problem in caught.value.problems]


WORKER = '[worker.a]\ncommand = "sleep 1"\n'

BAD = {
    "syntax": (
        '[worker.a]\ncommand = "sleep\n',
        ["2: this is not TOML: Illegal character '\\n'; correct this line"],
    ),
    "syntax at the end": ("a = [1,\n", ["1: this is not TOML: Invalid value; correct this line"]),
    "table twice": (
        WORKER + WORKER,
        ["3: this is not TOML: Cannot declare ('worker', 'a') twice; correct this line"],
    ),
    "unknown table": (WORKER + "[servce]\n", ['3: servce: unknown table or key; did you mean "service"?']),
    "unknown key": (WORKER + "comand = 1\n", ['3: worker.a.comand: unknown key; did you mean "command"?']),
    "unknown key without a neighbour": (
        WORKER + "xyzzy = 1\n",
        ["3: worker.a.xyzzy: unknown key; nothing has a name like it; correct or remove it"],
    ),
    "dotted name": (
        "[worker.web.api]\ncommand = 'x'\n",
        [
            '1: worker.web.api: unknown key; a name with a dot needs quotes: [worker."web.api"]',
            '1: worker.web: has no command; add command = ["PROGRAM", "ARGUMENT"]',
        ],
    ),
    "no command": (
        "[worker.a]\nautostart = false\n",
        ['1: worker.a: has no command; add command = ["PROGRAM", "ARGUMENT"]'],
    ),
    "empty command": (
        "[worker.a]\ncommand = []\n",
        ['2: worker.a.command: the command is empty; write a text or a list such as ["python", "train.py"]'],
    ),
    "functions": (
        '[worker.a]\npython = "train.py"\n[worker.b]\npython = "m:f"\ncommand = "true"\n',
        [
            "2: worker.a.python: \"train.py\" names no function; write \"module:function\"",
            "4: worker.b.python: stands beside command; remove one of them",
        ],
    ),
    "open quote": (
        '[worker.a]\ncommand = "echo \'a"\n',
        ["2: worker.a.command: \"echo 'a\" has a quote that is not closed; close it"],
    ),
    "NUL in a command": (
        '[worker.a]\ncommand = ["a", "b\\u0000"]\n',
        ["2: worker.a.command: the text holds a NUL character, which no program can receive; remove it"],
    ),
    "argument too long": (
        f'[worker.a]\ncommand = ["a", "{"x" * 131072}"]\n',
        ["2: worker.a.command: an argument or variable has 131072 bytes; at most 131071 fit: put it in a file"],
    ),
    "duration": (
        WORKER + 'stop_timeout = "10 sec"\n',
        ['3: worker.a.stop_timeout: "10 sec" is no duration; write seconds (90) or text such as "1m30s" or "500ms"'],
    ),
    "negative duration": (
        WORKER + "start_seconds = -1\n",
        ["3: worker.a.start_seconds: -1 is no usable duration; it must be between 0 and ten years"],
    ),
    "what is kept": (
        '[logs]\nkeep = 0\nmin_free = "101%"\ncompress = "yes"\n' + WORKER + "logs = { max_total = 1 }\n",
        [
            "2: logs.keep: 0 is too short; it must be more than 0",
            '3: logs.min_free: "101%" is more than all; write a share such as "5%"',
            '4: logs.compress: "yes" is neither true nor false; write one of them, without quotes',
            "7: worker.a.logs.max_total: unknown key; known are compress, keep, max_worker, min_free, "
            "on_full, redirect_stderr, segment",
        ],
    ),
    "size": (
        '[logs]\nsegment = "64 MiBs"\n',
        ['2: logs.segment: "64 MiBs" is no size; write bytes or text such as "64MiB" or "10GB"'],
    ),
    "truth value": (
        WORKER + 'autostart = "yes"\n',
        ['3: worker.a.autostart: "yes" is neither true nor false; write one of them, without quotes'],
    ),
    "choice": (
        WORKER + 'restart = "sometimes"\n',
        ['3: worker.a.restart: "sometimes" is not known; write one of "on_failure", "always", "never"'],
    ),
    "signal": (
        WORKER + 'stop_signal = "TREM"\n',
        ['3: worker.a.stop_signal: "TREM" is no signal; write a name such as "TERM", "INT" or "HUP"'],
    ),
    "steps and a timeout": (
        WORKER + 'stop_signal = [["INT", "1s"]]\nstop_timeout = 3\n',
        ["4: worker.a.stop_timeout: stands beside steps that have their own times; remove it"],
    ),
    "alias beside its key": (
        WORKER + 'cwd = "a"\ndirectory = "b"\n',
        ['4: worker.a.directory: the same as "cwd", which is set too; remove one of them'],
    ),
    "name": (
        "[worker.'a b']\ncommand = 'x'\n",
        [
            '1: worker.a b: "a b" is no name; use letters, digits, ".", "_" and "-", '
            "starting with a letter or digit, at most 63"
        ],
    ),
    "names that differ in case": (
        WORKER + "[worker.A]\ncommand = 'x'\n",
        ['3: worker.A: a worker with this name is in FOLDER/quarterdeck.toml:1 too (as "a"); rename or remove one'],
    ),
    "replica meets a name": (
        WORKER + "replicas = 2\n[worker.a-1]\ncommand = 'x'\n",
        ['4: worker.a-1: "a-1" is in FOLDER/quarterdeck.toml:1 too; rename one of them'],
    ),
    "unknown requirement": (
        WORKER + 'requires = ["b"]\n[worker.bb]\ncommand = "x"\n',
        ['3: worker.a.requires: no worker or group is named "b"; did you mean "bb"?'],
    ),
    "condition": (
        WORKER + 'requires = { b = "redy" }\n[worker.b]\ncommand = "x"\n',
        ['3: worker.a.requires.b: "redy" is no condition; did you mean "ready"?'],
    ),
    "circle": (
        WORKER + 'requires = ["b"]\n[worker.b]\ncommand = "x"\nrequires = ["c"]\n[worker.c]\ncommand = "x"\n'
        'depends_on = ["a"]\n',
        ["3: worker.a.requires: the requirements form a circle: a → b → c → a; take one of them out"],
    ),
    "requires itself": (
        WORKER + 'requires = ["a"]\n',
        ["3: worker.a.requires: the requirements form a circle: a → a; take one of them out"],
    ),
    "variable": (
        WORKER + 'directory = "${NOWHERE}/x"\n',
        ["3: worker.a.directory: the variable NOWHERE is not set; set it, or write ${NOWHERE:-default}"],
    ),
    "slot without a pool": (
        WORKER + 'environment = { GPU = "{slot}" }\n',
        [
            "3: worker.a.environment.GPU: {slot} has a meaning only with a pool; add pool = NAME or write {{slot}}",
        ],
    ),
    "variable name": (
        WORKER + 'environment = { "A=B" = "x" }\n',
        ['3: worker.a.environment.A=B: "A=B" is no variable name; it may not be empty or hold "="'],
    ),
    "secret that is not there": (
        WORKER + 'environment = { A = { file = "/nowhere/secret" } }\n',
        ["3: worker.a.environment.A: /nowhere/secret is not there; check the path"],
    ),
    "env_file that is not there": (
        WORKER + 'env_file = ["a.env"]\n',
        ["3: worker.a.env_file: FOLDER/a.env is not there; check the path"],
    ),
    "backoff": (
        WORKER + 'backoff = { initial = "5s", max = "2s", facter = 2 }\n',
        [
            '3: worker.a.backoff.facter: unknown key; did you mean "factor"?',
            "3: worker.a.backoff.max: initial (5 s) is more than max (2 s); raise max",
        ],
    ),
    "exit code": (
        WORKER + "success_exit_codes = [0, 256]\n",
        ["3: worker.a.success_exit_codes: 256 is out of range; write a whole number between 0 and 255"],
    ),
    "replicas": (
        WORKER + "replicas = 0\n",
        ["3: worker.a.replicas: 0 is out of range; write a whole number between 1 and 1000"],
    ),
    "listen": (
        '[service]\nlisten = [\n  "127.0.0.1:7440",\n  "7441",\n]\n',
        ['2: service.listen: "7441" is no address; write HOST:PORT ("127.0.0.1:7440") or "unix:PATH"'],
    ),
    "public_url": (
        '[service]\npublic_url = "jobs.example.org"\n',
        ['2: service.public_url: "jobs.example.org" is no public address; write https://HOST or https://HOST/PATH'],
    ),
    "proxy": (
        '[service]\nbehind_proxy = ["nginx"]\n',
        ['2: service.behind_proxy: "nginx" is no address; write one such as "127.0.0.1" or "10.0.0.0/8"'],
    ),
    "token": (
        '[[token]]\nname = "ci"\nscope = "root"\nsha256 = "abc"\n',
        [
            '3: token.scope: "root" is not known; write one of "read", "operate", "admin"',
            "4: token.sha256: this is no SHA-256 in hex (64 digits); write what `printf %s TOKEN | sha256sum` prints",
        ],
    ),
    "token without a hash": (
        '[[token]]\nname = "a"\nscope = "read"\nsha256 = "' + "a" * 64 + '"\n[[token]]\nname = "b"\nscope = "read"\n',
        ["5: token: has no sha256; add sha256 = …  (The SHA-256 of the token, in hex)"],
    ),
    "group of nobody": (
        WORKER + '[group.g]\nworkers = ["b*"]\n',
        ['4: group.g.workers: no worker is named "b*"; known are a'],
    ),
    "group named as a worker": (
        WORKER + '[group.A]\nworkers = ["a"]\n',
        ["3: group.A: a worker has this name too; choose another one for the group"],
    ),
    "a value where a table belongs": ("service = 3\n", ["1: service: 3 is no table; write [service]"]),
    "include that is not there": (
        'include = ["more.toml"]\n',
        ["1: include: FOLDER/more.toml is not there; check the path or write a pattern"],
    ),
    "probe": (
        WORKER + 'ready = { tcp = "1:2", http = "http://x" }\nalive = { period = 0 }\n',
        [
            '3: worker.a.ready: needs exactly one of http, tcp, exec, log, notify; write { tcp = "HOST:PORT" }, say',
            "4: worker.a.alive.period: 0 is too short; it must be more than 0",
            '4: worker.a.alive: needs exactly one of http, tcp, exec, log, notify; write { tcp = "HOST:PORT" }, say',
        ],
    ),
    "addresses of probes": (
        "".join(f'[worker.{n}]\ncommand = "x"\nready = {probe}\n' for n, probe in enumerate((
            '{ http = "localhost:80" }', '{ http = "http://a:b@c/" }', '{ http = { prot = 1 } }',
            '{ tcp = "here" }', '{ tcp = 0 }', '{ log = "(" }', "{ notify = false }", '{ exec = "a \'" }',
            '{ tcp = 1, status = 200 }', '{ http = "http://a/", status = 7, headers = { "a b" = "x" } }',
            '{ http = "http://a/", headers = { a = "x\\ny" }, failure_treshold = 2 }',
        ))),
        [
            '3: worker.0.ready.http: "localhost:80" is no address; write "http://127.0.0.1:8000/health"',
            '6: worker.1.ready.http: has a password in it; write headers = { Authorization = "…" } instead',
            '9: worker.2.ready.http: "prot" is not known in it; known are scheme, host, port, path',
            '12: worker.3.ready.tcp: "here" is no address; write "127.0.0.1:5432", 5432 or "unix:PATH"',
            '15: worker.4.ready.tcp: 0 is no address; write "127.0.0.1:5432", 5432 or "unix:PATH"',
            '18: worker.5.ready.log: "(" is no regular expression (missing ), unterminated subpattern at position 0); '
            "correct it",
            '21: worker.6.ready: needs exactly one of http, tcp, exec, log, notify; write { tcp = "HOST:PORT" }, say',
            "24: worker.7.ready.exec: \"a '\" has a quote that is not closed; close it",
            "27: worker.8.ready.status: is for an http probe alone; remove it",
            '30: worker.9.ready.headers: "a b" is no name of a header; letters, digits and hyphens are',
            "30: worker.9.ready.status: 7 is no status of HTTP; write 200, or a list such as [200, 204]",
            '33: worker.10.ready.failure_treshold: unknown key; did you mean "failure_threshold"?',
            "33: worker.10.ready.headers: the header a has no text that fits on a line; correct it",
        ],
    ),
    "hooks of the service": (
        '[[hook]]\n[[hook]]\nurl = "http://a/"\ncommand = "x"\n[[hook]]\non = ["fail"]\nurl = "ftp://SECRET"\n'
        "[[hook]]\non = []\ncommand = 3\n",
        [
            "1: hook: needs either command or url; write one of them",
            "2: hook: needs either command or url; write one of them",
            '6: hook.on: "fail" is no event; known are failed, gave_up, backoff, ready, recovered',
            "7: hook.url: this is no address; write https://HOST/PATH",
            "9: hook.on: a list is no event; write a list of failed, gave_up, backoff, ready, recovered",
            '10: hook.command: 3 is no command; write a text or a list such as ["python", "train.py"]',
        ],
    ),
    "hooks of a worker": (
        WORKER + 'before_start = []\nstop_command = "a \'"\nhook_timeout = 0\n',
        [
            '3: worker.a.before_start: the command is empty; write a text or a list such as ["python", "train.py"]',
            "4: worker.a.stop_command: \"a '\" has a quote that is not closed; close it",
            "5: worker.a.hook_timeout: 0 is too short; it must be more than 0",
        ],
    ),
    "later keys are refused": (
        WORKER + 'replicas = 3\n[service]\ntls_cert = "a.pem"\n',
        [
            "5: service.tls_cert: not supported yet; remove it for now",
        ],
    ),
    "a warning that would never come": (
        WORKER + 'replicas = 3\n[worker.a.limits]\nmemory = "1GiB"\nmemory_warn = "1024MiB"\n',
        ["6: worker.a.limits.memory_warn: is not below memory, so it would never be told; lower it"],
    ),
    "accounts": (
        WORKER + 'user = "a:b"\ngroup = true\numask = 22\nnice = 20\ntty = "yes"\n',
        [
            '3: worker.a.user: "a:b" is no name or number of an account; write "www-data" or 1000, the group apart',
            '4: worker.a.group: true is no name or number of an account; write "www-data" or 1000, the group apart',
            '5: worker.a.umask: 22 is no mask; write its octal digits as a text such as "022"',
            "6: worker.a.nice: 20 is out of range; write a whole number between -20 and 19",
            '7: worker.a.tty: "yes" is neither true nor false; write one of them, without quotes',
        ],
    ),
    "limits": (
        WORKER + 'limits = { memroy = 1, memory = "a lot", cpu = 0, pids = -1, nofile = 0 }\n',
        [
            '3: worker.a.limits.memroy: unknown key; did you mean "memory"?',
            '3: worker.a.limits.memory: "a lot" is no size; write bytes or text such as "64MiB" or "10GB"',
            '3: worker.a.limits.cpu: 0 is no number of cores; write one such as 0.5 or 4, or "unlimited"',
            '3: worker.a.limits.pids: -1 is no number to limit to; write a whole number such as 1024, or "unlimited"',
            '3: worker.a.limits.nofile: 0 would let nothing start; write a whole number such as 1024, or "unlimited"',
        ],
    ),
    "conditions": (
        WORKER + 'requires = { b = "healthy", c = { log = 3 }, d = { log = "(" }, '
        'e = { log = "x", condition = "ready" } }\n'
        + "".join(f'[worker.{name}]\ncommand = "x"\n' for name in "bcde"),
        [
            "3: worker.a.requires.c: is no condition; write one of ready, started, healthy, completed, "
            'completed_successfully or { log = "regex" }',
            '3: worker.a.requires.d: "(" is no regular expression (missing ), unterminated subpattern at position 0); '
            "correct it",
            "3: worker.a.requires.e.log: stands beside condition; remove one of them",
            "3: worker.a.requires: waits for b to be healthy, which nothing looks at; give b an alive probe",
        ],
    ),
    "pools": (
        WORKER + 'pool = "cpu"\n[worker.b]\ncommand = "x"\npool = "gup"\n[pool.gpu]\nslots = 0\n',
        [
            '3: worker.a.pool: no pool is named "cpu"; did you mean "gpu"?',
            '6: worker.b.pool: no pool is named "gup"; did you mean "gpu"?',
            "8: pool.gpu.slots: 0 is out of range; write a whole number between 1 and 10000",
        ],
    ),
    "a pool where there is none": (
        WORKER + 'pool = "gpu"\n',
        ['3: worker.a.pool: no pool is named "gpu"; add [pool.gpu] with slots = 4, say'],
    ),
    "what is never restarted cannot be tried anew": (
        WORKER + 'restart = "never"\non_give_up = { retry_every = "10m" }\n',
        ['4: worker.a.on_give_up: retry_every goes with restart = "on_failure" or "always" alone'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.row(56)
def test_each_problem_is_one_sentence_at_its_line(case, tmp_path):
    text, expected = BAD[case]
    assert problems(tmp_path, text, environ={}) == expected


def test_a_bad_default_is_told_once_for_all_workers(tmp_path):
    text = "[defaults]\nwindow = 0\n[worker.a]\ncommand = 'x'\n[worker.b]\ncommand = 'x'\nreplicas = 2\n"
    assert problems(tmp_path, text) == ["2: defaults.window: 0 is too short; it must be more than 0"]


def test_problems_of_all_files_come_at_once(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.toml").write_text('include = "x"\n[worker.a]\ncommand = "y"\n[service]\n')
    (tmp_path / "conf.d" / "c.toml").write_text("[worker.c\n")
    text = '[service]\n[worker.a]\ncommand = "x"\nnicee = 1\n'
    main, other = f"{tmp_path}/quarterdeck.toml", f"{tmp_path}/conf.d"
    file = tmp_path / "quarterdeck.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert sorted(str(caught.value).splitlines()) == sorted([
        f'{main}:4: worker.a.nicee: unknown key; did you mean "nice"?',
        f"{other}/b.toml:1: include: only the main file includes; move it there",
        f"{other}/b.toml:2: worker.a: a worker with this name is in {main}:2 too; rename or remove one",
        f"{other}/b.toml:4: service: the table is in {main}:1 too; keep one of them",
        f"{other}/c.toml:1: this is not TOML: Expected ']' at the end of a table declaration; correct this line",
    ])  # fmt: skip


def refusal(path):
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "FILE")


def test_files_that_others_may_write_are_refused(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("")
    file.chmod(0o646)
    assert refusal(file) == "FILE: may be written by everyone, and so could make us run anything; chmod o-w it"
    file.chmod(0o644)
    load(file)


@pytest.mark.parametrize(
    ("user", "members", "good"), [(0, [], False), (1234, ["me", "you"], False), (1234, ["me"], True), (1234, [], True)]
)
def test_what_a_group_may_write_is_refused_for_root_and_where_the_group_has_others(
    user, members, good, tmp_path, monkeypatch
):
    file = tmp_path / "a.toml"
    file.write_text("")
    file.chmod(0o664)
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("grp.getgrgid", lambda gid: SimpleNamespace(gr_mem=members))
    monkeypatch.setattr("pwd.getpwuid", lambda uid: SimpleNamespace(pw_name="me"))
    monkeypatch.setattr("pwd.getpwall", lambda: [SimpleNamespace(pw_name="me", pw_gid=file.stat().st_gid)])
    if good:
        load(file)
    else:
        assert refusal(file) == "FILE: may be written by its group, and so by others than its owner; chmod g-w it"


def test_files_that_are_none(tmp_path):
    loop, big, odd, pipe = (tmp_path / name for name in ("loop", "big", "odd", "pipe"))
    loop.symlink_to(loop)
    big.write_bytes(b"#" * (1024 * 1024 + 1))
    odd.write_bytes(b"a = 1\n# \xff\n")
    os.mkfifo(pipe)
    assert refusal(loop) == "FILE: is a loop of symbolic links; name the file itself"
    assert refusal(big) == "FILE: is larger than 1 MiB; is this the right file?"
    assert refusal(odd) == "FILE:2: is not UTF-8 (byte 9); save it as UTF-8"
    assert refusal(pipe) == "FILE: is no regular file; name a file"
    assert refusal(tmp_path) == "FILE: is no regular file; name a file"
    assert refusal(tmp_path / "none") == "FILE: is not there; check the path"
    (tmp_path / "deep").write_text("a = " + "[" * 5000 + "]" * 5000)
    assert refusal(tmp_path / "deep") == "FILE:1: is nested too deeply; write it flatter"
