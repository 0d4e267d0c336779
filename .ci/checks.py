"""Every check and test of this project, in order, with its seconds; stops at the first that fails.

What lives here: the list of steps, the Debian packages they need, and the proof that nothing of theirs is left.
No environment is made here (that is ./run) and no rule is set here (those are in pyproject.toml and .importlinter).
Known wart: `--all` is taken out of the arguments by hand; everything else goes to pytest.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
PYTEST = [sys.executable, "-m", "pytest"]
SYSTEM = {"chromium": "chromium", "nginx": "nginx-light", "cc": "gcc libc6-dev"}
"""Commands that tests need beyond Python, and the Debian packages that have each."""

Check = Callable[[], int]


@dataclass(frozen=True)
class Step:
    """One check: a name, a command (or a function that gives an exit status), and codes that are fine too."""

    name: str
    command: Sequence[str | os.PathLike[str]] | Check
    fine: tuple[int, ...] = (0,)


def main(arguments: list[str]) -> int:
    """Runs the steps; gives 0 when all are well and nothing of theirs is left."""
    everything = "--all" in arguments
    chosen = [a for a in arguments if a != "--all"]
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, and inherited so, where a shell runs us behind
    adopt_orphans()
    begun = time.monotonic()
    temporary = tempfile.mkdtemp(prefix="qd-")
    os.environ["TMPDIR"] = temporary
    try:
        for step in selected(chosen) if chosen else steps(everything):
            if not passes(step):
                return 1
    finally:
        left = end_orphans()
        shutil.rmtree(temporary, ignore_errors=True)
    if left:
        say(f"FAILED: still running afterwards: {'; '.join(left)}")
        return 1
    say(f"all is well, in {time.monotonic() - begun:.0f} s")
    return 0


def steps(everything: bool) -> Iterator[Step]:
    """The whole list. A step that cannot run here says what to install; in CI that is a failure."""
    yield Step("system packages", have_commands)
    yield Step("no addresses in the locks", no_addresses)
    yield Step("ruff check", [BIN / "ruff", "check", "--quiet", "."])
    yield Step("ruff format", [BIN / "ruff", "format", "--quiet", "--check", "."])
    yield Step("codespell", [BIN / "codespell"])
    yield Step("mypy", [BIN / "mypy", "--no-error-summary"])
    yield Step("layers (import-linter)", [BIN / "lint-imports", "--no-cache"])
    if scripts := sorted(p for p in (ROOT / "static").rglob("*.js") if "vendor" not in p.parts):
        yield Step("deno lint", [BIN / "deno", "lint", "--quiet", *scripts])
        yield Step("deno check", [BIN / "deno", "check", "--quiet", "--no-remote", *scripts])
    if script_tests := sorted((ROOT / "tests").rglob("*.test.js")):
        yield Step("deno test", [BIN / "deno", "test", "--quiet", "--no-remote", "--allow-read", *script_tests])
    yield Step("hadolint", [BIN / "hadolint", "Dockerfile"])
    marks = ["-m", "long or not long"] if everything else []
    yield Step("tests", [*PYTEST, "-q", "-n", "2", "--rows", "--ignore", "tests/browser", *marks])
    if shutil.which("chromium") or CI:
        yield Step("tests in the browser", [*PYTEST, "-q", "-p", "no:asyncio", "tests/browser", *marks])
    if everything:
        yield Step("container image", [ROOT / ".ci" / "image"])


def selected(arguments: list[str]) -> Iterator[Step]:
    """Only pytest, with these arguments. The browser's tests cannot share a process with asyncio's."""
    alone = ["-p", "no:asyncio"] if any(a.startswith("tests/browser") for a in arguments) else []
    yield Step("tests", [*PYTEST, *alone, *arguments])


def say(text: str) -> None:
    """Prints one line of ours, between those of the tools."""
    print(f"== {text}", flush=True)


def passes(step: Step) -> bool:
    """Runs one step, and says how it went and how long it took."""
    say(step.name)
    begun = time.monotonic()
    code = step.command() if callable(step.command) else run(step.command)
    good = code in step.fine
    say(f"{step.name}: {'ok' if good else f'FAILED (exit code {code})'}, {time.monotonic() - begun:.1f} s")
    return good


def run(command: Sequence[str | os.PathLike[str]]) -> int:
    """Runs a command and meanwhile reaps what others leave to us.

    An orphan that ended and is not reaped still counts as a member of its group, so tests would wait for it for ever.
    """
    process = subprocess.Popen(command, env=environment())
    while process.returncode is None:
        pid, status = os.wait()
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode


def environment() -> dict[str, str]:
    """The tools' environment: the same for everybody, and nothing that asks a service for news."""
    quiet = {"PYTHONUNBUFFERED": "1", "DENO_NO_UPDATE_CHECK": "1", "NO_UPDATE_NOTIFIER": "1"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QUARTERDECK_")}
    return kept | quiet


def have_commands() -> int:
    """Installs the Debian packages that are missing, where it may; else says which to install."""
    missing = []
    for command, package in SYSTEM.items():
        found = find(command)
        print(f"   {command}: {found or 'missing'}", flush=True)
        if not found:
            missing += package.split()
    if missing and apt(["update", "-qq"]) and apt(["install", "-y", "-qq", "--no-install-recommends", *missing]):
        print(f"   installed: {' '.join(missing)}", flush=True)
        missing = [one for command, package in SYSTEM.items() if not find(command) for one in package.split()]
    if missing:
        print(f"   install these and run again: sudo apt-get install {' '.join(missing)}")
        print("   without them the tests that need them " + ("fail here" if CI else "are left out"), flush=True)
    return 1 if missing and CI else 0


def find(command: str) -> str | None:
    """Gives the command's path, looking where Debian puts servers too."""
    return shutil.which(command, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")


def apt(arguments: list[str]) -> bool:
    """Runs apt-get as root, without questions; false when we may not or it fails."""
    sudo: list[str] = []
    if os.geteuid() != 0:
        sudo = ["sudo", "-n"]
        if not shutil.which("sudo") or subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode:
            return False
    if not shutil.which("apt-get"):
        return False
    command = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def no_addresses() -> int:
    """Lock files must not say where a package comes from: every reader has a registry of their own."""
    locks = [*(ROOT / "requirements").iterdir(), *ROOT.glob("*lock*.json"), *ROOT.glob("*.lock")]
    hits = [f"   {p.name}: {m}" for p in locks for m in re.findall(r"\S*://\S*", p.read_text())]
    print(*hits, sep="\n", end="\n" if hits else "", flush=True)
    return 1 if hits else 0


def adopt_orphans() -> None:
    """Makes this process the parent of whatever a test leaves behind, so that nothing can hide."""
    if sys.platform == "linux":
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def children() -> list[tuple[int, str]]:
    """Processes whose parent we are, those that have ended included."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text()
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent == os.getpid():
            found.append((int(place.name), f"{place.name} {command or stat[stat.find('(') : stat.rfind(')') + 1]}"))
    return found


def end_orphans() -> list[str]:
    """Ends what is still running and gives its commands. Adopted processes that have ended are only reaped."""
    left = []
    while kept := children():
        for pid, command in kept:
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if not ended:
                left.append(command)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
