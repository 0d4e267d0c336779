"""A filter of words finds the same whether lines are looked at one by one or bytes without them are passed over."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supervisor_core import lines as lines_module
from supervisor_core import merge as merge_module
from supervisor_core.children import passing as passing_module
from supervisor_core.children import places as places_module
from supervisor_core.children import reader as reader_module
from supervisor_core.children.segments import SegmentStore
from supervisor_core.lines import Item, Line, Page, View
from supervisor_core.needles import Needles, is_plain
from supervisor_core.search import Query, Search
from tests.support.places import Place

EXAMPLES = 150

PIECES = [
    b"a", b"b", b"K", b"ki", b"needle", b"NEEdle", b"nee", b"dle", b"\n", b"\n", b"\r", b"\r\n", b" ", b"[3",
    b"\x1b[31m", b"\x1b[0m", b"\x1b[3", b"\x1b", b"\x1b]0;t", b"\x07", b"\x1b\\", b"\x1bM", b"\x1b(B", b"1m",
    b"\xff", b"\xe4\xbd", b"\xa0", "你好".encode(), "\u212a".encode(), "\u0130".encode(), "\u0307".encode(),
    "Straße Σ".encode(), "\ufffd".encode(), b"\0", b"x" * 70,
]  # fmt: skip
WORDS = [
    "needle", "k", "ki", "i", "ab", "a", "dle", "1m", "[3", "b1m", "[3needle", "nee dle", "x" * 20, "你", "好",
    "\ufffd", "\u0307", "straße", "σ", "\x1b", "\r", "zz", " ",
]  # fmt: skip
steps = st.lists(
    st.one_of(
        st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join),
        st.binary(max_size=12),
        st.sampled_from(["run", "other stream"]),
    ),
    max_size=25,
)
queries = st.builds(
    Query,
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(tuple),
    st.lists(st.sampled_from(WORDS), max_size=1).map(tuple),
)


def play(store: SegmentStore, given_steps: list[bytes | str]) -> None:
    run = 1
    stream = store.open_stream("a", "out", run)
    for step in given_steps:
        if step == "run":
            run += 1
            stream = store.open_stream("a", "out", run)
        elif isinstance(step, str):
            store.open_stream("b", "out", 1).append(b"needle of b\nnothing\n")
        else:
            stream.append(step)


def forward(store: SegmentStore, view: View, limit: int) -> list[Item]:
    return walk(lambda key: store.after(view, key, limit), "", lambda page: page.next, 1)


def backward(store: SegmentStore, view: View, limit: int) -> list[Item]:
    return walk(lambda key: store.before(view, key, limit), "f" * 32, lambda page: page.first, -1)


def walk(read: Callable[[str], Page], key: str, go_on: Callable[[Page], str], step: int) -> list[Item]:
    items: list[Item] = []
    while True:
        page = read(key)
        items += page.items[::step]
        assert not page.more or go_on(page) != key, "it does not get on"
        key = go_on(page)
        if not page.more:
            return items


def compare(store: SegmentStore, query: Query, limit: int) -> None:
    search = Search(query, None)
    slow = View(("a", "b"), match=search)
    quick = View(("a", "b"), match=search, words=query.wanted)
    for way in (forward, backward):
        assert way(store, quick, limit) == way(store, slow, limit)
    everything = [item for item in forward(store, View(("a", "b")), 1000) if isinstance(item, Line)]
    for line in everything[:: max(len(everything) // 4, 1)]:
        key = line.key or ""
        for read in (store.after, store.before):
            told, expected = read(quick, key, 1000), read(slow, key, 1000)
            assert (told.items, told.more) == (expected.items, expected.more)
        told, expected = store.after(quick, key, limit), store.after(slow, key, limit)
        assert (told.items, told.more, told.next) == (expected.items, expected.more, expected.next)
        told, expected = store.before(quick, key, limit), store.before(slow, key, limit)
        assert (told.items, told.more, told.first) == (expected.items, expected.more, expected.first)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows, cells, lines and segments so small that a few bytes reach all their edges."""
    for module in (lines_module, places_module, reader_module, passing_module):
        monkeypatch.setattr(module, "GRID", 64)
    monkeypatch.setattr(lines_module, "MAX_TEXT", 24)
    monkeypatch.setattr(passing_module, "FIRST", 16)
    monkeypatch.setattr(passing_module, "LAST", 64)
    monkeypatch.setattr(passing_module, "_FEW", 2)
    monkeypatch.setattr(reader_module, "_FIRST_READ", 16)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, queries, st.sampled_from([80, 400, 100_000]), st.sampled_from([1, 3, 1000]))
