"""Rules that no type checker knows, read from the syntax trees: clocks, sleeps, dispatch by name, sizes, docstrings.

Each exception stands in a table here with its reason; an exception that nobody needs any more fails too. The layers are
in .importlinter. Known wart: a name that is reached in a roundabout way (`t = time; t.time()`) is not seen.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = sorted(p for folder in ("supervisor_core", "app") for p in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST = 300

FORBIDDEN = {
    "time.time": "wall time jumps; use Clock",
    "time.time_ns": "wall time jumps; use Clock",
    "time.sleep": "a loop or a thread that sleeps cannot be woken; use an event or loop.call_later",
    "asyncio.sleep": "a task that sleeps cannot be woken; use an event or loop.call_later",
    "datetime.datetime.now": "wall time jumps; use Clock",
    "datetime.datetime.utcnow": "wall time jumps; use Clock",
    "datetime.datetime.today": "wall time jumps; use Clock",
    "datetime.date.today": "wall time jumps; use Clock",
    "random": "what is decided must be repeatable; secrets has what must not be guessed",
    "eval": "runs text as code",
    "exec": "runs text as code",
    "getattr by name": "a reader cannot see what is called",
    "preexec_fn": "runs Python between fork and exec, where a lock held by another thread is held for ever",
    "os.fork": "the same, for the whole of the child",
}

ALLOWED = {
    ("supervisor_core/standstill.py", "time.sleep"): "a thread of its own looks whether the loop stands still",
    ("app/cli/parser.py", "getattr by name"): "a verb's module is imported when it is called, from a fixed table",
    ("app/drivers/alarm.py", "time.time"): "schedules go by the wall clock, and obey its steps",
    ("app/cli/service.py", "os.fork"): "up -d leaves the terminal before any thread or loop is there",
    ("app/keepers.py", "os.fork"): "the keeper has the pid that was started, and no thread or loop is there yet",
    ("supervisor_core/clock.py", "time.time"): "the one clock: wall time once, at its start",
    ("supervisor_core/supervisor.py", "random"): "the jitter of back-off, handed to the machine as a function",
    ("supervisor_core/__init__.py", "getattr by name"): "public names are imported when first used, from a fixed table",
    ("supervisor_core/failing.py", "getattr by name"): "a test names an error as errno does",
    ("supervisor_core/plan.py", "getattr by name"): "compares two records field by field",
    ("supervisor_core/model.py", "getattr by name"): "prints those flags of a status that are set",
    ("supervisor_core/wording.py", "getattr by name"): "compares two records field by field",
    ("supervisor_core/turn.py", "getattr by name"): "compares two records field by field",
}

LONG: dict[str, str] = {}
"""Files over 300 lines, each with the reason why it is one room."""

SLEEPING_TESTS = {
    "tests/app/test_server_sockets.py": "what is waited for is in another program's hands, or is that nothing comes",
    "tests/shell/test_handles.py": "looks until four threads wait, since a flag tells nobody who waits for it",
}
"""Tests that may sleep in real time. Sleeping in virtual time, under `@virtual`, costs nothing and is free."""


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Local name to full name, for every import in the file, wherever it stands."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def full_name(node: ast.expr, names: dict[str, str]) -> str:
    """`dt.now` is `datetime.datetime.now` after `from datetime import datetime as dt`; "" for what has no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        inner = full_name(node.value, names)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def uses(path: Path) -> Iterator[tuple[str, int]]:
    """Every forbidden thing in a file, with its line. `asyncio.sleep(0)` gives up one turn and waits for no time."""
    tree = tree_of(path)
    names = imported_names(tree)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = full_name(node, names)
            call = calls.get(id(node))
            if name == "asyncio.sleep" and call and call.args and getattr(call.args[0], "value", None) == 0:
                continue
            if name in ("eval", "exec") and not call:
                continue
            if name == "getattr":
                if call and not (len(call.args) > 1 and isinstance(call.args[1], ast.Constant)):
                    yield "getattr by name", node.lineno
            elif name in FORBIDDEN or name.startswith("random."):
                yield ("random" if name.startswith("random") else name), node.lineno
        elif isinstance(node, ast.keyword) and node.arg == "preexec_fn":
            yield "preexec_fn", node.value.lineno


def violations(path: Path) -> list[str]:
    return [
        f"{shown(path)}:{line}: {what}: {FORBIDDEN[what]}"
        for what, line in uses(path)
        if (shown(path), what) not in ALLOWED
    ]


def test_clocks_sleeps_and_dispatch() -> None:
    assert not [found for path in PRODUCT for found in violations(path)]


