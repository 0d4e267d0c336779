"""The filter of `q=`: words, "several words", -without; all must hold, upper and lower case are the same.

What is written in the larger grammar of the dashboard (patterns, fields) is refused with a sentence, not taken for
words. Pure. Known wart: the text is searched without its colours, which the page shows.
"""

import re
from collections.abc import Callable

LONGEST = 1000

_PART = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))(?=\s|$)')
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_a-z])")
_FIELD = re.compile(r"[A-Za-z_][\w.]*(?::|=|!=|>|<)")


class BadQuery(ValueError):
    """A filter that cannot be read; the message is one sentence."""


def plain(text: str) -> str:
    """The text without colours and other escape sequences."""
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def parse(query: str) -> Callable[[str], bool] | None:
    """What a filter accepts, as a function of a line's text; None for an empty one. Raises `BadQuery`."""
    if len(query) > LONGEST:
        raise BadQuery(f"q is longer than {LONGEST} characters")
    wanted: list[str] = []
    unwanted: list[str] = []
    at = 0
    while at < len(query):
        if query[at].isspace():
            at += 1
            continue
        part = _PART.match(query, at)
        if part is None:
            raise BadQuery('q has a quotation mark without its partner; write "several words"')
        phrase, word = part["phrase"], part["word"]
        if word is not None:
            _refuse_grammar(word)
        text = (word if phrase is None else phrase).lower()
        if text:
            (unwanted if part["minus"] else wanted).append(text)
        at = part.end()
    if not wanted and not unwanted:
        return None

    def accepts(text: str) -> bool:
        text = plain(text).lower()
        return all(part in text for part in wanted) and not any(part in text for part in unwanted)

    return accepts


def _refuse_grammar(word: str) -> None:
    what = ""
    if word.startswith("/") and word.endswith("/") and len(word) > 2:
        what = "a pattern"
    elif _FIELD.match(word):
        what = "a field"
    elif word in ("OR", "AND", "NOT", "|") or word.startswith("(") or word.endswith(")"):
        what = "a combination"
    if what:
        raise BadQuery(
            f"q reads {word[:60]!a} as {what}, which is not supported yet; put it in quotation marks to look for it"
        )
