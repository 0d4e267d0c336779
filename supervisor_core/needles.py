"""The words of a filter as bytes: over which bytes of a log one can pass, since no line in them can be accepted. Pure.

The filter itself sees text: escapes taken out, in lower case, without what a carriage return wrote over. Bytes are only
passed over where that makes no difference; a word with letters that have odd capitals is no needle at all.

Known wart: lines with escapes cost ten times as much as others.
"""

import re
from collections.abc import Sequence

_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]*(?:\x07|\x1b\\)?|[@-Z\\^_a-z])")
"""As `search.plain` takes them out of one line of text, whose carriage returns are gone by then."""

_CAPITALS = {"k": "\u212a".encode(), "i": "\u0130".encode()}
"""Letters beyond ASCII that become, or begin with, one of ASCII in lower case."""

_ODD = "\u0307\ufffd"
"""The rest of a capital that has become two characters; what stands for invalid bytes."""


class Needles:
    """Made of words in lower case. Untrue when none of them can be looked for in bytes."""

    def __init__(self, words: Sequence[str]) -> None:
        usable = [word for word in words if all(map(is_plain, word))]
        self._needles = [word.encode() for word in usable]
        self._cased = any(word != word.upper() for word in usable)
        self._capitals = [data for letter, data in _CAPITALS.items() if any(letter in word for word in usable)]

    def __bool__(self) -> bool:
        return bool(self._needles)

    def clear(self, data: bytes, end: int) -> int:
        """Of the whole lines data[:end]: where those end over which one can pass, from the beginning on."""
        if self._capitals and not data.isascii() and any(capital in data for capital in self._capitals):
            return 0
        lower = data.lower() if self._cased else data
        places = [lower.find(needle, 0, end) for needle in self._needles]
        if b"\x1b" not in data:
            return end if min(places) < 0 else lower.rfind(b"\n", 0, max(places)) + 1
        if min(places) < 0:
            bare = _ESCAPE.sub(b"", lower[:end])
            if any(place < 0 and needle not in bare for place, needle in zip(places, self._needles, strict=True)):
                return end
        return 0


def is_plain(character: str) -> bool:
    """Whether it stands in a text in lower case just where its bytes do, or, of an ASCII letter, its capital's."""
    if character.isascii():
        return character.isprintable()
    has_case = character.lower() != character or character.upper() != character
    return character.isprintable() and not has_case and character not in _ODD
