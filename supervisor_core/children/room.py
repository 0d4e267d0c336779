"""How many files may be open: as many here as the system allows, and in what is started as many as were given to us.

A program that looks at each number up to its limit, or uses `select`, counts on the limit that its user knows. Known
wart: where so many are open here that the child cannot be given its limit before it runs, it gets it just afterwards.
"""

import contextlib
import errno
import functools
import os
import resource
from collections.abc import Callable, Iterator

NEEDED = 8
"""Descriptors that one start takes while it is under way."""

FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What a look is refused with that says nothing of what was looked for."""

_given: list[int] = []
"""The soft limit that this process was given, once it has another one."""


def lowest_free() -> int:
    """The number that the next descriptor gets: the kernel gives the lowest. Raises OSError when there is none."""
    lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.close(lowest)
    return lowest


def need(count: int) -> None:
    """Raises OSError unless so many more can be opened."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


def widen() -> None:
    """Raises the soft limit of this process to the hard one, where that may be done."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not _given and soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            _given.append(soft)


@contextlib.contextmanager
def as_given() -> Iterator[Callable[[int], None]]:
    """What is started in here has the limit that was given to this process; its pid is to be told."""
    if not _given:
        yield lambda _: None
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    meanwhile = max(_given[0], lowest_free() + NEEDED)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(meanwhile, soft), hard))
    try:
        yield functools.partial(_narrow, (_given[0], hard)) if meanwhile > _given[0] else lambda _: None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _narrow(limit: tuple[int, int], pid: int) -> None:
    with contextlib.suppress(OSError):  # it has ended, or became somebody else's
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