@example([b"er\x1b[31mror\nne\x1b[0medle\n"], Query(("needle",)), 400, 1)
@example([b"x\xe2\x84\xaay\n", b"\xc4\xb0 nee\n" * 9], Query(("k",)), 400, 1)
@example([b"nothing\nNEEDle\n"], Query(("needle",)), 400, 1)
@example([b"\x1b]0;title\rnee\x1b[0mdle\n"], Query(("needle",)), 400, 1)
@example([b"\x1b]0;title", b"\nnee\x1b[0mdle\n"], Query(("needle",)), 400, 1)
@example([b"x" * 62 + b"\x1b[31mneed\x1b[0mle\n"], Query(("31mneedle",)), 400, 1)
@example([b"nothing\n" * 50 + b"needle\n" + b"nothing\n" * 50], Query(("needle",)), 80, 1)
@pytest.mark.usefixtures("tiny")
def test_the_same_is_found(
    tmp_path_factory: pytest.TempPathFactory, given_steps: list[bytes | str], query: Query, segment: int, limit: int
) -> None:
    place = Place(tmp_path_factory.mktemp("logs"), segment)
    try:
        store = place.start()
        play(store, given_steps)
        compare(store, query, limit)
        store = place.start(compress=True)
        store.settle()
        compare(store, query, limit)
    finally:
        place.stop()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "logs", segment=2000)
    yield made
    made.stop()


@pytest.mark.row(48)
@pytest.mark.leaves("damaged logs")
@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("damage", ["segment", "end of a segment", "index", "records"])
def test_the_same_gaps_are_told(place: Place, damage: str, tmp_path: Path) -> None:
    store = place.start()
    play(store, [b"nothing %03d\n" % i * 3 if i % 40 else b"a needle\n" for i in range(300)])
    path = place.files(".log" if "segment" in damage else ".idx")[3]
    saved = tmp_path / "saved"
    saved.write_bytes(path.read_bytes())
    if damage == "records":
        data = bytearray(saved.read_bytes())
        for number in (5, 6, 11):
            data[number * 32 + 3] ^= 255
        path.write_bytes(data)
    elif damage == "end of a segment":
        path.write_bytes(saved.read_bytes()[:-5])
    else:
        path.unlink()
    store = place.start()
    query = Query(("needle",))
    compare(store, query, 1000)
    found = forward(store, View(("a",), match=Search(query, None), words=query.wanted), 1000)
    assert any(not isinstance(item, Line) for item in found[1:])
    assert [item.text for item in found if isinstance(item, Line)] == ["a needle"] * len(
        [item for item in found if isinstance(item, Line)]
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long the lines are that were made into text."""
    made: list[int] = []
    text_of = reader_module.text_of

    def counting(line: bytes, length: int | None = None) -> tuple[str, bool, int | None]:
        made.append(len(line))
        return text_of(line, length)

    monkeypatch.setattr(reader_module, "text_of", counting)
    return made


@pytest.mark.parametrize("way", [forward, backward])
@pytest.mark.parametrize("line", [b"plain line %d", b"\x1b[32mcoloured\x1b[0m line %d", "größer noch %d".encode()])
def test_bytes_without_the_word_are_not_made_into_lines(
    place: Place, counted: list[int], way: Callable[..., list[Item]], line: bytes
) -> None:
    place.segment = 4_000_000
    store = place.start()
    stream = store.open_stream("a", "out", 1)
    lines = [b"here is the NEEDLE" if i == 70_000 else line.replace(b"%d", b"%d" % i) for i in range(100_000)]
    for start in range(0, len(lines), 100):
        stream.append(b"\n".join(lines[start : start + 100]) + b"\n")
    query = Query(("needle", "here"))
    view = View(("a",), match=Search(query, None), words=query.wanted)
    assert [item.text for item in way(store, view, 9) if isinstance(item, Line)] == ["here is the NEEDLE"]
    assert len(counted) < 10_000


def test_one_call_passes_over_a_bounded_number_of_bytes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "READ_BUDGET", 50_000)
    place.segment = 4_000_000
    store = place.start()
    store.open_stream("a", "out", 1).append(b"nothing here\n" * 100_000)
    view = View(("a",), match=Search(Query(("needle",)), None), words=("needle",))
    pages, key = 0, ""
    while (page := store.after(view, key, 10)).more:
        assert page.next > key
        key, pages = page.next, pages + 1
    assert 2 < pages < 12


def test_no_letter_becomes_another_in_lower_case_unless_it_is_known() -> None:
    """Over all of Unicode: the lower case of another character has none that is looked for by its bytes."""
    odd = {
        (capital, letter)
        for capital in map(chr, itertools.chain(range(128, 0xD800), range(0xE000, sys.maxunicode + 1)))
        for letter in capital.lower()
        if letter != capital and is_plain(letter)
    }
    assert odd == {("\u212a", "k"), ("\u0130", "i")}


@pytest.mark.parametrize(
    ("words", "data", "clear"),
    [
        (["x"], b"a\nb\n", 4),
        (["b"], b"a\nb\nc\n", 2),
        (["a", "c"], b"a\nb\nc\n", 4),
        (["a"], b"A\nb\n", 0),
        (["7"], b"a\n\x1b[7m\n", 0),
        (["x"], b"a\n\x1b[7m\n", 7),
        (["k"], b"a\n\xe2\x84\xaa\n", 0),
        (["你"], "a\n好\n你\n".encode(), 6),
    ],
)
def test_how_much_is_clear(words: list[str], data: bytes, clear: int) -> None:
    assert Needles(words).clear(data, len(data)) == clear


def test_words_that_cannot_be_looked_for_in_bytes() -> None:
    assert not Needles(["straße", "σ", "\ufffd", "a\x1b", "\ud800", "\t"])
    assert Needles(["σ", "needle"])
