"""The two programs under examples/library run, end by themselves, and say what they should."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "library"


def lines_of(name: str) -> list[str]:
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(" ms  ")[2] for line in done.stdout.splitlines()]


def test_the_tree():
    lines = lines_of("tree.py")
    assert lines.count("mailer: ERROR: the mail server does not answer") == 2
    assert lines.index("database: accepting connections") < lines.index("web[1]: 200 OK")
    closing = ["web: signaling shutdown", "web: door closed", "indexer: signaling shutdown", "database: tables closed"]
    assert [line for line in lines if line in closing] == closing


def test_the_commands():
    lines = lines_of("commands.py")
    assert "chores: captured 'FED THROUGH ITS STANDARD INPUT', error None" in lines
    logged = [line.removeprefix("chores:  <- ") for line in lines if line.startswith("chores:  <- ")]
    assert "FED THROUGH ITS STANDARD INPUT" in logged, "what is captured is logged as well"
    assert logged[-4:] == ["each", "line", "is", "logged"]
    assert any(line.startswith("chores: as expected: ") for line in lines)
    assert "ticker:  <- tick 1" in lines
    assert lines.index("chores: exited") < lines.index("ticker: exited")
