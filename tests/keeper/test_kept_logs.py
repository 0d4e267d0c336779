"""Logs over two processes: what a writer in another one writes is followed here without loss, also over its death."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_core.lines import Line, View
from tests.keeper.writers import PATIENCE, STREAMS, WORKERS, Follower, Link, follow_all

pytestmark = pytest.mark.timeout(120)

SIZES = [60, pytest.param(1500, marks=pytest.mark.long)]


@pytest.fixture
def link_of(tmp_path: Path) -> Iterator[Callable[..., Link]]:
    made: list[Link] = []

    def make(**told: Any) -> Link:
        made.append(Link(tmp_path / "logs", **told))
        return made[-1]

    yield make
    for link in made:
        link.close()


@pytest.mark.parametrize("rounds", SIZES)
@pytest.mark.parametrize("max_worker", [10**9, 20_000], ids=["all kept", "deleted meanwhile"])
def test_no_line_is_lost_doubled_or_out_of_order(link_of: Callable[..., Link], max_worker: int, rounds: int) -> None:
    link = link_of(max_worker=max_worker)
    link.start()

    def act(_: list[Follower]) -> None:
        for _ in range(3):
            link.write(rounds)
            assert link.wrote.wait(PATIENCE)

    for follower in follow_all(link, act):
        assert follower.faults == []
        assert follower.lines > 100
        assert follower.missed == 0 or max_worker < 10**9
    assert len(list(Path(link.told["root"]).glob("by-id/*/*/*.idx"))) > 2 * len(WORKERS) * len(STREAMS)


@pytest.mark.parametrize("times", [2, pytest.param(30, marks=pytest.mark.long)])
def test_the_death_of_the_writer_loses_nothing_for_a_reader(link_of: Callable[..., Link], times: int) -> None:
    link = link_of(max_worker=10**9)
    link.start()

    def act(followers: list[Follower]) -> None:
        for _ in range(times):
            for follower in followers:
                follower.reached.clear()
                assert follower.faults == []
            link.write(10**9)
            for follower in followers:
                assert follower.reached.wait(PATIENCE)
                assert follower.faults == []
            link.kill()
            link.start()
        link.write(20)
        assert link.wrote.wait(PATIENCE)

    for follower in follow_all(link, act):
        assert follower.faults == []
        assert follower.missed == 0


def test_a_reader_that_takes_nothing_costs_the_writer_one_message(link_of: Callable[..., Link]) -> None:
    link = link_of(max_worker=10**9)
    link.start()
    woken: list[str] = []
    leave = link.logs.subscribe(WORKERS, lambda: woken.append("moved"))
    page = link.logs.tail(View(WORKERS), 10)
    link.write(50)
    assert link.wrote.wait(PATIENCE)
    assert sorted(m["worker"] for m in link.got if m["t"] == "moved") == list(WORKERS)
    assert [m["t"] for m in link.sent] == ["watch"] * 3 + ["write"]
    assert len(link.logs.after(View(WORKERS), page.next, 10**6).items) > 100
    asked = [m["seen"] for m in link.sent if m["t"] == "watch"]
    assert asked[:3] == [0, 0, 0]
    assert len(asked) == 6
    assert all(0 < seen <= link.logs._folders.words().watermark for seen in asked[3:])
    leave()
    assert [m["worker"] for m in link.sent if m["t"] == "unwatch"] == list(WORKERS)


def test_a_note_is_written_by_the_other_process(link_of: Callable[..., Link]) -> None:
    link = link_of(max_worker=10**9)
    link.start()
    follower = Follower(link, View(("a",)))
    follower.start()
    link.logs.note("a", 7, "hello")
    link.write(5)
    assert link.wrote.wait(PATIENCE)
    follower.join(PATIENCE)
    assert follower.faults == []
    lines = link.logs.tail(View(("a",), frozenset({"log"})), 5).items
    assert [(item.run, item.text) for item in lines if isinstance(item, Line)] == [(7, "hello")]


def test_a_slower_reader_is_told_of_what_a_quicker_one_had_read_before_it(link_of: Callable[..., Link]) -> None:
    """A watch is for what the last reader had not seen; one that saw less is told at once."""
    link = link_of(max_worker=10**9)
    link.start()
    woken: list[str] = []
    before = link.logs._folders.words().watermark
    leave = link.logs.subscribe(("a",), lambda: woken.append("slow"))
    link.write(5)
    assert link.wrote.wait(PATIENCE)
    link.logs.tail(View(("a",)), 1)
    woken.clear()
    link.logs._watch(("a",), before)
    assert woken == ["slow"]
    leave()
