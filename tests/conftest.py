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

from tests.support import logfolders
from tests.support.invariants import TAG, Loops, Watch
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


LONG = 600
"""Seconds that a test marked `long` may take where it does not say so itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG))
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
def watch() -> Iterator[Watch]:
    """Looks at what this process holds."""
    loops = Loops()
    with pytest.MonkeyPatch.context() as patch:
        loops.hear(patch)
        yield Watch(Path(os.environ["TMPDIR"]), os.environ[TAG], loops)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_at_the_end(watch: Watch) -> Iterator[None]:
    """Fails the last test when something of the wider fixtures is left."""
    before = watch.look()
    yield
    _complain(watch.left_since(before))


@pytest.fixture(autouse=True)
def nothing_left(watch: Watch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that leaves something behind, or a log folder that is not whole; see tests/support.

    `@pytest.mark.leaves("tasks")` and `leaves("damaged logs")` let that pass in a test whose subject it is.
    """
    before = watch.look()
    yield
    allowed = {what for mark in request.node.iter_markers("leaves") for what in mark.args}
    left = watch.left_since(before)
    if "tasks" in allowed:
        left = [sentence for sentence in left if not sentence.startswith("task ")]
    if "damaged logs" not in allowed and (folder := request.node.funcargs.get("tmp_path")):
        left += [fault for root in logfolders.below(folder) for fault in logfolders.faults_of(root)]
    _complain(left)


def _complain(left: list[str]) -> None:
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)
