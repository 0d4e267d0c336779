"""Filters: words here, regular expressions in a child process that is killed when it needs too long and never left."""

import marshal
import signal
import threading
import time

import pytest

from supervisor_core import search as search_module
from supervisor_core.lines import Line, View
from supervisor_core.logs import MemoryStore
from supervisor_core.search import BadPattern, Pattern, Query, QueryTooSlow, Searches, TooManySearches

EVIL = Pattern("(a+)+$")
LONG = "a" * 5000 + "!"


def lines(*texts: str) -> list[Line]:
    return [Line(f"{i:032x}", 0.0, "a", "out", 1, i, text) for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), [1, 1, 1, 1]),
        (Query(wanted=("error",)), [1, 1, 0, 0]),
        (Query(unwanted=("error",)), [0, 0, 1, 1]),
        (Query(patterns=(Pattern("err.r"),)), [0, 1, 0, 0]),
        (Query(patterns=(Pattern("err.r", ignore_case=True),)), [1, 1, 0, 0]),
        (Query(patterns=(Pattern("err", ignore_case=True, wanted=False),)), [0, 0, 1, 1]),
        (Query(("disk",), (), (Pattern("^E"),)), [1, 0, 0, 0]),
        (Query(patterns=(Pattern(r"\d$"), Pattern("o", wanted=False))), [0, 0, 1, 0]),
        (Query(patterns=(Pattern("^$"),)), [0, 0, 0, 1]),
    ],
)
def test_what_a_query_accepts(query: Query, expected: list[int]) -> None:
    with Searches().open(query) as search:
        found = search(lines("ERROR on disk", "an er\x1b[31mror\x1b[0m", "line 7", ""))
    assert list(map(int, found)) == expected


def test_words_alone_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module.subprocess, "Popen", lambda *a, **k: pytest.fail("a child was started"))
    with Searches().open(Query(wanted=("x",))) as search:
        assert search(lines("x")) == [True]


def test_many_long_lines_go_in_batches() -> None:
    texts = [f"{'x' * 16_000}{i}" for i in range(100)]
    with Searches().open(Query(patterns=(Pattern("7$"),))) as search:
        assert [i for i, found in enumerate(search(lines(*texts))) if found] == list(range(7, 100, 10))


@pytest.mark.parametrize("text", ["(", "*", "[", "(?P<n>", "a{99999999999}", "\\", "(?<=a*)", "(" * 900])
def test_a_pattern_that_cannot_be_read_is_one_sentence_and_leaves_nothing(text: str) -> None:
    searches = Searches(1)
    for _ in range(2):
        with pytest.raises(BadPattern, match="cannot be read"):
            searches.open(Query(patterns=(Pattern(text),)))


def test_a_pattern_without_end_is_killed_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "BATCH_SECONDS", 0.3)
    searches = Searches(1)
    search = searches.open(Query(patterns=(EVIL,)))
    longest, over = 0.0, threading.Event()

    def other() -> None:
        nonlocal longest
        last = time.monotonic()
        while not over.wait(0.001):
            longest = max(longest, time.monotonic() - last)
            last = time.monotonic()

    beside = threading.Thread(target=other)
    beside.start()
    began = time.monotonic()
    with pytest.raises(QueryTooSlow, match=r"/\(a\+\)\+\$/ needs too much time"):
        search(lines(LONG))
    over.set()
    beside.join()
    assert 0.2 < time.monotonic() - began < 5
    assert longest < 0.2, "the pattern ran in this process: nothing else could"
    with pytest.raises(QueryTooSlow):
        search(lines("x"))
    search.close()
    with searches.open(Query(patterns=(Pattern("x"),))) as again:
        assert again(lines("x")) == [True]


def test_compiling_has_a_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "BATCH_SECONDS", 0.1)
    text = "[ -\U0010ffff]" * 190  # some 0.6 s
    with pytest.raises(QueryTooSlow):
        Searches().open(Query(patterns=(Pattern(text, ignore_case=True),)))


def test_a_search_has_a_time_for_all_its_batches() -> None:
    with pytest.raises(QueryTooSlow), Searches().open(Query(patterns=(EVIL,)), 0.2) as search:
        search(lines(LONG))


def test_the_number_of_children_is_bounded() -> None:
    searches, query = Searches(2), Query(patterns=(Pattern("x"),))
    with searches.open(query), searches.open(query):
        with pytest.raises(TooManySearches, match="2 searches"):
            searches.open(query)
        assert searches.open(Query(wanted=("x",)))(lines("x")) == [True]
    searches.open(query).close()


def test_closing_from_another_thread_ends_a_search_under_way() -> None:
    search = Searches().open(Query(patterns=(EVIL,)))
    raised: list[BaseException] = []

    def run() -> None:
        try:
            search(lines(LONG))
        except QueryTooSlow as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    began = time.monotonic()
    search.close()
    thread.join()
    assert raised
    assert time.monotonic() - began < 1.5
    search.close()


def test_a_child_whose_service_is_gone_ends_by_itself() -> None:
    search = Searches().open(Query(patterns=(EVIL,)))
    assert search._matcher is not None
    process = search._matcher._process
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0
    assert process.stdout is not None
    process.stdout.close()


def test_the_kernel_ends_a_child_whose_service_was_killed_in_the_midst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "BATCH_SECONDS", 0.2)
    search = Searches().open(Query(patterns=(EVIL,)))
    assert search._matcher is not None
    search_module._send(search._matcher._to, marshal.dumps([LONG]), time.monotonic() + 5)
    assert search._matcher._process.wait(10) == -signal.SIGPROF
    search.close()


@pytest.mark.parametrize("pattern", [Pattern("7$"), Pattern("7$", wanted=False)])
def test_pages_with_a_filter_meet_in_both_directions(pattern: Pattern) -> None:
    store = MemoryStore(lambda: 1e9)
    stream = store.open_stream("a", "out", 1)
    stream.append(b"".join(b"%d\n" % i for i in range(3000)))
    expected = [str(i) for i in range(3000) if (i % 10 == 7) == pattern.wanted]
    with Searches().open(Query(patterns=(pattern,))) as search:
        view = View(("a",), match=search)
        forward, page = [], store.after(view, "", 70)
        while True:
            forward += [item.text for item in page.items if isinstance(item, Line)]
            if not page.more:
                break
            page = store.after(view, page.next, 70)
        backward, page = [], store.tail(view, 70)
        while True:
            backward[:0] = [item.text for item in page.items if isinstance(item, Line)]
            if not page.more:
                break
            page = store.before(view, page.first, 70)
    assert forward == backward == expected
