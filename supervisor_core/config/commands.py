"""What a command is: a list, or a text that is executed directly or given to /bin/sh.

Pure. Known wart: a text is given to the shell on sight of a shell character, even a quoted one; the outcome is the
same but for the shell's own process.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from .values import BadValue, shown, string

SHELL_CHARACTERS = re.compile(r"[|&;<>()$`\\*?\[\]#!{}\n]|(?:^|\s)~")
SHELL_WORDS = frozenset({
    ".", ":", "alias", "case", "cd", "command", "eval", "exec", "exit", "export", "for", "if", "set", "source", "time",
    "trap", "ulimit", "umask", "until", "while",
})  # fmt: skip

LONGEST_ARGUMENT = 131_071
"""Bytes of one argument or variable: the kernel's limit, less the NUL at the end."""

LARGEST_CALL = 2_000_000
"""Bytes of all arguments and variables; the kernel allows 2 MiB with the usual stack, pointers included."""


def parse_command(value: Any) -> tuple[tuple[str, ...], bool]:
    """Gives (argv, whether a shell runs it); raises `BadValue`."""
    if isinstance(value, str):
        return _text(string(value))
    if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
        raise BadValue(f'{shown(value)} is no command; write a text or a list such as ["python", "train.py"]')
    argv = tuple(item if isinstance(item, str) else shown(item) for item in value)
    if not argv or not argv[0]:
        raise BadValue('the command is empty; write a text or a list such as ["python", "train.py"]')
    for item in argv:
        string(item)
    return argv, False


def _text(text: str) -> tuple[tuple[str, ...], bool]:
    if not text.strip():
        raise BadValue('the command is empty; write a text or a list such as ["python", "train.py"]')
    try:
        words = shlex.split(text)
    except ValueError as error:
        if SHELL_CHARACTERS.search(text):  # a here-document, say: the shell knows better
            return ("/bin/sh", "-c", text), True
        raise BadValue(f"{shown(text)} has a quote that is not closed; close it") from error
    if SHELL_CHARACTERS.search(text) or not words or words[0] in SHELL_WORDS or "=" in words[0]:
        return ("/bin/sh", "-c", text), True
    return tuple(words), False


def check_size(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raises `BadValue` for a call that the kernel would refuse with "argument list too long"."""
    texts = [*argv, *(f"{name}={value}" for name, value in environment.items())]
    sizes = [len(text.encode(errors="surrogateescape")) for text in texts]
    if max(sizes) > LONGEST_ARGUMENT:
        raise BadValue(f"an argument or variable has {max(sizes)} bytes; at most 131071 fit: put it in a file")
    if sum(sizes) + 9 * len(sizes) > LARGEST_CALL:
        raise BadValue(f"arguments and variables have {sum(sizes)} bytes together; at most 2 MB fit: use a file")
