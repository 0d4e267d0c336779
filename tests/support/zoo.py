"""One small program that behaves as its arguments say, word by word; what tests run as a worker.

    python -I -S zoo.py say hello ignore TERM child pause
    python -I -S zoo.py write 10000 rate=5000 size=100 noise=20 seal exit 3

`write COUNT` prints numbered lines (COUNT may be `forever`), with these after it: `size=` bytes of a line with its
newline; `batch=` lines of one write (0: blocks of about 64 KiB); `rate=` lines a second; `noise=` bytes of no text in
a line of their own after each numbered one; `bar=` steps of a progress bar that the line then overwrites. Numbers go
on over several `write`. `seal` prints how many lines came before it and their checksum, so that `sequences.py` knows
the truth without asking the writer. `unbroken BYTES` prints as much without a newline, in numbered blocks.
`lock PATH` shows whether it ever runs twice at the same time.

What forks without end has an end: at most `MOST` forks a life. `tell ADDRESS NAME` sends the name to a socket and so
says from outside's view that all words before it are done; it also stands in the arguments of all that is forked.

It uses the standard library only and starts in about 20 ms. Known wart: a `bomb` of root heeds no limit but its own.
"""

import contextlib
import os
import select
import signal
import sys
import time
import zlib

BLOCK = 64 * 1024
DIGITS = 10
NOISE = b"\x00\xff\xc3(\xed\xa0\x80\xf0\x9f\x98\x1b]52;c;?\x07"
"""No text: NUL, bytes that begin or continue nothing, a lone surrogate, a cut emoji, an escape sequence."""

MOST = 400
"""Forks of one `runaway`, `spray` or `bomb`, whatever happens."""

STEP = 0.002
"""Seconds between two of them; a bomb takes none."""

FORKS = {
    "child": {},
    "stubborn-child": {"stubborn": True},
    "stopped-child": {"stopped": True},
    "escapee": {"escape": True, "stubborn": True},
    "mild-escapee": {"escape": True},
    "stopped-escapee": {"escape": True, "stubborn": True, "stopped": True},
}
"""The words for one more process, and how it differs from one that only stays; see `fork`."""


