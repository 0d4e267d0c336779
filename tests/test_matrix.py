"""The fault matrix is kept: every row has a marked test or a reason, and the table tells the truth."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.matrix import ELSEWHERE, ROWS, Results, summed

TESTS = Path(__file__).parent


def marked() -> Iterator[tuple[int, str]]:
    """(row, file) of every `@pytest.mark.row(...)` in the tests."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{path}: row() takes numbers as they are"
                    yield argument.value, path.name


def test_every_row_has_a_test_or_a_reason():
    rows = {row for row, _ in marked()}
    assert set(ROWS) - rows - set(ELSEWHERE) == set()


def test_no_test_is_for_a_row_that_is_not_there():
    assert {row for row, _ in marked()} <= set(ROWS)


def report(nodeid: str, outcome: str, *rows: int, when: str = "call", why: object = None) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid, ("", 0, ""), {}, outcome, why, when, user_properties=[("rows", list(rows))] if rows else []
    )


def lines_of(row: int, *reports: pytest.TestReport) -> list[str]:
    results = Results()
    for one in reports:
        results.take(one)
    table = results.table()
    begin = next(i for i, line in enumerate(table) if line.startswith(f"{row:3} "))
    return [line.strip() for line in table[begin + 1 :] if line.startswith("      ")][: len(reports) or 1]


def test_one_failure_among_many_cases_shows():
    shown = lines_of(6, report("a.py::t[1]", "passed", 6), report("a.py::t[2]", "failed", 6))
    assert shown[0] == "a.py::t · 1 FAILED, 1 passed"


def test_litter_found_at_the_end_of_a_test_that_passed_shows():
    shown = lines_of(6, report("a.py::t", "passed", 6), report("a.py::t", "failed", 6, when="teardown"))
    assert shown[0] == "a.py::t · FAILED"


def test_what_was_left_out_says_why():
    why = ("a.py", 1, "Skipped: needs root")
    assert lines_of(9, report("a.py::t", "skipped", 9, when="setup", why=why)) == ["a.py::t · left out: needs root"]


def test_a_row_without_a_test_is_not_passed_over():
    assert lines_of(6) == ["no test ran"]
    assert lines_of(38) == [f"not shown here: {ELSEWHERE[38]}"]


def test_sums():
    assert summed(["passed"] * 3) == "3 passed"
