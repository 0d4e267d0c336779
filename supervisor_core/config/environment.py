"""The variables of a worker: its `env_file`s, then its `environment`, whose values may be files.

Secrets pass here, so no message contains a value. A file that a value names is read here to see that
it can be, and again at each start: a new secret needs no reload. An `env_file` is read here alone.
"""

from collections.abc import Mapping
from typing import Any

from .expand import expand_home, expand_variables, expand_words
from .files import read_dotenv
from .problems import Found, Problems
from .reading import Words, absolute
from .sources import BadFile
from .values import BadValue, scalar, shown


def read_environment(
    entries: Mapping[str, Found], env_files: list[tuple[Found, str]], words: Words, problems: Problems
) -> tuple[dict[str, str], dict[str, str]]:
    """Gives the variables, and the paths of those that come from a file.

    `${VAR}` in a value is looked up in the env files first, then outside.
    """
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for found, path in env_files:
        try:
            environment |= read_dotenv(found.source.sources.read(path), {**words.variables, **environment})
        except BadFile as error:
            problems.add(found, f"{path} {error}" if not error.line else f"{path}: {error}")
    words = Words(words.words, {**words.variables, **environment})
    for name, found in entries.items():
        if not name or "=" in name or "\0" in name:
            problems.add(found, f'{shown(name)} is no variable name; it may not be empty or hold "="')
            continue
        try:
            environment[name] = _value(name, found, words, secrets)
        except BadValue as error:
            problems.add(found, str(error))
        except BadFile as error:
            problems.add(found, f"{found.value['file']} {error}")
    return environment, secrets


def _value(name: str, found: Found, words: Words, secrets: dict[str, str]) -> str:
    value: Any = found.value
    if not isinstance(value, dict):
        return _expanded(scalar(value), words)
    if set(value) != {"file"} or not isinstance(value["file"], str):
        raise BadValue('is neither a text nor a file; write NAME = "value" or NAME = { file = "/run/secrets/x" }')
    secrets[name] = absolute(found, _expanded(value["file"], words))
    text = found.source.sources.read_secret(secrets[name]).removesuffix("\n").removesuffix("\r")
    if "\0" in text:
        raise BadValue("the file holds a NUL character, which no program can receive; remove it")
    return text


def _expanded(text: str, words: Words) -> str:
    return expand_home(expand_variables(expand_words(text, words.words), words.variables))
