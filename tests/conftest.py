"""What every test gets without asking: a private temporary folder, and the check that it leaves nothing behind.

Also the table of the fault matrix that `--rows` prints at the end.

No fixture for one part of the product: those stand in that part's folder. Known wart: the fixtures here must be set up
first and torn down last, which pytest grants to automatic ones of the outermost conftest.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.invariants import TAG, Watch
from tests.support.matrix import Results, rows_of

_results = Results()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Our option; and the settings of pytest-asyncio where it is off (tests/browser), so that they are not unknown."""
    parser.addoption("--rows", action="store_true", help="print which test proved which row of the fault matrix")
    if not pluginmanager.hasplugin("asyncio"):
        for name in ("asyncio_mode", "asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope"):
            parser.addini(name, "not used without the plugin")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Sends temporary files of this run and of what it starts to a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="qd-"))  # short: a Unix socket's path has room for about a hundred bytes
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if not config.option.basetemp:
        config.option.basetemp = folder / "p"
    (folder / "t").mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "t")
    os.environ[TAG] = folder.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if rows := rows_of(item):
            item.user_properties.append(("rows", rows))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _results.take(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.rows:
        terminalreporter.section("fault matrix")
        for line in _results.table():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def watch() -> Watch:
    """Looks at what this process holds."""
    return Watch(Path(os.environ["TMPDIR"]), os.environ[TAG])


@pytest.fixture(scope="session", autouse=True)
def nothing_left_at_the_end(watch: Watch) -> Iterator[None]:
    """Fails the last test when something of the wider fixtures is left."""
    yield from _nothing_left(watch)


@pytest.fixture(autouse=True)
def nothing_left(watch: Watch) -> Iterator[None]:
    """Fails the test that leaves a process, a file descriptor, a thread or a temporary file behind."""
    yield from _nothing_left(watch)


def _nothing_left(watch: Watch) -> Iterator[None]:
    before = watch.look()
    yield
    left = watch.left_since(before)
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)