def test_every_exception_is_needed() -> None:
    needed = {(shown(path), what) for path in PRODUCT for what, _ in uses(path)}
    assert not set(ALLOWED) - needed
    assert not {name for name in LONG if length(ROOT / name) <= LONGEST}
    assert not {name for name in SLEEPING_TESTS if not any("sleep" in what for what, _ in uses(ROOT / name))}


def virtual_lines(path: Path) -> set[int]:
    """Lines that run in virtual time: functions under `@virtual`, and whatever such a file defines for them."""
    lines: set[int] = set()
    virtual_file = any(name.startswith("tests.support.virtual.") for name in imported_names(tree_of(path)).values())
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            decorators = [] if isinstance(node, ast.Lambda) else [ast.unparse(d) for d in node.decorator_list]
            name = "lambda" if isinstance(node, ast.Lambda) else node.name
            if "virtual" in decorators or (virtual_file and not name.startswith("test_")):
                lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def sleeps(path: Path) -> list[str]:
    sleeping = [(what, line) for what, line in uses(path) if what in ("time.sleep", "asyncio.sleep")]
    if not sleeping or shown(path) in SLEEPING_TESTS:
        return []
    free = virtual_lines(path)
    return [f"{shown(path)}:{line}: {what}" for what, line in sleeping if what == "time.sleep" or line not in free]


def test_tests_wait_for_events() -> None:
    assert not [found for path in TESTS for found in sleeps(path)]


def length(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_short() -> None:
    long = [f"{shown(p)}: {length(p)} lines" for p in PRODUCT if length(p) > LONGEST and shown(p) not in LONG]
    assert not long, "cut a room with two purposes in two, or give the reason in LONG"


def test_every_file_says_what_lives_there() -> None:
    silent = [shown(p) for p in PRODUCT + TESTS if p.stat().st_size and not ast.get_docstring(tree_of(p))]
    assert not silent


def test_the_core_needs_the_standard_library_alone() -> None:
    foreign = set()
    for path in PRODUCT:
        if not shown(path).startswith("supervisor_core/"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                tops = [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops = [str(node.module).partition(".")[0]]
            else:
                continue
            own = {*sys.stdlib_module_names, "supervisor_core"}
            foreign |= {f"{shown(path)}: {top}" for top in tops if top not in own}
    assert not foreign


def test_app_names_its_own_modules_relatively() -> None:
    """The wheel calls the package `quarterdeck`, so an absolute `app.…` would be somebody else's."""
    absolute = [
        f"{shown(path)}:{node.lineno}"
        for path in PRODUCT
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.ImportFrom) and not node.level and str(node.module).partition(".")[0] == "app")
        or (isinstance(node, ast.Import) and any(a.name.partition(".")[0] == "app" for a in node.names))
    ]
    assert not absolute


HEAVY = {"fastapi", "starlette", "uvicorn", "jinja2", "pydantic", "sse_starlette"}


@pytest.mark.parametrize("module", ["app.cli", "supervisor_core"])
def test_imports_stay_light(module: str) -> None:
    """`quarterdeck status` must not pay for the web, nor an embedding program for anything of it."""
    script = f"import sys, {module}; print(*{{m.partition('.')[0] for m in sys.modules}} & {HEAVY!r})"
    shell = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shell.stdout.split() == []


PLANTED = {
    "import time\nx = time.time()": "time.time",
    "from time import time as now\nnow()": "time.time",
    "import time as t\nt.sleep(1)": "time.sleep",
    "import asyncio\nasync def f(): await asyncio.sleep(0.1)": "asyncio.sleep",
    "from asyncio import sleep\nasync def f(s): await sleep(s)": "asyncio.sleep",
    "from datetime import datetime as dt\ndt.now()": "datetime.datetime.now",
    "import datetime\ndatetime.date.today()": "datetime.date.today",
    "import random\nrandom.choice([1])": "random",
    "from random import choice\nchoice([1])": "random",
    "eval('1')": "eval",
    "exec('1')": "exec",
    "def f(o, n): return getattr(o, n)()": "getattr by name",
    "import subprocess\nsubprocess.Popen(['x'], preexec_fn=print)": "preexec_fn",
    "import os\nos.fork()": "os.fork",
}


@pytest.mark.parametrize(("source", "what"), PLANTED.items(), ids=PLANTED.values())
def test_what_is_forbidden_is_found(tmp_path: Path, source: str, what: str) -> None:
    path = tmp_path / "planted.py"
    path.write_text(source)
    assert what in {found for found, _ in uses(path)}


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.sleep(0)",
        "getattr(x, 'y', None)",
        "import time\ntime.monotonic()",
        "o.eval()",
        "o.exec()",
    ],
)
def test_what_is_allowed_is_not(tmp_path: Path, source: str) -> None:
    path = tmp_path / "fine.py"
    path.write_text(source)
    assert not list(uses(path))
