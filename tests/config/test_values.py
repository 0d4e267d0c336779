"""Values and lines: units read back what is written, and the finder of lines knows every key that tomllib knows."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_core.config.lines import find_lines
from supervisor_core.config.values import (
    BadValue,
    duration,
    format_duration,
    format_size,
    shown,
    signal_name,
    size,
)


@given(st.integers(0, 10 * 365 * 86_400_000))
def test_a_duration_reads_back(milliseconds):
    assert duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 2**62))
def test_a_size_reads_back(count):
    assert size(format_size(count)) == count


def refusal(parse, value):
    try:
        parse(value)
    except BadValue as error:
        return str(error)
    return ""


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text()), st.binary()))
def test_anything_else_is_refused_in_one_sentence(value):
    for parse in (duration, size, signal_name):
        said = refusal(parse, value)
        assert said == "" or (said.count("\n") == 0 and ";" in said)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m30s", 90), ("500ms", 0.5), ("1h 5m", 3900), ("2d", 172_800), ("1.5s", 1.5), ("90", 90), (0, 0), (2.5, 2.5)],
)
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1s1s", "5 minutes", "-1s", "1s2", True, None, float("nan"), "1e3s", "²s"])
def test_no_durations(text):
    with pytest.raises(BadValue):
        duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("64MiB", 64 * 2**20), ("10MB", 10**7), ("64M", 64 * 2**20), ("1k", 1024), ("1kB", 1000), ("12", 12), ("3B", 3),
     ("1.5 GiB", 3 * 2**29), (7, 7)],
)  # fmt: skip
def test_sizes(text, count):
    assert size(text) == count


TRICKY = '''
include = [ # one
  "a]",
  "b" ]
[worker."a.b"]   # comment [not] = a table
command = """
x = 1
[no.table]
\\"""
"""
env = { A = "}", "B C" = ['x', 'y'], D.E = 1 }
stop = [["INT", 1],
  ["TERM", 2]]
[[token]]
name = 'a"'
[token.sub]
k = \'\'\'
[nor.here]\'\'\'
[[token]]
name = 1979-05-27T07:32:00Z
[ worker . c . "d" ]
x.y.z = 1
'''


def paths(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def test_every_key_has_a_line():
    lines = find_lines(TRICKY)
    assert set(lines) == set(paths(tomllib.loads(TRICKY)))
    rows = TRICKY.split("\n")
    wanted = {
        ("include", 1): '  "b" ]',
        ("worker", "a.b"): '[worker."a.b"]   # comment [not] = a table',
        ("worker", "a.b", "env", "D", "E"): "env = { A = \"}\", \"B C\" = ['x', 'y'], D.E = 1 }",
        ("worker", "a.b", "stop", 1, 0): '  ["TERM", 2]]',
        ("token", 0, "sub", "k"): "k = '''",
        ("token", 1, "name"): "name = 1979-05-27T07:32:00Z",
        ("worker", "c", "d"): '[ worker . c . "d" ]',
        ("worker", "c", "d", "x", "y"): "x.y.z = 1",
    }
    assert {path: rows[lines[path] - 1] for path in wanted} == wanted


KEY = st.text("ab.\"' é", min_size=1, max_size=4)
LEAF = st.one_of(st.integers(0, 9), st.booleans(), st.text("ab]}#\"'\n=,é", max_size=6))
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3), max_leaves=8
)


def toml(value):
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case list():
            return "[ # c ] }\n" + ",\n".join(map(toml, value)) + "\n]"
        case dict():
            return "{ " + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + " }"


@given(st.dictionaries(KEY, st.dictionaries(KEY, VALUE, max_size=3), max_size=3))
def test_the_two_readers_of_one_grammar_agree(document):
    text = ""
    for name, table in document.items():
        text += f"[{toml(name)}] # [\n" + "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())
    assert tomllib.loads(text) == document
    lines = find_lines(text)
    assert set(lines) == set(paths(document))
    assert all(1 <= line <= text.count("\n") for line in lines.values())


def test_a_value_is_shown_short():
    assert shown("x" * 100) == '"' + "x" * 57 + '…"'
    assert [shown(value) for value in (True, 3, {}, [], "a\nb")] == ["true", "3", "a table", "a list", '"a\\nb"']
