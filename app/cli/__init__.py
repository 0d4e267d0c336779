"""The command line: `main` takes the arguments apart, calls the one function of the verb, and gives its exit status.

Errors become one sentence on stderr and a status here and nowhere else. Nothing heavy is imported before a verb needs
it: the web never, httpx only by verbs that ask the service.

Known wart: an interrupted order goes on in the service, since nobody there knows of our terminal; its id is printed.
"""

import os
import sys
from collections.abc import Sequence

DONE, FAILED, USAGE, DOWN, UNREACHABLE, UNSETTLED = 0, 1, 2, 3, 4, 5
"""Exit statuses. Down: a worker is wanted and neither ready nor done. Unsettled: not known in time."""

INTERRUPTED, PIPE_CLOSED = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status and never raises for what users and services can do wrong."""
    if sys.platform == "win32":
        print("quarterdeck: needs a Unix; on Windows, run it inside WSL", file=sys.stderr)
        return FAILED
    from .parser import parse

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        status = _run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the last flush of the interpreter finds a place
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except SystemExit as leave:  # argparse: help, or a usage error that it has printed
        return leave.code if isinstance(leave.code, int) else USAGE


def _run(options: "object") -> int:
    from ..settings import BadState, InstanceTaken, NoConfig
    from .target import Ambiguous, NoService, UnknownAddress

    try:
        status: int = options.verb(options)  # type: ignore[attr-defined]
    except (NoConfig, Ambiguous, UnknownAddress) as error:
        return complain(error, USAGE)
    except NoService as error:
        return complain(error, UNREACHABLE)
    except (InstanceTaken, BadState) as error:
        return complain(error, FAILED)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        return complain(f"{error.filename or ''} {error.strerror or error}".strip(), FAILED)
    return status


def complain(sentence: object, status: int) -> int:
    """Says what went wrong and gives the status to leave with."""
    print(f"quarterdeck: {sentence}", file=sys.stderr)
    return status
