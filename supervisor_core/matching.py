"""A child process that says which texts match regular expressions. Run by its path, never imported by the service.

A pattern may take for ever, and `re` cannot be interrupted; here it may: the kernel ends this process when a batch has
used up its processor time, also when nobody is left who would. Standard library only, nothing of ours, quick to start.

    from the service:  length (4 bytes, little-endian) and a marshalled value, each time
    back:              the same. First the patterns; the answer is "" or what is wrong with one
    then batches:      a list of texts; the answer is one byte a text, 1 where all patterns hold

Known wart: `marshal` takes anything; the service is the only one that writes here.
"""

import marshal
import re
import resource
import signal
import sys
import warnings
from typing import Any, BinaryIO

MEMORY = 512 * 1024 * 1024
"""Bytes of address space: a pattern cannot take the host's memory either."""


def receive(source: BinaryIO) -> Any:
    """The next value; None when the service is gone."""
    head = source.read(4)
    if len(head) < 4:
        return None
    length = int.from_bytes(head, "little")
    body = source.read(length)
    return marshal.loads(body) if len(body) == length else None  # noqa: S302 - from our own parent


def answer(sink: BinaryIO, value: str | bytes) -> None:
    body = marshal.dumps(value)
    sink.write(len(body).to_bytes(4, "little") + body)
    sink.flush()


def compiled(patterns: list[tuple[str, bool, bool]]) -> list[tuple[re.Pattern[str], bool]]:
    """Each is (pattern, whether case counts for nothing, whether it is wanted). Raises ValueError with a reason."""
    found = []
    for pattern, ignore, wanted in patterns:
        try:
            found.append((re.compile(pattern, re.IGNORECASE if ignore else 0), wanted))
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{error}") from None
    return found


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on the terminal is for the service
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    seconds = float(sys.argv[1])
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        patterns = compiled(receive(source) or [])
    except ValueError as error:
        answer(sink, str(error))
        return
    signal.setitimer(signal.ITIMER_PROF, 0)
    answer(sink, "")
    while (texts := receive(source)) is not None:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        flags = bytearray(b"\1") * len(texts)
        for pattern, wanted in patterns:
            for i, text in enumerate(texts):
                if flags[i] and (pattern.search(text) is not None) != wanted:
                    flags[i] = 0
        signal.setitimer(signal.ITIMER_PROF, 0)
        answer(sink, bytes(flags))


if __name__ == "__main__":
    main()
