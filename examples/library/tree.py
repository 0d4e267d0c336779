"""A small tree of workers: who needs whom, readiness, a retry, children, and a shutdown in order.

Run it with `python examples/library/tree.py`; it ends by itself after about two seconds. Watch the order of the lines:
the web server starts last and is signalled first.
"""

import asyncio
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout that nobody installed

from supervisor_core import Process, Supervisor, Worker


async def database(p: Process) -> None:
    """Takes a moment before others may use it."""
    await asyncio.sleep(0.2)
    p.log("accepting connections")
    p.ready()
    await p.wait_shutdown()
    p.log("tables closed")


def indexer(p: Process) -> None:
    """A plain function: it runs in a thread of its own and may block."""
    p.ready()
    passes = 0
    while not p.wait_shutdown_blocking(0.25):
        passes += 1
    p.logf("made %d passes", passes)


def flaky_mailer(failures: int) -> Worker:
    """Fails a few times; it is started again with a growing delay, and the others do not care."""
    left = failures

    async def work(p: Process) -> None:
        nonlocal left
        if left:
            left -= 1
            raise ConnectionError("the mail server does not answer")
        p.log("connected at last")
        p.ready()
        await p.wait_shutdown()

    return Worker("mailer", work, retry=True)


async def web(p: Process) -> None:
    """Serves until it is asked to leave; each request is a child worker of its own."""

    async def request(child: Process) -> None:
        answer = await child.do(lambda: asyncio.sleep(0.1, "200 OK"))
        child.log(answer or "dropped, we are closing")

    p.ready()
    for _ in range(3):
        p.go(request)
        await p.do(lambda: asyncio.sleep(0.3))
    p.log("that was all for today")
    p.supervisor.shutdown()
    await p.wait_shutdown()
    p.log("door closed")


async def main() -> int:
    supervisor = Supervisor()
    supervisor.supervise(Worker("web", web, requires=["database", "indexer"]))
    supervisor.supervise(Worker("indexer", indexer, requires=["database"]))
    supervisor.supervise(Worker("database", database))
    supervisor.supervise(flaky_mailer(failures=2))
    errors = await supervisor.run()
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)5d ms  %(message)s", stream=sys.stdout)
    sys.exit(asyncio.run(main()))
