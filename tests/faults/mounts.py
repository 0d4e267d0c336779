"""A file system of the service's own, in a mount namespace that goes with it: small, read-only, or taken away.

From outside its files are reached through the process that sees them. No test is here.
"""

import functools
import subprocess
from pathlib import Path

import pytest


@functools.cache
def refused() -> str:
    """Why no mount namespace can be had here; "" where it can."""
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tried.stderr.strip() if tried.returncode else ""


def tmpfs(place: Path, options: str) -> tuple[str, ...]:
    """What comes before a command line so that it sees a tmpfs at `place`; leaves the test out where it may not."""
    if why := refused():  # also in CI: a container may not mount
        pytest.skip(f"no mount namespace may be made here: {why}")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    mount = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
    return (
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        mount,
        "sh",
        f"{options},mode=700",
        str(place),
    )


def inside(pid: int, place: Path) -> Path:
    """The same place as that process sees it."""
    return Path(f"/proc/{pid}/root{place}")


def mount(pid: int, *words: str) -> None:
    """Calls mount, or umount when that is the first word, where that process is."""
    command = words if words[0] == "umount" else ("mount", *words)
    subprocess.run(["nsenter", "--target", str(pid), "--mount", *command], check=True)
