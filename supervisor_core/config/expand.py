"""What stands in texts for something else: `~`, `${VAR}`, `{name}`, `{index}`, `{slot}`.

`$${VAR}` and `{{name}}` are the ways to write those literally; `${VAR:-else}` gives a default. Other braces and
dollars stay as they are, so JSON and shell text pass. Known wart: `$VAR` without braces is left to the shell.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from .values import BadValue

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_WORD = re.compile(r"\{(\{(?:name|index|slot)\})\}|\{(name|index|slot)\}")


def expand_variables(text: str, variables: Mapping[str, str]) -> str:
    """Replaces `${VAR}`; raises `BadValue` for one that is not set and has no default."""

    def one(match: re.Match[str]) -> str:
        literal, name, default = match.groups()
        if literal:
            return str(literal)
        value = variables.get(name) or default if default is not None else variables.get(name)
        if value is None:
            raise BadValue(f"the variable {name} is not set; set it, or write ${{{name}:-default}}")
        return value

    return _VARIABLE.sub(one, text)


def expand_words(text: str, words: Mapping[str, str]) -> str:
    """Replaces `{name}`, `{index}`, `{slot}`; raises `BadValue` for a slot outside of a pool."""

    def one(match: re.Match[str]) -> str:
        literal, word = match.groups()
        if literal:  # with a pool, what is a slot and what is not is told apart at each launch
            return match[0] if literal == "{slot}" and "slot" in words else str(literal)
        if word not in words:
            raise BadValue(f"{{{word}}} has a meaning only with a pool; add pool = NAME or write {{{{{word}}}}}")
        return words[word]

    return _WORD.sub(one, text)


def expand_home(text: str) -> str:
    return os.path.expanduser(text) if text == "~" or text.startswith("~/") else text


def on_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Gives the value with every text in its lists and tables changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [on_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {key: on_texts(item, change) for key, item in value.items()}
    return value
