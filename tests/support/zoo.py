"""One small program that behaves as its arguments say, word by word; what tests run as a worker.

    python -I -S zoo.py say hello ignore TERM child pause

It uses the standard library only and starts in about 20 ms. Known wart: `runaway` ends by KILL alone.
"""

import os
import select
import signal
import sys


def pause():
    while True:
        signal.pause()


def fork(*, escape=False, stubborn=False):
    """A process that only stays, ready when this returns; one that escapes has another session and parent."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        if escape:
            os.setsid()
            if os.fork():
                os._exit(0)
        if stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(writing, b"%d\n" % os.getpid())
        os.close(reading)
        os.close(writing)
        pause()
    os.close(writing)
    if escape:
        os.wait()
    with os.fdopen(reading) as file:
        return int(file.readline())


def runaway():
    """Forks into new sessions faster than one can look."""
    for _ in range(5000):
        if os.fork():
            os._exit(0)
        os.setsid()
        select.select([], [], [], 0.002)


def main(words):
    out, err = sys.stdout, sys.stderr
    while words:
        word = words.pop(0)
        if word == "say":
            print(words.pop(0), file=out, flush=True)
        elif word == "err":
            print(words.pop(0), file=err, flush=True)
        elif word == "flood":
            for number in range(int(words.pop(0))):
                out.write(f"line {number}\n")
            out.flush()
        elif word == "exit":
            os._exit(int(words.pop(0)))
        elif word == "die":
            os.kill(os.getpid(), signal.Signals["SIG" + words.pop(0)])
        elif word == "ignore":
            signal.signal(signal.Signals["SIG" + words.pop(0)], signal.SIG_IGN)
        elif word == "child":
            fork()
        elif word == "stubborn-child":
            fork(stubborn=True)
        elif word == "escapee":
            fork(escape=True, stubborn=True)
        elif word == "short-escapee":
            pid = fork(escape=True)
            os.kill(pid, signal.SIGKILL)
            print("escapee", pid, file=out, flush=True)
        elif word == "runaway":
            if os.fork() == 0:
                runaway()
        elif word == "close":
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
        elif word == "echo":
            for line in sys.stdin:
                print(line, end="", file=out, flush=True)
        elif word == "pause":
            pause()
        else:
            raise SystemExit(f"no such word: {word}")


main(sys.argv[1:])
