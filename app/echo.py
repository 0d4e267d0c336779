"""What is said on the terminal: every worker's output, as `name | line`, and lines of our own.

A terminal that goes away ends the echo and nothing else. Control characters of workers, other than colours, do not
reach the terminal.
"""

import contextlib
import re
from collections.abc import Sequence
from typing import TextIO

from supervisor_core.logs import Line, LogStore, View, follow

HUES = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
"""SGR colours for names, in turn; none of them red."""

_SGR = re.compile(r"(\x1b\[[0-9;]*m)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def say(text: str) -> None:
    """Prints one line of ours; a terminal that is gone stops nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(f"quarterdeck: {text}", flush=True)


def harmless(text: str, *, colour: bool) -> str:
    """Gives the text without control characters; its colours stay only when `colour` is wanted."""
    pieces = _SGR.split(text)
    kept = [piece if colour else "" for piece in pieces[1::2]]
    plain = [_CONTROL.sub("�", piece) for piece in pieces[0::2]]
    woven = "".join(p + k for p, k in zip(plain, [*kept, ""], strict=True))
    return woven + ("\x1b[0m" if colour and kept else "")


async def echo(store: LogStore, workers: Sequence[str], out: TextIO) -> None:
    """Writes what the workers write from now on, until cancelled or `out` is gone."""
    colour = out.isatty()
    width = max((len(name) for name in workers), default=0)
    prefixes = {}
    for index, name in enumerate(workers):
        label = f"{name:<{width}} |"
        prefixes[name] = f"\x1b[{HUES[index % len(HUES)]}m{label}\x1b[0m" if colour else label
    async for page in follow(store, View(tuple(workers)), tail=0):
        lines = [f"{prefixes[i.worker]} {harmless(i.text, colour=colour)}\n" for i in page.items if isinstance(i, Line)]
        if lines:
            try:
                out.write("".join(lines))
                out.flush()
            except (OSError, ValueError):
                return
