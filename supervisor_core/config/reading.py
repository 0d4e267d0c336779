"""One table of the file against the keys that it may have: spellings, unknown keys, parsing, expansion, refusals.

What a table means as a whole is decided by its caller. Known wart: whether a `later` key asks for nothing can be seen
only after parsing, so its text is parsed although nobody will use it.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .expand import expand_home, expand_variables, expand_words, on_texts
from .keys import NOTHING, Key, Table
from .problems import Found, Problems
from .values import BadValue, shown

Fields = Mapping[str, Found]


@dataclass(frozen=True, slots=True)
class Words:
    """What texts may refer to: `{name}` and its like, and the variables behind `${VAR}`."""

    words: Mapping[str, str]
    variables: Mapping[str, str]


FEW = 16
"""So many known names are told, when none is near."""


def nearest(name: str, known: Iterable[str], *, say: str = "") -> str:
    """Gives a remedy: the known name that is nearest, else all of them."""
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, 1, 0.6):
        return f"did you mean {shown(close[0])}?"
    if not 0 < len(known) <= FEW:
        return "nothing has a name like it; correct or remove it"
    return f"{say or 'known are'} {', '.join(known)}"


def fields_of(found: Found, table: Table, problems: Problems) -> dict[str, Found]:
    """Gives the values of a table by the keys' own names; notes unknown and doubled ones."""
    if not isinstance(found.value, dict):
        problems.add(found, f'{shown(found.value)} is no table; write {{ key = "value" }} or [{found.label}]')
        return {}
    spellings = table.by_spelling()
    fields: dict[str, Found] = {}
    for spelling, value in found.items().items():
        key = spellings.get(spelling)
        if key is None:
            remedy = nearest(spelling, spellings)
            if isinstance(value.value, dict) and found.path[:1] == ("worker",) and len(found.path) == 2:
                remedy = f'a name with a dot needs quotes: [worker."{found.path[1]}.{spelling}"]'
            problems.add(value, f"unknown key; {remedy}")
        elif key.name in fields:
            other = fields[key.name].path[-1]
            problems.add(value, f"the same as {shown(other)}, which is set too; remove one of them")
        else:
            fields[key.name] = value
    return fields


def expanded(key: Key, found: Found, words: Words) -> Any:
    """Gives the raw value with its texts expanded; raises `BadValue`."""
    value = on_texts(found.value, lambda text: expand_words(text, words.words)) if words.words else found.value
    if key.expand:
        value = on_texts(value, lambda text: expand_home(expand_variables(text, words.variables)))
    if key.path:
        value = on_texts(value, lambda text: text and absolute(found, text))
    return value


def absolute(found: Found, path: str) -> str:
    """A path of the file, which is relative to the file's folder."""
    return os.path.normpath(os.path.join(found.source.folder, path))


def parsed(key: Key, found: Found | None, problems: Problems, words: Words) -> Any:
    """Gives the value of one key, its default where it is absent or bad; notes what is bad or not supported yet."""
    if found is None:
        return key.default
    try:
        value = key.parse(expanded(key, found, words))
    except BadValue as error:
        problems.add(found, str(error))
        return key.default
    if key.later and (key.off is NOTHING or value != key.off):
        problems.add(found, "not supported yet; remove it for now")
    return value


def read_table(found: Found | None, table: Table, problems: Problems, words: Words) -> dict[str, Any]:
    """Gives all values of a table whose keys stand for themselves; a key without default must be there."""
    fields = fields_of(found, table, problems) if found else {}
    values = {key.name: parsed(key, fields.get(key.name), problems, words) for key in table.keys}
    if found and isinstance(found.value, dict):
        for key in table.keys:
            if key.default is NOTHING and key.name not in fields:
                problems.add(found, f"has no {key.name}; add {key.name} = …  ({key.doc.rstrip('.')})")
    return values
