"""The worker where there is no C compiler: the same arguments, notes and bytes as c/worker.c, only slower to start.

What lives here runs as a program of its own, a thousand times over: it imports as little as it can. Known wart: most
of what is measured then is Python's own start, so figures with it compare with nothing but each other.
"""

import os
import signal
import struct
import sys
import time

LINE, BATCH = 100, 10


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
    if action == "steady" and not os.path.exists(path + ".over"):
        write_steadily(path, index, int(arguments[3]))
    while True:
        signal.pause()


def write_steadily(notes: str, index: int, rate: int) -> None:
    asked: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: asked.append(number))
    count = os.open(f"{notes}.written/{index}.{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    n = 0
    while not asked:
        text = "".join(f"w{index:04d} {n + i:010d} p{os.getpid()} ".ljust(LINE - 1, "x") + "\n" for i in range(BATCH))
        try:
            os.write(1, text.encode())
        except OSError:
            os._exit(107)
        n += BATCH
        os.pwrite(count, struct.pack("l", n), 0)
        if rate and not asked:
            time.sleep(BATCH / rate)
    os._exit(index + 1)


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
