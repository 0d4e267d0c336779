"""The worker where there is no C compiler: the same arguments, notes and bytes as c/worker.c, only slower to start.

What lives here runs as a program of its own, a thousand times over: it imports as little as it can. Known wart: most
of what is measured then is Python's own start, so figures with it compare with nothing but each other.
"""

import os
import signal
import sys
import time

LINE = 100


def main(arguments: list[str]) -> int:
    action, path, number = arguments[:3]
    index = int(number)
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def note(what: str) -> None:
        text = f"{what} {index} {os.getpid()} {time.clock_gettime_ns(time.CLOCK_MONOTONIC)}"
        os.write(notes, text.ljust(63).encode() + b"\n")

    note("start")
    if action == "exit":
        return 1
    if action == "write":
        os.open(path + ".go", os.O_RDONLY | os.O_CLOEXEC)
        note("begin")
        write_lines(index, int(arguments[3]), int(arguments[4]))
        note("end")
    while True:
        signal.pause()


def write_lines(index: int, lines: int, block: int) -> None:
    each = max(1, block // LINE)
    for first in range(0, lines, each):
        text = "".join(
            f"w{index:04d} {n:010d} ".ljust(LINE - 1, "x") + "\n" for n in range(first, min(first + each, lines))
        )
        data = text.encode()
        while data:
            data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
