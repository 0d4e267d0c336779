"""The filter of `q=`: words, "several words", /regex/, /regex/i, and each with a minus before it; all must hold.

Words are the same in upper and lower case, a regular expression only with the i behind it; a slash in one is escaped.
What is written in the larger grammar of the dashboard (fields, OR) is refused with a sentence, not taken for words.
Pure: patterns are not even compiled here. Known wart: the text is searched without its colours, which the page shows.
"""

import re

from supervisor_core.search import Pattern, Query

LONGEST = 1000

_PART = re.compile(
    r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"|/(?P<pattern>(?:[^/\\]|\\.)+)/(?P<flag>i?)|(?P<word>[^\s"]+))'
    r"(?=\s|$)",
    re.DOTALL,
)
_FIELD = re.compile(r"[A-Za-z_][\w.]*(?::|=|!=|>|<)")


class BadQuery(ValueError):
    """A filter that cannot be read; the message is one sentence."""


def parse(query: str) -> Query:
    """What a filter asks; an empty one asks nothing. Raises `BadQuery`."""
    if len(query) > LONGEST:
        raise BadQuery(f"q is longer than {LONGEST} characters")
    wanted: list[str] = []
    unwanted: list[str] = []
    patterns: list[Pattern] = []
    at = 0
    while at < len(query):
        if query[at].isspace():
            at += 1
            continue
        part = _PART.match(query, at)
        if part is None:
            raise BadQuery('q has a quotation mark without its partner; write "several words"')
        at = part.end()
        if part["pattern"] is not None:
            patterns.append(Pattern(part["pattern"], ignore_case=bool(part["flag"]), wanted=not part["minus"]))
            continue
        if part["word"] is not None:
            _refuse_grammar(part["word"])
        text = (part["word"] if part["phrase"] is None else part["phrase"]).lower()
        if text:
            (unwanted if part["minus"] else wanted).append(text)
    return Query(tuple(wanted), tuple(unwanted), tuple(patterns))


def _refuse_grammar(word: str) -> None:
    what = ""
    if _FIELD.match(word):
        what = "a field"
    elif word in ("OR", "AND", "NOT", "|") or word.startswith("(") or word.endswith(")"):
        what = "a combination"
    if what:
        raise BadQuery(
            f"q reads {word[:60]!a} as {what}, which is not supported yet; put it in quotation marks to look for it"
        )
