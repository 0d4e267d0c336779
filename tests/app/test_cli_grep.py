"""`quarterdeck logs --grep` asks on until it has enough lines: one answer looks through a part of the log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import main

from .fake_service import FakeService, line, row

FOUND = {
    "": ("50", ["x9", "x8"], True),
    "50": ("40", [], True),
    "40": ("30", ["x7"], True),
    "30": ("20", ["x6"], False),
}
"""Answers by the key before which is asked: the first key looked at, newest lines first, and whether there is more."""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    monkeypatch.setenv("QUARTERDECK_STATE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def page(query: dict[str, str]) -> tuple[int, dict[str, object]]:
        first, found, more = FOUND[query.get("before", "")]
        limit = int(query.get("limit") or query["tail"])
        lines = [line(text, text) for text in reversed(found[:limit])]
        return 200, {"lines": lines, "first": first, "more": more}

    with FakeService(tmp_path / "socket", [row("a")]) as made:
        made.answers["GET", "/api/v1/logs"] = page
        yield made


@pytest.mark.parametrize(
    ("count", "expected", "asked"),
    [
        (1, ["x9"], [("1", None)]),
        (2, ["x8", "x9"], [("2", None)]),
        (3, ["x7", "x8", "x9"], [("3", None), ("50", "1"), ("40", "1")]),
        (9, ["x6", "x7", "x8", "x9"], [("9", None), ("50", "7"), ("40", "7"), ("30", "6")]),
        (0, [], [("0", None)]),
    ],
)
def test_until_there_are_enough(
    service: FakeService, capsys: pytest.CaptureFixture[str], count: int, expected: list[str], asked: list[tuple]
) -> None:
    assert main(["logs", "a", "--grep", "x", "-n", str(count)]) == 0
    assert capsys.readouterr().out.split() == expected
    queries = [query for _, path, query, _ in service.asked if path == "/api/v1/logs"]
    assert [(query.get("before") or query["tail"], query.get("limit")) for query in queries] == asked
    assert {query["q"] for query in queries} == {"x"}


def test_without_a_filter_one_answer_is_all(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "a"]) == 0
    assert capsys.readouterr().out.split() == ["x8", "x9"]
    assert len(service.asked) == 2
