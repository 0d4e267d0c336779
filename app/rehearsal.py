"""Whether what is installed now would run: tried out beside the service, before anything depends on it.

A program that does not begin would be started again and again in the place of one that worked. Nothing is changed here.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import supervisor_core

SECONDS = 20.0

KEEPER = "import sys; sys.path.append(sys.argv[1]); import supervisor_core.keeper.keeper"


async def rehearse(config: Path) -> str:
    """Why the keeper or the service could not begin, in one sentence; "" when both can."""
    place = str(Path(supervisor_core.__file__).parents[1])
    given = len(sys.argv) - 1
    program = [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - given]]
    for what, command in (
        ("the keeper", [sys.executable, "-I", "-S", "-c", KEEPER, place]),
        ("the service", [*program, "check", "-c", str(config)]),
    ):
        if error := await _try(command):
            return f"{what} that is installed now would not start: {error}"
    return ""


async def _try(command: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        return f"no answer within {SECONDS:g} s"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
    return "" if process.returncode == 0 else (last or [f"exit status {process.returncode}"])[0]