class Numbered:
    """The numbered lines of this process: how many, and the checksum of those without noise or bars."""

    def __init__(self):
        self.count = 0
        self.sum = 0
        self.ended = False

    def end(self, *_):
        """Ends the `write` that is under way, after the present block."""
        self.ended = True

    def write(self, count, size=100, batch=1, rate=0, noise=0, bar=0):
        step = batch or max(1, BLOCK // size)
        filler = b" " + b"x" * (size - DIGITS - 2) if size > DIGITS + 1 else b""
        one = b"%%0%dd%s\n" % (DIGITS, filler)
        last = None if count is None else self.count + count
        begun, base = time.monotonic(), self.count
        while not self.ended and (last is None or self.count < last):
            now = step if last is None else min(step, last - self.count)
            lines = (one * now) % tuple(range(self.count, self.count + now))
            self.sum = zlib.crc32(lines, self.sum)
            self.count += now
            put(adorned(lines, noise, bar) if noise or bar else lines)
            if rate:
                ahead = begun + (self.count - base) / rate - time.monotonic()
                if ahead > 0:
                    wait(ahead)

    def seal(self):
        put(b"seal %d %08x\n" % (self.count, self.sum))
        self.count = self.sum = 0


def adorned(lines, noise, bar):
    """Each line with a progress bar before it and noise after it."""
    steps = b"".join(b"%3d %% %s\r" % (100 * n // bar, b"#" * n) for n in range(bar))
    junk = (NOISE * (noise // len(NOISE) + 1))[:noise] + b"\n" if noise else b""
    return b"".join(steps + line + junk for line in lines.splitlines(keepends=True))


def unbroken(count):
    number = 0
    while count > 0:
        block = b"<%014d>" % number + b"." * (BLOCK - 16)
        put(block[:count])
        count -= BLOCK
        number += 1


def put(data, fd=1):
    """Writes all of it, whatever a pipe takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def wait(seconds):
    select.select([], [], [], seconds)


def pause():
    while True:
        signal.pause()


def fork(*, escape=False, stubborn=False, stopped=False):
    """A process that only stays, ready when this returns; one that escapes has another session and parent."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        between = os.getpid()
        if escape:
            os.setsid()
            if os.fork():
                os._exit(0)
        if stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(writing, b"%d\n" % os.getpid())
        os.close(reading)
        os.close(writing)
        while escape and stopped and os.getppid() == between:  # its end would wake and hang up one that is stopped
            wait(STEP)
        if stopped:
            os.kill(os.getpid(), signal.SIGSTOP)
        pause()
    os.close(writing)
    if escape:
        os.wait()
    with os.fdopen(reading) as file:
        return int(file.readline())


def orphans(count):
    """Children of a parent that has left, which end at once: somebody else must collect them."""
    for _ in range(count):
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(7)
            os._exit(0)
        os.wait()


def lock(path):
    """Holds the file for as long as it lives, and leaves a mark beside it when another one does."""
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with open(path + ".twice", "a") as mark:
            print(os.getpid(), file=mark)


def daemonise():
    """Goes on as a daemon does: another session, another process; the first one has left with status 0."""
    for again in (True, False):
        if os.fork():
            os._exit(0)
        if again:
            os.setsid()


def runaway():
    """Forks into new sessions faster than one can look; only the last one is there at any time."""
    for _ in range(MOST):
        if os.fork():
            os._exit(0)
        os.setsid()
        wait(STEP)
    pause()


def spray():
    """Leaves one process after the other behind, each in a session of its own, and stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(MOST):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            pause()
        os.wait()
        wait(STEP)
    pause()


def bomb():
    """All that it forks fork as well, at once, and again when they could not; each into a session of its own.

    Returns the error that the first of them met, or "" when all `MOST` forks went well.
    """
    tickets, stock = os.pipe()
    reading, writing = os.pipe()
    os.write(stock, b"." * MOST)
    os.close(stock)
    if os.fork() == 0:
        os.close(reading)
        explode(tickets, writing)
    os.close(tickets)
    os.close(writing)
    with os.fdopen(reading) as file:
        return file.readline().strip()


def explode(tickets, report):
    """Takes a ticket for each fork; says the first error of a fork, or by closing `report` that there is none."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    told = False
    while os.read(tickets, 1):
        while True:
            try:
                if os.fork() == 0:
                    os.setsid()
                break
            except OSError as error:
                told = told or complain(report, error)
                wait(STEP)
    os.close(report)
    pause()


def complain(report, error):
    with contextlib.suppress(BrokenPipeError):  # another one was first
        os.write(report, f"{error}\n".encode())
    return True


def tell(address, name):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(name.encode(), "\0" + address)


def number_of(name):
    """`TERM`, `RTMIN+3` or a number."""
    if name.isdigit():
        return int(name)
    if name.startswith("RTMIN+"):
        return signal.SIGRTMIN + int(name.removeprefix("RTMIN+"))
    return signal.Signals["SIG" + name]


def settings(words):
    """Takes the `key=value` words that follow, as numbers."""
    taken = {}
    while words and "=" in words[0]:
        key, _, value = words.pop(0).partition("=")
        taken[key] = int(value)
    return taken


def main(words):
    out, lines = sys.stdout, Numbered()
    while words:
        word = words.pop(0)
        if word == "say":
            print(words.pop(0), file=out, flush=True)
        elif word == "err":
            print(words.pop(0), file=sys.stderr, flush=True)
        elif word == "print":  # no newline
            print(words.pop(0), end="", file=out, flush=True)
        elif word == "flood":
            for number in range(int(words.pop(0))):
                out.write(f"line {number}\n")
            out.flush()
        elif word == "write":
            count = words.pop(0)
            lines.write(None if count == "forever" else int(count), **settings(words))
        elif word == "seal":
            lines.seal()
        elif word == "unbroken":
            unbroken(int(words.pop(0)))
        elif word == "noise":
            put((NOISE * (int(words[0]) // len(NOISE) + 1))[: int(words.pop(0))])
        elif word == "wait":
            wait(float(words.pop(0)))
        elif word == "exit":
            os._exit(int(words.pop(0)))
        elif word == "die":
            # not what somebody set for it: some are ignored in us from our start, and a core file helps nobody
            end_by(number_of(words.pop(0)))
        elif word == "ignore":
            signal.signal(number_of(words.pop(0)), signal.SIG_IGN)
        elif word == "until":
            signal.signal(number_of(words.pop(0)), lines.end)
        elif word in FORKS:
            fork(**FORKS[word])
        elif word == "lock":
            lock(words.pop(0))
        elif word == "short-escapee":
            pid = fork(escape=True)
            os.kill(pid, signal.SIGKILL)
            print("escapee", pid, file=out, flush=True)
        elif word == "orphans":
            orphans(int(words.pop(0)))
        elif word == "daemon":
            daemonise()
        elif word == "runaway":
            if os.fork() == 0:
                runaway()
        elif word == "spray":
            if os.fork() == 0:
                spray()
        elif word == "bomb":
            print("no more:", bomb(), file=out, flush=True)
        elif word == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif word == "tell":
            tell(words.pop(0), words.pop(0))
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


def end_by(number):
    """Sends itself a signal with its first meaning, and leaves no core file."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


main(sys.argv[1:])
