"""How bytes become the text of a line, and what a key is."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_core.lines import (
    FULL,
    GRID,
    MAX_TEXT,
    BadKey,
    Cutter,
    hanging,
    line_limit,
    make_key,
    one_line,
    parse_key,
    text_of,
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain", ("plain", False, None)),
        (b"windows\r", ("windows", False, None)),
        (b"10%\r20%\r30%", ("30%", False, None)),
        (b"10%\r20%\r", ("20%", False, None)),
        (b"\r\r", ("", False, None)),
        (b"gr\xfc\xdfe", ("gr��e", True, None)),
        ("grüße".encode(), ("grüße", False, None)),
        ("a real � sign".encode(), ("a real � sign", False, None)),
        (b"nul \x00 stays", ("nul \x00 stays", False, None)),
        (b"\xed\xa0\x80", ("���", True, None)),
        (b"x" * MAX_TEXT, ("x" * MAX_TEXT, False, None)),
        (b"x" * (MAX_TEXT + 1), ("x" * MAX_TEXT, False, MAX_TEXT + 1)),
        ("€".encode() * MAX_TEXT, ("€" * MAX_TEXT, False, None)),
        ("€".encode() * (MAX_TEXT + 1), ("€" * MAX_TEXT, False, 3 * MAX_TEXT + 3)),
        (b"a" + "€".encode() * 100_000, ("a" + "€" * (MAX_TEXT - 1), False, 300_001)),
        (b"\xff" + b"x" * MAX_TEXT, ("�" + "x" * (MAX_TEXT - 1), True, MAX_TEXT + 1)),
        (b"x" * 100_000 + b"\xff", ("x" * MAX_TEXT, False, 100_001)),
        (b"x" * 100_000 + b"\rdone", ("done", False, None)),
    ],
)
def test_text_of_a_line(data: bytes, expected: tuple[str, bool, int | None]) -> None:
    assert text_of(data) == expected


@given(st.binary(max_size=200))
def test_text_can_always_be_sent(data: bytes) -> None:
    text, raw, _ = text_of(data)
    text.encode()
    assert "\r" not in text
    assert raw == (not _is_utf8(data))


def _is_utf8(data: bytes) -> bool:
    data = data.rstrip(b"\r")
    try:
        data[data.rfind(b"\r") + 1 :].decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.integers(0, FULL), st.integers(0, FULL), st.integers(0, FULL), st.integers(0, FULL))
def test_order_of_keys_is_order_of_stamps_and_offsets(a: int, b: int, c: int, d: int) -> None:
    assert (make_key(a, b) < make_key(c, d)) == ((a, b) < (c, d))
    assert parse_key(make_key(a, b)) == (a, b)


@pytest.mark.parametrize(
    "key", ["0", "g" * 32, "A" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n", " " + "0" * 31, "１" * 32]
)
def test_a_key_that_no_store_gives_out_is_refused(key: str) -> None:
    with pytest.raises(BadKey, match="32 hex digits"):
        parse_key(key)


@given(st.integers(0, 10 * GRID))
def test_no_line_is_longer_than_two_cells(start: int) -> None:
    assert GRID <= line_limit(start) - start <= 2 * GRID
    assert line_limit(start) % GRID == 0


def test_a_long_line_comes_in_pieces_and_is_not_held() -> None:
    cutter = Cutter(0)
    pieces = [piece for _ in range(64) for piece in cutter.feed(b"\0" * (256 * 1024))]
    assert [(at, len(data)) for at, data in pieces] == [(n * GRID, GRID) for n in range(16)]
    assert cutter.held == b""


@pytest.mark.row(17, 18)
@pytest.mark.parametrize("text", ["ü", "€", "😀", "aü€😀"])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_no_character_is_cut_where_a_long_line_is(text: str, shift: int) -> None:
    data = b"x" * shift + text.encode() * (3 * GRID // len(text.encode()))
    cutter = Cutter(0)
    pieces = [piece for start in range(0, len(data), 100_001) for piece in cutter.feed(data[start : start + 100_001])]
    assert len(pieces) >= 2
    joined = b""
    for at, piece in [*pieces, (cutter.start, cutter.held)]:
        assert at == len(joined)
        piece.decode()
        joined += piece
    assert joined == data


@given(st.binary(max_size=8))
def test_what_hangs_at_the_end_is_what_a_decoder_waits_for(data: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    assert hanging(data) == len(decoder.getstate()[0])


def test_a_note_is_one_line_whatever_is_in_it() -> None:
    assert one_line("two\nlines\r\nand \ud800") == b"two lines and ?\n"
