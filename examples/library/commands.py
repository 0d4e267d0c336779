"""Commands under supervision: captured, logged line by line, fed, failing, and one that runs until it is told to leave.

Run it with `python examples/library/commands.py`; it ends by itself after about two seconds.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout that nobody installed

from supervisor_core import CommandError, Process, Supervisor, Worker

COUNTER = "i=0; while sleep 0.2; do i=$((i+1)); echo tick $i; done"


async def ticker(p: Process) -> None:
    """A long-running child; when the signal comes, it is asked to end like anyone else."""
    command = p.command("sh", "-c", COUNTER)
    await command.start()
    p.ready()
    ended = asyncio.create_task(command.wait())
    leaving = asyncio.create_task(p.wait_shutdown())
    await asyncio.wait({ended, leaving}, return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if not ended.done():
        command.signal(signal.SIGTERM)
    try:
        await ended
    except CommandError as error:
        p.logf("the child is gone: %s", error)


async def chores(p: Process) -> None:
    """Runs one command after the other, then sends everybody home."""
    p.logf("today is %s", (await p.command("date", "+%A").must_capture()).strip())

    output, error = await p.command("tr", "a-z", "A-Z").capture("fed through its standard input")
    p.logf("captured %r, error %s", output, error)

    both, error = await p.command("sh", "-c", "echo out; echo err >&2; exit 3").capture_err()
    p.logf("captured %r, error %s", sorted(both.split()), error)

    await p.command("sh", "-c", "for word in each line is logged; do echo $word; sleep 0.1; done").run()

    try:
        await p.command("no-such-program").run()
    except CommandError as missing:
        p.logf("as expected: %s", missing)

    p.supervisor.shutdown()


async def main() -> int:
    supervisor = Supervisor()
    supervisor.supervise(Worker("ticker", ticker))
    supervisor.supervise(Worker("chores", chores, requires=["ticker"]))
    errors = await supervisor.run()
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)5d ms  %(message)s", stream=sys.stdout)
    sys.exit(asyncio.run(main()))
